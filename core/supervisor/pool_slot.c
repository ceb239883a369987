/* SPDX-License-Identifier: Apache-2.0 */
/* slot: a place to run in: one worker of a plugin, or the plan to start the next one (pool_restart.c), with
 * its components and the ids that the worker was given. Called by the pool's other files; owns slots and
 * their processes. On the loop's thread. */
#include "pool_private.h"

#include <stdlib.h>
#include <string.h>

struct component *slot_find(const struct slot *slot, uint32_t id)
{
	const struct pool_claim *claim = slot_find_claim(slot, id);
	if (claim != NULL && claim->component != NULL && claim->component->id == id)
		return claim->component;
	for (size_t i = 0; id != 0 && i < slot->count; i++) /* 0: not started yet */
		if (slot->components[i]->id == id)
			return slot->components[i];
	return NULL;
}

/* A component that a reload adds, and that needs files which no running worker may reach, gets a new worker,
 * so that components that did not change keep theirs. */
struct slot *slot_shared(struct pool *pool, struct pool_plugin *plugin, const struct component_spec *spec)
{
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin && !slot->own && pool_sandbox_suits(slot, spec))
			return slot;
	return slot_new(pool, plugin, false);
}

void slot_enter(struct slot *slot, struct component *component)
{
	slot->components =
		x_grow(slot->components, &slot->capacity, slot->count + 1, sizeof(*slot->components));
	slot->components[slot->count++] = component;
	component->slot = slot;
	pool_enter_state(component, COMPONENT_DOWN, -1);
}

void slot_leave(struct component *component)
{
	struct slot *slot = component->slot;
	size_t kept = 0;
	struct pool_claim *claim = slot_find_claim(slot, component->id);
	if (claim != NULL && claim->component == component)
		claim->component = NULL;
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i] != component)
			slot->components[kept++] = slot->components[i];
	slot->count = kept;
	component->slot = NULL;
}

/* ---- Ids that its worker was given ---- */

struct pool_claim *slot_find_claim(const struct slot *slot, uint32_t id)
{
	size_t low = 0, high = slot->claim_count; /* they are in the order of their ids, which only grow */
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (slot->claims[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < slot->claim_count && slot->claims[low].id == id ? &slot->claims[low] : NULL;
}

void slot_claim(struct slot *slot, struct pool_claim claim)
{
	slot->claims =
		x_grow(slot->claims, &slot->claim_capacity, slot->claim_count + 1, sizeof(*slot->claims));
	slot->claims[slot->claim_count++] = claim;
}

void slot_drop_claim(struct slot *slot, uint32_t id)
{
	struct pool_claim *claim = slot_find_claim(slot, id);
	if (claim == NULL)
		return;
	const struct pool_claim *end = slot->claims + slot->claim_count--;
	memmove(claim, claim + 1, (size_t)(end - claim - 1) * sizeof(*claim));
}

void slot_break(struct slot *slot, const char *text)
{
	if (slot->process != NULL)
		process_break(slot->process, text);
}

void slot_free(struct slot *slot)
{
	struct pool *pool = slot->pool;
	struct slot **link = &pool->slots;
	while (*link != slot)
		link = &(*link)->next;
	*link = slot->next;
	loop_clear_timer(pool->loop, &slot->restart);
	pool_secrets_lost(slot, NULL);
	if (slot->process != NULL)
		process_free(slot->process);
	free(slot->components);
	free(slot->claims);
	sandbox_free(&slot->sandbox);
	free(slot);
	pool_forget_plugins(pool);
}

void slot_retire(struct slot *slot)
{
	if (slot->count > 0 || slot->validating > 0 || slot->pool->preparing > 0)
		return;
	slot->state = SLOT_ENDING;
	if (slot->process != NULL)
		process_end(slot->process, slot->pool->exit_timeout_ms);
	else
		slot_free(slot);
}

struct slot *slot_new(struct pool *pool, struct pool_plugin *plugin, bool own)
{
	struct slot *slot = x_alloc(sizeof(*slot));
	slot->pool = pool;
	slot->plugin = plugin;
	slot->own = own;
	slot->restart.fire = slot_on_restart;
	slot->next = pool->slots;
	pool->slots = slot;
	return slot;
}
