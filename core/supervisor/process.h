/* SPDX-License-Identifier: Apache-2.0 */
/* process: one skymon-worker process as the daemon sees it. Never blocks on it, trusts nothing that it sends.
 * Knows components by id only; the owner (pool) knows their names and what a death means for them. */
#ifndef PROCESS_H
#define PROCESS_H

#include <sys/types.h>

#include "wire/http_message.h"
#include "wire/message.h"
#include "base/loop.h"
#include "plugin/plugin.h"
#include "wire/result.h"
#include "sandbox/sandbox.h"

struct process;

enum process_cause { PROCESS_ENDED /* as it was asked to */, PROCESS_CRASHED, PROCESS_KILLED };
struct process_end {
	enum process_cause cause;
	uint32_t culprit; /* id of the component that was running; 0 if it is not known */
	bool alone;       /* it is the only culprit: what else is overdue has waited for it */
	char text[256];   /* "crashed with SIGSEGV while connecting", "ended itself with exit(3)" … */
};

struct process_events {
	/* Once. info (taken over) declares the plugin; NULL when it cannot be used, and why says why. */
	void (*hello)(void *arg, struct plugin_info *info, const char *why);
	void (*started)(void *arg, uint32_t id, bool ok, enum skymon_reason reason, const char *message);
	void (*result)(void *arg, uint32_t id, uint64_t run, struct result *result); /* taken over */
	void (*refused)(void *arg, uint32_t id);
	/* answer: to process_ask; valid during the call. */
	void (*answered)(void *arg, uint32_t id, const struct message_answer *answer);
	/* The run has no time left, and is at that step. */
	void (*step)(void *arg, uint32_t id, struct wire_reader in);
	/* in, here and of step: the body of WIRE_OBSERVED, and of WIRE_STEP; valid during the call. */
	void (*observed)(void *arg, uint32_t id, struct wire_reader in);
	void (*stopped)(void *arg, uint32_t id);
	/* reply: to process_request; valid during the call. */
	void (*replied)(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply);
	/* Files that it may read were replaced: it has to be started again. */
	void (*stale)(void *arg);
	/* Does the worker have a component of that id? */
	bool (*knows)(void *arg, uint32_t id);
	/* mistakes: the body of WIRE_VALIDATED, the answer to process_validate; valid during the call. */
	void (*validated)(void *arg, uint32_t id, struct wire_reader mistakes);
	/* The last call: the process is reaped, and `struct process` is freed after it. */
	void (*ended)(void *arg, const struct process_end *end);
};

struct process_spec {
	const char *program, *plugin_path, *name; /* skymon-worker, the .so, the plugin's name for logs */
	int copy;                                 /* of the .so, which it loads */
	const struct sandbox *sandbox;
	int64_t memory_limit;
	int64_t hello_timeout_ms;
};

/* Spawns the process at once. */
struct process *process_new(struct loop *loop, const struct process_spec *spec,
			    const struct process_events *events, void *arg, struct err *err) MUST_CHECK;
/* body: of WIRE_START; the caller wipes it. A broken wire is reported by `ended`, later. */
void process_start(struct process *process, uint32_t id, const struct buf *body);
void process_run(struct process *process, uint32_t id, const struct message_run *run);
void process_ask(struct process *process, uint32_t id, uint64_t number, bool fresh, uint32_t timeout_ms,
		 const char *path);
void process_stop(struct process *process, uint32_t id);
/* body: as http_message_put_request wrote it. again: its secret was refused, and read again. Returns false,
 * and sends nothing, when too much waits for the worker already. */
bool process_request(struct process *process, uint32_t id, uint64_t number, bool again, uint32_t timeout_ms,
		     const struct buf *body) MUST_CHECK;
/* id: the caller's choice; body: of WIRE_VALIDATE. */
void process_validate(struct process *process, uint32_t id, const struct buf *body);
void process_cancel(struct process *process, uint32_t id, uint64_t number);
/* Kills the process group; `ended` comes with this cause, culprit and text. */
void process_kill(struct process *process, enum process_cause cause, uint32_t culprit, const char *text);
/* Kills a worker that sent what it may not send; nothing more that it sent is read. */
void process_break(struct process *process, const char *text);
pid_t process_pid(const struct process *process);
/* Asks it to exit: it stops its components, unloads its plugin and exits, and is killed after timeout_ms (the
 * shortest when it is asked again). Of its messages only logs and a crash are read. `ended` comes, with
 * PROCESS_ENDED when it exited by itself. */
void process_end(struct process *process, int64_t timeout_ms);
/* Kills it and waits for its end, at most a second: for the time when the loop has ended. No event comes. */
void process_free(struct process *process);

#endif
