/* SPDX-License-Identifier: Apache-2.0 */
/* host_parse: parses /proc for the check `host`, on its thread. Pure. See host_parse.h. */
#include "host_parse.h"
#include "procfs.h"
#include "text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool host_parse_meminfo(const char *text, struct host_memory *out)
{
	static const char *const keys[] = {"MemTotal:", "MemAvailable:", "SwapTotal:", "SwapFree:"};
	int64_t values[4] = {-1, -1, -1, -1};
	for (const char *line = text; line != NULL && *line != '\0';) {
		for (size_t i = 0; i < 4; i++) {
			size_t length = strlen(keys[i]);
			const char *at = line + length;
			uint64_t kib;
			if (strncmp(line, keys[i], length) == 0 && procfs_number(&at, &kib) &&
			    kib < INT64_MAX / 1024)
				values[i] = (int64_t)kib * 1024;
		}
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	/* Each pair is accepted or dropped by itself: containers and odd kernels report more free than there
	 * is. */
	if (values[0] <= 0 || values[1] > values[0])
		values[0] = values[1] = -1;
	if (values[3] > values[2])
		values[2] = values[3] = -1;
	*out = (struct host_memory){values[0], values[1], values[2], values[3]};
	return values[0] > 0 || values[2] >= 0;
}

bool host_parse_loadavg(const char *text, double load[3])
{
	for (int i = 0; i < 3; i++) {
		char *end;
		load[i] = strtod(text, &end);
		if (end == text || !(load[i] >= 0) || isinf(load[i]))
			return false;
		text = end;
	}
	return true;
}

bool host_parse_files(const char *text, int64_t *open, int64_t *limit)
{
	uint64_t allocated, unused, max;
	if (!procfs_number(&text, &allocated) || !procfs_number(&text, &unused) ||
	    !procfs_number(&text, &max))
		return false;
	if (unused > allocated || allocated > INT64_MAX || max > INT64_MAX || max == 0)
		return false;
	*open = (int64_t)(allocated - unused);
	*limit = (int64_t)max;
	return true;
}

bool host_parse_stat(const char *text, struct host_cpu *out)
{
	*out = (struct host_cpu){0};
	if (strncmp(text, "cpu ", 4) != 0)
		return false;
	const char *at = text + 4;
	/* Kernels before 2.6.11 and some containers have fewer modes; user to idle are required. */
	for (int i = 0; i < HOST_MODES; i++)
		if (!procfs_number(&at, &out->ticks[i])) {
			if (i <= HOST_IDLE)
				return false;
			break;
		}
	for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line + 1, '\n'))
		if (strncmp(line + 1, "cpu", 3) == 0 && line[4] >= '0' && line[4] <= '9')
			out->cpus++;
	return out->cpus > 0;
}

bool host_parse_pressure(const char *text, struct host_pressure *out)
{
	unsigned long long total_us;
	if (sscanf(text, "some avg10=%lf avg60=%*f avg300=%*f total=%llu", &out->some, &total_us) != 2)
		return false;
	out->some /= 100;
	out->waited_seconds = (double)total_us / 1e6;
	return out->some >= 0 && out->some <= 1;
}

bool host_cpu_used(const struct host_cpu *before, const struct host_cpu *now, double *used)
{
	int64_t all = 0, idle = 0;
	for (int i = 0; i < HOST_MODES; i++) {
		int64_t ticks = (int64_t)(now->ticks[i] - before->ticks[i]);
		if (ticks < 0) /* the kernel's iowait can decrease slightly */
			ticks = 0;
		all += ticks;
		if (i == HOST_IDLE || i == HOST_IOWAIT)
			idle += ticks;
	}
	if (before->cpus == 0 || all < 10 * (int64_t)now->cpus)
		return false;
	*used = (double)(all - idle) / (double)all;
	return true;
}

/* Copies a field of mountinfo, where blank, tab, newline and backslash are written \ooo. Returns false if it
 * does not fit. */
