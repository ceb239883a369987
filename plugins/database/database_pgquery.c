/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgquery: runs the user's queries, each in a read-only transaction of its own, so that a failure
 * does not affect the others. Called by database_postgres on the check's thread; owns nothing. */
#ifdef HAVE_LIBPQ
#include <stdio.h>
#include <string.h>

#include "database_postgres.h"

struct query_outcome { /* of one message to the server */
	const char *title;
	bool of_user, failed;
	struct pg_fault fault;
	struct database_answer answer;
};

static void take_failure(struct query_outcome *got, const PGresult *result)
{
	if (got->failed)
		return;
	got->failed = true;
	pg_explain_statement(PQresultErrorField(result, PG_DIAG_SQLSTATE),
			     PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), got->title, got->of_user,
			     &got->fault);
}

/* int2, int4, int8, oid, float4, float8, numeric, bool */
static bool is_number(Oid type)
{
	return type == 21 || type == 23 || type == 20 || type == 26 || type == 700 || type == 701 ||
	       type == 1700 || type == 16;
}

static void take_answer(void *arg, const PGresult *result)
{
	struct query_outcome *got = arg;
	ExecStatusType status = PQresultStatus(result);
	if (status == PGRES_SINGLE_TUPLE) {
		if (got->answer.rows++ == 0 && PQnfields(result) > 0 && is_number(PQftype(result, 0)))
			got->answer.has_value = pg_read_number(result, 0, &got->answer.value);
	} else if (status == PGRES_FATAL_ERROR) {
		take_failure(got, result);
	} else if (status != PGRES_TUPLES_OK && !got->failed) {
		got->failed = true;
		pg_fault_set(&got->fault, SKYMON_QUERY_ERROR, "%s is not a statement that returns rows",
			     got->title);
	}
}

static void take_nothing(void *arg, const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		take_failure(arg, result);
}

/* Ends the previous transaction and begins the next. The server's timeout is a little before ours, so that it
 * frees the query's resources and the connection survives a slow query. */
static enum pg_outcome begin_transaction(struct skymon *sm, struct pg *pg, bool first, int64_t share_ms,
					 struct query_outcome *got)
{
	char sql[120];
	snprintf(sql, sizeof(sql), "%sBEGIN READ ONLY; SET LOCAL statement_timeout = %lld",
		 first ? "" : "ROLLBACK; ", (long long)(share_ms - share_ms / 10 + 1));
	return pg_ask(sm, pg, sql, false, take_nothing, got, "BEGIN", &got->fault);
}

/* The extended protocol refuses a second statement. */
static enum pg_outcome run_query(struct skymon *sm, struct pg *pg, const struct database_query *query,
				 struct query_outcome *got)
{
	double began = database_clock();
	got->of_user = true;
	enum pg_outcome outcome = pg_ask(sm, pg, query->sql, true, take_answer, got, got->title, &got->fault);
	got->answer.seconds = database_clock() - began;
	return outcome;
}

enum pg_outcome pg_queries_run(struct skymon *sm, const struct database *db, struct pg *pg,
			       struct database_tally *tally, struct pg_fault *fault)
{
	size_t count = database_query_count(db);
	struct query_outcome unused = {.title = "ROLLBACK"};
	enum pg_outcome outcome = PG_DONE;
	for (size_t i = 0; outcome == PG_DONE && i < count; i++) {
		struct database_query query = database_query_at(db, i);
		char title[DATABASE_QUERY_NAME_MAX + 16];
		struct query_outcome got = {.title = title};
		database_query_title(&query, title);
		skymon_step(sm, "running the configured queries");
		tally->run++;
		/* A query that does not end must not use the others' share of the time. */
		outcome = begin_transaction(sm, pg, i == 0, skymon_ms_left(sm) / (int64_t)(count - i), &got);
		if (outcome == PG_DONE && !got.failed)
			outcome = run_query(sm, pg, &query, &got);
		if (outcome == PG_DONE && !got.failed)
			database_query_report(sm, &query, &got.answer);
		else if (outcome == PG_DONE)
			database_query_fail(sm, tally, &query, got.fault.is.reason, got.fault.is.text);
		else
			*fault = got.fault;
	}
	if (outcome == PG_DONE && PQtransactionStatus(pg->line.conn) != PQTRANS_IDLE &&
	    pg_ask(sm, pg, "ROLLBACK", false, take_nothing, &unused, "ROLLBACK", &unused.fault) != PG_DONE)
		pg_drop(pg);
	return outcome;
}
#endif
