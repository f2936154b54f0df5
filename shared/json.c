/* json.c: JSON texts as values; the only file that knows cJSON. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define EXACT_MAX 9007199254740991.0 /* 2^53-1: every whole number up to it is a double */

static const cJSON *item_of(const struct json *json)
{
	return (const cJSON *)(const void *)json;
}

static const struct json *json_of(const cJSON *item)
{
	return (const struct json *)(const void *)item;
}

static void release(void *item)
{
	cJSON_Delete(item);
}

/* ---- Reading ---- */

static struct json *parse(struct arena *arena, const char *text, size_t size, size_t limit)
{
	size_t at;
	cJSON *item;

	if (json_fault(text, size, limit, &at))
		return NULL;
	item = cJSON_ParseWithLength(text, size);
	if (item)
		arena_defer(arena, release, item);
	return (struct json *)(void *)item;
}

struct json *json_parse_any(struct arena *arena, const char *text, size_t size)
{
	return parse(arena, text, size, LIMIT_DEPTH);
}

bool json_is_finite(const struct json *json)
{
	for (const cJSON *child = item_of(json)->child; child; child = child->next)
		if (!json_is_finite(json_of(child)))
			return false;
	return json_kind(json) != JSON_NUMBER || isfinite(json_number(json));
}

static struct json *only_finite(struct json *json)
{
	return json && json_is_finite(json) ? json : NULL;
}

struct json *json_parse(struct arena *arena, const char *text, size_t size)
{
	return only_finite(parse(arena, text, size, LIMIT_DEPTH));
}

struct json *json_parse_deep(struct arena *arena, const char *text, size_t size)
{
	return only_finite(parse(arena, text, size, LIMIT_NESTING));
}

enum json_kind json_kind(const struct json *json)
{
	switch (item_of(json)->type & 0xFF) {
	case cJSON_False:
	case cJSON_True:
		return JSON_BOOLEAN;
	case cJSON_Number:
		return JSON_NUMBER;
	case cJSON_String:
		return JSON_STRING;
	case cJSON_Array:
		return JSON_ARRAY;
	case cJSON_Object:
		return JSON_OBJECT;
	default:
		return JSON_NULL;
	}
}

const char *json_name(const struct json *json)
{
	return item_of(json)->string;
}

const struct json *json_first(const struct json *json)
{
	return json_of(item_of(json)->child);
}

const struct json *json_next(const struct json *json)
{
	return json_of(item_of(json)->next);
}

const struct json *json_member(const struct json *json, const char *name)
{
	return json_kind(json) == JSON_OBJECT
	               ? json_of(cJSON_GetObjectItemCaseSensitive(item_of(json), name))
	               : NULL;
}

bool json_whole(const struct json *json, int64_t *value)
{
	double number = json_number(json);

	if (json_kind(json) != JSON_NUMBER || !(number >= -EXACT_MAX && number <= EXACT_MAX))
		return false;
	*value = (int64_t)number;
	return (double)*value == number;
}

double json_number(const struct json *json)
{
	return item_of(json)->valuedouble;
}

const char *json_string(const struct json *json)
{
	return item_of(json)->valuestring;
}

/* ---- Paths ---- */

static const cJSON *member(const cJSON *item, const char *name, size_t size)
{
	for (const cJSON *child = item->child; child && cJSON_IsObject(item);
	     child = child->next)
		if (!strncmp(child->string, name, size) && !child->string[size])
			return child;
	return NULL;
}

/* The value at the path, or NULL. */
static const cJSON *find(const struct json *json, const char *path)
{
	const cJSON *item = item_of(json);

	while (item && *path) {
		if (*path == '[') {
			char *end;
			unsigned long index = strtoul(path + 1, &end, 10);

			item = cJSON_IsArray(item) ? item->child : NULL;
			while (item && index--)
				item = item->next;
			path = end + 1;
		} else {
			size_t size = strcspn(path += *path == '.', ".[");

			item = member(item, path, size);
			path += size;
		}
	}
	return item;
}

/* The shortest text that reads back as the same number. */
static const char *number_text(struct arena *arena, double number)
{
	for (int digits = 15; digits < 17; digits++) {
		const char *text = arena_printf(arena, "%.*g", digits, number);

		if (strtod(text, NULL) == number)
			return text;
	}
	return arena_printf(arena, "%.17g", number);
}

const char *json_text(struct arena *arena, const struct json *json, const char *path)
{
	const cJSON *item = find(json, path);
	int64_t whole;

	if (cJSON_IsString(item))
		return item->valuestring;
	if (cJSON_IsBool(item))
		return cJSON_IsTrue(item) ? "true" : "false";
	if (!cJSON_IsNumber(item))
		return NULL;
	if (json_whole(json_of(item), &whole))
		return arena_printf(arena, "%lld", (long long)whole);
	return number_text(arena, item->valuedouble);
}

int64_t json_int(const struct json *json, const char *path)
{
	const cJSON *item = find(json, path);
	int64_t whole;

	return item && json_whole(json_of(item), &whole) ? whole : 0;
}

bool json_true(const struct json *json, const char *path)
{
	return cJSON_IsTrue(find(json, path));
}

const char *json_raw(struct arena *arena, const struct json *json, const char *path)
{
	const cJSON *item = find(json, path);
	char *printed = item ? cJSON_PrintUnformatted(item) : NULL;

	if (!printed)
		return NULL;
	/* Printed by the foreign allocator, which alone may free it. */
	arena_defer(arena, cJSON_free, printed);
	return printed;
}

/* ---- Writing ---- */

static void quote_character(struct text *out, unsigned char c)
{
	static const char characters[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *found = strchr(characters, c);

	if (c && found)
		text_printf(out, "\\%c", letters[found - characters]);
	else
		text_printf(out, "\\u%04x", c);
}

const char *json_quote(struct arena *arena, const char *text)
{
	struct text out = {.arena = arena};

	if (!text)
		return "null";
	text_add(&out, "\"", 1);
	while (*text) {
		const char *first = text;
		size_t size = 1;

		while ((unsigned char)*text >= 0x20 && !strchr("\"\\\x7f", *text) && size) {
			size = utf8_size(text, strnlen(text, 4));
			text += size;
		}
		text_add(&out, first, (size_t)(text - first));
		if (!*text)
			break;
		if (size)
			quote_character(&out, (unsigned char)*text);
		else /* Foreign messages may hold anything; what we write stays JSON. */
			text_add(&out, "\xEF\xBF\xBD", 3);
		text++;
	}
	text_add(&out, "\"", 1);
	return out.bytes;
}
