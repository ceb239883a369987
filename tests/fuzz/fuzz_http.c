/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a client through the framing check before libmicrohttpd: what passes and which fault is found must not
 * depend on how the bytes arrive. The first byte is how many come at once. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "http/http_framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct trickle {
	const uint8_t *bytes;
	size_t size, at, batch;
};

static ssize_t trickle_read(void *arg, char *out, size_t room)
{
	struct trickle *from = arg;
	size_t n = from->size - from->at;
	n = n < room ? n : room;
	n = n < from->batch ? n : from->batch;
	memcpy(out, from->bytes + from->at, n);
	from->at += n;
	from->batch -= n;
	return n > 0 ? (ssize_t)n : -1;
}

static struct buf pass(const uint8_t *bytes, size_t size, size_t step, size_t room, int *fault)
{
	struct buf all = {0};
	struct trickle from = {.bytes = bytes, .size = size};
	const struct framing_source source = {.read = trickle_read, .arg = &from, .again = -1};
	struct framing framing = {.body_limit = 4096};
	while (from.at < size) {
		from.batch = step;
		ssize_t got;
		do {
			got = framing_read(&framing, &source, buf_room(&all, room), room);
			all.size += got > 0 ? (size_t)got : 0;
		} while (got == (ssize_t)room);
	}
	*fault = framing.fault;
	framing_free(&framing);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	int whole_fault;
	struct buf whole = pass(data + 1, size - 1, size, 65536, &whole_fault);
	int fault;
	struct buf parts = pass(data + 1, size - 1, data[0] % 64 + 1u, data[0] / 64 + 1u, &fault);
	/* which fault of several is found may differ, not whether and where */
	if ((whole_fault != 0) != (fault != 0) || whole.size != parts.size ||
	    (whole.size > 0 && memcmp(whole.data, parts.data, whole.size) != 0))
		abort();
	buf_free(&whole);
	buf_free(&parts);
	return 0;
}
