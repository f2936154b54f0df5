/* scalar.c: single values of a shape: what is taken, and in which words the rest is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define INTEGER_MAX INT64_C(9007199254740991) /* 2^53-1, what every JSON reader keeps */
#define EMAIL_MAX 254
#define LOCAL_MAX 64 /* of an address, in front of the @ (RFC 5321) */
#define LABEL_MAX 63 /* of a domain */
#define DECIMALS_MAX 3
#define WHOLE_MAX 10  /* digits of an amount in front of the point */
#define QUOTED_MAX 64 /* bytes of a refused choice that the message repeats */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* One value on its way through a check. */
struct scalar {
	struct arena *arena;
	const struct field *field;
	const char *text;
	const struct currency *currency; /* of MONEY; NULL: not known */
	const char *fault;
};

/* The check's result: the text, or NULL with the reason. */
static const char *refused(struct scalar *scalar, const char *fault)
{
	scalar->fault = fault;
	return NULL;
}

/* ---- Text ---- */

/* Bytes of the white space that starts here, as Python's strip() knows it; 0 for none. */
static size_t space_size(const char *text)
{
	static const char *const spaces[] = {
		"\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\xA8",
		"\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
	};
	const unsigned char *c = (const unsigned char *)text;

	if (*c == ' ' || (*c >= '\t' && *c <= '\r') || (*c >= 0x1C && *c <= 0x1F))
		return 1;
	if (*c < 0x80)
		return 0;
	if (c[0] == 0xE2 && c[1] == 0x80 && c[2] <= 0x8A) /* U+2000 to U+200A */
		return 3;
	for (size_t i = 0; i < COUNT(spaces); i++)
		if (!strncmp(text, spaces[i], strlen(spaces[i])))
			return strlen(spaces[i]);
	return 0;
}

static const char *trimmed(struct arena *arena, const char *text)
{
	const char *end;

	while (space_size(text))
		text += space_size(text);
	end = text;
	for (const char *c = text; *c; c++)
		if (!space_size(c) && ((unsigned char)*c & 0xC0) != 0x80)
			end = c + utf8_size(c, strnlen(c, 4));
	return *end ? arena_copy(arena, text, (size_t)(end - text)) : text;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (is_control(text) && !strchr("\t\n\r", *text))
			return true;
	return false;
}

static const char *check_text(struct scalar *scalar)
{
	const struct field *field = scalar->field;
	int64_t count = (int64_t)utf8_count(scalar->text);
	int64_t max = field->kind == EMAIL ? EMAIL_MAX : field->max;

	if (!(field->flags & SECRET) && has_control(scalar->text))
		return refused(scalar, "Control characters are not allowed.");
	if (!count && (field->min > 0 || field->kind != TEXT))
		return refused(scalar, "This field may not be blank.");
	if (count < field->min)
		return refused(scalar,
		               arena_printf(scalar->arena,
		                            "Ensure this field has at least %lld characters.",
		                            (long long)field->min));
	if (max && count > max)
		return refused(
			scalar,
			arena_printf(scalar->arena,
		                     "Ensure this field has no more than %lld characters.",
		                     (long long)max));
	return scalar->text;
}

/* Labels of letters, digits and hyphens; a dot, and no number as the last one. */
static bool is_domain(const char *text)
{
	const char *label = text;

	for (;;) {
		size_t size = strspn(label, LETTERS DIGITS "-");

		if (!size || size > LABEL_MAX || label[0] == '-' || label[size - 1] == '-')
			return false;
		if (!label[size])
			return label > text && size > 1 && strspn(label, DIGITS) < size;
		if (label[size] != '.')
			return false;
		label += size + 1;
	}
}

static const char *check_email(struct scalar *scalar)
{
	const char *text = scalar->text, *at = strchr(text, '@');
	size_t size = strspn(text, LETTERS DIGITS "!#$%&'*+-/=?^_`{|}~.");

	if (!check_text(scalar))
		return NULL;
	if (!at || (size_t)(at - text) != size || !size || size > LOCAL_MAX || text[0] == '.' ||
	    at[-1] == '.' || strstr(text, "..") || !is_domain(at + 1))
		return refused(scalar, "Enter a valid email address.");
	return text;
}

