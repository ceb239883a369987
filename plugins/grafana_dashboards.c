/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_dashboards: create, list, get, replace, delete.
 *
 * Grafana before 11.6 refuses a second dashboard of the same title in a folder; later ones do not, and a
 * search of theirs may not know yet what was made a moment ago. So one that is posted without a uid is looked
 * for by its title first, and gets a uid that is made of folder and title: whoever posts it again finds that
 * uid taken. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "grafana_look.h"

static const struct grafana_name names[] = {
	{"folder_uid", "folderUid"}, {"folder_id", "folderId"}, {"is_folder", "isFolder"}, {NULL, NULL}};

/* ---- What was sent ---- */

#define HEAD_MAX 400

/* The tree of what was sent is gone once this is read. What may change from one attempt to the next is apart;
 * all the rest is in `text` as it was sent. */
struct wish {
	struct grafana_ctx *ctx;
	char *title, *text; /* text: room for the head, then the rest; owned */
	size_t text_size;
	const char *folder_pointer; /* to the folder, as it was sent; "": none was */
	struct place place;         /* folder_uid is one of ours: */
	char folder_uid[GRAFANA_UID_MAX + 1], uid[GRAFANA_UID_MAX + 1]; /* "": none */
	json_int_t id, version;
	bool has_folder, keeps_folder, has_id, has_version, overwrite, replaces;
};

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
	    !grafana_is_uid(spot, "folderUid") || !grafana_is(spot, "folderId", GRAFANA_INTEGER))
		return false;
	renamed = grafana_rename(spot); /* nothing is there under two names */
	json_decref((json_t *)(uintptr_t)renamed);
	return renamed != NULL;
}

static void take_dashboard(struct wish *wish, const struct grafana_spot *spot)
{
	const json_t *id = grafana_field(spot, "id"), *version = grafana_field(spot, "version");
	const char *uid = json_string_value(grafana_field(spot, "uid"));

	snprintf(wish->uid, sizeof(wish->uid), "%s", uid != NULL ? uid : "");
	wish->has_id = id != NULL;
	wish->id = json_integer_value(id);
	wish->has_version = version != NULL;
	wish->version = json_integer_value(version);
	wish->title = trim_title(json_string_value(grafana_field(spot, "title")));
}

static void take_folder(struct wish *wish, const struct grafana_spot *spot)
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
	wish->place = (struct place){wish->folder_uid, json_integer_value(id)};
}

/* The rest, as it was sent. Its room is the caller's body's, which it is not larger than. */
static void take_text(struct wish *wish, const struct grafana_spot *spot, const struct grafana_spot *inner)
{
	static const char *const skip[] = {"dashboard", "overwrite", "folderUid", "folderId", NULL},
				 *const skip_inner[] = {"title", "uid", "id", "version", NULL};
	struct grafana_span body = grafana_body_text(wish->ctx);
	json_t *title = json_string(wish->title);
	char *printed = grafana_print(title), *at;

	at = wish->text = grafana_alloc(HEAD_MAX + body.size + strlen(printed) + 20);
	at += HEAD_MAX;
	at += sprintf(at, "\"title\":%s", printed);
	at += grafana_copy_members(inner, grafana_find(body, "dashboard"), skip_inner, at);
	*at++ = '}';
	at += grafana_copy_members(spot, body, skip, at);
	*at++ = '}';
	wish->text_size = (size_t)(at - wish->text);
	grafana_free_text(printed);
	json_decref(title);
}

/* replaces: a PUT; `overwrite` counts as sent then. */
static bool read_wish(struct grafana_ctx *ctx, bool replaces, struct wish *wish)
{
	struct grafana_spot spot = {NULL, names, "", &ctx->fault},
			    inner = {NULL, NULL, "/dashboard", &ctx->fault};
	json_t *sent = grafana_body(ctx);
	const json_t *given;
	bool good;

	*wish = (struct wish){.ctx = ctx, .replaces = replaces, .overwrite = replaces, .folder_pointer = ""};
	spot.sent = sent;
	good = sent != NULL && judge(&spot);
	inner.sent = json_object_get(sent, "dashboard");
	good = good && judge_dashboard(&inner);
	if (good) {
		given = grafana_field(&spot, "overwrite");
		if (given != NULL)
			wish->overwrite = json_is_true(given);
		take_dashboard(wish, &inner);
		take_folder(wish, &spot);
		take_text(wish, &spot, &inner);
	}
	grafana_drop_body(ctx, sent);
	return good;
}

static void free_wish(struct wish *wish)
{
	if (wish->text != NULL)
		explicit_bzero(wish->text, wish->text_size);
	free(wish->text);
	free(wish->title);
}

/* ---- Writing ---- */

