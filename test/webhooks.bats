# webhooks.bats: Stripe's events, true and false, twice, late and in any order.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

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
	for _ in 1 2 3 4 5; do
		event "$good" &
	done
	wait
	for _ in 1 2 3 4 5; do
		event "$good"
		expect_status 200
	done
	[[ $(version) == "$before" && $(effect "$good") == applied ]]
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
	event "$good" "$(sign "$good" $((now - 301)))"
	expect_problem 400 bad_signature
	event "$good" "$(sign "$good" $((now + 400)))"
	expect_problem 400 bad_signature
	for forged in '' 't=' "t=$now" "t=$now,v1=" 'v1=00' "t=$now,v1=$(random 32)" nonsense; do
		event "$good" "$forged"
		expect_problem 400 bad_signature
	done
	event "$good " "$(sign "$good")"
	expect_problem 400 bad_signature
	event "$good" "$(sign "$good" | sed 's/v1=/v0=/')"
	expect_problem 400 bad_signature
	api POST /api/v1/payments/webhook/ "$good"
	expect_problem 400 bad_signature
	payment_is requires_action
	[[ $(psql_as payments "SELECT count(*) FROM payments_stripeevent WHERE id = '$(jq -r .id <<<"$good")'") == 0 ]]
}

@test "two events at the same moment that both say paid count as one" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	for _ in 1 2 3 4 5; do
		event "$(intent_event succeeded succeeded)" &
	done
	wait
	payment_is succeeded
	wait_for 60 order_is status confirmed
	[[ $(psql_as payments "SELECT string_agg(effect, ' ' ORDER BY effect) FROM payments_stripeevent e
		JOIN payments_transaction t ON t.id = e.transaction_id WHERE t.order_id = $order") == "applied nothing nothing nothing nothing" ]]
}

@test "while the secret is changed, both count, and either of two signatures" {
	new_order
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	pay pm_card_authenticationRequired
	good=$(intent_event processing processing)
	next=whsec_of_next_year_that_is_long_enough
	now=$(date +%s)
	for secret in "$next" "${STRIPE_WEBHOOK_SECRET%%,*}"; do
		answer=$(as_cgi POST /api/v1/payments/webhook/ "$good" "STRIPE_WEBHOOK_SECRET=$next,$STRIPE_WEBHOOK_SECRET" \
			HTTP_STRIPE_SIGNATURE="$(sign "$good" "$now" "$secret")")
		[[ $answer == *'"received":true'* ]] || complain "$answer"
	done
	answer=$(as_cgi POST /api/v1/payments/webhook/ "$good" "STRIPE_WEBHOOK_SECRET=$next" \
		HTTP_STRIPE_SIGNATURE="$(sign "$good" "$now")")
	[[ $answer == *bad_signature* ]] || complain "$answer"
	# What Stripe sends until it forgets the old one.
	good=$(intent_event payment_failed requires_payment_method)
	event "$good" "$(sign "$good" "$now" "$next"),$(sign "$good" "$now" | cut -d , -f 2)"
	expect_status 200
	payment_is failed
	order= # the stand-in knows nothing of events that it did not send
}

@test "the database is away: 503, and Stripe's next try counts" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	good=$(intent_event succeeded succeeded)
	answer=$(as_cgi POST /api/v1/payments/webhook/ "$good" PAYMENTS_DATABASE_URL=postgresql://payments@127.0.0.1:9/arnova \
		HTTP_STRIPE_SIGNATURE="$(sign "$good")")
	[[ $answer == *"Status: 503"*upstream_unavailable* && $answer == *"Retry-After: "* ]] || complain "$answer"
	# Begun, but not to be written.
	psql_owner "REVOKE INSERT ON payments.payments_stripeevent FROM payments"
	event "$good"
	psql_owner "GRANT INSERT ON payments.payments_stripeevent TO payments"
	expect_status 500 503
	payment_is requires_action
	event "$good"
	expect_status 200
	[[ $(effect "$good") == applied ]]
	payment_is succeeded
}

@test "more than a MiB is refused unread, a MiB of event is taken" {
	local text="$BATS_TEST_TMPDIR/event" time id
	id=evt_$(random 8) time=$(date +%s)
	big_event() { # SIZE
		printf '{"id":"%s","object":"event","type":"customer.created","created":1,"livemode":false,"data":{"object":{"id":"' "$id"
		head -c "$1" /dev/zero | tr '\0' x
		printf '"}}}'
	}
	send_big() {
		api POST /api/v1/payments/webhook/ --header 'Content-Type: application/json' --data-binary "@$text" --header "Stripe-Signature: t=$time,v1=$(
			{ printf '%s.' "$time" && cat "$text"; } | openssl dgst -sha256 -hmac "${STRIPE_WEBHOOK_SECRET%%,*}" -r | cut -d ' ' -f 1)"
	}
	big_event $((1024 * 1024)) >"$text"
	send_big
	expect_problem 413 too_large
	[[ $(psql_as payments "SELECT count(*) FROM payments_stripeevent WHERE id = '$id'") == 0 ]]
	big_event $((1024 * 1024 - 500)) >"$text"
	send_big
	expect_status 200
	[[ $(psql_as payments "SELECT effect FROM payments_stripeevent WHERE id = '$id'") == ignored ]]
}

