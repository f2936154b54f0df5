/* api.c: a request to Stripe's paths: checks, faults, idempotency, and the operation. */
#include "standin.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define INTENT_EXPANDS "latest_charge|customer|payment_method"
#define REFUND_EXPANDS "charge|payment_intent|balance_transaction"
#define CHARGE_EXPANDS "customer|payment_intent|balance_transaction"
#define INTENTS_EXPAND "data.latest_charge|data.customer|data.payment_method"
#define REFUNDS_EXPAND "data.charge|data.payment_intent|data.balance_transaction"

/* clang-format off */
static const struct operation operations[] = {
	{"POST", "/v1/payment_intents", {create_parameters, payment_parameters},
		INTENT_EXPANDS, create_intent},
	{"GET", "/v1/payment_intents", {list_intents_parameters}, INTENTS_EXPAND, list_intents},
	{"GET", "/v1/payment_intents/{}", {read_intent_parameters}, INTENT_EXPANDS, read_intent},
	{"POST", "/v1/payment_intents/{}/confirm", {confirm_parameters, payment_parameters},
		INTENT_EXPANDS, confirm_intent},
	{"POST", "/v1/payment_intents/{}/cancel", {cancel_parameters},
		INTENT_EXPANDS, cancel_intent},
	{"POST", "/v1/refunds", {refund_parameters}, REFUND_EXPANDS, create_refund},
	{"GET", "/v1/refunds", {list_refunds_parameters}, REFUNDS_EXPAND, list_refunds},
	{"GET", "/v1/refunds/{}", {read_parameters}, REFUND_EXPANDS, read_refund},
	{"GET", "/v1/charges/{}", {read_parameters}, CHARGE_EXPANDS, read_charge},
};
/* clang-format on */

static bool is_post(const struct request *request)
{
	return strcmp(request->method, "POST") == 0;
}

/* Matches the path and takes the id out of it. */
static bool path_fits(const char *pattern, const char *path, char target[ID_SIZE])
{
	const char *hole = strstr(pattern, "{}");

	target[0] = '\0';
	if (!hole)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, (size_t)(hole - pattern)) != 0)
		return false;
	path += hole - pattern;

	size_t length = strcspn(path, "/");

	if (!length || strcmp(path + length, hole + 2) != 0)
		return false;
	snprintf(target, ID_SIZE, "%.*s", (int)(length < ID_SIZE ? length : ID_SIZE), path);
	return true;
}

static const struct operation *find_operation(struct request *request)
{
	for (size_t i = 0; i < COUNT(operations); i++)
		if (path_fits(operations[i].path, request->path, request->target) &&
		    strcmp(operations[i].method, request->method) == 0)
			return &operations[i];
	return NULL;
}

/* ---- Before the operation ---- */

/* What a request is about: the order by its metadata, or by the intent that it names. */
static void find_subject(struct request *request)
{
	const char *currency = form_value(&request->form, "currency");
	const char *order_id = form_value(&request->form, "metadata[order_id]");
	const char *intent_id = form_value(&request->form, "payment_intent");
	const struct charge *charge = find_charge(form_value(&request->form, "charge"));
	const struct refund *refund = table_find(&refunds, request->target);
	const struct intent *intent =
		table_find(&intents, *request->target ? request->target : intent_id);

	if (!charge)
		charge = refund ? refund->charge : find_charge(request->target);
	if (!intent && charge)
		intent = charge->intent;
	if (intent)
		describe(&request->subject, intent, NULL, refund);
	else
		keep_text(request->subject.order_id, sizeof(request->subject.order_id),
		          order_id);
	if (currency && strlen(currency) == 3)
		keep_text(request->subject.currency, sizeof(request->subject.currency),
		          currency);
	request->subject.amount = form_integer(&request->form, "amount", -1);
}

static bool is_form(const struct request *request)
{
	static const char type[] = "application/x-www-form-urlencoded";
	const char *given = request->content_type;

	if (!request->body_length)
		return true;
	return given && strncasecmp(given, type, sizeof(type) - 1) == 0 &&
	       (!given[sizeof(type) - 1] || strchr("; ", given[sizeof(type) - 1]));
}

