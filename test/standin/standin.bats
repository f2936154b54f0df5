# standin.bats: the stand-in for Stripe, driven from outside.
# It knows no web server, so one run is enough.
# servers: nginx

load standin

@test "a payment succeeds" {
	pay k1 pm_card_visa
	is "$status" 200
	is "$(field '"\(.object) \(.status) \(.amount) \(.amount_received) \(.currency)"')" \
		"payment_intent succeeded 1999 1999 usd"
	is "$(field '"\(.livemode) \(.last_payment_error) \(.next_action)"')" "false null null"
	[[ $(field .client_secret) == $(field .id)_secret_* ]]
	[[ $(header Request-Id) == req_* ]]
	is "$(header Idempotency-Key)" k1
	is "$(header Idempotent-Replayed)" ""

	local id charge
	id=$(field .id)
	charge=$(field .latest_charge)
	is "$(ledger 'map(select(.kind == "executed"))[0]|"\(.payment_intent) \(.charge)
		\(.amount) \(.currency) \(.order_id) \(.status) \(.idempotency_key)"' | tr -s '\n\t' ' ')" \
		"$id $charge 1999 usd 42 200 k1 "
	get "/v1/payment_intents/$id"
	is "$status $(field .id)" "200 $id"
	get "/v1/charges/$charge"
	is "$(field '"\(.object) \(.status) \(.paid) \(.captured) \(.payment_intent) \(.amount)"')" \
		"charge succeeded true true $id 1999"
	pay k2 pm_card_mastercard
	is "$(field .status)" succeeded
	pay k3 pm_card_amex
	is "$(field .status)" succeeded
}

@test "each decline has its code, and holds the whole intent" {
	local n=0
	while read -r method code decline; do
		n=$((n + 1))
		pay "d$n" "$method"
		error_is 402 card_error "$code" null
		is "$(field .error.decline_code)" "$decline"
		is "$(field '.error.payment_intent|"\(.object) \(.status) \(.metadata.order_id)"')" \
			"payment_intent requires_payment_method 42"
		is "$(field .error.payment_intent.last_payment_error.code)" "$code"
		is "$(field '.error.charge == .error.payment_intent.latest_charge')" true
		get "/v1/charges/$(field .error.charge)"
		is "$(field '"\(.status) \(.paid) \(.failure_code)"')" "failed false $code"
	done <<-END
		pm_card_visa_chargeDeclined card_declined generic_decline
		pm_card_chargeDeclined card_declined generic_decline
		pm_card_visa_chargeDeclinedInsufficientFunds card_declined insufficient_funds
		pm_card_chargeDeclinedInsufficientFunds card_declined insufficient_funds
		pm_card_visa_chargeDeclinedLostCard card_declined lost_card
		pm_card_visa_chargeDeclinedStolenCard card_declined stolen_card
		pm_card_chargeDeclinedExpiredCard expired_card null
		pm_card_chargeDeclinedIncorrectCvc incorrect_cvc null
		pm_card_chargeDeclinedProcessingError processing_error null
		pm_card_chargeCustomerFail card_declined generic_decline
	END
	is "$n" 10
}

@test "after a decline another card pays the same intent, once" {
	pay k1 pm_card_chargeDeclined
	local id
	id=$(field .error.payment_intent.id)
	post k2 "/v1/payment_intents/$id/confirm" payment_method=pm_card_visa
	is "$status $(field .status) $(field .id)" "200 succeeded $id"
	post k3 "/v1/payment_intents/$id/confirm" payment_method=pm_card_visa
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	is "$(field .error.payment_intent.status)" succeeded
	is "$(ledger 'map(select(.outcome == "succeeded"))|length')" 1
	is "$(ledger 'map(select(.path // ""|endswith("/confirm"))|.order_id)|unique[]')" 42
}

@test "an answer is replayed to the same key, a 402 too" {
	pay k1 pm_card_visa
	local id first
	id=$(field .id)
	first=$(header Request-Id)
	pay k1 pm_card_visa
	is "$status $(field .id)" "200 $id"
	is "$(header Idempotent-Replayed) $(header Original-Request)" "true $first"
	[ "$(header Request-Id)" != "$first" ]
	is "$(executed)" 1

	pay k2 pm_card_chargeDeclined
	id=$(field .error.payment_intent.id)
	pay k2 pm_card_chargeDeclined
	error_is 402 card_error card_declined null
	is "$(field .error.payment_intent.id) $(header Idempotent-Replayed)" "$id true"
	is "$(executed)" 2
	is "$(ledger 'map(select(.kind == "replayed"))|length')" 2
}

@test "a 500 is replayed, with and without the effect" {
	rule '{}' '{"fault":"status","status":500,"effect":true,"should_retry":"false"}'
	pay k1 pm_card_visa
	error_is 500 api_error null null
	is "$(header Stripe-Should-Retry)" false
	pay k1 pm_card_visa
	is "$status $(header Idempotent-Replayed) $(header Stripe-Should-Retry)" "500 true false"
	is "$(executed)" 1
	get /v1/payment_intents
	is "$(field '.data[0].status')" succeeded

	rule '{}' '{"fault":"status","status":500}'
	pay k2 pm_card_visa
	is "$status $(header Stripe-Should-Retry)" "500 "
	pay k2 pm_card_visa
	is "$status $(header Idempotent-Replayed)" "500 true"
	is "$(executed)" 1
}

@test "a key is for one request only" {
	pay k1 pm_card_visa
	local id
	id=$(field .id)
	pay k1 pm_card_mastercard
	error_is 400 idempotency_error null null
	post k1 "/v1/payment_intents/$id/cancel"
	error_is 400 idempotency_error null null
	is "$(header Idempotent-Replayed)" ""
	post k2 "/v1/payment_intents/$id/cancel"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	post k2 /v1/payment_intents/pi_other/cancel
	error_is 400 idempotency_error null null
	pay k1 pm_card_visa
	is "$status $(field .id)" "200 $id"
	pay "$(printf 'x%.0s' $(seq 256))" pm_card_visa
	is "$status" 400
	is "$(executed)" 1
}

