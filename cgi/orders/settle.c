/* settle.c: finishes what waits to be finished: `arnova relay` reads due and calls run for each
 * order.  Every step may be taken twice. */
#include <string.h>

#include "parts.h"

/* A checkout that was given up: lets its stock go.  products remembers the order's id, so that
 * a hold that is still on its way takes nothing. */
static bool undo_hold(struct request *request, int64_t order_id)
{
	struct row *saga;

	if (!fetch(request, &sql_begin_undo, &saga) || !commit(request))
		return false;
	if (!saga)
		return true;

	struct response released = ask(request, PRODUCTS, POST, "{}",
	                               "reservations/%lld/release", (long long)order_id);

	if (!succeeded(&released))
		return fail(request, reply_from(request, &released));
	return run(request, &sql_end_undo);
}

static bool cancel_payment(struct request *request, int64_t order_id)
{
	struct response response = ask_to_cancel(request, order_id, "cancelled");

	if (!succeeded(&response))
		return fail(request, reply_from(request, &response));
	return take_events(request, &response) && run(request, &sql_forget_payment_cancel);
}

/* The intent is cancelled first, so that no money comes for an order that expired. */
static bool expire(struct request *request, int64_t order_id)
{
	struct response response = ask_to_cancel(request, order_id, "expired");

	if (!succeeded(&response))
		return fail(request, reply_from(request, &response));

	const char *state = json_text(request->arena, response.json, "state");
	bool is_canceled = state && !strcmp(state, "canceled");

	return take_events(request, &response) &&
	       run(request, is_canceled ? &sql_expire_order : &sql_wait_for_payment);
}

/* clang-format off */
static const struct step {
	const char *name;
	bool      (*take)(struct request *request, int64_t order_id);
} steps[] = {
	{"undo",           undo_hold},
	{"cancel_payment", cancel_payment},
	{"expire",         expire},
};
/* clang-format on */

struct reply settle_order(struct request *request)
{
	struct row *due;
	int64_t order_id = param_int(request, "id");

	set_reservation_seconds(request);
	set_param_int(request, "order_id", order_id);
	if (!run(request, &sql_begin_order_run) || !commit(request) ||
	    !fetch(request, &sql_get_due_step, &due) || !commit(request))
		return *request->failure;
	for (size_t i = 0; due && i < COUNT(steps); i++)
		if (column_is(due, "step", steps[i].name) && !steps[i].take(request, order_id))
			return *request->failure;
	if (!run(request, &sql_end_order_run) || !commit(request))
		return *request->failure;
	deliver_events(request, order_id);

	return answer(request, &sql_show_settled);
}
