/* SPDX-License-Identifier: Apache-2.0 */
/* Never returns, and ignores the deadline; with `file` only when that file exists at the check's start. */
#include <skymon/plugin.h>
#include <unistd.h>

struct hang {
	const char *file;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct hang, file, "", "hang only when this file exists; empty: always"), {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct hang *hang = state;
	if (hang->file[0] != '\0' && access(hang->file, F_OK) != 0)
		return skymon_healthy(sm, "did not hang");
	skymon_step(sm, "hanging");
	for (;;)
		pause();
}

SKYMON_PLUGIN(t_hang, "1.0", "Never returns", .state_size = sizeof(struct hang), .options = options,
	      .check = check);
