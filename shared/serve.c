/* serve.c: the life of a request, from the web server's hand-over to the log line. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "internal.h"
#include "shared.h"

#define DEADLINE_MS 10000
#define DEADLINE_LONG_MS 25000

static const struct service_definition *service;

/* ---- Routes that every service has ---- */

static struct reply show_health(struct request *request)
{
	const char *asked = params_find(&request->private->params, "service")
	                            ? param(request, "service")
	                            : service->name;

	if (strcmp(asked, service->name) != 0)
		return problem(request, "not_found");
	return reply_json(
		200,
		arena_printf(
			request->arena,
			"{\"status\":\"ok\",\"service\":\"%s\",\"version\":\"" ARNOVA_VERSION
			"\"}",
			service->name));
}

static struct reply not_ready(struct request *request, const char *check, const char *why)
{
	return problem_with(
		request, "upstream_unavailable",
		arena_printf(request->arena, "\"failing\":{\"%s\":\"%s\"}", check, why));
}

static struct reply show_readiness(struct request *request)
{
	struct row *row;

	if (!fetch(request, &sql_schema_version, &row))
		return not_ready(request, "database", "cannot be reached or has no schema");
	if (column_int(row, "version") < service->schema_version)
		return not_ready(request, "schema",
		                 "migrations are missing: run arnova migrate");
	return reply_json(
		200, arena_printf(request->arena,
	                          "{\"status\":\"ready\",\"service\":\"%s\",\"schema\":%d}",
	                          service->name, service->schema_version));
}

/* clang-format off */
static const struct route house_routes[] = {
	{GET, "/health/",          ANYONE, .handler = show_health},
	{GET, "/health/ready/",    ANYONE, .handler = show_readiness},
	{GET, "/health/:service/", ANYONE, .handler = show_health},
};
/* clang-format on */

static const struct service_definition house = {"house", house_routes, COUNT(house_routes), 0};

/* ---- What came in ---- */

static int64_t now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static const char *variable(struct request *request, const char *name)
{
	const char *value = fcgi_variable(name);

	return value ? arena_copy(request->arena, value, strlen(value)) : "";
}

static bool is_plain(const char *text, size_t min, size_t max)
{
	size_t size = strlen(text);

	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return size >= min && size <= max;
}

static const char *request_id(struct request *request)
{
	const char *id = variable(request, "HTTP_X_REQUEST_ID");

	return is_plain(id, 1, 128) ? id : random_hex(request->arena, 16);
}

/* W3C Trace Context, version 00. */
static const char *traceparent(struct request *request)
{
	const char *given = variable(request, "HTTP_TRACEPARENT");

	if (strlen(given) == 55 && !strncmp(given, "00-", 3) && is_plain(given, 55, 55))
		return given;
	return arena_printf(request->arena, "00-%s-%s-00", random_hex(request->arena, 16),
	                    random_hex(request->arena, 8));
}

/* The peer, or the nearest address that a proxy of TRUSTED_PROXIES reports. */
static const char *client_address(struct request *request)
{
	const char *trusted = setting("TRUSTED_PROXIES", "");
	const char *address = variable(request, "REMOTE_ADDR");
	char *chain = (char *)variable(request, "HTTP_X_FORWARDED_FOR");

	while (*chain) {
		size_t size = strlen(address);
		const char *found = size ? strstr(trusted, address) : NULL;

		if (!found || (found > trusted && found[-1] != ',') ||
		    (found[size] && found[size] != ','))
			break;

		char *comma = strrchr(chain, ',');

		address = comma ? comma + 1 + strspn(comma + 1, " ") : chain;
		*(comma ? comma : chain) = '\0';
	}
	return address;
}

/* For links in lists: what the client called us, if that is a host's name. */
static const char *origin(struct request *request)
{
	const char *host = variable(request, "HTTP_HOST");
	const char *scheme = variable(request, "REQUEST_SCHEME");

	if (!*host || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "0123456789.-:[]") != strlen(host))
		return "";
	if (strcmp(scheme, "https") != 0)
		scheme = strcasecmp(variable(request, "HTTPS"), "on") ? "http" : "https";
	return arena_printf(request->arena, "%s://%s", scheme, host);
}

