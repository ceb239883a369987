/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_dashboards: the handlers of POST and PUT, which create and replace dashboards. Each runs on the
 * thread of its request, and owns that request's struct grafana_request.
 *
 * Only the dashboard that was named is overwritten. Grafana's own `overwrite` also replaces a dashboard of
 * the same title, under any uid, and one of the same number that comes from another Grafana; so it is never
 * sent. The dashboard to replace is read by its uid and saved with the version that was read, under a lock:
 * concurrent writers of this skymond come one after the other, and the last one wins. Grafana refuses the
 * version after a change from elsewhere in between; then the dashboard is read and saved once more.
 *
 * Grafana before 11.6 refuses a second dashboard of the same title in a folder; later versions do not, and
 * their search may not yet list a dashboard of a moment ago. So a dashboard that is posted without a uid is
 * searched by its title first, and gets a uid derived from folder and title: a repeated request finds that
 * uid taken. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana_request.h"
#include <skymon/json.h>

/* ---- Saving ---- */

/* The answer does not show whether Grafana acted on the request: reads the dashboard, and compares its
 * version and title. */
static void verify_saved(struct grafana_request *request)
{
	struct grafana_ctx *ctx = request->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	enum grafana_done done = GRAFANA_MAYBE_DONE;
	struct search_found there = {0};
	if (request->uid[0] != '\0' && search_uid(ctx, request->uid, &there)) {
		bool newer = json_integer_value(there.version) > request->before;
		done = newer && strcmp(search_title(&there), request->title) == 0 ? GRAFANA_DONE
										  : GRAFANA_NOT_DONE;
	} else if (request->uid[0] != '\0' && ctx->fault.code == 404) {
		done = GRAFANA_NOT_DONE;
	}
	if (done == GRAFANA_NOT_DONE &&
	    was.upstream_status == 504) /* of a proxy: Grafana may still be working on it */
		done = GRAFANA_MAYBE_DONE;
	grafana_put_back(&ctx->fault, &was);
	grafana_add_outcome(&ctx->fault, done, "saved");
	if (done == GRAFANA_DONE) {
		grafana_member(&ctx->fault, "uid", json_string(request->uid));
		grafana_copy_member(&ctx->fault, there.meta, "url");
		if (there.version != NULL)
			grafana_member(&ctx->fault, "version", json_incref(there.version));
	}
	search_free(&there);
}

/* An answer about another uid is not a success. */
static bool is_ours(struct grafana_request *request, const struct grafana_text *answer)
{
	json_t *its = grafana_pick((struct grafana_span){answer->bytes, answer->size}, "uid");
	const char *uid = json_string_value(its);
	bool ours = request->uid[0] == '\0' || (uid != NULL && strcmp(uid, request->uid) == 0);
	if (!ours) {
		grafana_fail(request->ctx, 502,
			     "Grafana was asked to save the dashboard %s, and reports that it saved %.40s "
			     "instead: "
			     "check both",
			     request->uid, uid != NULL ? uid : "another");
		grafana_add_outcome(&request->ctx->fault, GRAFANA_MAYBE_DONE, "saved");
	} else if (uid != NULL && request->uid[0] == '\0' && grafana_uid_fault(uid) == NULL) {
		snprintf(request->uid, sizeof(request->uid), "%s", uid);
	}
	json_decref(its);
	return ours;
}

/* Sends the request with its uid and version. Returns false with ctx->fault as Grafana answered. */
static bool send_dashboard(struct grafana_request *request, struct grafana_text *answer)
{
	/* Grafana refuses the same version the second time, and replace_dashboard then reads it again */
	request->ctx->repeatable = request->overwrite && request->has_version;
	if (grafana_ask_text(request->ctx, "POST", "/api/dashboards/db", grafana_print_request(request), 0,
			     answer)) {
		if (is_ours(request, answer))
			return true;
		grafana_text_free(answer);
		return false;
	}
	if (grafana_is_open(&request->ctx->fault))
		verify_saved(request);
	return false;
}

