/* SPDX-License-Identifier: Apache-2.0 */
/* freshness: checks that a file that is written regularly (a backup, an export, a heartbeat) exists, is young
 * and not empty.
 *
 *	components:
 *	  backup: {plugin: freshness, file: /srv/backup/orders.dump, min_size: 1MiB, warn: {age: 26h}, crit:
 *{age: 50h}}
 */
#include <skymon/plugin.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* The options first, then what the check remembers: one struct for each component, zeroed before start. */
struct freshness {
	const char *file;
	struct skymon_bytes min_size;
	struct timespec seen; /* when the file was written, as of the last check */
	uint64_t renewed;
};

static const struct skymon_option options[] = {
	/* The target: while it is empty, as after "${BACKUP_FILE:-}", the component is "not configured" and
	   never runs. A file that a check opens is flagged SKYMON_PATH_READ too; this one only stats it. */
	SKYMON_OPT(struct freshness, file, NULL, "file to watch", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct freshness, min_size, "1", "smallest size of a good file", .min = 0, .max = 1e15),
	{0}};

/* The numbers that `warn` and `crit` may name. The administrator decides how old is too old. */
static const struct skymon_number numbers[] = {
	{"age", "s", "time since the file was written"}, {"size", "bytes", "size of the file"}, {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct freshness *fresh = state;
	struct stat file;

	skymon_step(sm, "stat");
	if (stat(fresh->file, &file) != 0) {
		if (errno == ENOENT) /* we looked, and it is not there */
			return skymon_unhealthy(sm, "%s is missing", fresh->file);
		return skymon_unknown(sm, "%s: %s", fresh->file, strerror(errno)); /* we could not look */
	}
	if (fresh->seen.tv_sec != 0 &&
	    (fresh->seen.tv_sec != file.st_mtim.tv_sec || fresh->seen.tv_nsec != file.st_mtim.tv_nsec))
		fresh->renewed++;
	fresh->seen = file.st_mtim;
	double age = difftime(time(NULL), file.st_mtim.tv_sec);
	skymon_number(sm, "age", age > 0 ? age : 0);
	skymon_number(sm, "size", (double)file.st_size);
	skymon_detail_number(sm, "size_bytes", (double)file.st_size);
	skymon_gauge(sm, "freshness_age_seconds", "Time since the file was written", age > 0 ? age : 0);
	skymon_gauge(sm, "freshness_size_bytes", "Size of the file", (double)file.st_size);
	skymon_counter(sm, "freshness_renewals_total", "Times that the file was seen to be a new one",
		       (double)fresh->renewed);
	return skymon_verdict(sm, file.st_size >= fresh->min_size.count, "%lld bytes, written %.0f s ago",
			      (long long)file.st_size, age);
}

SKYMON_PLUGIN(freshness, "0.1", "Is a file that is written again and again young and whole?",
	      .state_size = sizeof(struct freshness), .options = options, .numbers = numbers, .check = check);
