/* SPDX-License-Identifier: Apache-2.0 */
/* websocket_frame, websocket_handshake: RFC 6455 as a client needs it. Pure: bytes in, bytes out.
 *
 * Why not libwebsockets, which Debian has: it was tried (4.1.6). Each of its contexts takes a megabyte and
 * more of this process's own memory even for plain ws://, where all of a worker should cost about that; it
 * sets the process's handler of SIGPIPE; it tells why a certificate was not accepted as a sentence only; and
 * it looks names up by itself. The part of the protocol that a check needs is small, and here its limits are
 * ours. */
#ifndef WEBSOCKET_FRAME_H
#define WEBSOCKET_FRAME_H

#include <skymon/plugin.h>

/* ---- Frames: websocket_frame.c ---- */

enum websocket_opcode {
	WEBSOCKET_OP_MORE = 0x0,
	WEBSOCKET_OP_TEXT = 0x1,
	WEBSOCKET_OP_BINARY = 0x2,
	WEBSOCKET_OP_CLOSE = 0x8,
	WEBSOCKET_OP_PING = 0x9,
	WEBSOCKET_OP_PONG = 0xA
};

#define WEBSOCKET_CONTROL_MAX 125u /* payload of close, ping and pong */
#define WEBSOCKET_FRAME_HEAD_MAX 14u

/* One whole frame, masked as a client must. `out` has room for size + WEBSOCKET_FRAME_HEAD_MAX; returns its
 * size. */
size_t websocket_frame(enum websocket_opcode opcode, const void *bytes, size_t size,
		       const unsigned char mask[4], unsigned char *out);

enum websocket_event {
	WEBSOCKET_NOTHING, /* all bytes are used, and nothing is complete */
	WEBSOCKET_PING,    /* control, control_size */
	WEBSOCKET_PONG,    /* control, control_size */
	WEBSOCKET_CLOSE,   /* close_code: 0 when the frame names none */
	WEBSOCKET_MESSAGE, /* the last frame of a message; message, message_size when it is kept */
	WEBSOCKET_BAD      /* bad, close_code: what to tell the server. Nothing can be read any more */
};

#define WEBSOCKET_LARGE 1009 /* close_code of a BAD that is none of the server's: message_max is passed */

/* What the server sends, taken in as it comes. Zeroed it is new; the caller may set message_max at any time
 * that no message is under way. */
struct websocket_reader {
	size_t message_max; /* 0: messages are read past and not kept */

	unsigned char control[WEBSOCKET_CONTROL_MAX];
	size_t control_size;
	char *message; /* not ended by '\0'; freed by websocket_reader_free */
	size_t message_size;
	unsigned close_code;
	const char *bad; /* half a sentence about the server: "sent …" */

	/* its own */
	unsigned char head[10];
	size_t head_size;
	bool in_payload;
	enum websocket_opcode opcode; /* of the frame */
	bool last;                    /* frame of its message */
	uint64_t left;                /* bytes of the frame's payload to come */
	enum websocket_opcode began;  /* the message under way: text or binary; 0: none */
	size_t message_room;
};

/* Reads on until something is complete; *used: how many bytes that took. */
enum websocket_event websocket_read(struct websocket_reader *reader, const void *bytes, size_t size,
				    size_t *used);
/* Something was begun that did not end: a frame, or a message. */
bool websocket_is_halfway(const struct websocket_reader *reader);
/* The last message is done with; not halfway. */
void websocket_forget(struct websocket_reader *reader);
void websocket_reader_free(struct websocket_reader *reader); /* wipes it: it is new again */

const char *websocket_close_name(unsigned code); /* "internal error"; "" for one that has no name */

/* ---- The handshake: websocket_handshake.c ---- */

#define WEBSOCKET_KEY_SIZE 25 /* with its '\0' */
#define WEBSOCKET_ACCEPT_SIZE 29
#define WEBSOCKET_HEAD_MAX 16384 /* of the server's answer */

void websocket_key(const unsigned char random[16], char key[WEBSOCKET_KEY_SIZE]);
void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE]);

struct websocket_request {
	const char *host;         /* with the port where it is not the usual one */
	const char *path, *query; /* "" is / and none */
	const char *key;
	const char *origin;        /* may be NULL */
	const char *authorization; /* may be NULL */
	const struct skymon_texts *subprotocols;
	const struct skymon_map *headers; /* one named Host stands for ours */
};

/* The request, to be wiped and freed; NULL: no memory. */
char *websocket_request(const struct websocket_request *request, size_t *size);

enum websocket_answered {
	WEBSOCKET_HALF,    /* not all of it is there */
	WEBSOCKET_AGREED,  /* size: where the first frame begins */
	WEBSOCKET_REFUSED, /* code: not 101 */
	WEBSOCKET_WRONG    /* why: half a sentence about the server */
};

struct websocket_answer {
	unsigned code; /* 0: none was read */
	size_t size;
	const char *subprotocol; /* one of those asked for, or NULL */
	const char *why;
};

/* What has come so far: at most WEBSOCKET_HEAD_MAX bytes are looked at. */
enum websocket_answered websocket_answered(const char *bytes, size_t size, const char *key,
					   const struct skymon_texts *subprotocols,
					   struct websocket_answer *answer);

/* For `start`: what cannot be sent. NULL: fine; else half a sentence about the header, the sub-protocol. */
const char *websocket_header_fault(const char *name, const char *value);
bool websocket_is_token(const char *text);
bool websocket_is_sendable(const char *text); /* printable ASCII */

#endif
