/* SPDX-License-Identifier: Apache-2.0 */
/* Aborts, as failed assertions do. */
#include <skymon/plugin.h>
#include <stdlib.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	skymon_step(sm, "giving up");
	abort();
}

SKYMON_PLUGIN(t_crash_abort, "1.0", "Crashes with SIGABRT", .check = check);
