/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one file of the configuration into a tree, its variables expanded, and finds out whether files have
 * changed since. Called by config_load.c, config_each.c and the daemon's reload_watch.c, on the daemon's thread; the
 * reader's arena owns the tree. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "config_private.h"

/* Reads a file's text, which the caller wipes. *hash: of the text, or of the sentence in err. */
static bool read_text(const char *path, struct buf *text, uint64_t *hash, struct err *err)
{
	bool done = file_read("", path, CONFIG_FILE_MAX, text, err);
	*hash = done ? hash_add(HASH_START, text->data, text->size)
		     : hash_add(HASH_START + 1, err->text, strlen(err->text));
	return done;
}

void config_add_source(const struct config_reader *reader, const char *path, bool pattern, uint64_t hash)
{
	struct config_sources *sources = reader->sources;
	sources->items =
		x_grow(sources->items, &sources->capacity, sources->count + 1, sizeof(*sources->items));
	sources->items[sources->count++] =
		(struct config_source){arena_text(reader->arena, path), pattern, hash};
}

uint64_t config_names_hash(char *const *names, size_t count)
{
	uint64_t hash = HASH_START;
	for (size_t i = 0; i < count; i++)
		hash = hash_add(hash, names[i], strlen(names[i]) + 1);
	return hash;
}

static uint64_t hash_now(const struct config_source *source)
{
	uint64_t hash;
	struct err err;
	struct buf text = {0};
	glob_t found = {0};
	if (!source->pattern) {
		(void)!read_text(source->path, &text, &hash, &err);
		wipe_free(text.data, text.capacity);
		return hash;
	}
	(void)!glob(source->path, 0, NULL, &found);
	hash = config_names_hash(found.gl_pathv, found.gl_pathc);
	globfree(&found);
	return hash;
}

uint64_t config_sources_hash(const struct config_source *sources, size_t count, bool now)
{
	uint64_t total = HASH_START;
	for (size_t i = 0; i < count; i++) {
		uint64_t hash = now ? hash_now(&sources[i]) : sources[i].hash;
		total = hash_add(total, &hash, sizeof(hash));
	}
	return total;
}

struct config_node *config_read(const struct config_reader *reader, const char *path,
				const struct config_node *location, bool ignore_x)
{
	struct err err;
	struct buf text = {0};
	const char *name = arena_text(reader->arena, path);
	uint64_t hash;
	bool done = read_text(path, &text, &hash, &err);
	config_add_source(reader, path, false, hash);
	if (!done) {
		config_error(reader->errs, location, "%s", err.text);
		return NULL;
	}
	struct config_node *root = config_build(reader->arena, name, text.data, text.size, reader->errs);
	wipe_free(text.data, text.capacity);
	if (root != NULL)
		config_expand_tree(reader->arena, root, reader->lookup, ignore_x, reader->errs);
	return root;
}

char *config_beside(const struct config_node *location, const char *escaped)
{
	const char *slash = strrchr(location->file, '/');
	struct buf buf = {0};
	for (const char *at = location->file; slash != NULL && location->text[0] != '/' && at <= slash;
	     at++) {
		if (strchr(escaped, *at) != NULL)
			buf_add(&buf, "\\", 1);
		buf_add(&buf, at, 1);
	}
	buf_text(&buf, location->text);
	return buf.data;
}
