# fulfilment.bats: from a confirmed order to its delivery: statuses, shipments, who may do what.
# shellcheck shell=bash disable=SC2030,SC2031,SC2143,SC2154,SC2317

bats_require_minimum_version 1.5.0

setup_file() {
	load helper
	buyer=$(user_token buyer)
	staff=$(staff_token)
	# An order that costs nothing is confirmed at once.
	free=$(new_product '{"price":"0.00","stock_quantity":1000000}')
	other=$(new_product '{"price":"0.00","stock_quantity":1000000}')
	dear=$(new_product '{"price":"10.00","stock_quantity":1000000}')
	export buyer staff free other dear
}

setup() {
	load helper
	scenario '{}' >/dev/null
}

statuses='pending confirmed processing shipped delivered cancelled expired'

# order PRODUCT QUANTITY... [METHOD]: as $buyer; sets id, items (the ids of the lines) and body.
order() {
	local lines=() method=null
	while (($# > 1)); do
		lines+=("{\"product_id\":$1,\"quantity\":$2}")
		shift 2
	done
	(($# == 0)) || method="\"$1\""
	TOKEN=$buyer api POST /api/v1/orders/ "{\"items\":[$(IFS=, && echo "${lines[*]}")],\"payment_method\":$method,
		\"shipping_address\":{\"name\":\"Ada\",\"line1\":\"1 Main Street\",\"city\":\"Springfield\",
		\"postal_code\":\"12345\",\"country\":\"US\"}}" --header "Idempotency-Key: $(idem)"
	expect_status 201
	id=$(json .id)
	mapfile -t items < <(json '.items[].id')
}

set_status() { # STATUS [NOTE]
	TOKEN=$staff api POST "/api/v1/orders/$id/status/" \
		"$(jq -nc --arg status "$1" --arg note "${2-}" '{status: $status, note: $note} | del(.note | select(. == ""))')"
}

cancel() { # TOKEN
	TOKEN=$1 api PUT "/api/v1/orders/$id/cancel/" '{"reason":"changed"}'
}

pay() {
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$id,\"payment_method\":\"pm_card_visa\"}" \
		--header "Idempotency-Key: $(idem)"
}

# ship [JSON] [curl arguments]: all that is left, or what the body says; sets shipment.
ship() {
	local said=${1-}
	(($# == 0)) || shift
	TOKEN=$staff api POST "/api/v1/orders/$id/shipments/" "$(jq -c '{carrier: "UPS"} + .' <<<"${said:-{\}}")" "$@"
	shipment=$(json '.id // empty')
}

# some QUANTITY-OF-FIRST-LINE QUANTITY-OF-SECOND...: the body of a shipment of these.
some() {
	local lines=() line=0
	for quantity; do
		((quantity == 0)) || lines+=("{\"order_item_id\":${items[line]},\"quantity\":$quantity}")
		line=$((line + 1))
	done
	(IFS=, && echo "{\"items\":[${lines[*]}]}")
}

report() { # SHIPMENT STATUS
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$1/" "{\"status\":\"$2\"}"
}

show() { # [TOKEN]
	TOKEN=${1-$buyer} api GET "/api/v1/orders/$id/"
	expect_status 200
}

order_is() { # STATUS FULFILLMENT_STATUS
	show && expect_json '"\(.status) \(.fulfillment_status)"' "$1 $2"
}

history_is() {
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.history|map("\(.status) \(.actor)")|join(",")' "$1"
}

# order_in STATUS: a new order that has it; by the routes, but for the hours that expiring takes.
order_in() {
	case $1 in
	pending) order "$dear" 1 ;;
	confirmed) order "$free" 1 ;;
	processing) order_in confirmed && set_status processing && expect_status 200 ;;
	shipped) order_in confirmed && ship && expect_status 201 ;;
	delivered) order_in shipped && report "$shipment" delivered && expect_status 200 ;;
	cancelled) order_in pending && cancel "$buyer" && expect_status 200 ;;
	expired) order_in pending && psql_as orders "SELECT expire_order($id)" >/dev/null ;;
	esac
}

settled() {
	"${ARNOVA_BUILD:-build}/arnova" relay --once
	[[ $(psql_as orders "SELECT count(*) FROM event_outbox WHERE aggregate_id = $id AND delivered_at IS NULL") == 0 ]]
}

verified() {
	"${ARNOVA_BUILD:-build}/arnova" verify
}

