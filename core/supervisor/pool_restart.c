/* SPDX-License-Identifier: Apache-2.0 */
/* pool_restart: starts the worker of a slot, the first one and, after a back-off, each next one. Called by
 * the pool's other files and by the timer of the slot, on the loop's thread; owns nothing. */
#include "pool_private.h"

int64_t pool_back_off(int64_t back_off_ms)
{
	int64_t next = back_off_ms < BACK_OFF_MIN_MS ? BACK_OFF_MIN_MS : back_off_ms * 2;
	return next > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : next;
}

void slot_plan_restart(struct slot *slot, bool at_once)
{
	struct pool *pool = slot->pool;
	int64_t now = loop_now_ms(pool->loop);
	if (slot->up_since_ms > 0 && now - slot->up_since_ms > STABLE_MS)
		slot->back_off_ms = 0;
	slot->up_since_ms = 0; /* a worker that dies before its hello was not up */
	if (!at_once)
		slot->back_off_ms = pool_back_off(slot->back_off_ms);
	loop_set_timer(pool->loop, &slot->restart, now + (at_once ? 0 : slot->back_off_ms));
}

void slot_on_restart(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	slot_spawn(container_of(timer, struct slot, restart));
}

void slot_renew(struct slot *slot)
{
	slot->state = SLOT_ENDING;
	process_end(slot->process, slot->pool->exit_timeout_ms);
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
	slot->process = process_new(pool->loop, &spec, &pool_process_events, slot, &err);
	slot->state = slot->process != NULL ? SLOT_STARTING : SLOT_DOWN;
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
