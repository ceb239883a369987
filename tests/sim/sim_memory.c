/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a schedule: the linker gives every call of malloc and its like, of the core too, to the
 * functions here
 * (--wrap). Blocks that are freed are searched for secrets that were not wiped, those that are held can be
 * searched at any time, and those that are left at a schedule's end are a leak. What libc allocates by itself
 * is searched when it is freed. */
#include "sim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TABLE_BITS = 12, TABLE = 1 << TABLE_BITS }; /* open addressing; a schedule holds some hundred blocks */

static void *blocks[TABLE];
static size_t block_count;
static bool
	secrets_out; /* since the table was empty a secret was made: before, nothing needs to be searched */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *block);

/* ---- Secrets ---- */

void sim_put_secret(char text[SECRET_SIZE], int name, bool store, uint32_t number)
{
	secrets_out = true;
	snprintf(text, SECRET_SIZE, "%c%d.%d.%u;", SECRET_MARK, name, store, number);
}

bool sim_get_secret(const char *text, int *name, bool *store, uint32_t *number)
{
	int is_store = 0, end = 0;
	bool ok = sscanf(text, "\x7f%d.%d.%u;%n", name, &is_store, number, &end) == 3 && end > 0 &&
		  *name < NAMES;
	*store = is_store != 0;
	return ok;
}

const char *sim_find_secret(const void *bytes, size_t size, const char *from)
{
	const char *start = from != NULL ? from + 1 : bytes, *end = (const char *)bytes + size;
	return start < end ? memchr(start, SECRET_MARK, (size_t)(end - start)) : NULL;
}

/* ---- Blocks ---- */

static size_t place_of(const void *block)
{
	return ((uintptr_t)block >> 4) * 0x9E3779B97F4A7C15u >> (64 - TABLE_BITS);
}

static void *add(void *block)
{
	size_t i = place_of(block);
	if (block == NULL)
		return NULL;
	while (blocks[i] != NULL)
		i = (i + 1) % TABLE;
	blocks[i] = block;
	if (++block_count > TABLE / 2)
		sim_fail("more than %d blocks of memory", TABLE / 2);
	return block;
}

/* Those after it in the table move up, so that a search may end at the first empty place. */
static bool drop(const void *block)
{
	size_t i = place_of(block);
	while (blocks[i] != block) {
		if (blocks[i] == NULL)
			return false;
		i = (i + 1) % TABLE;
	}
	block_count--;
	for (size_t j = (i + 1) % TABLE; blocks[j] != NULL; j = (j + 1) % TABLE) {
		size_t home = place_of(blocks[j]);
		if ((i < j) ? (home <= i || home > j) : (home <= i && home > j)) {
			blocks[i] = blocks[j];
			i = j;
		}
	}
	blocks[i] = NULL;
	return true;
}

static void search_freed(void *block)
{
	const char *found = secrets_out ? sim_find_secret(block, malloc_usable_size(block), NULL) : NULL;
	int name;
	bool store;
	uint32_t number;
	if (found != NULL && sim_get_secret(found, &name, &store, &number))
		sim_fail("memory was freed with a secret of %s in it", sim_names[name]);
}

void *__wrap_malloc(size_t size)
{
	return add(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return add(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	void *block = __wrap_malloc(size);
	size_t old_size = old != NULL ? malloc_usable_size(old) : 0;
	if (old_size > 0)
		memcpy(block, old, old_size < size ? old_size : size);
	__wrap_free(old);
	return block;
}

void __wrap_free(void *block)
{
	if (block == NULL)
		return;
	search_freed(block);
	drop(block);
	worker_slot_freed(block);
	__real_free(block);
}

void sim_search_memory(void)
{
	int name;
	bool store;
	uint32_t number;
	for (size_t i = 0; secrets_out && i < TABLE; i++) {
		const char *found = NULL;
		size_t size = blocks[i] != NULL ? malloc_usable_size(blocks[i]) : 0;
		while (size > 0 && (found = sim_find_secret(blocks[i], size, found)) != NULL)
			if (sim_get_secret(found, &name, &store, &number))
				model_secret_held(name);
	}
}

size_t sim_blocks(void)
{
	if (block_count == 0)
		secrets_out = false;
	return block_count;
}
