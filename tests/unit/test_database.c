/* SPDX-License-Identifier: Apache-2.0 */
/* database: a table of libpq's messages and their meaning, refused URLs of which no piece is shown, and the
 * SQLite backend on real files with a minimal host. PostgreSQL itself: tests/live/test_database.py. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"
#include "../../plugins/database/database_postgres.h"
#ifdef HAVE_SQLITE3
#include <sqlite3.h>
#endif

extern const struct skymon_plugin skymon_plugin;

/* ---- A host that records ---- */

static struct {
	char message[600], text[4000]; /* text: details and numbers, "key=value\n" */
	int reason, refused, mistakes;
	double quick_check_age;
	int64_t end;
	char folder[64];
} reported;

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void note(const char *key, const char *value)
{
	size_t used = strlen(reported.text);
	snprintf(reported.text + used, sizeof(reported.text) - used, "%s=%s\n", key, value);
}

static void note_number(struct skymon *sm, const char *key, double value)
{
	(void)sm;
	if (strcmp(key, "quick_check_age_seconds") == 0)
		reported.quick_check_age = value;
	char text[40];
	snprintf(text, sizeof(text), "%.17g", value);
	note(key, text);
}

static void on_log(struct skymon *sm, int level, const char *text, size_t size)
{
	(void)sm, (void)level, (void)text, (void)size;
}

static void on_say(struct skymon *sm, const char *text, size_t size)
{
	(void)sm;
	snprintf(reported.message, sizeof(reported.message), "%.*s", (int)size, text);
}

static void on_reason(struct skymon *sm, int reason)
{
	(void)sm;
	reported.reason = reason;
}

static void on_text(struct skymon *sm, const char *key, const char *text, size_t size)
{
	(void)sm;
	char copy[400];
	snprintf(copy, sizeof(copy), "%.*s", (int)size, text);
	note(key, copy);
}

static void on_boolean(struct skymon *sm, const char *key, bool value)
{
	(void)sm;
	note(key, value ? "true" : "false");
}

static void on_sample(struct skymon *sm, const struct skymon_sample *sample)
{
	(void)sm;
	CU_ASSERT(strncmp(sample->name, "skymon_db_", 10) == 0);
}

static int64_t on_left(struct skymon *sm)
{
	int64_t left = reported.end - now_ms();
	(void)sm;
	return left > 0 ? left : 0;
}

static void on_step(struct skymon *sm, const char *step)
{
	(void)sm, (void)step;
}

static bool on_resolve(struct skymon *sm, const char *host, char *addresses, size_t size)
{
	(void)sm;
	snprintf(addresses, size, "%s", host);
	return true;
}

static bool on_resolve_within(struct skymon *sm, const char *host, int64_t ms, char *addresses, size_t size)
{
	(void)ms;
	return on_resolve(sm, host, addresses, size);
}

static void on_refused(struct skymon *sm)
{
	(void)sm;
	reported.refused++;
}

static const char *on_name(struct skymon *sm)
{
	(void)sm;
	return "it's";
}

static const char *on_folder(struct skymon *sm)
{
	(void)sm;
	return reported.folder;
}

static void on_invalid(struct skymon *sm, const char *option, const char *text, size_t size)
{
	(void)sm;
	snprintf(reported.message, sizeof(reported.message), "%s %.*s", option, (int)size, text);
	reported.mistakes++;
}

static const struct skymon_host host = {.size = sizeof(host),
					.log = on_log,
					.say = on_say,
					.reason = on_reason,
					.detail_text = on_text,
					.detail_number = note_number,
					.detail_boolean = on_boolean,
					.number = note_number,
					.sample = on_sample,
					.ms_left = on_left,
					.step = on_step,
					.resolve = on_resolve,
					.resolve_within = on_resolve_within,
					.secret_refused = on_refused,
					.name = on_name,
					.state_dir = on_folder,
					.invalid = on_invalid};
static struct skymon sm = {&host};

static bool start(struct database *db, const char *url)
{
	db->url = url;
	reported.message[0] = '\0';
	reported.mistakes = 0;
	skymon_plugin.validate(&sm, db);
	return reported.mistakes == 0 && skymon_plugin.start(&sm, db);
}

static enum skymon_status check(struct database *db, int64_t timeout_ms)
{
	reported.end = now_ms() + timeout_ms;
	reported.message[0] = reported.text[0] = '\0';
	reported.reason = SKYMON_NONE;
	return skymon_plugin.check(&sm, db);
}

