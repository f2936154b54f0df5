/* scenario.c: the rules by which faults are made, and how webhooks behave. */
#include "standin.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define HANG_DEFAULT (10 * 60 * 1000)

struct rule {
	char *method;   /* NULL: any */
	char *path;     /* NULL: any of Stripe's */
	char *order_id; /* NULL: any */
	int64_t nth;    /* the first matching request that it strikes */
	int64_t times;  /* how many it strikes; -1: all */
	int64_t seen;
	int64_t struck;
	struct fault fault;
};

struct webhook_options webhook_options;
int64_t settle_delay = 1000;

static struct rule *rules;
static size_t rule_count;

enum effect { NONE, DONE, DONE_IF_AFTER };

struct fault_name {
	const char *name;
	enum fault_kind kind;
	enum effect effect;
};

static const struct fault_name fault_names[] = {
	{"latency", LATENCY, DONE},
	{"reset", RESET, DONE_IF_AFTER},
	{"half_body", HALF_BODY_FAULT, DONE},
	{"half_headers", HALF_HEADERS_FAULT, DONE},
	{"status", STATUS, NONE},
	{"html502", HTML502, NONE},
	{"broken_json", BROKEN_JSON, DONE},
	{"empty", EMPTY, DONE},
	{"wrong_amount", WRONG_AMOUNT, DONE},
	{"black_hole", BLACK_HOLE, NONE},
	{"idle_close", IDLE_CLOSE, DONE},
	{"refused", REFUSED, DONE_IF_AFTER},
};

static const char *const mode_names[] = {
	[WEBHOOKS_ON] = "on",     [WEBHOOKS_OFF] = "off",           [WEBHOOKS_TWICE] = "twice",
	[WEBHOOKS_HELD] = "hold", [WEBHOOKS_REVERSED] = "reversed",
};

static bool only_knows(const cJSON *object, const char *const names[])
{
	const cJSON *item;

	cJSON_ArrayForEach(item, object)
	{
		size_t i = 0;

		while (names[i] && strcmp(names[i], item->string) != 0)
			i++;
		if (!names[i])
			return false;
	}
	return !object || cJSON_IsObject(object);
}

static bool json_true(const cJSON *object, const char *name)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static const char *read_when(const cJSON *json, struct fault *fault)
{
	static const char *const moments[] = {"before_read", "before", "after"};
	const char *when = json_text(json, "when");

	fault->when = BEFORE;
	if (!when)
		return NULL;
	for (size_t i = 0; i < COUNT(moments); i++) {
		if (strcmp(moments[i], when) == 0) {
			fault->when = (enum moment)i;
			return fault->when == BEFORE_READ && fault->kind != RESET
			               ? "before_read is for reset alone"
			               : NULL;
		}
	}
	return "unknown when";
}

static const struct fault_name *find_fault(const char *name)
{
	for (size_t i = 0; name && i < COUNT(fault_names); i++)
		if (strcmp(fault_names[i].name, name) == 0)
			return &fault_names[i];
	return NULL;
}

/* What the fault does to the operation, where the rule does not say. */
static void read_effect(const cJSON *json, enum effect usual, struct fault *fault)
{
	const cJSON *effect = cJSON_GetObjectItemCaseSensitive(json, "effect");
	const cJSON *saved = cJSON_GetObjectItemCaseSensitive(json, "saved");

	fault->effect = usual == DONE || (usual == DONE_IF_AFTER && fault->when == AFTER);
	if (effect)
		fault->effect = cJSON_IsTrue(effect);
	fault->saved =
		saved ? cJSON_IsTrue(saved) : fault->kind == STATUS && fault->status == 500;
}

static const char *read_fault(const cJSON *json, struct fault *fault)
{
	static const char *const names[] = {
		"fault",        "ms",          "when", "status",   "effect", "saved",
		"should_retry", "retry_after", "code", "currency", NULL};
	const struct fault_name *found = find_fault(json_text(json, "fault"));
	const char *wrong;

	if (!cJSON_IsObject(json) || !only_knows(json, names))
		return "unknown field in do";
	if (!found)
		return "unknown fault";
	fault->name = found->name;
	fault->kind = found->kind;
	wrong = read_when(json, fault);
	fault->status = (int)json_integer(json, "status", 500);
	read_effect(json, found->effect, fault);
	fault->milliseconds =
		json_integer(json, "ms", found->kind == BLACK_HOLE ? HANG_DEFAULT : 0);
	fault->retry_after = json_integer(json, "retry_after", -1);
	keep_text(fault->should_retry, sizeof(fault->should_retry),
	          json_text(json, "should_retry"));
	keep_text(fault->code, sizeof(fault->code), json_text(json, "code"));
	keep_text(fault->currency, sizeof(fault->currency), json_text(json, "currency"));
	if (fault->status < 400 || fault->status > 599)
		return "status must be 400 to 599";
	return wrong;
}

