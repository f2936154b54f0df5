/* tree.c: the parameters of a form as a tree: a[b][c]=v, a[]=v and a[0]=v. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define NAME_SIZE 5001

/* Takes the next name off text into name; NULL: text is malformed. */
static const char *take_name(const char *text, bool first, char name[NAME_SIZE])
{
	bool bracket = *text == '[';
	size_t length = strcspn(text + bracket, "[]");

	if (bracket == first || (first && !length) || length >= NAME_SIZE)
		return NULL;
	memcpy(name, text + bracket, length);
	name[length] = '\0';
	text += length + bracket;
	if (!bracket)
		return *text == ']' ? NULL : text;
	return *text == ']' ? text + 1 : NULL;
}

/* The object below parent with this name, made where there is none; "" is the next number. */
static cJSON *enter_object(cJSON *parent, const char *name)
{
	cJSON *found = cJSON_GetObjectItemCaseSensitive(parent, name);

	if (found)
		return cJSON_IsObject(found) ? found : NULL;
	return cJSON_AddObjectToObject(parent, name);
}

static bool add_leaf(cJSON *parent, const char *name, const char *value)
{
	if (cJSON_GetObjectItemCaseSensitive(parent, name))
		return false;
	return cJSON_AddStringToObject(parent, name, value) != NULL;
}

static bool add_pair(cJSON *tree, const struct pair *pair)
{
	char name[NAME_SIZE];
	const char *rest = take_name(pair->name, true, name);

	for (int depth = 0; rest && depth < DEPTH_MAX; depth++) {
		if (!*name)
			snprintf(name, sizeof(name), "%d", cJSON_GetArraySize(tree));
		if (!*rest)
			return add_leaf(tree, name, pair->value);
		tree = enter_object(tree, name);
		if (!tree)
			return false;
		rest = take_name(rest, false, name);
	}
	return false;
}

cJSON *form_tree(const struct form *form, const char **wrong)
{
	cJSON *tree = cJSON_CreateObject();

	*wrong = NULL;
	for (size_t i = 0; i < form->count && !*wrong; i++)
		if (!add_pair(tree, &form->pairs[i]))
			*wrong = form->pairs[i].name;
	return tree;
}
