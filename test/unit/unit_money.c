/* unit_money.c: every currency there and back, against ISO 4217, Stripe's rules and our SQL. */
#include <ctype.h>
#include <stdlib.h>

#include "internal.h"
#include "tap.h"

#define ISO "test/data/currency/iso4217_exponents.csv"
#define STRIPE "test/data/currency/stripe_minor_units.csv"
#define SQL "sql/shared/001_house.sql"

static struct arena *arena;

static const char *file_text(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");

	text[file ? fread(text, 1, sizeof(text) - 1, file) : 0] = '\0';
	if (!ok(file && !fclose(file) && *text, path))
		exit(1);
	return arena_copy(arena, text, strlen(text));
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : "";
}

/* The number in the code's row of a CSV file; -1 where there is none. */
static int number_of(const char *csv, const char *code)
{
	for (; *csv; csv = next_line(csv))
		if (!strncmp(csv, code, 3) && csv[3] == ',')
			return isdigit((unsigned char)csv[4]) ? csv[4] - '0' : -1;
	return -1;
}

/* What decimals() in SQL answers: the number behind THEN in the branch that names the code. */
static int sql_decimals(const char *sql, const char *code)
{
	const char *body = strstr(sql, "FUNCTION decimals("),
		   *end = body ? strstr(body, "END") : NULL;
	const char *named = body ? strstr(body, arena_printf(arena, "'%s'", code)) : NULL;
	const char *then = named && named < end ? strstr(named, "THEN ") : NULL;

	if (!then && end)
		then = strstr(body, "ELSE ");
	return then ? (int)strtol(then + 5, NULL, 10) : -1;
}

/* Amounts there and back: as text, and as Stripe's. */
static bool comes_back(const struct currency *currency, int64_t minor)
{
	int64_t parsed, amount, settled;

	if (!money_parse(money_text(arena, minor, currency), currency, &parsed) ||
	    parsed != minor)
		return false;
	return !money_to_stripe(minor, currency, &amount) ||
	       (money_from_stripe(amount, currency, &settled) && settled == minor);
}

static bool all_come_back(const struct currency *currency)
{
	for (int64_t minor = 0; minor <= 2000; minor++)
		if (!comes_back(currency, minor))
			return false;
	return comes_back(currency, 99999999) && comes_back(currency, 1000000000);
}

static void test_code(const char *code, const char *iso, const char *stripe, const char *sql)
{
	int decimals = number_of(iso, code), stripe_decimals = number_of(stripe, code);
	const struct currency *currency = currency_find(code);
	bool taken = decimals >= 0 && decimals <= 3 && strcmp(code, "UGX") != 0;

	is_int(currency != NULL, taken, arena_printf(arena, "%s is taken or not", code));
	if (decimals >= 0)
		is_int(sql_decimals(sql, code), decimals,
		       "SQL's decimals are those of ISO 4217");
	if (!currency)
		return;
	is_text(currency->code, code, "it is the one");
	is_int(currency->decimals, decimals, "its decimals are those of ISO 4217");
	is_int(currency->stripe_decimals, stripe_decimals < 0 ? decimals : stripe_decimals,
	       "Stripe's are as published");
	ok(all_come_back(currency), "its amounts come back");
}

static void test_all(void)
{
	const char *iso = file_text(ISO), *stripe = file_text(STRIPE), *sql = file_text(SQL);
	int count = 0;

	for (const char *line = next_line(iso); *line; line = next_line(line), count++)
		test_code(arena_copy(arena, line, 3), iso, stripe, sql);
	is_int(count, 178, "codes of ISO 4217");
	for (const char *line = next_line(stripe); *line; line = next_line(line))
		ok(strstr(iso, arena_copy(arena, line, 3)) != NULL,
		   "Stripe's code is one of ISO's");
}

static void test_unknown(void)
{
	static const char *const codes[] = {"",    "usd", "US",  "USDX", "XTS",
	                                    "XAU", "CLF", "UGX", "BTC",  "USD "};

	for (size_t i = 0; i < COUNT(codes); i++)
		ok(!currency_find(codes[i]),
		   arena_printf(arena, "'%s' is not taken", codes[i]));
}

