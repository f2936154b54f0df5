/* unit_json.c: which texts are JSON, what they hold, and how text becomes JSON. */
#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "tap.h"

#define SUITE "test/data/json-test-suite/test_parsing"

static struct arena *arena;

/* The text in a block of just its size, so that a sanitizer sees a reader that goes too far. */
static const char *fault_of(const char *text, size_t size, size_t *at)
{
	char *copy = malloc(size ? size : 1);
	const char *fault;

	if (size)
		memcpy(copy, text, size);
	fault = json_fault(copy, size, LIMIT_DEPTH, at);
	free(copy);
	return fault;
}

/* ---- JSONTestSuite ---- */

/* Correct JSON that is refused on purpose. */
static const struct {
	const char *file, *fault;
} stricter[] = {
	{"y_object_duplicated_key.json", "name given twice in an object"},
	{"y_object_duplicated_key_and_value.json", "name given twice in an object"},
	{"y_object_escaped_null_in_key.json", "NUL character in a string"},
	{"y_string_null_escape.json", "NUL character in a string"},
};

static const char *wanted_fault(const char *file)
{
	for (size_t i = 0; i < COUNT(stricter); i++)
		if (!strcmp(stricter[i].file, file))
			return stricter[i].fault;
	return NULL;
}

static const char *read_file(const char *folder, const char *name, size_t *size)
{
	char *text = arena_alloc(arena, LIMIT_BODY);
	FILE *file = fopen(arena_printf(arena, "%s/%s", folder, name), "rb");

	*size = file ? fread(text, 1, LIMIT_BODY, file) : 0;
	if (!file || fclose(file))
		printf("Bail out! could not read %s\n", name);
	return text;
}

/* The first letter of the file's name says what is right; 'i' leaves it to the reader. */
static void test_file(const char *folder, const char *name)
{
	size_t size, at;
	const char *text = read_file(folder, name, &size);
	const char *fault = fault_of(text, size, &at);
	const struct json *json = json_parse_any(arena, text, size);

	if (*name == 'y')
		is_text(fault, wanted_fault(name), name);
	if (*name == 'n')
		ok(fault && at <= size, name);
	is_int(json != NULL, !fault, "the parser agrees with the scanner");
	is_int(json_parse(arena, text, size) != NULL, json && json_is_finite(json),
	       "but for numbers beyond a double");
}

static void test_suite(void)
{
	const char *folder = getenv("JSON_TEST_SUITE");
	DIR *files = opendir(folder ? folder : SUITE);
	int count[256] = {0};

	if (!files) {
		ok(false, "the suite can be read");
		return;
	}
	for (struct dirent *file = readdir(files); file; file = readdir(files)) {
		if (!strstr(file->d_name, ".json"))
			continue;
		count[(unsigned char)*file->d_name]++;
		test_file(folder ? folder : SUITE, file->d_name);
		arena_reset(arena);
	}
	closedir(files);
	is_int(count['y'], 95, "texts that are JSON");
	is_int(count['n'], 188, "texts that are not");
	is_int(count['i'], 35, "texts that may be either");
}

/* ---- What the suite leaves open ---- */

