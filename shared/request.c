/* request.c: what handlers ask of a request and how they reply. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const char *param(const struct request *request, const char *name)
{
	const struct param *found = params_find(&request->private->params, name);

	if (!found)
		fprintf(stderr, "parameter %s is not declared\n", name);
	assert(found);
	return found->value;
}

int64_t param_int(const struct request *request, const char *name)
{
	const char *value = param(request, name);

	return value ? strtoll(value, NULL, 10) : 0;
}

bool has_param(const struct request *request, const char *name)
{
	const struct param *found = params_find(&request->private->params, name);

	assert(found);
	return found->sent;
}

bool has_only_param(const struct request *request, const struct field *shape, const char *name)
{
	for (; shape->name; shape++)
		if (!(shape->flags & READ_ONLY) &&
		    has_param(request, shape->name) != !strcmp(shape->name, name))
			return false;
	return true;
}

void set_param(struct request *request, const char *name, const char *value)
{
	params_set(&request->private->params, name, value, value != NULL);
}

void set_param_int(struct request *request, const char *name, int64_t value)
{
	set_param(request, name, arena_printf(request->arena, "%lld", (long long)value));
}

bool run(struct request *request, const struct query *query)
{
	bool touched;

	return run_counted(request, query, &touched);
}

int64_t column_int(const struct row *row, const char *name)
{
	const char *value = column(row, name);

	return value ? strtoll(value, NULL, 10) : 0;
}

bool column_is(const struct row *row, const char *name, const char *value)
{
	const char *found = column(row, name);

	return found && !strcmp(found, value);
}

const char *header(const struct request *request, const char *name)
{
	char *variable = arena_printf(request->arena, "HTTP_%s", name);

	for (char *c = variable; *c; c++)
		if (*c == '-')
			*c = '_';
	return fcgi_variable(request->arena, arena_upper(request->arena, variable));
}

bool fail(struct request *request, struct reply reply)
{
	*request->failure = reply;
	return false;
}

struct reply reply_json(int status, const char *json)
{
	return (struct reply){status, json};
}

struct reply reply_empty(int status)
{
	return (struct reply){status, NULL};
}

void reply_header(struct request *request, const char *name, const char *format, ...)
{
	char value[LIMIT_HEADER];
	va_list arguments;

	va_start(arguments, format);

	int size = vsnprintf(value, sizeof(value), format, arguments);

	va_end(arguments);
	/* A line break would let a value write headers of its own. */
	assert(size >= 0 && (size_t)size < sizeof(value) && !strpbrk(value, "\r\n"));
	text_printf(&request->private->headers, "%s: %s\r\n", name, value);
}
