/* SPDX-License-Identifier: Apache-2.0 */
/* served: opens, starts and stops the plugins that run in the daemon, and builds the route table. Called by
 * plan and daemon, on the loop's thread; owns the instances. See served.h. */
#include "served.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/nearest.h"

/* A plugin's code, which is never unloaded, with a reference from each instance that uses it. */
struct opened {
	char *name;
	struct skymon_plugin plugin;
	struct skymon *sm;
	void *shared;
	bool builtin; /* its descriptor is static; otherwise plugin_close() frees it */
	unsigned references;
};

/* One section of `plugins` (or the api): a plugin's state with its options. Reference-counted: a reload that
 * does not change it keeps it. */
struct instance {
	char *name;
	const struct skymon_plugin *builtin; /* the api, or NULL */
	struct skymon_route *forwarded;      /* copies of the routes of a plugin in a worker, or NULL */
	size_t forward_count;
	const char *path;
	int copy;  /* descriptor of the file, owned by the pool */
	char *why; /* why it cannot be used; NULL if it can */
	struct option_values *values;
	struct opened *opened;
	void *state;
	bool started;
	unsigned references;
};

struct served {
	struct instance **instances;
	size_t count;
	const struct skymon_route **aliases; /* of the api's routes */
	size_t alias_count;
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
	free(instance->forwarded);
	free(instance->why);
	free(instance->state);
	free(instance->name);
	free(instance);
}

static struct instance *find_instance(struct served *served, const char *name)
{
	for (size_t i = 0; served != NULL && i < served->count; i++)
		if (strcmp(served->instances[i]->name, name) == 0)
			return served->instances[i];
	return NULL;
}

static struct instance *add_instance(struct served *served, const char *name)
{
	struct instance *instance = x_alloc(sizeof(*instance));
	instance->name = x_strdup(name);
	instance->references = 1;
	served->instances = x_realloc(served->instances, (served->count + 1) * sizeof(struct instance *));
	served->instances[served->count++] = instance;
	return instance;
}

/* ---- Planning, from the plugins' hellos ---- */

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

/* Its routes are forwarded to its worker, except its health, which is answered from the board. */
static void plan_forwarded(struct instance *instance, const struct plugin_info *info)
{
	instance->forward_count = info->route_count;
	instance->forwarded = x_alloc(info->route_count * sizeof(*instance->forwarded));
	for (size_t i = 0; i < info->route_count; i++) {
		instance->forwarded[i] = info->routes[i];
		if (info->routes[i].flags & SKYMON_ROUTE_HEALTH)
			instance->forwarded[i].handle = api_handle_served;
	}
}

static bool has_component_routes(const struct plugin_info *info)
{
	return info->route_count > 0 && (info->routes[0].flags & SKYMON_ROUTE_COMPONENT) != 0;
}

/* The routes of a plugin for `components` are there if at least one component has the plugin. */
static void plan_component(struct served *served, struct route_table *table,
			   const struct settings_section *section, const struct served_lookup *plugins,
			   struct err_list *errs)
{
	const char *why;
	if (section->plugin == NULL || section->serves || find_instance(served, section->plugin) != NULL)
		return;
	const struct plugin_info *info = plugins->info(plugins->arg, section->plugin, &why);
	if (info == NULL || !has_component_routes(info))
		return;
	plan_routes(table, info->routes, info->route_count, section->plugin, section, errs);
	plan_forwarded(add_instance(served, section->plugin), info);
}

