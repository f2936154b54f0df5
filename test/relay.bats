#!/usr/bin/env bats
# relay.bats: the arnova program: events on their way, migrations, what it verifies.

load helper
# shellcheck source=deploy/local/process.sh
. "$BATS_TEST_DIRNAME/../deploy/local/process.sh"

setup_file() {
	base=$((RANDOM % 10000))
	export base
}

setup() {
	arnova=${ARNOVA_BUILD:-build}/arnova RUN=$VAR/run owner=$MIGRATE_DATABASE_URL
	token=$(user_token buyer)
	user=$(user_field buyer .user.id)
	# A thousand for each test, and others each time.
	order=$((8100000000 + base * 100000 + BATS_TEST_NUMBER * 1000))
	product=$(new_product '{"stock_quantity": 5000}')
	TOKEN=$token api POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1000}"
	expect_status 201
}

teardown() {
	# shellcheck disable=SC2086
	[[ -z ${stopped-} ]] || kill -CONT $stopped
	back cart
	linger_no_more
	go_on
	MIGRATE_DATABASE_URL=$owner psql_owner "DELETE FROM orders.event_outbox WHERE aggregate_id >= 8100000000 AND delivered_at IS NULL"
}

# Nobody answers on the socket of a service's siblings while its name is another.
away() {
	mv "$VAR/run/$1-internal.sock" "$VAR/run/$1-internal.away"
}

back() {
	[[ ! -e $VAR/run/$1-internal.away ]] || mv "$VAR/run/$1-internal.away" "$VAR/run/$1-internal.sock"
}

# The relay of the instance ends, and is started again at the latest after the test.
stand_still() {
	kill -TERM "$(pid_of relay)"
	wait_for 60 relay_is_gone
}

go_on() {
	alive relay || spawn_relay "$arnova"
}

# confirm FIRST LAST [ITEMS]: that many events, as orders causes them: one of the product each.
confirm() {
	local items=${3:-"[{\"product_id\":$product,\"variant_id\":null,\"quantity\":1}]"}
	psql_as orders "SELECT emit('order.confirmed', n, 1, jsonb_build_object('order_id', n, 'user_id', $user,
		'from_cart', true, 'items', '$items'::jsonb)) FROM generate_series($1::bigint, $2::bigint) n" >/dev/null
}

# What still waits of this test's events, for whom.
waiting() {
	psql_as orders "SELECT coalesce(string_agg(DISTINCT subscriber, ' '), '') FROM event_outbox
		WHERE delivered_at IS NULL AND aggregate_id BETWEEN $order AND $order + 999"
}

all_delivered() {
	waits_for ''
}

waits_for() {
	[[ $(waiting) == "$1" ]]
}

# By no more than that.
delivered_at_once() {
	"$arnova" relay --once && all_delivered
}

# Whether the lines of an order were taken off its cart.
is_taken() {
	[[ $(psql_as cart "SELECT count(*) FROM cart_taken WHERE order_id = $1") == 1 ]]
}