/* A host, maybe with a port, up to the path. */
static bool has_authority(const char *text)
{
	size_t size = *text == '[' ? strspn(text + 1, DIGITS "abcdefABCDEF:.") + 1
	                           : strspn(text, LETTERS DIGITS "-._");
	bool closed = *text != '[' || (size > 1 && text[size] == ']');

	if (!size || *text == '.' || *text == '-' || !closed)
		return false;
	text += size + (*text == '[');
	if (*text == ':') {
		size = strspn(text + 1, DIGITS);
		if (!size || size > 5)
			return false;
		text += size + 1;
	}
	return !*text || strchr("/?#", *text);
}

static bool is_url(const char *text)
{
	for (const char *c = text; *c; c++)
		if (is_control(c) || space_size(c) || strchr("\"<>\\^`{|}", *c))
			return false;
	if (*text == '/')
		return text[1] != '/'; /* which would be a host */
	if (!strncasecmp(text, "http://", 7))
		return has_authority(text + 7);
	return !strncasecmp(text, "https://", 8) && has_authority(text + 8);
}

static const char *check_url(struct scalar *scalar)
{
	if (!check_text(scalar))
		return NULL;
	return is_url(scalar->text) ? scalar->text : refused(scalar, "Enter a valid URL.");
}

static const char *check_slug(struct scalar *scalar)
{
	if (!check_text(scalar))
		return NULL;
	if (scalar->text[strspn(scalar->text, LETTERS DIGITS "-_")])
		return refused(scalar, "Enter a valid \"slug\" consisting of letters, numbers, "
		                       "underscores or hyphens.");
	return scalar->text;
}

static const char *check_password(struct scalar *scalar)
{
	const char *fault = check_text(scalar) ? password_fault(scalar->text) : scalar->fault;

	return fault ? refused(scalar, fault) : scalar->text;
}

/* '"x" is not a valid choice.', with a long x cut. */
static const char *no_choice(struct scalar *scalar)
{
	size_t size = strlen(scalar->text);

	if (size > QUOTED_MAX)
		for (size = QUOTED_MAX; ((unsigned char)scalar->text[size] & 0xC0) == 0x80;)
			size--;
	return refused(scalar, arena_printf(scalar->arena, "\"%.*s\" is not a valid choice.",
	                                    (int)size, scalar->text));
}

static const char *check_choice(struct scalar *scalar)
{
	size_t size = strlen(scalar->text);

	for (const char *choice = scalar->field->choices; *choice;) {
		size_t length = strcspn(choice, " ");

		if (length == size && !memcmp(choice, scalar->text, size))
			return scalar->text;
		choice += length + (choice[length] == ' ');
	}
	return no_choice(scalar);
}

static const char *check_currency(struct scalar *scalar)
{
	return currency_find(scalar->text) ? scalar->text : no_choice(scalar);
}

static const char *check_country(struct scalar *scalar)
{
	const char *code = country_code(scalar->arena, scalar->text);

	return code ? code : check_text(scalar) ? no_choice(scalar) : NULL;
}

/* ---- Numbers ---- */

/* A whole number within 2^53, without anything around it. */
static bool read_integer(const char *text, int64_t *value)
{
	size_t digits = strspn(text + (*text == '-'), DIGITS);

	if (!digits || digits > 16 || text[digits + (*text == '-')])
		return false;
	*value = strtoll(text, NULL, 10);
	return *value <= INTEGER_MAX && *value >= -INTEGER_MAX;
}

static const char *check_integer(struct scalar *scalar)
{
	const struct field *field = scalar->field;
	int64_t min = field->min || field->max ? field->min : 1, value;
	int64_t max = field->max || field->min < 0 ? field->max : INTEGER_MAX;

	if (!read_integer(scalar->text, &value))
		return refused(scalar, "A valid integer is required.");
	if (value < min)
		return refused(
			scalar,
			arena_printf(scalar->arena,
		                     "Ensure this value is greater than or equal to %lld.",
		                     (long long)min));
	if (value > max)
		return refused(scalar,
		               arena_printf(scalar->arena,
		                            "Ensure this value is less than or equal to %lld.",
		                            (long long)max));
	return arena_printf(scalar->arena, "%lld", (long long)value);
}

