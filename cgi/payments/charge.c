/* charge.c: pays for an order, for its owner or for the orders service. */
#include <string.h>

#include "parts.h"

#define RETURN_URL_WRONG "Enter a valid URL that begins with https://."

const char *caller_key(struct request *request)
{
	const char *key = header(request, "Idempotency-Key");
	size_t size = strlen(key);

	if (size > 1 && *key == '"' && key[size - 1] == '"')
		key = arena_copy(request->arena, key + 1, size - 2);

	const char *whole = arena_printf(request->arena, "%lld\n%s",
	                                 (long long)request->caller.user_id, key);

	return sha256_hex(request->arena, whole, strlen(whole));
}

/* An attempt as it now stands, and what Stripe said of it in this request. */
struct paid {
	struct row *attempt;
	struct verdict verdict;
	const char *outcome; /* as the charge route calls it */
	bool is_fresh;       /* begun by this request */
};

/* Refused for good, and by no fault of the customer's. */
static bool is_refused(const struct verdict *verdict)
{
	return same_outcome(verdict->outcome, "refused") ||
	       (same_outcome(verdict->outcome, "invalid") &&
	        !same_outcome(verdict->parameter, "payment_method") &&
	        !same_outcome(verdict->parameter, "return_url"));
}

static const char *outcome_of(const struct paid *paid)
{
	const char *known = column(paid->attempt, "outcome");
	const char *said = paid->verdict.outcome;

	if (same_outcome(known, "failed")) {
		if (is_refused(&paid->verdict))
			return "refused";
		if (same_outcome(said, "invalid") || same_outcome(said, "not_done"))
			return said;
	}
	/* Whatever came of this one, another has been decided on since. */
	if (same_outcome(known, "abandoned"))
		known = column(paid->attempt, "payment_status");
	if (same_outcome(known, "failed"))
		return "declined";
	if (same_outcome(known, "pending"))
		return "unknown";
	if (same_outcome(known, "succeeded") &&
	    column_is(paid->attempt, "cancel_requested", "t"))
		return "canceled"; /* and refunded */
	return known;
}

/* Nothing is posted any more for an order that is not payable. */
static enum manner manner_of(struct request *request, const struct row *begun)
{
	if (column_is(begun, "fresh", "t"))
		return FRESH;
	return param(request, "due_amount") ? AGAIN : LOOK;
}

/* Parameters order_id, payer_id, due_amount, due_currency, payment_method, return_url,
 * request_key and is_checkout say what is to be paid.  False: as with fetch(). */
static bool pay(struct request *request, struct paid *paid)
{
	const char *code = param(request, "due_currency");
	const struct currency *currency = code ? currency_find(code) : NULL;
	struct row *begun;
	int64_t amount;

	/* Without an amount only an attempt that was begun before is found. */
	if (param(request, "due_amount") &&
	    (!currency ||
	     !money_to_stripe(param_int(request, "due_amount"), currency, &amount)))
		return fail(request, problem(request, "order_not_payable"));
	if (!fetch(request, &sql_begin_attempt, &begun) || !commit(request))
		return false;

	int64_t attempt_id = column_int(begun, "attempt_id");

	paid->is_fresh = column_is(begun, "fresh", "t");
	if (column_is(begun, "is_open", "t") &&
	    !carry_out(request, attempt_id, manner_of(request, begun), &paid->verdict))
		return false;
	set_param_int(request, "attempt_id", attempt_id);
	if (!fetch(request, &sql_get_attempt, &paid->attempt))
		return false;
	/* Secrets are not kept, so the customer who comes back for them gets them from Stripe.
	 */
	if (column_is(paid->attempt, "outcome", "requires_action") && !paid->verdict.outcome) {
		if (!commit(request) || !look_again(request, paid->attempt, &paid->verdict) ||
		    !fetch(request, &sql_get_attempt, &paid->attempt))
			return false;
	}
	paid->outcome = outcome_of(paid);
	if (!same_outcome(paid->outcome, "requires_action"))
		paid->verdict.client_secret = paid->verdict.next_action = NULL;
	return commit(request);
}

static struct reply show_decline(struct request *request, const struct paid *paid)
{
	struct arena *arena = request->arena;
	const char *code = column(paid->attempt, "decline_code");

	return problem_with(
		request, "card_declined",
		arena_printf(
			arena, "\"decline_code\":%s,\"order_id\":%s,\"payment_id\":%s",
			json_quote(arena, code ? code : column(paid->attempt, "failure_code")),
			column(paid->attempt, "order_id"),
			column(paid->attempt, "payment_id")));
}

/* Nothing of what Stripe said is shown: it speaks to us. */
static struct reply show_refusal(struct request *request, const struct paid *paid)
{
	return problem_with(request, "payment_provider_error",
	                    arena_printf(request->arena, "\"order_id\":%s,\"payment_id\":%s",
	                                 column(paid->attempt, "order_id"),
	                                 column(paid->attempt, "payment_id")));
}

