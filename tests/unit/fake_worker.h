/* SPDX-License-Identifier: Apache-2.0 */
/* fake_worker: what test_worker_process.c stands on: a process that does nothing, the worker's ends of its
 * wire and its pipe, an owner that notes what it is called with, and the daemon's log. */
#ifndef FAKE_WORKER_H
#define FAKE_WORKER_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/process.h"
#include "supervisor/process_spawn.h"
#include "supervisor/timeouts.h"
#include "unit.h"
#include "virtual_loop.h"

#define COMPONENT 7u
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct buf logged; /* lines of log_line */

void log_line(enum log_level level, const char *const *fields, const char *format, ...)
{
	(void)level, (void)fields;
	char text[PRINT_LINE_MAX + 100];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	buf_printf(&logged, "%s\n", text);
}

/* ---- The worker ---- */

static struct {
	struct loop *loop;
	struct process *process;
	int wire, print, control; /* the worker's ends; a byte to control is its exit code */
	struct buf seen;          /* what the owner was called with */
	bool ended;
	struct process_end end;
} world;

bool process_spawn(const struct process_arguments *arguments, int wire, int print, pid_t *pid,
		   struct err *err)
{
	(void)arguments, (void)err;
	int control[2];
	if (pipe2(control, O_CLOEXEC) != 0)
		abort();
	*pid = fork();
	if (*pid == 0) {
		unsigned char code;
		dup2(control[0], 0);
		close_range(1, ~0u, 0);
		_exit(read(0, &code, 1) == 1 ? code : 99);
	}
	setpgid(*pid, *pid);
	close(control[0]);
	world.wire = fcntl(wire, F_DUPFD_CLOEXEC, 0);
	world.print = fcntl(print, F_DUPFD_CLOEXEC, 0);
	world.control = control[1];
	return true;
}

static void worker_exits(int code)
{
	unsigned char byte = (unsigned char)code;
	CU_ASSERT_EQUAL(write(world.control, &byte, 1), 1);
}

static void worker_sends(enum wire_type type, uint32_t id, const struct buf *body)
{
	CU_ASSERT(wire_send(world.wire, type, id, body->data, body->size));
}

/* Returns the type of the next message that the daemon sent; 0 if there is none. */
static enum wire_type worker_receives(struct wire_inbox *inbox)
{
	struct wire_message message = {0};
	struct err err;
	enum wire_got got = wire_receive(inbox, world.wire, &message, &err);
	free(message.body);
	return got == WIRE_MESSAGE ? message.type : 0;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)sm, (void)state;
	return SKYMON_HEALTHY;
}

static void worker_greets(const char *name)
{
	static const struct skymon_option options[] = {{0}};
	static const struct skymon_number numbers[] = {{0}};
	static const struct skymon_route *const routes[] = {NULL};
	const struct skymon_plugin plugin = {.abi_major = SKYMON_ABI_MAJOR,
					     .abi_minor = SKYMON_ABI_MINOR,
					     .size = sizeof(plugin),
					     .option_size = sizeof(struct skymon_option),
					     .number_size = sizeof(struct skymon_number),
					     .name = name,
					     .version = "1.0",
					     .summary = "a test",
					     .options = options,
					     .numbers = numbers,
					     .routes = routes,
					     .check = check};
	struct buf body = {0};
	message_put_hello(&body, NULL);
	plugin_info_encode(&plugin, "build", &body);
	worker_sends(WIRE_HELLO, 0, &body);
	buf_free(&body);
}

/* ---- Its owner ---- */

static void on_hello(void *arg, struct plugin_info *info, const char *why)
{
	(void)arg;
	buf_printf(&world.seen, "hello %s;", info != NULL ? info->name : why);
	plugin_info_free(info);
}

static void on_started(void *arg, uint32_t id, bool ok, enum skymon_reason reason, const char *message)
{
	(void)arg, (void)reason;
	buf_printf(&world.seen, "started %u %d %s;", id, ok, message);
}

static void on_result(void *arg, uint32_t id, uint64_t run, struct result *result)
{
	(void)arg;
	buf_printf(&world.seen, "result %u %llu %s;", id, (unsigned long long)run, result->view.message);
	result_unref(result);
}

