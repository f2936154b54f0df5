#!/usr/bin/env bats
# cart.bats: the carts of signed-in users; those of guests are in guests.bats.
#
# Guards that no request reaches: cart_of_user, cart_of_guest, cart_has_one_owner, cart_in_use,
# cart_line_taken (upserts go by them), quantity_not_positive (the shape is first),
# price_at_add_negative, price_negative (products has no such price).

load helper

setup() {
	token=$(user_token buyer)
	user=$(user_field buyer .user.id)
}

teardown() {
	products_back
	scenario '{}' >/dev/null
}

# As the buyer.
cart() {
	TOKEN=${somebody_else-$token} api "$1" "/api/v1/cart/$2" "${@:3}"
}

# As a sibling.
internal() {
	TOKEN=${SERVICE_TOKEN%%,*} api "$1" "$CART_SERVICE_URL/internal/v1/$2" "${@:3}"
}

# add PRODUCT QUANTITY [VARIANT]: prints the id of the line.
add() {
	cart POST items/ "{\"product_id\":$1,\"quantity\":$2,\"variant_id\":${3:-null}}"
	expect_status 201 && json .id
}

staff() {
	TOKEN=$(staff_token) api "$1" "/api/v1/products/$2" "${@:3}"
}

# lines: the cart's lines as [[product, variant, quantity],...].
lines() {
	cart GET '' && json '.items | map([.product_id, .variant_id, .quantity]) | tojson'
}

@test "who has no cart sees an empty one" {
	cart GET ''
	expect_status 200
	expect_json .id null
	expect_json '.items | length' 0
	expect_json .item_count 0
	expect_json .subtotal 0.00
	expect_json .currency "${CURRENCY:-USD}"
	expect_json '.changes | length' 0
	expect_json .stale false
	expect_json .updated_at null
	expect_header Cache-Control no-store
}

@test "a visitor's cart is empty" {
	api GET /api/v1/cart/
	expect_status 200
	expect_json '[.id, .items, .item_count, .currency] | tostring' '[null,[],0,"USD"]'
}

@test "a bad token opens no cart, and siblings' routes are for siblings" {
	for route in 'GET ' 'POST items/' 'GET items/1/' 'PUT items/1/' 'DELETE items/1/' 'DELETE clear/' \
		'POST merge/'; do
		TOKEN=nonsense api "${route% *}" "/api/v1/cart/${route#* }"
		expect_problem 401 token_not_valid
	done
	for route in "GET carts/$user/" "POST carts/$user/take/" 'POST events/'; do
		TOKEN=$token api "${route% *}" "$CART_SERVICE_URL/internal/v1/${route#* }"
		expect_problem 403 permission_denied
		api "${route% *}" "$CART_SERVICE_URL/internal/v1/${route#* }"
		expect_problem 401 not_authenticated
		TOKEN=${SERVICE_TOKEN%%,*} api "${route% *}" "/internal/v1/${route#* }"
		expect_status 404
	done
}

@test "what is added can be read back, with products' name, price and stock" {
	product=$(new_product '{"name": "Kettle", "sku": null, "price": "19.99", "stock_quantity": 7}')
	cart POST items/ "{\"product_id\":$product,\"quantity\":2}"
	expect_status 201
	expect_header Location "/api/v1/cart/items/$(json .id)/"
	expect_json 'keys_unsorted | join(" ")' "id product_id variant_id sku name image quantity \
unit_price unit_price_at_add line_total available in_stock"
	item=$body
	cart GET "items/$(json .id)/"
	expect_status 200
	[[ $body == "$item" ]]
	cart GET ''
	expect_status 200
	expect_json 'keys_unsorted | join(" ")' \
		"id items item_count subtotal currency changes stale updated_at"
	expect_json '.items | length' 1
	expect_json '.items[0] | tojson' "$(jq -c . <<<"$item")"
	expect_json '.items[0] | [.product_id, .variant_id, .name, .quantity] | tojson' \
		"[$product,null,\"Kettle\",2]"
	expect_json '.items[0] | [.unit_price, .unit_price_at_add, .line_total] | tojson' \
		'["19.99","19.99","39.98"]'
	expect_json '.items[0] | [.available, .in_stock] | tojson' '[7,true]'
	expect_json '[.item_count, .subtotal, .currency, .stale] | tojson' '[2,"39.98","USD",false]'
	expect_json '.updated_at | test("^[0-9-]{10}T[0-9:.]+Z$")' true
}

