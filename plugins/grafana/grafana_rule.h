/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rule: translates an alert rule that a caller posts into one that Grafana evaluates. Grafana answers
 * 500 to some mistakes, and 201 to others, which it then never shows or evaluates; so the whole rule is
 * validated here. grafana_rule.c: the rule's own fields, its queries together and their data sources;
 * grafana_rule_data.c: each query and expression; both pure. grafana_eval.c: has Grafana evaluate the rule
 * once. grafana_rules.c: the route, and functions that apply shares. */
#ifndef GRAFANA_RULE_H
#define GRAFANA_RULE_H

#include "grafana.h"

#define GRAFANA_GROUP "sky-genesis" /* the group of rules that name no group */

/* Returns the rule with Grafana's names and with defaults filled in, except organization and data sources;
 * for json_decref. NULL with *fault, which names the field as it was sent. */
json_t *grafana_rule_read(const json_t *sent, struct grafana_fault *fault);

/* Returns true if at least one query is for a data source. */
bool grafana_rule_has_query(const json_t *rule);
/* Replaces a type or name of a data source with the uid from `sources` (Grafana's list), if exactly one
 * fits. */
bool grafana_rule_match(json_t *rule, const json_t *sent, const json_t *sources, struct grafana_fault *fault);

/* After the match: validates each query against the type of its data source, and that the condition is a
 * single value and not a time series. Data sources of unknown types pass. */
bool grafana_rule_validate_queries(const json_t *rule, const json_t *sources, struct grafana_fault *fault);

/* Returns the refId whose value is compared or recorded, and the pointer to the field with it. */
const char *grafana_rule_output(const json_t *rule, const char **pointer);

/* Returns the milliseconds of a duration in Prometheus' format ("5m", "1h30m", "0"), or -1 if it is
 * invalid. */
int64_t grafana_rule_duration(const char *text);

/* ---- grafana_rules.c: facts about Grafana that a rule needs ---- */

/* The organization of the key. */
bool grafana_rule_org(struct grafana_ctx *ctx, json_int_t *id);
/* Calls grafana_rule_match and grafana_rule_validate_queries with Grafana's list, which is requested once:
 * *sources. later: a data source that does not exist yet is accepted. */
bool grafana_rule_sources(struct grafana_ctx *ctx, json_t *rule, const json_t *sent, json_t **sources,
			  bool later);
/* Returns true if Grafana refused a rule because of another of its title or uid: 409 or 500, by version. */
bool grafana_rule_is_conflict(const struct grafana_fault *fault);

/* Returns true if Grafana answered that the rule does not exist; version 9 answers 500. */
bool grafana_rule_is_missing(const struct grafana_fault *fault);

/* ---- grafana_eval.c ---- */

/* Has Grafana evaluate the rule without storing it. Returns false if it cannot (422) or if the key is
 * refused. */
bool grafana_rule_eval(struct grafana_ctx *ctx, const json_t *rule);

/* ---- Shared by grafana_rule.c and grafana_rule_data.c ---- */

extern const struct grafana_name grafana_rule_names[];

extern const struct grafana_name grafana_rule_query_names[];
/* Returns a copy of `data` with Grafana's names. NULL with *fault. */
json_t *grafana_rule_data(const json_t *sent, struct grafana_fault *fault);
/* Returns, for each query of such a copy, an array of the refIds that it uses. NULL with *fault if one is
 * unknown or the query is invalid. */
json_t *grafana_rule_refs(const json_t *data, struct grafana_fault *fault);
/* Grafana's own arithmetic: not a data source, and never looked up. */
bool grafana_rule_is_expression(const json_t *query);
json_t *grafana_rule_find(const json_t *data, const char *ref); /* or NULL */

#endif
