/* SPDX-License-Identifier: Apache-2.0 */
/* process: the life of one skymon-worker process: spawns, feeds, reads, kills and reaps it (by a pidfd). Bounds
 * and decodes each message, and passes it to the owner (a slot of the pool). Owns the process, its wire and its
 * output pipe. On the loop's thread. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "timeouts.h"
#include "process_crash.h"
#include "process_spawn.h"

/* STARTING: its hello is awaited. WIRE_LOST: its wire is closed or broken, so it must exit. ASKED: to exit;
 * only its logs and a crash are read. */
enum process_state { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_WIRE_LOST, PROCESS_ASKED };

struct process {
	struct loop *loop;
	const struct process_events *events;
	void *arg;
	char *name;
	int64_t memory_limit, hello_timeout_ms;
	pid_t pid;
	enum process_state state;
	struct watch wire, exit, print;
	struct timer timeout, flush; /* of its hello, later of its exit; of the runs that wait for others */
	struct wire_inbox inbox;
	struct wire_outbox outbox;
	bool writing; /* waits until its wire is writable */
	bool cause_set;
	struct process_end end;
	char line[PRINT_LINE_MAX];
	size_t line_size;
	int64_t print_window_ms;
	unsigned printed, dropped;
	int64_t log_window_ms;
	unsigned logged;
};

/* ---- Its death ---- */

static void set_cause(struct process *process, enum process_cause cause, uint32_t culprit, const char *text)
{
	if (process->cause_set)
		return; /* the first cause counts: later ones are its consequences */
	process->cause_set = true;
	process->end.cause = cause;
	process->end.culprit = culprit;
	snprintf(process->end.text, sizeof(process->end.text), "%s", text);
}

/* Kills its group, and the worker in case it has left that. It is not reaped, so no other has its pid. */
static void kill_all(const struct process *process)
{
	kill(-process->pid, SIGKILL);
	kill(process->pid, SIGKILL);
}

void process_kill(struct process *process, enum process_cause cause, uint32_t culprit, const char *text)
{
	set_cause(process, cause, culprit, text);
	kill_all(process);
}

pid_t process_pid(const struct process *process)
{
	return process->pid;
}

static void close_watch(struct process *process, struct watch *watch)
{
	int fd = watch->fd;
	loop_remove(process->loop, watch);
	if (fd >= 0)
		close(fd);
}

/* The daemon keeps reading the wire, for what the plugin logs in `stop` and `unload` and for a crash. */
void process_end(struct process *process, int64_t timeout_ms)
{
	int64_t until_ms = loop_now_ms(process->loop) + timeout_ms;
	if (process->state >= PROCESS_WIRE_LOST) { /* a shutdown may give it less time */
		if (process->timeout.slot != 0 && process->timeout.due_ms > until_ms)
			loop_set_timer(process->loop, &process->timeout, until_ms);
		return;
	}
	process->state = PROCESS_ASKED;
	wire_outbox_free(&process->outbox);
	if (process->wire.fd >= 0)
		shutdown(process->wire.fd, SHUT_WR);
	loop_set_timer(process->loop, &process->timeout, until_ms);
}

static void on_timeout(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct process *process = container_of(timer, struct process, timeout);
	char text[128];
	snprintf(text, sizeof(text), "did not answer within %lld ms of its start",
		 (long long)process->hello_timeout_ms);
	process_kill(process, PROCESS_KILLED, 0, process->state == PROCESS_STARTING ? text : "did not exit");
}

/* The wire is closed or broken: nothing can be sent, so the worker must exit. */
static void close_wire(struct process *process)
{
	close_watch(process, &process->wire);
	if (process->state >= PROCESS_WIRE_LOST)
		return;
	process->state = PROCESS_WIRE_LOST;
	loop_set_timer(process->loop, &process->timeout, loop_now_ms(process->loop) + BROKEN_EXIT_MS);
}

void process_break(struct process *process, const char *text)
{
	process_kill(process, PROCESS_CRASHED, 0, text);
	close_wire(process);
}

