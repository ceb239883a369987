/* SPDX-License-Identifier: Apache-2.0 */
/* settings' own: what its files share. Nobody else includes this. */
#ifndef SETTINGS_PRIVATE_H
#define SETTINGS_PRIVATE_H

#include "base/arena.h"
#include "settings.h"

struct binding { /* one settings_new */
	struct settings *settings;
	const struct config_node *root;
	config_lookup *lookup;
	struct err_list *errs;
	struct arena temporary; /* nodes that are picked together; gone when settings_new returns */
};

/* A MAP of the given keys of `map` that are not empty; its pairs belong to the arena. */
struct config_node *settings_pick(struct arena *arena, const struct config_node *map,
				  const char *const *keys);
/* Adds those keys of `from` that map does not have yet. */
void settings_pick_more(struct arena *arena, struct config_node *map, const struct config_node *from,
			const char *const *keys);
/* Binds a section and stores it. The values hold what was stored; NULL: errors were added. */
struct option_values *settings_bind(struct binding *b, const struct skymon_option *table,
				    const struct config_node *section, const char *const *also,
				    const char *what, void *state) MUST_CHECK;
/* A copy of a list of texts. */
char **settings_texts(const struct skymon_texts *texts, size_t *count);
/* The pairs of a top-level map; 0 when it is empty or none (which is reported). */
size_t settings_map(struct binding *b, const char *key, const struct config_pair **pairs);

void settings_read_listens(struct binding *b);
void settings_read_sections(struct binding *b);
void settings_read_sources(struct binding *b, const struct config_node *metrics);

#endif
