/* signature.c: judges the Stripe-Signature header of a webhook. */
#include <stdlib.h>
#include <string.h>

#include "parts.h"

enum { SIGNATURES_MAX = 16, SECRETS_MAX = 4 };

/* The parts of "t=1700000000,v1=ab,v1=cd,v0=ef" that count. */
struct signatures {
	const char *time; /* as sent: its bytes are signed */
	const char *v1[SIGNATURES_MAX];
	size_t count;
};

static const char *cut(struct arena *arena, const char **rest, char separator)
{
	const char *end = strchr(*rest, separator);
	size_t size = end ? (size_t)(end - *rest) : strlen(*rest);
	const char *part = arena_copy(arena, *rest, size);

	*rest += size + (end != NULL);
	return part;
}

static struct signatures read_header(struct arena *arena, const char *header)
{
	struct signatures found = {0};

	while (*header) {
		const char *value = cut(arena, &header, ',');
		const char *name = cut(arena, &value, '=');

		if (!strcmp(name, "t"))
			found.time = value;
		else if (!strcmp(name, "v1") && found.count < SIGNATURES_MAX)
			found.v1[found.count++] = value;
	}
	return found;
}

static bool is_recent(const char *time, int64_t now)
{
	size_t size = strlen(time);

	if (!size || size > 12 || strspn(time, "0123456789") != size)
		return false;
	return llabs(now - strtoll(time, NULL, 10)) <= SIGNATURE_TOLERANCE;
}

/* Looks at every signature, so that the time taken does not tell which one was nearly right. */
static bool any_matches(const struct signatures *found, const char *expected)
{
	bool matches = false;

	for (size_t i = 0; i < found->count; i++)
		if (same_text(found->v1[i], expected))
			matches = true;
	return matches;
}

bool stripe_signature_valid(struct arena *arena, const struct signed_body *message,
                            const char *secrets, int64_t now)
{
	struct signatures found = read_header(arena, message->header ? message->header : "");
	bool valid = false;

	if (!found.time || !found.count || !is_recent(found.time, now))
		return false;

	size_t prefix = strlen(found.time) + 1, size = prefix + message->size;
	char *bytes = arena_alloc(arena, size + 1);

	memcpy(bytes, found.time, prefix - 1);
	bytes[prefix - 1] = '.';
	memcpy(bytes + prefix, message->body, message->size);
	for (int i = 0; *secrets && i < SECRETS_MAX; i++) {
		const char *secret = cut(arena, &secrets, ',');

		if (*secret && any_matches(&found, hmac_sha256_hex(arena, secret, bytes, size)))
			valid = true;
	}
	return valid;
}
