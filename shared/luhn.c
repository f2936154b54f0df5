/* luhn.c: finds card numbers in a parsed body, so that none is ever taken in. */
#include <string.h>

#include "internal.h"

enum { DIGITS_MIN = 13, DIGITS_MAX = 19 };

/* Bytes of the digit at the text, as ASCII, full-width, Arabic, Persian and Devanagari writing
 * have it; its value in *digit.  0 for anything else. */
static size_t digit_size(const char *text, unsigned char *digit)
{
	static const char *const zeros[] = {"0", "\xEF\xBC\x90", "\xD9\xA0", "\xDB\xB0",
	                                    "\xE0\xA5\xA6"};

	for (size_t i = 0; i < COUNT(zeros); i++) {
		size_t last = strlen(zeros[i]) - 1;

		if (strncmp(text, zeros[i], last) != 0)
			continue;
		/* Their ten digits differ in the last byte alone. */
		*digit = (unsigned char)(text[last] - zeros[i][last]);
		if (*digit <= 9)
			return last + 1;
	}
	return 0;
}

/* Bytes of the separator at the text: ASCII white space and hyphen, and what looks like them
 * (U+00A0, U+00AD, U+2000 to U+2015, U+202F, U+2212, U+3000).  0 for anything else. */
static size_t separator_size(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	if (*c == ' ' || *c == '-' || (*c >= '\t' && *c <= '\r'))
		return 1;
	if (c[0] == 0xC2 && (c[1] == 0xA0 || c[1] == 0xAD))
		return 2;
	if (c[0] == 0xE2 && c[1] == 0x80 && ((c[2] >= 0x80 && c[2] <= 0x95) || c[2] == 0xAF))
		return 3;
	if (c[0] == 0xE2 && c[1] == 0x88 && c[2] == 0x92)
		return 3;
	return c[0] == 0xE3 && c[1] == 0x80 && c[2] == 0x80 ? 3 : 0;
}

static bool passes_luhn(const unsigned char *digits, size_t count)
{
	int sum = 0;

	for (size_t i = 0; i < count; i++) {
		int digit = digits[count - 1 - i];

		if (i % 2)
			digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
		sum += digit;
	}
	return sum % 10 == 0;
}

/* Whether a card number begins here and ends where a group of digits ends: so that neither
 * "4242 4242 4242 4242 12" nor a longer number without any gap is judged wrongly. */
static bool starts_card_number(const char *text)
{
	unsigned char digits[DIGITS_MAX], next;
	size_t count = 0, size;

	while (count < DIGITS_MAX && (size = digit_size(text, &digits[count]))) {
		count++;
		text += size;
		if (digit_size(text, &next))
			continue;
		if (count >= DIGITS_MIN && passes_luhn(digits, count))
			return true;
		while ((size = separator_size(text)))
			text += size;
	}
	return false;
}

static bool text_holds_card_number(const char *text)
{
	unsigned char digit;
	bool after_digit = false;

	while (*text) {
		size_t size = digit_size(text, &digit);

		if (size && !after_digit && starts_card_number(text))
			return true;
		after_digit = size;
		text += size ? size : 1;
	}
	return false;
}

/* tracking_url is ours, made of the number, and comes back with what was read. */
static bool is_exempt(const char *name)
{
	return !strcmp(name, "phone") || !strcmp(name, "postal_code") ||
	       !strcmp(name, "tracking_number") || !strcmp(name, "tracking_url");
}

bool holds_card_number(const struct json *json)
{
	if (json_kind(json) == JSON_STRING)
		return text_holds_card_number(json_string(json));
	for (const struct json *child = json_first(json); child; child = json_next(child)) {
		const char *name = json_name(child);

		if (name && text_holds_card_number(name))
			return true;
		if (name && is_exempt(name) && json_kind(child) == JSON_STRING)
			continue;
		if (holds_card_number(child))
			return true;
	}
	return false;
}
