/* SPDX-License-Identifier: Apache-2.0 */
/* component: binds a section of the config to its plugin, compares, encodes and prints the spec. Called by
 * the daemon's plan and by the supervisor; owns nothing. On the loop's thread. */
#include "component.h"
#include "base/nearest.h"
#include "wire/message.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENCODED_ROOM 65536 /* what the options of a component rarely need */

/* Of the bytes and their number. */
static uint64_t hash(uint64_t state, const void *bytes, size_t size)
{
	return hash_add(hash_add(state, bytes, size), &size, sizeof(size));
}

/* ---- Thresholds ---- */

static const struct skymon_number response_time = {"response_time", "s", "How long the check took"};

static const struct skymon_number *find_number(const struct plugin_info *info, const char *name)
{
	if (strcmp(name, response_time.name) == 0)
		return &response_time;
	for (size_t i = 0; i < info->number_count; i++)
		if (plugin_declares(&info->numbers[i], name))
			return &info->numbers[i];
	return NULL;
}

static void report_unknown_number(const struct config_pair *pair, const struct plugin_info *info,
				  struct err_list *errs)
{
	const char **names = x_alloc((info->number_count + 1) * sizeof(*names));
	for (size_t i = 0; i < info->number_count; i++)
		names[i] = info->numbers[i].name;
	names[info->number_count] = response_time.name;
	const char *nearest = nearest_word(pair->key, names, info->number_count + 1);
	if (nearest != NULL)
		config_error_key(errs, pair, "plugin %s reports no number `%s` (did you mean `%s`?)",
				 info->name, pair->key, nearest);
	else
		config_error_key(
			errs, pair,
			"plugin %s reports no number `%s`: `skymon plugins %s` lists those that it does",
			info->name, pair->key, info->name);
	free(names);
}

static void bind_limit(struct component_spec *spec, const struct config_pair *pair, bool critical,
		       const struct plugin_info *info, struct err_list *errs)
{
	const struct skymon_number *number = find_number(info, pair->key);
	if (number == NULL) {
		report_unknown_number(pair, info, errs);
		return;
	}
	if (pair->value->kind != CONFIG_SCALAR) {
		config_error(errs, pair->value,
			     "a limit of `%s` is one value, such as 200ms, \"<10%%\" or 1..5", pair->key);
		return;
	}
	struct verdict_limit limit = {.critical = critical};
	struct err err;
	if (!verdict_limit_parse(pair->value->text, number->unit, &limit, &err)) {
		config_error(errs, pair->value, "limit of `%s`: %s", pair->key, err.text);
		return;
	}
	limit.name = x_strdup(pair->key);
	limit.unit = x_strdup(number->unit);
	limit.text = x_strdup(pair->value->text);
	spec->limits = x_realloc(spec->limits, (spec->limit_count + 1) * sizeof(*spec->limits));
	spec->limits[spec->limit_count++] = limit;
}

static void bind_limits(struct component_spec *spec, const struct config_node *map, bool critical,
			const struct plugin_info *info, struct err_list *errs)
{
	for (size_t i = 0; map != NULL && map->kind == CONFIG_MAP && i < map->count; i++)
		bind_limit(spec, &map->pairs[i], critical, info, errs);
}

/* ---- Secrets ---- */

uint64_t component_hash(const struct option_bytes *secrets, size_t count)
{
	uint64_t state = HASH_START;
	for (size_t i = 0; i < count; i++)
		state = hash(state, secrets[i].bytes, secrets[i].bytes != NULL ? secrets[i].size : 0);
	return state;
}

