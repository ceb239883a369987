/* SPDX-License-Identifier: Apache-2.0 */
/* pool: the pool as a whole: its settings, the plugins that its workers have opened, its end. Called by the
 * daemon and its reload; owns the plugins. On the loop's thread. */
#include "pool_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Returns the plugin in force; while a config is validated, the one that was opened for it. */
struct pool_plugin *pool_find_plugin(const struct pool *pool, const char *name)
{
	struct pool_plugin *found = NULL;
	for (struct pool_plugin *plugin = pool->plugins; plugin != NULL; plugin = plugin->next)
		if (strcmp(plugin->name, name) == 0 && plugin->phase != PLUGIN_REPLACED &&
		    (found == NULL || plugin->phase == PLUGIN_CANDIDATE))
			found = plugin;
	return found;
}

struct pool *pool_new(struct loop *loop, const char *program, const struct pool_callbacks *callbacks)
{
	struct pool *pool = x_alloc(sizeof(*pool));
	pool->loop = loop;
	pool->program = x_strdup(program);
	pool->state_dir = x_strdup("");
	pool->callbacks = callbacks;
	pool->lookup = config_environment;
	pool->exit_timeout_ms = EXIT_TIMEOUT_MS;
	return pool;
}

void pool_configure(struct pool *pool, const char *state_dir, int64_t worker_memory, uint32_t series_max,
		    config_lookup *lookup)
{
	if (state_dir != NULL) {
		free(pool->state_dir);
		pool->state_dir = x_strdup(state_dir);
	}
	pool->worker_memory = worker_memory;
	pool->series_max = series_max;
	pool->lookup = lookup;
}

static bool has_slot(const struct pool *pool, const struct pool_plugin *plugin)
{
	for (const struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin)
			return true;
	return false;
}

void pool_make_folders(struct pool *pool)
{
	pool->makes_folders = true;
}

void pool_set_isolation(struct pool *pool, bool strict)
{
	for (struct slot *slot = pool->slots; strict && !pool->strict && slot != NULL; slot = slot->next)
		if (slot->process != NULL) /* it was started without that */
			slot_renew(slot);
	pool->strict = strict;
}

static void free_plugin(struct pool_plugin *plugin)
{
	if (plugin->info != NULL)
		plugin_info_free(plugin->info);
	free(plugin->name);
	if (plugin->copy >= 0)
		close(plugin->copy);
	free(plugin->path);
	free(plugin->why);
	free(plugin);
}

static void free_components(struct pool *pool)
{
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next) {
		for (size_t i = 0; i < slot->count; i++) {
			pool_secrets_drop(slot->components[i]);
			pool_free_component(slot->components[i]);
		}
		slot->count = 0;
	}
}

void pool_free(struct pool *pool)
{
	pool_validate_end(pool);
	pool_requests_end(pool);
	free_components(pool);
	while (pool->slots != NULL)
		slot_free(pool->slots);
	while (pool->plugins != NULL) {
		struct pool_plugin *next = pool->plugins->next;
		free_plugin(pool->plugins);
		pool->plugins = next;
	}
	free(pool->states);
	free(pool->program);
	free(pool->state_dir);
	free(pool);
}

uint64_t pool_number(struct pool *pool)
{
	uint64_t number = 0;
	while (number == 0) {
		if (pool->number_count == 0) {
			while (getrandom(pool->numbers, sizeof(pool->numbers), 0) !=
			       (ssize_t)sizeof(pool->numbers))
				;
			pool->number_count = sizeof(pool->numbers) / sizeof(pool->numbers[0]);
		}
		number = pool->numbers[--pool->number_count];
	}
	return number;
}

void pool_report_done(struct pool *pool)
{
	if (pool->done == NULL || pool->preparing > 0 || (pool->ending && pool->slots != NULL))
		return;
	pool_done *done = pool->done;
	pool->done = NULL;
	done(pool->done_arg);
}

static void open_plugin(struct pool *pool, const char *name, const char *const *folders, size_t folder_count)
{
	struct pool_plugin *plugin = x_alloc(sizeof(*plugin));
	struct pool_plugin **last = &pool->plugins;
	while (*last != NULL)
		last = &(*last)->next;
	*last = plugin;
	plugin->name = x_strdup(name);
	plugin->copy = -1;
	struct err err;
	plugin->path = plugin_find(name, folders, folder_count, &err);
	if (plugin->path != NULL)
		plugin->copy = plugin_file_open(plugin->path, &plugin->mark, &err);
	if (plugin->copy < 0) {
		plugin->why = x_strdup(err.text);
		return;
	}
	pool->preparing++;
	slot_spawn(slot_new(pool, plugin, false));
}

/* Has the file been replaced? Code that runs in the daemon stays until a restart. */
static bool has_changed(const struct pool_plugin *plugin, const char *const *folders, size_t folder_count)
{
	struct err err;
	char *path = plugin_find(plugin->name, folders, folder_count, &err);
	bool same = path != NULL && plugin->path != NULL && strcmp(path, plugin->path) == 0 &&
		    plugin_file_same(path, &plugin->mark);
	free(path);
	if (!same && plugin->in_daemon)
		log_warn("the file of plugin %s has changed: restart skymond to use it", plugin->name);
	return !same && !plugin->in_daemon;
}

