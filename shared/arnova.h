/* arnova.h: everything that a service in cgi/ may use.
 *
 * libfcgi, libpq, cJSON, libjwt, libcurl, libargon2 and OpenSSL each stay inside one file of
 * shared/.  Unless a comment says otherwise, every pointer returned here belongs to the
 * request's arena and lives until the reply has been sent, and no pointer is ever NULL. */
#ifndef ARNOVA_H
#define ARNOVA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define MUST_USE __attribute__((warn_unused_result))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Memory: one arena per request, emptied once the reply is sent. ---- */

struct arena;

/* Zeroed and aligned.  Running out of memory ends the process; its supervisor starts another.
 */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_copy(struct arena *arena, const char *text, size_t size); /* adds the NUL */
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
/* Copies with ASCII letters in the other case, whatever the locale. */
char *arena_upper(struct arena *arena, const char *text);
char *arena_lower(struct arena *arena, const char *text);

/* Ties a foreign object (PGresult, cJSON, ...) to the life of the request: release(object) is
 * called, last registered first, when the arena is emptied. */
void arena_defer(struct arena *arena, void (*release)(void *), void *object);

/* ---- Shapes: what a JSON body or a query string must look like. ---- */

/* A value arrives as text in the request's parameters, in the form that PostgreSQL reads:
 * BOOLEAN as true/false, OBJECT and LIST as JSON text holding the declared fields only. */
enum kind {
	TEXT = 1, /* min..max characters; control characters but tab and line breaks are refused
	           */
	EMAIL,    /* TEXT with one @ and a dotted domain; at most 254 characters */
	URL,      /* TEXT, http(s)://... or an absolute path /... */
	SLUG,     /* TEXT of letters, digits, - and _ */
	COUNTRY,  /* ISO 3166-1 alpha-2 code, in any case; taken in capitals */
	PASSWORD, /* a new one: TEXT, and none that is all digits or among the most common */
	INTEGER,  /* min..max, both 0: any id from 1 to 2^53-1 */
	MONEY,    /* "19.99" or 19.99: not negative, at most three decimals, below 10^10;
	           * the currency's own number of decimals is judged where the currency is known */
	BOOLEAN,
	CURRENCY, /* ISO 4217 code that currency_find() takes */
	DATE,     /* YYYY-MM-DD */
	TIME,     /* RFC 3339 */
	CHOICE,   /* TEXT, one of .choices ("a b c") */
	IDS,      /* in a query string: 1,2,3; at most max of them */
	OBJECT, /* .fields declares its members; without .fields any members with text values */
	LIST,   /* of objects of .fields; min..max elements */
	ANY,    /* whatever JSON a sibling sends */
};

enum { REQUIRED = 1, NULLABLE = 2, READ_ONLY = 4, SECRET = 8 };
/* READ_ONLY: accepted and ignored, so that what was read can be sent back.
 * SECRET: TEXT in which every character is allowed but NUL (passwords). */

struct field {
	const char *name;
	enum kind kind;
	unsigned flags;
	int64_t min, max;
	const char *choices;
	const struct field *fields; /* array that ends with a field without a name */
};

/* ---- Requests: what came in, already authenticated and validated. ---- */

enum method { GET = 1, POST, PUT, PATCH, DELETE };

/* Who may call a route: any of the named.  A staff member is a USER too. */
enum access { ANYONE = 0, USER = 1, STAFF = 2, SERVICE = 4 };

struct caller {
	unsigned access;    /* set of enum access; 0 for a visitor */
	int64_t user_id;    /* 0 for a visitor and for a service */
	const char *family; /* the session that the access token belongs to; "" without one */
};

struct request {
	struct arena *arena;
	enum method method; /* HEAD is a GET whose body is not sent */
	const char *path; /* normalised: decoded once, always with its closing slash; "" for one
	                   * that cannot be normalised, and so has no route */
	const char *body; /* raw bytes, for signatures; "" without one */
	size_t body_size;
	struct caller caller;
	const char *id;          /* X-Request-ID, taken or made */
	const char *client;      /* address of the client */
	struct reply *failure;   /* the reply to give after a call below returned false */
	struct private *private; /* what the house keeps for itself */
};

/* The value of a parameter from the path (":id"), the query string, the body or set_param().
 * NULL where an optional one was left out or null.  Asserts that the name is declared. */
