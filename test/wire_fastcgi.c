/* wire_fastcgi.c: the records of FastCGI 1.0, well or badly made. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define RECORD_MAX 65528
#define HEADER_SIZE 8

enum { BEGIN_REQUEST = 1, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT };

static void add_byte(struct bytes *out, long value)
{
	char byte = (char)value;

	bytes_add(out, &byte, 1);
}

/* Padding follows content alone: libfcgi loses count of what follows BEGIN_REQUEST or nothing.
 */
static void write_record(struct bytes *out, const struct message *message, long type,
                         const char *data, size_t size)
{
	const char zeros[256] = {0};
	long padding = size && type >= PARAMS ? message->padding : 0;
	const long header[HEADER_SIZE] = {
		1, type, message->id >> 8, message->id, (long)size >> 8, (long)size, padding};

	for (size_t i = 0; i < HEADER_SIZE; i++)
		add_byte(out, header[i]);
	bytes_add(out, data, size);
	bytes_add(out, zeros, (size_t)padding);
}

/* A stream in records; the empty one that ends it is the caller's. */
static void write_stream(struct bytes *out, const struct message *message, long type,
                         const struct bytes *stream)
{
	size_t step = message->chunk ? (size_t)message->chunk : RECORD_MAX;

	for (size_t at = 0, size; at < stream->size; at += size) {
		size = stream->size - at < step ? stream->size - at : step;
		write_record(out, message, type, stream->data + at, size);
	}
}

static void add_size(struct bytes *out, size_t size)
{
	if (size > 127)
		for (int shift = 24; shift; shift -= 8)
			add_byte(out, (long)(size >> shift | (shift == 24 ? 0x80 : 0)));
	add_byte(out, (long)size);
}

static void add_param(struct bytes *out, const struct message *message, const char *name,
                      const struct bytes *value)
{
	if (message->drop.size && !strcmp(message->drop.data, name))
		return;
	add_size(out, strlen(name));
	add_size(out, value->size);
	bytes_add(out, name, strlen(name));
	bytes_add(out, value->data, value->size);
}

static void add_text(struct bytes *out, const struct message *message, const char *name,
                     const char *value)
{
	struct bytes bytes = {0};

	bytes_add(&bytes, value, strlen(value));
	add_param(out, message, name, &bytes);
	bytes_clear(&bytes);
}

/* X-Name as HTTP_X_NAME; the two that CGI names otherwise as CONTENT_.... */
static void add_header(struct bytes *out, const struct message *message,
                       const struct piece *header)
{
	struct bytes name = {0};

	bytes_print(&name, "HTTP_");
	bytes_add(&name, header->name.data, header->name.size);
	for (char *c = name.data; *c; c++) {
		if (*c == '-')
			*c = '_';
		else if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	}
	add_param(out, message,
	          strncmp(name.data, "HTTP_CONTENT_", 13) ? name.data : name.data + 5,
	          &header->value);
	bytes_clear(&name);
}

static void add_length(struct bytes *out, const struct message *message)
{
	char length[32];

	snprintf(length, sizeof(length), "%zu", message->body.size);
	if (message->has_length && message->length.size)
		add_param(out, message, "CONTENT_LENGTH", &message->length);
	else if (!message->has_length && (message->has_body || message->body.size))
		add_text(out, message, "CONTENT_LENGTH", length);
}

static void add_params(struct bytes *out, const struct message *message)
{
	const char *query = strchr(message->target.data, '?');

	add_text(out, message, "REQUEST_METHOD", message->method.data);
	add_param(out, message, "REQUEST_URI", &message->target);
	add_text(out, message, "QUERY_STRING", query ? query + 1 : "");
	add_text(out, message, "REMOTE_ADDR", "127.0.0.1");
	add_text(out, message, "SERVER_PROTOCOL", "HTTP/1.1");
	add_text(out, message, "HTTP_HOST", "127.0.0.1");
	add_length(out, message);
	for (size_t i = 0; i < message->header_count; i++)
		if (strcmp(message->headers[i].name.data, "Host") != 0)
			add_header(out, message, &message->headers[i]);
	for (size_t i = 0; i < message->param_count; i++)
		add_param(out, message, message->params[i].name.data,
		          &message->params[i].value);
	for (long i = 0; i < message->many; i++) {
		char name[64];

		snprintf(name, sizeof(name), "HTTP_X_MANY_%ld", i);
		add_text(out, message, name, "x");
	}
}

void fastcgi_write(struct bytes *out, const struct message *message)
{
	const char begin[8] = {(char)(message->role >> 8), (char)message->role};
	struct bytes params = {0};

	add_params(&params, message);
	if (message->type)
		write_record(out, message, message->type, "stranger", 8);
	write_record(out, message, BEGIN_REQUEST, begin, sizeof(begin));
	write_stream(out, message, PARAMS, &params);
	write_record(out, message, PARAMS, "", 0);
	write_stream(out, message, STDIN, &message->body);
	if (message->aborted)
		write_record(out, message, ABORT_REQUEST, "", 0);
	else if (!message->endless)
		write_record(out, message, STDIN, "", 0);
	bytes_clear(&params);
}

void fastcgi_read(const struct bytes *in, struct bytes *out)
{
	for (size_t at = 0; at + HEADER_SIZE <= in->size;) {
		const unsigned char *record = (const unsigned char *)in->data + at;
		size_t size = (size_t)record[4] << 8 | record[5];

		at += HEADER_SIZE;
		if (record[1] == STDOUT && at + size <= in->size)
			bytes_add(out, in->data + at, size);
		at += size + record[6];
	}
}
