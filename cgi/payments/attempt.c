/* attempt.c: carries out what was begun: an attempt to pay or to cancel the intent. */
#include <assert.h>
#include <string.h>

#include "parts.h"

/* Forms are made from the attempt's row alone: a repetition must not differ in one byte. */
static const char *create_form(struct arena *arena, const struct row *attempt)
{
	const struct currency *currency = currency_find(column(attempt, "currency"));
	int64_t amount;
	bool expressible = money_to_stripe(column_int(attempt, "amount"), currency, &amount);

	assert(expressible);

	const char *form =
		form_add(arena, "", "amount", arena_printf(arena, "%lld", (long long)amount));

	form = form_add(arena, form, "currency",
	                arena_lower(arena, column(attempt, "currency")));
	form = form_add(arena, form, "confirm", "true");
	form = form_add(arena, form, "payment_method", column(attempt, "payment_method"));
	form = form_add(arena, form, "automatic_payment_methods[enabled]", "true");
	form = form_add(arena, form, "automatic_payment_methods[allow_redirects]", "never");
	form = form_add(arena, form, "return_url", column(attempt, "return_url"));
	form = form_add(arena, form, "metadata[order_id]", column(attempt, "order_id"));
	form = form_add(arena, form, "metadata[payment_id]", column(attempt, "payment_id"));
	return form_add(arena, form, "metadata[payment_uuid]", column(attempt, "payment_uuid"));
}

static const char *confirm_form(struct arena *arena, const struct row *attempt)
{
	const char *form =
		form_add(arena, "", "payment_method", column(attempt, "payment_method"));

	return form_add(arena, form, "return_url", column(attempt, "return_url"));
}

static struct verdict post(struct request *request, const struct row *attempt)
{
	struct arena *arena = request->arena;
	const char *intent = column(attempt, "provider_ref");
	struct stripe_call stripe = {.method = POST, .key = column(attempt, "stripe_key")};

	if (column_is(attempt, "operation", "cancel")) {
		stripe.path = arena_printf(arena, "payment_intents/%s/cancel", intent);
		stripe.form = "cancellation_reason=abandoned";
	} else if (column_is(attempt, "operation", "confirm")) {
		stripe.path = arena_printf(arena, "payment_intents/%s/confirm", intent);
		stripe.form = confirm_form(arena, attempt);
	} else {
		stripe.path = "payment_intents";
		stripe.form = create_form(arena, attempt);
	}

	struct response response = call_stripe(request, &stripe);
	struct verdict verdict = judge_intent(arena, &response);

	if (same_outcome(verdict.outcome, "open")) /* though it was to be confirmed */
		verdict.outcome = "unknown";
	return verdict;
}

static void set_verdict(struct request *request, const struct verdict *verdict)
{
	const struct currency *currency =
		verdict->currency ? currency_find(verdict->currency) : NULL;
	int64_t received;

	set_param(request, "outcome", verdict->outcome);
	set_param(request, "intent", verdict->ref);
	set_param(request, "received", NULL);
	if (currency && money_from_stripe(verdict->amount, currency, &received))
		set_param_int(request, "received", received);
	set_param(request, "received_currency", verdict->currency);
	set_param(request, "failure_code", verdict->code);
	set_param(request, "decline_code", verdict->decline_code);
	set_param(request, "failure_message", verdict->message);
	set_param(request, "stripe_request_id", verdict->request_id);
}

void alarm_of_payment(struct request *request, const char *message, const struct row *payment)
{
	log_alarm(request, message,
	          arena_printf(request->arena,
	                       "\"arnova.order_id\":%s,\"arnova.payment_id\":%s",
	                       column(payment, "order_id"), column(payment, "payment_id")));
}

static bool record(struct request *request, const struct row *attempt,
                   const struct verdict *verdict)
{
	struct row *row;

	set_verdict(request, verdict);
	if (!fetch(request, &sql_record_outcome, &row) || !commit(request))
		return false;
	if (column_is(row, "is_strange", "t"))
		alarm_of_payment(request, "Stripe tells of another payment than ours", attempt);
	return true;
}

static bool get(struct request *request, int64_t attempt_id, struct row **attempt)
{
	set_param_int(request, "attempt_id", attempt_id);
	return fetch(request, &sql_get_attempt, attempt) && commit(request);
}

enum {
	DAY = 86400,
	SKEW = 300, /* seconds for clocks that differ */
};

/* The intent that was made between two times, both in seconds, both included. */
static bool find_made(struct request *request, const struct row *attempt, const int64_t time[2],
                      struct response *response, const char **at)
{
	const char *path = arena_printf(request->arena,
	                                "payment_intents?created%%5Bgte%%5D=%lld"
	                                "&created%%5Blte%%5D=%lld",
	                                (long long)time[0], (long long)time[1]);
	struct wanted wanted = {path, "payment_uuid", column(attempt, "payment_uuid")};

	return find_at_stripe(request, &wanted, response, at);
}

