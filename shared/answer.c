/* answer.c: what a query gave, as a reply. */
#include "internal.h"

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
