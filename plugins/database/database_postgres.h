/* SPDX-License-Identifier: Apache-2.0 */
/* database_postgres: the parts of the PostgreSQL backend.
 * database_postgres.c: the check; database_pgstats.c: the server's own numbers; database_pgquery.c: the
 * user's queries; database_pgparams.c: the parameters for libpq; database_pgconn.c: the connection and its
 * waits; database_pgauth.c: no password in clear; database_pgfault.c: what libpq's and the server's sentences
 * mean; database_pgtls.c: why a certificate was not accepted. */
#ifndef DATABASE_POSTGRES_H
#define DATABASE_POSTGRES_H

#include "database.h"
#include "tls_report.h"

/* ---- Faults (pure) ---- */

struct pg_fault {
	enum skymon_status status;
	enum skymon_reason reason;
	bool elsewhere; /* another address of the same server may do better */
	bool login;     /* the password was refused, or one was asked for */
	char text[320]; /* a part of a sentence, without place, user or password */
};

/* message: PQerrorMessage of a connection with PQERRORS_VERBOSE. user, password: to be kept out of the text;
 * may be NULL. */
void pg_explain(const char *message, const char *user, const char *password, struct pg_fault *fault);
/* The same for a statement that failed: sqlstate and the server's primary message, either may be NULL. title:
 * the beginning of the sentence. of_user: the user's own query, whose errors may quote data and are shown
 * only as far as they cannot. */
void pg_explain_statement(const char *sqlstate, const char *primary, const char *title, bool of_user,
			  struct pg_fault *fault);
void pg_fault_set(struct pg_fault *fault, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The server asked for the password in clear, and it was not sent. */
void pg_fault_cleartext(struct pg_fault *fault);

/* ---- What a server asks for (pure) ---- */

enum pg_asks {
	PG_ASKS_NOTHING_CLEAR,
	PG_ASKS_CLEARTEXT,
	PG_ASKS_NOTHING_YET, /* libpq must not read either: what comes meanwhile would not be looked at */
	PG_ASKS_MORE         /* the bytes end within a request: look again when there are more */
};
/* Looks for a request for the password in clear among the messages that a server has sent. */
enum pg_asks pg_auth_scan(const unsigned char *bytes, size_t size);

#ifdef HAVE_LIBPQ
#include <libpq-fe.h>

/* ---- The connection and its parameters ---- */

#define PG_SECTIONS_MAX 16

struct pg_line {          /* one connection */
	PGconn *conn;     /* NULL: none */
	double opened;    /* database_clock */
	bool verified;    /* if it has TLS: chain and name of the certificate were verified */
	bool is_local;    /* the server is on this machine */
	uint32_t missing; /* bits of the sections of the statistics that the server lacks or refuses */
	char missing_why[PG_SECTIONS_MAX][6]; /* their SQLSTATEs */
};

struct pg {
	struct database_shared *keeps_in; /* it may keep its connection, and is counted there; NULL: not */
	PQconninfoOption *parsed;         /* the URL */
	const char *user, *password, *dbname; /* of the URL or the options; the first two never shown */
	char place[300];                      /* "host:port/dbname" for messages; no user info */
	struct pg_line line;                  /* kept between checks */
	uint64_t connects;
	bool fresh; /* opened in this check */
	/* counters of the last check, for the hit rate since then */
	bool has_blocks;
	double blocks_hit, blocks_read;
};

/* database_pgurl.c: what is wrong with a URL, as in "url %s" (in room, perhaps); NULL: nothing, and *parsed
 * is the caller's. */
const char *pg_url_parse(const char *url, PQconninfoOption **parsed, char *room, size_t size);
void pg_validate(struct skymon *sm, const struct database *db);
/* Parses the URL. NULL: skymon_unknown has said why. */
struct pg *pg_new(struct skymon *sm, const struct database *db);
void pg_free(struct pg *pg);
const char *pg_given(const struct pg *pg, const char *name); /* by the URL; NULL when not, or empty */

#define PG_TARGETS_MAX 16
#define PG_PARAMS_MAX 64

struct pg_target {
	char host[256], address[64], port[8]; /* address empty: a socket's folder, or libpq's default */
};
struct pg_targets {
	struct pg_target items[PG_TARGETS_MAX];
	size_t count;
};
struct pg_params { /* as PQconnectStartParams takes them; the texts are the others' */
	const char *names[PG_PARAMS_MAX + 1], *values[PG_PARAMS_MAX + 1];
	size_t count;
	bool is_local, verifies; /* verifies: chain and name of the certificate, so that there is TLS */
	bool by_default;         /* because nothing else was configured */
	bool hides_password;     /* it must not be sent in clear, and libpq cannot be asked to see to that */
};

size_t pg_host_count(const struct pg *pg);
/* All addresses of the nth host, found within ms, the one first that takes connections. false: its name could
 * not be resolved, and the resolver has said so. */
bool pg_find_targets(struct skymon *sm, const struct pg *pg, size_t nth, int64_t ms,
		     struct pg_targets *targets);
/* attributes: target_session_attrs or NULL; user_timeout: ms as a text. */
void pg_params_fill(struct pg_params *params, const struct pg *pg, const struct database *db,
		    const struct pg_target *target, const char *attributes, const char *user_timeout);
bool pg_files_are_there(const struct skymon_tls *tls, struct pg_fault *fault);

/* Makes sure that there is a connection: the kept one, if the server has not ended it and it is younger than
 * `reconnect`, else a new one. */
bool pg_connect(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault);
/* Ends it without waiting for anything. */
void pg_drop(struct pg *pg);

/* Before libpq reads: whether what the server has sent asks for the password in clear. */
enum pg_asks pg_auth_peek(PGconn *conn);

/* Once per process; then around each attempt: fills in why a certificate was not accepted, which libpq keeps
 * to itself. */
bool pg_tls_load(struct database_shared *shared);
void pg_tls_unload(struct database_shared *shared);
void pg_tls_forget(void);
void pg_tls_explain(struct pg_fault *fault);
/* Days until the server's certificate ends; NaN without TLS. */
double pg_tls_days(PGconn *conn);

/* Sends statements and gives each result to `take` (which does not keep it). alone: exactly one statement,
 * its rows one by one. */
enum pg_outcome { PG_DONE, PG_LOST, PG_LATE };
enum pg_outcome pg_run(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg);
/* The same, and what became of the message as a fault, if it was late or lost. */
enum pg_outcome pg_ask(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg, const char *title,
		       struct pg_fault *fault);

/* ---- What is asked ---- */

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
		 PG_BEHIND, /* bytes of WAL that were received and not replayed; negative after a restart */
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
	char version[24];  /* empty: the server does not tell */
	char missing[500]; /* "pg_stat_activity (SQLSTATE 42501), …" */
	bool has[PG_NUMBERS];
	double of[PG_NUMBERS]; /* booleans: 1 or 0 */
};
enum pg_outcome pg_stats_ask(struct skymon *sm, struct pg *pg, struct pg_stats *stats,
			     struct pg_fault *fault);
void pg_stats_report(struct skymon *sm, struct pg *pg, const struct pg_stats *stats);
/* A standby that does not receive, though it has a primary: what it serves grows old. */
bool pg_stats_lost_primary(const struct pg_stats *stats);
/* The text of a value of a result, as a number. */
bool pg_read_number(const PGresult *result, int column, double *value);

/* Runs the user's queries and reports them. PG_DONE: the tally has those that failed. */
enum pg_outcome pg_queries_run(struct skymon *sm, const struct database *db, struct pg *pg,
			       struct database_tally *tally, struct pg_fault *fault);
#endif

#endif