# stock_of PRODUCT: "ON-HAND RESERVED".
stock_of() {
	psql_as products "SELECT on_hand || ' ' || reserved FROM products_stock WHERE product_id = $1"
}

hold_of() {
	psql_as products "SELECT state FROM products_reservation WHERE order_id = $id"
}

# ---- Statuses.

# What staff may say of an order that stands so (system alone confirms and expires).
next_of() {
	case $1 in
	pending) echo cancelled ;;
	confirmed) echo cancelled processing ;;
	processing) echo cancelled shipped ;;
	shipped) echo delivered ;;
	esac
}

# ask_for TOKEN STATUS...: each by POST, all with one curl; a line of what came for each.
ask_for() {
	local to token=$1 answers=() arguments=()
	shift
	for to; do
		answers+=("$BATS_TEST_TMPDIR/answer-$to")
		arguments+=(--next --silent --max-time 60 --header "Authorization: Bearer $token"
			--header 'Content-Type: application/json' --data-binary "{\"status\":\"$to\",\"note\":\"no\"}"
			--output "${answers[-1]}" "$BASE/api/v1/orders/$id/status/")
	done
	curl "${arguments[@]:1}"
	jq -r '"\(.code) \(.from) \(.to) \(.allowed // []|sort|join(" "))"' "${answers[@]}"
}

@test "every transition that the table does not have is refused, whoever asks" {
	local from to before refused expected
	for from in $statuses; do
		order_in "$from"
		show
		expect_json .status "$from"
		before=$body
		# shellcheck disable=SC2086
		[[ $(ask_for "$buyer" $statuses | sort | uniq -c) == *" 7 permission_denied null null " ]]
		refused=() expected=
		for to in $statuses; do
			[[ " $(next_of "$from") " != *" $to "* ]] || continue
			refused+=("$to")
			if [[ $from == "$to" ]]; then
				expected+="null null null "$'\n'
			else
				expected+="invalid_transition $from $to $(next_of "$from")"$'\n'
			fi
		done
		diff <(ask_for "$staff" "${refused[@]}") <(printf %s "$expected")
		case $from in
		pending | confirmed) ;;
		cancelled) cancel "$buyer" && expect_status 200 ;;
		*)
			cancel "$buyer"
			expect_problem 409 invalid_transition
			expect_json '"\(.from) \(.to) \(.allowed|length)"' "$from cancelled 0"
			;;
		esac
		show
		[[ $body == "$before" ]] || complain "$from has changed: $before"
	done
}

@test "every transition that the table has is made, and noted" {
	local from to
	for from in $statuses; do
		for to in $(next_of "$from"); do
			order_in "$from"
			set_status "$to" "because of $from"
			expect_status 200
			expect_json .status "$to"
			show && expect_json .status "$to"
			TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
			expect_json '.history[-1]|"\(.status) \(.actor): \(.note)"' "$to staff: because of $from"
			[[ $(json '.history[-1].at') =~ ^20.*Z$ ]]
			[[ $(psql_as orders "SELECT actor_id FROM orders_orderhistory WHERE order_id = $id ORDER BY id DESC LIMIT 1") =~ ^[0-9]+$ ]]
		done
	done
}

@test "a status is one of seven, and staff's to say" {
	order_in confirmed
	for wrong in '{}' '{"status":null}' '{"status":"sold"}' '{"status":"processing","note":5}' \
		'{"status":"processing","actor":"system"}' '{"status":["processing"]}'; do
		TOKEN=$staff api POST "/api/v1/orders/$id/status/" "$wrong"
		expect_problem 400 invalid
	done
	api POST "/api/v1/orders/$id/status/" '{"status":"processing"}'
	expect_problem 401 not_authenticated
	TOKEN=$buyer api POST /api/v1/orders/999999999/status/ '{"status":"processing"}'
	expect_problem 403 permission_denied
	for wrong in processing cancelled shipped; do
		TOKEN=$staff api POST /api/v1/orders/999999999/status/ "{\"status\":\"$wrong\"}"
		expect_problem 404 not_found
	done
	order_is confirmed unfulfilled
	history_is 'pending customer,confirmed system'
}

