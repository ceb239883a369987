/* SPDX-License-Identifier: Apache-2.0 */
/* Its start, or its stop, never returns, if its options say so. */
#include <skymon/plugin.h>
#include <unistd.h>

struct start {
	bool hang, hang_stop;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct start, hang, "false", "whether its start hangs"),
	SKYMON_OPT(struct start, hang_stop, "false", "whether its stop hangs"),
	{0}};

static bool start(struct skymon *sm, void *state)
{
	const struct start *told = state;
	skymon_step(sm, "hanging in its start");
	while (told->hang)
		pause();
	return true;
}

static void stop(struct skymon *sm, void *state)
{
	const struct start *told = state;
	skymon_step(sm, "hanging in its stop");
	while (told->hang_stop)
		pause();
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "started");
}

SKYMON_PLUGIN(t_start_hangs, "1.0", "Hangs when started", .state_size = sizeof(struct start),
	      .options = options, .start = start, .stop = stop, .check = check);
