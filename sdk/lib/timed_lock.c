/* SPDX-License-Identifier: Apache-2.0 */
/* timed_lock: a flag under a mutex, and a condition to wait for it on the monotonic clock. A plain mutex
 * would do, but pthread_mutex_timedlock() waits on the wall clock, which may jump. Called by checks, request
 * handlers and secret callbacks, on their threads. Owns nothing. */
#include <skymon/timed_lock.h>

#include <time.h>

bool skymon_timed_lock_init(struct skymon_timed_lock *lock)
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

void skymon_timed_lock_end(struct skymon_timed_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
	pthread_cond_destroy(&lock->free);
}

bool skymon_timed_lock_take(struct skymon *sm, struct skymon_timed_lock *lock)
{
	int64_t left = skymon_ms_left(sm);
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&lock->mutex);
	while (lock->taken && pthread_cond_timedwait(&lock->free, &lock->mutex, &until) == 0)
		;
	bool mine = !lock->taken;
	lock->taken = true;
	pthread_mutex_unlock(&lock->mutex);
	return mine;
}

void skymon_timed_lock_give(struct skymon_timed_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
	lock->taken = false;
	pthread_cond_signal(&lock->free);
	pthread_mutex_unlock(&lock->mutex);
}
