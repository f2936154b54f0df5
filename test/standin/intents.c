/* intents.c: the payment intent operations. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct intent *target_intent(const struct request *request, struct answer *answer)
{
	struct intent *intent = table_find(&intents, request->target);

	if (!intent)
		refuse(answer, &(struct error){404, NULL, "resource_missing", "intent"},
		       "No such payment_intent: '%s'", request->target);
	return intent;
}

static bool is_one_of(const char *status, const char *const list[])
{
	for (; *list; list++)
		if (strcmp(*list, status) == 0)
			return true;
	return false;
}

/* The rules between the parameters of an attempt. */
static bool check_attempt(const struct request *request, struct answer *answer, bool confirms,
                          bool needs_return_url)
{
	static const char *const only_confirmed[] = {"off_session", "error_on_requires_action",
	                                             "return_url"};
	const struct form *form = &request->form;
	const char *method = form_value(form, "payment_method");

	for (size_t i = 0; i < COUNT(only_confirmed) && !confirms; i++)
		if (form_value(form, only_confirmed[i]))
			return invalid(answer, NULL, only_confirmed[i],
			               "%s can only be used when confirming the PaymentIntent.",
			               only_confirmed[i]);
	if (method && !find_outcome(method))
		return invalid(answer, "resource_missing", "payment_method",
		               "No such PaymentMethod: '%s'", method);
	if (confirms && needs_return_url && !form_value(form, "return_url"))
		return invalid(
			answer, NULL, "return_url",
			"This PaymentIntent may redirect the customer: provide a return_url, or "
			"set automatic_payment_methods[allow_redirects] to never.");
	return true;
}

static bool has_list(const struct form *form, const char *prefix)
{
	for (size_t i = 0; i < form->count; i++)
		if (starts_with(form->pairs[i].name, prefix))
			return true;
	return false;
}

/* With automatic methods, which are the default, only allow_redirects=never or a list of
 * methods keeps redirects away. */
static bool redirects_possible(const struct form *form)
{
	const char *redirects = form_value(form, "automatic_payment_methods[allow_redirects]");

	if (has_list(form, "payment_method_types["))
		return false;
	return !redirects || strcmp(redirects, "never") != 0;
}

static bool check_create(const struct request *request, struct answer *answer)
{
	const struct form *form = &request->form;
	bool automatic = form_true(form, "automatic_payment_methods[enabled]");

	if (automatic && has_list(form, "payment_method_types["))
		return invalid(answer, NULL, "payment_method_types",
		               "You may only specify one of these parameters: "
		               "automatic_payment_methods, payment_method_types.");
	return check_amount(form_value(form, "currency"), form_integer(form, "amount", 0),
	                    answer) &&
	       check_attempt(request, answer, form_true(form, "confirm"),
	                     redirects_possible(form));
}

static void attach_method(struct intent *intent, const char *method)
{
	char id[ID_SIZE];

	if (!method)
		return;
	intent->outcome = find_outcome(method);
	keep_text(id, sizeof(id), method);
	if (starts_with(method, "pm_card_")) {
		new_id(id, "pm_", 24);
		table_put(&methods, id, (void *)intent->outcome);
	}
	json_set_text(intent->json, "payment_method", id);
	if (strcmp(object_status(intent->json), "requires_payment_method") == 0)
		json_set_text(intent->json, "status", "requires_confirmation");
}

static void copy_fields(struct intent *intent, const struct form *form)
{
	static const char *const texts[] = {"capture_method",
	                                    "confirmation_method",
	                                    "customer",
	                                    "description",
	                                    "receipt_email",
	                                    "setup_future_usage",
	                                    "statement_descriptor",
	                                    "statement_descriptor_suffix",
	                                    "transfer_group"};
	static const char *const objects[] = {"metadata", "shipping"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		const char *value = form_value(form, texts[i]);

		if (value)
			json_set_text(intent->json, texts[i], *value ? value : NULL);
	}
	for (size_t i = 0; i < COUNT(objects); i++) {
		cJSON *object = form_object(form, objects[i]);

		if (object)
			json_set(intent->json, objects[i], object);
	}
}

static void try_payment(struct request *request, struct intent *intent, struct answer *answer)
{
	const char *off_session = form_value(&request->form, "off_session");
	const struct attempt attempt = {
		.request = request,
		.intent = intent,
		.return_url = form_value(&request->form, "return_url"),
		.off_session = off_session && strcmp(off_session, "false") != 0,
		.error_on_action = form_true(&request->form, "error_on_requires_action"),
	};

	attempt_payment(&attempt, answer);
}

