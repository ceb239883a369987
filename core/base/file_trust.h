/* SPDX-License-Identifier: Apache-2.0 */
/* trust: who may write a file that decides what skymon does: its config, secrets, keys and plugins. One rule
 * for all of them: the file and every folder above it belong to root or to us, and no one else may write
 * them. A folder with the sticky bit (/tmp) is fine, because there only the owner of an entry may replace it;
 * so is a file system that is mounted read-only (ConfigMaps of Kubernetes are 0777). A group counts as others
 * unless it is root's or ours. Reads nothing but the file system. */
#ifndef TRUST_H
#define TRUST_H

#include <stdbool.h>

#include "err.h"

enum trust {
	TRUST_GOOD,
	TRUST_READABLE, /* others may read it: err says so. Worth a warning where it is a secret or a key */
	TRUST_BAD,      /* others may write it: err says what to do */
};

/* fd: the file, opened by that path. apart: its own folder must not be one where others make files, sticky
 * bit or not: for code. */
enum trust trust_file(int fd, const char *path, bool apart, struct err *err);
/* "Permission denied (skymond runs as user skymon)": strerror, with the user where that matters. */
const char *trust_error(int error, char text[160]);

#endif
