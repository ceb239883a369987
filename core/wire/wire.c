/* SPDX-License-Identifier: Apache-2.0 */
/* The wire: bodies, packets, outbox, inbox. Called by process on the daemon's thread, and in a worker by its
 * main thread and by the threads that send, one at a time. Owns what its structs hold. */
#include "wire.h"
#include "base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MAGIC 0x316D6B73u /* "skm1" */
#define PAYLOAD_MAX (WIRE_PACKET_MAX - sizeof(struct wire_head))
#define PACKETS_A_TURN 16 /* so that one long message does not hold up the daemon's loop */

struct wire_packet {
	struct wire_packet *next;
	size_t size;
	uint8_t bytes[];
};

static size_t message_max(unsigned type)
{
	if (type == WIRE_RESULT)
		return WIRE_RESULT_MAX;
	if (type == WIRE_REPLY)
		return WIRE_REPLY_MAX;
	if (type == WIRE_CRASH)
		return 1024;
	bool known =
		(type >= WIRE_START && type <= WIRE_VALIDATE) || (type >= WIRE_HELLO && type <= WIRE_STALE);
	return known ? WIRE_MESSAGE_MAX : 0;
}

bool wire_text_ok(const void *text, size_t size)
{
	return utf8_valid(text, size) == size;
}

/* ---- Bodies ---- */

void wire_put_u8(struct buf *body, uint8_t value)
{
	buf_add(body, &value, sizeof(value));
}

void wire_put_u32(struct buf *body, uint32_t value)
{
	buf_add(body, &value, sizeof(value));
}

void wire_put_u64(struct buf *body, uint64_t value)
{
	buf_add(body, &value, sizeof(value));
}

void wire_put_f64(struct buf *body, double value)
{
	buf_add(body, &value, sizeof(value));
}

/* A text crosses as its size + 1 (0 for NULL), its bytes and a '\0'. */
void wire_put_text(struct buf *body, const char *text)
{
	if (text == NULL) {
		wire_put_u32(body, 0);
		return;
	}
	size_t place = body->size;
	wire_put_u32(body, 0);
	const uint8_t *at = (const uint8_t *)text, *end = at + strlen(text);
	for (;;) {
		size_t good = utf8_valid(at, (size_t)(end - at));
		buf_add(body, at, good);
		at += good;
		if (at == end)
			break;
		buf_add(body, "\xEF\xBF\xBD", 3);
		at++;
	}
	uint32_t size = (uint32_t)(body->size - place - sizeof(size) + 1);
	memcpy(body->data + place, &size, sizeof(size));
	wire_put_u8(body, 0);
}

void wire_put_bytes(struct buf *body, const void *bytes, size_t size)
{
	wire_put_u32(body, (uint32_t)size);
	buf_add(body, bytes, size);
	wire_put_u8(body, 0);
}

struct wire_reader wire_reader(const void *body, size_t size)
{
	const uint8_t *at = body;
	return (struct wire_reader){.at = at, .end = size > 0 ? at + size : at};
}

static const uint8_t *take(struct wire_reader *in, size_t size)
{
	if (in->bad || (size_t)(in->end - in->at) < size) {
		in->bad = true;
		return NULL;
	}
	const uint8_t *at = in->at;
	in->at += size;
	return at;
}

#define GET(type, name)                                                                                      \
	type name(struct wire_reader *in)                                                                    \
	{                                                                                                    \
		type value = 0;                                                                              \
		const uint8_t *at = take(in, sizeof(value));                                                 \
		if (at != NULL)                                                                              \
			memcpy(&value, at, sizeof(value));                                                   \
		return value;                                                                                \
	}
GET(uint8_t, wire_get_u8)
GET(uint32_t, wire_get_u32)
GET(uint64_t, wire_get_u64)
GET(double, wire_get_f64)

const char *wire_get_text(struct wire_reader *in)
{
	uint32_t size = wire_get_u32(in);
	if (size == 0)
		return NULL;
	const uint8_t *text = take(in, size);
	if (text != NULL && (text[size - 1] != '\0' || !wire_text_ok(text, size - 1))) {
		in->bad = true;
		text = NULL;
	}
	return (const char *)text;
}

const char *wire_get_text_or_empty(struct wire_reader *in)
{
	const char *text = wire_get_text(in);
	return text != NULL ? text : "";
}

