/* SPDX-License-Identifier: Apache-2.0 */
/* runner_loop: runs of a plugin with begin, on the loop of the worker's main thread: their deadlines, and the
 * functions of skymon/loop.h. All runs on that thread, but the watchdog: a thread that ends the process when
 * a callback does not return, since nothing else could. */
#include <skymon/loop.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "resolve.h"
#include "runner_private.h"

#define BLOCKED_TICKS 6          /* a callback that has not returned for so long blocks the loop */
#define TICK_MS 500              /* counted, not timed: a process that was stopped is not to blame */
#define WATCHES_MAX 1048576      /* of descriptor numbers; the process's limit is far lower */
#define STALE_LOOK_US 100000     /* between two looks at the files of the sandbox; … */
#define STALE_HEALTHY_US 1000000 /* … after a healthy result, which can wait for the files */
#define CROWD 256                /* runs out at once, which take memory that few runs do not need */
#define TRIM_AGAIN_US 60000000   /* giving memory back walks through the heap */

struct loop_watch { /* never freed before the loop is: the epoll entry of a descriptor that was closed
		     * although a copy of it is open leads to it */
	struct watch watch;
	struct runner_loop *loop;
	struct runner_component *owner; /* NULL: not in use */
	void (*ready)(struct skymon *, void *, int, unsigned);
	void *arg;
};

struct runner_loop {
	struct runner *runner;
	struct loop *loop;
	pthread_t thread;
	struct loop_watch **watches; /* by descriptor */
	size_t room;
	struct runner_component *queries; /* that have one */
	struct timer query_timer;
	struct buf body; /* of a result */
	int64_t stale_us, trimmed_us;
	bool crowded;                            /* a crowd of runs has been out since */
	_Atomic(struct runner_component *) busy; /* the one whose callback runs; NULL if none does */
	_Atomic uint64_t turns;                  /* callbacks so far */
	_Atomic bool dozing;                     /* the watchdog waits for a callback */
	pthread_cond_t wake; /* the watchdog's; under the runner's lock, with the next two */
	bool watched, quit;  /* watched: the watchdog runs */
};

/* ---- The watchdog ---- */

/* Under the lock. */
static void wait_tick(struct runner_loop *loop)
{
	int64_t until_us = runner_clock_us() + TICK_MS * 1000;
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	pthread_cond_timedwait(&loop->wake, &loop->runner->lock, &until);
}

/* Dozes while no callback runs, so that a worker with nothing to do stays asleep, and looks a few times a
 * second otherwise. The lock keeps the component that it names: it is freed after its callbacks, under the
 * lock. */
static void *watch_over(void *arg)
{
	struct runner_loop *loop = arg;
	struct runner *runner = loop->runner;
	pthread_setname_np(pthread_self(), "watchdog");
	pthread_mutex_lock(&runner->lock);
	while (!loop->quit) {
		atomic_store(&loop->dozing,
			     true); /* before busy is read: enter() does it the other way round */
		while (atomic_load(&loop->busy) == NULL && !loop->quit)
			pthread_cond_wait(&loop->wake, &runner->lock);
		atomic_store(&loop->dozing, false);
		uint64_t turn = atomic_load(&loop->turns);
		const struct runner_component *busy;
		unsigned ticks = 0;
		do {
			wait_tick(loop);
			busy = atomic_load(&loop->busy);
		} while (!loop->quit && busy != NULL && atomic_load(&loop->turns) == turn &&
			 ++ticks < BLOCKED_TICKS);
		if (ticks == BLOCKED_TICKS)
			runner->events->blocked(runner->arg, busy->id, BLOCKED_TICKS * TICK_MS / 1000,
						busy->step);
	}
	loop->watched = false;
	pthread_cond_broadcast(&runner->change);
	pthread_mutex_unlock(&runner->lock);
	return NULL;
}

static void wake_watchdog(struct runner_loop *loop)
{
	pthread_mutex_lock(&loop->runner->lock);
	pthread_cond_signal(&loop->wake);
	pthread_mutex_unlock(&loop->runner->lock);
}

/* ---- Callbacks ---- */

struct callback {
	struct runner_loop *loop;
	bool weighed;
	uint32_t id;
};

