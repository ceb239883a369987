/* SPDX-License-Identifier: Apache-2.0 */
/* runner_ask: asks a component of a secret store for a value, on a thread of its own: asks are rare, must not
 * wait for checks, and may wait for a server. The plugin sees an own handle (step, deadline, message), so
 * that the check of the same component is not disturbed. */
#include "runner_private.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_MAX 16
#define VALUE_MAX 65536u

struct skymon_ask {
	struct runner_component
		self; /* the handle: shares all but builder, step and deadline with `component` */
	struct runner_component *component;
	char *path, *field;
	bool fresh, answered;
	struct message_answer answer;
};

const char *runner_ask_path(struct skymon_ask *ask)
{
	return ask->path;
}

const char *runner_ask_field(struct skymon_ask *ask)
{
	return ask->field;
}

bool runner_ask_fresh(struct skymon_ask *ask)
{
	return ask->fresh;
}

static void tell(struct skymon_ask *ask)
{
	struct runner *runner = ask->component->runner;
	if (ask->answered)
		return; /* only the first counts */
	ask->answered = true;
	runner->events->answered(runner->arg, ask->self.id, &ask->answer);
}

static void refuse_with(struct skymon_ask *ask, int reason, const char *message)
{
	ask->answer.reason = (enum skymon_reason)reason;
	ask->answer.message = message;
	tell(ask);
}

void runner_ask_answer(struct skymon_ask *ask, const void *bytes, size_t size, int64_t lease_ms)
{
	if (size > VALUE_MAX) {
		refuse_with(ask, SKYMON_RESOURCE, "the value is larger than 64 KiB");
		return;
	}
	ask->answer = (struct message_answer){.number = ask->answer.number,
					      .ok = true,
					      .message = "",
					      .bytes = bytes,
					      .size = size,
					      .lease_ms = lease_ms > 0 ? lease_ms : 0};
	tell(ask);
}

void runner_ask_refuse(struct skymon_ask *ask, int reason, const char *format, va_list list)
{
	char *message = runner_masked(&ask->self, format, list);
	refuse_with(ask, reason > SKYMON_NONE && reason < SKYMON_REASON_COUNT ? reason : SKYMON_OTHER,
		    message);
	free(message);
}

static void free_ask(struct skymon_ask *ask)
{
	result_builder_free(ask->self.builder);
	free(ask->self.complaint);
	free(ask->path);
	free(ask->field);
	free(ask);
}

static void *ask_thread(void *arg)
{
	struct skymon_ask *ask = arg;
	struct runner_component *component = ask->component;
	struct runner *runner = component->runner;
	runner_signal_stack();
	runner_usage_begin(component->id);
	runner_set_current(&ask->self);
	runner->plugin->secret(&ask->self.sm, component->state, ask);
	runner_set_current(NULL);
	runner_usage_end(component->id);
	if (!ask->answered)
		refuse_with(ask, SKYMON_OTHER, "the secret store did not answer");
	free_ask(ask);
	pthread_mutex_lock(&runner->lock);
	component->telling--;
	runner->asks--;
	runner->out--;
	if (component->stopping && runner->events->wake != NULL)
		runner->events->wake(runner->arg);
	pthread_cond_broadcast(&runner->change);
	pthread_mutex_unlock(&runner->lock);
	runner_signal_stack_end();
	return NULL;
}

static struct skymon_ask *new_ask(struct runner_component *component, const struct message_ask *asked)
{
	struct skymon_ask *ask = x_alloc(sizeof(*ask));
	const char *hash = strrchr(asked->path, '#');
	ask->self = runner_aside(component, asked->timeout_ms);
	snprintf(ask->self.step, sizeof(ask->self.step), "answering for a secret");
	ask->component = component;
	ask->answer.number = asked->number;
	ask->fresh = asked->fresh;
	ask->path =
		hash != NULL ? x_strndup(asked->path, (size_t)(hash - asked->path)) : x_strdup(asked->path);
	ask->field = x_strdup(hash != NULL ? hash + 1 : "");
	return ask;
}

static void refuse_at_once(struct runner *runner, uint32_t id, uint64_t number, const char *why)
{
	struct message_answer no = {.number = number, .reason = SKYMON_RESOURCE, .message = why};
	runner->events->answered(runner->arg, id, &no);
}

void runner_ask(struct runner *runner, uint32_t id, const struct message_ask *asked)
{
	struct runner_component *component = runner_find(runner, id);
	bool keeps = component != NULL && runner->plugin->secret != NULL;
	pthread_mutex_lock(&runner->lock);
	bool begin = keeps && !component->stopping && runner->asks < ASKS_MAX;
	if (begin) {
		component->telling++; /* holds the component */
		runner->asks++;
		runner->out++;
	}
	pthread_mutex_unlock(&runner->lock);
	if (!begin) {
		refuse_at_once(runner, id, asked->number,
			       keeps ? "the secret store is too busy" : "the secret store is not there");
		return;
	}
	struct skymon_ask *ask = new_ask(component, asked);
	if (runner_spawn_thread(ask_thread, ask))
		return;
	free_ask(ask);
	pthread_mutex_lock(&runner->lock);
	component->telling--;
	runner->asks--;
	runner->out--;
	pthread_mutex_unlock(&runner->lock);
	refuse_at_once(runner, id, asked->number, "cannot start one more thread");
}