@test "cancelled by its status is cancelled altogether: stock and money go back" {
	local product
	product=$(new_product)
	order "$product" 3 pm_card_visa
	wait_for 60 settled
	[[ $(stock_of "$product") == "10 3" && $(hold_of) == committed ]]
	set_status processing
	set_status cancelled "out of stock"
	expect_status 200
	expect_json '"\(.status) \(.fulfillment_status)"' "cancelled cancelled"
	given_back() {
		settled && [[ $(psql_as payments "SELECT captured || ' ' || refunded FROM payments_transaction
			WHERE order_id = $id") == "3000 3000" ]]
	}
	wait_for 60 given_back
	[[ $(stock_of "$product") == "10 0" && $(hold_of) == released ]]
	refunded() { show && [[ $(json .payment_status) == refunded ]]; }
	wait_for 60 refunded
	# What was not paid cannot be paid any more.
	order "$dear" 1
	set_status cancelled
	expect_status 200
	pay
	expect_problem 409 order_not_payable
}

# ---- What allowed_actions promises.

# act TOKEN ACTION...: each by its route, all with one curl; the statuses of what came.
act() {
	local action token=$1 arguments=() path method body
	shift
	for action; do
		method=POST path=/api/v1/orders/$id/status/
		case $action in
		pay) path=/api/v1/payments/process/ body="{\"order_id\":$id,\"payment_method\":\"pm_card_visa\"}" ;;
		cancel) method=PUT path=/api/v1/orders/$id/cancel/ body='{}' ;;
		process) body='{"status":"processing"}' ;;
		ship) path=/api/v1/orders/$id/shipments/ body='{"carrier":"UPS"}' ;;
		deliver) body='{"status":"delivered"}' ;;
		esac
		arguments+=(--next --silent --max-time 60 --request "$method" --header "Authorization: Bearer $token"
			--header "Idempotency-Key: $(idem)" --header 'Content-Type: application/json'
			--data-binary "$body" --output /dev/null --write-out '%{http_code}\n' "$BASE$path")
	done
	curl "${arguments[@]:1}"
}

actions_of() { # STATUS owner|staff
	case $1-$2 in
	pending-owner) echo cancel pay ;;
	pending-staff | confirmed-owner) echo cancel ;;
	confirmed-staff) echo cancel process ship ;;
	processing-staff) echo cancel ship ;;
	shipped-staff) echo deliver ;;
	esac
}

@test "what allowed_actions names can be done, and nothing else" {
	local state viewer token action before allowed others
	for state in $statuses; do
		order_in "$state"
		for viewer in owner staff; do
			token=$buyer allowed=$(actions_of "$state" $viewer) others=()
			[[ $viewer == owner ]] || token=$staff
			show "$token"
			before=$body
			expect_json '.allowed_actions|join(" ")' "$allowed"
			for action in pay cancel process ship deliver; do
				[[ " $allowed " == *" $action "* ]] || others+=("$action")
			done
			# 200: cancelled twice, or delivered.
			diff <(act "$token" "${others[@]}" | grep -vE '^(200|403|404|409)$') /dev/null
			show "$token"
			[[ $body == "$before" ]] || complain "$viewer changed an order that is $state"
		done
		for action in $(actions_of "$state" owner); do
			order_in "$state"
			[[ $(act "$buyer" "$action") == 20[01] ]] || complain "the owner cannot $action what is $state"
		done
		for action in $(actions_of "$state" staff); do
			order_in "$state"
			[[ $(act "$staff" "$action") == 20[01] ]] || complain "staff cannot $action what is $state"
		done
	done
}

# ---- Shipments.

@test "a shipment takes all that is left, and starts the processing by itself" {
	order "$free" 2 "$other" 3
	ship '{"carrier":"UPS","tracking_number":"1Z 999 AA1 01 2345 6784"}'
	expect_status 201
	expect_header Location "/api/v1/orders/$id/shipments/$shipment/"
	expect_json '"\(.carrier) \(.tracking_number) \(.status) \(.delivered_at)"' "UPS 1Z 999 AA1 01 2345 6784 shipped null"
	expect_json .tracking_url 'https://www.ups.com/track?tracknum=1Z999AA10123456784'
	expect_json '.items|map("\(.order_item_id) \(.quantity)")|join(",")' "${items[0]} 2,${items[1]} 3"
	[[ $(json .shipped_at) =~ ^20.*Z$ ]]
	local created=$body
	order_is shipped shipped
	history_is 'pending customer,confirmed system,processing staff,shipped staff'
	expect_json '.shipments|length' 1
	[[ $(jq -cS '.shipments[0]' <<<"$body") == "$(jq -cS . <<<"$created")" ]]

	for token in "$buyer" "$staff"; do
		TOKEN=$token api GET "/api/v1/orders/$id/shipments/$shipment/"
		expect_status 200
		[[ $body == "$created" ]]
		TOKEN=$token api GET "/api/v1/orders/$id/shipments/"
		expect_json '"\(.count) \(.next) \(.previous)"' '1 null null'
		[[ $(jq -cS '.results[0]' <<<"$body") == "$(jq -cS . <<<"$created")" ]]
	done
}

