/* SPDX-License-Identifier: Apache-2.0 */
/* skymon run: prints a result as JSON, as text for people, as Prometheus reads metrics, or as a line of a Nagios
 * plugin. Called by tool_run.c; owns nothing. On the loop's thread. */
#include "tool.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

/* The value that begins behind the quote; *at is left behind its end. */
static json_t *label_value(const char **at, const char *end)
{
	struct buf value = {0};
	const char *from = *at;
	for (; from < end && *from != '"'; from++) {
		bool escaped = *from == '\\' && from + 1 < end;
		from += escaped;
		buf_add(&value, escaped && *from == 'n' ? "\n" : from, 1);
	}
	*at = from + 1;
	json_t *text = json_stringn(value.data != NULL ? value.data : "", value.size);
	buf_free(&value);
	return text;
}

static json_t *labels_json(const struct skymon_series *series)
{
	json_t *labels = json_object();
	const char *at = series->labels, *end = at + series->labels_size;
	while (at < end) {
		const char *equals = memchr(at, '=', (size_t)(end - at));
		if (equals == NULL)
			break;
		char *name = x_strndup(at, (size_t)(equals - at));
		at = equals + 2;
		json_object_set_new(labels, name, label_value(&at, end));
		free(name);
		at += at < end; /* the comma */
	}
	return labels;
}

/* The number as it was printed; one that JSON does not have as a text. */
static json_t *value_json(const char *text, size_t size)
{
	char *copy = x_strndup(text, size);
	json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);
	if (value == NULL)
		value = json_string(copy);
	free(copy);
	return value;
}

static json_t *metrics_json(const struct skymon_result *result)
{
	json_t *metrics = json_object();
	for (size_t i = 0; i < result->family_count; i++) {
		const struct skymon_family *family = result->families[i];
		struct skymon_series series;
		json_t *list = json_array();
		for (size_t at = 0; skymon_series_next(family, &at, &series);)
			json_array_append_new(list,
					      json_pack("{s:o, s:o}", "labels", labels_json(&series), "value",
							value_json(series.value, series.value_size)));
		const char *type = family->type == SKYMON_COUNTER ? "counter" : "gauge";
		json_object_set_new(
			metrics, family->name,
			json_pack("{s:s, s:s, s:o}", "type", type, "help", family->help, "series", list));
	}
	return metrics;
}

static void show_json(const struct skymon_result *result)
{
	json_t *out = json_object(), *numbers = json_object();
	for (size_t i = 0; i < result->number_count; i++)
		json_object_set_new(numbers, result->numbers[i]->name,
				    value_json(result->numbers[i]->text, strlen(result->numbers[i]->text)));
	json_object_set_new(out, "status", json_string(skymon_status_word(result->status)));
	json_object_set_new(out, "reason", json_string(skymon_reason_word(result->reason)));
	json_object_set_new(out, "message", json_string(result->message));
	json_object_set_new(out, "response_time_ms",
			    result->duration_us >= 0 ? json_integer(result->duration_us / 1000)
						     : json_null());
	json_object_set_new(out, "details", json_loads(result->details, 0, NULL));
	json_object_set_new(out, "numbers", numbers);
	json_object_set_new(out, "metrics", metrics_json(result));
	json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	putchar('\n');
	json_decref(out);
}

/* ---- Text ---- */

static const char *unit_of(const struct plugin_info *info, const char *number)
{
	for (size_t i = 0; i < info->number_count; i++)
		if (plugin_declares(&info->numbers[i], number))
			return info->numbers[i].unit;
	return "";
}

/* Four digits are enough for people; those before the point are never cut. */
static double shortened(double value)
{
	char text[32];
	if (!(fabs(value) < 1000))
		return round(value);
	snprintf(text, sizeof(text), "%.4g", value);
	return strtod(text, NULL);
}

static void show_limits(const struct component_spec *spec, const char *number)
{
	for (size_t i = 0; i < spec->limit_count; i++)
		if (strcmp(spec->limits[i].name, number) == 0)
			printf(", %s %s", spec->limits[i].critical ? "crit" : "warn", spec->limits[i].text);
}

static void show_details(const char *text)
{
	json_t *details = json_loads(text, 0, NULL), *value;
	const char *key;
	json_object_foreach(details, key, value) {
		if (json_is_real(value))
			json_real_set(value, shortened(json_real_value(value)));
		char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
		printf("  ");
		tool_print(key);
		printf(": ");
		tool_print(json_is_string(value) ? json_string_value(value) : json);
		putchar('\n');
		free(json);
	}
	json_decref(details);
}

static void show_text(const struct component_spec *spec, const struct plugin_info *info,
		      const struct skymon_result *result)
{
	printf("%s (%s): ", skymon_status_word(result->status), skymon_reason_word(result->reason));
	tool_print(result->message);
	putchar('\n');
	if (result->duration_us >= 0) {
		printf("  response_time: %.3f ms", (double)result->duration_us / 1000);
		show_limits(spec, "response_time");
		putchar('\n');
	}
	for (size_t i = 0; i < result->number_count; i++) {
		const struct skymon_value *number = result->numbers[i];
		char text[64];
		option_print_quantity(shortened(number->number), unit_of(info, number->name), text,
				      sizeof(text));
		printf("  %s: %s", number->name, text);
		show_limits(spec, number->name);
		putchar('\n');
	}
	show_details(result->details);
}

/* ---- Metrics ---- */

static void show_help(const char *help)
{
	for (; *help != '\0'; help++) {
		if (*help == '\n' || *help == '\\')
			putchar('\\');
		putchar(*help == '\n' ? 'n' : *help);
	}
}

