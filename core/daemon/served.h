/* SPDX-License-Identifier: Apache-2.0 */
/* served: the plugins that run in the daemon (the api, and those of `plugins` flagged SKYMON_IN_DAEMON):
 * opens them, starts them with their options, and enters all routes into a table. A set belongs to one
 * config; a reload makes a new set, and frees the old one after the swap. */
#ifndef SERVED_H
#define SERVED_H

#include "plugin_api.h"
#include "plugin/plugin.h"
#include "config/settings.h"

struct served;

/* Looks up what the pool knows about a plugin: its hello and its file. */
struct served_lookup {
	const struct plugin_info *(*info)(void *arg, const char *name, const char **why);
	const char *(*path)(void *arg, const char *name, int *copy); /* for plugin_open() */
	void *arg;
};

/* Binds the options of each section of `plugins` and builds the route table from the hellos, without opening
 * or starting plugins. Adds every error to errs and returns NULL if there was one. A plugin that cannot be
 * used is not an error here: its routes are not known, so each path without a route is answered 503 with the
 * reason. */
struct served *served_plan(const struct settings *settings, const struct served_lookup *plugins,
			   config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* Opens and starts the plugins. Instances of `before` with the same options are taken from there. Returns
 * false, with err naming the plugin that failed and `before` untouched. lenient: a plugin that fails is
 * logged, and its routes answer 503. */
bool served_start(struct served *served, struct served *before, struct plugin_api *api, bool lenient,
		  struct err *err) MUST_CHECK;
struct route_table *served_routes(const struct served *served);
/* Prints the name and the options of each, as YAML. */
void served_print(const struct served *served, struct buf *out);
void served_free(struct served *served); /* stops the instances that no other set has taken */

#endif
