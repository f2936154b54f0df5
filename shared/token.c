/* token.c: issues and reads JSON Web Tokens; the only file that knows libjwt.
 *
 * Where JWT_SECRET is set they are signed HS256 with it, else ES256 with a key of users' own.
 * libjwt 1.10 takes the algorithm from the token, looks at no claim and puts the token on the
 * stack.  So it sees only what has our one header, three canonical parts and a bounded size, it
 * is asked for nothing but the signature, and the claims are read by json_parse. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define LIMIT_PEM 8192                   /* bytes of a key file */
#define LIMIT_NAME 255                   /* bytes of jti and fam */
#define LIFE_SECONDS (30 * 24 * 60 * 60) /* no token of ours outlives its family */
#define SKEW_SECONDS 60                  /* clocks of two hosts may differ by */
#define REMEMBERED 512                   /* verified tokens that a worker keeps in mind */

#define BASE64URL(bytes) (((bytes)*4 + 2) / 3) /* characters for so many bytes */

static jwt_alg_t algorithm;
static size_t signature_size;                            /* in base64url */
static char header_part[160];                            /* of every token, with its dot */
static const char *signing_key = "", *checking_key = ""; /* PEM, or the secret */
static char public_key[LIMIT_PEM], private_key[LIMIT_PEM];
static const char *issuer, *audience;

/* The public key as a JWK; kid, its thumbprint (RFC 7638), names it in the tokens' header. */
static char key_x[BASE64URL(P256_SIZE) + 1], key_y[BASE64URL(P256_SIZE) + 1],
	key_id[BASE64URL(SHA256_SIZE) + 1];

/* SHA-256 of tokens whose signature was seen to be good: libjwt reads a PEM anew at each
 * check, which takes most of its time.  A digest of zeros, an empty place, matches no token. */
static unsigned char verified[REMEMBERED][SHA256_SIZE];

/* ---- Configuration ---- */

static void base64url_encode(const void *bytes, size_t size, char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *byte = bytes;
	unsigned held = 0, bits = 0;

	while (size--) {
		held = held << 8 | *byte++;
		for (bits += 8; bits >= 6; bits -= 6)
			*text++ = digits[held >> (bits - 6) & 63];
	}
	if (bits)
		*text++ = digits[held << (6 - bits) & 63];
	*text = '\0';
}

static void read_pem(const char *name, bool private, char pem[LIMIT_PEM])
{
	const char *path = setting(name, NULL);

	if (!path)
		die("could not start: %s is not set", name);

	int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat about;

	if (file < 0 || fstat(file, &about) < 0)
		die("could not read %s %s: %s", name, path, strerror(errno));
	if (private && about.st_mode & 077)
		die("could not start: %s %s may be read or written by others than its owner",
		    name, path);

	ssize_t size = read(file, pem, LIMIT_PEM - 1);

	if (size < 0)
		die("could not read %s %s: %s", name, path, strerror(errno));
	close(file);
	pem[size] = '\0';
	if (!key_is_p256(pem, private))
		die("could not start: %s %s holds no %s P-256 key in PEM", name, path,
		    private ? "private" : "public");
}

/* The header as libjwt writes it, in the order of its names. */
static void set_form(jwt_alg_t chosen, size_t signature_bytes, const char *header)
{
	algorithm = chosen;
	signature_size = BASE64URL(signature_bytes);
	assert(BASE64URL(strlen(header)) + 1 < sizeof(header_part));
	base64url_encode(header, strlen(header), header_part);
	memcpy(header_part + strlen(header_part), ".", 2);
}

static void name_key(void)
{
	unsigned char x[P256_SIZE], y[P256_SIZE], digest[SHA256_SIZE];
	char key[192];

	key_point(public_key, x, y);
	base64url_encode(x, sizeof(x), key_x);
	base64url_encode(y, sizeof(y), key_y);
	snprintf(key, sizeof(key),
	         "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", key_x, key_y);
	sha256(key, strlen(key), digest);
	base64url_encode(digest, sizeof(digest), key_id);
}

static void use_pair(bool signs)
{
	char header[112];

	read_pem("JWT_PUBLIC_KEY", false, public_key);
	checking_key = public_key;
	name_key();
	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\",\"typ\":\"JWT\"}",
	         key_id);
	set_form(JWT_ALG_ES256, 64, header);
	if (!signs)
		return;
	read_pem("JWT_PRIVATE_KEY", true, private_key);
	if (!keys_belong_together(private_key, public_key))
		die("could not start: JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY");
	signing_key = private_key;
}