/* clang-format off */
static const struct {
	const char *text, *fault;
	size_t      at;
} cases[] = {
	{"{\"a\":1,\"b\":[{\"a\":1},{\"a\":2}]}", NULL, 29},
	{"\"\\ud83d\\ude00 \\u00e9 \xf0\x9f\x98\x80\"", NULL, 26},
	{"1e308", NULL, 5},
	{"-1.7976931348623157e308", NULL, 23},
	{"1e-999", NULL, 6},
	{"", "unexpected end of text", 0},
	{" \r\n\t", "unexpected end of text", 4},
	{"\xef\xbb\xbf{}", "unexpected character", 0},
	{"{} x", "unexpected text after the value", 3},
	{"{}{}", "unexpected text after the value", 2},
	{"[1,]", "unexpected character", 3},
	{"{\"a\":1,}", "unexpected character", 7},
	{"{\"a\" 1}", "unexpected character", 5},
	{"{\"a\":}", "unexpected character", 5},
	{"{a:1}", "unexpected character", 1},
	{"[1 2]", "unexpected character", 3},
	{"[1}", "unexpected character", 2},
	{"{\"a\":1]", "unexpected character", 6},
	{"nul", "unexpected end of text", 3},
	{"\"\\u00", "unexpected end of text", 5},
	{"\"\\", "unexpected end of text", 2},
	{"01", "unexpected text after the value", 1},
	{"-", "unexpected end of text", 1},
	{"1.", "unexpected end of text", 2},
	{"1e", "unexpected end of text", 2},
	{"NaN", "unexpected character", 0},
	{"Infinity", "unexpected character", 0},
	{"[1e309]", NULL, 7},
	{"-1e400", NULL, 6},
	{"[1e309", "unexpected end of text", 6},
	{"1e400x", "unexpected text after the value", 5},
	{"\"a\nb\"", "control character in a string", 2},
	{"\"\\u0000\"", "NUL character in a string", 7},
	{"{\"\\u0000\":1}", "NUL character in a string", 8},
	{"\"\\ud800\"", "lone surrogate in a string", 7},
	{"\"\\ud800\\u0041\"", "lone surrogate in a string", 13},
	{"\"\\udc00\"", "lone surrogate in a string", 7},
	{"\"\\udc00\\ud800\"", "lone surrogate in a string", 7},
	{"\"\\ud800\\ud800\"", "lone surrogate in a string", 13},
	{"\"\xc0\xaf\"", "text that is not UTF-8", 1},         /* overlong */
	{"\"\xe0\x80\xaf\"", "text that is not UTF-8", 1},     /* overlong */
	{"\"\xf0\x80\x80\xaf\"", "text that is not UTF-8", 1}, /* overlong */
	{"\"\xed\xa0\x80\"", "text that is not UTF-8", 1},     /* a surrogate */
	{"\"\xf4\x90\x80\x80\"", "text that is not UTF-8", 1}, /* above U+10FFFF */
	{"\"\xe2\x82\"", "text that is not UTF-8", 1},         /* cut short */
	{"\"\x80\"", "text that is not UTF-8", 1},             /* a lone continuation */
	{"\"\xf0\x9f\x98", "text that is not UTF-8", 1},       /* cut short by the end */
	{"{\"a\":1,\"b\":2,\"a\":3}", "name given twice in an object", 13},
	{"{\"a\":1,\"\\u0061\":2}", "name given twice in an object", 7},
	{"{\"\xc3\xa9\":1,\"\\u00e9\":2}", "name given twice in an object", 8},
	{"{\"\":1,\"\":2}", "name given twice in an object", 6},
	{"[{\"x\":{\"a\":1,\"a\":1}}]", "name given twice in an object", 13},
	{"{\"a\":{\"b\":1,\"c\":{}},\"a\":2}", "name given twice in an object", 20},
};
/* clang-format on */

static void test_cases(void)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t at;
		const char *fault = fault_of(cases[i].text, strlen(cases[i].text), &at);

		is_text(fault, cases[i].fault, json_quote(arena, cases[i].text));
		is_int((long long)at, (long long)cases[i].at, "found at its place");
	}
}

static void test_nul(void)
{
	size_t at;

	is_text(fault_of("{}\0", 3, &at), "unexpected text after the value", "a NUL behind");
	is_text(fault_of("\0", 1, &at), "unexpected character", "a NUL alone");
	is_text(fault_of("\"a\0b\"", 5, &at), "control character in a string",
	        "a NUL in a string");
	is_text(fault_of("[1,\0]", 5, &at), "unexpected character", "a NUL in an array");
}

static const char *digits(int count)
{
	char *text = arena_alloc(arena, (size_t)count + 1);

	return memset(text, '9', (size_t)count);
}

static const char *nested(int levels, const char *open, const char *close)
{
	struct text text = {.arena = arena};

	for (int i = 0; i < levels; i++)
		text_printf(&text, "%s", open);
	text_printf(&text, "1");
	for (int i = 0; i < levels; i++)
		text_printf(&text, "%s", close);
	return text.bytes;
}

