/* verify.c: the verb that recomputes what must always hold, from the rows (sql/verify.sql). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "migrations.h"

int verb_verify(int argc, char **argv)
{
	struct arena *arena = cli_request()->arena;
	long count = 0;

	(void)argv;
	if (argc != 1)
		return EXIT_USAGE;
	if (!cli_owner_connect())
		return EXIT_FAILURE;

	const char *found = db_owner_value(arena, script_verify);

	if (!found)
		return cli_fail("could not verify: %s", db_owner_error());

	const struct json *result = json_parse(arena, found, strlen(found));

	db_owner_close();
	for (;; count++) {
		const char *at = arena_printf(arena, "differences[%ld]", count);
		const char *difference = json_text(arena, result, at);

		if (!difference)
			break;
		puts(difference);
	}
	if (count)
		return cli_fail("differences: %ld", count);
	puts("everything holds");
	return EXIT_SUCCESS;
}