static void use_secret(const char *secret, bool signs)
{
	if (!secret)
		die("could not start: JWT_SECRET is not set");
	if (strlen(secret) < LIMIT_SECRET)
		die("could not start: JWT_SECRET must have at least %d characters",
		    LIMIT_SECRET);
	*key_id = '\0';
	checking_key = secret;
	signing_key = signs ? secret : "";
	set_form(JWT_ALG_HS256, SHA256_SIZE, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
}

void token_configure(bool signs)
{
	const char *secret = setting("JWT_SECRET", NULL);
	const char *name = setting("JWT_ALGORITHM", secret ? "HS256" : "ES256");

	issuer = setting("JWT_ISSUER", "arnova");
	audience = setting("JWT_AUDIENCE", NULL);
	memset(verified, 0, sizeof(verified));
	if (!strcmp(name, "HS256"))
		use_secret(secret, signs);
	else if (strcmp(name, "ES256") != 0)
		die("could not start: JWT_ALGORITHM is neither ES256 nor HS256");
	else if (secret)
		die("could not start: JWT_SECRET is set, but JWT_ALGORITHM is ES256");
	else
		use_pair(signs);
}

const char *public_keys(struct arena *arena)
{
	if (algorithm != JWT_ALG_ES256)
		return "{\"keys\":[]}";
	return arena_printf(arena,
	                    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\","
	                    "\"alg\":\"ES256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}]}",
	                    key_id, key_x, key_y);
}

/* ---- Issuing ---- */

static void release_jwt(void *jwt)
{
	jwt_free(jwt);
}

const char *issue_token(struct arena *arena, const struct claims *claims)
{
	const char *user_id = arena_printf(arena, "%lld", (long long)claims->user_id);
	jwt_t *jwt = NULL;

	assert(*signing_key);
	if (jwt_new(&jwt))
		abort();
	arena_defer(arena, release_jwt, jwt);
	if (jwt_add_grant(jwt, "token_type", claims->type) ||
	    jwt_add_grant_int(jwt, "exp", (long)claims->expires) ||
	    jwt_add_grant_int(jwt, "iat", (long)claims->issued) ||
	    jwt_add_grant(jwt, "jti", claims->jti) || jwt_add_grant(jwt, "user_id", user_id) ||
	    jwt_add_grant_bool(jwt, "is_staff", claims->is_staff) ||
	    jwt_add_grant(jwt, "fam", claims->family) || jwt_add_grant(jwt, "iss", issuer) ||
	    (*key_id && jwt_add_header(jwt, "kid", key_id)) ||
	    jwt_set_alg(jwt, algorithm, (const unsigned char *)signing_key,
	                (int)strlen(signing_key)))
		abort();

	char *token = jwt_encode_str(jwt);

	if (!token)
		abort();
	arena_defer(arena, free, token);
	return token;
}

/* The bytes of the key file, or what stands for it, are the secret, for this use alone. */
const char *successor_of(struct arena *arena, const char *jti)
{
	const char *key = hmac_sha256_hex(arena, signing_key, "refresh successor", 17);
	const char *next = hmac_sha256_hex(arena, key, jti, strlen(jti));

	assert(*signing_key);
	return arena_copy(arena, next, 32);
}

/* ---- Reading: the text ---- */

static int base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Bytes of a part in canonical base64url: no padding, no unused bits set.  NULL: it is not. */
static char *base64url_decode(struct arena *arena, const char *part, size_t size,
                              size_t *decoded)
{
	char *bytes = arena_alloc(arena, size + 1);
	unsigned held = 0, bits = 0;

	*decoded = 0;
	for (size_t i = 0; i < size; i++) {
		int value = base64url_value(part[i]);

		if (value < 0)
			return NULL;
		held = (held << 6 | (unsigned)value) & 0xfff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[(*decoded)++] = (char)(held >> bits);
		}
	}
	return bits < 6 && !(held & ((1u << bits) - 1)) ? bytes : NULL;
}

