#include "crew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO_TIMEOUT_MS 5000
#define BACK_OFF_MIN_MS 1000
#define BACK_OFF_MAX_MS 30000

struct crew_plugin {
	struct crew_plugin *next;
	char *name, *path;
	struct plugin_info *info;
	char *why; /* why it could not be opened; NULL while it can */
	bool in_daemon;
	uint64_t restarts;
	struct skymon_plugin_state state;
};

struct crew_slot {
	struct crew_slot *next;
	struct crew *crew;
	struct crew_plugin *plugin;
	struct worker *worker; /* NULL: down */
	bool own;              /* for one component only */
	bool up;               /* it said hello */
	bool ending;           /* we asked it to leave */
	struct timer restart;
	int64_t back_off_ms, up_since_ms;
	struct component **components;
	size_t count, capacity;
};

struct crew {
	struct loop *loop;
	char *program, *state_dir;
	int64_t worker_memory;
	config_lookup *lookup;
	const struct crew_events *events;
	void *arg;
	struct crew_plugin *plugins;
	struct crew_slot *slots;
	uint32_t last_id;
	bool ending;
	size_t preparing; /* plugins that have not said hello yet */
	crew_prepared *done;
	void *done_arg;
	const struct skymon_plugin_state **states;
};

static void spawn(struct crew_slot *slot);
static void tell_done(struct crew *crew);

/* ---- Small things ---- */

static struct crew_plugin *find_plugin(const struct crew *crew, const char *name)
{
	for (struct crew_plugin *plugin = crew->plugins; plugin != NULL; plugin = plugin->next)
		if (strcmp(plugin->name, name) == 0)
			return plugin;
	return NULL;
}

static struct component *find_component(const struct crew_slot *slot, uint32_t id)
{
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->id == id)
			return slot->components[i];
	return NULL;
}

static struct crew_slot *new_slot(struct crew *crew, struct crew_plugin *plugin, bool own);

static struct crew_slot *shared_slot(struct crew *crew, struct crew_plugin *plugin)
{
	for (struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin && !slot->own)
			return slot;
	return new_slot(crew, plugin, false);
}

static void enter(struct crew_slot *slot, struct component *component)
{
	slot->components =
		x_grow(slot->components, &slot->capacity, slot->count + 1, sizeof(*slot->components));
	slot->components[slot->count++] = component;
	component->slot = slot;
	component->state = COMPONENT_DOWN;
}

static void leave(struct component *component)
{
	struct crew_slot *slot = component->slot;
	size_t kept = 0;
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i] != component)
			slot->components[kept++] = slot->components[i];
	slot->count = kept;
	component->slot = NULL;
	component->state = COMPONENT_DOWN;
}

static int64_t longer(int64_t back_off_ms)
{
	int64_t next = back_off_ms < BACK_OFF_MIN_MS ? BACK_OFF_MIN_MS : back_off_ms * 2;
	return next > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : next;
}

/* A slot without worker and components is forgotten. */
static void free_slot(struct crew_slot *slot)
{
	struct crew *crew = slot->crew;
	struct crew_slot **link = &crew->slots;
	while (*link != slot)
		link = &(*link)->next;
	*link = slot->next;
	loop_clear_timer(crew->loop, &slot->restart);
	free(slot->components);
	free(slot);
}

/* Nobody needs it: its worker leaves, or it goes at once when it has none. */
static void retire(struct crew_slot *slot)
{
	if (slot->count > 0 || slot->crew->preparing > 0)
		return;
	slot->ending = true;
	if (slot->worker != NULL)
		worker_end(slot->worker);
	else
		free_slot(slot);
}

/* ---- Starting a component in its worker ---- */

static void fail(struct component *component, enum skymon_reason reason, const char *text)
{
	struct crew *crew = component->slot->crew;
	component->state = COMPONENT_FAILED;
	component->retry_ms = longer(component->retry_ms);
	loop_set_timer(crew->loop, &component->retry, loop_now_ms(crew->loop) + component->retry_ms);
	crew->events->unable(crew->arg, component, reason, text);
}

