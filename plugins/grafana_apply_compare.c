/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: is what we ship contained in what is there? Pure. Grafana adds to what it is given (ids,
 * versions, defaults), so two documents are never equal; what is not ours does not count. */
#include "grafana_apply.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where we are: the way back up to the root. */
struct place {
	const struct place *up;
	const char *key; /* NULL: an element of an array */
	size_t index;
};

/* "/panels/0/title": ~ and / in a key are written ~0 and ~1. */
static void print_place(FILE *out, const struct place *place)
{
	if (place->up == NULL)
		return;
	print_place(out, place->up);
	fputc('/', out);
	if (place->key == NULL)
		fprintf(out, "%zu", place->index);
	for (const char *at = place->key; at != NULL && *at != '\0'; at++) {
		if (*at == '~')
			fputs("~0", out);
		else if (*at == '/')
			fputs("~1", out);
		else
			fputc(*at, out);
	}
}

static bool differs(json_t *pointers, const struct place *place)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = json_array_size(pointers) < APPLY_DIFFERENCES_MAX ? open_memstream(&text, &size) : NULL;
	if (out != NULL) {
		print_place(out, place);
		fclose(out);
		json_array_append_new(pointers, json_string(text));
		free(text);
	}
	return false;
}

static bool is_empty(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_NULL:
		return true;
	case JSON_STRING:
		return json_string_length(value) == 0;
	case JSON_ARRAY:
		return json_array_size(value) == 0;
	case JSON_OBJECT:
		return json_object_size(value) == 0;
	default:
		return false;
	}
}

static bool compare(const json_t *shipped, const json_t *there, json_t *pointers, const struct place *place)
{
	bool same = true;
	const char *key;
	json_t *value;
	size_t i;
	if (there == NULL || json_is_null(there))
		return is_empty(shipped) || differs(pointers, place);
	if (json_is_object(shipped) && json_is_object(there)) {
		json_object_foreach((json_t *)(uintptr_t)shipped, key, value)
		{
			struct place next = {place, key, 0};
			same &= compare(value, json_object_get(there, key), pointers, &next);
		}
		return same;
	}
	if (json_is_array(shipped) && json_array_size(shipped) == json_array_size(there) &&
	    json_is_array(there)) {
		json_array_foreach(shipped, i, value)
		{
			struct place next = {place, NULL, i};
			same &= compare(value, json_array_get(there, i), pointers, &next);
		}
		return same;
	}
	if (json_is_number(shipped) && json_is_number(there))
		same = json_number_value(shipped) == json_number_value(there);
	else
		same = json_equal(shipped, there);
	return same || differs(pointers, place);
}

bool apply_contained(const json_t *shipped, const json_t *there, json_t *pointers)
{
	return compare(shipped, there, pointers, &(struct place){0});
}

void apply_merge(json_t *theirs, const json_t *ours)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)ours, key, value)
	{
		json_t *old = json_object_get(theirs, key);
		if (json_is_object(old) && json_is_object(value))
			apply_merge(old, value);
		else
			json_object_set(theirs, key, value);
	}
}
