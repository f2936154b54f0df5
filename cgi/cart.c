/* cart.c: the carts of users: lines with today's prices and stock, asked of products. */
#include "arnova.h"
#include "cart.h"

#define QUANTITY_MAX 1000000 /* as the constraint quantity_too_large */
#define LINES_MAX 200        /* of an order that is taken off a cart */

/* clang-format off */
/* What the item that was read holds besides what a client may write. */
#define ITEM_READ_ONLY \
	{"id",                INTEGER, READ_ONLY}, \
	{"sku",               TEXT,    READ_ONLY}, \
	{"name",              TEXT,    READ_ONLY}, \
	{"image",             TEXT,    READ_ONLY}, \
	{"unit_price",        MONEY,   READ_ONLY}, \
	{"unit_price_at_add", MONEY,   READ_ONLY}, \
	{"line_total",        MONEY,   READ_ONLY}, \
	{"available",         INTEGER, READ_ONLY}, \
	{"in_stock",          BOOLEAN, READ_ONLY}

static const struct field new_item[] = {
	{"product_id", INTEGER, REQUIRED},
	{"variant_id", INTEGER, NULLABLE},
	{"quantity",   INTEGER, REQUIRED, .min = 1, .max = QUANTITY_MAX},
	ITEM_READ_ONLY,
	{0},
};

static const struct field changed_item[] = {
	{"quantity",   INTEGER, REQUIRED, .min = 0, .max = QUANTITY_MAX},
	{"product_id", INTEGER, READ_ONLY},
	{"variant_id", INTEGER, READ_ONLY},
	ITEM_READ_ONLY,
	{0},
};

static const struct field ordered_line[] = {
	{"product_id", INTEGER, REQUIRED},
	{"variant_id", INTEGER, NULLABLE},
	{"quantity",   INTEGER, REQUIRED, .min = 1, .max = QUANTITY_MAX},
	{0},
};

static const struct field taken[] = {
	{"order_id", INTEGER, REQUIRED},
	{"items",    LIST,    REQUIRED, .max = LINES_MAX, .fields = ordered_line},
	{0},
};

static const struct field confirmed[] = {
	{"order_id",  INTEGER, REQUIRED},
	{"user_id",   INTEGER, REQUIRED},
	{"from_cart", BOOLEAN, REQUIRED},
	{"items",     LIST,    REQUIRED, .max = LINES_MAX, .fields = ordered_line},
	{0},
};

static const struct field event[] = {
	{"event_id",     TEXT,    REQUIRED, .min = 36, .max = 36},
	{"type",         CHOICE,  REQUIRED, .choices = "order.confirmed"},
	{"aggregate_id", INTEGER, REQUIRED},
	{"version",      INTEGER, REQUIRED, .min = 0, .max = INT32_MAX},
	{"payload",      OBJECT,  REQUIRED, .fields = confirmed},
	{0},
};
/* clang-format on */

/* Asks products about the items and keeps the answer for the queries, as ":quote". */
static struct response ask_quote(struct request *request, const char *question)
{
	struct response response = ask(request, PRODUCTS, POST, question, "quote");
	bool answered = response.outcome == ANSWERED && response.status == 200;

	set_param(request, "quote", answered ? response.body : NULL);
	return response;
}

/* Without products a cart is shown as last known, and says so. */
static struct reply show_cart(struct request *request)
{
	struct row *cart;

	if (!fetch(request, &sql_get_question, &cart))
		return *request->failure;

	set_param(request, "quote", NULL);
	if (cart)
		(void)ask_quote(request, column(cart, "question"));

	bool quoted = param(request, "quote");

	set_param(request, "is_stale", cart && !quoted ? "true" : "false");
	if (quoted && !run(request, &sql_remember_quote))
		return *request->failure;

	return answer(request, &sql_show_cart);
}

static struct reply add_item(struct request *request)
{
	const char *variant = param(request, "variant_id");
	const char *question = arena_printf(
		request->arena,
		"{\"items\":[{\"product_id\":%s,\"variant_id\":%s,\"quantity\":%s}]}",
		param(request, "product_id"), variant ? variant : "null",
		param(request, "quantity"));
	struct response response = ask_quote(request, question);

	if (!param(request, "quote"))
		return reply_from(request, &response);

	return answer(request, &sql_add_item);
}

static struct reply change_item(struct request *request)
{
	struct row *item;

	if (param_int(request, "quantity") == 0)
		return answer(request, &sql_remove_item);
	if (!fetch(request, &sql_get_item_question, &item) || !commit(request))
		return *request->failure;
	if (!item)
		return problem(request, "not_found");

	struct response response = ask_quote(request, column(item, "question"));

	if (!param(request, "quote"))
		return reply_from(request, &response);

	return answer(request, &sql_set_quantity);
}

/* An empty cart is cleared as well as any other. */
static struct reply clear_cart(struct request *request)
{
	if (!run(request, &sql_clear_cart))
		return *request->failure;

	return reply_empty(204);
}

/* clang-format off */
static const struct route routes[] = {
	{GET,    "/api/v1/cart/",                  ANYONE,  .handler = show_cart},
	{POST,   "/api/v1/cart/items/",            USER,    .accepts = new_item,     .handler = add_item},
	{PUT,    "/api/v1/cart/items/:id/",        USER,    .accepts = changed_item, .handler = change_item},
	{DELETE, "/api/v1/cart/items/:id/",        USER,    .query = &sql_remove_item},
	{DELETE, "/api/v1/cart/clear/",            USER,    .handler = clear_cart},
	{GET,    "/internal/v1/carts/:id/",        SERVICE, .query = &sql_list_lines},
	{POST,   "/internal/v1/carts/:id/take/",   SERVICE, .accepts = taken, .query = &sql_take_items},
	{POST,   "/internal/v1/events/",           SERVICE, .accepts = event, .query = &sql_receive_cart_event},
};
/* clang-format on */

int main(int argc, char **argv)
{
	const struct service_definition cart = {"cart", routes, COUNT(routes),
	                                        CART_SCHEMA_VERSION};

	return serve(&cart, argc, argv);
}
