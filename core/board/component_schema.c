/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema of the config, from the tables of the daemon and of all plugins. Called by the daemon for
 * --config-schema, and by the build for the installed one; owns nothing. On the main thread. */
#include "component.h"

#include <stdlib.h>
#include <string.h>

#define OBJECT "\"type\": [\"object\", \"null\"]"

/* ---- Limits ---- */

static const char *unit_of(const struct skymon_number *number)
{
	static const char *const units[] = {"s", "bytes", "ratio"};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(number->unit, units[i]) == 0)
			return units[i];
	return "number";
}

static bool is_family(const struct skymon_number *number)
{
	return number->name[strlen(number->name) - 1] == '_';
}

/* The numbers of the plugin, or, of a family of them, a pattern of their names. */
static void print_numbers(const struct plugin_info *info, bool families, struct buf *out)
{
	for (size_t i = 0; i < info->number_count; i++) {
		const struct skymon_number *number = &info->numbers[i];
		if (is_family(number) != families)
			continue;
		char *key = x_printf("%s%s", families ? "^" : "", number->name);
		schema_member(key, out);
		buf_printf(out, "\"$ref\": \"#/$defs/limit-%s\", \"description\": ", unit_of(number));
		buf_json(out, number->help);
		buf_text(out, "}");
		free(key);
	}
}

static void print_limits(const struct plugin_info *info, struct buf *out)
{
	static const struct {
		const char *name, *help;
	} keys[] = {{"warn", "limits that make it degraded: a value above, \"<\" below, \"a..b\" outside"},
		    {"crit", "limits that make it unhealthy: a value above, \"<\" below, \"a..b\" outside"}};
	for (size_t i = 0; i < 2; i++) {
		schema_member(keys[i].name, out);
		buf_printf(out, "\"$ref\": \"#/$defs/limits-%s\", \"description\": ", info->name);
		buf_json(out, keys[i].help);
		buf_text(out, "}");
	}
}

static void define_limits(const struct plugin_info *info, struct buf *out)
{
	char *name = x_printf("limits-%s", info->name);
	schema_member(name, out);
	free(name);
	buf_text(out, OBJECT ", \"additionalProperties\": false, \"properties\": {");
	schema_member("response_time", out);
	buf_text(out, "\"$ref\": \"#/$defs/limit-s\", \"description\": \"how long the check took\"}");
	print_numbers(info, false, out);
	buf_text(out, "}, \"patternProperties\": {");
	print_numbers(info, true, out);
	buf_text(out, "}}");
}

/* ---- Sections ---- */

/* The core's own options, by reference: their help is written once. */
static void refer_common(bool component, struct buf *out)
{
	for (const char *const *key = settings_component_keys + !component; *key != NULL; key++) {
		if (strcmp(*key, "warn") == 0 || strcmp(*key, "crit") == 0)
			continue;
		schema_member(*key, out);
		buf_printf(out, "\"$ref\": \"#/$defs/common/properties/%s\"}", *key);
	}
}

/* All that a component of the plugin may have. None is required, as defaults or `each` may give it. */
static void define_component(const struct plugin_info *info, struct buf *out)
{
	char *name = x_printf("component-%s", info->name);
	schema_member(name, out);
	free(name);
	buf_text(out, OBJECT ", \"description\": ");
	buf_json(out, info->summary);
	buf_text(out, ", \"additionalProperties\": false, \"properties\": {");
	refer_common(true, out);
	print_limits(info, out);
	option_schema_members(info->options, out);
	schema_member("each", out);
	buf_printf(
		out,
		"\"type\": \"object\", \"minProperties\": 1, \"description\": \"one component for each item, with "
		"the item's options in place of these; or {file: PATH}\",\n"
		"\"properties\": {\"file\": {\"type\": [\"string\", \"object\"], \"minLength\": 1}}, \"additionalProperties\": "
		"{" OBJECT
		", \"properties\": {\"each\": false}, \"if\": {\"required\": [\"plugin\"]}, \"else\": "
		"{\"$ref\": \"#/$defs/component-%s\"}},\n"
		"\"if\": {\"properties\": {\"file\": {\"type\": \"string\"}}, \"required\": [\"file\"]}, \"then\": "
		"{\"maxProperties\": 1}}",
		info->name);
	buf_text(out, "}}");
}