static bool is_mismatch(const struct grafana_fault *fault)
{
	return strcmp(fault->upstream_word, "version-mismatch") == 0;
}

/* ---- Conflicts ---- */

#define SAME_TITLE                                                                                           \
	"a dashboard of this title is in the folder already: to replace it, PUT it by its uid, "             \
	"or POST with overwrite"
/* Grafana also calls it a mismatch of versions if none was sent for an existing dashboard. */
static const char *mismatch_sentence(const struct grafana_request *request)
{
	if (request->overwrite)
		return "the dashboard exists, and was changed twice in Grafana during this request: try "
		       "again";
	if (!request->has_version)
		return request->replaces ? "the dashboard exists, and no version was sent with `overwrite: "
					   "false`: send its "
					   "current version, or omit overwrite"
					 : "a dashboard with this uid exists already: to replace it, PUT it, "
					   "or POST with "
					   "overwrite";
	return request->replaces ? "the dashboard exists in another version than the one that was sent: get "
				   "it again, or "
				   "omit `overwrite: false`"
				 : "the dashboard exists in another version than the one that was sent: get "
				   "it again, or "
				   "POST with overwrite";
}

/* Grafana has refused the title: names the dashboard that has it. */
static bool refuse_title(struct grafana_request *request)
{
	struct grafana_ctx *ctx = request->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	json_t *found;
	search_alike(ctx, &request->location, request->title, &found);
	grafana_put_back(&ctx->fault, &was);
	const char *title = skymon_json_text(found, "title");
	if (title == NULL)
		search_refuse(ctx, NULL,
			      "Grafana reports that a dashboard of this title is in the folder already, but "
			      "does not "
			      "show it to the key: choose another title");
	else if (strcmp(title, request->title) != 0)
		search_refuse(ctx, found,
			      "the dashboard \"%.120s\" (%.40s) is in the folder already, and its title is "
			      "the same "
			      "to this Grafana: choose another title, or PUT that dashboard",
			      title, skymon_json_text(found, "uid"));
	else
		search_refuse(ctx, found,
			      request->replaces ? "another dashboard (%.40s) in the folder has this title: "
						  "choose another title"
						: SAME_TITLE,
			      skymon_json_text(found, "uid"));
	json_decref(found);
	return false;
}

/* 409 with the existing dashboard. Grafana's own words are kept, even if the dashboard cannot be read. */
static bool refuse_version(struct grafana_request *request)
{
	struct grafana_ctx *ctx = request->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct search_found there;
	search_uid(ctx, request->uid, &there);
	grafana_put_back(&ctx->fault, &was);
	search_refuse_found(ctx, &there, mismatch_sentence(request));
	search_free(&there);
	return false;
}

/* Turns Grafana's refusal into a sentence about this request. */
static bool explain_dashboard_refusal(struct grafana_request *request)
{
	struct grafana_fault *fault = &request->ctx->fault;
	bool no_folder = strcasecmp(fault->upstream_message, "Folder not found") == 0;
	if (no_folder && (fault->upstream_status == 404 || fault->upstream_status == 400))
		return grafana_reword(request->ctx, request->has_folder ? 422 : 409, request->folder_pointer,
				      request->has_folder ? "names a folder that does not exist"
							  : "the dashboard's folder does not exist any more");
	if (fault->upstream_status == 404 && fault->code == 404)
		return grafana_reword(
			request->ctx, 502, "",
			"Grafana answered HTTP 404 to a request to save a dashboard: is `url` right?");
	if (strcmp(fault->upstream_word, "name-match") == 0)
		return grafana_reword(
			request->ctx, 409, "/dashboard/title",
			"is the title of a folder, which Grafana does not accept for a dashboard: choose "
			"another title");
	if (strcmp(fault->upstream_word, "name-exists") == 0)
		return refuse_title(request);
	if (is_mismatch(fault) && request->uid[0] != '\0')
		return refuse_version(request);
	return false;
}

/* ---- Creating and replacing ---- */

