/* internal.h: what the files of shared/ ask of one another; nothing of it is for cgi/. */
#ifndef ARNOVA_INTERNAL_H
#define ARNOVA_INTERNAL_H

#include <stdarg.h>

#include "arnova.h"

#define LIMIT_BODY (1024 * 1024) /* bytes of a request's body */
#define LIMIT_DEPTH 32           /* levels of JSON */
#define LIMIT_NESTING 1000       /* of JSON from whom we must understand; cJSON's own limit */
#define LIMIT_PATH 2048          /* bytes of a request's path */
#define LIMIT_QUERY 8192         /* bytes of a query string */
#define LIMIT_HOST 255           /* bytes of the name that the client has for us */
#define LIMIT_PARAMETERS 96      /* parameters of a request or a query */
#define LIMIT_TOKEN 4096         /* bytes of a JWT */
#define LIMIT_HEADER 4096        /* bytes of a header of ours */
#define LIMIT_SECRET 32          /* bytes that a secret has at least */
#define DEADLINE_MS 10000        /* of a request */
#define DEADLINE_LONG_MS 25000   /* of one that may reach Stripe (LONG) */

/* ---- arena.c ---- */

struct arena *arena_new(void);
void arena_reset(struct arena *arena); /* runs what was deferred, keeps one block */
void arena_destroy(struct arena *arena);

/* A text that grows; its bytes belong to the arena. */
struct text {
	struct arena *arena;
	char *bytes; /* always ends with a NUL; NULL until something was added */
	size_t size, room;
};
void text_add(struct text *text, const char *bytes, size_t size);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
	PRINTF_LIKE(2, 0);

/* ---- utf8.c ---- */

size_t utf8_size(const char *text, size_t size); /* bytes of the character here; 0: not UTF-8 */
size_t utf8_count(const char *text);             /* characters of a text that is UTF-8 */
bool is_control(const char *text);               /* whether a control character starts here */

/* ---- json_scan.c: the strict grammar, before cJSON sees a byte. ---- */

/* NULL when the text is strict JSON: RFC 8259, UTF-8, no duplicate names in an object, no NUL
 * character even when escaped, at most limit levels (not above LIMIT_NESTING), no lone
 * surrogates.  Otherwise what is wrong ("unexpected end of text"), *at its offset. */
const char *json_fault(const char *text, size_t size, size_t limit, size_t *at);

/* ---- json.c: the only file that knows cJSON. ---- */

enum json_kind {
	JSON_NULL = 1,
	JSON_BOOLEAN,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
};
/* As json_parse(), but numbers beyond a double are let in, as infinity: a client is told in
 * which field. */
struct json *json_parse_any(struct arena *arena, const char *text, size_t size);
bool json_is_finite(const struct json *json); /* whether every number in it is */

enum json_kind json_kind(const struct json *json);
const char *json_name(const struct json *json); /* of a member of an object; NULL else */
const struct json *json_first(
	const struct json *json); /* child of an array or object, or NULL */
const struct json *json_next(const struct json *json);
const struct json *json_member(const struct json *json, const char *name); /* or NULL */
bool json_whole(const struct json *json, int64_t *value); /* a whole number within 2^53 */
double json_number(const struct json *json);
const char *json_string(const struct json *json);

/* ---- luhn.c ---- */

/* Whether a string or a name in it holds 13 to 19 digits, apart from spaces and hyphens, that
 * pass Luhn's check; phone, postal_code, tracking_number and tracking_url are exempt. */
bool holds_card_number(const struct json *json);

/* ---- country.c ---- */

/* The code of a country in capitals; NULL: there is no such country. */
const char *country_code(struct arena *arena, const char *text);

/* ---- calendar.c ---- */

bool is_date(const char *text); /* YYYY-MM-DD, a day of the calendar */
bool is_time(const char *text); /* RFC 3339, with the offset */

/* ---- scalar.c ---- */

/* A value of any kind but OBJECT and LIST in the form that parameters have; NULL: *fault says
 * why it is refused. */
const char *scalar_check(struct arena *arena, const struct field *field, const char *text,
                         const char **fault);
/* The same with MONEY in this currency's decimals; up to three where currency is NULL. */
const char *scalar_check_in(struct arena *arena, const struct field *field, const char *text,
                            const struct currency *currency, const char **fault);

/* ---- params.c ---- */

struct param {
	const char *name;
	const char *value; /* NULL: absent or null */
	bool sent;
};

struct params {
	struct param list[LIMIT_PARAMETERS];
	size_t count;
};
void params_set(struct params *params, const char *name, const char *value, bool sent);
struct param *params_find(struct params *params, const char *name); /* NULL: not declared */

