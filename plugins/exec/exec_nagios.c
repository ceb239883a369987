/* SPDX-License-Identifier: Apache-2.0 */
/* exec_nagios: the protocol of Nagios plugins (Monitoring Plugins Development Guidelines): exit code, first line, more lines,
 * performance data. Parsing is pure; called by exec.c on the component's thread. */
#include "exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <skymon/json.h>

#define ITEMS_MAX 256
#define MORE_MAX 1900 /* of the lines that follow, in the detail `text` */

/* ---- Performance data ---- */

static const struct {
	const char *unit;
	enum exec_unit kind;
	double factor;
} units[] = {{"", EXEC_VALUE, 1},         {"s", EXEC_SECONDS, 1},      {"ms", EXEC_SECONDS, 1e-3},
	     {"us", EXEC_SECONDS, 1e-6},  {"ns", EXEC_SECONDS, 1e-9},  {"%", EXEC_RATIO, 0.01},
	     {"c", EXEC_COUNT, 1},        {"B", EXEC_BYTES, 1},        {"KB", EXEC_BYTES, 1e3},
	     {"kB", EXEC_BYTES, 1e3},     {"MB", EXEC_BYTES, 1e6},     {"GB", EXEC_BYTES, 1e9},
	     {"TB", EXEC_BYTES, 1e12},    {"KiB", EXEC_BYTES, 0x1p10}, {"MiB", EXEC_BYTES, 0x1p20},
	     {"GiB", EXEC_BYTES, 0x1p30}, {"TiB", EXEC_BYTES, 0x1p40}};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* 'it''s' or plain. An unquoted label with a blank is malformed as a whole: the part behind the blank must not pass for a label. */
static bool read_label(const char **at, char *label, size_t room)
{
	const char *p = *at;
	size_t used = 0;
	bool quoted = *p == '\'', good = true;
	for (p += quoted; *p != '\0' && (quoted || *p != '='); p++) {
		if (*p == '\'' && quoted && *++p != '\'')
			break; /* the closing quote; '' is a quote in the label */
		good = good && (quoted || !is_blank(*p)) && (quoted || *p != '\'') && *p != '\n' &&
		       used + 1 < room;
		if (good)
			label[used++] = *p;
	}
	label[used] = '\0';
	good = good && used > 0 && *p == '=';
	p += *p == '=';
	*at = p;
	return good;
}

/* Digits with a sign, a point and an exponent, as strtod reads them in the C locale; no words, no hexadecimal. */
static bool read_number(const char **at, double *value)
{
	const char *p = *at + (**at == '-' || **at == '+');
	size_t whole = strspn(p, "0123456789"),
	       part = p[whole] == '.' ? strspn(p + whole + 1, "0123456789") : 0;
	char *end;
	if (whole + part == 0 || p[whole] == 'x' || p[whole] == 'X')
		return false;
	*value = strtod(*at, &end);
	*at = end;
	return true;
}

static bool copy_field(const char *text, size_t size, const char *allowed, char *field, size_t room)
{
	if (size >= room)
		return false;
	memcpy(field, text, size);
	field[size] = '\0';
	return field[strspn(field, allowed)] == '\0';
}

static bool read_unit(const char **at, struct exec_perfdata *item)
{
	size_t size = strcspn(*at, "; \t\r\n");
	if (!copy_field(*at, size, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%/", item->unit,
			sizeof(item->unit)))
		return false;
	*at += size;
	item->value = item->given;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].unit, item->unit) == 0) {
			item->kind = units[i].kind;
			item->value = item->given * units[i].factor;
		}
	return true;
}

/* ;warn;crit;min;max, any of them empty. */
static bool read_limits(const char **at, struct exec_perfdata *item)
{
	static const char range[] = "0123456789.:~@+-eE", number[] = "0123456789.+-eE";
	const struct {
		char *text;
		size_t room;
		const char *allowed;
	} fields[] = {{item->warn, sizeof(item->warn), range},
		      {item->crit, sizeof(item->crit), range},
		      {item->min, sizeof(item->min), number},
		      {item->max, sizeof(item->max), number}};
	for (size_t i = 0; **at == ';'; i++) {
		size_t size = strcspn(++*at, "; \t\r\n");
		if (i >= 4 ? size > 0
			   : !copy_field(*at, size, fields[i].allowed, fields[i].text, fields[i].room))
			return false;
		*at += size;
	}
	return true;
}

enum exec_parsed exec_perfdata_next(const char **at, struct exec_perfdata *item)
{
	*item = (struct exec_perfdata){.known = true};
	while (is_blank(**at))
		(*at)++;
	if (**at == '\0')
		return EXEC_END;
	bool good = read_label(at, item->label, sizeof(item->label));
	if (good && **at == 'U' && ((*at)[1] == ';' || (*at)[1] == '\0' || is_blank((*at)[1]))) {
		item->known = false;
		(*at)++;
	} else {
		good = good && read_number(at, &item->given) && read_unit(at, item);
	}
	good = good && read_limits(at, item) && (**at == '\0' || is_blank(**at));
	while (**at != '\0' && !is_blank(**at))
		(*at)++;
	return good ? EXEC_ITEM : EXEC_MALFORMED;
}

