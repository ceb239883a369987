/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of check threads, the life of components, and the watch over runs. The newest idle thread takes
 * the next run, so that threads that are not needed stay idle, and end after a while: a burst leaves no
 * stacks behind. The functions of runner.h run on the main thread, checks on the pool; what both touch is
 * under the runner's lock. */
#include "runner_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IDLE_MS 5000           /* after which a thread without work ends */
#define THREADS_END_US 1000000 /* for idle threads to end, when the runner does */
#define WATCH_MS 200           /* how often memory and descriptors are counted while a callback runs */
#define STEP_AGAIN_US 1000000  /* a late run's step is reported again when it has changed */
#define START_MS 5000          /* for load, start and stop: they do no I/O over a network */

/* ---- A run ---- */

static void run_check(struct runner_component *component)
{
	struct runner *runner = component->runner;
	char name[16];
	snprintf(name, sizeof(name), "%s", component->name);
	pthread_setname_np(pthread_self(), name);
	runner_usage_begin(component->id);
	int64_t begun = runner_clock_us();
	runner_enter(component, runner_own_ms(component->timeout_ms), "");
	runner_trace(component, "check, with %lld ms", (long long)runner_own_ms(component->timeout_ms));
	enum skymon_status status = runner->plugin->check(&component->sm, component->state);
	int64_t duration = runner_clock_us() - begun;
	runner_trace(component, "returned %s", skymon_status_word(status));
	runner_leave();
	struct buf body = {0};
	message_put_result(&body, component->run);
	result_encode(component->builder, status, duration, &body);
	result_builder_reset(component->builder);
	pthread_setname_np(pthread_self(), "idle");
	pthread_mutex_lock(&runner->lock);
	component->running = false; /* before the result is sent: the next run may be asked for at once */
	component->held++;
	pthread_mutex_unlock(&runner->lock);
	if (runner->events->stale == NULL || !runner->events->stale(runner->arg, status == SKYMON_HEALTHY))
		runner->events->ended(runner->arg, component->id, &body);
	buf_free(&body);
	runner_usage_end(component->id);
	runner_usage_report(component);
	runner_usage_check(runner);
}

/* Under the lock. */
static struct runner_component *take_queued(struct runner *runner)
{
	struct runner_component *component = runner->queue_first;
	if (component == NULL)
		return NULL;
	runner->queue_first = component->queued;
	if (runner->queue_first == NULL)
		runner->queue_last = NULL;
	return component;
}

struct runner_idler { /* an idle thread, on its own stack */
	pthread_cond_t wake;
	struct runner_idler *next;
	bool woken;
};

/* Under the lock. The newest idle thread has work. */
static void wake_idler(struct runner *runner)
{
	struct runner_idler *idler = runner->idlers;
	runner->idlers = idler->next;
	idler->woken = true;
	pthread_cond_signal(&idler->wake);
}

/* Under the lock; false after a while without work, or at the end. */
static bool wait_for_work(struct runner *runner)
{
	struct runner_idler idler = {.next = runner->idlers};
	int64_t until_us = runner_clock_us() + IDLE_MS * 1000;
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	int waited = 0;
	if (runner->quit)
		return false;
	pthread_cond_init(&idler.wake, &runner->monotonic);
	runner->idlers = &idler;
	while (!idler.woken && waited != ETIMEDOUT)
		waited = pthread_cond_timedwait(&idler.wake, &runner->lock, &until);
	if (!idler.woken) {
		struct runner_idler **link = &runner->idlers;
		while (*link != &idler)
			link = &(*link)->next;
		*link = idler.next;
	}
	pthread_cond_destroy(&idler.wake);
	return idler.woken;
}

static void *pool_thread(void *arg)
{
	struct runner *runner = arg;
	runner_signal_stack();
	pthread_mutex_lock(&runner->lock);
	for (;;) {
		struct runner_component *component = take_queued(runner);
		if (component == NULL) {
			if (!wait_for_work(runner))
				break;
			continue;
		}
		pthread_mutex_unlock(&runner->lock);
		run_check(component);
		pthread_mutex_lock(&runner->lock);
		runner_release(component);
	}
	runner->threads--;
	pthread_cond_broadcast(&runner->change);
	pthread_mutex_unlock(&runner->lock);
	runner_signal_stack_end();
	return NULL;
}

