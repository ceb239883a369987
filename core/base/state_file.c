/* SPDX-License-Identifier: Apache-2.0 */
/* state_file: a file in state_dir that survives a restart. Called by its owners in the daemon on the loop's
 * thread; owns the contents that are being written and, while they are, one thread, which touches nothing but
 * its job and reports its end through an eventfd. See state_file.h. */
#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"
#include "helper.h"
#include "log.h"

#define GAP_MIN_MS 1000 /* between two writes */
#define END_MS 2000     /* for the last write, when skymond exits */
#define STACK_SIZE (64u << 10)
#define HEAD_MAX 128

struct job { /* the thread's while it runs */
	char *folder, *path, *draft;
	struct buf bytes;
	int done; /* the eventfd */
	int error;
};

struct state_file {
	struct loop *loop;
	char *kind;
	uint32_t version;
	state_file_make *make;
	void *arg;
	struct watch done;
	struct timer due;
	struct job job;
	pthread_t thread;
	bool busy, changed,
		failed;   /* changed: since the write that is busy began; failed: and that was logged */
	int64_t next_ms;  /* no write before */
	uint64_t written; /* hash of the contents */
};

/* ---- The head ---- */

static uint64_t hash_body(const void *bytes, size_t size)
{
	return hash_add(HASH_START, bytes, size);
}

static int print_head(const char *kind, uint32_t version, const char *body, size_t size, char head[HEAD_MAX])
{
	return snprintf(head, HEAD_MAX, "skymon-state %.32s %" PRIu32 " %zu %016" PRIx64 "\n", kind, version,
			size, hash_body(body, size));
}

void state_file_pack(const char *kind, uint32_t version, const struct buf *body, struct buf *out)
{
	char head[HEAD_MAX];
	buf_room(out, body->size + HEAD_MAX);
	buf_add(out, head, (size_t)print_head(kind, version, body->data, body->size, head));
	buf_add(out, body->data, body->size);
}

bool state_file_unpack(const char *kind, uint32_t version, const struct buf *bytes, size_t *body_at,
		       struct err *err)
{
	char form[64], head[HEAD_MAX];
	uint32_t found;
	const char *end = memchr(bytes->data, '\n', bytes->size < HEAD_MAX ? bytes->size : HEAD_MAX);
	snprintf(form, sizeof(form), "skymon-state %.32s %%" SCNu32, kind);
	if (end == NULL || sscanf(bytes->data, form, &found) != 1)
		return err_set(err, "it does not begin as a file of skymond");
	if (found != version)
		return err_set(err, "it has version %" PRIu32 ", and this skymond reads %" PRIu32, found,
			       version);
	*body_at = (size_t)(end - bytes->data) + 1;
	/* the head that these contents would have, byte for byte */
	int size = print_head(kind, version, bytes->data + *body_at, bytes->size - *body_at, head);
	if ((size_t)size != *body_at || memcmp(head, bytes->data, *body_at) != 0)
		return err_set(err, "it is damaged");
	return true;
}

/* ---- Reading ---- */

void state_file_reject(struct state_file *file, const char *why)
{
	struct buf bad = {0};
	buf_printf(&bad, "%s.bad", file->job.path);
	if (rename(file->job.path, bad.data) == 0)
		log_warn("%s is not used, and was renamed to %s: %s", file->job.path, bad.data, why);
	else
		log_warn("%s is not used: %s", file->job.path, why);
	buf_free(&bad);
}

bool state_file_load(struct state_file *file, struct buf *body)
{
	struct buf bytes = {0};
	struct err err;
	size_t at;
	if (access(file->job.path, F_OK) != 0 && errno == ENOENT)
		return false;
	if (!file_read("", file->job.path, STATE_FILE_MAX, &bytes, &err) ||
	    !state_file_unpack(file->kind, file->version, &bytes, &at, &err)) {
		state_file_reject(file, err.text);
		buf_free(&bytes);
		return false;
	}
	buf_add(body, bytes.data + at, bytes.size - at);
	buf_free(&bytes);
	return true;
}

/* ---- Writing, on the thread ---- */

static bool write_all(int fd, const struct buf *bytes)
{
	for (size_t at = 0; at < bytes->size;) {
		ssize_t put = write(fd, bytes->data + at, bytes->size - at);
		if (put < 0 && errno != EINTR)
			return false;
		at += put > 0 ? (size_t)put : 0;
	}
	return fsync(fd) == 0;
}

