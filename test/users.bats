# users.bats: accounts, sessions, profiles, and what siblings ask about them.
# shellcheck shell=bash disable=SC2154

AUTH=/api/v1/auth
PASSWORD='correct horse battery'

setup() {
	load helper
	email=$(random 8)@example.com
}

# join [JSON...]: registers $email; the later JSON objects win.
join() {
	api POST $AUTH/register/ "$(jq -cs add <<<"{\"email\":\"$email\",\"password\":\"$PASSWORD\"} $*")"
}

# sign_in NAME PASSWORD
sign_in() {
	api POST $AUTH/login/ "{\"username\":\"$1\",\"password\":\"$2\"}"
}

# refresh TOKEN
refresh() {
	api POST $AUTH/refresh/ "{\"refresh\":\"$1\"}"
}

# The claims of a token.
claims() {
	local payload=${1#*.}
	jq -rR 'gsub("-";"+") | gsub("_";"/") | @base64d' <<<"${payload%.*}"
}

claim() {
	claims "$1" | jq -r "$2"
}

# stored EMAIL PASSWORD-AS-DJANGO-STORES-IT: an account that another program made.
stored() {
	psql_as users "INSERT INTO users.auth_user (email, username, password)
		VALUES ('$1', '$1', '$2') RETURNING id"
}

of_account() {
	psql_as users "SELECT $1 FROM users.auth_user WHERE lower(email) = lower('$email')"
}

ask() {
	TOKEN=${SERVICE_TOKEN%%,*} api GET "$USERS_SERVICE_URL/internal/v1/$1"
}

# ---- Registration.

@test "registering answers with the account and both tokens" {
	join '{"first_name":"Ann","last_name":"Lee"}'
	expect_status 201
	expect_header Location /api/v1/auth/profile/
	expect_header Cache-Control no-store
	expect_json .user.email "$email"
	expect_json .user.username "$email"
	expect_json '.user.first_name + " " + .user.last_name' 'Ann Lee'
	expect_json .user.is_staff false
	expect_json .user.last_login null
	expect_json '.user | keys | length' 10
	TOKEN=$(json .access) api GET $AUTH/profile/
	expect_status 200
	expect_json .email "$email"
}

@test "a token says what simplejwt's say, for 15 minutes and 7 days" {
	join
	local access refresh
	access=$(json .access) refresh=$(json .refresh)
	[[ $(claims ".${access%%.*}." | jq -r '[.alg, .typ] | join(" ")') == 'ES256 JWT' ]]
	[[ $(claims "$access" | jq -r 'keys | join(" ")') == 'exp fam iat is_staff iss jti token_type user_id' ]]
	[[ $(claim "$access" '.exp - .iat') == 900 && $(claim "$refresh" '.exp - .iat') == 604800 ]]
	[[ $(claim "$access" .token_type) == access && $(claim "$refresh" .token_type) == refresh ]]
	[[ $(claim "$access" '.user_id | type') == string && $(claim "$access" .iss) == arnova ]]
	[[ $(claim "$access" .fam) == $(claim "$refresh" .fam) ]]
	[[ $(claim "$access" .jti) != $(claim "$refresh" .jti) ]]
}

@test "a password is stored as argon2id with a salt of its own, and no token is stored" {
	join
	local hash jti
	hash=$(of_account password)
	jti=$(claim "$(json .refresh)" .jti)
	[[ $hash =~ ^argon2\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$ ]]
	[[ $(psql_as users "SELECT count(*) FROM users.refresh_token
		WHERE jti_hash = encode(sha256('$jti'), 'hex')") == 1 ]]
	[[ $(psql_as users "SELECT count(*) FROM users.refresh_token WHERE jti_hash = '$jti'") == 0 ]]
}

@test "a taken address is email_taken in any case, a taken name username_taken" {
	join '{"username":"Ann-'"$email"'"}'
	expect_problem 400 invalid
	local name
	name=ann-$(random 6)
	join "{\"username\":\"$name\"}"
	expect_status 201
	expect_json .user.username "$name"
	join
	expect_problem 409 email_taken
	join "{\"email\":\"${email^^}\"}"
	expect_problem 409 email_taken
	join "{\"email\":\"x$email\",\"username\":\"$name\"}"
	expect_problem 409 username_taken
}

@test "of twenty registrations of one address at once one succeeds" {
	local folder=$BATS_TEST_TMPDIR i
	for i in {1..20}; do
		(join && echo "$status $(json '.code // "created"')" >"$folder/answer-$i") &
	done
	wait
	[[ $(cat "$folder"/answer-* | sort | uniq -c | tr -s ' \n' ' ') == ' 1 201 created 19 409 email_taken ' ]]
}

@test "all errors of a registration are told at once" {
	api POST $AUTH/register/ '{}'
	expect_problem 400 invalid
	expect_json '.errors | tostring' '{"email":["This field is required."],"password":["This field is required."]}'
	join '{"email":"no","password":"short","first_name":5,"is_superuser":true}'
	expect_problem 400 invalid
	expect_json .errors.email[0] 'Enter a valid email address.'
	expect_json .errors.password[0] 'Ensure this field has at least 8 characters.'
	expect_json .errors.first_name[0] 'Not a valid string.'
	expect_json .errors.is_superuser[0] 'Unknown field.'
}

@test "what an account shows and nobody sets is ignored" {
	join '{"id":1,"is_staff":true,"date_joined":"2000-01-01T00:00:00Z","last_login":null}'
	expect_status 201
	expect_json .user.is_staff false
	[[ $(of_account "is_staff OR is_superuser OR date_joined < '2001-01-01'") == f ]]
}

@test "weak passwords are refused, long and strange ones are kept whole" {
	local weak long
	for weak in 1234567 12345678901 password Password123 qwertyuiop iloveyou "$email" "${email%@*}"; do
		join "{\"password\":\"$weak\"}"
		expect_problem 400 invalid
		expect_json '.errors | keys | tostring' '["password"]'
	done
	join '{"password":"elizabeth.bennet","first_name":"Elizabeth","last_name":"Bennet"}'
	expect_problem 400 invalid
	long=$(printf 'x%.0s' {1..257})
	join "{\"password\":\"$long\"}"
	expect_problem 400 invalid
	long="  ä😀\\u0001${long:7} "
	join "{\"password\":\"$long\"}"
	expect_status 201
	sign_in "$email" "$long"
	expect_status 200
	sign_in "$email" "${long% }"
	expect_problem 401 no_active_account
	join '{"password":"cut\u0000here and on"}'
	expect_problem 400 parse_error
}

@test "usernames that look alike are one, kept as Django keeps them" {
	local name
	name=$(random 8)
	join "{\"username\":\"ｚ$name\"}" # a full-width z: U+FF5A
	expect_status 201
	expect_json .user.username "z$name"
	join "{\"email\":\"x$email\",\"username\":\"z$name\"}"
	expect_problem 409 username_taken
	sign_in "ｚ$name" "$PASSWORD"
	expect_status 200
	# An @ is one in any width, and some characters become many: U+FDFA becomes 18.
	join "{\"email\":\"y$email\",\"username\":\"$name＠example.com\"}"
	expect_problem 400 invalid
	expect_json .errors.username[0] 'A username with an @ must be your own email address.'
	join "{\"email\":\"y$email\",\"username\":\"$(printf 'ﷺ%.0s' {1..9})\"}"
	expect_problem 400 invalid
	expect_json .errors.username[0] 'Ensure this field has no more than 150 characters.'
}

@test "a long address gets a username of its own" {
	email=$(printf 'x%.0s' {1..64})@$(printf 'y%.0s' {1..60}).$(printf 'z%.0s' {1..60}).$(random 8).com
	join
	expect_status 201
	expect_json '.user.username | startswith("user-")' true
	sign_in "$email" "$PASSWORD"
	expect_status 200
}

# ---- Signing in.

@test "signing in takes a username, an address there, or an address of its own" {
	local name
	name=ann-$(random 6)
	join "{\"username\":\"$name\"}"
	sign_in "$name" "$PASSWORD"
	expect_status 200
	expect_json 'keys | join(" ")' 'access refresh user'
	expect_json .user.username "$name"
	expect_json '.user.last_login != null' true
	sign_in "${email^^}" "$PASSWORD"
	expect_status 200
	api POST $AUTH/login/ "{\"email\":\"$email\",\"password\":\"$PASSWORD\"}"
	expect_status 200
	api POST $AUTH/login/ "{\"email\":\"$name\",\"password\":\"$PASSWORD\"}"
	expect_status 200
}

@test "what is missing at sign-in is told at once" {
	api POST $AUTH/login/ '{}'
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'password username'
	api POST $AUTH/login/ '{"username":"x"}'
	expect_json '.errors | tostring' '{"password":["This field is required."]}'
	api POST $AUTH/login/ '{"password":"x"}'
	expect_json '.errors | tostring' '{"username":["This field is required."]}'
}

@test "an unknown name, a wrong password and a disabled account get the same answer" {
	local first
	join
	sign_in "$email" 'correct horse batterY'
	expect_problem 401 no_active_account
	expect_header WWW-Authenticate Bearer
	first=$(json 'del(.request_id)')
	sign_in "x$email" "$PASSWORD"
	[[ $(json 'del(.request_id)') == "$first" ]]
	psql_as users "UPDATE users.auth_user SET is_active = false WHERE email = '$email'"
	sign_in "$email" "$PASSWORD"
	expect_problem 401 no_active_account
	[[ $(json 'del(.request_id)') == "$first" ]]
}

# Milliseconds of the middle one of seven refused sign-ins.
refusal_time() {
	for _ in {1..7}; do
		curl -s -o "$BATS_TEST_TMPDIR/body" -w '%{time_total}\n' -H 'Content-Type: application/json' \
			-d "{\"username\":\"$1\",\"password\":\"wrong horse battery\"}" "$BASE$AUTH/login/"
	done | sort -n | awk 'NR == 4 {print int($1 * 1000)}'
}

# A busy machine may spoil one measurement, never all; a name that is not hashed for, all of them.
take_as_long() {
	local wrong unknown
	wrong=$(refusal_time "$email") unknown=$(refusal_time "x$email")
	echo "wrong password: $wrong ms, unknown name: $unknown ms"
	((unknown * 2 > wrong && wrong * 2 > unknown))
}

@test "an unknown name takes as long as a wrong password" {
	join
	wait_for 60 take_as_long
}

@test "failed sign-ins are kept by account and address" {
	join
	local account
	account=$(of_account id)
	sign_in "$email" wrong-password
	sign_in "${email^^}" wrong-password
	sign_in "Nobody-$email" wrong-password
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in
		WHERE account = 'user $account' AND client = '127.0.0.1'") == 2 ]]
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in
		WHERE account = encode(sha256('nobody-$email'), 'hex')") == 1 ]]
}

@test "Django's hashes sign in; weaker ones are replaced, stronger ones kept" {
	local argon='argon2$argon2id$v=19$m=102400,t=2,p=8$dkdpTFRsdTV5Wm54WWl5ZzRyaVF2eQ$2wIHOQvUHZMxyLs5HVFfTA'
	local weak='argon2$argon2id$v=19$m=512,t=2,p=2$c2Vhc2FsdDg$ulHaTNXMrgZA9lLEf9wMjw'
	local pbkdf2='pbkdf2_sha256$260000$seasaltseasalt$gs7WRmqZQofKG82axHz7Ky3ABAZPqKd538jDm9zuF/A='
	local hash
	for hash in "$argon" "$weak" "$pbkdf2"; do
		email=$(random 8)@example.com
		stored "$email" "$hash"
		sign_in "$email" 'wrong horse battery'
		expect_problem 401 no_active_account
		[[ $(of_account password) == "$hash" ]]
		sign_in "$email" "$PASSWORD"
		expect_status 200
		if [[ $hash == "$argon" ]]; then
			[[ $(of_account password) == "$hash" ]]
		else
			[[ $(of_account password) == 'argon2$argon2id$v=19$m=19456,t=2,p=1$'* ]]
		fi
		sign_in "$email" "$PASSWORD"
		expect_status 200
	done
}

@test "hashes that cannot be read let nobody in" {
	local hash
	for hash in '' '!unusable' 'md5$salt$hash' 'argon2$argon2id$v=19$m=4294967295,t=9,p=1$c2FsdHNhbHQ$aGFzaA'; do
		email=$(random 8)@example.com
		stored "$email" "$hash"
		sign_in "$email" "$PASSWORD"
		expect_problem 401 no_active_account
	done
}

# meanwhile SQL: signs in while a transaction that did this to the account is still open.
meanwhile() {
	hold users "$1"
	(sign_in "$email" "$PASSWORD" && echo "$status" >"$BATS_TEST_TMPDIR/status") &
	let_go
	wait $!
	status=$(cat "$BATS_TEST_TMPDIR/status")
}

live_sessions() {
	psql_as users "SELECT count(*) FROM users.session_family
		WHERE user_id = $(of_account id) AND ended_at IS NULL"
}

@test "nobody gets in by a password that is changed while it is compared" {
	join
	meanwhile "UPDATE auth_user SET password = '!' WHERE email = '$email'"
	[[ $status == 401 && $(live_sessions) == 1 ]]
}

@test "nobody gets in who is disabled while his password is compared" {
	join
	meanwhile "UPDATE auth_user SET is_active = false WHERE email = '$email'"
	[[ $status == 401 && $(live_sessions) == 0 ]]
}

@test "whoever signs in while his hash is replaced gets in, too" {
	local hash folder=$BATS_TEST_TMPDIR i
	join
	hash=$(of_account password)
	stored "weak-$email" 'argon2$argon2id$v=19$m=512,t=2,p=2$c2Vhc2FsdDg$ulHaTNXMrgZA9lLEf9wMjw'
	email=weak-$email
	meanwhile "UPDATE auth_user SET password = '$hash' WHERE email = '$email'"
	[[ $status == 200 && $(of_account password) == "$hash" ]]
}

# ---- Refresh.

@test "a refresh token is rotated: the successor works, and the claims are fresh" {
	join
	local first=$(json .refresh) second
	refresh "$first"
	expect_status 200
	expect_json 'keys | join(" ")' 'access refresh'
	second=$(json .refresh)
	[[ $(claim "$first" .fam) == $(claim "$second" .fam) ]]
	[[ $(claim "$first" .jti) != $(claim "$second" .jti) ]]
	TOKEN=$(json .access) api GET $AUTH/profile/
	expect_status 200
	refresh "$second"
	expect_status 200
}

@test "a second use within ten seconds gives the same successor, which lives on" {
	join
	local first=$(json .refresh) second
	refresh "$first"
	second=$(json .refresh)
	refresh "$first"
	expect_status 200
	[[ $(claims "$(json .refresh)") == $(claims "$second") ]]
	refresh "$second"
	expect_status 200
}

@test "twenty uses at once give one successor" {
	join
	local first=$(json .refresh) folder=$BATS_TEST_TMPDIR i
	for i in {1..20}; do
		(refresh "$first" && claim "$(json .refresh)" .jti >"$folder/jti-$i") &
	done
	wait
	[[ $(cat "$folder"/jti-* | wc -l) == 20 && $(cat "$folder"/jti-* | sort -u | wc -l) == 1 ]]
}

@test "a use after ten seconds ends the family, the newest token included" {
	join
	local first=$(json .refresh) second family
	family=$(claim "$first" .fam)
	refresh "$first"
	second=$(json .refresh)
	psql_as users "UPDATE users.refresh_token SET used_at = used_at - interval '11 seconds'
		WHERE family_id = '$family' AND used_at IS NOT NULL"
	refresh "$first"
	expect_problem 401 token_not_valid
	[[ $(psql_as users "SELECT ended_at IS NOT NULL FROM users.session_family WHERE id = '$family'") == t ]]
	refresh "$second"
	expect_problem 401 token_not_valid
	refresh "$first"
	expect_problem 401 token_not_valid
	sign_in "$email" "$PASSWORD"
	expect_status 200
}

@test "no family outlives its thirty days" {
	join
	local first=$(json .refresh) family
	family=$(claim "$first" .fam)
	[[ $(psql_as users "SELECT expires_at - created_at FROM users.session_family WHERE id = '$family'") == '30 days' ]]
	psql_as users "UPDATE users.session_family SET expires_at = now() + interval '5 minutes' WHERE id = '$family'"
	refresh "$first"
	expect_status 200
	(($(claim "$(json .refresh)" '.exp - .iat') <= 300 && $(claim "$(json .access)" '.exp - .iat') <= 300))
	psql_as users "UPDATE users.session_family SET expires_at = now() WHERE id = '$family'"
	refresh "$(json .refresh)"
	expect_problem 401 token_not_valid
}

@test "disabling, and a change of role, end all sessions" {
	local change token family
	for change in 'is_active = false' 'is_staff = true'; do
		email=$(random 8)@example.com
		join
		token=$(json .refresh)
		family=$(claim "$token" .fam)
		psql_as users "UPDATE users.auth_user SET $change WHERE email = '$email'"
		refresh "$token"
		expect_problem 401 token_not_valid
		ask 'ended-sessions/?since=2020-01-01T00:00:00Z'
		expect_status 200
		expect_json "[.families[] | select(. == \"$family\")] | length" 1
	done
	sign_in "$email" "$PASSWORD"
	[[ $(claim "$(json .access)" .is_staff) == true ]]
	psql_as users "UPDATE users.session_family SET ended_at = now() - interval '16 minutes' WHERE id = '$family'"
	ask ended-sessions/
	expect_json "[.families[] | select(. == \"$family\")] | length" 0
}

@test "what is no refresh token is refused" {
	join
	local access=$(json .access) first=$(json .refresh)
	refresh "$access"
	expect_problem 401 token_not_valid
	refresh "${first%?}"
	expect_problem 401 token_not_valid
	refresh ..
	expect_problem 401 token_not_valid
	api POST $AUTH/refresh/ '{}'
	expect_problem 400 invalid
	psql_as users "DELETE FROM users.auth_user WHERE email = '$email'"
	refresh "$first"
	expect_problem 401 token_not_valid
}

# ---- Profile.

@test "a profile is read, changed in part and replaced" {
	join '{"first_name":"Ann"}'
	local TOKEN=$(json .access)
	api PATCH $AUTH/profile/ '{"last_name":"Lee","phone":"+49 30 1234","date_of_birth":"1990-02-03"}'
	expect_status 200
	expect_json '[.first_name, .last_name, .phone, .date_of_birth] | join(",")' 'Ann,Lee,+49 30 1234,1990-02-03'
	api PATCH $AUTH/profile/ '{"phone":null}'
	expect_json '[.last_name, .phone, .date_of_birth] | tostring' '["Lee",null,"1990-02-03"]'
	api GET $AUTH/profile/
	api PUT $AUTH/profile/ "$body"
	expect_status 200
	expect_json '[.first_name, .last_name, .date_of_birth] | join(",")' 'Ann,Lee,1990-02-03'
	api PUT $AUTH/profile/ "{\"email\":\"$email\"}"
	expect_status 200
	expect_json '[.first_name, .last_name, .phone, .date_of_birth] | tostring' '["","",null,null]'
	api PATCH $AUTH/profile/ '{"date_of_birth":"2999-01-01"}'
	expect_problem 400 invalid
	api PATCH $AUTH/profile/ '{"password":"another horse"}'
	expect_json .errors.password[0] 'Unknown field.'
	api PATCH $AUTH/profile/ '{"id":1,"is_staff":true,"username":"root"}'
	expect_status 200
	expect_json '[.is_staff, .username] | tostring' "[false,\"$email\"]"
}

@test "an address changes only with the current password" {
	join
	local TOKEN=$(json .access) other
	other=$(random 8)@example.com
	api PATCH $AUTH/profile/ "{\"email\":\"$other\"}"
	expect_problem 400 invalid
	expect_json .errors.current_password[0] 'This field is required.'
	api PATCH $AUTH/profile/ "{\"email\":\"$other\",\"current_password\":\"wrong\"}"
	expect_problem 400 invalid
	expect_json .errors.current_password[0] 'Invalid password.'
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 1 ]]
	api PATCH $AUTH/profile/ "{\"email\":\"$other\",\"current_password\":\"$PASSWORD\"}"
	expect_status 200
	expect_json '[.email, .username] | join(" ")' "$other $other"
	sign_in "$email" "$PASSWORD"
	expect_problem 401 no_active_account
	sign_in "$other" "$PASSWORD"
	expect_status 200
}

@test "all faults of a profile are told at once, and a guess among them is recorded" {
	join
	local TOKEN=$(json .access)
	api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"current_password\":\"wrong\",\"date_of_birth\":\"2999-01-01\"}"
	expect_problem 400 invalid
	expect_json '.errors | keys | join(" ")' 'current_password date_of_birth'
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 1 ]]
	api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"date_of_birth\":\"2999-01-01\"}"
	expect_json '.errors | keys | join(" ")' 'current_password date_of_birth'
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 1 ]]
	api PUT $AUTH/profile/ "{\"phone\":\"$(printf '1%.0s' {1..33})\",\"date_of_birth\":\"1990-02-30\",\"first_name\":null}"
	expect_json '.errors | keys | join(" ")' 'date_of_birth email first_name phone'
	api PATCH $AUTH/profile/ "{\"phone\":\"$(printf '1%.0s' {1..32})\",\"date_of_birth\":\"$(date -u +%F)\"}"
	expect_status 200
	# The same address needs no proof.
	api PATCH $AUTH/profile/ "{\"email\":\"$email\"}"
	expect_status 200
}

