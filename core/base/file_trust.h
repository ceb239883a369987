/* SPDX-License-Identifier: Apache-2.0 */
/* file_trust: whether a file that decides what skymon does may be trusted: its config, secrets, keys and
 * plugins. One rule for all of them: the file and every folder above it belong to root or to the daemon's
 * user, and no other user may write them. A folder with the sticky bit (/tmp) is fine, because there only the
 * owner of an entry may replace it; so is a file system that is mounted read-only (ConfigMaps of Kubernetes
 * are 0777). A group counts as others unless it is root's or the daemon's own; any group may read a file of
 * root's. Reads nothing but the file system. */
#ifndef FILE_TRUST_H
#define FILE_TRUST_H

#include <stdbool.h>

#include "err.h"

enum trust {
	TRUST_GOOD,
	TRUST_READABLE, /* others may read it, and err says so: worth a warning for a secret or a key */
	TRUST_BAD,      /* others may write it, and err says what to do */
};

/* Applies the rule to fd, the file that was opened by that path. apart, for code: its folder must not be one
 * where others make files, sticky bit or not. */
enum trust trust_file(int fd, const char *path, bool apart, struct err *err);
/* Returns strerror, with the user where that matters: "Permission denied (skymond runs as user skymon)". */
const char *trust_error(int error, char text[160]);

#endif
