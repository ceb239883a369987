/* SPDX-License-Identifier: Apache-2.0 */
/* component: a configured component as the config describes it, bound to its plugin's declarations and
 * validated. Immutable. Made by the daemon's plan; the schedule takes it over. */
#ifndef COMPONENT_H
#define COMPONENT_H

#include "verdict.h"
#include "plugin/plugin.h"
#include "config/settings.h"

struct component_spec {
	char *name, *plugin, *labels;
	char *target; /* text of its SKYMON_TARGET option; NULL if the plugin has none */
	struct option_values *values;
	struct verdict_limit *limits;
	size_t limit_count;
	int64_t interval_ms, timeout_ms;
	enum skymon_impact impact;
	bool unknown_is_unhealthy, isolation_own;
	bool serves;    /* it stands under `plugins`: its plugin's routes are served */
	char *unusable; /* why its plugin cannot be used, in one sentence; NULL: it can. Then nothing is bound
			 */
	uint32_t rise, fall;
	uint64_t code;         /* of its plugin (plugin.h) */
	uint64_t secrets_hash; /* of the bytes of its secrets when it was bound: a changed file counts as a
				  changed option */
};

/* What is wrong in the config, and what is wrong around it: a plugin that cannot be opened, a secret file
 * that cannot be read. The latter does not keep skymond from starting; a warning keeps it from nothing. */
struct component_errs {
	struct err_list mistakes, around, warnings;
};

/* Does a component of that name keep secrets? */
struct component_stores {
	bool (*keeps)(void *arg, const char *component);
	void *arg;
};

/* Binds one section of `components` to its plugin's declarations, and reads its secrets (env, file) once to
 * see that they can be read. Mistakes of the config go to errs->mistakes; NULL when there was one. A secret
 * file that cannot be read goes to errs->around: the component is bound all the same. */
struct component_spec *component_bind(const struct settings *settings, const struct settings_section *section,
				      const struct plugin_info *info, const struct component_stores *stores,
				      config_lookup *lookup, struct component_errs *errs) MUST_CHECK;
/* A section whose plugin cannot be used: it is unknown with that sentence until it can. */
struct component_spec *component_unusable(const struct settings_section *section, const char *why);
void component_spec_free(struct component_spec *spec);
/* Would its worker be told the same? (name, plugin and its code, options, secrets, isolation; not interval,
 * thresholds, impact …) */
bool component_same_options(const struct component_spec *a, const struct component_spec *b);
/* The body of WIRE_START; secrets: the bytes of each of option_secrets (NULL: left out). To be wiped after
 * use (component_wipe). */
void component_encode(const struct component_spec *spec, const char *state_dir, uint32_t series_max,
		      const struct option_bytes *secrets, struct buf *body);
/* To see that secrets have changed, within one process; never shown. */
uint64_t component_hash(const struct option_bytes *secrets, size_t count);
/* Differs when anything of it does, its secrets too. */
uint64_t component_fingerprint(const struct component_spec *spec);
void component_print(const struct component_spec *spec, struct buf *out); /* as YAML, secrets masked */
void component_wipe(struct buf *body);

#endif
