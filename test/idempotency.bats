# idempotency.bats: a request that is sent again, for whatever reason, is done once.
# shellcheck shell=bash disable=SC2030,SC2031,SC2034,SC2119,SC2154,SC2317

load payments

setup_file() {
	open_shop
	staff=$(staff_token)
	# An order that costs nothing is confirmed at once.
	free=$(new_product '{"price":"0.00","stock_quantity":1000000}')
	buyer_id=$(user_field buyer .user.id)
	export staff free buyer_id
}

setup() {
	begin_test
	caller=$staff
}

teardown() {
	room_again || true
	[[ -z ${asleep-} ]] || products_wake
	end_test
}

# post PATH JSON KEY [curl arguments]: as $caller.
post() {
	TOKEN=$caller api POST "$1" "$2" --header "Idempotency-Key: $3" "${@:4}"
}

# Status, body and headers of the last answer, but for what belongs to the one exchange.
whole_answer() {
	echo "$status"
	tr -d '\r' <"$headers" | grep -viE '^(HTTP/|(date|server|connection|x-request-id|traceparent|idempotent-replayed):)' | sort
	cat "$headers.body"
}

expect_replay() { # FILE of the first answer
	expect_header Idempotent-Replayed true
	whole_answer | cmp "$1" - || complain "expected $(cat "$1")"
}

# The rows of a service's tables, but for those that others fill meanwhile.
rows() { # SERVICE
	psql_owner "SELECT table_name || ' ' || query_to_xml(format('SELECT count(*) FROM %I.%I', table_schema, table_name),
		false, true, '') FROM information_schema.tables WHERE table_schema = '$1' AND table_type = 'BASE TABLE'
		AND table_name !~ 'event|idempotency|movement|reservation|schema_migration|unfinished_run' ORDER BY 1"
}

service_of() { # PATH
	local name=${1#/api/v1/}
	echo "${name%%/*}"
}

# The members the other way round.
reversed() {
	jq -c 'to_entries | reverse | from_entries' <<<"$1"
}

# repeats PATH JSON [curl arguments]: runs once, and again as often as it is sent, byte for byte;
# another body under the key, be it by a space, is refused.
repeats() {
	local path=$1 sent=$2 key before other
	shift 2
	key=$(idem)
	post "$path" "$sent" "$key" "$@"
	expect_status 200 201
	[[ -z $(header Idempotent-Replayed) ]] || complain "replayed at first"
	whole_answer >"$BATS_TEST_TMPDIR/first"
	before=$(rows "$(service_of "$path")")
	for same in "$key" "\"$key\""; do
		post "$path" "$sent" "$same" "$@"
		expect_replay "$BATS_TEST_TMPDIR/first"
	done
	for other in " $sent" "$(reversed "$sent")"; do
		[[ $other == "$sent" ]] && continue
		post "$path" "$other" "$key" "$@"
		expect_problem 422 idempotency_key_reused
	done
	[[ $(rows "$(service_of "$path")") == "$before" ]] || complain "something was done: $before"
}

# ---- Every POST of a signed-in caller.

@test "with its key a change of the catalogue is made once" {
	local id
	repeats /api/v1/products/ "{\"name\":\"Once $(random 4)\",\"price\":\"3.00\",\"stock_quantity\":2}"
	expect_problem 422 idempotency_key_reused
	id=$(new_product '{"stock_quantity":0}')
	repeats "/api/v1/products/$id/variants/" '{"name":"Red","stock_quantity":1,"options":{"colour":"red"}}'
	repeats "/api/v1/products/$id/images/" '{"url":"/media/once.png","alt":"Once"}'
	repeats /api/v1/products/categories/ "{\"name\":\"Once $(random 4)\",\"description\":\"\"}"
	caller=$buyer
	repeats "/api/v1/products/$id/reviews/" '{"rating":5,"title":"Once","body":"and for all"}'
}

@test "with its key a thing is put into the cart once, and carts are merged once" {
	local guest
	caller=$buyer
	repeats /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":3}"
	TOKEN=$buyer api GET /api/v1/cart/
	expect_json .item_count 3
	api POST /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":2}"
	expect_status 201
	guest=$(header X-Cart-Token)
	repeats /api/v1/cart/merge/ '{"strategy":"sum"}' --header "X-Cart-Token: $guest"
	TOKEN=$buyer api GET /api/v1/cart/
	expect_json .item_count 5
}

@test "with its key an order is placed, moved and shipped once" {
	local id
	caller=$buyer
	repeats /api/v1/orders/ "{\"items\":[{\"product_id\":$free,\"quantity\":1}],\"shipping_address\":$address,\"notes\":\"once\"}"
	id=$(sed -n '/^{/p' "$BATS_TEST_TMPDIR/first" | jq .id)
	caller=$staff
	repeats "/api/v1/orders/$id/status/" '{"status":"processing","note":"once"}'
	repeats "/api/v1/orders/$id/shipments/" '{"carrier":"UPS","tracking_number":"once"}'
	TOKEN=$staff api GET "/api/v1/orders/$id/track/"
	expect_json '[.history[] | select(.status == "processing")] | length' 1
	expect_json '.shipments | length' 1
}

@test "with its key an order is paid once, and money goes back once" {
	new_order
	caller=$buyer
	repeats /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}"
	[[ $(charges) == 1 && $(attempts) == 1 ]]
	find_payment
	caller=$staff
	repeats "/api/v1/payments/$payment/refund/" '{"amount":"5.00","reason":"duplicate"}'
	[[ $(entries '[.[] | select(.kind == "executed" and .refund != null)] | map(.refund) | unique | length') == 1 ]]
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json '"\(.refunded) \(.refunds | length)"' '5.00 1'
}

