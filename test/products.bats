# products.bats: the catalogue, as visitors see and staff edit it.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
}

@test "a product is created whole and shown by id and by slug" {
	TOKEN=$(staff_token)
	api POST /api/v1/products/ '{"name":"Café Crème '"$(random 4)"'","price":"19.99","sku":"S-'"$(random 4)"'",
		"description":"Hot.","compare_at_price":25,"stock_quantity":7,
		"images":[{"url":"/media/a.svg","alt":"a cup"},{"url":"/media/b.svg"}]}'
	expect_status 201
	expect_header Location "/api/v1/products/$(json .id)/"
	expect_json .price 19.99
	expect_json .compare_at_price 25.00
	expect_json .currency USD
	expect_json .stock_quantity 7
	expect_json '.images | map(.position) | tostring' '[1,2]'
	expect_json .image /media/a.svg
	expect_json '.slug | startswith("cafe-creme-")' true
	local created=$body id slug
	id=$(json .id) slug=$(json .slug)
	unset TOKEN
	api GET "/api/v1/products/$id/"
	expect_status 200
	expect_json . "$(jq -r . <<<"$created")"
	expect_header Cache-Control 'public, max-age=1'
	api GET "/api/v1/products/$slug"
	expect_status 200
	expect_json .id "$id"
}

@test "every bad field of a product is named at once" {
	TOKEN=$(staff_token) api POST /api/v1/products/ '{"price":"-1","sku":5,"slug":"a b","stock_quantity":-1,
		"is_active":"yes","currency":"ZZZ","variants":[{"price":"x"}],"images":[{"alt":"x"}],"nonsense":1}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' \
		'currency images[0].url is_active name nonsense price sku slug stock_quantity variants[0].price'
}

@test "a price has no more decimals than its currency" {
	TOKEN=$(staff_token)
	api POST /api/v1/products/ '{"name":"x","price":"1.999"}'
	expect_problem 400 invalid
	expect_json '.errors.price | length' 1
	expect_json '.errors.price[0]' 'Ensure that there are no more than 2 decimal places.'
	api POST /api/v1/products/ '{"name":"x","price":"1.5","currency":"JPY"}'
	expect_problem 400 invalid
	expect_json '.errors.price[0]' 'Ensure that there are no more than 0 decimal places.'
	api POST /api/v1/products/ '{"name":"x","price":500,"currency":"JPY"}'
	expect_status 201
	expect_json .price 500
	api POST /api/v1/products/ '{"name":"x","price":"1.250","currency":"KWD"}'
	expect_status 201
	expect_json .price 1.250
}

@test "zeros behind the point are decimals too, wherever a text says an amount" {
	local product amount price
	TOKEN=$(staff_token)
	product=$(new_product '{"price":"20.00","stock_quantity":0}')
	for amount in '{"price":"20.000"}' '{"price":"500.0","currency":"JPY"}' '{"compare_at_price":"30.000"}'; do
		api POST /api/v1/products/ "$(jq -c '{name: "x", price: "1"} + .' <<<"$amount")"
		expect_problem 400 invalid
		api PATCH "/api/v1/products/$product/" "$amount"
		expect_problem 400 invalid
		expect_json '[.errors[][0] | test("no more than [02] decimal places")] | all' true
	done
	api POST "/api/v1/products/$product/variants/" '{"price":"20.000"}'
	expect_problem 400 invalid
	for price in 20.000 '"20.0"' '"20"'; do
		api PATCH "/api/v1/products/$product/" "{\"price\":$price}"
		expect_status 200
		expect_json .price 20.00
	done
}

@test "decimals are told with all that is wrong beside them" {
	TOKEN=$(staff_token)
	api POST /api/v1/products/ '{"price":"1.999","stock_quantity":-1,"compare_at_price":2.125,
		"variants":[{"price":"1.99"},{"price":"1.990"}]}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'compare_at_price name price stock_quantity variants[1].price'
	expect_json '[.errors[][0] | select(test("decimal"))] | unique | join(" ")' \
		'Ensure that there are no more than 2 decimal places.'
	api POST /api/v1/products/ '{"price":"1.999","currency":"KWD"}'
	expect_json '.errors | keys | join(" ")' name
	api POST /api/v1/products/ '{"price":"1.5","currency":"JPY"}'
	expect_json '.errors | keys | join(" ")' 'name price'
}

