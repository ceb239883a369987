/* SPDX-License-Identifier: Apache-2.0 */
/* route: a tree of path segments. Each node has its literal children, one child in braces and one that takes
 * the rest of the path; a lookup tries them in this order and comes back when a way ends nowhere, so that a
 * literal always wins. */
#include "route.h"
#include "wire/http_message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { GET, POST, PUT, DELETE, METHODS };
static const char *const method_words[METHODS] = {"GET", "POST", "PUT", "DELETE"};

struct node {
	const char *literal; /* points into a template; NULL in braces */
	size_t length;
	struct node **children;
	size_t count;
	struct node *any, *rest; /* {name}, {name...} */
	const struct kept *by_method[METHODS];
};

struct kept {
	struct route_entry entry;
	char *params[ROUTE_PARAMS_MAX]; /* their names */
};

struct route_table {
	uint32_t references;
	struct node root;
	struct kept **entries;
	size_t count, capacity;
	char *missing; /* why some routes are not here; NULL: all are */
};

struct route_table *route_table_new(void)
{
	struct route_table *table = x_alloc(sizeof(*table));
	table->references = 1;
	return table;
}

void route_table_ref(struct route_table *table)
{
	table->references++;
}

static void node_clear(struct node *node)
{
	for (size_t i = 0; i < node->count; i++) {
		node_clear(node->children[i]);
		free(node->children[i]);
	}
	free(node->children);
	if (node->any != NULL)
		node_clear(node->any);
	if (node->rest != NULL)
		node_clear(node->rest);
	free(node->any);
	free(node->rest);
}

bool route_table_is_shared(const struct route_table *table)
{
	return table->references > 1;
}

void route_table_unref(struct route_table *table)
{
	if (table == NULL || --table->references > 0)
		return;
	node_clear(&table->root);
	for (size_t i = 0; i < table->count; i++) {
		for (size_t p = 0; p < ROUTE_PARAMS_MAX; p++)
			free(table->entries[i]->params[p]);
		free(table->entries[i]);
	}
	free(table->entries);
	free(table->missing);
	free(table);
}

void route_table_set_missing(struct route_table *table, const char *why)
{
	if (table->missing == NULL)
		table->missing = x_strdup(why);
}

const char *route_table_missing(const struct route_table *table)
{
	return table->missing;
}

size_t route_count(const struct route_table *table)
{
	return table->count;
}

const struct route_entry *route_at(const struct route_table *table, size_t index)
{
	return index < table->count ? &table->entries[index]->entry : NULL;
}

/* ---- Templates ---- */

/* The next segment of a path or template after *at (which stands on a '/'); false at the end. "/" alone has
 * none. */
static bool next_segment(const char **at, const char **segment, size_t *length)
{
	if (**at != '/' || (*at)[1] == '\0')
		return false;
	*segment = *at + 1;
	*length = strcspn(*segment, "/");
	*at = *segment + *length;
	return true;
}

static bool is_rest(const char *segment, size_t length)
{
	return length > 5 && memcmp(segment + length - 4, "...}", 4) == 0;
}

/* The name within {name} or {name...}. */
static size_t param_length(const char *segment, size_t length)
{
	return is_rest(segment, length) ? length - 5 : length - 2;
}

static bool check_param(const char *segment, size_t length)
{
	if (length < 3 || segment[length - 1] != '}')
		return false;
	size_t size = param_length(segment, length);
	for (size_t i = 1; i <= size; i++)
		if (!islower((unsigned char)segment[i]) && segment[i] != '_' &&
		    !(i > 1 && isdigit((unsigned char)segment[i])))
			return false;
	return true;
}

static bool check_literal(const char *segment, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)segment[i]) && strchr("-._~", segment[i]) == NULL)
			return false;
	return length > 0;
}

static bool same_param_before(const char *path, const char *segment, size_t length)
{
	const char *other;
	size_t other_length;
	while (next_segment(&path, &other, &other_length) && other < segment)
		if (other[0] == '{' && param_length(other, other_length) == param_length(segment, length) &&
		    memcmp(other, segment, param_length(segment, length) + 1) == 0)
			return true;
	return false;
}

static bool check_template(const char *path, struct err *err)
{
	const char *at = path, *segment;
	size_t length, params = 0;
	bool ended = false;
	while (next_segment(&at, &segment, &length)) {
		if (ended)
			return err_set(err, "nothing may follow a segment {name...}");
		if (segment[0] != '{' && !check_literal(segment, length))
			return err_set(err,
				       "the segment \"%.*s\" is empty or has a character other than A-Z a-z "
				       "0-9 - . _ ~",
				       (int)length, segment);
		if (segment[0] != '{')
			continue;
		if (!check_param(segment, length))
			return err_set(err, "the segment \"%.*s\" is not {name} with a-z, 0-9 and _",
				       (int)length, segment);
		if (same_param_before(path, segment, length))
			return err_set(err, "the segment \"%.*s\" stands there twice", (int)length, segment);
		if (++params > ROUTE_PARAMS_MAX)
			return err_set(err, "there are more than %d segments in braces", ROUTE_PARAMS_MAX);
		ended = is_rest(segment, length);
	}
	if (path[0] != '/' || (at[0] == '/' && at != path))
		return err_set(err, "a path begins with / and does not end with it");
	return true;
}

