/* fastcgi_client.c: sends odd requests to a web server or straight to a FastCGI socket, and
 * judges the answers.
 *
 * fastcgi_client WAY ADDRESS [HEADER...] < CASES, a case a line:
 *
 *     EXPECTED | METHOD TARGET | header:value ... !flag=value ... | BODY
 *
 * The last two may be left out. \r \n \t \0 \s (space) \\ \xHH stand for bytes, \*9{text} for
 * nine times the text. A "-Name" among the headers leaves out one of those that the command
 * line gives to all requests; in these, %n is a number that no other request has. Flags are
 * the members of struct message.
 *
 * EXPECTED: "400/404 parse_error ~text Header:text !text": one of the states ("none": no
 * answer), the code of the problem, what body and header hold, and what the answer must not
 * hold. "@WAY ..." behind it is what this way expects instead; "@WAY -": it is not asked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire.h"

#define SHOWN 300 /* bytes of an unexpected answer */

static const char *way, *address;
static char **defaults;   /* "Name: value" for every request */
static long number;       /* of the case */
static bool asks_headers; /* worth showing those of the answer */

/* ---- What is expected ---- */

static bool is_among(const char *list, const char *end, const char *word)
{
	size_t size = strlen(word);

	for (const char *c = list; c < end; c++) {
		const char *slash = memchr(c, '/', (size_t)(end - c));

		if (!slash)
			slash = end;
		if ((size_t)(slash - c) == size && !strncmp(c, word, size))
			return true;
		c = slash;
	}
	return false;
}

static bool holds(const struct bytes *bytes, const struct bytes *wanted)
{
	return bytes->data && memmem(bytes->data, bytes->size, wanted->data, wanted->size);
}

/* Name:text, where the text may be empty. */
static bool has_header(const struct answer *answer, const struct bytes *wanted)
{
	size_t name = strcspn(wanted->data, ":") + 1;

	for (const char *line = answer->head.data; line && *line;) {
		size_t size = strcspn(line, "\r");

		if (!strncasecmp(line, wanted->data, name) &&
		    memmem(line + name, size - name, wanted->data + name, wanted->size - name))
			return true;
		line += size + strspn(line + size, "\r\n");
	}
	return false;
}

static bool has_status(const struct answer *answer, const char *word, const char *end)
{
	char status[8];

	snprintf(status, sizeof(status), "%d", answer->status);
	return is_among(word, end, answer->status ? status : "none");
}

static bool has_code(const struct answer *answer, const char *word, const char *end)
{
	const char *found = answer->body.data ? strstr(answer->body.data, "\"code\":\"") : NULL;
	char code[64];

	if (!found)
		return false;
	snprintf(code, sizeof(code), "%.*s", (int)strcspn(found + 8, "\""), found + 8);
	return is_among(word, end, code);
}

static bool is_met(const struct answer *answer, const char *word, const char *end)
{
	struct bytes text = {0};
	bool met, asks;

	if ((*word >= '0' && *word <= '9') || !strncmp(word, "none", 4))
		return has_status(answer, word, end);
	asks = *word != '~' && memchr(word, ':', (size_t)(end - word));
	set_text(&text, word + (*word == '~' || *word == '!'), end);
	if (*word == '~')
		met = holds(&answer->body, &text);
	else if (*word == '!')
		met = !holds(&answer->body, &text) && !holds(&answer->head, &text);
	else if (!asks)
		met = has_code(answer, word, end);
	else
		met = has_header(answer, &text);
	asks_headers |= asks;
	bytes_clear(&text);
	return met;
}

/* Whatever is asked: one answer, and an error is a problem that says its own status. */
static bool is_sound(const struct answer *answer)
{
	struct bytes type = {0}, status = {0};
	bool sound = !answer->twice;

	bytes_print(&type, "Content-Type:application/problem+json; charset=utf-8");
	bytes_print(&status, "\"status\":%d,", answer->status);
	if (answer->status >= 400 && answer->body.size)
		sound = sound && has_header(answer, &type) && holds(&answer->body, &status);
	bytes_clear(&type);
	bytes_clear(&status);
	return sound;
}

/* The words that count for this way: those behind its "@WAY", else those before any. */
static const char *own_words(const char *expected, const char **end)
{
	const char *mine = expected;
	size_t size = strlen(way);

	for (const char *at = expected; (at = memchr(at, '@', (size_t)(*end - at)));)
		if (!strncmp(++at, way, size) && at[size] == ' ')
			mine = at + size + 1;

	const char *next = memchr(mine, '@', (size_t)(*end - mine));

	if (next)
		*end = next;
	return mine;
}

static bool meets(const struct answer *answer, const char *word, const char *end)
{
	bool met = is_sound(answer);

	while (word < end) {
		const char *stop = memchr(word, ' ', (size_t)(end - word));

		if (!stop)
			stop = end;
		met = met && (stop == word || is_met(answer, word, stop));
		word = stop + 1;
	}
	return met;
}

/* ---- Cases ---- */

/* Whether the answer is the expected one. */
static bool try_case(const char *line)
{
	struct message message;
	struct answer answer;
	const char *request, *end = field_end(line, &request);
	const char *expected = own_words(line, &end);

	if (!request) {
		fprintf(stderr, "case %ld: EXPECTED | METHOD TARGET | ...: %s\n", number, line);
		exit(2);
	}
	if (*expected == '-')
		return true;
	message_read(&message, request, defaults, number);
	exchange(address, &message, &answer);
	asks_headers = false;

	bool met = meets(&answer, expected, end);

	if (!met)
		printf("%s: %.200s\n  came: %d %.*s\n", way, line, answer.status, SHOWN,
		       answer.body.data ? answer.body.data : "");
	if (!met && (asks_headers || answer.twice))
		printf("%s%s", answer.head.data, answer.twice ? "and one more answer\n" : "");
	bytes_clear(&answer.head);
	bytes_clear(&answer.body);
	message_clear(&message);
	return met;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;
	bool met = true;

	if (argc < 3) {
		fprintf(stderr, "usage: fastcgi_client WAY ADDRESS [HEADER...] < CASES\n");
		return 2;
	}
	way = argv[1];
	address = argv[2];
	defaults = argv + 3;
	while (getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!*line || *line == '#')
			continue;
		number++;
		met &= try_case(line);
	}
	free(line);
	printf("%ld cases\n", number);
	return met && number ? 0 : 1;
}
