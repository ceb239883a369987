/* SPDX-License-Identifier: Apache-2.0 */
/* database_postgres: the parts of the PostgreSQL backend.
 * database_postgres.c: the check; database_pgstats.c: the server's statistics; database_pgquery.c: the user's
 * queries; database_pgurl.c: validation of the URL; database_pgparams.c: the parameters for libpq;
 * database_pgconn.c: the connection and its waits; database_pgauth.c: keeps passwords from being sent in
 * clear; database_pgfault.c: explains messages of libpq and of the server; database_pgtls.c: why a
 * certificate was not accepted. */
#ifndef DATABASE_POSTGRES_H
#define DATABASE_POSTGRES_H

#include "database.h"
#include <skymon/fault.h>
#include <skymon/tls.h>

/* ---- Faults (pure) ---- */

struct pg_fault {
	struct skymon_fault is; /* its text has no place, user or password; empty without a fault */
	bool elsewhere;         /* another address of the server may work */
	bool login;             /* the password was refused, or is missing */
};

/* Explains PQerrorMessage() of a connection with PQERRORS_VERBOSE. user and password are masked in it and may
 * be NULL. */
void pg_explain(const char *message, const char *user, const char *password, struct pg_fault *fault);
/* Explains a statement that failed, by SQLSTATE and the server's primary message; either may be NULL. title
 * begins the sentence. of_user: a query of the user, whose errors may quote data; only those that cannot are
 * shown. */
void pg_explain_statement(const char *sqlstate, const char *primary, const char *title, bool of_user,
			  struct pg_fault *fault);
