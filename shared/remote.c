/* remote.c: calls to siblings and to Stripe; the only file that knows libcurl. */
#include <assert.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"

enum {
	LIMIT_ANSWER = 2 * 1024 * 1024, /* bytes of an answer's body */
	LIMIT_URL = 2048,
	CONNECT_SIBLING_MS = 2000,
	CONNECT_OTHER_MS = 5000,
	MARGIN_MS = 50, /* kept back of a deadline, to answer within it */
};

/* One easy handle each, so that its connection is found again at the next call. */
struct callee {
	const char *name, *setting, *fallback;
	long limit_ms;
	const char *base; /* URL without a slash at its end */
	CURL *curl;
};

/* clang-format off */
static struct callee siblings[SERVICES] = {
	[PRODUCTS] = {"products", "PRODUCTS_SERVICE_URL", "http://127.0.0.1:8001", 10000},
	[ORDERS]   = {"orders",   "ORDERS_SERVICE_URL",   "http://127.0.0.1:8002", 10000},
	[USERS]    = {"users",    "USERS_SERVICE_URL",    "http://127.0.0.1:8003", 10000},
	[CART]     = {"cart",     "CART_SERVICE_URL",     "http://127.0.0.1:8004", 10000},
	[PAYMENTS] = {"payments", "PAYMENTS_SERVICE_URL", "http://127.0.0.1:8005", 25000},
};
/* clang-format on */

static struct callee other = {.name = "other"};
static char authorization[512];

static CURL *new_handle(void)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		die("could not start libcurl: out of memory");
	return curl;
}

static void configure_sibling(struct callee *callee)
{
	const char *url = setting(callee->setting, callee->fallback);
	size_t size = strlen(url);

	while (size && url[size - 1] == '/')
		size--;
	if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
		die("could not use %s: not an http URL", callee->setting);
	if (size > LIMIT_URL / 2)
		die("could not use %s: longer than %d bytes", callee->setting, LIMIT_URL / 2);
	callee->base = strndup(url, size);
	callee->curl = new_handle();
	if (!callee->base)
		die("could not keep %s: out of memory", callee->setting);
}

/* The first token of the list is the one we show; siblings accept any of theirs. */
static void configure_token(void)
{
	const char *tokens = setting("SERVICE_TOKEN", "");
	size_t size = strcspn(tokens, ",");
	int length = snprintf(authorization, sizeof authorization, "Authorization: Bearer %.*s",
	                      (int)size, tokens);

	if (size < LIMIT_SECRET)
		die("could not use SERVICE_TOKEN: shorter than %d bytes", LIMIT_SECRET);
	if (length < 0 || (size_t)length >= sizeof authorization)
		die("could not use SERVICE_TOKEN: too long");
}

void remote_configure(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die("could not start libcurl: it gives no reason");
	for (size_t i = 0; i < SERVICES; i++)
		configure_sibling(&siblings[i]);
	other.curl = new_handle();
	configure_token();
}

long time_left(const struct request *request)
{
	int64_t left = (request->private->deadline_us - now_us()) / 1000;

	return left > 0 ? (long)left : 0;
}

long time_for_call(const struct request *request, long limit_ms)
{
	long left = time_left(request) - MARGIN_MS;

	return left < limit_ms ? left : limit_ms;
}

struct exchange {
	struct request *request;
	struct callee *callee;
	enum method method;
	const char *url;
	const char *body;
	struct curl_slist *headers;
	long limit_ms, connect_ms;
};

struct answer {
	struct text body;
	bool headers_complete;
	int requests; /* times that the request left */
};

static void free_headers(void *headers)
{
	curl_slist_free_all(headers);
}

static void add_header(struct exchange *exchange, const char *line)
{
	struct curl_slist *grown = curl_slist_append(exchange->headers, line);

	if (!grown)
		abort();
	if (!exchange->headers)
		arena_defer(exchange->request->arena, free_headers, grown);
	exchange->headers = grown;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
	struct text *body = context;

	if (size * count > LIMIT_ANSWER - body->size)
		return 0;
	text_add(body, bytes, size * count);
	return size * count;
}

/* libcurl takes an answer that ends among its headers for a whole one, so look for their end.
 */
static size_t take_header(const char *line, size_t size, size_t count, void *context)
{
	bool *complete = context;

	*complete = *line == '\r' || *line == '\n';
	return size * count;
}

/* libcurl sends a request again by itself, and tells nobody else, when a kept connection dies
 * before the first byte of the answer: the first may have been carried out all the same. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static int count_requests(CURL *curl, curl_infotype type, char *bytes, size_t size,
                          void *context)
{
	int *requests = context;

	(void)curl;
	(void)bytes;
	(void)size;
	if (type == CURLINFO_HEADER_OUT)
		++*requests;
	return 0;
}

static void set_method(const struct exchange *exchange)
{
	CURL *curl = exchange->callee->curl;
	const char *body = exchange->body ? exchange->body : "";

	if (exchange->method == GET) {
		curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
		return;
	}
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	if (exchange->method != POST)
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method_name(exchange->method));
}

static void set_options(const struct exchange *exchange, struct answer *answer)
{
	CURL *curl = exchange->callee->curl;

	curl_easy_reset(curl); /* keeps the connection */
	set_method(exchange);
	curl_easy_setopt(curl, CURLOPT_URL, exchange->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, exchange->headers);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, exchange->limit_ms);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, exchange->connect_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer->headers_complete);
	curl_easy_setopt(curl, CURLOPT_VERBOSE, 1L); /* for count_requests() */
	curl_easy_setopt(curl, CURLOPT_DEBUGFUNCTION, count_requests);
	curl_easy_setopt(curl, CURLOPT_DEBUGDATA, &answer->requests);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* not even one that the environment names */
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	/* One request a connection: what was sent and what was not can then be told apart. */
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "arnova/" ARNOVA_VERSION);
}

