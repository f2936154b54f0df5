# tokens.bats: tokens with which somebody would try to get in, at each of the five services.
# shellcheck shell=bash disable=SC2154

setup_file() {
	load helper
	load tokens
	local user
	user=$(user_token reader)
	header=$(our_header)
	good=$(payload "{\"user_id\":$(cut -d. -f2 <<<"$user" | from_base64url | jq .user_id)}")
	export header good
}

setup() {
	load helper
	load tokens
}

# of_reader [JSON]: the payload of somebody who exists, but for this.
of_reader() {
	[[ -z $1 ]] || good=$(jq -c ". + $1" <<<"$good")
	printf %s "$good"
}

# with_alg JSON: our header, but for the algorithm.
with_alg() {
	jq -c --argjson alg "$1" '.alg = $alg' <<<"$header"
}

@test "a token signed with our key is taken by all five, and makes staff" {
	local token
	token=$(es256 "$header" "$good")
	attempt control "$token" 200
	judged
	TOKEN=$token api DELETE /api/v1/products/9007199254740991/
	expect_problem 404 not_found
}

@test "another algorithm is refused" {
	local alg text rsa=$BATS_TEST_TMPDIR/rsa other
	for alg in '"none"' '"None"' '"NONE"' '"nOnE"' null '["ES256"]' '"es256"' '"hs256"' '"ES384"' '"PS256"' '""'; do
		other=$(with_alg "$alg")
		attempt "alg $alg signed" "$(es256 "$other" "$good")"
		attempt "alg $alg unsigned" "$(signed_part "$other" "$good")."
	done
	other=$(jq -c 'del(.alg)' <<<"$header")
	attempt 'no alg, signed' "$(es256 "$other" "$good")"
	attempt 'no alg, unsigned' "$(signed_part "$other" "$good")."
	attempt 'unsigned' "$(signed_part "$header" "$good")."
	openssl genrsa -out "$rsa" 2048 2>/dev/null
	text=$(signed_part '{"alg":"RS256","typ":"JWT"}' "$good")
	attempt RS256 "$text.$(printf %s "$text" | openssl dgst -sha256 -sign "$rsa" | base64url)"
	openssl ecparam -name prime256v1 -genkey -noout -out "$rsa"
	attempt "a stranger's key" "$(es256 "$header" "$good" "$rsa")"
	judged
}

@test "what everybody knows is no key" {
	local key=$BATS_TEST_TMPDIR/key word digest
	openssl pkey -pubin -in "$JWT_PUBLIC_KEY" -outform DER -out "$key.der"
	for digest in sha256 sha384 sha512; do
		attempt "HS${digest#sha} over the public PEM" \
			"$(hmac $digest "{\"alg\":\"HS${digest#sha}\",\"typ\":\"JWT\"}" "$JWT_PUBLIC_KEY" "$good")"
	done
	attempt 'HMAC under our header' "$(hmac sha256 "$header" "$JWT_PUBLIC_KEY" "$good")"
	attempt 'a HMAC of the right length' "$(hmac sha512 "$header" "$JWT_PUBLIC_KEY" "$good")"
	attempt 'HS256 over the DER' "$(hmac sha256 "$HS256" "$key.der" "$good")"
	tr -d '\n' <"$JWT_PUBLIC_KEY" >"$key"
	attempt 'HS256 over the PEM in one line' "$(hmac sha256 "$HS256" "$key" "$good")"
	jq -j .kid <<<"$header" >"$key"
	attempt 'HS256 over the kid' "$(hmac sha256 "$HS256" "$key" "$good")"
	for word in '' secret password changeme arnova your-256-bit-secret 0123456789abcdef0123456789abcdef; do
		printf %s "$word" >"$key"
		attempt "HS256 with $word" "$(hmac sha256 "$HS256" "$key" "$good")"
	done
	judged
}

