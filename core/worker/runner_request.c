/* SPDX-License-Identifier: Apache-2.0 */
/* runner_request: has a route of the plugin answer a request, by a call of the route's `handle`.
 * runner_request and runner_cancel run on the main thread, the functions of skymon/routes.h on the thread of
 * the call. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runner_private.h"

#define AUDIT_MAX 300
/* Threads: a handler may run on for a moment after its answer, when the daemon has sent the next request
 * already. */
#define THREADS_MAX (2 * HTTP_MESSAGE_OUT_MAX)

struct text { /* lives as long as the request */
	struct text *next;
	char bytes[];
};

struct skymon_request {
	struct runner_call call; /* the first member */
	struct message_request head;
	void *message; /* owned; `asked` points into it */
	size_t message_size;
	struct http_message_request asked;
	struct skymon_caller caller;
	struct text *texts;
	struct http_message_pair *headers; /* of the coming reply; their bytes are in texts */
	size_t header_count, header_room;
	struct buf members; /* of the coming problem */
	char audit[AUDIT_MAX];
	bool answered, again;
};

/* ---- The request ---- */

static char *keep(struct skymon_request *rq, size_t size)
{
	struct text *text = x_alloc(sizeof(*text) + size + 1);
	text->next = rq->texts;
	rq->texts = text;
	return text->bytes;
}

static const char *keep_text(struct skymon_request *rq, const char *bytes)
{
	return memcpy(keep(rq, strlen(bytes)), bytes, strlen(bytes));
}

const char *runner_request_method(struct skymon_request *rq)
{
	return rq->asked.method;
}

const char *runner_request_param(struct skymon_request *rq, const char *name)
{
	return http_message_find(rq->asked.params, rq->asked.param_count, name, true);
}

const char *runner_request_query(struct skymon_request *rq, const char *name)
{
	size_t length;
	if (name == NULL)
		return rq->asked.query;
	const char *value = http_message_query(rq->asked.query, name, &length);
	if (value == NULL)
		return NULL;
	char *text = keep(rq, length);
	return http_message_decode(value, length, true, text, length + 1) ? text : "";
}

const char *runner_request_header(struct skymon_request *rq, const char *name)
{
	return http_message_find(rq->asked.headers, rq->asked.header_count, name, false);
}

const char *runner_request_body(struct skymon_request *rq, size_t *size)
{
	*size = rq->asked.body_size;
	return rq->asked.body_size > 0 ? rq->asked.body : "";
}

bool runner_request_trusted(struct skymon_request *rq)
{
	return rq->asked.trusted;
}

const struct skymon_caller *runner_request_caller(struct skymon_request *rq)
{
	return &rq->caller;
}

bool runner_request_again(struct skymon_request *rq)
{
	if (rq->head.repeated)
		return false;
	return rq->again = true;
}

/* ---- The reply ---- */

static void set_audit(struct skymon_request *rq, const char *text)
{
	snprintf(rq->audit, sizeof(rq->audit), "%s", text);
	for (char *at = rq->audit; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7F)
			*at = ' ';
}

void runner_request_audit(struct skymon_request *rq, const char *text, size_t size)
{
	char *clean = runner_masked(&rq->call.self, text, size);
	set_audit(rq, clean);
	free(clean);
}

void runner_reply_header(struct skymon_request *rq, const char *name, const char *value)
{
	if (rq->answered || rq->header_count == HTTP_MESSAGE_HEADERS_MAX)
		return;
	if (!http_message_header_ok(name, value)) {
		runner_log(&rq->call.self, LOG_LEVEL_ERROR, "the reply header %.60s cannot be sent: dropped",
			   name);
		return;
	}
	struct buf room = {0};
	rq->headers = x_grow(rq->headers, &rq->header_room, rq->header_count + 1, sizeof(*rq->headers));
	rq->headers[rq->header_count++] = (struct http_message_pair){
		keep_text(rq, name), keep_text(rq, mask_text(&rq->call.self.mask, value, &room))};
	buf_free(&room);
}

