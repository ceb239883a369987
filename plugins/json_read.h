/* json_read: JSON that a server sent. A key that is there twice is refused, and so is what is nested deep:
 * the parser calls itself for each level, and a check's thread has a small stack. */
#ifndef JSON_READ_H
#define JSON_READ_H

#include <jansson.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
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

/* NULL: it is none, or one that is not read. Else for json_decref. */
static inline json_t *json_read(const char *text, size_t size)
{
	return json_read_is_deep(text, size) ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
}

/* NULL: the object has no such key, or its value is no text. */
static inline const char *json_read_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* For json_set_alloc_funcs, in a process where all that jansson frees may have been a secret. */
static inline void json_read_free_wiped(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* Before json_decref, where the text is a secret. */
static inline void json_read_wipe(const json_t *text)
{
	if (json_is_string(text))
		explicit_bzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
}

#endif
