/* standin.h: what the parts of the stand-in for Stripe share.
 * One lock (lock_state) guards all state; a function that says "locked" wants it held. */
#ifndef STANDIN_H
#define STANDIN_H

#include "util.h"

#define BODY_MAX (1024 * 1024)
#define AMOUNT_MAX 99999999
#define API_VERSION "2026-07-29.dahlia"

/* ---- Requests and answers ---- */

struct pair {
	char *name;
	char *value;
};

struct form {
	struct pair *pairs;
	size_t count;
};

/* What a request or an event is about: the last columns of the ledger. */
struct subject {
	char intent[ID_SIZE];
	char charge[ID_SIZE];
	char refund[ID_SIZE];
	char outcome[32]; /* status of the object afterwards */
	char currency[4];
	int64_t amount; /* -1: none */
	char order_id[501];
};

struct request {
	char *method;
	char *path;
	char *query;
	char *authorization;
	char *content_type;
	char *idempotency_key;
	char *stripe_version;
	char *signature;
	char *body;
	size_t body_length;
	bool expects_continue;
	bool keep_alive;
	uint64_t connection;
	char id[ID_SIZE];
	char target[ID_SIZE]; /* the id in the path, or "" */
	struct form form;
	char params_sha256[65];
	struct subject subject;
};

enum ending {
	SEND,
	CUT,
	HANG, /* never answers; ends when the caller does */
	HALF_HEADERS,
	HALF_BODY
};

struct answer {
	int status;
	char *body;
	size_t length;
	const char *content_type; /* NULL: JSON */
	struct text headers;      /* further header lines, each with its CRLF */
	enum ending ending;
	int64_t hang_milliseconds;
	bool last_here; /* the next request on this connection is cut unread */
	bool save;      /* keep under the idempotency key */
	char should_retry[8];
};

void set_body(struct answer *answer, int status, char *body);  /* takes body over */
void set_json(struct answer *answer, int status, cJSON *json); /* takes json over */

/* ---- head.c, http.c, listen.c, api.c, control.c ---- */

/* 0: understood; else the status of the refusal. Cuts the head into pieces. */
int parse_head(struct request *request, char *head, size_t *body_length);
void serve_connection(int socket, uint64_t number);
void connection_busy(uint64_t number, bool busy); /* an idle one may be closed any time */
bool http_start(uint16_t *port);
void http_stop(void);
void refuse_connections(int64_t milliseconds); /* also ends those that are idle */
bool refusing(void);
void api_start(void);
/* True: this request is to be cut before its body is read. */
bool cut_unread(struct request *request, bool doomed);
void answer_request(struct request *request, struct answer *answer);
void answer_control(struct request *request, struct answer *answer);
void forget_everything(void); /* locked */

struct settings {
	const char *secret_key;
	const char *webhook_secret;
	const char *webhook_url; /* NULL: events are made and never sent */
};
extern struct settings settings;

/* ---- form.c, tree.c ---- */

#define PARAMETERS_MAX 1000

bool form_decode(struct form *form, const char *text, size_t length);
void form_clear(struct form *form);
const char *form_value(const struct form *form, const char *name); /* NULL if absent */
int64_t form_integer(const struct form *form, const char *name, int64_t otherwise);
bool form_true(const struct form *form, const char *name);
cJSON *form_object(const struct form *form, const char *name); /* NULL if absent */
void form_digest(const struct form *form, char hex[65]);
/* Every leaf is a text; a list is an object with numbers as names. wrong becomes the first
 * name that is malformed or contradicts another, or NULL. */
cJSON *form_tree(const struct form *form, const char **wrong);

/* ---- spec.c, schema.c, check.c ---- */

struct operation {
	const char *method;
	const char *path;                                            /* as in openapi.json */
	void (*run)(struct request *request, struct answer *answer); /* locked */
	const cJSON *asks, *answers, *refuses; /* schemas; spec_start sets them */
};

void spec_start(struct operation *operations, size_t count);
void spec_stop(void);
const cJSON *spec_resolve(const cJSON *json); /* what a $ref leads to */
const cJSON *spec_schema(const char *name);   /* NULL: there is none */

#define WHERE_SIZE 256

enum misfit_kind { FITS, NOT_THERE, NOT_KNOWN, NOT_OF_TYPE, NOT_A_CHOICE, TOO_LONG, IS_EMPTY };