static bool add_thread(struct runner *runner)
{
	bool done = runner_spawn_thread(pool_thread, runner);
	runner->threads += done;
	return done;
}

void runner_set_interval(struct runner *runner, uint32_t id, int64_t interval_ms)
{
	struct runner_component *component = runner_find(runner, id);
	if (component != NULL)
		component->interval_ms = interval_ms;
}

bool runner_run(struct runner *runner, uint32_t id, uint64_t run, int64_t timeout_ms)
{
	struct runner_component *component = runner_find(runner, id);
	pthread_mutex_lock(&runner->lock);
	bool begin = component != NULL && !component->running && !component->stopping;
	bool thread = true;
	if (begin) {
		component->run = run;
		component->timeout_ms = timeout_ms;
		component->running = true;
		runner->out++;
	}
	if (begin && runner->loop == NULL) {
		component->late_us = runner_clock_us() + (timeout_ms + runner_own_ms(timeout_ms)) / 2 * 1000;
		component->late_step[0] = '\0';
		component->queued = NULL;
		if (runner->queue_last != NULL)
			runner->queue_last->queued = component;
		else
			runner->queue_first = component;
		runner->queue_last = component;
		if (runner->idlers != NULL)
			wake_idler(runner);
		else
			thread = add_thread(runner);
	}
	pthread_mutex_unlock(&runner->lock);
	if (begin && runner->loop != NULL) {
		runner_loop_begin(component, timeout_ms);
		return true;
	}
	if (begin && component->late_us < runner->watch_us)
		runner->watch_us = component->late_us;
	if (!thread) /* the run waits for a busy thread; the daemon reports a timeout if that takes too long
		      */
		runner_log(component, LOG_LEVEL_ERROR,
			   "cannot start one more thread: the check waits for another");
	return begin;
}

/* ---- The watch over runs ---- */

/* Reports the step of a run whose time is over, when the step has changed. Returns when to look again. */
static int64_t watch_step(struct runner *runner, struct runner_component *component, int64_t now_us)
{
	char step[RUNNER_STEP_MAX];
	pthread_mutex_lock(&runner->lock);
	bool out = component->running;
	uint64_t run = component->run;
	bool changed =
		out && now_us >= component->late_us && strcmp(component->step, component->late_step) != 0;
	if (out && now_us >= component->late_us)
		component->late_us = now_us + STEP_AGAIN_US;
	int64_t next_us = component->late_us;
	memcpy(step, component->step, sizeof(step));
	memcpy(component->late_step, step, changed ? sizeof(step) : 0);
	pthread_mutex_unlock(&runner->lock);
	if (changed && runner->events->step != NULL)
		runner->events->step(runner->arg, component->id, run, step);
	return out ? next_us : INT64_MAX;
}

int runner_watch(struct runner *runner)
{
	int64_t now_us = runner_clock_us();
	pthread_mutex_lock(&runner->lock);
	bool idle = runner->out == 0;
	pthread_mutex_unlock(&runner->lock);
	if (idle)
		return -1;
	if (now_us < runner->watch_us)
		return (int)((runner->watch_us - now_us) / 1000 + 1);
	runner_usage_check(runner);
	int64_t next_us = now_us + WATCH_MS * 1000;
	struct runner_component *first =
		runner->loop != NULL ? NULL : runner->components; /* else none is late */
	for (struct runner_component *component = first; component != NULL; component = component->next) {
		int64_t step_us = watch_step(runner, component, now_us);
		next_us = step_us < next_us ? step_us : next_us;
	}
	runner->watch_us = next_us;
	return (int)((next_us - now_us) / 1000 + 1);
}

/* ---- Components ---- */

/* Returns the names of `a="x",b="y"`. */
static char **label_names(const char *labels)
{
	char **names = x_alloc(sizeof(*names));
	size_t count = 0, room = 1;
	while (*labels != '\0') {
		size_t size = strcspn(labels, "=");
		names = x_grow(names, &room, count + 2, sizeof(*names));
		names[count++] = x_strndup(labels, size);
		names[count] = NULL;
		labels += size;
		if (labels[0] == '\0' || labels[1] == '\0')
			break;
		for (labels += 2; *labels != '\0' && *labels != '"'; labels++)
			if (*labels == '\\' && labels[1] != '\0')
				labels++;
		labels += strspn(labels, "\",");
	}
	return names;
}

