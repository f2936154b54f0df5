# input.bats: whatever a client may send, through the web server and straight to the services'
# sockets.  fastcgi_client.c tells what a case looks like; adding one is adding a line.
# shellcheck shell=bash disable=SC2016,SC2119,SC2120,SC2154

bats_require_minimum_version 1.5.0

services="products orders users cart payments"

setup_file() {
	load helper
	local service pid
	staff=$(staff_token)
	product=$(new_product '{"stock_quantity":1000000}')
	export staff product
	for service in $services; do
		for pid in $(workers "$service"); do echo "$service $pid $(resident "$pid")"; done
	done >"$BATS_FILE_TMPDIR/workers"
}

setup() {
	load helper
}

# Whatever a test sends, the workers that were there are there, and none has grown by 16 MiB.
teardown() {
	local service pid before now
	while read -r service pid before; do
		now=$(resident "$pid") || complain "a worker of $service died" || return
		# The sanitizer keeps what was freed.
		[[ -n ${SANITIZE-} ]] || ((now - before < 16384)) ||
			complain "a worker of $service grew from $before to $now KiB" || return
	done <"$BATS_FILE_TMPDIR/workers"
}

# KiB of memory that a process has; fails when there is none.
resident() { # PID
	local pages
	read -r _ pages _ <"/proc/$1/statm" || return
	echo $((pages * 4))
}

client() { # WAY ADDRESS [HEADER...]
	"${BUILD:-${ARNOVA_BUILD:-build}}/test/fastcgi_client" "$@"
}

# Cases on standard input, for the web server and for the sockets.
judge() { # [HEADER...]
	local cases bad=0
	cases=$(cat)
	client "$SERVER" "${BASE#http://}" "$@" <<<"$cases" || bad=1
	client socket "$VAR/run/" "$@" <<<"$cases" || bad=1
	return $bad
}

judge_web() {
	client "$SERVER" "${BASE#http://}" "$@"
}

judge_sockets() {
	client socket "$VAR/run/" "$@"
}

as_staff() { # COMMAND: with the credentials and the key that every POST takes
	"$@" "Authorization: Bearer $staff" "Idempotency-Key: input-case-%n"
}

# A route of each service that takes a JSON body.
posts="/api/v1/products/ /api/v1/orders/ /api/v1/auth/register/ /api/v1/cart/items/ /api/v1/payments/process/"

# The cases on standard input once for each of them, whose path stands for PATH.
for_every_service() {
	local cases path
	cases=$(cat)
	for path in $posts; do echo "${cases//PATH/$path}"; done
}

# ---- Bodies.

