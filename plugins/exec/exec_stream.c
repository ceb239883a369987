/* SPDX-License-Identifier: Apache-2.0 */
/* exec_stream: a program that stays: a line of JSON in for each run, a line of JSON out. Called by exec.c on the component's thread,
 * and by its stop; owns the program.
 *
 * Answers carry the number of their run, so that one that comes late is recognized and dropped. A program that ends, writes something
 * else, or leaves MISSED_MAX runs in a row unanswered is ended and started again: at once if it had answered, else after a time that
 * doubles. What it prints on standard error is logged. */
#include "exec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <skymon/json.h>

#define MISSED_MAX 3
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define PATIENCE_MS 200 /* between SIGTERM and SIGKILL */
#define LOOK_MS                                                                                              \
	100 /* how often the deadline is asked for again: a stop of the component takes the time away */

enum waited { READY, OVER, ENDED };

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ends the program, if it has not ended by itself, and decides when it is started again. why: NULL if it has. */
static void restart_later(struct skymon *sm, struct exec_stream *stream, const char *why)
{
	char end[EXEC_WHY];
	int status = skymon_spawn_end(&stream->child, why != NULL ? PATIENCE_MS : 0);
	exec_explain(WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		     end, sizeof(end));
	snprintf(stream->end, sizeof(stream->end), "%.*s", EXEC_WHY - 1, why != NULL ? why : end);
	skymon_warn(sm, "the program %s", stream->end);
	stream->restart_ms = now_ms() + stream->backoff_ms;
	stream->backoff_ms = stream->backoff_ms == 0 ? BACKOFF_MIN_MS : 2 * stream->backoff_ms;
	if (stream->backoff_ms > BACKOFF_MAX_MS)
		stream->backoff_ms = BACKOFF_MAX_MS;
	stream->size = stream->errors_size = 0;
	stream->missed = 0;
}

/* ---- Its standard error ---- */

/* Logs whole lines, and keeps the last one for messages. */
static void read_errors(struct skymon *sm, struct exec_stream *stream)
{
	char bytes[1024];
	ssize_t got;
	while (stream->child.err >= 0 && (got = read(stream->child.err, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < got; i++) {
			size_t *size = &stream->errors_size;
			if (bytes[i] != '\n' && *size < sizeof(stream->errors) - 1)
				stream->errors[(*size)++] = bytes[i];
			if (bytes[i] != '\n')
				continue;
			exec_clean(stream->errors, *size);
			stream->errors[*size] = '\0';
			if (*size > 0)
				skymon_info(sm, "%s", stream->errors);
			*size = 0;
		}
}

/* ---- Lines ---- */

/* Waits until the descriptor is ready for events. */
static enum waited wait_for(struct skymon *sm, struct exec_stream *stream, int fd, short events)
{
	for (;;) {
		int64_t left = skymon_ms_left(sm);
		if (left <= 0)
			return OVER;
		struct pollfd ready[3] = {{.fd = fd, .events = events},
					  {.fd = stream->child.err, .events = POLLIN},
					  {.fd = stream->child.ended, .events = POLLIN}};
		if (poll(ready, 3, (int)(left < LOOK_MS ? left : LOOK_MS)) <= 0)
			continue;
		if (ready[1].revents != 0)
			read_errors(sm, stream);
		if ((ready[1].revents & POLLHUP) != 0 && (ready[1].revents & POLLIN) == 0) {
			close(stream->child.err);
			stream->child.err = -1;
		}
		if ((ready[0].revents & events) != 0) /* before its end: what it wrote last counts */
			return READY;
		if (ready[0].revents != 0 || ready[2].revents != 0)
			return ENDED;
	}
}

static enum waited write_line(struct skymon *sm, struct exec_stream *stream, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t put = write(stream->child.in, text, size);
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return ENDED;
		text += put > 0 ? put : 0;
		size -= put > 0 ? (size_t)put : 0;
		enum waited waited = size > 0 ? wait_for(sm, stream, stream->child.in, POLLOUT) : READY;
		if (waited != READY)
			return waited;
	}
	return READY;
}

/* Takes the next line out of what was read; NULL if it is not whole yet. The caller frees it. */
static char *take_line(struct exec_stream *stream)
{
	char *end = memchr(stream->line, '\n', stream->size);
	if (end == NULL)
		return NULL;
	size_t size = (size_t)(end - stream->line);
	char *line = strndup(stream->line, size);
	stream->size -= size + 1;
	memmove(stream->line, end + 1, stream->size);
	return line;
}

/* Reads what is there; false at its end or a line that is too long. */
static bool read_more(struct exec_stream *stream, const char **why)
{
	ssize_t got = read(stream->child.out, stream->line + stream->size, EXEC_OUTPUT_MAX - stream->size);
	if (got > 0)
		stream->size += (size_t)got;
	if (stream->size == EXEC_OUTPUT_MAX && memchr(stream->line, '\n', stream->size) == NULL)
		*why = "wrote a line of more than 256 KiB";
	return *why == NULL && (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)));
}

/* ---- A run ---- */

