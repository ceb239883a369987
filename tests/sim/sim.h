/* SPDX-License-Identifier: Apache-2.0 */
/* sim: a deterministic simulation of the supervisor, the board and silences. The real core/supervisor (but for
 * processes), core/board, core/config and daemon/maintenance.c run against a virtual clock (sim_loop.c),
 * simulated workers (sim_worker.c) and a memory that is searched for secrets (sim_memory.c). A schedule is
 * played from a seed: sim.c draws what happens, sim_plan.c makes configs and reloads, sim_silence.c silences,
 * and sim_check.c keeps a model of each component and holds the invariants. */

/* That an invariant can fail was seen by planted faults, each alone, all found within 100,000 schedules. A
 * fault, and how many schedules two jobs had played when it was found:
 * - never twice at once: a run past its deadline is begun again 5 · restarted for its secrets beside a run
 * 30,146 · not stopped before that start 168
 * - a result or a named failure: a culprit's death is not published 1 · no deadline 5 · a late result counts
 * 7 · a run that a neighbour cost is not made up for 19 · a failed start is not retried 4 · an unusable
 * plugin is reported once only 0 · nothing turns stale 86 · a hung run is not ended 54 · a hung start 21
 * - gone: its timer for stale goes on 0 · its last result is published 2
 * - secrets: gathered for a component that is gone 20 · a start message that is not wiped 1 · gathered bytes
 * 1 · given to another component 44 · a store is waited for without end 1,047 · a refused one is kept 755 · a
 * lease is not renewed 1,290 · an empty reason 13
 * - back-off: none 4 · does not grow 1 · grows without limit 140 · begins again at each death before a hello
 * 58 · a start is retried at once 4 · a worker is given up 31 · a shared worker waits for its culprit 1,025
 * - reload: replaces what did not change 19 · forgets the status 2 · or since 273 · misses a changed
 * isolation 1,587 · code 5 · variable 511 · interval 26 · a status that stays never turns stale 383
 * - roll-up: starting does not count 1 · unknown is healthy 0 · kept over a change 1 · fall counts one less 2
 * · an old snapshot 2
 * - shutdown: a worker that starts is forgotten 47 · one that leaves already keeps its time 1,567 · a request
 * has no answer 196 · the end is not reported 2
 * - silences: contributes to the whole 5 · ended by hand, and stays 38 · never ends by itself 1 · waits for its
 * end without a look at a clock that jumps 17 · a reload loses it 42 · of its first name only 1
 * - processes and memory: a worker without components stays 0 · a plugin is leaked 0 · a file 0
 * - permits: not given back at the deadline 7,398 · when a worker dies 138 · with a lost run 28 · for an
 * address 2 · one more of a plugin 9 · of an address 11
 * - the wire: a second start is taken 4 · a stop that was not asked for 176 · the result of another run 2 ·
 * of a removed component 632 · requests: answered twice 113, never 23 · a validation without end 247 */
#ifndef SIM_H
#define SIM_H

#include <stdint.h>

#include "supervisor/sched.h"

enum { NAMES = 6, PLUGINS = 3, STORE = 0 }; /* name 0 is the secret store, of plugin 0 */
enum { SIM_FD_FIRST = 1000 };               /* of plugins' files */

/* ---- Randomness, the clock, the trace (sim_loop.c) ---- */

/* A fault happens so many times in 1,000, while a schedule is in its troubled part. */
enum fault {
	SPAWN_FAILS,
	HELLO_NEVER,
	HELLO_BAD,
	HELLO_DIES,
	HELLO_TWICE,
	FILE_BROKEN,
	START_FAILS,
	START_HANGS,
	START_DIES,
	START_TWICE,
	START_SLOW,
	RUN_UNHEALTHY,
	RUN_LATE,
	RUN_HANGS,
	RUN_CRASHES,
	RUN_DIES,
	RUN_GROWS,
	RUN_TWICE,
	RUN_WRONG,
	RUN_STEP,
	STOP_HANGS,
	STOP_TWICE,
	STOP_SLOW,
	LEAVE_HANGS,
	LEAVE_DIES,
	KILL_SLOW,
	ASK_REFUSED,
	ASK_NEVER,
	ASK_LATE,
	ASK_TWICE,
	ASK_OLD,
	ASK_LEASE,
	REQUEST_AGAIN,
	REQUEST_LATE,
	REQUEST_HANGS,
	REQUEST_DIES,
	REQUEST_TWICE,
	OUTBOX_FULL,
	OUTBOX_BREAKS,
	VALID_MISTAKE,
	VALID_NEVER,
	VALID_BROKEN,
	VALID_DIES,
	VALID_TWICE,
	STALE_FILES,
	GARBAGE,
	TURN_SLOW,
	FAULTS
};

struct sim {
	uint64_t seed, random, numbers;
	int64_t now_ms, wall_ms; /* wall_ms: what the wall clock is ahead of the loop's */
	int64_t lost_ms; /* in which the daemon could do nothing: suspended, or a slow turn of the loop */
	bool troubled;   /* faults happen; else all that is not hung already behaves well */
	bool stopping, stopped;
	bool tracing, printing; /* each step is kept for the end, printed at once */
	unsigned rates[FAULTS];
	struct loop *loop;
	struct board *board;
	struct sched *sched;
};
extern struct sim sim;

