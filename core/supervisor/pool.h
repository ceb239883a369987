/* SPDX-License-Identifier: Apache-2.0 */
/* pool: the workers of all plugins, and which component runs in which. Owns plugins, slots, workers and its
 * own part of each component (struct component); the schedule's part is struct check.
 *
 * The components of a plugin share one worker (a slot). A component that killed its worker, or may have, gets
 * a slot of its own from then on, as does one with `isolation: own`. A slot's worker is started again at once
 * when the culprit is known and has moved out, else after a back-off. Neighbours of a culprit lose the run
 * that was out, and run again as soon as the new worker is up. */
#ifndef POOL_H
#define POOL_H

#include "base/loop.h"
#include "board/component.h"
#include "process.h"

struct pool;
struct component; /* the pool's part of a component */
struct check;     /* the schedule's part */

struct pool_failure { /* why a component cannot run */
	enum skymon_reason reason;
	bool hung; /* its worker was killed because a run did not return, and no run has returned since */
	char text[256]; /* "": it can, or is only starting */
};

/* The pool's reports to the schedule. They may come from within pool_add. */
struct pool_callbacks {
	void (*able)(struct check *check); /* the component was started and may run */
	void (*unable)(struct check *check, const struct pool_failure *failure);
	/* The run died with its worker, through no fault of its own. */
	void (*cut_off)(struct check *check);
	void (*result)(struct check *check, struct result *result); /* taken over */
	/* The run has no time left, and is at that step. */
	void (*step)(struct check *check, const char *text);
	/* For a component that is to be observed; after `result` for what it holds at the end of a run. NULL in
	 * skymond. */
	void (*observed)(struct check *check, const struct message_observed *observed);
};

struct pool *pool_new(struct loop *loop, const char *program, const struct pool_callbacks *callbacks);
void pool_free(struct pool *pool); /* after pool_end; workers that still run are killed */
/* state_dir: NULL keeps the present one. */
void pool_configure(struct pool *pool, const char *state_dir, int64_t worker_memory, uint32_t series_max,
		    config_lookup *lookup);
void pool_make_folders(struct pool *pool); /* of each plugin's state, from now on */
/* strict: workers that this kernel cannot confine do not run. */
void pool_set_isolation(struct pool *pool, bool strict);

/* ---- Plugins ---- */

/* Has workers open the plugins that are not open yet, or whose file has changed. `done` is called, perhaps
 * before this returns, when each has sent its hello or has failed; pool_info has the outcome. One call at a
 * time. */
typedef void pool_done(void *arg);
void pool_prepare(struct pool *pool, char *const *names, size_t count, const char *const *folders,
		  size_t folder_count, pool_done *done, void *arg);
/* Returns the declarations of a plugin; NULL with *why, a sentence, when it could not be opened. */
const struct plugin_info *pool_info(const struct pool *pool, const char *name, const char **why);
const char *pool_plugin_path(const struct pool *pool, const char *name, int *copy);
/* Has the plugins validate the options of components that do not run yet. `mistake` is called for each wrong
 * option, with option NULL when the options could not be validated (the worker died or was too slow); then
 * `done`. One call at a time; the specs must live until then. */
typedef void pool_mistake(void *arg, const struct component_spec *spec, const char *option, const char *text);
void pool_validate(struct pool *pool, struct component_spec *const *specs, size_t count,
		   pool_mistake *mistake, pool_done *done, void *arg);
/* taken: the plugins that pool_prepare has opened replace those before; else they are dropped. Ends workers
 * that no component needs, and forgets plugins that failed, so that a later reload retries them. */
void pool_tidy(struct pool *pool, bool taken);

/* For pool_plugin_states: the plugin runs in the daemon. */
void pool_set_daemon_plugin(struct pool *pool, const char *name);
const struct skymon_plugin_state *const *pool_plugin_states(struct pool *pool, size_t *count);

/* ---- Components ---- */

/* Starts a component, in a slot of its own when `isolated`. The spec stays the caller's. */
struct component *pool_add(struct pool *pool, const struct component_spec *spec, bool isolated,
			   struct check *check);
/* Replaces the spec by one with the same options, and reads the secrets again. */
void pool_adjust(struct component *component, const struct component_spec *spec);
/* Stops a component and frees it with its spec once nothing of it runs. No callback comes any more.
 * run_left_ms: how long a run that is out may still take. */
void pool_remove(struct component *component, struct component_spec *spec, int64_t run_left_ms);

bool pool_is_up(const struct component *component); /* it may run */
bool pool_is_isolated(const struct component *component);
const struct pool_failure *pool_failure(const struct component *component);
/* Starts a run of a component that is up and has none out; `result` or `unable` or `cut_off` follows. */
void pool_run(struct component *component, int64_t timeout_ms);
/* Kills the component's worker because its run did not return. All runs in the worker that are past their
 * timeout count as culprits. */
void pool_kill(struct component *component, const char *text);

/* ---- Requests for routes that live in a worker (pool_requests.c) ---- */

/* reply: valid during the call; NULL when there is none: code and why are the answer instead. */
typedef void pool_answered(void *arg, const struct http_message_reply *reply, int code, const char *why);
/* Sends the request to the component of that name. `answered` is called once, at the latest after
 * HTTP_MESSAGE_MS, perhaps before this returns (0 is returned then). Else returns the number for
 * pool_withdraw. */
uint64_t pool_request(struct pool *pool, const char *component, const struct http_message_request *request,
		      pool_answered *answered, void *arg);
/* The client has left: `answered` does not come. */
void pool_withdraw(struct pool *pool, uint64_t number);

/* ---- The end ---- */

bool pool_has_process(const struct pool *pool, pid_t pid); /* is it a worker? */
/* Frees all components and ends all workers, which have timeout_ms to exit; done when the last is gone. */
void pool_end(struct pool *pool, int64_t timeout_ms, pool_done *done, void *arg);

#endif
