/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated workers: supervisor/process.h without processes, and the plugins' files. A worker keeps to the
 * protocol, but for the faults that the schedule draws. What it sends passes the same gate as in
 * supervisor/process.c: nothing before its hello, nothing of a component that is not its own, nothing but
 * last words once it was asked to leave. Each call of the supervisor is held against what the worker knows: a
 * component starts once, runs once at a time and never beside its stop. Called by the pool; what workers send
 * are events of sim_loop.c. */
#include "sim_worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 64, SLOTS_MAX = 64 };

struct slot_life { /* deaths of the workers of one slot, which the pool gives as `arg` */
	const void *slot;
	bool dead, crashed, was_up;
	int64_t died_ms, died_useful_ms, up_ms, back_off_ms;
	unsigned at_once;
};

static uint32_t secrets[NAMES]; /* as the store keeps them now */
static struct process *workers[WORKERS_MAX];
static size_t worker_count;
static unsigned last_number;
static struct slot_life slots[SLOTS_MAX];
static size_t slot_count;

/* ---- The state of all ---- */

void workers_begin(void)
{
	worker_count = slot_count = last_number = 0;
	for (int i = 0; i < NAMES; i++)
		secrets[i] = 1;
	for (int i = 0; i < PLUGINS; i++)
		sim_files[i] = (struct file){.generation = 1, .broken = sim_fault(FILE_BROKEN)};
}

size_t workers_count(void)
{
	return worker_count;
}

uint32_t worker_secret(int name)
{
	return secrets[name];
}

uint32_t worker_answer(int name, bool fresh)
{
	return secrets[name] > 1 && !fresh && sim_fault(ASK_OLD) ? secrets[name] - 1 : secrets[name];
}

void worker_rotate(int name)
{
	secrets[name]++;
}

uint32_t worker_instance(int name, unsigned *number)
{
	for (size_t w = 0; w < worker_count; w++)
		for (size_t i = 0; i < workers[w]->count; i++)
			if (workers[w]->instances[i].name == name && !workers[w]->instances[i].stopping) {
				*number = workers[w]->number;
				return workers[w]->instances[i].id;
			}
	*number = 0;
	return 0;
}

size_t workers_idle(void)
{
	size_t idle = 0;
	for (size_t w = 0; w < worker_count; w++)
		idle += workers[w]->count == 0;
	return idle;
}

unsigned workers_out(int plugin, int host)
{
	unsigned out = 0;
	for (size_t w = 0; w < worker_count; w++)
		for (size_t i = 0; i < workers[w]->count; i++) {
			const struct instance *instance = &workers[w]->instances[i];
			const struct want *want = model_want(instance->name);
			if (instance->run != 0 && want != NULL &&
			    model_holds_permit(instance->name, instance->run))
				out += host >= 0 ? want->host == host : workers[w]->plugin == plugin;
		}
	return out;
}

struct instance *worker_find(struct process *worker, uint32_t id)
{
	for (size_t i = 0; i < worker->count; i++)
		if (worker->instances[i].id == id)
			return &worker->instances[i];
	return NULL;
}

void worker_drop(struct process *worker, struct instance *instance)
{
	*instance = worker->instances[--worker->count];
}

/* ---- Back-off, by slot ---- */

static struct slot_life *life_of(const void *slot)
{
	for (size_t i = 0; i < slot_count; i++)
		if (slots[i].slot == slot)
			return &slots[i];
	if (slot_count == SLOTS_MAX)
		sim_fail("more than %d slots", SLOTS_MAX);
	slots[slot_count] = (struct slot_life){.slot = slot};
	return &slots[slot_count++];
}

void worker_slot_freed(const void *block)
{
	for (size_t i = 0; i < slot_count; i++)
		if (slots[i].slot == block)
			slots[i] = slots[--slot_count];
}

/* After a crash a slot's worker comes back at once when its culprit is known and has left the slot, which can
 * happen once for each component, else after 1 s doubling to 30 s. */
