/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: epoll, a heap of timers, and one turn for libmicrohttpd. Run by the daemon's only thread,
 * by the main thread of a worker and by the tool; owns the epoll descriptor and the heap. */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

struct due { /* beside the timer, so that thousands are compared without a look at each */
	int64_t at_ms;
	struct timer *timer;
};

struct loop {
	int epoll_fd;
	bool stopped;
	int64_t now_ms;
	struct due *heap; /* the earliest first */
	size_t count, capacity;
	struct epoll_event batch[BATCH];
	int batch_count;
	loop_turn *turn;
	void *turn_arg;
};

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t loop_clock_ms(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t wall_clock_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

struct loop *loop_new(void)
{
	struct loop *loop = x_alloc(sizeof(*loop));
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		free(loop);
		return NULL;
	}
	loop->now_ms = loop_clock_ms();
	return loop;
}

void loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	close(loop->epoll_fd);
	free(loop->heap);
	free(loop);
}

void loop_raise(struct loop *loop, int least)
{
	int high = fcntl(loop->epoll_fd, F_DUPFD_CLOEXEC, least);
	if (high < 0)
		return; /* the limit of descriptors is lower */
	close(loop->epoll_fd);
	loop->epoll_fd = high;
}

int64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

/* ---- Descriptors ---- */

static void control(struct loop *loop, struct watch *watch, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	if (epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) < 0)
		abort(); /* a descriptor that is not open, or is twice in the loop: a defect of skymon */
}

void loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	watch->fd = fd;
	control(loop, watch, EPOLL_CTL_ADD, events);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	control(loop, watch, EPOLL_CTL_MOD, events);
}

static void drop_events(struct loop *loop, struct watch *watch)
{
	watch->fd = -1;
	for (int i = 0; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	control(loop, watch, EPOLL_CTL_DEL, 0);
	drop_events(loop, watch);
}

bool loop_try(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};
	if (watch->fd == fd && epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return true;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		watch->fd = -1;
		return false;
	}
	watch->fd = fd;
	return true;
}

void loop_forget(struct loop *loop, struct watch *watch)
{
	struct epoll_event none = {0};
	if (watch->fd < 0)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, &none);
	drop_events(loop, watch);
}

/* ---- Timers: a binary heap; each timer knows its slot, so that it can be moved or removed ---- */

static void place(struct loop *loop, size_t index, struct due due)
{
	loop->heap[index] = due;
	due.timer->slot = index + 1;
}

static void sift(struct loop *loop, size_t index, struct due due)
{
	while (index > 0 && loop->heap[(index - 1) / 2].at_ms > due.at_ms) {
		place(loop, index, loop->heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * index + 1;
		if (child + 1 < loop->count && loop->heap[child + 1].at_ms < loop->heap[child].at_ms)
			child++;
		if (child >= loop->count || loop->heap[child].at_ms >= due.at_ms)
			break;
		place(loop, index, loop->heap[child]);
		index = child;
	}
	place(loop, index, due);
}

void loop_set_timer(struct loop *loop, struct timer *timer, int64_t due_ms)
{
	timer->due_ms = due_ms;
	if (timer->slot == 0) {
		loop->heap = x_grow(loop->heap, &loop->capacity, loop->count + 1, sizeof(*loop->heap));
		timer->slot = ++loop->count;
	}
	sift(loop, timer->slot - 1, (struct due){due_ms, timer});
}

void loop_clear_timer(struct loop *loop, struct timer *timer)
{
	if (timer->slot == 0)
		return;
	size_t index = timer->slot - 1;
	timer->slot = 0;
	struct due last = loop->heap[--loop->count];
	if (last.timer != timer)
		sift(loop, index, last);
}

/* Fires the timers that are due. Those that a callback sets for now are fired in the next turn, so that
 * timers cannot starve descriptors. */
static void fire_timers(struct loop *loop)
{
	size_t most = loop->count;
	while (loop->count > 0 && loop->heap[0].at_ms <= loop->now_ms && most-- > 0) {
		struct timer *timer = loop->heap[0].timer;
		loop_clear_timer(loop, timer);
		timer->fire(timer, loop->now_ms);
	}
}

/* ---- The loop ---- */

void loop_set_turn(struct loop *loop, loop_turn *turn, void *arg)
{
	loop->turn = turn;
	loop->turn_arg = arg;
}

static int wait_ms(struct loop *loop)
{
	int64_t wait = loop->turn != NULL ? loop->turn(loop->turn_arg, loop->now_ms) : -1;
	if (loop->count > 0) {
		int64_t due = loop->heap[0].at_ms - loop_clock_ms();
		due = due < 0 ? 0 : due;
		wait = wait < 0 || due < wait ? due : wait;
	}
	return (int)(wait > 3600000 ? 3600000 : wait);
}

void loop_run(struct loop *loop)
{
	while (!loop->stopped) {
		loop->now_ms = loop_clock_ms();
		fire_timers(loop);
		if (loop->stopped)
			break;
		int wait = wait_ms(loop);
		int count = loop->stopped ? 0 : epoll_wait(loop->epoll_fd, loop->batch, BATCH, wait);
		if (count < 0 && errno != EINTR)
			abort(); /* only a defect can make it fail: bad descriptor, bad address */
		loop->now_ms = loop_clock_ms();
		loop->batch_count = count > 0 ? count : 0;
		for (int i = 0; i < loop->batch_count; i++) {
			struct watch *watch = loop->batch[i].data.ptr;
			if (watch != NULL)
				watch->ready(watch, loop->batch[i].events);
		}
		loop->batch_count = 0;
	}
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
