#!/usr/bin/env bats
# accounts.bats: what a person keeps (addresses, saved items), whose it is, what no body can
# set, and who is let in no more. Sessions and passwords are in users.bats.
# shellcheck disable=SC2154

AUTH=/api/v1/auth
ADDRESS='{"name":"Ann Lee","line1":"Street 1","city":"Berlin","postal_code":"10115","country":"DE"}'

load helper

setup() {
	token=$(user_token ann)
	user=$(user_field ann .user.id)
	email=$(user_field ann .user.email)
	folder=$BATS_TEST_TMPDIR
}

# As Ann, or as whoever is named by the variable somebody_else.
mine() {
	TOKEN=${somebody_else-$token} api "$1" "$AUTH/$2" "${@:3}"
}

# address [JSON...]: the JSON of a good address; the later objects win.
address() {
	jq -cs add <<<"$ADDRESS $*"
}

# add_address [JSON...]: prints its id.
add_address() {
	mine POST addresses/ "$(address "$*")"
	expect_status 201 && json .id
}

# The ids of Ann's addresses, the default's with a star.
shown() {
	mine GET addresses/
	expect_status 200 && json '[.results[] | "\(.id)" + (if .is_default then "*" else "" end)] | join(" ")'
}

of_user() {
	psql_as users "SELECT $1 FROM users.$2 WHERE user_id = $user"
}

# answers: how often each status was written to the files of at_once, as "3 200 1 404".
answers() {
	cat "$folder"/answer-* | sort | uniq -c | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'
}

# at_once NAME...: calls `as NAME` for each at once; the statuses go to files.
at_once() {
	local name at=0 pids=()
	rm -f "$folder"/answer-*
	for name; do
		at=$((at + 1))
		(as "$name" && echo "$status" >"$folder/answer-$at" && echo "$body" >"$folder/body-$at") &
		pids+=($!)
	done
	wait "${pids[@]}"
	[[ $(cat "$folder"/answer-* | wc -l) == $# ]]
}

# ---- Addresses.

@test "an address is added, read, listed, replaced and deleted" {
	local method
	mine POST addresses/ "$(address '{"line2":"Floor 2","region":"BE","phone":"+49 30 1","is_default":true}')"
	expect_status 201
	local id=$(json .id) first=$body
	expect_header Location "$AUTH/addresses/$id/"
	expect_header Cache-Control no-store
	expect_json 'keys_unsorted | join(" ")' \
		'id name line1 line2 city region postal_code country phone is_default created_at updated_at'
	expect_json '[.name, .line1, .line2, .city, .region, .postal_code, .country, .phone] | join("|")' \
		'Ann Lee|Street 1|Floor 2|Berlin|BE|10115|DE|+49 30 1'
	mine GET "addresses/$id/"
	expect_status 200
	[[ $body == "$first" ]]
	mine GET addresses/
	expect_json '[.count, .next, .previous, .results[0].id] | tostring' "[1,null,null,$id]"
	[[ $(json '.results[0]') == $(jq . <<<"$first") ]]
	# What was read can be sent back.
	mine PUT "addresses/$id/" "$(jq '.city = "Bonn"' <<<"$first")"
	expect_status 200
	expect_json '[.id, .city, .line2, .is_default] | tostring' "[$id,\"Bonn\",\"Floor 2\",true]"
	mine PUT "addresses/$id/" "$ADDRESS"
	expect_status 200
	expect_json '[.line2, .region, .phone, .is_default] | tostring' '["","","",true]'
	mine PUT "addresses/$id/" "$(address '{"line2":null,"region":null,"phone":null}')"
	expect_json '[.line2, .region, .phone] | tostring' '["","",""]'
	mine PATCH "addresses/$id/" '{"city":"Bonn"}'
	expect_problem 405 method_not_allowed
	expect_header Allow 'GET, HEAD, PUT, DELETE, OPTIONS'
	mine DELETE "addresses/$id/" -H "If-Match: \"$(random 16)\""
	expect_problem 412 precondition_failed
	mine GET "addresses/$id/"
	mine DELETE "addresses/$id/" -H "If-Match: $(header ETag)"
	expect_status 204
	for method in GET DELETE; do
		mine $method "addresses/$id/"
		expect_problem 404 not_found
	done
	mine PUT "addresses/$id/" "$ADDRESS"
	expect_problem 404 not_found
	[[ $(of_user 'count(*)' users_address) == 0 ]]
}

@test "every field of an address has its limit, and all faults are told at once" {
	local long two=ä
	mine POST addresses/ '{}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'city country line1 name postal_code'
	mine POST addresses/ "$(jq -nc '{name: ("x" * 201), line1: ("x" * 201), line2: ("x" * 201), city: ("x" * 101),
		region: ("x" * 101), postal_code: ("x" * 21), country: "DEU", phone: ("x" * 33), is_default: "yes",
		user_id: 1}')"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' \
		'city country is_default line1 line2 name phone postal_code region user_id'
	mine POST addresses/ "$(address '{"name":" ","line1":"a\u0007b","city":null,"postal_code":10115}')"
	expect_json '.errors | keys | join(" ")' 'city line1 name postal_code'
	mine POST addresses/ "$(jq -nc --arg x $two '{name: ($x * 200), line1: ($x * 200), line2: ($x * 200),
		city: ($x * 100), region: ($x * 100), postal_code: ($x * 20), country: "FR", phone: ($x * 32)}')"
	expect_status 201
	expect_json '[.name, .line1, .line2, .city, .region, .postal_code, .phone | length] | tostring' \
		'[200,200,200,100,100,20,32]'
	mine POST addresses/ "$(address '{"id":1,"created_at":"2000-01-01T00:00:00Z","updated_at":"x"}')"
	expect_status 201
	[[ $(json .id) != 1 && $(json .created_at) != 2000* ]]
}

