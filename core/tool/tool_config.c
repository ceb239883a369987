/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: the configuration of the component to run. It is a file's, or one that the arguments make with
 * that component alone, so that both are validated by the same code, thresholds and common options too. Called
 * by tool_run.c; owns settings and specs until it is freed. On the loop's thread. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

static const struct settings_section *find_section(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->component_count; i++)
		if (strcmp(settings->components[i].name, name) == 0)
			return &settings->components[i];
	for (size_t i = 0; i < settings->plugin_count; i++)
		if (strcmp(settings->plugins[i].name, name) == 0)
			return &settings->plugins[i];
	return NULL;
}

static void add_section(struct tool_config *config, const struct settings_section *section)
{
	for (size_t i = 0; i < config->count; i++)
		if (config->sections[i] == section)
			return;
	size_t room = config->count + 1;
	config->sections = x_realloc(config->sections, room * sizeof(*config->sections));
	config->plugins = x_realloc(config->plugins, room * sizeof(*config->plugins));
	config->plugins[config->count] = (char *)(uintptr_t)section->plugin;
	config->sections[config->count++] = section;
}

/* Adds the components that may keep a secret of the section: those that a map of one key names, as in {vault:
 * "path#field"}. One that is named otherwise costs the start of its worker. */
static void add_stores(struct tool_config *config, const struct config_node *node)
{
	if (node == NULL)
		return;
	if (node->kind == CONFIG_MAP && node->count == 1) {
		const struct settings_section *store = find_section(config->settings, node->pairs[0].key);
		if (store != NULL && store->plugin != NULL)
			add_section(config, store);
	}
	for (size_t i = 0; i < node->count; i++)
		add_stores(config, node->kind == CONFIG_MAP    ? node->pairs[i].value
				   : node->kind == CONFIG_LIST ? node->items[i]
							       : NULL);
}

static void print_errors(const struct err_list *errs)
{
	for (size_t i = 0; i < errs->count; i++)
		tool_fail("%s", errs->texts[i]);
}

static bool parse_arguments(const struct tool_arguments *arguments, struct config *tree,
			    struct err_list *errs)
{
	struct err err;
	char *yaml = tool_yaml(arguments->name, arguments->words, arguments->word_count, &err);
	if (yaml == NULL) {
		err_add(errs, "%s", err.text);
		return false;
	}
	bool ok = config_parse(NULL, yaml, strlen(yaml), config_environment, tree, errs);
	free(yaml);
	return ok;
}

static const struct settings_section *choose(const struct tool_config *config, const char *path,
					     const char *name)
{
	const struct settings_section *section = find_section(config->settings, name);
	if (section != NULL)
		return section;
	struct buf names = {0};
	for (size_t i = 0; i < config->settings->component_count; i++)
		buf_printf(&names, " %s", config->settings->components[i].name);
	tool_fail("%s has no component %s; it has:%s", path, name, names.size > 0 ? names.data : " none");
	buf_free(&names);
	return NULL;
}

struct tool_config *tool_config_new(const struct tool_arguments *arguments)
{
	struct err_list errs = {0};
	struct config tree = {0};
	struct tool_config *config = x_alloc(sizeof(*config));
	bool ok = arguments->config != NULL ? config_load(arguments->config, config_environment, &tree, &errs)
					    : parse_arguments(arguments, &tree, &errs);
	if (ok)
		config->settings = settings_new(&tree, config_environment, &errs);
	else
		config_free(&tree);
	print_errors(&errs);
	err_list_free(&errs);
	const struct settings_section *section = NULL;
	if (config->settings != NULL)
		section = choose(config, arguments->config, arguments->name);
	if (section == NULL) {
		tool_config_free(config);
		return NULL;
	}
	add_section(config, section);
	add_stores(config, section->node);
	add_stores(config, config_value(config->settings->defaults, section->plugin));
	return config;
}

struct keeping {
	const struct tool_config *config;
	const struct pool *pool;
};

static bool keeps_secrets(void *arg, const char *component)
{
	const struct keeping *keeping = arg;
	const struct settings_section *section = find_section(keeping->config->settings, component);
	const char *why;
	const struct plugin_info *info =
		section != NULL ? pool_info(keeping->pool, section->plugin, &why) : NULL;
	return info != NULL ? info->has_secret : section != NULL;
}

static bool bind_section(struct tool_config *config, const struct settings_section *section,
			 const struct pool *pool, struct component_errs *errs)
{
	const char *why;
	const struct plugin_info *info = pool_info(pool, section->plugin, &why);
	struct keeping keeping = {config, pool};
	if (info == NULL) {
		err_add(&errs->mistakes, "%s: %s", section->plugin, why);
		return false;
	}
	if (config->spec_count == 0 && !info->has_check) {
		err_add(&errs->mistakes, "plugin %s has no check: it serves routes from the daemon",
			info->name);
		return false;
	}
	struct component_spec *spec =
		component_bind(config->settings, section, info,
			       &(struct component_stores){keeps_secrets, &keeping}, config_environment, errs);
	if (spec != NULL)
		config->specs[config->spec_count++] = spec;
	return spec != NULL;
}

static bool is_store_of(const struct component_spec *spec, const char *name)
{
	size_t count;
	const struct option_secret *secrets = option_secrets(spec->values, &count);
	for (size_t i = 0; i < count; i++)
		if (secrets[i].kind == OPTION_SECRET_STORE && strcmp(secrets[i].store, name) == 0)
			return true;
	return false;
}

bool tool_config_bind(struct tool_config *config, const struct pool *pool)
{
	struct component_errs errs = {0};
	config->specs = x_alloc(config->count * sizeof(*config->specs));
	bool ok = bind_section(config, config->sections[0], pool, &errs);
	for (size_t i = 1; ok && i < config->count; i++)
		if (is_store_of(config->specs[0], config->sections[i]->name))
			ok = bind_section(config, config->sections[i], pool, &errs);
	ok = ok && errs.around.count == 0; /* a secret that cannot be read */
	print_errors(&errs.mistakes);
	print_errors(&errs.around);
	print_errors(&errs.warnings);
	err_list_free(&errs.mistakes);
	err_list_free(&errs.around);
	err_list_free(&errs.warnings);
	return ok;
}

void tool_config_free(struct tool_config *config)
{
	for (size_t i = 0; i < config->spec_count; i++)
		component_spec_free(config->specs[i]);
	free(config->specs);
	free(config->sections);
	free(config->plugins);
	settings_free(config->settings);
	free(config);
}
