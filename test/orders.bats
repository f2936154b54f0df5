# orders.bats: from a basket to an order, its payment, its end.
# shellcheck shell=bash disable=SC2030,SC2031,SC2143,SC2154,SC2317

bats_require_minimum_version 1.5.0

setup() {
	load helper
	scenario '{}' >/dev/null
	buyer=$(user_token buyer)
}

teardown() {
	scenario '{}' >/dev/null
	mend
}

# break_down SERVICE: it answers every call that changes anything with a 500, until mend.
break_down() {
	local table=products.products_reservation
	[[ $1 == products ]] || table=payments.payments_attempt
	psql_owner "ALTER TABLE $table RENAME TO broken_down"
}

mend() {
	psql_owner "ALTER TABLE IF EXISTS products.broken_down RENAME TO products_reservation;
		ALTER TABLE IF EXISTS payments.broken_down RENAME TO payments_attempt" 2>/dev/null
}

address='{"name":"Ada Buyer","line1":"1 Main Street","city":"Springfield","postal_code":"12345","country":"US"}'

# place JSON [curl arguments]: orders as $buyer, to $address, with $key or a new one.
place() {
	local order
	order=$(jq -c --argjson address "$address" '{shipping_address: $address} + . | with_entries(select(.value != "none"))' <<<"$1")
	shift
	TOKEN=$buyer api POST /api/v1/orders/ "$order" --header "Idempotency-Key: ${key:-$(idem)}" "$@"
}

