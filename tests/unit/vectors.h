/* SPDX-License-Identifier: Apache-2.0 */
/* vectors: other projects' test suites, which ./dev fetches into the folder SKYMON_TEST_VECTORS
 * (tests/live/vectors). A program whose suite is missing returns VECTORS_SKIPPED. */
#ifndef VECTORS_H
#define VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

#define VECTORS_SKIPPED 77 /* automake's exit status for a skipped test */

static inline void vectors_path(const char *suite, char *path, size_t size)
{
	const char *folder = getenv("SKYMON_TEST_VECTORS");

	snprintf(path, size, "%s/%s.json", folder != NULL ? folder : "", suite);
}

static inline bool vectors_are_there(const char *suite)
{
	char path[512];

	vectors_path(suite, path, sizeof(path));
	if (access(path, R_OK) == 0)
		return true;
	printf("SKIPPED [1] %s: no file %s (./dev test fetches it; build/log/vectors.log)\n", suite, path);
	return false;
}

static inline json_t *vectors_load(const char *suite)
{
	char path[512];
	json_error_t error;

	vectors_path(suite, path, sizeof(path));
	json_t *cases = json_load_file(path, JSON_ALLOW_NUL, &error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(cases);
	return cases;
}

static inline const char *vectors_text(const json_t *row, const char *member)
{
	const char *text = json_string_value(json_object_get(row, member));

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	return text;
}

/* Decodes a text of hexadecimal digits to bytes and a NUL, for free(). */
static inline char *vectors_bytes(const char *hex, size_t *size)
{
	*size = strlen(hex) / 2;
	char *bytes = malloc(*size + 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < *size; i++) {
		unsigned byte = 0;
		CU_ASSERT_FATAL(sscanf(hex + 2 * i, "%2x", &byte) == 1);
		bytes[i] = (char)byte;
	}
	bytes[*size] = '\0';
	return bytes;
}

#endif
