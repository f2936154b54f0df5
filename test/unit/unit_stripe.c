/* unit_stripe.c: signatures, forms and the meaning of Stripe's answers. */
#include "internal.h"
#include "tap.h"

#include "../../cgi/payments/parts.h"

static const char body_a[] = "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
static const char digest_a[] =
	"4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150";
static const char rolled_a[] =
	"dc80d0334b78e0dbbc3d5352c151a428b746163b94ad381096bb293b9e650f1e";
static const char secret[] = "whsec_test_secret";

enum { T = 1700000000 };

static struct arena *arena;

static bool valid(const char *header, const char *body, const char *secrets, int64_t now)
{
	struct signed_body message = {header, body, strlen(body)};

	return stripe_signature_valid(arena, &message, secrets, now);
}

static const char *signed_at(long long t, const char *digest)
{
	return arena_printf(arena, "t=%lld,v1=%s", t, digest);
}

/* Digests made with Stripe's own library. */
static void test_vectors(void)
{
	static const char old[] =
		"2672d138c9a412830f3bfe2ecc5bfb3277cf6f5b49d0119d77dd6cb64da1257e";
	static const char utf8[] =
		"186a828e77c555694a0490273b41129ce6cf9752e74439af8af1c4e16abec582";

	ok(valid(signed_at(T, digest_a), body_a, secret, T), "a signature of Stripe's library");
	ok(valid(signed_at(12345, old), body_a, secret, 12345), "the same at another time");
	ok(!valid(signed_at(12345, old), body_a, secret, T), "years old");
	ok(valid(signed_at(T, utf8),
	         "{\"id\":\"evt_1\",\"object\":\"event\",\"note\":\"\xc3\xa9\xf0\x9f\x98\x80\"}",
	         secret, T),
	   "bytes beyond ASCII");
	ok(valid(signed_at(T, rolled_a), body_a, "whsec_test_secret_rolled_key", T),
	   "another secret");
	ok(!valid(signed_at(T, rolled_a), body_a, secret, T), "of another secret");
}

static void test_headers(void)
{
	static const char *const bad[] = {
		"",
		"bad_header",
		"I'm not even a real signature header",
		"v1,t=1",
		"t=",
		"t=1700000000",
		"t=1700000000,v1=bad_signature",
		"t=1700000000,v1=",
		"t=,v1=",
		"=",
		",,,",
		"t",
		"v1",
		"t=-1700000000,v1=1",
		"t= 1700000000,v1=1",
		"t=99999999999999999999,v1=1",
	};

	ok(!valid(NULL, body_a, secret, T), "no header");
	for (size_t i = 0; i < COUNT(bad); i++)
		ok(!valid(bad[i], body_a, secret, T),
		   arena_printf(arena, "header '%s'", bad[i]));
}

static void test_schemes(void)
{
	ok(!valid(arena_printf(arena, "t=%d,v0=%s", T, digest_a), body_a, secret, T),
	   "a good signature under scheme v0 alone");
	ok(!valid(arena_printf(arena, "v1=%s", digest_a), body_a, secret, T), "no time");
	ok(!valid(arena_printf(arena, "t=1700000000x,v1=%s", digest_a), body_a, secret, T),
	   "a time that is no number");
	ok(valid(arena_printf(arena, "t=%d,v1=bad_signature,v1=%s", T, digest_a), body_a,
	         secret, T),
	   "an unreadable signature before the good one");
	ok(valid(arena_printf(arena, "t=%d,v0=1,v1=%s,v1=bad_signature", T, digest_a), body_a,
	         secret, T),
	   "an unreadable signature after the good one");
	ok(!valid(arena_printf(arena, "t=%d,v1=%.63s", T, digest_a), body_a, secret, T),
	   "cut short");
	ok(!valid(arena_printf(arena, "t=%d,v1=%s0", T, digest_a), body_a, secret, T),
	   "too long");
	ok(!valid(arena_printf(arena, "t=%d,v1=%s", T + 1, digest_a), body_a, secret, T),
	   "the time is signed too");
}

