/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgstats: queries the server's statistics in one message and reports them. Works with PostgreSQL 10
 * and later, and for a role without privileges: values that the server hides, lacks or refuses are absent,
 * and reported as missing. Called by database_postgres on the check's thread; owns nothing. */
#ifdef HAVE_LIBPQ
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database_postgres.h"

/* ---- Queries ---- */

/* Each section is one statement of the message; its columns become the numbers from `first` on (the version
 * is a text). A section that the server lacks or refuses is left out on this connection from then on and
 * costs only its own numbers, so each uses as few functions as possible. */
/* clang-format off */
static const struct section {
	const char *name; /* the object that the server may lack, for the message */
	const char *sql;
	int first, count; /* enum pg_number */
} sections[] = {
	{"server_version", "current_setting('server_version')", -1, 1},
	{"max_connections", "current_setting('max_connections')", PG_MAX_CONNECTIONS, 1},
	{"pg_is_in_recovery", "pg_is_in_recovery()", PG_IN_RECOVERY, 1},
	/* Another role's session has a NULL backend_type if this role may not see it. The check's own connection is
	 * active right now but idle between checks: it counts as idle. */
	{"pg_stat_activity",
	 "count(*), count(*) FILTER (WHERE hidden),"
	 " count(*) FILTER (WHERE state = 'active'), count(*) FILTER (WHERE state = 'idle'),"
	 " count(*) FILTER (WHERE state = 'idle in transaction'),"
	 " count(*) FILTER (WHERE state = 'idle in transaction (aborted)'),"
	 " coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)) FILTER (WHERE NOT own), 0)"
	 " FROM (SELECT pid = pg_backend_pid() AS own, backend_type IS NULL AS hidden, xact_start,"
	 " CASE WHEN pid = pg_backend_pid() THEN 'idle' ELSE state END AS state FROM pg_stat_activity"
	 " WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL"
	 " AND usesysid IS NOT NULL) AS a", PG_TOTAL, 7},
	/* The status is NULL if the role may not see it. */
	{"pg_stat_wal_receiver",
	 "count(*) > 0 FROM pg_stat_wal_receiver WHERE status IS NULL OR status = 'streaming'", PG_RECEIVING, 1},
	/* No row if the role may not see the setting, and before PostgreSQL 12. */
	{"pg_settings",
	 "CASE WHEN pg_is_in_recovery() THEN (SELECT setting <> '' FROM pg_settings WHERE name = 'primary_conninfo') END",
	 PG_HAS_PRIMARY, 1},
	{"pg_last_wal_receive_lsn", "pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())", PG_BEHIND, 1},
	{"pg_last_xact_replay_timestamp", "extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())",
	 PG_SINCE_REPLAY, 1},
	/* A primary knows a standby's delay as last confirmed: while replay is paused the delay does not grow, but
	 * the bytes do. */
	{"pg_stat_replication",
	 "count(*), count(*) FILTER (WHERE state IS NULL),"
	 " max(extract(epoch FROM coalesce(replay_lag, CASE WHEN replay_lsn >= sent_lsn THEN interval '0' END)))"
	 " FROM pg_stat_replication", PG_STANDBYS, 3},
	{"pg_current_wal_lsn",
	 "max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()"
	 " ELSE pg_current_wal_lsn() END, replay_lsn)) FROM pg_stat_replication", PG_STANDBY_BYTES, 1},
	{"pg_stat_database", "blks_hit, blks_read FROM pg_stat_database WHERE datname = current_database()",
	 PG_BLOCKS_HIT, 2},
};
/* clang-format on */
#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

struct stats_outcome { /* of one message to the server */
	struct pg_stats *stats;
	uint32_t left; /* bits of the sections without an answer yet, in order */
	bool failed, unexpected;
	char sqlstate[6];
	struct pg_fault fault;
};

static const struct section *next_section(const struct stats_outcome *got)
{
	for (size_t i = 0; i < SECTIONS; i++)
		if ((got->left & 1u << i) != 0)
			return &sections[i];
	return NULL;
}

bool pg_read_number(const PGresult *result, int column, double *value)
{
	const char *text = PQgetvalue(result, 0, column);
	if (PQgetisnull(result, 0, column))
		return false;
	if ((text[0] == 't' || text[0] == 'f') && text[1] == '\0') {
		*value = text[0] == 't';
		return true;
	}
	char *end;
	*value = strtod(text, &end);
	return end != text && *end == '\0';
}