static void describe_exit(struct process *process, const siginfo_t *info)
{
	char text[128];
	if (process->state == PROCESS_ASKED && info->si_code == CLD_EXITED && info->si_status == 0)
		set_cause(process, PROCESS_ENDED, 0, "was ended");
	if (info->si_code == CLD_EXITED)
		snprintf(text, sizeof(text), "ended with exit code %d", info->si_status);
	else
		snprintf(text, sizeof(text), "was ended by SIG%s", sigabbrev_np(info->si_status));
	set_cause(process, PROCESS_CRASHED, 0, text);
}

static void free_process(struct process *process)
{
	loop_clear_timer(process->loop, &process->timeout);
	loop_clear_timer(process->loop, &process->flush);
	close_watch(process, &process->wire);
	close_watch(process, &process->exit);
	close_watch(process, &process->print);
	wire_inbox_free(&process->inbox);
	wire_outbox_free(&process->outbox);
	free(process->name);
	free(process);
}

/* ---- Its messages ---- */

static void process_on_hello(struct process *process, const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	const char *why = NULL;
	if (process->state != PROCESS_STARTING) {
		process_break(process, "sent its hello twice");
		return;
	}
	process->state = PROCESS_RUNNING;
	loop_clear_timer(process->loop, &process->timeout);
	struct err err = {"its hello is broken"};
	struct plugin_info *info = NULL;
	if (message_get_hello(&in, &why) && why == NULL)
		info = plugin_info_decode(&in, &err);
	else if (why != NULL)
		err_set(&err, "%s", why);
	bool own = info != NULL && (strcmp(info->name, process->name) == 0 ||
				    err_set(&err, "its hello is that of another plugin, %s", info->name));
	own = own &&
	      (option_defaults_check(info->options, &err) || err_prefix(&err, "plugin %s: ", process->name));
	if (!own) {
		plugin_info_free(info);
		info = NULL;
	}
	process->events->hello(process->arg, info, info != NULL ? NULL : err.text);
}

static void process_on_started(struct process *process, const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	enum skymon_reason reason;
	const char *text;
	bool ok;
	if (!message_get_started(&in, &ok, &reason, &text)) {
		process_break(process, "sent a message that is broken");
		return;
	}
	process->events->started(process->arg, message->id, ok,
				 (enum skymon_reason)result_claim(SKYMON_UNKNOWN, reason), text);
}

static void process_on_result(struct process *process, struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	uint64_t run;
	struct err err;
	message_get_result(&in, &run);
	struct result *result = result_decode(message->body, in, wall_clock_ms(), &err);
	message->body = NULL; /* result_decode took it */
	if (result == NULL) {
		err_prefix(&err, "sent a result that is broken: ");
		process_break(process, err.text);
		return;
	}
	process->events->result(process->arg, message->id, run, result);
}

static void process_on_answered(struct process *process, struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct message_answer answer;
	if (!message_get_answer(&in, &answer))
		process_break(process, "sent an answer that is broken");
	else
		process->events->answered(process->arg, message->id, &answer);
	explicit_bzero(message->body, message->size);
}

static void process_on_replied(struct process *process, struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	uint64_t number;
	struct http_message_reply reply;
	message_get_reply(&in, &number);
	if (!http_message_get_reply(&in, &reply)) {
		process_break(process, "sent a reply that is broken");
		return;
	}
	process->events->replied(process->arg, message->id, number, &reply);
	http_message_free_reply(&reply);
}

static void process_on_log(struct process *process, const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	enum log_level level;
	const char *text;
	int64_t now = loop_now_ms(process->loop);
	if (now - process->log_window_ms > OUTPUT_WINDOW_MS) {
		process->log_window_ms = now;
		process->logged = 0;
	}
	if (message_get_log(&in, &level, &text) &&
	    process->logged++ < LOG_LINES_MAX) /* the runner reports itself what it drops */
		log_line(level, (const char *[]){"plugin", process->name, NULL}, "%s", text);
}