static void free_component(struct runner_component *component)
{
	for (char **name = component->label_names; name != NULL && *name != NULL; name++)
		free(*name);
	free(component->label_names);
	free(component->name);
	free(component->state_dir);
	mask_free(&component->mask);
	free(component->complaint);
	free(component->state);
	option_values_free(component->values);
	result_builder_free(component->builder);
	free(component);
}

static struct runner_component *new_component(struct runner *runner, const struct runner_spec *spec)
{
	struct runner_component *component = x_alloc(sizeof(*component));
	component->sm.host = &runner_host;
	component->runner = runner;
	component->id = spec->id;
	component->observe = runner->events->observed != NULL ? spec->start.observe : 0;
	if ((component->observe & MESSAGE_CALLS) != 0)
		component->sm.host = runner_trace_host();
	component->name = x_strdup(spec->start.name);
	component->state_dir = x_strdup(spec->start.state_dir);
	component->interval_ms = spec->start.interval_ms;
	component->label_names = label_names(spec->start.labels);
	component->values = spec->values;
	component->state = x_alloc(runner->plugin->state_size);
	component->builder = result_builder_new();
	result_builder_limit(component->builder, spec->start.series_max);
	return component;
}

static bool call_start(struct runner_component *component, enum skymon_reason *reason, struct err *err)
{
	const struct skymon_plugin *plugin = component->runner->plugin;
	*reason = SKYMON_NONE;
	if (plugin->start == NULL)
		return true;
	runner_enter(component, START_MS, "starting");
	bool ok = plugin->start(&component->sm, component->state);
	runner_leave();
	if (ok)
		return true;
	const char *message = result_builder_message(component->builder);
	*reason = (enum skymon_reason)result_claim(SKYMON_UNKNOWN, result_builder_reason(component->builder));
	return err_set(err, "%s", message[0] != '\0' ? message : "start failed without a message");
}

bool runner_start(struct runner *runner, const struct runner_spec *spec, enum skymon_reason *reason,
		  struct err *err)
{
	const struct skymon_plugin *plugin = runner->plugin;
	struct runner_component *component = new_component(runner, spec);
	bool ok = spec->id != 0 && runner_find(runner, spec->id) == NULL;
	*reason = SKYMON_OTHER;
	if (!ok)
		err_set(err, "component %s is started already", spec->start.name);
	ok = ok && (spec->values == NULL ||
		    option_store(spec->values, plugin->options, plugin->option_size, component->state, err));
	if (ok)
		runner_find_secrets(component);
	ok = ok && runner_is_valid(component, err);
	if (!ok || !call_start(component, reason, err)) {
		if (runner->loop != NULL)
			runner_loop_leave(component);
		free_component(component);
		return false;
	}
	struct runner_component **bucket = &runner->buckets[component->id % RUNNER_BUCKETS];
	component->same = *bucket;
	*bucket = component;
	component->next = runner->components;
	runner->components = component;
	return true;
}

static void call_stop(struct runner_component *component)
{
	if (component->runner->plugin->stop == NULL)
		return;
	runner_enter(component, START_MS, "stopping");
	component->runner->plugin->stop(&component->sm, component->state);
	runner_leave();
}

void runner_tend(struct runner *runner)
{
	struct runner_component **link = &runner->components;
	if (runner->loop != NULL)
		runner_loop_tend(runner->loop);
	while (*link != NULL && runner->stopping > 0) {
		struct runner_component *component = *link;
		pthread_mutex_lock(&runner->lock);
		bool gone = component->stopping && !component->running && component->held == 0;
		pthread_mutex_unlock(&runner->lock);
		if (!gone) {
			link = &component->next;
			continue;
		}
		*link = component->next;
		struct runner_component **same = &runner->buckets[component->id % RUNNER_BUCKETS];
		while (*same != component)
			same = &(*same)->same;
		*same = component->same;
		runner->stopping--;
		call_stop(component);
		if (runner->loop != NULL)
			runner_loop_leave(component);
		uint32_t id = component->id;
		runner_usage_forget(id);
		free_component(component);
		if (runner->events->stopped != NULL)
			runner->events->stopped(runner->arg, id);
	}
}