static const char *fact(const char *key)
{
	static char value[400];
	char at[100];
	snprintf(at, sizeof(at), "\n%s=", key);
	const char *found = strstr(reported.text, at);
	if (strncmp(reported.text, at + 1, strlen(at + 1)) == 0)
		found = reported.text - 1;
	if (found == NULL)
		return NULL;
	found += strlen(at);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(found, "\n"), found);
	return value;
}

/* ---- URLs ---- */

static void urls(void)
{
	static const struct {
		const char *url, *says; /* NULL if accepted */
	} rows[] = {
		{"mysql://root:geheim@db/x", "postgresql:, postgres: or sqlite:"},
#ifdef HAVE_LIBPQ
		{"postgresql://u:geheim@db/x", NULL},
		{"postgres://u:geheim@[::1]:5433/x?sslmode=require", NULL},
		{"postgresql:///x?host=/run/postgresql", NULL},
		{"postgresql://u:ge@heim@db/x", "%40"},
		{"postgresql://u:ge/heim@db/x", "%2F"},
		{"postgresql://u:1/geheim@db/x", "%2F"},
		{"postgresql://u@db:geheim/x", "port"},
		{"postgresql://u:geheim@db/x?nonsense=geheim", "`nonsense`"},
		{"postgresql://u:geheim%@db/x", "cannot be parsed"},
		{"postgresql://u:geheim@db/x?service=geheim", "service"},
		{"postgresql://u:geheim@db/x?replication=true", "replication"},
		{"postgresql:u:geheim@db", "postgresql://user@host"},
#endif
#ifdef HAVE_SQLITE3
		{"sqlite:a.db", NULL},
		{"sqlite:/a.db", NULL},
		{"sqlite:///a.db", NULL},
		{"sqlite:a/..b/c..", NULL},
		{"sqlite://geheim/a.db", "host"},
		{"sqlite:", "no file"},
		{"sqlite:a/", "no file"},
		{"sqlite::memory:", "memory"},
		{"sqlite:../a.db", "out of"},
		{"sqlite:a/../../b", "out of"},
		{"sqlite:a/..", "out of"},
#endif
	};
	snprintf(reported.folder, sizeof(reported.folder), "/nowhere");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct database db = {.url = NULL};
		bool taken = start(&db, rows[i].url);
		if (taken != (rows[i].says == NULL) ||
		    (!taken && strstr(reported.message, rows[i].says) == NULL))
			fprintf(stderr, "\n%s: %s\n", rows[i].url, reported.message);
		CU_ASSERT_EQUAL(taken, rows[i].says == NULL);
		CU_ASSERT(taken || strstr(reported.message, rows[i].says) != NULL);
		CU_ASSERT(strstr(reported.message, "geheim") == NULL &&
			  strstr(reported.message, "heim@") == NULL);
		skymon_plugin.stop(&sm, &db);
	}
}

/* ---- Messages ---- */

#ifdef HAVE_LIBPQ
#define AT "connection to server at \"10.0.0.1\", port 5432 failed: "

