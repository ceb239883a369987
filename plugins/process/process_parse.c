/* SPDX-License-Identifier: Apache-2.0 */
/* process_parse: parses /proc and pid files for the check `process`, on its thread. Pure. See
 * process_parse.h. */
#include "process_parse.h"
#include "procfs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool process_parse_stat(const char *text, struct process_stat *out)
{
	/* 12 (name) S parent pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime cutime
	 * cstime priority nice threads 0 start vsize rss …: the name may hold blanks and parentheses, so its
	 * end is the last one. */
	const char *name = strchr(text, '('), *end = strrchr(text, ')');
	*out = (struct process_stat){0};
	if (name == NULL || end == NULL || end <= name || end[1] != ' ')
		return false;
	snprintf(out->name, sizeof(out->name), "%.*s", (int)(end - name - 1), name + 1);
	long long parent, cutime, cstime;
	unsigned long long utime, stime;
	long long threads, start, pages;
	if (sscanf(end + 2,
		   "%c %lld %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %lld %*d %lld "
		   "%*u %lld",
		   &out->state, &parent, &utime, &stime, &cutime, &cstime, &threads, &start, &pages) != 9)
		return false;
	/* The kernel prints these signed: a child's time that overflowed counts as none. */
	if (cutime < 0 || cstime < 0)
		cutime = cstime = 0;
	if (parent < 0 || parent > INT_MAX || threads < 0 || start < 0 || pages < 0)
		return false;
	out->parent = (int)parent;
	out->ticks = utime + stime + (uint64_t)cutime + (uint64_t)cstime;
	out->threads = (uint64_t)threads;
	out->start_ticks = (uint64_t)start;
	out->pages = (uint64_t)pages;
	return true;
}

bool process_parse_files_limit(const char *text, uint64_t *limit)
{
	static const char key[] = "Max open files";
	const char *line = strstr(text, key);
	if (line == NULL)
		return false;
	line += sizeof(key) - 1;
	return procfs_number(&line, limit) && *limit > 0;
}

bool process_parse_pid(const char *text, int *pid)
{
	uint64_t value;
	if (!procfs_number(&text, &value) || value == 0 || value > INT_MAX)
		return false;
	text += strspn(text, " \t\r");
	if (*text != '\n' && *text != '\0')
		return false;
	*pid = (int)value;
	return true;
}

/* Reads the numbers of a line by a pattern: `x` is one in base 16, `d` one in base 10, a blank stands for some, `:` for
 * itself. Ten times as fast as sscanf: a busy server has ten thousand such lines. */
static bool scan_numbers(const char *at, const char *pattern, uint64_t *fields)
{
	for (; *pattern != '\0'; pattern++) {
		if (*pattern == 'x' || *pattern == 'd') {
			uint64_t value = 0, base = *pattern == 'x' ? 16 : 10;
			const char *first = at;
			for (;; at++) {
				unsigned digit = (unsigned)(*at - '0'), letter = (unsigned)((*at | 32) - 'a');
				if (digit > 9 && (base == 10 || letter > 5))
					break;
				value = value * base + (digit <= 9 ? digit : letter + 10);
			}
			if (at == first)
				return false;
			*fields++ = value;
		} else {
			if (*at != *pattern)
				return false;
			at += *pattern == ' ' ? strspn(at, " ") : 1;
		}
	}
	return true;
}

bool process_parse_socket(const char *line, struct process_socket *out)
{
	/* 0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 12345 1 … */
	uint64_t fields[14];
	if (!scan_numbers(line + strspn(line, " "), "d: x:x x:x x x:x x:x x d d d", fields))
		return false;
	*out = (struct process_socket){
		.port = (uint16_t)fields[2], .state = (int)fields[5], .inode = fields[13]};
	return true;
}

bool process_parse_link(const char *text, uint64_t *inode)
{
	if (strncmp(text, "socket:[", 8) != 0)
		return false;
	text += 8;
	return procfs_number(&text, inode) && *text == ']';
}

bool process_unit_name(const char *unit, char *out, size_t size)
{
	const char *suffix = strrchr(unit, '.');
	static const char *const known[] = {".service", ".scope", ".slice", ".socket", ".mount"};
	if (unit[0] == '.' || unit[0] == '\0' || strchr(unit, '/') != NULL)
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (suffix != NULL && strcmp(suffix, known[i]) == 0)
			return (size_t)snprintf(out, size, "%s", unit) < size;
	return (size_t)snprintf(out, size, "%s.service", unit) < size;
}
