#!/usr/bin/env bats
# What every list does: pages by number and by key, links, orderings, bad parameters.

setup_file() {
	load helper
	category=lists-$(random 4)
	TOKEN=$(staff_token)
	export TOKEN category
	api POST /api/v1/products/categories/ "{\"name\":\"$category\",\"slug\":\"$category\"}"
	local id i
	id=$(json .id)
	# Two of each price, so that rows of the same key come by id.
	for i in 1 2 3 4 5 6 7; do
		new_product "{\"name\":\"$category $i\",\"price\":\"$(((i + 1) / 2)).00\",\"category_id\":$id}" >/dev/null
	done
	unset TOKEN
}

setup() {
	load helper
	list="/api/v1/products/?category=$category"
}

# walk PATH next|previous: the names on every page from here, and how many pages there were.
walk() {
	local url=$1 link=$2 pages=0 names=()
	while [[ $url != null ]]; do
		api GET "$url"
		expect_status 200 || return
		names+=("$(json '[.results[].name | split(" ")[1]] | join(",")')")
		url=$(json ".$link")
		((++pages < 20)) || return 1
	done
	echo "${names[*]}"
}

@test "pages by number: count, next, previous and a Link header" {
	api GET "$list&page_size=3&page=2"
	expect_status 200
	expect_json '[.count, (.results | length)] | tostring' '[7,3]'
	expect_json .next "$BASE$list&page_size=3&page=3"
	expect_json .previous "$BASE$list&page_size=3&page=1"
	expect_header Link "<.*page=3>; rel=\"next\", <.*page=1>; rel=\"prev\""
	api GET "$list&page_size=3&page=3"
	expect_json '[.next, (.results | length)] | tostring' '[null,1]'
	api GET "$list&page_size=3&page=4"
	expect_problem 404 not_found
	expect_json .detail 'Invalid page.'
	api GET "$list&page_size=3&%70age=2"
	expect_json .next "$BASE$list&page_size=3&page=3"
	api GET "$list&search=nothing-has-this-name"
	expect_json '[.count, .next, .previous, .results] | tostring' '[0,null,null,[]]'
}

@test "pages by key: no count, the same rows, forwards and back" {
	[[ $(walk "$list&page_size=3&cursor=" next) == "1,2,3 4,5,6 7" ]]
	[[ $(walk "$BASE$list&page_size=3&cursor=" next) == "1,2,3 4,5,6 7" ]]
	local last
	api GET "$list&page_size=3&cursor="
	expect_json '[.count, .previous] | tostring' '[null,null]'
	expect_header Link '<.*cursor=[0-9a-f]+>; rel="next"'
	api GET "$(json .next)"
	api GET "$(json .next)"
	expect_json .next null
	last=$(json .previous)
	[[ $(walk "$last" previous) == "4,5,6 1,2,3" ]]
	api GET "$last"
	api GET "$(json .next)"
	expect_json '[.results[].name | split(" ")[1]] | join(",")' 7
}

@test "pages by key in every ordering, with equal keys" {
	local ordering
	for ordering in name price created_at rating; do
		[[ $(walk "$list&page_size=2&ordering=$ordering&cursor=" next) == "1,2 3,4 5,6 7" ]]
		[[ $(walk "$list&page_size=2&ordering=-$ordering&cursor=" next) == "7,6 5,4 3,2 1" ]]
	done
}

@test "a page by key neither skips nor repeats rows that come and go meanwhile" {
	local id
	api GET "$list&page_size=3&ordering=-price&cursor="
	expect_json '[.results[].name | split(" ")[1]] | join(",")' 7,6,5
	local next
	next=$(json .next)
	id=$(new_product "{\"name\":\"$category new\",\"price\":\"99.00\"}")
	api GET "$next"
	expect_json '[.results[].name | split(" ")[1]] | join(",")' 4,3,2
	TOKEN=$(staff_token) api DELETE "/api/v1/products/$id/"
}