static struct callback enter(struct runner_component *component)
{
	struct runner_loop *loop = component->runner->loop;
	atomic_fetch_add_explicit(&loop->turns, 1, memory_order_relaxed);
	atomic_store(&loop->busy, component);
	if (atomic_load(&loop->dozing))
		wake_watchdog(loop);
	runner_swap_current(component);
	return (struct callback){
		.loop = loop, .weighed = runner_usage_weigh(runner_clock_us()), .id = component->id};
}

/* The component at work may be another one by now (runner_loop_note). */
static void leave(const struct callback *callback)
{
	const struct runner_component *component = runner_swap_current(NULL);
	atomic_store(&callback->loop->busy, NULL);
	if (callback->weighed)
		runner_usage_weighed(component != NULL ? component->id : callback->id);
}

void runner_loop_note(struct runner_component *component)
{
	struct runner_loop *loop = component->runner->loop;
	if (loop == NULL || !pthread_equal(pthread_self(), loop->thread) ||
	    atomic_load(&loop->busy) != &component->runner->self)
		return;
	runner_swap_current(component);
	atomic_store(&loop->busy, component);
}

/* Whether the plugin may call such a function here. */
static bool is_allowed(struct runner_component *component, const char *name)
{
	const struct runner_loop *loop = component->runner->loop;
	struct err err;
	if (loop != NULL && pthread_equal(pthread_self(), loop->thread)) {
		runner_loop_note(component);
		return true;
	}
	err_set(&err, "%s %s", name,
		loop == NULL ? "is for plugins with begin"
			     : "was called on another thread than the worker's main one");
	runner_dropped(component, &err);
	return false;
}

/* ---- Runs ---- */

static void drop_query(struct runner_component *component)
{
	struct runner_component **link = &component->runner->loop->queries;
	if (component->on_loop.query == NULL)
		return;
	while (*link != component)
		link = &(*link)->on_loop.next;
	*link = component->on_loop.next;
	resolve_end(component->on_loop.query);
	component->on_loop.query = NULL;
}

/* The files of the sandbox are looked at for one of many results: a look is a stat for each. */
static bool is_stale(struct runner *runner, bool healthy, int64_t now_us)
{
	if (runner->events->stale == NULL ||
	    now_us - runner->loop->stale_us < (healthy ? STALE_HEALTHY_US : STALE_LOOK_US))
		return false;
	runner->loop->stale_us = now_us;
	return runner->events->stale(runner->arg, healthy);
}

static void end_run(struct runner_component *component, enum skymon_status status)
{
	struct runner *runner = component->runner;
	struct runner_loop *loop = runner->loop;
	int64_t now_us = runner_clock_us();
	runner_trace(component, "done: %s", skymon_status_word(status));
	loop_clear_timer(loop->loop, &component->on_loop.deadline);
	drop_query(component);
	atomic_store(&component->deadline_us, 0);
	loop->body.size = 0;
	message_put_result(&loop->body, component->run);
	result_encode(component->builder, status, now_us - component->on_loop.begun_us, &loop->body);
	result_builder_reset(component->builder);
	pthread_mutex_lock(&runner->lock);
	component->running = false;
	loop->crowded |= runner->out >= CROWD;
	bool last = --runner->out == 0;
	pthread_mutex_unlock(&runner->lock);
	if (!is_stale(runner, status == SKYMON_HEALTHY, now_us))
		runner->events->ended(runner->arg, component->id, &loop->body);
	runner_usage_report(component);
	if (last && loop->crowded && now_us - loop->trimmed_us > TRIM_AGAIN_US) {
		loop->crowded = false;
		loop->trimmed_us = now_us;
		malloc_trim(0);
	}
}

void runner_loop_cancel(struct runner_component *component)
{
	const struct skymon_plugin *plugin = component->runner->plugin;
	if (!component->running)
		return;
	uint64_t run = component->run;
	atomic_store(&component->deadline_us, 0);
	struct callback callback = enter(component);
	enum skymon_status status = plugin->cancel(&component->sm, component->state);
	leave(&callback);
	if (component->running && component->run == run) /* else cancel has called skymon_done */
		end_run(component, status);
}

static void on_deadline(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	runner_loop_cancel(container_of(timer, struct runner_component, on_loop.deadline));
}

