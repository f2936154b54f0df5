/* health.c: the routes that every service has: is it alive, can it serve. */
#include <string.h>

#include "internal.h"
#include "shared.h"

static struct reply show_health(struct request *request)
{
	const char *asked = params_find(&request->private->params, "service")
	                            ? param(request, "service")
	                            : request->private->service->name;

	if (strcmp(asked, request->private->service->name) != 0)
		return problem(request, "not_found");
	return reply_json(
		200,
		arena_printf(
			request->arena,
			"{\"status\":\"ok\",\"service\":\"%s\",\"version\":\"" ARNOVA_VERSION
			"\"}",
			request->private->service->name));
}

static void add_failure(struct text *failing, const char *check, const char *why)
{
	text_printf(failing, "%s\"%s\":\"%s\"", failing->size ? "," : "", check, why);
}

static struct reply show_readiness(struct request *request)
{
	struct text failing = {.arena = request->arena};
	struct row *row;

	if (!fetch(request, &sql_schema_version, &row))
		add_failure(&failing, "database", "cannot be reached or has no schema");
	else if (column_int(row, "version") < request->private->service->schema_version)
		add_failure(&failing, "schema", "migrations are missing: run arnova migrate");
	for (enum service sibling = 0; sibling < SERVICES; sibling++)
		if (breaker_is_open(sibling))
			add_failure(&failing, service_names[sibling],
			            "fails and is left alone");
	if (failing.size)
		return problem_with(
			request, "upstream_unavailable",
			arena_printf(request->arena, "\"failing\":{%s}", failing.bytes));
	return reply_json(
		200, arena_printf(request->arena,
	                          "{\"status\":\"ready\",\"service\":\"%s\",\"schema\":%d}",
	                          request->private->service->name,
	                          request->private->service->schema_version));
}

/* clang-format off */
static const struct route house_routes[] = {
	{GET, "/health/",          ANYONE, .handler = show_health},
	{GET, "/health/ready/",    ANYONE, .handler = show_readiness},
	{GET, "/health/:service/", ANYONE, .handler = show_health},
};
/* clang-format on */

const struct service_definition house = {"house", house_routes, COUNT(house_routes), 0};
