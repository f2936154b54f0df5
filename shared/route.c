/* route.c: from a request's path to the row of the table that answers it. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define DIGITS "0123456789"
#define SLUG_MAX 255
#define ID_DIGITS 18 /* always fits a bigint */

const char *method_name(enum method method)
{
	static const char *const names[] = {"", "GET", "POST", "PUT", "PATCH", "DELETE"};

	return (size_t)method < COUNT(names) ? names[method] : "";
}

/* ---- Paths ---- */

/* Bytes of the segment, without its slash; 0 for "." and ".." as for an empty one. */
static size_t segment_size(const char *segment)
{
	size_t size = strcspn(segment, "/");
	bool dots = segment[0] == '.' && (size == 1 || (size == 2 && segment[1] == '.'));

	return dots ? 0 : size;
}

static bool encodes_slash(const char *path, size_t size)
{
	for (size_t i = 0; i + 2 < size; i++)
		if (!strncasecmp(path + i, "%2f", 3))
			return true;
	return false;
}

static bool is_normal(const char *path)
{
	for (const char *c = path; *c; c++)
		if (is_control(c))
			return false;
	for (path++; *path; path++) {
		size_t size = segment_size(path);

		if (!size)
			return false;
		path += size;
	}
	return true;
}

char *path_normalise(struct arena *arena, const char *request_uri)
{
	size_t size = strcspn(request_uri, "?");
	char *path;

	if (*request_uri != '/' || size > LIMIT_PATH || encodes_slash(request_uri, size))
		return NULL;
	path = percent_decode(arena, request_uri, size, false);
	if (path && path[strlen(path) - 1] != '/')
		path = arena_printf(arena, "%s/", path);
	return path && is_normal(path) ? path : NULL;
}

/* ---- Routes ---- */

/* An id as our database writes it, so that a row has one path. */
static bool is_id(const char *segment, size_t size)
{
	return size && size <= ID_DIGITS && *segment != '0' && strspn(segment, DIGITS) == size;
}

static bool is_slug(const char *segment, size_t size)
{
	return size <= SLUG_MAX && strspn(segment, DIGITS) < size &&
	       strspn(segment,
	              DIGITS "-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == size;
}

static bool ends_with(const char *text, size_t size, const char *end)
{
	size_t length = strlen(end);

	return size >= length && !memcmp(text + size - length, end, length);
}

/* Whether a segment is what the parameter's name asks for: ":id", ":order_id" and the like are
 * ids, ":slug" an id or a slug. */
static bool fits(const char *name, size_t name_size, const char *segment, size_t size)
{
	if (ends_with(name, name_size, "id"))
		return is_id(segment, size);
	if (ends_with(name, name_size, "slug"))
		return is_id(segment, size) || is_slug(segment, size);
	return size > 0;
}

/* Whether the path matches.  *rank orders matches: a bit for each segment, the first one
 * highest, set where the pattern has a literal and not a parameter. */
static bool matches(const char *pattern, const char *path, uint64_t *rank)
{
	*rank = 0;
	for (uint64_t bit = UINT64_C(1) << 63; *pattern && *path; bit >>= 1) {
		size_t pattern_size = strcspn(++pattern, "/"), size = strcspn(++path, "/");

		if (*pattern == ':') {
			if (!fits(pattern + 1, pattern_size - 1, path, size))
				return false;
		} else {
			if (pattern_size != size || memcmp(pattern, path, size) != 0)
				return false;
			*rank |= bit;
		}
		pattern += pattern_size;
		path += size;
	}
	return !*pattern && !*path;
}

/* Of two routes with the same method and rank, /:id/ goes before /:slug/. */
static bool is_closer(const struct route *route, const struct route *than)
{
	const char *a = route->path, *b = than ? than->path : NULL;

	while (b && *a && *a == *b) {
		a++;
		b++;
	}
	return !b || (!strncmp(a, "id/", 3) && strncmp(b, "id/", 3) != 0);
}

static void declare(struct request *request, const char *pattern)
{
	struct arena *arena = request->arena;
	const char *path = request->path;

	while (*pattern && *path) {
		size_t pattern_size = strcspn(++pattern, "/"), size = strcspn(++path, "/");

		if (*pattern == ':')
			params_set(&request->private->params,
			           arena_copy(arena, pattern + 1, pattern_size - 1),
			           arena_copy(arena, path, size), true);
		pattern += pattern_size;
		path += size;
	}
}

const struct route *route_find(const struct service_definition *service,
                               struct request *request, unsigned *allowed)
{
	const struct route *found = NULL;
	uint64_t best = 0, rank;

	*allowed = 0;
	for (size_t i = 0; i < service->count; i++) {
		const struct route *route = &service->routes[i];

		if (!matches(route->path, request->path, &rank) || (*allowed && rank < best))
			continue;
		if (rank > best) { /* all so far were parameters where this one is literal */
			*allowed = 0;
			found = NULL;
		}
		best = rank;
		*allowed |= 1U << route->method;
		if (route->method == request->method && is_closer(route, found))
			found = route;
	}
	if (found)
		declare(request, found->path);
	return found;
}
