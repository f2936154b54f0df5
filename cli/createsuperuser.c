/* createsuperuser.c: the verb that creates a staff account. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "users.h"

#define LIMIT_LINE 4096

/* clang-format off */
static const struct field superuser[] = {
	{"email",    EMAIL,    REQUIRED},
	{"password", PASSWORD, REQUIRED | SECRET, .min = 8, .max = 256},
	{"username", TEXT,     .min = 1, .max = 150},
	{0},
};
/* clang-format on */

/* What the command line says; false: it was misused. */
static bool read_arguments(int argc, char **argv, const char **email, const char **username)
{
	bool from_stdin = false;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--password-stdin"))
			from_stdin = true;
		else if (!strcmp(argv[i], "--email") && i + 1 < argc)
			*email = argv[++i];
		else if (!strcmp(argv[i], "--username") && i + 1 < argc)
			*username = argv[++i];
		else
			return false;
	}
	return from_stdin && *email;
}

/* The first line of standard input; never from the command line, where everybody could see it.
 */
static bool read_password(char line[LIMIT_LINE])
{
	if (!fgets(line, LIMIT_LINE, stdin))
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

static bool is_own_name(struct arena *arena, const char *password, const char *email,
                        const char *username)
{
	return password_resembles(password, email) || password_resembles(password, username) ||
	       password_resembles(password, arena_copy(arena, email, strcspn(email, "@")));
}

/* Declares the parameters, or tells what is wrong with them. */
static bool check(struct request *request, const char *email, const char *username,
                  const char *password)
{
	struct arena *arena = request->arena;
	struct errors errors = {.text.arena = arena};
	const char *body = arena_printf(arena, "{\"email\":%s,\"password\":%s%s%s}",
	                                json_quote(arena, email), json_quote(arena, password),
	                                username ? ",\"username\":" : "",
	                                username ? json_quote(arena, username) : "");
	const struct json *json = json_parse(arena, body, strlen(body));

	if (!json) {
		cli_fail("could not create the account: the input is not UTF-8");
		return false;
	}
	set_param(request, "body", NULL);
	shape_check_body(arena, superuser, json, &request->private->params, &errors);
	if (!errors.count && is_own_name(arena, password, email, username ? username : ""))
		errors_add(&errors, "password", "The password is too similar to the name.");
	if (errors.count)
		cli_fail("could not create the account: {%s}", errors.text.bytes);
	return !errors.count;
}

int verb_createsuperuser(int argc, char **argv)
{
	const char *email = NULL, *username = NULL;
	char password[LIMIT_LINE];
	struct request *request;
	struct row *account;

	if (!read_arguments(argc, argv, &email, &username))
		return EXIT_USAGE;
	if (!read_password(password))
		return cli_fail("could not read the password: standard input is empty");
	db_use("users");
	request = cli_request();
	if (!check(request, email, username, password))
		return EXIT_FAILURE;
	if (!username && strlen(email) > 150)
		return cli_fail("could not create the account: this address is too long for a "
		                "username, give one with --username");
	if (!username)
		set_param(request, "username", email);
	set_param(request, "hash", hash_password(request->arena, password));
	if (!fetch(request, &sql_create_superuser, &account) || !commit(request))
		return cli_fail("could not create the account: %s", cli_reason(request));
	printf("created the superuser %s\n", email);
	return EXIT_SUCCESS;
}
