/* form.c: application/x-www-form-urlencoded text into pairs, and their digest. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char letter)
{
	if (letter >= '0' && letter <= '9')
		return letter - '0';
	if (letter >= 'a' && letter <= 'f')
		return letter - 'a' + 10;
	if (letter >= 'A' && letter <= 'F')
		return letter - 'A' + 10;
	return -1;
}

/* The byte of an escape whose two digits are at text; 0: there is none such. */
static char unescape(const char *text, size_t left)
{
	int high = left >= 2 ? hex_digit(text[0]) : -1;
	int low = left >= 2 ? hex_digit(text[1]) : -1;

	if (high < 0 || low < 0)
		return 0;
	return (char)(unsigned char)(high * 16 + low);
}

/* NULL when an escape is broken or makes a zero byte. */
static char *decode(const char *text, size_t length)
{
	char *decoded = take(length + 1);
	size_t size = 0;

	for (size_t i = 0; i < length; i++) {
		char letter = text[i];

		if (letter == '+')
			letter = ' ';
		if (letter == '%') {
			letter = unescape(text + i + 1, length - i - 1);
			i += 2;
		}
		if (!letter) {
			free(decoded);
			return NULL;
		}
		decoded[size++] = letter;
	}
	return decoded;
}

static bool add_pair(struct form *form, const char *text, size_t length)
{
	const char *equals = memchr(text, '=', length);
	size_t name_length = equals ? (size_t)(equals - text) : length;
	char *name = decode(text, name_length);
	char *value = equals ? decode(equals + 1, length - name_length - 1) : copy_text("");

	if (!name || !value || !*name || form->count == PARAMETERS_MAX) {
		free(name);
		free(value);
		return false;
	}
	if (form->count % 32 == 0) {
		struct pair *pairs = take((form->count + 32) * sizeof(*pairs));

		if (form->count)
			memcpy(pairs, form->pairs, form->count * sizeof(*pairs));
		free(form->pairs);
		form->pairs = pairs;
	}
	form->pairs[form->count++] = (struct pair){name, value};
	return true;
}

bool form_decode(struct form *form, const char *text, size_t length)
{
	if (memchr(text, '\0', length))
		return false;
	for (size_t at = 0; at < length;) {
		const char *end = memchr(text + at, '&', length - at);
		size_t size = end ? (size_t)(end - text) - at : length - at;

		if (size && !add_pair(form, text + at, size))
			return false;
		at += size + 1;
	}
	return true;
}

void form_clear(struct form *form)
{
	for (size_t i = 0; i < form->count; i++) {
		free(form->pairs[i].name);
		free(form->pairs[i].value);
	}
	free(form->pairs);
	*form = (struct form){0};
}

const char *form_value(const struct form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(form->pairs[i].name, name) == 0)
			return form->pairs[i].value;
	return NULL;
}

int64_t form_integer(const struct form *form, const char *name, int64_t otherwise)
{
	const char *value = form_value(form, name);

	return value && *value ? strtoll(value, NULL, 10) : otherwise;
}

bool form_true(const struct form *form, const char *name)
{
	const char *value = form_value(form, name);

	return value && strcmp(value, "true") == 0;
}

/* Enters value at the bracketed keys of rest: [address][city]. */
static void enter(cJSON *object, const char *rest, const char *value)
{
	while (*rest == '[') {
		size_t length = strcspn(rest + 1, "]");
		char *key = take(length + 1);

		memcpy(key, rest + 1, length);
		rest += length + 1 + (rest[length + 1] == ']');
		if (*rest != '[') {
			if (*value)
				json_set_text(object, key, value);
			free(key);
			return;
		}
		cJSON *inner = cJSON_GetObjectItemCaseSensitive(object, key);

		object = cJSON_IsObject(inner) ? inner : cJSON_AddObjectToObject(object, key);
		free(key);
	}
}

cJSON *form_object(const struct form *form, const char *name)
{
	cJSON *object = NULL;
	size_t length = strlen(name);

	for (size_t i = 0; i < form->count; i++) {
		const char *found = form->pairs[i].name;

		if (strncmp(found, name, length) != 0 || found[length] != '[')
			continue;
		if (!object)
			object = cJSON_CreateObject();
		enter(object, found + length, form->pairs[i].value);
	}
	return object;
}

static int compare_pairs(const void *left, const void *right)
{
	const struct pair *a = left;
	const struct pair *b = right;
	int order = strcmp(a->name, b->name);

	return order ? order : strcmp(a->value, b->value);
}

void form_digest(const struct form *form, char hex[65])
{
	struct text text = {0};
	struct pair *sorted = take((form->count + 1) * sizeof(*sorted));

	if (form->count) {
		memcpy(sorted, form->pairs, form->count * sizeof(*sorted));
		qsort(sorted, form->count, sizeof(*sorted), compare_pairs);
	}
	text_add(&text, "", 0);
	for (size_t i = 0; i < form->count; i++)
		text_printf(&text, "%s=%s\n", sorted[i].name, sorted[i].value);
	sha256_hex(text.bytes, text.length, hex);
	free(sorted);
	free(text.bytes);
}
