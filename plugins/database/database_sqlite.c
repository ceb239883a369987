/* SPDX-License-Identifier: Apache-2.0 */
/* database_sqlite: the SQLite backend. Each check opens the file (it may have been replaced), writes a row,
 * reads it back through a second connection, measures the file and, at intervals, runs quick_check. Only a
 * disk that does not respond can hold a check past its deadline. Called by database.c: check on a thread per
 * component, the others on the worker's main thread. Owns struct lite. */
#ifdef HAVE_SQLITE3
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "database.h"

#define PROGRESS_STEPS 1000 /* instructions of SQLite's virtual machine between two calls: some 10 us */

struct lite {
	char *path;
	bool write;
	/* of the newest quick_check that finished */
	bool checked;
	double checked_at; /* database_clock() then */
	dev_t device;
	ino_t inode;
	char damage[200]; /* empty if there is none */
};

struct visit { /* the state of one check */
	struct skymon *sm;
	struct lite *lite;
	sqlite3 *db;
	int64_t floor;               /* ms before the deadline by which the current query must have ended */
	bool late;                   /* SQLite was interrupted at that time */
	struct database_tally tally; /* of the user's queries */
};

/* ---- Start ---- */

/* Returns the path of "sqlite:a.db", "sqlite:/a.db" or "sqlite:///a.db" (an empty host). Sets *wrong to what
 * is wrong with it, or NULL. */
static const char *parse_path(const char *url, const char **wrong)
{
	const char *path = url + strlen("sqlite:");
	*wrong = NULL;
	if (strncmp(path, "//", 2) == 0) {
		if (path[2] != '/')
			*wrong = "has a host: write sqlite:PATH, or sqlite:///PATH for an absolute one";
		path += 2;
	}
	if (path[0] == '\0' || path[strlen(path) - 1] == '/')
		*wrong = "has no file: write sqlite:PATH";
	else if (strcmp(path, ":memory:") == 0)
		*wrong = "is an in-memory database, which cannot be checked";
	return path;
}

static bool leaves_folder(const char *path)
{
	for (const char *at = path; at != NULL; at = strchr(at, '/')) {
		at += *at == '/';
		if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
			return true;
	}
	return false;
}

static void validate(struct skymon *sm, const struct database *db)
{
	const char *wrong, *path = parse_path(db->url, &wrong);
	if (wrong == NULL && path[0] != '/' && leaves_folder(path))
		wrong = "leads out of state_dir: write an absolute path";
	if (wrong != NULL)
		skymon_invalid(sm, "url", "%s", wrong);
}

static bool start(struct skymon *sm, struct database *db)
{
	const char *wrong, *path = parse_path(db->url, &wrong), *folder = skymon_state_dir(sm);
	bool ours = path[0] != '/';
	if (wrong == NULL && ours && folder[0] == '\0')
		wrong = "is a relative path, but state_dir is not set: set it, or write an absolute path";
	if (wrong != NULL) {
		skymon_unknown(sm, "url %s", wrong);
		return false;
	}
	struct lite *lite = calloc(1, sizeof(*lite));
	if (lite == NULL || asprintf(&lite->path, "%s%s%s", ours ? folder : "", ours ? "/" : "", path) < 0) {
		free(lite);
		skymon_unknown(sm, "out of memory");
		return false;
	}
	lite->write =
		db->write.index == DATABASE_WRITE_ALWAYS || (db->write.index == DATABASE_WRITE_AUTO && ours);
	db->store = lite;
	return true;
}

static void stop(struct database *db)
{
	struct lite *lite = db->store;
	if (lite == NULL)
		return;
	free(lite->path);
	free(lite);
}

/* ---- Deadline ---- */

static int64_t ms_left(const struct visit *visit)
{
	return skymon_ms_left(visit->sm);
}

static int on_progress(void *arg)
{
	struct visit *visit = arg;
	if (ms_left(visit) <= visit->floor)
		visit->late = true;
	return visit->late;
}

static int on_busy(void *arg, int times)
{
	struct visit *visit = arg;
	int64_t ms = ms_left(visit), nap = times < 10 ? 1 + times : 10;
	struct timespec wait = {.tv_nsec = (nap < ms ? nap : ms) * 1000000};
	if (ms == 0)
		return 0;
	nanosleep(&wait, NULL);
	return 1;
}

/* ---- Faults ---- */

static enum skymon_status report_unhealthy(struct visit *visit, enum skymon_reason reason, const char *what,
					   const char *text)
{
	skymon_reason(visit->sm, reason);
	return skymon_unhealthy(visit->sm, "%s: %s: %s", visit->lite->path, what, text);
}

