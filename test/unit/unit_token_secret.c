/* unit_token_secret.c: tokens that are signed with a shared secret, HS256. */
#include <sys/wait.h>

#include "forge.h"

#define SECRET "0123456789abcdef0123456789abcdef" /* as short as can be */

/* ---- Configuration: settings are read once per process, so each case has its own. ---- */

static void starts(int wanted, const char *secret, const char *algorithm, const char *name)
{
	int status;

	fflush(stdout);

	pid_t child = fork();

	if (!child) {
		setenv("JWT_SECRET", secret, 1);
		setenv("JWT_ALGORITHM", algorithm, 1);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		settings_load();
		token_configure(true);
		_exit(0);
	}
	waitpid(child, &status, 0);
	is_int(WIFEXITED(status) ? WEXITSTATUS(status) : 128, wanted, name);
}

static void test_start(void)
{
	starts(0, "", "", "a pair of keys starts the program");
	starts(0, "", "ES256", "the same by name");
	starts(0, SECRET, "", "a secret starts it");
	starts(0, SECRET, "HS256", "the same by name");
	starts(1, SECRET, "ES256", "a secret for ES256 ends it");
	starts(1, "", "HS256", "HS256 without a secret ends it");
	starts(1, "0123456789abcdef0123456789abcde", "", "a secret of 31 bytes ends it");
	starts(1, "x", "HS256", "a secret of one ends it");
	starts(1, SECRET, "HS512", "HS512 ends it");
	starts(1, SECRET, "hs256", "hs256 ends it");
	starts(1, SECRET, "none", "none ends it");
	unsetenv("JWT_PUBLIC_KEY");
	unsetenv("JWT_PRIVATE_KEY");
	starts(0, SECRET, "", "no key file is needed");
	starts(1, "", "", "neither secret nor key ends it");
}

/* ---- What we issue ---- */

static void test_issued(void)
{
	time_t now = time(NULL);
	struct claims claims = {
		"access", "0123456789abcdef0123456789abcdef", "17", 42, now, now + 900, true};
	const char *token = issue_token(arena, &claims);
	const struct claims *read = read_token(arena, token, "access");
	const char *header = encode(HS256_HEADER, strlen(HS256_HEADER));
	const char *last = strrchr(token, '.');
	const char *text = arena_copy(arena, token, (size_t)(last - token));
	unsigned char mac[32];
	unsigned size;

	ok(!strncmp(token, header, strlen(header)) && token[strlen(header)] == '.',
	   "the header is the one that simplejwt writes");
	HMAC(EVP_sha256(), SECRET, strlen(SECRET), (const unsigned char *)text, strlen(text),
	     mac, &size);
	is_text(last + 1, encode(mac, size), "the signature is the HMAC of the secret");
	if (ok(read != NULL, "what is issued is taken"))
		ok(read->user_id == 42 && read->is_staff && !strcmp(read->family, "17"),
		   "its claims are read");
	ok(!read_token(arena, token, "refresh"), "an access token is no refresh token");
	is_text(public_keys(arena), "{\"keys\":[]}", "a secret is not published");
}

static void test_successor(void)
{
	const char *key = hmac_sha256_hex(arena, SECRET, "refresh successor",
	                                  strlen("refresh successor"));
	const char *wanted = hmac_sha256_hex(arena, key, "one", 3);

	is_text(successor_of(arena, "one"), arena_copy(arena, wanted, 32),
	        "a successor follows from the secret");
	ok(strcmp(successor_of(arena, "one"), successor_of(arena, "two")) != 0,
	   "that of another is another");
}

/* ---- What others make ---- */

static void test_keys(void)
{
	static const char *const keys[] = {"",
	                                   "secret",
	                                   "password",
	                                   "changeme",
	                                   "your-256-bit-secret",
	                                   SECRET "\n",
	                                   "0123456789abcdef0123456789abcde"};
	const char *payload = payload_with("", NULL);

	ok(read_token(arena, hmac_token(HS256_HEADER, payload, EVP_sha256(), SECRET),
	              "access") != NULL,
	   "a neighbour's token that says what ours say is taken");
	for (size_t i = 0; i < COUNT(keys); i++)
		refused(hmac_token(HS256_HEADER, payload, EVP_sha256(), keys[i]),
		        arena_printf(arena, "guessed key %zu", i));
	refused(hmac_token(HS256_HEADER, payload, EVP_sha384(), SECRET), "a longer digest");
	refused(hmac_token("{\"alg\":\"HS384\",\"typ\":\"JWT\"}", payload, EVP_sha384(),
	                   SECRET),
	        "HS384");
	refused(hmac_token("{\"alg\":\"HS512\",\"typ\":\"JWT\"}", payload, EVP_sha512(),
	                   SECRET),
	        "HS512");
	refused(es256(ours, our_header, payload), "ES256");
	refused(es256(ours, HS256_HEADER, payload), "ES256 under our header");
	refused(hmac_token(our_header, payload, EVP_sha256(), SECRET), "HS256 as ES256");
}

static void test_headers(void)
{
	static const char *const headers[] = {
		"{\"alg\":\"none\",\"typ\":\"JWT\"}",
		"{\"alg\":\"hs256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\"}",
		"{\"alg\":\"HS256\",\"kid\":\"../../dev/null\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/\",\"typ\":\"JWT\"}",
		"{\"alg\":\"HS256\",\"alg\":\"HS256\",\"typ\":\"JWT\"}",
		"{\"typ\":\"JWT\"}",
		"{}",
	};
	const char *payload = payload_with("", NULL);

	for (size_t i = 0; i < COUNT(headers); i++) {
		refused(hmac_token(headers[i], payload, EVP_sha256(), SECRET),
		        arena_printf(arena, "header '%s'", headers[i]));
		refused(arena_printf(arena, "%s.", signed_part(headers[i], payload)),
		        "the same without a signature");
	}
	refused(arena_printf(arena, "%s.", signed_part(HS256_HEADER, payload)),
	        "our header without a signature");
}

static void test_forms(void)
{
	const char *token =
		hmac_token(HS256_HEADER, payload_with("", NULL), EVP_sha256(), SECRET);
	size_t size = strlen(token);
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *last = strchr(digits, token[size - 1]);

	refused(with_character(token, size - 1, last[1]), "unused bits changed");
	refused(with_character(token, size - 9, token[size - 9] == 'A' ? 'B' : 'A'),
	        "signature changed");
	refused(arena_copy(arena, token, size - 1), "cut by a character");
	refused(arena_printf(arena, "%s=", token), "padding");
	refused(arena_printf(arena, "%s.", token), "an empty fourth part");
	refused(hmac_token(HS256_HEADER, payload_with("fam", NULL), EVP_sha256(), SECRET),
	        "a neighbour's token without a session");
	refused(hmac_token(HS256_HEADER, payload_with("exp", "1"), EVP_sha256(), SECRET),
	        "an expired one");
}

int main(void)
{
	forge_begin();
	test_start();
	setenv("JWT_SECRET", SECRET, 1);
	settings_load();
	token_configure(true);
	test_issued();
	test_successor();
	test_keys();
	test_headers();
	test_forms();
	return forge_end();
}
