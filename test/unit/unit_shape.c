/* unit_shape.c: bodies and query strings against shapes: what becomes of them, what is refused.
 */
#include <time.h>

#include "internal.h"
#include "tap.h"

static struct arena *arena;
static struct params params;
static struct errors errors;

static void reset(void)
{
	params = (struct params){0};
	errors = (struct errors){.text.arena = arena};
}

/* What the client would see of a body: its canonical form, or "!" and the errors. */
static const char *outcome(const struct field *shape, const char *text)
{
	const struct json *json = json_parse_any(arena, text, strlen(text));

	if (!json)
		return "not JSON";
	reset();
	shape_check_body(arena, shape, json, &params, &errors);
	return errors.count ? arena_printf(arena, "!%s", errors.text.bytes)
	                    : params_find(&params, "body")->value;
}

static const char *query_outcome(const struct field *shape, const char *query)
{
	struct text out = {.arena = arena};

	reset();
	shape_check_query(arena, shape, query, &params, &errors);
	if (errors.count)
		return arena_printf(arena, "!%s", errors.text.bytes);
	for (size_t i = 0; i < params.count; i++)
		if (params.list[i].sent)
			text_printf(&out, "%s%s=%s", out.size ? "&" : "", params.list[i].name,
			            params.list[i].value);
	return out.size ? out.bytes : "";
}

static const char *value_of(const char *name)
{
	struct param *param = params_find(&params, name);

	return param ? param->value : "(not declared)";
}

/* ---- Values ---- */

/* clang-format off */
enum {
	ANY_TEXT, NAMED, LIMITED, PASSWORD_TEXT, MAIL, LINK, LABEL, ID, COUNTER, BELOW, PRICE, FLAG, DAY, MOMENT,
	PICK, MONEY_CODE, LIST_OF_IDS, WHATEVER,
};

static const struct field kinds[] = {
	[ANY_TEXT]      = {"v", TEXT},
	[NAMED]         = {"v", TEXT, .min = 1},
	[LIMITED]       = {"v", TEXT, .min = 2, .max = 4},
	[PASSWORD_TEXT] = {"v", TEXT, SECRET, .min = 8, .max = 128},
	[MAIL]          = {"v", EMAIL},
	[LINK]          = {"v", URL, .max = 40},
	[LABEL]         = {"v", SLUG, .max = 10},
	[ID]            = {"v", INTEGER},
	[COUNTER]       = {"v", INTEGER, .min = 0, .max = 5},
	[BELOW]         = {"v", INTEGER, .min = -3},
	[PRICE]         = {"v", MONEY},
	[FLAG]          = {"v", BOOLEAN},
	[DAY]           = {"v", DATE},
	[MOMENT]        = {"v", TIME},
	[PICK]          = {"v", CHOICE, .choices = "one two -two"},
	[MONEY_CODE]    = {"v", CURRENCY},
	[LIST_OF_IDS]   = {"v", IDS, .max = 3},
	[WHATEVER]      = {"v", ANY},
};

#define BLANK      "!This field may not be blank."
#define NO_STRING  "!Not a valid string."
#define NO_EMAIL   "!Enter a valid email address."
#define NO_URL     "!Enter a valid URL."
#define NO_SLUG    "!Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens."
#define NO_INTEGER "!A valid integer is required."
#define NO_NUMBER  "!A valid number is required."
#define NO_BOOLEAN "!Must be a valid boolean."
#define NO_DATE    "!Date has wrong format. Use one of these formats instead: YYYY-MM-DD."
#define NO_TIME    "!Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm:ss[.uuuuuu](Z|+HH:MM|-HH:MM)."
#define CONTROL    "!Control characters are not allowed."
#define AT_LEAST   "!Ensure this value is greater than or equal to "
#define AT_MOST    "!Ensure this value is less than or equal to "
#define SIXTY_THREE "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SIXTY_FOUR  "a" SIXTY_THREE