static void plan_section(struct served *served, struct route_table *table, const struct settings *settings,
			 const struct settings_section *section, const struct served_lookup *plugins,
			 config_lookup *lookup, struct err_list *errs)
{
	const char *why;
	const struct plugin_info *info = plugins->info(plugins->arg, section->plugin, &why);
	if (info == NULL) {
		add_instance(served, section->name)->why =
			x_printf("plugin %s cannot be used: %s", section->plugin, why);
		return;
	}
	if (info->route_count == 0 || has_component_routes(info)) {
		config_error_key(errs, section->place,
				 "plugin %s has no routes that the daemon could serve by itself; its checks "
				 "go under `components`",
				 section->plugin);
		return;
	}
	char what[128];
	snprintf(what, sizeof(what), "plugin %s", section->name);
	struct instance *instance = add_instance(served, section->name);
	plan_routes(table, info->routes, info->route_count, section->name, section, errs);
	if ((info->flags & SKYMON_IN_DAEMON) == 0) { /* its component has the options */
		plan_forwarded(instance, info);
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

/* Checks that names in `routes` of a listener and in `public` of access are names of routes or plugins. The
 * routes of a plugin that cannot be used are not known. */
static void check_names(const struct served *served, const struct route_table *table,
			const struct skymon_texts *names, const struct config_node *place, const char *where,
			struct err_list *errs)
{
	size_t known_count = 0;
	for (size_t i = 0; i < served->count; i++)
		if (served->instances[i]->why != NULL)
			return;
	const char **known = x_alloc((2 * route_count(table) + 1) * sizeof(*known));
	for (size_t i = 0; i < route_count(table); i++) {
		known[known_count++] = route_at(table, i)->route->name;
		known[known_count++] = route_at(table, i)->plugin;
	}
	for (size_t i = 0; i < names->count; i++) {
		size_t at = 0;
		while (at < known_count && strcmp(known[at], names->items[i]) != 0)
			at++;
		const char *nearest = nearest_word(names->items[i], known, known_count);
		if (at == known_count)
			config_error(errs, place, "%s: no such route or plugin: `%s`%s%s%s", where,
				     names->items[i], nearest != NULL ? " (did you mean `" : "",
				     nearest != NULL ? nearest : "", nearest != NULL ? "`?)" : "");
	}
	free(known);
}

static void check_settings(const struct served *served, const struct route_table *table,
			   const struct settings *settings, struct err_list *errs)
{
	const struct config_node *access = config_value(settings->config.root, "access");
	check_names(served, table, &settings->access.public, config_value(access, "public"), "access.public",
		    errs);
	for (size_t i = 0; i < settings->listen_count; i++) {
		char where[160];
		snprintf(where, sizeof(where), "listen %s", settings->listens[i]->entry.address);
		check_names(served, table, &settings->listens[i]->entry.routes,
			    config_value(settings->listens[i]->place, "routes"), where, errs);
	}
}

static void plan_aliases(struct served *served, struct route_table *table, const struct settings *settings,
			 struct err_list *errs)
{
	const struct skymon_texts *words = &settings->places.aliases;
	const struct config_node *place = config_value(settings->config.root, "aliases");
	served->aliases = x_alloc((words->count + 1) * sizeof(*served->aliases));
	for (size_t i = 0; i < words->count; i++) {
		const struct skymon_route *route = api_alias(words->items[i]);
		struct err err;
		if (route == NULL)
			config_error(errs, place,
				     "aliases: no such alias: `%s` (there are healthz, livez, readyz)",
				     words->items[i]);
		else if (!route_add(table, &(struct route_entry){.route = route, .plugin = "api"}, &err))
			config_error(errs, place, "aliases: %s", err.text);
		else
			served->aliases[served->alias_count++] = route;
	}
}

struct served *served_plan(const struct settings *settings, const struct served_lookup *plugins,
			   config_lookup *lookup, struct err_list *errs)
{
	size_t errors = errs->met;
	struct served *served = x_alloc(sizeof(*served));
	struct route_table *table = route_table_new();
	add_instance(served, "api")->builtin = &api_plugin;
	for (size_t i = 0; api_plugin.routes[i] != NULL; i++)
		plan_routes(table, api_plugin.routes[i], 1, "api", NULL, errs);
	plan_aliases(served, table, settings, errs);
	for (size_t i = 0; i < settings->plugin_count; i++)
		plan_section(served, table, settings, &settings->plugins[i], plugins, lookup, errs);
	for (size_t i = 0; i < settings->component_count; i++)
		plan_component(served, table, &settings->components[i], plugins, errs);
	check_settings(served, table, settings, errs);
	route_table_unref(table);
	if (errs->met == errors)
		return served;
	served_free(served);
	return NULL;
}

/* ---- The start ---- */

static struct opened *open_plugin(const struct instance *instance, struct plugin_api *api, struct err *err)
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
	opened->sm = plugin_api_handle(api, opened->name);
	opened->shared = x_alloc(opened->plugin.shared_size);
	if (opened->plugin.load != NULL && !opened->plugin.load(opened->sm, opened->shared)) {
		err_set(err, "plugin %s failed to load; its log says why", instance->name);
		opened->plugin.unload = NULL;
		close_opened(opened);
		return NULL;
	}
	return opened;
}

static bool start_instance(struct instance *instance, const struct instance *before, struct plugin_api *api,
			   struct err *err)
{
	if (before != NULL) {
		instance->opened = before->opened;
		instance->opened->references++;
	} else {
		instance->opened = open_plugin(instance, api, err);
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

static bool add_forwarded_routes(struct served *served, const struct instance *instance, struct err *err)
{
	for (size_t i = 0; i < instance->forward_count; i++) {
		struct route_entry entry = {
			.route = &instance->forwarded[i],
			.sm = served->instances[0]->opened->sm, /* of the api */
			.state = instance->name,
			.plugin = instance->name,
			.forwarded = instance->forwarded[i].handle == NULL,
			.number = (uint32_t)i,
		};
		if (!route_add(served->routes, &entry, err))
			return false;
	}
	return true;
}

static bool add_routes(struct served *served, const struct instance *instance, struct err *err)
{
	const struct skymon_plugin *plugin = &instance->opened->plugin;
	for (size_t i = 0; plugin->routes != NULL && plugin->routes[i] != NULL; i++) {
		struct route_entry entry = {
			.route = plugin->routes[i],
			.sm = instance->opened->sm,
			.state = instance->state,
			.plugin = instance->opened->name,
			.forwarded = plugin->routes[i]->handle == NULL, /* api_reload_route */
		};
		if (!route_add(served->routes, &entry, err))
			return false;
	}
	return true;
}

static bool add_aliases(struct served *served, struct err *err)
{
	for (size_t i = 0; i < served->alias_count; i++)
		if (!route_add(served->routes,
			       &(struct route_entry){.route = served->aliases[i],
						     .sm = served->instances[0]->opened->sm, /* of the api */
						     .plugin = "api"},
			       err))
			return false;
	return true;
}

/* Its routes are not known, or cannot be answered: a path that no other plugin serves may be one of them. */
static void miss_routes(struct served *served, const struct instance *instance)
{
	route_table_set_missing(served->routes, instance->why);
}

bool served_start(struct served *served, struct served *before, struct plugin_api *api, bool lenient,
		  struct err *err)
{
	served->routes = route_table_new();
	for (size_t i = 0; i < served->count; i++) {
		struct instance *instance = served->instances[i];
		struct instance *old = find_instance(before, instance->name);
		if (instance->why != NULL) {
			miss_routes(served, instance);
			continue;
		}
		if (old != NULL && old->why != NULL)
			old = NULL;
		if (instance->forwarded != NULL) {
			if (!add_forwarded_routes(served, instance, err))
				return false;
			continue;
		}
		if (old != NULL && same_options(old, instance)) {
			free_instance(instance);
			served->instances[i] = instance = old;
			old->references++;
		} else if (!start_instance(instance, old, api, err)) {
			if (!lenient)
				return false;
			log_error("%s", err->text);
			instance->why = x_strdup(err->text);
			miss_routes(served, instance);
			continue;
		}
		if (!add_routes(served, instance, err))
			return false;
	}
	return add_aliases(served, err);
}

struct route_table *served_routes(const struct served *served)
{
	return served->routes;
}

void served_print(const struct served *served, struct buf *out)
{
	if (served->count > 1) /* the api is always there, and has no section */
		buf_text(out, "plugins:\n");
	for (size_t i = 0; i < served->count; i++) {
		const struct instance *instance = served->instances[i];
		if (instance->values == NULL)
			continue;
		buf_printf(out, "  %s:\n", instance->name);
		option_values_print(instance->values, 4, out);
	}
}

void served_free(struct served *served)
{
	if (served == NULL)
		return;
	for (size_t i = 0; i < served->count; i++)
		free_instance(served->instances[i]);
	if (served->routes != NULL)
		route_table_unref(served->routes);
	free(served->instances);
	free(served->aliases);
	free(served);
}
