/* SPDX-License-Identifier: Apache-2.0 */
/* http_dispatch: takes a request that was read to its handler: finds the route, checks access and the body's
 * type, and runs the handler or forwards the request. http_request.c calls it on the loop's thread. */
#include <string.h>
#include <strings.h>

#include "http_private.h"

/* ---- Routes by name, for `routes` of a listener and `public` of access ---- */

static bool is_below(const char *path, const char *above)
{
	size_t length = strlen(above);
	return length > 1 && strncmp(path, above, length) == 0 && path[length] == '/';
}

static bool is_named(const struct route_table *table, const struct route_entry *entry, const char *name)
{
	if (strcmp(name, entry->plugin) == 0)
		return true;
	for (size_t i = 0; i < route_count(table); i++) {
		const struct skymon_route *named = route_at(table, i)->route;
		if (strcmp(named->name, name) == 0 && (strcmp(named->name, entry->route->name) == 0 ||
						       is_below(entry->route->path, named->path)))
			return true;
	}
	return false;
}

uint8_t *request_choose_routes(const struct route_table *table, const struct skymon_texts *names)
{
	uint8_t *chosen = x_alloc(route_count(table));
	for (size_t i = 0; i < route_count(table); i++)
		for (size_t n = 0; n < names->count && !chosen[i]; n++)
			chosen[i] = is_named(table, route_at(table, i), names->items[n]);
	return chosen;
}

/* ---- Handlers ---- */

static bool decode_params(struct skymon_request *rq)
{
	struct route_match *match = &rq->match;
	for (size_t i = 0; i < match->param_count; i++) {
		size_t size = match->params[i].size + 1;
		char *text = request_text(rq, size);
		if (!http_message_decode(match->params[i].value, match->params[i].size, false, text, size))
			return false;
		match->params[i].value = text;
	}
	return true;
}

static void run_handler(struct skymon_request *rq)
{
	const struct route_entry *entry = rq->entry;
	if (!decode_params(rq)) {
		reply_problem(rq, 400, "the path cannot be decoded");
		return;
	}
	if (entry->route->flags & SKYMON_ROUTE_GUARDED && !request_is_guarded(rq))
		return;
	if (entry->forwarded) {
		forward_send(rq);
		return;
	}
	request_run(rq);
	if (rq->phase != REQUEST_HANDLING)
		return;
	log_error("plugin %s: the handler of %s %s did not answer", entry->plugin, entry->route->method,
		  entry->route->path);
	reply_problem(rq, 500, "the handler of this route did not answer; that is a defect of the plugin %s",
		      entry->plugin);
}

/* ---- Access ---- */

/* From here on, the route's counters, audit and headers are the request's. */
static void take_route(struct skymon_request *rq, const struct route_entry *entry)
{
	rq->entry = entry;
	rq->count = rq->http->by_index[entry->index];
	rq->open = access_is_open(rq->http->access, entry);
	access_set_trust(rq);
	if (entry->route->flags & SKYMON_ROUTE_GUARDED)
		request_caller(rq); /* for the audit line: after it has left, it cannot be looked up */
}

/* HAProxy asks the routes for probes with OPTIONS: these are the ones that the reserve serves. */
static bool has_place(const struct skymon_request *rq)
{
	return !rq->peer->reserve ||
	       (!rq->entry->forwarded && rq->entry->route->flags & SKYMON_ROUTE_OPTIONS_AS_GET);
}

static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t length = sizeof(json) - 1;
	return type != NULL && strncasecmp(type, json, length) == 0 && strchr("; \t", type[length]) != NULL;
}

static bool has_wrong_type(const struct skymon_request *rq)
{
	return (rq->method_index == HTTP_POST || rq->method_index == HTTP_PUT) &&
	       !(rq->entry->route->flags & SKYMON_ROUTE_ANY_BODY) && !is_json(rq->headers.content_type);
}

/* Browsers ask for name and password by themselves: for the pages that people open, and for nothing that a
 * page, ours or a foreign one, loads. */
static void reply_unauthorized(struct skymon_request *rq)
{
	const char *mode = request_header(rq, "Sec-Fetch-Mode");
	bool users = users_exist(rq->http->users);
	reply_header(rq, "WWW-Authenticate", "Bearer");
	if (users && (mode == NULL || strcmp(mode, "navigate") == 0))
		reply_header(rq, "WWW-Authenticate", "Basic realm=\"skymon\", charset=\"UTF-8\"");
	reply_problem(
		rq, 401,
		"this route needs the header \"Authorization: Bearer TOKEN\" with the token of `access`%s",
		users ? ", or name and password of one of its users" : "");
}

