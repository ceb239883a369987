/* SPDX-License-Identifier: Apache-2.0 */
/* Runs out of stack: the handler of the signal needs a stack of its own. */
#include <skymon/plugin.h>
#include <string.h>

static int deeper(volatile char *above)
{
	volatile char here[4096];
	memset((char *)here, 0, sizeof(here));
	if (above[1] == 'x') /* never */
		return 0;
	return deeper(here) + here[17];
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	volatile char start[4096] = {0};
	(void)state;
	skymon_step(sm, "recursing");
	return skymon_healthy(sm, "%d", deeper(start));
}

SKYMON_PLUGIN(t_crash_stack, "1.0", "Recurses without end", .check = check);
