/* SPDX-License-Identifier: Apache-2.0 */
/* A declared number whose name is reserved. */
#include <skymon/plugin.h>

static const struct skymon_number numbers[] = {
	{"fine", "", "fine"}, {"process_threads", "", "not fine"}, {0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never");
}

SKYMON_PLUGIN(t_number_reserved, "1.0", "Wrong", .numbers = numbers, .check = check);