@test "the same product again adds up in one line" {
	product=$(new_product)
	first=$(add "$product" 2)
	cart POST items/ "{\"product_id\":$product,\"quantity\":3,\"variant_id\":null}"
	expect_status 201
	expect_json '[.id, .quantity] | tojson' "[$first,5]"
	cart GET ''
	expect_json '.items | length' 1
	expect_json .item_count 5
}

@test "an Idempotency-Key makes a repeated add count once" {
	product=$(new_product)
	key=$(idem)
	cart POST items/ "{\"product_id\":$product,\"quantity\":2}" --header "Idempotency-Key: $key"
	expect_status 201
	first=$body
	cart POST items/ "{\"product_id\":$product,\"quantity\":2}" --header "Idempotency-Key: $key"
	expect_status 201
	expect_header Idempotent-Replayed true
	[[ $body == "$first" ]]
	cart GET ''
	expect_json .item_count 2
}

@test "an unknown, inactive or deleted product is refused under its field" {
	cart POST items/ '{"product_id":900719925474099,"quantity":1}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' product_id
	cart POST items/ '{"product_id":900719925474099,"variant_id":1,"quantity":1}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' product_id
	inactive=$(new_product '{"is_active": false}')
	deleted=$(new_product)
	staff DELETE "$deleted/"
	expect_status 204
	for product in "$inactive" "$deleted"; do
		cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
		expect_problem 400 invalid
		expect_json '.errors | keys | join(" ")' product_id
	done
	cart GET ''
	expect_json .id null
}

@test "a product with variants wants one of them" {
	product=$(new_product '{"stock_quantity": 0}')
	staff POST "$product/variants/" '{"name":"Large","price":"12.50","stock_quantity":4}'
	expect_status 201
	variant=$(json .id)
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' variant_id
	cart POST items/ "{\"product_id\":$product,\"variant_id\":900719925474099,\"quantity\":1}"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' variant_id
	cart POST items/ "{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":2}"
	expect_status 201
	expect_json '[.variant_id, .unit_price, .line_total, .available] | tojson' \
		"[$variant,\"12.50\",\"25.00\",4]"
	# Another product's variant is none.
	cart POST items/ "{\"product_id\":$(new_product),\"variant_id\":$variant,\"quantity\":1}"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' variant_id
	cart POST items/ "{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":3}"
	expect_problem 409 insufficient_stock
	expect_json '.items | tojson' \
		"[{\"available\":4,\"requested\":5,\"product_id\":$product,\"variant_id\":$variant}]"
}

@test "a body of another shape is refused with every bad field" {
	for bad in '{}' '{"product_id":0,"quantity":0}' '{"product_id":"x","quantity":-1}' \
		'{"product_id":1.5,"quantity":1.5}' '{"product_id":null,"quantity":null}' \
		'{"product_id":-1,"quantity":1000001}'; do
		cart POST items/ "$bad"
		expect_problem 400 invalid
		expect_json '.errors | keys | join(" ")' 'product_id quantity'
	done
	cart POST items/ '{"product_id":1,"quantity":1,"colour":"red"}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' colour
	cart POST items/ '{"product_id":1,'
	expect_problem 400 parse_error
	cart PUT items/1/ '{"quantity":-1}'
	expect_problem 400 invalid
	cart PUT items/1/ '{}'
	expect_problem 400 invalid
}

