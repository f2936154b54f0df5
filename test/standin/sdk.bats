# sdk.bats: Stripe's official client for node drives the stand-in, so that it is shaped to fit
# Stripe and not our own client. The client is fetched once into BUILD/test/node.
# servers: nginx

load standin

SDK=$BATS_TEST_DIRNAME/sdk
CLIENT=${BUILD:-build}/test/node

setup_file() {
	fetch_client || {
		echo "could not fetch Stripe's client for node with npm; npm said:" >&2
		cat "$BATS_FILE_TMPDIR/npm" >&2
		return 1
	}
}

# What was fetched for the same lock file is used again.
fetch_client() {
	! cmp -s "$SDK/package-lock.json" "$CLIENT/fetched" || return 0
	rm -rf "$CLIENT"
	mkdir -p "$CLIENT"
	cp "$SDK/package.json" "$SDK/package-lock.json" "$CLIENT"
	timeout 120 npm ci --prefix "$CLIENT" --no-audit --no-fund --ignore-scripts \
		>"$BATS_FILE_TMPDIR/npm" 2>&1 && cp "$SDK/package-lock.json" "$CLIENT/fetched"
}

drive() {
	STANDIN=$S NODE_PATH=$CLIENT/node_modules timeout 60 node "$SDK/drive.js" "$1"
}

no_violation() {
	is "$(curl -s "$S/_fake/violations" | jq -c '[.violations[].detail]')" '[]'
}

@test "the client: a payment succeeds" {
	drive succeed
	no_violation
}

@test "the client: every decline raises StripeCardError with the intent" {
	drive decline
	no_violation
}

@test "the client: authentication" {
	drive authenticate
	no_violation
}

@test "the client: a key replays, and is refused for other parameters" {
	drive replay
	no_violation
}

@test "the client: a key in use" {
	drive in_use
	no_violation
}

@test "the client: 429 raises StripeRateLimitError and is not sent again" {
	drive limits
	no_violation
}

@test "the client: sends again with the same key after what is no answer" {
	drive retries
	no_violation
}

@test "the client: connections that close, refuse or swallow" {
	drive connections
	no_violation
}

@test "the client: lists, page by page" {
	drive lists
	no_violation
}

@test "the client: canceling" {
	drive cancel
	no_violation
}

@test "the client: capture" {
	drive capture
	no_violation
}

@test "the client: refunds" {
	drive refunds
	no_violation
}

@test "the client: mistakes raise, and those of form alone are violations" {
	drive mistakes
}

@test "the client takes what the stand-in signs" {
	drive signatures
	no_violation
}

@test "Arnova takes what the client signs" {
	[ -n "${PUBLIC_URL-}" ] || skip "no instance is running"
	WEBHOOK_URL=$PUBLIC_URL/api/v1/payments/webhook/ WEBHOOK_SECRET=$(
		# shellcheck source=/dev/null
		. "$VAR/env" && echo "${STRIPE_WEBHOOK_SECRET%%,*}"
	) drive endpoint
}