#define SAME_TITLE                                                                                           \
	"a dashboard of this title is in the folder already: to replace it, PUT it by its uid, or post "     \
	"with overwrite"

/* What Grafana calls a mismatch of versions: also that none was sent for what is there. */
static const char *mismatch(const struct wish *wish)
{
	if (!wish->has_version)
		return wish->replaces
			       ? "the dashboard is there, and no version was sent with `overwrite: false`: "
				 "send the one that it has, or leave overwrite out"
			       : "a dashboard with this uid is there already: to replace it, PUT it, or "
				 "post with overwrite";
	return wish->replaces
		       ? "the dashboard is there, and in another version than the one that was sent: get it "
			 "anew, or leave `overwrite: false` out"
		       : "the dashboard is there, and in another version than the one that was sent: get it "
			 "anew, or post with overwrite";
}

/* 409: tells what is there. Grafana's own words stay, also when it cannot be asked for that. */
static bool explain_conflict(struct wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = ctx->fault;
	struct there there;
	json_t *found = NULL;

	ctx->fault.members = NULL; /* those are of `was` now */
	if (strcmp(was.upstream_word, "name-exists") == 0) {
		find_title(ctx, &wish->place, wish->title, &found);
		grafana_forget(&ctx->fault);
		ctx->fault = was;
		refuse(ctx, found, SAME_TITLE);
		json_decref(found);
	} else if (strcmp(was.upstream_word, "version-mismatch") == 0) {
		find_uid(ctx, wish->uid, &there);
		grafana_forget(&ctx->fault);
		ctx->fault = was;
		refuse_there(ctx, &there, mismatch(wish));
		free_there(&there);
	} else {
		ctx->fault.members = was.members;
	}
	return false;
}

/* What Grafana's refusal means for this wish. */
static bool explain(struct wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;

	if (ctx->fault.upstream_status == 404 && ctx->fault.code == 404) {
		if (wish->has_id)
			return grafana_mean(
				ctx, 422, "/dashboard/id",
				"is of no dashboard there is: leave it out, the uid names a dashboard");
		return grafana_mean(
			ctx, 502, "",
			"Grafana answered HTTP 404 to a dashboard that was to be saved: is `url` right?");
	}
	if (ctx->fault.upstream_status == 400 &&
	    strcasecmp(ctx->fault.upstream_message, "Folder not found") == 0)
		return grafana_mean(ctx, wish->has_folder ? 422 : 409, wish->folder_pointer,
				    wish->has_folder ? "is of no folder there is"
						     : "the dashboard's folder is gone");
	return ctx->fault.code == 409 && explain_conflict(wish);
}

__attribute__((format(printf, 3, 4))) static size_t add(char *head, size_t used, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	used += (size_t)vsnprintf(head + used, HEAD_MAX - used, format, list);
	va_end(list);
	return used;
}

/* The head goes right before the rest. */
static struct grafana_span print(struct wish *wish, bool overwrite)
{
	char head[HEAD_MAX];
	size_t used = add(head, 0, "{\"overwrite\":%s", overwrite ? "true" : "false");

	if (wish->has_folder || wish->keeps_folder)
		used = add(head, used, ",\"folderUid\":\"%s\"", wish->folder_uid);
	if (wish->place.folder_id != 0)
		used = add(head, used, ",\"folderId\":%lld", (long long)wish->place.folder_id);
	used = add(head, used, ",\"dashboard\":{");
	if (wish->has_id)
		used = add(head, used, "\"id\":%lld,", (long long)wish->id);
	if (wish->uid[0] != '\0')
		used = add(head, used, "\"uid\":\"%s\",", wish->uid);
	if (wish->has_version)
		used = add(head, used, "\"version\":%lld,", (long long)wish->version);
	memcpy(wish->text + HEAD_MAX - used, head, used);
	return (struct grafana_span){wish->text + HEAD_MAX - used, wish->text_size - HEAD_MAX + used};
}

static bool save(struct wish *wish, bool overwrite, struct grafana_text *answer)
{
	wish->ctx->repeatable = overwrite && wish->uid[0] != '\0'; /* twice is as good as once */
	return grafana_ask_text(wish->ctx, "POST", "/api/dashboards/db", print(wish, overwrite), 0, answer);
}

/* The uid that we would give is taken: by the same one, which was made before; or by one that has been
 * renamed or moved since, and then Grafana is to choose a uid. */
static bool save_beside(struct wish *wish, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct there there;
	const char *title;
	bool known = find_uid(ctx, wish->uid, &there), same;

	if (!known && ctx->fault.code != 404)
		return false;
	title = json_string_value(there.title);
	same = title != NULL && strcmp(title, wish->title) == 0 &&
	       is_in(there.meta, wish->place.folder_uid, wish->place.folder_id);
	if ((same || !known) &&
	    !wish->overwrite) { /* not known: it is the title, which the search does not show */
		refuse_there(ctx, &there, SAME_TITLE);
		free_there(&there);
		return false;
	}
	free_there(&there);
	if (!same)
		wish->uid[0] = '\0';
	return save(wish, wish->overwrite, answer) || explain(wish);
}

