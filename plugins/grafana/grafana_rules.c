/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rules: the handler of POST for alert rules, on the thread of its request, which owns the trees of
 * the rule and of Grafana's answers. A missing folder is created, the organization is the key's, and a rule
 * of the same title in the same group counts as the same rule.
 *
 * A folder is created only for a rule that Grafana accepts, so the rule is sent first. Grafana 9 stores a
 * rule of a folder that does not exist, and shows it once the folder does; later versions refuse it, and then
 * the folder is created first. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana_rule.h"
#include <skymon/json.h>

#define RULES "/api/v1/provisioning/alert-rules"

/* ---- Existing rules ---- */

static const json_t *find_titled(const json_t *rules, const char *folder, const char *title)
{
	json_t *rule;
	size_t i;
	json_array_foreach(rules, i, rule) {
		const char *its_title = skymon_json_text(rule, "title"),
			   *its_folder = skymon_json_text(rule, "folderUID");
		if (its_title != NULL && strcmp(its_title, title) == 0 && its_folder != NULL &&
		    strcmp(its_folder, folder) == 0)
			return rule;
	}
	return NULL;
}

/* 409 with the existing rule, if it is known. what: the field that is the same. */
static bool refuse_duplicate_rule(struct grafana_ctx *ctx, const json_t *there, const char *what)
{
	const char *uid = skymon_json_text(there, "uid"), *title = skymon_json_text(there, "title");
	char text[260];
	snprintf(text, sizeof(text), "%.40s, \"%.190s\"", uid != NULL ? uid : "?",
		 title != NULL ? title : "?");
	char shown[240];
	grafana_clean(text, shown, sizeof(shown));
	grafana_reword(ctx, 409, "", "an alert rule with this %s exists already%s%s", what,
		       there != NULL ? ": " : "", there != NULL ? shown : "");
	grafana_copy_member(&ctx->fault, there, "uid");
	grafana_copy_member(&ctx->fault, there, "folderUID");
	grafana_copy_member(&ctx->fault, there, "ruleGroup");
	return false;
}

/* A group that does not exist has no such rule. */
static bool is_new(struct grafana_ctx *ctx, const json_t *rule)
{
	const char *folder = skymon_json_text(rule, "folderUID"), *title = skymon_json_text(rule, "title");
	char path[GRAFANA_PATH_MAX], before[200];
	if (!grafana_path(before, sizeof(before), "/api/v1/provisioning/folder/", folder, "/rule-groups/") ||
	    !grafana_path(path, sizeof(path), before, skymon_json_text(rule, "ruleGroup"), ""))
		return grafana_invalid(&ctx->fault, "/ruleGroup", "is too long for a request to Grafana");
	struct grafana_answer group;
	bool known = grafana_ask(ctx, "GET", path, NULL, &group);
	if (!known &&
	    ctx->fault.upstream_status == 403) /* a key that may not read rules may not write them either */
		return grafana_reword(ctx, 403, "",
				      "Grafana's key lacks a permission: alert.provisioning:write, and "
				      "alert.provisioning:read; alert rules need a key with the role Admin");
	if (!known)
		return ctx->fault.upstream_status == 404 && ctx->fault.code == 404;
	const json_t *there = find_titled(json_object_get(group.json, "rules"), folder, title);
	if (there != NULL)
		refuse_duplicate_rule(ctx, there, "title in this folder");
	grafana_answer_free(&group);
	return there == NULL;
}

/* ---- Refusals ---- */

bool grafana_rule_is_conflict(const struct grafana_fault *fault)
{
	return fault->upstream_status == 409 ||
	       (fault->upstream_status >= 400 &&
		(strstr(fault->upstream_message, "conflicting alert rule") != NULL ||
		 strstr(fault->upstream_message, "should be unique") != NULL));
}

bool grafana_rule_is_missing(const struct grafana_fault *fault)
{
	return fault->upstream_status == 404 ||
	       (fault->upstream_status == 500 &&
		strcasecmp(fault->upstream_message, "could not find alert rule") == 0);
}

static bool get_rule(struct grafana_ctx *ctx, const char *uid, struct grafana_answer *answer)
{
	char path[GRAFANA_PATH_MAX];
	return grafana_path(path, sizeof(path), RULES "/", uid, "") &&
	       grafana_ask(ctx, "GET", path, NULL, answer);
}

/* Grafana has one sentence for both conflicts. If the caller gave a uid and it exists, it is the uid; else
 * the title, which may be in another group, and so is searched in the list of all rules if Grafana has one.
 */
