/* cart.c: the carts of users and guests: lines with prices and stock, asked of products. */
#include <string.h>

#include "arnova.h"
#include "cart.h"

/* How long products is waited for: what is shown can do without its answer. */
#define SHOWN_MS 2000
#define DECIDED_MS 10000
#define QUANTITY_MAX 1000000 /* as the constraint quantity_too_large */
#define LINES_MAX 200        /* of an order that is taken off a cart */
#define TOKEN_BYTES 16       /* of a guest's X-Cart-Token */

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

static const struct field merging[] = {{"strategy", CHOICE, .choices = "max sum"}, {0}};

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

/* ---- Whose cart it is ---- */

/* No token is kept, only its SHA-256: neither the database nor a backup of it opens a cart. */
static const char *hash_of(struct request *request, const char *token)
{
	return token ? sha256_hex(request->arena, token, strlen(token)) : NULL;
}

/* A signed-in caller's own cart wins over a token that is sent along. */
static void find_owner(struct request *request)
{
	const char *token = request->caller.user_id ? NULL : header(request, "X-Cart-Token");

	set_param(request, "guest_hash", hash_of(request, token));
}

/* ---- The cart ---- */

/* Asks products about the items and keeps the answer for the queries, as ":quote". */
static struct response ask_quote(struct request *request, const char *question, long limit_ms)
{
	struct response response = ask_within(request, limit_ms, PRODUCTS, question, "quote");
	bool answered = response.outcome == ANSWERED && response.status == 200;

	set_param(request, "quote", answered ? response.body : NULL);
	return response;
}

/* What is asked about, as products knows it today; without products as last known, and the cart
 * says so. */
static struct reply show_today(struct request *request, const struct row *asked,
                               const struct query *query)
{
	set_param(request, "quote", NULL);
	if (asked)
		(void)ask_quote(request, column(asked, "question"), SHOWN_MS);
	if (param(request, "quote") && !run(request, &sql_remember_quote))
		return *request->failure;

	return answer(request, query);
}

static struct reply show_cart(struct request *request)
{
	struct row *cart;

	find_owner(request);
	if (!fetch(request, &sql_get_question, &cart))
		return *request->failure;

	return show_today(request, cart, &sql_show_cart);
}

/* An empty cart is cleared as well as any other. */
static struct reply clear_cart(struct request *request)
{
	find_owner(request);
	if (!run(request, &sql_clear_cart))
		return *request->failure;

	return reply_empty(204);
}

/* The guest's lines move to the caller, who then sees his cart as ever. */
static struct reply merge_carts(struct request *request)
{
	struct row *cart;

	find_owner(request);
	set_param(request, "merged_hash", hash_of(request, header(request, "X-Cart-Token")));
	if (!run(request, &sql_merge_carts) || !fetch(request, &sql_get_question, &cart) ||
	    !commit(request))
		return *request->failure;

	return show_today(request, cart, &sql_show_cart);
}

/* ---- Its lines ---- */

/* A guest without a cart is told the token of his new one, here and nowhere else. */
static struct reply put_into_cart(struct request *request)
{
	const char *token = random_hex(request->arena, TOKEN_BYTES);
	struct row *line;

	set_param(request, "new_hash", hash_of(request, token));
	if (!fetch(request, &sql_add_item, &line))
		return *request->failure;

	reply_header(request, "Location", "%s", column(line, "location"));
	if (column_is(line, "is_new_guest", "t"))
		reply_header(request, "X-Cart-Token", "%s", token);
	return reply_json(201, column(line, "item"));
}

static struct reply add_item(struct request *request)
{
	const char *variant = param(request, "variant_id");
	const char *question = arena_printf(
		request->arena,
		"{\"items\":[{\"product_id\":%s,\"variant_id\":%s,\"quantity\":%s}]}",
		param(request, "product_id"), variant ? variant : "null",
		param(request, "quantity"));
	struct response response = ask_quote(request, question, DECIDED_MS);

	if (!param(request, "quote"))
		return reply_from(request, &response);

	find_owner(request);
	return put_into_cart(request);
}

static struct reply show_item(struct request *request)
{
	struct row *item;

	find_owner(request);
	set_param(request, "quantity", NULL);
	if (!fetch(request, &sql_get_item_question, &item))
		return *request->failure;
	if (!item)
		return problem(request, "not_found");

	return show_today(request, item, &sql_show_item);
}

static struct reply remove_item(struct request *request)
{
	find_owner(request);
	return answer(request, &sql_remove_item);
}

static struct reply change_item(struct request *request)
{
	struct row *item;

	if (param_int(request, "quantity") == 0)
		return remove_item(request);
	find_owner(request);
	if (!fetch(request, &sql_get_item_question, &item) || !commit(request))
		return *request->failure;
	if (!item)
		return problem(request, "not_found");

	struct response response = ask_quote(request, column(item, "question"), DECIDED_MS);

	if (!param(request, "quote"))
		return reply_from(request, &response);

	return answer(request, &sql_set_quantity);
}

/* clang-format off */
static const struct route routes[] = {
	{GET,    "/api/v1/cart/",                  ANYONE,  .handler = show_cart},
	{DELETE, "/api/v1/cart/clear/",            ANYONE,  .handler = clear_cart},
	{POST,   "/api/v1/cart/merge/",            USER,    .accepts = merging,      .handler = merge_carts},
	{POST,   "/api/v1/cart/items/",            ANYONE,  .accepts = new_item,     .handler = add_item},
	{GET,    "/api/v1/cart/items/:id/",        ANYONE,  .handler = show_item},
	{PUT,    "/api/v1/cart/items/:id/",        ANYONE,  .accepts = changed_item, .handler = change_item},
	{DELETE, "/api/v1/cart/items/:id/",        ANYONE,  .handler = remove_item},
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