/* Reads variables and files; secrets of a store are requested when the component is started. */
static void read_own(struct component_spec *spec, const struct settings_section *section,
		     config_lookup *lookup, struct component_errs *errs)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(spec->values, &count);
	struct option_bytes *bytes = x_alloc((count + 1) * sizeof(*bytes));
	for (size_t i = 0; i < count; i++) {
		char *text = NULL;
		struct err err;
		if (secrets[i].kind == OPTION_SECRET_NONE || secrets[i].kind == OPTION_SECRET_STORE)
			continue;
		if (!option_secret_read(&secrets[i], lookup, &text, &bytes[i].size, &err))
			config_error(secrets[i].kind == OPTION_SECRET_FILE ? &errs->around : &errs->mistakes,
				     secrets[i].place != NULL ? secrets[i].place : section->node,
				     "option `%s` of component %s: %s", secrets[i].option, spec->name,
				     err.text);
		else if (option_secret_is_open(&secrets[i], &err))
			config_error(
				&errs->warnings, secrets[i].place != NULL ? secrets[i].place : section->node,
				"option `%s` of component %s: %s", secrets[i].option, spec->name, err.text);
		bytes[i].bytes = text;
	}
	spec->secrets_hash = component_hash(bytes, count);
	option_bytes_free(bytes, count);
}

static void check_stores(const struct component_spec *spec, const struct settings_section *section,
			 const struct plugin_info *info, const struct component_stores *stores,
			 struct err_list *errs)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(spec->values, &count);
	for (size_t i = 0; i < count; i++) {
		const struct config_node *place = secrets[i].place != NULL ? secrets[i].place : section->node;
		if (secrets[i].kind != OPTION_SECRET_STORE)
			continue;
		if (info->has_secret)
			config_error(errs, place,
				     "option `%s`: plugin %s keeps secrets itself, so its own come from a "
				     "literal, env or file",
				     secrets[i].option, info->name);
		else if (!stores->keeps(stores->arg, secrets[i].store))
			config_error(errs, place,
				     "option `%s` asks `%s` for a secret, but no component of that name "
				     "keeps secrets",
				     secrets[i].option, secrets[i].store);
	}
}

/* ---- The spec ---- */

static void copy_parents(struct component_spec *spec, const struct settings_section *section)
{
	size_t count = settings_parent_count(section);
	spec->parents = x_alloc((count + 1) * sizeof(*spec->parents));
	for (; spec->parent_count < count; spec->parent_count++)
		spec->parents[spec->parent_count] = x_strdup(settings_parent(section, spec->parent_count));
}

/* info: for the plugin's own defaults; NULL when they are not known. */
static struct component_spec *copy_section(const struct settings_section *section,
					   const struct plugin_info *info)
{
	struct component_spec *spec = x_alloc(sizeof(*spec));
	spec->name = x_strdup(section->name);
	spec->plugin = x_strdup(section->plugin);
	spec->labels = x_strdup(section->labels != NULL ? section->labels : "");
	spec->group = x_strdup(section->group);
	copy_parents(spec, section);
	int64_t interval_ms = info != NULL && info->interval_ms > 0 ? info->interval_ms : 30000;
	int64_t timeout_ms = info != NULL && info->timeout_ms > 0 ? info->timeout_ms : 5000;
	spec->interval_ms = section->interval_ms > 0 ? section->interval_ms : interval_ms;
	spec->timeout_ms = section->timeout_ms > 0 ? section->timeout_ms : timeout_ms;
	spec->impact = section->impact;
	spec->unknown_is_unhealthy = section->unknown_is_unhealthy;
	spec->isolation_own = section->isolation_own;
	spec->serves = section->serves;
	spec->code = info != NULL ? info->code : 0;
	spec->rise = section->rise;
	spec->fall = section->fall;
	return spec;
}

static char *find_target(const struct component_spec *spec, const struct plugin_info *info)
{
	for (const struct skymon_option *option = info->options; option != NULL && option->name != NULL;
	     option++)
		if ((option->flags & SKYMON_TARGET) != 0)
			return x_strdup(option_values_text(spec->values, option->name));
	return NULL;
}

static void warn_of_timeout(const struct settings *settings, const struct settings_section *section,
			    const struct component_spec *spec, struct err_list *warnings)
{
	const struct config_node *own = config_value(settings->defaults, section->plugin);
	const struct config_node *place = option_location(section->node, own, "timeout");
	char timeout[64], interval[64];
	option_number_text(SKYMON_DURATION, (double)spec->timeout_ms, timeout);
	option_number_text(SKYMON_DURATION, (double)spec->interval_ms, interval);
	if (place == NULL)
		place = config_value(settings->defaults, "timeout");
	config_error(warnings, place != NULL ? place : section->node,
		     "option `timeout` (%s) of component %s is above its interval (%s): a slow check delays "
		     "the next",
		     timeout, spec->name, interval);
}

