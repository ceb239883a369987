/* SPDX-License-Identifier: Apache-2.0 */
/* timed_lock: a lock that is waited for at most to the deadline, and held while a server is asked. */
#ifndef TIMED_LOCK_H
#define TIMED_LOCK_H

#include <pthread.h>
#include <skymon/plugin.h>
#include <time.h>

struct timed_lock {
	pthread_mutex_t lock;
	pthread_cond_t free;
	bool taken;
};

static inline bool timed_lock_init(struct timed_lock *turn)
{
	pthread_condattr_t monotonic;

	if (pthread_condattr_init(&monotonic) != 0)
		return false;
	if (pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) != 0 ||
	    pthread_cond_init(&turn->free, &monotonic) != 0) {
		pthread_condattr_destroy(&monotonic);
		return false;
	}
	pthread_condattr_destroy(&monotonic);
	turn->taken = false;
	return pthread_mutex_init(&turn->lock, NULL) == 0;
}

static inline void timed_lock_end(struct timed_lock *turn)
{
	pthread_mutex_destroy(&turn->lock);
	pthread_cond_destroy(&turn->free);
}

/* false: the deadline came first. */
static inline bool timed_lock_take(struct skymon *sm, struct timed_lock *turn)
{
	int64_t left = skymon_ms_left(sm);
	struct timespec until;
	bool mine;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += left / 1000;
	until.tv_nsec += left % 1000 * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&turn->lock);
	while (turn->taken && pthread_cond_timedwait(&turn->free, &turn->lock, &until) == 0)
		;
	mine = !turn->taken;
	turn->taken = true;
	pthread_mutex_unlock(&turn->lock);
	return mine;
}

static inline void timed_lock_give(struct timed_lock *turn)
{
	pthread_mutex_lock(&turn->lock);
	turn->taken = false;
	pthread_cond_signal(&turn->free);
	pthread_mutex_unlock(&turn->lock);
}

#endif
