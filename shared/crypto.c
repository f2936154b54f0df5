/* crypto.c: digests, random bytes and the judging of keys; the only file that knows OpenSSL. */
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *hex(struct arena *arena, const unsigned char *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *text = arena_alloc(arena, size * 2 + 1);

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return text;
}

void sha256(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE])
{
	if (!EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL))
		abort();
}

const char *sha256_hex(struct arena *arena, const void *bytes, size_t size)
{
	unsigned char digest[SHA256_SIZE];

	sha256(bytes, size, digest);
	return hex(arena, digest, sizeof(digest));
}

const char *hmac_sha256_hex(struct arena *arena, const char *key, const void *bytes,
                            size_t size)
{
	unsigned char digest[SHA256_SIZE];

	if (!HMAC(EVP_sha256(), key, (int)strlen(key), bytes, size, digest, NULL))
		abort();
	return hex(arena, digest, sizeof(digest));
}

/* A process without random bytes must not go on: what it issues could be guessed. */
void random_bytes(unsigned char *bytes, size_t size)
{
	if (size > INT_MAX || RAND_bytes(bytes, (int)size) != 1)
		abort();
}

const char *random_hex(struct arena *arena, size_t bytes)
{
	unsigned char *random = arena_alloc(arena, bytes);

	random_bytes(random, bytes);
	return hex(arena, random, bytes);
}

bool same_text(const char *a, const char *b)
{
	size_t size = strlen(a);

	return size == strlen(b) && !CRYPTO_memcmp(a, b, size);
}

const char *pbkdf2_sha256(struct arena *arena, const char *password, const char *salt,
                          int iterations)
{
	unsigned char key[SHA256_SIZE];
	char *text = arena_alloc(arena, 4 * ((sizeof(key) + 2) / 3) + 1);

	if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const unsigned char *)salt,
	                      (int)strlen(salt), iterations, EVP_sha256(), sizeof(key),
	                      key) != 1)
		abort();
	EVP_EncodeBlock((unsigned char *)text, key, sizeof(key));
	return text;
}

/* A key under a passphrase must not make the program ask for it at the terminal. */
static int no_passphrase(char *room, int size, int writing, void *nothing)
{
	(void)writing;
	(void)nothing;
	if (size > 0)
		*room = '\0';
	return -1;
}

static EVP_PKEY *read_key(const char *pem, bool private)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = NULL;

	if (bio)
		key = private ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
		              : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	return key;
}

static bool is_p256(const EVP_PKEY *key)
{
	char group[32] = "";

	return key && EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       !strcmp(group, "prime256v1");
}

bool key_is_p256(const char *pem, bool private)
{
	EVP_PKEY *key = read_key(pem, private);
	bool good = is_p256(key);

	EVP_PKEY_free(key);
	return good;
}

bool keys_belong_together(const char *private_pem, const char *public_pem)
{
	EVP_PKEY *private = read_key(private_pem, true);
	EVP_PKEY *public = read_key(public_pem, false);
	bool pair = private && public && EVP_PKEY_eq(private, public) == 1;

	EVP_PKEY_free(private);
	EVP_PKEY_free(public);
	return pair;
}

static void coordinate(const EVP_PKEY *key, const char *name, unsigned char bytes[P256_SIZE])
{
	BIGNUM *number = NULL;

	if (!EVP_PKEY_get_bn_param(key, name, &number) ||
	    BN_bn2binpad(number, bytes, P256_SIZE) != P256_SIZE)
		abort();
	BN_free(number);
}

void key_point(const char *public_pem, unsigned char x[P256_SIZE], unsigned char y[P256_SIZE])
{
	EVP_PKEY *key = read_key(public_pem, false);

	if (!key)
		abort();
	coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, x);
	coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, y);
	EVP_PKEY_free(key);
}