static void check_back_off(struct slot_life *life)
{
	if (!life->dead || !life->crashed)
		return;
	int64_t waited_ms = sim.now_ms - life->died_ms;
	if (life->was_up && sim_useful_ms() - life->died_useful_ms < 1000) { /* perhaps late, after a sleep */
		if (++life->at_once > 4 * NAMES)
			sim_fail("a worker was started at once for the %uth time", life->at_once);
		return;
	}
	int64_t least_ms = life->back_off_ms == 0 ? 1000 : 2 * life->back_off_ms;
	least_ms = least_ms > 30000 ? 30000 : least_ms;
	if (waited_ms < least_ms)
		sim_fail("a worker was started again after %lld ms, before the back-off of %lld ms",
			 (long long)waited_ms, (long long)least_ms);
	if (sim_useful_ms() - life->died_useful_ms > 30000)
		sim_fail("a worker was started again after %lld ms", (long long)waited_ms);
	life->back_off_ms = least_ms;
}

static void note_death(const void *slot, bool crashed, bool was_up)
{
	struct slot_life *life = life_of(slot);
	if (was_up && sim.now_ms - life->up_ms > 30000)
		life->back_off_ms = 0;
	life->dead = true;
	life->crashed = crashed;
	life->was_up = was_up;
	life->died_ms = sim.now_ms;
	life->died_useful_ms = sim_useful_ms();
}

void worker_up(const struct process *worker)
{
	life_of(worker->arg)->up_ms = sim.now_ms;
}

void worker_gave_result(const struct process *worker)
{
	life_of(worker->arg)->back_off_ms =
		0; /* of a slot of its own; how the others count is not seen here */
}

/* ---- Death ---- */

static void set_cause(struct process *worker, enum process_cause cause, uint32_t culprit, const char *text)
{
	if (worker->cause_set)
		return;
	worker->cause_set = true;
	worker->end.cause = cause;
	worker->end.culprit = culprit;
	snprintf(worker->end.text, sizeof(worker->end.text), "%s", text);
}

static void free_worker(struct process *worker)
{
	size_t i = 0;
	loop_clear_timer(sim.loop, &worker->patience);
	sim_drop_events(worker);
	while (workers[i] != worker)
		i++;
	workers[i] = workers[--worker_count];
	model_worker_ended(worker->number);
	free(worker);
}

static void fire_ended(const struct event *event)
{
	struct process *worker = event->worker;
	if (worker->asked && worker->leaves_well)
		set_cause(worker, PROCESS_ENDED, 0, "was ended");
	set_cause(worker, PROCESS_CRASHED, 0, "was ended by a signal");
	sim_trace("worker %u (%s) %s, culprit %u", worker->number, sim_plugins[worker->plugin],
		  worker->end.text, worker->end.culprit);
	loop_clear_timer(sim.loop, &worker->patience);
	note_death(worker->arg, worker->end.cause != PROCESS_ENDED && !worker->asked, worker->said_hello);
	/* The daemon frees its own part after the call; what it holds of the worker is gone before. */
	struct process_end end = worker->end;
	const struct process_events *events = worker->events;
	void *arg = worker->arg;
	const struct instance *culprit = worker_find(worker, end.culprit);
	int name = culprit != NULL && !culprit->stopping && end.cause != PROCESS_ENDED ? culprit->name : -1;
	uint64_t news = name >= 0 ? model_news(name) : 0;
	worker->count = 0;
	model_worker_ended(worker->number);
	events->ended(arg, &end);
	if (name >= 0 && !sim.stopping && model_want(name) != NULL && model_news(name) == news)
		sim_fail("%s cost its worker its life, and nothing is published of it", sim_names[name]);
	free_worker(worker);
}

static void die(struct process *worker, int64_t after_ms)
{
	if (worker->dying)
		return;
	worker->dying = true;
	sim_add_event((struct event){.at_ms = sim.now_ms + after_ms, .fire = fire_ended, .worker = worker});
}

void worker_crash(struct process *worker, uint32_t id, bool named)
{
	if (worker->dying)
		return;
	if (named && id != 0 && worker->events->knows(worker->arg, id))
		set_cause(worker, PROCESS_CRASHED, id, "crashed with SIGSEGV");
	die(worker, sim_between(0, 5));
}