/* Keeps the dashboard's folder, unless the request names one. */
static void keep_folder(struct grafana_request *request, const json_t *meta)
{
	const char *uid = skymon_json_text(meta, "folderUid");
	if (request->has_folder)
		return;
	request->keeps_folder = uid != NULL && grafana_uid_fault(uid) == NULL && strcmp(uid, "general") != 0;
	if (request->keeps_folder)
		snprintf(request->folder_uid, sizeof(request->folder_uid), "%s", uid);
	else
		request->location.folder_id = json_integer_value(json_object_get(meta, "folderId"));
}

/* A POST that replaces a dashboard must also give its title. */
static bool may_replace(struct grafana_request *request, const struct search_found *there)
{
	if (request->replaces || strcmp(search_title(there), request->title) == 0)
		return true;
	grafana_forget(&request->ctx->fault);
	return search_refuse_found(
		request->ctx, there,
		"the existing dashboard has another title, and is not overwritten: to rename it, PUT "
		"it; else omit uid and id");
}

/* Replaces the dashboard in the version that is read now, and reads and saves once more after a change in
 * between. The lock is for concurrent writers of this skymond; the second attempt, for changes that are made
 * in Grafana. Returns false with 404 in ctx->fault if the dashboard does not exist. */
static bool replace_dashboard(struct grafana_request *request, struct grafana_text *answer)
{
	if (request->overwrite) {
		grafana_release_lock(request->ctx); /* a lock of its title: two at once could deadlock */
		if (!grafana_take_lock(request->ctx, "dashboard", "", request->uid))
			return false;
	}
	for (int attempt = 0; attempt < 2; attempt++) {
		struct search_found there;
		bool may = search_uid(request->ctx, request->uid, &there);
		if (may && request->overwrite) {
			request->has_version = true;
			request->version = json_integer_value(there.version);
		}
		if (may) {
			request->before = json_integer_value(there.version);
			keep_folder(request, there.meta);
			may = !request->overwrite || may_replace(request, &there);
		}
		search_free(&there);
		if (!may)
			return false;
		if (send_dashboard(request, answer))
			return true;
		if (!request->overwrite || !is_mismatch(&request->ctx->fault))
			break;
	}
	return explain_dashboard_refusal(request);
}

/* A uid was given. */
static bool post_uid(struct grafana_request *request, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = request->ctx;
	struct search_found there = {0};
	bool known;
	if (request->overwrite) {
		if (replace_dashboard(request, answer))
			return true;
		known = false;
	} else {
		known = search_uid(ctx, request->uid, &there);
		request->before = json_integer_value(there.version);
		search_free(&there);
	}
	if (!known && ctx->fault.code != 404)
		return false;
	if (!known && ctx->fault.upstream_status == 0)
		return grafana_reword(ctx, 409, "/dashboard/uid",
				      "is the uid of a folder: choose another uid, or omit it");
	request->has_version =
		request->has_version && !request->overwrite; /* a new dashboard has no version */
	return send_dashboard(request, answer) || explain_dashboard_refusal(request);
}

/* A number was given, and no uid: finds the dashboard with this number. */
static bool post_number(struct grafana_request *request, struct grafana_text *answer)
{
	json_t *found;
	if (!search_number(request->ctx, request->id, &found))
		return false;
	const char *uid = skymon_json_text(found, "uid");
	bool known = uid != NULL && grafana_uid_fault(uid) == NULL;
	if (known)
		snprintf(request->uid, sizeof(request->uid), "%s", uid);
	json_decref(found);
	if (!known)
		return grafana_invalid(
			&request->ctx->fault, "/dashboard/id",
			"is not the number of any dashboard: omit it, and name the dashboard by its uid");
	return post_uid(request, answer);
}

/* The uid that skymon derives is taken: by the same dashboard from an earlier request, or by one that has
 * been renamed or moved since. In the second case Grafana chooses a uid. */
