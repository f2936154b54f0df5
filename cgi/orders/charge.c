/* charge.c: pays for an order at once, and tells the customer how that went. */
#include <string.h>

#include "parts.h"

static bool is(const char *text, const char *value)
{
	return text && !strcmp(text, value);
}

static const char *value_or_null(struct request *request, const struct response *response,
                                 const char *path)
{
	const char *value = json_raw(request->arena, response->json, path);

	return value ? value : "null";
}

/* The order with what the client must know of its payment: secrets only where it needs them. */
static struct reply show_charged(struct request *request, const char *outcome,
                                 const char *payment)
{
	set_param(request, "outcome", outcome);
	set_param(request, "payment", payment);
	return answer(request, &sql_show_charged);
}

static struct reply show_open(struct request *request)
{
	return show_charged(request, "unknown", "{\"id\":null,\"status\":\"unknown\"}");
}

static struct reply show_payment(struct request *request, const char *outcome,
                                 const struct response *response)
{
	const char *payment = arena_printf(request->arena, "{\"id\":%s,\"status\":%s",
	                                   value_or_null(request, response, "payment.id"),
	                                   value_or_null(request, response, "payment.status"));

	if (is(outcome, "requires_action"))
		payment = arena_printf(request->arena,
		                       "%s,\"client_secret\":%s,\"next_action\":%s", payment,
		                       value_or_null(request, response, "client_secret"),
		                       value_or_null(request, response, "next_action"));
	return show_charged(request, outcome, arena_printf(request->arena, "%s}", payment));
}

/* The order stays, and can be paid with another card. */
static struct reply show_decline(struct request *request, const struct response *response)
{
	return problem_with(
		request, "card_declined",
		arena_printf(request->arena,
	                     "\"decline_code\":%s,\"order_id\":%s,\"payment_id\":%s",
	                     value_or_null(request, response, "decline_code"),
	                     param(request, "order_id"),
	                     value_or_null(request, response, "payment.id")));
}

/* For good, and by no fault of the customer's: the order stays, and can be paid when whatever
 * it was has been mended. */
static struct reply show_refusal(struct request *request, const struct response *response)
{
	return problem_with(request, "payment_provider_error",
	                    arena_printf(request->arena, "\"order_id\":%s,\"payment_id\":%s",
	                                 param(request, "order_id"),
	                                 value_or_null(request, response, "payment.id")));
}

/* What is no payment method at all is a mistake in the request, and that leaves no order to
 * pay: a cancelled one, by which payments learns to refuse what may still come. */
static struct reply withdraw(struct request *request)
{
	if (!run(request, &sql_withdraw_order) || !commit(request))
		return *request->failure;
	deliver_events(request, param_int(request, "order_id"));
	return problem_field(request, "payment_method", "Invalid payment method.");
}

static struct reply show_outcome(struct request *request, const struct response *response)
{
	const char *outcome = json_text(request->arena, response->json, "outcome");

	if (is(outcome, "declined"))
		return show_decline(request, response);
	if (is(outcome, "refused"))
		return show_refusal(request, response);
	if (is(outcome, "invalid"))
		return withdraw(request);
	if (is(outcome, "canceled"))
		return problem(request, "order_not_payable");

	return show_payment(request, outcome, response);
}

/* Time-outs and an attempt that another request began are open, never failed. */
static bool is_open(struct request *request, const struct response *response)
{
	if (response->outcome == UNKNOWN)
		return true;
	return response->outcome == ANSWERED && response->status == 409 && response->json &&
	       is(json_text(request->arena, response->json, "code"), "payment_in_progress");
}

struct reply charge_order(struct request *request, const char *charge)
{
	if (!commit(request))
		return *request->failure;

	struct response response = ask(request, PAYMENTS, POST, charge, "charge");

	if (is_open(request, &response))
		return show_open(request);
	if (!succeeded(&response))
		return reply_from(request, &response);
	if (!take_events(request, &response) || !commit(request))
		return *request->failure;
	deliver_events(request, param_int(request, "order_id"));

	return show_outcome(request, &response);
}
