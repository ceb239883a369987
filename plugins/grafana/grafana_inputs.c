/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_inputs: fills in the inputs of a shared dashboard. One that was exported for sharing has `__inputs`
 * and placeholders such as ${DS_PROMETHEUS} instead of data sources, `__elements` with its library panels,
 * and `__requires`. Grafana's import fills them in, but its route for dashboards stores them as they are, and
 * no panel works. Called by grafana_request.c, on the thread of the request; changes the tree of the caller's
 * body. */
#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include <skymon/json.h>

#define PLACE_MAX 150 /* of a JSON pointer */

struct fill {
	struct grafana_ctx *ctx;
	json_t *model;
	const json_t *sent;            /* the request's inputs, or NULL */
	json_t *values;                /* {name: value for ${name}} */
	struct grafana_answer sources; /* Grafana's list, once requested */
};

/* ---- The request's inputs ---- */

/* Finds an input in the form of Grafana's import, [{"name", "value"}], or in {name: value}. *pointer: to the
 * value. NULL if it is not given. */
static const char *find_sent(const struct fill *fill, const char *name, char pointer[PLACE_MAX])
{
	const json_t *value = json_object_get(fill->sent, name);
	snprintf(pointer, PLACE_MAX, "/inputs/%.60s", name);
	json_t *item;
	size_t i;
	json_array_foreach(fill->sent, i, item) {
		const char *its = skymon_json_text(item, "name");
		if (its == NULL || strcmp(its, name) != 0)
			continue;
		value = json_object_get(item, "value");
		snprintf(pointer, PLACE_MAX, "/inputs/%zu/value", i);
	}
	return json_string_value(value);
}

/* Each input that was sent must be one of the dashboard's. */
static bool validate_sent(struct fill *fill)
{
	struct grafana_fault *fault = &fill->ctx->fault;
	if (fill->sent != NULL && !json_is_array(fill->sent) && !json_is_object(fill->sent))
		return grafana_invalid(fault, "/inputs",
				       "must be a list of objects with `name` and `value`, or an object");
	char pointer[PLACE_MAX];
	json_t *item;
	size_t i;
	json_array_foreach(fill->sent, i, item) {
		const char *name = skymon_json_text(item, "name");
		snprintf(pointer, sizeof(pointer), "/inputs/%zu/name", i);
		if (name == NULL || json_object_get(fill->values, name) == NULL)
			return grafana_invalid(fault, pointer, "is not an input of the dashboard");
	}
	const char *key;
	json_object_foreach((json_t *)(uintptr_t)fill->sent, key, item) {
		snprintf(pointer, sizeof(pointer), "/inputs/%.60s", key);
		if (json_object_get(fill->values, key) == NULL)
			return grafana_invalid(fault, pointer, "is not an input of the dashboard");
	}
	return true;
}

/* ---- Data sources ---- */

/* Grafana has these without a configured data source. */
static const char *built_in(const char *type)
{
	static const char *const known[][2] = {
		{"grafana", "-- Grafana --"}, {"datasource", "grafana"}, {"__expr__", "__expr__"}};
	for (size_t i = 0; type != NULL && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i][0], type) == 0)
			return known[i][1];
	return NULL;
}

static bool get_sources(struct fill *fill)
{
	return fill->sources.json != NULL ||
	       grafana_ask(fill->ctx, "GET", "/api/datasources", NULL, &fill->sources);
}

/* Returns the uid of the first data source with this uid or name (NULL: any) and type (NULL: any). *count:
 * how many fit; all: their uids. */
static const char *find_source(const struct fill *fill, const char *wanted, const char *type, size_t *count,
			       char *all, size_t size)
{
	const char *found = NULL;
	size_t used = 0;
	*count = 0;
	all[0] = '\0';
	json_t *source;
	size_t i;
	json_array_foreach(fill->sources.json, i, source) {
		const char *uid = skymon_json_text(source, "uid"), *name = skymon_json_text(source, "name"),
			   *its = skymon_json_text(source, "type");
		if (uid == NULL || (type != NULL && (its == NULL || strcmp(its, type) != 0)) ||
		    (wanted != NULL && strcmp(uid, wanted) != 0 &&
		     (name == NULL || strcmp(name, wanted) != 0)))
			continue;
		found = found != NULL ? found : uid;
		if (used < size)
			used += (size_t)snprintf(all + used, size - used, "%s%.40s", *count > 0 ? ", " : "",
						 uid);
		++*count;
	}
	return found;
}

