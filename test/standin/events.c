/* events.c: makes events of what happened, and holds them back where a scenario says so. */
#include "webhooks.h"

#include <stdlib.h>

static char *event_body(const struct request *request, const char *id, const char *type,
                        const cJSON *object, const cJSON *previous)
{
	cJSON *event = cJSON_CreateObject();
	cJSON *data;
	cJSON *from;

	cJSON_AddStringToObject(event, "id", id);
	cJSON_AddStringToObject(event, "object", "event");
	cJSON_AddStringToObject(event, "api_version", API_VERSION);
	json_set_integer(event, "created", now_seconds());
	data = cJSON_AddObjectToObject(event, "data");
	cJSON_AddItemToObject(data, "object", cJSON_Duplicate(object, true));
	if (previous)
		cJSON_AddItemToObject(data, "previous_attributes",
		                      cJSON_Duplicate(previous, true));
	cJSON_AddBoolToObject(event, "livemode", webhook_options.livemode);
	json_set_integer(event, "pending_webhooks", 1);
	from = cJSON_AddObjectToObject(event, "request");
	json_set_text(from, "id", *request->id ? request->id : NULL);
	json_set_text(from, "idempotency_key", request->idempotency_key);
	cJSON_AddStringToObject(event, "type", type);
	check_event(request, event);

	char *body = cJSON_PrintUnformatted(event);

	cJSON_Delete(event);
	return body;
}

static struct delivery *held;
static struct delivery **held_end = &held;

static void hold(struct delivery *delivery)
{
	*held_end = delivery;
	held_end = &delivery->next;
}

static void enqueue(const struct request *request, const char *id, const char *type,
                    const char *body, const struct subject *subject)
{
	struct delivery *delivery = take(sizeof(*delivery));
	bool waits = webhook_options.mode == WEBHOOKS_HELD ||
	             webhook_options.mode == WEBHOOKS_REVERSED;

	delivery->options = webhook_options;
	delivery->subject = *subject;
	keep_text(delivery->request_id, ID_SIZE, request->id);
	keep_text(delivery->event, ID_SIZE, id);
	keep_text(delivery->type, sizeof(delivery->type), type);
	delivery->body = copy_text(body);
	delivery->due = now_milliseconds() + webhook_options.delay;
	delivery->in_order = waits;
	if (waits)
		hold(delivery);
	else
		deliver(delivery);
}

static void make_event(const struct request *request, const char *type, const cJSON *object,
                       const struct subject *subject, const cJSON *previous)
{
	char id[ID_SIZE];

	new_id(id, "evt_", 24);

	char *body = event_body(request, id, type, object, previous);

	enqueue(request, id, type, body, subject);
	if (webhook_options.mode == WEBHOOKS_TWICE)
		enqueue(request, id, type, body, subject);
	free(body);
}

void send_event(const struct request *request, const char *type, const cJSON *object,
                const struct subject *subject, cJSON *previous_attributes)
{
	if (settings.webhook_url && webhook_options.mode != WEBHOOKS_OFF) {
		make_event(request, type, object, subject, previous_attributes);
		if (webhook_options.unknown_type)
			make_event(request, "payment_intent.never_heard_of", object, subject,
			           NULL);
		webhooks_wake();
	}
	cJSON_Delete(previous_attributes);
}

static struct delivery *take_held(void)
{
	struct delivery *list = held;

	held = NULL;
	held_end = &held;
	return list;
}

/* Those that were to come reversed, last first; the others stay in order, after them. */
static struct delivery *in_their_order(struct delivery *list)
{
	struct delivery *reversed = NULL;
	struct delivery *straight = NULL;
	struct delivery **end = &straight;

	while (list) {
		struct delivery *next = list->next;

		if (list->options.mode == WEBHOOKS_REVERSED) {
			list->next = reversed;
			reversed = list;
		} else {
			list->next = NULL;
			*end = list;
			end = &list->next;
		}
		list = next;
	}
	for (end = &reversed; *end;)
		end = &(*end)->next;
	*end = straight;
	return reversed;
}

size_t release_webhooks(void)
{
	struct delivery *list = in_their_order(take_held());
	size_t count = 0;

	while (list) {
		struct delivery *next = list->next;

		list->due = now_milliseconds();
		deliver(list);
		list = next;
		count++;
	}
	webhooks_wake();
	return count;
}

void clear_held(void)
{
	struct delivery *list = take_held();

	while (list) {
		struct delivery *next = list->next;

		release_delivery(list);
		list = next;
	}
}
