/* SPDX-License-Identifier: Apache-2.0 */
/* http_forward: requests for routes of a worker. http_dispatch.c forwards them here; the daemon's struct
 * http_forward carries them to the worker and brings the reply back. Their connections are suspended
 * meanwhile, so that libmicrohttpd does not notice a client that leaves: this file watches for that and
 * cancels the request. A client that only closes its sending side counts as one that has left, as with other
 * servers. Runs on the loop's thread. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "http_private.h"

/* ---- Sending ---- */

struct collecting {
	const char *host; /* overrides the Host header, unless NULL */
	struct http_message_pair *headers;
	size_t count;
	bool too_many;
};

static enum MHD_Result collect_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
	(void)kind;
	struct collecting *collecting = arg;
	if (collecting->count == HTTP_MESSAGE_HEADERS_MAX) {
		collecting->too_many = true;
		return MHD_NO;
	}
	if (collecting->host != NULL && strcasecmp(name, "Host") == 0)
		value = collecting->host;
	collecting->headers[collecting->count++] =
		(struct http_message_pair){name, value != NULL ? value : ""};
	return MHD_YES;
}

static void cancel(struct skymon_request *rq)
{
	struct http *http = rq->http;
	link_remove(&rq->waiting);
	loop_remove(http->loop, &rq->client);
	if (rq->forward_number != 0)
		http->forward->cancel(http->forward_arg, rq->forward_number);
	request_cancel(rq);
}

static void client_left(struct watch *watch, uint32_t events)
{
	(void)events;
	cancel(container_of(watch, struct skymon_request, client));
}

static void wait_for_reply(struct skymon_request *rq)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	request_suspend(rq, REQUEST_FORWARDED);
	link_append(&rq->http->forwarded, &rq->waiting);
	rq->client.ready = client_left;
	rq->client.fd = -1;
	if (info != NULL)
		loop_add(rq->http->loop, &rq->client, info->connect_fd, EPOLLRDHUP);
}

void forward_send(struct skymon_request *rq)
{
	const struct skymon_caller *caller = request_caller(rq);
	struct http_message_pair headers[HTTP_MESSAGE_HEADERS_MAX];
	struct collecting collecting = {.host = rq->host, .headers = headers};
	MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, collect_header, &collecting);
	if (collecting.too_many) {
		reply_problem(rq, 431, "the request has more than %d headers", HTTP_MESSAGE_HEADERS_MAX);
		return;
	}
	struct http_message_request message = {
		.route = rq->entry->number,
		.trusted = rq->trusted,
		.local = caller->local,
		.method = rq->method,
		.query = rq->query,
		.address = caller->address,
		.user = caller->user,
		.why_not_local = caller->why_not_local,
		.login = caller->login,
		.param_count = rq->match.param_count,
		.headers = headers,
		.header_count = collecting.count,
		.body = rq->body.data,
		.body_size = rq->body.size,
	};
	for (size_t i = 0; i < message.param_count; i++)
		message.params[i] =
			(struct http_message_pair){rq->match.params[i].name, rq->match.params[i].value};
	wait_for_reply(rq);
	uint64_t number = rq->http->forward->send(rq->http->forward_arg, rq->entry, &message, rq);
	if (rq->phase == REQUEST_FORWARDED)
		rq->forward_number = number;
}

void forward_cancel_all(struct http *http)
{
	while (http->forwarded.next != &http->forwarded)
		cancel(container_of(http->forwarded.next, struct skymon_request, waiting));
}

/* ---- The reply ---- */

static void copy_reply(struct skymon_request *rq, const struct http_message_reply *reply)
{
	for (size_t i = 0; i < reply->header_count; i++)
		reply_header(rq, reply->headers[i].name, reply->headers[i].value);
	if (reply->audit[0] != '\0')
		rq->audit = request_copy(rq, reply->audit);
	rq->problem = reply->problem;
	void *copy = x_alloc(reply->body_size + 1);
	memcpy(copy, reply->body, reply->body_size);
	struct skymon_part part = {copy, reply->body_size};
	reply_parts(rq, reply->code, reply->type[0] != '\0' ? reply->type : NULL, &part, 1, 0, free, copy);
}

void http_forward_reply(struct skymon_request *rq, const struct http_message_reply *reply, int code,
			const char *why)
{
	link_remove(&rq->waiting);
	loop_remove(rq->http->loop, &rq->client);
	if (reply != NULL) {
		copy_reply(rq, reply);
		return;
	}
	if (code == 503)
		reply_header(rq, "Retry-After", "5");
	reply_problem(rq, code, "%s", why);
}

void http_set_forward(struct http *http, const struct http_forward *forward, void *arg)
{
	http->forward = forward;
	http->forward_arg = arg;
}
