/* siblings.c: what one service asks of another: how often, how long, and what a failure means.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

enum {
	REPEATS = 2,
	BACKOFF_MS = 50,   /* doubled for the second repeat */
	HANGING_MS = 1000, /* without an answer */
};

/* Full jitter, and never past the deadline. */
static bool back_off(const struct request *request, int repeat)
{
	long limit = BACKOFF_MS << repeat;
	long wait = 1 + (long)arc4random_uniform((uint32_t)limit);

	if (time_for_call(request, wait + 1) <= wait)
		return false;
	nanosleep(&(struct timespec){.tv_nsec = wait * 1000000}, NULL);
	return true;
}

static bool worth_repeating(const struct response *response)
{
	return response->outcome != ANSWERED || response->status == 502 ||
	       response->status == 503;
}

/* Requests that want the same row say nothing of the sibling's health. */
static bool is_contended(struct arena *arena, const struct response *response)
{
	const char *code =
		response->status == 503 ? json_text(arena, response->json, "code") : NULL;

	return code && !strcmp(code, "contended");
}

static enum health health_of(struct arena *arena, const struct response *response,
                             int64_t begun_us)
{
	bool answered = response->outcome == ANSWERED && response->status != 504;

	if (!worth_repeating(response) && answered)
		return WELL;
	if (is_contended(arena, response))
		return WELL;
	return answered || now_us() - begun_us < HANGING_MS * 1000 ? FAILED : HUNG;
}

static struct response ask_at(struct request *request, enum service service, enum method method,
                              const char *body, const char *path)
{
	if (time_for_call(request, 1) < 1 || !breaker_allows(service))
		return (struct response){.outcome = NOT_SENT, .body = ""};

	int64_t begun = now_us();
	struct response response = call_sibling(request, service, method, body, path);

	for (int i = 0; i < REPEATS && worth_repeating(&response); i++) {
		if ((i && is_contended(request->arena, &response)) || !back_off(request, i))
			break;
		response = call_sibling(request, service, method, body, path);
		response.repeated = true;
	}
	breaker_tell(service, health_of(request->arena, &response, begun));
	return response;
}

struct response ask(struct request *request, enum service service, enum method method,
                    const char *body, const char *path, ...)
{
	va_list values;

	va_start(values, path);

	const char *whole = arena_vprintf(request->arena, path, values);

	va_end(values);
	return ask_at(request, service, method, body, whole);
}

struct response ask_within(struct request *request, long limit_ms, enum service service,
                           const char *body, const char *path, ...)
{
	int64_t deadline = request->private->deadline_us, limit = now_us() + limit_ms * 1000;
	va_list values;

	va_start(values, path);

	const char *whole = arena_vprintf(request->arena, path, values);

	va_end(values);
	if (limit < deadline)
		request->private->deadline_us = limit;

	struct response response = ask_at(request, service, body ? POST : GET, body, whole);

	request->private->deadline_us = deadline;
	return response;
}

/* The request's id went along, so the sibling's problem already names it.  A 401 or 403 speaks
 * of our service token and is no business of the client's. */
static bool is_clients_problem(const struct response *response)
{
	return response->status >= 400 && response->status < 500 && response->status != 401 &&
	       response->status != 403 && response->json && json_member(response->json, "code");
}

struct reply reply_from(struct request *request, const struct response *response)
{
	if (is_clients_problem(response))
		return reply_json(response->status, response->body);
	if (response->status == 504 || time_for_call(request, 1) < 1)
		return problem(request, "deadline_exceeded");
	return problem(request, "upstream_unavailable");
}
