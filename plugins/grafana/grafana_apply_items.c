/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_apply_items: looks up one item in Grafana by its uid, compares it, and writes it if it differs.
 * Called by grafana_apply.c for each item of a run, on the thread of its request. Owns nothing but the
 * answers of one call. */
#include "grafana_apply.h"

#include <stdio.h>
#include <string.h>

#include "grafana_rule.h"
#include <skymon/json.h>

/* HIDDEN: 403. Grafana also answers so for a dashboard that does not exist, to a key that may not see all: an
 * Editor's key may well be allowed to create it. */
enum found { FAILED, MISSING, HIDDEN, FOUND };

/* GETs an item by its uid. MISSING leaves no fault. */
static enum found get_item(struct apply_run *run, const char *before, const char *uid,
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
	bool missing = strstr(before, "/alert-rules/") != NULL
			       ? grafana_rule_is_missing(fault)
			       : fault->upstream_status == 404 && fault->code == 404;
	if (!missing)
		return FAILED;
	grafana_forget(fault);
	return MISSING;
}

/* Takes over the body. */
static bool write_item(struct apply_run *run, const char *method, const char *path, json_t *body)
{
	struct grafana_answer answer;
	bool good = body != NULL && grafana_ask(run->ctx, method, path, body, &answer);
	if (body == NULL)
		return grafana_fail(run->ctx, 500, "out of memory for the request to Grafana");
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
		return write_item(run, method, path, body);
	json_decref(body);
	return grafana_fail(run->ctx, 500, "the uid %s is too long", uid);
}

/* Copies without the keys that belong to the server, or that apply leaves to people. */
static json_t *without(const json_t *from, const char *const *drop)
{
	json_t *out = json_copy((json_t *)(uintptr_t)from);
	for (size_t i = 0; drop[i] != NULL; i++)
		json_object_del(out, drop[i]);
	return out;
}

static void compare_item(struct apply_item *item, const json_t *wanted, const json_t *theirs)
{
	json_decref(item->differences);
	item->differences = json_array();
	apply_compare(wanted, theirs, item->differences);
}

static bool has_no_differences(const struct apply_item *item)
{
	return json_array_size(item->differences) == 0;
}

/* ---- The folder ---- */

/* The folder is found by its uid, under any title; else a folder of its title is used. */
static bool folder_item(struct apply_run *run, struct apply_item *item)
{
	bool there;
	if (!grafana_folder(run->ctx, item->uid, item->title, run->writes, run->folder, &there))
		return false;
	item->result = there ? "unchanged" : run->writes ? "created" : "missing";
	if (strcmp(run->folder, item->uid) != 0)
		snprintf(item->message, sizeof(item->message),
			 "a folder of this title exists under the uid %s, and is used", run->folder);
	return true;
}

/* ---- The data source ---- */

/* Before a data source is created: is its name unused, and does the organization have a default? */
static bool check_other_sources(struct apply_run *run, const struct apply_item *item, bool *has_default)
{
	char holder[GRAFANA_UID_MAX + 1] = "";
	*has_default = false;
	struct grafana_answer list;
	if (!grafana_ask(run->ctx, "GET", "/api/datasources", NULL, &list))
		return false;
	size_t i;
	json_t *other;
	json_array_foreach(list.json, i, other) {
		const char *name = skymon_json_text(other, "name"), *uid = skymon_json_text(other, "uid");
		*has_default |= json_is_true(json_object_get(other, "isDefault"));
		if (name != NULL && strcmp(name, item->title) == 0)
			snprintf(holder, sizeof(holder), "%s", uid != NULL ? uid : "?");
	}
	grafana_answer_free(&list);
	return holder[0] == '\0' ||
	       grafana_fail(
		       run->ctx, 409,
		       "the name %.200s is in use by the data source with the uid %s; rename or delete that "
		       "one in Grafana",
		       item->title, holder);
}

static bool create_shipped_source(struct apply_run *run, const struct apply_item *item)
{
	bool has_default;
	if (!check_other_sources(run, item, &has_default))
		return false;
	if (!run->writes)
		return true;
	/* Panels that name no data source use the organization's default. If there is none, this source
	 * becomes it. */
	json_t *body = json_copy(item->shipped);
	if (!has_default && json_object_get(body, "isDefault") == NULL)
		json_object_set_new(body, "isDefault", json_true());
	return write_item(run, "POST", "/api/datasources", body);
}

/* Sends the version that was read, so that a change in between is not overwritten. Grafana keeps secrets that
 * are not sent. */
