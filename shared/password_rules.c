/* password_rules.c: which passwords nobody may choose. */
#include <string.h>

#include "internal.h"

#define LIMIT_WORD 256 /* bytes that are compared */
#define SHOP "arnova"

/* How much of a password, in percent of its letters and digits, may be a name: of the account's
 * own, and the shop's. */
#define NAME_PERCENT 69
#define SHOP_PERCENT 59

static const char *const common[] = {
#include "common_passwords.inc"
};

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_common(const char *password)
{
	size_t size = strlen(password);
	char word[LIMIT_WORD] = " ";

	if (size + 3 > sizeof(word) || strchr(password, ' '))
		return false;
	for (size_t i = 0; i < size; i++)
		word[i + 1] = lower(password[i]);
	word[size + 1] = ' ';
	word[size + 2] = '\0';
	for (size_t i = 0; i < COUNT(common); i++)
		if (strstr(common[i], word))
			return true;
	return false;
}

/* Letters and digits alone, in lower case; bytes of other scripts stay. */
static size_t bare(const char *text, char word[LIMIT_WORD])
{
	size_t size = 0;

	for (; *text && size < LIMIT_WORD - 1; text++) {
		char c = lower(*text);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		    (unsigned char)c >= 0x80)
			word[size++] = c;
	}
	word[size] = '\0';
	return size;
}

/* Whether the name makes up more of the password than so many percent. */
static bool mostly(const char *password, const char *name, size_t percent)
{
	char whole[LIMIT_WORD], part[LIMIT_WORD];
	size_t size = bare(password, whole), part_size = bare(name, part);

	return part_size >= 3 && strstr(whole, part) && part_size * 100 > size * percent;
}

bool password_resembles(const char *password, const char *name)
{
	return mostly(password, name, NAME_PERCENT);
}

const char *password_fault(const char *password)
{
	if (strspn(password, "0123456789") == strlen(password))
		return "This password is entirely numeric.";
	if (is_common(password) || mostly(password, SHOP, SHOP_PERCENT))
		return "This password is too common.";
	return NULL;
}
