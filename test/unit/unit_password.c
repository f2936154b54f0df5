/* unit_password.c: Django's encoded passwords.  The stored forms were written by Django 3.2. */
#include <time.h>

#include "internal.h"
#include "tap.h"

#define PASSWORD "correct horse battery"
#define ACCENTED "p\xc3\xa4ssw\xc3\xb6rd \xe2\x82\xac\xf0\x9f\x98\x80"

static struct arena *arena;

/* clang-format off */
static const struct {
	const char *name, *encoded, *password;
	bool        outdated;
} stored[] = {
	{"argon2id of 100 MiB and 8 lanes",
	 "argon2$argon2id$v=19$m=102400,t=2,p=8$dkdpTFRsdTV5Wm54WWl5ZzRyaVF2eQ$2wIHOQvUHZMxyLs5HVFfTA", PASSWORD, false},
	{"a password that is not ASCII",
	 "argon2$argon2id$v=19$m=102400,t=2,p=8$bEwxY3hXRWh4VkNmZG1lZUdHcDdZdg$3SlehQakDalY4c5YHBGV/Q", ACCENTED, false},
	{"argon2id with our costs",
	 "argon2$argon2id$v=19$m=19456,t=2,p=1$MlZzTXRCMEJ2cFJSMGJyZTZyeU5tNA$06+rKVGv98+vOhaYmJMnng", PASSWORD, false},
	{"argon2id of half a MiB, short salt",
	 "argon2$argon2id$v=19$m=512,t=2,p=2$c2Vhc2FsdDg$ulHaTNXMrgZA9lLEf9wMjw", PASSWORD, true},
	{"argon2i",
	 "argon2$argon2i$v=19$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY", PASSWORD, true},
	{"PBKDF2",
	 "pbkdf2_sha256$260000$seasaltseasalt$gs7WRmqZQofKG82axHz7Ky3ABAZPqKd538jDm9zuF/A=", PASSWORD, true},
	{"PBKDF2 of a password that is not ASCII",
	 "pbkdf2_sha256$260000$seasaltseasalt$Y56bsRIpZvzoyR2qFj3np6932DRRIz6yMe0PTCgTqlw=", ACCENTED, true},
};

/* None may match, end the process or take noticeable time. */
static const char *const hostile[] = {
	"",
	"!",
	"!unusable",
	PASSWORD,
	"argon2$",
	"argon2$argon2id$v=19$m=19456,t=2,p=1$",
	"argon2$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
	"argon2$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
	"argon2$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=1048576,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=19456,t=4000000000,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=19456,t=2,p=10000$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=0,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=-1,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$YJGAvKj5qMsNSKiRbHeobQaeGOmGgkv8kvHffzL9ZpY",
	"argon2$argon2id$v=19$m=19456,t=2,p=1$$$$",
	"pbkdf2_sha256$",
	"pbkdf2_sha256$0$salt$hash",
	"pbkdf2_sha256$4294967296$salt$hash",
	"pbkdf2_sha256$999999999$salt$hash",
	"pbkdf2_sha256$1000$salt",
	"pbkdf2_sha256$1000$salt$",
	"pbkdf2_sha1$1000$salt$hash",
	"md5$salt$hash",
	"plain$$" PASSWORD,
};
/* clang-format on */

static void test_stored(void)
{
	for (size_t i = 0; i < COUNT(stored); i++) {
		ok(password_matches(stored[i].password, stored[i].encoded), stored[i].name);
		ok(!password_matches("Correct horse battery", stored[i].encoded),
		   "another one fails");
		is_int(password_outdated(stored[i].encoded), stored[i].outdated,
		       "outdated or not");
	}
}

static void test_ours(void)
{
	static const char prefix[] = "argon2$argon2id$v=19$m=19456,t=2,p=1$";
	const char *one = hash_password(arena, PASSWORD), *two = hash_password(arena, PASSWORD);

	ok(!strncmp(one, prefix, sizeof(prefix) - 1), "the form is Django's, with our costs");
	is_int((long long)strcspn(one + sizeof(prefix) - 1, "$"), 22, "the salt has 16 bytes");
	ok(strlen(one) <= 128, "it fits Django's column");
	ok(strcmp(one, two) != 0, "the salt is another each time");
	ok(password_matches(PASSWORD, one) && password_matches(PASSWORD, two), "both match");
	ok(!password_matches(PASSWORD " ", one), "nothing is trimmed");
	ok(!password_outdated(one), "it is up to date");
}

static void test_long(void)
{
	char password[257], other[257];

	memset(password, 'a', 256);
	password[256] = '\0';
	memcpy(other, password, sizeof(other));
	other[255] = 'b';

	const char *encoded = hash_password(arena, password);

	ok(password_matches(password, encoded), "256 characters match");
	ok(!password_matches(other, encoded), "the last of 256 characters matters");
	other[255] = 'a';
	other[72] = 'b';
	ok(!password_matches(other, encoded), "the 73rd character matters");
}

static void test_hostile(void)
{
	char endless[100000];
	struct timespec before, after;

	memset(endless, '9', sizeof(endless));
	memcpy(endless, "argon2$argon2id$v=19$m=", 23);
	endless[sizeof(endless) - 1] = '\0';
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (size_t i = 0; i < COUNT(hostile); i++)
		if (!ok(!password_matches(PASSWORD, hostile[i]),
		        "a hostile form matches nothing"))
			printf("# %s\n", hostile[i]);
	ok(!password_matches(PASSWORD, endless), "nor does an endless one");
	clock_gettime(CLOCK_MONOTONIC, &after);
	ok(after.tv_sec - before.tv_sec < 5, "and none of them takes long");
	ok(password_outdated("argon2$argon2id$v=19$m=19456,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$Zg"),
	   "one pass over 19 MiB is outdated");
	ok(!password_outdated("argon2$argon2id$v=19$m=47104,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$Zg"),
	   "one pass over 46 MiB is not");
}

int main(void)
{
	arena = arena_new();
	test_stored();
	test_ours();
	test_long();
	test_hostile();
	arena_destroy(arena);
	return done();
}
