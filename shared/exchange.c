/* exchange.c: a request as the web server hands it over, and its reply on the way back. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "internal.h"

/* ---- What came in ---- */

int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const char *cgi_variable(struct request *request, const char *name)
{
	const char *value = fcgi_variable(request->arena, name);

	return value ? value : "";
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
	const char *id = cgi_variable(request, "HTTP_X_REQUEST_ID");

	return is_plain(id, 1, 128) ? id : random_hex(request->arena, 16);
}

/* W3C Trace Context, version 00: 00-TRACE-PARENT-FLAGS, neither of the first two all zeros. */
static bool is_traceparent(const char *text)
{
	static const char form[] = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";

	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'h' ? !strchr("0123456789abcdef", text[i]) : text[i] != form[i])
			return false;
	return strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16;
}

static const char *traceparent(struct request *request)
{
	const char *given = cgi_variable(request, "HTTP_TRACEPARENT");

	if (is_traceparent(given))
		return given;
	return arena_printf(request->arena, "00-%s-%s-00", random_hex(request->arena, 16),
	                    random_hex(request->arena, 8));
}

/* How the client reached the server that hands over: "http" or "https". */
static const char *scheme_here(struct request *request)
{
	if (!strcmp(cgi_variable(request, "REQUEST_SCHEME"), "https") ||
	    !strcasecmp(cgi_variable(request, "HTTPS"), "on"))
		return "https";
	return "http";
}

/* For links in lists: what the client called us, if that is a host's name. */
static const char *origin(struct request *request)
{
	const char *host = cgi_variable(request, "HTTP_HOST");
	const char *scheme = proxy_scheme(cgi_variable(request, "REMOTE_ADDR"),
	                                  cgi_variable(request, "HTTP_X_FORWARDED_PROTO"),
	                                  scheme_here(request));

	if (!*host || strlen(host) > LIMIT_HOST ||
	    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                 "0123456789.-:[]") != strlen(host))
		return "";
	return arena_printf(request->arena, "%s://%s", scheme, host);
}

void receive_head(struct request *request)
{
	struct private *private = request->private;

	private->started_us = now_us();
	private->deadline_us = private->started_us + DEADLINE_MS * 1000;
	private->headers.arena = request->arena;
	request->failure = &private->failure;
	request->id = request_id(request);
	request->client = proxy_client(request->arena, cgi_variable(request, "REMOTE_ADDR"),
	                               cgi_variable(request, "HTTP_X_FORWARDED_FOR"));
	request->body = "";
	request->caller.family = "";
	private->traceparent = traceparent(request);
	private->origin = origin(request);

	const char *uri = cgi_variable(request, "REQUEST_URI");
	const char *path = path_normalise(request->arena, uri);

	request->path = path ? path : "";
	private->query = strchr(uri, '?') ? strchr(uri, '?') + 1 : "";
}

const char *receive_body(struct request *request)
{
	const char *length = cgi_variable(request, "CONTENT_LENGTH");

	if (!*length)
		return NULL;
	if (strspn(length, "0123456789") != strlen(length))
		return "parse_error";

	unsigned long size = strlen(length) < 10 ? strtoul(length, NULL, 10) : LIMIT_BODY + 1;

	if (size > LIMIT_BODY)
		return "too_large";

	char *body = arena_alloc(request->arena, size + 1);

	if (size && fcgi_read(body, size) != (long)size)
		return "parse_error";
	request->body = body;
	request->body_size = size;
	return NULL;
}

/* ---- What goes out ---- */

static const char *cache_control(const struct request *request, const struct reply *reply)
{
	bool is_read = request->method == GET && !request->caller.access &&
	               (reply->status == 200 || reply->status == 304);
	bool is_public = is_read && (!strncmp(request->path, "/api/v1/products/", 17) ||
	                             !strcmp(request->path, "/api/v1/auth/jwks.json/"));

	return is_public ? "public, max-age=1" : "no-store";
}

/* RFC 9110 section 15. */
static const char *reason(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{304, "Not Modified"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{402, "Payment Required"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{409, "Conflict"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{422, "Unprocessable Content"},
		{429, "Too Many Requests"},
		{500, "Internal Server Error"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < COUNT(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].phrase;
	return "Other";
}

void send_reply(struct request *request, const struct reply *reply)
{
	struct text head = {.arena = request->arena};
	size_t size = reply->body ? strlen(reply->body) : 0;

	text_printf(&head, "Status: %d %s\r\n", reply->status, reason(reply->status));
	if (reply->body)
		text_printf(&head, "Content-Type: application/%s; charset=utf-8\r\n",
		            reply->status < 400 ? "json" : "problem+json");
	if (reply->status != 204 && reply->status != 304)
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
	if (size && strcmp(cgi_variable(request, "REQUEST_METHOD"), "HEAD") != 0)
		fcgi_write(reply->body, size);
}

void log_request(struct request *request, const struct reply *reply)
{
	struct arena *arena = request->arena;
	long long took = (now_us() - request->private->started_us) * 1000;

	log_event(
		reply->status < 500 ? "info" : "error", "request",
		"\"event.dataset\":\"%s.access\",\"http.request.method\":%s,\"url.path\":%s,"
		"\"http.response.status_code\":%d,\"event.duration\":%lld,\"event.outcome\":\"%s\","
		"\"http.request.id\":%s,\"trace.id\":\"%.32s\",\"client.ip\":%s,\"user.id\":\"%lld\"",
		request->private->service->name,
		json_quote(arena, cgi_variable(request, "REQUEST_METHOD")),
		json_quote(arena, request->path), reply->status, took,
		reply->status < 400 ? "success" : "failure", json_quote(arena, request->id),
		request->private->traceparent + 3, json_quote(arena, request->client),
		(long long)request->caller.user_id);
}