@test "an address that is given up is left to its next owner" {
	join
	local old=$email TOKEN=$(json .access)
	email=$(printf 'x%.0s' {1..64})@$(printf 'y%.0s' {1..60}).$(printf 'z%.0s' {1..60}).$(random 8).com
	api PATCH $AUTH/profile/ "{\"email\":\"$email\",\"current_password\":\"$PASSWORD\"}"
	expect_status 200
	expect_json '.username | startswith("user-")' true
	email=$old
	join '{"password":"another horse"}'
	expect_status 201
	sign_in "$email" 'another horse'
	expect_status 200
}

@test "nobody takes another's address" {
	join
	local taken=$email TOKEN
	email=$(random 8)@example.com
	join
	TOKEN=$(json .access)
	api PATCH $AUTH/profile/ "{\"email\":\"${taken^^}\",\"current_password\":\"$PASSWORD\"}"
	expect_problem 409 email_taken
	[[ $(of_account username) == "$email" ]]
}

@test "a profile needs a token, and is gone with its account" {
	api GET $AUTH/profile/
	expect_problem 401 not_authenticated
	api PATCH $AUTH/profile/ '{}'
	expect_problem 401 not_authenticated
	join
	local TOKEN=$(json .access)
	psql_as users "DELETE FROM users.auth_user WHERE email = '$email'"
	# Until the services hear that the session has ended.
	api GET $AUTH/profile/
	expect_status 401 404
	api PATCH $AUTH/profile/ '{"first_name":"Ann"}'
	expect_status 401 404
}

