/* SPDX-License-Identifier: Apache-2.0 */
/* skymon-worker PLUGIN.so MEMORY_LIMIT NAME: the process of one plugin, started by skymond. Talks to the
 * daemon alone, over descriptor 3 (wire.h); loads the plugin from descriptor 4, a copy that the daemon keeps.
 *
 * The daemon trusts no message of a worker, so a plugin that misbehaves harms its own process only. When the
 * process dies, a last message names the component that was at work: from the handler of a fatal signal, or
 * when the plugin calls exit(). The main thread receives; every thread may send, under one lock. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "plugin/plugin.h"
#include "runner.h"
#include "sandbox/sandbox.h"
#include "keeper.h"
#include "wire/wire.h"

#define WIRE_FD 3
#define COPY_FD 4   /* of the plugin's file (plugin_file_open) */
#define HIGH_FD 900 /* out of reach of a plugin that closes the low descriptors */
#define FILES_MAX 4096
#define LOOP_FILES_MAX 65536 /* of a plugin with begin, whose components may be thousands */
#define NICER 5
#define OOM_RAISE 200 /* of 1000: out of memory, the kernel ends a worker rather than the daemon */
#define CRASH_REPORT_MS 1000
#define STOP_WAIT_MS 1000 /* for checks that are running when the daemon stops */
#define PACKETS_A_TURN 64
#define RESULT_SMALL 16384   /* a larger one is sent at once */
#define STALE_MIN_US 1000000 /* more than the daemon wants between two starts (pool_events.c) */

struct process {
	int wire, wake;
	pthread_mutex_t lock; /* a message's packets stay together */
	int64_t memory_limit, begun_us;
	struct runner *runner;
	struct skymon_plugin plugin;
	struct loop *loop; /* of the main thread */
	struct wire_inbox inbox;
	struct buf results; /* a packet of those that are to be sent at the end of this turn */
};

