/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog_follow: reads a log file as it grows, over rotation (renamed, or copied and truncated), truncation and restarts, so that each
 * line is taken once. Called by accesslog.c on the component's thread; owns the open files and the file of positions.
 *
 * A file is known by its inode and a hash of its first bytes. A file that was renamed is read to its end, and for a while longer, because
 * its writer reopens the path a little later. After a restart, or when the file at the path is another one, rotated files are looked for
 * beside it: names that go on with digits, and are not compressed. Positions are saved after whole lines only. */
#include "accesslog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"

#define PRINT_MAX 1024
#define LINGER_MS 10000
#define CANDIDATES_MAX 64

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Which file it is ---- */

/* Returns false if the file has fewer bytes. */
static bool hash_start(int fd, uint32_t size, uint64_t *print)
{
	unsigned char bytes[PRINT_MAX];
	*print = HASH_START;
	if (size > 0 && pread(fd, bytes, size, 0) != (ssize_t)size)
		return false;
	*print = hash_add(*print, bytes, size);
	return true;
}

/* Takes more of its first bytes into the hash, as far as they have been read. */
static void extend_print(struct accesslog_file *file)
{
	uint32_t size = file->offset < PRINT_MAX ? (uint32_t)file->offset : PRINT_MAX;
	if (size > file->print_size && hash_start(file->fd, size, &file->print))
		file->print_size = size;
}

static bool has_print(int fd, const struct accesslog_file *file)
{
	uint64_t print;
	struct stat about;
	return fstat(fd, &about) == 0 && (uint64_t)about.st_size >= file->offset &&
	       hash_start(fd, file->print_size, &print) && (file->print_size == 0 || print == file->print);
}

static int open_log(const char *path)
{
	struct stat about;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, &about) == 0 && S_ISREG(about.st_mode))
		return fd;
	if (fd >= 0) {
		close(fd);
		errno = EINVAL;
	}
	return -1;
}

/* ---- Files beside it ---- */

struct candidate {
	char path[PATH_MAX];
	struct timespec modified;
};

static int by_time(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;
	if (left->modified.tv_sec != right->modified.tv_sec)
		return left->modified.tv_sec < right->modified.tv_sec ? -1 : 1;
	return left->modified.tv_nsec < right->modified.tv_nsec
		       ? -1
		       : left->modified.tv_nsec > right->modified.tv_nsec;
}

/* Returns the rotated files, the oldest first: path, then a separator, digits and more of them. */
static size_t list_rotated(const char *path, struct candidate *found)
{
	char of_folder[PATH_MAX], of_name[PATH_MAX];
	snprintf(of_folder, sizeof(of_folder), "%s", path);
	snprintf(of_name, sizeof(of_name), "%s", path);
	const char *folder = dirname(of_folder), *name = basename(of_name);
	size_t length = strlen(name), count = 0;
	DIR *entries = opendir(folder);
	struct dirent *entry;
	while (entries != NULL && count < CANDIDATES_MAX && (entry = readdir(entries)) != NULL) {
		const char *rest = entry->d_name + length;
		struct stat about;
		if (strncmp(entry->d_name, name, length) != 0 || rest[0] == '\0' ||
		    rest[strspn(rest, "0123456789.-_T")] != '\0' ||
		    (size_t)snprintf(found[count].path, PATH_MAX, "%s/%s", folder, entry->d_name) >=
			    PATH_MAX ||
		    stat(found[count].path, &about) != 0 || !S_ISREG(about.st_mode))
			continue;
		found[count++].modified = about.st_mtim;
	}
	if (entries != NULL)
		closedir(entries);
	qsort(found, count, sizeof(*found), by_time);
	return count;
}

/* ---- The list of files ---- */

static struct accesslog_file *push(struct accesslog_follow *follow, int fd)
{
	struct stat about = {0};
	if (follow->count == ACCESSLOG_FILES_MAX) { /* more rotations than anyone's: the oldest is given up */
		close(follow->files[0].fd);
		memmove(follow->files, follow->files + 1, --follow->count * sizeof(follow->files[0]));
		follow->totals.gaps++;
	}
	(void)fstat(fd, &about);
	struct accesslog_file *file = &follow->files[follow->count++];
	*file = (struct accesslog_file){.fd = fd, .device = about.st_dev, .inode = about.st_ino};
	return file;
}

static void push_at(struct accesslog_follow *follow, int fd, const struct accesslog_file *was)
{
	struct accesslog_file *file = push(follow, fd);
	file->offset = was->offset;
	file->print = was->print;
	file->print_size = was->print_size;
}