static void on_answered(void *arg, uint32_t id, const struct message_answer *answer)
{
	(void)arg;
	buf_printf(&world.seen, "answer %u %llu;", id, (unsigned long long)answer->number);
}

static void on_step(void *arg, uint32_t id, struct wire_reader in)
{
	uint64_t run;
	const char *text;
	(void)arg;
	if (message_get_step(&in, &run, &text))
		buf_printf(&world.seen, "step %u %llu %s;", id, (unsigned long long)run, text);
	else
		process_break(world.process, "sent a message that is broken");
}

static void on_observed(void *arg, uint32_t id, struct wire_reader in)
{
	(void)arg, (void)in;
	buf_printf(&world.seen, "observed %u;", id);
}

static void on_stopped(void *arg, uint32_t id)
{
	(void)arg;
	buf_printf(&world.seen, "stopped %u;", id);
}

static void on_refused(void *arg, uint32_t id)
{
	(void)arg;
	buf_printf(&world.seen, "refused %u;", id);
}

static void on_replied(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply)
{
	(void)arg, (void)reply;
	buf_printf(&world.seen, "reply %u %llu;", id, (unsigned long long)number);
}

static void on_stale(void *arg)
{
	(void)arg;
	buf_text(&world.seen, "stale;");
}

static bool knows(void *arg, uint32_t id)
{
	(void)arg;
	return id == COMPONENT;
}

static void on_validated(void *arg, uint32_t id, struct wire_reader mistakes)
{
	(void)arg, (void)mistakes;
	buf_printf(&world.seen, "validated %u;", id);
}

static void on_ended(void *arg, const struct process_end *end)
{
	(void)arg;
	world.ended = true;
	world.end = *end;
	world.process = NULL;
}

static const struct process_events events = {.hello = on_hello,
					     .started = on_started,
					     .result = on_result,
					     .refused = on_refused,
					     .answered = on_answered,
					     .step = on_step,
					     .observed = on_observed,
					     .stopped = on_stopped,
					     .replied = on_replied,
					     .stale = on_stale,
					     .knows = knows,
					     .validated = on_validated,
					     .ended = on_ended};

/* ---- A test's frame ---- */

static void settle(void)
{
	while (loop_turn_once(world.loop, 0))
		;
}

static void begin(bool greets)
{
	struct sandbox sandbox = {.state_dir = ""};
	struct process_spec spec = {.program = "/none",
				    .plugin_path = "/none",
				    .name = "t",
				    .copy = -1,
				    .sandbox = &sandbox,
				    .memory_limit = 64 << 20,
				    .hello_timeout_ms = HELLO_TIMEOUT_MS};
	struct err err = {""};
	memset(&world, 0, sizeof(world));
	logged.size = 0;
	buf_text(&logged, "");
	buf_text(&world.seen, "");
	world.loop = loop_new();
	world.process = process_new(world.loop, &spec, &events, NULL, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(world.process);
	if (greets) {
		worker_greets("t");
		settle();
		UNIT_TEXT(world.seen.data, "hello t;");
		world.seen.size = 0;
		buf_text(&world.seen, "");
	}
}

/* Waits until the process is reaped; it was killed, or was let go. */
static void await_end(enum process_cause cause, uint32_t culprit, const char *text)
{
	for (int turns = 0; !world.ended && turns < 100; turns++)
		if (!loop_turn_once(world.loop, LOOP_REAL_MS))
			break;
	CU_ASSERT(world.ended);
	CU_ASSERT_EQUAL(world.end.cause, cause);
	CU_ASSERT_EQUAL(world.end.culprit, culprit);
	if (text != NULL)
		UNIT_TEXT(world.end.text, text);
}

static void finish(void)
{
	if (world.process != NULL)
		process_free(world.process);
	CU_ASSERT_EQUAL(world.loop->timer_count, 0);
	CU_ASSERT_EQUAL(world.loop->watch_count, 0);
	loop_free(world.loop);
	buf_free(&world.seen);
	buf_free(&logged);
	close(world.wire);
	close(world.print);
	close(world.control);
}

#endif
