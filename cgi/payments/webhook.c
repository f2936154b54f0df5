/* webhook.c: takes in Stripe's events. */
#include <string.h>
#include <time.h>

#include "parts.h"

#define RECEIVED "{\"received\":true}"

/* Its amount in our units: of an intent what was received, of a refund what it is. */
static void set_minor(struct request *request, const struct json *event)
{
	const char *code = json_text(request->arena, event, "data.object.currency");
	const struct currency *currency;
	int64_t minor, amount = json_int(event, "data.object.amount");

	set_param(request, "minor", NULL);
	if (!code)
		return;
	currency = currency_find(arena_upper(request->arena, code));
	if (json_raw(request->arena, event, "data.object.amount_received"))
		amount = json_int(event, "data.object.amount_received");
	if (currency && money_from_stripe(amount, currency, &minor))
		set_param_int(request, "minor", minor);
}

enum { ID_MAX = 255 };

/* What can be noted at all: it says which event it is, and of what type.  The thin events of v2
 * tell nothing that we could act on. */
static bool is_event(struct arena *arena, const struct json *event)
{
	const char *object = json_text(arena, event, "object");
	const char *id = json_text(arena, event, "id");

	return (!object || !strcmp(object, "event")) && id && *id && strlen(id) <= ID_MAX &&
	       json_text(arena, event, "type");
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
	event = json_parse_deep(request->arena, request->body, request->body_size);
	if (!event)
		return problem(request, "parse_error");
	/* Stripe would only send it again. */
	if (!is_event(request->arena, event))
		return reply_json(200, RECEIVED);

	set_param(request, "event", request->body);
	set_param(request, "livemode", stripe_is_live() ? "true" : "false");
	set_minor(request, event);
	if (!fetch(request, &sql_apply_stripe_event, &applied) || !commit(request))
		return *request->failure;
	if (column(applied, "alarm"))
		alarm_of_payment(request, column(applied, "alarm"), applied);
	if (column_is(applied, "effect", "applied"))
		deliver_events(request, column_int(applied, "order_id"));

	return reply_json(200, RECEIVED);
}
