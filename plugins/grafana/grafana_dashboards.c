/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_dashboards: dashboards are created and replaced. The handlers of POST and PUT, each on the thread
 * of its request.
 *
 * Nothing is overwritten that was not named: Grafana's own `overwrite` replaces a dashboard of the same title
 * whatever the uid says, and one with the same number of another Grafana. So it is never sent. What is to be
 * replaced is read first, by its uid, and saved with the version that was read: a change in between is
 * refused, and tried once more.
 *
 * Grafana before 11.6 refuses a second dashboard of the same title in a folder; later versions do not, and
 * their search may not know yet what was made a moment ago. So a dashboard that is posted without a uid is
 * looked for by its title first, and gets a uid that is made of folder and title: the same request once more
 * finds that uid taken. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana_request.h"
#include "json_read.h"

/* ---- Saving ---- */

/* Grafana's answer does not show whether it was done: is the dashboard there, in a newer version than before?
 */
static void settle(struct grafana_wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	enum grafana_done done = GRAFANA_MAYBE_DONE;
	struct look_there there = {0};

	if (wish->uid[0] != '\0' && look_uid(ctx, wish->uid, &there)) {
		bool newer = json_integer_value(there.version) > wish->before;

		done = newer && strcmp(look_title(&there), wish->title) == 0 ? GRAFANA_DONE
									     : GRAFANA_NOT_DONE;
	} else if (wish->uid[0] != '\0' && ctx->fault.code == 404) {
		done = GRAFANA_NOT_DONE;
	}
	if (done == GRAFANA_NOT_DONE &&
	    was.upstream_status == 504) /* of a proxy: Grafana may be at it still */
		done = GRAFANA_MAYBE_DONE;
	grafana_put_back(&ctx->fault, &was);
	grafana_say_done(&ctx->fault, done, "saved");
	if (done == GRAFANA_DONE) {
		grafana_member(&ctx->fault, "uid", json_string(wish->uid));
		grafana_copy_member(&ctx->fault, there.meta, "url");
		if (there.version != NULL)
			grafana_member(&ctx->fault, "version", json_incref(there.version));
	}
	look_free(&there);
}

/* What Grafana has saved is what was meant, or the answer is not a success. */
static bool is_ours(struct grafana_wish *wish, const struct grafana_text *answer)
{
	json_t *its = grafana_pick((struct grafana_span){answer->bytes, answer->size}, "uid");
	const char *uid = json_string_value(its);
	bool ours = wish->uid[0] == '\0' || (uid != NULL && strcmp(uid, wish->uid) == 0);

	if (!ours) {
		grafana_fail(wish->ctx, 502,
			     "Grafana was to save the dashboard %s, and says that it saved %.40s instead: "
			     "look at both",
			     wish->uid, uid != NULL ? uid : "another");
		grafana_say_done(&wish->ctx->fault, GRAFANA_MAYBE_DONE, "saved");
	} else if (uid != NULL && wish->uid[0] == '\0' && grafana_uid_fault(uid) == NULL) {
		snprintf(wish->uid, sizeof(wish->uid), "%s", uid);
	}
	json_decref(its);
	return ours;
}

/* With the wish's uid and version. false: ctx->fault, as Grafana has answered. */
static bool save(struct grafana_wish *wish, struct grafana_text *answer)
{
	/* what is saved twice with one version is refused the second time, and then looked at once more */
	wish->ctx->repeatable = wish->overwrite && wish->has_version;
	if (grafana_ask_text(wish->ctx, "POST", "/api/dashboards/db", grafana_print_wish(wish), 0, answer)) {
		if (is_ours(wish, answer))
			return true;
		grafana_text_free(answer);
		return false;
	}
	if (grafana_is_open(&wish->ctx->fault))
		settle(wish);
	return false;
}

static bool is_mismatch(const struct grafana_fault *fault)
{
	return strcmp(fault->upstream_word, "version-mismatch") == 0;
}

/* ---- Conflicts ---- */

#define SAME_TITLE                                                                                           \
	"a dashboard of this title is in the folder already: to replace it, PUT it by its uid, or post "     \
	"with overwrite"

/* What Grafana calls a mismatch of versions: also that none was sent for what is there. */
static const char *mismatch(const struct grafana_wish *wish)
{
	if (wish->overwrite)
		return "the dashboard is there, and was changed twice while it was to be replaced: try again";
	if (!wish->has_version)
		return wish->replaces
			       ? "the dashboard is there, and no version was sent with `overwrite: false`: "
				 "send the one that it has, or leave overwrite out"
			       : "a dashboard with this uid is there already: to replace it, PUT it, or "
				 "post with overwrite";
	return wish->replaces
		       ? "the dashboard is there, and in another version than the one that was sent: get it "
			 "again, or leave `overwrite: false` out"
		       : "the dashboard is there, and in another version than the one that was sent: get it "
			 "again, or post with overwrite";
}

