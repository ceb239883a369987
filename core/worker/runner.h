/* SPDX-License-Identifier: Apache-2.0 */
/* runner: runs the checks of one plugin: state, options, threads, deadlines, names, results. The same code
 * serves skymon-worker and the unit tests. The runner knows no process and no wire: it calls
 * back. It owns the components given to it.
 *
 * Threads: all functions are called on one thread (the main one), where load, start, stop and unload run. A
 * check runs on a thread of the runner's pool (an idle one, else a new one; small stacks), and `ended` is
 * called there. The callbacks of a plugin with begin all run on the main thread, from its loop. */
#ifndef RUNNER_H
#define RUNNER_H

#include "base/loop.h"
#include "wire/http_message.h"
#include "wire/message.h"
#include "base/log.h"
#include "config/option.h"
#include "wire/result.h"

struct runner;

struct runner_events { /* called on any thread unless it says otherwise; the receiver locks */
	/* body: of WIRE_RESULT; the receiver reads it before it returns. */
	void (*ended)(void *arg, uint32_t id, const struct buf *body);
	void (*log)(void *arg, uint32_t id, enum log_level level, const char *text);
	void (*refused)(void *arg, uint32_t id);
	/* The process holds more memory, or more descriptors (text: how many of how many), than allowed; id
	 * is the component that grew most, 0 if none did. Need not return. May be NULL: nothing is limited.
	 */
	void (*excess)(void *arg, uint32_t id, bool files, const char *text);
	/* The step of a run whose time is over; again when the step changes. Main thread. May be NULL. */
	void (*step)(void *arg, uint32_t id, uint64_t run, const char *text);
	/* A call, or the end of a run, of a component that is to be observed. May be NULL. */
	void (*observed)(void *arg, uint32_t id, const struct message_observed *observed);
	/* Returns whether files that the checks open were replaced by others that they cannot open. The
	 * result of the check, healthy or not, is then dropped. May be NULL. */
	bool (*stale)(void *arg, bool healthy);
	/* A callback on the loop has not returned for some seconds: the process is to end. Need not return;
	 * called on a thread that may wait for nothing. May be NULL without a loop. */
	void (*blocked)(void *arg, uint32_t id, int seconds, const char *step);
	/* runner_tend has work: it is to be called on the main thread. May be NULL without a loop. */
	void (*wake)(void *arg);
	/* The answer to a runner_ask; its texts and bytes are valid during the call. May be NULL without
	 * asks. */
	void (*answered)(void *arg, uint32_t id, const struct message_answer *answer);
	/* The reply to a runner_request; valid during the call. May be NULL without requests. */
	void (*replied)(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply);
	/* A component is gone after its runner_stop. Main thread. May be NULL. */
	void (*stopped)(void *arg, uint32_t id);
};

/* plugin: from plugin_open, outlives the runner. Calls load; NULL with its sentence if that fails.
 * memory_limit: in bytes, 0 for none. loop: of the main thread, for a plugin with begin; may be NULL for
 * others.
 */
struct runner *runner_new(const struct skymon_plugin *plugin, struct loop *loop, int64_t memory_limit,
			  const struct runner_events *events, void *arg, struct err *err) MUST_CHECK;

struct runner_spec {
	uint32_t id;
	struct message_start start;
	struct option_values *values; /* taken over, in any case */
};
/* Stores the values, calls validate and start. On false, err and *reason are start's own, and there is no
 * component. */
bool runner_start(struct runner *runner, const struct runner_spec *spec, enum skymon_reason *reason,
		  struct err *err) MUST_CHECK;
/* Has the plugin validate options, without a component: appends the body of WIRE_VALIDATED to out. The id of
 * spec is the asker's. */
void runner_validate(struct runner *runner, const struct runner_spec *spec, struct buf *out);
/* Sets what skymon_interval_ms returns. */
void runner_set_interval(struct runner *runner, uint32_t id, int64_t interval_ms);
/* Begins a run; false if no component has that id, or its last run has not ended. */
bool runner_run(struct runner *runner, uint32_t id, uint64_t run, int64_t timeout_ms);
/* Calls stop and frees: now, or in runner_tend when the current run has ended. */
void runner_stop(struct runner *runner, uint32_t id);
void runner_tend(struct runner *runner);
/* Watches what runs: steps of late runs, memory, descriptors. To be called again after so many ms, and after
 * each runner_run; -1 if nothing runs. */
int runner_watch(struct runner *runner);
/* Asks a component of a secret store; `answered` comes exactly once, perhaps before this returns. */
void runner_ask(struct runner *runner, uint32_t id, const struct message_ask *asked);
/* Has a route of the plugin answer, on a thread of its own; `replied` comes exactly once, perhaps before this
 * returns. message: the body of WIRE_REQUEST, malloc'd, taken over. */
void runner_request(struct runner *runner, uint32_t id, void *message, size_t size);
/* The reply is no longer needed: takes the time away from the handler. */
void runner_cancel(struct runner *runner, uint64_t number);
/* Takes the time away from what runs, stops the idle components, waits for the others (at most timeout_ms),
 * stops them, and unloads. false if something still runs then: it stays as it is, without stop and unload,
 * and the caller exits. */
bool runner_free(struct runner *runner, int64_t timeout_ms);

int64_t runner_clock_us(void); /* CLOCK_MONOTONIC */
/* An alternate stack for fatal signals, for the calling thread (the pool's have theirs). */
void runner_signal_stack(void);
void runner_signal_stack_end(void); /* before the thread ends */
/* Return whether the process is near its limit of memory, and the component that took it. Async-signal-safe.
 */
bool runner_memory_is_full(void);
bool runner_memory_culprit(uint32_t *id);
/* For the handler of a fatal signal: the component at work on this thread, and its last step; false if none
 * is. Async-signal-safe. */
bool runner_current(uint32_t *id, const char **step);

#endif