static void process_on_crash(struct process *process, const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct message_crash crash;
	char text[PROCESS_CRASH_TEXT_MAX];
	message_get_crash(&in, &crash);
	process_crash_text(&crash, process->memory_limit, text);
	if (crash.cause == WIRE_CRASH_BLOCKED)
		process->end.alone = !process->cause_set;
	if (crash.cause != WIRE_CRASH_EXIT && crash.cause != WIRE_CRASH_SIGNAL)
		process_kill(process, PROCESS_KILLED, message->id, text);
	set_cause(process, PROCESS_CRASHED, message->id, text);
}

/* Returns what is wrong about the type and the component of a message; NULL if the worker may send it now. */
static const char *check_head(struct process *process, const struct wire_message *message)
{
	bool own = message->type == WIRE_LOG || message->type == WIRE_CRASH; /* component 0: of none */
	if (message->type == WIRE_HELLO)
		return message->id == 0 ? NULL : "sent a hello of a component";
	own = own || message->type == WIRE_STALE;
	if (process->state == PROCESS_STARTING &&
	    (!own || message->id != 0)) /* a constructor wrote to the wire */
		return "sent a message before its hello";
	if (message->id == 0 ? own : process->events->knows(process->arg, message->id))
		return NULL;
	return "sent a message of a component that it does not have";
}

static void on_message(struct process *process, struct wire_message *message)
{
	if (process->state == PROCESS_ASKED && message->type != WIRE_LOG && message->type != WIRE_CRASH)
		return; /* its components are gone */
	const char *wrong = check_head(process, message);
	if (wrong != NULL) {
		process_break(process, wrong);
		return;
	}
	switch (message->type) {
	case WIRE_HELLO:
		process_on_hello(process, message);
		break;
	case WIRE_STARTED:
		process_on_started(process, message);
		break;
	case WIRE_RESULT:
		process_on_result(process, message);
		break;
	case WIRE_REFUSED:
		process->events->refused(process->arg, message->id);
		break;
	case WIRE_STOPPED:
		process->events->stopped(process->arg, message->id);
		break;
	case WIRE_ANSWER:
		process_on_answered(process, message);
		break;
	case WIRE_REPLY:
		process_on_replied(process, message);
		break;
	case WIRE_STEP:
		process->events->step(process->arg, message->id, wire_reader(message->body, message->size));
		break;
	case WIRE_OBSERVED:
		process->events->observed(process->arg, message->id,
					  wire_reader(message->body, message->size));
		break;
	case WIRE_VALIDATED:
		process->events->validated(process->arg, message->id,
					   wire_reader(message->body, message->size));
		break;
	case WIRE_LOG:
		process_on_log(process, message);
		break;
	case WIRE_STALE:
		process->events->stale(process->arg);
		break;
	case WIRE_CRASH:
		process_on_crash(process, message);
		break;
	default:
		process_break(process, "sent a message that only the daemon sends");
	}
}

/* Reads at most so many messages, and what is left of the last one's packet. */
static void receive(struct process *process, int most)
{
	while (process->wire.fd >= 0 && (most-- > 0 || wire_has_rest(&process->inbox))) {
		struct wire_message message = {0};
		struct err err;
		switch (wire_receive(&process->inbox, process->wire.fd, &message, &err)) {
		case WIRE_AGAIN:
			return;
		case WIRE_MESSAGE:
			on_message(process, &message);
			free(message.body);
			break;
		case WIRE_CLOSED:
			close_wire(process);
			return;
		case WIRE_BAD:
			err_prefix(&err, "sent an invalid message: ");
			process_break(process, err.text);
			return;
		}
	}
}

/* ---- Messages to it ---- */

static void watch_writable(struct process *process)
{
	bool waiting = process->outbox.first != NULL;
	if (waiting != process->writing)
		loop_change(process->loop, &process->wire, EPOLLIN | (waiting ? EPOLLOUT : 0u));
	process->writing = waiting;
}

