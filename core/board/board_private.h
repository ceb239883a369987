/* SPDX-License-Identifier: Apache-2.0 */
/* board_private: shared by the files of the board; included by no others. */
#ifndef BOARD_PRIVATE_H
#define BOARD_PRIVATE_H

#include "board.h"

#define REPORTED_MAX 8 /* kinds of message while a status lasts */
#define VIEW_TEXTS 5
#define ITEM_TEXTS 5

/* A component at one time, as readers see it; immutable and reference-counted. */
struct view {
	struct skymon_component component; /* the first member: a skymon_component is its view */
	uint32_t references;
	struct result *shown, *latest;
	char *texts[VIEW_TEXTS]; /* name, plugin, labels, message, group */
	struct skymon_limit *limits;
	const struct skymon_limit **limit_list;
	size_t limit_count;
};

struct snapshot {
	struct skymon_snapshot view; /* the first member */
	uint32_t references;
	struct skymon_group *groups;
	const struct skymon_group **group_list;
	const struct skymon_component *components[];
};

struct board_item {
	struct board *board; /* NULL while it is not on a board */
	struct board_traits traits;
	char *texts[ITEM_TEXTS]; /* that traits point to */
	size_t group;            /* number of its group on the board, from 1; 0 if it is in none */
	struct verdict_limit *limits;
	size_t limit_count;
	struct verdict_streak streak;
	struct result *shown, *latest;
	int status, reason;
	char *message;
	bool stale, starting;
	bool restored; /* starting, with the status of before the restart */
	uint32_t consecutive_failures;
	uint64_t checks_total, failures_total, series_dropped_total;
	uint64_t reported[REPORTED_MAX]; /* kinds of message, since the status changed */
	size_t reported_count;
	int64_t since_ms, last_success_ms, next_check_ms;
	struct view *view; /* NULL after a change, until it is read */
};

struct board {
	board_changed *changed;
	void *arg;
	void (*touched)(void *arg); /* may be NULL */
	void *touched_arg;
	struct board_item **items;
	size_t count, group_count;
	uint64_t generation;
	struct snapshot *snapshot; /* the same */
	int overall;
	bool overall_known;
};

/* Numbers the groups of the items; called when the items of the board have changed. */
void board_number_groups(struct board *board);
/* Rolls each group up for a new snapshot, whose components are set. */
void board_roll_groups(const struct board *board, struct snapshot *snapshot);
/* Returns what a component contributes to a whole: of the board, or of its group. */
int board_contribution(const struct board_item *item);
/* Returns the ready reason of a whole with this status. */
int board_reason_of(int status);

#endif
