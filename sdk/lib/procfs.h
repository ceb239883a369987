/* SPDX-License-Identifier: Apache-2.0 */
/* procfs: shared by the checks of the machine: reads small files whole, and parses numbers. */
#ifndef PROCFS_H
#define PROCFS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/* Reads a file into text, ended by '\0' and cut at size. Returns the bytes read, or -1 with errno.
 * O_NONBLOCK: a configured path may be a FIFO. */
static inline ssize_t procfs_read(const char *path, char *text, size_t size)
{
	size_t used = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -1;
	while (used < size - 1) {
		ssize_t got = read(fd, text + used, size - 1 - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		if (got == 0)
			break;
		used += (size_t)got;
	}
	close(fd);
	text[used] = '\0';
	return (ssize_t)used;
}

/* Reads the decimal number at *at, after blanks, and moves *at behind it. Returns false if there is none, or
 * it does not fit. */
static inline bool procfs_number(const char **at, uint64_t *out)
{
	const char *p = *at;
	uint64_t value = 0;

	while (*p == ' ' || *p == '\t')
		p++;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*p - '0');
	}
	*out = value;
	*at = p;
	return true;
}

#endif
