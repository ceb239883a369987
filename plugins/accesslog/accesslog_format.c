/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog_format: templates as of nginx's log_format, JSON lines, and the parsing of a line. Pure; called by accesslog.c. */
#include "accesslog.h"

#include <ctype.h>
#include <math.h>
#include <skymon/json.h>
#include <stdlib.h>
#include <string.h>

static const char *const presets[][2] = {
	{"common", "$host $ident $user [$time] \"$request\" $status $bytes"},
	{"combined", "$host $ident $user [$time] \"$request\" $status $bytes \"$referer\" \"$agent\""},
	{"timed",
	 "$host $ident $user [$time] \"$request\" $status $bytes \"$referer\" \"$agent\" $request_time"},
};
static const char *const names[] = {[ACCESSLOG_STATUS] = "status",
				    [ACCESSLOG_SECONDS] = "request_time",
				    [ACCESSLOG_MS] = "request_time_ms",
				    [ACCESSLOG_US] = "request_time_us"};

static enum accesslog_field field_of(const char *name, size_t size)
{
	for (size_t i = ACCESSLOG_STATUS; i <= ACCESSLOG_US; i++)
		if (strlen(names[i]) == size && strncmp(names[i], name, size) == 0)
			return (enum accesslog_field)i;
	return ACCESSLOG_OTHER;
}

static bool parse_json_fields(const struct skymon_map *fields, struct accesslog_format *out,
			      char why[ACCESSLOG_WHY])
{
	out->status_key = "status";
	out->time_key = "request_time";
	out->time_field = ACCESSLOG_SECONDS;
	for (size_t i = 0; i < fields->count; i++) {
		const struct skymon_label *item = &fields->items[i];
		enum accesslog_field field = field_of(item->name, strlen(item->name));
		if (field == ACCESSLOG_OTHER) {
			snprintf(
				why, ACCESSLOG_WHY,
				"has `%.40s`: it may name status, request_time, request_time_ms and request_time_us",
				item->name);
			return false;
		}
		if (field == ACCESSLOG_STATUS) {
			out->status_key = item->value;
		} else {
			out->time_key = item->value;
			out->time_field = field;
		}
	}
	return true;
}

bool accesslog_format_parse(const char *format, const struct skymon_map *fields, struct accesslog_format *out,
			    char why[ACCESSLOG_WHY])
{
	memset(out, 0, sizeof(*out));
	out->json = strcmp(format, "json") == 0;
	if (out->json)
		return parse_json_fields(fields, out, why);
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (strcmp(format, presets[i][0]) == 0)
			format = presets[i][1];
	const char **literal = &out->before;
	bool has_status = false;
	size_t used = 0;
	if (strlen(format) + ACCESSLOG_PARTS_MAX >= sizeof(out->text)) {
		snprintf(why, ACCESSLOG_WHY, "is too long");
		return false;
	}
	for (const char *at = format;;) {
		size_t size = strcspn(at, "$");
		*literal = out->text + used;
		memcpy(out->text + used, at, size);
		used += size + 1;
		at += size;
		if (*at == '\0')
			break;
		if (size == 0 && out->count > 0) {
			snprintf(why, ACCESSLOG_WHY, "has two fields without a text between them");
			return false;
		}
		size_t name = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_0123456789");
		if (name == 0 || out->count == ACCESSLOG_PARTS_MAX) {
			snprintf(why, ACCESSLOG_WHY, "%s",
				 name == 0 ? "has a $ without a name" : "has too many fields");
			return false;
		}
		out->parts[out->count].field = field_of(at + 1, name);
		has_status = has_status || out->parts[out->count].field == ACCESSLOG_STATUS;
		literal = &out->parts[out->count++].behind;
		at += 1 + name;
	}
	if (!has_status)
		snprintf(why, ACCESSLOG_WHY,
			 "must be common, combined, timed, json, or a template with $status");
	return has_status;
}

/* ---- Lines ---- */

static bool set_field(enum accesslog_field field, const char *text, size_t size, struct accesslog_line *out)
{
	static const double factors[] = {
		[ACCESSLOG_SECONDS] = 1, [ACCESSLOG_MS] = 1e-3, [ACCESSLOG_US] = 1e-6};
	char number[32], *end;
	if (field == ACCESSLOG_OTHER)
		return true;
	if (field == ACCESSLOG_STATUS) {
		bool good = size == 3 && isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1]) &&
			    isdigit((unsigned char)text[2]) && text[0] <= '5';
		out->status = good ? (text[0] - '0') * 100 + (text[1] - '0') * 10 + text[2] - '0' : 0;
		return good;
	}
	if (size == 1 && text[0] == '-') /* not measured */
		return true;
	if (size == 0 || size >= sizeof(number) || !isdigit((unsigned char)text[0]))
		return false;
	memcpy(number, text, size);
	number[size] = '\0';
	out->seconds = strtod(number, &end) * factors[field];
	return *end == '\0' && isfinite(out->seconds) && number[strspn(number, "0123456789.")] == '\0';
}

/* Finds a literal. A quote that the server escaped (\") belongs to the field. */
static const char *find_literal(const char *at, const char *literal)
{
	for (const char *found = strstr(at, literal); found != NULL; found = strstr(found + 1, literal)) {
		size_t slashes = 0;
		while (literal[0] == '"' && found - slashes > at && found[-1 - (ssize_t)slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			return found;
	}
	return NULL;
}

static bool parse_json_line(const struct accesslog_format *format, const char *line, size_t size,
			    struct accesslog_line *out)
{
	char text[40];
	json_t *json = skymon_json_read(line, size);
	const json_t *status = json_object_get(json, format->status_key),
		     *time = json_object_get(json, format->time_key);
	bool good = status != NULL;
	if (json_is_string(status))
		good = set_field(ACCESSLOG_STATUS, json_string_value(status), json_string_length(status),
				 out);
	else
		good = good && snprintf(text, sizeof(text), "%.0f", json_number_value(status)) > 0 &&
		       set_field(ACCESSLOG_STATUS, text, strlen(text), out);
	if (good && json_is_string(time))
		good = set_field(format->time_field, json_string_value(time), json_string_length(time), out);
	else if (good && json_is_number(time))
		good = snprintf(text, sizeof(text), "%.9f", json_number_value(time)) > 0 &&
		       set_field(format->time_field, text, strlen(text), out);
	json_decref(json);
	return good;
}

bool accesslog_line_parse(const struct accesslog_format *format, const char *line, size_t size,
			  struct accesslog_line *out)
{
	*out = (struct accesslog_line){.seconds = -1};
	if (size > 0 && line[size - 1] == '\r')
		size--;
	if (format->json)
		return parse_json_line(format, line, size, out);
	size_t before = strlen(format->before);
	if (strncmp(line, format->before, before) != 0)
		return false;
	const char *at = line + before;
	for (size_t i = 0; i < format->count; i++) {
		const char *behind = format->parts[i].behind, *end = find_literal(at, behind);
		if (behind[0] == '\0') /* the last field: to the next blank, so that a longer line fits too */
			end = at + strcspn(at, " \t\r");
		if (end == NULL || !set_field(format->parts[i].field, at, (size_t)(end - at), out))
			return false;
		at = end + strlen(behind);
	}
	return true;
}
