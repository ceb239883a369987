/* SPDX-License-Identifier: Apache-2.0 */
#include "runner_private.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK_SIZE (2u << 20)
#else
#define STACK_SIZE (256u << 10)
#endif
#define START_MS 5000 /* for load, start and stop: they do no I/O over a network */

/* Who runs on this thread: for the fatal-signal handler. */
static _Thread_local struct runner_component *volatile current;

/* By how much the runs of each component made the process grow; read by the signal handler. One table for the
 * process's one runner. */
#define TALLY_MAX 1024u
static struct {
	_Atomic uint32_t id;
	_Atomic int64_t grown;
} tally[TALLY_MAX];
static _Atomic int64_t tally_limit;

int64_t runner_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool runner_current(uint32_t *id, const char **step)
{
	const struct runner_component *component = current;
	if (component == NULL)
		return false;
	*id = component->id;
	*step = component->step;
	return true;
}

void runner_set_current(struct runner_component *component)
{
	current = component;
}

uint32_t runner_component_id(const struct runner_component *component)
{
	return component->id;
}

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

/* ---- Memory ---- */

static int64_t heap_size(void)
{
	struct mallinfo2 info = mallinfo2();
	return (int64_t)(info.uordblks + info.hblkhd);
}

static void count_growth(uint32_t id, int64_t bytes)
{
	for (size_t i = 0; i < TALLY_MAX; i++) {
		size_t at = (id + i) % TALLY_MAX;
		uint32_t none = 0;
		if (atomic_load(&tally[at].id) == id ||
		    atomic_compare_exchange_strong(&tally[at].id, &none, id) || none == id) {
			atomic_fetch_add(&tally[at].grown, bytes);
			return;
		}
	}
}

static void forget_growth(uint32_t id)
{
	for (size_t i = 0; i < TALLY_MAX; i++)
		if (atomic_load(&tally[i].id) == id) {
			atomic_store(&tally[i].grown, 0);
			atomic_store(&tally[i].id, 0);
		}
}

static int64_t most_grown(uint32_t *id)
{
	int64_t most = INT64_MIN;
	for (size_t i = 0; i < TALLY_MAX; i++) {
		uint32_t whose = atomic_load(&tally[i].id);
		int64_t grown = atomic_load(&tally[i].grown);
		if (whose != 0 && grown > most) {
			most = grown;
			*id = whose;
		}
	}
	return most;
}

bool runner_memory_culprit(uint32_t *id)
{
	int64_t limit = atomic_load(&tally_limit);
	return limit > 0 && most_grown(id) > limit / 4;
}

/* What RLIMIT_DATA counts, nearly: private writable memory, from statm's sixth number, in pages. */
static int64_t data_size(void)
{
	long long data = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*s %*s %*s %*s %*s %lld", &data) != 1)
		data = 0;
	fclose(file);
	return data * sysconf(_SC_PAGESIZE);
}

static void judge_memory(struct runner *runner, uint32_t id, int64_t before)
{
	count_growth(id, heap_size() - before);
	if (data_size() < runner->memory_limit / 10 * 9)
		return;
	uint32_t culprit = id;
	most_grown(&culprit);
	runner->events->memory(runner->arg, culprit);
}

/* ---- A run ---- */

static void enter(struct runner_component *component, int64_t timeout_ms)
{
	result_builder_reset(component->builder);
	component->step[0] = '\0';
	component->deadline_us = runner_clock_us() + timeout_ms * 1000;
	current = component;
}

static void run_check(struct runner_component *component)
{
	struct runner *runner = component->runner;
	char name[16];
	snprintf(name, sizeof(name), "%s", component->name);
	pthread_setname_np(pthread_self(), name);
	bool limited = runner->memory_limit > 0;
	int64_t heap = limited ? heap_size() : 0, begun = runner_clock_us();
	enter(component, component->timeout_ms);
	enum skymon_status status = runner->plugin->check(&component->sm, component->state);
	int64_t duration = runner_clock_us() - begun;
	current = NULL;
	struct buf body = {0};
	result_encode(component->builder, status, duration, &body);
	result_builder_reset(component->builder);
	pthread_setname_np(pthread_self(), "idle");
	uint64_t run = component->run;
	pthread_mutex_lock(&runner->lock);
	component->running = false; /* before it is told: the next run may be asked for at once */
	component->telling++;
	pthread_mutex_unlock(&runner->lock);
	runner->events->ended(runner->arg, component, run, &body);
	buf_free(&body);
	if (limited)
		judge_memory(runner, component->id, heap);
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
	runner->queue_length--;
	return component;
}

