# session_list.bats: the file that knows which sessions have ended, by services as CGI: nothing else
# remembers anything from one request to the next.
# servers: lighttpd
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
	load tokens
	load sessions
}

# is_status CODE SERVICE TOKEN [NAME=VALUE...]: so it answers. Users has less than a second to tell it
# what has ended: who waited in vain, as its log says, for a busy machine, asks again.
is_status() {
	local before tries=0
	before=$(asked_in_vain)
	until [[ $(status_as_cgi "${@:2}") == "$1" ]]; do
		(($(asked_in_vain) > before && tries++ < 40)) || return
		sleep 0.5
	done
}

asked_in_vain() {
	cat "$BATS_TEST_TMPDIR/cgi.log" 2>/dev/null | grep -cF '"could not ask users which sessions have ended"' || true
}

# digested FILE: puts the digest that an intact file begins with in its place.
digested() {
	tail -c +33 "$1" >"$1.rest"
	{ openssl dgst -sha256 -binary "$1.rest" && cat "$1.rest"; } >"$1"
	rm "$1.rest"
}

# put FILE OFFSET BYTES...: overwrites a part of it.
put() {
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# spoil FILE HOW: the list itself begins after 160 bytes.
spoil() {
	local file=$1 size
	case $2 in
	gone) rm "$file" ;;
	empty) : >"$file" ;;
	half) truncate -s "$(($(stat -c %s "$file") / 2))" "$file" ;;
	longer) echo x >>"$file" ;;
	text) head -c "$(stat -c %s "$file")" /dev/zero | tr '\0' x >"$file" ;;
	entries) size=$(stat -c %s "$file") && truncate -s 160 "$file" && truncate -s "$size" "$file" ;;
	open) chmod 666 "$file" ;;
	link) rm "$file" && ln -s /etc/passwd "$file" ;;
	folder) rm "$file" && mkdir "$file" ;;
	pipe) rm "$file" && mkfifo "$file" ;;
	layout) put "$file" 39 0 && digested "$file" ;;
	# By 2^60 more: the size in bytes stays what it was, modulo 2^64.
	count) put "$file" 159 '\020' && digested "$file" ;;
	esac
}