/* Collects the errors of one request: {"email":["…"],"items[0].quantity":["…"]}. */
struct errors {
	struct text text;
	size_t count;
	const char *usual_currency; /* of a new row whose body names none; NULL: none is made */
};
void errors_add(struct errors *errors, const char *field, const char *message);

/* Declares every field that is not READ_ONLY as not sent. */
void params_declare(struct params *params, const struct field *shape);
const struct field *field_find(const struct field *shape, const char *name); /* or NULL */

#define WHOLE_INPUT "non_field_errors" /* the name under which errors of no single field go */

/* ---- shape.c ---- */

/* Checks a parsed body (json) against the shape and declares a parameter for every field that
 * is not READ_ONLY, plus "body": the object of the fields sent, canonical, in the shape's order
 * (MONEY as string, INTEGER as number, BOOLEAN as such, the rest as string or null).  Where the
 * shape has a CURRENCY `currency` and errors a usual one, MONEY has no more decimals than the
 * body's currency. */
void shape_check_body(struct arena *arena, const struct field *shape, const struct json *json,
                      struct params *params, struct errors *errors);

/* ---- query_string.c ---- */

/* The same for a query string ("a=1&b=2", percent-encoded).  Unknown names are ignored, a name
 * given twice and a malformed encoding are errors. */
void shape_check_query(struct arena *arena, const struct field *shape, const char *query,
                       struct params *params, struct errors *errors);

/* Decodes %XX (and + as a space where plus_is_space).  NULL: malformed, a NUL byte, not UTF-8.
 */
char *percent_decode(struct arena *arena, const char *text, size_t size, bool plus_is_space);

/* ---- route.c ---- */

/* One normal form of the path for routing, authorisation and the log: decoded once, without the
 * query string, with a closing slash.  NULL: control characters, an encoded slash, empty or dot
 * segments, bad encoding, too long. */
char *path_normalise(struct arena *arena, const char *request_uri);

/* The route of the request's method and path, whose parameters it declares.  NULL with *allowed
 * = set of (1u << method) that the path has, 0 when there is no such path. */
const struct route *route_find(const struct service_definition *service,
                               struct request *request, unsigned *allowed);
const char *method_name(enum method method);

/* ---- table.c ---- */

/* Ends the program when a query of the table has a parameter that nothing supplies: a typo
 * stops it at its start, not in production. */
void check_routes(const struct service_definition *service);
void print_routes(const struct service_definition *definition); /* "METHOD PATH" a line */

/* ---- exchange.c ---- */

int64_t now_us(void);                                                /* CLOCK_MONOTONIC */
const char *cgi_variable(struct request *request, const char *name); /* "" when absent */
void receive_head(
	struct request *request); /* all that handlers find in the request but the body */
const char *receive_body(struct request *request); /* NULL, or the code of the problem */
void send_reply(struct request *request, const struct reply *reply);
void log_request(struct request *request, const struct reply *reply);

/* ---- proxy.c ---- */

void proxy_configure(void); /* reads TRUSTED_PROXIES: addresses and networks */
bool proxy_is_trusted(const char *peer);
/* The peer, or the nearest address that a trusted proxy reports (X-Forwarded-For). */
const char *proxy_client(struct arena *arena, const char *peer, const char *forwarded_for);
/* The scheme, or the one that the peer reports (X-Forwarded-Proto) if it is trusted. */
const char *proxy_scheme(const char *peer, const char *forwarded_proto, const char *scheme);

/* ---- health.c ---- */

extern const struct service_definition house; /* the routes that every service has */

/* ---- problem.c ---- */

/* As problem_with(), with a status of its own and a code that need not be in the table. */
struct reply problem_status(struct request *request, int status, const char *code,
                            const char *members);
/* As problem(), with a detail that says more than the usual one. */
struct reply problem_saying(struct request *request, const char *code, const char *detail);
struct reply problem_errors(struct request *request, const struct errors *errors);

/* ---- condition.c ---- */

/* Whether If-Match of a PUT, PATCH or DELETE names what GET of the same path would answer now.
 * False: *reply is the answer, 412, or why there is nothing to compare with. */
bool precondition_holds(struct request *request, struct reply *reply);
/* Gives the reply its ETag where it is a representation; 304 where the client has it. */
struct reply validated(struct request *request, const struct route *route, struct reply reply);

/* ---- page.c ---- */

/* What sql/generate.sh writes into every list and answer_list() sets; ends with NULL. */
extern const char *const list_parameters[];
struct reply answer_list(struct request *request, const struct query *query);

/* ---- query.c ---- */

