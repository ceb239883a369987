/* SPDX-License-Identifier: Apache-2.0 */
/* runner_private: shared by the files of the runner alone. */
#ifndef RUNNER_PRIVATE_H
#define RUNNER_PRIVATE_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "secret_mask.h"
#include "runner.h"

#define RUNNER_STEP_MAX 80
#define RUNNER_BUCKETS 1024

struct runner_component {
	struct skymon sm; /* the first member: the plugin's handle is the component */
	struct runner *runner;
	struct runner_component *next;   /* of all; main thread */
	struct runner_component *queued; /* of those that wait for a thread */
	struct runner_component *same;   /* the next in its bucket of ids */
	uint32_t id;
	uint8_t observe; /* enum message_observe */
	char *name, *state_dir;
	char **label_names; /* its own labels; ends with NULL */
	struct option_values *values;
	void *state;
	struct mask mask; /* of its secrets, which lie in values */
	struct result_builder *builder;
	bool running, stopping; /* under the runner's lock, with the next one */
	unsigned held;          /* by calls, and by threads that send a result of it */
	uint64_t run;
	int64_t timeout_ms;
	_Atomic int64_t interval_ms;
	_Atomic int64_t deadline_us; /* another thread may take a call's time away */
	int64_t begun_us;            /* when the callback that runs was called */
	char step[RUNNER_STEP_MAX], late_step[RUNNER_STEP_MAX]; /* late_step: as it was reported */
	int64_t late_us;                                        /* when the step of a late run is reported */
	struct runner_mistakes *mistakes;                       /* while validate runs; else NULL */
	char *complaint; /* the last about what the plugin reported, so that each is logged once */
	unsigned complaints;
	int64_t log_window_us;       /* under the runner's lock, with the next two */
	unsigned logged[2], dropped; /* logged: debug lines apart, as they are mostly not shown */
	struct runner_on_loop {      /* of a plugin with begin (runner_loop.c); main thread */
		int64_t begun_us;
		struct timer deadline; /* of the run */
		struct timer alarm;    /* skymon_timer */
		void (*due)(struct skymon *, void *);
		void *due_arg;
		struct resolve_query *query;   /* skymon_resolve_later; NULL if there is none */
		struct runner_component *next; /* of those with a query */
		void (*resolved)(struct skymon *, void *, const char *);
		void *resolved_arg;
	} on_loop;
};

enum runner_call_kind { RUNNER_ASK, RUNNER_REQUEST, RUNNER_CALL_KINDS };

struct runner {
	const struct skymon_plugin *plugin;
	const struct runner_events *events;
	void *arg;
	void *shared;
	struct runner_component self; /* for load and unload: id 0 */
	struct runner_component *components;
	struct runner_component *buckets[RUNNER_BUCKETS]; /* the same, by id */
	pthread_mutex_t lock;
	pthread_cond_t change; /* for runner_free */
	pthread_condattr_t monotonic;
	struct runner_idler *idlers; /* idle threads, the newest first */
	int64_t watch_us;            /* when runner_watch looks again; main thread */
	struct runner_component *queue_first, *queue_last;
	size_t threads;
	size_t out; /* runs and calls that have not ended */
	struct runner_call *calls;
	size_t call_counts[RUNNER_CALL_KINDS];
	size_t stopping;          /* components that runner_tend is to free; main thread */
	struct runner_loop *loop; /* of a plugin with begin; else NULL */
	bool quit;
};

/* ---- runner_call.c ---- */

/* Main thread; NULL if no component has that id. */
struct runner_component *runner_find(struct runner *runner, uint32_t id);
/* A call into the plugin on a thread of its own, in addition to the component's check. The first member of a
 * request and of an ask. */
struct runner_call {
	struct runner_component self;       /* the plugin's handle: runner_aside of component */
	struct runner_component *component; /* held while the call is out */
	struct runner_call *next;           /* of the runner's; under its lock */
	enum runner_call_kind kind;
	uint64_t number;
	void (*run)(struct runner_call *call);
	void (*free)(struct runner_call *call); /* the component may be gone then */
};
enum runner_started { RUNNER_STARTED, RUNNER_BUSY, RUNNER_NO_THREAD };
/* Starts the call, which frees itself then, unless so many of its kind are out or its component is stopping.
 */
enum runner_started runner_call_start(struct runner_call *call, size_t most, int64_t timeout_ms) MUST_CHECK;
/* Gives up one hold of the component; under the lock. */
void runner_release(struct runner_component *component);
/* A callback begins or ends on this thread. */
void runner_enter(struct runner_component *component, int64_t timeout_ms, const char *step);
void runner_leave(void);
/* The time that a callback gets of what the daemon waits. */
int64_t runner_own_ms(int64_t timeout_ms);
void runner_set_step(struct runner_component *component, const char *step);
/* A second handle: shares what does not change, and has a step, a deadline and a message of its own. */
struct runner_component runner_aside(const struct runner_component *component);
void runner_aside_free(struct runner_component *aside);
/* Makes this the component at work on this thread, and returns the one before. */
struct runner_component *runner_swap_current(struct runner_component *component);
/* Sets message and reason: a name could not be resolved. */
void runner_unresolved(struct runner_component *component, enum skymon_reason reason, const char *text);
bool runner_spawn_thread(void *(*run)(void *),
			 void *arg); /* detached, small stack, no signals but fatal ones */

