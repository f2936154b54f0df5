# refusals.bats: what Stripe refuses for good, for no fault of the customer's: said once and
# definitely, never taken for an outage.
# shellcheck disable=SC2030,SC2031,SC2154

load payments

# Stripe says no to every POST, whoever's it is: a wrong key of ours.
refuse_all() {
	scenario '{"webhooks":{"mode":"off"},"rules":[{"match":{"method":"POST","path":"/v1/*","times":-1},
		"do":{"fault":"status","status":401,"effect":false}}]}' >/dev/null
}

# posts N: whether Stripe was asked so often about $order.
posts() {
	[[ $(entries 'map(select(.kind == "received" and .method == "POST")) | length') == "$1" ]]
}

expect_refusal() {
	expect_problem 502 payment_provider_error
	expect_json '.payment_id | type' number
	[[ $body != *tripe* && $body != *urrency* && $body != *sk_* ]]
}

@test "an order in a currency that Stripe does not take: 502 at once, and the order is there" {
	product=$(new_product '{"price":"5.00","currency":"KPW"}') key=$(idem)
	buy pm_card_visa "$key"
	expect_refusal
	order=$(json .order_id)
	posts 1
	order_is status pending
	order_is total 5.00
	order_is payment_status failed
	# Again, and it is as definite; the order is the same.
	buy pm_card_visa "$key"
	expect_refusal
	expect_json .order_id "$order"
	posts 2
	pay pm_card_visa
	expect_refusal
	expect_json .order_id "$order"
	order=
}

@test "and in the many that it takes the order is paid" {
	local code
	for code in ILS CNY PHP IDR UAH; do
		product=$(new_product "{\"price\":\"500.00\",\"currency\":\"$code\"}")
		buy pm_card_visa
		expect_status 201
		expect_json '"\(.status) \(.total) \(.currency)"' "confirmed 500.00 $code"
	done
}

@test "Stripe refuses our key: the order can be paid when that is mended, by its retry or by process/" {
	for way in retry process; do
		refuse_all
		key=$(idem)
		buy pm_card_visa "$key"
		expect_refusal
		order=$(json .order_id)
		posts 1
		order_is status pending
		scenario '{}' >/dev/null
		if [[ $way == retry ]]; then
			buy pm_card_visa "$key"
			expect_status 201
			expect_json '"\(.id) \(.status)"' "$order confirmed"
		else
			pay pm_card_visa
			expect_status 201
			buy pm_card_visa "$key"
			expect_status 201
			expect_json '"\(.id) \(.status)"' "$order confirmed"
		fi
		[[ $(charges) == 1 ]]
		ledger_holds
	done
}

@test "refusals say nothing of our own health: others' orders go on being charged" {
	refuse_all
	for _ in $(seq 25); do
		buy pm_card_visa
		expect_refusal
	done
	scenario '{}' >/dev/null
	api GET "http://127.0.0.1:$((PORT + 2))/health/ready"
	expect_status 200
	buy pm_card_visa
	expect_status 201
}
