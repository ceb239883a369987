/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Starting a component in its worker ---- */

void crew_fail(struct component *component, enum skymon_reason reason, const char *text)
{
	struct crew *crew = component->slot->crew;
	component->state = COMPONENT_FAILED;
	crew_requests_fail(component, text);
	component->retry_ms = crew_back_off(component->retry_ms);
	loop_set_timer(crew->loop, &component->retry, loop_now_ms(crew->loop) + component->retry_ms);
	crew->events->unable(crew->arg, component, reason, text);
}

void crew_tell_start(struct component *component, const struct buf *body)
{
	struct crew *crew = component->slot->crew;
	component->id = ++crew->last_id;
	component->state = COMPONENT_STARTING;
	loop_set_timer(crew->loop, &component->retry, loop_now_ms(crew->loop) + CREW_START_MS);
	crew_claim_add(component->slot, component->id);
	worker_start(component->slot->worker, component->id, body);
}

void crew_tell_stop(struct component *component)
{
	struct crew_claim *claim = crew_claim_find(component->slot, component->id);
	if (claim != NULL)
		claim->stopping = true;
	worker_stop(component->slot->worker, component->id);
}

void crew_start_component(struct component *component)
{
	loop_clear_timer(component->slot->crew->loop, &component->retry);
	crew_secrets_gather(component, false, false);
}

/* A worker starts its components one after the other: the one that hangs is the first that it has not told
 * of. */
static void end_hung_start(struct crew_slot *slot)
{
	uint32_t first = UINT32_MAX;
	for (size_t i = 0; i < slot->count; i++)
		if (slot->components[i]->state == COMPONENT_STARTING && slot->components[i]->id < first)
			first = slot->components[i]->id;
	char text[80];
	snprintf(text, sizeof(text), "ended: a start did not return within %d ms", CREW_START_MS);
	worker_kill(slot->worker, WORKER_KILLED, first, text);
}

void crew_retry(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct component *component = container_of(timer, struct component, retry);
	if (component->slot == NULL || !component->slot->up)
		return; /* it is started when its worker is up */
	if (component->state == COMPONENT_STARTING)
		end_hung_start(component->slot);
	else if (component->gone)
		worker_kill(component->slot->worker, WORKER_KILLED, component->id,
			    "ended: a stop did not return");
	else if (component->state == COMPONENT_FAILED || component->state == COMPONENT_WAITING)
		crew_start_component(component);
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
		else
			log_line(LOG_LEVEL_ERROR, (const char *[]){"plugin", plugin->name, NULL}, "%s", why);
	} else if (first) {
		plugin->info = info;
		plugin->info->code = crew_number();
	} else {
		if (strcmp(info->build_id, SKYMON_BUILD_ID) != 0)
			log_warn("skymon was upgraded in place (worker %s, daemon %s): restart skymond",
				 info->build_id, SKYMON_BUILD_ID);
		plugin_info_free(info);
	}
	if (info != NULL) {
		slot->up = true;
		slot->up_since_ms = loop_now_ms(crew->loop);
		if (!crew_sandbox_fits(slot))
			crew_slot_renew(slot);
		for (size_t i = 0; !slot->ending && i < slot->count; i++)
			crew_start_component(slot->components[i]);
		crew_validate_slot_up(slot);
	}
	if (first) {
		crew->preparing--;
		crew_tell_done(crew);
	}
}

/* A component that was taken out of the config: nothing of it runs any more. */
static void let_go(struct component *component)
{
	struct crew_slot *slot = component->slot;
	crew_slot_leave(component);
	slot->crew->events->left(slot->crew->arg, component);
	crew_slot_retire(slot);
}

static void take_started(void *arg, struct worker *worker, uint32_t id, bool ok, enum skymon_reason reason,
			 const char *message)
{
	struct crew_slot *slot = arg;
	struct component *component = crew_find_component(slot, id);
	struct crew_claim *claim = crew_claim_find(slot, id);
	(void)worker;
	if (claim == NULL || claim->started) {
		crew_break(slot, "told twice that a component was started");
		return;
	}
	claim->started = true;
	if (!ok)
		crew_claim_drop(slot, id);
	if (component == NULL || component->state != COMPONENT_STARTING)
		return;
	if (component->gone) {
		component->state = COMPONENT_UP;
		if (!ok) /* it is not there to be stopped */
			let_go(component);
		return;
	}
	if (!ok) {
		crew_fail(component, reason, message);
		return;
	}
	loop_clear_timer(slot->crew->loop, &component->retry);
	component->state = COMPONENT_UP;
	component->retry_ms = 0;
	component->patience = 0;
	slot->crew->events->able(slot->crew->arg, component);
	crew_requests_send(component);
	if (slot->plugin->info->has_secret)
		crew_secrets_store_up(component);
}

static void take_result(void *arg, struct worker *worker, uint32_t id, uint64_t run, struct result *result)
{
	struct crew_slot *slot = arg;
	struct component *component = crew_find_component(slot, id);
	(void)worker;
	if (component == NULL || run == 0 || component->run != run) {
		result_unref(result);
		crew_break(slot, "sent the result of a check that was not asked for");
		return;
	}
	if (slot->own)
		slot->back_off_ms = 0;
	slot->crew->events->result(slot->crew->arg, component, run, result);
}

static void take_step(void *arg, struct worker *worker, uint32_t id, uint64_t run, const char *text)
{
	struct crew_slot *slot = arg;
	struct component *component = crew_find_component(slot, id);
	(void)worker;
	if (component != NULL)
		slot->crew->events->step(slot->crew->arg, component, run, text);
}

