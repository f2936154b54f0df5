# race.bats: many customers at the same moment.
# shellcheck shell=bash disable=SC2030,SC2031,SC2143,SC2154,SC2317

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

# Until nothing of the orders of a product is on its way or due.
all_settled() {
	"${ARNOVA_BUILD:-build}/arnova" relay --once
	[[ $(psql_owner "SELECT count(*) FROM orders.orders_orderitem i
		WHERE i.product_id = $1 AND (i.order_id IN (SELECT order_id FROM orders.order_due)
			OR i.order_id IN (SELECT order_id FROM payments.payment_due)
			OR i.order_id IN (SELECT aggregate_id FROM orders.event_outbox WHERE delivered_at IS NULL)
			OR i.order_id IN (SELECT aggregate_id FROM payments.event_outbox WHERE delivered_at IS NULL))") == 0 ]]
}

@test "paid and cancelled at the same moment: cancelled, and no money kept" {
	local product token requests=0 order count=40
	product=$(new_product '{"stock_quantity":1000}')
	token=$(user_token buyer)
	for _ in $(seq $count); do
		TOKEN=$token api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}" \
			--header "Idempotency-Key: $(idem)"
		expect_status 201
		order=$(json .id)
		ask_for "$token" /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}"
		ask_for "$token" "/api/v1/orders/$order/cancel/" '{}' | sed 's/request = "POST"/request = "PUT"/'
		requests=$((requests + 2))
	done >"$BATS_TEST_TMPDIR/requests"
	all_at_once "$BATS_TEST_TMPDIR/requests"
	[[ -z $(grep -vE '^(200|201|202|409) ' "$BATS_TEST_TMPDIR/requests.times") ]]
	wait_for 30 all_settled "$product"
	[[ $(psql_owner "SELECT count(*) FROM orders.orders_order o JOIN orders.orders_orderitem i ON i.order_id = o.id
		WHERE i.product_id = $product AND o.status = 'cancelled'") == "$count" ]]
	[[ $(psql_owner "SELECT coalesce(sum(t.captured - t.refunded), 0) FROM payments.payments_transaction t
		JOIN orders.orders_orderitem i USING (order_id) WHERE i.product_id = $product") == 0 ]]
	[[ $(psql_as products "SELECT reserved FROM products_stock WHERE product_id = $product") == 0 ]]
}

@test "paid and expired at the same moment: one or the other" {
	local product token requests=0 order count=20
	product=$(new_product '{"stock_quantity":1000}')
	token=$(user_token buyer)
	for _ in $(seq $count); do
		TOKEN=$token api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}" \
			--header "Idempotency-Key: $(idem)"
		order=$(json .id)
		ask_for "$token" /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}"
		requests=$((requests + 1))
	done >"$BATS_TEST_TMPDIR/requests"
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second'
		WHERE id IN (SELECT order_id FROM orders_orderitem WHERE product_id = $product)"
	"${ARNOVA_BUILD:-build}/arnova" relay --once 3>&- &
	all_at_once "$BATS_TEST_TMPDIR/requests"
	wait
	[[ -z $(grep -vE '^(201|409) ' "$BATS_TEST_TMPDIR/requests.times") ]]
	wait_for 30 all_settled "$product"
	[[ $(psql_owner "SELECT count(*) FROM orders.orders_order o JOIN orders.orders_orderitem i ON i.order_id = o.id
		LEFT JOIN payments.payments_transaction t ON t.order_id = o.id
		WHERE i.product_id = $product AND CASE o.status WHEN 'confirmed' THEN t.captured = o.total
			WHEN 'expired' THEN coalesce(t.captured, 0) = coalesce(t.refunded, 0) END") == "$count" ]]
}

# Customers try again with their key until they have an answer, as told.
try_until_done() { # TOKEN KEY PRODUCT
	local code
	for _ in {1..100}; do
		code=$(curl --silent --max-time 40 --output /dev/null --write-out '%{http_code}' \
			--header "Authorization: Bearer $1" --header 'Content-Type: application/json' --header "Idempotency-Key: $2" \
			--data-binary "{\"items\":[{\"product_id\":$3,\"quantity\":1}],\"shipping_address\":$address,\"payment_method\":\"pm_card_visa\"}" \
			"$BASE/api/v1/orders/")
		echo "$code" >>"$BATS_TEST_TMPDIR/codes"
		[[ $code == 20? ]] && return
		sleep 0.1
	done
	echo "$2 ended with $code"
}

@test "workers are killed all the time: each customer has one order and is charged once" {
	local product token count=24 customers=()
	product=$(new_product '{"stock_quantity":1000}')
	token=$(user_token buyer)
	scenario '{"rules":[{"match":{"path":"/v1/payment_intents","times":-1},"do":{"fault":"latency","ms":300,"when":"before"}}]}' >/dev/null
	for _ in $(seq $count); do
		for _ in 1 2 3; do try_until_done "$token" "$(idem)" "$product"; done >>"$BATS_TEST_TMPDIR/complaints" 3>&- &
		customers+=($!)
	done
	for _ in {1..25}; do
		# shellcheck disable=SC2046
		kill -9 $(for pool in orders payments products; do workers $pool; done | shuf -n 6) 2>/dev/null || true
		sleep 0.1
	done
	wait "${customers[@]}"
	count=$((3 * count))
	# Some of the killed were at work for a customer.
	[[ -n $(grep -v '^20' "$BATS_TEST_TMPDIR/codes") ]]
	[[ ! -s $BATS_TEST_TMPDIR/complaints ]] || complain "$(cat "$BATS_TEST_TMPDIR/complaints")"
	wait_for 90 all_settled "$product"
	unfinished() {
		"${ARNOVA_BUILD:-build}/arnova" relay --once
		[[ $(psql_as orders "SELECT count(*) FROM orders_saga WHERE state IN ('reserving', 'undoing')") == 0 ]]
	}
	wait_for 90 unfinished
	# An order for each customer; their keys tell them apart.
	[[ $(psql_as orders "SELECT count(*) FROM orders_order o JOIN orders_orderitem i ON i.order_id = o.id
		WHERE i.product_id = $product AND o.status = 'confirmed'") == "$count" ]]
	[[ $(psql_owner "SELECT count(*) || ' ' || sum(t.captured) FROM payments.payments_transaction t
		JOIN orders.orders_orderitem i USING (order_id) WHERE i.product_id = $product") == "$count $((count * 1000))" ]]
	local orders
	orders=$(psql_as orders "SELECT json_agg(order_id) FROM orders_orderitem WHERE product_id = $product")
	[[ $(ledger "$orders as \$orders | [.entries[] | select(.kind == \"executed\" and .outcome == \"succeeded\" and
		(.refund | not)) | .order_id | tonumber | select(IN(\$orders[]))] | group_by(.) | map(length) | unique | tostring") == '[1]' ]]
	[[ $(psql_as products "SELECT reserved FROM products_stock WHERE product_id = $product") == "$count" ]]
}
