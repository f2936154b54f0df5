/* user.c: the verb that disables an account, or enables it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "users.h"

static int set_active(const char *action, const char *email)
{
	bool is_active = !strcmp(action, "enable");
	struct request *request;
	struct row *account;

	db_use("users");
	request = cli_request();
	set_param(request, "email", email);
	set_param(request, "is_active", is_active ? "true" : "false");
	if (!fetch(request, &sql_set_active, &account) || !commit(request))
		return cli_fail("could not %s the account: %s", action, cli_reason(request));
	if (!column(account, "known"))
		return cli_fail("could not %s the account: nobody has the address %s", action,
		                email);
	if (!column_is(account, "changed", "t"))
		printf("%s is %sd already\n", column(account, "known"), action);
	else if (is_active)
		printf("enabled %s\n", column(account, "known"));
	else
		printf("disabled %s and ended %s sessions\n", column(account, "known"),
		       column(account, "sessions"));
	return EXIT_SUCCESS;
}

int verb_user(int argc, char **argv)
{
	if (argc != 4 || strcmp(argv[2], "--email") != 0 ||
	    (strcmp(argv[1], "disable") != 0 && strcmp(argv[1], "enable") != 0))
		return EXIT_USAGE;
	return set_active(argv[1], argv[3]);
}
