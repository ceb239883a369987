/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the stations of its life into a file, and takes as long for each as its options say. */
#include <fcntl.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct life {
	const char *file;
	struct skymon_duration check, stop;
	bool stubborn, crash;
};
struct shared {
	char file[256];
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct life, file, "", "where to", .flags = SKYMON_REQUIRED | SKYMON_PATH_WRITE),
	SKYMON_OPT(struct life, check, "0s", "how long a check takes"),
	SKYMON_OPT(struct life, stop, "0s", "how long stop takes"),
	SKYMON_OPT(struct life, stubborn, "false", "a check does not look at its time"),
	SKYMON_OPT(struct life, crash, "false", "stop crashes"),
	{0}};

static void note(const char *file, const char *what, const char *name)
{
	char line[128];
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	int size = snprintf(line, sizeof(line), "%s %s\n", what, name);
	(void)!write(fd, line, (size_t)size);
	close(fd);
}

static void sleep_ms(int64_t ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	nanosleep(&time, NULL);
}

static bool start(struct skymon *sm, void *state)
{
	const struct life *life = state;
	struct shared *shared = skymon_shared(sm);
	snprintf(shared->file, sizeof(shared->file), "%s", life->file);
	note(life->file, "start", skymon_name(sm));
	return true;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct life *life = state;
	note(life->file, "check", skymon_name(sm));
	for (int64_t ms = 0; ms < life->check.ms && (life->stubborn || skymon_ms_left(sm) > 0); ms += 20)
		sleep_ms(20);
	note(life->file, "checked", skymon_name(sm));
	return skymon_healthy(sm, "alive");
}

static void stop(struct skymon *sm, void *state)
{
	const struct life *life = state;
	note(life->file, "stop", skymon_name(sm));
	skymon_info(sm, "stops after %lld ms", (long long)life->stop.ms);
	if (life->crash)
		abort();
	sleep_ms(life->stop.ms);
	note(life->file, "stopped", skymon_name(sm));
}

static void unload(struct skymon *sm, void *memory)
{
	const struct shared *shared = memory;
	(void)sm;
	note(shared->file, "unload", "all");
}

SKYMON_PLUGIN(t_life, "1.0", "Records its life", .state_size = sizeof(struct life),
	      .shared_size = sizeof(struct shared), .options = options, .unload = unload, .start = start,
	      .stop = stop, .check = check);
