/* wire_case.c: from a line of text, with its escapes, to a request. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "wire.h"

/* ---- Words with escapes ---- */

static const char *unescape(struct bytes *out, const char *text, const char *end);

static void give_up(const char *message, const char *text)
{
	fprintf(stderr, "%s: %s\n", message, text);
	exit(2);
}

/* 9{text} */
static const char *repeat(struct bytes *out, const char *text, const char *end)
{
	char *open;
	long times = strtol(text, &open, 10);
	const char *close = memchr(open, '}', (size_t)(end - open));

	if (*open != '{' || !close) {
		give_up("a repetition is \\*N{text}", text);
	}
	while (times-- > 0)
		unescape(out, open + 1, close);
	return close + 1;
}

static const char *unescape(struct bytes *out, const char *text, const char *end)
{
	static const char letters[] = "rnt0s\\", bytes[] = "\r\n\t\0 \\";

	while (text < end) {
		const char *letter = NULL;

		if (*text != '\\' || text + 1 == end) {
			bytes_add(out, text++, 1);
			continue;
		}
		text++;
		if (*text == '*') {
			text = repeat(out, text + 1, end);
		} else if (*text == 'x' && text + 2 < end) {
			const char hex[] = {text[1], text[2], '\0'};
			char byte = (char)strtol(hex, NULL, 16);

			bytes_add(out, &byte, 1);
			text += 3;
		} else if ((letter = strchr(letters, *text)) != NULL) {
			bytes_add(out, &bytes[letter - letters], 1);
			text++;
		} else {
			bytes_add(out, text - 1, 2); /* of JSON */
			text++;
		}
	}
	return end;
}

void set_text(struct bytes *out, const char *text, const char *end)
{
	bytes_clear(out);
	bytes_add(out, "", 0);
	unescape(out, text, end);
}

/* ---- From the line to the request ---- */

static void add_piece(struct piece *pieces, size_t *count, const char *text, const char *end,
                      char separator)
{
	const char *split = memchr(text, separator, (size_t)(end - text));

	if (!split || *count == PIECES) {
		give_up("no such piece", text);
	}
	set_text(&pieces[*count].name, text, split);
	split++;
	while (split < end && *split == ' ')
		split++;
	set_text(&pieces[*count].value, split, end);
	++*count;
}

/* A default header, with its %n. */
static void add_default(struct message *message, const char *header, long number)
{
	const char *counter = strstr(header, "%n");
	struct bytes text = {0};

	bytes_add(&text, header, counter ? (size_t)(counter - header) : strlen(header));
	if (counter)
		bytes_print(&text, "%ld-%ld%s", (long)time(NULL), number, counter + 2);
	add_piece(message->headers, &message->header_count, text.data, text.data + text.size,
	          ':');
	bytes_clear(&text);
}

/* Whether the words, among them "-Name", leave it out. */
static bool is_left_out(const char *words, const char *end, const char *header)
{
	size_t size = strcspn(header, ":");

	for (const char *c = words; c && c + size < end; c++)
		if (*c == '-' && (c == words || c[-1] == ' ') &&
		    !strncasecmp(c + 1, header, size) && strchr(" |\n", c[1 + size]))
			return true;
	return false;
}

/* Flags by the members of struct message that they set: a number, a truth, a text. */
#define NONE SIZE_MAX
#define AT(member) offsetof(struct message, member)
/* clang-format off */
static const struct flag {
	const char *name;
	size_t number, set, text;
} flags[] = {
	{"role",    AT(role),    NONE,           NONE},
	{"id",      AT(id),      NONE,           NONE},
	{"chunk",   AT(chunk),   NONE,           NONE},
	{"padding", AT(padding), NONE,           NONE},
	{"type",    AT(type),    NONE,           NONE},
	{"cut",     AT(cut),     NONE,           NONE},
	{"pause",   AT(pause),   NONE,           NONE},
	{"many",    AT(many),    NONE,           NONE},
	{"raw",     NONE,        AT(raw),        NONE},
	{"aborted", NONE,        AT(aborted),    NONE},
	{"endless", NONE,        AT(endless),    NONE},
	{"chunked", NONE,        AT(chunked),    NONE},
	{"length",  NONE,        AT(has_length), AT(length)},
	{"line",    NONE,        NONE,           AT(line)},
	{"drop",    NONE,        NONE,           AT(drop)},
};
/* clang-format on */

