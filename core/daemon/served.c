/* SPDX-License-Identifier: Apache-2.0 */
#include "served.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/nearest.h"

/* The code of a plugin, opened once and kept: it is never unloaded. Counted by the instances that use it. */
struct opened {
	char *name;
	struct skymon_plugin plugin;
	struct skymon *sm;
	void *shared;
	bool builtin; /* its descriptor is static; else a copy that plugin_close frees */
	unsigned references;
};

/* One section of `plugins` (or the api): a state with its options. Counted: a reload that leaves it alone
 * takes it over. */
struct instance {
	char *name;
	const struct skymon_plugin *builtin; /* the api; else NULL */
	struct skymon_route *away;           /* of a plugin in a worker: copies of its routes; else NULL */
	size_t forward_count;
	const char *path;
	int copy;  /* of the file, pool's */
	char *why; /* it cannot be used; NULL: it can */
	struct option_values *values;
	struct opened *opened;
	void *state;
	bool started;
	unsigned references;
};

struct serve {
	struct instance **instances;
	size_t count;
	struct route_table *routes;
};

static void close_opened(struct opened *opened)
{
	if (opened == NULL || --opened->references > 0)
		return;
	if (opened->plugin.unload != NULL)
		opened->plugin.unload(opened->sm, opened->shared);
	if (!opened->builtin)
		plugin_close(&opened->plugin);
	free(opened->shared);
	free(opened->name);
	free(opened);
}

static void free_instance(struct instance *instance)
{
	if (--instance->references > 0)
		return;
	if (instance->started && instance->opened->plugin.stop != NULL)
		instance->opened->plugin.stop(instance->opened->sm, instance->state);
	close_opened(instance->opened);
	if (instance->values != NULL)
		option_values_free(instance->values);
	free(instance->away);
	free(instance->why);
	free(instance->state);
	free(instance->name);
	free(instance);
}

static struct instance *add_instance(struct serve *serve, const char *name)
{
	struct instance *instance = x_alloc(sizeof(*instance));
	instance->name = x_strdup(name);
	instance->references = 1;
	serve->instances = x_realloc(serve->instances, (serve->count + 1) * sizeof(struct instance *));
	serve->instances[serve->count++] = instance;
	return instance;
}

/* ---- The plan: judged by what the hellos say ---- */

static void plan_routes(struct route_table *table, const struct skymon_route *routes, size_t count,
			const char *plugin, const struct settings_section *section, struct err_list *errs)
{
	for (size_t i = 0; i < count; i++) {
		struct route_entry entry = {.route = &routes[i], .plugin = plugin};
		struct err err;
		if (!route_add(table, &entry, &err))
			config_error_key(errs, section != NULL ? section->place : NULL, "%s", err.text);
	}
}

/* Its routes are handed over to its worker, but for its health, which is told from the board. */
static void plan_away(struct instance *instance, const struct plugin_info *info)
{
	instance->forward_count = info->route_count;
	instance->away = x_alloc(info->route_count * sizeof(*instance->away));
	for (size_t i = 0; i < info->route_count; i++) {
		instance->away[i] = info->routes[i];
		if (info->routes[i].flags & SKYMON_ROUTE_HEALTH)
			instance->away[i].handle = api_handle_served;
	}
}

static void plan_section(struct serve *serve, struct route_table *table, const struct settings *settings,
			 const struct settings_section *section, const struct serve_lookup *plugins,
			 config_lookup *lookup, struct err_list *errs)
{
	const char *why;
	const struct plugin_info *info = plugins->info(plugins->arg, section->plugin, &why);
	if (info == NULL) {
		add_instance(serve, section->name)->why =
			x_printf("plugin %s cannot be used: %s", section->plugin, why);
		return;
	}
	if (info->route_count == 0) {
		config_error_key(errs, section->place,
				 "plugin %s has no routes that the daemon could serve; its checks go under "
				 "`components`",
				 section->plugin);
		return;
	}
	char what[128];
	snprintf(what, sizeof(what), "plugin %s", section->name);
	struct instance *instance = add_instance(serve, section->name);
	plan_routes(table, info->routes, info->route_count, section->name, section, errs);
	if ((info->flags & SKYMON_IN_DAEMON) == 0) { /* its options are its component's */
		plan_away(instance, info);
		return;
	}
	instance->path = plugins->path(plugins->arg, section->plugin, &instance->copy);
	struct option_binding binding = {
		.table = info->options,
		.section = section->node,
		.defaults = config_value(settings->defaults, section->plugin),
		.what = what,
		.lookup = lookup,
	};
	instance->values = option_bind(&binding, errs);
}

