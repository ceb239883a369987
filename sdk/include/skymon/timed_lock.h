/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/timed_lock.h - a lock with the check's deadline as timeout, for data that is held while a server is queried.
 *
 * Of the helper library (`pkg-config skymon-lib`), which a plugin links statically. It is outside of the ABI's promise: a
 * plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_TIMED_LOCK_H
#define SKYMON_TIMED_LOCK_H

#include <pthread.h>
#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In the plugin's state or shared memory. Its members are the library's own. */
struct skymon_timed_lock {
	pthread_mutex_t mutex;
	pthread_cond_t free;
	bool taken;
};

/* Returns false if out of memory. End it with skymon_timed_lock_end, when no thread has it. */
bool skymon_timed_lock_init(struct skymon_timed_lock *lock);
void skymon_timed_lock_end(struct skymon_timed_lock *lock);

/* Waits for the lock, at most skymon_ms_left(). Returns false at the deadline: the lock is not taken then. Any thread. */
bool skymon_timed_lock_take(struct skymon *sm, struct skymon_timed_lock *lock);
/* On any thread, also another than the one that took it. */
void skymon_timed_lock_give(struct skymon_timed_lock *lock);

#ifdef __cplusplus
}
#endif

#endif
