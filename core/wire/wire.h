/* SPDX-License-Identifier: Apache-2.0 */
/* wire: framed messages between the daemon and its workers, both ends.
 *
 * A SOCK_SEQPACKET pair: the kernel keeps packets whole, so that a crash handler may send its own at any
 * moment without breaking into another thread's. A message longer than one packet is sent as several with the
 * same type and id, each with the whole size; several short ones may share a packet. The daemon's end never
 * blocks (outbox); the worker's end blocks. A worker is hostile: sizes are bounded before anything is allocated, and
 * every get is checked. */
#ifndef WIRE_H
#define WIRE_H

#include "base/buf.h"
#include "base/err.h"

enum wire_type { /* message.h has the fields of each */
		 /* daemon -> worker; id = component */
		 WIRE_START = 1,
		 WIRE_RUN,
		 WIRE_STOP,
		 WIRE_ASK,      /* a secret store, for a value */
		 WIRE_REQUEST,  /* for a route of the plugin */
		 WIRE_SANDBOX,  /* the first one, id 0: sandbox.h */
		 WIRE_CANCEL,   /* the client has gone: no reply is needed any more */
		 WIRE_VALIDATE, /* id = the asker's number */
		 /* worker -> daemon; id = component */
		 WIRE_HELLO = 32, /* id 0 */
		 WIRE_STARTED,
		 WIRE_RESULT,
		 WIRE_REFUSED, /* its secret was refused */
		 WIRE_LOG,     /* or id 0 */
		 WIRE_CRASH,   /* or id 0; one packet, from a signal handler */
		 WIRE_STOPPED,
		 WIRE_ANSWER,
		 WIRE_REPLY,
		 WIRE_STEP,
		 WIRE_VALIDATED, /* id = the asker's number */
		 WIRE_OBSERVED,  /* a call of a run, or its end: only if it is asked for (message_start) */
		 WIRE_STALE, /* id 0: files of its sandbox were replaced, and it asks to be started again */
};
enum wire_crash {
	WIRE_CRASH_SIGNAL,
	WIRE_CRASH_EXIT,
	WIRE_CRASH_MEMORY,
	WIRE_CRASH_FILES,
	WIRE_CRASH_BLOCKED
};

#define WIRE_PACKET_MAX 65536u      /* header and payload of one packet */
#define WIRE_RESULT_MAX (64u << 20) /* one result */
#define WIRE_REPLY_MAX (10u << 20)  /* one reply */
#define WIRE_MESSAGE_MAX (2u << 20) /* any other message */

struct wire_head {
	uint32_t magic, size; /* size of the whole message's body */
	uint32_t id;
	uint16_t type, zero;
};

/* ---- Bodies ---- */
void wire_put_u8(struct buf *body, uint8_t value);
void wire_put_u32(struct buf *body, uint32_t value);
void wire_put_u64(struct buf *body, uint64_t value);
void wire_put_f64(struct buf *body, double value);
/* NULL stays NULL; invalid UTF-8 becomes U+FFFD. */
void wire_put_text(struct buf *body, const char *text);
void wire_put_bytes(struct buf *body, const void *bytes, size_t size);

/* Reads in place: texts point into the body, end with '\0', hold no other and are valid UTF-8. The first get
 * that does not fit sets `bad`; from then on each get returns 0, NULL or "". */
struct wire_reader {
	const uint8_t *at, *end;
	bool bad;
};
struct wire_reader wire_reader(const void *body, size_t size);
uint8_t wire_get_u8(struct wire_reader *in);
uint32_t wire_get_u32(struct wire_reader *in);
uint64_t wire_get_u64(struct wire_reader *in);
double wire_get_f64(struct wire_reader *in);
const char *wire_get_text(struct wire_reader *in); /* NULL if NULL was put */
const char *wire_get_text_or_empty(struct wire_reader *in);
const void *wire_get_bytes(struct wire_reader *in, size_t *size); /* followed in memory by a '\0' */
/* Reads the number of items of at least item_size bytes each; bad if the rest cannot hold as many. */
uint32_t wire_get_count(struct wire_reader *in, size_t item_size);
bool wire_end(const struct wire_reader *in);      /* all was read, and none of it was bad */
bool wire_text_ok(const void *text, size_t size); /* valid UTF-8 without '\0' */

/* ---- Sending ---- */
bool wire_pair(int fds[2], struct err *err) MUST_CHECK; /* both CLOEXEC, buffers enlarged */
/* Blocks until all is sent; false if the other end is gone. Callers take turns (one lock for each wire). */
bool wire_send(int fd, enum wire_type type, uint32_t id, const void *body, size_t size) MUST_CHECK;
/* Adds a message to a packet, if there is room for it: a system call and a wake-up for many short messages. */
bool wire_pack(struct buf *packet, enum wire_type type, uint32_t id, const void *body,
	       size_t size) MUST_CHECK;
bool wire_send_packed(int fd, const struct buf *packet) MUST_CHECK; /* as wire_send */
/* Sends one packet without blocking, or fails with errno. Async-signal-safe: for the report of a crash. */
bool wire_send_now(int fd, enum wire_type type, uint32_t id, const void *body, size_t size) MUST_CHECK;

/* Packets that a slow worker has not read yet; bounded. A zeroed struct is empty. */
struct wire_outbox {
	struct wire_packet *first, *last;
	size_t bytes;
	struct buf packed; /* a packet that waits for more messages; none of its messages holds a secret */
};
#define WIRE_OUTBOX_MAX (8u << 20)
#define WIRE_PACKED_ENOUGH 4096u /* a fuller packet is sent at once: the worker has enough to begin with */
/* Queues the message and sends what fits now; false if the wire is broken or the bound is exceeded. Call
 * wire_flush when the descriptor is writable. */
bool wire_post(struct wire_outbox *outbox, int fd, enum wire_type type, uint32_t id, const void *body,
	       size_t size, struct err *err) MUST_CHECK;
/* Lets a short message wait for others, up to the next wire_post or wire_flush, which send them first. */
bool wire_post_packed(struct wire_outbox *outbox, int fd, enum wire_type type, uint32_t id, const void *body,
		      size_t size, struct err *err) MUST_CHECK;
bool wire_flush(struct wire_outbox *outbox, int fd, struct err *err) MUST_CHECK;
void wire_outbox_free(struct wire_outbox *outbox);

/* ---- Receiving ---- */
struct wire_message {
	enum wire_type type;
	uint32_t id;
	void *body; /* the receiver's, to be freed; followed by a '\0' */
	size_t size;
};
struct wire_inbox {
	struct wire_message part;
	size_t got;
	bool busy;
	uint8_t *rest; /* of a packet, behind the message that was received last; NULL if there is none */
	size_t rest_at, rest_size;
};
enum wire_got { WIRE_AGAIN, WIRE_MESSAGE, WIRE_CLOSED, WIRE_BAD };
/* Receives packets without blocking (MSG_DONTWAIT) until one message is whole, none is left or 16 were
 * read (WIRE_AGAIN: wait for the descriptor, as level-triggered epoll does). WIRE_MESSAGE: *out is whole, and
 * the caller frees out->body. WIRE_CLOSED: the other end is gone. WIRE_BAD: err says why. A WIRE_CRASH is
 * delivered even between the packets of another message. */
enum wire_got wire_receive(struct wire_inbox *inbox, int fd, struct wire_message *out, struct err *err);
/* Returns whether the last packet holds more: the descriptor does not report that. */
bool wire_has_rest(const struct wire_inbox *inbox);
void wire_inbox_free(struct wire_inbox *inbox);

#endif
