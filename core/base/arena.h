/* SPDX-License-Identifier: Apache-2.0 */
/* arena: memory that is freed as one, and wiped first, because configs hold secrets. For config trees and
 * option values. The owner of the struct owns all of it; a zeroed struct is an empty arena. One thread. */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include "err.h"

struct arena {
	struct arena_chunk *first;
	struct arena_chunk *secrets; /* pages of their own */
};

void *arena_alloc(struct arena *arena, size_t size);     /* zeroed, aligned for anything */
char *arena_text(struct arena *arena, const char *text); /* NULL stays NULL */
char *arena_text_size(struct arena *arena, const char *text, size_t size);
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF(2);
/* In memory that is not swapped out (as far as RLIMIT_MEMLOCK allows) and in no core file. Holds a secret
 * where a plugin finds it. Copies that the plugin or a library makes (a request's head, libpq's parameters,
 * TLS buffers) cannot be protected so: workers and the daemon are not dumpable, and swap should be encrypted.
 */
char *arena_secret(struct arena *arena, const void *bytes, size_t size);
void arena_free(struct arena *arena);

/* free() of a text or bytes that may be a secret. */
void wipe_free(void *bytes, size_t size);

#endif
