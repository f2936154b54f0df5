/* faults.c: what a rule does to an answer, or in place of it. */
#include "standin.h"

#include <string.h>

void answer_status(struct answer *answer, const struct fault *fault)
{
	struct error error = {.status = fault->status, .type = "api_error"};

	error.code = *fault->code ? fault->code : NULL;
	if (fault->status < 500)
		error.type = fault->status == 402 ? "card_error" : NULL;
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

/* Of these faults the time is not a pause before them. */
static bool lasts(enum fault_kind kind)
{
	return kind == LATENCY || kind == BLACK_HOLE || kind == REFUSED;
}

static void swallow(const struct fault *fault, struct answer *answer)
{
	answer->ending = HANG;
	answer->hang_milliseconds = fault->milliseconds;
}

bool fault_at_once(const struct fault *fault, struct answer *answer)
{
	if (!lasts(fault->kind))
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
		swallow(fault, answer);
		break;
	case REFUSED:
		refuse_connections(fault->milliseconds);
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

void fault_afterwards(const struct fault *fault, struct answer *answer)
{
	switch (fault->kind) {
	case LATENCY:
		pause_for(fault->when == AFTER ? fault->milliseconds : 0);
		break;
	case BLACK_HOLE:
		swallow(fault, answer);
		break;
	case IDLE_CLOSE:
		answer->last_here = true;
		break;
	case REFUSED:
		refuse_connections(fault->milliseconds);
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
	default:
		break;
	}
}
