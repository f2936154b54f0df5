/* unit_token.c: the tokens that we issue, and the settings that decide about them. */
#include <sys/wait.h>

#include "forge.h"

/* ---- What we issue ---- */

static struct claims some_claims(const char *type)
{
	time_t now = time(NULL);

	return (struct claims){
		type, "0123456789abcdef0123456789abcdef", "17", 42, now, now + 900, true};
}

static void test_issued(void)
{
	struct claims claims = some_claims("access");
	const char *token = issue_token(arena, &claims);
	const struct claims *read = read_token(arena, token, "access");
	const char *header = encode(our_header, strlen(our_header));

	ok(!strncmp(token, header, strlen(header)) && token[strlen(header)] == '.',
	   "the header is the one that is taken");
	if (!ok(read != NULL, "what is issued is taken"))
		return;
	is_text(read->type, claims.type, "token_type");
	is_text(read->jti, claims.jti, "jti");
	is_text(read->family, claims.family, "fam");
	is_int(read->user_id, 42, "user_id");
	is_int(read->issued, claims.issued, "iat");
	is_int(read->expires, claims.expires, "exp");
	ok(read->is_staff, "is_staff");
	ok(read_token(arena, token, "access") != NULL, "it is taken again");
	ok(!read_token(arena, token, "refresh"), "an access token is no refresh token");
	claims.type = "refresh";
	refused(issue_token(arena, &claims), "a refresh token is no access token");
	claims.type = "service";
	refused(issue_token(arena, &claims), "nor is one of another type");
}

static void test_control(void)
{
	const struct claims *claims = read_token(arena, good_token(), "access");

	if (ok(claims != NULL, "a token that another library signed with our key is taken"))
		ok(claims->user_id == 42 && !claims->is_staff, "its claims are read");
	ok(read_token(arena, es256(ours, our_header, payload_with("sub", "\"x\"")), "access") !=
	           NULL,
	   "claims that we do not know are ignored");
}

static void test_successor(void)
{
	const char *one = successor_of(arena, "0123456789abcdef0123456789abcdef");

	is_int((long long)strlen(one), 32, "a successor has 128 bits");
	is_text(successor_of(arena, "0123456789abcdef0123456789abcdef"), one,
	        "it is always the same");
	ok(strcmp(successor_of(arena, one), one) != 0, "its own successor is another");
}

static void test_public_keys(void)
{
	is_text(public_keys(arena),
	        arena_printf(arena,
	                     "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\","
	                     "\"alg\":\"ES256\",\"kid\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}]}",
	                     our_kid, our_x, our_y),
	        "the public key as a JWK Set");
}

/* The signature of a known token is not checked again; whether it expired is. */
static void test_expiry_of_known(void)
{
	const char *exp, *token, *last;
	unsigned life = 2;
	bool taken = false;

	/* On a busy machine so short a life may be over too soon. */
	for (; !taken && life < 60; life *= 2) {
		exp = arena_printf(arena, "%lld", (long long)time(NULL) + life);
		token = es256(ours, our_header, payload_with("exp", exp));
		taken = read_token(arena, token, "access") != NULL;
	}
	last = strrchr(token, '.') + 1;
	ok(taken, "a token of some seconds is taken");
	refused(with_character(token, (size_t)(last - token), *last == 'A' ? 'B' : 'A'),
	        "a known token with another signature is not");
	sleep(life / 2);
	refused(token, "after them it is refused though it is known");
}

static void test_skew(void)
{
	long long now = (long long)time(NULL);
	const char *ahead = arena_printf(arena, "%lld", now + 30);
	const char *far = arena_printf(arena, "%lld", now + 120);
	const char *past = arena_printf(arena, "%lld", now - 30);

	ok(read_token(arena, es256(ours, our_header, payload_with("iat", ahead)), "access") !=
	           NULL,
	   "a clock may be half a minute ahead");
	refused(es256(ours, our_header, payload_with("iat", far)), "but not two minutes");
	ok(read_token(arena, es256(ours, our_header, payload_with("nbf", past)), "access") !=
	           NULL,
	   "nbf in the past is fine");
	refused(es256(ours, our_header, payload_with("nbf", ahead)), "nbf to come is not");
}

/* ---- Configuration: settings are read once per process, so each case has its own. ---- */

static int status_of_child(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void starts(int wanted, const char *public, const char *private, const char *name)
{
	fflush(stdout);

	pid_t child = fork();

	if (!child) {
		setenv("JWT_PUBLIC_KEY", public, 1);
		setenv("JWT_PRIVATE_KEY", private, 1);
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		settings_load();
		token_configure(true);
		_exit(0);
	}
	is_int(status_of_child(child), wanted, name);
}

static void test_start(void)
{
	EVP_PKEY *p384 = EVP_EC_gen("P-384");
	const char *missing = arena_printf(arena, "%s/missing", folder);

	starts(0, public_path, private_path, "a pair of keys starts the program");
	starts(1, "", private_path, "no public key ends it");
	starts(1, public_path, "", "no private key ends it");
	starts(1, missing, private_path, "a missing file ends it");
	starts(1, folder, private_path, "a folder ends it");
	starts(1, write_file("empty", NULL, false, 0600), private_path,
	       "an empty file ends it");
	starts(1, private_path, private_path, "a private key as public key ends it");
	starts(1, public_path, write_file("group", ours, true, 0640),
	       "a key open to the group ends it");
	starts(1, public_path, write_file("world", ours, true, 0604),
	       "a key open to all ends it");
	starts(1, public_path, write_file("other", stranger, true, 0600),
	       "half of another pair ends it");
	starts(1, public_path, write_file("rsa", rsa, true, 0600), "an RSA key ends it");
	starts(1, write_file("p384", p384, false, 0644), private_path, "a P-384 key ends it");
	starts(1, write_file("p384", p384, false, 0644),
	       write_file("p384-private", p384, true, 0600), "a pair of P-384 keys ends it");
	EVP_PKEY_free(p384);
}

/* As payload_with(), but issued by somebody else. */
static bool taken_from(const char *claims)
{
	const char *payload = payload_with("iss", claims);

	return read_token(arena, es256(ours, our_header, payload), "access") != NULL;
}

static void test_audience(void)
{
	fflush(stdout);

	pid_t child = fork();

	if (!child) {
		setenv("JWT_AUDIENCE", "shop", 1);
		setenv("JWT_ISSUER", "else", 1);
		settings_load();
		token_configure(false);

		bool ours_too = taken_from("\"arnova\"");
		bool without = taken_from("\"else\"");
		bool named = taken_from("\"else\",\"aud\":\"shop\"");
		bool other = taken_from("\"else\",\"aud\":\"shops\"");

		_exit(ours_too | !without << 1 | !named << 2 | other << 3);
	}
	is_int(status_of_child(child), 0, "JWT_ISSUER and JWT_AUDIENCE decide");
}

int main(void)
{
	forge_begin();
	test_start();
	test_audience();
	settings_load();
	token_configure(true);
	test_issued();
	test_control();
	test_successor();
	test_public_keys();
	test_skew();
	test_expiry_of_known();
	return forge_end();
}
