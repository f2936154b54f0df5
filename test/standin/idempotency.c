/* idempotency.c: what was answered to each Idempotency-Key, for 24 hours. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_SECONDS (24 * 60 * 60)
#define KEY_MAX 255

struct record {
	char *method;
	char *path;
	char params_sha256[65];
	char request_id[ID_SIZE];
	int64_t created;
	bool running;
	int status;
	char *body;
	size_t length;
	char should_retry[8];
	struct subject subject;
};

static struct table records;

static void release_record(void *value)
{
	struct record *record = value;

	free(record->method);
	free(record->path);
	free(record->body);
	free(record);
}

static bool same_request(const struct record *record, const struct request *request)
{
	return strcmp(record->method, request->method) == 0 &&
	       strcmp(record->path, request->path) == 0 &&
	       strcmp(record->params_sha256, request->params_sha256) == 0;
}

static void replay(const struct record *record, struct request *request, struct answer *answer)
{
	char *body = take(record->length + 1);

	memcpy(body, record->body, record->length);
	set_body(answer, record->status, body);
	keep_text(answer->should_retry, sizeof(answer->should_retry), record->should_retry);
	text_printf(&answer->headers, "Idempotent-Replayed: true\r\nOriginal-Request: %s\r\n",
	            record->request_id);
	request->subject = record->subject;
	ledger_request("replayed", request, record->status, NULL);
}

static void start_record(const struct request *request)
{
	struct record *record = take(sizeof(*record));

	record->method = copy_text(request->method);
	record->path = copy_text(request->path);
	keep_text(record->params_sha256, sizeof(record->params_sha256), request->params_sha256);
	keep_text(record->request_id, sizeof(record->request_id), request->id);
	record->created = now_seconds();
	record->running = true;
	table_put(&records, request->idempotency_key, record);
}

bool idempotency_begin(struct request *request, struct answer *answer)
{
	const char *key = request->idempotency_key;
	struct record *record = table_find(&records, key);

	if (strlen(key) > KEY_MAX)
		return invalid(answer, NULL, NULL,
		               "Idempotency keys can be up to %d characters long.", KEY_MAX);
	if (record && !record->running && now_seconds() - record->created >= KEEP_SECONDS) {
		table_remove(&records, key);
		release_record(record);
		record = NULL;
	}
	if (!record) {
		start_record(request);
		return true;
	}
	if (!same_request(record, request))
		refuse(answer, &(struct error){400, "idempotency_error", NULL, NULL},
		       "Keys for idempotent requests can only be used with the same parameters they "
		       "were first used with. Try using a key other than '%s'.",
		       key);
	else if (record->running)
		refuse(answer, &(struct error){409, NULL, "idempotency_key_in_use", NULL},
		       "There is currently another in-progress request using this idempotency key: "
		       "%s.",
		       key);
	else
		replay(record, request, answer);
	return false;
}

/* NULL when everything was forgotten while the request ran. */
static struct record *own_record(const struct request *request)
{
	struct record *record = table_find(&records, request->idempotency_key);

	return record && strcmp(record->request_id, request->id) == 0 ? record : NULL;
}

void idempotency_finish(const struct request *request, const struct answer *answer)
{
	struct record *record = own_record(request);

	if (!record)
		return;
	record->running = false;
	record->status = answer->status;
	record->length = answer->length;
	record->body = take(answer->length + 1);
	memcpy(record->body, answer->body, answer->length);
	keep_text(record->should_retry, sizeof(record->should_retry), answer->should_retry);
	record->subject = request->subject;
}

void idempotency_forget(const struct request *request)
{
	struct record *record = own_record(request);

	if (!record)
		return;
	table_remove(&records, request->idempotency_key);
	release_record(record);
}

void clear_idempotency(void)
{
	table_clear(&records, release_record);
}
