/* SPDX-License-Identifier: Apache-2.0 */
/* supervisor/process.c with a real process that does nothing, a worker's end of the wire that the test holds,
 * and a virtual clock: each message that a worker may and may not send, each end that it may come to, and how
 * long it is given. */
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "fake_worker.h"

/* ---- Messages ---- */

static void put_nothing(struct buf *body)
{
	(void)body;
}

static void put_rubbish(struct buf *body)
{
	buf_add(body, "\xff\xff\xff\xff\xff", 5);
}

static void put_started(struct buf *body)
{
	message_put_started(body, true, SKYMON_NONE, "fine");
}

static void put_step(struct buf *body)
{
	message_put_step(body, 5, "reading");
}

static void put_log(struct buf *body)
{
	message_put_log(body, LOG_LEVEL_DEBUG, "a line");
}

static void put_answer(struct buf *body)
{
	message_put_answer(body, &(struct message_answer){.number = 3, .ok = true, .bytes = "x", .size = 1});
}

static void put_result(struct buf *body)
{
	struct result_builder *builder = result_builder_new();
	message_put_result(body, 5);
	result_say(builder, "well");
	result_encode(builder, SKYMON_HEALTHY, 1, body);
	result_builder_free(builder);
}

static void put_crash(struct buf *body)
{
	uint8_t bytes[MESSAGE_CRASH_MAX];
	struct message_crash crash = {WIRE_CRASH_SIGNAL, SIGSEGV, "parsing"};
	buf_add(body, bytes, message_put_crash(bytes, &crash));
}

static void put_memory(struct buf *body)
{
	uint8_t bytes[MESSAGE_CRASH_MAX];
	buf_add(body, bytes, message_put_crash(bytes, &(struct message_crash){WIRE_CRASH_MEMORY, 0, ""}));
}

#define BROKEN "sent a message that is broken"
#define FOREIGN "sent a message of a component that it does not have"
#define EARLY "sent a message before its hello"

static void each_message(void)
{
	static const struct {
		enum wire_type type;
		uint32_t id;
		void (*put)(struct buf *body);
		const char *seen, *end; /* end: NULL, or how it was killed */
		uint32_t culprit;
		bool early; /* before the hello */
	} rows[] = {
		{WIRE_STARTED, COMPONENT, put_started, "started 7 1 fine;", NULL, 0, false},
		{WIRE_STARTED, COMPONENT, put_rubbish, "", BROKEN, 0, false},
		{WIRE_STARTED, 8, put_started, "", FOREIGN, 0, false},
		{WIRE_STARTED, COMPONENT, put_started, "", EARLY, 0, true},
		{WIRE_RESULT, COMPONENT, put_result, "result 7 5 well;", NULL, 0, false},
		{WIRE_RESULT, 0, put_result, "", FOREIGN, 0, false},
		{WIRE_REFUSED, COMPONENT, put_nothing, "refused 7;", NULL, 0, false},
		{WIRE_STOPPED, COMPONENT, put_nothing, "stopped 7;", NULL, 0, false},
		{WIRE_ANSWER, COMPONENT, put_answer, "answer 7 3;", NULL, 0, false},
		{WIRE_ANSWER, COMPONENT, put_rubbish, "", "sent an answer that is broken", 0, false},
		{WIRE_REPLY, COMPONENT, put_rubbish, "", "sent a reply that is broken", 0, false},
		{WIRE_STEP, COMPONENT, put_step, "step 7 5 reading;", NULL, 0, false},
		{WIRE_STEP, COMPONENT, put_rubbish, "", BROKEN, 0, false},
		{WIRE_VALIDATED, COMPONENT, put_nothing, "validated 7;", NULL, 0, false},
		{WIRE_STALE, 0, put_nothing, "stale;", NULL, 0, false},
		{WIRE_STALE, 0, put_nothing, "stale;", NULL, 0, true}, /* of none: it may */
		{WIRE_STALE, 8, put_nothing, "", FOREIGN, 0, false},
		{WIRE_LOG, 0, put_log, "", NULL, 0, false},
		{WIRE_LOG, 0, put_log, "", NULL, 0, true},
		{WIRE_LOG, COMPONENT, put_log, "", EARLY, 0, true},
		{WIRE_LOG, 8, put_log, "", FOREIGN, 0, false},
		{WIRE_CRASH, COMPONENT, put_memory, "", "grew past the memory limit of 64 MiB", COMPONENT,
		 false},
		{WIRE_HELLO, COMPONENT, put_nothing, "", "sent a hello of a component", 0, false},
		{WIRE_HELLO, 0, put_nothing, "", "sent its hello twice", 0, false},
		{WIRE_RUN, COMPONENT, put_nothing, "", "sent a message that only the daemon sends", 0, false},
		{WIRE_SANDBOX, 0, put_nothing, "", FOREIGN, 0, false},
		{(enum wire_type)200, 0, put_nothing, "",
		 "sent an invalid message: broke the rules of the wire: unknown type of message (type 200, "
		 "0 bytes)",
		 0, false},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(!rows[i].early);
		struct buf body = {0};
		rows[i].put(&body);
		worker_sends(rows[i].type, rows[i].id, &body);
		buf_free(&body);
		settle();
		UNIT_TEXT(world.seen.data, rows[i].seen);
		if (rows[i].end != NULL)
			await_end(strncmp(rows[i].end, "grew", 4) == 0 ? PROCESS_KILLED : PROCESS_CRASHED,
				  rows[i].culprit, rows[i].end);
		CU_ASSERT_EQUAL(world.ended, rows[i].end != NULL);
		finish();
	}
}