struct misfit {
	enum misfit_kind kind;
	char where[WHERE_SIZE];
	const cJSON *schema;
};

bool schema_fits(const cJSON *schema, const cJSON *value, bool is_form, struct misfit *misfit);

/* Locked. False: answer holds the refusal, which is not saved under the key. */
bool check_parameters(const struct operation *operation, const struct request *request,
                      struct answer *answer);
/* What the stand-in itself sends; a fault of it is a violation like any other. */
void check_answer(const struct operation *operation, const struct request *request,
                  const struct answer *answer);
void check_event(const struct request *request, const cJSON *event); /* locked */

/* ---- currency.c ---- */

bool check_amount(const char *currency, int64_t amount, struct answer *answer);

/* ---- errors.c: {"error":{...}} ---- */

struct error {
	int status;
	const char *type; /* NULL: invalid_request_error */
	const char *code;
	const char *param;
};

/* For what the parameters alone show to be wrong: never saved under the key. */
bool invalid(struct answer *answer, const char *code, const char *param, const char *format,
             ...) PRINTF_LIKE(4, 5);
/* For what was found out while executing: saved. The error object may be added to. */
cJSON *make_error(const struct error *error, const char *message);
void refuse(struct answer *answer, const struct error *error, const char *format, ...)
	PRINTF_LIKE(3, 4);
