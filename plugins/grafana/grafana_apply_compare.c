/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply_compare: the value that apply writes over an item of Grafana, and the differences between the
 * two. Called by grafana_apply_items.c, on the thread of the request; pure. Grafana adds to what it is given
 * (ids, defaults), and people add to shipped items. Additions are kept, so that the differences are exactly
 * what apply changes. */
#include "grafana_apply.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

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

static bool is_missing(const json_t *value)
{
	return value == NULL || json_is_null(value);
}

static bool is_same_scalar(const json_t *one, const json_t *other)
{
	if (json_is_number(one) && json_is_number(other)) /* Grafana's own programs write 1 for 1.0 */
		return json_number_value(one) == json_number_value(other);
	return json_equal(one, other);
}

/* ---- The value that apply writes ---- */

/* Returns the item of `theirs` for an item of ours: the one with the same panel number, variable or query
 * name, else the one at the same index. */
static json_t *find_partner(const json_t *our, const json_t *theirs, size_t at, bool same_size)
{
	static const char *const keys[] = {"id", "name", "refId"};
	json_t *item;
	size_t i;
	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
		const json_t *key = json_object_get(our, keys[k]);
		if (is_missing(key))
			continue;
		json_array_foreach(theirs, i, item) {
			if (json_equal(json_object_get(item, keys[k]), key))
				return item;
		}
	}
	return same_size ? json_array_get(theirs, at) : NULL;
}

/* The data source of a dashboard is for people to choose: of a panel, a query or a variable, and the value of
 * a variable of type datasource. */
static bool is_choice(const json_t *object, const char *key)
{
	const char *type = skymon_json_text(object, "type");
	return strcmp(key, "datasource") == 0 ||
	       (strcmp(key, "current") == 0 && type != NULL && strcmp(type, "datasource") == 0);
}

json_t *apply_merge(const json_t *ours, json_t *theirs, bool choices)
{
	bool same_size = json_array_size(ours) == json_array_size(theirs);
	json_t *value, *out;
	if (json_is_object(ours) && json_is_object(theirs)) {
		out = json_copy(theirs);
		const char *key;
		json_object_foreach((json_t *)(uintptr_t)ours, key, value) {
			json_t *their = json_object_get(theirs, key);
			if (is_missing(their) ? is_empty(value) : choices && is_choice(ours, key))
				continue;
			json_object_set_new(out, key, apply_merge(value, their, choices));
		}
		return out;
	}
	if (json_is_array(ours) && json_is_array(theirs)) {
		out = json_array();
		size_t i;
		json_array_foreach(ours, i, value) {
			json_array_append_new(
				out, apply_merge(value, find_partner(value, theirs, i, same_size), choices));
		}
		return out;
	}
	return json_incref(!is_missing(theirs) && is_same_scalar(ours, theirs) ? theirs
									       : (json_t *)(uintptr_t)ours);
}

/* ---- Differences ---- */

/* A position in the tree: the chain up to the root. */
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

static void add_place(json_t *pointers, const struct place *place)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = json_array_size(pointers) < APPLY_DIFFERENCES_MAX ? open_memstream(&text, &size) : NULL;
	if (out == NULL)
		return;
	print_place(out, place);
	fclose(out);
	json_array_append_new(pointers, json_string(text));
	free(text);
}

static void add_differences(const json_t *wanted, const json_t *there, json_t *pointers,
			    const struct place *place)
{
	const char *key;
	json_t *value;
	size_t i;
	if (is_missing(wanted) || is_missing(there)) {
		if (!(is_missing(wanted) || is_empty(wanted)) || !(is_missing(there) || is_empty(there)))
			add_place(pointers, place);
	} else if (json_is_object(wanted) && json_is_object(there)) {
		json_object_foreach((json_t *)(uintptr_t)wanted, key, value) {
			add_differences(value, json_object_get(there, key), pointers,
					&(struct place){place, key, 0});
		}
		json_object_foreach((json_t *)(uintptr_t)there, key, value) {
			if (json_object_get(wanted, key) == NULL)
				add_differences(NULL, value, pointers, &(struct place){place, key, 0});
		}
	} else if (json_is_array(wanted) && json_is_array(there) &&
		   json_array_size(wanted) == json_array_size(there)) {
		json_array_foreach(wanted, i, value) {
			add_differences(value, json_array_get(there, i), pointers,
					&(struct place){place, NULL, i});
		}
	} else if (!is_same_scalar(wanted, there)) {
		add_place(pointers, place);
	}
}

void apply_compare(const json_t *wanted, const json_t *there, json_t *pointers)
{
	add_differences(wanted, there, pointers, &(struct place){0});
}
