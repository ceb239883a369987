/* SPDX-License-Identifier: Apache-2.0 */
/* Burns a core and never returns. */
#include <skymon/plugin.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	volatile unsigned long turns = 0;
	(void)state;
	skymon_step(sm, "spinning");
	while (++turns != 0) /* years */
		;
	return skymon_unknown(sm, "stopped spinning");
}

SKYMON_PLUGIN(t_spin, "1.0", "Spins", .check = check);
