/* unit_token_attacks.c: tokens with which somebody would try to get in. */
#include "forge.h"

static void test_algorithms(void)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"None\",\"typ\":\"JWT\"}",
		"{\"alg\":\"NONE\",\"typ\":\"JWT\"}",
		"{\"alg\":\"nOnE\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{\"alg\":null,\"typ\":\"JWT\"}",
		"{\"alg\":[\"ES256\"],\"typ\":\"JWT\"}",
		"{\"alg\":\"es256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\",\"alg\":\"ES256\"}",
		"{\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"kid\":\"../../dev/null\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"kid\":\"x' OR '1'='1\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"kid\":null,\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"JWT\"}",
		"{\"alg\":\"ES256\",\"crit\":[\"x\"],\"typ\":\"JWT\"}",
		"{}",
		"",
	};
	const char *payload = payload_with("", NULL);

	refused(es256(ours, header_of(thumbprint(stranger)), payload), "another key's kid");
	refused(es256(stranger, header_of(thumbprint(stranger)), payload), "and its key");
	for (size_t i = 0; i < COUNT(headers); i++) {
		refused(es256(ours, headers[i], payload),
		        arena_printf(arena, "header '%s'", headers[i]));
		refused(arena_printf(arena, "%s.", signed_part(headers[i], payload)),
		        "the same without a signature");
		refused(signed_part(headers[i], payload), "the same in two parts");
	}
}

static const char *file_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = arena_alloc(arena, 8192);

	if (!file || !fread(text, 1, 8191, file) || fclose(file))
		puts("Bail out! could not read the key");
	return text;
}

static void test_keys(void)
{
	static const struct {
		const char *header;
		const EVP_MD *(*digest)(void);
	} hashes[] = {
		{HS256_HEADER, EVP_sha256},
		{"{\"alg\":\"HS384\",\"typ\":\"JWT\"}", EVP_sha384},
		{"{\"alg\":\"HS512\",\"typ\":\"JWT\"}", EVP_sha512},
		{"{\"alg\":\"hs256\",\"typ\":\"JWT\"}", EVP_sha256},
	};
	const char *pem = file_text(public_path), *payload = payload_with("", NULL);
	const char *text = signed_part("{\"alg\":\"RS256\",\"typ\":\"JWT\"}", payload);

	for (size_t i = 0; i < COUNT(hashes); i++)
		refused(hmac_token(hashes[i].header, payload, hashes[i].digest(), pem),
		        arena_printf(arena, "%s over the public PEM", hashes[i].header));
	refused(hmac_token(HS256_HEADER, payload, EVP_sha256(), ""), "an empty key");
	refused(hmac_token(HS256_HEADER, payload, EVP_sha256(), "secret"), "a guessed key");
	refused(hmac_token(our_header, payload, EVP_sha256(), pem), "HMAC under our header");
	refused(hmac_token(our_header, payload, EVP_sha512(), pem),
	        "a HMAC of a signature's length");
	refused(arena_printf(arena, "%s.%s", text, sign(rsa, EVP_sha256(), text)), "RS256");
	text = signed_part(our_header, payload);
	refused(arena_printf(arena, "%s.%s", text, sign(rsa, EVP_sha256(), text)),
	        "RS256 under our header");
	refused(es256(stranger, our_header, payload), "a stranger's key");
	refused(arena_printf(arena, "%s.%s", text, sign(ours, EVP_sha384(), text)),
	        "another digest than SHA-256");
	refused(arena_printf(arena, "%s.%s", text, encode((char[64]){0}, 64)),
	        "a signature of zeros");
}

static void test_forms(void)
{
	const char *token = good_token(), *dot = strchr(token, '.'),
		   *last = strrchr(token, '.');
	size_t size = strlen(token);
	const char *payload = arena_copy(arena, dot + 1, (size_t)(last - dot - 1));
	const char unused =
		(char)(token[size - 1] + 1); /* A, Q, g or w: the next has a bit set */

	ok(read_token(arena, token, "access") != NULL, "the token itself is good");
	refused(arena_copy(arena, token, size - 1), "cut by a character");
	refused(arena_copy(arena, token, size / 2), "cut by half");
	refused(with_character(token, size - 1, unused), "unused bits changed");
	refused(with_character(token, size - 20, token[size - 20] == 'A' ? 'B' : 'A'),
	        "signature changed");
	refused(arena_printf(arena, "%s==", token), "padding");
	refused(arena_printf(arena, "%s=", token), "half of the padding");
	refused(with_character(token, size - 30, '+'), "standard alphabet");
	refused(with_character(token, size - 30, '/'), "standard alphabet's other digit");
	refused(arena_copy(arena, token, (size_t)(last - token)), "2 parts");
	refused(arena_copy(arena, token, (size_t)(last - token) + 1), "an empty signature");
	refused(arena_printf(arena, "%s.", token), "an empty fourth part");
	refused(arena_printf(arena, "%s.%s", token, payload), "4 parts");
	refused(arena_printf(arena, "%s..%s", token, payload), "5 parts");
	refused(arena_printf(arena, "%.*s..%s", (int)(dot - token), token, last + 1),
	        "an empty payload");
	refused(arena_printf(arena, ".%s.%s", payload, last + 1), "an empty header");
	refused(arena_printf(arena, " %s", token), "a space before");
	refused(arena_printf(arena, "%s ", token), "a space behind");
	refused(arena_printf(arena, "%s\n", token), "a line break behind");
	refused(with_character(token, size - 1, '\0'), "a NUL before the end");
	refused(with_character(token, 10, '\0'), "a NUL in the header");
	refused("", "nothing");
	refused(".", "a dot");
	refused("..", "two dots");
	refused("...", "three dots");
	refused("....", "four dots");
}

