# refunds.bats: giving money back, in parts, at once, in vain.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

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
	local requests=0 result staff
	paid_order
	staff=$(staff_token)
	for _ in $(seq 50); do
		ask_for "$staff" "/api/v1/payments/$payment/refund/" '{"amount":"1.00"}'
	done >"$BATS_TEST_TMPDIR/requests"
	result=$(all_at_once "$BATS_TEST_TMPDIR/requests")
	[[ $result == "201 19,422 31" ]] || complain "expected 19 refunds, got $result"
	[[ $(cat "$BATS_TEST_TMPDIR"/answer.* | grep -o '"code":"refund_exceeds_captured"' | wc -l) == 31 ]]
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json .refunded 19.00
	[[ $(stripe_refunds '.[].amount') == "$(yes 100 | head -n 19)" ]]
	refund '{}'
	expect_json .amount 0.99
}

# stripe_refunds FILTER: over what Stripe has given back of $order.
stripe_refunds() {
	stripe "refunds?payment_intent=$(intent)&limit=100" | jq -r ".data | $1"
}

@test "fifty refunds of which Stripe answers none: what may have been given back counts" {
	local requests=0 result staff
	paid_order
	staff=$(staff_token)
	scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},
		\"do\":{\"fault\":\"status\",\"status\":500,\"effect\":true,\"should_retry\":\"false\"}},
		{\"match\":{\"method\":\"GET\",\"path\":\"/v1/refunds*\",\"times\":-1},\"do\":{\"fault\":\"status\",\"status\":401,\"effect\":false}}]}" >/dev/null
	for _ in $(seq 50); do
		ask_for "$staff" "/api/v1/payments/$payment/refund/" '{"amount":"1.50"}'
	done >"$BATS_TEST_TMPDIR/requests"
	result=$(all_at_once "$BATS_TEST_TMPDIR/requests")
	[[ $result == "202 13,422 37" ]] || complain "expected 13 that are open, got $result"
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json '"\(.refunded) \(.refunds | map(.status) | unique | join(","))"' "0.00 pending"
	lost_and_found
	settled_and_shown() {
		internal POST "run/$order" '{}' && TOKEN=$buyer api GET "/api/v1/payments/$payment/" &&
			expect_json .refunded 19.50
	}
	wait_for 60 settled_and_shown
	[[ $(stripe_refunds length) == 13 ]]
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
	wait_for 60 payment_is refunded
}

@test "a refund that fails days later is refundable again" {
	paid_order pm_card_refundFail
	scenario '{"settle_ms":-1}' >/dev/null
	refund '{}'
	expect_status 201
	payment_is refunded
	fake settle "{\"refund\":\"$(psql_as payments "SELECT r.provider_ref FROM payments_refund r WHERE r.transaction_id = $payment")\",\"result\":\"failed\"}"
	wait_for 60 payment_is succeeded
	expect_json '.results[0].refunds[0].status' failed
	expect_json '.results[0].refunded' 0.00
	wait_for 60 order_is payment_status paid
	order_is status confirmed
	[[ $(grep -hF '"message":"a refund has failed"' "$VAR"/log/payments*.log) == *"\"arnova.order_id\":$order,"* ]]
	# A later word of its success is of before.
	refund_event updated succeeded "$(psql_as payments "SELECT provider_ref FROM payments_refund WHERE transaction_id = $payment")" 1999
	expect_status 200
	payment_is succeeded
	refund '{"amount":"20.00"}'
	expect_problem 422 refund_exceeds_captured
	refund '{}'
	expect_status 201
	[[ $(json .payment.refunds | jq -c 'map(.status)') == '["failed","succeeded"]' ]]
}

# refund_event TYPE STATUS REF AMOUNT: an event of a refund of $order's payment.
refund_event() {
	event "$(jq -nc --arg id "evt_$(random 8)" --arg type "refund.$1" --arg status "$2" --arg ref "$3" --argjson amount "$4" \
		--arg intent "$(intent)" --argjson now "$(date +%s)" '{id: $id, object: "event", type: $type, created: $now,
		livemode: false, data: {object: {id: $ref, object: "refund", status: $status, amount: $amount, currency: "usd",
		payment_intent: $intent, metadata: {}}}}')"
}