/* The payment with what its owner needs to go on. */
static const char *with_secrets(struct request *request, const struct paid *paid)
{
	struct arena *arena = request->arena;
	const char *payment = column(paid->attempt, "payment");

	return arena_printf(arena, "%.*s,\"client_secret\":%s,\"next_action\":%s}",
	                    (int)(strlen(payment) - 1), payment,
	                    json_quote(arena, paid->verdict.client_secret),
	                    paid->verdict.next_action ? paid->verdict.next_action : "null");
}

static struct reply show_paid(struct request *request, const struct paid *paid)
{
	if (same_outcome(paid->outcome, "refused"))
		return show_refusal(request, paid);
	if (same_outcome(paid->outcome, "not_done"))
		return problem(request, "upstream_unavailable");
	if (same_outcome(paid->outcome, "invalid"))
		return same_outcome(paid->verdict.parameter, "return_url")
		               ? problem_field(request, "return_url", RETURN_URL_WRONG)
		               : problem_field(request, "payment_method",
		                               "Invalid payment method.");
	if (same_outcome(paid->outcome, "declined"))
		return show_decline(request, paid);
	if (same_outcome(paid->outcome, "canceled"))
		return problem(request, "order_not_payable");
	if (same_outcome(paid->outcome, "requires_action"))
		return reply_json(200, with_secrets(request, paid));
	if (!same_outcome(paid->outcome, "succeeded"))
		return reply_json(202, column(paid->attempt, "payment"));

	reply_header(request, "Location", "/api/v1/payments/%s/",
	             column(paid->attempt, "payment_id"));
	return reply_json(201, column(paid->attempt, "payment"));
}

/* What the order says of itself: amount and currency come from nowhere else.  Of an order that
 * is not payable (any more) there is none, but a retry still hears what became of its attempt.
 */
static bool ask_order(struct request *request)
{
	struct response response =
		ask(request, ORDERS, GET, NULL, "orders/%s/payable?user_id=%lld",
	            param(request, "order_id"), (long long)request->caller.user_id);
	struct arena *arena = request->arena;

	if (response.outcome != ANSWERED || response.status != 200 || !response.json)
		return fail(request, reply_from(request, &response));
	if (json_int(response.json, "user_id") != request->caller.user_id)
		return fail(request, problem(request, "not_found"));

	bool is_payable = same_outcome(json_text(arena, response.json, "state"), "payable");

	set_param_int(request, "payer_id", request->caller.user_id);
	set_param(request, "due_amount",
	          is_payable ? json_text(arena, response.json, "amount") : NULL);
	set_param(request, "due_currency", json_text(arena, response.json, "currency"));
	return true;
}

struct reply process_payment(struct request *request)
{
	struct paid paid = {0};
	const char *return_url = param(request, "return_url");

	/* Stripe sends the customer's browser there: in clear on this machine alone. */
	if (return_url && strncmp(return_url, "https://", 8) != 0 && !is_loopback(return_url))
		return problem_field(request, "return_url", RETURN_URL_WRONG);
	set_param(request, "request_key", caller_key(request));
	set_param(request, "is_checkout", "false");
	if (!ask_order(request) || !pay(request, &paid))
		return *request->failure;
	/* A retry learns that its first try came to nothing for certain, and so it is the next.
	 */
	if (!paid.is_fresh && same_outcome(paid.outcome, "not_done")) {
		paid = (struct paid){0};
		if (!pay(request, &paid))
			return *request->failure;
	}
	deliver_events(request, param_int(request, "order_id"));

	return show_paid(request, &paid);
}

struct reply charge_order(struct request *request)
{
	struct arena *arena = request->arena;
	struct paid paid = {0};

	set_param(request, "payer_id", param(request, "asked_user_id"));
	set_param(request, "due_amount", param(request, "amount"));
	set_param(request, "due_currency", param(request, "currency"));
	set_param(request, "is_checkout", "true");
	if (!pay(request, &paid))
		return *request->failure;
	/* Not a refusal, which is an answer: only this is worth another try. */
	if (same_outcome(paid.outcome, "not_done"))
		return problem(request, "upstream_unavailable");

	return reply_json(
		200,
		arena_printf(
			arena,
			"{\"outcome\":\"%s\",\"payment\":%s,\"decline_code\":%s,"
			"\"message\":%s,\"client_secret\":%s,\"next_action\":%s,\"events\":%s}",
			paid.outcome, column(paid.attempt, "payment"),
			json_quote(arena, column(paid.attempt, "decline_code")),
			json_quote(arena, column(paid.attempt, "failure_message")),
			json_quote(arena, paid.verdict.client_secret),
			paid.verdict.next_action ? paid.verdict.next_action : "null",
			column(paid.attempt, "events")));
}
