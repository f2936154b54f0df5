# webhooks.bats: Stripe's events, true and false, twice, late and in any order.
# shellcheck disable=SC2030,SC2031,SC2154

bats_require_minimum_version 1.5.0

setup_file() {
	load payments
	open_shop
}

setup() {
	load payments
	begin_test
}

teardown() {
	end_test
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