@test "a country is one of ISO 3166's, in capitals whatever came" {
	local code
	for code in de De DE; do
		mine POST addresses/ "$(address "{\"country\":\"$code\"}")"
		expect_status 201
		expect_json .country DE
	done
	for code in XX UK D1 D DEU '' Ä Germany; do
		mine POST addresses/ "$(address "{\"country\":\"$code\"}")"
		expect_problem 400 invalid
		expect_json '.errors | keys | tostring' '["country"]'
	done
	expect_json .errors.country[0] '"Germany" is not a valid choice.'
}

@test "the first address is the default, and what is said of another holds" {
	local first second third
	first=$(add_address)
	[[ $(shown) == "$first*" ]]
	second=$(add_address)
	[[ $(shown) == "$first* $second" ]]
	third=$(add_address '{"is_default":true}')
	[[ $(shown) == "$first $second $third*" ]]
	mine PUT "addresses/$second/" "$(address '{"is_default":true}')"
	expect_json .is_default true
	[[ $(shown) == "$first $second* $third" ]]
	mine PUT "addresses/$second/" "$ADDRESS"
	[[ $(shown) == "$first $second* $third" ]]
	mine PUT "addresses/$first/" "$(address '{"is_default":false}')"
	[[ $(shown) == "$first $second* $third" ]]
	mine PUT "addresses/9007199254740991/" "$(address '{"is_default":true}')"
	expect_problem 404 not_found
	[[ $(shown) == "$first $second* $third" ]]
	mine PUT "addresses/$second/" "$(address '{"is_default":false}')"
	expect_json .is_default false
	[[ $(shown) == "$first $second $third" ]]
}

@test "the newest address follows a default that is deleted" {
	local first second third
	first=$(add_address) second=$(add_address) third=$(add_address)
	mine DELETE "addresses/$second/"
	[[ $(shown) == "$first* $third" ]]
	mine DELETE "addresses/$first/"
	[[ $(shown) == "$third*" ]]
	mine DELETE "addresses/$third/"
	[[ -z $(shown) ]]
	add_address '{"is_default":false}' >/dev/null
	[[ $(shown) != *'*' ]]
}

