/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_own: the families that no check reports: the seed's eight, the daemon's own, and those about
 * components. Called by prometheus.c and prometheus_kept.c, on the HTTP thread. Owns nothing. */
#include "prometheus.h"

#include <string.h>

/* Prints name{label="value"} without the sample's value. */
static void put_labelled(struct text *out, const char *name, const char *label, const char *value)
{
	text_put(out, name);
	text_put(out, "{");
	text_put(out, label);
	text_put(out, "=\"");
	text_escaped(out, value);
	text_put(out, "\"} ");
}

static void put_plain(struct text *out, const char *name, struct skymon *sm, double value)
{
	text_put(out, name);
	text_put(out, " ");
	text_number(out, sm, value);
	text_put(out, "\n");
}

/* ---- The seed's ---- */

static void print_source(struct text *out, const char *name, const struct live *live)
{
	const char *key = name + strlen("sky_genesis_");
	size_t size = strlen(key), suffix = strlen("_total");
	if (size > suffix && strcmp(key + size - suffix, "_total") == 0)
		size -= suffix;
	for (size_t i = 0; i < live->self->source_count; i++) {
		const struct skymon_source *source = live->self->sources[i];
		if (!source->present || strlen(source->key) != size || strncmp(source->key, key, size) != 0)
			continue;
		put_labelled(out, name, "service", live->self->service);
		text_number(out, live->sm, source->value);
		text_put(out, "\n");
	}
}

/* ---- The daemon's ---- */

static void print_cpu(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, live->self->cpu_seconds);
}

static void print_resident(struct text *out, const char *name, const struct live *live)
{
	if (live->self->resident_bytes > 0)
		put_plain(out, name, live->sm, (double)live->self->resident_bytes);
}

static void print_open_fds(struct text *out, const char *name, const struct live *live)
{
	if (live->self->open_fds > 0)
		put_plain(out, name, live->sm, (double)live->self->open_fds);
}

static void print_max_fds(struct text *out, const char *name, const struct live *live)
{
	if (live->self->max_fds > 0)
		put_plain(out, name, live->sm, (double)live->self->max_fds);
}

static void put_moment(struct text *out, const char *name, int64_t ms)
{
	text_put(out, name);
	text_put(out, " ");
	text_seconds_of_ms(out, ms);
	text_put(out, "\n");
}

static void print_start(struct text *out, const char *name, const struct live *live)
{
	put_moment(out, name, live->self->started_ms);
}

static void print_service(struct text *out, const char *name, const struct live *live)
{
	text_put(out, name);
	text_label(out, "{service=\"", live->self->service);
	text_label(out, ",version=\"", live->self->service_version);
	text_put(out, "} 1\n");
}

static void print_build(struct text *out, const char *name, const struct live *live)
{
	text_put(out, name);
	text_label(out, "{compiler=\"", live->self->compiler);
	text_label(out, ",version=\"", live->self->version);
	text_put(out, "} 1\n");
}

static void print_reload_ok(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, live->self->reload_ok);
}

static void print_reload_time(struct text *out, const char *name, const struct live *live)
{
	if (live->self->reload_time_ms != 0)
		put_moment(out, name, live->self->reload_time_ms);
}

static void print_dropped(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, (double)live->dropped_total);
}

static void print_plugin_info(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < live->self->plugin_count; i++) {
		const struct skymon_plugin_state *plugin = live->self->plugins[i];
		text_put(out, name);
		text_put(out, "{abi=\"");
		text_unsigned(out, plugin->abi_major);
		text_put(out, ".");
		text_unsigned(out, plugin->abi_minor);
		text_label(out, "\",isolation=\"", plugin->isolation);
		text_label(out, ",plugin=\"", plugin->name);
		text_label(out, ",version=\"", plugin->version);
		text_put(out, "} 1\n");
	}
}

static void print_isolation(struct text *out, const char *name, const struct live *live)
{
	static const char *const words[] = {"files", "signals", "system_calls"};
	static const uint32_t bits[] = {SKYMON_CONFINES_FILES, SKYMON_CONFINES_SIGNALS,
					SKYMON_CONFINES_CALLS};
	for (size_t i = 0; i < 3; i++) {
		put_labelled(out, name, "guard", words[i]);
		text_put(out, (live->self->isolation & bits[i]) != 0 ? "1\n" : "0\n");
	}
}