static int write_file(const struct job *job)
{
	int fd = open(job->draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	int error = write_all(fd, &job->bytes) ? 0 : errno;
	close(fd);
	if (error == 0 && rename(job->draft, job->path) != 0)
		error = errno;
	if (error != 0) {
		unlink(job->draft); /* leaves its room on a full disk to others */
		return error;
	}
	int folder = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0) {
		(void)!fsync(folder); /* not every file system can; the rename is whole anyway */
		close(folder);
	}
	return 0;
}

static void *run_job(void *arg)
{
	struct job *job = arg;
	job->error = write_file(job);
	(void)!eventfd_write(job->done, 1); /* cannot overflow */
	return NULL;
}

/* ---- Writing, on the loop ---- */

static void end_job(struct state_file *file, int error)
{
	size_t size = file->job.bytes.size;
	buf_free(&file->job.bytes);
	file->busy = false;
	if (error != 0) {
		file->written = 0;
		file->changed = true; /* retried, by the timer or with the next change */
		if (!file->failed)
			log_warn("cannot write %s, so what it keeps would not survive a restart: %s",
				 file->job.path, strerror(error));
	} else if (file->failed) {
		log_info("%s is written again", file->job.path);
	}
	file->failed = error != 0;
	int64_t gap_ms = (int64_t)size * 1000 / STATE_FILE_RATE;
	file->next_ms = loop_now_ms(file->loop) + (gap_ms > GAP_MIN_MS ? gap_ms : GAP_MIN_MS);
	if (file->changed)
		loop_set_timer(file->loop, &file->due, file->next_ms);
}

static void begin_job(struct state_file *file)
{
	struct buf body = {0};
	file->changed = false;
	file->make(file->arg, &body);
	uint64_t hash = hash_body(body.data, body.size);
	if (hash != file->written) {
		state_file_pack(file->kind, file->version, &body, &file->job.bytes);
		file->written = hash;
		file->busy = true;
		int error = thread_start(&file->thread, STACK_SIZE, run_job, &file->job);
		if (error != 0)
			end_job(file, error);
	}
	buf_free(&body);
}

static void take_done(struct watch *watch, uint32_t events)
{
	struct state_file *file = container_of(watch, struct state_file, done);
	eventfd_t count;
	(void)events;
	if (eventfd_read(watch->fd, &count) < 0 || !file->busy)
		return;
	pthread_join(file->thread, NULL);
	end_job(file, file->job.error);
}

static void on_due(struct timer *timer, int64_t now_ms)
{
	struct state_file *file = container_of(timer, struct state_file, due);
	(void)now_ms;
	if (!file->busy)
		begin_job(file);
}

void state_file_touch(struct state_file *file)
{
	if (file->changed)
		return;
	file->changed = true;
	if (!file->busy)
		loop_set_timer(file->loop, &file->due, file->next_ms);
}

/* ---- Life ---- */

static char *join(const char *folder, const char *kind, const char *ending)
{
	struct buf path = {0};
	buf_printf(&path, "%s/%s.state%s", folder, kind, ending);
	return path.data;
}

struct state_file *state_file_new(struct loop *loop, const char *folder, const char *kind, uint32_t version,
				  state_file_make *make, void *arg)
{
	struct state_file *file = x_alloc(sizeof(*file));
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		log_warn("cannot keep %s over a restart: %s", kind, strerror(errno));
		free(file);
		return NULL;
	}
	*file = (struct state_file){
		.loop = loop,
		.kind = x_strdup(kind),
		.version = version,
		.make = make,
		.arg = arg,
		.done.ready = take_done,
		.due.fire = on_due,
		.job = {.folder = x_strdup(folder),
			.path = join(folder, kind, ""),
			.draft = join(folder, kind, ".new"),
			.done = fd},
	};
	loop_add(loop, &file->done, fd, EPOLLIN);
	return file;
}

/* Waits for a write that is busy. */
static bool await(struct state_file *file)
{
	struct pollfd poll_fd = {.fd = file->job.done, .events = POLLIN};
	if (file->busy && poll(&poll_fd, 1, END_MS) == 1)
		take_done(&file->done, EPOLLIN);
	return !file->busy;
}

void state_file_free(struct state_file *file)
{
	if (file == NULL)
		return;
	if (await(file) && file->changed && !file->failed)
		begin_job(file);
	bool ended = await(file);
	loop_clear_timer(file->loop, &file->due);
	loop_remove(file->loop, &file->done);
	if (!ended) { /* the disk hangs: its thread still uses the job, and ends with the process */
		log_warn("%s was not written within %d ms", file->job.path, END_MS);
		pthread_detach(file->thread);
		return;
	}
	close(file->job.done);
	free(file->job.folder);
	free(file->job.path);
	free(file->job.draft);
	free(file->kind);
	free(file);
}
