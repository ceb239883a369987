/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual clock: base/loop.h with timers that fire when nothing else is due before them, the wall clock,
 * the system's random numbers and the log, all decided by the seed. Things that are due at the same time
 * happen in a random order, as the daemon must not rely on one. Called by the core (as base/loop.h,
 * base/log.h, getrandom) and by sim.c, which steps. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TIMERS_MAX = 512, EVENTS_MAX = 2048, TRACE_LINES = 60, TRACE_WIDTH = 240 };

struct loop {
	struct timer *timers[TIMERS_MAX];
	uint32_t ties[TIMERS_MAX];
	size_t count;
};

struct sim sim;
static struct event events[EVENTS_MAX];
static size_t event_count;
static char trace[TRACE_LINES][TRACE_WIDTH];
static size_t traced;

/* ---- Randomness ---- */

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

uint64_t sim_draw(uint64_t below)
{
	return next_random(&sim.random) % below;
}

int64_t sim_between(int64_t low, int64_t high)
{
	return low + (int64_t)sim_draw((uint64_t)(high - low + 1));
}

bool sim_fault(enum fault fault)
{
	return sim.troubled && sim.rates[fault] > 0 && sim_draw(1000) < sim.rates[fault];
}

/* The seam for pool_number: the program's own function is taken before libc's. */
ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
	(void)flags;
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = (unsigned char)next_random(&sim.numbers);
	return (ssize_t)size;
}

/* ---- The trace ---- */

static void trace_list(const char *format, va_list list)
{
	char *line = trace[traced++ % TRACE_LINES];
	int size = snprintf(line, TRACE_WIDTH, "%9lld.%03lld  ", (long long)(sim.now_ms / 1000),
			    (long long)(sim.now_ms % 1000));
	vsnprintf(line + size, TRACE_WIDTH - (size_t)size, format, list);
	if (sim.printing)
		fprintf(stderr, "%s\n", line);
}

void sim_trace(const char *format, ...)
{
	if (!sim.tracing)
		return;
	va_list list;
	va_start(list, format);
	trace_list(format, list);
	va_end(list);
}

void sim_check_text(const char *text)
{
	size_t length = strlen(text);
	if (strchr(text, SECRET_MARK) != NULL)
		sim_fail("a message has a secret in it: %s", text);
	if (length == 0 || text[length - 1] == ' ' || text[length - 1] == ':')
		sim_fail("a message lacks its end: %s", text);
}

void sim_print_trace(void)
{
	for (size_t i = traced > TRACE_LINES ? traced - TRACE_LINES : 0; i < traced; i++)
		fprintf(stderr, "%s\n", trace[i % TRACE_LINES]);
}

void sim_fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	if (!sim.printing)
		sim_print_trace();
	fprintf(stderr, "FAILED: seed %llu, at %lld ms: ", (unsigned long long)sim.seed,
		(long long)sim.now_ms);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	_exit(1);
}

/* ---- The log: part of the trace, and never with a secret ---- */

void __wrap_log_line_list(enum log_level level, const char *const *fields, const char *format, va_list list);
void __wrap_log_line_list(enum log_level level, const char *const *fields, const char *format, va_list list)
{
	char text[800];
	int size = snprintf(text, sizeof(text), "log %d", (int)level);
	for (; fields != NULL && fields[0] != NULL; fields += 2)
		if (fields[1] != NULL)
			size += snprintf(text + size, 200, " %s=%.100s", fields[0], fields[1]);
	text[size++] = ' ';
	vsnprintf(text + size, sizeof(text) - (size_t)size, format, list);
	sim_check_text(text);
	sim_trace("%s", text);
}

void __wrap_log_line(enum log_level level, const char *const *fields, const char *format, ...);
void __wrap_log_line(enum log_level level, const char *const *fields, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	__wrap_log_line_list(level, fields, format, list);
	va_end(list);
}

void __wrap_log_audit(const char *const *fields, const char *format, ...);
void __wrap_log_audit(const char *const *fields, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	__wrap_log_line_list(LOG_LEVEL_INFO, fields, format, list);
	va_end(list);
}

/* ---- base/loop.h; descriptors are not simulated ---- */

struct loop *loop_new(void)
{
	return x_alloc(sizeof(struct loop));
}

void loop_free(struct loop *loop)
{
	free(loop);
}

