/* SPDX-License-Identifier: Apache-2.0 */
/* api against a fake host: the JSON byte for byte, the codes and the headers. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"

#define NOW 1795359720123 /* 2026-11-22T15:02:00.123Z */
#define STAMP "\"2026-11-22T15:02:00.123Z\""

/* ---- The fake host ---- */

struct skymon_request {
	const char *component, *query, *accept;
	bool anonymous;
	int code;
	char type[64], headers[512], body[8192];
	size_t size;
};

static struct {
	struct skymon_self self;
	struct skymon_config config;
	struct skymon_snapshot snapshot;
	const char *rendered;
	int snapshots; /* snapshots taken and not released */
} world;

static const char *fake_method(struct skymon_request *rq)
{
	(void)rq;
	return "GET";
}

static const char *fake_param(struct skymon_request *rq, const char *name)
{
	return strcmp(name, "component") == 0 ? rq->component : NULL;
}

static const char *fake_query(struct skymon_request *rq, const char *name)
{
	static char value[32];
	size_t length = strlen(name);
	const char *at = rq->query != NULL ? strstr(rq->query, name) : NULL;
	if (at == NULL || at[length] != '=' || (at != rq->query && at[-1] != '&'))
		return NULL;
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + length + 1, "&"), at + length + 1);
	return value;
}

static const char *fake_header(struct skymon_request *rq, const char *name)
{
	return strcmp(name, "Accept") == 0 ? rq->accept : NULL;
}

static const char *fake_body(struct skymon_request *rq, size_t *size)
{
	(void)rq;
	*size = 0;
	return "";
}

static void fake_reply_header(struct skymon_request *rq, const char *name, const char *value)
{
	size_t used = strlen(rq->headers);
	snprintf(rq->headers + used, sizeof(rq->headers) - used, "%s: %s\n", name, value);
}

static void fake_reply(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size)
{
	CU_ASSERT_EQUAL(rq->code, 0);
	CU_ASSERT_FATAL(size < sizeof(rq->body));
	rq->code = code;
	rq->size = size;
	snprintf(rq->type, sizeof(rq->type), "%s", type);
	memcpy(rq->body, bytes, size);
	rq->body[size] = '\0';
}

static void fake_reply_parts(struct skymon_request *rq, int code, const char *type,
			     const struct skymon_part *parts, size_t count, uint64_t generation,
			     void (*done)(void *), void *argument)
{
	CU_ASSERT_EQUAL_FATAL(count, 1);
	CU_ASSERT_EQUAL(generation, 0);
	fake_reply(rq, code, type, parts[0].bytes, parts[0].size);
	if (done != NULL)
		done(argument);
}

static void fake_problem(struct skymon_request *rq, int code, const char *text, size_t size)
{
	CU_ASSERT_EQUAL(rq->code, 0);
	rq->code = code;
	strcpy(rq->type, "problem");
	rq->size = (size_t)snprintf(rq->body, sizeof(rq->body), "%.*s", (int)size, text);
}

static const struct skymon_snapshot *fake_snapshot(struct skymon *sm)
{
	(void)sm;
	world.snapshots++;
	return &world.snapshot;
}

static void fake_release(struct skymon *sm, const struct skymon_snapshot *snapshot)
{
	(void)sm;
	CU_ASSERT_PTR_EQUAL(snapshot, &world.snapshot);
	world.snapshots--;
}

static const struct skymon_self *fake_self(struct skymon *sm)
{
	(void)sm;
	return &world.self;
}

static const struct skymon_config *fake_config(struct skymon *sm)
{
	(void)sm;
	return &world.config;
}

static const struct skymon_routes *fake_routes(struct skymon *sm)
{
	static const struct skymon_route_line lines[] = {
		{sizeof(lines[0]), "GET", "/api/v1/health", "health", "the <whole>", "api"},
		{sizeof(lines[0]), "GET", "/d/{uid}", "dashboard", "one", "grafana"},
		{sizeof(lines[0]), "PUT", "/d/{uid}", "dashboard", "change it", "grafana"},
	};
	static const struct skymon_route_line *const list[] = {&lines[0], &lines[1], &lines[2]};
	static const struct skymon_routes routes = {sizeof(routes), list, 3};
	(void)sm;
	return &routes;
}

static bool fake_trusted(struct skymon_request *rq)
{
	return !rq->anonymous;
}

