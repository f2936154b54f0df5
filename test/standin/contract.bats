# contract.bats: what the stand-in lets pass and sends, held against its description of the API.
# servers: nginx

load standin

violations() { # FILTER over the list
	curl -s "$S/_fake/violations" | jq -r ".violations|$1"
}

details() {
	violations 'map(.detail)|join(", ")'
}

@test "the rules of the house: key, version, idempotency key, content type, path" {
	local good=(-H 'Authorization: Bearer sk_test_standin' -H 'Stripe-Version: 2026-07-29.dahlia'
		-H 'Idempotency-Key: k' -d amount=100 -d currency=usd "$S/v1/payment_intents")
	curl -s "${good[@]}" >/dev/null
	is "$(details)" ""
	curl -s "${good[@]:2}" >/dev/null
	curl -s -H 'Authorization: Bearer sk_test_other' "${good[@]:2}" >/dev/null
	curl -s -u sk_test_standin: "${good[@]:4}" >/dev/null
	curl -s -H 'Stripe-Version: 2024-04-10' "${good[@]:0:2}" "${good[@]:4}" >/dev/null
	curl -s "${good[@]:0:4}" "${good[@]:6}" >/dev/null
	curl -s "${good[@]:0:6}" -H 'Content-Type: application/json' -d '{"amount":100}' \
		"$S/v1/payment_intents" >/dev/null
	curl -s "${good[@]:0:6}" -H 'Content-Type: application/x-www-form-urlencoded; charset=utf-8' \
		"${good[@]:6}" >/dev/null
	get /v1/payment_intent
	is "$(details)" "no Authorization, another key in Authorization, no Stripe-Version, another \
Stripe-Version than 2026-07-29.dahlia, POST without Idempotency-Key, content type is not \
form-urlencoded, no such operation"
	is "$(violations '.[1]|"\(.kind) \(.method) \(.path) \(.idempotency_key)"')" \
		"violation POST /v1/payment_intents k"
}

@test "violations outlive a reset, and are counted when there are too many to keep" {
	for n in $(seq 3); do get "/v1/refunds?colour=$n"; done
	control reset
	is "$(ledger length)" 0
	is "$(details)" "parameter_unknown: colour, parameter_unknown: colour, parameter_unknown: colour"
	curl -s -u sk_test_standin: "$S/v1/refunds?n=[1-60]" >/dev/null
	is "$(curl -s "$S/_fake/violations" | jq -c '[.count, (.violations|length)]')" '[123,100]'
}

@test "a refusal for what the payment is about is no violation" {
	pay k1 pm_card_visa
	local id
	id=$(field .id)
	post k2 "/v1/payment_intents/$id/confirm" payment_method=pm_card_visa
	post k3 /v1/refunds "payment_intent=$id" amount=5000
	post k4 /v1/refunds payment_intent=pi_none
	post k5 /v1/payment_intents amount=10 currency=usd
	post k6 /v1/payment_intents amount=100 currency=xxx
	pay k7 pm_card_none
	pay k1 pm_card_mastercard
	get /v1/charges/ch_none
	is "$(details)" ""
	is "$status" 404
}