# ---- Whose key it is.

@test "another caller, path or method has another key" {
	local key id stranger
	key=$(idem)
	stranger=$(user_token stranger)
	for caller in "$buyer" "$stranger"; do
		post /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}" "$key"
		expect_status 201
		[[ -z $(header Idempotent-Replayed) ]]
	done
	caller=$stranger
	post /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":2}" "$key"
	expect_problem 422 idempotency_key_reused
	post /api/v1/orders/ "{\"items\":[{\"product_id\":$free,\"quantity\":1}],\"shipping_address\":$address}" "$key"
	expect_status 201
	id=$(json .id)
	caller=$staff
	post /api/v1/products/categories/ "{\"name\":\"Key $key\"}" "$key"
	expect_status 201
	post /api/v1/products/ "{\"name\":\"Key $key\",\"price\":\"1\"}" "$key"
	expect_status 201
	# Without its closing slash it is the same path.
	post /api/v1/products "{\"name\":\"Key $key\",\"price\":\"1\"}" "$key"
	expect_status 201
	expect_header Idempotent-Replayed true
	# No other method has keys.
	TOKEN=$stranger api PUT "/api/v1/orders/$id/cancel/" '{"reason":"a"}' --header "Idempotency-Key: $key"
	expect_status 200
	TOKEN=$stranger api PUT "/api/v1/orders/$id/cancel/" '{"reason":"b"}' --header "Idempotency-Key: $key"
	expect_status 200
	[[ -z $(header Idempotent-Replayed) ]]
}

@test "guests and accounts have no keys" {
	local key guest
	key=$(idem)
	for quantity in 1 2; do
		api POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}" --header "Idempotency-Key: $key" \
			${guest:+--header "X-Cart-Token: $guest"}
		expect_status 201
		expect_json .quantity "$quantity"
		guest=${guest:-$(header X-Cart-Token)}
	done
	# Nor is one that is none refused there.
	api POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}" --header 'Idempotency-Key: short'
	expect_status 201
	for number in 1 2; do
		TOKEN=$buyer api POST /api/v1/auth/saved-items/ "{\"product_id\":$number}" --header "Idempotency-Key: $key"
		expect_status 201
		TOKEN=$buyer api POST /api/v1/auth/verify/ "{\"token\":\"$number\"}" --header 'Idempotency-Key: short'
		expect_problem 401 token_not_valid
	done
	[[ $(psql_as users 'SELECT count(*) FROM idempotency_key') == 0 ]]
	[[ $(psql_as cart "SELECT count(*) FROM idempotency_key WHERE key = '$key'") == 0 ]]
}

# ---- What a key looks like.