static bool update_source(struct apply_run *run, const struct apply_item *item, const json_t *theirs,
			  const json_t *wanted)
{
	static const char *const drop[] = {"id", "orgId", "typeLogoUrl", "secureJsonFields", "accessControl",
					   NULL};
	if (json_is_true(json_object_get(theirs, "readOnly")))
		return grafana_fail(
			run->ctx, 409,
			"the data source %s is provisioned from a file of Grafana, which does not allow "
			"requests to change it: change that file",
			item->uid);
	return write_at(run, "PUT", "/api/datasources/uid/", item->uid, without(wanted, drop));
}

/* Rules and panels use the uid only: a name that people gave to the data source is kept, as is any field that
 * the shipped one does not have. */
static bool source_item(struct apply_run *run, struct apply_item *item)
{
	static const char *const drop[] = {"uid", "name", "isDefault", "id", "orgId", "version", NULL};
	struct grafana_answer there;
	enum found found = get_item(run, "/api/datasources/uid/", item->uid, &there);
	if (found == FAILED || found == HIDDEN)
		return false;
	if (found == MISSING) {
		item->result = run->writes ? "created" : "missing";
		return create_shipped_source(run, item);
	}
	const char *type = skymon_json_text(there.json, "type"),
		   *wanted_type = skymon_json_text(item->shipped, "type");
	bool good = type != NULL && strcmp(type, wanted_type) == 0;
	if (good) {
		json_t *ours = without(item->shipped, drop), *wanted = apply_merge(ours, there.json, false);
		compare_item(item, wanted, there.json);
		item->result = has_no_differences(item) ? "unchanged" : run->writes ? "updated" : "different";
		good = has_no_differences(item) || !run->writes ||
		       update_source(run, item, there.json, wanted);
		json_decref(wanted);
		json_decref(ours);
	} else {
		grafana_fail(run->ctx, 409,
			     "the data source with the uid %s has the type %.60s, not %.60s; give that one "
			     "another "
			     "uid, or delete it",
			     item->uid, type != NULL ? type : "?", wanted_type);
	}
	grafana_answer_free(&there);
	return good;
}

/* ---- Dashboards ---- */

/* Sends the version that was read, without overwrite: neither a change in between nor another dashboard of
 * this title is lost. */
static bool write_dashboard(struct apply_run *run, const struct apply_item *item, const json_t *wanted,
			    const json_t *version, const char *folder, bool hidden)
{
	static const char *const drop[] = {"id", "version", NULL};
	json_t *model = without(wanted, drop);
	if (version != NULL)
		json_object_set(model, "version", (json_t *)(uintptr_t)version);
	bool good = write_item(run, "POST", "/api/dashboards/db",
			       json_pack("{s:o, s:s, s:b, s:s}", "dashboard", model, "folderUid", folder,
					 "overwrite", 0, "message", "as shipped with skymon"));
	struct grafana_fault *fault = &run->ctx->fault;
	if (!good && strcmp(fault->upstream_word, "name-exists") == 0)
		return grafana_reword(
			run->ctx, 409, "",
			"another dashboard in the folder has the title %.200s, or one that is the same to "
			"Grafana; rename or delete it",
			item->title);
	if (!good && hidden && fault->upstream_status == 412)
		return grafana_fail(
			run->ctx, 403,
			"the dashboard exists, but the key may not see it: it lacks the permission "
			"dashboards:read");
	return good;
}

/* The model that apply writes. A schemaVersion that a newer Grafana has migrated to is kept. */
static json_t *want_dashboard(const struct apply_run *run, const struct apply_item *item, json_t *theirs)
{
	static const char *const drop[] = {"id", "version", "schemaVersion", NULL}, *const own[] = {
											    "id", "version",
											    "schemaVersion"};
	json_t *ours = without(item->shipped, drop),
	       *wanted = apply_merge(ours, run->force ? NULL : theirs, !run->force);
	for (size_t i = 0; run->force && i < sizeof(own) / sizeof(own[0]); i++)
		if (json_object_get(theirs, own[i]) != NULL)
			json_object_set(wanted, own[i], json_object_get(theirs, own[i]));
	json_decref(ours);
	return wanted;
}