@test "more than is available is refused and changes nothing" {
	product=$(new_product '{"stock_quantity": 5}')
	cart POST items/ "{\"product_id\":$product,\"quantity\":6}"
	expect_problem 409 insufficient_stock
	expect_json '.items | tojson' \
		"[{\"available\":5,\"requested\":6,\"product_id\":$product,\"variant_id\":null}]"
	cart GET ''
	expect_json .id null
	item=$(add "$product" 4)
	cart POST items/ "{\"product_id\":$product,\"quantity\":2}"
	expect_problem 409 insufficient_stock
	expect_json '.items[0].requested' 6
	cart PUT "items/$item/" '{"quantity":6}'
	expect_problem 409 insufficient_stock
	expect_json '.items | tojson' \
		"[{\"available\":5,\"requested\":6,\"product_id\":$product,\"variant_id\":null}]"
	cart GET ''
	expect_json .item_count 4
	staff PATCH "$product/" '{"is_active":false}'
	cart PUT "items/$item/" '{"quantity":1}'
	expect_problem 409 insufficient_stock
	expect_json '.items[0] | [.requested, .available] | tojson' '[1,0]'
}

@test "a line's quantity can be set, and 0 removes it" {
	product=$(new_product)
	item=$(add "$product" 2)
	cart PUT "items/$item/" '{"quantity":7}'
	expect_status 200
	expect_json '[.id, .quantity, .line_total] | tojson' "[$item,7,\"70.00\"]"
	cart PUT "items/$item/" "$(jq -c '.quantity = 3' <<<"$body")"
	expect_status 200
	expect_json .quantity 3
	cart PUT "items/$item/" '{"quantity":0}'
	expect_status 204
	[[ -z $body ]]
	cart GET ''
	expect_json '[.items, .item_count, .subtotal] | tojson' '[[],0,"0.00"]'
	expect_json '.id != null' true
	for quantity in 0 1; do
		cart PUT "items/$item/" "{\"quantity\":$quantity}"
		expect_problem 404 not_found
	done
}

@test "a line and the whole cart can be removed" {
	item=$(add "$(new_product)" 2)
	add "$(new_product)" 1
	cart DELETE "items/$item/"
	expect_status 204
	cart DELETE "items/$item/"
	expect_problem 404 not_found
	cart GET ''
	expect_json .item_count 1
	cart DELETE clear/
	expect_status 204
	cart DELETE clear/
	expect_status 204
	cart GET ''
	expect_json .item_count 0
}

@test "a cart tells when it was changed, whatever the change" {
	product=$(new_product)
	changed() {
		local before=$1
		cart GET ''
		[[ $(json .updated_at) > $before ]] || complain "expected a later time than $before"
	}
	item=$(add "$product" 2)
	changed ''
	first=$(json .updated_at)
	changed "$first" && false # looking at it is none
	add "$product" 1 && changed "$first"
	second=$(json .updated_at)
	cart PUT "items/$item/" '{"quantity":1}' && changed "$second"
	third=$(json .updated_at)
	cart PUT "items/$item/" '{"quantity":1000}'
	expect_status 409
	cart DELETE items/900719925474099/
	expect_status 404
	cart GET ''
	expect_json .updated_at "$third"
	cart DELETE "items/$item/" && changed "$third"
	fourth=$(json .updated_at)
	cart DELETE clear/ && changed "$fourth"
}

