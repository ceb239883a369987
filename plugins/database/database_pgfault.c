/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgfault: maps messages of libpq and of the server to a reason and a sentence. libpq has no error
 * codes for a failed connection, so its English text is matched (a worker has no locale); the server's
 * messages carry an SQLSTATE in any language. Called by the other files of the backend, on the check's
 * thread; pure functions.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "database_postgres.h"
#include "text.h"

void pg_fault_set(struct pg_fault *fault, enum skymon_reason reason, const char *format, ...)
{
	*fault = (struct pg_fault){.is = {.status = SKYMON_UNHEALTHY, .reason = reason}};
	va_list list;
	va_start(list, format);
	vsnprintf(fault->is.text, sizeof(fault->is.text), format, list);
	va_end(list);
}

void pg_fault_cleartext(struct pg_fault *fault)
{
	pg_fault_set(
		fault, SKYMON_AUTH_FAILED,
		"the server requests the password in clear, but its certificate is not verified: it was not "
		"sent (sslmode=verify-full verifies; tls: {insecure: true} sends it)");
}

/* Finds the SQLSTATE in a message of PQERRORS_VERBOSE: "FATAL:  28P01: password authentication failed …".
 * Returns the text after it, or NULL. */
static const char *find_sqlstate(const char *message, char sqlstate[6])
{
	for (const char *at = strstr(message, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
		size_t size = strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		if (size == 5 && at[8] == ':') {
			memcpy(sqlstate, at + 3, 5);
			sqlstate[5] = '\0';
			return at + 9 + strspn(at + 9, " ");
		}
	}
	return NULL;
}

/* Skips libpq's `connection to server at "…" (…), port … failed: `: the report begins with the place already.
 */
static const char *skip_place(const char *message)
{
	const char *end = strstr(message, " failed: "), *line = strchr(message, '\n');
	if (strncmp(message, "connection to server ", 21) == 0 && end != NULL && (line == NULL || end < line))
		return end + 9;
	return message;
}

static const struct meaning {
	const char *words; /* libpq's, or the system's */
	enum skymon_reason reason;
	bool elsewhere;
	const char *say; /* NULL for the text itself */
} meanings[] = {
	{"Connection refused", SKYMON_REFUSED, true, "connection refused"},
	{"No such file or directory", SKYMON_REFUSED, true, "no such socket: no server listens"},
	{"No route to host", SKYMON_UNREACHABLE, true, "no route to host"},
	{"is unreachable", SKYMON_UNREACHABLE, true, "network is unreachable"},
	{"Host is down", SKYMON_UNREACHABLE, true, "host is down"},
	{"Cannot assign requested address", SKYMON_UNREACHABLE, true, NULL},
	{"Address family not supported", SKYMON_UNREACHABLE, true, NULL},
	{"Permission denied", SKYMON_UNREACHABLE, true, NULL},
	{"timed out", SKYMON_TIMEOUT, true, "no answer to the connection attempt"},
	{"timeout expired", SKYMON_TIMEOUT, true, "no answer to the connection attempt"},
	{"session is read-only", SKYMON_STANDBY, true,
	 "the session is read-only, but target_session_attrs requires a writable one"},
	{"session is not read-only", SKYMON_STANDBY, true,
	 "the session is writable, but target_session_attrs requires a read-only one"},
	{"server is in hot standby mode", SKYMON_STANDBY, true,
	 "the server is a standby, but target_session_attrs requires a primary"},
	{"server is not in hot standby mode", SKYMON_STANDBY, true,
	 "the server is a primary, but target_session_attrs requires a standby"},
	{"does not match host name", SKYMON_TLS_UNTRUSTED, false, NULL},
	{"certificate verify failed", SKYMON_TLS_UNTRUSTED, false, "the server's certificate is not trusted"},
	{"root certificate file", SKYMON_TLS_OTHER, false, NULL},
	{"certificate", SKYMON_TLS_OTHER, false, NULL},
	{"private key file", SKYMON_TLS_OTHER, false, NULL},
	{"does not support SSL", SKYMON_TLS_OTHER, false,
	 "the server has no TLS, but the configuration requires it"},
	{"invalid response to SSL negotiation", SKYMON_PROTOCOL, false,
	 "the peer does not speak the PostgreSQL protocol"},
	{"unencrypted data after SSL", SKYMON_PROTOCOL, false, NULL},
	{"server closed the connection", SKYMON_PROTOCOL, true,
	 "the server closed the connection before it answered"},
	{"SSL SYSCALL error: EOF", SKYMON_PROTOCOL, true,
	 "the server closed the connection before it answered"},
	{"Connection reset", SKYMON_PROTOCOL, true, "the server closed the connection before it answered"},
	{"Broken pipe", SKYMON_PROTOCOL, true, "the server closed the connection before it answered"},
	{"SSL", SKYMON_TLS_OTHER, false, NULL},
	{"expected authentication request", SKYMON_PROTOCOL, false,
	 "the peer does not speak the PostgreSQL protocol"},
	{"unsupported frontend protocol", SKYMON_PROTOCOL, false, NULL},
	{"lost synchronization", SKYMON_PROTOCOL, false,
	 "the server's answer violates the PostgreSQL protocol"},
	{"message contents", SKYMON_PROTOCOL, false, "the server's answer violates the PostgreSQL protocol"},
	{"message type", SKYMON_PROTOCOL, false, "the server's answer violates the PostgreSQL protocol"},
	{"unexpected", SKYMON_PROTOCOL, false, "the server's answer violates the PostgreSQL protocol"},
	{"no password supplied", SKYMON_AUTH_FAILED, false,
	 "the server requires a password, but none is configured"},
	{"GSSAPI", SKYMON_AUTH_FAILED, false,
	 "the server requires a Kerberos login, which the check does not have"},
	{"SCRAM", SKYMON_AUTH_FAILED, false, NULL},
	{"uthentication", SKYMON_AUTH_FAILED, false, NULL},
	{"channel binding", SKYMON_AUTH_FAILED, false, NULL},
	{"Too many open files", SKYMON_RESOURCE, false,
	 "out of file descriptors on this machine or in this process"},
	{"out of memory", SKYMON_RESOURCE, false, "out of memory for the connection"},
};

static void explain_local(const char *message, const char *const *hide, struct pg_fault *fault)
{
	message = skip_place(message);
	if (strstr(message, "requested a cleartext password") != NULL) { /* by require_auth */
		pg_fault_cleartext(fault);
		return;
	}
	char line[240];
	text_copy_line(line, sizeof(line), message, hide, 2);
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct meaning *is = &meanings[i];
		if (strstr(message, is->words) == NULL)
			continue;
		pg_fault_set(fault, is->reason, "%s", is->say != NULL ? is->say : line);
		fault->elsewhere = is->elsewhere;
		fault->login = is->reason == SKYMON_AUTH_FAILED;
		/* The fault is on this side: the server was not checked. */
		if (is->reason == SKYMON_RESOURCE || strstr(message, "certificate file") != NULL ||
		    strstr(message, "private key file") != NULL)
			fault->is.status = SKYMON_UNKNOWN;
		return;
	}
	pg_fault_set(fault, SKYMON_OTHER, "%s", line[0] != '\0' ? line : "libpq reported no reason");
}

