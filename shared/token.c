/* token.c: issues and reads JSON Web Tokens, ES256 alone; the only file that knows libjwt.
 *
 * libjwt 1.10 takes the algorithm from the token, looks at no claim and puts the token on the
 * stack.  So it sees only what has our one header, three canonical parts and a bounded size, it
 * is asked for nothing but the signature, and the claims are read by json_parse. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <jwt.h>
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

/* {"alg":"ES256","typ":"JWT"}, as libjwt writes it. */
#define HEADER "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9"
#define SIGNATURE_SIZE 86 /* 64 bytes in base64url */

static char public_key[LIMIT_PEM], private_key[LIMIT_PEM];
static const char *issuer, *audience;

/* SHA-256 of tokens whose signature was seen to be good: libjwt reads the PEM anew at each
 * check, which takes most of its time.  A digest of zeros, an empty place, matches no token. */
static unsigned char verified[REMEMBERED][SHA256_SIZE];

/* ---- Configuration ---- */

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

void token_configure(bool signs)
{
	issuer = setting("JWT_ISSUER", "arnova");
	audience = setting("JWT_AUDIENCE", NULL);
	memset(verified, 0, sizeof(verified));
	read_pem("JWT_PUBLIC_KEY", false, public_key);
	if (!signs)
		return;
	read_pem("JWT_PRIVATE_KEY", true, private_key);
	if (!keys_belong_together(private_key, public_key))
		die("could not start: JWT_PUBLIC_KEY does not belong to JWT_PRIVATE_KEY");
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

	assert(*private_key);
	if (jwt_new(&jwt))
		abort();
	arena_defer(arena, release_jwt, jwt);
	if (jwt_add_grant(jwt, "token_type", claims->type) ||
	    jwt_add_grant_int(jwt, "exp", (long)claims->expires) ||
	    jwt_add_grant_int(jwt, "iat", (long)claims->issued) ||
	    jwt_add_grant(jwt, "jti", claims->jti) || jwt_add_grant(jwt, "user_id", user_id) ||
	    jwt_add_grant_bool(jwt, "is_staff", claims->is_staff) ||
	    jwt_add_grant(jwt, "fam", claims->family) || jwt_add_grant(jwt, "iss", issuer) ||
	    jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)private_key,
	                (int)strlen(private_key)))
		abort();

	char *token = jwt_encode_str(jwt);

	if (!token)
		abort();
	arena_defer(arena, free, token);
	return token;
}

/* The bytes of the key file are the secret, under a name of this use alone. */
const char *successor_of(struct arena *arena, const char *jti)
{
	const char *key = hmac_sha256_hex(arena, private_key, "refresh successor", 17);
	const char *next = hmac_sha256_hex(arena, key, jti, strlen(jti));

	assert(*private_key);
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
	static const char header_part[] = HEADER ".";
	const size_t header_size = sizeof(header_part) - 1;

	if (strnlen(token, LIMIT_TOKEN + 1) > LIMIT_TOKEN ||
	    strncmp(token, header_part, header_size) != 0)
		return NULL;

	const char *payload = token + header_size;
	const char *dot = strchr(payload, '.');
	size_t signature_size;

	if (!dot || dot == payload || strlen(dot + 1) != SIGNATURE_SIZE ||
	    !base64url_decode(arena, dot + 1, SIGNATURE_SIZE, &signature_size))
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
	assert(*public_key); /* without a key libjwt takes every token for good */
	if (jwt_decode(&jwt, token, (const unsigned char *)public_key, (int)strlen(public_key)))
		return false;

	bool by_our_algorithm = jwt_get_alg(jwt) == JWT_ALG_ES256;

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