# ---- Password.

# Whether the session of this token is on the list of those that have ended.
siblings_hear_of() {
	ask ended-sessions/
	[[ $(json ".families | any(. == \"$(claim "$1" .fam)\")") == true ]]
}

# change OLD NEW, by TOKEN.
change() {
	api POST $AUTH/password/change/ "$(jq -nc --arg old "$1" --arg new "$2" '{old_password: $old, new_password: $new}')"
}

@test "a changed password counts at once, and ends all sessions but the caller's" {
	join
	local mine=$(json .refresh) TOKEN=$(json .access) others=() family
	sign_in "$email" "$PASSWORD"
	others+=("$(json .refresh)")
	sign_in "$email" "$PASSWORD"
	others+=("$(json .refresh)")
	# Nothing is trimmed or cut, and any character is taken.
	change "$PASSWORD" ' ä😀 horse  '
	expect_status 204
	[[ -z $body ]]
	TOKEN='' sign_in "$email" "$PASSWORD"
	expect_problem 401 no_active_account
	TOKEN='' sign_in "$email" ' ä😀 horse  '
	expect_status 200
	TOKEN='' refresh "$mine"
	expect_status 200
	for token in "${others[@]}"; do
		TOKEN='' refresh "$token"
		expect_problem 401 token_not_valid
		siblings_hear_of "$token"
	done
	! siblings_hear_of "$mine" || return 1
	[[ $(of_account password) == 'argon2$argon2id$v=19$m=19456,t=2,p=1$'* ]]
}