static const char *fault_of_text(const char *text)
{
	size_t at;

	return fault_of(text, strlen(text), &at);
}

static void test_depth(void)
{
	is_text(fault_of_text(nested(32, "[", "]")), NULL, "32 arrays");
	is_text(fault_of_text(nested(33, "[", "]")), "too many levels", "33 arrays");
	is_text(fault_of_text(nested(32, "{\"a\":", "}")), NULL, "32 objects");
	is_text(fault_of_text(nested(33, "{\"a\":", "}")), "too many levels", "33 objects");
	is_text(fault_of_text(nested(100000, "[", "]")), "too many levels", "100000 arrays");
}

static void test_digits(void)
{
	is_text(fault_of_text(digits(308)), NULL, "308 digits");
	is_text(fault_of_text(digits(309)), NULL, "309 digits");
	is_text(fault_of_text(digits(1000000)), NULL, "1000000 digits");
	is_text(fault_of_text(arena_printf(arena, "0.%s", digits(10000))), NULL,
	        "10000 decimals");
}

/* A member list of a whole body, with as many names as fit. */
static const char *many_names(int count, const char *last)
{
	struct text text = {.arena = arena};

	for (int i = 0; i < count; i++)
		text_printf(&text, "%s\"%x\":0", i ? "," : "{", i);
	text_printf(&text, ",\"%s\":0}", last);
	return text.bytes;
}

static void test_many_names(void)
{
	clock_t start = clock();

	is_text(fault_of_text(many_names(100000, "last")), NULL, "100000 names");
	is_text(fault_of_text(many_names(100000, "0")), "name given twice in an object",
	        "the last of 100000 names is the first one again");
	ok(clock() - start < 20 * CLOCKS_PER_SEC, "neither takes long");
}

/* ---- Values ---- */

static struct json *parse(const char *text)
{
	return json_parse(arena, text, strlen(text));
}

static void test_paths(void)
{
	struct json *json =
		parse("{\"error\":{\"id\":\"pi_1\",\"Amount\":7},\"items\":[{\"price\":"
	              "19.99},{\"on\":true}],\"list\":[[1,2],[3]],\"nothing\":null,"
	              "\"off\":false,\"big\":9007199254740993,\"half\":0.5,\"e\":1e3}");

	is_text(json_text(arena, json, "error.id"), "pi_1", "a member's member");
	is_text(json_text(arena, json, "items[0].price"), "19.99", "a member of an element");
	is_text(json_text(arena, json, "items[1].on"), "true", "a boolean as text");
	is_text(json_text(arena, json, "off"), "false", "false as text");
	is_text(json_text(arena, json, "list[1][0]"), "3", "an element of an element");
	is_text(json_text(arena, json, "e"), "1000", "an exponent is written out");
	is_text(json_text(arena, json, "nothing"), NULL, "null has no text");
	is_text(json_text(arena, json, "error"), NULL, "nor has an object");
	is_text(json_text(arena, json, "items[2].price"), NULL, "there is no third element");
	is_text(json_text(arena, json, "error.id.x"), NULL, "text has no members");
	is_text(json_text(arena, json, "error[0]"), NULL, "an object has no elements");
	is_text(json_text(arena, json, "error.i"), NULL, "the start of a name is not the name");
	is_text(json_text(arena, json, "error.amount"), NULL, "case matters");
	is_text(json_text(arena, NULL, "error"), NULL, "nothing holds nothing");
	is_int(json_int(json, "error.Amount"), 7, "an integer");
	is_int(json_int(json, "half"), 0, "a fraction is no integer");
	is_int(json_int(json, "error.id"), 0, "text is no integer");
	is_int(json_int(json, "big"), 0, "beyond 2^53 nothing is exact");
	ok(json_true(json, "items[1].on"), "true is true");
	ok(!json_true(json, "off") && !json_true(json, "half"), "all else is not");
	is_text(json_raw(arena, json, "items[0]"), "{\"price\":19.99}", "an object as JSON");
	is_text(json_raw(arena, json, "nothing"), "null", "null as JSON");
	is_text(json_raw(arena, json, "missing"), NULL, "what is not there has no JSON");
}

