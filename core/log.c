/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

static enum log_level level_now = LOG_LEVEL_INFO;
static enum log_format format_now = LOG_FORMAT_LOGFMT;

void log_configure(enum log_level level, enum log_format format)
{
	level_now = level;
	format_now = format;
}

enum log_level log_level(void)
{
	return level_now;
}

/* logfmt quotes what holds a space, a quote or an equals sign; JSON's string is a valid logfmt string. */
static void add_value(struct buf *line, const char *value)
{
	bool plain = value[0] != '\0';
	for (const char *at = value; *at != '\0' && plain; at++)
		plain = *at > ' ' && *at < 0x7F && *at != '"' && *at != '=' && *at != '\\';
	if (plain && format_now == LOG_FORMAT_LOGFMT)
		buf_text(line, value);
	else
		buf_json(line, value);
}

static void add_pair(struct buf *line, const char *key, const char *value)
{
	if (value == NULL)
		return;
	if (format_now == LOG_FORMAT_JSON) {
		buf_text(line, line->size > 1 ? "," : "");
		buf_json(line, key);
		buf_text(line, ":");
	} else {
		buf_printf(line, "%s%s=", line->size > 0 ? " " : "", key);
	}
	add_value(line, value);
}

/* Whoever reads our stderr may stop reading: nobody waits for him. What does not fit is dropped, and counted
 * when there is room again. */
static void put(const struct buf *line)
{
	static unsigned long dropped;
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	for (size_t at = 0; at < line->size;) {
		if (poll(&out, 1, 0) == 0) {
			dropped++;
			return;
		}
		size_t size = line->size - at < PIPE_BUF ? line->size - at : PIPE_BUF;
		ssize_t written = write(STDERR_FILENO, line->data + at, size);
		if (written < 0)
			return; /* a log that cannot be written cannot be told to anybody */
		at += (size_t)written;
	}
	if (dropped > 0 && poll(&out, 1, 0) > 0) {
		unsigned long count = dropped;
		dropped = 0;
		log_warn("%lu lines of this log were dropped, because nobody read it", count);
	}
}

void log_line_list(enum log_level level, const char *const *fields, const char *format, va_list list)
{
	static const char *const words[] = {"error", "warn", "info", "debug"};
	if (level > level_now)
		return;
	char text[2048], stamp[25];
	vsnprintf(text, sizeof(text), format, list);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	time_print((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, stamp);
	struct buf line = {0};
	if (format_now == LOG_FORMAT_JSON)
		buf_text(&line, "{");
	add_pair(&line, "ts", stamp);
	add_pair(&line, "level", words[level]);
	for (; fields != NULL && fields[0] != NULL; fields += 2)
		add_pair(&line, fields[0], fields[1]);
	add_pair(&line, "msg", text);
	buf_text(&line, format_now == LOG_FORMAT_JSON ? "}\n" : "\n");
	put(&line);
	buf_free(&line);
}

void log_line(enum log_level level, const char *const *fields, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	log_line_list(level, fields, format, list);
	va_end(list);
}
