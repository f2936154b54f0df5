/* events.c: hands events from a service's outbox to their subscribers. */
#include <string.h>

#include "internal.h"
#include "shared.h"

#define ATTEMPTS_BEFORE_ASIDE 10 /* as in sql/shared/events.sql */
#define RELAY_WAITS_MS 10000     /* for a subscriber to take an event */
#define CLIENT_WAITS_MS 2000     /* the relay will do what takes longer */

const char *const service_names[SERVICES] = {
	[PRODUCTS] = "products", [ORDERS] = "orders",     [USERS] = "users",
	[CART] = "cart",         [PAYMENTS] = "payments",
};

/* Events on their way, and what became of each: three lists of ids. */
struct delivery {
	struct request *request;
	const struct json *events;
	long patience_ms; /* with each subscriber */
	unsigned away;    /* set of services that are not asked any more */
	bool one_by_one;  /* one aggregate: what is refused holds up what follows */
	struct text delivered, failed, left;
};

static enum service service_named(const char *name)
{
	enum service service = 0;

	while (service < SERVICES && strcmp(service_names[service], name) != 0)
		service++;
	return service;
}

static void log_refusal(const struct delivery *delivery, const char *event, int64_t attempts,
                        const struct response *response)
{
	struct arena *arena = delivery->request->arena;

	log_event(
		attempts == ATTEMPTS_BEFORE_ASIDE ? "error" : "warn",
		attempts == ATTEMPTS_BEFORE_ASIDE ? "event set aside"
						  : "could not deliver an event",
		"\"event.original\":%s,\"arnova.attempts\":%lld,\"http.response.status_code\":%d",
		json_quote(arena, event), (long long)attempts, response->status);
}

/* Nobody there, or nobody who answers: the subscriber, not the event, is at fault. */
static bool is_away(const struct response *response)
{
	return response->outcome != ANSWERED || response->status == 502 ||
	       response->status == 503 || response->status == 504;
}

static void deliver(struct delivery *delivery, const char *id, const char *subscriber,
                    const char *body, int64_t attempts)
{
	struct request *request = delivery->request;
	enum service service = service_named(subscriber);

	if (service < SERVICES && delivery->away >> service & 1) {
		text_printf(&delivery->left, ",%s", id);
		return;
	}

	struct response response = {.outcome = ANSWERED, .status = 404};

	if (service < SERVICES)
		response = ask_within(request, delivery->patience_ms, service, body, "events");
	if (response.outcome == ANSWERED && response.status == 200) {
		text_printf(&delivery->delivered, ",%s", id);
		return;
	}
	text_printf(&delivery->failed, ",%s", id);
	log_refusal(delivery, body, attempts + 1, &response);
	if (service < SERVICES && (delivery->one_by_one || is_away(&response)))
		delivery->away |= 1u << service;
}

/* ",1,2" as the array {1,2}. */
static void set_ids(struct request *request, const char *name, const struct text *ids)
{
	set_param(request, name,
	          arena_printf(request->arena, "{%s}", ids->size ? ids->bytes + 1 : ""));
}

static bool settle(struct delivery *delivery)
{
	struct request *request = delivery->request;

	set_ids(request, "outbox_delivered", &delivery->delivered);
	set_ids(request, "outbox_failed", &delivery->failed);
	set_ids(request, "outbox_left", &delivery->left);
	return run(request, &sql_settle_events) && commit(request);
}

/* Delivers the events of a row.  Their number, -1 when the database failed. */
static long deliver_row(struct delivery *delivery, const struct row *row)
{
	struct arena *arena = delivery->request->arena;
	const char *text = column(row, "events");
	const struct json *events = json_parse(arena, text, strlen(text));
	long count = 0;

	delivery->delivered.arena = delivery->failed.arena = delivery->left.arena = arena;
	for (;; count++) {
		const char *at = arena_printf(arena, "events[%ld]", count);
		const char *id = json_text(arena, events, arena_printf(arena, "%s.id", at));

		if (!id)
			break;
		deliver(delivery, id,
		        json_text(arena, events, arena_printf(arena, "%s.subscriber", at)),
		        json_text(arena, events, arena_printf(arena, "%s.body", at)),
		        json_int(events, arena_printf(arena, "%s.attempts", at)));
	}
	return count == 0 || settle(delivery) ? count : -1;
}

void deliver_events(struct request *request, int64_t aggregate_id)
{
	struct delivery delivery = {
		.request = request, .patience_ms = CLIENT_WAITS_MS, .one_by_one = true};
	struct row *row;

	set_param_int(request, "outbox_aggregate", aggregate_id);
	if (!fetch(request, &sql_list_waiting_events, &row) || !commit(request) ||
	    deliver_row(&delivery, row) < 0) {
		db_rollback(); /* the relay will do it; the handler goes on */
		db_want_transaction(true);
	}
}

/* {products,cart}: what PostgreSQL reads as an array of the set's names. */
static const char *names_of(struct arena *arena, unsigned services)
{
	struct text names = {.arena = arena};

	text_printf(&names, "{");
	for (enum service service = 0; service < SERVICES; service++)
		if (services >> service & 1)
			text_printf(&names, "%s%s", names.size > 1 ? "," : "",
			            service_names[service]);
	text_printf(&names, "}");
	return names.bytes;
}

long relay_events(struct request *request, unsigned *away)
{
	struct delivery delivery = {
		.request = request, .patience_ms = RELAY_WAITS_MS, .away = *away};
	struct row *row;

	set_param(request, "outbox_away", names_of(request->arena, *away));
	if (!fetch(request, &sql_take_events, &row) || !commit(request))
		return -1;

	long count = deliver_row(&delivery, row);

	*away = delivery.away;
	return count;
}

long forget_events(struct request *request)
{
	struct row *row;

	if (!fetch(request, &sql_forget_events, &row) || !commit(request))
		return -1;
	return (long)column_int(row, "forgotten");
}

/* What POST /internal/v1/events/ takes, in every service. */
/* clang-format off */
const struct field event_fields[] = {
	{"event_id",     TEXT,    REQUIRED, .min = 36, .max = 36},
	{"type",         TEXT,    REQUIRED, .min = 1, .max = 64},
	{"aggregate_id", INTEGER, REQUIRED},
	{"version",      INTEGER, REQUIRED},
	{"payload",      ANY,     REQUIRED},
	{0},
};
/* clang-format on */
