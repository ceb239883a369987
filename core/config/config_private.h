/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of config; included by no others. */
#ifndef CONFIG_PRIVATE_H
#define CONFIG_PRIVATE_H

#include "config.h"
#include "base/arena.h"

#define CONFIG_FILE_MAX (1u << 20)
#define CONFIG_DEPTH_MAX 64u
#define CONFIG_NODES_MAX 100000u
#define CONFIG_ANCHORS_MAX 1000u
#define CONFIG_ERRORS_MAX 200u /* more than a person reads */
#define CONFIG_EACH_MAX 10000u /* components that come from `each`, and their values */
#define CONFIG_EACH_VALUES_MAX 1000000u

/* One text's tree, before its values are expanded. file: lives as long as the arena. */
struct config_node *config_build(struct arena *arena, const char *file, const char *text, size_t size,
				 struct err_list *errs);
/* Expands ${…} in all values; ignore_x leaves out those below top-level `x-…`. */
void config_expand_tree(struct arena *arena, struct config_node *root, config_lookup *lookup, bool ignore_x,
			struct err_list *errs);
/* Reports keys that are there twice and leaves the first; keeps the order. */
void config_unique(struct arena *arena, struct config_node *map, struct err_list *errs);

struct config_reader { /* of one config_load */
	struct arena *arena;
	config_lookup *lookup;
	struct err_list *errs;
	size_t each_items, each_values; /* so far, of all sections */
	struct config_sources *sources;
};

struct config_sources { /* of one config_load; the items are freed by it */
	struct config_source *items;
	size_t count, capacity;
};
void config_add_source(const struct config_reader *reader, const char *path, bool pattern, uint64_t hash);
uint64_t config_names_hash(char *const *names, size_t count);

/* Reads a file and expands its variables. Reports at location, NULL for the main file, if that fails, and
 * returns NULL. */
struct config_node *config_read(const struct config_reader *reader, const char *path,
				const struct config_node *location, bool ignore_x);
/* Returns the path that the scalar at location names, relative to the file that has it; the caller frees it.
 * Characters of that file's folder that are in `escaped` get a backslash. */
char *config_beside(const struct config_node *location, const char *escaped);
/* Returns the sections with a component for each item in place of one with `each`. */
const struct config_node *config_each(struct config_reader *reader, const struct config_node *sections);
#endif
