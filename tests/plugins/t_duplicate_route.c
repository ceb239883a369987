/* SPDX-License-Identifier: Apache-2.0 */
/* Serves from the daemon a route that is the core's, and one that is t_routes'. */
#include <skymon/routes.h>

static void handle(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	skymon_reply(sm, rq, 200, "text/plain", "mine", 4);
}

static const struct skymon_route route = {.size = sizeof(route),
					  .method = "GET",
					  .path = "/api/v1/health",
					  .name = "mine",
					  .summary = "Somebody else's route",
					  .handle = handle};
static const struct skymon_route other = {.size = sizeof(other),
					  .method = "GET",
					  .path = "/t/open/{name}",
					  .name = "other",
					  .summary = "Somebody else's, in a worker",
					  .handle = handle};
static const struct skymon_route *const routes[] = {&route, &other, NULL};

SKYMON_PLUGIN(t_duplicate_route, "1.0", "Wants a route that is taken", .flags = SKYMON_IN_DAEMON,
	      .routes = routes);
