/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HELLO_TIMEOUT_MS 5000

struct component *pool_find_named(const struct pool *pool, const char *name)
{
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		for (size_t i = 0; i < slot->count; i++)
			if (!slot->components[i]->gone && strcmp(slot->components[i]->spec->name, name) == 0)
				return slot->components[i];
	return NULL;
}

struct component *pool_find_component(const struct slot *slot, uint32_t id)
{
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->id == id)
			return slot->components[i];
	return NULL;
}

/* One that a reload adds, and that names further files, gets another worker: those that did not change keep
 * theirs. */
struct slot *slot_shared(struct pool *pool, struct pool_plugin *plugin, const struct component *component)
{
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin && !slot->own && pool_sandbox_suits(slot, component))
			return slot;
	return slot_new(pool, plugin, false);
}

void slot_enter(struct slot *slot, struct component *component)
{
	slot->components =
		x_grow(slot->components, &slot->capacity, slot->count + 1, sizeof(*slot->components));
	slot->components[slot->count++] = component;
	component->slot = slot;
	component->state = COMPONENT_DOWN;
}

void slot_leave(struct component *component)
{
	struct slot *slot = component->slot;
	size_t kept = 0;
	pool_secrets_drop(component);
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i] != component)
			slot->components[kept++] = slot->components[i];
	slot->count = kept;
	component->slot = NULL;
	component->state = COMPONENT_DOWN;
}

/* ---- What its worker may speak of ---- */

struct pool_claim *pool_claim_find(const struct slot *slot, uint32_t id)
{
	for (size_t i = 0; i < slot->claim_count; i++)
		if (slot->claims[i].id == id)
			return &slot->claims[i];
	return NULL;
}

void pool_claim_add(struct slot *slot, uint32_t id)
{
	slot->claims =
		x_grow(slot->claims, &slot->claim_capacity, slot->claim_count + 1, sizeof(*slot->claims));
	slot->claims[slot->claim_count++] = (struct pool_claim){.id = id};
}

void pool_claim_drop(struct slot *slot, uint32_t id)
{
	struct pool_claim *claim = pool_claim_find(slot, id);
	if (claim != NULL)
		*claim = slot->claims[--slot->claim_count];
}

void pool_break(struct slot *slot, const char *text)
{
	if (slot->process != NULL)
		process_break(slot->process, text);
}

uint64_t pool_number(void)
{
	uint64_t number = 0;
	while (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number) || number == 0)
		;
	return number;
}

int64_t pool_back_off(int64_t back_off_ms)
{
	int64_t next = back_off_ms < POOL_BACK_OFF_MIN_MS ? POOL_BACK_OFF_MIN_MS : back_off_ms * 2;
	return next > POOL_BACK_OFF_MAX_MS ? POOL_BACK_OFF_MAX_MS : next;
}

/* A slot without worker and components is forgotten. */
void slot_free(struct slot *slot)
{
	struct pool *pool = slot->pool;
	struct slot **link = &pool->slots;
	while (*link != slot)
		link = &(*link)->next;
	*link = slot->next;
	loop_clear_timer(pool->loop, &slot->restart);
	pool_secrets_lost(slot);
	if (slot->process != NULL)
		process_free(slot->process);
	free(slot->components);
	free(slot->claims);
	sandbox_free(&slot->sandbox);
	free(slot);
	pool_forget_plugins(pool);
}

/* Nobody needs it: its worker leaves, or it goes at once when it has none. */
void slot_retire(struct slot *slot)
{
	if (slot->count > 0 || slot->validating > 0 || slot->pool->preparing > 0)
		return;
	slot->ending = true;
	if (slot->process != NULL)
		process_end(slot->process, slot->pool->leave_ms);
	else
		slot_free(slot);
}

/* It cannot even be opened any more (a new file in place of the old, no memory, …). */
void pool_fail_all(struct slot *slot, const char *text)
{
	for (size_t i = 0; i < slot->count; i++) {
		slot->components[i]->state = COMPONENT_DOWN;
		pool_secrets_drop(slot->components[i]);
		pool_requests_fail(slot->components[i], text);
		slot->pool->events->unable(slot->pool->arg, slot->components[i], SKYMON_CRASHED, text);
	}
}

void slot_plan_restart(struct slot *slot, bool at_once)
{
	struct pool *pool = slot->pool;
	int64_t now = loop_now_ms(pool->loop);
	if (slot->up_since_ms > 0 && now - slot->up_since_ms > POOL_BACK_OFF_MAX_MS)
		slot->back_off_ms = 0;
	slot->up_since_ms = 0; /* a worker that dies before its hello was not up */
	if (!at_once)
		slot->back_off_ms = pool_back_off(slot->back_off_ms);
	loop_set_timer(pool->loop, &slot->restart, now + (at_once ? 0 : slot->back_off_ms));
}

static void restart(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	slot_spawn(container_of(timer, struct slot, restart));
}

struct slot *slot_new(struct pool *pool, struct pool_plugin *plugin, bool own)
{
	struct slot *slot = x_alloc(sizeof(*slot));
	slot->pool = pool;
	slot->plugin = plugin;
	slot->own = own;
	slot->restart.fire = restart;
	slot->next = pool->slots;
	pool->slots = slot;
	return slot;
}

void slot_renew(struct slot *slot)
{
	slot->ending = true;
	process_end(slot->process, slot->pool->leave_ms);
}

void slot_spawn(struct slot *slot)
{
	struct pool *pool = slot->pool;
	if (slot->process != NULL || pool->ending)
		return;
	pool_sandbox_make(slot);
	struct process_spec spec = {
		.program = pool->program,
		.plugin_path = slot->plugin->path,
		.copy = slot->plugin->copy,
		.sandbox = &slot->sandbox,
		.name = slot->plugin->name,
		.memory_limit = pool->worker_memory,
		.hello_timeout_ms = HELLO_TIMEOUT_MS,
	};
	struct err err;
	slot->ending = false;
	slot->process = process_new(pool->loop, &spec, &pool_process_events, slot, &err);
	if (slot->process != NULL)
		return;
	log_line(LOG_LEVEL_ERROR, (const char *[]){"plugin", slot->plugin->name, NULL}, "%s", err.text);
	if (slot->plugin->info == NULL && slot->plugin->why == NULL) {
		slot->plugin->why = x_strdup(err.text);
		pool->preparing--;
		return;
	}
	pool_fail_all(slot, err.text);
	slot_plan_restart(slot, false);
}
