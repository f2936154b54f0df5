/* parts.h: what the files of the users service share. */
#ifndef USERS_PARTS_H
#define USERS_PARTS_H

#include "arnova.h"
#include "users.h"

#define USERNAME_MAX 150 /* characters, as in Django */
#define TRIES 3          /* to compare a password that others change meanwhile */

/* Handlers: accounts.c, then sessions.c. */
handler register_account;
handler change_profile;
handler change_password;
handler sign_in;
handler refresh_session;
handler verify_token;
handler log_out;
handler show_keys;

/* Begins a session of the account that the parameter account_id names: the reply has its two
 * tokens and the account. */
struct reply open_session(struct request *request, int status);

/* Keeps a wrong password for those who count them; account_id is NULL for a name that is
 * nobody's.  Commits, as the answer is an error.  False as with fetch(). */
bool record_failure(struct request *request, const char *login,
                    const char *account_id) MUST_USE;

/* The inside of an object of errors, with one more under a field; both without what JSON would
 * have to escape. */
const char *add_error(struct request *request, const char *errors, const char *field,
                      const char *message);
struct reply reply_errors(struct request *request, const char *errors);

#endif
