/* database_pgconn: the connection to PostgreSQL: its parameters, opening, keeping and using it without ever
 * waiting past the deadline. libpq is told everything that it would else look up by itself: addresses
 * (getaddrinfo cannot be cut short), the password file, the certificates of a home folder. The connection
 * belongs to struct pg. */
#ifdef HAVE_LIBPQ
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef HAVE_OPENSSL
#include <openssl/ssl.h>
#endif

#include "database_postgres.h"

#define NO_FILE "/dev/null/none" /* cannot exist: keeps libpq from its default files */
#define TARGETS_MAX 16
#define PARAMS_MAX 64

struct target {
	char host[256], address[64], port[8];
};
struct targets {
	struct target items[TARGETS_MAX];
	size_t count;
};
struct params {
	const char *names[PARAMS_MAX + 1], *values[PARAMS_MAX + 1];
	size_t count;
};

static const char *given(const struct pg *pg, const char *name)
{
	for (const PQconninfoOption *at = pg->parsed; at->keyword != NULL; at++)
		if (strcmp(at->keyword, name) == 0)
			return at->val != NULL && at->val[0] != '\0' ? at->val : NULL;
	return NULL;
}

/* ---- The URL ---- */

/* A password with a raw @ or / moves the borders of the URL, and a piece of it would be taken for the host
 * and shown. */
static const char *judge_url(const char *url)
{
	const char *at = strstr(url, "://"), *slash;
	size_t authority;

	if (at == NULL)
		return "url must look like postgresql://user@host:port/database";
	at += 3;
	authority = strcspn(at, "/");
	slash = at + authority;
	for (size_t i = 0, seen = 0; i < authority; i++)
		if (at[i] == '@' && ++seen > 1)
			return "url has a second @ before the host: write @ in a user or password as %40";
	if (memchr(slash, '@', strcspn(slash, "?")) != NULL)
		return "url has an @ after the first /: write / in a user or password as %2F, @ in a "
		       "database name as %40";
	return NULL;
}

static const char *judge_parsed(const struct pg *pg)
{
	const char *port = given(pg, "port");

	if (port != NULL && port[strspn(port, "0123456789,")] != '\0')
		return "url has a port that is no number (write : and / in a password as %3A and %2F)";
	if (given(pg, "service") != NULL)
		return "url names a service: service files are not read, give host, port and database";
	if (given(pg, "replication") != NULL)
		return "url asks for a replication connection, which cannot be checked";
	return NULL;
}

static void name_place(struct pg *pg)
{
	const char *host = given(pg, "host"), *port = given(pg, "port"), *db = given(pg, "dbname");
	const char *slash = db != NULL ? "/" : "";

	if (host == NULL)
		host = given(pg, "hostaddr");
	if (db == NULL)
		db = "";
	if (port == NULL)
		port = "5432";
	if (host == NULL)
		snprintf(pg->place, sizeof(pg->place), "local socket:%.20s%s%.80s", port, slash, db);
	else if (strchr(host, ',') != NULL)
		snprintf(pg->place, sizeof(pg->place), "%.150s%s%.80s", host, slash, db);
	else
		snprintf(pg->place, sizeof(pg->place),
			 strchr(host, ':') != NULL ? "[%.150s]:%.20s%s%.80s" : "%.150s:%.20s%s%.80s", host,
			 port, slash, db);
}

struct pg *pg_new(struct skymon *sm, const struct database *db)
{
	const char *wrong = judge_url(db->url);
	struct pg *pg = wrong == NULL ? calloc(1, sizeof(*pg)) : NULL;
	char *error = NULL;

	if (pg == NULL) {
		skymon_unknown(sm, "%s", wrong != NULL ? wrong : "out of memory");
		return NULL;
	}
	pg->parsed = PQconninfoParse(db->url, &error);
	if (pg->parsed == NULL) {
		/* libpq quotes the URL after its own words; only these are shown. */
		int size = error != NULL ? (int)strcspn(error, "\":\n") : 0;

		skymon_unknown(sm, "url is not understood%s%.*s%s", size > 0 ? " (" : "", size,
			       error != NULL ? error : "", size > 0 ? ")" : "");
		PQfreemem(error);
		pg_free(pg);
		return NULL;
	}
	wrong = judge_parsed(pg);
	if (wrong != NULL) {
		skymon_unknown(sm, "%s", wrong);
		pg_free(pg);
		return NULL;
	}
	pg->password = db->password.bytes != NULL && db->password.size > 0 ? db->password.bytes
									   : given(pg, "password");
	name_place(pg);
	return pg;
}

void pg_free(struct pg *pg)
{
	if (pg == NULL)
		return;
	pg_drop(pg);
	PQconninfoFree(pg->parsed);
	free(pg);
}

/* ---- Parameters of one attempt ---- */