static void begin_request(struct request *request)
{
	struct private *private = request->private;

	private->started_us = now_us(CLOCK_MONOTONIC);
	private->deadline_us = private->started_us + DEADLINE_MS * 1000;
	private->headers.arena = request->arena;
	request->failure = &private->failure;
	request->id = request_id(request);
	request->client = client_address(request);
	request->path = "";
	request->body = "";
	request->caller.family = "";
	private->traceparent = traceparent(request);
	private->origin = origin(request);

	const char *uri = variable(request, "REQUEST_URI");

	private->query = strchr(uri, '?') ? strchr(uri, '?') + 1 : "";
}

static bool refuse(struct request *request, struct reply *reply, const char *code)
{
	*reply = problem(request, code);
	return false;
}

static bool read_body(struct request *request, struct reply *reply)
{
	const char *length = variable(request, "CONTENT_LENGTH");

	if (!*length)
		return true;
	if (strspn(length, "0123456789") != strlen(length))
		return refuse(request, reply, "parse_error");

	unsigned long size = strlen(length) < 10 ? strtoul(length, NULL, 10) : LIMIT_BODY + 1;

	if (size > LIMIT_BODY)
		return refuse(request, reply, "too_large");

	char *body = arena_alloc(request->arena, size + 1);

	if (size && fcgi_read(body, size) != (long)size)
		return refuse(request, reply, "parse_error");
	request->body = body;
	request->body_size = size;
	return true;
}

/* ---- From the request to its route ---- */

static unsigned methods_allowed(unsigned allowed, struct request *request)
{
	struct text text = {.arena = request->arena};

	for (unsigned method = GET; method <= DELETE; method++)
		if (allowed >> method & 1)
			text_printf(&text, "%s%s", method_name(method),
			            method == GET ? ", HEAD, " : ", ");
	text_printf(&text, "OPTIONS");
	reply_header(request, "Allow", "%s", text.bytes);
	return allowed;
}

static enum method method_of(const char *name)
{
	if (!strcmp(name, "HEAD"))
		return GET;
	for (enum method method = GET; method <= DELETE; method++)
		if (!strcmp(name, method_name(method)))
			return method;
	return 0;
}

static const struct route *find(struct request *request, struct reply *reply)
{
	const char *method = variable(request, "REQUEST_METHOD");
	const struct route *route = NULL;
	unsigned allowed = 0, allowed_by_house = 0;
	struct params *params = &request->private->params;
	const char *path = path_normalise(request->arena, variable(request, "REQUEST_URI"));

	request->method = method_of(method);
	if (path) {
		request->path = path;
		route = route_find(service, request->arena, request->method, path, params,
		                   &allowed);
	}
	if (path && !route)
		route = route_find(&house, request->arena, request->method, path, params,
		                   &allowed_by_house);
	if (route)
		return route;
	allowed |= allowed_by_house;
	if (!allowed) {
		refuse(request, reply, "not_found");
		return NULL;
	}
	methods_allowed(allowed, request);
	*reply = strcmp(method, "OPTIONS") ? problem(request, "method_not_allowed")
	                                   : reply_empty(204);
	return NULL;
}

/* Whether the client takes JSON; a missing Accept header takes everything. */
static bool accepts_json(struct request *request)
{
	const char *accept = header(request, "Accept");

	return !accept || !*accept || strstr(accept, "*/*") ||
	       strstr(accept, "application/*") || strstr(accept, "application/json") ||
	       strstr(accept, "application/problem+json");
}

static bool is_json_type(const char *type)
{
	const char *rest = type + 16;

	return !strncasecmp(type, "application/json", 16) &&
	       (!*rest || *rest == ';' || *rest == ' ');
}

static bool read_json(struct request *request, const struct route *route, struct errors *errors,
                      struct reply *reply)
{
	bool empty = !request->body_size; /* stands for {}: actions may come without a body */
	struct json *json;

	if (!empty && !is_json_type(variable(request, "CONTENT_TYPE")))
		return refuse(request, reply, "unsupported_media_type");
	json = json_parse(request->arena, empty ? "{}" : request->body,
	                  empty ? 2 : request->body_size);
	if (!json)
		return refuse(request, reply, "parse_error");
	if ((!strcmp(service->name, "orders") || !strcmp(service->name, "payments")) &&
	    holds_card_number(json))
		return refuse(request, reply, "card_number_refused");
	shape_check_body(request->arena, route->accepts, json, &request->private->params,
	                 errors);
	return true;
}