static void test_rotation(void)
{
	const char *both = arena_printf(arena, "t=%d,v1=%s,v1=%s", T, digest_a, rolled_a);

	ok(valid(both, body_a, secret, T), "two signatures, the first secret");
	ok(valid(both, body_a, "whsec_test_secret_rolled_key", T),
	   "two signatures, the second");
	ok(valid(signed_at(T, digest_a), body_a,
	         "whsec_test_secret_rolled_key,whsec_test_secret", T),
	   "two secrets, one signature");
	ok(!valid(both, body_a, "whsec_neither", T), "neither secret");
	ok(!valid(both, body_a, "", T), "no secret at all");
	ok(!valid(both, body_a, ",", T), "empty secrets");
}

static void test_tolerance(void)
{
	const char *header = signed_at(T, digest_a);

	ok(valid(header, body_a, secret, T + 300), "300 seconds old");
	ok(!valid(header, body_a, secret, T + 301), "301 seconds old");
	ok(valid(header, body_a, secret, T - 300), "300 seconds ahead");
	ok(!valid(header, body_a, secret, T - 301), "301 seconds ahead");
}

static void test_bytes(void)
{
	const char *header = signed_at(T, digest_a);
	const char *empty = signed_at(T, hmac_sha256_hex(arena, secret, "1700000000.", 11));
	const char *zero = signed_at(T, hmac_sha256_hex(arena, secret, "1700000000.a\0b", 14));

	ok(!valid(header, arena_printf(arena, "%s ", body_a), secret, T), "one byte added");
	ok(!valid(header, body_a + 1, secret, T), "one byte missing");
	ok(valid(empty, "", secret, T), "an empty body");
	ok(!valid(empty, "x", secret, T), "another than the empty body");
	ok(stripe_signature_valid(arena, &(struct signed_body){zero, "a\0b", 3}, secret, T),
	   "a NUL in the body");
	ok(!stripe_signature_valid(arena, &(struct signed_body){zero, "a\0c", 3}, secret, T),
	   "what follows a NUL counts");
}

static void test_forms(void)
{
	const char *form = form_add(arena, "", "amount", "1999");

	is_text(form, "amount=1999", "one field");
	form = form_add(arena, form, "metadata[order_id]", "5");
	is_text(form, "amount=1999&metadata[order_id]=5", "a nested field");
	is_text(form_add(arena, form, "return_url", NULL), form, "a field left out");
	is_text(form_add(arena, "", "a", ""), "a=", "an empty value");
	is_text(form_add(arena, "", "u", "https://x.y/?a=b&c=d #+%"),
	        "u=https%3A%2F%2Fx.y%2F%3Fa%3Db%26c%3Dd%20%23%2B%25", "separators are encoded");
	is_text(form_add(arena, "", "n", "\xc3\xa9[]"), "n=%C3%A9%5B%5D", "bytes of a value");
	is_text(form_add(arena, "", "a&b", "-._~"), "a%26b=-._~", "bytes of a name");
}

static struct response answered(int status, const char *json)
{
	return (struct response){.outcome = ANSWERED,
	                         .status = status,
	                         .json = json_parse(arena, json, strlen(json)),
	                         .body = json};
}

static void judged(int status, const char *json, const char *wanted, const char *name)
{
	struct response response = answered(status, json);

	is_text(judge_intent(arena, &response).outcome, wanted, name);
}

#define INTENT(status)                                                                        \
	"{\"id\":\"pi_1\",\"amount_received\":1999,\"currency\":\"usd\",\"status\":\"" status \
	"\""
#define ERROR(type, code) "{\"error\":{\"type\":\"" type "\",\"code\":\"" code "\""

