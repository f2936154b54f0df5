# shellcheck shell=bash disable=SC2034
# helper.bash: what every bats file needs to speak with a running shop.
#
# test/run sets the environment; by hand: . var/env && bats test/products.bats

bats_require_minimum_version 1.5.0

if [[ -z ${PUBLIC_URL-} ]]; then
	# shellcheck source=/dev/null
	. "${VAR:-${BASH_SOURCE[0]%/*}/../var}/env"
fi
BASE=${BASE:-$PUBLIC_URL}

# ---- Requests.

# api METHOD PATH [JSON] [curl arguments]: sets status, body and headers (a file). PATH may be
# a whole URL. TOKEN=... before it signs the request: TOKEN=$token api GET /api/v1/cart/
api() {
	local method=$1 url=$2 folder=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR} code
	local -a arguments=()
	shift 2
	[[ $url == http* ]] || url=$BASE$url
	if (($#)) && [[ $1 != -* ]]; then
		arguments+=(--header 'Content-Type: application/json' --data-binary "$1")
		shift
	fi
	# A browser says that it sends nothing; lighttpd insists on it (411).
	[[ $method == GET || $method == HEAD || " ${arguments[*]} $*" == *" -"[dFT]* ||
		" ${arguments[*]} $*" == *" --data"* ]] || arguments+=(--header 'Content-Length: 0')
	[[ -z ${TOKEN-} ]] || arguments+=(--header "Authorization: Bearer $TOKEN")
	[[ $method != HEAD ]] || arguments+=(--head)
	last_request="$method $url ${arguments[*]} $*"
	headers=$(mktemp "$folder/headers.XXXXXX")
	code=$(curl --silent --show-error --globoff --path-as-is --max-time 60 --request "$method" \
		--dump-header "$headers" --output "$headers.body" --write-out '%{http_code}' \
		"${arguments[@]}" "$@" "$url") || true
	status=$((10#${code:-0}))
	body=
	[[ ! -s $headers.body ]] || body=$(tr -d '\0' <"$headers.body")
	note_call "$method" "$url"
}

# For test/coverage-check, which asks whether every route was called.
note_call() {
	local path=${2#*://}
	path=/${path#*/}
	echo "$1 ${path%%\?*} $status" >>"$VAR/log/calls"
}

# The value of a header of the last answer.
header() {
	sed -n "s/\r\$//; s/^$1: *//Ip" "$headers" | tail -n 1
}

# What jq's FILTER finds in the last body.
json() {
	jq -r "$1" <<<"$body"
}

# A key that no request has used.
idem() {
	random 16
}

random() {
	od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

# ---- Expectations. Each says on failure what was asked and what came.

complain() {
	{
		echo "$*"
		echo "request: ${last_request-none}"
		echo "status:  ${status-}"
		echo "body:    ${body-}"
	} >&2
	return 1
}

# expect_status CODE...: the last answer has one of these.
expect_status() {
	local code
	for code; do [[ $status != "$code" ]] || return 0; done
	complain "expected status $*, got $status"
}

expect_json() {
	local actual
	actual=$(json "$1") || complain "the body is not JSON, or the filter is wrong: $1" || return
	[[ $actual == "$2" ]] || complain "expected $1 to be '$2', got '$actual'"
}

# expect_header NAME PATTERN: an extended regular expression, the whole value.
expect_header() {
	local actual
	actual=$(header "$1")
	[[ $actual =~ ^($2)$ ]] || complain "expected header $1 to be '$2', got '$actual'"
}

# expect_problem STATUS CODE: a problem (RFC 9457) with this code.
expect_problem() {
	expect_status "$1" && expect_header Content-Type 'application/problem\+json; charset=utf-8' &&
		expect_json .code "$2" && expect_json .status "$1"
}

# wait_for SECONDS COMMAND...: until it succeeds. It costs nothing to be patient: a machine that stands
# still for some seconds must not fail a test.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		((SECONDS < deadline)) || complain "waited in vain for: $*" || return
		sleep 0.1
	done
}

# ---- Many requests at the same moment.

# prepare METHOD PATH JSON [HEADER...]: one more request for send_prepared.
prepare() {
	local file=$BATS_TEST_TMPDIR/prepared number header
	number=$(grep -c ^url "$file" 2>/dev/null) || true
	{
		((${number:-0} == 0)) || echo next
		echo "url = \"$BASE$2\""
		echo "request = \"$1\""
		echo "data-binary = \"${3//\"/\\\"}\""
		for header in 'Content-Type: application/json' "${@:4}"; do echo "header = \"$header\""; done
		echo "output = \"$file.body.$((${number:-0} + 1))\""
		echo "dump-header = \"$file.headers.$((${number:-0} + 1))\""
		printf '%s\n' 'write-out = "%{http_code}\n"' 'max-time = 60' silent
	} >>"$file"
}

# Sends what was prepared and prints how often each status came: "201 10,409 190". Answers are
# in prepared.body.1, prepared.headers.1 and so on.
send_prepared() {
	local file=$BATS_TEST_TMPDIR/prepared
	curl --silent --parallel --parallel-immediate --parallel-max 300 --config "$file" \
		>"$file.codes" 2>/dev/null || true
	rm "$file"
	sort "$file.codes" | uniq -c | awk '{print $2 " " $1}' | paste -sd ,
}

# ---- People and things.

# user_token NAME: registers a new person and prints the access token. What register answered,
# and the password, stay in a file: user_field NAME .user.id
user_token() {
	local folder=${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR} email password
	email=$1-$(random 8)@example.com
	password=$(random 12)-Aa
	api POST /api/v1/auth/register/ "{\"email\":\"$email\",\"password\":\"$password\"}"
	expect_status 201 || return
	jq --arg password "$password" '. + {password: $password}' <<<"$body" >"$folder/user-$1.json"
	json .access
}

user_field() {
	jq -r "$2" "${BATS_TEST_TMPDIR:-$BATS_FILE_TMPDIR}/user-$1.json"
}

# Signs in as staff; the token serves ten minutes of tests.
staff_token() {
	local kept=$BATS_RUN_TMPDIR/staff-token
	if [[ ! -s $kept || -n $(find "$kept" -mmin +10) ]]; then
		[[ -n ${STAFF_EMAIL-} ]] || make_staff || return
		api POST /api/v1/auth/login/ "{\"email\":\"$STAFF_EMAIL\",\"password\":\"$STAFF_PASSWORD\"}"
		expect_status 200 || return
		json .access >"$kept.$BASHPID"
		mv "$kept.$BASHPID" "$kept"
	fi
	cat "$kept"
}

make_staff() {
	STAFF_EMAIL=staff-$(random 6)@example.com STAFF_PASSWORD=$(random 12)-Aa
	"${ARNOVA_BUILD:-build}/arnova" createsuperuser --email "$STAFF_EMAIL" --password-stdin \
		<<<"$STAFF_PASSWORD" >&2
}

# new_product [JSON...]: adds a product, the later JSON objects win; prints its id.
new_product() {
	local product
	product=$(jq -cs add <<<"{\"name\": \"Product $(random 4)\", \"price\": \"10.00\",
		\"stock_quantity\": 10} $*")
	TOKEN=$(staff_token) api POST /api/v1/products/ "$product"
	expect_status 201 || return
	json .id
}

# ---- Behind the counter.

psql_as() {
	local url=${1^^}_DATABASE_URL
	psql -XAtq -v ON_ERROR_STOP=1 -d "${!url}" -c "$2"
}

psql_owner() {
	psql -XAtq -v ON_ERROR_STOP=1 -d "$MIGRATE_DATABASE_URL" -c "$1"
}

# hold SERVICE SQL: runs it in a transaction that stays open until let_go.
hold() {
	local line
	coproc HOLDER { psql -XAtq -v ON_ERROR_STOP=1 -d "$MIGRATE_DATABASE_URL" 2>&1 3>&-; }
	holder=$HOLDER_PID # which bash forgets when it ends
	printf 'SET search_path = %s; BEGIN; %s; \\echo held\n' "$1" "$2" >&"${HOLDER[1]}"
	while read -r -t 20 line <&"${HOLDER[0]}"; do
		[[ $line != held ]] || return 0
	done
	complain "could not hold: $line"
}

# will_let_go [COUNT [SECONDS [SQL]]]: that transaction ends, with SQL, when COUNT (1) wait for it or
# the time (60) is over. The server looks by itself, and nobody waits longer than he has to: a service
# gives up after two seconds.
will_let_go() {
	echo "DO \$\$ DECLARE begun timestamptz := clock_timestamp(); BEGIN
			WHILE clock_timestamp() < begun + interval '${2-60} seconds' LOOP
				EXIT WHEN (SELECT count(*) >= ${1-1} FROM pg_locks
					WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)));
				PERFORM pg_sleep(0.01);
			END LOOP;
		END \$\$; ${3-};" 'COMMIT; \q' >&"${HOLDER[1]}"
}

# let_go [COUNT [SECONDS [SQL]]]: the same, and it has ended.
let_go() {
	will_let_go "$@"
	wait "$holder"
}

held_up() {
	[[ $(psql_as "$1" "SELECT count(*) > 0 FROM pg_stat_activity
		WHERE wait_event_type = 'Lock' AND usename = current_user") == t ]]
}

# What jq's FILTER finds in the ledger of the stand-in for Stripe.
ledger() {
	curl --silent --fail "$STRIPE_STANDIN_URL/_fake/ledger" | jq -r "$1"
}

# Tells the stand-in for Stripe how to behave from now on.
scenario() {
	curl --silent --fail --header 'Content-Type: application/json' --data-binary "$1" \
		"$STRIPE_STANDIN_URL/_fake/scenario"
}

# Whom a "latency" of it still keeps waiting is answered now.
hurry() {
	curl --silent --fail --data-binary '{}' "$STRIPE_STANDIN_URL/_fake/hurry" >/dev/null
}

# Nobody answers on the socket of products' siblings while its name is another.
products_away() {
	mv "$VAR/run/products-internal.sock" "$VAR/run/products-internal.away"
}

# For a teardown, too.
products_back() {
	if [[ -e $VAR/run/products-internal.away ]]; then
		mv "$VAR/run/products-internal.away" "$VAR/run/products-internal.sock"
		# lighttpd leaves a backend that refused alone for a second.
		wait_for 60 curl --silent --fail --output /dev/null "$PRODUCTS_SERVICE_URL/health/ready"
	fi
}

# The pids of this instance's workers of a service, of both its pools.
workers() {
	local pid
	# shellcheck disable=SC2012 # find cannot show where a link leads any faster
	ls -l /proc/[0-9]*/exe 2>/dev/null |
		sed -nE "s|.*/proc/([0-9]+)/exe -> .*/$1\\.fcgi( \\(deleted\\))?\$|\1|p" |
		while read -r pid; do
			if grep -qzxF "VAR=$VAR" "/proc/$pid/environ" 2>/dev/null; then echo "$pid"; fi
		done
}