struct exec_output exec_split(char *text)
{
	struct exec_output output = {text, "", "", ""};
	char *line = strchr(text, '\n'), *bar;
	if (line != NULL) {
		*line = '\0';
		output.more = line + 1;
		if ((bar = strchr(output.more, '|')) != NULL) {
			*bar = '\0';
			output.more_perfdata = bar + 1;
		}
	}
	if ((bar = strchr(text, '|')) != NULL) {
		*bar = '\0';
		output.perfdata = bar + 1;
	}
	return output;
}

/* ---- The report ---- */

struct tally {
	json_t *items; /* label → what it was, for the details */
	size_t count, skipped;
};

static void report_value(struct skymon *sm, const struct exec_perfdata *item)
{
	static const struct {
		const char *number, *metric;
	} names[] = {[EXEC_VALUE] = {"value_", "skymon_exec_perfdata_value"},
		     [EXEC_SECONDS] = {"seconds_", "skymon_exec_perfdata_seconds"},
		     [EXEC_BYTES] = {"bytes_", "skymon_exec_perfdata_bytes"},
		     [EXEC_RATIO] = {"ratio_", "skymon_exec_perfdata_ratio"},
		     [EXEC_COUNT] = {"count_", "skymon_exec_perfdata_total"}};
	const struct skymon_label labels[] = {{"label", item->label}, {"unit", item->unit}};
	bool counter = item->kind == EXEC_COUNT && item->value >= 0,
	     other = item->kind == EXEC_VALUE && item->unit[0] != '\0';
	char name[64];
	if (exec_number_name(names[item->kind].number, item->label, name, sizeof(name)))
		skymon_number(sm, name, item->value);
	if (item->kind != EXEC_COUNT || counter)
		skymon_metric(sm, counter ? SKYMON_COUNTER : SKYMON_GAUGE, names[item->kind].metric,
			      "Performance data of a Nagios plugin, in base units", item->value, labels,
			      other ? 2 : 1);
}

static void keep_item(struct tally *tally, const struct exec_perfdata *item)
{
	const struct {
		const char *key, *text;
	} limits[] = {{"unit", item->unit},
		      {"warn", item->warn},
		      {"crit", item->crit},
		      {"min", item->min},
		      {"max", item->max}};
	json_t *kept = json_object();
	json_object_set_new(kept, "value", item->known ? json_real(item->given) : json_null());
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].text[0] != '\0')
			json_object_set_new(kept, limits[i].key, json_string(limits[i].text));
	json_object_set_new(tally->items, item->label, kept);
}

static void report_perfdata(struct skymon *sm, const char *text, struct tally *tally)
{
	struct exec_perfdata item;
	enum exec_parsed parsed;
	while ((parsed = exec_perfdata_next(&text, &item)) != EXEC_END) {
		bool twice = json_object_get(tally->items, item.label) != NULL;
		if (parsed == EXEC_MALFORMED || twice || tally->count >= ITEMS_MAX) {
			tally->skipped++;
			continue;
		}
		tally->count++;
		keep_item(tally, &item);
		if (item.known)
			report_value(sm, &item);
	}
}

static void report_details(struct skymon *sm, const struct skymon_spawn_run *run,
			   const struct exec_output *output)
{
	struct tally tally = {.items = json_object()};
	char line[EXEC_MESSAGE_MAX];
	report_perfdata(sm, output->perfdata, &tally);
	report_perfdata(sm, output->more_perfdata, &tally);
	if (tally.count > 0) {
		char *text = json_dumps(tally.items, skymon_json_digits(tally.items));
		if (text != NULL)
			skymon_detail_json(sm, "perfdata", text);
		free(text);
	}
	json_decref(tally.items);
	skymon_number(sm, "perfdata_skipped", (double)tally.skipped);
	if (tally.skipped > 0)
		skymon_detail_number(sm, "perfdata_skipped", (double)tally.skipped);
	skymon_detail_number(sm, "exit_code", run->code);
	size_t more = strnlen(output->more, MORE_MAX);
	while (more > 0 && ((unsigned char)output->more[more] & 0xC0) == 0x80) /* not within a character */
		more--;
	if (more > 0)
		skymon_detail(sm, "text", "%.*s", (int)more, output->more);
	exec_first_line(run->err, line, sizeof(line));
	if (line[0] != '\0')
		skymon_detail(sm, "stderr", "%s", line);
}

enum skymon_status exec_nagios_report(struct skymon *sm, struct skymon_spawn_run *run)
{
	char line[EXEC_MESSAGE_MAX], end[EXEC_WHY];
	exec_clean(run->out, run->out_size);
	struct exec_output output = exec_split(run->out);
	report_details(sm, run, &output);
	exec_first_line(output.message, line, sizeof(line));
	exec_explain(run->code, run->signal, end, sizeof(end));
	if (run->code < 0 || run->code > 3) {
		skymon_reason(sm, SKYMON_FAILED);
		return skymon_unknown(sm, "the program %s%s%s", end, line[0] != '\0' ? ": " : "", line);
	}
	if (line[0] == '\0') /* as with Nagios: why it failed is perhaps on standard error */
		exec_first_line(run->err, line, sizeof(line));
	if (line[0] == '\0')
		snprintf(line, sizeof(line), "the program %s and printed nothing", end);
	switch (run->code) {
	case 0:
		return skymon_healthy(sm, "%s", line);
	case 1:
		return skymon_degraded(sm, "%s", line);
	case 2:
		return skymon_unhealthy(sm, "%s", line);
	default:
		return skymon_unknown(sm, "%s", line);
	}
}