@test "a key whose first request still runs is in use" {
	rule '{"nth":1}' '{"fault":"latency","ms":60000,"when":"before"}'
	pay k1 pm_card_visa &
	local first=$!
	wait_until received 1
	sleep 0.25
	T=$T/second
	mkdir "$T"
	pay k1 pm_card_visa
	error_is 409 invalid_request_error idempotency_key_in_use null
	control hurry
	wait "$first"
	pay k1 pm_card_visa
	is "$status $(header Idempotent-Replayed)" "200 true"
	is "$(executed)" 1
}

@test "401, 429, 409 and refused parameters leave the key free" {
	request -X POST -H 'Authorization: Bearer sk_test_wrong' -H 'Idempotency-Key: k1' \
		-d amount=1999 -d currency=usd "$S/v1/payment_intents"
	error_is 401 invalid_request_error null null
	rule '{"times":2}' '{"fault":"status","status":429,"retry_after":3}'
	pay k1 pm_card_visa
	error_is 429 invalid_request_error rate_limit null
	is "$(header Retry-After)" 3
	pay k1 pm_card_chargeDeclined
	is "$status" 429
	rule '{"times":1}' '{"fault":"status","status":409}'
	pay k1 pm_card_chargeDeclined
	is "$status" 409
	pay k1 pm_card_visa amuont=3
	error_is 400 invalid_request_error parameter_unknown amuont
	post k1 /v1/payment_intents amount=20 currency=usd
	error_is 400 invalid_request_error amount_too_small amount
	is "$(executed)" 0
	pay k1 pm_card_visa
	is "$status $(field .status) $(header Idempotent-Replayed)" "200 succeeded "
}

@test "a key is forgotten after 24 hours" {
	pay k1 pm_card_visa
	local id
	id=$(field .id)
	control advance '{"seconds":86000}'
	pay k1 pm_card_visa
	is "$(field .id)" "$id"
	control advance '{"seconds":400}'
	pay k1 pm_card_visa
	[ "$(field .id)" != "$id" ]
	is "$(header Idempotent-Replayed) $(executed)" " 2"
}

@test "cut after the charge: the replay gives the charge" {
	rule '{"method":"POST","path":"/v1/payment_intents","times":2}' '{"fault":"reset","when":"after"}'
	pay k1 pm_card_visa
	is "$status" 000
	is "$(executed)" 1
	pay k1 pm_card_visa
	is "$status" 000
	pay k1 pm_card_visa
	is "$status $(field .status) $(header Idempotent-Replayed)" "200 succeeded true"
	is "$(field .latest_charge)" "$(ledger 'map(select(.kind == "executed"))[].charge')"
	is "$(ledger 'map(select(.kind == "answered")|"\(.status) \(.detail)")|join(",")')" \
		"null reset,null reset,200 null"
}

@test "cut before the charge, or before reading: nothing was done" {
	for when in before before_read; do
		rule '{"method":"POST"}' "{\"fault\":\"reset\",\"when\":\"$when\"}"
		pay "$when" pm_card_visa
		is "$status $(executed)" "000 0"
	done
	pay before pm_card_visa
	is "$status $(header Idempotent-Replayed) $(executed)" "200  1"
}

@test "spoiled answers: the money is taken and the key has the truth" {
	local n=0
	for fault in half_body half_headers broken_json empty wrong_amount; do
		n=$((n + 1))
		cut=0
		rule '{}' "{\"fault\":\"$fault\"}"
		pay "k$n" pm_card_visa
		case $fault in
		half_body) [ "$cut" = 18 ] && [ -s "$T/body" ] ;;
		half_headers) [ "$cut" != 0 ] && [ ! -s "$T/body" ] ;;
		broken_json) [ "$status" = 200 ] && ! jq -e . "$T/body" ;;
		empty) [ "$status" = 200 ] && [ ! -s "$T/body" ] ;;
		wrong_amount) is "$(field '"\(.amount) \(.amount_received)"')" "2099 2099" ;;
		esac
		is "$(executed)" $n
		pay "k$n" pm_card_visa
		is "$status $(field .amount_received) $(header Idempotent-Replayed)" "200 1999 true"
	done
	rule '{}' '{"fault":"wrong_amount","currency":"eur"}'
	pay k9 pm_card_visa
	is "$(field '"\(.amount) \(.currency)"')" "1999 eur"
	rule '{}' '{"fault":"status","status":503,"effect":true}'
	pay k10 pm_card_visa
	is "$status" 503
	pay k10 pm_card_visa
	is "$status $(header Idempotent-Replayed) $(executed)" "200 true 7"
}

@test "proxy errors and black holes do nothing" {
	rule '{}' '{"fault":"html502"}'
	pay k1 pm_card_visa
	is "$status $(header Content-Type)" "502 text/html"
	grep -q '<html>' "$T/body"
	rule '{}' '{"fault":"status","status":503,"should_retry":"true"}'
	pay k1 pm_card_visa
	is "$status $(header Stripe-Should-Retry)" "503 true"
	rule '{}' '{"fault":"black_hole","ms":60000}'
	request -m 0.4 -X POST -H 'Idempotency-Key: k1' -d amount=1999 "$S/v1/payment_intents"
	is "$status $cut $(executed)" "000 28 0"
}

@test "latency after the effect: the caller gives up, the money is taken" {
	rule '{}' '{"fault":"latency","ms":60000,"when":"after"}'
	request -m 0.4 -X POST -H 'Idempotency-Key: k1' -d amount=1999 -d currency=usd \
		-d confirm=true -d payment_method=pm_card_visa -d 'payment_method_types[]=card' \
		"$S/v1/payment_intents"
	is "$status $(executed)" "000 1"
	request -X POST -H 'Idempotency-Key: k1' -d amount=1999 -d currency=usd \
		-d confirm=true -d payment_method=pm_card_visa -d 'payment_method_types[]=card' \
		"$S/v1/payment_intents"
	is "$status $(field .status) $(header Idempotent-Replayed)" "200 succeeded true"
}