@test "a wrong old password is told under its field and recorded" {
	join
	local TOKEN=$(json .access) hash
	hash=$(of_account password)
	change 'correct horse batterY' 'another horse'
	expect_problem 400 invalid
	expect_json '.errors | keys | tostring' '["old_password"]'
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 1 ]]
	[[ $(of_account password) == "$hash" && $(live_sessions) == 1 ]]
	api POST $AUTH/password/change/ '{}'
	expect_json '.errors | keys | join(" ")' 'new_password old_password'
	# Actions have no read-only fields.
	api POST $AUTH/password/change/ "{\"old_password\":\"$PASSWORD\",\"new_password\":\"another horse\",\"id\":1}"
	expect_problem 400 invalid
	expect_json .errors.id[0] 'Unknown field.'
	TOKEN='' api POST $AUTH/password/change/ '{}'
	expect_problem 401 not_authenticated
	[[ $(of_account password) == "$hash" ]]
}

@test "a new password obeys the rules of a first one" {
	join '{"first_name":"Elizabeth","last_name":"Bennet"}'
	local TOKEN=$(json .access) hash weak
	hash=$(of_account password)
	for weak in '' 1234567 '7 chars' 12345678901 Password123 "$email" "${email%@*}" elizabeth.bennet BENNETelizabeth \
		"$(printf 'x%.0s' {1..257})"; do
		change "$PASSWORD" "$weak"
		expect_problem 400 invalid
		expect_json '.errors | keys | tostring' '["new_password"]'
	done
	[[ $(of_account password) == "$hash" ]]
	weak=$(printf '😀%.0s' {1..256})
	change "$PASSWORD" "$weak"
	expect_status 204
	TOKEN='' sign_in "$email" "$weak"
	expect_status 200
	TOKEN='' sign_in "$email" "${weak%😀}😁"
	expect_problem 401 no_active_account
}

