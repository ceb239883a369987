/* SPDX-License-Identifier: Apache-2.0 */
/* database_pgurl: PostgreSQL URLs as used by other programs: accepted, or refused with what to do, and never
 * quoted. */
#include "database_postgres.h"

#include <string.h>

#include "unit.h"

static const struct {
	const char *url, *says; /* NULL if accepted */
} rows[] = {
	{"postgresql://u:geheim@db/x", NULL},
	{"postgresql://u:geheim@db?application_name=a@b", NULL},
	{"postgresql://u:geheim@db/x?application_name=a@b&options=-cx%3Dy@z", NULL},
	{"postgresql://u:geheim@a:1,b:2/x?target_session_attrs=read-write", NULL},
	{"postgresql://u:geheim@db/x?ssl=true", NULL},
	{"postgresql:///x?host=/run/postgresql", NULL},
	/* percent-encodings, also of a parameter's name; several hosts; IPv6 with a zone; empty parts */
	{"postgresql://u:geheim@db/x?sslm%6fde=require&%63onnect_timeout=3", NULL},
	{"postgresql://u:geheim@db/x?sslmode%3Drequire", "without a value"},
	{"postgresql://u:geheim@db/x?sslmode%00=geheim", "name libpq does not know"},
	{"postgresql://u:geheim@db/x?sslmode%6=geheim", "name libpq does not know"},
	{"postgresql://u:geheim@db/x?s%63hema=public", "`schema`, which is Prisma's"},
	{"postgresql://u:geheim@db/x?%73ervice=geheim", "names a service"},
	{"postgresql://u:gehe%40im%2F%3A%3F@db/x%20y", NULL},
	{"postgresql://u:geheim%zz@db/x", "cannot be parsed"},
	{"postgresql://u:geheim%00@db/x", "cannot be parsed"},
	{"postgresql://u:geheim@[fe80::1%25eth0]:5432,[::1],10.0.0.1:6432/x", NULL},
	{"postgresql://u:geheim@[fe80::1/x", "cannot be parsed"},
	{"postgresql://u:geheim@[]/x", "cannot be parsed"},
	{"postgresql://u:geheim@,b,/x", NULL},
	{"postgresql://:@:/", NULL},
	{"postgresql://u:geheim@%2Frun%2Fpostgresql:5433/x", NULL},
	{"postgresql://u:geheim@db/x?=1", "name libpq does not know"},
	{"postgresql://u:geheim@db/x?sslmode=require=geheim", "cannot be parsed"},
	/* other programs' parameters */
	{"postgresql://u:geheim@db/x?schema=public",
	 "`schema`, which is Prisma's: leave it out, or write options="},
	{"postgresql://u:geheim@db:5432/x?connect_timeout=3&pgbouncer=true",
	 "`pgbouncer`, which is Prisma's"},
	{"postgresql://u:geheim@db/x?connection_limit=5",
	 "`connection_limit`, which is Prisma's: leave it out"},
	{"postgresql://u:geheim@db/x?sslaccept=strict", "sslmode=verify-full"},
	{"postgresql://u:geheim@db/x?currentSchema=a", "JDBC's"},
	{"postgresql://u:geheim@db/x?socketTimeout=30", "`timeout` of the component"},
	{"postgresql://u:geheim@db/x?charset=utf8", "Doctrine's"},
	{"postgresql://u:geheim@db/x?pool_max_conns=4", "pgx's"},
	{"postgresql://u:geheim@db/x?search_path=a", "options=-csearch_path"},
	{"postgresql://u:geheim@db/x?nonsense=geheim",
	 "`nonsense`, which is not one of libpq's: leave it out"},
	{"postgresql://u:geheim@db/x?ge%20heim=1", "name libpq does not know"},
	{"postgresql://u:geheim@db/x?sslmode", "without a value"},
	/* values that libpq validates only when it connects */
	{"postgresql://u:geheim@db/x?sslmode=no-verify", "write sslmode=require"},
	{"postgresql://u:geheim@db/x?sslmode=verify", "verify-full"},
	{"postgresql://u:geheim@db/x?target_session_attrs=master", "read-write"},
	{"postgresql://u:geheim@db/x?channel_binding=yes", "prefer"},
	/* delimiters */
	{"postgresql://u:ge@heim@db/x", "%40"},
	{"postgresql://u:ge/heim@db/x", "%2F"},
	{"postgresql://db?application_name=geheim@b", "write ? in a user"},
	{"postgresql://u:ge?heim@db/x", "write ? in a user"},
	{"postgresql://u@db:geheim/x", "port"},
	/* schemes */
	{"postgresql+psycopg://u:geheim@db/x", "SQLAlchemy's"},
	{"postgres+asyncpg://u:geheim@db/x", "SQLAlchemy's"},
	{"jdbc:postgresql://db/x?user=u&password=geheim", "leave out `jdbc:`"},
	{"postgresql:u:geheim@db", "postgresql://user@host"},
};

static void urls(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		PQconninfoOption *parsed;
		char room[300];
		const char *why = pg_url_parse(rows[i].url, &parsed, room, sizeof(room));
		CU_ASSERT((why == NULL) == (rows[i].says == NULL) && (parsed != NULL) == (why == NULL));
		PQconninfoFree(parsed);
		if (why == NULL)
			continue;
		if (rows[i].says == NULL || strstr(why, rows[i].says) == NULL) {
			fprintf(stderr, "\n%s: %s\n", rows[i].url, why);
			CU_FAIL();
		}
		CU_ASSERT(strstr(why, "geheim") == NULL && strstr(why, "heim@") == NULL);
	}
}

int main(void)
{
	return unit_run("pgurl", (const struct unit_test[]){{"urls", urls}, {0}});
}
