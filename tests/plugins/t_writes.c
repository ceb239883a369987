/* SPDX-License-Identifier: Apache-2.0 */
/* Routes that write, without a word about a guard, and with the word that there is none. */
#include <skymon/routes.h>

static void answer(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_problem(sm, rq, 418, "written");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "here");
}

#define ROUTE(method, path, name, flags)                                                                     \
	(&(const struct skymon_route){sizeof(struct skymon_route), method, path, name, "writes", answer,     \
				      flags})
static const struct skymon_route *const routes[] = {
	ROUTE("GET", "/t/writes", "writes", 0),
	ROUTE("POST", "/t/writes", "writes", SKYMON_ROUTE_ANY_BODY),
	ROUTE("PUT", "/t/writes", "writes", SKYMON_ROUTE_ANY_BODY),
	ROUTE("DELETE", "/t/writes", "writes", 0),
	ROUTE("POST", "/t/open", "open", SKYMON_ROUTE_ANY_BODY | SKYMON_ROUTE_OPEN),
	NULL};
SKYMON_PLUGIN(t_writes, "1.0", "Writes", .check = check, .routes = routes);