/* An entry of `plugins`; one that runs in the daemon has no checks, and so none of the core's options. */
static void print_served(const struct plugin_info *info, struct buf *out)
{
	schema_member(info->name, out);
	buf_text(out, OBJECT ", \"description\": ");
	buf_json(out, info->summary);
	buf_text(out, ", \"additionalProperties\": false, \"properties\": {");
	if (info->has_check) {
		refer_common(false, out);
		print_limits(info, out);
	}
	option_schema_members(info->options, out);
	buf_text(out, "}}");
}

static void define_components(const struct plugin_info *const *infos, size_t count, struct buf *out)
{
	schema_member("component", out);
	buf_text(out, "\"type\": \"object\", \"properties\": {\"plugin\": {\"anyOf\": [{\"enum\": [");
	const char *separator = "";
	for (size_t i = 0; i < count; i++) {
		if (!infos[i]->has_check)
			continue;
		buf_printf(out, "%s\"%s\"", separator, infos[i]->name);
		separator = ", ";
	}
	buf_text(
		out,
		"]}, {\"type\": \"string\", \"pattern\": \"[$][{]\"}]},\n"
		"\"labels\": {\"propertyNames\": {\"pattern\": \"^([a-zA-Z]|_(?!_))[a-zA-Z0-9_]*$\", \"not\": {\"enum\": "
		"[\"component\", \"service\", \"job\", \"instance\", \"le\", \"quantile\"]}}}},\n"
		"\"if\": {\"required\": [\"each\"]}, \"else\": {\"required\": [\"plugin\"]},\n\"allOf\": [");
	for (size_t i = 0; i < count; i++) {
		if (!infos[i]->has_check)
			continue;
		schema_next(out);
		buf_printf(
			out,
			"{\"if\": {\"properties\": {\"plugin\": {\"const\": \"%s\"}}, \"required\": [\"plugin\"]}, "
			"\"then\": {\"$ref\": \"#/$defs/component-%s\"}}",
			infos[i]->name, infos[i]->name);
	}
	buf_text(out, "]}");
	for (size_t i = 0; i < count; i++) {
		if (!infos[i]->has_check)
			continue;
		define_limits(infos[i], out);
		define_component(infos[i], out);
	}
}

/* ---- The whole ---- */

static void print_defaults(const struct plugin_info *const *infos, size_t count, struct buf *out)
{
	schema_member("defaults", out);
	buf_text(out, OBJECT ", \"additionalProperties\": {" OBJECT "}, \"properties\": {");
	refer_common(false, out);
	for (size_t i = 0; i < count; i++) {
		if (!infos[i]->has_check)
			continue;
		schema_member(infos[i]->name, out);
		buf_printf(out, "\"$ref\": \"#/$defs/component-%s\", \"properties\": {\"each\": false}}",
			   infos[i]->name);
	}
	buf_text(
		out,
		"}, \"description\": \"options of all components that do not set their own; in a map of a plugin's "
		"name, of its components\"}");
}

void component_schema(const struct plugin_info *const *infos, size_t count, struct buf *out)
{
	buf_text(
		out,
		"{\"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
		"\"title\": \"The configuration of skymond " SKYMON_VERSION "\",\n"
		"\"description\": \"made by skymond --config-schema; skymond --check-config finds more\",\n"
		"\"type\": [\"object\", \"null\"], \"additionalProperties\": false, \"patternProperties\": {\"^x-\": true},\n"
		"\"properties\": {");
	settings_schema_members(out);
	print_defaults(infos, count, out);
	schema_member("plugins", out);
	buf_text(
		out, OBJECT
		", \"description\": \"what the daemon serves\", \"additionalProperties\": false, \"properties\": {");
	for (size_t i = 0; i < count; i++)
		if (infos[i]->route_count > 0)
			print_served(infos[i], out);
	buf_text(out, "}}");
	schema_member("components", out);
	buf_text(out,
		 OBJECT ", \"description\": \"what is watched, by name\", \"propertyNames\": {\"pattern\": "
			"\"" SCHEMA_COMPONENT "\", \"not\": {\"const\": \"self\"}},\n"
			"\"additionalProperties\": {\"$ref\": \"#/$defs/component\"}}},\n\"$defs\": {");
	option_schema_define(out);
	settings_listen_define(out);
	schema_member("common", out);
	buf_text(out, "\"properties\": {");
	settings_schema_common(true, out);
	buf_text(out, "}}");
	define_components(infos, count, out);
	buf_text(out, "}}\n");
}
