# house.bats: what all five services do alike.
# shellcheck shell=bash disable=SC2034,SC2154

setup() {
	load helper
}

services() {
	echo products orders users cart payments
}

# A route of each service that takes a JSON body from anyone who may.
post_of() {
	case $1 in
	products) echo /api/v1/products/ ;;
	orders) echo /api/v1/orders/ ;;
	users) echo /api/v1/auth/register/ ;;
	cart) echo /api/v1/cart/items/ ;;
	payments) echo /api/v1/payments/process/ ;;
	esac
}

url_of() {
	local name=${1^^}_SERVICE_URL
	echo "${!name}"
}

@test "every service is healthy and ready, and the gateway shows the health of each" {
	for service in $(services); do
		api GET "$(url_of "$service")/health"
		expect_status 200
		expect_json '[.status, .service] | tostring' "[\"ok\",\"$service\"]"
		api GET "$(url_of "$service")/health/ready"
		expect_status 200
		api GET "/health/$service"
		expect_status 200
		expect_json .service "$service"
	done
	api GET /health/nobody
	expect_problem 404 not_found
}

# The contract refuses names given twice and NUL (api.md section 1), which the suite's grammar takes.
refused_by_contract='y_object_duplicated_key.json y_object_duplicated_key_and_value.json
	y_object_escaped_null_in_key.json y_string_null_escape.json'

# Sends every text of the suite to every service over one connection; "FILE SERVICE CODE" a line.
send_suite() {
	local file service folder=$BATS_TEST_TMPDIR/suite next='' token
	token=$(staff_token)
	mkdir -p "$folder"
	for file in "$BATS_TEST_DIRNAME"/data/json-test-suite/test_parsing/*.json; do
		for service in $(services); do
			printf '%s\n' $next "url = \"$BASE$(post_of "$service")\"" "data-binary = \"@$file\"" \
				'header = "Content-Type: application/json"' "header = \"Authorization: Bearer $token\"" \
				"header = \"Idempotency-Key: suite-${file##*/}-$service-00000000\"" \
				"output = \"$folder/$service.${file##*/}\""
			next=next
		done
	done >"$BATS_TEST_TMPDIR/requests"
	curl --silent --config "$BATS_TEST_TMPDIR/requests"
	jq -r '"\(input_filename | split("/") | last) \(.code // .status // "ok")"' "$folder"/* |
		sed 's/^\([a-z]*\)\./\1 /'
}

@test "the JSON test suite gets the same verdict from every service" {
	send_suite | awk -v by_contract="$refused_by_contract" '
		{ verdict = $3 == "parse_error" ? "refused" : "accepted" }
		!($2 in verdicts) { verdicts[$2] = verdict; files++ }
		verdicts[$2] != verdict { print "the services differ on " $2; bad = 1 }
		{ answers++ }
		END {
			for (file in verdicts) {
				kind = substr(file, 1, 1)
				count[kind, verdicts[file]]++
				if (kind == "n" && verdicts[file] == "accepted") print "accepted: " file
				if (kind == "y" && verdicts[file] == "refused" && !index(by_contract, file)) print "refused: " file
			}
			printf "%d files, %d answers, n refused %d, y accepted %d, y refused %d\n", files, answers,
			       count["n", "refused"], count["y", "accepted"], count["y", "refused"]
			exit bad || answers != 5 * files || files < 318 || count["n", "refused"] != 188 ||
			     count["y", "accepted"] != 91 || count["y", "refused"] != 4
		}'
}

@test "a method that a path does not have is 405 and names those it has" {
	api PATCH /api/v1/cart/
	expect_problem 405 method_not_allowed
	expect_header Allow 'GET, HEAD, OPTIONS'
	api OPTIONS /api/v1/cart/
	expect_status 204
	expect_header Allow 'GET, HEAD, OPTIONS'
	api HEAD /api/v1/products/
	expect_status 200
}

@test "what no service has is 404 with the request's id" {
	for path in /api/v1/nothing/ /api/v2/products/ /api/v1/productsX/ /api/; do
		api GET "$path" -H 'X-Request-ID: lost-one'
		expect_problem 404 not_found
		expect_header X-Request-ID lost-one
		expect_json .request_id lost-one
		[[ $(header Cache-Control) == no-store ]]
	done
}

@test "paths work without the closing slash and nonsense is 404" {
	api GET /api/v1/products
	expect_status 200
	for path in /api/v1/products/0/ /api/v1/products/../orders/ /api/v1/products/%2e%2e/ /api/v1/products/a%2fb/ \
		/api/v1/products/%0d%0aX:1/ /api/v1//products/ /api/v1/products/99999999999999999999/ /api/v2/products/ /api/v1/productsX/; do
		api GET "$path"
		[[ $status == 404 || $status == 400 ]] || complain "expected 404 for $path"
	done
}

@test "a body must be JSON, of its type, and at most 1 MiB" {
	for service in $(services); do
		local path
		path=$(post_of "$service")
		TOKEN=$(staff_token)
		api POST "$path" -H 'Content-Type: text/plain' -H "Idempotency-Key: $(idem)" --data '{"a":1}'
		expect_problem 415 unsupported_media_type
		api POST "$path" '{"a":1' -H "Idempotency-Key: $(idem)"
		expect_problem 400 parse_error
		api POST "$path" '[]' -H "Idempotency-Key: $(idem)"
		expect_problem 400 invalid
		head -c 1048577 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/large"
		api POST "$path" -H 'Content-Type: application/json' -H 'Expect:' -H "Idempotency-Key: $(idem)" \
			--data-binary "@$BATS_TEST_TMPDIR/large"
		expect_problem 413 too_large
		unset TOKEN
	done
	api GET /api/v1/products/ -H 'Accept: text/html'
	expect_problem 406 not_acceptable
	api GET /api/v1/products/ -H 'Accept: text/html, */*;q=0.1'
	expect_status 200
	api GET /api/v1/products/ -H 'Accept: text/html , Application/JSON'
	expect_status 200
	api GET /api/v1/products/ -H 'Accept: application/jsonp'
	expect_problem 406 not_acceptable
}