static void test_sizes(void)
{
	static const size_t sizes[] = {4096, 4097, 8193, 65536, 1 << 20, 8 << 20};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		char *junk = arena_alloc(arena, sizes[i] + 1);
		const char *token = good_token();
		size_t header_size = (size_t)(strchr(token, '.') - token) + 1;

		memset(junk, 'A', sizes[i]);
		refused(junk, arena_printf(arena, "%zu letters", sizes[i]));
		memcpy(junk, token, header_size);
		refused(junk, "the same behind our header");
		memcpy(junk + sizes[i] - 87, token + strlen(token) - 87, 87);
		refused(junk, "the same as a payload");
		memset(junk, '.', sizes[i]);
		refused(junk, "as many dots");
	}
}

/* clang-format off */
static const struct {
	const char *claim, *value;
} bad_claims[] = {
	{"exp", NULL}, {"exp", "1"}, {"exp", "0"}, {"exp", "-1"}, {"exp", "null"}, {"exp", "\"9999999999\""},
	{"exp", "[9999999999]"}, {"exp", "true"}, {"exp", "9223372036854775808"}, {"exp", "1e400"}, {"exp", "1e10"},
	{"exp", "9223372036854775807"}, {"exp", "99999999999"},
	{"iat", NULL}, {"iat", "0"}, {"iat", "-5"}, {"iat", "\"1\""}, {"iat", "9999999999"}, {"iat", "1"},
	{"nbf", "9999999999"}, {"nbf", "\"1\""}, {"nbf", "null"}, {"nbf", "-1"},
	{"iss", NULL}, {"iss", "\"\""}, {"iss", "\"Arnova\""}, {"iss", "\"arnova \""}, {"iss", "[\"arnova\"]"},
	{"iss", "null"}, {"iss", "\"arnova\\u0000\""}, {"iss", "\"arnova\",\"iss\":\"arnova\""},
	{"aud", "\"arnova\""}, {"aud", "\"\""}, {"aud", "null"}, {"aud", "[]"}, {"aud", "[\"arnova\"]"},
	{"token_type", NULL}, {"token_type", "\"refresh\""}, {"token_type", "\"Access\""}, {"token_type", "[\"access\"]"},
	{"token_type", "\"refresh\",\"token_type\":\"access\""},
	{"jti", NULL}, {"jti", "\"\""}, {"jti", "5"}, {"jti", "null"},
	{"fam", NULL}, {"fam", "\"\""}, {"fam", "7"},
	{"is_staff", NULL}, {"is_staff", "1"}, {"is_staff", "\"true\""}, {"is_staff", "false,\"is_staff\":true"},
	{"user_id", NULL}, {"user_id", "42"}, {"user_id", "\"\""}, {"user_id", "\"0\""}, {"user_id", "\"-1\""},
	{"user_id", "\"42x\""}, {"user_id", "\" 42\""}, {"user_id", "\"042\""}, {"user_id", "\"9999999999999999999\""},
	{"user_id", "\"42\\u0000\""}, {"user_id", "\"42\",\"user_id\":\"1\""}, {"user_id", "{\"$ne\":1}"},
};

static const char *const bad_payloads[] = {
	"[]", "null", "42", "\"access\"", "{}", "{", "", "{} ", "\xff\xfe{}",
	"[{\"token_type\":\"access\"}]",
};
/* clang-format on */

static void test_claims(void)
{
	for (size_t i = 0; i < COUNT(bad_claims); i++) {
		const char *claim = bad_claims[i].claim, *value = bad_claims[i].value;

		refused(es256(ours, our_header, payload_with(claim, value)),
		        arena_printf(arena, "%s: %s", claim, value ? value : "missing"));
	}
	for (size_t i = 0; i < COUNT(bad_payloads); i++)
		refused(es256(ours, our_header, bad_payloads[i]),
		        arena_printf(arena, "payload '%s'",
		                     i == 8 ? "with a UTF-16 mark" : bad_payloads[i]));
	refused(es256(ours, our_header, arena_printf(arena, "%s{}", payload_with("", NULL))),
	        "something behind the payload");
	refused(es256(ours, our_header, arena_printf(arena, "[%s]", payload_with("", NULL))),
	        "a good payload in an array");
	refused(es256(ours, our_header, payload_with("jti", "\"\xff\xfe\"")), "not UTF-8");
}

int main(void)
{
	forge_begin();
	settings_load();
	token_configure(true);
	test_algorithms();
	test_keys();
	test_forms();
	test_sizes();
	test_claims();
	return forge_end();
}