const void *wire_get_bytes(struct wire_reader *in, size_t *size)
{
	uint32_t count = wire_get_u32(in);
	const uint8_t *bytes = take(in, (size_t)count + 1);
	if (bytes != NULL && bytes[count] != '\0') {
		in->bad = true;
		bytes = NULL;
	}
	*size = bytes != NULL ? count : 0;
	return bytes;
}

uint32_t wire_get_count(struct wire_reader *in, size_t item_size)
{
	uint32_t count = wire_get_u32(in);
	if (in->bad || count > (size_t)(in->end - in->at) / item_size) {
		in->bad = true;
		return 0;
	}
	return count;
}

bool wire_end(const struct wire_reader *in)
{
	return !in->bad && in->at == in->end;
}

/* ---- Sending ---- */

bool wire_pair(int fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return err_set(err, "cannot make a socket pair: %s", strerror(errno));
	int size = 1 << 20; /* the kernel grants what its limits allow; this only saves time */
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return true;
}

static struct wire_head head_of(enum wire_type type, uint32_t id, size_t size)
{
	return (struct wire_head){.magic = MAGIC, .size = (uint32_t)size, .id = id, .type = (uint16_t)type};
}

/* Sends one packet; flags: MSG_DONTWAIT or 0. */
static bool send_packet(int fd, const struct wire_head *head, const void *payload, size_t size, int flags)
{
	struct iovec parts[2] = {{.iov_base = (void *)(uintptr_t)head, .iov_len = sizeof(*head)},
				 {.iov_base = (void *)(uintptr_t)payload, .iov_len = size}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = size > 0 ? 2 : 1};
	for (;;) {
		if (sendmsg(fd, &message, flags | MSG_NOSIGNAL) >= 0)
			return true;
		if (errno != EINTR)
			return false;
	}
}

static bool send_blocking(int fd, const struct wire_head *head, const void *payload, size_t size)
{
	while (!send_packet(fd, head, payload, size, 0)) {
		if (errno != EAGAIN && errno != ENOBUFS)
			return false;
		struct pollfd wait = {.fd = fd, .events = POLLOUT};
		(void)poll(&wait, 1, errno == ENOBUFS ? 10 : 1000);
	}
	return true;
}

bool wire_send(int fd, enum wire_type type, uint32_t id, const void *body, size_t size)
{
	if (size > message_max(type)) {
		errno = EMSGSIZE;
		return false;
	}
	struct wire_head head = head_of(type, id, size);
	const uint8_t *at = body;
	do {
		size_t part = size < PAYLOAD_MAX ? size : PAYLOAD_MAX;
		if (!send_blocking(fd, &head, at, part))
			return false;
		at = size > 0 ? at + part : at;
		size -= part;
	} while (size > 0);
	return true;
}

bool wire_pack(struct buf *packet, enum wire_type type, uint32_t id, const void *body, size_t size)
{
	struct wire_head head = head_of(type, id, size);
	if (packet->size + sizeof(head) + size > WIRE_PACKET_MAX)
		return false;
	buf_add(packet, &head, sizeof(head));
	buf_add(packet, body, size);
	return true;
}

bool wire_send_packed(int fd, const struct buf *packet)
{
	struct wire_head first;
	memcpy(&first, packet->data, sizeof(first));
	return send_blocking(fd, &first, packet->data + sizeof(first), packet->size - sizeof(first));
}

bool wire_send_now(int fd, enum wire_type type, uint32_t id, const void *body, size_t size)
{
	struct wire_head head = head_of(type, id, size);
	return size <= PAYLOAD_MAX && send_packet(fd, &head, body, size, MSG_DONTWAIT);
}

static void queue(struct wire_outbox *outbox, const struct wire_head *head, const void *payload, size_t size)
{
	struct wire_packet *packet = x_alloc(sizeof(*packet) + sizeof(*head) + size);
	packet->size = sizeof(*head) + size;
	memcpy(packet->bytes, head, sizeof(*head));
	if (size > 0)
		memcpy(packet->bytes + sizeof(*head), payload, size);
	if (outbox->last != NULL)
		outbox->last->next = packet;
	else
		outbox->first = packet;
	outbox->last = packet;
	outbox->bytes += packet->size;
}

