/* SPDX-License-Identifier: Apache-2.0 */
/* plan: reads one config and binds it. Called by reload, on the loop's thread; owns settings, specs and
 * served plugins until they are taken. See plan.h. */
#include "plan_private.h"

#include <stdlib.h>
#include <string.h>

static void add_name(struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->name_count; i++)
		if (strcmp(plan->names[i], name) == 0)
			return;
	plan->names = x_realloc(plan->names, (plan->name_count + 1) * sizeof(char *));
	plan->names[plan->name_count++] = x_strdup(name);
}

static void add_names(struct plan *plan)
{
	const struct settings *settings = plan->settings;
	for (size_t i = 0; i < settings->plugin_count; i++)
		add_name(plan, settings->plugins[i].plugin);
	for (size_t i = 0; i < settings->component_count; i++)
		if (settings->components[i].plugin != NULL)
			add_name(plan, settings->components[i].plugin);
}

struct plan *plan_read(const char *path, config_lookup *lookup, struct err_list *errs)
{
	struct config config;
	(void)!config_load(path, lookup, &config, errs); /* go on with what could be read, for more errors */
	struct plan *plan = x_alloc(sizeof(*plan));
	plan->settings = settings_read(&config, lookup, errs);
	add_names(plan);
	return plan;
}

struct plan *plan_again(const struct plan *plan)
{
	struct plan *again = x_alloc(sizeof(*again));
	again->settings = settings_ref(plan->settings);
	add_names(again);
	return again;
}

static const struct plugin_info *get_info(void *arg, const char *name, const char **why)
{
	return pool_info(arg, name, why);
}

static const char *get_path(void *arg, const char *name, int *copy)
{
	return pool_plugin_path(arg, name, copy);
}

struct stores {
	const struct plan *plan;
	const struct pool *pool;
};

static bool keeps_secrets(void *arg, const char *component)
{
	const struct stores *stores = arg;
	const struct settings *settings = stores->plan->settings;
	for (size_t i = 0; i < settings->component_count; i++) {
		const struct settings_section *section = &settings->components[i];
		const char *why;
		if (section->plugin == NULL || strcmp(section->name, component) != 0)
			continue;
		const struct plugin_info *info = pool_info(stores->pool, section->plugin, &why);
		return info == NULL || info->has_secret; /* unknown while it cannot be opened */
	}
	return false;
}

/* Refuses a component with the name of a served plugin, whose own component has it. */
static void check_name(const struct plan *plan, const struct settings_section *section, struct err_list *errs)
{
	for (size_t i = 0; i < plan->settings->component_count; i++) {
		const struct config_pair *other = plan->settings->components[i].place;
		if (strcmp(plan->settings->components[i].name, section->name) == 0)
			config_error_key(errs, section->place,
					 "plugin %s is a component of that name too, which %s:%u has already",
					 section->name, other->value->file, other->line);
	}
}

static void add_spec(struct plan *plan, struct component_spec *spec, const struct settings_section *section)
{
	plan->sections[plan->spec_count] = section;
	plan->specs[plan->spec_count++] = spec;
}

/* Adds a component whose plugin cannot be opened. */
static void add_unusable(struct plan *plan, const struct settings_section *section, const char *why,
			 struct component_errs *errs)
{
	const struct config_node *place = config_value(section->node, "plugin");
	struct err err;
	err_set(&err, "plugin %s cannot be used: %s", section->plugin, why);
	if (place != NULL)
		config_error(&errs->around, place, "component %s: %s", section->name, err.text);
	else
		config_error_key(&errs->around, section->place, "%s", err.text);
	add_spec(plan, component_unusable(section, err.text), section);
	plan->unusable++;
}

static void bind_component(struct plan *plan, const struct settings_section *section, const struct pool *pool,
			   config_lookup *lookup, struct component_errs *errs)
{
	const char *why;
	if (section->plugin == NULL)
		return; /* reported already */
	const struct plugin_info *info = pool_info(pool, section->plugin, &why);
	if (section->serves) {
		if (info != NULL && ((info->flags & SKYMON_IN_DAEMON) != 0 || info->route_count == 0))
			return; /* bound by served */
		check_name(plan, section, &errs->mistakes);
	}
	if (info == NULL) {
		add_unusable(plan, section, why, errs);
		return;
	}
	struct stores stores = {plan, pool};
	struct component_spec *spec =
		component_bind(plan->settings, section, info,
			       &(struct component_stores){keeps_secrets, &stores}, lookup, errs);
	if (spec == NULL)
		return;
	if (option_not_configured(spec->values) == NULL)
		plan_check_component_files(plan->settings, section, spec, errs);
	add_spec(plan, spec, section);
}

bool plan_has_component(const struct plan *plan, const char *name, const char *plugin)
{
	for (size_t i = 0; i < plan->settings->component_count; i++) {
		const struct settings_section *section = &plan->settings->components[i];
		if (strcmp(section->name, name) == 0)
			return section->plugin != NULL && strcmp(section->plugin, plugin) == 0;
	}
	return false;
}

static const struct settings_section *section_of(const struct plan *plan, const struct component_spec *spec)
{
	size_t i = 0;
	while (plan->specs[i] != spec)
		i++;
	return plan->sections[i];
}

