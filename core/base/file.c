/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of whole files. Called by config, option, plan and http_tls on the daemon's thread, and by the
 * tool; owns nothing beyond a call. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_trust.h"

#define ROOM 65536u                     /* to begin with */
#define CREDENTIALS "/run/credentials/" /* of all units of systemd */

/* O_NONBLOCK: a fifo without a writer must not hold up the daemon. */
static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static bool read_all(int fd, size_t most, struct buf *out)
{
	for (ssize_t got = 1; got != 0 && out->size <= most;) {
		got = read(fd, buf_room(out, ROOM), ROOM);
		if (got < 0 && errno != EINTR)
			return false;
		out->size += got > 0 ? (size_t)got : 0;
	}
	buf_add(out, "", 0);
	return true;
}

bool file_read(const char *kind, const char *path, size_t most, struct buf *out, struct err *err)
{
	char text[160];
	struct stat about;
	int fd = open_file(path);
	int why = errno; /* trust_error may change it */
	if (fd < 0)
		return err_set(
			err, "cannot open %s%.200s: %s%s", kind, path, trust_error(why, text),
			why == ENOENT && strncmp(path, CREDENTIALS, sizeof(CREDENTIALS) - 1) == 0
				? " (a new LoadCredential= needs `systemctl daemon-reload` and a restart)"
				: "");
	bool ok = (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) ||
		  err_set(err, "%s%.200s is not a regular file", kind, path);
	ok = ok && (trust_file(fd, path, false, err) != TRUST_BAD ||
		    (kind[0] != '\0' && err_prefix(err, "%s", kind)));
	if (ok) {
		size_t size =
			about.st_size > 0 && (uintmax_t)about.st_size < most ? (size_t)about.st_size : 0;
		buf_room(out, size + 2 * ROOM); /* at once: what grows leaves a copy behind */
		ok = read_all(fd, most, out) ||
		     err_set(err, "cannot read %s%.200s: %s", kind, path, strerror(errno));
	}
	if (ok && out->size > most)
		ok = err_set(err, "%s%.200s is larger than %zu KiB", kind, path, most / 1024);
	close(fd);
	if (!ok && out->data != NULL)
		explicit_bzero(out->data, out->capacity);
	if (!ok)
		buf_free(out);
	return ok;
}

bool file_is_open(const char *path, struct err *err)
{
	int fd = open_file(path);
	bool readable = fd >= 0 && trust_file(fd, path, false, err) == TRUST_READABLE;
	if (fd >= 0)
		close(fd);
	return readable;
}