@test "skus and slugs are unique" {
	local sku slug
	sku=sku-$(random 4) slug=slug-$(random 4)
	new_product "{\"sku\":\"$sku\",\"slug\":\"$slug\"}"
	TOKEN=$(staff_token)
	api POST /api/v1/products/ "{\"name\":\"x\",\"price\":\"1\",\"sku\":\"$sku\"}"
	expect_problem 409 sku_taken
	api POST /api/v1/products/ "{\"name\":\"x\",\"price\":\"1\",\"slug\":\"$slug\"}"
	expect_problem 409 slug_taken
	api POST /api/v1/products/ '{"name":"x","price":"1","slug":"123"}'
	expect_problem 400 invalid
	api POST /api/v1/products/ '{"name":"x","price":"1","slug":"categories"}'
	expect_problem 400 invalid
	expect_json '.errors.slug | length' 1
}

@test "only staff edits the catalogue" {
	local id
	id=$(new_product)
	for request in "POST /api/v1/products/" "PUT /api/v1/products/$id/" "PATCH /api/v1/products/$id/" \
		"DELETE /api/v1/products/$id/" "POST /api/v1/products/$id/variants/" \
		"POST /api/v1/products/$id/images/" "POST /api/v1/products/categories/" \
		"PUT /api/v1/products/999999999/"; do
		# shellcheck disable=SC2086
		api $request '{}'
		expect_problem 401 not_authenticated
		expect_header WWW-Authenticate Bearer
	done
	TOKEN=$(user_token visitor)
	api PATCH "/api/v1/products/$id/" '{"name":"mine"}'
	expect_problem 403 permission_denied
	api DELETE /api/v1/products/999999999/
	expect_problem 403 permission_denied
}

@test "PATCH changes what was sent, PUT resets what was left out but stock, sku and slug" {
	local id sku
	sku=p-$(random 4)
	id=$(new_product "{\"sku\":\"$sku\",\"description\":\"old\",\"compare_at_price\":\"20\",\"stock_quantity\":4}")
	TOKEN=$(staff_token)
	api PATCH "/api/v1/products/$id/" '{"name":"New name"}'
	expect_status 200
	expect_json '[.name, .description, .compare_at_price, .stock_quantity] | tostring' '["New name","old","20.00",4]'
	api PATCH "/api/v1/products/$id/" '{"compare_at_price":null,"stock_quantity":9}'
	expect_json '[.compare_at_price, .stock_quantity] | tostring' '[null,9]'
	api PUT "/api/v1/products/$id/" '{"name":"Put","price":"3"}'
	expect_status 200
	expect_json '[.name, .price, .description, .sku, .stock_quantity] | tostring' "[\"Put\",\"3.00\",\"\",\"$sku\",9]"
	api PUT "/api/v1/products/$id/" '{"name":"no price"}'
	expect_problem 400 invalid
	api GET "/api/v1/products/$id/"
	api PUT "/api/v1/products/$id/" "$body"
	expect_status 200
	api PATCH /api/v1/products/999999999/ '{"name":"x"}'
	expect_problem 404 not_found
	api PATCH "/api/v1/products/$id/" '{"category_id":999999999}'
	expect_problem 400 invalid
	expect_json '.errors.category_id | length' 1
}

@test "the service token sets the stock and nothing else" {
	local id
	id=$(new_product)
	TOKEN=${SERVICE_TOKEN%%,*}
	api PATCH "/api/v1/products/$id/" '{"stock_quantity":42}'
	expect_status 200
	expect_json .stock_quantity 42
	api PATCH "/api/v1/products/$id/" '{"stock_quantity":1,"name":"x"}'
	expect_problem 403 permission_denied
	api DELETE "/api/v1/products/$id/"
	expect_problem 403 permission_denied
}

