/* shopify.c: reads Shopify's files for products: the rows, each by itself. */
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "csv.h"
#include "import.h"

#define BLANKS " \t\r\n"

/* clang-format off */
static const struct field columns[COLUMNS] = {
	[HANDLE]           = {"Handle",                   SLUG,    .min = 1, .max = 100},
	[TITLE]            = {"Title",                    TEXT,    .max = 255},
	[DESCRIPTION]      = {"Body (HTML)",              TEXT,    .max = 20000}, /* as it is */
	[TYPE]             = {"Type",                     TEXT,    .max = 255},   /* "A > B" */
	[PUBLISHED]        = {"Published",                BOOLEAN},
	[STATUS]           = {"Status",                   CHOICE,  .choices = "active draft archived"},
	[OPTION1_NAME]     = {"Option1 Name",             TEXT,    .max = 64},
	[OPTION1_VALUE]    = {"Option1 Value",            TEXT,    .max = 80},
	[OPTION2_NAME]     = {"Option2 Name",             TEXT,    .max = 64},
	[OPTION2_VALUE]    = {"Option2 Value",            TEXT,    .max = 80},
	[OPTION3_NAME]     = {"Option3 Name",             TEXT,    .max = 64},
	[OPTION3_VALUE]    = {"Option3 Value",            TEXT,    .max = 80},
	[SKU]              = {"Variant SKU",              TEXT,    .max = 64},
	[QUANTITY]         = {"Variant Inventory Qty",    INTEGER, .min = 0, .max = 1000000000},
	[PRICE]            = {"Variant Price",            MONEY},
	[COMPARE_AT_PRICE] = {"Variant Compare At Price", MONEY},
	[IMAGE_URL]        = {"Image Src",                URL,     .max = 2000},
	[IMAGE_POSITION]   = {"Image Position",           INTEGER, .min = 0, .max = 10000},
	[IMAGE_ALT]        = {"Image Alt Text",           TEXT,    .max = 255},
};
/* clang-format on */

#define NEEDED (1u << HANDLE | 1u << TITLE | 1u << PRICE)

/* What the header says: which column a field is; COLUMNS for one that is not read. */
struct header {
	size_t count;
	enum column column[CSV_COLUMNS];
	const char *names[CSV_COLUMNS];
};

