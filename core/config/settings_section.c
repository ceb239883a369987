/* SPDX-License-Identifier: Apache-2.0 */
/* plugins, components and defaults: names, and the options that all components have. Called by settings.c on
 * the daemon's thread; sections point into the config tree, which the settings own. */
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/nearest.h"
#include "settings_private.h"
#include "wire/result.h"

struct common {
	const char *plugin, *group;
	struct skymon_duration interval, timeout;
	struct skymon_choice impact, unknown_is, isolation;
	int64_t rise, fall;
	struct skymon_map labels;
	struct skymon_texts depends_on;
};

static const char *const impacts[] = {"unhealthy", "degraded", "none", NULL}; /* as enum skymon_impact */
static const char *const unknowns[] = {"degraded", "unhealthy", NULL};
static const char *const isolations[] = {"shared", "own", NULL};

static const struct skymon_option common_table[] = {
	SKYMON_OPT(struct common, plugin, NULL, "the plugin that checks it", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct common, interval, NULL, "time from one check to the next", .min = 100,
		   .max = 604800000),
	SKYMON_OPT(struct common, timeout, NULL, "time that a check may take", .min = 1, .max = 3600000),
	SKYMON_OPT(struct common, impact, "unhealthy", "what it does to the whole", .words = impacts),
	SKYMON_OPT(struct common, unknown_is, "degraded", "what unknown counts as", .words = unknowns),
	SKYMON_OPT(struct common, isolation, "shared", "a worker with others, or one of its own",
		   .words = isolations),
	SKYMON_OPT(struct common, rise, "1", "better results in a row that turn the status", .min = 1,
		   .max = 1000),
	SKYMON_OPT(struct common, fall, "1", "worse results in a row that turn the status", .min = 1,
		   .max = 1000),
	SKYMON_OPT(struct common, labels, NULL, "labels of all its metrics"),
	SKYMON_OPT(struct common, group, NULL, "the group that it is part of"),
	SKYMON_OPT(struct common, depends_on, NULL, "components without which it cannot be healthy"),
	{0}};

const char *const settings_component_keys[] = {"plugin",     "interval", "timeout", "impact",    "unknown_is",
					       "rise",       "fall",     "labels",  "isolation", "group",
					       "depends_on", "warn",     "crit",    NULL};
static const char *const common_keys[] = {"plugin", "interval",  "timeout", "impact", "unknown_is", "rise",
					  "fall",   "isolation", "labels",  "group",  "depends_on", NULL};
/* keys of defaults: all but `plugin` */
static const char *const *const default_keys = common_keys + 1;

/* ---- Defaults ---- */

static bool contains(const char *const *words, const char *word)
{
	for (; *words != NULL; words++)
		if (strcmp(*words, word) == 0)
			return true;
	return false;
}

/* Validates the common options of a map of defaults once, not again for every component that takes them. */
static bool check_common(struct binding *b, const struct config_node *map, const char *what)
{
	struct common common = {0};
	struct config_node *picked = settings_pick(&b->temporary, map, default_keys);
	struct option_values *values = settings_bind(b, common_table + 1, picked, NULL, what, &common);
	option_values_free(values);
	return values != NULL;
}

static bool check_default(struct binding *b, const struct config_pair *pair)
{
	if (contains(default_keys, pair->key) || pair->value->kind == CONFIG_EMPTY)
		return true;
	if (contains(settings_component_keys, pair->key)) {
		config_error_key(b->errs, pair,
				 "`%s` has no default for all: give it to a component, or to a plugin as "
				 "defaults.PLUGIN",
				 pair->key);
		return false;
	}
	if (pair->value->kind == CONFIG_MAP) {
		char *what = x_printf("defaults.%s", pair->key);
		bool ok = check_common(b, pair->value, what);
		free(what);
		return ok;
	}
	size_t count = sizeof(common_keys) / sizeof(common_keys[0]) - 2;
	if (nearest_word(pair->key, default_keys, count) != NULL || config_foreign(pair->key) != NULL)
		config_unknown_key(b->errs, pair, "option", " of defaults", default_keys, count);
	else
		config_error_key(b->errs, pair,
				 "unknown option `%.63s` of defaults: neither a common option nor a map of a "
				 "plugin's options",
				 pair->key);
	return false;
}

