/* SPDX-License-Identifier: Apache-2.0 */
/* plan: one config, read, bound and validated, and not yet carried out. Start and reload make one and carry
 * it out; a bad one is dropped. It is made in two steps, because plugins must be opened (pool_prepare)
 * between reading the names and binding the options. */
#ifndef PLAN_H
#define PLAN_H

#include "supervisor/pool.h"
#include "served.h"

struct component_summary { /* identifies a spec, which sched may have taken, to describe what a reload changes
			    */
	char *name;
	uint64_t fingerprint;
};

struct plan {
	struct plan *next; /* for lists of plans */
	struct settings *settings;
	char **names; /* of all its plugins, each once */
	size_t name_count;
	struct component_spec **specs; /* in config order, until plan_take_specs() */
	size_t spec_count;             /* of `components`, then of those `plugins` that run in a worker */
	struct component_summary *summaries;
	size_t summary_count;
	const struct settings_section **sections; /* the section of each spec */
	size_t unusable;                          /* specs whose plugin cannot be used */
	struct served *served;
};

/* Reads the file. errs gets all errors that can be found without the plugins; a plan with errors is usable
 * only for plan_bind(), which finds the rest. */
struct plan *plan_read(const char *path, config_lookup *lookup, struct err_list *errs) MUST_CHECK;
/* Returns an unbound plan from the same settings, to retry plugins that could not be used. */
struct plan *plan_again(const struct plan *plan) MUST_CHECK;
/* Binds options and routes, after the pool has opened the plugins. Returns false if errs->mistakes has
 * errors, old or new. Faults outside the config are in errs->around, and affect their own components only. */
bool plan_bind(struct plan *plan, const struct pool *pool, config_lookup *lookup,
	       struct component_errs *errs) MUST_CHECK;
/* Takes a mistake that a plugin's `validate` reports of a spec (pool_mistake). */
void plan_mistake(const struct plan *plan, const struct component_spec *spec, const char *option,
		  const char *text, struct component_errs *errs);
/* Returns whether a section of `components` has this name and plugin. */
bool plan_has_component(const struct plan *plan, const char *name, const char *plugin);
void plan_print(const struct plan *plan, struct buf *out);
void plan_free(struct plan *plan);

#endif
