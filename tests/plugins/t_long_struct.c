/* SPDX-License-Identifier: Apache-2.0 */
/* Says that its descriptor is longer than the symbol. */
#include <skymon/plugin.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	return skymon_healthy(sm, "never reached");
}

SKYMON_EXPORT const struct skymon_plugin skymon_plugin = {.abi_major = SKYMON_ABI_MAJOR,
							  .abi_minor = SKYMON_ABI_MINOR,
							  .size = sizeof(struct skymon_plugin) + 64,
							  .name = "t_long_struct",
							  .version = "1.0",
							  .summary = "Never loaded",
							  .option_size = sizeof(struct skymon_option),
							  .number_size = sizeof(struct skymon_number),
							  .check = check};