static void put(struct params *params, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0' || params->count >= PARAMS_MAX)
		return;
	params->names[params->count] = name;
	params->values[params->count++] = value;
	params->names[params->count] = params->values[params->count] = NULL;
}

static void put_unless_given(struct params *params, const struct pg *pg, const char *name, const char *value)
{
	if (given(pg, name) == NULL)
		put(params, name, value);
}

static const char *system_roots(void)
{
	static const char *const files[] = {"/etc/ssl/certs/ca-certificates.crt",
					    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
					    "/etc/ssl/cert.pem"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return files[0];
}

/* What the URL says stands; then the tls block; then libpq's `prefer`. Verification without a file of one's
 * own is against the system's. */
static void put_tls(struct params *params, const struct pg *pg, const struct skymon_tls *tls)
{
	bool block = tls->ca_file != NULL || tls->cert_file != NULL || tls->server_name != NULL;
	const char *mode = given(pg, "sslmode");

	if (mode == NULL && tls->insecure)
		put(params, "sslmode", mode = "require");
	else if (mode == NULL && block)
		put(params, "sslmode", mode = "verify-full");
	if (mode != NULL && strncmp(mode, "verify", 6) == 0)
		put_unless_given(params, pg, "sslrootcert",
				 tls->ca_file != NULL ? tls->ca_file : system_roots());
	else
		put_unless_given(params, pg, "sslrootcert", NO_FILE);
	put_unless_given(params, pg, "sslcert", tls->cert_file != NULL ? tls->cert_file : NO_FILE);
	put_unless_given(params, pg, "sslkey",
			 tls->key_file != NULL    ? tls->key_file
			 : tls->cert_file != NULL ? tls->cert_file
						  : NO_FILE);
	put_unless_given(params, pg, "sslcrl", NO_FILE);
}

static void put_given(struct params *params, const struct pg *pg)
{
	static const char *const ours[] = {
		"host", "hostaddr", "port", "password", "connect_timeout", "target_session_attrs", NULL};

	for (const PQconninfoOption *at = pg->parsed; at->keyword != NULL; at++) {
		size_t i = 0;

		while (ours[i] != NULL && strcmp(at->keyword, ours[i]) != 0)
			i++;
		if (ours[i] == NULL && strcmp(at->keyword, "client_encoding") != 0)
			put(params, at->keyword, at->val);
	}
}

static void put_all(struct params *params, const struct pg *pg, const struct database *db,
		    const struct target *target, const char *attributes, const char *user_timeout)
{
	put_given(params, pg);
	/* With hostaddr, host is only the name to verify. */
	put(params, "host",
	    target->address[0] != '\0' && db->tls.server_name != NULL ? db->tls.server_name : target->host);
	put(params, "hostaddr", target->address);
	put(params, "port", target->port[0] != '\0' ? target->port : "5432");
	put(params, "password", pg->password);
	put(params, "target_session_attrs", attributes);
	put(params, "client_encoding", "UTF8");
	put_unless_given(params, pg, "application_name", "skymon");
	put_unless_given(params, pg, "passfile", NO_FILE);
	put_unless_given(params, pg, "gssencmode", "disable");
	/* A kept connection that a firewall forgot swallows what is sent: let the kernel notice in time to
	 * connect anew. */
	put_unless_given(params, pg, "tcp_user_timeout", user_timeout);
	put_tls(params, pg, &db->tls);
}

/* ---- Where to connect ---- */

/* The nth part of a list with commas, or the only part; empty when there is none. */
static void part_of(const char *list, size_t nth, char *out, size_t size)
{
	size_t length;

	out[0] = '\0';
	if (list == NULL)
		return;
	if (strchr(list, ',') != NULL)
		for (; nth > 0; nth--, list++) {
			list += strcspn(list, ",");
			if (*list == '\0')
				return;
		}
	length = strcspn(list, ",");
	if (length >= size)
		length = size - 1;
	memcpy(out, list, length);
	out[length] = '\0';
}

static size_t parts_in(const char *list)
{
	size_t count = 1;

	for (; list != NULL && *list != '\0'; list++)
		count += *list == ',';
	return count;
}

static void add_target(struct targets *targets, const struct target *target)
{
	if (targets->count < TARGETS_MAX)
		targets->items[targets->count++] = *target;
}

/* All addresses of all hosts. false: no name could be resolved, and the resolver has said so. */
static bool find_targets(struct skymon *sm, const struct pg *pg, struct targets *targets)
{
	const char *hosts = given(pg, "host"), *given_addresses = given(pg, "hostaddr");
	size_t count = parts_in(hosts), more = parts_in(given_addresses);
	struct target target;
	char addresses[512];

	for (size_t i = 0; i < (count > more ? count : more); i++) {
		part_of(hosts, i, target.host, sizeof(target.host));
		part_of(given_addresses, i, target.address, sizeof(target.address));
		part_of(given(pg, "port"), i, target.port, sizeof(target.port));
		if (target.address[0] != '\0' || target.host[0] == '\0' || target.host[0] == '/' ||
		    target.host[0] == '@') {
			add_target(targets, &target);
			continue;
		}
		skymon_step(sm, "resolving the host name");
		if (!skymon_resolve(sm, target.host, addresses, sizeof(addresses)))
			continue;
		for (size_t j = 0; j < parts_in(addresses); j++) {
			part_of(addresses, j, target.address, sizeof(target.address));
			add_target(targets, &target);
		}
	}
	return targets->count > 0;
}

/* ---- Waiting ---- */

int64_t pg_left(struct skymon *sm, const struct pg *pg)
{
	int64_t left = skymon_ms_left(sm) - pg->margin;

	return left > 0 ? left : 0;
}

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

/* libpq only says "certificate verify failed" and closes; a reference to the TLS session, taken before, still
 * knows why. */
#ifdef HAVE_OPENSSL
static void session_hold(PGconn *conn, void **session)
{
	SSL *now = PQsslStruct(conn, "OpenSSL");

	if (now == NULL || now == *session || SSL_up_ref(now) != 1)
		return;
	SSL_free(*session);
	*session = now;
}

static void session_explain(const void *session, struct pg_fault *fault)
{
	long verdict = session != NULL ? SSL_get_verify_result(session) : X509_V_OK;
	bool of_time = verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID;

	if (fault->reason == SKYMON_TLS_UNTRUSTED && verdict != X509_V_OK)
		pg_fault_set(fault, of_time ? SKYMON_TLS_EXPIRED : SKYMON_TLS_UNTRUSTED,
			     "the server's certificate is not accepted: %s",
			     X509_verify_cert_error_string(verdict));
}

static void session_free(void *session)
{
	SSL_free(session);
}
#else
static void session_hold(PGconn *conn, void **session)
{
	(void)conn;
	(void)session;
}

static void session_explain(const void *session, struct pg_fault *fault)
{
	(void)session;
	(void)fault;
}

static void session_free(void *session)
{
	(void)session;
}
#endif

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
	void *session = NULL;

	PQsetErrorVerbosity(conn, PQERRORS_VERBOSE); /* with the SQLSTATE */
	PQsetNoticeProcessor(conn, ignore_notice, NULL);
	while (PQstatus(conn) != CONNECTION_BAD && state != PGRES_POLLING_OK &&
	       state != PGRES_POLLING_FAILED) {
		if (!wait_for(sm, conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, floor)) {
			explain_late(conn, fault);
			session_free(session);
			return false;
		}
		state = PQconnectPoll(conn);
		session_hold(conn, &session);
	}
	if (state != PGRES_POLLING_OK) {
		pg_explain(PQerrorMessage(conn), PQuser(conn), PQpass(conn), fault);
		session_explain(session, fault);
	}
	session_free(session);
	return state == PGRES_POLLING_OK;
}