static void start(struct component *component)
{
	struct crew_slot *slot = component->slot;
	struct crew *crew = slot->crew;
	loop_clear_timer(crew->loop, &component->retry);
	struct buf body = {0};
	struct err err;
	if (component_encode(component->spec, crew->state_dir, crew->lookup, &body, &err)) {
		component->id = ++crew->last_id;
		component->state = COMPONENT_STARTING;
		worker_start(slot->worker, component->id, &body);
	} else {
		fail(component, SKYMON_AUTH_FAILED, err.text);
	}
	component_wipe(&body);
}

static void retry(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct component *component = container_of(timer, struct component, retry);
	if (component->slot != NULL && component->slot->up && component->state == COMPONENT_FAILED)
		start(component);
}

/* ---- What workers tell ---- */

static void take_hello(void *arg, struct worker *worker, struct plugin_info *info, const char *why)
{
	struct crew_slot *slot = arg;
	struct crew_plugin *plugin = slot->plugin;
	struct crew *crew = slot->crew;
	(void)worker;
	bool first = plugin->info == NULL && plugin->why == NULL;
	if (info == NULL) {
		if (first)
			plugin->why = x_strdup(why);
		log_line(LOG_LEVEL_ERROR, (const char *[]){"plugin", plugin->name, NULL}, "%s", why);
	} else if (first) {
		plugin->info = info;
	} else {
		if (strcmp(info->build_id, plugin->info->build_id) != 0)
			log_warn("skymon was upgraded in place (worker %s, daemon %s): restart skymond",
				 info->build_id, plugin->info->build_id);
		plugin_info_free(info);
	}
	if (info != NULL) {
		slot->up = true;
		slot->up_since_ms = loop_now_ms(crew->loop);
		for (size_t i = 0; i < slot->count; i++)
			start(slot->components[i]);
	}
	if (first) {
		crew->preparing--;
		tell_done(crew);
	}
}

static void take_started(void *arg, struct worker *worker, uint32_t id, bool ok, enum skymon_reason reason,
			 const char *message)
{
	struct crew_slot *slot = arg;
	struct component *component = find_component(slot, id);
	(void)worker;
	if (component == NULL || component->state != COMPONENT_STARTING)
		return;
	if (!ok) {
		fail(component, reason, message);
		return;
	}
	component->state = COMPONENT_UP;
	component->retry_ms = 0;
	slot->crew->events->able(slot->crew->arg, component);
}

static void take_result(void *arg, struct worker *worker, uint32_t id, uint64_t run, struct result *result)
{
	struct crew_slot *slot = arg;
	struct component *component = find_component(slot, id);
	(void)worker;
	if (component == NULL) {
		result_unref(result);
		return;
	}
	if (slot->own)
		slot->back_off_ms = 0;
	slot->crew->events->result(slot->crew->arg, component, run, result);
}

static void take_refused(void *arg, struct worker *worker, uint32_t id)
{
	struct crew_slot *slot = arg;
	struct component *component = find_component(slot, id);
	(void)worker;
	if (component != NULL && !component->gone)
		slot->crew->events->refused(slot->crew->arg, component);
}

static void take_stopped(void *arg, struct worker *worker, uint32_t id)
{
	struct crew_slot *slot = arg;
	struct component *component = find_component(slot, id);
	(void)worker;
	if (component == NULL || !component->gone)
		return;
	leave(component);
	slot->crew->events->left(slot->crew->arg, component);
	retire(slot);
}

/* ---- A worker's death ---- */

/* From now on in a slot of its own. */
static void isolate(struct component *component, int64_t delay_ms)
{
	struct crew_slot *old = component->slot;
	struct crew *crew = old->crew;
	if (old->own)
		return;
	leave(component);
	component->isolated = true;
	struct crew_slot *slot = new_slot(crew, old->plugin, true);
	slot->back_off_ms = delay_ms;
	enter(slot, component);
	loop_set_timer(crew->loop, &slot->restart, loop_now_ms(crew->loop) + delay_ms);
}

