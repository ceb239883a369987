/* SPDX-License-Identifier: Apache-2.0 */
/* http_peer_process: decides whether a process that this daemon did not start is at the other end of a local
 * connection. Workers run as the daemon's user, so the user alone proves nothing: a plugin that was taken
 * over could use the routes that only a local caller may use. http_local_caller.c calls it on the loop's thread,
 * once for each connection that uses a GUARDED route and whose user a worker can have. Owns its quota of
 * time.
 *
 * The proof is positive: another process must be seen to hold the connection. That no worker is seen to hold
 * it would prove nothing: workers are not dumpable, so /proc hides their descriptors, and a descriptor can be
 * on its way inside a Unix socket and in no process. Descendants cannot leave: their keeper and the daemon
 * are subreapers, so the line of parents always leads here. What cannot be seen is not local. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "http_private.h"

#define GENERATIONS_MAX 256
/* A worker may ask repeatedly, and each search that finds nothing reads all of /proc. */
#define SEARCH_US_PER_SECOND 250000

struct process {
	pid_t parent;
	unsigned long long started; /* ticks since the machine's start */
};

static bool read_process(pid_t pid, struct process *process)
{
	char path[32], text[1024];
	long parent;
	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t size = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[size > 0 ? size : 0] = '\0';
	const char *name_end = strrchr(text, ')'); /* the name may have any characters */
	if (name_end == NULL || sscanf(name_end,
				       ") %*c %ld %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
				       "%*s %*s %*s %llu",
				       &parent, &process->started) != 2)
		return false;
	process->parent = (pid_t)parent;
	return true;
}

/* Returns false if /proc belongs to another PID namespace, whose numbers differ from those that the kernel
 * gives us. */
static bool proc_is_ours(void)
{
	char self[32] = "";
	return readlink("/proc/self", self, sizeof(self) - 1) > 0 && strtol(self, NULL, 10) == (long)getpid();
}

bool holder_descends(pid_t pid)
{
	struct process process, child = {.started = ULLONG_MAX};
	for (int i = 0; i < GENERATIONS_MAX; i++, pid = process.parent, child = process) {
		if (pid == 0)
			return false;
		if (pid == getpid())
			return true;
		if (!read_process(pid, &process))
			/* Where /proc hides other users' processes (ProtectProc=), one of them is not a
			 * descendant: unless it is root's, a worker cannot change its user. */
			return geteuid() == 0 || kill(pid, 0) == 0 || errno != EPERM;
		if (process.started > child.started)
			return true; /* the parent has died, and its number was given again */
	}
	return true;
}

enum holder holder_of_process(pid_t pid, int64_t connected_ms)
{
	struct process process;
	if (pid <= 0 || !proc_is_ours() || !read_process(pid, &process))
		return HOLDER_UNSEEN;
	/* A process that started after the connection has only got the number. */
	if (process.started * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK) >
	    (unsigned long long)connected_ms)
		return HOLDER_UNSEEN;
	return holder_descends(pid) ? HOLDER_OURS : HOLDER_OTHER;
}

/* ---- By the socket's inode ---- */

/* A process of another user can hold the socket only if it has changed its user; then it is not dumpable, and
 * what /proc has of it is root's. */
static bool holds(pid_t pid, uid_t uid, const char *link)
{
	char path[32], text[64];
	struct stat about;
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	DIR *folder =
		fstat(fd, &about) == 0 && (about.st_uid == uid || about.st_uid == 0) ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	while (!found && folder != NULL && (entry = readdir(folder)) != NULL) {
		ssize_t size = readlinkat(fd, entry->d_name, text, sizeof(text) - 1);
		text[size > 0 ? size : 0] = '\0';
		found = strcmp(text, link) == 0;
	}
	if (folder != NULL)
		closedir(folder);
	else
		close(fd);
	return found;
}

static pid_t *list_processes(size_t *count)
{
	pid_t *pids = NULL;
	size_t capacity = 0;
	DIR *proc = proc_is_ours() ? opendir("/proc") : NULL;
	const struct dirent *entry;
	*count = 0;
	while (proc != NULL && (entry = readdir(proc)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0])) {
			pids = x_grow(pids, &capacity, *count + 1, sizeof(*pids));
			pids[(*count)++] = (pid_t)strtol(entry->d_name, NULL, 10);
		}
	if (proc != NULL)
		closedir(proc);
	return pids;
}

static int64_t read_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

enum holder holder_of_socket(uint32_t inode, uid_t uid)
{
	static int64_t second, spent_us;
	static pid_t last; /* a client sends more than one request */
	char link[32];
	size_t left = 0;
	if (second != read_us(CLOCK_MONOTONIC) / 1000000) {
		second = read_us(CLOCK_MONOTONIC) / 1000000;
		spent_us = 0;
	}
	if (spent_us > SEARCH_US_PER_SECOND)
		return HOLDER_BUSY;
	int64_t begun_us = read_us(CLOCK_THREAD_CPUTIME_ID);
	snprintf(link, sizeof(link), "socket:[%lu]", (unsigned long)inode);
	pid_t *pids = NULL, found = last != 0 && proc_is_ours() && holds(last, uid, link) ? last : 0;
	if (found == 0)
		pids = list_processes(&left);
	while (found == 0 && left-- > 0) /* the newest first, as most clients are */
		if (holds(pids[left], uid, link))
			found = pids[left];
	free(pids);
	if (found != 0 && !holder_descends(found)) {
		last = found;
		return HOLDER_OTHER;
	}
	spent_us +=
		read_us(CLOCK_THREAD_CPUTIME_ID) - begun_us; /* only searches that a worker may have caused */
	return found != 0 ? HOLDER_OURS : HOLDER_UNSEEN;
}
