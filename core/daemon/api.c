/* SPDX-License-Identifier: Apache-2.0 */
/* api: the routes for probes: health, component, ready, alive. A plugin that is linked into the daemon; its
 * handlers run on the loop's thread, from memory. Owns nothing. Status and index are in api_status.c. */
#include "api.h"

#include <string.h>

#include "api_private.h"

#define JSON "application/json"
#define STUCK_MS 30000 /* event-loop iteration time above which /api/v1/alive reports a failure */

void api_reply(struct skymon *sm, struct skymon_request *rq, int code, const char *type, struct buf *body)
{
	skymon_reply(sm, rq, code, type, body->data, body->size);
	buf_free(body);
}

/* ---- The code of a status ---- */

static bool parse_code(const char *text, int *code)
{
	if (strlen(text) != 3 || strspn(text, "0123456789") != 3)
		return false;
	*code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
	return *code >= 200 && *code <= 599; /* 1xx is never a final response */
}

/* Chooses 200 or 503, or the code that the query sets for this status. Returns false after answering 400 for
 * a wrong parameter. */
static bool choose_code(struct skymon *sm, struct skymon_request *rq, int status, int *code)
{
	*code = status == SKYMON_HEALTHY || status == SKYMON_DEGRADED ? 200 : 503;
	for (int each = SKYMON_UNKNOWN; each <= SKYMON_UNHEALTHY; each++) {
		const char *name = skymon_status_word(each), *text = skymon_query(sm, rq, name);
		int wanted;
		if (text == NULL)
			continue;
		if (!parse_code(text, &wanted)) {
			skymon_problem(
				sm, rq, 400,
				"the query parameter %s is the code to answer that status with: a number "
				"from 200 to 599",
				name);
			return false;
		}
		if (each == status)
			*code = wanted;
	}
	return true;
}

/* Adds Retry-After: the seconds to the next check, at least 1. next_ms is 0 if that is unknown. */
static void add_retry_after(struct skymon *sm, struct skymon_request *rq, int code, int64_t next_ms)
{
	if (code != 503)
		return;
	int64_t now_ms = skymon_self(sm)->now_ms;
	int64_t seconds = next_ms > now_ms ? (next_ms - now_ms + 999) / 1000 : 1;
	struct buf text = {0};
	buf_printf(&text, "%lld", (long long)seconds);
	skymon_reply_header(sm, rq, "Retry-After", text.data);
	buf_free(&text);
}

/* group: NULL for all components. */
static int64_t soonest_check(const struct skymon_snapshot *snapshot, const char *group)
{
	int64_t soonest = 0;
	for (size_t i = 0; i < snapshot->count; i++) {
		int64_t next = snapshot->components[i]->next_check_ms;
		if (group != NULL && strcmp(snapshot->components[i]->group, group) != 0)
			continue;
		if (next != 0 && (soonest == 0 || next < soonest))
			soonest = next;
	}
	return soonest;
}

/* ---- The whole, or one group ---- */

#define NAMES_SHOWN 50

struct whole {
	const char *group; /* NULL for all components; of the snapshot */
	int status, ready_reason;
};

/* names: the first `shown` of all; none: the sentence's end if there is none. */
static void reply_unknown(struct skymon *sm, struct skymon_request *rq, const char *what, const char *name,
			  const char *const *names, size_t shown, size_t count, const char *none)
{
	struct buf list = {0};
	for (size_t i = 0; i < shown; i++)
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", names[i]);
	if (count > shown)
		buf_printf(&list, " and %zu more", count - shown);
	skymon_problem(sm, rq, 404, "no such %s: \"%.64s\"; %s%s", what, name,
		       count == 0 ? none : "the config has: ", count == 0 ? "" : list.data);
	buf_free(&list);
}

static void reply_unknown_group(struct skymon *sm, struct skymon_request *rq, const char *name,
				const struct skymon_snapshot *snapshot)
{
	const char *names[NAMES_SHOWN];
	size_t shown = 0;
	for (; shown < NAMES_SHOWN && shown < snapshot->group_count; shown++)
		names[shown] = snapshot->groups[shown]->name;
	reply_unknown(sm, rq, "group", name, names, shown, snapshot->group_count,
		      "no component of the config has a group");
}

