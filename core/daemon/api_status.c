/* SPDX-License-Identifier: Apache-2.0 */
/* api_status: the status document, the index of routes, and the answer for a data source that points at an
 * exporter. Handlers of the api plugin, on the loop's thread. Owns nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api_private.h"

/* ---- status ---- */

/* Returns whether a metric of the seed is a count, which is an integer in JSON. */
static bool is_integer(const char *key)
{
	static const char *const keys[] = {"active_connections", "total_requests", "memory_usage_mb",
					   "database_connections"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static void add_metrics(struct buf *out, const struct skymon_self *self)
{
	for (size_t i = 0; i < self->source_count; i++) {
		const struct skymon_source *source = self->sources[i];
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, source->key);
		buf_text(out, ":");
		if (!source->present)
			buf_text(out, "null");
		else
			buf_json_number(out, is_integer(source->key) ? round(source->value) : source->value);
	}
}

static void add_health(struct skymon *sm, struct buf *out, const struct skymon_self *self,
		       const struct skymon_snapshot *snapshot, bool trusted)
{
	(void)sm;
	buf_printf(out, "{\"overall_status\":\"%s\",\"components\":[", skymon_status_word(snapshot->status));
	for (size_t i = 0; i < snapshot->count; i++) {
		buf_text(out, i > 0 ? "," : "");
		api_add_component(out, snapshot->components[i], trusted);
	}
	buf_text(out, "],\"metrics\":{");
	add_metrics(out, self);
	buf_text(out, "}}");
}

/* The file and the errors are for trusted callers. */
static void add_config(struct buf *out, const struct skymon_config *config, const struct skymon_self *self,
		       bool trusted)
{
	buf_text(out, ",\"config\":{\"file\":");
	buf_json(out, trusted ? config->file : "");
	buf_text(out, ",\"loaded_at\":");
	buf_json_time(out, self->reload_time_ms);
	buf_text(out, ",\"last_reload\":");
	if (config->reload_ms == 0) {
		buf_text(out, "null}");
		return;
	}
	buf_text(out, "{\"at\":");
	buf_json_time(out, config->reload_ms);
	buf_printf(out, ",\"ok\":%s,\"errors\":[", self->reload_ok ? "true" : "false");
	for (size_t i = 0; trusted && i < config->error_count; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, config->errors[i]);
	}
	buf_text(out, "]}}");
}

static void add_configuration(struct buf *out, const struct skymon_config *config)
{
	buf_text(out, "{\"environment\":");
	buf_json(out, config->environment);
	buf_text(out, ",\"log_level\":");
	buf_json(out, config->log_level);
	buf_text(out, ",\"features\":[");
	for (size_t i = 0; i < config->feature_count; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, config->features[i]);
	}
	buf_text(out, "]}");
}

static bool named_before(const struct skymon_routes *routes, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(routes->lines[i]->name, routes->lines[index]->name) == 0)
			return true;
	return false;
}

/* Adds name: path, once for each name. */
static void add_endpoints(struct buf *out, const struct skymon_routes *routes)
{
	bool first = true;
	buf_text(out, "{");
	for (size_t i = 0; i < routes->count; i++) {
		if (named_before(routes, i))
			continue;
		buf_text(out, first ? "" : ",");
		buf_json(out, routes->lines[i]->name);
		buf_text(out, ":");
		buf_json(out, routes->lines[i]->path);
		first = false;
	}
	buf_text(out, "}");
}

/* Adds the exposition as a JSON string; null if no plugin serves one. The host ends a body with '\0'. */
static void add_exposition(struct skymon *sm, struct skymon_request *rq, struct buf *out, bool trusted)
{
	size_t size;
	buf_json(out, trusted ? skymon_render(sm, rq, "prometheus", &size) : NULL);
}

void api_handle_status(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	bool trusted = skymon_is_trusted(sm, rq);
	const struct skymon_self *self = skymon_self(sm);
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	struct buf body = {0};
	buf_text(&body, "{\"service\":");
	buf_json(&body, self->title[0] != '\0' ? self->title : self->service);
	buf_text(&body, ",\"version\":");
	buf_json(&body, self->service_version);
	buf_printf(&body, ",\"status\":\"%s\",\"uptime_seconds\":%lld,\"timestamp\":",
		   skymon_status_word(snapshot->status), (long long)self->uptime_seconds);
	buf_json_time(&body, self->now_ms);
	buf_text(&body, ",\"health\":");
	add_health(sm, &body, self, snapshot, trusted);
	buf_text(&body, ",\"configuration\":");
	add_configuration(&body, skymon_config_public(sm));
	add_config(&body, skymon_config_public(sm), self, trusted);
	buf_text(&body, ",\"endpoints\":");
	add_endpoints(&body, skymon_routes(sm));
	skymon_reply_header(sm, rq, "X-Health-Status", skymon_status_word(snapshot->status));
	skymon_release(sm, snapshot);
	buf_text(&body, ",\"prometheus_metrics\":");
	add_exposition(sm, rq, &body, trusted);
	buf_text(&body, "}");
	struct skymon_part part = {body.data, body.size};
	skymon_reply_parts(sm, rq, 200, "application/json", &part, 1, 0, free, body.data);
}

/* ---- The index ---- */

/* Returns the q-value (0 to 1000) of a media type in an Accept header, by the most specific range that
 * matches; -1 if none does. */
