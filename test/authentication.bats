# authentication.bats: cards whose owner has to authenticate the payment (3-D Secure), in time, late
# or never.
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
