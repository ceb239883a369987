/* SPDX-License-Identifier: Apache-2.0 */
/* hash: FNV-1a with 64 bits, for keys of a table and for what was seen before: not where a collision that an attacker
 * chooses would harm. Private to our own plugins. The values are kept on disk and in Grafana: they stay. */
#ifndef HASH_H
#define HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START 14695981039346656037u

static inline uint64_t hash_add(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ at[i]) * 1099511628211u;
	return hash;
}

#endif
