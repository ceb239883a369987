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

#include "base/err.h"

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

struct children {
	pid_t *pids;
	size_t count, capacity;
};

/* Any thread of the daemon may be the parent. */
static void list_children(struct children *children)
{
	DIR *threads = opendir("/proc/self/task");
	const struct dirent *entry;
	while (threads != NULL && (entry = readdir(threads)) != NULL) {
		char path[300];
		long pid;
		snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
		FILE *file = entry->d_name[0] != '.' ? fopen(path, "re") : NULL;
		while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
			children->pids = x_grow(children->pids, &children->capacity, children->count + 1,
						sizeof(*children->pids));
			children->pids[children->count++] = (pid_t)pid;
		}
		if (file != NULL)
			fclose(file);
	}
	if (threads != NULL)
		closedir(threads);
}

/* The list is read whole before the first is reaped: where the last one that was read is gone, the kernel walks
 * the list from its beginning for each further piece, and thousands of zombies grow faster than they go. */
void orphan_tend(bool (*is_worker)(void *arg, pid_t pid), void *arg)
{
	struct children children = {0};
	list_children(&children);
	for (size_t i = 0; i < children.count; i++)
		if (!is_worker(arg, children.pids[i]))
			tend_one(children.pids[i]);
	free(children.pids);
}