/* Reports a code of SQLite. Its messages may contain data only for a query of the user: see explain_query().
 */
static enum skymon_status report_error(struct visit *visit, int code, const char *what)
{
	int error = visit->db != NULL ? sqlite3_system_errno(visit->db) : 0;
	char text[200];
	snprintf(text, sizeof(text), "%s", sqlite3_errstr(code));
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return report_unhealthy(visit, SKYMON_TIMEOUT, what,
					"another process kept the database locked until the deadline");
	case SQLITE_INTERRUPT:
		return report_unhealthy(visit, SKYMON_TIMEOUT, what, "not finished by the deadline");
	case SQLITE_FULL:
		return report_unhealthy(visit, SKYMON_RESOURCE, what, "no space left on the disk");
	case SQLITE_NOMEM:
		return report_unhealthy(visit, SKYMON_RESOURCE, what, "out of memory");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return report_unhealthy(visit, SKYMON_QUERY_ERROR, what, text);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		if (error != 0)
			snprintf(text, sizeof(text), "%s", strerror(error));
		if (error == EACCES && !visit->lite->write) {
			skymon_reason(visit->sm, SKYMON_OTHER);
			return skymon_unknown(visit->sm, "%s: %s: %s", visit->lite->path, what, text);
		}
		return report_unhealthy(visit,
					error == ENOSPC || error == EDQUOT ? SKYMON_RESOURCE : SKYMON_OTHER,
					what, text);
	default:
		return report_unhealthy(visit, SKYMON_QUERY_ERROR, what, text);
	}
}

/* ---- Steps; each returns SKYMON_HEALTHY to continue ---- */

