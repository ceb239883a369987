/* SPDX-License-Identifier: Apache-2.0 */
/* http_tls: reads the files of a listener's certificates, and tells whether files have changed. Called by
 * http_listener.c and http_token.c on the loop's thread; the caller owns what was read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http_private.h"

#define FILE_MAX (1 << 20)

static bool read_fd(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_room(out, 4096);
		ssize_t got = read(fd, room, 4096);
		if (got < 0 || out->size > FILE_MAX)
			return false;
		if (got == 0) {
			*buf_room(out, 0) = '\0';
			return true;
		}
		out->size += (size_t)got;
	}
}

static bool read_pem(const char *path, char **out, struct err *err)
{
	struct buf text = {0};
	if (path == NULL)
		return true;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_set(err, "%s: %s", path, strerror(errno));
	errno = EFBIG;
	bool ok = read_fd(fd, &text);
	int why = errno;
	close(fd);
	if (!ok) {
		buf_free(&text);
		return err_set(err, "%s: %s", path, strerror(why));
	}
	*out = text.data;
	return true;
}

bool tls_read(const struct settings_listen *settings, struct tls_files *out, struct err *err)
{
	*out = (struct tls_files){0};
	if (read_pem(settings->cert_file, &out->cert, err) && read_pem(settings->key_file, &out->key, err) &&
	    read_pem(settings->client_ca_file, &out->client_ca, err) &&
	    read_pem(settings->client_crl_file, &out->client_crl, err))
		return true;
	tls_free(out);
	return false;
}

void tls_free(struct tls_files *files)
{
	if (files->key != NULL)
		explicit_bzero(files->key, strlen(files->key));
	free(files->cert);
	free(files->key);
	free(files->client_ca);
	free(files->client_crl);
	*files = (struct tls_files){0};
}

static uint64_t mix(uint64_t mark, uint64_t value)
{
	return (mark ^ value) * 0x100000001b3u;
}

uint64_t files_mark(const char *const *paths, size_t count)
{
	uint64_t mark = 0xcbf29ce484222325u;
	for (size_t i = 0; i < count; i++) {
		struct stat file;
		if (paths[i] == NULL || stat(paths[i], &file) != 0)
			continue;
		mark = mix(mix(mark, (uint64_t)file.st_ino), (uint64_t)file.st_size);
		mark = mix(mix(mark, (uint64_t)file.st_mtim.tv_sec), (uint64_t)file.st_mtim.tv_nsec);
	}
	return mark;
}

uint64_t tls_mark(const struct settings_listen *settings)
{
	const char *const paths[] = {settings->cert_file, settings->key_file, settings->client_ca_file,
				     settings->client_crl_file};
	return files_mark(paths, sizeof(paths) / sizeof(paths[0]));
}
