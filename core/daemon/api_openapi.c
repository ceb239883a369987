/* SPDX-License-Identifier: Apache-2.0 */
/* api_openapi: describes the route table as an OpenAPI 3.1 document. The schemas, and the operations of the
 * api's own routes, are in openapi.json; a route of a plugin has its summary, the parameters of its path and
 * an answer of any kind. A handler of the api plugin, on the loop's thread. Owns nothing. */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api_private.h"
#include "base/err.h"
#include "openapi_content.h" /* made from openapi.json */

/* Returns the path as OpenAPI has it, in which {name...} is {name}. The caller frees. */
static char *print_path(const char *path)
{
	char *text = x_strdup(path), *dots = strstr(text, "...}");
	if (dots != NULL)
		strcpy(dots, "}");
	return text;
}

static void add_path_parameters(json_t *operation, const char *path)
{
	json_t *parameters = json_object_get(operation, "parameters");
	if (parameters == NULL && strchr(path, '{') != NULL) {
		parameters = json_array();
		json_object_set_new(operation, "parameters", parameters);
	}
	for (const char *at = strchr(path, '{'); at != NULL; at = strchr(at + 1, '{')) {
		int size = (int)strcspn(at + 1, ".}");
		json_array_append_new(parameters, json_pack("{s:s%,s:s,s:b,s:{s:s,s:i}}", "name", at + 1,
							    (size_t)size, "in", "path", "required", 1,
							    "schema", "type", "string", "minLength", 1));
	}
}

/* A route that openapi.json does not have: a plugin's. */
static json_t *describe_other(const struct skymon_route_line *line)
{
	json_t *operation = json_pack("{s:{s:{s:s}}}", "responses", "default", "description", line->summary);
	if (strcmp(line->method, "POST") == 0 || strcmp(line->method, "PUT") == 0)
		json_object_set_new(operation, "requestBody",
				    json_pack("{s:{s:{}}}", "content", "application/json"));
	return operation;
}

/* Returns the first route of the same name: /-/ready is described as /api/v1/ready. */
static const struct skymon_route_line *find_first(const struct skymon_routes *routes,
						  const struct skymon_route_line *line)
{
	for (size_t i = 0; i < routes->count; i++) {
		const struct skymon_route_line *first = routes->lines[i];
		if (strcmp(first->name, line->name) == 0 && strcmp(first->method, line->method) == 0 &&
		    strcmp(first->plugin, line->plugin) == 0)
			return first;
	}
	return line;
}

/* plugin_method_name; of a further route of that name with the letters of its path. */
static char *print_id(const struct skymon_route_line *line, const char *method, bool further)
{
	char *id = x_printf("%s_%s_%s%s", line->plugin, method, line->name, further ? line->path : "");
	for (char *at = id; *at != '\0'; at++)
		if (*at == '/' || *at == '-')
			*at = '_';
	return id;
}

static void add_route(json_t *paths, json_t *operations, const struct skymon_routes *routes,
		      const struct skymon_route_line *line)
{
	const struct skymon_route_line *first = find_first(routes, line);
	char *path = print_path(line->path), *key = x_printf("%s %s", first->method, first->path);
	char method[16] = "";
	for (size_t i = 0; i + 1 < sizeof(method) && line->method[i] != '\0'; i++)
		method[i] = (char)tolower((unsigned char)line->method[i]);
	json_t *known = json_object_get(operations, key), *item = json_object_get(paths, path);
	json_t *operation = known != NULL ? json_deep_copy(known) : describe_other(line);
	char *id = print_id(line, method, first != line);
	json_object_set_new(operation, "operationId", json_string(id));
	json_object_set_new(operation, "summary", json_string(line->summary));
	json_object_set_new(operation, "tags", json_pack("[s]", line->plugin));
	add_path_parameters(operation, line->path);
	if (item == NULL) {
		item = json_object();
		json_object_set_new(paths, path, item);
	}
	json_object_set_new(item, method, operation);
	free(id);
	free(key);
	free(path);
}

void api_handle_openapi(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const struct skymon_self *self = skymon_self(sm);
	const struct skymon_routes *routes = skymon_routes(sm);
	json_t *document = json_loads(OPENAPI_CONTENT, JSON_REJECT_DUPLICATES, NULL);
	json_t *operations = json_incref(json_object_get(document, "operations")), *paths = json_object();
	json_object_del(document, "operations");
	json_object_set_new(document, "info",
			    json_pack("{s:s,s:s,s:s}", "title", self->title, "version", self->service_version,
				      "description", "Monitored by skymon"));
	for (size_t i = 0; i < routes->count; i++)
		add_route(paths, operations, routes, routes->lines[i]);
	json_object_set_new(document, "paths", paths);
	char *text = json_dumps(document, JSON_COMPACT);
	json_decref(operations);
	json_decref(document);
	if (text == NULL)
		abort(); /* out of memory */
	struct skymon_part part = {text, strlen(text)};
	skymon_reply_parts(sm, rq, 200, "application/json", &part, 1, 0, free, text);
}