@test "changes since a line was added are told" {
	dearer=$(new_product '{"price": "10.00"}')
	cheaper=$(new_product '{"price": "10.00"}')
	scarcer=$(new_product '{"stock_quantity": 9}')
	hidden=$(new_product)
	for product in "$dearer" "$cheaper" "$scarcer" "$hidden"; do add "$product" 3; done
	staff PATCH "$dearer/" '{"price":"12.00"}'
	staff PATCH "$cheaper/" '{"price":"8.50"}'
	staff PATCH "$scarcer/" '{"stock_quantity":2}'
	staff PATCH "$hidden/" '{"is_active":false}'
	expect_status 200
	cart GET ''
	expect_json ".changes[] | select(.product_id == $dearer) | [.kind, .from, .to] | tojson" \
		'["price_up","10.00","12.00"]'
	expect_json ".changes[] | select(.product_id == $cheaper) | [.kind, .from, .to] | tojson" \
		'["price_down","10.00","8.50"]'
	expect_json ".changes[] | select(.product_id == $scarcer) | [.kind, .from, .to] | tojson" \
		'["insufficient_stock",3,2]'
	expect_json ".changes[] | select(.product_id == $hidden) | [.kind, .from, .to] | tojson" \
		'["unavailable",3,0]'
	expect_json '.changes | length' 4
	expect_json ".items[] | select(.product_id == $dearer) | [.unit_price, .unit_price_at_add] | tojson" \
		'["12.00","10.00"]'
	expect_json .subtotal 91.50
	# More of the same is still the line that was added then.
	add "$dearer" 1
	cart GET ''
	expect_json ".changes[] | select(.product_id == $dearer) | [.kind, .from, .to] | tojson" \
		'["price_up","10.00","12.00"]'
	# What is well again is no change.
	staff PATCH "$dearer/" '{"price":"10.00"}'
	staff PATCH "$cheaper/" '{"price":"10.00"}'
	staff PATCH "$scarcer/" '{"stock_quantity":3}'
	staff PATCH "$hidden/" '{"is_active":true}'
	cart GET ''
	expect_json '.changes | tojson' '[]'
}

@test "changes name their lines, and have the currency's decimals" {
	yen=$(new_product '{"currency": "JPY", "price": "500"}')
	dinar=$(new_product '{"currency": "KWD", "price": "1.250"}')
	first=$(add "$yen" 1) second=$(add "$dinar" 3)
	staff PATCH "$yen/" '{"price":"501"}'
	staff PATCH "$dinar/" '{"price":"1.240"}'
	cart GET ''
	expect_json '.changes | tojson' "[{\"item_id\":$first,\"product_id\":$yen,\"kind\":\"price_up\",\
\"from\":\"500\",\"to\":\"501\"},{\"item_id\":$second,\"product_id\":$dinar,\"kind\":\"price_down\",\
\"from\":\"1.250\",\"to\":\"1.240\"}]"
	expect_json '.items | map(.line_total) | tojson' '["501","3.720"]'
}

@test "a product that got variants can no longer be had without one" {
	product=$(new_product '{"price": "3.00"}')
	item=$(add "$product" 2)
	staff PATCH "$product/" '{"stock_quantity":0}'
	staff POST "$product/variants/" '{"name":"Large","price":"12.50","stock_quantity":4}'
	expect_status 201
	cart GET ''
	expect_json '.items[0] | [.quantity, .unit_price, .available, .in_stock] | tojson' '[2,"3.00",0,false]'
	expect_json '.changes | map([.item_id, .kind, .from, .to]) | tojson' "[[$item,\"unavailable\",2,0]]"
	cart PUT "items/$item/" '{"quantity":1}'
	expect_problem 409 insufficient_stock
}

@test "a product that is gone is gone from the cart, and comes back with its product" {
	product=$(new_product)
	item=$(add "$product" 2)
	add "$(new_product)" 1
	staff PATCH "$product/" '{"is_active":false}'
	cart GET ''
	expect_json "[.items[].product_id] | index($product)" null
	expect_json '[.item_count, .subtotal] | tojson' '[1,"10.00"]'
	expect_json '.changes | map([.item_id, .kind]) | tojson' "[[$item,\"unavailable\"]]"
	internal GET "carts/$user/"
	expect_json "[.items[].product_id] | index($product)" null
	cart GET "items/$item/"
	expect_problem 404 not_found
	staff PATCH "$product/" '{"is_active":true}'
	cart GET ''
	expect_json '[.item_count, .subtotal, .changes] | tojson' '[3,"30.00",[]]'
	staff DELETE "$product/"
	expect_status 204
	cart GET ''
	expect_json '[.item_count, .changes[0].kind] | tojson' '[1,"unavailable"]'
	# Who has read the change takes the line away.
	cart DELETE "items/$item/"
	expect_status 204
	cart GET ''
	expect_json '[.item_count, .changes] | tojson' '[1,[]]'
}