static bool is_suspect(const struct component *component, const struct worker_end *end)
{
	if (end->culprit != 0)
		return component->id == end->culprit || (end->cause == WORKER_KILLED && component->expired);
	return component->run != 0;
}

static size_t count_suspects(const struct crew_slot *slot, const struct worker_end *end)
{
	size_t suspects = 0;
	for (size_t i = 0; i < slot->count; i++)
		suspects += is_suspect(slot->components[i], end);
	return suspects;
}

static void bury(struct crew_slot *slot, struct component *component, const struct worker_end *end,
		 bool guilty)
{
	struct crew *crew = slot->crew;
	enum skymon_reason reason = end->cause == WORKER_KILLED ? SKYMON_KILLED : SKYMON_CRASHED;
	bool suspect = is_suspect(component, end);
	bool running = component->run != 0, named = component->id == end->culprit;
	component->state = COMPONENT_DOWN;
	if (component->gone) {
		leave(component);
		crew->events->left(crew->arg, component);
		return;
	}
	if (suspect)
		isolate(component, guilty ? BACK_OFF_MIN_MS : 0);
	if (suspect && guilty && (end->culprit == 0 || named))
		crew->events->unable(crew->arg, component, reason, end->text);
	else if (running)
		crew->events->cut_off(crew->arg, component);
}

/* Everybody who was in it learns it; who may have done it moves out. Several suspects without a name: each
 * goes on alone, so that the next death has one name. Returns whether the culprit is known and out. */
static bool bury_all(struct crew_slot *slot, const struct worker_end *end)
{
	size_t count = slot->count, suspects = count_suspects(slot, end);
	bool guilty = end->culprit != 0 || suspects == 1;
	struct component **components = x_alloc((count + 1) * sizeof(*components));
	if (count > 0)
		memcpy(components, slot->components, count * sizeof(*components));
	for (size_t i = 0; i < count; i++)
		bury(slot, components[i], end, guilty);
	free(components);
	return suspects > 0 && !slot->own;
}

/* It cannot even be opened any more (a new file in place of the old, no memory, …). */
static void fail_all(struct crew_slot *slot, const char *text)
{
	for (size_t i = 0; i < slot->count; i++) {
		slot->components[i]->state = COMPONENT_DOWN;
		slot->crew->events->unable(slot->crew->arg, slot->components[i], SKYMON_CRASHED, text);
	}
}

static void plan_restart(struct crew_slot *slot, bool at_once)
{
	struct crew *crew = slot->crew;
	int64_t now = loop_now_ms(crew->loop);
	if (slot->up_since_ms > 0 && now - slot->up_since_ms > BACK_OFF_MAX_MS)
		slot->back_off_ms = 0;
	if (!at_once)
		slot->back_off_ms = longer(slot->back_off_ms);
	loop_set_timer(crew->loop, &slot->restart, now + (at_once ? 0 : slot->back_off_ms));
}

static void log_end(const struct crew_slot *slot, const struct worker_end *end)
{
	const struct component *culprit = find_component(slot, end->culprit);
	log_line(LOG_LEVEL_ERROR,
		 (const char *[]){"plugin", slot->plugin->name, culprit != NULL ? "component" : NULL,
				  culprit != NULL ? culprit->spec->name : NULL, NULL},
		 "worker %s", end->text);
}

static void take_end(void *arg, struct worker *worker, const struct worker_end *end)
{
	struct crew_slot *slot = arg;
	struct crew *crew = slot->crew;
	struct crew_plugin *plugin = slot->plugin;
	(void)worker;
	slot->worker = NULL;
	bool was_up = slot->up, at_once = false;
	slot->up = false;
	if (end->cause != WORKER_ENDED && plugin->info != NULL && plugin->why == NULL) {
		log_end(slot, end);
		plugin->restarts++;
	}
	if (plugin->info == NULL && plugin->why == NULL) {
		plugin->why = x_printf("its worker %s", end->text);
		crew->preparing--;
	}
	if (end->cause == WORKER_ENDED)
		at_once = bury_all(slot, &(struct worker_end){.cause = WORKER_ENDED, .culprit = UINT32_MAX});
	else if (was_up)
		at_once = bury_all(slot, end);
	else
		fail_all(slot, end->text);
	if (slot->count == 0)
		free_slot(slot);
	else
		plan_restart(slot, at_once || slot->ending);
	tell_done(crew);
}