void process_kill(struct process *worker, enum process_cause cause, uint32_t culprit, const char *text)
{
	sim_trace("worker %u is killed: %s, culprit %u", worker->number, text, culprit);
	set_cause(worker, cause, culprit, text);
	die(worker, sim_fault(KILL_SLOW) ? sim_between(100, 3000) : sim_between(0, 20));
}

void process_break(struct process *worker, const char *text)
{
	process_kill(worker, PROCESS_CRASHED, 0, text);
	worker->closed = worker->leaving = true;
}

static void lose_patience(struct timer *timer, int64_t now_ms)
{
	struct process *worker = container_of(timer, struct process, patience);
	(void)now_ms;
	process_kill(worker, PROCESS_KILLED, 0, worker->said_hello ? "did not exit" : "did not answer");
}

static void fire_left(const struct event *event)
{
	event->worker->leaves_well = !event->worker->dying;
	die(event->worker, 0);
}

void process_end(struct process *worker, int64_t patience_ms)
{
	if (worker->leaving) {
		if (worker->patience.slot != 0 && worker->patience.due_ms > sim.now_ms + patience_ms)
			loop_set_timer(sim.loop, &worker->patience, sim.now_ms + patience_ms);
		return;
	}
	sim_trace("worker %u is asked to leave within %lld ms", worker->number, (long long)patience_ms);
	worker->leaving = worker->asked = true;
	loop_set_timer(sim.loop, &worker->patience, sim.now_ms + patience_ms);
	bool hangs = worker->free_ms == INT64_MAX || sim_fault(LEAVE_HANGS);
	for (size_t i = 0; i < worker->count; i++)
		hangs = hangs || worker->instances[i].hung;
	if (sim_fault(LEAVE_DIES))
		worker_crash(worker, 0, false);
	else if (!hangs)
		sim_add_event((struct event){
			.at_ms = sim.now_ms + sim_between(1, 60), .fire = fire_left, .worker = worker});
}

void process_free(struct process *worker)
{
	if (!sim.stopping)
		sim_fail("a worker is freed while the daemon runs");
	free_worker(worker);
}

pid_t process_pid(const struct process *worker)
{
	return (pid_t)worker->number;
}

/* ---- What the pool asks of it ---- */

struct process *process_new(struct loop *loop, const struct process_spec *spec,
			    const struct process_events *events, void *arg, struct err *err)
{
	(void)loop;
	check_back_off(life_of(arg));
	if (sim_fault(SPAWN_FAILS)) {
		note_death(arg, true, false);
		err_set(err, "cannot start a worker");
		return NULL;
	}
	if (worker_count == WORKERS_MAX)
		sim_fail("more than %d workers at once", WORKERS_MAX);
	struct process *worker = x_alloc(sizeof(*worker));
	workers[worker_count++] = worker;
	worker->number = ++last_number;
	worker->events = events;
	worker->arg = arg;
	worker->plugin = (spec->copy - SIM_FD_FIRST) % PLUGINS;
	worker->generation = (unsigned)((spec->copy - SIM_FD_FIRST) / PLUGINS);
	worker->patience.fire = lose_patience;
	loop_set_timer(sim.loop, &worker->patience, sim.now_ms + spec->hello_timeout_ms);
	sim_trace("worker %u (%s) is started", worker->number, spec->name);
	if (sim_fault(HELLO_DIES))
		send_later(worker, sim.now_ms + sim_between(1, 200), send_crash, 0, 0, false);
	else if (!sim_fault(HELLO_NEVER))
		send_later(worker, sim.now_ms + sim_between(5, 40), send_hello, 0, 0, 0);
	if (sim_fault(GARBAGE))
		send_later(worker, sim.now_ms + sim_between(0, 60000), send_garbage, 0, 0, 0);
	if (sim_fault(STALE_FILES))
		send_later(worker, sim.now_ms + sim_between(20, 60000), send_stale, 0, 0, 0);
	return worker;
}

/* Is the wire open to it? A worker that does not read is ended when too much waits for it. */
static bool is_open(struct process *worker)
{
	if (worker->closed || worker->asked)
		return false;
	if (sim_fault(OUTBOX_BREAKS)) {
		process_kill(worker, PROCESS_CRASHED, 0, "does not read what it is sent");
		return false;
	}
	return true;
}

