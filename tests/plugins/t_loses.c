/* SPDX-License-Identifier: Apache-2.0 */
/* Loses memory, descriptors and threads, so many in each run. */
#include <pthread.h>
#include <skymon/plugin.h>
#include <stdlib.h>
#include <unistd.h>

struct loses {
	int64_t bytes, files, threads;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct loses, bytes, "0", "bytes of each run"),
	SKYMON_OPT(struct loses, files, "0", "descriptors of each run"),
	SKYMON_OPT(struct loses, threads, "0", "threads of each run"),
	{0}};

static void *wait_for_ever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct loses *loses = state;
	void *volatile lost = loses->bytes > 0 ? malloc((size_t)loses->bytes) : NULL;
	(void)lost;
	for (int64_t i = 0; i < loses->files; i++)
		if (dup(0) < 0)
			return skymon_unknown(sm, "cannot open");
	for (int64_t i = 0; i < loses->threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
			return skymon_unknown(sm, "cannot start a thread");
	}
	return skymon_healthy(sm, "lost");
}

SKYMON_PLUGIN(t_loses, "1.0", "Loses what it takes", .state_size = sizeof(struct loses), .options = options,
	      .check = check);
