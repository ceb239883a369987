/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_look: which dashboard is there: by its title and folder, by its uid. What is found is text, of
 * which only what is wanted becomes a tree: a dashboard that jansson does not read can be replaced and
 * deleted too. Nobody but grafana_dashboards.c includes this. */
#ifndef GRAFANA_LOOK_H
#define GRAFANA_LOOK_H

#include <stdio.h>
#include <string.h>

#include "grafana.h"
#include "json_read.h"

#define PAGE 1000    /* dashboards */
#define PAGES_MAX 30 /* of those whose title has some words in common */

static bool is_in(const json_t *found, const char *folder_uid, json_int_t folder_id)
{
	const char *uid = json_read_text(found, "folderUid");
	json_int_t id = json_integer_value(json_object_get(found, "folderId"));

	if (folder_uid[0] != '\0')
		return uid != NULL && strcmp(uid, folder_uid) == 0;
	if (folder_id != 0)
		return id == folder_id;
	return id == 0 && (uid == NULL || uid[0] == '\0' || strcmp(uid, "general") == 0);
}

struct place { /* where a dashboard is, or is to be; uid "", id 0: in none */
	const char *folder_uid;
	json_int_t folder_id;
};

/* The first item in a list of dashboards, as text, that has this text and, where a place is given, is there.
 * *count: of the items. NULL: there is none. */
static json_t *search(const struct grafana_text *list, const char *member, const char *wanted,
		      const struct place *place, size_t *count)
{
	struct grafana_span rest = {list->bytes, list->size}, value;
	json_t *found = NULL;

	for (*count = 0; grafana_walk(&rest, NULL, &value); ++*count) {
		json_t *item = found == NULL ? grafana_load(value) : NULL;
		const char *its = json_read_text(item, member);

		if (its != NULL && strcmp(its, wanted) == 0 &&
		    (place == NULL || is_in(item, place->folder_uid, place->folder_id)))
			found = json_incref(item);
		json_decref(item);
	}
	return found;
}

static bool ask(struct grafana_ctx *ctx, const char *path, struct grafana_text *answer)
{
	return grafana_ask_text(ctx, "GET", path, (struct grafana_span){NULL, 0}, 0, answer);
}

/* The first of this title in the folder. *found: NULL: there is none; else for json_decref. */
static bool find_title(struct grafana_ctx *ctx, const struct place *place, const char *title, json_t **found)
{
	char path[GRAFANA_PATH_MAX], rest[60];
	struct grafana_text answer;
	size_t count = PAGE;

	*found = NULL;
	for (int page = 1; *found == NULL && count == PAGE && page <= PAGES_MAX; page++) {
		snprintf(rest, sizeof(rest), "&limit=%d&page=%d", PAGE, page);
		if (!grafana_path(path, sizeof(path), "/api/search?type=dash-db&query=", title, rest))
			return grafana_wrong(&ctx->fault, "/dashboard/title",
					     "is too long to be searched for");
		if (!ask(ctx, path, &answer))
			return false;
		*found = search(&answer, "title", title, place, &count);
		grafana_text_free(&answer);
	}
	return true;
}

/* An Editor's key is told 403 for what is not there: is it in a list of what the key may see? */
static bool is_listed(struct grafana_ctx *ctx, const char *uid)
{
	char path[GRAFANA_PATH_MAX];
	struct grafana_text answer;
	json_t *found;
	size_t count;

	if (!grafana_path(path, sizeof(path), "/api/search?type=dash-db&limit=1000&dashboardUIDs=", uid,
			  "") ||
	    !ask(ctx, path, &answer))
		return true;
	found = search(&answer, "uid", uid, NULL, &count);
	grafana_text_free(&answer);
	json_decref(found);
	return found != NULL || count >= PAGE; /* an older Grafana may take no heed of dashboardUIDs */
}

/* As text: {"meta", "dashboard"}; 404 leaves ctx->fault so. */
static bool get_uid(struct grafana_ctx *ctx, const char *uid, struct grafana_text *found)
{
	char path[GRAFANA_PATH_MAX];
	struct grafana_fault was;

	*found = (struct grafana_text){0};
	if (grafana_uid_fault(uid) != NULL ||
	    !grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, ""))
		/* nothing can have it, so nobody is asked */
		return grafana_fail(ctx, 404, "no dashboard can have this uid: it %s",
				    grafana_uid_fault(uid));
	if (ask(ctx, path, found))
		return true;
	if (ctx->fault.upstream_status == 403) {
		was = ctx->fault;
		if (is_listed(ctx, uid)) {
			grafana_forget(&ctx->fault);
			ctx->fault = was;
			return false;
		}
		ctx->fault = was;
		return grafana_mean(ctx, 404, "",
				    "Grafana has no dashboard with the uid %s that its key may see", uid);
	}
	if (ctx->fault.code == 404)
		grafana_mean(ctx, 404, "", "Grafana has no dashboard with the uid %s", uid);
	return false;
}

/* What is to be known of a dashboard, whatever else is in it: where it is, its title, its version. */
struct there {
	json_t *meta, *title, *uid, *version; /* NULL: it has none */
};

static bool find_uid(struct grafana_ctx *ctx, const char *uid, struct there *there)
{
	struct grafana_text found;
	struct grafana_span whole, dashboard;

	*there = (struct there){0};
	if (!get_uid(ctx, uid, &found))
		return false;
	whole = (struct grafana_span){found.bytes, found.size};
	dashboard = grafana_find(whole, "dashboard");
	*there = (struct there){grafana_pick(whole, "meta"), grafana_pick(dashboard, "title"),
				grafana_pick(dashboard, "uid"), grafana_pick(dashboard, "version")};
	grafana_text_free(&found);
	return true;
}

static void free_there(struct there *there)
{
	json_decref(there->meta);
	json_decref(there->title);
	json_decref(there->uid);
	json_decref(there->version);
}

/* 409 with what is there: of a search. */
static bool refuse(struct grafana_ctx *ctx, const json_t *found, const char *sentence)
{
	grafana_mean(ctx, 409, "", "%s", sentence);
	grafana_copy_member(&ctx->fault, found, "uid");
	grafana_copy_member(&ctx->fault, found, "url");
	grafana_copy_member(&ctx->fault, found, "folderUid");
	return false;
}

/* The same, of a dashboard. */
static bool refuse_there(struct grafana_ctx *ctx, const struct there *there, const char *sentence)
{
	refuse(ctx, there->meta, sentence);
	if (there->uid != NULL)
		grafana_member(&ctx->fault, "uid", json_incref(there->uid));
	if (there->version != NULL)
		grafana_member(&ctx->fault, "version", json_incref(there->version));
	return false;
}

#endif
