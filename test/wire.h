/* wire.h: one request, sent as HTTP or as FastCGI, however odd it is; and its answer. */
#ifndef ARNOVA_WIRE_H
#define ARNOVA_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#define PIECES 64 /* headers, or parameters, of a request at most */

struct bytes {
	char *data; /* always ends with a NUL that does not count */
	size_t size, room;
};
void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_print(struct bytes *bytes, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bytes_clear(struct bytes *bytes);

struct piece {
	struct bytes name, value;
};

struct message {
	struct bytes method, target, body;
	struct piece headers[PIECES], params[PIECES]; /* params: FastCGI alone */
	size_t header_count, param_count;
	struct bytes line; /* a whole header line, as HTTP has it */
	struct bytes drop; /* the FastCGI parameter that is left out */
	bool has_body;
	bool raw; /* the body is all that is sent */

	bool has_length;     /* length instead of the right one: */
	struct bytes length; /* of the Content-Length; empty: none */
	bool chunked;        /* HTTP: as Transfer-Encoding says */
	long many;           /* so many headers more */

	long role, id, chunk, padding; /* FastCGI: of the records */
	long type;                     /* FastCGI: a record of this type comes first */
	bool aborted; /* FastCGI: ABORT_REQUEST instead of the end of the body */
	bool endless; /* FastCGI: without the end of the body */
	long cut;     /* so many bytes are sent, then the line is cut; < 0: all */
	long pause;   /* milliseconds between 16 parts of what is sent */
};

/* ---- wire_case.c: a request as a line of text (see fastcgi_client.c). ---- */

/* METHOD TARGET | words | body.  The defaults are headers, and end with NULL. */
void message_read(struct message *message, const char *request, char *const *defaults,
                  long number);
void message_clear(struct message *message);
bool message_header(const struct message *message, const char *name); /* whether it is there */

void set_text(struct bytes *out, const char *text, const char *end); /* without the escapes */
/* The end of a field; *next: the one behind its bar, or NULL. */
const char *field_end(const char *field, const char **next);

/* ---- wire.c ---- */

struct answer {
	int status; /* 0: none came */
	struct bytes head, body;
	bool twice; /* there was more than one */
};

/* The address is HOST:PORT for HTTP, or for FastCGI the path of a socket, or of the folder with
 * those of all services, which ends with a slash. */
void exchange(const char *address, const struct message *message, struct answer *answer);

/* ---- wire_fastcgi.c ---- */

/* The request as FastCGI records, and the answer that is in some. */
void fastcgi_write(struct bytes *out, const struct message *message);
void fastcgi_read(const struct bytes *in, struct bytes *out);

#endif