/* Prints one of two families, by its name. */
static void print_listener_days(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < live->self->listener_count; i++) {
		const struct skymon_listener *listener = live->self->listeners[i];
		bool chain = strcmp(name, "skymon_listener_chain_days") == 0;
		int64_t ms = (chain ? listener->chain_ends_ms : listener->certificate_ends_ms) -
			     live->self->now_ms;
		put_labelled(out, name, "listener", listener->address);
		text_number(out, live->sm, (double)ms / 86400000);
		text_put(out, "\n");
	}
}

static void print_plugin_restarts(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < live->self->plugin_count; i++) {
		put_labelled(out, name, "plugin", live->self->plugins[i]->name);
		text_unsigned(out, live->self->plugins[i]->restarts_total);
		text_put(out, "\n");
	}
}

static void print_plugin_up(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < live->self->plugin_count; i++) {
		put_labelled(out, name, "plugin", live->self->plugins[i]->name);
		text_put(out, live->self->plugins[i]->up ? "1\n" : "0\n");
	}
}

static void print_lag(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, live->self->loop_lag_seconds);
}

static void print_scrape(struct text *out, const char *name, const struct live *live)
{
	if (live->scrape_seconds >= 0)
		put_plain(out, name, live->sm, live->scrape_seconds);
}

static void print_refused(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, (double)live->self->refused_connections_total);
}

static void print_evicted(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, (double)live->self->evicted_connections_total);
}

static void print_failed_tokens(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, (double)live->self->failed_tokens_total);
}

static bool is_up(int status)
{
	return status == SKYMON_HEALTHY || status == SKYMON_DEGRADED;
}

static void print_up(struct text *out, const char *name, const struct live *live)
{
	put_plain(out, name, live->sm, is_up(live->status));
}

/* ---- About components ---- */

/* Returns the newest result that came from a run; NULL if there is none. */
static const struct skymon_result *newest_run(const struct skymon_component *component)
{
	const struct skymon_result *both[] = {component->latest, component->shown};
	for (size_t i = 0; i < 2; i++)
		if (both[i] != NULL && both[i]->duration_us >= 0)
			return both[i];
	return NULL;
}

static void print_check_duration(struct text *out, const char *name, const struct skymon_component *component)
{
	if (component->latest == NULL || component->latest->duration_us < 0)
		return;
	put_labelled(out, name, "component", component->name);
	text_seconds_of_us(out, component->latest->duration_us);
	text_put(out, "\n");
}

static void put_count(struct text *out, const char *name, const struct skymon_component *component,
		      uint64_t count)
{
	if (!component->configured)
		return;
	put_labelled(out, name, "component", component->name);
	text_unsigned(out, count);
	text_put(out, "\n");
}

static void print_check_failures(struct text *out, const char *name, const struct skymon_component *component)
{
	put_count(out, name, component, component->failures_total);
}

static void print_checks(struct text *out, const char *name, const struct skymon_component *component)
{
	put_count(out, name, component, component->checks_total);
}

static void print_because_of(struct text *out, const char *name, const struct skymon_component *component)
{
	if (component->because_of[0] == '\0')
		return;
	text_put(out, name);
	text_label(out, "{cause=\"", component->because_of);
	text_label(out, ",component=\"", component->name);
	text_put(out, "} 1\n");
}

static void print_maintenance(struct text *out, const char *name, const struct skymon_component *component)
{
	put_count(out, name, component, component->maintenance != NULL);
}

static void print_series_dropped(struct text *out, const char *name, const struct skymon_component *component)
{
	put_count(out, name, component, component->series_dropped_total);
}

static void print_configured(struct text *out, const char *name, const struct skymon_component *component)
{
	put_labelled(out, name, "component", component->name);
	text_put(out, component->configured ? "1\n" : "0\n");
}

static void print_info(struct text *out, const char *name, const struct skymon_component *component)
{
	text_put(out, name);
	text_label(out, "{component=\"", component->name);
	text_label(out, ",group=\"", component->group);
	text_label(out, ",plugin=\"", component->plugin);
	text_put(out, "} 1\n");
}

