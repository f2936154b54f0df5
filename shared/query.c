/* query.c: the variants of a named query: which of its parts a request calls for. */
#include <assert.h>
#include <string.h>

#include "internal.h"

static bool part_applies(const struct request *request, const struct part *part)
{
	if (!part->when)
		return true;

	const char *value = param(request, part->when);

	if (part->is)
		return value && !strcmp(value, part->is);
	return part->negated ? !value : value != NULL;
}

uint64_t query_variant(const struct request *request, const struct query *query)
{
	uint64_t mask = 0;

	for (size_t i = 0; query->parts[i].text; i++) {
		assert(i < 64);
		if (part_applies(request, &query->parts[i]))
			mask |= UINT64_C(1) << i;
	}
	return mask;
}

struct variant *variant_place(struct variants *variants, const struct query *query,
                              uint64_t mask)
{
	/* The factor, 2^64 by the golden ratio, spreads masks that differ in a few bits. */
	size_t at =
		((uintptr_t)query / 16 + (size_t)(mask * UINT64_C(0x9E3779B97F4A7C15) >> 40)) %
		VARIANT_PLACES;

	while (variants->places[at].query &&
	       (variants->places[at].query != query || variants->places[at].mask != mask))
		at = (at + 1) % VARIANT_PLACES;
	return &variants->places[at];
}

uint64_t query_uses(const struct query *query, uint64_t mask)
{
	uint64_t used = 0;

	for (size_t i = 0; query->parts[i].text; i++)
		if (mask >> i & 1)
			used |= query->parts[i].uses;
	return used;
}

int query_parameters(const struct query *query)
{
	int count = 0;

	while (query->params[count])
		count++;
	return count;
}

const char *query_text(struct arena *arena, const struct query *query, uint64_t mask)
{
	struct text sql = {.arena = arena};

	for (size_t i = 0; query->parts[i].text; i++)
		if (mask >> i & 1)
			text_add(&sql, query->parts[i].text, strlen(query->parts[i].text));
	return sql.bytes;
}