static struct node *child(struct node *node, const char *segment, size_t length)
{
	if (segment[0] == '{') {
		struct node **slot = is_rest(segment, length) ? &node->rest : &node->any;
		if (*slot == NULL)
			*slot = x_alloc(sizeof(**slot));
		return *slot;
	}
	for (size_t i = 0; i < node->count; i++)
		if (node->children[i]->length == length &&
		    memcmp(node->children[i]->literal, segment, length) == 0)
			return node->children[i];
	struct node *made = x_alloc(sizeof(*made));
	made->literal = segment;
	made->length = length;
	node->children = x_realloc(node->children, (node->count + 1) * sizeof(struct node *));
	node->children[node->count++] = made;
	return made;
}

static int method_index(const char *method)
{
	for (int i = 0; i < METHODS; i++)
		if (strcmp(method, method_words[i]) == 0)
			return i;
	return -1;
}

/* Takes over kept, also when there is a conflict. */
static bool insert(struct route_table *table, struct kept *kept, int method, struct err *err)
{
	const char *path = kept->entry.route->path, *at = path, *segment;
	struct node *node = &table->root;
	size_t length, params = 0;
	while (next_segment(&at, &segment, &length)) {
		node = child(node, segment, length);
		if (segment[0] == '{')
			kept->params[params++] = x_strndup(segment + 1, param_length(segment, length));
	}
	if (node->by_method[method] == NULL) {
		node->by_method[method] = kept;
		table->entries[table->count++] = kept;
		return true;
	}
	const struct route_entry *other = &node->by_method[method]->entry;
	bool same = strcmp(other->route->path, path) == 0;
	err_set(err, "plugins %s and %s both have the route %s %s%s%s", other->plugin, kept->entry.plugin,
		method_words[method], other->route->path, same ? "" : ", which is also ", same ? "" : path);
	for (size_t i = 0; i < params; i++)
		free(kept->params[i]);
	free(kept);
	return false;
}

bool route_add(struct route_table *table, const struct route_entry *entry, struct err *err)
{
	const struct skymon_route *route = entry->route;
	int method = route->method != NULL ? method_index(route->method) : -1;
	if (method < 0)
		return err_set(err,
			       "plugin %s: the route %s has the method %s; a route's method is GET, POST, "
			       "PUT or DELETE",
			       entry->plugin, route->path != NULL ? route->path : "without a path",
			       route->method != NULL ? route->method : "NULL");
	if (route->path == NULL)
		return err_set(err, "plugin %s: a route has no path", entry->plugin);
	if (!check_template(route->path, err))
		return err_prefix(err, "plugin %s: the route %s %s: ", entry->plugin, route->method,
				  route->path);
	struct kept *kept = x_alloc(sizeof(*kept));
	kept->entry = *entry;
	kept->entry.index = table->count;
	table->entries = x_grow(table->entries, &table->capacity, table->count + 1, sizeof(struct kept *));
	return insert(table, kept, method, err);
}

/* ---- Lookup ---- */

struct search {
	int method;
	unsigned methods; /* bit set of all that some way offers */
	struct route_match *out;
};

/* Is this segment of a request the literal? One that is percent-encoded is the same segment (RFC
 * 3986, 6.2.2). */
static bool same_literal(const struct node *node, const char *segment, size_t length)
{
	if (node->length == length && memcmp(node->literal, segment, length) == 0)
		return true;
	char decoded[64];
	return length > node->length && memchr(segment, '%', length) != NULL &&
	       node->length < sizeof(decoded) &&
	       http_message_decode(segment, length, false, decoded, sizeof(decoded)) &&
	       strlen(decoded) == node->length && memcmp(decoded, node->literal, node->length) == 0;
}

/* Ends at a node: notes what it offers; true when it has the method. */
static bool arrive(struct search *search, const struct node *node, size_t params)
{
	for (int i = 0; i < METHODS; i++)
		if (node->by_method[i] != NULL)
			search->methods |= 1u << i;
	if (search->method < 0 || node->by_method[search->method] == NULL)
		return false;
	const struct kept *kept = node->by_method[search->method];
	search->out->entry = &kept->entry;
	search->out->param_count = params;
	for (size_t i = 0; i < params; i++)
		search->out->params[i].name = kept->params[i];
	return true;
}

static bool walk(struct search *search, const struct node *node, const char *at, size_t params)
{
	const char *segment, *next = at;
	size_t length;
	if (!next_segment(&next, &segment, &length))
		return arrive(search, node, params);
	if (length == 0)
		return false;
	for (size_t i = 0; i < node->count; i++)
		if (same_literal(node->children[i], segment, length) &&
		    walk(search, node->children[i], next, params))
			return true;
	if (params >= ROUTE_PARAMS_MAX)
		return false;
	search->out->params[params].value = segment;
	search->out->params[params].size = length;
	if (node->any != NULL && walk(search, node->any, next, params + 1))
		return true;
	if (node->rest == NULL)
		return false;
	search->out->params[params].value = segment;
	search->out->params[params].size = strlen(segment);
	return arrive(search, node->rest, params + 1);
}

static void print_allow(char *allow, unsigned methods)
{
	allow[0] = '\0';
	for (int i = 0; i < METHODS; i++) {
		if (!(methods & 1u << i))
			continue;
		strcat(allow, method_words[i]);
		strcat(allow, i == GET ? ", HEAD, " : ", ");
	}
	strcat(allow, "OPTIONS");
}

void route_find(const struct route_table *table, const char *method, const char *path,
		struct route_match *out)
{
	struct search search = {.method = method_index(strcmp(method, "HEAD") == 0 ? "GET" : method),
				.out = out};
	out->entry = NULL;
	out->param_count = 0;
	out->allow[0] = '\0';
	out->path_known = path[0] == '/' && (walk(&search, &table->root, path, 0) || search.methods != 0);
	if (out->entry == NULL && out->path_known)
		print_allow(out->allow, search.methods);
}
