/* webhook.c: takes in Stripe's events. */
#include <string.h>
#include <time.h>

#include "parts.h"

/* Its amount in our units: of an intent what was received, of a refund what it is. */
static void set_minor(struct request *request, const struct json *event)
{
	const char *code = json_text(request->arena, event, "data.object.currency");
	char capitals[4] = "";
	const struct currency *currency;
	int64_t minor, amount = json_int(event, "data.object.amount");

	set_param(request, "minor", NULL);
	if (!code || strlen(code) != 3)
		return;
	for (int i = 0; i < 3; i++)
		capitals[i] = (char)(code[i] >= 'a' && code[i] <= 'z' ? code[i] - 'a' + 'A'
		                                                      : code[i]);
	currency = currency_find(capitals);
	if (json_raw(request->arena, event, "data.object.amount_received"))
		amount = json_int(event, "data.object.amount_received");
	if (currency && money_from_stripe(amount, currency, &minor))
		set_param_int(request, "minor", minor);
}

/* A v1 event; the thin events of v2 tell nothing that we could act on.  Not all objects have an
 * id (a balance has none). */
static bool is_event(struct arena *arena, const struct json *event)
{
	const char *object = json_text(arena, event, "object");

	return object && !strcmp(object, "event") && json_text(arena, event, "id") &&
	       json_text(arena, event, "type") && json_int(event, "created") > 0 &&
	       json_raw(arena, event, "data.object");
}

struct reply receive_webhook(struct request *request)
{
	struct signed_body message = {header(request, "Stripe-Signature"), request->body,
	                              request->body_size};
	struct row *applied;
	struct json *event;

	if (!stripe_signature_valid(request->arena, &message,
	                            setting("STRIPE_WEBHOOK_SECRET", ""), time(NULL)))
		return problem(request, "bad_signature");
	event = json_parse(request->arena, request->body, request->body_size);
	if (!event)
		return problem(request, "parse_error");
	if (!is_event(request->arena, event))
		return problem_field(request, "object", "Not an event of API version 1.");

	set_param(request, "event", request->body);
	set_param(request, "livemode", stripe_is_live() ? "true" : "false");
	set_minor(request, event);
	if (!fetch(request, &sql_apply_stripe_event, &applied) || !commit(request))
		return *request->failure;
	if (column(applied, "alarm"))
		alarm_of_payment(request, column(applied, "alarm"), applied);
	if (column_is(applied, "effect", "applied"))
		deliver_events(request, column_int(applied, "order_id"));

	return reply_json(200, "{\"received\":true}");
}