@test "another header is refused, and nobody goes where it leads" {
	local more bait
	bait=pi_$(random 8)
	for more in '{"kid":"../../dev/null"}' "{\"kid\":\"x' UNION SELECT 'key\"}" '{"kid":"$(touch /tmp/x)"}' '{"kid":"|id"}' \
		'{"kid":null}' '{"kid":["x"]}' "{\"kid\":\"$(printf 'k%.0s' {1..1200})\"}" '{"typ":"at+jwt"}' '{"typ":"jwt"}' \
		'{"crit":["x"]}' '{"b64":false,"crit":["b64"]}' '{"zip":"DEF"}' '{"cty":"JWT"}' '{"enc":"A128GCM"}' \
		"{\"jku\":\"$STRIPE_API_BASE/v1/payment_intents/$bait\"}" \
		"{\"x5u\":\"$STRIPE_API_BASE/v1/payment_intents/$bait\"}" \
		"{\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}}" '{"x5c":["MIIB"]}'; do
		attempt "header $more" "$(es256 "$(jq -c ". + $more" <<<"$header")" "$good")"
	done
	attempt 'no kid' "$(es256 '{"alg":"ES256","typ":"JWT"}' "$good")"
	attempt 'another order' "$(es256 "$(jq -c '{typ, kid, alg}' <<<"$header")" "$good")"
	attempt 'a name twice' "$(es256 "${header%\}},\"alg\":\"ES256\"}" "$good")"
	attempt 'a space' "$(es256 "${header/:/: }" "$good")"
	attempt 'no object' "$(es256 '"ES256"' "$good")"
	attempt 'no header' "$(es256 '' "$good")"
	attempt 'an empty one' "$(es256 '{}' "$good")"
	judged
	[[ $(ledger "[.entries[] | select((.path // \"\") | contains(\"$bait\"))] | length") == 0 ]]
	# Had anybody asked, the ledger would say so.
	curl -s -o /dev/null -H "Authorization: Bearer $STRIPE_SECRET_KEY" -H 'Stripe-Version: 2026-07-29.dahlia' \
		"$STRIPE_API_BASE/v1/payment_intents/$bait"
	[[ $(ledger "[.entries[] | select((.path // \"\") | contains(\"$bait\"))] | length") != 0 ]]
}

@test "another form is refused" {
	local token head body signature last
	token=$(es256 "$header" "$good")
	IFS=. read -r head body signature <<<"$token"
	last=$(tr AQgw BRhx <<<"${signature: -1}")
	attempt 'cut by a character' "${token%?}"
	attempt 'cut by half' "${token:0:${#token}/2}"
	attempt 'unused bits' "${token%?}$last"
	attempt 'padding' "$token=="
	attempt 'half of it' "$token="
	attempt 'standard alphabet' "${token:0:-5}+${token: -4}"
	attempt "standard alphabet's other digit" "${token:0:-5}/${token: -4}"
	attempt 'another signature' "$head.$body.$(printf 'A%.0s' {1..86})"
	attempt 'another payload' "$head.$(of_reader '{"is_staff":false}' | base64url).$signature"
	attempt '1 part' "$head"
	attempt '2 parts' "$head.$body"
	attempt '4 parts' "$token.$body"
	attempt 'an empty fourth part' "$token."
	attempt '5 parts' "$token.$body.$signature"
	attempt 'an empty header' ".$body.$signature"
	attempt 'an empty payload' "$head..$signature"
	attempt 'an empty signature' "$head.$body."
	attempt 'two dots' ..
	attempt 'more dots' .....
	attempt 'only dots' "$(head -c 3000 /dev/zero | tr '\0' .)"
	attempt 'nothing' ''
	attempt 'not a token' x
	attempt 'two at once' "$token,$token"
	attempt 'two at once with a space' "$token, $token"
	attempt 'a scheme in it' "Bearer $token"
	attempt 'something behind' "$token x"
	attempt 'a quoted one' "\"$token\""
	judged
}

