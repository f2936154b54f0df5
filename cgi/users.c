/* users.c: accounts and sessions: who somebody is, and the tokens that prove it. */
#include <string.h>

#include "arnova.h"
#include "users.h"

#define USERNAME_MAX 150
#define EMAIL_MAX 254
#define PASSWORD_MIN 8
#define PASSWORD_MAX 256
#define STORED_MAX 4096 /* of passwords that were set elsewhere */
#define TOKEN_MAX                                                                  \
	1048576 /* whatever a body can hold: a token that is too long is not valid \
	         */
#define JTI_BYTES 16

/* ---- Shapes ---- */

/* clang-format off */
#define SHOWN_FIELDS /* what an account shows and nobody sets */ \
	{"id",          INTEGER, READ_ONLY}, \
	{"is_staff",    BOOLEAN, READ_ONLY}, \
	{"date_joined", TIME,    READ_ONLY}, \
	{"last_login",  TIME,    READ_ONLY}

#define PROFILE_FIELDS(required) \
	{"email",            EMAIL, required}, \
	{"first_name",       TEXT,  .max = 150}, \
	{"last_name",        TEXT,  .max = 150}, \
	{"phone",            TEXT,  NULLABLE, .max = 32}, \
	{"date_of_birth",    DATE,  NULLABLE}, \
	{"current_password", TEXT,  SECRET, .max = STORED_MAX}, \
	{"username",         TEXT,  READ_ONLY}, \
	SHOWN_FIELDS

static const struct field new_account[] = {
	{"email",      EMAIL,    REQUIRED},
	{"password",   PASSWORD, REQUIRED | SECRET, .min = PASSWORD_MIN, .max = PASSWORD_MAX},
	{"username",   TEXT,     .max = USERNAME_MAX},
	{"first_name", TEXT,     .max = 150},
	{"last_name",  TEXT,     .max = 150},
	SHOWN_FIELDS,
	{0},
};

/* Neither is required by the shape, so that the handler names all that is missing at once. */
static const struct field credentials[] = {
	{"username", TEXT, .min = 1, .max = EMAIL_MAX},
	{"email",    TEXT, .min = 1, .max = EMAIL_MAX},
	{"password", TEXT, SECRET, .min = 1, .max = STORED_MAX},
	{0},
};

static const struct field refresh_token[] = {{"refresh", TEXT, REQUIRED, .min = 1, .max = TOKEN_MAX}, {0}};
static const struct field whole_profile[] = {PROFILE_FIELDS(REQUIRED), {0}};
static const struct field profile_changes[] = {PROFILE_FIELDS(0), {0}};
static const struct field user_query[] = {{"address_id", INTEGER}, {0}};
static const struct field since_query[] = {{"since", TIME}, {0}};
/* clang-format on */

/* ---- Sessions ---- */

static const char *hash_of(struct request *request, const char *jti)
{
	return sha256_hex(request->arena, jti, strlen(jti));
}

/* The two tokens of a refresh token that is known by its jti; with_user adds the account. */
static struct reply show_tokens(struct request *request, int status, const char *jti,
                                bool with_user)
{
	struct row *session;

	set_param(request, "jti_hash", hash_of(request, jti));
	if (!fetch(request, &sql_get_session, &session))
		return *request->failure;
	if (!session)
		return problem(request, "token_not_valid");

	struct claims refresh = {.type = "refresh",
	                         .jti = jti,
	                         .family = column(session, "family"),
	                         .user_id = column_int(session, "user_id"),
	                         .issued = column_int(session, "issued"),
	                         .expires = column_int(session, "refresh_expires"),
	                         .is_staff = column_is(session, "is_staff", "t")};
	struct claims access = refresh;

	access.type = "access";
	access.jti = random_hex(request->arena, JTI_BYTES);
	access.expires = column_int(session, "access_expires");

	return reply_json(status, arena_printf(request->arena,
	                                       "{\"access\":\"%s\",\"refresh\":\"%s\"%s%s}",
	                                       issue_token(request->arena, &access),
	                                       issue_token(request->arena, &refresh),
	                                       with_user ? ",\"user\":" : "",
	                                       with_user ? column(session, "user") : ""));
}

/* Begins a session of the account named by the parameter account_id. */
static struct reply open_session(struct request *request, int status)
{
	const char *jti = random_hex(request->arena, JTI_BYTES);

	set_param(request, "jti_hash", hash_of(request, jti));
	if (!run(request, &sql_open_session))
		return *request->failure;

	return show_tokens(request, status, jti, true);
}

/* ---- Registration ---- */

/* The name of his own that the password is little more than, as its field; NULL: none. */
static const char *resembled(struct request *request)
{
	const char *password = param(request, "password"), *email = param(request, "email");
	const char *first = param(request, "first_name"), *last = param(request, "last_name");

	first = first ? first : "";
	last = last ? last : "";

	const struct {
		const char *field, *name;
	} names[] = {
		{"username", param(request, "username")},
		{"email", email},
		{"email", arena_copy(request->arena, email, strcspn(email, "@"))},
		{"first name", first},
		{"last name", last},
		{"name", arena_printf(request->arena, "%s%s", first, last)},
		{"name", arena_printf(request->arena, "%s%s", last, first)},
	};

	for (size_t i = 0; i < COUNT(names); i++)
		if (password_resembles(password, names[i].name))
			return names[i].field;
	return NULL;
}

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

static struct reply register_account(struct request *request)
{
	struct row *account;

	set_param(request, "username", username_for(request));

	const char *name = resembled(request);

	if (name)
		return problem_field(request, "password",
		                     arena_printf(request->arena,
		                                  "The password is too similar to the %s.",
		                                  name));

