# payments.bats: paying, being declined, losing the line, giving back; and at the end of each test
# the ledger of the stand-in for Stripe, which knows what really was charged.

bats_require_minimum_version 1.5.0

setup_file() {
	load helper
	buyer=$(user_token buyer)
	product=$(new_product '{"price":"19.99","stock_quantity":100000}')
	buyer_id=$(user_field buyer .user.id)
	export buyer buyer_id product
}

setup() {
	load helper
	scenario '{}' >/dev/null
	order=
}

teardown() {
	scenario '{}' >/dev/null
	[[ -z $order ]] || ledger_holds
}

address='{"name":"Ada Buyer","line1":"1 Main Street","city":"Springfield","postal_code":"12345","country":"US"}'

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
	wait_for 20 settled_to "$1"
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

# ---- Paying.

@test "a good card pays the order, and the buyer reads his own write" {
	new_order
	pay pm_card_visa
	expect_status 201
	expect_json .status succeeded
	expect_json .amount 19.99
	expect_json .captured 19.99
	expect_json .refunded 0.00
	expect_json .provider stripe
	expect_json .failure_code null
	expect_header Location "/api/v1/payments/$(json .id)/"
	[[ $(json '.provider_ref') == pi_* ]]
	[[ $(json 'has("client_secret")') == false ]]
	order_is status confirmed
	order_is payment_status paid
	[[ $(charges) == 1 ]]
	[[ $(entries '[.[] | select(.kind == "executed")][0] | "\(.amount) \(.currency)"') == "1999 usd" ]]
}

@test "the same key gives the same answer and asks Stripe nothing" {
	new_order
	key=$(idem)
	pay pm_card_visa "$key"
	expect_status 201
	first=$body
	count=$(entries length)
	pay pm_card_visa "$key"
	expect_status 201
	[[ $body == "$first" ]]
	expect_header Idempotent-Replayed true
	pay pm_card_visa "\"$key\""
	expect_status 201
	pay pm_card_mastercard "$key"
	expect_problem 422 idempotency_key_reused
	[[ $(charges) == 1 && $(attempts) == 1 && $(entries 'map(select(.kind == "received")) | length') -le $count ]]
}

@test "a paid order is not payable again" {
	paid_order
	pay pm_card_visa
	expect_problem 409 order_not_payable
	[[ $(charges) == 1 ]]
}

@test "a decline is told with its reason, and another card pays the same intent with a new key" {
	new_order
	key=$(idem)
	pay pm_card_visa_chargeDeclinedInsufficientFunds "$key"
	expect_problem 402 card_declined
	expect_json .decline_code insufficient_funds
	expect_json .order_id "$order"
	first=$(json .payment_id)
	payment_is failed
	expect_json '.results[0].failure_code' insufficient_funds
	order_is status pending
	pay pm_card_visa_chargeDeclinedInsufficientFunds "$key"
	expect_problem 402 card_declined
	expect_header Idempotent-Replayed true
	[[ $(attempts) == 1 ]]
	pay pm_card_visa
	expect_status 201
	expect_json .id "$first"
	expect_json .failure_code null
	order_is status confirmed
	[[ $(entries '[.[] | select(.kind == "received") | .idempotency_key] | unique | length') == 2 ]]
	[[ $(entries '[.[] | select(.kind == "received") | .path] | map(select(endswith("/confirm"))) | length') == 1 ]]
}

@test "every decline has a code, and who holds a stolen card learns nothing" {
	new_order
	local method code
	while read -r method code; do
		pay "pm_card_$method"
		expect_problem 402 card_declined
		expect_json .decline_code "$code"
	done <<-END
		chargeDeclinedExpiredCard expired_card
		chargeDeclinedIncorrectCvc incorrect_cvc
		chargeDeclinedProcessingError processing_error
		chargeDeclined generic_decline
	END
	pay pm_card_chargeDeclinedStolenCard
	expect_problem 402 card_declined
	expect_json .message "The card was declined."
	[[ $(attempts) == 5 ]]
}

@test "what is no payment method is the client's mistake and leaves the key free" {
	new_order
	key=$(idem)
	pay pm_card_nonsense "$key"
	expect_problem 400 invalid
	expect_json '.errors.payment_method[0]' 'Invalid payment method.'
	payment_is failed
	pay pm_card_visa "$key"
	expect_status 201
}

@test "a card number is refused before anything is kept or logged" {
	new_order
	for number in 4242424242424242 '4242 4242 4242 4242' 4242-4242-4242-4242; do
		pay "$number"
		expect_problem 400 card_number_refused
	done
	TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order"
	expect_json .count 0
	run ! grep -rE '4242[ -]?4242[ -]?4242' "$VAR/log"
}

@test "bodies, keys and callers are judged first" {
	new_order
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}"
	expect_problem 400 idempotency_key_required
	TOKEN=$buyer api POST /api/v1/payments/process/ '{"amount":"0.01","return_url":"nowhere"}' --header "Idempotency-Key: $(idem)"
	expect_problem 400 invalid
	for field in order_id payment_method amount return_url; do
		[[ $(json ".errors.$field | length") == 1 ]]
	done
	TOKEN='' payer='' api POST /api/v1/payments/process/ '{}' --header "Idempotency-Key: $(idem)"
	expect_problem 401 not_authenticated
	payer=$(user_token stranger) pay pm_card_visa
	expect_problem 404 not_found
	payer=$(staff_token) pay pm_card_visa
	expect_problem 404 not_found
	[[ $(entries length) == 0 ]]
	order=999999999 pay pm_card_visa
	expect_problem 404 not_found
}

@test "a payment is seen by its owner and by staff, and by nobody else" {
	paid_order
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_status 200
	expect_json .order_id "$order"
	TOKEN=$(staff_token) api GET "/api/v1/payments/$payment/"
	expect_status 200
	stranger=$(user_token stranger)
	TOKEN=$stranger api GET "/api/v1/payments/$payment/"
	expect_problem 404 not_found
	TOKEN=$stranger api GET "/api/v1/payments/?order_id=$order"
	expect_json .count 0
	TOKEN=$(staff_token) api GET "/api/v1/payments/?order_id=$order"
	expect_json '.results[0].id' "$payment"
	TOKEN=$buyer api GET '/api/v1/payments/?page_size=1&order_id=x'
	expect_problem 400 invalid
	api GET /api/v1/payments/
	expect_problem 401 not_authenticated
}