@test "signed, but no JSON: 400" {
	for text in 'not json' '{"id":"evt_1"' '{"id":"evt_1","object":"event","type":"x","created":1,"data":{"object":"a\u0000b"}}'; do
		event "$text"
		expect_problem 400 parse_error
	done
	event '' "$(sign '')"
	expect_problem 400 parse_error
}

@test "signed, but no event: taken, and nothing comes of it" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	for text in '[]' '5' 'null' '"evt_1"' '{}' '{"id":"evt_1"}' '{"type":"x"}' '{"id":"","type":"x"}' '{"id":null,"type":"x"}' \
		'{"object":"v2.core.event","id":"evt_1","type":"x","created":1,"data":{"object":{"id":"y"}}}' \
		"{\"id\":\"$(printf 'x%.0s' {1..300})\",\"type\":\"x\"}"; do
		event "$text"
		expect_status 200
		expect_json .received true
	done
	[[ $(psql_as payments "SELECT count(*) FROM payments_stripeevent WHERE id IN ('', 'evt_1') OR length(id) > 255") == 0 ]]
}

@test "an event without what it usually has is taken and noted" {
	local more
	for more in '{}' '{"data":null}' '{"data":{}}' '{"data":{"object":null}}' '{"data":{"object":"x"}}' '{"data":{"object":[]}}' \
		'{"data":{"object":{}}}' '{"data":{"object":{"id":null,"payment_intent":null}}}' '{"created":"soon"}' '{"created":1e300}' \
		'{"created":-5}' '{"created":null}' '{"livemode":"perhaps"}' '{"livemode":null}' \
		"$(jq -nc --arg long "$(random 1000)" '{data: {object: {id: $long, payment_intent: $long}}}')"; do
		for type in payment_intent.succeeded refund.updated charge.dispute.created customer.created; do
			small=$(jq -nc --arg id "evt_$(random 8)" --arg type "$type" --argjson more "$more" '{id: $id, type: $type} + $more')
			event "$small"
			expect_status 200
			[[ $(effect "$small") == ignored ]] || complain "$small"
		done
	done
}

@test "an event without time, mode and kind counts as one that happened just now" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	small=$(intent_event processing processing | jq -c 'del(.created, .object, .livemode, .api_version)')
	event "$small"
	expect_status 200
	[[ $(effect "$small") == applied ]]
	payment_is processing
	# Of a later attempt nobody can tell whether it is younger: Stripe itself is asked.
	new_order
	pay pm_card_chargeDeclined
	pay pm_card_authenticationRequired
	expect_json .status requires_action
	small=$(intent_event payment_failed requires_payment_method | jq -c 'del(.created)')
	event "$small"
	expect_status 200
	[[ $(effect "$small") == nothing ]]
	put_off # the relay, which asks now, is not to hear of the payment before the event
	payment_is requires_action
	authenticate ok
	small=$(intent_event succeeded succeeded | jq -c '{id, type, data}')
	event "$small"
	expect_status 200
	[[ $(effect "$small") == applied ]]
	payment_is succeeded
	wait_for 10 order_is status confirmed
}

