/* settle.c: finishes what is open at an order's payment, and takes it back where the order
 * asks. */
#include "parts.h"

enum {
	STEPS_MAX = 20,
	STEP_MS = 3000, /* no further step is begun with less time than this */
};

/* One thing after the other, none twice. */
static bool work(struct request *request)
{
	const char *done = "";

	for (int i = 0; i < STEPS_MAX && time_left(request) > STEP_MS; i++) {
		struct row *next;
		struct verdict verdict;

		set_param(request, "done", done);
		if (!fetch(request, &sql_next_work, &next) || !commit(request))
			return false;

		const char *kind = column(next, "kind");
		int64_t id = column_int(next, "id");

		if (!kind)
			return true;
		if (same_outcome(kind, "refund") ? !submit_refund(request, id, &verdict)
		                                 : !settle_attempt(request, id))
			return false;
		done = arena_printf(request->arena, "%s %s%lld", done, kind, (long long)id);
	}
	return true;
}

struct reply settle_payment(struct request *request)
{
	if (!run(request, &sql_begin_payment_run) || !commit(request) || !work(request) ||
	    !run(request, &sql_end_payment_run) || !commit(request))
		return *request->failure;
	deliver_events(request, param_int(request, "id"));

	return answer(request, &sql_show_state);
}

/* What became of an attempt to cancel the intent. */
static bool cancel_intent(struct request *request, const struct row *begun, const char **state)
{
	bool is_fresh = column_is(begun, "fresh", "t");
	bool is_for_good = same_outcome(param(request, "reason"), "cancelled");
	struct verdict verdict;

	if (!carry_out(request, column_int(begun, "attempt_id"), is_fresh ? FRESH : AGAIN,
	               &verdict))
		return false;
	*state = "in_flight";
	if (same_outcome(verdict.outcome, "canceled"))
		*state = "canceled";
	else if (same_outcome(verdict.outcome, "succeeded"))
		*state = is_for_good ? "refunding" : "succeeded";
	return true;
}

struct reply cancel_payment(struct request *request)
{
	struct row *begun;

	if (!fetch(request, &sql_begin_cancel, &begun) || !commit(request))
		return *request->failure;

	const char *state = column(begun, "state");

	if (same_outcome(state, "call") && !cancel_intent(request, begun, &state))
		return *request->failure;
	if (same_outcome(state, "refunding") && !work(request))
		return *request->failure;
	set_param(request, "state", state);

	return answer(request, &sql_show_cancel);
}
