/* SPDX-License-Identifier: Apache-2.0 */
/* database_postgres: what is asked of a PostgreSQL server, and what is reported. One round trip for the
 * server's own numbers, in a read-only transaction; the user's query after it in the same one. Works on 12
 * and later, and for a role without privileges: what the server hides from it is absent here, and said. */
#ifdef HAVE_LIBPQ
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database_postgres.h"

/* A row of somebody else's session has a NULL backend_type when the role may not see it. This check's own
 * connection runs a statement just now, but waits between two checks: it counts as idle. A standby is as
 * fresh as its primary when it streams and has replayed all; else only the age of the last transaction that
 * it replayed is known. A primary knows a standby's delay as it was last confirmed, so that it stands still
 * while replay is paused: the bytes do not. */
/* clang-format off */
static const char statistics_sql[] =
	"WITH a AS (SELECT pid = pg_backend_pid() AS own, backend_type IS NULL AS hidden, xact_start,"
	" CASE WHEN pid = pg_backend_pid() THEN 'idle' ELSE state END AS state FROM pg_stat_activity"
	" WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL),"
	" c AS (SELECT count(*) AS total, count(*) FILTER (WHERE hidden) AS hidden,"
	" count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'idle') AS idle,"
	" count(*) FILTER (WHERE state = 'idle in transaction') AS open,"
	" count(*) FILTER (WHERE state = 'idle in transaction (aborted)') AS aborted,"
	" coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)) FILTER (WHERE NOT own), 0) AS longest FROM a),"
	" w AS (SELECT count(*) > 0 AS receiving, pg_is_in_recovery() AS standby, pg_last_wal_receive_lsn() AS received,"
	" pg_last_wal_replay_lsn() AS replayed FROM pg_stat_wal_receiver),"
	" l AS (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS here),"
	" r AS (SELECT count(*) AS standbys, count(*) FILTER (WHERE state IS NULL) AS hidden,"
	" max(extract(epoch FROM coalesce(replay_lag, CASE WHEN replay_lsn >= sent_lsn THEN interval '0' END))) AS seconds,"
	" max(pg_wal_lsn_diff(l.here, replay_lsn)) AS bytes FROM pg_stat_replication, l)"
	" SELECT current_setting('server_version'), current_setting('max_connections'),"
	" c.total, c.hidden, c.active, c.idle, c.open, c.aborted, c.longest, w.standby, w.receiving, r.standbys,"
	" CASE WHEN w.standby THEN 0 ELSE r.hidden END,"
	" CASE WHEN NOT w.standby THEN r.seconds WHEN w.receiving AND w.received = w.replayed THEN 0"
	" ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,"
	" CASE WHEN w.standby THEN pg_wal_lsn_diff(w.received, w.replayed) ELSE r.bytes END,"
	" d.blks_hit, d.blks_read"
	" FROM c, r, w LEFT JOIN pg_stat_database d ON d.datname = current_database()";
/* clang-format on */

enum column {
	VERSION,
	MAX_CONNECTIONS,
	TOTAL,
	HIDDEN,
	ACTIVE,
	IDLE,
	OPEN,
	ABORTED,
	LONGEST,
	IN_RECOVERY,
	RECEIVING,
	STANDBYS,
	STANDBYS_HIDDEN,
	LAG_SECONDS,
	LAG_BYTES,
	BLOCKS_HIT,
	BLOCKS_READ,
	COLUMNS
};

struct statistics {
	bool there, tls;
	char version[24];
	bool has[COLUMNS];
	double of[COLUMNS]; /* booleans: 1 or 0 */
};

/* What one message brought: gathered from its results. */
struct gathered {
	bool failed, of_user, odd;
	struct pg_fault fault;
	struct statistics statistics;
	struct database_answer answer;
};

static bool read_number(const PGresult *result, int column, double *value)
{
	const char *text = PQgetvalue(result, 0, column);
	char *end;

	if (PQgetisnull(result, 0, column))
		return false;
	if ((text[0] == 't' || text[0] == 'f') && text[1] == '\0') {
		*value = text[0] == 't';
		return true;
	}
	*value = strtod(text, &end);
	return end != text && *end == '\0';
}

static void take_failure(struct gathered *got, const PGresult *result)
{
	if (got->failed)
		return;
	got->failed = true;
	pg_explain_statement(PQresultErrorField(result, PG_DIAG_SQLSTATE),
			     PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), got->of_user, &got->fault);
}

