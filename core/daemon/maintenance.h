/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance: which components are silenced now: by silences, which callers of the API make and which are kept
 * over a restart in state_dir/maintenance.state, and by windows of the configuration. Reports them to the board. */
#ifndef MAINTENANCE_H
#define MAINTENANCE_H

#include "base/loop.h"
#include "board/board.h"
#include "config/settings.h"

#define SILENCES_MAX 100
#define SILENCE_MAX_MS ((int64_t)30 * 24 * 3600 * 1000)
#define SILENCE_MIN_MS 1000
#define SILENCE_TEXT_MAX 200 /* bytes of why */
#define SILENCE_NAMES_MAX 100

struct silence {
	char id[9];                  /* "s1" and so on */
	char **components, **groups; /* end with NULL */
	char *why, *by;
	int64_t since_ms, until_ms;
};

struct maintenance;

/* state_dir: NULL if nothing can be kept. */
struct maintenance *maintenance_new(struct loop *loop, const char *state_dir, struct board *board);
void maintenance_free(struct maintenance *maintenance); /* may be NULL */
/* Sets the settings in force, whose components are on the board; they must live until the next call. */
void maintenance_configure(struct maintenance *maintenance, const struct settings *settings);

/* Is it the name of a component, or of a group, of the settings in force? */
bool maintenance_knows(const struct maintenance *maintenance, const char *name, bool group);
/* Takes the lists of names; length_ms is within the bounds. Returns NULL if there are SILENCES_MAX already. The
 * silence is valid until the loop's next turn. */
const struct silence *maintenance_add(struct maintenance *maintenance, char **components, char **groups,
				      int64_t length_ms, const char *why, const char *by);
bool maintenance_end(struct maintenance *maintenance, const char *id); /* false if there is none */
void silence_json(const struct silence *silence, struct buf *out);
void maintenance_json(const struct maintenance *maintenance, struct buf *out);
void names_free(char **names);

#endif
