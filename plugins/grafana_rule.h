/* grafana_rule: an alert rule as a caller posts it, turned into one that Grafana evaluates. Grafana answers
 * 500 to some nonsense, and 201 to other, which then is never shown or evaluated: so all of it is judged
 * here. Pure. grafana_rule.c: the rule's own fields; grafana_rule_data.c: its queries and expressions. */
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

/* Is this a duration of Prometheus ("5m", "1h30m", "0")? */
bool grafana_rule_is_duration(const char *text);

/* ---- The module's own ---- */

/* A copy of `data` with Grafana's names. NULL: *fault. */
json_t *grafana_rule_data(const json_t *sent, struct grafana_fault *fault);
bool grafana_rule_has_ref(const json_t *data, const char *ref);

#endif