static void take_statistics(void *arg, const PGresult *result)
{
	struct gathered *got = arg;
	struct statistics *stats = &got->statistics;
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_COMMAND_OK)
		return;
	if (status == PGRES_FATAL_ERROR) {
		take_failure(got, result);
		return;
	}
	if (status != PGRES_TUPLES_OK || PQnfields(result) != COLUMNS || PQntuples(result) != 1) {
		got->odd = true;
		return;
	}
	stats->there = true;
	snprintf(stats->version, sizeof(stats->version), "%.*s",
		 (int)strspn(PQgetvalue(result, 0, VERSION), "0123456789."), PQgetvalue(result, 0, VERSION));
	for (int i = MAX_CONNECTIONS; i < COLUMNS; i++)
		stats->has[i] = read_number(result, i, &stats->of[i]);
	got->odd = !stats->has[MAX_CONNECTIONS] || !stats->has[TOTAL] || !stats->has[HIDDEN] ||
		   !stats->has[IN_RECOVERY];
}

/* int2, int4, int8, oid, float4, float8, numeric, bool */
static bool is_number(Oid type)
{
	return type == 21 || type == 23 || type == 20 || type == 26 || type == 700 || type == 701 ||
	       type == 1700 || type == 16;
}

static void take_answer(void *arg, const PGresult *result)
{
	struct gathered *got = arg;
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_SINGLE_TUPLE) {
		if (got->answer.rows++ == 0 && PQnfields(result) > 0 && is_number(PQftype(result, 0)))
			got->answer.has_value = read_number(result, 0, &got->answer.value);
	} else if (status == PGRES_FATAL_ERROR) {
		take_failure(got, result);
	} else if (status != PGRES_TUPLES_OK && !got->failed) {
		got->failed = true;
		pg_fault_set(&got->fault, SKYMON_QUERY_ERROR,
			     "the configured query is no statement that returns rows");
	}
}

static void take_nothing(void *arg, const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		take_failure(arg, result);
}

/* One message, and what became of it as a fault. `what` is for a deadline that passed. */
static enum pg_outcome ask(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
			   void (*take)(void *, const PGresult *), struct gathered *got, const char *what)
{
	enum pg_outcome outcome = pg_run(sm, pg, sql, alone, take, got);

	if (outcome == PG_LATE)
		pg_fault_set(&got->fault, SKYMON_TIMEOUT, "no answer to %s in time", what);
	else if (outcome == PG_LOST)
		pg_explain(PQerrorMessage(pg->conn), PQuser(pg->conn), PQpass(pg->conn), &got->fault);
	else if (got->odd)
		pg_fault_set(&got->fault, SKYMON_PROTOCOL,
			     "the answer to %s is not what a PostgreSQL server gives", what);
	if (outcome == PG_LOST && got->fault.reason == SKYMON_OTHER && !got->fault.elsewhere)
		got->fault.reason = SKYMON_PROTOCOL;
	got->failed = got->failed || got->odd || outcome != PG_DONE;
	return outcome;
}

/* The user's query, in the transaction that the statistics began. By the extended protocol: it cannot hold a
 * second statement. */
static enum pg_outcome ask_query(struct skymon *sm, const struct database *db, struct pg *pg,
				 struct gathered *got)
{
	int64_t left = skymon_ms_left(sm);
	enum pg_outcome outcome;
	double began;
	char sql[80];

	snprintf(sql, sizeof(sql), "SET LOCAL statement_timeout = %lld", (long long)(left - left / 10 + 1));
	outcome = ask(sm, pg, sql, false, take_nothing, got, "a SET statement");
	if (got->failed)
		return outcome;
	skymon_step(sm, "running the configured query");
	began = database_clock();
	got->of_user = true;
	outcome = ask(sm, pg, db->query, true, take_answer, got, "the configured query");
	got->answer.seconds = database_clock() - began;
	return outcome;
}

/* Everything that one check asks, on one connection. The server is told to give up a little before we do, so
 * that it frees what the query holds, and the connection survives a slow query. */
static enum pg_outcome ask_all(struct skymon *sm, const struct database *db, struct pg *pg,
			       struct gathered *got)
{
	bool query = db->query != NULL && db->query[0] != '\0';
	int64_t left = skymon_ms_left(sm);
	char sql[sizeof(statistics_sql) + 160];
	enum pg_outcome outcome;

	memset(got, 0, sizeof(*got));
	snprintf(sql, sizeof(sql), "BEGIN READ ONLY; SET LOCAL statement_timeout = %lld; %s%s",
		 (long long)(left - left / 10 + 1), statistics_sql, query ? "" : "; COMMIT");
	skymon_step(sm, "asking PostgreSQL for its statistics");
	outcome = ask(sm, pg, sql, false, take_statistics, got, "the statistics query");
	got->statistics.tls = PQsslInUse(pg->conn) == 1;
	if (query && !got->failed)
		outcome = ask_query(sm, db, pg, got);
	if (outcome == PG_DONE && PQtransactionStatus(pg->conn) != PQTRANS_IDLE) {
		struct gathered unused = {.failed = false};

		if (ask(sm, pg, "ROLLBACK", false, take_nothing, &unused, "a ROLLBACK") != PG_DONE)
			pg_drop(pg);
	}
	if (outcome != PG_DONE)
		pg_drop(pg);
	return outcome;
}

