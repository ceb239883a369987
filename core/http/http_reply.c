/* SPDX-License-Identifier: Apache-2.0 */
/* http_reply: makes libmicrohttpd's response from the reply of a handler or worker: headers, errors as
 * problem+json, compression, shared bodies. Called by handlers through http_plugin_api.c and by the other
 * files of http, on the loop's thread. Owns struct replies.
 *
 * The newest small response is kept, and queued again for a reply of the same bytes, which saves making it.
 * The replies of /health under load are such: within a millisecond the text does not change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http_private.h"

#define COMPRESS_MIN 1024  /* bytes of the smallest body that compressing makes smaller */
#define COMPRESS_NOW 65536 /* bytes of the largest body that the loop has time to compress */
#define KEPT_MAX 1280      /* bytes of a response that is kept, with its headers */

struct replies {
	struct gzip *gzip;
	struct compression *compressions; /* that the helper thread has */
	int64_t date_second;              /* of date */
	char date[32];
	struct MHD_Response *kept; /* of the bytes below, or NULL */
	size_t kept_head_size, kept_size;
	char kept_bytes[KEPT_MAX]; /* head, then body */
};

/* A body that the helper thread compresses, and the requests that wait for it. */
struct compression {
	struct gzip_job job;
	struct compression *next;
	struct http *http;
	const struct route_entry
		*entry; /* requests with the same entry, code, head and generation share it */
	int code;
	struct buf head;
	uint64_t generation;
	void (*done)(void *);
	void *argument;
	struct link waiting; /* requests */
};

/* The argument of released(), which libmicrohttpd calls when it frees a response of parts. */
struct release {
	void (*done)(void *);
	void *argument;
};

/* ---- Headers ---- */

static void add_header(struct buf *head, const char *name, const char *value)
{
	buf_add(head, name, strlen(name) + 1);
	buf_add(head, value, strlen(value) + 1);
}

static const char *find_header(const struct buf *head, const char *name)
{
	for (const char *at = head->data; at < head->data + head->size;) {
		const char *value = at + strlen(at) + 1;
		if (strcmp(at, name) == 0)
			return value;
		at = value + strlen(value) + 1;
	}
	return NULL;
}

/* Adds a header unless the handler, which runs in the daemon, has set its own. */
static void add_default(struct buf *head, const char *name, const char *value)
{
	if (find_header(head, name) == NULL)
		add_header(head, name, value);
}

static bool has_reply(const struct skymon_request *rq)
{
	return rq->phase >= REQUEST_COMPRESSING;
}

void reply_header(struct skymon_request *rq, const char *name, const char *value)
{
	if (!has_reply(rq))
		add_header(&rq->extra, name, value);
}

/* May a page of any origin read the reply? Yes, where any client may read it without a token. */
static bool is_public_read(const struct skymon_request *rq)
{
	const struct route_entry *entry = rq->entry;
	if (entry == NULL || entry->route->flags & (SKYMON_ROUTE_PRIVATE | SKYMON_ROUTE_GUARDED))
		return false;
	if (rq->method_index != HTTP_GET && rq->method_index != HTTP_HEAD && rq->method_index != HTTP_OPTIONS)
		return false;
	return rq->open;
}

