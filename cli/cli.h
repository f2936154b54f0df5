/* cli.h: what the verbs of the arnova program share. */
#ifndef CLI_H
#define CLI_H

#include "internal.h"

/* Exit statuses of every verb; EXIT_SUCCESS and EXIT_FAILURE are the others. */
#define EXIT_USAGE 2

/* argv[0] is the verb.  The exit status; a verb that returns EXIT_USAGE has printed nothing,
 * its line of usage is printed for it. */
int verb_migrate(int argc, char **argv);
int verb_createsuperuser(int argc, char **argv);
int verb_user(int argc, char **argv);
int verb_import(int argc, char **argv);
int verb_relay(int argc, char **argv);
int verb_expire(int argc, char **argv);
int verb_reconcile(int argc, char **argv);
int verb_verify(int argc, char **argv);

/* A request without HTTP, 30 seconds long, for running queries with the house's functions; its
 * first query begins a transaction, which lasts until commit().  Choose the connection first,
 * by db_use().  The next call rolls back what is open and empties the arena of the one before.
 */
struct request *cli_request(void);

/* "could not X: reason" on standard error; EXIT_FAILURE. */
int cli_fail(const char *format, ...) PRINTF_LIKE(1, 2);

/* What request->failure says, in one line: the first field's error, else the detail. */
const char *cli_reason(const struct request *request);

/* The connection that MIGRATE_DATABASE_URL names, as the owner of every schema.  False: told.
 */
bool cli_owner_connect(void);

#endif
