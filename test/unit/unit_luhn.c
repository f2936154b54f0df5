/* unit_luhn.c: which bodies hold a card number. */
#include "internal.h"
#include "tap.h"

static struct arena *arena;

static bool holds(const char *json)
{
	const struct json *body = json_parse(arena, json, strlen(json));

	if (!body) {
		ok(false, "the text is not JSON");
		return false;
	}
	return holds_card_number(body);
}

static bool holds_text(const char *text)
{
	return holds(arena_printf(arena, "{\"notes\":%s}", json_quote(arena, text)));
}

static void test_numbers(void)
{
	ok(holds_text("4242424242424242"), "sixteen digits");
	ok(holds_text("4222222222222"), "thirteen digits");
	ok(holds_text("378282246310005"), "fifteen digits");
	ok(holds_text("6304000000000000000"), "nineteen digits");
	ok(!holds_text("4242424242424241"), "a wrong check digit");
	ok(!holds_text("424242424242"), "twelve digits");
	ok(!holds_text("42424242424242424242"), "twenty digits");
	ok(!holds_text(""), "nothing");
	ok(!holds_text("2026-11-22 16:20:00"), "a time");
	ok(!holds_text("550e8400-e29b-41d4-a716-446655440000"), "a UUID");
	ok(!holds_text("+49 30 901820, +49 30 901821"), "two telephone numbers");
}

static void test_disguises(void)
{
	ok(holds_text("4242 4242 4242 4242"), "groups of four");
	ok(holds_text("4242-4242-4242-4242"), "hyphens");
	ok(holds_text("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2"), "single digits");
	ok(holds_text("4242 - 4242 -- 4242\t4242"), "mixed separators");
	ok(holds_text("4242\xc2\xa0"
	              "4242\xe2\x80\x91"
	              "4242\xe2\x80\x93"
	              "4242"),
	   "their look-alikes");
	ok(holds_text("my card is 4242 4242 4242 4242 12/28"), "with its date of expiry");
	ok(holds_text("4242 4242 4242 4242 123"), "with its code");
	ok(holds_text("12 4242424242424242"), "after another number");
	ok(holds_text("x4242424242424242y"), "between letters");
	ok(!holds_text("4242.4242.4242.4242"), "other separators");
	ok(holds("{\"notes\":\"\\uff14\\uff12\\uff14\\uff12 \\uff14\\uff12\\uff14\\uff12 "
	         "\\uff14\\uff12\\uff14\\uff12 \\uff14\\uff12\\uff14\\uff12\"}"),
	   "full-width digits");
	ok(holds("{\"notes\":\"\\u0664\\u06624242\\u06f4\\u06f242\\u096a\\u0968\\u096a\\u09684242\"}"),
	   "digits of several scripts");
	ok(!holds("{\"notes\":\"\\uff14\\uff12\\uff14\\uff12424242424241\"}"),
	   "full-width digits with a wrong check digit");
	ok(!holds_text("\xEF\xBC\x8F\xEF\xBC\x9A\xD9\x9F\xD9\xAA"), "their neighbours");
}

static void test_places(void)
{
	ok(holds("\"4242424242424242\""), "the whole body");
	ok(holds("{\"a\":[{\"b\":{\"c\":\"4242424242424242\"}}]}"), "deep inside");
	ok(holds("{\"4242424242424242\":1}"), "a name");
	ok(!holds("{\"quantity\":4242424242424242}"), "a number is no string");
	ok(!holds("{\"phone\":\"4242424242424242\",\"postal_code\":\"4242424242424242\","
	          "\"tracking_number\":\"4242424242424242\"}"),
	   "exempt fields");
	ok(!holds("{\"shipping_address\":{\"phone\":\"4242424242424242\"}}"),
	   "exempt deep inside");
	ok(holds("{\"phone\":\"1\",\"notes\":\"4242424242424242\"}"), "beside an exempt field");
	ok(holds("{\"phone\":[\"4242424242424242\"]}"), "a list under an exempt name");
	ok(!holds("{}"), "an empty object");
	ok(!holds("null"), "null");
}

int main(void)
{
	arena = arena_new();
	test_numbers();
	test_disguises();
	test_places();
	arena_destroy(arena);
	return done();
}