/* Hashes what is measured: the plugin and its options, as --print-config shows them. */
static uint64_t identify(const struct component_spec *spec)
{
	struct buf text = {0};
	buf_printf(&text, "%s\n", spec->plugin);
	option_values_print(spec->values, 0, &text);
	uint64_t identity = hash_add(HASH_START, text.data, text.size);
	component_wipe(&text);
	return identity;
}

struct component_spec *component_bind(const struct settings *settings, const struct settings_section *section,
				      const struct plugin_info *info, const struct component_stores *stores,
				      config_lookup *lookup, struct component_errs *all)
{
	struct err_list *errs = &all->mistakes;
	size_t errors = errs->met;
	char what[128];
	snprintf(what, sizeof(what), "%s %s", section->serves ? "plugin" : "component", section->name);
	if (!info->has_check) { /* only a plugin in the daemon has none */
		config_error_key(errs, section->place,
				 "plugin %s has no check, so it cannot be a component's; it goes "
				 "under `plugins`",
				 info->name);
		return NULL;
	}
	struct component_spec *spec = copy_section(section, info);
	spec->values = option_bind(
		&(struct option_binding){
			.table = info->options,
			.section = section->node,
			.defaults = config_value(settings->defaults, section->plugin),
			.only_suggested = section->serves ? NULL : "each",
			.also = settings_component_keys + section->serves, /* `plugin` comes first */
			.what = what,
			.lookup = lookup,
		},
		errs);
	if (section->timeout_ms > spec->interval_ms)
		warn_of_timeout(settings, section, spec, &all->warnings);
	bind_limits(spec, section->warn, false, info, errs);
	bind_limits(spec, section->crit, true, info, errs);
	if (spec->values != NULL)
		spec->target = find_target(spec, info);
	if (spec->values != NULL)
		check_stores(spec, section, info, stores, errs);
	if (spec->values != NULL && option_not_configured(spec->values) == NULL)
		read_own(spec, section, lookup, all);
	if (errs->met == errors) {
		spec->identity = identify(spec);
		return spec;
	}
	component_spec_free(spec);
	return NULL;
}

struct component_spec *component_unusable(const struct settings_section *section, const char *why)
{
	static const struct skymon_option none[] = {{0}};
	struct err_list errs = {0};
	struct component_spec *spec = copy_section(section, NULL);
	spec->values = option_bind(&(struct option_binding){.table = none, .what = section->name}, &errs);
	spec->unusable = x_strdup(why);
	err_list_free(&errs); /* an empty table has no mistakes */
	return spec;
}

void component_spec_free(struct component_spec *spec)
{
	if (spec == NULL)
		return;
	for (size_t i = 0; i < spec->limit_count; i++) {
		free(spec->limits[i].name);
		free(spec->limits[i].unit);
		free(spec->limits[i].text);
	}
	free(spec->limits);
	if (spec->values != NULL)
		option_values_free(spec->values);
	free(spec->name);
	free(spec->plugin);
	free(spec->labels);
	free(spec->group);
	for (size_t i = 0; i < spec->parent_count; i++)
		free(spec->parents[i]);
	free(spec->parents);
	free(spec->target);
	free(spec->unusable);
	free(spec);
}

bool component_same_options(const struct component_spec *a, const struct component_spec *b)
{
	if (a->unusable != NULL || b->unusable != NULL)
		return false;
	return strcmp(a->name, b->name) == 0 && strcmp(a->plugin, b->plugin) == 0 &&
	       strcmp(a->labels, b->labels) == 0 && a->isolation_own == b->isolation_own &&
	       a->serves == b->serves && a->code == b->code && a->secrets_hash == b->secrets_hash &&
	       option_values_equal(a->values, b->values);
}

