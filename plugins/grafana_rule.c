/* grafana_rule: the fields of a rule itself. */
#include "grafana_rule.h"

#include <stdio.h>
#include <string.h>

#include "json_read.h"

#define TITLE_MAX 190 /* bytes of a title, a group: Grafana's limit */

static const struct grafana_name names[] = {{"no_data_state", "noDataState"},
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

bool grafana_rule_is_duration(const char *text)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"y", 31536e6}, {"w", 6048e5}, {"d", 864e5}, {"h", 36e5},
		     {"m", 6e4},     {"s", 1e3},    {"ms", 1}};
	double ms = 0;
	size_t next = 0;

	if (strcmp(text, "0") == 0)
		return true;
	for (const char *at = text; *at != '\0';) {
		size_t digits = strspn(at, "0123456789"), letters = strspn(at + digits, "ywdhms"),
		       unit = next;
		double count = 0;

		while (unit < 7 && (strlen(units[unit].unit) != letters ||
				    strncmp(at + digits, units[unit].unit, letters) != 0))
			unit++;
		if (digits == 0 || digits > 15 || unit == 7) /* not in this order, or twice */
			return false;
		for (size_t i = 0; i < digits; i++)
			count = count * 10 + (at[i] - '0');
		ms += count * units[unit].ms;
		at += digits + letters;
		next = unit + 1;
	}
	return text[0] != '\0' && ms <= 9223372036854.0; /* Go counts ns in 63 bits */
}

/* ---- Fields ---- */

static bool is_word(const struct grafana_spot *spot, const char *own, const char *const *words)
{
	const char *text = json_string_value(grafana_field(spot, own));

	if (!grafana_is(spot, own, GRAFANA_TEXT) || text == NULL)
		return text == NULL && grafana_is(spot, own, GRAFANA_TEXT);
	for (size_t i = 0; i < 4; i++)
		if (strcmp(words[i], text) == 0)
			return true;
	return grafana_wrong_field(spot, own, "must be %s, %s, %s or %s", words[0], words[1], words[2],
				   words[3]);
}

static bool is_short(const struct grafana_spot *spot, const char *own)
{
	const char *text = json_string_value(grafana_field(spot, own));

	return text == NULL || strlen(text) <= TITLE_MAX ||
	       grafana_wrong_field(spot, own, "is longer than %d bytes", TITLE_MAX);
}

/* Labels and annotations: texts alone; Grafana says no more than "bad request data" to others. */
static bool is_map(const struct grafana_spot *spot, const char *own)
{
	const json_t *map = grafana_field(spot, own);
	char pointer[40];
	const struct grafana_spot inner = {map, NULL, pointer, spot->fault};
	const char *key;
	json_t *value;

	if (!grafana_is(spot, own, GRAFANA_OBJECT))
		return false;
	snprintf(pointer, sizeof(pointer), "/%s", own);
	json_object_foreach((json_t *)(uintptr_t)map, key,
			    value) if (!json_is_string(value)) return grafana_wrong_field(&inner, key,
											  "must be a text");
	return true;
}

static bool judge_names(const struct grafana_spot *spot)
{
	const char *group = json_string_value(grafana_field(spot, "ruleGroup"));

	return grafana_needs(spot, "title", GRAFANA_TEXT) && is_short(spot, "title") &&
	       grafana_is_uid(spot, "uid") && grafana_is_uid(spot, "folderUID") &&
	       grafana_is(spot, "ruleGroup", GRAFANA_TEXT) && is_short(spot, "ruleGroup") &&
	       (group == NULL || group[0] == '\0' || strpbrk(group, "/\\") == NULL ||
		grafana_wrong_field(spot, "ruleGroup", "must have no slash")) &&
	       grafana_is(spot, "orgID", GRAFANA_INTEGER) && grafana_is(spot, "isPaused", GRAFANA_BOOLEAN) &&
	       is_map(spot, "labels") && is_map(spot, "annotations");
}

static bool judge_states(const struct grafana_spot *spot)
{
	static const char *const no_data[] = {"NoData", "Alerting", "OK", "KeepLast"};
	static const char *const error[] = {"Error", "Alerting", "OK", "KeepLast"};
	const char *duration = json_string_value(grafana_field(spot, "for"));

	return is_word(spot, "noDataState", no_data) && is_word(spot, "execErrState", error) &&
	       grafana_is(spot, "for", GRAFANA_TEXT) &&
	       (duration == NULL || grafana_rule_is_duration(duration) ||
		grafana_wrong_field(spot, "for", "is no duration such as 5m, 1h30m or 0s"));
}

static bool judge_condition(const struct grafana_spot *spot, const json_t *data)
{
	const char *ref = json_string_value(grafana_field(spot, "condition"));
	char shown[60];

	if (!grafana_needs(spot, "condition", GRAFANA_TEXT))
		return false;
	if (grafana_rule_has_ref(data, ref))
		return true;
	grafana_clean(ref, shown, sizeof(shown));
	return grafana_wrong_field(spot, "condition", "names no refId of `data`: %s", shown);
}

static void fill(json_t *rule, const char *name, const char *fallback)
{
	const char *text = json_read_text(rule, name);

	if (text == NULL || text[0] == '\0')
		json_object_set_new(rule, name, json_string(fallback));
}

json_t *grafana_rule_read(const json_t *sent, struct grafana_fault *fault)
{
	const struct grafana_spot spot = {sent, names, "", fault};
	json_t *data, *rule = grafana_rename(&spot);

	if (rule == NULL)
		return NULL;
	data = judge_names(&spot) && grafana_needs(&spot, "data", GRAFANA_ARRAY)
		       ? grafana_rule_data(grafana_field(&spot, "data"), fault)
		       : NULL;
	if (data == NULL || !judge_condition(&spot, data) || !judge_states(&spot)) {
		json_decref(data);
		json_decref(rule);
		return NULL;
	}
	json_object_set_new(rule, "data", data);
	fill(rule, "noDataState", "NoData");
	fill(rule, "execErrState", "Error");
	fill(rule, "for", "5m");
	fill(rule, "folderUID", GRAFANA_FOLDER);
	fill(rule, "ruleGroup", GRAFANA_GROUP);
	return rule;
}
