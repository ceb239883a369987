/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgurl: validates a PostgreSQL URL. URLs are often copied from other programs' configs, so the
 * message names their parameters and what to write instead. Called by `validate` and the component's start,
 * on the worker's main thread; pure functions. User and password are never quoted. */
#ifdef HAVE_LIBPQ
#include <stdio.h>
#include <string.h>

#include "database_postgres.h"

/* ---- Parameters that libpq does not have ---- */

static const char leave_out[] = "leave it out";

static const struct {
	const char *name, *whose, *instead;
} foreign[] = {
	{"schema", "Prisma's", "leave it out, or write options=-csearch_path%3DNAME"},
	{"connection_limit", "Prisma's", leave_out},
	{"pool_timeout", "Prisma's", leave_out},
	{"socket_timeout", "Prisma's", "leave it out: `timeout` of the component limits a check"},
	{"pgbouncer", "Prisma's", leave_out},
	{"statement_cache_size", "Prisma's", leave_out},
	{"sslaccept", "Prisma's", "write sslmode=verify-full, or sslmode=require for accept_invalid_certs"},
	{"sslidentity", "Prisma's", "write sslcert and sslkey, or the option `tls`"},
	{"currentSchema", "JDBC's", "leave it out, or write options=-csearch_path%3DNAME"},
	{"ApplicationName", "JDBC's", "write application_name"},
	{"connectTimeout", "JDBC's", "leave it out: `timeout` of the component limits a check"},
	{"loginTimeout", "JDBC's", "leave it out: `timeout` of the component limits a check"},
	{"socketTimeout", "JDBC's", "leave it out: `timeout` of the component limits a check"},
	{"prepareThreshold", "JDBC's", leave_out},
	{"preferQueryMode", "JDBC's", leave_out},
	{"reWriteBatchedInserts", "JDBC's", leave_out},
	{"sslfactory", "JDBC's", leave_out},
	{"stringtype", "JDBC's", leave_out},
	{"targetServerType", "JDBC's", "write target_session_attrs"},
	{"tcpKeepAlive", "JDBC's", "write keepalives=1"},
	{"charset", "Doctrine's", "leave it out: UTF8 is used"},
	{"serverVersion", "Doctrine's", leave_out},
	{"encoding", "another driver's", "leave it out: UTF8 is used"},
	{"prepared_statement_cache_size", "SQLAlchemy's", leave_out},
	{"async_fallback", "SQLAlchemy's", leave_out},
	{"pool_max_conns", "pgx's", leave_out},
	{"pool_min_conns", "pgx's", leave_out},
	{"pool_max_conn_lifetime", "pgx's", leave_out},
	{"default_query_exec_mode", "pgx's", leave_out},
	{"statement_cache_capacity", "pgx's", leave_out},
	{"search_path", "a setting of the session", "write options=-csearch_path%3DNAME"},
	{"timezone", "a setting of the session", "leave it out, or write options=-ctimezone%3DNAME"},
	{"TimeZone", "a setting of the session", "leave it out, or write options=-ctimezone%3DNAME"},
	{"statement_timeout", "a setting of the session",
	 "leave it out: `timeout` of the component limits a check"},
	{"pool", "another driver's", leave_out},
	{"uselibpqcompat", "node-postgres's", leave_out},
};

static bool is_name(const char *name, size_t size)
{
	return size > 0 && size <= 40 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") >= size;
}

static bool is_known(const char *name, size_t size)
{
	PQconninfoOption *all = PQconndefaults();
	bool known = (size == 3 && strncmp(name, "ssl", 3) == 0) || all == NULL;
	for (const PQconninfoOption *at = all; !known && at != NULL && at->keyword != NULL; at++)
		known = strlen(at->keyword) == size && strncmp(at->keyword, name, size) == 0;
	PQconninfoFree(all);
	return known;
}

static const char *explain_parameter(const char *name, size_t size, char *room, size_t room_size)
{
	const char *whose = "not one of libpq's", *instead = leave_out;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (strlen(foreign[i].name) == size && strncmp(foreign[i].name, name, size) == 0) {
			whose = foreign[i].whose;
			instead = foreign[i].instead;
		}
	snprintf(room, room_size, "has the parameter `%.*s`, which is %s: %s", (int)size, name, whose,
		 instead);
	return room;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = memchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c, 16);
	return at != NULL ? (int)(at - digits) : -1;
}

/* Copies a parameter's name, percent-decoded as libpq does, cut to `room`. An invalid encoding is copied as
 * it is, and is then not a valid name. */
static size_t decode_name(const char *name, size_t size, char *out, size_t room)
{
	size_t used = 0;
	for (size_t i = 0; i < size && used < room; i++) {
		bool encoded = name[i] == '%' && i + 2 < size && hex_digit(name[i + 1]) >= 0 &&
			       hex_digit(name[i + 2]) >= 0;
		out[used++] =
			encoded ? (char)(hex_digit(name[i + 1]) << 4 | hex_digit(name[i + 2])) : name[i];
		i += encoded ? 2 : 0;
	}
	return used;
}