static bool explain_conflict(struct grafana_ctx *ctx, const json_t *sent, const json_t *rule)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct grafana_answer answer = {0};
	const char *uid = skymon_json_text(sent, "uid"), *what = "uid";
	const json_t *there;
	if (uid != NULL && uid[0] != '\0' && get_rule(ctx, uid, &answer)) {
		there = answer.json;
	} else {
		grafana_ask(ctx, "GET", RULES, NULL, &answer);
		there = find_titled(answer.json, skymon_json_text(rule, "folderUID"),
				    skymon_json_text(rule, "title"));
		if (there != NULL || strstr(was.upstream_message, "UID") == NULL)
			what = "title in this folder";
	}
	grafana_put_back(&ctx->fault, &was);
	refuse_duplicate_rule(ctx, there, what);
	grafana_answer_free(&answer);
	return false;
}

static const char *sent_name(const json_t *sent, const char *name, const char *other)
{
	return json_object_get(sent, other) != NULL ? other : name;
}

/* The answer does not show whether Grafana acted on the request: looks for the rule. */
static void verify_rule(struct grafana_ctx *ctx, const json_t *rule)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	const char *uid = skymon_json_text(rule, "uid");
	enum grafana_done done = GRAFANA_MAYBE_DONE;
	struct grafana_answer there = {0};
	if (uid != NULL && get_rule(ctx, uid, &there)) {
		const char *title = skymon_json_text(there.json, "title");
		done = title != NULL && strcmp(title, skymon_json_text(rule, "title")) == 0
			       ? GRAFANA_DONE
			       : GRAFANA_NOT_DONE;
	} else if (uid != NULL && grafana_rule_is_missing(&ctx->fault)) {
		done = GRAFANA_NOT_DONE;
	}
	if (done == GRAFANA_NOT_DONE &&
	    was.upstream_status == 504) /* of a proxy: Grafana may still be working on it */
		done = GRAFANA_MAYBE_DONE;
	grafana_answer_free(&there);
	grafana_put_back(&ctx->fault, &was);
	grafana_add_outcome(&ctx->fault, done, "created");
	if (done == GRAFANA_DONE)
		grafana_member(&ctx->fault, "uid", json_string(uid));
}

/* An older Grafana answers 500 to states that it does not know, and to annotations that it does not take. */
static bool explain_rule_refusal(struct grafana_ctx *ctx, const json_t *sent, const json_t *rule)
{
	const char *message = ctx->fault.upstream_message;
	bool no_data = strncasecmp(message, "unknown NoData state", 20) == 0;
	if (grafana_rule_is_conflict(&ctx->fault))
		return explain_conflict(ctx, sent, rule);
	if (strcasestr(message, "annotations __dashboardUid__") != NULL)
		return grafana_reword(ctx, 422, "/annotations",
				      "must have both of __dashboardUid__ and __panelId__, or neither");
	if (strncasecmp(message, "invalid alert query", 19) == 0)
		return grafana_reword(ctx, 422, "/data", "is not accepted by Grafana: %.300s", message);
	if ((no_data || strncasecmp(message, "unknown Error state", 19) == 0) &&
	    json_object_get(rule, "record") != NULL)
		return grafana_reword(ctx, 422, "/record",
				      "is not known to this Grafana, which has no recording rules");
	char pointer[40];
	if (no_data || strncasecmp(message, "unknown Error state", 19) == 0) {
		snprintf(pointer, sizeof(pointer), "/%s",
			 no_data ? sent_name(sent, "noDataState", "no_data_state")
				 : sent_name(sent, "execErrState", "exec_err_state"));
		return grafana_reword(ctx, 422, pointer, "is a state that this Grafana does not know");
	}
	if (grafana_is_open(&ctx->fault))
		verify_rule(ctx, rule);
	return false;
}

/* ---- Creating ---- */

bool grafana_rule_org(struct grafana_ctx *ctx, json_int_t *id)
{
	struct grafana_answer org;
	if (!grafana_ask(ctx, "GET", "/api/org", NULL, &org))
		return false;
	const json_t *its = json_object_get(org.json, "id");
	bool known = json_is_integer(its);
	*id = json_integer_value(its);
	grafana_answer_free(&org);
	return known || grafana_fail(ctx, 502, "Grafana did not report the organization of its key");
}

static bool take_org(struct grafana_ctx *ctx, const json_t *sent, json_t *rule)
{
	const json_t *given = json_object_get(rule, "orgID");
	json_int_t id;
	if (!grafana_rule_org(ctx, &id))
		return false;
	if (json_is_integer(given) && json_integer_value(given) != id)
		return grafana_invalid(&ctx->fault,
				       json_object_get(sent, "org_id") != NULL  ? "/org_id"
				       : json_object_get(sent, "orgId") != NULL ? "/orgId"
										: "/orgID",
				       "is not %lld, the organization of Grafana's key: omit it",
				       (long long)id);
	json_object_set_new(rule, "orgID", json_integer(id));
	return true;
}

