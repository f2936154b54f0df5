# shellcheck shell=bash disable=SC2034,SC2154
# tokens.bash: tokens made without the code under test, and what the five services say to them.

now=$(date +%s)
HS256='{"alg":"HS256","typ":"JWT"}'

# The header of our tokens.
our_header() {
	api GET /api/v1/auth/jwks.json
	expect_status 200 && jq -c '{alg: "ES256", kid: .keys[0].kid, typ: "JWT"}' <<<"$body"
}

base64url() {
	local text
	text=$(base64 -w0)
	text=${text//=/} text=${text//+/-}
	printf %s "${text//\//_}"
}

from_base64url() {
	local text
	read -r text
	text=${text//-/+} text=${text//_/\/}
	while ((${#text} % 4)); do text+="="; done
	base64 -d <<<"$text"
}

# Bytes that are written as hexadecimal digits.
hex_base64url() {
	local digits=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_
	local hex=$1 text='' i n
	for ((i = 0; i < ${#hex}; i += 6)); do
		n=${hex:i:6}000000
		n=$((16#${n:0:6}))
		text+=${digits:n >> 18:1}${digits:n >> 12 & 63:1}${digits:n >> 6 & 63:1}${digits:n & 63:1}
	done
	printf %s "${text:0:(${#hex} * 2 + 2) / 3}"
}

# The two numbers of a DER signature, with 32 bytes each.
raw_signature() {
	local der=$1 zeros size r s
	printf -v zeros '%064d' 0
	size=$((16#${der:6:2} * 2))
	r=$zeros${der:8:size} s=$zeros${der:12 + size}
	printf %s%s "${r: -64}" "${s: -64}"
}

signed_part() {
	printf %s.%s "$(printf %s "$1" | base64url)" "$(printf %s "$2" | base64url)"
}

# In a $(...): bats looks at every command otherwise, and there are hundreds of tokens to make.
unwatched() {
	((BASH_SUBSHELL == 0)) || { trap - DEBUG && set +T; }
}

# es256 HEADER PAYLOAD [KEY]: signed with our own key where no other is named.
es256() {
	local text signature
	unwatched
	text=$(signed_part "$1" "$2")
	signature=$(printf %s "$text" | openssl dgst -sha256 -hex -sign "${3-$JWT_PRIVATE_KEY}")
	printf %s.%s "$text" "$(hex_base64url "$(raw_signature "${signature##* }")")"
}

# hmac DIGEST HEADER KEY-FILE PAYLOAD; a byte of zero does as well as no key.
hmac() {
	local text key mac
	unwatched
	text=$(signed_part "$2" "$4")
	key=$(od -An -v -tx1 "$3" | tr -d ' \n')
	mac=$(printf %s "$text" | openssl dgst "-$1" -mac HMAC -macopt "hexkey:${key:-00}" -hex)
	printf %s.%s "$text" "$(hex_base64url "${mac##* }")"
}

# payload [JSON...]: a good one; the later JSON objects win.
payload() {
	jq -cs add <<<"{\"exp\":$((now + 600)),\"fam\":\"f\",\"iat\":$now,\"is_staff\":true,\"iss\":\"arnova\",
		\"jti\":\"$(random 16)\",\"token_type\":\"access\",\"user_id\":\"1\"} $*"
}

# The status that each of the five services answers to a token, in one line.
answers() {
	local path
	local -a urls=()
	for path in products orders auth/profile cart payments; do
		note_call GET "$BASE/api/v1/$path/"
		urls+=(-o /dev/null "$BASE/api/v1/$path/")
	done
	# By way of no file: several of these may run at a time.
	curl -s -H @- -w '%{http_code} ' "${urls[@]}" <<<"Authorization: Bearer $1"
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

# ---- Many tokens at once.

# A route of each service, and whether it is open to visitors.
token_paths="/api/v1/products/ /api/v1/orders/ /api/v1/auth/profile/ /api/v1/cart/ /api/v1/payments/"

# attempt NAME TOKEN [EXPECTED]: notes a case for each service, see fastcgi_client.c.
attempt() {
	local path token=${2//\\/\\\\}
	for path in $token_paths; do
		echo "${3-401 token_not_valid} | GET $path?case=${1//[!A-Za-z0-9]/-} | Authorization:Bearer\\s${token// /\\s}"
	done >>"$BATS_TEST_TMPDIR/cases"
	count=$((${count-0} + 1))
}

# judged [WAY]: what was noted comes true, through the web server and straight to the sockets.
judged() {
	local way address bad=0
	for way in ${1-$SERVER socket}; do
		[[ $way == socket ]] && address=$VAR/run/ || address=${BASE#http://}
		"${ARNOVA_BUILD:-build}/test/fastcgi_client" "$way" "$address" <"$BATS_TEST_TMPDIR/cases" || bad=1
	done
	rm "$BATS_TEST_TMPDIR/cases"
	return $bad
}

# ---- Without a web server.

# as_cgi SERVICE TOKEN [NAME=VALUE...]: what the program answers to a GET without a web server;
# an empty token is none.
as_cgi() {
	local path=/api/v1/$1/ program=${ARNOVA_BUILD:-build}/$1.fcgi token=$2
	[[ $1 != users ]] || path=/api/v1/auth/profile/
	shift 2
	env REQUEST_METHOD=GET REQUEST_URI="$path" REMOTE_ADDR=127.0.0.1 HTTP_HOST=shop \
		HTTP_AUTHORIZATION="${token:+Bearer $token}" "$@" "$program" </dev/null 2>>"$BATS_TEST_TMPDIR/cgi.log"
}

# The same, but for the status alone.
status_as_cgi() {
	as_cgi "$@" | sed -n '1s/^Status: \([0-9]*\).*/\1/p'
}
