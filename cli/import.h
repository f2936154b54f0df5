/* import.h: products on their way from a file into the catalogue. */
#ifndef IMPORT_H
#define IMPORT_H

#include "cli.h"

/* The columns that are read, of Shopify's files for products. */
enum column {
	HANDLE,
	TITLE,
	DESCRIPTION,
	TYPE,
	PUBLISHED,
	STATUS,
	OPTION1_NAME,
	OPTION1_VALUE,
	OPTION2_NAME,
	OPTION2_VALUE,
	OPTION3_NAME,
	OPTION3_VALUE,
	SKU,
	QUANTITY,
	PRICE,
	COMPARE_AT_PRICE,
	IMAGE_URL,
	IMAGE_POSITION,
	IMAGE_ALT,
	COLUMNS
};

#define OPTIONS 3

/* One row of a file. */
struct sheet_row {
	long line;
	const char *values[COLUMNS]; /* NULL: empty */
	unsigned refused;            /* set of columns whose value is no good */
	int64_t price;               /* minor units, where there is one */
	struct sheet_row *next;
};

/* The rows under one handle. */
struct product {
	const char *handle;
	long line; /* of its first row */
	bool failed;
	bool headless; /* its first row could not be read */
	struct sheet_row *rows, *last;
	size_t variants, images; /* once its rows are checked */
	struct product *next;
};

/* A file's products, in its order, or what was found wrong. */
struct catalogue {
	const char *file;
	struct arena *arena;
	const struct currency *currency;
	unsigned columns; /* set of those that the file has */
	struct product *products, *last;
	size_t count;                       /* of products */
	long lost;                          /* rows that belong to no product */
	void *by_handle;                    /* tree of tsearch() */
	void (*ignore)(const char *column); /* told of what has values and is not read */
};

/* Prints "FILE:LINE: message" to standard error. */
void complain(const struct catalogue *catalogue, long line, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Reads and checks a whole file and complains of everything that is wrong in it.  False: there
 * is nothing to be had from it at all. */
bool read_products(struct catalogue *catalogue, const char *bytes, size_t size) MUST_USE;
void forget_products(struct catalogue *catalogue);

/* Checks what concerns several rows of a product; complains and sets .failed. */
void check_product(const struct catalogue *catalogue, struct product *product);

/* The JSON that import_product() takes (sql/products/004_import.sql). */
const char *product_json(struct arena *arena, const struct catalogue *catalogue,
                         const struct product *product);

#endif