/* Sets *fault to unhealthy with this and nothing else. */
void pg_fault_set(struct pg_fault *fault, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Sets *fault: the server requested the password in clear, and it was not sent. */
void pg_fault_cleartext(struct pg_fault *fault);

/* ---- The server's request for authentication (pure) ---- */

enum pg_asks {
	PG_ASKS_NOTHING_CLEAR,
	PG_ASKS_CLEARTEXT,
	PG_ASKS_NOTHING_YET, /* no bytes yet; libpq must not read either, it could get some that were not seen
			      */
	PG_ASKS_MORE         /* the bytes end within a request: scan again when more arrived */
};
/* Scans messages that a server has sent for a request for the password in clear. */
enum pg_asks pg_auth_scan(const unsigned char *bytes, size_t size);

#ifdef HAVE_LIBPQ
#include <libpq-fe.h>

/* ---- The connection and its parameters ---- */

#define PG_SECTIONS_MAX 16

struct pg_line {          /* one connection */
	PGconn *conn;     /* NULL if not connected */
	double opened;    /* database_clock() then */
	bool verified;    /* with TLS: chain and name of the certificate were verified */
	bool is_local;    /* the server is on this machine */
	uint32_t missing; /* bits of the sections of the statistics that the server lacks or refuses */
	char missing_why[PG_SECTIONS_MAX][6]; /* the SQLSTATE for each */
};

struct pg {
	struct database_shared *keeps_in; /* counts kept connections; NULL if this one is not kept */
	PQconninfoOption *parsed;         /* the URL */
	const char *user, *password,
		*dbname;     /* of the URL or the options; user and password are never shown */
	char place[300];     /* "host:port/dbname" for messages; no user info */
	struct pg_line line; /* kept between checks */
	uint64_t connects;
	bool fresh; /* opened in this check */
	/* counters of the last check, for the hit rate since then */
	bool has_blocks;
	double blocks_hit, blocks_read;
};

/* Parses a URL (database_pgurl.c). Returns what is wrong with it, as in "url %s", perhaps in room; NULL if it
 * is valid, with *parsed for PQconninfoFree(). */
const char *pg_url_parse(const char *url, PQconninfoOption **parsed, char *room, size_t size);
void pg_validate(struct skymon *sm, const struct database *db);
/* Parses the URL. Returns NULL after skymon_unknown(). */
struct pg *pg_new(struct skymon *sm, const struct database *db);
void pg_free(struct pg *pg);
/* Returns a parameter of the URL; NULL if it is missing or empty. */
const char *pg_given(const struct pg *pg, const char *name);

#define PG_TARGETS_MAX 16
#define PG_PARAMS_MAX 64

struct pg_target {
	char host[256], address[64], port[8]; /* address is empty for a socket's folder or libpq's default */
};
struct pg_targets {
	struct pg_target items[PG_TARGETS_MAX];
	size_t count;
};
struct pg_params { /* for PQconnectStartParams(); borrows the texts */
	const char *names[PG_PARAMS_MAX + 1], *values[PG_PARAMS_MAX + 1];
	size_t count;
	bool is_local, verifies; /* verifies: TLS, with the chain and name of the certificate verified */
	bool by_default;         /* verifies only because no TLS setting is configured */
	bool hides_password;     /* the password must not be sent in clear, and libpq lacks require_auth */
};

size_t pg_host_count(const struct pg *pg);
/* Finds all addresses of the nth host within ms; the first is one that accepts connections. Returns false if
 * the name does not resolve, which the resolver has reported. */
bool pg_find_targets(struct skymon *sm, const struct pg *pg, size_t nth, int64_t ms,
		     struct pg_targets *targets);
/* attributes is target_session_attrs or NULL; user_timeout is a text in ms. */
void pg_params_fill(struct pg_params *params, const struct pg *pg, const struct database *db,
		    const struct pg_target *target, const char *attributes, const char *user_timeout);
/* Returns false with *fault set if a configured file cannot be read. */
bool pg_files_are_there(const struct skymon_tls *tls, struct pg_fault *fault);

/* Provides a connection: the kept one, unless the server has closed it or it is older than `reconnect`, else
 * a new one. Returns false with *fault set. */
bool pg_connect(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault);
/* Closes the connection without waiting. */
void pg_drop(struct pg *pg);

/* Scans the bytes that libpq is about to read. */
enum pg_asks pg_auth_peek(PGconn *conn);

/* Called once per process. */
bool pg_tls_load(struct database_shared *shared);
void pg_tls_unload(struct database_shared *shared);
/* Called before and after each attempt to connect; pg_tls_explain() adds why a certificate was not accepted,
 * which libpq does not report. */
void pg_tls_forget(void);
void pg_tls_explain(struct pg_fault *fault);
/* Returns NaN without TLS. */
struct skymon_tls_days pg_tls_days(PGconn *conn);

/* Sends statements and passes each result to `take`, which must not keep it. alone: a single statement, whose
 * rows come one by one. */
enum pg_outcome { PG_DONE, PG_LOST, PG_LATE };
enum pg_outcome pg_run(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg);
/* Like pg_run(), and sets *fault if the outcome is not PG_DONE. */
enum pg_outcome pg_ask(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg, const char *title,
		       struct pg_fault *fault);

/* ---- Statistics and queries ---- */

enum pg_number { /* as the sections of database_pgstats.c report them */
		 PG_MAX_CONNECTIONS,
		 PG_IN_RECOVERY,
		 PG_TOTAL,
		 PG_HIDDEN,
		 PG_ACTIVE,
		 PG_IDLE,
		 PG_OPEN,
		 PG_ABORTED,
		 PG_LONGEST,
		 PG_RECEIVING,
		 PG_HAS_PRIMARY, /* primary_conninfo is set */
		 PG_BEHIND,      /* bytes of WAL received and not replayed; negative after a restart */
		 PG_SINCE_REPLAY,
		 PG_STANDBYS,
		 PG_STANDBYS_HIDDEN,
		 PG_STANDBY_SECONDS,
		 PG_STANDBY_BYTES,
		 PG_BLOCKS_HIT,
		 PG_BLOCKS_READ,
		 PG_NUMBERS
};
struct pg_stats {
	char version[24];  /* empty if unknown */
	char missing[500]; /* "pg_stat_activity (SQLSTATE 42501), …" */
	bool has[PG_NUMBERS];
	double of[PG_NUMBERS]; /* booleans: 1 or 0 */
};
enum pg_outcome pg_stats_ask(struct skymon *sm, struct pg *pg, struct pg_stats *stats,
			     struct pg_fault *fault);
void pg_stats_report(struct skymon *sm, struct pg *pg, const struct pg_stats *stats);
/* Returns whether this is a standby that has a primary but receives nothing from it, so that its data ages.
 */
bool pg_stats_lost_primary(const struct pg_stats *stats);
/* Parses a value of the first row. Returns false if it is NULL or not a number. */
bool pg_read_number(const PGresult *result, int column, double *value);

/* Runs the user's queries and reports them. With PG_DONE the tally has those that failed. */
enum pg_outcome pg_queries_run(struct skymon *sm, const struct database *db, struct pg *pg,
			       struct database_tally *tally, struct pg_fault *fault);
#endif

#endif
