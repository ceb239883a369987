/* SPDX-License-Identifier: Apache-2.0 */
/* crew_requests: requests for routes that live in a worker, from the moment HTTP hands them over until their
 * handler has returned: one that was answered 504, or whose client has left, still holds its place among the
 * EXCHANGE_OUT_MAX of its worker, and costs that worker its process when the handler never returns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_private.h"
#include "base/log.h"

#define REMOVED "a reload has removed the plugin"

struct crew_request {
	struct crew_request *next;
	struct crew *crew;
	uint64_t number;
	char *name;             /* of its component, which a reload may replace */
	struct buf body;        /* encoded; kept until it is answered, as it may be done again */
	bool again;             /* its secret is or was read anew for it */
	bool refreshing;        /* … it is: the request waits for that */
	struct crew_slot *slot; /* where it is out; NULL: it waits */
	uint32_t id;            /* of the component there */
	int64_t until_ms;
	struct timer patience;
	crew_answered *answered; /* NULL: nobody waits for it any more */
	void *arg;
};

static void wipe(struct crew_request *request)
{
	if (request->body.data != NULL)
		explicit_bzero(request->body.data, request->body.size); /* it may hold passwords */
	buf_free(&request->body);
}

static void free_request(struct crew_request *request)
{
	struct crew_request **link = &request->crew->requests;
	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	loop_clear_timer(request->crew->loop, &request->patience);
	wipe(request);
	free(request->name);
	free(request);
}

/* Answers, and forgets it unless its handler is still at it. */
static void answer(struct crew_request *request, const struct exchange_reply *reply, int code,
		   const char *why)
{
	crew_answered *answered = request->answered;
	void *arg = request->arg;
	request->answered = NULL;
	wipe(request);
	if (request->slot == NULL)
		free_request(request);
	if (answered != NULL)
		answered(arg, reply, code, why);
}

/* ---- Time ---- */

static void lose_patience(struct timer *timer, int64_t now_ms)
{
	struct crew_request *request = container_of(timer, struct crew_request, patience);
	char text[160];
	if (request->slot == NULL) {
		answer(request, NULL, 504,
		       request->refreshing ? "the plugin's secret could not be read anew in time"
					   : "the plugin did not come up in time");
		return;
	}
	if (request->answered == NULL && now_ms >= request->until_ms + EXCHANGE_GRACE_MS) {
		snprintf(text, sizeof(text), "ended: a request did not return within %d ms",
			 EXCHANGE_MS + EXCHANGE_GRACE_MS);
		if (request->slot->worker != NULL)
			worker_kill(request->slot->worker, WORKER_KILLED, request->id, text);
		return;
	}
	loop_set_timer(request->crew->loop, timer, request->until_ms + EXCHANGE_GRACE_MS);
	if (request->answered == NULL)
		return;
	worker_cancel(request->slot->worker, request->id, request->number);
	snprintf(text, sizeof(text),
		 "the plugin did not answer within %d s; whether it was done is not known",
		 EXCHANGE_MS / 1000);
	answer(request, NULL, 504, text);
}

/* ---- Sending ---- */

static void send_out(struct crew_request *request, struct component *component)
{
	struct crew *crew = request->crew;
	int64_t left_ms = request->until_ms - loop_now_ms(crew->loop);
	request->refreshing = false;
	if (!worker_request(component->slot->worker, component->id, request->number, request->again,
			    left_ms > 0 ? (uint32_t)left_ms : 0, &request->body)) {
		answer(request, NULL, 503, "too much waits for the plugin's worker already");
		return;
	}
	request->slot = component->slot;
	request->id = component->id;
}

/* The next one after `request` (NULL: the first) that waits for that component. */
static struct crew_request *next_waiting(const struct component *component, struct crew_request *request)
{
	struct crew *crew = component->slot->crew;
	request = request != NULL ? request->next : crew->requests;
	while (request != NULL &&
	       (request->slot != NULL || strcmp(request->name, component->spec->name) != 0))
		request = request->next;
	return request;
}

void crew_requests_send(struct component *component)
{
	struct crew_request *request = next_waiting(component, NULL), *next;
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		send_out(request, component);
	}
}

static void not_running(char *text, size_t size, const char *name, const char *why)
{
	snprintf(text, size, "plugin %s does not run: %s", name, why);
}

void crew_requests_fail(struct component *component, const char *why)
{
	char text[512];
	struct crew_request *request = next_waiting(component, NULL), *next;
	not_running(text, sizeof(text), component->spec->name, why);
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		answer(request, NULL, 503, text);
	}
}

/* ---- A new one ---- */

static struct crew_request *find(const struct crew *crew, uint64_t number)
{
	struct crew_request *request = crew->requests;
	while (request != NULL && request->number != number)
		request = request->next;
	return request;
}

static size_t count_of(const struct crew *crew, const char *name)
{
	size_t count = 0;
	for (const struct crew_request *request = crew->requests; request != NULL; request = request->next)
		count += strcmp(request->name, name) == 0;
	return count;
}

/* Why it cannot be taken at all; NULL: it can. */
static const char *refusal(const struct crew *crew, const struct component *component, const char *name,
			   char *text, size_t size)
{
	if (crew->ending)
		return "the daemon is stopping";
	if (component == NULL) {
		snprintf(text, size,
			 "plugin %s is not configured; GET /api/v1/health/%s says what is missing", name,
			 name);
		return text;
	}
	if (component->state != COMPONENT_UP && component->failure[0] != '\0') {
		not_running(text, size, name, component->failure);
		return text;
	}
	if (count_of(crew, name) < EXCHANGE_OUT_MAX)
		return NULL;
	snprintf(text, size, "plugin %s has %d requests to answer already", name, EXCHANGE_OUT_MAX);
	return text;
}

