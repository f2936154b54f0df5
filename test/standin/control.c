/* control.c: the paths under /_fake/, by which a test steers and reads the stand-in. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

struct control {
	const char *method;
	const char *path;
	void (*run)(struct request *request, struct answer *answer, const cJSON *body);
};

struct sunk {
	struct sunk *next;
	cJSON *json;
};

static struct sunk *sink;

static void wrong(struct answer *answer, const char *message)
{
	invalid(answer, NULL, NULL, "%s", message);
}

static void answer_done(struct answer *answer)
{
	set_body(answer, 200, copy_text("{\"ok\":true}"));
}

static void show_ledger(struct request *request, struct answer *answer, const cJSON *body)
{
	struct text text = {0};
	int64_t since;

	(void)body;
	if (!form_decode(&request->form, request->query, strlen(request->query))) {
		wrong(answer, "could not read the query");
		return;
	}
	since = form_integer(&request->form, "since", 0);
	ledger_print(&text, form_value(&request->form, "order_id"),
	             since > 0 ? (size_t)since : 0);
	set_body(answer, 200, text.bytes);
}

static void show_violations(struct request *request, struct answer *answer, const cJSON *body)
{
	struct text text = {0};

	(void)request;
	(void)body;
	violations_print(&text);
	set_body(answer, 200, text.bytes);
}

/* The answer still comes, on this connection. */
static void refuse_for(struct request *request, struct answer *answer, const cJSON *body)
{
	int64_t milliseconds = json_integer(body, "ms", 0);

	(void)request;
	if (milliseconds < 1 || milliseconds > 60000) {
		wrong(answer, "wants ms, 1 to 60000");
		return;
	}
	refuse_connections(milliseconds);
	answer_done(answer);
}

static void set_scenario(struct request *request, struct answer *answer, const cJSON *body)
{
	const char *problem = scenario_set(body);

	(void)request;
	if (problem)
		wrong(answer, problem);
	else
		answer_done(answer);
}

static void show_scenario(struct request *request, struct answer *answer, const cJSON *body)
{
	(void)request;
	(void)body;
	set_json(answer, 200, scenario_show());
}

/* 1 or 0 as the result is one or the other word; -1 when it is neither. */
static int read_result(const cJSON *body, const char *good, const char *bad)
{
	const char *result = json_text(body, "result");

	if (result && strcmp(result, good) == 0)
		return 1;
	return result && strcmp(result, bad) == 0 ? 0 : -1;
}

static void authenticate(struct request *request, struct answer *answer, const cJSON *body)
{
	struct intent *intent = table_find(&intents, json_text(body, "payment_intent"));
	int result = read_result(body, "ok", "fail");

	if (!intent || result < 0) {
		wrong(answer, "wants payment_intent, and result ok or fail");
		return;
	}
	if (strcmp(object_status(intent->json), "requires_action") != 0) {
		wrong(answer, "the payment intent is not in requires_action");
		return;
	}
	if (result)
		complete_payment(request, intent);
	else
		fail_payment(request, intent, &authentication_failed);
	set_json(answer, 200, cJSON_Duplicate(intent->json, true));
}

/* Whether a refund can fail for this reason. */
static bool is_reason(const cJSON *reason)
{
	const cJSON *fields = cJSON_GetObjectItem(spec_schema("refund"), "properties");
	struct misfit misfit;

	return !reason || schema_fits(cJSON_GetObjectItem(fields, "failure_reason"), reason,
	                              false, &misfit);
}

static void settle_payment(struct request *request, struct answer *answer, const cJSON *body)
{
	struct intent *intent = table_find(&intents, json_text(body, "payment_intent"));
	int result = read_result(body, "succeeded", "failed");

	if (!intent || result < 0)
		wrong(answer, "wants a payment_intent, and result succeeded or failed");
	else if (!settle_intent(request, intent, result))
		wrong(answer, "there is nothing to settle");
	else
		set_json(answer, 200, cJSON_Duplicate(intent->json, true));
}

static void settle_given_refund(struct request *request, struct answer *answer,
                                const cJSON *body)
{
	struct refund *refund = table_find(&refunds, json_text(body, "refund"));
	const cJSON *reason = cJSON_GetObjectItem(body, "reason");
	int result = read_result(body, "succeeded", "failed");

	if (!refund || result < 0 || !is_reason(reason))
		wrong(answer, "wants a refund, result succeeded or failed, and perhaps reason");
	else if (!settle_refund(request, refund, result, cJSON_GetStringValue(reason)))
		wrong(answer, "there is nothing to settle");
	else
		set_json(answer, 200, cJSON_Duplicate(refund->json, true));
}

static void close_dispute(struct request *request, struct answer *answer, const cJSON *body)
{
	struct charge *charge = table_find(&charges, json_text(body, "charge"));
	int result = read_result(body, "won", "lost");

	if (!charge || result < 0)
		wrong(answer, "wants a charge, and result won or lost");
	else if (!settle_dispute(request, charge, result))
		wrong(answer, "there is nothing to settle");
	else
		set_json(answer, 200, cJSON_Duplicate(charge->dispute, true));
}

