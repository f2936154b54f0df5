/* products.c: the products service: the catalogue, and for its siblings prices and stock. */
#include "products.h"

#define AUTHOR_WAITS_MS 2000 /* for orders to say what was bought */
#define READER_WAITS_MS 300

/* ---- Shapes ---- */

/* clang-format off */
static const struct field product_query[] = {
	PAGE_FIELDS,
	{"category",  TEXT,   .min = 1, .max = 100}, /* slug or id */
	{"search",    TEXT,   .min = 1, .max = 200},
	{"min_price", MONEY},
	{"max_price", MONEY},
	{"in_stock",  BOOLEAN},
	{"ids",       IDS,    .max = 100},
	{"ordering",  CHOICE, .choices = "name -name price -price created_at -created_at rating -rating"},
	{0},
};

static const struct field item[] = {
	{"product_id", INTEGER, REQUIRED},
	{"variant_id", INTEGER, NULLABLE},
	{"quantity",   INTEGER, REQUIRED, .min = 1, .max = 1000000},
	{0},
};

static const struct field quote_items[] = {{"items", LIST, REQUIRED, .max = 1000, .fields = item}, {0}};

static const struct field new_reservation[] = {
	{"order_id", INTEGER, REQUIRED},
	{"items",    LIST,    REQUIRED, .min = 1, .max = 1000, .fields = item},
	{0},
};

static const struct field shipped_items[] = {
	{"items",     LIST, NULLABLE, .max = 1000, .fields = item},
	{"reference", TEXT, REQUIRED, .min = 1, .max = 64}, /* the shipment: once for each */
	{0},
};

#define SHOWN_FIELDS /* what every resource shows and nobody sets */ \
	{"id",         INTEGER, READ_ONLY}, \
	{"created_at", TIME,    READ_ONLY}, \
	{"updated_at", TIME,    READ_ONLY}

static const struct field category_query[] = {
	PAGE_FIELDS,
	{"tree",     BOOLEAN},
	{"ordering", CHOICE, .choices = "name -name"},
	{0},
};

static const struct field review_query[] = {
	PAGE_FIELDS,
	{"ordering", CHOICE, .choices = "created_at -created_at rating -rating"},
	{0},
};

#define VARIANT_FIELDS \
	{"name",           TEXT,    .max = 255}, \
	{"sku",            TEXT,    NULLABLE, .max = 64}, \
	{"options",        OBJECT,  NULLABLE}, \
	{"price",          MONEY,   NULLABLE}, \
	{"stock_quantity", INTEGER, NULLABLE, .min = 0, .max = 1000000000}, \
	{"currency",       TEXT,    READ_ONLY}, \
	{"in_stock",       BOOLEAN, READ_ONLY}, \
	SHOWN_FIELDS

#define IMAGE_FIELDS(required) \
	{"url",      URL,     required, .min = 1, .max = 2000}, \
	{"alt",      TEXT,    .max = 255}, \
	{"position", INTEGER, .min = 0, .max = 10000}, \
	SHOWN_FIELDS

#define PRODUCT_FIELDS(required, collections) \
	{"name",             TEXT,     required, .min = 1, .max = 255}, \
	{"price",            MONEY,    required}, \
	{"sku",              TEXT,     NULLABLE, .max = 64}, \
	{"slug",             SLUG,     .max = 100}, \
	{"description",      TEXT,     .max = 20000}, \
	{"compare_at_price", MONEY,    NULLABLE}, \
	{"currency",         CURRENCY}, \
	{"stock_quantity",   INTEGER,  NULLABLE, .min = 0, .max = 1000000000}, \
	{"category_id",      INTEGER,  NULLABLE}, \
	{"is_active",        BOOLEAN}, \
	{"variants",         LIST,     collections, .max = 250, .fields = variant}, \
	{"images",           LIST,     collections, .max = 100, .fields = new_image}, \
	{"category",         OBJECT,   READ_ONLY}, \
	{"categories",       LIST,     READ_ONLY}, \
	{"image",            TEXT,     READ_ONLY}, \
	{"in_stock",         BOOLEAN,  READ_ONLY}, \
	{"rating_avg",       TEXT,     READ_ONLY}, \
	{"rating_count",     INTEGER,  READ_ONLY}, \
	{"variant_count",    INTEGER,  READ_ONLY}, \
	SHOWN_FIELDS

