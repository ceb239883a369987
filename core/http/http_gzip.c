/* SPDX-License-Identifier: Apache-2.0 */
/* http_gzip: compresses bodies with zlib at level 1, at once or on one helper thread, which starts with the
 * first job. http_reply.c calls it on the loop's thread. The helper thread touches the parts and the output
 * of a job only; finished jobs come back through an eventfd. Owns the thread and the queues. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zlib.h>

#include "http_gzip.h"

struct gzip {
	struct loop *loop;
	struct watch watch;
	pthread_t thread;
	bool has_thread;
	z_stream now, later; /* of the loop's thread and of the helper thread */
	bool now_ready, later_ready;
	pthread_mutex_t lock; /* guards the members below */
	pthread_cond_t wake;
	struct gzip_job *queue, **queue_end, *done, **done_end;
	bool stop;
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

static void *run_thread(void *arg)
{
	struct gzip *gzip = arg;
	pthread_mutex_lock(&gzip->lock);
	while (!gzip->stop) {
		struct gzip_job *job = gzip->queue;
		if (job == NULL) {
			pthread_cond_wait(&gzip->wake, &gzip->lock);
			continue;
		}
		gzip->queue = job->next;
		if (gzip->queue == NULL)
			gzip->queue_end = &gzip->queue;
		pthread_mutex_unlock(&gzip->lock);
		if (prepare(&gzip->later, &gzip->later_ready))
			job->out = compress_parts(&gzip->later, job->parts, job->count, &job->out_size);
		pthread_mutex_lock(&gzip->lock);
		job->next = NULL;
		*gzip->done_end = job;
		gzip->done_end = &job->next;
		if (eventfd_write(gzip->watch.fd, 1) < 0)
			break; /* impossible: the counter cannot overflow */
	}
	pthread_mutex_unlock(&gzip->lock);
	return NULL;
}

/* The thread blocks all signals, which are the main thread's. */
static bool start_thread(struct gzip *gzip)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	gzip->has_thread = pthread_create(&gzip->thread, NULL, run_thread, gzip) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return gzip->has_thread;
}

static void finish_done(struct gzip *gzip)
{
	pthread_mutex_lock(&gzip->lock);
	struct gzip_job *job = gzip->done;
	gzip->done = NULL;
	gzip->done_end = &gzip->done;
	pthread_mutex_unlock(&gzip->lock);
	while (job != NULL) {
		struct gzip_job *next = job->next;
		job->finished(job);
		job = next;
	}
}

static void take_done(struct watch *watch, uint32_t events)
{
	(void)events;
	eventfd_t value;
	if (eventfd_read(watch->fd, &value) == 0)
		finish_done(container_of(watch, struct gzip, watch));
}

struct gzip *gzip_new(struct loop *loop)
{
	struct gzip *gzip = x_alloc(sizeof(*gzip));
	gzip->loop = loop;
	gzip->watch.ready = take_done;
	gzip->queue_end = &gzip->queue;
	gzip->done_end = &gzip->done;
	pthread_mutex_init(&gzip->lock, NULL);
	pthread_cond_init(&gzip->wake, NULL);
	gzip->watch.fd = -1;
	return gzip;
}

bool gzip_start(struct gzip *gzip, struct gzip_job *job)
{
	job->next = NULL;
	if (gzip->watch.fd < 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd >= 0)
			loop_add(gzip->loop, &gzip->watch, fd, EPOLLIN);
	}
	if (gzip->watch.fd < 0 || (!gzip->has_thread && !start_thread(gzip)))
		return false;
	pthread_mutex_lock(&gzip->lock);
	*gzip->queue_end = job;
	gzip->queue_end = &job->next;
	pthread_cond_signal(&gzip->wake);
	pthread_mutex_unlock(&gzip->lock);
	return true;
}

void gzip_free(struct gzip *gzip)
{
	if (gzip->has_thread) {
		pthread_mutex_lock(&gzip->lock);
		gzip->stop = true;
		pthread_cond_signal(&gzip->wake);
		pthread_mutex_unlock(&gzip->lock);
		pthread_join(gzip->thread, NULL);
	}
	*gzip->done_end = gzip->queue; /* jobs not begun finish without output */
	finish_done(gzip);
	int fd = gzip->watch.fd;
	loop_remove(gzip->loop, &gzip->watch);
	if (fd >= 0)
		close(fd);
	if (gzip->now_ready)
		deflateEnd(&gzip->now);
	if (gzip->later_ready)
		deflateEnd(&gzip->later);
	pthread_cond_destroy(&gzip->wake);
	pthread_mutex_destroy(&gzip->lock);
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
