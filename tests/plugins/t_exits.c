/* SPDX-License-Identifier: Apache-2.0 */
/* Ends its process the polite way. */
#include <skymon/plugin.h>
#include <stdlib.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	skymon_step(sm, "leaving");
	exit(3);
}

SKYMON_PLUGIN(t_exits, "1.0", "Calls exit(3)", .check = check);
