/* SPDX-License-Identifier: Apache-2.0 */
/* page: the status page for a browser and badges, from memory. Runs in the daemon; the HTTP thread calls the
 * routes. The index of the API shows the page `index_page` to a browser that asks for /. Owns nothing. */
#include "page.h"

#include <stdlib.h>
#include <string.h>

static void reply(struct skymon *sm, struct skymon_request *rq, int code, const char *type, struct text *body)
{
	struct skymon_part part = {body->data, body->size};
	skymon_reply_parts(sm, rq, code, type, &part, 1, 0, free, body->data);
}

static void reply_page(struct skymon *sm, struct skymon_request *rq, bool with_routes)
{
	struct view view = {.sm = sm,
			    .self = skymon_self(sm),
			    .snapshot = skymon_snapshot(sm),
			    .trusted = skymon_is_trusted(sm, rq),
			    .routes = with_routes};
	struct text body = {0};
	page_print(&body, &view);
	skymon_reply_header(sm, rq, "Content-Security-Policy", page_policy);
	skymon_reply_header(sm, rq, "X-Health-Status", skymon_status_word(view.snapshot->status));
	skymon_release(sm, view.snapshot);
	reply(sm, rq, 200, "text/html; charset=utf-8", &body);
}

static void handle_index(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	reply_page(sm, rq, true);
}

static void handle_page(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	reply_page(sm, rq, false);
}

/* ---- Badges ---- */

static void reply_badge(struct skymon *sm, struct skymon_request *rq, int code, const char *label,
			const char *word, int status)
{
	struct text body = {0};
	badge_print(&body, label, word, status);
	skymon_reply_header(sm, rq, "Cache-Control", "max-age=10");
	reply(sm, rq, code, "image/svg+xml", &body);
}

static void handle_badge(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const char *name = skymon_param(sm, rq, "component");
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	const struct skymon_component *found = NULL;
	for (size_t i = 0; found == NULL && i < snapshot->count; i++)
		if (strcmp(snapshot->components[i]->name, name) == 0)
			found = snapshot->components[i];
	if (found == NULL) /* without the name that was sent, which need not even be UTF-8 */
		reply_badge(sm, rq, 404, "component", "not in the configuration", -1);
	else
		reply_badge(sm, rq, 200, found->name,
			    !found->configured           ? "not configured"
			    : found->maintenance != NULL ? "maintenance"
							 : skymon_status_word(found->status),
			    found->maintenance != NULL ? -1 : found->status);
	skymon_release(sm, snapshot);
}

static void handle_whole_badge(struct skymon *sm, void *state, struct skymon_request *rq)
{
	(void)state;
	const struct skymon_self *self = skymon_self(sm);
	const struct skymon_snapshot *snapshot = skymon_snapshot(sm);
	reply_badge(sm, rq, 200, self->service, skymon_status_word(snapshot->status), snapshot->status);
	skymon_release(sm, snapshot);
}

#define ROUTE(path_, name_, handle_, summary_)                                                               \
	(&(const struct skymon_route){.size = sizeof(struct skymon_route),                                   \
				      .method = "GET",                                                       \
				      .path = path_,                                                         \
				      .name = name_,                                                         \
				      .summary = summary_,                                                   \
				      .handle = handle_})

static const struct skymon_route *const routes[] = {
	ROUTE("/index.html", "index_page", handle_index,
	      "the status page with the list of routes; a browser gets it at / too"),
	ROUTE("/status.html", "page", handle_page, "the status page alone, to be published"),
	ROUTE("/api/v1/health/badge.svg", "badge", handle_whole_badge, "the whole service as a small image"),
	ROUTE("/api/v1/health/{component}/badge.svg", "component_badge", handle_badge,
	      "one component as a small image"),
	NULL,
};

SKYMON_PLUGIN(page, "1.0", "A status page for browsers, and badges", .flags = SKYMON_IN_DAEMON,
	      .routes = routes);
