/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/loop.h - for a check that starts now and ends later, so that one thread serves thousands of them. Most checks need none of
 * this: `check` may wait, and is simpler.
 *
 * Run      A plugin with `begin` and `cancel` in place of `check` has all its callbacks on the worker's main thread, one at a time. None of
 *          them may wait: a callback that has not returned after 3 s costs the worker, and its component is named.
 *          begin(sm, state) starts a run and returns. skymon_done ends the run, within begin or in a later callback.
 * End      cancel(sm, state) ends a run whose time is over (skymon_ms_left is 0) or whose component stops: it gives up what begin started, and
 *          returns the result as a check does. The result of a component that stops is dropped. A run that was ended is not cancelled.
 * Reports  What is reported (skymon_number, skymon_detail …) between begin and skymon_done belongs to the run; reports at other
 *          times are dropped, but skymon_error to skymon_debug.
 * Handles  A component's handle is the same in all its callbacks, until stop has returned; so begin may keep it. Watches, the timer and the name
 *          that is looked up belong to the handle they are asked with. `start` may ask for watches and the timer too, and so may `load`, whose
 *          handle is good until unload has returned: for a library that serves all components. A crash or a wait in a callback of the
 *          load's handle is blamed on the component whose handle was used last in it.
 * Threads  The functions below work on the worker's main thread only; elsewhere they do nothing but log it.
 * Limits   Such a plugin has no routes and no `secret`.
 */
#ifndef SKYMON_LOOP_H
#define SKYMON_LOOP_H

#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKYMON_READ 1u
#define SKYMON_WRITE 2u

/* Ends the run of this component with that status, and what was reported. Outside a run it does nothing. */
static inline void skymon_done(struct skymon *sm, enum skymon_status status) { SKYMON_DO(sm, done, sm, (int)status); }

/* Watches a descriptor, level-triggered: ready is called with what is ready; an error or a hang-up counts as both. There is one watch for a
 * descriptor: a second call replaces it, and events 0 ends it, which must happen before the descriptor is closed. Watches outlive a run. Returns
 * false for a descriptor that cannot be watched (a regular file, a closed one). */
static inline bool skymon_watch(struct skymon *sm, int fd, unsigned events,
				void (*ready)(struct skymon *, void *argument, int fd, unsigned events), void *argument)
{ return SKYMON_CALL(sm, watch, sm, fd, events, ready, argument); }

/* Calls due once, after ms; 0: when the callback has returned. A handle has one timer: a second call replaces it, and ms < 0 ends it. */
static inline void skymon_timer(struct skymon *sm, int64_t ms, void (*due)(struct skymon *, void *argument), void *argument)
{ SKYMON_DO(sm, timer, sm, ms, due, argument); }

/* skymon_resolve without the wait: calls resolved with the addresses, joined by commas, or with NULL when message and reason are set (return
 * SKYMON_UNHEALTHY). A numeric address is passed on before this returns. One name at a time for a run, whose end takes it back. */
static inline void skymon_resolve_later(struct skymon *sm, const char *host,
					void (*resolved)(struct skymon *, void *argument, const char *addresses), void *argument)
{ SKYMON_DO(sm, resolve_later, sm, host, resolved, argument); }

#ifdef __cplusplus
}
#endif

#endif
