# import.bats: products from another shop's files.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
	prefix=i$(random 4)
	file=$BATS_TEST_TMPDIR/products.csv
}

import() {
	run --separate-stderr "${ARNOVA_BUILD:-build}/arnova" import products "$@"
}

# The published files, under handles of this test's own.
sample() {
	sed "2,\$s/^/$prefix-/" "$BATS_TEST_DIRNAME/data/shopify-csv/$1.csv" >"$BATS_TEST_TMPDIR/$1.csv"
	echo "$BATS_TEST_TMPDIR/$1.csv"
}

# expect_import STATUS SUMMARY
expect_import() {
	[[ $status == "$1" ]] || { echo "status $status: $output $stderr" && return 1; }
	[[ ${lines[-1]} == "$2" ]] || { echo "summary: $output" && return 1; }
}

# product NAME: shows the product with this handle.
product() {
	api GET "/api/v1/products/$prefix-$1/"
}

HEADER='Handle,Title,Body (HTML),Type,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src,Image Position,Image Alt Text'

# write ROW...: a file of these rows; @ stands for this test's prefix.
write() {
	printf '%s\n' "$HEADER" "$@" | sed "s/@/$prefix/g" >"$file"
}

@test "the published files have exactly these products, variants and images" {
	import "$(sample apparel)"
	expect_import 0 '20 products, 3 variants, 20 images: 20 new, 0 changed, 0 failed'
	import "$(sample home-and-garden)"
	expect_import 0 '20 products, 2 variants, 21 images: 20 new, 0 changed, 0 failed'
	import "$(sample jewelery)"
	expect_import 0 '20 products, 6 variants, 41 images: 20 new, 0 changed, 0 failed'
	local found
	found=$(psql_as products "SELECT count(*), sum((SELECT count(*) FROM products_productvariant v
		WHERE v.product_id = p.id)), sum((SELECT count(*) FROM products_productimage i
		WHERE i.product_id = p.id)) FROM products_product p WHERE slug LIKE '$prefix-%'")
	[[ $found == '60|11|82' ]]
}

@test "options, prices, stock, images and categories arrive where they belong" {
	import "$(sample jewelery)"
	product leather-anchor
	expect_status 200
	expect_json '[.name, .price, .compare_at_price, .currency, .sku] | tostring' \
		'["Anchor Bracelet Mens","69.99","85.00","USD",null]'
	expect_json '[.variants[] | [.name, .options.Color, .price, .stock_quantity]] | tostring' \
		'[["Gold","Gold","69.99",1],["Silver","Silver","55.00",0]]'
	expect_json '[.images[] | .position] | tostring' '[1,2,3]'
	expect_json '[.categories[].name] | tostring' '["Bracelet"]'
	product bangle-bracelet
	expect_json '[(.variants | length), .stock_quantity, .price] | tostring' '[0,1,"39.99"]'
}

@test "HTML stays in the description as it is" {
	import "$(sample home-and-garden)"
	product clay-plant-pot
	expect_json .description '<p>Classic blown clay pot for plants</p>'
}

@test "what is not read is told once" {
	import "$(sample apparel)" "$(sample jewelery)"
	[[ $(grep -c 'ignored columns:' <<<"$stderr") == 1 ]]
	[[ $stderr == *'Vendor, Tags, '*'Variant Image'* ]]
	[[ $stderr != *Handle* && $stderr != *'SEO Title'* ]] # which is empty
}

@test "a second import changes nothing" {
	import "$(sample jewelery)"
	local before after
	before=$(psql_as products "SELECT id, version, updated_at FROM products_product WHERE slug LIKE '$prefix-%' ORDER BY id")
	import "$(sample jewelery)"
	expect_import 0 '20 products, 6 variants, 41 images: 0 new, 0 changed, 0 failed'
	after=$(psql_as products "SELECT id, version, updated_at FROM products_product WHERE slug LIKE '$prefix-%' ORDER BY id")
	[[ -n $before && $before == "$after" ]]
}