static bool unescape(const char *field, size_t length, char *out, size_t size)
{
	size_t used = 0;
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)field[i];
		if (byte == '\\' && i + 3 < length) {
			byte = (unsigned char)((field[i + 1] - '0') << 6 | (field[i + 2] - '0') << 3 |
					       (field[i + 3] - '0'));
			i += 3;
		}
		if (used + 1 >= size)
			return false;
		out[used++] = (char)byte;
	}
	out[used] = '\0';
	return true;
}

/* Read-only images are always full; a FUSE mount is served by a program that may hang. */
static bool is_disk(const char *type, const struct host_mount *mount)
{
	static const char *const never[] = {"squashfs", "iso9660", "erofs", "cramfs",
					    "udf",      "romfs",   "autofs"};
	if (strcmp(mount->path, "/") == 0)
		return true;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (strcmp(type, never[i]) == 0)
			return false;
	if (strcmp(type, "zfs") == 0 || strcmp(type, "bcachefs") == 0)
		return true;
	return strncmp(mount->source, "/dev/", 5) == 0 && strncmp(type, "fuse.", 5) != 0 &&
	       strcmp(type, "fuse") != 0;
}

/* Parses a line such as "27 1 254:0 / /data rw,relatime shared:1 - ext4 /dev/vda rw": the optional fields end
 * with
 * "-". */
static bool parse_mount(const char *line, struct host_mount *mount, char *type, size_t type_size)
{
	const char *fields[9] = {0};
	size_t lengths[9] = {0}, count = 0;
	for (const char *at = line; count < 9 && *at != '\0' && *at != '\n';) {
		size_t length = strcspn(at, " \n");
		bool dash = length == 1 && *at == '-';
		if (count < 6 || (count == 6 && dash) || count > 6) {
			fields[count] = at;
			lengths[count++] = length;
		}
		at += length;
		at += strspn(at, " ");
	}
	if (count < 9)
		return false;
	mount->whole = lengths[3] == 1 && *fields[3] == '/';
	return unescape(fields[2], lengths[2], mount->device, sizeof(mount->device)) &&
	       unescape(fields[4], lengths[4], mount->path, sizeof(mount->path)) &&
	       unescape(fields[7], lengths[7], type, type_size) &&
	       unescape(fields[8], lengths[8], mount->source, sizeof(mount->source));
}

static void forget(struct host_mounts *mounts, size_t i)
{
	memmove(&mounts->items[i], &mounts->items[i + 1], (mounts->count - i - 1) * sizeof(mounts->items[0]));
	mounts->count--;
}

void host_mounts_add(struct host_mounts *mounts, const char *line)
{
	struct host_mount mount;
	char type[64];
	if (!parse_mount(line, &mount, type, sizeof(type)))
		return;
	/* A later mount on the same folder hides the earlier one, of any type. */
	for (size_t i = 0; i < mounts->count; i++)
		if (strcmp(mounts->items[i].path, mount.path) == 0)
			forget(mounts, i--);
	if (!is_disk(type, &mount))
		return;
	for (size_t i = 0; i < mounts->count; i++) {
		struct host_mount *other = &mounts->items[i];
		bool same =
			strcmp(other->device, mount.device) == 0 ||
			(strncmp(mount.source, "/dev/", 5) == 0 && strcmp(other->source, mount.source) == 0);
		if (!same)
			continue;
		if (mount.whole && !other->whole)
			*other = mount;
		return;
	}
	if (mounts->count == HOST_MOUNTS_MAX) {
		mounts->cut = true;
		return;
	}
	mounts->items[mounts->count++] = mount;
}

void host_json_text(const char *text, char *out)
{
	const unsigned char *p = (const unsigned char *)text;
	*out++ = '"';
	while (*p != '\0') {
		size_t length = text_character((const char *)p, SIZE_MAX);
		if (length == 0) {
			*out++ = '?';
			p++;
		} else if (*p < 0x20 || *p == 0x7f) {
			out += sprintf(out, "\\u%04x", *p++);
		} else {
			if (*p == '"' || *p == '\\')
				*out++ = '\\';
			memcpy(out, p, length);
			out += length;
			p += length;
		}
	}
	*out++ = '"';
	*out = '\0';
}