/* Chooses the data source for an input. place: pointer to the input, for a refusal. */
static bool choose_source(struct fill *fill, const char *name, const char *type, const char *place)
{
	struct grafana_fault *fault = &fill->ctx->fault;
	char pointer[PLACE_MAX], all[200];
	const char *given = find_sent(fill, name, pointer), *uid = given == NULL ? built_in(type) : NULL;
	size_t count = 1;
	if (uid == NULL) {
		if (!get_sources(fill))
			return false;
		uid = find_source(fill, given, type, &count, all, sizeof(all));
	}
	char shown[80];
	grafana_clean(given != NULL ? given : type != NULL ? type : "any", shown, sizeof(shown));
	if (uid == NULL && given != NULL)
		return grafana_invalid(fault, pointer, "is not the uid or name of a data source%s%.60s: %s",
				       type != NULL ? " of the type " : "", type != NULL ? type : "", shown);
	if (uid == NULL)
		return grafana_invalid(
			fault, place,
			"needs a data source of the type %s, and Grafana has none: create it first", shown);
	if (count > 1)
		return grafana_invalid(
			fault, place,
			"needs a data source, and %zu fit (%s): choose one in `inputs`, as in {\"inputs\": "
			"{\"%.60s\": UID}}",
			count, all, name);
	json_object_set_new(fill->values, name, json_string(uid));
	return true;
}

/* ---- Inputs ---- */

static bool choose_input(struct fill *fill, const json_t *input, size_t at)
{
	struct grafana_fault *fault = &fill->ctx->fault;
	const char *name = skymon_json_text(input, "name"), *type = skymon_json_text(input, "type"),
		   *plugin = skymon_json_text(input, "pluginId");
	char place[PLACE_MAX];
	snprintf(place, sizeof(place), "/dashboard/__inputs/%zu", at);
	if (name == NULL || name[0] == '\0' || type == NULL)
		return grafana_invalid(fault, place, "must have a name and a type");
	if (strcmp(type, "datasource") == 0)
		return choose_source(fill, name, plugin, place);
	char pointer[PLACE_MAX];
	const char *value = find_sent(fill, name, pointer);
	if (value == NULL)
		value = skymon_json_text(input, "value");
	if (value == NULL)
		return grafana_invalid(
			fault, place,
			"has no value: give one in `inputs`, as in {\"inputs\": {\"%.60s\": TEXT}}", name);
	json_object_set_new(fill->values, name, json_string(value));
	return true;
}

static bool choose_inputs(struct fill *fill)
{
	const json_t *inputs = json_object_get(fill->model, "__inputs");
	if (inputs != NULL && !json_is_null(inputs) && !json_is_array(inputs))
		return grafana_invalid(&fill->ctx->fault, "/dashboard/__inputs", "must be a list");
	json_t *input;
	size_t i;
	json_array_foreach(inputs, i, input) {
		if (!choose_input(fill, input, i))
			return false;
	}
	return true;
}

/* ---- Placeholders ---- */

/* Returns a copy of the text with its placeholders replaced, or NULL if it has none. */
static json_t *fill_text(const json_t *values, const char *text)
{
	char *out = NULL;
	size_t size = 0;
	FILE *stream;
	bool changed = false;
	if (strstr(text, "${") == NULL || (stream = open_memstream(&out, &size)) == NULL)
		return NULL;
	while (*text != '\0') {
		size_t length = strncmp(text, "${", 2) == 0 ? strcspn(text + 2, "}") : 0;
		json_t *value = NULL;
		const char *key;
		json_object_foreach((json_t *)(uintptr_t)values, key, value) {
			if (strlen(key) == length && strncmp(key, text + 2, length) == 0)
				break;
		}
		if (length > 0 && key != NULL && text[2 + length] == '}') {
			fputs(json_string_value(value), stream);
			text += length + 3;
			changed = true;
		} else {
			fputc(*text++, stream);
		}
	}
	fclose(stream);
	json_t *filled = changed ? json_string(out) : NULL;
	grafana_free_text(out);
	return filled;
}

/* Returns true if ${NAME} is a variable of the dashboard itself. */
static bool is_variable(const struct fill *fill, const char *name, size_t length)
{
	json_t *variable;
	size_t i;
	json_array_foreach(json_object_get(json_object_get(fill->model, "templating"), "list"), i, variable) {
		const char *its = skymon_json_text(variable, "name");
		if (its != NULL && strlen(its) == length && strncmp(its, name, length) == 0)
			return true;
	}
	return false;
}

/* "${DS_…}" as a data source without an input or a variable of this name: an input that the export has
 * lost. */