static const char *query_fault(const char *query, char *room, size_t room_size)
{
	while (query != NULL && *query != '\0') {
		size_t length = strcspn(query, "&"), raw = strcspn(query, "=&");
		char name[64];
		size_t size = decode_name(query, raw, name, sizeof(name));
		if (raw == length)
			return "has a parameter without a value: write NAME=VALUE";
		if (!is_name(name, size))
			return "has a parameter whose name libpq does not know";
		if (!is_known(name, size))
			return explain_parameter(name, size, room, room_size);
		query += length + (query[length] == '&');
	}
	return NULL;
}

/* ---- The parts of the URL ---- */

static const char *scheme_fault(const char *url)
{
	if (strncmp(url, "jdbc:", 5) == 0)
		return "is JDBC's: leave out `jdbc:`, and write user and password as user:password@ before "
		       "the "
		       "host";
	if (strncmp(url, "postgresql+", 11) == 0 || strncmp(url, "postgres+", 9) == 0)
		return "is SQLAlchemy's: leave out the + and the driver's name behind it, as in "
		       "postgresql://user@host/database";
	if (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0)
		return "must look like postgresql://user@host:port/database";
	return NULL;
}

/* A raw @ or / in a password moves the borders of the URL's parts, and a piece of the password would be shown
 * as the host. libpq ends the user info at the first @ before a /. Sets *query to the text after the ?, or
 * NULL. */
static const char *border_fault(const char *url, const char **query)
{
	const char *rest = strstr(url, "://") + 3;
	size_t user = strcspn(rest, "@/");
	*query = NULL;
	if (rest[user] == '@') {
		if (memchr(rest, '?', user) != NULL)
			return "has a ? before its first @: write ? in a user or password as %3F, or, "
			       "without a "
			       "user, a / before the ?";
		rest += user + 1;
	}
	const char *end = rest + strcspn(rest, "/?");
	if (memchr(rest, '@', (size_t)(end - rest)) != NULL)
		return "has a second @ before the host: write @ in a user or password as %40";
	if (memchr(end, '@', strcspn(end, "?")) != NULL)
		return "has an @ after the first /: write / in a user or password as %2F, @ in a database "
		       "name as "
		       "%40";
	end += strcspn(end, "?");
	if (*end == '?')
		*query = end + 1;
	return NULL;
}

static const char *value_of(const PQconninfoOption *parsed, const char *name)
{
	for (; parsed->keyword != NULL; parsed++)
		if (strcmp(parsed->keyword, name) == 0)
			return parsed->val != NULL && parsed->val[0] != '\0' ? parsed->val : NULL;
	return NULL;
}

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

/* Finds errors that libpq would only report when it connects. */
static const char *values_fault(const PQconninfoOption *parsed)
{
	static const char *const modes[] = {"disable",   "allow",       "prefer", "require",
					    "verify-ca", "verify-full", NULL};
	static const char *const sessions[] = {"any",     "read-write",     "read-only", "primary",
					       "standby", "prefer-standby", NULL};
	static const char *const bindings[] = {"disable", "prefer", "require", NULL};
	const char *port = value_of(parsed, "port"), *mode = value_of(parsed, "sslmode");
	const char *session = value_of(parsed, "target_session_attrs"),
		   *binding = value_of(parsed, "channel_binding");
	if (port != NULL && port[strspn(port, "0123456789,")] != '\0')
		return "has a port that is not a number (write : and / in a password as %3A and %2F)";
	if (value_of(parsed, "service") != NULL)
		return "names a service: service files are not read, give host, port and database";
	if (value_of(parsed, "replication") != NULL)
		return "asks for a replication connection, which cannot be checked";
	if (mode != NULL && strcmp(mode, "no-verify") == 0)
		return "has sslmode=no-verify, which is node-postgres's: write sslmode=require";
	if (mode != NULL && !is_one_of(mode, modes))
		return "has an sslmode that is not disable, allow, prefer, require, verify-ca or verify-full";
	if (session != NULL && !is_one_of(session, sessions))
		return "has target_session_attrs that is not any, read-write, read-only, primary, standby or "
		       "prefer-standby";
	if (binding != NULL && !is_one_of(binding, bindings))
		return "has channel_binding that is not disable, prefer or require";
	return NULL;
}

const char *pg_url_parse(const char *url, PQconninfoOption **parsed, char *room, size_t size)
{
	const char *query = NULL, *why = scheme_fault(url);
	char *error = NULL;
	*parsed = NULL;
	if (why == NULL)
		why = border_fault(url, &query);
	if (why == NULL)
		why = query_fault(query, room, size);
	if (why != NULL)
		return why;
	*parsed = PQconninfoParse(url, &error);
	if (*parsed == NULL) {
		/* libpq quotes the URL in its message; only the words before it are shown. */
		int words = error != NULL ? (int)strcspn(error, "\":\n") : 0;
		snprintf(room, size, "cannot be parsed%s%.*s%s", words > 0 ? " (" : "", words,
			 error != NULL ? error : "", words > 0 ? ")" : "");
		PQfreemem(error);
		return room;
	}
	why = values_fault(*parsed);
	if (why != NULL) {
		PQconninfoFree(*parsed);
		*parsed = NULL;
	}
	return why;
}

void pg_validate(struct skymon *sm, const struct database *db)
{
	PQconninfoOption *parsed;
	char room[300];
	const char *why = pg_url_parse(db->url, &parsed, room, sizeof(room));
	PQconninfoFree(parsed);
	if (why != NULL)
		skymon_invalid(sm, "url", "%s", why);
}
#endif
