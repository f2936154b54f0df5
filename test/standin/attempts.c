/* attempts.c: one try to take the money of an intent, and what becomes of it. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void announce(const struct request *request, const struct intent *intent,
                     const char *type)
{
	send_event(request, type, intent->json, &request->subject, NULL);
}

static cJSON *charge_outcome(bool succeeded, const struct outcome *why)
{
	cJSON *outcome = cJSON_CreateObject();

	cJSON_AddStringToObject(outcome, "network_status",
	                        succeeded ? "approved_by_network" : "declined_by_network");
	json_set_text(outcome, "reason",
	              succeeded           ? NULL
	              : why->decline_code ? why->decline_code
	                                  : why->code);
	cJSON_AddStringToObject(outcome, "risk_level", "normal");
	cJSON_AddStringToObject(outcome, "seller_message",
	                        succeeded ? "Payment complete."
	                                  : "The bank did not return any further details.");
	cJSON_AddStringToObject(outcome, "type", succeeded ? "authorized" : "issuer_declined");
	return outcome;
}

/* The charge under way: that of an intent which is processing, or a new one. */
static struct charge *pending_charge(struct intent *intent)
{
	struct charge *charge = intent->charge;

	if (charge && strcmp(object_status(charge->json), "pending") == 0)
		return charge;
	return new_charge(intent, "pending");
}

void complete_payment(struct request *request, struct intent *intent)
{
	const char *capture = json_text(intent->json, "capture_method");
	struct charge *charge = pending_charge(intent);

	json_set_text(charge->json, "status", "succeeded");
	json_set(charge->json, "paid", cJSON_CreateTrue());
	json_set(charge->json, "outcome", charge_outcome(true, NULL));
	json_set_text(intent->json, "next_action", NULL);
	json_set_text(intent->json, "last_payment_error", NULL);
	json_set_text(intent->json, "processing", NULL);
	if (strcmp(capture, "manual") == 0)
		hold_money(request, intent);
	else
		take_money(request, intent, json_integer(intent->json, "amount", 0));
}

static cJSON *payment_error(const struct intent *intent, const struct charge *charge,
                            const struct outcome *why)
{
	const struct error error = {402, "card_error", why->code, NULL};
	cJSON *body = make_error(&error, why->message);
	cJSON *inner = cJSON_DetachItemFromObject(body, "error");

	cJSON_Delete(body);
	if (why->decline_code)
		cJSON_AddStringToObject(inner, "decline_code", why->decline_code);
	if (charge)
		cJSON_AddStringToObject(inner, "charge", object_id(charge->json));
	cJSON_AddItemToObject(inner, "payment_method",
	                      new_method(json_text(intent->json, "payment_method"),
	                                 json_text(intent->json, "customer")));
	return inner;
}

/* When the customer fails to authenticate no charge is tried at all. */
void fail_payment(struct request *request, struct intent *intent, const struct outcome *why)
{
	struct charge *charge = why == &authentication_failed ? NULL : pending_charge(intent);

	if (charge) {
		json_set_text(charge->json, "status", "failed");
		json_set_text(charge->json, "failure_code", why->code);
		json_set_text(charge->json, "failure_message", why->message);
		json_set(charge->json, "outcome", charge_outcome(false, why));
	}
	json_set(intent->json, "last_payment_error", payment_error(intent, charge, why));
	json_set_text(intent->json, "status", "requires_payment_method");
	json_set_text(intent->json, "payment_method", NULL);
	json_set_text(intent->json, "next_action", NULL);
	json_set_text(intent->json, "processing", NULL);
	intent->outcome = NULL;
	executed(request, intent, charge, 402);
	announce(request, intent, "payment_intent.payment_failed");
}

static void decline(const struct attempt *attempt, const struct outcome *why,
                    struct answer *answer)
{
	fail_payment(attempt->request, attempt->intent, why);

	cJSON *intent = attempt->intent->json;
	cJSON *error = cJSON_Duplicate(cJSON_GetObjectItem(intent, "last_payment_error"), true);
	cJSON *body = cJSON_CreateObject();

	cJSON_AddItemToObject(error, "payment_intent", cJSON_Duplicate(intent, true));
	cJSON_AddItemToObject(body, "error", error);
	set_json(answer, 402, body);
}

static cJSON *next_action(const struct intent *intent, const char *return_url)
{
	cJSON *action = cJSON_CreateObject();
	char url[160];

	snprintf(url, sizeof(url), "https://hooks.stripe.com/3d_secure_2/authenticate/%s",
	         object_id(intent->json));
	if (return_url) {
		cJSON *redirect = cJSON_AddObjectToObject(action, "redirect_to_url");

		cJSON_AddStringToObject(redirect, "return_url", return_url);
		cJSON_AddStringToObject(redirect, "url", url);
		cJSON_AddStringToObject(action, "type", "redirect_to_url");
	} else {
		cJSON *sdk = cJSON_AddObjectToObject(action, "use_stripe_sdk");

		cJSON_AddStringToObject(sdk, "type", "three_d_secure_redirect");
		cJSON_AddStringToObject(sdk, "stripe_js", url);
		cJSON_AddStringToObject(action, "type", "use_stripe_sdk");
	}
	return action;
}

static void ask_customer(const struct attempt *attempt)
{
	struct intent *intent = attempt->intent;

	json_set_text(intent->json, "status", "requires_action");
	json_set(intent->json, "next_action", next_action(intent, attempt->return_url));
	executed(attempt->request, intent, NULL, 200);
	announce(attempt->request, intent, "payment_intent.requires_action");
}

static void process(const struct attempt *attempt)
{
	struct intent *intent = attempt->intent;
	cJSON *processing = cJSON_CreateObject();

	new_charge(intent, "pending");
	json_set_text(intent->json, "status", "processing");
	cJSON_AddStringToObject(processing, "type", "card");
	json_set(intent->json, "processing", processing);
	executed(attempt->request, intent, intent->charge, 200);
	announce(attempt->request, intent, "payment_intent.processing");
	settle_later(object_id(intent->json));
}

void attempt_payment(const struct attempt *attempt, struct answer *answer)
{
	struct intent *intent = attempt->intent;
	const struct outcome *outcome = intent->outcome;
	bool alone = attempt->off_session || attempt->error_on_action;

	json_set_text(intent->json, "next_action", NULL);
	switch (outcome->result) {
	case SUCCEEDS:
		complete_payment(attempt->request, intent);
		break;
	case DECLINES:
		decline(attempt, outcome, answer);
		return;
	case AUTHENTICATES:
		if (alone) {
			decline(attempt, &authentication_required, answer);
			return;
		}
		ask_customer(attempt);
		break;
	case PROCESSES:
		process(attempt);
		break;
	}
	answer_object(attempt->request, answer, cJSON_Duplicate(intent->json, true));
}
