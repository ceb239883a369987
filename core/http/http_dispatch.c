/* SPDX-License-Identifier: Apache-2.0 */
/* http_dispatch: from a request that was read to its handler: the route, who may ask, what it may bring; and
 * the request half of the table that plugins in the daemon call. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_private.h"

/* ---- Routes by name, for `routes` of a listener and `public` of access ---- */

static bool is_below(const char *path, const char *above)
{
	size_t length = strlen(above);
	return length > 1 && strncmp(path, above, length) == 0 && path[length] == '/';
}

bool request_route_named(const struct route_table *table, const struct route_entry *entry, char *const *names,
			 size_t count)
{
	for (size_t n = 0; n < count; n++) {
		if (strcmp(names[n], entry->plugin) == 0)
			return true;
		for (size_t i = 0; i < route_count(table); i++) {
			const struct route_entry *named = route_at(table, i);
			if (strcmp(named->route->name, names[n]) == 0 &&
			    (strcmp(named->route->name, entry->route->name) == 0 ||
			     is_below(entry->route->path, named->route->path)))
				return true;
		}
	}
	return false;
}

/* ---- Access ---- */

/* What follows is of that route: its counters, its audit, its headers. */
static void take_route(struct skymon_request *rq, const struct route_entry *entry)
{
	const struct access *access = &rq->http->access;
	rq->entry = entry;
	rq->count = rq->http->by_index[entry->index];
	rq->open = !access->asked || access->open[entry->index];
	rq->trusted = !access->asked || token_matches(rq);
	if (entry->route->flags & SKYMON_ROUTE_GUARDED)
		request_caller(rq); /* for the audit line: one that has left cannot be looked at any more */
}

/* ---- Body ---- */

static bool is_json(const char *type)
{
	static const char json[] = "application/json";
	size_t length = sizeof(json) - 1;
	return type != NULL && strncasecmp(type, json, length) == 0 && strchr("; \t", type[length]) != NULL;
}

static bool wrong_type(const struct skymon_request *rq, const struct skymon_route *route)
{
	return (rq->method_index == HTTP_POST || rq->method_index == HTTP_PUT) &&
	       !(route->flags & SKYMON_ROUTE_ANY_BODY) && !is_json(rq->headers.content_type);
}

/* ---- Dispatch ---- */

static bool serves(const struct listener *listener, const struct route_entry *entry)
{
	return listener->allowed == NULL || listener->allowed[entry->index];
}

static bool decode_params(struct skymon_request *rq)
{
	struct route_match *match = &rq->match;
	for (size_t i = 0; i < match->param_count; i++) {
		size_t room = match->params[i].size + 1;
		char *text = request_text(rq, room);
		if (!http_message_decode(match->params[i].value, match->params[i].size, false, text, room))
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
	if (entry->away) {
		forward_hand(rq);
		return;
	}
	entry->route->handle(entry->sm, entry->state, rq);
	if (rq->answered)
		return;
	log_error("plugin %s: the handler of %s %s did not answer", entry->plugin, entry->route->method,
		  entry->route->path);
	reply_problem(rq, 500, "the handler of this route did not answer; that is a defect of the plugin %s",
		      entry->plugin);
}

/* Does this listener serve any route of the path? */
static bool serves_path(const struct skymon_request *rq)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
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
	const char *missing = rq->table != NULL ? route_table_missing(rq->table) : NULL;
	if (missing != NULL) {
		reply_header(rq, "Retry-After", "10");
		reply_problem(rq, 503, "there is no route %.100s now: %.400s", rq->path, missing);
		return;
	}
	reply_problem(rq, 404, "there is no route %.200s; GET / lists those that are", rq->path);
}

static void reply_unauthorized(struct skymon_request *rq)
{
	reply_header(rq, "WWW-Authenticate", "Bearer");
	reply_problem(
		rq, 401,
		"this route asks for the header \"Authorization: Bearer TOKEN\" with the token of `access`");
}

/* The routes of probes are those that HAProxy may ask with OPTIONS. */
static bool has_place(const struct skymon_request *rq)
{
	return !rq->peer->reserve ||
	       (!rq->entry->away && rq->entry->route->flags & SKYMON_ROUTE_OPTIONS_AS_GET);
}

static void reply_busy(struct skymon_request *rq)
{
	rq->close = true;
	reply_header(rq, "Retry-After", "1");
	reply_problem(
		rq, 503,
		"all connections are in use, and what is left is for probes (health, ready, alive): try "
		"again, or raise limits.connections or limits.connections_per_address");
}

static void enter(struct skymon_request *rq)
{
	const struct route_entry *entry = rq->match.entry;
	take_route(rq, entry);
	if (!has_place(rq))
		reply_busy(rq);
	else if (!rq->trusted && !rq->open)
		reply_unauthorized(rq);
	else if (wrong_type(rq, entry->route))
		reply_problem(rq, 415, "%s %s takes a body with Content-Type: application/json",
			      entry->route->method, entry->route->path);
	else
		run_handler(rq);
}

