/* SPDX-License-Identifier: Apache-2.0 */
/* exec_json: a result that a program gives as JSON: of the protocol json on its standard output, of stream on a line. Called by
 * exec.c and exec_stream.c on the component's thread. */
#include "exec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

#define LABELS_MAX 32
#define SHOWN_MAX 60 /* of a key or a word, in a message */

enum skymon_status exec_bad_answer(struct skymon *sm, const char *format, ...)
{
	char text[EXEC_MESSAGE_MAX];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	skymon_reason(sm, SKYMON_PROTOCOL);
	return skymon_unknown(sm, "%s", text);
}

/* ---- Checking ---- */

static bool fail(char why[EXEC_WHY], const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(char why[EXEC_WHY], const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(why, EXEC_WHY, format, list);
	va_end(list);
	return false;
}

/* A key that is not one of these is probably mistyped, and would be missed in silence. */
static bool check_keys(const json_t *object, const char *where, const char *const *keys, char why[EXEC_WHY])
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		size_t i = 0;
		while (keys[i] != NULL && strcmp(keys[i], key) != 0)
			i++;
		if (keys[i] == NULL)
			return fail(why, "unknown key `%.*s`%s", SHOWN_MAX, key, where);
	}
	return true;
}

/* The numbers that the plugin declares: those of the service, and prefixes that give the unit. */
static bool number_is_declared(const char *name)
{
	static const char *const prefixes[] = {"seconds_", "bytes_", "ratio_", "count_", "value_"};
	static const char *const service[] = {
		"active_connections", "total_requests",    "error_rate_percent",   "average_response_time_ms",
		"memory_usage_mb",    "cpu_usage_percent", "database_connections", "cache_hit_rate_percent"};
	for (size_t i = 0; i < sizeof(service) / sizeof(service[0]); i++)
		if (strcmp(name, service[i]) == 0)
			return true;
	if (strlen(name) > 63 || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
		return false;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0 && name[strlen(prefixes[i])] != '\0')
			return true;
	return false;
}

static bool check_numbers(const json_t *numbers, char why[EXEC_WHY])
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)numbers, key, value) {
		if (!json_is_number(value))
			return fail(why, "number `%.*s` is not a number", SHOWN_MAX, key);
		if (!number_is_declared(key))
			return fail(
				why,
				"number `%.*s` must begin with seconds_, bytes_, ratio_, count_ or value_, in [a-z0-9_]",
				SHOWN_MAX, key);
	}
	return true;
}

static bool check_metric(const json_t *metric, char why[EXEC_WHY])
{
	static const char *const keys[] = {"name", "type", "help", "value", "labels", NULL};
	const char *name = skymon_json_text(metric, "name"), *type = skymon_json_text(metric, "type");
	const json_t *labels = json_object_get(metric, "labels");
	const char *key;
	json_t *value;
	if (!json_is_object(metric) || name == NULL)
		return fail(why, "a metric is not an object with a `name`");
	if (!check_keys(metric, " of a metric", keys, why))
		return false;
	if (type == NULL || (strcmp(type, "gauge") != 0 && strcmp(type, "counter") != 0))
		return fail(why, "metric `%.*s`: `type` must be gauge or counter", SHOWN_MAX, name);
	if (!json_is_number(json_object_get(metric, "value")))
		return fail(why, "metric `%.*s`: `value` must be a number", SHOWN_MAX, name);
	if (json_object_get(metric, "help") != NULL && skymon_json_text(metric, "help") == NULL)
		return fail(why, "metric `%.*s`: `help` must be a text", SHOWN_MAX, name);
	if (labels != NULL && (!json_is_object(labels) || json_object_size(labels) > LABELS_MAX))
		return fail(why, "metric `%.*s`: `labels` must be an object of at most %d texts", SHOWN_MAX,
			    name, LABELS_MAX);
	json_object_foreach((json_t *)(uintptr_t)labels, key, value)
		if (!json_is_string(value))
			return fail(why, "metric `%.*s`: label `%.*s` must be a text", SHOWN_MAX, name,
				    SHOWN_MAX, key);
	return true;
}

static int status_of(const char *word)
{
	for (int status = SKYMON_UNKNOWN; word != NULL && status <= SKYMON_UNHEALTHY; status++)
		if (strcmp(skymon_status_word(status), word) == 0)
			return status;
	return -1;
}

/* Returns SKYMON_NONE for a word that is missing, and -1 for one that is not a program's to give. */
static int reason_of(const char *word)
{
#define OWN(name, word_, own) own,
	static const bool owned[] = {SKYMON_REASONS(OWN)};
#undef OWN
	if (word == NULL || strcmp(word, "ok") == 0)
		return SKYMON_NONE;
	for (int reason = SKYMON_OK; reason < SKYMON_REASON_COUNT; reason++)
		if (!owned[reason] && strcmp(skymon_reason_word(reason), word) == 0)
			return reason;
	return -1;
}

