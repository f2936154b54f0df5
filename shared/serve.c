/* serve.c: the life of a request, from the web server's hand-over to the log line. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "internal.h"

static const struct service_definition *service;

static bool refuse(struct request *request, struct reply *reply, const char *code)
{
	*reply = problem(request, code);
	return false;
}

/* What the client sent, for a message; "" where it is not all printable ASCII. */
static const char *printable(const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return "";
	return text;
}

/* ---- From the request to its route ---- */

static void tell_allowed(unsigned allowed, struct request *request)
{
	struct text text = {.arena = request->arena};

	for (unsigned method = GET; method <= DELETE; method++)
		if (allowed >> method & 1)
			text_printf(&text, "%s%s", method_name(method),
			            method == GET ? ", HEAD, " : ", ");
	text_printf(&text, "OPTIONS");
	reply_header(request, "Allow", "%s", text.bytes);
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
	const char *method = cgi_variable(request, "REQUEST_METHOD");
	const struct route *route = NULL;
	unsigned allowed = 0, allowed_by_house = 0;

	request->method = method_of(method);
	if (*request->path)
		route = route_find(service, request, &allowed);
	if (*request->path && !route)
		route = route_find(&house, request, &allowed_by_house);
	if (route)
		return route;
	allowed |= allowed_by_house;
	if (!allowed) {
		refuse(request, reply, "not_found");
		return NULL;
	}
	tell_allowed(allowed, request);
	if (strcmp(method, "OPTIONS") != 0)
		*reply = problem_saying(request, "method_not_allowed",
		                        arena_printf(request->arena,
		                                     "Method \"%s\" not allowed.",
		                                     printable(method)));
	else
		*reply = reply_empty(204);
	return NULL;
}

/* Parts of a query string go back in the Link header, into which a line break would let the
 * client write headers of his own. */
static bool is_query_string(const char *query)
{
	if (strlen(query) > LIMIT_QUERY)
		return false;
	for (; *query; query++)
		if ((unsigned char)*query <= ' ' || *query == 0x7f)
			return false;
	return true;
}

/* Whether one of an Accept header's ranges, up to its parameters, takes JSON. */
static bool range_takes_json(const char *range, size_t size)
{
	static const char *const ranges[] = {"*/*", "application/*", "application/json",
	                                     "application/problem+json"};

	for (size_t i = 0; i < COUNT(ranges); i++)
		if (strlen(ranges[i]) == size && !strncasecmp(range, ranges[i], size))
			return true;
	return false;
}

/* Whether the client takes JSON; a missing Accept header takes everything.  Weights are not
 * looked at: there is no choice of forms. */
static bool accepts_json(struct request *request)
{
	const char *accept = header(request, "Accept");

	if (!accept || !*accept)
		return true;
	while (*accept) {
		accept += strspn(accept, ", \t");
		if (range_takes_json(accept, strcspn(accept, ",; \t")))
			return true;
		accept += strcspn(accept, ",");
	}
	return false;
}

static bool is_json_type(const char *type)
{
	size_t size = strcspn(type, "; \t");

	return size == strlen("application/json") &&
	       !strncasecmp(type, "application/json", size);
}

/* What siblings say is not searched: it holds UUIDs, and the digits of some pass for card
 * numbers. */
static bool takes_no_cards(const struct request *request)
{
	return !(request->caller.access & SERVICE) &&
	       (!strcmp(service->name, "orders") || !strcmp(service->name, "payments"));
}

static bool refuse_type(struct request *request, struct reply *reply, const char *type)
{
	*reply = problem_saying(request, "unsupported_media_type",
	                        arena_printf(request->arena,
	                                     "Unsupported media type \"%s\" in request.",
	                                     printable(type)));
	return false;
}

static bool read_json(struct request *request, const struct route *route, struct errors *errors,
                      struct reply *reply)
{
	const char *type = cgi_variable(request, "CONTENT_TYPE");
	bool empty =
		!request->body_size && !*type; /* stands for {}: actions may have no body */
	struct json *json;

