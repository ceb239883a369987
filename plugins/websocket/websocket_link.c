/* SPDX-License-Identifier: Apache-2.0 */
/* websocket_link: opens, keeps, reads and closes the connection of a WebSocket. Called by websocket.c, on the
 * check's thread; the component's state owns the connection. See websocket.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "websocket.h"

#define NO_WAIT INT64_MAX /* a margin that leaves no time to wait */
#define STALE_MAX                                                                                            \
	(256u * 1024) /* bytes that arrived between two checks, read at most before the check goes on */
#define PART_MS 1000  /* time for the server's close frame */

/* ---- Faults ---- */

static void bad(const struct websocket *ws, enum skymon_reason reason, const char *words,
		struct skymon_fault *fault)
{
	skymon_fault_set(fault, SKYMON_UNHEALTHY, reason, "%s: %s", ws->place, words);
}

static bool no_memory(struct skymon_fault *fault)
{
	skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory for the connection");
	return false;
}

bool websocket_is_late(const struct skymon_fault *fault)
{
	return fault->reason == SKYMON_TIMEOUT && !fault->lost && !fault->reported;
}

/* Explains the failure of an established connection by what was being done, which net does not know. */
static void explain(const struct websocket *ws, const char *late, const char *lost,
		    struct skymon_fault *fault)
{
	if (websocket_is_late(fault)) {
		bad(ws, SKYMON_TIMEOUT, late, fault);
	} else if (fault->lost && fault->reason == SKYMON_PROTOCOL) {
		bad(ws, SKYMON_PROTOCOL, lost, fault);
		fault->lost = true;
	}
}

/* ---- Closing ---- */

void websocket_drop(struct skymon *sm, struct websocket *ws, unsigned code)
{
	struct websocket_link *link = &ws->link;
	unsigned char text[2] = {(unsigned char)(code >> 8), (unsigned char)code};
	struct skymon_fault ignored;
	if (link->net != NULL && code != 0) {
		link->net->margin_ms = NO_WAIT;
		websocket_send(sm, ws, WEBSOCKET_OP_CLOSE, text, sizeof(text), &ignored);
	}
	skymon_net_close(link->net);
	websocket_reader_free(&link->reader);
	free(link->in);
	*link = (struct websocket_link){.net = NULL};
}

void websocket_part(struct skymon *sm, struct websocket *ws)
{
	static const unsigned char normal[2] = {1000 >> 8, 1000 & 0xFF};
	struct websocket_link *link = &ws->link;
	int64_t left = skymon_ms_left(sm), wait = left / 4 < PART_MS ? left / 4 : PART_MS;
	uint64_t enough = link->received + STALE_MAX;
	skymon_step(sm, "closing the WebSocket");
	link->net->margin_ms = left - wait;
	struct skymon_fault fault;
	if (websocket_send(sm, ws, WEBSOCKET_OP_CLOSE, normal, sizeof(normal), &fault))
		while (link->received < enough && websocket_next(sm, ws, "", &fault) != WEBSOCKET_BAD)
			continue;
	websocket_drop(sm, ws, 0);
}

/* Takes the server's close frame, and echoes its code. */
static void take_close(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault)
{
	unsigned code = ws->link.reader.close_code;
	const char *name = websocket_close_name(code);
	int64_t margin_ms = ws->link.net->margin_ms;
	enum skymon_reason reason = SKYMON_OTHER;
	ws->close_code = code != 0 ? code : 1005; /* "no status received" */
	ws->closed_cleanly = true;
	ws->link.net->margin_ms = NO_WAIT;
	struct skymon_fault ignored;
	websocket_send(sm, ws, WEBSOCKET_OP_CLOSE, ws->link.reader.control, code != 0 ? 2 : 0, &ignored);
	ws->link.net->margin_ms = margin_ms;
	if (code == 3000 || code == 3003)
		reason = SKYMON_AUTH_FAILED;
	else if (code == 1013)
		reason = SKYMON_RESOURCE;
	else if (code == 1002 || code == 1003 || code == 1007 || code == 1009 || code == 1010)
		reason = SKYMON_PROTOCOL; /* it blames the client */
	if (code == 0)
		bad(ws, reason, "the server closed the WebSocket without a code", fault);
	else
		skymon_fault_set(fault, SKYMON_UNHEALTHY, reason,
				 "%s: the server closed the WebSocket with %u%s%s%s", ws->place, code,
				 name[0] != '\0' ? " (" : "", name, name[0] != '\0' ? ")" : "");
	fault->lost = true;
}