static bool dashboard_item(struct apply_run *run, struct apply_item *item)
{
	struct grafana_answer there;
	enum found found = get_item(run, "/api/dashboards/uid/", item->uid, &there);
	if (found == FAILED || (found == HIDDEN && !run->writes))
		return false;
	if (found == MISSING || found == HIDDEN) {
		item->result = run->writes ? "created" : "missing";
		return !run->writes ||
		       write_dashboard(run, item, item->shipped, NULL, run->folder, found == HIDDEN);
	}
	json_t *theirs = json_object_get(there.json, "dashboard"),
	       *meta = json_object_get(there.json, "meta");
	const char *folder = skymon_json_text(meta, "folderUid"), *to = run->folder;
	bool good = !json_is_true(json_object_get(meta, "isFolder"));
	json_t *wanted = want_dashboard(run, item, theirs);
	compare_item(item, wanted, theirs);
	/* a folder that people moved it to is kept; General does not count as one */
	if (!run->force && folder != NULL && folder[0] != '\0' && strcmp(folder, "general") != 0)
		to = folder;
	if (folder == NULL || strcmp(folder, to) != 0)
		json_array_append_new(item->differences, json_string("/folderUid"));
	item->result = has_no_differences(item) ? "unchanged" : run->writes ? "updated" : "different";
	if (!good)
		grafana_fail(run->ctx, 409, "the uid %s is that of a folder; delete or rename the folder",
			     item->uid);
	good = good && (has_no_differences(item) || !run->writes ||
			write_dashboard(run, item, wanted, json_object_get(theirs, "version"), to, false));
	json_decref(wanted);
	grafana_answer_free(&there);
	return good;
}

/* ---- Rules ---- */

/* Lists all rules once for a run: so a missing rule is known without the status that differs between versions
 * of Grafana. If Grafana has no such list, or too long a one, each rule is requested by itself. */
static bool list_rules(struct apply_run *run)
{
	struct grafana_fault *fault = &run->ctx->fault;
	if (run->has_rules || run->no_list)
		return true;
	run->has_rules = grafana_ask_text(run->ctx, "GET", "/api/v1/provisioning/alert-rules",
					  (struct grafana_span){NULL, 0}, 0, &run->rules);
	if (run->has_rules)
		return true;
	if (fault->key_refused || fault->code == 403 || fault->code == 503 || fault->code == 504)
		return false;
	grafana_forget(fault);
	run->no_list = true;
	return true;
}

static enum found find_rule(struct apply_run *run, const char *uid, struct grafana_answer *there)
{
	*there = (struct grafana_answer){0};
	if (!list_rules(run))
		return FAILED;
	if (run->no_list)
		return get_item(run, "/api/v1/provisioning/alert-rules/", uid, there);
	struct grafana_span rest = {run->rules.bytes, run->rules.size}, value;
	while (grafana_walk(&rest, NULL, &value)) {
		json_t *its = grafana_pick(value, "uid");
		bool found = its != NULL && json_is_string(its) && strcmp(json_string_value(its), uid) == 0;
		json_decref(its);
		if (!found)
			continue;
		there->json = skymon_json_read(value.text, value.size);
		return there->json != NULL ? FOUND
		       : grafana_fail(run->ctx, 502, "Grafana's rule %s is JSON that skymon cannot parse",
				      uid)
			       ? FOUND
			       : FAILED;
	}
	return MISSING;
}

static bool write_rule(struct apply_run *run, const struct apply_item *item, json_t *rule, bool is_new)
{
	bool good = run->org != 0 || grafana_rule_org(run->ctx, &run->org);
	if (good) {
		json_object_set_new(rule, "uid", json_string(item->uid));
		json_object_set_new(rule, "orgID", json_integer(run->org));
		json_incref(rule);
		good = is_new ? write_item(run, "POST", "/api/v1/provisioning/alert-rules", rule)
			      : write_at(run, "PUT", "/api/v1/provisioning/alert-rules/", item->uid, rule);
	}
	if (!good && grafana_rule_is_conflict(&run->ctx->fault))
		return grafana_reword(run->ctx, 409, "",
				      "another rule in the folder has the title %.200s; rename or delete it",
				      item->title);
	return good;
}

/* Keeps the folder and the group that people moved a rule to, if Grafana shows the rule there. */
static bool keep_place(struct apply_run *run, json_t *ours, const json_t *theirs)
{
	const char *folder = skymon_json_text(theirs, "folderUID"),
		   *group = skymon_json_text(theirs, "ruleGroup");
	bool there = true;
	if (run->force || folder == NULL || folder[0] == '\0' || group == NULL || group[0] == '\0' ||
	    grafana_uid_fault(folder) != NULL)
		return true;
	char uid[GRAFANA_UID_MAX + 1];
	if (strcmp(folder, run->folder) != 0 && !grafana_folder(run->ctx, folder, NULL, false, uid, &there))
		return false;
	if (there) {
		json_object_set_new(ours, "folderUID", json_string(folder));
		json_object_set_new(ours, "ruleGroup", json_string(group));
	}
	return true;
}