void refuse_intent(struct answer *answer, const cJSON *intent, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* ---- outcomes.c: what each test payment method leads to ---- */

enum result { SUCCEEDS, DECLINES, AUTHENTICATES, PROCESSES };
enum refund_result { REFUNDS, REFUND_FAILS, REFUND_PENDS };

struct outcome {
	const char *name; /* after pm_card_ and a brand */
	enum result result;
	const char *code;
	const char *decline_code;
	const char *message;
	enum refund_result refund;
	bool disputed;
};

const struct outcome *find_outcome(const char *payment_method); /* NULL: no such method */
extern const struct outcome authentication_failed, authentication_required, failed_later;

/* ---- objects.c: intents, charges and refunds in memory. All locked. ---- */

struct charge {
	cJSON *json;
	cJSON *dispute; /* or NULL */
	struct intent *intent;
	const struct outcome *outcome;
};

struct intent {
	cJSON *json;
	const struct outcome *outcome; /* of the attached payment method, or NULL */
	struct charge *charge;         /* the latest */
	bool needs_return_url;
	char *return_url;
};

struct refund {
	cJSON *json;
	struct charge *charge;
};

extern struct table intents, charges, refunds, methods;

struct intent *new_intent(int64_t amount, const char *currency);
struct charge *new_charge(struct intent *intent, const char *status);
struct refund *new_refund(struct charge *charge, int64_t amount, const char *status);
cJSON *new_method(const char *id, const char *customer);
const char *object_id(const cJSON *json);
const char *object_status(const cJSON *json);
void describe(struct subject *subject, const struct intent *intent, const struct charge *charge,
              const struct refund *refund);
const struct charge *find_charge(const char *id);
/* Answers a table as a list, newest first; keep says which objects belong to it. */
void answer_list(const struct request *request, struct answer *answer,
                 const struct table *table, const char *url,
                 bool (*keep)(const struct request *request, const cJSON *json));
/* Answers one object, with what expand[] asks for. Takes json over. */
void answer_object(const struct request *request, struct answer *answer, cJSON *json);
void clear_objects(void);

/* ---- intents.c, attempts.c, capture.c, refunds.c, settle.c. All locked. ---- */

void create_intent(struct request *request, struct answer *answer);
void read_intent(struct request *request, struct answer *answer);
void list_intents(struct request *request, struct answer *answer);
void confirm_intent(struct request *request, struct answer *answer);
void capture_intent(struct request *request, struct answer *answer);
void cancel_intent(struct request *request, struct answer *answer);
void create_refund(struct request *request, struct answer *answer);
void read_refund(struct request *request, struct answer *answer);
void list_refunds(struct request *request, struct answer *answer);
void read_charge(struct request *request, struct answer *answer);

struct intent *target_intent(const struct request *request, struct answer *answer);

struct attempt {
	struct request *request;
	struct intent *intent;
	const char *return_url;
	bool off_session;
	bool error_on_action;
};

void attempt_payment(const struct attempt *attempt, struct answer *answer);
void complete_payment(struct request *request, struct intent *intent);
void fail_payment(struct request *request, struct intent *intent, const struct outcome *why);
void executed(struct request *request, const struct intent *intent, const struct charge *charge,
              int status);
void hold_money(struct request *request, struct intent *intent);
void take_money(struct request *request, struct intent *intent, int64_t amount);
void let_money_go(struct intent *intent); /* if any is held */
#define EVERYTHING INT64_MIN              /* as an amount: all that is left */
void refund_charge(struct request *request, struct answer *answer, struct charge *charge,
                   int64_t amount);

bool settle_intent(struct request *request, struct intent *intent, bool succeeds);
/* reason: why it fails; NULL for the usual one. */
bool settle_refund(struct request *request, struct refund *refund, bool succeeds,
                   const char *reason);
bool settle_dispute(struct request *request, struct charge *charge, bool won);
void settle_later(const char *id); /* an intent, refund or (for a dispute) charge */
int64_t settle_due(void);          /* does what is due; milliseconds until the next */
void clear_settlements(void);

/* ---- idempotency.c. All locked. ---- */

/* False: answer holds a replay or a refusal. True: the key is now in use, until one of
 * the other two is called. */
bool idempotency_begin(struct request *request, struct answer *answer);
void idempotency_finish(const struct request *request, const struct answer *answer);
void idempotency_forget(const struct request *request);
void clear_idempotency(void);

/* ---- ledger.c. All locked. ---- */

void ledger_request(const char *kind, const struct request *request, int status,
                    const char *detail);
/* A rule of the house was broken. Outlives a reset; see GET /_fake/violations. */
void note_violation(const struct request *request, const char *detail);
void violations_print(struct text *text);
void clear_violations(void);
void ledger_event(const struct subject *subject, const char *event, const char *type,
                  int attempt, int status);
/* order_id: NULL for all; since: how many entries are left out at the start. */
void ledger_print(struct text *text, const char *order_id, size_t since);
void clear_ledger(void);

/* ---- scenario.c. All locked. ---- */

enum fault_kind {
	NO_FAULT,
	LATENCY,
	RESET,
	HALF_BODY_FAULT,
	HALF_HEADERS_FAULT,
	STATUS,
	HTML502,
	BROKEN_JSON,
	EMPTY,
	WRONG_AMOUNT,
	BLACK_HOLE,
	IDLE_CLOSE,
	REFUSED
};
enum moment { BEFORE_READ, BEFORE, AFTER };

struct fault {
	enum fault_kind kind;
	const char *name;
	enum moment when;
	int64_t milliseconds;
	int status;
	bool effect; /* the operation is carried out */
	bool saved;  /* the fault's own status is what the key replays */
	char should_retry[8];
	int64_t retry_after; /* -1: none */
	char code[64];
	char currency[4];
};

enum webhook_mode {
	WEBHOOKS_ON,
	WEBHOOKS_OFF,
	WEBHOOKS_TWICE,
	WEBHOOKS_HELD,
	WEBHOOKS_REVERSED
};

struct webhook_options {
	enum webhook_mode mode;
	bool stale, wrong_secret, rotated, unknown_type, before_answer, livemode, created;
	int64_t delay; /* milliseconds before the first attempt */
};

extern struct webhook_options webhook_options;
extern int64_t settle_delay; /* milliseconds; negative: only by control */

/* NULL, or what is wrong with it (the scenario is then unchanged). */
const char *scenario_set(const cJSON *json);
cJSON *scenario_show(void);
struct fault scenario_take(const struct request *request, bool unread);
void clear_scenario(void);

/* ---- faults.c ---- */

void answer_status(struct answer *answer, const struct fault *fault); /* the fault's own */
/* What strikes before the operation begins: nothing is done and nothing is saved. */
bool fault_at_once(const struct fault *fault, struct answer *answer);
/* What strikes after the operation, when its true answer is already saved. */
void fault_afterwards(const struct fault *fault, struct answer *answer);

/* ---- webhooks.c ---- */

void webhooks_start(void);
void webhooks_stop(void);
void webhooks_wake(void);
void webhooks_wait(const char *request_id); /* unlocked: until each was tried once */
/* Locked. Sends an event of this type about the object, as it is now. */
void send_event(const struct request *request, const char *type, const cJSON *object,
                const struct subject *subject, cJSON *previous_attributes);
size_t release_webhooks(void); /* locked */
void clear_webhooks(void);     /* locked */

#endif