client() { # WAY ADDRESS, cases on standard input
	"${BUILD:-${ARNOVA_BUILD:-build}}/test/fastcgi_client" "$@" "Authorization: Bearer $buyer"
}

# A key that counts leads to an order that there is not.
key_cases() {
	sed 's#| *\([^|]*\)$#| POST /api/v1/payments/process/ | \1 | {"order_id":999999999,"payment_method":"pm_card_visa"}#' <<'END'
400 idempotency_key_required |
400 idempotency_key_required | Idempotency-Key:
400 idempotency_key_required | Idempotency-Key:""
400 idempotency_key_required | Idempotency-Key:\*15{k}
404 not_found                | Idempotency-Key:\*16{k}
400 idempotency_key_required | Idempotency-Key:"\*15{k}"
404 not_found                | Idempotency-Key:"\*16{k}"
404 not_found                | Idempotency-Key:\*255{k}
404 not_found                | Idempotency-Key:"\*255{k}"
400 idempotency_key_required | Idempotency-Key:\*256{k}
400 idempotency_key_required | Idempotency-Key:"\*256{k}"
400 idempotency_key_required | Idempotency-Key:\*4000{k}
404 not_found                | Idempotency-Key:0f8fad5b-d9cb-469f-a165-70867728950e
404 not_found                | Idempotency-Key:!#$%&'()*+-./:;<=>?@[\\]^_`{}~
400 idempotency_key_required | Idempotency-Key:"\*16{k}
400 idempotency_key_required | Idempotency-Key:\*16{k}"
400 idempotency_key_required | Idempotency-Key:\*16{k}"\*16{k}
400 idempotency_key_required | Idempotency-Key:\*16{k},\*16{k}
400 idempotency_key_required | Idempotency-Key:\*16{k}\s\*16{k}
400 idempotency_key_required | Idempotency-Key:\*16{k}\t\*16{k}
400 idempotency_key_required | Idempotency-Key:\*16{\xc3\xa9}
400 idempotency_key_required | Idempotency-Key:\*16{\xff}
400 idempotency_key_required/parse_error | Idempotency-Key:\*16{k}\x01
400 idempotency_key_required/parse_error | Idempotency-Key:\*16{k}\x7f
400 idempotency_key_required/parse_error | Idempotency-Key:\*16{k} Idempotency-Key:\*16{k}
400 idempotency_key_required/parse_error | Idempotency-Key:\*16{a} Idempotency-Key:\*16{b}
END
}

@test "a key has 16 to 255 visible characters, bare or quoted, and comes once" {
	key_cases | client "$SERVER" "${BASE#http://}"
	key_cases | client socket "$VAR/run/"
	# Where one is asked for, nothing is done without it; where it may be left out, none that is wrong.
	client "$SERVER" "${BASE#http://}" <<END
400 idempotency_key_required | POST /api/v1/orders/ | | {"items":[{"product_id":$free,"quantity":1}],"shipping_address":$address}
400 idempotency_key_required | POST /api/v1/cart/items/ | Idempotency-Key:short | {"product_id":$free,"quantity":1}
400 idempotency_key_required | POST /api/v1/cart/merge/ | Idempotency-Key:short | {}
END
	caller=$staff
	TOKEN=$staff api POST /api/v1/payments/1/refund/ '{}'
	expect_problem 400 idempotency_key_required
	for path in '' categories/ "$free/variants/" "$free/images/" "$free/reviews/"; do
		TOKEN=$staff api POST "/api/v1/products/$path" "$(jq -nc --arg path "$path" '
			if $path == "" then {name: "x", price: "1"} elif $path == "categories/" then {name: "x"}
			elif $path | endswith("images/") then {url: "/x"} elif $path | endswith("reviews/") then {rating: 1} else {} end')" \
			--header 'Idempotency-Key: short'
		expect_problem 400 idempotency_key_required
	done
	for path in status/ shipments/; do
		TOKEN=$staff api POST "/api/v1/orders/1/$path" "$(jq -nc --arg path "$path" '
			if $path == "status/" then {status: "processing"} else {carrier: "x"} end')" --header 'Idempotency-Key: short'
		expect_problem 400 idempotency_key_required
	done
}

# ---- What failed leaves no key, what was declined does.

