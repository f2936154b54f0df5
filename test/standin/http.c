/* http.c: the requests of one connection, HTTP/1.1. */
#include "standin.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEAD_MAX (64 * 1024)
#define HANG_STEP 100

struct connection {
	int socket;
	uint64_t number;
	struct text in; /* read and not yet used */
	bool doomed;    /* the next request on it is cut, as if it had been idle too long */
};

/* ---- Reading ---- */

static bool read_more(struct connection *connection)
{
	char bytes[16 * 1024];
	ssize_t length;

	do
		length = recv(connection->socket, bytes, sizeof(bytes), 0);
	while (length < 0 && errno == EINTR);
	if (length <= 0)
		return false;
	text_add(&connection->in, bytes, (size_t)length);
	return true;
}

static void use_up(struct text *in, size_t length)
{
	memmove(in->bytes, in->bytes + length, in->length - length + 1);
	in->length -= length;
}

/* Length of the head with its empty line; 0: no more comes, or it is too long. */
static size_t read_head(struct connection *connection)
{
	for (;;) {
		const char *end =
			connection->in.length ? strstr(connection->in.bytes, "\r\n\r\n") : NULL;

		if (end)
			return (size_t)(end - connection->in.bytes) + 4;
		if (connection->in.length > HEAD_MAX || !read_more(connection))
			return 0;
	}
}

static bool write_all(int to, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = send(to, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		bytes += sent;
		length -= (size_t)sent;
	}
	return true;
}

static bool read_body(struct connection *connection, struct request *request, size_t length)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (request->expects_continue && connection->in.length < length &&
	    !write_all(connection->socket, go_on, sizeof(go_on) - 1))
		return false;
	while (connection->in.length < length)
		if (!read_more(connection))
			return false;
	request->body = take(length + 1);
	request->body_length = length;
	if (length) {
		memcpy(request->body, connection->in.bytes, length);
		use_up(&connection->in, length);
	}
	return true;
}

/* ---- Writing ---- */

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {{200, "OK"},
	               {400, "Bad Request"},
	               {401, "Unauthorized"},
	               {402, "Payment Required"},
	               {404, "Not Found"},
	               {409, "Conflict"},
	               {411, "Length Required"},
	               {413, "Content Too Large"},
	               {429, "Too Many Requests"},
	               {500, "Internal Server Error"},
	               {502, "Bad Gateway"},
	               {503, "Service Unavailable"}};

	for (size_t i = 0; i < COUNT(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Status";
}

static void write_head(struct text *out, const struct request *request,
                       const struct answer *answer)
{
	text_printf(out, "HTTP/1.1 %d %s\r\nServer: stripe-standin\r\n", answer->status,
	            reason(answer->status));
	text_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
	            answer->content_type ? answer->content_type : "application/json",
	            answer->ending == HALF_BODY ? answer->length * 2 + 1 : answer->length);
	if (*request->id)
		text_printf(out, "Request-Id: %s\r\n", request->id);
	if (*request->id && request->stripe_version)
		text_printf(out, "Stripe-Version: %s\r\n", request->stripe_version);
	if (request->idempotency_key && strcmp(request->method, "POST") == 0)
		text_printf(out, "Idempotency-Key: %s\r\n", request->idempotency_key);
	if (*answer->should_retry)
		text_printf(out, "Stripe-Should-Retry: %s\r\n", answer->should_retry);
	if (answer->headers.length)
		text_add(out, answer->headers.bytes, answer->headers.length);
	if (!request->keep_alive)
		text_printf(out, "Connection: close\r\n");
}

static void reset_connection(int socket)
{
	const struct linger now = {1, 0};

	setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Until the caller gives up, or the time is over. */
static void hang(const struct connection *connection, int64_t milliseconds)
{
	struct pollfd caller = {.fd = connection->socket, .events = POLLRDHUP};

	for (int64_t left = milliseconds; left > 0 && !stopping(); left -= HANG_STEP)
		if (poll(&caller, 1, (int)(left < HANG_STEP ? left : HANG_STEP)) != 0)
			return;
}

/* False: the connection ends here. */
static bool write_answer(struct connection *connection, const struct request *request,
                         const struct answer *answer)
{
	struct text out = {0};
	bool whole = answer->ending == SEND;

	if (answer->ending == HANG)
		hang(connection, answer->hang_milliseconds);
	if (answer->ending == CUT || answer->ending == HANG) {
		reset_connection(connection->socket);
		return false;
	}
	write_head(&out, request, answer);
	if (answer->ending == HALF_HEADERS) {
		write_all(connection->socket, out.bytes, out.length / 2);
		free(out.bytes);
		return false;
	}
	text_add(&out, "\r\n", 2);
	if (answer->length)
		text_add(&out, answer->body, whole ? answer->length : answer->length / 2);
	whole = write_all(connection->socket, out.bytes, out.length) && whole;
	free(out.bytes);
	return whole && request->keep_alive;
}

/* ---- One connection ---- */

static void clear_request(struct request *request, struct answer *answer)
{
	free(request->method);
	free(request->path);
	free(request->query);
	free(request->authorization);
	free(request->content_type);
	free(request->idempotency_key);
	free(request->stripe_version);
	free(request->signature);
	free(request->body);
	form_clear(&request->form);
	free(answer->body);
	free(answer->headers.bytes);
}

static bool refuse_head(struct connection *connection, struct request *request,
                        struct answer *answer, int status)
{
	refuse(answer, &(struct error){status, NULL, NULL, NULL}, "%s", reason(status));
	request->keep_alive = false;
	return write_answer(connection, request, answer);
}

static bool serve_request(struct connection *connection, struct request *request,
                          struct answer *answer)
{
	size_t body_length = 0;
	size_t head_length = read_head(connection);

	if (!head_length)
		return false;
	connection_busy(connection->number, true);

	char *head = take(head_length + 1);

	memcpy(head, connection->in.bytes, head_length);
	use_up(&connection->in, head_length);

	int refused = parse_head(request, head, &body_length);

	free(head);
	if (refused)
		return refuse_head(connection, request, answer, refused);
	if (cut_unread(request, connection->doomed)) {
		reset_connection(connection->socket);
		return false;
	}
	if (!read_body(connection, request, body_length))
		return false;
	answer_request(request, answer);
	connection->doomed = connection->doomed || answer->last_here;
	return write_answer(connection, request, answer);
}

void serve_connection(int socket, uint64_t number)
{
	struct connection connection = {.socket = socket, .number = number};
	bool more = true;

	while (more && !stopping()) {
		struct request request = {.connection = number, .subject.amount = -1};
		struct answer answer = {0};

		more = serve_request(&connection, &request, &answer) && !refusing();
		connection_busy(number, false);
		clear_request(&request, &answer);
	}
	free(connection.in.bytes);
}
