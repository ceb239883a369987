/* SPDX-License-Identifier: Apache-2.0 */
/* pool_requests: requests for routes that live in a worker, from pool_request (called by the daemon for HTTP)
 * until their handler has returned. A request that was answered 504, or whose client has left, still counts
 * among the HTTP_MESSAGE_OUT_MAX of its component; its worker is killed when the handler never returns. Owns
 * the requests. On the loop's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool_private.h"
#include "base/log.h"

#define REMOVED "a reload has removed the plugin"

struct pool_request {
	struct pool_request *next;
	struct pool *pool;
	uint64_t number;
	char *name;        /* of its component, which a reload may replace */
	struct buf body;   /* encoded; kept until it is answered, as it may be repeated */
	bool repeated;     /* its secret was refused, and is or was read again for it */
	bool refreshing;   /* it waits for that */
	struct slot *slot; /* whose worker has it; NULL while it waits for its component */
	uint32_t id;       /* of the component there */
	int64_t until_ms;
	struct timer timeout;
	pool_answered *answered; /* NULL once it is answered, or its client has left */
	void *arg;
};

static void free_request(struct pool_request *request)
{
	struct pool_request **link = &request->pool->requests;
	while (*link != request)
		link = &(*link)->next;
	*link = request->next;
	loop_clear_timer(request->pool->loop, &request->timeout);
	component_wipe(&request->body); /* it may hold passwords */
	free(request->name);
	free(request);
}

/* Answers a request, and frees it unless its handler has not returned. */
static void answer(struct pool_request *request, const struct http_message_reply *reply, int code,
		   const char *why)
{
	pool_answered *answered = request->answered;
	void *arg = request->arg;
	request->answered = NULL;
	component_wipe(&request->body);
	if (request->slot == NULL)
		free_request(request);
	if (answered != NULL)
		answered(arg, reply, code, why);
}

/* ---- Time ---- */

static void on_timeout(struct timer *timer, int64_t now_ms)
{
	struct pool_request *request = container_of(timer, struct pool_request, timeout);
	char text[160];
	if (request->slot == NULL) {
		answer(request, NULL, 504,
		       request->refreshing ? "the plugin's secret could not be read again in time"
					   : "the plugin did not start in time");
		return;
	}
	if (request->answered == NULL && now_ms >= request->until_ms + HTTP_MESSAGE_GRACE_MS) {
		snprintf(text, sizeof(text), "ended: a request did not return within %d ms",
			 HTTP_MESSAGE_MS + HTTP_MESSAGE_GRACE_MS);
		if (request->slot->process != NULL)
			process_kill(request->slot->process, PROCESS_KILLED, request->id, text);
		return;
	}
	loop_set_timer(request->pool->loop, timer, request->until_ms + HTTP_MESSAGE_GRACE_MS);
	if (request->answered == NULL)
		return;
	process_cancel(request->slot->process, request->id, request->number);
	snprintf(text, sizeof(text),
		 "the plugin did not answer within %d s; whether it was carried out is not known",
		 HTTP_MESSAGE_MS / 1000);
	answer(request, NULL, 504, text);
}

/* ---- Sending ---- */

static void send_out(struct pool_request *request, struct component *component)
{
	struct pool *pool = request->pool;
	int64_t left_ms = request->until_ms - loop_now_ms(pool->loop);
	request->refreshing = false;
	if (!process_request(component->slot->process, component->id, request->number, request->repeated,
			     left_ms > 0 ? (uint32_t)left_ms : 0, &request->body)) {
		answer(request, NULL, 503, "too many bytes wait for the plugin's worker already");
		return;
	}
	request->slot = component->slot;
	request->id = component->id;
}

/* Returns the next request after `request`, or the first for NULL, that waits for the component. */
static struct pool_request *next_waiting(const struct component *component, struct pool_request *request)
{
	struct pool *pool = component->slot->pool;
	request = request != NULL ? request->next : pool->requests;
	while (request != NULL &&
	       (request->slot != NULL || strcmp(request->name, component->spec->name) != 0))
		request = request->next;
	return request;
}

void pool_requests_send(struct component *component)
{
	struct pool_request *request = next_waiting(component, NULL), *next;
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		send_out(request, component);
	}
}

static void not_running(char *text, size_t size, const char *name, const char *why)
{
	snprintf(text, size, "plugin %s is not running: %s", name, why);
}

void pool_requests_fail(struct component *component, const char *why)
{
	char text[512];
	struct pool_request *request = next_waiting(component, NULL), *next;
	not_running(text, sizeof(text), component->spec->name, why);
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		answer(request, NULL, 503, text);
	}
}

/* ---- New requests ---- */

static struct pool_request *find(const struct pool *pool, uint64_t number)
{
	struct pool_request *request = pool->requests;
	while (request != NULL && request->number != number)
		request = request->next;
	return request;
}

static size_t count_of(const struct pool *pool, const char *name)
{
	size_t count = 0;
	for (const struct pool_request *request = pool->requests; request != NULL; request = request->next)
		count += strcmp(request->name, name) == 0;
	return count;
}

/* Returns why a request cannot be accepted; NULL if it can. */
static const char *refusal(const struct pool *pool, const struct component *component, const char *name,
			   char *text, size_t size)
{
	if (pool->ending)
		return "the daemon is stopping";
	if (component == NULL) {
		snprintf(text, size,
			 "plugin %s is not configured; GET /api/v1/health/%s says what is missing", name,
			 name);
		return text;
	}
	if (!pool_is_up(component) && component->failure.text[0] != '\0') {
		not_running(text, size, name, component->failure.text);
		return text;
	}
	if (count_of(pool, name) < HTTP_MESSAGE_OUT_MAX)
		return NULL;
	snprintf(text, size, "plugin %s has %d unanswered requests already", name, HTTP_MESSAGE_OUT_MAX);
	return text;
}

