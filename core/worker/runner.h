/* SPDX-License-Identifier: Apache-2.0 */
/* runner: runs the checks of one plugin: state, options, threads, deadlines, names, results. The same code
 * serves skymon-worker, `skymon run` and the tests' host. Knows no process, no wire: it calls back. Owns the
 * components given to it.
 *
 * Threads: all functions are called on one thread (the main one), where load, start, stop and unload run. A
 * run is done on a thread of the runner's pool (an idle one, else a new one; small stacks), and `ended` is
 * called there. */
#ifndef RUNNER_H
#define RUNNER_H

#include "wire/http_message.h"
#include "wire/message.h"
#include "base/log.h"
#include "config/option.h"
#include "wire/result.h"

struct runner;

struct runner_events { /* called on any thread but for `stopped`; the receiver locks */
	/* body: of WIRE_RESULT; the receiver reads it before it returns. */
	void (*ended)(void *arg, uint32_t id, const struct buf *body);
	void (*log)(void *arg, uint32_t id, enum log_level level, const char *text);
	void (*refused)(void *arg, uint32_t id);
	/* The process holds more memory, or more descriptors (text: how many of how many), than it may; id:
	 * the component that grew most, 0 when none stands out. May not return. May be NULL: nothing is
	 * limited. */
	void (*excess)(void *arg, uint32_t id, bool files, const char *text);
	/* What a run is doing that has no time left; again when that changes. Main thread. May be NULL. */
	void (*step)(void *arg, uint32_t id, uint64_t run, const char *text);
	/* Were files that the checks open replaced by others, which they cannot open? The result of the
	 * check, healthy or not, is then dropped. May be NULL. */
	bool (*stale)(void *arg, bool healthy);
	/* runner_tend has something to do: have it called on the main thread. May be NULL. */
	void (*wake)(void *arg);
	/* The answer to a runner_ask; its texts and bytes are valid during the call. May be NULL when nothing
	 * asks. */
	void (*answered)(void *arg, uint32_t id, const struct message_answer *answer);
	/* The reply to a runner_request; valid during the call. May be NULL when nothing requests. */
	void (*replied)(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply);
	/* A component that runner_stop was called for is gone. Main thread. May be NULL. */
	void (*stopped)(void *arg, uint32_t id);
};

/* plugin: from plugin_open, outlives the runner. Calls load; NULL with its sentence when that fails.
 * memory_limit: bytes, 0 none. */
struct runner *runner_new(const struct skymon_plugin *plugin, int64_t memory_limit,
			  const struct runner_events *events, void *arg, struct err *err) MUST_CHECK;

struct runner_spec {
	uint32_t id;
	struct message_start start;
	struct option_values *values; /* taken over, in any case */
};
/* Stores the values, calls validate and start. false: err and *reason are start's own; the component is not
 * there then. */
bool runner_start(struct runner *runner, const struct runner_spec *spec, enum skymon_reason *reason,
		  struct err *err) MUST_CHECK;
/* Has the plugin validate options, without a component: appends to `out` what wire.h says of WIRE_VALIDATED.
 * spec: id is the asker's; without labels. */
void runner_validate(struct runner *runner, const struct runner_spec *spec, struct buf *out);
/* Begins a run; false when the component is not there or its last run is still out. */
bool runner_run(struct runner *runner, uint32_t id, uint64_t run, int64_t timeout_ms);
/* Calls stop and frees, now, or by runner_tend when the run that is out has ended. */
void runner_stop(struct runner *runner, uint32_t id);
void runner_tend(struct runner *runner);
/* Looks after runs that are out: steps of late ones, memory, descriptors. To be called again after so many
 * ms, and after each runner_run; -1: nothing is out. */
int runner_watch(struct runner *runner);
/* Asks a component of a secret store; `answered` comes exactly once, perhaps before this returns. */
void runner_ask(struct runner *runner, uint32_t id, const struct message_ask *asked);
/* Has a route of the plugin answer, on a thread of its own; `replied` comes exactly once, perhaps before this
 * returns. message: what wire.h says of WIRE_REQUEST, malloc'd, taken over. */
void runner_request(struct runner *runner, uint32_t id, void *message, size_t size);
/* Nobody waits for that reply any more: its handler has no time left. */
void runner_cancel(struct runner *runner, uint64_t number);
/* Takes the time away from what is out, stops what has nothing out, waits for the rest (at most timeout_ms),
 * stops that, and unloads. What is still out then stays as it is, without stop and unload: the caller leaves
 * its process. false: so. */
bool runner_free(struct runner *runner, int64_t timeout_ms);

int64_t runner_clock_us(void); /* CLOCK_MONOTONIC */
/* An alternate stack for fatal signals, for the calling thread (the pool's have theirs). */
void runner_signal_stack(void);
void runner_signal_stack_end(void); /* before the thread ends */
/* Is the process near its limit of memory, and for whom? Async-signal-safe. */
bool runner_memory_is_full(void);
bool runner_memory_culprit(uint32_t *id);
/* For the fatal-signal handler: who runs on this thread and its last step (a static text). false: nobody's.
 * Async-signal-safe. */
bool runner_current(uint32_t *id, const char **step);

#endif