@test "rules strike by order, by number and by path" {
	control scenario '{"rules":[
		{"match":{"path":"/v1/payment_intents","method":"POST","order_id":"7","nth":2,"times":2},
		 "do":{"fault":"status","status":503}},
		{"match":{"path":"/v1/payment_intents/*/confirm"},"do":{"fault":"status","status":409}},
		{"match":{"path":"/v1/refunds/","times":-1},"do":{"fault":"html502"}}]}'
	pay a pm_card_visa
	is "$status" 200
	local got=
	for n in 1 2 3 4; do
		post "b$n" /v1/payment_intents amount=100 currency=usd 'metadata[order_id]=7'
		got="$got $status"
	done
	is "$got" " 200 503 503 200"
	post c "/v1/payment_intents/$(field .id)/confirm" payment_method=pm_card_visa \
		return_url=https://shop.example/
	is "$status" 409
	get /v1/refunds/re_1
	is "$status" 502
	get /v1/refunds/re_1
	is "$status" 502
	get /v1/refunds
	is "$status" 200
	is "$(curl -s "$S/_fake/scenario" | jq -c '.rules|map([.seen, .struck])')" \
		"[[4,2],[1,1],[2,2]]"
	control scenario '{}'
	get /v1/refunds/re_1
	is "$status" 404
}

@test "a scenario with a mistake is refused, and the old one stays" {
	rule '{"times":-1}' '{"fault":"status","status":503}'
	local bad
	for bad in '{"rule":[]}' '{"rules":[{"match":{"metod":"POST"},"do":{"fault":"reset"}}]}' \
		'{"rules":[{"match":{},"do":{"fault":"rest"}}]}' '{"rules":[{"match":{}}]}' \
		'{"webhooks":{"mode":"of"}}' '{"rules":[{"do":{"fault":"reset","when":"now"}}]}' \
		'{"rules":[{"do":{"fault":"status","status":200}}]}' '{'; do
		is "$(curl -s -o "$T/body" -w '%{http_code}' -d "$bad" "$S/_fake/scenario")" 400
	done
	get /v1/payment_intents
	is "$status" 503
}

@test "refunds: partial, too much, the rest, nothing left" {
	pay k1 pm_card_visa
	local id charge
	id=$(field .id)
	charge=$(field .latest_charge)
	post r1 /v1/refunds "payment_intent=$id" amount=500 reason=requested_by_customer \
		'metadata[refund_id]=9'
	is "$status $(field '"\(.object) \(.status) \(.amount) \(.charge) \(.payment_intent)"')" \
		"200 refund succeeded 500 $charge $id"
	is "$(field '"\(.reason) \(.metadata.refund_id) \(.currency)"')" "requested_by_customer 9 usd"
	local first
	first=$(field .id)
	post r2 /v1/refunds "payment_intent=$id" amount=1500
	error_is 400 invalid_request_error null amount
	is "$(field .error.message)" \
		'Refund amount (1500) is greater than unrefunded amount on charge (1499)'
	get "/v1/charges/$charge"
	is "$(field '"\(.amount_refunded) \(.refunded)"')" "500 false"
	post r3 /v1/refunds "charge=$charge"
	is "$status $(field .amount)" "200 1499"
	get "/v1/charges/$charge"
	is "$(field '"\(.amount_refunded) \(.refunded)"')" "1999 true"
	post r4 /v1/refunds "payment_intent=$id"
	error_is 400 invalid_request_error charge_already_refunded null
	post r1 /v1/refunds "payment_intent=$id" amount=500 reason=requested_by_customer \
		'metadata[refund_id]=9'
	is "$(field .id) $(header Idempotent-Replayed)" "$first true"
	get "/v1/refunds/$first"
	is "$(field .id)" "$first"
	get "/v1/refunds?payment_intent=$id"
	is "$(field '.data|map(.amount)|join(" ")')" "1499 500"
	get "/v1/refunds?payment_intent=pi_other"
	is "$(field '.data|length')" 0
	is "$(ledger 'map(select(.kind == "executed" and .refund != null)|"\(.amount) \(.order_id)")|join(",")')" \
		"500 42,1499 42"
}

@test "refunds that cannot be" {
	post r1 /v1/refunds amount=5
	error_is 400 invalid_request_error parameter_missing payment_intent
	post r1 /v1/refunds payment_intent=pi_1 charge=ch_1
	error_is 400 invalid_request_error null payment_intent
	post r1 /v1/refunds payment_intent=pi_1 amount=0
	error_is 400 invalid_request_error parameter_invalid_integer amount
	post r1 /v1/refunds payment_intent=pi_1
	error_is 404 invalid_request_error resource_missing payment_intent
	pay k1 pm_card_chargeDeclined
	post r2 /v1/refunds "payment_intent=$(field .error.payment_intent.id)"
	error_is 400 invalid_request_error null payment_intent
	get /v1/refunds/re_nothing
	error_is 404 invalid_request_error resource_missing refund
	control scenario '{"settle_ms":10}'
	pay k3 pm_card_createDispute
	local charge=$(field .latest_charge)
	disputed() {
		get "/v1/charges/$charge"
		[ "$(field .disputed)" = true ]
	}
	wait_until disputed
	post r3 /v1/refunds "charge=$charge"
	error_is 400 invalid_request_error charge_disputed null
}

refund_status_is() {
	get "/v1/refunds/$1"
	[ "$(field .status)" = "$2" ]
}

