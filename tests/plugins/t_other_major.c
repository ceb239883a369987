/* SPDX-License-Identifier: Apache-2.0 */
/* Built for another major of the ABI. */
#include <skymon/plugin.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never reached");
}

SKYMON_EXPORT const struct skymon_plugin skymon_plugin = {.abi_major = SKYMON_ABI_MAJOR + 7,
							  .abi_minor = 0,
							  .size = sizeof(struct skymon_plugin),
							  .name = "t_other_major",
							  .version = "1.0",
							  .summary = "Never loaded",
							  .option_size = sizeof(struct skymon_option),
							  .number_size = sizeof(struct skymon_number),
							  .check = check};