void loop_set_timer(struct loop *loop, struct timer *timer, int64_t due_ms)
{
	timer->due_ms = due_ms;
	if (timer->slot == 0) {
		if (loop->count == TIMERS_MAX)
			sim_fail("more than %d timers", TIMERS_MAX);
		loop->timers[loop->count] = timer;
		timer->slot = ++loop->count;
	}
	loop->ties[timer->slot - 1] = (uint32_t)sim_draw(UINT32_MAX);
}

void loop_clear_timer(struct loop *loop, struct timer *timer)
{
	if (timer->slot == 0)
		return;
	size_t index = timer->slot - 1, last = --loop->count;
	loop->timers[index] = loop->timers[last];
	loop->ties[index] = loop->ties[last];
	loop->timers[index]->slot = index + 1;
	timer->slot = 0;
}

int64_t loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return sim.now_ms;
}

int64_t loop_clock_ms(void)
{
	return sim.now_ms;
}

int64_t wall_clock_ms(void)
{
	return sim.now_ms + sim.wall_ms;
}

int64_t sim_useful_ms(void)
{
	return sim.now_ms - sim.lost_ms;
}

size_t sim_timers(void)
{
	return sim.loop->count;
}

/* ---- Steps ---- */

void sim_begin_clock(uint64_t seed)
{
	sim = (struct sim){.seed = seed,
			   .random = seed * 2,
			   .numbers = seed * 2 + 1,
			   .tracing = sim.tracing,
			   .printing = sim.printing};
	sim.now_ms = 1000000;
	sim.wall_ms = 1700000000000;
	event_count = 0;
	traced = 0;
}

void sim_add_event(struct event event)
{
	if (event_count == EVENTS_MAX)
		sim_fail("more than %d events wait", EVENTS_MAX);
	event.tie = (uint32_t)sim_draw(UINT32_MAX);
	events[event_count++] = event;
}

void sim_drop_events(const struct process *worker)
{
	size_t kept = 0;
	for (size_t i = 0; i < event_count; i++)
		if (events[i].worker != worker)
			events[kept++] = events[i];
	event_count = kept;
}

static size_t first_timer(void)
{
	const struct loop *loop = sim.loop;
	size_t first = 0;
	for (size_t i = 1; i < loop->count; i++)
		if (loop->timers[i]->due_ms < loop->timers[first]->due_ms ||
		    (loop->timers[i]->due_ms == loop->timers[first]->due_ms &&
		     loop->ties[i] < loop->ties[first]))
			first = i;
	return first;
}

static size_t first_event(void)
{
	size_t first = 0;
	for (size_t i = 1; i < event_count; i++)
		if (events[i].at_ms < events[first].at_ms ||
		    (events[i].at_ms == events[first].at_ms && events[i].tie < events[first].tie))
			first = i;
	return first;
}

bool sim_step(void)
{
	struct timer *timer = sim.loop->count > 0 ? sim.loop->timers[first_timer()] : NULL;
	size_t index = first_event();
	int64_t timer_ms = timer != NULL ? timer->due_ms : INT64_MAX;
	int64_t event_ms = event_count > 0 ? events[index].at_ms : INT64_MAX;
	int64_t next_ms = timer_ms < event_ms ? timer_ms : event_ms;
	if (next_ms == INT64_MAX)
		return false;
	if (next_ms > sim.now_ms)
		sim.now_ms = next_ms;
	if (sim_fault(TURN_SLOW)) {
		int64_t late_ms = sim_between(1, 300);
		sim.now_ms += late_ms;
		sim.lost_ms += late_ms;
	}
	bool both = timer_ms <= sim.now_ms && event_ms <= sim.now_ms;
	if (both ? sim_draw(2) == 0 : timer_ms < event_ms) {
		loop_clear_timer(sim.loop, timer);
		timer->fire(timer, sim.now_ms);
	} else {
		struct event event = events[index];
		events[index] = events[--event_count];
		event.fire(&event);
	}
	return true;
}

/* Descriptors belong to the writer of a file of state, which no simulation has. */
void loop_add(struct loop *loop, struct watch *watch, int fd, uint32_t events)
{
	(void)loop, (void)watch, (void)fd, (void)events;
	abort();
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	(void)loop, (void)watch;
	abort();
}