static void *pool_thread(void *arg)
{
	struct runner *runner = arg;
	runner_signal_stack();
	pthread_mutex_lock(&runner->lock);
	while (!runner->quit || runner->queue_first != NULL) {
		struct runner_component *component = take_queued(runner);
		if (component == NULL) {
			runner->idle++;
			pthread_cond_wait(&runner->work, &runner->lock);
			runner->idle--;
			continue;
		}
		pthread_mutex_unlock(&runner->lock);
		run_check(component);
		pthread_mutex_lock(&runner->lock);
		component->telling--;
		runner->out--;
		if (component->stopping && runner->events->wake != NULL)
			runner->events->wake(runner->arg);
		pthread_cond_broadcast(&runner->change);
	}
	runner->threads--;
	pthread_cond_broadcast(&runner->change);
	pthread_mutex_unlock(&runner->lock);
	runner_signal_stack_end();
	return NULL;
}

/* Fatal signals stay open on the pool's threads; all others are the main thread's. */
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

static bool add_thread(struct runner *runner)
{
	bool done = runner_spawn_thread(pool_thread, runner);
	runner->threads += done;
	return done;
}

struct runner_component *runner_find(struct runner *runner, uint32_t id)
{
	struct runner_component *component = runner->components;
	while (component != NULL && component->id != id)
		component = component->next;
	return component;
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
		component->queued = NULL;
		runner->out++;
		if (runner->queue_last != NULL)
			runner->queue_last->queued = component;
		else
			runner->queue_first = component;
		runner->queue_last = component;
		if (++runner->queue_length > runner->idle)
			thread = add_thread(runner);
		pthread_cond_signal(&runner->work);
	}
	pthread_mutex_unlock(&runner->lock);
	if (!thread) /* it waits for a thread that is busy now; the daemon says timeout if that takes too long
		      */
		runner_log(component, LOG_LEVEL_ERROR,
			   "cannot start one more thread: the check waits for another");
	return begin;
}

/* ---- Components ---- */

