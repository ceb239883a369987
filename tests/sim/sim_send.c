/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of simulated workers, each an event that was planned when the pool asked for it (sim_worker.c). A
 * message that breaks the protocol must cost the worker its life at once. */
#include "sim_worker.h"

#include <stdio.h>
#include <string.h>

void send_later(struct process *worker, int64_t at_ms, send_fire *fire, uint32_t id, uint64_t number,
		int64_t more)
{
	if (at_ms != INT64_MAX)
		sim_add_event((struct event){.at_ms = at_ms,
					     .fire = fire,
					     .worker = worker,
					     .id = id,
					     .number = number,
					     .more = more});
}

/* As in process.c: may it send that? A dead worker's last messages may still be in the wire. */
static bool may_send(struct process *worker, uint32_t id)
{
	if (worker->closed || worker->asked || (worker->dying && sim_draw(4) > 0))
		return false;
	if (!worker->said_hello)
		process_break(worker, "sent a message before its hello");
	else if (id != 0 && !worker->events->knows(worker->arg, id))
		process_break(worker, "sent a message of a component that it does not have");
	else
		return true;
	return false;
}

static void expect_broken(const struct process *worker, const char *text)
{
	if (!worker->closed)
		sim_fail("worker %u %s, and was not ended for it", worker->number, text);
}

void send_crash(const struct event *event)
{
	worker_crash(event->worker, event->id, event->more != 0);
}

void send_hello(const struct event *event)
{
	struct process *worker = event->worker;
	if (worker->closed || worker->asked || worker->dying)
		return;
	if (worker->said_hello) {
		process_break(worker, "sent its hello twice");
		return;
	}
	worker->said_hello = true;
	loop_clear_timer(sim.loop, &worker->patience);
	bool bad = sim_files[worker->plugin].broken || sim_fault(HELLO_BAD);
	sim_trace("worker %u (%s) says %s", worker->number, sim_plugins[worker->plugin],
		  bad ? "that it is broken" : "hello");
	if (!bad && sim_fault(HELLO_TWICE))
		send_later(worker, sim.now_ms + 1, send_hello, 0, 0, 0);
	if (bad)
		worker_crash(worker, 0, false);
	else
		worker_up(worker);
	worker->events->hello(worker->arg, bad ? NULL : worker_info(worker->plugin),
			      bad ? "the plugin is broken" : NULL);
}

void send_stopped_if_idle(struct process *worker, struct instance *instance)
{
	if (!instance->stopping || !instance->answered || instance->run != 0 || instance->requests > 0 ||
	    instance->stop_planned)
		return;
	instance->stop_planned = true;
	if (sim_fault(STOP_HANGS))
		instance->hung = true;
	else
		send_later(worker,
			   sim.now_ms + (sim_fault(STOP_SLOW) ? sim_between(100, 9000) : sim_between(0, 10)),
			   send_stopped, instance->id, 0, 0);
}

void send_stopped(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	struct instance *instance = worker_find(worker, event->id);
	bool right = instance != NULL && instance->stopping && instance->answered;
	sim_trace("worker %u: stopped %u", worker->number, event->id);
	if (right)
		worker_drop(worker, instance);
	if (right && sim_fault(STOP_TWICE))
		send_later(worker, sim.now_ms, send_stopped, event->id, 0, 0);
	worker->events->stopped(worker->arg, event->id);
	if (!right)
		expect_broken(worker, "reported the stop of a component that it was not to stop");
}

void send_started(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	struct instance *instance = worker_find(worker, event->id);
	bool ok = event->more != 0, right = instance != NULL && !instance->answered;
	sim_trace("worker %u: started %u%s", worker->number, event->id, ok ? "" : ": failed");
	if (right && sim_fault(START_TWICE))
		send_later(worker, sim.now_ms, send_started, event->id, 0, ok);
	int name = right && !instance->stopping ? instance->name : -1;
	if (right && ok) {
		instance->answered = true;
		send_stopped_if_idle(worker, instance);
	} else if (right) {
		worker_drop(worker, instance);
	}
	worker->events->started(worker->arg, event->id, ok, SKYMON_OTHER, ok ? "" : "cannot start");
	if (name >= 0)
		model_started(name, ok, worker->number);
	if (!right)
		expect_broken(worker, "reported a start twice");
}

void send_step(const struct event *event)
{
	struct process *worker = event->worker;
	const struct instance *instance = worker_find(worker, event->id);
	if (instance == NULL || instance->run != event->number || !may_send(worker, event->id))
		return;
	struct buf body = {0};
	message_put_step(&body, event->number, "connecting");
	worker->events->step(worker->arg, event->id, wire_reader(body.data, body.size));
	buf_free(&body);
}