/* Finds the file among the rotated ones: by its inode, else by the hash, as a copy has another inode. Opens it; returns `count` if it is not
 * there. */
static size_t find_rotated(const struct candidate *found, size_t count, const struct accesslog_file *was,
			   int *fd)
{
	for (int copies = 0; copies < (was->print_size > 0 ? 2 : 1); copies++)
		for (size_t i = 0; i < count; i++) {
			struct stat about = {0};
			*fd = open_log(found[i].path);
			bool same = *fd >= 0 && fstat(*fd, &about) == 0 && about.st_ino == was->inode &&
				    about.st_dev == was->device;
			if (*fd >= 0 && (same || copies > 0) && has_print(*fd, was))
				return i;
			if (*fd >= 0)
				close(*fd);
		}
	return count;
}

/* Queues the rest of a file that is not at the path any more, unless it is open (rest), and the files that came between it and the one
 * that is at the path (between). */
static void push_rotated(struct accesslog_follow *follow, const struct accesslog_file *was, bool rest,
			 bool between)
{
	struct candidate *found = calloc(CANDIDATES_MAX, sizeof(*found));
	size_t count = found != NULL ? list_rotated(follow->path, found) : 0;
	int fd = -1;
	size_t at = find_rotated(found, count, was, &fd);
	if (at < count && rest)
		push_at(follow, fd, was);
	else if (at < count)
		close(fd);
	else
		follow->totals.gaps += rest && was->offset > 0;
	for (size_t i = at + 1; between && i < count; i++)
		if ((fd = open_log(found[i].path)) >= 0)
			push(follow, fd)->until_ms = now_ms() + LINGER_MS;
	free(found);
}

/* ---- Positions ---- */

bool accesslog_follow_save(const struct accesslog_follow *follow)
{
	char draft[PATH_MAX];
	const struct accesslog_totals *totals = &follow->totals;
	if (follow->state == NULL)
		return true;
	snprintf(draft, sizeof(draft), "%s.new", follow->state);
	FILE *out = fopen(draft, "we");
	if (out == NULL)
		return false;
	fprintf(out, "accesslog 1\ntotals");
	for (size_t i = 0; i < 6; i++)
		fprintf(out, " %" PRIu64, totals->classes[i]);
	fprintf(out, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.9f\n", totals->timed, totals->malformed,
		totals->gaps, totals->seconds);
	for (size_t i = 0; i < follow->count; i++)
		fprintf(out, "file %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu64 "\n",
			follow->files[i].device, follow->files[i].inode, follow->files[i].offset,
			follow->files[i].print_size, follow->files[i].print);
	bool good = ferror(out) == 0;
	return fclose(out) == 0 && good && rename(draft, follow->state) == 0;
}

/* Returns the number of files that were followed; 0 if nothing was saved. */
static size_t load(struct accesslog_follow *follow, struct accesslog_file *files)
{
	struct accesslog_totals totals;
	size_t count = 0;
	FILE *in = follow->state != NULL ? fopen(follow->state, "re") : NULL;
	if (in == NULL)
		return 0;
	uint64_t *c = totals.classes;
	bool good = fscanf(in,
			   "accesslog 1 totals %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
			   " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %lf",
			   &c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &totals.timed, &totals.malformed,
			   &totals.gaps, &totals.seconds) == 10;
	for (struct accesslog_file *file = files; good && count < ACCESSLOG_FILES_MAX; file++, count++) {
		*file = (struct accesslog_file){.fd = -1};
		if (fscanf(in, " file %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu64,
			   &file->device, &file->inode, &file->offset, &file->print_size,
			   &file->print) != 5 ||
		    file->print_size > PRINT_MAX)
			break;
	}
	fclose(in);
	if (good)
		follow->totals = totals;
	return count;
}

/* Without a position the file is read from its end, after its last whole line. */
static uint64_t end_of(int fd)
{
	char bytes[4096];
	struct stat about;
	off_t end = fstat(fd, &about) == 0 ? about.st_size : 0;
	while (end > 0) {
		off_t start = end > (off_t)sizeof(bytes) ? end - (off_t)sizeof(bytes) : 0;
		ssize_t got = pread(fd, bytes, (size_t)(end - start), start);
		const char *line = got > 0 ? memrchr(bytes, '\n', (size_t)got) : NULL;
		if (line != NULL)
			return (uint64_t)(start + (line - bytes) + 1);
		if (got <= 0)
			break;
		end = start;
	}
	return 0;
}

