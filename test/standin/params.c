/* params.c: the parameters that each operation takes, as Stripe's published spec has them. */
#include "standin.h"

/* clang-format off */

#define EXPAND   {"expand[]", TEXT}
#define METADATA {"metadata[*]", TEXT, .max = 500, .empty = true}, \
                 {"metadata", CHOICE, "", .empty = true}
#define PAGE     {"ending_before", TEXT}, {"starting_after", TEXT}, {"limit", INTEGER}, \
                 {"created", INTEGER}, {"created[gt]", INTEGER}, {"created[gte]", INTEGER}, \
                 {"created[lt]", INTEGER}, {"created[lte]", INTEGER}

/* What create and confirm have in common. */
const struct parameter payment_parameters[] = {
	EXPAND,
	{"payment_method", TEXT},
	{"payment_method_data[type]", TEXT},
	{"payment_method_data[allow_redisplay]", CHOICE, "always|limited|unspecified"},
	{"payment_method_data[billing_details][address][city]", TEXT, .empty = true},
	{"payment_method_data[billing_details][address][country]", TEXT, .empty = true},
	{"payment_method_data[billing_details][address][line1]", TEXT, .empty = true},
	{"payment_method_data[billing_details][address][line2]", TEXT, .empty = true},
	{"payment_method_data[billing_details][address][postal_code]", TEXT, .empty = true},
	{"payment_method_data[billing_details][address][state]", TEXT, .empty = true},
	{"payment_method_data[billing_details][email]", TEXT, .empty = true},
	{"payment_method_data[billing_details][name]", TEXT, .empty = true},
	{"payment_method_data[billing_details][phone]", TEXT, .empty = true},
	{"payment_method_data[metadata][*]", TEXT, .max = 500},
	{"payment_method_data[radar_options][session]", TEXT},
	{"payment_method_options[*][**]", OPEN},
	{"payment_method_types[]", TEXT},
	{"capture_method", CHOICE, "automatic|automatic_async|manual"},
	{"error_on_requires_action", BOOLEAN},
	{"mandate", TEXT},
	{"mandate_data", CHOICE, "", .empty = true},
	{"mandate_data[customer_acceptance][type]", CHOICE, "offline|online"},
	{"mandate_data[customer_acceptance][accepted_at]", INTEGER},
	{"mandate_data[customer_acceptance][online][ip_address]", TEXT},
	{"mandate_data[customer_acceptance][online][user_agent]", TEXT},
	{"mandate_data[customer_acceptance][offline]", OPEN, .empty = true},
	{"off_session", CHOICE, "true|false|one_off|recurring"},
	{"radar_options[session]", TEXT},
	{"receipt_email", TEXT, .empty = true},
	{"return_url", TEXT},
	{"setup_future_usage", CHOICE, "off_session|on_session", .empty = true},
	{"shipping", CHOICE, "", .empty = true},
	{"shipping[address][city]", TEXT},
	{"shipping[address][country]", TEXT},
	{"shipping[address][line1]", TEXT},
	{"shipping[address][line2]", TEXT},
	{"shipping[address][postal_code]", TEXT},
	{"shipping[address][state]", TEXT},
	{"shipping[carrier]", TEXT},
	{"shipping[name]", TEXT},
	{"shipping[phone]", TEXT},
	{"shipping[tracking_number]", TEXT},
	{"use_stripe_sdk", BOOLEAN},
	{"confirmation_token", TEXT},
	{"amount_details[**]", OPEN},
	{"excluded_payment_method_types[]", TEXT, .empty = true},
	{"allowed_payment_method_types[]", TEXT, .empty = true},
	{"hooks[**]", OPEN},
	{"payment_details[**]", OPEN},
	{0},
};

const struct parameter create_parameters[] = {
	{"amount", INTEGER, .required = true},
	{"currency", TEXT, .max = 3, .required = true},
	{"application_fee_amount", INTEGER},
	{"automatic_payment_methods[enabled]", BOOLEAN},
	{"automatic_payment_methods[allow_redirects]", CHOICE, "always|never"},
	{"confirm", BOOLEAN},
	{"confirmation_method", CHOICE, "automatic|manual"},
	{"customer", TEXT},
	{"customer_account", TEXT},
	{"description", TEXT, .max = 1000},
	METADATA,
	{"on_behalf_of", TEXT},
	{"payment_method_configuration", TEXT, .max = 100},
	{"statement_descriptor", TEXT, .max = 22},
	{"statement_descriptor_suffix", TEXT, .max = 22},
	{"transfer_data[amount]", INTEGER},
	{"transfer_data[destination]", TEXT},
	{"transfer_group", TEXT},
	{0},
};

const struct parameter confirm_parameters[] = {
	{"client_secret", TEXT},
	{0},
};

const struct parameter cancel_parameters[] = {
	EXPAND,
	{"cancellation_reason", CHOICE, "abandoned|duplicate|fraudulent|requested_by_customer"},
	{0},
};

const struct parameter refund_parameters[] = {
	EXPAND,
	METADATA,
	{"amount", INTEGER},
	{"charge", TEXT},
	{"currency", TEXT, .max = 3},
	{"customer", TEXT},
	{"instructions_email", TEXT},
	{"origin", CHOICE, "customer_balance"},
	{"payment_intent", TEXT},
	{"reason", CHOICE, "duplicate|fraudulent|requested_by_customer"},
	{"refund_application_fee", BOOLEAN},
	{"reverse_transfer", BOOLEAN},
	{0},
};

const struct parameter list_intents_parameters[] = {EXPAND, PAGE, {"customer", TEXT},
	{"customer_account", TEXT}, {0}};
const struct parameter list_refunds_parameters[] = {EXPAND, PAGE, {"charge", TEXT},
	{"payment_intent", TEXT}, {0}};
const struct parameter read_parameters[] = {EXPAND, {0}};
const struct parameter read_intent_parameters[] = {EXPAND, {"client_secret", TEXT}, {0}};
