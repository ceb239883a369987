/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rules: alert rules are created. The folder is made when it is missing, the organization is the
 * key's, and a rule of the same title in the same group is the same rule. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "grafana_rule.h"
#include "json_read.h"

#define RULES "/api/v1/provisioning/alert-rules"

/* ---- What is there ---- */

static const json_t *find(const json_t *rules, const char *folder, const char *title)
{
	json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule)
	{
		const char *its_title = json_read_text(rule, "title"),
			   *its_folder = json_read_text(rule, "folderUID");

		if (its_title != NULL && strcmp(its_title, title) == 0 && its_folder != NULL &&
		    strcmp(its_folder, folder) == 0)
			return rule;
	}
	return NULL;
}

/* 409 with what is there, if that is known. what: the field that is the same. */
static bool refuse(struct grafana_ctx *ctx, const json_t *there, const char *what)
{
	const char *uid = json_read_text(there, "uid"), *title = json_read_text(there, "title");
	char text[260], shown[240];

	snprintf(text, sizeof(text), "%.40s, \"%.190s\"", uid != NULL ? uid : "?",
		 title != NULL ? title : "?");
	grafana_clean(text, shown, sizeof(shown));
	grafana_mean(ctx, 409, "", "an alert rule with this %s is there already%s%s", what,
		     there != NULL ? ": " : "", there != NULL ? shown : "");
	grafana_copy_member(&ctx->fault, there, "uid");
	grafana_copy_member(&ctx->fault, there, "folderUID");
	grafana_copy_member(&ctx->fault, there, "ruleGroup");
	return false;
}

/* A group that is not there has no such rule. */
static bool is_new(struct grafana_ctx *ctx, const json_t *rule)
{
	const char *folder = json_read_text(rule, "folderUID"), *title = json_read_text(rule, "title");
	char path[GRAFANA_PATH_MAX], before[200];
	struct grafana_answer group;
	const json_t *there;
	bool known;

	if (!grafana_path(before, sizeof(before), "/api/v1/provisioning/folder/", folder, "/rule-groups/") ||
	    !grafana_path(path, sizeof(path), before, json_read_text(rule, "ruleGroup"), ""))
		return grafana_wrong(&ctx->fault, "/ruleGroup", "is too long to be asked for");
	known = grafana_ask(ctx, "GET", path, NULL, &group);
	if (!known && ctx->fault.upstream_status == 403) /* who may not read them may not write them either */
		return grafana_mean(ctx, 403, "",
				    "Grafana's key lacks a permission: alert.provisioning:write, and "
				    "alert.provisioning:read; alert rules need a key with the role Admin");
	if (!known)
		return ctx->fault.upstream_status == 404 && ctx->fault.code == 404;
	there = find(json_object_get(group.json, "rules"), folder, title);
	if (there != NULL)
		refuse(ctx, there, "title in this folder");
	grafana_answer_free(&group);
	return there == NULL;
}

/* ---- Refusals ---- */

bool grafana_rule_is_conflict(const struct grafana_fault *fault)
{
	return fault->code == 409 || (fault->upstream_status >= 400 &&
				      (strstr(fault->upstream_message, "conflicting alert rule") != NULL ||
				       strstr(fault->upstream_message, "should be unique") != NULL));
}

static bool get_rule(struct grafana_ctx *ctx, const char *uid, struct grafana_answer *answer)
{
	char path[GRAFANA_PATH_MAX];

	return grafana_path(path, sizeof(path), RULES "/", uid, "") &&
	       grafana_ask(ctx, "GET", path, NULL, answer);
}

/* Grafana has one sentence for both: is it the uid that the caller has given? Else the title, which may be in
 * another group: then it is in the list of all, where Grafana has one. */
static bool explain_conflict(struct grafana_ctx *ctx, const json_t *sent, const json_t *rule)
{
	struct grafana_fault was = ctx->fault;
	struct grafana_answer answer = {0};
	const char *uid = json_read_text(sent, "uid"), *what = "uid";
	const json_t *there;

	ctx->fault.members = NULL;
	if (uid != NULL && uid[0] != '\0' && get_rule(ctx, uid, &answer)) {
		there = answer.json;
	} else {
		grafana_ask(ctx, "GET", RULES, NULL, &answer);
		there = find(answer.json, json_read_text(rule, "folderUID"), json_read_text(rule, "title"));
		if (there != NULL || strstr(was.upstream_message, "UID") == NULL)
			what = "title in this folder";
	}
	grafana_forget(&ctx->fault);
	ctx->fault = was;
	refuse(ctx, there, what);
	grafana_answer_free(&answer);
	return false;
}

static const char *sent_name(const json_t *sent, const char *name, const char *other)
{
	return json_object_get(sent, other) != NULL ? other : name;
}

/* States that an older Grafana does not know are 500 there. */
static bool explain(struct grafana_ctx *ctx, const json_t *sent, const json_t *rule)
{
	const char *message = ctx->fault.upstream_message;
	bool no_data = strncasecmp(message, "unknown NoData state", 20) == 0;
	char pointer[40];

	if (grafana_rule_is_conflict(&ctx->fault))
		return explain_conflict(ctx, sent, rule);
	if (!no_data && strncasecmp(message, "unknown Error state", 19) != 0)
		return false;
	snprintf(pointer, sizeof(pointer), "/%s",
		 no_data ? sent_name(sent, "noDataState", "no_data_state")
			 : sent_name(sent, "execErrState", "exec_err_state"));
	return grafana_mean(ctx, 422, pointer, "is a state that this Grafana does not know");
}

/* ---- Creating ---- */

