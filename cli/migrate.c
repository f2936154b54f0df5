/* migrate.c: the verb that brings every service's schema up to date (sql/migrate.sql). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "migrations.h"

static bool belongs_to(const struct migration *migration, const char *service)
{
	return !strcmp(migration->service, "shared") || !strcmp(migration->service, service);
}

static const char *full_name(struct arena *arena, const struct migration *migration)
{
	return arena_printf(arena, "%s/%s", migration->service, migration->name);
}

static const char *checksum(struct arena *arena, const struct migration *migration)
{
	return sha256_hex(arena, migration->sql, strlen(migration->sql));
}

/* False: it cannot be told, or the file is no longer what was applied. */
static bool is_applied(struct arena *arena, const struct migration *migration,
                       const char *service, bool *applied)
{
	const char *name = full_name(arena, migration);
	const char *known = db_owner_value(
		arena, arena_printf(arena, "VALUES (pg_temp.applied_checksum('%s', '%s'))",
	                            service, name));

	if (!known) {
		cli_fail("could not read the migrations of %s: %s", service, db_owner_error());
		return false;
	}
	*applied = *known;
	if (*applied && strcmp(known, checksum(arena, migration)) != 0) {
		cli_fail("could not migrate %s: %s was changed after it had been applied",
		         service, name);
		return false;
	}
	return true;
}

static bool apply(struct arena *arena, const struct migration *migration, const char *service)
{
	struct text script = {.arena = arena};
	const char *name = full_name(arena, migration);

	text_printf(&script, "CALL pg_temp.enter('%s');\n", service);
	text_add(&script, migration->sql, strlen(migration->sql));
	text_printf(&script, "\nCALL pg_temp.record('%s', '%s', '%s');\n", service, name,
	            checksum(arena, migration));
	if (!db_owner_script(script.bytes)) {
		cli_fail("could not apply %s to %s: %s", name, service, db_owner_error());
		return false;
	}
	printf("%s: applied %s\n", service, name);
	return true;
}

/* First reads only, so that a changed file is told before anything is applied. */
static bool migrate_service(struct arena *arena, const char *service, bool only_check,
                            size_t *count)
{
	for (size_t i = 0; i < migration_count; i++) {
		bool applied = true;

		if (!belongs_to(&migrations[i], service))
			continue;
		if (!is_applied(arena, &migrations[i], service, &applied))
			return false;
		if (applied || only_check)
			continue;
		if (!apply(arena, &migrations[i], service))
			return false;
		(*count)++;
	}
	return true;
}

static bool migrate_all(struct arena *arena, bool only_check, size_t *count)
{
	for (size_t i = 0; i < SERVICES; i++)
		if (!migrate_service(arena, service_names[i], only_check, count))
			return false;
	return true;
}

static bool grant_all(struct arena *arena)
{
	for (size_t i = 0; i < SERVICES; i++) {
		const char *script = arena_printf(
			arena, "CALL pg_temp.enter('%s'); CALL pg_temp.grant_use('%s');",
			service_names[i], service_names[i]);

		if (!db_owner_script(script)) {
			cli_fail("could not grant the use of %s: %s", service_names[i],
			         db_owner_error());
			return false;
		}
	}
	return true;
}

int verb_migrate(int argc, char **argv)
{
	struct arena *arena = cli_request()->arena;
	size_t count = 0;

	(void)argv;
	if (argc != 1)
		return EXIT_USAGE;
	if (!cli_owner_connect())
		return EXIT_FAILURE;
	if (!db_owner_script(script_migrate) ||
	    !db_owner_script("CALL pg_temp.wait_for_turn()"))
		return cli_fail("could not begin to migrate: %s", db_owner_error());
	if (!migrate_all(arena, true, &count) || !migrate_all(arena, false, &count) ||
	    !grant_all(arena))
		return EXIT_FAILURE;
	if (!count)
		puts("nothing to do");
	db_owner_close();
	return EXIT_SUCCESS;
}
