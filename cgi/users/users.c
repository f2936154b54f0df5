/* users.c: what can be asked of the users service: accounts, sessions, what a person keeps. */
#include "parts.h"

#define EMAIL_MAX 254
#define PASSWORD_MIN 8
#define PASSWORD_MAX 256
#define STORED_MAX 4096   /* of passwords that were set elsewhere */
#define TOKEN_MAX 1048576 /* what a body can hold: a token that is too long is not valid */

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
static const struct field any_token[] = {{"token", TEXT, REQUIRED, .min = 1, .max = TOKEN_MAX}, {0}};
static const struct field nothing[] = {{0}};
static const struct field whole_profile[] = {PROFILE_FIELDS(REQUIRED), {0}};
static const struct field profile_changes[] = {PROFILE_FIELDS(0), {0}};

static const struct field new_password[] = {
	{"old_password", TEXT,     REQUIRED | SECRET, .min = 1, .max = STORED_MAX},
	{"new_password", PASSWORD, REQUIRED | SECRET, .min = PASSWORD_MIN, .max = PASSWORD_MAX},
	{0},
};

static const struct field address[] = {
	{"name",        TEXT,    REQUIRED, .min = 1, .max = 200},
	{"line1",       TEXT,    REQUIRED, .min = 1, .max = 200},
	{"line2",       TEXT,    NULLABLE, .max = 200},
	{"city",        TEXT,    REQUIRED, .min = 1, .max = 100},
	{"region",      TEXT,    NULLABLE, .max = 100},
	{"postal_code", TEXT,    REQUIRED, .min = 1, .max = 20},
	{"country",     COUNTRY, REQUIRED},
	{"phone",       TEXT,    NULLABLE, .max = 32},
	{"is_default",  BOOLEAN},
	{"id",          INTEGER, READ_ONLY},
	{"created_at",  TIME,    READ_ONLY},
	{"updated_at",  TIME,    READ_ONLY},
	{0},
};

static const struct field saved_item[] = {
	{"product_id", INTEGER, REQUIRED},
	{"id",         INTEGER, READ_ONLY},
	{"created_at", TIME,    READ_ONLY},
	{0},
};

static const struct field user_query[] = {{"address_id", INTEGER}, {0}};
static const struct field since_query[] = {{"since", TIME}, {0}};
/* clang-format on */

/* ---- Routes ---- */

/* clang-format off */
#define BASE     "/api/v1/auth/"
#define INTERNAL "/internal/v1/"

static const struct route routes[] = {
	{POST,   BASE "register/",           ANYONE,  0, new_account,     .handler = register_account},
	{POST,   BASE "login/",              ANYONE,  0, credentials,     .handler = sign_in},
	{POST,   BASE "refresh/",            ANYONE,  0, refresh_token,   .handler = refresh_session},
	{POST,   BASE "verify/",             ANYONE,  0, any_token,       .handler = verify_token},
	{POST,   BASE "logout/",             ANYONE,  0, refresh_token,   .handler = log_out},
	{POST,   BASE "logout-all/",         USER,    0, nothing,         &sql_end_all_sessions},
	{GET,    BASE "jwks.json/",          ANYONE,  0, NULL,            .handler = show_keys},

	{GET,    BASE "profile/",            USER,    0, NULL,            &sql_show_profile},
	{PUT,    BASE "profile/",            USER,    0, whole_profile,   .handler = change_profile},
	{PATCH,  BASE "profile/",            USER,    0, profile_changes, .handler = change_profile},
	{POST,   BASE "password/change/",    USER,    0, new_password,    .handler = change_password},

	{GET,    BASE "addresses/",          USER,    0, page_fields,     &sql_list_addresses},
	{POST,   BASE "addresses/",          USER,    0, address,         &sql_create_address, &sql_show_address},
	{GET,    BASE "addresses/:id/",      USER,    0, NULL,            &sql_show_address},
	{PUT,    BASE "addresses/:id/",      USER,    0, address,         &sql_replace_address, &sql_show_address},
	{DELETE, BASE "addresses/:id/",      USER,    0, NULL,            &sql_delete_address},

	{GET,    BASE "saved-items/",        USER,    0, page_fields,     &sql_list_saved_items},
	{POST,   BASE "saved-items/",        USER,    0, saved_item,      &sql_save_item},
	{GET,    BASE "saved-items/:id/",    USER,    0, NULL,            &sql_show_saved_item},
	{DELETE, BASE "saved-items/:id/",    USER,    0, NULL,            &sql_delete_saved_item},

	{GET,    INTERNAL "users/:id/",      SERVICE, 0, user_query,      &sql_show_user},
	{GET,    INTERNAL "ended-sessions/", SERVICE, 0, since_query,     &sql_list_ended_sessions},
	{POST,   INTERNAL "events/",         SERVICE, 0, event_fields,    &sql_receive_user_event},
};
/* clang-format on */

int main(int argc, char **argv)
{
	return serve(&(const struct service_definition){"users", routes, COUNT(routes),
	                                                USERS_SCHEMA_VERSION},
	             argc, argv);
}
