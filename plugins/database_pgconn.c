/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgconn: the connection to PostgreSQL: opening, keeping and using it without ever waiting past the
 * deadline. It belongs to struct pg. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "database_postgres.h"

/* ---- Waiting ---- */

/* Waits until the socket is ready; false when only `floor` ms are left to the deadline. */
static bool wait_for(struct skymon *sm, PGconn *conn, short events, int64_t floor)
{
	struct pollfd on = {.fd = PQsocket(conn), .events = events};

	if (on.fd < 0)
		return true; /* gone: libpq will say so */
	for (;;) {
		int64_t left = skymon_ms_left(sm) - floor;
		int ready;

		if (left <= 0)
			return false;
		ready = poll(&on, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return true;
	}
}

static void ignore_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

/* ---- Opening ---- */

static void explain_late(const PGconn *conn, struct pg_fault *fault)
{
	const char *text = "the server took the connection and did not answer the login in time";

	if (PQstatus(conn) == CONNECTION_STARTED)
		text = "no answer to the connection attempt in time";
	else if (PQstatus(conn) == CONNECTION_SSL_STARTUP)
		text = "the server took the connection and did not begin TLS in time";
	pg_fault_set(fault, SKYMON_TIMEOUT, "%s", text);
	fault->elsewhere = true;
}

/* Drives libpq's connection to its end, or to the floor. */
static bool open_conn(struct skymon *sm, PGconn *conn, int64_t floor, struct pg_fault *fault)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* with the SQLSTATE */
	PQsetNoticeProcessor(conn, ignore_notice, NULL);
	while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
	       state != PGRES_POLLING_FAILED) {
		if (!wait_for(sm, conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, floor)) {
			explain_late(conn, fault);
			return false;
		}
		state = PQconnectPoll(conn);
	}
	if (state != PGRES_POLLING_OK)
		pg_explain(PQerrorMessage(conn), PQuser(conn), PQpass(conn), fault);
	return state == PGRES_POLLING_OK;
}

static bool try_target(struct skymon *sm, const struct database *db, struct pg *pg,
		       const struct pg_target *target, const char *attributes, int64_t share,
		       struct pg_fault *fault)
{
	struct pg_params params = {.count = 0};
	char user_timeout[24];

	snprintf(user_timeout, sizeof(user_timeout), "%lld", (long long)(skymon_ms_left(sm) / 2 + 1));
	pg_params_fill(&params, pg, db, target, attributes, user_timeout);
	pg_tls_forget();
	skymon_step(sm, "connecting to PostgreSQL");
	pg->conn = PQconnectStartParams(params.names, params.values, 0);
	if (pg->conn == NULL) {
		pg_fault_set(fault, SKYMON_RESOURCE, "no memory is left for the connection");
		return false;
	}
	if (open_conn(sm, pg->conn, skymon_ms_left(sm) - share, fault) &&
	    PQsetnonblocking(pg->conn, 1) == 0) {
		pg->fresh = true;
		pg->connects++;
		return true;
	}
	pg_drop(pg);
	pg_tls_explain(fault);
	return false;
}

/* false when the server has ended the kept connection, or it is of no use any more. */
static bool still_there(PGconn *conn)
{
	struct pollfd on = {.fd = PQsocket(conn), .events = POLLIN | POLLRDHUP};

	if (PQstatus(conn) != CONNECTION_OK || PQtransactionStatus(conn) != PQTRANS_IDLE)
		return false;
	/* Normally nothing is there to read. Settings that changed may be; a server that says farewell, too.
	 */
	for (int i = 0; i < 8 && poll(&on, 1, 0) > 0; i++)
		if ((on.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 || PQconsumeInput(conn) == 0 ||
		    PQisBusy(conn) || PQstatus(conn) != CONNECTION_OK)
			return false;
	return true;
}

bool pg_connect(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault)
{
	struct pg_targets targets = {.count = 0};
	const char *attributes = pg_given(pg, "target_session_attrs");
	bool twice = false;

	pg->fresh = false;
	if (pg->conn != NULL && still_there(pg->conn))
		return true;
	if (pg->conn != NULL)
		skymon_info(sm, "%s: the kept connection was lost, connecting anew", pg->place);
	pg_drop(pg);
	if (!pg_files_are_there(&db->tls, fault))
		return false;
	fault->text[0] = '\0';
	if (!pg_find_targets(sm, pg, &targets)) {
		fault->status = SKYMON_UNHEALTHY;
		return false;
	}
	/* libpq would go round all hosts for a standby and then take any; each attempt here has one host. */
	twice = attributes != NULL && strcmp(attributes, "prefer-standby") == 0 && targets.count > 1;
	for (size_t i = 0, all = targets.count * (twice ? 2 : 1); i < all; i++) {
		const char *ask = !twice ? attributes : i < targets.count ? "standby" : "any";

		if (i > 0 && skymon_ms_left(sm) == 0)
			return false;
		if (try_target(sm, db, pg, &targets.items[i % targets.count], ask,
			       skymon_ms_left(sm) / (int64_t)(all - i), fault))
			return true;
		if (!fault->elsewhere)
			return false;
	}
	return false;
}

void pg_drop(struct pg *pg)
{
	PQfinish(pg->conn); /* says farewell if the socket takes it at once */
	pg->conn = NULL;
}

/* ---- Using it ---- */

static enum pg_outcome flush(struct skymon *sm, struct pg *pg)
{
	int more;

	while ((more = PQflush(pg->conn)) == 1) {
		if (!wait_for(sm, pg->conn, POLLIN | POLLOUT, 0))
			return PG_LATE;
		if (PQconsumeInput(pg->conn) == 0)
			return PG_LOST;
	}
	return more == 0 ? PG_DONE : PG_LOST;
}

/* The next result, waited for. *result NULL with PG_DONE: there are no more. */
static enum pg_outcome next_result(struct skymon *sm, struct pg *pg, PGresult **result)
{
	while (PQisBusy(pg->conn)) {
		if (!wait_for(sm, pg->conn, POLLIN, 0))
			return PG_LATE;
		/* What had arrived before the end is still a result. */
		if (PQconsumeInput(pg->conn) == 0 && PQisBusy(pg->conn))
			return PG_LOST;
	}
	*result = PQgetResult(pg->conn);
	return PG_DONE;
}

enum pg_outcome pg_run(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg)
{
	int sent = alone ? PQsendQueryParams(pg->conn, sql, 0, NULL, NULL, NULL, NULL, 0)
			 : PQsendQuery(pg->conn, sql);
	enum pg_outcome outcome;
	bool copying = false;

	if (sent == 0)
		return PG_LOST;
	if (alone)
		PQsetSingleRowMode(pg->conn);
	outcome = flush(sm, pg);
	while (outcome == PG_DONE && !copying) {
		PGresult *result = NULL;

		outcome = next_result(sm, pg, &result);
		if (outcome != PG_DONE || result == NULL)
			break;
		/* COPY needs a partner that we are not; the connection is of no use after it. */
		copying = PQresultStatus(result) == PGRES_COPY_OUT ||
			  PQresultStatus(result) == PGRES_COPY_IN ||
			  PQresultStatus(result) == PGRES_COPY_BOTH;
		take(arg, result);
		PQclear(result);
		if (alone && skymon_ms_left(sm) == 0)
			outcome = PG_LATE; /* rows that never end */
	}
	if (outcome == PG_DONE && PQstatus(pg->conn) != CONNECTION_OK)
		outcome = PG_LOST;
	return outcome;
}
#endif