/* Names of `a="x",b="y"`. */
static char **label_names(const char *labels)
{
	char **names = x_alloc(sizeof(*names));
	size_t count = 0, room = 1;
	while (labels != NULL && *labels != '\0') {
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
	free(component->secrets);
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
	component->name = x_strdup(spec->name);
	component->state_dir = x_strdup(spec->state_dir != NULL ? spec->state_dir : "");
	component->label_names = label_names(spec->labels);
	component->values = spec->values;
	component->state = x_alloc(runner->plugin->state_size);
	component->builder = result_builder_new();
	return component;
}

static bool call_start(struct runner_component *component, enum skymon_reason *reason, struct err *err)
{
	const struct skymon_plugin *plugin = component->runner->plugin;
	*reason = SKYMON_NONE;
	if (plugin->start == NULL)
		return true;
	enter(component, START_MS);
	snprintf(component->step, sizeof(component->step), "starting");
	bool ok = plugin->start(&component->sm, component->state);
	current = NULL;
	if (ok)
		return true;
	const char *message = result_builder_message(component->builder);
	*reason = (enum skymon_reason)result_builder_reason(component->builder);
	return err_set(err, "%s", message[0] != '\0' ? message : "start failed and did not say why");
}

bool runner_start(struct runner *runner, const struct runner_spec *spec, enum skymon_reason *reason,
		  struct err *err)
{
	const struct skymon_plugin *plugin = runner->plugin;
	struct runner_component *component = new_component(runner, spec);
	bool ok = spec->id != 0 && runner_find(runner, spec->id) == NULL;
	*reason = SKYMON_OTHER;
	if (!ok)
		err_set(err, "component %s is started already", spec->name);
	ok = ok && (spec->values == NULL ||
		    option_store(spec->values, plugin->options, plugin->option_size, component->state, err));
	if (ok)
		runner_find_secrets(component);
	if (!ok || !call_start(component, reason, err)) {
		free_component(component);
		return false;
	}
	component->next = runner->components;
	runner->components = component;
	return true;
}

static void call_stop(struct runner_component *component)
{
	if (component->runner->plugin->stop == NULL)
		return;
	enter(component, START_MS);
	snprintf(component->step, sizeof(component->step), "stopping");
	component->runner->plugin->stop(&component->sm, component->state);
	current = NULL;
}

void runner_tend(struct runner *runner)
{
	struct runner_component **link = &runner->components;
	while (*link != NULL) {
		struct runner_component *component = *link;
		pthread_mutex_lock(&runner->lock);
		bool gone = component->stopping && !component->running && component->telling == 0;
		pthread_mutex_unlock(&runner->lock);
		if (!gone) {
			link = &component->next;
			continue;
		}
		*link = component->next;
		call_stop(component);
		uint32_t id = component->id;
		forget_growth(id);
		free_component(component);
		if (runner->events->stopped != NULL)
			runner->events->stopped(runner->arg, id);
	}
}

void runner_stop(struct runner *runner, uint32_t id)
{
	struct runner_component *component = runner_find(runner, id);
	if (component == NULL)
		return;
	pthread_mutex_lock(&runner->lock);
	component->stopping = true;
	pthread_mutex_unlock(&runner->lock);
	runner_tend(runner);
}

/* ---- Life ---- */

static bool call_load(struct runner *runner, struct err *err)
{
	if (runner->plugin->load == NULL)
		return true;
	enter(&runner->self, START_MS);
	snprintf(runner->self.step, sizeof(runner->self.step), "loading");
	bool ok = runner->plugin->load(&runner->self.sm, runner->shared);
	current = NULL;
	if (ok)
		return true;
	const char *message = result_builder_message(runner->self.builder);
	return err_set(err, "%s", message[0] != '\0' ? message : "load failed and did not say why");
}

static void free_runner(struct runner *runner)
{
	pthread_mutex_destroy(&runner->lock);
	pthread_cond_destroy(&runner->work);
	pthread_cond_destroy(&runner->change);
	result_builder_free(runner->self.builder);
	free(runner->self.complaint);
	free(runner->shared);
	free(runner);
}

struct runner *runner_new(const struct skymon_plugin *plugin, int64_t memory_limit,
			  const struct runner_events *events, void *arg, struct err *err)
{
	struct runner *runner = x_alloc(sizeof(*runner));
	runner->plugin = plugin;
	runner->memory_limit = memory_limit;
	atomic_store(&tally_limit, memory_limit);
	runner->events = events;
	runner->arg = arg;
	runner->shared = x_alloc(plugin->shared_size);
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&runner->lock, NULL);
	pthread_cond_init(&runner->work, NULL);
	pthread_cond_init(&runner->change, &monotonic);
	pthread_condattr_destroy(&monotonic);
	static char no_name[] = "", *no_labels[] = {NULL};
	runner->self = (struct runner_component){.sm.host = &runner_host,
						 .runner = runner,
						 .name = no_name,
						 .state_dir = no_name,
						 .label_names = no_labels,
						 .builder = result_builder_new()};
	if (call_load(runner, err))
		return runner;
	free_runner(runner);
	return NULL;
}

/* Under the lock. Until *count is 0, or the time is over. */
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
	int64_t until = runner_clock_us() + timeout_ms * 1000;
	pthread_mutex_lock(&runner->lock);
	for (struct runner_component *component = runner->components; component != NULL;
	     component = component->next)
		component->stopping = true;
	bool ended = wait_for(runner, &runner->out, until);
	runner->quit = true;
	pthread_cond_broadcast(&runner->work);
	if (ended)
		ended = wait_for(runner, &runner->threads, until + 1000000);
	pthread_mutex_unlock(&runner->lock);
	runner_tend(runner);
	if (!ended)
		return false;
	if (runner->plugin->unload != NULL) {
		enter(&runner->self, START_MS);
		runner->plugin->unload(&runner->self.sm, runner->shared);
		current = NULL;
	}
	free_runner(runner);
	return true;
}