/* The main thread starts and stops one component after the other. */
static int64_t main_thread(struct process *worker, bool hangs, int64_t takes_ms)
{
	if (worker->free_ms == INT64_MAX || hangs)
		return worker->free_ms = INT64_MAX;
	int64_t at_ms = worker->free_ms > sim.now_ms ? worker->free_ms : sim.now_ms;
	return worker->free_ms = at_ms + takes_ms;
}

static void read_secrets(const struct buf *body, struct instance *instance)
{
	for (const char *at = NULL; (at = sim_find_secret(body->data, body->size, at)) != NULL;) {
		int name;
		bool store;
		uint32_t number;
		if (!sim_get_secret(at, &name, &store, &number))
			continue;
		if (name != instance->name)
			sim_fail("%s is started with a secret of %s", sim_names[instance->name],
				 sim_names[name]);
		instance->secrets[store] = number;
	}
}

void process_start(struct process *worker, uint32_t id, const struct buf *body)
{
	bool open = is_open(worker);
	struct instance instance = {.id = id};
	struct wire_reader in = wire_reader(body->data, body->size);
	const char *name = wire_get_text_or_empty(&in);
	const char *url =
		memmem(body->data, body->size, ":80/v", 5); /* what no number on the wire looks like */
	while (instance.name < NAMES && strcmp(sim_names[instance.name], name) != 0)
		instance.name++;
	if (instance.name == NAMES || url == NULL || worker_find(worker, id) != NULL ||
	    worker->count == INSTANCES_MAX)
		sim_fail("worker %u is to start %s as %u", worker->number, name, id);
	instance.version = (unsigned)atoi(url + 5);
	read_secrets(body, &instance);
	sim_trace("worker %u: start %u, %s of version %u, secrets %u and %u", worker->number, id, name,
		  instance.version, instance.secrets[0], instance.secrets[1]);
	model_start(instance.name, instance.version, worker->generation, instance.secrets, worker->number);
	worker->instances[worker->count++] = instance;
	if (!open)
		return;
	bool hangs = sim_fault(START_HANGS), dies = sim_fault(START_DIES);
	worker->instances[worker->count - 1].hung = hangs;
	int64_t at_ms = main_thread(worker, hangs,
				    sim_fault(START_SLOW) ? sim_between(500, 9000) : sim_between(0, 20));
	if (dies)
		send_later(worker, at_ms, send_crash, id, 0, sim_draw(4) > 0);
	else
		send_later(worker, at_ms, send_started, id, 0, !sim_fault(START_FAILS));
}

void process_run(struct process *worker, uint32_t id, const struct message_run *asked)
{
	bool open = is_open(worker);
	struct instance *instance = worker_find(worker, id);
	if (instance == NULL || !instance->answered || instance->stopping)
		sim_fail("worker %u is to run %u, which is not started or to stop", worker->number, id);
	if (instance->run != 0)
		sim_fail("%s runs twice at once", sim_names[instance->name]);
	sim_trace("worker %u: run %s (%u)", worker->number, sim_names[instance->name], id);
	model_run(instance->name, asked->run, worker->number);
	instance->run = asked->run;
	if (!open)
		return;
	int64_t timeout = asked->timeout_ms,
		at_ms = sim.now_ms + sim_between(1, sim.troubled ? timeout / 2 : 20);
	enum skymon_status status =
		sim_fault(RUN_UNHEALTHY) ? (enum skymon_status)sim_draw(4) : SKYMON_HEALTHY;
	if (status == SKYMON_UNKNOWN)
		status = SKYMON_DEGRADED;
	if (sim_fault(RUN_LATE))
		at_ms = sim.now_ms + sim_between(timeout - 20, 6 * timeout);
	if (sim_fault(RUN_STEP))
		send_later(worker, sim.now_ms + sim_between(1, timeout), send_step, id, asked->run, 0);
	if (sim_fault(RUN_HANGS)) {
		instance->hung = true;
	} else if (sim_fault(RUN_CRASHES)) {
		send_later(worker, at_ms, send_crash, id, 0, true);
	} else if (sim_fault(RUN_DIES)) {
		send_later(worker, at_ms, send_crash, id, 0, false);
	} else if (sim_fault(RUN_GROWS)) {
		process_kill(worker, PROCESS_KILLED, id, "grew past the memory limit");
	} else {
		if (sim_fault(RUN_WRONG))
			send_later(worker, at_ms - 1, send_result, id, asked->run, 0);
		if (sim_fault(RUN_TWICE))
			send_later(worker, at_ms + sim_between(0, 50), send_result, id, asked->run,
				   (int64_t)status);
		send_later(worker, at_ms, send_result, id, asked->run, (int64_t)status);
	}
}