@test "a long query string or host name costs no worker and no answer" {
	local before size
	new_product >/dev/null
	new_product >/dev/null
	before=$(workers products)
	[[ -n $before ]]
	for size in 1500 3500 6000; do
		api GET "/api/v1/products/?page_size=1&x=$(printf 'x%.0s' $(seq "$size"))"
		expect_status 200
		[[ $(json .next) == *"&page=2" ]]
	done
	[[ -z $(header Link) ]]
	api GET '/api/v1/products/?page_size=1' -H "Host: $(printf 'h%.0s' {1..5000})"
	expect_status 200 400
	[[ $(workers products) == "$before" ]]
}

@test "as CGI, where nothing is in front: a query string has a limit and a forwarded address is judged" {
	local address program=${BUILD:-build}/products.fcgi
	run env REQUEST_METHOD=GET REQUEST_URI="/api/v1/products/?x=$(printf 'x%.0s' {1..8200})" "$program" </dev/null
	[[ $output == "Status: 400"* ]]
	run env REQUEST_METHOD=GET REQUEST_URI=$'/api/v1/products/?page_size=1&x=\r\nSet-Cookie: a=b' "$program" </dev/null
	[[ $output == "Status: 400"* && $output != *Set-Cookie* ]]
	while read -r address forwarded; do
		run env TRUSTED_PROXIES='110.0.0.1, 10.0.0.1,10.0.0.2' REQUEST_METHOD=GET REQUEST_URI=/health \
			REMOTE_ADDR=10.0.0.1 HTTP_X_FORWARDED_FOR="$forwarded" "$program" </dev/null
		[[ $output == *"\"client.ip\":\"$address\""* ]] || complain "expected $address for $forwarded: $output"
	done <<-END
		9.9.9.9 9.9.9.9
		8.8.8.8 1.1.1.1, 8.8.8.8
		7.7.7.7 7.7.7.7 , 10.0.0.2
		2001:db8::1 6.6.6.6, 2001:db8::1,110.0.0.1
		10.0.0.1 6.6.6.6, nonsense
	END
	run env TRUSTED_PROXIES=110.0.0.1 REQUEST_METHOD=GET REQUEST_URI=/health REMOTE_ADDR=10.0.0.1 \
		HTTP_X_FORWARDED_FOR=9.9.9.9 "$program" </dev/null
	[[ $output == *'"client.ip":"10.0.0.1"'* ]]
}

@test "a request id and a trace go in and out" {
	api GET /api/v1/products/ -H 'X-Request-ID: my-id.1' \
		-H 'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
	expect_header X-Request-ID 'my-id\.1'
	expect_header traceparent '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
	api GET /api/v1/cart/ -H 'X-Request-ID: "<bad>"'
	expect_header X-Request-ID '[0-9a-f]{32}'
	api GET /api/v1/products/abc/ -H 'X-Request-ID: my-id.2'
	expect_json .request_id my-id.2
}

@test "every answer forbids sniffing, scripts and, where personal, keeping" {
	TOKEN=$(user_token private) api GET /api/v1/auth/profile/
	expect_header X-Content-Type-Options nosniff
	expect_header Content-Security-Policy "default-src 'none'.*"
	expect_header Cache-Control no-store
	expect_header Content-Type 'application/json; charset=utf-8'
}

