/* answer.c: what a query gave, as a reply. */
#include <string.h>

#include "internal.h"

#define PAGE_SIZE_DEFAULT 20
#define PAGE_SIZE_MAX 100

struct page {
	int64_t number, size;
};

/* page_size above the most is taken as the most (api.md section 1). */
static struct page page_of(const struct request *request)
{
	struct page page = {param_int(request, "page"), param_int(request, "page_size")};

	if (!page.number)
		page.number = 1;
	if (!page.size)
		page.size = PAGE_SIZE_DEFAULT;
	if (page.size > PAGE_SIZE_MAX)
		page.size = PAGE_SIZE_MAX;
	return page;
}

/* The request's own query string with another page in it; percent-encoding stays as it came. */
static const char *page_link(const struct request *request, int64_t number)
{
	struct text link = {.arena = request->arena};
	const char *rest = request->private->query;
	const char *separator = "?";

	text_printf(&link, "%s%s", request->private->origin, request->path);
	while (*rest) {
		size_t size = strcspn(rest, "&");

		if (size && strncmp(rest, "page=", 5) != 0) {
			text_printf(&link, "%s%.*s", separator, (int)size, rest);
			separator = "&";
		}
		rest += size;
		if (*rest)
			rest++;
	}
	text_printf(&link, "%spage=%lld", separator, (long long)number);
	return link.bytes;
}

static struct reply answer_list(struct request *request, const struct query *query)
{
	struct page page = page_of(request);
	struct row *row;
	struct text links = {.arena = request->arena};
	const char *next = NULL, *previous = NULL;

	set_param_int(request, "limit", page.size);
	set_param_int(request, "offset", (page.number - 1) * page.size);
	if (!fetch(request, query, &row))
		return *request->failure;
	if (!row) /* the list of something that is not there */
		return problem(request, "not_found");

	int64_t count = column_int(row, "count");

	if (page.number > 1 && (page.number - 1) * page.size >= count)
		return problem(request, "not_found");
	if (page.number * page.size < count) {
		next = page_link(request, page.number + 1);
		text_printf(&links, "<%s>; rel=\"next\"", next);
	}
	if (page.number > 1) {
		previous = page_link(request, page.number - 1);
		text_printf(&links, "%s<%s>; rel=\"prev\"", links.size ? ", " : "", previous);
	}
	/* A client may have sent a long query string; the body has the links anyway. */
	if (links.size && links.size < LIMIT_HEADER)
		reply_header(request, "Link", "%s", links.bytes);
	return reply_json(
		200,
		arena_printf(request->arena,
	                     "{\"count\":%lld,\"next\":%s,\"previous\":%s,\"results\":%s}",
	                     (long long)count, json_quote(request->arena, next),
	                     json_quote(request->arena, previous), column(row, "results")));
}

static struct reply answer_json(struct request *request, const struct query *query)
{
	struct row *row;

	if (!fetch(request, query, &row))
		return *request->failure;
	if (!row || !first_column(row))
		return problem(request, "not_found");

	int status = 200;

	if (has_column(row, "location") && column(row, "location")) {
		reply_header(request, "Location", "%s", column(row, "location"));
		status = 201;
	}
	if (has_column(row, "status") && column(row, "status"))
		status = (int)column_int(row, "status");
	return reply_json(status, first_column(row));
}

struct reply answer(struct request *request, const struct query *query)
{
	bool touched;

	if (query->rows == ROWS_LIST)
		return answer_list(request, query);
	if (query->rows == ROWS_JSON)
		return answer_json(request, query);
	if (!run_counted(request, query, &touched))
		return *request->failure;
	return touched ? reply_empty(204) : problem(request, "not_found");
}

struct reply write_then_show(struct request *request, const struct query *write,
                             const struct query *show)
{
	struct row *row;
	struct reply reply;

	if (!fetch(request, write, &row))
		return *request->failure;
	if (!row)
		return problem(request, "not_found");
	columns_to_params(request, row);
	reply = answer(request, show);
	if (reply.status != 200 || !has_column(row, "location"))
		return reply;
	reply_header(request, "Location", "%s", column(row, "location"));
	reply.status = 201;
	return reply;
}