static void hellos(void)
{
	begin(false);
	worker_greets("u");
	settle();
	UNIT_TEXT(world.seen.data, "hello its hello is that of another plugin, u;");
	finish();

	begin(false);
	struct buf body = {0};
	message_put_hello(&body, "no symbol skymon_plugin");
	worker_sends(WIRE_HELLO, 0, &body);
	buf_free(&body);
	settle();
	UNIT_TEXT(world.seen.data, "hello no symbol skymon_plugin;");
	finish();

	begin(false);
	put_rubbish(&body);
	worker_sends(WIRE_HELLO, 0, &body);
	buf_free(&body);
	settle();
	UNIT_TEXT(world.seen.data, "hello its hello is broken;");
	finish();
}

/* Nothing of a worker that broke the protocol is read, not even what is in the wire already. */
static void nothing_after_a_break(void)
{
	begin(true);
	struct buf body = {0};
	worker_sends(WIRE_STOPPED, 8, &body);
	worker_sends(WIRE_STOPPED, COMPONENT, &body);
	settle();
	await_end(PROCESS_CRASHED, 0, FOREIGN);
	UNIT_TEXT(world.seen.data, "");
	finish();
}

/* One worker that sends without end does not keep the others waiting. */
static void packets_of_a_turn(void)
{
	begin(true);
	struct buf body = {0};
	for (int i = 0; i < 100; i++)
		worker_sends(WIRE_REFUSED, COMPONENT, &body);
	loop_turn_once(world.loop, 0);
	CU_ASSERT_EQUAL(world.seen.size, PACKETS_PER_TURN * strlen("refused 7;"));
	settle();
	CU_ASSERT_EQUAL(world.seen.size, 100 * strlen("refused 7;"));
	finish();
}

/* ---- Its end ---- */

static void no_hello(void)
{
	begin(false);
	loop_pass(world.loop, HELLO_TIMEOUT_MS - 1);
	CU_ASSERT_FALSE(loop_turn_once(world.loop, 0));
	loop_pass(world.loop, 1);
	await_end(PROCESS_KILLED, 0, "did not answer within 5000 ms of its start");
	finish();

	begin(true); /* the hello ends the wait */
	loop_pass(world.loop, 100 * HELLO_TIMEOUT_MS);
	CU_ASSERT_FALSE(loop_turn_once(world.loop, 0));
	finish();
}

