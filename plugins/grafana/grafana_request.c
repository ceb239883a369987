/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_request: reads a dashboard that a caller wants to save, and prints the request for Grafana. Called
 * by grafana_dashboards.c, on the thread of the request. A struct grafana_request owns its title and text. */
#include "grafana_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 400

static const struct grafana_name names[] = {
	{"folder_uid", "folderUid"}, {"folder_id", "folderId"}, {"is_folder", "isFolder"}, {NULL, NULL}};

/* Grafana trims white space off a title. The title is searched for, so it is trimmed here too. */
static char *trim_title(const char *title)
{
	const char *start = title + strspn(title, " \t\r\n");
	size_t size = strlen(start);
	while (size > 0 && strchr(" \t\r\n", start[size - 1]) != NULL)
		size--;
	char *out = grafana_alloc(size + 1);
	memcpy(out, start, size);
	out[size] = '\0';
	return out;
}

static bool validate_dashboard(const struct grafana_fields *fields)
{
	const json_t *id = grafana_field(fields, "id");
	if (id != NULL && !json_is_integer(id))
		return grafana_invalid_field(fields, "id", "must be a whole number, or null");
	return grafana_needs(fields, "title", GRAFANA_TEXT) && grafana_is_uid(fields, "uid") &&
	       grafana_is(fields, "version", GRAFANA_INTEGER) && grafana_is(fields, "tags", GRAFANA_ARRAY);
}

static bool validate_request(const struct grafana_fields *fields)
{
	if (!grafana_needs(fields, "dashboard", GRAFANA_OBJECT) ||
	    !grafana_is(fields, "overwrite", GRAFANA_BOOLEAN) ||
	    !grafana_is(fields, "message", GRAFANA_TEXT) || !grafana_is_uid(fields, "folderUid") ||
	    !grafana_is(fields, "folderId", GRAFANA_INTEGER) ||
	    !grafana_is(fields, "isFolder", GRAFANA_BOOLEAN))
		return false;
	if (json_is_true(grafana_field(fields, "isFolder")))
		return grafana_invalid_field(fields, "isFolder",
					     "creates a folder, and this route creates dashboards: omit it");
	const json_t *renamed =
		grafana_rename(fields); /* only to refuse a field that is given under two names */
	json_decref((json_t *)(uintptr_t)renamed);
	return renamed != NULL;
}

static void take_dashboard(struct grafana_request *request, const struct grafana_fields *fields)
{
	const json_t *id = grafana_field(fields, "id"), *version = grafana_field(fields, "version");
	const char *uid = json_string_value(grafana_field(fields, "uid"));
	snprintf(request->uid, sizeof(request->uid), "%s", uid != NULL ? uid : "");
	/* the number may be that of another Grafana: a given uid takes precedence */
	request->id = request->uid[0] == '\0' ? json_integer_value(id) : 0;
	request->has_version = version != NULL;
	request->version = json_integer_value(version);
	request->title = trim_title(json_string_value(grafana_field(fields, "title")));
}

static void take_folder(struct grafana_request *request, const struct grafana_fields *fields)
{
	static const char *const pointers[] = {"/folder_uid", "/folderUid", "/folder_id", "/folderId", NULL};
	const json_t *id = grafana_field(fields, "folderId"), *given = grafana_field(fields, "folderUid");
	const char *uid = json_string_value(given);
	const char *name =
		grafana_sent_name(fields, uid != NULL && uid[0] != '\0' ? "folderUid" : "folderId");
	for (size_t i = 0; pointers[i] != NULL && (given != NULL || id != NULL); i++)
		if (strcmp(pointers[i] + 1, name) == 0)
			request->folder_pointer = pointers[i];
	request->has_folder = given != NULL || id != NULL;
	/* Grafana shows "general" as the location outside of all folders, but does not accept it as a
	 * folder */
	snprintf(request->folder_uid, sizeof(request->folder_uid), "%s",
		 uid != NULL && strcmp(uid, "general") != 0 ? uid : "");
	request->location = (struct search_location){request->folder_uid, json_integer_value(id)};
}