@test "what is not strict JSON is a parse error in every service" {
	for_every_service <<'END' | as_staff judge
400 parse_error | POST PATH | | {"a":1
400 parse_error | POST PATH | | {"a":1}}
400 parse_error | POST PATH | | {} {}
400 parse_error | POST PATH | | {}x
400 parse_error | POST PATH | | {}\0
400 parse_error | POST PATH | | \xef\xbb\xbf{}
400 parse_error | POST PATH | | \xff\xfe{\0}\0
400 parse_error | POST PATH | | \0
400 parse_error | POST PATH | Content-Type:application/json
400 parse_error | POST PATH | | \s\s
400 parse_error | POST PATH | | {"a":1,"a":2}
400 parse_error | POST PATH | | {"a":1,"\u0061":2}
400 parse_error | POST PATH | | {"a":{"b":1,"b":1}}
400 parse_error | POST PATH | | \*33{[}\*33{]}
400 parse_error | POST PATH | | {"a":\*32{[}\*32{]}}
400 parse_error | POST PATH | | \*100000{[}
400 parse_error | POST PATH | | \*100000{{"a":}
400 parse_error | POST PATH | | {"a":"\xff"}
400 parse_error | POST PATH | | {"a":"\xc0\xaf"}
400 parse_error | POST PATH | | {"a":"\xed\xa0\x80"}
400 parse_error | POST PATH | | {"a":"\xf5\x80\x80\x80"}
400 parse_error | POST PATH | | {"a":"\xe2\x82"}
400 parse_error | POST PATH | | {"\xff":1}
400 parse_error | POST PATH | | {"a":"\ud800"}
400 parse_error | POST PATH | | {"a":"\udc00\ud800"}
400 parse_error | POST PATH | | {"a":"\u0000"}
400 parse_error | POST PATH | | {"a":"\x00"}
400 parse_error | POST PATH | | {"a":"\x01"}
400 parse_error | POST PATH | | {"a":"\n"}
400 parse_error | POST PATH | | {"a":1e400
400 parse_error | POST PATH | | {"a":1e400x}
400 parse_error | POST PATH | | {"a":NaN}
400 parse_error | POST PATH | | {"a":-Infinity}
400 parse_error | POST PATH | | {"a":01}
400 parse_error | POST PATH | | {"a":+1}
400 parse_error | POST PATH | | {"a":0x10}
400 parse_error | POST PATH | | {"a":1.}
400 parse_error | POST PATH | | {'a':1}
400 parse_error | POST PATH | | {"a":1,}
400 parse_error | POST PATH | | {"a":1}//x
400 parse_error | POST PATH | | a=1&b=2
END
}

@test "JSON of another form is invalid, and every unknown field is named" {
	for_every_service <<'END' | as_staff judge
400 invalid ~dictionary | POST PATH | | []
400 invalid ~dictionary | POST PATH | | \*32{[}\*32{]}
400 invalid ~dictionary | POST PATH | | null
400 invalid ~dictionary | POST PATH | | true
400 invalid ~dictionary | POST PATH | | 1
400 invalid ~dictionary | POST PATH | | "{}"
400 invalid ~"no_such_field":["Unknown\sfield."] ~"nor_this":[ | POST PATH | | {"no_such_field":1,"nor_this":{}}
400 invalid ~"a":["Unknown | POST PATH | | {"a":\*31{[}\*31{]}}
400 invalid ~"a":["Unknown | POST PATH | | {"a":9007199254740993}
400 invalid ~"a":["Unknown | POST PATH | | {"a":1e400}
400 invalid ~"a":["Unknown | POST PATH | | {"a":[{"b":-1e400}]}
400 invalid ~dictionary | POST PATH | | \*400{9}
400 invalid ~dictionary | POST PATH | | [-1e999999999999]
400 invalid ~"":["Unknown | POST PATH | | {"":1}
400 invalid ~"__proto__":["Unknown | POST PATH | | {"__proto__":{"is_staff":true}}
400 invalid | POST PATH | | {}
400 invalid | POST PATH | | \s\r\n\t{\s}\r\n
400 invalid | POST PATH
END
}

@test "what siblings pass on whole holds no number that cannot be written" {
	local service url event='{"event_id":"00000000-0000-4000-8000-000000000000","type":"x","aggregate_id":1,"version":1'
	for service in $services; do
		url=${service^^}_SERVICE_URL
		for payload in 1e400 '{"items":[{"price":-1e400}]}'; do
			TOKEN=${SERVICE_TOKEN%%,*} api POST "${!url}/internal/v1/events/" "$event,\"payload\":$payload}"
			expect_problem 400 invalid
			expect_json '.errors | keys | any(startswith("payload"))' true
		done
	done
}

@test "a body is application/json, whatever parameters that has" {
	for_every_service <<'END' | as_staff judge
415 unsupported_media_type | POST PATH | -Content-Type | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type: | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:text/plain | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:text/json | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:application/jsonp | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:application/problem+json | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:application/x-www-form-urlencoded | a=1
415 unsupported_media_type | POST PATH | Content-Type:multipart/form-data;boundary=x | --x--
415 unsupported_media_type | POST PATH | Content-Type:application/json,text/plain | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:*/* | {"a":1}
415 unsupported_media_type | POST PATH | Content-Type:\*4000{x} | {"a":1}
400 invalid ~"a" | POST PATH | Content-Type:application/json;charset=utf-8 | {"a":1}
400 invalid ~"a" | POST PATH | Content-Type:application/json\s;\scharset="UTF-8" | {"a":1}
400 invalid ~"a" | POST PATH | Content-Type:Application/JSON;profile=x | {"a":1}
END
}

@test "a body has 1 MiB at most" {
	# {"a":"..."} are 8 bytes.
	for_every_service <<'END' | as_staff judge
400 invalid ~"a":["Unknown | POST PATH | | {"a":"\*1048568{x}"}
413 too_large | POST PATH | | {"a":"\*1048569{x}"}
400 invalid ~dictionary | POST PATH | | \*1048574{\s}[]
413 too_large | POST PATH | | \*1048575{\s}[]
400 parse_error | POST PATH | | \*1048576{[}
400 invalid ~"a" @socket - | POST PATH | !chunked | {"a":"\*100000{x}"}
END
	as_staff judge_web <<'END'
413 too_large | POST /api/v1/products/ | | \*2000000{x}
413 too_large | POST /api/v1/products/ | !chunked | \*1048600{x}
400 invalid ~"a" | POST /api/v1/products/ | !chunked | {"a":1}
400 invalid ~"a" | POST /api/v1/products/ | Expect:100-continue | {"a":1}
400 invalid ~"a" | POST /api/v1/products/ | !pause=20 | {"a":"\*1000{x}"}
END
}

# ---- Values.

# One case for each way not to be a whole number from MIN to MAX. A body with @ for the value.
integer_cases() { # METHOD PATH FIELD MIN MAX BODY
	local value
	for value in $(($4 - 1)) $(($5 + 1)) -2147483649 9007199254740991 9007199254740992 9223372036854775808 \
		-9223372036854775809 18446744073709551616 1e30 1.5 '"1"' '"x"' true '[]' '{}'; do
		echo "400 invalid ~\"$3\":[ | $1 $2 | | ${6//@/$value}"
	done
	for value in 1e400 -1e400 '\*400{9}'; do
		echo "400 invalid ~\"$3\":[\"A\svalid\sinteger\sis\srequired.\"] | $1 $2 | | ${6//@/$value}"
	done
}

@test "whole numbers have their range, and nothing else passes for one" {
	local most=9007199254740991
	{
		integer_cases POST /api/v1/cart/items/ quantity 1 1000000 "{\"product_id\":$product,\"quantity\":@}"
		integer_cases POST /api/v1/cart/items/ product_id 1 $most '{"product_id":@,"quantity":1}' | grep -v :9007199254740991
		integer_cases POST /api/v1/orders/ 'items[0].quantity' 1 10000 \
			"{\"items\":[{\"product_id\":$product,\"quantity\":@}],\"notes\":1}"
		integer_cases POST /api/v1/orders/ shipping_address_id 1 $most '{"shipping_address_id":@,"notes":1}' | grep -v :9007199254740991
		integer_cases POST /api/v1/products/ stock_quantity 0 1000000000 '{"name":"x","price":"1","stock_quantity":@}'
		integer_cases PATCH "/api/v1/products/$product/" stock_quantity 0 1000000000 '{"stock_quantity":@}'
		integer_cases POST "/api/v1/products/$product/images/" position 0 10000 '{"url":"/x.png","position":@}'
		integer_cases POST /api/v1/products/categories/ parent_id 1 $most '{"name":"x","parent_id":@,"slug":"!"}' |
			grep -v :9007199254740991
		integer_cases POST /api/v1/payments/process/ order_id 1 $most '{"order_id":@,"payment_method":1}' | grep -v :9007199254740991
		echo '400 invalid ~"quantity":["This\sfield\smay\snot\sbe\snull."] | POST /api/v1/cart/items/ | | {"product_id":1,"quantity":null}'
		echo '400 invalid ~"order_id":["This\sfield\sis\srequired."] | POST /api/v1/payments/process/ | | {}'
	} | as_staff judge
}

@test "amounts are decimal text or numbers, and nothing else" {
	local value
	for value in '""' '" "' '"x"' '"1,5"' '"1.2345"' 1.2345 '"-0.01"' -1 '"+1"' '"1e2"' 1e11 '"12345678901"' '".5"' '"5."' \
		'"0x10"' '"NaN"' '"Infinity"' '"１"' '"1 000"' '"1\u0000"' true null '[]' '{}' '"1.00 USD"' '"$1"' '"\*5000{9}"'; do
		[[ $value == *0000* ]] && expected=parse_error || expected='invalid ~"price":['
		echo "400 $expected | POST /api/v1/products/ | | {\"name\":\"x\",\"price\":$value}"
		echo "400 $expected | PATCH /api/v1/products/$product/ | | {\"price\":$value}"
	done | as_staff judge
	for value in 1e400 -1e400 '\*400{9}' '-\*400{9}.5'; do
		echo "400 invalid ~\"price\":[\"A\svalid\snumber\sis\srequired.\"] | POST /api/v1/products/ | | {\"name\":\"x\",\"price\":$value}"
		echo "400 invalid ~\"price\":[\"A\svalid\snumber\sis\srequired.\"] | PATCH /api/v1/products/$product/ | | {\"price\":$value}"
	done | as_staff judge
	for value in '"2.50"' 2.5 '" 2.5 "' '"0002.5"'; do
		echo "200 ~\"2.50\" | PATCH /api/v1/products/$product/ | | {\"price\":$value}"
	done | as_staff judge
}

@test "text has its length in characters and holds no control characters" {
	sed "s|PATH|/api/v1/products/$product/|" <<'END' | as_staff judge
400 invalid ~"name":["Control | PATCH PATH | | {"name":"a\u0001b"}
400 invalid ~"name":["Control | PATCH PATH | | {"name":"a\u001bb"}
400 invalid ~"name":["Control | PATCH PATH | | {"name":"a\u007fb"}
400 invalid ~"name":["Control | PATCH PATH | | {"name":"a\u009fb"}
400 invalid ~"name":[ | PATCH PATH | | {"name":""}
400 invalid ~"name":[ | PATCH PATH | | {"name":" \u00a0\u3000 "}
400 invalid ~"name":[ | PATCH PATH | | {"name":"\*256{x}"}
400 invalid ~"name":[ | PATCH PATH | | {"name":"\*256{\xf0\x9f\x92\xa9}"}
400 invalid ~"name":[ | PATCH PATH | | {"name":"\*1000000{x}"}
400 invalid ~"name":["Not | PATCH PATH | | {"name":1}
400 invalid ~"name":["Not | PATCH PATH | | {"name":true}
400 invalid ~"name":["Not | PATCH PATH | | {"name":["x"]}
400 invalid ~"name":["Not | PATCH PATH | | {"name":{"x":"y"}}
400 invalid ~"name":["This | PATCH PATH | | {"name":null}
400 invalid ~"description":[ | PATCH PATH | | {"description":"\*20001{x}"}
400 invalid ~"is_active":[ | PATCH PATH | | {"is_active":"true"}
400 invalid ~"is_active":[ | PATCH PATH | | {"is_active":1}
400 invalid ~"is_active":[ | PATCH PATH | | {"is_active":1e400}
400 invalid ~"name":["Not | PATCH PATH | | {"name":1e400}
400 invalid ~"is_active":[ | PATCH PATH | | {"is_active":null}
400 invalid ~"currency":[ | PATCH PATH | | {"currency":"\*100{x}"}
400 invalid ~"slug":[ | PATCH PATH | | {"slug":"a/../b"}
400 invalid ~"slug":[ | PATCH PATH | | {"slug":"a b"}
200 ~"\*255{x}" | PATCH PATH | | {"name":"\*255{x}"}
200 ~"\*255{\xf0\x9f\x92\xa9}" | PATCH PATH | | {"name":"\*255{\xf0\x9f\x92\xa9}"}
200 ~"\xf0\x9f\x92\xa9" | PATCH PATH | | {"name":"\ud83d\udca9"}
200 ~"\xe2\x80\xae\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d" | PATCH PATH | | {"name":"\u202e\u05e9\u05dc\u05d5\u05dd"}
200 ~"a\xcc\x81\xef\xbf\xbf" | PATCH PATH | | {"name":"a\u0301\uffff"}
200 ~"trimmed" | PATCH PATH | | {"name":"\\t trimmed\\n"}
200 ~";\sDROP\sTABLE\sx;--\s%s%n\s$(id)\s<b>" | PATCH PATH | | {"name":"; DROP TABLE x;-- %s%n $(id) <b>"}
200 ~"\\\\\\"/" | PATCH PATH | | {"name":"\\\\\\"\\/"}
END
}

# Every "METHOD PATH" of every service but those that siblings use, with 1 for each parameter.
public_routes() {
	local service
	for service in $services; do
		"${BUILD:-${ARNOVA_BUILD:-build}}/$service.fcgi" --routes </dev/null
	done | sed -nE 's#^([A-Z]+) (/api/[^ ]*).*#\1 \2#p' | sed -E 's#:[a-z_]*#1#g' | sort -u
}

@test "every route that takes a body refuses what it does not know" {
	# Without a body of its own: a signature decides (webhook), or nothing is asked (logout-all).
	public_routes | grep -E '^(POST|PUT|PATCH) ' | grep -vE '/webhook/|/logout-all/' >"$BATS_TEST_TMPDIR/routes"
	[[ $(wc -l <"$BATS_TEST_TMPDIR/routes") -gt 15 ]]
	while read -r method path; do
		echo "400 invalid ~\"no_such_field\":[\"Unknown\\sfield.\"] | $method $path | | {\"no_such_field\":1}"
		echo "400 parse_error | $method $path | | {\"no_such_field\":1"
		echo "415 unsupported_media_type | $method $path | Content-Type:text/plain | {}"
		echo "400/404/409 | $method $path | | {\"\\*64{x}\":\\*31{[}\\*31{]}}"
	done <"$BATS_TEST_TMPDIR/routes" | as_staff judge
}

@test "what a resource shows can be sent back, and changes nothing that is read-only" {
	local shown id
	id=$(new_product)
	api GET "/api/v1/products/$id/"
	shown=$(json 'del(.price)|tojson')
	as_staff judge <<END
200 ~"9.99" ~"id":\s$id, | PATCH /api/v1/products/$id/ | | $(jq -c '.id = 999999 | .created_at = "nonsense" | .rating_avg = [] | .price = "9.99"' <<<"$shown")
END
	api GET "/api/v1/products/$id/"
	[[ $(json 'del(.price, .updated_at)|tojson') == "$(jq -r 'del(.updated_at)|tojson' <<<"$shown")" ]] || complain "was $shown"
}

# ---- Card numbers.

# Bodies that hold one, in as many places; what must not be found in an answer or a log is 4242
# and the like (an id of chance would do it, so requests bring their own).
card_cases() { # PATH
	local place
	while read -r place; do echo "400 card_number_refused !4242 | POST $1 | | $place"; done <<'END'
{"notes":"4242424242424242"}
{"notes":"4242 4242 4242 4242"}
{"notes":"4242-4242-4242-4242"}
{"notes":"4242 - 4242 - 4242 - 4242"}
{"notes":"4242\u00a04242\u20114242\u20094242"}
{"notes":"4242\\n4242\\t4242\\r4242"}
{"notes":"4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2"}
{"notes":"my card is 4242424242424242."}
{"notes":"x4242424242424242x"}
{"notes":"\u0034\u0032\u0034\u0032424242424242"}
{"notes":"\uff14\uff12\uff14\uff124242\u0664\u0662\u0664\u06624242"}
{"notes":"378282246310005"}
{"notes":"4222222222222"}
{"notes":"6304000000000000000"}
{"4242424242424242":1}
{"no_such_field":"4242424242424242"}
{"no_such_field":["x",{"y":["4242424242424242"]}]}
{"no_such_field":{"4242 4242 4242 4242":null}}
{"payment_method":"4242424242424242"}
{"payment_method":"pm_4242424242424242"}
{"items":[{"product_id":"4242424242424242"}]}
{"shipping_address":{"name":"4242424242424242"}}
{"shipping_address":{"phone":{"x":"4242424242424242"}}}
{"shipping_address":{"phones":"4242424242424242"}}
{"reason":"4242424242424242"}
END
}

@test "a card number is refused wherever it stands, and no log has it" {
	local log size written=$BATS_TEST_TMPDIR/written
	stat -c '%s %n' "$VAR"/log/*.log >"$BATS_TEST_TMPDIR/sizes"
	{
		card_cases /api/v1/orders/
		card_cases /api/v1/payments/process/
		card_cases /api/v1/payments/1/refund/
	} | as_staff judge X-Request-ID:card "traceparent:00-$(printf 'a%.0s' {1..32})-$(printf 'b%.0s' {1..16})-00"
	as_staff judge <<'END'
400 invalid | POST /api/v1/orders/ | | {"shipping_address":{"phone":"4242424242424242","postal_code":"4242 4242 4242 4242"},"items":1}
400 invalid | POST /api/v1/orders/ | | {"tracking_number":"4242424242424242"}
400 invalid | POST /api/v1/orders/ | | {"notes":"4242424242424241","items":1}
400 invalid | POST /api/v1/orders/ | | {"notes":"424242424242","items":1}
400 invalid | POST /api/v1/orders/ | | {"notes":"42424242424242424242424242","items":1}
400 invalid | POST /api/v1/payments/process/ | | {"order_id":4242424242424242,"payment_method":1}
400 parse_error | POST /api/v1/payments/process/ | | {"order_id":"4242424242424242"
415 unsupported_media_type | POST /api/v1/payments/process/ | Content-Type:text/plain | 4242424242424242
400 | POST /api/v1/payments/webhook/ | | {"number":"4242424242424242"}
400 invalid | GET /api/v1/orders/?status=4242424242424242
404 not_found | GET /api/v1/orders/card/?number=4242424242424242 | X-Card:4242424242424242
END
	# Only in what was written meanwhile: among the ids of all requests before may well be such digits.
	while read -r size log; do tail -c "+$((size + 1))" "$log"; done <"$BATS_TEST_TMPDIR/sizes" >"$written"
	[[ $(grep -c '"service.name":"orders".*"http.request.id":"card"' "$written") -ge 50 ]]
	[[ $(grep -c '"service.name":"payments".*"http.request.id":"card"' "$written") -ge 100 ]]
	run grep -E '4242[^0-9]{0,3}4242|4 2 4 2|378282246310005|4222222222222|6304000000000000000' "$written"
	[[ -z $output ]] || complain "card numbers in $output"
}

# ---- Query strings.

@test "query strings are decoded once, and judged" {
	sed 's| ?| /api/v1/products/?|' <<'END' | judge
200 | GET ?unknown=1
200 | GET ?unknown=1&unknown=2
200 | GET ?a[]=1&a[]=2
200 | GET ?&&=&=1
200 | GET ?\*1000{&x=1}
200 | GET ?x=\*6000{a}
400 parse_error @lighttpd 431 parse_error | GET ?x=\*8200{a}
400 parse_error @lighttpd 431 parse_error | GET ?x=\*20000{a}
400 invalid ~"page":["This\sparameter | GET ?page=1&page=1
400 invalid ~"page":["This\sparameter | GET ?page=1&%70age=1
400 invalid ~"page":["This\sparameter | GET ?page=1&%70%61%67%65=2
400 invalid ~"search":["This\sparameter | GET ?search=a&page=1&search=b
400 invalid ~percent-encoding | GET ?search=%
400 invalid ~percent-encoding | GET ?search=%4
400 invalid ~percent-encoding | GET ?search=%4g
400 invalid ~percent-encoding | GET ?search=%zz
400 invalid ~percent-encoding | GET ?search=%u0041
400 invalid ~percent-encoding | GET ?%zz=1
400 invalid ~percent-encoding | GET ?unknown=%zz
400 invalid ~percent-encoding | GET ?search=%00
400 invalid ~percent-encoding | GET ?search=a%00b
400 invalid ~percent-encoding | GET ?%00=1
400 invalid ~percent-encoding | GET ?search=%ff
400 invalid ~percent-encoding | GET ?search=%c0%af
400 invalid ~percent-encoding | GET ?search=%ed%a0%80
400 invalid ~"search":["Control | GET ?search=%01
400 invalid ~"search":["Control | GET ?search=%7f
400 invalid ~"search":["Control | GET ?search=%c2%9f
200 | GET ?search=a+b
200 | GET ?search=a%2Bb
200 | GET ?search=%2527
200 | GET ?search=%f0%9f%92%a9
200 | GET ?search=%e2%80%ae
200 | GET ?search='%20OR%201=1--
200 | GET ?search=\*200{x}
400 invalid ~"search":[ | GET ?search=\*201{x}
400 invalid ~"search":[ | GET ?search=
400 | GET ?x=a b
400 !evil | GET ?x=%0d%0aSet-Cookie:evil=1&page=0
400 | GET ?x=\x01
400 | GET ?x=\x7f
400 invalid ~"ordering":[ | GET ?ordering=nothing
400 invalid ~"ordering":[ | GET ?ordering=
400 invalid ~"ordering":[ | GET ?ordering=price;DROP
400 invalid ~"ordering":[ | GET ?ordering=price,name
400 invalid ~"ordering":[ | GET ?ordering=--price
400 invalid ~"ordering":[ | GET ?ordering=price&search=x&ordering=name
400 invalid ~"min_price":[ | GET ?min_price=-1
400 invalid ~"min_price":[ | GET ?min_price=1e400
400 invalid ~"min_price":[ | GET ?min_price=NaN
400 invalid ~"in_stock":[ | GET ?in_stock=maybe
400 invalid ~"ids":[ | GET ?ids=1,x
400 invalid ~"ids":[ | GET ?ids=,
400 invalid ~"ids":[ | GET ?ids=1,2,9007199254740992
400 invalid ~"ids":[ | GET ?ids=1\*100{,2}
END
	# A line break ends the request line, and what follows is no request.
	judge_sockets <<'END'
400 parse_error !evil | GET /api/v1/products/?x=\r\nSet-Cookie:evil=1
END
}

# The lists of the catalogue; those of callers are asked as one.
@test "pages begin at 1, and no list is longer than 100" {
	local list
	for list in /api/v1/products/ /api/v1/products/categories/ "/api/v1/products/$product/variants/" \
		"/api/v1/products/$product/images/" /api/v1/orders/ /api/v1/payments/; do
		sed "s| ?| $list?|"
	done <<'END' | as_staff judge
400 invalid ~"page":[ | GET ?page=0
400 invalid ~"page":[ | GET ?page=-1
400 invalid ~"page":[ | GET ?page=abc
400 invalid ~"page":[ | GET ?page=1.5
400 invalid ~"page":[ | GET ?page=1e2
400 invalid ~"page":[ | GET ?page=0x1
400 invalid ~"page":[ | GET ?page=
400 invalid ~"page":[ | GET ?page
400 invalid ~"page":[ | GET ?page=%EF%BC%91
400 invalid ~"page":[ | GET ?page=1000000000000000000
400 invalid ~"page":[ | GET ?page=9223372036854775808
404 not_found | GET ?page=9007199254740991
404 not_found | GET ?page=2147483648
404 not_found | GET ?page=99999
400 invalid ~"page_size":[ | GET ?page_size=0
400 invalid ~"page_size":[ | GET ?page_size=-1
400 invalid ~"page_size":[ | GET ?page_size=all
200 | GET ?page_size=1
200 | GET ?page_size=100
200 | GET ?page_size=101
200 | GET ?page_size=1000000000
200 | GET ?page=1&page_size=9007199254740991
400 invalid ~"cursor":[ | GET ?cursor=nonsense
400 invalid ~"cursor":[ | GET ?cursor=zz
400 invalid ~"cursor":[ | GET ?cursor=00
400 invalid ~"cursor":[ | GET ?cursor=662c2c312c
400 invalid ~"cursor":[ | GET ?cursor=662c2c312c00
400 invalid ~"cursor":[ | GET ?cursor=\*4098{6}
400 invalid | GET ?cursor=&page=1
END
}

# ---- Paths.

@test "a path leads where it says, whatever disguise it wears" {
	sed 's|/=|/api/v1/products/|' <<'END' | judge
404 @nginx 404/400 | GET /=../../../internal/v1/due/
404 @nginx 404/400 | GET /=%2e%2e/%2e%2e/%2e%2e/internal/v1/due/
404 @nginx 404/400 | GET /=%2e%2e%2f%2e%2e%2f%2e%2e%2finternal%2fv1%2fdue/
404 | GET /=..;/..;/..;/internal/v1/due/
404 | GET /=..;/orders/
404 | GET /=..%5c..%5corders/
404 | GET /=../orders/
404 | GET /=%2e%2e/orders/
404 | GET /=.%2e/orders/
404 | GET /=./
404 | GET /=../
404 | GET /=%2e/
404 | GET /=.../
404 | GET /=...
404 | GET /=1.
404 | GET /=1./
404 | GET /api/v1/products./
404 | GET //api/v1/products/
404 | GET /api//v1/products/
404 | GET /api/v1//products/
404 | GET /=/
404 | GET /=1//variants/
404 | GET /=1/variants//
404 | GET /=a%2fb/
404 | GET /=1%2fvariants/
404 | GET /api/v1%2fproducts/
404 | GET /api/v1/products%2f
404 | GET /api/v1/products%2F1/
404 | GET /=%5c/
404 | GET /=a\\b/
404 !evil @lighttpd 400/404 !evil | GET /=%0d%0aSet-Cookie:%20evil=1/
404 !evil @lighttpd 400/404 !evil | GET /=x%0d%0a%0d%0aevil/
404 | GET /=%09/
404 | GET /=%7f/
404 @nginx 400 | GET /=%00/
404 @nginx 400 | GET /=1%00/
404 | GET /=%2527/
404 | GET /=%27%20OR%201=1--/
404 | GET /=%252e%252e%252forders/
404 | GET /=%25%32%65%25%32%65/
404 | GET /=%c0%ae%c0%ae/
404 | GET /=%c0%af/
404 | GET /=%e0%80%af/
404 | GET /=%ed%a0%80/
404 | GET /=%ff/
404 @nginx 400 | GET /=%zz/
404 @nginx 400 | GET /=%
404 @nginx 400 | GET /=%4
404 @nginx 404/400 @lighttpd 400/404 | GET /=\xff/
404 @nginx 400 | GET /=\x01/
404 @nginx 400 | GET /=\x7f/
404 @nginx 400 | GET /=a\tb/
404 | GET /=\*2000{a}/
404 | GET /=\*2040{a}/
404 | GET /=\*4000{a}/
404 | GET /=\*1000{a/}
404 @nginx 400 | GET /=\*600{../}
404 @nginx 400 @lighttpd 431 | GET /=\*9000{a}/
404 | GET /api/v1/productsX/
404 | GET /API/V1/PRODUCTS/
404 | GET /api/v1/
404 | GET /api/v2/products/
404 | GET /
404 | GET /metrics
404 | GET /internal/v1/due/
404 | GET /nginx.conf
404 | GET /.git/config
404 | GET /=.git/config
404 | GET /=0/
404 | GET /=00/
404 | GET /=007/
404 | GET /=-1/
404 | GET /=+1/
404 | GET /=%201/
404 | GET /=1%20/
404 | GET /=1e0/
404 | GET /=1.0/
404 | GET /=0x1/
404 | GET /=1;x=y/
404 | GET /=%EF%BC%91/
404 | GET /=999999999999999999/
404 | GET /=1000000000000000000/
404 | GET /=9223372036854775807/
404 | GET /=9223372036854775808/
404 | GET /=18446744073709551617/
404 | GET /=\*60{9}/
404 @nginx 400 @lighttpd 400 | GET api/v1/products/
404 @nginx 400 @lighttpd 400 | GET ?
404 @nginx 400 @lighttpd 400 | GET *
404 @lighttpd 400/404 | GET /=#fragment
404 @nginx 400/200 !evil @lighttpd 400 | GET http://evil.example/api/v1/products/
404 @nginx 400 @lighttpd 400 | GET http://evil.example@/api/v1/products/
404 @nginx 400 @lighttpd 400 | GET file:///etc/passwd
200 ~results | GET /api/v1/products
200 ~results | GET /api/v1/products?
200 ~results @nginx 404 | GET /api/v1/%70roducts/
END
	# A path that the gateway has not must not lead behind it either.
	as_staff judge_web <<'END'
404 not_found | POST /internal/v1/quote/ | | {"items":[]}
404 not_found | POST /api/v1/products/%2e%2e/%2e%2e/%2e%2e/internal/v1/quote/ | | {"items":[]}
404 not_found @nginx 400/404 | POST /api/v1/products/../../../internal/v1/quote/ | | {"items":[]}
404 not_found | GET /api/v1/auth/../../../internal/v1/users/1/
404 not_found | GET /media/
404 not_found | GET /media/../env
404 not_found @nginx 400/404 | GET /media/%2e%2e/env
404 not_found @nginx 400/404 | GET /media/%2e%2e%2fenv
404 not_found @nginx 400/404 | GET /media/..%5cenv
404 not_found | GET /media/none.png
END
	grep -q "^export" "$VAR/env"
}

# ---- Headers.

@test "no header says who is asking but the token" {
	judge <<'END'
401 not_authenticated | GET /api/v1/auth/profile/ | X-User-Id:1
401 not_authenticated | GET /api/v1/auth/profile/ | X_User_Id:1
400/401 | GET /api/v1/auth/profile/ | X_User_Id:1 X-User-Id:1
401 not_authenticated | GET /api/v1/auth/profile/ | Remote-User:1 X-Remote-User:1 X-Is-Staff:true X-Service:orders X-Forwarded-User:1
401 not_authenticated | GET /api/v1/auth/profile/ | !param=REMOTE_USER=1 !param=AUTH_TYPE=Bearer !param=HTTP_REMOTE_USER=1
401 not_authenticated | GET /api/v1/auth/profile/ | Cookie:access=1 Proxy-Authorization:Bearer\sx
401 not_authenticated | GET /api/v1/auth/profile/ | Authorization:
401 not_authenticated/token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer
401 not_authenticated | GET /api/v1/auth/profile/ | Authorization:Basic\seDp5
401 not_authenticated | GET /api/v1/auth/profile/ | Authorization:Token\sx
401 not_authenticated | GET /api/v1/auth/profile/?access_token=x&token=x
401 token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer\snonsense
401 token_not_valid | GET /api/v1/products/ | Authorization:bearer\snonsense
401 token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer\sa,\sBearer\sb
401 token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer\s\*4097{a}
401 token_not_valid @nginx 400 parse_error @lighttpd 431 parse_error | GET /api/v1/auth/profile/ | Authorization:Bearer\s\*8193{a}
400 parse_error @lighttpd 401 token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer\sa Authorization:Bearer\sb
400 parse_error @lighttpd 401 not_authenticated | GET /api/v1/auth/profile/ | Authorization:Basic\sa Authorization:Bearer\sb
END
	# The real token does not shine through a second one.
	judge "Authorization: Bearer $staff" <<'END'
200 | GET /api/v1/auth/profile/
400 parse_error @lighttpd 401 token_not_valid | GET /api/v1/auth/profile/ | Authorization:Bearer\sb
END
}

@test "lists may come in several lines, everything else once" {
	judge <<'END'
200 | GET /api/v1/products/ | Accept:text/html Accept:application/json
200 | GET /api/v1/products/ | Accept:application/json Accept:text/html
406 not_acceptable | GET /api/v1/products/ | Accept:text/html Accept:text/plain
200 | GET /api/v1/products/ | X-Forwarded-For:1.2.3.4 X-Forwarded-For:5.6.7.8
200 | GET /api/v1/products/ | Cookie:a=b Cookie:c=d Via:1.1\sa Via:1.1\sb Cache-Control:no-cache Cache-Control:max-age=0
400 parse_error @lighttpd 400/401 | POST /api/v1/orders/ | Idempotency-Key:aaaaaaaaaaaaaaaa Idempotency-Key:bbbbbbbbbbbbbbbb | {}
400 parse_error @lighttpd 200 | GET /api/v1/cart/ | X-Cart-Token:a X-Cart-Token:b
400 parse_error @lighttpd 200 | GET /api/v1/products/ | X-Anything:a X-Anything:b
END
	judge_web <<'END'
400 | POST /api/v1/auth/login/ | Content-Type:application/json Content-Type:text/plain | {"a":1}
400 | GET /api/v1/products/ | Host:a.example Host:b.example
END
}

@test "the client's address in the log is the peer's, and nobody writes lines of his own" {
	local tag
	tag=$(random 8)
	sed "s/TAG/$tag/" <<'END' | judge
200 | GET /api/v1/products/ | X-Request-ID:TAG-1 X-Forwarded-For:6.6.6.6
200 | GET /api/v1/products/ | X-Request-ID:TAG-2 X-Forwarded-For:6.6.6.6 X-Forwarded-For:127.0.0.1
200 | GET /api/v1/products/ | X-Request-ID:TAG-3 X-Real-IP:6.6.6.6 Forwarded:for=6.6.6.6 Client-IP:6.6.6.6 True-Client-IP:6.6.6.6
200 | GET /api/v1/products/ | X-Request-ID:TAG-4 X-Forwarded-For:127.0.0.1","client.ip":"6.6.6.6
404 | GET /api/v1/products/%22,%22client.ip%22:%226.6.6.6/ | X-Request-ID:TAG-5
404/400 | GET /api/v1/products/%0a%7b%22client.ip%22:%226.6.6.6%22%7d/ | X-Request-ID:TAG-6
404 | GET /api/v1/products/%1b%5b2J%e2%80%a8/ | X-Request-ID:TAG-7
END
	judge_sockets <<END
404 | GET /api/v1/products/\n{"client.ip":"6.6.6.6"}/ | X-Request-ID:$tag-8 X-Forwarded-For:\n{"client.ip":"6.6.6.6"}
405 | \n{"client.ip":"6.6.6.6"} /api/v1/products/ | X-Request-ID:$tag-9
END
	grep "\"$tag-" "$VAR/log/products.log" >"$BATS_TEST_TMPDIR/lines"
	[[ $(jq -s length "$BATS_TEST_TMPDIR/lines") -ge 15 ]]
	[[ $(jq -r '."client.ip"' "$BATS_TEST_TMPDIR/lines" | sort -u) == 127.0.0.1 ]]
	run ! grep -E '^\{"client.ip"' "$VAR/log/products.log"
}

@test "what trusted proxies report counts, in however many lines they do" {
	local socket=$BATS_TEST_TMPDIR/own.sock log=$BATS_TEST_TMPDIR/own.log worker
	TRUSTED_PROXIES=127.0.0.1,10.0.0.1 spawn-fcgi -n -s "$socket" -- \
		"${BUILD:-${ARNOVA_BUILD:-build}}/products.fcgi" 2>"$log" 3>&- &
	worker=$!
	wait_for 60 test -S "$socket"
	client socket "$socket" <<'END' || bad=1
200 | GET /health | X-Forwarded-For:9.9.9.9
200 | GET /health | X-Forwarded-For:6.6.6.6 X-Forwarded-For:8.8.8.8,\s10.0.0.1
200 | GET /health | X-Forwarded-For:6.6.6.6,\s7.7.7.7 X-Forwarded-For:10.0.0.1
200 | GET /health | X-Forwarded-For:6.6.6.6 X-Forwarded-For:nonsense
200 | GET /health | X-Real-IP:6.6.6.6
END
	kill "$worker"
	wait "$worker" || true
	[[ -z ${bad-} ]]
	[[ $(jq -r 'select(.message == "request") | ."client.ip"' "$log" | xargs) == '9.9.9.9 8.8.8.8 7.7.7.7 127.0.0.1 127.0.0.1' ]]
}

@test "request ids and traces are taken when well formed, and made otherwise" {
	judge <<'END'
200 X-Request-ID:abc-1._ | GET /api/v1/products/ | X-Request-ID:abc-1._
200 X-Request-ID:\*128{a} | GET /api/v1/products/ | X-Request-ID:\*128{a}
200 !\*100{a} | GET /api/v1/products/ | X-Request-ID:\*129{a}
200 !evil | GET /api/v1/products/ | X-Request-ID:a%0d%0aSet-Cookie:evil=1
200 !evil | GET /api/v1/products/ | X-Request-ID:"evil"
200 !evil | GET /api/v1/products/ | X-Request-ID:evil\sid
200 !evil @nginx 200/400 !Set-Cookie:\sevil @lighttpd 200/400 !Set-Cookie:\sevil | GET /api/v1/products/ | X-Request-ID:a\r\nSet-Cookie:\sevil=1
404 !evil | GET /api/v1/products/0/ | X-Request-ID:{"evil":1}
200 traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 | GET /api/v1/products/ | traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
200 !b7ad6b7169203331 | GET /api/v1/products/ | traceparent:00-00000000000000000000000000000000-b7ad6b7169203331-01
200 !0af7651916cd43dd | GET /api/v1/products/ | traceparent:00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01
200 !b7ad6b7169203331 | GET /api/v1/products/ | traceparent:00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01
200 !b7ad6b7169203331 | GET /api/v1/products/ | traceparent:ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
200 !b7ad6b7169203331 | GET /api/v1/products/ | traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x
200 !b7ad6b7169203331 | GET /api/v1/products/ | traceparent:00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1
200 !evil | GET /api/v1/products/ | traceparent:\*1000{evil}
END
}

@test "what is accepted is JSON or anything" {
	judge <<'END'
200 | GET /api/v1/products/ | Accept:*/*
200 | GET /api/v1/products/ | Accept:
200 | GET /api/v1/products/ | Accept:APPLICATION/*
200 | GET /api/v1/products/ | Accept:application/json;version=1
200 | GET /api/v1/products/ | Accept:text/html,application/xhtml+xml,*/*;q=0.8
200 | GET /api/v1/products/ | Accept:text/html\s,\sapplication/problem+json
406 not_acceptable | GET /api/v1/products/ | Accept:text/html
406 not_acceptable | GET /api/v1/products/ | Accept:application/xml
406 not_acceptable | GET /api/v1/products/ | Accept:application/jsonp
406 not_acceptable | GET /api/v1/products/ | Accept:json
406 not_acceptable | GET /api/v1/products/ | Accept:;;;,,,
406 not_acceptable | GET /api/v1/products/ | Accept:\*4000{x}
200 !Content-Range | GET /api/v1/products/ | Range:bytes=0-5
200 !Content-Range | GET /api/v1/products/ | Range:bytes=0-5 If-Range:"x"
200 !Content-Encoding | GET /api/v1/products/ | Accept-Encoding:gzip,br Accept-Language:xx
200 | GET /api/v1/products/ | Expect:nonsense
200 @lighttpd 400 parse_error | GET /api/v1/products/ | | {"a":1}
200 | GET /api/v1/products/ | Proxy:http://127.0.0.1:1/
200 | GET /api/v1/products/ | Upgrade:h2c HTTP2-Settings:x X-HTTP-Method-Override:DELETE
200 | GET /api/v1/products/ | !many=200
END
}

@test "the web server refuses what is no HTTP, and passes nothing on that could be two requests" {
	judge_web <<'END'
400 parse_error | GET /api/v1/products/ | !line=X-Spaced\s:\sa
400 parse_error | GET /api/v1/products/ | !line=X-Nul:\sa\0b
400 parse_error @nginx 200 | GET /api/v1/products/ | !line=nocolon
400 parse_error | GET /api/v1/products/ | !line=:novalue
400 parse_error @lighttpd 200 | GET /api/v1/products/ | !line=X-Folded:\sa\r\n\sb
400 parse_error | GET /api/v1/products/ | Host:a/b
400 parse_error | GET /api/v1/products/ | Host:
400 parse_error @lighttpd 431 parse_error | GET /api/v1/products/ | X-Long:\*9216{a}
400 parse_error @lighttpd 431 parse_error | GET /api/v1/products/ | !many=2000
400 parse_error | POST /api/v1/auth/login/ | !chunked !length=7 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !line=Transfer-Encoding:\schunked | {"a":1}
400 parse_error @lighttpd 501 | POST /api/v1/auth/login/ | !length= !line=Transfer-Encoding:\sidentity,chunked | {"a":1}
400 parse_error @nginx 400/501 @lighttpd 400/501 | POST /api/v1/auth/login/ | !length= !line=Transfer-Encoding:\sxchunked | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | Content-Length:7 Content-Length:8 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=+7 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=-1 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=0x7 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=7,7 | {"a":1}
400/413 | POST /api/v1/auth/login/ | !length=2147483648 | {"a":1}
400/413 | POST /api/v1/auth/login/ | !length=9223372036854775808 | {"a":1}
400/413 | POST /api/v1/auth/login/ | !length=18446744073709551623 | {"a":1}
400 | POST /x | !raw | POST /api/v1/auth/login/ HTTP/1.1\r\nHost:a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n7x\r\n{"a":1}\r\n0\r\n\r\n
400 | POST /x | !raw | POST /api/v1/auth/login/ HTTP/1.1\r\nHost:a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{"a":1}\r\n0\r\n\r\n
400 | POST /x | !raw | POST /api/v1/auth/login/ HTTP/1.1\r\nHost:a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{"a":1}\r\n0\r\n\r\n
400 | GET /x | !raw | GET /api/v1/products/ HTTP/1.1\r\nConnection: close\r\n\r\n
400 @lighttpd 505 | GET /x | !raw | GET /api/v1/products/ HTTP/9.9\r\nHost: a\r\nConnection: close\r\n\r\n
400 | GET /x | !raw | GET /api/v1/products/ XTTP/1.1\r\nHost: a\r\n\r\n
400 | GET /x | !raw | \0\0\0\0\r\n\r\n
400 | GET /x | !raw | \x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n
END
}

# ---- Methods.

# allowed ROUTES PATH: its methods as the Allow header names them.
allowed() {
	awk -v path="$2" '$2 == path { has[$1] = 1 } END {
		count = split("GET POST PUT PATCH DELETE", methods)
		for (i = 1; i <= count; i++) if (methods[i] in has)
			list = list methods[i] (methods[i] == "GET" ? ",\\sHEAD,\\s" : ",\\s")
		print list "OPTIONS"
	}' "$1"
}

# Every method that a path of ROUTES does not have.
method_cases() { # ROUTES
	local path method allow
	cut -d ' ' -f 2 "$1" | sort -u | while read -r path; do
		allow=$(allowed "$1" "$path")
		for method in GET POST PUT PATCH DELETE PROPFIND; do
			grep -qx "$method $path" "$1" ||
				echo "405 method_not_allowed Allow:\\s$allow | $method $path"
		done
		echo "405 method_not_allowed Allow:\\s$allow @nginx 405 method_not_allowed Allow: | TRACE $path"
		echo "405 method_not_allowed Allow:\\s$allow @lighttpd 501 method_not_allowed | FOO $path | | {}"
		echo "405 method_not_allowed Allow:\\s$allow @nginx 400 @lighttpd 501 | get $path"
		echo "204 Allow:\\s$allow | OPTIONS $path"
	done
}

@test "every path names its methods to whoever uses another" {
	public_routes >"$BATS_TEST_TMPDIR/routes"
	method_cases "$BATS_TEST_TMPDIR/routes" | as_staff judge
}

@test "so do the paths of siblings, on the listener of each service" {
	local service url
	for service in $services; do
		url=${service^^}_SERVICE_URL
		"${BUILD:-${ARNOVA_BUILD:-build}}/$service.fcgi" --routes </dev/null |
			sed -nE 's#^([A-Z]+) (/(internal|health|metrics)[^ ]*).*#\1 \2#p' | sed -E 's#:[a-z_]*#1#g' |
			sort -u >"$BATS_TEST_TMPDIR/routes"
		method_cases "$BATS_TEST_TMPDIR/routes" >"$BATS_TEST_TMPDIR/cases"
		client "$SERVER" "${!url#http://}" <"$BATS_TEST_TMPDIR/cases"
		client socket "$VAR/run/$service-internal.sock" <"$BATS_TEST_TMPDIR/cases"
	done
}

# ---- FastCGI itself.

@test "a worker outlives whatever comes by its socket, and serves the next" {
	{
		cat <<'END'
200 | GET /api/v1/products/ | !chunk=1
200 | GET /api/v1/products/ | !chunk=7 !padding=1
200 | GET /api/v1/products/ | !padding=255
200 | GET /api/v1/products/ | !id=65535
200 | GET /api/v1/products/ | !role=3
200 | GET /api/v1/products/ | !pause=10
400 invalid | POST /api/v1/auth/login/ | !chunk=1 !padding=7 | {"a":1}
400 invalid | POST /api/v1/auth/login/ | !chunk=3 | {"a":"\*10000{x}"}
400 invalid | POST /api/v1/auth/login/ | !pause=10 | {"a":1}
none | GET /api/v1/products/ | !role=0
none | GET /api/v1/products/ | !role=99
none | GET /api/v1/products/ | !id=0
none/200 | GET /api/v1/products/ | !type=1
none/200 | GET /api/v1/products/ | !type=2
none/200 | GET /api/v1/products/ | !type=3
none/200 | GET /api/v1/products/ | !type=4
none/200 | GET /api/v1/products/ | !type=5
none/200 | GET /api/v1/products/ | !type=6
none/200 | GET /api/v1/products/ | !type=9
none/200 | GET /api/v1/products/ | !type=11
none/200 | GET /api/v1/products/ | !type=255
400 parse_error | POST /api/v1/auth/login/ | !length=100 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=1048576 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=6 | {"a":1}
400 invalid | POST /api/v1/auth/login/ | !length=7 | {"a":1}{"a":1}\*100000{x}
400 parse_error | POST /api/v1/auth/login/ | !length=0 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length= | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=+7 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=-1 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=7x | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !length=\s7 | {"a":1}
413 too_large | POST /api/v1/auth/login/ | !length=1048577 | {"a":1}
413 too_large | POST /api/v1/auth/login/ | !length=1048577 | \*1048577{x}
413 too_large | POST /api/v1/auth/login/ | !length=4294967303 | {"a":1}
413 too_large | POST /api/v1/auth/login/ | !length=9223372036854775808 | {"a":1}
413 too_large | POST /api/v1/auth/login/ | !length=18446744073709551623 | {"a":1}
400 parse_error | POST /api/v1/auth/login/ | !aborted !length=100 | {"a":1}
200 | GET /api/v1/products/ | !aborted
400 invalid | POST /api/v1/auth/login/ | !endless | {"a":1}
404 not_found | GET /api/v1/products/ | !drop=REQUEST_URI
405 method_not_allowed | GET /api/v1/products/ | !drop=REQUEST_METHOD
200 | GET /api/v1/products/ | !drop=QUERY_STRING
200 | GET /api/v1/products/ | !drop=REMOTE_ADDR
200 | GET /api/v1/products/ | !drop=HTTP_HOST
200 | GET /api/v1/products/ | !param=HTTP_X_LONG=\*1000000{x}
200 | GET /api/v1/products/ | !param=\*100000{N}=x
200 | GET /api/v1/products/ | !param==x
200 | GET /api/v1/products/ | !param=x=
200 | GET /api/v1/products/ | !param=REQUEST_URI=/metrics !param=REQUEST_METHOD=DELETE
400 parse_error | GET /api/v1/products/ | !param=CONTENT_LENGTH=5
400 parse_error | GET /api/v1/products/ | !param=HTTP_HOST=b.example
200 !evil | GET /api/v1/products/?page_size=1 | !drop=HTTP_HOST !param=HTTP_HOST=evil/
200 !evil | GET /api/v1/products/?page_size=1 | !drop=HTTP_HOST !param=HTTP_HOST=\r\nevil:1
200 | GET /api/v1/products/ | !many=3000
404 not_found | GET \*100000{/}
404 not_found | GET \*100000{a}
405 method_not_allowed | \*100000{M} /api/v1/products/
END
		for cut in 0 1 7 8 9 16 17 20 23 24 25 40 100 250 300 400 700 999999; do
			echo "none | POST /api/v1/auth/login/ | !cut=$cut | {\"a\":\"\\*500{x}\"}"
			echo "none | GET /api/v1/products/?page_size=100 | !cut=$cut"
		done
		# Neither a request nor the end of one: the line is cut behind it.
		cat <<'END'
none | GET / | !raw !cut=9999 | garbage
none | GET / | !raw !cut=9999 | GET /api/v1/products/ HTTP/1.1\r\nHost: a\r\n\r\n
none | GET / | !raw !cut=9999 | \x02\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\xff\xff\xff\x00\*200{\x00}
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x01\x00\x00\x00\*20{\x00}
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\xff\xff\x00\x00\x7f\x7f
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x08\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x08\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01\x04\x00\x01\x00\x00\x00\x00
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x08\x00\x00\x80\x00\x00\x00\x80\x00\x00\x00
none | GET / | !raw !cut=9999 | \x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x04\x00\x01\x00\x02\x00\x00\x05\x05\x01\x04\x00\x01\x00\x00\x00\x00
none | GET / | !raw !cut=9999 | \*64{\x00}
none | GET / | !raw !cut=9999 | \*64{\xff}
none | GET / | !raw !cut=9999 | \x01\x09\x00\x00\x00\x10\x00\x00\x0e\x00FCGI_MAX_CONNS
none | GET / | !raw !cut=9999 | \x01\x09\x00\x00\xff\xff\x00\x00\xff\xff\xff\xff
END
	} | awk '{ print } END { for (i = 0; i < 8; i++) print "200 ~results | GET /api/v1/products/" }' | judge_sockets
}
