/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one that is in force; while a config is judged, the one that is opened for it. */
struct crew_plugin *crew_find_plugin(const struct crew *crew, const char *name)
{
	struct crew_plugin *found = NULL;
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next)
		if (strcmp(plugin->name, name) == 0 && plugin->phase != PLUGIN_REPLACED &&
		    (found == NULL || plugin->phase == PLUGIN_CANDIDATE))
			found = plugin;
	return found;
}

struct crew *crew_new(struct loop *loop, const char *program, const struct crew_events *events, void *arg)
{
	struct crew *crew = x_alloc(sizeof(*crew));
	crew->loop = loop;
	crew->program = x_strdup(program);
	crew->state_dir = x_strdup("");
	crew->events = events;
	crew->arg = arg;
	crew->lookup = config_environment;
	crew->leave_ms = CREW_START_MS;
	return crew;
}

void crew_configure(struct crew *crew, const char *state_dir, int64_t worker_memory, uint32_t series_max,
		    config_lookup *lookup)
{
	if (state_dir != NULL) {
		free(crew->state_dir);
		crew->state_dir = x_strdup(state_dir);
	}
	crew->worker_memory = worker_memory;
	crew->series_max = series_max;
	crew->lookup = lookup;
}

static bool has_slot(const struct crew *crew, const struct crew_plugin *plugin)
{
	for (const struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin)
			return true;
	return false;
}

void crew_make_folders(struct crew *crew)
{
	crew->makes_folders = true;
}

void crew_set_isolation(struct crew *crew, bool strict)
{
	crew->strict = strict;
}

static void free_plugin(struct crew_plugin *plugin)
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

/* Its components die with it, and nobody needs to be told; but those that are gone already are nobody else's
 * to free. */
static void disband(struct crew_slot *slot)
{
	for (size_t i = 0; i < slot->count; i++) {
		crew_secrets_drop(slot->components[i]);
		if (slot->components[i]->gone)
			slot->crew->events->left(slot->crew->arg, slot->components[i]);
	}
	slot->count = 0;
}

void crew_free(struct crew *crew)
{
	crew_validate_end(crew);
	crew_requests_end(crew);
	while (crew->slots != NULL) {
		disband(crew->slots);
		crew_slot_free(crew->slots);
	}
	while (crew->plugins != NULL) {
		struct crew_plugin *next = crew->plugins->next;
		free_plugin(crew->plugins);
		crew->plugins = next;
	}
	free(crew->states);
	free(crew->program);
	free(crew->state_dir);
	free(crew);
}

void crew_tell_done(struct crew *crew)
{
	if (crew->done == NULL || crew->preparing > 0 || (crew->ending && crew->slots != NULL))
		return;
	crew_prepared *done = crew->done;
	crew->done = NULL;
	done(crew->done_arg);
}

static void open_plugin(struct crew *crew, const char *name, char *const *folders, size_t folder_count)
{
	struct crew_plugin *plugin = x_alloc(sizeof(*plugin));
	struct crew_plugin **last = &crew->plugins;
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
	crew->preparing++;
	crew_slot_spawn(crew_slot_new(crew, plugin, false));
}

/* Is it another file by now? Code that runs in the daemon stays until a restart. */
static bool has_changed(const struct crew_plugin *plugin, char *const *folders, size_t folder_count)
{
	struct err err;
	char *path = plugin_find(plugin->name, folders, folder_count, &err);
	bool same = path != NULL && plugin->path != NULL && strcmp(path, plugin->path) == 0 &&
		    plugin_file_same(path, &plugin->mark);
	free(path);
	if (!same && plugin->in_daemon)
		log_warn("the file of plugin %s has changed: that takes a restart", plugin->name);
	return !same && !plugin->in_daemon;
}

void crew_prepare(struct crew *crew, char *const *names, size_t count, char *const *folders,
		  size_t folder_count, crew_prepared *done, void *arg)
{
	crew->done = done;
	crew->done_arg = arg;
	crew_forget_plugins(crew); /* so that those that failed are tried again */
	crew->preparing++;         /* ours: so that nothing is told before all were begun */
	for (size_t i = 0; i < count; i++) {
		const struct crew_plugin *plugin = crew_find_plugin(crew, names[i]);
		if (plugin == NULL || has_changed(plugin, folders, folder_count))
			open_plugin(crew, names[i], folders, folder_count);
	}
	crew->preparing--;
	crew_tell_done(crew);
}

const struct plugin_info *crew_info(const struct crew *crew, const char *name, const char **why)
{
	const struct crew_plugin *plugin = crew_find_plugin(crew, name);
	if (plugin == NULL || plugin->info == NULL) {
		*why = plugin != NULL ? plugin->why : "it was not opened";
		return NULL;
	}
	return plugin->info;
}

const char *crew_plugin_path(const struct crew *crew, const char *name, int *copy)
{
	const struct crew_plugin *plugin = crew_find_plugin(crew, name);
	*copy = plugin != NULL ? plugin->copy : -1;
	return plugin != NULL ? plugin->path : NULL;
}

void crew_forget_plugins(struct crew *crew)
{
	for (struct crew_plugin **link = &crew->plugins; *link != NULL;) {
		struct crew_plugin *plugin = *link;
		bool useless = plugin->phase == PLUGIN_REPLACED ||
			       (plugin->phase == PLUGIN_IN_FORCE && plugin->why != NULL);
		if (!useless || has_slot(crew, plugin)) {
			link = &plugin->next;
			continue;
		}
		*link = plugin->next;
		free_plugin(plugin);
	}
}

