# catalogue.bats: what there is to find, in which order, and who changes it at the same moment.
# shellcheck shell=bash disable=SC1003,SC2016,SC2030,SC2031,SC2154

setup() {
	load helper
	arnova=${ARNOVA_BUILD:-build}/arnova
	word=$(random 5 | tr 0-9 g-p) # letters alone: nothing else looks like it
}

# category JSON...: adds one and prints its id.
category() {
	TOKEN=$(staff_token) api POST /api/v1/products/categories/ "$(jq -cs add <<<"{\"name\":\"Category $(random 4)\"} $*")"
	expect_status 201 || return
	json .id
}

# names QUERY: those that the list of products shows for it.
names() {
	api GET "/api/v1/products/?$1"
	expect_status 200 || return
	json '[.results[].name] | join("|")'
}

# all_at_once FILE: sends the requests of a curl configuration; prints how often each status came.
all_at_once() {
	curl --silent --parallel --parallel-immediate --parallel-max 100 --config <(sed '$d' "$1") 2>/dev/null |
		sort | uniq -c | awk '{print $2 " " $1}' | paste -sd ,
}

# request METHOD URL JSON [HEADER]: one of them, by whoever TOKEN is.
request() {
	cat <<-END
		url = "$2"
		request = "$1"
		header = "Authorization: Bearer $TOKEN"
		header = "Content-Type: application/json"
		header = "${4-X-None: none}"
		data-binary = "${3//\"/\\\"}"
		output = "/dev/null"
		write-out = "%{http_code}\n"
		max-time = 60
		silent
		next
	END
}

internal() {
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$PRODUCTS_SERVICE_URL/internal/v1/$1" "${2-}"
}

# ---- Categories.

@test "categories come as a list, or as trees of their own" {
	local top a b c other
	top=$(category '{"name":"Top"}')
	b=$(category "{\"name\":\"B\",\"parent_id\":$top}")
	a=$(category "{\"name\":\"A \\\"quoted\\\", [x]}\",\"parent_id\":$top}")
	c=$(category "{\"name\":\"C\",\"parent_id\":$a}")
	other=$(category '{"name":"Other"}')
	in_tree() {
		api GET "/api/v1/products/categories/?tree=true&$1"
		expect_status 200
		expect_json "[.results[] | select(.id == $top or .id == $other) | recurse(.children[]) | .id] | tostring" \
			"[$top,$a,$c,$b,$other]"
		# Below a root, and nowhere else.
		expect_json "[.results[].parent_id] | unique | tostring" '[null]'
		expect_json "[.results[] | select(.id == $other) | .children] | tostring" '[[]]'
	}
	in_tree page_size=100
	expect_json '.count == (.results | length)' true
	in_tree 'page_size=100&cursor='
	api GET '/api/v1/products/categories/?tree=true&page_size=1'
	expect_json '.results | length' 1
	expect_json '.next | contains("tree=true")' true
	for flat in '' '&tree=false'; do
		api GET "/api/v1/products/categories/?page_size=100$flat"
		expect_json "[.results[] | select(.id == $c) | .parent_id, has(\"children\")] | tostring" "[$a,false]"
	done
	api GET '/api/v1/products/categories/?tree=perhaps'
	expect_problem 400 invalid
	# What the tree shows can be sent back.
	api GET '/api/v1/products/categories/?tree=true&page_size=100'
	TOKEN=$(staff_token) api PUT "/api/v1/products/categories/$top/" "$(json ".results[] | select(.id == $top)")"
	expect_status 200
}

@test "a category never comes to stand below itself, whoever moves at the same moment" {
	local a b c round answer move tag
	a=$(category) b=$(category "{\"parent_id\":$a}") c=$(category "{\"parent_id\":$b}")
	TOKEN=$(staff_token)
	for below in "$a" "$b" "$c"; do
		api PATCH "/api/v1/products/categories/$a/" "{\"parent_id\":$below}"
		expect_problem 409 category_cycle
		api PUT "/api/v1/products/categories/$a/" "{\"name\":\"A\",\"parent_id\":$below}" --header 'If-Match: *'
		expect_problem 409 category_cycle
	done
	api PATCH "/api/v1/products/categories/$a/" '{"parent_id":999999999}'
	expect_problem 400 invalid
	expect_json '.errors.parent_id | length' 1
	api POST /api/v1/products/categories/ '{"name":"x","parent_id":999999999}'
	expect_problem 400 invalid
	# Below one another: one of two moves is too late, also where each looks at a snapshot of
	# before the other.
	for round in plain conditional; do
		a=$(category) b=$(category) c=$(category "{\"parent_id\":$a}")
		for move in "$a $b" "$b $c"; do
			api GET "/api/v1/products/categories/${move% *}/"
			tag=$(header ETag)
			[[ $round == conditional ]] || tag='*'
			request PATCH "$BASE/api/v1/products/categories/${move% *}/" "{\"parent_id\":${move#* }}" "If-Match: ${tag//\"/\\\"}"
		done >"$BATS_TEST_TMPDIR/moves"
		# Until both wait for the tree.
		hold products "SELECT pg_advisory_xact_lock(hashtext('products_category'))" >/dev/null
		will_let_go 2 1.5
		answer=$(all_at_once "$BATS_TEST_TMPDIR/moves")
		[[ $answer == "200 1,409 1" ]] || complain "$round: $answer"
		wait "$holder"
	done
	# The same by hand, where nothing but the table stands in between.
	psql_as products "UPDATE products_category SET parent_id = id WHERE id = $a" 2>&1 | grep -q category_cycle
	[[ $(psql_as products "SELECT count(*) FROM pg_constraint WHERE conname = 'category_cycle'") == 1 ]]
}

