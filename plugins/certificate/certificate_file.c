/* SPDX-License-Identifier: Apache-2.0 */
/* certificate_file: reads the certificates of a PEM file. Called by certificate.c, on the check's thread. Owns nothing. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate.h"

#define FILE_MAX (1u << 20)

/* Explains errno. */
static bool cannot(const char *path, struct skymon_fault *fault)
{
	if (errno == ENOENT || errno == ENOTDIR)
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_MISSING, "%.200s: no such file", path);
	else
		skymon_fault_set(fault, SKYMON_UNKNOWN, errno == EACCES ? SKYMON_DENIED : SKYMON_OTHER,
				 "%.200s: cannot be read: %s", path, strerror(errno));
	return false;
}

/* Reads a regular file into *bytes, which the caller wipes: it may hold a key too. Returns its size, or -1. */
static ssize_t read_file(const char *path, char **bytes, struct skymon_fault *fault)
{
	struct stat about;
	/* a FIFO would keep the check waiting */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t size = -1;
	*bytes = NULL;
	if (fd < 0) {
		cannot(path, fault);
		return -1;
	}
	if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > FILE_MAX) {
		skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE,
				 "%.200s: not a regular file of at most 1 MiB", path);
	} else if ((*bytes = malloc(FILE_MAX)) == NULL) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_RESOURCE, "out of memory");
	} else {
		size_t had = 0;
		ssize_t got;
		while (had < FILE_MAX && (got = read(fd, *bytes + had, FILE_MAX - had)) > 0)
			had += (size_t)got;
		size = (ssize_t)had;
	}
	close(fd);
	return size;
}

bool certificate_read(const char *path, struct certificate_seen *seen, struct skymon_fault *fault)
{
	char *bytes;
	ssize_t size = read_file(path, &bytes, fault);
	BIO *bio = size > 0 ? BIO_new_mem_buf(bytes, (int)size) : NULL;
	X509 *one;
	seen->chain = sk_X509_new_null();
	while (bio != NULL && seen->chain != NULL && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(seen->chain, one) <= 0)
			X509_free(one);
	unsigned long error = ERR_peek_last_error();
	bool broken = size > 0 &&
		      !(ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);
	ERR_clear_error();
	BIO_free(bio);
	if (size > 0)
		OPENSSL_cleanse(bytes, (size_t)size);
	free(bytes);
	if (size < 0)
		return false;
	if (sk_X509_num(seen->chain) > 0 && !broken)
		return true;
	skymon_fault_set(fault, SKYMON_UNHEALTHY, SKYMON_WRONG_VALUE, "%.200s: %s", path,
			 broken ? "a certificate in it cannot be read (PEM)" : "holds no certificate (PEM)");
	return false;
}
