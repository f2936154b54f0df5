# shellcheck shell=bash disable=SC2034,SC2154
# tokens.bash: tokens made without the code under test, and what the five services say to them.

now=$(date +%s)

# The header of our tokens.
our_header() {
	curl -s "$BASE/api/v1/auth/jwks.json" | jq -c '{alg: "ES256", kid: .keys[0].kid, typ: "JWT"}'
}

base64url() {
	base64 -w0 | tr -d = | tr +/ -_
}

from_base64url() {
	local text
	text=$(tr -- -_ +/)
	while ((${#text} % 4)); do text+="="; done
	base64 -d <<<"$text"
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

# hmac DIGEST HEADER KEY-FILE PAYLOAD
hmac() {
	local text
	text=$(signed_part "$2" "$4")
	printf %s.%s "$text" "$(printf %s "$text" | openssl dgst "-$1" -mac HMAC \
		-macopt "hexkey:$(od -An -v -tx1 "$3" | tr -d ' \n')" -binary | base64url)"
}

# payload [JSON...]: a good one; the later JSON objects win.
payload() {
	jq -cs add <<<"{\"exp\":$((now + 600)),\"fam\":\"f\",\"iat\":$now,\"is_staff\":true,\"iss\":\"arnova\",
		\"jti\":\"$(random 16)\",\"token_type\":\"access\",\"user_id\":\"1\"} $*"
}

without() {
	payload '{}' | jq -c "del(.$1)"
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

# refused NAME TOKEN: by all five.
refused() {
	local got
	got=$(answers "$2")
	[[ $got == '401 401 401 401 401 ' ]] || complain "$1: $got: $2"
}

# taken NAME TOKEN: by all five.
taken() {
	local got
	got=$(answers "$2")
	[[ $got == '200 200 200 200 200 ' ]] || complain "$1: $got: $2"
}

# as_cgi SERVICE TOKEN [NAME=VALUE...]: what the program answers to a GET without a web server;
# an empty token is none.
as_cgi() {
	local path=/api/v1/$1/ program=${ARNOVA_BUILD:-build}/$1.fcgi token=$2
	[[ $1 != users ]] || path=/api/v1/auth/profile/
	shift 2
	env "$@" REQUEST_METHOD=GET REQUEST_URI="$path" REMOTE_ADDR=127.0.0.1 HTTP_HOST=shop \
		HTTP_AUTHORIZATION="${token:+Bearer $token}" "$program" </dev/null 2>>"$BATS_TEST_TMPDIR/cgi.log"
}

# The same, but for the status alone.
status_as_cgi() {
	as_cgi "$@" | sed -n '1s/^Status: \([0-9]*\).*/\1/p'
}
