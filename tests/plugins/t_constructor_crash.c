/* SPDX-License-Identifier: Apache-2.0 */
/* Crashes when it is opened. */
#include <skymon/plugin.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void construct(void)
{
	volatile int *volatile nowhere = NULL;
	*nowhere = 1;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never reached");
}

SKYMON_PLUGIN(t_constructor_crash, "1.0", "Crashes in its constructor", .check = check);
