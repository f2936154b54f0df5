/* utf8.c: what is UTF-8 (RFC 3629) and what is not. */
#include <string.h>

#include "internal.h"

static bool is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/* The second byte's range keeps out overlong forms, surrogates and what lies above U+10FFFF. */
static bool fits_lead(unsigned char lead, unsigned char second)
{
	switch (lead) {
	case 0xE0:
		return second >= 0xA0;
	case 0xED:
		return second <= 0x9F;
	case 0xF0:
		return second >= 0x90;
	case 0xF4:
		return second <= 0x8F;
	default:
		return true;
	}
}

size_t utf8_size(const char *text, size_t size)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t need;

	if (!size)
		return 0;
	if (*c < 0x80)
		return 1;
	if (*c < 0xC2 || *c > 0xF4)
		return 0;
	need = *c < 0xE0 ? 2 : *c < 0xF0 ? 3 : 4;
	if (size < need || !is_continuation(c[1]) || !fits_lead(c[0], c[1]))
		return 0;
	for (size_t i = 2; i < need; i++)
		if (!is_continuation(c[i]))
			return 0;
	return need;
}

size_t utf8_count(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += !is_continuation((unsigned char)*text);
	return count;
}

bool is_control(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	return *c < 0x20 || *c == 0x7F || (c[0] == 0xC2 && c[1] < 0xA0);
}
