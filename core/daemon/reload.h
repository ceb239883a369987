/* SPDX-License-Identifier: Apache-2.0 */
/* reload: from the config file to a plan that can be carried out, for the start and for each reload: reads
 * the file, has the plugins opened, binds, has the plugins validate options, and reports all mistakes at
 * once. It does not touch what is running. Also retries plugins that could not be used when the plan in force
 * was made. */
#ifndef RELOAD_H
#define RELOAD_H

#include "plan.h"

struct reload;

struct reload_events {
	/* The file has been read; its settings may still have mistakes. */
	void (*read)(void *arg, const struct settings *settings);
	/* The plan is good; the callee owns it. again: a retry of the plan in force, with more of it usable.
	 */
	void (*good)(void *arg, struct plan *plan, bool again);
	/* The config is refused; all errors have been logged, and are those, in the order of the file. */
	void (*bad)(void *arg, const struct err_list *errors);
};

struct reload *reload_new(struct loop *loop, struct pool *pool, const char *path,
			  const struct reload_events *events, void *arg);
void reload_free(struct reload *reload);
/* lenient: faults outside the config are logged, and do not count as mistakes. If a reload is in progress,
 * this one follows it. */
void reload_begin(struct reload *reload, bool lenient);
/* Returns the number of the present reload, or of the last one: 1 for the start. The next reload_begin is followed
 * by one with a higher number. */
uint64_t reload_turn(const struct reload *reload);
bool reload_is_busy(const struct reload *reload);
/* Sets the plan in force: plugins of it that cannot be used are retried with back-off. It must live until the
 * next call; NULL for none. */
void reload_in_force(struct reload *reload, const struct plan *plan);

struct reload_changes { /* names of components */
	struct err_list added, removed, changed;
};
/* Compares new's components with old's. */
void reload_compare(const struct plan *old, const struct plan *new, struct reload_changes *out);
/* Prints "2 added (a, b), 1 removed (c), 1 changed (d)" or "no component changed". */
void reload_changes_print(const struct reload_changes *changes, struct buf *out);
void reload_changes_free(struct reload_changes *changes);

#endif