static void sentences(void)
{
	static const struct {
		const char *message;
		enum skymon_status status;
		enum skymon_reason reason;
		const char *text;
	} rows[] = {
		{AT "Connection refused\n\tIs the server running on that host and accepting TCP/IP "
		    "connections?\n",
		 SKYMON_UNHEALTHY, SKYMON_REFUSED, "connection refused"},
		{"connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: No such file or "
		 "directory\n\tIs the\n",
		 SKYMON_UNHEALTHY, SKYMON_REFUSED, "no such socket: no server listens"},
		{AT "No route to host\n", SKYMON_UNHEALTHY, SKYMON_UNREACHABLE, "no route to host"},
		{AT "Network is unreachable\n", SKYMON_UNHEALTHY, SKYMON_UNREACHABLE,
		 "network is unreachable"},
		{AT "Connection timed out\n", SKYMON_UNHEALTHY, SKYMON_TIMEOUT,
		 "no answer to the connection attempt"},
		{AT "FATAL:  28P01: password authentication failed for user \"bob\"\nLOCATION:  auth_failed, "
		    "auth.c:326\n",
		 SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED, "the server refused the password (SQLSTATE 28P01)"},
		{AT "FATAL:  28000: role \"bob\" does not exist\n", SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
		 "the server refused the login: role, pg_hba.conf or TLS (SQLSTATE 28000)"},
		{AT "FATAL:  3D000: database \"orders\" does not exist\n", SKYMON_UNHEALTHY,
		 SKYMON_QUERY_ERROR, "the server has no such database (SQLSTATE 3D000)"},
		{AT "SCHWERWIEGEND:  53300: tut mir leid, schon zu viele Verbindungen\n", SKYMON_UNHEALTHY,
		 SKYMON_RESOURCE,
		 "the server has no free connection (SQLSTATE 53300: tut mir leid, schon zu viele "
		 "Verbindungen)"},
		{AT "FATAL:  57P03: the database system is starting up\n", SKYMON_UNHEALTHY, SKYMON_OTHER,
		 "the database system is starting up (SQLSTATE 57P03)"},
		{AT "FATAL:  XX000: for bob with se cret\x1b[1m\n", SKYMON_UNHEALTHY, SKYMON_OTHER,
		 "for *** with ***?[1m (SQLSTATE XX000)"},
		{AT "fe_sendauth: no password supplied\n", SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED,
		 "the server requires a password, but none is configured"},
		{AT "SSL error: certificate verify failed\n", SKYMON_UNHEALTHY, SKYMON_TLS_UNTRUSTED,
		 "the server's certificate is not trusted"},
		{AT "server certificate for \"a\" does not match host name \"b\"\n", SKYMON_UNHEALTHY,
		 SKYMON_TLS_UNTRUSTED, "server certificate for \"a\" does not match host name \"b\""},
		{AT "server does not support SSL, but SSL was required\n", SKYMON_UNHEALTHY, SKYMON_TLS_OTHER,
		 "the server has no TLS, but the configuration requires it"},
		{"root certificate file \"/x\" does not exist\nEither provide", SKYMON_UNKNOWN,
		 SKYMON_TLS_OTHER, "root certificate file \"/x\" does not exist"},
		{AT "received invalid response to SSL negotiation: H\n", SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
		 "the peer does not speak the PostgreSQL protocol"},
		{AT "server closed the connection unexpectedly\n\tThis\n", SKYMON_UNHEALTHY, SKYMON_PROTOCOL,
		 "the server closed the connection before it answered"},
		{AT "session is read-only\n", SKYMON_UNHEALTHY, SKYMON_STANDBY,
		 "the session is read-only, but target_session_attrs requires a writable one"},
		{AT "could not create socket: Too many open files\n", SKYMON_UNKNOWN, SKYMON_RESOURCE,
		 "out of file descriptors on this machine or in this process"},
		{"something new\nand more", SKYMON_UNHEALTHY, SKYMON_OTHER, "something new"},
		{"a \xc3\xa4 \xff\xc3 b", SKYMON_UNHEALTHY, SKYMON_OTHER, "a \xc3\xa4 ?? b"},
		{"", SKYMON_UNHEALTHY, SKYMON_OTHER, "libpq reported no reason"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pg_fault fault;
		pg_explain(rows[i].message, "bob", "se cret", &fault);
		CU_ASSERT_EQUAL(fault.is.status, rows[i].status);
		CU_ASSERT_EQUAL(fault.is.reason, rows[i].reason);
		CU_ASSERT_EQUAL(fault.login, rows[i].reason == SKYMON_AUTH_FAILED);
		UNIT_TEXT(fault.is.text, rows[i].text);
	}
}

static void long_sentences(void)
{
	char message[5000];
	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	struct pg_fault fault;
	pg_explain(message, "", NULL, &fault);
	CU_ASSERT(strlen(fault.is.text) > 200 && strlen(fault.is.text) < sizeof(fault.is.text));
	char words[700];
	snprintf(words, sizeof(words), AT "FATAL:  XX000: %.600s", message);
	pg_explain(words, "x", "xx", &fault);
	CU_ASSERT_EQUAL(strcspn(fault.is.text, "x"), strlen(fault.is.text));
}

static void statements(void)
{
	static const struct {
		const char *sqlstate, *primary;
		bool of_user;
		enum skymon_reason reason;
		const char *text;
	} rows[] = {
		{"42P01", "relation \"t\" does not exist", true, SKYMON_QUERY_ERROR,
		 "the configured query failed: relation \"t\" does not exist (SQLSTATE 42P01)"},
		{"22P02", "invalid input syntax for type integer: \"4111 1111\"", true, SKYMON_QUERY_ERROR,
		 "the configured query failed (SQLSTATE 22P02; its message may contain data and is not "
		 "shown)"},
		{"P0001", "raised", true, SKYMON_QUERY_ERROR,
		 "the configured query failed (SQLSTATE P0001; its message may contain data and is not "
		 "shown)"},
		{"57014", "canceling statement due to statement timeout", true, SKYMON_TIMEOUT,
		 "the configured query did not finish in time"},
		{"57014", "canceling statement due to user request", true, SKYMON_QUERY_ERROR,
		 "the configured query failed: canceling statement due to user request (SQLSTATE 57014)"},
		{"42501", "permission denied", false, SKYMON_QUERY_ERROR,
		 "the statistics query failed: permission denied (SQLSTATE 42501)"},
		{NULL, NULL, false, SKYMON_QUERY_ERROR, "the statistics query failed without an SQLSTATE"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pg_fault fault;
		pg_explain_statement(rows[i].sqlstate, rows[i].primary,
				     rows[i].of_user ? "the configured query" : "the statistics query",
				     rows[i].of_user, &fault);
		CU_ASSERT_EQUAL(fault.is.status, SKYMON_UNHEALTHY);
		CU_ASSERT_EQUAL(fault.is.reason, rows[i].reason);
		UNIT_TEXT(fault.is.text, rows[i].text);
	}
}

static void environment(void)
{
	setenv("PGSERVICE", "x", 1);
	setenv("PGPASSWORD", "x", 1);
	setenv("PATH_TO_PG", "x", 1);
	struct database_shared shared;
	CU_ASSERT(skymon_plugin.load(&sm, &shared));
	skymon_plugin.unload(&sm, &shared);
	CU_ASSERT(getenv("PGSERVICE") == NULL && getenv("PGPASSWORD") == NULL);
	CU_ASSERT(getenv("PATH_TO_PG") != NULL);
}
#endif

/* ---- SQLite ---- */

#ifdef HAVE_SQLITE3
static char path[128];

static void fresh_folder(void)
{
	snprintf(reported.folder, sizeof(reported.folder), "/tmp/skymon-test-database-XXXXXX");
	CU_ASSERT_FATAL(mkdtemp(reported.folder) != NULL);
	snprintf(path, sizeof(path), "%s/a.db", reported.folder);
}

static void remove_folder(void)
{
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(reported.folder), 0);
}

static void sql(const char *text)
{
	sqlite3 *db;
	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void overwrite(long offset, const char *bytes, size_t size)
{
	FILE *file = fopen(path, "r+");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fseek(file, offset, SEEK_SET);
	CU_ASSERT_EQUAL(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

static void writes(void)
{
	struct database db = {.quick_check_interval = {3600000}, .query = "SELECT 42.5 UNION ALL SELECT 2"};
	fresh_folder();
	CU_ASSERT_FATAL(start(&db, "sqlite:a.db"));
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	UNIT_TEXT(fact("written"), "true");
	UNIT_TEXT(fact("quick_check"), "ok");
	UNIT_TEXT(fact("query_value"), "42.5");
	UNIT_TEXT(fact("query_rows"), "2");
	CU_ASSERT(fact("write_time") != NULL && atof(fact("write_time")) > 0);
	struct stat is;
	CU_ASSERT_FATAL(stat(path, &is) == 0);
	CU_ASSERT_EQUAL((double)is.st_size, atof(fact("size")));
	/* The next check does not repeat quick_check, unless the file was replaced. */
	usleep(20000);
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	CU_ASSERT(reported.quick_check_age >= 0.02);
	sql("VACUUM");
	char other[160];
	snprintf(other, sizeof(other), "%s.new", path);
	FILE *file = fopen(other, "w");
	fclose(file);
	rename(other, path);
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	CU_ASSERT(reported.quick_check_age < 0.02);
	skymon_plugin.stop(&sm, &db);
	remove_folder();
}

static void reads_only(void)
{
	struct database db = {.quick_check_interval = {0}};
	fresh_folder();
	char url[160];
	snprintf(url, sizeof(url), "sqlite:%s", path);
	CU_ASSERT_FATAL(start(&db, url));
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(reported.message, "No such file") != NULL);
	CU_ASSERT(access(path, F_OK) != 0);
	sql("CREATE TABLE t(x)");
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	UNIT_TEXT(fact("written"), "false");
	CU_ASSERT(fact("quick_check") == NULL && fact("write_time") == NULL);
	db.query = "SELECT x FROM t";
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	CU_ASSERT(fact("query_value") == NULL);
	UNIT_TEXT(fact("query_rows"), "0");
	static const char *const bad[] = {"SELECT 1; SELECT 2",
					  "INSERT INTO t VALUES(1)",
					  "SELECT nothing",
					  "DELETE FROM t",
					  ";",
					  "SELECT x FROM t; DROP TABLE t",
					  "BEGIN",
					  "PRAGMA user_version = 3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		db.query = bad[i];
		CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_UNHEALTHY);
		CU_ASSERT_EQUAL(reported.reason, SKYMON_QUERY_ERROR);
	}
	skymon_plugin.stop(&sm, &db);
	remove_folder();
}

static void locked(void)
{
	struct database db = {.quick_check_interval = {3600000}};
	fresh_folder();
	CU_ASSERT_FATAL(start(&db, "sqlite:a.db"));
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	sqlite3 *other;
	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &other), SQLITE_OK);
	sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL);
	CU_ASSERT_EQUAL(check(&db, 300), SKYMON_UNHEALTHY);
	CU_ASSERT(now_ms() <= reported.end + 2000); /* does not wait any longer */
	CU_ASSERT_EQUAL(reported.reason, SKYMON_TIMEOUT);
	CU_ASSERT(strstr(reported.message, "locked") != NULL);
	sqlite3_exec(other, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(other);
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	/* A query that never ends. */
	db.query = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c";
	CU_ASSERT_EQUAL(check(&db, 300), SKYMON_UNHEALTHY);
	CU_ASSERT(now_ms() <= reported.end + 2000);
	CU_ASSERT_EQUAL(reported.reason, SKYMON_TIMEOUT);
	skymon_plugin.stop(&sm, &db);
	remove_folder();
}