/* more: the status; 0: of a run that does not exist. A server refuses a secret that was replaced in its
 * store. */
void send_result(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	struct instance *instance = worker_find(worker, event->id);
	uint64_t run = event->more != 0 ? event->number : event->number + 1;
	bool right = instance != NULL && instance->run == run;
	bool refused =
		right && instance->secrets[1] != 0 && instance->secrets[1] != worker_secret(instance->name);
	enum skymon_status status = refused            ? SKYMON_UNHEALTHY
				    : event->more != 0 ? (enum skymon_status)event->more
						       : SKYMON_HEALTHY;
	enum skymon_reason reason = refused                    ? SKYMON_AUTH_FAILED
				    : status == SKYMON_HEALTHY ? SKYMON_OK
							       : SKYMON_OTHER;
	struct result *result = result_new(status, reason, wall_clock_ms(), 1000, "run %llx of version %u",
					   (unsigned long long)run, instance != NULL ? instance->version : 0);
	sim_trace("worker %u: result of %u: %s%s", worker->number, event->id, skymon_status_word((int)status),
		  refused ? ", its secret is refused" : "");
	if (refused)
		worker->events->refused(worker->arg, event->id);
	if (right) {
		instance->run = 0;
		send_stopped_if_idle(worker, instance);
		worker_gave_result(worker);
	}
	worker->events->result(worker->arg, event->id, run, result);
	if (!right)
		expect_broken(worker, "sent a result that was not asked for");
}

/* more: the consumer's name, + NAMES when a fresh one was asked for. */
void send_answer(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	int name = (int)(event->more % NAMES);
	char bytes[SECRET_SIZE];
	struct message_answer answer = {
		.number = event->number, .ok = !sim_fault(ASK_REFUSED), .message = ""};
	if (answer.ok) {
		sim_put_secret(bytes, name, true, worker_answer(name, event->more >= NAMES));
		answer.bytes = bytes;
		answer.size = strlen(bytes);
		answer.lease_ms = sim_fault(ASK_LEASE) ? sim_between(2000, 60000) : 0;
	} else {
		answer.reason = SKYMON_SEALED;
		answer.message = "sealed";
	}
	sim_trace("worker %u: %s %s's secret, for %lld ms", worker->number, answer.ok ? "answers" : "refuses",
		  sim_names[name], (long long)answer.lease_ms);
	model_answered(name, event->number, answer.lease_ms);
	worker->events->answered(worker->arg, event->id, &answer);
	explicit_bzero(bytes, sizeof(bytes));
}

/* more: 1 = with a mistake, 2 = broken. */
void send_validated(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	struct buf body = {0};
	if (event->more == 1)
		message_put_mistake(&body, "url", "is wrong");
	else if (event->more == 2)
		wire_put_u8(&body, 1);
	sim_trace("worker %u: validated %u, %lld", worker->number, event->id, (long long)event->more);
	worker->events->validated(worker->arg, event->id, wire_reader(body.data, body.size));
	buf_free(&body);
}

/* more: it asks for a fresh secret first. */
void send_reply(const struct event *event)
{
	struct process *worker = event->worker;
	if (!may_send(worker, event->id))
		return;
	struct instance *instance = worker_find(worker, event->id);
	struct http_message_reply reply = {
		.code = 200, .type = "text/plain", .audit = "", .body = "ok", .body_size = 2};
	reply.again = event->more != 0;
	sim_trace("worker %u: reply of %u%s", worker->number, event->id, reply.again ? ": again" : "");
	if (instance != NULL && instance->requests > 0) {
		instance->requests--;
		send_stopped_if_idle(worker, instance);
	}
	worker->events->replied(worker->arg, event->id, event->number, &reply);
}

void send_stale(const struct event *event)
{
	if (!may_send(event->worker, 0))
		return;
	sim_trace("worker %u: its files were replaced", event->worker->number);
	event->worker->events->stale(event->worker->arg);
}

/* A message of a component that the worker does not have, or that was not asked for. */
void send_garbage(const struct event *event)
{
	struct process *worker = event->worker;
	struct event message = *event;
	message.id = worker->count > 0 && sim_draw(2) == 0 ? worker->instances[sim_draw(worker->count)].id
							   : (uint32_t)sim_draw(20);
	message.number = sim_draw(2) == 0 ? 0 : sim_draw(UINT64_MAX);
	message.more = (int64_t)sim_draw(2);
	send_fire *const kinds[] = {send_result,    send_stopped, send_answer,
				    send_validated, send_reply,   send_hello};
	kinds[sim_draw(sizeof(kinds) / sizeof(*kinds))](&message);
}