uint64_t pool_request(struct pool *pool, const char *name, const struct http_message_request *asked,
		      pool_answered *answered, void *arg)
{
	char text[512];
	struct component *component = pool_find_component(pool, name);
	const char *why = refusal(pool, component, name, text, sizeof(text));
	if (why != NULL) {
		answered(arg, NULL, 503, why);
		return 0;
	}
	struct buf body = {0};
	buf_room(&body, asked->body_size + 4096);
	http_message_put_request(&body, asked);
	if (body.size + 64 > WIRE_MESSAGE_MAX) {
		buf_free(&body);
		answered(arg, NULL, 413, "the request is too large to be sent to a worker");
		return 0;
	}
	struct pool_request *request = x_alloc(sizeof(*request));
	uint64_t number = pool_number(pool);
	request->pool = pool;
	request->number = number;
	request->name = x_strdup(name);
	request->body = body;
	request->until_ms = loop_now_ms(pool->loop) + HTTP_MESSAGE_MS;
	request->timeout.fire = on_timeout;
	request->answered = answered;
	request->arg = arg;
	request->next = pool->requests;
	pool->requests = request;
	loop_set_timer(pool->loop, &request->timeout, request->until_ms);
	if (pool_is_up(component))
		send_out(request, component);
	return find(pool, number) != NULL ? number : 0;
}

void pool_withdraw(struct pool *pool, uint64_t number)
{
	struct pool_request *request = find(pool, number);
	if (request == NULL)
		return;
	request->answered = NULL;
	if (request->slot != NULL && request->slot->process != NULL)
		process_cancel(request->slot->process, request->id, number);
	answer(request, NULL, 0, "");
}

/* ---- A refused secret ---- */

static void want_fresh(struct component *component)
{
	int64_t wait_ms = pool_secrets_refused(component);
	if (wait_ms == 0)
		return;
	component->request_refresh_ms = loop_now_ms(component->pool->loop) + wait_ms;
	if (component->state == COMPONENT_UP)
		pool_set_up(component);
}

void pool_requests_refresh(struct component *component)
{
	struct pool_request *request = next_waiting(component, NULL);
	while (request != NULL && !request->refreshing)
		request = next_waiting(component, request);
	if (request != NULL) /* else a read since then has served them all */
		want_fresh(component);
}

static void repeat(struct pool_request *request)
{
	struct component *component = pool_find_component(request->pool, request->name);
	bool up = component != NULL && pool_is_up(component);
	request->slot = NULL;
	request->repeated = request->refreshing = true;
	/* a component that is being started again sends it when it is up */
	if (up && component->id != request->id) /* it was, while the old instance handled this */
		send_out(request, component);
	else if (up)
		want_fresh(component);
	else if (component == NULL || component->failure.text[0] != '\0')
		answer(request, NULL, 503, component != NULL ? component->failure.text : REMOVED);
}

void pool_requests_refreshed(struct component *component, bool fresh)
{
	bool more = false;
	struct pool_request *request = next_waiting(component, NULL), *next;
	for (; request != NULL; request = next) {
		next = next_waiting(component, request);
		more = more || (request->refreshing && !fresh);
		if (fresh && pool_is_up(component))
			send_out(request, component);
	}
	if (more && pool_is_up(component))
		want_fresh(component);
}

/* ---- Replies ---- */

void pool_requests_on_replied(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply)
{
	struct slot *slot = arg;
	struct pool_request *request = find(slot->pool, number);
	if (request == NULL || request->slot != slot || request->id != id) {
		slot_break(slot, "sent a reply to a request that it did not get");
		return;
	}
	if (reply->again && request->answered != NULL && !request->repeated) {
		repeat(request);
		return;
	}
	if (request->answered == NULL && reply->audit != NULL && reply->audit[0] != '\0')
		log_audit((const char *[]){"plugin", request->name, NULL},
			  "%d %s (no client waited for the answer)", reply->code, reply->audit);
	request->slot = NULL;
	if (reply->again)
		answer(request, NULL, 502, "the plugin asked for another secret twice");
	else
		answer(request, reply, 0, "");
}

bool pool_requests_out(const struct slot *slot, uint32_t id)
{
	const struct pool_request *request = slot->pool->requests;
	while (request != NULL && (request->slot != slot || request->id != id))
		request = request->next;
	return request != NULL;
}

void pool_requests_lost(struct slot *slot, const char *text)
{
	char why[400];
	snprintf(why, sizeof(why), "the plugin's worker %s; whether the request was carried out is not known",
		 text);
	for (struct pool_request *request = slot->pool->requests, *next; request != NULL; request = next) {
		next = request->next;
		if (request->slot != slot)
			continue;
		request->slot = NULL;
		answer(request, NULL, 502, why);
	}
}

void pool_requests_tidy(struct pool *pool)
{
	for (struct pool_request *request = pool->requests, *next; request != NULL; request = next) {
		next = request->next;
		if (request->slot == NULL && pool_find_component(pool, request->name) == NULL)
			answer(request, NULL, 503, REMOVED);
	}
}

void pool_requests_end(struct pool *pool)
{
	while (pool->requests != NULL) {
		pool->requests->slot = NULL;
		answer(pool->requests, NULL, 503, "the daemon is stopping");
	}
}
