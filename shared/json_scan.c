/* json_scan.c: the strict grammar of JSON, before cJSON sees a byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct name {
	const char *bytes; /* unescaped */
	size_t size, at;
};

struct level {
	bool object;
	size_t first_name; /* of this object, in names */
};

struct scan {
	const char *text, *fault;
	size_t size, at;
	struct level levels[LIMIT_NESTING];
	size_t depth, limit;
	struct name *names; /* of all objects that are open */
	size_t name_count, name_room;
	char *bytes; /* of all names so far; no text is longer than its escaped form */
	size_t used;
};

static bool reject(struct scan *scan, const char *fault)
{
	if (!scan->fault)
		scan->fault = fault;
	return false;
}

/* The next byte; NUL at the end of the text, where a NUL byte would be a fault as well. */
static char peek(const struct scan *scan)
{
	if (scan->at == scan->size)
		return '\0';
	return scan->text[scan->at];
}

static bool unexpected(struct scan *scan)
{
	return reject(scan, scan->at < scan->size ? "unexpected character"
	                                          : "unexpected end of text");
}

static char skip_space(struct scan *scan)
{
	char c = peek(scan);

	while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
		scan->at++;
		c = peek(scan);
	}
	return c;
}

static bool read_literal(struct scan *scan, const char *literal)
{
	for (; *literal; literal++, scan->at++)
		if (peek(scan) != *literal)
			return unexpected(scan);
	return true;
}

/* ---- Numbers ---- */

static bool read_digits(struct scan *scan)
{
	size_t first = scan->at;

	while (peek(scan) >= '0' && peek(scan) <= '9')
		scan->at++;
	return scan->at > first || unexpected(scan);
}

static bool read_number(struct scan *scan)
{
	if (peek(scan) == '-')
		scan->at++;
	if (peek(scan) == '0')
		scan->at++;
	else if (!read_digits(scan))
		return false;
	if (peek(scan) == '.') {
		scan->at++;
		if (!read_digits(scan))
			return false;
	}
	if (peek(scan) == 'e' || peek(scan) == 'E') {
		scan->at++;
		if (peek(scan) == '+' || peek(scan) == '-')
			scan->at++;
		if (!read_digits(scan))
			return false;
	}
	return true;
}

/* ---- Strings ---- */

/* Four hexadecimal digits; -1 for anything else. */
static long read_hex(struct scan *scan)
{
	long value = 0;

	for (int i = 0; i < 4; i++, scan->at++) {
		char c = peek(scan);

		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
			value = value * 16 + ((c | 0x20) - 'a') + 10;
		else
			return -1;
	}
	return value;
}

static char *put_utf8(char *out, long code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xC0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*out++ = (char)(0xE0 | code >> 12);
		} else {
			*out++ = (char)(0xF0 | code >> 18);
			*out++ = (char)(0x80 | (code >> 12 & 0x3F));
		}
		*out++ = (char)(0x80 | (code >> 6 & 0x3F));
	}
	*out++ = (char)(0x80 | (code & 0x3F));
	return out;
}

/* The second half of a character beyond U+FFFF, "\uDC00" to "\uDFFF"; -1: it is not there. */
static long read_low_surrogate(struct scan *scan)
{
	long low;

	if (scan->size - scan->at < 6 || memcmp(scan->text + scan->at, "\\u", 2) != 0)
		return -1;
	scan->at += 2;
	low = read_hex(scan);
	return low >= 0xDC00 && low <= 0xDFFF ? low : -1;
}

/* After "\u". */
static char *read_code(struct scan *scan, char *out)
{
	long code = read_hex(scan);

	if (code < 0) {
		unexpected(scan);
	} else if (!code) {
		reject(scan, "NUL character in a string");
	} else if (code >= 0xD800 && code <= 0xDFFF) {
		long low = code < 0xDC00 ? read_low_surrogate(scan) : -1;

		if (low < 0)
			reject(scan, "lone surrogate in a string");
		code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00);
	}
	return scan->fault ? out : put_utf8(out, code);
}

static char *read_escape(struct scan *scan, char *out)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	char c = peek(scan);
	const char *found = c ? strchr(letters, c) : NULL;

	if (found) {
		*out++ = meanings[found - letters];
		scan->at++;
	} else if (c == 'u') {
		scan->at++;
		out = read_code(scan, out);
	} else {
		unexpected(scan);
	}
	return out;
}

