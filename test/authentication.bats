# authentication.bats: cards whose owner has to authenticate the payment (3-D Secure), in time, late
# or never.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

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
	wait_for 60 payment_is succeeded
	wait_for 60 order_is status confirmed
}

@test "authentication that fails leaves an order that can be paid" {
	new_order
	pay pm_card_authenticationRequired
	expect_json .status requires_action
	fake authenticate "{\"payment_intent\":\"$(json .provider_ref)\",\"result\":\"fail\"}"
	wait_for 60 payment_is failed
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

@test "the customer can be sent back by https alone, or to this very machine" {
	new_order
	local url
	for url in http://shop.example/back /back 'https://' 'http://127.0.0.1.example.com/' 'http://localhost@shop.example/' \
		'javascript:alert(1)'; do
		TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\",
			\"return_url\":\"$url\"}" --header "Idempotency-Key: $(idem)"
		expect_problem 400 invalid
		expect_json '.errors | keys | join(" ")' return_url
	done
	[[ $(entries length) == 0 ]]
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\",
		\"return_url\":\"http://localhost:3000/back\"}" --header "Idempotency-Key: $(idem)"
	expect_status 201
}

@test "with an address to come back to, the customer is sent away and returns" {
	new_order
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_authenticationRequired\",
		\"return_url\":\"https://shop.example/back?a=b&c=d\"}" --header "Idempotency-Key: $(idem)"
	expect_status 200
	expect_json .next_action.type redirect_to_url
	expect_json .next_action.redirect_to_url.return_url 'https://shop.example/back?a=b&c=d'
}

@test "an order whose card wants authentication: 201, pending, with what the customer needs" {
	key=$(idem)
	buy pm_card_authenticationRequired "$key"
	expect_status 201
	order=$(json .id)
	expect_json '"\(.status) \(.payment_status) \(.payment.status)"' "pending requires_payment requires_action"
	expect_json '.payment | keys | join(" ")' "client_secret id next_action status"
	[[ $(json .payment.client_secret) == "$(intent)_secret_"* ]]
	expect_json .payment.next_action.type use_stripe_sdk
	first=$body
	buy pm_card_authenticationRequired "$key"
	expect_status 201
	[[ $body == "$first" ]]
	authenticate ok
	wait_for 60 order_is status confirmed
	order_is payment_status paid
	payment_is succeeded
	[[ $(charges) == 1 ]]
}

@test "an order that needs nothing of its customer shows no secret" {
	buy pm_card_visa
	expect_status 201
	order=$(json .id)
	expect_json '"\(.status) \(.payment.status)"' "confirmed succeeded"
	expect_json '.payment | keys | join(" ")' "id status"
	[[ $body != *_secret_* ]]
}

@test "an order whose authentication fails can be paid with another card: the same payment" {
	buy pm_card_authenticationRequired
	order=$(json .id)
	first=$(json .payment.id)
	authenticate fail
	wait_for 60 payment_is failed
	expect_json '.results[0].failure_code' payment_intent_authentication_failure
	wait_for 60 order_is payment_status failed
	order_is status pending
	pay pm_card_visa
	expect_status 201
	expect_json .id "$first"
	order_is status confirmed
	[[ $(charges) == 1 && $(attempts) == 2 ]]
}

@test "nobody tells that the customer has authenticated, or not: Stripe is asked" {
	local result state
	while read -r result state; do
		scenario '{"webhooks":{"mode":"off"}}' >/dev/null
		new_order
		pay pm_card_authenticationRequired
		expect_status 200
		settle_to requires_action
		# Not at once, but some time it is due.
		[[ $(psql_as payments "SELECT due_at > now() + interval '10 seconds' FROM payment_due WHERE order_id = $order") == t ]]
		authenticate "$result"
		psql_owner "UPDATE payments.payments_attempt a SET due_at = now() FROM payments.payments_transaction t
			WHERE t.id = a.transaction_id AND t.order_id = $order"
		wait_for 60 reconciled_to "$state"
		ledger_holds
	done <<-END
		fail failed
		ok succeeded
	END
	wait_for 60 order_is status confirmed
}

@test "the customer authenticates late, when another card is tried: paid once" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	payment=$(json .id)
	authenticate ok
	pay pm_card_visa
	expect_status 201
	expect_json '"\(.id) \(.status)"' "$payment succeeded"
	order_is status confirmed
	[[ $(charges) == 1 && $(attempts) == 2 ]]
}

