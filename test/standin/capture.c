/* capture.c: the money of an approved charge: taken at once, held until asked for, or let go.
 */
#include "standin.h"

#include <string.h>

void executed(struct request *request, const struct intent *intent, const struct charge *charge,
              int status)
{
	describe(&request->subject, intent, charge, NULL);
	ledger_request("executed", request, status, NULL);
}

static void announce(const struct request *request, const struct intent *intent,
                     const char *type)
{
	send_event(request, type, intent->json, &request->subject, NULL);
}

static bool is_held(const struct intent *intent)
{
	return strcmp(object_status(intent->json), "requires_capture") == 0;
}

void hold_money(struct request *request, struct intent *intent)
{
	json_set_text(intent->json, "status", "requires_capture");
	json_set_integer(intent->json, "amount_capturable",
	                 json_integer(intent->json, "amount", 0));
	executed(request, intent, intent->charge, 200);
	announce(request, intent, "payment_intent.amount_capturable_updated");
}

/* What is not taken of the charge goes back. */
static void give_back_rest(struct charge *charge, int64_t taken)
{
	int64_t rest = json_integer(charge->json, "amount", 0) - taken;

	json_set_integer(charge->json, "amount_refunded", rest);
	json_set(charge->json, "refunded", cJSON_CreateBool(taken == 0));
}

void take_money(struct request *request, struct intent *intent, int64_t amount)
{
	struct charge *charge = intent->charge;
	char id[ID_SIZE];

	new_id(id, "txn_", 24);
	json_set_text(charge->json, "balance_transaction", id);
	json_set_integer(charge->json, "amount_captured", amount);
	json_set(charge->json, "captured", cJSON_CreateTrue());
	give_back_rest(charge, amount);
	json_set_text(intent->json, "status", "succeeded");
	json_set_integer(intent->json, "amount_received", amount);
	json_set_integer(intent->json, "amount_capturable", 0);
	executed(request, intent, charge, 200);
	announce(request, intent, "payment_intent.succeeded");
	if (charge->outcome && charge->outcome->disputed)
		settle_later(object_id(charge->json));
}

void let_money_go(struct intent *intent)
{
	if (!is_held(intent))
		return;
	json_set_integer(intent->json, "amount_capturable", 0);
	give_back_rest(intent->charge, 0);
}

void capture_intent(struct request *request, struct answer *answer)
{
	struct intent *intent = target_intent(request, answer);
	int64_t held, amount;

	if (!intent)
		return;
	describe(&request->subject, intent, intent->charge, NULL);
	held = json_integer(intent->json, "amount_capturable", 0);
	amount = form_integer(&request->form, "amount_to_capture", held);
	if (!is_held(intent)) {
		refuse_intent(
			answer, intent->json,
			"This PaymentIntent could not be captured because it has a status of %s.",
			object_status(intent->json));
	} else if (amount < 1 || amount > held) {
		refuse(answer,
		       &(struct error){400, NULL,
		                       amount < 1 ? "amount_too_small" : "amount_too_large",
		                       "amount_to_capture"},
		       "The amount to capture must be between 1 and %lld.", (long long)held);
	} else {
		take_money(request, intent, amount);
		answer_object(request, answer, cJSON_Duplicate(intent->json, true));
	}
}
