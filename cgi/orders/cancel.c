/* cancel.c: cancels an order and with it whatever was paid or is being paid. */
#include "parts.h"

struct response ask_to_cancel(struct request *request, int64_t order_id, const char *reason)
{
	const char *body = arena_printf(request->arena, "{\"reason\":\"%s\"}", reason);

	return ask(request, PAYMENTS, POST, body, "orders/%lld/cancel", (long long)order_id);
}

bool take_events(struct request *request, const struct response *response)
{
	const char *events = json_raw(request->arena, response->json, "events");

	set_param(request, "events", events ? events : "[]");
	return run(request, &sql_receive_order_events);
}

/* The order is cancelled whatever becomes of this: what payments did not answer is asked again
 * by way of due and run. */
static bool cancel_payment(struct request *request, int64_t order_id)
{
	struct response response = ask_to_cancel(request, order_id, "cancelled");

	if (!succeeded(&response))
		return true;
	return take_events(request, &response) && run(request, &sql_forget_payment_cancel);
}

struct reply cancel_order(struct request *request)
{
	struct row *order;
	int64_t order_id = param_int(request, "id");

	set_param_int(request, "order_id", order_id);
	if (!fetch(request, &sql_cancel_order, &order) || !commit(request))
		return *request->failure;
	if (!column(order, "cancelled"))
		return problem(request, "not_found");
	if (column_is(order, "cancelled", "t")) {
		deliver_events(request, order_id);
		if (!cancel_payment(request, order_id))
			return *request->failure;
	}

	return answer(request, &sql_get_order);
}