/* A variant of a query: bit n of its mask says that part n is in. */
uint64_t query_variant(const struct request *request, const struct query *query);

struct variant {
	const struct query *query;
	uint64_t mask;
};

/* A set of them: an open hash table, of zeros when empty; whoever fills it keeps room. */
#define VARIANT_PLACES 1024 /* a power of two */
struct variants {
	struct variant places[VARIANT_PLACES];
	size_t count;
};
/* The variant's place in the set; its query is NULL where it is not there yet. */
struct variant *variant_place(struct variants *variants, const struct query *query,
                              uint64_t mask);

uint64_t query_uses(const struct query *query, uint64_t mask); /* bit n: $n+1 is in the text */
int query_parameters(const struct query *query);
const char *query_text(struct arena *arena, const struct query *query, uint64_t mask);

/* ---- sqlstate.c ---- */

/* What the server said of a failed statement; any but state and message may be NULL. */
struct failure {
	const char *state; /* SQLSTATE, five characters */
	const char *constraint, *table, *detail, *message;
};
struct reply reply_for(struct request *request, const struct failure *failure);
bool is_conflict(
	const struct failure *failure); /* serialisation or deadlock: worth another run */

/* ---- db_options.c ---- */

#define DB_OPTIONS 14 /* of a connection, with the NULL at the end */

bool db_is_configured(struct arena *arena, const char *service);
void db_options(struct arena *arena, const char *service, const char *names[DB_OPTIONS],
                const char *values[DB_OPTIONS]);

/* ---- db.c: the only file that knows libpq. ---- */

/* Makes the service's connection the current one.  Everything is lazy: it is opened at the
 * first query and again after it was lost.  The name must stay valid. */
void db_use(const char *service);
void db_close(void);

void db_begin_request(bool transaction_wanted); /* forgets what the last request left */
void db_want_transaction(bool wanted);          /* whether the next query begins one */
/* The next query begins a REPEATABLE READ transaction: it sees one state of the database, and a
 * write to a row that others have changed since fails (40001). */
void db_want_snapshot(void);
bool db_in_transaction(void);
void db_rollback(void);
void db_release_locks(void);     /* those that outlive a transaction */
void db_called_outside(void);    /* a sibling or Stripe was called: no second run */
bool db_worth_another_run(void); /* a deadlock or serialisation failure, and nothing was kept */

/* As run(), telling whether any row was touched. */
bool run_counted(struct request *request, const struct query *query, bool *touched) MUST_USE;
bool has_column(const struct row *row, const char *name);
const char *first_column(const struct row *row); /* NULL for SQL's null */
void columns_to_params(struct request *request, const struct row *row);

/* The owner's connection, for migrations alone.  False or NULL: db_owner_error() says why. */
bool db_owner_connect(const char *url) MUST_USE;
bool db_owner_script(const char *sql) MUST_USE; /* several statements, one transaction */
const char *db_owner_value(struct arena *arena, const char *sql);
const char *db_owner_error(void);
void db_owner_close(void);

/* For `make check-sql`: the server's complaint about a variant (bit n: part n is in), or NULL.
 */
const char *db_check_query(struct arena *arena, const struct query *query, uint64_t mask);

/* ---- idempotency.c ---- */

/* True: go on and run the handler.  False: *reply is the answer (replay, 400, 409, 422). */
bool idempotency_begin(struct request *request, const struct route *route, struct reply *reply);
/* After the handler, before the commit: keeps the answer or removes the key.  May turn the
 * reply into a 503. */
struct reply idempotency_end(struct request *request, struct reply reply);

/* ---- auth.c ---- */

void auth_configure(void); /* ends the program when SERVICE_TOKEN is missing or weak */
/* Sets request->caller from the Authorization header.  False: *reply is the answer. */
bool authenticate(struct request *request, struct reply *reply);
bool authorise(struct request *request, const struct route *route, struct reply *reply);

/* ---- state.c ---- */

int64_t boot_ms(void); /* CLOCK_BOOTTIME: for times in files that may outlive their writers */

#define LIMIT_STATE_PATH 512
#define LIMIT_STATE_NAME 32

/* Files lie in STATE_FOLDER, else VAR/run, else /dev/shm, and are named SERVICE.NAME. */
void state_configure(struct arena *arena, const char *service);
const char *state_path(struct arena *arena, const char *name);
/* Whether it is a plain file of our own user that nobody else may write to: what others wrote
 * could say anything.  False: errno says why. */
struct stat;
bool state_is_ours(int file, struct stat *about);
/* Logs that the file cannot be used, and errno; once in a process. */
void state_complain(struct arena *arena, const char *path);

/* ---- breaker.c ---- */