@test "parts are shipped and delivered one by one, and the order follows" {
	local product first second third
	product=$(new_product '{"price":"0.00","stock_quantity":10}')
	order "$product" 3 "$other" 1
	wait_for 60 settled
	[[ $(stock_of "$product") == "10 3" ]]
	ship "$(some 1 0)" && first=$shipment
	expect_status 201
	order_is processing partially_shipped
	wait_for 60 settled
	[[ $(stock_of "$product") == "9 2" && $(hold_of) == committed ]]
	[[ $(psql_as products "SELECT count(*) FROM products_stockmovement m JOIN products_stock s ON s.id = m.stock_id
		WHERE s.product_id = $product AND m.cause = 'consume' AND (m.on_hand, m.reserved) = (-1, -1)") == 1 ]]
	verified

	# Nothing of it can be cancelled any more, by whatever way.
	show "$staff" && expect_json '.allowed_actions|join(" ")' ship
	for token in "$buyer" "$staff"; do
		cancel "$token"
		expect_problem 409 invalid_transition
	done
	expect_json '.allowed|join(" ")' shipped
	set_status cancelled
	expect_problem 409 invalid_transition

	report "$first" in_transit
	expect_status 200
	expect_json '"\(.status) \(.delivered_at)"' "in_transit null"
	order_is processing partially_shipped
	report "$first" delivered
	expect_status 200
	[[ $(json .delivered_at) =~ ^20.*Z$ ]]
	order_is processing partially_delivered
	ship "$(some 1 1)" && second=$shipment
	expect_status 201
	order_is processing partially_delivered
	ship && third=$shipment
	expect_status 201
	expect_json '.items|map("\(.order_item_id) \(.quantity)")|join(",")' "${items[0]} 1"
	order_is shipped partially_delivered
	wait_for 60 settled
	[[ $(stock_of "$product") == "7 0" && $(hold_of) == consumed ]]
	report "$third" delivered
	order_is shipped partially_delivered
	report "$second" delivered
	expect_status 200
	order_is delivered delivered
	history_is 'pending customer,confirmed system,processing staff,shipped staff,delivered staff'
	verified
}

@test "no more is shipped than was ordered" {
	order "$free" 2 "$other" 1
	ship "$(some 3 0)"
	expect_problem 409 quantity_exceeded
	expect_json '.items|map("\(.order_item_id) \(.requested) \(.left)")|join(",")' "${items[0]} 3 2"
	# Equal lines are one: 1 + 1 is 2, 2 + 1 is too many.
	ship "{\"items\":[{\"order_item_id\":${items[0]},\"quantity\":2},{\"order_item_id\":${items[0]},\"quantity\":1}]}"
	expect_problem 409 quantity_exceeded
	order_is confirmed unfulfilled
	ship "{\"items\":[{\"order_item_id\":${items[0]},\"quantity\":1},{\"order_item_id\":${items[0]},\"quantity\":1}]}"
	expect_status 201
	expect_json '.items|map("\(.order_item_id) \(.quantity)")|join(",")' "${items[0]} 2"
	ship "$(some 1 1)"
	expect_problem 409 quantity_exceeded
	expect_json '.items|map("\(.order_item_id) \(.requested) \(.left)")|join(",")' "${items[0]} 1 0"
	order_is processing partially_shipped
	ship
	expect_status 201
	order_is shipped shipped
	ship
	expect_problem 409 quantity_exceeded
	ship "$(some 0 1)"
	expect_problem 409 quantity_exceeded
	[[ $(psql_as orders "SELECT count(*) FROM orders_shipment WHERE order_id = $id") == 2 ]]
}

@test "shipments at the same time never exceed the order" {
	local product calls=()
	product=$(new_product '{"price":"0.00","stock_quantity":9}')
	order "$product" 5
	for _ in {1..12}; do
		curl --silent --output /dev/null --write-out '%{http_code}\n' --header "Authorization: Bearer $staff" \
			--header 'Content-Type: application/json' --data-binary "$(some 1 | jq -c '. + {carrier: "UPS"}')" \
			"$BASE/api/v1/orders/$id/shipments/" >>"$BATS_TEST_TMPDIR/codes" 3>&- &
		calls+=($!)
	done
	wait "${calls[@]}"
	[[ $(sort "$BATS_TEST_TMPDIR/codes" | uniq -c | awk '{print $2 "x" $1}' | paste -sd ' ') == "201x5 409x7" ]] ||
		complain "$(sort "$BATS_TEST_TMPDIR/codes" | uniq -c)"
	order_is shipped shipped
	wait_for 60 settled
	[[ $(stock_of "$product") == "4 0" && $(hold_of) == consumed ]]
	verified
}

@test "who ships and who cancels at the same time never both win" {
	local round calls
	for round in 1 2 3 4 5 6; do
		order_in processing
		calls=()
		for one in "PUT cancel/" "POST shipments/" "PUT cancel/" "POST status/"; do
			curl --silent --output /dev/null --request "${one% *}" --header "Authorization: Bearer $staff" \
				--header 'Content-Type: application/json' --data-binary "$(case $one in
					*cancel/) echo '{}' ;;
					*shipments/) echo '{"carrier":"UPS"}' ;;
					*) echo '{"status":"shipped"}' ;;
				esac)" "$BASE/api/v1/orders/$id/${one#* }" 3>&- &
			calls+=($!)
			((round % 2)) || sleep 0.01
		done
		wait "${calls[@]}"
		show
		case $(json '"\(.status) \(.fulfillment_status)"')-$(psql_as orders \
			"SELECT count(*) FROM orders_shipment WHERE order_id = $id") in
		"cancelled cancelled-0" | "shipped shipped-1") ;;
		*) complain "neither shipped nor cancelled" ;;
		esac
		wait_for 60 settled
	done
	verified
}

