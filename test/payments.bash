# shellcheck shell=bash disable=SC2034,SC2119,SC2120,SC2154
# payments.bash: what the tests of payments share: an order to pay, the stand-in for Stripe and its
# ledger.

load helper

address='{"name":"Ada Buyer","line1":"1 Main Street","city":"Springfield","postal_code":"12345","country":"US"}'

open_shop() {
	buyer=$(user_token buyer)
	product=$(new_product '{"price":"19.99","stock_quantity":100000}')
	buyer_id=$(user_field buyer .user.id)
	export buyer buyer_id product
}

begin_test() {
	scenario '{}' >/dev/null
	order=
}

end_test() {
	scenario '{}' >/dev/null
	[[ -z $order ]] || ledger_holds
}

# What bats calls; a file with more to do has functions of its own below its `load payments`.
setup_file() {
	open_shop
}

setup() {
	begin_test
}

teardown() {
	end_test
}

# Sets $order: a new one of $buyer's, 19.99, unpaid.
new_order() { # [PRODUCT]
	TOKEN=$buyer api POST /api/v1/orders/ \
		"{\"items\":[{\"product_id\":${1:-$product},\"quantity\":1}],\"shipping_address\":$address}" \
		--header "Idempotency-Key: $(idem)"
	expect_status 201
	order=$(json .id)
}

pay() { # METHOD [KEY]
	TOKEN=${payer:-$buyer} api POST /api/v1/payments/process/ \
		"{\"order_id\":$order,\"payment_method\":\"$1\"}" --header "Idempotency-Key: ${2:-$(idem)}"
}

# Sets $payment, the id of the order's payment.
find_payment() {
	TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order"
	expect_status 200 && expect_json .count 1
	payment=$(json '.results[0].id')
}

paid_order() { # [METHOD]
	new_order
	pay "${1:-pm_card_visa}"
	expect_status 201
	payment=$(json .id)
}

refund() { # JSON [KEY]
	TOKEN=$(staff_token) api POST "/api/v1/payments/$payment/refund/" "$1" \
		--header "Idempotency-Key: ${2:-$(idem)}"
}

# internal METHOD PATH [JSON]: as a sibling asks the payments service.
internal() {
	local method=$1 path=$2
	shift 2
	TOKEN=${SERVICE_TOKEN%%,*} api "$method" "$PAYMENTS_SERVICE_URL/internal/v1/$path/" "$@"
}

# Runs what is open for $order until its payment is in this state.  The relay does the same all the
# time, and who comes second finds the work taken.
settle_to() { # STATE
	wait_for 60 settled_to "$1"
}

settled_to() {
	internal POST "run/$order" '{}'
	expect_status 200 && expect_json .state "$1"
}

