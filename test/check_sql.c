/* check_sql.c: prepares every variant of every named query against a migrated database; or
 * prints one: `check_sql products list_products cursor order_by=price` for EXPLAIN. */
#include <stdio.h>
#include <string.h>

#include "cart.h"
#include "internal.h"
#include "orders.h"
#include "payments.h"
#include "products.h"
#include "shared.h"
#include "users.h"

#define LIMIT_CONDITIONS 16

static size_t passed, failed;

/* One parameter that parts of a query depend on, and what it can be: absent (0) or, counted
 * from 1, one of the values that some part names; NULL among them stands for any value. */
struct condition {
	const char *name;
	const char *values[LIMIT_CONDITIONS];
	size_t count, chosen;
};

struct conditions {
	struct condition list[LIMIT_CONDITIONS];
	size_t count;
};

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static struct condition *condition_on(struct conditions *all, const char *name)
{
	for (size_t i = 0; i < all->count; i++)
		if (same(all->list[i].name, name))
			return &all->list[i];
	all->list[all->count] = (struct condition){.name = name};
	return &all->list[all->count++];
}

static void add_value(struct condition *condition, const char *value)
{
	for (size_t i = 0; i < condition->count; i++)
		if (same(condition->values[i], value))
			return;
	condition->values[condition->count++] = value;
}

static void collect(struct conditions *all, const struct query *query)
{
	for (const struct part *part = query->parts; part->text; part++)
		if (part->when && !part->negated)
			add_value(condition_on(all, part->when), part->is);
}

static bool applies(struct conditions *all, const struct part *part)
{
	if (!part->when)
		return true;

	const struct condition *condition = condition_on(all, part->when);
	size_t chosen = condition->chosen;

	if (part->negated)
		return !chosen;
	return chosen && (!part->is || same(part->is, condition->values[chosen - 1]));
}

static uint64_t mask_of(struct conditions *all, const struct query *query)
{
	uint64_t mask = 0;

	for (size_t i = 0; query->parts[i].text; i++)
		if (applies(all, &query->parts[i]))
			mask |= UINT64_C(1) << i;
	return mask;
}

/* The next combination, as an odometer counts; false after the last. */
static bool next(struct conditions *all)
{
	for (size_t i = 0; i < all->count; i++) {
		if (++all->list[i].chosen <= all->list[i].count)
			return true;
		all->list[i].chosen = 0;
	}
	return false;
}

static void check(struct arena *arena, const char *service, const struct query *query)
{
	struct conditions all = {.count = 0};
	size_t variants = 0;

	collect(&all, query);
	do {
		const char *message = db_check_query(arena, query, mask_of(&all, query));

		variants++;
		if (message) {
			printf("not ok - %s: %s: %s\n", service, query->name, message);
			failed++;
			return;
		}
	} while (next(&all));
	printf("ok - %s: %s (%zu variants)\n", service, query->name, variants);
	passed++;
}

/* ---- One variant of one query, as it is prepared ---- */

/* What comes after "NAME=" among the arguments, "" for a bare NAME, NULL without one. */
static const char *argument(char **arguments, const char *name)
{
	size_t size = strlen(name);

	for (; *arguments; arguments++)
		if (!strncmp(*arguments, name, size) && strchr("=", (*arguments)[size]))
			return *arguments + size + ((*arguments)[size] == '=');
	return NULL;
}

static uint64_t chosen_variant(const struct query *query, char **arguments)
{
	uint64_t mask = 0;

	for (size_t i = 0; query->parts[i].text; i++) {
		const struct part *part = &query->parts[i];
		const char *value = part->when ? argument(arguments, part->when) : "";
		bool present = value && (!part->is || !strcmp(part->is, value));

		if (present != part->negated)
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

/* The names of its parameters, $1 first, in a line of their own before the text. */
static void print_variant(const struct query *query, char **arguments)
{
	struct arena *arena = arena_new();

	printf("--");
	for (const char *const *name = query->params; *name; name++)
		printf(" %s", *name);
	printf("\n%s\n", query_text(arena, query, chosen_variant(query, arguments)));
	arena_destroy(arena);
}

static int print_named(const struct query *const *queries, char **arguments)
{
	for (; *queries; queries++)
		if (!strcmp((*queries)->name, *arguments)) {
			print_variant(*queries, arguments + 1);
			return 0;
		}
	fprintf(stderr, "check_sql: no query %s\n", *arguments);
	return 2;
}

/* ---- The program ---- */

static const struct {
	const char *name;
	const struct query *const *queries;
} services[] = {
	{"products", queries_of_products}, {"orders", queries_of_orders},
	{"users", queries_of_users},       {"cart", queries_of_cart},
	{"payments", queries_of_payments},
};

static void check_all(void)
{
	struct arena *arena = arena_new();

	settings_load();
	for (size_t i = 0; i < COUNT(services); i++) {
		db_use(services[i].name);
		for (size_t q = 0; services[i].queries[q]; q++)
			check(arena, services[i].name, services[i].queries[q]);
		for (size_t q = 0; queries_of_shared[q]; q++)
			check(arena, services[i].name, queries_of_shared[q]);
	}
	printf("1..%zu\n", passed + failed);
	db_close();
	arena_destroy(arena);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 2 && i < COUNT(services); i++)
		if (!strcmp(services[i].name, argv[1]))
			return print_named(services[i].queries, argv + 2);
	if (argc != 1) {
		fprintf(stderr, "usage: check_sql [SERVICE QUERY [PARAMETER[=VALUE]]...]\n");
		return 2;
	}
	check_all();
	return failed ? 1 : 0;
}
