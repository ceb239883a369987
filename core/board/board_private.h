/* SPDX-License-Identifier: Apache-2.0 */
/* board_private: shared by the files of the board; included by no others. */
#ifndef BOARD_PRIVATE_H
#define BOARD_PRIVATE_H

#include "board.h"

#define REPORTED_MAX 8 /* kinds of message while a status lasts */
#define VIEW_TEXTS 8
#define ITEM_TEXTS 5

/* A component at one time, as readers see it; immutable and reference-counted. */
struct view {
	struct skymon_component component; /* the first member: a skymon_component is its view */
	uint32_t references;
	struct result *shown, *latest;
	char *texts
		[VIEW_TEXTS]; /* name, plugin, labels, message, group, because_of, why and by of maintenance */
	struct skymon_maintenance maintenance;
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
	char *texts[ITEM_TEXTS];           /* that traits point to */
	char **parents;                    /* copies of the names of traits */
	struct board_item **parent_items;  /* the same on the board; NULL for one that is not on it */
	const struct board_item *upstream; /* the unhealthy component that those above it lead to, or NULL */
	const struct board_item *cause;    /* the same while it is not healthy itself, or NULL */
	int seen;                          /* status and such that causes were last found for */
	size_t parent_count, next_parent;
	enum { ORDER_NEW, ORDER_OPEN, ORDER_DONE } order; /* while board->ordered is made, and next_parent */
	struct skymon_maintenance maintenance; /* size 0 if it is in none; its texts are the item's own */
	size_t group; /* number of its group on the board, from 1; 0 if it is in none */
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
	struct board_item **ordered; /* those that depend on others, each behind its parents */
	size_t ordered_count;
	uint64_t generation;
	struct snapshot *snapshot; /* the same */
	int overall;
	bool overall_known;
};

/* Numbers the groups of the items and finds their parents; called when the items of the board have changed. */
void board_relate(struct board *board);
/* Finds the causes of all components again, after a status has changed. */
void board_find_causes(struct board *board);
void board_view_unref(struct view *view); /* NULL is allowed */
/* Drops the view of an item, which has changed. */
void board_drop_view(struct board_item *item);
/* Takes copies of the names of parents; frees them. */
void board_copy_parents(struct board_item *item, const struct board_traits *traits);
void board_free_parents(struct board_item *item);
/* Takes a copy of it; size 0 for none. Returns whether it differs from what the item has. */
bool board_copy_maintenance(struct board_item *item, const struct skymon_maintenance *now);
/* Rolls each group up for a new snapshot, whose components are set. */
void board_roll_groups(const struct board *board, struct snapshot *snapshot);
/* Returns what a component contributes to a whole: of the board, or of its group. */
int board_contribution(const struct board_item *item);
/* Returns the ready reason of a whole with this status. */
int board_reason_of(int status);

#endif