/* Without a uid: is one of this title in the folder? */
static bool create(struct wish *wish, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	char folder[GRAFANA_UID_MAX + 1];
	const char *its;
	json_t *found;

	snprintf(folder, sizeof(folder), "%s", wish->place.folder_uid);
	if (folder[0] == '\0' && wish->place.folder_id != 0)
		snprintf(folder, sizeof(folder), "%lld", (long long)wish->place.folder_id);
	if (!grafana_take_turn(ctx, "dashboard", folder, wish->title) ||
	    !find_title(ctx, &wish->place, wish->title, &found))
		return false;
	if (found != NULL && !wish->overwrite) {
		refuse(ctx, found, SAME_TITLE);
		json_decref(found);
		return false;
	}
	its = json_read_text(found, "uid");
	if (its != NULL && grafana_uid_fault(its) == NULL) { /* later Grafanas would make a second one */
		snprintf(wish->uid, sizeof(wish->uid), "%s", its);
		json_decref(found);
		return save(wish, true, answer) || explain(wish);
	}
	json_decref(found);
	grafana_make_uid("dashboard", folder, wish->title, wish->uid);
	wish->has_version = false; /* a new one has none; it could fit that of another one */
	return save(wish, false, answer) ||
	       (ctx->fault.code == 409 ? save_beside(wish, answer) : explain(wish));
}

static void audit_saved(struct wish *wish, const struct grafana_text *answer, const char *result)
{
	json_t *its = grafana_pick((struct grafana_span){answer->bytes, answer->size}, "uid");
	const char *uid = json_string_value(its);

	grafana_audit(wish->ctx, "dashboard", uid != NULL ? uid : wish->uid, wish->title, result);
	json_decref(its);
}

void grafana_post_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	struct wish wish;
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	if (read_wish(&ctx, false, &wish)) {
		done = wish.uid[0] != '\0' || wish.id != 0
			       ? save(&wish, wish.overwrite, &answer) || explain(&wish)
			       : create(&wish, &answer);
		grafana_give_turn(&ctx);
	}
	audit_saved(&wish, &answer, done ? "saved" : "not saved");
	if (done)
		grafana_reply_text(&ctx, &answer);
	else
		grafana_tell(&ctx);
	grafana_text_free(&answer);
	free_wish(&wish);
}

/* ---- Replacing ---- */

/* Into the folder that it is in, unless another was given. */
static void keep_folder(struct wish *wish, const json_t *meta)
{
	const char *uid = json_read_text(meta, "folderUid");

	if (wish->has_folder)
		return;
	if (uid != NULL && grafana_uid_fault(uid) == NULL && strcmp(uid, "general") != 0) {
		snprintf(wish->folder_uid, sizeof(wish->folder_uid), "%s", uid);
		wish->keeps_folder = true;
	} else {
		wish->place.folder_id = json_integer_value(json_object_get(meta, "folderId"));
	}
}

static bool replace(struct wish *wish, const char *uid, struct grafana_text *answer)
{
	struct there there;

	if (wish->uid[0] != '\0' && strcmp(wish->uid, uid) != 0)
		return grafana_wrong(
			&wish->ctx->fault, "/dashboard/uid",
			"is another uid than the path's: leave it out, or send it to its own path");
	if (!find_uid(wish->ctx, uid, &there))
		return false;
	keep_folder(wish, there.meta);
	free_there(&there);
	snprintf(wish->uid, sizeof(wish->uid), "%s", uid);
	wish->has_id = false; /* it may be that of another Grafana; the uid says which one */
	return save(wish, wish->overwrite, answer) || explain(wish);
}

void grafana_put_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	const char *uid = skymon_param(sm, rq, "uid");
	struct wish wish;
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	done = read_wish(&ctx, true, &wish) && replace(&wish, uid, &answer);
	grafana_audit(&ctx, "dashboard", uid, wish.title, done ? "replaced" : "not replaced");
	if (done)
		grafana_reply_text(&ctx, &answer);
	else
		grafana_tell(&ctx);
	grafana_text_free(&answer);
	free_wish(&wish);
}

/* ---- Reading and deleting ---- */

/* One list of all pages, as they came. */
struct list {
	char *bytes;
	size_t size, room;
};

