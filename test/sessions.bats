# sessions.bats: a session that has ended is refused by all five services within 5 seconds.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
	load tokens
	load sessions
	in_vain=$(asked_in_vain)
}

# How often users was too slow for a service that asked which sessions have ended.
asked_in_vain() {
	cat "$VAR"/log/*.log | grep -cF '"could not ask users which sessions have ended"' || true
}

# refused_in_time TOKEN ENDED-AT: by all five, whatever request begins five seconds after the end. A
# machine that stands still may let users seem to be away, which the log tells: then some time later.
refused_in_time() {
	local begun
	while begun=$(now_ms) && ! refused ended "$1" 2>/dev/null; do
		((begun < $2 + 5000 || $(asked_in_vain) > in_vain && begun < $2 + 60000)) ||
			complain "taken by some $((begun - $2)) ms after its end: $(answers "$1")" || return
		sleep 0.1
	done
}

# code_of TOKEN: by products alone.
code_of() {
	curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "$BASE/api/v1/products/"
}

now_ms() {
	echo "$((${EPOCHREALTIME//[!0-9]/} / 1000))"
}

# sleep_until MILLISECONDS
sleep_until() {
	local left=$(($1 - $(now_ms)))
	((left <= 0)) || sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
}

@test "whatever ends a session, five seconds later its tokens are refused, and no others" {
	local -a ended=() living=()
	local token ended_at
	join && ended+=("$access")
	end_session "$access"
	another && living+=("$access")

	join && ended+=("$access")
	local to_log_out=$refresh

	join && ended+=("$access")
	another && living+=("$access")
	local changed=$access

	join && ended+=("$access")
	another && ended+=("$access")
	local leaving=$access

	join && ended+=("$access")
	local disabled=$email
	join && ended+=("$access")
	local promoted=$email

	for token in "${ended[@]:1}" "${living[@]}"; do taken before "$token"; done
	api POST /api/v1/auth/logout/ "{\"refresh\":\"$to_log_out\"}"
	expect_status 204
	TOKEN=$changed api POST /api/v1/auth/password/change/ \
		'{"old_password":"one-of-many-7","new_password":"another-of-many-8"}'
	expect_status 204
	TOKEN=$leaving api POST /api/v1/auth/logout-all/
	expect_status 204
	"${ARNOVA_BUILD:-build}/arnova" user disable --email "$disabled"
	psql_as users "UPDATE users.auth_user SET is_staff = true WHERE email = '$promoted'"
	ended_at=$(now_ms)
	# Nobody asks meanwhile: each service finds its list old.
	sleep_until $((ended_at + 5000))
	for token in "${ended[@]}"; do refused_in_time "$token" "$ended_at"; done
	for token in "${living[@]}"; do taken living "$token"; done
}

@test "it is refused within five seconds, too, while everybody asks" {
	local pid ended_at
	local -a asking=()
	join
	local token=$access
	another
	taken before "$token"
	end_session "$token"
	ended_at=$(now_ms)
	# By more clients than a service has workers, the whole time.
	for _ in 1 2 3; do
		(for _ in {1..12}; do answers "$access" >/dev/null && sleep 0.2; done) &
		asking+=($!)
	done
	refused_in_time "$token" "$ended_at"
	taken living "$access"
	for pid in "${asking[@]}"; do wait "$pid"; done
	refused ended "$token"
}

@test "while users is away the last list holds, and nobody waits for it" {
	local got path urls=()
	join
	local early=$access
	another
	local late=$access
	another
	end_session "$early"
	wait_for 60 refused ended "$early"
	stop_users
	end_session "$late"
	sleep 2.2
	# One try in two seconds may wait for users.
	for _ in {1..20}; do for path in products cart; do urls+=(-o /dev/null "$BASE/api/v1/$path/"); done; done
	got=$(curl -s -H "Authorization: Bearer $access" -w '%{http_code} %{time_total}\n' "${urls[@]}")
	[[ $(grep -c '^200 ' <<<"$got") == 40 ]] || complain "$got"
	[[ $(awk '$2 < 0.65' <<<"$got" | wc -l) -ge 20 ]] || complain "most have waited: $got"
	[[ $(code_of "$early") == 401 ]]
	[[ $(code_of "$late") == 200 ]]
	let_users_go_on
	wait_for 60 refused late "$late"
	taken living "$access"
}
