/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_wish: reads a dashboard that a caller wants saved, and prints the request for Grafana. Called by
 * grafana_dashboards.c, on the thread of the request. Owns the text of the model. */
#include "grafana_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 400

static const struct grafana_name names[] = {
	{"folder_uid", "folderUid"}, {"folder_id", "folderId"}, {"is_folder", "isFolder"}, {NULL, NULL}};

/* Grafana cuts white space off a title. Here already, because the title is searched for. */
static char *trim_title(const char *title)
{
	const char *start = title + strspn(title, " \t\r\n");
	size_t size = strlen(start);
	char *out;

	while (size > 0 && strchr(" \t\r\n", start[size - 1]) != NULL)
		size--;
	out = grafana_alloc(size + 1);
	memcpy(out, start, size);
	out[size] = '\0';
	return out;
}

static bool judge_dashboard(const struct grafana_spot *spot)
{
	const json_t *id = grafana_field(spot, "id");

	if (id != NULL && !json_is_integer(id))
		return grafana_wrong_field(spot, "id", "must be a whole number, or null");
	return grafana_needs(spot, "title", GRAFANA_TEXT) && grafana_is_uid(spot, "uid") &&
	       grafana_is(spot, "version", GRAFANA_INTEGER) && grafana_is(spot, "tags", GRAFANA_ARRAY);
}

static bool judge(const struct grafana_spot *spot)
{
	const json_t *renamed;

	if (!grafana_needs(spot, "dashboard", GRAFANA_OBJECT) ||
	    !grafana_is(spot, "overwrite", GRAFANA_BOOLEAN) || !grafana_is(spot, "message", GRAFANA_TEXT) ||
	    !grafana_is_uid(spot, "folderUid") || !grafana_is(spot, "folderId", GRAFANA_INTEGER) ||
	    !grafana_is(spot, "isFolder", GRAFANA_BOOLEAN))
		return false;
	if (json_is_true(grafana_field(spot, "isFolder")))
		return grafana_wrong_field(spot, "isFolder",
					   "makes a folder, and this route makes dashboards: leave it out");
	renamed = grafana_rename(spot); /* nothing is there under two names */
	json_decref((json_t *)(uintptr_t)renamed);
	return renamed != NULL;
}

static void take_dashboard(struct grafana_wish *wish, const struct grafana_spot *spot)
{
	const json_t *id = grafana_field(spot, "id"), *version = grafana_field(spot, "version");
	const char *uid = json_string_value(grafana_field(spot, "uid"));

	snprintf(wish->uid, sizeof(wish->uid), "%s", uid != NULL ? uid : "");
	/* the number may be that of another Grafana: where a uid is given, that names the dashboard */
	wish->id = wish->uid[0] == '\0' ? json_integer_value(id) : 0;
	wish->has_version = version != NULL;
	wish->version = json_integer_value(version);
	wish->title = trim_title(json_string_value(grafana_field(spot, "title")));
}

static void take_folder(struct grafana_wish *wish, const struct grafana_spot *spot)
{
	static const char *const pointers[] = {"/folder_uid", "/folderUid", "/folder_id", "/folderId", NULL};
	const json_t *id = grafana_field(spot, "folderId"), *given = grafana_field(spot, "folderUid");
	const char *uid = json_string_value(given), *name;

	name = grafana_sent_name(spot, uid != NULL && uid[0] != '\0' ? "folderUid" : "folderId");
	for (size_t i = 0; pointers[i] != NULL && (given != NULL || id != NULL); i++)
		if (strcmp(pointers[i] + 1, name) == 0)
			wish->folder_pointer = pointers[i];
	wish->has_folder = given != NULL || id != NULL;
	/* "general" is what Grafana calls the place outside of all folders, but does not take for one */
	snprintf(wish->folder_uid, sizeof(wish->folder_uid), "%s",
		 uid != NULL && strcmp(uid, "general") != 0 ? uid : "");
	wish->place = (struct look_place){wish->folder_uid, json_integer_value(id)};
}

