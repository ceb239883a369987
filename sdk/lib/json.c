/* SPDX-License-Identifier: Apache-2.0 */
/* json_read: strict reading of JSON. Duplicate keys are refused, and so is deep nesting: jansson recurses,
 * and a check's thread has a small stack. */
#ifndef JSON_READ_H
#define JSON_READ_H

#include <jansson.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_READ_DEPTH 64

static inline bool json_read_is_deep(const char *text, size_t size)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < size; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '[' || text[i] == '{') && ++depth > JSON_READ_DEPTH)
			return true;
		else if (!quoted && (text[i] == ']' || text[i] == '}'))
			depth--;
	}
	return false;
}

/* Returns a value for json_decref(), or NULL. */
static inline json_t *json_read(const char *text, size_t size)
{
	return json_read_is_deep(text, size) ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
}

/* Returns a text; NULL if the key is missing or its value is not a text. */
static inline const char *json_read_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Returns whether 15 digits suffice to read all numbers back unchanged, as with those that people write. */
static inline bool json_read_is_short(const json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;
	char text[40];

	if (json_is_real(json)) {
		snprintf(text, sizeof(text), "%.15g", json_real_value(json));
		return strtod(text, NULL) == json_real_value(json);
	}
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		if (!json_read_is_short(value))
			return false;
	json_array_foreach(json, i, value)
		if (!json_read_is_short(value))
			return false;
	return true;
}

/* Returns the flag for json_dumps() with which all numbers read back unchanged. 17 digits always do, but
 * print 0.1 as 0.10000000000000001. */
static inline size_t json_read_digits(const json_t *json)
{
	return JSON_REAL_PRECISION(json_read_is_short(json) ? 15 : 17);
}

/* For json_set_alloc_funcs(), in a process where anything that jansson frees may be a secret. */
static inline void json_read_free_wiped(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* Wipes a text that is a secret. Call it before json_decref(). */
static inline void json_read_wipe(const json_t *text)
{
	if (json_is_string(text))
		explicit_bzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
}

#endif
