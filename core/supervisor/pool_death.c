/* SPDX-License-Identifier: Apache-2.0 */
/* pool_death: a worker has died: finds the components that may have caused it, gives them slots of their own,
 * reports to all, and has the slot's next worker started. Called by process.c, on the loop's thread; owns
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "pool_private.h"

#define SUSPECTS_MAX 16 /* without a name, that get a worker of their own each */

/* From now on in a slot of its own. */
static void isolate(struct component *component, int64_t delay_ms)
{
	struct slot *old = component->slot;
	struct pool *pool = old->pool;
	if (old->own)
		return;
	slot_leave(component);
	component->isolated = true;
	struct slot *slot = slot_new(pool, old->plugin, true);
	slot->back_off_ms = delay_ms;
	slot_enter(slot, component);
	loop_set_timer(pool->loop, &slot->restart, loop_now_ms(pool->loop) + delay_ms);
}

static bool is_overdue(const struct component *component)
{
	return component->run != 0 && loop_now_ms(component->pool->loop) >= component->run_overdue_ms;
}

static bool is_suspect(const struct slot *slot, const struct component *component,
		       const struct process_end *end)
{
	if (end->culprit != 0)
		return component->id == end->culprit ||
		       (end->cause == PROCESS_KILLED && !end->alone && is_overdue(component));
	return component->run != 0 || pool_requests_out(slot, component->id);
}

static size_t count_suspects(const struct slot *slot, const struct process_end *end)
{
	size_t suspects = 0;
	for (size_t i = 0; i < slot->count; i++)
		suspects += is_suspect(slot, slot->components[i], end);
	return suspects;
}

static void report_death(struct slot *slot, struct component *component, const struct process_end *end,
			 bool guilty, bool moves)
{
	enum skymon_reason reason = end->cause == PROCESS_KILLED ? SKYMON_KILLED : SKYMON_CRASHED;
	bool suspect = is_suspect(slot, component, end);
	bool running = component->run != 0, named = component->id == end->culprit;
	if (component->check == NULL) {
		slot_leave(component);
		pool_free_component(component);
		return;
	}
	bool failed = suspect && guilty && (end->culprit == 0 || named);
	if (failed && !is_overdue(component)) /* it did not hang: this is something else */
		component->hangs = 0;
	component->run = 0;
	component->refresh = REFRESH_NONE; /* its secrets are read when it is started again */
	pool_secrets_drop(component);
	pool_enter_state(component, COMPONENT_DOWN, -1);
	if (suspect && moves)
		isolate(component, guilty ? BACK_OFF_MIN_MS : 0);
	if (failed)
		pool_report_failure(component, reason, end->text);
	else if (running)
		slot->pool->callbacks->cut_off(component->check);
}

/* Reports the death to every component of the worker, and gives the likely culprits a worker of their own.
 * Several suspects without a name: each goes on alone, so that the next death has one name; very many, as of a
 * plugin with thousands of runs on its loop, stay together, as a process for each would cost more than the
 * culprit does. Returns whether the culprit has moved out. */
static bool report_deaths(struct slot *slot, const struct process_end *end)
{
	size_t count = slot->count, suspects = count_suspects(slot, end);
	bool guilty = end->culprit != 0 || suspects == 1;
	bool moves = end->culprit != 0 || suspects <= SUSPECTS_MAX;
	struct component **components = x_alloc((count + 1) * sizeof(*components));
	if (count > 0)
		memcpy(components, slot->components, count * sizeof(*components));
	for (size_t i = 0; i < count; i++)
		report_death(slot, components[i], end, guilty, moves);
	free(components);
	return suspects > 0 && moves && !slot->own;
}

static void log_death(const struct slot *slot, const struct process_end *end)
{
	const struct component *culprit = slot_find(slot, end->culprit);
	bool repeated = culprit != NULL && culprit->hangs > 1; /* one line for a check that goes on hanging */
	log_line(repeated ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
		 (const char *[]){"plugin", slot->plugin->name, culprit != NULL ? "component" : NULL,
				  culprit != NULL ? culprit->spec->name : NULL, NULL},
		 "worker %s", end->text);
}

void pool_on_ended(void *arg, const struct process_end *end)
{
	/* Neither a component's number nor 0, which would make each of them a suspect. */
	static const struct process_end asked = {.cause = PROCESS_ENDED, .culprit = UINT32_MAX};
	struct slot *slot = arg;
	struct pool *pool = slot->pool;
	struct pool_plugin *plugin = slot->plugin;
	bool was_up = slot->up_since_ms > 0, renewed = slot->state == SLOT_ENDING, at_once = false;
	slot->process = NULL;
	slot->state = SLOT_DOWN;
	slot->claim_count = 0;
	if (end->cause != PROCESS_ENDED && plugin->info != NULL && plugin->why == NULL) {
		log_death(slot, end);
		plugin->restarts++;
	}
	if (plugin->info == NULL && plugin->why == NULL) {
		plugin->why = x_printf("its worker %s", end->text);
		pool->preparing -= pool->preparing > 0; /* pool_end waits for none */
	}
	if (end->cause == PROCESS_ENDED)
		at_once = report_deaths(slot, &asked);
	else if (was_up)
		at_once = report_deaths(slot, end);
	else
		pool_fail_all(slot, end->text);
	pool_secrets_lost(slot, end->cause == PROCESS_ENDED ? NULL : end->text);
	pool_requests_lost(slot, end->text);
	pool_validate_lost(slot, end->cause == PROCESS_ENDED, end->text);
	if (slot->count == 0)
		slot_free(slot);
	else
		slot_plan_restart(slot, at_once || renewed);
	pool_report_done(pool);
	pool_validate_report_done(pool);
}
