/* SPDX-License-Identifier: Apache-2.0 */
#include <skymon/plugin.h>
#include <sys/statvfs.h>
struct disk { const char *path; double min_free; };
static const struct skymon_option options[] = {
	SKYMON_OPT(struct disk, path, "/", "file system to watch"),
	SKYMON_OPT(struct disk, min_free, "0.1", "smallest healthy share of free space"),
	{0}
};
static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct disk *d = state;
	struct statvfs fs;
	if (statvfs(d->path, &fs) != 0 || fs.f_blocks == 0)
		return skymon_unknown(sm, "cannot size %s", d->path);
	double share = (double)fs.f_bavail / (double)fs.f_blocks;
	skymon_gauge(sm, "team_disk_free_ratio", "Free share of the file system", share);
	return skymon_verdict(sm, share >= d->min_free, "%.0f %% free", 100 * share);
}
SKYMON_PLUGIN(disk, "1.0", "Free space of a file system", .state_size = sizeof(struct disk),
	.options = options, .check = check);