static const char *fake_render(struct skymon_request *rq, const char *route, size_t *size)
{
	(void)rq;
	CU_ASSERT_STRING_EQUAL(route, "prometheus");
	*size = world.rendered != NULL ? strlen(world.rendered) : 0;
	return world.rendered;
}

static const struct skymon_host host = {
	.size = sizeof(host),
	.request_method = fake_method,
	.request_param = fake_param,
	.request_query = fake_query,
	.request_header = fake_header,
	.request_body = fake_body,
	.reply_header = fake_reply_header,
	.reply = fake_reply,
	.reply_parts = fake_reply_parts,
	.reply_problem = fake_problem,
	.snapshot = fake_snapshot,
	.release = fake_release,
	.self = fake_self,
	.config_public = fake_config,
	.routes = fake_routes,
	.request_trusted = fake_trusted,
	.render = fake_render,
};

/* ---- The snapshot ---- */

static const struct skymon_result good = {
	.size = sizeof(struct skymon_result),
	.status = SKYMON_HEALTHY,
	.reason = SKYMON_OK,
	.reason_word = "ok",
	.id = 1,
	.time_ms = NOW - 5000,
	.duration_us = 12600,
	.message = "all \"well\"",
	.details = "{\"active_connections\":4}",
};
static const struct skymon_result bad = {
	.size = sizeof(struct skymon_result),
	.status = SKYMON_UNHEALTHY,
	.reason = SKYMON_REFUSED,
	.reason_word = "refused",
	.id = 2,
	.time_ms = NOW - 1000,
	.duration_us = -1,
	.message = "refused",
	.details = "{}",
};
static struct skymon_component database, vault, fresh;
static const struct skymon_component *const all[] = {&database, &vault, &fresh};
static struct skymon_source sources[8];
static const struct skymon_source *source_list[8];

static void begin(void)
{
	static const char *const keys[8] = {
		"active_connections", "total_requests",    "error_rate_percent",   "average_response_time_ms",
		"memory_usage_mb",    "cpu_usage_percent", "database_connections", "cache_hit_rate_percent"};
	static const char *const features[] = {"prometheus"};
	database = (struct skymon_component){.size = sizeof(database),
					     .status = SKYMON_HEALTHY,
					     .reason = SKYMON_OK,
					     .reason_word = "ok",
					     .configured = true,
					     .name = "database",
					     .plugin = "database",
					     .message = "all \"well\"",
					     .labels = "",
					     .since_ms = NOW - 3600000,
					     .last_success_ms = NOW - 5000,
					     .next_check_ms = NOW + 4001,
					     .interval_ms = 10000,
					     .shown = &good,
					     .latest = &good};
	vault = (struct skymon_component){.size = sizeof(vault),
					  .status = SKYMON_UNKNOWN,
					  .reason = SKYMON_NOT_CONFIGURED,
					  .reason_word = "not_configured",
					  .name = "vault",
					  .plugin = "vault",
					  .message = "set VAULT_ADDR",
					  .labels = "",
					  .interval_ms = 30000};
	fresh = (struct skymon_component){.size = sizeof(fresh),
					  .status = SKYMON_UNKNOWN,
					  .reason = SKYMON_STARTING,
					  .reason_word = "starting",
					  .starting = true,
					  .configured = true,
					  .name = "fresh",
					  .plugin = "tcp",
					  .message = "not checked yet",
					  .labels = "",
					  .next_check_ms = NOW + 9000,
					  .interval_ms = 1500};
	for (size_t i = 0; i < 8; i++) {
		sources[i] =
			(struct skymon_source){.key = keys[i], .present = i < 6, .value = (double)i + 0.25};
		source_list[i] = &sources[i];
	}
	memset(&world, 0, sizeof(world));
	world.snapshot = (struct skymon_snapshot){.size = sizeof(world.snapshot),
						  .status = SKYMON_HEALTHY,
						  .ready_reason = SKYMON_OK,
						  .generation = 1,
						  .components = all,
						  .count = 3};
	world.self = (struct skymon_self){.size = sizeof(world.self),
					  .phase = SKYMON_PHASE_RUNNING,
					  .version = "0.1",
					  .service = "api",
					  .title = "Sky <Genesis>",
					  .service_version = "2.1",
					  .now_ms = NOW,
					  .uptime_seconds = 3601,
					  .sources = source_list,
					  .source_count = 8};
	world.config = (struct skymon_config){.size = sizeof(world.config),
					      .environment = "production",
					      .log_level = "info",
					      .features = features,
					      .feature_count = 1};
}

