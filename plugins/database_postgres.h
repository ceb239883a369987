/* SPDX-License-Identifier: Apache-2.0 */
/* database_postgres: the parts of the PostgreSQL backend.
 * database_postgres.c: what is asked and reported; database_pgparams.c: what libpq is told;
 * database_pgconn.c: the connection and its waits; database_pgfault.c: what libpq's and the server's
 * sentences mean; database_pgtls.c: why a certificate was not accepted. */
#ifndef DATABASE_POSTGRES_H
#define DATABASE_POSTGRES_H

#include "database.h"

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
/* The same for a statement that failed: sqlstate and the server's primary message, either may be NULL.
 * of_user: the user's own query, whose errors may quote data and are shown only as far as they cannot. */
void pg_explain_statement(const char *sqlstate, const char *primary, bool of_user, struct pg_fault *fault);
void pg_fault_set(struct pg_fault *fault, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#ifdef HAVE_LIBPQ
#include <libpq-fe.h>

/* ---- The connection and its parameters ---- */

struct pg {
	PQconninfoOption *parsed;             /* the URL */
	const char *user, *password, *dbname; /* of the URL or the options; the first two never shown */
	char place[300];                      /* "host:port/dbname" for messages; no user info */
	PGconn *conn;                         /* kept between checks; NULL: none */
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
};

/* All addresses of all hosts. false: no name could be resolved, and the resolver has said so. */
bool pg_find_targets(struct skymon *sm, const struct pg *pg, struct pg_targets *targets);
/* attributes: target_session_attrs or NULL; user_timeout: ms as a text. */
void pg_params_fill(struct pg_params *params, const struct pg *pg, const struct database *db,
		    const struct pg_target *target, const char *attributes, const char *user_timeout);
bool pg_files_are_there(const struct skymon_tls *tls, struct pg_fault *fault);

/* Makes sure that there is a connection: the kept one, if the server has not ended it, else a new one. */
bool pg_connect(struct skymon *sm, const struct database *db, struct pg *pg, struct pg_fault *fault);
/* Ends it without waiting for anything. */
void pg_drop(struct pg *pg);

/* Once per process; then around each attempt: fills in why a certificate was not accepted, which libpq keeps
 * to itself. */
bool pg_tls_load(struct database_shared *shared);
void pg_tls_unload(struct database_shared *shared);
void pg_tls_forget(void);
void pg_tls_explain(struct pg_fault *fault);

/* Sends statements and gives each result to `take` (which does not keep it). alone: exactly one statement,
 * its rows one by one. */
enum pg_outcome { PG_DONE, PG_LOST, PG_LATE };
enum pg_outcome pg_run(struct skymon *sm, struct pg *pg, const char *sql, bool alone,
		       void (*take)(void *arg, const PGresult *result), void *arg);
#endif

#endif
