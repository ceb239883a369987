/* SPDX-License-Identifier: Apache-2.0 */
/* pool_events: what a slot's process reports: its hello, answers to starts and stops, results, replies
 * (pool_death.c has its death). Called by process.c; checks that the worker was asked for what it sends, and ends it as broken
 * otherwise. On the loop's thread. */
#include <string.h>

#include "pool_private.h"

/* ---- The hello ---- */

/* The first worker of a plugin declares it. Takes over info. */
static void take_info(struct slot *slot, struct plugin_info *info, const char *why)
{
	struct pool_plugin *plugin = slot->plugin;
	bool first = plugin->info == NULL && plugin->why == NULL;
	if (info == NULL && first) {
		plugin->why = x_strdup(why);
	} else if (info == NULL) {
		process_kill(slot->process, PROCESS_CRASHED, 0, why); /* its components report it */
	} else if (first) {
		plugin->info = info;
		plugin->info->code = pool_number(slot->pool);
	} else {
		if (strcmp(info->build_id, SKYMON_BUILD_ID) != 0)
			log_warn("skymon was upgraded in place (worker %s, daemon %s): restart skymond",
				 info->build_id, SKYMON_BUILD_ID);
		plugin_info_free(info);
	}
	if (first)
		slot->pool->preparing--;
}

static void pool_on_hello(void *arg, struct plugin_info *info, const char *why)
{
	struct slot *slot = arg;
	struct pool *pool = slot->pool;
	bool usable = info != NULL;
	take_info(slot, info, why);
	if (usable) {
		slot->state = SLOT_UP;
		slot->up_since_ms = loop_now_ms(pool->loop);
		if (!pool_sandbox_fits(slot, NULL))
			slot_renew(slot);
		for (size_t i = 0; slot->state == SLOT_UP && i < slot->count; i++)
			pool_start(slot->components[i]);
		pool_validate_slot_up(slot);
	}
	pool_report_done(pool);
}

/* ---- Components ---- */

/* Frees a removed component, of which nothing runs any more. */
static void let_go(struct component *component)
{
	struct slot *slot = component->slot;
	slot_leave(component);
	pool_free_component(component);
	slot_retire(slot);
}

static void pool_on_started(void *arg, uint32_t id, bool ok, enum skymon_reason reason, const char *message)
{
	struct slot *slot = arg;
	struct component *component = slot_find(slot, id);
	struct pool_claim *claim = slot_find_claim(slot, id);
	if (claim == NULL || claim->started) {
		slot_break(slot, "reported twice that a component was started");
		return;
	}
	claim->started = true;
	if (!ok)
		slot_drop_claim(slot, id);
	if (component != NULL && component->state == COMPONENT_STOPPING && !ok) {
		let_go(component); /* nothing of it is there to be stopped */
		return;
	}
	if (component == NULL || component->state != COMPONENT_STARTING)
		return;
	if (!ok) {
		pool_fail(component, reason, message);
		return;
	}
	component->back_off_ms = 0;
	component->store_looks = 0;
	component->failure = (struct pool_failure){0};
	pool_set_up(component);
	slot->pool->callbacks->able(component->check);
	pool_requests_send(component);
	if (slot->plugin->info->has_secret)
		pool_secrets_store_up(component);
}

static void pool_on_stopped(void *arg, uint32_t id)
{
	struct slot *slot = arg;
	struct component *component = slot_find(slot, id);
	const struct pool_claim *claim = slot_find_claim(slot, id);
	if (claim == NULL || !claim->started || !claim->stopping) {
		slot_break(slot, "reported the stop of a component that it was not to stop");
		return;
	}
	slot_drop_claim(slot, id);
	if (component != NULL && component->state == COMPONENT_STOPPING)
		let_go(component);
}

static void pool_on_result(void *arg, uint32_t id, uint64_t run, struct result *result)
{
	struct slot *slot = arg;
	struct component *component = slot_find(slot, id);
	if (component == NULL || run == 0 || component->run != run) {
		result_unref(result);
		slot_break(slot, "sent the result of a check that was not asked for");
		return;
	}
	if (slot->own)
		slot->back_off_ms = 0;
	if (result->view.reason == SKYMON_AUTH_FAILED && component->blank_secret[0] != '\0')
		result_worsen(result, (enum skymon_status)result->view.status, SKYMON_AUTH_FAILED,
			      "%s (the secret of `%s` ends with a line break or a blank: is that meant?)",
			      result->view.message, component->blank_secret);
	struct check *check = component->check;
	pool_end_run(component);
	if (check != NULL)
		slot->pool->callbacks->result(check, result);
	else
		result_unref(result);
}

static void pool_on_step(void *arg, uint32_t id, struct wire_reader in)
{
	struct slot *slot = arg;
	const struct component *component = slot_find(slot, id);
	uint64_t run;
	const char *text;
	if (!message_get_step(&in, &run, &text))
		slot_break(slot, "sent a message that is broken");
	else if (component != NULL && component->check != NULL && run != 0 && component->run == run)
		slot->pool->callbacks->step(component->check, text);
}

/* Dropped unless it was asked for. */
static void pool_on_observed(void *arg, uint32_t id, struct wire_reader in)
{
	struct message_observed observed;
	struct slot *slot = arg;
	const struct component *component = slot_find(slot, id);
	if (component != NULL && component->check != NULL && component->spec->observe != 0 &&
	    message_get_observed(&in, &observed))
		slot->pool->callbacks->observed(component->check, &observed);
}

/* A check that was refused is not repeated: its next run has the other secret. */
static void pool_on_refused(void *arg, uint32_t id)
{
	struct component *component = slot_find(arg, id);
	if (component != NULL)
		(void)pool_secrets_refused(component);
}

/* A worker that asks for it again and again would cost a process each time. */
static void pool_on_stale(void *arg)
{
	struct slot *slot = arg;
	if (loop_now_ms(slot->pool->loop) - slot->up_since_ms < STALE_MIN_MS)
		slot_break(slot, "asked to be started again as soon as it was up");
	else if (slot->state == SLOT_UP)
		slot_renew(slot);
}

static bool pool_knows(void *arg, uint32_t id)
{
	return slot_find_claim(arg, id) != NULL;
}

const struct process_events pool_process_events = {
	.hello = pool_on_hello,
	.started = pool_on_started,
	.result = pool_on_result,
	.step = pool_on_step,
	.observed = pool_on_observed,
	.refused = pool_on_refused,
	.answered = pool_secrets_on_answered,
	.replied = pool_requests_on_replied,
	.stopped = pool_on_stopped,
	.stale = pool_on_stale,
	.knows = pool_knows,
	.validated = pool_validate_on_validated,
	.ended = pool_on_ended,
};