uint64_t crew_request(struct crew *crew, const char *name, const struct exchange_request *asked,
		      crew_answered *answered, void *arg)
{
	char text[512];
	struct component *component = crew_find_named(crew, name);
	const char *why = refusal(crew, component, name, text, sizeof(text));
	if (why != NULL) {
		answered(arg, NULL, 503, why);
		return 0;
	}
	struct buf body = {0};
	buf_room(&body, asked->body_size + 4096);
	exchange_put_request(&body, asked);
	if (body.size + 64 > WIRE_MESSAGE_MAX) {
		buf_free(&body);
		answered(arg, NULL, 413, "the request is larger than a plugin in a worker can be given");
		return 0;
	}
	struct crew_request *request = x_alloc(sizeof(*request));
	uint64_t number = crew_number();
	request->crew = crew;
	request->number = number;
	request->name = x_strdup(name);
	request->body = body;
	request->until_ms = loop_now_ms(crew->loop) + EXCHANGE_MS;
	request->patience.fire = lose_patience;
	request->answered = answered;
	request->arg = arg;
	request->next = crew->requests;
	crew->requests = request;
	loop_set_timer(crew->loop, &request->patience, request->until_ms);
	if (component->state == COMPONENT_UP)
		send_out(request, component);
	return find(crew, number) != NULL ? number : 0;
}

void crew_withdraw(struct crew *crew, uint64_t number)
{
	struct crew_request *request = find(crew, number);
	if (request == NULL)
		return;
	request->answered = NULL;
	if (request->slot != NULL && request->slot->worker != NULL)
		worker_cancel(request->slot->worker, request->id, number);
	answer(request, NULL, 0, "");
}

/* ---- A refused secret ---- */

static void want_fresh(struct component *component);

static void may_refresh(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct component *component = container_of(timer, struct component, again);
	if (component->slot == NULL || component->state != COMPONENT_UP || component->gone)
		return; /* what waits is sent when it is up */
	struct crew_request *request = next_waiting(component, NULL);
	while (request != NULL && !request->refreshing)
		request = next_waiting(component, request);
	if (request != NULL) /* else a read since then has served them all */
		want_fresh(component);
}

static void want_fresh(struct component *component)
{
	struct crew *crew = component->slot->crew;
	int64_t wait_ms = crew->events->refused(crew->arg, component);
	if (wait_ms == 0)
		return;
	component->again.fire = may_refresh;
	if (component->again.slot == 0)
		loop_set_timer(crew->loop, &component->again, loop_now_ms(crew->loop) + wait_ms);
}

static void do_again(struct crew_request *request)
{
	struct component *component = crew_find_named(request->crew, request->name);
	bool up = component != NULL && component->state == COMPONENT_UP;
	request->slot = NULL;
	request->again = request->refreshing = true;
	/* one that is being started anew sends it when it is up */
	if (up && component->id != request->id) /* it has been, while the old one was still at this */
		send_out(request, component);
	else if (up)
		want_fresh(component);
	else if (component == NULL || component->failure[0] != '\0')
		answer(request, NULL, 503, component != NULL ? component->failure : REMOVED);
}

void crew_requests_refreshed(struct component *component, bool fresh)
{
	bool more = false;
	struct crew_request *request = next_waiting(component, NULL), *next;
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		more = more || (request->refreshing && !fresh);
		if (fresh && component->state == COMPONENT_UP)
			send_out(request, component);
	}
	if (more && component->state == COMPONENT_UP)
		want_fresh(component);
}

/* ---- Replies ---- */

void crew_requests_reply(struct crew_slot *slot, uint32_t id, uint64_t number,
			 const struct exchange_reply *reply)
{
	struct crew_request *request = find(slot->crew, number);
	if (request == NULL || request->slot != slot || request->id != id) {
		crew_break(slot, "sent a reply to a request that it was not given");
		return;
	}
	if (reply->again && request->answered != NULL && !request->again) {
		do_again(request);
		return;
	}
	if (request->answered == NULL && reply->audit != NULL && reply->audit[0] != '\0')
		log_audit((const char *[]){"plugin", request->name, NULL},
			  "%d %s (nobody waited for the answer any more)", reply->code, reply->audit);
	request->slot = NULL;
	if (reply->again)
		answer(request, NULL, 502, "the plugin asked twice for a new secret");
	else
		answer(request, reply, 0, "");
}

bool crew_requests_out(const struct crew_slot *slot, uint32_t id)
{
	const struct crew_request *request = slot->crew->requests;
	while (request != NULL && (request->slot != slot || request->id != id))
		request = request->next;
	return request != NULL;
}

void crew_requests_lost(struct crew_slot *slot, const char *text)
{
	char why[400];
	snprintf(why, sizeof(why), "the plugin's worker %s; whether the request was done is not known", text);
	for (struct crew_request *request = slot->crew->requests, *next; request != NULL; request = next) {
		next = request->next;
		if (request->slot != slot)
			continue;
		request->slot = NULL;
		answer(request, NULL, 502, why);
	}
}

void crew_requests_tidy(struct crew *crew)
{
	for (struct crew_request *request = crew->requests, *next; request != NULL; request = next) {
		next = request->next;
		if (request->slot == NULL && crew_find_named(crew, request->name) == NULL)
			answer(request, NULL, 503, REMOVED);
	}
}

void crew_requests_end(struct crew *crew)
{
	while (crew->requests != NULL) {
		crew->requests->slot = NULL;
		answer(crew->requests, NULL, 503, "the daemon is stopping");
	}
}
