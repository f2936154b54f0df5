#!/usr/bin/env bats
# guests.bats: carts of guests, who are known by their X-Cart-Token alone, and what becomes of them
# at sign-in.

load helper

teardown() {
	products_back
}

# As the guest of $guest, or as nobody.
cart() {
	local sent=()
	[[ -z ${guest-} ]] || sent=(--header "X-Cart-Token: $guest")
	api "$1" "/api/v1/cart/$2" "${@:3}" "${sent[@]}"
}

# add PRODUCT QUANTITY: sets item, and guest where a new cart was made.
add() {
	cart POST items/ "{\"product_id\":$1,\"quantity\":$2}"
	expect_status 201
	item=$(json .id)
	guest=$(header X-Cart-Token | grep . || echo "$guest")
}

# new_guest PRODUCT QUANTITY...
new_guest() {
	guest=
	while (($#)); do
		add "$1" "$2"
		shift 2
	done
}

# as TOKEN METHOD PATH...: as a user who may have been a guest.
as() {
	TOKEN=$1 cart "${@:2}"
}

# holds [[PRODUCT,QUANTITY],...]: what is in the guest's cart, or in that of the user of $TOKEN.
holds() {
	cart GET ''
	expect_json '.items | map([.product_id, .quantity]) | tojson' "$1"
}

# knock ACCESS_TOKEN CART_TOKEN LINE: every request for a line, to be sent by nobody_opened.
knock() {
	local who=() request
	[[ -z $1 ]] || who+=("Authorization: Bearer $1")
	[[ -z $2 ]] || who+=("X-Cart-Token: $2")
	for request in 'GET ' 'PUT {"quantity":1}' 'PUT {"quantity":0}' 'DELETE '; do
		prepare "${request%% *}" "/api/v1/cart/items/$3/" "${request#* }" "${who[@]}"
		knocks=$((${knocks-0} + 1))
	done
}

nobody_opened() {
	[[ $(send_prepared) == "404 $knocks" ]]
	[[ $(jq -r .code "$BATS_TEST_TMPDIR"/prepared.body.* | sort | uniq -c | xargs) == "$knocks not_found" ]]
}

guest_carts() {
	psql_as cart "SELECT count(*) FROM cart_cart WHERE guest_hash IS NOT NULL"
}

# Quantities of a product over all carts.
in_carts() {
	psql_as cart "SELECT coalesce(sum(quantity), 0) FROM cart_cartitem WHERE product_id = $1"
}

@test "a guest gets a token with the first line, and has a cart by it" {
	product=$(new_product '{"name": "Kettle", "price": "19.99"}')
	cart POST items/ "{\"product_id\":$product,\"quantity\":2}"
	expect_status 201
	expect_header X-Cart-Token '[0-9a-f]{32}'
	expect_header Cache-Control no-store
	guest=$(header X-Cart-Token) item=$(json .id)
	expect_header Location "/api/v1/cart/items/$item/"
	line=$(json tojson)
	cart GET ''
	expect_status 200
	# It is told once.
	expect_header X-Cart-Token ''
	expect_header Cache-Control no-store
	expect_json '.id != null' true
	expect_json '.items | map(tojson) | join(" ")' "$line"
	expect_json '[.item_count, .subtotal, .currency, .changes, .stale] | tojson' '[2,"39.98","USD",[],false]'
	cart GET "items/$item/"
	expect_json tojson "$line"
	cart POST items/ "{\"product_id\":$product,\"quantity\":3}"
	expect_status 201
	expect_header X-Cart-Token ''
	expect_json '[.id, .quantity] | tojson' "[$item,5]"
	cart PUT "items/$item/" '{"quantity":4}'
	expect_status 200
	expect_json .quantity 4
	cart PUT "items/$item/" '{"quantity":11}'
	expect_problem 409 insufficient_stock
	cart PUT "items/$item/" '{"quantity":0}'
	expect_status 204
	holds '[]'
	add "$product" 1
	cart DELETE "items/$item/"
	expect_status 204
	add "$product" 1
	cart DELETE clear/
	expect_status 204
	holds '[]'
	expect_json '.id != null' true
}

@test "without a token, or with one that nobody has, the cart is empty" {
	new_guest "$(new_product)" 2
	for guest in '' "$(random 16)" x "${guest^^}" "$guest$guest" "${guest:0:31}" "'; --" "%00" \
		"$(printf 'a%.0s' {1..3000})"; do
		cart GET ''
		expect_status 200
		expect_json '[.id, .items, .item_count, .subtotal, .changes, .stale, .updated_at] | tojson' \
			'[null,[],0,"0.00",[],false,null]'
		knock '' "$guest" "$item"
		cart DELETE clear/
		expect_status 204
		expect_header X-Cart-Token ''
	done
	nobody_opened
}

@test "a line for an unknown token makes a new cart with a new token" {
	product=$(new_product)
	known=()
	for sent in "$(random 16)" x; do
		guest=$sent
		add "$product" 1
		[[ $guest =~ ^[0-9a-f]{32}$ && $guest != "$sent" ]]
		known+=("$guest")
		guest=$sent
		cart GET ''
		expect_json .id null
	done
	[[ ${known[0]} != "${known[1]}" ]]
	for guest in "${known[@]}"; do holds "[[$product,1]]"; done
}

@test "what is refused makes no cart and no token" {
	product=$(new_product '{"stock_quantity": 1}')
	before=$(guest_carts)
	for refused in '400 {"product_id":900719925474099,"quantity":1}' '400 {"product_id":1,"quantity":0}' \
		"409 {\"product_id\":$product,\"quantity\":2}" '400 {'; do
		cart POST items/ "${refused#* }"
		expect_status "${refused%% *}"
		expect_header X-Cart-Token ''
	done
	products_away
	cart POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_problem 503 upstream_unavailable
	expect_header X-Cart-Token ''
	[[ $(guest_carts) == "$before" ]]
}

@test "nothing that is kept tells a token" {
	new_guest "$(new_product)" 1
	[[ $(psql_as cart "SELECT count(*) FROM cart_cart
		WHERE guest_hash = encode(sha256('$guest'), 'hex')") == 1 ]]
	[[ $(psql_as cart "SELECT count(*) FROM cart_cart c, cart_cartitem i
		WHERE c::text LIKE '%$guest%' OR i::text LIKE '%$guest%'") == 0 ]]
	# Not even what goes wrong leaves it anywhere.
	cart PUT items/1/ '{"quantity":"x"}'
	cart GET "?token=1"
	run ! grep -rq "$guest" "$VAR/log"
	# The hash is no token.
	guest=$(psql_as cart "SELECT encode(sha256('$guest'), 'hex')")
	cart GET ''
	expect_json .id null
}

@test "two tokens at once open no cart, nor does a bad access token beside a good one" {
	new_guest "$(new_product)" 1
	# lighttpd makes one value of the two.
	for other in "$(random 16)" "$guest"; do
		cart GET '' --header "X-Cart-Token: $other"
		expect_status 200 400
		[[ $status == 400 ]] || expect_json .id null
	done
	as nonsense GET ''
	expect_problem 401 token_not_valid
	as nonsense POST items/ '{"product_id":1,"quantity":1}'
	expect_problem 401 token_not_valid
}

@test "first lines at once make a cart each" {
	product=$(new_product '{"stock_quantity": 100}')
	before=$(guest_carts)
	for _ in {1..20}; do prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":2}"; done
	[[ $(send_prepared) == "201 20" ]]
	mapfile -t tokens < <(sed -n 's/\r$//; s/^X-Cart-Token: //Ip' "$BATS_TEST_TMPDIR"/prepared.headers.* | sort -u)
	[[ ${#tokens[@]} == 20 ]]
	[[ $(guest_carts) == $((before + 20)) ]]
	for guest in "${tokens[0]}" "${tokens[19]}"; do holds "[[$product,2]]"; done
}

@test "fifty adds at once to a guest's cart lose nothing" {
	for _ in 1 2 3; do products+=("$(new_product '{"stock_quantity": 1000}')"); done
	new_guest "${products[0]}" 1
	for turn in {1..50}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":${products[turn % 3]},\"quantity\":1}" "X-Cart-Token: $guest"
	done
	[[ $(send_prepared) == "201 50" ]]
	run ! grep -iq x-cart-token "$BATS_TEST_TMPDIR"/prepared.headers.*
	cart GET ''
	expect_json '.items | map([.product_id, .quantity]) | sort | tojson' \
		"[[${products[0]},17],[${products[1]},17],[${products[2]},17]]"
}

@test "an Idempotency-Key says nothing of a guest's request" {
	product=$(new_product)
	new_guest "$product" 1
	key=$(idem)
	for count in 2 3; do
		cart POST items/ "{\"product_id\":$product,\"quantity\":1}" --header "Idempotency-Key: $key"
		expect_status 201
		expect_header Idempotent-Replayed ''
		expect_json .quantity "$count"
	done
}

@test "a guest's cart holds a hundred lines" {
	product=$(new_product)
	new_guest "$product" 1
	cart GET ''
	psql_as cart "INSERT INTO cart_cartitem (cart_id, product_id, quantity, unit_price_at_add,
			currency_at_add, name, unit_price, currency)
		SELECT $(json .id), 9000000000 + n, 1, 100, 'USD', 'x', 100, 'USD' FROM generate_series(1, 99) n"
	cart POST items/ "{\"product_id\":$(new_product),\"quantity\":1}"
	expect_problem 409 cart_full
	expect_header X-Cart-Token ''
	add "$product" 1
}

# Each new guest clears ten of them away: see open_cart_of_guest().
@test "carts that no guest came back to do not pile up" {
	product=$(new_product '{"stock_quantity": 1000}')
	touched() { # DAYS ago
		psql_as cart "UPDATE cart_cart SET updated_at = now() - interval '$1 days'
			WHERE guest_hash = encode(sha256('$guest'), 'hex')"
	}
	user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":1}"
	psql_as cart "UPDATE cart_cart SET updated_at = now() - interval '400 days'
		WHERE user_id = $(user_field buyer .user.id)"
	new_guest "$product" 1
	touched 89
	recent=$guest
	old=()
	for _ in {1..12}; do
		new_guest "$product" 1
		old+=("$guest")
	done
	for guest in "${old[@]}"; do touched 91; done
	before=$(guest_carts)
	new_guest "$product" 1
	[[ $(guest_carts) == $((before + 1 - 10)) ]]
	new_guest "$product" 1
	[[ $(guest_carts) == $((before + 2 - 12)) ]]
	guest=${old[0]}
	cart GET ''
	expect_json .id null
	guest=$recent
	holds "[[$product,1]]"
	guest=
	TOKEN=$user holds "[[$product,1]]"
}

@test "nobody but its owner reaches a line, whoever asks" {
	local product user stranger caller access line other of_user of_guest mine
	product=$(new_product) user=$(user_token user) stranger=$(user_token stranger)
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":2}"
	of_user=$(json .id)
	new_guest "$product" 3
	of_guest=$item mine=$guest
	new_guest "$product" 4
	other=$guest
	# CALLER LINE: access token, cart token and the line that is not theirs.
	for caller in "$user $mine $of_guest" "$user - $of_guest" "$stranger $mine $of_guest" \
		"$stranger - $of_user" "$stranger $other $of_guest" "$(staff_token) - $of_user" \
		"$(staff_token) $mine $of_guest" "${SERVICE_TOKEN%%,*} $mine $of_user" \
		"${SERVICE_TOKEN%%,*} - $of_guest" "- $mine $of_user" "- $other $of_guest" "- - $of_user" \
		"- - $of_guest" "- $(random 16) $of_guest"; do
		read -r access guest line <<<"$caller"
		knock "${access#-}" "${guest#-}" "$line"
	done
	nobody_opened
	for access in "$stranger" "$(staff_token)" ''; do
		guest=$other
		as "$access" DELETE clear/
		expect_status 204
	done
	guest=
	TOKEN=$user holds "[[$product,2]]"
	guest=$mine
	holds "[[$product,3]]"
	guest=$other
	holds '[]'
}

@test "a signed-in caller has his own cart, whatever token he sends along" {
	product=$(new_product) user=$(user_token buyer)
	new_guest "$product" 3
	as "$user" GET ''
	expect_json .id null
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_status 201
	expect_header X-Cart-Token ''
	expect_json .quantity 1
	line=$(json .id)
	as "$user" PUT "items/$line/" '{"quantity":2}'
	expect_status 200
	TOKEN=$user holds "[[$product,2]]"
	as "$user" DELETE clear/
	TOKEN=$user holds '[]'
	holds "[[$product,3]]"
	# Nor does he get one without.
	guest=
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":1}"
	expect_header X-Cart-Token ''
}

@test "at sign-in a guest's lines go to the user's cart, once" {
	local both mine guests user id
	both=$(new_product) mine=$(new_product) guests=$(new_product) user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$both,\"quantity\":2}"
	as "$user" POST items/ "{\"product_id\":$mine,\"quantity\":1}"
	cart_of_user=$(as "$user" GET '' && json .id)
	new_guest "$both" 3 "$guests" 4
	as "$user" POST merge/ '{}'
	expect_status 200
	expect_header X-Cart-Token ''
	expect_json 'keys_unsorted | join(" ")' \
		"id items item_count subtotal currency changes stale updated_at"
	expect_json .id "$cart_of_user"
	expect_json '.items | map([.product_id, .quantity]) | sort | tojson' \
		"$(jq -c sort <<<"[[$both,3],[$mine,1],[$guests,4]]")"
	expect_json '[.item_count, .subtotal, .stale] | tojson' '[8,"80.00",false]'
	# A line keeps its id.
	expect_json ".items[] | select(.product_id == $guests) | .id" "$item"
	merged=$(json 'del(.updated_at) | tojson')
	updated_at=$(json .updated_at)
	for strategy in '' ' {"strategy":"sum"}' ' {"strategy":"max"}'; do
		as "$user" POST merge/ $strategy
		expect_status 200
		expect_json 'del(.updated_at) | tojson' "$merged"
		expect_json .updated_at "$updated_at"
	done
	# The token is nobody's from now on.
	cart GET ''
	expect_json .id null
	cart PUT "items/$item/" '{"quantity":1}'
	expect_problem 404 not_found
	stranger=$(user_token stranger)
	as "$stranger" POST merge/
	expect_status 200
	expect_json .id null
	old=$guest
	add "$guests" 1
	[[ $guest != "$old" ]]
}

@test "merging takes the larger quantity, or adds them up" {
	local one two user
	one=$(new_product) two=$(new_product) user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$one,\"quantity\":2}"
	as "$user" POST items/ "{\"product_id\":$two,\"quantity\":5}"
	new_guest "$one" 4 "$two" 1
	as "$user" POST merge/ '{"strategy":"max"}'
	expect_json '.items | map([.product_id, .quantity]) | tojson' "[[$one,4],[$two,5]]"
	new_guest "$one" 3 "$two" 2
	as "$user" POST merge/ '{"strategy":"sum"}'
	expect_json '.items | map([.product_id, .quantity]) | tojson' "[[$one,7],[$two,7]]"
	new_guest "$one" 1
	for bad in '{"strategy":"min"}' '{"strategy":null}' '{"strategy":1}' '{"strategies":"max"}'; do
		as "$user" POST merge/ "$bad"
		expect_problem 400 invalid
	done
	holds "[[$one,1]]"
	cart POST merge/ '{}'
	expect_problem 401 not_authenticated
	TOKEN=${SERVICE_TOKEN%%,*} cart POST merge/ '{}'
	expect_problem 403 permission_denied
	holds "[[$one,1]]"
}

@test "a merge without a guest's cart shows the user's as it is" {
	user=$(user_token buyer) product=$(new_product)
	for guest in '' "$(random 16)" x; do
		as "$user" POST merge/
		expect_status 200
		expect_json '[.id, .items, .stale] | tojson' '[null,[],false]'
	done
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":2}"
	TOKEN=$user holds "[[$product,2]]"
	shown=$body
	for guest in '' "$(random 16)"; do
		as "$user" POST merge/ '{"strategy":"sum"}'
		expect_status 200
		[[ $body == "$shown" ]]
	done
}

@test "a merge tells what changed since each line was added in its cart" {
	local one two user
	one=$(new_product) two=$(new_product) user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$one,\"quantity\":1}"
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$one/" '{"price":"11.00"}'
	new_guest "$one" 1 "$two" 1
	for product in "$one" "$two"; do
		TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/" '{"price":"12.00"}'
	done
	as "$user" POST merge/
	expect_json '.items | map([.unit_price_at_add, .unit_price]) | tojson' '[["10.00","12.00"],["10.00","12.00"]]'
	expect_json '.changes | map([.product_id, .kind, .from, .to]) | tojson' \
		"[[$one,\"price_up\",\"10.00\",\"12.00\"],[$two,\"price_up\",\"10.00\",\"12.00\"]]"
}

@test "no merge fails: limits cap it, and what stock does not cover is told" {
	local scarce plenty user
	scarce=$(new_product '{"stock_quantity": 5}') plenty=$(new_product '{"stock_quantity": 2000000}')
	user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$scarce,\"quantity\":4}"
	as "$user" POST items/ "{\"product_id\":$plenty,\"quantity\":999999}"
	new_guest "$scarce" 3 "$plenty" 7
	as "$user" POST merge/ '{"strategy":"sum"}'
	expect_status 200
	expect_json '.items | map([.product_id, .quantity]) | tojson' "[[$scarce,7],[$plenty,1000000]]"
	expect_json '.changes | map([.product_id, .kind, .from, .to]) | tojson' \
		"[[$scarce,\"insufficient_stock\",7,5]]"
}

@test "a cart that is full keeps its own lines and the guest's oldest" {
	local first second user
	first=$(new_product) second=$(new_product) third=$(new_product) user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$third,\"quantity\":1}"
	as "$user" GET ''
	psql_as cart "INSERT INTO cart_cartitem (cart_id, product_id, quantity, unit_price_at_add,
			currency_at_add, name, unit_price, currency, is_gone)
		SELECT $(json .id), 9000000000 + n, 1, 100, 'USD', 'x', 100, 'USD', n = 98 FROM generate_series(1, 98) n"
	new_guest "$first" 1 "$second" 1 "$third" 2
	as "$user" POST merge/
	expect_status 200
	# What is gone makes room.
	[[ $(psql_as cart "SELECT string_agg(product_id::text, ' ' ORDER BY id) FROM cart_cartitem
		WHERE cart_id = $(json .id) AND product_id < 9000000000") == "$third $first $second" ]]
	[[ $(psql_as cart "SELECT count(*) || ' ' || max(product_id) FROM cart_cartitem
		WHERE cart_id = $(json .id)") == "100 9000000097" ]]
	fourth=$(new_product) fifth=$(new_product)
	psql_as cart "DELETE FROM cart_cartitem WHERE product_id = $first"
	psql_as cart "UPDATE cart_cartitem SET is_gone = false WHERE cart_id = $(json .id)"
	new_guest "$fourth" 1 "$fifth" 1
	as "$user" POST merge/
	[[ $(psql_as cart "SELECT string_agg(product_id::text, ' ' ORDER BY id) FROM cart_cartitem
		WHERE cart_id = $(json .id) AND product_id < 9000000000") == "$third $second $fourth" ]]
	cart GET ''
	expect_json .id null
}

@test "carts are merged while products is away, too" {
	product=$(new_product) user=$(user_token buyer)
	new_guest "$product" 3
	products_away
	as "$user" POST merge/
	expect_status 200
	expect_json '.items | map([.product_id, .quantity, .unit_price, .available, .in_stock]) | tojson' \
		"[[$product,3,\"10.00\",null,null]]"
	expect_json '[.stale, .changes] | tojson' '[true,[]]'
}

@test "an Idempotency-Key of a merge gives the same answer" {
	product=$(new_product) user=$(user_token buyer) key=$(idem)
	new_guest "$product" 3
	as "$user" POST merge/ '{"strategy":"sum"}' --header "Idempotency-Key: $key"
	expect_status 200
	shown=$body
	as "$user" POST merge/ '{"strategy":"sum"}' --header "Idempotency-Key: $key"
	expect_status 200
	expect_header Idempotent-Replayed true
	[[ $body == "$shown" ]]
	TOKEN=$user holds "[[$product,3]]"
}

@test "a guest's cart that the same user merges ten times at once lands once" {
	local one two user
	one=$(new_product) two=$(new_product) user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$one,\"quantity\":1}"
	new_guest "$one" 2 "$two" 3
	for _ in {1..10}; do
		prepare POST /api/v1/cart/merge/ '{"strategy":"sum"}' "Authorization: Bearer $user" "X-Cart-Token: $guest"
	done
	[[ $(send_prepared) == "200 10" ]]
	guest=
	TOKEN=$user holds "[[$one,3],[$two,3]]"
	[[ $(in_carts "$two") == 3 ]]
}

@test "guests' carts that two users merge at once land with one of them each" {
	local product user stranger guests=() turn
	product=$(new_product '{"stock_quantity": 1000}') user=$(user_token buyer) stranger=$(user_token stranger)
	for turn in {1..6}; do
		new_guest "$product" "$turn"
		guests+=("$guest")
	done
	# In either order, so that each could wait for what the other holds.
	for turn in {0..5}; do
		prepare POST /api/v1/cart/merge/ '{"strategy":"sum"}' "Authorization: Bearer $user" "X-Cart-Token: ${guests[turn]}"
		prepare POST /api/v1/cart/merge/ '{"strategy":"sum"}' "Authorization: Bearer $stranger" "X-Cart-Token: ${guests[5 - turn]}"
		prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":10}" "Authorization: Bearer $user"
	done
	[[ $(send_prepared) == "200 12,201 6" ]]
	[[ $(in_carts "$product") == 81 ]]
	for guest in "${guests[@]}"; do
		cart GET ''
		expect_json .id null
	done
}

@test "what a guest adds while the cart is merged is in one cart or the other" {
	local product user
	product=$(new_product '{"stock_quantity": 1000}') user=$(user_token buyer)
	new_guest "$product" 1
	for turn in {1..30}; do
		prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":1}" "X-Cart-Token: $guest"
		((turn % 10)) ||
			prepare POST /api/v1/cart/merge/ '{"strategy":"sum"}' "Authorization: Bearer $user" "X-Cart-Token: $guest"
	done
	[[ $(send_prepared) == "200 3,201 30" ]]
	[[ $(in_carts "$product") == 31 ]]
	cart GET ''
	expect_json .id null
}

@test "two who merge the same carts never wait for one another in a circle" {
	local product user id
	product=$(new_product '{"stock_quantity": 1000}') user=$(user_token buyer) id=$(user_field buyer .user.id)
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":1}"
	new_guest "$product" 2
	# As a merge does it: the guest's row first. Whoever began with the user's would wait in vain.
	hold cart "SET deadlock_timeout = '10ms';
		SELECT FROM cart_cart WHERE guest_hash = encode(sha256('$guest'), 'hex') FOR UPDATE" >/dev/null
	will_let_go 1 60 "SELECT FROM cart_cart WHERE user_id = $id FOR UPDATE"
	as "$user" POST merge/ '{"strategy":"sum"}'
	expect_status 200
	wait "$holder"
	guest=
	TOKEN=$user holds "[[$product,3]]"
}

@test "a cart that one user is merging is gone for all others, and for its guest" {
	local product user
	product=$(new_product '{"stock_quantity": 1000}') user=$(user_token buyer)
	as "$user" POST items/ "{\"product_id\":$product,\"quantity\":1}"
	new_guest "$product" 2
	hold cart "DELETE FROM cart_cart WHERE guest_hash = encode(sha256('$guest'), 'hex')" >/dev/null
	# Both may wait, or the merge alone.
	will_let_go 2 1
	prepare POST /api/v1/cart/merge/ '{"strategy":"sum"}' "Authorization: Bearer $user" "X-Cart-Token: $guest"
	prepare POST /api/v1/cart/items/ "{\"product_id\":$product,\"quantity\":5}" "X-Cart-Token: $guest"
	[[ $(send_prepared) == "200 1,201 1" ]]
	wait "$holder"
	guest=
	TOKEN=$user holds "[[$product,1]]"
	guest=$(sed -n 's/\r$//; s/^X-Cart-Token: //Ip' "$BATS_TEST_TMPDIR/prepared.headers.2")
	holds "[[$product,5]]"
}