@test "a list that vanished or was spoilt is asked for again" {
	local folder=$BATS_TEST_TMPDIR/state file how
	local -a here=(STATE_FOLDER="$folder") alone=(STATE_FOLDER="$folder" USERS_SERVICE_URL=http://127.0.0.1:1)
	file=$folder/products.sessions
	mkdir "$folder"
	join
	local token=$access
	another
	end_session "$token"
	for how in whole gone empty half longer text entries open link folder pipe layout count; do
		[[ $how == whole ]] || spoil "$file" $how
		is_status 401 products "$token" "${here[@]}" || complain "$how: ended"
		is_status 200 products "$access" "${here[@]}" || complain "$how: living"
		[[ $how != folder ]] || rmdir "$file"
		# By now there is a good one.
		is_status 401 products "$token" "${here[@]}"
		[[ $(status_as_cgi products "$token" "${alone[@]}") == 401 ]] || complain "$how: users away"
		[[ $(status_as_cgi products "$access" "${alone[@]}") == 200 ]] || complain "$how: users away, living"
	done
	# Nothing known, nobody to ask.
	for how in gone half count; do
		spoil "$file" $how
		[[ $(status_as_cgi products "$token" "${alone[@]}") == 503 ]]
		rm -f "$file.lock"
		is_status 401 products "$token" "${here[@]}"
	done
	[[ ! -s $BATS_TEST_TMPDIR/cgi.log ]] || ! grep -q 'runtime error\|AddressSanitizer' "$BATS_TEST_TMPDIR/cgi.log"
}

@test "where there is no folder for the list it does without" {
	join
	local token=$access
	another
	end_session "$token"
	is_status 401 cart "$token" STATE_FOLDER=/nowhere
	is_status 200 cart "$access" STATE_FOLDER=/nowhere
	[[ $(grep -c 'could not use a file that workers share' "$BATS_TEST_TMPDIR/cgi.log") -ge 2 ]]
}

# A host that was just set up must not believe a token whose session ended long ago.
@test "before users has told anything no token is believed, and nobody else is kept out" {
	local folder=$BATS_TEST_TMPDIR/state
	mkdir "$folder"
	join
	stop_users
	[[ $(status_as_cgi cart "$access" STATE_FOLDER="$folder") == 503 ]]
	is_status 200 products "" STATE_FOLDER="$folder"
	let_users_go_on
	wait_for 60 is_status 200 cart "$access" STATE_FOLDER="$folder"
}

@test "visitors and services cost no question" {
	local folder=$BATS_TEST_TMPDIR/state
	mkdir "$folder"
	is_status 200 products '' STATE_FOLDER="$folder"
	is_status 200 products "$SERVICE_TOKEN" STATE_FOLDER="$folder"
	[[ ! -e $folder/products.sessions ]]
	join
	is_status 200 products "$access" STATE_FOLDER="$folder"
	[[ -s $folder/products.sessions ]]
}

@test "one asks for all" {
	local folder=$BATS_TEST_TMPDIR/state before after pid
	local -a asking=()
	mkdir "$folder"
	join
	is_status 200 orders "$access" STATE_FOLDER="$folder"
	sleep 2.2
	questions() { grep -c '"url.path":"/internal/v1/ended-sessions/"' "$VAR/log/users.log"; }
	more_questions() { (($(questions) > before)); }
	before=$(questions)
	stop_users
	for _ in {1..10}; do
		status_as_cgi orders "$access" STATE_FOLDER="$folder" >/dev/null &
		asking+=($!)
	done
	sleep 0.6
	let_users_go_on
	for pid in "${asking[@]}"; do wait "$pid"; done
	# The log may be a moment late.
	wait_for 60 more_questions
	sleep 0.3
	after=$(questions)
	# On a slow machine the first answer may be old before the last one asks.
	((after > before && after - before <= 3)) || complain "$((after - before)) questions"
}

@test "a worker that is killed while it asks holds nobody up" {
	local folder=$BATS_TEST_TMPDIR/state
	mkdir "$folder"
	join
	local token=$access
	is_status 200 orders "$token" STATE_FOLDER="$folder"
	end_session "$token"
	stop_users
	sleep 2.2
	wait_for 60 killed_while_asking orders "$token" STATE_FOLDER="$folder"
	let_users_go_on
	wait_for 20 is_status 401 orders "$token" STATE_FOLDER="$folder"
}

# killed_while_asking SERVICE TOKEN NAME=VALUE...: whether there was the time to do it.
killed_while_asking() {
	local asking pid='' code=0
	as_cgi "$@" >/dev/null 3>&- &
	asking=$!
	until [[ -n $pid ]] || ! kill -0 $asking; do pid=$(holder_of "$folder/$1.sessions.lock"); done
	[[ -n $pid ]] && kill -9 "$pid" || code=1
	wait $asking || true
	return $code
}

# holder_of FILE: the pid of the process that has a byte lock on it.
holder_of() {
	local inode
	inode=$(stat -c %i "$1") || return
	awk -v inode="$inode" '$2 == "POSIX" && split($6, file, ":") == 3 && file[3] == inode { print $5; exit }' /proc/locks
}

@test "more than fit into a list are known by the time: older tokens go, newer ones stay" {
	local folder=$BATS_TEST_TMPDIR/state old new
	mkdir "$folder"
	join
	local header
	header=$(our_header)
	old=$(es256 "$header" "$(payload "{\"iat\":$((now - 870))}")")
	new=$(es256 "$header" "$(payload "{\"iat\":$((now - 800))}")")
	is_status 200 cart "$old" STATE_FOLDER="$folder"
	psql_as users "WITH many AS (
			INSERT INTO users.session_family (user_id, client, ended_at)
			SELECT id, 'many', now() - interval '14 minutes' FROM users.auth_user, generate_series(1, 30001)
			WHERE email = '$email' RETURNING id)
		INSERT INTO users.refresh_token (jti_hash, family_id) SELECT id, id FROM many"
	rm "$folder/cart.sessions"
	is_status 401 cart "$old" STATE_FOLDER="$folder"
	is_status 200 cart "$new" STATE_FOLDER="$folder"
	is_status 200 cart "$access" STATE_FOLDER="$folder"
	psql_as users "DELETE FROM users.session_family WHERE client = 'many'"
}
