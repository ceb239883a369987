/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Starting a component in its worker ---- */

void pool_fail(struct component *component, enum skymon_reason reason, const char *text)
{
	struct pool *pool = component->slot->pool;
	component->state = COMPONENT_FAILED;
	pool_requests_fail(component, text);
	component->retry_ms = pool_back_off(component->retry_ms);
	loop_set_timer(pool->loop, &component->retry, loop_now_ms(pool->loop) + component->retry_ms);
	pool->events->unable(pool->arg, component, reason, text);
}

void pool_tell_start(struct component *component, const struct buf *body)
{
	struct pool *pool = component->slot->pool;
	component->id = ++pool->last_id;
	component->state = COMPONENT_STARTING;
	loop_set_timer(pool->loop, &component->retry, loop_now_ms(pool->loop) + POOL_START_MS);
	pool_claim_add(component->slot, component->id);
	process_start(component->slot->process, component->id, body);
}

void pool_tell_stop(struct component *component)
{
	struct pool_claim *claim = pool_claim_find(component->slot, component->id);
	if (claim != NULL)
		claim->stopping = true;
	process_stop(component->slot->process, component->id);
}

void pool_start_component(struct component *component)
{
	loop_clear_timer(component->slot->pool->loop, &component->retry);
	pool_secrets_gather(component, false, false);
}

/* A worker starts its components one after the other: the one that hangs is the first that it has not told
 * of. */
static void end_hung_start(struct slot *slot)
{
	uint32_t first = UINT32_MAX;
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->state == COMPONENT_STARTING && slot->components[i]->id < first)
			first = slot->components[i]->id;
	char text[80];
	snprintf(text, sizeof(text), "ended: a start did not return within %d ms", POOL_START_MS);
	process_kill(slot->process, PROCESS_KILLED, first, text);
}

void pool_retry(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct component *component = container_of(timer, struct component, retry);
	if (component->slot == NULL || !component->slot->up)
		return; /* it is started when its worker is up */
	if (component->state == COMPONENT_STARTING)
		end_hung_start(component->slot);
	else if (component->gone)
		process_kill(component->slot->process, PROCESS_KILLED, component->id,
			     "ended: a stop did not return");
	else if (component->state == COMPONENT_FAILED || component->state == COMPONENT_WAITING)
		pool_start_component(component);
}

/* ---- What workers tell ---- */

static void pool_on_hello(void *arg, struct plugin_info *info, const char *why)
{
	struct slot *slot = arg;
	struct pool_plugin *plugin = slot->plugin;
	struct pool *pool = slot->pool;
	bool first = plugin->info == NULL && plugin->why == NULL;
	if (info == NULL) {
		if (first)
			plugin->why = x_strdup(why);
		else /* its components report it; it is tried again */
			process_kill(slot->process, PROCESS_CRASHED, 0, why);
	} else if (first) {
		plugin->info = info;
		plugin->info->code = pool_number();
	} else {
		if (strcmp(info->build_id, SKYMON_BUILD_ID) != 0)
			log_warn("skymon was upgraded in place (worker %s, daemon %s): restart skymond",
				 info->build_id, SKYMON_BUILD_ID);
		plugin_info_free(info);
	}
	if (info != NULL) {
		slot->up = true;
		slot->up_since_ms = loop_now_ms(pool->loop);
		if (!pool_sandbox_fits(slot))
			slot_renew(slot);
		for (size_t i = 0; !slot->ending && i < slot->count; i++)
			pool_start_component(slot->components[i]);
		pool_validate_slot_up(slot);
	}
	if (first) {
		pool->preparing--;
		pool_tell_done(pool);
	}
}

/* A component that was taken out of the config: nothing of it runs any more. */
static void let_go(struct component *component)
{
	struct slot *slot = component->slot;
	slot_leave(component);
	slot->pool->events->left(slot->pool->arg, component);
	slot_retire(slot);
}

static void pool_on_started(void *arg, uint32_t id, bool ok, enum skymon_reason reason, const char *message)
{
	struct slot *slot = arg;
	struct component *component = pool_find_component(slot, id);
	struct pool_claim *claim = pool_claim_find(slot, id);
	if (claim == NULL || claim->started) {
		pool_break(slot, "told twice that a component was started");
		return;
	}
	claim->started = true;
	if (!ok)
		pool_claim_drop(slot, id);
	if (component == NULL || component->state != COMPONENT_STARTING)
		return;
	if (component->gone) {
		component->state = COMPONENT_UP;
		if (!ok) /* it is not there to be stopped */
			let_go(component);
		return;
	}
	if (!ok) {
		pool_fail(component, reason, message);
		return;
	}
	loop_clear_timer(slot->pool->loop, &component->retry);
	component->state = COMPONENT_UP;
	component->retry_ms = 0;
	component->patience = 0;
	slot->pool->events->able(slot->pool->arg, component);
	pool_requests_send(component);
	if (slot->plugin->info->has_secret)
		pool_secrets_store_up(component);
}

static void pool_on_result(void *arg, uint32_t id, uint64_t run, struct result *result)
{
	struct slot *slot = arg;
	struct component *component = pool_find_component(slot, id);
	if (component == NULL || run == 0 || component->run != run) {
		result_unref(result);
		pool_break(slot, "sent the result of a check that was not asked for");
		return;
	}
	if (slot->own)
		slot->back_off_ms = 0;
	slot->pool->events->result(slot->pool->arg, component, run, result);
}

static void pool_on_step(void *arg, uint32_t id, uint64_t run, const char *text)
{
	struct slot *slot = arg;
	struct component *component = pool_find_component(slot, id);
	if (component != NULL)
		slot->pool->events->step(slot->pool->arg, component, run, text);
}

