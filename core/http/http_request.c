/* SPDX-License-Identifier: Apache-2.0 */
/* http_request: one exchange from its first byte to its last: libmicrohttpd's three callbacks and the memory
 * of a request. All of it runs on the loop's thread. What the gate refused is answered here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "http_private.h"

/* ---- Memory ---- */

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct skymon_request *request_new(struct http *http, struct listener *listener,
				   struct MHD_Connection *connection)
{
	struct skymon_request *rq = http->spare;
	struct buf extra = {0};
	if (rq == NULL) {
		rq = x_alloc(sizeof(*rq));
	} else {
		http->spare = rq->next;
		extra = rq->extra;
		memset(rq, 0, offsetof(struct skymon_request, inline_bytes));
	}
	rq->extra = extra;
	rq->http = http;
	rq->listener = listener;
	rq->connection = connection;
	rq->path = rq->query = "";
	rq->count = http->no_route;
	http->in_flight++;
	return rq;
}

void request_end(struct skymon_request *rq)
{
	struct http *http = rq->http;
	if (rq->run != NULL)
		reply_forget_waiter(rq);
	if (rq->away)
		forward_forget(rq);
	if (rq->response != NULL && !rq->keep)
		MHD_destroy_response(rq->response);
	if (rq->table != NULL)
		route_table_unref(rq->table);
	for (struct chunk *chunk = rq->chunks, *next; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	if (rq->body.data != NULL && rq->entry != NULL && rq->entry->route->flags & SKYMON_ROUTE_GUARDED)
		explicit_bzero(rq->body.data, rq->body.size); /* it may hold passwords */
	buf_free(&rq->body);
	buf_free(&rq->output);
	buf_free(&rq->members);
	rq->extra.size = 0;
	rq->next = http->spare;
	http->spare = rq;
	http->in_flight--;
}

void request_free_spare(struct http *http)
{
	for (struct skymon_request *rq = http->spare, *next; rq != NULL; rq = next) {
		next = rq->next;
		buf_free(&rq->extra);
		free(rq);
	}
	http->spare = NULL;
}

char *request_text(struct skymon_request *rq, size_t size)
{
	if (size <= sizeof(rq->inline_bytes) - rq->used) {
		char *text = rq->inline_bytes + rq->used;
		rq->used += size;
		return text;
	}
	struct chunk *chunk = x_alloc(sizeof(*chunk) + size);
	chunk->next = rq->chunks;
	rq->chunks = chunk;
	return chunk->bytes;
}

/* ---- The target ---- */

static void refuse(struct skymon_request *rq, int code, const char *sentence)
{
	if (rq->fault == 0) {
		rq->fault = code;
		rq->fault_text = sentence;
	}
}

static bool bad_escape(const char *text)
{
	for (text = strchr(text, '%'); text != NULL; text = strchr(text + 1, '%')) {
		char byte[2];
		if (!http_message_decode(text, strnlen(text, 3), false, byte, sizeof(byte)))
			return true;
	}
	return false;
}

/* Splits our copy of the target into host, path and query. "http://host/path", which proxies send and servers
 * must take, is "/path" at that host, whatever the Host header says (RFC 9112, 3.2.2). */
static void take_target(struct skymon_request *rq, const char *uri)
{
	size_t size = strlen(uri), host_size;
	char *target = request_text(rq, size + 1);
	memcpy(target, uri, size + 1);
	const char *host = head_authority(target, size, &host_size);
	if (host != NULL) {
		char *copy = request_text(rq, host_size + 1);
		memcpy(copy, host, host_size);
		copy[host_size] = '\0';
		rq->host = copy;
		target += host - target + (ptrdiff_t)host_size;
		if (*target != '/') /* "http://host?query": the path is empty, which is "/" */
			*--target = '/';
	}
	rq->path = target;
	char *query = strchr(target, '?');
	if (query != NULL) {
		*query = '\0';
		rq->query = query + 1;
	}
}

/* ---- Headers ---- */

static bool is(const char *name, size_t size, const char *wanted)
{
	return size == strlen(wanted) && strcasecmp(name, wanted) == 0;
}

static enum MHD_Result look_at_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size,
				      const char *value, size_t value_size)
{
	(void)kind;
	struct request_headers *headers = arg;
	switch (name_size) { /* most headers are none of these */
	case 4:
		if (is(name, name_size, "Host"))
			headers->odd_host = !head_is_host(value, value_size);
		break;
	case 12:
		if (is(name, name_size, "Content-Type"))
			headers->content_type = value;
		break;
	case 13:
		if (is(name, name_size, "Authorization"))
			headers->authorization = value;
		break;
	case 15:
		if (is(name, name_size, "Accept-Encoding"))
			headers->accept_encoding = value;
		break;
	default:
		break;
	}
	return MHD_YES;
}

const char *request_header(struct skymon_request *rq, const char *name)
{
	if (rq->host != NULL && strcasecmp(name, "Host") == 0)
		return rq->host;
	return rq->connection != NULL ? MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name)
				      : NULL;
}

/* ---- libmicrohttpd's callbacks ---- */