static void take_refused(void *arg, struct worker *worker, uint32_t id)
{
	struct crew_slot *slot = arg;
	struct component *component = crew_find_component(slot, id);
	(void)worker;
	if (component != NULL && !component->gone)
		(void)slot->crew->events->refused(slot->crew->arg,
						  component); /* its next check tries again */
}

static void take_answer(void *arg, struct worker *worker, uint32_t id, const struct worker_answer *answer)
{
	struct crew_slot *slot = arg;
	(void)worker;
	crew_secrets_answer(slot, id, answer);
}

static void take_reply(void *arg, struct worker *worker, uint32_t id, uint64_t number,
		       const struct exchange_reply *reply)
{
	struct crew_slot *slot = arg;
	(void)worker;
	crew_requests_reply(slot, id, number, reply);
}

static void take_validated(void *arg, struct worker *worker, uint32_t id, struct wire_reader mistakes)
{
	(void)worker;
	crew_validate_take(arg, id, mistakes);
}

static void take_stopped(void *arg, struct worker *worker, uint32_t id)
{
	struct crew_slot *slot = arg;
	struct component *component = crew_find_component(slot, id);
	const struct crew_claim *claim = crew_claim_find(slot, id);
	(void)worker;
	if (claim == NULL || !claim->started || !claim->stopping) {
		crew_break(slot, "told that a component was stopped that it was not to stop");
		return;
	}
	crew_claim_drop(slot, id);
	if (component != NULL && component->gone)
		let_go(component);
}

/* One that asks for it again and again would cost a process each time. */
static void take_stale(void *arg, struct worker *worker)
{
	struct crew_slot *slot = arg;
	(void)worker;
	if (loop_now_ms(slot->crew->loop) - slot->up_since_ms < CREW_BACK_OFF_MIN_MS / 2)
		crew_break(slot, "asked to be started again as soon as it was up");
	else if (!slot->ending)
		crew_slot_renew(slot);
}

static bool knows(void *arg, uint32_t id)
{
	return crew_claim_find(arg, id) != NULL;
}

/* ---- A worker's death ---- */

/* From now on in a slot of its own. */
static void isolate(struct component *component, int64_t delay_ms)
{
	struct crew_slot *old = component->slot;
	struct crew *crew = old->crew;
	if (old->own)
		return;
	crew_slot_leave(component);
	component->isolated = true;
	struct crew_slot *slot = crew_slot_new(crew, old->plugin, true);
	slot->back_off_ms = delay_ms;
	crew_slot_enter(slot, component);
	loop_set_timer(crew->loop, &slot->restart, loop_now_ms(crew->loop) + delay_ms);
}

static bool is_suspect(const struct crew_slot *slot, const struct component *component,
		       const struct worker_end *end)
{
	if (end->culprit != 0)
		return component->id == end->culprit || (end->cause == WORKER_KILLED && component->expired);
	return component->run != 0 || crew_requests_out(slot, component->id);
}

static size_t count_suspects(const struct crew_slot *slot, const struct worker_end *end)
{
	size_t suspects = 0;
	for (size_t i = 0; i < slot->count; i++)
		suspects += is_suspect(slot, slot->components[i], end);
	return suspects;
}

static void bury(struct crew_slot *slot, struct component *component, const struct worker_end *end,
		 bool guilty)
{
	struct crew *crew = slot->crew;
	enum skymon_reason reason = end->cause == WORKER_KILLED ? SKYMON_KILLED : SKYMON_CRASHED;
	bool suspect = is_suspect(slot, component, end);
	bool running = component->run != 0, named = component->id == end->culprit;
	component->state = COMPONENT_DOWN;
	crew_secrets_drop(component);
	if (component->gone) {
		crew_slot_leave(component);
		crew->events->left(crew->arg, component);
		return;
	}
	if (suspect)
		isolate(component, guilty ? CREW_BACK_OFF_MIN_MS : 0);
	if (suspect && guilty && (end->culprit == 0 || named)) {
		crew_requests_fail(component, end->text);
		crew->events->unable(crew->arg, component, reason, end->text);
	} else if (running) {
		crew->events->cut_off(crew->arg, component);
	}
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

static void log_end(const struct crew_slot *slot, const struct worker_end *end)
{
	const struct component *culprit = crew_find_component(slot, end->culprit);
	bool again = culprit != NULL && culprit->hangs > 1; /* one line for a check that goes on hanging */
	log_line(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
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
	slot->claim_count = 0;
	crew_secrets_lost(slot);
	bool was_up = slot->up, at_once = false;
	slot->up = false;
	if (end->cause != WORKER_ENDED && plugin->info != NULL && plugin->why == NULL) {
		log_end(slot, end);
		plugin->restarts++;
	}
	if (plugin->info == NULL && plugin->why == NULL) {
		plugin->why = x_printf("its worker %s", end->text);
		crew->preparing -= crew->preparing > 0; /* crew_end waits for none */
	}
	if (end->cause == WORKER_ENDED)
		at_once = bury_all(slot, &(struct worker_end){.cause = WORKER_ENDED, .culprit = UINT32_MAX});
	else if (was_up)
		at_once = bury_all(slot, end);
	else
		crew_fail_all(slot, end->text);
	crew_requests_lost(slot, end->text);
	crew_validate_lost(slot, end->cause == WORKER_ENDED, end->text);
	if (slot->count == 0)
		crew_slot_free(slot);
	else
		crew_slot_plan_restart(slot, at_once || slot->ending);
	crew_tell_done(crew);
	crew_validate_tell_done(crew);
}

const struct worker_events crew_worker_events = {
	.hello = take_hello,
	.started = take_started,
	.result = take_result,
	.step = take_step,
	.refused = take_refused,
	.answered = take_answer,
	.replied = take_reply,
	.stopped = take_stopped,
	.stale = take_stale,
	.knows = knows,
	.validated = take_validated,
	.ended = take_end,
};
