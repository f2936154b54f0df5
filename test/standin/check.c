/* check.c: holds a request's parameters against its operation's table. */
#include "standin.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum fit { UNKNOWN, WANTS_OBJECT, WANTS_LIST, FITS };

/* Length of the segment at text: "name" up to a bracket, or "[key]". 0: malformed or end. */
static size_t segment(const char *text)
{
	if (*text != '[')
		return strcspn(text, "[]");

	size_t length = strcspn(text + 1, "[]");

	return text[length + 1] == ']' ? length + 2 : 0;
}

static bool is_index(const char *text, size_t length)
{
	for (size_t i = 1; i + 1 < length; i++)
		if (!isdigit((unsigned char)text[i]))
			return false;
	return *text == '[';
}

/* How the segment of a name fits that of a pattern; both are not empty. */
static enum fit match_segment(const char *pattern, const char *name, size_t size)
{
	if (!size)
		return UNKNOWN;
	if (starts_with(pattern, "[]"))
		return is_index(name, size) ? FITS : WANTS_LIST;
	if (starts_with(pattern, "[*]"))
		return size >= strlen("[k]") ? FITS : UNKNOWN;
	return size == segment(pattern) && strncmp(pattern, name, size) == 0 ? FITS : UNKNOWN;
}

static enum fit match_name(const char *pattern, const char *name)
{
	while (*pattern && *name) {
		size_t size = segment(name);

		if (size && strcmp(pattern, "[**]") == 0)
			return FITS;

		enum fit fit = match_segment(pattern, name, size);

		if (fit != FITS)
			return fit;
		pattern += segment(pattern);
		name += size;
	}
	if (*pattern && !*name)
		return starts_with(pattern, "[]") ? WANTS_LIST : WANTS_OBJECT;
	return *name ? UNKNOWN : FITS;
}

static const struct parameter *find_parameter(const struct operation *operation,
                                              const char *name, enum fit *best)
{
	*best = UNKNOWN;
	for (size_t i = 0; i < COUNT(operation->parameters); i++) {
		const struct parameter *at = operation->parameters[i];

		for (; at && at->name; at++) {
			enum fit fit = match_name(at->name, name);

			if (fit > *best)
				*best = fit;
			if (fit == FITS)
				return at;
		}
	}
	return NULL;
}

static bool is_integer(const char *value)
{
	size_t digits;

	if (*value == '-')
		value++;
	digits = strspn(value, "0123456789");
	return digits > 0 && digits <= 15 && !value[digits];
}

static bool is_choice(const char *choices, const char *value)
{
	size_t length = strlen(value);

	while (*choices) {
		size_t size = strcspn(choices, "|");

		if (size == length && strncmp(choices, value, size) == 0)
			return true;
		choices += size + (choices[size] == '|');
	}
	return false;
}

static bool check_value(const struct parameter *parameter, const struct pair *pair,
                        struct answer *answer)
{
	const char *value = pair->value;
	size_t max = parameter->max ? parameter->max : 5000;

	if (!*value)
		return parameter->empty ||
		       invalid(answer, "parameter_invalid_empty", pair->name,
		               "You passed an empty string for '%s'.", pair->name);
	switch (parameter->type) {
	case INTEGER:
		return is_integer(value) || invalid(answer, "parameter_invalid_integer",
		                                    pair->name, "Invalid integer: %s", value);
	case BOOLEAN:
		return is_choice("true|false", value) ||
		       invalid(answer, NULL, pair->name, "Invalid boolean: %s", value);
	case CHOICE:
		return is_choice(parameter->choices, value) ||
		       invalid(answer, NULL, pair->name, "Invalid %s: must be one of %s",
		               pair->name, parameter->choices);
	case TEXT:
		return strlen(value) <= max ||
		       invalid(answer, NULL, pair->name,
		               "Invalid string: must be at most %zu characters", max);
	case OPEN:
		break;
	}
	return true;
}

static bool check_metadata(const struct request *request, struct answer *answer)
{
	size_t count = 0;

	for (size_t i = 0; i < request->form.count; i++) {
		const char *name = request->form.pairs[i].name;

		if (!starts_with(name, "metadata["))
			continue;
		if (++count > 50)
			return invalid(answer, NULL, "metadata",
			               "Metadata can have up to 50 keys.");
		if (strlen(name) > strlen("metadata[]") + 40)
			return invalid(answer, NULL, "metadata",
			               "Metadata keys can be up to 40 characters long.");
	}
	return true;
}

static bool check_required(const struct operation *operation, const struct request *request,
                           struct answer *answer)
{
	for (size_t i = 0; i < COUNT(operation->parameters); i++) {
		const struct parameter *at = operation->parameters[i];

		for (; at && at->name; at++)
			if (at->required && !form_value(&request->form, at->name))
				return invalid(answer, "parameter_missing", at->name,
				               "Missing required param: %s.", at->name);
	}
	return true;
}

static bool unknown_parameter(const struct request *request, enum fit fit, const char *name,
                              struct answer *answer)
{
	char detail[160];

	snprintf(detail, sizeof(detail), "parameter_unknown: %s", name);
	ledger_request("violation", request, 0, detail);
	if (fit == WANTS_LIST)
		return invalid(answer, NULL, name, "Invalid array");
	if (fit == WANTS_OBJECT)
		return invalid(answer, NULL, name, "Invalid object");
	return invalid(answer, "parameter_unknown", name, "Received unknown parameter: %s",
	               name);
}

static bool check_expand(const struct operation *operation, const struct pair *pair,
                         struct answer *answer)
{
	return !starts_with(pair->name, "expand[") ||
	       is_choice(operation->expands, pair->value) ||
	       invalid(answer, NULL, pair->name, "This property cannot be expanded (%s).",
	               pair->value);
}

bool check_parameters(const struct operation *operation, const struct request *request,
                      struct answer *answer)
{
	for (size_t i = 0; i < request->form.count; i++) {
		const struct pair *pair = &request->form.pairs[i];
		enum fit fit;
		const struct parameter *parameter = find_parameter(operation, pair->name, &fit);

		if (!parameter)
			return unknown_parameter(request, fit, pair->name, answer);
		if (!check_value(parameter, pair, answer) ||
		    !check_expand(operation, pair, answer))
			return false;
	}
	return check_metadata(request, answer) && check_required(operation, request, answer);
}