static void take_section(struct stats_outcome *got, const struct section *section, const PGresult *result)
{
	struct pg_stats *stats = got->stats;
	if (PQnfields(result) != section->count || PQntuples(result) > 1) {
		got->unexpected = true;
		return;
	}
	got->left &= ~(1u << (section - sections));
	if (PQntuples(result) == 0)
		return;
	if (section->first < 0)
		snprintf(stats->version, sizeof(stats->version), "%.*s",
			 (int)strspn(PQgetvalue(result, 0, 0), "0123456789."), PQgetvalue(result, 0, 0));
	for (int i = 0; section->first >= 0 && i < section->count; i++)
		stats->has[section->first + i] = pg_read_number(result, i, &stats->of[section->first + i]);
}

static void take_result(void *arg, const PGresult *result)
{
	struct stats_outcome *got = arg;
	const struct section *section = next_section(got);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
		break;
	case PGRES_TUPLES_OK:
		if (section != NULL)
			take_section(got, section, result);
		else
			got->unexpected = true;
		break;
	case PGRES_FATAL_ERROR:
		got->failed = true;
		snprintf(got->sqlstate, sizeof(got->sqlstate), "%s", sqlstate != NULL ? sqlstate : "");
		pg_explain_statement(sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
				     "the statistics query", false, &got->fault);
		break;
	default:
		got->unexpected = true;
	}
}

/* Returns whether the error means that the server lacks an object or denies it: undefined objects,
 * privileges, and the errors of PostgreSQL-compatible servers for features that they lack. */
static bool is_unsupported(const char *sqlstate)
{
	static const char *const states[] = {"42501", "42883", "42P01", "42703", "42704", "0A000"};
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(sqlstate, states[i]) == 0)
			return true;
	return false;
}

static void add_text(char *text, size_t room, const char *more)
{
	size_t used = strlen(text);
	snprintf(text + used, room - used, "%s", more);
}

static void write_message(struct skymon *sm, const struct stats_outcome *got, bool again, char *sql,
			  size_t room)
{
	int64_t left = skymon_ms_left(sm);
	/* The server's timeout is a little before ours, so that the connection survives. */
	snprintf(sql, room, "%sBEGIN READ ONLY; SET LOCAL statement_timeout = %lld",
		 again ? "ROLLBACK; " : "", (long long)(left - left / 10 + 1));
	for (size_t i = 0; i < SECTIONS; i++)
		if ((got->left & 1u << i) != 0) {
			add_text(sql, room, "; SELECT ");
			add_text(sql, room, sections[i].sql);
		}
	add_text(sql, room, "; COMMIT");
}

/* Leaves the section out for the rest of the connection's life. */
static void drop_section(struct pg *pg, struct stats_outcome *got, const struct section *section)
{
	got->failed = false;
	got->left &= ~(1u << (section - sections));
	pg->line.missing |= 1u << (section - sections);
	snprintf(pg->line.missing_why[section - sections], sizeof(pg->line.missing_why[0]), "%s",
		 got->sqlstate);
}

static void name_missing(const struct pg *pg, struct pg_stats *stats)
{
	char one[80];
	for (size_t i = 0; i < SECTIONS; i++)
		if ((pg->line.missing & 1u << i) != 0) {
			snprintf(one, sizeof(one), "%s%s (SQLSTATE %s)",
				 stats->missing[0] != '\0' ? ", " : "", sections[i].name,
				 pg->line.missing_why[i]);
			add_text(stats->missing, sizeof(stats->missing), one);
		}
}

