# late.bats: attempts whose answer was lost, looked for at Stripe when thousands were made since.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

setup() {
	begin_test
	# A stand-in of this test's own: its clock will be wrong, and its books are long.
	"${ARNOVA_BUILD:-build}/stripe-standin" --port 0 --secret-key "$STRIPE_SECRET_KEY" >"$BATS_TEST_TMPDIR/said" 3>&- &
	standin=$!
	wait_for 60 grep -q listening "$BATS_TEST_TMPDIR/said"
	STRIPE_STANDIN_URL=$(grep -o 'http:.*' "$BATS_TEST_TMPDIR/said")
}

teardown() {
	kill -TERM "$standin"
	wait "$standin"
}

# Has payments do something, with this stand-in for Stripe.
at_own() { # PATH JSON
	as_cgi POST "/internal/v1/$1/" "$2" "STRIPE_API_BASE=$STRIPE_STANDIN_URL" "HTTP_AUTHORIZATION=Bearer ${SERVICE_TOKEN%%,*}"
}

# A new order that is charged there, and nobody hears of it; the relay keeps away.
charge_unseen() {
	new_order
	psql_as payments "INSERT INTO unfinished_run (order_id, due_at) VALUES ($order, now() + interval '1 hour')"
	lost
	answer=$(at_own charge "{\"order_id\":$order,\"user_id\":$buyer_id,\"amount\":1999,\"currency\":\"USD\",
		\"payment_method\":\"pm_card_visa\",\"request_key\":\"one\"}")
	[[ $answer == *'"outcome":"unknown"'* && $answer == *'"provider_ref" : null'* ]] || complain "$answer"
}

# make_others COUNT: an hour later, as many as nobody leafs through.
make_others() {
	fake advance '{"seconds":3600}' >/dev/null
	for i in $(seq "$1"); do
		((i == 1)) || echo next
		cat <<-END
			url = "$STRIPE_STANDIN_URL/v1/payment_intents"
			header = "Authorization: Bearer $STRIPE_SECRET_KEY"
			header = "Stripe-Version: 2026-07-29.dahlia"
			header = "Idempotency-Key: other-$i"
			data = "amount=1999&currency=usd&automatic_payment_methods[enabled]=true"
			output = /dev/null
			write-out = "%{http_code}\n"
			max-time = 60
			silent
		END
	done >"$BATS_TEST_TMPDIR/others"
	[[ $(curl --silent --no-progress-meter --parallel --parallel-max 20 --config "$BATS_TEST_TMPDIR/others" 2>/dev/null |
		sort | uniq -c | xargs) == "$1 200" ]]
}

@test "an intent is found at its time, whatever was made since: after a day, and of an order that was cancelled" {
	local kept cancelled
	charge_unseen
	kept=$order
	charge_unseen
	cancelled=$order
	cancel cancelled
	expect_json .state in_flight
	make_others 5100
	lost_and_found
	# The key of the one may be forgotten, so it is only looked for; so is what nobody wants any more.
	psql_owner "UPDATE payments.payments_attempt SET created_at = created_at - CASE transaction_id
			WHEN (SELECT id FROM payments.payments_transaction WHERE order_id = $kept) THEN interval '24 hours'
			ELSE interval '4 minutes' END
		WHERE transaction_id IN (SELECT id FROM payments.payments_transaction WHERE order_id IN ($kept, $cancelled))"
	answer=$(at_own "run/$kept" '{}')
	[[ $answer == *'"state" : "succeeded"'* ]] || complain "$answer"
	answer=$(at_own "run/$cancelled" '{}')
	[[ $answer == *'"state" : "refunded"'* ]] || complain "$answer"
}

@test "an intent is found although Stripe's clock is ahead of ours" {
	fake advance '{"seconds":200}' >/dev/null
	charge_unseen
	cancel cancelled
	expect_json .state in_flight
	lost_and_found
	# By that clock it was made more than five minutes after the attempt.
	psql_owner "UPDATE payments.payments_attempt SET created_at = created_at - interval '4 minutes'
		WHERE transaction_id = (SELECT id FROM payments.payments_transaction WHERE order_id = $order)"
	answer=$(at_own "run/$order" '{}')
	[[ $answer == *'"state" : "refunded"'* ]] || complain "$answer"
}
