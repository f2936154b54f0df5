/* unit_password_rules.c: which passwords nobody may choose. */
#include "internal.h"
#include "tap.h"

static const char *const common[] = {
	"password",  "Password1", "PASSWORD",  "iloveyou",    "sunshine",
	"princess",  "football",  "trustno1",  "baseball",    "superman",
	"starwars",  "whatever",  "passw0rd",  "1qaz2wsx",    "password123",
	"qwerty123", "1q2w3e4r",  "computer",  "zxcvbnm1",    "????????",
	"zzzzzzzz",  "arnova123", "Arnova!23", "arnova-2024", "ARNOVA1",
};

static const char *const good[] = {
	"correct horse battery",
	"password iloveyou",
	"asdfhqwe",
	"arnova sells what I like",
	"12345678a?",
	"\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c",
	" password",
	"",
};

static const struct {
	const char *password, *name;
	bool resembles;
} pairs[] = {
	{"alice@example.com", "alice@example.com", true},
	{"ALICE@example.com", "alice@example.com", true},
	{"alice.example.com", "alice@example.com", true},
	{"johnsmith", "John Smith", true},
	{"john-smith", "johnsmith", true},
	{"johnsmith1!", "johnsmith", true},
	{"1johnsmith1", "johnsmith", true},
	{"johnsmith-and-the-sea", "johnsmith", false},
	{"user1-secret-pass", "user1", false},
	{"correct horse battery", "alice@example.com", false},
	{"correct horse battery", "", false},
	{"-------+", "", false},
	{"ab-ab-ab-", "ab", false},
};

int main(void)
{
	char endless[1000];

	for (size_t i = 0; i < COUNT(common); i++)
		is_text(password_fault(common[i]), "This password is too common.", common[i]);
	is_text(password_fault("1357924680123"), "This password is entirely numeric.",
	        "digits");
	for (size_t i = 0; i + 1 < COUNT(good); i++)
		is_text(password_fault(good[i]), NULL, good[i]);
	for (size_t i = 0; i < COUNT(pairs); i++)
		is_int(password_resembles(pairs[i].password, pairs[i].name), pairs[i].resembles,
		       pairs[i].password);
	memset(endless, 'x', sizeof(endless));
	endless[sizeof(endless) - 1] = '\0';
	is_text(password_fault(endless), NULL, "an endless password is not common");
	ok(!password_resembles(endless, "alice"), "nor does it resemble a name");
	return done();
}