was_tried_twice() {
	[[ $(psql_as orders "SELECT max(attempts) >= 2 FROM event_outbox
		WHERE aggregate_id = $order AND subscriber = 'cart'") == t ]]
}

relay_is_gone() {
	! alive relay
}

in_cart() {
	TOKEN=$token api GET /api/v1/cart/
	expect_json .item_count "$1"
}

@test "an event reaches each of its subscribers" {
	confirm "$order" "$order"
	wait_for 60 all_delivered
	in_cart 999
	is_taken "$order"
	id=$(psql_as orders "SELECT DISTINCT event_id FROM event_outbox WHERE aggregate_id = $order")
	for service in products cart; do
		[[ $(psql_as "$service" "SELECT count(*) FROM event_inbox WHERE event_id = '$id'") == 1 ]]
	done
}

# Each is told as soon as the one before has arrived, so that a relay that looks too seldom is always
# late, but for the first; a machine that stands still may spoil some, not all.
@test "an event takes two seconds at most" {
	local n took=9
	for ((n = 0; n < 20 && (n < 2 || took > 2); n++)); do
		confirm $((order + n)) $((order + n))
		wait_for 60 all_delivered
		took=$(psql_as orders "SELECT ceil(extract(epoch FROM max(delivered_at - created_at)))
			FROM event_outbox WHERE aggregate_id = $((order + n))")
	done
	((took <= 2)) || complain "the last one took up to $took s"
}

@test "an event that comes again has no effect" {
	confirm "$order" "$order"
	wait_for 60 all_delivered
	again=$(psql_owner "UPDATE orders.event_outbox SET delivered_at = NULL
		WHERE aggregate_id = $order RETURNING clock_timestamp()" | head -n 1)
	wait_for 60 all_delivered
	[[ $(psql_as orders "SELECT count(*) FROM event_outbox
		WHERE aggregate_id = $order AND delivered_at > '$again'") == 2 ]]
	in_cart 999
}

@test "events of one order arrive one after the other" {
	stand_still
	for _ in 1 2 3; do confirm "$order" "$order"; done
	go_on
	wait_for 60 all_delivered
	for subscriber in cart products; do
		[[ $(psql_as orders "SELECT bool_and(ordered) AND count(*) = 3 FROM (
			SELECT delivered_at > lag(delivered_at, 1, '-infinity') OVER (ORDER BY id) AS ordered
			  FROM event_outbox WHERE aggregate_id = $order AND subscriber = '$subscriber') o") == t ]]
	done
	# Three events, one order.
	in_cart 999
}

@test "a subscriber that is away gets its events later, the others at once" {
	away cart
	confirm "$order" $((order + 20))
	wait_for 60 waits_for cart
	sleep 3
	waits_for cart
	back cart
	wait_for 60 all_delivered
	in_cart 979
}

@test "a subscriber that hangs does not keep a customer waiting who has paid" {
	local began id
	stopped=$(workers cart)
	# shellcheck disable=SC2086
	kill -STOP $stopped
	began=$SECONDS
	TOKEN=$token api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],
		\"payment_method\":\"pm_card_visa\",\"shipping_address\":{\"name\":\"A\",\"line1\":\"1 Main Street\",
		\"city\":\"Springfield\",\"postal_code\":\"12345\",\"country\":\"US\"}}" --header "Idempotency-Key: $(idem)"
	expect_status 201 && expect_json .status confirmed
	((SECONDS - began < 15)) || complain "it took $((SECONDS - began)) seconds"
	id=$(json .id)
	# shellcheck disable=SC2086
	kill -CONT $stopped
	wait_for 60 none_left "$id"
}

# Whether every event of an order has arrived.
none_left() {
	[[ $(psql_as orders "SELECT count(*) FROM event_outbox WHERE delivered_at IS NULL AND aggregate_id = $1") == 0 ]]
}

@test "an event that is always refused is set aside, and the rest flows" {
	confirm "$order" "$order" '"poison"'
	confirm $((order + 1)) $((order + 1))
	wait_for 60 is_taken $((order + 1))
	wait_for 60 was_tried_twice
	# What follows of the same order waits for it, until it is set aside.
	confirm "$order" "$order"
	sleep 1
	! is_taken "$order" || false
	stand_still
	psql_owner "UPDATE orders.event_outbox SET attempts = 9, next_attempt_at = now()
		WHERE aggregate_id = $order AND subscriber = 'cart' AND payload ->> 'items' = 'poison'"
	go_on
	wait_for 60 is_taken "$order"
	grep -q "event set aside.*$order" "$VAR/log/relay.log"
	in_cart 998
	# It is tried again all the same, but seldom.
	[[ $(psql_as orders "SELECT next_attempt_at - now() BETWEEN interval '5 s' AND interval '1 minute'
		FROM event_outbox WHERE aggregate_id = $order AND subscriber = 'cart' AND attempts = 10") == t ]]
}

taken() {
	psql_as cart "SELECT count(*) FROM cart_taken WHERE order_id BETWEEN $order AND $order + 299"
}

more_taken() {
	(($(taken) > before))
}

# The cart takes so long for an order that there is a middle to kill the relay in.
linger() {
	psql_owner "CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql
			AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
		CREATE TRIGGER linger BEFORE INSERT ON cart.cart_taken FOR EACH ROW EXECUTE FUNCTION public.linger()"
}

linger_no_more() {
	MIGRATE_DATABASE_URL=$owner psql_owner "SET client_min_messages = error; DROP FUNCTION IF EXISTS public.linger() CASCADE"
}

@test "a relay that is killed in the middle loses nothing and doubles nothing" {
	stand_still
	confirm "$order" $((order + 299))
	linger
	for _ in 1 2 3 4; do
		before=$(taken)
		"$arnova" relay 2>>"$VAR/log/killed-relay.log" 3>&- &
		relay=$!
		wait_for 60 more_taken
		kill -KILL "$relay"
		wait "$relay" || true
	done
	left=$(psql_as orders "SELECT count(*) FROM event_outbox
		WHERE delivered_at IS NULL AND aggregate_id BETWEEN $order AND $order + 299")
	echo "$(taken) taken, $left undelivered after four kills"
	(($(taken) < 300 && left > 0))
	linger_no_more
	go_on
	wait_for 60 all_delivered
	in_cart 700
	[[ $(taken) == 300 ]]
}

@test "two relays share the work" {
	stand_still
	confirm "$order" $((order + 99))
	"$arnova" relay --once 3>&- &
	"$arnova" relay --once
	wait $!
	# What somebody was too slow to answer is tried again.
	wait_for 60 delivered_at_once
	in_cart 900
}

@test "relay --once delivers what waits and ends" {
	stand_still
	confirm "$order" $((order + 49))
	wait_for 60 delivered_at_once
	in_cart 950
}

@test "relay --once says when somebody does not answer" {
	stand_still
	away orders
	code=0
	"$arnova" relay --once 2>"$BATS_TEST_TMPDIR/error" || code=$?
	back orders
	[[ $code == 1 ]]
	grep -q '^could not relay everything' "$BATS_TEST_TMPDIR/error"
}

@test "the relay ends at once when it is told to" {
	"$arnova" relay 2>>"$VAR/log/killed-relay.log" 3>&- &
	relay=$!
	two_children() {
		children=$(cat "/proc/$relay/task/$relay/children")
		[[ $(wc -w <<<"$children") == 2 ]]
	}
	wait_for 60 two_children
	# It is at work, and so are they.
	confirm "$order" "$order"
	wait_for 60 all_delivered
	kill -TERM "$relay"
	begun=$SECONDS
	wait "$relay"
	((SECONDS - begun <= 20))
	for child in $children; do [[ ! -d /proc/$child ]]; done
}

# finishes VERB: what a busy machine does not answer in time is asked again.
finishes() {
	[[ $("$arnova" "$1") =~ ^[0-9]+\ finished$ ]]
}

@test "expire and reconcile finish what is due, once" {
	for verb in expire reconcile; do
		wait_for 60 finishes "$verb"
	done
	away payments
	code=0
	"$arnova" reconcile 2>"$BATS_TEST_TMPDIR/error" || code=$?
	back payments
	[[ $code == 1 ]]
	grep -q '^could not ask payments' "$BATS_TEST_TMPDIR/error"
}

@test "arnova explains itself" {
	[[ $("$arnova" help) == 'usage: arnova VERB'* ]]
	for verb in migrate relay expire reconcile verify; do "$arnova" help | grep -q "^  $verb "; done
	for wrong in '' dance 'relay --twice' 'migrate now' 'expire all' 'verify it'; do
		code=0
		# shellcheck disable=SC2086 # words
		"$arnova" $wrong >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/error" || code=$?
		[[ $code == 2 ]]
		[[ ! -s $BATS_TEST_TMPDIR/out ]]
		grep -q '^usage: arnova' "$BATS_TEST_TMPDIR/error"
	done
}

@test "migrating again does nothing, and a changed migration is refused" {
	[[ $("$arnova" migrate) == 'nothing to do' ]]
	psql_owner "UPDATE cart.schema_migration SET checksum = 'x' || checksum WHERE name = 'cart/001_cart'"
	code=0
	"$arnova" migrate 2>"$BATS_TEST_TMPDIR/error" || code=$?
	psql_owner "UPDATE cart.schema_migration SET checksum = substr(checksum, 2) WHERE name = 'cart/001_cart'"
	[[ $code == 1 ]]
	grep -q '^could not migrate cart: cart/001_cart was changed' "$BATS_TEST_TMPDIR/error"
	MIGRATE_DATABASE_URL='' run "$arnova" migrate
	[[ $status == 1 && $output == 'could not connect to the database: MIGRATE_DATABASE_URL is not set' ]]
}

@test "migrates at once make a database once, and give each service its own schema" {
	psql_owner 'DROP DATABASE IF EXISTS arnova_migrate_test'
	psql_owner 'CREATE DATABASE arnova_migrate_test'
	export MIGRATE_DATABASE_URL=${owner/\/arnova\?/\/arnova_migrate_test?}
	for i in 1 2 3; do "$arnova" migrate >"$BATS_TEST_TMPDIR/out$i" 3>&- & done
	wait
	cat "$BATS_TEST_TMPDIR"/out?
	[[ $(grep -c '^nothing to do$' "$BATS_TEST_TMPDIR"/out? | grep -c ':1$') == 2 ]]
	[[ $(cat "$BATS_TEST_TMPDIR"/out? | grep -c 'applied shared/001_house') == 5 ]]
	for service in products orders users cart payments; do
		[[ $(psql_owner "SELECT string_agg(n.nspname, ' ') FROM pg_namespace n
			WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'public')
			  AND has_schema_privilege('$service', n.oid, 'USAGE')") == "$service" ]]
		[[ $(psql_owner "SELECT has_schema_privilege('$service', '$service', 'CREATE')") == f ]]
		[[ $(psql_owner "SELECT has_table_privilege('$service', '$service.schema_migration', 'INSERT')") == f ]]
		[[ $(psql_owner "SELECT has_table_privilege('$service', '$service.event_inbox', 'INSERT')") == t ]]
	done
	MIGRATE_DATABASE_URL=$owner psql_owner 'DROP DATABASE arnova_migrate_test'
}

@test "verify finds what does not add up" {
	"$arnova" verify
	psql_owner "UPDATE products.products_stock SET on_hand = on_hand + 1 WHERE product_id = $product"
	code=0
	"$arnova" verify >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/error" || code=$?
	psql_owner "UPDATE products.products_stock SET on_hand = on_hand - 1 WHERE product_id = $product"
	[[ $code == 1 ]]
	grep -q '^stock [0-9]*: 5001 on hand, 0 reserved; its movements say 5000 and 0$' "$BATS_TEST_TMPDIR/out"
	grep -q '^differences: 1$' "$BATS_TEST_TMPDIR/error"
	"$arnova" verify
}

# sockets PID: those that the process has.
sockets() {
	# shellcheck disable=SC2012 # find cannot show where a link leads any faster
	ls -l "/proc/$1/fd" | grep -o 'socket:.*' | sort
}

children_of() { # PID
	cat "/proc/$1/task/$1/children"
}

# The relay itself, below its supervisor.
relay_itself() {
	local pid
	read -r pid _ <<<"$(children_of "$(pid_of relay)")" && echo "$pid"
}

finishers() {
	children_of "$(relay_itself)"
}

has_finishers() {
	local -a now
	read -ra now <<<"$(finishers 2>/dev/null)"
	((${#now[@]} == 2))
}

has_another_finisher() {
	local -a now
	read -ra now <<<"$(finishers)"
	((${#now[@]} == 2)) && [[ " ${now[*]} " != *" $1 "* ]]
}

@test "a finisher that is killed is replaced, and shares no connection with the relay" {
	local victim pid relay
	# The relay has connections to keep.
	confirm $((order + 900)) $((order + 903))
	wait_for 60 all_delivered
	wait_for 60 has_finishers
	relay=$(relay_itself)
	[[ -n $(sockets "$relay") ]]
	read -r victim _ <<<"$(finishers)"
	kill -9 "$victim"
	wait_for 60 has_another_finisher "$victim"
	for pid in $(finishers); do
		[[ -z $(comm -12 <(sockets "$pid") <(sockets "$relay")) ]] || complain "shared: $(sockets "$pid")"
	done
}

another_relay_than() {
	local now
	now=$(relay_itself) && [[ $now != "$1" ]] && has_finishers
}

@test "a relay that is killed is started again" {
	local killed
	killed=$(relay_itself)
	kill -9 "$killed"
	wait_for 60 another_relay_than "$killed"
	alive relay
	confirm $((order + 910)) $((order + 913))
	wait_for 60 all_delivered
}

@test "old events are forgotten, by a single pass too" {
	psql_owner "INSERT INTO orders.event_outbox (event_id, type, subscriber, aggregate_id, version, payload, delivered_at)
		SELECT gen_random_uuid(), 'order.confirmed', 'cart', 1, 1, '{}', now() - interval '31 days' FROM generate_series(1, 2500);
		INSERT INTO orders.event_inbox (event_id, type, received_at)
		SELECT gen_random_uuid(), 'payment.updated', now() - interval '2 years' FROM generate_series(1, 1500)"
	"$arnova" relay --once
	[[ $(psql_as orders "SELECT count(*) FROM event_outbox WHERE delivered_at < now() - interval '30 days'") == 0 ]]
	[[ $(psql_as orders "SELECT count(*) FROM event_inbox WHERE received_at < now() - interval '1 year'") == 0 ]]
}
