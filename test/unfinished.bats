# unfinished.bats: what cannot be finished is put off, and holds up nothing else.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

setup() {
	begin_test
	first=8200000000 last=8200000119
}

teardown() {
	clear_poison
	end_test
}

# As many of each kind as `due` lists and more, older than all else; whoever touches them fails.
poison() {
	psql_owner "
		INSERT INTO orders.orders_saga (order_id, user_id, request, quote, state, updated_at)
		SELECT n, 1, '{}', '{}', 'undoing', now() - interval '1 hour' FROM generate_series($first, $last) n;
		SET search_path = payments;
		INSERT INTO payments_transaction (order_id, user_id, amount, currency)
		SELECT n, 1, 1999, 'USD' FROM generate_series($first, $last) n;
		INSERT INTO payments_attempt (transaction_id, number, operation, stripe_key, payment_method, due_at)
		SELECT t.id, 1, 'create', 'poison-' || t.id, 'pm_card_visa', now() - interval '1 hour'
		  FROM payments_transaction t WHERE t.order_id BETWEEN $first AND $last;
		CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''poison''; END';
		CREATE TRIGGER poison BEFORE UPDATE ON payments_attempt FOR EACH ROW
			WHEN (NEW.stripe_key LIKE 'poison-%') EXECUTE FUNCTION public.fail();
		CREATE TRIGGER poison BEFORE UPDATE ON orders.orders_saga FOR EACH ROW
			WHEN (NEW.order_id BETWEEN $first AND $last) EXECUTE FUNCTION public.fail()"
}

clear_poison() {
	psql_owner "
		SET client_min_messages = error; SET session_replication_role = replica;
		DROP FUNCTION IF EXISTS public.fail() CASCADE;
		DELETE FROM orders.orders_saga WHERE order_id BETWEEN $first AND $last;
		DELETE FROM orders.unfinished_run WHERE order_id BETWEEN $first AND $last;
		SET search_path = payments;
		DELETE FROM payments_attempt WHERE stripe_key LIKE 'poison-%';
		DELETE FROM payments_history h USING payments_transaction t
		 WHERE t.id = h.transaction_id AND t.order_id BETWEEN $first AND $last;
		DELETE FROM payments_transaction WHERE order_id BETWEEN $first AND $last;
		DELETE FROM event_outbox WHERE aggregate_id BETWEEN $first AND $last;
		DELETE FROM unfinished_run WHERE order_id BETWEEN $first AND $last"
}

unfinished() { # SERVICE ORDER
	psql_as "$1" "SELECT tries FROM unfinished_run WHERE order_id = $2"
}

@test "a hundred that cannot be finished do not keep the relay from the others" {
	poison
	# An order whose time is over, and a payment that has not got through to Stripe.
	new_order
	local unpaid=$order
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second' WHERE id = $unpaid"
	new_order
	lost before
	pay pm_card_visa
	expect_status 202
	lost_and_found
	wait_for 60 payment_is succeeded
	order=$unpaid
	wait_for 60 order_is status expired
	for service in orders payments; do
		[[ $(psql_as "$service" "SELECT count(*) FROM unfinished_run WHERE order_id BETWEEN $first AND $last") == 120 ]]
	done
}

# Asked again before it is due, as after a 503, it is put off no longer.
once_more() { # URL
	local before
	before=$(psql_as "$service" "UPDATE unfinished_run SET due_at = now() + interval '1 hour'
		WHERE order_id = $first RETURNING tries, due_at")
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$1/internal/v1/run/$first/" '{}'
	expect_status 500
	[[ $(psql_as "$service" "SELECT tries, due_at FROM unfinished_run WHERE order_id = $first") == "$before" ]]
}

@test "what fails again and again is put off for longer and longer, a minute at most, until it is finished" {
	poison
	local service base tries
	for service in orders payments; do
		base=${service^^}_SERVICE_URL
		for tries in 1 2 3 4 5 6 7; do
			psql_as "$service" "UPDATE unfinished_run SET due_at = now() WHERE order_id = $first"
			TOKEN=${SERVICE_TOKEN%%,*} api POST "${!base}/internal/v1/run/$first/" '{}'
			expect_status 500
			[[ $(unfinished "$service" "$first") -ge $tries ]]
			((tries != 1)) || once_more "${!base}"
			((tries != 2)) || [[ $(psql_as "$service" "SELECT due_at - now() BETWEEN interval '1 s' AND interval '60 s'
				FROM unfinished_run WHERE order_id = $first") == t ]]
		done
		[[ $(psql_as "$service" "SELECT due_at - now() BETWEEN interval '41 s' AND interval '60 s'
			FROM unfinished_run WHERE order_id = $first") == t ]]
		TOKEN=${SERVICE_TOKEN%%,*} api GET "${!base}/internal/v1/due/"
		expect_json ".orders | index($first)" null
	done
	psql_owner "DROP TRIGGER poison ON orders.orders_saga"
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$ORDERS_SERVICE_URL/internal/v1/run/$first/" '{}'
	expect_status 200
	expect_json .state undone
	[[ -z $(unfinished orders "$first") ]]
}

@test "a run that is killed counts as one that failed, and is due again in seconds" {
	new_order
	lost before
	pay pm_card_visa
	expect_status 202
	put_off
	fault '{"fault":"latency","when":"after","ms":15000}'
	internal POST "run/$order" '{}' 3>&- &
	wait_for 60 somebody_is_at_it
	kill_worker
	wait
	[[ $(unfinished payments "$order") -ge 1 ]]
	[[ $(psql_as payments "SELECT due_at < now() + interval '21 seconds' FROM unfinished_run WHERE order_id = $order") == t ]]
	lost_and_found
	psql_owner "UPDATE payments.payments_attempt SET due_at = now() WHERE transaction_id =
		(SELECT id FROM payments.payments_transaction WHERE order_id = $order)"
	wait_for 60 payment_is succeeded
	[[ -z $(unfinished payments "$order") && $(charges) == 1 ]]
}

somebody_is_at_it() {
	! nobody_is_at_it
}

@test "a checkout that is taken up again in the moment in which it would be undone goes on" {
	psql_as orders "INSERT INTO unfinished_run (order_id, due_at) VALUES ($first, now() + interval '1 hour');
		INSERT INTO orders_saga (order_id, user_id, request, quote, updated_at)
		VALUES ($first, 1, '{}', '{}', now() - interval '1 minute')"
	hold orders "UPDATE orders_saga SET updated_at = now() WHERE order_id = $first"
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$ORDERS_SERVICE_URL/internal/v1/run/$first/" '{}' 3>&- &
	let_go
	wait
	[[ $(psql_as orders "SELECT state FROM orders_saga WHERE order_id = $first") == reserving ]]
}
