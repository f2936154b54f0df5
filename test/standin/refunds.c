/* refunds.c: the refund and charge operations. */
#include "standin.h"

#include <stdio.h>
#include <string.h>

/* The charge that the parameters name; NULL: answer holds the refusal. */
static struct charge *asked_charge(struct request *request, struct answer *answer)
{
	const char *intent_id = form_value(&request->form, "payment_intent");
	const char *charge_id = form_value(&request->form, "charge");

	if (!intent_id == !charge_id) {
		invalid(answer, intent_id ? NULL : "parameter_missing", "payment_intent",
		        "Exactly one of these params should be provided: payment_intent or charge.");
		return NULL;
	}
	if (charge_id) {
		struct charge *charge = table_find(&charges, charge_id);

		if (!charge)
			refuse(answer, &(struct error){404, NULL, "resource_missing", "charge"},
			       "No such charge: '%s'", charge_id);
		return charge;
	}

	const struct intent *intent = table_find(&intents, intent_id);

	if (!intent) {
		refuse(answer, &(struct error){404, NULL, "resource_missing", "payment_intent"},
		       "No such payment_intent: '%s'", intent_id);
		return NULL;
	}
	if (!intent->charge)
		refuse(answer, &(struct error){400, NULL, NULL, "payment_intent"},
		       "This PaymentIntent (%s) does not have a successful charge to refund.",
		       intent_id);
	return intent->charge;
}

static bool can_refund(const struct charge *charge, int64_t amount, int64_t left,
                       struct answer *answer)
{
	const char *id = object_id(charge->json);

	if (!cJSON_IsTrue(cJSON_GetObjectItem(charge->json, "captured")))
		refuse(answer, &(struct error){400, NULL, NULL, "payment_intent"},
		       "This PaymentIntent (%s) does not have a successful charge to refund.",
		       object_id(charge->intent->json));
	else if (cJSON_IsTrue(cJSON_GetObjectItem(charge->json, "disputed")))
		refuse(answer, &(struct error){400, NULL, "charge_disputed", NULL},
		       "Charge %s has been charged back; cannot issue a refund.", id);
	else if (left <= 0)
		refuse(answer, &(struct error){400, NULL, "charge_already_refunded", NULL},
		       "Charge %s has already been refunded.", id);
	else if (amount > left)
		refuse(answer, &(struct error){400, NULL, NULL, "amount"},
		       "Refund amount (%lld) is greater than unrefunded amount on charge (%lld)",
		       (long long)amount, (long long)left);
	else
		return true;
	return false;
}

static struct refund *make_refund(struct request *request, struct charge *charge,
                                  int64_t amount)
{
	enum refund_result result = charge->outcome ? charge->outcome->refund : REFUNDS;
	int64_t refunded = json_integer(charge->json, "amount_refunded", 0) + amount;
	struct refund *refund =
		new_refund(charge, amount, result == REFUND_PENDS ? "pending" : "succeeded");
	cJSON *metadata = form_object(&request->form, "metadata");

	if (metadata)
		json_set(refund->json, "metadata", metadata);
	json_set_text(refund->json, "reason", form_value(&request->form, "reason"));
	json_set_integer(charge->json, "amount_refunded", refunded);
	json_set(charge->json, "refunded",
	         cJSON_CreateBool(refunded == json_integer(charge->json, "amount", 0)));
	describe(&request->subject, charge->intent, charge, refund);
	ledger_request("executed", request, 200, NULL);
	send_event(request, "refund.created", refund->json, &request->subject, NULL);
	send_event(request, "charge.refunded", charge->json, &request->subject, NULL);
	if (result != REFUNDS)
		settle_later(object_id(refund->json));
	return refund;
}

void refund_charge(struct request *request, struct answer *answer, struct charge *charge,
                   int64_t amount)
{
	int64_t left = json_integer(charge->json, "amount", 0) -
	               json_integer(charge->json, "amount_refunded", 0);

	describe(&request->subject, charge->intent, charge, NULL);
	if (amount == EVERYTHING)
		amount = left;
	if (can_refund(charge, amount, left, answer))
		answer_object(
			request, answer,
			cJSON_Duplicate(make_refund(request, charge, amount)->json, true));
}

void create_refund(struct request *request, struct answer *answer)
{
	int64_t amount = form_integer(&request->form, "amount", EVERYTHING);
	struct charge *charge;

	if (amount < 1 && amount != EVERYTHING) {
		invalid(answer, "parameter_invalid_integer", "amount",
		        "This value must be greater than or equal to 1.");
		return;
	}
	charge = asked_charge(request, answer);
	if (charge)
		refund_charge(request, answer, charge, amount);
}

void read_refund(struct request *request, struct answer *answer)
{
	const struct refund *refund = table_find(&refunds, request->target);

	if (!refund) {
		refuse(answer, &(struct error){404, NULL, "resource_missing", "refund"},
		       "No such refund: '%s'", request->target);
		return;
	}
	describe(&request->subject, refund->charge->intent, refund->charge, refund);
	answer_object(request, answer, cJSON_Duplicate(refund->json, true));
}

static bool of_payment(const struct request *request, const cJSON *json)
{
	const char *intent = form_value(&request->form, "payment_intent");
	const char *charge = form_value(&request->form, "charge");

	return (!intent || strcmp(intent, json_text(json, "payment_intent")) == 0) &&
	       (!charge || strcmp(charge, json_text(json, "charge")) == 0);
}

void list_refunds(struct request *request, struct answer *answer)
{
	answer_list(request, answer, &refunds, "/v1/refunds", of_payment);
}

void read_charge(struct request *request, struct answer *answer)
{
	const struct charge *charge = find_charge(request->target);

	if (!charge) {
		refuse(answer, &(struct error){404, NULL, "resource_missing", "charge"},
		       "No such charge: '%s'", request->target);
		return;
	}
	describe(&request->subject, charge->intent, charge, NULL);
	answer_object(request, answer, cJSON_Duplicate(charge->json, true));
}