static void flush(struct process *process)
{
	struct err err;
	if (!wire_flush(&process->outbox, process->wire.fd, &err))
		process_kill(process, PROCESS_CRASHED, 0, err.text);
	watch_writable(process);
}

static void on_flush(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct process *process = container_of(timer, struct process, flush);
	if (process->wire.fd >= 0)
		flush(process);
}

static void wire_ready(struct watch *watch, uint32_t events)
{
	struct process *process = container_of(watch, struct process, wire);
	if ((events & EPOLLOUT) != 0)
		flush(process);
	if ((events & ~(uint32_t)EPOLLOUT) != 0)
		receive(process, PACKETS_PER_TURN);
}

static void post(struct process *process, enum wire_type type, uint32_t id, const void *body, size_t size)
{
	if (process->wire.fd < 0 || process->state == PROCESS_ASKED)
		return; /* `ended` follows */
	struct err err;
	bool (*how)(struct wire_outbox *, int, enum wire_type, uint32_t, const void *, size_t, struct err *) =
		type == WIRE_RUN ? wire_post_packed : wire_post;
	if (!how(&process->outbox, process->wire.fd, type, id, body, size, &err))
		process_kill(process, PROCESS_CRASHED, 0, err.text);
	else
		watch_writable(process);
}

void process_start(struct process *process, uint32_t id, const struct buf *body)
{
	post(process, WIRE_START, id, body->data, body->size);
}

void process_validate(struct process *process, uint32_t id, const struct buf *body)
{
	post(process, WIRE_VALIDATE, id, body->data, body->size);
}

void process_run(struct process *process, uint32_t id, const struct message_run *run)
{
	struct buf body = {0};
	message_put_run(&body, run);
	post(process, WIRE_RUN, id, body.data, body.size);
	/* it fires behind the other checks that are due */
	loop_set_timer(process->loop, &process->flush, loop_now_ms(process->loop));
	buf_free(&body);
}

void process_ask(struct process *process, uint32_t id, uint64_t number, bool fresh, uint32_t timeout_ms,
		 const char *path)
{
	struct buf body = {0};
	message_put_ask(&body, &(struct message_ask){number, fresh, timeout_ms, path});
	post(process, WIRE_ASK, id, body.data, body.size);
	buf_free(&body);
}

void process_stop(struct process *process, uint32_t id)
{
	post(process, WIRE_STOP, id, NULL, 0);
}

bool process_request(struct process *process, uint32_t id, uint64_t number, bool again, uint32_t timeout_ms,
		     const struct buf *body)
{
	struct buf message = {0};
	if (process->outbox.bytes + body->size > BACKLOG_MAX)
		return false;
	buf_room(&message, body->size + 16);
	message_put_request(&message, &(struct message_request){number, again, timeout_ms});
	buf_add(&message, body->data, body->size);
	post(process, WIRE_REQUEST, id, message.data, message.size);
	explicit_bzero(message.data, message.size); /* it may hold passwords */
	buf_free(&message);
	return true;
}

void process_cancel(struct process *process, uint32_t id, uint64_t number)
{
	struct buf body = {0};
	message_put_cancel(&body, number);
	post(process, WIRE_CANCEL, id, body.data, body.size);
	buf_free(&body);
}

/* ---- Its output ---- */

static void log_print(struct process *process)
{
	int64_t now = loop_now_ms(process->loop);
	const char *const fields[] = {"plugin", process->name, NULL};
	if (now - process->print_window_ms > OUTPUT_WINDOW_MS) {
		if (process->dropped > 0)
			log_line(LOG_LEVEL_WARN, fields, "printed %u more lines, which were dropped",
				 process->dropped);
		process->print_window_ms = now;
		process->printed = process->dropped = 0;
	}
	if (process->printed++ < PRINT_LINES_MAX)
		log_line(LOG_LEVEL_INFO, fields, "%.*s", (int)process->line_size, process->line);
	else
		process->dropped++;
	process->line_size = 0;
}

