/* shape.c: bodies against their shapes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MEMBERS_MAX 50 /* of an object whose shape declares none */

struct walk {
	struct arena *arena;
	struct errors *errors;
	const struct currency *currency; /* of all amounts; NULL: not known here */
};

/* A value that was read: as text, and as the JSON of the canonical body.  Both NULL: refused.
 */
struct value {
	const char *text, *json;
};

static const struct value refusal = {NULL, NULL};

/* The names that the messages of Django REST framework have for JSON's types. */
static const char *type_name(const struct json *json)
{
	int64_t whole;

	switch (json_kind(json)) {
	case JSON_BOOLEAN:
		return "bool";
	case JSON_NUMBER:
		return json_whole(json, &whole) ? "int" : "float";
	case JSON_STRING:
		return "str";
	case JSON_ARRAY:
		return "list";
	case JSON_OBJECT:
		return "dict";
	default:
		return "NoneType";
	}
}

static struct value refuse(struct walk *walk, const char *where, const char *message)
{
	errors_add(walk->errors, where, message);
	return refusal;
}

static struct value refuse_type(struct walk *walk, const char *where, const struct json *json,
                                const char *format)
{
	struct text message = {.arena = walk->arena};
	const char *gap = strchr(format, '*');

	text_printf(&message, "%.*s%s%s", (int)(gap - format), format, type_name(json),
	            gap + 1);
	return refuse(walk, where, message.bytes);
}

/* A number as text that scalar_check() judges; what no text can say exactly is no number. */
static const char *number_text(struct arena *arena, const struct json *json)
{
	const char *text;
	int64_t whole;

	if (json_whole(json, &whole))
		return arena_printf(arena, "%lld", (long long)whole);
	text = arena_printf(arena, "%.15g", json_number(json));
	return strtod(text, NULL) == json_number(json) ? text : "inexact";
}

/* A JSON value as text for scalar_check().  NULL, or a word that the kind refuses, where its
 * type does not fit: "5" is no INTEGER. */
static const char *scalar_text(struct walk *walk, const struct field *field,
                               const struct json *json)
{
	switch (json_kind(json)) {
	case JSON_STRING:
		return field->kind == INTEGER || field->kind == BOOLEAN ? "string"
		                                                        : json_string(json);
	case JSON_NUMBER:
		return field->kind == INTEGER || field->kind == MONEY
		               ? number_text(walk->arena, json)
		               : NULL;
	case JSON_BOOLEAN:
		return field->kind == BOOLEAN ? json_text(walk->arena, json, "") : NULL;
	default:
		return NULL;
	}
}

static bool is_texts_kind(enum kind kind)
{
	return kind <= PASSWORD || kind == CURRENCY || kind == CHOICE || kind == IDS;
}

static struct value check_scalar(struct walk *walk, const struct field *field,
                                 const struct json *json, const char *where)
{
	const char *text = scalar_text(walk, field, json), *fault;
	struct value value;

	if (!text && is_texts_kind(field->kind))
		return refuse(walk, where, "Not a valid string.");
	value.text = scalar_check_in(walk->arena, field, text ? text : "other", walk->currency,
	                             &fault);
	if (!value.text)
		return refuse(walk, where, fault);
	value.json = field->kind == INTEGER || field->kind == BOOLEAN
	                     ? value.text
	                     : json_quote(walk->arena, value.text);
	return value;
}

static const char *check_members(struct walk *walk, const struct field *shape,
                                 const struct json *json, const char *prefix,
                                 struct params *params);

/* Any members with text values. */
static struct value check_texts(struct walk *walk, const struct json *json, const char *where)
{
	static const struct field name_field = {"name", TEXT, .min = 1, .max = 64};
	static const struct field value_field = {"value", TEXT, .max = 255};
	struct text out = {.arena = walk->arena};
	size_t count = 0, errors = walk->errors->count;

	for (const struct json *child = json_first(json); child; child = json_next(child)) {
		const char *fault,
			*at = arena_printf(walk->arena, "%s.%s", where, json_name(child));
		const char *name =
			scalar_check(walk->arena, &name_field, json_name(child), &fault);
		struct value value;

		if (++count > MEMBERS_MAX)
			return refuse(walk, where,
			              "Ensure this field has no more than 50 elements.");
		if (!name || strcmp(name, json_name(child)) != 0)
			return refuse(
				walk, where,
				"Names have 1 to 64 characters and no spaces around them.");
		value = check_scalar(walk, &value_field, child, at);
		if (value.json)
			text_printf(&out, "%s%s:%s", out.size ? "," : "{",
			            json_quote(walk->arena, name), value.json);
	}
	text_printf(&out, out.size ? "}" : "{}");
	return walk->errors->count > errors ? refusal : (struct value){out.bytes, out.bytes};
}

static struct value check_object(struct walk *walk, const struct field *field,
                                 const struct json *json, const char *where)
{
	const char *text;

	if (json_kind(json) != JSON_OBJECT && !field->fields)
		return refuse_type(walk, where, json,
		                   "Expected a dictionary of items but got type \"*\".");
	if (json_kind(json) != JSON_OBJECT)
		return refuse_type(walk, where, json,
		                   "Invalid data. Expected a dictionary, but got *.");
	if (!field->fields)
		return check_texts(walk, json, where);
	text = check_members(walk, field->fields, json, arena_printf(walk->arena, "%s.", where),
	                     NULL);
	return (struct value){text, text};
}