/* Grafana has said that the title is taken: by which one? */
static bool refuse_title(struct grafana_wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	const char *title;
	json_t *found;

	look_alike(ctx, &wish->place, wish->title, &found);
	grafana_put_back(&ctx->fault, &was);
	title = json_read_text(found, "title");
	if (title == NULL)
		look_refuse(ctx, NULL,
			    "Grafana says that a dashboard of this title is in the folder already, and does "
			    "not show it to its key: "
			    "choose another title");
	else if (strcmp(title, wish->title) != 0)
		look_refuse(ctx, found,
			    "the dashboard \"%.120s\" (%.40s) is in the folder already, and to this Grafana "
			    "its title is the same as "
			    "this one's: choose another title, or PUT that dashboard",
			    title, json_read_text(found, "uid"));
	else
		look_refuse(
			ctx, found,
			wish->replaces
				? "another dashboard (%.40s) in the folder has this title: choose another one"
				: SAME_TITLE,
			json_read_text(found, "uid"));
	json_decref(found);
	return false;
}

/* 409 with what is there. Grafana's own words stay, also when it cannot be asked for that. */
static bool refuse_version(struct grafana_wish *wish)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct look_there there;

	look_uid(ctx, wish->uid, &there);
	grafana_put_back(&ctx->fault, &was);
	look_refuse_there(ctx, &there, mismatch(wish));
	look_free(&there);
	return false;
}

/* What Grafana's refusal means for this wish. */
static bool explain(struct grafana_wish *wish)
{
	struct grafana_fault *fault = &wish->ctx->fault;
	bool no_folder = strcasecmp(fault->upstream_message, "Folder not found") == 0;

	if (no_folder && (fault->upstream_status == 404 || fault->upstream_status == 400))
		return grafana_mean(wish->ctx, wish->has_folder ? 422 : 409, wish->folder_pointer,
				    wish->has_folder ? "is of no folder there is"
						     : "the dashboard's folder is gone");
	if (fault->upstream_status == 404 && fault->code == 404)
		return grafana_mean(
			wish->ctx, 502, "",
			"Grafana answered HTTP 404 to a dashboard that was to be saved: is `url` right?");
	if (strcmp(fault->upstream_word, "name-match") == 0)
		return grafana_mean(wish->ctx, 409, "/dashboard/title",
				    "is the title of a folder, which Grafana does not take for a dashboard: "
				    "choose another title");
	if (strcmp(fault->upstream_word, "name-exists") == 0)
		return refuse_title(wish);
	if (is_mismatch(fault) && wish->uid[0] != '\0')
		return refuse_version(wish);
	return false;
}

/* ---- Creating and replacing ---- */

/* Into the folder that it is in, unless another was given. */
static void keep_folder(struct grafana_wish *wish, const json_t *meta)
{
	const char *uid = json_read_text(meta, "folderUid");

	if (wish->has_folder)
		return;
	wish->keeps_folder = uid != NULL && grafana_uid_fault(uid) == NULL && strcmp(uid, "general") != 0;
	if (wish->keeps_folder)
		snprintf(wish->folder_uid, sizeof(wish->folder_uid), "%s", uid);
	else
		wish->place.folder_id = json_integer_value(json_object_get(meta, "folderId"));
}

/* May a POST replace the dashboard that is there? It says which one by its title, too. */
static bool may_replace(struct grafana_wish *wish, const struct look_there *there)
{
	if (wish->replaces || strcmp(look_title(there), wish->title) == 0)
		return true;
	grafana_forget(&wish->ctx->fault);
	return look_refuse_there(wish->ctx, there,
				 "the dashboard that is there has another title, and is not overwritten: to "
				 "rename it, PUT it; else leave "
				 "out uid and id");
}

/* Replaces the dashboard of the wish's uid in the version that is read now; once more when it was changed in
 * between. false with 404 in ctx->fault: there is none. */
static bool replace(struct grafana_wish *wish, struct grafana_text *answer)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		struct look_there there;
		bool may;

		/* of many that replace the same at once one is first; the others come one after the other */
		if (attempt > 0 && wish->ctx->turn == NULL &&
		    !grafana_take_turn(wish->ctx, "dashboard", "", wish->uid))
			return false;
		may = look_uid(wish->ctx, wish->uid, &there);

		if (may && wish->overwrite) {
			wish->has_version = true;
			wish->version = json_integer_value(there.version);
		}
		if (may) {
			wish->before = json_integer_value(there.version);
			keep_folder(wish, there.meta);
			may = !wish->overwrite || may_replace(wish, &there);
		}
		look_free(&there);
		if (!may)
			return false;
		if (save(wish, answer))
			return true;
		if (!wish->overwrite || !is_mismatch(&wish->ctx->fault))
			break;
	}
	return explain(wish);
}

/* A uid was given. */
static bool post_uid(struct grafana_wish *wish, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct look_there there = {0};
	bool known;

	if (wish->overwrite) {
		if (replace(wish, answer))
			return true;
		known = false;
	} else {
		known = look_uid(ctx, wish->uid, &there);
		wish->before = json_integer_value(there.version);
		look_free(&there);
	}
	if (!known && ctx->fault.code != 404)
		return false;
	if (!known && ctx->fault.upstream_status == 0)
		return grafana_mean(ctx, 409, "/dashboard/uid",
				    "is the uid of a folder: choose another one, or leave it out");
	wish->has_version = wish->has_version && !wish->overwrite; /* a new one has none */
	return save(wish, answer) || explain(wish);
}