static void begin_stop(struct runner_component *component)
{
	struct runner *runner = component->runner;
	pthread_mutex_lock(&runner->lock);
	runner->stopping += !component->stopping;
	component->stopping = true;
	pthread_mutex_unlock(&runner->lock);
	if (runner->loop != NULL)
		runner_loop_cancel(component);
}

void runner_stop(struct runner *runner, uint32_t id)
{
	struct runner_component *component = runner_find(runner, id);
	if (component == NULL)
		return;
	begin_stop(component);
	runner_tend(runner);
}

/* ---- Life ---- */

static bool call_load(struct runner *runner, struct err *err)
{
	if (runner->plugin->load == NULL)
		return true;
	runner_enter(&runner->self, START_MS, "loading");
	bool ok = runner->plugin->load(&runner->self.sm, runner->shared);
	runner_leave();
	if (ok)
		return true;
	const char *message = result_builder_message(runner->self.builder);
	return err_set(err, "%s", message[0] != '\0' ? message : "load failed without a message");
}

static void free_runner(struct runner *runner)
{
	runner_loop_free(runner->loop);
	pthread_mutex_destroy(&runner->lock);
	pthread_condattr_destroy(&runner->monotonic);
	pthread_cond_destroy(&runner->change);
	result_builder_free(runner->self.builder);
	free(runner->self.complaint);
	free(runner->shared);
	free(runner);
}

struct runner *runner_new(const struct skymon_plugin *plugin, struct loop *loop, int64_t memory_limit,
			  const struct runner_events *events, void *arg, struct err *err)
{
	struct runner *runner = x_alloc(sizeof(*runner));
	runner->plugin = plugin;
	runner->events = events;
	runner->arg = arg;
	if (events->excess != NULL)
		runner_usage_start(memory_limit);
	runner->shared = x_alloc(plugin->shared_size);
	pthread_condattr_init(&runner->monotonic);
	pthread_condattr_setclock(&runner->monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&runner->lock, NULL);
	pthread_cond_init(&runner->change, &runner->monotonic);
	static char no_name[] = "", *no_labels[] = {NULL};
	runner->self = (struct runner_component){.sm.host = &runner_host,
						 .runner = runner,
						 .name = no_name,
						 .state_dir = no_name,
						 .label_names = no_labels,
						 .builder = result_builder_new()};
	if (plugin->begin != NULL)
		runner->loop = runner_loop_new(runner, loop);
	if (call_load(runner, err))
		return runner;
	if (runner->loop != NULL)
		runner_loop_leave(&runner->self);
	free_runner(runner);
	return NULL;
}

/* Under the lock; false if the time is over before *count is 0. */
static bool wait_for(struct runner *runner, const size_t *count, int64_t until_us)
{
	struct timespec until = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	while (*count > 0)
		if (pthread_cond_timedwait(&runner->change, &runner->lock, &until) == ETIMEDOUT)
			return *count == 0;
	return true;
}

bool runner_free(struct runner *runner, int64_t timeout_ms)
{
	for (struct runner_component *component = runner->components; component != NULL;
	     component = component->next) {
		begin_stop(component);
		atomic_store(&component->deadline_us, 0);
	}
	pthread_mutex_lock(&runner->lock);
	for (struct runner_call *call = runner->calls; call != NULL; call = call->next)
		atomic_store(&call->self.deadline_us, 0);
	pthread_mutex_unlock(&runner->lock);
	runner_tend(runner); /* components without a run need not wait for the others */
	pthread_mutex_lock(&runner->lock);
	bool ended = wait_for(runner, &runner->out, runner_clock_us() + timeout_ms * 1000);
	runner->quit = true;
	while (runner->idlers != NULL)
		wake_idler(runner);
	if (ended)
		ended = wait_for(runner, &runner->threads, runner_clock_us() + THREADS_END_US);
	pthread_mutex_unlock(&runner->lock);
	runner_tend(runner);
	if (!ended)
		return false;
	if (runner->plugin->unload != NULL) {
		runner_enter(&runner->self, START_MS, "unloading");
		runner->plugin->unload(&runner->self.sm, runner->shared);
		runner_leave();
	}
	if (runner->loop != NULL)
		runner_loop_leave(&runner->self);
	free_runner(runner);
	return true;
}
