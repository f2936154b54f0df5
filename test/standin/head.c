/* head.c: the first line and the headers of a request. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void keep_header(struct request *request, const char *name, const char *value)
{
	const struct {
		const char *name;
		char **place;
	} kept[] = {
		{"authorization", &request->authorization},
		{"content-type", &request->content_type},
		{"idempotency-key", &request->idempotency_key},
		{"stripe-version", &request->stripe_version},
		{"stripe-signature", &request->signature},
	};

	for (size_t i = 0; i < COUNT(kept); i++) {
		if (strcasecmp(kept[i].name, name) == 0) {
			free(*kept[i].place);
			*kept[i].place = copy_text(value);
		}
	}
	if (strcasecmp(name, "expect") == 0)
		request->expects_continue = strcasecmp(value, "100-continue") == 0;
	if (strcasecmp(name, "connection") == 0 && strcasecmp(value, "close") == 0)
		request->keep_alive = false;
}

static bool read_length(const char *value, size_t *length)
{
	size_t digits = strspn(value, "0123456789");

	if (!digits || digits > 9 || value[digits])
		return false;
	*length = (size_t)strtoul(value, NULL, 10);
	return true;
}

static bool parse_first_line(struct request *request, char *line)
{
	char *target = line ? strchr(line, ' ') : NULL;
	char *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version || !starts_with(version + 1, "HTTP/1."))
		return false;
	*target++ = '\0';
	*version = '\0';
	request->keep_alive = strcmp(version + 1, "HTTP/1.0") != 0;
	request->method = copy_text(line);

	char *query = strchr(target, '?');

	if (query)
		*query++ = '\0';
	request->path = copy_text(target);
	request->query = copy_text(query ? query : "");
	return true;
}

static int parse_header(struct request *request, char *line, size_t *body_length)
{
	char *value = strchr(line, ':');

	if (!value)
		return 400;
	*value++ = '\0';
	value += strspn(value, " \t");
	for (size_t n = strlen(value); n && strchr(" \t", value[n - 1]); n--)
		value[n - 1] = '\0';
	if (strcasecmp(line, "transfer-encoding") == 0)
		return 411;
	if (strcasecmp(line, "content-length") == 0 && !read_length(value, body_length))
		return 400;
	keep_header(request, line, value);
	return 0;
}

int parse_head(struct request *request, char *head, size_t *body_length)
{
	char *rest = NULL;
	int refused = 0;

	if (!parse_first_line(request, strtok_r(head, "\r\n", &rest)))
		return 400;
	for (char *line = strtok_r(NULL, "\r\n", &rest); line && !refused;
	     line = strtok_r(NULL, "\r\n", &rest))
		refused = parse_header(request, line, body_length);
	if (!refused && *body_length > BODY_MAX)
		refused = 413;
	return refused;
}