@test "a deleted variant is gone, too" {
	product=$(new_product '{"stock_quantity": 0}')
	staff POST "$product/variants/" '{"name":"Large","price":"12.50","stock_quantity":4}'
	variant=$(json .id)
	staff POST "$product/variants/" '{"name":"Small","price":"2.50","stock_quantity":4}'
	other=$(json .id)
	item=$(add "$product" 1 "$variant")
	add "$product" 1 "$other"
	staff DELETE "$product/variants/$variant/"
	expect_status 204
	cart GET ''
	expect_json '.items | map(.variant_id) | tojson' "[$other]"
	expect_json '.changes | map([.item_id, .kind]) | tojson' "[[$item,\"unavailable\"]]"
}

@test "amounts in several currencies have no sum" {
	add "$(new_product '{"currency": "JPY", "price": "500"}')" 2
	cart GET ''
	expect_json '[.items[0].line_total, .subtotal, .currency] | tojson' '["1000","1000","JPY"]'
	add "$(new_product)" 1
	cart GET ''
	expect_json '[.item_count, .subtotal, .currency] | tojson' '[3,null,null]'
}

@test "sums that no machine word holds are right, too" {
	for _ in 1 2; do
		add "$(new_product '{"currency": "KWD", "price": "9999999999.999", "stock_quantity": 1000000}')" 1000000
	done
	expect_status 201
	expect_json .line_total 9999999999999000.000
	cart GET ''
	expect_json .subtotal 19999999999998000.000
}

@test "fifty adds of one product at once lose nothing" {
	product=$(new_product '{"stock_quantity": 1000}')
	for _ in {1..50}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":2}" "Authorization: Bearer $token"
	done
	[[ $(send_prepared) == "201 50" ]]
	[[ $(lines) == "[[$product,null,100]]" ]]
}

@test "fifty adds of five products at once lose nothing" {
	for _ in {1..5}; do products+=("$(new_product '{"stock_quantity": 1000}')"); done
	for turn in {1..50}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":${products[turn % 5]},\"quantity\":1}" \
			"Authorization: Bearer $token"
	done
	[[ $(send_prepared) == "201 50" ]]
	cart GET ''
	expect_json '.items | map(.quantity) | tojson' '[10,10,10,10,10]'
	expect_json '[.items[].product_id] | sort | map(tostring) | join(" ")' "${products[*]}"
}

@test "adds at once never go above what is available" {
	product=$(new_product '{"stock_quantity": 7}')
	for _ in {1..20}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}" "Authorization: Bearer $token"
	done
	[[ $(send_prepared) == "201 7,409 13" ]]
	cart GET ''
	expect_json .item_count 7
}

@test "what is available is judged by the quantity that an add before leaves" {
	local product item
	product=$(new_product '{"stock_quantity": 7}')
	item=$(add "$product" 3)
	# As the service changes a cart.
	hold cart "SELECT FROM cart_cart WHERE user_id = $user FOR UPDATE;
		UPDATE cart_cartitem SET quantity = 7 WHERE id = $item" >/dev/null
	will_let_go
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 409 insufficient_stock
	expect_json '.items[0].requested' 8
	wait "$holder"
}

