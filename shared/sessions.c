/* sessions.c: sessions that have ended, so that their access tokens are refused at once.
 *
 * Users knows them.  Whichever worker finds the service's list old asks for what is new, one at
 * a time; while users is away the last list holds. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "session_list.h"

/* Milliseconds.  A token is refused 5 s after the end of its session at the latest: two tries
 * have room before that. */
enum {
	FRESH = 2000,  /* a younger list is used as it is */
	USABLE = 4000, /* and up to this age while somebody else asks */
	WHOLE = 60000, /* all is asked for anew, which forgets whose tokens have expired */
	ANSWER = 700,  /* at most, for users to answer */
	PAUSE = 1500,  /* after users did not */
	AWAY = 3000,   /* a failure that recent means that nobody needs to wait for users */
	POLL = 5,
};

static struct session_list *known; /* NULL: nothing yet */

/* ---- Time ---- */

/* Whether a moment lies in the last so many milliseconds; 0 is never. */
static bool within(int64_t moment, int64_t span)
{
	int64_t age = boot_ms() - moment;

	return moment && age >= 0 && age < span;
}

static bool list_within(int64_t span)
{
	return known && within(known->asked, span);
}

/* When users last failed to answer, if it has not answered since; 0: it has. */
static int64_t failed_at(void)
{
	int64_t at = session_failure();

	return known && at <= known->asked ? 0 : at;
}

/* ---- Asking users ---- */

static struct response ask_users(struct request *request, const char *since)
{
	return ask_within(request, ANSWER, USERS, NULL, "ended-sessions/%s%s",
	                  *since ? "?since=" : "", since);
}

/* The number of strings in an array; -1: it is something else. */
static int64_t length_of(const struct json *array)
{
	int64_t length = 0;

	if (!array || json_kind(array) != JSON_ARRAY)
		return -1;
	for (const struct json *item = json_first(array); item; item = json_next(item)) {
		if (json_kind(item) != JSON_STRING)
			return -1;
		length++;
	}
	return length;
}

/* What is known with what users says; NULL: it said something else, or too much. */
static struct session_list *list_with(const struct session_list *base, const struct json *json)
{
	const struct json *families = json_member(json, "families");
	const struct json *since = json_member(json, "since");
	int64_t length = length_of(families);

	if (length < 0 || !since || json_kind(since) != JSON_STRING ||
	    !is_time(json_string(since)) || strlen(json_string(since)) >= LIMIT_SINCE)
		return NULL;

	struct session_list *list = session_list_copy(base, (size_t)length);

	if (!list)
		return NULL;
	memcpy(list->since, json_string(since), strlen(json_string(since)) + 1);
	if (json_int(json, "until") > list->until)
		list->until = json_int(json, "until");
	for (const struct json *item = json_first(families); item; item = json_next(item))
		session_list_add(list, json_string(item));
	return list;
}

static bool renew(struct request *request, bool whole)
{
	int64_t asked = boot_ms();
	struct response response = ask_users(request, whole ? "" : known->since);

	if (response.status != 200 || !response.json)
		return false;

	struct session_list *list = list_with(whole ? NULL : known, response.json);

	/* More than there is room for: ask for all, and be told the newest. */
	if (!list)
		return !whole && renew(request, true);
	list->asked = asked;
	if (whole)
		list->whole = asked;
	session_list_keep(request->arena, list);
	free(known);
	known = list;
	return true;
}

static void note_failure(struct request *request)
{
	if (!failed_at())
		log_event("warn", "could not ask users which sessions have ended",
		          "\"http.request.id\":%s", json_quote(request->arena, request->id));
	session_record_failure(request->arena, boot_ms());
}

/* ---- What is known ---- */

static void load(struct request *request)
{
	known = session_list_load(request->arena, known);
}

/* Whether there is nothing to be done: the list is fresh, or users was just tried in vain. */
static bool is_done(struct request *request)
{
	load(request);
	return list_within(FRESH) || within(failed_at(), PAUSE);
}

static void keep_up(struct request *request)
{
	int64_t begun = boot_ms();

	if (list_within(FRESH) || is_done(request))
		return;
	while (!session_lock(request->arena)) {
		if (list_within(USABLE) || within(failed_at(), AWAY))
			return;
		if (!within(begun, ANSWER + PAUSE)) {
			note_failure(request);
			return;
		}
		nanosleep(&(struct timespec){.tv_nsec = POLL * 1000000}, NULL);
		if (is_done(request))
			return;
	}
	/* Whoever had the lock may have asked meanwhile. */
	if (!is_done(request) && !renew(request, !known || !within(known->whole, WHOLE)))
		note_failure(request);
	session_unlock();
}

enum session_state session_state(struct request *request, const struct claims *claims)
{
	keep_up(request);
	if (!known)
		return SESSION_UNKNOWN;
	return claims->issued <= known->until || session_list_has(known, claims->family)
	               ? SESSION_ENDED
	               : SESSION_ALIVE;
}
