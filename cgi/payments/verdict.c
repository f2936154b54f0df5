/* verdict.c: forms for Stripe, and what its answers mean. */
#include <string.h>

#include "parts.h"

static const char *encode(struct arena *arena, const char *text, const char *literal)
{
	static const char hex[] = "0123456789ABCDEF";
	char *encoded = arena_alloc(arena, 3 * strlen(text) + 1), *to = encoded;

	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~",
		           *c) ||
		    strchr(literal, *c)) {
			*to++ = (char)*c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[*c >> 4];
		*to++ = hex[*c & 15];
	}
	return encoded;
}

const char *form_add(struct arena *arena, const char *form, const char *name, const char *value)
{
	if (!value)
		return form;
	return arena_printf(arena, "%s%s%s=%s", form, *form ? "&" : "",
	                    encode(arena, name, "[]"), encode(arena, value, ""));
}

bool same_outcome(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static const char *text_at(struct arena *arena, const struct response *response, const char *at,
                           const char *name)
{
	return json_text(arena, response->json,
	                 *at ? arena_printf(arena, "%s.%s", at, name) : name);
}

static int64_t number_at(struct arena *arena, const struct response *response, const char *at,
                         const char *name)
{
	return json_int(response->json, *at ? arena_printf(arena, "%s.%s", at, name) : name);
}

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (same_outcome(text, list[i]))
			return true;
	return false;
}

/* What a card's owner may read.  Who presents a stolen card must not learn that it is known. */
static const char *message_for_owner(const struct verdict *verdict, const char *message)
{
	static const char *const hidden[] = {"fraudulent", "lost_card", "stolen_card",
	                                     "merchant_blacklist", "pickup_card"};

	if (!message || is_one_of(verdict->decline_code, hidden, COUNT(hidden)))
		return "The card was declined.";
	return message;
}

/* error: path of an error object of a card, in an answer or in an intent. */
static void read_decline(struct arena *arena, const struct response *response,
                         const char *error, struct verdict *verdict)
{
	verdict->outcome = "declined";
	verdict->code = text_at(arena, response, error, "code");
	verdict->decline_code = text_at(arena, response, error, "decline_code");
	if (!verdict->decline_code)
		verdict->decline_code = verdict->code;
	verdict->message =
		message_for_owner(verdict, text_at(arena, response, error, "message"));
}

/* clang-format off */
static const struct meaning { const char *status, *outcome; } intent_meanings[] = {
	{"succeeded",               "succeeded"},
	{"processing",              "processing"},
	{"requires_action",         "requires_action"},
	{"canceled",                "canceled"},
	{"requires_payment_method", "open"},
	{"requires_confirmation",   "open"},
};
/* clang-format on */

static void read_intent(struct arena *arena, const struct response *response, const char *at,
                        struct verdict *verdict)
{
	const char *status = text_at(arena, response, at, "status");
	const char *error = arena_printf(arena, "%s%slast_payment_error", at, *at ? "." : "");
	const char *next = arena_printf(arena, "%s%snext_action", at, *at ? "." : "");
	const char *currency = text_at(arena, response, at, "currency");

	verdict->outcome = "unknown";
	verdict->ref = text_at(arena, response, at, "id");
	verdict->currency = currency ? arena_upper(arena, currency) : NULL;
	verdict->amount = number_at(arena, response, at, "amount_received");
	verdict->client_secret = text_at(arena, response, at, "client_secret");
	verdict->next_action = json_raw(arena, response->json, next);
	for (size_t i = 0; verdict->ref && i < COUNT(intent_meanings); i++)
		if (same_outcome(status, intent_meanings[i].status))
			verdict->outcome = intent_meanings[i].outcome;
	if (same_outcome(verdict->outcome, "open") && text_at(arena, response, error, "type"))
		read_decline(arena, response, error, verdict);
}

static void read_refund(struct arena *arena, const struct response *response, const char *at,
                        struct verdict *verdict)
{
	static const char *const final[] = {"succeeded", "failed", "canceled"};
	const char *status = text_at(arena, response, at, "status");

	verdict->ref = text_at(arena, response, at, "id");
	verdict->code = text_at(arena, response, at, "failure_reason");
	if (!verdict->ref || !status)
		verdict->outcome = "unknown";
	else
		verdict->outcome = is_one_of(status, final, COUNT(final)) ? status : "pending";
}

/* Judges by status first, then by type and code.  NULL: a 200, 400, 402 or 404 to look into. */
static const char *judge_status(struct arena *arena, const struct response *response)
{
	if (response->outcome == NOT_SENT)
		return "not_done";
	if (response->outcome == UNKNOWN || !response->json)
		return response->status == 429 ? "not_done" : "unknown";

	const char *code = text_at(arena, response, "error", "code");

	switch (response->status) {
	case 200:
	case 402:
		return NULL;
	case 400:
	case 404:
		if (same_outcome(text_at(arena, response, "error", "type"),
		                 "idempotency_error"))
			return "unknown";
		return same_outcome(code, "rate_limit") ? "not_done" : NULL;
	case 401:
	case 403:
		return "refused";
	case 429:
		return "not_done";
	default:
		return "unknown";
	}
}

/* What all verdicts share.  True: the status has said it all. */
static bool begin_verdict(struct arena *arena, const struct response *response,
                          struct verdict *verdict)
{
	verdict->request_id = response->request_id;
	verdict->outcome = judge_status(arena, response);
	/* A 500 of Stripe's own is kept under the key: repeating it gives the same. */
	verdict->is_over =
		response->outcome == ANSWERED && response->status == 500 &&
		text_at(arena, response, "error", "type") &&
		(response->replayed || same_outcome(response->should_retry, "false"));
	return verdict->outcome != NULL;
}

static void read_refusal(struct arena *arena, const struct response *response,
                         struct verdict *verdict)
{
	verdict->code = text_at(arena, response, "error", "code");
	verdict->parameter = text_at(arena, response, "error", "param");
}

struct verdict judge_intent(struct arena *arena, const struct response *response)
{
	struct verdict verdict = {0};

	if (begin_verdict(arena, response, &verdict))
		return verdict;
	if (response->status == 200) {
		read_intent(arena, response, "", &verdict);
		return verdict;
	}
	/* The intent in an error tells what became of it: declined, or paid or canceled before.
	 */
	read_intent(arena, response, "error.payment_intent", &verdict);
	if (response->status == 402) {
		read_decline(arena, response, "error", &verdict);
		return verdict;
	}
	read_refusal(arena, response, &verdict);
	if (!same_outcome(verdict.code, "payment_intent_unexpected_state") ||
	    same_outcome(verdict.outcome, "unknown") || same_outcome(verdict.outcome, "open") ||
	    same_outcome(verdict.outcome, "declined"))
		verdict.outcome = "invalid";
	return verdict;
}

struct verdict judge_refund(struct arena *arena, const struct response *response)
{
	struct verdict verdict = {0};

	if (begin_verdict(arena, response, &verdict))
		return verdict;
	if (response->status == 200) {
		read_refund(arena, response, "", &verdict);
		return verdict;
	}
	read_refusal(arena, response, &verdict);
	verdict.outcome = "failed";
	return verdict;
}

struct verdict judge_intent_at(struct arena *arena, const struct response *response,
                               const char *at)
{
	struct verdict verdict = {.request_id = response->request_id};

	read_intent(arena, response, at, &verdict);
	return verdict;
}

struct verdict judge_refund_at(struct arena *arena, const struct response *response,
                               const char *at)
{
	struct verdict verdict = {.request_id = response->request_id};

	read_refund(arena, response, at, &verdict);
	return verdict;
}