static void put_time(struct text *out, const char *name, const struct skymon_component *component, int64_t ms)
{
	if (!component->configured || ms <= 0)
		return;
	put_labelled(out, name, "component", component->name);
	text_seconds_of_ms(out, ms);
	text_put(out, "\n");
}

static void print_last_change(struct text *out, const char *name, const struct skymon_component *component)
{
	put_time(out, name, component, component->since_ms);
}

static void print_last_check(struct text *out, const char *name, const struct skymon_component *component)
{
	const struct skymon_result *run = newest_run(component);
	put_time(out, name, component, run != NULL ? run->time_ms : 0);
}

static void print_last_success(struct text *out, const char *name, const struct skymon_component *component)
{
	put_time(out, name, component, component->last_success_ms);
}

/* Prints the declared numbers of the newest result, with their text as it crossed the wire. */
static void print_numbers(struct text *out, const char *name, const struct skymon_component *component)
{
	const struct skymon_result *latest = component->latest;
	for (size_t i = 0; latest != NULL && i < latest->number_count; i++) {
		text_put(out, name);
		text_label(out, "{component=\"", component->name);
		text_label(out, ",number=\"", latest->numbers[i]->name);
		text_put(out, "} ");
		text_put(out, latest->numbers[i]->text);
		text_put(out, "\n");
	}
}

static void print_reason(struct text *out, const char *name, const struct skymon_component *component)
{
	if (!component->configured)
		return;
	text_put(out, name);
	text_label(out, "{component=\"", component->name);
	text_label(out, ",reason=\"", component->reason_word);
	text_put(out, "} 1\n");
}

/* Prints one line for each number that has limits. */
static void print_limits(struct text *out, const char *name, const struct skymon_component *component)
{
	for (size_t i = 0; i < component->limit_count; i++) {
		const struct skymon_limit *limit = component->limits[i];
		bool before = false;
		for (size_t j = 0; j < i; j++)
			before = before || strcmp(component->limits[j]->number, limit->number) == 0;
		if (before || !component->configured)
			continue;
		text_put(out, name);
		text_label(out, "{component=\"", component->name);
		text_label(out, ",number=\"", limit->number);
		text_put(out, limit->unmeasured ? "} 1\n" : "} 0\n");
	}
}

static const struct {
	int status;
	const char *rest;
} status_rows[] = {{SKYMON_HEALTHY, "status=\"healthy\"} "},
		   {SKYMON_DEGRADED, "status=\"degraded\"} "},
		   {SKYMON_UNHEALTHY, "status=\"unhealthy\"} "},
		   {SKYMON_UNKNOWN, "status=\"unknown\"} "}};

static void print_status(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < sizeof(status_rows) / sizeof(*status_rows); i++) {
		text_put(out, name);
		text_put(out, "{");
		text_put(out, status_rows[i].rest);
		text_put(out, live->status == status_rows[i].status ? "1\n" : "0\n");
	}
}

static void print_component_status(struct text *out, const char *name,
				   const struct skymon_component *component)
{
	for (size_t i = 0; component->configured && i < sizeof(status_rows) / sizeof(*status_rows); i++) {
		text_put(out, name);
		text_label(out, "{component=\"", component->name);
		text_put(out, ",");
		text_put(out, status_rows[i].rest);
		text_put(out, component->status == status_rows[i].status ? "1\n" : "0\n");
	}
}

static void print_component_up(struct text *out, const char *name, const struct skymon_component *component)
{
	put_count(out, name, component, is_up(component->status));
}

/* ---- The table ---- */

#define SOURCE_NOTE " Of skymond itself unless service.metrics names another source."
#define GAUGE SKYMON_GAUGE
#define COUNTER SKYMON_COUNTER

