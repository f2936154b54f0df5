/* schema.c: holds a value against a schema, be it JSON or the tree of a form's parameters. */
#include "standin.h"

#include <stdio.h>
#include <string.h>

struct walk {
	bool is_form; /* every leaf is a text, and a list is an object with numbers as names */
	char where[WHERE_SIZE];
	struct misfit *misfit;
};

static bool fits(struct walk *walk, const cJSON *schema, const cJSON *value);

static bool is_not(const struct walk *walk, enum misfit_kind kind, const cJSON *schema)
{
	walk->misfit->kind = kind;
	walk->misfit->schema = schema;
	keep_text(walk->misfit->where, WHERE_SIZE, walk->where);
	return false;
}

static const cJSON *part(const cJSON *schema, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(schema, name);
}

/* Goes one name deeper; the old length, which step_out wants. */
static size_t step_into(struct walk *walk, const char *name)
{
	size_t length = strlen(walk->where);
	const char *before = !length ? "" : walk->is_form ? "[" : ".";

	snprintf(walk->where + length, WHERE_SIZE - length, "%s%s%s", before, name,
	         length && walk->is_form ? "]" : "");
	return length;
}

static void step_out(struct walk *walk, size_t length)
{
	walk->where[length] = '\0';
}

static bool fits_below(struct walk *walk, const cJSON *schema, const cJSON *value,
                       const char *name)
{
	size_t length = step_into(walk, name);
	bool well = schema ? fits(walk, schema, value) : is_not(walk, NOT_KNOWN, NULL);

	step_out(walk, length);
	return well;
}

static bool has_required(struct walk *walk, const cJSON *schema, const cJSON *value)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, part(schema, "required"))
	{
		if (!part(value, item->valuestring)) {
			step_into(walk, item->valuestring);
			return is_not(walk, NOT_THERE, schema);
		}
	}
	return true;
}

/* The schema of a field; NULL: it must not be there. */
static const cJSON *field_schema(const cJSON *schema, const char *name)
{
	const cJSON *field = part(part(schema, "properties"), name);
	const cJSON *others = part(schema, "additionalProperties");

	return field || cJSON_IsFalse(others) ? field : others;
}

static bool fits_object(struct walk *walk, const cJSON *schema, const cJSON *value)
{
	bool is_open = !part(schema, "properties") && !part(schema, "additionalProperties");
	const cJSON *item;

	if (!cJSON_IsObject(value))
		return is_not(walk, NOT_OF_TYPE, schema);
	cJSON_ArrayForEach(item, value)
	{
		if (!is_open &&
		    !fits_below(walk, field_schema(schema, item->string), item, item->string))
			return false;
	}
	return has_required(walk, schema, value);
}

static bool is_index(const char *name)
{
	return *name && !name[strspn(name, "0123456789")];
}

static bool fits_array(struct walk *walk, const cJSON *schema, const cJSON *value)
{
	const cJSON *items = part(schema, "items");
	const cJSON *item;
	char number[16];
	int count = 0;

	if (walk->is_form ? !cJSON_IsObject(value) : !cJSON_IsArray(value))
		return is_not(walk, NOT_OF_TYPE, schema);
	cJSON_ArrayForEach(item, value)
	{
		if (item->string && !is_index(item->string)) {
			step_into(walk, item->string);
			return is_not(walk, NOT_OF_TYPE, schema);
		}
		snprintf(number, sizeof(number), "%d", count++);
		if (!fits_below(walk, items, item, item->string ? item->string : number))
			return false;
	}
	return true;
}

static bool has_choice(const cJSON *choices, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, choices)
	{
		if (strcmp(item->valuestring, text) == 0)
			return true;
	}
	return false;
}

static bool fits_string(struct walk *walk, const cJSON *schema, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);
	const cJSON *choices = part(schema, "enum");
	int64_t most = json_integer(schema, "maxLength", INT32_MAX);

	if (walk->is_form && value->child) {
		step_into(walk, value->child->string);
		return is_not(walk, NOT_KNOWN, schema);
	}
	if (!text)
		return is_not(walk, NOT_OF_TYPE, schema);
	if (choices && has_choice(choices, text))
		return true;
	if (walk->is_form && !*text && !part(schema, "minLength"))
		return is_not(walk, IS_EMPTY, schema);
	if (choices)
		return is_not(walk, NOT_A_CHOICE, schema);
	return (int64_t)strlen(text) <= most || is_not(walk, TOO_LONG, schema);
}

static bool is_integer(const struct walk *walk, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);
	size_t digits;

	if (!walk->is_form)
		return cJSON_IsNumber(value) &&
		       (double)(int64_t)value->valuedouble == value->valuedouble;
	if (!text)
		return false;
	text += *text == '-';
	digits = strspn(text, "0123456789");
	return digits > 0 && digits <= 15 && !text[digits];
}

static bool is_boolean(const struct walk *walk, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);

	if (!walk->is_form)
		return cJSON_IsBool(value);
	return text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
}

static bool fits_scalar(struct walk *walk, const cJSON *schema, const cJSON *value, bool well)
{
	const char *text = cJSON_GetStringValue(value);

	if (well)
		return true;
	return is_not(walk, walk->is_form && text && !*text ? IS_EMPTY : NOT_OF_TYPE, schema);
}

/* When no choice fits, the misfit is that of the one which came furthest. */
static bool fits_any(struct walk *walk, const cJSON *choices, const cJSON *value)
{
	struct misfit *told = walk->misfit;
	struct misfit best = {.kind = FITS};
	size_t length = strlen(walk->where);
	bool well = false;
	const cJSON *item;

	cJSON_ArrayForEach(item, choices)
	{
		struct misfit misfit = {.kind = FITS};

		walk->misfit = &misfit;
		well = fits(walk, item, value);
		step_out(walk, length);
		if (well)
			break;
		if (best.kind == FITS || strlen(misfit.where) > strlen(best.where))
			best = misfit;
	}
	walk->misfit = told;
	if (!well)
		*told = best;
	return well;
}

/* What expand[] put in the place of an id. */
static const cJSON *expanded_schema(const cJSON *schema)
{
	const cJSON *names = part(schema, "x-expandable");

	return names ? spec_schema(cJSON_GetStringValue(names->child)) : NULL;
}

static bool fits(struct walk *walk, const cJSON *schema, const cJSON *value)
{
	const char *type;

	schema = spec_resolve(schema);
	type = json_text(schema, "type");
	if (cJSON_IsNull(value))
		return cJSON_IsTrue(part(schema, "nullable")) ||
		       is_not(walk, NOT_OF_TYPE, schema);
	if (part(schema, "anyOf"))
		return fits_any(walk, part(schema, "anyOf"), value);
	if (cJSON_IsObject(value) && expanded_schema(schema))
		return fits(walk, expanded_schema(schema), value);
	if (strcmp(type, "object") == 0)
		return fits_object(walk, schema, value);
	if (strcmp(type, "array") == 0)
		return fits_array(walk, schema, value);
	if (strcmp(type, "integer") == 0)
		return fits_scalar(walk, schema, value, is_integer(walk, value));
	if (strcmp(type, "boolean") == 0)
		return fits_scalar(walk, schema, value, is_boolean(walk, value));
	return fits_string(walk, schema, value);
}

bool schema_fits(const cJSON *schema, const cJSON *value, bool is_form, struct misfit *misfit)
{
	struct walk walk = {.is_form = is_form, .misfit = misfit};

	misfit->kind = FITS;
	return fits(&walk, schema, value);
}