@test "identity comes from the token alone" {
	api GET /api/v1/auth/profile/ -H 'X-User-Id: 1' -H 'X_User_Id: 1' -H 'X-Is-Staff: true'
	[[ $status == 401 || $status == 400 ]] || complain "expected 401"
	api GET /api/v1/products/ -H 'Authorization: Basic eDp5'
	expect_status 200
	api GET /api/v1/products/ -H 'Authorization: Bearer nonsense'
	expect_problem 401 token_not_valid
	api GET /api/v1/products/ -H $'Authorization: Bearer\tnonsense'
	expect_problem 401 token_not_valid
}

@test "every log line is one JSON object" {
	api GET '/api/v1/products/%22%0a%1b/'
	logs_are_json() {
		local file
		for file in "$VAR"/log/products*.log "$VAR"/log/users*.log; do
			[[ -s $file ]] || continue
			# The supervisor has a line of its own for a worker that was killed.
			grep -vE '^Child\[[0-9]+\] died, respawn$' "$file" | jq -c . >/dev/null || return
		done
	}
	# The last line may be on its way.
	wait_for 5 logs_are_json
}

# ---- Failures that are not the client's.

@test "a fault of ours is a 500 that says nothing of it" {
	psql_owner "ALTER FUNCTION products.slug_from(text, text) RENAME TO slug_from_elsewhere"
	TOKEN=$(staff_token) api POST /api/v1/products/categories/ '{"name":"Broken"}'
	psql_owner "ALTER FUNCTION products.slug_from_elsewhere(text, text) RENAME TO slug_from"
	expect_problem 500 internal_error
	expect_json '[keys[]] | join(" ")' 'code detail request_id status title type'
	[[ $body != *slug_from* && $body != *function* ]]
	TOKEN=$(staff_token) api POST /api/v1/products/categories/ '{"name":"Whole again"}'
	expect_status 201
}

@test "a sibling that does not answer in time is a 504" {
	local pool
	pool=$(workers products)
	[[ -n $pool ]]
	# shellcheck disable=SC2086
	kill -STOP $pool
	TOKEN=$(user_token patient) api POST /api/v1/cart/items/ '{"product_id":1,"quantity":1}'
	# shellcheck disable=SC2086
	kill -CONT $pool
	expect_problem 504 deadline_exceeded
}

# It says nothing of the health of products, so nobody stops calling it for that.
@test "a row that others keep busy is a 503 that says so" {
	local id
	id=$(new_product '{"stock_quantity":5}')
	hold products "SELECT FROM products_product JOIN products_stock ON product_id = products_product.id
		WHERE products_product.id = $id FOR UPDATE" >/dev/null
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$id/" '{"name":"Busy"}'
	expect_problem 503 contended
	expect_header Retry-After '[0-9]+'
	let_go 0
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$id/" '{"name":"Free"}'
	expect_status 200
}

# ---- Processes.

@test "one worker killed 20 times is replaced each time" {
	local before i victim
	before=$(workers products | wc -l)
	[[ $before -ge 2 ]]
	for i in {1..20}; do
		victim=$(workers products | head -n 1)
		kill -9 "$victim"
		wait_for 60 pool_has products "$before" "$victim"
	done
	api GET /api/v1/products/
	expect_status 200
}

pool_has() {
	[[ $(workers "$1" | wc -l) == "$2" ]] && ! workers "$1" | grep -qx "$3"
}

@test "a program does not start with a missing or weak secret" {
	local program=${BUILD:-build}/products.fcgi
	run env -u SERVICE_TOKEN "$program" </dev/null
	[[ $status -eq 1 && $output == *"SERVICE_TOKEN is not set"* ]]
	run env SERVICE_TOKEN=short "$program" </dev/null
	[[ $status -eq 1 && $output == *"at least 32"* ]]
	run env JWT_PUBLIC_KEY=/nonexistent "$program" </dev/null
	[[ $status -eq 1 ]]
	run env CURRENCY=XXX "$program" </dev/null
	[[ $status -eq 1 && $output == *CURRENCY* ]]
	run env -u PRODUCTS_DATABASE_URL "$program" </dev/null
	[[ $status -eq 1 && $output == *"no database is set"* ]]
}

@test "the same executable serves plain CGI" {
	run env REQUEST_METHOD=GET REQUEST_URI=/api/v1/products/?page_size=1 GATEWAY_INTERFACE=CGI/1.1 \
		"${BUILD:-build}/products.fcgi" </dev/null
	[[ $status -eq 0 && $output == "Status: 200"* && $output == *'"results":['* ]]
	local body='{"username":"nobody","password":"x"}'
	run env REQUEST_METHOD=POST REQUEST_URI=/api/v1/auth/login/ CONTENT_TYPE=application/json \
		CONTENT_LENGTH=${#body} "${BUILD:-build}/users.fcgi" <<<"$body"
	[[ $status -eq 0 && $output == *no_active_account* ]]
}
