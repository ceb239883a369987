/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply: one item and Grafana: looked up by its uid, compared, and written when it differs. */
#include "grafana_apply.h"

#include <stdio.h>
#include <string.h>

#include "grafana_rule.h"
#include "json_read.h"

/* HIDDEN: 403. What is not there gives nobody a right to see it, unless the key may see all: an Editor's may
 * be told so of a dashboard that it may well create. */
enum found { FAILED, MISSING, HIDDEN, FOUND };

/* GET of what has a uid. A rule that is not there is answered with a 404 that has no body. MISSING leaves no
 * fault. */
static enum found look_up(struct apply_run *run, const char *before, const char *uid,
			  struct grafana_answer *there)
{
	struct grafana_fault *fault = &run->ctx->fault;
	char path[256];
	if (!grafana_path(path, sizeof(path), before, uid, ""))
		return grafana_fail(run->ctx, 500, "the uid %s is too long", uid) ? FOUND : FAILED;
	if (grafana_ask(run->ctx, "GET", path, NULL, there))
		return FOUND;
	if (fault->code == 403)
		return HIDDEN;
	if (fault->upstream_status != 404 || (fault->code != 404 && strstr(before, "/alert-rules/") == NULL))
		return FAILED;
	grafana_forget(fault);
	return MISSING;
}

/* Takes over the body. */
static bool write_it(struct apply_run *run, const char *method, const char *path, json_t *body)
{
	struct grafana_answer answer;
	bool good = body != NULL && grafana_ask(run->ctx, method, path, body, &answer);
	if (body == NULL)
		return grafana_fail(run->ctx, 500, "no memory is left for the request to Grafana");
	json_decref(body);
	if (good)
		grafana_answer_free(&answer);
	return good;
}

static bool write_at(struct apply_run *run, const char *method, const char *before, const char *uid,
		     json_t *body)
{
	char path[256];
	if (grafana_path(path, sizeof(path), before, uid, ""))
		return write_it(run, method, path, body);
	json_decref(body);
	return grafana_fail(run->ctx, 500, "the uid %s is too long", uid);
}

/* Compares without the keys that are the server's; those are dropped from a copy. */
static void compare(struct apply_item *item, json_t *ours, const json_t *theirs, const char *const *drop)
{
	if (item->differences == NULL)
		item->differences = json_array();
	for (size_t i = 0; drop[i] != NULL; i++)
		json_object_del(ours, drop[i]);
	apply_contained(ours, theirs, item->differences);
}

static bool is_same(const struct apply_item *item)
{
	return json_array_size(item->differences) == 0;
}

/* ---- The folder ---- */

/* It counts by its uid, whoever has given it another title; else one of its title is used. */
static bool folder_item(struct apply_run *run, struct apply_item *item)
{
	bool there;
	if (!grafana_folder(run->ctx, item->uid, item->title, run->writes, run->folder, &there))
		return false;
	item->result = there ? "unchanged" : run->writes ? "created" : "missing";
	if (strcmp(run->folder, item->uid) != 0)
		snprintf(item->message, sizeof(item->message),
			 "the folder of this title has the uid %s, and is used", run->folder);
	return true;
}

/* ---- The data source ---- */

/* What is to be known of the others before one is created: is the name free, is there a default? */
static bool judge_others(struct apply_run *run, const struct apply_item *item, bool *has_default)
{
	struct grafana_answer list;
	char holder[GRAFANA_UID_MAX + 1] = "";
	size_t i;
	json_t *other;
	*has_default = false;
	if (!grafana_ask(run->ctx, "GET", "/api/datasources", NULL, &list))
		return false;
	json_array_foreach(list.json, i, other)
	{
		const char *name = json_read_text(other, "name"), *uid = json_read_text(other, "uid");
		*has_default |= json_is_true(json_object_get(other, "isDefault"));
		if (name != NULL && strcmp(name, item->title) == 0)
			snprintf(holder, sizeof(holder), "%s", uid != NULL ? uid : "?");
	}
	grafana_answer_free(&list);
	return holder[0] == '\0' ||
	       grafana_fail(
		       run->ctx, 409,
		       "the name %.200s is that of the data source with the uid %s already; rename or delete "
		       "it in Grafana",
		       item->title, holder);
}