/* The payload of a token of our form; NULL: another header, other parts, or too long. */
static const char *payload_of(struct arena *arena, const char *token, size_t *size)
{
	const size_t header_size = strlen(header_part);

	if (strnlen(token, LIMIT_TOKEN + 1) > LIMIT_TOKEN ||
	    strncmp(token, header_part, header_size) != 0)
		return NULL;

	const char *payload = token + header_size;
	const char *dot = strchr(payload, '.');
	size_t signature_bytes;

	if (!dot || dot == payload || strlen(dot + 1) != signature_size ||
	    !base64url_decode(arena, dot + 1, signature_size, &signature_bytes))
		return NULL;
	return base64url_decode(arena, payload, (size_t)(dot - payload), size);
}

static bool is_signed(const char *token)
{
	unsigned char digest[SHA256_SIZE];
	jwt_t *jwt = NULL;

	sha256(token, strlen(token), digest);

	unsigned char *place = verified[(digest[0] << 8 | digest[1]) % REMEMBERED];

	if (!memcmp(place, digest, sizeof(digest)))
		return true;
	assert(*checking_key); /* without a key libjwt takes every token for good */
	if (jwt_decode(&jwt, token, (const unsigned char *)checking_key,
	               (int)strlen(checking_key)))
		return false;

	bool by_our_algorithm = jwt_get_alg(jwt) == algorithm;

	jwt_free(jwt);
	if (by_our_algorithm)
		memcpy(place, digest, sizeof(digest));
	return by_our_algorithm;
}

/* ---- Reading: the claims ---- */

/* A claim that is a string of 1 to LIMIT_NAME bytes; NULL: it is not. */
static const char *text_claim(const struct json *json, const char *name)
{
	const struct json *claim = json_member(json, name);
	const char *text = claim && json_kind(claim) == JSON_STRING ? json_string(claim) : "";

	return *text && strlen(text) <= LIMIT_NAME ? text : NULL;
}

/* A claim that is a time in whole seconds after 1970; 0: it is not. */
static int64_t time_claim(const struct json *json, const char *name)
{
	const struct json *claim = json_member(json, name);

	return claim && json_kind(claim) == JSON_NUMBER && json_int(json, name) > 0
	               ? json_int(json, name)
	               : 0;
}

static bool claim_is(const struct json *json, const char *name, const char *value)
{
	const char *text = text_claim(json, name);

	return text && !strcmp(text, value);
}

static bool times_hold(const struct json *json, const struct claims *claims)
{
	time_t now = time(NULL);

	if (!claims->issued || claims->issued > now + SKEW_SECONDS)
		return false;
	if (claims->expires <= now || claims->expires - claims->issued > LIFE_SECONDS)
		return false;
	return !json_member(json, "nbf") ||
	       (time_claim(json, "nbf") && time_claim(json, "nbf") <= now);
}

/* user_id is a string of digits, the way simplejwt writes it; 0: it is not. */
static int64_t user_claim(const struct json *json)
{
	const char *text = text_claim(json, "user_id");

	if (!text || *text == '0' || strlen(text) > 18 ||
	    strspn(text, "0123456789") != strlen(text))
		return 0;
	return strtoll(text, NULL, 10);
}

static const struct claims *read_claims(struct arena *arena, const struct json *json)
{
	struct claims *claims = arena_alloc(arena, sizeof(*claims));
	const struct json *is_staff = json_member(json, "is_staff");

	*claims = (struct claims){
		.type = text_claim(json, "token_type"),
		.jti = text_claim(json, "jti"),
		.family = text_claim(json, "fam"),
		.user_id = user_claim(json),
		.issued = time_claim(json, "iat"),
		.expires = time_claim(json, "exp"),
		.is_staff = json_true(json, "is_staff"),
	};
	if (!claims->type || !claims->jti || !claims->family || !claims->user_id)
		return NULL;
	if (!is_staff || json_kind(is_staff) != JSON_BOOLEAN || !claim_is(json, "iss", issuer))
		return NULL;
	if (json_member(json, "aud") && (!audience || !claim_is(json, "aud", audience)))
		return NULL;
	return times_hold(json, claims) ? claims : NULL;
}

const struct claims *read_token(struct arena *arena, const char *token, const char *type)
{
	size_t size;
	const char *payload = payload_of(arena, token, &size);

	if (!payload || !is_signed(token))
		return NULL;

	const struct json *json = json_parse(arena, payload, size);

	if (!json || json_kind(json) != JSON_OBJECT)
		return NULL;

	const struct claims *claims = read_claims(arena, json);

	return claims && !strcmp(claims->type, type) ? claims : NULL;
}
