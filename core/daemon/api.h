/* SPDX-License-Identifier: Apache-2.0 */
/* api: health, component, ready, alive, status, the index, and the answer for a misconfigured Grafana data
 * source. A plugin (SKYMON_IN_DAEMON) that is linked in; it uses the public SDK alone. */
#ifndef API_H
#define API_H

#include <skymon/routes.h>

extern const struct skymon_plugin api_plugin;
/* POST /-/reload: a route of the api that the daemon answers when the reload has ended. */
extern const struct skymon_route api_reload_route;
/* Returns the route of a word of `aliases`, or NULL. */
const struct skymon_route *api_alias(const char *word);

/* Answers a route flagged SKYMON_ROUTE_HEALTH; state is the component's name (const char *). */
void api_handle_served(struct skymon *sm, void *state, struct skymon_request *rq);

#endif