static const char *date_now(struct replies *replies)
{
	time_t second = time(NULL);
	if (second != replies->date_second) {
		struct tm tm;
		replies->date_second = second;
		if (gmtime_r(&second, &tm) != NULL) /* the daemon's locale is C: English names */
			strftime(replies->date, sizeof(replies->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return replies->date;
}

/* A browser may only show a reply, and in no frame. Replies of workers are shown in a sandbox, an origin of
 * their own without scripts and forms, so that a page that a plugin sends, or was made to send, cannot call
 * our routes with the rights of its viewer. */
#define POLICY                                                                                               \
	"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "               \
	"frame-ancestors 'none'"
#define WORKER_POLICY "sandbox; " POLICY

/* Completes the headers in rq->extra. */
static void finish_head(struct skymon_request *rq, const char *type)
{
	struct buf *head = &rq->extra;
	add_header(head, "Date", date_now(rq->http->replies));
	if (type != NULL)
		add_header(head, "Content-Type", type);
	add_default(head, "Cache-Control", "no-store");
	add_default(head, "Content-Security-Policy",
		    rq->entry != NULL && rq->entry->forwarded ? WORKER_POLICY : POLICY);
	add_header(head, "X-Content-Type-Options", "nosniff");
	if (is_public_read(rq))
		add_header(head, "Access-Control-Allow-Origin", "*");
	if (rq->close || rq->http->quiesced)
		add_header(head, "Connection", "close");
}

static void set_headers(struct MHD_Response *response, const struct buf *head)
{
	for (const char *at = head->data; at < head->data + head->size;) {
		const char *value = at + strlen(at) + 1;
		if (MHD_add_response_header(response, at, value) != MHD_YES)
			log_error("the reply header \"%s\" cannot be sent", at);
		at = value + strlen(value) + 1;
	}
}

static struct MHD_Response *must(struct MHD_Response *response)
{
	if (response == NULL)
		abort(); /* out of memory, as everywhere */
	return response;
}

/* ---- Copies ---- */

/* Notes the code. Returns false if the request has had a reply. */
static bool begin_reply(struct skymon_request *rq, int code)
{
	if (has_reply(rq)) {
		log_error("a handler replied twice: %s %s", rq->method, rq->path);
		return false;
	}
	rq->code = code;
	return true;
}

static struct MHD_Response *make_copy(struct skymon_request *rq, const void *bytes, size_t size)
{
	struct MHD_Response *response = must(MHD_create_response_from_buffer(
		size, (void *)(uintptr_t)(size > 0 ? bytes : ""), MHD_RESPMEM_MUST_COPY));
	set_headers(response, &rq->extra);
	return response;
}

static void drop_kept(struct replies *replies)
{
	if (replies->kept != NULL)
		MHD_destroy_response(replies->kept);
	replies->kept = NULL;
}

/* Returns the kept response if it has these bytes. Makes and keeps a new one otherwise. */
static struct MHD_Response *kept_copy(struct skymon_request *rq, const void *bytes, size_t size)
{
	struct replies *replies = rq->http->replies;
	const struct buf *head = &rq->extra;
	if (replies->kept != NULL && replies->kept_head_size == head->size && replies->kept_size == size &&
	    memcmp(replies->kept_bytes, head->data, head->size) == 0 &&
	    memcmp(replies->kept_bytes + head->size, bytes, size) == 0)
		return replies->kept;
	drop_kept(replies);
	replies->kept = make_copy(rq, bytes, size);
	replies->kept_head_size = head->size;
	replies->kept_size = size;
	memcpy(replies->kept_bytes, head->data, head->size);
	memcpy(replies->kept_bytes + head->size, bytes, size);
	return replies->kept;
}

static void finish_and_free(struct skymon_request *rq, struct MHD_Response *response)
{
	http_finish(rq, response);
	MHD_destroy_response(response);
}

static bool has_no_body(const struct skymon_request *rq)
{
	return rq->as_options || rq->code == 204 || rq->code == 304;
}

void reply_copy(struct skymon_request *rq, int code, const char *type, const void *bytes, size_t size)
{
	if (!begin_reply(rq, code))
		return;
	if (rq->connection == NULL) {
		buf_add(&rq->output, bytes, size);
		http_finish(rq, NULL);
		return;
	}
	if (has_no_body(rq)) {
		type = NULL;
		size = 0;
	}
	finish_head(rq, type);
	if (size > 0 && rq->extra.size + size <= KEPT_MAX)
		http_finish(rq, kept_copy(rq, bytes, size));
	else
		finish_and_free(rq, make_copy(rq, bytes, size));
}

/* ---- Problems ---- */

void reply_problem_text(struct skymon_request *rq, int code, const char *text, size_t size)
{
	char detail[SKYMON_TEXT_MAX + 1];
	struct buf body = {0};
	snprintf(detail, sizeof(detail), "%.*s", (int)size, text);
	http_message_print_problem(&body, code, detail, rq->members.data, wall_clock_ms());
	rq->problem = true;
	if (rq->audit == NULL && rq->entry != NULL && rq->entry->route->flags & SKYMON_ROUTE_GUARDED)
		rq->audit = request_copy(rq, detail);
	reply_copy(rq, code, "application/problem+json", body.data, body.size);
	buf_free(&body);
}

void reply_problem(struct skymon_request *rq, int code, const char *format, ...)
{
	char text[SKYMON_TEXT_MAX + 2];
	va_list list;
	va_start(list, format);
	size_t size = skymon_format(text, format, list);
	va_end(list);
	reply_problem_text(rq, code, text, size);
}

/* ---- Parts ---- */

_Static_assert(sizeof(struct skymon_part) == sizeof(struct MHD_IoVec) &&
		       offsetof(struct skymon_part, bytes) == offsetof(struct MHD_IoVec, iov_base) &&
		       offsetof(struct skymon_part, size) == offsetof(struct MHD_IoVec, iov_len),
	       "a part is an iovec");

static void released(void *arg)
{
	struct release *release = arg;
	if (release->done != NULL)
		release->done(release->argument);
	free(release);
}

static struct MHD_Response *make_parts(const struct skymon_part *parts, size_t count, void (*done)(void *),
				       void *argument)
{
	struct release *release = x_alloc(sizeof(*release));
	release->done = done;
	release->argument = argument;
	return must(MHD_create_response_from_iovec((const struct MHD_IoVec *)(const void *)parts,
						   (unsigned)count, released, release));
}

static struct MHD_Response *make_compressed(char *bytes, size_t size, const struct buf *head)
{
	struct MHD_Response *response =
		must(MHD_create_response_from_buffer(size, bytes, MHD_RESPMEM_MUST_FREE));
	set_headers(response, head);
	if (MHD_add_response_header(response, "Content-Encoding", "gzip") != MHD_YES)
		abort(); /* out of memory: without it the body cannot be read */
	return response;
}

static size_t total_size(const struct skymon_part *parts, size_t count)
{
	size_t total = 0;
	for (size_t i = 0; i < count; i++)
		total += parts[i].size;
	return total;
}

/* ---- Compression in the thread ---- */

static void free_compression(struct compression *run)
{
	buf_free(&run->head);
	free(run->job.parts);
	free(run);
}

static void compressed(struct gzip_job *job)
{
	struct compression *run = container_of(job, struct compression, job), **at;
	for (at = &run->http->replies->compressions; *at != run;)
		at = &(*at)->next;
	*at = run->next;
	struct MHD_Response *response;
	if (job->out != NULL) {
		response = make_compressed(job->out, job->out_size, &run->head);
		if (run->done != NULL)
			run->done(run->argument);
	} else {
		response = make_parts(job->parts, job->count, run->done, run->argument);
		set_headers(response, &run->head);
	}
	while (run->waiting.next != &run->waiting) {
		struct skymon_request *rq = container_of(run->waiting.next, struct skymon_request, waiting);
		link_remove(&rq->waiting);
		http_finish(rq, response);
	}
	MHD_destroy_response(response);
	free_compression(run);
}

static void wait_for(struct skymon_request *rq, struct compression *run)
{
	request_suspend(rq, REQUEST_COMPRESSING);
	link_append(&run->waiting, &rq->waiting);
}

static struct compression *find_shared(const struct skymon_request *rq, uint64_t generation)
{
	const struct buf *head = &rq->extra;
	for (struct compression *run = rq->http->replies->compressions; run != NULL; run = run->next)
		if (generation != 0 && run->generation == generation && run->entry == rq->entry &&
		    run->code == rq->code && run->head.size == head->size &&
		    memcmp(run->head.data, head->data, head->size) == 0)
			return run;
	return NULL;
}

/* Returns false if the thread cannot be started. */
static bool compress_later(struct skymon_request *rq, const struct skymon_part *parts, size_t count,
			   uint64_t generation, void (*done)(void *), void *argument)
{
	struct replies *replies = rq->http->replies;
	struct compression *run = find_shared(rq, generation);
	if (run != NULL) {
		wait_for(rq, run);
		if (done != NULL)
			done(argument);
		return true;
	}
	run = x_alloc(sizeof(*run));
	run->http = rq->http;
	run->entry = rq->entry;
	run->code = rq->code;
	run->generation = generation;
	run->done = done;
	run->argument = argument;
	link_init(&run->waiting);
	buf_add(&run->head, rq->extra.data, rq->extra.size);
	run->job.parts = x_alloc(count * sizeof(*parts));
	memcpy(run->job.parts, parts, count * sizeof(*parts));
	run->job.count = count;
	run->job.finished = compressed;
	if (!gzip_start(replies->gzip, &run->job)) {
		free_compression(run);
		return false;
	}
	run->next = replies->compressions;
	replies->compressions = run;
	wait_for(rq, run);
	return true;
}

/* ---- Replies of parts ---- */

/* Returns false if the reply must be sent uncompressed. */
static bool compress(struct skymon_request *rq, const struct skymon_part *parts, size_t count,
		     uint64_t generation, void (*done)(void *), void *argument)
{
	size_t size, total = total_size(parts, count);
	if (total < COMPRESS_MIN || !gzip_wanted(rq->headers.accept_encoding))
		return false;
	if (total > COMPRESS_NOW && compress_later(rq, parts, count, generation, done, argument))
		return true;
	char *bytes = gzip_now(rq->http->replies->gzip, parts, count, &size);
	if (bytes == NULL)
		return false;
	if (done != NULL)
		done(argument);
	finish_and_free(rq, make_compressed(bytes, size, &rq->extra));
	return true;
}

void reply_parts(struct skymon_request *rq, int code, const char *type, const struct skymon_part *parts,
		 size_t count, uint64_t generation, void (*done)(void *), void *argument)
{
	bool first = begin_reply(rq, code), rendered = rq->connection == NULL;
	if (first && !rendered && !has_no_body(rq)) {
		add_header(&rq->extra, "Vary", "Accept-Encoding");
		finish_head(rq, type);
		if (compress(rq, parts, count, generation, done, argument))
			return;
		struct MHD_Response *response = make_parts(parts, count, done, argument);
		set_headers(response, &rq->extra);
		finish_and_free(rq, response);
		return;
	}
	for (size_t i = 0; first && rendered && i < count; i++)
		buf_add(&rq->output, parts[i].bytes, parts[i].size);
	if (done != NULL)
		done(argument);
	if (first && rendered) {
		http_finish(rq, NULL);
	} else if (first) {
		finish_head(rq, NULL);
		finish_and_free(rq, make_copy(rq, NULL, 0));
	}
}

/* ---- The whole ---- */

struct replies *replies_new(struct loop *loop)
{
	struct replies *replies = x_alloc(sizeof(*replies));
	replies->gzip = gzip_new(loop);
	return replies;
}

void replies_finish(struct replies *replies)
{
	gzip_free(replies->gzip);
	replies->gzip = NULL;
}

void replies_free(struct replies *replies)
{
	drop_kept(replies);
	free(replies);
}
