/* forge.h: tokens made without the code under test, by OpenSSL alone. */
#ifndef ARNOVA_FORGE_H
#define ARNOVA_FORGE_H

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "tap.h"

#define HS256_HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"

static struct arena *arena;
static EVP_PKEY *ours, *stranger, *rsa;
static char folder[] = "/tmp/arnova-unit-XXXXXX";
static const char *private_path, *public_path;
static const char *our_header, *our_x, *our_y, *our_kid;

static inline const char *encode(const void *bytes, size_t size)
{
	char *text = arena_alloc(arena, 4 * ((size + 2) / 3) + 1);

	EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
	text[strcspn(text, "=")] = '\0';
	for (char *c = text; *c; c++)
		*c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
	return text;
}

static inline const char *signed_part(const char *header, const char *payload)
{
	return arena_printf(arena, "%s.%s", encode(header, strlen(header)),
	                    encode(payload, strlen(payload)));
}

/* r and s, 32 bytes each, out of the DER that OpenSSL writes. */
static inline const char *raw_signature(const unsigned char *der, size_t size)
{
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)size);
	unsigned char raw[64];

	BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + 32, 32);
	ECDSA_SIG_free(signature);
	return encode(raw, sizeof(raw));
}

static inline const char *sign(EVP_PKEY *key, const EVP_MD *digest, const char *text)
{
	unsigned char signature[512];
	size_t size = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	EVP_DigestSignInit(context, NULL, digest, NULL, key);
	EVP_DigestSign(context, signature, &size, (const unsigned char *)text, strlen(text));
	EVP_MD_CTX_free(context);
	return key == rsa ? encode(signature, size) : raw_signature(signature, size);
}

static inline const char *es256(EVP_PKEY *key, const char *header, const char *payload)
{
	const char *text = signed_part(header, payload);

	return arena_printf(arena, "%s.%s", text, sign(key, EVP_sha256(), text));
}

static inline const char *hmac_token(const char *header, const char *payload,
                                     const EVP_MD *digest, const char *key)
{
	const char *text = signed_part(header, payload);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned size;

	HMAC(digest, key, (int)strlen(key), (const unsigned char *)text, strlen(text), mac,
	     &size);
	return arena_printf(arena, "%s.%s", text, encode(mac, size));
}

/* A payload that is good but for one claim: other JSON in its place, or NULL for none. */
static inline const char *payload_with(const char *changed, const char *value)
{
	long long now = (long long)time(NULL);
	struct text text = {.arena = arena};
	const char *claims[][2] = {
		{"token_type", "\"access\""},
		{"exp", arena_printf(arena, "%lld", now + 600)},
		{"iat", arena_printf(arena, "%lld", now)},
		{"jti", "\"0123456789abcdef0123456789abcdef\""},
		{"user_id", "\"42\""},
		{"is_staff", "false"},
		{"fam", "\"7\""},
		{"iss", "\"arnova\""},
	};
	bool found = false;

	for (size_t i = 0; i < COUNT(claims); i++) {
		bool same = !strcmp(claims[i][0], changed);
		const char *put = same ? value : claims[i][1];

		found |= same;
		if (put)
			text_printf(&text, "%s\"%s\":%s", text.size ? "," : "{", claims[i][0],
			            put);
	}
	if (!found && *changed)
		text_printf(&text, ",\"%s\":%s", changed, value);
	text_printf(&text, "}");
	return text.bytes;
}

static inline const char *good_token(void)
{
	return es256(ours, our_header, payload_with("", NULL));
}

static inline void refused(const char *token, const char *name)
{
	ok(!read_token(arena, token, "access"), name);
}

static inline const char *with_character(const char *token, size_t at, char character)
{
	char *copy = arena_copy(arena, token, strlen(token));

	copy[at] = character;
	return copy;
}

static inline const char *write_file(const char *name, EVP_PKEY *key, bool private,
                                     unsigned mode)
{
	const char *path = arena_printf(arena, "%s/%s", folder, name);
	FILE *file = fopen(path, "w");

	if (!file ||
	    (key && private && !PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL)) ||
	    (key && !private && !PEM_write_PUBKEY(file, key)) || fclose(file) ||
	    chmod(path, mode))
		puts("Bail out! could not write a key");
	return path;
}

static inline const char *coordinate(EVP_PKEY *key, const char *name)
{
	unsigned char bytes[32] = "";
	BIGNUM *number = NULL;

	EVP_PKEY_get_bn_param(key, name, &number);
	BN_bn2binpad(number, bytes, sizeof(bytes));
	BN_free(number);
	return encode(bytes, sizeof(bytes));
}

/* RFC 7638: the digest of the key's required members, in the order of their names. */
static inline const char *thumbprint(EVP_PKEY *key)
{
	const char *text = arena_printf(
		arena, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
		coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X),
		coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y));
	unsigned char digest[32];

	EVP_Digest(text, strlen(text), digest, NULL, EVP_sha256(), NULL);
	return encode(digest, sizeof(digest));
}

static inline const char *header_of(const char *kid)
{
	return arena_printf(arena, "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", kid);
}

/* Three keys, a folder with ours, and the program under test configured with them. */
static inline void forge_begin(void)
{
	arena = arena_new();
	ours = EVP_EC_gen("P-256");
	stranger = EVP_EC_gen("P-256");
	rsa = EVP_RSA_gen(2048);
	our_x = coordinate(ours, OSSL_PKEY_PARAM_EC_PUB_X);
	our_y = coordinate(ours, OSSL_PKEY_PARAM_EC_PUB_Y);
	our_kid = thumbprint(ours);
	our_header = header_of(our_kid);
	if (!mkdtemp(folder))
		puts("Bail out! could not make a folder");
	private_path = write_file("private", ours, true, 0600);
	public_path = write_file("public", ours, false, 0644);
	setenv("JWT_PUBLIC_KEY", public_path, 1);
	setenv("JWT_PRIVATE_KEY", private_path, 1);
	unsetenv("JWT_SECRET");
	unsetenv("JWT_ALGORITHM");
	unsetenv("JWT_ISSUER");
	unsetenv("JWT_AUDIENCE");
}

static inline int forge_end(void)
{
	static const char *const names[] = {"private", "public", "empty",
	                                    "group",   "world",  "other",
	                                    "rsa",     "p384",   "p384-private"};

	for (size_t i = 0; i < COUNT(names); i++)
		unlink(arena_printf(arena, "%s/%s", folder, names[i]));
	rmdir(folder);
	EVP_PKEY_free(ours);
	EVP_PKEY_free(stranger);
	EVP_PKEY_free(rsa);
	arena_destroy(arena);
	return done();
}

#endif