void runner_loop_begin(struct runner_component *component, int64_t timeout_ms)
{
	struct runner_loop *loop = component->runner->loop;
	int64_t own_ms = runner_own_ms(timeout_ms);
	component->on_loop.begun_us = runner_clock_us();
	component->on_loop.deadline.fire = on_deadline;
	loop_set_timer(loop->loop, &component->on_loop.deadline, loop_clock_ms() + own_ms);
	struct callback callback = enter(component);
	runner_enter(component, own_ms, "");
	runner_trace(component, "begin, with %lld ms", (long long)own_ms);
	component->runner->plugin->begin(&component->sm, component->state);
	leave(&callback);
}

void runner_loop_done(struct skymon *sm, int status)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct err err;
	if (!is_allowed(component, "skymon_done"))
		return;
	if (component->running) {
		end_run(component, (enum skymon_status)status);
		return;
	}
	err_set(&err, "skymon_done was called outside a run");
	runner_dropped(component, &err);
}

/* ---- Descriptors ---- */

static void on_ready(struct watch *watch, uint32_t events)
{
	struct loop_watch *found = container_of(watch, struct loop_watch, watch);
	unsigned ready = ((events & (EPOLLIN | EPOLLPRI)) != 0 ? SKYMON_READ : 0) |
			 ((events & EPOLLOUT) != 0 ? SKYMON_WRITE : 0);
	if (found->owner == NULL)
		return;
	if ((events & (EPOLLERR | EPOLLHUP)) != 0)
		ready = SKYMON_READ | SKYMON_WRITE;
	struct callback callback = enter(found->owner);
	found->ready(&found->owner->sm, found->arg, watch->fd, ready);
	leave(&callback);
}

static struct loop_watch *watch_of(struct runner_loop *loop, int fd)
{
	size_t before = loop->room;
	loop->watches = x_grow(loop->watches, &loop->room, (size_t)fd + 1, sizeof(*loop->watches));
	for (size_t i = before; i < loop->room; i++)
		loop->watches[i] = NULL;
	struct loop_watch **watch = &loop->watches[fd];
	if (*watch == NULL) {
		*watch = x_alloc(sizeof(**watch));
		(*watch)->watch = (struct watch){.ready = on_ready, .fd = -1};
	}
	return *watch;
}

static void end_watch(struct runner_loop *loop, struct loop_watch *watch)
{
	watch->owner = NULL;
	loop_forget(loop->loop, &watch->watch);
}

bool runner_loop_watch(struct skymon *sm, int fd, unsigned events,
		       void (*ready)(struct skymon *, void *, int, unsigned), void *argument)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct runner_loop *loop = component->runner->loop;
	if (!is_allowed(component, "skymon_watch") || fd < 0 || fd >= WATCHES_MAX)
		return false;
	if (events == 0 && ((size_t)fd >= loop->room || loop->watches[fd] == NULL))
		return true;
	struct loop_watch *watch = watch_of(loop, fd);
	if (events == 0) {
		end_watch(loop, watch);
		return true;
	}
	uint32_t wanted = ((events & SKYMON_READ) != 0 ? (uint32_t)EPOLLIN : 0u) |
			  ((events & SKYMON_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
	if (ready == NULL || !loop_try(loop->loop, &watch->watch, fd, wanted)) {
		end_watch(loop, watch);
		return false;
	}
	watch->owner = component;
	watch->ready = ready;
	watch->arg = argument;
	return true;
}

/* ---- Timers ---- */

static void on_alarm(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct runner_component *component = container_of(timer, struct runner_component, on_loop.alarm);
	struct callback callback = enter(component);
	component->on_loop.due(&component->sm, component->on_loop.due_arg);
	leave(&callback);
}

void runner_loop_timer(struct skymon *sm, int64_t ms, void (*due)(struct skymon *, void *), void *argument)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct runner_on_loop *own = &component->on_loop;
	if (!is_allowed(component, "skymon_timer"))
		return;
	if (ms < 0 || due == NULL) {
		loop_clear_timer(component->runner->loop->loop, &own->alarm);
		return;
	}
	own->due = due;
	own->due_arg = argument;
	own->alarm.fire = on_alarm;
	/* one more, as the clock's milliseconds are cut: never too early */
	loop_set_timer(component->runner->loop->loop, &own->alarm, loop_clock_ms() + ms + (ms > 0));
}

/* ---- Names ---- */

