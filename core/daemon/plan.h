/* SPDX-License-Identifier: Apache-2.0 */
/* plan: one config, read, bound and judged, that nothing has been done about yet. Start and reload make one
 * and carry it out; a bad one is dropped. Made in two steps, because plugins must be opened (pool_prepare)
 * between reading the names and binding the options. */
#ifndef PLAN_H
#define PLAN_H

#include "supervisor/pool.h"
#include "served.h"

struct component_summary { /* for what a reload changes: of a spec that sched may have taken */
	char *name;
	uint64_t fingerprint;
};

struct plan {
	struct plan *next; /* for who keeps several */
	struct settings *settings;
	char **names; /* of all plugins in it, each once */
	size_t name_count;
	struct component_spec **specs; /* in config order; plan_take_specs gives them away */
	size_t spec_count;             /* of `components`, then of those `plugins` that run in a worker */
	struct component_summary *summaries;
	size_t summary_count;
	const struct settings_section **sections; /* where each spec comes from */
	size_t unusable;                          /* specs whose plugin cannot be used */
	struct serve *serve;
};

/* Reads the file. errs has all errors that could be found without the plugins; with some the plan is fit for
 * plan_bind only, which finds the rest. NULL: there is no tree at all. */
struct plan *plan_read(const char *path, config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* A new one from the same settings, not bound yet: to try again what could not be used. */
struct plan *plan_again(const struct plan *plan) MUST_CHECK;
/* Binds options and routes, once the pool has opened the plugins. false: errs->mistakes has errors, old or
 * new. What is wrong around the config is in errs->around, and costs its own components only. */
bool plan_bind(struct plan *plan, const struct pool *pool, config_lookup *lookup,
	       struct component_errs *errs) MUST_CHECK;
/* What a plugin's validate says of a spec: as pool_mistake. */
void plan_mistake(const struct plan *plan, const struct component_spec *spec, const char *option,
		  const char *text, struct component_errs *errs);
void plan_print(const struct plan *plan, struct buf *out);
void plan_free(struct plan *plan);

#endif