@test "other claims are refused" {
	local claim
	for claim in '{"exp":1}' "{\"exp\":\"$((now + 600))\"}" '{"exp":-1}' '{"exp":4102444800}' '{"exp":null}' \
		'{"exp":[9999999999]}' '{"exp":9223372036854775807}' '{"iat":null}' \
		"{\"iat\":$((now + 3600))}" '{"iat":"1"}' "{\"nbf\":$((now + 3600))}" '{"nbf":"1"}' \
		'{"iss":"else"}' '{"iss":""}' '{"iss":"Arnova"}' '{"iss":["arnova"]}' "{\"iss\":\"$(printf 'x%.0s' {1..1000})\"}" \
		'{"aud":"arnova"}' '{"aud":""}' '{"aud":[]}' '{"aud":null}' "{\"aud\":\"$(printf 'x%.0s' {1..1000})\"}" \
		'{"token_type":"refresh"}' '{"token_type":"service"}' '{"token_type":["access"]}' \
		'{"user_id":1}' '{"user_id":"1 OR true"}' '{"user_id":"-1"}' '{"user_id":"0"}' '{"user_id":""}' \
		'{"user_id":"1\u0000"}' '{"user_id":["1"]}' '{"sub":"1\u0000"}' \
		'{"is_staff":"true"}' '{"is_staff":1}' '{"jti":""}' '{"jti":7}' '{"fam":7}' '{"fam":""}'; do
		attempt "claim $claim" "$(es256 "$header" "$(of_reader "$claim")")"
	done
	for claim in exp iat iss jti fam token_type user_id is_staff; do
		attempt "no $claim" "$(es256 "$header" "$(jq -c "del(.$claim)" <<<"$good")")"
	done
	for claim in '"iss":"arnova"' '"aud":"arnova","aud":"arnova"' '"user_id":"2"' '"token_type":"access"' '"x":1e400' \
		"\"x\":\"$(printf '\377\376')\""; do
		attempt "more $claim" "$(es256 "$header" "${good%\}},$claim}")"
	done
	for claim in 1e400 9223372036854775808 -9223372036854775809 0x7fffffff; do
		attempt "exp $claim" "$(es256 "$header" "$(sed "s/\"exp\":[0-9]*/\"exp\":$claim/" <<<"$good")")"
	done
	attempt 'an array' "$(es256 "$header" "[$good]")"
	attempt 'no object' "$(es256 "$header" '"access"')"
	attempt 'something behind' "$(es256 "$header" "$good{}")"
	attempt 'nothing' "$(es256 "$header" '')"
	judged
}

@test "each kind of token opens its own doors alone" {
	local password=$BATS_TEST_NAME refresh staff service url
	api POST /api/v1/auth/register/ "{\"email\":\"$(random 8)@example.com\",\"password\":\"$password\"}"
	expect_status 201
	attempt access "$(json .access)" 200
	refresh=$(json .refresh)
	attempt refresh "$refresh"
	judged
	api POST /api/v1/auth/refresh/ "{\"refresh\":\"$(json .access)\"}"
	expect_problem 401 token_not_valid
	staff=$(es256 "$header" "$good")
	for service in products orders users cart payments; do
		url=${service^^}_SERVICE_URL
		TOKEN=$staff api POST "${!url}/internal/v1/events/" '{}'
		expect_problem 403 permission_denied
		TOKEN=$refresh api POST "${!url}/internal/v1/events/" '{}'
		expect_problem 401 token_not_valid
		TOKEN=$SERVICE_TOKEN api POST "${!url}/internal/v1/events/" '{}'
		expect_problem 400 invalid
	done
	for url in 'POST products' 'GET orders' 'GET auth/profile' 'POST cart/merge' 'GET payments'; do
		TOKEN=$SERVICE_TOKEN api "${url% *}" "/api/v1/${url#* }/"
		expect_problem 403 permission_denied
		TOKEN=${SERVICE_TOKEN%?} api "${url% *}" "/api/v1/${url#* }/"
		expect_problem 401 token_not_valid
	done
}

