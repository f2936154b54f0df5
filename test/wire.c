/* wire.c: sends a request by TCP or to a Unix socket and takes the answer apart. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define PATIENCE_MS 20000
#define LINGER_MS 200 /* for a second answer */
#define PARTS 16      /* of a request that is sent slowly */

/* ---- Bytes ---- */

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
	if (!bytes->data || bytes->size + size + 1 > bytes->room) {
		bytes->room = (bytes->size + size + 1) * 2;
		bytes->data = realloc(bytes->data, bytes->room);
		if (!bytes->data)
			abort();
	}
	if (size)
		memcpy(bytes->data + bytes->size, data, size);
	bytes->size += size;
	bytes->data[bytes->size] = '\0';
}

void bytes_print(struct bytes *bytes, const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);

	int size = vsnprintf(text, sizeof(text), format, arguments);

	va_end(arguments);
	if (size < 0 || (size_t)size >= sizeof(text))
		abort();
	bytes_add(bytes, text, (size_t)size);
}

void bytes_clear(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){0};
}

/* ---- HTTP ---- */

bool message_header(const struct message *message, const char *name)
{
	for (size_t i = 0; i < message->header_count; i++)
		if (!strcasecmp(message->headers[i].name.data, name))
			return true;
	return false;
}

static void write_length(struct bytes *out, const struct message *message)
{
	bool wanted = message->body.size || strcmp(message->method.data, "GET") != 0;

	if (message->chunked)
		bytes_print(out, "Transfer-Encoding: chunked\r\n");
	if (message->has_length && message->length.size)
		bytes_print(out, "Content-Length: %s\r\n", message->length.data);
	else if (wanted && !message->has_length && !message->chunked &&
	         !message_header(message, "Content-Length"))
		bytes_print(out, "Content-Length: %zu\r\n", message->body.size);
}

static void write_chunked(struct bytes *out, const struct bytes *body)
{
	for (size_t at = 0, size; at < body->size; at += size) {
		size = body->size - at < 4000 ? body->size - at : 4000;
		bytes_print(out, "%zx\r\n", size);
		bytes_add(out, body->data + at, size);
		bytes_print(out, "\r\n");
	}
	bytes_print(out, "0\r\n\r\n");
}

static void http_write(struct bytes *out, const struct message *message, const char *address)
{
	bytes_add(out, message->method.data, message->method.size);
	bytes_print(out, " ");
	bytes_add(out, message->target.data, message->target.size);
	bytes_print(out, " HTTP/1.1\r\n");
	if (!message_header(message, "Host"))
		bytes_print(out, "Host: %s\r\n", address);
	bytes_print(out, "Connection: close\r\n");
	for (size_t i = 0; i < message->header_count; i++) {
		const struct piece *header = &message->headers[i];

		bytes_add(out, header->name.data, header->name.size);
		bytes_print(out, ": ");
		bytes_add(out, header->value.data, header->value.size);
		bytes_print(out, "\r\n");
	}
	for (long i = 0; i < message->many; i++)
		bytes_print(out, "X-Many-%ld: %ld\r\n", i, i);
	if (message->line.size) {
		bytes_add(out, message->line.data, message->line.size);
		bytes_print(out, "\r\n");
	}
	write_length(out, message);
	bytes_print(out, "\r\n");
	if (message->chunked)
		write_chunked(out, &message->body);
	else
		bytes_add(out, message->body.data, message->body.size);
}

/* ---- The line ---- */

/* The socket of the service whose path it is, by default of products. */
static void find_socket(struct sockaddr_un *socket, const char *folder, const char *target)
{
	static const char *const services[] = {"orders", "auth", "cart", "payments"};
	const char *found = "products";
	const char *name = target && !strncmp(target, "/api/v1/", 8) ? target + 8 : "";

	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (!strncmp(name, services[i], strlen(services[i])))
			found = services[i];
	if (!strcmp(found, "auth"))
		found = "users";
	snprintf(socket->sun_path, sizeof(socket->sun_path), "%s%s%s", folder,
	         folder[strlen(folder) - 1] == '/' ? found : "",
	         folder[strlen(folder) - 1] == '/' ? ".sock" : "");
}

