/* grafana_dashboards: create, list, get, replace, delete.
 *
 * Grafana before 11.6 refuses a second dashboard of the same title in a folder; later ones do not, and a
 * search of theirs may not know yet what was made a moment ago. So one that is posted without a uid is looked
 * for by its title first, and gets a uid that is made of folder and title: whoever posts it again finds that
 * uid taken. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "grafana.h"
#include "json_read.h"

#define PAGE 1000    /* dashboards */
#define PAGES_MAX 30 /* a list of so many fits into one answer of ours */

static const struct grafana_name names[] = {
	{"folder_uid", "folderUid"}, {"folder_id", "folderId"}, {"is_folder", "isFolder"}, {NULL, NULL}};

/* ---- Looking ---- */

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

/* The first of this title in the folder. *found: NULL: there is none; else for json_decref. */
static bool find_title(struct grafana_ctx *ctx, const struct place *place, const char *title, json_t **found)
{
	char path[GRAFANA_PATH_MAX], rest[60];
	struct grafana_answer answer;
	size_t i, count = PAGE;
	json_t *item;

	*found = NULL;
	for (int page = 1; *found == NULL && count == PAGE && page <= PAGES_MAX; page++) {
		snprintf(rest, sizeof(rest), "&limit=%d&page=%d", PAGE, page);
		if (!grafana_path(path, sizeof(path), "/api/search?type=dash-db&query=", title, rest))
			return grafana_wrong(&ctx->fault, "/dashboard/title",
					     "is too long to be searched for");
		if (!grafana_ask(ctx, "GET", path, NULL, &answer))
			return false;
		json_array_foreach(answer.json, i, item)
		{
			const char *its = json_read_text(item, "title");

			if (*found == NULL && its != NULL && strcmp(its, title) == 0 &&
			    is_in(item, place->folder_uid, place->folder_id))
				*found = json_incref(item);
		}
		count = json_array_size(answer.json);
		grafana_answer_free(&answer);
	}
	return true;
}

/* An Editor's key is told 403 for what is not there: is it in a list of what the key may see? */
static bool is_listed(struct grafana_ctx *ctx, const char *uid)
{
	char path[GRAFANA_PATH_MAX];
	struct grafana_answer answer;
	bool listed = true;
	json_t *item;
	size_t i;

	if (!grafana_path(path, sizeof(path), "/api/search?type=dash-db&limit=1000&dashboardUIDs=", uid,
			  "") ||
	    !grafana_ask(ctx, "GET", path, NULL, &answer))
		return true;
	if (json_array_size(answer.json) < PAGE) { /* an older Grafana may take no heed of dashboardUIDs */
		listed = false;
		json_array_foreach(answer.json, i, item)
		{
			const char *its = json_read_text(item, "uid");

			listed = listed || (its != NULL && strcmp(its, uid) == 0);
		}
	}
	grafana_answer_free(&answer);
	return listed;
}

/* *found: {"meta", "dashboard"}; 404 leaves ctx->fault so. */
static bool find_uid(struct grafana_ctx *ctx, const char *uid, struct grafana_answer *found)
{
	char path[GRAFANA_PATH_MAX];
	struct grafana_fault was;

	*found = (struct grafana_answer){0};
	if (grafana_uid_fault(uid) != NULL ||
	    !grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, ""))
		/* nothing can have it, so nobody is asked */
		return grafana_fail(ctx, 404, "no dashboard can have this uid: it %s",
				    grafana_uid_fault(uid));
	if (grafana_ask(ctx, "GET", path, NULL, found))
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

/* 409 with what is there: of a search, or of a dashboard's meta and dashboard. */
static bool refuse(struct grafana_ctx *ctx, const json_t *found, const char *sentence)
{
	const json_t *dashboard = json_object_get(found, "dashboard"), *meta = json_object_get(found, "meta");

	grafana_mean(ctx, 409, "", "%s", sentence);
	grafana_copy_member(&ctx->fault, dashboard != NULL ? dashboard : found, "uid");
	grafana_copy_member(&ctx->fault, dashboard, "version");
	grafana_copy_member(&ctx->fault, meta != NULL ? meta : found, "url");
	grafana_copy_member(&ctx->fault, meta != NULL ? meta : found, "folderUid");
	return false;
}

/* ---- What was sent ---- */

struct wish {
	struct grafana_ctx *ctx;
	json_t *sent, *out;      /* out: the body for Grafana, with its names; our own copy, as is … */
	json_t *dashboard;       /* … the dashboard in it */
	const char *title, *uid; /* uid "": none */
	struct place place;
	bool has_folder, overwrite;
};

