/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of simulated workers, shared by sim_worker.c (their life, and what the pool asks of them) and
 * sim_send.c (what they send). */
#ifndef SIM_WORKER_H
#define SIM_WORKER_H

#include "sim.h"

enum { INSTANCES_MAX = 128 };

struct instance { /* of a component that the worker was given */
	uint32_t id;
	int name;
	unsigned version, requests;
	uint32_t secrets[2]; /* that it was started with: from the variable, from the store; 0: none */
	bool answered, stopping, stop_planned, hung;
	uint64_t run;
};

struct process {
	unsigned number;
	const struct process_events *events;
	void *arg;
	int plugin;
	unsigned generation;
	int64_t free_ms; /* free_ms: when its main thread can begin with the next thing */
	struct timer patience;
	bool said_hello, asked, leaving, closed, dying, cause_set, leaves_well;
	struct process_end end;
	struct instance instances[INSTANCES_MAX];
	size_t count;
};

struct instance *worker_find(struct process *worker, uint32_t id);
void worker_drop(struct process *worker, struct instance *instance);
/* Dies by itself; named: its last words name the component that it was busy with. */
void worker_crash(struct process *worker, uint32_t id, bool named);
void worker_up(const struct process *worker); /* for the slot's back-off */
void worker_gave_result(const struct process *worker);
struct plugin_info *worker_info(int plugin);
uint32_t worker_answer(int name, bool fresh); /* of the store: which secret */

/* Things that a worker sends, as events; at_ms INT64_MAX: never. */
typedef void send_fire(const struct event *event);
send_fire send_hello, send_started, send_stopped, send_result, send_step, send_crash, send_answer,
	send_validated, send_reply, send_stale, send_garbage;
void send_later(struct process *worker, int64_t at_ms, send_fire *fire, uint32_t id, uint64_t number,
		int64_t more);
/* Stops the component when its start was answered and no run or request of it is out. */
void send_stopped_if_idle(struct process *worker, struct instance *instance);

#endif
