/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance: windows in which components are silenced. Called by settings.c on the daemon's thread, after the
 * components are read; a window's texts belong to its values. */
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "settings_private.h"

#define WINDOWS_MAX 100
#define LENGTH_MAX_MS 518400000 /* 6 days: the last of a week is never silenced */

static const struct skymon_option window_table[] = {
	SKYMON_OPT(struct settings_window_options, components, NULL, "names of components"),
	SKYMON_OPT(struct settings_window_options, groups, NULL, "names of groups"),
	SKYMON_OPT(struct settings_window_options, every, NULL,
		   "when it begins: \"sun 02:00\", \"mon-fri 22:30\", \"day 03:00\"",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT_NAMED(struct settings_window_options, length, "for", NULL, "how long it lasts",
			 .flags = SKYMON_REQUIRED, .min = 60000, .max = LENGTH_MAX_MS),
	SKYMON_OPT(struct settings_window_options, zone, "UTC", "whose clock counts, such as Europe/Berlin"),
	SKYMON_OPT(struct settings_window_options, why, "maintenance window", "the reason that is shown"),
	{0}};

static bool known(const struct settings *s, const char *name, bool group)
{
	for (size_t list = 0; list < 2; list++) {
		const struct settings_section *sections = list == 0 ? s->components : s->plugins;
		size_t count = list == 0 ? s->component_count : s->plugin_count;
		for (size_t i = 0; i < count; i++) {
			const char *have = group ? sections[i].group : sections[i].name;
			if (have != NULL && strcmp(have, name) == 0)
				return true;
		}
	}
	return false;
}

static const char *nearest(const struct settings *s, const char *name, bool group)
{
	const char **names = x_alloc((s->component_count + 1) * sizeof(*names));
	size_t count = 0;
	for (size_t i = 0; i < s->component_count; i++) {
		const char *have = group ? s->components[i].group : s->components[i].name;
		if (have != NULL)
			names[count++] = have;
	}
	const char *near = nearest_word(name, names, count);
	free(names);
	return near;
}

/* node: the list, or its one entry. */
static void check_names(struct binding *b, const struct config_node *node, const struct skymon_texts *names,
			bool group)
{
	for (size_t i = 0; i < names->count; i++) {
		if (known(b->settings, names->items[i], group))
			continue;
		const char *near = nearest(b->settings, names->items[i], group);
		config_error(b->errs, node->kind == CONFIG_LIST ? node->items[i] : node,
			     "`%.63s` of maintenance is not a %s of the configuration%s%s%s", names->items[i],
			     group ? "group" : "component", near != NULL ? " (did you mean `" : "",
			     near != NULL ? near : "", near != NULL ? "`?)" : "");
	}
}

static void check_window(struct binding *b, const struct config_node *node, struct settings_window *window)
{
	const struct settings_window_options *options = &window->options;
	struct err err;
	if (options->components.count + options->groups.count == 0)
		config_error(b->errs, node, "maintenance needs `components` or `groups`");
	check_names(b, config_value(node, "components"), &options->components, false);
	check_names(b, config_value(node, "groups"), &options->groups, true);
	if (!window_parse(options->every, &window->window, &err))
		config_error(b->errs, config_value(node, "every"), "%s", err.text);
	else if (options->length.ms >= (int64_t)window_period_days(window->window.days) * 86400000)
		config_error(
			b->errs, config_value(node, "for"),
			"`for` of maintenance is as long as the time to the next window: it would never end");
	if (!window_zone_exists(options->zone, &err))
		config_error(b->errs, config_value(node, "zone"), "%s", err.text);
	window->window.length_s = options->length.ms / 1000;
	window->window.zone = options->zone;
}

void settings_read_maintenance(struct binding *b)
{
	struct settings *s = b->settings;
	const struct config_node *list = config_value(b->root, "maintenance");
	if (list == NULL || list->kind == CONFIG_EMPTY)
		return;
	if (list->kind != CONFIG_LIST || list->count > WINDOWS_MAX) {
		config_error(
			b->errs, list,
			"`maintenance` must be a list of at most %d windows: [{components: [db], every: \"sun 02:00\", for: 2h}]",
			WINDOWS_MAX);
		return;
	}
	s->windows = x_alloc(list->count * sizeof(*s->windows));
	for (size_t i = 0; i < list->count; i++) {
		const struct config_node *node = list->items[i];
		struct settings_window *window = &s->windows[s->window_count];
		if (node->kind != CONFIG_MAP) {
			config_error(
				b->errs, node,
				"a window of maintenance must be a map: {components: [db], every: \"sun 02:00\", for: 2h}");
			continue;
		}
		window->values = settings_bind(b, window_table, node, NULL, "maintenance", &window->options);
		if (window->values == NULL)
			continue;
		s->window_count++;
		check_window(b, node, window);
	}
}

void settings_free_maintenance(struct settings *s)
{
	for (size_t i = 0; i < s->window_count; i++)
		option_values_free(s->windows[i].values);
	free(s->windows);
}

void settings_maintenance_schema(struct buf *out)
{
	buf_text(
		out,
		",\n\"maintenance\": {\"description\": \"windows in which components are silenced\", \"type\": [\"array\", \"null\"], \"items\": {");
	option_schema_begin(window_table, out);
	option_schema_end(window_table, out);
	buf_text(out, "}}");
}
