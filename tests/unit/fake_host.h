/* SPDX-License-Identifier: Apache-2.0 */
/* fake_host: the host of a plugin under test. It records the plugin's reports, one line each, for comparison.
 * The core's runner is not needed, so that a test covers the plugin alone. One host at a time, on one thread.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <skymon/plugin.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	char message[600], step[200], text[1 << 16]; /* text: "number NAME VALUE\n", "detail KEY TEXT\n",
							"metric NAME{a="b"} VALUE\n" */
	size_t used;
	int reason, mistakes;
	int64_t ms_left;
} fake;

static void fake_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void fake_line(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fake.used += (size_t)vsnprintf(fake.text + fake.used, sizeof(fake.text) - fake.used, format, list);
	va_end(list);
	if (fake.used >= sizeof(fake.text))
		abort();
}

static void fake_log(struct skymon *sm, int level, const char *text, size_t size)
{
	(void)sm;
	fake_line("log %d %.*s\n", level, (int)size, text);
}
static void fake_say(struct skymon *sm, const char *text, size_t size)
{
	(void)sm;
	snprintf(fake.message, sizeof(fake.message), "%.*s", (int)size, text);
}
static void fake_reason(struct skymon *sm, int reason)
{
	(void)sm;
	fake.reason = reason;
}
static void fake_detail_text(struct skymon *sm, const char *key, const char *text, size_t size)
{
	(void)sm;
	fake_line("detail %s %.*s\n", key, (int)size, text);
}
static void fake_detail_number(struct skymon *sm, const char *key, double value)
{
	(void)sm;
	fake_line("detail %s %.17g\n", key, value);
}
static void fake_detail_boolean(struct skymon *sm, const char *key, bool value)
{
	(void)sm;
	fake_line("detail %s %s\n", key, value ? "true" : "false");
}
static void fake_detail_json(struct skymon *sm, const char *key, const char *json)
{
	(void)sm;
	fake_line("detail %s %s\n", key, json);
}
static void fake_set_number(struct skymon *sm, const char *name, double value)
{
	(void)sm;
	fake_line("number %s %.17g\n", name, value);
}
static void fake_sample(struct skymon *sm, const struct skymon_sample *sample)
{
	(void)sm;
	fake_line("help %s %s\ntype %s %s\nmetric %s", sample->name, sample->help, sample->name,
		  sample->type == SKYMON_COUNTER ? "counter" : "gauge", sample->name);
	for (size_t i = 0; i < sample->label_count; i++)
		fake_line("%s%s=\"%s\"%s", i == 0 ? "{" : ",", sample->labels[i].name,
			  sample->labels[i].value, i + 1 == sample->label_count ? "}" : "");
	fake_line(" %.17g\n", sample->value);
}
static int64_t fake_ms_left(struct skymon *sm)
{
	(void)sm;
	return fake.ms_left;
}
static void fake_step(struct skymon *sm, const char *step)
{
	(void)sm;
	snprintf(fake.step, sizeof(fake.step), "%s", step);
}

static void fake_invalid(struct skymon *sm, const char *option, const char *text, size_t size)
{
	(void)sm;
	fake.mistakes++;
	snprintf(fake.message, sizeof(fake.message), "%s %.*s", option, (int)size, text);
}

static const char *fake_state_dir(struct skymon *sm)
{
	(void)sm;
	return "";
}

static struct skymon *fake_new_run(void)
{
	static const struct skymon_host host = {.size = sizeof(host),
						.log = fake_log,
						.say = fake_say,
						.reason = fake_reason,
						.detail_text = fake_detail_text,
						.detail_number = fake_detail_number,
						.detail_boolean = fake_detail_boolean,
						.detail_json = fake_detail_json,
						.number = fake_set_number,
						.sample = fake_sample,
						.ms_left = fake_ms_left,
						.state_dir = fake_state_dir,
						.step = fake_step,
						.invalid = fake_invalid};
	static struct skymon sm = {&host};
	memset(&fake, 0, sizeof(fake));
	fake.ms_left = 5000;
	return &sm;
}

/* Validates, then starts, as the runner does. */
static __attribute__((unused)) bool fake_start(const struct skymon_plugin *plugin, struct skymon *sm,
					       void *state)
{
	fake.mistakes = 0;
	if (plugin->validate != NULL)
		plugin->validate(sm, state);
	return fake.mistakes == 0 && (plugin->start == NULL || plugin->start(sm, state));
}

/* Returns the rest of the last line that begins with "KIND NAME "; NULL if there is none. Valid until the
 * next call. */
static const char *fake_find(const char *kind, const char *name)
{
	static char found[2048];
	char start[200];
	const char *last = NULL;
	size_t length = (size_t)snprintf(start, sizeof(start), "%s %s ", kind, name);

	for (const char *line = fake.text; *line != '\0'; line = strchr(line, '\n') + 1)
		if (strncmp(line, start, length) == 0)
			last = line + length;
	if (last == NULL)
		return NULL;
	snprintf(found, sizeof(found), "%.*s", (int)strcspn(last, "\n"), last);
	return found;
}

/* Returns -1 if the number was not reported. */
static __attribute__((unused)) double fake_number(const char *name)
{
	const char *text = fake_find("number", name);
	return text != NULL ? strtod(text, NULL) : -1;
}

/* Asserts that every reported number is declared. */
static __attribute__((unused)) bool fake_numbers_declared(const struct skymon_number *numbers)
{
	bool all = true;
	for (const char *line = fake.text; *line != '\0'; line = strchr(line, '\n') + 1) {
		const struct skymon_number *number = numbers;
		if (strncmp(line, "number ", 7) != 0)
			continue;
		size_t length = strcspn(line + 7, " ");
		while (number->name != NULL &&
		       (strlen(number->name) != length || strncmp(number->name, line + 7, length) != 0))
			number++;
		if (number->name == NULL) {
			fprintf(stderr, "not declared: %.*s\n", (int)length, line + 7);
			all = false;
		}
	}
	return all;
}

#endif