@test "a request that failed leaves no key behind" {
	local key slug taken
	key=$(idem) slug=once-$(random 4)
	TOKEN=$staff api POST /api/v1/products/categories/ "{\"name\":\"A\",\"slug\":\"$slug\"}"
	expect_status 201
	taken=$(json .id)
	post /api/v1/products/categories/ "{\"name\":1,\"slug\":\"$slug\"}" "$key"
	expect_problem 400 invalid
	post /api/v1/products/categories/ "{\"name\":\"B\",\"slug\":\"$slug\"}" "$key"
	expect_problem 409 category_slug_taken
	[[ $(psql_as products "SELECT count(*) FROM idempotency_key WHERE key = '$key'") == 0 ]]
	TOKEN=$staff api DELETE "/api/v1/products/categories/$taken/"
	expect_status 204
	post /api/v1/products/categories/ "{\"name\":\"B\",\"slug\":\"$slug\"}" "$key"
	expect_status 201
	[[ -z $(header Idempotent-Replayed) ]]
	# The corrected body is another one, and runs.
	key=$(idem) caller=$buyer
	post /api/v1/orders/ "{\"items\":[{\"product_id\":999999999,\"quantity\":1}],\"shipping_address\":$address}" "$key"
	expect_problem 400 invalid
	post /api/v1/orders/ "{\"items\":[{\"product_id\":$free,\"quantity\":1}],\"shipping_address\":$address}" "$key"
	expect_status 201
	new_order
	key=$(idem)
	pay pm_unknown "$key"
	expect_problem 400 invalid
	pay pm_card_visa "$key"
	expect_status 201
}

@test "a declined card is told again under its key, and charged under another" {
	local key first
	new_order
	key=$(idem)
	pay pm_card_chargeDeclinedInsufficientFunds "$key"
	expect_problem 402 card_declined
	whole_answer >"$BATS_TEST_TMPDIR/first"
	first=$(entries length)
	pay pm_card_chargeDeclinedInsufficientFunds "$key"
	expect_problem 402 card_declined
	expect_replay "$BATS_TEST_TMPDIR/first"
	[[ $(entries length) == "$first" ]]
	pay pm_card_visa "$key"
	expect_problem 422 idempotency_key_reused
	pay pm_card_visa
	expect_status 201
	[[ $(charges) == 1 ]]
	# So it is where the order is paid as it is placed: one order, which can be paid later.
	key=$(idem) caller=$buyer
	for _ in 1 2; do
		post /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"quantity\":1}],\"shipping_address\":$address,
			\"payment_method\":\"pm_card_chargeDeclined\"}" "$key"
		expect_problem 402 card_declined
		[[ -e $BATS_TEST_TMPDIR/placed ]] || whole_answer >"$BATS_TEST_TMPDIR/placed"
	done
	expect_replay "$BATS_TEST_TMPDIR/placed"
	order=$(json .order_id)
	[[ $(psql_as orders "SELECT count(*) FROM orders_saga WHERE idempotency_key = '$key'") == 1 ]]
	pay pm_card_visa
	expect_status 201
}

# ---- At the same time.

@test "fifty at once with one key: one runs, the others are told to wait or what came of it" {
	local key i
	key=$(idem)
	new_order
	pay pm_card_visa
	find_payment
	for i in {1..50}; do
		prepare POST "/api/v1/payments/$payment/refund/" '{"amount":"1.00"}' "Authorization: Bearer $staff" "Idempotency-Key: $key"
	done
	[[ $(send_prepared) =~ ^201\ [0-9]+(,409\ [0-9]+)?$ ]]
	for i in {1..50}; do
		if grep -q '^HTTP/1.1 409' "$BATS_TEST_TMPDIR/prepared.headers.$i"; then
			grep -qi '^Retry-After: [0-9]' "$BATS_TEST_TMPDIR/prepared.headers.$i"
			[[ $(jq -r .code "$BATS_TEST_TMPDIR/prepared.body.$i") == idempotency_key_in_use ]]
		fi
	done
	[[ $(grep -Li '^Idempotent-Replayed: true' "$BATS_TEST_TMPDIR"/prepared.headers.* | xargs grep -l '^HTTP/1.1 201' | wc -l) == 1 ]]
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json '"\(.refunded) \(.refunds | length)"' '1.00 1'
	# And where no money is at stake.
	rm "$BATS_TEST_TMPDIR"/prepared.*
	TOKEN=$buyer api DELETE /api/v1/cart/clear/
	for i in {1..50}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "Authorization: Bearer $buyer" "Idempotency-Key: $key"
	done
	[[ $(send_prepared) =~ ^201\ [0-9]+(,409\ [0-9]+)?$ ]]
	TOKEN=$buyer api GET /api/v1/cart/
	expect_json .item_count 1
}

