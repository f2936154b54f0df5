/* accounts.c: accounts: who may have one, and what their owners change. */
#include <string.h>
#include <time.h>

#include "parts.h"

const char *add_error(struct request *request, const char *errors, const char *field,
                      const char *message)
{
	return arena_printf(request->arena, "%s%s\"%s\":[\"%s\"]", errors, *errors ? "," : "",
	                    field, message);
}

struct reply reply_errors(struct request *request, const char *errors)
{
	return problem_with(request, "invalid",
	                    arena_printf(request->arena, "\"errors\":{%s}", errors));
}

/* ---- Names in passwords ---- */

struct names {
	const char *username, *email, *first, *last; /* any may be NULL but the address */
};

/* The name of his own that the password is little more than, as its field; NULL: none. */
static const char *resembled(struct request *request, const char *password,
                             const struct names *names)
{
	const char *email = names->email;
	const char *first = names->first ? names->first : "";
	const char *last = names->last ? names->last : "";
	const struct {
		const char *field, *name;
	} all[] = {
		{"username", names->username ? names->username : ""},
		{"email", email},
		{"email", arena_copy(request->arena, email, strcspn(email, "@"))},
		{"first name", first},
		{"last name", last},
		{"name", arena_printf(request->arena, "%s%s", first, last)},
		{"name", arena_printf(request->arena, "%s%s", last, first)},
	};

	for (size_t i = 0; i < COUNT(all); i++)
		if (password_resembles(password, all[i].name))
			return all[i].field;
	return NULL;
}

static struct reply too_similar(struct request *request, const char *field, const char *name)
{
	return problem_field(
		request, field,
		arena_printf(request->arena, "The password is too similar to the %s.", name));
}

/* ---- Registration ---- */

/* The address serves as username where none is chosen, unless it is too long for one. */
static const char *username_for(struct request *request)
{
	const char *username = param(request, "username"), *email = param(request, "email");

	if (username && *username)
		return username;
	if (strlen(email) <= USERNAME_MAX)
		return email;
	return arena_printf(request->arena, "user-%s", random_hex(request->arena, 8));
}

struct reply register_account(struct request *request)
{
	const char *password = param(request, "password");
	const struct names names = {username_for(request), param(request, "email"),
	                            param(request, "first_name"), param(request, "last_name")};
	const char *name = resembled(request, password, &names);
	struct row *account;

	if (name)
		return too_similar(request, "password", name);

	set_param(request, "username", names.username);
	set_param(request, "hash", hash_password(request->arena, password));
	if (!fetch(request, &sql_register, &account))
		return *request->failure;

	set_param(request, "account_id", column(account, "account_id"));
	reply_header(request, "Location", "/api/v1/auth/profile/");
	return open_session(request, 201);
}

/* ---- Changes ---- */

/* False: *reply says what failed, or that the account is gone. */
static bool read_account(struct request *request, struct row **account, struct reply *reply)
{
	if (!fetch(request, &sql_get_account, account))
		*reply = *request->failure;
	else if (!*account)
		*reply = problem(request, "not_found");
	else
		return true;
	return false;
}

/* The same, and nobody else changes it until the transaction ends. */
static bool lock_account(struct request *request, struct row **account, struct reply *reply)
{
	if (run(request, &sql_lock_account))
		return read_account(request, account, reply);
	*reply = *request->failure;
	return false;
}

/* ---- Profile ---- */

static bool is_future(const char *date)
{
	char today[sizeof("9999-12-31")];
	time_t now = time(NULL);
	struct tm utc;

	return date && gmtime_r(&now, &utc) && strftime(today, sizeof(today), "%F", &utc) &&
	       strcmp(date, today) > 0;
}

/* Whoever changes the address, and so who can get in, proves that it is his account: NULL, or
 * what is wrong with the proof. */
static const char *proof_fault(struct request *request, const struct row *account)
{
	const char *email = param(request, "email"),
		   *given = param(request, "current_password");

	if (!email || !strcmp(email, column(account, "email")))
		return NULL;
	if (!given)
		return "This field is required.";
	return password_matches(given, column(account, "password")) ? NULL
	                                                            : "Invalid password.";
}

