/* SPDX-License-Identifier: Apache-2.0 */
/* worker: one skymon-worker process as the daemon sees it: spawns, feeds, reaps. Never blocks on it, trusts
 * nothing from it. Knows components by number only; who they are, and what a death means for them, is the
 * owner's matter (crew). */
#ifndef WORKER_H
#define WORKER_H

#include <sys/types.h>

#include "wire/http_message.h"
#include "base/loop.h"
#include "plugin/plugin.h"
#include "wire/result.h"
#include "worker/sandbox.h"

struct worker;

enum worker_cause { WORKER_ENDED /* we asked */, WORKER_CRASHED, WORKER_KILLED };
struct worker_end {
	enum worker_cause cause;
	bool said_hello;
	uint32_t culprit; /* a component's number from its last words; 0: it had none */
	char text[256];   /* "crashed with SIGSEGV while connecting", "ended itself with exit(3)" … */
};

struct worker_answer { /* of a secret store */
	uint64_t number;
	bool ok;
	enum skymon_reason reason;
	int64_t lease_ms;
	const char *message;
	const void *bytes;
	size_t size;
};

struct worker_events {
	/* It said what its plugin is (taken over by the callee), or why it cannot be used (info NULL). Once.
	 */
	void (*hello)(void *arg, struct worker *worker, struct plugin_info *info, const char *why);
	void (*started)(void *arg, struct worker *worker, uint32_t id, bool ok, enum skymon_reason reason,
			const char *message);
	void (*result)(void *arg, struct worker *worker, uint32_t id, uint64_t run,
		       struct result *result); /* taken over */
	void (*refused)(void *arg, struct worker *worker, uint32_t id);
	/* The answer to worker_ask; valid during the call. */
	void (*answered)(void *arg, struct worker *worker, uint32_t id, const struct worker_answer *answer);
	/* Its run has no time left, and is at that step. */
	void (*step)(void *arg, struct worker *worker, uint32_t id, uint64_t run, const char *text);
	void (*stopped)(void *arg, struct worker *worker, uint32_t id);
	/* The reply to worker_request; valid during the call. */
	void (*replied)(void *arg, struct worker *worker, uint32_t id, uint64_t number,
			const struct exchange_reply *reply);
	/* Files that it may read were replaced: it wants to be started again. */
	void (*stale)(void *arg, struct worker *worker);
	/* Was a component of that number given to it, and not taken back? */
	bool (*knows)(void *arg, uint32_t id);
	/* What the plugin says of options (worker_validate): wire.h's WIRE_VALIDATED; valid during the call.
	 */
	void (*validated)(void *arg, struct worker *worker, uint32_t id, struct wire_reader mistakes);
	/* The process is gone and reaped; the worker is freed after this call. The last call. */
	void (*ended)(void *arg, struct worker *worker, const struct worker_end *end);
};

struct worker_spec {
	const char *program, *plugin_path, *name; /* skymon-worker, the .so, the plugin's name for logs */
	int copy;                                 /* of the .so, which it loads */
	const struct sandbox *sandbox;
	int64_t memory_limit;
	int64_t hello_timeout_ms;
};

/* Spawns at once. */
struct worker *worker_new(struct loop *loop, const struct worker_spec *spec,
			  const struct worker_events *events, void *arg, struct err *err) MUST_CHECK;
/* body: as wire.h says for WIRE_START; wiped by the caller. A broken wire is told by `ended`, later. */
void worker_start(struct worker *worker, uint32_t id, const struct buf *body);
void worker_run(struct worker *worker, uint32_t id, uint64_t run, uint32_t timeout_ms);
void worker_ask(struct worker *worker, uint32_t id, uint64_t number, bool fresh, uint32_t timeout_ms,
		const char *path);
void worker_stop(struct worker *worker, uint32_t id);
/* body: as exchange_put_request has put it. again: its secret was read anew for it already. false: too much
 * is waiting for it already, and nothing was sent. */
bool worker_request(struct worker *worker, uint32_t id, uint64_t number, bool again, uint32_t timeout_ms,
		    const struct buf *body) MUST_CHECK;
/* id: the asker's; body: as wire.h says for WIRE_VALIDATE. */
void worker_validate(struct worker *worker, uint32_t id, const struct buf *body);
void worker_cancel(struct worker *worker, uint32_t id, uint64_t number);
/* Kills the process group; `ended` comes with this cause, culprit and text. */
void worker_kill(struct worker *worker, enum worker_cause cause, uint32_t culprit, const char *text);
/* Kills it as broken: it sent what it may not send. Nothing more of what it sent is read. */
void worker_break(struct worker *worker, const char *text);
pid_t worker_pid(const struct worker *worker);
/* Asks it to leave: it stops its components, unloads its plugin and exits; killed after so long. Of what it
 * still says, logs and last words count. `ended` comes, with WORKER_ENDED when all went well. */
void worker_end(struct worker *worker, int64_t patience_ms);
/* Kills it and waits for that: at the very end, when no loop turns any more. No event comes. */
void worker_free(struct worker *worker);

#endif