@test "an import sets right what differs, and counts it" {
	write '@-lamp,Lamp,Old,Home > Lamps,true,Title,Default Title,,,@-1,5,20,25,/media/a.svg,1,a' \
		'@-mug,Mug,,Home,true,Color,Red,Size,S,@-2,3,8,,/media/b.svg,1,b' \
		'@-mug,,,,,,Blue,,S,@-3,4,9,,/media/b.svg,,' \
		'@-mug,,,,,,Blue,,L,,1,8,,/media/c.svg,,' \
		'@-cup,Cup,,,true,,,,,,2,1.50,,,,'
	import "$file"
	expect_import 0 '3 products, 3 variants, 3 images: 3 new, 0 changed, 0 failed'
	product mug
	local red
	red=$(json '.variants[] | select(.options.Color == "Red") | .id')
	expect_json '[.variants[] | [.name, .price]] | tostring' \
		'[["Red / S","8.00"],["Blue / S","9.00"],["Blue / L","8.00"]]'
	expect_json '[.images[] | [.url, .position]] | tostring' '[["/media/b.svg",1],["/media/c.svg",2]]'
	write '@-lamp,Lamp,New,Home > Lamps,false,Title,Default Title,,,@-1,7,22,,/media/d.svg,1,d' \
		'@-mug,Mug,,Home,true,Color,Red,Size,S,@-2,1,8,,/media/b.svg,1,b' \
		'@-mug,,,,,,Green,,S,@-3,4,9.5,,/media/c.svg,2,' \
		'@-cup,Cup,,,true,,,,,,2,1.50,,,,'
	import "$file"
	expect_import 0 '3 products, 2 variants, 3 images: 0 new, 2 changed, 0 failed'
	TOKEN=$(staff_token) product lamp
	expect_json '[.description, .is_active, .stock_quantity, .price, .compare_at_price, .image] | tostring' \
		'["New",false,7,"22.00",null,"/media/d.svg"]'
	product mug
	expect_json '[.variants[] | [.name, .sku, .price, .stock_quantity]] | tostring' \
		"[[\"Red / S\",\"$prefix-2\",\"8.00\",1],[\"Green / S\",\"$prefix-3\",\"9.50\",4]]"
	expect_json '.variants[0].id' "$red"
	# The ledger of the stock tells the corrections.
	local moved
	moved=$(psql_as products "SELECT string_agg(m.cause || ' ' || m.on_hand, ', ' ORDER BY m.id)
		FROM products_stockmovement m JOIN products_stock s ON s.id = m.stock_id
		WHERE s.variant_id = $red")
	[[ $moved == 'initial 3, correction -2' ]]
}

@test "a product may get variants, and lose them" {
	local simple='@-tee,Tee,,,true,Title,Default Title,,,,5,20,,,,'
	write "$simple"
	import "$file"
	write '@-tee,Tee,,,true,Size,S,,,,1,20,,,,' '@-tee,,,,,,M,,,,2,20,,,,'
	import "$file"
	expect_import 0 '1 products, 2 variants, 0 images: 0 new, 1 changed, 0 failed'
	product tee
	expect_json '[.stock_quantity, .variant_count] | tostring' '[3,2]'
	write "$simple"
	import "$file"
	product tee
	expect_json '[.stock_quantity, .variant_count] | tostring' '[5,0]'
}

@test "reserved pieces stay reserved when stock is set" {
	write '@-tee,Tee,,,true,,,,,,5,20,,,,'
	import "$file"
	local stock
	stock=$(psql_as products "SELECT s.id FROM products_stock s JOIN products_product p
		ON p.id = s.product_id WHERE p.slug = '$prefix-tee'")
	psql_as products "SELECT move_stock($stock, 0, 2, 'hold', '1')" >/dev/null
	write '@-tee,Tee,,,true,,,,,,9,20,,,,'
	import "$file"
	[[ $(psql_as products "SELECT on_hand, reserved FROM products_stock WHERE id = $stock") == '11|2' ]]
	psql_as products "SELECT move_stock($stock, 0, -2, 'release', '1')" >/dev/null
}

@test "categories nest, are made once and have their names to themselves" {
	write "@-a,A,,@-Home > Lamps,true,,,,,,1,1,,,," "@-b,B,,@-Home > Lamps,true,,,,,,1,1,,,," \
		"@-c,C,,@-Office > Lamps,true,,,,,,1,1,,,,"
	import "$file"
	expect_import 0 '3 products, 0 variants, 0 images: 3 new, 0 changed, 0 failed'
	[[ $(psql_as products "SELECT count(*) FROM products_category WHERE name LIKE '$prefix-%'") == 2 ]]
	product a
	local here
	here=$(json .category_id)
	expect_json '[.categories[].name] | tostring' "[\"$prefix-Home\",\"Lamps\"]"
	product b
	expect_json .category_id "$here"
	product c
	[[ $(json .category_id) != "$here" ]]
}

@test "quotes, line breaks, CRLF and a byte order mark are read as RFC 4180 has them" {
	write '@-poster,"A ""great"", big poster","First line' 'second, line",,true,,,,,,1,3,,,,'
	{
		printf '\xef\xbb\xbf'
		sed 's/$/\r/' "$file"
		printf '\r\n,,,,,,,,,,,,,,,\r\n%s-end,End,,,true,,,,,,1,3,,,,' "$prefix"
	} >"$file.crlf"
	import "$file.crlf"
	expect_import 0 '2 products, 0 variants, 0 images: 2 new, 0 changed, 0 failed'
	product poster
	expect_json .name 'A "great", big poster'
	expect_json .description $'First line\r\nsecond, line'
}

@test "every bad row is told with file and line; only its product stays out" {
	write '@-good,Good,,,true,,,,,,1,1,,,,' \
		'@-bad,Bad,"two' 'lines",,maybe,Size,S,,,,-1,free,,,,' \
		'@-bad,,,,,,M,,,,1,2,,nowhere,,' \
		'@-bad,,,,,,M,,,,1,2,,,,' \
		'@-bad,,,,,,,,,@-9,1,2,,,,' \
		'@-bad,,,,,,L,,Red,,1,,,,,' \
		'@-untitled,,,,true,,,,,,1,1,,,,' \
		'no handle?,X,,,true,,,,,,1,1,,,,' \
		'@-cents,Cents,,,true,,,,,,1,1.999,,,,' \
		'@-fine,Fine,,,true,,,,,,1,1,,,,'
	import "$file"
	expect_import 1 '2 products, 0 variants, 0 images: 2 new, 0 changed, 3 failed'
	local expected
	expected=$(sort <<-END
		$file:3: Published: Must be a valid boolean.
		$file:3: Variant Inventory Qty: Ensure this value is greater than or equal to 0.
		$file:3: Variant Price: A valid number is required.
		$file:5: Image Src: Enter a valid URL.
		$file:6: the same options as in line 5
		$file:7: Option1 Value: This field is required.
		$file:8: Option2 Value: the product's first row does not name this option.
		$file:8: Variant Price: This field is required.
		$file:9: Title: This field is required.
		$file:10: Handle: Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.
		$file:11: Variant Price: USD has 2 decimals.
	END
	)
	diff <(sort <<<"$stderr") - <<<"$expected"
	product bad
	expect_status 404
	product fine
	expect_status 200
}

@test "broken CSV is told with its line, and nothing else is lost" {
	write '@-one,One,,,true,,,,,,1,1,,,,' \
		'@-two,"Two,,,true,,,,,,1,1,,,,' \
		'@-three,Three,,,true,,,,,,1,1,,,,' \
		'@-four,Fo"ur,,,true,,,,,,1,1,,,,' \
		'@-five,"Five" 5,,,true,,,,,,1,1,,,,' \
		'@-six,Six,,,true,,,,,,1,1,,,' \
		'@-seven,Seven, too,,,true,,,,,,1,1,,,,' \
		$'@-eight,Eight \xff,,,true,,,,,,1,1,,,,' \
		'@-nine,Nine,"to the end,,true,,,,,,1,1,,,,' \
		'@-ten,Ten,,,true,,,,,,1,1,,,,'
	import "$file"
	expect_import 1 '3 products, 0 variants, 0 images: 3 new, 0 changed, 7 failed'
	local line
	for line in 3 5 6 7 8 9 10; do
		[[ $(grep -c ":$line: " <<<"$stderr") == 1 ]] || { echo "$line: $stderr" && return 1; }
	done
	product three
	expect_status 200
	product ten
	expect_status 200
}

@test "a bad row keeps a known product as it was" {
	write '@-tee,Tee,,,true,Size,S,,,,1,20,,,,' '@-tee,,,,,,M,,,,2,20,,,,'
	import "$file"
	product tee
	expect_status 200
	local before=$body
	write '@-tee,Tee 2,,,true,Size,S,,,,1,30,,,,' '@-tee,,,,,,M,,,,"2,20,,,,'
	import "$file"
	expect_import 1 '0 products, 0 variants, 0 images: 0 new, 0 changed, 1 failed'
	product tee
	[[ $body == "$before" ]]
}

@test "what the catalogue refuses is told with its line, the rest is loaded" {
	write '@-a,A,,,true,,,,,@-sku,1,1,,,,' '@-b,B,,,true,,,,,@-sku,1,1,,,,' \
		'variants,C,,,true,,,,,,1,1,,,,' '@-d,D,,,true,,,,,,1,1,,,,'
	import "$file"
	expect_import 1 '2 products, 0 variants, 0 images: 2 new, 0 changed, 2 failed'
	[[ $stderr == *"$file:3: $prefix-b: A product with that sku already exists."* ]]
	[[ $stderr == *"$file:4: variants: slug: This slug is reserved."* ]]
}

@test "a currency may be named" {
	write '@-yen,Yen,,,true,,,,,,1,500,,,,'
	import --currency JPY "$file"
	expect_import 0 '1 products, 0 variants, 0 images: 1 new, 0 changed, 0 failed'
	product yen
	expect_json '[.price, .currency] | tostring' '["500","JPY"]'
	write '@-yen,Yen,,,true,,,,,,1,500.5,,,,'
	import --currency JPY "$file"
	expect_import 1 '0 products, 0 variants, 0 images: 0 new, 0 changed, 1 failed'
}

@test "a file without the needed columns is refused, one that is not there too, others are not" {
	write '@-ok,Ok,,,true,,,,,,1,1,,,,'
	printf 'Handle,Price\nx,1\n' >"$file.other"
	: >"$file.empty"
	import "$file.other" "$file.absent" "$file.empty" "$file"
	expect_import 1 '1 products, 0 variants, 0 images: 1 new, 0 changed, 0 failed'
	[[ $stderr == *"$file.other:1: the column Title is missing"* ]]
	[[ $stderr == *"$file.other:1: the column Variant Price is missing"* ]]
	[[ $stderr == *"could not read $file.absent: No such file or directory"* ]]
	[[ $stderr == *"$file.empty:1: the file is empty"* ]]
}

@test "misuse is told" {
	local arguments
	for arguments in '' products 'orders x.csv' 'products --currency' 'products --colour red'; do
		# shellcheck disable=SC2086 # several words
		run "${ARNOVA_BUILD:-build}/arnova" import $arguments
		[[ $status == 2 && $output == usage:* ]]
	done
	import --currency XYZ "$file"
	[[ $status == 1 && $stderr == 'could not import: XYZ is not a currency' ]]
}