as() {
	case $1 in
	default) mine POST addresses/ "$(address '{"is_default":true}')" ;;
	another) mine POST addresses/ "$ADDRESS" ;;
	put-*) mine PUT "addresses/${1#put-}/" "$(address '{"is_default":true}')" ;;
	tag-*) mine PUT "addresses/${1#tag-}/" "$(address '{"is_default":true}')" -H 'If-Match: *' ;;
	drop-*) mine DELETE "addresses/${1#drop-}/" ;;
	item-*) mine POST saved-items/ "{\"product_id\":${1#item-}}" ;;
	esac
}

@test "default_address_taken never shows: changes at once leave one default" {
	local ids
	at_once default default default default default default default default default default
	[[ $(answers) == '10 201' ]]
	[[ $(of_user "count(*) FILTER (WHERE is_default) || ' of ' || count(*)" users_address) == '1 of 10' ]]
	mapfile -t ids < <(of_user id users_address)
	at_once "put-${ids[0]}" "put-${ids[1]}" "drop-${ids[2]}" "put-${ids[3]}" "drop-${ids[2]}" \
		default "put-${ids[4]}" "drop-${ids[0]}" another "put-${ids[1]}" "drop-${ids[5]}"
	[[ $(cat "$folder"/answer-* | grep -vcE '^(200|201|204|404)$') == 0 ]] || complain "$(answers)"
	[[ $(of_user 'count(*) FILTER (WHERE is_default)' users_address) == 1 ]]
}

# while_another SQL NAME: calls `as NAME`, which has to wait for the transaction of the SQL.
while_another() {
	hold users "$1"
	(as "$2" && echo "$status" >"$folder/answer-1" && echo "$body" >"$folder/body-1") &
	let_go
	wait $!
	status=$(cat "$folder/answer-1") body=$(cat "$folder/body-1")
}

@test "a default that waits for another default wins, with or without If-Match" {
	local first second how
	first=$(add_address '{"is_default":false}') second=$(add_address '{"is_default":false}')
	for how in put tag; do
		psql_as users "UPDATE users.users_address SET is_default = false WHERE user_id = $user"
		# The request has read its address before the other one's default is there.
		while_another "SELECT replace_address($user, $first, '$(address '{"is_default":true}')')" "$how-$second"
		expect_status 200
		[[ $(shown) == "$first $second*" ]]
	done
	while_another "SELECT create_address($user, '$(address '{"is_default":true}')')" default
	expect_status 201
	[[ $(shown) =~ ^$first\ $second\ [0-9]+\ [0-9]+\*$ ]]
}

