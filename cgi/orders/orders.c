/* orders.c: what can be asked of the orders service. */
#include <stdlib.h>
#include <string.h>

#include "parts.h"

#define LINES_MAX 100
#define QUANTITY_MAX 10000
#define SECONDS_MAX 86400 /* an order is open for a day at most */

/* clang-format off */
#define STATUSES "pending confirmed processing shipped delivered cancelled expired"
#define PAYMENT_STATUSES "requires_payment processing paid partially_refunded refunded failed"

static const struct field order_filters[] = {
	PAGE_FIELDS,
	{"user_id",        INTEGER},
	{"status",         CHOICE, .choices = STATUSES},
	{"payment_status", CHOICE, .choices = PAYMENT_STATUSES},
	{"created_after",  TIME},
	{"created_before", TIME},
	{"ordering",       CHOICE, .choices = "created_at -created_at"},
	{0},
};

static const struct field line[] = {
	{"product_id", INTEGER, REQUIRED},
	{"variant_id", INTEGER, NULLABLE},
	{"quantity",   INTEGER, REQUIRED, .min = 1, .max = QUANTITY_MAX},
	{"id",         INTEGER, READ_ONLY},
	{"sku",        TEXT,    READ_ONLY},
	{"name",       TEXT,    READ_ONLY},
	{"unit_price", MONEY,   READ_ONLY},
	{"total",      MONEY,   READ_ONLY},
	{0},
};

/* An address of users can be sent as it was read. */
static const struct field address[] = {
	{"name",        TEXT, REQUIRED, .min = 1, .max = 200},
	{"line1",       TEXT, REQUIRED, .min = 1, .max = 200},
	{"line2",       TEXT, NULLABLE, .max = 200},
	{"city",        TEXT, REQUIRED, .min = 1, .max = 100},
	{"region",      TEXT, NULLABLE, .max = 100},
	{"postal_code", TEXT, REQUIRED, .min = 1, .max = 20},
	{"country",     COUNTRY, REQUIRED},
	{"phone",       TEXT, NULLABLE, .max = 32},
	{"id",          INTEGER, READ_ONLY},
	{"is_default",  BOOLEAN, READ_ONLY},
	{"created_at",  TIME,    READ_ONLY},
	{"updated_at",  TIME,    READ_ONLY},
	{0},
};

static const struct field new_order[] = {
	{"items",               LIST,    .min = 1, .max = LINES_MAX, .fields = line},
	{"shipping_address",    OBJECT,  NULLABLE, .fields = address},
	{"shipping_address_id", INTEGER, NULLABLE},
	{"billing_address",     OBJECT,  NULLABLE, .fields = address},
	{"expected_total",      MONEY,   NULLABLE},
	{"payment_method",      SLUG,    NULLABLE, .min = 1, .max = 255},
	{"notes",               TEXT,    NULLABLE, .max = 1000},
	{"id",                  INTEGER, READ_ONLY},
	{"number",              TEXT,    READ_ONLY},
	{"user_id",             INTEGER, READ_ONLY},
	{"email",               TEXT,    READ_ONLY},
	{"status",              TEXT,    READ_ONLY},
	{"payment_status",      TEXT,    READ_ONLY},
	{"fulfillment_status",  TEXT,    READ_ONLY},
	{"currency",            TEXT,    READ_ONLY},
	{"subtotal",            MONEY,   READ_ONLY},
	{"discount_total",      MONEY,   READ_ONLY},
	{"shipping_total",      MONEY,   READ_ONLY},
	{"tax_total",           MONEY,   READ_ONLY},
	{"total",               MONEY,   READ_ONLY},
	{"reserved_until",      TIME,    READ_ONLY},
	{"payment_id",          INTEGER, READ_ONLY},
	{"payment",             OBJECT,  READ_ONLY},
	{"allowed_actions",     LIST,    READ_ONLY},
	{"created_at",          TIME,    READ_ONLY},
	{"updated_at",          TIME,    READ_ONLY},
	{0},
};

static const struct field cancellation[] = {
	{"reason", TEXT, NULLABLE, .max = 500},
	{0},
};

static const struct field status_change[] = {
	{"status", CHOICE, REQUIRED, .choices = STATUSES},
	{"note",   TEXT,   NULLABLE, .max = 500},
	{0},
};

#define SHIPMENT_SHOWN \
	{"id",           INTEGER, READ_ONLY}, \
	{"tracking_url", URL,     READ_ONLY}, \
	{"shipped_at",   TIME,    READ_ONLY}, \
	{"delivered_at", TIME,    READ_ONLY}