@test "authentication: a secret for the owner, then the webhook confirms the order" {
	new_order
	key=$(idem)
	pay pm_card_authenticationRequired "$key"
	expect_status 200
	expect_json .status requires_action
	[[ $(json .client_secret) == pi_*_secret_* ]]
	[[ $(json .next_action.type) == use_stripe_sdk ]]
	secret=$(json .client_secret)
	find_payment
	expect_json '.results[0] | has("client_secret")' false
	[[ $(psql_as payments "SELECT count(*) FROM payments_transaction t, payments_attempt a WHERE t::text || a::text LIKE '%$secret%'") == 0 ]]
	run ! grep -rF "$secret" "$VAR/log"/payments*.log
	fake authenticate "{\"payment_intent\":\"$(json '.results[0].provider_ref')\",\"result\":\"ok\"}"
	wait_for 10 payment_is succeeded
	wait_for 10 order_is status confirmed
}

@test "authentication that fails leaves an order that can be paid" {
	new_order
	pay pm_card_authenticationRequired
	expect_json .status requires_action
	fake authenticate "{\"payment_intent\":\"$(json .provider_ref)\",\"result\":\"fail\"}"
	wait_for 10 payment_is failed
	order_is status pending
	pay pm_card_visa
	expect_status 201
}

@test "another card may be tried instead of authenticating" {
	new_order
	pay pm_card_authenticationRequired
	expect_status 200
	pay pm_card_visa
	expect_status 201
	expect_json .status succeeded
}

@test "with an address to come back to, the customer is sent away and returns" {
	new_order
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_authenticationRequired\",
		\"return_url\":\"https://shop.example/back?a=b&c=d\"}" --header "Idempotency-Key: $(idem)"
	expect_status 200
	expect_json .next_action.type redirect_to_url
	expect_json .next_action.redirect_to_url.return_url 'https://shop.example/back?a=b&c=d'
}

@test "processing: 202, nothing more can be begun, and the webhook ends it" {
	new_order
	scenario '{"settle_ms":-1}' >/dev/null
	pay pm_card_processing
	expect_status 202
	expect_json .status processing
	intent=$(json .provider_ref)
	pay pm_card_visa
	expect_problem 409 payment_in_progress
	fake settle "{\"payment_intent\":\"$intent\",\"result\":\"succeeded\"}"
	wait_for 10 payment_is succeeded
	wait_for 10 order_is status confirmed
}

@test "processing that ends badly, without a webhook: asked for, and payable again" {
	new_order
	scenario '{"settle_ms":-1,"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_processing
	expect_json .status processing
	settle_to processing
	fake settle "{\"payment_intent\":\"$(psql_as payments "SELECT provider_ref FROM payments_transaction WHERE order_id = $order")\",\"result\":\"failed\"}"
	settle_to failed
	pay pm_card_visa
	expect_status 201
}

# ---- Losing the line.

@test "the connection is cut after the charge: repeated with the same key, charged once" {
	new_order
	fault '{"fault":"reset","when":"after"}'
	pay pm_card_visa
	expect_status 201
	[[ $(entries '[.[] | select(.kind == "received")] | length') == 2 ]]
	[[ $(entries '[.[] | select(.kind == "received") | .idempotency_key] | unique | length') == 1 ]]
	[[ $(entries '[.[] | select(.kind == "replayed")] | length') == 1 ]]
	order_is status confirmed
}

@test "an answer of which half is missing, HTML, or no JSON decides nothing" {
	local how
	for how in half_body half_headers broken_json empty html502; do
		new_order
		fault "{\"fault\":\"$how\"}"
		pay pm_card_visa
		expect_status 201
		ledger_holds
	done
}

@test "every answer is lost: 202 unknown, never failed, and reconcile settles it" {
	new_order
	lost
	pay pm_card_visa
	expect_status 202
	expect_json .status unknown
	order_is payment_status processing
	pay pm_card_visa
	expect_problem 409 payment_in_progress
	settle_to unknown
	lost_and_found
	wait_for 20 reconciled_to succeeded
	wait_for 10 order_is status confirmed
	[[ $(entries '[.[] | select(.kind == "received" and .method == "POST") | .idempotency_key] | unique | length') == 1 ]]
}

reconciled_to() { # STATUS
	"${ARNOVA_BUILD:-build}/arnova" reconcile && payment_is "$1"
}

@test "every answer is lost, and the webhook settles it" {
	new_order
	scenario "{\"rules\":[{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},
		\"do\":{\"fault\":\"reset\",\"when\":\"after\"}}]}" >/dev/null
	pay pm_card_visa
	expect_status 202 201
	wait_for 10 payment_is succeeded
	wait_for 10 order_is status confirmed
}

@test "a charge that is too slow is unknown when the time is up, and nobody else waits for it" {
	new_order
	fault '{"fault":"latency","when":"after","ms":60000}'
	started=$SECONDS
	(pay pm_card_visa && echo "$body" >"$BATS_TEST_TMPDIR/answer") &
	wait_for 10 attempt_is pending
	for _ in 1 2 3 4 5; do
		TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order" --max-time 10
		expect_json '.results[0].status' pending
	done
	wait
	[[ $(jq -r .status "$BATS_TEST_TMPDIR/answer") == unknown ]]
	((SECONDS - started >= 15 && SECONDS - started < 35)) || complain "took $((SECONDS - started)) s"
	lost_and_found
	wait_for 20 reconciled_to succeeded
}

# as_cgi METHOD PATH JSON NAME=VALUE...: one request to payments with other settings; its answer.
as_cgi() {
	local method=$1 path=$2 json=$3
	shift 3
	env "$@" REQUEST_METHOD="$method" REQUEST_URI="$path" CONTENT_TYPE=application/json \
		CONTENT_LENGTH=${#json} "${ARNOVA_BUILD:-build}/payments.fcgi" <<<"$json"
}

@test "Stripe cannot be reached: nothing is open, and the same key may be tried again" {
	new_order
	question="{\"order_id\":$order,\"user_id\":$buyer_id,\"amount\":1999,\"currency\":\"USD\",
		\"payment_method\":\"pm_card_visa\",\"request_key\":\"one\"}"
	answer=$(as_cgi POST /internal/v1/charge/ "$question" STRIPE_API_BASE=http://127.0.0.1:9 \
		HTTP_AUTHORIZATION="Bearer ${SERVICE_TOKEN%%,*}")
	[[ $answer == *"Status: 503"*upstream_unavailable* ]] || complain "$answer"
	payment_is failed
	charge pm_card_visa one
	expect_json .outcome succeeded
}

@test "orders cannot be reached: nothing is begun" {
	new_order
	answer=$(as_cgi POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}" \
		ORDERS_SERVICE_URL=http://127.0.0.1:9 HTTP_AUTHORIZATION="Bearer $buyer" HTTP_IDEMPOTENCY_KEY="$(idem)")
	[[ $answer == *"Status: 503"*upstream_unavailable* && $answer == *"Retry-After: "* ]] || complain "$answer"
	TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order"
	expect_json .count 0
}

@test "an event that cannot be settled is the relay's business, not the buyer's" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	key=$(idem)
	psql_owner "REVOKE UPDATE ON payments.event_outbox FROM payments"
	pay pm_card_visa "$key"
	psql_owner "GRANT UPDATE ON payments.event_outbox TO payments"
	expect_status 201
	expect_json .status succeeded
	find_payment
	pay pm_card_visa "$key"
	expect_status 201
	expect_header Idempotent-Replayed true
	psql_owner "REVOKE UPDATE ON payments.event_outbox FROM payments"
	refund '{}' "$key"
	psql_owner "GRANT UPDATE ON payments.event_outbox TO payments"
	expect_status 201
	expect_json .payment.status refunded
	wait_for 10 order_is payment_status refunded
}

