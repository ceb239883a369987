/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps secrets: path#field is the file `folder`/path; the field is the lease in ms ("0": none). Each ask
 * adds a line to the file `folder`/path.asked: "fresh" or "any", and when (ms). */
#include <errno.h>
#include <poll.h>
#include <skymon/secrets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct store {
	const char *folder;
	struct skymon_duration delay;
	const char *delayed;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct store, folder, "", "where the secrets are",
		   .flags = SKYMON_TARGET | SKYMON_PATH_WRITE),
	SKYMON_OPT(struct store, delay, "0s", "how long it thinks before it answers"),
	SKYMON_OPT(struct store, delayed, "", "the path that it thinks about; empty: each"),
	{0}};

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct store *store = state;
	return skymon_healthy(sm, "keeps the secrets of %s", store->folder);
}

static void secret(struct skymon *sm, void *state, struct skymon_ask *ask)
{
	const struct store *store = state;
	char path[512];
	snprintf(path, sizeof(path), "%s/%s.asked", store->folder, skymon_ask_path(sm, ask));
	FILE *asked = fopen(path, "ae");
	if (asked != NULL) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		fprintf(asked, "%s %lld\n", skymon_ask_fresh(sm, ask) ? "fresh" : "any",
			(long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
		fclose(asked);
	}
	if (store->delayed[0] == '\0' || strcmp(store->delayed, skymon_ask_path(sm, ask)) == 0)
		poll(NULL, 0, (int)store->delay.ms);
	snprintf(path, sizeof(path), "%s/%s", store->folder, skymon_ask_path(sm, ask));
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		skymon_refuse(sm, ask, SKYMON_OTHER, "no such secret: %s", strerror(errno));
		return;
	}
	char value[512];
	size_t size = fread(value, 1, sizeof(value), file);
	fclose(file);
	if (size == 5 && memcmp(value, "crash", 5) == 0)
		abort();
	skymon_answer(sm, ask, value, size, atoi(skymon_ask_field(sm, ask)));
}

SKYMON_PLUGIN(t_store, "1.0", "Keeps secrets in files", .state_size = sizeof(struct store),
	      .options = options, .check = check, .secret = secret);