void plan_mistake(const struct plan *plan, const struct component_spec *spec, const char *option,
		  const char *text, struct component_errs *errs)
{
	const struct settings_section *section = section_of(plan, spec);
	const char *what = section->serves ? "plugin" : "component";
	const char *empty = option_empty_target(spec->values);
	if (option != NULL && empty != NULL && strcmp(option, empty) == 0)
		return; /* empty on purpose */
	if (option == NULL) {
		config_error_key(&errs->around, section->place, "%s %s: plugin %s: %s", what, spec->name,
				 spec->plugin, text);
		return;
	}
	const struct config_node *place =
		option_location(section->node, config_value(plan->settings->defaults, spec->plugin), option);
	if (place != NULL)
		config_error(&errs->mistakes, place, "option `%s` of %s %s %s", option, what, spec->name,
			     text);
	else
		config_error_key(&errs->mistakes, section->place, "option `%s` of %s %s %s", option, what,
				 spec->name, text);
}

/* Checks that each source reports a number of the key's name. */
static void check_sources(const struct plan *plan, const struct pool *pool, struct err_list *errs)
{
	const struct settings *settings = plan->settings;
	for (size_t i = 0; i < SETTINGS_SOURCES; i++) {
		const struct settings_source *source = &settings->sources[i];
		for (size_t j = 0; source->component != NULL && j < settings->component_count; j++) {
			const struct settings_section *section = &settings->components[j];
			const char *why;
			if (section->plugin == NULL || strcmp(section->name, source->component) != 0)
				continue;
			const struct plugin_info *info = pool_info(pool, section->plugin, &why);
			if (info == NULL)
				continue;
			size_t n = 0;
			while (n < info->number_count && strcmp(info->numbers[n].name, source->key) != 0)
				n++;
			if (n == info->number_count)
				config_error(errs, source->place,
					     "component %s (plugin %s) reports no number `%s`, so it cannot "
					     "be its source",
					     section->name, section->plugin, source->key);
		}
	}
}

static void check_isolation(const struct settings *settings, struct err_list *errs)
{
	unsigned missing =
		settings->places.isolation.index == SETTINGS_ISOLATION_STRICT ? sandbox_missing() : 0;
	for (size_t i = 0; i < 3; i++)
		if ((missing >> i & 1) != 0)
			config_error(errs, config_value(settings->config.root, "isolation"),
				     "isolation is strict, and this kernel cannot confine workers' %s",
				     sandbox_guard_words[i]);
}

static void summarise(struct plan *plan)
{
	plan->summaries = x_alloc((plan->spec_count + 1) * sizeof(*plan->summaries));
	for (; plan->summary_count < plan->spec_count; plan->summary_count++)
		plan->summaries[plan->summary_count] = (struct component_summary){
			.name = x_strdup(plan->specs[plan->summary_count]->name),
			.fingerprint = component_fingerprint(plan->specs[plan->summary_count])};
}

bool plan_bind(struct plan *plan, const struct pool *pool, config_lookup *lookup, struct component_errs *all)
{
	const struct settings *settings = plan->settings;
	struct err_list *errs = &all->mistakes;
	size_t room = settings->component_count + settings->plugin_count + 1;
	plan->specs = x_alloc(room * sizeof(*plan->specs));
	plan->sections = x_alloc(room * sizeof(*plan->sections));
	for (size_t i = 0; i < settings->component_count; i++)
		bind_component(plan, &settings->components[i], pool, lookup, all);
	for (size_t i = 0; i < settings->plugin_count; i++)
		bind_component(plan, &settings->plugins[i], pool, lookup, all);
	check_sources(plan, pool, errs);
	check_isolation(settings, errs);
	plan_check_own_files(settings, lookup, all);
	if (settings->component_count + settings->plugin_count == 0 && errs->count == 0)
		config_error(errs, settings->config.root, "the config names no component and no plugin");
	struct served_lookup plugins = {get_info, get_path, (void *)pool};
	plan->served = served_plan(settings, &plugins, lookup, errs);
	summarise(plan);
	return errs->count == 0;
}

void plan_print(const struct plan *plan, struct buf *out)
{
	settings_print(plan->settings, out);
	served_print(plan->served, out);
	size_t own = 0;
	for (size_t i = 0; i < plan->spec_count; i++) {
		if (plan->specs[i]->serves)
			component_print(plan->specs[i], out);
		else
			own++;
	}
	if (own > 0)
		buf_text(out, "components:\n");
	for (size_t i = 0; i < own; i++)
		component_print(plan->specs[i], out);
}

void plan_free(struct plan *plan)
{
	if (plan == NULL)
		return;
	for (size_t i = 0; i < plan->spec_count; i++)
		component_spec_free(plan->specs[i]);
	free(plan->specs);
	free(plan->sections);
	for (size_t i = 0; i < plan->summary_count; i++)
		free(plan->summaries[i].name);
	free(plan->summaries);
	served_free(plan->served);
	for (size_t i = 0; i < plan->name_count; i++)
		free(plan->names[i]);
	free(plan->names);
	settings_free(plan->settings);
	free(plan);
}