#define CATEGORY_FIELDS(required) \
	{"name",        TEXT,    required, .min = 1, .max = 255}, \
	{"slug",        SLUG,    .max = 100}, \
	{"parent_id",   INTEGER, NULLABLE}, \
	{"description", TEXT,    .max = 20000}, \
	{"children",    LIST,    READ_ONLY}, \
	SHOWN_FIELDS

static const struct field review[] = {
	{"rating",            INTEGER, REQUIRED, .min = 1, .max = 5},
	{"title",             TEXT,    .max = 255},
	{"body",              TEXT,    .max = 10000},
	{"product_id",        INTEGER, READ_ONLY},
	{"user_id",           INTEGER, READ_ONLY},
	{"verified_purchase", BOOLEAN, READ_ONLY},
	SHOWN_FIELDS,
	{0},
};

static const struct field new_category[] = {CATEGORY_FIELDS(REQUIRED), {0}};
static const struct field category_changes[] = {CATEGORY_FIELDS(0), {0}};
static const struct field variant[] = {VARIANT_FIELDS, {0}};
static const struct field new_image[] = {IMAGE_FIELDS(REQUIRED), {0}};
static const struct field image_changes[] = {IMAGE_FIELDS(0), {0}};
static const struct field new_product[] = {PRODUCT_FIELDS(REQUIRED, 0), {0}};
static const struct field whole_product[] = {PRODUCT_FIELDS(REQUIRED, READ_ONLY), {0}};
static const struct field product_changes[] = {PRODUCT_FIELDS(0, READ_ONLY), {0}};
/* clang-format on */

/* ---- Handlers ---- */

/* The service token sets the stock and nothing else. */
static struct reply change_product(struct request *request)
{
	if (request->caller.access & SERVICE &&
	    !has_only_param(request, product_changes, "stock_quantity"))
		return problem(request, "permission_denied");
	return write_then_show(request, &sql_change_product, &sql_show_product);
}

/* Asks orders whether a user has bought the product and keeps the answer for the queries, as
 * ":purchased": null where orders is away.  Then the review is written all the same, and says
 * so.
 */
static void ask_purchased(struct request *request, const char *user_id, long limit_ms)
{
	struct response response =
		ask_within(request, limit_ms, ORDERS, NULL,
	                   "purchases?user_id=%s&product_id=%s", user_id, param(request, "id"));
	bool answered = response.outcome == ANSWERED && response.status == 200;

	set_param(request, "purchased",
	          answered ? json_text(request->arena, response.json, "purchased") : NULL);
}

static struct reply create_review(struct request *request)
{
	struct row *product;

	if (!fetch(request, &sql_check_reviewable, &product) || !commit(request))
		return *request->failure;
	if (!product)
		return problem(request, "not_found");
	ask_purchased(request, param(request, "user_id"), AUTHOR_WAITS_MS);
	return write_then_show(request, &sql_create_review, &sql_show_review);
}

/* Orders is asked once more, a minute later at the earliest, where it was away when a review
 * was written.  False: as with fetch. */
static bool verify_purchase(struct request *request)
{
	struct row *found, *claim;

	if (!fetch(request, &sql_find_unverified, &found))
		return false;
	if (!found)
		return true;
	set_param(request, "unverified", column(found, "unverified"));
	if (!fetch(request, &sql_claim_unverified, &claim))
		return false;
	if (!claim) /* somebody else is at it */
		return true;
	ask_purchased(request, column(claim, "author"), READER_WAITS_MS);
	return !param(request, "purchased") || run(request, &sql_verify_review);
}

static struct reply list_reviews(struct request *request)
{
	if (!verify_purchase(request))
		return *request->failure;
	return answer(request, &sql_list_reviews);
}

/* ---- Routes ---- */

/* clang-format off */
#define BASE     "/api/v1/products/"
#define INTERNAL "/internal/v1/"