const struct own own_families[] = {
	{"sky_genesis_active_connections", GAUGE, "Open HTTP connections, now." SOURCE_NOTE, print_source,
	 NULL, false},
	{"sky_genesis_total_requests_total", COUNTER,
	 "HTTP requests answered since the start; by route and code: skymon_http_requests_total." SOURCE_NOTE,
	 print_source, NULL, false},
	{"sky_genesis_error_rate_percent", GAUGE,
	 "Share of requests of the last 60 s that were answered with a 5xx that was not meant, in percent; 0 "
	 "without requests. A 503 that reports a status is meant, and a 502, 503 or 504 of a route that asks "
	 "another server (the Grafana broker) is not an error of this service. Better: rate() of "
	 "skymon_http_requests_total." SOURCE_NOTE,
	 print_source, NULL, false},
	{"sky_genesis_average_response_time_ms", GAUGE,
	 "Mean time to answer a request of the last 60 s, in milliseconds, without the routes that ask "
	 "another server; 0 without requests. Better: "
	 "skymon_http_request_duration_seconds." SOURCE_NOTE,
	 print_source, NULL, false},
	{"sky_genesis_memory_usage_mb", GAUGE,
	 "Resident memory, in MB of 10^6 bytes. Better: process_resident_memory_bytes." SOURCE_NOTE,
	 print_source, NULL, false},
	{"sky_genesis_cpu_usage_percent", GAUGE,
	 "CPU time used in the last 60 s, in percent of one core. Better: rate() of "
	 "process_cpu_seconds_total." SOURCE_NOTE,
	 print_source, NULL, false},
	{"sky_genesis_database_connections", GAUGE,
	 "Connections to the database, now, from the component that service.metrics names. Better: "
	 "skymon_db_connections.",
	 print_source, NULL, false},
	{"sky_genesis_cache_hit_rate_percent", GAUGE,
	 "Share of cache lookups that were hits, in percent, from the component that service.metrics names. "
	 "Better: rate() of skymon_cache_hits_total / skymon_cache_requests_total.",
	 print_source, NULL, false},

	{"process_cpu_seconds_total", COUNTER, "CPU time of the daemon, user and system, in seconds",
	 print_cpu, NULL, true},
	{"process_max_fds", GAUGE, "Most file descriptors that the daemon may have open", print_max_fds, NULL,
	 true},
	{"process_open_fds", GAUGE, "File descriptors that the daemon has open", print_open_fds, NULL, true},
	{"process_resident_memory_bytes", GAUGE, "Resident memory of the daemon, in bytes", print_resident,
	 NULL, true},
	{"process_start_time_seconds", GAUGE, "When the daemon started, as Unix time", print_start, NULL,
	 true},
	{"skymon_build_info", GAUGE, "Always 1; the labels say what was built", print_build, NULL, false},
	{"skymon_component_because_of", GAUGE,
	 "1 while the component is not healthy and an unhealthy one that it depends on, the label cause, explains it",
	 NULL, print_because_of, false},
	{"skymon_component_check_duration_seconds", GAUGE, "How long the newest run of the check took", NULL,
	 print_check_duration, false},
	{"skymon_component_check_failures_total", COUNTER,
	 "Runs of the check that ended unhealthy or unknown", NULL, print_check_failures, false},
	{"skymon_component_checks_total", COUNTER, "Runs of the check", NULL, print_checks, false},
	{"skymon_component_configured", GAUGE, "1 when the component has the address that its check needs",
	 NULL, print_configured, false},
	{"skymon_component_info", GAUGE, "Always 1; the labels say which group and plugin the component has",
	 NULL, print_info, false},
	{"skymon_component_last_change_timestamp_seconds", GAUGE,
	 "When the present status began, as Unix time", NULL, print_last_change, false},
	{"skymon_component_last_check_timestamp_seconds", GAUGE,
	 "When the newest run of the check ended, as Unix time", NULL, print_last_check, false},
	{"skymon_component_last_success_timestamp_seconds", GAUGE,
	 "When a run of the check last ended healthy or degraded, as Unix time", NULL, print_last_success,
	 false},
	{"skymon_component_limit_unmeasured", GAUGE,
	 "1 when a limit watches nothing, because the newest check did not report its number", NULL,
	 print_limits, false},
	{"skymon_component_maintenance", GAUGE,
	 "1 while the component is in maintenance: it contributes nothing to the whole, and its alerts are quiet",
	 NULL, print_maintenance, false},
	{"skymon_component_number", GAUGE,
	 "Number that the newest check reported, in the unit that the plugin declares", NULL, print_numbers,
	 false},
	{"skymon_component_reason", GAUGE, "Always 1; the label says why the component has its status", NULL,
	 print_reason, false},
	{"skymon_component_series_dropped_total", COUNTER,
	 "Series of the check's results that were left out, because limits.series allows no more", NULL,
	 print_series_dropped, false},
	{"skymon_component_status", GAUGE, "1 for the status that the component has, 0 for the others", NULL,
	 print_component_status, false},
	{"skymon_component_up", GAUGE, "1 when the component is healthy or degraded", NULL,
	 print_component_up, false},
	{"skymon_config_last_reload_success_timestamp_seconds", GAUGE,
	 "When the configuration was last taken over, as Unix time", print_reload_time, NULL, false},
	{"skymon_config_last_reload_successful", GAUGE, "1 when the newest reload of the configuration took",
	 print_reload_ok, NULL, false},
	{"skymon_http_evicted_connections_total", COUNTER,
	 "Connections that were ended to make room for others, because all were in use", print_evicted, NULL,
	 false},
	{"skymon_http_failed_tokens_total", COUNTER, "Requests that brought a wrong access token",
	 print_failed_tokens, NULL, false},
	{"skymon_http_refused_connections_total", COUNTER,
	 "Connections that were closed unread, because limits.connections or connections_per_address of them "
	 "were open and at work",
	 print_refused, NULL, false},
	{"skymon_http_request_duration_seconds", TYPE_HISTOGRAM, "Time to answer a request, by route",
	 own_print_durations, NULL, false},
	{"skymon_http_requests_total", COUNTER, "Requests answered, by code, method and route",
	 own_print_requests, NULL, false},
	{"skymon_isolation", GAUGE, "1 for what this kernel confines of worker processes", print_isolation,
	 NULL, false},
	{"skymon_listener_certificate_days", GAUGE, "Days until the certificate of a listener with TLS ends",
	 print_listener_days, NULL, false},
	{"skymon_listener_chain_days", GAUGE, "Days until the first certificate of a listener's chain ends",
	 print_listener_days, NULL, false},
	{"skymon_metrics_dropped_total", COUNTER,
	 "Metric families of check results that were left out, because their name or type was taken",
	 print_dropped, NULL, false},
	{"skymon_plugin_info", GAUGE, "Always 1; the labels say which plugin is loaded, and how",
	 print_plugin_info, NULL, false},
	{"skymon_plugin_restarts_total", COUNTER, "Restarts of the plugin's worker processes",
	 print_plugin_restarts, NULL, false},
	{"skymon_plugin_up", GAUGE, "1 when the plugin's worker process runs", print_plugin_up, NULL, false},
	{"skymon_scheduler_lag_seconds", GAUGE, "How late the newest check was started", print_lag, NULL,
	 false},
	{"skymon_scrape_duration_seconds", GAUGE, "Time that the encoder took for the scrape before this one",
	 print_scrape, NULL, false},
	{"skymon_service_info", GAUGE, "Always 1; the labels say which service is watched", print_service,
	 NULL, false},
	{"skymon_status", GAUGE, "1 for the status that the whole has, 0 for the others", print_status, NULL,
	 false},
	{"skymon_up", GAUGE, "1 when the whole is healthy or degraded", print_up, NULL, false},
};
const size_t own_count = sizeof(own_families) / sizeof(*own_families);

const struct own *own_find(const char *name)
{
	for (size_t i = 0; i < own_count; i++)
		if (strcmp(own_families[i].name, name) == 0)
			return &own_families[i];
	return NULL;
}

static bool claims(const struct own *own, const char *name)
{
	static const char *const counter[] = {"_total", "_created", "", NULL};
	static const char *const histogram[] = {"_bucket", "_count", "_sum", "_created", "", NULL};
	static const char *const gauge[] = {"", NULL};
	size_t size = strlen(own->name);
	if (own->type == SKYMON_COUNTER)
		size -= strlen("_total");
	if (strncmp(own->name, name, size) != 0)
		return false;
	const char *const *suffix = own->type == SKYMON_COUNTER   ? counter
				    : own->type == TYPE_HISTOGRAM ? histogram
								  : gauge;
	while (*suffix != NULL && strcmp(*suffix, name + size) != 0)
		suffix++;
	return *suffix != NULL;
}

bool own_claims(const char *name)
{
	for (size_t i = 0; i < own_count; i++)
		if (claims(&own_families[i], name))
			return true;
	return false;
}