static bool save_beside(struct grafana_request *request, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = request->ctx;
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct search_found there;
	bool known = search_uid(ctx, request->uid, &there),
	     same = known && strcmp(search_title(&there), request->title) == 0 &&
		    search_is_in(there.meta, &request->location);
	if (!known && ctx->fault.code != 404) {
		json_decref(was.members);
		return false;
	}
	grafana_put_back(&ctx->fault, &was);
	if (same && !request->overwrite)
		search_refuse_found(ctx, &there, SAME_TITLE);
	search_free(&there);
	if (same)
		return request->overwrite && replace_dashboard(request, answer);
	request->uid[0] = '\0';
	return send_dashboard(request, answer) || explain_dashboard_refusal(request);
}

/* Without a uid: searches the folder for a dashboard of this title. */
static bool create_dashboard(struct grafana_request *request, struct grafana_text *answer)
{
	struct grafana_ctx *ctx = request->ctx;
	char folder[GRAFANA_UID_MAX + 1];
	snprintf(folder, sizeof(folder), "%s", request->location.folder_uid);
	if (folder[0] == '\0' && request->location.folder_id != 0)
		snprintf(folder, sizeof(folder), "%lld", (long long)request->location.folder_id);
	json_t *found;
	if (!grafana_take_lock(ctx, "dashboard", folder, request->title) ||
	    !search_named(ctx, &request->location, request->title, &found))
		return false;
	const char *its = skymon_json_text(found, "uid");
	if (found != NULL && (!request->overwrite || its == NULL || grafana_uid_fault(its) != NULL)) {
		search_refuse(ctx, found, SAME_TITLE);
		json_decref(found);
		return false;
	}
	if (found != NULL)
		snprintf(request->uid, sizeof(request->uid), "%s", its);
	else
		grafana_make_uid("dashboard", folder, request->title, request->uid);
	bool there = found != NULL;

	json_decref(found);
	if (there)
		return replace_dashboard(request, answer);
	request->has_version =
		false; /* a new dashboard has no version; the given one could match another dashboard's */
	if (send_dashboard(request, answer))
		return true;
	return is_mismatch(&ctx->fault) ? save_beside(request, answer) : explain_dashboard_refusal(request);
}

/* ---- Routes ---- */

static void finish_request(struct grafana_request *request, bool done, const char *uid, const char *verb,
			   struct grafana_text *answer)
{
	struct grafana_ctx *ctx = request->ctx;
	char result[60];
	grafana_audit(ctx, "dashboard", uid, request->title, grafana_result(&ctx->fault, done, verb, result));
	if (done)
		grafana_reply_text(ctx, answer);
	else
		grafana_reply_fault(ctx);
	grafana_text_free(answer);
	grafana_free_request(request);
}

void grafana_post_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	bool done = false;
	if (!grafana_authorize(&ctx, true))
		return;
	struct grafana_request request;
	if (grafana_read_request(&ctx, false, &request)) {
		done = request.uid[0] != '\0' ? post_uid(&request, &answer)
		       : request.id != 0      ? post_number(&request, &answer)
					      : create_dashboard(&request, &answer);
		grafana_release_lock(&ctx);
	}
	finish_request(&request, done, request.uid, "saved", &answer);
}

void grafana_put_dashboard(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_text answer = {0};
	const char *uid = skymon_param(sm, rq, "uid");
	bool done = false;
	if (!grafana_authorize(&ctx, true))
		return;
	struct grafana_request request;
	if (grafana_read_request(&ctx, true, &request)) {
		if (request.uid[0] != '\0' && strcmp(request.uid, uid) != 0)
			grafana_invalid(&ctx.fault, "/dashboard/uid",
					"differs from the uid in the path: omit it, or send the request to "
					"that uid's path");
		else if (grafana_uid_fault(uid) != NULL)
			grafana_fail(&ctx, 404, "invalid uid of a dashboard: it %s", grafana_uid_fault(uid));
		else {
			snprintf(request.uid, sizeof(request.uid), "%s", uid);
			done = replace_dashboard(&request, &answer);
			grafana_release_lock(&ctx);
		}
	}
	finish_request(&request, done, uid, "replaced", &answer);
}
