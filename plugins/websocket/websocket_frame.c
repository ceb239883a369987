/* SPDX-License-Identifier: Apache-2.0 */
/* websocket_frame: frames, messages and close codes (RFC 6455, 5). Called by websocket.c and
 * websocket_link.c, on the check's thread. Pure. All input is untrusted: sizes are checked before anything is
 * stored. See websocket_frame.h. */
#include <stdlib.h>
#include <string.h>

#include "websocket_frame.h"
#include "text.h"

/* ---- Writing ---- */

size_t websocket_frame(enum websocket_opcode opcode, const void *bytes, size_t size,
		       const unsigned char mask[4], unsigned char *out)
{
	const unsigned char *from = bytes;
	size_t head = 2, width = size < 126 ? 0 : size <= 0xFFFF ? 2 : 8;
	out[0] = (unsigned char)(0x80 | opcode);
	out[1] = (unsigned char)(0x80 | (width == 0 ? size : width == 2 ? 126 : 127));
	for (size_t i = width; i > 0; i--)
		out[head++] = (unsigned char)((uint64_t)size >> (8 * (i - 1)));
	for (size_t i = 0; i < 4; i++)
		out[head++] = mask[i];
	for (size_t i = 0; i < size; i++)
		out[head + i] = from[i] ^ mask[i % 4];
	return head + size;
}

/* ---- Reading ---- */

static enum websocket_event bad(struct websocket_reader *reader, unsigned code, const char *words)
{
	reader->close_code = code;
	reader->bad = words;
	return WEBSOCKET_BAD;
}

static bool is_control(enum websocket_opcode opcode)
{
	return (opcode & 0x8) != 0;
}

static bool is_known(unsigned opcode)
{
	return opcode <= WEBSOCKET_OP_BINARY || (opcode >= WEBSOCKET_OP_CLOSE && opcode <= WEBSOCKET_OP_PONG);
}

/* Returns the length of the frame's head, from its first two bytes. */
static size_t head_length(const struct websocket_reader *reader)
{
	unsigned size = reader->head_size < 2 ? 0 : reader->head[1] & 0x7F;
	return size == 127 ? 10 : size == 126 ? 4 : 2;
}

/* Checks the first two bytes at once. */
static const char *check_head(const struct websocket_reader *reader)
{
	unsigned first = reader->head[0], opcode = first & 0x0F, size = reader->head[1] & 0x7F;
	if ((first & 0x70) != 0)
		return "sent a frame with reserved bits, which belong to extensions that were not negotiated";
	if (!is_known(opcode))
		return "sent a frame of a kind that does not exist";
	if ((reader->head[1] & 0x80) != 0)
		return "sent a masked frame, which only clients do";
	if (is_control((enum websocket_opcode)opcode)) {
		if ((first & 0x80) == 0)
			return "sent a control frame in pieces";
		return size > WEBSOCKET_CONTROL_MAX ? "sent a control frame of more than 125 bytes" : NULL;
	}
	if (opcode == WEBSOCKET_OP_MORE && reader->began == 0)
		return "sent the continuation of a message that it had not begun";
	if (opcode != WEBSOCKET_OP_MORE && reader->began != 0)
		return "began a message in the middle of another";
	return NULL;
}

static uint64_t length_of(const struct websocket_reader *reader)
{
	uint64_t size = 0;
	if (reader->head_size == 2)
		return reader->head[1] & 0x7F;
	for (size_t i = 2; i < reader->head_size; i++)
		size = size << 8 | reader->head[i];
	return size;
}

/* Grows the buffer for the frame's payload: with the bytes that arrive, not with the announced length. */
static enum websocket_event begin_frame(struct websocket_reader *reader)
{
	uint64_t size = length_of(reader);
	if (reader->head_size == 10 ? size <= 0xFFFF || size > INT64_MAX
				    : reader->head_size == 4 && size < 126)
		return bad(reader, 1002, "sent a frame whose length is not encoded minimally");
	reader->opcode = (enum websocket_opcode)(reader->head[0] & 0x0F);
	reader->last = (reader->head[0] & 0x80) != 0;
	reader->left = size;
	reader->head_size = 0;
	reader->in_payload = true;
	if (is_control(reader->opcode)) {
		reader->control_size = 0;
		return WEBSOCKET_NOTHING;
	}
	if (reader->opcode != WEBSOCKET_OP_MORE) {
		reader->began = reader->opcode;
		reader->message_size = 0;
	}
	if (reader->message_max > 0 && size > reader->message_max - reader->message_size)
		return bad(reader, WEBSOCKET_LARGE, "sent a message that is larger than what is read");
	return WEBSOCKET_NOTHING;
}

static bool keep(struct websocket_reader *reader, const unsigned char *bytes, size_t size)
{
	size_t room = reader->message_room == 0 ? 1024 : reader->message_room;
	while (room < reader->message_size + size)
		room *= 2;
	if (room > reader->message_room) {
		char *larger = realloc(reader->message, room);
		if (larger == NULL)
			return false;
		reader->message = larger;
		reader->message_room = room;
	}
	memcpy(reader->message + reader->message_size, bytes, size);
	reader->message_size += size;
	return true;
}