	if (!empty && !is_json_type(type))
		return refuse_type(request, reply, type);
	json = json_parse_any(request->arena, empty ? "{}" : request->body,
	                      empty ? 2 : request->body_size);
	if (!json)
		return refuse(request, reply, "parse_error");
	if (takes_no_cards(request) && holds_card_number(json))
		return refuse(request, reply, "card_number_refused");
	shape_check_body(request->arena, route->accepts, json, &request->private->params,
	                 errors);
	return true;
}

static bool check_shape(struct request *request, const struct route *route, struct reply *reply)
{
	struct errors errors = {.text.arena = request->arena};

	if (request->method == POST)
		errors.usual_currency = setting("CURRENCY", "USD");
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
	static const char *const absent[] = {"body", "page", "page_size", "cursor"};

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
	set_param(request, "shop_currency", setting("CURRENCY", "USD"));
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
	const char *arrived = cgi_variable(request, "ARRIVED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);

	double waited = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - strtod(arrived, NULL);

	return *arrived && waited * 1000 > DEADLINE_MS;
}

/* ---- From the route to the reply ---- */

static struct reply call_once(struct request *request, const struct route *route)
{
	struct reply refusal;

	if (!precondition_holds(request, &refusal))
		return refusal;
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

/* What a reply was to say that is not given after all: nothing is at its Location. */
static void forget_headers(struct request *request, size_t size)
{
	struct text *headers = &request->private->headers;

	if (!size)
		return;
	headers->size -= size;
	memmove(headers->bytes, headers->bytes + size, headers->size + 1);
}

/* Keeps what the handler did, and its reply for a retry; the reply, or why that failed. */
static struct reply keep(struct request *request, struct reply reply)
{
	size_t told = request->private->headers.size;
	struct reply kept;

	db_want_transaction(true);
	kept = idempotency_end(request, reply);
	if (db_in_transaction() && !commit(request))
		kept = *request->failure;
	if (reply.status < 400 && kept.status >= 400)
		forget_headers(request, told);
	return kept;
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
	reply = keep(request, reply);
	db_rollback();
	/* Of the key, and of work that was begun and failed. */
	if (request->private->holds_key || reply.status >= 500)
		db_release_locks();
	return reply;
}

static struct reply respond(struct request *request)
{
	struct reply reply;
	const struct route *route;
	const char *fault;

	fault = receive_body(request);
	if (fault)
		return problem(request, fault);
	route = find(request, &reply);
	if (!route)
		return reply;
	if (fcgi_header_twice() || !is_query_string(request->private->query))
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
	return validated(request, route, run_route(request, route));
}

static void serve_one(struct arena *arena)
{
	struct request *request = arena_alloc(arena, sizeof(*request));

	request->arena = arena;
	request->private = arena_alloc(arena, sizeof(*request->private));
	request->private->service = service;
	receive_head(request);

	struct reply reply = respond(request);

	send_reply(request, &reply);
	log_request(request, &reply);
	fcgi_finish();
	arena_reset(arena);
}

/* ---- The program ---- */

int serve(const struct service_definition *definition, int argc, char **argv)
{
	struct arena *arena;

	service = definition;
	/* Once set it stays: else glibc would raise it when the 19 MiB of the first password
	 * are freed, and keep such memory from then on. */
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	check_routes(definition);
	if (argc == 2 && !strcmp(argv[1], "--routes")) {
		print_routes(definition);
		print_routes(&house);
		return 0;
	}
	settings_load();
	log_name(definition->name);
	proxy_configure();
	auth_configure();
	token_configure(!strcmp(definition->name, "users"));
	remote_configure();
	if (!currency_find(setting("CURRENCY", "USD")))
		die("could not start: CURRENCY is not a currency that can be charged");
	if (definition->settings_fault && definition->settings_fault())
		die("could not start: %s", definition->settings_fault());
	arena = arena_new();
	if (!db_is_configured(arena, definition->name))
		die("could not start: no database is set for %s, by DATABASE_URL or otherwise",
		    definition->name);
	db_use(definition->name);
	state_configure(arena, definition->name);
	sessions_configure(arena);
	breakers_configure(arena);
	while (fcgi_accept())
		serve_one(arena);
	db_close();
	arena_destroy(arena);
	return 0;
}