/* ---- Bytes and frames ---- */

static bool fill(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault)
{
	struct websocket_link *link = &ws->link;
	link->in_size = link->in_used = 0;
	ssize_t got = skymon_net_read(sm, link->net, link->in, WEBSOCKET_HEAD_MAX, fault);
	if (got <= 0)
		return false;
	link->in_size = (size_t)got;
	link->received += (size_t)got;
	return true;
}

bool websocket_send(struct skymon *sm, struct websocket *ws, enum websocket_opcode opcode, const void *bytes,
		    size_t size, struct skymon_fault *fault)
{
	unsigned char *frame = malloc(size + WEBSOCKET_FRAME_HEAD_MAX), mask[4];
	if (frame == NULL || getrandom(mask, sizeof(mask), 0) != (ssize_t)sizeof(mask)) {
		free(frame);
		return no_memory(fault);
	}
	size_t frame_size = websocket_frame(opcode, bytes, size, mask, frame);
	bool sent = skymon_net_write(sm, ws->link.net, frame, frame_size, fault);
	free(frame);
	if (!sent)
		explain(ws, "does not take what it is sent in time",
			"the server ended the connection without closing the WebSocket", fault);
	return sent;
}

static void explain_read(const struct websocket *ws, const char *late, struct skymon_fault *fault)
{
	bool halfway = websocket_is_halfway(&ws->link.reader);
	explain(ws, halfway ? "began a message and did not end it in time" : late,
		halfway ? "the server broke off in the middle of a message"
			: "the server ended the connection without closing the WebSocket",
		fault);
}

enum websocket_event websocket_next(struct skymon *sm, struct websocket *ws, const char *late,
				    struct skymon_fault *fault)
{
	struct websocket_link *link = &ws->link;
	struct websocket_reader *reader = &link->reader;
	for (;;) {
		if (link->in_used == link->in_size) {
			/* Reading a flood never waits, so the deadline is checked here. */
			if (skymon_ms_left(sm) == 0)
				bad(ws, SKYMON_TIMEOUT, "", fault);
			else if (fill(sm, ws, fault))
				continue;
			explain_read(ws, late, fault);
			return WEBSOCKET_BAD;
		}
		size_t used;
		enum websocket_event event = websocket_read(reader, link->in + link->in_used,
							    link->in_size - link->in_used, &used);
		link->in_used += used;
		switch (event) {
		case WEBSOCKET_NOTHING:
			break;
		case WEBSOCKET_PING:
			if (!websocket_send(sm, ws, WEBSOCKET_OP_PONG, reader->control, reader->control_size,
					    fault))
				return WEBSOCKET_BAD;
			break;
		case WEBSOCKET_CLOSE:
			take_close(sm, ws, fault);
			return WEBSOCKET_BAD;
		case WEBSOCKET_BAD:
			bad(ws, SKYMON_PROTOCOL,
			    reader->close_code == WEBSOCKET_LARGE
				    ? "sent a message of more than the 1 MiB that is read"
				    : reader->bad,
			    fault);
			websocket_drop(sm, ws, reader->close_code);
			return WEBSOCKET_BAD;
		case WEBSOCKET_PONG:
		case WEBSOCKET_MESSAGE:
			return event;
		}
	}
}

bool websocket_is_kept(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault)
{
	struct websocket_link *link = &ws->link;
	uint64_t enough = link->received + STALE_MAX;
	link->net->margin_ms = NO_WAIT;
	while (link->received < enough) {
		if (websocket_next(sm, ws, "", fault) != WEBSOCKET_BAD)
			continue;
		if (!websocket_is_late(fault))
			return false;
		break;
	}
	link->net->margin_ms = 0;
	return true;
}

/* ---- The handshake ---- */

