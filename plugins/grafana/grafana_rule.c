/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rule: reads an alert rule: validates its own fields and its queries together, and matches them with
 * Grafana's data sources. Called by grafana_rules.c and grafana_apply_content.c, on the thread of the
 * request; pure. */
#include "grafana_rule.h"

#include <stdio.h>
#include <string.h>

#include <skymon/json.h>

#define TITLE_MAX 190              /* of a title or group, in bytes: Grafana's limit */
#define BUILT_IN "grafana"         /* the uid of Grafana's own data source, which is in no list */
#define DURATION_MAX 9223372036854 /* ms: Go counts ns in 63 bits */

const struct grafana_name grafana_rule_names[] = {{"no_data_state", "noDataState"},
						  {"exec_err_state", "execErrState"},
						  {"for_duration", "for"},
						  {"folder_uid", "folderUID"},
						  {"folderUid", "folderUID"},
						  {"rule_group", "ruleGroup"},
						  {"org_id", "orgID"},
						  {"orgId", "orgID"},
						  {"is_paused", "isPaused"},
						  {NULL, NULL}};

/* ---- Durations ---- */

int64_t grafana_rule_duration(const char *text)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
		     {"m", 60000},       {"s", 1000},      {"ms", 1}};
	int64_t ms = 0;
	size_t next = 0;
	if (strcmp(text, "0") == 0)
		return 0;
	for (const char *at = text; *at != '\0';) {
		size_t digits = strspn(at, "0123456789"), letters = strspn(at + digits, "ywdhms"),
		       unit = next;
		int64_t count = 0;
		while (unit < 7 && (strlen(units[unit].unit) != letters ||
				    strncmp(at + digits, units[unit].unit, letters) != 0))
			unit++;
		if (digits == 0 || digits > 15 || unit == 7) /* out of order, or repeated */
			return -1;
		for (size_t i = 0; i < digits; i++)
			count = count * 10 + (at[i] - '0');
		if (count > (DURATION_MAX - ms) / units[unit].ms)
			return -1;
		ms += count * units[unit].ms;
		at += digits + letters;
		next = unit + 1;
	}
	return text[0] != '\0' ? ms : -1;
}

/* ---- Fields ---- */

static bool is_state(const struct grafana_fields *fields, const char *own, const char *const *words)
{
	const char *text = json_string_value(grafana_field(fields, own));
	if (!grafana_is(fields, own, GRAFANA_TEXT) || text == NULL)
		return text == NULL && grafana_is(fields, own, GRAFANA_TEXT);
	for (size_t i = 0; i < 4; i++)
		if (strcmp(words[i], text) == 0)
			return true;
	return grafana_invalid_field(fields, own, "must be %s, %s, %s or %s", words[0], words[1], words[2],
				     words[3]);
}

static bool is_short(const struct grafana_fields *fields, const char *own)
{
	const char *text = json_string_value(grafana_field(fields, own));
	return text == NULL || strlen(text) <= TITLE_MAX ||
	       grafana_invalid_field(fields, own, "is longer than %d bytes", TITLE_MAX);
}

/* Labels and annotations have texts only; Grafana's "bad request data" would not name the field. */
static bool is_map(const struct grafana_fields *fields, const char *own)
{
	const json_t *map = grafana_field(fields, own);
	char pointer[40];
	const struct grafana_fields inner = {map, NULL, pointer, fields->fault};
	if (!grafana_is(fields, own, GRAFANA_OBJECT))
		return false;
	snprintf(pointer, sizeof(pointer), "/%s", own);
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)map, key, value) {
		if (!json_is_string(value))
			return grafana_invalid_field(&inner, key, "must be a text");
	}
	return true;
}