@test "a category is moved, renamed over what was read, and not removed while it is in use" {
	local top below tag product
	top=$(category) below=$(category "{\"parent_id\":$top}")
	TOKEN=$(staff_token)
	api GET "/api/v1/products/categories/$below/"
	tag=$(header ETag)
	api PATCH "/api/v1/products/categories/$below/" '{"description":"x"}' --header "If-Match: $tag"
	expect_status 200
	api PATCH "/api/v1/products/categories/$below/" '{"description":"y"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	api DELETE "/api/v1/products/categories/$below/" --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	api DELETE "/api/v1/products/categories/$top/"
	expect_problem 409 category_in_use
	product=$(new_product "{\"category_id\":$below}")
	api DELETE "/api/v1/products/categories/$below/"
	expect_problem 409 category_in_use
	api DELETE "/api/v1/products/$product/"
	api DELETE "/api/v1/products/categories/$below/"
	expect_status 204
	api DELETE "/api/v1/products/categories/$top/"
	expect_status 204
	api DELETE "/api/v1/products/categories/$top/"
	expect_problem 404 not_found
}

@test "categories stand at most twenty levels deep" {
	local root last
	root=$(category)
	last=$(psql_as products "DO \$\$ DECLARE above bigint := $root; BEGIN
			FOR level IN 2..20 LOOP
				above := create_category(jsonb_build_object('name', 'Level ' || level, 'parent_id', above));
			END LOOP;
		END \$\$; SELECT max(id) FROM products_category")
	TOKEN=$(staff_token)
	api POST /api/v1/products/categories/ "{\"name\":\"x\",\"parent_id\":$last}"
	expect_problem 400 invalid
	expect_json '.errors | keys[0]' parent_id
	# Nor is all of it moved below another one.
	api PATCH "/api/v1/products/categories/$root/" "{\"parent_id\":$(category)}"
	expect_problem 400 invalid
	api GET '/api/v1/products/categories/?tree=true&page_size=100'
	expect_json "[.results[] | select(.id == $root) | recurse(.children[]) | .id] | [length, .[-1]] | tostring" "[20,$last]"
}

# ---- Search.

@test "what is in the name goes before the SKU, and that before the description" {
	new_product "{\"name\":\"Third $word\",\"description\":\"A thing.\"}"
	new_product "{\"name\":\"First\",\"description\":\"$word, $word and $word; $word and $word once more $word\"}"
	new_product "{\"name\":\"Second\",\"sku\":\"$word-77\"}"
	[[ $(names "search=$word") == "Third $word|Second|First" ]]
	[[ $(names "search=$word&ordering=name") == "First|Second|Third $word" ]]
	[[ $(names "search=third+$word") == "Third $word" ]]
	[[ $(names "search=$word+-third&ordering=name") == "First|Second" ]]
	# Two words, far apart in the name, often side by side in the description.
	new_product "{\"name\":\"Lamp ${word}a with one long name before its shade\"}"
	new_product "{\"name\":\"Last\",\"description\":\"$(printf "${word}a shade %.0s" {1..30})\"}"
	[[ $(names "search=${word}a+shade") == "Lamp ${word}a with one long name before its shade|Last" ]]
}

@test "a search knows forms of words, accents, and parts of a SKU" {
	local sku
	sku=${word^^}-Q_7%x
	new_product "{\"name\":\"Crème brûlée torches $word\"}"
	new_product "{\"name\":\"Plain\",\"sku\":\"$sku\"}"
	new_product "{\"name\":\"Striped\",\"stock_quantity\":0,\"variants\":[{\"name\":\"S\",\"sku\":\"V${word}V\"}]}"
	[[ $(names "search=torch+$word") == "Crème brûlée torches $word" ]]
	[[ $(names "search=creme+brulee+$word") == "Crème brûlée torches $word" ]]
	[[ $(names "search=${word}-q_7%25x") == Plain ]]
	[[ $(names "search=${word:2}-q_7") == Plain ]]
	[[ $(names "search=v${word}v") == Striped ]]
	# % and _ stand for themselves.
	[[ $(names "search=${word:0:4}%25${word:6}") != *Plain* && $(names "search=${word:0:4}_${word:5}") != *Plain* ]]
}

@test "a mistyped search finds the nearest names, and only where it finds nothing as it is" {
	local full=${word}tronic typed
	new_product "{\"name\":\"Grand $full piano\"}"
	new_product "{\"name\":\"$full\",\"is_active\":false}"
	new_product "{\"name\":\"${full:0:6}ending\"}" # a little like it
	for typed in "${full/tron/tro}" "${full/tron/trron}" "${full/tron/trno}" "${full/tron/tran}" "${full:0:10}"; do
		[[ $(names "search=$typed") == "Grand $full piano" ]] || complain "$typed"
		[[ $(names "search=$typed&cursor=") == "Grand $full piano" ]]
	done
	# Staff finds what is hidden, too.
	[[ $(TOKEN=$(staff_token) names "search=${full/tron/tro}" | tr '|' '\n' | sort | paste -sd '|') == \
		"$(printf '%s\n' "$full" "Grand $full piano" | sort | paste -sd '|')" ]]
	# Found as it is: nothing similar beside it, and a narrow filter is no typing error.
	new_product "{\"name\":\"A ${full}x\",\"price\":\"1.00\"}"
	[[ $(names "search=${full}x") == "A ${full}x" ]]
	[[ $(names "search=${full}x&min_price=2") == "" ]]
	[[ $(names "search=zzzz${word}zzzz-nothing-is-like-it") == "" ]]
}

@test "the count of a search is that of its pages" {
	local i seen url kind
	for i in {1..7}; do new_product "{\"name\":\"${word}pages number $i\"}" >/dev/null; done
	for kind in "${word}pages" "${word}paegs"; do
		url="/api/v1/products/?search=$kind&page_size=3" seen=0
		while [[ $url != null ]]; do
			api GET "$url"
			expect_json .count 7
			seen=$((seen + $(json '.results | length')))
			url=$(json .next)
		done
		((seen == 7)) || complain "$kind: $seen"
	done
}

@test "no text is a search that fails" {
	local text
	for text in "'" '"' '\' '%' '_' '\\%' '-' '!' '( ) | & :*' "a'b\\c" '<->' 'a <-> b' '"unclosed' '- - -' 'the' 'or' \
		"'; DROP TABLE products_product; --" '$1' ':id' '{}' '🧨' 'a:b:c' '*' '?' 'ẞ' $'\u202e' '   x   ' \
		"$(printf 'x%.0s' {1..200})" "$(printf 'é %.0s' {1..99})"; do
		api GET "/api/v1/products/" --get --data-urlencode "search=$text"
		expect_status 200
	done
	for text in '' '   ' "$(printf 'x%.0s' {1..201})"; do
		api GET "/api/v1/products/" --get --data-urlencode "search=$text"
		expect_problem 400 invalid
	done
}

# ---- Filters and orderings.

@test "filters narrow each other, in every ordering" {
	local top below one three four
	top=$(category "{\"slug\":\"$word-top\"}") below=$(category "{\"parent_id\":$top}")
	one=$(new_product "{\"name\":\"f1\",\"price\":\"10.00\",\"category_id\":$top}")
	new_product "{\"name\":\"f2\",\"price\":\"20.00\",\"category_id\":$below,\"stock_quantity\":0}"
	three=$(new_product "{\"name\":\"f3\",\"price\":\"15.50\",\"category_id\":$below,\"stock_quantity\":1,\"variants\":[
		{\"name\":\"S\",\"stock_quantity\":0},{\"name\":\"L\",\"stock_quantity\":1}]}")
	four=$(new_product "{\"name\":\"f4\",\"price\":\"15.50\",\"category_id\":$below,\"is_active\":false}")
	psql_as products "INSERT INTO products_review (product_id, user_id, rating) VALUES ($one, 1, 3), ($three, 1, 5), ($three, 2, 4)"
	local all="category=$word-top"
	[[ $(names "$all") == "f1|f2|f3" ]]
	[[ $(names "category=$top") == "f1|f2|f3" ]]
	[[ $(names "category=$below") == "f2|f3" ]]
	[[ $(TOKEN=$(staff_token) names "$all") == "f1|f2|f3|f4" ]]
	[[ $(names "$all&in_stock=true") == "f1|f3" ]]
	[[ $(names "$all&in_stock=false") == "f2" ]]
	[[ $(names "$all&min_price=15.5") == "f2|f3" ]]
	[[ $(names "$all&max_price=15.50") == "f1|f3" ]]
	[[ $(names "$all&min_price=15.51&max_price=19.999") == "" ]]
	[[ $(names "$all&min_price=11&in_stock=true&search=f3") == "f3" ]]
	[[ $(names "$all&ids=$three,$one,999999999") == "f1|f3" ]]
	[[ $(names "ids=$four") == "" ]]
	[[ $(TOKEN=$(staff_token) names "ids=$four") == "f4" ]]
	for order in name:f1,f2,f3 -name:f3,f2,f1 price:f1,f3,f2 -price:f2,f3,f1 created_at:f1,f2,f3 \
		-created_at:f3,f2,f1 rating:f2,f1,f3 -rating:f3,f1,f2; do
		[[ $(names "$all&ordering=${order%%:*}") == "$(tr , '|' <<<"${order#*:}")" ]] || complain "$order"
	done
	api GET "/api/v1/products/?category=no-such&in_stock=maybe&min_price=-1&max_price=1.2345&ids=1,,2&ordering=stock"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'ids in_stock max_price min_price ordering'
	for bad in category=no-such category=999999999 category=99999999999999999999 category= "ids=$(seq -s , 101)" \
		ids= ids=0 "$all&category=x" in_stock= ; do
		api GET "/api/v1/products/?$bad"
		expect_problem 400 invalid
	done
}

@test "a price is filtered in its own currency's decimals" {
	local top
	top=$(category "{\"slug\":\"$word-money\"}")
	new_product "{\"name\":\"yen\",\"price\":\"500\",\"currency\":\"JPY\",\"category_id\":$top}"
	new_product "{\"name\":\"dinar\",\"price\":\"500.500\",\"currency\":\"KWD\",\"category_id\":$top}"
	new_product "{\"name\":\"dollar\",\"price\":\"500.25\",\"category_id\":$top}"
	[[ $(names "category=$top&max_price=500&ordering=name") == yen ]]
	[[ $(names "category=$top&min_price=500.3&ordering=name") == dinar ]]
	[[ $(names "category=$top&min_price=500.001&max_price=500.4&ordering=name") == dollar ]]
}

# explained PARAMETER...: how that variant of the list ran, as "BUFFERS ROWS SEARCHES FOUND" in two
# lines: planned for these values, and for any.  ROWS are the most that any step has looked at (of the
# few variants that other tests have left it may well look at all, for each product of the page),
# SEARCHES how often products were searched for, FOUND how many that gave.
explained() {
	local text name names types=() values=() place=0 mode
	local -A value=([is_staff]=false [limit]=20 [offset]=0 [direction]=1)
	for name; do value[${name%%=*}]=${name#*=}; done
	text=$("${ARNOVA_BUILD:-build}/test/check_sql" products list_products "$@") || return
	read -ra names <<<"$(head -n 1 <<<"${text#-- }")"
	for name in "${names[@]}"; do
		((++place))
		# The server finds the types of those that the text has.
		[[ $text =~ \$${place}[^0-9] ]] && types+=(unknown) || types+=(text)
		[[ -v value[$name] ]] && values+=("'${value[$name]}'") || values+=(NULL)
	done
	local IFS=,
	for mode in custom generic; do
		echo "SET plan_cache_mode = force_${mode}_plan; EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off,
			SUMMARY off, FORMAT json) EXECUTE list(${values[*]});"
	done | psql -XAtq -v ON_ERROR_STOP=1 -d "$PRODUCTS_DATABASE_URL" \
		-c "PREPARE list(${types[*]}) AS $(tail -n +2 <<<"$text")" -f - |
		jq -r '.[0].Plan | "\(."Shared Hit Blocks" + ."Shared Read Blocks") \([recurse(.Plans[]?)
			| select(."Relation Name" // ."Index Name" // "" | contains("variant") | not)
			| ."Actual Rows" * ."Actual Loops" + (."Rows Removed by Filter" // 0)] | max) \([recurse(.Plans[]?)
			| select(."Function Name" == "find_products")] | "\(map(."Actual Loops") | add // 0) \(
			map(."Actual Rows") | add // 0)")"'
}

@test "a page by key costs the same at any depth, in every ordering" {
	local order key buffers rows seen deep=$word-deep-4800 id
	psql_as products "INSERT INTO products_product (name, slug, price, currency, created_at, rating_count, rating_sum)
		SELECT '$word deep ' || to_char(i, 'FM0000'), '$word-deep-' || i, i * 7919 % 5000, 'USD',
		       timestamptz '2020-01-01' + i * interval '1 minute', i % 6, i % 6 * (1 + i % 5) FROM generate_series(1, 5000) i;
		INSERT INTO products_stock (product_id) SELECT id FROM products_product WHERE slug LIKE '$word-deep-%'"
	psql_owner "ANALYZE products.products_product, products.products_stock"
	id=$(psql_as products "SELECT id FROM products_product WHERE slug = '$deep'")
	while read -r order key; do
		local parameters=(cursor) place=(after_up="$key")
		[[ $order != -* ]] || { parameters+=(descending=true) place=(after_down="$key"); }
		[[ $order == id ]] || parameters+=("order_by=${order#-}")
		seen=0
		while read -r buffers rows _; do
			seen=$((seen + 1))
			# A page of 21 rows, and what belongs to each.
			((rows <= 500 && buffers <= 600)) || complain "$order: $rows rows, $buffers buffers"
		done < <(explained "${parameters[@]}" && explained "${parameters[@]}" "${place[@]}" after_id="$id")
		((seen == 4)) || complain "$order: $seen plans"
	done <<-END
		id $id
		price 4900
		-price 100
		name $word deep 4900
		-name $word deep 0100
		created_at 2020-01-04 08:00:00+00
		-created_at 2020-01-01 02:00:00+00
		rating 4
		-rating 2
	END
	psql_as products "DELETE FROM products_stock WHERE product_id IN (SELECT id FROM products_product WHERE slug LIKE '$word-deep-%');
		DELETE FROM products_product WHERE slug LIKE '$word-deep-%'"
}

@test "what variants that are gone had in stock is not in stock" {
	local top product small large
	top=$(category "{\"slug\":\"$word-variants\"}")
	product=$(new_product "{\"name\":\"v1\",\"category_id\":$top,\"stock_quantity\":3,\"variants\":[
		{\"name\":\"S\",\"stock_quantity\":1},{\"name\":\"L\",\"stock_quantity\":2}]}")
	api GET "/api/v1/products/$product/variants/"
	small=$(json '.results[0].id') large=$(json '.results[1].id')
	in_stock() { # TRUE FALSE: the names on either side
		[[ $(names "category=$top&in_stock=true")/$(names "category=$top&in_stock=false") == "$1/$2" ]]
	}
	in_stock v1 ''
	TOKEN=$(staff_token) api DELETE "/api/v1/products/$product/variants/$small/"
	in_stock v1 ''
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/variants/$large/" '{"stock_quantity":0}'
	in_stock '' v1
	TOKEN=$(staff_token) api DELETE "/api/v1/products/$product/variants/$large/"
	in_stock '' v1
	TOKEN=$(staff_token) api PATCH "/api/v1/products/$product/" '{"stock_quantity":4}'
	expect_status 200
	in_stock v1 ''
}

@test "what is in stock is found without summing up each product's stock" {
	local wanted buffers seen
	psql_as products "INSERT INTO products_product (name, slug, price, currency)
		SELECT '$word stocked ' || i, '$word-stocked-' || i, 100, 'USD' FROM generate_series(1, 5000) i;
		INSERT INTO products_stock (product_id, on_hand) SELECT id, id % 2 FROM products_product WHERE slug LIKE '$word-stocked-%'"
	psql_owner "ANALYZE products.products_product, products.products_stock"
	for wanted in true false; do
		seen=0
		while read -r buffers _; do
			seen=$((seen + 1))
			((buffers <= 5000)) || complain "in_stock=$wanted: $buffers buffers"
		done < <(explained in_stock="$wanted")
		((seen == 2)) || complain "in_stock=$wanted: $seen plans"
	done
	psql_as products "DELETE FROM products_stock WHERE product_id IN (SELECT id FROM products_product WHERE slug LIKE '$word-stocked-%');
		DELETE FROM products_product WHERE slug LIKE '$word-stocked-%'"
}

@test "a search runs once, and compares few of the names that nearly match it" {
	local typed searches found seen compared
	psql_as products "INSERT INTO products_product (name, slug, price, currency)
		SELECT '${word}ganic ${word}otton shirt ' || i, '$word-many-' || i, 100, 'USD' FROM generate_series(1, 5000) i"
	psql_owner "ANALYZE products.products_product"
	# One that all are like, one whose ends come from two words of each, and one without an end.
	for typed in "${word}gnaic" "${word}ganirt" "${word}otten$(printf " ${word}gnaic shrit%.0s" {1..8})"; do
		seen=0
		while read -r _ _ searches found; do
			seen=$((seen + 1))
			((searches == 1 && found <= 1000)) || complain "$typed: $searches searches, $found found"
		done < <(explained search search="$typed")
		((seen == 2)) || complain "$typed: $seen plans"
		[[ $(names "search=${typed// /+}") == *"${word}ganic"* ]] || complain "$typed: not found"
		compared=$(psql_owner "SET search_path = products, public; SET track_functions = 'all'; BEGIN;
			DO \$\$ BEGIN PERFORM find_products('$typed', false); END \$\$;
			SELECT sum(calls) FROM pg_stat_xact_user_functions WHERE funcname LIKE 'word\_similarity%'")
		((compared > 0 && compared <= 5000)) || complain "$typed: $compared comparisons"
	done
	psql_as products "DELETE FROM products_product WHERE slug LIKE '$word-many-%'"
}

# ---- Variants and images.

@test "a variant and an image have a place of their own" {
	local product variant image path id
	product=$(new_product '{"stock_quantity":0}')
	TOKEN=$(staff_token)
	api POST "/api/v1/products/$product/variants/" '{"options":{"Colour":"Red","Size":"L"},"price":"12.00","stock_quantity":3}'
	expect_status 201
	expect_json '[.name, .price, .stock_quantity, .in_stock] | tostring' '["L / Red","12.00",3,true]'
	variant=$(header Location)
	api POST "/api/v1/products/$product/images/" '{"url":"https://cdn.example.com/a.webp","alt":"A"}'
	expect_status 201
	image=$(header Location)
	for path in "$variant" "$image"; do
		unset TOKEN
		api GET "$path"
		expect_status 200
		id=${path%/}
		expect_json .id "${id##*/}"
		local tag
		tag=$(header ETag)
		# Under another product it is not there.
		api GET "/api/v1/products/999999999/${path#*products/*/}"
		expect_problem 404 not_found
		TOKEN=$(staff_token)
		api PATCH "$path" '{}' --header 'If-Match: "x"'
		expect_problem 412 precondition_failed
		api PATCH "$path" '{}' --header "If-Match: $tag"
		expect_status 200
		api PATCH "/api/v1/products/$product/" '{"is_active":false}'
		TOKEN='' api GET "$path"
		expect_problem 404 not_found
		api GET "$path"
		expect_status 200
		api PATCH "/api/v1/products/$product/" '{"is_active":true}'
	done
	api PATCH "$variant" '{"name":"A"}' --header 'If-Match: *'
	api DELETE "$variant" --header 'If-Match: "x"'
	expect_problem 412 precondition_failed
	api DELETE "$variant"
	expect_status 204
	api GET "$variant"
	expect_problem 404 not_found
}

@test "a variant's PATCH changes what was sent, its PUT resets the rest but stock and sku" {
	local product variant
	product=$(new_product "{\"price\":\"10.00\",\"stock_quantity\":4,\"variants\":[
		{\"sku\":\"$word\",\"options\":{\"Size\":\"S\"},\"price\":\"12.00\",\"stock_quantity\":4}]}")
	TOKEN=$(staff_token)
	api GET "/api/v1/products/$product/variants/"
	variant=/api/v1/products/$product/variants/$(json '.results[0].id')/
	shown='[.name, .sku, (.options | tostring), .price, .stock_quantity] | join("|")'
	api PATCH "$variant" '{"options":{"Size":"M"}}'
	expect_json "$shown" "S|$word|{\"Size\":\"M\"}|12.00|4"
	api PATCH "$variant" '{"name":"Medium","price":null}'
	expect_json "$shown" "Medium|$word|{\"Size\":\"M\"}|10.00|4"
	# What was read can be sent back, and the price stays the product's.
	api PUT "$variant" "$body"
	expect_status 200
	api PATCH "/api/v1/products/$product/" '{"price":"11.00"}'
	api GET "$variant"
	expect_json "$shown" "Medium|$word|{\"Size\":\"M\"}|11.00|4"
	api PUT "$variant" '{"options":{"Size":"XL"},"price":13}'
	expect_json "$shown" "XL|$word|{\"Size\":\"XL\"}|13.00|4"
	api PUT "$variant" '{"stock_quantity":7}'
	expect_json "$shown" "XL|$word|{}|11.00|7"
	api PATCH "$variant" '{"sku":null}'
	expect_json "$shown" "XL||{}|11.00|7"
	for bad in '{"price":"1.999"}' '{"options":{"Size":5}}' '{"options":["S"]}' '{"stock_quantity":-1}' '{"colour":"x"}' '{"price":"-1"}'; do
		api PATCH "$variant" "$bad"
		expect_problem 400 invalid
	done
	api POST /api/v1/products/ '{"name":"x","price":"1","variants":[{"price":"1.999"}]}'
	expect_problem 400 invalid
	expect_json '.errors | keys[0]' 'variants[0].price'
	api POST "/api/v1/products/$product/variants/" '{"price":"1.999"}'
	expect_json '.errors | keys[0]' price
	api PATCH "${variant%/*/}/999999999/" '{}'
	expect_problem 404 not_found
}

@test "the last variant goes, and the product has a stock of its own again" {
	local product variant order=$((RANDOM * 32768 + RANDOM + 2000000000))
	product=$(new_product '{"stock_quantity":5,"variants":[{"name":"S","stock_quantity":5}]}')
	TOKEN=$(staff_token)
	api GET "/api/v1/products/$product/"
	variant=$(json '.variants[0].id')
	internal reservations/ "{\"order_id\":$order,\"items\":[{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":2}]}"
	expect_status 201
	# What is reserved of a variant stays so when it goes, and comes back to where it was.
	api DELETE "/api/v1/products/$product/variants/$variant/"
	expect_status 204
	api GET "/api/v1/products/$product/"
	expect_json '[.stock_quantity, .in_stock, .variant_count, (.variants | length)] | tostring' '[0,false,0,0]'
	internal "reservations/$order/consume/" "{\"items\":[{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":1}],\"reference\":\"one\"}"
	internal "reservations/$order/release/"
	expect_json .state released
	[[ $(psql_as products "SELECT on_hand || ' ' || reserved FROM products_stock WHERE variant_id = $variant") == "4 0" ]]
	api PATCH "/api/v1/products/$product/" '{"stock_quantity":3}'
	expect_status 200
	expect_json .stock_quantity 3
	internal reservations/ "{\"order_id\":$((order + 1)),\"items\":[{\"product_id\":$product,\"quantity\":3}]}"
	expect_status 201
	# All of it reserved: there is stock nonetheless, and no place for a variant.
	api POST "/api/v1/products/$product/variants/" '{"name":"M"}'
	expect_problem 409 product_has_stock
	internal "reservations/$((order + 1))/consume/" '{"reference":"two"}'
	api POST "/api/v1/products/$product/variants/" '{"name":"M","stock_quantity":2}'
	expect_status 201
	api POST "/api/v1/products/$product/variants/" '{"name":"L","stock_quantity":2}'
	expect_status 201
	api GET "/api/v1/products/$product/"
	expect_json '[.stock_quantity, .variant_count] | tostring' '[4,2]'
	# What an import may have left to the product itself is not for sale beside its variants.
	psql_as products "SELECT move_stock(id, 3, 0, 'correction') FROM products_stock WHERE product_id = $product AND variant_id IS NULL"
	api GET "/api/v1/products/$product/"
	expect_json .stock_quantity 4
	api POST "/api/v1/products/$product/variants/" '{"name":"XL"}'
	expect_status 201
	internal reservations/ "{\"order_id\":$((order + 2)),\"items\":[{\"product_id\":$product,\"quantity\":1}]}"
	expect_problem 409 insufficient_stock
	TOKEN=${SERVICE_TOKEN%%,*} api PATCH "/api/v1/products/$product/" '{"stock_quantity":5}'
	expect_problem 400 invalid
	expect_json '.errors | keys[0]' stock_quantity
}

@test "variants that hold more than an integer are refused in time" {
	TOKEN=$(staff_token) api POST /api/v1/products/ '{"name":"x","price":"1","stock_quantity":5,"variants":[
		{"stock_quantity":1000000000},{"stock_quantity":1000000000},{"stock_quantity":1000000000}]}'
	expect_problem 400 invalid
	expect_json '.errors | keys[0]' stock_quantity
}

@test "images come in their order, and have addresses that a browser may follow" {
	local product bad
	product=$(new_product '{"images":[{"url":"/media/b.svg"},{"url":"/media/c.svg"},{"url":"/media/a.svg","position":0}]}')
	TOKEN=$(staff_token)
	api POST "/api/v1/products/$product/images/" '{"url":"/media/d.svg"}'
	expect_json .position 3
	local image
	image=$(header Location)
	api GET "/api/v1/products/$product/images/"
	expect_json '[.results[].url] | join(" ")' '/media/a.svg /media/b.svg /media/c.svg /media/d.svg'
	api GET "/api/v1/products/$product/"
	expect_json '[.images[].url, .image] | join(" ")' '/media/a.svg /media/b.svg /media/c.svg /media/d.svg /media/a.svg'
	for bad in '' 'javascript:alert(1)' '//evil.example/x' 'x.png' 'https://a b/' '/\\evil.example' '/media/\"onerror='; do
		api POST "/api/v1/products/$product/images/" "{\"url\":\"$bad\"}"
		expect_problem 400 invalid
		expect_json '.errors | keys[0]' url
	done
	for bad in '{"position":-1}' '{"url":null}' '{"url":""}' '{"alt":5}'; do
		api PATCH "$image" "$bad"
		expect_problem 400 invalid
	done
}

# ---- Products as they are changed.

@test "another currency needs other prices" {
	local product
	product=$(new_product '{"price":"19.99","compare_at_price":"25.00","stock_quantity":1,"variants":[{"name":"S","price":"18.00","stock_quantity":1}]}')
	TOKEN=$(staff_token)
	refused() {
		api PATCH "/api/v1/products/$product/" "$1"
		expect_problem 400 invalid
		expect_json '.errors | keys | join(" ")' "$2"
	}
	refused '{"currency":"JPY"}' price
	refused '{"currency":"JPY","price":500}' compare_at_price
	refused '{"currency":"JPY","price":500,"compare_at_price":null}' currency
	refused '{"currency":"JPY","price":"500.5","compare_at_price":null}' currency
	api GET "/api/v1/products/$product/"
	expect_json '[.currency, .price, .compare_at_price] | tostring' '["USD","19.99","25.00"]'
	api PATCH "/api/v1/products/$product/variants/$(json '.variants[0].id')/" '{"price":null}'
	api PATCH "/api/v1/products/$product/" '{"currency":"JPY","price":500,"compare_at_price":null}'
	expect_status 200
	expect_json '[.currency, .price, .variants[0].price] | tostring' '["JPY","500","500"]'
	refused '{"price":"1.5"}' price
	refused '{"compare_at_price":"1.5"}' compare_at_price
	# The same again is no other; left out of a PUT, it is the shop's.
	api PATCH "/api/v1/products/$product/" '{"currency":"JPY"}'
	expect_status 200
	api PUT "/api/v1/products/$product/" '{"name":"Put","price":"7.50"}'
	expect_status 200
	expect_json '[.currency, .price] | tostring' '["USD","7.50"]'
	api PATCH "/api/v1/products/$product/" '{"currency":"KWD","price":"1.250"}'
	expect_json '[.currency, .price] | tostring' '["KWD","1.250"]'
}

@test "a name may come many times at the same moment, and each has a slug of its own" {
	local i
	TOKEN=$(staff_token)
	for i in {1..10}; do
		request POST "$BASE/api/v1/products/" "{\"name\":\"Same $word\",\"price\":\"1\"}"
	done >"$BATS_TEST_TMPDIR/requests"
	[[ $(all_at_once "$BATS_TEST_TMPDIR/requests") == "201 10" ]]
	[[ $(psql_as products "SELECT count(DISTINCT slug) FROM products_product WHERE name = 'Same $word'") == 10 ]]
}

@test "a deleted product is gone everywhere, and its slug and skus are free" {
	local product again path order=$((RANDOM * 32768 + RANDOM + 3000000000)) token
	local whole="{\"name\":\"$word\",\"slug\":\"$word\",\"sku\":\"$word\",\"price\":\"5.00\",\"stock_quantity\":9,
		\"images\":[{\"url\":\"/media/x.svg\"}],\"variants\":[{\"name\":\"S\",\"sku\":\"$word-s\",\"stock_quantity\":9}]}"
	product=$(new_product "$whole")
	token=$(user_token buyer)
	TOKEN=$(staff_token) api GET "/api/v1/products/$product/"
	local variant image
	variant=$(json '.variants[0].id') image=$(json '.images[0].id')
	TOKEN=$token api POST /api/v1/cart/items/ "{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":1}"
	expect_status 201
	TOKEN=$token api POST /api/v1/orders/ "{\"items\":[{\"product_id\":$product,\"variant_id\":$variant,\"quantity\":2}],
		\"shipping_address\":{\"name\":\"Ada Buyer\",\"line1\":\"1 Main Street\",\"city\":\"Springfield\",
		\"postal_code\":\"12345\",\"country\":\"US\"}}" --header "Idempotency-Key: $(idem)"
	expect_status 201
	order=$(json .id)
	TOKEN=$(staff_token)
	api DELETE "/api/v1/products/$product/"
	expect_status 204
	for path in "$product/" "$word/" "$product/variants/" "$product/variants/$variant/" "$product/images/" \
		"$product/images/$image/" "$product/reviews/"; do
		api GET "/api/v1/products/$path"
		expect_problem 404 not_found
	done
	gone() {
		api "$1" "/api/v1/products/$2" "${@:3}"
		expect_problem 404 not_found
	}
	gone POST "$product/variants/" '{}'
	gone PATCH "$product/variants/$variant/" '{}'
	gone DELETE "$product/variants/$variant/"
	gone POST "$product/images/" '{"url":"/x"}'
	gone PATCH "$product/images/$image/" '{}'
	gone DELETE "$product/images/$image/"
	gone PATCH "$product/" '{}'
	gone PUT "$product/" '{"name":"x","price":"1"}'
	gone DELETE "$product/"
	[[ -z $(names "ids=$product") ]]
	# Whatever else the search may find that looks like it.
	[[ $(names "search=$word") != *"$word"* ]]
	TOKEN=$token api GET /api/v1/cart/
	expect_status 200
	expect_json '[(.items | length), .changes[].kind] | tostring' '[0,"unavailable"]'
	TOKEN=$token api GET "/api/v1/orders/$order/"
	expect_json ".items[0] | [.product_id, .quantity, .unit_price, .sku] | tostring" "[$product,2,\"5.00\",\"$word-s\"]"
	again=$(new_product "$whole")
	api GET "/api/v1/products/$word/"
	expect_json .id "$again"
	# A slug that looks like what could be made of a deleted one does no harm either.
	new_product "{\"slug\":\"$word-deleted-$again\"}"
	api DELETE "/api/v1/products/$again/"
	expect_status 204
	# What was held of it comes back to its own row, and to no other.
	TOKEN=$token api PUT "/api/v1/orders/$order/cancel/" '{}'
	expect_status 200
	is_back() { [[ $(psql_as products "SELECT on_hand || ' ' || reserved FROM products_stock WHERE variant_id = $variant") == "9 0" ]]; }
	wait_for 60 is_back
}

# ---- At the same moment.

@test "two of staff with the same reading: one writes, the other is told" {
	local product variant path tag codes i
	product=$(new_product '{"stock_quantity":5,"variants":[{"name":"S","stock_quantity":5}]}')
	TOKEN=$(staff_token)
	api GET "/api/v1/products/$product/"
	variant=/api/v1/products/$product/variants/$(json '.variants[0].id')/
	for path in "/api/v1/products/$product/" "$variant" "/api/v1/products/categories/$(category)/"; do
		api GET "$path"
		tag=$(header ETag)
		api PATCH "$path" '{"name":"One"}' --header "If-Match: $tag"
		expect_status 200
		api PATCH "$path" '{"name":"Two"}' --header "If-Match: $tag"
		expect_problem 412 precondition_failed
		api GET "$path"
		expect_json .name One
		tag=$(header ETag)
		for i in {1..10}; do
			request PATCH "$BASE$path" "{\"name\":\"At once $i\"}" "If-Match: ${tag//\"/\\\"}"
		done >"$BATS_TEST_TMPDIR/requests"
		codes=$(all_at_once "$BATS_TEST_TMPDIR/requests")
		[[ $codes == "200 1,412 9" ]] || complain "$path: $codes"
	done
	# A product is shown with its variants: who changes one of them changes it, too.
	api GET "/api/v1/products/$product/"
	tag=$(header ETag)
	api PATCH "$variant" '{"name":"Other"}'
	api PATCH "/api/v1/products/$product/" '{"name":"Late"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
	# So does who buys.
	api GET "/api/v1/products/$product/"
	tag=$(header ETag)
	internal reservations/ "{\"order_id\":$((RANDOM * 32768 + RANDOM + 4000000000)),\"items\":[
		{\"product_id\":$product,\"variant_id\":$(cut -d / -f 7 <<<"$variant"),\"quantity\":1}]}"
	expect_status 201
	api PATCH "/api/v1/products/$product/" '{"name":"Late"}' --header "If-Match: $tag"
	expect_problem 412 precondition_failed
}

@test "fifty corrections and fifty holds at once leave level, ledger and reservations the same" {
	local product i order=$((RANDOM * 32768 + RANDOM + 5000000000)) answer
	product=$(new_product '{"stock_quantity":1000}')
	TOKEN=$(staff_token)
	for i in {1..50}; do
		request PATCH "$BASE/api/v1/products/$product/" "{\"stock_quantity\":$((i * 1000))}"
		TOKEN=${SERVICE_TOKEN%%,*} request POST "$PRODUCTS_SERVICE_URL/internal/v1/reservations/" \
			"{\"order_id\":$((order + i)),\"items\":[{\"product_id\":$product,\"quantity\":2}]}"
		((i % 5)) || TOKEN=${SERVICE_TOKEN%%,*} request POST "$PRODUCTS_SERVICE_URL/internal/v1/reservations/$((order + i))/release/" '{}'
	done >"$BATS_TEST_TMPDIR/requests"
	answer=$(all_at_once "$BATS_TEST_TMPDIR/requests")
	# A release that overtakes its hold refuses it.
	[[ $answer =~ ^200\ ..,201\ [45].(,409\ [0-9]+)?$ ]] || complain "$answer"
	[[ $(psql_as products "SELECT s.on_hand = m.on_hand AND s.reserved = m.reserved AND s.reserved = r.quantity AND s.reserved = 80
		FROM products_stock s,
		LATERAL (SELECT sum(on_hand) AS on_hand, sum(reserved) AS reserved FROM products_stockmovement WHERE stock_id = s.id) m,
		LATERAL (SELECT sum(i.quantity) AS quantity FROM products_reservationitem i JOIN products_reservation USING (order_id)
			WHERE stock_id = s.id AND state = 'held') r
		WHERE s.product_id = $product") == t ]]
	# After each correction there was to be bought what it said, whatever was held meanwhile.
	[[ $(psql_as products "SELECT count(*) FILTER (WHERE available % 1000 <> 0) || ' of ' || count(*)
		FROM (SELECT cause, sum(m.on_hand - m.reserved) OVER (ORDER BY m.id) AS available
			FROM products_stockmovement m JOIN products_stock s ON s.id = stock_id WHERE product_id = $product) a
		WHERE cause = 'correction'") == "0 of "[45]? ]]
	api GET "/api/v1/products/$product/"
	[[ $(json .stock_quantity) == "$(psql_as products "SELECT on_hand - reserved FROM products_stock WHERE product_id = $product")" ]]
	"$arnova" verify
}