@test "the customer authenticates while another card is on its way to Stripe: paid once" {
	new_order
	pay pm_card_authenticationRequired
	scenario "{\"rules\":[{\"match\":{\"order_id\":$order,\"method\":\"POST\"},
		\"do\":{\"fault\":\"latency\",\"when\":\"before\",\"ms\":15000}}]}" >/dev/null
	(pay pm_card_visa && echo "$status $(json .status)" >"$BATS_TEST_TMPDIR/answer") &
	wait_for 60 has_posted 2
	authenticate ok
	hurry
	wait
	[[ $(<"$BATS_TEST_TMPDIR/answer") == "201 succeeded" ]]
	wait_for 60 order_is status confirmed
	[[ $(charges) == 1 ]]
}

@test "what Stripe says of the first attempt comes while the second is on its way: one of them took the money" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	put_off
	authenticate ok
	scenario "{\"webhooks\":{\"mode\":\"off\"},\"rules\":[
		{\"match\":{\"order_id\":$order,\"method\":\"GET\"},\"do\":{\"fault\":\"latency\",\"when\":\"after\",\"ms\":10000}},
		{\"match\":{\"order_id\":$order,\"method\":\"POST\"},\"do\":{\"fault\":\"latency\",\"when\":\"before\",\"ms\":15000}}]}" >/dev/null
	internal POST "run/$order" '{}' &
	running=$!
	looked_at() { [[ $(entries '[.[] | select(.kind == "received" and .method == "GET")] | length') -gt 0 ]]; }
	wait_for 60 looked_at
	(pay pm_card_visa && echo "$status $(json .status)" >"$BATS_TEST_TMPDIR/answer") &
	wait "$running"
	hurry
	wait
	[[ $(<"$BATS_TEST_TMPDIR/answer") == "201 succeeded" ]]
	[[ $(psql_as payments "SELECT string_agg(a.outcome, ' ' ORDER BY a.number) FROM payments_attempt a
		JOIN payments_transaction t ON t.id = a.transaction_id WHERE t.order_id = $order") == "succeeded abandoned" ]]
	[[ $(charges) == 1 ]]
}

@test "two authentications are asked for: only the latter can be given, and pays once" {
	new_order
	pay pm_card_authenticationRequired
	first=$(json '"\(.id) \(.provider_ref)"')
	pay pm_card_threeDSecure2Required
	expect_status 200
	expect_json .status requires_action
	[[ $(json '"\(.id) \(.provider_ref)"') == "$first" ]]
	[[ $(psql_as payments "SELECT string_agg(a.outcome, ' ' ORDER BY a.number) FROM payments_attempt a
		JOIN payments_transaction t ON t.id = a.transaction_id WHERE t.order_id = $order") == "abandoned requires_action" ]]
	authenticate ok
	wait_for 60 payment_is succeeded
	run ! authenticate ok
	[[ $(charges) == 1 ]]
}

@test "another card is declined meanwhile: the first cannot be authenticated any more" {
	new_order
	pay pm_card_authenticationRequired
	pay pm_card_chargeDeclined
	expect_problem 402 card_declined
	run ! authenticate ok
	payment_is failed
	[[ $(charges) == 0 ]]
	pay pm_card_visa
	expect_status 201
}

@test "never authenticated: the order expires, its intent is canceled and cannot be paid" {
	new_order
	pay pm_card_authenticationRequired
	run_out expired
	[[ $(stripe "payment_intents/$(intent)" | jq -r .status) == canceled ]]
	payment_is canceled
	run ! authenticate ok
	pay pm_card_visa
	expect_problem 409 order_not_payable
	[[ $(charges) == 0 ]]
}

@test "authenticated in the last moment, and nobody told: the order does not expire" {
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	run_out confirmed
	payment_is succeeded
	[[ $(charges) == 1 ]]
}

@test "cancelled instead of authenticated: nothing can be paid; authenticated before: it goes back" {
	new_order
	pay pm_card_authenticationRequired
	cancel_order
	expect_status 200
	expect_json .status cancelled
	payment_is canceled
	run ! authenticate ok
	pay pm_card_visa
	expect_problem 409 order_not_payable
	[[ $(charges) == 0 ]]

	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	new_order
	pay pm_card_authenticationRequired
	authenticate ok
	cancel_order
	expect_json .status cancelled
	wait_for 60 reconciled_to refunded
	[[ $(charges) == 1 && $(stripe_balance) == 0 ]]
	"${ARNOVA_BUILD:-build}/arnova" verify
}
