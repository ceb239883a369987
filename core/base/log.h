/* SPDX-License-Identifier: Apache-2.0 */
/* log: lines to stderr, logfmt or JSON, one write each; never a secret. Owns the level and the format. */
#ifndef LOG_H
#define LOG_H

#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON, LOG_FORMAT_PLAIN /* level and text: skymon run */ };

/* In the order of enum log_level; ends with NULL. */
extern const char *const log_level_words[];

void log_configure(enum log_level level, enum log_format format);
enum log_level log_level(void);
/* Begins each line with its priority (sd-daemon(3)) if stderr is the stream that systemd connected to the
 * journal; stream: JOURNAL_STREAM, "device:inode", or NULL. */
void log_find_journal(const char *stream);

/* Only the daemon's own lines begin with `area=`, on which `grep '^area=audit '` relies: the text of a worker
 * is the value of a later field, in which line breaks are escaped. */

/* Logs one line: area (only as the first field), ts, level, then key=value pairs, given as texts that end
 * with NULL (a NULL value leaves the pair out), then msg. log_line(LOG_LEVEL_INFO, (const char
 * *[]){"component", name, NULL}, "is %s now", word); fields may be NULL. */
void log_line(enum log_level level, const char *const *fields, const char *format, ...) PRINTF(3);
/* Logs a line of area=audit, at every level. */
void log_audit(const char *const *fields, const char *format, ...) PRINTF(2);
void log_line_list(enum log_level level, const char *const *fields, const char *format, va_list list);

#define log_error(...) log_line(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, NULL, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

#endif
