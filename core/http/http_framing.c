/* SPDX-License-Identifier: Apache-2.0 */
/* http_gate: validates what libmicrohttpd reads from a connection: heads (http_head.c) and the framing of
 * bodies. http_connection_limits.c calls it for each read, on the loop's thread; each peer owns its gate.
 * libmicrohttpd sees only unambiguous bytes, in their plainest form. At the first fault the gate shuts:
 * libmicrohttpd gets a substitute end (a request of our own, or the rest of the body), so that our handler
 * answers, and no byte of what follows. Thus the library's own error pages cannot occur, and versions 0.9
 * and 1.0 behave alike. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http_gate.h"

#define HELD_MAX (HEAD_MAX + 1024) /* bytes that wait for the rest of a head or line */
#define CHUNK_LINE_MAX 1024
#define TRAILERS_MAX 8192
#define BLANK_LINES_MAX 4   /* before a request; old clients send one after a body */
#define DRAIN_MAX (1 << 20) /* bytes discarded in one read after a fault */

static void shut(struct gate *gate, int code, const char *why)
{
	static const char *const ends[] = {
		[GATE_HEAD] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		[GATE_BODY] = "",
		[GATE_CHUNK] = "0\r\n\r\n",
		[GATE_CHUNK_DATA] = "",
		[GATE_CHUNK_END] = "\r\n0\r\n\r\n",
		[GATE_TRAILERS] = "\r\n",
		[GATE_SHUT] = "",
	};
	const char *end = ends[gate->phase];
	if (gate->phase == GATE_HEAD) {
		gate->passed++;
		if (gate->method == HTTP_HEAD)
			end = "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	}
	gate->fault = code;
	gate->why = why;
	gate->fault_at = gate->passed;
	gate->phase = GATE_SHUT;
	gate->ending = end;
}

/* ---- Steps ---- */

/* Each step takes bytes from the front of what has arrived and returns their number, or 0 if more are needed.
 * It moves those that may pass to the front of them, and sets *kept to their number. */

static size_t take_head(struct gate *gate, char *bytes, size_t size, size_t *kept)
{
	if (bytes[0] == '\r' && size == 1)
		return 0;
	if (bytes[0] == '\r' && bytes[1] == '\n') {
		if (++gate->blanks <= BLANK_LINES_MAX)
			return 2;
		shut(gate, 400, "there are empty lines in place of a request");
		return 0;
	}
	struct head head;
	size_t took = head_take(bytes, size, &head);
	gate->method = head.method;
	if (took == 0) {
		if (head.fault != 0)
			shut(gate, head.fault, head.why);
		return 0;
	}
	if (head.length > gate->body_limit) {
		shut(gate, 413, "the body is larger than limits.request_body allows");
		return 0;
	}
	*kept = head.kept;
	gate->passed++;
	gate->blanks = 0;
	gate->left = head.length;
	gate->body = 0;
	gate->phase = head.chunked ? GATE_CHUNK : head.length > 0 ? GATE_BODY : GATE_HEAD;
	return took;
}

static size_t take_data(struct gate *gate, size_t size, size_t *kept)
{
	size_t took = gate->left < size ? (size_t)gate->left : size;
	gate->left -= took;
	if (gate->left == 0)
		gate->phase = gate->phase == GATE_BODY ? GATE_HEAD : GATE_CHUNK_END;
	*kept = took;
	return took;
}

/* Returns the length of a line without its end, or -1 if it is incomplete or refused. */
static ssize_t line_size(struct gate *gate, const char *bytes, size_t size, size_t most)
{
	const char *end = memchr(bytes, '\n', size);
	const char *cr = memchr(bytes, '\r', end != NULL ? (size_t)(end - bytes) : size);
	if (end == NULL ? cr != NULL && cr + 1 < bytes + size : cr == NULL || cr + 1 != end)
		shut(gate, 400, "a line of the chunked body does not end with CR LF");
	else if ((end != NULL ? (size_t)(end - bytes) : size) > most)
		shut(gate, 400, "a line of the chunked body is too long");
	return end == NULL || gate->phase == GATE_SHUT ? -1 : cr - bytes;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads a chunk's size, and drops its extension. */
static size_t take_chunk(struct gate *gate, char *bytes, size_t size, size_t *kept)
{
	uint64_t chunk = 0;
	size_t digits = 0;
	for (; digits < size && hex(bytes[digits]) >= 0; digits++)
		chunk = chunk << 4 | (uint64_t)hex(bytes[digits]);
	if (digits > 16 || (digits < size && (digits == 0 || strchr(";\r", bytes[digits]) == NULL))) {
		shut(gate, 400, "the size of a chunk is not a hexadecimal number");
		return 0;
	}
	ssize_t length = line_size(gate, bytes, size, CHUNK_LINE_MAX);
	if (length < 0)
		return 0;
	for (ssize_t i = 0; i < length; i++)
		if (((unsigned char)bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] == 0x7F) {
			shut(gate, 400, "the extension of a chunk has a control character");
			return 0;
		}
	if (chunk > gate->body_limit || gate->body + chunk > gate->body_limit) {
		shut(gate, 413, "the body is larger than limits.request_body allows");
		return 0;
	}
	gate->body += chunk;
	gate->left = chunk;
	gate->phase = chunk > 0 ? GATE_CHUNK_DATA : GATE_TRAILERS;
	gate->trailers = 0;
	memcpy(bytes + digits, "\r\n", 2);
	*kept = digits + 2;
	return (size_t)length + 2;
}

static size_t take_chunk_end(struct gate *gate, const char *bytes, size_t size, size_t *kept)
{
	if (bytes[0] != '\r' || (size > 1 && bytes[1] != '\n'))
		shut(gate, 400, "a chunk does not end after the bytes that its size announced");
	if (size == 1 || gate->phase == GATE_SHUT)
		return 0;
	gate->phase = GATE_CHUNK;
	*kept = 2;
	return 2;
}

/* Headers after a body are validated and dropped: nothing reads them. */
static size_t take_trailer(struct gate *gate, const char *bytes, size_t size, size_t *kept)
{
	ssize_t length = line_size(gate, bytes, size, TRAILERS_MAX);
	if (length < 0)
		return 0;
	if (length == 0) {
		gate->phase = GATE_HEAD;
		*kept = 2;
		return 2;
	}
	struct head head = {0};
	gate->trailers += (size_t)length + 2;
	if (gate->trailers > TRAILERS_MAX)
		shut(gate, 431, "the headers after the body are longer than 8 KiB");
	else if (!head_field(&head, bytes, (size_t)length))
		shut(gate, 400, "a header after the body is invalid");
	return gate->phase == GATE_SHUT ? 0 : (size_t)length + 2;
}

/* Moves the bytes that pass to the front and returns their number. *used is the number of bytes taken. */
static size_t scan(struct gate *gate, char *bytes, size_t size, size_t *used)
{
	size_t at = 0, out = 0, took, kept;
	for (took = 1; at < size && took > 0; at += took, out += kept) {
		char *from = bytes + at;
		size_t left = size - at;
		took = kept = 0;
		switch (gate->phase) {
		case GATE_HEAD:
			took = take_head(gate, from, left, &kept);
			break;
		case GATE_BODY:
		case GATE_CHUNK_DATA:
			took = take_data(gate, left, &kept);
			break;
		case GATE_CHUNK:
			took = take_chunk(gate, from, left, &kept);
			break;
		case GATE_CHUNK_END:
			took = take_chunk_end(gate, from, left, &kept);
			break;
		case GATE_TRAILERS:
			took = take_trailer(gate, from, left, &kept);
			break;
		case GATE_SHUT:
			break;
		}
		if (out != at)
			memmove(bytes + out, from, kept);
	}
	*used = at;
	return out;
}

/* ---- Held bytes ---- */

static size_t deliver(struct gate *gate, char *out, size_t room)
{
	size_t n = gate->ready < room ? gate->ready : room;
	if (n > 0) {
		memcpy(out, gate->held, n);
		memmove(gate->held, gate->held + n, gate->held_size - n);
		gate->held_size -= n;
		gate->ready -= n;
	}
	if (gate->held_size == 0 && gate->held != NULL) {
		free(gate->held);
		gate->held = NULL;
	}
	if (gate->ready == 0 && gate->ending != NULL) {
		size_t more = strnlen(gate->ending, room - n);
		memcpy(out + n, gate->ending, more);
		gate->ending += more;
		n += more;
	}
	return n;
}

static void hold(struct gate *gate, const char *bytes, size_t size)
{
	if (gate->held == NULL)
		gate->held = x_alloc(HELD_MAX);
	memcpy(gate->held + gate->held_size, bytes, size);
	gate->held_size += size;
}

/* Reads and discards what the client still sends after a fault: an unread byte would turn the end of the
 * connection into a reset, which may destroy our reply before the client has read it. */
static void drain(const struct gate_source *source)
{
	char waste[4096];
	for (size_t sum = 0; sum < DRAIN_MAX;) {
		ssize_t got = source->read(source->arg, waste, sizeof(waste));
		if (got <= 0)
			return;
		sum += (size_t)got;
	}
}

/* Reads once: straight into out, of which *passed bytes may pass, or to the end of the held bytes. Returns
 * what the source returned. *drained says that it had less than asked for. */
static ssize_t fill(struct gate *gate, const struct gate_source *source, char *out, size_t room,
		    size_t *passed, bool *drained)
{
	size_t used;
	bool direct = gate->held_size == 0;
	char *into = direct ? out : gate->held + gate->held_size;
	size_t wanted = !direct ? HELD_MAX - gate->held_size : room < HELD_MAX ? room : HELD_MAX;
	ssize_t got = source->read(source->arg, into, wanted);
	*passed = 0;
	*drained = got < (ssize_t)wanted;
	if (got <= 0)
		return got;
	if (direct) {
		*passed = scan(gate, out, (size_t)got, &used);
		if (used < (size_t)got && gate->phase != GATE_SHUT)
			hold(gate, out + used, (size_t)got - used);
		return got;
	}
	gate->held_size += (size_t)got;
	gate->ready = scan(gate, gate->held, gate->held_size, &used);
	size_t rest = gate->phase == GATE_SHUT ? 0 : gate->held_size - used;
	memmove(gate->held + gate->ready, gate->held + used, rest);
	gate->held_size = gate->ready + rest;
	return got;
}

ssize_t gate_read(struct gate *gate, const struct gate_source *source, char *out, size_t room)
{
	size_t n = 0, passed;
	for (bool drained = false;; n += passed) {
		n += deliver(gate, out + n, room - n);
		if (gate->phase == GATE_SHUT && n < room)
			drain(source);
		/* a short read makes libmicrohttpd wait for the next edge: do not return one while bytes are
		 * left */
		if (n == room || gate->phase == GATE_SHUT || (source->records ? n > 0 : drained))
			break;
		ssize_t got = fill(gate, source, out + n, room - n, &passed, &drained);
		if (got <= 0)
			return n > 0 ? (ssize_t)n : got;
	}
	errno = EAGAIN;
	return n > 0 ? (ssize_t)n : source->again;
}

bool gate_expire(struct gate *gate)
{
	if (gate->phase == GATE_SHUT || gate->phase == GATE_BODY || gate->phase == GATE_CHUNK_DATA)
		return false;
	shut(gate, 408, "the request was not complete within limits.header_timeout");
	gate->held_size = gate->ready;
	return true;
}

void gate_free(struct gate *gate)
{
	free(gate->held);
	*gate = (struct gate){0};
}
