/* SPDX-License-Identifier: Apache-2.0 */
/* database: checks a PostgreSQL or SQLite database. This file has the options, the plugin's table and the
 * choice of the backend: database_postgres.c or database_sqlite.c. The worker calls start and stop on its
 * main thread, and check on a thread per component. Owns nothing but what the backend keeps in struct
 * database. */
#include <string.h>

#include "database.h"
#include <skymon/tls.h>

static const char *const write_words[] = {"auto", "always", "never", NULL};

static const struct skymon_option query_options[] = {
	SKYMON_OPT(struct database_query, name, NULL, "ends the names of its numbers: query_value_NAME",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct database_query, sql, NULL, "one statement, run read-only",
		   .flags = SKYMON_REQUIRED),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct database, url, NULL,
		   "postgresql://user@host:port/database?param=value, or sqlite:PATH (relative: under "
		   "state_dir)",
		   .flags = SKYMON_TARGET | SKYMON_PATH_WRITE),
	SKYMON_OPT(struct database, password, NULL, "password; overrides one in the URL"),
	SKYMON_OPT(struct database, query, NULL,
		   "one statement, run read-only; its first value and its rows become numbers"),
	SKYMON_OPT(
		struct database, queries, NULL,
		"several queries over the same connection; each has numbers of its own, which are absent if "
		"it fails",
		.item = query_options, .item_size = sizeof(struct database_query)),
	SKYMON_OPT(struct database, reconnect, "1m",
		   "PostgreSQL: age from which the kept connection is replaced by a new one; 0: a new one in "
		   "each check, as needed behind a pool",
		   .min = 0, .max = 366.0 * 24 * 3600 * 1000),
	SKYMON_OPT(
		struct database, tls, NULL,
		"PostgreSQL: verified TLS, which is the default to other machines; sslmode in the URL "
		"overrides it; insecure: any certificate, and a password in clear if the server requests it"),
	SKYMON_OPT(struct database, write, "auto",
		   "SQLite: write one row and read it back; auto: only into a file of skymon's own (relative "
		   "path)",
		   .words = write_words),
	SKYMON_OPT(struct database, quick_check_interval, "1h",
		   "SQLite: interval of quick_check, which reads the whole file; 0: never", .min = 0,
		   .max = 366.0 * 24 * 3600 * 1000),
	{0}};

static const struct skymon_number numbers[] = {
	{"database_connections", "", "client connections to the server"},
	{"connections_used", "ratio", "client connections as a ratio of max_connections"},
	{"active_connections", "", "connections that run a statement, other than this check's"},
	{"idle_connections", "", "connections that wait for a statement"},
	{"longest_transaction", "s", "age of the oldest open transaction"},
	{"replication_lag", "s", "on a standby: age of its data; on a primary: delay of its slowest standby"},
	{"replication_lag_bytes", "bytes",
	 "on a standby: WAL not yet replayed; on a primary: by its slowest standby"},
	{"cache_hit_rate", "ratio",
	 "blocks found in the buffer cache since the last check, or of all time in the first check"},
	{"query_value", "", "first column of the first row of `query`, if that is a number"},
	{"query_rows", "", "rows that `query` returned"},
	{"query_time", "s", "duration of `query`"},
	{"query_value_", "", "query_value_NAME: the same for the query NAME of `queries`"},
	{"query_rows_", "", "query_rows_NAME: the same for the query NAME of `queries`"},
	{"query_time_", "s", "query_time_NAME: the same for the query NAME of `queries`"},
	SKYMON_TLS_NUMBERS,
	{"size", "bytes", "SQLite: size of the file"},
	{"free_pages", "ratio", "SQLite: unused pages as a ratio of all pages of the file"},
	{"write_time", "s", "SQLite: duration of writing one row durably"},
	{0}};

static bool has_scheme(const char *url, const char *scheme)
{
	return strncmp(url, scheme, strlen(scheme)) == 0;
}

/* Returns NULL with *why set, which does not quote the URL: it may hold a password. */
static const struct database_backend *find_backend(const char *url, const char **why)
{
	/* Other programs' prefixes and suffixes are accepted here: the backend explains what to leave out. */
	if (has_scheme(url, "postgresql:") || has_scheme(url, "postgres:") ||
	    has_scheme(url, "postgresql+") || has_scheme(url, "postgres+") ||
	    has_scheme(url, "jdbc:postgresql:")) {
#ifdef HAVE_LIBPQ
		return &database_postgres;
#else
		*why = "is PostgreSQL's, which this build lacks: libpq was missing at configure time";
		return NULL;
#endif
	}
	if (has_scheme(url, "sqlite:")) {
#ifdef HAVE_SQLITE3
		return &database_sqlite;
#else
		*why = "is SQLite's, which this build lacks: sqlite3 was missing at configure time";
		return NULL;
#endif
	}
	*why = "must begin with postgresql:, postgres: or sqlite:";
	return NULL;
}

static void validate(struct skymon *sm, const void *state)
{
	const struct database *db = state;
	const char *why = NULL;
	const struct database_backend *backend = find_backend(db->url, &why);
	database_queries_validate(sm, db);
	if (backend != NULL)
		backend->validate(sm, db);
	else
		skymon_invalid(sm, "url", "%s", why);
}

static bool start(struct skymon *sm, void *state)
{
	struct database *db = state;
	const char *why = NULL;
	db->backend = find_backend(db->url, &why);
	if (db->backend == NULL) {
		skymon_unknown(sm, "url %s", why);
		return false;
	}
	return db->backend->start(sm, db);
}

static void stop(struct skymon *sm, void *state)
{
	struct database *db = state;
	(void)sm;
	if (db->backend != NULL)
		db->backend->stop(db);
	db->store = NULL;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct database *db = state;
	return db->backend->check(sm, db);
}

static bool load(struct skymon *sm, void *shared)
{
	(void)sm;
#ifdef HAVE_LIBPQ
	return database_postgres.load(shared);
#else
	(void)shared;
	return true;
#endif
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
#ifdef HAVE_LIBPQ
	database_postgres.unload(shared);
#else
	(void)shared;
#endif
}

SKYMON_PLUGIN(database, "1.0", "PostgreSQL or SQLite: answers, connections, replication, cache, size",
	      .state_size = sizeof(struct database), .shared_size = sizeof(struct database_shared),
	      .options = options, .numbers = numbers, .load = load, .unload = unload, .start = start,
	      .stop = stop, .check = check, .validate = validate);
