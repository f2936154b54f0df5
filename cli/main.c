/* main.c: the arnova program: its verbs, and what they share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define DEADLINE_US 30000000

struct verb {
	const char *name;
	const char *arguments;
	const char *purpose;
	int (*run)(int argc, char **argv);
};

/* clang-format off */
static const struct verb verbs[] = {
	{"migrate",         "",                          "bring the schemas up to date", verb_migrate},
	{"createsuperuser", "--email E [--username U] --password-stdin", "create a staff account", verb_createsuperuser},
	{"user",            "disable|enable --email E",  "disable an account, or enable it again", verb_user},
	{"import",          "products [--currency USD] FILE...", "import products from Shopify's files", verb_import},
	{"relay",           "[--once]",                  "deliver events, finish what waits", verb_relay},
	{"expire",          "",                          "finish the orders that wait, once", verb_expire},
	{"reconcile",       "",                          "finish the payments that wait, once", verb_reconcile},
	{"verify",          "",                          "recompute what must always hold", verb_verify},
};
/* clang-format on */

struct request *cli_request(void)
{
	static const char *const absent[] = {"body", "limit", "offset", "user_id"};
	static struct arena *arena;
	static struct private private;
	static struct request request;

	db_rollback();
	if (!arena)
		arena = arena_new();
	arena_reset(arena);
	memset(&private, 0, sizeof(private));
	private.started_us = now_us();
	private.deadline_us = private.started_us + DEADLINE_US;
	private.headers.arena = arena;
	private.origin = private.query = "";
	request = (struct request){.arena = arena,
	                           .method = POST,
	                           .path = "",
	                           .body = "",
	                           .caller = {.access = STAFF, .family = ""},
	                           .client = "",
	                           .failure = &private.failure,
	                           .private = &private};
	request.id = random_hex(arena, 16);
	for (size_t i = 0; i < COUNT(absent); i++)
		set_param(&request, absent[i], NULL);
	set_param(&request, "is_staff", "true");
	set_param(&request, "is_service", "false");
	set_param(&request, "request_id", request.id);
	set_param(&request, "client", request.client);
	set_param(&request, "shop_currency", setting("CURRENCY", "USD"));
	db_begin_request(true);
	return &request;
}

int cli_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

const char *cli_reason(const struct request *request)
{
	struct arena *arena = request->arena;
	const char *body = request->failure->body;
	const struct json *json = json_parse(arena, body, strlen(body));
	const struct json *errors = json ? json_member(json, "errors") : NULL;
	const struct json *error = errors ? json_first(errors) : NULL;
	const char *detail = json ? json_text(arena, json, "detail") : NULL;

	if (error)
		return arena_printf(arena, "%s: %s", json_name(error),
		                    json_text(arena, error, "[0]"));
	return detail ? detail : body;
}

bool cli_owner_connect(void)
{
	const char *url = setting("MIGRATE_DATABASE_URL", NULL);

	if (url && db_owner_connect(url))
		return true;
	cli_fail("could not connect to the database: %s",
	         url ? db_owner_error() : "MIGRATE_DATABASE_URL is not set");
	return false;
}

static void print_usage(FILE *out)
{
	fputs("usage: arnova VERB [ARGUMENTS]\n\n", out);
	for (size_t i = 0; i < COUNT(verbs); i++)
		fprintf(out, "  %-15s %-42s %s\n", verbs[i].name, verbs[i].arguments,
		        verbs[i].purpose);
	fputs("\nSettings come from the environment: . VAR/env; exit statuses: 0 done, 1 failed, "
	      "2 misused.\n",
	      out);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < COUNT(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;

	if (argc == 2 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help"))) {
		print_usage(stdout);
		return EXIT_SUCCESS;
	}
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("arnova " ARNOVA_VERSION);
		return EXIT_SUCCESS;
	}
	if (!verb) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	settings_load();
	log_name("arnova");

	int status = verb->run(argc - 1, argv + 1);

	db_close();
	if (status == EXIT_USAGE)
		fprintf(stderr, "usage: arnova %s %s\n", verb->name, verb->arguments);
	return status;
}
