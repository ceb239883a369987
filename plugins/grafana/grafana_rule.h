/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rule: an alert rule as a caller posts it, turned into one that Grafana evaluates. Grafana answers
 * 500 to some nonsense, and 201 to other, which then is never shown or evaluated: so all of it is judged
 * here. grafana_rule.c: the rule's own fields, its queries together and their data sources;
 * grafana_rule_data.c: each query and expression; both pure. grafana_eval.c: what Grafana itself says of the
 * rest. grafana_rules.c: the route, and what apply shares with it. */
#ifndef GRAFANA_RULE_H
#define GRAFANA_RULE_H

#include "grafana.h"

#define GRAFANA_GROUP "sky-genesis" /* the group of rules that name none */

/* The rule with Grafana's names, and what was left out filled in, but for org and data sources; for
 * json_decref. NULL: *fault, which names the field as it was sent. */
json_t *grafana_rule_read(const json_t *sent, struct grafana_fault *fault);

/* Does it ask a data source at all? */
bool grafana_rule_has_query(const json_t *rule);
/* Puts the uid of one of `sources` (Grafana's list) in the place of a type or name, where exactly one fits.
 */
bool grafana_rule_match(json_t *rule, const json_t *sent, const json_t *sources, struct grafana_fault *fault);

/* After the match: is each query one that its data source answers, and the condition a value, no series? What
 * we do not know (other types of data sources) is good. */
bool grafana_rule_judge_queries(const json_t *rule, const json_t *sources, struct grafana_fault *fault);

/* The refId whose value is compared, or recorded, and the pointer to where the rule says so. */
const char *grafana_rule_output(const json_t *rule, const char **pointer);

/* Milliseconds of a duration as Prometheus writes it ("5m", "1h30m", "0"); -1: it is none. */
int64_t grafana_rule_duration(const char *text);

/* ---- grafana_rules.c: what a rule needs to know of Grafana ---- */

/* The organization of the key. */
bool grafana_rule_org(struct grafana_ctx *ctx, json_int_t *id);
/* The two of above with Grafana's list: *sources, once it was asked for. later: a data source that is not
 * there yet is no fault. */
bool grafana_rule_sources(struct grafana_ctx *ctx, json_t *rule, const json_t *sent, json_t **sources,
			  bool later);
/* Did Grafana refuse a rule because there is another of its title or uid? Versions tell that with 409 or 500.
 */
bool grafana_rule_is_conflict(const struct grafana_fault *fault);

/* Did Grafana answer that there is no such rule? Version 9 does so with 500. */
bool grafana_rule_is_missing(const struct grafana_fault *fault);

/* ---- grafana_eval.c ---- */

/* Asks Grafana whether it can evaluate the rule, without storing it. false: it cannot (422), or the key is
 * refused. */
bool grafana_rule_eval(struct grafana_ctx *ctx, const json_t *rule);

/* ---- The module's own ---- */

extern const struct grafana_name grafana_rule_names[];

extern const struct grafana_name grafana_rule_query_names[];
/* A copy of `data` with Grafana's names. NULL: *fault. */
json_t *grafana_rule_data(const json_t *sent, struct grafana_fault *fault);
/* For each query of such a copy an array of the refIds that it names. NULL: one names none, or is wrong in
 * another way: *fault. */
json_t *grafana_rule_refs(const json_t *data, struct grafana_fault *fault);
/* Grafana's own arithmetic: it is no data source, and never looked up. */
bool grafana_rule_is_expression(const json_t *query);
json_t *grafana_rule_find(const json_t *data, const char *ref); /* NULL: none has this refId */

#endif
