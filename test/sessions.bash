# shellcheck shell=bash disable=SC2034,SC2154
# sessions.bash: accounts with sessions that end, and a users service that stands still.

# join: a new account in $email, with its first session in $access and $refresh.
join() {
	email=$(random 8)@example.com
	api POST /api/v1/auth/register/ "{\"email\":\"$email\",\"password\":\"one-of-many-7\"}"
	expect_status 201
	access=$(json .access) refresh=$(json .refresh)
}

# another: one more session of that account.
another() {
	api POST /api/v1/auth/login/ "{\"email\":\"$email\",\"password\":\"one-of-many-7\"}"
	expect_status 200
	access=$(json .access) refresh=$(json .refresh)
}

# end_session TOKEN: without the help of a route.
end_session() {
	psql_as users "UPDATE users.session_family SET ended_at = clock_timestamp()
		WHERE id = '$(cut -d. -f2 <<<"$1" | from_base64url | jq -r .fam)'"
}

# Whoever could tell which sessions have ended stands still.
stop_users() {
	local pid pool
	pool=$(head -n 1 "$VAR/run/users-internal.pid")
	stopped=$(for pid in $(workers users); do awk -v pool="$pool" '$4 == pool { print $1 }' "/proc/$pid/stat"; done)
	# shellcheck disable=SC2086
	kill -STOP $stopped
}

let_users_go_on() {
	# shellcheck disable=SC2086
	kill -CONT $stopped
	stopped=
}

# In the end nobody may stand still.
teardown() {
	# shellcheck disable=SC2086 # one word for each pid
	[[ -z ${stopped-} ]] || kill -CONT $stopped
}