static const struct worker_events worker_events = {
	.hello = take_hello,
	.started = take_started,
	.result = take_result,
	.refused = take_refused,
	.stopped = take_stopped,
	.ended = take_end,
};

/* ---- Slots ---- */

static void restart(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	spawn(container_of(timer, struct crew_slot, restart));
}

static struct crew_slot *new_slot(struct crew *crew, struct crew_plugin *plugin, bool own)
{
	struct crew_slot *slot = x_alloc(sizeof(*slot));
	slot->crew = crew;
	slot->plugin = plugin;
	slot->own = own;
	slot->restart.fire = restart;
	slot->next = crew->slots;
	crew->slots = slot;
	return slot;
}

static void spawn(struct crew_slot *slot)
{
	struct crew *crew = slot->crew;
	if (slot->worker != NULL || crew->ending)
		return;
	struct worker_spec spec = {
		.program = crew->program,
		.plugin_path = slot->plugin->path,
		.name = slot->plugin->name,
		.memory_limit = crew->worker_memory,
		.hello_timeout_ms = HELLO_TIMEOUT_MS,
	};
	struct err err;
	slot->ending = false;
	slot->worker = worker_new(crew->loop, &spec, &worker_events, slot, &err);
	if (slot->worker != NULL)
		return;
	log_line(LOG_LEVEL_ERROR, (const char *[]){"plugin", slot->plugin->name, NULL}, "%s", err.text);
	if (slot->plugin->info == NULL && slot->plugin->why == NULL) {
		slot->plugin->why = x_strdup(err.text);
		crew->preparing--;
		return;
	}
	fail_all(slot, err.text);
	plan_restart(slot, false);
}

/* ---- The crew ---- */

struct crew *crew_new(struct loop *loop, const char *program, const struct crew_events *events, void *arg)
{
	struct crew *crew = x_alloc(sizeof(*crew));
	crew->loop = loop;
	crew->program = x_strdup(program);
	crew->state_dir = x_strdup("");
	crew->events = events;
	crew->arg = arg;
	crew->lookup = config_environment;
	return crew;
}

void crew_configure(struct crew *crew, const char *state_dir, int64_t worker_memory, config_lookup *lookup)
{
	free(crew->state_dir);
	crew->state_dir = x_strdup(state_dir);
	crew->worker_memory = worker_memory;
	crew->lookup = lookup;
}

static void free_plugin(struct crew_plugin *plugin)
{
	if (plugin->info != NULL)
		plugin_info_free(plugin->info);
	free(plugin->name);
	free(plugin->path);
	free(plugin->why);
	free(plugin);
}

void crew_free(struct crew *crew)
{
	while (crew->slots != NULL)
		free_slot(crew->slots);
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

static void tell_done(struct crew *crew)
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
	struct err err;
	plugin->path = plugin_find(name, folders, folder_count, &err);
	if (plugin->path == NULL || !plugin_file_check(plugin->path, &err)) {
		plugin->why = x_strdup(err.text);
		return;
	}
	crew->preparing++;
	spawn(new_slot(crew, plugin, false));
}

void crew_prepare(struct crew *crew, char *const *names, size_t count, char *const *folders,
		  size_t folder_count, crew_prepared *done, void *arg)
{
	crew->done = done;
	crew->done_arg = arg;
	crew->preparing++; /* ours: so that nothing is told before all were begun */
	for (size_t i = 0; i < count; i++)
		if (find_plugin(crew, names[i]) == NULL)
			open_plugin(crew, names[i], folders, folder_count);
	crew->preparing--;
	tell_done(crew);
}

const struct plugin_info *crew_info(const struct crew *crew, const char *name, const char **why)
{
	const struct crew_plugin *plugin = find_plugin(crew, name);
	if (plugin == NULL || plugin->info == NULL) {
		*why = plugin != NULL ? plugin->why : "it was not opened";
		return NULL;
	}
	return plugin->info;
}

