/* SPDX-License-Identifier: Apache-2.0 */
/* Its status is what a file says: healthy, degraded, unhealthy or unknown, then a message; "crash" crashes,
 * "hang" hangs. */
#include <errno.h>
#include <skymon/plugin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CANNOT_OPEN (EOF - 1)

struct file {
	const char *path, *also;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct file, path, "", "the file", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct file, also, "", "another, or a folder, which no check opens",
		   .flags = SKYMON_PATH_READ),
	{0}};

/* Returns how many of the two were read, EOF for an empty file, or CANNOT_OPEN. */
static int read_words(const char *path, char word[32], char message[200])
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return CANNOT_OPEN;
	int got = fscanf(file, "%31s %199[^\n]", word, message);
	fclose(file);
	return got;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	const struct file *told = state;
	char word[32] = "", message[200] = "";
	skymon_step(sm, "reading the file");
	int got;
	while ((got = read_words(told->path, word, message)) == EOF && skymon_ms_left(sm) > 0)
		usleep(1000); /* a test writes it in place: it is empty for a moment */
	if (got == CANNOT_OPEN)
		return skymon_unknown(sm, "cannot read %s: %s", told->path, strerror(errno));
	if (got < 2)
		snprintf(message, sizeof(message), "the file says %s", word);
	if (strcmp(word, "healthy") == 0)
		return skymon_healthy(sm, "%s", message);
	if (strcmp(word, "degraded") == 0)
		return skymon_degraded(sm, "%s", message);
	if (strcmp(word, "unhealthy") == 0)
		return skymon_unhealthy(sm, "%s", message);
	if (strcmp(word, "crash") == 0)
		abort();
	while (strcmp(word, "hang") == 0)
		pause();
	return skymon_unknown(sm, "%s", message);
}

SKYMON_PLUGIN(t_file, "1.0", "What a file says", .state_size = sizeof(struct file), .options = options,
	      .check = check);