void breakers_configure(struct arena *arena); /* without it everybody is called always */
/* Whether a sibling is to be called now; if so, breaker_tell() says how it went. */
bool breaker_allows(enum service service);
enum health { WELL = 1, FAILED, HUNG };
void breaker_tell(enum service service, enum health health);
bool breaker_is_open(enum service service);

/* ---- sessions.c ---- */

void sessions_configure(struct arena *arena);
/* How it is with the session of a token, as users said at most 5 seconds ago; while users is
 * away, as it said last; unknown where it has not said anything yet.  May call users: never
 * inside a transaction, nor in the internal pool. */
enum session_state { SESSION_ALIVE = 1, SESSION_ENDED, SESSION_UNKNOWN };
enum session_state session_state(struct request *request, const struct claims *claims);

/* ---- fastcgi.c: the only file that knows libfcgi. ---- */

/* Waits for the next request; false when the process is to end. */
bool fcgi_accept(void);
/* CGI variable, NULL when absent; one that came several times is a list with commas. */
const char *fcgi_variable(struct arena *arena, const char *name);
bool fcgi_header_twice(void);             /* some header came twice that is no list */
long fcgi_read(char *bytes, size_t size); /* bytes read, -1 on error */
void fcgi_write(const char *bytes, size_t size);
void fcgi_finish(void);

/* ---- remote.c: the only file that knows libcurl. ---- */

void remote_configure(void);
/* What a call may take: its own limit or what is left of the request's deadline. */
long time_for_call(const struct request *request, long limit_ms);
/* One try; whether it is worth one is for siblings.c to say. */
struct response call_sibling(struct request *request, enum service service, enum method method,
                             const char *body, const char *path);

/* ---- events.c ---- */

extern const char *const service_names[SERVICES]; /* "products", ...: also schemas and roles */

/* Delivers some events that are due in the outbox of the current connection, but none to the
 * services in the set *away, to which it adds those that did not answer.  The number of events
 * that were taken up, delivered or not; -1 when the database failed. */
long relay_events(struct request *request, unsigned *away);
/* Deletes some events that were delivered or received long ago: how many; -1 when the database
 * failed. */
long forget_events(struct request *request);

/* ---- crypto.c: the only file that knows OpenSSL. ---- */

#define SHA256_SIZE 32
#define P256_SIZE 32 /* of a coordinate */

void sha256(const void *bytes, size_t size, unsigned char digest[SHA256_SIZE]);
void random_bytes(unsigned char *bytes, size_t size);

/* PBKDF2 with HMAC-SHA256, 32 bytes in base64 with padding, as Django stores it. */
const char *pbkdf2_sha256(struct arena *arena, const char *password, const char *salt,
                          int iterations);

bool key_is_p256(const char *pem, bool private); /* without a passphrase */
bool keys_belong_together(const char *private_pem, const char *public_pem);
void key_point(const char *public_pem, unsigned char x[P256_SIZE], unsigned char y[P256_SIZE]);

/* ---- password_rules.c ---- */

/* What is wrong with a new password, whoever's it is; NULL: nothing. */
const char *password_fault(const char *password);

/* ---- token.c: the only file that knows libjwt. ---- */

/* JWT_SECRET set: HS256 with it, and no key is read.  Else ES256 with JWT_PUBLIC_KEY and, if
 * this program signs, JWT_PRIVATE_KEY (paths of PEM files).  JWT_ALGORITHM may say which of the
 * two is meant, and must agree.  Ends the program when a secret is short, or a key is missing,
 * exposed or not a P-256 key.  Reads JWT_ISSUER and JWT_AUDIENCE, too. */
void token_configure(bool signs);

/* ---- log.c ---- */

void log_name(const char *service); /* of the lines to come; must stay valid */

/* One JSON object a line on standard error, in the names of the Elastic Common Schema. */
void log_event(const char *level, const char *message, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* "could not X: reason" and exit 1: for start-up alone. */
void die(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

/* ---- config.c ---- */

void settings_load(void);
/* PRODUCTS_DATABASE_URL for products and "_database_url"; NULL when absent. */
const char *service_setting(struct arena *arena, const char *service, const char *suffix);

/* What the house keeps of a request. */
struct private
{
	struct params params;
	struct text headers; /* of the reply, "Name: value\r\n" each */
	struct reply failure;
	const struct service_definition *service;
	const char *origin; /* "https://shop.example" */
	const char *query;  /* the raw query string */
	const char *traceparent;
	int64_t started_us, deadline_us; /* CLOCK_MONOTONIC */
	bool holds_key;                  /* an idempotency key's lock */
};

#endif