	set_param(request, "hash", hash_password(request->arena, param(request, "password")));
	if (!fetch(request, &sql_register, &account))
		return *request->failure;

	set_param(request, "account_id", column(account, "account_id"));
	reply_header(request, "Location", "/api/v1/auth/profile/");
	return open_session(request, 201);
}

/* ---- Signing in ---- */

static struct reply missing_credentials(struct request *request, const char *login,
                                        const char *password)
{
	static const char missing[] = ":[\"This field is required.\"]";

	return problem_with(request, "invalid",
	                    arena_printf(request->arena, "\"errors\":{%s%s%s%s%s}",
	                                 login ? "" : "\"username\"", login ? "" : missing,
	                                 login || password ? "" : ",",
	                                 password ? "" : "\"password\"",
	                                 password ? "" : missing));
}

/* Keeps the failure, whose answer is an error, for those who count them. */
static bool record_failure(struct request *request, const char *login, const char *account_id)
{
	set_param(request, "login", login);
	set_param(request, "account_id", account_id);
	return run(request, &sql_record_failed_sign_in) && commit(request);
}

static bool upgrade_hash(struct request *request, const char *stored)
{
	if (!password_outdated(stored))
		return true;

	set_param(request, "old_hash", stored);
	set_param(request, "hash", hash_password(request->arena, param(request, "password")));
	return run(request, &sql_keep_hash);
}

static struct reply sign_in(struct request *request)
{
	const char *login = param(request, "username"), *password = param(request, "password");
	struct row *account;

	if (!login)
		login = param(request, "email");
	if (!login || !password)
		return missing_credentials(request, login, password);

	/* The transaction ends before the hashing, which takes its time. */
	set_param(request, "login", login);
	if (!fetch(request, &sql_find_account, &account) || !commit(request))
		return *request->failure;

	/* An unknown name takes as long as a wrong password. */
	const char *stored = account ? column(account, "password") : "";
	const char *account_id = account ? column(account, "account_id") : NULL;
	bool matches = password_matches(password, stored);

	if (!matches || !account || !column_is(account, "is_active", "t"))
		return record_failure(request, login, account_id)
		               ? problem(request, "no_active_account")
		               : *request->failure;

	set_param(request, "account_id", account_id);
	if (!upgrade_hash(request, stored) || !run(request, &sql_record_sign_in))
		return *request->failure;

	return open_session(request, 200);
}

static struct reply refresh(struct request *request)
{
	const struct claims *claims =
		read_token(request->arena, param(request, "refresh"), "refresh");
	struct row *rotation;

	if (!claims)
		return problem(request, "token_not_valid");

	const char *successor = successor_of(request->arena, claims->jti);

	set_param(request, "jti_hash", hash_of(request, claims->jti));
	set_param(request, "successor_hash", hash_of(request, successor));
	if (!fetch(request, &sql_rotate_refresh, &rotation))
		return *request->failure;
	if (column_is(rotation, "outcome", "rotated") ||
	    column_is(rotation, "outcome", "repeated"))
		return show_tokens(request, 200, successor, false);

	/* The family of a token that was used again has ended, and stays so. */
	if (!commit(request))
		return *request->failure;
	return problem(request, "token_not_valid");
}

/* ---- Profile ---- */

/* Whoever changes the address, and so who can get in, proves that it is his account. */
static bool may_move(struct request *request, const struct row *account)
{
	const char *given = param(request, "current_password");

	if (!strcmp(param(request, "email"), column(account, "email")))
		return true;
	if (!given) {
		*request->failure =
			problem_field(request, "current_password", "This field is required.");
		return false;
	}
	if (password_matches(given, column(account, "password")))
		return true;
	if (record_failure(request, column(account, "email"), param(request, "user_id")))
		*request->failure =
			problem_field(request, "current_password", "Invalid password.");
	return false;
}

static struct reply change_profile(struct request *request)
{
	static const char *const kept[] = {"email", "first_name", "last_name", "phone",
	                                   "date_of_birth"};
	struct row *account;

	if (!fetch(request, &sql_lock_account, &account))
		return *request->failure;
	if (!account)
		return problem(request, "not_found");
	for (size_t i = 0; i < COUNT(kept); i++)
		if (request->method == PATCH && !has_param(request, kept[i]))
			set_param(request, kept[i], column(account, kept[i]));
	if (!may_move(request, account) || !run(request, &sql_change_account))
		return *request->failure;

	return answer(request, &sql_show_profile);
}

/* ---- Routes ---- */

/* clang-format off */
#define BASE     "/api/v1/auth/"
#define INTERNAL "/internal/v1/"

static const struct route routes[] = {
	{POST,  BASE "register/",           ANYONE,  0, new_account,     .handler = register_account},
	{POST,  BASE "login/",              ANYONE,  0, credentials,     .handler = sign_in},
	{POST,  BASE "refresh/",            ANYONE,  0, refresh_token,   .handler = refresh},
	{GET,   BASE "profile/",            USER,    0, NULL,            &sql_show_profile},
	{PUT,   BASE "profile/",            USER,    0, whole_profile,   .handler = change_profile},
	{PATCH, BASE "profile/",            USER,    0, profile_changes, .handler = change_profile},

	{GET,   INTERNAL "users/:id/",      SERVICE, 0, user_query,      &sql_show_user},
	{GET,   INTERNAL "ended-sessions/", SERVICE, 0, since_query,     &sql_list_ended_sessions},
	{POST,  INTERNAL "events/",         SERVICE, 0, event_fields,    &sql_receive_user_event},
};
/* clang-format on */

int main(int argc, char **argv)
{
	return serve(&(const struct service_definition){"users", routes, COUNT(routes),
	                                                USERS_SCHEMA_VERSION},
	             argc, argv);
}