@test "a pending refund succeeds later" {
	pay k1 pm_card_pendingRefund
	post r1 /v1/refunds "payment_intent=$(field .id)"
	is "$(field .status)" pending
	wait_until refund_status_is "$(field .id)" succeeded
	wait_until sunk_count_is 4
	is "$(types | tr ' ' '\n' | sort | tr '\n' ' ')" \
		"charge.refunded payment_intent.succeeded refund.created refund.updated "
	is "$(sunk '.[].body|fromjson|select(.type == "refund.updated")|
		"\(.data.previous_attributes.status) \(.data.object.status)"')" "pending succeeded"
}

@test "a refund fails later, and the money can be refunded again" {
	control scenario '{"settle_ms":-1}'
	pay k1 pm_card_refundFail
	local id charge refund
	id=$(field .id)
	charge=$(field .latest_charge)
	post r1 /v1/refunds "payment_intent=$id"
	refund=$(field .id)
	is "$(field .status)" succeeded
	sleep 0.3
	refund_status_is "$refund" succeeded
	control scenario '{"settle_ms":20}'
	control settle "{\"refund\":\"$refund\",\"result\":\"failed\"}"
	get "/v1/refunds/$refund"
	is "$(field '"\(.status) \(.failure_reason)"')" "failed expired_or_canceled_card"
	get "/v1/charges/$charge"
	is "$(field '"\(.amount_refunded) \(.refunded)"')" "0 false"
	post r2 /v1/refunds "payment_intent=$id" amount=1999
	is "$status" 200
	wait_until refund_status_is "$(field .id)" failed
	failures() {
		[ "$(types | grep -o 'refund.failed' | wc -l)" = 2 ]
	}
	wait_until failures
}

@test "a refund made in the dashboard is told by events only" {
	pay k1 pm_card_visa
	control refund "{\"payment_intent\":\"$(field .id)\",\"amount\":300}"
	is "$(jq -r '"\(.object) \(.amount)"' "$T/control")" "refund 300"
	wait_until sunk_count_is 3
	is "$(sunk '.[].body|fromjson|select(.type == "refund.created")|
		"\(.data.object.amount) \(.request.id) \(.request.idempotency_key)"')" "300 null null"
	run ! control refund '{"payment_intent":"pi_none","amount":300}'
}

@test "authentication: asked for, then given" {
	pay k1 pm_card_authenticationRequired
	local id
	id=$(field .id)
	is "$status $(field '"\(.status) \(.next_action.type) \(.latest_charge) \(.amount_received)"')" \
		"200 requires_action use_stripe_sdk null 0"
	control authenticate "{\"payment_intent\":\"$id\",\"result\":\"ok\"}"
	get "/v1/payment_intents/$id"
	is "$(field '"\(.status) \(.next_action) \(.amount_received)"')" "succeeded null 1999"
	wait_until sunk_count_is 2
	is "$(types)" "payment_intent.requires_action payment_intent.succeeded"
	run ! control authenticate "{\"payment_intent\":\"$id\",\"result\":\"ok\"}"
	is "$(ledger 'map(select(.kind == "executed")|"\(.path) \(.outcome) \(.order_id)")|join(",")')" \
		"/v1/payment_intents requires_action 42,/_fake/authenticate succeeded 42"
}

@test "authentication: failed, and paid with another card" {
	pay k1 pm_card_threeDSecure2Required
	local id
	id=$(field .id)
	control authenticate "{\"payment_intent\":\"$id\",\"result\":\"fail\"}"
	get "/v1/payment_intents/$id"
	is "$(field '"\(.status) \(.last_payment_error.code) \(.latest_charge)"')" \
		"requires_payment_method payment_intent_authentication_failure null"
	post k2 "/v1/payment_intents/$id/confirm"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	post k3 "/v1/payment_intents/$id/confirm" payment_method=pm_card_visa
	is "$(field '"\(.status) \(.last_payment_error)"')" "succeeded null"
}

@test "authentication: by redirect, off session, or as an error" {
	post k1 /v1/payment_intents amount=1999 currency=usd confirm=true "$ON" \
		payment_method=pm_card_authenticationRequired return_url=https://shop.example/back
	is "$(field '.next_action|"\(.type) \(.redirect_to_url.return_url)"')" \
		"redirect_to_url https://shop.example/back"
	pay k2 pm_card_authenticationRequired off_session=true
	error_is 402 card_error authentication_required null
	is "$(field .error.payment_intent.status)" requires_payment_method
	pay k3 pm_card_authenticationRequired error_on_requires_action=true
	error_is 402 card_error authentication_required null
	post k4 /v1/payment_intents amount=1999 currency=usd confirm=true "$ON" \
		payment_method=pm_card_visa
	error_is 400 invalid_request_error null return_url
	post k5 /v1/payment_intents amount=1999 currency=usd off_session=true
	error_is 400 invalid_request_error null off_session
}

@test "processing settles by itself, or as told" {
	control scenario '{"settle_ms":150}'
	pay k1 pm_card_processing
	local id
	id=$(field .id)
	is "$(field .status)" processing
	post c1 "/v1/payment_intents/$id/cancel"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	settled() {
		get "/v1/payment_intents/$id"
		[ "$(field .status)" = "$1" ]
	}
	wait_until settled succeeded
	is "$(field .amount_received)" 1999
	is "$(ledger 'map(select(.outcome == "succeeded")|.charge)|length')" 1

	control scenario '{"settle_ms":-1}'
	pay k2 pm_card_processing
	id=$(field .id)
	control settle "{\"payment_intent\":\"$id\",\"result\":\"failed\"}"
	settled requires_payment_method
	is "$(field .last_payment_error.code)" card_declined
	wait_until sunk_count_is 4
}

