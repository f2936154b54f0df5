/* check.c: holds requests and answers against the description of their operation. */
#include "standin.h"

#include <stdio.h>
#include <string.h>

#define METADATA_KEYS_MAX 50
#define METADATA_KEY_MAX 40

static const char *const misfit_names[] = {
	[FITS] = "fits",
	[NOT_THERE] = "parameter_missing",
	[NOT_KNOWN] = "parameter_unknown",
	[NOT_OF_TYPE] = "wrong type",
	[NOT_A_CHOICE] = "no such choice",
	[TOO_LONG] = "too long",
	[IS_EMPTY] = "parameter_invalid_empty",
};

/* ---- Requests ---- */

/* Notes it in the ledger, too: the caller has a mistake that no user of it can have made. */
static bool refuse_parameter(const struct request *request, struct answer *answer,
                             const char *fault, const char *name)
{
	char detail[WHERE_SIZE + 64];

	snprintf(detail, sizeof(detail), "%s: %.*s", fault, WHERE_SIZE - 1, name);
	note_violation(request, detail);
	return invalid(answer, NULL, name, "Invalid %s: %s.", name, fault);
}

static void refuse_type(const struct misfit *misfit, struct answer *answer)
{
	const char *type = json_text(misfit->schema, "type");

	invalid(answer,
	        type && strcmp(type, "integer") == 0 ? "parameter_invalid_integer" : NULL,
	        misfit->where, "Invalid %s", type ? type : "value");
}

static void refuse_misfit(const struct request *request, const struct misfit *misfit,
                          struct answer *answer)
{
	const char *where = misfit->where;

	refuse_parameter(request, answer, misfit_names[misfit->kind], where);
	switch (misfit->kind) {
	case NOT_THERE:
		invalid(answer, "parameter_missing", where, "Missing required param: %s.",
		        where);
		break;
	case NOT_KNOWN:
		invalid(answer, "parameter_unknown", where, "Received unknown parameter: %s",
		        where);
		break;
	case IS_EMPTY:
		invalid(answer, "parameter_invalid_empty", where,
		        "You passed an empty string for '%s'.", where);
		break;
	case NOT_OF_TYPE:
		refuse_type(misfit, answer);
		break;
	case TOO_LONG:
		invalid(answer, NULL, where, "Invalid string: must be at most %d characters",
		        (int)json_integer(misfit->schema, "maxLength", 0));
		break;
	case NOT_A_CHOICE:
	case FITS:
		break;
	}
}

static bool check_metadata(const struct request *request, struct answer *answer)
{
	size_t count = 0;

	for (size_t i = 0; i < request->form.count; i++) {
		const char *name = request->form.pairs[i].name;

		if (!starts_with(name, "metadata["))
			continue;
		if (++count > METADATA_KEYS_MAX)
			return refuse_parameter(request, answer, "more than 50 keys",
			                        "metadata");
		if (strlen(name) > strlen("metadata[]") + METADATA_KEY_MAX)
			return refuse_parameter(request, answer, "a key over 40 characters",
			                        "metadata");
	}
	return true;
}

/* Of a list the fields of each object are named, data.charge. */
static bool can_expand(const struct operation *operation, const char *field)
{
	const cJSON *answers = spec_resolve(operation->answers);
	const cJSON *properties = cJSON_GetObjectItemCaseSensitive(answers, "properties");
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(properties, "data");

	if (data) {
		if (!starts_with(field, "data."))
			return false;
		field += strlen("data.");
		answers = spec_resolve(
			cJSON_GetObjectItemCaseSensitive(spec_resolve(data), "items"));
		properties = cJSON_GetObjectItemCaseSensitive(answers, "properties");
	}
	return cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(properties, field), "x-expandable");
}

static bool check_expand(const struct operation *operation, const struct request *request,
                         struct answer *answer)
{
	for (size_t i = 0; i < request->form.count; i++) {
		const struct pair *pair = &request->form.pairs[i];

		if (starts_with(pair->name, "expand[") && !can_expand(operation, pair->value))
			return refuse_parameter(request, answer, "cannot be expanded",
			                        pair->name);
	}
	return true;
}

bool check_parameters(const struct operation *operation, const struct request *request,
                      struct answer *answer)
{
	struct misfit misfit;
	const char *malformed;
	cJSON *tree = form_tree(&request->form, &malformed);

	if (malformed) {
		misfit.kind = NOT_KNOWN;
		keep_text(misfit.where, WHERE_SIZE, malformed);
		refuse_misfit(request, &misfit, answer);
	} else if (!schema_fits(operation->asks, tree, true, &misfit)) {
		refuse_misfit(request, &misfit, answer);
	}
	cJSON_Delete(tree);
	return misfit.kind == FITS && check_metadata(request, answer) &&
	       check_expand(operation, request, answer);
}

/* ---- What the stand-in sends ---- */

static void note_misfit(const struct request *request, const char *what,
                        const struct misfit *misfit)
{
	char detail[WHERE_SIZE + 96];

	snprintf(detail, sizeof(detail), "%s of the stand-in: %s: %s", what,
	         misfit_names[misfit->kind], misfit->where);
	note_violation(request, detail);
}

void check_answer(const struct operation *operation, const struct request *request,
                  const struct answer *answer)
{
	cJSON *json = cJSON_Parse(answer->body);
	struct misfit misfit;

	if (!schema_fits(answer->status == 200 ? operation->answers : operation->refuses, json,
	                 false, &misfit)) {
		lock_state();
		note_misfit(request, "answer", &misfit);
		unlock_state();
	}
	cJSON_Delete(json);
}

void check_event(const struct request *request, const cJSON *event)
{
	struct misfit misfit;

	if (!schema_fits(spec_schema("event"), event, false, &misfit))
		note_misfit(request, "event", &misfit);
}
