/* SPDX-License-Identifier: Apache-2.0 */
/* websocket: the component's state, and its connection (websocket_link.c). */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include "dial.h"
#include "tls_report.h"
#include "websocket_frame.h"

#define WEBSOCKET_MESSAGE_MAX (1u << 20) /* of an answer that is compared */

struct websocket_link {
	struct dial *dial; /* NULL: there is no connection */
	struct websocket_reader reader;
	char *in; /* WEBSOCKET_HEAD_MAX bytes, of which … have been read from the connection, and … used */
	size_t in_size, in_used;
	const char *subprotocol; /* agreed; NULL: none */
	uint64_t received;       /* bytes of frames, in all */
	double opened, handshake_seconds;
};

struct websocket { /* the component's state */
	const char *url, *send, *expect, *origin, *proxy;
	struct skymon_map headers;
	struct skymon_texts subprotocol;
	struct skymon_secret authorization;
	struct skymon_duration reconnect;
	struct skymon_tls tls;

	struct dial_url address; /* the URL, taken apart */
	struct dial_to to;
	char place[300]; /* "host:port" of the server, for messages */
	char host[300];  /* what Host is to say */
	char *basic;     /* Authorization from the URL's user info; NULL: none */
	struct websocket_link link;
	double connects; /* in all */

	/* of this check */
	unsigned http_status, close_code; /* 0: there was none */
	bool closed_cleanly;
};

/* Opens a connection and has it become a WebSocket. false: *fault says why, and there is no connection. */
bool websocket_open(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault);
/* Reads what has come since the last check, without waiting. false: the connection is gone; *fault says why.
 */
bool websocket_is_kept(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault);
bool websocket_send(struct skymon *sm, struct websocket *ws, enum websocket_opcode opcode, const void *bytes,
		    size_t size, struct skymon_fault *fault);
/* Waits for the next pong or message; pings are answered. WEBSOCKET_BAD: *fault says why: lost when the
 * server has ended the connection, with a close frame or without; late when the time is over, where `late` is
 * half a sentence. */
enum websocket_event websocket_next(struct skymon *sm, struct websocket *ws, const char *late,
				    struct skymon_fault *fault);
/* Says goodbye and waits a moment for the server's; drops the connection. */
void websocket_part(struct skymon *sm, struct websocket *ws);
/* Says goodbye with this code if that can be done at once (0: says nothing); drops the connection. */
void websocket_drop(struct skymon *sm, struct websocket *ws, unsigned code);

bool websocket_is_late(const struct skymon_fault *fault);

#endif
