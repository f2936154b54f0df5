/* spec.c: our own description of Stripe's API, openapi.json, which the build puts in as text.
 */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char openapi_json[]; /* made from openapi.json */

static cJSON *document;
static cJSON *made; /* schemas of query strings, which the document has as lists */
static const cJSON *schemas;

static void fail(const char *what, const char *which)
{
	fprintf(stderr, "could not use openapi.json: %s %s\n", what, which);
	exit(EXIT_FAILURE);
}

static const cJSON *at(const cJSON *json, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(json, name);
}

const cJSON *spec_resolve(const cJSON *json)
{
	const char *reference = json_text(json, "$ref");
	const cJSON *found = document;
	char name[64];

	if (!reference)
		return json;
	for (const char *from = reference + 1; *from == '/';) {
		size_t length = strcspn(from + 1, "/");

		snprintf(name, sizeof(name), "%.*s", (int)length, from + 1);
		found = at(found, name);
		from += length + 1;
	}
	if (!found)
		fail("nothing is at", reference);
	return spec_resolve(found);
}

const cJSON *spec_schema(const char *name)
{
	return at(schemas, name);
}

/* The parameters of a query string as the schema of an object. */
static const cJSON *query_schema(const cJSON *parameters)
{
	cJSON *schema = cJSON_CreateObject();
	cJSON *properties = cJSON_AddObjectToObject(schema, "properties");
	const cJSON *item;

	cJSON_AddStringToObject(schema, "type", "object");
	cJSON_AddFalseToObject(schema, "additionalProperties");
	cJSON_ArrayForEach(item, parameters)
	{
		const cJSON *parameter = spec_resolve(item);

		if (strcmp(json_text(parameter, "in"), "query") == 0)
			cJSON_AddItemToObject(properties, json_text(parameter, "name"),
			                      cJSON_Duplicate(at(parameter, "schema"), true));
	}
	cJSON_AddItemToArray(made, schema);
	return schema;
}

static const cJSON *content_schema(const cJSON *holder, const char *type)
{
	return at(at(at(holder, "content"), type), "schema");
}

static void describe_operation(struct operation *operation)
{
	const bool is_post = strcmp(operation->method, "POST") == 0;
	const cJSON *path = at(at(document, "paths"), operation->path);
	const cJSON *found = at(path, is_post ? "post" : "get");
	const cJSON *answers = at(found, "responses");
	const cJSON *success = spec_resolve(at(answers, "200"));
	const cJSON *error = spec_resolve(at(answers, "default"));

	operation->asks = is_post ? content_schema(at(found, "requestBody"),
	                                           "application/x-www-form-urlencoded")
	                          : query_schema(at(found, "parameters"));
	operation->answers = content_schema(success, "application/json");
	operation->refuses = content_schema(error, "application/json");
	if (!operation->asks || !operation->answers || !operation->refuses)
		fail("it does not describe", operation->path);
}

/* How many operations the document describes. */
static size_t described(void)
{
	size_t count = 0;
	const cJSON *path;

	cJSON_ArrayForEach(path, at(document, "paths"))
	{
		count += (size_t)cJSON_GetArraySize(path);
	}
	return count;
}

void spec_start(struct operation *operations, size_t count)
{
	document = cJSON_Parse(openapi_json);
	made = cJSON_CreateArray();
	schemas = at(at(document, "components"), "schemas");
	if (!schemas)
		fail("it is no such document", "");
	for (size_t i = 0; i < count; i++)
		describe_operation(&operations[i]);
	if (described() != count)
		fail("it describes operations that are", "not served");
}

void spec_stop(void)
{
	cJSON_Delete(document);
	cJSON_Delete(made);
}
