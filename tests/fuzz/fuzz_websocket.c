/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a hostile WebSocket server sends: frames, in pieces that must make no difference, and the
 * answer to the handshake. */
#include <stdlib.h>

#include "../../plugins/websocket/websocket_frame.c"
#include "../../plugins/websocket/websocket_handshake.c"

/* Stands in for OpenSSL's: what the key is makes no difference here. */
int EVP_EncodeBlock(unsigned char *to, const unsigned char *from, int size)
{
	int length = (size + 2) / 3 * 4;
	for (int i = 0; i < length; i++)
		to[i] = 'A' + (from[i % size] & 15);
	to[length] = '\0';
	return length;
}

/* A number that stands for all that was read. */
static uint64_t digest(const uint8_t *bytes, size_t size, size_t step, size_t max)
{
	struct websocket_reader reader = {.message_max = max};
	enum websocket_event event = WEBSOCKET_NOTHING;
	uint64_t sum = 0;
	for (size_t at = 0; at < size && event != WEBSOCKET_BAD;) {
		size_t part = size - at < step ? size - at : step, used;
		event = websocket_read(&reader, bytes + at, part, &used);
		at += used;
		if (used > part || (used < part && event == WEBSOCKET_NOTHING) || reader.message_size > max ||
		    reader.control_size > WEBSOCKET_CONTROL_MAX ||
		    (event == WEBSOCKET_BAD) != (reader.bad != NULL))
			abort();
		if (event == WEBSOCKET_NOTHING)
			continue;
		sum = sum * 31 + event * 7 + reader.control_size + reader.close_code;
		for (size_t i = 0; event == WEBSOCKET_MESSAGE && i < reader.message_size; i++)
			sum = sum * 31 + (unsigned char)reader.message[i];
	}
	sum = sum * 2 + websocket_is_halfway(&reader);
	websocket_reader_free(&reader);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const char *const words[] = {"chat", "v2.chat"};
	struct skymon_texts asked = {words, 2};
	if (size < 2)
		return 0;
	size_t step = bytes[0] % 16 + 1u, max = (size_t)bytes[1] * 8;
	if (digest(bytes + 2, size - 2, size, max) != digest(bytes + 2, size - 2, step, max))
		abort();
	struct websocket_answer answer;
	if (size > 2 &&
	    websocket_answered((const char *)bytes + 2, size - 2, "dGhlIHNhbXBsZSBub25jZQ==", &asked,
			       &answer) == WEBSOCKET_AGREED &&
	    (answer.code != 101 || answer.size > size - 2 || answer.subprotocol == NULL))
		abort();
	return 0;
}
