/* SPDX-License-Identifier: Apache-2.0 */
/* host: what plugins in the daemon (api, prometheus) see: fills struct skymon_host from http, board, settings
 * and the process. The only place that knows all of them. Owns the table, the handles and what skymon_self
 * and skymon_config_public point to. */
#ifndef HOST_H
#define HOST_H

#include "board/board.h"
#include "http/http.h"
#include "http/route.h"
#include "config/settings.h"

struct host;

struct host *host_new(struct loop *loop, struct http *http, struct board *board);
void host_free(struct host *host);
/* One handle for each route plugin; `name` is for its logs. Freed with the host. */
struct skymon *host_handle(struct host *host, const char *name);

/* Kept current by the owner of these facts (main, pool, reload). Nothing is copied: they live until replaced.
 */
void host_set_settings(struct host *host, const struct settings *settings);
void host_set_routes(struct host *host, struct route_table *table);
/* Asked at each skymon_self: workers come and go. (Changed by the lead: a function in place of an array.) */
typedef const struct skymon_plugin_state *const *host_plugins(void *arg, size_t *count);
void host_set_plugins(struct host *host, host_plugins *plugins, void *arg);
void host_set_phase(struct host *host, enum skymon_phase phase);
void host_set_reload(struct host *host, bool ok, int64_t time_ms);
void host_set_lag(struct host *host, double seconds); /* how late the newest check was started */

#endif