@test "an event that is nested deeply is understood" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	deep=$(printf '[%.0s' {1..900})$(printf ']%.0s' {1..900})
	deep="$(intent_event succeeded succeeded | sed "s/}}}\$/},\"more\":$deep}}/")"
	event "$deep"
	expect_status 200
	[[ $(psql_as payments "SELECT e.effect FROM payments_stripeevent e JOIN payments_transaction t ON t.id = e.transaction_id
		WHERE t.order_id = $order") == applied ]]
	payment_is succeeded
}

@test "events of what we do not know are taken and noted" {
	new_order
	strange=$(jq -nc --arg id "evt_$(random 8)" '{id: $id, object: "event", type: "customer.created", created: 1, livemode: false, data: {object: {id: "cus_1"}}}')
	event "$strange"
	expect_status 200
	[[ $(effect "$strange") == ignored ]]
	# Not every object has an id.
	strange=$(jq -nc --arg id "evt_$(random 8)" '{id: $id, object: "event", type: "balance.available", created: 1, livemode: false,
		data: {object: {object: "balance", note: "\ud83d\ude00 \u2028"}}}')
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
		alarmed "Stripe tells of another amount than ours"
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
	# Nor one of a later second, by Stripe's clock, unless Stripe says so itself.
	created=$((created + 1)) event "$(created=$((created + 1)) intent_event payment_failed requires_payment_method)"
	expect_status 200
	settle_to requires_action
	authenticate fail
	event "$(intent_event payment_failed requires_payment_method)"
	wait_for 60 reconciled_to failed
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
		wait_for 60 order_is status confirmed
		payment_is succeeded
		ledger_holds
	done
}

@test "an intent that we know by its metadata alone is ours; one of another shop is not" {
	new_order
	scenario "{\"webhooks\":{\"mode\":\"hold\"},\"rules\":[
		{\"match\":{\"order_id\":$order,\"method\":\"POST\",\"times\":-1},\"do\":{\"fault\":\"reset\",\"when\":\"after\"}},
		{\"match\":{\"method\":\"GET\",\"times\":-1},\"do\":{\"fault\":\"status\",\"status\":503,\"effect\":false}}]}" >/dev/null
	pay pm_card_visa
	expect_status 202
	expect_json .provider_ref null
	payment=$(json .id)
	put_off
	# Its order and payment have the same ids there.
	foreign=$(intent_event succeeded succeeded "{\"id\":\"pi_foreign\",\"metadata\":{\"order_id\":\"$order\",
		\"payment_id\":\"$payment\",\"payment_uuid\":\"00000000-0000-4000-8000-000000000000\"}}")
	event "$foreign"
	expect_status 200
	[[ $(effect "$foreign") == unmatched ]]
	payment_is unknown
	fake release_webhooks '{}' >/dev/null
	wait_for 60 payment_is succeeded
	[[ $(json '.results[0].provider_ref') == pi_* ]]
	wait_for 60 order_is status confirmed
	[[ $(charges) == 1 ]]
}

@test "an order is paid again by an intent that we did not make: told to staff, not booked" {
	paid_order
	uuid=$(psql_as payments "SELECT uuid FROM payments_transaction WHERE order_id = $order")
	second=$(intent_event succeeded succeeded "{\"id\":\"pi_second_$order\",\"metadata\":{\"payment_uuid\":\"$uuid\"}}")
	before=$(version)
	event "$second"
	expect_status 200
	[[ $(effect "$second") == alarm && $(version) == "$before" ]]
	alarmed "an order was paid a second time, by another intent"
	TOKEN=$(staff_token) api GET "/api/v1/payments/$payment/"
	expect_json '.alerts | map("\(.type) \(.ref)") | join(", ")' "payment_intent.succeeded pi_second_$order"
	expect_json .captured 19.99
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json 'has("alerts")' false
	# What is only begun elsewhere has taken no money.
	begun=$(intent_event created requires_payment_method "{\"id\":\"pi_second_$order\",\"metadata\":{\"payment_uuid\":\"$uuid\"}}")
	event "$begun"
	[[ $(effect "$begun") == unmatched ]]
}

@test "a dispute is told to staff, and leaves payment and order as they are" {
	scenario '{"settle_ms":1500}' >/dev/null
	paid_order pm_card_createDispute
	wait_for 60 event_sent charge.dispute.created 200
	alarmed "Stripe tells of a dispute"
	TOKEN=$(staff_token) api GET "/api/v1/payments/?order_id=$order"
	expect_json '.results[0] | "\(.status) \(.alerts | map(.type) | join(","))"' "succeeded charge.dispute.created"
	[[ $(json '.results[0].alerts[0].ref') == du_* ]]
	refund '{}'
	expect_problem 409 not_refundable
	fake settle "{\"charge\":\"$(stripe "payment_intents/$(intent)" | jq -r .latest_charge)\",\"result\":\"lost\"}" >/dev/null
	wait_for 60 event_sent charge.dispute.closed 200
	TOKEN=$(staff_token) api GET "/api/v1/payments/$payment/"
	expect_json '"\(.status) \(.captured) \(.refunded) \(.alerts | map(.type) | unique | join(","))"' \
		"succeeded 19.99 0.00 charge.dispute.closed,charge.dispute.created"
	order_is status confirmed
}

@test "told in any order: created, processing and failed after succeeded change nothing" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	then=$(($(date +%s) - 1))
	for type in succeeded payment_failed processing requires_action created; do
		told=$(created=$then intent_event "$type" succeeded)
		event "$told"
		expect_status 200
		[[ $(effect "$told") == "$([[ $type == succeeded ]] && echo applied || echo nothing)" ]]
	done
	payment_is succeeded
	wait_for 60 order_is payment_status paid
}