static void note_violations(const struct request *request)
{
	if (!request->stripe_version || !*request->stripe_version)
		ledger_request("violation", request, 0, "no Stripe-Version");
	if (is_post(request) && (!request->idempotency_key || !*request->idempotency_key))
		ledger_request("violation", request, 0, "POST without Idempotency-Key");
	if (is_post(request) && !is_form(request))
		ledger_request("violation", request, 0, "content type is not form-urlencoded");
}

static bool is_key(const char *given, size_t length)
{
	return length == strlen(settings.secret_key) &&
	       CRYPTO_memcmp(given, settings.secret_key, length) == 0;
}

static bool is_authorized(const struct request *request)
{
	const char *given = request->authorization;
	unsigned char decoded[768];

	if (!given)
		return false;
	if (strncasecmp(given, "Bearer ", 7) == 0)
		return is_key(given + 7, strlen(given + 7));
	if (strncasecmp(given, "Basic ", 6) != 0 || strlen(given) > 1000)
		return false;

	int length = EVP_DecodeBlock(decoded, (const unsigned char *)given + 6,
	                             (int)strlen(given + 6));
	const unsigned char *colon = length > 0 ? memchr(decoded, ':', (size_t)length) : NULL;

	return colon && is_key((const char *)decoded, (size_t)(colon - decoded));
}

static bool check_request(const struct request *request, struct answer *answer, bool decoded)
{
	if (!is_authorized(request)) {
		text_printf(&answer->headers, "WWW-Authenticate: Bearer realm=\"Stripe\"\r\n");
		refuse(answer, &(struct error){401, NULL, NULL, NULL},
		       request->authorization ? "Invalid API Key provided."
		                              : "You did not provide an API key.");
		return false;
	}
	if (is_post(request) && !is_form(request))
		return invalid(
			answer, NULL, NULL,
			"Invalid request: the body must be application/x-www-form-urlencoded.");
	if (!decoded)
		return invalid(answer, NULL, NULL,
		               "Invalid request: could not read the parameters.");
	return true;
}

/* ---- Faults ---- */

static void answer_status(struct answer *answer, const struct fault *fault)
{
	struct error error = {.status = fault->status, .type = "api_error"};

	error.code = *fault->code ? fault->code : NULL;
	if (fault->status == 429 || fault->status == 409)
		error.type = NULL;
	if (fault->status == 429 && !error.code)
		error.code = "rate_limit";
	if (fault->status == 409 && !error.code)
		error.code = "idempotency_key_in_use";
	refuse(answer, &error, "The stand-in was told to answer %d.", fault->status);
	answer->save = fault->saved;
	keep_text(answer->should_retry, sizeof(answer->should_retry), fault->should_retry);
	if (fault->retry_after >= 0)
		text_printf(&answer->headers, "Retry-After: %lld\r\n",
		            (long long)fault->retry_after);
}

static void answer_html(struct answer *answer)
{
	set_body(answer, 502,
	         copy_text("<html><head><title>502 Bad Gateway</title></head><body>"
	                   "<h1>502 Bad Gateway</h1></body></html>\n"));
	answer->content_type = "text/html";
	answer->should_retry[0] = '\0';
}

/* What strikes before the operation begins: nothing is done and nothing is saved. */
static bool fails_at_once(const struct fault *fault, struct answer *answer)
{
	if (fault->kind != LATENCY && fault->kind != BLACK_HOLE && fault->kind != NO_FAULT)
		pause_for(fault->milliseconds);
	if (fault->effect || fault->kind == NO_FAULT || (fault->kind == STATUS && fault->saved))
		return false;
	switch (fault->kind) {
	case STATUS:
		answer_status(answer, fault);
		break;
	case HTML502:
		answer_html(answer);
		break;
	case BLACK_HOLE:
		pause_for(fault->milliseconds);
		answer->ending = CUT;
		break;
	default:
		answer->ending = CUT;
		break;
	}
	return true;
}

static void falsify(struct answer *answer, const struct fault *fault)
{
	static const char *const amounts[] = {"amount", "amount_received"};
	cJSON *json = cJSON_Parse(answer->body);

	for (size_t i = 0; i < COUNT(amounts); i++) {
		int64_t amount = json_integer(json, amounts[i], 0);

		if (amount > 0 && !*fault->currency)
			json_set_integer(json, amounts[i], amount + 100);
	}
	if (*fault->currency && json_text(json, "currency"))
		json_set_text(json, "currency", fault->currency);
	if (json)
		set_json(answer, answer->status, json);
}

