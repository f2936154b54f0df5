/* api.c: a request to Stripe's paths: checks, faults, idempotency, and the operation. */
#include "standin.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* clang-format off */
static struct operation operations[] = {
	{"POST", "/v1/payment_intents",                  create_intent},
	{"GET",  "/v1/payment_intents",                  list_intents},
	{"GET",  "/v1/payment_intents/{intent}",         read_intent},
	{"POST", "/v1/payment_intents/{intent}/confirm", confirm_intent},
	{"POST", "/v1/payment_intents/{intent}/capture", capture_intent},
	{"POST", "/v1/payment_intents/{intent}/cancel",  cancel_intent},
	{"POST", "/v1/refunds",                          create_refund},
	{"GET",  "/v1/refunds",                          list_refunds},
	{"GET",  "/v1/refunds/{refund}",                 read_refund},
	{"GET",  "/v1/charges/{charge}",                 read_charge},
};
/* clang-format on */

void api_start(void)
{
	spec_start(operations, COUNT(operations));
}

static bool is_post(const struct request *request)
{
	return strcmp(request->method, "POST") == 0;
}

/* Matches the path and takes the id out of it. */
static bool path_fits(const char *pattern, const char *path, char target[ID_SIZE])
{
	const char *hole = strchr(pattern, '{');

	target[0] = '\0';
	if (!hole)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, (size_t)(hole - pattern)) != 0)
		return false;
	path += hole - pattern;

	size_t length = strcspn(path, "/");

	if (!length || strcmp(path + length, strchr(hole, '}') + 1) != 0)
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

/* What this house demands of every request, whether or not Stripe would refuse it. */
static void note_violations(const struct request *request)
{
	const char *version = request->stripe_version;
	const char *key = request->idempotency_key;

	if (!request->authorization || !is_authorized(request))
		note_violation(request, request->authorization ? "another key in Authorization"
		                                               : "no Authorization");
	if (!version || !*version)
		note_violation(request, "no Stripe-Version");
	else if (strcmp(version, API_VERSION) != 0)
		note_violation(request, "another Stripe-Version than " API_VERSION);
	if (is_post(request) && (!key || !*key))
		note_violation(request, "POST without Idempotency-Key");
	if (is_post(request) && !is_form(request))
		note_violation(request, "content type is not form-urlencoded");
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

	if (!check_request(request, answer, decoded) || fault_at_once(fault, answer))
		return;
	if (!operation) {
		lock_state();
		note_violation(request, "no such operation");
		unlock_state();
		refuse(answer, &(struct error){404, NULL, NULL, NULL},
		       "Unrecognized request URL (%s: %s).", request->method, request->path);
		return;
	}
	execute(request, answer, operation, fault);
	check_answer(operation, request, answer);
	fault_afterwards(fault, answer);
}

bool cut_unread(struct request *request, bool doomed)
{
	struct fault fault = {.kind = RESET, .name = "idle_close"};

	if (starts_with(request->path, "/_fake/"))
		return false;
	lock_state();
	if (!doomed)
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
	bool cut = answer->ending == CUT || answer->ending == HANG;
	ledger_request("answered", request, cut ? 0 : answer->status, fault.name);
	unlock_state();
}
