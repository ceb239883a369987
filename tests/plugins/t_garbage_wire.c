/* SPDX-License-Identifier: Apache-2.0 */
/* Writes junk into every socket that it finds: one of them is the wire. */
#include <skymon/plugin.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static enum skymon_status check(struct skymon *sm, void *state)
{
	int found = 0;
	(void)state;
	char junk[300];
	memset(junk, 'x', sizeof(junk));
	struct stat file;
	for (int fd = 0; fd < 4096; fd++)
		if (fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode))
			found += send(fd, junk, sizeof(junk), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
	return skymon_healthy(sm, "wrote junk to %d sockets", found);
}

SKYMON_PLUGIN(t_garbage_wire, "1.0", "Writes junk to the wire", .check = check);
