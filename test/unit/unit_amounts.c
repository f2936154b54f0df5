/* unit_amounts.c: the amounts of a new row, judged by the currency that its body names. */
#include "internal.h"
#include "tap.h"

static struct arena *arena;

/* clang-format off */
static const struct field part[] = {{"price", MONEY}, {0}};

static const struct field ware[] = {
	{"price",    MONEY,    REQUIRED},
	{"currency", CURRENCY},
	{"stock",    INTEGER},
	{"parts",    LIST,     .fields = part},
	{"maker",    OBJECT,   NULLABLE, .fields = part},
	{0},
};

#define NO_MORE_THAN(decimals) "[\"Ensure that there are no more than " #decimals " decimal places.\"]"

static const struct {
	const char *usual, *json, *wanted;
} amounts[] = {
	{"USD", "{\"price\":\"1.999\",\"stock\":-1}",
	 "!\"price\":" NO_MORE_THAN(2) ",\"stock\":[\"Ensure this value is greater than or equal to 1.\"]"},
	{"USD", "{\"price\":\"1.990\"}", "!\"price\":" NO_MORE_THAN(2)},
	{"USD", "{\"price\":1.990}", "{\"price\":\"1.99\"}"},
	{"USD", "{\"price\":\"1.2345\"}", "!\"price\":" NO_MORE_THAN(2)},
	{"USD", "{\"price\":\"-1.999\"}", "!\"price\":[\"Ensure this value is greater than or equal to 0.\"]"},
	{"USD", "{\"price\":1,\"parts\":[{\"price\":\"1.00\"},{\"price\":2.125}],\"maker\":{\"price\":\"0.000\"}}",
	 "!\"parts[1].price\":" NO_MORE_THAN(2) ",\"maker.price\":" NO_MORE_THAN(2)},
	/* The body's currency comes first, even behind its amounts. */
	{"USD", "{\"price\":\"1.999\",\"currency\":\"KWD\"}", "{\"price\":\"1.999\",\"currency\":\"KWD\"}"},
	{"USD", "{\"price\":\"1.999\",\"currency\":\" KWD \"}", "{\"price\":\"1.999\",\"currency\":\"KWD\"}"},
	{"KWD", "{\"price\":\"1.999\"}", "{\"price\":\"1.999\"}"},
	{"KWD", "{\"price\":\"1.9990\"}", "!\"price\":" NO_MORE_THAN(3)},
	{"USD", "{\"price\":\"500.0\",\"currency\":\"JPY\"}", "!\"price\":" NO_MORE_THAN(0)},
	{"USD", "{\"price\":500.0,\"currency\":\"JPY\"}", "{\"price\":\"500\",\"currency\":\"JPY\"}"},
	{"JPY", "{\"price\":0.5}", "!\"price\":" NO_MORE_THAN(0)},
	/* None that is known: three decimals, for whoever knows it. */
	{"USD", "{\"price\":\"1.999\",\"currency\":\"usd\"}", "!\"currency\":[\"\\\"usd\\\" is not a valid choice.\"]"},
	{"USD", "{\"price\":\"1.999\",\"currency\":5}", "!\"currency\":[\"Not a valid string.\"]"},
	{"USD", "{\"price\":\"1.999\",\"currency\":null}", "!\"currency\":[\"This field may not be null.\"]"},
	{NULL, "{\"price\":\"1.999\",\"currency\":\"JPY\"}", "{\"price\":\"1.999\",\"currency\":\"JPY\"}"},
	{NULL, "{\"price\":\"1.2345\"}", "!\"price\":" NO_MORE_THAN(3)},
	{"USD", "[]", "!\"non_field_errors\":[\"Invalid data. Expected a dictionary, but got list.\"]"},
};
/* clang-format on */

/* The canonical body, or "!" and the errors. */
static const char *outcome(const struct field *shape, const char *usual, const char *text)
{
	const struct json *json = json_parse(arena, text, strlen(text));
	struct params params = {0};
	struct errors errors = {.text.arena = arena, .usual_currency = usual};

	if (!json)
		return "not JSON";
	shape_check_body(arena, shape, json, &params, &errors);
	return errors.count ? arena_printf(arena, "!%s", errors.text.bytes)
	                    : params_find(&params, "body")->value;
}

int main(void)
{
	arena = arena_new();
	for (size_t i = 0; i < COUNT(amounts); i++)
		is_text(outcome(ware, amounts[i].usual, amounts[i].json), amounts[i].wanted,
		        json_quote(arena, amounts[i].json));
	is_text(outcome(part, "JPY", "{\"price\":\"1.999\"}"), "{\"price\":\"1.999\"}",
	        "a shape without a currency leaves its amounts to the row");
	arena_destroy(arena);
	return done();
}