void create_intent(struct request *request, struct answer *answer)
{
	const struct form *form = &request->form;
	bool confirms = form_true(form, "confirm");

	if (!check_create(request, answer))
		return;
	if (confirms && !form_value(form, "payment_method")) {
		invalid(answer, "parameter_missing", "payment_method",
		        "You cannot confirm this PaymentIntent because it's missing a payment method.");
		return;
	}

	struct intent *intent =
		new_intent(form_integer(form, "amount", 0), form_value(form, "currency"));

	intent->needs_return_url = redirects_possible(form);
	copy_fields(intent, form);
	if (form_true(form, "automatic_payment_methods[enabled]")) {
		cJSON *automatic = cJSON_CreateObject();

		cJSON_AddStringToObject(automatic, "allow_redirects",
		                        intent->needs_return_url ? "always" : "never");
		cJSON_AddTrueToObject(automatic, "enabled");
		json_set(intent->json, "automatic_payment_methods", automatic);
	}
	attach_method(intent, form_value(form, "payment_method"));
	describe(&request->subject, intent, NULL, NULL);
	if (webhook_options.created)
		send_event(request, "payment_intent.created", intent->json, &request->subject,
		           NULL);
	if (confirms) {
		try_payment(request, intent, answer);
		return;
	}
	ledger_request("executed", request, 200, NULL);
	answer_object(request, answer, cJSON_Duplicate(intent->json, true));
}

void confirm_intent(struct request *request, struct answer *answer)
{
	static const char *const allowed[] = {"requires_payment_method",
	                                      "requires_confirmation", "requires_action", NULL};
	struct intent *intent = target_intent(request, answer);
	const char *method = form_value(&request->form, "payment_method");

	if (!intent || !check_attempt(request, answer, true, intent->needs_return_url))
		return;
	describe(&request->subject, intent, intent->charge, NULL);
	if (!is_one_of(object_status(intent->json), allowed)) {
		refuse_intent(
			answer, intent->json,
			"You cannot confirm this PaymentIntent because it has a status of %s.",
			object_status(intent->json));
		return;
	}
	if (!method && !intent->outcome) {
		refuse_intent(
			answer, intent->json,
			"You cannot confirm this PaymentIntent because it's missing a payment method.");
		return;
	}
	copy_fields(intent, &request->form);
	attach_method(intent, method);
	try_payment(request, intent, answer);
}

void cancel_intent(struct request *request, struct answer *answer)
{
	static const char *const allowed[] = {"requires_payment_method",
	                                      "requires_confirmation", "requires_action",
	                                      "requires_capture", NULL};
	struct intent *intent = target_intent(request, answer);

	if (!intent)
		return;
	describe(&request->subject, intent, intent->charge, NULL);
	if (!is_one_of(object_status(intent->json), allowed)) {
		refuse_intent(
			answer, intent->json,
			"You cannot cancel this PaymentIntent because it has a status of %s.",
			object_status(intent->json));
		return;
	}
	let_money_go(intent);
	json_set_text(intent->json, "status", "canceled");
	json_set_integer(intent->json, "canceled_at", now_seconds());
	json_set_text(intent->json, "cancellation_reason",
	              form_value(&request->form, "cancellation_reason"));
	json_set_text(intent->json, "next_action", NULL);
	describe(&request->subject, intent, NULL, NULL);
	ledger_request("executed", request, 200, NULL);
	send_event(request, "payment_intent.canceled", intent->json, &request->subject, NULL);
	answer_object(request, answer, cJSON_Duplicate(intent->json, true));
}

void read_intent(struct request *request, struct answer *answer)
{
	const struct intent *intent = target_intent(request, answer);

	if (!intent)
		return;
	describe(&request->subject, intent, intent->charge, NULL);
	answer_object(request, answer, cJSON_Duplicate(intent->json, true));
}

static bool of_customer(const struct request *request, const cJSON *json)
{
	const char *asked = form_value(&request->form, "customer");
	const char *customer = json_text(json, "customer");

	return !asked || (customer && strcmp(asked, customer) == 0);
}

void list_intents(struct request *request, struct answer *answer)
{
	answer_list(request, answer, &intents, "/v1/payment_intents", of_customer);
}
