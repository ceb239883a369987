/* SPDX-License-Identifier: Apache-2.0 */
/* hash: FNV-1a with 64 bits: to spread keys over buckets or time, and to see that something has changed,
 * within one process. Not for what an attacker chooses where a collision would harm. */
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
