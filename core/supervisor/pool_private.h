/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the pool, shared by its files: pool.c (plugins), pool_slot.c (places to run in),
 * pool_restart.c (their workers), pool_component.c (components and their states), pool_events.c (what workers
 * report), pool_death.c (their ends), pool_secrets.c, pool_requests.c, pool_sandbox.c, pool_validate.c. */
#ifndef POOL_PRIVATE_H
#define POOL_PRIVATE_H

#include "timeouts.h"
#include "pool.h"

enum pool_plugin_phase {
	PLUGIN_CANDIDATE, /* opened for a config that is not in force yet */
	PLUGIN_IN_FORCE,
	PLUGIN_REPLACED, /* by another file, or refused: forgotten when its workers have exited */
};

struct pool_plugin {
	struct pool_plugin *next;
	enum pool_plugin_phase phase;
	char *name, *path;
	int copy; /* of the file, sealed; -1 when it could not be opened */
	struct plugin_mark mark;
	struct plugin_info *info;
	char *why; /* why it could not be opened; else NULL */
	bool in_daemon;
	uint64_t restarts;
	struct skymon_plugin_state state;
};

/* The meaning of an id in its worker: the worker may send nothing else about that id. */
struct pool_claim {
	uint32_t id;
	struct component *component; /* whose id this is, or was; NULL once it has left */
	bool started;                /* its start was answered */
	bool stopping;               /* its stop was requested */
	bool validation;             /* of options only, which no component has yet */
};

/* STARTING: its worker's hello is awaited. ENDING: its worker was asked to exit. */
enum slot_state { SLOT_DOWN, SLOT_STARTING, SLOT_UP, SLOT_ENDING };
struct slot {
	struct slot *next;
	struct pool *pool;
	struct pool_plugin *plugin;
	enum slot_state state;
	struct process *process; /* NULL while it is down */
	bool own;                /* for one component only */
	size_t validating;       /* components whose options its worker was asked to validate */
	struct timer restart;
	int64_t back_off_ms, up_since_ms; /* up_since_ms: 0 before its worker's hello */
	struct component **components;
	size_t count, capacity;
	struct sandbox sandbox;    /* that its worker was started with */
	struct pool_claim *claims; /* all ids that its worker was given and has not given back */
	size_t claim_count, claim_capacity;
};

/* Each state is one thing that a component waits for; its one timer limits that. Only pool_enter_state sets
 * it. */
enum component_state {
	COMPONENT_DOWN,             /* its slot's worker; no timer, the slot has one */
	COMPONENT_BACKING_OFF,      /* its next start, after one that failed */
	COMPONENT_AWAITING_STORE,   /* a secret store that is only starting; timer: the next look */
	COMPONENT_AWAITING_SECRETS, /* the replies of secret stores */
	COMPONENT_STARTING,         /* the worker's answer to its start */
	COMPONENT_UP,               /* work; timer: the next read of its secrets, if one is due */
	COMPONENT_REFRESHING,       /* work, and the replies of secret stores */
	COMPONENT_STOPPING,         /* removed: the end of its run, or of its stop */
};

enum pool_refresh { REFRESH_NONE, REFRESH_CACHED, REFRESH_FRESH };

struct component {
	struct pool *pool;
	struct check *check;         /* NULL once the schedule has removed it */
	struct component_spec *spec; /* the schedule's, until then */
	struct slot *slot;
	uint32_t id; /* on the wire; replaced at each start, so that late messages for the old instance match
			nothing */
	enum component_state state;
	struct timer timer;
	struct pool_failure failure;
	bool isolated; /* it killed a shared worker once */
	int64_t back_off_ms;
	/* the run that is out */
	uint64_t run; /* its number; 0 when none is out */
	int64_t run_overdue_ms;
	unsigned hangs; /* how often its worker was killed for a run since a run has returned */
	/* its secrets */
	struct pool_secrets *secrets; /* being gathered; else NULL */
	uint64_t secrets_hash;        /* of those that it was started with */
	enum pool_refresh refresh;    /* to read them again when the run, or the present read, has ended */
	int64_t lease_ends_ms;        /* of the secret that ends first; 0 when none does */
	int64_t refused_ms;           /* when a refusal last led to a read */
	int64_t request_refresh_ms;   /* when the next may, for a request that waits for it; else 0 */
	unsigned store_looks;
	bool store_died; /* while it was asked, perhaps of that: retried after the back-off, not at once */
	char blank_secret[64]; /* option whose secret ends with a line break or a blank; else "" */
};

struct pool {
	struct loop *loop;
	char *program, *state_dir;
	int64_t worker_memory;
	uint32_t series_max;
	int64_t exit_timeout_ms;
	bool strict, makes_folders;
	config_lookup *lookup;
	const struct pool_callbacks *callbacks;
	struct pool_plugin *plugins;
	struct slot *slots;
	uint32_t last_id;
	struct pool_ask *asks;         /* that are out to secret stores */
	struct pool_request *requests; /* that are not answered, or whose handler has not returned */
	bool ending;
	size_t preparing; /* plugins whose hello has not come yet */
	pool_done *done;
	void *done_arg;
	const struct skymon_plugin_state **states;
	struct pool_validation *validations; /* that are not answered */
	pool_mistake *mistake;
	pool_done *validated; /* NULL while no plan is being validated */
	void *validate_arg;
	struct timer validate_timeout;
	uint64_t numbers[32]; /* of the kernel's generator, for pool_number */
	size_t number_count;
};

/* ---- pool.c ---- */

struct pool_plugin *pool_find_plugin(const struct pool *pool, const char *name);
void pool_forget_plugins(struct pool *pool);
/* Calls `done` when all that was waited for has come. */
void pool_report_done(struct pool *pool);
uint64_t pool_number(struct pool *pool); /* one that no worker can guess; never 0 */

