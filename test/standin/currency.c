/* currency.c: which amounts may be charged. */
#include "standin.h"

#include <string.h>

struct currency {
	const char code[4];
	int64_t minimum;
	int64_t step; /* amounts must be a multiple of it */
};

/* clang-format off */
static const struct currency currencies[] = {
	{"usd", 50, 1}, {"aud", 50, 1}, {"brl", 50, 1}, {"cad", 50, 1}, {"chf", 50, 1},
	{"eur", 50, 1}, {"inr", 50, 1}, {"nzd", 50, 1}, {"sgd", 50, 1}, {"gbp", 30, 1},
	{"dkk", 250, 1}, {"nok", 300, 1}, {"sek", 300, 1}, {"hkd", 400, 1}, {"pln", 200, 1},
	{"mxn", 1000, 1}, {"czk", 1500, 1}, {"ron", 200, 1}, {"huf", 17500, 1},
	{"thb", 1000, 1}, {"myr", 200, 1}, {"aed", 200, 1}, {"zar", 50, 1}, {"try", 50, 1},
	{"isk", 100, 100}, {"twd", 50, 1},
	{"bif", 50, 1}, {"clp", 50, 1}, {"djf", 50, 1}, {"gnf", 50, 1}, {"jpy", 50, 1},
	{"kmf", 50, 1}, {"krw", 50, 1}, {"mga", 50, 1}, {"pyg", 50, 1}, {"rwf", 50, 1},
	{"vnd", 50, 1}, {"vuv", 50, 1}, {"xaf", 50, 1}, {"xof", 50, 1}, {"xpf", 50, 1},
	{"bhd", 500, 10}, {"jod", 500, 10}, {"kwd", 500, 10}, {"omr", 500, 10},
	{"tnd", 500, 10},
};
/* clang-format on */

bool check_amount(const char *currency, int64_t amount, struct answer *answer)
{
	const struct currency *found = NULL;

	for (size_t i = 0; i < COUNT(currencies) && !found; i++)
		if (strcmp(currencies[i].code, currency) == 0)
			found = &currencies[i];
	if (!found)
		return invalid(answer, NULL, "currency", "Invalid currency: %s.", currency);
	if (amount < 1)
		return invalid(answer, "parameter_invalid_integer", "amount",
		               "This value must be greater than or equal to 1.");
	if (amount < found->minimum)
		return invalid(answer, "amount_too_small", "amount",
		               "Amount must be at least %lld in the smallest unit of %s.",
		               (long long)found->minimum, currency);
	if (amount > AMOUNT_MAX)
		return invalid(answer, "amount_too_large", "amount",
		               "Amount must be no more than %d.", AMOUNT_MAX);
	if (amount % found->step)
		return invalid(answer, "invalid_charge_amount_no_decimal_compatible", "amount",
		               "Amount must be a multiple of %lld in %s.",
		               (long long)found->step, currency);
	return true;
}