static struct skymon sm = {.host = &host};

static const struct skymon_route *find(const char *method, const char *name)
{
	for (size_t i = 0; api_plugin.routes[i] != NULL; i++)
		if (strcmp(api_plugin.routes[i]->name, name) == 0 &&
		    strcmp(api_plugin.routes[i]->method, method) == 0)
			return api_plugin.routes[i];
	return NULL;
}

static struct skymon_request *run(const char *name, struct skymon_request rq)
{
	static struct skymon_request asked;
	asked = rq;
	const struct skymon_route *route = find("GET", name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(route);
	route->handle(&sm, NULL, &asked);
	CU_ASSERT_NOT_EQUAL(asked.code, 0);
	CU_ASSERT_EQUAL(world.snapshots, 0);
	return &asked;
}
#define RUN(name, ...) run(name, (struct skymon_request){__VA_ARGS__})

/* ---- Tests ---- */

static void health(void)
{
	static const struct {
		int status;
		const char *query;
		int code;
		const char *headers;
	} cases[] = {
		{SKYMON_HEALTHY, NULL, 200, "X-Health-Status: healthy\n"},
		{SKYMON_DEGRADED, NULL, 200, "X-Health-Status: degraded\n"},
		{SKYMON_UNHEALTHY, NULL, 503, "X-Health-Status: unhealthy\nRetry-After: 5\n"},
		{SKYMON_UNKNOWN, NULL, 503, "X-Health-Status: unknown\nRetry-After: 5\n"},
		{SKYMON_UNHEALTHY, "unhealthy=200&unknown=200", 200, "X-Health-Status: unhealthy\n"},
		{SKYMON_UNKNOWN, "unhealthy=200&unknown=200", 200, "X-Health-Status: unknown\n"},
		{SKYMON_UNKNOWN, "unhealthy=200", 503, "X-Health-Status: unknown\nRetry-After: 5\n"},
		{SKYMON_DEGRADED, "degraded=429", 429, "X-Health-Status: degraded\n"},
		{SKYMON_DEGRADED, "degraded=503", 503, "X-Health-Status: degraded\nRetry-After: 5\n"},
		{SKYMON_HEALTHY, "degraded=503", 200, "X-Health-Status: healthy\n"},
		{SKYMON_HEALTHY, "healthy=204", 204, "X-Health-Status: healthy\n"},
	};
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world.snapshot.status = cases[i].status;
		struct skymon_request *rq = RUN("health", .query = cases[i].query);
		CU_ASSERT_EQUAL(rq->code, cases[i].code);
		UNIT_TEXT(rq->type, "application/json");
		UNIT_TEXT(rq->headers, cases[i].headers);
		char expected[256];
		snprintf(expected, sizeof(expected),
			 "{\"status\":\"%.*s\",\"timestamp\":" STAMP
			 ",\"version\":\"2.1\",\"uptime_seconds\":3601}",
			 (int)strcspn(cases[i].headers + 17, "\n"), cases[i].headers + 17);
		UNIT_TEXT(rq->body, expected);
	}
}

static void refuses_codes(void)
{
	static const struct {
		const char *query, *name;
	} cases[] = {{"unhealthy=", "unhealthy"}, {"unhealthy=99", "unhealthy"}, {"degraded=600", "degraded"},
		     {"unknown=2e2", "unknown"},  {"unknown=-200", "unknown"},   {"healthy=100", "healthy"},
		     {"healthy=200x", "healthy"}, {"degraded=0200", "degraded"}};
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expected[256];
		snprintf(expected, sizeof(expected),
			 "the query parameter %s is the code to answer that status with: "
			 "a number from 200 to 599",
			 cases[i].name);
		struct skymon_request *rq = RUN("health", .query = cases[i].query);
		CU_ASSERT_EQUAL(rq->code, 400);
		UNIT_TEXT(rq->body, expected);
		rq = RUN("component", .component = "database", .query = cases[i].query);
		CU_ASSERT_EQUAL(rq->code, 400);
		rq = RUN("ready", .query = cases[i].query); /* ignores the query */
		CU_ASSERT_EQUAL(rq->code, 200);
		rq = RUN("alive", .query = cases[i].query);
		CU_ASSERT_EQUAL(rq->code, 200);
	}
}