static void resume(struct accesslog_follow *follow, int fd)
{
	struct accesslog_file files[ACCESSLOG_FILES_MAX];
	struct stat about = {0};
	size_t count = load(follow, files);
	(void)fstat(fd, &about);
	for (size_t i = 0; i < count; i++) {
		bool last = i + 1 == count;
		if (last && files[i].inode == about.st_ino && files[i].device == about.st_dev &&
		    has_print(fd, &files[i])) {
			push_at(follow, fd, &files[i]);
			return;
		}
		push_rotated(follow, &files[i], true, last);
	}
	struct accesslog_file *file = push(follow, fd);
	if (count == 0) {
		file->offset = end_of(fd);
		extend_print(file);
	}
}

/* Notices that another file is at the path. Returns false if there is none. */
static bool look(struct accesslog_follow *follow)
{
	int fd = open_log(follow->path);
	struct stat about = {0};
	if (fd < 0 && errno == ENOENT && follow->count > 0) { /* perhaps amid a rotation */
		if (follow->missing_ms == 0)
			follow->missing_ms = now_ms();
		bool amid = now_ms() - follow->missing_ms < LINGER_MS;
		errno = ENOENT;
		return amid;
	}
	if (fd < 0)
		return false;
	follow->missing_ms = 0;
	(void)fstat(fd, &about);
	struct accesslog_file *last = follow->count > 0 ? &follow->files[follow->count - 1] : NULL;
	bool same = last != NULL && last->inode == about.st_ino && last->device == about.st_dev;
	if (!follow->resumed) {
		resume(follow, fd);
		follow->resumed = true;
	} else if (!same) {
		if (last != NULL) {
			struct accesslog_file was = *last;
			last->until_ms = now_ms() + LINGER_MS;
			push_rotated(follow, &was, false,
				     true); /* rotated more than once since the last check */
		}
		(void)push(follow, fd);
	} else if (!has_print(last->fd, last)) { /* truncated, perhaps after it was copied */
		struct accesslog_file was = *last;
		close(last->fd);
		follow->count--;
		push_rotated(follow, &was, true, false);
		(void)push(follow, fd);
	} else {
		close(fd);
	}
	return true;
}

/* ---- Reading ---- */

/* Gives the whole lines of the block to take. Returns the bytes of them. */
static size_t take_lines(struct accesslog_follow *follow, size_t size, accesslog_take *take, void *arg)
{
	size_t used = 0;
	char *end;
	while ((end = memchr(follow->block + used, '\n', size - used)) != NULL) {
		char *line = follow->block + used;
		*end = '\0';
		take(arg, line, (size_t)(end - line));
		used += (size_t)(end - line) + 1;
	}
	if (used == 0 &&
	    size == ACCESSLOG_LINE_MAX) { /* a line that is too long is malformed, piece by piece */
		follow->totals.malformed++;
		used = size;
	}
	return used;
}

/* Returns whether the file was read to its last whole line; false if the time was over before. */
static bool read_file(struct skymon *sm, struct accesslog_follow *follow, struct accesslog_file *file,
		      accesslog_take *take, void *arg)
{
	while (skymon_ms_left(sm) > 0) {
		ssize_t got = pread(file->fd, follow->block, ACCESSLOG_LINE_MAX, (off_t)file->offset);
		size_t used = got > 0 ? take_lines(follow, (size_t)got, take, arg) : 0;
		if (used == 0)
			return true;
		file->offset += used;
		extend_print(file);
	}
	return false;
}

bool accesslog_follow_read(struct skymon *sm, struct accesslog_follow *follow, accesslog_take *take,
			   void *arg, uint64_t *behind)
{
	struct stat about;
	bool there = look(follow);
	int error = errno;
	*behind = 0;
	for (size_t i = 0; i < follow->count;) {
		struct accesslog_file *file = &follow->files[i];
		bool last = i + 1 == follow->count, whole = read_file(sm, follow, file, take, arg);
		if (whole && !last && file->until_ms < now_ms()) {
			close(file->fd);
			memmove(file, file + 1, (--follow->count - i) * sizeof(*file));
			continue;
		}
		if (fstat(file->fd, &about) == 0 && (uint64_t)about.st_size > file->offset)
			*behind += (uint64_t)about.st_size - file->offset;
		i++;
	}
	errno = error;
	return there;
}

void accesslog_follow_close(struct accesslog_follow *follow)
{
	for (size_t i = 0; i < follow->count; i++)
		close(follow->files[i].fd);
	follow->count = 0;
	free(follow->state);
	free(follow->block);
}
