/* SPDX-License-Identifier: Apache-2.0 */
/* `each` of a component's section: one component for each item, with the section's options and the item's
 * in their place. Called by config_load.c for each file, before anything else reads the sections, so that no
 * other code knows of `each`. On the daemon's thread; the reader's arena owns the new maps, whose values
 * are those of the section and of the items. */
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "config_private.h"

struct each {
	struct config_reader *reader;
	const struct config_pair *section;
	size_t section_values;
	struct config_pair *own; /* the section's options without `each` */
	size_t own_count;
	struct config_pair *out; /* the components of all sections */
	size_t count, room;
};

static void add(struct each *e, const struct config_pair *pair)
{
	e->out = x_grow(e->out, &e->room, e->count + 1, sizeof(*pair));
	e->out[e->count++] = *pair;
}

static size_t count_values(const struct config_node *node)
{
	size_t count = 1;
	for (size_t i = 0; node->kind == CONFIG_LIST && i < node->count; i++)
		count += count_values(node->items[i]);
	for (size_t i = 0; node->kind == CONFIG_MAP && i < node->count; i++)
		count += count_values(node->pairs[i].value);
	return count;
}

/* Replaces options as the config does elsewhere: an item's value replaces the section's whole value, a map
 * too, unless it is empty. */
static const struct config_node *merge(const struct each *e, const struct config_node *item)
{
	struct config_pair *pairs =
		arena_alloc(e->reader->arena, (e->own_count + item->count) * sizeof(*pairs));
	struct config_node *map = arena_alloc(e->reader->arena, sizeof(*map));
	size_t count = e->own_count;
	if (count > 0)
		memcpy(pairs, e->own, count * sizeof(*pairs));
	for (size_t i = 0; i < item->count; i++) {
		const struct config_pair *pair = &item->pairs[i];
		size_t at = 0;
		while (at < e->own_count && strcmp(pairs[at].key, pair->key) != 0)
			at++;
		if (at < e->own_count && pair->value->kind == CONFIG_EMPTY)
			continue;
		pairs[at < e->own_count ? at : count++] = *pair;
	}
	*map = (struct config_node){.kind = CONFIG_MAP,
				    .file = item->file,
				    .line = item->line,
				    .column = item->column,
				    .count = count,
				    .pairs = pairs};
	return map;
}

static bool add_item(struct each *e, const struct config_pair *item)
{
	struct config_reader *reader = e->reader;
	reader->each_values += e->section_values + count_values(item->value);
	if (++reader->each_items > CONFIG_EACH_MAX || reader->each_values > CONFIG_EACH_VALUES_MAX) {
		config_error_key(
			reader->errs, item, "more than %s in all sections with `each`: that is too many",
			reader->each_items > CONFIG_EACH_MAX ? "10,000 components" : "1,000,000 values");
		return false;
	}
	if (item->value->kind != CONFIG_MAP && item->value->kind != CONFIG_EMPTY) {
		config_error(reader->errs, item->value,
			     "the item `%.63s` of `each` of component %s must be a map of options", item->key,
			     e->section->key);
		return true;
	}
	const struct config_pair *nested = config_find(item->value, "each");
	if (nested != NULL) {
		config_error_key(reader->errs, nested, "an item of `each` cannot have an `each` of its own");
		return true;
	}
	struct config_pair made = *item;
	made.key = arena_printf(reader->arena, "%s-%.100s", e->section->key, item->key);
	made.value = merge(e, item->value);
	add(e, &made);
	return true;
}

/* Returns the map of items, from the file if `each` names one. NULL after reporting that there is none. */
static const struct config_node *find_items(const struct each *e, const struct config_node *each)
{
	struct err_list *errs = e->reader->errs;
	const char *name = e->section->key;
	const struct config_pair *file = config_find(each, "file");
	const struct config_node *items = each;
	if (file != NULL && file->value->kind != CONFIG_MAP) {
		if (file->value->kind != CONFIG_SCALAR || file->value->text[0] == '\0') {
			config_error_key(errs, file,
					 "`file` of `each` of component %s needs the path of a file", name);
			return NULL;
		}
		if (each->count > 1) {
			config_error_key(errs, file,
					 "`each` of component %s has either `file` or items, not both", name);
			return NULL;
		}
		char *path = config_beside(file->value, "");
		items = config_read(e->reader, path, file->value, false);
		free(path);
	} else if (each->kind == CONFIG_LIST || each->kind == CONFIG_SCALAR) {
		config_error(
			errs, each,
			"`each` of component %s must be a map of items, as in {de: {url: …}, fr: {url: …}}, "
			"or {file: PATH}",
			name);
		return NULL;
	}
	if (items != NULL && items->count == 0)
		config_error(errs, items, "`each` of component %s has no items", name);
	return items;
}

static void expand(struct each *e, const struct config_pair *section, const struct config_pair *each)
{
	const struct config_node *map = section->value;
	if (!name_is_component(section->key)) {
		/* reported here once, and not for each item */
		config_error_key(
			e->reader->errs, section,
			"`%.80s` is not a valid component name: a-z and 0-9, with _ and - between, at "
			"most 63",
			section->key);
		return;
	}
	e->section = section;
	e->own = x_alloc(map->count * sizeof(*e->own));
	e->own_count = 0;
	e->section_values = count_values(map) - count_values(each->value);
	for (size_t i = 0; i < map->count; i++)
		if (&map->pairs[i] != each)
			e->own[e->own_count++] = map->pairs[i];
	const struct config_node *items = find_items(e, each->value);
	for (size_t i = 0; items != NULL && i < items->count; i++)
		if (!add_item(e, &items->pairs[i]))
			break;
	free(e->own);
}

const struct config_node *config_each(struct config_reader *reader, const struct config_node *sections)
{
	struct each e = {.reader = reader};
	bool found = false;
	for (size_t i = 0; i < sections->count; i++) {
		const struct config_pair *each = config_find(sections->pairs[i].value, "each");
		found = found || each != NULL;
		if (each != NULL)
			expand(&e, &sections->pairs[i], each);
		else
			add(&e, &sections->pairs[i]);
	}
	struct config_node *made = arena_alloc(reader->arena, sizeof(*made));
	struct config_pair *pairs = arena_alloc(reader->arena, (found ? e.count : 0) * sizeof(*pairs));
	*made = *sections;
	if (found && e.count > 0)
		memcpy(pairs, e.out, e.count * sizeof(*pairs));
	made->pairs = pairs;
	made->count = e.count;
	free(e.out);
	return found ? made : sections;
}