/* A browser adds the password to requests of foreign pages too: a write must come from a page of ours. */
static bool is_foreign_write(struct skymon_request *rq)
{
	bool writes = rq->method_index == HTTP_POST || rq->method_index == HTTP_PUT ||
		      rq->method_index == HTTP_DELETE;
	return rq->login != NULL && writes && !request_is_guarded(rq);
}

static void enter_route(struct skymon_request *rq)
{
	take_route(rq, rq->match.entry);
	if (!rq->trusted && users_verify(rq))
		return;
	if (!has_place(rq)) {
		rq->close = true;
		reply_header(rq, "Retry-After", "1");
		reply_problem(rq, 503,
			      "all connections are in use, except for those that serve probes only (health, "
			      "ready, alive): try again, or raise limits.connections or "
			      "limits.connections_per_address");
	} else if (!rq->trusted && !rq->open) {
		reply_unauthorized(rq);
	} else if (is_foreign_write(rq)) {
		return; /* it was answered */
	} else if (has_wrong_type(rq)) {
		reply_problem(rq, 415, "%s %s takes a body with Content-Type: application/json",
			      rq->entry->route->method, rq->entry->route->path);
	} else {
		run_handler(rq);
	}
}

/* ---- Dispatch ---- */

static bool serves(const struct listener *listener, const struct route_entry *entry)
{
	return listener->allowed == NULL || listener->allowed[entry->index];
}

/* Does this listener serve any route of the path? */
static bool serves_path(const struct skymon_request *rq)
{
	static const enum http_method methods[] = {HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE};
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		struct route_match match;
		route_find(rq->table, methods[i], rq->path, &match);
		if (match.entry != NULL && serves(rq->listener, match.entry))
			return true;
	}
	return false;
}

static void reply_not_found(struct skymon_request *rq)
{
	const char *missing = route_table_missing(rq->table);
	if (missing != NULL) {
		reply_header(rq, "Retry-After", "10");
		reply_problem(rq, 503, "the route %.100s is missing for now: %.400s", rq->path, missing);
		return;
	}
	reply_problem(rq, 404, "no such route: %.200s (GET / lists all routes)", rq->path);
}

/* OPTIONS replies with the allowed methods; on some routes with the status code that GET would have. */
static void reply_options(struct skymon_request *rq)
{
	char allow[sizeof(rq->match.allow)];
	memcpy(allow, rq->match.allow, sizeof(allow));
	route_find(rq->table, HTTP_GET, rq->path, &rq->match);
	const struct route_entry *entry = rq->match.entry;
	reply_header(rq, "Allow", allow);
	rq->as_options = true;
	if (entry != NULL && entry->route->flags & SKYMON_ROUTE_OPTIONS_AS_GET) {
		enter_route(rq);
		return;
	}
	if (entry != NULL)
		take_route(rq, entry);
	reply_copy(rq, 204, NULL, NULL, 0);
}

void request_dispatch(struct skymon_request *rq)
{
	if (rq->http->table == NULL) {
		reply_problem(rq, 503, "the daemon has no routes yet");
		return;
	}
	rq->table = rq->http->table;
	route_table_ref(rq->table);
	route_find(rq->table, rq->method_index, rq->path, &rq->match);
	const struct route_entry *entry = rq->match.entry;
	bool guarded =
		entry != NULL && entry->route->flags & SKYMON_ROUTE_GUARDED; /* validates Host itself */
	bool options = rq->method_index == HTTP_OPTIONS;
	if (rq->headers.odd_host && rq->host == NULL && !guarded) {
		rq->close = true;
		reply_problem(rq, 400, "the Host header is not a name or address and a port");
	} else if (entry != NULL && serves(rq->listener, entry)) {
		enter_route(rq);
	} else if (options && strcmp(rq->path, "*") == 0) {
		reply_header(rq, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
		reply_copy(rq, 204, NULL, NULL, 0);
	} else if (entry != NULL || !rq->match.path_known || !serves_path(rq)) {
		reply_not_found(rq);
	} else if (options) {
		reply_options(rq);
	} else {
		reply_header(rq, "Allow", rq->match.allow);
		reply_problem(rq, 405, "%.200s takes %s", rq->path, rq->match.allow);
	}
}

void request_dispatch_again(struct skymon_request *rq)
{
	struct route_table *before = rq->table;
	rq->extra.size = 0;
	rq->verified = true;
	request_dispatch(rq);
	route_table_unref(before);
}
