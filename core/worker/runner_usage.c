/* SPDX-License-Identifier: Apache-2.0 */
/* Tallies of what the process holds and whose callbacks made it grow: resident memory (shared mappings too)
 * and open descriptors. Both are read when a callback begins and ends, and several times a second while one
 * runs; the growth between two readings is divided among the components that were running. Called on all
 * threads of the runner; the two functions for the handler of a fatal signal are async-signal-safe. The files
 * of /proc stay open, because a confined process may not open them any more. */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner_private.h"

#define HIGH_FD 900 /* out of reach of a plugin that closes the low descriptors */

enum kind { MEMORY, FILES, KINDS };

struct tally {
	uint32_t id;
	unsigned at_work; /* callbacks of it that have not ended */
	int64_t grown[KINDS];
};

static struct {
	pthread_mutex_t lock;
	bool on;
	int statm, files;
	int64_t page_size, limit[KINDS]; /* 0: none */
	int64_t held[KINDS];             /* when last looked */
	struct tally *tallies;
	size_t count, room;
	size_t at_work;
	int64_t weighed_us;      /* when a callback on the loop was weighed last, … */
	int64_t unweighed;       /* … and how many there were since */
	_Atomic uint32_t grower; /* of memory; for the signal handler */
} usage = {.lock = PTHREAD_MUTEX_INITIALIZER, .statm = -1, .files = -1};

/* Async-signal-safe. statm's second number: resident pages. */
static int64_t resident_bytes(void)
{
	char text[128];
	ssize_t size = usage.statm >= 0 ? pread(usage.statm, text, sizeof(text), 0) : 0, at = 0;
	int64_t pages = 0;
	while (at < size && text[at] != ' ')
		at++;
	for (at++; at < size && text[at] >= '0' && text[at] <= '9'; at++)
		pages = pages * 10 + (text[at] - '0');
	return pages * usage.page_size;
}

static int64_t open_files(void)
{
	struct stat folder;
	if (usage.files < 0 || fstat(usage.files, &folder) != 0)
		return 0;
	if (folder.st_size > 0) /* their number, since Linux 6.2 */
		return folder.st_size;
	int copy = fcntl(usage.files, F_DUPFD_CLOEXEC, HIGH_FD);
	DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
	int64_t count = -4; /* `.`, `..`, the copy, and the folder itself */
	if (list == NULL)
		return 0;
	rewinddir(list);
	while (readdir(list) != NULL)
		count++;
	closedir(list);
	return count;
}

static int open_high(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	int high = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD) : -1;
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

void runner_usage_start(int64_t memory_limit)
{
	struct rlimit files;
	usage.on = true;
	usage.limit[MEMORY] = memory_limit;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
		usage.limit[FILES] = (int64_t)files.rlim_cur;
	usage.page_size = sysconf(_SC_PAGESIZE);
	if (usage.statm < 0)
		usage.statm = open_high("/proc/self/statm", 0);
	if (usage.files < 0)
		usage.files = open_high("/proc/self/fd", O_DIRECTORY);
}

void runner_usage_report(struct runner_component *component)
{
	if ((component->observe & MESSAGE_USAGE) == 0)
		return;
	struct mallinfo2 heap = mallinfo2();
	struct stat threads;
	bool known = stat("/proc/self/task", &threads) == 0;
	struct message_observed observed = {
		.text = "",
		.heap_bytes = (int64_t)(heap.uordblks + heap.hblkhd),
		.files = open_files(),
		/* links of a folder: `.`, that of its parent, and one for each folder in it */
		.threads = known ? (int64_t)threads.st_nlink - 2 : 0,
	};
	component->runner->events->observed(component->runner->arg, component->id, &observed);
}

/* ---- Tallies; under the lock ---- */

static struct tally *tally_of(uint32_t id)
{
	for (size_t i = 0; i < usage.count; i++)
		if (usage.tallies[i].id == id)
			return &usage.tallies[i];
	usage.tallies = x_grow(usage.tallies, &usage.room, usage.count + 1, sizeof(*usage.tallies));
	usage.tallies[usage.count] = (struct tally){.id = id};
	return &usage.tallies[usage.count++];
}

