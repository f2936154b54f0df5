/* page.c: one page of a list, by number or by the key of the last row seen (api.md section 1).
 */
#include <string.h>

#include "internal.h"

#define PAGE_SIZE_DEFAULT 20
#define PAGE_SIZE_MAX 100
#define BAD_CURSOR "Invalid cursor."

const char *const list_parameters[] = {"limit",      "offset",    "order_by",
                                       "descending", "after_up",  "after_down",
                                       "after_id",   "direction", NULL};

/* clang-format off */
const struct field page_fields[] = {
	PAGE_FIELDS,
	{"ordering", CHOICE, .choices = ""},
	{0},
};
/* clang-format on */

/* ---- Cursors ---- */

/* Where a page by key begins: beside the row of this key, which may be gone by now. */
struct cursor {
	bool backwards;
	const char *order; /* the keys are of this ordering; "" for the usual one */
	const char *id, *key;
};

/* A cursor says nothing to clients; in hexadecimal it passes unchanged through every URL. */
static const char *cursor_text(struct request *request, const struct cursor *cursor)
{
	const char *plain =
		arena_printf(request->arena, "%c,%s,%s,%s", cursor->backwards ? 'b' : 'f',
	                     cursor->order, cursor->id, cursor->key);
	struct text text = {.arena = request->arena};

	for (const char *c = plain; *c; c++)
		text_printf(&text, "%02x", (unsigned char)*c);
	return text.bytes;
}

/* NULL: not hexadecimal, or not of UTF-8. */
static char *unhex(struct arena *arena, const char *text)
{
	struct text encoded = {.arena = arena};

	if (strlen(text) % 2)
		return NULL;
	for (; *text; text += 2)
		text_printf(&encoded, "%%%.2s", text);
	return percent_decode(arena, encoded.bytes, encoded.size, false);
}

/* Cuts the text at its first comma and gives what follows; NULL without one. */
static char *after_comma(char *text)
{
	char *comma = text ? strchr(text, ',') : NULL;

	if (comma)
		*comma++ = '\0';
	return comma;
}

static bool read_cursor(struct request *request, const char *order, struct cursor *cursor)
{
	char *direction = unhex(request->arena, param(request, "cursor"));
	char *its_order = after_comma(direction), *id = after_comma(its_order),
	     *key = after_comma(id);

	if (!key || strlen(direction) != 1 || !strchr("bf", *direction) ||
	    strcmp(its_order, order) != 0 || !*id || strlen(id) > 18 ||
	    strspn(id, "0123456789") != strlen(id))
		return false;
	*cursor = (struct cursor){*direction == 'b', order, id, key};
	return true;
}

/* ---- Links ---- */

/* Whether a parameter says which page is meant; its name may be percent-encoded. */
static bool is_place(struct arena *arena, const char *pair)
{
	const char *name = percent_decode(arena, pair, strcspn(pair, "=&"), true);

	return name && (!strcmp(name, "page") || !strcmp(name, "cursor"));
}

/* The request's own query string but for its place in the list; its encoding stays. */
static const char *page_link(struct request *request, const char *place)
{
	struct text link = {.arena = request->arena};
	const char *separator = "?";

	text_printf(&link, "%s%s", request->private->origin, request->path);
	for (const char *rest = request->private->query; *rest; rest += *rest == '&') {
		size_t size = strcspn(rest, "&");

		if (size && !is_place(request->arena, rest)) {
			text_printf(&link, "%s%.*s", separator, (int)size, rest);
			separator = "&";
		}
		rest += size;
	}
	text_printf(&link, "%s%s", separator, place);
	return link.bytes;
}

static const char *number_link(struct request *request, int64_t number)
{
	return page_link(request, arena_printf(request->arena, "page=%lld", (long long)number));
}

/* The page that follows an end of this one.  The query tells its ends: near_id and near_key are
 * those of the row that it read first, far_id and far_key of the last. */
static const char *cursor_link(struct request *request, const struct row *row, bool near,
                               bool backwards, const char *order)
{
	struct cursor cursor = {backwards, order, column(row, near ? "near_id" : "far_id"),
	                        column(row, near ? "near_key" : "far_key")};

	return page_link(request, arena_printf(request->arena, "cursor=%s",
	                                       cursor_text(request, &cursor)));
}

