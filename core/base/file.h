/* SPDX-License-Identifier: Apache-2.0 */
/* file: reads whole files that decide what skymon does: configs, secrets, certificates, keys. Refused unless
 * regular and trusted (file_trust.h). */
#ifndef FILE_H
#define FILE_H

#include <stdbool.h>

#include "buf.h"
#include "err.h"

/* Reads a file of at most `most` bytes (whole KiB) into *out, which is empty; the data ends with '\0'. kind:
 * what it is, for the sentence, such as "the secret file ", or "". false: err says why, and *out is empty. A
 * secret that was read is wiped by the caller; up to 64 KiB, no other copy of it is left behind. */
bool file_read(const char *kind, const char *path, size_t most, struct buf *out, struct err *err) MUST_CHECK;
/* Returns whether others may read it, for a warning; err is the sentence then. */
bool file_is_open(const char *path, struct err *err);

#endif