static bool create_source(struct apply_run *run, const struct apply_item *item)
{
	bool has_default;
	if (!judge_others(run, item, &has_default))
		return false;
	if (!run->writes)
		return true;
	/* A panel that names no data source asks the default: where the org has none, it becomes ours. */
	json_t *body = json_copy(item->shipped);
	if (!has_default && json_object_get(body, "isDefault") == NULL)
		json_object_set_new(body, "isDefault", json_true());
	return write_it(run, "POST", "/api/datasources", body);
}

/* Ours over theirs, so that what a user has set beside it stays; secrets are kept by Grafana when none are
 * sent. Their version goes along: who has changed it in between is not overwritten. */
static bool update_source(struct apply_run *run, const struct apply_item *item, json_t *theirs,
			  const json_t *ours)
{
	static const char *const drop[] = {"id", "orgId", "typeLogoUrl", "secureJsonFields", "accessControl"};
	if (json_is_true(json_object_get(theirs, "readOnly")))
		return grafana_fail(
			run->ctx, 409,
			"Grafana has the data source %s from a file of its own and lets nobody else "
			"change it: change it there",
			item->uid);
	json_t *body = json_deep_copy(theirs);
	for (size_t i = 0; i < sizeof(drop) / sizeof(drop[0]); i++)
		json_object_del(body, drop[i]);
	apply_merge(body, ours);
	return write_at(run, "PUT", "/api/datasources/uid/", item->uid, body);
}

/* Its uid is all that rules and panels ask for: the name that somebody has given to it stays. */
static bool source_item(struct apply_run *run, struct apply_item *item)
{
	static const char *const drop[] = {"uid", "name", "isDefault", "id", "orgId", "version", NULL};
	struct grafana_answer there;
	enum found found = look_up(run, "/api/datasources/uid/", item->uid, &there);
	if (found == FAILED || found == HIDDEN)
		return false;
	if (found == MISSING) {
		item->result = run->writes ? "created" : "missing";
		return create_source(run, item);
	}
	const char *type = json_read_text(there.json, "type"),
		   *wanted = json_read_text(item->shipped, "type");
	json_t *ours = json_copy(item->shipped);
	bool good = type != NULL && strcmp(type, wanted) == 0;
	if (good) {
		compare(item, ours, there.json, drop);
		item->result = is_same(item) ? "unchanged" : run->writes ? "updated" : "different";
		good = is_same(item) || !run->writes || update_source(run, item, there.json, ours);
	} else {
		grafana_fail(run->ctx, 409,
			     "the uid %s is that of a data source of the type %.60s, not %.60s; give that "
			     "one another "
			     "uid, or delete it",
			     item->uid, type != NULL ? type : "?", wanted);
	}
	json_decref(ours);
	grafana_answer_free(&there);
	return good;
}

/* ---- Dashboards ---- */

/* With the version that was looked at and without overwrite: neither a change made in between nor another
 * dashboard of this title is lost. */
static bool write_dashboard(struct apply_run *run, const struct apply_item *item, const json_t *theirs,
			    bool hidden)
{
	json_t *model = json_copy(item->shipped), *version = json_object_get(theirs, "version");
	json_object_del(model, "id");
	json_object_del(model, "version");
	if (version != NULL)
		json_object_set(model, "version", version);
	bool good = write_it(run, "POST", "/api/dashboards/db",
			     json_pack("{s:o, s:s, s:b, s:s}", "dashboard", model, "folderUid", run->folder,
				       "overwrite", 0, "message", "as shipped with skymon"));
	struct grafana_fault *fault = &run->ctx->fault;
	if (!good && strcmp(fault->upstream_word, "name-exists") == 0)
		return grafana_fail(
			run->ctx, 409,
			"another dashboard of the folder has the title %.200s; rename or delete it",
			item->title);
	if (!good && hidden && fault->upstream_status == 412)
		return grafana_fail(
			run->ctx, 403,
			"the dashboard is there, but the key may not see it: it lacks the permission "
			"dashboards:read");
	return good;
}

