/* SPDX-License-Identifier: Apache-2.0 */
/* A route of a component whose path names none. */
#include <skymon/routes.h>

static void answer(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_problem(sm, rq, 404, "never");
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never");
}

static const struct skymon_route route = {sizeof(route),         "POST", "/t/wrong", "wrong", "wrong", answer,
					  SKYMON_ROUTE_COMPONENT};
static const struct skymon_route *const routes[] = {&route, NULL};
SKYMON_PLUGIN(t_route_component, "1.0", "Wrong", .check = check, .routes = routes);