# ---- While others are at it.

# held_while SQL COMMAND...: calls the command while a transaction that did this is still open.
held_while() {
	hold users "$1"
	shift
	("$@" && echo "$status" >"$BATS_TEST_TMPDIR/status" && echo "$body" >"$BATS_TEST_TMPDIR/body") &
	let_go
	wait $!
	status=$(cat "$BATS_TEST_TMPDIR/status") body=$(cat "$BATS_TEST_TMPDIR/body")
}

# The SQL that changes this account's profile to EMAIL, FIRST-NAME, PHONE.
changes() {
	echo "SELECT change_account($(of_account id), '$1', '$2', NULL, '$3', NULL)"
}

# never_locked COMMAND...: whether nobody had to wait for the account's row while it ran.
never_locked() {
	local running looks=0
	("$@" && echo "$status" >"$BATS_TEST_TMPDIR/status") &
	running=$!
	while kill -0 $running 2>/dev/null; do
		psql_as users "SELECT FROM users.auth_user WHERE email = '$email' FOR UPDATE NOWAIT" >/dev/null || return
		looks=$((looks + 1))
	done
	wait $running
	status=$(cat "$BATS_TEST_TMPDIR/status")
	((looks > 3)) || complain "looked only $looks times"
}

@test "whoever tries passwords with a token keeps nobody from the account" {
	join
	local TOKEN=$(json .access)
	# So much work that the comparison is seen, and so little that a busy machine does it in time.
	psql_as users "UPDATE users.auth_user SET password = 'pbkdf2_sha256\$1500000\$salt\$' || repeat('A', 43) || '='
		WHERE email = '$email'"
	never_locked change wrong 'another horse'
	[[ $status == 400 ]]
	never_locked api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"current_password\":\"wrong\"}"
	[[ $status == 400 ]]
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 2 ]]
}