/* Finds what the request asks for: all components, or the group of its query. Returns false after answering
 * 404. */
static bool find_whole(struct skymon *sm, struct skymon_request *rq, const struct skymon_snapshot *snapshot,
		       struct whole *whole)
{
	const char *name = skymon_query(sm, rq, "group");
	*whole = (struct whole){NULL, snapshot->status, snapshot->ready_reason};
	if (name == NULL)
		return true;
	for (size_t i = 0; i < snapshot->group_count; i++) {
		const struct skymon_group *group = snapshot->groups[i];
		if (strcmp(group->name, name) != 0)
			continue;
		*whole = (struct whole){group->name, group->status, group->ready_reason};
		return true;
	}
	reply_unknown_group(sm, rq, name, snapshot);
	return false;
}

static void add_group(struct buf *out, const struct whole *whole)
{
	if (whole->group == NULL)
		return;
	buf_text(out, ",\"group\":");
	buf_json(out, whole->group);
}

/* ---- health ---- */

static void reply_health(struct skymon *sm, struct skymon_request *rq, const struct whole *whole,
			 int64_t next_ms)
{
	const struct skymon_self *self = skymon_self(sm);
	int code;
	if (!choose_code(sm, rq, whole->status, &code))
		return;
	struct buf body = {0};
	buf_room(&body, 255);
	buf_text(&body, "{\"status\":\"");
	buf_text(&body, skymon_status_word(whole->status));
	buf_text(&body, "\",\"timestamp\":");
	buf_json_time(&body, self->now_ms);
	buf_text(&body, ",\"version\":");
	buf_json(&body, self->service_version);
	buf_text(&body, ",\"uptime_seconds\":");
	buf_json_number(&body, (double)self->uptime_seconds);
	add_group(&body, whole);
	buf_text(&body, "}");
	skymon_reply_header(sm, rq, "X-Health-Status", skymon_status_word(whole->status));
	add_retry_after(sm, rq, code, next_ms);
	api_reply(sm, rq, code, JSON, &body);
}

static void handle_health(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	struct whole whole;
	if (find_whole(sm, rq, snapshot, &whole))
		reply_health(sm, rq, &whole, soonest_check(snapshot, whole.group));
	skymon_release(sm, snapshot);
}

/* ---- One component ---- */

static void add_key(struct buf *out, const char *key)
{
	buf_text(out, ",\"");
	buf_text(out, key);
	buf_text(out, "\":");
}

static void add_number_or_null(struct buf *out, bool known, int64_t value)
{
	if (known)
		buf_printf(out, "%lld", (long long)value);
	else
		buf_text(out, "null");
}

static void add_text_or_null(struct buf *out, const char *key, const char *text)
{
	add_key(out, key);
	buf_json(out, text[0] != '\0' ? text : NULL);
}

static void add_run(struct buf *out, const struct skymon_result *result)
{
	add_key(out, "last_check");
	buf_json_time(out, result != NULL ? result->time_ms : 0);
	add_key(out, "response_time_ms");
	add_number_or_null(out, result != NULL && result->duration_us >= 0,
			   result != NULL ? (result->duration_us + 500) / 1000 : 0);
}

static void add_last_result(struct buf *out, const struct skymon_component *component, bool trusted)
{
	const struct skymon_result *latest = component->latest;
	add_key(out, "last_result");
	if (latest == NULL || latest->status == component->status) {
		buf_text(out, "null");
		return;
	}
	buf_text(out, "{\"status\":");
	buf_json(out, skymon_status_word(latest->status));
	add_key(out, "reason");
	buf_json(out, latest->reason_word);
	add_key(out, "message");
	buf_json(out, trusted ? latest->message : "");
	add_run(out, latest);
	buf_text(out, "}");
}

/* Adds the numbers of the newest result. */
static void add_numbers(struct buf *out, const struct skymon_component *component, bool trusted)
{
	const struct skymon_result *latest = trusted ? component->latest : NULL;
	add_key(out, "numbers");
	buf_text(out, "{");
	for (size_t i = 0; latest != NULL && i < latest->number_count; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, latest->numbers[i]->name);
		buf_text(out, ":");
		buf_json_number(out, latest->numbers[i]->number);
	}
	buf_text(out, "}");
}

