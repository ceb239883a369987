/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgconn: opens, keeps, replaces and uses the connection to PostgreSQL without ever waiting past the
 * deadline. Called by database_postgres, pgstats and pgquery on the check's thread; the connection is owned
 * by struct pg. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "database_postgres.h"

/* ---- Waiting ---- */

/* Returns the ms that must remain before the deadline once `share` ms are used up. Never negative: a
 * millisecond passing since the share was computed would make it -1, which the remaining time never reaches.
 */
static int64_t floor_after(struct skymon *sm, int64_t share)
{
	int64_t floor = skymon_ms_left(sm) - share;
	return floor > 0 ? floor : 0;
}

/* Waits until the socket is ready. Returns false when only `floor` ms remain before the deadline. */
static bool wait_for(struct skymon *sm, PGconn *conn, short events, int64_t floor)
{
	struct pollfd on = {.fd = PQsocket(conn), .events = events};
	if (on.fd < 0)
		return true; /* closed: the next call of libpq returns the error */
	for (;;) {
		int64_t left = skymon_ms_left(sm) - floor;
		if (left <= 0)
			return false;
		int ready = poll(&on, 1, left > INT_MAX ? INT_MAX : (int)left);
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
	const char *text = "the server accepted the connection but did not answer the login in time";
	if (PQstatus(conn) == CONNECTION_STARTED)
		text = "no answer to the connection attempt in time";
	else if (PQstatus(conn) == CONNECTION_SSL_STARTUP)
		text = "the server accepted the connection but did not begin TLS in time";
	pg_fault_set(fault, SKYMON_TIMEOUT, "%s", text);
	fault->elsewhere = true;
}

/* Waits until the server's request is complete, and returns its kind. */
static enum pg_asks peek_request(struct skymon *sm, PGconn *conn, int64_t floor)
{
	const struct timespec nap = {.tv_nsec = 2000000};
	enum pg_asks asks;
	while ((asks = pg_auth_peek(conn)) == PG_ASKS_MORE && skymon_ms_left(sm) > floor)
		nanosleep(&nap, NULL);
	return asks;
}

/* Drives libpq's connection state machine to its end, or to the floor. */
static bool open_conn(struct skymon *sm, PGconn *conn, const struct pg_params *params, int64_t floor,
		      struct pg_fault *fault)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* includes the SQLSTATE */
	PQsetNoticeProcessor(conn, ignore_notice, NULL);
	while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
	       state != PGRES_POLLING_FAILED) {
		if (!wait_for(sm, conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, floor)) {
			explain_late(conn, fault);
			return false;
		}
		enum pg_asks asks =
			params->hides_password ? peek_request(sm, conn, floor) : PG_ASKS_NOTHING_CLEAR;
		if (asks == PG_ASKS_CLEARTEXT || asks == PG_ASKS_MORE) {
			if (asks == PG_ASKS_CLEARTEXT)
				pg_fault_cleartext(fault);
			else
				explain_late(conn, fault);
			return false;
		}
		if (asks == PG_ASKS_NOTHING_CLEAR)
			state = PQconnectPoll(conn);
	}
	if (state != PGRES_POLLING_OK)
		pg_explain(PQerrorMessage(conn), PQuser(conn), PQpass(conn), fault);
	return state == PGRES_POLLING_OK;
}

/* Verification by default surprises users: appends that it is on, and how to configure it. */
static void explain_default(const struct pg_params *params, struct pg_fault *fault)
{
	char *configured = strstr(fault->is.text, ", but the configuration requires it");
	size_t used = configured != NULL ? (size_t)(configured - fault->is.text) : strlen(fault->is.text);
	if (params->by_default &&
	    (fault->is.reason == SKYMON_TLS_OTHER || fault->is.reason == SKYMON_TLS_UNTRUSTED))
		snprintf(fault->is.text + used, sizeof(fault->is.text) - used,
			 "; to another machine TLS is verified by default: set tls.ca_file, or sslmode in "
			 "the url");
}

