/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the config file and the files that it includes into one tree. Called by plan on the daemon's thread;
 * the config owns the tree. */
#include "config.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_private.h"

enum { PART_COMPONENTS, PART_PLUGINS, PARTS };

struct loader {
	struct config_reader reader;
	struct file_id {
		dev_t device;
		ino_t inode;
	} * seen;
	size_t seen_count, seen_room;
	struct config_node *root;         /* of the main file */
	struct config_pair *parts[PARTS]; /* components, plugins: pairs of all files */
	size_t part_counts[PARTS], part_rooms[PARTS];
};

static const char *const part_names[PARTS] = {"components", "plugins"};

/* ---- One file ---- */

/* Is this the first time that we meet the file? Two patterns may match the same. */
static bool first_time(struct loader *l, const char *path)
{
	struct stat about;
	if (stat(path, &about) != 0)
		return true;
	for (size_t i = 0; i < l->seen_count; i++)
		if (l->seen[i].device == about.st_dev && l->seen[i].inode == about.st_ino)
			return false;
	l->seen = x_grow(l->seen, &l->seen_room, l->seen_count + 1, sizeof(*l->seen));
	l->seen[l->seen_count++] = (struct file_id){about.st_dev, about.st_ino};
	return true;
}

/* ---- Merging ---- */

static void collect(struct loader *l, size_t part, const struct config_pair *from)
{
	const struct config_node *map = from->value;
	if (map->kind == CONFIG_EMPTY)
		return;
	if (map->kind != CONFIG_MAP) {
		config_error(l->reader.errs, map, "`%s` must be a map of names", part_names[part]);
		return;
	}
	if (part == PART_COMPONENTS)
		map = config_each(&l->reader, map);
	size_t need = l->part_counts[part] + map->count;
	l->parts[part] = x_grow(l->parts[part], &l->part_rooms[part], need, sizeof(*map->pairs));
	if (map->count > 0)
		memcpy(l->parts[part] + l->part_counts[part], map->pairs, map->count * sizeof(*map->pairs));
	l->part_counts[part] = need;
}

static void merge_file(struct loader *l, const struct config_node *root, bool included)
{
	for (size_t i = 0; i < root->count; i++) {
		const struct config_pair *pair = &root->pairs[i];
		if (strcmp(pair->key, part_names[PART_COMPONENTS]) == 0)
			collect(l, PART_COMPONENTS, pair);
		else if (strcmp(pair->key, part_names[PART_PLUGINS]) == 0)
			collect(l, PART_PLUGINS, pair);
		else if (included && strncmp(pair->key, "x-", 2) != 0)
			config_error_key(l->reader.errs, pair,
					 "`%.100s` belongs in the main file: an included one may hold "
					 "`components` and "
					 "`plugins` only",
					 pair->key);
	}
}

/* The main file's root with the maps of all files in it. */
static void replace_parts(struct loader *l)
{
	struct config_node *root = l->root;
	struct config_pair *pairs = arena_alloc(l->reader.arena, (root->count + PARTS) * sizeof(*pairs));
	if (root->count > 0)
		memcpy(pairs, root->pairs, root->count * sizeof(*pairs));
	for (size_t part = 0; part < PARTS; part++) {
		const struct config_pair *old = config_find(root, part_names[part]);
		bool empty = l->part_counts[part] == 0;
		const struct config_pair *first = empty ? old : l->parts[part];
		if (first == NULL || (old != NULL && old->value->kind == CONFIG_LIST) ||
		    (empty && old->value->kind != CONFIG_MAP))
			continue;
		struct config_node *map = arena_alloc(l->reader.arena, sizeof(*map));
		*map = (struct config_node){.kind = CONFIG_MAP,
					    .file = first->file,
					    .line = first->line,
					    .column = first->column};
		map->pairs = l->parts[part];
		map->count = l->part_counts[part];
		config_unique(l->reader.arena, map, l->reader.errs);
		size_t slot = old != NULL ? (size_t)(old - root->pairs) : root->count++;
		if (old == NULL)
			pairs[slot] = *first;
		pairs[slot].key = part_names[part];
		pairs[slot].value = map;
		root->pairs = pairs;
	}
}

/* ---- include ---- */