@test "canceling" {
	post k1 /v1/payment_intents amount=1999 currency=usd
	is "$(field .status)" requires_payment_method
	local id
	id=$(field .id)
	post c1 "/v1/payment_intents/$id/cancel" cancellation_reason=bored
	error_is 400 invalid_request_error null cancellation_reason
	post c1 "/v1/payment_intents/$id/cancel" cancellation_reason=abandoned
	is "$status $(field '"\(.status) \(.cancellation_reason) \(.canceled_at != null)"')" \
		"200 canceled abandoned true"
	post c2 "/v1/payment_intents/$id/cancel"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	post c3 "/v1/payment_intents/$id/confirm" payment_method=pm_card_visa \
		return_url=https://shop.example/
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	pay k2 pm_card_visa
	post c4 "/v1/payment_intents/$(field .id)/cancel"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	post c5 /v1/payment_intents/pi_none/cancel
	error_is 404 invalid_request_error resource_missing intent
	wait_until sunk_count_is 2
	is "$(types)" "payment_intent.canceled payment_intent.succeeded"
}

@test "manual capture: held, taken in part, let go" {
	pay k1 pm_card_visa capture_method=manual
	local id
	id=$(field .id)
	is "$status $(field '"\(.status) \(.amount_capturable) \(.amount_received)"')" \
		"200 requires_capture 1999 0"
	post r1 /v1/refunds "payment_intent=$id"
	error_is 400 invalid_request_error null payment_intent
	post p1 "/v1/payment_intents/$id/capture" amount_to_capture=2000
	error_is 400 invalid_request_error amount_too_large amount_to_capture
	post p2 "/v1/payment_intents/$id/capture" amount_to_capture=0
	error_is 400 invalid_request_error amount_too_small amount_to_capture
	post p3 "/v1/payment_intents/$id/capture" amount_to_capture=1500
	is "$status $(field '"\(.status) \(.amount_capturable) \(.amount_received)"')" \
		"200 succeeded 0 1500"
	post p4 "/v1/payment_intents/$id/capture"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	get "/v1/charges/$(field .error.payment_intent.latest_charge)"
	is "$(field '"\(.captured) \(.amount_captured) \(.amount_refunded) \(.refunded)"')" "true 1500 499 false"
	post r2 /v1/refunds "payment_intent=$id"
	is "$(field .amount)" 1500
	pay k2 pm_card_visa capture_method=manual
	id=$(field .id)
	post c1 "/v1/payment_intents/$id/cancel"
	is "$(field '"\(.status) \(.amount_capturable)"')" "canceled 0"
	post p5 "/v1/payment_intents/$id/capture"
	error_is 400 invalid_request_error payment_intent_unexpected_state null
	post p6 /v1/payment_intents/pi_none/capture
	error_is 404 invalid_request_error resource_missing intent
	wait_until sunk_count_is 6
	is "$(types | tr ' ' '\n' | sort | uniq -c | tr -s ' \n' ' ')" " 1 charge.refunded \
2 payment_intent.amount_capturable_updated 1 payment_intent.canceled 1 payment_intent.succeeded \
1 refund.created "
}

@test "a dispute is opened, and ends as told" {
	control scenario '{"settle_ms":10}'
	pay k1 pm_card_createDispute
	local charge
	charge=$(field .latest_charge)
	wait_until sunk_count_is 2
	control settle "{\"charge\":\"$charge\",\"result\":\"lost\"}"
	is "$(jq -r '"\(.object) \(.status) \(.charge)"' "$T/control")" "dispute lost $charge"
	wait_until sunk_count_is 3
	is "$(types | tr ' ' '\n' | sort | tr '\n' ' ')" \
		"charge.dispute.closed charge.dispute.created payment_intent.succeeded "
	is "$(sunk '.[2].body|fromjson.data.object|"\(.status) \(.amount)"')" "lost 1999"
	run ! control settle "{\"charge\":\"$charge\",\"result\":\"won\"}"
	run ! control settle '{"charge":"ch_none","result":"won"}'
}

@test "a refund fails for the reason that is asked for" {
	control scenario '{"settle_ms":-1}'
	pay k1 pm_card_pendingRefund
	post r1 /v1/refunds "payment_intent=$(field .id)"
	local refund
	refund=$(field .id)
	run ! control settle "{\"refund\":\"$refund\",\"result\":\"failed\",\"reason\":\"bored\"}"
	refund_status_is "$refund" pending
	control settle "{\"refund\":\"$refund\",\"result\":\"failed\",\"reason\":\"declined\"}"
	get "/v1/refunds/$refund"
	is "$(field '"\(.status) \(.failure_reason)"')" "failed declined"
	run ! control settle "{\"refund\":\"$refund\",\"result\":\"succeeded\"}"
}

@test "an intent that waits for its confirmation" {
	post k1 /v1/payment_intents amount=1999 currency=usd payment_method=pm_card_visa \
		"$ON" "$NEVER"
	is "$(field .status)" requires_confirmation
	post k2 "/v1/payment_intents/$(field .id)/confirm"
	is "$(field .status)" succeeded
	post k3 /v1/payment_intents amount=1999 currency=usd confirm=true "$ON" "$NEVER"
	error_is 400 invalid_request_error parameter_missing payment_method
}

# The v1 that the secret gives for the first event of the sink.
expected_v1() { # INDEX SECRET
	local t
	t=$(sunk ".[$1].signature" | sed 's/t=\([0-9]*\),.*/\1/')
	printf '%s.%s' "$t" "$(sunk ".[$1].body")" | openssl dgst -sha256 -hmac "$2" | sed 's/.* //'
}

signed_at() {
	sunk ".[$1].signature" | sed 's/t=\([0-9]*\),.*/\1/'
}

