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
	char *group;    /* NULL if it is in none */
	char **parents; /* names of the components that it depends on */
	size_t parent_count;
	char *target; /* text of its SKYMON_TARGET option; NULL if the plugin has none */
	struct option_values *values;
	struct verdict_limit *limits;
	size_t limit_count;
	int64_t interval_ms, timeout_ms;
	enum skymon_impact impact;
	bool unknown_is_unhealthy, isolation_own;
	uint8_t observe; /* enum message_observe; 0 in skymond */
	bool serves;     /* it is under `plugins`: its plugin's routes are served */
	char *unusable; /* why its plugin cannot be used, in one sentence; NULL: it can. Then nothing is bound
			 */
	uint32_t rise, fall;
	uint64_t code;     /* of its plugin (plugin.h) */
	uint64_t identity; /* of plugin and options, without secrets, the same in each process; 0: unusable */
	uint64_t secrets_hash; /* of its secrets when it was bound: a changed file is a changed option */
};

/* mistakes: of the config, which keep skymond from starting. around: a plugin that cannot be opened, a secret
 * file that cannot be read: skymond starts with what works. */
struct component_errs {
	struct err_list mistakes, around, warnings;
};

/* Does a component of that name keep secrets? */
struct component_stores {
	bool (*keeps)(void *arg, const char *component);
	void *arg;
};

/* Binds one section of `components` to its plugin's declarations, and reads its secrets (env, file) once to
 * validate them. Returns NULL when there was a mistake; a secret file that cannot be read is reported around,
 * and the component is bound. */
struct component_spec *component_bind(const struct settings *settings, const struct settings_section *section,
				      const struct plugin_info *info, const struct component_stores *stores,
				      config_lookup *lookup, struct component_errs *errs) MUST_CHECK;
/* Makes the spec of a section whose plugin cannot be used: the component is unknown, for that reason. */
struct component_spec *component_unusable(const struct settings_section *section, const char *why);
void component_spec_free(struct component_spec *spec);
/* Are name, plugin and its code, options, secrets and isolation the same, so that the component can keep
 * running? (Not interval, thresholds, impact and the like.) */
bool component_same_options(const struct component_spec *a, const struct component_spec *b);
/* Writes the body of WIRE_START, to be wiped with component_wipe. secrets: the bytes of each of
 * option_secrets, or NULL to leave one out. */
void component_encode(const struct component_spec *spec, const char *state_dir, uint32_t series_max,
		      const struct option_bytes *secrets, struct buf *body);
/* Hashes secrets, to detect a change within one process; the hash must not be shown. */
uint64_t component_hash(const struct option_bytes *secrets, size_t count);
/* Hashes the whole spec, with its secrets. */
uint64_t component_fingerprint(const struct component_spec *spec);
void component_print(const struct component_spec *spec, struct buf *out); /* as YAML, secrets masked */
/* Prints the JSON Schema of a config in which these plugins may be named. */
void component_schema(const struct plugin_info *const *infos, size_t count, struct buf *out);
void component_wipe(struct buf *body);

#endif