static void test_intents(void)
{
	judged(200, INTENT("succeeded") "}", "succeeded", "200 succeeded");
	judged(200, INTENT("processing") "}", "processing", "200 processing");
	judged(200, INTENT("requires_action") "}", "requires_action", "200 requires_action");
	judged(200, INTENT("canceled") "}", "canceled", "200 canceled");
	judged(200, INTENT("requires_confirmation") "}", "open", "200 requires_confirmation");
	judged(200, INTENT("requires_payment_method") "}", "open",
	       "200 requires_payment_method");
	judged(200,
	       INTENT("requires_payment_method") ",\"last_payment_error\":{\"type\":\"card_error\"}}",
	       "declined", "200 requires_payment_method after an error");
	judged(200, INTENT("requires_payment_method") ",\"last_payment_error\":null}", "open",
	       "200 requires_payment_method, no error");
	judged(200, INTENT("invented") "}", "unknown", "200 with a status nobody knows");
	judged(200, "{\"status\":\"succeeded\"}", "unknown", "200 without an id");
	judged(200, "[]", "unknown", "200 with another JSON");
	judged(200, "{\"id\":", "unknown", "200 with a cut body");
	judged(200, "", "unknown", "200 without a body");
	judged(204, "{}", "unknown", "another 2xx");
	judged(302, "{}", "unknown", "a redirect");
}

static void test_errors(void)
{
	judged(402, ERROR("card_error", "card_declined") "}}", "declined", "402");
	judged(400, ERROR("invalid_request_error", "parameter_unknown") "}}", "invalid", "400");
	judged(404, ERROR("invalid_request_error", "resource_missing") "}}", "invalid", "404");
	judged(400, ERROR("idempotency_error", "x") "}}", "unknown", "400 idempotency_error");
	judged(400, ERROR("invalid_request_error", "rate_limit") "}}", "not_done",
	       "400 rate_limit");
	judged(401, ERROR("invalid_request_error", "x") "}}", "refused", "401");
	judged(403, ERROR("invalid_request_error", "x") "}}", "refused", "403");
	judged(409, ERROR("invalid_request_error", "idempotency_key_in_use") "}}", "unknown",
	       "409");
	judged(429, ERROR("invalid_request_error", "lock_timeout") "}}", "not_done", "429");
	judged(429, "<html>", "not_done", "429 that is not JSON");
	judged(500, ERROR("api_error", "x") "}}", "unknown", "500");
	judged(502, "<html>", "unknown", "502 that is not JSON");
	judged(503, "", "unknown", "503 without a body");
	judged(400, "<html>", "unknown", "400 that is not JSON is somebody else's");
	judged(400,
	       ERROR("invalid_request_error",
	             "payment_intent_unexpected_state") ",\"payment_intent\":" INTENT("succeeded") "}}}",
	       "succeeded", "unexpected state: it was paid before");
	judged(400,
	       ERROR("invalid_request_error",
	             "payment_intent_unexpected_state") ",\"payment_intent\":" INTENT("canceled") "}}}",
	       "canceled", "unexpected state: it was canceled before");
	judged(400,
	       ERROR("invalid_request_error", "payment_intent_unexpected_state") ",\"payment_intent\":" INTENT(
		       "requires_payment_method") "}}}",
	       "invalid", "unexpected state that tells nothing");
	judged(400,
	       ERROR("invalid_request_error",
	             "x") ",\"payment_intent\":" INTENT("succeeded") "}}}",
	       "invalid", "another code with an intent");
}

static void test_transport(void)
{
	struct response unsent = {.outcome = NOT_SENT};
	struct response unknown = {.outcome = UNKNOWN};
	struct response kept = answered(500, ERROR("api_error", "x") "}}");

	is_text(judge_intent(arena, &unsent).outcome, "not_done", "not sent");
	is_text(judge_intent(arena, &unknown).outcome, "unknown", "sent, and no whole answer");
	is_text(judge_refund(arena, &unsent).outcome, "not_done", "a refund that was not sent");
	is_text(judge_refund(arena, &unknown).outcome, "unknown", "a refund without an answer");
	ok(!judge_intent(arena, &kept).is_over, "a 500 may be followed by something");
	kept.should_retry = "true";
	ok(!judge_intent(arena, &kept).is_over, "a 500 that asks to be repeated");
	kept.should_retry = "false";
	ok(judge_intent(arena, &kept).is_over, "a 500 that is kept under its key");
	kept.should_retry = NULL;
	kept.replayed = true;
	ok(judge_intent(arena, &kept).is_over, "a 500 that was kept under its key");
}