static void damaged(void)
{
	struct database db = {.quick_check_interval = {3600000}};
	fresh_folder();
	sql("PRAGMA page_size = 4096; CREATE TABLE t(x TEXT); CREATE INDEX i ON t(x);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000) INSERT INTO t "
	    "SELECT hex(n) FROM c");
	CU_ASSERT_FATAL(start(&db, "sqlite:a.db"));
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	skymon_plugin.stop(&sm, &db);
	char page[4096];
	/* A damaged page in the middle: only quick_check notices it, and later checks still report it. */
	memset(page, 0x5a, sizeof(page));
	overwrite(10 * 4096, page, sizeof(page));
	CU_ASSERT_FATAL(start(&db, "sqlite:a.db"));
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_UNHEALTHY);
		CU_ASSERT_EQUAL(reported.reason, SKYMON_QUERY_ERROR);
		CU_ASSERT(strstr(reported.message, "quick_check found damage") != NULL);
	}
	/* A damaged header: no longer a database. */
	overwrite(0, page, 100);
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_UNHEALTHY);
	CU_ASSERT_EQUAL(reported.reason, SKYMON_QUERY_ERROR);
	CU_ASSERT(strstr(reported.message, "file is not a database") != NULL);
	/* A repair is noticed by the next check. */
	unlink(path);
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_HEALTHY);
	skymon_plugin.stop(&sm, &db);
	remove_folder();
}