static const struct route routes[] = {
	{GET,    BASE,                            ANYONE,        0, product_query,    &sql_list_products},
	{POST,   BASE,                            STAFF,         0, new_product,      &sql_create_product, &sql_show_product},

	{GET,    BASE "categories/",              ANYONE,        0, category_query,   &sql_list_categories},
	{POST,   BASE "categories/",              STAFF,         0, new_category,     &sql_create_category, &sql_show_category},
	{GET,    BASE "categories/:id/",          ANYONE,        0, NULL,             &sql_show_category},
	{PUT,    BASE "categories/:id/",          STAFF,         0, new_category,     &sql_replace_category, &sql_show_category},
	{PATCH,  BASE "categories/:id/",          STAFF,         0, category_changes, &sql_change_category, &sql_show_category},
	{DELETE, BASE "categories/:id/",          STAFF,         0, NULL,             &sql_delete_category},

	{GET,    BASE ":slug/",                   ANYONE,        0, NULL,             &sql_show_product},
	{PUT,    BASE ":id/",                     STAFF,         0, whole_product,    &sql_replace_product, &sql_show_product},
	{PATCH,  BASE ":id/",                     STAFF|SERVICE, 0, product_changes,  .handler = change_product},
	{DELETE, BASE ":id/",                     STAFF,         0, NULL,             &sql_delete_product},

	{GET,    BASE ":id/variants/",            ANYONE,        0, page_fields,      &sql_list_variants},
	{POST,   BASE ":id/variants/",            STAFF,         0, variant,          &sql_create_variant, &sql_show_variant},
	{GET,    BASE ":id/variants/:vid/",       ANYONE,        0, NULL,             &sql_show_variant},
	{PUT,    BASE ":id/variants/:vid/",       STAFF,         0, variant,          &sql_replace_variant, &sql_show_variant},
	{PATCH,  BASE ":id/variants/:vid/",       STAFF,         0, variant,          &sql_change_variant, &sql_show_variant},
	{DELETE, BASE ":id/variants/:vid/",       STAFF,         0, NULL,             &sql_delete_variant},

	{GET,    BASE ":id/images/",              ANYONE,        0, page_fields,      &sql_list_images},
	{POST,   BASE ":id/images/",              STAFF,         0, new_image,        &sql_create_image, &sql_show_image},
	{GET,    BASE ":id/images/:iid/",         ANYONE,        0, NULL,             &sql_show_image},
	{PATCH,  BASE ":id/images/:iid/",         STAFF,         0, image_changes,    &sql_change_image, &sql_show_image},
	{DELETE, BASE ":id/images/:iid/",         STAFF,         0, NULL,             &sql_delete_image},

	{GET,    BASE ":id/reviews/",             ANYONE,        0, review_query,     .handler = list_reviews},
	{POST,   BASE ":id/reviews/",             USER,          0, review,           .handler = create_review},
	{GET,    BASE ":id/reviews/:rid/",        ANYONE,        0, NULL,             &sql_show_review},
	{PUT,    BASE ":id/reviews/:rid/",        USER,          0, review,           &sql_replace_review, &sql_show_review},
	{DELETE, BASE ":id/reviews/:rid/",        USER,          0, NULL,             &sql_delete_review},

	{POST,   INTERNAL "quote/",                     SERVICE, 0, quote_items,      &sql_quote},
	{POST,   INTERNAL "reservations/",              SERVICE, 0, new_reservation,  &sql_hold},
	{POST,   INTERNAL "reservations/:id/commit/",   SERVICE, 0, NULL,             &sql_commit_reservation},
	{POST,   INTERNAL "reservations/:id/release/",  SERVICE, 0, NULL,             &sql_release_reservation},
	{POST,   INTERNAL "reservations/:id/consume/",  SERVICE, 0, shipped_items,    &sql_consume_reservation},
	{POST,   INTERNAL "reservations/:id/extend/",   SERVICE, 0, NULL,             &sql_show_reservation},
	{POST,   INTERNAL "events/",                    SERVICE, 0, event_fields,     &sql_receive_products_event},
};
/* clang-format on */

int main(int argc, char **argv)
{
	return serve(&(const struct service_definition){"products", routes, COUNT(routes),
	                                                PRODUCTS_SCHEMA_VERSION},
	             argc, argv);
}