# Whether somebody is at work under the key, on a connection to the service.
at_work() { # SERVICE USER PATH KEY
	[[ -n $(lock_holder "$@") ]]
}

nobody_at_work() {
	! at_work "$@"
}

lock_holder() { # SERVICE USER PATH KEY: the pid of his server process
	psql_owner "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND
		((classid::bigint << 32) | objid::bigint) = $1.idempotency_lock('$2 POST $3', '$4')"
}

@test "a key whose request is still running answers 409" {
	local key scope
	key=$(idem)
	scope="$buyer_id POST /api/v1/cart/items/"
	hold cart "SELECT pg_advisory_lock(idempotency_lock('$scope', '$key'))" >/dev/null
	caller=$buyer
	post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$key"
	expect_problem 409 idempotency_key_in_use
	expect_header Retry-After '[0-9]+'
	# Under another key nobody is in the way.
	post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$(idem)"
	expect_status 201
	let_go 0
	post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$key"
	expect_status 201
}

# Sends products' siblings to sleep, so that a cart waits for its prices.
products_sleep() {
	asleep=yes
	# shellcheck disable=SC2046
	kill -STOP $(workers products)
}

products_wake() {
	# shellcheck disable=SC2046
	kill -CONT $(workers products)
	asleep=
}

@test "who lost the lock of his key with his connection undoes what he did" {
	local key before first second
	key=$(idem) caller=$buyer
	TOKEN=$buyer api DELETE /api/v1/cart/clear/
	products_sleep
	post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$key" 3>&- &
	first=$!
	wait_for 60 at_work cart "$buyer_id" /api/v1/cart/items/ "$key"
	psql_owner "SELECT pg_terminate_backend($(lock_holder cart "$buyer_id" /api/v1/cart/items/ "$key"))"
	wait_for 60 nobody_at_work cart "$buyer_id" /api/v1/cart/items/ "$key"
	# The retry comes while he still waits; both go on at the same time.
	(post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$key" && echo "$status" >"$BATS_TEST_TMPDIR/second") 3>&- &
	second=$!
	wait_for 60 at_work cart "$buyer_id" /api/v1/cart/items/ "$key"
	products_wake
	wait "$first" "$second"
	post /api/v1/cart/items/ "{\"product_id\":$free,\"quantity\":1}" "$key"
	expect_status 201
	TOKEN=$buyer api GET /api/v1/cart/
	expect_json .item_count 1
}

# ---- Cut short.

# all_die SERVICE: its workers, at once; others take their place.
all_die() {
	# shellcheck disable=SC2046
	kill -9 $(workers "$1")
}

stripe_is_asked() { # PATH: a call of this path for $order has come in
	[[ $(entries "[.[] | select(.kind == \"received\" and .path == \"$1\")] | length") != 0 ]]
}

# Until the answer is other than "still running" or "not there yet".
retry() { # COMMAND...
	local deadline=$((SECONDS + 60))
	while ((SECONDS < deadline)); do
		"$@"
		[[ $status == 409 && $(json .code) == idempotency_key_in_use || $status == 502 || $status == 503 ]] || return 0
		sleep 0.1
	done
}

@test "a worker is killed while it pays: the retry finishes, and it is charged once" {
	local key
	new_order
	key=$(idem)
	fault '{"fault":"latency","ms":1500,"when":"before"}' POST /v1/payment_intents
	(pay pm_card_visa "$key") 3>&- &
	wait_for 60 stripe_is_asked /v1/payment_intents
	all_die payments
	wait $!
	# His connection ended with him, and the lock with it.
	retry pay pm_card_visa "$key"
	expect_status 201 202
	wait_for 60 payment_is succeeded
	retry pay pm_card_visa "$key"
	expect_status 201
	[[ $(charges) == 1 && $(attempts) == 1 ]]
}

@test "a worker is killed while it refunds: the retry finishes, and it goes back once" {
	local key
	paid_order
	key=$(idem)
	fault '{"fault":"latency","ms":1500,"when":"before"}' POST /v1/refunds
	(refund '{"amount":"7.00"}' "$key") 3>&- &
	wait_for 60 stripe_is_asked /v1/refunds
	all_die payments
	wait $!
	retry refund '{"amount":"7.00"}' "$key"
	expect_status 201 202
	refunded_once() {
		TOKEN=$buyer api GET "/api/v1/payments/$payment/"
		[[ $(json '"\(.refunded) \(.refunds | length) \(.refunds[0].status)"') == '7.00 1 succeeded' ]]
	}
	wait_for 60 refunded_once
	[[ $(stripe_balance) == 1299 ]]
}

@test "a worker is killed while it writes: nothing is left, and the retry runs" {
	local key name
	key=$(idem) name=Killed-$(random 4)
	hold products 'LOCK TABLE products_category IN SHARE MODE'
	(post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key") 3>&- &
	wait_for 60 held_up products
	all_die products
	wait $!
	let_go 0
	retry post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
	expect_status 201
	[[ -z $(header Idempotent-Replayed) ]]
	[[ $(psql_as products "SELECT count(*) FROM products_category WHERE name = '$name'") == 1 ]]
}

# send_and_hang_up TOKEN PATH JSON KEY: the whole request, and nobody waits for the answer.
send_and_hang_up() {
	"${BUILD:-${ARNOVA_BUILD:-build}}/test/fastcgi_client" hasty "${address_of-${BASE#http://}}" "Authorization: Bearer $1" \
		"Idempotency-Key: $4" <<<"none | POST $2 | !cut=999999 | $3" >/dev/null
}

answered() { # SERVICE KEY
	[[ $(psql_as "$1" "SELECT status FROM idempotency_key WHERE key = '$2'") == 20? ]]
}

@test "the answer is lost on its way: the retry has it" {
	local key name place
	# Between the client and the web server, which hangs up on the service, and right behind the service.
	for place in "${BASE#http://}" "$VAR/run/"; do
		key=$(idem) name=Lost-$(random 4)
		address_of=$place send_and_hang_up "$staff" /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
		wait_for 60 answered products "$key"
		post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
		expect_status 201
		expect_header Idempotent-Replayed true
		expect_header Location '/api/v1/products/categories/[0-9]+/'
		expect_json .name "$name"
		[[ $(psql_as products "SELECT count(*) FROM products_category WHERE name = '$name'") == 1 ]]
		new_order
		key=$(idem)
		address_of=$place send_and_hang_up "$buyer" /api/v1/payments/process/ "{\"order_id\":$order,\"payment_method\":\"pm_card_visa\"}" "$key"
		wait_for 60 answered payments "$key"
		pay pm_card_visa "$key"
		expect_status 201
		expect_header Idempotent-Replayed true
		[[ $(charges) == 1 ]]
	done
}

# The server dies without a word and comes again, as after a failover.
restart_postgres() {
	(
		# shellcheck source=/dev/null
		. "$BATS_TEST_DIRNAME/../deploy/local/postgres.sh"
		as_postgres "$(postgres_programs)/pg_ctl" --pgdata="$PGDATA" --mode=immediate --wait restart </dev/null >/dev/null 2>&1
	) 3>&- 4>&-
}

@test "PostgreSQL crashes between two tries: what was answered is answered again" {
	local key name
	key=$(idem) name=Crash-$(random 4)
	post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
	expect_status 201
	whole_answer >"$BATS_TEST_TMPDIR/first"
	restart_postgres
	retry post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
	expect_replay "$BATS_TEST_TMPDIR/first"
	[[ $(psql_as products "SELECT count(*) FROM products_category WHERE name = '$name'") == 1 ]]
}

@test "PostgreSQL crashes while Stripe charges: the retry finishes, and it is charged once" {
	local key
	new_order
	key=$(idem)
	fault '{"fault":"latency","ms":1500,"when":"after"}' POST /v1/payment_intents
	(pay pm_card_visa "$key") 3>&- &
	wait_for 60 stripe_is_asked /v1/payment_intents
	restart_postgres
	wait $!
	retry pay pm_card_visa "$key"
	expect_status 201 202
	wait_for 60 payment_is succeeded
	[[ $(charges) == 1 && $(attempts) == 1 ]]
	wait_for 60 order_is status confirmed
}

@test "Stripe charges and does not answer: the retry has the same charge" {
	local key
	new_order
	key=$(idem)
	lost
	pay pm_card_visa "$key"
	expect_status 202
	lost_and_found
	retry pay pm_card_visa "$key"
	expect_status 201
	[[ $(charges) == 1 && $(attempts) == 1 ]]
}

# ---- Old keys.

grow_old() { # SERVICE KEY
	psql_as "$1" "UPDATE idempotency_key SET created_at = now() - interval '24 hours 1 minute' WHERE key = '$2'"
}

@test "after 24 hours a key is a new one, and still nothing is paid or given back twice" {
	local key
	key=$(idem)
	post /api/v1/products/categories/ "{\"name\":\"Old $key\"}" "$key"
	expect_status 201
	grow_old products "$key"
	post /api/v1/products/categories/ "{\"name\":\"Old $key, again\"}" "$key"
	expect_status 201
	[[ -z $(header Idempotent-Replayed) ]]
	# Not before.
	psql_as products "UPDATE idempotency_key SET created_at = now() - interval '23 hours 59 minutes' WHERE key = '$key'"
	post /api/v1/products/categories/ "{\"name\":\"Old $key, again\"}" "$key"
	expect_header Idempotent-Replayed true
	new_order
	key=$(idem)
	pay pm_card_visa "$key"
	expect_status 201
	find_payment
	grow_old payments "$key"
	pay pm_card_visa "$key"
	expect_status 201 409
	[[ $(charges) == 1 && $(attempts) == 1 ]]
	key=$(idem)
	refund '{"amount":"2.00"}' "$key"
	expect_status 201
	grow_old payments "$key"
	refund '{"amount":"2.00"}' "$key"
	TOKEN=$buyer api GET "/api/v1/payments/$payment/"
	expect_json '"\(.refunded) \(.refunds | length)"' '2.00 1'
}

@test "old keys are cleared away by new ones" {
	psql_as products "INSERT INTO idempotency_key (scope, key, fingerprint, status, created_at)
		SELECT 'old', 'old-' || i, '', 201, now() - interval '25 hours' FROM generate_series(1, 25) i"
	for _ in 1 2 3; do
		post /api/v1/products/categories/ '{"name":"Broom"}' "$(idem)"
		expect_status 201
	done
	[[ $(psql_as products "SELECT count(*) FROM idempotency_key WHERE created_at < now() - interval '24 hours'") == 0 ]]
}

# no_room_for KEY: PostgreSQL's disk is full when the key's row is to be changed.
no_room_for() {
	psql_owner "CREATE FUNCTION products.no_room() RETURNS trigger LANGUAGE plpgsql AS
			\$\$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END \$\$;
		CREATE TRIGGER no_room BEFORE UPDATE OR DELETE ON products.idempotency_key
			FOR EACH ROW WHEN (OLD.key = '$1') EXECUTE FUNCTION products.no_room()"
}

room_again() {
	psql_owner "DROP FUNCTION products.no_room() CASCADE" 2>/dev/null
}

@test "where an answer cannot be kept nothing is done, and the client is told to come again" {
	local key name
	key=$(idem) name="Room $(random 8)"
	no_room_for "$key"
	post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
	room_again
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	[[ -z $(header Location) ]] || complain "the place of what is not there"
	[[ $(psql_as products "SELECT count(*) FROM products_category WHERE name = '$name'") == 0 ]]
	post /api/v1/products/categories/ "{\"name\":\"$name\"}" "$key"
	expect_status 201
	# A refusal is told as it is, whatever becomes of its key.
	key=$(idem)
	no_room_for "$key"
	post "/api/v1/products/$free/variants/" '{"name":"S"}' "$key"
	room_again
	expect_problem 409 product_has_stock
	post "/api/v1/products/$free/variants/" '{"name":"S"}' "$key"
	expect_problem 409 product_has_stock
}
