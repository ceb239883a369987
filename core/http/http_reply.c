/* SPDX-License-Identifier: Apache-2.0 */
/* http_reply: from what a handler answers to libmicrohttpd's response: headers, errors as problem+json,
 * compression, and bodies that are shared.
 *
 * The newest small response is kept: an answer of the same bytes is queued once more, which spares its
 * making. /health under load is such a one: within a millisecond its text does not change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http_private.h"

#define COMPRESS_MIN 1024    /* below, compressing gains nothing */
#define COMPRESS_LATER 65536 /* above, it takes too long for the loop */
#define KEPT_MAX 1280

struct kept_reply {
	struct MHD_Response *response;
	size_t head_size, size;
	char bytes[KEPT_MAX]; /* head, then body */
};

/* A body that the helper thread compresses, and who waits for it. */
struct gzip_run {
	struct gzip_job job;
	struct gzip_run *next;
	struct http *http;
	const struct route_entry *entry; /* with the rest up to generation: whose asker may share it */
	int code;
	struct buf head;
	uint64_t generation;
	void (*done)(void *);
	void *argument;
	struct skymon_request *waiters;
};

/* What libmicrohttpd calls when a response of parts is freed. */
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

void reply_header(struct skymon_request *rq, const char *name, const char *value)
{
	if (!rq->answered)
		add_header(&rq->extra, name, value);
}

/* May a page of any origin read this? What everybody may read anyway. */
static bool is_public_read(const struct skymon_request *rq)
{
	const struct route_entry *entry = rq->entry;
	if (entry == NULL || entry->route->flags & (SKYMON_ROUTE_PRIVATE | SKYMON_ROUTE_GUARDED))
		return false;
	if (rq->method_index != HTTP_GET && rq->method_index != HTTP_HEAD && rq->method_index != HTTP_OPTIONS)
		return false;
	return rq->open;
}

