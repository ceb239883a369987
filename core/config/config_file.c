/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one file of the configuration into a tree, its variables expanded. Called by config_load.c and
 * config_each.c, on the daemon's thread; the reader's arena owns the tree. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config_private.h"

struct config_node *config_read(const struct config_reader *reader, const char *path,
				const struct config_node *location, bool ignore_x)
{
	struct err err;
	struct buf text = {0};
	const char *name = arena_text(reader->arena, path);
	if (!file_read("", path, CONFIG_FILE_MAX, &text, &err)) {
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
