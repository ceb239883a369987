/* SPDX-License-Identifier: Apache-2.0 */
/* virtual_loop: base/loop.h with a clock that the test moves. Descriptors are real and polled when the test
 * says so. The .c file of one test program includes it, and the linker takes these definitions in place of
 * core's. */
#ifndef VIRTUAL_LOOP_H
#define VIRTUAL_LOOP_H

#include <poll.h>
#include <stdlib.h>

#include "base/loop.h"

#define LOOP_ITEMS 16
#define LOOP_REAL_MS 10000 /* for what another process has to do: only a failing test waits as long */

struct loop {
	int64_t now_ms;
	struct timer *timers[LOOP_ITEMS];
	size_t timer_count;
	struct watch *watches[LOOP_ITEMS];
	uint32_t events[LOOP_ITEMS];
	size_t watch_count;
};

struct loop *loop_new(void)
{
	struct loop *loop = x_alloc(sizeof(*loop));
	loop->now_ms = 1000000;
	return loop;
}

void loop_free(struct loop *loop)
{
	free(loop);
}

int64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

int64_t wall_clock_ms(void)
{
	return 1700000000000;
}

void loop_clear_timer(struct loop *loop, struct timer *timer)
{
	size_t kept = 0;
	for (size_t i = 0; i < loop->timer_count; i++)
		if (loop->timers[i] != timer)
			loop->timers[kept++] = loop->timers[i];
	loop->timer_count = kept;
	timer->slot = 0;
}

void loop_set_timer(struct loop *loop, struct timer *timer, int64_t due_ms)
{
	loop_clear_timer(loop, timer);
	timer->due_ms = due_ms;
	timer->slot = 1;
	if (loop->timer_count == LOOP_ITEMS)
		abort();
	loop->timers[loop->timer_count++] = timer;
}

void loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	if (loop->watch_count == LOOP_ITEMS)
		abort();
	watch->fd = fd;
	loop->watches[loop->watch_count] = watch;
	loop->events[loop->watch_count++] = events;
}

static size_t loop_find(const struct loop *loop, const struct watch *watch)
{
	size_t i = 0;
	while (i < loop->watch_count && loop->watches[i] != watch)
		i++;
	return i;
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	size_t at = loop_find(loop, watch);
	if (at == loop->watch_count)
		abort();
	loop->events[at] = events;
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	size_t at = loop_find(loop, watch);
	watch->fd = -1;
	if (at == loop->watch_count)
		return;
	loop->watch_count--;
	loop->watches[at] = loop->watches[loop->watch_count];
	loop->events[at] = loop->events[loop->watch_count];
}

/* One turn: what is ready at its beginning is called. Waits for that so long. Returns false if nothing was
 * ready. */
static inline bool loop_turn_once(struct loop *loop, int real_ms)
{
	struct pollfd fds[LOOP_ITEMS];
	struct watch *watches[LOOP_ITEMS];
	size_t count = loop->watch_count;
	for (size_t i = 0; i < count; i++) {
		watches[i] = loop->watches[i];
		fds[i] = (struct pollfd){.fd = watches[i]->fd, .events = (short)loop->events[i]};
	}
	if (poll(fds, count, real_ms) <= 0)
		return false;
	for (size_t i = 0; i < count; i++) /* a callback may have removed it */
		if (fds[i].revents != 0 && loop_find(loop, watches[i]) < loop->watch_count)
			watches[i]->ready(watches[i], (uint32_t)fds[i].revents);
	return true;
}

/* Moves the clock, and fires each timer at its time. */
static inline void loop_pass(struct loop *loop, int64_t ms)
{
	int64_t until_ms = loop->now_ms + ms;
	for (;;) {
		struct timer *first = NULL;
		for (size_t i = 0; i < loop->timer_count; i++)
			if (loop->timers[i]->due_ms <= until_ms &&
			    (first == NULL || loop->timers[i]->due_ms < first->due_ms))
				first = loop->timers[i];
		if (first == NULL)
			break;
		loop->now_ms = first->due_ms > loop->now_ms ? first->due_ms : loop->now_ms;
		loop_clear_timer(loop, first);
		first->fire(first, loop->now_ms);
	}
	loop->now_ms = until_ms;
}

#endif
