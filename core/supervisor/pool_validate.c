/* SPDX-License-Identifier: Apache-2.0 */
/* pool_validate: has the plugins' workers validate the options of a plan's components before the plan takes
 * effect. Called by the daemon's reload once the plugins are open; one plan at a time. A worker that is up is
 * asked at once; a plugin without one gets a worker for this, which pool_tidy ends. Owns the validations. On
 * the loop's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeouts.h"
#include "pool_private.h"

struct pool_validation {
	struct pool_validation *next;
	const struct component_spec *spec;
	struct pool_plugin *plugin;
	struct slot *slot; /* whose worker was asked; NULL while it waits for one */
	uint32_t id;
};

void pool_validate_report_done(struct pool *pool)
{
	if (pool->validations != NULL || pool->validated == NULL)
		return;
	pool_done *done = pool->validated;
	pool->validated = NULL;
	loop_clear_timer(pool->loop, &pool->validate_timeout);
	done(pool->validate_arg);
}

static void drop_validation(struct pool *pool, struct pool_validation *validation)
{
	struct pool_validation **link = &pool->validations;
	while (*link != validation)
		link = &(*link)->next;
	*link = validation->next;
	if (validation->slot != NULL)
		validation->slot->validating--;
	free(validation);
}

static void fail_validation(struct pool *pool, struct pool_validation *validation, const char *text)
{
	pool->mistake(pool->validate_arg, validation->spec, NULL, text);
	drop_validation(pool, validation);
}

static void send_options(struct slot *slot, struct pool_validation *validation)
{
	struct pool *pool = slot->pool;
	struct buf body = {0};
	char *state_dir = pool_state_dir(slot, validation->spec->name);
	message_put_start(&body,
			  &(struct message_start){.name = validation->spec->name, .state_dir = state_dir});
	free(state_dir);
	option_values_encode_blank(validation->spec->values, &body);
	validation->slot = slot;
	validation->id = ++pool->last_id;
	slot->validating++;
	slot_claim(slot, (struct pool_claim){.id = validation->id, .started = true, .validation = true});
	process_validate(slot->process, validation->id, &body);
	component_wipe(&body);
}

static void on_validate_timeout(struct timer *timer, int64_t now_ms)
{
	struct pool *pool = container_of(timer, struct pool, validate_timeout);
	char text[100];
	(void)now_ms;
	snprintf(text, sizeof(text), "its worker did not validate its options within %d ms",
		 VALIDATE_TIMEOUT_MS);
	while (pool->validations != NULL)
		fail_validation(pool, pool->validations, text);
	pool_validate_report_done(pool);
}

/* Returns a slot of the plugin that has a worker, if possible one that is up. */
static struct slot *find_slot(const struct pool *pool, const struct pool_plugin *plugin)
{
	struct slot *coming = NULL;
	for (struct slot *slot = pool->slots; slot != NULL; slot = slot->next) {
		if (slot->plugin == plugin && slot->state == SLOT_UP)
			return slot;
		if (slot->plugin == plugin && slot->state == SLOT_STARTING)
			coming = slot;
	}
	return coming;
}

/* Asks a worker that is up, waits for one that is starting, or starts one. */
static void find_worker(struct pool *pool, struct pool_validation *validation)
{
	struct slot *slot = find_slot(pool, validation->plugin);
	if (slot == NULL)
		slot_spawn(slot_new(pool, validation->plugin, true));
	else if (slot->state == SLOT_UP)
		send_options(slot, validation);
}

void pool_validate(struct pool *pool, struct component_spec *const *specs, size_t count,
		   pool_mistake *mistake, pool_done *done, void *arg)
{
	pool->mistake = mistake;
	pool->validated = done;
	pool->validate_arg = arg;
	pool->validate_timeout.fire = on_validate_timeout;
	for (size_t i = 0; i < count; i++) {
		struct pool_plugin *plugin = pool_find_plugin(pool, specs[i]->plugin);
		if (specs[i]->unusable != NULL || plugin == NULL || plugin->info == NULL ||
		    !plugin->info->has_validate)
			continue;
		struct pool_validation *validation = x_alloc(sizeof(*validation));
		*validation = (struct pool_validation){
			.next = pool->validations, .spec = specs[i], .plugin = plugin};
		pool->validations = validation;
	}
	if (pool->validations != NULL)
		loop_set_timer(pool->loop, &pool->validate_timeout,
			       loop_now_ms(pool->loop) + VALIDATE_TIMEOUT_MS);
	for (struct pool_validation *at = pool->validations; at != NULL; at = at->next)
		find_worker(pool, at);
	pool_validate_report_done(pool);
}

void pool_validate_slot_up(struct slot *slot)
{
	for (struct pool_validation *at = slot->pool->validations; slot->state == SLOT_UP && at != NULL;
	     at = at->next)
		if (at->plugin == slot->plugin && at->slot == NULL)
			send_options(slot, at);
}

void pool_validate_on_validated(void *arg, uint32_t id, struct wire_reader mistakes)
{
	struct slot *slot = arg;
	struct pool *pool = slot->pool;
	struct pool_validation *validation = pool->validations;
	const struct pool_claim *claim = slot_find_claim(slot, id);
	if (claim == NULL || !claim->validation) {
		slot_break(slot, "validated options that it was not asked for");
		return;
	}
	slot_drop_claim(slot, id);
	while (validation != NULL && (validation->id != id || validation->slot != slot))
		validation = validation->next;
	if (validation == NULL)
		return; /* it has timed out */
	const char *option, *text;
	while (message_get_mistake(&mistakes, &option, &text))
		pool->mistake(pool->validate_arg, validation->spec, option, text);
	if (mistakes.bad)
		fail_validation(pool, validation,
				"its worker sent a broken answer instead of validating its options");
	else
		drop_validation(pool, validation);
	pool_validate_report_done(pool);
}

void pool_validate_lost(struct slot *slot, bool renewed, const char *text)
{
	struct pool *pool = slot->pool;
	for (struct pool_validation *at = pool->validations, *next; at != NULL; at = next) {
		next = at->next;
		char sentence[400];
		if (at->slot != slot && !(at->slot == NULL && at->plugin == slot->plugin))
			continue;
		if (renewed || (at->slot == NULL && find_slot(pool, at->plugin) != NULL)) {
			slot->validating -= at->slot == slot;
			at->slot = NULL;
			find_worker(pool, at);
			continue;
		}
		snprintf(sentence, sizeof(sentence), "its options cannot be validated: its worker %.300s",
			 text);
		fail_validation(pool, at, sentence);
	}
}

void pool_validate_end(struct pool *pool)
{
	while (pool->validations != NULL)
		drop_validation(pool, pool->validations);
	pool->validated = NULL;
	loop_clear_timer(pool->loop, &pool->validate_timeout);
}
