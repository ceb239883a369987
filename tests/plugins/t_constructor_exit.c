/* SPDX-License-Identifier: Apache-2.0 */
/* Ends the process when it is opened. */
#include <skymon/plugin.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void construct(void)
{
	exit(0);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never reached");
}

SKYMON_PLUGIN(t_constructor_exit, "1.0", "Exits in its constructor", .check = check);