/* Copies the rest as received; model is the text of the dashboard. Its memory was reserved with the caller's
 * body, unless inputs were filled in. */
static void take_text(struct grafana_request *request, const struct grafana_fields *fields,
		      const struct grafana_fields *inner, struct grafana_span model)
{
	static const char *const skip[] = {"dashboard", "overwrite", "folderUid", "folderId",
					   "isFolder",  "inputs",    NULL},
				 *const skip_inner[] = {"title", "uid", "id", "version", NULL};
	struct grafana_span body = grafana_body_text(request->ctx);
	json_t *title = json_string(request->title);
	char *printed = grafana_print(title);
	char *at = request->text = grafana_alloc(HEAD_MAX + body.size + model.size + strlen(printed) + 20);
	at += HEAD_MAX;
	at += sprintf(at, "\"title\":%s", printed);
	at += grafana_copy_members(inner, model, skip_inner, at);
	*at++ = '}';
	at += grafana_copy_members(fields, body, skip, at);
	*at++ = '}';
	request->text_size = (size_t)(at - request->text);
	grafana_free_text(printed);
	json_decref(title);
}

bool grafana_read_request(struct grafana_ctx *ctx, bool replaces, struct grafana_request *request)
{
	struct grafana_fields fields = {NULL, names, "", &ctx->fault},
			      inner = {NULL, NULL, "/dashboard", &ctx->fault};
	json_t *sent = grafana_body(ctx);
	char *filled = NULL;
	*request = (struct grafana_request){
		.ctx = ctx, .replaces = replaces, .overwrite = replaces, .folder_pointer = ""};
	fields.sent = sent;
	bool good = sent != NULL && validate_request(&fields);
	inner.sent = json_object_get(sent, "dashboard");
	good = good && validate_dashboard(&inner) &&
	       grafana_fill_inputs(ctx, json_object_get(sent, "dashboard"), grafana_field(&fields, "inputs"),
				   &filled);
	if (good) {
		struct grafana_span model = grafana_find(grafana_body_text(ctx), "dashboard");
		if (filled != NULL)
			model = (struct grafana_span){filled, strlen(filled)};

		const json_t *given = grafana_field(&fields, "overwrite");
		if (given != NULL)
			request->overwrite = json_is_true(given);
		take_dashboard(request, &inner);
		take_folder(request, &fields);
		take_text(request, &fields, &inner, model);
	}
	grafana_free_text(filled);
	grafana_drop_body(ctx, sent);
	return good;
}

void grafana_free_request(struct grafana_request *request)
{
	if (request->text != NULL)
		explicit_bzero(request->text, request->text_size);
	free(request->text);
	free(request->title);
}

/* ---- The request for Grafana ---- */

__attribute__((format(printf, 3, 4))) static size_t add_to_head(char *head, size_t used, const char *format,
								...)
{
	va_list list;
	va_start(list, format);
	used += (size_t)vsnprintf(head + used, HEAD_MAX - used, format, list);
	va_end(list);
	return used;
}

/* The head is written right before the rest. */
struct grafana_span grafana_print_request(struct grafana_request *request)
{
	char head[HEAD_MAX];
	size_t used = add_to_head(head, 0, "{\"overwrite\":false");
	if (request->has_folder || request->keeps_folder)
		used = add_to_head(head, used, ",\"folderUid\":\"%s\"", request->folder_uid);
	if (request->location.folder_id != 0)
		used = add_to_head(head, used, ",\"folderId\":%lld", (long long)request->location.folder_id);
	used = add_to_head(head, used, ",\"dashboard\":{");
	if (request->uid[0] != '\0')
		used = add_to_head(head, used, "\"uid\":\"%s\",", request->uid);
	if (request->has_version)
		used = add_to_head(head, used, "\"version\":%lld,", (long long)request->version);
	memcpy(request->text + HEAD_MAX - used, head, used);
	return (struct grafana_span){request->text + HEAD_MAX - used, request->text_size - HEAD_MAX + used};
}
