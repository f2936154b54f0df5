/* lists.c: answers made of objects: one with its expansions, or a page of many. */
#include "standin.h"

#include <string.h>

/* The object behind an id field, as a copy; NULL if there is none here. */
static cJSON *object_behind(const char *field, const char *id)
{
	if (strcmp(field, "latest_charge") == 0 || strcmp(field, "charge") == 0) {
		const struct charge *charge = find_charge(id);

		return charge ? cJSON_Duplicate(charge->json, true) : NULL;
	}
	if (strcmp(field, "payment_intent") == 0) {
		const struct intent *intent = table_find(&intents, id);

		return intent ? cJSON_Duplicate(intent->json, true) : NULL;
	}
	return strcmp(field, "payment_method") == 0 ? new_method(id, NULL) : NULL;
}

/* check_parameters has seen to it that only fields which can be expanded are asked for. */
static void expand_object(const struct request *request, cJSON *json, const char *prefix)
{
	for (size_t i = 0; i < request->form.count; i++) {
		const struct pair *pair = &request->form.pairs[i];

		if (!starts_with(pair->name, "expand[") || !starts_with(pair->value, prefix))
			continue;

		const char *field = pair->value + strlen(prefix);
		const char *id = json_text(json, field);
		cJSON *object = id ? object_behind(field, id) : NULL;

		if (object)
			json_set(json, field, object);
	}
}

void answer_object(const struct request *request, struct answer *answer, cJSON *json)
{
	expand_object(request, json, "");
	set_json(answer, 200, json);
}

static const cJSON *object_of(const struct table *table, size_t row)
{
	void *value = table->rows[row].value;

	if (table == &intents)
		return ((struct intent *)value)->json;
	if (table == &charges)
		return ((struct charge *)value)->json;
	return ((struct refund *)value)->json;
}

static bool in_time(const struct form *form, const cJSON *json)
{
	int64_t created = json_integer(json, "created", 0);

	return created == form_integer(form, "created", created) &&
	       created > form_integer(form, "created[gt]", INT64_MIN) &&
	       created >= form_integer(form, "created[gte]", INT64_MIN) &&
	       created < form_integer(form, "created[lt]", INT64_MAX) &&
	       created <= form_integer(form, "created[lte]", INT64_MAX);
}

/* The row number of the object named by a cursor parameter; false when there is none such. */
static bool find_cursor(const struct request *request, struct answer *answer,
                        const struct table *table, const char *name, size_t *row)
{
	const char *id = form_value(&request->form, name);

	if (!id)
		return true;
	for (*row = 0; *row < table->count; ++*row)
		if (strcmp(table->rows[*row].key, id) == 0)
			return true;
	return invalid(answer, "resource_missing", name, "No such object: '%s'", id);
}

struct page {
	size_t limit;
	bool backwards; /* ending_before: the page just newer than the cursor */
	cJSON *data;
	bool has_more;
};

/* False when the page is full. */
static bool add_to_page(struct page *page, const cJSON *json)
{
	if ((size_t)cJSON_GetArraySize(page->data) == page->limit) {
		page->has_more = true;
		return false;
	}
	if (page->backwards)
		cJSON_InsertItemInArray(page->data, 0, cJSON_Duplicate(json, true));
	else
		cJSON_AddItemToArray(page->data, cJSON_Duplicate(json, true));
	return true;
}

static void fill_page(struct page *page, const struct request *request,
                      const struct table *table, size_t start,
                      bool (*keep)(const struct request *request, const cJSON *json))
{
	for (size_t n = 0; n < table->count; n++) {
		size_t row = page->backwards ? start + 1 + n : start - 1 - n;

		if (row >= table->count)
			return; /* below the first row it has wrapped round */

		const cJSON *json = object_of(table, row);

		if (in_time(&request->form, json) && keep(request, json) &&
		    !add_to_page(page, json))
			return;
	}
}

void answer_list(const struct request *request, struct answer *answer,
                 const struct table *table, const char *url,
                 bool (*keep)(const struct request *request, const cJSON *json))
{
	int64_t limit = form_integer(&request->form, "limit", 10);
	size_t after = table->count;
	size_t before = table->count;
	struct page page = {.backwards = form_value(&request->form, "ending_before") != NULL};
	cJSON *item;

	if (limit < 1 || limit > 100) {
		invalid(answer, "parameter_invalid_integer", "limit",
		        "This value must be between 1 and 100.");
		return;
	}
	if (!find_cursor(request, answer, table, "starting_after", &after) ||
	    !find_cursor(request, answer, table, "ending_before", &before))
		return;
	page.limit = (size_t)limit;
	page.data = cJSON_CreateArray();
	fill_page(&page, request, table, page.backwards ? before : after, keep);
	cJSON_ArrayForEach(item, page.data)
	{
		expand_object(request, item, "data.");
	}

	cJSON *list = cJSON_CreateObject();

	cJSON_AddStringToObject(list, "object", "list");
	cJSON_AddItemToObject(list, "data", page.data);
	cJSON_AddBoolToObject(list, "has_more", page.has_more);
	cJSON_AddStringToObject(list, "url", url);
	set_json(answer, 200, list);
}
