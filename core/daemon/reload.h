/* SPDX-License-Identifier: Apache-2.0 */
/* reload: from the config file to a plan that may be carried out, for the start and for each reload: reads
 * it, has the plugins opened, binds, has the plugins validate options, and reports all mistakes at once.
 * Nothing of what runs is touched. Also tries again what could not be used when the plan in force was made.
 */
#ifndef RELOAD_H
#define RELOAD_H

#include "plan.h"

struct reload;

struct reload_events {
	/* The file was read; its settings may still have mistakes. */
	void (*read)(void *arg, const struct settings *settings);
	/* The plan may be carried out; taken over. again: it is the plan in force, with more of it usable. */
	void (*good)(void *arg, struct plan *plan, bool again);
	/* It may not; all was logged. */
	void (*bad)(void *arg, size_t count);
};

struct reload *reload_new(struct loop *loop, struct pool *pool, const char *path,
			  const struct reload_events *events, void *arg);
void reload_free(struct reload *reload);
/* lenient: what is wrong around the config is logged, and does not count as a mistake. While one is under
 * way, this one follows it. */
void reload_begin(struct reload *reload, bool lenient);
bool reload_is_busy(const struct reload *reload);
/* The plan in force: while some of its plugins cannot be used, they are tried again with back-off. It must
 * live until the next call; NULL: none. */
void reload_in_force(struct reload *reload, const struct plan *plan);

/* "2 added (a, b), 1 removed (c), 1 changed (d)" or "nothing changed": the components of new beside those of
 * old. */
void reload_describe(const struct plan *old, const struct plan *new, struct buf *out);

#endif