/* Grafana cuts white space off a title. Here already, because the title is searched for. */
static const char *trim_title(json_t *dashboard)
{
	const char *title = json_read_text(dashboard, "title"), *start = title + strspn(title, " \t\r\n");
	size_t size = strlen(start);

	while (size > 0 && strchr(" \t\r\n", start[size - 1]) != NULL)
		size--;
	if (size != strlen(title))
		json_object_set_new(dashboard, "title", json_stringn(start, size));
	return json_read_text(dashboard, "title");
}

static bool judge_dashboard(struct wish *wish)
{
	const struct grafana_spot spot = {wish->dashboard, NULL, "/dashboard", &wish->ctx->fault};
	const json_t *id = grafana_field(&spot, "id");

	if (id != NULL && !json_is_integer(id))
		return grafana_wrong_field(&spot, "id", "must be a whole number, or null");
	return grafana_needs(&spot, "title", GRAFANA_TEXT) && grafana_is_uid(&spot, "uid") &&
	       grafana_is(&spot, "version", GRAFANA_INTEGER) && grafana_is(&spot, "tags", GRAFANA_ARRAY);
}

/* `overwrite`: what counts when it was not sent. */
static bool read_wish(struct grafana_ctx *ctx, bool overwrite, struct wish *wish)
{
	struct grafana_spot spot = {NULL, names, "", &ctx->fault};
	const json_t *given;
	const char *text;

	*wish = (struct wish){.ctx = ctx, .overwrite = overwrite, .uid = "", .place = {.folder_uid = ""}};
	wish->sent = grafana_body(ctx);
	spot.sent = wish->sent;
	if (wish->sent == NULL || !grafana_needs(&spot, "dashboard", GRAFANA_OBJECT) ||
	    !grafana_is(&spot, "overwrite", GRAFANA_BOOLEAN) || !grafana_is(&spot, "message", GRAFANA_TEXT) ||
	    !grafana_is_uid(&spot, "folderUid") || !grafana_is(&spot, "folderId", GRAFANA_INTEGER))
		return false;
	wish->out = grafana_rename(&spot);
	if (wish->out == NULL)
		return false;
	wish->dashboard = json_copy(json_object_get(wish->out, "dashboard"));
	json_object_set_new(wish->out, "dashboard", wish->dashboard);
	if (!judge_dashboard(wish))
		return false;
	wish->title = trim_title(wish->dashboard);
	text = json_read_text(wish->dashboard, "uid");
	wish->uid = text != NULL ? text : "";
	given = json_object_get(wish->out, "overwrite");
	wish->overwrite = json_is_boolean(given) ? json_is_true(given) : overwrite;
	json_object_set_new(wish->out, "overwrite", json_boolean(wish->overwrite));
	text = json_read_text(wish->out, "folderUid");
	wish->place.folder_uid = text != NULL && strcmp(text, "general") != 0 ? text : "";
	wish->place.folder_id = json_integer_value(json_object_get(wish->out, "folderId"));
	wish->has_folder =
		grafana_field(&spot, "folderUid") != NULL || grafana_field(&spot, "folderId") != NULL;
	return true;
}

static void free_wish(struct wish *wish)
{
	json_decref(wish->out);
	json_decref(wish->sent);
}

/* ---- Writing ---- */

#define SAME_TITLE                                                                                           \
	"a dashboard of this title is in the folder already: to replace it, PUT it by its uid, or post "     \
	"with "                                                                                              \
	"overwrite"

/* 409: tells what is there. Grafana's own words stay, also when it cannot be asked for that. */
static bool explain_conflict(struct wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = ctx->fault;
	struct grafana_answer there = {0};
	const char *uid = json_read_text(wish->dashboard, "uid");
	json_t *found = NULL;

	ctx->fault.members = NULL; /* those are of `was` now */
	if (strcmp(was.upstream_word, "name-exists") == 0) {
		find_title(ctx, &wish->place, wish->title, &found);
		grafana_forget(&ctx->fault);
		ctx->fault = was;
		refuse(ctx, found, SAME_TITLE);
	} else if (strcmp(was.upstream_word, "version-mismatch") == 0) {
		find_uid(ctx, uid != NULL ? uid : "", &there);
		grafana_forget(&ctx->fault);
		ctx->fault = was;
		refuse(ctx, there.json,
		       "the dashboard is there, and in another version than the one that was sent: get it "
		       "anew, or "
		       "post with overwrite");
	} else {
		ctx->fault.members = was.members;
	}
	json_decref(found);
	grafana_answer_free(&there);
	return false;
}