static bool must_wait(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

/* Sends the packet, or queues it behind those that wait. */
static bool post_packet(struct wire_outbox *outbox, int fd, const struct wire_head *head, const void *payload,
			size_t size, struct err *err)
{
	if (outbox->first == NULL && send_packet(fd, head, payload, size, MSG_DONTWAIT))
		return true;
	if (outbox->first == NULL && !must_wait())
		return err_set(err, "cannot write to the worker: %s", strerror(errno));
	queue(outbox, head, payload, size);
	return true;
}

static bool post_packed(struct wire_outbox *outbox, int fd, struct err *err)
{
	struct wire_head first;
	size_t size = outbox->packed.size;
	if (size == 0)
		return true;
	outbox->packed.size = 0;
	memcpy(&first, outbox->packed.data, sizeof(first));
	return post_packet(outbox, fd, &first, outbox->packed.data + sizeof(first), size - sizeof(first),
			   err);
}

bool wire_post(struct wire_outbox *outbox, int fd, enum wire_type type, uint32_t id, const void *body,
	       size_t size, struct err *err)
{
	if (size > message_max(type))
		return err_set(err, "a message of %zu bytes is too long for the wire", size);
	if (outbox->bytes + size > WIRE_OUTBOX_MAX)
		return err_set(err, "the worker does not read: %zu bytes are waiting for it", outbox->bytes);
	if (!post_packed(outbox, fd, err))
		return false;
	struct wire_head head = head_of(type, id, size);
	const uint8_t *at = body;
	do {
		size_t part = size < PAYLOAD_MAX ? size : PAYLOAD_MAX;
		if (!post_packet(outbox, fd, &head, at, part, err))
			return false;
		at = size > 0 ? at + part : at;
		size -= part;
	} while (size > 0);
	return true;
}

bool wire_post_packed(struct wire_outbox *outbox, int fd, enum wire_type type, uint32_t id, const void *body,
		      size_t size, struct err *err)
{
	if (outbox->bytes + outbox->packed.size < WIRE_OUTBOX_MAX &&
	    outbox->packed.size < WIRE_PACKED_ENOUGH && wire_pack(&outbox->packed, type, id, body, size))
		return true;
	return wire_post(outbox, fd, type, id, body, size, err);
}

/* The packet may hold secrets. */
static void drop_first(struct wire_outbox *outbox)
{
	struct wire_packet *packet = outbox->first;
	outbox->first = packet->next;
	if (outbox->first == NULL)
		outbox->last = NULL;
	outbox->bytes -= packet->size;
	explicit_bzero(packet->bytes, packet->size);
	free(packet);
}

bool wire_flush(struct wire_outbox *outbox, int fd, struct err *err)
{
	if (!post_packed(outbox, fd, err))
		return false;
	while (outbox->first != NULL) {
		const struct wire_packet *packet = outbox->first;
		if (send(fd, packet->bytes, packet->size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			drop_first(outbox);
		else if (errno != EINTR)
			return must_wait() || err_set(err, "cannot write to the worker: %s", strerror(errno));
	}
	return true;
}

void wire_outbox_free(struct wire_outbox *outbox)
{
	while (outbox->first != NULL)
		drop_first(outbox);
	buf_free(&outbox->packed);
}

/* ---- Receiving ---- */

static enum wire_got report_bad(struct err *err, const char *what, unsigned type, size_t size)
{
	err_set(err, "broke the rules of the wire: %s (type %u, %zu bytes)", what, type, size);
	return WIRE_BAD;
}

static void *copy_body(const void *bytes, size_t size, size_t room)
{
	uint8_t *body = x_realloc(NULL, room + 1);
	if (size > 0)
		memcpy(body, bytes, size);
	body[room] = '\0';
	return body;
}

static enum wire_got check_head(const struct wire_inbox *inbox, const struct wire_head *head, size_t payload,
				struct err *err)
{
	const struct wire_message *part = &inbox->part;
	size_t max = message_max(head->type);
	if (head->magic != MAGIC || head->zero != 0)
		return report_bad(err, "a packet without the magic number", head->type, payload);
	if (max == 0)
		return report_bad(err, "unknown type of message", head->type, payload);
	if (head->size > max)
		return report_bad(err, "message too long", head->type, head->size);
	if (head->type == WIRE_CRASH)
		return payload == head->size && inbox->rest == NULL
			       ? WIRE_MESSAGE
			       : report_bad(err, "a crash report that is cut", head->type, payload);
	if (inbox->busy && (head->type != part->type || head->id != part->id || head->size != part->size))
		return report_bad(err, "a message within another", head->type, head->size);
	if (!inbox->busy && payload >= head->size)
		return WIRE_MESSAGE; /* others may follow in the packet */
	if (payload == 0 || (inbox->busy && payload > head->size - inbox->got))
		return report_bad(err, "a packet that does not fit its message", head->type, payload);
	return WIRE_MESSAGE;
}

/* Takes a message, or a part of one, from the front of a packet, and sets *used to its size. Returns WIRE_AGAIN and sets
 * *part if more of the message is to come. */
static enum wire_got take_packet(struct wire_inbox *inbox, const uint8_t *bytes, size_t got, size_t *used,
				 struct wire_message *out, bool *part, struct err *err)
{
	struct wire_head head;
	if (got < sizeof(head) || got > WIRE_PACKET_MAX)
		return report_bad(err, "a packet too short or too long", 0, got);
	memcpy(&head, bytes, sizeof(head));
	const uint8_t *payload = bytes + sizeof(head);
	size_t size = got - sizeof(head);
	if (check_head(inbox, &head, size, err) == WIRE_BAD)
		return WIRE_BAD;
	*used = got;
	if (head.type == WIRE_CRASH || (!inbox->busy && head.size <= size)) {
		*used = sizeof(head) + head.size;
		*out = (struct wire_message){.type = head.type,
					     .id = head.id,
					     .size = head.size,
					     .body = copy_body(payload, head.size, head.size)};
		return WIRE_MESSAGE;
	}
	if (!inbox->busy) {
		inbox->part = (struct wire_message){.type = head.type,
						    .id = head.id,
						    .size = head.size,
						    .body = copy_body(payload, size, head.size)};
		inbox->busy = true;
		inbox->got = size;
	} else {
		memcpy((uint8_t *)inbox->part.body + inbox->got, payload, size);
		inbox->got += size;
	}
	*part = inbox->got < inbox->part.size;
	if (*part)
		return WIRE_AGAIN;
	*out = inbox->part;
	inbox->part = (struct wire_message){0};
	inbox->busy = false;
	return WIRE_MESSAGE;
}

/* Secrets in it must not stay in memory. */
static void drop_rest(struct wire_inbox *inbox)
{
	if (inbox->rest != NULL)
		explicit_bzero(inbox->rest, inbox->rest_size);
	free(inbox->rest);
	inbox->rest = NULL;
}

bool wire_has_rest(const struct wire_inbox *inbox)
{
	return inbox->rest != NULL;
}

static enum wire_got take_rest(struct wire_inbox *inbox, struct wire_message *out, bool *part,
			       struct err *err)
{
	size_t used = 0, left = inbox->rest_size - inbox->rest_at;
	enum wire_got what = take_packet(inbox, inbox->rest + inbox->rest_at, left, &used, out, part, err);
	inbox->rest_at += used;
	if (what == WIRE_BAD || used == left)
		drop_rest(inbox);
	return what;
}

/* Receives one packet. A secret in it must not stay on the stack. */
static enum wire_got receive_packet(struct wire_inbox *inbox, int fd, struct wire_message *out, bool *part,
				    struct err *err)
{
	uint8_t bytes[WIRE_PACKET_MAX];
	ssize_t got;
	size_t used = 0;
	*part = false;
	if (inbox->rest != NULL)
		return take_rest(inbox, out, part, err);
	do
		got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return WIRE_AGAIN;
	if (got <= 0)
		return WIRE_CLOSED;
	enum wire_got what = take_packet(inbox, bytes, (size_t)got, &used, out, part, err);
	if (what != WIRE_BAD && used < (size_t)got) {
		inbox->rest = copy_body(bytes + used, (size_t)got - used, (size_t)got - used);
		inbox->rest_at = 0;
		inbox->rest_size = (size_t)got - used;
	}
	explicit_bzero(bytes, (size_t)got < sizeof(bytes) ? (size_t)got : sizeof(bytes));
	return what;
}

enum wire_got wire_receive(struct wire_inbox *inbox, int fd, struct wire_message *out, struct err *err)
{
	bool part = true;
	enum wire_got got = WIRE_AGAIN;
	for (int turn = 0; part && turn < PACKETS_A_TURN; turn++)
		got = receive_packet(inbox, fd, out, &part, err);
	return got;
}

void wire_inbox_free(struct wire_inbox *inbox)
{
	if (inbox->part.body != NULL)
		explicit_bzero(inbox->part.body, inbox->got);
	free(inbox->part.body);
	drop_rest(inbox);
	*inbox = (struct wire_inbox){0};
}
