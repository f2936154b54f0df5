# demo.bats: what `make run` fills the shop with, and the lines that it tells to try.
# shellcheck shell=bash disable=SC2154

setup_file() {
	load helper
	sh "$BATS_TEST_DIRNAME/../deploy/local/demo.sh" "demo-$(random 4)@example.com" \
		>"$BATS_FILE_TMPDIR/told"
}

setup() {
	load helper
	demo=$BATS_TEST_DIRNAME/../deploy/local/demo
	told=$BATS_FILE_TMPDIR/told
}

@test "the catalogue has products in a tree, variants, stock and prices that came down" {
	local handles missing
	handles=$(cut -d , -f 1 "$demo/catalogue.csv" | sed 1d | sort -u)
	[[ $(wc -l <<<"$handles") == 48 ]]
	missing=$(comm -23 <(echo "$handles") <(psql_as products \
		"SELECT slug FROM products_product WHERE is_active" | sort))
	[[ -z $missing ]]
	api GET /api/v1/products/cotton-t-shirt/
	expect_json '[.categories[].name] | tostring' '["Clothing","Tops"]'
	expect_json '[.variants[].options | .Colour + " " + .Size] | length' 12
	expect_json '[.images[].url] | tostring' \
		'["/media/cotton-t-shirt-sand.svg","/media/cotton-t-shirt-ink.svg","/media/cotton-t-shirt-rust.svg"]'
	api GET /api/v1/products/round-teapot/
	expect_json '[.price, .compare_at_price] | tostring' '["38.00","45.00"]'
	api GET '/api/v1/products/?search=round+teapot'
	expect_json '.results[0].slug' round-teapot
}

@test "every image of the catalogue is served and small" {
	local url count=0
	for url in $(grep -o '/media/[a-z-]*\.svg' "$demo/catalogue.csv" | sort -u); do
		api GET "$url"
		expect_status 200
		expect_header Content-Type 'image/svg\+xml'
		[[ $body == '<svg '*'</svg>' && ${#body} -lt 2000 ]]
		count=$((count + 1))
	done
	((count == $(find "$demo/media" -name '*.svg' | wc -l) && count > 40))
}

@test "the staff account that it tells can sign in; its password is nobody else's to read" {
	local email password
	read -r email password < <(sed -n 's/^Staff account: \(.*\), password /\1 /p' "$told")
	api POST /api/v1/auth/login/ "{\"email\":\"$email\",\"password\":\"$password\"}"
	expect_status 200
	expect_json .user.is_staff true
	[[ $(stat -c %a "$VAR/staff") == 600 ]]
}

@test "the three lines register, order and pay" {
	grep -E '^(TOKEN=|ORDER=|curl )' "$told" >"$BATS_TEST_TMPDIR/lines"
	[[ $(wc -l <"$BATS_TEST_TMPDIR/lines") == 3 && $(grep -c curl "$told") == 3 ]]
	local output order
	for shell in bash sh; do
		output=$("$shell" "$BATS_TEST_TMPDIR/lines")
		order=$(sed -n 's/^order //p' <<<"$output")
		[[ $order =~ ^[0-9]+$ ]]
		[[ $(tail -n 1 <<<"$output" | jq -r '"\(.order_id) \(.status) \(.amount)"') == "$order succeeded 19.00" ]]
		TOKEN=$(sed -n 's/^token //p' <<<"$output") api GET "/api/v1/orders/$order/"
		expect_status 200
		expect_json '"\(.status) \(.payment_status) \(.items[0].name)"' 'confirmed paid Paper Lantern'
		sleep 1 # the lines tell one customer from the next by the second
	done
}

# What is there of the lantern that the three lines bought, and the account.
kept() {
	psql_as products "SELECT on_hand, reserved FROM products_stock s JOIN products_product p
		ON p.id = s.product_id WHERE p.slug = 'paper-lantern'"
	cat "$VAR/staff"
}

@test "a second start leaves stock and account alone" {
	local before
	before=$(kept)
	run sh "$demo.sh" other@example.com
	[[ $status == 0 && $output != *filling* && $output == *"$(grep '^Staff' "$told")"* ]]
	[[ $(kept) == "$before" ]]
}
