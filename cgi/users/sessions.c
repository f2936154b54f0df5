/* sessions.c: signing in, and a session's tokens until it ends. */
#include <string.h>

#include "parts.h"

#define JTI_BYTES 16

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

struct reply open_session(struct request *request, int status)
{
	const char *jti = random_hex(request->arena, JTI_BYTES);

	set_param(request, "jti_hash", hash_of(request, jti));
	if (!run(request, &sql_open_session))
		return *request->failure;

	return show_tokens(request, status, jti, true);
}

/* ---- Signing in ---- */

static struct reply missing_credentials(struct request *request, const char *login,
                                        const char *password)
{
	static const char missing[] = "This field is required.";
	const char *errors = "";

	if (!login)
		errors = add_error(request, errors, "username", missing);
	if (!password)
		errors = add_error(request, errors, "password", missing);
	return reply_errors(request, errors);
}

bool record_failure(struct request *request, const char *login, const char *account_id)
{
	set_param(request, "login", login);
	set_param(request, "account_id", account_id);
	return run(request, &sql_record_failed_sign_in) && commit(request);
}

/* Whether the password is that of an active account; an unknown name, which has none, takes as
 * long as a wrong password. */
static bool may_sign_in(const struct row *account, const char *password)
{
	bool matches = password_matches(password, account ? column(account, "password") : "");

	return matches && account && column_is(account, "is_active", "t");
}

static struct reply refuse_sign_in(struct request *request, const char *login,
                                   const struct row *account)
{
	if (!record_failure(request, login, account ? column(account, "account_id") : NULL))
		return *request->failure;
	return problem(request, "no_active_account");
}

/* *recorded is NULL when the account is no longer what it was when the password was compared.
 */
static bool record_sign_in(struct request *request, const struct row *account,
                           const char *password, struct row **recorded)
{
	const char *stored = column(account, "password");

	set_param(request, "account_id", column(account, "account_id"));
	set_param(request, "old_hash", stored);
	set_param(request, "hash",
	          password_outdated(stored) ? hash_password(request->arena, password) : stored);
	return fetch(request, &sql_record_sign_in, recorded);
}

/* Another sign-in may hash the password anew, or somebody disable the account, while this one
 * compares: then once more. */
struct reply sign_in(struct request *request)
{
	const char *login = param(request, "username"), *password = param(request, "password");
	struct row *account, *recorded = NULL;

	if (!login)
		login = param(request, "email");
	if (!login || !password)
		return missing_credentials(request, login, password);

	for (int attempt = 0; !recorded && attempt < TRIES; attempt++) {
		/* The transaction ends before the hashing, which takes its time. */
		set_param(request, "login", login);
		if (!fetch(request, &sql_find_account, &account) || !commit(request))
			return *request->failure;
		if (!may_sign_in(account, password))
			return refuse_sign_in(request, login, account);
		if (!record_sign_in(request, account, password, &recorded))
			return *request->failure;
	}
	return recorded ? open_session(request, 200) : problem(request, "contended");
}

/* ---- Until the session ends ---- */

/* Tells queries which session the token belongs to. */
static void set_session(struct request *request, const struct claims *claims)
{
	set_param(request, "family", claims->family);
	set_param_int(request, "account_id", claims->user_id);
}

struct reply refresh_session(struct request *request)
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

struct reply verify_token(struct request *request)
{
	const char *token = param(request, "token");
	const struct claims *access = read_token(request->arena, token, "access");
	const struct claims *refresh = read_token(request->arena, token, "refresh");
	struct row *session;

	if (!access && !refresh)
		return problem(request, "token_not_valid");
	set_session(request, access ? access : refresh);
	set_param(request, "jti_hash", refresh ? hash_of(request, refresh->jti) : NULL);
	if (!fetch(request, &sql_find_live_session, &session))
		return *request->failure;
	return session ? reply_json(200, "{}") : problem(request, "token_not_valid");
}

/* Also with a token that was used before, and once more when the session has ended. */
struct reply log_out(struct request *request)
{
	const struct claims *claims =
		read_token(request->arena, param(request, "refresh"), "refresh");

	if (!claims)
		return problem(request, "token_not_valid");
	set_session(request, claims);
	if (!run(request, &sql_end_session))
		return *request->failure;
	return reply_empty(204);
}

struct reply show_keys(struct request *request)
{
	return reply_json(200, public_keys(request->arena));
}
