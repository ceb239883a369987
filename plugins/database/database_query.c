/* SPDX-License-Identifier: Apache-2.0 */
/* database_query: the user's queries (`query` and `queries`): validates their names, and reports answers and
 * failures. Called by both backends on the check's thread; owns nothing. */
#include <stdio.h>
#include <string.h>

#include "database.h"

static bool has_text(const char *text)
{
	return text != NULL && text[0] != '\0';
}

size_t database_query_count(const struct database *db)
{
	return db->queries.count + has_text(db->query);
}

struct database_query database_query_at(const struct database *db, size_t nth)
{
	const struct database_query *items = db->queries.items;
	if (has_text(db->query) && nth == 0)
		return (struct database_query){.name = NULL, .sql = db->query};
	return items[nth - has_text(db->query)];
}

void database_query_title(const struct database_query *query, char title[DATABASE_QUERY_NAME_MAX + 16])
{
	if (query->name == NULL)
		strcpy(title, "the configured query");
	else
		snprintf(title, DATABASE_QUERY_NAME_MAX + 16, "query `%.*s`", DATABASE_QUERY_NAME_MAX,
			 query->name);
}

/* The name becomes part of a number's name. */
static bool is_name(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	return size > 0 && size <= DATABASE_QUERY_NAME_MAX && name[size] == '\0';
}

void database_queries_validate(struct skymon *sm, const struct database *db)
{
	const struct database_query *items = db->queries.items;
	if (db->queries.count > DATABASE_QUERIES_MAX)
		skymon_invalid(sm, "queries", "has %zu items; at most %d are allowed", db->queries.count,
			       DATABASE_QUERIES_MAX);
	for (size_t i = 0; i < db->queries.count; i++) {
		char option[40];
		snprintf(option, sizeof(option), "queries[%zu].name", i);
		if (!is_name(items[i].name))
			skymon_invalid(sm, option, "must consist of at most %d of a-z, 0-9 and _",
				       DATABASE_QUERY_NAME_MAX);
		for (size_t j = 0; j < i; j++)
			if (strcmp(items[i].name, items[j].name) == 0)
				skymon_invalid(sm, option, "is `%s`, which is used twice", items[i].name);
	}
}

static void report_named(struct skymon *sm, const char *name, const struct database_answer *answer)
{
	const struct skymon_label label = {"query", name};
	char number[DATABASE_QUERY_NAME_MAX + 16];
	if (answer->has_value) {
		snprintf(number, sizeof(number), "query_value_%s", name);
		skymon_number(sm, number, answer->value);
		skymon_metric(sm, SKYMON_GAUGE, "skymon_db_query_value",
			      "First column of the first row of a query of `queries`", answer->value, &label,
			      1);
	}
	snprintf(number, sizeof(number), "query_rows_%s", name);
	skymon_number(sm, number, (double)answer->rows);
	skymon_metric(sm, SKYMON_GAUGE, "skymon_db_query_rows", "Rows that a query of `queries` returned",
		      (double)answer->rows, &label, 1);
	snprintf(number, sizeof(number), "query_time_%s", name);
	skymon_number(sm, number, answer->seconds);
	skymon_metric(sm, SKYMON_GAUGE, "skymon_db_query_duration_seconds",
		      "Duration of the configured query", answer->seconds, &label, 1);
}

void database_query_report(struct skymon *sm, const struct database_query *query,
			   const struct database_answer *answer)
{
	if (query->name != NULL) {
		report_named(sm, query->name, answer);
		return;
	}
	if (answer->has_value)
		skymon_number(sm, "query_value", answer->value);
	skymon_number(sm, "query_rows", (double)answer->rows);
	skymon_number(sm, "query_time", answer->seconds);
	skymon_gauge(sm, "skymon_db_query_duration_seconds", "Duration of the configured query",
		     answer->seconds);
}

void database_query_fail(struct skymon *sm, struct database_tally *tally, const struct database_query *query,
			 enum skymon_reason reason, const char *text)
{
	char key[DATABASE_QUERY_NAME_MAX + 16];
	if (query->name != NULL) {
		snprintf(key, sizeof(key), "query_error_%s", query->name);
		skymon_detail(sm, key, "%s", text);
	}
	if (tally->failed++ > 0)
		return;
	tally->reason = reason;
	snprintf(tally->text, sizeof(tally->text), "%s", text);
}

enum skymon_status database_tally_status(struct skymon *sm, const struct database_tally *tally,
					 const char *place)
{
	skymon_reason(sm, tally->reason);
	if (tally->failed == 1)
		return skymon_unhealthy(sm, "%s: %s", place, tally->text);
	return skymon_unhealthy(sm, "%s: %s; %u of %u queries failed", place, tally->text, tally->failed,
				tally->run);
}
