/* SPDX-License-Identifier: Apache-2.0 */
/* sched: the schedule: when each component is checked, the deadline and the grace of its runs, when its
 * result is stale. Publishes on the board.
 *
 * The daemon enforces a run's deadline: when it passes, unhealthy/timeout is published, the late result will
 * be dropped, and the next run waits until this one has returned. A run that has not returned after its grace
 * (the larger of 30 s and 3 timeouts) costs its worker; the component stays unhealthy/timeout until a run
 * returns.
 *
 * A check that is due needs admission, which bounds the checks at once for each plugin and each address. Its
 * deadline counts from the beginning of the run. A run past its deadline holds no permit. */
#ifndef SCHED_H
#define SCHED_H

#include "board/board.h"
#include "pool.h"

struct sched;

typedef void sched_lag(void *arg, double seconds); /* how long after its due time a check was requested */

struct sched *sched_new(struct loop *loop, struct board *board, const char *worker_program, sched_lag *lag,
			void *arg);
/* Stops all checks and ends all workers, which have timeout_ms to exit; done when the last is gone. */
void sched_end(struct sched *sched, int64_t timeout_ms, pool_done *done, void *arg);
void sched_free(struct sched *sched); /* after sched_end has called done */
struct pool *sched_pool(struct sched *sched);

/* limits.checks_at_once, checks_per_address and series; before the first sched_apply. */
void sched_configure(struct sched *sched, const struct settings *settings);
/* Returns when a component of that name is checked next: the first time after now_ms at its own offset, a
 * hash of its name, within the interval, so that many components do not stay in step. */
int64_t sched_next_due(const char *name, int64_t interval_ms, int64_t now_ms);

/* Finds what was kept of a component over a restart. */
typedef bool sched_recall(void *arg, const struct component_spec *spec, struct board_record *record);
/* Before the first sched_apply, which calls it for each configured component. A status is believed if it is not
 * older than a result that is not stale. */
void sched_set_recall(struct sched *sched, sched_recall *recall, void *arg);
typedef void sched_visit(void *arg, const struct component_spec *spec, const struct skymon_component *view);
void sched_each(struct sched *sched, sched_visit *visit, void *arg); /* in config order */

/* Replaces the components by these, in this order; takes over the specs (not the array). A component that did
 * not change keeps its worker, state, result, counters and schedule. First checks of new components are due
 * within FIRST_CHECKS_MS. */
void sched_apply(struct sched *sched, struct component_spec *const *specs, size_t count);

#endif