static bool dashboard_item(struct apply_run *run, struct apply_item *item)
{
	/* schemaVersion: a newer Grafana lifts what it reads to its own */
	static const char *const drop[] = {"id", "version", "schemaVersion", NULL};
	struct grafana_answer there;
	enum found found = look_up(run, "/api/dashboards/uid/", item->uid, &there);
	if (found == FAILED || (found == HIDDEN && !run->writes))
		return false;
	if (found == MISSING || found == HIDDEN) {
		item->result = run->writes ? "created" : "missing";
		return !run->writes || write_dashboard(run, item, NULL, found == HIDDEN);
	}
	json_t *ours = json_copy(item->shipped), *theirs = json_object_get(there.json, "dashboard");
	const char *folder = json_read_text(json_object_get(there.json, "meta"), "folderUid");
	compare(item, ours, theirs, drop);
	if (folder == NULL || strcmp(folder, run->folder) != 0)
		json_array_append_new(item->differences, json_string("/folderUid"));
	item->result = is_same(item) ? "unchanged" : run->writes ? "updated" : "different";
	bool good = is_same(item) || !run->writes || write_dashboard(run, item, theirs, false);
	json_decref(ours);
	grafana_answer_free(&there);
	return good;
}

/* ---- Rules ---- */

static bool write_rule(struct apply_run *run, const struct apply_item *item, json_t *ours, bool is_new)
{
	bool good = run->org != 0 || grafana_rule_org(run->ctx, &run->org);
	if (good) {
		json_object_set_new(ours, "uid", json_string(item->uid));
		json_object_set_new(ours, "orgID", json_integer(run->org));
		json_incref(ours);
		good = is_new ? write_it(run, "POST", "/api/v1/provisioning/alert-rules", ours)
			      : write_at(run, "PUT", "/api/v1/provisioning/alert-rules/", item->uid, ours);
	}
	if (!good && grafana_rule_is_conflict(&run->ctx->fault))
		return grafana_fail(run->ctx, 409,
				    "another rule of the folder has the title %.200s; rename or delete it",
				    item->title);
	return good;
}

static void compare_rule(struct apply_item *item, json_t *ours, const json_t *theirs)
{
	static const char *const drop[] = {"id", "orgID", "updated", "provenance", NULL};
	const char *wanted = json_read_text(ours, "for"), *there = json_read_text(theirs, "for");
	/* Grafana writes durations in its own way. */
	if (there != NULL && grafana_rule_duration(wanted) == grafana_rule_duration(there))
		json_object_set_new(ours, "for", json_string(there));
	compare(item, ours, theirs, drop);
}

static bool rule_item(struct apply_run *run, struct apply_item *item)
{
	struct grafana_answer there = {0};
	enum found found = look_up(run, "/api/v1/provisioning/alert-rules/", item->uid, &there);
	if (found == FAILED || found == HIDDEN)
		return false;
	json_t *ours = json_deep_copy(item->shipped);
	json_object_set_new(ours, "folderUID", json_string(run->folder));
	/* For who only looks, a data source that is still missing is no fault of the rule's. */
	bool good = grafana_rule_sources(run->ctx, ours, item->shipped, &run->sources, !run->writes);
	if (good && found == MISSING) {
		item->result = run->writes ? "created" : "missing";
		good = !run->writes || write_rule(run, item, ours, true);
	} else if (good) {
		compare_rule(item, ours, there.json);
		item->result = is_same(item) ? "unchanged" : run->writes ? "updated" : "different";
		good = is_same(item) || !run->writes || write_rule(run, item, ours, false);
	}
	json_decref(ours);
	grafana_answer_free(&there);
	return good;
}

bool apply_item(struct apply_run *run, struct apply_item *item)
{
	switch (item->kind) {
	case APPLY_IS_FOLDER:
		return folder_item(run, item);
	case APPLY_IS_SOURCE:
		return source_item(run, item);
	case APPLY_IS_DASHBOARD:
		return dashboard_item(run, item);
	default:
		return rule_item(run, item);
	}
}
