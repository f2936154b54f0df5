/* objects.c: intents, charges and refunds in memory, in the shape Stripe gives them. */
#include "standin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table intents, charges, refunds, methods;

static const char intent_shape[] =
	"{\"id\":\"\",\"object\":\"payment_intent\",\"amount\":0,\"amount_capturable\":0,"
	"\"amount_details\":{\"tip\":{}},\"amount_received\":0,\"application\":null,"
	"\"application_fee_amount\":null,\"automatic_payment_methods\":null,"
	"\"canceled_at\":null,\"cancellation_reason\":null,\"capture_method\":\"automatic_async\","
	"\"client_secret\":null,\"confirmation_method\":\"automatic\",\"created\":0,"
	"\"currency\":\"\",\"customer\":null,\"description\":null,\"last_payment_error\":null,"
	"\"latest_charge\":null,\"livemode\":false,\"metadata\":{},\"next_action\":null,"
	"\"on_behalf_of\":null,\"payment_method\":null,"
	"\"payment_method_options\":{},"
	"\"payment_method_types\":[\"card\"],\"processing\":null,\"receipt_email\":null,"
	"\"review\":null,\"setup_future_usage\":null,\"shipping\":null,"
	"\"statement_descriptor\":null,\"statement_descriptor_suffix\":null,"
	"\"status\":\"requires_payment_method\",\"transfer_data\":null,\"transfer_group\":null}";

static const char charge_shape[] =
	"{\"id\":\"\",\"object\":\"charge\",\"amount\":0,\"amount_captured\":0,"
	"\"amount_refunded\":0,\"application\":null,\"application_fee\":null,"
	"\"application_fee_amount\":null,\"balance_transaction\":null,"
	"\"billing_details\":{\"address\":{\"city\":null,\"country\":null,\"line1\":null,"
	"\"line2\":null,\"postal_code\":null,\"state\":null},\"email\":null,\"name\":null,"
	"\"phone\":null,\"tax_id\":null},\"calculated_statement_descriptor\":null,"
	"\"captured\":false,\"created\":0,\"currency\":\"\",\"customer\":null,"
	"\"description\":null,\"disputed\":false,\"failure_balance_transaction\":null,"
	"\"failure_code\":null,\"failure_message\":null,\"fraud_details\":{},\"livemode\":false,"
	"\"metadata\":{},\"on_behalf_of\":null,\"outcome\":null,\"paid\":false,"
	"\"payment_intent\":null,\"payment_method\":null,\"payment_method_details\":{"
	"\"card\":{\"brand\":\"visa\",\"checks\":{\"address_line1_check\":null,"
	"\"address_postal_code_check\":null,\"cvc_check\":\"pass\"},\"country\":\"US\","
	"\"exp_month\":8,\"exp_year\":2030,\"funding\":\"credit\",\"last4\":\"4242\","
	"\"network\":\"visa\"},\"type\":\"card\"},\"receipt_email\":null,"
	"\"receipt_number\":null,\"receipt_url\":null,\"refunded\":false,\"review\":null,"
	"\"shipping\":null,\"source_transfer\":null,"
	"\"statement_descriptor\":null,\"statement_descriptor_suffix\":null,"
	"\"status\":\"\",\"transfer_data\":null,\"transfer_group\":null}";

static const char refund_shape[] =
	"{\"id\":\"\",\"object\":\"refund\",\"amount\":0,\"balance_transaction\":null,"
	"\"charge\":\"\",\"created\":0,\"currency\":\"\",\"destination_details\":{"
	"\"card\":{\"type\":\"refund\"},\"type\":\"card\"},\"metadata\":{},"
	"\"payment_intent\":null,\"reason\":null,\"receipt_number\":null,"
	"\"source_transfer_reversal\":null,\"status\":\"\",\"transfer_reversal\":null}";

static const char method_shape[] =
	"{\"id\":\"\",\"object\":\"payment_method\",\"allow_redisplay\":\"unspecified\","
	"\"billing_details\":{\"address\":{\"city\":null,\"country\":null,\"line1\":null,"
	"\"line2\":null,\"postal_code\":null,\"state\":null},\"email\":null,\"name\":null,"
	"\"phone\":null,\"tax_id\":null},\"card\":{\"brand\":\"visa\",\"checks\":{"
	"\"address_line1_check\":null,\"address_postal_code_check\":null,"
	"\"cvc_check\":\"pass\"},\"country\":\"US\",\"display_brand\":\"visa\","
	"\"exp_month\":8,\"exp_year\":2030,\"funding\":\"credit\",\"last4\":\"4242\","
	"\"wallet\":null},\"created\":0,\"customer\":null,\"livemode\":false,"
	"\"metadata\":{},\"type\":\"card\"}";