@test "events are signed and say what happened" {
	pay k1 pm_card_visa
	wait_until sunk_count_is 1
	is "$(sunk '.[0].signature')" "t=$(signed_at 0),v1=$(expected_v1 0 $SECRET)"
	local age=$(($(date +%s) - $(signed_at 0)))
	[ "$age" -ge 0 ] && [ "$age" -lt 60 ]
	is "$(sunk '.[0].body|fromjson|"\(.object) \(.type) \(.livemode) \(.api_version)"')" \
		"event payment_intent.succeeded false 2026-07-29.dahlia"
	is "$(sunk '.[0].body|fromjson|.request.idempotency_key')" k1
	is "$(sunk '.[0].body|fromjson|.request.id')" "$(header Request-Id)"
	is "$(sunk '.[0].body|fromjson|.data.object|"\(.id) \(.status) \(.metadata.order_id)"')" \
		"$(field .id) succeeded 42"
	is "$(ledger 'map(select(.kind == "event_sent")|"\(.type) \(.attempt) \(.status) \(.order_id)")[]')" \
		"payment_intent.succeeded 1 200 42"
}

@test "an event that was not taken is sent again, signed anew" {
	rule '{"path":"/_fake/sink","times":2}' '{"fault":"status","status":500}'
	pay k1 pm_card_visa
	wait_until sunk_count_is 3
	is "$(sunk 'map(.status)|join(" ")')" "500 500 200"
	is "$(sunk 'map(.body)|unique|length')" 1
	is "$(sunk '.[2].signature')" "t=$(signed_at 2),v1=$(expected_v1 2 $SECRET)"
	sleep 0.3
	is "$(ledger 'map(select(.kind == "event_sent")|"\(.attempt):\(.status)")|join(" ")')" \
		"1:500 2:500 3:200"
	sunk_count_is 3
}

@test "events: off, twice, held, reversed" {
	control scenario '{"webhooks":{"mode":"off"}}'
	pay k1 pm_card_visa
	control scenario '{"rules":[{"match":{"path":"/_fake/sink","times":2},
		"do":{"fault":"latency","ms":60000}}],"webhooks":{"mode":"twice"}}'
	pay k2 pm_card_visa
	# Both before either has its answer.
	wait_until sunk_count_is 2
	is "$(sunk 'map(.body|fromjson|.id)|unique|length')" 1
	is "$(sunk 'map(.connection)|unique|length')" 2
	control hurry
	control scenario '{"webhooks":{"mode":"hold"}}'
	pay k3 pm_card_chargeDeclined
	post r1 /v1/refunds "payment_intent=$(ledger 'map(select(.outcome == "succeeded"))[0].payment_intent')"
	sleep 0.3
	sunk_count_is 2
	control release_webhooks
	is "$(jq .released "$T/control")" 3
	wait_until sunk_count_is 5
	is "$(types | cut -d' ' -f3-)" \
		"payment_intent.payment_failed refund.created charge.refunded"
	control scenario '{"webhooks":{"mode":"reversed"}}'
	pay k4 pm_card_authenticationRequired
	control authenticate "{\"payment_intent\":\"$(field .id)\",\"result\":\"ok\"}"
	sunk_count_is 5
	control release_webhooks
	wait_until sunk_count_is 7
	is "$(types | cut -d' ' -f6-)" "payment_intent.succeeded payment_intent.requires_action"
}

@test "events: stale, wrongly signed, rotated, unknown, of live mode" {
	control scenario '{"webhooks":{"stale":true}}'
	pay k1 pm_card_visa
	wait_until sunk_count_is 1
	local age=$(($(date +%s) - $(signed_at 0)))
	[ "$age" -ge 301 ] && [ "$age" -lt 361 ]
	is "$(sunk '.[0].signature')" "t=$(signed_at 0),v1=$(expected_v1 0 $SECRET)"

	control scenario '{"webhooks":{"wrong_secret":true}}'
	pay k2 pm_card_visa
	wait_until sunk_count_is 2
	[[ $(sunk '.[1].signature') =~ ^t=[0-9]+,v1=[0-9a-f]{64}$ ]]
	[[ $(sunk '.[1].signature') != *$(expected_v1 1 $SECRET)* ]]

	control scenario '{"webhooks":{"rotated":true,"livemode":true}}'
	pay k3 pm_card_visa
	wait_until sunk_count_is 3
	[[ $(sunk '.[2].signature') =~ ^t=[0-9]+,v1=[0-9a-f]{64},v1=$(expected_v1 2 $SECRET)$ ]]
	is "$(sunk '.[2].body|fromjson|.livemode')" true

	control scenario '{"webhooks":{"unknown_type":true}}'
	pay k4 pm_card_visa
	wait_until sunk_count_is 5
	is "$(types | cut -d' ' -f4- | tr ' ' '\n' | sort | tr '\n' ' ')" \
		"payment_intent.never_heard_of payment_intent.succeeded "
}

@test "events: late, and of the creation, which may come last" {
	control scenario '{"webhooks":{"delay_ms":60000}}'
	pay k1 pm_card_visa
	sleep 0.3
	sunk_count_is 0
	control advance '{"seconds":60}'
	wait_until sunk_count_is 1
	control scenario '{"webhooks":{"created":true,"mode":"reversed"}}'
	pay k2 pm_card_processing
	control settle "{\"payment_intent\":\"$(field .id)\",\"result\":\"succeeded\"}"
	control release_webhooks
	wait_until sunk_count_is 4
	is "$(types | cut -d' ' -f2-)" \
		"payment_intent.succeeded payment_intent.processing payment_intent.created"
	is "$(sunk '.[3].body|fromjson.data.object|"\(.status) \(.metadata.order_id)"')" \
		"requires_confirmation 42"
}

@test "an event can come before the answer" {
	control scenario '{"rules":[{"match":{"path":"/_fake/sink"},"do":{"fault":"latency","ms":300}}],
		"webhooks":{"before_answer":true}}'
	pay k1 pm_card_visa
	is "$(ledger 'map(.kind)|join(" ")')" "received executed event_sent answered"
}

