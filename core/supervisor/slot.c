/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HELLO_TIMEOUT_MS 5000

struct component *crew_find_named(const struct crew *crew, const char *name)
{
	for (struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		for (size_t i = 0; i < slot->count; i++)
			if (!slot->components[i]->gone && strcmp(slot->components[i]->spec->name, name) == 0)
				return slot->components[i];
	return NULL;
}

struct component *crew_find_component(const struct crew_slot *slot, uint32_t id)
{
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->id == id)
			return slot->components[i];
	return NULL;
}

/* One that a reload adds, and that names further files, gets another worker: those that did not change keep
 * theirs. */
struct crew_slot *crew_slot_shared(struct crew *crew, struct crew_plugin *plugin,
				   const struct component *component)
{
	for (struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next)
		if (slot->plugin == plugin && !slot->own && crew_sandbox_suits(slot, component))
			return slot;
	return crew_slot_new(crew, plugin, false);
}

void crew_slot_enter(struct crew_slot *slot, struct component *component)
{
	slot->components =
		x_grow(slot->components, &slot->capacity, slot->count + 1, sizeof(*slot->components));
	slot->components[slot->count++] = component;
	component->slot = slot;
	component->state = COMPONENT_DOWN;
}

void crew_slot_leave(struct component *component)
{
	struct crew_slot *slot = component->slot;
	size_t kept = 0;
	crew_secrets_drop(component);
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i] != component)
			slot->components[kept++] = slot->components[i];
	slot->count = kept;
	component->slot = NULL;
	component->state = COMPONENT_DOWN;
}

/* ---- What its worker may speak of ---- */

struct crew_claim *crew_claim_find(const struct crew_slot *slot, uint32_t id)
{
	for (size_t i = 0; i < slot->claim_count; i++)
		if (slot->claims[i].id == id)
			return &slot->claims[i];
	return NULL;
}

void crew_claim_add(struct crew_slot *slot, uint32_t id)
{
	slot->claims =
		x_grow(slot->claims, &slot->claim_capacity, slot->claim_count + 1, sizeof(*slot->claims));
	slot->claims[slot->claim_count++] = (struct crew_claim){.id = id};
}

void crew_claim_drop(struct crew_slot *slot, uint32_t id)
{
	struct crew_claim *claim = crew_claim_find(slot, id);
	if (claim != NULL)
		*claim = slot->claims[--slot->claim_count];
}

void crew_break(struct crew_slot *slot, const char *text)
{
	if (slot->worker != NULL)
		worker_break(slot->worker, text);
}

uint64_t crew_number(void)
{
	uint64_t number = 0;
	while (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number) || number == 0)
		;
	return number;
}

int64_t crew_back_off(int64_t back_off_ms)
{
	int64_t next = back_off_ms < CREW_BACK_OFF_MIN_MS ? CREW_BACK_OFF_MIN_MS : back_off_ms * 2;
	return next > CREW_BACK_OFF_MAX_MS ? CREW_BACK_OFF_MAX_MS : next;
}

/* A slot without worker and components is forgotten. */
void crew_slot_free(struct crew_slot *slot)
{
	struct crew *crew = slot->crew;
	struct crew_slot **link = &crew->slots;
	while (*link != slot)
		link = &(*link)->next;
	*link = slot->next;
	loop_clear_timer(crew->loop, &slot->restart);
	crew_secrets_lost(slot);
	if (slot->worker != NULL)
		worker_free(slot->worker);
	free(slot->components);
	free(slot->claims);
	sandbox_free(&slot->sandbox);
	free(slot);
	crew_forget_plugins(crew);
}

/* Nobody needs it: its worker leaves, or it goes at once when it has none. */
void crew_slot_retire(struct crew_slot *slot)
{
	if (slot->count > 0 || slot->validating > 0 || slot->crew->preparing > 0)
		return;
	slot->ending = true;
	if (slot->worker != NULL)
		worker_end(slot->worker, slot->crew->leave_ms);
	else
		crew_slot_free(slot);
}

/* It cannot even be opened any more (a new file in place of the old, no memory, …). */
void crew_fail_all(struct crew_slot *slot, const char *text)
{
	for (size_t i = 0; i < slot->count; i++) {
		slot->components[i]->state = COMPONENT_DOWN;
		crew_secrets_drop(slot->components[i]);
		crew_requests_fail(slot->components[i], text);
		slot->crew->events->unable(slot->crew->arg, slot->components[i], SKYMON_CRASHED, text);
	}
}

void crew_slot_plan_restart(struct crew_slot *slot, bool at_once)
{
	struct crew *crew = slot->crew;
	int64_t now = loop_now_ms(crew->loop);
	if (slot->up_since_ms > 0 && now - slot->up_since_ms > CREW_BACK_OFF_MAX_MS)
		slot->back_off_ms = 0;
	if (!at_once)
		slot->back_off_ms = crew_back_off(slot->back_off_ms);
	loop_set_timer(crew->loop, &slot->restart, now + (at_once ? 0 : slot->back_off_ms));
}

static void restart(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	crew_slot_spawn(container_of(timer, struct crew_slot, restart));
}

struct crew_slot *crew_slot_new(struct crew *crew, struct crew_plugin *plugin, bool own)
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

void crew_slot_renew(struct crew_slot *slot)
{
	slot->ending = true;
	worker_end(slot->worker, slot->crew->leave_ms);
}

void crew_slot_spawn(struct crew_slot *slot)
{
	struct crew *crew = slot->crew;
	if (slot->worker != NULL || crew->ending)
		return;
	crew_sandbox_make(slot);
	struct worker_spec spec = {
		.program = crew->program,
		.plugin_path = slot->plugin->path,
		.copy = slot->plugin->copy,
		.sandbox = &slot->sandbox,
		.name = slot->plugin->name,
		.memory_limit = crew->worker_memory,
		.hello_timeout_ms = HELLO_TIMEOUT_MS,
	};
	struct err err;
	slot->ending = false;
	slot->worker = worker_new(crew->loop, &spec, &crew_worker_events, slot, &err);
	if (slot->worker != NULL)
		return;
	log_line(LOG_LEVEL_ERROR, (const char *[]){"plugin", slot->plugin->name, NULL}, "%s", err.text);
	if (slot->plugin->info == NULL && slot->plugin->why == NULL) {
		slot->plugin->why = x_strdup(err.text);
		crew->preparing--;
		return;
	}
	crew_fail_all(slot, err.text);
	crew_slot_plan_restart(slot, false);
}