@test "the tables refuse a second default and a country of no form" {
	local row="INSERT INTO users.users_address (user_id, name, line1, city, postal_code, country, is_default)
		VALUES ($user, 'Ann', 'Street 1', 'Berlin', '10115'"
	psql_as users "$row, 'DE', true)"
	run psql_as users "$row, 'DE', true)"
	[[ $output == *default_address_taken* ]]
	run psql_as users "$row, 'de', false)"
	[[ $output == *address_country_form* ]]
}

@test "an account holds a hundred addresses, also when two come at once" {
	psql_as users "INSERT INTO users.users_address (user_id, name, line1, city, postal_code, country)
		SELECT $user, 'Ann', 'Street ' || n, 'Berlin', '10115', 'DE' FROM generate_series(1, 99) n"
	at_once another another another
	[[ $(answers) == '1 201 2 409' ]]
	mine POST addresses/ "$ADDRESS"
	expect_problem 409 addresses_full
	mine GET 'addresses/?page_size=100'
	expect_json '[.count, (.results | length)] | tostring' '[100,100]'
	mine GET 'addresses/?page=2&page_size=40'
	expect_json '[.results[0].line1, (.results | length)] | tostring' '["Street 41",40]'
	mine GET 'addresses/?cursor=&page_size=40'
	mine GET "$(json ".next | sub(\".*$AUTH/\"; \"\")")"
	expect_json '[.count, .results[0].line1] | tostring' '[null,"Street 41"]'
	mine DELETE "addresses/$(json .results[0].id)/"
	mine POST addresses/ "$ADDRESS"
	expect_status 201
}

# ---- Saved items.

@test "an item is saved once: again is 200 and the same item" {
	local id
	mine POST saved-items/ '{"product_id":7}'
	expect_status 201
	id=$(json .id)
	expect_header Location "$AUTH/saved-items/$id/"
	expect_json 'keys_unsorted | join(" ")' 'id product_id created_at'
	local first=$body
	mine POST saved-items/ '{"product_id":7}'
	expect_status 200
	expect_header Location ''
	[[ $body == "$first" ]]
	mine GET "saved-items/$id/"
	expect_status 200
	[[ $body == "$first" ]]
	# Whether the product exists is not asked.
	mine POST saved-items/ '{"product_id":9007199254740991}'
	expect_status 201
	mine GET saved-items/
	expect_json '[.count, [.results[].product_id]] | tostring' '[2,[9007199254740991,7]]'
	mine DELETE "saved-items/$id/"
	expect_status 204
	mine DELETE "saved-items/$id/"
	expect_problem 404 not_found
	mine GET "saved-items/$id/"
	expect_problem 404 not_found
	mine POST saved-items/ '{"product_id":7}'
	expect_status 201
	[[ $(json .id) != "$id" ]]
}

@test "what is no product's id is not saved" {
	local given
	for given in '{}' '{"product_id":null}' '{"product_id":0}' '{"product_id":-1}' '{"product_id":"7"}' \
		'{"product_id":1.5}' '{"product_id":9007199254740992}' '{"product_id":7,"user_id":1}'; do
		mine POST saved-items/ "$given"
		expect_problem 400 invalid
	done
	mine POST saved-items/ '{"product_id":7,"id":1,"created_at":"2000-01-01T00:00:00Z"}'
	expect_status 201
	[[ $(of_user 'count(*)' users_saveditem) == 1 ]]
}

@test "one item saved twenty times at once is one row" {
	# shellcheck disable=SC2046 # one word for each
	at_once $(printf 'item-5 %.0s' {1..20})
	[[ $(answers) == '19 200 1 201' ]]
	[[ $(cat "$folder"/body-* | jq .id | sort -u | wc -l) == 1 ]]
	while_another "SELECT save_item($user, 6)" item-6
	expect_status 200
	[[ $(of_user 'count(*)' users_saveditem) == 2 ]]
}

@test "an item that is saved again waits for nobody and writes nothing" {
	local version
	mine POST saved-items/ '{"product_id":7}'
	expect_status 201
	version=$(psql_as users "SELECT ctid, xmin FROM users.auth_user WHERE id = $user")
	hold users "UPDATE auth_user SET last_login = last_login WHERE id = $user"
	mine POST saved-items/ '{"product_id":7}'
	expect_status 200
	printf 'ROLLBACK; \\q\n' >&"${HOLDER[1]}"
	wait "$holder"
	mine POST saved-items/ '{"product_id":7}'
	expect_status 200
	[[ $(psql_as users "SELECT ctid, xmin FROM users.auth_user WHERE id = $user") == "$version" ]]
}

@test "an account holds a thousand saved items" {
	psql_as users "INSERT INTO users.users_saveditem (user_id, product_id)
		SELECT $user, n FROM generate_series(1, 999) n"
	at_once item-1001 item-1002
	[[ $(answers) == '1 201 1 409' ]]
	mine POST saved-items/ '{"product_id":1003}'
	expect_problem 409 saved_items_full
	mine POST saved-items/ '{"product_id":500}'
	expect_status 200
}

# ---- Whose it is.

@test "nobody sees, changes or deletes what belongs to somebody else, on any route with an id" {
	local address item somebody_else untouched method path count=0
	address=$(add_address) item=$(mine POST saved-items/ '{"product_id":7}' && json .id)
	somebody_else=$(user_token bob)
	untouched=$(of_user 'json_agg(a)' 'users_address a')$(of_user 'json_agg(s)' 'users_saveditem s')
	while read -r method path; do
		case $path in
		*/addresses/:id/) path=addresses/$address/ ;;
		*/saved-items/:id/) path=saved-items/$item/ ;;
		*) complain "no test of whose this is: $method $path" || return ;;
		esac
		if [[ $method == PUT ]]; then mine $method $path "$ADDRESS"; else mine $method $path; fi
		expect_problem 404 not_found
		TOKEN='' api $method $AUTH/$path
		expect_problem 401 not_authenticated
		TOKEN=${SERVICE_TOKEN%%,*} api $method $AUTH/$path
		expect_problem 403 permission_denied
		count=$((count + 1))
	done < <("$ARNOVA_BUILD/users.fcgi" --routes </dev/null | grep '^[A-Z]* /api/.*:')
	((count >= 5))
	[[ $(of_user 'json_agg(a)' 'users_address a')$(of_user 'json_agg(s)' 'users_saveditem s') == "$untouched" ]]
	for path in addresses/ saved-items/; do
		mine GET $path
		expect_json .count 0
	done
	# Staff has no more to say about it.
	somebody_else=$(staff_token) mine GET "addresses/$address/"
	expect_problem 404 not_found
}