/* The candidate takes the place of the one before. */
static void put_in_force(struct crew *crew, struct crew_plugin *candidate)
{
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next)
		if (plugin->phase == PLUGIN_IN_FORCE && strcmp(plugin->name, candidate->name) == 0) {
			plugin->phase = PLUGIN_REPLACED;
			candidate->restarts = plugin->restarts;
			log_info("the file of plugin %s has changed: its new code is taken (version %s)",
				 plugin->name, candidate->info != NULL ? candidate->info->version : "?");
		}
	candidate->phase = PLUGIN_IN_FORCE;
}

void crew_tidy(struct crew *crew, bool taken)
{
	crew_requests_tidy(crew);
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next) {
		if (plugin->phase != PLUGIN_CANDIDATE)
			continue;
		if (taken)
			put_in_force(crew, plugin);
		else
			plugin->phase = PLUGIN_REPLACED;
	}
	for (struct crew_slot *slot = crew->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		crew_slot_retire(slot);
	}
	crew_forget_plugins(crew);
}

/* ---- Components ---- */

void crew_add(struct crew *crew, struct component *component)
{
	struct crew_plugin *plugin = crew_find_plugin(crew, component->spec->plugin);
	component->retry.fire = crew_retry;
	bool own = component->spec->isolation_own || component->isolated;
	struct crew_slot *slot =
		own ? crew_slot_new(crew, plugin, true) : crew_slot_shared(crew, plugin, component);
	crew_slot_enter(slot, component);
	if (slot->up && !slot->ending && !crew_sandbox_fits(slot))
		crew_slot_renew(slot);
	else if (slot->up && !slot->ending)
		crew_start_component(component);
	else if (slot->worker == NULL && slot->restart.slot == 0)
		loop_set_timer(crew->loop, &slot->restart, loop_now_ms(crew->loop));
}

void crew_remove(struct crew *crew, struct component *component)
{
	struct crew_slot *slot = component->slot;
	component->gone = true;
	loop_clear_timer(crew->loop, &component->retry);
	if (slot != NULL && (component->state == COMPONENT_UP || component->state == COMPONENT_STARTING)) {
		int64_t patience_ms = CREW_START_MS;
		if (slot->plugin->info->route_count > 0) /* its handlers are waited for */
			patience_ms += EXCHANGE_MS + EXCHANGE_GRACE_MS;
		if (component->run !=
		    0) /* its grace is sched's matter; this is for a stop that hangs after it */
			patience_ms += CREW_BACK_OFF_MAX_MS + 3 * component->spec->timeout_ms;
		crew_secrets_drop(component);
		crew_tell_stop(component);
		loop_set_timer(crew->loop, &component->retry, loop_now_ms(crew->loop) + patience_ms);
		return; /* `left` comes with WIRE_STOPPED, or with the worker's death */
	}
	if (slot != NULL) {
		crew_slot_leave(component);
		crew_slot_retire(slot);
	}
	crew->events->left(crew->arg, component);
}

void crew_refresh(struct crew *crew, struct component *component, bool fresh)
{
	(void)crew;
	if (component->slot != NULL && component->state == COMPONENT_UP && component->secrets == NULL)
		crew_secrets_gather(component, true,
				    fresh); /* else it will be started with fresh ones anyway */
}

void crew_run(struct crew *crew, struct component *component, uint64_t run, int64_t timeout_ms)
{
	(void)crew;
	worker_run(component->slot->worker, component->id, run, (uint32_t)timeout_ms);
}

void crew_kill(struct crew *crew, struct component *component)
{
	(void)crew;
	char text[256];
	snprintf(text, sizeof(text), "ended: the check did not return within %lld ms%s%s",
		 (long long)(loop_now_ms(crew->loop) - component->run_began_ms),
		 component->step[0] != '\0' ? " while " : "", component->step);
	if (component->slot != NULL && component->slot->worker != NULL)
		worker_kill(component->slot->worker, WORKER_KILLED, component->id, text);
}

/* ---- For the exposition ---- */

void crew_set_daemon_plugin(struct crew *crew, const char *name)
{
	struct crew_plugin *plugin = crew_find_plugin(crew, name);
	if (plugin != NULL && plugin->info != NULL && (plugin->info->flags & SKYMON_IN_DAEMON) != 0)
		plugin->in_daemon = true;
}

static void fill_state(const struct crew *crew, struct crew_plugin *plugin)
{
	bool up = plugin->in_daemon, own = false, shared = false;
	for (const struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next) {
		if (slot->plugin != plugin)
			continue;
		up = up || slot->up;
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

const struct skymon_plugin_state *const *crew_plugin_states(struct crew *crew, size_t *count)
{
	size_t found = 0;
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next)
		found += plugin->info != NULL;
	crew->states = x_realloc(crew->states, (found + 1) * sizeof(struct skymon_plugin_state *));
	*count = 0;
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next) {
		if (plugin->info == NULL || plugin->phase != PLUGIN_IN_FORCE ||
		    (!plugin->in_daemon && !has_slot(crew, plugin)))
			continue;
		fill_state(crew, plugin);
		crew->states[(*count)++] = &plugin->state;
	}
	return crew->states;
}

bool crew_has_process(const struct crew *crew, pid_t pid)
{
	for (const struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		if (slot->worker != NULL && worker_pid(slot->worker) == pid)
			return true;
	return false;
}

void crew_end(struct crew *crew, int64_t patience_ms, crew_prepared *done, void *arg)
{
	crew->leave_ms = patience_ms;
	crew->ending = true;
	crew->preparing = 0;
	crew->done = done;
	crew->done_arg = arg;
	crew_validate_end(crew);
	crew_requests_end(crew);
	for (struct crew_slot *slot = crew->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		disband(slot);
		crew_slot_retire(slot);
	}
	crew_tell_done(crew);
}
