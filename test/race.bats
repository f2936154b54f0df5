# race.bats: many customers at the same moment.
# shellcheck shell=bash disable=SC2030,SC2031,SC2143,SC2154,SC2317

bats_require_minimum_version 1.5.0

setup() {
	load payments
	scenario '{}' >/dev/null
}

teardown() {
	scenario '{}' >/dev/null
}

# sign_up COUNT: that many new customers; their access tokens, one a line.
sign_up() {
	local run
	run=$(random 6)
	seq "$1" | xargs -P 8 -I {} curl --silent --fail --max-time 60 \
		--header 'Content-Type: application/json' --write-out '\n' \
		--data-binary "{\"email\":\"race-$run-{}@example.com\",\"password\":\"$run-Aa-$run\"}" \
		"$BASE/api/v1/auth/register/" | jq -r .access
}

@test "two hundred buyers, ten units: ten orders" {
	local product tokens=() token requests=0 result
	product=$(new_product '{"stock_quantity":10}')
	mapfile -t tokens < <(sign_up 200)
	[[ ${#tokens[@]} == 200 ]]
	for token in "${tokens[@]}"; do
		ask_for "$token" /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address}"
	done >"$BATS_TEST_TMPDIR/requests"
	result=$(until_served "$BATS_TEST_TMPDIR/requests")
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
	result=$(until_served "$BATS_TEST_TMPDIR/requests")
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

# place_orders COUNT METHOD: that many orders of $product at once, with METHOD paid at once; prints
# their ids and the intents that wait for the customer, if any.
place_orders() {
	local requests=0 body extra=''
	[[ $2 == none ]] || extra=",\"payment_method\":\"$2\""
	body="{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address$extra}"
	for _ in $(seq "$1"); do ask_for "$token" /api/v1/orders/ "$body"; done >"$BATS_TEST_TMPDIR/placed"
	rm -f "$BATS_TEST_TMPDIR"/answer.*
	[[ $(all_at_once "$BATS_TEST_TMPDIR/placed") == "201 $1" ]] || complain "could not place $1 orders" || return
	cat "$BATS_TEST_TMPDIR"/answer.* | jq -r '"\(.id) \(.payment.client_secret // "none" | sub("_secret_.*"; ""))"'
}

# What may happen to an order; each is a request for all_at_once.
pays() {
	ask_for "$token" /api/v1/payments/process/ "{\"order_id\":$1,\"payment_method\":\"pm_card_visa\"}"
}

authenticates() {
	ask_for - "$STRIPE_STANDIN_URL/_fake/authenticate" "{\"payment_intent\":\"$2\",\"result\":\"ok\"}"
}

cancels() {
	ask_for "$token" "/api/v1/orders/$1/cancel/" '{}' PUT
}

expires() {
	ask_for "${SERVICE_TOKEN%%,*}" "$ORDERS_SERVICE_URL/internal/v1/run/$1/" '{}'
}

# race METHOD COUNT WHAT...: all that happens to each of COUNT orders at the same moment, in any
# order.
race() {
	local method=$1 count=$2 id intent what orders requests=0
	shift 2
	orders=$(place_orders "$count" "$method") || return
	while read -r what id intent; do "$what" "$id" "$intent"; done >"$BATS_TEST_TMPDIR/requests" \
		< <(for what; do sed "s/^/$what /" <<<"$orders"; done | shuf)
	[[ $* != *expires* ]] || psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second'
		WHERE id IN ($(cut -d ' ' -f 1 <<<"$orders" | paste -sd ,))"
	all_at_once "$BATS_TEST_TMPDIR/requests" >/dev/null
	# 400: the stand-in's, when the intent was canceled before.
	[[ -z $(grep -vE '^(200|201|202|400|409) ' "$BATS_TEST_TMPDIR/requests.times") ]] ||
		complain "$(cut -d ' ' -f 1 "$BATS_TEST_TMPDIR/requests.times" | sort | uniq -c)"
}

# For each order of a product what was taken and given back, by Stripe's books and by ours.
books_of_stripe() {
	local orders
	orders=$(psql_as orders "SELECT json_object_agg(order_id, true) FROM orders_orderitem WHERE product_id = $1")
	curl --silent --fail "$STRIPE_STANDIN_URL/_fake/ledger" | jq -r --argjson orders "$orders" '
		[.entries[] | select(.kind == "executed" and .outcome == "succeeded" and .charge and $orders[.order_id // ""])]
		| group_by(.order_id)[] | [.[0].order_id,
			(map(select(.refund | not)) | unique_by(.charge) | map(.amount) | add // 0),
			(map(select(.refund)) | unique_by(.refund) | map(.amount) | add // 0)] | join(" ")' | sort
}

our_books() {
	psql_owner "SELECT t.order_id || ' ' || t.captured || ' ' || t.refunded FROM payments.payments_transaction t
		JOIN orders.orders_orderitem i USING (order_id) WHERE i.product_id = $1 AND t.captured > 0" | sort
}

# RACES=1000 TESTS=race make test: as many as anybody has the patience for.
@test "paid, authenticated, cancelled and expired at the same moment: paid, or no money kept" {
	local product token races=${RACES:-100} left what
	product=$(new_product '{"stock_quantity":100000}')
	token=$(user_token buyer)
	scenario '{"rules":[{"match":{"path":"/v1/payment_intents*","times":-1},"do":{"fault":"latency","ms":20,"when":"before"}}]}' >/dev/null
	for ((left = races; left > 0; left -= 50)); do
		[[ $((left % 600)) -gt 50 ]] || token=$(user_token buyer)
		race none 10 pays cancels
		race none 10 pays expires
		race pm_card_authenticationRequired 10 authenticates cancels
		race pm_card_authenticationRequired 10 authenticates expires
		race pm_card_authenticationRequired 10 pays authenticates expires cancels
	done
	wait_for 120 all_settled "$product"
	what=$(psql_as orders "SELECT string_agg(status || ' ' || count, ', ' ORDER BY status) FROM (SELECT o.status, count(*)
		FROM orders_order o JOIN orders_orderitem i ON i.order_id = o.id WHERE i.product_id = $product GROUP BY 1) s")
	echo "# $races races: $what" >&3
	# Whatever an order that nobody wants any more has cost was given back, and nothing else.
	[[ $(psql_owner "SELECT count(*) FROM orders.orders_order o JOIN orders.orders_orderitem i ON i.order_id = o.id
		LEFT JOIN payments.payments_transaction t ON t.order_id = o.id
		WHERE i.product_id = $product AND CASE o.status
			WHEN 'confirmed' THEN (t.captured, t.refunded) = (o.total, 0)
			WHEN 'cancelled' THEN coalesce(t.captured, 0) = coalesce(t.refunded, 0)
			WHEN 'expired' THEN coalesce(t.captured, 0) = coalesce(t.refunded, 0) END") == "$races" ]]
	[[ $(our_books "$product") == "$(books_of_stripe "$product")" ]] ||
		complain "$(diff <(our_books "$product") <(books_of_stripe "$product"))"
	[[ $(psql_as products "SELECT reserved FROM products_stock WHERE product_id = $product") == "$(
		psql_as orders "SELECT count(*) FROM orders_order o JOIN orders_orderitem i ON i.order_id = o.id
			WHERE i.product_id = $product AND o.status = 'confirmed'")" ]]
	"${ARNOVA_BUILD:-build}/arnova" verify
}

# Customers try again with their key until they have an answer, as told.
try_until_done() { # TOKEN KEY PRODUCT
	local code
	for _ in {1..300}; do
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