enum pg_outcome pg_stats_ask(struct skymon *sm, struct pg *pg, struct pg_stats *stats, struct pg_fault *fault)
{
	struct stats_outcome got = {.stats = stats, .left = ((1u << SECTIONS) - 1) & ~pg->line.missing};
	enum pg_outcome outcome = PG_DONE;
	*stats = (struct pg_stats){.version = ""};
	skymon_step(sm, "querying PostgreSQL's statistics");
	char sql[4096];
	for (bool again = false; outcome == PG_DONE && got.left != 0; again = true) {
		write_message(sm, &got, again, sql, sizeof(sql));
		outcome = pg_ask(sm, pg, sql, false, take_result, &got, "the statistics query", &got.fault);
		if (outcome == PG_DONE && got.failed && next_section(&got) != NULL &&
		    is_unsupported(got.sqlstate))
			drop_section(pg, &got, next_section(&got));
		else
			break;
	}
	if (outcome == PG_DONE && !got.failed && (got.unexpected || got.left != 0)) {
		got.failed = true;
		pg_fault_set(&got.fault, SKYMON_PROTOCOL,
			     "the answer to the statistics query is not PostgreSQL's");
	}
	name_missing(pg, stats);
	*fault = got.fault;
	if (outcome == PG_DONE && !got.failed)
		fault->is.text[0] = '\0';
	return outcome;
}

/* ---- Reporting ---- */

static void report_state(struct skymon *sm, const char *state, double count)
{
	const struct skymon_label label = {"state", state};
	skymon_metric(
		sm, SKYMON_GAUGE, "skymon_db_connections",
		"Client connections by state; the check's own counts as idle. Absent if the role may not "
		"see all",
		count, &label, 1);
}

static void report_states(struct skymon *sm, const struct pg_stats *stats)
{
	const double *of = stats->of;
	if (of[PG_HIDDEN] > 0) {
		skymon_detail_number(sm, "hidden_connections", of[PG_HIDDEN]);
		skymon_detail(sm, "hidden",
			      "the role may not see the state of %.0f of %.0f connections: grant it "
			      "pg_read_all_stats or pg_monitor",
			      of[PG_HIDDEN], of[PG_TOTAL]);
		return;
	}
	skymon_number(sm, "active_connections", of[PG_ACTIVE]);
	skymon_number(sm, "idle_connections", of[PG_IDLE]);
	skymon_number(sm, "longest_transaction", of[PG_LONGEST]);
	skymon_detail_number(sm, "active_connections", of[PG_ACTIVE]);
	skymon_detail_number(sm, "idle_connections", of[PG_IDLE]);
	skymon_detail_number(sm, "idle_in_transaction_connections", of[PG_OPEN] + of[PG_ABORTED]);
	skymon_detail_number(sm, "longest_transaction_seconds", of[PG_LONGEST]);
	report_state(sm, "active", of[PG_ACTIVE]);
	report_state(sm, "idle", of[PG_IDLE]);
	report_state(sm, "idle_in_transaction", of[PG_OPEN]);
	report_state(sm, "idle_in_transaction_aborted", of[PG_ABORTED]);
	report_state(sm, "other", of[PG_TOTAL] - of[PG_ACTIVE] - of[PG_IDLE] - of[PG_OPEN] - of[PG_ABORTED]);
	skymon_gauge(sm, "skymon_db_longest_transaction_seconds",
		     "Age of the oldest open transaction of a client", of[PG_LONGEST]);
}

static void report_connections(struct skymon *sm, const struct pg_stats *stats)
{
	double total = stats->of[PG_TOTAL], max = stats->of[PG_MAX_CONNECTIONS];
	if (stats->has[PG_MAX_CONNECTIONS]) {
		skymon_detail_number(sm, "max_connections", max);
		skymon_gauge(sm, "skymon_db_max_connections", "The server's max_connections", max);
	}
	if (!stats->has[PG_TOTAL])
		return;
	skymon_number(sm, "database_connections", total);
	skymon_detail_number(sm, "database_connections", total);
	skymon_gauge(sm, "skymon_db_client_connections", "Client connections to the server, in any state",
		     total);
	if (max > 0)
		skymon_number(sm, "connections_used", total / max);
	report_states(sm, stats);
}

static void report_lag(struct skymon *sm, bool has_seconds, double seconds, bool has_bytes, double bytes)
{
	if (has_seconds) {
		skymon_number(sm, "replication_lag", seconds);
		skymon_detail_number(sm, "replication_lag_seconds", seconds);
		skymon_gauge(sm, "skymon_db_replication_lag_seconds",
			     "On a standby: age of its data; on a primary: delay of its slowest standby, as "
			     "last confirmed",
			     seconds);
	}
	if (has_bytes) {
		skymon_number(sm, "replication_lag_bytes", bytes);
		skymon_detail_number(sm, "replication_lag_bytes", bytes);
		skymon_gauge(sm, "skymon_db_replication_lag_bytes",
			     "On a standby: WAL received and not replayed; on a primary: WAL that its "
			     "slowest standby has not replayed",
			     bytes);
	}
}

