/* SPDX-License-Identifier: Apache-2.0 */
/* http_gzip: compresses bodies with zlib at level 1, at once or on one helper thread. http_reply.c calls it on the
 * loop's thread. The helper thread touches the parts and the output of a job and its own zlib stream only. Owns the
 * helper. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "http_gzip.h"

struct gzip {
	struct helper *helper;
	z_stream now, later; /* of the loop's thread and of the helper thread */
	bool now_ready, later_ready;
};

/* ---- zlib ---- */

static bool prepare(z_stream *stream, bool *ready)
{
	if (*ready)
		return deflateReset(stream) == Z_OK;
	*ready = deflateInit2(stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	return *ready;
}

/* Deflates until the input is consumed or, with Z_FINISH, all output is written. */
static bool feed(z_stream *stream, int flush, char **out, size_t *size)
{
	do {
		size_t made = stream->total_out;
		if (made == *size) {
			char *more = realloc(*out, *size * 2);
			if (more == NULL)
				return false;
			*out = more;
			*size *= 2;
		}
		stream->next_out = (Bytef *)*out + made;
		stream->avail_out = *size - made > 1u << 30 ? 1u << 30 : (uInt)(*size - made);
		int got = deflate(stream, flush);
		if (got == Z_STREAM_END)
			return true;
		if (got != Z_OK && got != Z_BUF_ERROR)
			return false;
	} while (stream->avail_out == 0 || stream->avail_in > 0 || flush == Z_FINISH);
	return true;
}

static char *compress_parts(z_stream *stream, const struct skymon_part *parts, size_t count, size_t *size)
{
	size_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += parts[i].size;
	size_t room = total / 4 + 1024;
	char *out = malloc(room);
	bool ok = out != NULL;
	for (size_t i = 0; i < count && ok; i++) {
		const char *at = parts[i].bytes;
		for (size_t left = parts[i].size; left > 0 && ok;) {
			uInt step = left > 1u << 30 ? 1u << 30 : (uInt)left;
			stream->next_in = (z_const Bytef *)(uintptr_t)at;
			stream->avail_in = step;
			ok = feed(stream, Z_NO_FLUSH, &out, &room);
			at += step;
			left -= step;
		}
	}
	stream->avail_in = 0;
	if (!ok || !feed(stream, Z_FINISH, &out, &room)) {
		free(out);
		return NULL;
	}
	*size = stream->total_out;
	return out;
}

char *gzip_now(struct gzip *gzip, const struct skymon_part *parts, size_t count, size_t *size)
{
	return prepare(&gzip->now, &gzip->now_ready) ? compress_parts(&gzip->now, parts, count, size) : NULL;
}

/* ---- The thread ---- */

static void run_job(struct helper_job *helped)
{
	struct gzip_job *job = container_of(helped, struct gzip_job, job);
	struct gzip *gzip = job->gzip;
	if (prepare(&gzip->later, &gzip->later_ready))
		job->out = compress_parts(&gzip->later, job->parts, job->count, &job->out_size);
}

static void finish_job(struct helper_job *helped)
{
	struct gzip_job *job = container_of(helped, struct gzip_job, job);
	job->finished(job);
}

struct gzip *gzip_new(struct loop *loop)
{
	struct gzip *gzip = x_alloc(sizeof(*gzip));
	gzip->helper = helper_new(loop);
	return gzip;
}

bool gzip_start(struct gzip *gzip, struct gzip_job *job)
{
	job->gzip = gzip;
	job->job.run = run_job;
	job->job.finished = finish_job;
	return helper_start(gzip->helper, &job->job);
}

void gzip_free(struct gzip *gzip)
{
	helper_free(gzip->helper); /* jobs not begun finish without output */
	if (gzip->now_ready)
		deflateEnd(&gzip->now);
	if (gzip->later_ready)
		deflateEnd(&gzip->later);
	free(gzip);
}

/* ---- Accept-Encoding ---- */

static bool has_zero_weight(const char *entry, size_t size)
{
	for (const char *at = memchr(entry, ';', size); at != NULL;
	     at = memchr(at, ';', (size_t)(entry + size - at))) {
		at += 1 + strspn(at + 1, " \t");
		if (strncasecmp(at, "q=", 2) == 0)
			return !(strtod(at + 2, NULL) > 0);
	}
	return false;
}

bool gzip_wanted(const char *header)
{
	bool any = false;
	while (header != NULL && *header != '\0') {
		header += strspn(header, " \t,");
		size_t size = strcspn(header, ","), name = strcspn(header, "; \t,");
		if ((name == 4 && strncasecmp(header, "gzip", 4) == 0) ||
		    (name == 6 && strncasecmp(header, "x-gzip", 6) == 0))
			return !has_zero_weight(header, size);
		if (name == 1 && *header == '*')
			any = !has_zero_weight(header, size);
		header += size;
	}
	return any;
}