const char *param(const struct request *request, const char *name);
int64_t param_int(const struct request *request, const char *name); /* 0 when absent */
bool has_param(const struct request *request, const char *name);    /* sent, maybe as null */
/* Whether, of the shape's fields, this one was sent and no other. */
bool has_only_param(const struct request *request, const struct field *shape, const char *name);
/* Declares a parameter or changes it; name and value must live as long as the request. */
void set_param(struct request *request, const char *name, const char *value);
void set_param_int(struct request *request, const char *name, int64_t value);

/* Always declared for queries: user_id (NULL for a visitor), is_staff, is_service, request_id,
 * client, shop_currency, body (the body's declared fields as JSON), the parameters of a list's
 * page (page.c), and all that a route's path and shape declare.  A field user_id of the shape
 * reaches queries as asked_user_id, so that it is never taken for the caller. */

/* A request header by its name as HTTP writes it, NULL when absent. */
const char *header(const struct request *request, const char *name);

/* ---- Replies: a handler maps a request to a reply, so it answers exactly once. ---- */

struct reply {
	int status;
	const char *body; /* JSON; NULL for none */
};

struct reply reply_json(int status, const char *json) MUST_USE;
struct reply reply_empty(int status) MUST_USE;
void reply_header(struct request *request, const char *name, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Problem details, RFC 9457.  The code is one of the table in problem.c, which gives the
 * status, the title and the usual detail; an unknown code is a bug and asserts. */
struct reply problem(struct request *request, const char *code) MUST_USE;

/* The same with extra members: the inside of a JSON object, such as "\"from\":\"a\"". */
struct reply problem_with(struct request *request, const char *code,
                          const char *members) MUST_USE;

/* Sets the reply to give and returns false, for functions that fail as fetch() does. */
bool fail(struct request *request, struct reply reply);

/* 400 invalid with one error under one field ("items[0].quantity"). */
struct reply problem_field(struct request *request, const char *field,
                           const char *message) MUST_USE;

/* ---- Queries: named in sql/SERVICE/NAME.sql, compiled into build/sql/SERVICE.h. ---- */

/* ":json" one value that goes to the client; ":list" rows that become a page (sql/generate.sh
 * says how); ":row" at most one row for C to read; ":none" nothing. */
enum rows { ROWS_JSON = 1, ROWS_LIST, ROWS_ROW, ROWS_NONE };

/* A piece of a statement; part of the text only if the parameter `when` is (or, negated, is
 * not) present and, where `is` is given, has that value.  Only these fixed texts ever become
 * SQL. */
struct part {
	const char *text;
	const char *when;
	const char *is;
	bool negated;
	uint64_t uses; /* bit n: the text holds $n+1 */
};

struct query {
	const char *name;
	enum rows rows;
	const struct part *parts;  /* ends with a part without text */
	const char *const *params; /* names bound to $1, $2, ...; ends with NULL */
	bool descends;             /* a list's usual order */
};

/* Runs a :json, :list or :none query and turns what comes back into the reply: 200, 404 for no
 * row or a null value, 204 for :none (404 when no row was touched), a problem for a broken
 * constraint.  A :json row with a column "location" becomes a 201 with that header, one with a
 * column "status" gets that status. */
struct reply answer(struct request *request, const struct query *query) MUST_USE;

/* Runs `write`, a :row query, then answers with `show`, which sees what was written.  No row is
 * a 404.  The row's columns become parameters for `show`; one named "location" makes the reply
 * a 201 with that header. */
struct reply write_then_show(struct request *request, const struct query *write,
                             const struct query *show) MUST_USE;

/* Runs a query for a handler that looks at values.  False: *request->failure is the reply.
 * *row is NULL when there was no row. */
struct row;
bool fetch(struct request *request, const struct query *query, struct row **row) MUST_USE;
bool run(struct request *request, const struct query *query) MUST_USE;
const char *column(const struct row *row, const char *name); /* NULL for SQL's null */
int64_t column_int(const struct row *row, const char *name); /* 0 for SQL's null */
bool column_is(const struct row *row, const char *name, const char *value);

/* A handler's queries share one transaction, begun at the first, committed when the reply's
 * status is below 400 and rolled back otherwise.  commit() ends it early: before every call to
 * a sibling or to Stripe, and before an error whose writes must stay.  False: as with fetch. */
bool commit(struct request *request) MUST_USE;

/* ---- JSON that comes from elsewhere: a sibling's or Stripe's answer, a webhook. ---- */

struct json;

/* NULL if the text is not strict JSON (RFC 8259; duplicate names and numbers beyond a double
 * refused, 32 levels at most). */
struct json *json_parse(struct arena *arena, const char *text, size_t size);
/* The same with 1000 levels, for what is signed: it is not a client who may be told to mend it.
 */
struct json *json_parse_deep(struct arena *arena, const char *text, size_t size);

/* The value at a path such as "error.payment_intent.id" or "items[0].price".  json_text gives
 * strings, numbers and booleans as text; NULL for null and for what is not there.  json_raw
 * gives any value as JSON text; NULL when it is not there. */
const char *json_text(struct arena *arena, const struct json *json, const char *path);
int64_t json_int(const struct json *json, const char *path); /* 0 when not an integer */
bool json_true(const struct json *json, const char *path);
const char *json_raw(struct arena *arena, const struct json *json, const char *path);

/* Text as a JSON string with its quotes; "null" for NULL. */
const char *json_quote(struct arena *arena, const char *text);

/* ---- Calls: to siblings and to Stripe.  Never inside a transaction: they assert that. ---- */

enum service { PRODUCTS, ORDERS, USERS, CART, PAYMENTS, SERVICES };

/* What is known of a call.  NOT_SENT: certainly without effect.  UNKNOWN: sent, and no whole
 * answer seen; never to be read as failed. */
enum outcome { ANSWERED = 1, NOT_SENT, UNKNOWN };

struct response {
	enum outcome outcome;
	int status;        /* 0 unless ANSWERED */
	struct json *json; /* NULL when there is no body or it is not JSON */
	const char *body;
	const char *request_id;   /* the peer's Request-Id, NULL without one */
	const char *should_retry; /* Stripe-Should-Retry, NULL without one */
	bool repeated; /* sent more than once: an earlier try may still take effect */
	bool replayed; /* Idempotent-Replayed: kept from an earlier execution */
};

/* Asks a sibling under /internal/v1/ with the service token, the request's id and what is left
 * of its deadline.  The path is printf-made; body is JSON or NULL.  Idempotent calls (GET, and
 * POSTs that the sibling knows by their order id: all of ours) are repeated up to twice. */
struct response ask(struct request *request, enum service service, enum method method,
                    const char *body, const char *path, ...) PRINTF_LIKE(5, 6) MUST_USE;

/* The same, but all tries together wait for limit_ms at most: for answers that the caller can
 * do without.  A GET without a body, else a POST. */
struct response ask_within(struct request *request, long limit_ms, enum service service,
                           const char *body, const char *path, ...) PRINTF_LIKE(5, 6) MUST_USE;

/* The reply for a sibling that could not be reached or failed: 503 or 504; or the sibling's own
 * problem (any 4xx) passed on unchanged. */
struct reply reply_from(struct request *request, const struct response *response) MUST_USE;

/* One HTTP call to somebody who is not a sibling.  Headers: array that ends with NULL. */
struct call {
	enum method method;
	const char *url;
	const char *const *headers;
	const char *body;
	long timeout_ms; /* at most; the request's deadline may be nearer */
};
struct response call(struct request *request, const struct call *call) MUST_USE;

/* Hands this service's undelivered events of one aggregate (an order's id) to their subscribers
 * now, so that the client reads its own write.  Failures are left to `arnova relay`. */
void deliver_events(struct request *request, int64_t aggregate_id);

/* Milliseconds that are left for this request. */
long time_left(const struct request *request);

/* ---- Money and currencies (ISO 4217; docs.stripe.com/currencies). ---- */

struct currency {
	char code[4];
	uint8_t decimals;        /* on the wire and in our tables */
	uint8_t stripe_decimals; /* in Stripe's amounts */
	int32_t minimum;         /* smallest charge in our minor units; 0 where none is known */
};

const struct currency *currency_find(const char *code); /* NULL: not one we take */

/* "19.99" to 1999.  False: not an amount in this currency, or not below 10^10 whole units. */
bool money_parse(const char *text, const struct currency *currency, int64_t *minor) MUST_USE;
const char *money_text(struct arena *arena, int64_t minor, const struct currency *currency);

/* To and from Stripe's smallest unit.  False: Stripe cannot express it (KWD 1.255, ISK 1.50).
 */
bool money_to_stripe(int64_t minor, const struct currency *currency, int64_t *amount) MUST_USE;
bool money_from_stripe(int64_t amount, const struct currency *currency,
                       int64_t *minor) MUST_USE;

/* ---- Identity: passwords and tokens. ---- */

/* Django's encoded forms.  Hashing takes tens of milliseconds and 19 MiB by design.  So does a
 * comparison with a text that is no hash: give "" for an account that does not exist, and the
 * time taken does not tell. */
const char *hash_password(struct arena *arena, const char *password);
bool password_matches(const char *password, const char *encoded);
/* Whether a stored hash is weaker than those of hash_password(), and should be replaced. */
bool password_outdated(const char *encoded);

/* Whether a password is little more than the name; case and punctuation do not count. */
bool password_resembles(const char *password, const char *name);

/* What a token says (djangorestframework-simplejwt's claims).  is_staff is informative. */
struct claims {
	const char *type; /* "access" or "refresh" */
	const char *jti;
	const char *family;
	int64_t user_id;
	int64_t issued, expires; /* Unix seconds */
	bool is_staff;
};

/* A signed token.  For the users service alone, which alone has the private key. */
const char *issue_token(struct arena *arena, const struct claims *claims);

/* The jti that follows another one in its family: the same each time, and nobody without the
 * private key (or the secret) can guess it.  For the users service alone, too. */
const char *successor_of(struct arena *arena, const char *jti);

/* The public key as a JWK Set (RFC 7517), for others who check our tokens; an empty set where
 * tokens are signed with a shared secret. */
const char *public_keys(struct arena *arena);

/* NULL: not a valid, unexpired token of ours of that type. */
const struct claims *read_token(struct arena *arena, const char *token, const char *type);

/* ---- Bytes. ---- */

/* In lower-case hexadecimal digits. */
const char *sha256_hex(struct arena *arena, const void *bytes, size_t size);
const char *hmac_sha256_hex(struct arena *arena, const char *key, const void *bytes,
                            size_t size);
const char *random_hex(struct arena *arena, size_t bytes);
bool same_text(const char *a, const char *b); /* in constant time for equal lengths */

/* ---- Routes: each service is one table, and serve() is its main loop. ---- */

typedef struct reply handler(struct request *request);

enum { KEYED = 1, LONG = 2, RAW = 4 };
/* KEYED: an Idempotency-Key is required.  LONG: may reach Stripe, so its deadline is 25 s.
 * RAW: the body is no JSON of a shape; the handler checks its bytes. */

struct route {
	enum method method;
	const char *path; /* "/api/v1/products/:id/"; names that end in "id" match an id,
	                   * :slug an id or a slug, others any segment */
	unsigned access;  /* set of enum access */
	unsigned flags;
	const struct field *accepts; /* shape of the body (GET: of the query string) */
	const struct query *query;   /* either: the whole answer is one query ... */
	const struct query
		*show;    /* ... or `query` writes and this one shows what became of it ... */
	handler *handler; /* ... or: C has something to decide */
};

struct service_definition {
	const char *name;
	const struct route *routes;
	size_t count;
	int schema_version;
	/* Judges the service's own settings at start: NULL, or what is wrong.  May be left out.
	 */
	const char *(*settings_fault)(void);
};

/* Fields of the query string of every list.  A list that can be ordered has "ordering", a
 * CHOICE, and one that can be searched "search", beside them. */
#define PAGE_FIELDS                                                    \
	{"page", INTEGER, .min = 1}, {"page_size", INTEGER, .min = 1}, \
	{                                                              \
		"cursor", TEXT, .max = 4096                            \
	}

/* The query string of a list that has one order only: any ?ordering= is refused. */
extern const struct field page_fields[];

/* Shape of POST /internal/v1/events/, which every service has: event_id, type, aggregate_id,
 * version, payload. */
extern const struct field event_fields[];

/* Says in the log what somebody should look at; the message is a plain sentence, members the
 * inside of a JSON object, such as "\"order\":5". */
void log_alarm(const struct request *request, const char *message, const char *members);

/* A setting from the environment as it was at start (libfcgi's accept replaces environ). */
const char *setting(const char *name, const char *fallback);

/* Checks settings and table, then serves until SIGTERM: as FastCGI where fd 0 is a socket, as
 * CGI for one request otherwise.  `--routes` prints the table instead.  The exit status. */
int serve(const struct service_definition *definition, int argc, char **argv);

#endif