static bool read_defaults(struct binding *b)
{
	const struct config_node *defaults = config_value(b->root, "defaults");
	if (defaults == NULL || defaults->kind == CONFIG_EMPTY)
		return true;
	if (defaults->kind != CONFIG_MAP) {
		config_error(b->errs, defaults, "`defaults` must be a map of options");
		return false;
	}
	b->settings->defaults = defaults;
	bool ok = check_common(b, defaults, "defaults");
	for (size_t i = 0; i < defaults->count; i++)
		ok &= check_default(b, &defaults->pairs[i]);
	return ok;
}

/* ---- Components ---- */

static void check_labels(struct binding *b, const struct config_node *labels)
{
	for (size_t i = 0; labels != NULL && labels->kind == CONFIG_MAP && i < labels->count; i++) {
		const struct config_pair *pair = &labels->pairs[i];
		if (strcmp(pair->key, "component") == 0 || strcmp(pair->key, "service") == 0)
			config_error_key(b->errs, pair, "the label `%s` is set by skymon itself", pair->key);
		else if (label_name_reserved(pair->key))
			config_error_key(b->errs, pair, "the label `%s` is reserved: scrapers set it",
					 pair->key);
		else if (!label_name_ok(pair->key))
			config_error_key(b->errs, pair,
					 "`%.63s` is not a valid label name: letters, digits and _, no digit "
					 "and no __ first",
					 pair->key);
	}
}

static char *labels_text(const struct skymon_map *labels)
{
	struct buf text = {0};
	buf_text(&text, "");
	labels_print(&text, labels->items, labels->count);
	return text.data;
}

static const struct config_node *read_limits(struct binding *b, const struct settings_section *section,
					     const struct config_node *plugin, const char *key)
{
	bool named = plugin != NULL && plugin->kind == CONFIG_SCALAR;
	const struct config_node *own = named ? config_value(b->settings->defaults, plugin->text) : NULL;
	const struct config_node *node = config_value(section->node, key);
	if (node == NULL || node->kind == CONFIG_EMPTY)
		node = config_value(own, key);
	if (node == NULL || node->kind == CONFIG_EMPTY)
		return NULL;
	if (node->kind == CONFIG_MAP)
		return node;
	config_error(b->errs, node, "`%s` of %s %s must be a map of limits: {response_time: 200ms}", key,
		     section->serves ? "plugin" : "component", section->name);
	return NULL;
}

static void apply_common(struct binding *b, struct settings_section *section, const struct common *common)
{
	section->interval_ms = common->interval.ms;
	section->timeout_ms = common->timeout.ms;
	section->impact = (enum skymon_impact)common->impact.index;
	section->unknown_is_unhealthy = common->unknown_is.index == 1;
	section->isolation_own = common->isolation.index == 1;
	section->rise = (uint32_t)common->rise;
	section->fall = (uint32_t)common->fall;
	section->labels = labels_text(&common->labels);
	section->group = x_strdup(common->group);
	if (!name_is_plugin(section->plugin))
		config_error(b->errs, config_value(section->node, "plugin"),
			     "`%.63s` is not a valid plugin name: a-z, 0-9, _ and -", section->plugin);
}

/* The common options of a section: its own, then those of defaults.PLUGIN, then of defaults. general: which
 * of the last. */
static struct config_node *pick_common(struct binding *b, const struct config_node *node,
				       const char *const *keys, const char *plugin,
				       const char *const *general)
{
	struct settings *s = b->settings;
	struct config_node *picked = settings_pick(&b->temporary, node, keys);
	if (plugin != NULL)
		settings_pick_more(&b->temporary, picked, config_value(s->defaults, plugin), default_keys);
	if (general != NULL)
		settings_pick_more(&b->temporary, picked, s->defaults, general);
	return picked;
}

