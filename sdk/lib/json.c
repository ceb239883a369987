/* SPDX-License-Identifier: Apache-2.0 */
/* json: strict reading of JSON, and what both readers share. Called by checks and request handlers, on their
 * threads. Pure. See skymon/json.h. */
#include <skymon/json.h>

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool skymon_json_is_deep(const char *text, size_t size)
{
	int depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < size; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '[' || text[i] == '{') && ++depth > SKYMON_JSON_DEPTH)
			return true;
		else if (!quoted && (text[i] == ']' || text[i] == '}'))
			depth--;
	}
	return false;
}

json_t *skymon_json_read(const char *text, size_t size)
{
	return skymon_json_is_deep(text, size) ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
}

const char *skymon_json_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);
	return text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
}

/* Returns whether 15 digits suffice to read all numbers back unchanged, as with those that people write. */
static bool is_short(const json_t *json)
{
	char text[40];
	if (json_is_real(json)) {
		snprintf(text, sizeof(text), "%.15g", json_real_value(json));
		return strtod(text, NULL) == json_real_value(json);
	}
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)json, key, value)
		if (!is_short(value))
			return false;
	size_t i;
	json_array_foreach(json, i, value)
		if (!is_short(value))
			return false;
	return true;
}

size_t skymon_json_digits(const json_t *json)
{
	return JSON_REAL_PRECISION(is_short(json) ? 15 : 17);
}

void skymon_json_free_wiped(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

void skymon_json_wipe(const json_t *text)
{
	if (json_is_string(text))
		explicit_bzero((char *)(uintptr_t)json_string_value(text), json_string_length(text));
}
