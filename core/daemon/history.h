/* SPDX-License-Identifier: Apache-2.0 */
/* history: what the board knows of each component, kept over a restart in state_dir/board.state: its counters,
 * last success, and the result that gave its status, without numbers and series. A component whose plugin or
 * options have changed does not inherit. */
#ifndef HISTORY_H
#define HISTORY_H

#include "supervisor/sched.h"

struct history;

/* Reads the file, and has the first sched_apply use it. */
struct history *history_new(struct loop *loop, const char *state_dir, struct sched *sched,
			    struct board *board);
/* After the first sched_apply: the board is kept from now on. */
void history_begin(struct history *history);
void history_free(struct history *history); /* writes the last changes; before sched_end; may be NULL */

/* ---- The contents of the file ---- */

#define HISTORY_VERSION 1u

void history_put(struct buf *body, const struct component_spec *spec, const struct skymon_component *view);
struct history_entry {
	const char *name;
	uint64_t identity;
	struct board_record record;
};
/* Reads one entry in place; false at the end, or when the rest is damaged (in->bad). */
bool history_get(struct wire_reader *in, struct history_entry *entry);

#endif
