/* SPDX-License-Identifier: Apache-2.0 */
/* The one decoder of UTF-8 in core. Called by the readers of the wire and of YAML, and by the printer of
 * JSON; any thread. */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_length(const void *text, size_t size)
{
	const uint8_t *at = text;
	uint8_t first = at[0];
	if (first < 0x80)
		return 1;
	size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
	for (size_t i = 1; i < length; i++)
		if (i >= size || (at[i] & 0xC0) != 0x80)
			return 0;
	if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) ||
	    (first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] > 0x8F))
		return 0;
	return length;
}

/* Eight bytes at a time while they are ASCII and none is '\0'. */
size_t utf8_valid(const void *text, size_t size)
{
	const uint8_t *bytes = text;
	size_t at = 0;
	while (at < size) {
		uint64_t eight;
		while (size - at >= 8) {
			memcpy(&eight, bytes + at, 8);
			if (((eight | (eight - 0x0101010101010101u)) & 0x8080808080808080u) != 0)
				break;
			at += 8;
		}
		size_t length = at < size && bytes[at] != '\0' ? utf8_length(bytes + at, size - at) : 0;
		if (length == 0)
			break;
		at += length;
	}
	return at;
}