void pool_prepare(struct pool *pool, char *const *names, size_t count, const char *const *folders,
		  size_t folder_count, pool_done *done, void *arg)
{
	pool->done = done;
	pool->done_arg = arg;
	pool_forget_plugins(pool); /* so that plugins that failed are retried */
	pool->preparing++;         /* one for this function, so that `done` waits for all */
	for (size_t i = 0; i < count; i++) {
		const struct pool_plugin *plugin = pool_find_plugin(pool, names[i]);
		if (plugin == NULL || has_changed(plugin, folders, folder_count))
			open_plugin(pool, names[i], folders, folder_count);
	}
	pool->preparing--;
	pool_report_done(pool);
}

const struct plugin_info *pool_info(const struct pool *pool, const char *name, const char **why)
{
	const struct pool_plugin *plugin = pool_find_plugin(pool, name);
	if (plugin == NULL || plugin->info == NULL) {
		*why = plugin != NULL ? plugin->why : "it was not opened";
		return NULL;
	}
	return plugin->info;
}

const char *pool_plugin_path(const struct pool *pool, const char *name, int *copy)
{
	const struct pool_plugin *plugin = pool_find_plugin(pool, name);
	*copy = plugin != NULL ? plugin->copy : -1;
	return plugin != NULL ? plugin->path : NULL;
}

void pool_forget_plugins(struct pool *pool)
{
	for (struct pool_plugin **link = &pool->plugins; *link != NULL;) {
		struct pool_plugin *plugin = *link;
		bool useless = plugin->phase == PLUGIN_REPLACED ||
			       (plugin->phase == PLUGIN_IN_FORCE && plugin->why != NULL);
		if (!useless || has_slot(pool, plugin)) {
			link = &plugin->next;
			continue;
		}
		*link = plugin->next;
		free_plugin(plugin);
	}
}

static void put_in_force(struct pool *pool, struct pool_plugin *candidate)
{
	for (struct pool_plugin *plugin = pool->plugins; plugin != NULL; plugin = plugin->next)
		if (plugin->phase == PLUGIN_IN_FORCE && strcmp(plugin->name, candidate->name) == 0) {
			plugin->phase = PLUGIN_REPLACED;
			candidate->restarts = plugin->restarts;
			log_info("the file of plugin %s has changed: its new code is used (version %s)",
				 plugin->name, candidate->info != NULL ? candidate->info->version : "?");
		}
	candidate->phase = PLUGIN_IN_FORCE;
}

void pool_tidy(struct pool *pool, bool taken)
{
	pool_requests_tidy(pool);
	for (struct pool_plugin *plugin = pool->plugins; plugin != NULL; plugin = plugin->next) {
		if (plugin->phase != PLUGIN_CANDIDATE)
			continue;
		if (taken)
			put_in_force(pool, plugin);
		else
			plugin->phase = PLUGIN_REPLACED;
	}
	for (struct slot *slot = pool->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		slot_retire(slot);
	}
	pool_forget_plugins(pool);
}

/* ---- States of plugins ---- */

void pool_set_daemon_plugin(struct pool *pool, const char *name)
{
	struct pool_plugin *plugin = pool_find_plugin(pool, name);
	if (plugin != NULL && plugin->info != NULL && (plugin->info->flags & SKYMON_IN_DAEMON) != 0)
		plugin->in_daemon = true;
}

static void fill_state(const struct pool *pool, struct pool_plugin *plugin)
{
	bool up = plugin->in_daemon, own = false, shared = false;
	for (const struct slot *slot = pool->slots; slot != NULL; slot = slot->next) {
		if (slot->plugin != plugin)
			continue;
		up = up || slot->up_since_ms > 0;
		own = own || slot->own;
		shared = shared || !slot->own;
	}
	plugin->state = (struct skymon_plugin_state){
		.size = sizeof(plugin->state),
		.name = plugin->name,
		.version = plugin->info->version,
		.isolation = plugin->in_daemon ? "daemon"
			     : own && !shared  ? "own"
					       : "shared",
		.abi_major = plugin->info->abi_major,
		.abi_minor = plugin->info->abi_minor,
		.up = up,
		.restarts_total = plugin->restarts,
	};
}

const struct skymon_plugin_state *const *pool_plugin_states(struct pool *pool, size_t *count)
{
	size_t found = 0;
	for (struct pool_plugin *plugin = pool->plugins; plugin != NULL; plugin = plugin->next)
		found += plugin->info != NULL;
	pool->states = x_realloc(pool->states, (found + 1) * sizeof(struct skymon_plugin_state *));
	*count = 0;
	for (struct pool_plugin *plugin = pool->plugins; plugin != NULL; plugin = plugin->next) {
		if (plugin->info == NULL || plugin->phase != PLUGIN_IN_FORCE ||
		    (!plugin->in_daemon && !has_slot(pool, plugin)))
			continue;
		fill_state(pool, plugin);
		pool->states[(*count)++] = &plugin->state;
	}
	return pool->states;
}

bool pool_has_process(const struct pool *pool, pid_t pid)
{
	for (const struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		if (slot->process != NULL && process_pid(slot->process) == pid)
			return true;
	return false;
}

void pool_end(struct pool *pool, int64_t timeout_ms, pool_done *done, void *arg)
{
	pool->exit_timeout_ms = timeout_ms;
	pool->ending = true;
	pool->preparing = 0;
	pool->done = done;
	pool->done_arg = arg;
	pool_validate_end(pool);
	pool_requests_end(pool);
	free_components(pool);
	for (struct slot *slot = pool->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		slot_retire(slot);
	}
	pool_report_done(pool);
}