@test "a password that is changed while it is compared is not changed by it" {
	join
	local TOKEN=$(json .access) hash
	held_while "UPDATE auth_user SET password = '!' WHERE email = '$email'" change "$PASSWORD" 'another horse'
	[[ $status == 400 && $(json '.errors | keys | tostring') == '["old_password"]' && $(of_account password) == '!' ]]
	[[ $(psql_as users "SELECT count(*) FROM users.failed_sign_in WHERE account = 'user $(of_account id)'") == 1 ]]
	# The same one, hashed anew.
	email=x$email join
	hash=$(psql_as users "SELECT password FROM users.auth_user WHERE email = 'x$email'")
	psql_as users "UPDATE users.auth_user SET password = 'argon2\$argon2id\$v=19\$m=512,t=2,p=2\$c2Vhc2FsdDg\$ulHaTNXMrgZA9lLEf9wMjw'
		WHERE email = '$email'"
	held_while "UPDATE auth_user SET password = '$hash' WHERE email = '$email'" change "$PASSWORD" 'another horse'
	[[ $status == 204 ]]
	TOKEN='' sign_in "$email" 'another horse'
	expect_status 200
}

@test "an address is proven by the password of now, and a proof is for one address" {
	join
	local TOKEN=$(json .access) old=$email
	held_while "UPDATE auth_user SET password = '!' WHERE email = '$email'" \
		api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"current_password\":\"$PASSWORD\"}"
	expect_status 400
	expect_json .errors.current_password[0] 'Invalid password.'
	# What needed no proof when it was looked at does now.
	held_while "$(changes "y$email" Zoe 1)" api PATCH $AUTH/profile/ "{\"email\":\"$email\",\"first_name\":\"Ann\"}"
	expect_status 400
	expect_json .errors.current_password[0] 'This field is required.'
	email=y$old
	[[ $(of_account first_name) == Zoe ]]
}

@test "changes to different parts of a profile at once are all kept" {
	join
	local TOKEN=$(json .access)
	held_while "$(changes "$email" Zoe 12)" api PATCH $AUTH/profile/ '{"last_name":"Lee"}'
	expect_status 200
	expect_json '[.first_name, .last_name, .phone] | join(" ")' 'Zoe Lee 12'
	held_while "$(changes "$email" Kim 34)" \
		api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"current_password\":\"$PASSWORD\"}"
	expect_status 200
	expect_json '[.email, .first_name, .phone] | join(" ")' "x$email Kim 34"
}

