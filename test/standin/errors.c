/* errors.c: {"error":{...}}, the one form of every refusal. */
#include "standin.h"

#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_SIZE 700

cJSON *make_error(const struct error *error, const char *message)
{
	cJSON *body = cJSON_CreateObject();
	cJSON *inner = cJSON_AddObjectToObject(body, "error");
	char url[160];

	if (error->code) {
		snprintf(url, sizeof(url), "https://stripe.com/docs/error-codes/%s",
		         error->code);
		cJSON_AddStringToObject(inner, "code", error->code);
		cJSON_AddStringToObject(inner, "doc_url", url);
	}
	cJSON_AddStringToObject(inner, "message", message);
	if (error->param)
		cJSON_AddStringToObject(inner, "param", error->param);
	cJSON_AddStringToObject(inner, "type",
	                        error->type ? error->type : "invalid_request_error");
	return body;
}

static void answer_error(struct answer *answer, const struct error *error, const cJSON *intent,
                         const char *message)
{
	cJSON *body = make_error(error, message);

	if (intent)
		json_set(cJSON_GetObjectItem(body, "error"), "payment_intent",
		         cJSON_Duplicate(intent, true));
	set_json(answer, error->status, body);
}

bool invalid(struct answer *answer, const char *code, const char *param, const char *format,
             ...)
{
	char message[MESSAGE_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(message, sizeof(message), format, values);
	va_end(values);
	answer_error(answer, &(struct error){400, NULL, code, param}, NULL, message);
	answer->save = false;
	return false;
}

void refuse(struct answer *answer, const struct error *error, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(message, sizeof(message), format, values);
	va_end(values);
	answer_error(answer, error, NULL, message);
	answer->save = true;
}

void refuse_intent(struct answer *answer, const cJSON *intent, const char *format, ...)
{
	const struct error error = {400, NULL, "payment_intent_unexpected_state", NULL};
	char message[MESSAGE_SIZE];
	va_list values;

	va_start(values, format);
	vsnprintf(message, sizeof(message), format, values);
	va_end(values);
	answer_error(answer, &error, intent, message);
	answer->save = true;
}