static const char *check_money(struct scalar *scalar)
{
	unsigned most = scalar->currency ? scalar->currency->decimals : DECIMALS_MAX;
	const char *text = scalar->text + (*scalar->text == '-');
	size_t whole = strspn(text, DIGITS);
	bool point = text[whole] == '.';
	size_t decimals = point ? strspn(text + whole + 1, DIGITS) : 0;

	if (!whole || (point && !decimals) || text[whole + point + decimals])
		return refused(scalar, "A valid number is required.");
	if (text != scalar->text && strpbrk(text, "123456789"))
		return refused(scalar, "Ensure this value is greater than or equal to 0.");
	while (whole > 1 && *text == '0') {
		text++;
		whole--;
	}
	if (decimals > most)
		return refused(
			scalar,
			arena_printf(scalar->arena,
		                     "Ensure that there are no more than %u decimal places.",
		                     most));
	if (whole > WHOLE_MAX)
		return refused(
			scalar,
			"Ensure that there are no more than 10 digits before the decimal "
			"point.");
	return text;
}

static const char *check_boolean(struct scalar *scalar)
{
	if (!strcasecmp(scalar->text, "true") || !strcmp(scalar->text, "1"))
		return "true";
	if (!strcasecmp(scalar->text, "false") || !strcmp(scalar->text, "0"))
		return "false";
	return refused(scalar, "Must be a valid boolean.");
}

static const char *check_ids(struct scalar *scalar)
{
	struct text out = {.arena = scalar->arena};
	int64_t count = 0, id;

	for (const char *text = scalar->text;; text++) {
		size_t size = strcspn(text, ",");
		const char *one = trimmed(scalar->arena, arena_copy(scalar->arena, text, size));

		if (!read_integer(one, &id) || id < 1)
			return refused(scalar, "A valid integer is required.");
		text_printf(&out, count++ ? ",%lld" : "%lld", (long long)id);
		text += size;
		if (!*text)
			break;
	}
	if (scalar->field->max && count > scalar->field->max)
		return refused(scalar,
		               arena_printf(scalar->arena,
		                            "Ensure this field has no more than %lld elements.",
		                            (long long)scalar->field->max));
	return out.bytes;
}

/* ---- Dates ---- */

static const char *check_date(struct scalar *scalar)
{
	if (is_date(scalar->text))
		return scalar->text;
	return refused(scalar,
	               "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.");
}

static const char *check_time(struct scalar *scalar)
{
	if (is_time(scalar->text))
		return scalar->text;
	return refused(scalar, "Datetime has wrong format. Use one of these formats instead: "
	                       "YYYY-MM-DDThh:mm:ss[.uuuuuu](Z|+HH:MM|-HH:MM).");
}

const char *scalar_check_in(struct arena *arena, const struct field *field, const char *text,
                            const struct currency *currency, const char **fault)
{
	static const char *(*const checks[])(struct scalar *) = {
		[TEXT] = check_text,         [EMAIL] = check_email,       [URL] = check_url,
		[SLUG] = check_slug,         [INTEGER] = check_integer,   [MONEY] = check_money,
		[BOOLEAN] = check_boolean,   [CURRENCY] = check_currency, [DATE] = check_date,
		[TIME] = check_time,         [CHOICE] = check_choice,     [IDS] = check_ids,
		[PASSWORD] = check_password, [COUNTRY] = check_country,
	};
	struct scalar scalar = {arena, field, text, currency, NULL};
	const char *value;

	if (!(field->flags & SECRET))
		scalar.text = trimmed(arena, text);
	value = checks[field->kind](&scalar);
	*fault = scalar.fault;
	return value;
}

const char *scalar_check(struct arena *arena, const struct field *field, const char *text,
                         const char **fault)
{
	return scalar_check_in(arena, field, text, NULL, fault);
}