static double not_negative(double value)
{
	return value > 0 ? value : 0;
}

/* A standby is up to date if it streams and has replayed all that it received; otherwise only the age of the
 * last replayed transaction is known. After a restart it streams from the beginning of a segment that it has
 * partly replayed, and so seems to be ahead. */
static void report_standby(struct skymon *sm, const struct pg_stats *stats)
{
	const double *of = stats->of;
	bool has_bytes = stats->has[PG_BEHIND];
	bool fresh = stats->has[PG_RECEIVING] && of[PG_RECEIVING] != 0 && has_bytes && of[PG_BEHIND] <= 0;
	/* Without the comparison an idle standby looks like a late one. */
	bool has_age = stats->has[PG_SINCE_REPLAY] && stats->has[PG_RECEIVING] &&
		       (has_bytes || of[PG_RECEIVING] == 0);
	if (stats->has[PG_RECEIVING])
		skymon_detail_boolean(sm, "receiving", of[PG_RECEIVING] != 0);
	report_lag(sm, fresh || has_age, fresh ? 0 : not_negative(of[PG_SINCE_REPLAY]), has_bytes,
		   not_negative(of[PG_BEHIND]));
}

static void report_replication(struct skymon *sm, const struct pg_stats *stats)
{
	bool standby = stats->of[PG_IN_RECOVERY] != 0;
	if (stats->has[PG_IN_RECOVERY]) {
		skymon_detail(sm, "role", "%s", standby ? "standby" : "primary");
		skymon_gauge(sm, "skymon_db_in_recovery", "1 on a standby, 0 on a primary", standby);
	}
	if (stats->has[PG_STANDBYS]) {
		skymon_detail_number(sm, "standbys", stats->of[PG_STANDBYS]);
		skymon_gauge(sm, "skymon_db_standbys",
			     "Standbys and other receivers that are connected to this server",
			     stats->of[PG_STANDBYS]);
	}
	if (standby)
		report_standby(sm, stats);
	/* If one standby is hidden from the role, the slowest is unknown. */
	else if (stats->of[PG_STANDBYS_HIDDEN] == 0)
		report_lag(sm, stats->has[PG_STANDBY_SECONDS], not_negative(stats->of[PG_STANDBY_SECONDS]),
			   stats->has[PG_STANDBY_BYTES], not_negative(stats->of[PG_STANDBY_BYTES]));
	else
		skymon_detail(sm, "replication_hidden",
			      "the role may not see the standbys: grant it pg_read_all_stats or pg_monitor");
}

/* A standby that is fed from an archive has no primary_conninfo. If the role may not see the setting, and
 * before PostgreSQL 12, the standby counts as having a primary. */
bool pg_stats_lost_primary(const struct pg_stats *stats)
{
	return stats->has[PG_IN_RECOVERY] && stats->of[PG_IN_RECOVERY] != 0 && stats->has[PG_RECEIVING] &&
	       stats->of[PG_RECEIVING] == 0 &&
	       !(stats->has[PG_HAS_PRIMARY] && stats->of[PG_HAS_PRIMARY] == 0);
}

static void report_cache(struct skymon *sm, struct pg *pg, const struct pg_stats *stats)
{
	double hit = stats->of[PG_BLOCKS_HIT], read = stats->of[PG_BLOCKS_READ];
	bool known = stats->has[PG_BLOCKS_HIT] && stats->has[PG_BLOCKS_READ];
	/* Counters that decreased were reset: the rate is since the reset. */
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

void pg_stats_report(struct skymon *sm, struct pg *pg, const struct pg_stats *stats)
{
	if (stats->version[0] != '\0')
		skymon_detail(sm, "server_version", "%s", stats->version);
	if (stats->missing[0] != '\0')
		skymon_detail(sm, "missing", "the server lacks or refuses %s", stats->missing);
	report_replication(sm, stats);
	report_connections(sm, stats);
	report_cache(sm, pg, stats);
}
#endif
