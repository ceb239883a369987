/* SPDX-License-Identifier: Apache-2.0 */
/* board_related: what components are to each other: groups, and what each contributes. Called by board.c, on
 * the loop's thread; owns nothing. */
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
	return verdict_overall(&part, 1);
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

void board_number_groups(struct board *board)
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
