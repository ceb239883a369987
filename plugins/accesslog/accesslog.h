/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog: shared by the files of the plugin: the format of a line, the file that is followed, the sliding window. */
#ifndef ACCESSLOG_H
#define ACCESSLOG_H

#include <skymon/plugin.h>
#include <stdio.h>
#include <sys/types.h>

#include "quantile.h"

#define ACCESSLOG_LINE_MAX (64 * 1024)
#define ACCESSLOG_WHY 160

/* ---- accesslog_format.c: pure ---- */

#define ACCESSLOG_PARTS_MAX 40
enum accesslog_field { ACCESSLOG_OTHER, ACCESSLOG_STATUS, ACCESSLOG_SECONDS, ACCESSLOG_MS, ACCESSLOG_US };
/* A template: each part is a field and the literal text behind it. */
struct accesslog_format {
	bool json;
	const char *status_key, *time_key; /* of JSON */
	enum accesslog_field time_field;   /* of JSON: the unit */
	char text[1024];                   /* of the literals, each ended by '\0' */
	const char *before;                /* the literal before the first field */
	struct {
		enum accesslog_field field;
		const char *behind;
	} parts[ACCESSLOG_PARTS_MAX];
	size_t count;
};
struct accesslog_line {
	int status;
	double seconds; /* -1 if the line has none */
};
/* fields: of JSON, field → key. Returns false with why, which continues after the option's name. */
bool accesslog_format_parse(const char *format, const struct skymon_map *fields, struct accesslog_format *out,
			    char why[ACCESSLOG_WHY]);
/* Parses a line, which ends with '\0' in place of its newline. */
bool accesslog_line_parse(const struct accesslog_format *format, const char *line, size_t size,
			  struct accesslog_line *out);

/* ---- accesslog_window.c: pure ---- */

#define ACCESSLOG_SLOTS 60
struct accesslog_slot {
	int64_t number; /* of the time that it is for */
	uint32_t requests, errors, timed;
	double seconds;
	struct quantile times;
};
struct accesslog_window {
	int64_t slot_ms;
	struct accesslog_slot slots[ACCESSLOG_SLOTS];
};
struct accesslog_sums {
	uint64_t requests, errors, timed;
	double seconds, p50, p95, p99;
};
void accesslog_window_add(struct accesslog_window *window, int64_t now_ms, const struct accesslog_line *line);
void accesslog_window_sum(const struct accesslog_window *window, int64_t now_ms, struct accesslog_sums *sums);

/* ---- accesslog_follow.c ---- */

#define ACCESSLOG_FILES_MAX 16
/* A file that is read, or has to be read to its end. print: a hash of its first bytes, by which a copy, or that it was replaced in
 * place, is recognized. */
struct accesslog_file {
	int fd;
	uint64_t device, inode, offset, print;
	uint32_t print_size;
	int64_t until_ms; /* a file that was rotated away is read until then: its writer may not have noticed yet */
};
struct accesslog_totals {
	uint64_t classes[6]; /* by the first digit of the status */
	uint64_t timed, malformed, gaps;
	double seconds;
};
struct accesslog_follow {
	const char *path;
	char *state; /* where positions and totals are kept; NULL if nowhere */
	struct accesslog_file
		files[ACCESSLOG_FILES_MAX]; /* in the order of their lines; the last one is at path */
	size_t count;
	bool resumed;
	int64_t missing_ms; /* since when the path has no file; 0 if it has one */
	struct accesslog_totals totals;
	char *block; /* ACCESSLOG_LINE_MAX bytes */
};
typedef void accesslog_take(void *arg, char *line, size_t size);
/* Reads what has been written since the last call, file by file, until the time is over. *behind: bytes that are left. Returns false with
 * errno if there is nothing to read at path. */
bool accesslog_follow_read(struct skymon *sm, struct accesslog_follow *follow, accesslog_take *take,
			   void *arg, uint64_t *behind);
/* Writes positions and totals, which belong together: lines after a position are not in its totals. */
bool accesslog_follow_save(const struct accesslog_follow *follow);
void accesslog_follow_close(struct accesslog_follow *follow);

#endif