/* Anything but a whole answer is UNKNOWN as soon as one byte of a request may have left, even
 * "could not connect": libcurl sends again by itself when a kept connection turns out dead. */
static enum outcome classify(CURL *curl, CURLcode code, const struct answer *answer)
{
	long sent = 0;

	if (code == CURLE_OK)
		return answer->headers_complete ? ANSWERED : UNKNOWN;
	curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &sent);
	if (sent > 0)
		return UNKNOWN;
	switch (code) {
	case CURLE_FAILED_INIT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_ENGINE_NOTFOUND:
	case CURLE_SSL_ENGINE_SETFAILED:
	case CURLE_SSL_ENGINE_INITFAILED:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_CLIENTCERT:
	case CURLE_INTERFACE_FAILED:
	case CURLE_NO_CONNECTION_AVAILABLE:
	case CURLE_OPERATION_TIMEDOUT: /* while connecting */
		return NOT_SENT;
	default:
		return UNKNOWN;
	}
}

static const char *answer_header(const struct exchange *exchange, const char *name)
{
	struct curl_header *found;

	if (curl_easy_header(exchange->callee->curl, name, 0, CURLH_HEADER, -1, &found) !=
	    CURLHE_OK)
		return NULL;
	return arena_copy(exchange->request->arena, found->value, strlen(found->value));
}

static void log_failure(const struct exchange *exchange, CURLcode code, enum outcome outcome)
{
	struct arena *arena = exchange->request->arena;

	log_event("warn", "could not call another service",
	          "\"destination.service.name\":%s,\"url.full\":%s,\"error.message\":%s,"
	          "\"event.outcome\":\"%s\",\"http.request.id\":%s",
	          json_quote(arena, exchange->callee->name), json_quote(arena, exchange->url),
	          json_quote(arena, curl_easy_strerror(code)),
	          outcome == NOT_SENT ? "failure" : "unknown",
	          json_quote(arena, exchange->request->id));
}

static struct response exchange_once(const struct exchange *exchange)
{
	CURL *curl = exchange->callee->curl;
	struct arena *arena = exchange->request->arena;
	struct answer answer = {.body.arena = arena};
	struct response response = {.outcome = NOT_SENT, .body = ""};
	long status = 0;

	assert(!db_in_transaction());
	if (exchange->limit_ms <= 0)
		return response;
	set_options(exchange, &answer);
	db_called_outside();

	CURLcode code = curl_easy_perform(curl);

	response.outcome = classify(curl, code, &answer);
	response.repeated = answer.requests > 1;
	response.request_id = answer_header(exchange, "Request-Id");
	if (response.outcome != ANSWERED) {
		log_failure(exchange, code, response.outcome);
		return response;
	}
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	response.status = (int)status;
	response.should_retry = answer_header(exchange, "Stripe-Should-Retry");
	response.replayed = answer_header(exchange, "Idempotent-Replayed") != NULL;
	if (answer.body.size) {
		response.body = answer.body.bytes;
		response.json = json_parse(arena, answer.body.bytes, answer.body.size);
	}
	return response;
}

struct response call(struct request *request, const struct call *call)
{
	struct exchange exchange = {
		.request = request,
		.callee = &other,
		.method = call->method,
		.url = call->url,
		.body = call->body,
		.limit_ms = time_for_call(request, call->timeout_ms),
		.connect_ms = CONNECT_OTHER_MS,
	};

	for (const char *const *line = call->headers; line && *line; line++)
		add_header(&exchange, *line);
	add_header(&exchange, "Expect:");
	return exchange_once(&exchange);
}

static void add_sibling_headers(struct exchange *exchange)
{
	struct request *request = exchange->request;
	struct arena *arena = request->arena;

	add_header(exchange, authorization);
	add_header(exchange, "Accept: application/json");
	add_header(exchange, "Expect:");
	add_header(exchange, arena_printf(arena, "X-Request-ID: %s", request->id));
	add_header(exchange, arena_printf(arena, "X-Deadline-Ms: %ld", exchange->limit_ms));
	if (request->private->traceparent)
		add_header(exchange, arena_printf(arena, "traceparent: %s",
		                                  request->private->traceparent));
	if (exchange->method != GET)
		add_header(exchange, "Content-Type: application/json");
}

struct response call_sibling(struct request *request, enum service service, enum method method,
                             const char *body, const char *path)
{
	struct callee *callee = &siblings[service];
	struct exchange exchange = {
		.request = request,
		.callee = callee,
		.method = method,
		.url = arena_printf(request->arena, "%s/internal/v1/%s", callee->base, path),
		.body = body,
		.limit_ms = time_for_call(request, callee->limit_ms),
		.connect_ms = CONNECT_SIBLING_MS,
	};

	assert(strlen(exchange.url) < LIMIT_URL);
	add_sibling_headers(&exchange);
	return exchange_once(&exchange);
}