#define DATABASE_HEAD                                                                                        \
	"{\"name\":\"database\",\"status\":\"healthy\",\"message\":\"all \\\"well\\\"\","                    \
	"\"last_check\":\"2026-11-22T15:01:55.123Z\",\"response_time_ms\":13,"                               \
	"\"details\":{\"active_connections\":4},\"reason\":\"ok\","                                          \
	"\"since\":\"2026-11-22T14:02:00.123Z\",\"last_success\":\"2026-11-22T15:01:55.123Z\","              \
	"\"consecutive_failures\":0,\"stale\":false,\"interval_seconds\":10,\"last_result\":"
#define VAULT                                                                                                \
	"{\"name\":\"vault\",\"status\":\"unknown\",\"message\":\"set VAULT_ADDR\",\"last_check\":null,"     \
	"\"response_time_ms\":null,\"details\":{},\"reason\":\"not_configured\",\"since\":null,"             \
	"\"last_success\":null,\"consecutive_failures\":0,\"stale\":false,\"interval_seconds\":30,\"last_"   \
	"result\":null,\"numbers\":{},\"limits\":[]}"
#define FRESH                                                                                                \
	"{\"name\":\"fresh\",\"status\":\"unknown\",\"message\":\"not checked yet\",\"last_check\":null,"    \
	"\"response_time_ms\":null,\"details\":{},\"reason\":\"starting\",\"since\":null,"                   \
	"\"last_success\":null,\"consecutive_failures\":0,\"stale\":false,\"interval_seconds\":2,\"last_"    \
	"result\":null,\"numbers\":{},\"limits\":[]}"

static void component(void)
{
	begin();
	struct skymon_request *rq = RUN("component", .component = "database");
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(rq->headers, "X-Health-Status: healthy\n");
	UNIT_TEXT(rq->body, DATABASE_HEAD "null,\"numbers\":{},\"limits\":[]}");
	/* the newest run differs, but `fall` is not reached */
	database.latest = &bad;
	rq = RUN("component", .component = "database");
	UNIT_TEXT(rq->body,
		  DATABASE_HEAD "{\"status\":\"unhealthy\",\"reason\":\"refused\",\"message\":\"refused\","
				"\"last_check\":\"2026-11-22T15:01:59.123Z\",\"response_time_ms\":null},"
				"\"numbers\":{},\"limits\":[]}");
	rq = RUN("component", .component = "database", .anonymous = true);
	CU_ASSERT_EQUAL(rq->code, 200);
	CU_ASSERT_PTR_NULL(strstr(rq->body, "well"));
	CU_ASSERT_PTR_NULL(strstr(rq->body, "active_connections"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rq->body, "\"status\":\"unhealthy\",\"reason\":\"refused\",\"message\":\"\""));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rq->body, "\"message\":\"\",\"last_check\":\"2026-11-22T15:01:55.123Z\""));
	CU_ASSERT_PTR_NOT_NULL(strstr(rq->body, "\"details\":{},"));
	rq = RUN("component", .component = "vault");
	CU_ASSERT_EQUAL(rq->code, 503);
	UNIT_TEXT(rq->headers, "X-Health-Status: unknown\n"); /* no Retry-After: waiting does not help */
	UNIT_TEXT(rq->body, VAULT);
	rq = RUN("component", .component = "fresh");
	CU_ASSERT_EQUAL(rq->code, 503);
	UNIT_TEXT(rq->headers, "X-Health-Status: unknown\nRetry-After: 9\n");
	UNIT_TEXT(rq->body, FRESH);
	fresh.next_check_ms = NOW - 500; /* overdue */
	rq = RUN("component", .component = "fresh");
	UNIT_TEXT(rq->headers, "X-Health-Status: unknown\nRetry-After: 1\n");
	rq = RUN("component", .component = "fresh", .query = "unknown=200");
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(rq->headers, "X-Health-Status: unknown\n");
}

static void unknown_component(void)
{
	begin();
	struct skymon_request *rq = RUN("component", .component = "Database", .query = "unknown=200");
	CU_ASSERT_EQUAL(rq->code, 404);
	UNIT_TEXT(rq->body, "no such component: \"Database\"; the config has: database, vault, fresh");
	world.snapshot.count = 0;
	rq = RUN("component", .component = "x");
	CU_ASSERT_EQUAL(rq->code, 404);
	UNIT_TEXT(rq->body, "no such component: \"x\"; the config has none");
}