static bool ask(struct skymon *sm, struct websocket *ws, const char *key, struct skymon_fault *fault)
{
	struct websocket_request request = {.host = ws->host,
					    .path = ws->address.path,
					    .query = ws->address.query,
					    .key = key,
					    .origin = ws->origin,
					    .authorization = ws->basic,
					    .subprotocols = &ws->subprotocol,
					    .headers = &ws->headers};
	if (ws->authorization.bytes != NULL)
		request.authorization = ws->authorization.bytes;
	size_t size;
	char *text = websocket_request(&request, &size);
	if (text == NULL)
		return no_memory(fault);
	bool sent = skymon_net_write(sm, ws->link.net, text, size, fault);
	explicit_bzero(text, size);
	free(text);
	return sent;
}

/* 401, and 403 after a login was sent, mean that the login is not accepted. */
static void explain_refusal(struct skymon *sm, const struct websocket *ws, unsigned code,
			    struct skymon_fault *fault)
{
	bool shown = ws->authorization.bytes != NULL || ws->basic != NULL;
	enum skymon_reason reason = SKYMON_HTTP_STATUS;
	const char *hint = "";
	if (code == 401 || (code == 403 && shown)) {
		reason = SKYMON_AUTH_FAILED;
		hint = shown ? ": it does not accept `authorization`"
			     : ": it requires a login; set `authorization`";
		if (ws->authorization.bytes != NULL)
			skymon_secret_refused(sm);
	} else if (code == 403 && ws->origin == NULL) {
		hint = ": it may want a certain `origin`";
	} else if (code == 404 || code < 300) {
		hint = ": no WebSocket at the path of `url`";
	} else if (code < 400) {
		hint = ": redirects are not followed; set `url` to the final address";
	}
	skymon_fault_set(fault, SKYMON_UNHEALTHY, reason,
			 "%s: the server refuses the WebSocket with HTTP %u%s", ws->place, code, hint);
}

/* Reads the answer; bytes after it are left for websocket_next(). */
static bool hear(struct skymon *sm, struct websocket *ws, const char *key, struct skymon_fault *fault)
{
	struct websocket_link *link = &ws->link;
	enum websocket_answered answered = WEBSOCKET_HALF;
	struct websocket_answer answer = {.code = 0};
	while (answered == WEBSOCKET_HALF) {
		ssize_t got = skymon_net_read(sm, link->net, link->in + link->in_size,
					      WEBSOCKET_HEAD_MAX - link->in_size, fault);
		if (got <= 0)
			return false;
		link->in_size += (size_t)got;
		answered = websocket_answered(link->in, link->in_size, key, &ws->subprotocol, &answer);
	}
	ws->http_status = answer.code;
	link->in_used = answer.size;
	link->subprotocol = answer.subprotocol;
	if (answered == WEBSOCKET_REFUSED)
		explain_refusal(sm, ws, answer.code, fault);
	else if (answered == WEBSOCKET_WRONG)
		bad(ws, SKYMON_PROTOCOL, answer.why, fault);
	return answered == WEBSOCKET_AGREED;
}

static bool shake_hands(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault)
{
	skymon_step(sm, "WebSocket handshake");
	unsigned char random[16];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return no_memory(fault);
	char key[WEBSOCKET_KEY_SIZE];
	websocket_key(random, key);
	*fault = (struct skymon_fault){.status = SKYMON_UNHEALTHY};
	if (ask(sm, ws, key, fault) && hear(sm, ws, key, fault))
		return true;
	bool half = ws->link.in_size > 0;
	explain(ws,
		half ? "began its answer to the handshake and did not end it in time"
		     : "accepted the connection and did not answer the handshake in time",
		half ? "the server broke off in the middle of its answer to the handshake"
		     : "the server closed the connection before it answered the handshake",
		fault);
	return false;
}

bool websocket_open(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault)
{
	double began = skymon_net_clock();
	ws->link = (struct websocket_link){.net = skymon_net_open(sm, &ws->to, fault)};
	if (ws->link.net == NULL)
		return false;
	ws->connects++;
	ws->link.in = malloc(WEBSOCKET_HEAD_MAX);
	if (ws->expect != NULL)
		ws->link.reader.message_max = WEBSOCKET_MESSAGE_MAX;
	if (ws->link.in == NULL ? no_memory(fault) : shake_hands(sm, ws, fault)) {
		ws->link.opened = skymon_net_clock();
		ws->link.handshake_seconds = ws->link.opened - began;
		return true;
	}
	websocket_drop(sm, ws, 0);
	return false;
}