static bool try_target(struct skymon *sm, const struct database *db, struct pg *pg,
		       const struct pg_target *target, const char *attributes, int64_t share,
		       struct pg_fault *fault)
{
	struct pg_params params = {.count = 0};
	struct pg_line *line = &pg->line;
	char user_timeout[24];
	snprintf(user_timeout, sizeof(user_timeout), "%lld", (long long)(skymon_ms_left(sm) / 2 + 1));
	pg_params_fill(&params, pg, db, target, attributes, user_timeout);
	pg_tls_forget();
	skymon_step(sm, "connecting to PostgreSQL");
	*line = (struct pg_line){.conn = PQconnectStartParams(params.names, params.values, 0),
				 .opened = database_clock(),
				 .verified = params.verifies,
				 .is_local = params.is_local};
	if (line->conn == NULL) {
		pg_fault_set(fault, SKYMON_RESOURCE, "out of memory for the connection");
		return false;
	}
	if (open_conn(sm, line->conn, &params, floor_after(sm, share), fault) &&
	    PQsetnonblocking(line->conn, 1) == 0) {
		pg->fresh = true;
		pg->connects++;
		return true;
	}
	pg_drop(pg);
	pg_tls_explain(fault);
	explain_default(&params, fault);
	return false;
}

/* Returns whether the kept connection can be used: open, and without a transaction or unread results. */
static bool is_usable(PGconn *conn)
{
	struct pollfd on = {.fd = PQsocket(conn), .events = POLLIN | POLLRDHUP};
	if (PQstatus(conn) != CONNECTION_OK || PQtransactionStatus(conn) != PQTRANS_IDLE)
		return false;
	/* Unsolicited bytes may be a changed setting, or the notice of a server that shuts down. */
	for (int i = 0; i < 8 && poll(&on, 1, 0) > 0; i++)
		if ((on.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0 || PQconsumeInput(conn) == 0 ||
		    PQisBusy(conn) || PQstatus(conn) != CONNECTION_OK)
			return false;
	return true;
}

/* Tries all addresses of one host. */
static bool try_host(struct skymon *sm, const struct database *db, struct pg *pg,
		     const struct pg_targets *targets, const char *attributes, int64_t share,
		     struct pg_fault *fault)
{
	int64_t floor = floor_after(sm, share);
	for (size_t i = 0; i < targets->count; i++) {
		int64_t left = skymon_ms_left(sm) - floor;
		if (i > 0 && left <= 0)
			return false;
		if (try_target(sm, db, pg, &targets->items[i], attributes,
			       left / (int64_t)(targets->count - i), fault))
			return true;
		if (!fault->elsewhere)
			return false;
	}
	return false;
}

/* Tries the hosts in turn, each within its share of the time. A name is resolved only after the hosts before
 * it failed, so that a silent name server costs nothing while an earlier host works. libpq implements
 * prefer-standby by two rounds over all hosts; here each attempt has one host, so the rounds are made here.
 */
static bool open_new(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault)
{
	const char *attributes = pg_given(pg, "target_session_attrs");
	bool twice = attributes != NULL && strcmp(attributes, "prefer-standby") == 0;
	size_t hosts = pg_host_count(pg), all = twice ? 2 * hosts : hosts;
	if (!pg_files_are_there(&db->tls, fault))
		return false;
	*fault = (struct pg_fault){.is = {.status = SKYMON_UNHEALTHY, .reported = true}};
	for (size_t i = 0; i < all; i++) {
		const char *ask = !twice ? attributes : i < hosts ? "standby" : "any";
		int64_t floor = skymon_ms_left(sm) - skymon_ms_left(sm) / (int64_t)(all - i);
		struct pg_targets targets = {.count = 0};
		if (i > 0 && skymon_ms_left(sm) == 0)
			return false;
		if (!pg_find_targets(sm, pg, i % hosts, skymon_ms_left(sm) - floor, &targets))
			continue; /* reported by the resolver */
		if (try_host(sm, db, pg, &targets, ask, skymon_ms_left(sm) - floor, fault))
			return true;
		if (!fault->elsewhere)
			return false;
	}
	return false;
}

/* Replaces a connection older than `reconnect`, so that the check meets what new clients meet. The old one is
 * closed once the new one has logged in. It is also closed if the new one fails, except for lack of
 * connections: closing it would free a slot for this check alone, and hide that other clients get none. */
static bool renew(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault)
{
	struct pg_line old = pg->line;
	pg->line = (struct pg_line){.conn = NULL};
	bool opened = open_new(sm, db, pg, fault);
	if (!opened && fault->is.reason == SKYMON_RESOURCE) {
		pg->line = old;
		return false;
	}
	PQfinish(old.conn);
	return opened;
}

bool pg_connect(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault)
{
	pg->fresh = false;
	if (pg->line.conn == NULL)
		return open_new(sm, db, pg, fault);
	if (!is_usable(pg->line.conn)) {
		skymon_info(sm, "%s: the kept connection was lost, connecting again", pg->place);
		pg_drop(pg);
		return open_new(sm, db, pg, fault);
	}
	if (database_clock() - pg->line.opened < (double)db->reconnect.ms / 1000)
		return true;
	return renew(sm, db, pg, fault);
}

void pg_drop(struct pg *pg)
{
	PQfinish(pg->line.conn); /* sends Terminate if the socket accepts it at once */
	pg->line = (struct pg_line){.conn = NULL};
}

/* ---- Statements ---- */

static enum pg_outcome flush(struct skymon *sm, struct pg *pg)
{
	int more;
	while ((more = PQflush(pg->line.conn)) == 1) {
		if (!wait_for(sm, pg->line.conn, POLLIN | POLLOUT, 0))
			return PG_LATE;
		if (PQconsumeInput(pg->line.conn) == 0)
			return PG_LOST;
	}
	return more == 0 ? PG_DONE : PG_LOST;
}

/* Waits for the next result. PG_DONE with *result NULL means that there are no more. */
static enum pg_outcome next_result(struct skymon *sm, struct pg *pg, PGresult **result)
{
	while (PQisBusy(pg->line.conn)) {
		if (!wait_for(sm, pg->line.conn, POLLIN, 0))
			return PG_LATE;
		/* A result that arrived before the connection closed is still returned. */
		if (PQconsumeInput(pg->line.conn) == 0 && PQisBusy(pg->line.conn))
			return PG_LOST;
	}
	*result = PQgetResult(pg->line.conn);
	return PG_DONE;
}

enum pg_outcome pg_run(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg)
{
	int sent = alone ? PQsendQueryParams(pg->line.conn, sql, 0, NULL, NULL, NULL, NULL, 0)
			 : PQsendQuery(pg->line.conn, sql);
	bool copying = false;
	if (sent == 0)
		return PG_LOST;
	if (alone)
		PQsetSingleRowMode(pg->line.conn);
	enum pg_outcome outcome = flush(sm, pg);
	while (outcome == PG_DONE && !copying) {
		PGresult *result = NULL;
		outcome = next_result(sm, pg, &result);
		if (outcome != PG_DONE || result == NULL)
			break;
		/* COPY is not supported, and the connection cannot be used after it. */
		copying = PQresultStatus(result) == PGRES_COPY_OUT ||
			  PQresultStatus(result) == PGRES_COPY_IN ||
			  PQresultStatus(result) == PGRES_COPY_BOTH;
		take(arg, result);
		PQclear(result);
		if (alone && skymon_ms_left(sm) == 0)
			outcome = PG_LATE; /* the rows may never end */
	}
	if (outcome == PG_DONE && PQstatus(pg->line.conn) != CONNECTION_OK)
		outcome = PG_LOST;
	return outcome;
}

enum pg_outcome pg_ask(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg, const char *title,
		       struct pg_fault *fault)
{
	enum pg_outcome outcome = pg_run(sm, pg, sql, alone, take, arg);
	if (outcome == PG_LATE)
		pg_fault_set(fault, SKYMON_TIMEOUT, "no answer to %s in time", title);
	else if (outcome == PG_LOST)
		pg_explain(PQerrorMessage(pg->line.conn), PQuser(pg->line.conn), PQpass(pg->line.conn),
			   fault);
	if (outcome == PG_LOST && fault->is.reason == SKYMON_OTHER && !fault->elsewhere)
		fault->is.reason = SKYMON_PROTOCOL;
	return outcome;
}
#endif
