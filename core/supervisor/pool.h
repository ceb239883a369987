/* SPDX-License-Identifier: Apache-2.0 */
/* pool: the workers of all plugins, and which component runs in which. Owns plugins, slots and workers;
 * components are sched's.
 *
 * A plugin's components share one worker (a slot). A component that killed its worker, or may have, gets a
 * slot of its own from then on, as does one with `isolation: own`. A slot's worker is started again at once
 * when the culprit is known and out, else after 1 s doubling to 30 s. Neighbours of a culprit lose the run
 * that was out, and are run again as soon as the new worker is up. */
#ifndef POOL_H
#define POOL_H

#include "board/component.h"
#include "process.h"

struct pool;

struct pool_events {
	void (*able)(void *arg, struct component *component); /* its start is done: it may run */
	/* It cannot run now: its start failed, a secret cannot be read, its worker died in its hands. */
	void (*unable)(void *arg, struct component *component, enum skymon_reason reason, const char *text);
	void (*cut_off)(
		void *arg,
		struct component *component); /* its run died with the worker, by no fault of its own */
	void (*result)(void *arg, struct component *component, uint64_t run,
		       struct result *result); /* taken over */
	/* What its run, whose time is over, is doing. */
	void (*step)(void *arg, struct component *component, uint64_t run, const char *text);
	/* Its server refused its secret. 0: it is or will be read anew; else in so many ms it may be, and is
	 * to be told again then, if somebody waits for it. */
	int64_t (*refused)(void *arg, struct component *component);
	void (*left)(void *arg,
		     struct component *component); /* after pool_remove: nothing of it runs any more */
};

struct pool *pool_new(struct loop *loop, const char *program, const struct pool_events *events, void *arg);
void pool_free(struct pool *pool); /* after pool_end */
/* state_dir: NULL keeps it. */
void pool_configure(struct pool *pool, const char *state_dir, int64_t worker_memory, uint32_t series_max,
		    config_lookup *lookup);

void pool_make_folders(struct pool *pool); /* from now on: of each plugin's state */
/* strict: workers that this kernel cannot confine do not run. */
void pool_set_isolation(struct pool *pool, bool strict);

/* Opens plugins that are not open yet, or whose file has changed, each by a worker; `done` is called (from
 * the loop, or at once) when all have said hello or failed; then pool_info tells. One at a time. */
typedef void pool_prepared(void *arg);
void pool_prepare(struct pool *pool, char *const *names, size_t count, char *const *folders,
		  size_t folder_count, pool_prepared *done, void *arg);
/* What the plugin declares; NULL with *why, the sentence, when it could not be opened. */
const struct plugin_info *pool_info(const struct pool *pool, const char *name, const char **why);
/* Has the plugins validate the options of components that are not there yet; `mistake` is called for each
 * wrong option, with option NULL when a component's could not be validated (its worker died, or was too
 * slow); then `done`. One at a time; specs live until then. */
typedef void pool_mistake(void *arg, const struct component_spec *spec, const char *option, const char *text);
void pool_validate(struct pool *pool, struct component_spec *const *specs, size_t count,
		   pool_mistake *mistake, pool_prepared *done, void *arg);
const char *pool_plugin_path(const struct pool *pool, const char *name, int *copy);
/* The plugins that pool_prepare has opened are those in force from now on (taken), or those before stay.
 * Ends workers that no component needs, and forgets plugins that failed, so that a later reload tries them
 * again. */
void pool_tidy(struct pool *pool, bool taken);

void pool_add(struct pool *pool, struct component *component);
/* `left` comes when its last run has ended, at once when none is out. */
void pool_remove(struct pool *pool, struct component *component);

/* Reads its secrets anew (fresh: its server refused the last ones); when they have changed it is stopped and
 * started with them. No run may be out. */
void pool_refresh(struct pool *pool, struct component *component, bool fresh);

/* A number that no worker can guess, to match what comes back to what was asked; never 0. */
uint64_t pool_number(void);
void pool_run(struct pool *pool, struct component *component, uint64_t run, int64_t timeout_ms);
/* Its run is out past the grace: the worker is ended, and all runs in it that are past their deadline count
 * as culprits. */
void pool_kill(struct pool *pool, struct component *component);

/* ---- Requests for routes that live in a worker (pool_requests.c) ---- */

/* reply: valid during the call. NULL: there is none; code and why say what to answer instead. */
typedef void pool_answered(void *arg, const struct http_message_reply *reply, int code, const char *why);
/* Has the component of that name answer. `answered` is called once, perhaps before this returns (0 is
 * returned then), at the latest after HTTP_MESSAGE_MS. Else the number, for pool_withdraw. */
uint64_t pool_request(struct pool *pool, const char *component, const struct http_message_request *request,
		      pool_answered *answered, void *arg);
/* Nobody waits for it any more: `answered` does not come. */
void pool_withdraw(struct pool *pool, uint64_t number);

void pool_set_daemon_plugin(struct pool *pool,
			    const char *name); /* for the plugin states: it runs in the daemon */
const struct skymon_plugin_state *const *pool_plugin_states(struct pool *pool, size_t *count);

/* Ends all workers, which have so long to stop their components; done when the last is gone. */
bool pool_has_process(const struct pool *pool, pid_t pid); /* is it a worker? */

void pool_end(struct pool *pool, int64_t patience_ms, pool_prepared *done, void *arg);

#endif
