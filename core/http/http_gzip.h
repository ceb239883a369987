/* SPDX-License-Identifier: Apache-2.0 */
/* Compression of reply bodies, at once or on one helper thread. */
#ifndef HTTP_GZIP_H
#define HTTP_GZIP_H

#include <skymon/routes.h>

#include "base/helper.h"

struct gzip;

struct gzip_job {
	struct helper_job job; /* gzip_start fills it in, and the next */
	struct gzip *gzip;
	struct skymon_part *parts; /* owned; their bytes are borrowed */
	size_t count;
	char *out; /* malloc'd; NULL when zlib failed */
	size_t out_size;
	void (*finished)(struct gzip_job *job); /* on the loop's thread */
};

struct gzip *gzip_new(struct loop *loop);
/* Waits for the running job. Every job has finished when this returns. */
void gzip_free(struct gzip *gzip);
/* Returns false when the thread cannot be started; finished is not called then. */
bool gzip_start(struct gzip *gzip, struct gzip_job *job) MUST_CHECK;
/* Compresses on the calling thread. Returns NULL when zlib failed; the caller frees. */
char *gzip_now(struct gzip *gzip, const struct skymon_part *parts, size_t count, size_t *size);
/* Does an Accept-Encoding header (may be NULL) ask for gzip? */
bool gzip_wanted(const char *accept_encoding);

#endif