@test "If-Match holds for a profile that is changed while a password is compared" {
	join
	local TOKEN=$(json .access) tag wanted proof
	proof="{\"email\":\"x$email\",\"current_password\":\"$PASSWORD\"}"
	for wanted in '{"first_name":"Ann"}' "$proof"; do
		api GET $AUTH/profile/
		tag=$(header ETag)
		held_while "$(changes "$email" Zoe "$(random 4)")" api PATCH $AUTH/profile/ "$wanted" -H "If-Match: $tag"
		expect_status 412
		expect_json .code precondition_failed
		[[ $(of_account "email || first_name") == "${email}Zoe" ]]
	done
	held_while "$(changes "$email" Kim 5)" api PATCH $AUTH/profile/ "$proof" -H 'If-Match: *'
	expect_status 200
	expect_json '[.email, .first_name, .phone] | join(" ")' "x$email Kim 5"
	email=x$email
	api GET $AUTH/profile/
	api PATCH $AUTH/profile/ "{\"email\":\"x$email\",\"current_password\":\"$PASSWORD\"}" -H "If-Match: $(header ETag)"
	expect_status 200
}

# ---- Verify and log out.

# verify TOKEN
verify() {
	TOKEN='' api POST $AUTH/verify/ "{\"token\":\"$1\"}"
}

log_out() {
	TOKEN='' api POST $AUTH/logout/ "{\"refresh\":\"$1\"}"
}

@test "both tokens verify while their session lives, a used one for ten seconds" {
	join
	local access=$(json .access) first=$(json .refresh) second
	for token in "$access" "$first"; do
		verify "$token"
		expect_status 200
		[[ $body == '{}' ]]
	done
	refresh "$first"
	second=$(json .refresh)
	for token in "$access" "$first" "$second"; do
		verify "$token"
		expect_status 200
	done
	psql_as users "UPDATE users.refresh_token SET used_at = used_at - interval '11 seconds'
		WHERE family_id = '$(claim "$first" .fam)' AND used_at IS NOT NULL"
	verify "$first"
	expect_problem 401 token_not_valid
	# To look is not to use: the family lives on.
	verify "$second"
	expect_status 200
	refresh "$second"
	expect_status 200
}

@test "what is no token, or one of an ended session, does not verify" {
	join
	local access=$(json .access) first=$(json .refresh) change token
	for token in x .. "${access%?}" "$access." "${SERVICE_TOKEN%%,*}"; do
		verify "$token"
		expect_problem 401 token_not_valid
	done
	verify ''
	expect_problem 400 invalid
	api POST $AUTH/verify/ '{}'
	expect_problem 400 invalid
	for change in "UPDATE users.session_family SET expires_at = now() WHERE user_id = $(of_account id)" \
		"UPDATE users.session_family SET expires_at = now() + interval '1 day', ended_at = now()
			WHERE user_id = $(of_account id)" \
		"UPDATE users.auth_user SET is_active = false WHERE email = '$email';
			UPDATE users.session_family SET ended_at = NULL WHERE user_id = $(of_account id)" \
		"DELETE FROM users.auth_user WHERE email = '$email'"; do
		psql_as users "$change"
		for token in "$access" "$first"; do
			verify "$token"
			expect_problem 401 token_not_valid
		done
	done
}

@test "logging out ends its session alone, and can be said again" {
	join
	local access=$(json .access) first=$(json .refresh) other second
	sign_in "$email" "$PASSWORD"
	other=$(json .refresh)
	refresh "$first"
	second=$(json .refresh)
	# Also by a token that was used before: its answer may have been lost.
	log_out "$first"
	expect_status 204
	[[ -z $body ]]
	for token in "$first" "$second"; do
		refresh "$token"
		expect_problem 401 token_not_valid
		verify "$token"
		expect_problem 401 token_not_valid
	done
	verify "$access"
	expect_problem 401 token_not_valid
	siblings_hear_of "$first"
	! siblings_hear_of "$other" || return 1
	log_out "$second"
	expect_status 204
	refresh "$other"
	expect_status 200
}

@test "what is no refresh token logs nobody out" {
	join
	local access=$(json .access) first=$(json .refresh) token
	for token in "$access" x .. "${first%?}"; do
		log_out "$token"
		expect_problem 401 token_not_valid
	done
	api POST $AUTH/logout/ '{}'
	expect_problem 400 invalid
	verify "$first"
	expect_status 200
}

@test "logging out everywhere ends all of one's sessions, and nobody else's" {
	join
	local access=$(json .access) mine=("$(json .refresh)") other
	sign_in "$email" "$PASSWORD"
	mine+=("$(json .refresh)")
	email=x$email join
	other=$(json .refresh)
	api POST $AUTH/logout-all/
	expect_problem 401 not_authenticated
	TOKEN=$access api POST $AUTH/logout-all/ '{"refresh":"x"}'
	expect_problem 400 invalid
	TOKEN=$access api POST $AUTH/logout-all/
	expect_status 204
	for token in "${mine[@]}" "$access"; do
		verify "$token"
		expect_problem 401 token_not_valid
	done
	refresh "${mine[1]}"
	expect_problem 401 token_not_valid
	refresh "$other"
	expect_status 200
	sign_in "$email" "$PASSWORD"
	expect_status 200
}

