/* product.c: what the rows of one product say together, and its JSON. */
#include <string.h>

#include "import.h"

#define VARIANTS_MAX 250
#define IMAGES_MAX 100
#define PATH_STEP " > " /* "Home > Lighting": a category within another */

static enum column option_name(int option)
{
	return (enum column)(OPTION1_NAME + 2 * option);
}

static enum column option_value(int option)
{
	return (enum column)(OPTION1_VALUE + 2 * option);
}

/* ---- What is a variant, what an image ---- */

/* The names are the first row's. */
static bool is_simple(const struct sheet_row *first)
{
	const char *name = first->values[OPTION1_NAME], *value = first->values[OPTION1_VALUE];

	return name && value && !strcmp(name, "Title") && !strcmp(value, "Default Title");
}

static bool has_variants(const struct product *product)
{
	return product->variants > 0;
}

static bool is_variant(const struct sheet_row *row)
{
	return row->values[OPTION1_VALUE] != NULL;
}

/* An image's URL counts where it comes first. */
static bool is_image(const struct product *product, const struct sheet_row *row)
{
	const char *url = row->values[IMAGE_URL];

	if (!url)
		return false;
	for (const struct sheet_row *one = product->rows; one != row; one = one->next)
		if (one->values[IMAGE_URL] && !strcmp(one->values[IMAGE_URL], url))
			return false;
	return true;
}

static bool same_options(const struct sheet_row *a, const struct sheet_row *b)
{
	for (int i = 0; i < OPTIONS; i++) {
		const char *one = a->values[option_value(i)],
			   *other = b->values[option_value(i)];

		if (strcmp(one ? one : "", other ? other : "") != 0)
			return false;
	}
	return true;
}

/* ---- Checks ---- */

struct check {
	const struct catalogue *catalogue;
	struct product *product;
};

static void fault(const struct check *check, const struct sheet_row *row, const char *message)
{
	complain(check->catalogue, row->line, "%s", message);
	check->product->failed = true;
}

static void check_needed(const struct check *check, const struct sheet_row *row,
                         enum column column, const char *message)
{
	if (!row->values[column] && !(row->refused & 1u << column))
		fault(check, row, message);
}

static void check_names(const struct check *check)
{
	const struct sheet_row *first = check->product->rows;

	for (int i = 0; i < OPTIONS; i++)
		for (int j = 0; j < i; j++) {
			const char *one = first->values[option_name(i)];
			const char *other = first->values[option_name(j)];

			if (one && other && !strcmp(one, other))
				fault(check, first, "two options have the same name");
		}
}

/* A variant has a value for each option that the first row names. */
static void check_options(const struct check *check, const struct sheet_row *row)
{
	const struct sheet_row *first = check->product->rows;

	for (int i = 0; i < OPTIONS; i++) {
		unsigned refused =
			first->refused >> option_name(i) | row->refused >> option_value(i);
		bool named = first->values[option_name(i)],
		     valued = row->values[option_value(i)];

		if (named != valued && !(refused & 1))
			fault(check, row,
			      arena_printf(check->catalogue->arena,
			                   named ? "Option%d Value: This field is required."
			                         : "Option%d Value: the product's first row "
			                           "does not name this option.",
			                   i + 1));
	}
	for (const struct sheet_row *one = first; one != row; one = one->next)
		if (is_variant(one) && same_options(one, row))
			fault(check, row,
			      arena_printf(check->catalogue->arena,
			                   "the same options as in line %ld", one->line));
}

static void check_variant(const struct check *check, const struct sheet_row *row)
{
	bool sold = row->values[PRICE] || row->values[SKU] || row->values[QUANTITY];

	if (is_variant(row)) {
		check_options(check, row);
		check_needed(check, row, PRICE, "Variant Price: This field is required.");
	} else if (sold) {
		check_needed(check, row, OPTION1_VALUE,
		             "Option1 Value: This field is required.");
	}
}

static void count_parts(struct product *product)
{
	const struct sheet_row *first = product->rows;

	for (const struct sheet_row *row = first; row; row = row->next) {
		product->variants += is_variant(row);
		product->images += is_image(product, row);
	}
	if (product->variants == 1 && is_simple(first))
		product->variants = 0;
}

void check_product(const struct catalogue *catalogue, struct product *product)
{
	const struct sheet_row *first = product->rows;
	struct check check = {catalogue, product};

	if (product->headless || !first)
		return;
	check_needed(&check, first, TITLE, "Title: This field is required.");
	if (!is_variant(first))
		check_needed(&check, first, PRICE, "Variant Price: This field is required.");
	count_parts(product);
	if (has_variants(product))
		check_names(&check);
	for (const struct sheet_row *row = first; row; row = row->next)
		if (has_variants(product) || row != first)
			check_variant(&check, row);
	if (product->variants > VARIANTS_MAX || product->images > IMAGES_MAX)
		fault(&check, first,
		      arena_printf(catalogue->arena, "more than %d variants or %d images",
		                   VARIANTS_MAX, IMAGES_MAX));
}

/* ---- JSON ---- */

struct output {
	struct text text;
	const struct catalogue *catalogue;
	const struct product *product;
};

static const char *quote(struct output *out, const char *text)
{
	return json_quote(out->text.arena, text);
}

static bool in_file(const struct output *out, enum column column)
{
	return out->catalogue->columns >> column & 1;
}