static void set_state(struct skymon_request *rq, enum peer_state state)
{
	if (rq->peer != NULL)
		pool_set_state(rq->peer, state);
}

void *request_begin(void *arg, const char *uri, struct MHD_Connection *connection)
{
	struct listener *listener = arg;
	struct skymon_request *rq = request_new(listener->http, listener, connection);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	rq->peer = info != NULL ? info->socket_context : NULL;
	if (rq->peer != NULL)
		rq->ordinal = ++rq->peer->begun;
	set_state(rq, PEER_HEADER);
	if (uri == NULL)
		return rq;
	take_target(rq, uri);
	/* The query is read from our copy, when somebody asks for it. libmicrohttpd would make an entry for
	 * each "&" and lose the connection when its memory is full of them: it sees none in its buffer. */
	char *query = strchr((char *)(uintptr_t)uri, '?');
	if (query != NULL)
		query[1] = '\0';
	return rq;
}

static enum MHD_Result queue(struct skymon_request *rq)
{
	struct MHD_Response *response = rq->response;
	bool ours = !rq->keep;
	rq->response = NULL;
	enum MHD_Result done = MHD_queue_response(rq->connection, (unsigned)rq->code, response);
	if (ours)
		MHD_destroy_response(response);
	return done;
}

/* Once for each connection, and again when the rules have changed: the handshake took any certificate. */
static void check_client(struct skymon_request *rq)
{
	const struct listener *listener = rq->listener;
	if (listener->clients == NULL || rq->peer->verified == listener->rules_number)
		return;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(rq->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const char *why = client_rules_refuse(listener->clients, info != NULL ? info->tls_session : NULL);
	if (why == NULL) {
		rq->peer->verified = listener->rules_number;
		return;
	}
	char *text = request_text(rq, 200);
	snprintf(text, 200, "this listener asks for a client certificate, and yours cannot be taken: %s",
		 why);
	refuse(rq, 403, text);
	access_log(rq, "a client certificate was refused: ", why);
	rq->close = true;
}

/* What the gate found: in the head, or later in the framing of the body. */
static void check_gate(struct skymon_request *rq)
{
	const struct gate *gate = &rq->peer->gate;
	if (gate->fault_at == rq->ordinal) {
		refuse(rq, gate->fault, gate->why);
		rq->method_index = gate->method;
		rq->close = true;
	}
	if (gate->passed >= rq->ordinal)
		return;
	refuse(rq, 500, "this program was linked with a libmicrohttpd that reads past its checks");
	rq->close = true;
}

static void check_target(struct skymon_request *rq)
{
	if (bad_escape(rq->path) || bad_escape(rq->query))
		refuse(rq, 400, "the target has a % that is not followed by two hexadecimal digits, or %00");
}

static enum MHD_Result first_call(struct skymon_request *rq, const char *method)
{
	rq->method = method;
	rq->method_index = head_method(method, strlen(method));
	rq->started_ns = now_ns();
	check_client(rq);
	check_gate(rq);
	check_target(rq);
	MHD_get_connection_values_n(rq->connection, MHD_HEADER_KIND, look_at_header, &rq->headers);
	set_state(rq, PEER_BODY);
	if (!rq->close)
		return MHD_YES;
	/* answered before the body is read: libmicrohttpd closes the connection behind it */
	reply_problem(rq, rq->fault, "%s", rq->fault_text);
	return queue(rq);
}

static enum MHD_Result last_call(struct skymon_request *rq)
{
	if (rq->run != NULL || rq->away) /* woken by something else: still waiting */
		return MHD_YES;
	if (rq->suspended && rq->response == NULL) /* its client has left */
		return MHD_NO;
	set_state(rq, PEER_BUSY);
	check_gate(rq);
	if (rq->fault != 0)
		reply_problem(rq, rq->fault, "%s", rq->fault_text);
	else
		request_dispatch(rq);
	if (rq->run != NULL || rq->away) {
		rq->suspended = true;
		set_state(rq, PEER_AWAY);
		MHD_suspend_connection(rq->connection);
		return MHD_YES;
	}
	return queue(rq);
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
	if (rq->stage++ == 0)
		return first_call(rq, method);
	if (*upload_size > 0) {
		buf_add(&rq->body, upload, *upload_size); /* the gate has limited it */
		*upload_size = 0;
		return MHD_YES;
	}
	return last_call(rq);
}

/* Should libmicrohttpd answer by itself (its memory for a connection may run out), that is counted too. */
static int code_of(struct skymon_request *rq, struct MHD_Connection *connection)
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
	int code = code_of(rq, connection);
	request_log_audit(rq, code);
	token_note_answer(rq, code);
	int64_t duration_ns = rq->started_ns > 0 ? now_ns() - rq->started_ns : 0;
	if (code != 0)
		counts_add(rq->http->counts, rq->count, rq->method_index, code, rq->problem,
			   rq->entry != NULL && rq->entry->away, duration_ns, loop_now_ms(rq->http->loop));
	bool part = rq->peer != NULL && rq->peer->gate.held_size > 0; /* of the next request */
	set_state(rq, part ? PEER_HEADER : PEER_IDLE);
	request_end(rq);
}