static enum skymon_status open_file(struct visit *visit, bool write)
{
	int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	skymon_step(visit->sm, "opening the SQLite file");
	struct stat is;
	if (stat(visit->lite->path, &is) == 0 && !S_ISREG(is.st_mode)) /* a FIFO would block */
		return report_unhealthy(visit, SKYMON_OTHER, "cannot open", "not a regular file");
	int code = sqlite3_open_v2(visit->lite->path, &visit->db, flags | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (code != SQLITE_OK)
		return report_error(visit, code, "cannot open");
	sqlite3_extended_result_codes(visit->db, 1);
	sqlite3_busy_handler(visit->db, on_busy, visit);
	sqlite3_progress_handler(visit->db, PROGRESS_STEPS, on_progress, visit);
	sqlite3_db_config(visit->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return SKYMON_HEALTHY;
}

static void close_file(struct visit *visit)
{
	sqlite3_close(visit->db);
	visit->db = NULL;
}

static int query_number(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		*value = sqlite3_column_int64(statement, 0);
		code = SQLITE_OK;
	} else if (code == SQLITE_DONE) {
		code = SQLITE_EMPTY;
	}
	sqlite3_finalize(statement);
	return code;
}

/* Writes one row durably: SQLite syncs before COMMIT returns. `token` must be read back; each component has
 * its own row. */
static enum skymon_status write_row(struct visit *visit, int64_t token)
{
	enum skymon_status status = open_file(visit, true);
	if (status != SKYMON_HEALTHY)
		return status;
	char *sql = sqlite3_mprintf(
		"BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS skymon_check(component TEXT PRIMARY KEY, token "
		"INTEGER);"
		"INSERT OR REPLACE INTO skymon_check(component, token) VALUES(%Q, %lld); COMMIT",
		skymon_name(visit->sm), (long long)token);
	if (sql == NULL)
		return report_error(visit, SQLITE_NOMEM, "cannot write");
	skymon_step(visit->sm, "writing a row");
	double seconds = database_clock();
	int code = sqlite3_exec(visit->db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	seconds = database_clock() - seconds;
	if (code != SQLITE_OK) {
		status = report_error(visit, code, "cannot write");
	} else {
		skymon_number(visit->sm, "write_time", seconds);
		skymon_detail_number(visit->sm, "write_seconds", seconds);
		skymon_gauge(visit->sm, "skymon_db_write_duration_seconds",
			     "Duration of writing one row durably", seconds);
	}
	close_file(visit);
	return status;
}

static enum skymon_status read_row(struct visit *visit, int64_t token)
{
	char *sql = sqlite3_mprintf("SELECT token FROM skymon_check WHERE component = %Q",
				    skymon_name(visit->sm));
	int64_t back = 0;
	int code = sql != NULL ? query_number(visit->db, sql, &back) : SQLITE_NOMEM;
	sqlite3_free(sql);
	if (code != SQLITE_OK)
		return report_error(visit, code, "cannot read back what was written");
	if (back != token) /* another skymond checks the same file, or writes are lost */
		return report_unhealthy(visit, SKYMON_QUERY_ERROR, "read back",
					"not the value that was written");
	return SKYMON_HEALTHY;
}

static enum skymon_status measure(struct visit *visit)
{
	int64_t pages = 0, unused = 0, page = 0, objects = 0;
	int code = query_number(visit->db, "SELECT count(*) FROM sqlite_master", &objects);
	skymon_step(visit->sm, "measuring the file");
	if (code == SQLITE_OK)
		code = query_number(visit->db, "PRAGMA page_count", &pages);
	if (code == SQLITE_OK)
		code = query_number(visit->db, "PRAGMA freelist_count", &unused);
	if (code == SQLITE_OK)
		code = query_number(visit->db, "PRAGMA page_size", &page);
	if (code != SQLITE_OK)
		return report_error(visit, code, "cannot read");
	skymon_number(visit->sm, "size", (double)pages * (double)page);
	skymon_detail_number(visit->sm, "size_bytes", (double)pages * (double)page);
	skymon_gauge(visit->sm, "skymon_db_size_bytes", "Size of the database file",
		     (double)pages * (double)page);
	if (pages > 0) {
		skymon_number(visit->sm, "free_pages", (double)unused / (double)pages);
		skymon_detail_number(visit->sm, "free_pages", (double)unused / (double)pages);
		skymon_gauge(visit->sm, "skymon_db_free_pages_ratio",
			     "Unused pages as a ratio of all pages of the file",
			     (double)unused / (double)pages);
	}
	return SKYMON_HEALTHY;
}

/* ---- quick_check ---- */

static bool quick_check_is_due(struct lite *lite, const struct database *db)
{
	struct stat is = {.st_ino = 0};
	bool same = stat(lite->path, &is) == 0 && is.st_dev == lite->device && is.st_ino == lite->inode;
	lite->device = is.st_dev;
	lite->inode = is.st_ino;
	/* A damaged file is checked each time, so that a repair is noticed at once. */
	return !lite->checked || !same || lite->damage[0] != '\0' ||
	       database_clock() - lite->checked_at >= (double)db->quick_check_interval.ms / 1000;
}

static enum skymon_status run_quick_check(struct visit *visit, const struct database *db)
{
	struct lite *lite = visit->lite;
	sqlite3_stmt *statement = NULL;
	if (db->quick_check_interval.ms == 0 || !quick_check_is_due(lite, db))
		return SKYMON_HEALTHY;
	skymon_step(visit->sm, "quick_check");
	int code = sqlite3_prepare_v2(visit->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(statement, 0);
		lite->checked = true;
		lite->checked_at = database_clock();
		snprintf(lite->damage, sizeof(lite->damage), "%s",
			 text == NULL              ? "no answer"
			 : strcmp(text, "ok") == 0 ? ""
						   : text);
		for (char *at = lite->damage; *at != '\0'; at++)
			*at = *at == '\n' ? ' ' : *at;
		code = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	/* A large file may take longer than the check's timeout: a warning, but not a fault of the database.
	 */
	if (code == SQLITE_INTERRUPT && visit->late)
		skymon_warn(
			visit->sm,
			"%s: quick_check did not finish within the check's timeout; raise timeout, or set "
			"quick_check_interval: 0",
			lite->path);
	else if (code != SQLITE_OK)
		return report_error(visit, code, "quick_check");
	return SKYMON_HEALTHY;
}

static enum skymon_status report_quick_check(struct visit *visit, const struct database *db)
{
	const struct lite *lite = visit->lite;
	if (db->quick_check_interval.ms == 0)
		return SKYMON_HEALTHY;
	skymon_detail(visit->sm, "quick_check", "%s",
		      !lite->checked || visit->late ? "did not finish within the check's timeout"
		      : lite->damage[0] == '\0'     ? "ok"
						    : lite->damage);
	if (lite->checked)
		skymon_detail_number(visit->sm, "quick_check_age_seconds",
				     database_clock() - lite->checked_at);
	if (lite->checked && lite->damage[0] != '\0')
		return report_unhealthy(visit, SKYMON_QUERY_ERROR, "quick_check found damage", lite->damage);
	return SKYMON_HEALTHY;
}

/* ---- The user's queries ---- */

static void fail_query(struct visit *visit, const struct database_query *query, enum skymon_reason reason,
		       const char *text)
{
	char title[DATABASE_QUERY_NAME_MAX + 16];
	database_query_title(query, title);
	char sentence[400];
	snprintf(sentence, sizeof(sentence), "%s %s", title, text);
	database_query_fail(visit->sm, &visit->tally, query, reason, sentence);
}

/* Reports a code of SQLite for a query. The message may contain data, so only the code's own text is shown.
 */
static void explain_query(struct visit *visit, const struct database_query *query, int code)
{
	char text[200];
	snprintf(text, sizeof(text), "failed: %s", sqlite3_errstr(code));
	if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		fail_query(visit, query, SKYMON_TIMEOUT,
			   "failed: another process kept the database locked until the deadline");
	else
		fail_query(visit, query, SKYMON_QUERY_ERROR, text);
}

static void run_query(struct visit *visit, const struct database_query *query)
{
	struct database_answer answer = {.rows = 0};
	double began = database_clock();
	sqlite3_stmt *statement = NULL;
	const char *rest = NULL;
	int code = sqlite3_prepare_v2(visit->db, query->sql, -1, &statement, &rest);
	visit->tally.run++;
	char text[300];
	if (code != SQLITE_OK) { /* the message concerns the statement, not data */
		snprintf(text, sizeof(text), "failed: %s", sqlite3_errmsg(visit->db));
		fail_query(visit, query, SKYMON_QUERY_ERROR, text);
		return;
	}
	if (statement == NULL || rest[strspn(rest, " \t\r\n;")] != '\0' ||
	    sqlite3_column_count(statement) == 0 || !sqlite3_stmt_readonly(statement)) {
		sqlite3_finalize(statement);
		fail_query(visit, query, SKYMON_QUERY_ERROR,
			   "must be one statement that reads and returns rows");
		return;
	}
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		int type = sqlite3_column_type(statement, 0);
		if (answer.rows++ == 0 && (type == SQLITE_INTEGER || type == SQLITE_FLOAT)) {
			answer.has_value = true;
			answer.value = sqlite3_column_double(statement, 0);
		}
		if (on_progress(visit) != 0)
			break;
	}
	sqlite3_finalize(statement);
	answer.seconds = database_clock() - began;
	if (visit->late)
		fail_query(visit, query, SKYMON_TIMEOUT, "did not finish in time");
	else if (code != SQLITE_DONE)
		explain_query(visit, query, code);
	else
		database_query_report(visit->sm, query, &answer);
}

static void run_queries(struct visit *visit, const struct database *db)
{
	size_t count = database_query_count(db);
	if (count > 0)
		skymon_step(visit->sm, "running the configured queries");
	for (size_t i = 0; i < count; i++) {
		struct database_query query = database_query_at(db, i);
		/* A query that does not end must not use the others' share of the time. */
		visit->floor = ms_left(visit) - ms_left(visit) / (int64_t)(count - i);
		run_query(visit, &query);
		visit->floor = 0;
		visit->late = false;
	}
}

/* ---- The check ---- */

static enum skymon_status read_file(struct visit *visit, const struct database *db, int64_t token)
{
	enum skymon_status status = open_file(visit, false);
	if (status == SKYMON_HEALTHY && visit->lite->write)
		status = read_row(visit, token);
	if (status == SKYMON_HEALTHY)
		status = measure(visit);
	if (status == SKYMON_HEALTHY)
		run_queries(visit, db);
	if (status == SKYMON_HEALTHY)
		status = run_quick_check(visit, db);
	if (status == SKYMON_HEALTHY)
		status = report_quick_check(visit, db);
	return status;
}

static enum skymon_status check(struct skymon *sm, struct database *db)
{
	struct visit visit = {.sm = sm, .lite = db->store};
	struct timespec now;
	enum skymon_status status = SKYMON_HEALTHY;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t token = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	skymon_detail(sm, "sqlite_version", "%s", sqlite3_libversion());
	skymon_detail_boolean(sm, "written", visit.lite->write);
	if (visit.lite->write)
		status = write_row(&visit, token);
	if (status == SKYMON_HEALTHY)
		status = read_file(&visit, db, token);
	close_file(&visit);
	if (status != SKYMON_HEALTHY)
		return status;
	if (visit.tally.failed > 0)
		return database_tally_status(sm, &visit.tally, visit.lite->path);
	return skymon_healthy(sm, "%s: %s", visit.lite->path,
			      visit.lite->write ? "one row written and read back" : "can be read");
}

const struct database_backend database_sqlite = {
	.validate = validate, .start = start, .stop = stop, .check = check};
#endif