/* After the opening quote.  Leaves the unescaped bytes behind those of the names; the size. */
static size_t read_string(struct scan *scan)
{
	char *first = scan->bytes + scan->used, *out = first;

	while (!scan->fault && scan->at < scan->size && scan->text[scan->at] != '"') {
		const char *c = scan->text + scan->at;
		size_t size = utf8_size(c, scan->size - scan->at);

		if (*c == '\\') {
			scan->at++;
			out = read_escape(scan, out);
		} else if (!size) {
			reject(scan, "text that is not UTF-8");
		} else if ((unsigned char)*c < 0x20) {
			reject(scan, "control character in a string");
		} else {
			memcpy(out, c, size);
			out += size;
			scan->at += size;
		}
	}
	if (scan->at < scan->size)
		scan->at += !scan->fault;
	else
		unexpected(scan);
	return (size_t)(out - first);
}

/* ---- Names ---- */

static void *reallocated(void *block, size_t size)
{
	void *bigger = realloc(block, size);

	if (!bigger) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return bigger;
}

/* A member's name and its colon. */
static bool read_name(struct scan *scan)
{
	struct name name = {.bytes = scan->bytes + scan->used};

	if (skip_space(scan) != '"')
		return unexpected(scan);
	name.at = scan->at++;
	name.size = read_string(scan);
	if (scan->fault)
		return false;
	scan->used += name.size;
	if (scan->name_count == scan->name_room) {
		scan->name_room = scan->name_room * 2 + 64;
		scan->names = reallocated(scan->names, scan->name_room * sizeof(name));
	}
	scan->names[scan->name_count++] = name;
	if (skip_space(scan) != ':')
		return unexpected(scan);
	scan->at++;
	return true;
}

static int compare_names(const void *left, const void *right)
{
	const struct name *a = left, *b = right;
	int order = memcmp(a->bytes, b->bytes, a->size < b->size ? a->size : b->size);

	return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Ends an object: sorted, equal names are neighbours, whatever an attacker chose them to be. */
static bool drop_names(struct scan *scan, size_t first)
{
	struct name *names = scan->names + first;
	size_t count = scan->name_count - first;

	if (!count)
		return true;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count; i++) {
		if (compare_names(&names[i - 1], &names[i]) == 0) {
			scan->at =
				names[i].at > names[i - 1].at ? names[i].at : names[i - 1].at;
			return reject(scan, "name given twice in an object");
		}
	}
	scan->name_count = first;
	return true;
}

/* ---- Values ---- */

static bool close_level(struct scan *scan)
{
	const struct level *level = &scan->levels[--scan->depth];

	scan->at++;
	return !level->object || drop_names(scan, level->first_name);
}

/* True: a value must follow, the first one inside. */
static bool open_level(struct scan *scan, bool object)
{
	if (scan->depth == scan->limit)
		return reject(scan, "too many levels");
	scan->levels[scan->depth++] = (struct level){object, scan->name_count};
	scan->at++;
	if (skip_space(scan) == (object ? '}' : ']')) {
		close_level(scan);
		return false;
	}
	return !object || read_name(scan);
}

/* True: it opened an array or object that holds something, and another value must follow. */
static bool read_value(struct scan *scan)
{
	char c = skip_space(scan);

	if (c == '{' || c == '[')
		return open_level(scan, c == '{');
	if (c == '"') {
		scan->at++;
		read_string(scan);
	} else if (c == '-' || (c >= '0' && c <= '9')) {
		read_number(scan);
	} else {
		read_literal(scan, c == 't' ? "true" : c == 'f' ? "false" : "null");
	}
	return false;
}

/* After a value: true when a comma promises another one. */
static bool read_end(struct scan *scan)
{
	while (!scan->fault && scan->depth) {
		bool object = scan->levels[scan->depth - 1].object;
		char c = skip_space(scan);

		if (c == ',') {
			scan->at++;
			return !object || read_name(scan);
		}
		if (c != (object ? '}' : ']'))
			return unexpected(scan);
		close_level(scan);
	}
	return false;
}

const char *json_fault(const char *text, size_t size, size_t limit, size_t *at)
{
	struct scan scan = {.text = text,
	                    .size = size,
	                    .limit = limit,
	                    .bytes = reallocated(NULL, size + 1)};

	do {
		while (read_value(&scan))
			;
	} while (!scan.fault && read_end(&scan));
	if (!scan.fault) {
		skip_space(&scan);
		if (scan.at < size)
			reject(&scan, "unexpected text after the value");
	}
	free(scan.names);
	free(scan.bytes);
	*at = scan.at;
	return scan.fault;
}
