/* SPDX-License-Identifier: Apache-2.0 */
/* board_related: what components are to each other: groups, and what each contributes. Called by board.c, on
 * the loop's thread; owns nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "board_private.h"

/* ---- Roll-up ---- */

int board_contribution(const struct board_item *item)
{
	struct verdict_part part = {
		.status = item->status,
		.impact = item->traits.impact,
		.configured = item->traits.not_configured == NULL,
		.starting = item->starting && !item->restored,
		.unknown_is_unhealthy = item->traits.unknown_is_unhealthy,
	};
	/* one in maintenance contributes nothing, which healthy is */
	return item->maintenance.size > 0 ? SKYMON_HEALTHY : verdict_overall(&part, 1);
}

int board_reason_of(int status)
{
	/* Only a required component that is starting makes a whole unknown. */
	switch (status) {
	case SKYMON_UNHEALTHY:
		return SKYMON_OTHER;
	case SKYMON_UNKNOWN:
		return SKYMON_STARTING;
	default:
		return SKYMON_OK;
	}
}

/* ---- Groups ---- */

static void number_groups(struct board *board)
{
	const char **names = x_alloc((board->count + 1) * sizeof(*names));
	board->group_count = 0;
	for (size_t i = 0; i < board->count; i++) {
		struct board_item *item = board->items[i];
		const char *group = item->traits.group;
		size_t at = 0;
		while (group != NULL && at < board->group_count && strcmp(names[at], group) != 0)
			at++;
		item->group = group != NULL ? at + 1 : 0;
		if (group != NULL && at == board->group_count)
			names[board->group_count++] = group;
	}
	free(names);
}

void board_roll_groups(const struct board *board, struct snapshot *snapshot)
{
	size_t count = board->group_count;
	if (count == 0)
		return;
	snapshot->groups = x_alloc(count * sizeof(*snapshot->groups));
	snapshot->group_list = x_alloc(count * sizeof(*snapshot->group_list));
	for (size_t i = 0; i < count; i++) {
		snapshot->groups[i] =
			(struct skymon_group){.size = sizeof(snapshot->groups[i]), .status = SKYMON_HEALTHY};
		snapshot->group_list[i] = &snapshot->groups[i];
	}
	for (size_t i = 0; i < board->count; i++) {
		const struct board_item *item = board->items[i];
		if (item->group == 0)
			continue;
		struct skymon_group *group = &snapshot->groups[item->group - 1];
		int status = board_contribution(item);
		group->name = snapshot->components[i]->group; /* lives as long as the snapshot */
		if (verdict_severity(status) > verdict_severity(group->status))
			group->status = status;
	}
	for (size_t i = 0; i < count; i++)
		snapshot->groups[i].ready_reason = board_reason_of(snapshot->groups[i].status);
	snapshot->view.groups = snapshot->group_list;
	snapshot->view.group_count = count;
}

/* ---- Maintenance ---- */

bool board_copy_maintenance(struct board_item *item, const struct skymon_maintenance *now)
{
	struct skymon_maintenance *old = &item->maintenance;
	if (old->size == now->size &&
	    (now->size == 0 || (old->since_ms == now->since_ms && old->until_ms == now->until_ms &&
				strcmp(old->why, now->why) == 0 && strcmp(old->by, now->by) == 0)))
		return false;
	free((char *)(uintptr_t)old->why);
	free((char *)(uintptr_t)old->by);
	*old = (struct skymon_maintenance){0};
	if (now->size != 0) {
		*old = *now;
		old->why = x_strdup(now->why);
		old->by = x_strdup(now->by);
	}
	return true;
}

/* ---- Dependencies ---- */

void board_free_parents(struct board_item *item)
{
	for (size_t i = 0; i < item->parent_count; i++)
		free(item->parents[i]);
	free(item->parents);
	free(item->parent_items);
	item->parents = NULL;
	item->parent_items = NULL;
	item->parent_count = 0;
}

void board_copy_parents(struct board_item *item, const struct board_traits *traits)
{
	size_t count = traits->parent_count;
	item->parents = x_alloc((count + 1) * sizeof(*item->parents));
	item->parent_items = x_alloc((count + 1) * sizeof(struct board_item *));
	for (; item->parent_count < count; item->parent_count++)
		item->parents[item->parent_count] = x_strdup(traits->parents[item->parent_count]);
	item->traits.parents = NULL; /* the caller's */
}

/* likely: where the last name was found; many components have the same parents. */
static size_t find_item(const struct board *board, const char *name, size_t likely)
{
	if (likely < board->count && strcmp(board->items[likely]->traits.name, name) == 0)
		return likely;
	size_t at = 0;
	while (at < board->count && strcmp(board->items[at]->traits.name, name) != 0)
		at++;
	return at;
}

static void find_parents(struct board *board)
{
	size_t at = 0;
	for (size_t i = 0; i < board->count; i++) {
		struct board_item *item = board->items[i];
		item->order = ORDER_NEW;
		item->next_parent = 0;
		item->upstream = NULL;
		for (size_t p = 0; p < item->parent_count; p++) {
			at = find_item(board, item->parents[p], at);
			item->parent_items[p] = at < board->count ? board->items[at] : NULL;
		}
	}
}

/* Puts an item behind all that it depends on; depth first, without recursion. The config has no circles; one
 * would be cut where it closes. */
static void put_in_order(struct board *board, struct board_item **stack, struct board_item *first)
{
	size_t depth = 0;
	if (first->order == ORDER_NEW && first->parent_count > 0)
		stack[depth++] = first;
	while (depth > 0) {
		struct board_item *item = stack[depth - 1];
		item->order = ORDER_OPEN;
		if (item->next_parent == item->parent_count) {
			item->order = ORDER_DONE;
			board->ordered[board->ordered_count++] = item;
			depth--;
			continue;
		}
		struct board_item *parent = item->parent_items[item->next_parent++];
		if (parent != NULL && parent->order == ORDER_NEW && parent->parent_count > 0)
			stack[depth++] = parent;
	}
}

static void set_cause(struct board_item *item, const struct board_item *cause)
{
	if (item->cause == cause)
		return;
	item->cause = cause;
	board_drop_view(item);
}

void board_relate(struct board *board)
{
	number_groups(board);
	find_parents(board);
	struct board_item **stack = x_alloc((board->count + 1) * sizeof(struct board_item *));
	free(board->ordered);
	board->ordered = x_alloc((board->count + 1) * sizeof(struct board_item *));
	board->ordered_count = 0;
	for (size_t i = 0; i < board->count; i++)
		put_in_order(board, stack, board->items[i]);
	free(stack);
	for (size_t i = 0; i < board->count; i++) /* those that depend on none any more */
		set_cause(board->items[i], NULL);
	board_find_causes(board);
}

static bool is_unhealthy(const struct board_item *item)
{
	return item->traits.not_configured == NULL && item->status == SKYMON_UNHEALTHY;
}

void board_find_causes(struct board *board)
{
	for (size_t i = 0; i < board->ordered_count; i++) {
		struct board_item *item = board->ordered[i];
		const struct board_item *upstream = NULL;
		for (size_t p = 0; p < item->parent_count && upstream == NULL; p++) {
			const struct board_item *parent = item->parent_items[p];
			if (parent == NULL)
				continue;
			upstream = parent->upstream;
			if (upstream == NULL && is_unhealthy(parent))
				upstream = parent;
		}
		bool known = item->traits.not_configured == NULL && (!item->starting || item->restored);
		bool explains = known && item->status != SKYMON_HEALTHY;
		item->upstream = upstream;
		set_cause(item, explains ? upstream : NULL);
	}
}
