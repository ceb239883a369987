/* SPDX-License-Identifier: Apache-2.0 */
/* board: the latest results of all components, their statuses, the roll-up, and snapshots of them. A snapshot
 * is immutable and reference-counted, and survives any change. */
#ifndef BOARD_H
#define BOARD_H

#include "verdict.h"

struct board;
struct board_item; /* one component on the board; its maker frees it */

struct board_traits { /* policy of a component, from its config; copied */
	const char *name, *plugin;
	const char *labels;         /* as labels_print writes them */
	const char *group;          /* NULL if it is in none */
	const char *const *parents; /* names of those that it depends on */
	size_t parent_count;
	enum skymon_impact impact;
	bool unknown_is_unhealthy;
	uint32_t rise, fall;
	int64_t interval_ms, timeout_ms;
	const char *not_configured; /* why, in one sentence; NULL when it is configured */
	const struct verdict_limit *limits;
	size_t limit_count;
};

struct board_record { /* what survives a restart of a component's state */
	uint64_t checks_total, failures_total, series_dropped_total;
	uint32_t consecutive_failures;
	int64_t last_success_ms;
	/* of the result that gave the status; looked_ms: of the newest result, 0 if there is none */
	int status, reason;
	int64_t since_ms, time_ms, duration_us, looked_ms;
	const char *message, *details;
};

/* Called after each change of a component's status; for the first result from_status is -1, and a healthy one
 * is not reported. Also called, with from_status equal to the status, when a component that is not healthy
 * has a reason or a message, digits aside, that was not reported since its status changed (at most
 * REPORTED_MAX of them). `now` is valid during the call. The callee may not change the board. */
typedef void board_changed(void *arg, const struct skymon_component *now, int from_status);
/* The view of a component, beyond routes.h:
 * - Before the first result it is unknown, starting, "not checked yet", with since_ms 0. A component that is
 * not configured is unknown, not_configured, with the sentence.
 * - since_ms is the time of the result, the reload or the staleness that made the present status.
 * - consecutive_failures, checks_total, failures_total and last_success_ms are of runs, that is of results
 *   published as counted. Unhealthy and unknown are failures, healthy and degraded are successes.
 * - shown is the result that gave the status, or the newest that agrees with it. latest differs from it while
 *   rise or fall hold a change back.
 * - because_of names, of a component that is not healthy, the unhealthy one that it depends on, through others
 *   too: the first along its parents that depends on no unhealthy one itself. No status depends on it.
 * - While stale, latest is the daemon's own unknown/stale, without numbers and families; shown is the newest
 *   result of a run, for its time and details. */
struct board *board_new(board_changed *changed, void *arg);
/* Has `touched` called after each change of anything that a snapshot shows. */
void board_set_touched(struct board *board, void (*touched)(void *arg), void *arg);
void board_free(struct board *board);

struct board_item *board_item_new(const struct board_traits *traits);
/* Replaces the traits after a reload; status, results and counters stay. restarted: the options have changed,
 * so the next result sets the status at once. */
void board_item_configure(struct board *board, struct board_item *item, const struct board_traits *traits,
			  bool restarted, int64_t now_ms);
/* Continues the counters of before the restart and, if believed, the status: the component is starting until
 * its first result, and contributes that status to the whole meanwhile. For a new item. */
void board_item_restore(struct board_item *item, const struct board_record *record, bool believed);
void board_item_free(struct board_item *item); /* removes it from its board; may be NULL */

/* Sets the components, in config order; the array is copied, the items are not. */
void board_set_items(struct board *board, struct board_item *const *items, size_t count);

/* All times are of the wall clock. */

/* Publishes the result of a run, or of the daemon in its place; takes over the caller's reference. counted:
 * it counts as a check in the totals. Dropped when the component is not configured any more. */
void board_publish(struct board *board, struct board_item *item, struct result *result, bool counted);
/* The last result is too old: the component is unknown/stale until the next result. */
void board_set_stale(struct board *board, struct board_item *item, int64_t now_ms);
void board_set_next_check(struct board *board, struct board_item *item, int64_t time_ms);

const struct skymon_component *board_item_view(
	struct board_item *item);            /* valid until the next change of the item */
int board_overall(struct board *board);      /* cheap: kept between changes */
int board_ready_reason(struct board *board); /* SKYMON_OK, SKYMON_STARTING, SKYMON_OTHER */

/* Sets which components are in maintenance: find is called for each, and the texts that it sets are copied. */
typedef bool board_silenced(void *arg, const char *name, const char *group, struct skymon_maintenance *out);
void board_set_maintenance(struct board *board, board_silenced *find, void *arg);

/* Returns the present snapshot, which is the last one until something changes. */
const struct skymon_snapshot *board_snapshot(struct board *board);
void board_release(struct board *board, const struct skymon_snapshot *snapshot);

#endif