uint64_t sim_draw(uint64_t below);
int64_t sim_between(int64_t low, int64_t high); /* both included */
bool sim_fault(enum fault fault);
int64_t sim_useful_ms(void); /* the clock without lost_ms: for upper bounds */
void sim_trace(const char *format, ...) PRINTF(1);
/* An invariant does not hold: ends the process. */
_Noreturn void sim_fail(const char *format, ...) PRINTF(1);
void sim_check_text(const char *text); /* of the log, or published: whole, and without a secret */
void sim_print_trace(void);            /* the last steps */

/* An action at a later time, beside the core's timers; `fire` may add events. */
struct event {
	int64_t at_ms;
	void (*fire)(const struct event *event);
	struct process *worker; /* NULL: not a worker's */
	uint32_t id;
	uint64_t number;
	int64_t more;
	uint32_t tie;
};
void sim_add_event(struct event event);
void sim_drop_events(const struct process *worker);
/* Moves the clock to what is due next and does it; false when nothing is left. */
bool sim_step(void);
void sim_begin_clock(uint64_t seed);
size_t sim_timers(void); /* that are set */

/* ---- Memory (sim_memory.c) ---- */

/* A secret's bytes are "\x7f" "NAME.STORE.NUMBER;": found by its first byte wherever it lies. */
#define SECRET_MARK '\x7f'
enum { SECRET_SIZE = 24 };
void sim_put_secret(char text[SECRET_SIZE], int name, bool store, uint32_t number);
bool sim_get_secret(const char *text, int *name, bool *store, uint32_t *number);
const char *sim_find_secret(const void *bytes, size_t size, const char *from);
void sim_search_memory(void); /* each secret that is held is shown to model_secret_held */
size_t sim_blocks(void);

/* ---- Workers (sim_worker.c) ---- */

struct file { /* of a plugin */
	unsigned generation;
	bool broken; /* each hello says so */
};
extern struct file sim_files[PLUGINS];
int sim_files_open(void); /* descriptors that the pool has not closed */
/* The instance of a component that was started and not stopped; 0 when there is none. `number`: of its
 * worker. */
uint32_t worker_instance(int name, unsigned *number);
/* Runs that the daemon counts as out, of the plugin or of the address. */
unsigned workers_out(int plugin, int host);
size_t workers_count(void);
size_t workers_idle(void); /* that have no component */
void workers_begin(void);
void worker_slot_freed(const void *block);
extern const char *const sim_names[NAMES], *const sim_plugins[PLUGINS];
extern const struct skymon_option sim_options[];
uint32_t worker_secret(int name); /* as the store keeps it now */
void worker_rotate(int name);

/* ---- Configs (sim_plan.c) ---- */

struct want { /* of one component */
	bool there, configured, env, store, file, own, unknown_is_unhealthy;
	int plugin, host;
	unsigned version; /* of its options, in its URL */
	enum skymon_impact impact;
	int64_t interval_ms, timeout_ms;
	uint32_t rise, fall;
};
struct plan {
	struct want wants[NAMES];
	uint32_t per_plugin, per_address;
	unsigned generations[PLUGINS];
	bool unusable[NAMES];
	uint32_t variables[NAMES]; /* as they were when its options were bound */
	size_t unusable_count;
	struct component_spec *specs[NAMES];
	size_t count;
	struct component_errs errs;
	bool again;
};

void plan_begin_schedule(void);
void plan_change(void); /* draws another config, and reloads it */
void plan_repeat(void); /* the same config again: what could not be used may be by now */
void plan_mend(void);   /* files and variables are good from now on */
bool plan_is_busy(void);
bool plan_is_in_force(void); /* … and each of its plugins could be used */
void plan_forget(void);      /* at the end of a schedule */
const char *plan_lookup(const char *variable);
void plan_change_variable(int name);

/* ---- Silences (sim_silence.c) ---- */

void silences_begin(void);
void silences_configure(const struct settings *settings);
void silences_change(void); /* makes one, or ends one by hand */
void silences_pass(void);   /* after each step */
/* Checks whether a component shows rightly that it is silenced, and returns whether that is new. */
bool silences_check(int name, bool silenced);
void silences_forget(void);

/* ---- The model and the invariants (sim_check.c) ---- */

void model_begin(void);
void model_apply(const struct plan *plan); /* it is about to be applied */
void model_applied(void);
const struct want *model_want(int name); /* NULL: not in force */
void model_start(int name, unsigned version, unsigned generation, const uint32_t secrets[2], unsigned worker);
void model_started(int name, bool ok, unsigned worker);
uint64_t model_news(int name); /* how much was published of it */
void model_run(int name, uint64_t run, unsigned worker);
bool model_holds_permit(int name, uint64_t run);
void model_stop(int name, unsigned version, bool running);
void model_worker_ended(unsigned number);
void model_asked(int name, uint64_t number);
void model_answered(int name, uint64_t number, int64_t lease_ms);
void model_secret_held(int name);
void model_check_step(void);
void model_check_calm(void); /* at the end of a part without faults */
void model_new_calm(void);
void model_changed(void *arg, const struct skymon_component *now, int from);

#endif
