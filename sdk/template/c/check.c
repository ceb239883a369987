/* SPDX-License-Identifier: Apache-2.0 */
/* @NAME@: is a file that is written again and again there, and not empty? `warn` and `crit` of the configuration
 * say how old it may be. Replace the check by your own. */
#include <skymon/plugin.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct check { const char *file; }; /* one for each component: the options, then what the check remembers */

/* An option that names a folder to read, or a file to write, has SKYMON_PATH_READ or SKYMON_PATH_WRITE too. */
static const struct skymon_option options[] = {
	SKYMON_OPT(struct check, file, NULL, "file to watch", .flags = SKYMON_TARGET), {0}};
static const struct skymon_number numbers[] = {{"age", "s", "time since the file was written"}, {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct check *self = state;
	struct stat file;
	if (stat(self->file, &file) != 0 && errno == ENOENT) /* the check looked, and this is what it found */
		return skymon_unhealthy(sm, "%s is missing", self->file);
	if (stat(self->file, &file) != 0) /* the check could not look */
		return skymon_unknown(sm, "cannot look at %s: %s", self->file, strerror(errno));
	double age = difftime(time(NULL), file.st_mtime);
	skymon_number(sm, "age", age > 0 ? age : 0);
	return skymon_verdict(sm, file.st_size > 0, "%lld bytes, written %.0f s ago", (long long)file.st_size, age);
}

SKYMON_PLUGIN(@NAME@, "0.1", "Is a file there, young and not empty?", .state_size = sizeof(struct check),
	      .options = options, .numbers = numbers, .check = check);
