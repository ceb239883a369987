/* SPDX-License-Identifier: Apache-2.0 */
/* An option with a flag that there is not. */
#include <skymon/plugin.h>

struct state {
	bool given;
};
static const struct skymon_option options[] = {
	SKYMON_OPT(struct state, given, "true", "anything", .flags = 0x4000), {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never");
}

SKYMON_PLUGIN(t_option_flags, "1.0", "Wrong", .state_size = sizeof(struct state), .options = options,
	      .check = check);