@test "a refund made in Stripe's dashboard is taken in" {
	paid_order
	fake refund "{\"payment_intent\":\"$(json .provider_ref)\",\"amount\":700}"
	wait_for 60 payment_is partially_refunded
	expect_json '.results[0].refunded' 7.00
	wait_for 60 order_is payment_status partially_refunded
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
	wait_for 60 event_sent refund.created 409
	scenario '{}' >/dev/null
	wait_for 60 settled_to partially_refunded
	payment_is partially_refunded
	expect_json '.results[0].refunded' 10.00
	expect_json '.results[0].refunds | map("\(.amount) \(.status)") | sort | join(", ")' '10.00 succeeded, 15.00 failed'
}

@test "a refund in Stripe's dashboard whose failure is told first stays failed" {
	paid_order
	refund_event failed failed "re_elsewhere_$order" 500
	expect_status 200
	payment_is succeeded
	expect_json '.results[0].refunds | map("\(.amount) \(.status)") | join(", ")' '5.00 failed'
	refund_event created succeeded "re_elsewhere_$order" 500
	expect_status 200
	payment_is succeeded
	expect_json '.results[0].refunded' 0.00
}

@test "a refund that is told before the payment is asked for again, and then counts" {
	new_order
	scenario '{"settle_ms":-1,"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_processing
	expect_json .status processing
	refund_event created succeeded "re_early_$order" 500
	expect_problem 409 payment_in_progress
	fake settle "{\"payment_intent\":\"$(intent)\",\"result\":\"succeeded\"}"
	settle_to succeeded
	fake refund "{\"payment_intent\":\"$(intent)\",\"amount\":500}"
	refund_event created succeeded "$(stripe_refunds '.[0].id' | tr -d '"')" 500
	expect_status 200
	payment_is partially_refunded
	expect_json '.results[0].refunded' 5.00
}

# Pays $order at Stripe, of which we hear nothing; then webhooks come again.  Sets $unseen, its intent.
pay_unseen() {
	lost
	pay pm_card_visa
	expect_status 202
	expect_json .provider_ref null
	payment=$(json .id)
	unseen=$(entries '[.[].payment_intent | values][0]')
	scenario "{\"rules\":[{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},\"do\":{\"fault\":\"reset\",\"when\":\"after\"}},
		{\"match\":{\"method\":\"GET\",\"times\":-1},\"do\":{\"fault\":\"status\",\"status\":503,\"effect\":false}}]}" >/dev/null
}

@test "a refund in Stripe's dashboard that is told before we know the intent counts when we do" {
	local how
	for how in kept cancelled; do
		new_order
		pay_unseen
		fake refund "{\"payment_intent\":\"$unseen\",\"amount\":700}" >/dev/null
		wait_for 60 event_sent refund.created 200
		[[ $how == kept ]] || cancel_order
		payment_is unknown
		lost_and_found
		if [[ $how == kept ]]; then
			settle_to partially_refunded
			order_is status confirmed
		else
			settle_to refunded
		fi
		TOKEN=$buyer api GET "/api/v1/payments/$payment/"
		expect_json '.refunds | map("\(.amount) \(.status)") | join(", ")' \
			"7.00 succeeded$([[ $how == kept ]] || echo ', 12.99 succeeded')"
		ledger_holds
	done
	wait_for 60 order_is payment_status refunded
}

# event_of_unseen TYPE ID AMOUNT [STATUS]: the body of an event of a refund or a dispute of $unseen.
event_of_unseen() {
	jq -nc --arg id "evt_$(random 8)" --arg type "$1" --arg intent "$unseen" --argjson now "$(date +%s)" \
		--arg object "$2" --argjson amount "$3" --arg status "${4-}" \
		'{id: $id, object: "event", type: $type, created: $now, livemode: false, data: {object: {id: $object,
		amount: $amount, currency: "usd", status: $status, payment_intent: $intent, metadata: {}}}}'
}

