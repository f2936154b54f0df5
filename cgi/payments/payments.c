/* payments.c: the payments service: one payment for each order, taken by Stripe. */
#include "parts.h"

/* clang-format off */
static const struct field payment_query[] = {
	PAGE_FIELDS,
	{"order_id", INTEGER},
	{"ordering", CHOICE, .choices = "created_at -created_at"},
	{0},
};

#define METHOD_FIELDS \
	{"order_id",       INTEGER, REQUIRED}, \
	{"payment_method", TEXT,    REQUIRED, .min = 1, .max = 255}, \
	{"return_url",     URL,     NULLABLE, .max = 2000}

static const struct field new_attempt[] = {METHOD_FIELDS, {0}};

static const struct field new_refund[] = {
	{"amount", MONEY, NULLABLE},
	{"reason", TEXT,  NULLABLE, .max = 500},
	{0},
};

static const struct field charge[] = {
	METHOD_FIELDS,
	{"user_id",     INTEGER,  REQUIRED},
	{"amount",      INTEGER,  REQUIRED},
	{"currency",    CURRENCY, REQUIRED},
	{"request_key", TEXT,     REQUIRED, .min = 1, .max = 300},
	{0},
};

static const struct field cancellation[] = {
	{"reason", CHOICE, REQUIRED, .choices = "cancelled expired"},
	{0},
};

#define BASE     "/api/v1/payments/"
#define INTERNAL "/internal/v1/"

static const struct route routes[] = {
	{POST, BASE "process/",                 USER,    KEYED | LONG, new_attempt,   .handler = process_payment},
	{GET,  BASE,                            USER,    0,            payment_query, &sql_list_payments},
	{GET,  BASE ":id/",                     USER,    0,            NULL,          &sql_get_payment},
	{POST, BASE ":id/refund/",              STAFF,   KEYED | LONG, new_refund,    .handler = refund_payment},
	{POST, BASE "webhook/",                 ANYONE,  RAW,          NULL,          .handler = receive_webhook},

	{POST, INTERNAL "charge/",              SERVICE, LONG,         charge,        .handler = charge_order},
	{POST, INTERNAL "orders/:id/cancel/",   SERVICE, LONG,         cancellation,  .handler = cancel_payment},
	{GET,  INTERNAL "due/",                 SERVICE, 0,            NULL,          &sql_list_due},
	{POST, INTERNAL "run/:id/",             SERVICE, LONG,         NULL,          .handler = settle_payment},
	{POST, INTERNAL "events/",              SERVICE, 0,            event_fields,  &sql_receive_event},
};
/* clang-format on */

int main(int argc, char **argv)
{
	return serve(&(const struct service_definition){"payments", routes, COUNT(routes),
	                                                PAYMENTS_SCHEMA_VERSION,
	                                                stripe_settings_fault},
	             argc, argv);
}
