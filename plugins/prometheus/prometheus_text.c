/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_text: a growing text, and printing of names, numbers and heads into it. Called by the plugin's
 * other files, on the HTTP thread. Owns nothing. */
#include "prometheus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void *make(size_t size)
{
	void *memory = calloc(1, size > 0 ? size : 1);
	if (memory == NULL)
		abort();
	return memory;
}

void *grow(void *old, size_t *room, size_t need, size_t size)
{
	if (need <= *room)
		return old;
	size_t more = *room < 16 ? 16 : *room * 2;
	*room = more < need ? need : more;
	void *memory = realloc(old, *room * size);
	if (memory == NULL)
		abort();
	return memory;
}

char *copy(const char *text)
{
	size_t size = strlen(text) + 1;
	return memcpy(make(size), text, size);
}

void text_add(struct text *out, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	out->data = grow(out->data, &out->room, out->size + size, 1);
	memcpy(out->data + out->size, bytes, size);
	out->size += size;
}

void text_put(struct text *out, const char *text)
{
	text_add(out, text, strlen(text));
}

static void put_escaped(struct text *out, const char *value, const char *special)
{
	for (;;) {
		size_t plain = strcspn(value, special);
		text_add(out, value, plain);
		value += plain;
		if (*value == '\0')
			return;
		text_put(out, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\");
		value++;
	}
}

void text_escaped(struct text *out, const char *value)
{
	put_escaped(out, value, "\\\"\n");
}

void text_label(struct text *out, const char *before, const char *value)
{
	text_put(out, before);
	text_escaped(out, value);
	text_put(out, "\"");
}

void text_unsigned(struct text *out, uint64_t value)
{
	char digits[24];
	size_t at = sizeof(digits);
	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	text_add(out, digits + at, sizeof(digits) - at);
}

static void put_fraction(struct text *out, int64_t value, int64_t unit)
{
	if (value < 0)
		value = 0;
	text_unsigned(out, (uint64_t)(value / unit));
	char digits[24];
	size_t count = 0;
	digits[count++] = '.';
	for (int64_t rest = value % unit; rest > 0; rest %= unit) {
		unit /= 10;
		digits[count++] = (char)('0' + rest / unit);
	}
	if (count > 1)
		text_add(out, digits, count);
}

void text_seconds_of_ms(struct text *out, int64_t ms)
{
	put_fraction(out, ms, 1000);
}

void text_seconds_of_us(struct text *out, int64_t us)
{
	put_fraction(out, us, 1000000);
}

void text_number(struct text *out, struct skymon *sm, double value)
{
	char digits[32];
	if (value >= 0 && value < 9007199254740992.0 && value == floor(value))
		text_unsigned(out, (uint64_t)value);
	else
		text_add(out, digits, skymon_print(sm, value, digits, sizeof(digits)));
}

void text_head(struct text *out, enum format format, const char *name, int type, const char *help)
{
	size_t size = strlen(name);
	if (format == FORMAT_OPENMETRICS && type == SKYMON_COUNTER)
		size -= strlen("_total"); /* OpenMetrics' name of the family is without it */
	text_put(out, "# HELP ");
	text_add(out, name, size);
	text_put(out, " ");
	put_escaped(out, help, format == FORMAT_OPENMETRICS ? "\\\"\n" : "\\\n");
	text_put(out, "\n# TYPE ");
	text_add(out, name, size);
	text_put(out, type == SKYMON_COUNTER ? " counter\n"
		      : type == SKYMON_GAUGE ? " gauge\n"
					     : " histogram\n");
}