@test "an order that is not to be shipped has no shipments" {
	local state
	for state in pending delivered cancelled expired; do
		order_in "$state"
		ship
		expect_problem 409 invalid_transition
		expect_json '"\(.from) \(.to) \(.allowed|join(" "))"' "$state shipped $(next_of $state)"
	done
	[[ $(psql_as orders "SELECT count(*) FROM orders_shipment WHERE order_id = $id") == 0 ]]
}

@test "a shipment is judged field by field, and staff's to make" {
	local foreign wrong
	order "$free" 1 && foreign=${items[0]}
	order "$free" 2
	ship "{\"items\":[{\"order_item_id\":${items[0]},\"quantity\":1},{\"order_item_id\":$foreign,\"quantity\":1},
		{\"order_item_id\":999999999,\"quantity\":1}]}"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' 'items[1].order_item_id items[2].order_item_id'
	ship "{\"items\":[{\"order_item_id\":${items[0]},\"quantity\":0},{\"quantity\":1}],\"carrier\":\"\"}"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' 'carrier items[0].quantity items[1].order_item_id'
	for wrong in '{"carrier":null}' '{"items":[]}' '{"items":"all"}' '{"tracking_number":5}' '{"weight":1}' \
		"{\"carrier\":\"$(printf 'x%.0s' {1..65})\"}"; do
		ship "$wrong"
		expect_problem 400 invalid
	done
	TOKEN=$staff api POST "/api/v1/orders/$id/shipments/" '{}'
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' carrier
	TOKEN=$buyer api POST "/api/v1/orders/$id/shipments/" '{"carrier":"UPS"}'
	expect_problem 403 permission_denied
	api POST "/api/v1/orders/$id/shipments/" '{"carrier":"UPS"}'
	expect_problem 401 not_authenticated
	TOKEN=$buyer api PATCH "/api/v1/orders/999999999/shipments/1/" '{"status":"lost"}'
	expect_problem 403 permission_denied
	order_is confirmed unfulfilled

	# What was read can be sent back, whatever its state; a number that passes for a card's is none here.
	ship "$(some 1 | jq -c '. + {tracking_number: "4242 4242 4242 4242", id: 1, status: "lost", tracking_url: null,
		shipped_at: null, delivered_at: null}')" --header "Idempotency-Key: once-and-no-more-$id"
	expect_status 201
	expect_json '"\(.status) \(.tracking_number)"' 'shipped 4242 4242 4242 4242'
	local first=$body
	ship "$(some 1 | jq -c '. + {tracking_number: "4242 4242 4242 4242", id: 1, status: "lost", tracking_url: null,
		shipped_at: null, delivered_at: null}')" --header "Idempotency-Key: once-and-no-more-$id"
	expect_status 201
	expect_header Idempotent-Replayed true
	[[ $body == "$first" ]]
	order_is processing partially_shipped
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" "$first"
	expect_status 200
	[[ $body == "$first" ]]
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" "$(jq -c '.status = "in_transit"' <<<"$first")"
	expect_status 200
	expect_json '"\(.status) \(.carrier)"' 'in_transit UPS'
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" "$first"
	expect_problem 409 invalid_transition
	for wrong in '{}' '{"status":"sunk"}' '{"status":"lost","why":"sea"}'; do
		TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" "$wrong"
		expect_problem 400 invalid
	done
	id=999999999
	ship
	expect_problem 404 not_found
}

