/* params.c: the parameters of a request, and the errors in them. */
#include <assert.h>
#include <string.h>

#include "internal.h"

#define ERRORS_MAX 100 /* fields that one answer names */

/* ---- Parameters ---- */

void params_set(struct params *params, const char *name, const char *value, bool sent)
{
	struct param *param = params_find(params, name);

	if (!param) {
		assert(params->count < LIMIT_PARAMETERS);
		param = &params->list[params->count++];
	}
	*param = (struct param){name, value, sent};
}

struct param *params_find(struct params *params, const char *name)
{
	for (size_t i = 0; i < params->count; i++)
		if (!strcmp(params->list[i].name, name))
			return &params->list[i];
	return NULL;
}

/* Asserts that no field has the name of a parameter of the path, which says what row is meant:
 * it would replace that. */
void params_declare(struct params *params, const struct field *shape)
{
	for (const struct field *field = shape; field->name; field++) {
		if (field->flags & READ_ONLY)
			continue;
		assert(!params_find(params, field->name));
		params_set(params, field->name, NULL, false);
	}
}

const struct field *field_find(const struct field *shape, const char *name)
{
	for (; shape->name; shape++)
		if (!strcmp(shape->name, name))
			return shape;
	return NULL;
}

/* ---- Errors ---- */

/* A field's first error is the one that is told. */
void errors_add(struct errors *errors, const char *field, const char *message)
{
	struct arena *arena = errors->text.arena;
	const char *start;

	if (errors->count >= ERRORS_MAX)
		return;
	start = arena_printf(arena, "%s:[", json_quote(arena, field));
	if (errors->count && strstr(errors->text.bytes, start))
		return;
	text_printf(&errors->text, "%s%s%s]", errors->count++ ? "," : "", start,
	            json_quote(arena, message));
}