static int accept_quality(const char *accept, const char *type)
{
	int best = -1, best_weight = -1;
	size_t major = strcspn(type, "/") + 1;
	while (*accept != '\0') {
		accept += strspn(accept, " \t,");
		size_t entry = strcspn(accept, ","), name = strcspn(accept, "; \t,");
		int weight = -1;
		if (name == strlen(type) && strncasecmp(accept, type, name) == 0)
			weight = 2;
		else if (name == major + 1 && accept[major] == '*' && strncasecmp(accept, type, major) == 0)
			weight = 1;
		else if (name == 3 && strncmp(accept, "*/*", 3) == 0)
			weight = 0;
		if (weight > best_weight) {
			const char *at = memchr(accept, ';', entry);
			best_weight = weight;
			best = 1000;
			for (; at != NULL; at = memchr(at, ';', (size_t)(accept + entry - at))) {
				at += 1 + strspn(at + 1, " \t");
				if (strncasecmp(at, "q=", 2) == 0)
					best = (int)(1000 * strtod(at + 2, NULL) + 0.5);
			}
		}
		accept += entry;
	}
	return best;
}

static bool wants_html(const char *accept)
{
	if (accept == NULL)
		return false;
	int html = accept_quality(accept, "text/html");
	return html > 0 && html > accept_quality(accept, "application/json");
}

static void add_html(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		const char *as = *text == '&'   ? "&amp;"
				 : *text == '<' ? "&lt;"
				 : *text == '>' ? "&gt;"
				 : *text == '"' ? "&quot;"
						: NULL;
		if (as != NULL)
			buf_text(out, as);
		else
			buf_add(out, text, 1);
	}
}

static void add_html_line(struct buf *out, const struct skymon_route_line *line)
{
	bool link = strcmp(line->method, "GET") == 0 && strchr(line->path, '{') == NULL;
	buf_text(out, "<tr><td>");
	add_html(out, line->method);
	buf_text(out, link ? "</td><td><a href=\"" : "</td><td>");
	if (link) {
		add_html(out, line->path);
		buf_text(out, "\">");
	}
	buf_text(out, "<code>");
	add_html(out, line->path);
	buf_text(out, link ? "</code></a></td><td>" : "</code></td><td>");
	add_html(out, line->summary);
	buf_text(out, "</td></tr>\n");
}

static void print_html(struct skymon *sm, struct buf *out)
{
	const struct skymon_self *self = skymon_self(sm);
	const struct skymon_routes *routes = skymon_routes(sm);
	const char *title = self->title[0] != '\0' ? self->title : self->service;
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	buf_text(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
	add_html(out, title);
	buf_text(out,
		 "</title><style>body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
		 "td{padding:.2em 1em .2em 0;vertical-align:top}</style></head><body>\n<h1>");
	add_html(out, title);
	buf_printf(out, "</h1>\n<p>%s. Watched by skymon ", skymon_status_word(snapshot->status));
	skymon_release(sm, snapshot);
	add_html(out, self->version);
	buf_text(
		out,
		".</p>\n<p>With <code>page: {}</code> among its plugins, this is a status page.</p>\n<table>\n");
	for (size_t i = 0; i < routes->count; i++)
		add_html_line(out, routes->lines[i]);
	buf_text(out, "</table>\n</body></html>\n");
}

static void print_json(struct skymon *sm, struct buf *out)
{
	const struct skymon_self *self = skymon_self(sm);
	const struct skymon_routes *routes = skymon_routes(sm);
	buf_text(out, "{\"service\":");
	buf_json(out, self->title[0] != '\0' ? self->title : self->service);
	buf_text(out, ",\"version\":");
	buf_json(out, self->service_version);
	buf_text(out, ",\"skymon\":");
	buf_json(out, self->version);
	buf_text(out, ",\"routes\":[");
	for (size_t i = 0; i < routes->count; i++) {
		const struct skymon_route_line *line = routes->lines[i];
		const char *const pairs[] = {"method", line->method, "path",    line->path,
					     "name",   line->name,   "summary", line->summary,
					     "plugin", line->plugin};
		buf_text(out, i > 0 ? ",{" : "{");
		for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p += 2) {
			buf_text(out, p > 0 ? "," : "");
			buf_json(out, pairs[p]);
			buf_text(out, ":");
			buf_json(out, pairs[p + 1]);
		}
		buf_text(out, "}");
	}
	buf_text(out, "]}");
}

void api_handle_index(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	struct buf body = {0};
	size_t size;
	bool html = wants_html(skymon_header(sm, rq, "Accept"));
	const char *page = html ? skymon_render(sm, rq, "index_page", &size) : NULL;
	if (page != NULL)
		buf_add(&body, page, size);
	else if (html)
		print_html(sm, &body);
	else
		print_json(sm, &body);
	skymon_reply_header(sm, rq, "Vary", "Accept");
	struct skymon_part part = {body.data, body.size};
	skymon_reply_parts(sm, rq, 200, html ? "text/html; charset=utf-8" : "application/json", &part, 1, 0,
			   free, body.data);
}

/* ---- Queries of a misconfigured data source ---- */

void api_handle_prometheus(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	struct buf body = {0};
	buf_text(&body, "{\"status\":\"error\",\"errorType\":\"not_found\",\"error\":");
	buf_json(&body,
		 "this is an exporter, which Prometheus scrapes; it answers no queries. Point Grafana's data "
		 "source at the Prometheus server itself, for example http://prometheus:9090");
	buf_text(&body, "}");
	api_reply(sm, rq, 404, "application/json", &body);
}