static bool count_fits(struct walk *walk, const struct field *field, const struct json *json,
                       const char *where)
{
	int64_t count = 0;
	const char *limit = NULL;

	for (const struct json *child = json_first(json); child; child = json_next(child))
		count++;
	if (!count && field->min > 0)
		limit = "This list may not be empty.";
	else if (count < field->min)
		limit = arena_printf(walk->arena,
		                     "Ensure this field has at least %lld elements.",
		                     (long long)field->min);
	else if (field->max && count > field->max)
		limit = arena_printf(walk->arena,
		                     "Ensure this field has no more than %lld elements.",
		                     (long long)field->max);
	if (limit)
		errors_add(walk->errors, where, limit);
	return !limit;
}

static struct value check_list(struct walk *walk, const struct field *field,
                               const struct json *json, const char *where)
{
	struct text out = {.arena = walk->arena};
	size_t index = 0, errors = walk->errors->count;

	if (json_kind(json) != JSON_ARRAY)
		return refuse_type(walk, where, json,
		                   "Expected a list of items but got type \"*\".");
	if (!count_fits(walk, field, json, where))
		return refusal;
	text_add(&out, "[", 1);
	for (const struct json *child = json_first(json); child; child = json_next(child)) {
		const char *at = arena_printf(walk->arena, "%s[%zu]", where, index);
		struct value value = check_object(walk, field, child, at);

		if (value.json)
			text_printf(&out, "%s%s", index ? "," : "", value.json);
		index++;
	}
	text_add(&out, "]", 1);
	return walk->errors->count > errors ? refusal : (struct value){out.bytes, out.bytes};
}

/* JSON that is passed on whole, so no field will refuse a number that cannot be written. */
static struct value check_any(struct walk *walk, const struct json *json, const char *where)
{
	const char *raw;

	if (!json_is_finite(json))
		return refuse(walk, where, "A valid number is required.");
	raw = json_raw(walk->arena, json, "");
	return (struct value){raw, raw};
}

static struct value check_value(struct walk *walk, const struct field *field,
                                const struct json *json, const char *where)
{
	if (json_kind(json) == JSON_NULL && field->flags & NULLABLE)
		return (struct value){NULL, "null"};
	if (json_kind(json) == JSON_NULL)
		return refuse(walk, where, "This field may not be null.");
	if (field->kind == OBJECT)
		return check_object(walk, field, json, where);
	if (field->kind == LIST)
		return check_list(walk, field, json, where);
	if (field->kind == ANY)
		return check_any(walk, json, where);
	return check_scalar(walk, field, json, where);
}

/* A field of an object.  `refusal` also, though without an error, where it is read-only or was
 * left out. */
static struct value check_member(struct walk *walk, const struct field *field,
                                 const struct json *json, const char *prefix)
{
	const struct json *member = json_member(json, field->name);
	const char *where = arena_printf(walk->arena, "%s%s", prefix, field->name);

	if (field->flags & READ_ONLY)
		return refusal;
	if (member)
		return check_value(walk, field, member, where);
	return field->flags & REQUIRED ? refuse(walk, where, "This field is required.")
	                               : refusal;
}

static void refuse_unknown(struct walk *walk, const struct field *shape,
                           const struct json *json, const char *prefix)
{
	for (const struct json *child = json_first(json); child; child = json_next(child))
		if (!field_find(shape, json_name(child)))
			errors_add(walk->errors,
			           arena_printf(walk->arena, "%s%s", prefix, json_name(child)),
			           "Unknown field.");
}

/* The canonical object of the fields that were sent, NULL when one was refused. */
static const char *check_members(struct walk *walk, const struct field *shape,
                                 const struct json *json, const char *prefix,
                                 struct params *params)
{
	struct text out = {.arena = walk->arena};
	size_t errors = walk->errors->count;

	for (const struct field *field = shape; field->name; field++) {
		struct value value = check_member(walk, field, json, prefix);

		if (!value.json)
			continue;
		text_printf(&out, "%s\"%s\":%s", out.size ? "," : "{", field->name, value.json);
		if (params)
			params_set(params, field->name, value.text, true);
	}
	refuse_unknown(walk, shape, json, prefix);
	text_printf(&out, out.size ? "}" : "{}");
	return walk->errors->count > errors ? NULL : out.bytes;
}

/* The currency of the amounts of a new row, as far as its body can tell. */
static const struct currency *currency_of(const struct walk *walk, const struct field *shape,
                                          const struct json *json)
{
	const char *usual = walk->errors->usual_currency, *code = NULL, *fault;
	const struct field *field = field_find(shape, "currency");
	const struct json *sent = json_member(json, "currency");

	if (!usual || !field || field->kind != CURRENCY)
		return NULL;
	if (!sent)
		return currency_find(usual);
	if (json_kind(sent) == JSON_STRING)
		code = scalar_check(walk->arena, field, json_string(sent), &fault);
	return code ? currency_find(code) : NULL;
}

void shape_check_body(struct arena *arena, const struct field *shape, const struct json *json,
                      struct params *params, struct errors *errors)
{
	struct walk walk = {arena, errors, NULL};

	walk.currency = currency_of(&walk, shape, json);
	params_declare(params, shape);
	if (json_kind(json) == JSON_OBJECT)
		params_set(params, "body", check_members(&walk, shape, json, "", params), true);
	else
		refuse_type(&walk, WHOLE_INPUT, json,
		            "Invalid data. Expected a dictionary, but got *.");
}