@test "a 500 that Stripe keeps under the key is settled by looking, charged or not" {
	new_order
	fault '{"fault":"status","status":500,"effect":true,"should_retry":"false"}' POST '/v1/*' -1
	pay pm_card_visa
	expect_status 202
	[[ $(entries '[.[] | select(.kind == "received")] | length') == 1 ]]
	settle_to succeeded
	ledger_holds

	new_order
	fault '{"fault":"status","status":500,"effect":false,"should_retry":"false"}' POST '/v1/*' -1
	pay pm_card_visa
	expect_status 202
	settle_to failed
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_visa
	expect_status 201
}

@test "a 500 that Stripe replays is settled by looking, whatever it hides" {
	new_order
	pay pm_card_chargeDeclined
	for method in chargeDeclinedExpiredCard visa; do
		fault '{"fault":"status","status":500,"effect":true}'
		pay "pm_card_$method"
		expect_status 202
		[[ $method == visa ]] || settle_to failed
	done
	settle_to succeeded
	[[ $(attempts) == 3 ]]
	find_payment
	fault '{"fault":"status","status":500,"effect":true}' POST /v1/refunds
	refund '{}'
	expect_status 201 202
	settle_to refunded
	[[ $(entries '[.[] | select(.kind == "executed" and .path == "/v1/refunds")] | length') == 1 ]]
}

@test "409 three times, then success; 429 to the end charges nothing and leaves the key free" {
	new_order
	fault '{"fault":"status","status":409,"effect":false}' POST '/v1/*' 3
	pay pm_card_visa
	expect_status 201
	ledger_holds

	new_order
	key=$(idem)
	fault '{"fault":"status","status":429,"effect":false}' POST '/v1/*' -1
	pay pm_card_visa "$key"
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	[[ $(charges) == 0 ]]
	scenario '{}' >/dev/null
	pay pm_card_visa "$key"
	expect_status 201
}