@test "what else was told of an unknown intent: a failure stays one, too much and a dispute are shown to staff" {
	new_order
	pay_unseen
	while read -r -a told; do
		event "$(event_of_unseen "${told[@]}")"
		expect_status 200
	done <<-END
		refund.created re_a$order 500 pending
		refund.failed re_a$order 500 failed
		refund.created re_b$order 2000 succeeded
		charge.dispute.created du_$order 1999 needs_response
	END
	lost_and_found
	settle_to succeeded
	TOKEN=$(staff_token) api GET "/api/v1/payments/$payment/"
	expect_json '"\(.refunded) \(.refunds | map("\(.amount) \(.status)") | join(", "))"' '0.00 5.00 failed'
	expect_json '.alerts | map(.type) | sort | join(" ")' 'charge.dispute.created refund.created'
}

@test "a refund that is told in the moment in which the intent becomes known is not lost" {
	new_order
	pay_unseen
	put_off
	local told
	fake refund "{\"payment_intent\":\"$unseen\",\"amount\":700}" >/dev/null
	wait_for 60 event_sent refund.created 200
	psql_as payments "DELETE FROM payments_stripeevent WHERE intent = '$unseen'"
	told=$(event_of_unseen refund.created "re_late_$order" 700 succeeded)
	hold payments "SELECT apply_stripe_event('$told', false, 700)"
	lost_and_found
	internal POST "run/$order" '{}' 3>&- &
	let_go
	wait
	settle_to partially_refunded
}

@test "given back in the dashboard, and nobody told us: a refund that Stripe refuses finds that out" {
	local some
	for some in '' ',"amount":700'; do
		paid_order
		scenario '{"webhooks":{"mode":"off"}}' >/dev/null
		fake refund "{\"payment_intent\":\"$(intent)\"$some}"
		payment_is succeeded
		cancel cancelled
		expect_json .state refunding
		if [[ -z $some ]]; then
			payment_is refunded
		else
			payment_is partially_refunded
			expect_json '.results[0].refunded' 7.00
		fi
		ledger_holds
	done
}

@test "refunds told of another amount or currency, or of more than was paid, change nothing" {
	paid_order
	refund '{"amount":"5.00"}'
	ref=$(psql_as payments "SELECT provider_ref FROM payments_refund WHERE transaction_id = $payment")
	refund_event updated failed "$ref" 501
	expect_status 200
	refund_event created succeeded "re_too_much_$order" 1500
	expect_status 200
	payment_is partially_refunded
	expect_json '.results[0] | "\(.refunded) \(.refunds | length)"' '5.00 1'
	TOKEN=$(staff_token) api GET "/api/v1/payments/$payment/"
	expect_json '.alerts | map(.type) | join(" ")' 'refund.updated refund.created'
}

@test "pending refunds count as given back until they fail" {
	paid_order pm_card_pendingRefund
	scenario '{"settle_ms":-1}' >/dev/null
	refund '{"amount":"15.00"}'
	expect_status 202
	refund '{"amount":"5.00"}'
	expect_problem 422 refund_exceeds_captured
	expect_json .refundable 4.99
	refund '{"amount":"4.99"}'
	expect_status 202
	refund '{}'
	expect_problem 409 not_refundable
	fake settle "{\"refund\":\"$(psql_as payments "SELECT provider_ref FROM payments_refund WHERE transaction_id = $payment AND amount = 1500")\",\"result\":\"failed\"}" >/dev/null
	refundable() { refund '{"amount":"15.00"}' && expect_status 202; }
	wait_for 60 refundable
	payment_is succeeded
	expect_json '.results[0].refunds | map("\(.amount) \(.status)") | join(", ")' '15.00 failed, 4.99 pending, 15.00 pending'
	for ref in $(stripe_refunds '.[] | select(.status == "pending") | .id'); do
		fake settle "{\"refund\":\"$ref\",\"result\":\"succeeded\"}" >/dev/null
	done
	wait_for 60 payment_is refunded
}

