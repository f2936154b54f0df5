# reviews.bats: what customers say of products, and what it does to their ratings.
# shellcheck shell=bash disable=SC2154

setup_file() {
	load helper
	author_token=$(user_token author)
	author=$(user_field author .user.id) email=$(user_field author .user.email) username=$(user_field author .user.username)
	other_token=$(user_token other)
	export author_token author email username other_token
}

setup() {
	load helper
}

teardown() {
	orders_back
}

orders_away() {
	mv "$VAR/run/orders-internal.sock" "$VAR/run/orders-internal.away"
}

orders_back() {
	if [[ -e $VAR/run/orders-internal.away ]]; then
		mv "$VAR/run/orders-internal.away" "$VAR/run/orders-internal.sock"
		# lighttpd leaves a backend that refused alone for a second.
		wait_for 60 curl --silent --fail --output /dev/null "$ORDERS_SERVICE_URL/health/ready"
	fi
}

# review TOKEN PRODUCT JSON: writes one.
review() {
	TOKEN=$1 api POST "/api/v1/products/$2/reviews/" "$3"
}

# rating PRODUCT: "COUNT AVERAGE" as the product shows them.
rating() {
	api GET "/api/v1/products/$1/"
	json '"\(.rating_count) \(.rating_avg)"'
}

buy() {
	TOKEN=$1 api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$2,\"quantity\":1}],\"payment_method\":\"pm_card_visa\",
		\"shipping_address\":{\"name\":\"Ada Buyer\",\"line1\":\"1 Main Street\",\"city\":\"Springfield\",
		\"postal_code\":\"12345\",\"country\":\"US\"}}" --header "Idempotency-Key: $(idem)"
	expect_status 201
	expect_json .status confirmed
}

@test "a review is written, shown to everybody, changed and taken back" {
	local product path id
	product=$(new_product)
	path=/api/v1/products/$product/reviews/
	review "$author_token" "$product" '{"rating":4,"title":"Good","body":"It does what it says."}'
	expect_status 201
	id=$(json .id)
	expect_header Location "$path$id/"
	expect_json 'keys | join(" ")' 'body created_at id product_id rating title updated_at user_id verified_purchase'
	expect_json '[.product_id, .user_id, .rating, .title, .verified_purchase] | tostring' "[$product,$author,4,\"Good\",false]"
	local written=$body
	api GET "$path$id/"
	expect_json . "$(jq -r . <<<"$written")"
	expect_header ETag '"[0-9a-f]+"'
	api GET "$path"
	expect_json '[.count, .results[0]] | tostring' "$(jq -r '[1, .] | tostring' <<<"$written")"
	[[ $(rating "$product") == "1 4" ]]
	# What was read can be sent back; left out is empty, as when it was written.
	TOKEN=$author_token api PUT "$path$id/" "$written"
	expect_status 200
	TOKEN=$author_token api PUT "$path$id/" '{"rating":2,"body":"It broke."}'
	expect_status 200
	expect_json '[.rating, .title, .body] | tostring' '[2,"","It broke."]'
	[[ $(rating "$product") == "1 2" ]]
	api GET "/api/v1/products/?ids=$product"
	expect_json '.results[0] | [.rating_count, .rating_avg] | tostring' '[1,2]'
	TOKEN=$author_token api DELETE "$path$id/"
	expect_status 204
	api GET "$path$id/"
	expect_problem 404 not_found
	TOKEN=$author_token api DELETE "$path$id/"
	expect_problem 404 not_found
	[[ $(rating "$product") == "0 null" ]]
	# And may be written anew.
	review "$author_token" "$product" '{"rating":5}'
	expect_status 201
}

@test "a review needs an account and a rating from 1 to 5" {
	local product bad
	product=$(new_product)
	review '' "$product" '{"rating":5}'
	expect_problem 401 not_authenticated
	for bad in '{}' '{"rating":0}' '{"rating":6}' '{"rating":4.5}' '{"rating":"5"}' '{"rating":null}'; do
		review "$author_token" "$product" "$bad"
		expect_problem 400 invalid
		expect_json '.errors | keys[0]' rating
	done
	review "$author_token" "$product" "{\"rating\":5,\"title\":\"$(printf 'x%.0s' {1..256})\",\"body\":null,\"stars\":1}"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'body stars title'
	[[ $(rating "$product") == "0 null" ]]
}

