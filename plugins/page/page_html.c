/* SPDX-License-Identifier: Apache-2.0 */
/* page_html: prints the status page: the whole, the components that have a problem, the eight numbers, then the
 * other components by group. Called by page.c, on the HTTP thread. Owns nothing.
 *
 * The page needs no second request: its style and script are in it, and the policy admits them by their
 * hashes. The tables have roles, because browsers drop a table's semantics when CSS lays it out as blocks. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "page_content.h" /* made from page.css and page.js */

const char page_policy[] = "default-src 'none'; style-src 'sha256-" PAGE_STYLE_HASH
			   "'; script-src 'sha256-" PAGE_SCRIPT_HASH "'; connect-src 'self'; img-src data:; "
			   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* ---- Order ---- */

/* MAINTENANCE, with any status: it is expected, and contributes to no whole. */
enum severity { UNHEALTHY, UNKNOWN, DEGRADED, MAINTENANCE, FINE, NOT_CONFIGURED };

struct item {
	const struct skymon_component *component;
	const char *group;
	enum severity severity;
	size_t index; /* in the configuration */
};

static bool is_problem(const struct item *item)
{
	return item->severity < MAINTENANCE;
}

static enum severity severity_of(const struct skymon_component *component)
{
	if (!component->configured)
		return NOT_CONFIGURED;
	if (component->maintenance != NULL)
		return MAINTENANCE;
	switch (component->status) {
	case SKYMON_UNHEALTHY:
		return UNHEALTHY;
	case SKYMON_DEGRADED:
		return DEGRADED;
	case SKYMON_HEALTHY:
		return FINE;
	default:
		return UNKNOWN;
	}
}

/* Problems first, the worst first; then by group, those without one last. */
static int compare(const void *left, const void *right)
{
	const struct item *a = left, *b = right;
	int groups = is_problem(a) && is_problem(b) ? 0 : strcmp(a->group, b->group);
	if (is_problem(a) != is_problem(b))
		return is_problem(a) ? -1 : 1;
	if (groups != 0)
		return a->group[0] == '\0' ? 1 : b->group[0] == '\0' ? -1 : groups;
	if (a->severity != b->severity)
		return a->severity < b->severity ? -1 : 1;
	return a->index < b->index ? -1 : 1;
}

static struct item *sort_components(const struct skymon_snapshot *snapshot)
{
	struct item *items = calloc(snapshot->count + 1, sizeof(*items));
	if (items == NULL)
		abort();
	for (size_t i = 0; i < snapshot->count; i++)
		items[i] = (struct item){.component = snapshot->components[i],
					 .group = snapshot->components[i]->group,
					 .severity = severity_of(snapshot->components[i]),
					 .index = i};
	qsort(items, snapshot->count, sizeof(*items), compare);
	return items;
}

/* ---- A component ---- */

static void put_status(struct text *out, int status, const char *word)
{
	static const char *const signs[] = {[SKYMON_UNKNOWN] = "?",
					    [SKYMON_HEALTHY] = "\u2713",
					    [SKYMON_DEGRADED] = "!",
					    [SKYMON_UNHEALTHY] = "\u2715"};
	bool known = status >= SKYMON_UNKNOWN && status <= SKYMON_UNHEALTHY;
	text_format(out, "<span class=\"status %s\"><span aria-hidden=\"true\">%s</span>%s</span>",
		    skymon_status_word(status), known ? signs[status] : "?", word);
}

static void put_name(struct text *out, const struct view *view, const struct item *item)
{
	const struct skymon_component *component = item->component;
	text_put(out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">");
	if (view->routes) {
		text_put(out, "<a href=\"api/v1/health/");
		text_escape(out, component->name);
		text_put(out, "\">");
	}
	text_escape(out, component->name);
	if (view->routes)
		text_put(out, "</a>");
	text_put(out, "<small>");
	if (is_problem(item) && item->group[0] != '\0') {
		text_escape(out, item->group);
		text_put(out, " \u00b7 ");
	}
	text_escape(out, component->plugin);
	text_put(out, "</small></th>");
}

static void put_maintenance(struct text *out, const struct view *view,
			    const struct skymon_maintenance *silence)
{
	text_put(out, "<small>in maintenance, ends ");
	text_time(out, silence->until_ms, view->self->now_ms);
	if (view->trusted) {
		text_put(out, ": ");
		text_escape(out, silence->why);
		text_put(out, " (");
		text_escape(out, silence->by);
		text_put(out, ")");
	}
	text_put(out, "</small>");
}

