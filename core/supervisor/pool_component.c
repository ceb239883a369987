/* SPDX-License-Identifier: Apache-2.0 */
/* pool_component: a component's life in the pool: it is added, started (again after a failure, or with other
 * secrets), given runs, stopped and freed. Called by the schedule and by the pool's other files; owns struct
 * component. On the loop's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_private.h"

/* ---- States ---- */

void pool_enter_state(struct component *component, enum component_state state, int64_t wait_ms)
{
	struct loop *loop = component->pool->loop;
	component->state = state;
	if (wait_ms < 0)
		loop_clear_timer(loop, &component->timer);
	else
		loop_set_timer(loop, &component->timer, loop_now_ms(loop) + wait_ms);
}

/* The timer is for the earlier of the two times at which its secrets are read again. A time that has passed,
 * as a lease may during a long start, is due now, unless the end of a run is waited for. */
void pool_set_up(struct component *component)
{
	int64_t now_ms = loop_now_ms(component->pool->loop), wait_ms = -1;
	const int64_t times_ms[] = {component->lease_ends_ms, component->request_refresh_ms};
	for (size_t i = 0; i < 2; i++) {
		int64_t left_ms = times_ms[i] > now_ms ? times_ms[i] - now_ms : 0;
		if (times_ms[i] != 0 && (left_ms > 0 || component->refresh == REFRESH_NONE) &&
		    (wait_ms < 0 || left_ms < wait_ms))
			wait_ms = left_ms;
	}
	pool_enter_state(component, COMPONENT_UP, wait_ms);
}

bool pool_is_up(const struct component *component)
{
	return component->state == COMPONENT_UP || component->state == COMPONENT_REFRESHING;
}

bool pool_is_isolated(const struct component *component)
{
	return component->isolated;
}

const struct pool_failure *pool_failure(const struct component *component)
{
	return &component->failure;
}

struct component *pool_find_component(const struct pool *pool, const char *name)
{
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next)
		for (size_t i = 0; i < slot->count; i++)
			if (slot->components[i]->check != NULL &&
			    strcmp(slot->components[i]->spec->name, name) == 0)
				return slot->components[i];
	return NULL;
}

/* ---- Failures ---- */

void pool_report_failure(struct component *component, enum skymon_reason reason, const char *text)
{
	component->failure.reason = reason;
	component->failure.hung = reason == SKYMON_KILLED && component->hangs > 0;
	snprintf(component->failure.text, sizeof(component->failure.text), "%s", text);
	pool_requests_fail(component, component->failure.text);
	component->pool->callbacks->unable(component->check, &component->failure);
}

void pool_fail(struct component *component, enum skymon_reason reason, const char *text)
{
	component->back_off_ms = pool_back_off(component->back_off_ms);
	component->hangs = 0;
	pool_enter_state(component, COMPONENT_BACKING_OFF, component->back_off_ms);
	pool_report_failure(component, reason, text);
}

void pool_fail_all(struct slot *slot, const char *text)
{
	for (size_t i = 0; i < slot->count; i++) {
		struct component *component = slot->components[i];
		component->hangs = 0;
		pool_secrets_drop(component);
		pool_enter_state(component, COMPONENT_DOWN, -1);
		pool_report_failure(component, SKYMON_CRASHED, text);
	}
}

/* ---- Starts and stops ---- */

void pool_start(struct component *component)
{
	if (component->slot->state != SLOT_UP) /* its next worker starts it */
		pool_enter_state(component, COMPONENT_DOWN, -1);
	else
		pool_secrets_gather(component, COMPONENT_AWAITING_SECRETS, false);
}

void pool_send_start(struct component *component, const struct buf *body)
{
	component->id = ++component->pool->last_id;
	pool_enter_state(component, COMPONENT_STARTING, START_TIMEOUT_MS);
	slot_claim(component->slot, (struct pool_claim){.id = component->id, .component = component});
	process_start(component->slot->process, component->id, body);
}

void pool_send_stop(struct component *component)
{
	struct pool_claim *claim = slot_find_claim(component->slot, component->id);
	if (claim != NULL)
		claim->stopping = true;
	process_stop(component->slot->process, component->id);
}

/* A worker starts its components one after the other: the first one without an answer hangs. */
static void end_hung_start(struct slot *slot)
{
	uint32_t first = UINT32_MAX;
	for (size_t i = 0; i < slot->claim_count; i++)
		if (!slot->claims[i].started && slot->claims[i].id < first)
			first = slot->claims[i].id;
	char text[80];
	snprintf(text, sizeof(text), "ended: a start did not return within %d ms", START_TIMEOUT_MS);
	process_kill(slot->process, PROCESS_KILLED, first, text);
}

