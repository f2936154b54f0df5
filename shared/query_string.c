/* query_string.c: query strings against their shapes. */
#include <string.h>

#include "internal.h"

#define BAD_ENCODING "Malformed percent-encoding."

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef0123456789ABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) % 16 : -1;
}

/* The byte after a percent sign; -1: not two hexadecimal digits. */
static int encoded_byte(const char *text, size_t size)
{
	int high = size > 0 ? hex_value(text[0]) : -1;
	int low = size > 1 ? hex_value(text[1]) : -1;

	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* UTF-8 without a NUL, which would hide what follows. */
static bool is_clean(const char *text, size_t size)
{
	while (size) {
		size_t bytes = *text ? utf8_size(text, size) : 0;

		if (!bytes)
			return false;
		text += bytes;
		size -= bytes;
	}
	return true;
}

char *percent_decode(struct arena *arena, const char *text, size_t size, bool plus_is_space)
{
	char *out = arena_copy(arena, text, size), *to = out;

	for (size_t i = 0; i < size; i++, to++) {
		*to = text[i];
		if (text[i] == '+' && plus_is_space)
			*to = ' ';
		if (text[i] != '%')
			continue;

		int byte = encoded_byte(text + i + 1, size - i - 1);

		if (byte < 0)
			return NULL;
		*to = (char)byte;
		i += 2;
	}
	*to = '\0';
	return is_clean(out, (size_t)(to - out)) ? out : NULL;
}

static void check_pair(struct errors *errors, const struct field *shape, const char *pair,
                       size_t size, struct params *params)
{
	struct arena *arena = errors->text.arena;
	const char *equals = memchr(pair, '=', size), *end = pair + size, *fault;
	const char *name =
		percent_decode(arena, pair, (size_t)((equals ? equals : end) - pair), true);
	const char *value = equals ? equals + 1 : end;
	const struct field *field = name ? field_find(shape, name) : NULL;
	struct param *param = field ? params_find(params, name) : NULL;

	value = percent_decode(arena, value, (size_t)(end - value), true);
	if (!name || !value) {
		errors_add(errors, name ? name : WHOLE_INPUT, BAD_ENCODING);
	} else if (param && param->sent) {
		errors_add(errors, name, "This parameter may be given only once.");
	} else if (param) {
		params_set(params, field->name, scalar_check(arena, field, value, &fault),
		           true);
		if (fault)
			errors_add(errors, name, fault);
	}
}

void shape_check_query(struct arena *arena, const struct field *shape, const char *query,
                       struct params *params, struct errors *errors)
{
	errors->text.arena = arena;
	params_declare(params, shape);
	for (size_t size; *query; query += size + (query[size] == '&')) {
		size = strcspn(query, "&");
		if (size)
			check_pair(errors, shape, query, size, params);
	}
	for (const struct field *field = shape; field->name; field++)
		if (field->flags & REQUIRED && !params_find(params, field->name)->sent)
			errors_add(errors, field->name, "This field is required.");
}