/* clang-format off */
static const struct {
	const char *code, *text;
	int64_t     minor; /* -1: not an amount */
} texts[] = {
	{"USD", "19.99", 1999}, {"USD", "19.9", 1990}, {"USD", "19", 1900}, {"USD", "0", 0},
	{"USD", "0.01", 1}, {"USD", "007.50", 750}, {"USD", "9999999999.99", 999999999999},
	{"JPY", "500", 500}, {"KWD", "1.25", 1250}, {"KWD", "1.255", 1255},
	{"KWD", "9999999999.999", 9999999999999},
	{"USD", "19.999", -1}, {"USD", "19.990", -1}, {"JPY", "500.0", -1}, {"JPY", "500.", -1},
	{"KWD", "1.2555", -1}, {"USD", "10000000000", -1}, {"USD", "", -1}, {"USD", ".5", -1},
	{"USD", "5.", -1}, {"USD", "-1", -1}, {"USD", "+1", -1}, {"USD", " 1", -1}, {"USD", "1 ", -1},
	{"USD", "1e3", -1}, {"USD", "1,50", -1}, {"USD", "1.2.3", -1}, {"USD", "0x10", -1},
	{"USD", "99999999999999999999999999", -1},
};

static const struct {
	const char *code;
	int64_t     minor, amount; /* -1: cannot be expressed */
} charges[] = {
	{"USD", 1999, 1999}, {"JPY", 500, 500}, {"KWD", 1250, 1250}, {"KWD", 1255, -1}, {"BHD", 1, -1},
	{"JOD", 10, 10}, {"OMR", 15, -1}, {"TND", 15, -1}, {"ISK", 150, 15000}, {"MGA", 150, -1},
	{"MGA", 100, 1}, {"MGA", 1, -1}, {"HUF", 1050, 1050}, {"TWD", 1050, 1050}, {"USD", -1, -1},
	{"ISK", INT64_MAX / 10, -1},
};

static const struct {
	const char *code;
	int64_t     amount, minor;
} settled[] = {
	{"USD", 1999, 1999}, {"ISK", 15000, 150}, {"ISK", 150, -1}, {"MGA", 1, 100}, {"KWD", 1250, 1250},
	{"USD", -5, -1}, {"MGA", INT64_MAX / 10, -1},
};

static const struct {
	const char *code;
	int         minimum;
} minimums[] = {
	{"USD", 50}, {"AUD", 50}, {"BRL", 50}, {"CAD", 50}, {"CHF", 50}, {"EUR", 50}, {"INR", 50},
	{"NZD", 50}, {"SGD", 50}, {"GBP", 30}, {"DKK", 250}, {"NOK", 300}, {"SEK", 300}, {"HKD", 400},
	{"PLN", 200}, {"JPY", 50}, {"MXN", 1000}, {"KWD", 0},
};
/* clang-format on */

static void test_texts(void)
{
	for (size_t i = 0; i < COUNT(texts); i++) {
		int64_t minor = -1;
		bool good = money_parse(texts[i].text, currency_find(texts[i].code), &minor);

		is_int(good ? minor : -1, texts[i].minor,
		       arena_printf(arena, "'%s' %s", texts[i].text, texts[i].code));
		ok(good || minor == -1, "a refusal leaves the result alone");
	}
	is_text(money_text(arena, 1999, currency_find("USD")), "19.99", "1999 cents");
	is_text(money_text(arena, 5, currency_find("USD")), "0.05", "5 cents");
	is_text(money_text(arena, -5, currency_find("USD")), "-0.05", "5 cents owed");
	is_text(money_text(arena, -1999, currency_find("USD")), "-19.99", "1999 cents owed");
	is_text(money_text(arena, 500, currency_find("JPY")), "500", "500 yen");
	is_text(money_text(arena, 1250, currency_find("KWD")), "1.250", "1250 fils");
	is_text(money_text(arena, INT64_MIN, currency_find("USD")), "-92233720368547758.08",
	        "the smallest number");
}

static void test_stripe(void)
{
	for (size_t i = 0; i < COUNT(charges); i++) {
		int64_t amount = -1;
		bool good = money_to_stripe(charges[i].minor, currency_find(charges[i].code),
		                            &amount);

		is_int(good ? amount : -1, charges[i].amount,
		       arena_printf(arena, "%s %lld to Stripe", charges[i].code,
		                    (long long)charges[i].minor));
		ok(good || amount == -1, "a refusal leaves the result alone");
	}
	for (size_t i = 0; i < COUNT(settled); i++) {
		int64_t minor = -1;
		bool good = money_from_stripe(settled[i].amount, currency_find(settled[i].code),
		                              &minor);

		is_int(good ? minor : -1, settled[i].minor,
		       arena_printf(arena, "%s %lld from Stripe", settled[i].code,
		                    (long long)settled[i].amount));
	}
	for (size_t i = 0; i < COUNT(minimums); i++)
		is_int(currency_find(minimums[i].code)->minimum, minimums[i].minimum,
		       arena_printf(arena, "smallest charge in %s", minimums[i].code));
}

int main(void)
{
	arena = arena_new();
	test_all();
	test_unknown();
	test_texts();
	test_stripe();
	arena_destroy(arena);
	return done();
}