/* Names in `routes` of a listener and in `public` of access are those of routes or of plugins. While a plugin
 * cannot be used, its routes' names are not known. */
static void judge_names(const struct serve *serve, const struct route_table *table, char *const *names,
			size_t count, const char *where, struct err_list *errs)
{
	size_t known_count = 0;
	for (size_t i = 0; i < serve->count; i++)
		if (serve->instances[i]->why != NULL)
			return;
	const char **known = x_alloc((2 * route_count(table) + 1) * sizeof(*known));
	for (size_t i = 0; i < route_count(table); i++) {
		known[known_count++] = route_at(table, i)->route->name;
		known[known_count++] = route_at(table, i)->plugin;
	}
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;
		while (at < known_count && strcmp(known[at], names[i]) != 0)
			at++;
		const char *nearest = nearest_word(names[i], known, known_count);
		if (at == known_count)
			err_add(errs, "%s: no route and no plugin is called `%s`%s%s%s", where, names[i],
				nearest != NULL ? " (did you mean `" : "", nearest != NULL ? nearest : "",
				nearest != NULL ? "`?)" : "");
	}
	free(known);
}

static void judge_settings(const struct serve *serve, const struct route_table *table,
			   const struct settings *settings, struct err_list *errs)
{
	judge_names(serve, table, settings->public_routes, settings->public_count, "access.public", errs);
	for (size_t i = 0; i < settings->listen_count; i++) {
		char where[160];
		snprintf(where, sizeof(where), "listen %s", settings->listens[i].text);
		judge_names(serve, table, settings->listens[i].routes, settings->listens[i].route_count,
			    where, errs);
	}
}

struct serve *serve_plan(const struct settings *settings, const struct serve_lookup *plugins,
			 config_lookup *lookup, struct err_list *errs)
{
	size_t errors = errs->count;
	struct serve *serve = x_alloc(sizeof(*serve));
	struct route_table *table = route_table_new();
	add_instance(serve, "api")->builtin = &api_plugin;
	for (size_t i = 0; api_plugin.routes[i] != NULL; i++)
		plan_routes(table, api_plugin.routes[i], 1, "api", NULL, errs);
	for (size_t i = 0; i < settings->plugin_count; i++)
		plan_section(serve, table, settings, &settings->plugins[i], plugins, lookup, errs);
	judge_settings(serve, table, settings, errs);
	route_table_unref(table);
	if (errs->count == errors)
		return serve;
	serve_free(serve);
	return NULL;
}

/* ---- The start ---- */

static struct instance *find_instance(struct serve *serve, const char *name)
{
	for (size_t i = 0; serve != NULL && i < serve->count; i++)
		if (strcmp(serve->instances[i]->name, name) == 0)
			return serve->instances[i];
	return NULL;
}

static struct opened *open_plugin(const struct instance *instance, struct host *host, struct err *err)
{
	struct opened *opened = x_alloc(sizeof(*opened));
	opened->references = 1;
	opened->name = x_strdup(instance->name);
	opened->builtin = instance->builtin != NULL;
	if (opened->builtin) {
		opened->plugin = *instance->builtin;
	} else if (!plugin_open(instance->path, instance->copy, &opened->plugin, err)) {
		free(opened->name);
		free(opened);
		return NULL;
	}
	opened->sm = host_handle(host, opened->name);
	opened->shared = x_alloc(opened->plugin.shared_size);
	if (opened->plugin.load != NULL && !opened->plugin.load(opened->sm, opened->shared)) {
		err_set(err, "plugin %s failed to load; its log says why", instance->name);
		opened->plugin.unload = NULL;
		close_opened(opened);
		return NULL;
	}
	return opened;
}