static int connect_to(const char *address, const char *target)
{
	const char *colon = strchr(address, ':');
	struct sockaddr_un path = {.sun_family = AF_UNIX};
	struct sockaddr_in place = {.sin_family = AF_INET};
	struct sockaddr *to = (struct sockaddr *)&path;
	socklen_t size = sizeof(path);
	int line;

	if (*address == '/') {
		find_socket(&path, address, target);
	} else {
		char host[64];

		snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
		inet_pton(AF_INET, host, &place.sin_addr);
		place.sin_port = htons((unsigned short)strtoul(colon + 1, NULL, 10));
		to = (struct sockaddr *)&place;
		size = sizeof(place);
	}
	line = socket(to->sa_family, SOCK_STREAM, 0);
	if (line < 0 || connect(line, to, size) < 0) {
		fprintf(stderr, "could not connect to %s: %s\n", address, strerror(errno));
		exit(2);
	}
	return line;
}

/* False: the other side hung up. */
static bool send_all(int line, const char *data, size_t size)
{
	while (size) {
		ssize_t sent = send(line, data, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		data += sent;
		size -= (size_t)sent;
	}
	return true;
}

static void send_request(int line, const struct bytes *request, const struct message *message)
{
	struct timespec pause = {message->pause / 1000, message->pause % 1000 * 1000000};
	size_t size = request->size, step;

	if (message->cut >= 0 && (size_t)message->cut < size)
		size = (size_t)message->cut;
	step = message->pause ? size / PARTS + 1 : size;
	for (size_t at = 0; at < size; at += step) {
		if (!send_all(line, request->data + at, size - at < step ? size - at : step))
			return;
		if (message->pause)
			nanosleep(&pause, NULL);
	}
}

/* ---- The answer ---- */

static long length_of(const struct bytes *head)
{
	const char *found = head->data ? strcasestr(head->data, "\nContent-Length:") : NULL;

	return found ? strtol(found + 16, NULL, 10) : -1;
}

/* Whether an HTTP answer is complete, so that only a second one can follow. */
static bool is_whole(const struct bytes *in)
{
	const char *end = in->data ? strstr(in->data, "\r\n\r\n") : NULL;
	long length = length_of(in);

	return end && length >= 0 && in->size >= (size_t)(end + 4 - in->data) + (size_t)length;
}

static void receive_all(int line, struct bytes *in)
{
	struct pollfd poll_for = {.fd = line, .events = POLLIN};
	char part[16384];

	while (poll(&poll_for, 1, is_whole(in) ? LINGER_MS : PATIENCE_MS) > 0) {
		ssize_t got = recv(line, part, sizeof(part), 0);

		if (got <= 0)
			return;
		bytes_add(in, part, (size_t)got);
	}
}

static int status_of(const char *head)
{
	if (!strncmp(head, "HTTP/1.", 7) && strlen(head) > 9)
		return (int)strtol(head + 9, NULL, 10);
	if (!strncmp(head, "Status: ", 8))
		return (int)strtol(head + 8, NULL, 10);
	return 0;
}

static void take_apart(const struct bytes *in, const struct message *message,
                       struct answer *answer)
{
	const char *text = in->data ? in->data : "", *end = strstr(text, "\r\n\r\n");

	while (end && status_of(text) == 100) {
		text = end + 4;
		end = strstr(text, "\r\n\r\n");
	}
	if (!end)
		return;
	answer->status = status_of(text);
	bytes_add(&answer->head, text, (size_t)(end + 2 - text));
	end += 4;

	size_t left = in->size - (size_t)(end - in->data);
	long length = length_of(&answer->head);
	bool is_head = !message->raw && !strcmp(message->method.data, "HEAD");

	if (is_head || answer->status == 204 || answer->status == 304)
		length = 0;
	if (length >= 0 && (size_t)length < left) {
		answer->twice = true;
		left = (size_t)length;
	}
	bytes_add(&answer->body, end, left);
}

void exchange(const char *address, const struct message *message, struct answer *answer)
{
	struct bytes request = {0}, in = {0}, out = {0};
	bool fastcgi = *address == '/';
	int line = connect_to(address, message->target.data);

	*answer = (struct answer){0};
	if (message->raw)
		bytes_add(&request, message->body.data, message->body.size);
	else if (fastcgi)
		fastcgi_write(&request, message);
	else
		http_write(&request, message, address);
	send_request(line, &request, message);
	if (message->cut < 0)
		receive_all(line, &in);
	close(line);
	if (fastcgi)
		fastcgi_read(&in, &out);
	take_apart(fastcgi ? &out : &in, message, answer);
	bytes_clear(&request);
	bytes_clear(&in);
	bytes_clear(&out);
}
