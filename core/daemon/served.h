/* SPDX-License-Identifier: Apache-2.0 */
/* serve: the plugins that run in the daemon (api, and those under `plugins` flagged SKYMON_IN_DAEMON):
 * opened, started with their options, their routes entered into a table. A set belongs to one config; a
 * reload makes a new one and frees the old when it is swapped. */
#ifndef SERVE_H
#define SERVE_H

#include "plugin_api.h"
#include "plugin/plugin.h"
#include "config/settings.h"

struct serve;

/* What pool knows of a plugin by its name: the hello, and the file. */
struct serve_lookup {
	const struct plugin_info *(*info)(void *arg, const char *name, const char **why);
	const char *(*path)(void *arg, const char *name, int *copy); /* as plugin_open takes them */
	void *arg;
};

/* Binds the options of each section of `plugins` and builds the route table, from what the hellos say: opens
 * and starts nothing. Every error goes to errs; NULL when there was one. A plugin that cannot be used is no
 * error here: its routes are not known, so each path that no route has is answered 503 with the reason. */
struct serve *serve_plan(const struct settings *settings, const struct serve_lookup *plugins,
			 config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* Opens and starts them, handles from the host. What was running in `before` with the same options is taken
 * from there. false: err says which failed; nothing of `before` was touched. lenient: a plugin that fails is
 * logged, and its routes answer 503. */
bool serve_start(struct serve *serve, struct serve *before, struct host *host, bool lenient,
		 struct err *err) MUST_CHECK;
struct route_table *serve_routes(const struct serve *serve);
/* name, and options as YAML, of each. */
void serve_print(const struct serve *serve, struct buf *out);
void serve_free(struct serve *serve); /* stops what it started and nobody took over */

#endif
