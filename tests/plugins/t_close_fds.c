/* SPDX-License-Identifier: Apache-2.0 */
/* Closes what is not its own, as programs do that want to become daemons. */
#include <skymon/plugin.h>
#include <unistd.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)state;
	for (int fd = 0; fd < 256; fd++)
		close(fd);
	return skymon_healthy(sm, "closed the descriptors 0 to 255");
}

SKYMON_PLUGIN(t_close_fds, "1.0", "Closes foreign descriptors", .check = check);