/* Binds the options that a section of either kind may have. plugin: its key of that name, or NULL. */
static bool bind_common(struct binding *b, struct settings_section *section,
			const struct skymon_option *table, const struct config_node *picked,
			const struct config_node *plugin, struct common *common)
{
	char *what = x_printf("%s %s", section->serves ? "plugin" : "component", section->name);
	struct option_values *values = settings_bind(b, table, picked, NULL, what, common);
	free(what);
	check_labels(b, config_value(picked, "labels"));
	if (values != NULL && common->group != NULL && !name_is_component(common->group))
		config_error(
			b->errs, config_value(picked, "group"),
			"`%.80s` is not a valid group name: a-z and 0-9, with _ and - between, at most 63",
			common->group);
	section->depends_on = config_value(picked, "depends_on");
	section->warn = read_limits(b, section, plugin, "warn");
	section->crit = read_limits(b, section, plugin, "crit");
	if (values == NULL)
		return false;
	apply_common(b, section, common);
	option_values_free(values);
	return true;
}

static void read_component(struct binding *b, const struct config_pair *pair, bool defaults_ok)
{
	struct settings *s = b->settings;
	struct settings_section *section = &s->components[s->component_count++];
	struct common common = {0};
	*section = (struct settings_section){.name = pair->key, .place = pair, .node = pair->value};
	if (!name_is_component(pair->key))
		config_error_key(
			b->errs, pair,
			"`%.80s` is not a valid component name: a-z and 0-9, with _ and - between, at "
			"most 63",
			pair->key);
	else if (strcmp(pair->key, "self") == 0)
		config_error_key(b->errs, pair,
				 "`self` is not a valid component name: it means the daemon itself");
	if (pair->value->kind != CONFIG_MAP && pair->value->kind != CONFIG_EMPTY) {
		config_error(b->errs, pair->value, "component %.63s must be a map of options", pair->key);
		return;
	}
	const struct config_node *plugin = config_value(pair->value, "plugin");
	bool named = plugin != NULL && plugin->kind == CONFIG_SCALAR;
	struct config_node *picked =
		pick_common(b, pair->value, common_keys, defaults_ok && named ? plugin->text : NULL,
			    defaults_ok ? default_keys : NULL);
	section->plugin = named ? plugin->text : NULL;
	/* named even after other mistakes, so that its plugin's options are validated too */
	if (!bind_common(b, section, common_table, picked, plugin, &common) && named &&
	    !name_is_plugin(plugin->text))
		section->plugin = NULL;
}

/* Defaults for all are meant for components; only the interval is for plugins too. */
static const char *const served_keys[] = {"interval", NULL};

/* Reads the same as of a component, but with the impact none as its default. */
static void read_served(struct binding *b, struct settings_section *section, bool defaults_ok)
{
	struct skymon_option table[sizeof(common_table) / sizeof(common_table[0]) - 1];
	struct common common = {.plugin = section->plugin};
	memcpy(table, common_table + 1, sizeof(table));
	for (struct skymon_option *option = table; option->name != NULL; option++)
		if (strcmp(option->name, "impact") == 0)
			option->fallback = "none";
	struct config_node *picked =
		pick_common(b, section->node, default_keys, defaults_ok ? section->plugin : NULL,
			    defaults_ok ? served_keys : NULL);
	(void)bind_common(b, section, table, picked, NULL, &common);
}

static void read_plugin(struct binding *b, const struct config_pair *pair, bool defaults_ok)
{
	struct settings *s = b->settings;
	struct settings_section *section = &s->plugins[s->plugin_count++];
	*section = (struct settings_section){
		.name = pair->key, .plugin = pair->key, .place = pair, .node = pair->value, .serves = true};
	if (!name_is_plugin(pair->key))
		config_error_key(b->errs, pair, "`%.80s` is not a valid plugin name: a-z, 0-9, _ and -",
				 pair->key);
	if (pair->value->kind != CONFIG_MAP && pair->value->kind != CONFIG_EMPTY)
		config_error(b->errs, pair->value,
			     "plugin %.63s must be a map of options; {} when it has none", pair->key);
	else if (name_is_plugin(pair->key))
		read_served(b, section, defaults_ok);
}