static void exits(void)
{
	static const struct {
		bool asked;
		int code;
		enum process_cause cause;
		const char *text;
	} rows[] = {
		{true, 0, PROCESS_ENDED, "was ended"},
		{true, 3, PROCESS_CRASHED, "ended with exit code 3"},
		{false, 0, PROCESS_CRASHED, "ended with exit code 0"},
		{false, 1, PROCESS_CRASHED, "ended with exit code 1"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(true);
		if (rows[i].asked)
			process_end(world.process, EXIT_TIMEOUT_MS);
		worker_exits(rows[i].code);
		await_end(rows[i].cause, 0, rows[i].text);
		finish();
	}
	begin(true);
	kill(process_pid(world.process), SIGABRT);
	await_end(PROCESS_CRASHED, 0, "was ended by SIGABRT");
	finish();
}

/* A worker that was asked to exit may still log and say how it crashed; nothing else counts. */
static void asked_to_exit(void)
{
	begin(true);
	struct buf body = {0};
	process_end(world.process, 10000);
	char byte;
	struct wire_inbox inbox = {0};
	while (worker_receives(&inbox) != 0)
		;
	CU_ASSERT_EQUAL(recv(world.wire, &byte, 1, MSG_DONTWAIT), 0); /* the daemon's side is shut */
	worker_sends(WIRE_STOPPED, COMPONENT, &body);
	process_run(world.process, COMPONENT,
		    &(struct message_run){1, 1000, 30000}); /* … and sends nothing more */
	settle();
	UNIT_TEXT(world.seen.data, "");
	loop_pass(world.loop, 4000);
	process_end(world.process, 20000); /* a longer time does not count, … */
	process_end(world.process, 2000);  /* … a shorter one does */
	loop_pass(world.loop, 1999);
	CU_ASSERT_FALSE(loop_turn_once(world.loop, 0));
	loop_pass(world.loop, 1);
	await_end(PROCESS_KILLED, 0, "did not exit");
	finish();
}

static void closes_its_wire(void)
{
	begin(true);
	shutdown(world.wire, SHUT_RDWR);
	close(world.wire);
	settle();
	loop_pass(world.loop, BROKEN_EXIT_MS - 1);
	CU_ASSERT_FALSE(loop_turn_once(world.loop, 0));
	loop_pass(world.loop, 1);
	await_end(PROCESS_KILLED, 0, "did not exit");
	world.wire = fcntl(world.print, F_DUPFD_CLOEXEC, 0); /* for finish() */
	finish();
}

/* The report of a crash names the component; a cause that comes later is a consequence. */
static void last_words(void)
{
	begin(true);
	struct buf body = {0};
	put_crash(&body);
	worker_sends(WIRE_CRASH, COMPONENT, &body);
	buf_free(&body);
	kill(process_pid(world.process), SIGKILL); /* the report came from its handler */
	await_end(PROCESS_CRASHED, COMPONENT, "crashed with SIGSEGV while parsing");
	finish();

	begin(true); /* the report comes behind more than one turn reads */
	for (int i = 0; i < 2 * PACKETS_PER_TURN; i++)
		worker_sends(WIRE_REFUSED, COMPONENT, &(struct buf){0});
	body = (struct buf){0};
	put_crash(&body);
	worker_sends(WIRE_CRASH, COMPONENT, &body);
	buf_free(&body);
	siginfo_t info;
	kill(process_pid(world.process), SIGKILL); /* the report came from its handler */
	waitid(P_PID, (id_t)process_pid(world.process), &info, WEXITED | WNOWAIT);
	loop_turn_once(world.loop, 0);
	await_end(PROCESS_CRASHED, COMPONENT, "crashed with SIGSEGV while parsing");
	finish();

	begin(true);
	process_kill(world.process, PROCESS_KILLED, COMPONENT, "hung");
	process_kill(world.process, PROCESS_CRASHED, 0, "later");
	await_end(PROCESS_KILLED, COMPONENT, "hung");
	finish();
}

/* ---- A worker that does not read ---- */

static void backlog(void)
{
	begin(true);
	struct buf body = {0};
	memset(buf_room(&body, 1 << 20), 'x', 1 << 20);
	body.size = 1 << 20;
	int sent = 0;
	while (sent < 64 && process_request(world.process, COMPONENT, 1, false, 1000, &body))
		sent++;
	CU_ASSERT(sent >= 3 && sent < 64);              /* BACKLOG_MAX, and what the kernel took */
	process_start(world.process, COMPONENT, &body); /* the rest of the outbox is for these */
	process_start(world.process, COMPONENT, &body);
	process_run(world.process, COMPONENT, &(struct message_run){9, 1000, 30000});
	settle();
	CU_ASSERT_FALSE(world.ended);
	int runs = 0;
	struct wire_inbox inbox = {0};
	for (int turns = 0; runs == 0 && turns < 10000; turns++) {
		runs += worker_receives(&inbox) == WIRE_RUN;
		loop_turn_once(world.loop, 0);
	}
	CU_ASSERT_EQUAL(runs, 1);
	CU_ASSERT(process_request(world.process, COMPONENT, 1, false, 1000, &body));
	wire_inbox_free(&inbox);
	finish();

	begin(true);
	for (int i = 0; i < 64; i++)
		process_start(world.process, COMPONENT, &body);
	await_end(PROCESS_CRASHED, 0, NULL);
	CU_ASSERT(strncmp(world.end.text, "the worker does not read: ", 26) == 0);
	buf_free(&body);
	finish();
}

/* ---- Its output ---- */

static size_t count_lines(void)
{
	size_t lines = 0;
	for (size_t i = 0; i < logged.size; i++)
		lines += logged.data[i] == '\n';
	return lines;
}

static void prints(void)
{
	begin(true);
	CU_ASSERT_EQUAL(write(world.print, "one\n\ntw", 7), 7);
	settle();
	UNIT_TEXT(logged.data, "one\n"); /* an empty line is left out, half a line waits */
	CU_ASSERT_EQUAL(write(world.print, "o\n", 2), 2);
	settle();
	UNIT_TEXT(logged.data, "one\ntwo\n");
	for (int i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(write(world.print, "x\n", 2), 2);
	settle();
	CU_ASSERT_EQUAL(count_lines(), PRINT_LINES_MAX);
	logged.size = 0;
	loop_pass(world.loop, OUTPUT_WINDOW_MS + 1);
	char line[PRINT_LINE_MAX + 10];
	memset(line, 'y', sizeof(line));
	CU_ASSERT_EQUAL(write(world.print, line, sizeof(line)), (ssize_t)sizeof(line));
	settle();
	CU_ASSERT(strncmp(logged.data, "printed 82 more lines, which were dropped\nyyy", 45) == 0);
	CU_ASSERT_EQUAL(count_lines(), 2); /* the line was cut; its rest has no end yet … */
	worker_exits(1);
	await_end(PROCESS_CRASHED, 0, "ended with exit code 1");
	CU_ASSERT_EQUAL(count_lines(), 3); /* … but that of the worker */
	CU_ASSERT(strstr(logged.data, "\nyyyyyyyyyy\n") != NULL);
	finish();
}

static void logs(void)
{
	begin(true);
	struct buf body = {0};
	put_log(&body);
	for (int i = 0; i < LOG_LINES_MAX + 50; i++) {
		worker_sends(WIRE_LOG, 0, &body);
		settle();
	}
	CU_ASSERT_EQUAL(count_lines(), LOG_LINES_MAX);
	loop_pass(world.loop, OUTPUT_WINDOW_MS + 1);
	worker_sends(WIRE_LOG, 0, &body);
	settle();
	CU_ASSERT_EQUAL(count_lines(), LOG_LINES_MAX + 1);
	buf_free(&body);
	finish();
}

/* A traced process stays a zombie until its debugger has seen it. */
static void held_by_a_debugger(void)
{
	int tell[2], told[2];
	char byte = 'n';
	begin(true);
	pid_t worker = process_pid(world.process);
	CU_ASSERT_EQUAL_FATAL(pipe2(tell, O_CLOEXEC) | pipe2(told, O_CLOEXEC), 0);
	pid_t debugger = fork();
	if (debugger == 0) {
		close(tell[1]);
		byte = ptrace(PTRACE_SEIZE, worker, 0, 0) == 0 ? 'y' : 'n';
		if (write(told[1], &byte, 1) == 1)
			(void)!read(tell[0], &byte, 1); /* until the test closes its end */
		_exit(0);
	}
	CU_ASSERT_EQUAL(read(told[0], &byte, 1), 1);
	CU_ASSERT_EQUAL(byte, 'y');
	process_free(world.process); /* returns */
	world.process = NULL;
	close(tell[1]);
	CU_ASSERT_EQUAL(waitpid(debugger, NULL, 0), debugger);
	CU_ASSERT_EQUAL(waitpid(worker, NULL, 0), worker);
	close(tell[0]);
	close(told[0]);
	close(told[1]);
	finish();
}

int main(void)
{
	return unit_run("worker_process",
			(const struct unit_test[]){{"each_message", each_message},
						   {"held_by_a_debugger", held_by_a_debugger},
						   {"hellos", hellos},
						   {"nothing_after_a_break", nothing_after_a_break},
						   {"packets_of_a_turn", packets_of_a_turn},
						   {"no_hello", no_hello},
						   {"exits", exits},
						   {"asked_to_exit", asked_to_exit},
						   {"closes_its_wire", closes_its_wire},
						   {"last_words", last_words},
						   {"backlog", backlog},
						   {"prints", prints},
						   {"logs", logs},
						   {0}});
}
