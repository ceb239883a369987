/* SPDX-License-Identifier: Apache-2.0 */
/* route: the table of routes: validates path templates, finds conflicts, and looks up a method and path. The
 * daemon builds a table at each reload; http_dispatch.c looks up each request. Pure; no allocation and no
 * lock in a lookup.
 *
 * A lookup scans all routes. There are about 25, of which the length or the first bytes rule out nearly all,
 * so that a tree would be no faster. */
#include "route.h"
#include "wire/http_message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Methods ---- */

const char *const http_method_words[HTTP_METHODS] = {
	[HTTP_GET] = "GET",       [HTTP_HEAD] = "HEAD",       [HTTP_POST] = "POST",   [HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "other",
};

enum http_method http_method_of(const char *word, size_t size)
{
	for (int i = 0; i < HTTP_OTHER; i++)
		if (strlen(http_method_words[i]) == size && memcmp(word, http_method_words[i], size) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

/* ---- The table ---- */

struct row {
	struct route_entry entry;
	enum http_method method;
	size_t fixed;                   /* bytes of the path before its first brace */
	bool literal;                   /* the path has no braces */
	char *params[ROUTE_PARAMS_MAX]; /* names */
};

struct route_table {
	uint32_t references;
	struct row **rows;
	size_t count, capacity;
	char *missing; /* why some routes are not in the table, or NULL */
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

bool route_table_is_shared(const struct route_table *table)
{
	return table->references > 1;
}

void route_table_unref(struct route_table *table)
{
	if (table == NULL || --table->references > 0)
		return;
	for (size_t i = 0; i < table->count; i++) {
		for (size_t p = 0; p < ROUTE_PARAMS_MAX; p++)
			free(table->rows[i]->params[p]);
		free(table->rows[i]);
	}
	free(table->rows);
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
	return index < table->count ? &table->rows[index]->entry : NULL;
}

/* ---- Templates ---- */

/* Takes the next segment of a path or template; *at points to the '/' before it. Returns false at the end.
 * "/" alone has no segment. */
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

/* Returns the length of the name within {name} or {name...}. */
static size_t param_length(const char *segment, size_t length)
{
	return is_rest(segment, length) ? length - 5 : length - 2;
}

static bool is_param(const char *segment, size_t length)
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

static bool is_literal(const char *segment, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)segment[i]) && strchr("-._~", segment[i]) == NULL)
			return false;
	return length > 0;
}

static bool is_second_of_its_name(const char *path, const char *segment, size_t length)
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
		if (segment[0] != '{' && !is_literal(segment, length))
			return err_set(err,
				       "the segment \"%.*s\" is empty or has a character other than A-Z a-z "
				       "0-9 - . _ ~",
				       (int)length, segment);
		if (segment[0] != '{')
			continue;
		if (!is_param(segment, length))
			return err_set(err, "the segment \"%.*s\" is not {name} with a-z, 0-9 and _",
				       (int)length, segment);
		if (is_second_of_its_name(path, segment, length))
			return err_set(err, "the segment \"%.*s\" stands there twice", (int)length, segment);
		if (++params > ROUTE_PARAMS_MAX)
			return err_set(err, "there are more than %d segments in braces", ROUTE_PARAMS_MAX);
		ended = is_rest(segment, length);
	}
	if (path[0] != '/' || (at[0] == '/' && at != path))
		return err_set(err, "a path begins with / and does not end with it");
	return true;
}

/* Orders segments by what they match: 0 a literal, 1 {name}, 2 {name...}. */
static int kind_of(const char *segment, size_t length)
{
	return segment[0] != '{' ? 0 : 1 + is_rest(segment, length);
}

static bool match_same_paths(const char *a, const char *b)
{
	for (;;) {
		const char *in_a, *in_b;
		size_t length_a, length_b;
		bool more_a = next_segment(&a, &in_a, &length_a);
		bool more_b = next_segment(&b, &in_b, &length_b);
		if (!more_a || !more_b)
			return more_a == more_b;
		int kind = kind_of(in_a, length_a);
		if (kind != kind_of(in_b, length_b) ||
		    (kind == 0 && (length_a != length_b || memcmp(in_a, in_b, length_a) != 0)))
			return false;
	}
}

/* Of two templates that match one path, the more specific one has a literal where the other has a brace, or
 * {name} where the other has {name...}. The first difference counts. */
static bool is_more_specific(const char *a, const char *b)
{
	const char *in_a, *in_b;
	size_t length_a, length_b;
	while (next_segment(&a, &in_a, &length_a) && next_segment(&b, &in_b, &length_b)) {
		int kind_a = kind_of(in_a, length_a), kind_b = kind_of(in_b, length_b);
		if (kind_a != kind_b)
			return kind_a < kind_b;
	}
	return false;
}