static void add_limits(struct buf *out, const struct skymon_component *component, bool trusted)
{
	add_key(out, "limits");
	buf_text(out, "[");
	for (size_t i = 0; trusted && i < component->limit_count; i++) {
		const struct skymon_limit *limit = component->limits[i];
		buf_text(out, i > 0 ? ",{\"number\":" : "{\"number\":");
		buf_json(out, limit->number);
		add_key(out, "limit");
		buf_json(out, limit->text);
		add_key(out, "severity");
		buf_json(out, limit->critical ? "crit" : "warn");
		add_key(out, "value");
		if (limit->why == NULL)
			buf_json_number(out, limit->value);
		else
			buf_text(out, "null");
		add_key(out, "why");
		if (limit->why != NULL)
			buf_json(out, limit->why);
		else
			buf_text(out, "null");
		buf_text(out, "}");
	}
	buf_text(out, "]");
}

static void add_maintenance(struct buf *out, const struct skymon_maintenance *maintenance, bool trusted)
{
	add_key(out, "maintenance");
	if (maintenance == NULL) {
		buf_text(out, "null");
		return;
	}
	buf_text(out, "{\"since\":");
	buf_json_time(out, maintenance->since_ms);
	add_key(out, "until");
	buf_json_time(out, maintenance->until_ms);
	add_key(out, "why");
	buf_json(out, trusted ? maintenance->why : "");
	add_key(out, "by");
	buf_json(out, trusted ? maintenance->by : "");
	buf_text(out, "}");
}

void api_add_component(struct buf *out, const struct skymon_component *component, bool trusted)
{
	const struct skymon_result *shown = component->shown;
	buf_text(out, "{\"name\":");
	buf_json(out, component->name);
	add_key(out, "status");
	buf_json(out, skymon_status_word(component->status));
	add_key(out, "message");
	buf_json(out, trusted ? component->message : "");
	add_run(out, shown);
	add_key(out, "details");
	buf_text(out, trusted && shown != NULL ? shown->details : "{}");
	add_key(out, "reason");
	buf_json(out, component->reason_word);
	add_key(out, "since");
	buf_json_time(out, component->since_ms);
	add_key(out, "last_success");
	buf_json_time(out, component->last_success_ms);
	add_key(out, "consecutive_failures");
	buf_printf(out, "%u", component->consecutive_failures);
	add_key(out, "stale");
	buf_text(out, component->stale ? "true" : "false");
	add_key(out, "starting");
	buf_text(out, component->starting ? "true" : "false");
	add_key(out, "interval_seconds");
	add_number_or_null(out, true, (component->interval_ms + 999) / 1000);
	add_last_result(out, component, trusted);
	add_numbers(out, component, trusted);
	add_limits(out, component, trusted);
	add_text_or_null(out, "group", component->group);
	add_text_or_null(out, "because_of", component->because_of);
	add_maintenance(out, component->maintenance, trusted);
	buf_text(out, "}");
}

static void reply_unknown_component(struct skymon *sm, struct skymon_request *rq, const char *name,
				    const struct skymon_snapshot *snapshot)
{
	const char *names[NAMES_SHOWN];
	size_t shown = 0;
	for (; shown < NAMES_SHOWN && shown < snapshot->count; shown++)
		names[shown] = snapshot->components[shown]->name;
	reply_unknown(sm, rq, "component", name, names, shown, snapshot->count, "the config has none");
}

/* Adds {"healthy","status","message","timestamp"}, then the result's details: flat, as clients of a plugin's
 * own health route expect. */
static void add_served(struct buf *out, const struct skymon_component *component, bool trusted,
		       int64_t now_ms)
{
	bool healthy = component->status == SKYMON_HEALTHY || component->status == SKYMON_DEGRADED;
	const char *details = trusted && component->shown != NULL ? component->shown->details : "{}";
	size_t size = strlen(details);
	buf_printf(out, "{\"healthy\":%s", healthy ? "true" : "false");
	add_key(out, "status");
	buf_json(out, skymon_status_word(component->status));
	add_key(out, "message");
	buf_json(out, trusted ? component->message : "");
	add_key(out, "timestamp");
	buf_json_time(out, now_ms);
	if (size > 2) {
		buf_text(out, ",");
		buf_add(out, details + 1, size - 2);
	}
	buf_text(out, "}");
}