@test "siblings are given an address only with its owner" {
	local address bob
	address=$(add_address)
	user_token bob >/dev/null
	bob=$(user_field bob .user.id)
	TOKEN=${SERVICE_TOKEN%%,*} api GET "$USERS_SERVICE_URL/internal/v1/users/$user/?address_id=$address"
	expect_json .address.city Berlin
	TOKEN=${SERVICE_TOKEN%%,*} api GET "$USERS_SERVICE_URL/internal/v1/users/$bob/?address_id=$address"
	expect_json '[.id, .address] | tostring' "[$bob,null]"
}

@test "addresses and saved items need a token, and are gone with their account" {
	local path
	for path in addresses/ saved-items/; do
		api GET $AUTH/$path
		expect_problem 401 not_authenticated
		api POST $AUTH/$path '{}'
		expect_problem 401 not_authenticated
	done
	add_address >/dev/null
	mine POST saved-items/ '{"product_id":7}'
	psql_as users "DELETE FROM users.auth_user WHERE id = $user"
	[[ $(of_user 'count(*)' users_address)$(of_user 'count(*)' users_saveditem) == 00 ]]
	# Until the services hear that the session has ended.
	mine POST addresses/ "$ADDRESS"
	expect_status 401 404
	mine POST saved-items/ '{"product_id":7}'
	expect_status 401 404
	mine POST password/change/ '{"old_password":"x","new_password":"correct horse battery"}'
	expect_status 401 404
}

# ---- What no body can set.

# Some are shown, and so ignored; the others are refused.
FORBIDDEN='id is_staff is_superuser is_active user_id groups user_permissions role is_admin admin
	date_joined last_login email_verified staff password_hash hash is_default_password permissions'

# forbidden PATTERN: an object of the fields whose names match.
forbidden() {
	local name value
	for name in $FORBIDDEN; do
		case $name in
		is_* | staff | admin | email_verified) value=true ;;
		id | user_id) value=1 ;;
		groups | user_permissions | permissions) value='[1]' ;;
		date_joined | last_login) value='"2000-01-01T00:00:00Z"' ;;
		*) value='"admin"' ;;
		esac
		[[ ! $name =~ ^($1)$ ]] || echo "{\"$name\":$value}"
	done | jq -cs add
}

account_row() {
	psql_as users "SELECT u.id, username, password, is_superuser, is_staff, is_active, date_joined, last_login
		FROM users.auth_user u WHERE u.id = $user"
}