static bool find_conflict(const struct route_table *table, const struct route_entry *entry,
			  enum http_method method, struct err *err)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct route_entry *other = &table->rows[i]->entry;
		const char *path = entry->route->path, *other_path = other->route->path;
		if (table->rows[i]->method != method || !match_same_paths(path, other_path))
			continue;
		bool same = strcmp(other_path, path) == 0;
		err_set(err, "plugins %s and %s both have the route %s %s%s%s", other->plugin, entry->plugin,
			http_method_words[method], other_path, same ? "" : ", which is also ",
			same ? "" : path);
		return true;
	}
	return false;
}

bool route_add(struct route_table *table, const struct route_entry *entry, struct err *err)
{
	const struct skymon_route *route = entry->route;
	const char *word = route->method != NULL ? route->method : "NULL";
	enum http_method method = http_method_of(word, strlen(word));
	if (method != HTTP_GET && method != HTTP_POST && method != HTTP_PUT && method != HTTP_DELETE)
		return err_set(err,
			       "plugin %s: the route %s has the method %s; a route's method is GET, POST, "
			       "PUT or DELETE",
			       entry->plugin, route->path != NULL ? route->path : "without a path", word);
	if (route->path == NULL)
		return err_set(err, "plugin %s: a route has no path", entry->plugin);
	if (!check_template(route->path, err))
		return err_prefix(err, "plugin %s: the route %s %s: ", entry->plugin, route->method,
				  route->path);
	if (find_conflict(table, entry, method, err))
		return false;
	struct row *row = x_alloc(sizeof(*row));
	row->entry = *entry;
	row->entry.index = table->count;
	row->method = method;
	row->fixed = strcspn(route->path, "{");
	row->literal = route->path[row->fixed] == '\0';
	const char *at = route->path, *segment;
	size_t length, params = 0;
	while (next_segment(&at, &segment, &length))
		if (segment[0] == '{')
			row->params[params++] = x_strndup(segment + 1, param_length(segment, length));
	table->rows = x_grow(table->rows, &table->capacity, table->count + 1, sizeof(struct row *));
	table->rows[table->count++] = row;
	return true;
}

/* ---- Lookup ---- */

/* A percent-encoded segment is the same segment (RFC 3986, 6.2.2). */
static bool is_same_segment(const char *wanted, size_t wanted_length, const char *segment, size_t length)
{
	if (wanted_length == length && memcmp(wanted, segment, length) == 0)
		return true;
	char decoded[64];
	return length > wanted_length && memchr(segment, '%', length) != NULL &&
	       wanted_length < sizeof(decoded) &&
	       http_message_decode(segment, length, false, decoded, sizeof(decoded)) &&
	       strlen(decoded) == wanted_length && memcmp(decoded, wanted, wanted_length) == 0;
}

/* Rules out most routes at once, where the path has no percent-encoding. length is without the last '/'. */
static bool may_match(const struct row *row, const char *path, size_t length)
{
	return (row->literal ? length == row->fixed : length > row->fixed) &&
	       memcmp(path, row->entry.route->path, row->fixed) == 0;
}

/* Fills the params of out, also when the path does not match. */
static bool matches(const struct row *row, const char *path, struct route_match *out)
{
	const char *template = row->entry.route->path, *wanted, *segment;
	size_t wanted_length, length;
	out->param_count = 0;
	while (next_segment(&template, &wanted, &wanted_length)) {
		if (!next_segment(&path, &segment, &length) || length == 0)
			return false;
		int kind = kind_of(wanted, wanted_length);
		if (kind == 0 && !is_same_segment(wanted, wanted_length, segment, length))
			return false;
		if (kind == 0)
			continue;
		size_t i = out->param_count++;
		out->params[i].name = row->params[i];
		out->params[i].value = segment;
		out->params[i].size = kind == 1 ? length : strlen(segment);
		if (kind == 2)
			return true;
	}
	return !next_segment(&path, &segment, &length);
}

static void print_allow(char *allow, unsigned methods)
{
	if (methods & 1u << HTTP_GET)
		methods |= 1u << HTTP_HEAD;
	for (int i = 0; i < HTTP_OPTIONS; i++)
		if (methods & 1u << i)
			allow += sprintf(allow, "%s, ", http_method_words[i]);
	strcpy(allow, "OPTIONS");
}

void route_find(const struct route_table *table, enum http_method method, const char *path,
		struct route_match *out)
{
	size_t length = strlen(path);
	bool encoded = memchr(path, '%', length) != NULL;
	const struct row *best = NULL;
	unsigned methods = 0;
	length -= length > 1 && path[length - 1] == '/';
	method = method == HTTP_HEAD ? HTTP_GET : method;
	for (size_t i = 0; i < table->count; i++) {
		const struct row *row = table->rows[i];
		if ((!encoded && !may_match(row, path, length)) || !matches(row, path, out))
			continue;
		methods |= 1u << row->method;
		if (row->method == method &&
		    (best == NULL || is_more_specific(row->entry.route->path, best->entry.route->path)))
			best = row;
	}
	out->path_known = methods != 0;
	out->entry = best != NULL ? &best->entry : NULL;
	out->allow[0] = '\0';
	if (best != NULL)
		matches(best, path, out); /* for its params: another route may have come after it */
	else if (methods != 0)
		print_allow(out->allow, methods);
}