/* served: in the form of a plugin's own health route. */
static void reply_component(struct skymon *sm, struct skymon_request *rq,
			    const struct skymon_component *component, bool served)
{
	int code;
	if (!choose_code(sm, rq, component->status, &code))
		return;
	struct buf body = {0};
	bool trusted = skymon_is_trusted(sm, rq);
	if (served)
		add_served(&body, component, trusted, skymon_self(sm)->now_ms);
	else
		api_add_component(&body, component, trusted);
	skymon_reply_header(sm, rq, "X-Health-Status", skymon_status_word(component->status));
	if (component->configured) /* otherwise retrying does not help */
		add_retry_after(sm, rq, code, component->next_check_ms);
	api_reply(sm, rq, code, JSON, &body);
}

static const struct skymon_component *find_component(const struct skymon_snapshot *snapshot, const char *name)
{
	for (size_t i = 0; i < snapshot->count; i++)
		if (strcmp(snapshot->components[i]->name, name) == 0)
			return snapshot->components[i];
	return NULL;
}

void api_handle_served(struct skymon *sm, void *state, struct skymon_request *rq)
{
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	const struct skymon_component *found = find_component(snapshot, state);
	if (found != NULL)
		reply_component(sm, rq, found, true);
	else
		skymon_problem(sm, rq, 503, "plugin %s has not reported yet", (const char *)state);
	skymon_release(sm, snapshot);
}

static void handle_component(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *name = skymon_param(sm, rq, "component");
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	const struct skymon_component *found = find_component(snapshot, name);
	if (found != NULL)
		reply_component(sm, rq, found, false);
	else
		reply_unknown_component(sm, rq, name, snapshot);
	skymon_release(sm, snapshot);
}

/* ---- ready and alive ---- */

/* Returns why the service, or the group that was asked for, is not ready, the weightiest reason first; NULL if
 * it is ready. `ready.follow: self` says what the service depends on; a group is always its components. */
static const char *not_ready(struct skymon *sm, const struct skymon_self *self, const struct whole *whole)
{
	if (self->phase == SKYMON_PHASE_DRAINING)
		return "draining";
	if (self->phase == SKYMON_PHASE_STARTING)
		return "starting";
	bool follows_self = whole->group == NULL && skymon_config_public(sm)->ready_follows_self;
	if (follows_self || whole->ready_reason == SKYMON_OK)
		return NULL;
	return whole->ready_reason == SKYMON_STARTING ? "starting" : "unhealthy";
}

static void reply_ready(struct skymon *sm, struct skymon_request *rq, const struct whole *whole,
			int64_t next_ms)
{
	const struct skymon_self *self = skymon_self(sm);
	const char *reason = not_ready(sm, self, whole);
	struct buf body = {0};
	buf_printf(&body, "{\"status\":\"%s\",\"ready\":%s,\"timestamp\":", skymon_status_word(whole->status),
		   reason == NULL ? "true" : "false");
	buf_json_time(&body, self->now_ms);
	if (reason != NULL)
		buf_printf(&body, ",\"reason\":\"%s\"", reason);
	add_group(&body, whole);
	buf_text(&body, "}");
	skymon_reply_header(sm, rq, "X-Health-Status", skymon_status_word(whole->status));
	if (reason != NULL && self->phase != SKYMON_PHASE_DRAINING)
		add_retry_after(sm, rq, 503, next_ms);
	api_reply(sm, rq, reason == NULL ? 200 : 503, JSON, &body);
}

static void handle_ready(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	struct whole whole;
	if (find_whole(sm, rq, snapshot, &whole))
		reply_ready(sm, rq, &whole, soonest_check(snapshot, whole.group));
	skymon_release(sm, snapshot);
}

static void handle_alive(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const struct skymon_self *self = skymon_self(sm);
	bool alive = self->loop_age_ms < STUCK_MS;
	struct buf body = {0};
	buf_text(&body,
		 alive ? "{\"status\":\"alive\",\"timestamp\":" : "{\"status\":\"stuck\",\"timestamp\":");
	buf_json_time(&body, self->now_ms);
	buf_text(&body, "}");
	api_reply(sm, rq, alive ? 200 : 503, JSON, &body);
}

/* ---- The descriptor ---- */