const char *crew_plugin_path(const struct crew *crew, const char *name)
{
	const struct crew_plugin *plugin = find_plugin(crew, name);
	return plugin != NULL ? plugin->path : NULL;
}

static bool has_slot(const struct crew *crew, const struct crew_plugin *plugin)
{
	for (const struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin)
			return true;
	return false;
}

void crew_tidy(struct crew *crew)
{
	for (struct crew_slot *slot = crew->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		retire(slot);
	}
	for (struct crew_plugin **link = &crew->plugins; *link != NULL;) {
		struct crew_plugin *plugin = *link;
		if (plugin->why == NULL || has_slot(crew, plugin)) {
			link = &plugin->next;
			continue;
		}
		*link = plugin->next;
		free_plugin(plugin);
	}
}

/* ---- Components ---- */

void crew_add(struct crew *crew, struct component *component)
{
	struct crew_plugin *plugin = find_plugin(crew, component->spec->plugin);
	component->retry.fire = retry;
	bool own = component->spec->isolation_own || component->isolated;
	struct crew_slot *slot = own ? new_slot(crew, plugin, true) : shared_slot(crew, plugin);
	enter(slot, component);
	if (slot->up && !slot->ending)
		start(component);
	else if (slot->worker == NULL && slot->restart.slot == 0)
		loop_set_timer(crew->loop, &slot->restart, loop_now_ms(crew->loop));
}

void crew_remove(struct crew *crew, struct component *component)
{
	struct crew_slot *slot = component->slot;
	component->gone = true;
	loop_clear_timer(crew->loop, &component->retry);
	if (slot != NULL && slot->worker != NULL && component->state != COMPONENT_DOWN) {
		worker_stop(slot->worker, component->id);
		if (component->run != 0)
			return; /* `left` comes with WIRE_STOPPED, or with the worker's death */
	}
	if (slot != NULL) {
		leave(component);
		retire(slot);
	}
	crew->events->left(crew->arg, component);
}

void crew_refresh(struct crew *crew, struct component *component)
{
	(void)crew;
	if (component->slot == NULL || component->state != COMPONENT_UP)
		return; /* it will be started anyway */
	worker_stop(component->slot->worker, component->id);
	start(component);
}

void crew_run(struct crew *crew, struct component *component, uint64_t run, int64_t timeout_ms)
{
	(void)crew;
	worker_run(component->slot->worker, component->id, run, (uint32_t)timeout_ms);
}

void crew_kill(struct crew *crew, struct component *component)
{
	(void)crew;
	char text[128];
	snprintf(text, sizeof(text), "ended: the check did not return within %lld ms",
		 (long long)(loop_now_ms(crew->loop) - component->run_began_ms));
	if (component->slot != NULL && component->slot->worker != NULL)
		worker_kill(component->slot->worker, WORKER_KILLED, component->id, text);
}

/* ---- For the exposition ---- */

void crew_set_daemon_plugin(struct crew *crew, const char *name)
{
	struct crew_plugin *plugin = find_plugin(crew, name);
	if (plugin != NULL)
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
		if (plugin->info == NULL || (!plugin->in_daemon && !has_slot(crew, plugin)))
			continue;
		fill_state(crew, plugin);
		crew->states[(*count)++] = &plugin->state;
	}
	return crew->states;
}

/* Its components die with it, and nobody needs to be told; but those that are gone already are nobody else's
 * to free. */
static void disband(struct crew_slot *slot)
{
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->gone)
			slot->crew->events->left(slot->crew->arg, slot->components[i]);
	slot->count = 0;
}

void crew_end(struct crew *crew, crew_prepared *done, void *arg)
{
	crew->ending = true;
	crew->preparing = 0;
	crew->done = done;
	crew->done_arg = arg;
	for (struct crew_slot *slot = crew->slots, *next; slot != NULL; slot = next) {
		next = slot->next;
		disband(slot);
		retire(slot);
	}
	tell_done(crew);
}