static void test_details(void)
{
	struct response declined = answered(
		402,
		ERROR("card_error",
	              "card_declined") ",\"decline_code\":\"insufficient_funds\","
				       "\"message\":\"Your card has insufficient funds.\",\"payment_intent\":" INTENT(
					       "requires_payment_method") "}}}");
	struct response expired = answered(
		402, ERROR("card_error", "expired_card") ",\"message\":\"Expired.\"}}");
	struct response stolen = answered(
		402,
		ERROR("card_error",
	              "card_declined") ",\"decline_code\":\"stolen_card\",\"message\":\"Stolen!\"}}");
	struct response action = answered(
		200,
		INTENT("requires_action") ",\"client_secret\":\"s\",\"next_action\":{\"type\":\"use_stripe_sdk\"}}");
	struct verdict verdict = judge_intent(arena, &declined);

	is_text(verdict.ref, "pi_1", "a decline names the intent");
	is_text(verdict.decline_code, "insufficient_funds", "and the reason");
	is_text(verdict.message, "Your card has insufficient funds.", "and tells the owner");
	verdict = judge_intent(arena, &expired);
	is_text(verdict.decline_code, "expired_card", "the code where there is no reason");
	verdict = judge_intent(arena, &stolen);
	is_text(verdict.message, "The card was declined.", "a thief is told nothing");
	verdict = judge_intent(arena, &action);
	is_text(verdict.client_secret, "s", "the secret for the customer");
	is_text(verdict.next_action, "{\"type\":\"use_stripe_sdk\"}", "what to do next");
	is_text(verdict.currency, "USD", "the currency in capitals");
	is_int(verdict.amount, 1999, "the amount received");
}

static void refunded(int status, const char *json, const char *wanted, const char *name)
{
	struct response response = answered(status, json);

	is_text(judge_refund(arena, &response).outcome, wanted, name);
}

static void test_refunds(void)
{
	struct response list = answered(
		200,
		"{\"data\":[{\"id\":\"re_1\",\"status\":\"failed\",\"failure_reason\":\"x\"}]}");

	refunded(200, "{\"id\":\"re_1\",\"status\":\"succeeded\"}", "succeeded", "a refund");
	refunded(200, "{\"id\":\"re_1\",\"status\":\"pending\"}", "pending",
	         "a pending refund");
	refunded(200, "{\"id\":\"re_1\",\"status\":\"requires_action\"}", "pending",
	         "one to be acted on");
	refunded(200, "{\"id\":\"re_1\",\"status\":\"invented\"}", "pending",
	         "a status nobody knows");
	refunded(200, "{\"id\":\"re_1\",\"status\":\"failed\"}", "failed", "a failed refund");
	refunded(200, "{\"id\":\"re_1\",\"status\":\"canceled\"}", "canceled",
	         "a canceled refund");
	refunded(200, "{}", "unknown", "a refund without an id");
	refunded(400, ERROR("invalid_request_error", "charge_already_refunded") "}}", "failed",
	         "refused");
	refunded(401, ERROR("invalid_request_error", "x") "}}", "refused", "our key is wrong");
	refunded(429, "{}", "not_done", "too many");
	refunded(500, "{}", "unknown", "500 for a refund");
	is_text(judge_refund_at(arena, &list, "data[0]").ref, "re_1", "a refund in a list");
	is_text(judge_refund_at(arena, &list, "data[0]").code, "x", "and why it failed");
	is_text(judge_refund_at(arena, &list, "data[1]").outcome, "unknown",
	        "past the list's end");
}

int main(void)
{
	arena = arena_new();
	test_vectors();
	test_headers();
	test_schemes();
	test_rotation();
	test_tolerance();
	test_bytes();
	test_forms();
	test_intents();
	test_errors();
	test_transport();
	test_details();
	test_refunds();
	arena_destroy(arena);
	return done();
}