bool grafana_rule_sources(struct grafana_ctx *ctx, json_t *rule, const json_t *sent, json_t **sources,
			  bool later)
{
	if (!grafana_rule_has_query(rule))
		return true;
	struct grafana_answer list;
	if (*sources == NULL) {
		if (!grafana_ask(ctx, "GET", "/api/datasources", NULL, &list))
			return false;
		*sources = list.json;
	}
	return (grafana_rule_match(rule, sent, *sources, &ctx->fault) || later) &&
	       grafana_rule_validate_queries(rule, *sources, &ctx->fault);
}

/* The uid that skymon derives is taken: returns true if the rule that has it is another one by now. */
static bool is_taken_by_other(struct grafana_ctx *ctx, const char *uid, const json_t *rule)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	struct grafana_answer there = {0};
	bool other = false;
	if (get_rule(ctx, uid, &there)) {
		const char *title = skymon_json_text(there.json, "title"),
			   *folder = skymon_json_text(there.json, "folderUID");
		other = title == NULL || strcmp(title, skymon_json_text(rule, "title")) != 0 ||
			folder == NULL || strcmp(folder, skymon_json_text(rule, "folderUID")) != 0;
	}
	grafana_answer_free(&there);
	grafana_put_back(&ctx->fault, &was);
	return other;
}

/* Sends the rule under a uid that skymon derives, unless one was given or that uid belongs to another rule by
 * now. Fails as Grafana answered. */
static bool send_rule(struct grafana_ctx *ctx, json_t *rule, struct grafana_answer *answer)
{
	const char *given = skymon_json_text(rule, "uid");
	char uid[GRAFANA_UID_MAX + 1] = "";
	if (given == NULL || given[0] == '\0') {
		grafana_make_uid("rule", skymon_json_text(rule, "folderUID"), skymon_json_text(rule, "title"),
				 uid);
		json_object_set_new(rule, "uid", json_string(uid));
	}
	if (grafana_ask(ctx, "POST", RULES, rule, answer))
		return true;
	if (uid[0] == '\0' || !grafana_rule_is_conflict(&ctx->fault) || !is_taken_by_other(ctx, uid, rule))
		return false;
	json_object_del(rule, "uid");
	return grafana_ask(ctx, "POST", RULES, rule, answer);
}

/* Deletes the rule that was just created. */
static void undo_rule(struct grafana_ctx *ctx, struct grafana_answer *answer)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	const char *uid = skymon_json_text(answer->json, "uid");
	struct grafana_answer gone = {0};
	char path[GRAFANA_PATH_MAX];
	bool done = uid != NULL && grafana_path(path, sizeof(path), RULES "/", uid, "") &&
		    grafana_ask(ctx, "DELETE", path, NULL, &gone);
	grafana_answer_free(&gone);
	grafana_put_back(&ctx->fault, &was);
	if (!done)
		grafana_add_outcome(&ctx->fault, GRAFANA_DONE, "created");
	grafana_answer_free(answer);
}

static bool find_folder(struct grafana_ctx *ctx, const char *wanted, bool may_make,
			char uid[GRAFANA_UID_MAX + 1], bool *there)
{
	return grafana_folder(ctx, wanted, strcmp(wanted, GRAFANA_FOLDER) == 0 ? GRAFANA_FOLDER_TITLE : NULL,
			      may_make, uid, there);
}

/* Saves into the folder that exists under another uid. */
static bool save_into(struct grafana_ctx *ctx, json_t *rule, const char *folder, bool own_uid,
		      struct grafana_answer *answer)
{
	if (own_uid)
		json_object_del(rule, "uid"); /* it is derived from the folder's */
	json_object_set_new(rule, "folderUID", json_string(folder));
	return is_new(ctx, rule) && send_rule(ctx, rule, answer);
}

/* The rule was not saved now, but exists from an earlier attempt whose answer was lost before its folder was
 * created. */
static void make_missing_folder(struct grafana_ctx *ctx, const json_t *rule, const char *wanted)
{
	struct grafana_fault was = grafana_set_aside(&ctx->fault);
	const char *its_uid = skymon_json_text(rule, "uid");
	struct grafana_answer answer = {0};
	char uid[GRAFANA_UID_MAX + 1];
	bool there;
	if (its_uid != NULL && get_rule(ctx, its_uid, &answer)) {
		const char *folder = skymon_json_text(answer.json, "folderUID");
		const char *title = skymon_json_text(answer.json, "title");
		if (folder != NULL && strcmp(folder, wanted) == 0 && title != NULL &&
		    strcmp(title, skymon_json_text(rule, "title")) == 0)
			find_folder(ctx, wanted, true, uid, &there);
	}
	grafana_answer_free(&answer);
	grafana_put_back(&ctx->fault, &was);
}

