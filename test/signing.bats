# signing.bats: with what tokens are signed: a key of users' own, or a secret that is shared.
# servers: lighttpd
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
	load tokens
	secret=$(random 16)
}

# ---- The key.

hex() {
	od -An -v -tx1 | tr -d ' \n'
}

# The public key of the JWK Set as PEM: an uncompressed point behind what says so in DER.
published_key() {
	printf '3059301306072a8648ce3d020106082a8648ce3d03010703420004%s%s' \
		"$(json '.keys[0].x' | from_base64url | hex)" "$(json '.keys[0].y' | from_base64url | hex)" |
		bytes | openssl pkey -pubin -inform DER
}

bytes() {
	# shellcheck disable=SC2059
	printf "$(sed 's/../\\x&/g')"
}

# der_number HEX: a positive one.
der_number() {
	local number=$1
	while [[ $number == 00?* ]]; do number=${number:2}; done
	[[ $number == [0-7]* ]] || number=00$number
	printf '02%02x%s' $((${#number} / 2)) "$number"
}

@test "the published key is the one that tokens are signed with, and its name is its thumbprint" {
	local token signature r s
	token=$(user_token reader)
	api GET /api/v1/auth/jwks.json
	expect_status 200
	expect_header Content-Type 'application/json; charset=utf-8'
	expect_header Cache-Control 'public, max-age=[0-9]+'
	expect_json '.keys | length' 1
	expect_json '.keys[0] | [.kty, .crv, .use, .alg] | join(" ")' 'EC P-256 sig ES256'
	expect_json '.keys[0] | [.x, .y, .kid | length] | tostring' '[43,43,43]'
	expect_json '.keys[0] | keys | join(" ")' 'alg crv kid kty use x y'
	[[ $(jq -cj '.keys[0] | {crv, kty, x, y}' <<<"$body" | openssl dgst -sha256 -binary | base64url) == "$(json '.keys[0].kid')" ]]
	[[ $(published_key) == "$(cat "$JWT_PUBLIC_KEY")" ]]
	published_key >"$BATS_TEST_TMPDIR/key"

	[[ $(cut -d. -f1 <<<"$token" | from_base64url | jq -r .kid) == "$(json '.keys[0].kid')" ]]
	signature=$(cut -d. -f3 <<<"$token" | from_base64url | hex)
	r=$(der_number "${signature:0:64}") s=$(der_number "${signature:64}")
	printf '30%02x%s%s' $(((${#r} + ${#s}) / 2)) "$r" "$s" | bytes >"$BATS_TEST_TMPDIR/signature"
	printf %s "${token%.*}" |
		openssl dgst -sha256 -verify "$BATS_TEST_TMPDIR/key" -signature "$BATS_TEST_TMPDIR/signature"
	run ! openssl dgst -sha256 -verify "$BATS_TEST_TMPDIR/key" -signature "$BATS_TEST_TMPDIR/signature" <<<x
}

@test "the key is public: with a slash, to anybody, and never more than the public part" {
	api GET /api/v1/auth/jwks.json/
	expect_status 200
	[[ $(json '.keys[0] | has("d")') == false ]]
	api POST /api/v1/auth/jwks.json '{}'
	expect_problem 405 method_not_allowed
	TOKEN=nonsense api GET /api/v1/auth/jwks.json
	expect_problem 401 token_not_valid
}

# ---- The secret: as CGI, so that nothing has to be started.

# here SERVICE TOKEN: the status that a service of a shop with that secret answers.
here() {
	status_as_cgi "$1" "$2" JWT_SECRET="$secret" JWT_PRIVATE_KEY= JWT_PUBLIC_KEY=
}

# post PATH JSON: what its users service answers, into status and body.
post() {
	run --separate-stderr env JWT_SECRET="$secret" JWT_PRIVATE_KEY= JWT_PUBLIC_KEY= REQUEST_METHOD=POST REQUEST_URI="/api/v1/auth/$1/" \
		REMOTE_ADDR=127.0.0.1 CONTENT_TYPE=application/json CONTENT_LENGTH=${#2} \
		"${ARNOVA_BUILD:-build}/users.fcgi" <<<"$2"
	[[ ${lines[0]} =~ ^Status:\ ([0-9]+) ]] && status=${BASH_REMATCH[1]} body=${lines[-1]}
}

@test "with a shared secret all five sign and read HS256, and no key is needed" {
	local access refresh service next
	post register "{\"email\":\"$(random 8)@example.com\",\"password\":\"one-of-many-7\"}"
	expect_status 201
	access=$(json .access) refresh=$(json .refresh)
	# What simplejwt makes and looks for.
	[[ $(cut -d. -f1 <<<"$access" | from_base64url) == '{"alg":"HS256","typ":"JWT"}' ]]
	[[ $(cut -d. -f3 <<<"$access") == "$(printf %s "${access%.*}" | openssl dgst -sha256 -hmac "$secret" -binary | base64url)" ]]
	for service in products orders users cart payments; do
		[[ $(here $service "$access") == 200 ]] || complain "$service"
		[[ $(here $service "$refresh") == 401 ]]
	done
	# A second use has the same successor as the first.
	post refresh "{\"refresh\":\"$refresh\"}"
	expect_status 200
	next=$(json .refresh)
	post refresh "{\"refresh\":\"$refresh\"}"
	[[ $(json .refresh) == "$next" && $next != "$refresh" ]]
	post refresh "{\"refresh\":\"$next\"}"
	expect_status 200
	[[ $(as_cgi users '' REQUEST_URI=/api/v1/auth/jwks.json JWT_SECRET="$secret" | tail -n 1) == *'{"keys":[]}' ]]
	# Nobody whose shop has a key takes it.
	refused 'HS256 elsewhere' "$access"
}

@test "whoever knows the secret may say who somebody is; nobody else, and in no other way" {
	local key=$BATS_TEST_TMPDIR/key header good service name token
	good=$(payload)
	printf %s "$secret" >"$key"
	printf '%s\n' "$secret" >"$key.line"
	: >"$key.empty"
	printf secret >"$key.word"
	header=$(our_header)
	[[ $(here products "$(hmac sha256 "$HS256" "$key" "$good")") == 200 ]]
	while IFS=$'\t' read -r name token; do
		for service in products orders users cart payments; do
			[[ $(here $service "$token") == 401 ]] || complain "$name at $service"
		done
	done < <(
		printf '%s\t%s\n' ES256 "$(es256 "$header" "$good")" \
			'ES256 under the header' "$(es256 "$HS256" "$good")" \
			'HS256 under the header of ES256' "$(hmac sha256 "$header" "$key" "$good")" \
			HS384 "$(hmac sha384 '{"alg":"HS384","typ":"JWT"}' "$key" "$good")" \
			HS512 "$(hmac sha512 '{"alg":"HS512","typ":"JWT"}' "$key" "$good")" \
			hs256 "$(hmac sha256 '{"alg":"hs256","typ":"JWT"}' "$key" "$good")" \
			none "$(signed_part '{"alg":"none","typ":"JWT"}' "$good")." \
			'no signature' "$(signed_part "$HS256" "$good")." \
			'the public key' "$(hmac sha256 "$HS256" "$JWT_PUBLIC_KEY" "$good")" \
			'a line break behind the secret' "$(hmac sha256 "$HS256" "$key.line" "$good")" \
			'an empty secret' "$(hmac sha256 "$HS256" "$key.empty" "$good")" \
			'a word' "$(hmac sha256 "$HS256" "$key.word" "$good")" \
			'no session' "$(hmac sha256 "$HS256" "$key" "$(jq -c 'del(.fam)' <<<"$good")")"
	)
}

# ---- What starts no program.

# starts_not SERVICE TEXT NAME=VALUE...: it ends with 1, at once, and says why.
starts_not() {
	local program=${ARNOVA_BUILD:-build}/$1.fcgi reason=$2
	shift 2
	run -1 env "$@" REQUEST_METHOD=GET REQUEST_URI=/health "$program" </dev/null
	[[ $output == "could not start: $reason"* ]] || complain "$*: $output"
}

@test "no service starts with a weak secret, or without a key" {
	local service
	for service in products orders users cart payments; do
		starts_not $service 'JWT_SECRET must have at least 32' JWT_SECRET=0123456789abcdef0123456789abcde
		starts_not $service 'JWT_SECRET is not set' JWT_ALGORITHM=HS256
		starts_not $service 'JWT_SECRET is not set' JWT_ALGORITHM=HS256 JWT_SECRET=
		starts_not $service 'JWT_SECRET is set, but' JWT_ALGORITHM=ES256 JWT_SECRET="$secret"
		starts_not $service 'JWT_ALGORITHM is neither' JWT_ALGORITHM=none
		starts_not $service 'JWT_PUBLIC_KEY is not set' JWT_PUBLIC_KEY=
		starts_not $service 'SERVICE_TOKEN must have at least 32' SERVICE_TOKEN=short
		starts_not $service 'SERVICE_TOKEN is not set' SERVICE_TOKEN=
	done
	install -m 644 "$JWT_PRIVATE_KEY" "$BATS_TEST_TMPDIR/key"
	starts_not users 'JWT_PRIVATE_KEY' JWT_PRIVATE_KEY="$BATS_TEST_TMPDIR/key"
	starts_not users 'JWT_PRIVATE_KEY is not set' JWT_PRIVATE_KEY=
	# As a server, too: whoever opened its socket is left alone with it.
	run -1 env JWT_SECRET=short spawn-fcgi -n -s "$BATS_TEST_TMPDIR/socket" -- "${ARNOVA_BUILD:-build}/cart.fcgi"
	[[ $output == 'could not start: JWT_SECRET'* ]]
}