@test "an inactive product is hidden from all but staff" {
	local id
	id=$(new_product '{"is_active":false}')
	api GET "/api/v1/products/$id/"
	expect_problem 404 not_found
	api GET "/api/v1/products/$id/variants/"
	expect_problem 404 not_found
	api GET "/api/v1/products/?ids=$id"
	expect_json .count 0
	TOKEN=$(staff_token) api GET "/api/v1/products/$id/"
	expect_status 200
	expect_header Cache-Control no-store
}

@test "a deleted product is gone and frees its sku" {
	local id sku
	sku=d-$(random 4)
	id=$(new_product "{\"sku\":\"$sku\"}")
	TOKEN=$(staff_token)
	api DELETE "/api/v1/products/$id/"
	expect_status 204
	api GET "/api/v1/products/$id/"
	expect_problem 404 not_found
	api DELETE "/api/v1/products/$id/"
	expect_problem 404 not_found
	new_product "{\"sku\":\"$sku\"}"
}

@test "a list has pages, links and an end" {
	local word ids=() i
	word=zebra$(random 3)
	for i in 1 2 3; do ids+=("$(new_product "{\"name\":\"$word $i\",\"price\":\"$i\"}")"); done
	api GET "/api/v1/products/?search=$word&page_size=2"
	expect_status 200
	expect_json .count 3
	expect_json '.results | length' 2
	expect_json .previous null
	expect_json '.results[0] | keys | join(" ")' 'category compare_at_price currency id image in_stock name price rating_avg rating_count sku slug stock_quantity variant_count'
	local next
	next=$(json .next)
	expect_header Link "<.*>; rel=\"next\""
	api GET "$next"
	expect_status 200
	expect_json '.results | length' 1
	expect_json .next null
	api GET "$(json .previous)"
	expect_json '.results | length' 2
	api GET "/api/v1/products/?search=$word&page_size=2&page=3"
	expect_problem 404 not_found
	api GET "/api/v1/products/?page_size=1000"
	expect_status 200
	api GET "/api/v1/products/?search=$word&ordering=-price"
	expect_json '.results | map(.price) | join(" ")' '3.00 2.00 1.00'
	api GET "/api/v1/products/?search=$word&min_price=2&max_price=2.5"
	expect_json '.results | map(.price) | join(" ")' 2.00
	api GET "/api/v1/products/?ids=${ids[0]},${ids[2]}&unknown=1"
	expect_json .count 2
}

@test "wrong list parameters are refused" {
	for query in ordering=colour page=0 page=x page_size=0 in_stock=maybe ids=1,x min_price=abc \
		'page=1&page=2' category=nosuchcategory; do
		api GET "/api/v1/products/?$query"
		expect_problem 400 invalid
	done
}

@test "a category stands for all below it" {
	TOKEN=$(staff_token)
	local top below
	api POST /api/v1/products/categories/ "{\"name\":\"Top $(random 4)\"}"
	expect_status 201
	expect_header Location "/api/v1/products/categories/$(json .id)/"
	top=$(json .id)
	api POST /api/v1/products/categories/ "{\"name\":\"Below $(random 4)\",\"parent_id\":$top}"
	below=$(json .id)
	local slug product
	slug=$(json .slug)
	product=$(new_product "{\"category_id\":$below}")
	api GET "/api/v1/products/?category=$top"
	expect_json '.results | map(.id) | tostring' "[$product]"
	api GET "/api/v1/products/?category=$slug"
	expect_json '.results[0].category.slug' "$slug"
	api GET "/api/v1/products/$product/"
	expect_json '.categories | map(.id) | tostring' "[$top,$below]"
	api PATCH "/api/v1/products/categories/$top/" "{\"parent_id\":$below}"
	expect_problem 409 category_cycle
	api PATCH "/api/v1/products/categories/$top/" "{\"parent_id\":$top}"
	expect_problem 409 category_cycle
	api PUT "/api/v1/products/categories/$below/" '{"name":"Renamed"}'
	expect_json '[.name, .parent_id] | tostring' '["Renamed",null]'
	api DELETE "/api/v1/products/categories/$below/"
	expect_problem 409 category_in_use
	api POST /api/v1/products/categories/ "{\"name\":\"x\",\"slug\":\"$slug\"}"
	expect_problem 409 category_slug_taken
	api DELETE "/api/v1/products/$product/"
	api DELETE "/api/v1/products/categories/$below/"
	expect_status 204
	api GET "/api/v1/products/categories/$below/"
	expect_problem 404 not_found
	api GET /api/v1/products/categories/
	expect_status 200
	expect_json '.results | type' array
}

@test "variants keep the stock, the product shows the sum" {
	TOKEN=$(staff_token)
	api POST /api/v1/products/ '{"name":"Shirt","price":"10","variants":[
		{"options":{"Size":"S"},"stock_quantity":2},{"options":{"Size":"L"},"stock_quantity":3,"price":"12"}]}'
	expect_status 201
	expect_json .stock_quantity 5
	expect_json '.variants | map(.name + " " + .price) | join(", ")' 'S 10.00, L 12.00'
	local id
	id=$(json .id)
	api POST "/api/v1/products/$id/variants/" "{\"name\":\"M\",\"sku\":\"v-$id\",\"stock_quantity\":1}"
	expect_status 201
	expect_header Location "/api/v1/products/$id/variants/$(json .id)/"
	local variant
	variant=$(json .id)
	api POST "/api/v1/products/$id/variants/" "{\"name\":\"N\",\"sku\":\"v-$id\"}"
	expect_problem 409 variant_sku_taken
	api PATCH "/api/v1/products/$id/variants/$variant/" '{"stock_quantity":4}'
	expect_json '[.stock_quantity, .name] | tostring' '[4,"M"]'
	api PUT "/api/v1/products/$id/variants/$variant/" '{"name":"Middle"}'
	expect_json '[.stock_quantity, .name] | tostring' '[4,"Middle"]'
	api GET "/api/v1/products/$id/variants/"
	expect_json .count 3
	api PATCH "/api/v1/products/$id/" '{"stock_quantity":9}'
	expect_status 200
	api PATCH "/api/v1/products/$id/" '{"stock_quantity":8}'
	expect_problem 400 invalid
	api DELETE "/api/v1/products/$id/variants/$variant/"
	expect_status 204
	api GET "/api/v1/products/$id/"
	expect_json '[.stock_quantity, .variant_count] | tostring' '[5,2]'
	api DELETE "/api/v1/products/$id/variants/$variant/"
	expect_problem 404 not_found
	api POST /api/v1/products/ '{"name":"x","price":"1","stock_quantity":3,"variants":[{"stock_quantity":1}]}'
	expect_problem 400 invalid
}