static bool is_utf8(const void *bytes, size_t size)
{
	const char *text = bytes;
	for (size_t length, at = 0; at < size; at += length)
		if ((length = text_character(text + at, size - at)) == 0)
			return false;
	return true;
}

/* Codes that a frame may carry: 7.4 and IANA's registry. */
static bool is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
	       (code >= 3000 && code <= 4999);
}

static enum websocket_event end_close(struct websocket_reader *reader)
{
	reader->close_code = 0;
	if (reader->control_size == 0)
		return WEBSOCKET_CLOSE;
	if (reader->control_size == 1)
		return bad(reader, 1002, "sent a close frame with half a code");
	reader->close_code = (unsigned)reader->control[0] << 8 | reader->control[1];
	if (!is_close_code(reader->close_code))
		return bad(reader, 1002, "sent a close frame with a code that must not be sent");
	if (!is_utf8(reader->control + 2, reader->control_size - 2))
		return bad(reader, 1007, "sent a close frame whose text is not UTF-8");
	return WEBSOCKET_CLOSE;
}

static enum websocket_event end_frame(struct websocket_reader *reader)
{
	reader->in_payload = false;
	if (reader->opcode == WEBSOCKET_OP_CLOSE)
		return end_close(reader);
	if (reader->opcode == WEBSOCKET_OP_PING)
		return WEBSOCKET_PING;
	if (reader->opcode == WEBSOCKET_OP_PONG)
		return WEBSOCKET_PONG;
	if (!reader->last)
		return WEBSOCKET_NOTHING;
	if (reader->message_max > 0 && reader->began == WEBSOCKET_OP_TEXT &&
	    !is_utf8(reader->message, reader->message_size))
		return bad(reader, 1007, "sent a text that is not UTF-8");
	reader->began = (enum websocket_opcode)0;
	return WEBSOCKET_MESSAGE;
}

/* Takes one byte of a frame's head. */
static enum websocket_event take_head(struct websocket_reader *reader, unsigned char byte)
{
	reader->head[reader->head_size++] = byte;
	if (reader->head_size == 2) {
		const char *words = check_head(reader);
		if (words != NULL)
			return bad(reader, 1002, words);
	}
	if (reader->head_size < 2 || reader->head_size < head_length(reader))
		return WEBSOCKET_NOTHING;
	return begin_frame(reader);
}

static bool take_payload(struct websocket_reader *reader, const unsigned char *bytes, size_t size)
{
	reader->left -= size;
	if (is_control(reader->opcode)) {
		memcpy(reader->control + reader->control_size, bytes, size);
		reader->control_size += size;
		return true;
	}
	return reader->message_max == 0 || keep(reader, bytes, size);
}

enum websocket_event websocket_read(struct websocket_reader *reader, const void *bytes, size_t size,
				    size_t *used)
{
	const unsigned char *at = bytes, *end = at + size;
	enum websocket_event event = reader->bad != NULL ? WEBSOCKET_BAD : WEBSOCKET_NOTHING;
	while (at < end && event == WEBSOCKET_NOTHING) {
		if (!reader->in_payload) {
			event = take_head(reader, *at++);
		} else {
			size_t part = (uint64_t)(end - at) < reader->left ? (size_t)(end - at)
									  : (size_t)reader->left;
			if (!take_payload(reader, at, part))
				event = bad(reader, 1011, "sent a message, and memory is exhausted");
			at += part;
		}
		if (event == WEBSOCKET_NOTHING && reader->in_payload && reader->left == 0)
			event = end_frame(reader);
	}
	*used = (size_t)(at - (const unsigned char *)bytes);
	return event;
}

bool websocket_is_halfway(const struct websocket_reader *reader)
{
	return reader->in_payload || reader->head_size > 0 || reader->began != 0;
}

void websocket_forget(struct websocket_reader *reader)
{
	free(reader->message);
	reader->message = NULL;
	reader->message_size = reader->message_room = 0;
}

void websocket_reader_free(struct websocket_reader *reader)
{
	free(reader->message);
	*reader = (struct websocket_reader){.message = NULL};
}

/* ---- Close codes ---- */

const char *websocket_close_name(unsigned code)
{
	static const struct {
		unsigned code;
		const char *name;
	} names[] = {{1000, "normal closure"},   {1001, "going away"},        {1002, "protocol error"},
		     {1003, "unsupported data"}, {1007, "invalid data"},      {1008, "policy violation"},
		     {1009, "message too big"},  {1010, "extension missing"}, {1011, "internal error"},
		     {1012, "service restart"},  {1013, "try again later"},   {1014, "bad gateway"},
		     {3000, "unauthorized"},     {3003, "forbidden"},         {3008, "timeout"}};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].code == code)
			return names[i].name;
	return "";
}
