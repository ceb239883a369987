/* SPDX-License-Identifier: Apache-2.0 */
/* plan: one config, read, bound and judged, that nothing has been done about yet. Start and reload make one
 * and carry it out; a bad one is dropped. Made in two steps, because plugins must be opened (crew_prepare)
 * between reading the names and binding the options. */
#ifndef PLAN_H
#define PLAN_H

#include "crew.h"
#include "serve.h"

struct plan {
	struct plan *next; /* for who keeps several */
	struct settings *settings;
	char **names; /* of all plugins in it, each once */
	size_t name_count;
	struct component_spec **specs; /* in config order; plan_take_specs gives them away */
	size_t spec_count;             /* of `components`, then of those `plugins` that run in a worker */
	struct serve *serve;
};

/* Reads the file. errs has all errors that could be found without the plugins; with some the plan is fit for
 * plan_bind only, which finds the rest. NULL: there is no tree at all. */
struct plan *plan_read(const char *path, config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* Binds options and routes, once the crew has opened the plugins. false: errs has errors, old or new. */
bool plan_bind(struct plan *plan, const struct crew *crew, config_lookup *lookup,
	       struct err_list *errs) MUST_CHECK;
void plan_print(const struct plan *plan, struct buf *out);
void plan_free(struct plan *plan);

#endif
