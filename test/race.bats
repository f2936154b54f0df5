# race.bats: many customers at the same moment.

bats_require_minimum_version 1.5.0

setup() {
	load helper
	scenario '{}' >/dev/null
}

teardown() {
	scenario '{}' >/dev/null
}

address='{"name":"Ada Buyer","line1":"1 Main Street","city":"Springfield","postal_code":"12345","country":"US"}'

# sign_up COUNT: that many new customers; their access tokens, one a line.
sign_up() {
	local run
	run=$(random 6)
	seq "$1" | xargs -P 8 -I {} curl --silent --fail --max-time 60 \
		--header 'Content-Type: application/json' --write-out '\n' \
		--data-binary "{\"email\":\"race-$run-{}@example.com\",\"password\":\"$run-Aa-$run\"}" \
		"$BASE/api/v1/auth/register/" | jq -r .access
}

# ask_for TOKEN PATH JSON: one more request for all_at_once.
ask_for() {
	requests=$((requests + 1))
	((requests == 1)) || echo next
	cat <<-END
		url = "$BASE$2"
		request = "POST"
		header = "Authorization: Bearer $1"
		header = "Content-Type: application/json"
		header = "Idempotency-Key: $(idem)"
		data-binary = "${3//\"/\\\"}"
		output = "$BATS_TEST_TMPDIR/answer.$requests"
		write-out = "%{http_code} %{time_total}\n"
		max-time = 60
		silent
	END
}

# Sends them; prints how often each status came: "201 10,409 190".
all_at_once() {
	curl --silent --parallel --parallel-immediate --parallel-max 300 --config "$1" >"$1.times" || true
	cut -d ' ' -f 1 "$1.times" | sort | uniq -c | awk '{print $2 " " $1}' | paste -sd ,
}

@test "two hundred buyers, ten units: ten orders" {
	local product tokens=() token requests=0 result
	product=$(new_product '{"stock_quantity":10}')
	mapfile -t tokens < <(sign_up 200)
	[[ ${#tokens[@]} == 200 ]]
	for token in "${tokens[@]}"; do
		ask_for "$token" /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}"
	done >"$BATS_TEST_TMPDIR/requests"
	result=$(all_at_once "$BATS_TEST_TMPDIR/requests")
	[[ $result == "201 10,409 190" ]] || complain "expected ten orders, got $result"
	api GET "/api/v1/products/$product/"
	expect_json '"\(.stock_quantity) \(.in_stock)"' "0 false"
	[[ $(psql_as products "SELECT on_hand || ' ' || reserved FROM products_stock WHERE product_id = $product") == "10 10" ]]
	[[ $(psql_as orders "SELECT count(*) FROM orders_orderitem WHERE product_id = $product") == 10 ]]
}

@test "one key, sent fifty times at once, is one order" {
	local product token requests=0 key
	product=$(new_product '{"stock_quantity":100}')
	token=$(user_token buyer)
	key=$(idem)
	for _ in {1..50}; do
		ask_for "$token" /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}"
	done | sed "s/Idempotency-Key: [0-9a-f]*/Idempotency-Key: $key/" >"$BATS_TEST_TMPDIR/requests"
	all_at_once "$BATS_TEST_TMPDIR/requests"
	[[ -z $(grep -vE '^(201|409) ' "$BATS_TEST_TMPDIR/requests.times") ]]
	[[ $(psql_as orders "SELECT count(*) FROM orders_orderitem WHERE product_id = $product") == 1 ]]
	api GET "/api/v1/products/$product/"
	expect_json .stock_quantity 99
}

# Orders waits for payments, and payments asks orders what is to be paid: were either to serve
# both by the same workers, they would wait for one another until they time out.
@test "ten times more checkouts and payments than workers, and none waits in vain" {
	local product tokens=() token requests=0 result order orders=() count=$((ORDERS_WORKERS * 10))
	product=$(new_product '{"stock_quantity":1000}')
	mapfile -t tokens < <(sign_up "$count")
	for token in "${tokens[@]}"; do
		TOKEN=$token api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}" \
			--header "Idempotency-Key: $(idem)"
		expect_status 201
		orders+=("$(json .id)")
	done
	scenario '{"rules":[{"match":{"path":"/v1/payment_intents","times":-1},"do":{"fault":"latency","ms":100,"when":"before"}}]}' >/dev/null
	for order in "${!orders[@]}"; do
		ask_for "${tokens[order]}" /api/v1/orders/ \
			"{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address,\"payment_method\":\"pm_card_visa\"}"
		ask_for "${tokens[order]}" /api/v1/payments/process/ \
			"{\"order_id\":${orders[order]},\"payment_method\":\"pm_card_visa\"}"
	done >"$BATS_TEST_TMPDIR/requests"
	result=$(all_at_once "$BATS_TEST_TMPDIR/requests")
	[[ $result == "201 $((2 * count))" ]] || complain "expected $((2 * count)) times 201, got $result"
	[[ $(psql_as orders "SELECT count(*) FROM orders_order o JOIN orders_orderitem i ON i.order_id = o.id
		WHERE i.product_id = $product AND o.status = 'confirmed'") == $((2 * count)) ]]
}