@test "no extra field of a body sets anything" {
	local shown='id|is_staff|date_joined|last_login' untouched name new
	untouched=$(account_row)
	new="{\"email\":\"new-$email\",\"password\":\"correct horse\"}"
	mine PATCH profile/ "$(forbidden '.*')"
	expect_problem 400 invalid
	mine PATCH profile/ "$(forbidden "$shown" | jq -c '. + {username: "admin"}')"
	expect_status 200
	mine PATCH profile/ '{"password":"another horse"}'
	expect_json .errors.password[0] 'Unknown field.'
	[[ $(account_row) == "$untouched" ]]
	api POST $AUTH/register/ "$(forbidden '.*' | jq -c ". + $new")"
	expect_problem 400 invalid
	for name in $FORBIDDEN; do
		[[ $name =~ ^($shown)$ ]] || expect_json ".errors[\"$name\"][0]" 'Unknown field.'
	done
	api POST $AUTH/register/ "$(forbidden "$shown" | jq -c ". + $new")"
	expect_status 201
	[[ $(psql_as users "SELECT id > $user, is_staff, is_superuser, is_active, last_login IS NULL,
			date_joined > now() - interval '1 hour' FROM users.auth_user WHERE email = 'new-$email'") == 't|f|f|t|t|t' ]]
	mine POST addresses/ "$(forbidden '.*' | jq -c ". + $ADDRESS")"
	expect_problem 400 invalid
	mine POST saved-items/ "$(forbidden '.*' | jq -c '. + {product_id: 7}')"
	expect_problem 400 invalid
}

# ---- Who is let in no more.

arnova() {
	run "$ARNOVA_BUILD/arnova" user "$@"
}

login() {
	api POST $AUTH/login/ "{\"email\":\"$email\",\"password\":\"$(user_field ann .password)\"}"
}

@test "arnova user disable shuts somebody out, enable lets him in again" {
	local refresh
	refresh=$(user_field ann .refresh)
	login
	expect_status 200
	arnova disable --email "${email^^}"
	[[ $status == 0 && $output == "disabled $email and ended 2 sessions" ]]
	login
	expect_problem 401 no_active_account
	api POST $AUTH/refresh/ "{\"refresh\":\"$refresh\"}"
	expect_problem 401 token_not_valid
	for it in "$refresh" "$token"; do
		api POST $AUTH/verify/ "{\"token\":\"$it\"}"
		expect_problem 401 token_not_valid
	done
	arnova disable --email "$email"
	[[ $status == 0 && $output == "$email is disabled already" ]]
	arnova enable --email "$email"
	[[ $status == 0 && $output == "enabled $email" ]]
	arnova enable --email "$email"
	[[ $status == 0 && $output == "$email is enabled already" ]]
	login
	expect_status 200
	api POST $AUTH/refresh/ "{\"refresh\":\"$refresh\"}"
	expect_problem 401 token_not_valid
}

refused_everywhere() {
	local path
	for path in products/ orders/ auth/profile/ cart/ payments/; do
		TOKEN=$token api GET "/api/v1/$path"
		[[ $status == 401 ]] || return 1
	done
}

@test "the access token of somebody who is disabled is soon refused by all five services" {
	mine GET profile/
	expect_status 200
	arnova disable --email "$email"
	# Five seconds are promised; how many it takes on a calm machine is tested elsewhere.
	wait_for 60 refused_everywhere
	expect_problem 401 token_not_valid
}

@test "arnova user says what it cannot do" {
	arnova disable --email "nobody-$email"
	[[ $status == 1 && $output == "could not disable the account: nobody has the address nobody-$email" ]]
	psql_as users "INSERT INTO users.auth_user (username, password) VALUES ('no-address-$email', '')"
	arnova disable --email ''
	[[ $status == 1 && $output == 'could not disable the account: nobody has the address '* ]]
	USERS_DATABASE_URL="postgresql://users@127.0.0.1:1/none" arnova enable --email "$email"
	[[ $status == 1 && $output == *'could not enable the account: The service is temporarily unavailable'* ]]
	local arguments
	for arguments in '' disable 'disable --email' "disable $email" "remove --email $email" \
		"disable --email $email more" "disable --username $email"; do
		# shellcheck disable=SC2086 # several words
		arnova $arguments
		[[ $status == 2 && $output == 'usage: arnova user disable|enable --email E' ]]
	done
	[[ $(psql_as users "SELECT count(*) FROM users.auth_user WHERE NOT is_active
		AND (id = $user OR username = 'no-address-$email')") == 0 ]]
}
