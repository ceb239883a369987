/* SPDX-License-Identifier: Apache-2.0 */
/* log: prints lines to stderr, as logfmt or JSON. Called everywhere in the daemon and in the tools, each of
 * which logs from one thread. Owns the level and the format. */
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

const char *const log_level_words[] = {"error", "warn", "info", "debug", NULL};

static bool to_journal; /* stderr is the journal: lines begin with their priority */
static enum log_level level_now = LOG_LEVEL_INFO;
static enum log_format format_now = LOG_FORMAT_LOGFMT;

void log_configure(enum log_level level, enum log_format format)
{
	level_now = level;
	format_now = format;
}

void log_find_journal(const char *stream)
{
	unsigned long long device, inode;
	struct stat file;
	to_journal = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		     fstat(STDERR_FILENO, &file) == 0 && file.st_dev == (dev_t)device &&
		     file.st_ino == (ino_t)inode;
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

/* stderr may be a pipe whose reader has stalled. Never block on it: drop lines that do not fit, and count
 * them. A line of which only a part was written is ended before the next, so that each begins a line. */
static void put(const struct buf *line)
{
	static unsigned long dropped;
	static bool cut;
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	for (size_t at = 0; at < line->size;) {
		if (poll(&out, 1, 0) == 0) {
			dropped++;
			cut = cut || at > 0;
			return;
		}
		if (cut && write(STDERR_FILENO, "\n", 1) == 1)
			cut = false;
		size_t size = line->size - at < PIPE_BUF ? line->size - at : PIPE_BUF;
		ssize_t written = write(STDERR_FILENO, line->data + at, size);
		if (written < 0)
			return; /* no other place is left to report it */
		at += (size_t)written;
	}
	if (dropped > 0 && poll(&out, 1, 0) > 0) {
		unsigned long count = dropped;
		dropped = 0;
		log_warn("%lu lines of this log were dropped, because its reader did not keep up", count);
	}
}

static void print_line(const char *area, enum log_level level, const char *const *fields, const char *format,
		       va_list list)
{
	char text[2048], stamp[25];
	vsnprintf(text, sizeof(text), format, list);
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	time_print((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, stamp);
	static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"}; /* of syslog, as above */
	struct buf line = {0};
	if (format_now == LOG_FORMAT_PLAIN) {
		buf_printf(&line, "%s: %s\n", log_level_words[level], text);
		put(&line);
		buf_free(&line);
		return;
	}
	if (format_now == LOG_FORMAT_JSON)
		buf_text(&line, "{");
	add_pair(&line, "area", area);
	add_pair(&line, "ts", stamp);
	add_pair(&line, "level", log_level_words[level]);
	for (; fields != NULL && fields[0] != NULL; fields += 2)
		add_pair(&line, fields[0], fields[1]);
	add_pair(&line, "msg", text);
	buf_text(&line, format_now == LOG_FORMAT_JSON ? "}\n" : "\n");
	if (to_journal) {
		struct buf whole = {0};
		buf_text(&whole, priorities[level]);
		buf_add(&whole, line.data, line.size);
		put(&whole);
		buf_free(&whole);
	} else {
		put(&line);
	}
	buf_free(&line);
}

void log_line_list(enum log_level level, const char *const *fields, const char *format, va_list list)
{
	if (level > level_now)
		return;
	bool area = fields != NULL && fields[0] != NULL && strcmp(fields[0], "area") == 0;
	print_line(area ? fields[1] : NULL, level, area ? fields + 2 : fields, format, list);
}

void log_audit(const char *const *fields, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	print_line("audit", LOG_LEVEL_INFO, fields, format, list);
	va_end(list);
}

void log_line(enum log_level level, const char *const *fields, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	log_line_list(level, fields, format, list);
	va_end(list);
}