static char *question(struct skymon *sm, const struct exec *exec)
{
	json_t *options = json_object();
	for (size_t i = 0; i < exec->options.count; i++)
		json_object_set_new(options, exec->options.items[i].name,
				    json_string(exec->options.items[i].value));
	json_t *line =
		json_pack("{s:I, s:s, s:I, s:o}", "id", (json_int_t)exec->stream.run, "name", skymon_name(sm),
			  "timeout_ms", (json_int_t)skymon_ms_left(sm), "options", options);
	char *text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	return text;
}

/* Takes one line. Returns whether it ends the run; an answer to an earlier run does not. */
static bool take_answer(struct skymon *sm, struct exec_stream *stream, const char *line,
			enum skymon_status *status)
{
	json_t *answer = skymon_json_read(line, strlen(line));
	const json_t *id = json_object_get(answer, "id");
	bool ours = json_is_integer(id) && json_integer_value(id) == stream->run;
	bool late = json_is_integer(id) && json_integer_value(id) < stream->run && json_integer_value(id) > 0;
	if (ours) {
		stream->missed = 0;
		stream->backoff_ms = 0;
		*status = exec_json_report(sm, answer, true);
	} else if (!late) {
		restart_later(sm, stream, "was ended: it wrote a line that is not an answer");
		*status = exec_bad_answer(
			sm,
			"the program wrote a line that is not a JSON object with the run's `id`; it is started again");
	}
	json_decref(answer);
	return !late;
}

static enum skymon_status report_end(struct skymon *sm, struct exec_stream *stream, const char *why)
{
	char errors[EXEC_MESSAGE_MAX];
	read_errors(sm, stream);
	snprintf(errors, sizeof(errors), "%s", stream->errors);
	restart_later(sm, stream, why);
	skymon_reason(sm, why != NULL ? SKYMON_PROTOCOL : SKYMON_FAILED);
	return skymon_unknown(sm, "the program %s%s%.250s", stream->end, errors[0] != '\0' ? ": " : "",
			      errors);
}

static enum skymon_status report_late(struct skymon *sm, struct exec_stream *stream)
{
	skymon_reason(sm, SKYMON_TIMEOUT);
	if (++stream->missed < MISSED_MAX)
		return skymon_unhealthy(sm, "the program did not answer in time");
	restart_later(sm, stream, "was ended: it left 3 runs in a row unanswered");
	return skymon_unhealthy(sm,
				"the program did not answer in time, 3 runs in a row; it is started again");
}

static enum skymon_status converse(struct skymon *sm, struct exec *exec)
{
	struct exec_stream *stream = &exec->stream;
	enum skymon_status status = SKYMON_UNKNOWN;
	const char *why = NULL;
	char *text = question(sm, exec), *line;
	size_t size = text != NULL ? strlen(text) : 0;
	if (text == NULL)
		return skymon_unknown(sm, "out of memory");
	text[size] = '\n'; /* in place of the end */
	enum waited waited = write_line(sm, stream, text, size + 1);
	free(text);
	while (waited == READY) {
		while ((line = take_line(stream)) != NULL) {
			bool done = take_answer(sm, stream, line, &status);
			free(line);
			if (done)
				return status;
		}
		waited = wait_for(sm, stream, stream->child.out, POLLIN);
		if (waited == READY && !read_more(stream, &why))
			waited = ENDED;
	}
	return waited == OVER ? report_late(sm, stream) : report_end(sm, stream, why);
}

enum skymon_status exec_stream_check(struct skymon *sm, struct exec *exec)
{
	struct exec_stream *stream = &exec->stream;
	struct skymon_fault fault;
	struct pollfd ended = {.fd = stream->child.ended, .events = POLLIN};
	if (stream->child.pid > 0 && poll(&ended, 1, 0) > 0) {
		read_errors(sm, stream);
		restart_later(sm, stream, NULL);
	}
	int64_t wait = stream->restart_ms - now_ms();
	if (stream->child.pid <= 0 && wait > 0) {
		skymon_reason(sm, SKYMON_FAILED);
		return skymon_unknown(sm, "the program %s%s%.250s; it is started again in %lld s",
				      stream->end, stream->errors[0] != '\0' ? ": " : "", stream->errors,
				      (long long)(wait + 999) / 1000);
	}
	if (stream->child.pid <= 0) {
		struct skymon_program program = exec_program(exec);
		stream->restarts += stream->end[0] != '\0';
		if (!skymon_spawn_start(&program, &stream->child, &fault))
			return skymon_report(sm, NULL, &fault);
		stream->errors[0] = '\0';
	}
	skymon_counter(sm, "skymon_exec_restarts_total",
		       "Times that the program of a stream was started again", stream->restarts);
	stream->run++;
	skymon_step(sm, "waiting for the program's answer");
	return converse(sm, exec);
}

bool exec_stream_init(struct exec *exec)
{
	exec->stream.child = (struct skymon_child){.ended = -1, .in = -1, .out = -1, .err = -1};
	exec->stream.line = malloc(EXEC_OUTPUT_MAX);
	return exec->stream.line != NULL;
}

void exec_stream_end(struct exec *exec)
{
	if (exec->stream.child.pid > 0)
		(void)skymon_spawn_end(&exec->stream.child, PATIENCE_MS);
	free(exec->stream.line);
}