@test "an expired token is refused although it was taken before" {
	local token life got=
	# On a busy machine a short life may be over too soon.
	for life in 4 8 16 32; do
		[[ $got != '200 200 200 200 200 ' ]] || break
		token=$(es256 "$header" "$(of_reader "{\"iat\":$(date +%s),\"exp\":$(($(date +%s) + life))}")")
		got=$(answers "$token")
	done
	[[ $got == '200 200 200 200 200 ' ]] || complain "$got"
	wait_for 60 refused expired "$token"
}

@test "a token elsewhere than in the header counts as none" {
	local token
	token=$(es256 "$header" "$good")
	api GET "/api/v1/orders/?access=$token&token=$token"
	expect_problem 401 not_authenticated
	api GET /api/v1/orders/ -H "X-User-Id: 1" -H "Authorization: Basic $token" -H "Cookie: access=$token"
	expect_problem 401 not_authenticated
}

@test "odd headers open nothing" {
	local token path
	token=$(es256 "$header" "$good")
	for path in orders auth/profile payments; do
		cat <<-END
			200 | GET /api/v1/$path/ | Authorization:Bearer\\s$token
			200 | GET /api/v1/$path/ | Authorization:bEARER\\s\\s$token
			400/401 | GET /api/v1/$path/ | Authorization:Bearer\\s$token Authorization:Bearer\\s$token
			400/401 | GET /api/v1/$path/ | Authorization:Basic\\sx Authorization:Bearer\\s$token
			400/401 | GET /api/v1/$path/ | Authorization:Bearer\\s$token,\\sBearer\\s$token
			400/401 @socket - | GET /api/v1/$path/ | Authorization:Bearer\\s$token\\0
			400/401 | GET /api/v1/$path/ | Authorization:Bearer\\0\\s$token
			400/401 | GET /api/v1/$path/ | Authorization:Bearer\\t$token
			400/401 | GET /api/v1/$path/ | Authorization:Bearer\\s\\t$token
			400/401 | GET /api/v1/$path/ | Authorization:Bearer$token
			400/401 | GET /api/v1/$path/ | Authorization:Basic\\s$token
			400/401 | GET /api/v1/$path/ | Authorization:$token
			400/401 | GET /api/v1/$path/ | Proxy-Authorization:Bearer\\s$token
		END
	done >"$BATS_TEST_TMPDIR/cases"
	judged
}

@test "huge tokens are refused, and the services live on" {
	local size path service part before
	part=$(printf %s "$header" | base64url)
	before=$(for service in products orders users cart payments; do workers $service; done)
	[[ $(wc -l <<<"$before") -ge 10 ]]
	for path in $token_paths; do
		for size in 4097 8193 65536 1048576 8388608; do
			echo "400/401/413/431/none @socket 400/401 | GET $path | Authorization:Bearer\\s$part.\\*$size{A}"
		done
		for size in 4097 65536; do
			echo "400/401/413/431/none @socket 400/401 | GET $path | Authorization:Bearer\\s\\*$size{.}"
			echo "400/401/413/431/none @socket 400/401 | GET $path | Authorization:Bearer\\s$part.e30.\\*$size{A}"
		done
		echo "200/401 | GET $path"
	done >"$BATS_TEST_TMPDIR/cases"
	for size in 4097 8193 65536 1000000; do
		echo "401 token_not_valid | POST /api/v1/auth/refresh/ | Content-Type:application/json | {\"refresh\":\"\\*$size{A}\"}"
		echo "401 token_not_valid | POST /api/v1/auth/refresh/ | Content-Type:application/json | {\"refresh\":\"$part.\\*$size{A}.x\"}"
	done >>"$BATS_TEST_TMPDIR/cases"
	echo "413 too_large | POST /api/v1/auth/refresh/ | Content-Type:application/json | {\"refresh\":\"\\*1048576{A}\"}" \
		>>"$BATS_TEST_TMPDIR/cases"
	judged
	[[ $(for service in products orders users cart payments; do workers $service; done) == "$before" ]]
}