/* The link to a panel: Grafana takes both annotations or neither. */
static bool validate_link(const struct grafana_fields *fields)
{
	const json_t *map = grafana_field(fields, "annotations");
	const struct grafana_fields inner = {map, NULL, "/annotations", fields->fault};
	const char *dashboard = skymon_json_text(map, "__dashboardUid__"),
		   *panel = skymon_json_text(map, "__panelId__");
	if (dashboard != NULL && panel == NULL)
		return grafana_invalid_field(&inner, "__panelId__", "is missing: __dashboardUid__ needs it");
	if (panel != NULL && dashboard == NULL)
		return grafana_invalid_field(&inner, "__dashboardUid__", "is missing: __panelId__ needs it");
	return panel == NULL || (panel[0] != '\0' && panel[strspn(panel, "0123456789")] == '\0') ||
	       grafana_invalid_field(&inner, "__panelId__", "must be the number of a panel, as a text");
}

static bool validate_names(const struct grafana_fields *fields)
{
	const char *folder = json_string_value(grafana_field(fields, "folderUID"));
	const char *group = json_string_value(grafana_field(fields, "ruleGroup"));
	return grafana_needs(fields, "title", GRAFANA_TEXT) && is_short(fields, "title") &&
	       grafana_is_uid(fields, "uid") && grafana_is_uid(fields, "folderUID") &&
	       grafana_is(fields, "ruleGroup", GRAFANA_TEXT) && is_short(fields, "ruleGroup") &&
	       (group == NULL || group[0] == '\0' || strpbrk(group, "/\\") == NULL ||
		grafana_invalid_field(fields, "ruleGroup", "must have no slash")) &&
	       grafana_is(fields, "orgID", GRAFANA_INTEGER) &&
	       grafana_is(fields, "isPaused", GRAFANA_BOOLEAN) && is_map(fields, "labels") &&
	       is_map(fields, "annotations") && validate_link(fields) &&
	       (folder == NULL || strcmp(folder, "general") != 0 ||
		grafana_invalid_field(
			fields, "folderUID",
			"must be a folder: Grafana does not show rules outside of all folders"));
}

static bool validate_states(const struct grafana_fields *fields)
{
	static const char *const no_data[] = {"NoData", "Alerting", "OK", "KeepLast"};
	static const char *const error[] = {"Error", "Alerting", "OK", "KeepLast"};
	const char *duration = json_string_value(grafana_field(fields, "for"));
	return is_state(fields, "noDataState", no_data) && is_state(fields, "execErrState", error) &&
	       grafana_is(fields, "for", GRAFANA_TEXT) &&
	       (duration == NULL || grafana_rule_duration(duration) >= 0 ||
		grafana_invalid_field(fields, "for", "is not a duration such as 5m, 1h30m or 0s"));
}

/* Of an alert rule, or of a recording rule, whose object `fields` is then. */
static bool validate_ref(const struct grafana_fields *fields, const char *field, const json_t *data)
{
	const char *ref = json_string_value(grafana_field(fields, field));
	if (!grafana_needs(fields, field, GRAFANA_TEXT))
		return false;
	if (grafana_rule_find(data, ref) != NULL)
		return true;
	char shown[60];
	grafana_clean(ref, shown, sizeof(shown));
	return grafana_invalid_field(fields, field, "is not a refId of `data`: %s", shown);
}