@test "a line and a cart have a limit" {
	product=$(new_product '{"stock_quantity": 3000000}')
	item=$(add "$product" 1000000)
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 409 quantity_too_large
	cart DELETE "items/$item/"
	cart GET ''
	psql_as cart "INSERT INTO cart_cartitem (cart_id, product_id, quantity, unit_price_at_add,
			currency_at_add, name, unit_price, currency)
		SELECT $(json .id), 9000000000 + n, 1, 100, 'USD', 'x', 100, 'USD' FROM generate_series(1, 100) n"
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 409 cart_full
	# More of what is there is no more lines.
	psql_as cart "UPDATE cart_cartitem SET product_id = $product WHERE product_id = 9000000001"
	add "$product" 1
	# Lines that nobody sees make room.
	other=$(new_product)
	psql_as cart "UPDATE cart_cartitem SET is_gone = true WHERE product_id = 9000000002"
	add "$other" 1
	[[ $(psql_as cart "SELECT count(*) FROM cart_cartitem i JOIN cart_cart c ON c.id = cart_id
		WHERE user_id = $user") == 100 ]]
	cart DELETE clear/
	add "$product" 1
}

@test "while products is away the cart is shown as last known, and says so" {
	product=$(new_product '{"name": "Kettle", "price": "19.99"}')
	item=$(add "$product" 2)
	products_away
	cart GET ''
	expect_status 200
	expect_json .stale true
	expect_json '.items[0] | [.name, .unit_price, .line_total, .available, .in_stock] | tojson' \
		'["Kettle","19.99","39.98",null,null]'
	expect_json '.changes | tojson' '[]'
	expect_json '[.item_count, .subtotal] | tojson' '[2,"39.98"]'
	item_as_shown=$(json '.items[0] | tojson')
	cart GET "items/$item/"
	expect_status 200
	[[ $(json tojson) == "$item_as_shown" ]]
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 503 upstream_unavailable
	expect_header Retry-After '[0-9]+'
	cart PUT "items/$item/" '{"quantity":1}'
	expect_problem 503 upstream_unavailable
	products_back
	staff PATCH "$product/" '{"price":"25.00","name":"Teapot"}'
	cart GET ''
	expect_json .stale false
	expect_json '.items[0] | [.name, .unit_price] | tojson' '["Teapot","25.00"]'
	products_away
	cart GET ''
	expect_json '[.stale, .items[0].name, .items[0].unit_price] | tojson' '[true,"Teapot","25.00"]'
	cart PUT "items/$item/" '{"quantity":0}'
	expect_status 204
	cart GET ''
	expect_json .stale false
}

@test "orders reads a cart, and takes off what was ordered, once for each order" {
	first=$(new_product)
	second=$(new_product)
	order=$((RANDOM * 32768 + RANDOM + 6900000000))
	internal GET "carts/$user/"
	expect_status 200
	expect_json '.items | tojson' '[]'
	add "$first" 2
	add "$second" 1
	internal GET "carts/$user/"
	expect_json '.items | map([.product_id, .variant_id, .quantity]) | tojson' \
		"[[$first,null,2],[$second,null,1]]"
	add "$first" 3
	for _ in 1 2; do
		internal POST "carts/$user/take/" "{\"order_id\":$order,\"items\":[
			{\"product_id\":$first,\"variant_id\":null,\"quantity\":2},
			{\"product_id\":$second,\"variant_id\":null,\"quantity\":1}]}"
		expect_status 200
	done
	internal GET "carts/$user/"
	expect_json '.items | map([.product_id, .quantity]) | tojson' "[[$first,3]]"
	# Equal lines of an order are summed; what is no longer there cannot be taken.
	internal POST "carts/$user/take/" "{\"order_id\":$((order + 1)),\"items\":[
		{\"product_id\":$first,\"quantity\":1},{\"product_id\":$first,\"quantity\":1},
		{\"product_id\":$second,\"quantity\":1}]}"
	[[ $(lines) == "[[$first,null,1]]" ]]
	internal POST "carts/$user/take/" "{\"order_id\":$((order + 2)),\"items\":[
		{\"product_id\":$first,\"quantity\":7}]}"
	[[ $(lines) == '[]' ]]
}

@test "what is added while an order is being paid stays in the cart" {
	local first second placing
	first=$(new_product '{"stock_quantity": 100}') second=$(new_product)
	item=$(add "$first" 3)
	scenario '{"rules":[{"match":{"path":"/v1/payment_intents","times":-1},"do":{"fault":"latency","ms":15000,"when":"before"}}]}' >/dev/null
	curl --silent --max-time 60 --output "$BATS_TEST_TMPDIR/order" --header "Authorization: Bearer $token" \
		--header 'Content-Type: application/json' --header "Idempotency-Key: $(idem)" --data-binary \
		'{"shipping_address":{"name":"Ada Buyer","line1":"1 Main Street","city":"Springfield",
			"postal_code":"12345","country":"US"},"payment_method":"pm_card_visa"}' \
		"$BASE/api/v1/orders/" 3>&- &
	placing=$!
	being_paid() {
		[[ $(psql_as orders "SELECT status FROM orders_order WHERE user_id = $user") == pending ]]
	}
	wait_for 60 being_paid
	prepare POST /api/v1/cart/items/ "{\"product_id\":$first,\"quantity\":2}" "Authorization: Bearer $token"
	prepare POST /api/v1/cart/items/ "{\"product_id\":$second,\"quantity\":1}" "Authorization: Bearer $token"
	[[ $(send_prepared) == "201 2" ]]
	being_paid
	hurry
	wait "$placing"
	[[ $(jq -r .status "$BATS_TEST_TMPDIR/order") == confirmed ]]
	cart_holds() {
		[[ $(lines) == "$1" ]]
	}
	wait_for 60 cart_holds "[[$first,null,2],[$second,null,1]]"
	cart GET ''
	expect_json '.items[0].id' "$item"
}

@test "a confirmed order that came from the cart takes its lines off, once" {
	product=$(new_product)
	order=$((RANDOM * 32768 + RANDOM + 6900000000))
	confirmed() {
		internal POST events/ "{\"event_id\":\"$(cat /proc/sys/kernel/random/uuid)\",
			\"type\":\"order.confirmed\",\"aggregate_id\":$order,\"version\":2,\"payload\":{
			\"order_id\":$order,\"user_id\":$user,\"from_cart\":$1,\"items\":[
			{\"product_id\":$product,\"variant_id\":null,\"quantity\":2}]}}"
		expect_status 200
	}
	add "$product" 5
	confirmed false
	expect_json .applied false
	confirmed true
	expect_json .applied true
	# Another event of the same order, and a call for it, take nothing more.
	confirmed true
	expect_json .applied false
	internal POST "carts/$user/take/" "{\"order_id\":$order,\"items\":[
		{\"product_id\":$product,\"variant_id\":null,\"quantity\":2}]}"
	cart GET ''
	expect_json .item_count 3
}

@test "an event that is none is refused" {
	internal POST events/ '{"event_id":"x","type":"order.eaten","aggregate_id":1,"version":1}'
	expect_problem 400 invalid
	internal POST "carts/$user/take/" '{"order_id":1,"items":[{"product_id":1,"quantity":0}]}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'items[0].quantity'
}

@test "whoever looks at a cart waits for who changes it, and neither locks the other out" {
	local lines=() product products=() turn
	for turn in 1 2; do
		product=$(new_product '{"price":"1.00"}')
		products+=("$product")
		lines+=("$(add "$product" 1)")
	done
	for turn in 1 2; do
		# Both lines are to be written.
		for product in "${products[@]}"; do
			staff PATCH "$product/" "{\"price\":\"$((turn + 1)).00\"}"
			expect_status 200
		done
		# As the service changes a cart: its row first, then lines, here in either order.
		lines=("${lines[1]}" "${lines[0]}")
		hold cart "SET deadlock_timeout = '10ms'; SELECT FROM cart_cart WHERE user_id = $user FOR UPDATE;
			UPDATE cart_cartitem SET quantity = 2 WHERE id = ${lines[0]}" >/dev/null
		will_let_go 1 60 "UPDATE cart_cartitem SET quantity = 2 WHERE id = ${lines[1]}"
		cart GET ''
		expect_status 200
		expect_json '.items | map(.unit_price) | unique | join(" ")' "$((turn + 1)).00"
		wait "$holder"
		cart GET ''
		expect_json '.items | map(.quantity) | join(" ")' "2 2"
	done
}