/* A text of the row, "" where it is empty; nothing where the file has no such column. */
static void add_text(struct output *out, const struct sheet_row *row, enum column column,
                     const char *name)
{
	const char *value = row->values[column];

	if (in_file(out, column))
		text_printf(&out->text, ",\"%s\":%s", name, quote(out, value ? value : ""));
}

/* The same with null where it is empty. */
static void add_value(struct output *out, const struct sheet_row *row, enum column column,
                      const char *name)
{
	if (in_file(out, column))
		text_printf(&out->text, ",\"%s\":%s", name, quote(out, row->values[column]));
}

static void add_quantity(struct output *out, const struct sheet_row *row)
{
	if (row->values[QUANTITY])
		text_printf(&out->text, ",\"stock_quantity\":%s", row->values[QUANTITY]);
}

static void add_activity(struct output *out, const struct sheet_row *first)
{
	const char *published = first->values[PUBLISHED], *status = first->values[STATUS];
	bool active = (!published || !strcmp(published, "true")) &&
	              (!status || !strcmp(status, "active"));

	if (published || status)
		text_printf(&out->text, ",\"is_active\":%s", active ? "true" : "false");
}

/* "Home > Lighting" as ["Home","Lighting"]. */
static void add_category(struct output *out, const struct sheet_row *first)
{
	const char *step = first->values[TYPE] ? first->values[TYPE] : "";
	const char *separator = "";

	if (!in_file(out, TYPE))
		return;
	text_printf(&out->text, ",\"category\":[");
	while (*step) {
		const char *end = strstr(step, PATH_STEP);
		size_t size = end ? (size_t)(end - step) : strlen(step);

		if (size) {
			text_printf(&out->text, "%s%s", separator,
			            quote(out, arena_copy(out->text.arena, step, size)));
			separator = ",";
		}
		step += size + (end ? strlen(PATH_STEP) : 0);
	}
	text_printf(&out->text, "]");
}

/* {"name":"Large / Blue","options":{"Size":"Large","Color":"Blue"} */
static void add_options(struct output *out, const struct sheet_row *row)
{
	struct text name = {.arena = out->text.arena}, options = {.arena = out->text.arena};

	for (int i = 0; i < OPTIONS; i++) {
		const char *key = out->product->rows->values[option_name(i)];
		const char *value = row->values[option_value(i)];

		if (!key)
			continue;
		text_printf(&name, "%s%s", name.size ? " / " : "", value);
		text_printf(&options, "%s%s:%s", options.size ? "," : "", quote(out, key),
		            quote(out, value));
	}
	text_printf(&out->text, "{\"name\":%s,\"options\":{%s}", quote(out, name.bytes),
	            options.bytes);
}

/* The product's price is that of its first variant; the others have one of their own where it
 * is another. */
static void add_variants(struct output *out)
{
	const struct sheet_row *first = out->product->rows;
	const char *separator = "";

	text_printf(&out->text, ",\"variants\":[");
	for (const struct sheet_row *row = first; row; row = row->next) {
		if (!is_variant(row) || !has_variants(out->product))
			continue;
		text_printf(&out->text, "%s", separator);
		separator = ",";
		add_options(out, row);
		add_value(out, row, SKU, "sku");
		text_printf(&out->text, ",\"price\":%s",
		            row->price == first->price ? "null"
		                                       : quote(out, row->values[PRICE]));
		add_quantity(out, row);
		text_printf(&out->text, "}");
	}
	text_printf(&out->text, "]");
}

static void add_images(struct output *out)
{
	size_t place = 0;

	if (!in_file(out, IMAGE_URL))
		return;
	text_printf(&out->text, ",\"images\":[");
	for (const struct sheet_row *row = out->product->rows; row; row = row->next) {
		const char *position = row->values[IMAGE_POSITION];
		const char *alt = row->values[IMAGE_ALT];

		if (!is_image(out->product, row))
			continue;
		text_printf(&out->text,
		            "%s{\"url\":%s,\"alt\":%s,\"position\":", place ? "," : "",
		            quote(out, row->values[IMAGE_URL]), quote(out, alt ? alt : ""));
		place++;
		if (position)
			text_printf(&out->text, "%s}", position);
		else
			text_printf(&out->text, "%zu}", place);
	}
	text_printf(&out->text, "]");
}

const char *product_json(struct arena *arena, const struct catalogue *catalogue,
                         const struct product *product)
{
	const struct sheet_row *first = product->rows;
	struct output out = {{.arena = arena}, catalogue, product};

	text_printf(&out.text, "{\"slug\":%s,\"name\":%s,\"price\":%s",
	            quote(&out, product->handle), quote(&out, first->values[TITLE]),
	            quote(&out, first->values[PRICE]));
	add_text(&out, first, DESCRIPTION, "description");
	add_value(&out, first, COMPARE_AT_PRICE, "compare_at_price");
	add_activity(&out, first);
	add_category(&out, first);
	if (has_variants(product)) {
		if (in_file(&out, SKU))
			text_printf(&out.text, ",\"sku\":null");
	} else {
		add_value(&out, first, SKU, "sku");
		add_quantity(&out, first);
	}
	add_variants(&out);
	add_images(&out);
	text_printf(&out.text, "}");
	return out.text.bytes;
}
