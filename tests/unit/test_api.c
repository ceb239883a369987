/* SPDX-License-Identifier: Apache-2.0 */
/* api against a fake host: the JSON byte for byte, the codes and the headers. */
#include "api_host.h"

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
	"\"consecutive_failures\":0,\"stale\":false,\"starting\":false,\"interval_seconds\":10,\"last_result\":"
#define VAULT                                                                                                                 \
	"{\"name\":\"vault\",\"status\":\"unknown\",\"message\":\"set VAULT_ADDR\",\"last_check\":null,"                      \
	"\"response_time_ms\":null,\"details\":{},\"reason\":\"not_configured\",\"since\":null,"                              \
	"\"last_success\":null,\"consecutive_failures\":0,\"stale\":false,\"starting\":false,\"interval_seconds\":30,\"last_" \
	"result\":null,\"numbers\":{},\"limits\":[],\"group\":null,\"because_of\":null,\"maintenance\":null}"
#define FRESH                                                                                                               \
	"{\"name\":\"fresh\",\"status\":\"unknown\",\"message\":\"not checked yet\",\"last_check\":null,"                   \
	"\"response_time_ms\":null,\"details\":{},\"reason\":\"starting\",\"since\":null,"                                  \
	"\"last_success\":null,\"consecutive_failures\":0,\"stale\":false,\"starting\":true,\"interval_seconds\":2,\"last_" \
	"result\":null,\"numbers\":{},\"limits\":[],\"group\":null,\"because_of\":null,\"maintenance\":null}"

static void component(void)
{
	begin();
	struct skymon_request *rq = RUN("component", .component = "database");
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(rq->headers, "X-Health-Status: healthy\n");
	UNIT_TEXT(
		rq->body, DATABASE_HEAD
		"null,\"numbers\":{},\"limits\":[],\"group\":null,\"because_of\":null,\"maintenance\":null}");
	/* the newest run differs, but `fall` is not reached */
	database.latest = &bad;
	rq = RUN("component", .component = "database");
	UNIT_TEXT(rq->body, DATABASE_HEAD
		  "{\"status\":\"unhealthy\",\"reason\":\"refused\",\"message\":\"refused\","
		  "\"last_check\":\"2026-11-22T15:01:59.123Z\",\"response_time_ms\":null},"
		  "\"numbers\":{},\"limits\":[],\"group\":null,\"because_of\":null,\"maintenance\":null}");
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
	"\"config\":{\"file\":\"/etc/skymon.yaml\",\"loaded_at\":null,\"last_reload\":null},"                \
	"\"endpoints\":{\"health\":\"/api/v1/health\",\"dashboard\":\"/d/"                                   \
	"{uid}\"},\"prometheus_metrics\":" metrics "}"

static void status(void)
{
	begin();
	struct skymon_request *rq = RUN("status", .query = "healthy=500");
	CU_ASSERT_EQUAL(rq->code, 200);
	UNIT_TEXT(
		rq->body,
		"{\"service\":\"Sky <Genesis>\",\"version\":\"2.1\",\"status\":\"healthy\","
		"\"uptime_seconds\":3601,\"timestamp\":" STAMP ",\"health\":{\"overall_status\":\"healthy\","
		"\"components\":[" DATABASE_HEAD
		"null,\"numbers\":{},\"limits\":[],\"group\":null,\"because_of\":null,\"maintenance\":null}," VAULT
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