static bool check_shape(struct request *request, const struct route *route, struct reply *reply)
{
	struct errors errors = {.text.arena = request->arena};

	if (route->flags & RAW || !route->accepts)
		return true;
	if (request->method == GET || request->method == DELETE)
		shape_check_query(request->arena, route->accepts, request->private->query,
		                  &request->private->params, &errors);
	else if (!read_json(request, route, &errors, reply))
		return false;
	if (!errors.count)
		return true;
	*reply = problem_errors(request, &errors);
	return false;
}

/* Parameters that every query may use; those of a request that has no list or body are null. */
static void declare_parameters(struct request *request)
{
	static const char *const absent[] = {"body", "limit", "offset", "page", "page_size"};

	for (size_t i = 0; i < COUNT(absent); i++)
		if (!params_find(&request->private->params, absent[i]))
			set_param(request, absent[i], NULL);
	/* A filter of that name must never pass for the caller. */
	set_param(request, "asked_user_id",
	          params_find(&request->private->params, "user_id") ? param(request, "user_id")
	                                                            : NULL);
	set_param(request, "user_id", NULL);
	if (request->caller.user_id)
		set_param_int(request, "user_id", request->caller.user_id);
	set_param(request, "is_staff", request->caller.access & STAFF ? "true" : "false");
	set_param(request, "is_service", request->caller.access & SERVICE ? "true" : "false");
	set_param(request, "request_id", request->id);
	set_param(request, "client", request->client);
	set_param(request, "currency",
	          params_find(&request->private->params, "currency") &&
	                          param(request, "currency")
	                  ? param(request, "currency")
	                  : setting("CURRENCY", "USD"));
}

/* A sibling says how much of the client's patience is left. */
static void set_deadline(struct request *request, const struct route *route)
{
	long limit = route->flags & LONG ? DEADLINE_LONG_MS : DEADLINE_MS;
	const char *given =
		request->caller.access & SERVICE ? header(request, "X-Deadline-Ms") : NULL;
	long left = given ? strtol(given, NULL, 10) : limit;

	request->private->deadline_us =
		request->private->started_us + (left > 0 && left < limit ? left : limit) * 1000;
}

/* nginx tells when the request arrived ($msec); whoever has waited past the deadline in its
 * queue is refused rather than served in vain.  lighttpd has no such variable. */
static bool waited_too_long(struct request *request)
{
	const char *arrived = variable(request, "ARRIVED");
	double waited =
		*arrived ? (double)now_us(CLOCK_REALTIME) / 1e6 - strtod(arrived, NULL) : 0;

	return waited * 1000 > DEADLINE_MS;
}

/* ---- From the route to the reply ---- */

static struct reply call_once(struct request *request, const struct route *route)
{
	if (route->handler)
		return route->handler(request);
	if (route->show)
		return write_then_show(request, route->query, route->show);
	return answer(request, route->query);
}

static struct reply call_handler(struct request *request, const struct route *route)
{
	struct reply reply = call_once(request, route);

	if (reply.status < 400 || !db_worth_another_run())
		return reply;
	/* A deadlock or serialisation failure before anything was kept: once more. */
	db_rollback();
	db_begin_request(request->method != GET);
	request->private->headers.size = 0;
	return call_once(request, route);
}

static struct reply run_route(struct request *request, const struct route *route)
{
	struct reply reply;

	db_begin_request(request->method != GET);
	if (!idempotency_begin(request, route, &reply)) {
		db_rollback();
		return reply;
	}
	reply = call_handler(request, route);
	if (reply.status >= 400)
		db_rollback();
	db_want_transaction(true);
	reply = idempotency_end(request, reply);
	if (db_in_transaction() && !commit(request))
		reply = *request->failure;
	db_rollback();
	idempotency_release(request);
	return reply;
}

static struct reply respond(struct request *request)
{
	struct reply reply;
	const struct route *route;

	if (!read_body(request, &reply))
		return reply;
	route = find(request, &reply);
	if (!route)
		return reply;
	if (fcgi_header_twice())
		return problem(request, "parse_error");
	if (waited_too_long(request))
		return problem(request, "upstream_unavailable");
	if (!authenticate(request, &reply) || !authorise(request, route, &reply))
		return reply;
	if (!accepts_json(request))
		return problem(request, "not_acceptable");
	set_deadline(request, route);
	if (!check_shape(request, route, &reply))
		return reply;
	declare_parameters(request);
	return run_route(request, route);
}

/* ---- The reply on its way out ---- */

static const char *cache_control(const struct request *request, const struct reply *reply)
{
	bool is_public = request->method == GET && reply->status == 200 &&
	                 !request->caller.access &&
	                 !strncmp(request->path, "/api/v1/products/", 17);

	return is_public ? "public, max-age=1" : "no-store";
}