static void test_walk(void)
{
	const struct json *json = parse("{\"a\":[1,\"x\"],\"A\":null}");
	const struct json *list = json_first(json), *null = json_next(list);

	is_int(json_kind(json), JSON_OBJECT, "an object");
	is_int(json_kind(list), JSON_ARRAY, "its first member is an array");
	is_text(json_name(list), "a", "by the name a");
	is_int(json_kind(null), JSON_NULL, "then comes null");
	ok(json_next(null) == NULL, "and no more");
	ok(json_member(json, "A") == null && json_member(json, "a") == list, "found by name");
	ok(json_member(json, "b") == NULL && json_member(list, "a") == NULL, "or not");
	ok(json_name(json_first(list)) == NULL, "elements have no names");
	is_int((long long)json_number(json_first(list)), 1, "a number");
	is_text(json_string(json_next(json_first(list))), "x", "a string");
	ok(json_first(parse("[]")) == NULL, "an empty array has no first element");
}

static void test_long_numbers(void)
{
	const char *digits =
		"1000000000000000000000000000000000000000000000000000000000000000000000";
	struct json *json =
		parse(arena_printf(arena, "{\"a\":[%s],\"%s\":0.%s,\"b\":\"\\\"%s\"}", digits,
	                           digits, digits, digits));

	if (!ok(json != NULL, "numbers of 70 digits are read"))
		return;
	is_text(json_text(arena, json, "a[0]"), "1e+69", "by their value");
	is_text(json_text(arena, json, digits), "0.1", "fractions too");
	is_text(json_text(arena, json, "b"), arena_printf(arena, "\"%s", digits),
	        "and texts stay as they are");
}

static void test_infinite(void)
{
	static const char *const texts[] = {"1e309", "[0,[-1e400]]", "{\"a\":1e400}",
	                                    "1E+999999", "{\"a\":[{\"b\":2e308}]}"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		const struct json *json = json_parse_any(arena, texts[i], strlen(texts[i]));

		if (ok(json != NULL, texts[i]))
			ok(!json_is_finite(json), "is not finite");
		ok(!parse(texts[i]), "and nothing that others may say");
	}
	ok(!parse(digits(309)) && parse(digits(308)), "nor are 309 digits, but 308");
	ok(json_is_finite(parse("[-1.7976931348623157e308,1e-999,\"1e400\",null]")),
	   "the largest number is finite");
}

/* ---- Writing ---- */

static void test_quote(void)
{
	is_text(json_quote(arena, NULL), "null", "NULL is null");
	is_text(json_quote(arena, ""), "\"\"", "nothing");
	is_text(json_quote(arena, "a\"b\\c/d"), "\"a\\\"b\\\\c/d\"", "quotes and backslashes");
	is_text(json_quote(arena, "\b\f\n\r\t\x01\x1f\x7f"),
	        "\"\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\"", "control characters");
	is_text(json_quote(arena, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "UTF-8 passes");
	is_text(json_quote(arena, "a\xffz\xe2\x82"),
	        "\"a\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"", "other bytes are replaced");

	char all[256];

	for (int i = 1; i < 256; i++)
		all[i - 1] = (char)i;
	all[255] = '\0';
	is_text(fault_of_text(json_quote(arena, all)), NULL, "any bytes become JSON");
	all[127] = '\0';
	is_text(json_text(arena, parse(json_quote(arena, all)), ""), all,
	        "and ASCII comes back");
}

int main(void)
{
	arena = arena_new();
	test_suite();
	test_cases();
	test_nul();
	test_depth();
	test_digits();
	test_many_names();
	test_paths();
	test_walk();
	test_long_numbers();
	test_infinite();
	test_quote();
	arena_destroy(arena);
	return done();
}
