/* SPDX-License-Identifier: Apache-2.0 */
/* runner's own: what runner.c and runner_host.c share. Nobody else includes this. */
#ifndef RUNNER_PRIVATE_H
#define RUNNER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "mask.h"
#include "runner.h"

#define RUNNER_STEP_MAX 80

struct runner_component {
	struct skymon sm; /* the first member: the plugin's handle is the component */
	struct runner *runner;
	struct runner_component *next;   /* of all; main thread */
	struct runner_component *queued; /* of those that wait for a thread */
	uint32_t id;
	char *name, *state_dir;
	char **label_names; /* its own labels; ends with NULL */
	struct option_values *values;
	void *state;
	struct mask mask; /* of its secrets, which lie in values */
	struct result_builder *builder;
	bool running, stopping; /* under the runner's lock, with the next one */
	unsigned telling;       /* threads that are telling a result of it */
	uint64_t run;
	int64_t timeout_ms;
	_Atomic int64_t deadline_us; /* a request's may be taken away from it by another thread */
	char step[RUNNER_STEP_MAX], late_step[RUNNER_STEP_MAX]; /* late_step: as it was reported */
	int64_t late_us;                  /* the run's time is over: its step is reported */
	struct runner_mistakes *mistakes; /* while validate runs; else NULL */
	char *complaint; /* the last about what the plugin reported, so that each is logged once */
	unsigned complaints;
	int64_t log_window_us;       /* under the runner's lock, with the next two */
	unsigned logged[2], dropped; /* logged: debug lines apart, as they are mostly not shown */
};

struct runner {
	const struct skymon_plugin *plugin;
	const struct runner_events *events;
	void *arg;
	void *shared;
	struct runner_component self; /* for load and unload: id 0 */
	struct runner_component *components;
	pthread_mutex_t lock;
	pthread_cond_t change; /* for runner_free */
	pthread_condattr_t monotonic;
	struct runner_idler *idlers; /* idle threads, the newest first */
	int64_t watch_us;            /* when runner_watch looks again; main thread */
	struct runner_component *queue_first, *queue_last;
	size_t threads, asks;
	size_t out; /* runs, asks and requests that have not ended */
	struct skymon_request *requests;
	size_t request_count;
	bool quit;
};

extern const struct skymon_host runner_host;

/* The host's functions of skymon/secrets.h. */
const char *runner_ask_path(struct skymon_ask *ask);
const char *runner_ask_field(struct skymon_ask *ask);
bool runner_ask_fresh(struct skymon_ask *ask);
void runner_ask_answer(struct skymon_ask *ask, const void *bytes, size_t size, int64_t lease_ms);
void runner_ask_refuse(struct skymon_ask *ask, int reason, const char *format, va_list list)
	__attribute__((format(printf, 3, 0)));

/* The host's functions of skymon/routes.h. */
const char *runner_request_method(struct skymon_request *rq);
const char *runner_request_param(struct skymon_request *rq, const char *name);
const char *runner_request_query(struct skymon_request *rq, const char *name);
const char *runner_request_header(struct skymon_request *rq, const char *name);
const char *runner_request_body(struct skymon_request *rq, size_t *size);
bool runner_request_trusted(struct skymon_request *rq);
const struct skymon_caller *runner_request_caller(struct skymon_request *rq);
bool runner_request_again(struct skymon_request *rq);
void runner_request_audit(struct skymon_request *rq, const char *format, va_list list)
	__attribute__((format(printf, 2, 0)));
void runner_reply_header(struct skymon_request *rq, const char *name, const char *value);
void runner_reply(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size);
void runner_reply_parts(struct skymon_request *rq, int code, const char *type,
			const struct skymon_part *parts, size_t count, uint64_t generation,
			void (*done)(void *), void *argument);
void runner_reply_problem(struct skymon_request *rq, int code, const char *format, va_list list)
	__attribute__((format(printf, 3, 0)));
void runner_problem_json(struct skymon_request *rq, const char *key, const char *json);

/* The host's skymon_invalid. */
void runner_invalid(struct skymon *sm, const char *option, const char *format, va_list list)
	__attribute__((format(printf, 3, 0)));
/* Has the plugin validate the options of a component that is to be started; false: err has its first
 * mistake. */
bool runner_is_valid(struct runner_component *component, struct err *err);

/* A handle for a callback beside the component's check: it shares all that does not change, and has a step, a
 * deadline and a message of its own (the builder and the complaint are to be freed). */
struct runner_component runner_aside(const struct runner_component *component, int64_t timeout_ms);

/* How much less time a callback gets than the daemon waits. */
int64_t runner_margin_ms(int64_t timeout_ms);
/* It has no time left. Under the lock; returns the next one. */
struct skymon_request *runner_request_hurry(struct skymon_request *rq);
void runner_set_step(struct runner_component *component, const char *step);

/* ---- runner_usage.c ---- */
void runner_usage_start(int64_t memory_limit); /* 0: only descriptors are limited */
/* A callback of that component is at work, or has ended. */
void runner_usage_begin(uint32_t id);
void runner_usage_end(uint32_t id);
void runner_usage_forget(uint32_t id);
void runner_usage_check(struct runner *runner); /* calls `excess`, which may not return */

struct runner_component *runner_find(struct runner *runner, uint32_t id);
void runner_set_current(struct runner_component *component); /* who runs on this thread; NULL: nobody */
bool runner_spawn_thread(void *(*run)(void *),
			 void *arg); /* detached, small stack, no signals but fatal ones */
char *runner_masked(const struct runner_component *component, const char *format, va_list list)
	__attribute__((format(printf, 2, 0)));

/* Logs one sentence for the component, masked and rate limited. */
void runner_log(struct runner_component *component, enum log_level level, const char *format, ...) PRINTF(3);
/* Finds the values of secret options in the component's state. */
void runner_find_secrets(struct runner_component *component);

#endif