static cJSON *shape(const char *text, const char *prefix)
{
	cJSON *json = cJSON_Parse(text);
	char id[ID_SIZE];

	new_id(id, prefix, 24);
	json_set_text(json, "id", id);
	json_set_integer(json, "created", now_seconds());
	return json;
}

const char *object_id(const cJSON *json)
{
	return json_text(json, "id");
}

const char *object_status(const cJSON *json)
{
	return json_text(json, "status");
}

struct intent *new_intent(int64_t amount, const char *currency)
{
	struct intent *intent = take(sizeof(*intent));
	char letters[ID_SIZE];
	char secret[2 * ID_SIZE];

	intent->json = shape(intent_shape, "pi_");
	new_id(letters, "_secret_", 25);
	snprintf(secret, sizeof(secret), "%s%s", object_id(intent->json), letters);
	json_set_text(intent->json, "client_secret", secret);
	json_set_integer(intent->json, "amount", amount);
	json_set_text(intent->json, "currency", currency);
	table_put(&intents, object_id(intent->json), intent);
	return intent;
}

static void copy_field(cJSON *to, const cJSON *from, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);

	json_set(to, name, cJSON_Duplicate(item, true));
}

struct charge *new_charge(struct intent *intent, const char *status)
{
	static const char *const shared[] = {"amount",
	                                     "currency",
	                                     "customer",
	                                     "description",
	                                     "metadata",
	                                     "payment_method",
	                                     "receipt_email",
	                                     "shipping",
	                                     "statement_descriptor",
	                                     "statement_descriptor_suffix",
	                                     "transfer_group"};
	struct charge *charge = take(sizeof(*charge));

	charge->intent = intent;
	charge->outcome = intent->outcome;
	charge->json = shape(charge_shape, "ch_");
	for (size_t i = 0; i < COUNT(shared); i++)
		copy_field(charge->json, intent->json, shared[i]);
	json_set_text(charge->json, "payment_intent", object_id(intent->json));
	json_set_text(charge->json, "status", status);
	intent->charge = charge;
	json_set_text(intent->json, "latest_charge", object_id(charge->json));
	table_put(&charges, object_id(charge->json), charge);
	return charge;
}

struct refund *new_refund(struct charge *charge, int64_t amount, const char *status)
{
	struct refund *refund = take(sizeof(*refund));

	refund->charge = charge;
	refund->json = shape(refund_shape, "re_");
	json_set_integer(refund->json, "amount", amount);
	copy_field(refund->json, charge->json, "currency");
	copy_field(refund->json, charge->json, "payment_intent");
	json_set_text(refund->json, "charge", object_id(charge->json));
	json_set_text(refund->json, "status", status);
	table_put(&refunds, object_id(refund->json), refund);
	return refund;
}

cJSON *new_method(const char *id, const char *customer)
{
	cJSON *method = shape(method_shape, "pm_");

	if (id)
		json_set_text(method, "id", id);
	json_set_text(method, "customer", customer);
	return method;
}

const struct charge *find_charge(const char *id)
{
	return table_find(&charges, id);
}

void describe(struct subject *subject, const struct intent *intent, const struct charge *charge,
              const struct refund *refund)
{
	const cJSON *object = refund ? refund->json : intent->json;

	keep_text(subject->intent, ID_SIZE, object_id(intent->json));
	keep_text(subject->charge, ID_SIZE, charge ? object_id(charge->json) : NULL);
	keep_text(subject->refund, ID_SIZE, refund ? object_id(refund->json) : NULL);
	keep_text(subject->outcome, sizeof(subject->outcome), object_status(object));
	keep_text(subject->currency, sizeof(subject->currency), json_text(object, "currency"));
	keep_text(subject->order_id, sizeof(subject->order_id),
	          json_text(cJSON_GetObjectItem(intent->json, "metadata"), "order_id"));
	subject->amount = json_integer(object, "amount", -1);
}

static void release_intent(void *value)
{
	struct intent *intent = value;

	cJSON_Delete(intent->json);
	free(intent->return_url);
	free(intent);
}

static void release_charge(void *value)
{
	struct charge *charge = value;

	cJSON_Delete(charge->json);
	cJSON_Delete(charge->dispute);
	free(charge);
}

static void release_refund(void *value)
{
	struct refund *refund = value;

	cJSON_Delete(refund->json);
	free(refund);
}

void clear_objects(void)
{
	table_clear(&refunds, release_refund);
	table_clear(&charges, release_charge);
	table_clear(&intents, release_intent);
	table_clear(&methods, NULL);
}
