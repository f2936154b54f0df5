/* import.c: the verb that takes products from files of another shop.
 *
 * Each product is loaded by itself, whole or not at all; a file that is imported again changes
 * what differs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import.h"
#include "products.h"

#define FILE_MAX ((size_t)64 * 1024 * 1024) /* bytes of a file */
#define PATIENCE_US 2000000                 /* before progress is shown */
#define BEAT_US 200000                      /* from one showing to the next */

/* What a run has done so far. */
struct total {
	long products, variants, images, fresh, changed, failed, lost;
};

static struct total total;

/* ---- Columns that are not read ---- */

static struct {
	struct arena *arena;
	const char *names[LIMIT_PARAMETERS];
	size_t count;
} ignored;

static void ignore(const char *name)
{
	for (size_t i = 0; i < ignored.count; i++)
		if (!strcmp(ignored.names[i], name))
			return;
	if (ignored.count < COUNT(ignored.names))
		ignored.names[ignored.count++] = arena_printf(ignored.arena, "%s", name);
}

static void tell_ignored(void)
{
	for (size_t i = 0; i < ignored.count; i++)
		fprintf(stderr, "%s%s", i ? ", " : "ignored columns: ", ignored.names[i]);
	if (ignored.count)
		fputc('\n', stderr);
}

/* ---- Progress, for a person who waits ---- */

static void show_progress(const struct catalogue *catalogue, size_t done, int64_t *next)
{
	if (now_us() < *next || !isatty(STDERR_FILENO))
		return;
	*next = now_us() + BEAT_US;
	fprintf(stderr, "\r%s: %zu of %zu products ", catalogue->file, done, catalogue->count);
}

static void clear_progress(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* ---- Loading ---- */

static void count_outcome(const struct product *product, const struct row *row)
{
	total.products++;
	total.variants += (long)product->variants;
	total.images += (long)product->images;
	total.fresh += column_is(row, "outcome", "new");
	total.changed += column_is(row, "outcome", "changed");
}

/* False: the database is not to be reached, so that the rest would fail as well. */
static bool load_product(const struct catalogue *catalogue, const struct product *product)
{
	struct request *request = cli_request();
	struct row *row;

	set_param(request, "shop_currency", catalogue->currency->code);
	set_param(request, "body", product_json(request->arena, catalogue, product));
	if (fetch(request, &sql_import_product, &row) && commit(request)) {
		count_outcome(product, row);
		return true;
	}
	clear_progress();
	complain(catalogue, product->line, "%s: %s", product->handle, cli_reason(request));
	total.failed++;
	return request->failure->status != 503;
}

static bool load_products(const struct catalogue *catalogue)
{
	int64_t next = now_us() + PATIENCE_US;
	size_t done = 0;
	bool reached = true;

	for (const struct product *product = catalogue->products; product && reached;
	     product = product->next, done++) {
		show_progress(catalogue, done, &next);
		if (product->failed)
			total.failed++;
		else
			reached = load_product(catalogue, product);
	}
	clear_progress();
	total.lost += catalogue->lost;
	return reached;
}

/* ---- Files ---- */

static bool read_bytes(const char *name, struct text *text)
{
	char bytes[65536];
	FILE *file = fopen(name, "rb");
	size_t size = 1;

	while (file && size && text->size <= FILE_MAX) {
		size = fread(bytes, 1, sizeof(bytes), file);
		text_add(text, bytes, size);
	}

	bool good = file && !ferror(file);

	if (!good)
		cli_fail("could not read %s: %s", name, strerror(errno));
	else if (text->size > FILE_MAX)
		cli_fail("could not read %s: it is larger than %zu bytes", name, FILE_MAX);
	if (file)
		fclose(file);
	return good && text->size <= FILE_MAX;
}

/* False: there is no point in going on. */
static bool import_file(const char *name, const struct currency *currency)
{
	struct arena *arena = arena_new();
	struct text text = {.arena = arena};
	struct catalogue catalogue = {
		.file = name, .arena = arena, .currency = currency, .ignore = ignore};
	bool reached = true;

	if (read_bytes(name, &text) && read_products(&catalogue, text.bytes, text.size))
		reached = load_products(&catalogue);
	else
		total.lost++;
	forget_products(&catalogue);
	arena_destroy(arena);
	return reached;
}

int verb_import(int argc, char **argv)
{
	const char *code = setting("CURRENCY", "USD");
	int next = 2;

	if (argc > 3 && !strcmp(argv[2], "--currency")) {
		code = argv[3];
		next = 4;
	}
	if (argc <= next || strcmp(argv[1], "products") != 0 || argv[next][0] == '-')
		return EXIT_USAGE;

	const struct currency *currency = currency_find(code);

	if (!currency)
		return cli_fail("could not import: %s is not a currency", code);
	db_use(service_names[PRODUCTS]);
	ignored.arena = arena_new();
	while (next < argc && import_file(argv[next], currency))
		next++;
	if (next < argc)
		cli_fail("could not import the rest: the database is not to be reached");
	tell_ignored();
	arena_destroy(ignored.arena);
	printf("%ld products, %ld variants, %ld images: %ld new, %ld changed, %ld failed\n",
	       total.products, total.variants, total.images, total.fresh, total.changed,
	       total.failed);
	return total.failed || total.lost ? EXIT_FAILURE : EXIT_SUCCESS;
}
