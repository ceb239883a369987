/* SPDX-License-Identifier: Apache-2.0 */
/* page_text: a growing text, and what is printed into it: markup, escaped foreign texts, times. Called by the
 * plugin's other files, on the HTTP thread. Owns nothing. */
#include "page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void add(struct text *out, const char *bytes, size_t size)
{
	if (out->room - out->size < size) {
		size_t room = out->room < 4096 ? 4096 : out->room * 2;
		out->room = room < out->size + size ? out->size + size : room;
		out->data = realloc(out->data, out->room);
		if (out->data == NULL)
			abort();
	}
	if (size > 0)
		memcpy(out->data + out->size, bytes, size);
	out->size += size;
}

void text_put(struct text *out, const char *markup)
{
	add(out, markup, strlen(markup));
}

void text_format(struct text *out, const char *format, ...)
{
	char line[512];
	va_list list;
	va_start(list, format);
	int size = vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	if (size > 0)
		add(out, line, (size_t)size < sizeof(line) ? (size_t)size : sizeof(line) - 1);
}

static const char *escape_of(unsigned char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return c < ' ' || c == 0x7f ? " " : NULL;
	}
}

void text_escape(struct text *out, const char *foreign)
{
	const char *plain = foreign;
	for (; *foreign != '\0'; foreign++) {
		const char *as = escape_of((unsigned char)*foreign);
		if (as == NULL)
			continue;
		add(out, plain, (size_t)(foreign - plain));
		text_put(out, as);
		plain = foreign + 1;
	}
	add(out, plain, (size_t)(foreign - plain));
}

void text_duration(struct text *out, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		/* two of a unit, so that it is never off by more than a half: 90 min rather than 1 h */
		if (ms >= 2 * units[i].ms || (units[i].ms == 1000 && ms >= 1000)) {
			text_format(out, "%lld %s", (long long)(ms / units[i].ms), units[i].unit);
			return;
		}
	text_put(out, ms > 0 ? "1 s" : "0 s");
}

/* Prints a moment in UTC by a format of strftime. */
static void put_moment(struct text *out, const char *format, int64_t ms)
{
	time_t second = (time_t)(ms / 1000);
	struct tm tm;
	char moment[100];
	if (gmtime_r(&second, &tm) != NULL && strftime(moment, sizeof(moment), format, &tm) > 0)
		text_put(out, moment);
}

void text_clock(struct text *out, int64_t ms)
{
	put_moment(out, "<time datetime=\"%Y-%m-%dT%H:%M:%SZ\">%Y-%m-%d %H:%M:%S UTC</time>", ms);
}

void text_time(struct text *out, int64_t ms, int64_t now_ms)
{
	if (ms == 0) {
		text_put(out, "\u2013");
		return;
	}
	put_moment(out, "<time datetime=\"%Y-%m-%dT%H:%M:%SZ\" title=\"%Y-%m-%d %H:%M:%S UTC\">", ms);
	if (ms > now_ms)
		text_put(out, "in ");
	text_duration(out, ms > now_ms ? ms - now_ms : now_ms - ms);
	text_put(out, ms > now_ms ? "</time>" : " ago</time>");
}
