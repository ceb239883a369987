/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_api: the host of plugins in the daemon (api, prometheus): fills struct skymon_host from http, board,
 * settings and the process. Owns the table, the handles and the data behind skymon_self() and
 * skymon_config_public(). */
#ifndef PLUGIN_API_H
#define PLUGIN_API_H

#include "board/board.h"
#include "http/http.h"
#include "http/route.h"
#include "config/settings.h"

struct plugin_api;

struct plugin_api *plugin_api_new(struct loop *loop, struct http *http, struct board *board,
				  const char *config_path);
void plugin_api_free(struct plugin_api *api);
/* Returns a handle for one route plugin, freed with the plugin_api; `name` is for its log lines. */
struct skymon *plugin_api_handle(struct plugin_api *api, const char *name);

/* Set by daemon. Nothing is copied: each must live until it is replaced. */
void plugin_api_set_settings(struct plugin_api *api, const struct settings *settings);
void plugin_api_set_routes(struct plugin_api *api, struct route_table *table);
/* Called at each skymon_self(), since workers start and end. */
typedef const struct skymon_plugin_state *const *plugin_api_plugins(void *arg, size_t *count);
void plugin_api_set_plugins(struct plugin_api *api, plugin_api_plugins *plugins, void *arg);
void plugin_api_set_phase(struct plugin_api *api, enum skymon_phase phase);
/* The start or a reload has ended now. errors: of one that was refused, else NULL. */
void plugin_api_set_reload(struct plugin_api *api, const struct err_list *errors);
struct maintenance;
/* For the routes of maintenance; set before the first request. */
void plugin_api_set_maintenance(struct plugin_api *api, struct maintenance *maintenance);
struct maintenance *plugin_api_maintenance(struct skymon *sm);
void plugin_api_set_lag(struct plugin_api *api,
			double seconds); /* by how much the newest check was started late */

#endif