void complain(const struct catalogue *catalogue, long line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%ld: ", catalogue->file, line);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static bool is_blank(const char *text)
{
	return !text[strspn(text, BLANKS)];
}

/* ---- The header ---- */

static enum column find_column(const char *name)
{
	enum column column = 0;

	while (column < COLUMNS && strcasecmp(columns[column].name, name) != 0)
		column++;
	return column;
}

static bool read_header(struct catalogue *catalogue, struct csv *csv, struct header *header)
{
	struct csv_record record;
	bool good = true;

	if (!csv_next(csv, &record)) {
		complain(catalogue, 1, "the file is empty");
		return false;
	}
	if (record.fault) {
		complain(catalogue, record.line, "%s", record.fault);
		return false;
	}
	header->count = record.count;
	for (size_t i = 0; i < record.count; i++) {
		enum column column = find_column(record.fields[i]);

		header->names[i] = record.fields[i];
		header->column[i] = column;
		if (column == COLUMNS)
			continue;
		if (catalogue->columns >> column & 1) {
			complain(catalogue, record.line, "the column %s is there twice",
			         columns[column].name);
			good = false;
		}
		catalogue->columns |= 1u << column;
	}
	for (enum column column = 0; column < COLUMNS; column++)
		if (NEEDED & ~catalogue->columns & 1u << column) {
			complain(catalogue, record.line, "the column %s is missing",
			         columns[column].name);
			good = false;
		}
	return good;
}

/* ---- Rows ---- */

static int compare_handles(const void *a, const void *b)
{
	return strcmp(((const struct product *)a)->handle, ((const struct product *)b)->handle);
}

/* The product with this handle, new if need be. */
static struct product *product_of(struct catalogue *catalogue, const char *handle, long line)
{
	struct product *fresh = arena_alloc(catalogue->arena, sizeof(*fresh));
	struct product **place;

	fresh->handle = handle;
	fresh->line = line;
	place = tsearch(fresh, &catalogue->by_handle, compare_handles);
	if (!place)
		die("could not keep %s: out of memory", handle);
	if (*place != fresh)
		return *place;
	*(catalogue->last ? &catalogue->last->next : &catalogue->products) = fresh;
	catalogue->last = fresh;
	catalogue->count++;
	return fresh;
}

static bool refuse(const struct catalogue *catalogue, struct sheet_row *row, enum column column,
                   const char *why)
{
	complain(catalogue, row->line, "%s: %s", columns[column].name, why);
	row->refused |= 1u << column;
	return false;
}

static void check_price(const struct catalogue *catalogue, struct sheet_row *row,
                        enum column column)
{
	const struct currency *currency = catalogue->currency;
	int64_t minor;

	if (!money_parse(row->values[column], currency, &minor)) {
		refuse(catalogue, row, column,
		       arena_printf(catalogue->arena, "%s has %d decimals.", currency->code,
		                    currency->decimals));
		return;
	}
	if (column == PRICE)
		row->price = minor;
	row->values[column] = money_text(catalogue->arena, minor, currency);
}

static void read_value(const struct catalogue *catalogue, struct sheet_row *row,
                       enum column column, const char *text)
{
	const char *fault;

	if (is_blank(text))
		return;
	row->values[column] = scalar_check(catalogue->arena, &columns[column], text, &fault);
	if (fault)
		refuse(catalogue, row, column, fault);
	else if (columns[column].kind == MONEY)
		check_price(catalogue, row, column);
}

static struct sheet_row *read_values(const struct catalogue *catalogue,
                                     const struct header *header,
                                     const struct csv_record *record)
{
	struct sheet_row *row = arena_alloc(catalogue->arena, sizeof(*row));

	row->line = record->line;
	for (size_t i = 0; i < record->count && i < header->count; i++)
		if (header->column[i] != COLUMNS)
			read_value(catalogue, row, header->column[i], record->fields[i]);
		else if (!is_blank(record->fields[i]))
			catalogue->ignore(header->names[i]);
	return row;
}

/* A row that cannot be read: nothing of the product that it belongs to is to be had.  Without a
 * handle that is the product of the row above. */
static struct product *lose_row(struct catalogue *catalogue, const struct header *header,
                                const struct csv_record *record, struct product *above)
{
	const char *handle = NULL, *fault;
	struct product *product;

	for (size_t i = 0; i < record->count && i < header->count; i++)
		if (header->column[i] == HANDLE)
			handle = scalar_check(catalogue->arena, &columns[HANDLE],
			                      record->fields[i], &fault);
	product = handle ? product_of(catalogue, handle, record->line) : above;
	if (product) {
		product->failed = true;
		product->headless = product->headless || !product->rows;
	} else {
		catalogue->lost++;
	}
	return product;
}

static bool is_empty(const struct csv_record *record)
{
	for (size_t i = 0; i < record->count; i++)
		if (!is_blank(record->fields[i]))
			return false;
	return true;
}

/* The product that the row belongs to. */
static struct product *read_row(struct catalogue *catalogue, const struct header *header,
                                const struct csv_record *record, struct product *above)
{
	struct sheet_row *row;
	struct product *product;

	if (record->fault)
		complain(catalogue, record->line, "%s", record->fault);
	else if (record->count != header->count)
		complain(catalogue, record->line, "%zu fields, where the header has %zu",
		         record->count, header->count);
	if (record->fault || record->count != header->count)
		return lose_row(catalogue, header, record, above);
	row = read_values(catalogue, header, record);
	if (!row->values[HANDLE]) {
		if (!(row->refused & 1u << HANDLE))
			refuse(catalogue, row, HANDLE, "This field is required.");
		return lose_row(catalogue, header, record, above);
	}
	product = product_of(catalogue, row->values[HANDLE], row->line);
	*(product->last ? &product->last->next : &product->rows) = row;
	product->last = row;
	product->failed = product->failed || row->refused;
	return product;
}

bool read_products(struct catalogue *catalogue, const char *bytes, size_t size)
{
	struct csv csv = csv_open(catalogue->arena, bytes, size);
	struct header header;
	struct csv_record record;
	struct product *product = NULL;

	if (!read_header(catalogue, &csv, &header))
		return false;
	while (csv_next(&csv, &record))
		if (record.fault || !is_empty(&record))
			product = read_row(catalogue, &header, &record, product);
	for (product = catalogue->products; product; product = product->next)
		check_product(catalogue, product);
	return true;
}

static void keep(void *product)
{
	(void)product; /* it is the arena's */
}

void forget_products(struct catalogue *catalogue)
{
	tdestroy(catalogue->by_handle, keep);
	catalogue->by_handle = NULL;
}