static bool start_instance(struct instance *instance, const struct instance *before, struct host *host,
			   struct err *err)
{
	if (before != NULL) {
		instance->opened = before->opened;
		instance->opened->references++;
	} else {
		instance->opened = open_plugin(instance, host, err);
	}
	if (instance->opened == NULL)
		return false;
	const struct skymon_plugin *plugin = &instance->opened->plugin;
	instance->state = x_alloc(plugin->state_size);
	if (instance->values != NULL && plugin->options != NULL &&
	    !option_store(instance->values, plugin->options, plugin->option_size, instance->state, err))
		return false;
	if (plugin->start != NULL && !plugin->start(instance->opened->sm, instance->state))
		return err_set(err, "plugin %s failed to start; its log says why", instance->name);
	instance->started = true;
	return true;
}

static bool same_options(const struct instance *a, const struct instance *b)
{
	if (a->values == NULL || b->values == NULL)
		return a->values == b->values;
	return option_values_equal(a->values, b->values);
}

static bool add_away_routes(struct serve *serve, const struct instance *instance, struct err *err)
{
	for (size_t i = 0; i < instance->forward_count; i++) {
		struct route_entry entry = {
			.route = &instance->away[i],
			.sm = serve->instances[0]->opened->sm, /* the api's */
			.state = instance->name,
			.plugin = instance->name,
			.forwarded = instance->away[i].handle == NULL,
			.number = (uint32_t)i,
		};
		if (!route_add(serve->routes, &entry, err))
			return false;
	}
	return true;
}

static bool add_routes(struct serve *serve, const struct instance *instance, struct err *err)
{
	const struct skymon_plugin *plugin = &instance->opened->plugin;
	for (size_t i = 0; plugin->routes != NULL && plugin->routes[i] != NULL; i++) {
		struct route_entry entry = {
			.route = plugin->routes[i],
			.sm = instance->opened->sm,
			.state = instance->state,
			.plugin = instance->opened->name,
		};
		if (!route_add(serve->routes, &entry, err))
			return false;
	}
	return true;
}

/* Its routes are not known, or cannot be answered: paths that no other has may be its. */
static void miss_routes(struct serve *serve, const struct instance *instance)
{
	route_table_set_missing(serve->routes, instance->why);
}

bool serve_start(struct serve *serve, struct serve *before, struct host *host, bool lenient, struct err *err)
{
	serve->routes = route_table_new();
	for (size_t i = 0; i < serve->count; i++) {
		struct instance *instance = serve->instances[i];
		struct instance *old = find_instance(before, instance->name);
		if (instance->why != NULL) {
			miss_routes(serve, instance);
			continue;
		}
		if (old != NULL && old->why != NULL)
			old = NULL;
		if (instance->away != NULL) {
			if (!add_away_routes(serve, instance, err))
				return false;
			continue;
		}
		if (old != NULL && same_options(old, instance)) {
			free_instance(instance);
			serve->instances[i] = instance = old;
			old->references++;
		} else if (!start_instance(instance, old, host, err)) {
			if (!lenient)
				return false;
			log_error("%s", err->text);
			instance->why = x_strdup(err->text);
			miss_routes(serve, instance);
			continue;
		}
		if (!add_routes(serve, instance, err))
			return false;
	}
	return true;
}

struct route_table *serve_routes(const struct serve *serve)
{
	return serve->routes;
}

void serve_print(const struct serve *serve, struct buf *out)
{
	if (serve->count > 1) /* the api is always there, and in no config */
		buf_text(out, "plugins:\n");
	for (size_t i = 0; i < serve->count; i++) {
		const struct instance *instance = serve->instances[i];
		if (instance->values == NULL)
			continue;
		buf_printf(out, "  %s:\n", instance->name);
		option_values_print(instance->values, 4, out);
	}
}

void serve_free(struct serve *serve)
{
	if (serve == NULL)
		return;
	for (size_t i = 0; i < serve->count; i++)
		free_instance(serve->instances[i]);
	if (serve->routes != NULL)
		route_table_unref(serve->routes);
	free(serve->instances);
	free(serve);
}
