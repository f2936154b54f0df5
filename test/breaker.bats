#!/usr/bin/env bats
# A sibling that fails is left alone for a while, by all workers of a service, and then tried
# again by one of them.

setup_file() {
	load helper
	product=$(new_product)
	export product
}

setup() {
	load helper
	TOKEN=$(user_token patient)
	api POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_status 201
	cart=http://127.0.0.1:$((PORT + 4))
}

teardown() {
	products_back
	wait_for 60 is_fresh
}

# So many reads of the cart at once, each of which asks products for its prices.
reads() {
	local i
	for ((i = 0; i < $1; i++)); do
		curl --silent --output /dev/null --header "Authorization: Bearer $TOKEN" "$BASE/api/v1/cart/" &
	done
	wait
}

# As nginx tells of each; lighttpd does not ask a backend again that it knows to be away.
calls_in_vain() {
	cat "$VAR"/log/nginx-error.log* 2>/dev/null | grep -c products-internal.sock || true
}

is_fresh() {
	api GET /api/v1/cart/
	[[ $(json .stale) == false ]]
}

products_left_alone() {
	api GET "$cart/health/ready"
	[[ $status == 503 && $(json .failing.products) != null ]]
}

@test "a sibling that fails is left alone, by every worker, and readiness says so" {
	api GET "$cart/health/ready"
	expect_status 200
	products_away
	local before i
	for ((i = 0; i < 10; i++)); do
		reads 8
		! products_left_alone || break
	done
	((i < 10)) || complain "80 failed calls, and it is still called"
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	# Whatever is served without products is served.
	api GET /api/v1/cart/
	expect_status 200
	expect_json .stale true
	grep -q '"leaves a service alone"' "$VAR/log/cart.log"
	# It takes a rest, then one try at a time: of many reads few try.
	before=$(calls_in_vain)
	for ((i = 0; i < 5; i++)); do reads 8; done
	(($(calls_in_vain) - before <= 20)) || complain "$(($(calls_in_vain) - before)) of 120 possible calls were made"
	products_back
	wait_for 60 is_fresh
	api GET "$cart/health/ready"
	expect_status 200
}

# Its callers are all waiting then, so few calls are made and each counts for more.
@test "a sibling that hangs is left alone as well" {
	local pool i
	pool=$(workers products)
	# shellcheck disable=SC2086
	kill -STOP $pool
	for ((i = 0; i < 10; i++)); do
		reads 4
		! products_left_alone || break
	done
	# shellcheck disable=SC2086
	kill -CONT $pool
	((i < 10)) || complain "40 calls hung, and it is still called"
	wait_for 60 is_fresh
}

@test "a few failures do not stop anybody from calling" {
	wait_for 60 is_fresh
	# What was counted before is ten seconds old at most.
	reads 30
	products_away
	reads 4
	api GET "$cart/health/ready"
	expect_status 200
	products_back
	is_fresh
}

@test "what the client did wrong says nothing of the sibling" {
	local i
	for ((i = 0; i < 30; i++)); do
		api POST /api/v1/cart/items/ '{"product_id":999999999,"quantity":1}'
		expect_status 400
	done
	api GET "$cart/health/ready"
	expect_status 200
}

@test "a file that says nonsense costs a rest at most" {
	[[ -f $VAR/run/cart.breakers ]]
	head -c "$(stat -c %s "$VAR/run/cart.breakers")" /dev/urandom | dd of="$VAR/run/cart.breakers" conv=notrunc status=none
	wait_for 60 is_fresh
	rm "$VAR/run/cart.breakers"
	# shellcheck disable=SC2046
	kill -9 $(workers cart)
	wait_for 60 is_fresh
	[[ -f $VAR/run/cart.breakers ]]
}
