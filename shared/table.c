/* table.c: a service's table of routes, judged at its start. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

void print_routes(const struct service_definition *definition)
{
	for (size_t i = 0; i < definition->count; i++)
		printf("%s %s\n", method_name(definition->routes[i].method),
		       definition->routes[i].path);
}

static bool supplies(const struct route *route, const char *name)
{
	static const char *const always[] = {"user_id",    "asked_user_id", "is_staff",
	                                     "is_service", "request_id",    "client",
	                                     "body",       "shop_currency"};
	const char *in_path = strstr(route->path, name);

	for (size_t i = 0; i < COUNT(always); i++)
		if (!strcmp(always[i], name))
			return true;
	for (size_t i = 0; route->query->rows == ROWS_LIST && list_parameters[i]; i++)
		if (!strcmp(list_parameters[i], name))
			return true;
	if (in_path && in_path[-1] == ':' && in_path[strlen(name)] == '/')
		return true;
	return route->accepts && field_find(route->accepts, name);
}

/* What `show` reads may come from the row that was written, which only a run can tell. */
void check_routes(const struct service_definition *service)
{
	for (size_t i = 0; i < service->count; i++) {
		const struct route *route = &service->routes[i];

		if (!route->query == !route->handler)
			die("could not start: %s needs a query or a handler", route->path);
		for (size_t p = 0; route->query && route->query->params[p]; p++)
			if (!supplies(route, route->query->params[p]))
				die("could not start: nothing supplies :%s to %s of %s",
				    route->query->params[p], route->query->name, route->path);
	}
}
