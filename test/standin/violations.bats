# violations.bats: the end of a run. Whatever the tests before it made Arnova ask of the stand-in
# for Stripe, no request broke a rule of the house or Stripe's description, and no answer or
# event of the stand-in did.

violations() {
	# shellcheck source=/dev/null
	. "$VAR/env"
	[ -n "$STRIPE_STANDIN_URL" ] || skip "the instance speaks with Stripe itself"
	curl -sf "$STRIPE_STANDIN_URL/_fake/violations"
}

@test "no request to Stripe and no answer of the stand-in was against the rules" {
	[ -n "${PUBLIC_URL-}" ] || skip "no instance is running"
	violations >"$BATS_TEST_TMPDIR/violations"
	jq -r '.violations[] | "\(.detail): \(.method) \(.path) \(.order_id)"' "$BATS_TEST_TMPDIR/violations"
	[ "$(jq .count "$BATS_TEST_TMPDIR/violations")" = 0 ]
}