static bool try_target(struct skymon *sm, const struct database *db, struct pg *pg,
		       const struct target *target, const char *attributes, int64_t share,
		       struct pg_fault *fault)
{
	struct params params = {.count = 0};
	char user_timeout[24];

	snprintf(user_timeout, sizeof(user_timeout), "%lld", (long long)(skymon_ms_left(sm) / 2 + 1));
	put_all(&params, pg, db, target, attributes, user_timeout);
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
	struct targets targets = {.count = 0};
	const char *attributes = given(pg, "target_session_attrs");
	bool twice = false;

	pg->fresh = false;
	if (pg->conn != NULL && still_there(pg->conn))
		return true;
	if (pg->conn != NULL)
		skymon_info(sm, "%s: the kept connection was lost, connecting anew", pg->place);
	pg_drop(pg);
	fault->text[0] = '\0';
	if (!find_targets(sm, pg, &targets)) {
		fault->status = SKYMON_UNHEALTHY;
		return false;
	}
	/* libpq would go round all hosts for a standby and then take any; each attempt here has one host. */
	twice = attributes != NULL && strcmp(attributes, "prefer-standby") == 0 && targets.count > 1;
	for (size_t i = 0, all = targets.count * (twice ? 2 : 1); i < all; i++) {
		const char *ask = !twice ? attributes : i < targets.count ? "standby" : "any";

		if (i > 0 && pg_left(sm, pg) == 0)
			return false;
		if (try_target(sm, db, pg, &targets.items[i % targets.count], ask,
			       pg_left(sm, pg) / (int64_t)(all - i), fault))
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
		if (!wait_for(sm, pg->conn, POLLIN | POLLOUT, pg->margin))
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
		if (!wait_for(sm, pg->conn, POLLIN, pg->margin))
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
		if (alone && pg_left(sm, pg) == 0)
			outcome = PG_LATE; /* rows that never end */
	}
	if (outcome == PG_DONE && PQstatus(pg->conn) != CONNECTION_OK)
		outcome = PG_LOST;
	return outcome;
}
#endif
