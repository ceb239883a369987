/* SPDX-License-Identifier: Apache-2.0 */
/* route: the table of routes. Path templates are looked up by method and path, for 404 and 405. A table is
 * frozen once built; a reload builds a new one. Pure. Borrows the routes, which belong to plugins that are
 * never unloaded.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <skymon/routes.h>

#include "base/err.h"

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_OTHER,
	HTTP_METHODS
};
extern const char *const http_method_words[HTTP_METHODS];
enum http_method http_method_of(const char *word, size_t size);

struct route_entry {
	const struct skymon_route *route;
	struct skymon *sm; /* the plugin's handle, for handle() */
	void *state;
	const char *plugin; /* its name, for messages and for `routes` of listeners */
	bool forwarded;     /* to the plugin's worker; route->handle is not called here */
	uint32_t number;    /* of the route among the plugin's, for its worker */
	size_t index;       /* in the table, from 0 */
};

struct route_table; /* reference-counted: requests in flight hold it */
struct route_table *route_table_new(void);
/* Validates method and template. Two routes that match the same paths conflict: err names both plugins. */
bool route_add(struct route_table *table, const struct route_entry *entry, struct err *err) MUST_CHECK;
void route_table_ref(struct route_table *table);
void route_table_unref(struct route_table *table);
/* Does a request in flight hold the table, in addition to the caller? */
bool route_table_is_shared(const struct route_table *table);
size_t route_count(const struct route_table *table);
const struct route_entry *route_at(const struct route_table *table, size_t index); /* in the order added */

/* Notes why some routes are not in the table: their plugin cannot be used. The first reason (copied) stays.
 */
void route_table_set_missing(struct route_table *table, const char *why);
const char *route_table_missing(const struct route_table *table); /* NULL if all are there */

#define ROUTE_PARAMS_MAX 4
struct route_match {
	const struct route_entry *entry; /* NULL if none */
	bool path_known;                 /* some method has this path: 405 and `allow` */
	char allow[64];                  /* "GET, HEAD, OPTIONS" */
	size_t param_count;
	struct {
		const char *name;
		const char *value;
		size_t size;
	} params[ROUTE_PARAMS_MAX]; /* raw: still percent-encoded */
};
/* Looks up a raw path (as sent, without query). A trailing slash is ignored. HEAD finds GET. Of the templates
 * that match, the most specific one wins: a literal segment beats {name}, and that beats {name...}, which
 * takes the rest of the path. */
void route_find(const struct route_table *table, enum http_method method, const char *path,
		struct route_match *out);

#endif