void component_encode(const struct component_spec *spec, const char *state_dir, uint32_t series_max,
		      const struct option_bytes *secrets, struct buf *body)
{
	size_t count, total = 0;
	option_secrets(spec->values, &count);
	for (size_t i = 0; i < count; i++)
		total += secrets[i].size;
	buf_room(body, total + ENCODED_ROOM); /* growing would leave copies of secrets in freed memory */
	message_put_start(body, &(struct message_start){.name = spec->name,
							.state_dir = state_dir,
							.labels = spec->labels,
							.series_max = series_max,
							.interval_ms = spec->interval_ms,
							.observe = spec->observe});
	option_values_encode(spec->values, secrets, body);
}

void component_wipe(struct buf *body)
{
	if (body->data != NULL)
		explicit_bzero(body->data, body->capacity);
	buf_free(body);
}

static void print_limits(const struct component_spec *spec, bool critical, struct buf *out)
{
	bool first = true;
	for (size_t i = 0; i < spec->limit_count; i++) {
		if (spec->limits[i].critical != critical)
			continue;
		buf_printf(out, "%s%s: \"%s\"", first ? critical ? "    crit: {" : "    warn: {" : ", ",
			   spec->limits[i].name, spec->limits[i].text);
		first = false;
	}
	if (!first)
		buf_text(out, "}\n");
}

/* Labels escape what YAML's double quotes escape; only a dollar sign differs. */
static void print_labels(const char *labels, struct buf *out)
{
	bool quoted = false;
	if (*labels == '\0')
		return;
	buf_text(out, "    labels: {");
	for (; *labels != '\0'; labels++) {
		if (labels[0] == '\\') {
			buf_add(out, labels++, 2);
			continue;
		}
		quoted ^= *labels == '"';
		if (*labels == '$')
			buf_text(out, "$$");
		else if (!quoted && (*labels == '=' || *labels == ','))
			buf_text(out, *labels == '=' ? ": " : ", ");
		else
			buf_add(out, labels, 1);
	}
	buf_text(out, "}\n");
}

static void print_parents(const struct component_spec *spec, struct buf *out)
{
	for (size_t i = 0; i < spec->parent_count; i++) {
		buf_text(out, i == 0 ? "    depends_on: [" : ", ");
		option_text_print(spec->parents[i], out);
	}
	if (spec->parent_count > 0)
		buf_text(out, "]\n");
}

void component_print(const struct component_spec *spec, struct buf *out)
{
	static const char *const impacts[] = {"unhealthy", "degraded", "none"};
	char interval[64], timeout[64];
	option_number_text(SKYMON_DURATION, (double)spec->interval_ms, interval);
	option_number_text(SKYMON_DURATION, (double)spec->timeout_ms, timeout);
	buf_printf(out, "  %s:\n", spec->name);
	if (!spec->serves)
		buf_printf(out, "    plugin: %s\n", spec->plugin);
	buf_printf(out, "    interval: %s\n", interval);
	if (!option_values_has(spec->values,
			       "timeout")) /* an option of that name is printed with the options */
		buf_printf(out, "    timeout: %s\n", timeout);
	buf_printf(out, "    impact: %s\n    unknown_is: %s\n    rise: %u\n    fall: %u\n    isolation: %s\n",
		   impacts[spec->impact], spec->unknown_is_unhealthy ? "unhealthy" : "degraded", spec->rise,
		   spec->fall, spec->isolation_own ? "own" : "shared");
	print_labels(spec->labels, out);
	if (spec->group != NULL) {
		buf_text(out, "    group: ");
		option_text_print(spec->group, out);
		buf_text(out, "\n");
	}
	print_parents(spec, out);
	print_limits(spec, false, out);
	print_limits(spec, true, out);
	option_values_print(spec->values, 4, out);
}

uint64_t component_fingerprint(const struct component_spec *spec)
{
	struct buf text = {0};
	component_print(spec, &text);
	buf_printf(&text, "%s\n%s\n", spec->plugin, spec->unusable != NULL ? "unusable" : "");
	uint64_t state = hash(spec->secrets_hash, text.data, text.size);
	component_wipe(&text);
	return state;
}
