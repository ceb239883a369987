/* SPDX-License-Identifier: Apache-2.0 */
/* begin in addition to check: refused. */
#include <skymon/loop.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "checked");
}

static void begin(struct skymon *sm, void *state)
{
	skymon_done(sm, check(sm, state));
}

SKYMON_PLUGIN(t_loop_roles, "1.0", "Has two kinds of check", .check = check, .begin = begin, .cancel = check);