@test "a product with stock cannot get its first variant" {
	local id
	id=$(new_product '{"stock_quantity":1}')
	TOKEN=$(staff_token) api POST "/api/v1/products/$id/variants/" '{"name":"x"}'
	expect_problem 409 product_has_stock
}

@test "images are added, moved and removed" {
	local id image
	id=$(new_product)
	TOKEN=$(staff_token)
	api POST "/api/v1/products/$id/images/" '{"url":"/media/x.svg"}'
	expect_status 201
	image=$(json .id)
	api POST "/api/v1/products/$id/images/" '{"url":"javascript:alert(1)"}'
	expect_problem 400 invalid
	api PATCH "/api/v1/products/$id/images/$image/" '{"alt":"an x","position":5}'
	expect_json '[.alt, .position, .url] | tostring' '["an x",5,"/media/x.svg"]'
	api GET "/api/v1/products/$id/images/"
	expect_json .count 1
	api DELETE "/api/v1/products/$id/images/$image/"
	expect_status 204
	api DELETE "/api/v1/products/$id/images/$image/"
	expect_problem 404 not_found
	api POST /api/v1/products/999999999/images/ '{"url":"/media/x.svg"}'
	expect_problem 404 not_found
}

# ---- What siblings ask, on the service's own listener.

internal() {
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$PRODUCTS_SERVICE_URL/internal/v1/$1" "${2-}"
}