static void settle(struct request *request, struct answer *answer, const cJSON *body)
{
	if (cJSON_HasObjectItem(body, "refund"))
		settle_given_refund(request, answer, body);
	else if (cJSON_HasObjectItem(body, "charge"))
		close_dispute(request, answer, body);
	else
		settle_payment(request, answer, body);
}

static void refund_elsewhere(struct request *request, struct answer *answer, const cJSON *body)
{
	const struct intent *intent = table_find(&intents, json_text(body, "payment_intent"));
	int64_t amount = json_integer(body, "amount", EVERYTHING);

	if (!intent || !intent->charge || (amount < 1 && amount != EVERYTHING))
		wrong(answer, "wants payment_intent, one that was charged, and perhaps amount");
	else
		refund_charge(request, answer, intent->charge, amount);
}

static void release_held(struct request *request, struct answer *answer, const cJSON *body)
{
	cJSON *json = cJSON_CreateObject();

	(void)request;
	(void)body;
	json_set_integer(json, "released", (int64_t)release_webhooks());
	set_json(answer, 200, json);
}

static void advance(struct request *request, struct answer *answer, const cJSON *body)
{
	int64_t seconds = json_integer(body, "seconds", -1);
	cJSON *json;

	(void)request;
	if (seconds < 0 || seconds > INT32_MAX) {
		wrong(answer, "wants seconds, not below zero");
		return;
	}
	advance_clock(seconds);
	webhooks_wake();
	json = cJSON_CreateObject();
	json_set_integer(json, "now", now_seconds());
	set_json(answer, 200, json);
}

static void clear_sink(void)
{
	while (sink) {
		struct sunk *next = sink->next;

		cJSON_Delete(sink->json);
		free(sink);
		sink = next;
	}
}

void forget_everything(void)
{
	clear_settlements();
	clear_webhooks();
	clear_idempotency();
	clear_scenario();
	clear_objects();
	clear_ledger();
	clear_sink();
}

static void reset(struct request *request, struct answer *answer, const cJSON *body)
{
	(void)request;
	(void)body;
	forget_everything();
	answer_done(answer);
}

/* Whoever is kept waiting, by a rule's ms, waits no longer. */
static void hurry(struct request *request, struct answer *answer, const cJSON *body)
{
	(void)request;
	(void)body;
	end_pauses();
	answer_done(answer);
}

static void show_sink(struct request *request, struct answer *answer, const cJSON *body)
{
	cJSON *json = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(json, "received");

	(void)request;
	(void)body;
	for (const struct sunk *at = sink; at; at = at->next)
		cJSON_AddItemToArray(list, cJSON_Duplicate(at->json, true));
	set_json(answer, 200, json);
}

/* The answer obeys rules whose path is /_fake/sink, so that a test can have it refuse. */
static void fill_sink(struct request *request, struct answer *answer)
{
	struct sunk *sunk = take(sizeof(*sunk));
	struct sunk **end = &sink;
	struct fault fault;

	lock_state();
	fault = scenario_take(request, false);
	sunk->json = cJSON_CreateObject();
	json_set_text(sunk->json, "signature", request->signature);
	json_set_text(sunk->json, "content_type", request->content_type);
	json_set_text(sunk->json, "body", request->body);
	json_set_integer(sunk->json, "connection", (int64_t)request->connection);
	json_set_integer(sunk->json, "status", fault.kind == STATUS ? fault.status : 200);
	while (*end)
		end = &(*end)->next;
	*end = sunk;
	unlock_state();
	pause_for(fault.milliseconds);
	if (fault.kind == STATUS)
		refuse(answer, &(struct error){fault.status, NULL, NULL, NULL},
		       "told to refuse");
	else
		answer_done(answer);
}

static const struct control controls[] = {
	{"GET", "/_fake/ledger", show_ledger},
	{"GET", "/_fake/violations", show_violations},
	{"POST", "/_fake/refuse", refuse_for},
	{"POST", "/_fake/scenario", set_scenario},
	{"GET", "/_fake/scenario", show_scenario},
	{"POST", "/_fake/authenticate", authenticate},
	{"POST", "/_fake/settle", settle},
	{"POST", "/_fake/refund", refund_elsewhere},
	{"POST", "/_fake/release_webhooks", release_held},
	{"POST", "/_fake/advance", advance},
	{"POST", "/_fake/hurry", hurry},
	{"POST", "/_fake/reset", reset},
	{"GET", "/_fake/sink", show_sink},
};

void answer_control(struct request *request, struct answer *answer)
{
	cJSON *body;

	if (strcmp(request->path, "/_fake/sink") == 0 && strcmp(request->method, "POST") == 0) {
		fill_sink(request, answer);
		return;
	}
	for (size_t i = 0; i < COUNT(controls); i++) {
		if (strcmp(controls[i].path, request->path) != 0 ||
		    strcmp(controls[i].method, request->method) != 0)
			continue;
		body = cJSON_Parse(request->body);
		if (!body && request->body_length) {
			wrong(answer, "could not read the body: not JSON");
			return;
		}
		lock_state();
		controls[i].run(request, answer, body);
		unlock_state();
		cJSON_Delete(body);
		return;
	}
	refuse(answer, &(struct error){404, NULL, NULL, NULL}, "no such control: %s %s",
	       request->method, request->path);
}
