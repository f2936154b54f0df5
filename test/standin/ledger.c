/* ledger.c: the append-only account of what was asked, done, answered and sent. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	char *order_id;
	char *line;
};

#define VIOLATIONS_KEPT 100

static struct entry *entries;
static size_t entry_count;
static size_t entry_room;
static char *violations[VIOLATIONS_KEPT]; /* the first ones since the program began */
static size_t violation_count;

static void text_or_null(cJSON *entry, const char *name, const char *text)
{
	json_set_text(entry, name, text && *text ? text : NULL);
}

static void number_or_null(cJSON *entry, const char *name, int64_t number, bool known)
{
	json_set(entry, name, known ? cJSON_CreateNumber((double)number) : cJSON_CreateNull());
}

static cJSON *new_entry(const char *kind, const struct request *request)
{
	cJSON *entry = cJSON_CreateObject();

	json_set_integer(entry, "seq", (int64_t)entry_count + 1);
	text_or_null(entry, "kind", kind);
	text_or_null(entry, "method", request ? request->method : NULL);
	text_or_null(entry, "path", request ? request->path : NULL);
	text_or_null(entry, "idempotency_key", request ? request->idempotency_key : NULL);
	text_or_null(entry, "params_sha256", request ? request->params_sha256 : NULL);
	return entry;
}

static void add_subject(cJSON *entry, int status, const struct subject *subject)
{
	number_or_null(entry, "status", status, status != 0);
	text_or_null(entry, "payment_intent", subject->intent);
	text_or_null(entry, "charge", subject->charge);
	text_or_null(entry, "refund", subject->refund);
	number_or_null(entry, "amount", subject->amount, subject->amount >= 0);
	text_or_null(entry, "currency", subject->currency);
	text_or_null(entry, "order_id", subject->order_id);
}

static void append(cJSON *entry, const char *order_id)
{
	if (entry_count == entry_room) {
		size_t room = entry_room ? entry_room * 2 : 256;
		struct entry *grown = take(room * sizeof(*grown));

		if (entry_count)
			memcpy(grown, entries, entry_count * sizeof(*grown));
		free(entries);
		entries = grown;
		entry_room = room;
	}
	entries[entry_count++] =
		(struct entry){copy_text(order_id), cJSON_PrintUnformatted(entry)};
	cJSON_Delete(entry);
}

void ledger_request(const char *kind, const struct request *request, int status,
                    const char *detail)
{
	cJSON *entry = new_entry(kind, request);

	add_subject(entry, status, &request->subject);
	if (strcmp(kind, "executed") == 0)
		text_or_null(entry, "outcome", request->subject.outcome);
	text_or_null(entry, "request_id", request->id);
	if (request->connection)
		json_set_integer(entry, "connection", (int64_t)request->connection);
	text_or_null(entry, "detail", detail);
	append(entry, request->subject.order_id);
}

void note_violation(const struct request *request, const char *detail)
{
	ledger_request("violation", request, 0, detail);
	if (violation_count < VIOLATIONS_KEPT)
		violations[violation_count] = copy_text(entries[entry_count - 1].line);
	violation_count++;
}

void violations_print(struct text *text)
{
	text_printf(text, "{\"count\":%zu,\"violations\":[", violation_count);
	for (size_t i = 0; i < violation_count && i < VIOLATIONS_KEPT; i++)
		text_printf(text, "%s%s", i ? ",\n" : "", violations[i]);
	text_printf(text, "]}");
}

void clear_violations(void)
{
	for (size_t i = 0; i < violation_count && i < VIOLATIONS_KEPT; i++)
		free(violations[i]);
	violation_count = 0;
}

void ledger_event(const struct subject *subject, const char *event, const char *type,
                  int attempt, int status)
{
	cJSON *entry = new_entry("event_sent", NULL);

	add_subject(entry, status, subject);
	text_or_null(entry, "event", event);
	text_or_null(entry, "type", type);
	json_set_integer(entry, "attempt", attempt);
	append(entry, subject->order_id);
}

void ledger_print(struct text *text, const char *order_id, size_t since)
{
	bool first = true;

	text_printf(text, "{\"entries\":[");
	for (size_t i = since; i < entry_count; i++) {
		if (order_id && strcmp(order_id, entries[i].order_id) != 0)
			continue;
		text_printf(text, "%s%s", first ? "" : ",\n", entries[i].line);
		first = false;
	}
	text_printf(text, "]}");
}

void clear_ledger(void)
{
	for (size_t i = 0; i < entry_count; i++) {
		free(entries[i].order_id);
		free(entries[i].line);
	}
	free(entries);
	entries = NULL;
	entry_count = 0;
	entry_room = 0;
}
