/* calendar.c: dates and times as texts. */
#include <string.h>

#include "internal.h"

#define DIGITS "0123456789"
#define OFFSET_HOURS 15 /* the largest time zone offset of PostgreSQL */

/* So many digits as a number within the range; moves on behind them. */
static bool read_part(const char **text, size_t digits, int min, int max, int *value)
{
	if (strspn(*text, DIGITS) < digits)
		return false;
	*value = 0;
	for (size_t i = 0; i < digits; i++)
		*value = *value * 10 + *(*text)++ - '0';
	return *value >= min && *value <= max;
}

static bool skip(const char **text, const char *any)
{
	return **text && strchr(any, **text) && (*text)++;
}

/* PostgreSQL has no year 0. */
static bool read_date(const char **text)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day;

	if (!read_part(text, 4, 1, 9999, &year) || !skip(text, "-") ||
	    !read_part(text, 2, 1, 12, &month) || !skip(text, "-") ||
	    !read_part(text, 2, 1, 31, &day))
		return false;

	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return day <= lengths[month - 1] + (month == 2 && leap);
}

static bool read_offset(const char **text)
{
	int hours, minutes;

	if (skip(text, "Zz"))
		return true;
	return skip(text, "+-") && read_part(text, 2, 0, OFFSET_HOURS, &hours) &&
	       skip(text, ":") && read_part(text, 2, 0, 59, &minutes);
}

bool is_time(const char *text)
{
	int part;

	if (!read_date(&text) || !skip(&text, "Tt ") || !read_part(&text, 2, 0, 23, &part) ||
	    !skip(&text, ":") || !read_part(&text, 2, 0, 59, &part) || !skip(&text, ":") ||
	    !read_part(&text, 2, 0, 59, &part))
		return false;
	if (skip(&text, ".")) {
		size_t digits = strspn(text, DIGITS);

		if (!digits || digits > 9)
			return false;
		text += digits;
	}
	return read_offset(&text) && !*text;
}

bool is_date(const char *text)
{
	return read_date(&text) && !*text;
}
