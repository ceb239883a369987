/* SPDX-License-Identifier: Apache-2.0 */
/* http_plugin_api: the functions of struct skymon_host that take a request, for plugins in the daemon. Their
 * handlers call them on the loop's thread; daemon/plugin_api.c adds the rest of the table. */
#include <string.h>

#include "http_private.h"

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

/* The query is short and rare, so that searching it each time costs less than splitting it up. */
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

static const struct route_entry *find_rendered(const struct route_table *table, const char *name)
{
	for (size_t i = 0; i < route_count(table); i++) {
		const struct route_entry *entry = route_at(table, i);
		if (!entry->forwarded && strcmp(entry->route->name, name) == 0 &&
		    strcmp(entry->route->method, "GET") == 0)
			return entry;
	}
	return NULL;
}

static const char *host_render(struct skymon_request *rq, const char *name, size_t *size)
{
	bool rendered = rq->connection == NULL; /* one level is enough, and cannot loop */
	const struct route_entry *found = rendered ? NULL : find_rendered(rq->table, name);
	if (found == NULL)
		return NULL;
	struct skymon_request *inner = request_new(rq->http, rq->listener, NULL);
	inner->trusted = rq->trusted;
	inner->method = "GET";
	inner->table = rq->table;
	route_table_ref(inner->table);
	inner->entry = found;
	request_run(inner);
	char *text = NULL;
	if (inner->phase == REQUEST_ANSWERED && inner->code == 200) {
		*size = inner->output.size;
		buf_add(&rq->extra, inner->extra.data, inner->extra.size);
		text = request_text(rq, inner->output.size + 1);
		memcpy(text, inner->output.size > 0 ? inner->output.data : "", inner->output.size + 1);
	}
	request_free(inner);
	return text;
}

/* Plugins in the daemon are trusted to pass valid JSON. */
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
	.reply_problem = reply_problem_text,
};
