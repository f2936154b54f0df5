/* currency.c: which amounts may be charged. */
#include "standin.h"

#include <string.h>

struct currency {
	const char code[4];
	int64_t minimum;
	int64_t step; /* amounts must be a multiple of it */
};

/* Those of ISO 4217 that Stripe names when it refuses another, but for UGX (see
 * shared/currencies.def).  It has fewer for some accounts, so that it alone can say.  Where no
 * smallest charge is published, 50. */
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

	{"afn", 50, 1}, {"all", 50, 1}, {"amd", 50, 1}, {"aoa", 50, 1}, {"ars", 50, 1},
	{"awg", 50, 1}, {"azn", 50, 1}, {"bam", 50, 1}, {"bbd", 50, 1}, {"bdt", 50, 1},
	{"bmd", 50, 1}, {"bnd", 50, 1}, {"bob", 50, 1}, {"bsd", 50, 1}, {"btn", 50, 1},
	{"bwp", 50, 1}, {"byn", 50, 1}, {"bzd", 50, 1}, {"cdf", 50, 1}, {"cny", 50, 1},
	{"cop", 50, 1}, {"crc", 50, 1}, {"cve", 50, 1}, {"dop", 50, 1}, {"dzd", 50, 1},
	{"egp", 50, 1}, {"etb", 50, 1}, {"fjd", 50, 1}, {"fkp", 50, 1}, {"gel", 50, 1},
	{"ghs", 50, 1}, {"gip", 50, 1}, {"gmd", 50, 1}, {"gtq", 50, 1}, {"gyd", 50, 1},
	{"hnl", 50, 1}, {"htg", 50, 1}, {"idr", 50, 1}, {"ils", 50, 1}, {"jmd", 50, 1},
	{"kes", 50, 1}, {"kgs", 50, 1}, {"khr", 50, 1}, {"kyd", 50, 1}, {"kzt", 50, 1},
	{"lak", 50, 1}, {"lbp", 50, 1}, {"lkr", 50, 1}, {"lrd", 50, 1}, {"lsl", 50, 1},
	{"mad", 50, 1}, {"mdl", 50, 1}, {"mkd", 50, 1}, {"mmk", 50, 1}, {"mnt", 50, 1},
	{"mop", 50, 1}, {"mur", 50, 1}, {"mvr", 50, 1}, {"mwk", 50, 1}, {"mzn", 50, 1},
	{"nad", 50, 1}, {"ngn", 50, 1}, {"nio", 50, 1}, {"npr", 50, 1}, {"pab", 50, 1},
	{"pen", 50, 1}, {"pgk", 50, 1}, {"php", 50, 1}, {"pkr", 50, 1}, {"qar", 50, 1},
	{"rsd", 50, 1}, {"rub", 50, 1}, {"sar", 50, 1}, {"sbd", 50, 1}, {"scr", 50, 1},
	{"shp", 50, 1}, {"sle", 50, 1}, {"sos", 50, 1}, {"srd", 50, 1}, {"svc", 50, 1},
	{"szl", 50, 1}, {"tjs", 50, 1}, {"top", 50, 1}, {"ttd", 50, 1}, {"tzs", 50, 1},
	{"uah", 50, 1}, {"uyu", 50, 1}, {"uzs", 50, 1}, {"wst", 50, 1}, {"xcd", 50, 1},
	{"yer", 50, 1}, {"zmw", 50, 1},
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
