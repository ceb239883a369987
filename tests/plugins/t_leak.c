/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what it allocates, and touches it. */
#include <skymon/plugin.h>
#include <stdlib.h>
#include <string.h>

struct leak {
	struct skymon_bytes size;
	char *last;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct leak, size, "8MiB", "what each check leaks, in pieces of 64 KiB"), {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct leak *leak = state;
	skymon_step(sm, "leaking");
	for (int64_t left = leak->size.count; left > 0; left -= 65536) {
		char *piece = malloc(65536);
		if (piece == NULL)
			abort();
		memset(piece, 1, 65536);
		memcpy(piece, &leak->last, sizeof(leak->last));
		leak->last = piece;
	}
	return skymon_healthy(sm, "leaked %lld bytes more", (long long)leak->size.count);
}

SKYMON_PLUGIN(t_leak, "1.0", "Leaks memory", .state_size = sizeof(struct leak), .options = options,
	      .check = check);