static void ready(void)
{
	static const struct {
		int phase, ready_reason, status;
		bool follows_self;
		int code;
		const char *body, *headers;
	} cases[] = {
		{SKYMON_PHASE_RUNNING, SKYMON_OK, SKYMON_HEALTHY, false, 200,
		 "{\"status\":\"healthy\",\"ready\":true,\"timestamp\":" STAMP "}",
		 "X-Health-Status: healthy\n"},
		{SKYMON_PHASE_RUNNING, SKYMON_OK, SKYMON_DEGRADED, false, 200,
		 "{\"status\":\"degraded\",\"ready\":true,\"timestamp\":" STAMP "}",
		 "X-Health-Status: degraded\n"},
		{SKYMON_PHASE_RUNNING, SKYMON_STARTING, SKYMON_UNKNOWN, false, 503,
		 "{\"status\":\"unknown\",\"ready\":false,\"timestamp\":" STAMP ",\"reason\":\"starting\"}",
		 "X-Health-Status: unknown\nRetry-After: 5\n"},
		{SKYMON_PHASE_RUNNING, SKYMON_OTHER, SKYMON_UNHEALTHY, false, 503,
		 "{\"status\":\"unhealthy\",\"ready\":false,\"timestamp\":" STAMP
		 ",\"reason\":\"unhealthy\"}",
		 "X-Health-Status: unhealthy\nRetry-After: 5\n"},
		{SKYMON_PHASE_RUNNING, SKYMON_OTHER, SKYMON_UNHEALTHY, true, 200,
		 "{\"status\":\"unhealthy\",\"ready\":true,\"timestamp\":" STAMP "}",
		 "X-Health-Status: unhealthy\n"},
		{SKYMON_PHASE_STARTING, SKYMON_OK, SKYMON_HEALTHY, true, 503,
		 "{\"status\":\"healthy\",\"ready\":false,\"timestamp\":" STAMP ",\"reason\":\"starting\"}",
		 "X-Health-Status: healthy\nRetry-After: 5\n"},
		{SKYMON_PHASE_DRAINING, SKYMON_OTHER, SKYMON_UNHEALTHY, true, 503,
		 "{\"status\":\"unhealthy\",\"ready\":false,\"timestamp\":" STAMP ",\"reason\":\"draining\"}",
		 "X-Health-Status: unhealthy\n"},
	};
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world.self.phase = cases[i].phase;
		world.snapshot.ready_reason = cases[i].ready_reason;
		world.snapshot.status = cases[i].status;
		world.config.ready_follows_self = cases[i].follows_self;
		struct skymon_request *rq = RUN("ready", .query = "unhealthy=200");
		CU_ASSERT_EQUAL(rq->code, cases[i].code);
		UNIT_TEXT(rq->body, cases[i].body);
		UNIT_TEXT(rq->headers, cases[i].headers);
	}
}

static void alive(void)
{
	begin();
	world.snapshot.status = SKYMON_UNHEALTHY;
	world.self.phase = SKYMON_PHASE_DRAINING;
	world.self.loop_age_ms = 20;
	struct skymon_request *rq = RUN("alive", .query = NULL);
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(rq->body, "{\"status\":\"alive\",\"timestamp\":" STAMP "}");
	world.self.loop_age_ms = 30000;
	rq = RUN("alive", .query = NULL);
	CU_ASSERT_EQUAL(rq->code, 503);
	UNIT_TEXT(rq->body, "{\"status\":\"stuck\",\"timestamp\":" STAMP "}");
}

#define STATUS_TAIL(metrics)                                                                                 \
	"\"metrics\":{\"active_connections\":0,\"total_requests\":1,\"error_rate_percent\":2.25,"            \
	"\"average_response_time_ms\":3.25,\"memory_usage_mb\":4,\"cpu_usage_percent\":5.25,"                \
	"\"database_connections\":null,\"cache_hit_rate_percent\":null}},"                                   \
	"\"configuration\":{\"environment\":\"production\",\"log_level\":\"info\",\"features\":["            \
	"\"prometheus\"]},"                                                                                  \
	"\"endpoints\":{\"health\":\"/api/v1/health\",\"dashboard\":\"/d/"                                   \
	"{uid}\"},\"prometheus_metrics\":" metrics "}"