@test "parameters are held against the operation's table" {
	local expected given
	while read -r expected given; do
		# shellcheck disable=SC2086
		post "p$RANDOM" /v1/payment_intents $given
		is "$given: $status $(field '.error|"\(.code)|\(.param)"')" "$given: 400 $expected"
	done <<-'END'
		parameter_missing|amount currency=usd
		parameter_missing|currency amount=100
		parameter_unknown|foo amount=100 currency=usd foo=1
		parameter_unknown|shipping[addres] amount=100 currency=usd shipping[addres][city]=x
		parameter_unknown|metadata[a][b] amount=100 currency=usd metadata[a][b]=x
		parameter_unknown|metadata[a amount=100 currency=usd metadata[a=x
		parameter_invalid_integer|amount amount=1.5 currency=usd
		parameter_invalid_integer|amount amount=-5 currency=usd
		parameter_invalid_empty|description amount=100 currency=usd description=
		null|confirm amount=100 currency=usd confirm=yes
		null|capture_method amount=100 currency=usd capture_method=later
		null|payment_method_types amount=100 currency=usd payment_method_types=card
		null|payment_method_types[a] amount=100 currency=usd payment_method_types[a]=card
		null|automatic_payment_methods amount=100 currency=usd automatic_payment_methods=true
		null|currency amount=100 currency=xxx
		null|statement_descriptor amount=100 currency=usd statement_descriptor=12345678901234567890123
		resource_missing|payment_method amount=100 currency=usd payment_method=pm_card_vica
		amount_too_small|amount amount=49 currency=usd
		amount_too_small|amount amount=29 currency=gbp
		amount_too_large|amount amount=100000000 currency=usd
		invalid_charge_amount_no_decimal_compatible|amount amount=150 currency=isk
		invalid_charge_amount_no_decimal_compatible|amount amount=5124 currency=kwd
		null|expand[0] amount=100 currency=usd expand[0]=nothing
	END
	is "$(executed)" 0
	is "$(ledger 'map(select(.kind == "violation")|.detail)[:3]|join(", ")')" \
		"parameter_missing: amount, parameter_missing: currency, parameter_unknown: foo"
	is "$(ledger 'map(select(.kind == "violation"))|length')" 15
	post k1 /v1/payment_intents amount=50 currency=jpy 'payment_method_types[]=card' \
		'shipping[name]=Ann' 'shipping[address][city]=Wien & Graz' 'metadata[a]=b=c'
	is "$status $(field '"\(.shipping.name), \(.shipping.address.city), \(.metadata.a)"')" \
		"200 Ann, Wien & Graz, b=c"
}

@test "a currency is taken or refused as Stripe does" {
	local code
	for code in usd ils cny php idr ars ngn uah mop xcd mmk bhd krw; do
		post "k$code" /v1/payment_intents amount=50000 "currency=$code"
		is "$code $status" "$code 200"
	done
	for code in kpw irr syp cup xxx usn chw xau clf; do
		post "k$code" /v1/payment_intents amount=50000 "currency=$code"
		is "$code $status $(field .error.param)" "$code 400 currency"
	done
}

@test "metadata has limits" {
	local many=() n
	for n in $(seq 51); do
		many+=("metadata[k$n]=v")
	done
	post k1 /v1/payment_intents amount=100 currency=usd "${many[@]}"
	error_is 400 invalid_request_error null metadata
	post k2 /v1/payment_intents amount=100 currency=usd "metadata[$(printf 'x%.0s' $(seq 41))]=v"
	error_is 400 invalid_request_error null metadata
	post k3 /v1/payment_intents amount=100 currency=usd "metadata[x]=$(printf 'x%.0s' $(seq 501))"
	is "$status" 400
	post k4 /v1/payment_intents amount=100 currency=usd "${many[@]:0:50}"
	is "$status" 200
}

@test "a body that is no form, or a broken one" {
	request -H 'Idempotency-Key: k1' -H 'Content-Type: application/json' -d '{"amount":100}' \
		"$S/v1/payment_intents"
	is "$status" 400
	request -H 'Idempotency-Key: k1' -d 'amount=%zz' "$S/v1/payment_intents"
	is "$status" 400
}

@test "keys: bearer, basic, none, wrong" {
	is "$(curl -s -o /dev/null -w '%{http_code}' "$S/v1/payment_intents")" 401
	is "$(curl -s -o /dev/null -w '%{http_code}' -u sk_test_standin: "$S/v1/payment_intents")" 200
	is "$(curl -s -o /dev/null -w '%{http_code}' -u sk_test_standi: "$S/v1/payment_intents")" 401
	is "$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer sk_test_standin2' \
		"$S/v1/payment_intents")" 401
	get /v1/nothing
	is "$status" 404
	request -X DELETE "$S/v1/payment_intents"
	is "$status" 404
}

@test "lists: newest first, in pages, by time and customer" {
	local ids=() n
	for n in 0 1 2 3 4; do
		post "k$n" /v1/payment_intents "amount=10$n" currency=usd "customer=cus_$((n % 2))"
		ids+=("$(field .id)")
		[ "$n" != 2 ] || control advance '{"seconds":100}'
	done
	local created
	created=$(field .created)
	get /v1/payment_intents
	is "$(field '"\(.object) \(.has_more) \(.url) \(.data|map(.amount)|join(" "))"')" \
		"list false /v1/payment_intents 104 103 102 101 100"
	get '/v1/payment_intents?limit=2'
	is "$(field '"\(.has_more) \(.data|map(.amount)|join(" "))"')" "true 104 103"
	get "/v1/payment_intents?limit=2&starting_after=${ids[3]}"
	is "$(field '"\(.has_more) \(.data|map(.amount)|join(" "))"')" "true 102 101"
	get "/v1/payment_intents?limit=2&starting_after=${ids[1]}"
	is "$(field '"\(.has_more) \(.data|map(.amount)|join(" "))"')" "false 100"
	get "/v1/payment_intents?limit=2&ending_before=${ids[1]}"
	is "$(field '"\(.has_more) \(.data|map(.amount)|join(" "))"')" "true 103 102"
	get "/v1/payment_intents?created\[gte\]=$((created - 50))"
	is "$(field '.data|map(.amount)|join(" ")')" "104 103"
	get "/v1/payment_intents?created%5Blt%5D=$((created - 50))"
	is "$(field '.data|map(.amount)|join(" ")')" "102 101 100"
	get "/v1/payment_intents?customer=cus_1"
	is "$(field '.data|map(.amount)|join(" ")')" "103 101"
	get '/v1/payment_intents?limit=101'
	error_is 400 invalid_request_error parameter_invalid_integer limit
	get '/v1/payment_intents?starting_after=pi_none'
	error_is 400 invalid_request_error resource_missing starting_after
	get '/v1/payment_intents?order=up'
	error_is 400 invalid_request_error parameter_unknown order
	get /v1/payment_intents/pi_none
	error_is 404 invalid_request_error resource_missing intent
}

@test "objects behind an id are shown on demand" {
	pay k1 pm_card_visa 'expand[]=latest_charge'
	is "$(field '.latest_charge|"\(.object) \(.status)"')" "charge succeeded"
	get "/v1/payment_intents/$(field .id)"
	is "$(field '.latest_charge|type')" string
	get '/v1/payment_intents?expand\[\]=data.latest_charge'
	is "$(field '.data[0].latest_charge.object')" charge
	post r1 /v1/refunds "payment_intent=$(field '.data[0].id')" 'expand[]=payment_intent' \
		'expand[]=charge'
	is "$(field '"\(.payment_intent.object) \(.charge.amount_refunded)"')" "payment_intent 1999"
}

@test "the ledger can be asked for one order" {
	pay k1 pm_card_visa
	post k2 /v1/payment_intents amount=100 currency=usd 'metadata[order_id]=7'
	is "$(curl -s "$S/_fake/ledger?order_id=7" | jq -r '.entries|map(.order_id)|unique[]')" 7
	is "$(ledger 'map(.seq) == [range(1; length + 1)]')" true
	is "$(ledger 'map(select(.kind == "received")|.params_sha256)|unique|length')" 2
	is "$(ledger 'map(select(.idempotency_key == "k2")|.params_sha256)|unique[]')" \
		"$(printf 'amount=100\ncurrency=usd\nmetadata[order_id]=7\n' | sha256sum | cut -d' ' -f1)"
	is "$(curl -s "$S/_fake/ledger?since=2" | jq '.entries[0].seq')" 3
	is "$(curl -s "$S/_fake/ledger?since=99" | jq -c '.entries')" "[]"
	control reset
	is "$(ledger length)" 0
	get /v1/payment_intents
	is "$(field '.data|length')" 0
}

@test "sixty-four connections at once, and one key among sixteen" {
	rule '{"times":-1,"method":"GET"}' '{"fault":"latency","ms":500}'
	local start
	start=$(date +%s%N)
	is "$(curl -s -Z --parallel-immediate --parallel-max 64 -u sk_test_standin: \
		-H 'Stripe-Version: x' -o /dev/null -w '%{http_code}\n' \
		"$S/v1/payment_intents?limit=[1-64]" | sort | uniq -c | tr -s ' ')" " 64 200"
	[ $((($(date +%s%N) - start) / 1000000)) -lt 20000 ]
	curl -s -Z --parallel-immediate --parallel-max 16 -u sk_test_standin: -o /dev/null \
		-H 'Stripe-Version: x' -H 'Idempotency-Key: same' -w '%{http_code}\n' \
		-d 'amount=100&currency=usd&confirm=true&payment_method=pm_card_visa' \
		-d 'payment_method_types[]=card' "$S/v1/payment_intents?n=[1-16]" >"$T/codes"
	is "$(executed)" 1
	run ! grep -qv -e 200 -e 409 "$T/codes"
}

@test "a connection is kept, and a great body refused" {
	curl -s -u sk_test_standin: "$S/v1/payment_intents" "$S/v1/refunds" >/dev/null
	is "$(ledger 'map(select(.kind == "received")|.connection)|unique|length')" 1
	head -c 1100000 /dev/zero | tr '\0' a >"$T/great"
	request -X POST -H 'Expect:' --data-binary "@$T/great" "$S/v1/payment_intents"
	[ "$status" = 413 ] || [ "$status" = 000 ]
	get /v1/refunds
	is "$status" 200
	head -c 1000000 "$T/great" >"$T/large"
	request -X POST -H 'Expect: 100-continue' --data-binary "@$T/large" "$S/v1/payment_intents"
	error_is 400 invalid_request_error parameter_unknown "$(head -c 255 "$T/large")"
}

@test "the program: its port, its options, its end" {
	"$PROGRAM" --port 0 >"$T/other" 3>&- &
	local other=$!
	wait_until grep -q listening "$T/other"
	[[ $(cat "$T/other") =~ ^listening\ on\ http://127\.0\.0\.1:[0-9]+$ ]]
	local url
	url=$(sed 's/listening on //' "$T/other")
	curl -sf -d '{"rules":[{"do":{"fault":"black_hole","ms":60000}}]}' "$url/_fake/scenario"
	curl -s -u sk_test_standin: "$url/v1/refunds" &
	local call=$!
	sleep 0.2
	kill -INT "$other"
	wait "$other"
	run wait "$call"
	run -2 "$PROGRAM"
	run -2 "$PROGRAM" --port
	run -2 "$PROGRAM" --port 70000
	run -2 "$PROGRAM" --port 1x
	run -2 "$PROGRAM" --prot 0
	run -1 "$PROGRAM" --port "${S##*:}"
	STRIPE_SECRET_KEY=sk_test_env "$PROGRAM" --port 0 >"$T/third" 3>&- &
	other=$!
	wait_until grep -q listening "$T/third"
	url=$(sed 's/listening on //' "$T/third")
	is "$(curl -s -o /dev/null -w '%{http_code}' -u sk_test_env: "$url/v1/refunds")" 200
	kill -TERM "$other"
	wait "$other"
}
