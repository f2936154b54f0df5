/* refund.c: gives money back. */
#include <assert.h>
#include <string.h>

#include "parts.h"

/* Stripe takes three words for a reason; all else goes along as a note. */
static const char *add_reason(struct arena *arena, const char *form, const char *reason)
{
	if (same_outcome(reason, "duplicate") || same_outcome(reason, "fraudulent") ||
	    same_outcome(reason, "requested_by_customer"))
		return form_add(arena, form, "reason", reason);
	return form_add(arena, form, "metadata[reason]", reason);
}

static const char *refund_form(struct arena *arena, const struct row *refund)
{
	const struct currency *currency = currency_find(column(refund, "currency"));
	int64_t amount;
	bool expressible = money_to_stripe(column_int(refund, "amount"), currency, &amount);

	assert(expressible);

	const char *form =
		form_add(arena, "", "payment_intent", column(refund, "provider_ref"));

	form = form_add(arena, form, "amount", arena_printf(arena, "%lld", (long long)amount));
	form = form_add(arena, form, "metadata[order_id]", column(refund, "order_id"));
	form = form_add(arena, form, "metadata[payment_id]", column(refund, "payment_id"));
	form = form_add(arena, form, "metadata[refund_id]", column(refund, "refund_id"));
	return add_reason(arena, form, column(refund, "reason"));
}

static struct verdict post(struct request *request, const struct row *refund)
{
	struct arena *arena = request->arena;
	struct stripe_call stripe = {POST, "refunds", refund_form(arena, refund),
	                             column(refund, "stripe_key")};
	struct response response = call_stripe(request, &stripe);

	return judge_refund(arena, &response);
}

static struct verdict poll(struct request *request, const struct row *refund)
{
	const char *path =
		arena_printf(request->arena, "refunds/%s", column(refund, "refund_ref"));
	struct response response = call_stripe(request, &(struct stripe_call){GET, path});
	struct verdict verdict = judge_refund(request->arena, &response);

	if (response.status != 200) /* that it cannot be read does not make it fail */
		verdict = (struct verdict){.outcome = "pending"};
	return verdict;
}

/* Among the refunds that Stripe has of the payment.  "never": it is not there, and no call
 * under its key can still make it. */
static struct verdict find(struct request *request, const struct row *refund, bool is_over)
{
	struct arena *arena = request->arena;
	struct wanted wanted = {arena_printf(arena, "refunds?payment_intent=%s",
	                                     column(refund, "provider_ref")),
	                        "refund_id", column(refund, "refund_id")};
	struct response response;
	const char *at;

	if (!find_at_stripe(request, &wanted, &response, &at))
		return (struct verdict){.outcome = "unknown"};
	if (at)
		return judge_refund_at(arena, &response, at);
	return (struct verdict){.outcome = is_over ? "never" : "unknown"};
}

static struct verdict submit(struct request *request, const struct row *refund)
{
	bool is_repeatable = column_is(refund, "is_repeatable", "t");
	struct verdict verdict = {.outcome = "unknown"};

	if (column(refund, "refund_ref"))
		return poll(request, refund);
	if (is_repeatable)
		verdict = post(request, refund);
	if (same_outcome(verdict.outcome, "unknown"))
		return find(request, refund, verdict.is_over || !is_repeatable);
	return verdict;
}

/* Where Stripe has refused ours, there may be less left than our books say: takes in what was
 * given back elsewhere, so that no more is tried than there is. */
static bool adopt_others(struct request *request, const struct row *refund)
{
	struct arena *arena = request->arena;
	const struct currency *currency = currency_find(column(refund, "currency"));
	const char *path = arena_printf(arena, "refunds?payment_intent=%s&limit=100",
	                                column(refund, "provider_ref"));
	struct response response = call_stripe(request, &(struct stripe_call){GET, path});

	if (response.outcome != ANSWERED || response.status != 200 || !response.json)
		return true;
	for (int i = 0;; i++) {
		const char *at = arena_printf(arena, "data[%d]", i);
		const char *amount = arena_printf(arena, "%s.amount", at);
		const char *object = json_raw(arena, response.json, at);
		struct row *row;
		int64_t minor;

		if (!object)
			return true;
		if (!money_from_stripe(json_int(response.json, amount), currency, &minor))
			continue;
		set_param(request, "payment_id", column(refund, "payment_id"));
		set_param(request, "object", object);
		set_param_int(request, "minor", minor);
		if (!fetch(request, &sql_adopt_refund, &row) || !commit(request))
			return false;
	}
}

bool submit_refund(struct request *request, int64_t refund_id, struct verdict *verdict)
{
	struct row *refund, *recorded;

	*verdict = (struct verdict){.outcome = "unknown"};
	set_param_int(request, "refund_id", refund_id);
	if (!fetch(request, &sql_take_refund, &refund) || !commit(request))
		return false;
	if (!refund) /* somebody else is at it */
		return true;
	if (column_is(refund, "status", "pending"))
		*verdict = submit(request, refund);
	else
		verdict->outcome = column(refund, "status");
	set_param(request, "outcome", verdict->outcome);
	set_param(request, "refund_ref", verdict->ref);
	set_param(request, "failure_reason", verdict->code);
	set_param(request, "stripe_request_id", verdict->request_id);
	if (!fetch(request, &sql_record_refund, &recorded) || !commit(request))
		return false;
	verdict->outcome = column(recorded, "status");
	if (!same_outcome(verdict->outcome, "failed") || column_is(refund, "status", "failed"))
		return true;
	alarm_of_payment(request, "a refund has failed", refund);
	return verdict->ref || adopt_others(request, refund);
}

static struct reply show_refusal(struct request *request, const struct verdict *verdict)
{
	if (same_outcome(verdict->code, "charge_already_refunded") ||
	    same_outcome(verdict->code, "charge_disputed"))
		return problem(request, "not_refundable");
	return problem(request, "payment_provider_error");
}

struct reply refund_payment(struct request *request)
{
	struct verdict verdict;
	struct row *begun;

	set_param(request, "request_key", caller_key(request));
	if (!fetch(request, &sql_begin_refund, &begun) || !commit(request))
		return *request->failure;
	if (!submit_refund(request, column_int(begun, "refund_id"), &verdict))
		return *request->failure;
	deliver_events(request, column_int(begun, "order_id"));
	if (same_outcome(verdict.outcome, "failed") ||
	    same_outcome(verdict.outcome, "canceled"))
		return show_refusal(request, &verdict);

	return answer(request, &sql_get_refund);
}
