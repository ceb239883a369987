/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin's file: opened once, checked by its descriptor, and copied into sealed memory, from which the
 * daemon and all workers load it. So the file that was checked is what runs, a worker that is started again
 * runs the code whose table the daemon has bound, and a file that is overwritten in place ends no worker with
 * SIGBUS. Called by the pool. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin.h"
#include "base/file_trust.h"

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3: the copy is loaded, never executed */
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define FILE_SIZE_MAX (256u << 20)

static struct plugin_mark mark_of(const struct stat *file)
{
	return (struct plugin_mark){
		.device = file->st_dev,
		.inode = file->st_ino,
		.size = file->st_size,
		.modified_ns = (int64_t)file->st_mtim.tv_sec * 1000000000 + file->st_mtim.tv_nsec,
		.changed_ns = (int64_t)file->st_ctim.tv_sec * 1000000000 + file->st_ctim.tv_nsec,
	};
}

static int open_file(const char *path, struct plugin_mark *mark, struct err *err)
{
	struct stat file;
	/* O_NONBLOCK: a fifo without a writer must not hold us up */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &file) != 0) {
		char text[160];
		err_set(err, "cannot open plugin %s: %s", path, trust_error(errno, text));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	bool ok = S_ISREG(file.st_mode) || err_set(err, "plugin %s is not a regular file", path);
	ok = ok && (file.st_size <= FILE_SIZE_MAX || err_set(err, "plugin %s is above 256 MiB", path));
	ok = ok && trust_file(fd, path, true, err) != TRUST_BAD;
	*mark = mark_of(&file);
	if (ok)
		return fd;
	close(fd);
	return -1;
}

static int new_memory(const char *name)
{
	int copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return copy;
}

int plugin_file_open(const char *path, struct plugin_mark *mark, struct err *err)
{
	const char *name = strrchr(path, '/');
	int fd = open_file(path, mark, err);
	if (fd < 0)
		return -1;
	int copy = new_memory(name != NULL ? name + 1 : path);
	bool ok = copy >= 0;
	for (int64_t left = mark->size; ok && left > 0;) {
		ssize_t got = sendfile(copy, fd, NULL, (size_t)left);
		ok = got > 0;
		left -= got;
	}
	ok = ok && fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0;
	if (!ok)
		err_set(err, "cannot copy plugin %s into memory: %s", path,
			errno != 0 ? strerror(errno) : "the file became shorter");
	close(fd);
	if (ok)
		return copy;
	if (copy >= 0)
		close(copy);
	return -1;
}

bool plugin_file_same(const char *path, const struct plugin_mark *mark)
{
	struct stat file;
	if (stat(path, &file) != 0)
		return false;
	struct plugin_mark now = mark_of(&file);
	return now.device == mark->device && now.inode == mark->inode && now.size == mark->size &&
	       now.modified_ns == mark->modified_ns && now.changed_ns == mark->changed_ns;
}