/* Passes the result of a query on, if it has ended; then *again_us is 0, else when to look again. */
static void poll_query(struct runner_component *component, bool within, int64_t *again_us)
{
	struct runner_on_loop *own = &component->on_loop;
	char addresses[512];
	enum skymon_reason reason;
	struct err err;
	*again_us = 0;
	enum resolve_state state = resolve_poll(own->query, component->deadline_us, addresses,
						sizeof(addresses), again_us, &reason, &err);
	if (state == RESOLVE_WAITS)
		return;
	drop_query(component);
	if (state == RESOLVE_FAILED)
		runner_unresolved(component, reason, err.text);
	struct callback callback = {0};
	if (!within)
		callback = enter(component);
	own->resolved(&component->sm, own->resolved_arg, state == RESOLVE_FOUND ? addresses : NULL);
	if (!within)
		leave(&callback);
}

static void look_again(struct runner_loop *loop, int64_t again_us)
{
	int64_t due_ms = loop_clock_ms() + (again_us - runner_clock_us()) / 1000 + 1;
	if (loop->query_timer.slot == 0 || loop->query_timer.due_ms > due_ms)
		loop_set_timer(loop->loop, &loop->query_timer, due_ms);
}

void runner_loop_tend(struct runner_loop *loop)
{
	struct runner_component *component = loop->queries;
	while (component != NULL) {
		int64_t again_us;
		poll_query(component, false, &again_us);
		if (again_us != 0)
			look_again(loop, again_us);
		/* a callback may have changed the list */
		component = again_us != 0 ? component->on_loop.next : loop->queries;
	}
}

static void on_query_timer(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	runner_loop_tend(container_of(timer, struct runner_loop, query_timer));
}

void runner_loop_resolve(struct skymon *sm, const char *host,
			 void (*resolved)(struct skymon *, void *, const char *), void *argument)
{
	struct runner_component *component = (struct runner_component *)sm;
	struct runner *runner = component->runner;
	if (!is_allowed(component, "skymon_resolve_later"))
		return;
	if (!component->running) {
		runner_unresolved(component, SKYMON_OTHER, "skymon_resolve_later was called outside a run");
		resolved(sm, argument, NULL);
		return;
	}
	drop_query(component);
	struct runner_on_loop *own = &component->on_loop;
	own->resolved = resolved;
	own->resolved_arg = argument;
	own->query = resolve_begin(host, runner->events->wake, runner->arg);
	own->next = runner->loop->queries;
	runner->loop->queries = component;
	int64_t again_us;
	poll_query(component, true, &again_us);
	if (again_us != 0)
		look_again(runner->loop, again_us);
}

/* ---- Life ---- */

void runner_loop_leave(struct runner_component *component)
{
	struct runner_loop *loop = component->runner->loop;
	for (size_t i = 0; i < loop->room; i++)
		if (loop->watches[i] != NULL && loop->watches[i]->owner == component)
			end_watch(loop, loop->watches[i]);
	loop_clear_timer(loop->loop, &component->on_loop.alarm);
}

struct runner_loop *runner_loop_new(struct runner *runner, struct loop *main_loop)
{
	struct runner_loop *loop = x_alloc(sizeof(*loop));
	loop->runner = runner;
	loop->loop = main_loop;
	loop->thread = pthread_self();
	loop->query_timer.fire = on_query_timer;
	pthread_cond_init(&loop->wake, &runner->monotonic);
	pthread_mutex_lock(&runner->lock);
	loop->watched = runner_spawn_thread(watch_over, loop);
	pthread_mutex_unlock(&runner->lock);
	return loop;
}

void runner_loop_free(struct runner_loop *loop)
{
	if (loop == NULL)
		return;
	pthread_mutex_lock(&loop->runner->lock);
	loop->quit = true;
	pthread_cond_signal(&loop->wake);
	while (loop->watched)
		pthread_cond_wait(&loop->runner->change, &loop->runner->lock);
	pthread_mutex_unlock(&loop->runner->lock);
	for (size_t i = 0; i < loop->room; i++) {
		if (loop->watches[i] != NULL)
			end_watch(loop, loop->watches[i]);
		free(loop->watches[i]);
	}
	loop_clear_timer(loop->loop, &loop->query_timer);
	pthread_cond_destroy(&loop->wake);
	free(loop->watches);
	buf_free(&loop->body);
	free(loop);
}
