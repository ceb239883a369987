/* SPDX-License-Identifier: Apache-2.0 */
/* board: the latest results of all components, their statuses, the roll-up, and snapshots of it all.
 * One thread. Owns its items; a snapshot is immutable and counted, and outlives any change. */
#ifndef BOARD_H
#define BOARD_H

#include "verdict.h"

struct board;
struct board_item; /* one component's place on the board; owned by the component that made it */

struct board_traits { /* what config says of a component; copied */
	const char *name, *plugin;
	const char *labels; /* as labels_print */
	enum skymon_impact impact;
	bool unknown_is_unhealthy;
	uint32_t rise, fall;
	int64_t interval_ms, timeout_ms;
	const char *not_configured; /* the sentence; NULL when it is configured */
	const struct verdict_limit *limits;
	size_t limit_count;
};

/* changed: called after each change of a component's status. The first result after starting has `from` -1,
 * and is not told when it is healthy. Called with `from` equal to the status when a component that is not
 * healthy has a reason, or a message but for its digits, that it has not had since its status turned
 * (SAID_MAX of them at most). `now` is valid during the call. It may not change the board. */
typedef void board_changed(void *arg, const struct skymon_component *now, int from_status);
/* What the view says, beyond routes.h:
 * - Before the first result: unknown, starting, "not checked yet", since_ms 0. Not configured: unknown,
 * not_configured and its sentence.
 * - since_ms: the time of the result (or of the reload, or of growing stale) that made the present status.
 * - consecutive_failures, checks_total, failures_total, last_success_ms: of runs, that is of results
 * published as counted. A failure is unhealthy or unknown; last_success_ms is the newest healthy or degraded
 * one.
 * - shown: gave the status; the newest one when it agrees with the status. latest differs from it while rise
 * or fall wait.
 * - stale: latest is the daemon's own unknown/stale, without numbers and families (what is too old is no
 * longer measured); shown is the newest result of a run, for its time and details. */
struct board *board_new(board_changed *changed, void *arg);
void board_free(struct board *board);

struct board_item *board_item_new(const struct board_traits *traits, int64_t now_ms);
/* After a reload: new traits; status, results and counters stay. restarted: options changed, so that the next
 * result sets the status at once. */
void board_item_configure(struct board *board, struct board_item *item, const struct board_traits *traits,
			  bool restarted, int64_t now_ms);
void board_item_free(struct board_item *item); /* takes it off its board; NULL is fine */

/* The components in config order; the array is copied, the items are not. */
void board_set_items(struct board *board, struct board_item *const *items, size_t count);

/* All times are of the wall clock. A late result of a component that is not configured any more is dropped.
 */
/* A run has ended (or the daemon found something in its place). Takes over the caller's reference. counted:
 * it counts as a check in the totals. */
void board_publish(struct board *board, struct board_item *item, struct result *result, bool counted);
/* The last result has become too old: unknown/stale from now on, until the next result. */
void board_set_stale(struct board *board, struct board_item *item, int64_t now_ms);
void board_set_next_check(struct board *board, struct board_item *item, int64_t time_ms);

const struct skymon_component *board_item_view(
	struct board_item *item);            /* valid until the next change of the item */
int board_overall(struct board *board);      /* cheap: kept between changes */
int board_ready_reason(struct board *board); /* SKYMON_OK, SKYMON_STARTING, SKYMON_OTHER */

/* Made anew only when something changed since the last one. */
const struct skymon_snapshot *board_snapshot(struct board *board);
void board_release(struct board *board, const struct skymon_snapshot *snapshot);

#endif
