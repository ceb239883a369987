/* SPDX-License-Identifier: Apache-2.0 */
/* job_store: the file `state` in the component's folder of state_dir, which survives restarts. Called by job.c, at
 * its start and under its lock. Lines of words; the last line is `end`, so that a cut file is found. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

#define HEAD "skymon-job 1\n"

/* ---- Its text ---- */

static int print_moment(char *to, size_t size, const char *word, struct job_moment moment)
{
	return snprintf(to, size, "%s %" PRId64 " %" PRId64 "\n", word, moment.wall_ms, moment.boot_ms);
}

size_t job_print(const struct job_state *state, char text[JOB_FILE_MAX])
{
	size_t at = (size_t)snprintf(text, JOB_FILE_MAX, HEAD);
	at += (size_t)print_moment(text + at, JOB_FILE_MAX - at, "born", state->born);
	at += (size_t)print_moment(text + at, JOB_FILE_MAX - at, "good", state->good);
	at += (size_t)print_moment(text + at, JOB_FILE_MAX - at, "ended", state->ended);
	at += (size_t)snprintf(text + at, JOB_FILE_MAX - at, "counts %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			       state->started, state->succeeded, state->failed);
	at += (size_t)snprintf(text + at, JOB_FILE_MAX - at, "last %d %d %.3f %s\nmessage %s\n",
			       state->last_failed, state->exit_code, state->duration, state->last_id,
			       state->message);
	for (size_t i = 0; i < state->run_count; i++)
		at += (size_t)snprintf(text + at, JOB_FILE_MAX - at, "run %" PRId64 " %" PRId64 " %s\n",
				       state->runs[i].started.wall_ms, state->runs[i].started.boot_ms,
				       state->runs[i].id);
	return at + (size_t)snprintf(text + at, JOB_FILE_MAX - at, "end\n");
}

/* Copies the rest of a line. Returns false if it is too long. */
static bool take_rest(const char **text, char *to, size_t size)
{
	size_t length = strcspn(*text, "\n");
	if ((*text)[length] != '\n' || length >= size)
		return false;
	memcpy(to, *text, length);
	to[length] = '\0';
	*text += length + 1;
	return true;
}

static bool take_word(const char **text, const char *word)
{
	size_t size = strlen(word);
	if (strncmp(*text, word, size) != 0)
		return false;
	*text += size;
	return true;
}

static bool take_whole(const char **text, int64_t *value, char after)
{
	char *end;
	errno = 0;
	*value = strtoll(*text, &end, 10);
	if (end == *text || errno != 0 || *end != after)
		return false;
	*text = end + 1;
	return true;
}

static bool take_moment(const char **text, const char *word, char after, struct job_moment *moment)
{
	moment->here = false;
	return take_word(text, word) && take_whole(text, &moment->wall_ms, ' ') &&
	       take_whole(text, &moment->boot_ms, after);
}

static bool take_counts(const char **text, struct job_state *state)
{
	int64_t started, succeeded, failed;
	if (!take_word(text, "counts ") || !take_whole(text, &started, ' ') ||
	    !take_whole(text, &succeeded, ' ') || !take_whole(text, &failed, '\n') || started < 0 ||
	    succeeded < 0 || failed < 0)
		return false;
	state->started = (uint64_t)started;
	state->succeeded = (uint64_t)succeeded;
	state->failed = (uint64_t)failed;
	return true;
}

static bool take_last(const char **text, struct job_state *state)
{
	int64_t failed, code;
	char *end;
	if (!take_word(text, "last ") || !take_whole(text, &failed, ' ') || !take_whole(text, &code, ' ') ||
	    code < -1 || code > 255)
		return false;
	state->last_failed = failed != 0;
	state->exit_code = (int)code;
	state->duration = strtod(*text, &end);
	if (end == *text || *end != ' ')
		return false;
	*text = end + 1;
	return take_rest(text, state->last_id, sizeof(state->last_id)) && take_word(text, "message ") &&
	       take_rest(text, state->message, sizeof(state->message));
}

bool job_parse(const char *text, struct job_state *state)
{
	struct job_state read = {.exit_code = -1};
	if (!take_word(&text, HEAD) || !take_moment(&text, "born ", '\n', &read.born) ||
	    !take_moment(&text, "good ", '\n', &read.good) ||
	    !take_moment(&text, "ended ", '\n', &read.ended) || !take_counts(&text, &read) ||
	    !take_last(&text, &read))
		return false;
	while (strcmp(text, "end\n") != 0) {
		struct job_run *run = &read.runs[read.run_count];
		if (read.run_count == JOB_RUNS_MAX || !take_moment(&text, "run ", ' ', &run->started) ||
		    !take_rest(&text, run->id, sizeof(run->id)))
			return false;
		read.run_count++;
	}
	*state = read;
	return true;
}

/* ---- The file ---- */

static bool write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, bytes, size);
		if (done < 0 && errno != EINTR)
			return false;
		bytes += done > 0 ? done : 0;
		size -= done > 0 ? (size_t)done : 0;
	}
	return fsync(fd) == 0;
}

static struct job_mark mark_of(const struct stat *file)
{
	return (struct job_mark){file->st_ino,
				 (int64_t)file->st_ctim.tv_sec * 1000000000 + file->st_ctim.tv_nsec};
}

void job_look(const char *folder, struct job_mark *mark)
{
	struct stat file;
	int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*mark = (struct job_mark){0};
	if (place >= 0 && fstatat(place, "state", &file, AT_SYMLINK_NOFOLLOW) == 0)
		*mark = mark_of(&file);
	if (place >= 0)
		close(place);
}

bool job_save(const char *folder, const struct job_state *state, struct job_mark *mark)
{
	char text[JOB_FILE_MAX];
	size_t size = job_print(state, text);
	int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place < 0)
		return false;
	int file = openat(place, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool done = file >= 0 && write_all(file, text, size);
	int why = errno;
	if (file >= 0)
		close(file);
	if (done) {
		done = renameat(place, "state.new", place, "state") == 0 && fsync(place) == 0;
		why = errno;
	}
	close(place);
	if (done)
		job_look(folder, mark); /* the rename changes it */
	errno = why;
	return done;
}

enum job_found job_load(const char *folder, struct job_state *state, struct job_mark *mark)
{
	char text[JOB_FILE_MAX + 1];
	struct stat found_file;
	int place = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = place >= 0 ? openat(place, "state", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	enum job_found found = errno == ENOENT ? JOB_NONE : JOB_UNREADABLE;
	int why = errno;
	*mark = (struct job_mark){0};
	if (file >= 0) {
		if (fstat(file, &found_file) == 0)
			*mark = mark_of(&found_file);
		ssize_t size = read(file, text, JOB_FILE_MAX);
		why = errno;
		text[size > 0 ? size : 0] = '\0';
		found = size < 0 ? JOB_UNREADABLE : job_parse(text, state) ? JOB_FOUND : JOB_DAMAGED;
		close(file);
	}
	if (found == JOB_DAMAGED)
		renameat(place, "state", place, "state.bad");
	if (place >= 0)
		close(place);
	errno = why;
	return found;
}