static const char *read_rule(const cJSON *json, struct rule *rule)
{
	static const char *const names[] = {"match", "do", NULL};
	static const char *const match_names[] = {"method", "path",     "nth",
	                                          "times",  "order_id", NULL};
	const cJSON *match = cJSON_GetObjectItemCaseSensitive(json, "match");
	const cJSON *order_id = cJSON_GetObjectItemCaseSensitive(match, "order_id");

	if (!cJSON_IsObject(json) || !only_knows(json, names))
		return "unknown field in a rule";
	if (!only_knows(match, match_names))
		return "unknown field in match";
	rule->method = copy_text(json_text(match, "method"));
	rule->path = copy_text(json_text(match, "path"));
	rule->nth = json_integer(match, "nth", 1);
	rule->times = json_integer(match, "times", 1);
	rule->order_id = cJSON_IsNumber(order_id) ? cJSON_PrintUnformatted(order_id)
	                                          : copy_text(cJSON_GetStringValue(order_id));
	return read_fault(cJSON_GetObjectItemCaseSensitive(json, "do"), &rule->fault);
}

static const char *read_webhooks(const cJSON *json, struct webhook_options *options)
{
	static const char *const names[] = {
		"mode",         "stale",         "wrong_secret", "rotated",  "created",
		"unknown_type", "before_answer", "livemode",     "delay_ms", NULL};
	const char *mode = json_text(json, "mode");
	size_t i = 0;

	if (!only_knows(json, names))
		return "unknown field in webhooks";
	while (mode && i < COUNT(mode_names) && strcmp(mode_names[i], mode) != 0)
		i++;
	if (i == COUNT(mode_names))
		return "unknown webhook mode";
	*options = (struct webhook_options){
		.mode = (enum webhook_mode)i,
		.stale = json_true(json, "stale"),
		.wrong_secret = json_true(json, "wrong_secret"),
		.rotated = json_true(json, "rotated"),
		.unknown_type = json_true(json, "unknown_type"),
		.before_answer = json_true(json, "before_answer"),
		.livemode = json_true(json, "livemode"),
		.created = json_true(json, "created"),
		.delay = json_integer(json, "delay_ms", 0),
	};
	return NULL;
}

static void release_rules(struct rule *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].method);
		free(list[i].path);
		free(list[i].order_id);
	}
	free(list);
}

const char *scenario_set(const cJSON *json)
{
	static const char *const names[] = {"rules", "webhooks", "settle_ms", NULL};
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "rules");
	struct webhook_options options;
	size_t count = (size_t)cJSON_GetArraySize(list);
	size_t read = 0;

	if (!cJSON_IsObject(json) || !only_knows(json, names) || (list && !cJSON_IsArray(list)))
		return "unknown field in the scenario";

	const char *wrong =
		read_webhooks(cJSON_GetObjectItemCaseSensitive(json, "webhooks"), &options);
	struct rule *fresh = take((count + 1) * sizeof(*fresh));
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		if (!wrong)
			wrong = read_rule(item, &fresh[read++]);
	}
	if (wrong) {
		release_rules(fresh, read);
		return wrong;
	}
	release_rules(rules, rule_count);
	rules = fresh;
	rule_count = count;
	webhook_options = options;
	settle_delay = json_integer(json, "settle_ms", 1000);
	return NULL;
}

cJSON *scenario_show(void)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, "rules");

	for (size_t i = 0; i < rule_count; i++) {
		cJSON *rule = cJSON_CreateObject();

		cJSON_AddStringToObject(rule, "fault", rules[i].fault.name);
		json_set_text(rule, "method", rules[i].method);
		json_set_text(rule, "path", rules[i].path);
		json_set_text(rule, "order_id", rules[i].order_id);
		json_set_integer(rule, "seen", rules[i].seen);
		json_set_integer(rule, "struck", rules[i].struck);
		cJSON_AddItemToArray(list, rule);
	}
	json_set_text(json, "webhooks", mode_names[webhook_options.mode]);
	json_set_integer(json, "settle_ms", settle_delay);
	return json;
}

/* Without a star the path must be the same, but one that ends in a slash is a prefix. */
static bool path_matches(const char *pattern, const char *path)
{
	if (!pattern)
		return starts_with(path, "/v1/");
	if (strchr(pattern, '*'))
		return fnmatch(pattern, path, 0) == 0;
	if (*pattern && pattern[strlen(pattern) - 1] == '/')
		return starts_with(path, pattern);
	return strcmp(pattern, path) == 0;
}

static bool rule_matches(const struct rule *rule, const struct request *request, bool unread)
{
	bool early = rule->fault.kind == RESET && rule->fault.when == BEFORE_READ;

	return early == unread &&
	       (!rule->method || strcmp(rule->method, request->method) == 0) &&
	       path_matches(rule->path, request->path) &&
	       (!rule->order_id || strcmp(rule->order_id, request->subject.order_id) == 0);
}

struct fault scenario_take(const struct request *request, bool unread)
{
	struct fault chosen = {0};

	for (size_t i = 0; i < rule_count; i++) {
		struct rule *rule = &rules[i];

		if (!rule_matches(rule, request, unread))
			continue;
		rule->seen++;
		if (chosen.kind != NO_FAULT || rule->seen < rule->nth ||
		    (rule->times >= 0 && rule->struck >= rule->times))
			continue;
		rule->struck++;
		chosen = rule->fault;
	}
	return chosen;
}

void clear_scenario(void)
{
	release_rules(rules, rule_count);
	rules = NULL;
	rule_count = 0;
	webhook_options = (struct webhook_options){0};
	settle_delay = 1000;
}