/* The rest, as it was sent: model is the text of the dashboard. Its room is the caller's body's, which it is
 * not larger than, unless inputs were filled in. */
static void take_text(struct grafana_wish *wish, const struct grafana_spot *spot,
		      const struct grafana_spot *inner, struct grafana_span model)
{
	static const char *const skip[] = {"dashboard", "overwrite", "folderUid", "folderId",
					   "isFolder",  "inputs",    NULL},
				 *const skip_inner[] = {"title", "uid", "id", "version", NULL};
	struct grafana_span body = grafana_body_text(wish->ctx);
	json_t *title = json_string(wish->title);
	char *printed = grafana_print(title), *at;

	at = wish->text = grafana_alloc(HEAD_MAX + body.size + model.size + strlen(printed) + 20);
	at += HEAD_MAX;
	at += sprintf(at, "\"title\":%s", printed);
	at += grafana_copy_members(inner, model, skip_inner, at);
	*at++ = '}';
	at += grafana_copy_members(spot, body, skip, at);
	*at++ = '}';
	wish->text_size = (size_t)(at - wish->text);
	grafana_free_text(printed);
	json_decref(title);
}

/* replaces: a PUT; `overwrite` counts as sent then. */
bool grafana_read_wish(struct grafana_ctx *ctx, bool replaces, struct grafana_wish *wish)
{
	struct grafana_spot spot = {NULL, names, "", &ctx->fault},
			    inner = {NULL, NULL, "/dashboard", &ctx->fault};
	json_t *sent = grafana_body(ctx);
	char *filled = NULL;
	const json_t *given;
	bool good;

	*wish = (struct grafana_wish){
		.ctx = ctx, .replaces = replaces, .overwrite = replaces, .folder_pointer = ""};
	spot.sent = sent;
	good = sent != NULL && judge(&spot);
	inner.sent = json_object_get(sent, "dashboard");
	good = good && judge_dashboard(&inner) &&
	       grafana_fill_inputs(ctx, json_object_get(sent, "dashboard"), grafana_field(&spot, "inputs"),
				   &filled);
	if (good) {
		struct grafana_span model = grafana_find(grafana_body_text(ctx), "dashboard");

		if (filled != NULL)
			model = (struct grafana_span){filled, strlen(filled)};

		given = grafana_field(&spot, "overwrite");
		if (given != NULL)
			wish->overwrite = json_is_true(given);
		take_dashboard(wish, &inner);
		take_folder(wish, &spot);
		take_text(wish, &spot, &inner, model);
	}
	grafana_free_text(filled);
	grafana_drop_body(ctx, sent);
	return good;
}

void grafana_free_wish(struct grafana_wish *wish)
{
	if (wish->text != NULL)
		explicit_bzero(wish->text, wish->text_size);
	free(wish->text);
	free(wish->title);
}

/* ---- For Grafana ---- */

__attribute__((format(printf, 3, 4))) static size_t add(char *head, size_t used, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	used += (size_t)vsnprintf(head + used, HEAD_MAX - used, format, list);
	va_end(list);
	return used;
}

/* The head goes right before the rest. */
struct grafana_span grafana_print_wish(struct grafana_wish *wish)
{
	char head[HEAD_MAX];
	size_t used = add(head, 0, "{\"overwrite\":false");

	if (wish->has_folder || wish->keeps_folder)
		used = add(head, used, ",\"folderUid\":\"%s\"", wish->folder_uid);
	if (wish->place.folder_id != 0)
		used = add(head, used, ",\"folderId\":%lld", (long long)wish->place.folder_id);
	used = add(head, used, ",\"dashboard\":{");
	if (wish->uid[0] != '\0')
		used = add(head, used, "\"uid\":\"%s\",", wish->uid);
	if (wish->has_version)
		used = add(head, used, "\"version\":%lld,", (long long)wish->version);
	memcpy(wish->text + HEAD_MAX - used, head, used);
	return (struct grafana_span){wish->text + HEAD_MAX - used, wish->text_size - HEAD_MAX + used};
}
