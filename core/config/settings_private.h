/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of settings; included by no others. */
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

struct settings_part_table {
	const char *key; /* NULL if the options are keys of the top level itself */
	const struct skymon_option *table;
	size_t offset; /* of its struct in struct settings */
};
extern const struct settings_part_table settings_parts[SETTINGS_PARTS];

/* A MAP of the given keys of `map` that are not empty; its pairs belong to the arena. */
struct config_node *settings_pick(struct arena *arena, const struct config_node *map,
				  const char *const *keys);
/* Adds those keys of `from` that map does not have yet. */
void settings_pick_more(struct arena *arena, struct config_node *map, const struct config_node *from,
			const char *const *keys);
/* Binds a section and stores it. The values hold what was stored; Returns NULL after errors. */
struct option_values *settings_bind(struct binding *b, const struct skymon_option *table,
				    const struct config_node *section, const char *const *also,
				    const char *what, void *state) MUST_CHECK;
/* The pairs of a top-level map; 0 when it is empty or none (which is reported). */
size_t settings_map(struct binding *b, const char *key, const struct config_pair **pairs);

/* The part of settings_compare that belongs to one table; old or new is NULL if the table was not bound. */
void settings_compare_values(const char *prefix, const struct skymon_option *table,
			     const struct option_values *old, const struct option_values *new,
			     settings_change *found, void *arg);
void settings_compare_listens(const struct settings *old, const struct settings *new, settings_change *found,
			      void *arg);

void settings_sources_schema(struct buf *out);     /* service.metrics */
void settings_read_maintenance(struct binding *b); /* when all sections are read */
void settings_free_maintenance(struct settings *s);
void settings_maintenance_schema(struct buf *out);
void settings_users_schema(struct buf *out);
void settings_access_schema_end(struct buf *out); /* one of both is needed */
void settings_print_users(const struct settings *s, struct buf *out);
void settings_read_users(struct binding *b, const struct config_node *users);
void settings_read_listens(struct binding *b);
void settings_read_sections(struct binding *b);
void settings_check_depends(struct binding *b); /* when all sections are read */
void settings_read_sources(struct binding *b, const struct config_node *metrics);

#endif