/* The rule that apply writes: people's labels, annotations and other additions are kept, unless forced. */
static json_t *want_rule(const struct apply_run *run, json_t *ours, json_t *theirs)
{
	static const char *const maps[] = {"labels", "annotations"}, *const added[] = {
									     "isPaused",
									     "notification_settings"};
	const char *wanted_for = skymon_json_text(ours, "for"), *their_for = skymon_json_text(theirs, "for");
	/* Grafana prints durations in its own format. */
	if (wanted_for != NULL && their_for != NULL &&
	    grafana_rule_duration(wanted_for) == grafana_rule_duration(their_for))
		json_object_set_new(ours, "for", json_string(their_for));
	json_t *wanted = apply_merge(ours, theirs, false);
	for (size_t i = 0; run->force && i < 2; i++) {
		json_t *own = json_object_get(ours, maps[i]);
		if (own != NULL)
			json_object_set(wanted, maps[i], own);
		else
			json_object_del(wanted, maps[i]);
		if (json_object_get(ours, added[i]) == NULL &&
		    !json_is_false(json_object_get(theirs, added[i])))
			json_object_del(wanted, added[i]);
	}
	/* false means the same as no field, and makes Grafana unpause the rule */
	if (run->force && json_is_true(json_object_get(theirs, "isPaused")) &&
	    json_object_get(ours, "isPaused") == NULL)
		json_object_set_new(wanted, "isPaused", json_false());
	return wanted;
}

static bool change_rule(struct apply_run *run, struct apply_item *item, json_t *ours, const json_t *there)
{
	static const char *const drop[] = {"id", "orgID", "updated", "provenance", NULL};
	json_t *theirs = without(there, drop);
	bool good = keep_place(run, ours, theirs);
	if (good) {
		json_t *wanted = want_rule(run, ours, theirs);
		compare_item(item, wanted, theirs);
		item->result = has_no_differences(item) ? "unchanged" : run->writes ? "updated" : "different";
		good = has_no_differences(item) || !run->writes || write_rule(run, item, wanted, false);
		json_decref(wanted);
	}
	json_decref(theirs);
	return good;
}

static bool rule_item(struct apply_run *run, struct apply_item *item)
{
	static const char *const drop[] = {"id", "orgID", "updated", "provenance", NULL};
	struct grafana_answer there;
	enum found found = find_rule(run, item->uid, &there);
	if (found == FAILED || found == HIDDEN)
		return false;
	json_t *shipped = without(item->shipped, drop), *ours = json_deep_copy(shipped);
	json_object_set_new(ours, "folderUID", json_string(run->folder));
	/* For diff, a data source that is still missing is not a fault of the rule. */
	bool good = grafana_rule_sources(run->ctx, ours, item->shipped, &run->sources, !run->writes);
	if (good && found == MISSING) {
		item->result = run->writes ? "created" : "missing";
		good = !run->writes || write_rule(run, item, ours, true);
	} else if (good) {
		good = change_rule(run, item, ours, there.json);
	}
	json_decref(ours);
	json_decref(shipped);
	grafana_answer_free(&there);
	return good;
}

/* ---- Each item ---- */

static bool do_item(struct apply_run *run, struct apply_item *item)
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

/* The list is out of date after a write. */
static void forget_rules(struct apply_run *run)
{
	grafana_text_free(&run->rules);
	run->has_rules = false;
}

/* The answer does not show whether Grafana acted on the write: compares the item once more. */
static bool verify_item(struct apply_run *run, struct apply_item *item)
{
	struct grafana_fault *fault = &run->ctx->fault, was = grafana_set_aside(fault);
	const char *result = item->result;
	forget_rules(run);
	run->writes = false;
	bool seen = do_item(run, item);
	run->writes = true;
	bool same = seen && strcmp(item->result, "unchanged") == 0;
	grafana_put_back(fault, &was);
	item->result = result;
	grafana_add_outcome(fault,
			    same                                 ? GRAFANA_DONE
			    : seen && was.upstream_status != 504 ? GRAFANA_NOT_DONE
								 : GRAFANA_MAYBE_DONE,
			    "done");
	if (same) {
		snprintf(item->message, sizeof(item->message), "%.590s", fault->detail);
		grafana_forget(fault);
	}
	return same;
}

bool apply_item(struct apply_run *run, struct apply_item *item)
{
	bool good = do_item(run, item);
	if (!good && run->writes && run->ctx->fault.code == 409 && run->ctx->fault.upstream_status != 0) {
		/* a concurrent apply may have created the same */
		grafana_forget(&run->ctx->fault);
		forget_rules(run);
		good = do_item(run, item);
	}
	if (!good && run->writes && item->result != NULL && strcmp(item->result, "unchanged") != 0 &&
	    grafana_is_open(&run->ctx->fault))
		good = verify_item(run, item);
	return good;
}