static bool is_main(const struct loader *l, const char *path)
{
	struct stat about;
	return l->seen_count > 0 && stat(path, &about) == 0 && l->seen[0].device == about.st_dev &&
	       l->seen[0].inode == about.st_ino;
}

/* wild: a pattern has found it, which may well find the main file too. */
static void include_file(struct loader *l, const char *path, const struct config_node *place, bool wild)
{
	if (!wild && is_main(l, path)) {
		config_error(l->reader.errs, place, "the file includes itself");
		return;
	}
	if (!first_time(l, path))
		return;
	struct config_node *root = config_read(&l->reader, path, place, true);
	if (root != NULL)
		merge_file(l, root, true);
}

static void include_one(struct loader *l, const struct config_node *place)
{
	if (place->kind == CONFIG_EMPTY)
		return; /* its variable is missing, which was said */
	if (place->kind != CONFIG_SCALAR || place->text[0] == '\0') {
		config_error(l->reader.errs, place, "`include` must be a list of file patterns");
		return;
	}
	bool wild = strpbrk(place->text, "*?[") != NULL;
	/* the folder of the including file is taken literally */
	char *pattern = config_beside(place, wild ? "*?[\\" : "");
	glob_t found = {0};
	int result = wild ? glob(pattern, 0, NULL, &found) : 0;
	if (wild)
		config_add_source(&l->reader, pattern, true,
				  config_names_hash(found.gl_pathv, found.gl_pathc));
	if (!wild)
		include_file(l, pattern, place, false);
	else if (result == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			include_file(l, found.gl_pathv[i], place, true);
	else if (result != GLOB_NOMATCH)
		config_error(l->reader.errs, place, "cannot search for %.200s", pattern);
	globfree(&found);
	free(pattern);
}

static void include_all(struct loader *l)
{
	const struct config_node *include = config_value(l->root, "include");
	if (include == NULL || include->kind == CONFIG_EMPTY)
		return;
	if (include->kind != CONFIG_LIST) {
		include_one(l, include);
		return;
	}
	for (size_t i = 0; i < include->count; i++)
		include_one(l, include->items[i]);
}

/* ---- The two ways in ---- */

static const struct config_node nothing = {.kind = CONFIG_MAP};

static bool finish(struct arena *arena, const struct config_node *root, const struct config_sources *sources,
		   struct config *out, bool ok)
{
	struct arena *memory = x_alloc(sizeof(*memory));
	size_t size = sources->count * sizeof(*sources->items);
	struct config_source *items = size > 0 ? arena_alloc(arena, size) : NULL;
	if (size > 0)
		memcpy(items, sources->items, size);
	free(sources->items);
	*memory = *arena;
	*out = (struct config){root != NULL ? root : &nothing, items, sources->count, memory};
	return ok;
}

bool config_load(const char *path, config_lookup *lookup, struct config *out, struct err_list *errs)
{
	struct arena arena = {0};
	struct config_sources sources = {0};
	struct loader l = {.reader = {.arena = &arena, .lookup = lookup, .errs = errs, .sources = &sources}};
	size_t before = errs->met;
	first_time(&l, path);
	l.root = config_read(&l.reader, path, NULL, true);
	if (l.root != NULL) {
		merge_file(&l, l.root, false);
		include_all(&l);
		replace_parts(&l);
	}
	free(l.seen);
	free(l.parts[0]);
	free(l.parts[1]);
	return finish(&arena, l.root, &sources, out, errs->met == before);
}

bool config_parse(const char *name, const char *text, size_t size, config_lookup *lookup, struct config *out,
		  struct err_list *errs)
{
	struct arena arena = {0};
	size_t before = errs->met;
	struct config_node *root = config_build(&arena, arena_text(&arena, name), text, size, errs);
	if (root != NULL) {
		config_expand_tree(&arena, root, lookup, true, errs);
		const struct config_pair *include = config_find(root, "include");
		if (include != NULL)
			config_error_key(errs, include, "only a config file can include others");
	}
	return finish(&arena, root, &(struct config_sources){0}, out, errs->met == before);
}

void config_free(struct config *config)
{
	if (config->memory != NULL) {
		arena_free(config->memory);
		free(config->memory);
	}
	*config = (struct config){0};
}