@test "siblings do not hear of sessions whose last access token has expired" {
	join
	local refresh=$(json .refresh) family
	family=$(claim "$refresh" .fam)
	# Of several tokens the last counts.
	psql_as users "INSERT INTO users.refresh_token (jti_hash, family_id, issued_at)
		SELECT gen_random_uuid(), '$family', now() - n * interval '1 day' FROM generate_series(1, 3) n"
	psql_as users "UPDATE users.auth_user SET is_active = false WHERE email = '$email'"
	siblings_hear_of "$refresh"
	psql_as users "UPDATE users.refresh_token SET issued_at = now() - interval '15 minutes 30 seconds'
		WHERE family_id = '$family' AND issued_at > now() - interval '1 hour'"
	siblings_hear_of "$refresh"
	psql_as users "UPDATE users.refresh_token SET issued_at = now() - interval '16 minutes 1 second'
		WHERE family_id = '$family' AND issued_at > now() - interval '1 hour'"
	! siblings_hear_of "$refresh" || return 1
}

@test "siblings hear of the sessions of accounts that are gone, too" {
	join
	local refresh=$(json .refresh)
	! siblings_hear_of "$refresh" || return 1
	psql_as users "DELETE FROM users.auth_user WHERE email = '$email'"
	siblings_hear_of "$refresh"
}

# ---- Siblings.

@test "siblings see an account with one of its addresses" {
	join
	local id address
	id=$(of_account id)
	address=$(psql_as users "INSERT INTO users.users_address (user_id, name, line1, city, postal_code, country)
		VALUES ($id, 'Ann', 'Street 1', 'Berlin', '10115', 'DE') RETURNING id")
	ask "users/$id/"
	expect_status 200
	expect_json '[.id, .email, .username, .is_staff, .is_active, .address] | tostring' \
		"[$id,\"$email\",\"$email\",false,true,null]"
	ask "users/$id/?address_id=$address"
	expect_json '[.address.id, .address.city, .address.country] | join(" ")' "$address Berlin DE"
	ask "users/1/?address_id=$address"
	expect_status 200 404
	[[ $status == 404 ]] || expect_json .address null
	ask users/9007199254740991/
	expect_problem 404 not_found
}

@test "an event takes effect once" {
	local event
	event=$(psql_as users 'SELECT gen_random_uuid()')
	event="{\"event_id\":\"$event\",\"type\":\"order.confirmed\",\"aggregate_id\":5,\"version\":1,\"payload\":{}}"
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$USERS_SERVICE_URL/internal/v1/events/" "$event"
	expect_json .applied true
	TOKEN=${SERVICE_TOKEN%%,*} api POST "$USERS_SERVICE_URL/internal/v1/events/" "$event"
	expect_json .applied false
}

# violates CONSTRAINT SQL
violates() {
	local told
	! told=$(psql_as users "$2" 2>&1) || complain "$1: taken" || return
	[[ $told == *\"$1\"* ]] || complain "$told"
}

@test "the tables refuse what must not be" {
	join
	local id
	id=$(of_account id)
	psql_as users "INSERT INTO users.users_saveditem (user_id, product_id) VALUES ($id, 1)"
	violates saved_item_taken "INSERT INTO users.users_saveditem (user_id, product_id) VALUES ($id, 1)"
	violates address_country_form "INSERT INTO users.users_address (user_id, name, line1, city, postal_code, country)
		VALUES ($id, 'Ann', 'Street 1', 'Berlin', '10115', 'de')"
	violates successor_of_used "UPDATE users.refresh_token SET successor = 'x'"
	violates successor_taken "UPDATE users.refresh_token SET used_at = now(), successor = 'same'"
	violates email_taken "INSERT INTO users.auth_user (email, username, password) VALUES ('${email^^}', 'y$email', '')"
	psql_as users "INSERT INTO users.auth_user (username, password) VALUES ('1$email', ''), ('2$email', '')"
}

# ---- The first account of staff.

create_superuser() {
	run "${ARNOVA_BUILD:-build}/arnova" createsuperuser "$@" <<<"${LINE-$PASSWORD}"
}

@test "createsuperuser makes an account of staff" {
	create_superuser --email "$email" --username "boss-$email" --password-stdin
	[[ $status == 1 && $output == *'must be your own email address'* ]]
	create_superuser --email "$email" --password-stdin
	[[ $status == 0 && $output == "created the superuser $email" ]]
	[[ $(of_account 'is_staff AND is_superuser') == t ]]
	sign_in "$email" "$PASSWORD"
	expect_status 200
	expect_json .user.is_staff true
	create_superuser --email "$email" --password-stdin
	[[ $status == 1 && $output == *'already exists'* ]]
	LINE=password create_superuser --email "x$email" --password-stdin
	[[ $status == 1 && $output == *'too common'* ]]
	LINE="$email" create_superuser --email "$email" --password-stdin
	[[ $status == 1 && $output == *'too similar'* ]]
	LINE="${email%@*}" create_superuser --email "$email" --password-stdin
	[[ $status == 1 && $output == *'too similar'* ]]
	create_superuser --email no --password-stdin
	[[ $status == 1 && $output == *'valid email'* ]]
	create_superuser --email "$email"
	[[ $status == 2 ]]
}
