/* idempotency.c: Idempotency-Key (api.md section 1; the state lives in
 * sql/shared/001_house.sql). */
#include <string.h>

#include "internal.h"
#include "shared.h"

#define KEY_MIN 16
#define KEY_MAX 255

/* Bare or quoted; visible ASCII.  NULL: none that counts. */
static const char *key_of(struct request *request)
{
	const char *key = header(request, "Idempotency-Key");
	size_t size = key ? strlen(key) : 0;

	if (size >= 2 && key[0] == '"' && key[size - 1] == '"')
		key = arena_copy(request->arena, key + 1, size -= 2);
	if (size < KEY_MIN || size > KEY_MAX)
		return NULL;
	for (const char *c = key; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == ',')
			return NULL;
	return key;
}

/* Whether the request goes by its key: where one is required, or is given and honoured. */
static bool goes_by_key(const struct request *request, const struct route *route)
{
	return request->method == POST && request->caller.user_id &&
	       (route->flags & KEYED || header(request, "Idempotency-Key")) &&
	       strncmp(request->path, "/api/v1/auth/", 13) != 0;
}

static bool refuse(struct reply *reply, struct reply answer)
{
	*reply = answer;
	return false;
}

/* What an earlier request with this key left: nothing, or the answer to give again. */
static bool take_up(struct request *request, const struct row *row, struct reply *reply)
{
	if (column_is(row, "state", "in_use"))
		return refuse(reply, problem(request, "idempotency_key_in_use"));
	if (column_is(row, "state", "reused"))
		return refuse(reply, problem(request, "idempotency_key_reused"));
	if (column_is(row, "state", "replay")) {
		const char *headers = column(row, "headers");

		text_add(&request->private->headers, headers, strlen(headers));
		reply_header(request, "Idempotent-Replayed", "true");
		return refuse(reply,
		              reply_json((int)column_int(row, "status"), column(row, "body")));
	}
	request->private->holds_key = true;
	return true;
}

bool idempotency_begin(struct request *request, const struct route *route, struct reply *reply)
{
	struct row *row;

	set_param(request, "idempotency_key", NULL);
	set_param(request, "idempotency_scope", NULL);
	if (!goes_by_key(request, route))
		return true;

	const char *key = key_of(request);

	if (!key)
		return refuse(reply, problem(request, "idempotency_key_required"));
	set_param(request, "idempotency_key", key);
	set_param(request, "idempotency_scope",
	          arena_printf(request->arena, "%lld %s %s", (long long)request->caller.user_id,
	                       method_name(request->method), request->path));
	set_param(request, "fingerprint",
	          sha256_hex(request->arena, request->body, request->body_size));
	if (!fetch(request, &sql_idempotency_begin, &row) || !commit(request)) {
		*reply = *request->failure;
		db_rollback(); /* which leaves the lock, if it was taken already */
		db_release_locks();
		return false;
	}
	db_begin_request(true);
	return take_up(request, row, reply);
}

/* Only 2xx and 402 are kept; any other answer leaves no key behind.  A 202 leaves the key
 * alone: its retry goes on from what there is, and tells how that ended. */
struct reply idempotency_end(struct request *request, struct reply reply)
{
	bool kept = reply.status < 300 || reply.status == 402, touched;

	if (!request->private->holds_key || reply.status == 202)
		return reply;
	set_param_int(request, "reply_status", reply.status);
	set_param(request, "reply_headers",
	          request->private->headers.size ? request->private->headers.bytes : "");
	set_param(request, "reply_body", reply.body);
	if (!kept) {
		if (!run(request, &sql_idempotency_forget))
			db_rollback(); /* a row without an answer holds nobody up */
		return reply;
	}
	if (!run_counted(request, &sql_idempotency_keep, &touched)) {
		db_rollback();
		return *request->failure;
	}
	if (touched)
		return reply;
	/* The connection was lost, and the lock with it: a retry is at work, or is done. */
	db_rollback();
	return problem(request, "upstream_unavailable");
}