static const struct {
	int         kind;
	const char *json, *wanted; /* the parameter; "!" and the message where it is refused */
} values[] = {
	{ANY_TEXT, "\"\"", ""}, {ANY_TEXT, "\" a b \\t\\n\"", "a b"}, {ANY_TEXT, "\"a\\tb\\r\\nc\"", "a\tb\r\nc"},
	{ANY_TEXT, "\"\\u00a0\\u2003x\\u3000\\u2028\"", "x"}, {ANY_TEXT, "\"\\u3001x\\u00e0\"", "\xe3\x80\x81x\xc3\xa0"},
	{ANY_TEXT, "\" \"", ""}, {ANY_TEXT, "\"\\u0007\"", CONTROL}, {ANY_TEXT, "\"a\\u007f\"", CONTROL},
	{ANY_TEXT, "\"a\\u0085b\"", CONTROL}, {ANY_TEXT, "\"\\u00a1\"", "\xc2\xa1"}, {ANY_TEXT, "5", NO_STRING},
	{ANY_TEXT, "true", NO_STRING}, {ANY_TEXT, "[]", NO_STRING}, {ANY_TEXT, "{}", NO_STRING},
	{ANY_TEXT, "null", "!This field may not be null."},
	{NAMED, "\"\"", BLANK}, {NAMED, "\" \\n \"", BLANK}, {NAMED, "\"x\"", "x"},
	{LIMITED, "\"a\"", "!Ensure this field has at least 2 characters."},
	{LIMITED, "\" a \"", "!Ensure this field has at least 2 characters."},
	{LIMITED, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"},
	{LIMITED, "\"\xc3\xa9\"", "!Ensure this field has at least 2 characters."},
	{LIMITED, "\"abcde\"", "!Ensure this field has no more than 4 characters."}, {LIMITED, "\" abcd \"", "abcd"},
	{PASSWORD_TEXT, "\" \\u0001 spaces \"", " \x01 spaces "}, {PASSWORD_TEXT, "\"\"", BLANK},
	{PASSWORD_TEXT, "\"1234567\"", "!Ensure this field has at least 8 characters."},
	{PASSWORD_TEXT, "12345678", NO_STRING},

	{MAIL, "\"a@b.co\"", "a@b.co"}, {MAIL, "\" First.Last+tag@Sub.Example-1.org \"", "First.Last+tag@Sub.Example-1.org"},
	{MAIL, "\"o'neil@x.museum\"", "o'neil@x.museum"}, {MAIL, "\"\"", BLANK}, {MAIL, "\"a\"", NO_EMAIL},
	{MAIL, "\"@b.co\"", NO_EMAIL}, {MAIL, "\"a@\"", NO_EMAIL}, {MAIL, "\"a@b\"", NO_EMAIL}, {MAIL, "\"a@b.c\"", NO_EMAIL},
	{MAIL, "\"a@@b.co\"", NO_EMAIL}, {MAIL, "\"a@b@c.co\"", NO_EMAIL}, {MAIL, "\"a b@c.co\"", NO_EMAIL},
	{MAIL, "\".a@b.co\"", NO_EMAIL}, {MAIL, "\"a.@b.co\"", NO_EMAIL}, {MAIL, "\"a..b@c.co\"", NO_EMAIL},
	{MAIL, "\"a@.co\"", NO_EMAIL}, {MAIL, "\"a@b..co\"", NO_EMAIL}, {MAIL, "\"a@-b.co\"", NO_EMAIL},
	{MAIL, "\"a@b-.co\"", NO_EMAIL}, {MAIL, "\"a@b.co.\"", NO_EMAIL}, {MAIL, "\"a@1.2.3.44\"", NO_EMAIL},
	{MAIL, "\"a@b.co\\nBcc: x@y.zz\"", NO_EMAIL}, {MAIL, "\"<a@b.co>\"", NO_EMAIL},
	{MAIL, "\"" SIXTY_FOUR "@b.co\"", SIXTY_FOUR "@b.co"}, {MAIL, "\"a" SIXTY_FOUR "@b.co\"", NO_EMAIL},
	{MAIL, "\"a@" SIXTY_FOUR ".co\"", NO_EMAIL}, {MAIL, "7", NO_STRING},
	{MAIL, "\"a@" SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR SIXTY_FOUR ".co\"",
	 "!Ensure this field has no more than 254 characters."},

	{LINK, "\"https://shop.example/a.png?x=1#y\"", "https://shop.example/a.png?x=1#y"},
	{LINK, "\"HTTP://localhost:8000\"", "HTTP://localhost:8000"}, {LINK, "\"http://[::1]:80/\"", "http://[::1]:80/"},
	{LINK, "\"/media/a.png\"", "/media/a.png"}, {LINK, "\"/\"", "/"}, {LINK, "\"\"", BLANK}, {LINK, "\"//evil.example/\"", NO_URL},
	{LINK, "\"media/a.png\"", NO_URL}, {LINK, "\"javascript:alert(1)\"", NO_URL}, {LINK, "\"ftp://a/\"", NO_URL},
	{LINK, "\"http://\"", NO_URL}, {LINK, "\"http:///a\"", NO_URL}, {LINK, "\"http://user@host/\"", NO_URL},
	{LINK, "\"http://a:b/\"", NO_URL}, {LINK, "\"http://a:123456/\"", NO_URL}, {LINK, "\"http://a b/\"", NO_URL},
	{LINK, "\"http://a\\\\b/\"", NO_URL}, {LINK, "\"/a b\"", NO_URL}, {LINK, "\"/a\\\"b\"", NO_URL}, {LINK, "\"/a\\nb\"", NO_URL},
	{LINK, "\"http://[::1/\"", NO_URL}, {LINK, "\"http://[]/\"", NO_URL}, {LINK, "\"https://.a/\"", NO_URL},
	{LINK, "\"/0123456789012345678901234567890123456789\"", "!Ensure this field has no more than 40 characters."},

	{LABEL, "\"Red-shoe_1\"", "Red-shoe_1"}, {LABEL, "\"\"", BLANK}, {LABEL, "\"a b\"", NO_SLUG}, {LABEL, "\"a/b\"", NO_SLUG},
	{LABEL, "\"\xc3\xa9\"", NO_SLUG}, {LABEL, "\"12345678901\"", "!Ensure this field has no more than 10 characters."},

	{ID, "1", "1"}, {ID, "9007199254740991", "9007199254740991"}, {ID, "9007199254740992", NO_INTEGER},
	{ID, "9007199254740993", NO_INTEGER}, {ID, "1e300", NO_INTEGER}, {ID, "0", AT_LEAST "1."}, {ID, "-1", AT_LEAST "1."},
	{ID, "2.0", "2"}, {ID, "2.5", NO_INTEGER}, {ID, "1e3", "1000"}, {ID, "\"5\"", NO_INTEGER}, {ID, "true", NO_INTEGER},
	{ID, "[1]", NO_INTEGER}, {ID, "4294967297", "4294967297"}, {ID, "-0", AT_LEAST "1."},
	{COUNTER, "0", "0"}, {COUNTER, "5", "5"}, {COUNTER, "6", AT_MOST "5."}, {COUNTER, "-1", AT_LEAST "0."},
	{COUNTER, "-0.0", "0"}, {BELOW, "-3", "-3"}, {BELOW, "-4", AT_LEAST "-3."}, {BELOW, "1", AT_MOST "0."},

	{PRICE, "\"19.99\"", "19.99"}, {PRICE, "19.99", "19.99"}, {PRICE, "0", "0"}, {PRICE, "\"0.000\"", "0.000"},
	{PRICE, "\" 007.50 \"", "7.50"}, {PRICE, "1.005", "1.005"}, {PRICE, "\"-0\"", "0"}, {PRICE, "1e2", "100"},
	{PRICE, "\"9999999999.999\"", "9999999999.999"}, {PRICE, "9999999999.99", "9999999999.99"},
	{PRICE, "\"10000000000\"", "!Ensure that there are no more than 10 digits before the decimal point."},
	{PRICE, "\"1.2345\"", "!Ensure that there are no more than 3 decimal places."},
	{PRICE, "1.2345", "!Ensure that there are no more than 3 decimal places."},
	{PRICE, "-1", AT_LEAST "0."}, {PRICE, "\"-0.01\"", AT_LEAST "0."}, {PRICE, "-0.5", AT_LEAST "0."},
	{PRICE, "0.30000000000000004", NO_NUMBER}, {PRICE, "1e-9", NO_NUMBER}, {PRICE, "1e300", NO_NUMBER},
	{PRICE, "\"\"", NO_NUMBER}, {PRICE, "\"1e3\"", NO_NUMBER}, {PRICE, "\"NaN\"", NO_NUMBER}, {PRICE, "\"Infinity\"", NO_NUMBER},
	{PRICE, "\"1,50\"", NO_NUMBER}, {PRICE, "\".5\"", NO_NUMBER}, {PRICE, "\"5.\"", NO_NUMBER}, {PRICE, "\"1 000\"", NO_NUMBER},
	{PRICE, "\"--1\"", NO_NUMBER}, {PRICE, "true", NO_NUMBER}, {PRICE, "[]", NO_NUMBER},

	{FLAG, "true", "true"}, {FLAG, "false", "false"}, {FLAG, "\"true\"", NO_BOOLEAN}, {FLAG, "1", NO_BOOLEAN},
	{FLAG, "null", "!This field may not be null."}, {FLAG, "{}", NO_BOOLEAN},

	{DAY, "\"2024-02-29\"", "2024-02-29"}, {DAY, "\"2000-02-29\"", "2000-02-29"}, {DAY, "\"2400-02-29\"", "2400-02-29"}, {DAY, "\"1900-02-29\"", NO_DATE},
	{DAY, "\"2023-02-29\"", NO_DATE}, {DAY, "\"2024-04-31\"", NO_DATE}, {DAY, "\"2024-12-31\"", "2024-12-31"},
	{DAY, "\"2024-13-01\"", NO_DATE}, {DAY, "\"2024-00-01\"", NO_DATE}, {DAY, "\"2024-01-00\"", NO_DATE},
	{DAY, "\"0000-01-01\"", NO_DATE}, {DAY, "\"0001-01-01\"", "0001-01-01"}, {DAY, "\"2024-1-01\"", NO_DATE},
	{DAY, "\"2024-01-01T00:00:00Z\"", NO_DATE}, {DAY, "\"\"", NO_DATE}, {DAY, "20240101", NO_DATE}, {DAY, "\"20240101\"", NO_DATE},
	{DAY, "\"today\"", NO_DATE}, {DAY, "\"infinity\"", NO_DATE},

	{MOMENT, "\"2024-02-29T23:59:59Z\"", "2024-02-29T23:59:59Z"},
	{MOMENT, "\"2024-02-29t00:00:00.123456789z\"", "2024-02-29t00:00:00.123456789z"},
	{MOMENT, "\"2024-02-29 12:00:00+05:30\"", "2024-02-29 12:00:00+05:30"},
	{MOMENT, "\"2024-02-29T12:00:00-15:59\"", "2024-02-29T12:00:00-15:59"},
	{MOMENT, "\"2024-02-29T12:00:00-16:00\"", NO_TIME}, {MOMENT, "\"2024-02-29T12:00:00+01:60\"", NO_TIME},
	{MOMENT, "\"2024-02-29T12:00:00\"", NO_TIME}, {MOMENT, "\"2024-02-29\"", NO_TIME}, {MOMENT, "\"2024-02-29T24:00:00Z\"", NO_TIME},
	{MOMENT, "\"2024-02-29T12:60:00Z\"", NO_TIME}, {MOMENT, "\"2024-02-29T12:00:60Z\"", NO_TIME},
	{MOMENT, "\"2024-02-29T12:00:00.Z\"", NO_TIME}, {MOMENT, "\"2024-02-29T12:00:00.1234567890Z\"", NO_TIME},
	{MOMENT, "\"2024-02-29T12:00:00Zx\"", NO_TIME}, {MOMENT, "\"2024-02-29T12:00:00+0100\"", NO_TIME},
	{MOMENT, "\"2024-02-30T12:00:00Z\"", NO_TIME}, {MOMENT, "1700000000", NO_TIME}, {MOMENT, "\"now\"", NO_TIME},

	{PICK, "\"one\"", "one"}, {PICK, "\"-two\"", "-two"}, {PICK, "\"\"", "!\"\" is not a valid choice."},
	{PICK, "\"One\"", "!\"One\" is not a valid choice."}, {PICK, "\"on\"", "!\"on\" is not a valid choice."},
	{PICK, "\"one two\"", "!\"one two\" is not a valid choice."}, {PICK, "1", NO_STRING},
	{PICK, "\"" SIXTY_FOUR "a\"", "!\"" SIXTY_FOUR "\" is not a valid choice."},
	{PICK, "\"" SIXTY_THREE "\xc3\xa9\"", "!\"" SIXTY_THREE "\" is not a valid choice."},
	{MONEY_CODE, "\"KWD\"", "KWD"}, {MONEY_CODE, "\"kwd\"", "!\"kwd\" is not a valid choice."},
	{MONEY_CODE, "\"XAU\"", "!\"XAU\" is not a valid choice."}, {MONEY_CODE, "5", NO_STRING},

	{LIST_OF_IDS, "\"1, 22 ,003\"", "1,22,3"}, {LIST_OF_IDS, "\"7\"", "7"}, {LIST_OF_IDS, "\"\"", NO_INTEGER},
	{LIST_OF_IDS, "\"1,\"", NO_INTEGER}, {LIST_OF_IDS, "\"1,,2\"", NO_INTEGER}, {LIST_OF_IDS, "\"0\"", NO_INTEGER},
	{LIST_OF_IDS, "\"-1\"", NO_INTEGER}, {LIST_OF_IDS, "\"1;2\"", NO_INTEGER}, {LIST_OF_IDS, "\"9007199254740992\"", NO_INTEGER},
	{LIST_OF_IDS, "\"1,2,3,4\"", "!Ensure this field has no more than 3 elements."}, {LIST_OF_IDS, "[1]", NO_STRING},

	{WHATEVER, "{\"a\":[1,true,null,\"x\"]}", "{\"a\":[1,true,null,\"x\"]}"}, {WHATEVER, "1e308", "1e+308"},
	{WHATEVER, "1e400", NO_NUMBER}, {WHATEVER, "{\"a\":[1,-1e400]}", NO_NUMBER}, {ID, "1e400", NO_INTEGER},
	{BELOW, "-1e400", NO_INTEGER}, {PRICE, "1e400", NO_NUMBER}, {PRICE, "-1e400", NO_NUMBER}, {FLAG, "1e400", NO_BOOLEAN},
	{DAY, "1e400", NO_DATE}, {MOMENT, "1e400", NO_TIME}, {ANY_TEXT, "1e400", NO_STRING}, {PICK, "1e400", NO_STRING},
};
/* clang-format on */

static void test_values(void)
{
	for (size_t i = 0; i < COUNT(values); i++) {
		struct field shape[] = {kinds[values[i].kind], {0}};
		const char *wanted = values[i].wanted;
		const char *name =
			arena_printf(arena, "%d: %s", values[i].kind, values[i].json);
		const char *body =
			outcome(shape, arena_printf(arena, "{\"v\":%s}", values[i].json));

		if (*wanted == '!' && *body == '!')
			is_text(body,
			        arena_printf(arena, "!\"v\":[%s]",
			                     json_quote(arena, wanted + 1)),
			        name);
		else
			is_text(*body == '!' ? body : value_of("v"), wanted, name);
	}
}

/* ---- Bodies ---- */

/* clang-format off */
static const struct field line[] = {
	{"product_id", INTEGER, REQUIRED},
	{"quantity",   INTEGER, REQUIRED, .min = 1, .max = 10},
	{"note",       TEXT,    NULLABLE},
	{"subtotal",   MONEY,   READ_ONLY},
	{0},
};

static const struct field place[] = {{"city", TEXT, REQUIRED, .min = 1}, {0}};

static const struct field order[] = {
	{"items",   LIST,    REQUIRED, .min = 1, .max = 3, .fields = line},
	{"id",      INTEGER, READ_ONLY},
	{"address", OBJECT,  NULLABLE, .fields = place},
	{"options", OBJECT},
	{"total",   MONEY,   NULLABLE},
	{"gift",    BOOLEAN},
	{0},
};

#define ITEM "{\"product_id\":1,\"quantity\":2}"
#define DICT "Invalid data. Expected a dictionary, but got "

static const struct {
	const char *json, *wanted;
} bodies[] = {
	{"{\"items\":[" ITEM "]}", "{\"items\":[" ITEM "]}"},
	/* In the shape's order, in canonical form, without what is read-only. */
	{"{\"gift\":true,\"total\":19.50,\"id\":{\"x\":[1]},\"options\":{\"Size\":\" L \"},\"address\":{\"city\":\"\\u00c5\\\"\"},"
	 "\"items\":[{\"subtotal\":\"x\",\"quantity\":2.0,\"product_id\":1,\"note\":null}]}",
	 "{\"items\":[{\"product_id\":1,\"quantity\":2,\"note\":null}],\"address\":{\"city\":\"\xc3\x85\\\"\"},"
	 "\"options\":{\"Size\":\"L\"},\"total\":\"19.5\",\"gift\":true}"},
	{"{\"items\":[" ITEM "],\"address\":null,\"total\":null,\"options\":{}}",
	 "{\"items\":[" ITEM "],\"address\":null,\"options\":{},\"total\":null}"},
	{"{\"items\":[" ITEM "," ITEM "," ITEM "]}", "{\"items\":[" ITEM "," ITEM "," ITEM "]}"},
	{"{}", "!\"items\":[\"This field is required.\"]"},
	{"{\"items\":null,\"gift\":null}", "!\"items\":[\"This field may not be null.\"],\"gift\":[\"This field may not be null.\"]"},
	{"{\"items\":[]}", "!\"items\":[\"This list may not be empty.\"]"},
	{"{\"items\":[" ITEM "," ITEM "," ITEM "," ITEM "]}", "!\"items\":[\"Ensure this field has no more than 3 elements.\"]"},
	{"{\"items\":\"x\"}", "!\"items\":[\"Expected a list of items but got type \\\"str\\\".\"]"},
	{"{\"items\":{}}", "!\"items\":[\"Expected a list of items but got type \\\"dict\\\".\"]"},
	{"{\"items\":[1,\"x\",null," ITEM "]}", "!\"items\":[\"Ensure this field has no more than 3 elements.\"]"},
	{"{\"items\":[1.5,[],null]}", "!\"items[0]\":[\"" DICT "float.\"],\"items[1]\":[\"" DICT "list.\"],"
	 "\"items[2]\":[\"" DICT "NoneType.\"]"},
	/* All at once, each under its own name. */
	{"{\"items\":[" ITEM ",{\"quantity\":0,\"colour\":1}],\"address\":{\"city\":\"\",\"zip\":\"1\"},\"gift\":1,\"x\":2}",
	 "!\"items[1].product_id\":[\"This field is required.\"],"
	 "\"items[1].quantity\":[\"Ensure this value is greater than or equal to 1.\"],"
	 "\"items[1].colour\":[\"Unknown field.\"],\"address.city\":[\"This field may not be blank.\"],"
	 "\"address.zip\":[\"Unknown field.\"],\"gift\":[\"Must be a valid boolean.\"],\"x\":[\"Unknown field.\"]"},
	{"{\"items\":[" ITEM "],\"Gift\":true}", "!\"Gift\":[\"Unknown field.\"]"},
	{"{\"items\":[" ITEM "],\"\":1}", "!\"\":[\"Unknown field.\"]"},
	{"{\"items\":[" ITEM "],\"a\\\"\\n\":1}", "!\"a\\\"\\n\":[\"Unknown field.\"]"},
	{"{\"items\":[" ITEM "],\"address\":\"x\"}", "!\"address\":[\"" DICT "str.\"]"},
	{"{\"items\":[" ITEM "],\"options\":[]}", "!\"options\":[\"Expected a dictionary of items but got type \\\"list\\\".\"]"},
	{"{\"items\":[" ITEM "],\"options\":{\"a\":1,\"b\":null}}",
	 "!\"options.a\":[\"Not a valid string.\"],\"options.b\":[\"Not a valid string.\"]"},
	{"{\"items\":[" ITEM "],\"options\":{\" a\":\"x\"}}",
	 "!\"options\":[\"Names have 1 to 64 characters and no spaces around them.\"]"},
	{"{\"items\":[" ITEM "],\"options\":{\"\":\"x\"}}",
	 "!\"options\":[\"Names have 1 to 64 characters and no spaces around them.\"]"},
	{"{\"items\":[" ITEM "],\"options\":{\"a\":{}}}", "!\"options.a\":[\"Not a valid string.\"]"},
	{"[]", "!\"non_field_errors\":[\"" DICT "list.\"]"},
	{"null", "!\"non_field_errors\":[\"" DICT "NoneType.\"]"},
	{"5", "!\"non_field_errors\":[\"" DICT "int.\"]"},
	{"true", "!\"non_field_errors\":[\"" DICT "bool.\"]"},
	{"\"{}\"", "!\"non_field_errors\":[\"" DICT "str.\"]"},
	{"1e400", "!\"non_field_errors\":[\"" DICT "float.\"]"},
	{"{\"items\":1e400,\"id\":1e400,\"x\":1e400}",
	 "!\"items\":[\"Expected a list of items but got type \\\"float\\\".\"],\"x\":[\"Unknown field.\"]"},
};
/* clang-format on */

static void test_bodies(void)
{
	for (size_t i = 0; i < COUNT(bodies); i++)
		is_text(outcome(order, bodies[i].json), bodies[i].wanted,
		        json_quote(arena, bodies[i].json));
}

static void test_parameters(void)
{
	outcome(order, "{\"items\":[" ITEM "],\"address\":null,\"gift\":false,\"id\":7}");
	is_text(value_of("items"), "[" ITEM "]", "a list is a parameter");
	is_text(value_of("gift"), "false", "so is a boolean");
	is_text(value_of("address"), NULL, "null has no value");
	ok(params_find(&params, "address")->sent, "but was sent");
	is_text(value_of("total"), NULL, "what was left out has none either");
	ok(!params_find(&params, "total")->sent, "and was not sent");
	is_text(value_of("id"), "(not declared)", "a read-only field is no parameter");
	is_int((long long)params.count, 6, "five fields and the body");
	params_set(&params, "gift", "true", true);
	is_text(value_of("gift"), "true", "a parameter can be set again");
	is_int((long long)params.count, 6, "which adds none");
}

static const char *members(int count, const char *value)
{
	struct text text = {.arena = arena};

	for (int i = 0; i < count; i++)
		text_printf(&text, "%s\"n%d\":%s", i ? "," : "", i, value);
	return text.bytes;
}

static void test_many(void)
{
	const char *good = members(50, "\"x\""), *bad = members(51, "\"x\"");
	clock_t start = clock();

	outcome(order, arena_printf(arena, "{\"items\":[" ITEM "],\"options\":{%s}}", good));
	is_text(value_of("options"), arena_printf(arena, "{%s}", good), "50 options");
	is_text(outcome(order,
	                arena_printf(arena, "{\"items\":[" ITEM "],\"options\":{%s}}", bad)),
	        "!\"options\":[\"Ensure this field has no more than 50 elements.\"]",
	        "51 options");
	outcome(order, arena_printf(arena, "{%s}", members(80000, "0")));
	is_int((long long)errors.count, 100, "of 80000 errors 100 are told");
	ok(clock() - start < 2 * CLOCKS_PER_SEC, "which does not take long");
}

static void test_errors(void)
{
	reset();
	errors_add(&errors, "a", "first");
	errors_add(&errors, "a", "second");
	errors_add(&errors, "b", "\"a\":[");
	errors_add(&errors, "\"a", "x");
	is_text(errors.text.bytes,
	        "\"a\":[\"first\"],\"b\":[\"\\\"a\\\":[\"],\"\\\"a\":[\"x\"]",
	        "a field's first error stays, whatever other messages hold");
	is_int((long long)errors.count, 3, "and is counted once");
}

/* ---- Query strings ---- */

/* clang-format off */
static const struct field filter[] = {
	PAGE_FIELDS,
	{"search",   TEXT,   .max = 10},
	{"category", SLUG},
	{"max",      MONEY},
	{"in_stock", BOOLEAN},
	{"ids",      IDS,    .max = 3},
	{"ordering", CHOICE, .choices = "price -price"},
	{0},
};

static const struct field needed[] = {{"user_id", INTEGER, REQUIRED}, {0}};

#define MALFORMED "[\"Malformed percent-encoding.\"]"
#define TWICE     "[\"This parameter may be given only once.\"]"

static const struct {
	const char *query, *wanted;
} queries[] = {
	{"", ""},
	{"page=2&page_size=50", "page=2&page_size=50"},
	{"search=a%20b+c%2B", "search=a b c+"},
	{"search=%e2%82%ac", "search=\xe2\x82\xac"},
	{"%73earch=x", "search=x"},
	{"search=", "search="}, {"search", "search="}, {"search==", "search=="},
	{"&&page=2&&", "page=2"},
	{"utm=1&utm=2&page=3&Page=x", "page=3"},
	{"in_stock=True", "in_stock=true"}, {"in_stock=0", "in_stock=false"}, {"in_stock=1", "in_stock=true"},
	{"ids=3,%202,1", "ids=3,2,1"}, {"ordering=-price", "ordering=-price"}, {"max=9.5", "max=9.5"},
	{"page=0", "!\"page\":[\"Ensure this value is greater than or equal to 1.\"]"},
	{"page=1000001", "page=1000001"}, {"cursor=", "cursor="},
	{"page=x&max=y&in_stock=z&ordering=name",
	 "!\"page\":[\"A valid integer is required.\"],\"max\":[\"A valid number is required.\"],"
	 "\"in_stock\":[\"Must be a valid boolean.\"],\"ordering\":[\"\\\"name\\\" is not a valid choice.\"]"},
	{"page=", "!\"page\":[\"A valid integer is required.\"]"},
	{"page=1e3", "!\"page\":[\"A valid integer is required.\"]"}, {"page=2.0", "!\"page\":[\"A valid integer is required.\"]"},
	{"page=99999999999999999999", "!\"page\":[\"A valid integer is required.\"]"},
	{"page=+1", "page=1"}, /* a space */
	{"page=%2B1", "!\"page\":[\"A valid integer is required.\"]"},
	{"page=1&page=1", "!\"page\":" TWICE}, {"page=1&p%61ge=2", "!\"page\":" TWICE}, {"page=x&page=y", "!\"page\":[\"A valid integer is required.\"]"},
	{"search=%", "!\"search\":" MALFORMED}, {"search=%4", "!\"search\":" MALFORMED}, {"search=%zz", "!\"search\":" MALFORMED},
	{"search=%00", "!\"search\":" MALFORMED}, {"search=%ff", "!\"search\":" MALFORMED}, {"search=%c0%80", "!\"search\":" MALFORMED},
	{"search=%ed%a0%80", "!\"search\":" MALFORMED}, {"utm=%", "!\"utm\":" MALFORMED}, {"%zz=1", "!\"non_field_errors\":" MALFORMED},
	{"search=%4&page=2", "!\"search\":" MALFORMED}, {"search=%07", "!\"search\":[\"Control characters are not allowed.\"]"},
	{"search=%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC",
	 "!\"search\":[\"Ensure this field has no more than 10 characters.\"]"},
};
/* clang-format on */

static void test_queries(void)
{
	for (size_t i = 0; i < COUNT(queries); i++)
		is_text(query_outcome(filter, queries[i].query), queries[i].wanted,
		        arena_printf(arena, "?%s", queries[i].query));
	query_outcome(filter, "");
	is_int((long long)params.count, 9, "every field is declared");
	ok(!params_find(&params, "page")->sent, "and not sent");
	is_text(query_outcome(needed, "page=1"), "!\"user_id\":[\"This field is required.\"]",
	        "a parameter that is missing");
	is_text(query_outcome(needed, "user_id=7"), "user_id=7", "one that is there");
	is_text(query_outcome(needed, "user_id=%4"), "!\"user_id\":" MALFORMED,
	        "one that cannot be read");
}

static void test_decode(void)
{
	is_text(percent_decode(arena, "a+b%2b", 6, false), "a+b+", "a plus may stay one");
	is_text(percent_decode(arena, "a+b%2b", 6, true), "a b+", "or be a space");
	is_text(percent_decode(arena, "abc", 2, true), "ab", "no more than the size");
	is_text(percent_decode(arena, "%41", 2, true), NULL, "not even for the last digit");
	is_text(percent_decode(arena, "%41", 3, true), "A", "which belongs to it here");
	is_text(percent_decode(arena, "", 0, true), "", "nothing");
}

int main(void)
{
	arena = arena_new();
	test_values();
	test_bodies();
	test_parameters();
	test_many();
	test_errors();
	test_queries();
	test_decode();
	arena_destroy(arena);
	return done();
}