PRINTF(3) static void send_problem(struct skymon_request *rq, int code, const char *format, ...);

/* A reply that the daemon would refuse, as that of a hostile worker, becomes a problem. */
static void reply_refused(struct skymon_request *rq, const struct http_message_reply *reply)
{
	rq->header_count = 0;
	rq->members.size = 0;
	if (reply->body_size > HTTP_MESSAGE_BODY_MAX)
		send_problem(rq, 502, "the answer has %zu bytes, more than a route in a worker may give",
			     reply->body_size);
	else
		send_problem(rq, 500,
			     "the handler of this route answered with code %d and headers that cannot be "
			     "sent; that is a defect of the plugin %s",
			     reply->code, rq->call.self.runner->plugin->name);
}

static void send_reply(struct skymon_request *rq, struct http_message_reply *reply)
{
	struct runner *runner = rq->call.self.runner;
	if (rq->answered) {
		runner_log(&rq->call.self, LOG_LEVEL_ERROR,
			   "a handler answered twice: only the first counts");
		return;
	}
	struct buf room = {0};
	reply->headers = rq->headers;
	reply->header_count = rq->header_count;
	reply->audit = rq->audit;
	reply->type = reply->type != NULL ? reply->type : "";
	reply->body = mask_bytes(&rq->call.self.mask, reply->body, &reply->body_size, &room);
	if (http_message_reply_ok(reply)) {
		rq->answered = true;
		runner->events->replied(runner->arg, rq->call.self.id, rq->head.number, reply);
	} else {
		reply_refused(rq, reply);
	}
	buf_free(&room);
}

static void send_problem(struct skymon_request *rq, int code, const char *format, ...)
{
	char text[SKYMON_TEXT_MAX + 2];
	va_list list;
	va_start(list, format);
	size_t size = skymon_format(text, format, list);
	va_end(list);
	runner_reply_problem(rq, code, text, size);
}

void runner_reply(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size)
{
	send_reply(rq, &(struct http_message_reply){
			       .code = code, .type = type, .body = bytes, .body_size = size});
}

void runner_reply_parts(struct skymon_request *rq, int code, const char *type,
			const struct skymon_part *parts, size_t count, uint64_t generation,
			void (*done)(void *), void *argument)
{
	struct buf body = {0};
	(void)generation;
	for (size_t i = 0; i < count; i++)
		buf_add(&body, parts[i].bytes, parts[i].size);
	runner_reply(rq, code, type, body.data, body.size);
	buf_free(&body);
	if (done != NULL)
		done(argument);
}

