/* SPDX-License-Identifier: Apache-2.0 */
/* Healthy, always. */
#include <skymon/plugin.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "%s is fine", skymon_name(sm));
}

SKYMON_PLUGIN(t_ok, "1.0", "Always healthy", .check = check);