static struct reply refuse_changes(struct request *request, const char *proof, bool unborn)
{
	const char *errors = "";

	if (unborn)
		errors = add_error(request, errors, "date_of_birth",
		                   "Ensure this date is not in the future.");
	if (proof)
		errors = add_error(request, errors, "current_password", proof);
	if (proof && param(request, "current_password") &&
	    !record_failure(request, "", param(request, "user_id")))
		return *request->failure;
	return reply_errors(request, errors);
}

/* Whether the account as it was seen may be changed like this; false: *reply says why not. */
static bool may_change(struct request *request, const struct row *seen, struct reply *reply)
{
	const char *proof = proof_fault(request, seen);
	bool unborn = is_future(param(request, "date_of_birth"));

	if (!proof && !unborn)
		return true;
	*reply = refuse_changes(request, proof, unborn);
	return false;
}

/* What was not sent stays as it is. */
static struct reply write_profile(struct request *request, const struct row *account)
{
	static const char *const kept[] = {"email", "first_name", "last_name", "phone",
	                                   "date_of_birth"};

	for (size_t i = 0; i < COUNT(kept); i++)
		if (request->method == PATCH && !has_param(request, kept[i]))
			set_param(request, kept[i], column(account, kept[i]));
	if (!run(request, &sql_change_account))
		return *request->failure;
	return answer(request, &sql_show_profile);
}

static bool same(const struct row *one, const struct row *other, const char *name)
{
	return !strcmp(column(one, name), column(other, name));
}

/* Nobody waits for a password to be compared: the row is locked afterwards.  If the proof was
 * one for another address or password, all is done once more, by then under the lock. */
struct reply change_profile(struct request *request)
{
	struct row *seen, *account;
	struct reply reply;

	if (!read_account(request, &account, &reply))
		return reply;
	do {
		seen = account;
		if (!may_change(request, seen, &reply) ||
		    !lock_account(request, &account, &reply))
			return reply;
	} while (!same(seen, account, "email") || !same(seen, account, "password"));
	return write_profile(request, account);
}

/* ---- Password ---- */

static struct reply refuse_old_password(struct request *request)
{
	if (!record_failure(request, "", param(request, "user_id")))
		return *request->failure;
	return problem_field(request, "old_password",
	                     "Your old password was entered incorrectly. "
	                     "Please enter it again.");
}

/* Whether both passwords will do, the old one and the new; false: *reply says which does not.
 */
static bool passwords_fit(struct request *request, const struct row *account,
                          struct reply *reply)
{
	const char *password = param(request, "new_password"), *name;
	const struct names names = {column(account, "username"), column(account, "email"),
	                            column(account, "first_name"),
	                            column(account, "last_name")};

	if (!password_matches(param(request, "old_password"), column(account, "password")))
		*reply = refuse_old_password(request);
	else if ((name = resembled(request, password, &names)))
		*reply = too_similar(request, "new_password", name);
	else
		return true;
	return false;
}

/* As in sign_in(), no transaction is open while passwords are hashed, and what is written
 * counts only if the old one is still what it was. */
struct reply change_password(struct request *request)
{
	struct row *account, *changed = NULL;
	const char *hash = NULL;
	struct reply reply;

	for (int attempt = 0; !changed && attempt < TRIES; attempt++) {
		if (!read_account(request, &account, &reply))
			return reply;
		if (!commit(request))
			return *request->failure;
		if (!passwords_fit(request, account, &reply))
			return reply;
		if (!hash)
			hash = hash_password(request->arena, param(request, "new_password"));
		set_param(request, "old_hash", column(account, "password"));
		set_param(request, "hash", hash);
		set_param(request, "family", request->caller.family);
		if (!fetch(request, &sql_change_password, &changed))
			return *request->failure;
	}
	return changed ? reply_empty(204) : problem(request, "contended");
}