static void send_reply(struct request *request, const struct reply *reply)
{
	struct text head = {.arena = request->arena};
	size_t size = reply->body ? strlen(reply->body) : 0;

	text_printf(&head, "Status: %d\r\n", reply->status);
	if (reply->body)
		text_printf(&head, "Content-Type: application/%s; charset=utf-8\r\n",
		            reply->status < 400 ? "json" : "problem+json");
	if (reply->status != 204)
		text_printf(&head, "Content-Length: %zu\r\n", size);
	text_printf(&head,
	            "X-Request-ID: %s\r\ntraceparent: %s\r\nCache-Control: %s\r\n"
	            "Vary: Authorization\r\nX-Content-Type-Options: nosniff\r\n"
	            "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
	            request->id, request->private->traceparent, cache_control(request, reply));
	if (request->private->headers.size)
		text_add(&head, request->private->headers.bytes,
		         request->private->headers.size);
	text_printf(&head, "\r\n");
	fcgi_write(head.bytes, head.size);
	if (size && strcmp(variable(request, "REQUEST_METHOD"), "HEAD") != 0)
		fcgi_write(reply->body, size);
}

static void log_request(struct request *request, const struct reply *reply)
{
	struct arena *arena = request->arena;
	long long took = (now_us(CLOCK_MONOTONIC) - request->private->started_us) * 1000;

	log_event(
		reply->status < 500 ? "info" : "error", "request",
		"\"event.dataset\":\"%s.access\",\"http.request.method\":%s,\"url.path\":%s,"
		"\"http.response.status_code\":%d,\"event.duration\":%lld,\"event.outcome\":\"%s\","
		"\"http.request.id\":%s,\"trace.id\":\"%.32s\",\"client.ip\":%s,\"user.id\":\"%lld\"",
		service->name, json_quote(arena, variable(request, "REQUEST_METHOD")),
		json_quote(arena, request->path), reply->status, took,
		reply->status < 400 ? "success" : "failure", json_quote(arena, request->id),
		request->private->traceparent + 3, json_quote(arena, request->client),
		(long long)request->caller.user_id);
}

static void serve_one(struct arena *arena)
{
	struct request *request = arena_alloc(arena, sizeof(*request));

	request->arena = arena;
	request->private = arena_alloc(arena, sizeof(*request->private));
	begin_request(request);

	struct reply reply = respond(request);

	send_reply(request, &reply);
	log_request(request, &reply);
	fcgi_finish();
	arena_reset(arena);
}

/* ---- The program ---- */

static void print_routes(const struct service_definition *definition)
{
	for (size_t i = 0; i < definition->count; i++)
		printf("%s %s\n", method_name(definition->routes[i].method),
		       definition->routes[i].path);
}

static bool declares(const struct field *fields, const char *name)
{
	for (; fields && fields->name; fields++)
		if (!strcmp(fields->name, name))
			return true;
	return false;
}

static bool supplies(const struct route *route, const char *name)
{
	static const char *const always[] = {
		"user_id", "asked_user_id", "is_staff", "is_service", "request_id",
		"client",  "currency",      "body",     "limit",      "offset"};
	const char *in_path = strstr(route->path, name);

	for (size_t i = 0; i < COUNT(always); i++)
		if (!strcmp(always[i], name))
			return true;
	if (in_path && in_path[-1] == ':' && in_path[strlen(name)] == '/')
		return true;
	return declares(route->accepts, name);
}

/* A typo in SQL or in a table stops the program at its start, not in production.  What `show`
 * reads may come from the row that was written, which only a run can tell. */
static void check_table(void)
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

int serve(const struct service_definition *definition, int argc, char **argv)
{
	struct arena *arena;

	service = definition;
	check_table();
	if (argc == 2 && !strcmp(argv[1], "--routes")) {
		print_routes(definition);
		print_routes(&house);
		return 0;
	}
	settings_load();
	log_name(definition->name);
	auth_configure();
	token_configure(!strcmp(definition->name, "users"));
	remote_configure();
	if (!currency_find(setting("CURRENCY", "USD")))
		die("could not start: CURRENCY is not a currency that can be charged");
	if (definition->settings_fault && definition->settings_fault())
		die("could not start: %s", definition->settings_fault());
	db_use(definition->name);
	arena = arena_new();
	while (fcgi_accept())
		serve_one(arena);
	db_close();
	arena_destroy(arena);
	return 0;
}
