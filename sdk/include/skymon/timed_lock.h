/* SPDX-License-Identifier: Apache-2.0 */
/* timed_lock: a lock with the check's deadline as timeout, for data that is held while a server is queried.
 */
#ifndef TIMED_LOCK_H
#define TIMED_LOCK_H

#include <pthread.h>
#include <skymon/plugin.h>
#include <time.h>

struct timed_lock {
	pthread_mutex_t mutex;
	pthread_cond_t free;
	bool taken;
};

static inline bool timed_lock_init(struct timed_lock *lock)
{
	pthread_condattr_t monotonic;

	if (pthread_condattr_init(&monotonic) != 0)
		return false;
	if (pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&lock->free, &monotonic) != 0) {
		pthread_condattr_destroy(&monotonic);
		return false;
	}
	pthread_condattr_destroy(&monotonic);
	lock->taken = false;
	return pthread_mutex_init(&lock->mutex, NULL) == 0;
}

static inline void timed_lock_end(struct timed_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
	pthread_cond_destroy(&lock->free);
}

/* Returns false at the deadline. */
static inline bool timed_lock_take(struct skymon *sm, struct timed_lock *lock)
{
	int64_t left = skymon_ms_left(sm);
	struct timespec until;
	bool mine;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&lock->mutex);
	while (lock->taken && pthread_cond_timedwait(&lock->free, &lock->mutex, &until) == 0)
		;
	mine = !lock->taken;
	lock->taken = true;
	pthread_mutex_unlock(&lock->mutex);
	return mine;
}

static inline void timed_lock_give(struct timed_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
	lock->taken = false;
	pthread_cond_signal(&lock->free);
	pthread_mutex_unlock(&lock->mutex);
}

#endif
