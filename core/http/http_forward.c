/* SPDX-License-Identifier: Apache-2.0 */
/* http_forward: requests for routes that live in a worker: encoded here, handed over, and answered when the
 * reply comes, all on the loop's thread. Their connections are suspended meanwhile, so libmicrohttpd does not
 * look at them: this does, and withdraws a request whose client has left. A client that only closes its
 * sending side counts as one that has left, as with other servers. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "http_private.h"

/* ---- Handing over ---- */

struct collecting {
	const char *host; /* in place of the Host header's, if not NULL */
	struct http_message_pair *headers;
	size_t count;
	bool too_many;
};

static enum MHD_Result collect(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
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

static void enter(struct skymon_request *rq)
{
	struct http *http = rq->http;
	rq->away = true;
	rq->next_away = http->waiting;
	if (http->waiting != NULL)
		http->waiting->previous_away = rq;
	http->waiting = rq;
}

static void leave(struct skymon_request *rq)
{
	struct http *http = rq->http;
	if (rq->previous_away != NULL)
		rq->previous_away->next_away = rq->next_away;
	else
		http->waiting = rq->next_away;
	if (rq->next_away != NULL)
		rq->next_away->previous_away = rq->previous_away;
	rq->previous_away = rq->next_away = NULL;
	rq->away = false;
	loop_remove(http->loop, &rq->client);
}

static void resume(struct skymon_request *rq)
{
	rq->listener->resumed = true;
	MHD_resume_connection(rq->connection);
}

static void client_left(struct watch *watch, uint32_t events)
{
	(void)events;
	struct skymon_request *rq = container_of(watch, struct skymon_request, client);
	forward_forget(rq);
	resume(rq); /* without a response: it is closed */
}

static void watch_client(struct skymon_request *rq)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	rq->client.ready = client_left;
	rq->client.fd = -1;
	if (info != NULL)
		loop_add(rq->http->loop, &rq->client, info->connect_fd, EPOLLRDHUP);
}

void forward_hand(struct skymon_request *rq)
{
	const struct skymon_caller *caller = request_caller(rq);
	struct http_message_pair headers[HTTP_MESSAGE_HEADERS_MAX];
	struct collecting collecting = {.host = rq->host, .headers = headers};
	MHD_get_connection_values(rq->connection, MHD_HEADER_KIND, collect, &collecting);
	if (collecting.too_many) {
		reply_problem(rq, 431, "the request has more than %d headers", HTTP_MESSAGE_HEADERS_MAX);
		return;
	}
	struct http_message_request asked = {
		.route = rq->entry->number,
		.trusted = rq->trusted,
		.local = caller->local,
		.method = rq->method,
		.query = rq->query,
		.address = caller->address,
		.user = caller->user,
		.why_not_local = caller->why_not_local,
		.param_count = rq->match.param_count,
		.headers = headers,
		.header_count = collecting.count,
		.body = rq->body.data,
		.body_size = rq->body.size,
	};
	for (size_t i = 0; i < asked.param_count; i++)
		asked.params[i] =
			(struct http_message_pair){rq->match.params[i].name, rq->match.params[i].value};
	enter(rq);
	watch_client(rq);
	uint64_t number = rq->http->away->hand(rq->http->forward_arg, rq->entry, &asked, rq);
	if (rq->away)
		rq->forward_number = number;
}

/* ---- Its end ---- */

void forward_forget(struct skymon_request *rq)
{
	struct http *http = rq->http;
	leave(rq);
	if (rq->forward_number != 0)
		http->away->withdraw(http->forward_arg, rq->forward_number);
}

void forward_end(struct http *http)
{
	while (http->waiting != NULL) {
		struct skymon_request *rq = http->waiting;
		forward_forget(rq);
		resume(rq);
	}
}

static void copy_reply(struct skymon_request *rq, const struct http_message_reply *reply)
{
	for (size_t i = 0; i < reply->header_count; i++)
		reply_header(rq, reply->headers[i].name, reply->headers[i].value);
	if (reply->audit[0] != '\0') {
		char *audit = request_text(rq, strlen(reply->audit) + 1);
		rq->audit = strcpy(audit, reply->audit);
	}
	rq->problem = reply->problem;
	void *copy = x_alloc(reply->body_size + 1);
	memcpy(copy, reply->body, reply->body_size);
	struct skymon_part part = {copy, reply->body_size};
	reply_parts(rq, reply->code, reply->type[0] != '\0' ? reply->type : NULL, &part, 1, 0, free, copy);
}

void http_answer(struct skymon_request *rq, const struct http_message_reply *reply, int code, const char *why)
{
	leave(rq);
	if (reply != NULL) {
		copy_reply(rq, reply);
	} else {
		if (code == 503)
			reply_header(rq, "Retry-After", "5");
		reply_problem(rq, code, "%s", why);
	}
	if (!rq->suspended || rq->run != NULL)
		return; /* it is queued by who suspends it, or when it is compressed */
	struct MHD_Response *response = rq->response;
	bool ours = !rq->keep;
	rq->response = NULL;
	struct MHD_Connection *connection = rq->connection; /* queueing may end the request */
	pool_set_state(rq->peer, PEER_BUSY);
	rq->listener->resumed = true;
	if (MHD_queue_response(connection, (unsigned)rq->code, response) != MHD_YES)
		log_debug("a worker's reply could not be queued");
	MHD_resume_connection(connection);
	if (ours)
		MHD_destroy_response(response);
}

void http_set_away(struct http *http, const struct http_forward *away, void *arg)
{
	http->away = away;
	http->forward_arg = arg;
}