static void no_place(void)
{
	struct database db = {.quick_check_interval = {3600000}};
	reported.folder[0] = '\0';
	CU_ASSERT(!start(&db, "sqlite:a.db"));
	CU_ASSERT(strstr(reported.message, "state_dir") != NULL);
	fresh_folder();
	CU_ASSERT_FATAL(start(&db, "sqlite:none/a.db"));
	CU_ASSERT_EQUAL(check(&db, 5000), SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(reported.message, "No such file or directory") != NULL);
	skymon_plugin.stop(&sm, &db);
	CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
	CU_ASSERT_FATAL(start(&db, "sqlite:a.db"));
	CU_ASSERT_EQUAL(check(&db, 1000), SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(reported.message, "not a regular file") != NULL);
	skymon_plugin.stop(&sm, &db);
	remove_folder();
	/* The kernel's device that is always full. */
	snprintf(path, sizeof(path), "/dev/full");
	CU_ASSERT_FATAL(start(&db, "sqlite:/dev/full"));
	CU_ASSERT_EQUAL(check(&db, 1000), SKYMON_UNHEALTHY);
	skymon_plugin.stop(&sm, &db);
}
#endif

int main(void)
{
	return unit_run("database", (const struct unit_test[]){{"urls", urls},
#ifdef HAVE_LIBPQ
							       {"sentences of a connection", sentences},
							       {"long sentences", long_sentences},
							       {"sentences of a statement", statements},
							       {"environment", environment},
#endif
#ifdef HAVE_SQLITE3
							       {"SQLite writes", writes},
							       {"SQLite reads only", reads_only},
							       {"SQLite locked", locked},
							       {"SQLite damaged", damaged},
							       {"SQLite no place", no_place},
#endif
							       {0}});
}
