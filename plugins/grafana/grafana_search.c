/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_search: finds dashboards in Grafana. Called by the dashboards' routes and grafana_folder.c, on the
 * thread of the request. Answers stay text, of which only the needed parts become trees: so a dashboard that
 * jansson does not accept can be replaced and deleted too. Owns nothing. */
#include "grafana_search.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <skymon/json.h>

#define PAGES_MAX 30 /* of a search */

bool search_is_in(const json_t *found, const struct search_location *location)
{
	const char *uid = skymon_json_text(found, "folderUid");
	json_int_t id = json_integer_value(json_object_get(found, "folderId"));
	if (location->folder_uid[0] != '\0')
		return uid != NULL && strcmp(uid, location->folder_uid) == 0;
	if (location->folder_id != 0)
		return id == location->folder_id;
	return id == 0 && (uid == NULL || uid[0] == '\0' || strcmp(uid, "general") == 0);
}

/* ---- Slugs ---- */

/* For U+00C0 … U+017F: the letter without its mark, or '-' if there is none. */
static const char plain[] = "aaaaaaaceeeeiiii-nooooo-ouuuuy-saaaaaaaceeeeiiii-nooooo-ouuuuy-y"
			    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllllll"
			    "lnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

void search_slug(const char *title, char *out, size_t size)
{
	size_t used = 0;
	for (const unsigned char *at = (const unsigned char *)title; *at != '\0' && used + 2 < size; at++) {
		char letter = '-', second = '\0';
		if (isascii(*at) && isalnum(*at)) {
			letter = (char)tolower(*at);
		} else if (*at >= 0xc3 && *at <= 0xc5 && (at[1] & 0xc0) == 0x80) {
			int code = (*at & 0x1f) << 6 | (at[1] & 0x3f);
			letter = plain[code - 0xc0];
			second = code == 0xdf                                    ? 's'
				 : code == 0xc6 || code == 0xe6 || code == 0x153 ? 'e'
										 : '\0';
			at++;
		} else if (*at >= 0x80 && *at < 0xc0) {
			continue; /* a later byte of a character */
		}
		if (letter != '-' || (used > 0 && out[used - 1] != '-'))
			out[used++] = letter;
		if (second != '\0')
			out[used++] = second;
	}
	while (used > 0 && out[used - 1] == '-')
		used--;
	out[used] = '\0';
}

/* ---- Searches ---- */

static bool get_text(struct grafana_ctx *ctx, const char *path, struct grafana_text *answer)
{
	return grafana_ask_text(ctx, "GET", path, (struct grafana_span){NULL, 0}, 0, answer);
}

/* The searched item; the best match of a search is taken. */
struct wanted {
	const struct search_location *location; /* NULL: any */
	const char *uid, *title;                /* NULL: any */
	const char *slug;                       /* NULL: only the exact title matches */
	json_int_t id;                          /* 0: any */
};
enum fit { NO_FIT, ALIKE, EXACT };

static enum fit fit_of(const json_t *item, const struct wanted *wanted)
{
	const char *title = skymon_json_text(item, "title"), *uid = skymon_json_text(item, "uid");
	if (title == NULL || uid == NULL ||
	    (wanted->location != NULL && !search_is_in(item, wanted->location)) ||
	    (wanted->uid != NULL && strcmp(uid, wanted->uid) != 0) ||
	    (wanted->id != 0 && json_integer_value(json_object_get(item, "id")) != wanted->id))
		return NO_FIT;
	if (wanted->title == NULL || strcmp(title, wanted->title) == 0)
		return EXACT;
	if (wanted->slug == NULL)
		return NO_FIT;
	char slug[400];
	search_slug(title, slug, sizeof(slug));
	return strcmp(slug, wanted->slug) == 0 ? ALIKE : NO_FIT;
}

/* Finds the best item of one page. *count: its items. */
static void search_page(const struct grafana_text *page, const struct wanted *wanted, enum fit *best,
			json_t **found, size_t *count)
{
	struct grafana_span rest = {page->bytes, page->size}, value;
	for (*count = 0; grafana_walk(&rest, NULL, &value); ++*count) {
		json_t *item = *best < EXACT ? grafana_load(value) : NULL;
		enum fit fit = fit_of(item, wanted);
		if (fit > *best) {
			json_decref(*found);
			*found = json_incref(item);
			*best = fit;
		}
		json_decref(item);
	}
}

/* Reads pages of a search until an item fits exactly. query: "" or "&query=" with an encoded text. */
static bool search_pages(struct grafana_ctx *ctx, const char *query, const struct wanted *wanted,
			 json_t **found)
{
	enum fit best = NO_FIT;
	size_t count = SEARCH_PAGE_SIZE;
	*found = NULL;
	char path[GRAFANA_PATH_MAX];
	for (int page = 1; best < EXACT && count == SEARCH_PAGE_SIZE && page <= PAGES_MAX; page++) {
		if ((size_t)snprintf(path, sizeof(path), "/api/search?type=dash-db%s&limit=%d&page=%d", query,
				     SEARCH_PAGE_SIZE, page) >= sizeof(path))
			return grafana_invalid(&ctx->fault, "/dashboard/title", "is too long to search for");
		struct grafana_text answer;
		if (!get_text(ctx, path, &answer)) {
			json_decref(*found);
			*found = NULL;
			return false;
		}
		search_page(&answer, wanted, &best, found, &count);
		grafana_text_free(&answer);
	}
	return true;
}

