/* condition.c: entity tags and the requests that depend on them (RFC 9110 sections 8.8 and 13).
 */
#include <string.h>

#include "internal.h"

#define TAG_DIGITS 32 /* of the digest: enough that no two bodies ever share them */

/* Strong: the same tag is the same bytes. */
static const char *tag_of(struct request *request, const struct reply *reply)
{
	const char *digest = sha256_hex(request->arena, reply->body, strlen(reply->body));

	return arena_printf(request->arena, "\"%.*s\"", TAG_DIGITS, digest);
}

/* Whether the tag is one of a header's list, or that is "*".  Weak ones count only where any
 * equal content will do. */
static bool lists(const char *list, const char *tag, bool weak_too)
{
	size_t size = strlen(tag);

	if (!strcmp(list, "*"))
		return true;
	while (*list) {
		list += strspn(list, ", \t");
		if (weak_too && !strncmp(list, "W/", 2))
			list += 2;
		if (!strncmp(list, tag, size))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

/* What GET of a path runs; NULL: there is no such thing. */
static const struct query *read_of(struct request *request, const char *path)
{
	struct request read = *request;
	unsigned allowed;

	read.method = GET;
	read.path = path;

	const struct route *route = route_find(request->private->service, &read, &allowed);

	return route && route->query && route->query->rows == ROWS_JSON ? route->query : NULL;
}

/* An action such as cancel/ changes the resource that its path is below. */
static const struct query *read_of_changed(struct request *request)
{
	const struct query *own = read_of(request, request->path);
	char *parent = arena_copy(request->arena, request->path, strlen(request->path) - 1);
	char *slash = strrchr(parent, '/');

	if (own || request->method != PUT || !slash)
		return own;
	slash[1] = '\0';
	return read_of(request, parent);
}

bool precondition_holds(struct request *request, struct reply *reply)
{
	const char *wanted = header(request, "If-Match");
	const struct query *read;

	if (!wanted || request->method == GET || request->method == POST)
		return true;
	read = read_of_changed(request);
	if (!read)
		return true;
	/* Whoever changes the row between this look and our write makes the write fail, and
	 * the whole is tried once more. */
	db_want_snapshot();
	*reply = answer(request, read);
	if (reply->status != 200)
		return false;
	if (lists(wanted, tag_of(request, reply), false))
		return true;
	*reply = problem(request, "precondition_failed");
	return false;
}

/* Whether a reply is what GET of some path gives: of its own, or of the one that it created. */
static bool is_representation(struct request *request, const struct route *route, int status)
{
	const struct service_definition *service = request->private->service;

	if (request->method == GET)
		return status == 200 && !strncmp(request->path, "/api/", 5);
	if (request->method != POST)
		return status == 200 && read_of(request, request->path);
	for (size_t i = 0; status == 201 && route->show && i < service->count; i++)
		if (service->routes[i].method == GET && service->routes[i].query == route->show)
			return true;
	return false;
}

struct reply validated(struct request *request, const struct route *route, struct reply reply)
{
	const char *known = header(request, "If-None-Match");

	if (!reply.body || !is_representation(request, route, reply.status))
		return reply;

	const char *tag = tag_of(request, &reply);

	reply_header(request, "ETag", "%s", tag);
	if (request->method == GET && known && lists(known, tag, true))
		return reply_empty(304);
	return reply;
}