/* Sends the rule first, then creates its folder. */
static bool save_without_folder(struct grafana_ctx *ctx, json_t *rule, struct grafana_answer *answer)
{
	const char *given = skymon_json_text(rule, "uid");
	bool own_uid = given == NULL || given[0] == '\0';
	char wanted[GRAFANA_UID_MAX + 1];
	snprintf(wanted, sizeof(wanted), "%s", skymon_json_text(rule, "folderUID"));
	bool done = send_rule(ctx, rule, answer);
	bool later = !done && ctx->fault.upstream_status >= 400 && !grafana_rule_is_conflict(&ctx->fault) &&
		     strcasestr(ctx->fault.upstream_message, "folder") != NULL;
	if (!done && !later) {
		if (ctx->fault.sent || grafana_is_open(&ctx->fault) || grafana_rule_is_conflict(&ctx->fault))
			make_missing_folder(ctx, rule, wanted);
		return false;
	}
	bool there;
	char uid[GRAFANA_UID_MAX + 1];
	if (!find_folder(ctx, wanted, true, uid, &there)) {
		if (done)
			undo_rule(ctx, answer);
		return false;
	}
	if (done && strcmp(uid, wanted) == 0)
		return true;
	if (done)
		undo_rule(ctx, answer);
	return save_into(ctx, rule, uid, own_uid, answer);
}

/* Grafana before 11.2 drops `record`, and the rest is an alert rule that fires for any value. */
static bool is_kept(struct grafana_ctx *ctx, const json_t *rule, struct grafana_answer *answer)
{
	if (json_object_get(rule, "record") == NULL || json_object_get(answer->json, "record") != NULL)
		return true;
	grafana_invalid(
		&ctx->fault, "/record",
		"is not known to this Grafana, which has no recording rules: the rule was deleted again");
	undo_rule(ctx, answer);
	return false;
}

/* The first request shows whether the key may see rules: a missing permission is reported before any other
 * fault of the rule in this Grafana (such a key may not see data sources either). */
static bool create_rule(struct grafana_ctx *ctx, const json_t *sent, json_t *rule,
			struct grafana_answer *answer)
{
	char wanted[GRAFANA_UID_MAX + 1];
	json_t *sources = NULL;
	bool there = false;
	snprintf(wanted, sizeof(wanted), "%s", skymon_json_text(rule, "folderUID"));
	bool good = take_org(ctx, sent, rule) &&
		    grafana_take_lock(ctx, "rule", wanted, skymon_json_text(rule, "title")) &&
		    is_new(ctx, rule) && grafana_rule_sources(ctx, rule, sent, &sources, false) &&
		    grafana_rule_eval(ctx, rule);
	json_decref(sources);
	char folder[GRAFANA_UID_MAX + 1];
	if (good && !find_folder(ctx, wanted, false, folder, &there)) {
		good = ctx->fault.code == 403 &&
		       find_folder(ctx, wanted, true, folder, &there); /* the key may not read it */
		there = true;
	}
	if (good && there && strcmp(folder, wanted) != 0) { /* another folder has the title */
		json_object_set_new(rule, "folderUID", json_string(folder));
		good = is_new(ctx, rule);
	}
	if (!good)
		return false;
	return (there ? send_rule(ctx, rule, answer) : save_without_folder(ctx, rule, answer))
		       ? is_kept(ctx, rule, answer)
		       : explain_rule_refusal(ctx, sent, rule);
}

void grafana_post_rule(struct skymon *sm, void *state, struct skymon_request *rq)
{
	static const char *const skip[] = {"orgID", "id", "provenance", "updated", NULL};
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_answer answer = {0};
	json_t *rule = NULL;
	bool done = false;
	if (!grafana_authorize(&ctx, true))
		return;
	json_t *sent = grafana_body(&ctx);
	if (sent != NULL)
		rule = grafana_rule_read(sent, &ctx.fault);
	char result[60];
	if (rule != NULL) {
		done = create_rule(&ctx, sent, rule, &answer);
		grafana_release_lock(&ctx);
		grafana_audit(&ctx, "alert rule", skymon_json_text(done ? answer.json : rule, "uid"),
			      skymon_json_text(rule, "title"),
			      grafana_result(&ctx.fault, done, "created", result));
	}
	if (done) {
		json_t *warnings =
			grafana_dropped(&(struct grafana_fields){sent, grafana_rule_names, "", &ctx.fault},
					answer.json, skip);
		if (warnings != NULL)
			json_object_set_new(answer.json, "warnings", warnings);
		grafana_reply(&ctx, answer.code, answer.json);
	} else {
		grafana_reply_fault(&ctx);
	}
	grafana_answer_free(&answer);
	json_decref(rule);
	json_decref(sent);
}