static struct reply envelope(struct request *request, const struct row *row, const char *next,
                             const char *previous)
{
	struct text links = {.arena = request->arena};
	const char *count = column(row, "count");

	if (next)
		text_printf(&links, "<%s>; rel=\"next\"", next);
	if (previous)
		text_printf(&links, "%s<%s>; rel=\"prev\"", next ? ", " : "", previous);
	/* A client may have sent a long query string; the body has the links anyway. */
	if (links.size && links.size < LIMIT_HEADER)
		reply_header(request, "Link", "%s", links.bytes);
	return reply_json(
		200,
		arena_printf(request->arena,
	                     "{\"count\":%s,\"next\":%s,\"previous\":%s,\"results\":%s}",
	                     count ? count : "null", json_quote(request->arena, next),
	                     json_quote(request->arena, previous), column(row, "results")));
}

/* ---- Pages ---- */

/* page_size above the most is taken as the most (api.md section 1). */
static int64_t page_size(const struct request *request)
{
	int64_t size = param_int(request, "page_size");

	if (!size)
		return PAGE_SIZE_DEFAULT;
	return size > PAGE_SIZE_MAX ? PAGE_SIZE_MAX : size;
}

/* The ordering asked for, "" for the usual one.  What is searched comes by relevance. */
static const char *ordering(const struct request *request, const struct query *query)
{
	const char *asked = params_find(&request->private->params, "ordering")
	                            ? param(request, "ordering")
	                            : NULL;
	bool searched =
		params_find(&request->private->params, "search") && param(request, "search");

	if (asked)
		return asked;
	if (searched)
		return "relevance";
	return query->descends ? "-" : "";
}

/* What the query is to do for a page, in the parameters that sql/generate.sh knows. */
static void set_order(struct request *request, const char *order, const struct cursor *cursor)
{
	bool descending = (*order == '-') != (cursor && cursor->backwards);
	const char *name = order + (*order == '-');

	set_param(request, "order_by", *name ? name : NULL);
	set_param(request, "descending", descending ? "true" : NULL);
	set_param(request, "direction", cursor && cursor->backwards ? "-1" : "1");
	set_param(request, "after_up", cursor && !descending ? cursor->key : NULL);
	set_param(request, "after_down", cursor && descending ? cursor->key : NULL);
	set_param(request, "after_id", cursor ? cursor->id : NULL);
	set_param_int(request, "limit", page_size(request));
}

static struct reply list_by_number(struct request *request, const struct query *query)
{
	int64_t number = param_int(request, "page"), size = page_size(request);
	struct row *row;

	number = number ? number : 1;
	set_order(request, ordering(request, query), NULL);
	set_param_int(request, "offset", (number - 1) * size);
	if (!fetch(request, query, &row))
		return *request->failure;
	if (!row) /* the list of something that is not there */
		return problem(request, "not_found");

	int64_t count = column_int(row, "count");

	if (number > 1 && (number - 1) * size >= count)
		return problem_saying(request, "not_found", "Invalid page.");
	return envelope(request, row,
	                number * size < count ? number_link(request, number + 1) : NULL,
	                number > 1 ? number_link(request, number - 1) : NULL);
}

static struct reply list_by_key(struct request *request, const struct query *query)
{
	const char *order = ordering(request, query);
	struct cursor cursor;
	bool first = !*param(request, "cursor");
	struct row *row;

	if (has_param(request, "page"))
		return problem_field(request, "cursor", "A page has a number or a cursor.");
	if (!first && !read_cursor(request, order, &cursor))
		return problem_field(request, "cursor", BAD_CURSOR);
	set_order(request, order, first ? NULL : &cursor);
	set_param_int(request, "offset", 0);
	if (!fetch(request, query, &row))
		/* The cursor's key may be no value of this ordering's type. */
		return request->failure->status == 400 && !first
		               ? problem_field(request, "cursor", BAD_CURSOR)
		               : *request->failure;
	if (!row)
		return problem(request, "not_found");

	bool backwards = !first && cursor.backwards;
	bool any = column(row, "near_id"), more = column_is(row, "more", "t");
	bool next = backwards ? any : more, previous = backwards ? more : any && !first;

	return envelope(request, row,
	                next ? cursor_link(request, row, backwards, false, order) : NULL,
	                previous ? cursor_link(request, row, !backwards, true, order) : NULL);
}

struct reply answer_list(struct request *request, const struct query *query)
{
	if (param(request, "cursor"))
		return list_by_key(request, query);
	return list_by_number(request, query);
}
