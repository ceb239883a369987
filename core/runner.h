/* runner: runs the checks of one plugin: state, options, threads, deadlines, names, results. The same code serves skymon-worker, `skymon
 * run` and the tests' host. Knows no process, no wire: it calls back. Owns the components given to it.
 *
 * Threads: all functions are called on one thread (the main one). A run is done on a thread of the runner's pool (an idle one, else a new one;
 * small stacks), and `ended` is called there. load/start/stop run on the calling thread. */
#ifndef RUNNER_H
#define RUNNER_H

#include "log.h"
#include "option.h"
#include "result.h"

struct runner;
struct runner_component;

struct runner_events { /* called on any thread; the receiver locks */
	/* body: the encoded result (result.h), to be read before returning. */
	void (*ended)(void *arg, struct runner_component *component, uint64_t run, const struct buf *body);
	void (*log)(void *arg, uint32_t id, enum log_level level, const char *text);
	void (*refused)(void *arg, uint32_t id);
	/* after a run: the process holds more than the limit; id: who grew most. May not return. */
	void (*memory)(void *arg, uint32_t id);
};

/* plugin: from plugin_open, outlives the runner. Calls load; NULL with its sentence when that fails. memory_limit: bytes, 0 none. */
struct runner *runner_new(const struct skymon_plugin *plugin, int64_t memory_limit, const struct runner_events *events, void *arg,
			  struct err *err) MUST_CHECK;
/* Takes over values. Stores them, calls start. false: the sentence is start's own; the component is not there then. */
bool runner_start(struct runner *runner, uint32_t id, const char *name, const char *state_dir, struct option_values *values,
		  struct err *err) MUST_CHECK;
/* Begins a run; false when the component is not there or its last run is still out. */
bool runner_run(struct runner *runner, uint32_t id, uint64_t run, int64_t timeout_ms);
/* Calls stop and frees, now or when the run that is out has ended. */
void runner_stop(struct runner *runner, uint32_t id);
uint32_t runner_component_id(const struct runner_component *component);
/* Waits for runs to end (at most timeout_ms), stops all, unload. For skymon run and tests; a worker just leaves. */
void runner_free(struct runner *runner, int64_t timeout_ms);

/* For the fatal-signal handler: who runs on this thread and its last step (a static text). false: nobody's. Async-signal-safe. */
bool runner_current(uint32_t *id, const char **step);

#endif