static void set_flag(struct message *message, const struct flag *flag, const char *value,
                     const char *end)
{
	char *base = (char *)message;

	if (flag->number != NONE)
		*(long *)(void *)(base + flag->number) =
			value < end ? strtol(value, NULL, 10) : 1;
	if (flag->set != NONE)
		*(bool *)(base + flag->set) = true;
	if (flag->text != NONE)
		set_text((struct bytes *)(void *)(base + flag->text), value, end);
}

static void add_flag(struct message *message, const char *text, const char *end)
{
	const char *equals = memchr(text, '=', (size_t)(end - text));
	const char *value = equals ? equals + 1 : end;
	size_t size = (size_t)((equals ? equals : end) - text);

	if (size == 5 && !strncmp(text, "param", 5)) {
		add_piece(message->params, &message->param_count, value, end, '=');
		return;
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (strlen(flags[i].name) != size || strncmp(flags[i].name, text, size) != 0)
			continue;
		set_flag(message, &flags[i], value, end);
		return;
	}
	give_up("no such flag", text);
}

static void add_words(struct message *message, const char *words, const char *end)
{
	while (words && words < end) {
		const char *stop = memchr(words, ' ', (size_t)(end - words));

		if (!stop)
			stop = end;
		if (*words == '!')
			add_flag(message, words + 1, stop);
		else if (stop > words && *words != '-')
			add_piece(message->headers, &message->header_count, words, stop, ':');
		words = stop + 1;
	}
}

void message_clear(struct message *message)
{
	bytes_clear(&message->method);
	bytes_clear(&message->target);
	bytes_clear(&message->body);
	bytes_clear(&message->line);
	bytes_clear(&message->drop);
	bytes_clear(&message->length);
	for (size_t i = 0; i < PIECES; i++) {
		bytes_clear(&message->headers[i].name);
		bytes_clear(&message->headers[i].value);
		bytes_clear(&message->params[i].name);
		bytes_clear(&message->params[i].value);
	}
}

/* The end of a field; *next: the one behind it, or NULL. */
const char *field_end(const char *field, const char **next)
{
	const char *bar = *field == '|' ? field : strstr(field, " |");
	const char *end = bar ? bar : field + strlen(field);

	*next = bar ? bar + 2 - (bar == field) : NULL;
	if (*next)
		*next += strspn(*next, " ");
	while (end > field && end[-1] == ' ')
		end--;
	return end;
}

void message_read(struct message *message, const char *request, char *const *defaults,
                  long number)
{
	const char *words, *body = NULL, *rest;
	const char *end = field_end(request, &words), *space = strchr(request, ' ');

	*message = (struct message){.role = 1, .id = 1, .cut = -1};
	if (!space || space > end)
		space = end;
	set_text(&message->method, request, space);
	set_text(&message->target, space < end ? space + 1 : end, end);
	set_text(&message->body, "", "");
	end = words ? field_end(words, &body) : NULL;
	for (; *defaults; defaults++)
		if (!is_left_out(words, end, *defaults))
			add_default(message, *defaults, number);
	add_words(message, words, end);
	if (!body)
		return;
	message->has_body = true;
	if (!is_left_out(words, end, "Content-Type:") &&
	    !message_header(message, "Content-Type"))
		add_default(message, "Content-Type: application/json", number);
	end = field_end(body, &rest);
	set_text(&message->body, body, rest ? body + strlen(body) : end);
}
