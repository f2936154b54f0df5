# shellcheck shell=bash disable=SC2034
# standin.bash: starts a stand-in for each test, speaks with it, and looks into what it says.

bats_require_minimum_version 1.5.0

PROGRAM=${BUILD:-build}/stripe-standin
SECRET=whsec_test_secret
NEVER='automatic_payment_methods[allow_redirects]=never'
ON='automatic_payment_methods[enabled]=true'

setup() {
	[ -x "$PROGRAM" ]
	T=$BATS_TEST_TMPDIR
	# Not where test/run has its instances, of which each takes seven in a row.
	port=$((11000 + (BASHPID * 7 + BATS_TEST_NUMBER * 131) % 8000))
	for try in {1..20}; do
		start --port $((port + try * 13)) && return
	done
	return 1
}

start() {
	S=http://127.0.0.1:$2
	"$PROGRAM" "$@" --webhook-url "$S/_fake/sink" --webhook-secret "$SECRET" \
		>"$T/said" 2>"$T/errors" 3>&- &
	PID=$!
	wait_until listening_or_gone && grep -q listening "$T/said"
}

listening_or_gone() {
	grep -q listening "$T/said" || ! kill -0 "$PID" 2>"$T/gone"
}

# Every test ends with the program ending well, leaks and all, and with no answer or event of
# its own that its description does not allow.
teardown() {
	curl -s "$S/_fake/violations" | jq -r '.violations[]|select(.detail|contains("of the stand-in")).detail' >"$T/own"
	kill -TERM "$PID"
	if ! wait "$PID" || [ -s "$T/own" ]; then
		cat "$T/errors" "$T/own"
		return 1
	fi
}

wait_until() {
	local deadline=$((SECONDS + 60))
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return
		sleep 0.05
	done
}

# request ARGUMENTS...: sets $status (000: cut), $T/body and $T/headers.
request() {
	: >"$T/body"
	: >"$T/headers"
	status=$(curl -s -H 'Authorization: Bearer sk_test_standin' \
		-H 'Stripe-Version: 2026-07-29.dahlia' -D "$T/headers" -o "$T/body" \
		-w '%{http_code}' "$@") || cut=$?
}

post() { # KEY PATH PARAMETERS...
	local key=$1 path=$2
	local data=() parameter
	shift 2
	for parameter; do
		data+=(--data-urlencode "$parameter")
	done
	request -X POST -H "Idempotency-Key: $key" "${data[@]}" "$S$path"
}

pay() { # KEY METHOD PARAMETERS...
	local key=$1 method=$2
	shift 2
	post "$key" /v1/payment_intents amount=1999 currency=usd confirm=true \
		"payment_method=$method" "$ON" "$NEVER" 'metadata[order_id]=42' "$@"
}

get() {
	request "$S$1"
}

control() { # PATH JSON
	curl -sf -d "${2-}" "$S/_fake/$1" >"$T/control"
}

rule() { # MATCH DO
	control scenario "{\"rules\":[{\"match\":$1,\"do\":$2}]}"
}

field() {
	jq -r "$1" "$T/body"
}

header() {
	sed -n "s/^$1: \(.*\)\r$/\1/Ip" "$T/headers"
}

is() {
	[ "$1" = "$2" ] || {
		echo "expected '$2', got '$1'"
		[ ! -s "$T/body" ] || cat "$T/body"
		return 1
	}
}

error_is() { # STATUS TYPE CODE PARAM
	is "$status $(field '.error|"\(.type) \(.code) \(.param)"')" "$1 $2 $3 $4"
}

ledger() { # FILTER over the list of entries
	curl -sf "$S/_fake/ledger" | jq -r ".entries|$1"
}

received() { # COUNT
	[ "$(ledger 'map(select(.kind == "received"))|length')" = "$1" ]
}

executed() {
	ledger 'map(select(.kind == "executed"))|length'
}

sunk() { # FILTER over the list of what the sink got
	curl -sf "$S/_fake/sink" | jq -r ".received|$1"
}

sunk_count_is() {
	[ "$(sunk length)" = "$1" ]
}

types() {
	sunk 'map(.body|fromjson|.type)|join(" ")'
}