/* What Grafana's refusal means for this wish. */
static bool explain(struct wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;

	if (ctx->fault.upstream_status == 404 && ctx->fault.code == 404)
		return grafana_mean(ctx, 422, "/dashboard/id",
				    "is of no dashboard there is: leave it out, the uid names a dashboard");
	if (ctx->fault.upstream_status == 400 &&
	    strcasecmp(ctx->fault.upstream_message, "Folder not found") == 0)
		return grafana_mean(ctx, 422,
				    json_object_get(wish->sent, "folder_uid") != NULL ? "/folder_uid"
										      : "/folderUid",
				    "is of no folder there is");
	return ctx->fault.code == 409 && explain_conflict(wish);
}

static bool save(struct wish *wish, struct grafana_answer *answer)
{
	wish->ctx->repeatable = wish->overwrite && wish->uid[0] != '\0'; /* twice is as good as once */
	return grafana_ask(wish->ctx, "POST", "/api/dashboards/db", wish->out, answer);
}

/* The uid that we would give is taken: by the same one, which was made before; or by one that has been
 * renamed or moved since, and then Grafana is to choose a uid. */
static bool save_beside(struct wish *wish, struct grafana_answer *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	const char *uid = json_read_text(wish->dashboard, "uid");
	struct grafana_answer there = {0};
	const char *title;
	bool known = find_uid(ctx, uid, &there), same;

	if (!known && ctx->fault.code != 404)
		return false;
	title = json_read_text(json_object_get(there.json, "dashboard"), "title");
	same = title != NULL && strcmp(title, wish->title) == 0 &&
	       is_in(json_object_get(there.json, "meta"), wish->place.folder_uid, wish->place.folder_id);
	if ((same || !known) &&
	    !wish->overwrite) { /* not known: it is the title, which the search does not show */
		refuse(ctx, there.json, SAME_TITLE);
		grafana_answer_free(&there);
		return false;
	}
	grafana_answer_free(&there);
	if (!same)
		json_object_del(wish->dashboard, "uid");
	json_object_set_new(wish->out, "overwrite", json_boolean(wish->overwrite));
	return save(wish, answer) || explain(wish);
}

/* Without a uid: is one of this title in the folder? */
static bool create(struct wish *wish, struct grafana_answer *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	char uid[GRAFANA_UID_MAX + 1], folder[GRAFANA_UID_MAX + 1];
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
	if (found != NULL) { /* later Grafanas would make a second one */
		json_object_set(wish->dashboard, "uid", json_object_get(found, "uid"));
		json_decref(found);
		return save(wish, answer) || explain(wish);
	}
	grafana_make_uid("dashboard", folder, wish->title, uid);
	json_object_set_new(wish->dashboard, "uid", json_string(uid));
	json_object_del(wish->dashboard,
			"version"); /* a new one has none; it could fit that of another one */
	json_object_set_new(wish->out, "overwrite", json_false());
	return save(wish, answer) || (ctx->fault.code == 409 ? save_beside(wish, answer) : explain(wish));
}

void grafana_post_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_answer answer = {0};
	struct wish wish = {0};
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	if (read_wish(&ctx, false, &wish)) {
		bool named =
			wish.uid[0] != '\0' || json_integer_value(json_object_get(wish.dashboard, "id")) != 0;

		done = named ? save(&wish, &answer) || explain(&wish) : create(&wish, &answer);
		grafana_give_turn(&ctx);
		grafana_audit(&ctx, "dashboard", json_read_text(done ? answer.json : wish.dashboard, "uid"),
			      wish.title, done ? "saved" : "not saved");
	}
	if (done)
		grafana_reply(&ctx, answer.code, answer.json);
	else
		grafana_tell(&ctx);
	grafana_answer_free(&answer);
	free_wish(&wish);
}

/* ---- Replacing ---- */

/* Into the folder that it is in, unless another was given. */
static void keep_folder(struct wish *wish, const json_t *meta)
{
	const char *uid = json_read_text(meta, "folderUid");
	const json_t *id = json_object_get(meta, "folderId");

	if (wish->has_folder)
		return;
	if (uid != NULL && uid[0] != '\0')
		json_object_set_new(wish->out, "folderUid", json_string(uid));
	else if (json_integer_value(id) != 0)
		json_object_set_new(wish->out, "folderId", json_integer(json_integer_value(id)));
	uid = json_read_text(wish->out, "folderUid");
	wish->place.folder_uid = uid != NULL ? uid : "";
	wish->place.folder_id = json_integer_value(json_object_get(wish->out, "folderId"));
}