/* Adds what the message does not say: a newest run that does not count yet, and a component that counts less. */
static void put_notes(struct text *out, const struct view *view, const struct skymon_component *component,
		      enum severity severity)
{
	const struct skymon_result *latest = component->latest;
	if (latest != NULL && latest->status != component->status) {
		text_format(out, "<small>newest check: %s, ", skymon_status_word(latest->status));
		text_escape(out, latest->reason_word);
		text_put(out, "</small>");
	}
	if (component->because_of != NULL && component->because_of[0] != '\0') {
		text_put(out, "<small>because of ");
		text_escape(out, component->because_of);
		text_put(out, "</small>");
	}
	if (component->maintenance != NULL)
		put_maintenance(out, view, component->maintenance);
	else if (severity < MAINTENANCE && component->impact == SKYMON_IMPACT_NONE)
		text_put(out, "<small>does not count for the whole</small>");
	else if (severity <= UNKNOWN && component->impact == SKYMON_IMPACT_DEGRADED)
		text_put(out, "<small>only degrades the whole</small>");
}

static void put_took(struct text *out, const struct skymon_result *result)
{
	if (result == NULL || result->duration_us < 0)
		text_put(out, "\u2013");
	else if (result->duration_us < 9950)
		text_format(out, "%.1f ms", (double)result->duration_us / 1e3);
	else if (result->duration_us < 9999500)
		text_format(out, "%lld ms", (long long)((result->duration_us + 500) / 1000));
	else
		text_format(out, "%.1f s", (double)result->duration_us / 1e6);
}

static void put_component(struct text *out, const struct view *view, const struct item *item)
{
	const struct skymon_component *component = item->component;
	int64_t now_ms = view->self->now_ms;
	put_name(out, view, item);
	text_put(out, "<td role=\"cell\">");
	put_status(out, component->status,
		   component->configured ? skymon_status_word(component->status) : "not configured");
	if (item->severity != NOT_CONFIGURED && component->reason != SKYMON_OK) {
		text_put(out, "<small>");
		text_escape(out, component->reason_word);
		text_put(out, "</small>");
	}
	text_put(out, "</td><td role=\"cell\" class=\"message\">");
	if (view->trusted)
		text_escape(out, component->message);
	put_notes(out, view, component, item->severity);
	text_put(out, "</td><td role=\"cell\" class=\"number\" data-label=\"Since\">");
	text_time(out, component->since_ms, now_ms);
	text_put(out, "</td><td role=\"cell\" class=\"number\" data-label=\"Response time\">");
	put_took(out, component->shown);
	text_put(out, "</td><td role=\"cell\" class=\"number\" data-label=\"Next check\">");
	text_time(out, component->next_check_ms, now_ms);
	text_put(out, "</td></tr>\n");
}

static void begin_table(struct text *out, const char *caption)
{
	static const char *const heads[] = {"Component", "Status",        "Message",
					    "Since",     "Response time", "Next check"};
	text_put(out, "<table role=\"table\"><caption class=\"away\">");
	text_escape(out, caption);
	text_put(out, "</caption>\n<thead role=\"rowgroup\"><tr role=\"row\">");
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		text_format(out, "<th scope=\"col\" role=\"columnheader\">%s</th>", heads[i]);
	text_put(out, "</tr></thead>\n<tbody role=\"rowgroup\">\n");
}

/* Adds how many components a section has, and the status of a group whose problems are in the first section. */
static void put_count(struct text *out, const struct view *view, const struct item *first, size_t count)
{
	const struct skymon_snapshot *snapshot = view->snapshot;
	text_format(out, " <small>%zu", count);
	for (size_t i = 0; !is_problem(first) && i < snapshot->group_count; i++)
		if (strcmp(snapshot->groups[i]->name, first->group) == 0)
			text_format(out, " \u00b7 the group is %s",
				    skymon_status_word(snapshot->groups[i]->status));
	text_put(out, "</small></h2>\n");
}

/* Prints one section: the problems, or the rest of a group. Returns the index behind it. */
static size_t put_section(struct text *out, const struct view *view, const struct item *items, size_t from)
{
	const struct item *first = &items[from];
	size_t to = from;
	while (to < view->snapshot->count && is_problem(&items[to]) == is_problem(first) &&
	       (is_problem(first) || strcmp(items[to].group, first->group) == 0))
		to++;
	const char *title = is_problem(first)         ? "Problems"
			    : first->group[0] != '\0' ? first->group
						      : "Components";
	text_put(out, "<section><h2>");
	text_escape(out, title);
	put_count(out, view, first, to - from);
	begin_table(out, title);
	for (size_t i = from; i < to; i++)
		put_component(out, view, &items[i]);
	text_put(out, "</tbody></table></section>\n");
	return to;
}

/* ---- The eight numbers ---- */

