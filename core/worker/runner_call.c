/* SPDX-License-Identifier: Apache-2.0 */
/* runner_call: calling into the plugin. Each callback runs between runner_enter and runner_leave, so that the
 * handler of a fatal signal can name the component at work. Requests and asks run on a thread of their own
 * (runner_call_start): they are rare, wait for servers, and must not wait for checks; the plugin sees a
 * handle of their own with its step, deadline and message, so that the check of the same component is not
 * disturbed. Any thread; the list of calls is under the runner's lock. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "runner_private.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (2u << 20)
#else
#define STACK_SIZE (256u << 10)
#endif

int64_t runner_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

struct runner_component *runner_find(struct runner *runner, uint32_t id)
{
	struct runner_component *component = runner->buckets[id % RUNNER_BUCKETS];
	while (component != NULL && component->id != id)
		component = component->same;
	return component;
}

/* The component at work on this thread: for the handler of a fatal signal. */
static _Thread_local struct runner_component *volatile current;

bool runner_current(uint32_t *id, const char **step)
{
	const struct runner_component *component = current;
	if (component == NULL)
		return false;
	*id = component->id;
	*step = component->step;
	return true;
}

struct runner_component *runner_swap_current(struct runner_component *component)
{
	struct runner_component *before = current;
	current = component;
	return before;
}

void runner_enter(struct runner_component *component, int64_t timeout_ms, const char *step)
{
	result_builder_reset(component->builder);
	runner_set_step(component, step);
	component->begun_us = runner_clock_us();
	atomic_store(&component->deadline_us, component->begun_us + timeout_ms * 1000);
	current = component;
}

void runner_leave(void)
{
	current = NULL;
}

void runner_set_step(struct runner_component *component, const char *step)
{
	pthread_mutex_lock(&component->runner->lock);
	snprintf(component->step, sizeof(component->step), "%s", step);
	pthread_mutex_unlock(&component->runner->lock);
}

/* A callback's own sentence needs a moment to get through before the daemon's deadline. */
int64_t runner_own_ms(int64_t timeout_ms)
{
	int64_t margin = timeout_ms / 10;
	return timeout_ms - (margin < 2 ? 2 : margin > 200 ? 200 : margin);
}

struct runner_component runner_aside(const struct runner_component *component)
{
	return (struct runner_component){
		.sm = component->sm,
		.runner = component->runner,
		.id = component->id,
		.name = component->name,
		.state_dir = component->state_dir,
		.interval_ms = component->interval_ms,
		.label_names = component->label_names,
		.values = component->values,
		.state = component->state,
		.mask = component->mask,
		.builder = result_builder_new(),
	};
}

void runner_aside_free(struct runner_component *aside)
{
	result_builder_free(aside->builder);
	free(aside->complaint);
}

/* ---- Reports of the runner's own ---- */

void runner_unresolved(struct runner_component *component, enum skymon_reason why, const char *text)
{
	result_reason(component->builder, (int)why);
	result_say(component->builder, text);
	result_unresolved(component->builder);
}

/* ---- Threads ---- */

static _Thread_local stack_t signal_stack;

void runner_signal_stack(void)
{
	if (signal_stack.ss_sp != NULL)
		return;
	long need = sysconf(_SC_SIGSTKSZ);
	size_t size = need > 16384 ? (size_t)need : 16384;
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (bytes == MAP_FAILED)
		return; /* a crash by a full stack will have no last words */
	signal_stack = (stack_t){.ss_sp = bytes, .ss_size = size};
	sigaltstack(&signal_stack, NULL);
}

void runner_signal_stack_end(void)
{
	const stack_t none = {.ss_flags = SS_DISABLE};
	if (signal_stack.ss_sp == NULL)
		return;
	sigaltstack(&none, NULL);
	munmap(signal_stack.ss_sp, signal_stack.ss_size);
	signal_stack.ss_sp = NULL;
}

/* Fatal signals stay unblocked on these threads; all others are the main thread's. */
bool runner_spawn_thread(void *(*run)(void *), void *arg)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t set, old;
	sigfillset(&set);
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		sigdelset(&set, fatal[i]);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	bool done = pthread_create(&thread, &attributes, run, arg) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return done;
}

/* ---- Calls on a thread of their own ---- */

void runner_release(struct runner_component *component)
{
	struct runner *runner = component->runner;
	component->held--;
	runner->out--;
	if (component->stopping && runner->events->wake != NULL)
		runner->events->wake(runner->arg);
	pthread_cond_broadcast(&runner->change);
}

/* Under the lock. */
static void end_call(struct runner_call *call)
{
	struct runner *runner = call->self.runner;
	struct runner_call **link = &runner->calls;
	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	runner->call_counts[call->kind]--;
	runner_release(call->component);
}

static void *call_thread(void *arg)
{
	struct runner_call *call = arg;
	struct runner *runner = call->self.runner;
	runner_signal_stack();
	runner_usage_begin(call->self.id);
	current = &call->self;
	call->run(call);
	current = NULL;
	runner_usage_end(call->self.id);
	pthread_mutex_lock(&runner->lock);
	end_call(call);
	pthread_mutex_unlock(&runner->lock);
	call->free(call);
	runner_signal_stack_end();
	return NULL;
}

enum runner_started runner_call_start(struct runner_call *call, size_t most, int64_t timeout_ms)
{
	struct runner *runner = call->self.runner;
	struct runner_component *component = call->component;
	call->self.deadline_us = runner_clock_us() + runner_own_ms(timeout_ms) * 1000;
	pthread_mutex_lock(&runner->lock);
	bool taken = component != NULL && !component->stopping && runner->call_counts[call->kind] < most;
	if (taken) {
		component->held++;
		runner->out++;
		runner->call_counts[call->kind]++;
		call->next = runner->calls;
		runner->calls = call;
	}
	pthread_mutex_unlock(&runner->lock);
	if (!taken)
		return RUNNER_BUSY;
	if (runner_spawn_thread(call_thread, call))
		return RUNNER_STARTED;
	pthread_mutex_lock(&runner->lock);
	end_call(call);
	pthread_mutex_unlock(&runner->lock);
	return RUNNER_NO_THREAD;
}
