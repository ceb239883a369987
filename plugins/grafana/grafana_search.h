/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_search: finds dashboards in Grafana by uid, by number, by title and folder. Grafana 9 stores a
 * folder as a dashboard; these functions do not count a folder's uid as a dashboard. */
#ifndef GRAFANA_SEARCH_H
#define GRAFANA_SEARCH_H

#include "grafana.h"

#define SEARCH_PAGE_SIZE 1000 /* Grafana's limit */

/* A dashboard's folder, current or wanted; uid "" and id 0: outside of all folders. */
struct search_location {
	const char *folder_uid;
	json_int_t folder_id;
};

/* The parts of a dashboard that skymon needs. */
struct search_found {
	json_t *meta, *title, *uid, *version; /* or NULL */
};

/* Gets {"meta", "dashboard"} as text. Returns false with ctx->fault: 404 for no such dashboard, or for a
 * folder. */
bool search_get(struct grafana_ctx *ctx, const char *uid, struct grafana_text *found);
bool search_uid(struct grafana_ctx *ctx, const char *uid, struct search_found *there);
void search_free(struct search_found *there);
const char *search_title(const struct search_found *there); /* or "" */

/* Finds the first dashboard in the folder with exactly this title, as a search lists it. *found: for
 * json_decref, or NULL. */
bool search_named(struct grafana_ctx *ctx, const struct search_location *location, const char *title,
		  json_t **found);
/* Finds one that Grafana 9 takes for the same: of this title, or else of a title with the same slug. */
bool search_alike(struct grafana_ctx *ctx, const struct search_location *location, const char *title,
		  json_t **found);
bool search_number(struct grafana_ctx *ctx, json_int_t id, json_t **found);
/* Writes a slug, about as Grafana does: letters without their marks, digits, and hyphens for other
 * characters. Pure. */
void search_slug(const char *title, char *out, size_t size);
/* Returns true if a dashboard, as listed by a search or in `meta`, is in this folder. Pure. */
bool search_is_in(const json_t *found, const struct search_location *location);

/* 409, with uid, title (as dashboard_title), url and folder of the existing dashboard; Grafana's own words
 * are kept. found: from a search. */
bool search_refuse(struct grafana_ctx *ctx, const json_t *found, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool search_refuse_found(struct grafana_ctx *ctx, const struct search_found *there, const char *sentence);

#endif
