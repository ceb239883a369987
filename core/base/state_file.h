/* SPDX-License-Identifier: Apache-2.0 */
/* state_file: one file of the daemon's own in state_dir, that survives a restart: KIND.state. Its owner marks a
 * change with state_file_touch and is asked for the contents at most once a second; large contents are written
 * less often, at most STATE_FILE_RATE bytes a second on average. Equal contents are not written again.
 *
 * The contents are made on the loop's thread and written by a thread of their own, because fsync may take
 * seconds on a busy disk: to KIND.state.new, fsync, rename, fsync of the folder. A crash at any moment leaves
 * the old file or the new one. */
#ifndef STATE_FILE_H
#define STATE_FILE_H

#include "buf.h"
#include "loop.h"

#define STATE_FILE_MAX (16u << 20) /* a larger one is damaged */
#define STATE_FILE_RATE (64u << 10)

struct state_file;

typedef void state_file_make(void *arg, struct buf *body); /* adds the contents */

/* kind: a word for the file's name and its head; version: of the contents' form. */
struct state_file *state_file_new(struct loop *loop, const char *folder, const char *kind, uint32_t version,
				  state_file_make *make, void *arg);
/* Writes what has changed, which may take STATE_FILE_END_MS; may be NULL. */
void state_file_free(struct state_file *file);
/* Reads the contents into *body, which is empty. Returns false if there are none. A file that is damaged or of
 * another version is renamed to KIND.state.bad, with a line in the log. */
bool state_file_load(struct state_file *file, struct buf *body) MUST_CHECK;
/* Sets a loaded file aside, because its owner cannot read the contents. */
void state_file_reject(struct state_file *file, const char *why);
/* The contents have changed. Cheap. */
void state_file_touch(struct state_file *file);

/* The head before the contents: "skymon-state KIND VERSION SIZE HASH\n". Pure, for the two above. */
void state_file_pack(const char *kind, uint32_t version, const struct buf *body, struct buf *out);
/* Finds the contents in the bytes of a file, which are followed by a '\0'. */
bool state_file_unpack(const char *kind, uint32_t version, const struct buf *bytes, size_t *body_at,
		       struct err *err) MUST_CHECK;

#endif
