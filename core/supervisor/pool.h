/* SPDX-License-Identifier: Apache-2.0 */
/* crew: the workers of all plugins, and which component runs in which. Owns plugins, slots and workers;
 * components are sched's.
 *
 * A plugin's components share one worker (a slot). A component that killed its worker, or may have, gets a
 * slot of its own from then on, as does one with `isolation: own`. A slot's worker is started again at once
 * when the culprit is known and out, else after 1 s doubling to 30 s. Neighbours of a culprit lose the run
 * that was out, and are run again as soon as the new worker is up. */
#ifndef CREW_H
#define CREW_H

#include "board/component.h"
#include "process.h"

struct crew;

struct crew_events {
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
		     struct component *component); /* after crew_remove: nothing of it runs any more */
};

struct crew *crew_new(struct loop *loop, const char *program, const struct crew_events *events, void *arg);
void crew_free(struct crew *crew); /* after crew_end */
/* state_dir: NULL keeps it. */
void crew_configure(struct crew *crew, const char *state_dir, int64_t worker_memory, uint32_t series_max,
		    config_lookup *lookup);

void crew_make_folders(struct crew *crew); /* from now on: of each plugin's state */
/* strict: workers that this kernel cannot confine do not run. */
void crew_set_isolation(struct crew *crew, bool strict);

/* Opens plugins that are not open yet, or whose file has changed, each by a worker; `done` is called (from
 * the loop, or at once) when all have said hello or failed; then crew_info tells. One at a time. */
typedef void crew_prepared(void *arg);
void crew_prepare(struct crew *crew, char *const *names, size_t count, char *const *folders,
		  size_t folder_count, crew_prepared *done, void *arg);
/* What the plugin declares; NULL with *why, the sentence, when it could not be opened. */
const struct plugin_info *crew_info(const struct crew *crew, const char *name, const char **why);
/* Has the plugins validate the options of components that are not there yet; `mistake` is called for each
 * wrong option, with option NULL when a component's could not be validated (its worker died, or was too
 * slow); then `done`. One at a time; specs live until then. */
typedef void crew_mistake(void *arg, const struct component_spec *spec, const char *option, const char *text);
void crew_validate(struct crew *crew, struct component_spec *const *specs, size_t count,
		   crew_mistake *mistake, crew_prepared *done, void *arg);
const char *crew_plugin_path(const struct crew *crew, const char *name, int *copy);
/* The plugins that crew_prepare has opened are those in force from now on (taken), or those before stay.
 * Ends workers that no component needs, and forgets plugins that failed, so that a later reload tries them
 * again. */
void crew_tidy(struct crew *crew, bool taken);

void crew_add(struct crew *crew, struct component *component);
/* `left` comes when its last run has ended, at once when none is out. */
void crew_remove(struct crew *crew, struct component *component);

/* Reads its secrets anew (fresh: its server refused the last ones); when they have changed it is stopped and
 * started with them. No run may be out. */
void crew_refresh(struct crew *crew, struct component *component, bool fresh);

/* A number that no worker can guess, to match what comes back to what was asked; never 0. */
uint64_t crew_number(void);
void crew_run(struct crew *crew, struct component *component, uint64_t run, int64_t timeout_ms);
/* Its run is out past the grace: the worker is ended, and all runs in it that are past their deadline count
 * as culprits. */
void crew_kill(struct crew *crew, struct component *component);

/* ---- Requests for routes that live in a worker (crew_requests.c) ---- */

/* reply: valid during the call. NULL: there is none; code and why say what to answer instead. */
typedef void crew_answered(void *arg, const struct exchange_reply *reply, int code, const char *why);
/* Has the component of that name answer. `answered` is called once, perhaps before this returns (0 is
 * returned then), at the latest after EXCHANGE_MS. Else the number, for crew_withdraw. */
uint64_t crew_request(struct crew *crew, const char *component, const struct exchange_request *request,
		      crew_answered *answered, void *arg);
/* Nobody waits for it any more: `answered` does not come. */
void crew_withdraw(struct crew *crew, uint64_t number);

void crew_set_daemon_plugin(struct crew *crew,
			    const char *name); /* for the plugin states: it runs in the daemon */
const struct skymon_plugin_state *const *crew_plugin_states(struct crew *crew, size_t *count);

/* Ends all workers, which have so long to stop their components; done when the last is gone. */
bool crew_has_process(const struct crew *crew, pid_t pid); /* is it a worker? */

void crew_end(struct crew *crew, int64_t patience_ms, crew_prepared *done, void *arg);

#endif