/* Where the intent most likely was made, when the attempt began; then in the day in which its
 * key was good.  Lists begin with the newest, and days later that is far from here. */
static bool find_intent(struct request *request, const struct row *attempt,
                        struct response *response, const char **at)
{
	int64_t created = column_int(attempt, "created");
	int64_t first[] = {created - SKEW, created + SKEW};
	int64_t rest[] = {created + SKEW + 1, created + DAY + SKEW};

	if (!find_made(request, attempt, first, response, at))
		return false;
	return *at || find_made(request, attempt, rest, response, at);
}

/* What Stripe has of the attempt's payment; outcome "open" when it has nothing.  False: that
 * cannot be read. */
static bool look(struct request *request, const struct row *attempt, struct verdict *seen)
{
	struct arena *arena = request->arena;
	const char *intent = column(attempt, "provider_ref");
	const char *at;
	struct response response;

	if (intent) {
		response = call_stripe(
			request,
			&(struct stripe_call){
				GET, arena_printf(arena, "payment_intents/%s", intent)});
		*seen = judge_intent(arena, &response);
		return response.outcome == ANSWERED && response.status == 200;
	}
	if (!find_intent(request, attempt, &response, &at))
		return false;
	*seen = at ? judge_intent_at(arena, &response, at)
	           : (struct verdict){.outcome = "open"};
	return true;
}

static bool is_without_answer(const struct verdict *verdict)
{
	return same_outcome(verdict->outcome, "unknown") ||
	       same_outcome(verdict->outcome, "not_done") ||
	       same_outcome(verdict->outcome, "refused") ||
	       same_outcome(verdict->outcome, "invalid");
}

/* Whether what was seen is this attempt's doing, given that its own call has no answer.  Paid,
 * canceled and being processed exclude any further doing; the rest may date from before, unless
 * no call of this attempt can still have an effect.  What is not understood decides nothing. */
static void take_seen(const struct row *attempt, const struct verdict *seen, bool is_over,
                      struct verdict *verdict)
{
	const char *outcome = seen->outcome;
	bool is_final = same_outcome(outcome, "succeeded") ||
	                same_outcome(outcome, "canceled") ||
	                same_outcome(outcome, "processing");
	bool is_told =
		same_outcome(outcome, "declined") || same_outcome(outcome, "requires_action");
	bool is_first = column_is(attempt, "operation", "create");
	bool is_cancel = column_is(attempt, "operation", "cancel");
	bool is_invalid = same_outcome(verdict->outcome, "invalid");

	if (is_final || (is_told && !is_cancel && !is_invalid && (is_over || is_first))) {
		*verdict = *seen;
		return;
	}
	if (seen->ref) /* it is ours, whatever becomes of it */
		verdict->ref = seen->ref;
	if (!is_told && !same_outcome(outcome, "open"))
		verdict->outcome = "unknown";
	else if (!is_invalid)
		verdict->outcome = is_over ? "not_done" : "unknown";
}

/* What an attempt has come to that may have been carried out before: by a repetition under the
 * same key, where that is safe and still wanted, and else by a look at what Stripe has. */
static void settle(struct request *request, const struct row *attempt, bool may_post,
                   struct verdict *verdict)
{
	/* Stripe has answered, and the rest is the card's network's or the customer's. */
	bool is_answered = column_is(attempt, "outcome", "processing") ||
	                   column_is(attempt, "outcome", "requires_action");
	bool is_repeatable = column_is(attempt, "is_repeatable", "t");
	/* To take money for an order that is cancelled. */
	bool is_unwanted = column_is(attempt, "cancel_requested", "t") &&
	                   !column_is(attempt, "operation", "cancel");
	struct verdict seen;

	*verdict = (struct verdict){.outcome = "unknown"};
	if (may_post && is_repeatable && !is_answered && !is_unwanted)
		*verdict = post(request, attempt);
	if (!is_without_answer(verdict))
		return;

	bool is_over = verdict->is_over || is_answered || !is_repeatable ||
	               (is_unwanted && !column_is(attempt, "is_recent", "t"));

	/* That this call did nothing says nothing of an earlier one. */
	if (!look(request, attempt, &seen))
		verdict->outcome = "unknown";
	else
		take_seen(attempt, &seen, is_over, verdict);
}

bool carry_out(struct request *request, int64_t attempt_id, enum manner manner,
               struct verdict *verdict)
{
	struct row *attempt;

	if (!get(request, attempt_id, &attempt))
		return false;
	if (manner == FRESH)
		*verdict = post(request, attempt);
	else
		settle(request, attempt, manner == AGAIN, verdict);
	return record(request, attempt, verdict);
}

bool settle_attempt(struct request *request, int64_t attempt_id)
{
	struct verdict verdict;

	return carry_out(request, attempt_id, AGAIN, &verdict);
}

bool look_again(struct request *request, const struct row *attempt, struct verdict *verdict)
{
	if (!look(request, attempt, verdict))
		return true;
	return record(request, attempt, verdict);
}