/* A proxy's answer, or a busy server's, in place of the true one. */
static void replace_answer(struct answer *answer, const struct fault *fault)
{
	answer->headers.length = 0;
	if (fault->kind == HTML502)
		answer_html(answer);
	else
		answer_status(answer, fault);
}

/* What strikes after the operation, when its true answer is already saved. */
static void spoil(struct answer *answer, const struct fault *fault)
{
	switch (fault->kind) {
	case LATENCY:
		if (fault->when == AFTER)
			pause_for(fault->milliseconds);
		break;
	case BLACK_HOLE:
		pause_for(fault->milliseconds);
		answer->ending = CUT;
		break;
	case RESET:
		answer->ending = CUT;
		break;
	case HALF_BODY_FAULT:
		answer->ending = HALF_BODY;
		break;
	case HALF_HEADERS_FAULT:
		answer->ending = HALF_HEADERS;
		break;
	case BROKEN_JSON:
		answer->length -= answer->length / 3;
		break;
	case EMPTY:
		set_body(answer, 200, copy_text(""));
		break;
	case WRONG_AMOUNT:
		falsify(answer, fault);
		break;
	case HTML502:
	case STATUS:
		if (!fault->saved)
			replace_answer(answer, fault);
		break;
	case NO_FAULT:
		break;
	}
}

/* ---- The operation ---- */

/* Locked. */
static void run_operation(struct request *request, struct answer *answer,
                          const struct operation *operation, const struct fault *fault)
{
	bool own_status = fault->kind == STATUS && fault->saved;

	answer->save = true;
	if (!own_status || fault->effect) {
		if (!check_parameters(operation, request, answer))
			return;
		operation->run(request, answer);
	}
	if (own_status && answer->save)
		answer_status(answer, fault);
}

static void execute(struct request *request, struct answer *answer,
                    const struct operation *operation, const struct fault *fault)
{
	bool keyed = is_post(request) && request->idempotency_key && *request->idempotency_key;

	if (keyed) {
		lock_state();
		bool fresh = idempotency_begin(request, answer);
		unlock_state();
		if (!fresh)
			return;
	}
	if (fault->kind == LATENCY && fault->when == BEFORE)
		pause_for(fault->milliseconds);
	lock_state();
	run_operation(request, answer, operation, fault);
	if (keyed && answer->save)
		idempotency_finish(request, answer);
	else if (keyed)
		idempotency_forget(request);
	bool before_answer = webhook_options.before_answer;
	unlock_state();
	if (before_answer)
		webhooks_wait(request->id);
}

static void perform(struct request *request, struct answer *answer, const struct fault *fault,
                    bool decoded)
{
	const struct operation *operation = find_operation(request);

	if (!check_request(request, answer, decoded) || fails_at_once(fault, answer))
		return;
	if (!operation) {
		refuse(answer, &(struct error){404, NULL, NULL, NULL},
		       "Unrecognized request URL (%s: %s).", request->method, request->path);
		return;
	}
	execute(request, answer, operation, fault);
	spoil(answer, fault);
}

bool cut_unread(struct request *request)
{
	struct fault fault;

	if (starts_with(request->path, "/_fake/"))
		return false;
	lock_state();
	fault = scenario_take(request, true);
	if (fault.kind == RESET) {
		ledger_request("received", request, 0, "unread");
		ledger_request("answered", request, 0, fault.name);
	}
	unlock_state();
	return fault.kind == RESET;
}

void answer_request(struct request *request, struct answer *answer)
{
	struct fault fault;
	bool decoded;

	if (starts_with(request->path, "/_fake/")) {
		answer_control(request, answer);
		return;
	}
	new_id(request->id, "req_", 14);
	decoded = is_post(request)
	                  ? !is_form(request) || form_decode(&request->form, request->body,
	                                                     request->body_length)
	                  : form_decode(&request->form, request->query, strlen(request->query));
	form_digest(&request->form, request->params_sha256);
	find_operation(request);
	lock_state();
	find_subject(request);
	ledger_request("received", request, 0, NULL);
	note_violations(request);
	fault = scenario_take(request, false);
	unlock_state();
	perform(request, answer, &fault, decoded);
	lock_state();
	ledger_request("answered", request, answer->ending == CUT ? 0 : answer->status,
	               fault.name);
	unlock_state();
}