/* A recording rule stores the result of one of its queries as a metric, and has no condition. */
static bool validate_record(const struct grafana_fields *fields, const json_t *data)
{
	const struct grafana_fields record = {grafana_field(fields, "record"), NULL, "/record",
					      fields->fault};
	if (!grafana_is(fields, "record", GRAFANA_OBJECT) || !validate_ref(&record, "from", data) ||
	    !grafana_needs(&record, "metric", GRAFANA_TEXT))
		return false;
	const char *metric = skymon_json_text(record.sent, "metric");
	return (metric[strspn(metric, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:")] ==
			'\0' &&
		strchr("0123456789", metric[0]) == NULL) ||
	       grafana_invalid_field(&record, "metric",
				     "must be the name of a metric: letters, digits, _ and :");
}

/* ---- Queries together ---- */

static bool all_done(const json_t *refs, const json_t *done)
{
	json_t *ref;
	size_t i;
	json_array_foreach(refs, i, ref) {
		if (json_object_get(done, json_string_value(ref)) == NULL)
			return false;
	}
	return true;
}

/* Kahn's algorithm: repeatedly remove queries whose references are all removed; any that remain form a cycle.
 * `refs` has the references of each query in `data`. */
static bool has_no_circle(const json_t *data, const json_t *refs, struct grafana_fault *fault)
{
	json_t *done = json_object();
	bool more = true;
	json_t *query;
	size_t i, left = 0;
	while (more) {
		more = false;
		left = json_array_size(data);
		json_array_foreach(data, i, query) {
			const char *ref = skymon_json_text(query, "refId");
			if (json_object_get(done, ref) == NULL && all_done(json_array_get(refs, i), done)) {
				json_object_set_new(done, ref, json_true());
				more = true;
			} else if (json_object_get(done, ref) == NULL) {
				left = i;
			}
		}
	}
	json_decref(done);
	if (left == json_array_size(data))
		return true;
	char pointer[60];
	snprintf(pointer, sizeof(pointer), "/data/%zu/model", left);
	return grafana_invalid(fault, pointer, "refers to itself, perhaps through other expressions");
}

static bool is_classic(const json_t *query)
{
	const char *type = skymon_json_text(json_object_get(query, "model"), "type");
	return grafana_rule_is_expression(query) && type != NULL && strcmp(type, "classic_conditions") == 0;
}

/* Classic conditions reduce and compare by themselves: their inputs are queries, and no expression takes
 * their result. */
static bool validate_inputs(const json_t *data, const json_t *refs, struct grafana_fault *fault)
{
	json_t *query, *ref;
	size_t i, j;
	char pointer[60];
	json_array_foreach(data, i, query) {
		json_array_foreach(json_array_get(refs, i), j, ref) {
			const json_t *input = grafana_rule_find(data, json_string_value(ref));
			snprintf(pointer, sizeof(pointer), "/data/%zu/model", i);
			if (is_classic(query) && grafana_rule_is_expression(input))
				return grafana_invalid(fault, pointer,
						       "has classic conditions, whose inputs must be queries "
						       "and not expressions");
			if (is_classic(input))
				return grafana_invalid(
					fault, pointer,
					"refers to classic conditions, whose result expressions cannot use");
		}
	}
	return true;
}

static bool validate_together(const json_t *data, struct grafana_fault *fault)
{
	json_t *refs = grafana_rule_refs(data, fault);
	bool good = refs != NULL && has_no_circle(data, refs, fault) && validate_inputs(data, refs, fault);
	json_decref(refs);
	return good;
}

/* ---- The rule ---- */

static void set_default(json_t *rule, const char *name, const char *fallback)
{
	const char *text = skymon_json_text(rule, name);
	if (text == NULL || text[0] == '\0')
		json_object_set_new(rule, name, json_string(fallback));
}

json_t *grafana_rule_read(const json_t *sent, struct grafana_fault *fault)
{
	const struct grafana_fields fields = {sent, grafana_rule_names, "", fault};
	bool records = grafana_field(&fields, "record") != NULL;
	json_t *rule = grafana_rename(&fields);
	if (rule == NULL)
		return NULL;
	json_t *data = validate_names(&fields) && grafana_needs(&fields, "data", GRAFANA_ARRAY)
			       ? grafana_rule_data(grafana_field(&fields, "data"), fault)
			       : NULL;
	if (data == NULL || !validate_together(data, fault) ||
	    !(records ? validate_record(&fields, data) : validate_ref(&fields, "condition", data)) ||
	    !validate_states(&fields)) {
		json_decref(data);
		json_decref(rule);
		return NULL;
	}
	json_object_set_new(rule, "data", data);
	if (!records) { /* a recording rule has no states */
		set_default(rule, "noDataState", "NoData");
		set_default(rule, "execErrState", "Error");
		set_default(rule, "for", "5m");
	}
	set_default(rule, "folderUID", GRAFANA_FOLDER);
	set_default(rule, "ruleGroup", GRAFANA_GROUP);
	return rule;
}

/* ---- Data sources ---- */

bool grafana_rule_has_query(const json_t *rule)
{
	json_t *query;
	size_t i;
	json_array_foreach(json_object_get(rule, "data"), i, query) {
		if (!grafana_rule_is_expression(query))
			return true;
	}
	return false;
}

/* Finds a data source by its uid, or else by type or name. *count: how many fit; `all`: their uids. */
static const char *match_source(const json_t *sources, const char *wanted, size_t *count, char *all,
				size_t size)
{
	const char *first = NULL;
	size_t used = 0;
	*count = 0;
	all[0] = '\0';
	json_t *source;
	size_t i;
	json_array_foreach(sources, i, source) {
		const char *uid = skymon_json_text(source, "uid"), *type = skymon_json_text(source, "type"),
			   *name = skymon_json_text(source, "name");
		if (uid == NULL)
			continue;
		if (strcmp(uid, wanted) == 0) {
			*count = 1;
			return uid;
		}
		if ((type == NULL || strcmp(type, wanted) != 0) &&
		    (name == NULL || strcmp(name, wanted) != 0))
			continue;
		first = first != NULL ? first : uid;
		if (used < size)
			used += (size_t)snprintf(all + used, size - used, "%s%.40s", *count > 0 ? ", " : "",
						 uid);
		++*count;
	}
	return first;
}

/* A query may repeat its data source in its model, for Grafana's editor. */
static void rename_in_model(json_t *query, const char *was, const char *uid)
{
	json_t *model = json_object_get(query, "model"), *source = json_object_get(model, "datasource");
	const char *its = skymon_json_text(source, "uid");
	if (its == NULL || strcmp(its, was) != 0)
		return;
	model = json_copy(model);
	source = json_copy(source);
	json_object_set_new(source, "uid", json_string(uid));
	json_object_set_new(model, "datasource", source);
	json_object_set_new(query, "model", model);
}

bool grafana_rule_match(json_t *rule, const json_t *sent, const json_t *sources, struct grafana_fault *fault)
{
	const json_t *list = json_object_get(sent, "data");
	json_t *query;
	size_t i, count;
	json_array_foreach(json_object_get(rule, "data"), i, query) {
		const char *wanted = skymon_json_text(query, "datasourceUid");
		char pointer[40];
		const struct grafana_fields fields = {json_array_get(list, i), grafana_rule_query_names,
						      pointer, fault};
		if (grafana_rule_is_expression(query) || strcmp(wanted, BUILT_IN) == 0)
			continue;
		char all[200];
		const char *uid = match_source(sources, wanted, &count, all, sizeof(all));
		snprintf(pointer, sizeof(pointer), "/data/%zu", i);
		char shown[80];
		grafana_clean(wanted, shown, sizeof(shown));
		if (count == 0)
			return grafana_invalid_field(&fields, "datasourceUid",
						     "is not the uid, type or name of a data source: %s",
						     shown);
		if (count > 1)
			return grafana_invalid_field(
				&fields, "datasourceUid",
				"fits %zu data sources (%s): use the uid of one of them: %.180s", count,
				shown, all);
		if (strcmp(uid, wanted) == 0)
			continue;
		rename_in_model(query, wanted, uid);
		json_object_set_new(query, "datasourceUid", json_string(uid));
	}
	return true;
}

/* ---- Queries and their data sources ---- */

static const char *type_of(const json_t *query, const json_t *sources)
{
	const char *wanted = skymon_json_text(query, "datasourceUid");
	json_t *source;
	size_t i;
	json_array_foreach(sources, i, source) {
		const char *uid = skymon_json_text(source, "uid"), *type = skymon_json_text(source, "type");
		if (uid != NULL && strcmp(uid, wanted) == 0)
			return type != NULL ? type : "";
	}
	return "";
}

/* Prometheus and Loki refuse an empty query each time. Queries of other types are not known here. */
static bool validate_query(const json_t *query, const char *type, size_t at, struct grafana_fault *fault)
{
	char pointer[60];
	const struct grafana_fields model = {json_object_get(query, "model"), NULL, pointer, fault};
	snprintf(pointer, sizeof(pointer), "/data/%zu/model", at);
	return (strcmp(type, "prometheus") != 0 && strcmp(type, "loki") != 0) ||
	       grafana_needs(&model, "expr", GRAFANA_TEXT);
}

/* Returns true for a query that gives a time series for certain: a resample, and a query of Prometheus or
 * Loki that is not an instant one. */
static bool is_series(const json_t *query, const char *type)
{
	const json_t *model = json_object_get(query, "model");
	const char *kind = skymon_json_text(model, "type"), *word = skymon_json_text(model, "queryType");
	if (grafana_rule_is_expression(query))
		return kind != NULL && strcmp(kind, "resample") == 0;
	if (json_is_true(json_object_get(model, "instant")))
		return false;
	if (word == NULL)
		word = skymon_json_text(query, "queryType");
	return strcmp(type, "prometheus") == 0 ||
	       (strcmp(type, "loki") == 0 && (word == NULL || word[0] == '\0' || strcmp(word, "range") == 0));
}

struct search {
	const json_t *data, *refs, *sources;
	json_t *seen; /* refIds */
};

/* Follows math and thresholds from `ref` to a query that gives a time series. Returns its refId, or NULL. */
static const char *find_series(const struct search *search, const char *ref)
{
	const char *found = NULL;
	json_t *query = NULL;
	if (json_object_get(search->seen, ref) != NULL)
		return NULL;
	json_object_set_new(search->seen, ref, json_true());
	size_t i;
	json_array_foreach(search->data, i, query) {
		if (query == grafana_rule_find(search->data, ref))
			break;
	}
	if (is_series(query, type_of(query, search->sources)))
		return ref;
	const char *kind = skymon_json_text(json_object_get(query, "model"), "type");
	if (!grafana_rule_is_expression(query) ||
	    (strcmp(kind, "math") != 0 && strcmp(kind, "threshold") != 0))
		return NULL;
	json_t *input;
	size_t j;
	json_array_foreach(json_array_get(search->refs, i), j, input) {
		if (found == NULL)
			found = find_series(search, json_string_value(input));
	}
	return found;
}

const char *grafana_rule_output(const json_t *rule, const char **pointer)
{
	const json_t *record = json_object_get(rule, "record");
	*pointer = record != NULL ? "/record/from" : "/condition";
	return record != NULL ? skymon_json_text(record, "from") : skymon_json_text(rule, "condition");
}

bool grafana_rule_validate_queries(const json_t *rule, const json_t *sources, struct grafana_fault *fault)
{
	const json_t *data = json_object_get(rule, "data");
	struct search search = {data, NULL, sources, NULL};
	char shown[60] = "";
	json_t *query;
	size_t i;
	json_array_foreach(data, i, query) {
		if (!grafana_rule_is_expression(query) &&
		    !validate_query(query, type_of(query, sources), i, fault))
			return false;
	}
	json_t *refs;
	search.refs = refs = grafana_rule_refs(data, fault);
	search.seen = json_object();
	const char *pointer;
	const char *series = refs != NULL ? find_series(&search, grafana_rule_output(rule, &pointer)) : NULL;
	if (series != NULL)
		grafana_clean(series, shown, sizeof(shown));
	json_decref(search.seen);
	json_decref(refs);
	return refs != NULL &&
	       (series == NULL ||
		grafana_invalid(
			fault, pointer,
			"comes from the time series of %s, and Grafana can alert on reduced data only: add a "
			"reduce expression, or make it an instant query",
			shown));
}
