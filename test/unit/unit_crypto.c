/* unit_crypto.c: digests against published vectors, and the judging of keys. */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "tap.h"

static struct arena *arena;

static const char *hmac(const char *key, const char *text)
{
	return hmac_sha256_hex(arena, key, text, strlen(text));
}

static void test_digests(void)
{
	is_text(sha256_hex(arena, "", 0),
	        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	        "SHA-256 of nothing");
	is_text(sha256_hex(arena, "abc", 3),
	        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	        "SHA-256 of abc (FIPS 180-4)");
	is_text(sha256_hex(arena, "a\0c", 3),
	        "b179f49283f586ae1922b625af4017aecdf77e7ee175c0af675abea14252a666",
	        "SHA-256 reads past a NUL");
}

/* Webhook signatures as Stripe's own library makes and checks them. */
static void test_hmac(void)
{
	static const char body[] =
		"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";

	is_text(hmac("test_secret", ""),
	        "f7f9bd47fb987337b5796fdc1fdb9ba221d0d5396814bfcaf9521f43fd8927fd",
	        "HMAC of nothing");
	is_text(hmac("test_secret", "{\"obj1\":\"hello\",\"obj2\":\"world\"}"),
	        "bebb1a643997f419b315ddba19e6f5411e1ce7f810ba6d3617ce72823092f363",
	        "HMAC of a JSON text");
	is_text(hmac("test_secret", "\xf0\x9f\x98\x80"),
	        "837da296d05c4fe31f61d5d7ead035099d9585a5bcde87de952012a78f0b0c43",
	        "HMAC of U+1F600");
	is_text(hmac("whsec_test_secret", arena_printf(arena, "1700000000.%s", body)),
	        "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150",
	        "webhook signature");
	is_text(hmac("whsec_test_secret", arena_printf(arena, "12345.%s", body)),
	        "2672d138c9a412830f3bfe2ecc5bfb3277cf6f5b49d0119d77dd6cb64da1257e",
	        "webhook signature at another time");
	is_text(hmac("whsec_test_secret_rolled_key",
	             arena_printf(arena, "1700000000.%s", body)),
	        "dc80d0334b78e0dbbc3d5352c151a428b746163b94ad381096bb293b9e650f1e",
	        "webhook signature with another secret");
	is_text(hmac("whsec_test_secret", "1700000000.{\"id\":\"evt_1\",\"object\":\"event\","
	                                  "\"note\":\"\xc3\xa9\xf0\x9f\x98\x80\"}"),
	        "186a828e77c555694a0490273b41129ce6cf9752e74439af8af1c4e16abec582",
	        "webhook signature of raw UTF-8");
}

static void test_random(void)
{
	const char *one = random_hex(arena, 16), *two = random_hex(arena, 16);

	is_int((long long)strlen(one), 32, "16 random bytes are 32 digits");
	is_int((long long)strspn(one, "0123456789abcdef"), 32, "they are lower-case hex");
	ok(strcmp(one, two) != 0, "the next ones differ");
}

static void test_same_text(void)
{
	ok(same_text("", ""), "empty texts are the same");
	ok(same_text("secret", "secret"), "equal texts are the same");
	ok(!same_text("secret", "secreT"), "a last letter that differs is seen");
	ok(!same_text("Secret", "secret"), "a first letter that differs is seen");
	ok(!same_text("secret", "secret1"), "a longer text differs");
	ok(!same_text("secret", ""), "nothing differs from something");
}

/* RFC 7914, section 11, cut to 32 bytes, and one that Django wrote. */
static void test_pbkdf2(void)
{
	is_text(pbkdf2_sha256(arena, "passwd", "salt", 1),
	        "VawEblbjCJ/sFpHCJUS2BflBhSFt3gRl5oudV8INrLw=", "PBKDF2, one iteration");
	is_text(pbkdf2_sha256(arena, "correct horse battery", "seasaltseasalt", 260000),
	        "gs7WRmqZQofKG82axHz7Ky3ABAZPqKd538jDm9zuF/A=", "PBKDF2, 260000 iterations");
}

static const char *output_of(const char *command)
{
	FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): fixed commands of a test */
	char *text = arena_alloc(arena, 8192);
	size_t size = pipe ? fread(text, 1, 8191, pipe) : 0;

	if (!pipe || pclose(pipe) || !size)
		printf("Bail out! could not run %s\n", command);
	return text;
}

static void test_keys(void)
{
	char private[] = "/tmp/arnova-unit-XXXXXX";

	close(mkstemp(private));
	output_of(arena_printf(arena,
	                       "openssl genpkey -algorithm EC -pkeyopt "
	                       "ec_paramgen_curve:P-256 | tee %s",
	                       private));

	const char *key = output_of(arena_printf(arena, "cat %s", private));
	const char *public =
		output_of(arena_printf(arena, "openssl pkey -pubout -in %s", private));
	const char *p384 =
		output_of("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384");
	const char *rsa = output_of("openssl genpkey -quiet -algorithm RSA 2>/dev/null");
	const char *other = output_of("openssl genpkey -algorithm EC -pkeyopt "
	                              "ec_paramgen_curve:P-256 | openssl pkey -pubout");
	const char *locked = output_of(arena_printf(arena,
	                                            "openssl pkey -in %s -aes128 -passout "
	                                            "pass:secret",
	                                            private));

	unlink(private);
	ok(key_is_p256(key, true), "a P-256 private key is one");
	ok(key_is_p256(public, false), "a P-256 public key is one");
	ok(!key_is_p256(key, false), "a private key is no public key");
	ok(!key_is_p256(public, true), "a public key is no private key");
	ok(!key_is_p256(p384, true), "P-384 is refused");
	ok(!key_is_p256(rsa, true), "RSA is refused");
	ok(!key_is_p256(locked, true), "a key under a passphrase is refused without asking");
	ok(!key_is_p256("", true), "an empty file is refused");
	ok(!key_is_p256("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", false),
	   "nonsense is refused");
	ok(keys_belong_together(key, public), "a pair belongs together");
	ok(!keys_belong_together(key, other), "halves of two pairs do not");
}

int main(void)
{
	arena = arena_new();
	test_digests();
	test_hmac();
	test_random();
	test_same_text();
	test_pbkdf2();
	test_keys();
	arena_destroy(arena);
	return done();
}
