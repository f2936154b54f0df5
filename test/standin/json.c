/* json.c: small helpers over cJSON, and the bodies of answers. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

const char *json_text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

int64_t json_integer(const cJSON *object, const char *name, int64_t otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : otherwise;
}

void json_set(cJSON *object, const char *name, cJSON *item)
{
	if (cJSON_GetObjectItemCaseSensitive(object, name))
		cJSON_ReplaceItemInObjectCaseSensitive(object, name, item);
	else
		cJSON_AddItemToObject(object, name, item);
}

void json_set_text(cJSON *object, const char *name, const char *text)
{
	json_set(object, name, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

void json_set_integer(cJSON *object, const char *name, int64_t number)
{
	json_set(object, name, cJSON_CreateNumber((double)number));
}

void set_body(struct answer *answer, int status, char *body)
{
	free(answer->body);
	answer->status = status;
	answer->body = body;
	answer->length = strlen(body);
}

void set_json(struct answer *answer, int status, cJSON *json)
{
	set_body(answer, status, cJSON_PrintUnformatted(json));
	cJSON_Delete(json);
}