static void put_numbers(struct text *out, const struct skymon_self *self)
{
	static const struct {
		const char *key, *label, *unit;
		int digits;
	} numbers[] = {
		{"active_connections", "Active connections", "", 0},
		{"total_requests", "Requests in all", "", 0},
		{"error_rate_percent", "Error rate", " %", 2},
		{"average_response_time_ms", "Average response time", " ms", 2},
		{"memory_usage_mb", "Memory", " MB", 1},
		{"cpu_usage_percent", "CPU", " % of a core", 1},
		{"database_connections", "Database connections", "", 0},
		{"cache_hit_rate_percent", "Cache hit rate", " %", 1},
	};
	text_put(out, "<section><h2>Numbers</h2>\n<dl>");
	for (size_t i = 0; i < self->source_count; i++) {
		const struct skymon_source *source = self->sources[i];
		size_t n = 0;
		while (n < sizeof(numbers) / sizeof(numbers[0]) && strcmp(numbers[n].key, source->key) != 0)
			n++;
		if (n == sizeof(numbers) / sizeof(numbers[0]))
			continue;
		text_format(out, "<div><dt>%s</dt>", numbers[n].label);
		if (source->present)
			text_format(out, "<dd>%.*f%s</dd></div>", numbers[n].digits, source->value,
				    numbers[n].unit);
		else
			text_put(out, "<dd class=\"none\">not measured</dd></div>");
	}
	text_put(out, "</dl></section>\n");
}

/* ---- The routes ---- */

static void put_routes(struct text *out, const struct skymon_routes *routes)
{
	text_put(
		out,
		"<section><h2>Routes</h2>\n<table role=\"table\"><caption class=\"away\">Routes</caption>"
		"<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" role=\"columnheader\">Route</th>"
		"<th scope=\"col\" role=\"columnheader\">Answer</th></tr></thead>\n<tbody role=\"rowgroup\">\n");
	for (size_t i = 0; i < routes->count; i++) {
		const struct skymon_route_line *line = routes->lines[i];
		bool link = strcmp(line->method, "GET") == 0 && strchr(line->path, '{') == NULL;
		text_put(out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">");
		if (link) {
			text_put(out, "<a href=\".");
			text_escape(out, line->path);
			text_put(out, "\">");
		}
		text_put(out, "<code>");
		text_escape(out, line->method);
		text_put(out, " ");
		text_escape(out, line->path);
		text_put(out, link ? "</code></a></th><td role=\"cell\">" : "</code></th><td role=\"cell\">");
		text_escape(out, line->summary);
		text_put(out, "</td></tr>\n");
	}
	text_put(out, "</tbody></table></section>\n");
}

/* ---- The whole ---- */

static void put_head(struct text *out, const char *title, int status)
{
	text_format(out,
		    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
		    "<link rel=\"icon\" href=\"data:,\"><title>%s: ",
		    skymon_status_word(status));
	text_escape(out, title);
	text_put(
		out,
		"</title><style>" PAGE_STYLE "</style>"
		"<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript></head>\n<body>\n<header><h1>");
	text_escape(out, title);
	text_put(
		out,
		"</h1><button type=\"button\" id=\"pause\" aria-pressed=\"false\" hidden>Pause updates</button>"
		"</header>\n<p id=\"lost\" class=\"lost\" role=\"alert\"></p>\n<main>\n");
}

/* The one live region: its text changes with a status, not with each update, so that a screen reader speaks
 * when there is news. */
static void put_whole(struct text *out, const struct view *view, size_t problems)
{
	int status = view->snapshot->status;
	text_format(out, "<p role=\"status\" class=\"whole %s\">", skymon_status_word(status));
	put_status(out, status, skymon_status_word(status));
	if (view->self->phase == SKYMON_PHASE_DRAINING)
		text_put(out, ", and stopping");
	if (problems > 0)
		text_format(out, ": %zu of %zu component%s a problem", problems, view->snapshot->count,
			    problems == 1 ? " has" : "s have");
	else
		text_format(out, ": %zu component%s without a problem", view->snapshot->count,
			    view->snapshot->count == 1 ? "" : "s");
	text_put(out, "</p>\n");
}

void page_print(struct text *out, const struct view *view)
{
	const struct skymon_self *self = view->self;
	const char *title = self->title[0] != '\0' ? self->title : self->service;
	size_t count = view->snapshot->count, problems = 0, at = 0;
	struct item *items = sort_components(view->snapshot);
	while (problems < count && is_problem(&items[problems]))
		problems++;
	put_head(out, title, view->snapshot->status);
	put_whole(out, view, problems);
	if (problems > 0)
		at = put_section(out, view, items, 0);
	put_numbers(out, self);
	while (at < count)
		at = put_section(out, view, items, at);
	free(items);
	if (view->routes)
		put_routes(out, skymon_routes(view->sm));
	text_put(out, "<footer><p>As of ");
	text_clock(out, self->now_ms);
	text_put(out, ", up for ");
	text_duration(out, self->uptime_seconds * 1000);
	text_put(out, ". Monitored by skymon ");
	text_escape(out, self->version);
	text_put(out, view->trusted ? ".</p></footer>\n"
				    : ". Messages are shown to callers that log in.</p></footer>\n");
	text_put(out, "</main>\n<script>" PAGE_SCRIPT "</script>\n</body></html>\n");
}