# More often than there are workers: libcurl sends again by itself on a connection that was kept.
@test "an answer is lost and the repeat meets a limit: unknown, and charged once" {
	for _ in $(seq $((${PAYMENTS_WORKERS:-4} + 1))); do
		new_order
		scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[
			{\"match\":{\"order_id\":$order,\"method\":\"POST\"},\"do\":{\"fault\":\"reset\",\"when\":\"after\"}},
			{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},
			 \"do\":{\"fault\":\"status\",\"status\":400,\"code\":\"rate_limit\",\"effect\":false}}]}" >/dev/null
		pay pm_card_visa
		expect_status 202
		expect_json .status unknown
		pay pm_card_mastercard
		expect_status 409
		lost_and_found
		settle_to succeeded
		[[ $(charges) == 1 && $(attempts) == 1 ]]
		ledger_holds
	done
}

@test "Stripe refuses our key: 502, nothing of it is shown" {
	new_order
	fault '{"fault":"status","status":401,"effect":false}' POST '/v1/*' -1
	pay pm_card_visa
	expect_problem 502 payment_provider_error
	[[ $body != *tripe* && $body != *sk_* ]]
}

@test "another amount or currency in the answer is never taken for paid" {
	new_order
	# Afterwards nobody hears more from Stripe, so that the relay has nothing to settle it by.
	scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[
		{\"match\":{\"order_id\":$order,\"method\":\"POST\"},\"do\":{\"fault\":\"wrong_amount\"}},
		{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},\"do\":{\"fault\":\"reset\",\"when\":\"before\"}},
		{\"match\":{\"method\":\"GET\",\"path\":\"/v1/*\",\"times\":-1},\"do\":{\"fault\":\"status\",\"status\":503}}]}" >/dev/null
	pay pm_card_visa
	expect_status 202
	expect_json .status unknown
	order_is status pending
	[[ $(psql_as payments "SELECT a.failure_code FROM payments_attempt a JOIN payments_transaction t
		ON t.id = a.transaction_id WHERE t.order_id = $order") == amount_mismatch ]]
	lost_and_found
	settle_to succeeded
}

@test "an attempt that nobody finished is finished by the retry of its key" {
	new_order
	fault '{"fault":"latency","when":"after","ms":4000}'
	key=$(idem)
	pay pm_card_visa "$key" &
	wait_for 5 attempt_is pending
	sleep 0.5
	kill_worker
	wait
	pay pm_card_visa "$key"
	expect_status 201
	[[ $(attempts) == 1 ]]
	order_is status confirmed
}

@test "an attempt that nobody finished is finished by reconcile" {
	new_order
	fault '{"fault":"latency","when":"after","ms":4000}'
	pay pm_card_visa &
	wait_for 5 attempt_is pending
	sleep 0.5
	kill_worker
	wait
	wait_for 20 reconciled_to succeeded
	wait_for 10 order_is status confirmed
}

attempt_is() { # OUTCOME
	[[ $(psql_as payments "SELECT a.outcome FROM payments_attempt a JOIN payments_transaction t
		ON t.id = a.transaction_id WHERE t.order_id = $order ORDER BY a.id DESC LIMIT 1") == "$1" ]]
}

# Kills the worker that talks to Stripe about $order: who holds the lock of its attempt, at the
# other end of that backend's socket.
kill_worker() {
	local backend peer worker
	backend=$(psql_owner "SELECT l.pid FROM pg_locks l JOIN payments.payments_attempt a
		ON payments.work_lock('attempt', a.id) = (l.classid::bigint << 32 | l.objid::bigint)
		JOIN payments.payments_transaction t ON t.id = a.transaction_id
		WHERE l.locktype = 'advisory' AND t.order_id = $order")
	peer=$(ss -Hxnp state connected | grep "PGSQL.*pid=$backend," | awk '{print $8}')
	worker=$(ss -Hxnp state connected | awk -v inode="$peer" '$6 == inode' | grep -o 'pid=[0-9]*')
	[[ -n $worker ]] || complain "nobody holds the lock: backend '$backend', socket '$peer'" || return
	kill -KILL "${worker#pid=}"
}

# ---- Many at once.

@test "sixteen at once, each with a key of its own: one charge" {
	new_order
	for i in $(seq 16); do
		(pay pm_card_visa && echo "$status" >"$BATS_TEST_TMPDIR/answer.$i") &
	done
	wait
	run ! grep -vE '^(201|409)$' "$BATS_TEST_TMPDIR"/answer.*
	grep -q 201 "$BATS_TEST_TMPDIR"/answer.*
	[[ $(charges) == 1 ]]
	payment_is succeeded
}

@test "sixteen at once with the same key: one charge, one answer" {
	new_order
	key=$(idem)
	for i in $(seq 16); do
		(pay pm_card_visa "$key" && echo "$status" >"$BATS_TEST_TMPDIR/answer.$i") &
	done
	wait
	run ! grep -vE '^(201|409)$' "$BATS_TEST_TMPDIR"/answer.*
	[[ $(charges) == 1 && $(attempts) == 1 ]]
}

# ---- Giving back.

@test "a refund in part, then the rest; the order's status stays" {
	paid_order
	refund '{"amount":"5.00","reason":"scratched"}'
	expect_status 201
	expect_json .status succeeded
	expect_json .amount 5.00
	expect_json .payment.status partially_refunded
	expect_json .payment.refunded 5.00
	order_is payment_status partially_refunded
	refund '{}'
	expect_status 201
	expect_json .amount 14.99
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .status refunded
	expect_json '.refunds | length' 2
	expect_json '.refunds[0].reason' scratched
	order_is payment_status refunded
	order_is status confirmed
	refund '{}'
	expect_problem 409 not_refundable
}

@test "the same key refunds once" {
	paid_order
	key=$(idem)
	refund '{"amount":"5.00"}' "$key"
	expect_status 201
	first=$(json .id)
	refund '{"amount":"5.00"}' "$key"
	expect_status 201
	expect_json .id "$first"
	refund '{"amount":"6.00"}' "$key"
	expect_problem 422 idempotency_key_reused
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .refunded 5.00
}

@test "too much, nothing, too precise, unpaid, unknown: no refund" {
	paid_order
	refund '{"amount":"20.00"}'
	expect_problem 422 refund_exceeds_captured
	expect_json .refundable 19.99
	refund '{"amount":"0.00"}'
	expect_problem 400 invalid
	refund '{"amount":"1.999"}'
	expect_problem 400 invalid
	refund '{"amount":"-1.00"}'
	expect_problem 400 invalid
	payment=999999999 refund '{}'
	expect_problem 404 not_found
	TOKEN=$buyer api POST "/api/v1/payments/$payment/refund/" '{}' --header "Idempotency-Key: $(idem)"
	expect_problem 403 permission_denied
	TOKEN=$(staff_token) api POST "/api/v1/payments/$payment/refund/" '{}'
	expect_problem 400 idempotency_key_required
	[[ $(entries '[.[] | select(.refund)] | length') == 0 ]]
	new_order
	pay pm_card_chargeDeclined
	payment=$(json .payment_id)
	refund '{}'
	expect_problem 409 not_refundable
}

@test "dinars go back in tens of fils, as Stripe has them" {
	new_order "$(new_product '{"price":"1.000","currency":"KWD"}')"
	pay pm_card_visa
	expect_status 201
	payment=$(json .id)
	refund '{"amount":"0.125"}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' amount
	refund '{"amount":"0.120"}'
	expect_status 201
	expect_json .amount 0.120
	expect_json .payment.refunded 0.120
	refund '{}'
	expect_json .amount 0.880
}

@test "refunds at once whose sum is too large: what fits is made, the rest is refused" {
	paid_order
	staff_token >/dev/null
	for i in $(seq 8); do
		(refund '{"amount":"6.00"}' && echo "$status" >"$BATS_TEST_TMPDIR/answer.$i") &
	done
	wait
	[[ $(sort "$BATS_TEST_TMPDIR"/answer.* | uniq -c | xargs) == "3 201 5 422" ]]
	[[ $(entries '[.[] | select(.kind == "received" and .path == "/v1/refunds")] | length') == 3 ]]
}

@test "fifty refunds at once give back what was paid and not a cent more" {
	paid_order
	staff_token >/dev/null
	for i in $(seq 50); do
		(refund '{"amount":"1.00"}' && echo "$status" >"$BATS_TEST_TMPDIR/answer.$i") &
		((i % 10)) || wait
	done
	wait
	[[ $(sort "$BATS_TEST_TMPDIR"/answer.* | uniq -c | xargs) == "19 201 31 422" ]]
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .refunded 19.00
	refund '{}'
	expect_json .amount 0.99
}

@test "a refund is cut after its effect: repeated with the same key, given back once" {
	paid_order
	fault '{"fault":"reset","when":"after"}' POST /v1/refunds
	refund '{}'
	expect_status 201
	[[ $(entries '[.[] | select(.kind == "received" and .path == "/v1/refunds") | .idempotency_key] | unique | length') == 1 ]]
}

@test "a refund without an answer is 202, counts as given, and is finished later" {
	paid_order
	fault '{"fault":"status","status":503,"effect":false}' POST /v1/refunds -1
	refund '{"amount":"15.00"}'
	expect_status 202
	expect_json .status pending
	refund '{"amount":"15.00"}'
	expect_problem 422 refund_exceeds_captured
	lost_and_found
	settle_to partially_refunded
	[[ $(entries '[.[] | select(.kind == "received" and .method == "POST" and .path == "/v1/refunds") | .idempotency_key] | unique | length') == 1 ]]
}

@test "a 500 that Stripe keeps: the refund is looked for, made or not" {
	paid_order
	fault '{"fault":"status","status":500,"effect":true,"should_retry":"false"}' POST /v1/refunds -1
	refund '{"amount":"1.00"}'
	expect_status 201
	fault '{"fault":"status","status":500,"effect":false,"should_retry":"false"}' POST /v1/refunds -1
	key=$(idem)
	refund '{"amount":"2.00"}' "$key"
	expect_problem 502 payment_provider_error
	scenario '{}' >/dev/null
	refund '{"amount":"2.00"}' "$key"
	expect_status 201
	expect_json .payment.refunded 3.00
}

@test "a refund that Stripe refuses is not one" {
	paid_order
	fault '{"fault":"status","status":400,"effect":false,"code":"charge_disputed"}' POST /v1/refunds
	refund '{}'
	expect_problem 409 not_refundable
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .refunded 0.00
	expect_json '.refunds[0].status' failed
	refund '{}'
	expect_status 201
}

@test "a refund that is pending is 202 until the webhook ends it" {
	paid_order pm_card_pendingRefund
	scenario '{"settle_ms":-1}' >/dev/null
	refund '{}'
	expect_status 202
	expect_json .status pending
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .refunded 0.00
	expect_json .status succeeded
	fake settle "{\"refund\":\"$(psql_as payments "SELECT r.provider_ref FROM payments_refund r WHERE r.transaction_id = $payment")\",\"result\":\"succeeded\"}"
	wait_for 10 payment_is refunded
}

@test "a refund that fails days later is refundable again" {
	paid_order pm_card_refundFail
	scenario '{"settle_ms":-1}' >/dev/null
	refund '{}'
	expect_status 201
	payment_is refunded
	fake settle "{\"refund\":\"$(psql_as payments "SELECT r.provider_ref FROM payments_refund r WHERE r.transaction_id = $payment")\",\"result\":\"failed\"}"
	wait_for 10 payment_is succeeded
	expect_json '.results[0].refunds[0].status' failed
	wait_for 10 order_is payment_status paid
	refund '{"amount":"1.00"}'
	expect_status 201
	order= # the stand-in counts the failed one as given back
}

@test "a refund made in Stripe's dashboard is taken in" {
	paid_order
	fake refund "{\"payment_intent\":\"$(json .provider_ref)\",\"amount\":700}"
	wait_for 10 payment_is partially_refunded
	expect_json '.results[0].refunded' 7.00
	wait_for 10 order_is payment_status partially_refunded
}

@test "a refund in Stripe's dashboard leaves no room for ours, which is pending: Stripe's counts" {
	paid_order
	intent=$(json .provider_ref)
	fault '{"fault":"status","status":503,"effect":false}' POST /v1/refunds -1
	refund '{"amount":"15.00"}'
	expect_status 202
	scenario "{\"rules\":[{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"path\":\"/v1/refunds\",\"times\":-1},
		\"do\":{\"fault\":\"status\",\"status\":503,\"effect\":false}}]}" >/dev/null
	fake refund "{\"payment_intent\":\"$intent\",\"amount\":1000}"
	wait_for 10 event_sent refund.created 409
	scenario '{}' >/dev/null
	wait_for 20 settled_to partially_refunded
	payment_is partially_refunded
	expect_json '.results[0].refunded' 10.00
	expect_json '.results[0].refunds | map("\(.amount) \(.status)") | sort | join(", ")' '10.00 succeeded, 15.00 failed'
}

# ---- Stripe's events.

# sign BODY [TIME] [SECRET]: a Stripe-Signature.
sign() {
	local time=${2:-$(date +%s)} secret=${3:-${STRIPE_WEBHOOK_SECRET%%,*}}
	echo "t=$time,v1=$(printf '%s.%s' "$time" "$1" | openssl dgst -sha256 -hmac "$secret" -r | cut -d ' ' -f 1)"
}

# event BODY [SIGNATURE]
event() {
	api POST /api/v1/payments/webhook/ "$1" --header "Stripe-Signature: ${2:-$(sign "$1")}"
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

effect() { # BODY: what we noted for the event
	psql_as payments "SELECT effect FROM payments_stripeevent WHERE id = '$(jq -r .id <<<"$1")'"
}

version() {
	psql_as payments "SELECT version FROM payments_transaction WHERE order_id = $order"
}

@test "an event counts once, however often it comes" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	good=$(intent_event processing processing)
	event "$good"
	expect_status 200
	expect_json .received true
	payment_is processing
	before=$(version)
	for _ in 1 2 3 4; do
		event "$good" &
	done
	wait
	event "$good"
	expect_status 200
	[[ $(version) == "$before" ]]
	[[ $(psql_as payments "SELECT count(*) FROM payments_stripeevent WHERE id = '$(jq -r .id <<<"$good")'") == 1 ]]
	order= # the stand-in knows nothing of an event that it did not send
}

# Whether Stripe's event of $order got this answer.
event_sent() { # TYPE STATUS
	[[ $(entries "map(select(.kind == \"event_sent\" and .type == \"$1\" and .status == $2)) | length") -gt 0 ]]
}

@test "a signature that is wrong, stale, early or missing changes nothing" {
	new_order
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_authenticationRequired
	good=$(intent_event succeeded succeeded)
	now=$(date +%s)
	event "$good" "$(sign "$good" "$now" whsec_another_secret_that_is_long_enough)"
	expect_problem 400 bad_signature
	event "$good" "$(sign "$good" $((now - 302)))"
	expect_problem 400 bad_signature
	event "$good" "$(sign "$good" $((now + 310)))"
	expect_problem 400 bad_signature
	event "$good " "$(sign "$good")"
	expect_problem 400 bad_signature
	event "$good" "$(sign "$good" | sed 's/v1=/v0=/')"
	expect_problem 400 bad_signature
	api POST /api/v1/payments/webhook/ "$good"
	expect_problem 400 bad_signature
	payment_is requires_action
	[[ $(psql_as payments "SELECT count(*) FROM payments_stripeevent WHERE id = '$(jq -r .id <<<"$good")'") == 0 ]]
}

@test "signed, but no event: 400" {
	for text in 'not json' '[]' '{"id":"evt_1"}' '{"object":"v2.core.event","id":"evt_1","type":"x","created":1,"data":{"object":{"id":"y"}}}'; do
		event "$text"
		expect_status 400
	done
	event '' "$(sign '')"
	expect_status 400
}

@test "events of what we do not know are taken and noted" {
	new_order
	strange=$(jq -nc --arg id "evt_$(random 8)" '{id: $id, object: "event", type: "customer.created", created: 1, livemode: false, data: {object: {id: "cus_1"}}}')
	event "$strange"
	expect_status 200
	[[ $(effect "$strange") == ignored ]]
	foreign=$(intent_event succeeded succeeded '{"id":"pi_of_somebody_else"}')
	event "$foreign"
	expect_status 200
	[[ $(effect "$foreign") == unmatched ]]
}

@test "another amount, another currency, another mode: not paid" {
	new_order
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_authenticationRequired
	for more in '{"amount_received":1998}' '{"currency":"eur"}'; do
		wrong=$(intent_event succeeded succeeded "$more")
		event "$wrong"
		expect_status 200
		[[ $(effect "$wrong") == mismatch ]]
	done
	live=$(intent_event succeeded succeeded | jq -c '.livemode = true')
	event "$live"
	expect_status 200
	[[ $(effect "$live") == ignored ]]
	payment_is requires_action
}

@test "late events do not turn a paid order back" {
	paid_order
	before=$(version)
	for type in payment_failed processing requires_action canceled; do
		late=$(intent_event "$type" requires_payment_method)
		event "$late"
		expect_status 200
		[[ $(effect "$late") == nothing ]]
	done
	payment_is succeeded
	[[ $(version) == "$before" ]]
}

@test "payment_failed does not touch an attempt in flight, nor one that is younger" {
	new_order
	pay pm_card_chargeDeclined
	lost
	pay pm_card_visa
	expect_status 202
	event "$(intent_event payment_failed requires_payment_method)"
	expect_status 200
	payment_is unknown
	lost_and_found
	settle_to succeeded

	new_order
	pay pm_card_authenticationRequired
	created=$(($(date +%s) - 100)) event "$(created=$(($(date +%s) - 100)) intent_event payment_failed requires_payment_method)"
	expect_status 200
	payment_is requires_action
}

@test "a failure told in the second of the next attempt does not end that" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_chargeDeclined
	expect_problem 402 card_declined
	pay pm_card_authenticationRequired
	expect_json .status requires_action
	created=$(date +%s)
	psql_owner "UPDATE payments.payments_attempt a
		SET created_at = to_timestamp($created) + (a.number - 1) * interval '0.4 s',
		    updated_at = to_timestamp($created) + a.number * interval '0.2 s'
		FROM payments.payments_transaction t WHERE t.id = a.transaction_id AND t.order_id = $order"
	stale=$(intent_event payment_failed requires_payment_method)
	event "$stale"
	expect_status 200
	[[ $(effect "$stale") == nothing ]]
	payment_is requires_action
	# One of a later second is about the latest attempt.
	created=$((created + 1)) event "$(created=$((created + 1)) intent_event payment_failed requires_payment_method)"
	payment_is failed
}

@test "processing is told while the cancellation of the intent has no answer yet" {
	new_order
	charge pm_card_authenticationRequired one
	expect_json .outcome requires_action
	lost before '/v1/payment_intents/*/cancel'
	cancel cancelled
	expect_json .state in_flight
	told=$(intent_event processing processing)
	event "$told"
	expect_status 200
	[[ $(effect "$told") == nothing ]]
	lost_and_found
	settle_to canceled
}

@test "events twice, reversed, and before the answer of the call" {
	for mode in twice reversed on; do
		scenario "{\"webhooks\":{\"mode\":\"$mode\",\"before_answer\":$([[ $mode == on ]] && echo true || echo false)}}" >/dev/null
		new_order
		pay pm_card_visa
		expect_status 201
		wait_for 10 order_is status confirmed
		payment_is succeeded
		ledger_holds
	done
}

# ---- Whatever happens.

# Thirty of them at random requests among the next hundred.
random_faults() {
	local faults=(
		'{"fault":"reset","when":"before"}' '{"fault":"reset","when":"after"}'
		'{"fault":"half_body"}' '{"fault":"half_headers"}' '{"fault":"empty"}' '{"fault":"broken_json"}'
		'{"fault":"html502"}' '{"fault":"wrong_amount"}' '{"fault":"status","status":503,"effect":false}'
		'{"fault":"status","status":409,"effect":false}' '{"fault":"status","status":429,"effect":false}'
		'{"fault":"status","status":500,"effect":true,"should_retry":"false"}'
		'{"fault":"status","status":500,"effect":false,"should_retry":"false"}'
		'{"fault":"status","status":500,"effect":true}')
	local rules=() i
	for i in $(seq 30); do
		rules+=("{\"match\":{\"nth\":$((RANDOM % 100 + 1)),\"times\":$((RANDOM % 4 + 1))},\"do\":${faults[RANDOM % ${#faults[@]}]}}")
	done
	scenario "{\"webhooks\":{\"mode\":\"$1\"},\"rules\":[$(IFS=, && echo "${rules[*]}")]}" >/dev/null
}

nothing_is_open() {
	"${ARNOVA_BUILD:-build}/arnova" reconcile
	[[ $(psql_as payments "SELECT count(*) FROM payment_due d JOIN payments_transaction t USING (order_id)
		WHERE d.order_id IN ($1) AND (t.status <> 'requires_action' OR t.cancel_requested)") == 0 ]]
}

@test "thirty orders under random faults: each is paid once, or not, or given back" {
	local methods=(visa visa mastercard chargeDeclined authenticationRequired) orders=() i
	local seed=${SEED:-$RANDOM}
	echo "SEED=$seed" # shown on failure; set it to repeat
	RANDOM=$seed
	for i in $(seq 30); do
		new_order
		orders+=("$order")
	done
	random_faults "$([[ $((RANDOM % 2)) == 0 ]] && echo off || echo twice)"
	for i in "${!orders[@]}"; do
		order=${orders[i]}
		(pay "pm_card_${methods[RANDOM % ${#methods[@]}]}") &
		((i % 5)) || (TOKEN=$buyer api PUT "/api/v1/orders/$order/cancel/" '{}') &
		((i % 6)) || wait
	done
	wait
	lost_and_found
	local all
	all=$(IFS=, && echo "${orders[*]}")
	wait_for 60 nothing_is_open "$all"
	"${ARNOVA_BUILD:-build}/arnova" relay --once
	for i in "${!orders[@]}"; do
		order=${orders[i]}
		ledger_holds
		# Whatever a cancelled order has cost was given back.
		((i % 5)) || [[ $(stripe_balance) == 0 ]] || complain "order $order was cancelled"
	done
	[[ $(psql_as payments "SELECT count(*) FROM payments_transaction WHERE order_id IN ($all)
		AND status IN ('pending', 'unknown', 'processing')") == 0 ]]
}

# ---- For siblings.

charge() { # METHOD KEY
	internal POST charge "{\"order_id\":$order,\"user_id\":$buyer_id,\"amount\":1999,\"currency\":\"USD\",
		\"payment_method\":\"$1\",\"request_key\":\"$2\"}"
}

# The events that come with an answer are those that the relay has not delivered in the meantime.
last_event_says() { # STATUS CAPTURED REFUNDED
	expect_json '.events | all(.type == "payment.updated" and .aggregate_id == .payload.order_id)' true
	expect_json '[.events[].version] == ([.events[].version] | sort | unique)' true
	[[ $(psql_as payments "SELECT payload ->> 'status', payload ->> 'captured', payload ->> 'refunded' FROM event_outbox
		WHERE aggregate_id = $order AND subscriber = 'orders' ORDER BY id DESC LIMIT 1") == "$1|$2|$3" ]] ||
		complain "the last event does not say $*"
}

@test "charge: the outcome, the payment, the events; the same key is the same attempt" {
	new_order
	charge pm_card_chargeDeclined one
	expect_status 200
	expect_json .outcome declined
	expect_json .decline_code generic_decline
	expect_json .payment.status failed
	charge pm_card_chargeDeclined one
	expect_json .outcome declined
	charge pm_card_visa one
	expect_problem 422 idempotency_key_reused
	charge pm_card_visa two
	expect_json .outcome succeeded
	expect_json .payment.captured 19.99
	last_event_says succeeded 1999 0
	charge pm_card_visa two
	expect_json .outcome succeeded
	charge pm_card_visa three
	expect_json .outcome succeeded
	[[ $(attempts) == 2 && $(charges) == 1 ]]
}

@test "charge: secrets come again for the same key, bad methods and other callers do not pass" {
	new_order
	charge pm_card_authenticationRequired one
	expect_json .outcome requires_action
	secret=$(json .client_secret)
	[[ $secret == pi_* ]]
	charge pm_card_authenticationRequired one
	expect_json .outcome requires_action
	expect_json .client_secret "$secret"
	new_order
	charge pm_card_nonsense one
	expect_json .outcome invalid
	TOKEN=$buyer api POST "$PAYMENTS_SERVICE_URL/internal/v1/charge/" '{}'
	expect_status 401 403
	api POST /internal/v1/charge/ '{}'
	expect_status 404
}

cancel() { # REASON
	internal POST "orders/$order/cancel" "{\"reason\":\"$1\"}"
	expect_status 200
}

@test "cancelled before anybody paid: a tombstone refuses every later charge" {
	new_order
	cancel cancelled
	expect_json .state canceled
	charge pm_card_visa one
	expect_problem 409 order_not_payable
	cancel expired
	expect_json .state canceled
	[[ $(charges) == 0 ]]
	TOKEN=$(staff_token) api GET "/api/v1/payments/?order_id=$order"
	expect_json .count 0
}

@test "cancelled after a decline: the intent is canceled at Stripe, and no card is taken any more" {
	new_order
	charge pm_card_chargeDeclined one
	cancel expired
	expect_json .state canceled
	expect_json '.events | all(.type == "payment.updated")' true
	[[ $(stripe "payment_intents/$(psql_as payments "SELECT provider_ref FROM payments_transaction WHERE order_id = $order")" | jq -r .status) == canceled ]]
	charge pm_card_visa two
	expect_problem 409 order_not_payable
	[[ $(entries '[.[] | select(.kind == "received" and (.path | endswith("/cancel")))] | length') == 1 ]]
}

@test "cancelled when it is paid: all of it goes back; expired when it is paid: it stays paid" {
	new_order
	charge pm_card_visa one
	cancel expired
	expect_json .state succeeded
	cancel cancelled
	expect_json .state refunding
	last_event_says refunded 1999 1999
	cancel cancelled
	[[ $(entries '[.[] | select(.kind == "executed" and .path == "/v1/refunds")] | length') == 1 ]]
	charge pm_card_visa two
	expect_problem 409 order_not_payable
}

@test "cancelled while the outcome is unknown: what comes goes back" {
	new_order
	lost
	charge pm_card_visa one
	expect_json .outcome unknown
	cancel expired
	expect_json .state in_flight
	charge pm_card_visa two
	expect_problem 409 payment_in_progress
	cancel cancelled
	expect_json .state in_flight
	lost_and_found
	settle_to refunded
	[[ $(charges) == 1 ]]
}

@test "cancelled while the outcome is unknown: what was declined is canceled" {
	new_order
	lost
	charge pm_card_chargeDeclined one
	cancel cancelled
	expect_json .state in_flight
	lost_and_found
	settle_to canceled
}

@test "the intent was paid while it was to be canceled: expired finds it paid, cancelled gives it back" {
	for reason in expired cancelled; do
		new_order
		scenario '{"webhooks":{"mode":"off"}}' >/dev/null
		charge pm_card_authenticationRequired one
		fake authenticate "{\"payment_intent\":\"$(json .payment.provider_ref)\",\"result\":\"ok\"}"
		cancel "$reason"
		case $reason in
		expired) expect_json .state succeeded ;;
		cancelled) expect_json .state refunding && last_event_says refunded 1999 1999 ;;
		esac
		ledger_holds
	done
}

@test "Stripe tells that it is paid after the attempt to cancel has found that out" {
	new_order
	scenario '{"webhooks":{"mode":"hold"}}' >/dev/null
	charge pm_card_authenticationRequired one
	fake authenticate "{\"payment_intent\":\"$(json .payment.provider_ref)\",\"result\":\"ok\"}"
	cancel expired
	expect_json .state succeeded
	fake release_webhooks '{}'
	wait_for 10 event_sent payment_intent.succeeded 200
	[[ $(entries 'map(select(.kind == "event_sent" and .status != 200)) | length') == 0 ]]
	payment_is succeeded
}

refunds_at_stripe() {
	entries '[.[] | select(.kind == "received" and .path == "/v1/refunds")] | length'
}

@test "the refund of a cancelled order that Stripe refuses is tried again, not at once" {
	paid_order
	fault '{"fault":"status","status":400,"effect":false,"code":"charge_disputed"}' POST /v1/refunds
	cancel cancelled
	expect_json .state refunding
	payment_is succeeded
	expect_json '.results[0].refunds | map(.status) | join(" ")' failed
	settle_to succeeded
	[[ $(refunds_at_stripe) == 1 ]]
	# Payments keep the time of their last change by themselves.
	psql_owner "SET session_replication_role = replica; UPDATE payments.payments_transaction
		SET updated_at = now() - interval '61 seconds' WHERE order_id = $order"
	wait_for 20 reconciled_to refunded
	expect_json '.results[0].refunds | map(.status) | join(" ")' 'failed succeeded'
	[[ $(refunds_at_stripe) == 2 && $(stripe_balance) == 0 ]]
}

@test "a cancellation without an answer is repeated under its key" {
	new_order
	charge pm_card_chargeDeclined one
	lost after '/v1/payment_intents/*/cancel'
	cancel cancelled
	expect_json .state in_flight
	charge pm_card_visa two
	expect_problem 409 order_not_payable
	lost_and_found
	settle_to canceled
	[[ $(entries '[.[] | select(.kind == "received" and (.path | endswith("/cancel"))) | .idempotency_key] | unique | length') == 1 ]]
}

@test "a cancellation that Stripe refuses is not tried again at once" {
	new_order
	charge pm_card_chargeDeclined one
	fault '{"fault":"status","status":400,"effect":false}' POST '/v1/payment_intents/*/cancel' -1
	cancel cancelled
	expect_json .state in_flight
	settle_to failed
	settle_to failed
	[[ $(entries '[.[] | select(.kind == "received" and (.path | endswith("/cancel")))] | length') == 1 ]]
	psql_owner "UPDATE payments.payments_attempt SET updated_at = now() - interval '2 minutes' WHERE transaction_id =
		(SELECT id FROM payments.payments_transaction WHERE order_id = $order)" >/dev/null
	lost_and_found
	settle_to canceled
}

is_due() {
	internal GET due
	expect_status 200 && expect_json ".orders | index($order) != null" true
}

@test "due names what is open, and run finishes it" {
	new_order
	lost
	charge pm_card_visa one
	wait_for 20 is_due
	lost_and_found
	settle_to succeeded
	run ! is_due
	settle_to succeeded
	internal POST run/999999999999 '{}'
	expect_problem 404 not_found
}

# Makes the attempts at $order a day older, out of the relay's reach; one that it has just begun
# has the time to end.
age() {
	psql_owner "UPDATE payments.payments_attempt SET created_at = created_at - interval '24 hours',
		due_at = now() + interval '1 hour' WHERE transaction_id =
		(SELECT id FROM payments.payments_transaction WHERE order_id = $order)" >/dev/null
	sleep 4
	lost_and_found
}

posts() {
	entries '[.[] | select(.kind == "received" and .method == "POST")] | length'
}

@test "a key that Stripe may have forgotten is never posted again" {
	new_order
	lost
	charge pm_card_visa one
	expect_json .outcome unknown
	age
	before=$(posts)
	settle_to succeeded
	[[ $(posts) == "$before" ]]

	new_order
	lost before
	charge pm_card_visa one
	expect_json .outcome unknown
	age
	settle_to failed
	[[ $(charges) == 0 ]]
}

@test "events of siblings are taken once and concern nothing here" {
	told="{\"event_id\":\"$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)\",\"type\":\"order.confirmed\",\"aggregate_id\":1,\"version\":1,\"payload\":{}}"
	internal POST events "$told"
	expect_status 200
	expect_json .applied false
}

# ---- What PostgreSQL itself refuses.

# refused CONSTRAINT SQL: the owner himself may not.
refused() {
	local said
	said=$(psql -XAtq -d "$MIGRATE_DATABASE_URL" -c "BEGIN; SET LOCAL search_path = payments; $2; ROLLBACK" 2>&1) || true
	[[ $said == *"\"$1\""* || $said == *"ERROR:  $1"* ]] || complain "expected $1, got: $said"
}

@test "the tables hold the rules, whoever writes" {
	paid_order
	refund '{"amount":"1.00"}'
	expect_status 201
	local t="UPDATE payments_transaction SET" w="WHERE id = $payment"
	local a="INSERT INTO payments_attempt (transaction_id, number, operation, stripe_key, payment_method, outcome, request_key)
		SELECT transaction_id" f="FROM payments_attempt WHERE transaction_id = $payment"
	local r="INSERT INTO payments_refund (transaction_id, amount, number, stripe_key, request_key, provider_ref, status)
		SELECT transaction_id" g="FROM payments_refund WHERE transaction_id = $payment"
	refused payment_exists "INSERT INTO payments_transaction (order_id, user_id, amount, currency) VALUES ($order, 1, 1, 'USD')"
	refused payment_status_unknown "ALTER TABLE payments_transaction DISABLE TRIGGER USER; $t status = 'nonsense', captured = 0, refunded = 0 $w"
	refused payment_currency_malformed "$t currency = 'usd' $w"
	refused captured_exceeds_amount "$t captured = amount + 1 $w"
	refused refund_exceeds_captured "$t refund_pending = captured - refunded + 1 $w"
	refused captured_unless_succeeded "$t captured = 0, refunded = 0 $w"
	refused payment_incomplete "$t currency = NULL $w"
	refused invalid_transition "$t status = 'failed' $w"
	refused provider_ref_taken "INSERT INTO payments_transaction (order_id, user_id, amount, currency, provider_ref)
		SELECT -1, 1, 1, 'USD', provider_ref FROM payments_transaction $w"
	refused payment_charged_twice "$a, 99, 'confirm', 'k', 'pm', 'succeeded', NULL $f"
	refused payment_in_progress "$a, 99, 'confirm', 'k', 'pm', 'pending', NULL $f; $a, 98, 'confirm', 'l', 'pm', 'unknown', NULL $f LIMIT 1"
	refused attempt_number_taken "$a, number, 'confirm', 'k', 'pm', 'failed', NULL $f"
	refused stripe_key_taken "$a, 99, 'confirm', stripe_key, 'pm', 'failed', NULL $f"
	refused request_key_taken "$a, 99, 'confirm', 'k', 'pm', 'failed', request_key $f"
	refused attempt_operation_unknown "$a, 99, 'nonsense', 'k', 'pm', 'failed', NULL $f"
	refused attempt_outcome_unknown "$a, 99, 'confirm', 'k', 'pm', 'nonsense', NULL $f"
	refused attempt_without_method "$a, 99, 'confirm', 'k', NULL, 'failed', NULL $f"
	refused refund_not_positive "$r, 0, 99, 'k', NULL, NULL, 'pending' $g"
	refused refund_status_unknown "$r, 1, 99, 'k', NULL, NULL, 'nonsense' $g"
	refused refund_number_taken "$r, 1, number, 'k', NULL, NULL, 'pending' $g"
	refused refund_stripe_key_taken "$r, 1, 99, stripe_key, NULL, NULL, 'pending' $g"
	refused refund_request_key_taken "$r, 1, 99, 'k', request_key, NULL, 'pending' $g"
	refused refund_provider_ref_taken "$r, 1, 99, 'k', NULL, provider_ref, 'pending' $g"
	refused refund_without_key "$r, 1, 99, NULL, NULL, NULL, 'pending' $g"
	refused payment_version_taken "INSERT INTO payments_history (transaction_id, version, to_status)
		SELECT transaction_id, version, to_status FROM payments_history WHERE transaction_id = $payment LIMIT 1"
	refused history_is_kept "DELETE FROM payments_history WHERE transaction_id = $payment"
}

@test "every change is counted and told, and history goes along the transitions" {
	new_order
	pay pm_card_chargeDeclined
	pay pm_card_visa
	expect_status 201
	payment=$(json .id)
	refund '{}'
	expect_status 201
	[[ $(psql_as payments "SELECT string_agg(to_status, ' ' ORDER BY version) FROM payments_history WHERE transaction_id = $payment") == \
		"pending failed pending succeeded" ]]
	[[ $(psql_as payments "SELECT count(*) = max(o.version) AND max(o.version) = max(t.version) FROM event_outbox o
		JOIN payments_transaction t ON t.order_id = o.aggregate_id WHERE t.id = $payment") == t ]]
}

# ---- At start.

@test "payments does not start with settings that could leak the key or let anybody in" {
	local program=${ARNOVA_BUILD:-build}/payments.fcgi
	run env STRIPE_API_BASE=http://stripe.example "$program" </dev/null
	[[ $status == 1 && $output == *"STRIPE_API_BASE must be https://"* ]]
	run env STRIPE_API_BASE=http://127.0.0.1.example.com "$program" </dev/null
	[[ $status == 1 && $output == *"STRIPE_API_BASE must be https://"* ]]
	run env STRIPE_API_BASE=http://localhost:1@example.com "$program" </dev/null
	[[ $status == 1 && $output == *"STRIPE_API_BASE must be https://"* ]]
	run env -u STRIPE_SECRET_KEY "$program" </dev/null
	[[ $status == 1 && $output == *"STRIPE_SECRET_KEY is missing"* ]]
	run env STRIPE_WEBHOOK_SECRET="$STRIPE_WEBHOOK_SECRET,short" "$program" </dev/null
	[[ $status == 1 && $output == *"STRIPE_WEBHOOK_SECRET is missing or shorter"* ]]
}