static bool check_result(const json_t *result, bool id, char why[EXEC_WHY])
{
	const char *const keys[] = {"status",  "reason",  "message",        "details",
				    "numbers", "metrics", id ? "id" : NULL, NULL};
	const json_t *details = json_object_get(result, "details"),
		     *numbers = json_object_get(result, "numbers");
	const json_t *metrics = json_object_get(result, "metrics"),
		     *reason = json_object_get(result, "reason");
	json_t *metric;
	size_t i;
	if (!json_is_object(result))
		return fail(why, "the result is not a JSON object");
	if (!check_keys(result, "", keys, why))
		return false;
	if (status_of(skymon_json_text(result, "status")) < 0)
		return fail(why, "`status` must be healthy, degraded, unhealthy or unknown");
	if (skymon_json_text(result, "message") == NULL)
		return fail(why, "`message` must be a text");
	if (reason != NULL && (!json_is_string(reason) || reason_of(json_string_value(reason)) < 0))
		return fail(why, "`reason` is not a reason that a check may give");
	if (details != NULL && !json_is_object(details))
		return fail(why, "`details` must be an object");
	if (numbers != NULL && !json_is_object(numbers))
		return fail(why, "`numbers` must be an object");
	if (metrics != NULL && !json_is_array(metrics))
		return fail(why, "`metrics` must be a list");
	json_array_foreach(metrics, i, metric)
		if (!check_metric(metric, why))
			return false;
	return check_numbers(numbers, why);
}

/* ---- Reporting ---- */

static void report_metric(struct skymon *sm, const json_t *metric)
{
	struct skymon_label labels[LABELS_MAX];
	size_t count = 0;
	const char *key, *help = skymon_json_text(metric, "help"), *type = skymon_json_text(metric, "type");
	json_t *value;
	json_object_foreach(json_object_get(metric, "labels"), key, value)
		labels[count++] = (struct skymon_label){key, json_string_value(value)};
	skymon_metric(sm, strcmp(type, "counter") == 0 ? SKYMON_COUNTER : SKYMON_GAUGE,
		      skymon_json_text(metric, "name"), help != NULL ? help : "Reported by a program",
		      json_number_value(json_object_get(metric, "value")), labels, count);
}

static void report_details(struct skymon *sm, const json_t *details)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)details, key, value) {
		char *text = json_dumps(value, JSON_ENCODE_ANY | skymon_json_digits(value));
		if (text != NULL)
			skymon_detail_json(sm, key, text);
		free(text);
	}
}

enum skymon_status exec_json_report(struct skymon *sm, json_t *result, bool id)
{
	char why[EXEC_WHY], line[EXEC_MESSAGE_MAX];
	const char *key;
	json_t *value;
	size_t i;
	if (!check_result(result, id, why))
		return exec_bad_answer(sm, "the program's answer: %s", why);
	report_details(sm, json_object_get(result, "details"));
	json_object_foreach(json_object_get(result, "numbers"), key, value)
		skymon_number(sm, key, json_number_value(value));
	json_array_foreach(json_object_get(result, "metrics"), i, value)
		report_metric(sm, value);
	int reason = reason_of(skymon_json_text(result, "reason"));
	if (reason != SKYMON_NONE)
		skymon_reason(sm, (enum skymon_reason)reason);
	exec_first_line(skymon_json_text(result, "message"), line, sizeof(line));
	switch (status_of(skymon_json_text(result, "status"))) {
	case SKYMON_HEALTHY:
		return skymon_healthy(sm, "%s", line);
	case SKYMON_DEGRADED:
		return skymon_degraded(sm, "%s", line);
	case SKYMON_UNHEALTHY:
		return skymon_unhealthy(sm, "%s", line);
	default:
		return skymon_unknown(sm, "%s", line);
	}
}

enum skymon_status exec_json_run(struct skymon *sm, struct skymon_spawn_run *run)
{
	char errors[EXEC_MESSAGE_MAX], end[EXEC_WHY];
	exec_first_line(run->err, errors, sizeof(errors));
	if (errors[0] != '\0')
		skymon_detail(sm, "stderr", "%s", errors);
	if (run->code != 0) {
		exec_explain(run->code, run->signal, end, sizeof(end));
		skymon_reason(sm, SKYMON_FAILED);
		return skymon_unknown(sm, "the program %s%s%.300s", end, errors[0] != '\0' ? ": " : "",
				      errors);
	}
	json_t *result = skymon_json_read(run->out, run->out_size);
	if (result == NULL)
		return exec_bad_answer(sm, "the program's answer is not one JSON object%s%.300s",
				       errors[0] != '\0' ? "; it said: " : "", errors);
	enum skymon_status status = exec_json_report(sm, result, false);
	json_decref(result);
	return status;
}
