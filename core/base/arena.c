/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: chunks that are filled from the front, and pages of their own for secrets. Called by config and
 * option; a worker stores the values of options in them. */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_MIN 512u   /* enough for most components' options, of which there may be thousands */
#define CHUNK_MAX 65536u /* each chunk is twice the one before, for a config of thousands */
#define ALIGNMENT _Alignof(max_align_t)

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	max_align_t bytes[];
};

static void *take(struct arena *arena, size_t size, size_t alignment)
{
	if (size > SIZE_MAX / 2)
		abort();
	struct arena_chunk *chunk = arena->first;
	size_t at = chunk != NULL ? (chunk->used + alignment - 1) / alignment * alignment : 0;
	if (chunk == NULL || at > chunk->size || chunk->size - at < size) {
		size_t room = chunk == NULL ? CHUNK_MIN : chunk->size * 2;
		room = room < CHUNK_MAX ? room : CHUNK_MAX;
		room = room > size ? room : size;
		chunk = x_alloc(sizeof(*chunk) + room);
		chunk->size = room;
		chunk->next = arena->first;
		arena->first = chunk;
		at = 0;
	}
	chunk->used = at + size;
	return (char *)chunk->bytes + at;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return take(arena, size, ALIGNMENT);
}

char *arena_text_size(struct arena *arena, const char *text, size_t size)
{
	char *copy = take(arena, size + 1, 1); /* texts are many and short */
	if (size > 0)
		memcpy(copy, text, size);
	return copy;
}

static struct arena_chunk *new_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (sizeof(struct arena_chunk) + size + page - 1) / page * page;
	struct arena_chunk *chunk =
		mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		abort();
	(void)mlock(chunk, whole);
	(void)madvise(chunk, whole, MADV_DONTDUMP);
	chunk->size = whole - sizeof(*chunk);
	return chunk;
}

char *arena_secret(struct arena *arena, const void *bytes, size_t size)
{
	struct arena_chunk *chunk = arena->secrets;
	if (size > SIZE_MAX / 2)
		abort();
	if (chunk == NULL || chunk->size - chunk->used <= size) {
		chunk = new_pages(size + 1);
		chunk->next = arena->secrets;
		arena->secrets = chunk;
	}
	char *copy = (char *)chunk->bytes + chunk->used;
	if (size > 0)
		memcpy(copy, bytes, size);
	chunk->used += size + 1;
	return copy;
}

char *arena_text(struct arena *arena, const char *text)
{
	return text != NULL ? arena_text_size(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	char *text = NULL;
	va_list list;
	va_start(list, format);
	int length = vasprintf(&text, format, list);
	va_end(list);
	if (length < 0)
		abort();
	char *copy = arena_text_size(arena, text, (size_t)length);
	wipe_free(text, (size_t)length);
	return copy;
}

void arena_free(struct arena *arena)
{
	struct arena_chunk *chunk = arena->first;
	while (chunk != NULL) {
		struct arena_chunk *next = chunk->next;
		wipe_free(chunk, sizeof(*chunk) + chunk->size);
		chunk = next;
	}
	arena->first = NULL;
	while ((chunk = arena->secrets) != NULL) {
		size_t whole = sizeof(*chunk) + chunk->size;
		arena->secrets = chunk->next;
		explicit_bzero(chunk, whole);
		munmap(chunk, whole);
	}
}

void wipe_free(void *bytes, size_t size)
{
	if (bytes != NULL)
		explicit_bzero(bytes, size);
	free(bytes);
}