# lines PRODUCT QUANTITY...: a body with these items.
lines() {
	local all=()
	while (($#)); do
		all+=("{\"product_id\":$1,\"quantity\":$2}")
		shift 2
	done
	(IFS=, && echo "{\"items\":[${all[*]}]}")
}

# paid_with METHOD PRODUCT QUANTITY...: the same, and how it is paid.
paid_with() {
	local method=$1
	shift
	lines "$@" | jq -c --arg method "$method" '. + {payment_method: $method}'
}

pay() { # ORDER METHOD
	TOKEN=$buyer api POST /api/v1/payments/process/ "{\"order_id\":$1,\"payment_method\":\"$2\"}" \
		--header "Idempotency-Key: $(idem)"
}

show() { # ORDER
	TOKEN=$buyer api GET "/api/v1/orders/$1/"
	expect_status 200
}

cancel() { # ORDER [JSON]
	TOKEN=$buyer api PUT "/api/v1/orders/$1/cancel/" "${2:-{\}}"
}

# Stripe does what it is asked, and none of its answers arrives.
stripe_goes_dark() {
	scenario '{"rules":[{"match":{"path":"/v1/","times":-1},"do":{"fault":"reset","when":"after"}}],
		"webhooks":{"mode":"off"}}' >/dev/null
}

# What can be bought of a product.
stock() {
	api GET "/api/v1/products/$1/"
	json .stock_quantity
}

stock_is() {
	[[ $(stock "$1") == "$2" ]]
}

order_is() { # ORDER FIELD VALUE
	show "$1" && [[ $(json ".$2") == "$3" ]]
}

relay() {
	"${ARNOVA_BUILD:-build}/arnova" relay --once
}

# Until the relay has nothing left to tell about the order.
settled() { # ORDER
	relay
	[[ $(psql_as orders "SELECT count(*) FROM event_outbox WHERE aggregate_id = $1 AND delivered_at IS NULL") == 0 ]]
}

nothing_due() { # ORDER
	[[ $(psql_as orders "SELECT count(*) FROM order_due WHERE order_id = $1") == 0 ]]
}

# internal METHOD PATH [JSON]: as a sibling asks the orders service.
internal() {
	local method=$1 path=$2
	shift 2
	TOKEN=${SERVICE_TOKEN%%,*} api "$method" "$ORDERS_SERVICE_URL/internal/v1/$path" "$@"
}

# Units of money that the stand-in has taken for an order, less what it gave back.
taken() { # ORDER
	ledger "[.entries[]|select(.kind == \"executed\" and .order_id == \"$1\")|select(.charge and (.refund|not) and .status == 200)|.amount]|add // 0"
}

charges() { # ORDER
	psql_as payments "SELECT captured || ' ' || refunded FROM payments_transaction WHERE order_id = $1"
}

@test "an order is placed, shown, listed and tracked" {
	local product
	product=$(new_product '{"price":"19.99","sku":null}')
	place "$(lines "$product" 2 | jq -c '. + {notes: "ring twice", expected_total: "39.98"}')"
	expect_status 201
	local id
	id=$(json .id)
	expect_header Location "/api/v1/orders/$id/"
	expect_json '"\(.status) \(.payment_status) \(.fulfillment_status)"' "pending requires_payment unfulfilled"
	expect_json '"\(.subtotal) \(.discount_total) \(.shipping_total) \(.tax_total) \(.total) \(.currency)"' \
		"39.98 0.00 0.00 0.00 39.98 USD"
	expect_json '.items|length' 1
	expect_json '.items[0]|"\(.product_id) \(.variant_id) \(.quantity) \(.unit_price) \(.total)"' "$product null 2 19.99 39.98"
	expect_json '"\(.user_id) \(.email)"' "$(user_field buyer '"\(.user.id) \(.user.email)"')"
	expect_json '"\(.notes) \(.payment_id) \(.shipping_address.line1) \(.billing_address.country)"' "ring twice null 1 Main Street US"
	expect_json '.allowed_actions|join(" ")' "cancel pay"
	[[ $(json .number) =~ ^[0-9A-HJKMNP-TV-Z]{10}$ ]]
	[[ $(json .reserved_until) =~ ^20.*Z$ ]]
	[[ $(stock "$product") == 8 ]]

	show "$id"
	expect_json .id "$id"
	expect_header Cache-Control no-store
	TOKEN=$buyer api GET /api/v1/orders/
	expect_json '"\(.count) \(.results[0].id) \(.next) \(.previous)"' "1 $id null null"
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.id' "$id"
	expect_json '.history|map("\(.status) \(.actor)")|join(",")' "pending customer"
	expect_json '.shipments|length' 0
}

@test "an order is its owner's and staff's, and nobody else can tell that it exists" {
	local product id stranger staff
	product=$(new_product)
	place "$(lines "$product" 1)"
	id=$(json .id)
	stranger=$(user_token stranger)
	staff=$(staff_token)
	for path in "" track/; do
		TOKEN=$stranger api GET "/api/v1/orders/$id/$path"
		expect_problem 404 not_found
		TOKEN=$staff api GET "/api/v1/orders/$id/$path"
		expect_status 200
		api GET "/api/v1/orders/$id/$path"
		expect_problem 401 not_authenticated
	done
	TOKEN=$stranger api PUT "/api/v1/orders/$id/cancel/" '{}'
	expect_problem 404 not_found
	api PUT "/api/v1/orders/$id/cancel/" '{}'
	expect_problem 401 not_authenticated
	api POST /api/v1/orders/ '{}' --header "Idempotency-Key: $(idem)"
	expect_problem 401 not_authenticated
	api GET /api/v1/orders/
	expect_problem 401 not_authenticated
	TOKEN=$stranger api GET "/api/v1/orders/?user_id=$(user_field buyer .user.id)"
	expect_json .count 0
	TOKEN=$stranger api GET /api/v1/orders/
	expect_json .count 0
	TOKEN=$staff api GET "/api/v1/orders/?user_id=$(user_field buyer .user.id)"
	expect_json '"\(.count) \(.results[0].id)"' "1 $id"
	expect_json '.results[0].allowed_actions|join(" ")' cancel
	show "$id"
	expect_json .status pending
}

@test "lists are filtered, paged and judged" {
	local product first second
	product=$(new_product)
	place "$(lines "$product" 1)" && first=$(json .id)
	place "$(lines "$product" 1)" && second=$(json .id)
	cancel "$first"
	# An entry of the list is the order itself.
	show "$first"
	local alone=$body
	TOKEN=$buyer api GET /api/v1/orders/
	[[ $(jq -cS '.results[1]' <<<"$body") == "$(jq -cS . <<<"$alone")" ]]
	TOKEN=$buyer api GET '/api/v1/orders/?cursor='
	expect_json '.results|map(.id)|join(" ")' "$second $first"
	TOKEN=$buyer api GET '/api/v1/orders/?cursor=&page_size=1'
	TOKEN=$buyer api GET "$(json .next)"
	expect_json '"\(.results|map(.id)|join(" ")) \(.next)"' "$first null"
	# Staff finds them among everybody's.
	local mine staff
	mine=user_id=$(user_field buyer .user.id) staff=$(staff_token)
	while read -r filter found; do
		TOKEN=$staff api GET "/api/v1/orders/?$filter"
		expect_json '.results|map(.id)|join(" ")' "$found"
	done <<-END
		$mine $second $first
		$mine&status=cancelled $first
		$mine&status=pending&payment_status=requires_payment $second
		$mine&payment_status=paid
		$mine&created_after=$(jq -r .created_at <<<"$alone")&created_before=2999-01-01T00:00:00%2B02:00 $second $first
		$mine&created_before=$(jq -r .created_at <<<"$alone")
		user_id=999999999
	END
	TOKEN=$buyer api GET '/api/v1/orders/?status=cancelled'
	expect_json '.results|map(.id)|join(" ")' "$first"
	TOKEN=$buyer api GET '/api/v1/orders/?status=pending&payment_status=requires_payment'
	expect_json '.results|map(.id)|join(" ")' "$second"
	TOKEN=$buyer api GET '/api/v1/orders/?payment_status=paid'
	expect_json .count 0
	TOKEN=$buyer api GET '/api/v1/orders/?created_after=2020-01-01T00:00:00Z'
	expect_json '.results|map(.id)|join(" ")' "$second $first"
	TOKEN=$buyer api GET '/api/v1/orders/?created_before=2020-01-01T00:00:00Z'
	expect_json .count 0
	TOKEN=$buyer api GET '/api/v1/orders/?page_size=1'
	expect_json '"\(.count) \(.results[0].id)"' "2 $second"
	[[ $(json .next) == *page=2* ]]
	TOKEN=$buyer api GET '/api/v1/orders/?page_size=1&page=2'
	expect_json '.results[0].id' "$first"
	TOKEN=$buyer api GET '/api/v1/orders/?page=3&page_size=1'
	expect_problem 404 not_found
	for wrong in status=sold payment_status=maybe created_after=yesterday user_id=me 'status=pending&status=pending'; do
		TOKEN=$buyer api GET "/api/v1/orders/?$wrong"
		expect_problem 400 invalid
	done
}

@test "without items the cart is ordered, and what was ordered leaves it" {
	local one two
	one=$(new_product '{"price":"3.00"}') two=$(new_product '{"price":"4.00"}')
	place '{}'
	expect_problem 400 invalid
	expect_json '.errors.items|length' 1
	TOKEN=$buyer api POST /api/v1/cart/items/ "{\"product_id\":$one,\"quantity\":2}"
	expect_status 201
	place '{"payment_method":"pm_card_visa"}'
	expect_status 201
	local id
	id=$(json .id)
	expect_json '"\(.status) \(.total)"' "confirmed 6.00"
	TOKEN=$buyer api POST /api/v1/cart/items/ "{\"product_id\":$two,\"quantity\":1}"
	cart_holds() {
		TOKEN=$buyer api GET /api/v1/cart/ && [[ $(json '.items|map(.product_id)|join(" ")') == "$1" ]]
	}
	wait_for 60 settled "$id"
	cart_holds "$two"
	# Items of the body leave the cart alone.
	place "$(paid_with pm_card_visa "$two" 1)"
	expect_status 201
	wait_for 60 settled "$(json .id)"
	cart_holds "$two"
}

@test "an order that makes no sense is refused, every fault under its field" {
	local product varied variant yen hidden
	product=$(new_product)
	varied=$(new_product '{"stock_quantity":null,"variants":[{"name":"Blue","stock_quantity":5}]}' || true)
	yen=$(new_product '{"currency":"JPY","price":"500"}')
	hidden=$(new_product '{"is_active":false}')
	TOKEN=$(staff_token) api GET "/api/v1/products/$varied/"
	variant=$(json '.variants[0].id')

	place "{\"items\":[{\"product_id\":$product,\"quantity\":1},{\"product_id\":999999999,\"quantity\":1},
		{\"product_id\":$varied,\"quantity\":1},{\"product_id\":$varied,\"variant_id\":999999999,\"quantity\":1},
		{\"product_id\":$hidden,\"quantity\":1}]}"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' "items[1].product_id items[2].variant_id items[3].variant_id items[4].product_id"
	place "{\"items\":[{\"product_id\":$varied,\"variant_id\":$variant,\"quantity\":1}]}"
	expect_status 201
	expect_json '.items[0].variant_id' "$variant"
	place "$(lines "$product" 1 "$yen" 1)"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' items
	for wrong in '{"items":[]}' '{"items":[{"quantity":1}]}' '{"items":"all"}' '{"items":[1]}' \
		"$(lines "$product" 0)" "$(lines "$product" 10001)" "$(lines "$product" 1.5)" "$(lines "$product" 9999 "$product" 2)" \
		"$(lines "$product" 1 | jq -c '. + {notes: 5}')" "$(lines "$product" 1 | jq -c '. + {discount: "5.00"}')" \
		"$(lines "$product" 1 | jq -c '. + {payment_method: "pm card"}')" \
		"$(lines "$product" 1 | jq -c '. + {expected_total: "10.001"}')" \
		"$(lines "$product" 1 | jq -c '.items = [range(101) as $i | .items[0]]')"; do
		place "$wrong"
		expect_problem 400 invalid
	done
	place "$(lines "$product" 1 | jq -c '. + {notes: "4242 4242 4242 4242"}')"
	expect_problem 400 card_number_refused
	TOKEN=$buyer api POST /api/v1/orders/ '{"items":' --header "Idempotency-Key: $(idem)"
	expect_problem 400 parse_error
	TOKEN=$buyer api POST /api/v1/orders/ "$(lines "$product" 1)"
	expect_problem 400 idempotency_key_required
	TOKEN=$buyer api GET '/api/v1/orders/?status=pending'
	expect_json .count 1
	[[ $(stock "$product") == 10 ]]
}

# keep_address TOKEN: adds an address of that user's; sets kept, its id.
keep_address() {
	TOKEN=$1 api POST /api/v1/auth/addresses/ "$(jq -c '.city = "Own City"' <<<"$address")"
	expect_status 201
	kept=$(json .id)
}

@test "an address is the buyer's own, or written out" {
	local product own foreign placed
	product=$(new_product)
	keep_address "$(user_token stranger)"
	foreign=$kept
	keep_address "$buyer"
	own=$kept

	place "$(lines "$product" 1 | jq -c --argjson address "$body" '. + {shipping_address: $address}')"
	expect_status 201
	expect_json '"\(.shipping_address.city) \(.shipping_address|has("id"))"' "Own City false"
	place "$(lines "$product" 1 | jq -c ". + {shipping_address: \"none\", shipping_address_id: $own}")"
	expect_status 201
	expect_json '"\(.shipping_address.city) \(.billing_address.city)"' "Own City Own City"
	# The order keeps its copies, whatever becomes of the address and of its owner's e-mail.
	placed=$body
	TOKEN=$buyer api PUT "/api/v1/auth/addresses/$own/" "$(jq -c '.city = "New City"' <<<"$address")"
	expect_status 200
	TOKEN=$buyer api PATCH /api/v1/auth/profile/ \
		"{\"email\":\"new-$(user_field buyer .user.email)\",\"current_password\":\"$(user_field buyer .password)\"}"
	expect_status 200
	show "$(jq .id <<<"$placed")"
	[[ $body == "$placed" ]]
	TOKEN=$buyer api DELETE "/api/v1/auth/addresses/$own/"
	expect_status 204
	show "$(jq .id <<<"$placed")"
	[[ $body == "$placed" ]]
	place "$(lines "$product" 1 | jq -c ". + {billing_address: ($address + {city: \"Elsewhere\"})}")"
	expect_status 201
	expect_json '"\(.shipping_address.city) \(.billing_address.city)"' "Springfield Elsewhere"
	place "$(lines "$product" 1 | jq -c ". + {shipping_address: \"none\", shipping_address_id: $foreign}")"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' shipping_address_id
	place "$(lines "$product" 1 | jq -c ". + {shipping_address: \"none\", shipping_address_id: $own}")"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' shipping_address_id
	keep_address "$buyer"
	own=$kept
	place "$(lines "$product" 1 | jq -c ". + {shipping_address_id: $own}")"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' shipping_address_id
	place "$(lines "$product" 1 | jq -c '. + {shipping_address: "none"}')"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' shipping_address
	place "$(lines "$product" 1 | jq -c ". + {billing_address: ($address + {country: \"us\"})}")"
	expect_status 201
	expect_json .billing_address.country US
	place "$(lines "$product" 1 | jq -c ". + {billing_address: ($address + {country: \"ZZ\"})}")"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' billing_address.country
	place "$(lines "$product" 1 | jq -c '. + {shipping_address: {name: "A"}}')"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' \
		"shipping_address.city shipping_address.country shipping_address.line1 shipping_address.postal_code"
}

@test "what was read can be sent back, and nothing else can" {
	local product first fault
	product=$(new_product)
	place "$(paid_with pm_card_visa "$product" 2)"
	expect_status 201
	first=$body
	place "$first"
	expect_status 201
	[[ $(json .id) != "$(jq -r .id <<<"$first")" && $(json .number) != "$(jq -r .number <<<"$first")" ]]
	expect_json '"\(.status) \(.total) \(.items|map(.quantity)|join(" "))"' "pending 20.00 2"
	for fault in '{"state":"paid"}' '{"items":[{"product_id":1,"quantity":1,"price":"0.01"}]}' \
		'{"shipping_address":{"name":"A","line1":"1","city":"B","postal_code":"1","country":"US","planet":"Mars"}}'; do
		place "$(jq -c --argjson fault "$fault" '. + $fault' <<<"$first")"
		expect_problem 400 invalid
		expect_json '.errors|length' 1
	done
	[[ $(stock "$product") == 6 ]]
}

@test "equal lines are one, and the order keeps its prices" {
	local product id
	product=$(new_product '{"price":"2.50"}')
	place "$(lines "$product" 1 "$product" 3)"
	expect_status 201
	id=$(json .id)
	expect_json '.items|map("\(.quantity) \(.total)")|join(",")' "4 10.00"
	[[ $(stock "$product") == 6 ]]
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/" '{"price":"99.00","name":"Renamed"}'
	show "$id"
	expect_json '"\(.total) \(.items[0].unit_price)"' "10.00 2.50"
	[[ $(json '.items[0].name') != Renamed ]]
}

@test "the total is the one that was expected, and can be charged" {
	local product cheap free
	product=$(new_product '{"price":"19.99"}') cheap=$(new_product '{"price":"0.49"}') free=$(new_product '{"price":"0.00"}')
	place "$(lines "$product" 1 | jq -c '. + {expected_total: "19.98"}')"
	expect_problem 409 price_changed
	expect_json '"\(.total) \(.currency)"' "19.99 USD"
	place "$(lines "$product" 1 | jq -c '. + {expected_total: 19.99}')"
	expect_status 201
	local yen
	yen=$(new_product '{"price":"500","currency":"JPY"}')
	for expected in '"500"' 500 500.0; do
		place "$(lines "$yen" 1 | jq -c ". + {expected_total: $expected}")"
		expect_status 201
		expect_json '"\(.total) \(.currency)"' "500 JPY"
	done
	place "$(lines "$yen" 1 | jq -c '. + {expected_total: 499}')"
	expect_problem 409 price_changed
	expect_json '"\(.total) \(.currency)"' "500 JPY"
	for expected in '"500.5"' 500.5 '"500.0"' '"500.00"'; do
		place "$(lines "$yen" 1 | jq -c ". + {expected_total: $expected}")"
		expect_problem 400 invalid
		expect_json '.errors|keys|join(" ")' expected_total
	done
	place "$(lines "$cheap" 1)"
	expect_problem 400 amount_too_small
	place "$(lines "$free" 1 | jq -c '. + {payment_method: "pm_card_visa"}')"
	expect_status 201
	expect_json '"\(.status) \(.payment_status) \(.total)"' "confirmed paid 0.00"
	[[ $(taken "$(json .id)") == 0 ]]
	[[ $(stock "$cheap") == 10 ]]
}

@test "the total comes in steps that Stripe can charge" {
	local fils tens ariary
	fils=$(new_product '{"price":"1.255","currency":"KWD"}') tens=$(new_product '{"price":"1.250","currency":"KWD"}')
	ariary=$(new_product '{"price":"5000.50","currency":"MGA"}')
	for product in "$fils" "$ariary"; do
		place "$(lines "$product" 1)"
		expect_problem 400 invalid
		expect_json '.errors|keys|join(" ")' items
		place "$(paid_with pm_card_visa "$product" 2)"
		expect_status 201
	done
	place "$(paid_with pm_card_visa "$tens" 1)"
	expect_status 201
	expect_json '"\(.status) \(.total)"' "confirmed 1.250"
	[[ $(taken "$(json .id)") == 1250 && $(stock "$fils") == 8 ]]
}

@test "what is not in stock is refused, and nothing is left behind" {
	local plenty rare before
	plenty=$(new_product) rare=$(new_product '{"stock_quantity":2}')
	before=$(psql_as orders "SELECT count(*) FROM orders_order")
	place "$(lines "$plenty" 1 "$rare" 3)"
	expect_problem 409 insufficient_stock
	expect_json '.items|map("\(.product_id) \(.variant_id) \(.requested) \(.available)")|join(",")' "$rare null 3 2"
	[[ $(stock "$plenty") == 10 && $(stock "$rare") == 2 ]]
	[[ $(psql_as orders "SELECT count(*) FROM orders_order") == "$before" ]]
	[[ $(psql_as orders "SELECT count(*) FROM orders_saga WHERE user_id = $(user_field buyer .user.id) AND state <> 'undone'") == 0 ]]
	place "$(lines "$plenty" 1 "$rare" 2)"
	expect_status 201
}

@test "the same key gives the same order, another body is refused" {
	local product key first
	product=$(new_product) key=$(idem)
	place "$(lines "$product" 1)"
	expect_status 201
	first=$body
	place "$(lines "$product" 1)"
	expect_status 201
	expect_header Idempotent-Replayed true
	[[ $body == "$first" ]]
	place "$(lines "$product" 2)"
	expect_problem 422 idempotency_key_reused
	# A refused request leaves no key behind.
	key=$(idem)
	place "$(lines "$product" 100)"
	expect_problem 409 insufficient_stock
	place "$(lines "$product" 1)"
	expect_status 201
	[[ $(stock "$product") == 8 ]]
}

@test "an order is paid at once" {
	local product id key
	product=$(new_product '{"price":"19.99"}') key=$(idem)
	place "$(paid_with pm_card_visa "$product" 2)"
	expect_status 201
	id=$(json .id)
	expect_json '"\(.status) \(.payment_status) \(.payment.status) \(.reserved_until)"' "confirmed paid succeeded null"
	expect_json '.payment.id == .payment_id' true
	expect_json '.allowed_actions|join(" ")' cancel
	[[ $(taken "$id") == 3998 ]]
	[[ $(stock "$product") == 8 ]]
	place "$(paid_with pm_card_visa "$product" 2)"
	expect_status 201
	expect_header Idempotent-Replayed true
	[[ $(taken "$id") == 3998 ]]
	wait_for 60 settled "$id"
	[[ $(psql_as products "SELECT state FROM products_reservation WHERE order_id = $id") == committed ]]
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.history|map("\(.status) \(.actor)")|join(",")' "pending customer,confirmed system"
	pay "$id" pm_card_visa
	expect_problem 409 order_not_payable
	[[ $(taken "$id") == 3998 ]]
}

@test "a declined order stays and is paid with another card" {
	local product id key
	product=$(new_product) key=$(idem)
	place "$(paid_with pm_card_visa_chargeDeclinedInsufficientFunds "$product" 1)"
	expect_problem 402 card_declined
	expect_json .decline_code insufficient_funds
	id=$(json .order_id)
	[[ $(json .payment_id) =~ ^[0-9]+$ ]]
	place "$(paid_with pm_card_visa_chargeDeclinedInsufficientFunds "$product" 1)"
	expect_problem 402 card_declined
	expect_header Idempotent-Replayed true
	expect_json .order_id "$id"
	# Nor is there a second attempt where the answer was lost with its worker.
	psql_as orders "DELETE FROM idempotency_key WHERE key = '$key'"
	place "$(paid_with pm_card_visa_chargeDeclinedInsufficientFunds "$product" 1)"
	expect_problem 402 card_declined
	expect_json '"\(.order_id) \(.decline_code)"' "$id insufficient_funds"
	[[ $(psql_as payments "SELECT count(*) FROM payments_attempt a JOIN payments_transaction t ON t.id = a.transaction_id
		WHERE t.order_id = $id") == 1 ]]
	show "$id"
	expect_json '"\(.status) \(.payment_status)"' "pending failed"
	expect_json '.allowed_actions|join(" ")' "cancel pay"
	pay "$id" pm_card_visa
	expect_status 201
	show "$id"
	expect_json '"\(.status) \(.payment_status)"' "confirmed paid"
	[[ $(taken "$id") == 1000 && $(stock "$product") == 9 ]]
}

@test "an order that needs the customer's consent waits for it" {
	local product id intent
	product=$(new_product)
	place "$(paid_with pm_card_authenticationRequired "$product" 1)"
	expect_status 201
	id=$(json .id)
	expect_json '"\(.status) \(.payment_status) \(.payment.status)"' "pending requires_payment requires_action"
	[[ $(json .payment.client_secret) == pi_*_secret_* && $(json .payment.next_action.type) != null ]]
	expect_json '.allowed_actions|join(" ")' "cancel pay"
	intent=$(json .payment.client_secret) intent=${intent%_secret_*}
	curl --silent --fail --data-binary "{\"payment_intent\":\"$intent\",\"result\":\"ok\"}" \
		"$STRIPE_STANDIN_URL/_fake/authenticate" >/dev/null
	wait_for 60 order_is "$id" status confirmed
	show "$id"
	expect_json .payment_status paid
}

@test "what is no payment method leaves no order" {
	local product key
	product=$(new_product) key=$(idem)
	place "$(paid_with pm_none_such "$product" 1)"
	expect_problem 400 invalid
	expect_json '.errors|keys|join(" ")' payment_method
	[[ $(stock "$product") == 10 ]]
	TOKEN=$buyer api GET '/api/v1/orders/?status=pending'
	expect_json .count 0
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_status 201
	[[ $(stock "$product") == 9 ]]
}

@test "an outcome that nobody saw is 202, and settled later" {
	local product id
	product=$(new_product)
	stripe_goes_dark
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_status 202
	id=$(json .id)
	expect_json '"\(.status) \(.payment_status) \(.payment.status)"' "pending processing unknown"
	expect_json '.allowed_actions|join(" ")' cancel
	pay "$id" pm_card_visa
	expect_problem 409 payment_in_progress
	# Its time is up, but money may be on its way: the clock runs on.
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second' WHERE id = $id"
	runs_on() {
		relay && [[ $(psql_as orders "SELECT reserved_until > now() FROM orders_order WHERE id = $id") == t ]]
	}
	wait_for 60 runs_on
	show "$id"
	expect_json .status pending
	scenario '{}' >/dev/null
	reconcile() { relay && order_is "$id" status confirmed; }
	wait_for 60 reconcile
	[[ $(taken "$id") == 1000 ]]
}

@test "Stripe that does not answer in time is 202, within the gateway's patience" {
	local product id
	product=$(new_product)
	scenario '{"rules":[{"match":{"method":"POST","path":"/v1/payment_intents","times":-1},
		"do":{"fault":"latency","ms":40000,"when":"after"}}],"webhooks":{"mode":"off"}}' >/dev/null
	place "$(paid_with pm_card_visa "$product" 1)"
	# Who took longer would have a 504 of the gateway.
	expect_status 202
	id=$(json .id)
	expect_json '"\(.status) \(.payment.status)"' "pending unknown"
	scenario '{}' >/dev/null
	reconcile() { relay && order_is "$id" status confirmed; }
	wait_for 60 reconcile
	[[ $(taken "$id") == 1000 ]]
}

@test "an attempt that stays open for a day expires, and its money goes back" {
	local product id
	product=$(new_product)
	stripe_goes_dark
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_status 202
	id=$(json .id)
	psql_as orders "UPDATE orders_order SET created_at = now() - interval '25 hours', reserved_until = now() - interval '1 hour' WHERE id = $id"
	expired() { relay && order_is "$id" status expired; }
	wait_for 60 expired
	scenario '{}' >/dev/null
	given_back() { relay && [[ $(charges "$id") == "1000 1000" ]]; }
	wait_for 60 given_back
	wait_for 60 order_is "$id" payment_status refunded
	wait_for 60 stock_is "$product" 10
}

@test "money that comes for an order that has ended goes back" {
	local product id
	product=$(new_product)
	stripe_goes_dark
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_status 202
	id=$(json .id)
	# Nobody told payments.
	psql_as orders "SELECT expire_order($id)" >/dev/null
	scenario '{}' >/dev/null
	given_back() { relay && [[ $(charges "$id") == "1000 1000" ]]; }
	wait_for 60 given_back
	wait_for 60 order_is "$id" payment_status refunded
	expect_json .status expired
	wait_for 60 nothing_due "$id"
}

@test "cancelled before it is paid: the stock is back and nothing can be charged" {
	local product id
	product=$(new_product)
	place "$(lines "$product" 3)"
	id=$(json .id)
	[[ $(stock "$product") == 7 ]]
	cancel "$id" '{"reason":"changed my mind"}'
	expect_status 200
	expect_json '"\(.status) \(.fulfillment_status) \(.reserved_until)"' "cancelled cancelled null"
	expect_json '.allowed_actions|length' 0
	wait_for 60 stock_is "$product" 10
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.history|map("\(.status) \(.actor) \(.note)")|join(",")' "pending customer ,cancelled customer changed my mind"
	cancel "$id"
	expect_status 200
	TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
	expect_json '.history|length' 2
	pay "$id" pm_card_visa
	expect_problem 409 order_not_payable
	[[ $(taken "$id") == 0 && $(stock "$product") == 10 ]]
	cancel "$id" '{"because":"x"}'
	expect_problem 400 invalid
	cancel 999999999
	expect_problem 404 not_found
}

@test "cancelled after it was paid: the money goes back once" {
	local product id
	product=$(new_product)
	place "$(paid_with pm_card_visa "$product" 2)"
	id=$(json .id)
	TOKEN=$buyer api PUT "/api/v1/orders/$id/cancel/"
	expect_status 200
	expect_json .status cancelled
	wait_for 60 stock_is "$product" 10
	given_back() { relay && [[ $(charges "$id") == "2000 2000" ]]; }
	wait_for 60 given_back
	wait_for 60 order_is "$id" payment_status refunded
	cancel "$id"
	expect_status 200
	relay
	[[ $(ledger "[.entries[]|select(.kind == \"executed\" and .order_id == \"$id\" and .refund)]|length") == 1 ]]
	wait_for 60 nothing_due "$id"
}

@test "a refund that fails does not make the order ask for another, and another" {
	local product id
	product=$(new_product)
	place "$(paid_with pm_card_refundFail "$product" 1)"
	expect_status 201
	id=$(json .id)
	scenario '{"settle_ms":100}' >/dev/null
	cancel "$id"
	expect_status 200
	refunds() { psql_as payments "SELECT count(*) FROM payments_refund r JOIN payments_transaction t
		ON t.id = r.transaction_id WHERE t.order_id = $id ${1-}"; }
	one_failed() { relay && [[ $(refunds "AND r.status = 'failed'") -ge 1 ]]; }
	wait_for 60 one_failed
	for _ in 1 2 3 4 5; do
		relay
		sleep 0.5
	done
	[[ $(refunds) -le 2 ]] || complain "$(refunds) refunds"
	wait_for 60 order_is "$id" payment_status paid
	kept() { [[ $(charges "$id") == "1000 0" ]]; }
	wait_for 60 kept
	# Payments goes on by itself, in its own time.
	scenario '{"settle_ms":-1}' >/dev/null
	psql_owner "SET session_replication_role = replica; UPDATE payments.payments_transaction
		SET updated_at = now() - interval '5 minutes' WHERE order_id = $id"
	given_back() { relay && [[ $(charges "$id") == "1000 1000" ]]; }
	wait_for 60 given_back
	wait_for 60 order_is "$id" payment_status refunded
}

@test "the owner cancels until it is packed, staff until it has shipped" {
	local product id item staff
	product=$(new_product) staff=$(staff_token)
	for shipped in false true; do
		place "$(paid_with pm_card_visa "$product" 2)"
		id=$(json .id) item=$(json '.items[0].id')
		TOKEN=$staff api POST "/api/v1/orders/$id/status/" '{"status":"processing"}'
		expect_status 200
		cancel "$id"
		expect_problem 409 invalid_transition
		expect_json '"\(.from) \(.to) \(.allowed|length)"' "processing cancelled 0"
		show "$id"
		expect_json '.allowed_actions|length' 0
		if $shipped; then
			TOKEN=$staff api POST "/api/v1/orders/$id/shipments/" \
				"{\"carrier\":\"UPS\",\"items\":[{\"order_item_id\":$item,\"quantity\":1}]}"
			expect_status 201
			TOKEN=$staff api PUT "/api/v1/orders/$id/cancel/" '{}'
			expect_problem 409 invalid_transition
			expect_json '.allowed|join(" ")' shipped
			TOKEN=$staff api GET "/api/v1/orders/$id/"
			expect_json '.allowed_actions|join(" ")' ship
			expect_json '"\(.status) \(.payment_status)"' "processing paid"
		else
			TOKEN=$staff api PUT "/api/v1/orders/$id/cancel/" '{"reason":"out of order"}'
			expect_status 200
			expect_json .status cancelled
			TOKEN=$buyer api GET "/api/v1/orders/$id/track/"
			expect_json '.history[-1]|"\(.status) \(.actor) \(.note)"' "cancelled staff out of order"
		fi
	done
}

@test "an unpaid order expires when its reservation runs out" {
	local product id
	product=$(new_product)
	place "$(lines "$product" 4)"
	id=$(json .id)
	internal GET due
	[[ $(json ".orders|index($id)") == null ]]
	# The relay that runs beside may be faster: due lists the order, or it is settled.
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second' WHERE id = $id"
	due_or_done() {
		internal GET due
		expect_status 200
		[[ $(json ".orders|index($id)") != null ]] || order_is "$id" status expired
	}
	wait_for 60 due_or_done
	expired() { relay && order_is "$id" status expired; }
	wait_for 60 expired
	expect_json .fulfillment_status cancelled
	wait_for 60 stock_is "$product" 10
	pay "$id" pm_card_visa
	expect_problem 409 order_not_payable
	cancel "$id"
	expect_problem 409 invalid_transition
	[[ $(taken "$id") == 0 ]]
}

@test "an order that was paid after all is confirmed, not expired" {
	local product id intent
	product=$(new_product)
	place "$(paid_with pm_card_authenticationRequired "$product" 1)"
	id=$(json .id)
	intent=$(json .payment.client_secret) intent=${intent%_secret_*}
	scenario '{"webhooks":{"mode":"off"}}' >/dev/null
	curl --silent --fail --data-binary "{\"payment_intent\":\"$intent\",\"result\":\"ok\"}" \
		"$STRIPE_STANDIN_URL/_fake/authenticate" >/dev/null
	psql_as orders "UPDATE orders_order SET reserved_until = now() - interval '1 second' WHERE id = $id"
	late() { relay && order_is "$id" status confirmed; }
	wait_for 60 late
	[[ $(taken "$id") == 1000 && $(stock "$product") == 9 ]]
}

@test "a refund that payments could not be asked for is asked for later" {
	local product id
	product=$(new_product)
	place "$(paid_with pm_card_visa "$product" 1)"
	id=$(json .id)
	# As cancelling leaves it when payments is away.
	psql_as orders "SELECT cancel_order($id, NULL, 'staff', 'payments away')" >/dev/null
	given_back() { relay && [[ $(charges "$id") == "1000 1000" ]]; }
	wait_for 60 given_back
	wait_for 60 order_is "$id" payment_status refunded
	wait_for 60 nothing_due "$id"
}

@test "a checkout that was given up lets its stock go" {
	local product id
	product=$(new_product)
	# The instance's own relay is not to come between.
	id=$(psql_as orders "INSERT INTO orders_saga (user_id, request, quote, state)
		VALUES (1, '{}', '{}', 'undone') RETURNING order_id")
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$PRODUCTS_SERVICE_URL/internal/v1/reservations" \
		"{\"order_id\":$id,\"items\":[{\"product_id\":$product,\"quantity\":6}]}"
	expect_status 201
	[[ $(stock "$product") == 4 ]]
	psql_as orders "UPDATE orders_saga SET state = 'undoing' WHERE order_id = $id"
	relay
	wait_for 60 stock_is "$product" 10
	[[ $(psql_as orders "SELECT state FROM orders_saga WHERE order_id = $id") == undone ]]
	# One that is still at work is left alone; one that nobody touched for long is not.
	id=$(psql_as orders "INSERT INTO orders_saga (user_id, request, quote) VALUES (1, '{}', '{}') RETURNING order_id")
	internal POST "run/$id" '{}'
	expect_json .state reserving
	psql_as orders "UPDATE orders_saga SET updated_at = now() - interval '1 minute' WHERE order_id = $id"
	internal POST "run/$id" '{}'
	expect_json .state undone
	internal POST run/999999999 '{}'
	expect_problem 404 not_found
}

@test "who may not pay an order does not start its clock again" {
	local product id until
	product=$(new_product)
	place "$(lines "$product" 1)"
	id=$(json .id)
	psql_as orders "UPDATE orders_order SET reserved_until = now() + interval '60 seconds' WHERE id = $id"
	clock() { psql_as orders "SELECT reserved_until FROM orders_order WHERE id = $id"; }
	until=$(clock)
	TOKEN=$(user_token stranger) api POST /api/v1/payments/process/ \
		"{\"order_id\":$id,\"payment_method\":\"pm_card_visa\"}" --header "Idempotency-Key: $(idem)"
	expect_problem 404 not_found
	[[ $(clock) == "$until" ]]
	internal GET "orders/$id/payable?user_id=$(user_field stranger .user.id)"
	expect_problem 404 not_found
	[[ $(clock) == "$until" ]]
	pay "$id" pm_card_chargeDeclined
	expect_problem 402 card_declined
	[[ $(clock) != "$until" ]]
}

@test "siblings ask what is payable, what was bought, and tell what was paid" {
	local product id payment
	product=$(new_product)
	place "$(lines "$product" 1)"
	id=$(json .id)
	psql_as orders "UPDATE orders_order SET reserved_until = now() + interval '60 seconds' WHERE id = $id"
	internal GET "orders/$id/payable"
	expect_status 200
	expect_json '"\(.order_id) \(.user_id) \(.amount) \(.currency) \(.state)"' "$id $(user_field buyer .user.id) 1000 USD payable"
	[[ $(psql_as orders "SELECT reserved_until > now() + interval '10 minutes' FROM orders_order WHERE id = $id") == t ]]
	internal GET orders/999999999/payable
	expect_problem 404 not_found
	internal GET "purchases?user_id=$(user_field buyer .user.id)&product_id=$product"
	expect_json .purchased false

	event() { # VERSION CAPTURED [CURRENCY]
		echo "{\"event_id\":\"$(</proc/sys/kernel/random/uuid)\",\"type\":\"payment.updated\",\"aggregate_id\":$id,
			\"version\":$1,\"payload\":{\"order_id\":$id,\"payment_id\":77,\"status\":\"$([[ $2 == 1000 ]] && echo succeeded || echo pending)\",
			\"amount\":1000,\"currency\":\"${3:-USD}\",\"captured\":$2,\"refunded\":0}}"
	}
	internal POST events "$(event 2 0)"
	expect_json .applied true
	show "$id" && expect_json .payment_status processing
	internal POST events "$(event 5 1000 EUR)"
	expect_json .applied false
	# An id that would pass for a card number is none when a sibling says it.
	payment=$(event 3 1000 | jq -c '.event_id = "046b70f6-8070-4330-9584-5f230c6541fa" | .event_id |= sub("6541fa"; "'"$(random 3)"'")')
	internal POST events "$payment"
	expect_json .applied true
	show "$id" && expect_json '"\(.status) \(.payment_status) \(.payment_id)"' "confirmed paid 77"
	internal POST events "$payment"
	expect_json .applied false
	internal POST events "$(event 1 0)"
	expect_json .applied false
	show "$id" && expect_json .payment_status paid
	internal POST events '{"event_id":"no","type":"payment.updated"}'
	expect_problem 400 invalid
	internal GET "orders/$id/payable"
	expect_json .state paid
	internal GET "purchases?user_id=$(user_field buyer .user.id)&product_id=$product"
	expect_json .purchased true
	# Nobody paid in truth, and `arnova verify` would say so.
	cancel "$id"
	expect_status 200

	for path in "orders/$id/payable" due "purchases?user_id=1&product_id=1"; do
		TOKEN=$buyer api GET "$ORDERS_SERVICE_URL/internal/v1/$path"
		expect_status 401 403
		api GET "/internal/v1/$path"
		expect_status 404
	done
}

@test "told first of what was given back, and then that it was paid: confirmed all the same" {
	local product id refunded
	product=$(new_product)
	for refunded in 300 1000; do
		place "$(lines "$product" 1)"
		id=$(json .id)
		# The news of before was refused so often that it was set aside.
		event() { # VERSION REFUNDED
			echo "{\"event_id\":\"$(</proc/sys/kernel/random/uuid)\",\"type\":\"payment.updated\",\"aggregate_id\":$id,
				\"version\":$1,\"payload\":{\"order_id\":$id,\"payment_id\":78,\"status\":\"succeeded\",\"amount\":1000,
				\"currency\":\"USD\",\"captured\":1000,\"refunded\":$2}}"
		}
		internal POST events "$(event 7 $refunded)"
		expect_json .applied true
		internal POST events "$(event 3 0)"
		expect_json .applied false
		show "$id"
		expect_json '"\(.status) \(.payment_status)"' "confirmed $([[ $refunded == 300 ]] && echo partially_refunded || echo refunded)"
		# Nobody paid in truth, and `arnova verify` would say so.
		cancel "$id"
		expect_status 200
	done
}

@test "while products fails nothing is sold, and the retry begins anew" {
	local product key
	product=$(new_product) key=$(idem)
	break_down products
	place "$(lines "$product" 1)"
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	TOKEN=$buyer api GET /api/v1/orders/
	expect_json .count 0
	mend
	place "$(lines "$product" 1)"
	expect_status 201
	TOKEN=$buyer api GET /api/v1/orders/
	expect_json .count 1
	# What became of the first hold is unknown, so it is let go of all the same.
	undone() {
		relay && [[ $(psql_as orders "SELECT string_agg(state, ' ' ORDER BY order_id) FROM orders_saga
			WHERE user_id = $(user_field buyer .user.id)") == "undone placed" ]]
	}
	wait_for 60 undone
	[[ $(stock "$product") == 9 ]]
	[[ $(psql_as products "SELECT state FROM products_reservation WHERE order_id = $(psql_as orders "SELECT min(order_id)
		FROM orders_saga WHERE user_id = $(user_field buyer .user.id)")") == released ]]
}

@test "while payments fails the order waits, and the retry pays it" {
	local product key id
	product=$(new_product) key=$(idem)
	break_down payments
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_problem 503 upstream_unavailable
	TOKEN=$buyer api GET /api/v1/orders/
	expect_json '"\(.count) \(.results[0].status)"' "1 pending"
	id=$(json '.results[0].id')
	mend
	place "$(paid_with pm_card_visa "$product" 1)"
	expect_status 201
	expect_json '"\(.id) \(.status)"' "$id confirmed"
	[[ $(taken "$id") == 1000 ]]
	# Cancelling does not wait for payments either.
	break_down payments
	cancel "$id"
	expect_status 200
	expect_json .status cancelled
	wait_for 60 stock_is "$product" 10
	[[ $(charges "$id") == "1000 0" ]]
	mend
	given_back() { relay && [[ $(charges "$id") == "1000 1000" ]]; }
	wait_for 60 given_back
	wait_for 60 nothing_due "$id"
}

@test "a worker that is killed in the middle leaves one order and one charge to its retry" {
	local product key id before
	product=$(new_product) key=$(idem)
	before=$(ledger '.entries|length')
	scenario '{"rules":[{"match":{"method":"POST","path":"/v1/payment_intents"},
		"do":{"fault":"latency","ms":2000,"when":"before"}}]}' >/dev/null
	place "$(paid_with pm_card_visa "$product" 1)" 3>&- &
	charging() { [[ $(ledger '.entries|length') != "$before" ]]; }
	wait_for 60 charging
	# shellcheck disable=SC2046
	kill -9 $(workers orders)
	wait $!
	# His connection ends with him, soon, and the lock of his key with it.
	retried() { place "$(paid_with pm_card_visa "$product" 1)" && expect_status 201 202; }
	wait_for 60 retried
	id=$(json .id)
	wait_for 60 order_is "$id" status confirmed
	[[ $(psql_as orders "SELECT count(*) FROM orders_order WHERE user_id = $(user_field buyer .user.id)") == 1 ]]
	[[ $(taken "$id") == 1000 && $(stock "$product") == 9 ]]
}

@test "a checkout that was killed before its order goes on, or begins anew" {
	local product key id
	product=$(new_product) key=$(idem)
	# As a worker leaves it that is killed before the hold: no answer under the key, a saga.
	place "$(lines "$product" 1)"
	id=$(json .id)
	forget() {
		psql_as orders "DELETE FROM idempotency_key WHERE key = '$key';
			DELETE FROM orders_orderhistory WHERE order_id = $1; DELETE FROM orders_orderitem WHERE order_id = $1;
			DELETE FROM orders_order WHERE id = $1; UPDATE orders_saga SET state = '$2' WHERE order_id = $1"
	}
	forget "$id" reserving
	place "$(lines "$product" 1)"
	expect_status 201
	expect_json .id "$id"
	[[ $(stock "$product") == 9 ]]
	# Undone meanwhile: another order, under the same key.
	forget "$id" undoing
	place "$(lines "$product" 1)"
	expect_status 201
	[[ $(json .id) != "$id" ]]
	relay
	wait_for 60 stock_is "$product" 9
	# Another body does not continue the checkout of this one.
	psql_as orders "DELETE FROM idempotency_key WHERE key = '$key'"
	place "$(lines "$product" 2)"
	expect_problem 422 idempotency_key_reused
}

# The state of the order's hold, none without one.
hold_of() { # ORDER
	psql_as products "SELECT coalesce((SELECT state FROM products_reservation WHERE order_id = $1), 'none')"
}

# The order of $buyer's last checkout, which may have come to nothing.
last_saga() {
	psql_as orders "SELECT max(order_id) FROM orders_saga WHERE user_id = $(user_field buyer .user.id)"
}

@test "a hold that is refused when asked for again is undone: the first may still arrive" {
	local product key id
	product=$(new_product '{"stock_quantity":2}') key=$(idem)
	place "$(lines "$product" 2)"
	id=$(json .id)
	# As a worker leaves it that is killed while its hold is on the way; others buy meanwhile.
	psql_as orders "DELETE FROM idempotency_key WHERE key = '$key'; DELETE FROM orders_orderhistory WHERE order_id = $id;
		DELETE FROM orders_orderitem WHERE order_id = $id; DELETE FROM orders_order WHERE id = $id;
		UPDATE orders_saga SET state = 'reserving' WHERE order_id = $id"
	psql_as products "SELECT release_reservation($id); DELETE FROM products_reservationitem WHERE order_id = $id;
		DELETE FROM products_reservation WHERE order_id = $id" >/dev/null
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/" '{"stock_quantity":1}'
	expect_status 200
	place "$(lines "$product" 2)"
	expect_problem 409 insufficient_stock
	hold_is_undone() { relay && [[ $(hold_of "$id") == released ]]; }
	wait_for 60 hold_is_undone
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$PRODUCTS_SERVICE_URL/internal/v1/reservations" \
		"{\"order_id\":$id,\"items\":[{\"product_id\":$product,\"quantity\":1}]}"
	expect_problem 409 reservation_released
	# Refused at the first try, it has left nothing to undo.
	key=$(idem)
	place "$(lines "$product" 2)"
	expect_problem 409 insufficient_stock
	id=$(last_saga)
	[[ $(psql_as orders "SELECT state FROM orders_saga WHERE order_id = $id") == undone && $(hold_of "$id") == none ]]
}

@test "so it is when its first answer was lost" {
	local product id placing
	product=$(new_product '{"stock_quantity":2}')
	hold products 'LOCK products_reservation' >/dev/null
	waiting() {
		[[ $(psql_owner "SELECT count(*) FROM pg_locks WHERE relation = 'products.products_reservation'::regclass
			AND NOT granted") -gt 0 ]]
	}
	place "$(lines "$product" 3)" 3>&- &
	placing=$!
	wait_for 60 waiting
	# shellcheck disable=SC2046
	kill -9 $(workers products)
	let_go 0
	wait "$placing"
	id=$(last_saga)
	hold_is_undone() { relay && [[ $(hold_of "$id") == released ]]; }
	wait_for 60 hold_is_undone
	[[ $(stock "$product") == 2 ]]
}

# refused CONSTRAINT SQL: the tables themselves refuse it.
refused() {
	local complaint
	complaint=$(psql_as orders "$2" 2>&1) && complain "not refused: $2" && return 1
	[[ $complaint == *"$1"* ]] || complain "expected $1, got $complaint"
}

@test "the tables hold what must hold" {
	local product id item
	product=$(new_product)
	place "$(lines "$product" 1)"
	place "$(lines "$product" 1)"
	id=$(json .id) item=$(json '.items[0].id')
	local order="UPDATE orders_order SET %s WHERE id = $id"
	# shellcheck disable=SC2059
	order() { printf "$order" "$1"; }
	refused order_status_unknown "$(order "status = 'lost'")"
	refused payment_status_unknown "$(order "payment_status = 'maybe'")"
	refused fulfillment_status_unknown "$(order "fulfillment_status = 'maybe'")"
	refused order_currency_malformed "$(order "currency = 'usd'")"
	refused order_total_mismatch "$(order "total = total + 1")"
	refused order_total_negative "$(order "discount_total = -1, total = subtotal + 1")"
	refused order_clock_too_long "$(order "reserved_until = created_at + interval '25 hours'")"
	refused order_not_paid "$(order "status = 'confirmed'")"
	refused number_taken "$(order "number = (SELECT min(number) FROM orders_order WHERE id <> $id)")"
	refused order_lines_mismatch "$(order "subtotal = subtotal + 1, total = total + 1")"
	refused order_lines_mismatch "DELETE FROM orders_orderitem WHERE order_id = $id"
	local line="UPDATE orders_orderitem SET %s WHERE id = $item"
	# shellcheck disable=SC2059
	line() { printf "$line" "$1"; }
	refused item_quantity_out_of_range "$(line "quantity = 0, total = 0")"
	refused item_price_negative "$(line "unit_price = -1, total = -1")"
	refused item_total_mismatch "$(line "total = total + 1")"
	refused quantity_exceeded "$(line "shipped_quantity = 2")"
	refused item_repeated "INSERT INTO orders_orderitem (order_id, product_id, sku, name, quantity, unit_price, total)
		VALUES ($id, $product, '', '', 1, 0, 0)"
	local history="INSERT INTO orders_orderhistory (order_id, from_status, status, actor) VALUES ($id,"
	refused actor_unknown "$history NULL, 'confirmed', 'nobody')"
	refused order_status_repeated "$history NULL, 'pending', 'system')"
	refused invalid_transition "$history 'pending', 'shipped', 'staff')"
	refused invalid_transition "SELECT set_status($id, 'delivered', 'staff')"
	local shipment="INSERT INTO orders_shipment (order_id, carrier, status, delivered_at) VALUES ($id, 'x',"
	refused shipment_status_unknown "$shipment 'sunk', NULL)"
	refused shipment_delivery_mismatch "$shipment 'delivered', NULL)"
	refused shipment_quantity_out_of_range "WITH s AS ($shipment 'shipped', NULL) RETURNING id)
		INSERT INTO orders_shipmentitem SELECT id, $item, 0 FROM s"
	refused saga_state_unknown "UPDATE orders_saga SET state = 'lost' WHERE order_id = $id"
	refused checkout_repeated "INSERT INTO orders_saga (user_id, idempotency_key, request, quote)
		SELECT user_id, idempotency_key, '{}', '{}' FROM orders_saga WHERE order_id = $id"
}
