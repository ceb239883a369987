/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers on a parsed config tree: look up keys, report errors at a place. Called by all of core/config, by
 * plan and by component, on the daemon's thread; owns nothing. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "config_private.h"

const struct config_pair *config_find(const struct config_node *map, const char *key)
{
	if (map == NULL || map->kind != CONFIG_MAP)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->pairs[i].key, key) == 0)
			return &map->pairs[i];
	return NULL;
}

const struct config_node *config_value(const struct config_node *map, const char *key)
{
	const struct config_pair *pair = config_find(map, key);
	return pair != NULL ? pair->value : NULL;
}

/* ---- Errors ---- */

/* Returns whether two errors, each with its place, differ in no more than the component's name: a mistake in
 * what several components share, through an alias or `each`, is one mistake. */
static bool same_but_component(const char *a, const char *b)
{
	static const char before[] = " component ";
	const char *in_a = strstr(a, before), *in_b = strstr(b, before);
	if (in_a == NULL || in_b == NULL || in_a - a != in_b - b || memcmp(a, b, (size_t)(in_a - a)) != 0)
		return false;
	in_a += sizeof(before) - 1;
	in_b += sizeof(before) - 1;
	return strcmp(in_a + strcspn(in_a, " :"), in_b + strcspn(in_b, " :")) == 0;
}

/* An error that is met again through an alias, `each` or a default is reported once. */
static void add_once(struct err_list *errs, const struct err *err, bool placed)
{
	bool listed = errs->count >= CONFIG_ERRORS_MAX;
	for (size_t i = 0; i < errs->count && !listed; i++)
		listed = strcmp(errs->texts[i], err->text) == 0 ||
			 (placed && same_but_component(errs->texts[i], err->text));
	if (listed) {
		errs->met++;
		return;
	}
	err_add(errs, "%s", err->text);
	if (errs->count == CONFIG_ERRORS_MAX)
		err_add(errs, "there are more errors than these");
}

static void add_at(struct err_list *errs, const char *file, int line, int column, const char *format,
		   va_list list)
{
	struct err err, sentence;
	vsnprintf(sentence.text, sizeof(sentence.text), format, list);
	if (file != NULL)
		err_set(&err, "%s:%d:%d: %s", file, line, column, sentence.text);
	else
		err_set(&err, "%s", sentence.text);
	add_once(errs, &err, file != NULL);
}

void config_error(struct err_list *errs, const struct config_node *node, const char *format, ...)
{
	va_list list;
	if (node != NULL && node->unset) {
		errs->met++;
		return;
	}
	va_start(list, format);
	add_at(errs, node != NULL ? node->file : NULL, node != NULL ? node->line : 0,
	       node != NULL ? node->column : 0, format, list);
	va_end(list);
}

void config_error_key(struct err_list *errs, const struct config_pair *pair, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	add_at(errs, pair->file, pair->line, pair->column, format, list);
	va_end(list);
}

/* ---- Keys of other programs ---- */

const char *config_foreign(const char *key)
{
	static const struct {
		const char *key, *hint;
	} rows[] = {
		{"endpoints", "Gatus's: write `components`, a map of names"},
		{"conditions", "Gatus's: write `warn` and `crit`, or the plugin's own options"},
		{"alerts", "Gatus's: alerts are Prometheus's or Grafana's matter (etc/prometheus)"},
		{"alerting",
		 "another program's: alerts are Prometheus's or Grafana's matter (etc/prometheus)"},
		{"ui", "Gatus's: Grafana shows the dashboards (etc/grafana)"},
		{"storage", "another program's: Prometheus keeps the history"},
		{"global", "Prometheus's: write `defaults`"},
		{"scrape_interval", "Prometheus's: write `interval`"},
		{"scrape_timeout", "Prometheus's: write `timeout`"},
		{"evaluation_interval", "Prometheus's: rules go into Prometheus (etc/prometheus)"},
		{"rule_files", "Prometheus's: rules go into Prometheus (etc/prometheus)"},
		{"scrape_configs", "Prometheus's: write `components`, a map of names"},
		{"static_configs", "Prometheus's: write a component with `each` for many targets"},
		{"job_name", "Prometheus's: a component's name is its key under `components`"},
		{"targets", "Prometheus's: write a component with `each` for many targets"},
		{"metrics_path", "Prometheus's: skymon's own metrics are at /metrics"},
		{"relabel_configs", "Prometheus's: write `labels`"},
		{"modules", "the blackbox exporter's: write `components`, each with its `plugin`"},
		{"prober", "the blackbox exporter's: write `plugin`"},
		{"receivers", "another program's: write `components`, each with its `plugin`"},
		{"exporters", "another program's: the plugin `prometheus` serves the metrics"},
		{"inputs", "Telegraf's: write `components`, each with its `plugin`"},
		{"outputs", "Telegraf's: the plugin `prometheus` serves the metrics"},
		{"monitors", "another program's: write `components`, a map of names"},
		{"services", "another program's: write `components`, a map of names"},
		{"checks", "another program's: write `components`, a map of names"},
		{"hosts", "another program's: write a component with `each` for many"},
		{"check_interval", "another program's: write `interval`"},
		{"period", "another program's: write `interval`"},
		{"retries", "another program's: write `fall`"},
		{"retry_interval", "another program's: write `fall`, and `interval`"},
		{"max_check_attempts", "Nagios's: write `fall`"},
		{"failure_threshold", "another program's: write `fall`"},
		{"failureThreshold", "Kubernetes's: write `fall`"},
		{"successThreshold", "Kubernetes's: write `rise`"},
		{"success_threshold", "another program's: write `rise`"},
		{"periodSeconds", "Kubernetes's: write `interval`, as in 30s"},
		{"timeoutSeconds", "Kubernetes's: write `timeout`, as in 5s"},
		{"threshold", "another program's: write `warn` and `crit`"},
		{"thresholds", "another program's: write `warn` and `crit`"},
		{"warning", "another program's: write `warn`"},
		{"critical", "another program's: write `crit`"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].key, key) == 0)
			return rows[i].hint;
	return NULL;
}

void config_unknown_key(struct err_list *errs, const struct config_pair *pair, const char *kind,
			const char *what, const char *const *known, size_t count)
{
	const char *near = nearest_word(pair->key, known, count), *hint = config_foreign(pair->key);
	if (hint != NULL)
		config_error_key(errs, pair, "unknown %s `%.63s`%s: it is %s", kind, pair->key, what, hint);
	else if (near != NULL)
		config_error_key(errs, pair, "unknown %s `%.63s`%s (did you mean `%s`?)", kind, pair->key,
				 what, near);
	else
		config_error_key(errs, pair, "unknown %s `%.63s`%s", kind, pair->key, what);
}
