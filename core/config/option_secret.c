/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of secrets that the daemon reads itself: literals, variables, files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "option_private.h"
#include "base/file_trust.h"

#define SECRET_MAX 65536u

static bool copy_text(const char *text, char **bytes, size_t *size)
{
	*size = strlen(text);
	*bytes = x_strdup(text);
	return true;
}

/* Is this a file whose bytes only root and we decide? */
static bool judge_file(int fd, const char *path, struct err *err)
{
	struct stat about;
	if (fstat(fd, &about) != 0)
		return err_set(err, "cannot look at the secret file %s: %s", path, strerror(errno));
	if (!S_ISREG(about.st_mode))
		return err_set(err, "the secret file %s is no regular file", path);
	if (trust_file(fd, path, false, err) == TRUST_BAD)
		return err_prefix(err, "the secret file cannot be trusted: ");
	if (about.st_size > SECRET_MAX)
		return err_set(err, "the secret file %s is larger than 64 KiB", path);
	return true;
}

static bool read_secret(int fd, const char *path, char **bytes, size_t *size, struct err *err)
{
	char *room = x_alloc(SECRET_MAX + 2);
	size_t filled = 0;
	ssize_t got = 1;
	while (got > 0 && filled <= SECRET_MAX) {
		got = read(fd, room + filled, SECRET_MAX + 1 - filled);
		if (got > 0)
			filled += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	bool ok = got >= 0 || err_set(err, "cannot read the secret file %s: %s", path, strerror(errno));
	if (ok && filled > SECRET_MAX)
		ok = err_set(err, "the secret file %s is larger than 64 KiB", path);
	if (filled > 0 && room[filled - 1] == '\n')
		filled -= filled > 1 && room[filled - 2] == '\r' ? 2 : 1;
	if (ok && filled == 0)
		ok = err_set(err, "the secret file %s is empty", path);
	if (ok) {
		*bytes = x_alloc(filled + 1);
		memcpy(*bytes, room, filled);
		*size = filled;
	}
	wipe_free(room, SECRET_MAX + 2);
	return ok;
}

static bool read_file(const char *path, char **bytes, size_t *size, struct err *err)
{
	char text[160];
	/* O_NONBLOCK: a fifo without a writer must not hold us up */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return err_set(err, "cannot open the secret file %s: %s", path, trust_error(errno, text));
	bool ok = judge_file(fd, path, err) && read_secret(fd, path, bytes, size, err);
	close(fd);
	return ok;
}

bool option_secret_is_open(const struct option_secret *secret, struct err *err)
{
	if (secret->kind != OPTION_SECRET_FILE)
		return false;
	int fd = open(secret->text, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool readable = fd >= 0 && trust_file(fd, secret->text, false, err) == TRUST_READABLE;
	if (fd >= 0)
		close(fd);
	return readable;
}

bool option_secret_read(const struct option_secret *secret, config_lookup *lookup, char **bytes, size_t *size,
			struct err *err)
{
	const char *text = NULL;
	*bytes = NULL;
	*size = 0;
	switch (secret->kind) {
	case OPTION_SECRET_LITERAL:
		return copy_text(secret->text, bytes, size);
	case OPTION_SECRET_ENV:
		text = lookup != NULL ? lookup(secret->text) : NULL;
		if (text == NULL || text[0] == '\0')
			return err_set(err, "the variable %s of the secret `%s` is not set", secret->text,
				       secret->option);
		return copy_text(text, bytes, size);
	case OPTION_SECRET_FILE:
		return read_file(secret->text, bytes, size, err);
	case OPTION_SECRET_STORE:
		return err_set(err, "the secret `%s` is kept by the component `%s`", secret->option,
			       secret->store);
	case OPTION_SECRET_NONE:
		break;
	}
	return err_set(err, "there is no secret");
}

void option_bytes_free(struct option_bytes *bytes, size_t count)
{
	for (size_t i = 0; bytes != NULL && i < count; i++) {
		if (bytes[i].bytes == NULL)
			continue;
		explicit_bzero((char *)bytes[i].bytes, bytes[i].size);
		free((char *)bytes[i].bytes);
	}
	free(bytes);
}
