/* SPDX-License-Identifier: Apache-2.0 */
/* host_parse: parses the files of /proc that the check `host` reads. Pure: no file, no clock. */
#ifndef HOST_PARSE_H
#define HOST_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_MOUNTS_MAX 64
#define HOST_PATH_MAX 512

struct host_memory {
	/* bytes; -1 if the kernel's value is missing or nonsense */
	int64_t size, available, swap_size, swap_free;
};

enum host_mode {
	HOST_USER,
	HOST_NICE,
	HOST_SYSTEM,
	HOST_IDLE,
	HOST_IOWAIT,
	HOST_IRQ,
	HOST_SOFTIRQ,
	HOST_STEAL,
	HOST_MODES
};
struct host_cpu {
	uint64_t ticks[HOST_MODES]; /* of all CPUs together, since boot; `user` and `nice` hold guest time too
				     */
	unsigned cpus;
};

struct host_pressure {
	double some;           /* share of the last 10 s in which at least one task waited; 0..1 */
	double waited_seconds; /* since boot */
};

struct host_mount {
	char path[HOST_PATH_MAX];
	char device[128]; /* major:minor */
	char source[HOST_PATH_MAX];
	bool whole; /* the root of its file system, not a folder or file of it mounted elsewhere */
};

struct host_mounts {
	struct host_mount items[HOST_MOUNTS_MAX];
	size_t count;
	bool cut; /* there were more than fit */
};

/* Each returns false, with *out undefined, if the text is not in the kernel's format. */
bool host_parse_meminfo(const char *text, struct host_memory *out);
bool host_parse_loadavg(const char *text, double load[3]);
bool host_parse_files(const char *text, int64_t *open, int64_t *limit);
bool host_parse_stat(const char *text, struct host_cpu *out); /* the text may be cut after the cpu lines */
bool host_parse_pressure(const char *text, struct host_pressure *out);

/* Computes the busy share of all CPUs between two readings. Returns false if they are too close (under 10
 * ticks for each CPU). */
bool host_cpu_used(const struct host_cpu *before, const struct host_cpu *now, double *used);

/* Takes one line of /proc/self/mountinfo. Adds the mount if it is a local file system: backed by a device (or
 * the root, on any backing), not a read-only image that is always full (squashfs, iso9660), and each file
 * system once. */
void host_mounts_add(struct host_mounts *mounts, const char *line);

/* Writes text as a JSON string; bytes that are not UTF-8 become '?'. out holds at least 6 * strlen(text) + 3
 * bytes. */
void host_json_text(const char *text, char *out);

#endif
