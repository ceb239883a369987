/* SPDX-License-Identifier: Apache-2.0 */
/* route: templates of paths, looked up by method and path; conflicts; 404 and 405. A table is frozen once
 * built; a reload builds a new one. Pure. Owns copies of nothing: routes are the plugins', which are never
 * unloaded. */
#ifndef ROUTE_H
#define ROUTE_H

#include <skymon/routes.h>

#include "base/err.h"

struct route_entry {
	const struct skymon_route *route;
	struct skymon *sm; /* the plugin's handle, for handle() */
	void *state;
	const char *plugin; /* whose it is, for messages and for listeners' `routes` */
	bool away;          /* it lives in the plugin's worker: route->handle is not called here */
	uint32_t number;    /* which of the plugin's routes it is, for its worker */
	size_t index;       /* from 0: for counters */
};

struct route_table; /* counted: requests on their way hold it */
struct route_table *route_table_new(void);
/* Checks method and template; two routes that one path could match equally well conflict: err names both
 * plugins. */
bool route_add(struct route_table *table, const struct route_entry *entry, struct err *err) MUST_CHECK;
void route_table_ref(struct route_table *table);
void route_table_unref(struct route_table *table);
bool route_table_is_shared(
	const struct route_table *table); /* somebody else holds it too: a request on its way */
size_t route_count(const struct route_table *table);
const struct route_entry *route_at(const struct route_table *table,
				   size_t index); /* in the order of adding */

/* Some routes are not in the table, because their plugin cannot be used: why (copied; the first one stays).
 */
void route_table_set_missing(struct route_table *table, const char *why);
const char *route_table_missing(const struct route_table *table); /* NULL: all are there */

#define ROUTE_PARAMS_MAX 4
struct route_match {
	const struct route_entry *entry; /* NULL: none */
	bool path_known;                 /* some method has this path: 405 and `allow` */
	char allow[64];                  /* "GET, HEAD, OPTIONS" */
	size_t param_count;
	struct {
		const char *name;
		const char *value;
		size_t size;
	} params[ROUTE_PARAMS_MAX]; /* raw: still percent-encoded */
};
/* path is raw (as sent, without query). A trailing slash is the same route. HEAD finds GET. A literal segment
 * beats one in braces, and that beats {name...}, which takes the rest of the path. */
void route_find(const struct route_table *table, const char *method, const char *path,
		struct route_match *out);

#endif
