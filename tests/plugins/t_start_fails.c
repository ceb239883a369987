/* SPDX-License-Identifier: Apache-2.0 */
/* Cannot be started; with `until`, only as long as that file does not exist. */
#include <skymon/plugin.h>
#include <unistd.h>

struct start_fails {
	const char *until;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct start_fails, until, "", "start well once this file exists; empty: never"), {0}};

static bool start(struct skymon *sm, void *state)
{
	const struct start_fails *fails = state;
	if (fails->until[0] != '\0' && access(fails->until, F_OK) == 0)
		return true;
	skymon_reason(sm, SKYMON_RESOURCE);
	skymon_unknown(sm, "cannot start: no more tea");
	return false;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "started at last");
}

SKYMON_PLUGIN(t_start_fails, "1.0", "Fails to start", .state_size = sizeof(struct start_fails),
	      .options = options, .start = start, .check = check);