@test "bad cursors, and a cursor of another ordering, are refused" {
	local cursor bad
	api GET "$list&page_size=3&ordering=price&cursor="
	cursor=$(json .next | sed 's/.*cursor=//')
	for bad in x 00 zz "${cursor}0" "${cursor}ff" "$(printf 'f,price,5,abc' | od -An -tx1 | tr -d ' \n')" \
		"$(printf 'f,price,0x5,1' | od -An -tx1 | tr -d ' \n')" "$(printf 'x,price,5,1' | od -An -tx1 | tr -d ' \n')" \
		"$(printf 'f,price,5,99999999999999999999' | od -An -tx1 | tr -d ' \n')"; do
		api GET "$list&ordering=price&cursor=$bad"
		expect_problem 400 invalid
		expect_json '.errors.cursor[0]' 'Invalid cursor.'
	done
	api GET "$list&ordering=name&cursor=$cursor"
	expect_json '.errors.cursor[0]' 'Invalid cursor.'
	api GET "$list&ordering=price&cursor=$cursor&page=2"
	expect_json '.errors.cursor | length' 1
	api GET "$list&ordering=price&cursor=$cursor"
	expect_status 200
}

@test "a text that is a key may hold anything" {
	local name
	name="$category, ,é\\\"%27&ordering=x"
	TOKEN=$(staff_token) api POST /api/v1/products/ "{\"name\":\"$name\",\"price\":\"1.00\",\"sku\":\"$(random 8)\"}"
	expect_status 201
	local id
	id=$(json .id)
	api GET "/api/v1/products/?ids=$id,$((id - 1)),$((id - 2))&ordering=-name&page_size=1&cursor="
	expect_json .results[0].id "$id"
	api GET "$(json .next)"
	expect_status 200
	api GET "$(json .previous)"
	expect_json .results[0].id "$id"
	TOKEN=$(staff_token) api DELETE "/api/v1/products/$id/"
}

@test "page_size above 100 is 100; pages and sizes below 1, and other numbers, are refused" {
	api GET "$list&page_size=1000"
	expect_status 200
	local bad
	for bad in page=0 page=-1 page=x page=1.5 page=99999999999999999999 page= page_size=0 page_size=x \
		ordering=nothing ordering= ordering=relevance in_stock=maybe ids=1,x min_price=abc; do
		api GET "$list&$bad"
		expect_problem 400 invalid
		expect_json '.errors | keys[0]' "${bad%%=*}"
	done
	for bad in page=1\&page=2 cursor=\&cursor= ordering=price\&ordering=name search=a\&search=b; do
		api GET "$list&$bad"
		expect_problem 400 invalid
	done
	api GET "$list&unknown=1&page_size=2"
	expect_status 200
}

@test "every list is such an envelope, by number and by key" {
	local path id
	id=$(new_product '{"stock_quantity":0,"variants":[{"name":"S"}],"images":[{"url":"/media/a.svg"}]}')
	TOKEN=$(staff_token)
	for path in products/ products/categories/ "products/$id/variants/" "products/$id/images/" orders/ payments/; do
		api GET "/api/v1/$path"
		expect_json 'keys | join(" ")' 'count next previous results'
		expect_json '.count | type' number
		api GET "/api/v1/$path?cursor="
		expect_json '[.count, (.results | type)] | tostring' '[null,"array"]'
	done
	api GET /api/v1/products/999999999/variants/
	expect_problem 404 not_found
	api GET "/api/v1/products/999999999/variants/?cursor="
	expect_problem 404 not_found
}

@test "a list without a choice of orderings refuses every one; orders and payments have one" {
	local path id
	id=$(new_product)
	TOKEN=$(staff_token)
	for path in "products/$id/variants/" "products/$id/images/" auth/addresses/ auth/saved-items/; do
		api GET "/api/v1/$path?ordering=created_at"
		expect_problem 400 invalid
		expect_json '.errors | keys[0]' ordering
	done
	for path in orders/ payments/ products/categories/; do
		api GET "/api/v1/$path?ordering=nothing"
		expect_problem 400 invalid
	done
	for path in orders/?ordering=created_at orders/?ordering=-created_at\&cursor= payments/?ordering=-created_at \
		products/categories/?ordering=-name; do
		api GET "/api/v1/$path"
		expect_status 200
	done
}