bool grafana_rule_org(struct grafana_ctx *ctx, json_int_t *id)
{
	struct grafana_answer org;
	const json_t *its;
	bool known;

	if (!grafana_ask(ctx, "GET", "/api/org", NULL, &org))
		return false;
	its = json_object_get(org.json, "id");
	known = json_is_integer(its);
	*id = json_integer_value(its);
	grafana_answer_free(&org);
	return known || grafana_fail(ctx, 502, "Grafana does not tell of which organization its key is");
}

static bool take_org(struct grafana_ctx *ctx, const json_t *sent, json_t *rule)
{
	const json_t *given = json_object_get(rule, "orgID");
	json_int_t id;

	if (!grafana_rule_org(ctx, &id))
		return false;
	if (json_is_integer(given) && json_integer_value(given) != id)
		return grafana_wrong(
			&ctx->fault,
			json_object_get(sent, "org_id") != NULL  ? "/org_id"
			: json_object_get(sent, "orgId") != NULL ? "/orgId"
								 : "/orgID",
			"is another organization than %lld, which Grafana's key is of: leave it out",
			(long long)id);
	json_object_set_new(rule, "orgID", json_integer(id));
	return true;
}

bool grafana_rule_sources(struct grafana_ctx *ctx, json_t *rule, const json_t *sent, json_t **sources,
			  bool later)
{
	struct grafana_answer list;

	if (!grafana_rule_has_query(rule))
		return true;
	if (*sources == NULL) {
		if (!grafana_ask(ctx, "GET", "/api/datasources", NULL, &list))
			return false;
		*sources = list.json;
	}
	return (grafana_rule_match(rule, sent, *sources, &ctx->fault) || later) &&
	       grafana_rule_judge_queries(rule, *sources, &ctx->fault);
}

static bool take_folder(struct grafana_ctx *ctx, json_t *rule)
{
	const char *wanted = json_read_text(rule, "folderUID");
	char uid[GRAFANA_UID_MAX + 1];
	bool there;

	if (!grafana_folder(ctx, wanted, strcmp(wanted, GRAFANA_FOLDER) == 0 ? GRAFANA_FOLDER_TITLE : NULL,
			    true, uid, &there))
		return false;
	json_object_set_new(rule, "folderUID", json_string(uid));
	return true;
}

/* The uid that we would give is taken. By the same rule, or by one that has another title by now? */
static bool is_taken_by_other(struct grafana_ctx *ctx, const char *uid, const json_t *rule)
{
	struct grafana_fault was = ctx->fault;
	struct grafana_answer there = {0};
	bool other = false;

	ctx->fault.members = NULL;
	if (get_rule(ctx, uid, &there)) {
		const char *title = json_read_text(there.json, "title"),
			   *folder = json_read_text(there.json, "folderUID");

		other = title == NULL || strcmp(title, json_read_text(rule, "title")) != 0 ||
			folder == NULL || strcmp(folder, json_read_text(rule, "folderUID")) != 0;
	}
	grafana_answer_free(&there);
	grafana_forget(&ctx->fault);
	ctx->fault = was;
	return other;
}

static bool save(struct grafana_ctx *ctx, const json_t *sent, json_t *rule, struct grafana_answer *answer)
{
	const char *given = json_read_text(rule, "uid");
	char uid[GRAFANA_UID_MAX + 1] = "";

	if (given == NULL || given[0] == '\0') {
		grafana_make_uid("rule", json_read_text(rule, "folderUID"), json_read_text(rule, "title"),
				 uid);
		json_object_set_new(rule, "uid", json_string(uid));
	}
	if (grafana_ask(ctx, "POST", RULES, rule, answer))
		return true;
	if (uid[0] != '\0' && grafana_rule_is_conflict(&ctx->fault) && is_taken_by_other(ctx, uid, rule)) {
		json_object_del(rule, "uid");
		if (grafana_ask(ctx, "POST", RULES, rule, answer))
			return true;
	}
	return explain(ctx, sent, rule);
}

/* First of all whether the key may see the rules: one that may not is told so, whatever else is wrong with
 * the rule in this Grafana (it may not see data sources either), and makes no folder for it. */
static bool create(struct grafana_ctx *ctx, const json_t *sent, json_t *rule, struct grafana_answer *answer)
{
	json_t *wanted = json_incref(json_object_get(rule, "folderUID")), *sources = NULL;
	bool good =
		take_org(ctx, sent, rule) &&
		grafana_take_turn(ctx, "rule", json_string_value(wanted), json_read_text(rule, "title")) &&
		is_new(ctx, rule) && grafana_rule_sources(ctx, rule, sent, &sources, false) &&
		take_folder(ctx, rule);

	if (good &&
	    !json_equal(wanted, json_object_get(rule, "folderUID"))) /* another folder has the title */
		good = is_new(ctx, rule);
	json_decref(sources);
	json_decref(wanted);
	return good && save(ctx, sent, rule, answer);
}

void grafana_post_rule(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct grafana_ctx ctx = {.sm = sm, .grafana = state, .rq = rq};
	struct grafana_answer answer = {0};
	json_t *sent, *rule = NULL;
	bool done = false;

	if (!grafana_enter(&ctx, true))
		return;
	sent = grafana_body(&ctx);
	if (sent != NULL)
		rule = grafana_rule_read(sent, &ctx.fault);
	if (rule != NULL) {
		done = create(&ctx, sent, rule, &answer);
		grafana_give_turn(&ctx);
		grafana_audit(&ctx, "alert rule", json_read_text(done ? answer.json : rule, "uid"),
			      json_read_text(rule, "title"), done ? "made" : "not made");
	}
	if (done)
		grafana_reply(&ctx, answer.code, answer.json);
	else
		grafana_tell(&ctx);
	grafana_answer_free(&answer);
	json_decref(rule);
	json_decref(sent);
}