void runner_problem_json(struct skymon_request *rq, const char *key, const char *json)
{
	json_error_t error;
	json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
	bool is_json = value != NULL, ok = is_json && http_message_member_ok(key);
	json_decref(value);
	if (!is_json)
		runner_log(&rq->call.self, LOG_LEVEL_ERROR, "member %.60s of a problem is not JSON: %s", key,
			   error.text);
	else if (!ok)
		runner_log(&rq->call.self, LOG_LEVEL_ERROR, "member %.60s of a problem is there already",
			   key);
	if (!ok)
		return;
	buf_text(&rq->members, ",");
	buf_json(&rq->members, key);
	buf_printf(&rq->members, ":%s", json);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void runner_reply_problem(struct skymon_request *rq, int code, const char *text, size_t size)
{
	struct buf body = {0};
	char *detail = runner_masked(&rq->call.self, text, size); /* before JSON escapes what is in it */
	detail[strnlen(detail, SKYMON_TEXT_MAX)] = '\0';
	if (rq->audit[0] == '\0') /* the audit line says why nothing was done */
		set_audit(rq, detail);
	http_message_print_problem(&body, code, detail, rq->members.size > 0 ? rq->members.data : NULL,
				   now_ms());
	free(detail);
	send_reply(rq, &(struct http_message_reply){.code = code,
						    .problem = true,
						    .type = "application/problem+json",
						    .body = body.data,
						    .body_size = body.size});
	buf_free(&body);
}

/* ---- Its life ---- */

static void free_request(struct runner_call *call)
{
	struct skymon_request *rq = (struct skymon_request *)call;
	for (struct text *text = rq->texts, *next; text != NULL; text = next) {
		next = text->next;
		free(text);
	}
	explicit_bzero(rq->message, rq->message_size); /* it may hold passwords and tokens */
	http_message_free_request(&rq->asked);
	runner_aside_free(&call->self);
	buf_free(&rq->members);
	free(rq->headers);
	free(rq->message);
	free(rq);
}

static void run_request(struct runner_call *call)
{
	struct skymon_request *rq = (struct skymon_request *)call;
	const struct skymon_plugin *plugin = call->self.runner->plugin;
	const struct skymon_route *route = plugin->routes[rq->asked.route];
	snprintf(call->self.step, sizeof(call->self.step), "answering %.8s %.60s", route->method,
		 route->path);
	route->handle(&call->self.sm, call->self.state, rq);
	if (rq->answered)
		return;
	if (rq->again) {
		send_reply(rq, &(struct http_message_reply){.again = true});
		return;
	}
	runner_log(&call->self, LOG_LEVEL_ERROR, "the handler of %s %s did not answer", route->method,
		   route->path);
	send_problem(rq, 500, "the handler of this route did not answer; that is a defect of the plugin %s",
		     plugin->name);
}

static bool decode(struct skymon_request *rq, const struct runner *runner, void *message, size_t size)
{
	struct wire_reader in = wire_reader(message, size);
	rq->message = message;
	rq->message_size = size;
	message_get_request(&in, &rq->head);
	if (!http_message_get_request(&in, &rq->asked))
		return false;
	size_t routes = 0;
	while (runner->plugin->routes != NULL && runner->plugin->routes[routes] != NULL)
		routes++;
	rq->caller = (struct skymon_caller){.size = sizeof(rq->caller),
					    .local = rq->asked.local,
					    .address = rq->asked.address,
					    .user = rq->asked.user,
					    .why_not_local = rq->asked.why_not_local,
					    .login = rq->asked.login};
	return rq->asked.route < routes && runner->plugin->routes[rq->asked.route]->handle != NULL;
}

void runner_request(struct runner *runner, uint32_t id, void *message, size_t size)
{
	struct skymon_request *rq = x_alloc(sizeof(*rq));
	struct runner_component *component = runner_find(runner, id);
	bool known = decode(rq, runner, message, size);
	rq->call = (struct runner_call){.self = runner_aside(component != NULL ? component : &runner->self),
					.component = component,
					.kind = RUNNER_REQUEST,
					.number = rq->head.number,
					.run = run_request,
					.free = free_request};
	enum runner_started started =
		known ? runner_call_start(&rq->call, THREADS_MAX, rq->head.timeout_ms) : RUNNER_BUSY;
	if (started == RUNNER_STARTED)
		return;
	if (!known)
		send_problem(rq, 500,
			     "the daemon and its worker do not understand each other: restart skymond");
	else if (started == RUNNER_BUSY)
		send_problem(rq, 503, "the plugin is stopping or too busy; try again");
	else
		send_problem(rq, 503, "cannot start one more thread; try again");
	free_request(&rq->call);
}

void runner_cancel(struct runner *runner, uint64_t number)
{
	pthread_mutex_lock(&runner->lock);
	for (struct runner_call *call = runner->calls; call != NULL; call = call->next)
		if (call->kind == RUNNER_REQUEST && call->number == number)
			atomic_store(&call->self.deadline_us, 0);
	pthread_mutex_unlock(&runner->lock);
}
