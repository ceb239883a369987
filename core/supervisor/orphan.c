/* SPDX-License-Identifier: Apache-2.0 */
/* orphan: finds the daemon's children that it did not start, and ends those that a worker left. They are
 * known by their seccomp filters: each has at least one more than the daemon, and none can remove it. Called
 * by the daemon at SIGCHLD, on the loop's thread; owns the daemon's own count. */
#include "orphan.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static long own_filters = -1;

/* Returns -1 when the kernel does not say (before Linux 5.9) or the process is gone. */
static long count_filters(pid_t pid)
{
	char path[64], line[256];
	long count = -1;
	snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	FILE *file = fopen(path, "re");
	while (file != NULL && count < 0 && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Seccomp_filters: %ld", &count) != 1)
			count = -1;
	if (file != NULL)
		fclose(file);
	return count;
}

void orphan_begin(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	FILE *self = fopen("/proc/self/stat", "re");
	int pid = 0;
	if (self != NULL && fscanf(self, "%d", &pid) == 1)
		own_filters = count_filters(pid);
	if (self != NULL)
		fclose(self);
}

static void tend_one(pid_t pid)
{
	if (waitpid(pid, NULL, WNOHANG) == 0 && own_filters >= 0 && count_filters(pid) > own_filters)
		kill(pid, SIGKILL); /* its own children follow, once it is dead */
}

/* Any thread of the daemon may be the parent. */
void orphan_tend(bool (*is_worker)(void *arg, pid_t pid), void *arg)
{
	DIR *threads = opendir("/proc/self/task");
	const struct dirent *entry;
	while (threads != NULL && (entry = readdir(threads)) != NULL) {
		char path[300];
		long pid;
		snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
		FILE *children = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
		while (children != NULL && fscanf(children, "%ld", &pid) == 1)
			if (!is_worker(arg, (pid_t)pid))
				tend_one((pid_t)pid);
		if (children != NULL)
			fclose(children);
	}
	if (threads != NULL)
		closedir(threads);
}