static bool replace(struct wish *wish, const char *uid, struct grafana_answer *answer)
{
	struct grafana_answer there;

	if (wish->uid[0] != '\0' && strcmp(wish->uid, uid) != 0)
		return grafana_wrong(
			&wish->ctx->fault, "/dashboard/uid",
			"is another uid than the path's: leave it out, or send it to its own path");
	if (!find_uid(wish->ctx, uid, &there))
		return false;
	keep_folder(wish, json_object_get(there.json, "meta"));
	grafana_answer_free(&there);
	json_object_set_new(wish->dashboard, "uid", json_string(uid));
	wish->uid = json_read_text(wish->dashboard, "uid");
	json_object_del(wish->dashboard,
			"id"); /* it may be that of another Grafana; the uid says which one */
	return save(wish, answer) || explain(wish);
}

void grafana_put_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_answer answer = {0};
	const char *uid = skymon_param(sm, rq, "uid");
	struct wish wish = {0};
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	if (read_wish(&ctx, true, &wish)) {
		done = replace(&wish, uid, &answer);
		grafana_audit(&ctx, "dashboard", uid, wish.title, done ? "replaced" : "not replaced");
	}
	if (done)
		grafana_reply(&ctx, answer.code, answer.json);
	else
		grafana_tell(&ctx);
	grafana_answer_free(&answer);
	free_wish(&wish);
}

/* ---- Reading and deleting ---- */

static bool list(struct grafana_ctx *ctx, json_t *all)
{
	char path[100];
	struct grafana_answer answer;
	size_t count = PAGE;

	for (int page = 1; count == PAGE; page++) {
		if (page > PAGES_MAX)
			return grafana_fail(ctx, 502, "Grafana lists more than %d dashboards",
					    PAGE * PAGES_MAX);
		snprintf(path, sizeof(path), "/api/search?type=dash-db&limit=%d&page=%d", PAGE, page);
		if (!grafana_ask(ctx, "GET", path, NULL, &answer))
			return false;
		if (!json_is_array(answer.json)) {
			grafana_answer_free(&answer);
			return grafana_fail(ctx, 502, "Grafana answered a search with what is no list");
		}
		count = json_array_size(answer.json);
		json_array_extend(all, answer.json);
		grafana_answer_free(&answer);
	}
	return true;
}

void grafana_list_dashboards(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	json_t *all;

	if (!grafana_enter(&ctx, false))
		return;
	all = json_array();
	if (list(&ctx, all))
		grafana_reply(&ctx, 200, all);
	else
		grafana_tell(&ctx);
	json_decref(all);
}

void grafana_get_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_answer answer;

	if (!grafana_enter(&ctx, false))
		return;
	if (find_uid(&ctx, skymon_param(sm, rq, "uid"), &answer))
		grafana_reply(&ctx, answer.code, answer.json);
	else
		grafana_tell(&ctx);
	grafana_answer_free(&answer);
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

/* *title: for free. A first attempt that broke may have done it: then the second finds nothing. */
static bool delete_it(struct grafana_ctx *ctx, const char *uid, json_t **reply)
{
	struct grafana_answer there, answer;
	char path[GRAFANA_PATH_MAX], message[300];
	const char *title;
	bool done;

	if (!find_uid(ctx, uid, &there))
		return false;
	title = json_read_text(json_object_get(there.json, "dashboard"), "title");
	title = title != NULL ? title : "";
	done = grafana_path(path, sizeof(path), "/api/dashboards/uid/", uid, "") &&
	       (grafana_ask(ctx, "DELETE", path, NULL, &answer) ||
		(ctx->fault.upstream_status == 404 && ctx->fault.repeated));
	if (done) {
		*reply = json_is_object(answer.json) ? json_copy(answer.json) : json_object();
		snprintf(message, sizeof(message), "Dashboard %.200s deleted", title);
		if (json_read_text(*reply, "message") == NULL)
			json_object_set_new(*reply, "message", json_string(message));
		json_object_set_new(*reply, "title", json_string(title));
		add_time(*reply);
		grafana_answer_free(&answer);
	}
	grafana_audit(ctx, "dashboard", uid, title, done ? "deleted" : "not deleted");
	grafana_answer_free(&there);
	return done;
}

void grafana_delete_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	json_t *reply = NULL;

	if (!grafana_enter(&ctx, true))
		return;
	if (delete_it(&ctx, skymon_param(sm, rq, "uid"), &reply))
		grafana_reply(&ctx, 200, reply);
	else
		grafana_tell(&ctx);
	json_decref(reply);
}
