/* db.c: PostgreSQL through libpq: one connection per worker and service, named queries. */
#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define LIMIT_PREPARED 256 /* statements of one connection: each holds a plan in the server */
#define LIMIT_VALUES 64    /* of a query, as many as struct part has bits */
#define TEXT_OID 25

struct connection {
	const char *service;
	PGconn *pg;
	bool in_transaction;
	struct variants prepared; /* emptied with the connection */
};

struct row {
	PGresult *result;
};

static struct connection connections[SERVICES];
static struct connection *current;
static bool transaction_wanted; /* the next query begins one */
static bool snapshot_wanted;    /* and that one is repeatable read */
static bool committed;          /* something of this request is already kept */
static bool conflicted;         /* 40001 or 40P01: worth another run */

/* ---- The connection ---- */

static void ignore_notice(void *nothing, const char *message)
{
	(void)nothing;
	(void)message;
}

static void forget_prepared(void)
{
	memset(&current->prepared, 0, sizeof(current->prepared));
}

static void forget_connection(void)
{
	PQfinish(current->pg);
	current->pg = NULL;
	current->in_transaction = false;
	forget_prepared();
}

static bool connected(struct arena *arena)
{
	const char *names[DB_OPTIONS], *values[DB_OPTIONS];

	if (PQstatus(current->pg) == CONNECTION_OK) /* false for NULL, too */
		return true;
	forget_connection();
	db_options(arena, current->service, names, values);
	current->pg = PQconnectdbParams(names, values, 1);
	if (PQstatus(current->pg) == CONNECTION_OK) {
		PQsetNoticeProcessor(current->pg, ignore_notice, NULL);
		return true;
	}
	log_event("error", "could not connect to the database", "\"error.message\":%s",
	          json_quote(arena, PQerrorMessage(current->pg)));
	return false;
}

void db_use(const char *service)
{
	for (size_t i = 0; i < COUNT(connections); i++) {
		current = &connections[i];
		if (current->service && !strcmp(current->service, service))
			return;
		if (!current->service) {
			current->service = service;
			return;
		}
	}
	assert(!"more services than connections");
}

void db_close(void)
{
	for (size_t i = 0; i < COUNT(connections); i++) {
		PQfinish(connections[i].pg);
		connections[i].pg = NULL;
	}
}

/* ---- Failures ---- */

static bool fail_with(struct request *request, PGresult *result)
{
	struct failure failure = {
		.state = PQresultErrorField(result, PG_DIAG_SQLSTATE),
		.constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME),
		.table = PQresultErrorField(result, PG_DIAG_TABLE_NAME),
		.detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL),
		/* For the log, and without the detail, which may quote a row. */
		.message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
	};

	if (!failure.state) {
		failure.state = "08006"; /* libpq itself lost the connection */
		failure.message = PQresultErrorMessage(result);
	}
	conflicted = is_conflict(&failure);

	struct reply reply = reply_for(request, &failure);

	PQclear(result);
	return fail(request, reply);
}

/* ---- Statements ---- */

static const char *statement_name(struct arena *arena, const struct query *query, uint64_t mask)
{
	return arena_printf(arena, "%s_%" PRIx64, query->name, mask);
}

static PGresult *prepare(struct arena *arena, const char *name, const struct query *query,
                         uint64_t mask)
{
	Oid types[LIMIT_VALUES] = {0};
	uint64_t used = query_uses(query, mask);
	int count = query_parameters(query);

	for (int i = 0; i < count; i++)
		if (!(used >> i & 1))
			types[i] = TEXT_OID; /* unused here, so the server cannot tell it */
	return PQprepare(current->pg, name, query_text(arena, query, mask), count, types);
}

static bool succeeded(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* Clients choose the variants of a query, so there can be more than are worth keeping. */
static void make_room(void)
{
	if (current->prepared.count < LIMIT_PREPARED)
		return;

	PGresult *result = PQexec(current->pg, "DEALLOCATE ALL");

	if (succeeded(result))
		forget_prepared();
	PQclear(result);
}

/* Prepares where needed and runs once; the result is the caller's to clear. */
static PGresult *execute(struct request *request, const struct query *query, uint64_t mask)
{
	make_room();

	struct variant *place = variant_place(&current->prepared, query, mask);
	const char *values[LIMIT_VALUES] = {0};
	uint64_t used = query_uses(query, mask);
	int count = query_parameters(query);

	if (!place->query) {
		PGresult *result =
			prepare(request->arena, statement_name(request->arena, query, mask),
		                query, mask);

		if (!succeeded(result))
			return result;
		PQclear(result);
		current->prepared.count++;
		*place = (struct variant){query, mask};
	}
	for (int i = 0; i < count; i++)
		values[i] = used >> i & 1 ? param(request, query->params[i]) : NULL;
	return PQexecPrepared(current->pg, statement_name(request->arena, query, mask), count,
	                      values, NULL, NULL, 0);
}

static bool begin(struct request *request)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		if (!connected(request->arena))
			break;

		PGresult *result = PQexec(
			current->pg,
			snapshot_wanted ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");
		bool begun = succeeded(result);

		PQclear(result);
		if (begun) {
			current->in_transaction = true;
			transaction_wanted = snapshot_wanted = false;
			return true;
		}
		forget_connection(); /* it died while idle: once more on a new one */
	}
	return fail(request, problem(request, "upstream_unavailable"));
}

/* PQstatus() alone may call a connection good whose server was killed. */
static bool is_lost(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return PQstatus(current->pg) != CONNECTION_OK ||
	       (!succeeded(result) && (!state || !strncmp(state, "57P", 3)));
}

