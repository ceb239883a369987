/* SPDX-License-Identifier: Apache-2.0 */
/* loop: the one epoll loop of the daemon, and of a worker's main thread: descriptors, timers in a heap, one
 * clock (CLOCK_BOOTTIME, so that a machine that slept wakes with everything due). Owns neither descriptors
 * nor what is in the callbacks. One thread. */
#ifndef LOOP_H
#define LOOP_H

#include <stdint.h>

#include "err.h"

struct loop;

struct watch {                                               /* embedded; container_of leads back */
	void (*ready)(struct watch *watch, uint32_t events); /* EPOLLIN … */
	int fd;
};
struct timer { /* zeroed = not set */
	void (*fire)(struct timer *timer, int64_t now_ms);
	int64_t due_ms;
	size_t slot; /* place in the heap + 1 */
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct loop *loop_new(void);
void loop_free(struct loop *loop);
/* Moves the loop's own descriptor to that number or a higher one, out of the way of code that closes low
 * ones. */
void loop_raise(struct loop *loop, int least);

/* A descriptor in the loop must be removed before it is closed. Removing one from within a callback is fine:
 * no event of it comes after. */
void loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);
void loop_remove(struct loop *loop, struct watch *watch); /* does nothing if fd is -1; sets it to -1 */

/* For the descriptors of foreign code, which may be closed, or no longer the same: adds or changes; false,
 * with errno, if it cannot be watched. */
bool loop_try(struct loop *loop, struct watch *watch, int fd, uint32_t events) MUST_CHECK;
/* loop_remove, for a descriptor that may be closed. */
void loop_forget(struct loop *loop, struct watch *watch);

void loop_set_timer(struct loop *loop, struct timer *timer,
		    int64_t due_ms); /* a timer that is set is moved */
void loop_clear_timer(struct loop *loop, struct timer *timer);

int64_t loop_clock_ms(void);                  /* CLOCK_BOOTTIME, now */
int64_t loop_now_ms(const struct loop *loop); /* the same, as of this turn */
int64_t wall_clock_ms(void);                  /* CLOCK_REALTIME: only to be shown */

/* Called before each wait; does the work of libmicrohttpd, and returns how long the wait may be (ms), or -1.
 */
typedef int loop_turn(void *arg, int64_t now_ms);
void loop_set_turn(struct loop *loop, loop_turn *turn, void *arg);

void loop_run(
	struct loop *loop); /* until loop_stop, which may have been called before; may be called again */
void loop_stop(struct loop *loop);

#endif