extern const struct skymon_host runner_host;

/* ---- runner_loop.c: main thread ---- */
struct runner_loop *runner_loop_new(struct runner *runner, struct loop *loop);
void runner_loop_free(struct runner_loop *loop); /* no component is left */
void runner_loop_begin(struct runner_component *component, int64_t timeout_ms);
/* Calls cancel, if it runs. */
void runner_loop_cancel(struct runner_component *component);
/* Ends its watches and its timer. */
void runner_loop_leave(struct runner_component *component);
/* Names may have been resolved. */
void runner_loop_tend(struct runner_loop *loop);
/* A callback was given a component's handle, in a callback of the load's handle. */
void runner_loop_note(struct runner_component *component);
/* The host's functions of skymon/loop.h. */
void runner_loop_done(struct skymon *sm, int status);
bool runner_loop_watch(struct skymon *sm, int fd, unsigned events,
		       void (*ready)(struct skymon *, void *, int, unsigned), void *argument);
void runner_loop_timer(struct skymon *sm, int64_t ms, void (*due)(struct skymon *, void *), void *argument);
void runner_loop_resolve(struct skymon *sm, const char *host,
			 void (*resolved)(struct skymon *, void *, const char *), void *argument);

/* The host's functions of skymon/secrets.h. */
const char *runner_ask_path(struct skymon_ask *ask);
const char *runner_ask_field(struct skymon_ask *ask);
bool runner_ask_fresh(struct skymon_ask *ask);
void runner_ask_answer(struct skymon_ask *ask, const void *bytes, size_t size, int64_t lease_ms);
void runner_ask_refuse(struct skymon_ask *ask, int reason, const char *text, size_t size);

/* The host's functions of skymon/routes.h. */
const char *runner_request_method(struct skymon_request *rq);
const char *runner_request_param(struct skymon_request *rq, const char *name);
const char *runner_request_query(struct skymon_request *rq, const char *name);
const char *runner_request_header(struct skymon_request *rq, const char *name);
const char *runner_request_body(struct skymon_request *rq, size_t *size);
bool runner_request_trusted(struct skymon_request *rq);
const struct skymon_caller *runner_request_caller(struct skymon_request *rq);
bool runner_request_again(struct skymon_request *rq);
void runner_request_audit(struct skymon_request *rq, const char *text, size_t size);
void runner_reply_header(struct skymon_request *rq, const char *name, const char *value);
void runner_reply(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size);
void runner_reply_parts(struct skymon_request *rq, int code, const char *type,
			const struct skymon_part *parts, size_t count, uint64_t generation,
			void (*done)(void *), void *argument);
void runner_reply_problem(struct skymon_request *rq, int code, const char *text, size_t size);
void runner_problem_json(struct skymon_request *rq, const char *key, const char *json);

/* The host's skymon_invalid. */
void runner_invalid(struct skymon *sm, const char *option, const char *text, size_t size);
/* Has the plugin validate the options of a component that is to be started; on false, err is the first
 * mistake. */
bool runner_is_valid(struct runner_component *component, struct err *err);

/* ---- runner_trace.c ---- */

/* For a component that is traced; main thread. */
const struct skymon_host *runner_trace_host(void);

/* ---- runner_usage.c ---- */
void runner_usage_start(int64_t memory_limit); /* 0: only descriptors are limited */
/* A callback of that component begins or ends. */
void runner_usage_begin(uint32_t id);
void runner_usage_end(uint32_t id);
void runner_usage_forget(uint32_t id);
/* For callbacks on the loop, which are short and many: weighs some of them. Returns whether this one is
 * weighed; then runner_usage_weighed is to be called when it has returned. */
bool runner_usage_weigh(int64_t now_us);
void runner_usage_weighed(uint32_t id);
/* Reports what the process holds at the end of a run, if that is asked for. */
void runner_usage_report(struct runner_component *component);
void runner_usage_check(struct runner *runner); /* calls `excess`, which need not return */

/* ---- runner_mask.c ---- */

/* Finds the values of secret options in the component's state. */
void runner_find_secrets(struct runner_component *component);
/* Returns a plugin's text (it ends at a '\0', if one comes before its size) without the component's secrets;
 * the caller frees it. A wrapper may have cut it at SKYMON_TEXT_MAX, so a secret that begins near there is
 * masked too. */
char *runner_masked(const struct runner_component *component, const char *text, size_t size);
json_t *runner_masked_json(const struct runner_component *component, json_t *value);
/* Reports a line about the run that is out, masked; nothing if the component is not traced. */
void runner_trace(struct runner_component *component, const char *format, ...) PRINTF(2);
/* Logs one sentence for the component, masked and rate limited. */
void runner_log(struct runner_component *component, enum log_level level, const char *format, ...) PRINTF(3);
void runner_log_text(struct skymon *sm, int level, const char *text, size_t size);
/* Logs once that something which the plugin reported, or asked for, is wrong and was dropped. */
void runner_dropped(struct runner_component *component, const struct err *err);

#endif