static const struct field shipped_line[] = {
	{"order_item_id", INTEGER, REQUIRED},
	{"quantity",      INTEGER, REQUIRED, .min = 1, .max = QUANTITY_MAX},
	{0},
};

static const struct field new_shipment[] = {
	{"items",           LIST, NULLABLE, .min = 1, .max = LINES_MAX, .fields = shipped_line},
	{"carrier",         TEXT, REQUIRED, .min = 1, .max = 64},
	{"tracking_number", TEXT, NULLABLE, .max = 64},
	{"status",          TEXT, READ_ONLY},
	SHIPMENT_SHOWN,
	{0},
};

static const struct field shipment_change[] = {
	{"status",          CHOICE, REQUIRED, .choices = "shipped in_transit delivered lost"},
	{"items",           LIST,   READ_ONLY},
	{"carrier",         TEXT,   READ_ONLY},
	{"tracking_number", TEXT,   READ_ONLY},
	SHIPMENT_SHOWN,
	{0},
};


static const struct field payer[] = {
	{"user_id", INTEGER}, /* whose order it must be */
	{0},
};

static const struct field purchase[] = {
	{"user_id",    INTEGER, REQUIRED},
	{"product_id", INTEGER, REQUIRED},
	{0},
};
/* clang-format on */

static const char *settings_fault(void)
{
	char *end;
	long seconds = strtol(setting("RESERVATION_SECONDS", "900"), &end, 10);

	if (*end || seconds < 1 || seconds > SECONDS_MAX)
		return "RESERVATION_SECONDS must be a whole number from 1 to 86400";
	return NULL;
}

void set_reservation_seconds(struct request *request)
{
	set_param(request, "reservation_seconds", setting("RESERVATION_SECONDS", "900"));
}

/* Staff cancels as everybody does: payments is asked, too. */
static struct reply change_status(struct request *request)
{
	if (!strcmp(param(request, "status"), "cancelled")) {
		set_param(request, "reason", param(request, "note"));
		return cancel_order(request);
	}
	return write_then_show(request, &sql_change_order_status, &sql_get_order);
}

struct reply show_payable(struct request *request)
{
	set_reservation_seconds(request);
	return answer(request, &sql_get_payable);
}

/* clang-format off */
#define BASE     "/api/v1/orders/"
#define INTERNAL "/internal/v1/"

static const struct route routes[] = {
	{GET,   BASE,                            USER,    0,            order_filters,   &sql_list_orders},
	{POST,  BASE,                            USER,    KEYED | LONG, new_order,       .handler = place_order},
	{GET,   BASE ":id/",                     USER,    0,            NULL,            &sql_get_order},
	{PUT,   BASE ":id/cancel/",              USER,    LONG,         cancellation,    .handler = cancel_order},
	{POST,  BASE ":id/status/",              STAFF,   LONG,         status_change,   .handler = change_status},
	{GET,   BASE ":id/track/",               USER,    0,            NULL,            &sql_track_order},
	{GET,   BASE ":id/shipments/",           USER,    0,            page_fields,           &sql_list_shipments},
	{POST,  BASE ":id/shipments/",           STAFF,   0,            new_shipment,    &sql_ship_order, &sql_show_shipment},
	{GET,   BASE ":id/shipments/:sid/",      USER,    0,            NULL,            &sql_show_shipment},
	{PATCH, BASE ":id/shipments/:sid/",      STAFF,   0,            shipment_change, &sql_change_shipment, &sql_show_shipment},

	{GET,   INTERNAL "orders/:id/payable/",  SERVICE, 0,            payer,           .handler = show_payable},
	{GET,   INTERNAL "purchases/",           SERVICE, 0,            purchase,        &sql_show_purchase},
	{POST,  INTERNAL "events/",              SERVICE, 0,            event_fields,    &sql_receive_order_event},
	{GET,   INTERNAL "due/",                 SERVICE, 0,            NULL,            &sql_list_due_orders},
	{POST,  INTERNAL "run/:id/",             SERVICE, LONG,         NULL,            .handler = settle_order},
};
/* clang-format on */

int main(int argc, char **argv)
{
	const struct service_definition orders = {"orders", routes, COUNT(routes),
	                                          ORDERS_SCHEMA_VERSION, settings_fault};

	return serve(&orders, argc, argv);
}
