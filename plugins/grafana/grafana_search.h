/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_search: finds dashboards that are in Grafana: by uid, by number, by title and folder. Grafana 9
 * stores a folder as a dashboard: a folder's uid counts as no dashboard here. */
#ifndef GRAFANA_LOOK_H
#define GRAFANA_LOOK_H

#include "grafana.h"

#define LOOK_PAGE 1000 /* dashboards that one search answers with */

struct look_place { /* where a dashboard is, or is to be; uid "", id 0: in no folder */
	const char *folder_uid;
	json_int_t folder_id;
};

/* What has to be known of a dashboard, whatever else is in it. */
struct look_there {
	json_t *meta, *title, *uid, *version; /* NULL: it has none */
};

/* {"meta", "dashboard"} as text. false: ctx->fault: 404 when there is no such dashboard, or it is a folder.
 */
bool look_get(struct grafana_ctx *ctx, const char *uid, struct grafana_text *found);
bool look_uid(struct grafana_ctx *ctx, const char *uid, struct look_there *there);
void look_free(struct look_there *there);
const char *look_title(const struct look_there *there); /* "" when it has none */

/* The first in the folder with exactly this title, as a search shows it. *found: NULL when there is none,
 * else for json_decref. */
bool look_named(struct grafana_ctx *ctx, const struct look_place *place, const char *title, json_t **found);
/* The one that Grafana 9 takes for the same: of this title, or else of a title whose slug is the same. */
bool look_alike(struct grafana_ctx *ctx, const struct look_place *place, const char *title, json_t **found);
/* The one with this number. */
bool look_number(struct grafana_ctx *ctx, json_int_t id, json_t **found);
/* A slug, about as Grafana makes it: letters without their marks, digits, and hyphens for the rest. Pure. */
void look_slug(const char *title, char *out, size_t size);
/* Is a dashboard, as a search or its `meta` shows it, in this place? Pure. */
bool look_is_in(const json_t *found, const struct look_place *place);

/* 409, with uid, title (as dashboard_title), url and folder of what is there; Grafana's own words stay.
 * found: of a search. */
bool look_refuse(struct grafana_ctx *ctx, const json_t *found, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool look_refuse_there(struct grafana_ctx *ctx, const struct look_there *there, const char *sentence);

#endif