static bool declare_source(struct fill *fill, const json_t *source, const char *place)
{
	const char *text = json_is_string(source) ? json_string_value(source)
						  : skymon_json_text(source, "uid"),
		   *end;
	char name[64];
	if (text == NULL || strncmp(text, "${DS_", 5) != 0 || (end = strchr(text, '}')) == NULL ||
	    end[1] != '\0' || (size_t)(end - text) > sizeof(name))
		return true;
	snprintf(name, sizeof(name), "%.*s", (int)(end - text - 2), text + 2);
	return json_object_get(fill->values, name) != NULL || is_variable(fill, name, strlen(name)) ||
	       choose_source(fill, name, skymon_json_text(source, "type"), place);
}

static bool fill_value(struct fill *fill, json_t *value, const char *place);

static bool fill_member(struct fill *fill, json_t *value, const char *key, const char *place, json_t **filled)
{
	*filled = NULL;
	if (key != NULL && strcmp(key, "datasource") == 0 && !declare_source(fill, value, place))
		return false;
	if (json_is_string(value))
		*filled = fill_text(fill->values, json_string_value(value));
	return fill_value(fill, value, place);
}

/* Recursion is bounded: the body was read with a limit on its depth. */
static bool fill_value(struct fill *fill, json_t *value, const char *place)
{
	char inner[PLACE_MAX];
	json_t *item, *filled;
	size_t i;
	json_array_foreach(value, i, item) {
		snprintf(inner, sizeof(inner), "%.120s/%zu", place, i);
		if (!fill_member(fill, item, NULL, inner, &filled))
			return false;
		if (filled != NULL)
			json_array_set_new(value, i, filled);
	}
	const char *key;
	json_object_foreach(value, key, item) {
		snprintf(inner, sizeof(inner), "%.100s/%.40s", place, key);
		if (!fill_member(fill, item, key, inner, &filled))
			return false;
		if (filled != NULL)
			json_object_set_new(value, key,
					    filled); /* an existing key, so the loop stays valid */
	}
	return true;
}

/* ---- Library panels ---- */

/* Finds an element by its uid in `__elements`, which is an object or a list. */
static const json_t *find_element(const json_t *elements, const char *uid)
{
	const json_t *found = json_object_get(elements, uid);
	json_t *item;
	size_t i;
	json_array_foreach(elements, i, item) {
		const char *its = skymon_json_text(item, "uid");
		if (its != NULL && strcmp(its, uid) == 0)
			found = item;
	}
	return json_object_get(found, "model");
}

/* Replaces a reference to a library panel by the panel itself: this Grafana does not have the library. */
static void take_elements(json_t *panels, const json_t *elements)
{
	json_t *panel;
	size_t i;
	json_array_foreach(panels, i, panel) {
		const char *uid = skymon_json_text(json_object_get(panel, "libraryPanel"), "uid");
		const json_t *model = uid != NULL ? find_element(elements, uid) : NULL;
		take_elements(json_object_get(panel, "panels"), elements);
		if (!json_is_object(model))
			continue;
		json_t *own = json_deep_copy(model);

		json_object_del(own, "libraryPanel");
		json_object_set(own, "id", json_object_get(panel, "id"));
		json_object_set(own, "gridPos", json_object_get(panel, "gridPos"));
		json_array_set_new(panels, i, own);
	}
}

bool grafana_fill_inputs(struct grafana_ctx *ctx, json_t *model, const json_t *inputs, char **filled)
{
	static const char *const own[] = {"__inputs", "__elements", "__requires"};
	struct fill fill = {.ctx = ctx, .model = model, .sent = inputs};
	bool shared = inputs != NULL;
	size_t reserved = 0;
	*filled = NULL;
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		shared |= json_object_get(model, own[i]) != NULL;
	if (!shared && memmem(grafana_body_text(ctx).text, grafana_body_text(ctx).size, "${DS_", 5) == NULL)
		return true;
	fill.values = json_object();
	bool good = choose_inputs(&fill);
	if (good) {
		take_elements(json_object_get(model, "panels"), json_object_get(model, "__elements"));
		for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
			json_object_del(model, own[i]);
		good = fill_value(&fill, model, "/dashboard") && validate_sent(&fill) &&
		       grafana_reserve(ctx, 2 * grafana_body_text(ctx).size, 413, &reserved);
	}
	if (good)
		*filled = grafana_print(model);
	json_decref(fill.values);
	grafana_answer_free(&fill.sources);
	return good;
}
