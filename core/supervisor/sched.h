/* SPDX-License-Identifier: Apache-2.0 */
/* sched: when each component is checked: due times, deadlines, the grace, what is stale; publishes on the
 * board. Owns the components.
 *
 * The deadline of a run is the daemon's: when it passes, unhealthy/timeout is published, the late result is
 * dropped, and the next run waits until this one has returned. A run that is still out after the grace (the
 * larger of 30 s and 3 x timeout) costs its worker; the component stays unhealthy/timeout until a run of it
 * ends otherwise.
 *
 * A check that is due asks for admission first: so many at once for each plugin and each address. Its
 * deadline begins when it begins. One that hangs is past its deadline and holds nobody back any more. */
#ifndef SCHED_H
#define SCHED_H

#include "board/board.h"
#include "pool.h"

struct sched;

typedef void sched_lag(void *arg, double seconds); /* how late a check was started */

struct sched *sched_new(struct loop *loop, struct board *board, const char *worker_program, sched_lag *lag,
			void *arg);
/* No more checks; all workers leave, within so long; done is called when the last is gone. */
void sched_end(struct sched *sched, int64_t timeout_ms, pool_done *done, void *arg);
void sched_free(struct sched *sched); /* after that */
struct pool *sched_pool(struct sched *sched);

/* limits.checks_at_once, checks_per_address and series; before the first sched_apply. */
void sched_configure(struct sched *sched, const struct settings *settings);
/* When a component of that name is checked next: the first moment after now_ms at its own offset (a hash of
 * its name) within the interval, so that many components do not stay in step. */
int64_t sched_next_due(const char *name, int64_t interval_ms, int64_t now_ms);

/* The components from now on, in this order; takes over the specs (not the array). What did not change keeps
 * its worker, state, result, counters and schedule. First checks of new ones are due within 1 s. */
void sched_apply(struct sched *sched, struct component_spec *const *specs, size_t count);

#endif