static void add_page(struct list *list, struct grafana_span items)
{
	char *larger;

	if (list->size + items.size + 3 > list->room) {
		list->room = (list->size + items.size + 3) * 3 / 2;
		if (list->room > GRAFANA_REPLY_MAX + 3)
			list->room = GRAFANA_REPLY_MAX + 3;
		larger = grafana_alloc(list->room);
		if (list->size > 0)
			memcpy(larger, list->bytes, list->size);
		free(list->bytes);
		list->bytes = larger;
	}
	list->bytes[list->size] = list->size == 0 ? '[' : ',';
	list->size++;
	memcpy(list->bytes + list->size, items.text, items.size);
	list->size += items.size;
}

/* What is between the brackets; how many. false: it is no list of objects. */
static bool read_page(const struct grafana_text *page, struct grafana_span *items, size_t *count)
{
	struct grafana_span rest = {page->bytes, page->size}, value;
	const char *start = NULL, *end = NULL;

	for (*count = 0; grafana_walk(&rest, NULL, &value); ++*count) {
		if (*value.text != '{')
			return false;
		start = start != NULL ? start : value.text;
		end = value.text + value.size;
	}
	*items = (struct grafana_span){start, (size_t)(end - start)};
	return page->bytes[strspn(page->bytes, " \t\r\n")] == '[';
}

static bool too_long(struct grafana_ctx *ctx)
{
	return grafana_fail(ctx, 502, "Grafana's list of dashboards is larger than the %u MiB of an answer",
			    GRAFANA_REPLY_MAX >> 20);
}

static bool list_all(struct grafana_ctx *ctx, struct list *list)
{
	char path[100];
	struct grafana_text page;
	struct grafana_span items;
	size_t count = PAGE;
	bool good = true, fits = true;

	for (int number = 1; good && count == PAGE; number++) {
		snprintf(path, sizeof(path), "/api/search?type=dash-db&limit=%d&page=%d", PAGE, number);
		if (number > 1 && !grafana_take_large(ctx))
			return false;
		if (!ask(ctx, path, &page))
			return false;
		good = read_page(&page, &items, &count);
		fits = list->size + items.size + 3 <= GRAFANA_REPLY_MAX;
		if (good && fits && count > 0)
			add_page(list, items);
		grafana_text_free(&page);
		if (!fits)
			return too_long(ctx);
	}
	if (!good)
		return grafana_fail(ctx, 502, "Grafana answered a search with what is no list");
	if (list->size == 0)
		add_page(list, (struct grafana_span){"", 0});
	list->bytes[list->size++] = ']';
	return true;
}

void grafana_list_dashboards(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct list list = {0};

	if (!grafana_enter(&ctx, false))
		return;
	if (list_all(&ctx, &list))
		skymon_reply(sm, rq, 200, "application/json", list.bytes, list.size);
	else
		grafana_tell(&ctx);
	free(list.bytes);
}

void grafana_get_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer;

	if (!grafana_enter(&ctx, false))
		return;
	if (get_uid(&ctx, skymon_param(sm, rq, "uid"), &answer))
		grafana_reply_text(&ctx, &answer);
	else
		grafana_tell(&ctx);
	grafana_text_free(&answer);
}

static void add_time(json_t *object)
{
	struct timespec now;
	struct tm tm;
	char text[32], whole[40];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	snprintf(whole, sizeof(whole), "%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
	json_object_set_new(object, "timestamp", json_string(whole));
}

/* A first attempt that broke may have done it: then the second finds nothing. */
static bool delete_it(struct grafana_ctx *ctx, const char *uid, const char *title, json_t **reply)
{
	struct grafana_answer answer;
	char path[GRAFANA_PATH_MAX];

	if (!grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, "") ||
	    (!grafana_ask(ctx, "DELETE", path, NULL, &answer) &&
	     (ctx->fault.upstream_status != 404 || !ctx->fault.repeated)))
		return false;
	grafana_forget(&ctx->fault);
	*reply = json_is_object(answer.json) ? json_copy(answer.json) : json_object();
	if (json_read_text(*reply, "message") == NULL)
		json_object_set_new(*reply, "message", json_sprintf("Dashboard %s deleted", title));
	json_object_set_new(*reply, "title", json_string(title));
	add_time(*reply);
	grafana_answer_free(&answer);
	return true;
}

void grafana_delete_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	const char *uid = skymon_param(sm, rq, "uid"), *title;
	json_t *reply = NULL;
	struct there there;
	bool done;

	if (!grafana_enter(&ctx, true))
		return;
	done = find_uid(&ctx, uid, &there);
	title = json_string_value(there.title);
	done = done && delete_it(&ctx, uid, title != NULL ? title : "", &reply);
	grafana_audit(&ctx, "dashboard", uid, title, done ? "deleted" : "not deleted");
	if (done)
		grafana_reply(&ctx, 200, reply);
	else
		grafana_tell(&ctx);
	json_decref(reply);
	free_there(&there);
}
