/* SPDX-License-Identifier: Apache-2.0 */
/* runner_ask: asks a component of a secret store for a value, by a call of the plugin's `secret`. runner_ask
 * runs on the main thread, the functions of skymon/secrets.h on the thread of the call. */
#include "runner_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASKS_MAX 16
#define VALUE_MAX 65536u

struct skymon_ask {
	struct runner_call call; /* the first member */
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

static void send_answer(struct skymon_ask *ask)
{
	struct runner *runner = ask->call.self.runner;
	if (ask->answered)
		return; /* only the first answer counts */
	ask->answered = true;
	runner->events->answered(runner->arg, ask->call.self.id, &ask->answer);
}

static void refuse_with(struct skymon_ask *ask, int reason, const char *message)
{
	ask->answer.reason = (enum skymon_reason)reason;
	ask->answer.message = message;
	send_answer(ask);
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
	send_answer(ask);
}

void runner_ask_refuse(struct skymon_ask *ask, int reason, const char *text, size_t size)
{
	char *message = runner_masked(&ask->call.self, text, size);
	refuse_with(ask, reason > SKYMON_NONE && reason < SKYMON_REASON_COUNT ? reason : SKYMON_OTHER,
		    message);
	free(message);
}

static void free_ask(struct runner_call *call)
{
	struct skymon_ask *ask = (struct skymon_ask *)call;
	runner_aside_free(&call->self);
	free(ask->path);
	free(ask->field);
	free(ask);
}

static void run_ask(struct runner_call *call)
{
	struct skymon_ask *ask = (struct skymon_ask *)call;
	call->self.runner->plugin->secret(&call->self.sm, call->self.state, ask);
	if (!ask->answered)
		refuse_with(ask, SKYMON_OTHER, "the secret store did not answer");
}

static struct skymon_ask *new_ask(struct runner_component *component, const struct message_ask *asked)
{
	struct skymon_ask *ask = x_alloc(sizeof(*ask));
	const char *hash = strrchr(asked->path, '#');
	ask->call = (struct runner_call){.self = runner_aside(component),
					 .component = component,
					 .kind = RUNNER_ASK,
					 .run = run_ask,
					 .free = free_ask};
	snprintf(ask->call.self.step, sizeof(ask->call.self.step), "answering for a secret");
	ask->answer.number = asked->number;
	ask->fresh = asked->fresh;
	ask->path =
		hash != NULL ? x_strndup(asked->path, (size_t)(hash - asked->path)) : x_strdup(asked->path);
	ask->field = x_strdup(hash != NULL ? hash + 1 : "");
	return ask;
}

void runner_ask(struct runner *runner, uint32_t id, const struct message_ask *asked)
{
	struct runner_component *component = runner_find(runner, id);
	struct message_answer no = {.number = asked->number, .reason = SKYMON_RESOURCE};
	if (component == NULL || runner->plugin->secret == NULL) {
		no.message = "the secret store is not there";
		runner->events->answered(runner->arg, id, &no);
		return;
	}
	struct skymon_ask *ask = new_ask(component, asked);
	enum runner_started started = runner_call_start(&ask->call, ASKS_MAX, asked->timeout_ms);
	if (started == RUNNER_STARTED)
		return;
	no.message = started == RUNNER_BUSY ? "the secret store is too busy" : "cannot start one more thread";
	runner->events->answered(runner->arg, id, &no);
	free_ask(&ask->call);
}
