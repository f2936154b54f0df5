# tokens.bats: tokens with which somebody would try to get in, at each of the five services.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
	HEADER=$(curl -s "$BASE/api/v1/auth/jwks.json" | jq -c '{alg: "ES256", kid: .keys[0].kid, typ: "JWT"}')
	now=$(date +%s)
}

base64url() {
	base64 -w0 | tr -d = | tr +/ -_
}

# Hexadecimal digits as the bytes that they stand for.
bytes() {
	# shellcheck disable=SC2059
	printf "$(sed 's/../\\x&/g')"
}

# The two integers of a DER signature as 64 bytes.
raw_signature() {
	openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p' |
		while read -r number; do printf '%64s' "$number" | tr ' ' 0; done | bytes
}

signed_part() {
	printf %s.%s "$(printf %s "$1" | base64url)" "$(printf %s "$2" | base64url)"
}

# es256 HEADER PAYLOAD [KEY]: signed with our own key where no other is named.
es256() {
	local text
	text=$(signed_part "$1" "$2")
	printf %s.%s "$text" "$(printf %s "$text" |
		openssl dgst -sha256 -sign "${3-$JWT_PRIVATE_KEY}" | raw_signature | base64url)"
}

# hmac DIGEST ALG KEY-FILE PAYLOAD
hmac() {
	local text
	text=$(signed_part "{\"alg\":\"$2\",\"typ\":\"JWT\"}" "$4")
	printf %s.%s "$text" "$(printf %s "$text" | openssl dgst "-$1" -mac HMAC \
		-macopt "hexkey:$(od -An -v -tx1 "$3" | tr -d ' \n')" -binary | base64url)"
}

# payload [JSON...]: a good one; the later JSON objects win.
payload() {
	jq -cs add <<<"{\"exp\":$((now + 600)),\"fam\":\"f\",\"iat\":$now,\"is_staff\":true,\"iss\":\"arnova\",
		\"jti\":\"$(random 16)\",\"token_type\":\"access\",\"user_id\":\"1\"} $*"
}

without() {
	payload | jq -c "del(.$1)"
}

# The status that each of the five services answers to a token, in one line.
answers() {
	printf 'Authorization: Bearer %s' "$1" >"$BATS_TEST_TMPDIR/authorization"
	local path
	local -a urls=()
	for path in products orders auth/profile cart payments; do
		note_call GET "$BASE/api/v1/$path/"
		urls+=(-o "$BATS_TEST_TMPDIR/answer" "$BASE/api/v1/$path/")
	done
	curl -s -H "@$BATS_TEST_TMPDIR/authorization" -w '%{http_code} ' "${urls[@]}"
}

# refused NAME TOKEN: by all five, and by a route of staff.
refused() {
	local got
	got=$(answers "$2")
	[[ $got == '401 401 401 401 401 ' ]] || complain "$1: $got: $2"
}

@test "a token signed with our key is taken by all five, and makes staff" {
	local token
	token=$(es256 "$HEADER" "$(payload "{\"user_id\":\"$(psql_as users 'SELECT min(id) FROM users.auth_user')\"}")")
	[[ $(answers "$token") == '200 200 200 200 200 ' ]]
	TOKEN=$token api DELETE /api/v1/products/9007199254740991/
	expect_problem 404 not_found
}

@test "another algorithm is refused" {
	local header rsa=$BATS_TEST_TMPDIR/rsa text
	for header in '{"alg":"none","typ":"JWT"}' '{"alg":"None","typ":"JWT"}' '{"alg":"NONE","typ":"JWT"}' \
		'{"alg":"nOnE","typ":"JWT"}' '{"typ":"JWT"}' '{"alg":null,"typ":"JWT"}' \
		'{"alg":["ES256"],"typ":"JWT"}' '{"alg":"es256","typ":"JWT"}' '{"alg":"hs256","typ":"JWT"}' \
		'{"alg":"ES256","kid":"../../dev/null","typ":"JWT"}' '{"alg":"ES256","crit":["x"],"typ":"JWT"}'; do
		refused "$header, signed" "$(es256 "$header" "$(payload)")"
		refused "$header, unsigned" "$(signed_part "$header" "$(payload)")."
	done
	refused 'HS256 over the public PEM' "$(hmac sha256 HS256 "$JWT_PUBLIC_KEY" "$(payload)")"
	refused 'hs256 over the public PEM' "$(hmac sha256 hs256 "$JWT_PUBLIC_KEY" "$(payload)")"
	refused 'HS384 over the public PEM' "$(hmac sha384 HS384 "$JWT_PUBLIC_KEY" "$(payload)")"
	refused 'HS512 over the public PEM' "$(hmac sha512 HS512 "$JWT_PUBLIC_KEY" "$(payload)")"
	openssl genrsa -out "$rsa" 2048 2>/dev/null
	text=$(signed_part '{"alg":"RS256","typ":"JWT"}' "$(payload)")
	refused RS256 "$text.$(printf %s "$text" | openssl dgst -sha256 -sign "$rsa" | base64url)"
	openssl ecparam -name prime256v1 -genkey -noout -out "$rsa"
	refused "a stranger's key" "$(es256 "$HEADER" "$(payload)" "$rsa")"
}

@test "another form is refused" {
	local token head body signature last
	token=$(es256 "$HEADER" "$(payload)")
	IFS=. read -r head body signature <<<"$token"
	last=$(tr AQgw BRhx <<<"${signature: -1}")
	refused 'cut by a character' "${token%?}"
	refused 'cut by half' "${token:0:${#token}/2}"
	refused 'unused bits' "${token%?}$last"
	refused padding "$token=="
	refused 'standard alphabet' "${token:0:-5}+${token: -4}"
	refused '2 parts' "$head.$body"
	refused '4 parts' "$token.$body"
	refused '5 parts' "$token.$body.$signature"
	refused 'an empty payload' "$head..$signature"
	refused 'dots' ..
	refused 'more dots' .....
	refused nothing ''
	refused 'not a token' x
	refused 'two at once' "$token,$token"
}

@test "other claims are refused" {
	local claim
	for claim in '{"exp":1}' "{\"exp\":\"$((now + 600))\"}" '{"exp":-1}' '{"exp":4102444800}' '{"exp":null}' \
		"{\"iat\":$((now + 3600))}" '{"iat":"1"}' "{\"nbf\":$((now + 3600))}" '{"iss":"else"}' '{"iss":""}' \
		'{"iss":["arnova"]}' '{"aud":"arnova"}' '{"aud":[]}' '{"aud":null}' '{"token_type":"refresh"}' \
		'{"user_id":1}' '{"user_id":"1 OR true"}' '{"user_id":"-1"}' '{"user_id":"0"}' '{"user_id":"1\u0000"}' \
		'{"is_staff":"true"}' '{"jti":""}' '{"fam":7}'; do
		refused "$claim" "$(es256 "$HEADER" "$(payload "$claim")")"
	done
	for claim in exp iat iss jti fam token_type user_id is_staff; do
		refused "no $claim" "$(es256 "$HEADER" "$(without $claim)")"
	done
	claim=$(payload)
	refused 'a name twice' "$(es256 "$HEADER" "${claim%\}},\"user_id\":\"2\"}")"
	refused 'an array' "$(es256 "$HEADER" "[$claim]")"
	refused 'no object' "$(es256 "$HEADER" '"access"')"
	refused 'something behind' "$(es256 "$HEADER" "$claim{}")"
	refused '1e400' "$(es256 "$HEADER" "${claim%\}},\"x\":1e400}")"
	refused 'not UTF-8' "$(es256 "$HEADER" "${claim%\}},\"x\":\"$(printf '\377\376')\"}")"
}

