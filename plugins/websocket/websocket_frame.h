/* SPDX-License-Identifier: Apache-2.0 */
/* websocket_frame, websocket_handshake: the client's side of RFC 6455. Pure: bytes in, bytes out.
 *
 * libwebsockets 4.1.6 (Debian) was tried and not taken: each of its contexts needs more than a megabyte even
 * for plain ws://, as much as a whole worker should; it sets the process's handler of SIGPIPE; it reports a
 * refused certificate as a text only; and it resolves names itself. The part of the protocol that a check
 * needs is small, and here its limits are ours. */
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

#define WEBSOCKET_CONTROL_MAX 125u /* bytes of payload of close, ping and pong */
#define WEBSOCKET_FRAME_HEAD_MAX 14u

/* Writes one whole frame, masked as a client must. `out` has room for size + WEBSOCKET_FRAME_HEAD_MAX bytes;
 * returns the frame's size. */
size_t websocket_frame(enum websocket_opcode opcode, const void *bytes, size_t size,
		       const unsigned char mask[4], unsigned char *out);

enum websocket_event {
	WEBSOCKET_NOTHING, /* all bytes are consumed, and nothing is complete */
	WEBSOCKET_PING,    /* control, control_size */
	WEBSOCKET_PONG,    /* control, control_size */
	WEBSOCKET_CLOSE,   /* close_code, 0 if the frame has none */
	WEBSOCKET_MESSAGE, /* the last frame of a message; message, message_size if it is kept */
	WEBSOCKET_BAD      /* bad, close_code for the server; nothing more can be read */
};

#define WEBSOCKET_LARGE                                                                                      \
	1009 /* close_code of a BAD that is not the server's fault: larger than message_max                  \
	      */

/* An incremental parser of the server's frames. Initialize it with zeros; message_max may be set whenever no
 * message is incomplete. */
struct websocket_reader {
	size_t message_max; /* 0 to skip messages without keeping them */

	unsigned char control[WEBSOCKET_CONTROL_MAX];
	size_t control_size;
	char *message; /* not ended by '\0'; freed by websocket_reader_free */
	size_t message_size;
	unsigned close_code;
	const char *bad; /* as in "the server %s": "sent …" */

	/* private */
	unsigned char head[10];
	size_t head_size;
	bool in_payload;
	enum websocket_opcode opcode; /* of the frame */
	bool last;                    /* the last frame of its message */
	uint64_t left;                /* bytes of the frame's payload that are still missing */
	enum websocket_opcode began;  /* the incomplete message: text or binary; 0 if there is none */
	size_t message_room;
};

/* Reads until something is complete. *used is the number of bytes consumed. */
enum websocket_event websocket_read(struct websocket_reader *reader, const void *bytes, size_t size,
				    size_t *used);
/* Returns whether a frame or a message is incomplete. */
bool websocket_is_halfway(const struct websocket_reader *reader);
/* Drops the last message. Not while one is incomplete. */
void websocket_forget(struct websocket_reader *reader);
void websocket_reader_free(struct websocket_reader *reader); /* wipes it; it can be used again */

const char *websocket_close_name(unsigned code); /* "internal error"; "" for a code without name */

/* ---- The handshake: websocket_handshake.c ---- */

#define WEBSOCKET_KEY_SIZE 25 /* with its '\0' */
#define WEBSOCKET_ACCEPT_SIZE 29
#define WEBSOCKET_HEAD_MAX 16384 /* bytes of the server's answer */

void websocket_key(const unsigned char random[16], char key[WEBSOCKET_KEY_SIZE]);
void websocket_accept(const char *key, char accept[WEBSOCKET_ACCEPT_SIZE]);

struct websocket_request {
	const char *host;         /* with the port unless it is the default */
	const char *path, *query; /* "" for / and none */
	const char *key;
	const char *origin;        /* may be NULL */
	const char *authorization; /* may be NULL */
	const struct skymon_texts *subprotocols;
	const struct skymon_map *headers; /* one named Host replaces `host` */
};

/* Returns the request, which the caller wipes and frees; NULL if out of memory. */
char *websocket_request(const struct websocket_request *request, size_t *size);

enum websocket_answered {
	WEBSOCKET_HALF,    /* incomplete */
	WEBSOCKET_AGREED,  /* size: where the first frame begins */
	WEBSOCKET_REFUSED, /* code: not 101 */
	WEBSOCKET_WRONG    /* why, as in "the server %s" */
};

struct websocket_answer {
	unsigned code; /* 0 if none was read */
	size_t size;
	const char *subprotocol; /* one of the requested, or NULL */
	const char *why;
};

/* Parses the bytes that have arrived so far, at most WEBSOCKET_HEAD_MAX of them. */
enum websocket_answered websocket_answered(const char *bytes, size_t size, const char *key,
					   const struct skymon_texts *subprotocols,
					   struct websocket_answer *answer);

/* Returns why a header cannot be sent, as in "%s is …"; NULL if it can. For `validate`. */
const char *websocket_header_fault(const char *name, const char *value);
bool websocket_is_token(const char *text);
bool websocket_is_sendable(const char *text); /* printable ASCII */

#endif