/* A number was given, and no uid: of which dashboard is it? */
static bool post_number(struct grafana_wish *wish, struct grafana_text *answer)
{
	json_t *found;
	const char *uid;
	bool known;

	if (!look_number(wish->ctx, wish->id, &found))
		return false;
	uid = json_read_text(found, "uid");
	known = uid != NULL && grafana_uid_fault(uid) == NULL;
	if (known)
		snprintf(wish->uid, sizeof(wish->uid), "%s", uid);
	json_decref(found);
	if (!known)
		return grafana_wrong(&wish->ctx->fault, "/dashboard/id",
				     "is of no dashboard there is: leave it out, the uid names a dashboard");
	return post_uid(wish, answer);
}

/* The uid that skymon would give is taken: by the same dashboard, which was made before; or by one that has
 * been renamed or moved since, and then Grafana is to choose a uid. */
static bool save_beside(struct grafana_wish *wish, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct look_there there;
	bool known = look_uid(ctx, wish->uid, &there), same = known &&
							      strcmp(look_title(&there), wish->title) == 0 &&
							      look_is_in(there.meta, &wish->place);

	if (!known && ctx->fault.code != 404) {
		json_decref(was.members);
		return false;
	}
	grafana_put_back(&ctx->fault, &was);
	if (same && !wish->overwrite)
		look_refuse_there(ctx, &there, SAME_TITLE);
	look_free(&there);
	if (same)
		return wish->overwrite && replace(wish, answer);
	wish->uid[0] = '\0';
	return save(wish, answer) || explain(wish);
}

/* Without a uid: is a dashboard of this title in the folder? */
static bool create(struct grafana_wish *wish, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	char folder[GRAFANA_UID_MAX + 1];
	const char *its;
	json_t *found;

	snprintf(folder, sizeof(folder), "%s", wish->place.folder_uid);
	if (folder[0] == '\0' && wish->place.folder_id != 0)
		snprintf(folder, sizeof(folder), "%lld", (long long)wish->place.folder_id);
	if (!grafana_take_turn(ctx, "dashboard", folder, wish->title) ||
	    !look_named(ctx, &wish->place, wish->title, &found))
		return false;
	its = json_read_text(found, "uid");
	if (found != NULL && (!wish->overwrite || its == NULL || grafana_uid_fault(its) != NULL)) {
		look_refuse(ctx, found, SAME_TITLE);
		json_decref(found);
		return false;
	}
	if (found != NULL)
		snprintf(wish->uid, sizeof(wish->uid), "%s", its);
	else
		grafana_make_uid("dashboard", folder, wish->title, wish->uid);
	bool there = found != NULL;

	json_decref(found);
	if (there)
		return replace(wish, answer);
	wish->has_version = false; /* a new one has none; it could fit that of another one */
	if (save(wish, answer))
		return true;
	return is_mismatch(&ctx->fault) ? save_beside(wish, answer) : explain(wish);
}

/* ---- Routes ---- */

static void finish(struct grafana_wish *wish, bool done, const char *uid, const char *verb,
		   struct grafana_text *answer)
{
	struct grafana_ctx *ctx = wish->ctx;
	char result[60];

	grafana_audit(ctx, "dashboard", uid, wish->title, grafana_result(&ctx->fault, done, verb, result));
	if (done)
		grafana_reply_text(ctx, answer);
	else
		grafana_tell(ctx);
	grafana_text_free(answer);
	grafana_free_wish(wish);
}

void grafana_post_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	struct grafana_wish wish;
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	if (grafana_read_wish(&ctx, false, &wish)) {
		done = wish.uid[0] != '\0' ? post_uid(&wish, &answer)
		       : wish.id != 0      ? post_number(&wish, &answer)
					   : create(&wish, &answer);
		grafana_give_turn(&ctx);
	}
	finish(&wish, done, wish.uid, "saved", &answer);
}

void grafana_put_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	const char *uid = skymon_param(sm, rq, "uid");
	struct grafana_wish wish;
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	if (grafana_read_wish(&ctx, true, &wish)) {
		if (wish.uid[0] != '\0' && strcmp(wish.uid, uid) != 0)
			grafana_wrong(
				&ctx.fault, "/dashboard/uid",
				"is another uid than the path's: leave it out, or send it to its own path");
		else if (grafana_uid_fault(uid) != NULL)
			grafana_fail(&ctx, 404, "no dashboard can have this uid: it %s",
				     grafana_uid_fault(uid));
		else {
			snprintf(wish.uid, sizeof(wish.uid), "%s", uid);
			done = replace(&wish, &answer);
			grafana_give_turn(&ctx);
		}
	}
	finish(&wish, done, uid, "replaced", &answer);
}
