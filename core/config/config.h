/* SPDX-License-Identifier: Apache-2.0 */
/* config: YAML files -> one tree of nodes that know file, line and column. The caller owns the tree.
 *
 * Reads files and, for ${VAR}, the environment (the only module that does); knows no key but `include` and
 * `x-…`. Pure for tests: config_parse takes text and a lookup function. Libyaml gives events; duplicate keys,
 * depth, size, aliases and merge keys (<<) are validated here. Bounds: a file of 1 MiB, 64 levels, 100,000
 * nodes as expanded (an alias counts as often as it is used: the alias bomb). */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum config_kind { CONFIG_EMPTY, CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

struct config_node;
struct config_pair {
	const char *key;
	const char *file;
	int line, column; /* of the key */
	const struct config_node *value;
};

struct config_node {
	enum config_kind kind; /* EMPTY: `key:` with nothing, or ~ or null, not quoted */
	const char *file;
	int line, column; /* from 1 */
	const char *text; /* SCALAR: after ${…} */
	bool quoted;      /* SCALAR: was in quotes, so it is a text and no boolean or number */
	bool unset; /* a variable in it, or in a scalar of this list or map of one ({file: …}), cannot be read:
		     * config_error has reported that, and reports nothing else of it */
	const char *variable; /* SCALAR: the first ${VAR} in it, NULL when there is none */
	size_t count;
	const struct config_node *const *items; /* LIST */
	const struct config_pair *pairs;        /* MAP, in the file's order */
};

struct config_source { /* a file that was read, or a pattern of files */
	const char *path;
	bool pattern;
	uint64_t hash; /* of the file's text, or why it cannot be read; of the pattern's files */
};

struct config {
	const struct config_node *root; /* a MAP, merged of the file and what it includes */
	const struct config_source *sources;
	size_t source_count;
	void *memory;
};

typedef const char *config_lookup(const char *variable); /* NULL if it is not set */
const char *config_environment(const char *variable);    /* the process's environment */

/* Reads a file and what it includes (the key `include`, a list of file patterns, relative to the file that
 * says it, sorted; a pattern without wildcard must exist; included files may hold only `components` and
 * `plugins`, and include nothing). Every error is added to errs as "file:line:column: sentence"; false when
 * there was one. `out` is to be freed in either case. */
bool config_load(const char *path, config_lookup *lookup, struct config *out,
		 struct err_list *errs) MUST_CHECK;
/* The same from text, for tests and `skymon run`; includes are an error. name is NULL for errors without a
 * place. */
bool config_parse(const char *name, const char *text, size_t size, config_lookup *lookup, struct config *out,
		  struct err_list *errs) MUST_CHECK;
void config_free(struct config *config);
/* Returns a hash of what the sources had when they were read, or have now. */
uint64_t config_sources_hash(const struct config_source *sources, size_t count, bool now);

/* ${VAR} ${VAR:-default} ${VAR:?message} $$ in one text; a default may hold variables again; the caller frees
 * *out. *variable: the first name (freed by caller too). */
bool config_expand(const char *text, config_lookup *lookup, char **out, char **variable,
		   struct err *err) MUST_CHECK;

const struct config_pair *config_find(const struct config_node *map,
				      const char *key); /* NULL if it is missing, or not a map */
const struct config_node *config_value(const struct config_node *map, const char *key); /* NULL likewise */

/* Adds "file:line:column: sentence". node may be NULL (then without place). */
void config_error(struct err_list *errs, const struct config_node *node, const char *format, ...) PRINTF(3);
void config_error_key(struct err_list *errs, const struct config_pair *pair, const char *format, ...)
	PRINTF(3);

/* Reports an unknown key: kind "option", what " of component a" or "". With the nearest known one, or with
 * what to write in place of another monitoring program's. */
void config_unknown_key(struct err_list *errs, const struct config_pair *pair, const char *kind,
			const char *what, const char *const *known, size_t count);
const char *config_foreign(const char *key); /* NULL if no known program has this key */

#endif
