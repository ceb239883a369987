/* SPDX-License-Identifier: Apache-2.0 */
/* api_host: a fake host for the tests of the api, and a snapshot of three components. */
#ifndef API_HOST_H
#define API_HOST_H

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
	if (strcmp(route, "index_page") == 0)
		return NULL; /* without the plugin `page` */
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
					     .group = "",
					     .because_of = "",
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
					  .group = "",
					  .because_of = "",
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
					  .group = "",
					  .because_of = "",
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
					      .file = "/etc/skymon.yaml",
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

#endif