/* ---- Reporting ---- */

static void report_state(struct skymon *sm, const char *state, double count)
{
	const struct skymon_label label = {"state", state};

	skymon_metric(sm, SKYMON_GAUGE, "skymon_db_connections",
		      "Client connections by state; this check's own counts as idle. Absent when the role "
		      "may not see all",
		      count, &label, 1);
}

static void report_states(struct skymon *sm, const struct statistics *stats)
{
	const double *of = stats->of;

	if (of[HIDDEN] > 0) {
		skymon_detail_number(sm, "hidden_connections", of[HIDDEN]);
		skymon_detail(sm, "hidden",
			      "the role may not see the state of %.0f of %.0f connections: grant it "
			      "pg_read_all_stats or pg_monitor",
			      of[HIDDEN], of[TOTAL]);
		return;
	}
	skymon_number(sm, "active_connections", of[ACTIVE]);
	skymon_number(sm, "idle_connections", of[IDLE]);
	skymon_number(sm, "longest_transaction", of[LONGEST]);
	skymon_detail_number(sm, "active_connections", of[ACTIVE]);
	skymon_detail_number(sm, "idle_connections", of[IDLE]);
	skymon_detail_number(sm, "idle_in_transaction_connections", of[OPEN] + of[ABORTED]);
	skymon_detail_number(sm, "longest_transaction_seconds", of[LONGEST]);
	report_state(sm, "active", of[ACTIVE]);
	report_state(sm, "idle", of[IDLE]);
	report_state(sm, "idle_in_transaction", of[OPEN]);
	report_state(sm, "idle_in_transaction_aborted", of[ABORTED]);
	report_state(sm, "other", of[TOTAL] - of[ACTIVE] - of[IDLE] - of[OPEN] - of[ABORTED]);
	skymon_gauge(sm, "skymon_db_longest_transaction_seconds",
		     "Age of the oldest open transaction of a client", of[LONGEST]);
}

static void report_connections(struct skymon *sm, const struct statistics *stats)
{
	double total = stats->of[TOTAL], max = stats->of[MAX_CONNECTIONS];

	skymon_number(sm, "database_connections", total);
	skymon_detail_number(sm, "database_connections", total);
	skymon_detail_number(sm, "max_connections", max);
	skymon_gauge(sm, "skymon_db_client_connections", "Client connections to the server, in any state",
		     total);
	skymon_gauge(sm, "skymon_db_max_connections", "The server's max_connections", max);
	if (max > 0)
		skymon_number(sm, "connections_used", total / max);
	report_states(sm, stats);
}

static void report_lag(struct skymon *sm, const struct statistics *stats)
{
	double seconds = stats->of[LAG_SECONDS] > 0 ? stats->of[LAG_SECONDS] : 0,
	       bytes = stats->of[LAG_BYTES];

	if (stats->has[LAG_SECONDS]) {
		skymon_number(sm, "replication_lag", seconds);
		skymon_detail_number(sm, "replication_lag_seconds", seconds);
		skymon_gauge(sm, "skymon_db_replication_lag_seconds",
			     "On a standby: age of its data; on a primary: delay of its slowest standby, as "
			     "last confirmed",
			     seconds);
	}
	if (stats->has[LAG_BYTES]) {
		skymon_number(sm, "replication_lag_bytes", bytes);
		skymon_detail_number(sm, "replication_lag_bytes", bytes);
		skymon_gauge(sm, "skymon_db_replication_lag_bytes",
			     "On a standby: WAL received and not replayed; on a primary: WAL that its "
			     "slowest standby has not replayed",
			     bytes);
	}
}

static void report_replication(struct skymon *sm, const struct statistics *stats)
{
	bool standby = stats->of[IN_RECOVERY] != 0;

	skymon_detail(sm, "role", "%s", standby ? "standby" : "primary");
	skymon_gauge(sm, "skymon_db_in_recovery", "1 on a standby, 0 on a primary", standby);
	if (standby)
		skymon_detail_boolean(sm, "receiving", stats->of[RECEIVING] != 0);
	skymon_detail_number(sm, "standbys", stats->of[STANDBYS]);
	skymon_gauge(sm, "skymon_db_standbys",
		     "Standbys and other receivers that are connected to this server", stats->of[STANDBYS]);
	/* The role that may not see one standby does not know the slowest. */
	if (stats->of[STANDBYS_HIDDEN] == 0)
		report_lag(sm, stats);
	else
		skymon_detail(sm, "replication_hidden",
			      "the role may not see the standbys: grant it pg_read_all_stats or pg_monitor");
}

