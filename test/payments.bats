# payments.bats: paying, being declined, who sees what; and at the end of each test the ledger of the
# stand-in for Stripe, which knows what really was charged.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

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
	[[ $(attempts) == 5 ]]
	find_payment
	expect_json '.results[0].failure_message' "The card was declined."
}

@test "a decline reads the same whether the order is paid at once or later" {
	new_order
	pay pm_card_chargeDeclined
	expect_problem 402 card_declined
	members=$(json 'keys | join(" ")')
	[[ $members == "code decline_code detail order_id payment_id request_id status title type" ]]
	buy pm_card_chargeDeclined
	expect_problem 402 card_declined
	expect_json 'keys | join(" ")' "$members"
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
	TOKEN=$buyer api GET "/api/v1/payments/?order_id=$order&order_id=$order"
	expect_problem 400 invalid
	# Newest first, by number and by key.
	before=$payment
	paid_order
	local next
	for next in '?page_size=1' '?page_size=1&cursor='; do
		TOKEN=$buyer api GET "/api/v1/payments/$next"
		expect_json '.results | map(.id) | tostring' "[$payment]"
		TOKEN=$buyer api GET "$(json .next)"
		expect_status 200
		expect_json '.results | map(.id) | tostring' "[$before]"
	done
	api GET /api/v1/payments/
	expect_problem 401 not_authenticated
}

# CODE, price, a part of it and what cannot be given back; and the first two as Stripe counts them.
currencies='
	JPY 500      120     0.5     500   120
	ISK 500      120     0.5     50000 12000
	MGA 5000.00  1200.00 12.50   5000  1200
	KWD 1.250    0.120   0.125   1250  120
	BHD 12.340   12.330  0.001   12340 12330'

@test "paid and given back in part in currencies of no, two and three decimals, as Stripe counts them" {
	local code price part wrong charged refunded
	while read -r code price part wrong charged refunded; do
		[[ -n $code ]] || continue
		new_order "$(new_product "{\"price\":\"$price\",\"currency\":\"$code\"}")"
		expect_json '"\(.total) \(.currency)"' "$price $code"
		pay pm_card_visa
		expect_status 201
		payment=$(json .id)
		expect_json '"\(.amount) \(.captured) \(.currency)"' "$price $price $code"
		refund "{\"amount\":\"$wrong\"}"
		expect_problem 400 invalid
		expect_json '.errors | keys | join(" ")' amount
		refund "{\"amount\":\"$part\"}"
		expect_status 201
		expect_json '"\(.amount) \(.currency) \(.payment.refunded)"' "$part $code $part"
		[[ $(stripe "payment_intents/$(intent)?expand%5B%5D=latest_charge" |
			jq -r '"\(.amount_received) \(.latest_charge.amount_refunded) \(.currency)"') == "$charged $refunded ${code,,}" ]] ||
			complain "$code: $(stripe "payment_intents/$(intent)")"
		refund '{}'
		expect_status 201
		payment_is refunded
		expect_json '.results[0].refunded' "$price"
		[[ $(stripe "payment_intents/$(intent)?expand%5B%5D=latest_charge" | jq .latest_charge.amount_refunded) == "$charged" ]]
		wait_for 60 order_is payment_status refunded
	done <<<"$currencies"
	order= # sums in other units than ours
}

@test "what Stripe cannot express is not sold: unknown currencies, fils that are no tens" {
	for wrong in '{"currency":"UGX","price":"5000"}' '{"currency":"XXX"}' '{"currency":"usd"}'; do
		TOKEN=$(staff_token) api POST /api/v1/products/ "$(jq -c '{name: "Odd", price: "5.00"} + .' <<<"$wrong")"
		expect_problem 400 invalid
	done
	product=$(new_product '{"price":"1.255","currency":"KWD"}')
	buy pm_card_visa
	expect_problem 400 invalid
	expect_json '.errors.items[0]' 'The total must be a multiple of 0.010.'
	# Nor charged, whoever asks.
	internal POST charge "{\"order_id\":999999999,\"user_id\":$buyer_id,\"amount\":1255,\"currency\":\"KWD\",
		\"payment_method\":\"pm_card_visa\",\"request_key\":\"one\"}"
	expect_problem 409 order_not_payable
}

@test "more than Stripe can take is not sold" {
	local code most over
	while read -r code most over; do
		new_order "$(new_product "{\"price\":\"$most\",\"currency\":\"$code\"}")"
		pay pm_card_visa
		expect_status 201
		product=$(new_product "{\"price\":\"$over\",\"currency\":\"$code\"}") buy pm_card_visa
		expect_problem 400 amount_too_large
		expect_json '"\(.maximum) \(.currency)"' "$most $code"
	done <<-END
		USD 999999.99 1000000.00
		JPY 99999999 100000000
		ISK 999999 1000000
		KWD 99999.990 100000.000
	END
	order= # sums in other units than ours
}

# ---- Many at once.

@test "sixteen at once, each with a key of its own: one charge, and one is told that it paid" {
	new_order
	for i in $(seq 16); do
		(pay pm_card_visa && echo "$status $(json .code)" >"$BATS_TEST_TMPDIR/answer.$i") &
	done
	wait
	[[ $(cat "$BATS_TEST_TMPDIR"/answer.* | grep -c '^201 null$') == 1 ]]
	[[ $(cat "$BATS_TEST_TMPDIR"/answer.* | grep -cE '^409 (order_not_payable|payment_in_progress)$') == 15 ]]
	[[ $(charges) == 1 && $(attempts) == 1 ]]
	payment_is succeeded
}

@test "a card that declines is never told that it paid, whatever pays beside it" {
	for _ in 1 2 3 4; do
		new_order
		pay pm_card_visa &
		for _ in 1 2 3 4; do
			pay pm_card_chargeDeclined
			expect_status 402 409
		done
		wait
		[[ $(charges) -le 1 ]]
	done
}

@test "paid, though orders does not know yet: only whose attempt it was is told so" {
	new_order
	# Not by process/, which would tell orders at once.
	charge pm_card_visa one
	expect_json .outcome succeeded
	pay pm_card_chargeDeclined
	expect_problem 409 order_not_payable
	pay pm_card_visa
	expect_problem 409 order_not_payable
	# The same checkout asks again, or another way of it: it is paid.
	charge pm_card_visa one
	expect_json .outcome succeeded
	charge pm_card_visa two
	expect_json .outcome succeeded
	[[ $(charges) == 1 && $(attempts) == 1 ]]
	wait_for 10 order_is status confirmed
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
	refused payment_uuid_taken "INSERT INTO payments_transaction (order_id, user_id, amount, currency, uuid)
		SELECT -1, 1, 1, 'USD', uuid FROM payments_transaction $w"
	refused stripe_event_effect_unknown "INSERT INTO payments_stripeevent (id, type, effect, created_at) VALUES ('e', 't', 'nonsense', now())"
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
