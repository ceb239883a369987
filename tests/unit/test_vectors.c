/* SPDX-License-Identifier: Apache-2.0 */
/* vectors: JSONTestSuite and yaml-test-suite: JSON in workers' reports and in configs, and YAML as a config.
 * Nothing crashes; a refused text has a location; an accepted one has the value that the suite expects. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "wire/result.h"
#include "unit.h"
#include "vectors.h"

static const char *no_variable(const char *name)
{
	(void)name;
	return NULL;
}

/* ---- JSON ---- */

/* A detail of a result is any JSON value, except objects with repeated keys and numbers beyond a double. */
static bool is_refused_here(const char *name)
{
	static const char *const names[] = {"y_object_duplicated_key", "y_object_duplicated_key_and_value",
					    "y_string_null_escape", "y_object_escaped_null_in_key", NULL};
	size_t i = 0;
	while (names[i] != NULL && strcmp(names[i], name) != 0)
		i++;
	return names[i] != NULL;
}

static bool is_detail(struct result_builder *builder, const char *text)
{
	struct err err = {""};
	bool taken = result_detail(builder, "v", text, &err);
	CU_ASSERT(taken || err.text[0] != '\0');
	return taken;
}

static void as_config(const char *text, size_t size)
{
	struct config config;
	struct err_list errs = {0};
	bool ok = config_parse("f", text, size, no_variable, &config, &errs);
	CU_ASSERT(ok == (errs.count == 0));
	for (size_t i = 0; i < errs.count; i++)
		CU_ASSERT(strncmp(errs.texts[i], "f:", 2) == 0);
	err_list_free(&errs);
	config_free(&config);
}

static void json_details(void)
{
	json_t *cases = vectors_load("JSONTestSuite");
	const char *name;
	json_t *hex;
	size_t accepted = 0, refused = 0;
	json_object_foreach(cases, name, hex) {
		size_t size;
		char *text = vectors_bytes(json_string_value(hex), &size);
		struct result_builder *builder = result_builder_new();
		as_config(text, size);
		if (strlen(text) == size && size > 0) { /* a NUL ends a detail */
			bool taken = is_detail(builder, text);
			bool wrong = (name[0] == 'y' && !taken && !is_refused_here(name)) ||
				     (name[0] == 'n' && taken);
			if (wrong)
				fprintf(stderr, "\n%s: %s\n", name, taken ? "taken" : "refused");
			CU_ASSERT(!wrong);
			accepted += taken;
			refused += !taken;
		}
		result_builder_free(builder);
		free(text);
	}
	CU_ASSERT(accepted > 90 && refused > 150);
	json_decref(cases);
}

static void json_deep(void)
{
	enum { DEEP = 100000 };
	char *text = x_alloc(DEEP + 1);
	memset(text, '[', DEEP);
	struct result_builder *builder = result_builder_new();
	CU_ASSERT_FALSE(is_detail(builder, text));
	as_config(text, DEEP);
	result_builder_free(builder);
	free(text);
}

/* ---- YAML ---- */

/* Plain scalars have no type in a config: an option's type decides. */
static bool same_scalar(const struct config_node *node, const json_t *value)
{
	char *end = NULL;
	if (json_is_string(value))
		return strcmp(node->text, json_string_value(value)) == 0;
	if (json_is_boolean(value))
		return strcmp(node->text, json_is_true(value) ? "true" : "false") == 0;
	if (!json_is_number(value) || node->quoted)
		return false;
	double number = strtod(node->text, &end);
	return strncmp(node->text, "0o", 2) == 0 ||
	       (*end == '\0' && fabs(number - json_number_value(value)) < 1e-9);
}

static bool same(const struct config_node *node, const json_t *value)
{
	switch (node->kind) {
	case CONFIG_EMPTY:
		return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
	case CONFIG_SCALAR:
		return same_scalar(node, value);
	case CONFIG_LIST:
		if (!json_is_array(value) || json_array_size(value) != node->count)
			return false;
		for (size_t i = 0; i < node->count; i++)
			if (!same(node->items[i], json_array_get(value, i)))
				return false;
		return true;
	case CONFIG_MAP:
		break;
	}
	if (!json_is_object(value) || json_object_size(value) != node->count)
		return false;
	for (size_t i = 0; i < node->count; i++) {
		const json_t *member = json_object_get(value, node->pairs[i].key);
		if (member == NULL || !same(node->pairs[i].value, member))
			return false;
	}
	return true;
}

/* Cases that libyaml parses differently: a ? or a colon within a word, a blank line in a literal. */
static bool is_read_otherwise(const char *name)
{
	return strcmp(name, "652Z") == 0 || strcmp(name, "Y2GN") == 0 || strcmp(name, "L24T/1") == 0;
}

static void yaml_cases(void)
{
	json_t *cases = vectors_load("yaml-test-suite"), *row;
	size_t i, compared = 0, refused = 0;
	json_array_foreach(cases, i, row) {
		const char *name = json_string_value(json_object_get(row, "name"));
		const json_t *yaml = json_object_get(row, "yaml"), *value = json_object_get(row, "json");
		struct config config;
		struct err_list errs = {0};
		bool ok = config_parse("f", json_string_value(yaml), json_string_length(yaml), no_variable,
				       &config, &errs);
		CU_ASSERT(ok == (errs.count == 0));
		for (size_t n = 0; n < errs.count; n++)
			CU_ASSERT(strncmp(errs.texts[n], "f:", 2) == 0);
		refused += !ok;
		if (ok && json_is_object(value) && !is_read_otherwise(name)) {
			if (!same(config.root, value))
				fprintf(stderr, "\n%s differs\n", name);
			CU_ASSERT(same(config.root, value));
			compared++;
		}
		err_list_free(&errs);
		config_free(&config);
	}
	CU_ASSERT(compared > 60 && refused > 60);
	json_decref(cases);
}

int main(void)
{
	if (!vectors_are_there("JSONTestSuite") || !vectors_are_there("yaml-test-suite"))
		return VECTORS_SKIPPED;
	return unit_run("vectors", (const struct unit_test[]){{"JSON as details", json_details},
							      {"JSON that is deep", json_deep},
							      {"YAML as a config", yaml_cases},
							      {0}});
}
