/* SPDX-License-Identifier: Apache-2.0 */
/* http_validate: splits the target of a request, and validates its head: the client's certificate, what the
 * framing check found, escapes, Host. http_request.c calls it on the loop's thread. A fault is noted in the
 * request and answered once the request is read, or at once if its connection has to end. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http_private.h"

/* ---- The target ---- */

/* Proxies send "http://host/path", which means "/path" at that host and overrides the Host header (RFC
 * 9112, 3.2.2). */
void request_split_target(struct skymon_request *rq, const char *uri)
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
		if (*target != '/') /* "http://host?query": the path is empty, which means "/" */
			*--target = '/';
	}
	rq->path = target;
	char *query = strchr(target, '?');
	if (query != NULL) {
		*query = '\0';
		rq->query = query + 1;
	}
}

/* ---- Faults ---- */

static void note_fault(struct skymon_request *rq, int code, const char *sentence)
{
	if (rq->fault == 0) {
		rq->fault = code;
		rq->fault_text = sentence;
	}
}

/* The handshake accepts any certificate. It is verified here, once for each connection and again after each
 * change of the rules, so that the client learns why it is refused. */
static void validate_client(struct skymon_request *rq)
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
	snprintf(text, 200, "this listener needs a client certificate, and yours is refused: %s", why);
	note_fault(rq, 403, text);
	access_log_refused(rq, "a client certificate was refused: ", why);
	rq->close = true;
}

void request_validate_framing(struct skymon_request *rq)
{
	const struct framing *framing = &rq->peer->framing;
	if (framing->fault_at == rq->ordinal) {
		note_fault(rq, framing->fault, framing->why);
		rq->method_index = framing->method;
		rq->close = true;
	}
	if (framing->passed >= rq->ordinal)
		return;
	note_fault(rq, 500, "this program was linked with a libmicrohttpd that reads past its checks");
	rq->close = true;
}

static bool has_bad_escape(const char *text)
{
	for (text = strchr(text, '%'); text != NULL; text = strchr(text + 1, '%')) {
		char byte[2];
		if (!http_message_decode(text, strnlen(text, 3), false, byte, sizeof(byte)))
			return true;
	}
	return false;
}

static bool is_header(const char *name, const char *wanted)
{
	return strcasecmp(name, wanted) == 0;
}

static enum MHD_Result note_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size,
				   const char *value, size_t value_size)
{
	(void)kind;
	struct request_headers *headers = arg;
	switch (name_size) { /* most headers are none of these */
	case 4:
		if (is_header(name, "Host"))
			headers->odd_host = !head_is_host(value, value_size);
		break;
	case 12:
		if (is_header(name, "Content-Type"))
			headers->content_type = value;
		break;
	case 13:
		if (is_header(name, "Authorization"))
			headers->authorization = value;
		break;
	case 15:
		if (is_header(name, "Accept-Encoding"))
			headers->accept_encoding = value;
		break;
	default:
		break;
	}
	return MHD_YES;
}

void request_validate(struct skymon_request *rq)
{
	validate_client(rq);
	request_validate_framing(rq);
	if (has_bad_escape(rq->path) || has_bad_escape(rq->query))
		note_fault(rq, 400,
			   "the target has a % that is not followed by two hexadecimal digits, or %00");
	MHD_get_connection_values_n(rq->connection, MHD_HEADER_KIND, note_header, &rq->headers);
}

const char *request_header(struct skymon_request *rq, const char *name)
{
	if (rq->host != NULL && is_header(name, "Host"))
		return rq->host;
	return rq->connection != NULL ? MHD_lookup_connection_value(rq->connection, MHD_HEADER_KIND, name)
				      : NULL;
}