@test "shipments are the owner's and staff's to see" {
	local stranger mine
	order_in shipped
	mine=$shipment
	stranger=$(user_token stranger)
	for path in shipments/ "shipments/$mine/"; do
		TOKEN=$stranger api GET "/api/v1/orders/$id/$path"
		expect_problem 404 not_found
		api GET "/api/v1/orders/$id/$path"
		expect_problem 401 not_authenticated
	done
	order_in pending
	TOKEN=$buyer api GET "/api/v1/orders/$id/shipments/"
	expect_json '"\(.count) \(.results|length)"' '0 0'
	# A shipment of another order of the same owner is none of this one's.
	TOKEN=$buyer api GET "/api/v1/orders/$id/shipments/$mine/"
	expect_problem 404 not_found
	report "$mine" delivered
	expect_problem 404 not_found
	TOKEN=$staff api GET /api/v1/orders/999999999/shipments/
	expect_problem 404 not_found
}

@test "a shipment is changed only as it was read" {
	local tag
	order_in shipped
	tag=$(header ETag)
	TOKEN=$staff api GET "/api/v1/orders/$id/shipments/$shipment/"
	[[ -n $tag && $(header ETag) == "$tag" ]]
	TOKEN=$staff api GET "/api/v1/orders/$id/shipments/$shipment/" --header "If-None-Match: $tag"
	expect_status 304
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" '{"status":"in_transit"}' --header "If-Match: $tag"
	expect_status 200
	[[ $(header ETag) != "$tag" ]]
	TOKEN=$staff api PATCH "/api/v1/orders/$id/shipments/$shipment/" '{"status":"lost"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	order_is shipped shipped
}

@test "a shipment goes on as its own table says" {
	local from to before allowed
	for from in shipped in_transit delivered lost; do
		# One of an order of two parts, of which one is shipped.
		order "$free" 1 "$other" 1
		ship "$(some 1 0)"
		[[ $from == shipped ]] || report "$shipment" "$from"
		expect_status 200 201
		expect_json .status "$from"
		before=$body allowed=
		[[ $from != in_transit ]] || allowed='delivered lost'
		for to in in_transit delivered lost; do
			[[ $from != shipped && " $allowed " != *" $to "* ]] || continue
			report "$shipment" "$to"
			if [[ $from == "$to" ]]; then
				expect_status 200
				[[ $body == "$before" ]]
			else
				expect_problem 409 invalid_transition
				expect_json '"\(.from) \(.to) \(.allowed|join(" "))"' "$from $to $allowed"
			fi
		done
		TOKEN=$staff api GET "/api/v1/orders/$id/shipments/$shipment/"
		[[ $body == "$before" ]]
	done
	for from in shipped in_transit; do
		for to in delivered lost; do
			order "$free" 1
			ship
			[[ $from == shipped ]] || report "$shipment" "$from"
			report "$shipment" "$to"
			expect_status 200
			expect_json '"\(.status) \(.delivered_at != null)"' "$to $([[ $to == delivered ]] && echo true || echo false)"
		done
	done
}