/* ---- pool_slot.c ---- */

struct slot *slot_new(struct pool *pool, struct pool_plugin *plugin, bool own);
struct slot *slot_shared(struct pool *pool, struct pool_plugin *plugin, const struct component_spec *spec);
void slot_enter(struct slot *slot, struct component *component);
void slot_leave(struct component *component);
/* Ends the worker of a slot that no component needs; frees the slot when it has none. */
void slot_retire(struct slot *slot);
void slot_free(struct slot *slot); /* it has no components */
struct component *slot_find(const struct slot *slot, uint32_t id);
void slot_claim(struct slot *slot, struct pool_claim claim);
struct pool_claim *slot_find_claim(const struct slot *slot, uint32_t id);
void slot_drop_claim(struct slot *slot, uint32_t id);
void slot_break(struct slot *slot, const char *text); /* its worker sent what it may not send */

/* ---- pool_restart.c ---- */

int64_t pool_back_off(int64_t back_off_ms); /* the next one, of a worker or of a component's start */
void slot_spawn(struct slot *slot);
void slot_plan_restart(struct slot *slot, bool at_once);
void slot_on_restart(struct timer *timer, int64_t now_ms); /* the timer of the plan */
void slot_renew(struct slot *slot);                        /* ends its worker, to start another at once */

/* ---- pool_component.c ---- */

/* wait_ms: for the timer; -1 clears it. */
void pool_enter_state(struct component *component, enum component_state state, int64_t wait_ms);
void pool_set_up(struct component *component);
struct component *pool_find_component(const struct pool *pool, const char *name);
void pool_start(struct component *component); /* its slot is up */
/* Sends the start, with the encoded options, to the worker. */
void pool_send_start(struct component *component, const struct buf *body);
void pool_send_stop(struct component *component);
/* Its start has failed; it is retried after the back-off. */
void pool_fail(struct component *component, enum skymon_reason reason, const char *text);
/* Its worker could not be started. */
void pool_fail_all(struct slot *slot, const char *text);
/* Sets why it cannot run, and reports that. */
void pool_report_failure(struct component *component, enum skymon_reason reason, const char *text);
void pool_end_run(struct component *component); /* it has returned */
void pool_free_component(struct component *component);

/* ---- pool_events.c ---- */

extern const struct process_events pool_process_events;

/* ---- pool_death.c ---- */

void pool_on_ended(void *arg, const struct process_end *end); /* arg: the slot */

/* ---- pool_secrets.c ---- */

/* Gathers the secrets, then has the worker start the component; state: COMPONENT_AWAITING_SECRETS, or
 * COMPONENT_REFRESHING to start it again only if they have changed. fresh: not from a store's memory. */
void pool_secrets_gather(struct component *component, enum component_state state, bool fresh);
void pool_secrets_drop(struct component *component);
void pool_secrets_time_out(struct component *component);
/* Reads the secrets of a component that is up again, now or when its run has ended. */
void pool_secrets_refresh(struct component *component, enum pool_refresh refresh);
/* The server has refused the secret: reads it again. Returns 0, or in how many ms that may be done. */
int64_t pool_secrets_refused(struct component *component);
/* arg: the slot whose worker sent it; it may only answer what it was asked. */
void pool_secrets_on_answered(void *arg, uint32_t id, const struct message_answer *answer);
/* Its worker is dead, with what it was asked. text: how it died; NULL when it was asked to exit. */
void pool_secrets_lost(struct slot *slot, const char *text);
void pool_secrets_store_up(struct component *store);

/* ---- pool_requests.c ---- */

void pool_requests_send(struct component *component); /* it is up: sends what waited for it */
void pool_requests_fail(struct component *component, const char *text);
/* Its secrets were read again and are the same, or could not be read. */
void pool_requests_refreshed(struct component *component, bool fresh);
void pool_requests_refresh(struct component *component); /* request_refresh_ms has come */
/* Has a handler of that component not returned yet? */
bool pool_requests_out(const struct slot *slot, uint32_t id);
/* arg: the slot whose worker sent it; it may only reply to what it was sent. */
void pool_requests_on_replied(void *arg, uint32_t id, uint64_t number,
			      const struct http_message_reply *reply);
void pool_requests_lost(struct slot *slot, const char *text); /* its worker is dead */
void pool_requests_tidy(struct pool *pool); /* answers 503 where a reload has removed the component */
void pool_requests_end(struct pool *pool);  /* answers all with 503 */

/* ---- pool_sandbox.c ---- */

void pool_sandbox_make(struct slot *slot); /* for the next worker */
/* May a component run in this slot without costing the present components their worker? */
bool pool_sandbox_suits(const struct slot *slot, const struct component_spec *spec);
/* Is the present worker's enough? added: the one component to look at, where it is for the others; NULL for all. */
bool pool_sandbox_fits(const struct slot *slot, struct component *added);
/* As skymon_state_dir returns it to the component; malloc'd. */
char *pool_state_dir(const struct slot *slot, const char *component);
void pool_make_folder(const struct pool *pool, const char *folder, mode_t mode); /* "": nothing */

/* ---- pool_validate.c ---- */

void pool_validate_slot_up(struct slot *slot);
/* arg: the slot whose worker sent it; it may only answer what it was asked. */
void pool_validate_on_validated(void *arg, uint32_t id, struct wire_reader mistakes);
/* Its worker is dead (renewed: it was asked to exit); unanswered options go to another, or have failed.
 * pool_validate_report_done must follow, as the caller's last act. */
void pool_validate_lost(struct slot *slot, bool renewed, const char *text);
void pool_validate_report_done(struct pool *pool);
void pool_validate_end(struct pool *pool);

#endif
