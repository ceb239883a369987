/* SPDX-License-Identifier: Apache-2.0 */
/* crew_validate: has the plugins' workers validate the options of a plan's components, before anything is
 * done about the plan. Called by the daemon once the plugins are open; one plan at a time. A worker that is
 * up is asked at once; where a plugin has none, one is started for this and ended by crew_tidy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_private.h"

#define VALIDATE_MS 5000

struct crew_validation {
	struct crew_validation *next;
	const struct component_spec *spec;
	struct crew_plugin *plugin;
	struct crew_slot *slot; /* that was asked; NULL: it waits for a worker */
	uint32_t id;
};

void crew_validate_tell_done(struct crew *crew)
{
	if (crew->validations != NULL || crew->validated == NULL)
		return;
	crew_prepared *done = crew->validated;
	crew->validated = NULL;
	loop_clear_timer(crew->loop, &crew->validate_late);
	done(crew->validate_arg);
}

static void end(struct crew *crew, struct crew_validation *validation)
{
	struct crew_validation **link = &crew->validations;
	while (*link != validation)
		link = &(*link)->next;
	*link = validation->next;
	if (validation->slot != NULL)
		validation->slot->validating--;
	free(validation);
}

static void fail(struct crew *crew, struct crew_validation *validation, const char *text)
{
	crew->mistake(crew->validate_arg, validation->spec, NULL, text);
	end(crew, validation);
}

static void ask(struct crew_slot *slot, struct crew_validation *validation)
{
	struct crew *crew = slot->crew;
	struct buf body = {0};
	wire_put_text(&body, validation->spec->name);
	char *state_dir = crew_state_dir(slot);
	wire_put_text(&body, state_dir);
	free(state_dir);
	option_values_encode_blank(validation->spec->values, &body);
	validation->slot = slot;
	validation->id = ++crew->last_id;
	slot->validating++;
	crew_claim_add(slot, validation->id);
	*crew_claim_find(slot, validation->id) =
		(struct crew_claim){.id = validation->id, .started = true, .validation = true};
	worker_validate(slot->worker, validation->id, &body);
	component_wipe(&body);
}

static void give_up(struct timer *timer, int64_t now_ms)
{
	struct crew *crew = container_of(timer, struct crew, validate_late);
	char text[100];
	(void)now_ms;
	snprintf(text, sizeof(text), "its worker did not validate its options within %d ms", VALIDATE_MS);
	while (crew->validations != NULL)
		fail(crew, crew->validations, text);
	crew_validate_tell_done(crew);
}

/* A worker of the plugin, one that is up if there is any. */
static struct crew_slot *find_slot(const struct crew *crew, const struct crew_plugin *plugin)
{
	struct crew_slot *coming = NULL;
	for (struct crew_slot *slot = crew->slots; slot != NULL; slot = slot->next) {
		if (slot->plugin != plugin || slot->worker == NULL || slot->ending)
			continue;
		if (slot->up)
			return slot;
		coming = slot;
	}
	return coming;
}

/* Asks a worker that is up; else one that is coming asks for it, or is started. */
static void find_worker(struct crew *crew, struct crew_validation *validation)
{
	struct crew_slot *slot = find_slot(crew, validation->plugin);
	if (slot == NULL)
		crew_slot_spawn(crew_slot_new(crew, validation->plugin, true));
	else if (slot->up)
		ask(slot, validation);
}

void crew_validate(struct crew *crew, struct component_spec *const *specs, size_t count,
		   crew_mistake *mistake, crew_prepared *done, void *arg)
{
	crew->mistake = mistake;
	crew->validated = done;
	crew->validate_arg = arg;
	crew->validate_late.fire = give_up;
	for (size_t i = 0; i < count; i++) {
		struct crew_plugin *plugin = crew_find_plugin(crew, specs[i]->plugin);
		if (specs[i]->unusable != NULL || plugin == NULL || plugin->info == NULL ||
		    !plugin->info->has_validate)
			continue;
		struct crew_validation *validation = x_alloc(sizeof(*validation));
		*validation = (struct crew_validation){
			.next = crew->validations, .spec = specs[i], .plugin = plugin};
		crew->validations = validation;
	}
	if (crew->validations != NULL)
		loop_set_timer(crew->loop, &crew->validate_late, loop_now_ms(crew->loop) + VALIDATE_MS);
	for (struct crew_validation *at = crew->validations; at != NULL; at = at->next)
		find_worker(crew, at);
	crew_validate_tell_done(crew);
}

void crew_validate_slot_up(struct crew_slot *slot)
{
	for (struct crew_validation *at = slot->crew->validations; !slot->ending && at != NULL; at = at->next)
		if (at->plugin == slot->plugin && at->slot == NULL)
			ask(slot, at);
}

void crew_validate_take(struct crew_slot *slot, uint32_t id, struct wire_reader mistakes)
{
	struct crew *crew = slot->crew;
	struct crew_validation *validation = crew->validations;
	const struct crew_claim *claim = crew_claim_find(slot, id);
	if (claim == NULL || !claim->validation) {
		crew_break(slot, "validated options that it was not asked for");
		return;
	}
	crew_claim_drop(slot, id);
	while (validation != NULL && (validation->id != id || validation->slot != slot))
		validation = validation->next;
	if (validation == NULL)
		return; /* it was given up */
	uint32_t count = wire_get_count(&mistakes, 2 * sizeof(uint32_t));
	for (uint32_t i = 0; i < count && !mistakes.bad; i++) {
		const char *option = wire_get_text_or_empty(&mistakes);
		const char *text = wire_get_text_or_empty(&mistakes);
		if (!mistakes.bad)
			crew->mistake(crew->validate_arg, validation->spec, option, text);
	}
	if (mistakes.bad || !wire_end(&mistakes))
		fail(crew, validation, "its worker sent a broken answer when it was to validate its options");
	else
		end(crew, validation);
	crew_validate_tell_done(crew);
}

void crew_validate_lost(struct crew_slot *slot, bool renewed, const char *text)
{
	struct crew *crew = slot->crew;
	for (struct crew_validation *at = crew->validations, *next; at != NULL; at = next) {
		next = at->next;
		char sentence[400];
		if (at->slot != slot && !(at->slot == NULL && at->plugin == slot->plugin))
			continue;
		if (renewed || (at->slot == NULL && find_slot(crew, at->plugin) != NULL)) {
			slot->validating -= at->slot == slot;
			at->slot = NULL;
			find_worker(crew, at);
			continue;
		}
		snprintf(sentence, sizeof(sentence), "its options cannot be validated: its worker %.300s",
			 text);
		fail(crew, at, sentence);
	}
}

void crew_validate_end(struct crew *crew)
{
	while (crew->validations != NULL)
		end(crew, crew->validations);
	crew->validated = NULL;
	loop_clear_timer(crew->loop, &crew->validate_late);
}
