/* SPDX-License-Identifier: Apache-2.0 */
/* Never comes back from being opened. */
#include <skymon/plugin.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void construct(void)
{
	for (;;)
		pause();
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never reached");
}

SKYMON_PLUGIN(t_constructor_hang, "1.0", "Hangs in its constructor", .check = check);
