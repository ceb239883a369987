/* SPDX-License-Identifier: Apache-2.0 */
/* worker: one skymon-worker process as the daemon sees it: spawns, feeds, reaps. Never blocks on it, trusts
 * nothing from it. Knows components by number only; who they are, and what a death means for them, is the
 * owner's matter (pool). */
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

enum process_cause { PROCESS_ENDED /* we asked */, PROCESS_CRASHED, PROCESS_KILLED };
struct process_end {
	enum process_cause cause;
	uint32_t culprit; /* a component's number from its last words; 0: it had none */
	char text[256];   /* "crashed with SIGSEGV while connecting", "ended itself with exit(3)" … */
};

struct process_events {
	/* It said what its plugin is (taken over by the callee), or why it cannot be used (info NULL). Once.
	 */
	void (*hello)(void *arg, struct plugin_info *info, const char *why);
	void (*started)(void *arg, uint32_t id, bool ok, enum skymon_reason reason, const char *message);
	void (*result)(void *arg, uint32_t id, uint64_t run, struct result *result); /* taken over */
	void (*refused)(void *arg, uint32_t id);
	/* The answer to process_ask; valid during the call. */
	void (*answered)(void *arg, uint32_t id, const struct message_answer *answer);
	/* Its run has no time left, and is at that step. */
	void (*step)(void *arg, uint32_t id, uint64_t run, const char *text);
	void (*stopped)(void *arg, uint32_t id);
	/* The reply to process_request; valid during the call. */
	void (*replied)(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply);
	/* Files that it may read were replaced: it wants to be started again. */
	void (*stale)(void *arg);
	/* Was a component of that number given to it, and not taken back? */
	bool (*knows)(void *arg, uint32_t id);
	/* What the plugin says of options (process_validate): wire.h's WIRE_VALIDATED; valid during the call.
	 */
	void (*validated)(void *arg, uint32_t id, struct wire_reader mistakes);
	/* The process is gone and reaped; `struct process` is freed after this call. The last call. */
	void (*ended)(void *arg, const struct process_end *end);
};

struct process_spec {
	const char *program, *plugin_path, *name; /* skymon-worker, the .so, the plugin's name for logs */
	int copy;                                 /* of the .so, which it loads */
	const struct sandbox *sandbox;
	int64_t memory_limit;
	int64_t hello_timeout_ms;
};

/* Spawns at once. */
struct process *process_new(struct loop *loop, const struct process_spec *spec,
			    const struct process_events *events, void *arg, struct err *err) MUST_CHECK;
/* body: as wire.h says for WIRE_START; wiped by the caller. A broken wire is told by `ended`, later. */
void process_start(struct process *process, uint32_t id, const struct buf *body);
void process_run(struct process *process, uint32_t id, uint64_t run, uint32_t timeout_ms);
void process_ask(struct process *process, uint32_t id, uint64_t number, bool fresh, uint32_t timeout_ms,
		 const char *path);
void process_stop(struct process *process, uint32_t id);
/* body: as http_message_put_request has put it. again: its secret was read anew for it already. false: too
 * much is waiting for it already, and nothing was sent. */
bool process_request(struct process *process, uint32_t id, uint64_t number, bool again, uint32_t timeout_ms,
		     const struct buf *body) MUST_CHECK;
/* id: the asker's; body: as wire.h says for WIRE_VALIDATE. */
void process_validate(struct process *process, uint32_t id, const struct buf *body);
void process_cancel(struct process *process, uint32_t id, uint64_t number);
/* Kills the process group; `ended` comes with this cause, culprit and text. */
void process_kill(struct process *process, enum process_cause cause, uint32_t culprit, const char *text);
/* Kills it as broken: it sent what it may not send. Nothing more of what it sent is read. */
void process_break(struct process *process, const char *text);
pid_t process_pid(const struct process *process);
/* Asks it to leave: it stops its components, unloads its plugin and exits; killed after so long (the shortest
 * time counts when it is asked again). Of what it still says, logs and last words count. `ended` comes, with
 * PROCESS_ENDED when all went well. */
void process_end(struct process *process, int64_t patience_ms);
/* Kills it and waits for that: at the very end, when no loop turns any more. No event comes. */
void process_free(struct process *process);

#endif