static struct process worker = {.wire = -1, .wake = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- The report of a crash ---- */

static const char *volatile phase = "opening the plugin"; /* when no component is at work */

/* Async-signal-safe. */
static void report_crash(enum wire_crash cause, int number, uint32_t id, const char *step)
{
	uint8_t body[MESSAGE_CRASH_MAX];
	size_t size = message_put_crash(body, &(struct message_crash){cause, (uint8_t)number, step});
	for (int tries = 0; tries < CRASH_REPORT_MS / 10; tries++) {
		if (wire_send_now(worker.wire, WIRE_CRASH, id, body, size) ||
		    (errno != EAGAIN && errno != ENOBUFS))
			return;
		struct pollfd room = {.fd = worker.wire, .events = POLLOUT};
		poll(&room, 1, 10);
	}
}

/* Names the culprit: when memory has run out, the component that took it, and not the one that asked last. Of
 * threads that die together the first one reports. */
static void fatal(int number)
{
	static atomic_flag dying = ATOMIC_FLAG_INIT;
	static _Thread_local bool here;
	uint32_t id = 0, grower;
	const char *step = phase;
	enum wire_crash what = WIRE_CRASH_SIGNAL;
	if (!here && atomic_flag_test_and_set(&dying))
		for (;;)
			pause();
	if (!here) { /* else the handler itself failed */
		here = true;
		(void)runner_current(&id, &step);
		if (runner_memory_is_full()) {
			what = WIRE_CRASH_MEMORY;
			if (runner_memory_culprit(&grower) && grower != id) {
				id = grower;
				step = "";
			}
		}
		report_crash(what, number, id, step);
	}
	signal(number, SIG_DFL);
	raise(number);
}

/* A plugin called exit(), on the thread of its component. */
static void at_exit(int status, void *arg)
{
	uint32_t id = 0;
	const char *step = phase;
	(void)arg;
	(void)runner_current(&id, &step);
	report_crash(WIRE_CRASH_EXIT, status, id, step);
	_exit(status & 0xFF);
}

static void catch_death(void)
{
	static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
	runner_signal_stack();
	struct sigaction action = {.sa_handler = fatal,
				   .sa_flags = SA_ONSTACK | SA_NODEFER | (int)SA_RESETHAND};
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(*fatal_signals); i++)
		sigaction(fatal_signals[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	on_exit(at_exit, NULL);
}

/* ---- Sending ---- */

static void send_message(enum wire_type type, uint32_t id, const void *body, size_t size)
{
	pthread_mutex_lock(&worker.lock);
	bool sent = wire_send(worker.wire, type, id, body, size);
	pthread_mutex_unlock(&worker.lock);
	if (!sent && errno != EMSGSIZE)
		_exit(0); /* the daemon has gone, or has given this worker up */
}

static void send_log(void *arg, uint32_t id, enum log_level level, const char *text)
{
	struct buf body = {0};
	(void)arg;
	message_put_log(&body, level, text);
	send_message(WIRE_LOG, id, body.data, body.size);
	buf_free(&body);
}

/* Results of a plugin on the loop wait for the end of its turn, so that the daemon is woken once for all of them. */
static void send_results(void)
{
	if (worker.results.size == 0)
		return;
	pthread_mutex_lock(&worker.lock);
	bool sent = wire_send_packed(worker.wire, &worker.results);
	pthread_mutex_unlock(&worker.lock);
	if (!sent)
		_exit(0);
	worker.results.size = 0;
}

static void send_result(void *arg, uint32_t id, const struct buf *body)
{
	(void)arg;
	if (worker.plugin.begin == NULL || body->size > RESULT_SMALL) {
		send_message(WIRE_RESULT, id, body->data, body->size);
		return;
	}
	if (wire_pack(&worker.results, WIRE_RESULT, id, body->data, body->size))
		return;
	send_results();
	(void)!wire_pack(&worker.results, WIRE_RESULT, id, body->data, body->size);
}

static void send_refused(void *arg, uint32_t id)
{
	(void)arg;
	send_message(WIRE_REFUSED, id, NULL, 0);
}

static void send_stopped(void *arg, uint32_t id)
{
	(void)arg;
	send_results(); /* its last one comes first */
	send_message(WIRE_STOPPED, id, NULL, 0);
}

static void send_answer(void *arg, uint32_t id, const struct message_answer *answer)
{
	struct buf body = {0};
	(void)arg;
	buf_room(&body, answer->size + strlen(answer->message) +
				64); /* at once, so that no copy of the secret is left behind */
	message_put_answer(&body, answer);
	send_message(WIRE_ANSWER, id, body.data, body.size);
	explicit_bzero(body.data, body.size);
	buf_free(&body);
}

static void send_reply(void *arg, uint32_t id, uint64_t number, const struct http_message_reply *reply)
{
	struct buf body = {0};
	(void)arg;
	buf_room(&body, reply->body_size + 1024);
	message_put_reply(&body, number);
	http_message_put_reply(&body, reply);
	send_message(WIRE_REPLY, id, body.data, body.size);
	buf_free(&body);
}

static void end_for_excess(void *arg, uint32_t id, bool files, const char *text)
{
	(void)arg;
	report_crash(files ? WIRE_CRASH_FILES : WIRE_CRASH_MEMORY, 0, id, text);
	_exit(1);
}

static void send_step(void *arg, uint32_t id, uint64_t run, const char *text)
{
	struct buf body = {0};
	(void)arg;
	message_put_step(&body, run, text);
	send_message(WIRE_STEP, id, body.data, body.size);
	buf_free(&body);
}

static void end_for_block(void *arg, uint32_t id, int seconds, const char *step)
{
	(void)arg;
	report_crash(WIRE_CRASH_BLOCKED, seconds, id, step);
	_exit(1);
}

static void send_observed(void *arg, uint32_t id, const struct message_observed *observed)
{
	struct buf body = {0};
	(void)arg;
	/* The report of a run's end follows its result. Calls are reported by threads that must not touch the
	 * results that wait. */
	if (observed->text[0] == '\0')
		send_results();
	message_put_observed(&body, observed);
	send_message(WIRE_OBSERVED, id, body.data, body.size);
	buf_free(&body);
}

static bool is_stale(void *arg, bool healthy)
{
	(void)arg;
	if (runner_clock_us() - worker.begun_us < STALE_MIN_US || !sandbox_stale(healthy))
		return false;
	send_message(WIRE_STALE, 0, NULL, 0);
	return true;
}

static void wake_main(void *arg)
{
	const uint64_t one = 1;
	(void)arg;
	ssize_t written = write(worker.wake, &one, sizeof(one));
	(void)written; /* a full counter wakes just as well */
}

static const struct runner_events events = {.ended = send_result,
					    .log = send_log,
					    .refused = send_refused,
					    .answered = send_answer,
					    .replied = send_reply,
					    .excess = end_for_excess,
					    .step = send_step,
					    .blocked = end_for_block,
					    .observed = send_observed,
					    .wake = wake_main,
					    .stale = is_stale,
					    .stopped = send_stopped};

/* ---- Receiving ---- */

static void send_started(uint32_t id, bool ok, enum skymon_reason reason, const char *message)
{
	struct buf body = {0};
	message_put_started(&body, ok, reason, message);
	send_message(WIRE_STARTED, id, body.data, body.size);
	buf_free(&body);
}

static void take_start(const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct err err = {"the daemon's message is malformed"};
	enum skymon_reason reason = SKYMON_OTHER;
	struct runner_spec spec = {.id = message->id};
	if (message_get_start(&in, &spec.start))
		spec.values = option_values_decode(&in, &err);
	bool ok = spec.values != NULL && runner_start(worker.runner, &spec, &reason, &err);
	explicit_bzero(message->body, message->size); /* holds secrets; the values have their own copy */
	send_started(message->id, ok, ok ? SKYMON_OK : reason, ok ? "" : err.text);
}

static void take_run(const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct message_run run;
	if (!message_get_run(&in, &run))
		return;
	runner_set_interval(worker.runner, message->id, run.interval_ms);
	(void)runner_run(worker.runner, message->id, run.run,
			 run.timeout_ms); /* false for a late run of a component that was stopped */
}

static void take_ask(const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct message_ask asked;
	if (message_get_ask(&in, &asked))
		runner_ask(worker.runner, message->id, &asked);
}

static void take_validate(const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	struct err err = {"the daemon's message is malformed"};
	struct buf body = {0};
	struct runner_spec spec = {.id = message->id};
	if (message_get_start(&in, &spec.start))
		spec.values = option_values_decode(&in, &err);
	if (spec.values != NULL)
		runner_validate(worker.runner, &spec, &body);
	else
		message_put_mistake(&body, "", err.text);
	send_message(WIRE_VALIDATED, message->id, body.data, body.size);
	buf_free(&body);
}

static void take_cancel(const struct wire_message *message)
{
	struct wire_reader in = wire_reader(message->body, message->size);
	uint64_t number;
	if (message_get_cancel(&in, &number))
		runner_cancel(worker.runner, number);
}

static void take(struct wire_message *message)
{
	switch (message->type) {
	case WIRE_START:
		take_start(message);
		break;
	case WIRE_RUN:
		take_run(message);
		break;
	case WIRE_STOP:
		runner_stop(worker.runner, message->id);
		break;
	case WIRE_ASK:
		take_ask(message);
		break;
	case WIRE_REQUEST:
		runner_request(worker.runner, message->id, message->body, message->size);
		message->body = NULL; /* taken over */
		break;
	case WIRE_CANCEL:
		take_cancel(message);
		break;
	case WIRE_VALIDATE:
		take_validate(message);
		break;
	default: /* of a newer daemon; the build ids reveal it */
		break;
	}
}

/* The daemon has closed the wire: stops the components and unloads the plugin. The daemon kills the process
 * if that takes too long. */
static void __attribute__((noreturn)) stop_all(void)
{
	phase = "stopping";
	(void)runner_free(worker.runner, STOP_WAIT_MS);
	_exit(0);
}

static void wire_ready(struct watch *watch, uint32_t ready)
{
	(void)ready;
	/* timers and descriptors have their turn */
	for (int taken = 0; taken < PACKETS_A_TURN || wire_has_rest(&worker.inbox); taken++) {
		struct wire_message message = {0};
		struct err err;
		switch (wire_receive(&worker.inbox, watch->fd, &message, &err)) {
		case WIRE_MESSAGE:
			take(&message);
			free(message.body);
			break;
		case WIRE_AGAIN:
			return;
		case WIRE_CLOSED:
			stop_all();
		case WIRE_BAD:
			_exit(0);
		}
	}
}

static void wake_ready(struct watch *watch, uint32_t ready)
{
	uint64_t count;
	(void)ready;
	ssize_t got = read(watch->fd, &count, sizeof(count));
	(void)got;
	runner_tend(worker.runner);
}

static int turn(void *arg, int64_t now_ms)
{
	(void)arg;
	(void)now_ms;
	send_results();
	return runner_watch(worker.runner);
}

static void serve(void)
{
	struct watch wire = {.ready = wire_ready}, wake = {.ready = wake_ready};
	if (!loop_try(worker.loop, &wire, worker.wire, EPOLLIN) ||
	    !loop_try(worker.loop, &wake, worker.wake, EPOLLIN))
		_exit(1); /* the plugin has closed the descriptors of the worker */
	loop_set_turn(worker.loop, turn, NULL);
	loop_run(worker.loop);
}

/* ---- Start ---- */

static void limit(int what, rlim_t value)
{
	struct rlimit now;
	if (getrlimit(what, &now) != 0)
		return;
	if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
		value = now.rlim_max;
	now.rlim_cur = now.rlim_max = value;
	(void)setrlimit(what, &now);
}

/* Relative, so that OOMScoreAdjust= of the unit moves daemon and workers together. Where /proc is missing, the
 * kernel chooses by size. */
static void raise_oom_score(void)
{
	static const char path[] = "/proc/self/oom_score_adj";
	int score = 0;
	FILE *file = fopen(path, "r+e");
	if (file == NULL)
		return;
	if (fscanf(file, "%d", &score) == 1) {
		rewind(file);
		fprintf(file, "%d", score + OOM_RAISE < 1000 ? score + OOM_RAISE : 1000);
	}
	fclose(file);
}

static void confine(void)
{
	pid_t parent = getppid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* the parent died before this process asked to die with it */
		_exit(0);
	raise_oom_score(); /* before this process stops being dumpable, and its files in /proc become root's */
	prctl(PR_SET_DUMPABLE, 0);
	(void)!nice(NICER); /* a plugin that spins leaves the daemon its CPU */
	limit(RLIMIT_CORE, 0);
	if (worker.memory_limit > 0)
		/* The limit counts resident memory (runner_usage.c). This one is of the address space, and
		 * so counts stacks that are hardly used; it stops a plugin that outruns the other. */
		limit(RLIMIT_DATA, 2 * (rlim_t)worker.memory_limit);
	mallopt(M_ARENA_MAX, 2); /* threads mostly wait: an arena for each would only hold memory */
	setlocale(LC_ALL, "C");
}

/* A plugin that closes descriptors that it believes to be its own must not close these. */
static int move_up(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high < 0) /* a lower limit was set */
		high = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static void send_hello(const char *why)
{
	struct buf body = {0};
	message_put_hello(&body, why);
	if (why == NULL)
		plugin_info_encode(&worker.plugin, skymon_build_id, &body);
	send_message(WIRE_HELLO, 0, body.data, body.size);
	buf_free(&body);
}

/* A worker that cannot serve stays until the daemon has closed the wire, so that none of its messages is
 * lost. */
static void wait_for_end(void)
{
	struct pollfd gone = {.fd = worker.wire, .events = POLLRDHUP};
	while (poll(&gone, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* Obeys the first message, before any code of the plugin runs. */
static bool enter_sandbox(struct err *err)
{
	struct wire_inbox inbox = {0};
	struct wire_message message = {0};
	struct sandbox sandbox = {0};
	unsigned missing = 0;
	enum wire_got got;
	while ((got = wire_receive(&inbox, worker.wire, &message, err)) == WIRE_AGAIN) {
		struct pollfd ready = {.fd = worker.wire, .events = POLLIN};
		(void)poll(&ready, 1, -1);
	}
	if (got != WIRE_MESSAGE)
		_exit(0);
	struct wire_reader in = wire_reader(message.body, message.size);
	if (message.type != WIRE_SANDBOX || !sandbox_decode(&in, &sandbox))
		return err_set(err,
			       "the daemon and its worker do not understand each other: restart skymond");
	if (sandbox.state_dir[0] != '\0') /* temporary files */
		setenv("TMPDIR", sandbox.state_dir, 1);
	if ((sandbox.needs & SKYMON_NEEDS_EXEC) != 0 && !keeper_begin())
		return err_set(err, "cannot start its process: %s", strerror(errno));
	bool done = sandbox_enter(&sandbox, &missing, err);
	if (done && (missing & ~sandbox_missing()) != 0) /* else the daemon has warned already */
		send_log(NULL, 0, LOG_LEVEL_WARN,
			 "its worker could not be confined, although the kernel can");
	sandbox_free(&sandbox);
	free(message.body);
	wire_inbox_free(&inbox);
	worker.begun_us = runner_clock_us();
	return done;
}

int main(int argc, char **argv)
{
	struct err err;
	if (argc != 4 || fcntl(WIRE_FD, F_GETFD) < 0 || fcntl(COPY_FD, F_GETFD) < 0) {
		fputs("skymon-worker is started by skymond, and does nothing by itself\n", stderr);
		return 2;
	}
	worker.memory_limit = strtoll(argv[2], NULL, 10);
	confine();
	worker.wire = move_up(WIRE_FD);
	worker.wake = move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	catch_death();
	prctl(PR_SET_NAME, argv[3]);
	bool opened = enter_sandbox(&err) && plugin_open(argv[1], COPY_FD, &worker.plugin, &err);
	close(COPY_FD);
	if (!opened) {
		send_hello(err.text);
		wait_for_end();
	}
	if ((worker.plugin.flags & SKYMON_IN_DAEMON) != 0) { /* validated here, run there */
		send_hello(NULL);
		wait_for_end();
	}
	limit(RLIMIT_NOFILE, worker.plugin.begin != NULL ? LOOP_FILES_MAX : FILES_MAX);
	phase = "loading";
	worker.loop = loop_new();
	if (worker.loop == NULL)
		_exit(1);
	loop_raise(worker.loop, HIGH_FD);
	worker.runner = runner_new(&worker.plugin, worker.loop, worker.memory_limit, &events, NULL, &err);
	if (worker.runner == NULL) {
		send_hello(err.text);
		wait_for_end();
	}
	phase = "";
	send_hello(NULL);
	on_exit(at_exit,
		NULL); /* once more, so that it is called before the handlers of the plugin's libraries */
	serve();
}
