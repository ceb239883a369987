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

/* One text's tree, before its values are expanded. file: lives as long as the arena. */
struct config_node *config_build(struct arena *arena, const char *file, const char *text, size_t size,
				 struct err_list *errs);
/* ${…} in all values but those below top-level `x-…`. */
void config_expand_tree(struct arena *arena, struct config_node *root, config_lookup *lookup,
			struct err_list *errs);
/* Reports keys that are there twice and leaves the first; keeps the order. */
void config_unique(struct arena *arena, struct config_node *map, struct err_list *errs);
#endif