static void print_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	struct process *process = container_of(watch, struct process, print);
	char bytes[4096];
	ssize_t got = read(watch->fd, bytes, sizeof(bytes));
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		close_watch(process, watch);
	for (ssize_t i = 0; i < got; i++) {
		if (bytes[i] != '\n')
			process->line[process->line_size++] = bytes[i];
		if ((bytes[i] == '\n' && process->line_size > 0) ||
		    process->line_size == sizeof(process->line))
			log_print(process);
	}
}

/* ---- Its process ---- */

static void exit_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	struct process *process = container_of(watch, struct process, exit);
	siginfo_t info = {0};
	kill(-process->pid,
	     SIGKILL); /* programs that it had started; no other group has its number before it is reaped */
	receive(process, LAST_PACKETS); /* the report of a crash may still be in the wire */
	if (waitid(P_PIDFD, (id_t)watch->fd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	if (process->print.fd >= 0)
		print_ready(&process->print, EPOLLIN);
	if (process->line_size > 0)
		log_print(process);
	describe_exit(process, &info);
	process->events->ended(process->arg, &process->end);
	free_process(process);
}

void process_free(struct process *process)
{
	siginfo_t info;
	struct pollfd ended = {.fd = process->exit.fd, .events = POLLIN};
	kill_all(process);
	if (poll(&ended, 1, KILLED_TIMEOUT_MS) > 0)
		waitid(P_PIDFD, (id_t)process->exit.fd, &info, WEXITED | WNOHANG);
	free_process(process);
}

static bool open_process(struct process *process, const struct process_spec *spec, struct err *err)
{
	int wire[2], print[2];
	if (!wire_pair(wire, err))
		return false;
	if (pipe2(print, O_CLOEXEC | O_NONBLOCK) < 0) {
		close(wire[0]);
		close(wire[1]);
		return err_set(err, "cannot make a pipe: %s", strerror(errno));
	}
	fcntl(print[1], F_SETFL, 0); /* programs expect that their output blocks */
	struct process_arguments arguments = {.program = spec->program,
					      .name = spec->name,
					      .plugin_path = spec->plugin_path,
					      .copy = spec->copy,
					      .memory_limit = spec->memory_limit};
	bool done = process_spawn(&arguments, wire[1], print[1], &process->pid, err);
	close(wire[1]);
	close(print[1]);
	int pidfd = done ? (int)syscall(SYS_pidfd_open, process->pid, 0) : -1;
	if (done && pidfd < 0) {
		err_set(err, "cannot watch a process: %s", strerror(errno));
		kill(-process->pid, SIGKILL);
		waitpid(process->pid, NULL, 0);
	}
	if (pidfd < 0) {
		close(wire[0]);
		close(print[0]);
		return false;
	}
	fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	loop_add(process->loop, &process->wire, wire[0], EPOLLIN);
	loop_add(process->loop, &process->print, print[0], EPOLLIN);
	loop_add(process->loop, &process->exit, pidfd, EPOLLIN);
	return true;
}

struct process *process_new(struct loop *loop, const struct process_spec *spec,
			    const struct process_events *events, void *arg, struct err *err)
{
	struct process *process = x_alloc(sizeof(*process));
	process->loop = loop;
	process->events = events;
	process->arg = arg;
	process->name = x_strdup(spec->name);
	process->memory_limit = spec->memory_limit;
	process->hello_timeout_ms = spec->hello_timeout_ms;
	process->wire = (struct watch){.ready = wire_ready, .fd = -1};
	process->exit = (struct watch){.ready = exit_ready, .fd = -1};
	process->print = (struct watch){.ready = print_ready, .fd = -1};
	process->timeout.fire = on_timeout;
	process->flush.fire = on_flush;
	if (!open_process(process, spec, err)) {
		free_process(process);
		return NULL;
	}
	loop_set_timer(loop, &process->timeout, loop_now_ms(loop) + spec->hello_timeout_ms);
	struct buf body = {0};
	sandbox_encode(spec->sandbox, &body);
	post(process, WIRE_SANDBOX, 0, body.data, body.size);
	buf_free(&body);
	return process;
}
