/* SPDX-License-Identifier: Apache-2.0 */
/* reload_route: answers POST /-/reload. Called by daemon.c, on the loop's thread; owns the list of requests, whose
 * connections http has suspended. See reload_route.h. */
#include "reload_route.h"

#include <stdlib.h>
#include <string.h>

#include "http/http.h"

struct reload_waiter {
	struct reload_waiter *next;
	struct skymon_request *rq;
	uint64_t number, turn;
};

void reload_outcome_free(struct reload_outcome *outcome)
{
	reload_changes_free(&outcome->changes);
	err_list_free(&outcome->restart);
	err_list_free(&outcome->errors);
	*outcome = (struct reload_outcome){0};
}

/* ---- Answers ---- */

static void add_list(struct buf *out, const char *key, const struct err_list *list)
{
	if (key != NULL)
		buf_printf(out, ",\"%s\":", key);
	buf_text(out, "[");
	for (size_t i = 0; i < list->count; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, list->texts[i]);
	}
	buf_text(out, "]");
}

static void answer_refused(struct skymon_request *rq, const struct reload_outcome *outcome)
{
	struct buf list = {0};
	struct err why;
	size_t count = outcome->errors.count;
	add_list(&list, NULL, &outcome->errors);
	http_host.problem_json(rq, "errors", list.data);
	buf_free(&list);
	(void)err_set(&why, "the new config has %zu error%s and is refused; the old one stays in force",
		      count, count == 1 ? "" : "s");
	http_host.request_audit(rq, why.text, strlen(why.text));
	http_forward_reply(rq, NULL, 422, why.text);
}

static void answer_applied(struct skymon_request *rq, const struct reload_outcome *outcome)
{
	struct buf body = {0}, audit = {0};
	const struct reload_changes *changes = &outcome->changes;
	buf_text(&body, "{\"ok\":true,\"timestamp\":");
	buf_json_time(&body, wall_clock_ms());
	add_list(&body, "added", &changes->added);
	add_list(&body, "removed", &changes->removed);
	add_list(&body, "changed", &changes->changed);
	add_list(&body, "restart", &outcome->restart);
	buf_text(&body, "}");
	reload_changes_print(changes, &audit);
	http_forward_reply(rq,
			   &(struct http_message_reply){.code = 200,
							.type = "application/json",
							.audit = audit.data,
							.body = body.data,
							.body_size = body.size},
			   0, NULL);
	buf_free(&body);
	buf_free(&audit);
}

void reload_route_answer(struct reload_route *route, uint64_t turn, const struct reload_outcome *outcome)
{
	for (struct reload_waiter **link = &route->waiters; *link != NULL;) {
		struct reload_waiter *waiter = *link;
		if (waiter->turn > turn) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		if (outcome->errors.count > 0)
			answer_refused(waiter->rq, outcome);
		else
			answer_applied(waiter->rq, outcome);
		free(waiter);
	}
}

void reload_route_end(struct reload_route *route)
{
	struct reload_waiter *waiter;
	while ((waiter = route->waiters) != NULL) {
		route->waiters = waiter->next;
		http_forward_reply(waiter->rq, NULL, 503, "skymond stops");
		free(waiter);
	}
}

/* ---- Requests ---- */

uint64_t reload_route_add(struct reload_route *route, struct skymon_request *rq,
			  const struct http_message_request *asked, bool has_token, uint64_t turn)
{
	if (!asked->local && !(has_token && asked->trusted)) {
		struct err why;
		(void)err_set(&why, "a reload is for local callers%s; this request is not local: %s",
			      has_token ? " and for those with the token of `access`" : "",
			      asked->why_not_local);
		http_forward_reply(rq, NULL, 403, why.text);
		return 0;
	}
	struct reload_waiter *waiter = x_alloc(sizeof(*waiter));
	*waiter = (struct reload_waiter){route->waiters, rq, ++route->last, turn};
	route->waiters = waiter;
	return waiter->number;
}

static struct reload_waiter **find(struct reload_route *route, uint64_t number)
{
	struct reload_waiter **link = &route->waiters;
	while (*link != NULL && (*link)->number != number)
		link = &(*link)->next;
	return link;
}

bool reload_route_waits(const struct reload_route *route, uint64_t number)
{
	return *find((struct reload_route *)route, number) != NULL;
}

bool reload_route_withdraw(struct reload_route *route, uint64_t number)
{
	struct reload_waiter **link = find(route, number), *waiter = *link;
	if (waiter == NULL)
		return false;
	*link = waiter->next;
	free(waiter);
	return true;
}
