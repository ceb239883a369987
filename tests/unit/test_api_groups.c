/* SPDX-License-Identifier: Apache-2.0 */
/* api against a fake host: health and ready of a group. */
#include "api_host.h"

/* A group's own status, reason, code and next check; the whole has others. */
static void groups(void)
{
	static const struct skymon_group payments = {sizeof(payments), SKYMON_UNHEALTHY, SKYMON_OTHER,
						     "payments"};
	static const struct skymon_group shop = {sizeof(shop), SKYMON_UNKNOWN, SKYMON_STARTING, "shop"};
	static const struct skymon_group *const list[] = {&payments, &shop};
	static const struct {
		const char *route, *query;
		int code;
		const char *headers, *body;
	} cases[] = {
		{"health", NULL, 200, "X-Health-Status: healthy\n",
		 "{\"status\":\"healthy\",\"timestamp\":" STAMP
		 ",\"version\":\"2.1\",\"uptime_seconds\":3601}"},
		{"health", "group=payments", 503, "X-Health-Status: unhealthy\nRetry-After: 9\n",
		 "{\"status\":\"unhealthy\",\"timestamp\":" STAMP
		 ",\"version\":\"2.1\",\"uptime_seconds\":3601,"
		 "\"group\":\"payments\"}"},
		{"health", "group=payments&unhealthy=200", 200, "X-Health-Status: unhealthy\n",
		 "{\"status\":\"unhealthy\",\"timestamp\":" STAMP
		 ",\"version\":\"2.1\",\"uptime_seconds\":3601,"
		 "\"group\":\"payments\"}"},
		{"health", "group=shop", 503, "X-Health-Status: unknown\nRetry-After: 5\n",
		 "{\"status\":\"unknown\",\"timestamp\":" STAMP
		 ",\"version\":\"2.1\",\"uptime_seconds\":3601,"
		 "\"group\":\"shop\"}"},
		{"health", "group=pay", 404, "", "no such group: \"pay\"; the config has: payments, shop"},
		{"health", "group=", 404, "", "no such group: \"\"; the config has: payments, shop"},
		{"ready", NULL, 200, "X-Health-Status: healthy\n",
		 "{\"status\":\"healthy\",\"ready\":true,\"timestamp\":" STAMP "}"},
		{"ready", "group=payments", 503, "X-Health-Status: unhealthy\nRetry-After: 9\n",
		 "{\"status\":\"unhealthy\",\"ready\":false,\"timestamp\":" STAMP
		 ",\"reason\":\"unhealthy\",\"group\":\"payments\"}"},
		{"ready", "group=shop", 503, "X-Health-Status: unknown\nRetry-After: 5\n",
		 "{\"status\":\"unknown\",\"ready\":false,\"timestamp\":" STAMP
		 ",\"reason\":\"starting\",\"group\":\"shop\"}"},
		{"ready", "group=none", 404, "", "no such group: \"none\"; the config has: payments, shop"},
	};
	begin();
	fresh.group = "payments";
	database.group = "shop";
	world.snapshot.groups = list;
	world.snapshot.group_count = 2;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world.config.ready_follows_self = i % 2 == 1; /* which a group does not follow */
		struct skymon_request *rq =
			run(cases[i].route, (struct skymon_request){.query = cases[i].query});
		CU_ASSERT_EQUAL(rq->code, cases[i].code);
		UNIT_TEXT(rq->headers, cases[i].headers);
		UNIT_TEXT(rq->body, cases[i].body);
	}
	struct skymon_request *rq = RUN("component", .component = "database");
	CU_ASSERT_PTR_NOT_NULL(strstr(rq->body, ",\"group\":\"shop\""));
	begin();
	rq = RUN("health", .query = "group=payments");
	CU_ASSERT_EQUAL(rq->code, 404);
	UNIT_TEXT(rq->body, "no such group: \"payments\"; no component of the config has a group");
}

int main(void)
{
	return unit_run("api_groups", (const struct unit_test[]){{"groups", groups}, {NULL, NULL}});
}
