/* SPDX-License-Identifier: Apache-2.0 */
/* http_framing: validates what libmicrohttpd reads from a connection: heads (http_head.c) and the framing of
 * bodies. http_connection_limits.c calls it for each read, on the loop's thread; each peer owns its framing.
 * libmicrohttpd sees only unambiguous bytes, in their plainest form. At the first fault the check shuts:
 * libmicrohttpd gets a substitute end (a request of our own, or the rest of the body), so that our handler
 * answers, and no byte of what follows. Thus the library's own error pages cannot occur, and versions 0.9
 * and 1.0 behave alike. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http_framing.h"

#define HELD_MAX (HEAD_MAX + 1024) /* bytes that wait for the rest of a head or line */
#define CHUNK_LINE_MAX 1024
#define TRAILERS_MAX 8192
#define BLANK_LINES_MAX 4   /* before a request; old clients send one after a body */
#define DRAIN_MAX (1 << 20) /* bytes discarded in one read after a fault */

static void shut(struct framing *framing, int code, const char *why)
{
	static const char *const ends[] = {
		[FRAMING_HEAD] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		[FRAMING_BODY] = "",
		[FRAMING_CHUNK] = "0\r\n\r\n",
		[FRAMING_CHUNK_DATA] = "",
		[FRAMING_CHUNK_END] = "\r\n0\r\n\r\n",
		[FRAMING_TRAILERS] = "\r\n",
		[FRAMING_SHUT] = "",
	};
	const char *end = ends[framing->phase];
	if (framing->phase == FRAMING_HEAD) {
		framing->passed++;
		if (framing->method == HTTP_HEAD)
			end = "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	}
	framing->fault = code;
	framing->why = why;
	framing->fault_at = framing->passed;
	framing->phase = FRAMING_SHUT;
	framing->ending = end;
}

/* ---- Steps ---- */

/* Each step takes bytes from the front of what has arrived and returns their number, or 0 if more are needed.
 * It moves those that may pass to the front of them, and sets *kept to their number. */

static size_t take_head(struct framing *framing, char *bytes, size_t size, size_t *kept)
{
	if (bytes[0] == '\r' && size == 1)
		return 0;
	if (bytes[0] == '\r' && bytes[1] == '\n') {
		if (++framing->blanks <= BLANK_LINES_MAX)
			return 2;
		shut(framing, 400, "there are empty lines in place of a request");
		return 0;
	}
	struct head head;
	size_t took = head_take(bytes, size, &head);
	framing->method = head.method;
	if (took == 0) {
		if (head.fault != 0)
			shut(framing, head.fault, head.why);
		return 0;
	}
	if (head.length > framing->body_limit) {
		shut(framing, 413, "the body is larger than limits.request_body allows");
		return 0;
	}
	*kept = head.kept;
	framing->passed++;
	framing->blanks = 0;
	framing->left = head.length;
	framing->body = 0;
	framing->phase = head.chunked ? FRAMING_CHUNK : head.length > 0 ? FRAMING_BODY : FRAMING_HEAD;
	return took;
}

static size_t take_data(struct framing *framing, size_t size, size_t *kept)
{
	size_t took = framing->left < size ? (size_t)framing->left : size;
	framing->left -= took;
	if (framing->left == 0)
		framing->phase = framing->phase == FRAMING_BODY ? FRAMING_HEAD : FRAMING_CHUNK_END;
	*kept = took;
	return took;
}

/* Returns the length of a line without its end, or -1 if it is incomplete or refused. */
static ssize_t line_size(struct framing *framing, const char *bytes, size_t size, size_t most)
{
	const char *end = memchr(bytes, '\n', size);
	const char *cr = memchr(bytes, '\r', end != NULL ? (size_t)(end - bytes) : size);
	if (end == NULL ? cr != NULL && cr + 1 < bytes + size : cr == NULL || cr + 1 != end)
		shut(framing, 400, "a line of the chunked body does not end with CR LF");
	else if ((end != NULL ? (size_t)(end - bytes) : size) > most)
		shut(framing, 400, "a line of the chunked body is too long");
	return end == NULL || framing->phase == FRAMING_SHUT ? -1 : cr - bytes;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads a chunk's size, and drops its extension. */
static size_t take_chunk(struct framing *framing, char *bytes, size_t size, size_t *kept)
{
	uint64_t chunk = 0;
	size_t digits = 0;
	for (; digits < size && hex(bytes[digits]) >= 0; digits++)
		chunk = chunk << 4 | (uint64_t)hex(bytes[digits]);
	if (digits > 16 || (digits < size && (digits == 0 || strchr(";\r", bytes[digits]) == NULL))) {
		shut(framing, 400, "the size of a chunk is not a hexadecimal number");
		return 0;
	}
	ssize_t length = line_size(framing, bytes, size, CHUNK_LINE_MAX);
	if (length < 0)
		return 0;
	for (ssize_t i = 0; i < length; i++)
		if (((unsigned char)bytes[i] < ' ' && bytes[i] != '\t') || bytes[i] == 0x7F) {
			shut(framing, 400, "the extension of a chunk has a control character");
			return 0;
		}
	if (chunk > framing->body_limit || framing->body + chunk > framing->body_limit) {
		shut(framing, 413, "the body is larger than limits.request_body allows");
		return 0;
	}
	framing->body += chunk;
	framing->left = chunk;
	framing->phase = chunk > 0 ? FRAMING_CHUNK_DATA : FRAMING_TRAILERS;
	framing->trailers = 0;
	memcpy(bytes + digits, "\r\n", 2);
	*kept = digits + 2;
	return (size_t)length + 2;
}

static size_t take_chunk_end(struct framing *framing, const char *bytes, size_t size, size_t *kept)
{
	if (bytes[0] != '\r' || (size > 1 && bytes[1] != '\n'))
		shut(framing, 400, "a chunk does not end after the bytes that its size announced");
	if (size == 1 || framing->phase == FRAMING_SHUT)
		return 0;
	framing->phase = FRAMING_CHUNK;
	*kept = 2;
	return 2;
}

/* Headers after a body are validated and dropped: nothing reads them. */
static size_t take_trailer(struct framing *framing, const char *bytes, size_t size, size_t *kept)
{
	ssize_t length = line_size(framing, bytes, size, TRAILERS_MAX);
	if (length < 0)
		return 0;
	if (length == 0) {
		framing->phase = FRAMING_HEAD;
		*kept = 2;
		return 2;
	}
	struct head head = {0};
	framing->trailers += (size_t)length + 2;
	if (framing->trailers > TRAILERS_MAX)
		shut(framing, 431, "the headers after the body are longer than 8 KiB");
	else if (!head_field(&head, bytes, (size_t)length))
		shut(framing, 400, "a header after the body is invalid");
	return framing->phase == FRAMING_SHUT ? 0 : (size_t)length + 2;
}

/* Moves the bytes that pass to the front and returns their number. *used is the number of bytes taken. */
static size_t scan(struct framing *framing, char *bytes, size_t size, size_t *used)
{
	size_t at = 0, out = 0, took, kept;
	for (took = 1; at < size && took > 0; at += took, out += kept) {
		char *from = bytes + at;
		size_t left = size - at;
		took = kept = 0;
		switch (framing->phase) {
		case FRAMING_HEAD:
			took = take_head(framing, from, left, &kept);
			break;
		case FRAMING_BODY:
		case FRAMING_CHUNK_DATA:
			took = take_data(framing, left, &kept);
			break;
		case FRAMING_CHUNK:
			took = take_chunk(framing, from, left, &kept);
			break;
		case FRAMING_CHUNK_END:
			took = take_chunk_end(framing, from, left, &kept);
			break;
		case FRAMING_TRAILERS:
			took = take_trailer(framing, from, left, &kept);
			break;
		case FRAMING_SHUT:
			break;
		}
		if (out != at)
			memmove(bytes + out, from, kept);
	}
	*used = at;
	return out;
}

/* ---- Held bytes ---- */

static size_t deliver(struct framing *framing, char *out, size_t room)
{
	size_t n = framing->ready < room ? framing->ready : room;
	if (n > 0) {
		memcpy(out, framing->held, n);
		memmove(framing->held, framing->held + n, framing->held_size - n);
		framing->held_size -= n;
		framing->ready -= n;
	}
	if (framing->held_size == 0 && framing->held != NULL) {
		free(framing->held);
		framing->held = NULL;
	}
	if (framing->ready == 0 && framing->ending != NULL) {
		size_t more = strnlen(framing->ending, room - n);
		memcpy(out + n, framing->ending, more);
		framing->ending += more;
		n += more;
	}
	return n;
}

static void hold(struct framing *framing, const char *bytes, size_t size)
{
	if (framing->held == NULL)
		framing->held = x_alloc(HELD_MAX);
	memcpy(framing->held + framing->held_size, bytes, size);
	framing->held_size += size;
}

/* Reads and discards what the client still sends after a fault: an unread byte would turn the end of the
 * connection into a reset, which may destroy our reply before the client has read it. */
static void drain(const struct framing_source *source)
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
static ssize_t fill(struct framing *framing, const struct framing_source *source, char *out, size_t room,
		    size_t *passed, bool *drained)
{
	size_t used;
	bool direct = framing->held_size == 0;
	char *into = direct ? out : framing->held + framing->held_size;
	size_t wanted = !direct ? HELD_MAX - framing->held_size : room < HELD_MAX ? room : HELD_MAX;
	ssize_t got = source->read(source->arg, into, wanted);
	*passed = 0;
	*drained = got < (ssize_t)wanted;
	if (got <= 0)
		return got;
	if (direct) {
		*passed = scan(framing, out, (size_t)got, &used);
		if (used < (size_t)got && framing->phase != FRAMING_SHUT)
			hold(framing, out + used, (size_t)got - used);
		return got;
	}
	framing->held_size += (size_t)got;
	framing->ready = scan(framing, framing->held, framing->held_size, &used);
	size_t rest = framing->phase == FRAMING_SHUT ? 0 : framing->held_size - used;
	memmove(framing->held + framing->ready, framing->held + used, rest);
	framing->held_size = framing->ready + rest;
	return got;
}

ssize_t framing_read(struct framing *framing, const struct framing_source *source, char *out, size_t room)
{
	size_t n = 0, passed;
	for (bool drained = false;; n += passed) {
		n += deliver(framing, out + n, room - n);
		if (framing->phase == FRAMING_SHUT && n < room)
			drain(source);
		/* a short read makes libmicrohttpd wait for the next edge: do not return one while bytes are
		 * left */
		if (n == room || framing->phase == FRAMING_SHUT || (source->records ? n > 0 : drained))
			break;
		ssize_t got = fill(framing, source, out + n, room - n, &passed, &drained);
		if (got <= 0)
			return n > 0 ? (ssize_t)n : got;
	}
	errno = EAGAIN;
	return n > 0 ? (ssize_t)n : source->again;
}

bool framing_expire(struct framing *framing)
{
	if (framing->phase == FRAMING_SHUT || framing->phase == FRAMING_BODY ||
	    framing->phase == FRAMING_CHUNK_DATA)
		return false;
	shut(framing, 408, "the request was not complete within limits.header_timeout");
	framing->held_size = framing->ready;
	return true;
}

void framing_free(struct framing *framing)
{
	free(framing->held);
	*framing = (struct framing){0};
}
