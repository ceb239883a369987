/* SPDX-License-Identifier: Apache-2.0 */
/* database: shared by the two backends of this check. The URL's scheme selects the backend; each is compiled
 * only if its library was found. struct database is the component's state: the options, as the core stores
 * them, and the backend's. */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdatomic.h>
#include <skymon/plugin.h>
#include <time.h>

struct database;

struct database_shared { /* one per process */
	int tls_index;   /* OpenSSL's index for our callback */
	atomic_int kept; /* components that keep a connection between checks */
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

struct database_query { /* one of the option `queries` */
	const char *name, *sql;
};

struct database {
	const char *url, *query;
	struct skymon_list queries; /* of struct database_query */
	struct skymon_secret password;
	struct skymon_tls tls;
	struct skymon_choice write;
	struct skymon_duration quick_check_interval, reconnect;
	const struct database_backend *backend;
	void *store;
};

/* ---- The user's queries (database_query.c) ---- */

#define DATABASE_QUERIES_MAX 40
#define DATABASE_QUERY_NAME_MAX 48

/* The result of a query: the first column of the first row, if it is a number, and the number of rows. */
struct database_answer {
	bool has_value;
	double value;
	int64_t rows;
	double seconds;
};

/* The outcome of all queries of one check; reason and text are of the first that failed. */
struct database_tally {
	unsigned run, failed;
	enum skymon_reason reason;
	char text[400]; /* "query `orders` failed: …" */
};

/* Return the number of queries, and the nth; `query`, if given, is the first and its name is NULL. */
size_t database_query_count(const struct database *db);
struct database_query database_query_at(const struct database *db, size_t nth);
/* Writes the subject of a message: "the configured query" or "query `orders`". */
void database_query_title(const struct database_query *query, char title[DATABASE_QUERY_NAME_MAX + 16]);
void database_queries_validate(struct skymon *sm, const struct database *db);
/* Reports the answer as numbers, and as metrics for a named query. A query's data never goes into details. */
void database_query_report(struct skymon *sm, const struct database_query *query,
			   const struct database_answer *answer);
/* Records a failed query in the tally, and a named query's failure in the details. */
void database_query_fail(struct skymon *sm, struct database_tally *tally, const struct database_query *query,
			 enum skymon_reason reason, const char *text);
/* Reports unhealthy, with the place and the tally's text, if a query failed. */
enum skymon_status database_tally_status(struct skymon *sm, const struct database_tally *tally,
					 const char *place);

/* Returns the monotonic clock, in s. */
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