@test "a refresh token is no access token, at any service" {
	local password=$BATS_TEST_NAME
	api POST /api/v1/auth/register/ "{\"email\":\"$(random 8)@example.com\",\"password\":\"$password\"}"
	expect_status 201
	[[ $(answers "$(json .access)") == '200 200 200 200 200 ' ]]
	refused refresh "$(json .refresh)"
}

@test "an expired token is refused although it was taken before" {
	local token
	token=$(es256 "$HEADER" "$(payload "{\"exp\":$((now + 4)),\"user_id\":\"$(psql_as users 'SELECT min(id) FROM users.auth_user')\"}")")
	[[ $(answers "$token") == '200 200 200 200 200 ' ]]
	wait_for 10 refused expired "$token"
}

@test "a token as a parameter counts as none" {
	local token
	token=$(es256 "$HEADER" "$(payload)")
	api GET "/api/v1/orders/?access=$token&token=$token"
	expect_problem 401 not_authenticated
	api GET /api/v1/orders/ -H "X-User-Id: 1" -H "Authorization: Basic $token"
	expect_problem 401 not_authenticated
}

# status_of_header FILE: what the profile answers to this line among its headers, from as much as
# the server would read; "closed" when it hung up.
status_of_header() {
	local line server
	exec {server}<>"/dev/tcp/127.0.0.1/$PORT"
	{
		printf 'GET /api/v1/auth/profile/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
		cat "$1"
		printf '\r\n\r\n'
	} >&$server 2>"$BATS_TEST_TMPDIR/hung-up" || true
	read -r -t 10 _ line _ <&$server || line=closed
	exec {server}>&-
	line=${line%$'\r'}
	echo "${line:-closed}"
}

@test "huge tokens are refused, and the services live on" {
	local size answer folder=$BATS_TEST_TMPDIR before
	before=$(worker_pids)
	[[ -n $before ]]
	for size in 4097 8193 65536 1048576 8388608; do
		printf 'Authorization: Bearer %s.' "$(printf %s "$HEADER" | base64url)" >"$folder/header"
		head -c $size /dev/zero | tr '\0' A >>"$folder/header"
		answer=$(status_of_header "$folder/header")
		[[ $answer =~ ^(400|401|413|431|closed)$ ]] || complain "$size letters: $answer"
		{
			printf '{"refresh":"'
			head -c $size /dev/zero | tr '\0' A
			printf '"}'
		} >"$folder/body"
		api POST /api/v1/auth/refresh/ -H 'Content-Type: application/json' --data-binary "@$folder/body"
		if ((size < 1048576)); then expect_problem 401 token_not_valid; else expect_status 413; fi
	done
	[[ $(worker_pids) == "$before" ]]
	refused 'only dots' "$(head -c 3000 /dev/zero | tr '\0' .)"
}

# The workers of users: the same before and after means that none died.
worker_pids() {
	local process name
	for process in /proc/[0-9]*; do
		{ read -r name <"$process/comm" && [[ $name == users.fcgi ]]; } 2>/dev/null || continue
		grep -qzxF "VAR=$VAR" "$process/environ" 2>/dev/null && echo "${process#/proc/}"
	done
}