/* As /metrics has them: the labels of the component come first. */
static void show_metrics(const struct component_spec *spec, const struct skymon_result *result)
{
	for (size_t i = 0; i < result->family_count; i++) {
		const struct skymon_family *family = result->families[i];
		struct skymon_series series;
		printf("# HELP %s ", family->name);
		show_help(family->help);
		printf("\n# TYPE %s %s\n", family->name,
		       family->type == SKYMON_COUNTER ? "counter" : "gauge");
		for (size_t at = 0; skymon_series_next(family, &at, &series);)
			printf("%s{component=\"%s\"%s%s%s%.*s} %.*s\n", family->name, spec->name,
			       spec->labels[0] != '\0' ? "," : "", spec->labels,
			       series.labels_size > 0 ? "," : "", (int)series.labels_size, series.labels,
			       (int)series.value_size, series.value);
	}
}

/* ---- Nagios: NAME STATUS - message | label=value[unit];warn;crit ---- */

/* A range, as Nagios has it: 10: alerts below 10; 10 above it, and below 0, which is of no matter for a drawn line. */
static void show_range(const struct component_spec *spec, const char *number, bool critical, double scale)
{
	putchar(';');
	for (size_t i = 0; i < spec->limit_count; i++) {
		const struct verdict_limit *limit = &spec->limits[i];
		if (strcmp(limit->name, number) != 0 || limit->critical != critical)
			continue;
		if (limit->side != VERDICT_ABOVE)
			printf("%.12g:", limit->low * scale);
		if (limit->side != VERDICT_BELOW)
			printf("%.12g", limit->high * scale);
	}
}

static void show_performance(const struct component_spec *spec, const char *name, double value,
			     const char *unit)
{
	bool ratio = strcmp(unit, "ratio") == 0;
	double scale = ratio ? 100 : 1;
	printf(" %s=%.12g%s", name, value * scale,
	       ratio                        ? "%"
	       : strcmp(unit, "s") == 0     ? "s"
	       : strcmp(unit, "bytes") == 0 ? "B"
					    : "");
	show_range(spec, name, false, scale);
	show_range(spec, name, true, scale);
}

static void show_nagios(const struct component_spec *spec, const struct plugin_info *info,
			const struct skymon_result *result)
{
	static const char *const words[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
	char *message = x_strdup(result->message);
	for (char *at = message; (at = strchr(at, '|')) != NULL;)
		*at = '/'; /* what follows the first | are numbers */
	printf("%s %s - ", spec->name, words[tool_exit_of(skymon_status_word(result->status))]);
	tool_print(message);
	free(message);
	if (result->duration_us >= 0 || result->number_count > 0)
		printf(" |");
	if (result->duration_us >= 0)
		show_performance(spec, "response_time", (double)result->duration_us / 1e6, "s");
	for (size_t i = 0; i < result->number_count; i++)
		show_performance(spec, result->numbers[i]->name, result->numbers[i]->number,
				 unit_of(info, result->numbers[i]->name));
	putchar('\n');
}

/* ---- Leaks ---- */

/* It is a leak if it grows in each quarter of the runs: what grows now and then is a cache. */
static bool is_leak(const int64_t held[TOOL_QUARTERS + 1], double each, long runs)
{
	for (int i = 0; i < TOOL_QUARTERS; i++)
		if ((double)(held[i + 1] - held[i]) < each * (double)(runs / TOOL_QUARTERS - 1))
			return false;
	return held[TOOL_QUARTERS] > held[0];
}

bool tool_leaks(const struct message_observed held[TOOL_QUARTERS + 1], long runs)
{
	struct {
		const char *unit;
		double each; /* more of it in each run is a leak */
		int64_t held[TOOL_QUARTERS + 1];
	} kinds[] = {{"bytes of memory", 16, {0}}, {"descriptors", 0.2, {0}}, {"threads", 0.2, {0}}};
	for (int i = 0; i <= TOOL_QUARTERS; i++) {
		kinds[0].held[i] = held[i].heap_bytes;
		kinds[1].held[i] = held[i].files;
		kinds[2].held[i] = held[i].threads;
	}
	struct buf text = {0};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (is_leak(kinds[i].held, kinds[i].each, runs))
			buf_printf(&text, "%s %lld %s", text.size > 0 ? "," : "",
				   (long long)(kinds[i].held[TOOL_QUARTERS] - kinds[i].held[0]),
				   kinds[i].unit);
	bool leaks = text.size > 0;
	if (leaks)
		tool_fail("leaked in %ld runs after the first:%s", runs - 1, text.data);
	else
		tool_fail("no memory, descriptor or thread was leaked in %ld runs after the first", runs - 1);
	buf_free(&text);
	return leaks;
}

/* ---- All ---- */

bool tool_format_parse(const char *word, enum tool_format *format)
{
	static const char *const words[] = {"json", "text", "metrics", "nagios"}; /* as enum tool_format */
	for (int i = 0; i < 4; i++)
		if (strcmp(word, words[i]) == 0) {
			*format = (enum tool_format)i;
			return true;
		}
	return false;
}

void tool_show(enum tool_format format, const struct component_spec *spec, const struct plugin_info *info,
	       const struct skymon_result *result)
{
	switch (format) {
	case TOOL_JSON:
		show_json(result);
		break;
	case TOOL_TEXT:
		show_text(spec, info, result);
		break;
	case TOOL_METRICS:
		show_metrics(spec, result);
		break;
	case TOOL_NAGIOS:
		show_nagios(spec, info, result);
		break;
	}
	fflush(stdout);
}