static void status(void)
{
	begin();
	struct skymon_request *rq = RUN("status", .query = "healthy=500");
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(rq->body, "{\"service\":\"Sky <Genesis>\",\"version\":\"2.1\",\"status\":\"healthy\","
			    "\"uptime_seconds\":3601,\"timestamp\":" STAMP
			    ",\"health\":{\"overall_status\":\"healthy\","
			    "\"components\":[" DATABASE_HEAD "null,\"numbers\":{},\"limits\":[]}," VAULT
			    "," FRESH "]," STATUS_TAIL("null"));
	world.rendered = "a{b=\"c\"} 1\n";
	world.snapshot.status = SKYMON_UNHEALTHY;
	rq = RUN("status", .query = NULL);
	CU_ASSERT_EQUAL(rq->code, 200); /* always */
	UNIT_TEXT(rq->headers, "X-Health-Status: unhealthy\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(rq->body, STATUS_TAIL("\"a{b=\\\"c\\\"} 1\\n\"")));
	rq = RUN("status", .anonymous = true);
	CU_ASSERT_PTR_NULL(strstr(rq->body, "well"));
	CU_ASSERT_PTR_NULL(strstr(rq->body, "VAULT_ADDR"));
	CU_ASSERT_PTR_NOT_NULL(strstr(rq->body, "\"prometheus_metrics\":null}"));
}

static void index_page(void)
{
	static const struct {
		const char *accept;
		bool html;
	} cases[] = {
		{NULL, false},
		{"*/*", false},
		{"application/json", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
		 true},
		{"text/html;q=0.5, application/json;q=0.4", true},
		{"text/html;q=0.5, application/json", false},
		{"text/*", true},
		{"text/html;q=0", false},
		{"TEXT/HTML", true},
		{"text/plain, application/*;q=0.1", false},
		{"", false},
		{",;,", false},
	};
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct skymon_request *rq = RUN("index", .accept = cases[i].accept);
		CU_ASSERT_EQUAL(rq->code, 200);
		UNIT_TEXT(rq->type, cases[i].html ? "text/html; charset=utf-8" : "application/json");
		UNIT_TEXT(rq->headers, "Vary: Accept\n");
		CU_ASSERT_EQUAL(strstr(rq->body, "<td>the &lt;whole&gt;</td>") != NULL, cases[i].html);
	}
	struct skymon_request *rq = RUN("index", .accept = NULL);
	UNIT_TEXT(rq->body,
		  "{\"service\":\"Sky <Genesis>\",\"version\":\"2.1\",\"skymon\":\"0.1\",\"routes\":["
		  "{\"method\":\"GET\",\"path\":\"/api/v1/health\",\"name\":\"health\",\"summary\":\"the "
		  "<whole>\","
		  "\"plugin\":\"api\"},{\"method\":\"GET\",\"path\":\"/d/{uid}\",\"name\":\"dashboard\","
		  "\"summary\":\"one\",\"plugin\":\"grafana\"},{\"method\":\"PUT\",\"path\":\"/d/{uid}\","
		  "\"name\":\"dashboard\",\"summary\":\"change it\",\"plugin\":\"grafana\"}]}");
}

static void prometheus_api(void)
{
	begin();
	struct skymon_request *rq = RUN("prometheus_api", .query = "query=1");
	CU_ASSERT_EQUAL(rq->code, 404);
	UNIT_TEXT(rq->type, "application/json");
	CU_ASSERT_PTR_NOT_NULL(
		strstr(rq->body,
		       "{\"status\":\"error\",\"errorType\":\"not_found\",\"error\":\"this is an exporter"));
	const struct skymon_route *post = find("POST", "prometheus_api");
	CU_ASSERT_PTR_NOT_NULL_FATAL(post);
	CU_ASSERT(post->flags & SKYMON_ROUTE_ANY_BODY); /* Grafana posts forms */
}

static void probes_answer_options(void)
{
	static const char *const names[] = {"health", "component", "ready", "alive"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CU_ASSERT(find("GET", names[i])->flags & SKYMON_ROUTE_OPTIONS_AS_GET);
	CU_ASSERT_EQUAL(find("GET", "status")->flags, 0);
}

int main(void)
{
	return unit_run("api", (const struct unit_test[]){{"health", health},
							  {"refuses codes", refuses_codes},
							  {"component", component},
							  {"unknown component", unknown_component},
							  {"ready", ready},
							  {"alive", alive},
							  {"status", status},
							  {"index", index_page},
							  {"prometheus api", prometheus_api},
							  {"probes answer OPTIONS", probes_answer_options},
							  {0}});
}