@test "one review for each user and product" {
	local product id
	product=$(new_product)
	review "$author_token" "$product" '{"rating":5}'
	expect_status 201
	review "$author_token" "$product" '{"rating":1}'
	expect_problem 409 review_taken
	[[ $(rating "$product") == "1 5" ]]
	review "$other_token" "$product" '{"rating":2}'
	expect_status 201
	[[ $(rating "$product") == "2 3.5" ]]
	product=$(new_product)
	id=$(idem)
	TOKEN=$author_token
	api POST "/api/v1/products/$product/reviews/" '{"rating":5}' --header "Idempotency-Key: $id"
	expect_status 201
	api POST "/api/v1/products/$product/reviews/" '{"rating":5}' --header "Idempotency-Key: $id"
	expect_status 201
	expect_header Idempotent-Replayed true
}

@test "another's review is for staff alone to change" {
	local product path
	product=$(new_product)
	review "$author_token" "$product" '{"rating":5,"title":"Mine"}'
	path=$(header Location)
	TOKEN=$other_token api PUT "$path" '{"rating":1}'
	expect_problem 403 permission_denied
	TOKEN=$other_token api DELETE "$path"
	expect_problem 403 permission_denied
	api PUT "$path" '{"rating":1}'
	expect_problem 401 not_authenticated
	# Under another product it is not there at all.
	TOKEN=$author_token api DELETE "/api/v1/products/$(new_product)/reviews/${path##*reviews/}"
	expect_problem 404 not_found
	api GET "$path"
	expect_json '[.rating, .title] | tostring' '[5,"Mine"]'
	TOKEN=$(staff_token) api PUT "$path" '{"rating":5,"title":"Mended"}' --header "If-Match: $(header ETag)"
	expect_status 200
	expect_json .user_id "$author"
	TOKEN=$(staff_token) api PUT "$path" '{"rating":1}' --header 'If-Match: "old"'
	expect_problem 412 precondition_failed
	TOKEN=$(staff_token) api DELETE "$path"
	expect_status 204
}

@test "nothing but their ids tells who has written" {
	local product
	product=$(new_product)
	review "$author_token" "$product" '{"rating":5}'
	api GET "/api/v1/products/$product/reviews/"
	expect_json '.results[0].user_id' "$author"
	! grep -qiF -e "$email" -e "$username" -e '"email"' -e '"username"' <<<"$body"
}

@test "reviews of a product that is hidden or gone are not there" {
	local product path method
	product=$(new_product)
	review "$author_token" "$product" '{"rating":5}'
	path=$(header Location)
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/" '{"is_active":false}'
	for method in GET PUT DELETE; do
		TOKEN=$author_token api $method "$path" "$([[ $method != PUT ]] || echo '{"rating":1}')"
		expect_problem 404 not_found
	done
	api GET "${path%reviews/*}reviews/"
	expect_problem 404 not_found
	review "$other_token" "$product" '{"rating":5}'
	expect_problem 404 not_found
	TOKEN=$(staff_token) api GET "$path"
	expect_status 200
	TOKEN=$(staff_token) api DELETE "/api/v1/products/$product/"
	TOKEN=$(staff_token) api GET "$path"
	expect_problem 404 not_found
	TOKEN=$(staff_token) api GET "${path%reviews/*}reviews/"
	expect_problem 404 not_found
	review "$author_token" 999999999 '{"rating":5}'
	expect_problem 404 not_found
}

@test "reviews come newest first, or as asked" {
	local product path
	product=$(new_product)
	path=/api/v1/products/$product/reviews/
	psql_as products "INSERT INTO products_review (product_id, user_id, rating, title, verified_purchase, created_at)
		SELECT $product, 8000000000 + i, 1 + i % 3, i, false, now() - i * interval '1 hour' FROM generate_series(1, 5) i"
	shown() {
		api GET "$path?page_size=3&$1"
		expect_status 200
		local titles
		titles=$(json '[.results[].title] | join(" ")')
		api GET "$(json .next)"
		echo "$titles $(json '[.results[].title] | join(" ")')"
	}
	[[ $(shown '') == "1 2 3 4 5" ]]
	[[ $(shown cursor=) == "1 2 3 4 5" ]]
	[[ $(shown ordering=-created_at) == "1 2 3 4 5" ]]
	[[ $(shown ordering=created_at) == "5 4 3 2 1" ]]
	[[ $(shown ordering=rating) == "3 1 4 2 5" ]]
	[[ $(shown 'ordering=-rating&cursor=') == "5 2 4 1 3" ]]
	api GET "$path?ordering=title"
	expect_problem 400 invalid
	[[ $(rating "$product") == "5 2.2" ]]
}