static void report_cache(struct skymon *sm, struct pg *pg, const struct statistics *stats)
{
	double hit = stats->of[BLOCKS_HIT], read = stats->of[BLOCKS_READ];
	bool known = stats->has[BLOCKS_HIT] && stats->has[BLOCKS_READ];
	/* Counters that fell were reset: begin anew. */
	bool since = pg->has_blocks && hit >= pg->blocks_hit && read >= pg->blocks_read;
	double new_hit = since ? hit - pg->blocks_hit : hit, new_read = since ? read - pg->blocks_read : read;

	pg->has_blocks = known;
	if (!known)
		return;
	pg->blocks_hit = hit;
	pg->blocks_read = read;
	skymon_counter(sm, "skymon_db_blocks_hit_total",
		       "Blocks of this database that were found in the buffer cache", hit);
	skymon_counter(sm, "skymon_db_blocks_read_total", "Blocks of this database that had to be read",
		       read);
	if (hit + read > 0)
		skymon_detail_number(sm, "cache_hit_rate_in_all", hit / (hit + read));
	if (new_hit + new_read > 0) {
		skymon_number(sm, "cache_hit_rate", new_hit / (new_hit + new_read));
		skymon_detail_number(sm, "cache_hit_rate", new_hit / (new_hit + new_read));
	}
}

static void report_statistics(struct skymon *sm, struct pg *pg, const struct statistics *stats)
{
	skymon_detail(sm, "server_version", "%s", stats->version);
	report_replication(sm, stats);
	report_connections(sm, stats);
	report_cache(sm, pg, stats);
	skymon_detail_boolean(sm, "tls", stats->tls);
}

static enum skymon_status fail(struct skymon *sm, const struct pg *pg, const struct pg_fault *fault)
{
	if (fault->text[0] == '\0')
		return fault->status; /* the resolver has said why */
	if (fault->login)
		skymon_secret_refused(sm);
	skymon_reason(sm, fault->reason);
	if (fault->status == SKYMON_UNKNOWN)
		return skymon_unknown(sm, "%s: %s", pg->place, fault->text);
	return skymon_unhealthy(sm, "%s: %s", pg->place, fault->text);
}

static enum skymon_status check(struct skymon *sm, struct database *db)
{
	struct pg *pg = db->store;
	struct pg_fault fault;
	struct gathered got;

	if (!pg_connect(sm, db, pg, &fault))
		return fail(sm, pg, &fault);
	/* A kept connection may be gone without a sign until it is used: that says nothing of the server. */
	if (ask_all(sm, db, pg, &got) == PG_LOST && !pg->fresh) {
		skymon_info(sm, "%s: the kept connection was lost, connecting anew", pg->place);
		if (!pg_connect(sm, db, pg, &fault))
			return fail(sm, pg, &fault);
		ask_all(sm, db, pg, &got);
	}
	skymon_reason(sm, SKYMON_NONE); /* one of several names may have been unknown */
	skymon_counter(sm, "skymon_db_connects_total", "Connections that this check has opened",
		       (double)pg->connects);
	if (got.statistics.there)
		report_statistics(sm, pg, &got.statistics);
	if (got.failed)
		return fail(sm, pg, &got.fault);
	if (db->query != NULL && db->query[0] != '\0')
		database_report(sm, &got.answer);
	return skymon_healthy(sm, "%s: PostgreSQL %s, %s, %.0f of %.0f connections in use", pg->place,
			      got.statistics.version,
			      got.statistics.of[IN_RECOVERY] != 0 ? "standby" : "primary",
			      got.statistics.of[TOTAL], got.statistics.of[MAX_CONNECTIONS]);
}

/* libpq takes every setting that is not given from PG… of the environment (PGSERVICE names a file with more).
 * What is watched is said in the config and nowhere else. A worker has none of them; `skymon run` inherits
 * the user's. */
static bool load(struct database_shared *shared)
{
	for (char **at = environ; at != NULL && *at != NULL;) {
		char name[64];
		size_t size = strcspn(*at, "=");

		if (strncmp(*at, "PG", 2) != 0 || (*at)[size] == '\0' || size >= sizeof(name)) {
			at++;
			continue;
		}
		memcpy(name, *at, size);
		name[size] = '\0';
		if (unsetenv(name) != 0)
			return false;
		at = environ;
	}
	return pg_tls_load(shared);
}

static bool start(struct skymon *sm, struct database *db)
{
	db->store = pg_new(sm, db);
	return db->store != NULL;
}

static void stop(struct database *db)
{
	pg_free(db->store);
}

const struct database_backend database_postgres = {.load = load,
						   .unload = pg_tls_unload,
						   .validate = pg_validate,
						   .start = start,
						   .stop = stop,
						   .check = check};
#endif