# fault JSON [METHOD] [PATH] [TIMES]: strikes the calls for $order, with no webhook to help.
fault() {
	scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[{\"match\":{\"order_id\":$order,
		\"method\":\"${2:-POST}\",\"path\":\"${3:-/v1/*}\",\"times\":${4:-1}},\"do\":$1}]}" >/dev/null
}

# Every answer to a POST for $order gets lost on its way (or, with "before", the POST), and Stripe
# cannot be asked what became of it: until lost_and_found, nobody can know.
lost() { # [WHEN] [PATH]
	scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[
		{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"path\":\"${2:-/v1/*}\",\"times\":-1},
		 \"do\":{\"fault\":\"reset\",\"when\":\"${1:-after}\"}},
		{\"match\":{\"method\":\"GET\",\"times\":-1},\"do\":{\"fault\":\"status\",\"status\":503,\"effect\":false}}]}" >/dev/null
}

lost_and_found() {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
}

# How often we have posted to Stripe for $order.
posts() {
	entries '[.[] | select(.kind == "received" and .method == "POST")] | length'
}

has_posted() { # COUNT
	[[ $(posts) == "$1" ]]
}

fake() { # PATH JSON
	curl --silent --fail --header 'Content-Type: application/json' --data-binary "$2" \
		"$STRIPE_STANDIN_URL/_fake/$1"
}

entries() { # jq FILTER over the entries of $order
	ledger ".entries | map(select(.order_id == \"$order\")) | $1"
}

payment_is() { # STATUS
	TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order"
	[[ $(json '.results[0].status') == "$1" ]]
}

order_is() { # FIELD VALUE
	TOKEN=$buyer api GET "/api/v1/orders/$order/"
	[[ $(json ".$1") == "$2" ]]
}

charges() { # how many charges of $order have succeeded
	entries '[.[] | select(.kind == "executed" and .charge and .outcome == "succeeded" and .refund == null
		and (.path | test("refunds|cancel") | not)) | .charge] | unique | length'
}

attempts() {
	psql_as payments "SELECT count(*) FROM payments_attempt a JOIN payments_transaction t
		ON t.id = a.transaction_id WHERE t.order_id = $order AND a.operation <> 'cancel'"
}

# Whatever happened: one succeeded charge at most, one intent, no POST without a key, no key with
# two contents, not more given back than taken; and our rows say what the ledger says.
ledger_holds() {
	local ours theirs
	[[ $(charges) -le 1 ]] || complain "charged more than once" || return
	[[ $(entries '[.[].payment_intent | values] | unique | length') -le 1 ]] ||
		complain "more than one intent" || return
	[[ $(entries '[.[] | select(.kind == "received" and .method == "POST" and .idempotency_key == null)] | length') == 0 ]] ||
		complain "a POST without a key" || return
	[[ $(entries '[.[] | select(.idempotency_key) | {idempotency_key, params_sha256}] | unique
		| group_by(.idempotency_key) | map(select(length > 1)) | length') == 0 ]] ||
		complain "a key with two contents" || return
	ours=$(psql_as payments "SELECT coalesce(sum(captured - refunded), 0) FROM payments_transaction WHERE order_id = $order")
	theirs=$(stripe_balance)
	[[ $ours == "$theirs" ]] || complain "we say $ours, Stripe says $theirs"
}

# What Stripe has of $order: taken less given back.
stripe_balance() {
	local intent
	intent=$(psql_as payments "SELECT provider_ref FROM payments_transaction WHERE order_id = $order")
	[[ -n $intent ]] || { echo 0 && return; }
	stripe "payment_intents/$intent?expand%5B%5D=latest_charge" |
		jq '.amount_received - (.latest_charge.amount_refunded? // 0)'
}

stripe() { # PATH
	curl --silent --fail --header "Authorization: Bearer $STRIPE_SECRET_KEY" \
		--header 'Stripe-Version: 2026-07-29.dahlia' "$STRIPE_STANDIN_URL/v1/$1"
}

reconciled_to() { # STATUS
	"${ARNOVA_BUILD:-build}/arnova" reconcile && payment_is "$1"
}

# as_cgi METHOD PATH JSON NAME=VALUE...: one request to payments with other settings; its answer.
as_cgi() {
	local method=$1 path=$2 json=$3
	shift 3
	env "$@" REQUEST_METHOD="$method" REQUEST_URI="$path" CONTENT_TYPE=application/json \
		CONTENT_LENGTH=${#json} "${ARNOVA_BUILD:-build}/payments.fcgi" <<<"$json"
}

attempt_is() { # OUTCOME
	[[ $(psql_as payments "SELECT a.outcome FROM payments_attempt a JOIN payments_transaction t
		ON t.id = a.transaction_id WHERE t.order_id = $order ORDER BY a.id DESC LIMIT 1") == "$1" ]]
}

# kill_worker [KIND]: kills the worker that talks to Stripe about $order: who holds the lock of its
# attempt (or refund), at the other end of that backend's socket.
kill_worker() {
	local backend peer worker kind=${1:-attempt}
	backend=$(psql_owner "SELECT l.pid FROM pg_locks l JOIN payments.payments_$kind a
		ON payments.work_lock('$kind', a.id) = (l.classid::bigint << 32 | l.objid::bigint)
		JOIN payments.payments_transaction t ON t.id = a.transaction_id
		WHERE l.locktype = 'advisory' AND t.order_id = $order")
	peer=$(ss -Hxnp state connected | grep "PGSQL.*pid=$backend," | awk '{print $8}')
	worker=$(ss -Hxnp state connected | awk -v inode="$peer" '$6 == inode' | grep -o 'pid=[0-9]*')
	[[ -n $worker ]] || complain "nobody holds the lock: backend '$backend', socket '$peer'" || return
	kill -KILL "${worker#pid=}"
}

# sign BODY [TIME] [SECRET]: a Stripe-Signature.
sign() {
	local time=${2:-$(date +%s)} secret=${3:-${STRIPE_WEBHOOK_SECRET%%,*}}
	echo "t=$time,v1=$(printf '%s.%s' "$time" "$1" | openssl dgst -sha256 -hmac "$secret" -r | cut -d ' ' -f 1)"
}

# event BODY [SIGNATURE]
event() {
	api POST /api/v1/payments/webhook/ "$1" --header "Stripe-Signature: ${2-$(sign "$1")}"
}

# intent_event TYPE STATUS [MEMBERS]: the body of an event of $order's intent.
intent_event() {
	jq -nc --arg id "evt_$(random 8)" --arg type "payment_intent.$1" --arg status "$2" \
		--arg intent "$(psql_as payments "SELECT coalesce(provider_ref, 'pi_none') FROM payments_transaction WHERE order_id = $order")" \
		--argjson more "${3:-{\}}" --argjson created "${created:-$(date +%s)}" \
		'{id: $id, object: "event", type: $type, created: $created, livemode: false, api_version: "2026-07-29.dahlia",
		  data: {object: ({id: $intent, object: "payment_intent", status: $status, amount: 1999, amount_received: 1999,
		  currency: "usd", metadata: {}} + $more)}}'
}

# Whether Stripe's event of $order got this answer.
event_sent() { # TYPE STATUS
	[[ $(entries "map(select(.kind == \"event_sent\" and .type == \"$1\" and .status == $2)) | length") -gt 0 ]]
}

charge() { # METHOD KEY
	internal POST charge "{\"order_id\":$order,\"user_id\":$buyer_id,\"amount\":1999,\"currency\":\"USD\",
		\"payment_method\":\"$1\",\"request_key\":\"$2\"}"
}

cancel() { # REASON
	internal POST "orders/$order/cancel" "{\"reason\":\"$1\"}"
	expect_status 200
}

# The id of $order's intent at Stripe.
intent() {
	psql_as payments "SELECT provider_ref FROM payments_transaction WHERE order_id = $order"
}

# authenticate RESULT: the customer does as the bank asks (ok) or does not (fail).
authenticate() {
	fake authenticate "{\"payment_intent\":\"$(intent)\",\"result\":\"$1\"}"
}

# Places an order and pays it in the same request.
buy() { # METHOD [KEY]
	TOKEN=$buyer api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],
		\"shipping_address\":$address,\"payment_method\":\"$1\"}" --header "Idempotency-Key: ${2:-$(idem)}"
}

cancel_order() {
	TOKEN=$buyer api PUT "/api/v1/orders/$order/cancel/" '{}'
}

# The order's time is over; the relay is free to see that before we make it.
run_out() {
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second' WHERE id = $order"
	wait_for 60 relayed_to "$1"
}

relayed_to() { # STATUS of the order
	"${ARNOVA_BUILD:-build}/arnova" relay --once && order_is status "$1"
}

# put_off [KIND]: puts what is open at $order's payment off, so that the relay leaves it to the test;
# what the relay has begun already has the time to end.
put_off() {
	wait_for 60 is_put_off "${1:-attempt}"
}

is_put_off() {
	local of_order="transaction_id = (SELECT id FROM payments.payments_transaction WHERE order_id = $order)"
	psql_owner "UPDATE payments.payments_$1 SET due_at = now() + interval '1 hour' WHERE $of_order"
	# Who has the work notes when it is due again, and lets go of it.
	nobody_is_at_it "$1" &&
		[[ $(psql_owner "SELECT count(*) FROM payments.payments_$1 WHERE $of_order AND due_at < now() + interval '30 minutes'") == 0 ]]
}

nobody_is_at_it() { # [KIND]
	local kind=${1:-attempt}
	[[ $(psql_owner "SELECT count(*) FROM pg_locks l JOIN payments.payments_$kind a
		ON payments.work_lock('$kind', a.id) = (l.classid::bigint << 32 | l.objid::bigint)
		JOIN payments.payments_transaction t ON t.id = a.transaction_id
		WHERE l.locktype = 'advisory' AND t.order_id = $order") == 0 ]]
}

# alarmed MESSAGE: whether the log tells of $order's payment.
alarmed() {
	grep -hF "\"message\":\"$1\"" "$VAR"/log/payments*.log | grep -qE "\"arnova.order_id\":$order,\"arnova.payment_id\":[0-9]+"
}

# ---- Many at the same moment, by one curl.

# ask_for TOKEN PATH|URL JSON [METHOD]: one more request for all_at_once.
ask_for() {
	requests=$((requests + 1))
	((requests == 1)) || echo next
	cat <<-END
		url = "$([[ $2 == http* ]] || echo "$BASE")$2"
		request = "${4:-POST}"
		header = "Authorization: Bearer $1"
		header = "Content-Type: application/json"
		header = "Idempotency-Key: $(idem)"
		data-binary = "${3//\"/\\\"}"
		output = "$BATS_TEST_TMPDIR/answer.$requests"
		write-out = "%{http_code} %{time_total} %{filename_effective}\n"
		max-time = 60
		silent
	END
}

# Sends them; prints how often each status came: "201 10,409 190".
all_at_once() {
	curl --silent --no-progress-meter --parallel --parallel-immediate --parallel-max 300 --config "$1" >"$1.times" 2>/dev/null || true
	cut -d ' ' -f 1 "$1.times" | sort | uniq -c | awk '{print $2 " " $1}' | paste -sd ,
}

# until_served FILE: the same, but whoever waited so long that he was refused (503) asks again with his
# key, as customers do, five times at most.
until_served() {
	local refused
	all_at_once "$1" >/dev/null
	for _ in {1..5}; do
		refused=$(awk '$1 == 503 { print $3 }' "$1.times" | paste -sd ' ')
		[[ -n $refused ]] || break
		awk -v RS='(^|\n)next\n' -v refused=" $refused " 'match($0, /output = "[^"]*/) &&
			index(refused, " " substr($0, RSTART + 10, RLENGTH - 10) " ") { if (count++) print "next"; print }' \
			"$1" >"$1.again"
		all_at_once "$1.again" >/dev/null
		sed -i '/^503 /d' "$1.times"
		cat "$1.again.times" >>"$1.times"
	done
	cut -d ' ' -f 1 "$1.times" | sort | uniq -c | awk '{print $2 " " $1}' | paste -sd ,
}