@test "parameters of every operation are checked" {
	pay k1 pm_card_visa
	local id expected given path
	id=$(field .id)
	while read -r expected path given; do
		# shellcheck disable=SC2086
		post "p$RANDOM" "${path/ID/$id}" $given
		is "$path $given: $status $(field '.error|"\(.code)|\(.param)"')" "$path $given: 400 $expected"
	done <<-'END'
		parameter_unknown|amount /v1/payment_intents/ID/confirm amount=5
		parameter_unknown|metadata /v1/payment_intents/ID/confirm metadata[a]=b
		null|off_session /v1/payment_intents/ID/confirm off_session=maybe
		parameter_invalid_empty|payment_method /v1/payment_intents/ID/confirm payment_method=
		null|cancellation_reason /v1/payment_intents/ID/cancel cancellation_reason=bored
		parameter_unknown|reason /v1/payment_intents/ID/cancel reason=abandoned
		parameter_invalid_integer|amount_to_capture /v1/payment_intents/ID/capture amount_to_capture=all
		parameter_invalid_integer|amount /v1/refunds payment_intent=ID amount=5.00
		null|reason /v1/refunds payment_intent=ID reason=regret
		parameter_unknown|order_id /v1/refunds payment_intent=ID order_id=5
		null|metadata /v1/refunds payment_intent=ID metadata=x
		parameter_missing|shipping[name] /v1/payment_intents amount=100 currency=usd shipping[address][city]=Wien
		parameter_missing|automatic_payment_methods[enabled] /v1/payment_intents amount=100 currency=usd automatic_payment_methods[allow_redirects]=never
		parameter_unknown|amount /v1/payment_intents amount=100 amount=200 currency=usd
		parameter_unknown|shipping[a] /v1/payment_intents amount=100 currency=usd shipping=x shipping[a]=b
		parameter_unknown|a[b][c][d][e][f][g][h][i] /v1/payment_intents a[b][c][d][e][f][g][h][i]=1
		null|expand[0] /v1/refunds payment_intent=ID expand[0]=source
	END
	is "$(details | tr ',' '\n' | wc -l)" 17
	post ok1 /v1/refunds "payment_intent=$id" amount=1 'metadata='
	is "$status" 200
	post ok2 /v1/payment_intents amount=100 currency=usd 'metadata[k]=' 'expand[]=customer'
	is "$status" 200
	get '/v1/payment_intents?created=x'
	error_is 400 invalid_request_error parameter_invalid_integer created
	get '/v1/payment_intents?created\[gt\]=x'
	error_is 400 invalid_request_error parameter_invalid_integer 'created[gt]'
	get '/v1/payment_intents?created\[ge\]=1'
	error_is 400 invalid_request_error parameter_unknown 'created[ge]'
	get '/v1/charges/ch_1?limit=1'
	error_is 400 invalid_request_error parameter_unknown limit
	request -H 'Idempotency-Key: many' --data-raw "$(printf 'a%d=1&' $(seq 1001))" "$S/v1/refunds"
	error_is 400 invalid_request_error null null
}

# A value of each kind that Stripe may leave empty or fill goes through the teardown's check.
@test "every answer and event fits the description" {
	control scenario '{"settle_ms":50,"webhooks":{"created":true,"livemode":true}}'
	pay a pm_card_visa 'shipping[name]=Ann' 'shipping[address][city]=Wien' \
		receipt_email=a@example.com description=d setup_future_usage=off_session \
		statement_descriptor=s transfer_group=g customer=cus_1 confirmation_method=manual \
		'expand[]=latest_charge' 'expand[]=payment_method' 'expand[]=customer'
	is "$(field '"\(.latest_charge.object) \(.payment_method.object) \(.shipping.name)"')" \
		"charge payment_method Ann"
	post r /v1/refunds "payment_intent=$(field .id)" amount=5 reason=fraudulent \
		'expand[]=charge' 'expand[]=payment_intent'
	local method
	for method in chargeDeclined processing createDispute authenticationRequired pendingRefund \
		refundFail chargeDeclinedExpiredCard; do
		pay "$method" "pm_card_$method"
		post "r$method" /v1/refunds "payment_intent=$(field '.id // .error.payment_intent.id')"
	done
	get '/v1/payment_intents?expand\[\]=data.latest_charge&limit=100'
	get '/v1/refunds?expand\[\]=data.charge'
	refunds_settled() {
		[ "$(types | tr ' ' '\n' | grep -c 'refund\.\(updated\|failed\)')" = 3 ]
	}
	wait_until refunds_settled
	is "$(types | tr ' ' '\n' | sort -u | tr '\n' ' ')" "charge.dispute.created charge.refunded \
payment_intent.created payment_intent.payment_failed payment_intent.processing \
payment_intent.requires_action payment_intent.succeeded refund.created refund.failed refund.updated "
	is "$(details)" ""
}

@test "the description contradicts nothing in Stripe's own" {
	[ -n "${OPENAPI_OF_STRIPE-}" ] || skip "OPENAPI_OF_STRIPE names no copy of Stripe's description"
	local folder=$BATS_TEST_DIRNAME
	is "$(jq -rn --slurpfile ours "$folder/openapi.json" --slurpfile theirs "$OPENAPI_OF_STRIPE" \
		-f "$folder/compare.jq")" ""
	jq '.paths["/v1/refunds"].post.requestBody.content[].schema.properties.order = {type: "string"}' \
		"$folder/openapi.json" >"$T/wider"
	is "$(jq -rn --slurpfile ours "$T/wider" --slurpfile theirs "$OPENAPI_OF_STRIPE" \
		-f "$folder/compare.jq")" "asked post /v1/refunds.order: is unknown"
}
