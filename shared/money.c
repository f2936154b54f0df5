/* money.c: currencies, and amounts in their smallest units. */
#include <string.h>

#include "internal.h"

#define WHOLE_MAX 10 /* digits in front of the point */
#define NONE UINT8_MAX

/* clang-format off */
static const struct currency currencies[] = {
#define CURRENCY_ROW(code, decimals, stripe_decimals, minimum) {#code, decimals, stripe_decimals, minimum},
#include "currencies.def"
#undef CURRENCY_ROW
};
/* clang-format on */

/* Powers of ten up to the most decimals of a currency. */
static const int64_t scales[] = {1, 10, 100, 1000};

const struct currency *currency_find(const char *code)
{
	for (size_t i = 0; i < COUNT(currencies); i++)
		if (!strcmp(currencies[i].code, code))
			return currencies[i].stripe_decimals == NONE ? NULL : &currencies[i];
	return NULL;
}

bool money_parse(const char *text, const struct currency *currency, int64_t *minor)
{
	size_t whole = strspn(text, "0123456789");
	bool point = text[whole] == '.';
	size_t decimals = point ? strspn(text + whole + 1, "0123456789") : 0;
	int64_t value = 0;

	if (!whole || whole > WHOLE_MAX || (point && !decimals) ||
	    decimals > currency->decimals || text[whole + point + decimals])
		return false;
	for (; *text; text++)
		if (*text != '.')
			value = value * 10 + (*text - '0');
	*minor = value * scales[currency->decimals - decimals];
	return true;
}

const char *money_text(struct arena *arena, int64_t minor, const struct currency *currency)
{
	int64_t scale = scales[currency->decimals];
	const char *sign = minor < 0 ? "-" : "";
	int64_t whole = minor / scale, rest = minor % scale;

	if (scale == 1)
		return arena_printf(arena, "%lld", (long long)minor);
	return arena_printf(arena, "%s%lld.%0*lld", sign,
	                    (long long)(minor < 0 ? -whole : whole), (int)currency->decimals,
	                    (long long)(minor < 0 ? -rest : rest));
}

/* From one number of decimals to another.  False: not without a rest, or too large. */
static bool rescale(int64_t amount, unsigned from, unsigned to, int64_t *result)
{
	if (amount < 0)
		return false;
	if (to >= from)
		return !__builtin_mul_overflow(amount, scales[to - from], result);
	*result = amount / scales[from - to];
	return amount % scales[from - to] == 0;
}

/* Amounts with three decimals must end in 0. */
bool money_to_stripe(int64_t minor, const struct currency *currency, int64_t *amount)
{
	int64_t result;

	if (!rescale(minor, currency->decimals, currency->stripe_decimals, &result) ||
	    (currency->stripe_decimals == 3 && result % 10 != 0))
		return false;
	*amount = result;
	return true;
}

bool money_from_stripe(int64_t amount, const struct currency *currency, int64_t *minor)
{
	int64_t result;

	if (!rescale(amount, currency->stripe_decimals, currency->decimals, &result))
		return false;
	*minor = result;
	return true;
}
