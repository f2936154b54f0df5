/* password.c: Django's encoded passwords, read and written; the only file that knows libargon2.
 */
#include <argon2.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What we write: the least that OWASP's Password Storage Cheat Sheet recommends; about 40 ms.
 */
#define MEMORY_KIB 19456
#define PASSES 2
#define LANES 1
#define SALT_SIZE 16
#define HASH_SIZE 32
#define SALT_DIGITS 22 /* 16 bytes in base64 without padding */

/* What a stored hash may cost at most, whoever wrote it: 256 MiB and about two seconds. */
#define LIMIT_ENCODED 255
#define LIMIT_MEMORY_KIB (256 * 1024)
#define LIMIT_WORK_KIB (1024 * 1024) /* memory times passes */
#define LIMIT_LANES 16
#define LIMIT_ITERATIONS 5000000

struct argon2_costs {
	argon2_type type;
	long memory, passes, lanes;
	size_t salt_digits;
};

const char *hash_password(struct arena *arena, const char *password)
{
	unsigned char salt[SALT_SIZE];
	char encoded[LIMIT_ENCODED];

	random_bytes(salt, sizeof(salt));
	if (argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
	                          sizeof(salt), HASH_SIZE, encoded,
	                          sizeof(encoded)) != ARGON2_OK)
		abort();
	return arena_printf(arena, "argon2%s", encoded);
}

/* Moves *at behind the word if it stands there. */
static bool skip(const char **at, const char *word)
{
	size_t size = strlen(word);

	if (strncmp(*at, word, size) != 0)
		return false;
	*at += size;
	return true;
}

/* The word, then a number of 1 to max without leading zeros. */
static bool skip_number(const char **at, const char *word, long max, long *number)
{
	if (!skip(at, word) || **at < '1' || **at > '9' || strspn(*at, "0123456789") > 9)
		return false;

	char *end;

	*number = strtol(*at, &end, 10);
	*at = end;
	return *number <= max;
}

/* argon2$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH */
static bool read_argon2(const char *encoded, struct argon2_costs *costs)
{
	const char *at = encoded;
	long version;

	if (strnlen(encoded, LIMIT_ENCODED + 1) > LIMIT_ENCODED || !skip(&at, "argon2$argon2i"))
		return false;
	costs->type = skip(&at, "d") ? Argon2_id : Argon2_i;
	if (!skip_number(&at, "$v=", ARGON2_VERSION_13, &version) ||
	    !skip_number(&at, "$m=", LIMIT_MEMORY_KIB, &costs->memory) ||
	    !skip_number(&at, ",t=", LIMIT_WORK_KIB / costs->memory, &costs->passes) ||
	    !skip_number(&at, ",p=", LIMIT_LANES, &costs->lanes) || !skip(&at, "$"))
		return false;
	costs->salt_digits = strcspn(at, "$");
	return at[costs->salt_digits] == '$';
}

/* pbkdf2_sha256$260000$SALT$HASH */
static bool pbkdf2_matches(const char *password, const char *encoded)
{
	const char *at = encoded;
	long iterations;

	if (strnlen(encoded, LIMIT_ENCODED + 1) > LIMIT_ENCODED ||
	    !skip_number(&at, "pbkdf2_sha256$", LIMIT_ITERATIONS, &iterations) ||
	    !skip(&at, "$"))
		return false;

	size_t salt_size = strcspn(at, "$");
	struct arena *arena = arena_new();
	const char *salt = arena_copy(arena, at, salt_size);
	const char *hash = pbkdf2_sha256(arena, password, salt, (int)iterations);
	bool matches = at[salt_size] == '$' && same_text(hash, at + salt_size + 1);

	arena_destroy(arena);
	return matches;
}

/* What is no hash we know, or none at all, takes as long as a hash of ours. */
static bool matches_nothing(const char *password)
{
	unsigned char hash[HASH_SIZE];
	static const unsigned char salt[SALT_SIZE];

	if (argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt,
	                      sizeof(salt), hash, sizeof(hash)) != ARGON2_OK)
		abort();
	return false;
}

bool password_matches(const char *password, const char *encoded)
{
	struct argon2_costs costs;

	if (read_argon2(encoded, &costs))
		return argon2_verify(encoded + strlen("argon2"), password, strlen(password),
		                     costs.type) == ARGON2_OK;
	if (!strncmp(encoded, "pbkdf2_sha256$", 14))
		return pbkdf2_matches(password, encoded);
	return matches_nothing(password);
}

/* More memory makes up for a pass less: in OWASP's Password Storage Cheat Sheet 46 MiB and one
 * pass equal our 19 MiB and two. */
bool password_outdated(const char *encoded)
{
	struct argon2_costs costs;

	if (!read_argon2(encoded, &costs) || costs.type != Argon2_id)
		return true;
	return costs.memory < MEMORY_KIB ||
	       (costs.passes < PASSES && costs.memory < 46 * 1024) ||
	       costs.salt_digits < SALT_DIGITS;
}
