/* Its start never returns, if it is told so. */
#include <skymon/plugin.h>
#include <unistd.h>

struct start {
	bool hang;
};

static const struct skymon_option options[] = {SKYMON_OPT(struct start, hang, "false", "whether to hang"),
					       {0}};

static bool start(struct skymon *sm, void *state)
{
	const struct start *told = state;
	skymon_step(sm, "hanging in its start");
	while (told->hang)
		pause();
	return true;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "started");
}

SKYMON_PLUGIN(t_start_hangs, "1.0", "Hangs when started", .state_size = sizeof(struct start),
	      .options = options, .start = start, .check = check);
