/* SPDX-License-Identifier: Apache-2.0 */
/* The description of a sandbox: made by pool on the daemon's thread, read by a worker's main thread. Owns its
 * texts. */
#include "sandbox.h"

#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 100000u

const char *const sandbox_guard_words[3] = {"files", "signals", "system_calls"};

void sandbox_add(struct sandbox *sandbox, const char *path, enum sandbox_access access)
{
	for (size_t i = 0; i < sandbox->count; i++)
		if (strcmp(sandbox->paths[i].path, path) == 0) {
			if (sandbox->paths[i].access < access)
				sandbox->paths[i].access = access;
			return;
		}
	sandbox->paths =
		x_grow(sandbox->paths, &sandbox->capacity, sandbox->count + 1, sizeof(*sandbox->paths));
	sandbox->paths[sandbox->count++] = (struct sandbox_path){x_strdup(path), access};
}

bool sandbox_covers(const struct sandbox *sandbox, const struct sandbox *wanted)
{
	if ((wanted->needs & ~sandbox->needs) != 0)
		return false;
	for (size_t i = 0; i < wanted->count; i++) {
		size_t j = 0;
		while (j < sandbox->count && (strcmp(sandbox->paths[j].path, wanted->paths[i].path) != 0 ||
					      sandbox->paths[j].access < wanted->paths[i].access))
			j++;
		if (j == sandbox->count)
			return false;
	}
	return true;
}

void sandbox_free(struct sandbox *sandbox)
{
	for (size_t i = 0; i < sandbox->count; i++)
		free(sandbox->paths[i].path);
	free(sandbox->paths);
	free(sandbox->state_dir);
	*sandbox = (struct sandbox){0};
}

void sandbox_encode(const struct sandbox *sandbox, struct buf *body)
{
	wire_put_u32(body, sandbox->needs);
	wire_put_u8(body, sandbox->strict);
	wire_put_text(body, sandbox->state_dir != NULL ? sandbox->state_dir : "");
	wire_put_u32(body, (uint32_t)sandbox->count);
	for (size_t i = 0; i < sandbox->count; i++) {
		wire_put_u8(body, (uint8_t)sandbox->paths[i].access);
		wire_put_text(body, sandbox->paths[i].path);
	}
}

bool sandbox_decode(struct wire_reader *in, struct sandbox *sandbox)
{
	*sandbox = (struct sandbox){.needs = wire_get_u32(in), .strict = wire_get_u8(in) != 0};
	sandbox->state_dir = x_strdup(wire_get_text_or_empty(in));
	uint32_t count = wire_get_count(in, 5);
	for (uint32_t i = 0; i < count && i < PATHS_MAX && !in->bad; i++) {
		uint8_t access = wire_get_u8(in);
		in->bad = in->bad || access > SANDBOX_WRITE;
		sandbox_add(sandbox, wire_get_text_or_empty(in), (enum sandbox_access)access);
	}
	return wire_end(in);
}