void pg_explain(const char *message, const char *user, const char *password, struct pg_fault *fault)
{
	const char *const hide[] = {user, password};
	char sqlstate[6];
	const char *text = find_sqlstate(message, sqlstate);
	if (text == NULL) {
		explain_local(message, hide, fault);
		return;
	}
	char line[240];
	text_copy_line(line, sizeof(line), text, hide, 2);
	if (strcmp(sqlstate, "28P01") == 0) {
		pg_fault_set(fault, SKYMON_AUTH_FAILED, "the server refused the password (SQLSTATE 28P01)");
		fault->login = true;
	} else if (strncmp(sqlstate, "28", 2) == 0) {
		pg_fault_set(fault, SKYMON_AUTH_FAILED,
			     "the server refused the login: role, pg_hba.conf or TLS (SQLSTATE %s)",
			     sqlstate);
		fault->login = true;
	} else if (strcmp(sqlstate, "42501") == 0) {
		pg_fault_set(
			fault, SKYMON_AUTH_FAILED,
			"the server refused the login: the role may not connect to the database (SQLSTATE "
			"42501)");
		fault->login = true;
	} else if (strcmp(sqlstate, "3D000") == 0) {
		pg_fault_set(fault, SKYMON_QUERY_ERROR, "the server has no such database (SQLSTATE 3D000)");
	} else if (strcmp(sqlstate, "53300") == 0) {
		pg_fault_set(fault, SKYMON_RESOURCE, "the server has no free connection (SQLSTATE 53300: %s)",
			     line);
	} else if (strncmp(sqlstate, "53", 2) == 0) {
		pg_fault_set(fault, SKYMON_RESOURCE, "%s (SQLSTATE %s)", line, sqlstate);
	} else if (strncmp(sqlstate, "57P", 3) == 0) {
		pg_fault_set(fault, SKYMON_OTHER, "%s (SQLSTATE %s)", line, sqlstate);
		fault->elsewhere = true;
	} else if (strncmp(sqlstate, "08", 2) == 0 &&
		   strstr(line, "no more connections allowed") != NULL) { /* PgBouncer */
		pg_fault_set(fault, SKYMON_RESOURCE, "the pool has no free connection (SQLSTATE %s)",
			     sqlstate);
	} else if (strcmp(sqlstate, "0A000") == 0 || strncmp(sqlstate, "08", 2) == 0) {
		pg_fault_set(fault, SKYMON_PROTOCOL, "%s (SQLSTATE %s)", line, sqlstate);
	} else {
		pg_fault_set(fault, SKYMON_OTHER, "%s (SQLSTATE %s)", line, sqlstate);
	}
}

/* Returns whether messages of this class name objects and settings, but never values of rows. */
static bool is_harmless(const char *sqlstate)
{
	return strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "25", 2) == 0 ||
	       strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "57", 2) == 0 ||
	       strncmp(sqlstate, "0A", 2) == 0 || strncmp(sqlstate, "55", 2) == 0;
}

void pg_explain_statement(const char *sqlstate, const char *primary, const char *what, bool of_user,
			  struct pg_fault *fault)
{
	if (sqlstate == NULL) {
		pg_fault_set(fault, SKYMON_QUERY_ERROR, "%s failed without an SQLSTATE", what);
		return;
	}
	char line[220];
	text_copy_line(line, sizeof(line), primary != NULL ? primary : "", NULL, 0);
	if (strcmp(sqlstate, "57014") == 0 && strstr(line, "user request") == NULL)
		pg_fault_set(fault, SKYMON_TIMEOUT, "%s did not finish in time", what);
	else if (of_user && !is_harmless(sqlstate))
		pg_fault_set(fault, SKYMON_QUERY_ERROR,
			     "%s failed (SQLSTATE %s; its message may contain data and is not shown)", what,
			     sqlstate);
	else
		pg_fault_set(fault, SKYMON_QUERY_ERROR, "%s failed: %s (SQLSTATE %s)", what, line, sqlstate);
}
