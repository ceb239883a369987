/* SPDX-License-Identifier: Apache-2.0 */
/* Ends its process without a word. */
#include <skymon/plugin.h>
#include <unistd.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)sm;
	(void)state;
	_exit(3);
}

SKYMON_PLUGIN(t_exits_raw, "1.0", "Calls _exit(3)", .check = check);
