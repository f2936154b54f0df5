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