void process_stop(struct process *worker, uint32_t id)
{
	bool open = is_open(worker);
	struct instance *instance = worker_find(worker, id);
	if (instance == NULL)
		return; /* its start has failed meanwhile */
	if (instance->stopping)
		sim_fail("worker %u is to stop %s (%u) twice", worker->number, sim_names[instance->name], id);
	sim_trace("worker %u: stop %s (%u)", worker->number, sim_names[instance->name], id);
	instance->stopping = true;
	model_stop(instance->name, instance->version, instance->run != 0);
	if (open)
		send_stopped_if_idle(worker, instance);
}

void process_ask(struct process *worker, uint32_t id, uint64_t number, bool fresh, uint32_t timeout_ms,
		 const char *path)
{
	(void)timeout_ms;
	bool open = is_open(worker);
	int name = atoi(path);
	sim_trace("worker %u: ask for %s's secret%s", worker->number, sim_names[name],
		  fresh ? ", a fresh one" : "");
	model_asked(name, number);
	if (!open || sim_fault(ASK_NEVER))
		return;
	int64_t at_ms = sim.now_ms + (sim_fault(ASK_LATE) ? sim_between(5000, 20000) : sim_between(1, 50));
	send_later(worker, at_ms, send_answer, id, number, name + NAMES * fresh);
	if (sim_fault(ASK_TWICE))
		send_later(worker, at_ms + 1, send_answer, id, number, name + NAMES * fresh);
}

void process_validate(struct process *worker, uint32_t id, const struct buf *body)
{
	(void)body;
	if (!is_open(worker) || sim_fault(VALID_NEVER))
		return;
	if (sim_fault(VALID_DIES))
		send_later(worker, sim.now_ms + sim_between(0, 20), send_crash, 0, 0, false);
	int64_t answer = sim_fault(VALID_MISTAKE) ? 1 : sim_fault(VALID_BROKEN) ? 2 : 0;
	send_later(worker, sim.now_ms + sim_between(0, 40), send_validated, id, 0, answer);
	if (sim_fault(VALID_TWICE))
		send_later(worker, sim.now_ms + sim_between(0, 60), send_validated, id, 0, answer);
}

bool process_request(struct process *worker, uint32_t id, uint64_t number, bool again, uint32_t timeout_ms,
		     const struct buf *body)
{
	(void)timeout_ms;
	(void)body;
	if (sim_fault(OUTBOX_FULL))
		return false;
	if (!is_open(worker))
		return true;
	struct instance *instance = worker_find(worker, id);
	if (instance == NULL || !instance->answered || instance->stopping)
		sim_fail("worker %u is to answer a request of %u, which is not started or to stop",
			 worker->number, id);
	sim_trace("worker %u: request of %s", worker->number, sim_names[instance->name]);
	instance->requests++;
	if (sim_fault(REQUEST_HANGS)) {
		instance->hung = true;
		return true;
	}
	int64_t at_ms =
		sim.now_ms + (sim_fault(REQUEST_LATE) ? sim_between(1000, 55000) : sim_between(1, 300));
	if (sim_fault(REQUEST_DIES))
		send_later(worker, at_ms, send_crash, id, 0, sim_draw(2) == 0);
	send_later(worker, at_ms, send_reply, id, number, !again && sim_fault(REQUEST_AGAIN));
	if (sim_fault(REQUEST_TWICE))
		send_later(worker, at_ms + 1, send_reply, id, number, 0);
	return true;
}

void process_cancel(struct process *worker, uint32_t id, uint64_t number)
{
	(void)id;
	sim_trace("worker %u: request %llx is cancelled", worker->number, (unsigned long long)number);
}