@test "a reservation is held once, committed, consumed and released" {
	local id order=$((RANDOM * 32768 + RANDOM + 1000000000))
	id=$(new_product '{"stock_quantity":5}')
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":2},{\"product_id\":$id,\"quantity\":1}]}"
	expect_status 201
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":2}]}"
	expect_status 200
	api GET "/api/v1/products/$id/"
	expect_json .stock_quantity 2
	internal "reservations/$order/extend/"
	expect_json .state held
	internal "reservations/$order/commit/"
	expect_json .state committed
	internal "reservations/$order/consume/" "{\"items\":[{\"product_id\":$id,\"quantity\":1}],\"reference\":\"one\"}"
	internal "reservations/$order/consume/" "{\"items\":[{\"product_id\":$id,\"quantity\":1}],\"reference\":\"one\"}"
	expect_json .state committed
	internal "reservations/$order/release/"
	expect_json .state released
	internal "reservations/$order/release/"
	expect_json .state released
	api GET "/api/v1/products/$id/"
	expect_json .stock_quantity 4
}

@test "what was shipped leaves the stock, even if it is sold no more or was only held" {
	local id order=$((RANDOM * 32768 + RANDOM + 1000000000))
	on_hand() { psql_as products "SELECT on_hand || ' ' || reserved FROM products_stock WHERE product_id = $id"; }
	for end in PATCH DELETE; do
		id=$(new_product '{"stock_quantity":5}') order=$((order + 1))
		internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":3}]}"
		internal "reservations/$order/commit/"
		TOKEN=$(staff_token) api "$end" "/api/v1/products/$id/" "$([[ $end == DELETE ]] || echo '{"is_active":false}')"
		expect_status 200 204
		internal "reservations/$order/consume/" "{\"items\":[{\"product_id\":$id,\"quantity\":1},
			{\"product_id\":$id,\"quantity\":1}],\"reference\":\"one\"}"
		expect_json .state committed
		[[ $(on_hand) == "3 1" ]]
		internal "reservations/$order/consume/" '{"reference":"two"}'
		expect_json .state consumed
		[[ $(on_hand) == "2 0" ]]
	done
	id=$(new_product '{"stock_quantity":5}') order=$((order + 1))
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":2}]}"
	internal "reservations/$order/consume/" "{\"items\":[{\"product_id\":$id,\"quantity\":2}],\"reference\":\"one\"}"
	expect_json .state consumed
	[[ $(on_hand) == "3 0" ]]
	internal "reservations/$order/commit/"
	expect_json .state consumed
	internal "reservations/$order/release/"
	[[ $(on_hand) == "3 0" ]]
}

@test "what is not there cannot be held, and nothing is held then" {
	local one two order=$((RANDOM * 32768 + RANDOM + 1000000000))
	one=$(new_product '{"stock_quantity":5}') two=$(new_product '{"stock_quantity":1}')
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$one,\"quantity\":1},{\"product_id\":$two,\"quantity\":2}]}"
	expect_problem 409 insufficient_stock
	expect_json '.items | tostring' "[{\"available\":1,\"requested\":2,\"product_id\":$two,\"variant_id\":null}]"
	api GET "/api/v1/products/$one/"
	expect_json .stock_quantity 5
	psql_as products "UPDATE products_stock SET reserved = 6 WHERE product_id = $one" 2>&1 | grep -q insufficient_stock
}

@test "a release that comes before its hold refuses the hold" {
	local id order=$((RANDOM * 32768 + RANDOM + 1000000000))
	id=$(new_product)
	internal "reservations/$order/release/"
	expect_json .state released
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":1}]}"
	expect_problem 409 reservation_released
	internal "reservations/$((order + 1))/commit/"
	expect_problem 404 not_found
}

@test "a quote names what is wrong with each line" {
	local id
	id=$(new_product '{"price":"2.50","stock_quantity":3}')
	internal quote/ "{\"items\":[{\"product_id\":$id,\"quantity\":2},{\"product_id\":999999999,\"quantity\":1},{\"product_id\":$id,\"variant_id\":999999999,\"quantity\":1}]}"
	expect_status 200
	expect_json '.items | map(.status) | join(" ")' 'ok unknown unknown_variant'
	expect_json '.items[0] | [.unit_price, .unit_minor, .available, .currency] | tostring' '["2.50",250,3,"USD"]'
	expect_json .currency USD
}

@test "an event takes effect once" {
	local id order=$((RANDOM * 32768 + RANDOM + 1000000000)) event
	id=$(new_product '{"stock_quantity":5}')
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$id,\"quantity\":2}]}"
	event="{\"event_id\":\"$(cat /proc/sys/kernel/random/uuid)\",\"type\":\"order.released\",\"aggregate_id\":$order,\"version\":1,\"payload\":{}}"
	internal events/ "$event"
	expect_json .applied true
	internal events/ "$event"
	expect_json .applied false
	api GET "/api/v1/products/$id/"
	expect_json .stock_quantity 5
}

@test "internal routes take the service token alone, and the gateway has none of them" {
	api POST "$PRODUCTS_SERVICE_URL/internal/v1/quote/" '{"items":[]}'
	expect_problem 401 not_authenticated
	TOKEN=$(staff_token) api POST "$PRODUCTS_SERVICE_URL/internal/v1/quote/" '{"items":[]}'
	expect_problem 403 permission_denied
	TOKEN=${SERVICE_TOKEN%%,*} api POST /internal/v1/quote/ '{"items":[]}'
	expect_problem 404 not_found
	api GET /metrics
	expect_problem 404 not_found
}

# ---- What the tables refuse, whoever writes.

# refused_by CONSTRAINT SQL
refused_by() {
	psql_as products "$2" 2>&1 | grep -q "\"$1\"" || complain "expected $1 to refuse: $2"
}

@test "the tables themselves hold what must always be" {
	local id stock
	id=$(new_product '{"stock_quantity":3}')
	stock=$(psql_as products "SELECT id FROM products_stock WHERE product_id = $id")
	refused_by price_negative "UPDATE products_product SET price = -1 WHERE id = $id"
	refused_by compare_at_price_negative "UPDATE products_product SET compare_at_price = -1 WHERE id = $id"
	refused_by variant_price_negative "INSERT INTO products_productvariant (product_id, name, price) VALUES ($id, 'x', -1)"
	refused_by insufficient_stock "UPDATE products_stock SET on_hand = -1 WHERE id = $stock"
	refused_by reserved_negative "UPDATE products_stock SET reserved = -1 WHERE id = $stock"
	refused_by stock_row_taken "INSERT INTO products_stock (product_id) VALUES ($id)"
	refused_by movement_cause "INSERT INTO products_stockmovement (stock_id, on_hand, reserved, cause) VALUES ($stock, 1, 0, 'magic')"
	refused_by movement_taken "INSERT INTO products_stockmovement (stock_id, on_hand, reserved, cause, reference)
		VALUES ($stock, 0, 0, 'hold', 'x'), ($stock, 0, 0, 'hold', 'x')"
	refused_by reservation_state "INSERT INTO products_reservation (order_id, state) VALUES (-1, 'lost')"
	refused_by reservation_quantity "INSERT INTO products_reservation (order_id, state) VALUES (-1, 'held');
		INSERT INTO products_reservationitem (order_id, stock_id, quantity) VALUES (-1, $stock, 0)"
	refused_by reservation_consumed "INSERT INTO products_reservation (order_id, state) VALUES (-1, 'held');
		INSERT INTO products_reservationitem (order_id, stock_id, quantity, consumed) VALUES (-1, $stock, 1, 2)"
	refused_by rating_range "INSERT INTO products_review (product_id, user_id, rating) VALUES ($id, 1, 6)"
	refused_by review_taken "INSERT INTO products_review (product_id, user_id, rating) VALUES ($id, 1, 5), ($id, 1, 5)"
	refused_by rating_totals "UPDATE products_product SET rating_sum = 1 WHERE id = $id"
}
