/* sqlstate.c: what PostgreSQL refused, as a reply: constraint names are the codes of our
 * errors. */
#include <string.h>

#include "internal.h"

/* A problem that our SQL raised: PTnnn, the constraint's name is the code, the detail a JSON
 * object of further members. */
static struct reply raised(struct request *request, const char *state, const char *code,
                           const char *detail)
{
	int status = (state[2] - '0') * 100 + (state[3] - '0') * 10 + (state[4] - '0');
	size_t size = detail ? strlen(detail) : 0;

	return problem_status(request, status, code,
	                      size > 2 ? arena_copy(request->arena, detail + 1, size - 2) : "");
}

/* "products_product_category_id_fkey" to "category_id"; foreign keys are named by PostgreSQL.
 */
static const char *key_field(struct arena *arena, const char *constraint, const char *table)
{
	size_t before = strlen(table) + strlen("_"), after = strlen("_fkey");
	size_t size = strlen(constraint);

	if (size > before + after && !strncmp(constraint, table, strlen(table)))
		return arena_copy(arena, constraint + before, size - before - after);
	return constraint;
}

/* The client's own value, of "Key (category_id)=(7) is not present in table ...". */
static const char *key_value(struct arena *arena, const char *detail)
{
	const char *value = detail ? strstr(detail, ")=(") : NULL;

	return value ? arena_copy(arena, value + 3, strcspn(value + 3, ")")) : "";
}

bool is_conflict(const struct failure *failure)
{
	return !strcmp(failure->state, "40001") || !strcmp(failure->state, "40P01");
}

/* Others are at the same rows: this says nothing of the health of anybody. */
static bool is_contention(const struct failure *failure)
{
	return is_conflict(failure) || !strcmp(failure->state, "55P03");
}

/* The server is away, is ending, only stands by or has no room; or we held a transaction for
 * too long. */
static bool is_passing(const struct failure *failure)
{
	static const char *const classes[] = {"08", "25006", "25P03", "40", "53", "57P"};

	for (size_t i = 0; i < COUNT(classes); i++)
		if (!strncmp(failure->state, classes[i], strlen(classes[i])))
			return true;
	return false;
}

struct reply reply_for(struct request *request, const struct failure *failure)
{
	const char *state = failure->state, *constraint = failure->constraint;
	const char *table = failure->table;

	if (!strncmp(state, "PT", 2) && constraint)
		return raised(request, state, constraint, failure->detail);
	if ((!strcmp(state, "23505") || !strcmp(state, "23514")) && constraint)
		return problem_status(request, 409, constraint, "");
	if (!strcmp(state, "23503") && constraint && request->method == DELETE)
		return problem_status(request, 409,
		                      arena_printf(request->arena, "%s_in_use", table), "");
	if (!strcmp(state, "23503") && constraint && table)
		return problem_field(request, key_field(request->arena, constraint, table),
		                     arena_printf(request->arena,
		                                  "Invalid pk \"%s\" - object does not exist.",
		                                  key_value(request->arena, failure->detail)));
	log_event("error", "query failed", "\"error.code\":\"%s\",\"error.message\":%s", state,
	          json_quote(request->arena, failure->message));
	if (!strncmp(state, "22", 2))
		return problem(request, "invalid");
	if (is_contention(failure))
		return problem(request, "contended");
	if (is_passing(failure))
		return problem(request, "upstream_unavailable");
	if (!strcmp(state, "57014"))
		return problem(request, "deadline_exceeded");
	return problem(request, "internal_error");
}