const struct skymon_route api_reload_route = {
	.size = sizeof(struct skymon_route),
	.method = "POST",
	.path = "/-/reload",
	.name = "reload",
	.summary = "reads the configuration again: 200 with what changed, 422 with the errors",
	.flags = SKYMON_ROUTE_GUARDED | SKYMON_ROUTE_ANY_BODY,
};

#define ROUTE(method_, path_, name_, handle_, flags_, summary_)                                              \
	(&(const struct skymon_route){.size = sizeof(struct skymon_route),                                   \
				      .method = method_,                                                     \
				      .path = path_,                                                         \
				      .name = name_,                                                         \
				      .summary = summary_,                                                   \
				      .handle = handle_,                                                     \
				      .flags = flags_})

static const struct skymon_route *const routes[] = {
	ROUTE("GET", "/api/v1/health", "health", handle_health, SKYMON_ROUTE_OPTIONS_AS_GET,
	      "the whole service: 200 when healthy or degraded, else 503"),
	ROUTE("GET", "/api/v1/health/{component}", "component", handle_component, SKYMON_ROUTE_OPTIONS_AS_GET,
	      "one component, with the same codes"),
	ROUTE("GET", "/api/v1/status", "status", api_handle_status, 0,
	      "everything at once, for people and dashboards"),
	ROUTE("GET", "/api/v1/ready", "ready", handle_ready, SKYMON_ROUTE_OPTIONS_AS_GET,
	      "may traffic come here? for balancers and readiness probes"),
	ROUTE("GET", "/api/v1/alive", "alive", handle_alive, SKYMON_ROUTE_OPTIONS_AS_GET,
	      "does the daemon turn? for liveness probes"),
	ROUTE("GET", "/api/v1/maintenance", "maintenance", api_handle_maintenance, 0,
	      "silences and windows of maintenance"),
	ROUTE("POST", "/api/v1/maintenance", "maintenance", api_handle_silence, SKYMON_ROUTE_GUARDED,
	      "silences components or groups for a time"),
	ROUTE("DELETE", "/api/v1/maintenance/{id}", "silence", api_handle_silence_end, SKYMON_ROUTE_GUARDED,
	      "ends a silence"),
	ROUTE("GET", "/api/v1/metrics/prometheus/api/v1/{query...}", "prometheus_api", api_handle_prometheus,
	      0, "answers a Grafana data source that points here: where to point it"),
	ROUTE("POST", "/api/v1/metrics/prometheus/api/v1/{query...}", "prometheus_api", api_handle_prometheus,
	      SKYMON_ROUTE_ANY_BODY | SKYMON_ROUTE_OPEN, "the same"),
	ROUTE("GET", "/api/v1/openapi.json", "openapi", api_handle_openapi, 0,
	      "these routes as an OpenAPI 3.1 document"),
	&api_reload_route,
	ROUTE("GET", "/-/healthy", "alive", handle_alive, SKYMON_ROUTE_OPTIONS_AS_GET, "as alive"),
	ROUTE("GET", "/-/ready", "ready", handle_ready, SKYMON_ROUTE_OPTIONS_AS_GET, "as ready"),
	ROUTE("GET", "/", "index", api_handle_index, 0, "this list"),
	NULL,
};

static const struct skymon_route *const aliases[] = {
	ROUTE("GET", "/healthz", "health", handle_health, SKYMON_ROUTE_OPTIONS_AS_GET, "as health"),
	ROUTE("GET", "/livez", "alive", handle_alive, SKYMON_ROUTE_OPTIONS_AS_GET, "as alive"),
	ROUTE("GET", "/readyz", "ready", handle_ready, SKYMON_ROUTE_OPTIONS_AS_GET, "as ready"),
};

const struct skymon_route *api_alias(const char *word)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(aliases[i]->path + 1, word) == 0)
			return aliases[i];
	return NULL;
}

const struct skymon_plugin api_plugin = {
	.abi_major = SKYMON_ABI_MAJOR,
	.abi_minor = SKYMON_ABI_MINOR,
	.size = sizeof(struct skymon_plugin),
	.name = "api",
	.version = "1.0",
	.summary = "Health, component, ready, alive, status and the index",
	.option_size = sizeof(struct skymon_option),
	.number_size = sizeof(struct skymon_number),
	.flags = SKYMON_IN_DAEMON,
	.routes = routes,
};
