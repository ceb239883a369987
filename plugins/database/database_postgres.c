/* SPDX-License-Identifier: Apache-2.0 */
/* database_postgres: the PostgreSQL backend: one check, from the connection to the status, and the
 * component's start and stop. Called by database.c: check on a thread per component, the others on the
 * worker's main thread. Owns struct pg. */
#ifdef HAVE_LIBPQ
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "database_postgres.h"

#define KEPT_MAX 32 /* connections of one worker that are kept between checks */

struct findings { /* of one check */
	struct pg_stats stats;
	struct database_tally tally;
	struct pg_fault fault; /* an empty text for none */
};

static enum skymon_status report_fault(struct skymon *sm, const struct pg *pg, const struct pg_fault *fault)
{
	if (fault->login)
		skymon_secret_refused(sm);
	return skymon_report(sm, pg->place, &fault->is);
}

/* Queries the statistics and runs the user's queries, on one connection. */
static enum pg_outcome query_all(struct skymon *sm, const struct database *db, struct pg *pg,
				 struct findings *found)
{
	*found = (struct findings){.fault = {.login = false}};
	enum pg_outcome outcome = pg_stats_ask(sm, pg, &found->stats, &found->fault);
	if (outcome == PG_DONE && found->fault.is.text[0] == '\0')
		outcome = pg_queries_run(sm, db, pg, &found->tally, &found->fault);
	return outcome;
}

static void report_findings(struct skymon *sm, struct pg *pg, const struct findings *found)
{
	const struct pg_line *line = &pg->line;
	skymon_reason(sm, SKYMON_NONE); /* one of several host names may not have resolved */
	skymon_counter(sm, "skymon_db_connects_total", "Connections that this check has opened",
		       (double)pg->connects);
	if (line->conn != NULL)
		skymon_tls_report(sm,
				  PQsslInUse(line->conn) != 1 ? SKYMON_TLS_NONE
				  : line->verified            ? SKYMON_TLS_VERIFIED
							      : SKYMON_TLS_UNVERIFIED,
				  line->is_local);
	if (line->conn != NULL && PQsslInUse(line->conn) == 1)
		skymon_tls_report_days(sm, pg_tls_days(line->conn));
	pg_stats_report(sm, pg, &found->stats);
}

static enum skymon_status report_verdict(struct skymon *sm, const struct pg *pg, const struct findings *found)
{
	const struct pg_stats *stats = &found->stats;
	char used[80] = "";
	if (found->fault.is.text[0] != '\0')
		return report_fault(sm, pg, &found->fault);
	if (found->tally.failed > 0)
		return database_tally_status(sm, &found->tally, pg->place);
	if (pg_stats_lost_primary(stats)) {
		skymon_reason(sm, SKYMON_STANDBY);
		return skymon_degraded(sm, "%s: a standby that receives nothing from its primary", pg->place);
	}
	if (stats->has[PG_TOTAL] && stats->has[PG_MAX_CONNECTIONS])
		snprintf(used, sizeof(used), ", %.0f of %.0f connections in use", stats->of[PG_TOTAL],
			 stats->of[PG_MAX_CONNECTIONS]);
	return skymon_healthy(sm, "%s: PostgreSQL %s%s%s", pg->place, stats->version,
			      !stats->has[PG_IN_RECOVERY]      ? ""
			      : stats->of[PG_IN_RECOVERY] != 0 ? ", standby"
							       : ", primary",
			      used);
}

/* Only the first KEPT_MAX components keep their connections: hundreds must not use up those of one server. */
static bool may_keep(struct skymon *sm, struct pg *pg)
{
	struct database_shared *shared = skymon_shared(sm);
	if (pg->keeps_in == NULL && atomic_fetch_add(&shared->kept, 1) < KEPT_MAX)
		pg->keeps_in = shared;
	else if (pg->keeps_in == NULL)
		atomic_fetch_sub(&shared->kept, 1);
	return pg->keeps_in != NULL;
}

static enum skymon_status check(struct skymon *sm, struct database *db)
{
	struct pg *pg = db->store;
	struct findings found;
	if (!pg_connect(sm, db, pg, &found.fault))
		return report_fault(sm, pg, &found.fault);
	enum pg_outcome outcome = query_all(sm, db, pg, &found);
	/* The loss of a kept connection may be noticed only when it is used, and is not a fault of the
	 * server. */
	if (outcome == PG_LOST && !pg->fresh) {
		skymon_info(sm, "%s: the kept connection was lost, connecting again", pg->place);
		pg_drop(pg);
		if (!pg_connect(sm, db, pg, &found.fault))
			return report_fault(sm, pg, &found.fault);
		outcome = query_all(sm, db, pg, &found);
	}
	report_findings(sm, pg, &found);
	enum skymon_status status = report_verdict(sm, pg, &found);
	/* A pool in front of the server reserves a slot for as long as the connection is open. */
	if (outcome != PG_DONE || db->reconnect.ms == 0 || !may_keep(sm, pg))
		pg_drop(pg);
	return status;
}

/* libpq reads each missing setting from a variable PG… (PGSERVICE names a file with more). Only the config
 * may define what is checked, so these variables are removed. A worker has none of them; `skymon run`
 * inherits the user's. */
static bool load(struct database_shared *shared)
{
	for (char **at = environ; at != NULL && *at != NULL;) {
		char name[64];
		size_t size = strcspn(*at, "=");
		if (strncmp(*at, "PG", 2) != 0 || (*at)[size] == '\0' || size >= sizeof(name)) {
			at++;
			continue;
		}
		memcpy(name, *at, size);
		name[size] = '\0';
		if (unsetenv(name) != 0)
			return false;
		at = environ;
	}
	return pg_tls_load(shared);
}

static bool start(struct skymon *sm, struct database *db)
{
	db->store = pg_new(sm, db);
	return db->store != NULL;
}

static void stop(struct database *db)
{
	pg_free(db->store);
}

const struct database_backend database_postgres = {.load = load,
						   .unload = pg_tls_unload,
						   .validate = pg_validate,
						   .start = start,
						   .stop = stop,
						   .check = check};
#endif
