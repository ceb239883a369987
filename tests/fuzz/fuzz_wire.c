/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a hostile worker may write into its socket: bytes -> packets (u16 size, bytes) ->
 * wire_receive. Build with clang -fsanitize=fuzzer,address,undefined. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/wire.h"

/* Half of the packets get a good mark and a known type, so that the rest of the head is reached. */
static void send_packet(int fd, const uint8_t *data, size_t size)
{
	uint8_t packet[UINT16_MAX];
	memcpy(packet, data, size);
	if (size >= sizeof(struct wire_head) && data[0] % 2 == 0) {
		struct wire_head head;
		memcpy(&head, packet, sizeof(head));
		head.magic = 0x316D6B73;
		head.type = (uint16_t)(WIRE_HELLO + head.type % (WIRE_STEP - WIRE_HELLO + 1));
		head.zero = 0;
		memcpy(packet, &head, sizeof(head));
	}
	(void)!send(fd, packet, size, MSG_DONTWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fds[2];
	struct err err = {""};
	struct wire_inbox inbox = {0};
	struct wire_message message = {0};
	enum wire_got got = WIRE_AGAIN;
	if (!wire_pair(fds, &err))
		abort();
	while (size >= 2 && got != WIRE_BAD && got != WIRE_CLOSED) {
		size_t part = (size_t)(data[0] | data[1] << 8);
		data += 2;
		size -= 2;
		part = part < size ? part : size;
		send_packet(fds[0], data, part);
		data += part;
		size -= part;
		got = wire_receive(&inbox, fds[1], &message, &err);
		if (got == WIRE_BAD && err.text[0] == '\0')
			abort();
		if (got != WIRE_MESSAGE)
			continue;
		if (message.size > WIRE_RESULT_MAX || ((char *)message.body)[message.size] != '\0')
			abort();
		free(message.body);
	}
	wire_inbox_free(&inbox);
	close(fds[0]);
	close(fds[1]);
	return 0;
}