void settings_read_sections(struct binding *b)
{
	const struct config_pair *pairs = NULL;
	bool defaults_ok = read_defaults(b);
	size_t count = settings_map(b, "plugins", &pairs);
	b->settings->plugins = x_alloc((count + 1) * sizeof(*b->settings->plugins));
	for (size_t i = 0; i < count; i++)
		read_plugin(b, &pairs[i], defaults_ok);
	count = settings_map(b, "components", &pairs);
	b->settings->components = x_alloc((count + 1) * sizeof(*b->settings->components));
	for (size_t i = 0; i < count; i++)
		read_component(b, &pairs[i], defaults_ok);
}

/* ---- service.metrics ---- */

static const char *const source_keys[SETTINGS_SOURCES] = {
	"active_connections", "total_requests",    "error_rate_percent",   "average_response_time_ms",
	"memory_usage_mb",    "cpu_usage_percent", "database_connections", "cache_hit_rate_percent"};
#define OWN_SOURCES 6 /* what the daemon measures of itself: the first six */

static void check_source(struct binding *b, const struct config_node *node, size_t key)
{
	const struct settings *s = b->settings;
	const char *names[1024] = {"self"};
	size_t count = 1;
	if (strcmp(node->text, "self") == 0) {
		if (key >= OWN_SOURCES)
			config_error(
				b->errs, node,
				"the daemon does not measure %s itself: name a component that reports it",
				source_keys[key]);
		return;
	}
	for (size_t i = 0; i < s->component_count; i++) {
		if (strcmp(s->components[i].name, node->text) == 0)
			return;
		if (count < sizeof(names) / sizeof(names[0]))
			names[count++] = s->components[i].name;
	}
	const char *near = nearest_word(node->text, names, count);
	config_error(b->errs, node, "no such component: `%.63s`%s%s%s", node->text,
		     near != NULL ? " (did you mean `" : "", near != NULL ? near : "",
		     near != NULL ? "`?)" : "");
}

static void read_source(struct binding *b, const struct config_pair *pair)
{
	size_t key = 0;
	while (key < SETTINGS_SOURCES && strcmp(source_keys[key], pair->key) != 0)
		key++;
	if (key == SETTINGS_SOURCES) {
		const char *near = nearest_word(pair->key, source_keys, SETTINGS_SOURCES);
		config_error_key(b->errs, pair, "unknown metric `%.63s` of service.metrics%s%s%s", pair->key,
				 near != NULL ? " (did you mean `" : "", near != NULL ? near : "",
				 near != NULL ? "`?)" : "");
		return;
	}
	if (pair->value->kind == CONFIG_EMPTY)
		return;
	if (pair->value->kind != CONFIG_SCALAR) {
		config_error(b->errs, pair->value,
			     "the source of %s must be `self` or the name of a component", pair->key);
		return;
	}
	struct settings_source *source = &b->settings->sources[key];
	source->component = pair->value->text;
	source->place = pair->value;
	check_source(b, pair->value, key);
}

void settings_read_sources(struct binding *b, const struct config_node *metrics)
{
	struct settings *s = b->settings;
	for (size_t i = 0; i < SETTINGS_SOURCES; i++)
		s->sources[i] = (struct settings_source){.key = source_keys[i],
							 .component = i < OWN_SOURCES ? "self" : NULL};
	if (metrics == NULL || metrics->kind == CONFIG_EMPTY)
		return;
	if (metrics->kind != CONFIG_MAP) {
		config_error(b->errs, metrics, "`metrics` of service must be a map of sources");
		return;
	}
	for (size_t i = 0; i < metrics->count; i++)
		read_source(b, &metrics->pairs[i]);
}

/* ---- JSON Schema ---- */

void settings_schema_common(bool component, struct buf *out)
{
	option_schema_members(component ? common_table : common_table + 1, out);
}

void settings_sources_schema(struct buf *out)
{
	schema_member("metrics", out);
	buf_text(out, "\"type\": [\"object\", \"null\"], \"additionalProperties\": false, \"properties\": {");
	for (size_t i = 0; i < SETTINGS_SOURCES; i++) {
		schema_member(source_keys[i], out);
		buf_printf(
			out,
			"\"type\": [\"string\", \"null\"], \"description\": \"%sthe component that reports it\"%s}",
			i < OWN_SOURCES ? "self: this daemon; else " : "",
			i < OWN_SOURCES ? "" : ", \"not\": {\"const\": \"self\"}");
	}
	buf_text(out, "}}");
}
