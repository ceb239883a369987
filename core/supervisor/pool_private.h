/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of pool, shared by its files: pool.c (plugins, components), slot.c (places to run in),
 * pool_events.c (what workers tell). */
#ifndef POOL_PRIVATE_H
#define POOL_PRIVATE_H

#include "pool.h"

#define POOL_START_MS 10000 /* how long a start or a stop may take: they open no network */
#define POOL_BACK_OFF_MIN_MS 1000
#define POOL_BACK_OFF_MAX_MS 30000

enum pool_plugin_phase {
	PLUGIN_CANDIDATE, /* opened for a config that is not in force yet */
	PLUGIN_IN_FORCE,
	PLUGIN_REPLACED, /* by another file, or refused: forgotten when its workers have left */
};

struct pool_plugin {
	struct pool_plugin *next;
	enum pool_plugin_phase phase;
	char *name, *path;
	int copy; /* of the file, sealed; -1 when it could not be opened */
	struct plugin_mark mark;
	struct plugin_info *info;
	char *why; /* why it could not be opened; NULL while it can */
	bool in_daemon;
	uint64_t restarts;
	struct skymon_plugin_state state;
};

/* What a component's number on the wire stands for in its worker: nothing else may be said of it. */
struct pool_claim {
	uint32_t id;
	bool started;    /* its start was answered */
	bool stopping;   /* its stop was asked for */
	bool validation; /* of options only, which no component has yet */
};

struct slot {
	struct slot *next;
	struct pool *pool;
	struct pool_plugin *plugin;
	struct process *process; /* NULL: down */
	bool own;                /* for one component only */
	bool up;                 /* it said hello */
	bool ending;             /* we asked it to leave */
	size_t validating;       /* components whose options its worker was asked to validate */
	struct timer restart;
	int64_t back_off_ms, up_since_ms;
	struct component **components;
	size_t count, capacity;
	struct sandbox sandbox;    /* that its worker was started with */
	struct pool_claim *claims; /* all numbers that its worker was given and has not given back */
	size_t claim_count, claim_capacity;
};

struct pool {
	struct loop *loop;
	char *program, *state_dir;
	int64_t worker_memory;
	uint32_t series_max;
	int64_t leave_ms; /* how long a worker that is not needed any more may take to leave */
	bool strict, makes_folders;
	config_lookup *lookup;
	const struct pool_events *events;
	void *arg;
	struct pool_plugin *plugins;
	struct slot *slots;
	uint32_t last_id;
	struct pool_secrets *gathering; /* of all components */
	struct pool_ask *asks;          /* that are out to secret stores */
	struct pool_request *requests;  /* that are not answered, or whose handler is still at it */
	bool ending;
	size_t preparing; /* plugins that have not said hello yet */
	pool_prepared *done;
	void *done_arg;
	const struct skymon_plugin_state **states;
	struct pool_validation *validations; /* that are not answered */
	pool_mistake *mistake;
	pool_prepared *validated; /* NULL: no plan is being validated */
	void *validate_arg;
	struct timer validate_late;
};

extern const struct process_events pool_process_events;

struct pool_plugin *pool_find_plugin(const struct pool *pool, const char *name);
struct component *pool_find_component(const struct slot *slot, uint32_t id);
struct component *pool_find_named(const struct pool *pool, const char *name);
void pool_fail(struct component *component, enum skymon_reason reason,
	       const char *text); /* tried again later */
void pool_tell_start(struct component *component, const struct buf *body);
void pool_tell_stop(struct component *component);
/* Gathers the secrets, then tells the worker to start it; refresh: it runs, start it anew if they have
 * changed. */
void pool_secrets_gather(struct component *component, bool refresh, bool fresh);
void pool_secrets_drop(struct component *component); /* it leaves its slot */
/* slot, id: of the worker and component that answers: what others were asked is not theirs to answer. */
void pool_secrets_answer(struct slot *slot, uint32_t id, const struct message_answer *answer);
void pool_secrets_lost(struct slot *slot); /* its worker is gone, with what it was asked */
void pool_secrets_store_up(struct component *store);
void pool_start_component(struct component *component); /* its slot is up */
void pool_retry(struct timer *timer, int64_t now_ms);   /* of component->retry */
void pool_tell_done(struct pool *pool);
int64_t pool_back_off(int64_t back_off_ms); /* the next one */

/* It runs: what waited for it goes to its worker. */
void pool_requests_send(struct component *component);
/* It cannot run: what waits for it is answered 503. */
void pool_requests_fail(struct component *component, const char *text);
/* Its secrets were read anew; they are the same, or could not be had. fresh: not from a store's memory. */
void pool_requests_refreshed(struct component *component, bool fresh);
/* Is a handler of that component at work there? */
bool pool_requests_out(const struct slot *slot, uint32_t id);
/* Its worker is gone, with all that was out to it. */
void pool_requests_lost(struct slot *slot, const char *text);
/* What waits for a component that a reload has taken away is answered 503. */
void pool_requests_tidy(struct pool *pool);
void pool_requests_end(struct pool *pool); /* all are answered 503 */
/* slot, id: whose worker sent it, for which component: that one alone may answer what was sent there. */
void pool_requests_reply(struct slot *slot, uint32_t id, uint64_t number,
			 const struct http_message_reply *reply);

void pool_claim_add(struct slot *slot, uint32_t id);
struct pool_claim *pool_claim_find(const struct slot *slot, uint32_t id);
void pool_claim_drop(struct slot *slot, uint32_t id);
/* The worker sent what nobody asked it for: it is ended as broken. */
void pool_break(struct slot *slot, const char *text);

/* What its worker is to reach from now on; made for the next one; is the present one's enough? */
void pool_sandbox_of(const struct slot *slot, struct sandbox *sandbox);
void pool_sandbox_make(struct slot *slot);
/* May that component run in this slot without costing those that run there their worker? */
bool pool_sandbox_suits(const struct slot *slot, const struct component *component);
bool pool_sandbox_fits(const struct slot *slot);
char *pool_state_dir(const struct slot *slot); /* as skymon_state_dir tells it; the caller frees it */
/* Ends its worker, to start another at once. */
void slot_renew(struct slot *slot);
void pool_forget_plugins(struct pool *pool);
void pool_validate_slot_up(struct slot *slot);
/* slot: whose worker sent it: only what it was asked may be answered by it. */
void pool_validate_take(struct slot *slot, uint32_t id, struct wire_reader mistakes);
/* Its worker is gone (renewed: we ended it); what it did not answer is asked of another, or has failed.
 * pool_validate_tell_done is to follow, as the last thing, because all may end there. */
void pool_validate_lost(struct slot *slot, bool renewed, const char *text);
void pool_validate_tell_done(struct pool *pool);
void pool_validate_end(struct pool *pool);

struct slot *slot_new(struct pool *pool, struct pool_plugin *plugin, bool own);
struct slot *slot_shared(struct pool *pool, struct pool_plugin *plugin, const struct component *component);
void slot_enter(struct slot *slot, struct component *component);
void slot_leave(struct component *component);
void slot_spawn(struct slot *slot);
void slot_plan_restart(struct slot *slot, bool at_once);
void slot_retire(
	struct slot *slot); /* nobody needs it: its worker leaves, or it goes at once when it has none */
void slot_free(struct slot *slot); /* it has no worker and no components */
void pool_fail_all(struct slot *slot, const char *text);

#endif
