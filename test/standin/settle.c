/* settle.c: what is decided later: processing payments, refunds, disputes. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

struct settlement {
	struct settlement *next;
	char id[ID_SIZE];
	int64_t due;
};

static struct settlement *waiting;

void settle_later(const char *id)
{
	struct settlement *settlement;

	if (settle_delay < 0)
		return;
	settlement = take(sizeof(*settlement));
	keep_text(settlement->id, sizeof(settlement->id), id);
	settlement->due = now_milliseconds() + settle_delay;

	struct settlement **end = &waiting;

	while (*end)
		end = &(*end)->next;
	*end = settlement;
	webhooks_wake();
}

void clear_settlements(void)
{
	while (waiting) {
		struct settlement *next = waiting->next;

		free(waiting);
		waiting = next;
	}
}

bool settle_intent(struct request *request, struct intent *intent, bool succeeds)
{
	if (strcmp(object_status(intent->json), "processing") != 0)
		return false;
	if (succeeds)
		complete_payment(request, intent);
	else
		fail_payment(request, intent, &failed_later);
	return true;
}

static void send_update(struct request *request, const struct refund *refund,
                        const char *before)
{
	cJSON *previous = cJSON_CreateObject();

	cJSON_AddStringToObject(previous, "status", before);
	send_event(request, "refund.updated", refund->json, &request->subject, previous);
}

static void give_back(struct charge *charge, int64_t amount)
{
	json_set_integer(charge->json, "amount_refunded",
	                 json_integer(charge->json, "amount_refunded", 0) - amount);
	json_set(charge->json, "refunded", cJSON_CreateFalse());
}

/* A refund that has succeeded can still fail; one that has failed stays so. */
bool settle_refund(struct request *request, struct refund *refund, bool succeeds,
                   const char *reason)
{
	char before[32];
	struct charge *charge = refund->charge;

	keep_text(before, sizeof(before), object_status(refund->json));
	if (strcmp(before, "failed") == 0 || (succeeds && strcmp(before, "succeeded") == 0))
		return false;
	json_set_text(refund->json, "status", succeeds ? "succeeded" : "failed");
	if (!succeeds) {
		json_set_text(refund->json, "failure_reason",
		              reason ? reason : "expired_or_canceled_card");
		give_back(charge, json_integer(refund->json, "amount", 0));
	}
	describe(&request->subject, charge->intent, charge, refund);
	ledger_request("executed", request, 200, NULL);
	send_update(request, refund, before);
	if (!succeeds)
		send_event(request, "refund.failed", refund->json, &request->subject, NULL);
	return true;
}

static cJSON *new_dispute(const struct charge *charge)
{
	cJSON *dispute = cJSON_CreateObject();
	char id[ID_SIZE];

	new_id(id, "du_", 24);
	cJSON_AddStringToObject(dispute, "id", id);
	cJSON_AddStringToObject(dispute, "object", "dispute");
	json_set_integer(dispute, "amount", json_integer(charge->json, "amount", 0));
	json_set_text(dispute, "charge", object_id(charge->json));
	json_set_integer(dispute, "created", now_seconds());
	json_set_text(dispute, "currency", json_text(charge->json, "currency"));
	cJSON_AddFalseToObject(dispute, "livemode");
	cJSON_AddObjectToObject(dispute, "metadata");
	json_set_text(dispute, "payment_intent", object_id(charge->intent->json));
	cJSON_AddStringToObject(dispute, "reason", "fraudulent");
	cJSON_AddStringToObject(dispute, "status", "needs_response");
	return dispute;
}

static void open_dispute(struct request *request, struct charge *charge)
{
	charge->dispute = new_dispute(charge);
	json_set(charge->json, "disputed", cJSON_CreateTrue());
	describe(&request->subject, charge->intent, charge, NULL);
	send_event(request, "charge.dispute.created", charge->dispute, &request->subject, NULL);
}

bool settle_dispute(struct request *request, struct charge *charge, bool won)
{
	if (!charge->dispute || strcmp(object_status(charge->dispute), "needs_response") != 0)
		return false;
	json_set_text(charge->dispute, "status", won ? "won" : "lost");
	describe(&request->subject, charge->intent, charge, NULL);
	send_event(request, "charge.dispute.closed", charge->dispute, &request->subject, NULL);
	return true;
}

static void settle(const char *id)
{
	struct request nobody = {.subject.amount = -1};
	struct intent *intent = table_find(&intents, id);
	struct refund *refund = table_find(&refunds, id);
	struct charge *charge = table_find(&charges, id);

	if (intent)
		settle_intent(&nobody, intent, true);
	else if (refund)
		settle_refund(&nobody, refund, refund->charge->outcome->refund != REFUND_FAILS,
		              NULL);
	else if (charge)
		open_dispute(&nobody, charge);
}

int64_t settle_due(void)
{
	int64_t now = now_milliseconds();
	int64_t soonest = 60 * 1000;
	struct settlement **at = &waiting;

	while (*at) {
		struct settlement *settlement = *at;
		int64_t left = settlement->due - now;

		if (left > 0) {
			soonest = left < soonest ? left : soonest;
			at = &settlement->next;
			continue;
		}
		*at = settlement->next;
		settle(settlement->id);
		free(settlement);
	}
	return soonest;
}