/* Its lease has ended, or a request may ask for another secret. */
static void refresh_when_due(struct component *component, int64_t now_ms)
{
	bool lease_over = component->lease_ends_ms != 0 && component->lease_ends_ms <= now_ms;
	if (component->request_refresh_ms != 0 && component->request_refresh_ms <= now_ms) {
		component->request_refresh_ms = 0;
		pool_requests_refresh(component);
	}
	if (lease_over && component->state == COMPONENT_UP)
		pool_secrets_refresh(component, REFRESH_CACHED);
	if (component->state == COMPONENT_UP)
		pool_set_up(component);
}

static void on_timer(struct timer *timer, int64_t now_ms)
{
	struct component *component = container_of(timer, struct component, timer);
	switch (component->state) {
	case COMPONENT_DOWN:
		break;
	case COMPONENT_BACKING_OFF:
	case COMPONENT_AWAITING_STORE:
		pool_start(component);
		break;
	case COMPONENT_AWAITING_SECRETS:
	case COMPONENT_REFRESHING:
		pool_secrets_time_out(component);
		break;
	case COMPONENT_STARTING:
		end_hung_start(component->slot);
		break;
	case COMPONENT_UP:
		refresh_when_due(component, now_ms);
		break;
	case COMPONENT_STOPPING:
		process_kill(component->slot->process, PROCESS_KILLED, component->id,
			     component->run != 0 ? "ended: the check of a removed component did not return"
						 : "ended: a stop did not return");
		break;
	}
}

/* ---- Adding and removing ---- */

struct component *pool_add(struct pool *pool, const struct component_spec *spec, bool isolated,
			   struct check *check)
{
	struct pool_plugin *plugin = pool_find_plugin(pool, spec->plugin);
	struct component *component = x_alloc(sizeof(*component));
	*component = (struct component){
		.pool = pool,
		.check = check,
		.spec = (struct component_spec *)spec,
		.timer.fire = on_timer,
		.isolated = isolated,
	};
	struct slot *slot = spec->isolation_own || isolated ? slot_new(pool, plugin, true)
							    : slot_shared(pool, plugin, spec);
	slot_enter(slot, component);
	if (slot->state == SLOT_UP && !pool_sandbox_fits(slot, component))
		slot_renew(slot);
	else if (slot->state == SLOT_UP)
		pool_start(component);
	else if (slot->process == NULL && slot->restart.slot == 0)
		loop_set_timer(pool->loop, &slot->restart, loop_now_ms(pool->loop));
	return component;
}

void pool_adjust(struct component *component, const struct component_spec *spec)
{
	component->spec = (struct component_spec *)spec;
	/* A secret that was replaced in its store is read now, not when a server refuses the old one. */
	pool_secrets_refresh(component, REFRESH_FRESH);
}

void pool_free_component(struct component *component)
{
	loop_clear_timer(component->pool->loop, &component->timer);
	if (component->check == NULL)
		component_spec_free(component->spec);
	free(component);
}

/* Requests of the component's routes are waited for, too. */
static int64_t stop_timeout_ms(const struct component *component)
{
	bool routes = component->slot->plugin->info->route_count > 0;
	return STOP_TIMEOUT_MS + (routes ? HTTP_MESSAGE_MS + HTTP_MESSAGE_GRACE_MS : 0);
}

void pool_remove(struct component *component, struct component_spec *spec, int64_t run_left_ms)
{
	struct slot *slot = component->slot;
	bool started = pool_is_up(component) || component->state == COMPONENT_STARTING;
	component->check = NULL;
	component->spec = spec;
	pool_secrets_drop(component);
	if (!started) {
		slot_leave(component);
		pool_free_component(component);
		slot_retire(slot);
		return;
	}
	/* it is freed with WIRE_STOPPED, or with its worker */
	pool_send_stop(component);
	pool_enter_state(component, COMPONENT_STOPPING,
			 component->run == 0 ? stop_timeout_ms(component)
			 : run_left_ms > 0   ? run_left_ms
					     : 0);
}

/* ---- Runs ---- */

void pool_run(struct component *component, int64_t timeout_ms)
{
	component->run = pool_number(component->pool);
	component->run_overdue_ms = loop_now_ms(component->pool->loop) + timeout_ms;
	process_run(
		component->slot->process, component->id,
		&(struct message_run){component->run, (uint32_t)timeout_ms, component->spec->interval_ms});
}

void pool_end_run(struct component *component)
{
	enum pool_refresh refresh = component->refresh;
	component->run = 0;
	component->hangs = 0;
	if (component->state == COMPONENT_STOPPING)
		pool_enter_state(component, COMPONENT_STOPPING, stop_timeout_ms(component));
	else if (refresh != REFRESH_NONE)
		pool_secrets_refresh(component, refresh);
}

void pool_kill(struct component *component, const char *text)
{
	component->hangs++;
	process_kill(component->slot->process, PROCESS_KILLED, component->id, text);
}
