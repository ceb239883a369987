/* SPDX-License-Identifier: Apache-2.0 */
/* api: health, component, ready, alive, status, the index and the sentence for Grafana's data source. A
 * plugin like any other (SKYMON_IN_DAEMON), only linked in: written against the public SDK alone. */
#ifndef API_H
#define API_H

#include <skymon/routes.h>

extern const struct skymon_plugin api_plugin;

/* Answers a route flagged SKYMON_ROUTE_HEALTH; state: the component's name (const char *). */
void api_handle_served(struct skymon *sm, void *state, struct skymon_request *rq);

#endif
