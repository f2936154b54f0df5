/* db_options.c: where a service's database is, and how a connection to it behaves. */
#include "internal.h"

/* <SERVICE>_DATABASE_URL, else DATABASE_URL. */
static const char *url_of(struct arena *arena, const char *service)
{
	const char *url = service_setting(arena, service, "_database_url");

	return url ? url : setting("DATABASE_URL", NULL);
}

bool db_is_configured(struct arena *arena, const char *service)
{
	return url_of(arena, service) || service_setting(arena, service, "_db_name");
}

/* Without a URL: <SERVICE>_DB_NAME, _USER, _PASSWORD, ... */
static const char *part(struct arena *arena, const char *service, const char *suffix)
{
	return url_of(arena, service) ? NULL : service_setting(arena, service, suffix);
}

void db_options(struct arena *arena, const char *service, const char *names[DB_OPTIONS],
                const char *values[DB_OPTIONS])
{
	const char *url = url_of(arena, service);
	/* To compile a plan takes longer than any of ours runs. */
	const char *session = arena_printf(arena,
	                                   "-c search_path=%s -c statement_timeout=5000 "
	                                   "-c lock_timeout=2000 -c TimeZone=UTC -c jit=off "
	                                   "-c idle_in_transaction_session_timeout=10000",
	                                   service);
	/* The URL overrules what stands in front of it. */
	const char *const options[][2] = {
		{"keepalives_idle", "5"},
		{"keepalives_interval", "2"},
		{"keepalives_count", "3"},
		{"tcp_user_timeout", "10000"},
		{"dbname", url ? url : part(arena, service, "_db_name")},
		{"user", part(arena, service, "_db_user")},
		{"password", part(arena, service, "_db_password")},
		{"host", part(arena, service, "_db_host")},
		{"port", part(arena, service, "_db_port")},
		{"options", session},
		{"connect_timeout", "2"},
		{"client_encoding", "UTF8"},
		{"application_name", service},
		{NULL, NULL},
	};

	_Static_assert(COUNT(options) == DB_OPTIONS, "room for all options");
	for (size_t i = 0; i < COUNT(options); i++) {
		names[i] = options[i][0];
		values[i] = options[i][1];
	}
}