bool search_named(struct grafana_ctx *ctx, const struct search_location *location, const char *title,
		  json_t **found)
{
	const struct wanted wanted = {.location = location, .title = title};
	*found = NULL;
	char query[GRAFANA_PATH_MAX - 100];
	if (!grafana_path(query, sizeof(query), "&query=", title, ""))
		return grafana_invalid(&ctx->fault, "/dashboard/title", "is too long to search for");
	return search_pages(ctx, query, &wanted, found);
}

bool search_alike(struct grafana_ctx *ctx, const struct search_location *location, const char *title,
		  json_t **found)
{
	char slug[400];
	search_slug(title, slug, sizeof(slug));
	return search_pages(ctx, "", &(struct wanted){.location = location, .title = title, .slug = slug},
			    found);
}

bool search_number(struct grafana_ctx *ctx, json_int_t id, json_t **found)
{
	*found = NULL;
	return id <= 0 || search_pages(ctx, "", &(struct wanted){.id = id}, found);
}

/* ---- By uid ---- */

/* Grafana answers 403 to an Editor's key for a dashboard that does not exist: looks for it in the list of
 * those that the key may see. */
static bool is_listed(struct grafana_ctx *ctx, const char *uid)
{
	const struct wanted wanted = {.uid = uid};
	char path[GRAFANA_PATH_MAX];
	struct grafana_text answer;
	enum fit best = NO_FIT;
	json_t *found = NULL;
	if (!grafana_path(path, sizeof(path), "/api/search?type=dash-db&limit=1000&dashboardUIDs=", uid,
			  "") ||
	    !get_text(ctx, path, &answer))
		return true;
	size_t count;
	search_page(&answer, &wanted, &best, &found, &count);
	grafana_text_free(&answer);
	json_decref(found);
	return best == EXACT || count >= SEARCH_PAGE_SIZE; /* an older Grafana may ignore dashboardUIDs */
}

static bool is_folder(const struct grafana_text *found)
{
	struct grafana_span meta = grafana_find((struct grafana_span){found->bytes, found->size}, "meta");
	json_t *folder = grafana_pick(meta, "isFolder");
	bool is = json_is_true(folder);
	json_decref(folder);
	return is;
}

bool search_get(struct grafana_ctx *ctx, const char *uid, struct grafana_text *found)
{
	*found = (struct grafana_text){0};
	char path[GRAFANA_PATH_MAX];
	if (grafana_uid_fault(uid) != NULL ||
	    !grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, ""))
		/* no dashboard can have it, so Grafana is not asked */
		return grafana_fail(ctx, 404, "invalid uid of a dashboard: it %s", grafana_uid_fault(uid));
	if (get_text(ctx, path, found)) {
		if (!is_folder(found))
			return true;
		grafana_text_free(found);
		return grafana_fail(ctx, 404,
				    "Grafana has no dashboard with the uid %s: it is the uid of a folder, "
				    "and these routes "
				    "are for dashboards only",
				    uid);
	}
	if (ctx->fault.upstream_status == 403) {
		struct grafana_fault was = grafana_set_aside(&ctx->fault);
		bool listed = is_listed(ctx, uid);
		grafana_put_back(&ctx->fault, &was);
		if (!listed)
			grafana_reword(ctx, 404, "",
				       "Grafana has no dashboard with the uid %s that its key may see", uid);
	} else if (ctx->fault.code == 404) {
		grafana_reword(ctx, 404, "", "Grafana has no dashboard with the uid %s", uid);
	}
	return false;
}

bool search_uid(struct grafana_ctx *ctx, const char *uid, struct search_found *there)
{
	*there = (struct search_found){0};
	struct grafana_text found;
	if (!search_get(ctx, uid, &found))
		return false;
	struct grafana_span whole = {found.bytes, found.size}, dashboard = grafana_find(whole, "dashboard");

	*there = (struct search_found){grafana_pick(whole, "meta"), grafana_pick(dashboard, "title"),
				       grafana_pick(dashboard, "uid"), grafana_pick(dashboard, "version")};
	grafana_text_free(&found);
	return true;
}

void search_free(struct search_found *there)
{
	json_decref(there->meta);
	json_decref(there->title);
	json_decref(there->uid);
	json_decref(there->version);
	*there = (struct search_found){0};
}

const char *search_title(const struct search_found *there)
{
	const char *title = json_string_value(there->title);
	return title != NULL ? title : "";
}

/* ---- Refusals ---- */

/* A problem has its own `title`, so the dashboard's is another member. */
static void add_there(struct grafana_fault *fault, const json_t *found, const char *title)
{
	static const char *const members[] = {"uid", "url", "folderUid"};
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		grafana_copy_member(fault, found, members[i]);
	if (title != NULL)
		grafana_member(fault, "dashboard_title", json_string(title));
}

bool search_refuse(struct grafana_ctx *ctx, const json_t *found, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	char text[480];
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	char clean[480];
	grafana_clean(text, clean, sizeof(clean));
	grafana_reword(ctx, 409, "", "%s", clean);
	add_there(&ctx->fault, found, skymon_json_text(found, "title"));
	return false;
}

bool search_refuse_found(struct grafana_ctx *ctx, const struct search_found *there, const char *sentence)
{
	grafana_reword(ctx, 409, "", "%s", sentence);
	add_there(&ctx->fault, there->meta, json_string_value(there->title));
	if (there->uid != NULL)
		grafana_member(&ctx->fault, "uid", json_incref(there->uid));
	if (there->version != NULL)
		grafana_member(&ctx->fault, "version", json_incref(there->version));
	return false;
}