/* OPTIONS: what is allowed; on some routes with the code that GET would give. */
static void answer_options(struct skymon_request *rq)
{
	char allow[sizeof(rq->match.allow)];
	if (strcmp(rq->path, "*") == 0) {
		reply_header(rq, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
		reply_copy(rq, 204, NULL, NULL, 0);
		return;
	}
	memcpy(allow, rq->match.allow, sizeof(allow));
	route_find(rq->table, "GET", rq->path, &rq->match);
	const struct route_entry *entry = rq->match.entry;
	reply_header(rq, "Allow", allow);
	rq->as_options = true;
	if (entry != NULL && entry->route->flags & SKYMON_ROUTE_OPTIONS_AS_GET) {
		enter(rq);
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
	route_find(rq->table, rq->method, rq->path, &rq->match);
	const struct route_entry *entry = rq->match.entry;
	bool guarded = entry != NULL && entry->route->flags & SKYMON_ROUTE_GUARDED; /* looks at Host itself */
	if (rq->headers.odd_host && rq->host == NULL && !guarded) {
		rq->close = true;
		reply_problem(rq, 400, "the Host header is not a name or address and a port");
	} else if (entry != NULL && serves(rq->listener, entry)) {
		enter(rq);
	} else if (rq->method_index == HTTP_OPTIONS && strcmp(rq->path, "*") == 0) {
		answer_options(rq);
	} else if (entry != NULL || !rq->match.path_known || !serves_path(rq)) {
		reply_not_found(rq);
	} else if (rq->method_index == HTTP_OPTIONS) {
		answer_options(rq);
	} else {
		reply_header(rq, "Allow", rq->match.allow);
		reply_problem(rq, 405, "%.200s takes %s", rq->path, rq->match.allow);
	}
}

/* ---- The request half of struct skymon_host ---- */

static const char *host_method(struct skymon_request *rq)
{
	return rq->method;
}

static const char *host_param(struct skymon_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->match.param_count; i++)
		if (strcmp(rq->match.params[i].name, name) == 0)
			return rq->match.params[i].value;
	return NULL;
}

/* The query is short and seldom there: it is searched each time. */
static const char *host_query(struct skymon_request *rq, const char *name)
{
	size_t length;
	if (name == NULL)
		return rq->query;
	const char *value = http_message_query(rq->query, name, &length);
	if (value == NULL || length == 0)
		return value != NULL ? "" : NULL;
	char *text = request_text(rq, length + 1);
	return http_message_decode(value, length, true, text, length + 1) ? text : "";
}

static const char *host_body(struct skymon_request *rq, size_t *size)
{
	*size = rq->body.size;
	return rq->body.size > 0 ? rq->body.data : "";
}

static bool host_trusted(struct skymon_request *rq)
{
	return rq->trusted;
}

static const char *host_render(struct skymon_request *rq, const char *name, size_t *size)
{
	const struct route_entry *found = NULL;
	for (size_t i = 0; rq->parent == NULL && i < route_count(rq->table) && found == NULL; i++) {
		const struct route_entry *entry = route_at(rq->table, i);
		if (!entry->away && strcmp(entry->route->name, name) == 0 &&
		    strcmp(entry->route->method, "GET") == 0)
			found = entry;
	}
	if (found == NULL)
		return NULL;
	struct skymon_request *inner = request_new(rq->http, rq->listener, NULL);
	inner->parent = rq;
	inner->trusted = rq->trusted;
	inner->method = "GET";
	inner->table = rq->table;
	route_table_ref(inner->table);
	inner->entry = found;
	found->route->handle(found->sm, found->state, inner);
	char *text = NULL;
	if (inner->answered && inner->code == 200) {
		*size = inner->output.size;
		text = request_text(rq, inner->output.size + 1);
		memcpy(text, inner->output.size > 0 ? inner->output.data : "", inner->output.size + 1);
	}
	request_end(inner);
	return text;
}

/* The plugins in the daemon are trusted to give JSON. */
static void host_problem_json(struct skymon_request *rq, const char *key, const char *json)
{
	if (!http_message_member_ok(key))
		return;
	buf_text(&rq->members, ",");
	buf_json(&rq->members, key);
	buf_printf(&rq->members, ":%s", json);
}

const struct skymon_host http_host = {
	.size = sizeof(struct skymon_host),
	.request_method = host_method,
	.request_param = host_param,
	.request_query = host_query,
	.request_header = request_header,
	.request_body = host_body,
	.request_trusted = host_trusted,
	.render = host_render,
	.request_caller = request_caller,
	.request_audit = request_audit,
	.problem_json = host_problem_json,
	.reply_header = reply_header,
	.reply = reply_copy,
	.reply_parts = reply_parts,
	.reply_problem = reply_problem_list,
};