static void pool_on_refused(void *arg, uint32_t id)
{
	struct slot *slot = arg;
	struct component *component = pool_find_component(slot, id);
	if (component != NULL && !component->gone)
		(void)slot->pool->events->refused(slot->pool->arg,
						  component); /* its next check tries again */
}

static void pool_on_answered(void *arg, uint32_t id, const struct message_answer *answer)
{
	struct slot *slot = arg;
	pool_secrets_answer(slot, id, answer);
}

static void pool_on_replied(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply)
{
	struct slot *slot = arg;
	pool_requests_reply(slot, id, number, reply);
}

static void pool_on_validated(void *arg, uint32_t id, struct wire_reader mistakes)
{
	pool_validate_take(arg, id, mistakes);
}

static void pool_on_stopped(void *arg, uint32_t id)
{
	struct slot *slot = arg;
	struct component *component = pool_find_component(slot, id);
	const struct pool_claim *claim = pool_claim_find(slot, id);
	if (claim == NULL || !claim->started || !claim->stopping) {
		pool_break(slot, "told that a component was stopped that it was not to stop");
		return;
	}
	pool_claim_drop(slot, id);
	if (component != NULL && component->gone)
		let_go(component);
}

/* One that asks for it again and again would cost a process each time. */
static void pool_on_stale(void *arg)
{
	struct slot *slot = arg;
	if (loop_now_ms(slot->pool->loop) - slot->up_since_ms < POOL_BACK_OFF_MIN_MS / 2)
		pool_break(slot, "asked to be started again as soon as it was up");
	else if (!slot->ending)
		slot_renew(slot);
}

static bool knows(void *arg, uint32_t id)
{
	return pool_claim_find(arg, id) != NULL;
}

/* ---- A worker's death ---- */

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

static bool is_suspect(const struct slot *slot, const struct component *component,
		       const struct process_end *end)
{
	if (end->culprit != 0)
		return component->id == end->culprit || (end->cause == PROCESS_KILLED && component->expired);
	return component->run != 0 || pool_requests_out(slot, component->id);
}

static size_t count_suspects(const struct slot *slot, const struct process_end *end)
{
	size_t suspects = 0;
	for (size_t i = 0; i < slot->count; i++)
		suspects += is_suspect(slot, slot->components[i], end);
	return suspects;
}

static void bury(struct slot *slot, struct component *component, const struct process_end *end, bool guilty)
{
	struct pool *pool = slot->pool;
	enum skymon_reason reason = end->cause == PROCESS_KILLED ? SKYMON_KILLED : SKYMON_CRASHED;
	bool suspect = is_suspect(slot, component, end);
	bool running = component->run != 0, named = component->id == end->culprit;
	component->state = COMPONENT_DOWN;
	pool_secrets_drop(component);
	if (component->gone) {
		slot_leave(component);
		pool->events->left(pool->arg, component);
		return;
	}
	if (suspect)
		isolate(component, guilty ? POOL_BACK_OFF_MIN_MS : 0);
	if (suspect && guilty && (end->culprit == 0 || named)) {
		pool_requests_fail(component, end->text);
		pool->events->unable(pool->arg, component, reason, end->text);
	} else if (running) {
		pool->events->cut_off(pool->arg, component);
	}
}

/* Everybody who was in it learns it; who may have done it moves out. Several suspects without a name: each
 * goes on alone, so that the next death has one name. Returns whether the culprit is known and out. */
static bool bury_all(struct slot *slot, const struct process_end *end)
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

static void log_end(const struct slot *slot, const struct process_end *end)
{
	const struct component *culprit = pool_find_component(slot, end->culprit);
	bool again = culprit != NULL && culprit->hangs > 1; /* one line for a check that goes on hanging */
	log_line(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
		 (const char *[]){"plugin", slot->plugin->name, culprit != NULL ? "component" : NULL,
				  culprit != NULL ? culprit->spec->name : NULL, NULL},
		 "worker %s", end->text);
}

static void pool_on_ended(void *arg, const struct process_end *end)
{
	struct slot *slot = arg;
	struct pool *pool = slot->pool;
	struct pool_plugin *plugin = slot->plugin;
	slot->process = NULL;
	slot->claim_count = 0;
	pool_secrets_lost(slot);
	bool was_up = slot->up, at_once = false;
	slot->up = false;
	if (end->cause != PROCESS_ENDED && plugin->info != NULL && plugin->why == NULL) {
		log_end(slot, end);
		plugin->restarts++;
	}
	if (plugin->info == NULL && plugin->why == NULL) {
		plugin->why = x_printf("its worker %s", end->text);
		pool->preparing -= pool->preparing > 0; /* pool_end waits for none */
	}
	if (end->cause == PROCESS_ENDED)
		at_once =
			bury_all(slot, &(struct process_end){.cause = PROCESS_ENDED, .culprit = UINT32_MAX});
	else if (was_up)
		at_once = bury_all(slot, end);
	else
		pool_fail_all(slot, end->text);
	pool_requests_lost(slot, end->text);
	pool_validate_lost(slot, end->cause == PROCESS_ENDED, end->text);
	if (slot->count == 0)
		slot_free(slot);
	else
		slot_plan_restart(slot, at_once || slot->ending);
	pool_tell_done(pool);
	pool_validate_tell_done(pool);
}

const struct process_events pool_process_events = {
	.hello = pool_on_hello,
	.started = pool_on_started,
	.result = pool_on_result,
	.step = pool_on_step,
	.refused = pool_on_refused,
	.answered = pool_on_answered,
	.replied = pool_on_replied,
	.stopped = pool_on_stopped,
	.stale = pool_on_stale,
	.knows = knows,
	.validated = pool_on_validated,
	.ended = pool_on_ended,
};
