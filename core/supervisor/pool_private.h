/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of crew, shared by its files: crew.c (plugins, components), crew_slot.c (places to run in),
 * crew_events.c (what workers tell). */
#ifndef CREW_PRIVATE_H
#define CREW_PRIVATE_H

#include "pool.h"

#define CREW_START_MS 10000 /* how long a start or a stop may take: they open no network */
#define CREW_BACK_OFF_MIN_MS 1000
#define CREW_BACK_OFF_MAX_MS 30000

enum crew_plugin_phase {
	PLUGIN_CANDIDATE, /* opened for a config that is not in force yet */
	PLUGIN_IN_FORCE,
	PLUGIN_REPLACED, /* by another file, or refused: forgotten when its workers have left */
};

struct crew_plugin {
	struct crew_plugin *next;
	enum crew_plugin_phase phase;
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
struct crew_claim {
	uint32_t id;
	bool started;    /* its start was answered */
	bool stopping;   /* its stop was asked for */
	bool validation; /* of options only, which no component has yet */
};

struct crew_slot {
	struct crew_slot *next;
	struct crew *crew;
	struct crew_plugin *plugin;
	struct worker *worker; /* NULL: down */
	bool own;              /* for one component only */
	bool up;               /* it said hello */
	bool ending;           /* we asked it to leave */
	size_t validating;     /* components whose options its worker was asked to validate */
	struct timer restart;
	int64_t back_off_ms, up_since_ms;
	struct component **components;
	size_t count, capacity;
	struct sandbox sandbox;    /* that its worker was started with */
	struct crew_claim *claims; /* all numbers that its worker was given and has not given back */
	size_t claim_count, claim_capacity;
};

struct crew {
	struct loop *loop;
	char *program, *state_dir;
	int64_t worker_memory;
	uint32_t series_max;
	int64_t leave_ms; /* how long a worker that is not needed any more may take to leave */
	bool strict, makes_folders;
	config_lookup *lookup;
	const struct crew_events *events;
	void *arg;
	struct crew_plugin *plugins;
	struct crew_slot *slots;
	uint32_t last_id;
	struct crew_secrets *gathering; /* of all components */
	struct crew_ask *asks;          /* that are out to secret stores */
	struct crew_request *requests;  /* that are not answered, or whose handler is still at it */
	bool ending;
	size_t preparing; /* plugins that have not said hello yet */
	crew_prepared *done;
	void *done_arg;
	const struct skymon_plugin_state **states;
	struct crew_validation *validations; /* that are not answered */
	crew_mistake *mistake;
	crew_prepared *validated; /* NULL: no plan is being validated */
	void *validate_arg;
	struct timer validate_late;
};

extern const struct worker_events crew_worker_events;

struct crew_plugin *crew_find_plugin(const struct crew *crew, const char *name);
struct component *crew_find_component(const struct crew_slot *slot, uint32_t id);
struct component *crew_find_named(const struct crew *crew, const char *name);
void crew_fail(struct component *component, enum skymon_reason reason,
	       const char *text); /* tried again later */
void crew_tell_start(struct component *component, const struct buf *body);
void crew_tell_stop(struct component *component);
/* Gathers the secrets, then tells the worker to start it; refresh: it runs, start it anew if they have
 * changed. */
void crew_secrets_gather(struct component *component, bool refresh, bool fresh);
void crew_secrets_drop(struct component *component); /* it leaves its slot */
/* slot, id: of the worker and component that answers: what others were asked is not theirs to answer. */
void crew_secrets_answer(struct crew_slot *slot, uint32_t id, const struct worker_answer *answer);
void crew_secrets_lost(struct crew_slot *slot); /* its worker is gone, with what it was asked */
void crew_secrets_store_up(struct component *store);
void crew_start_component(struct component *component); /* its slot is up */
void crew_retry(struct timer *timer, int64_t now_ms);   /* of component->retry */
void crew_tell_done(struct crew *crew);
int64_t crew_back_off(int64_t back_off_ms); /* the next one */

/* It runs: what waited for it goes to its worker. */
void crew_requests_send(struct component *component);
/* It cannot run: what waits for it is answered 503. */
void crew_requests_fail(struct component *component, const char *text);
/* Its secrets were read anew; they are the same, or could not be had. fresh: not from a store's memory. */
void crew_requests_refreshed(struct component *component, bool fresh);
/* Is a handler of that component at work there? */
bool crew_requests_out(const struct crew_slot *slot, uint32_t id);
/* Its worker is gone, with all that was out to it. */
void crew_requests_lost(struct crew_slot *slot, const char *text);
/* What waits for a component that a reload has taken away is answered 503. */
void crew_requests_tidy(struct crew *crew);
void crew_requests_end(struct crew *crew); /* all are answered 503 */
/* slot, id: whose worker sent it, for which component: that one alone may answer what was sent there. */
void crew_requests_reply(struct crew_slot *slot, uint32_t id, uint64_t number,
			 const struct exchange_reply *reply);

void crew_claim_add(struct crew_slot *slot, uint32_t id);
struct crew_claim *crew_claim_find(const struct crew_slot *slot, uint32_t id);
void crew_claim_drop(struct crew_slot *slot, uint32_t id);
/* The worker sent what nobody asked it for: it is ended as broken. */
void crew_break(struct crew_slot *slot, const char *text);

/* What its worker is to reach from now on; made for the next one; is the present one's enough? */
void crew_sandbox_of(const struct crew_slot *slot, struct sandbox *sandbox);
void crew_sandbox_make(struct crew_slot *slot);
/* May that component run in this slot without costing those that run there their worker? */
bool crew_sandbox_suits(const struct crew_slot *slot, const struct component *component);
bool crew_sandbox_fits(const struct crew_slot *slot);
char *crew_state_dir(const struct crew_slot *slot); /* as skymon_state_dir tells it; the caller frees it */
/* Ends its worker, to start another at once. */
void crew_slot_renew(struct crew_slot *slot);
void crew_forget_plugins(struct crew *crew);
void crew_validate_slot_up(struct crew_slot *slot);
/* slot: whose worker sent it: only what it was asked may be answered by it. */
void crew_validate_take(struct crew_slot *slot, uint32_t id, struct wire_reader mistakes);
/* Its worker is gone (renewed: we ended it); what it did not answer is asked of another, or has failed.
 * crew_validate_tell_done is to follow, as the last thing, because all may end there. */
void crew_validate_lost(struct crew_slot *slot, bool renewed, const char *text);
void crew_validate_tell_done(struct crew *crew);
void crew_validate_end(struct crew *crew);

struct crew_slot *crew_slot_new(struct crew *crew, struct crew_plugin *plugin, bool own);
struct crew_slot *crew_slot_shared(struct crew *crew, struct crew_plugin *plugin,
				   const struct component *component);
void crew_slot_enter(struct crew_slot *slot, struct component *component);
void crew_slot_leave(struct component *component);
void crew_slot_spawn(struct crew_slot *slot);
void crew_slot_plan_restart(struct crew_slot *slot, bool at_once);
void crew_slot_retire(
	struct crew_slot *slot); /* nobody needs it: its worker leaves, or it goes at once when it has none */
void crew_slot_free(struct crew_slot *slot); /* it has no worker and no components */
void crew_fail_all(struct crew_slot *slot, const char *text);

#endif