/* Returns the component that grew most, if by an eighth of the limit; else 0. */
static uint32_t find_grower(enum kind kind)
{
	int64_t most = usage.limit[kind] / 8;
	uint32_t id = 0;
	for (size_t i = 0; i < usage.count; i++)
		if (usage.tallies[i].grown[kind] > most) {
			most = usage.tallies[i].grown[kind];
			id = usage.tallies[i].id;
		}
	return id;
}

static void settle(void)
{
	int64_t held[KINDS] = {resident_bytes(), open_files()};
	for (size_t i = 0; i < usage.count && usage.at_work > 0; i++)
		for (int kind = 0; usage.tallies[i].at_work > 0 && kind < KINDS; kind++)
			usage.tallies[i].grown[kind] += (held[kind] - usage.held[kind]) /
							(int64_t)usage.at_work *
							(int64_t)usage.tallies[i].at_work;
	memcpy(usage.held, held, sizeof(held));
	if (usage.limit[MEMORY] > 0 && held[MEMORY] > usage.limit[MEMORY] / 2)
		atomic_store(&usage.grower, find_grower(MEMORY));
}

void runner_usage_begin(uint32_t id)
{
	if (!usage.on)
		return;
	pthread_mutex_lock(&usage.lock);
	settle();
	tally_of(id)->at_work++;
	usage.at_work++;
	pthread_mutex_unlock(&usage.lock);
}

void runner_usage_end(uint32_t id)
{
	if (!usage.on)
		return;
	pthread_mutex_lock(&usage.lock);
	settle();
	tally_of(id)->at_work--;
	usage.at_work--;
	pthread_mutex_unlock(&usage.lock);
}

#define WEIGH_US 5000 /* between two that are weighed: reading costs more than most callbacks do */

bool runner_usage_weigh(int64_t now_us)
{
	if (!usage.on)
		return false;
	usage.unweighed++;
	if (now_us - usage.weighed_us < WEIGH_US)
		return false;
	usage.weighed_us = now_us;
	pthread_mutex_lock(&usage.lock);
	settle();
	pthread_mutex_unlock(&usage.lock);
	return true;
}

/* Its growth counts for all those that were not weighed, so that a component that leaks in each callback gets
 * its due, however many there are. */
void runner_usage_weighed(uint32_t id)
{
	pthread_mutex_lock(&usage.lock);
	int64_t before[KINDS];
	memcpy(before, usage.held, sizeof(before));
	settle();
	for (int kind = 0; kind < KINDS; kind++)
		tally_of(id)->grown[kind] += (usage.held[kind] - before[kind]) * usage.unweighed;
	usage.unweighed = 0;
	pthread_mutex_unlock(&usage.lock);
}

void runner_usage_forget(uint32_t id)
{
	pthread_mutex_lock(&usage.lock);
	for (size_t i = 0; i < usage.count; i++)
		if (usage.tallies[i].id == id)
			usage.tallies[i] = usage.tallies[--usage.count];
	pthread_mutex_unlock(&usage.lock);
}

void runner_usage_check(struct runner *runner)
{
	if (!usage.on)
		return;
	pthread_mutex_lock(&usage.lock);
	settle();
	bool memory = usage.limit[MEMORY] > 0 && usage.held[MEMORY] > usage.limit[MEMORY];
	/* before it fails to open what it needs */
	bool files = !memory && usage.limit[FILES] > 0 && usage.held[FILES] > usage.limit[FILES] / 10 * 9;
	uint32_t id = memory || files ? find_grower(memory ? MEMORY : FILES) : 0;
	long long count = (long long)usage.held[FILES];
	pthread_mutex_unlock(&usage.lock);
	char text[64] = "";
	if (files)
		snprintf(text, sizeof(text), "%lld of %lld", count, (long long)usage.limit[FILES]);
	if (memory || files)
		runner->events->excess(runner->arg, id, files, text);
}

/* ---- For the fatal-signal handler ---- */

bool runner_memory_is_full(void)
{
	return usage.limit[MEMORY] > 0 && resident_bytes() >= usage.limit[MEMORY] / 10 * 9;
}

bool runner_memory_culprit(uint32_t *id)
{
	uint32_t grower = atomic_load(&usage.grower);
	if (grower != 0)
		*id = grower;
	return grower != 0;
}