@test "what is lost stays shipped, and the order is never delivered" {
	local first
	order "$free" 1 "$other" 1
	ship "$(some 1 0)" && first=$shipment
	ship
	report "$first" lost
	expect_status 200
	order_is shipped shipped
	report "$shipment" delivered
	order_is shipped partially_delivered
	show "$staff" && expect_json '.allowed_actions|length' 0
	set_status delivered
	expect_problem 409 invalid_transition
	expect_json '"\(.from) \(.to) \(.allowed|length)"' 'shipped delivered 0'
	ship
	expect_problem 409 quantity_exceeded
	order_is shipped partially_delivered
}

@test "without a word of carriers an order is shipped and delivered as a whole" {
	order "$free" 2 "$other" 1
	set_status processing
	ship "$(some 1 0)"
	set_status shipped "collected"
	expect_status 200
	expect_json '"\(.status) \(.fulfillment_status)"' 'shipped shipped'
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.shipments|map("\(.carrier):\(.tracking_number):\(.tracking_url):\(.status):\(.items|map(.quantity)|join("+"))")|join(" ")' \
		'UPS::null:shipped:1 ::null:shipped:1+1'
	wait_for 60 settled
	[[ $(hold_of) == consumed ]]
	report "$shipment" in_transit
	set_status delivered "at the door"
	expect_status 200
	expect_json '"\(.status) \(.fulfillment_status)"' 'delivered delivered'
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.shipments|map(.status)|join(" ")' 'delivered delivered'
	expect_json '.history[-1]|"\(.status) \(.actor) \(.note)"' 'delivered staff at the door'
	verified
}

@test "known carriers have an address where a parcel is followed" {
	local carrier number pattern
	order "$free" 20
	while read -r carrier number pattern; do
		ship "$(some 1 | jq -c --arg carrier "${carrier//_/ }" --arg number "${number//_/ }" \
			'. + {carrier: $carrier, tracking_number: ($number | select(. != "none") // null)}')"
		expect_status 201
		# shellcheck disable=SC2053
		[[ $(json .tracking_url) == $pattern ]] || complain "not $pattern"
	done <<-'END'
		UPS 1Z1 https://www.ups.com/*=1Z1
		usps 9400_1000 https://tools.usps.com/*=94001000
		FedEx 1234-5678 https://www.fedex.com/*=12345678
		DHL 55 https://www.dhl.com/*=55
		DHL_Express 55 https://www.dhl.com/*=55
		Royal_Mail rm1gb https://www.royalmail.com/*/RM1GB
		Canada_Post 7 https://www.canadapost-postescanada.ca/*=7
		Australia_Post 8 https://auspost.com.au/*/8
		Uncle_Bob 8 null
		UPS none null
		UPS 1&evil=1 null
		UPS javascript:1 null
		U{}PS 1 https://www.ups.com/*
	END
}

@test "the tables hold what must hold of shipments" {
	refused() { # CONSTRAINT SQL
		local complaint
		complaint=$(psql_as orders "$2" 2>&1) && complain "not refused: $2" && return 1
		[[ $complaint == *"$1"* ]] || complain "expected $1, got $complaint"
	}
	order "$free" 2
	ship "$(some 1)"
	local mismatch=order_shipments_mismatch line=${items[0]}
	refused $mismatch "UPDATE orders_orderitem SET shipped_quantity = 2 WHERE id = $line"
	refused $mismatch "UPDATE orders_orderitem SET shipped_quantity = 0 WHERE id = $line"
	refused $mismatch "UPDATE orders_order SET fulfillment_status = 'shipped' WHERE id = $id"
	refused $mismatch "UPDATE orders_order SET status = 'shipped' WHERE id = $id"
	refused $mismatch "SELECT set_status($id, 'shipped', 'system')"
	refused $mismatch "UPDATE orders_shipment SET status = 'delivered', delivered_at = now() WHERE id = $shipment"
	refused $mismatch "DELETE FROM orders_shipmentitem WHERE shipment_id = $shipment"
	refused $mismatch "UPDATE orders_shipmentitem SET quantity = 2 WHERE shipment_id = $shipment"
	refused $mismatch "WITH s AS (INSERT INTO orders_shipment (order_id, carrier) VALUES ($id, '') RETURNING id)
		INSERT INTO orders_shipmentitem SELECT id, $line, 1 FROM s"
	ship
	refused $mismatch "SELECT set_status($id, 'delivered', 'system')"
	refused quantity_exceeded "UPDATE orders_orderitem SET shipped_quantity = 3 WHERE id = $line"
}