/* A read outside of a transaction that meets a dead connection is asked again on a new one. */
static PGresult *execute_read(struct request *request, const struct query *query, uint64_t mask)
{
	for (int attempt = 0;; attempt++) {
		if (!connected(request->arena))
			return NULL;

		PGresult *result = execute(request, query, mask);

		if (attempt || !is_lost(result))
			return result;
		PQclear(result);
		forget_connection();
	}
}

static bool query_result(struct request *request, const struct query *query, PGresult **result)
{
	uint64_t mask = query_variant(request, query);

	if (!current->in_transaction && transaction_wanted && !begin(request))
		return false;
	*result = current->in_transaction ? execute(request, query, mask)
	                                  : execute_read(request, query, mask);
	if (!*result)
		return fail(request, problem(request, "upstream_unavailable"));
	return succeeded(*result) || fail_with(request, *result);
}

static void clear_result(void *result)
{
	PQclear(result);
}

bool fetch(struct request *request, const struct query *query, struct row **row)
{
	PGresult *result;

	*row = NULL;
	if (!query_result(request, query, &result))
		return false;
	arena_defer(request->arena, clear_result, result);
	if (PQntuples(result) == 0)
		return true;
	assert(PQntuples(result) == 1);
	*row = arena_alloc(request->arena, sizeof(**row));
	(*row)->result = result;
	return true;
}

bool run_counted(struct request *request, const struct query *query, bool *touched)
{
	PGresult *result;

	if (!query_result(request, query, &result))
		return false;
	/* Of an INSERT, UPDATE or DELETE the rows that it touched, of a SELECT those that it
	 * gave: one that calls a procedure gives none where there was nothing to do. */
	*touched = strcmp(PQcmdTuples(result), "0") != 0;
	PQclear(result);
	return true;
}

const char *column(const struct row *row, const char *name)
{
	int at = PQfnumber(row->result, name);

	assert(at >= 0);
	return PQgetisnull(row->result, 0, at) ? NULL : PQgetvalue(row->result, 0, at);
}

bool has_column(const struct row *row, const char *name)
{
	return PQfnumber(row->result, name) >= 0;
}

const char *first_column(const struct row *row)
{
	return PQgetisnull(row->result, 0, 0) ? NULL : PQgetvalue(row->result, 0, 0);
}

void columns_to_params(struct request *request, const struct row *row)
{
	for (int i = 0; i < PQnfields(row->result); i++)
		set_param(request, PQfname(row->result, i),
		          PQgetisnull(row->result, 0, i) ? NULL
		                                         : PQgetvalue(row->result, 0, i));
}

/* ---- Transactions ---- */

void db_want_transaction(bool wanted)
{
	transaction_wanted = wanted;
}

void db_want_snapshot(void)
{
	assert(!db_in_transaction());
	transaction_wanted = snapshot_wanted = true;
}

void db_begin_request(bool wanted)
{
	transaction_wanted = wanted;
	snapshot_wanted = false;
	committed = false;
	conflicted = false;
}

bool db_in_transaction(void)
{
	return current && current->in_transaction;
}

bool db_worth_another_run(void)
{
	bool worth = conflicted && !committed;

	conflicted = false;
	return worth;
}

void db_called_outside(void)
{
	committed = true;
}

void db_rollback(void)
{
	if (!db_in_transaction())
		return;
	current->in_transaction = false;
	PQclear(PQexec(current->pg, "ROLLBACK"));
}

void db_release_locks(void)
{
	if (!current || PQstatus(current->pg) != CONNECTION_OK)
		return; /* they went with the connection */

	PGresult *result = PQexec(current->pg, "SELECT pg_advisory_unlock_all()");

	if (!succeeded(result))
		forget_connection();
	PQclear(result);
}

bool commit(struct request *request)
{
	transaction_wanted = true;
	if (!db_in_transaction())
		return true;
	current->in_transaction = false;

	PGresult *result = PQexec(current->pg, "COMMIT");

	if (!succeeded(result))
		return fail_with(request, result);

	/* A transaction in which something failed answers ROLLBACK. */
	bool kept = !strcmp(PQcmdStatus(result), "COMMIT");

	PQclear(result);
	committed = true;
	return kept || fail(request, problem(request, "internal_error"));
}

/* ---- The owner's connection: migrations alone ---- */

static PGconn *owner;

bool db_owner_connect(const char *url)
{
	const char *names[] = {"dbname", "connect_timeout", "client_encoding", NULL};
	const char *values[] = {url, "5", "UTF8", NULL};

	owner = PQconnectdbParams(names, values, 1);
	PQsetNoticeProcessor(owner, ignore_notice, NULL);
	return PQstatus(owner) == CONNECTION_OK;
}

bool db_owner_script(const char *sql)
{
	PGresult *result = PQexec(owner, sql);
	bool done = succeeded(result) || PQresultStatus(result) == PGRES_EMPTY_QUERY;

	PQclear(result);
	return done;
}

const char *db_owner_value(struct arena *arena, const char *sql)
{
	PGresult *result = PQexec(owner, sql);
	const char *value = NULL;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) &&
	    !PQgetisnull(result, 0, 0))
		value = arena_printf(arena, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return value;
}

const char *db_owner_error(void)
{
	return PQerrorMessage(owner);
}

void db_owner_close(void)
{
	PQfinish(owner);
	owner = NULL;
}

/* ---- make check-sql ---- */

const char *db_check_query(struct arena *arena, const struct query *query, uint64_t mask)
{
	if (!connected(arena))
		return PQerrorMessage(current->pg);

	PGresult *result = prepare(arena, "", query, mask);
	const char *message = NULL;

	if (!succeeded(result))
		message = arena_printf(arena, "%s", PQresultErrorMessage(result));
	PQclear(result);
	return message;
}