static const char *date_now(struct http *http)
{
	time_t second = time(NULL);
	if (second != http->date_second) {
		struct tm tm;
		http->date_second = second;
		if (gmtime_r(&second, &tm) != NULL) /* the daemon's locale is C: English names */
			strftime(http->date, sizeof(http->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return http->date;
}

/* What a browser may do with an answer: nothing but show it, in no frame. What comes from a worker is shown
 * in a sandbox, an origin of its own without scripts and forms: a page of a plugin's, or one that it was made
 * to send, cannot ask our routes with the rights of whoever looks at it. */
#define POLICY                                                                                               \
	"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "               \
	"frame-ancestors 'none'"
#define WORKER_POLICY "sandbox; " POLICY

/* Completes the headers in rq->extra: each as name '\0' value '\0'. */
static void finish_head(struct skymon_request *rq, const char *type)
{
	struct buf *head = &rq->extra;
	add_header(head, "Date", date_now(rq->http));
	if (type != NULL)
		add_header(head, "Content-Type", type);
	add_header(head, "Cache-Control", "no-store");
	add_header(head, "Content-Security-Policy",
		   rq->entry != NULL && rq->entry->away ? WORKER_POLICY : POLICY);
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

static bool begin_reply(struct skymon_request *rq, int code)
{
	if (rq->answered) {
		log_error("a handler answered twice: %s %s", rq->method, rq->path);
		return false;
	}
	rq->answered = true;
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

/* The kept response when it has these bytes; else a new one, which is kept in its place when it is small. */
static struct MHD_Response *kept_copy(struct skymon_request *rq, const void *bytes, size_t size)
{
	struct http *http = rq->http;
	struct kept_reply *kept = http->kept;
	const struct buf *head = &rq->extra;
	if (kept->response != NULL && kept->head_size == head->size && kept->size == size &&
	    memcmp(kept->bytes, head->data, head->size) == 0 &&
	    memcmp(kept->bytes + head->size, bytes, size) == 0)
		return kept->response;
	reply_free_kept(http);
	kept->response = make_copy(rq, bytes, size);
	kept->head_size = head->size;
	kept->size = size;
	memcpy(kept->bytes, head->data, head->size);
	memcpy(kept->bytes + head->size, bytes, size);
	return kept->response;
}

void reply_free_kept(struct http *http)
{
	if (http->kept->response != NULL)
		MHD_destroy_response(http->kept->response);
	http->kept->response = NULL;
}

struct kept_reply *reply_new_kept(void)
{
	return x_alloc(sizeof(struct kept_reply));
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
		return;
	}
	if (has_no_body(rq)) {
		type = NULL;
		size = 0;
	}
	finish_head(rq, type);
	rq->keep = rq->extra.size + size <= KEPT_MAX && size > 0;
	rq->response = rq->keep ? kept_copy(rq, bytes, size) : make_copy(rq, bytes, size);
}

/* ---- Problems ---- */

void reply_problem_list(struct skymon_request *rq, int code, const char *format, va_list list)
{
	char detail[2048];
	struct buf body = {0};
	vsnprintf(detail, sizeof(detail), format, list);
	http_message_print_problem(&body, code, detail, rq->members.data, wall_clock_ms());
	rq->problem = true;
	if (rq->audit == NULL && rq->entry != NULL && rq->entry->route->flags & SKYMON_ROUTE_GUARDED)
		rq->audit = strcpy(request_text(rq, strlen(detail) + 1), detail);
	reply_copy(rq, code, "application/problem+json", body.data, body.size);
	buf_free(&body);
}

void reply_problem(struct skymon_request *rq, int code, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	reply_problem_list(rq, code, format, list);
	va_end(list);
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

static void free_run(struct gzip_run *run)
{
	buf_free(&run->head);
	free(run->job.parts);
	free(run);
}

static void answer_waiters(struct gzip_run *run, struct MHD_Response *response)
{
	for (struct skymon_request *rq = run->waiters, *next; rq != NULL; rq = next) {
		next = rq->next_waiter;
		rq->run = NULL;
		struct MHD_Connection *connection = rq->connection; /* queueing may end the request */
		pool_set_state(rq->peer, PEER_BUSY);
		rq->listener->resumed = true;
		if (MHD_queue_response(connection, (unsigned)run->code, response) != MHD_YES)
			log_debug("a compressed reply could not be queued");
		MHD_resume_connection(connection);
	}
}

static void run_finished(struct gzip_job *job)
{
	struct gzip_run *run = container_of(job, struct gzip_run, job);
	struct gzip_run **place = &run->http->running;
	while (*place != run)
		place = &(*place)->next;
	*place = run->next;
	struct MHD_Response *response;
	if (job->out != NULL) {
		response = make_compressed(job->out, job->out_size, &run->head);
		if (run->done != NULL)
			run->done(run->argument);
	} else {
		response = make_parts(job->parts, job->count, run->done, run->argument);
		set_headers(response, &run->head);
	}
	answer_waiters(run, response);
	MHD_destroy_response(response);
	free_run(run);
}

static void wait_for(struct skymon_request *rq, struct gzip_run *run)
{
	rq->run = run;
	rq->next_waiter = run->waiters;
	run->waiters = rq;
}

void reply_forget_waiter(struct skymon_request *rq)
{
	struct skymon_request **place = &rq->run->waiters;
	while (*place != NULL && *place != rq)
		place = &(*place)->next_waiter;
	if (*place == rq)
		*place = rq->next_waiter;
	rq->run = NULL;
}

static struct gzip_run *shared_run(const struct skymon_request *rq, uint64_t generation)
{
	const struct buf *head = &rq->extra;
	for (struct gzip_run *run = rq->http->running; run != NULL; run = run->next)
		if (generation != 0 && run->generation == generation && run->entry == rq->entry &&
		    run->code == rq->code && run->head.size == head->size &&
		    memcmp(run->head.data, head->data, head->size) == 0)
			return run;
	return NULL;
}

/* false: there is no thread to be had. */
static bool compress_later(struct skymon_request *rq, const struct skymon_part *parts, size_t count,
			   uint64_t generation, void (*done)(void *), void *argument)
{
	struct gzip_run *run = shared_run(rq, generation);
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
	buf_add(&run->head, rq->extra.data, rq->extra.size);
	run->job.parts = x_alloc(count * sizeof(*parts));
	memcpy(run->job.parts, parts, count * sizeof(*parts));
	run->job.count = count;
	run->job.finished = run_finished;
	if (!gzip_start(rq->http->gzip, &run->job)) {
		free_run(run);
		return false;
	}
	run->next = rq->http->running;
	rq->http->running = run;
	wait_for(rq, run);
	return true;
}

/* ---- Replies of parts ---- */

static void capture(struct skymon_request *rq, const struct skymon_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_add(&rq->output, parts[i].bytes, parts[i].size);
}

/* Answers compressed, now or later; false: as it is. */
static bool compress(struct skymon_request *rq, const struct skymon_part *parts, size_t count,
		     uint64_t generation, void (*done)(void *), void *argument)
{
	size_t size, total = total_size(parts, count);
	if (total < COMPRESS_MIN || !gzip_wanted(rq->headers.accept_encoding))
		return false;
	if (total > COMPRESS_LATER && compress_later(rq, parts, count, generation, done, argument))
		return true;
	char *bytes = gzip_now(rq->http->gzip, parts, count, &size);
	if (bytes == NULL)
		return false;
	rq->response = make_compressed(bytes, size, &rq->extra);
	if (done != NULL)
		done(argument);
	return true;
}

void reply_parts(struct skymon_request *rq, int code, const char *type, const struct skymon_part *parts,
		 size_t count, uint64_t generation, void (*done)(void *), void *argument)
{
	bool first = begin_reply(rq, code);
	if (first && rq->connection == NULL)
		capture(rq, parts, count);
	if (!first || rq->connection == NULL || has_no_body(rq)) {
		if (done != NULL)
			done(argument);
		if (first && rq->connection != NULL) {
			finish_head(rq, NULL);
			rq->response = make_copy(rq, NULL, 0);
		}
		return;
	}
	add_header(&rq->extra, "Vary", "Accept-Encoding");
	finish_head(rq, type);
	if (compress(rq, parts, count, generation, done, argument))
		return;
	rq->response = make_parts(parts, count, done, argument);
	set_headers(rq->response, &rq->extra);
}
