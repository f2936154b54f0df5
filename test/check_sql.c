/* check_sql.c: prepares every variant of every named query against a migrated database. */
#include <stdio.h>
#include <string.h>

#include "cart.h"
#include "internal.h"
#include "orders.h"
#include "payments.h"
#include "products.h"
#include "shared.h"
#include "users.h"

#define LIMIT_VARIANTS 4096

static size_t passed, failed;

/* Parts that exclude one another: same parameter, other value (or its absence). */
static bool possible(const struct query *query, uint64_t mask)
{
	const struct part *parts = query->parts;

	for (size_t i = 0; parts[i].text; i++) {
		if (!parts[i].when && !(mask >> i & 1))
			return false;
		for (size_t j = 0; parts[j].text; j++) {
			bool same = parts[i].when && parts[j].when &&
			            !strcmp(parts[i].when, parts[j].when);
			bool both = mask >> i & 1 && mask >> j & 1;
			bool alike = parts[i].negated == parts[j].negated && !parts[i].is == !parts[j].is &&
			             (!parts[i].is || !strcmp(parts[i].is, parts[j].is));

			/* The same condition twice holds twice; two values never hold together. */
			if (same && alike && (mask >> i & 1) != (mask >> j & 1))
				return false;
			if (same && both && !alike)
				return false;
			/* "not x" leaves nobody out when no value of x is in. */
			if (same && parts[i].negated && !parts[j].negated && !(mask >> i & 1) && !parts[j].is &&
			    !(mask >> j & 1))
				return false;
		}
	}
	return true;
}

/* One of the values of a parameter with "--when not" must be in, or the "not". */
static bool complete(const struct query *query, uint64_t mask)
{
	const struct part *parts = query->parts;

	for (size_t i = 0; parts[i].text; i++) {
		bool any = !parts[i].negated;

		for (size_t j = 0; parts[j].text && !any; j++)
			any = parts[j].when && !strcmp(parts[j].when, parts[i].when) && mask >> j & 1;
		if (!any)
			return false;
	}
	return true;
}

static void check(struct arena *arena, const char *service, const struct query *query)
{
	size_t parts = 0, variants = 0;

	while (query->parts[parts].text)
		parts++;
	for (uint64_t mask = 0; mask < UINT64_C(1) << parts; mask++) {
		if (!possible(query, mask) || !complete(query, mask))
			continue;
		if (++variants > LIMIT_VARIANTS)
			break;

		const char *message = db_check_query(arena, query, mask);

		if (message) {
			printf("not ok - %s: %s (variant %llx): %s\n", service, query->name,
			       (unsigned long long)mask, message);
			failed++;
			return;
		}
	}
	printf("ok - %s: %s (%zu variants)\n", service, query->name, variants);
	passed++;
}

int main(void)
{
	static const struct {
		const char *name;
		const struct query *const *queries;
	} services[] = {
		{"products", queries_of_products}, {"orders", queries_of_orders},
		{"users", queries_of_users},       {"cart", queries_of_cart},
		{"payments", queries_of_payments},
	};
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
	return failed ? 1 : 0;
}
