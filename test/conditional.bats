#!/usr/bin/env bats
# Entity tags, 304, If-Match and 412, and what may be kept by whom (RFC 9110, 9111).

setup_file() {
	load helper
	id=$(new_product '{"price":"5.00","stock_quantity":5}')
	export id
}

setup() {
	load helper
	product=/api/v1/products/$id/
}

tag_of() {
	api GET "$1" "${@:2}"
	header ETag
}

@test "a single resource has a strong tag, and whoever knows it is told so" {
	local tag
	tag=$(tag_of "$product")
	[[ $tag =~ ^\"[0-9a-f]{32}\"$ ]]
	[[ $(tag_of "$product") == "$tag" ]]
	local known
	for known in "$tag" "W/$tag" '*' "\"x\", $tag" "\"x\",W/$tag,\"y\""; do
		api GET "$product" --header "If-None-Match: $known"
		expect_status 304
		[[ -z $body && -z $(header Content-Type) ]]
		expect_header ETag "$tag"
		expect_header Cache-Control 'public, max-age=1'
	done
	api HEAD "$product" --header "If-None-Match: $tag"
	expect_status 304
	for known in '"x"' "${tag%?}" "${tag//\"/}" ''; do
		api GET "$product" --header "If-None-Match: $known"
		expect_status 200
	done
}

@test "the tag changes with what is shown, stock that is sold included" {
	local tag
	tag=$(tag_of "$product")
	curl --silent --fail --header "Authorization: Bearer ${SERVICE_TOKEN%%,*}" --header 'Content-Type: application/json' \
		--data "{\"order_id\":$((RANDOM + 900000000)),\"items\":[{\"product_id\":$id,\"quantity\":1}]}" \
		"http://127.0.0.1:$((PORT + 1))/internal/v1/reservations/"
	api GET "$product" --header "If-None-Match: $tag"
	expect_status 200
	[[ $(header ETag) != "$tag" ]]
}

@test "errors have no tag, and If-None-Match does not hide them" {
	api GET /api/v1/products/999999999/ --header 'If-None-Match: *'
	expect_problem 404 not_found
	[[ -z $(header ETag) ]]
	api GET /api/v1/auth/profile/ --header 'If-None-Match: *'
	expect_problem 401 not_authenticated
}

@test "staff writes with If-Match only over what they have read" {
	local tag
	TOKEN=$(staff_token)
	tag=$(tag_of "$product")
	api PATCH "$product" '{"name":"Renamed"}' --header "If-Match: $tag"
	expect_status 200
	[[ $(header ETag) != "$tag" && $(header ETag) == "$(tag_of "$product")" ]]
	api PATCH "$product" '{"name":"Too late"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	api PUT "$product" '{"name":"Too late","price":"5.00"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	api DELETE "$product" --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	api GET "$product"
	expect_json .name Renamed
	api PATCH "$product" '{"name":"Any"}' --header 'If-Match: *'
	expect_status 200
	# A weak tag says too little to write over.
	api PATCH "$product" '{"name":"Weak"}' --header "If-Match: W/$(tag_of "$product")"
	expect_problem 412 precondition_failed
	api PATCH "$product" '{"name":"Listed"}' --header "If-Match: \"x\", $(tag_of "$product")"
	expect_status 200
	api PATCH /api/v1/products/999999999/ '{"name":"x"}' --header 'If-Match: *'
	expect_problem 404 not_found
	# What may not be done at all is told before what it depends on.
	unset TOKEN
	api PATCH "$product" '{"name":"x"}' --header 'If-Match: "x"'
	expect_problem 401 not_authenticated
}

# Without the transaction's snapshot several would win: each compares before any has written.
@test "of ten that write over the same reading one wins" {
	local tag i token codes
	token=$(staff_token)
	for round in 1 2 3 4 5; do
		tag=$(tag_of "$product")
		codes=$(for i in {0..9}; do
			curl --silent --output /dev/null --write-out '%{http_code}\n' --request PATCH "$BASE$product" \
				--header "Authorization: Bearer $token" --header "If-Match: $tag" \
				--header 'Content-Type: application/json' --data "{\"description\":\"$round $i\"}" &
		done | sort | uniq -c | tr -s ' \n' ' ')
		[[ $codes == " 1 200 9 412 " ]] || complain "round $round: $codes"
	done
}

@test "a created resource is told with the tag that it has from then on" {
	TOKEN=$(staff_token)
	api POST /api/v1/products/categories/ "{\"name\":\"Tagged $(random 4)\"}"
	expect_status 201
	local tag
	tag=$(header ETag)
	[[ -n $tag && $(tag_of "$(header Location)") == "$tag" ]]
	# What register answers is not what its Location shows.
	user_token tagged >/dev/null
	[[ -z $(header ETag) ]]
}

@test "public reads may be kept for a second, by callers without credentials alone" {
	local path
	for path in /api/v1/products/ "$product" /api/v1/products/categories/; do
		api GET "$path"
		expect_header Cache-Control 'public, max-age=1'
		expect_header Vary '.*Authorization.*'
		TOKEN=$(staff_token) api GET "$path"
		expect_header Cache-Control no-store
	done
	api GET /api/v1/products/999999999/
	expect_header Cache-Control no-store
	TOKEN=$(staff_token)
	for path in auth/profile/ orders/ payments/ cart/; do
		api GET "/api/v1/$path"
		expect_status 200
		expect_header Cache-Control no-store
	done
	unset TOKEN
	api GET /api/v1/cart/
	expect_header Cache-Control no-store
}

@test "an order is cancelled only as it was read, where that is asked for" {
	local order tag id
	id=$(new_product)
	user_token buyer >/dev/null
	TOKEN=$(user_field buyer .access)
	api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$id,\"quantity\":1}],\"shipping_address\":{\"name\":\"B\",
		\"line1\":\"1 Road\",\"city\":\"Town\",\"postal_code\":\"1\",\"country\":\"US\"}}" --header "Idempotency-Key: $(idem)"
	expect_status 201
	order=/api/v1/orders/$(json .id)/
	TOKEN=$(staff_token)
	tag=$(tag_of "$order")
	api PUT "${order}cancel/" '{}' --header 'If-Match: "x"'
	expect_problem 412 precondition_failed
	api GET "$order"
	expect_json .status pending
	api PUT "${order}cancel/" '{}' --header "If-Match: $tag"
	expect_status 200
	expect_json .status cancelled
}
