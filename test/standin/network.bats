# network.bats: connections to the stand-in that refuse, close or swallow, and many of them.
# servers: nginx

load standin

AUTHORIZED=(-u sk_test_standin: -H 'Stripe-Version: 2026-07-29.dahlia')

is_back() {
	curl -sf "$S/_fake/scenario"
}

# Milliseconds that a command takes, its own outcome aside.
milliseconds() {
	local start
	start=$(date +%s%N)
	"$@" || true
	echo $((($(date +%s%N) - start) / 1000000))
}

@test "connections are refused for a while, and then no longer" {
	pay k1 pm_card_visa
	control refuse '{"ms":3000}'
	cut=0
	pay k2 pm_card_visa
	is "$status $cut" "000 7"
	wait_until is_back
	pay k2 pm_card_visa
	is "$status $(executed)" "200 2"
	run ! control refuse '{"ms":0}'
	run ! control refuse '{}'
}

@test "refused from this call on, and after it was served" {
	rule '{"method":"POST"}' '{"fault":"refused","ms":3000}'
	cut=0
	pay k1 pm_card_visa
	[ "$cut" = 52 ] || [ "$cut" = 56 ]
	cut=0
	pay k1 pm_card_visa
	is "$status $cut" "000 7"
	wait_until is_back
	is "$(executed)" 0
	rule '{"method":"POST"}' '{"fault":"refused","ms":3000,"when":"after"}'
	pay k1 pm_card_visa
	is "$status $(field .status)" "200 succeeded"
	get /v1/payment_intents
	is "$status $cut" "000 7"
	wait_until is_back
	is "$(executed)" 1
}

# A connection of the test's own, on 7, with one answer read from it.
ask_by_hand() { # REQUEST LINE, then BODY
	exec 7<>"/dev/tcp/127.0.0.1/${S##*:}"
	printf '%s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s' "$1" "${#2}" "${2-}" >&7
	read -r -t 60 line <&7
	[[ $line == "HTTP/1.1 200 OK"* ]]
}

ends() {
	timeout 60 cat <&7 >/dev/null
	exec 7>&-
}

@test "connections that are kept end when others are refused" {
	ask_by_hand 'GET /_fake/scenario' ''
	control refuse '{"ms":100}'
	ends
	wait_until is_back
	ask_by_hand 'POST /_fake/refuse' '{"ms":100}'
	ends
	wait_until is_back
}

@test "a kept connection is cut at its next request, which libcurl sends again" {
	rule '{"method":"GET"}' '{"fault":"idle_close"}'
	curl -s "${AUTHORIZED[@]}" -w '%{http_code} %{num_connects}\n' -o "$T/a" -o "$T/b" \
		"$S/v1/payment_intents" "$S/v1/refunds" >"$T/codes"
	is "$(cat "$T/codes")" "200 1
200 1"
	is "$(ledger 'map("\(.kind) \(.path) \(.status) \(.detail)")|join(", ")')" \
		"received /v1/payment_intents null null, answered /v1/payment_intents 200 idle_close, \
received /v1/refunds null unread, answered /v1/refunds null idle_close, \
received /v1/refunds null null, answered /v1/refunds 200 null"
	is "$(ledger 'map(.connection)|unique|length')" 2
}

threads() {
	find "/proc/$PID/task" -mindepth 1 -maxdepth 1 | wc -l
}

has_threads() {
	[ "$(threads)" = "$1" ]
}

@test "a black hole lasts until the caller gives up, or as long as it is told" {
	local idle
	idle=$(threads)
	rule '{"times":-1}' '{"fault":"black_hole"}'
	request -m 0.4 "$S/v1/refunds"
	is "$status $cut" "000 28"
	wait_until has_threads "$idle"
	rule '{"times":-1}' '{"fault":"black_hole","ms":300,"effect":true}'
	[ "$(milliseconds pay k1 pm_card_visa)" -ge 250 ]
	is "$status $(executed)" "000 1"
	is "$(ledger 'map(select(.kind == "answered")|"\(.status) \(.detail)")|join(",")')" \
		"null black_hole,null black_hole"
}

@test "429 for a rate or a lock, with and without a time to wait" {
	rule '{}' '{"fault":"status","status":429,"code":"lock_timeout"}'
	pay k1 pm_card_visa
	error_is 429 invalid_request_error lock_timeout null
	is "$(header Retry-After)$(header Stripe-Should-Retry)" ""
	rule '{}' '{"fault":"status","status":429,"retry_after":0,"should_retry":"true"}'
	pay k1 pm_card_visa
	error_is 429 invalid_request_error rate_limit null
	is "$(header Retry-After) $(header Stripe-Should-Retry)" "0 true"
	rule '{}' '{"fault":"status","status":400,"code":"charge_disputed"}'
	pay k1 pm_card_visa
	error_is 400 invalid_request_error charge_disputed null
}

@test "two hundred connections pay at once, each order once" {
	control scenario '{"rules":[{"match":{"method":"POST","times":-1},
		"do":{"fault":"latency","ms":300,"when":"before"}}],"webhooks":{"mode":"off"}}'
	local n
	for n in $(seq 200); do
		printf 'url = "%s/v1/payment_intents"\nheader = "Idempotency-Key: k%d"\n' "$S" $((n % 100))
		printf 'data = "%s"\noutput = "%s/out-%d"\nnext\n' "amount=100&currency=usd&confirm=true\
&payment_method=pm_card_visa&payment_method_types[]=card&metadata[order_id]=$((n % 100))" "$T" "$n"
	done | sed '$d' | while read -r line; do
		echo "$line"
		[[ $line != url* ]] || printf 'user = "sk_test_standin:"\nheader = "Stripe-Version: %s"\n' \
			2026-07-29.dahlia
	done >"$T/calls"
	[ "$(milliseconds curl -s -Z --parallel-immediate --parallel-max 200 -K "$T/calls")" -lt 30000 ]
	is "$(executed)" 100
	is "$(ledger 'map(select(.kind == "received"))|map(.connection)|unique|length')" 200
	is "$(ledger 'map(select(.kind == "answered")|.status)|group_by(.)|map("\(.[0])")|join(" ")')" \
		"200 409"
	is "$(ledger 'map(select(.kind == "violation"))|length')" 0
}

# Resident memory in kB.
memory() {
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$PID/status"
}

pay_many() { # FROM TO
	curl -s "${AUTHORIZED[@]}" -H 'Idempotency-Key;' -o /dev/null -d amount=100 -d currency=usd \
		-d confirm=true -d payment_method=pm_card_visa -d 'payment_method_types[]=card' \
		"$S/v1/payment_intents?n=[$1-$2]"
}

@test "thousands of payments take their memory, and a reset gives it back" {
	control scenario '{"webhooks":{"mode":"off"}}'
	pay_many 1 1000
	local one two three
	one=$(memory)
	pay_many 1001 3000
	two=$(memory)
	is "$(executed)" 3000
	echo "a payment: $(((two - one) / 2)) bytes of a thousand"
	[ -n "${SANITIZE-}" ] || [ $((two - one)) -lt 60000 ]
	control reset
	pay_many 1 2500
	three=$(memory)
	echo "after a reset: $two, then $three kB"
	[ -n "${SANITIZE-}" ] || [ $((three - two)) -lt 10000 ]
}
