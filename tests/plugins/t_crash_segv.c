/* SPDX-License-Identifier: Apache-2.0 */
/* Reads where nothing is. */
#include <skymon/plugin.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	volatile int *volatile nowhere = NULL;
	(void)state;
	skymon_step(sm, "reading address 0");
	return *nowhere == 0 ? skymon_healthy(sm, "zero") : skymon_unhealthy(sm, "not zero");
}

SKYMON_PLUGIN(t_crash_segv, "1.0", "Crashes with SIGSEGV", .check = check);