@test "the retry of a refund's key tells how it ended, and gives nothing back again" {
	paid_order pm_card_pendingRefund
	scenario '{"settle_ms":-1}' >/dev/null
	key=$(idem)
	refund '{"amount":"5.00"}' "$key"
	expect_status 202
	first=$(json .id)
	refund '{"amount":"5.00"}' "$key"
	expect_status 202
	expect_json .id "$first"
	refund '{"amount":"6.00"}' "$key"
	expect_problem 422 idempotency_key_reused
	fake settle "{\"refund\":\"$(psql_as payments "SELECT provider_ref FROM payments_refund WHERE id = $first")\",\"result\":\"succeeded\"}" >/dev/null
	wait_for 60 payment_is partially_refunded
	refund '{"amount":"5.00"}' "$key"
	expect_status 201
	expect_json '"\(.id) \(.status)"' "$first succeeded"
	# Days later nothing but the refund itself remembers the key.
	for wrong in 6.00 0.00; do
		psql_owner "DELETE FROM payments.idempotency_key"
		refund "{\"amount\":\"$wrong\"}" "$key"
		expect_problem 422 idempotency_key_reused
	done
	psql_owner "DELETE FROM payments.idempotency_key"
	refund '{"amount":"5.00"}' "$key"
	expect_status 201
	expect_json .id "$first"
	[[ $(stripe_refunds length) == 1 ]]
}

@test "a worker is killed while it refunds: the retry of its key, or reconcile, finishes that once" {
	for how in retry reconcile; do
		paid_order
		fault '{"fault":"latency","when":"after","ms":15000}' POST /v1/refunds
		key=$(idem)
		refund '{"amount":"5.00"}' "$key" &
		wait_for 60 given_back_at_stripe
		kill_worker refund
		wait
		case $how in
		retry)
			retried() { refund '{"amount":"5.00"}' "$key" && expect_status 201; }
			wait_for 60 retried
			;;
		reconcile) wait_for 60 reconciled_to partially_refunded ;;
		esac
		payment_is partially_refunded
		expect_json '.results[0].refunded' 5.00
		[[ $(stripe_refunds length) == 1 ]]
		ledger_holds
	done
}

given_back_at_stripe() {
	[[ $(stripe_refunds length) == 1 ]]
}

# Makes the refunds of $order a day older, out of the relay's reach.
age_refunds() {
	put_off refund
	psql_owner "UPDATE payments.payments_refund SET created_at = created_at - interval '24 hours',
		claimed_at = claimed_at - interval '24 hours' WHERE transaction_id = $payment"
	lost_and_found
}

@test "a refund's key that Stripe may have forgotten is never posted again: made or not, it is looked for" {
	local when posted
	for when in after before; do
		paid_order
		lost "$when" /v1/refunds
		refund '{"amount":"5.00"}'
		expect_status 202
		age_refunds
		posted=$(entries '[.[] | select(.kind == "received" and .method == "POST")] | length')
		if [[ $when == after ]]; then settle_to partially_refunded; else settle_to succeeded; fi
		[[ $(entries '[.[] | select(.kind == "received" and .method == "POST")] | length') == "$posted" ]]
		TOKEN=$buyer api GET "/api/v1/payments/$payment/"
		expect_json '.refunds | map(.status) | join(" ")' "$([[ $when == after ]] && echo succeeded || echo failed)"
		ledger_holds
	done
	refund '{"amount":"5.00"}'
	expect_status 201
}

@test "what was not paid is not given back" {
	new_order
	pay pm_card_authenticationRequired
	payment=$(json .id)
	refund '{}'
	expect_problem 409 not_refundable
	refund '{"amount":"1.00"}'
	expect_problem 409 not_refundable
	cancel_order
	refund '{}'
	expect_problem 409 not_refundable
	[[ $(stripe_refunds length) == 0 ]]
}
