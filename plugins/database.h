/* SPDX-License-Identifier: Apache-2.0 */
/* database: what the two backends of this check share. The URL's scheme chooses the backend; each is compiled
 * only when its library is there. `struct database` is the component's state: the options, as the core stored
 * them, and the backend's own. */
#ifndef DATABASE_H
#define DATABASE_H

#include <skymon/plugin.h>
#include <time.h>

struct database;

struct database_shared { /* one per process */
	int tls_index;   /* OpenSSL's number of our callback */
};

struct database_backend {
	bool (*load)(struct database_shared *shared); /* once per process; load and unload may be NULL */
	void (*unload)(struct database_shared *shared);
	void (*validate)(struct skymon *sm, const struct database *db);
	bool (*start)(struct skymon *sm, struct database *db); /* sets db->store; opens no network */
	void (*stop)(struct database *db);                     /* frees db->store, which may be NULL */
	enum skymon_status (*check)(struct skymon *sm, struct database *db);
};

enum database_write { DATABASE_WRITE_AUTO, DATABASE_WRITE_ALWAYS, DATABASE_WRITE_NEVER };

struct database {
	const char *url, *query;
	struct skymon_secret password;
	struct skymon_tls tls;
	struct skymon_choice write;
	struct skymon_duration quick_check_interval;
	const struct database_backend *backend;
	void *store;
};

/* What the user's query answered: the first column of the first row, if it is a number, and how many rows
 * there were. */
struct database_answer {
	bool has_value;
	double value;
	int64_t rows;
	double seconds;
};

/* Reports the answer as numbers. A query's data is the user's: it goes to thresholds, not into details or
 * metrics. */
static inline void database_report(struct skymon *sm, const struct database_answer *answer)
{
	if (answer->has_value)
		skymon_number(sm, "query_value", answer->value);
	skymon_number(sm, "query_rows", (double)answer->rows);
	skymon_number(sm, "query_time", answer->seconds);
	skymon_gauge(sm, "skymon_db_query_duration_seconds", "Time that the configured query took",
		     answer->seconds);
}

/* Of a clock that only goes forward: s. */
static inline double database_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#ifdef HAVE_LIBPQ
extern const struct database_backend database_postgres;
#endif
#ifdef HAVE_SQLITE3
extern const struct database_backend database_sqlite;
#endif

#endif
