/* SPDX-License-Identifier: Apache-2.0 */
/* websocket: the component's state and its connection (websocket_link.c). */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include <skymon/net.h>
#include <skymon/tls.h>
#include "websocket_frame.h"

#define WEBSOCKET_MESSAGE_MAX (1u << 20) /* bytes of an answer that is compared */

struct websocket_link {
	struct skymon_net *net; /* NULL without a connection */
	struct websocket_reader reader;
	char *in; /* WEBSOCKET_HEAD_MAX bytes, of which … have been read from the connection, and … used */
	size_t in_size, in_used;
	const char *subprotocol; /* agreed; NULL if there is none */
	uint64_t received;       /* total bytes of frames */
	double opened, handshake_seconds;
};

struct websocket { /* the component's state */
	const char *url, *send, *expect, *origin, *proxy;
	struct skymon_map headers;
	struct skymon_texts subprotocol;
	struct skymon_secret authorization;
	struct skymon_duration reconnect;
	struct skymon_tls tls;

	struct skymon_net_url address; /* the parts of the URL */
	struct skymon_net_target to;
	char place[300]; /* "host:port" of the server, for messages */
	char host[300];  /* value of the Host header */
	char *basic;     /* Authorization from the URL's user info; NULL if it has none */
	struct websocket_link link;
	double connects; /* since the start */

	/* of this check */
	unsigned http_status, close_code; /* 0 if there was none */
	bool closed_cleanly;
};

/* Opens a connection and performs the handshake. Returns false with *fault set and no connection. */
bool websocket_open(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault);
/* Reads what has arrived since the last check, without waiting. Returns false with *fault set if the
 * connection is lost. */
bool websocket_is_kept(struct skymon *sm, struct websocket *ws, struct skymon_fault *fault);
bool websocket_send(struct skymon *sm, struct websocket *ws, enum websocket_opcode opcode, const void *bytes,
		    size_t size, struct skymon_fault *fault);
/* Waits for the next pong or message, and answers pings. Returns WEBSOCKET_BAD with *fault set: lost if the
 * server has ended the connection, with or without a close frame; a timeout at the deadline, with the text
 * `late`. */
enum websocket_event websocket_next(struct skymon *sm, struct websocket *ws, const char *late,
				    struct skymon_fault *fault);
/* Closes the WebSocket, waits a moment for the server's close frame, and drops the connection. */
void websocket_part(struct skymon *sm, struct websocket *ws);
/* Sends a close frame with this code if that is possible at once (none for 0), and drops the connection. */
void websocket_drop(struct skymon *sm, struct websocket *ws, unsigned code);

bool websocket_is_late(const struct skymon_fault *fault);

#endif