@test "who has bought the product is marked, whoever says what" {
	local product
	product=$(new_product)
	buy "$author_token" "$product"
	review "$author_token" "$product" '{"rating":5,"verified_purchase":false}'
	expect_json .verified_purchase true
	TOKEN=$author_token api PUT "$(header Location)" '{"rating":4,"verified_purchase":false}'
	expect_json .verified_purchase true
	review "$other_token" "$product" '{"rating":1,"verified_purchase":true}'
	expect_json .verified_purchase false
}

@test "a review written while orders is away is kept, and verified later" {
	local product path
	product=$(new_product)
	path=/api/v1/products/$product/reviews/
	buy "$author_token" "$product"
	orders_away
	review "$author_token" "$product" '{"rating":5}'
	expect_status 201
	expect_json .verified_purchase null
	[[ $(rating "$product") == "1 5" ]]
	# Reading does not ask again within the minute, and fails at nothing when it asks in vain.
	api GET "$path"
	expect_json '.results[0].verified_purchase' null
	psql_as products "UPDATE products_review SET asked_at = now() - interval '2 minutes' WHERE product_id = $product"
	api GET "$path"
	expect_status 200
	expect_json '.results[0].verified_purchase' null
	[[ $(psql_as products "SELECT asked_at > now() - interval '1 minute' FROM products_review WHERE product_id = $product") == t ]]
	orders_back
	api GET "$path"
	expect_json '.results[0].verified_purchase' null
	is_verified() {
		psql_as products "UPDATE products_review SET asked_at = now() - interval '2 minutes' WHERE product_id = $product"
		api GET "$path"
		[[ $(json '.results[0].verified_purchase') == true ]]
	}
	wait_for 60 is_verified
}

# at_once METHOD SHIFT: a request of each of the users at the same moment, with one star, then
# two, ... as SHIFT says; prints how often each status came.
at_once() {
	local token i=0
	while read -r token; do
		((++i == 1)) || echo next
		cat <<-END
			url = "$BASE/api/v1/products/$product/reviews/$([[ $1 == POST ]] || jq -r '"\(.id)/"' "$BATS_TEST_TMPDIR/review.$i")"
			request = "$1"
			header = "Authorization: Bearer $token"
			header = "Content-Type: application/json"
			data-binary = "{\"rating\":$(((i + $2) % 5 + 1))}"
			output = "$BATS_TEST_TMPDIR/$([[ $1 == POST ]] && echo review || echo answer).$i"
			write-out = "%{http_code}\n"
			silent
		END
	done <"$BATS_TEST_TMPDIR/tokens" >"$BATS_TEST_TMPDIR/requests"
	curl --silent --parallel --parallel-immediate --parallel-max 20 --config "$BATS_TEST_TMPDIR/requests" |
		sort | uniq -c | awk '{print $2 " " $1}'
}

# The product shows what is to be expected and what its reviews add up to.
is_exact() {
	[[ $(rating "$product") == "$1" ]] || complain "expected $1" || return
	[[ $(psql_as products "SELECT (p.rating_count, p.rating_sum) = (count(r.id), coalesce(sum(r.rating), 0))
		FROM products_product p LEFT JOIN products_review r ON r.product_id = p.id
		WHERE p.id = $product GROUP BY p.id") == t ]]
}

@test "twenty users at once: count and average are exact" {
	local product run i
	product=$(new_product)
	run=$(random 6)
	for i in {1..20}; do
		echo "{\"email\":\"reviewer-$run-$i@example.com\",\"password\":\"$run-Aa-$run\"}"
	done | xargs -d '\n' -P 4 -I {} curl --silent --fail --max-time 60 --header 'Content-Type: application/json' \
		--write-out '\n' --data-binary {} "$BASE/api/v1/auth/register/" | jq -r .access >"$BATS_TEST_TMPDIR/tokens"
	[[ $(wc -l <"$BATS_TEST_TMPDIR/tokens") == 20 ]]
	[[ $(at_once POST 0) == "201 20" ]]
	is_exact "20 3"
	[[ $(at_once PUT 1) == "200 20" ]]
	is_exact "20 3"
	# The first twelve are taken back; those of 13 to 20 had 5 1 2 3 4 5 1 2 stars.
	sed -i '13,$d' "$BATS_TEST_TMPDIR/tokens"
	[[ $(at_once DELETE 0) == "204 12" ]]
	is_exact "8 2.88"
}
