/* SPDX-License-Identifier: Apache-2.0 */
/* http_request: the life of a request, from its first byte to its last: libmicrohttpd's three callbacks, and
 * the phases. Only this file sets a request's phase, and with it the state of its connection; the other files
 * of http call the transitions: request_run, request_suspend, http_finish, request_cancel. Runs on the loop's
 * thread. */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "http_private.h"

/* ---- Phases ---- */

#define FROM(phase) (1u << REQUEST_##phase)
static const unsigned allowed_from[] = {
	[REQUEST_BODY] = FROM(HEAD),
	[REQUEST_VERIFYING] = FROM(BODY),
	[REQUEST_HANDLING] = FROM(BODY) | FROM(VERIFYING) | FROM(HEAD), /* a rendered request has no body */
	[REQUEST_FORWARDED] = FROM(BODY) | FROM(VERIFYING),
	[REQUEST_COMPRESSING] = FROM(HANDLING) | FROM(FORWARDED),
	[REQUEST_ANSWERED] =
		FROM(BODY) | FROM(VERIFYING) | FROM(HANDLING) | FROM(FORWARDED) | FROM(COMPRESSING),
	[REQUEST_CANCELLED] = FROM(FORWARDED) | FROM(ANSWERED),
};

static const enum peer_state state_of_peer[] = {
	[REQUEST_HEAD] = PEER_HEADER,           [REQUEST_BODY] = PEER_BODY,
	[REQUEST_HANDLING] = PEER_BUSY,         [REQUEST_FORWARDED] = PEER_SUSPENDED,
	[REQUEST_COMPRESSING] = PEER_SUSPENDED, [REQUEST_ANSWERED] = PEER_BUSY,
	[REQUEST_CANCELLED] = PEER_BUSY,        [REQUEST_VERIFYING] = PEER_SUSPENDED,
};

static void enter(struct skymon_request *rq, enum request_phase phase)
{
	assert(allowed_from[phase] >> rq->phase & 1);
	rq->phase = phase;
	if (rq->peer != NULL && rq->peer->state != state_of_peer[phase])
		peer_set_state(rq->peer, state_of_peer[phase]);
}

/* The caller of MHD_get_timeout learns nothing of it: the listener must run libmicrohttpd by itself. */
static void resume(struct listener *listener, struct MHD_Connection *connection)
{
	listener->resumed = true;
	MHD_resume_connection(connection);
}

void request_run(struct skymon_request *rq)
{
	enter(rq, REQUEST_HANDLING);
	rq->entry->route->handle(rq->entry->sm, rq->entry->state, rq);
}

void request_suspend(struct skymon_request *rq, enum request_phase phase)
{
	if (!rq->suspended)
		MHD_suspend_connection(rq->connection);
	rq->suspended = true;
	enter(rq, phase);
}

void request_cancel(struct skymon_request *rq)
{
	rq->suspended = false;
	enter(rq, REQUEST_CANCELLED);
	resume(rq->listener, rq->connection);
}

void http_finish(struct skymon_request *rq, struct MHD_Response *response)
{
	struct listener *listener = rq->listener;
	struct MHD_Connection *connection = rq->connection;
	bool suspended = rq->suspended;
	rq->suspended = false;
	enter(rq, REQUEST_ANSWERED);
	if (connection == NULL)
		return;
	/* outside of request_handle, queueing may end the request */
	if (MHD_queue_response(connection, (unsigned)rq->code, response) != MHD_YES)
		enter(rq, REQUEST_CANCELLED);
	if (suspended)
		resume(listener, connection);
}

/* ---- libmicrohttpd's callbacks ---- */

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void *request_begin(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct listener *listener = arg;
	struct skymon_request *rq = request_new(listener->http, listener, connection);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	rq->peer = info != NULL ? info->socket_context : NULL;
	if (rq->peer != NULL) {
		rq->ordinal = ++rq->peer->begun;
		peer_set_state(rq->peer, PEER_HEADER);
	}
	if (uri == NULL)
		return rq;
	request_split_target(rq, uri);
	/* The query is read from our copy, when a handler asks for it. libmicrohttpd would make an entry for
	 * each "&" and lose the connection when its memory is full of them: hide the query in its buffer. */
	char *query = strchr((char *)(uintptr_t)uri, '?');
	if (query != NULL)
		query[1] = '\0';
	return rq;
}

static void head_is_read(struct skymon_request *rq, const char *method)
{
	rq->method = method;
	rq->method_index = http_method_of(method, strlen(method));
	rq->started_ns = now_ns();
	enter(rq, REQUEST_BODY);
	request_validate(rq);
	/* answered before the body is read: libmicrohttpd closes the connection after that */
	if (rq->close)
		reply_problem(rq, rq->fault, "%s", rq->fault_text);
}

static void body_is_read(struct skymon_request *rq)
{
	request_validate_framing(rq);
	if (rq->fault != 0)
		reply_problem(rq, rq->fault, "%s", rq->fault_text);
	else
		request_dispatch(rq);
}

enum MHD_Result request_handle(void *arg, struct MHD_Connection *connection, const char *url,
			       const char *method, const char *version, const char *upload,
			       size_t *upload_size, void **context)
{
	(void)arg;
	(void)connection;
	(void)version;
	(void)url; /* the same bytes as in request_begin, cut at the query */
	struct skymon_request *rq = *context;
	if (rq == NULL || rq->peer == NULL)
		return MHD_NO;
	if (rq->phase == REQUEST_HEAD) {
		head_is_read(rq, method);
	} else if (*upload_size > 0) {
		buf_add(&rq->body, upload, *upload_size); /* http_framing.c has limited it */
		*upload_size = 0;
	} else if (rq->phase == REQUEST_BODY) {
		body_is_read(rq);
	}
	return rq->phase == REQUEST_CANCELLED ? MHD_NO : MHD_YES;
}

/* Replies of libmicrohttpd itself (its memory for a connection may run out) are counted too. */
static int code_of(const struct skymon_request *rq, struct MHD_Connection *connection)
{
	if (rq->code != 0)
		return rq->code;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_HTTP_STATUS);
	return info != NULL ? (int)info->http_status : 0;
}

void request_completed(void *arg, struct MHD_Connection *connection, void **context,
		       enum MHD_RequestTerminationCode why)
{
	(void)arg;
	(void)why;
	struct skymon_request *rq = *context;
	if (rq == NULL)
		return;
	*context = NULL;
	assert(!rq->suspended);
	int code = code_of(rq, connection);
	request_log_audit(rq, code);
	access_note_reply(rq, code);
	int64_t duration_ns = rq->started_ns > 0 ? now_ns() - rq->started_ns : 0;
	if (code != 0)
		counts_add(rq->http->counts, rq->count, rq->method_index, code, rq->problem,
			   rq->entry != NULL && rq->entry->forwarded, duration_ns,
			   loop_now_ms(rq->http->loop));
	if (rq->peer != NULL) {
		bool part = rq->peer->framing.held_size > 0; /* of the next request */
		peer_set_state(rq->peer, part ? PEER_HEADER : PEER_IDLE);
	}
	request_free(rq);
}
