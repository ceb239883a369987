/* SPDX-License-Identifier: Apache-2.0 */
/* spawn: real programs, in a process that has a keeper as a worker has: their ends, the deadline, floods, limits, and what is left. */
#include <skymon/spawn.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"
#include "worker/keeper.h"

static char out[64 * 1024], err[1000];
static _Thread_local int64_t deadline; /* monotonic ms */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t ms_left(struct skymon *sm)
{
	(void)sm;
	return deadline > now_ms() ? deadline - now_ms() : 0;
}

static const struct skymon_host host = {.size = sizeof(host), .ms_left = ms_left};
static struct skymon component = {&host};

static bool run_program(const struct skymon_program *program, const char *in, int64_t ms,
			struct skymon_spawn_run *run, struct skymon_fault *fault)
{
	*run = (struct skymon_spawn_run){.in = in,
					 .in_size = in != NULL ? strlen(in) : 0,
					 .out = out,
					 .err = err,
					 .out_room = sizeof(out),
					 .err_room = sizeof(err)};
	deadline = now_ms() + ms;
	return skymon_spawn(&component, program, run, fault);
}

static struct skymon_spawn_run run_shell(const char *script, const char *in, int64_t ms)
{
	const char *const argv[] = {"/bin/sh", "-c", script, NULL};
	struct skymon_program program = {.argv = argv};
	struct skymon_spawn_run run;
	struct skymon_fault fault = {.text = ""};
	CU_ASSERT(run_program(&program, in, ms, &run, &fault));
	UNIT_TEXT(fault.text, "");
	return run;
}

static bool is_alive(pid_t pid)
{
	return kill(pid, 0) == 0;
}

static bool is_gone(pid_t pid)
{
	for (int i = 0; i < 500 && is_alive(pid); i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	return pid > 1 && !is_alive(pid);
}

static size_t open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	size_t count = 0;
	while (folder != NULL && readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

static void ends(void)
{
	static const struct {
		const char *script, *in, *out, *err;
		int code, number;
	} rows[] = {
		{"echo hello; echo oh >&2; exit 3", NULL, "hello\n", "oh\n", 3, 0},
		{"cat", "a\nb", "a\nb", "", 0, 0},
		{"exit 0", "not read", "", "", 0, 0},
		{"kill -SEGV $$", NULL, "", "", -1, SIGSEGV},
		{"kill -PIPE $$", NULL, "", "", -1, SIGPIPE}, /* which the worker ignores */
		{"exec >&- 2>&-; exit 5", NULL, "", "", 5, 0},
		{"read x || echo empty", NULL, "empty\n", "", 0, 0},
		{"ls /proc/self/fd | wc -l", NULL, "4\n", "", 0, 0}, /* 0, 1, 2 and that of ls */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon_spawn_run run = run_shell(rows[i].script, rows[i].in, 20000);
		UNIT_TEXT(run.out, rows[i].out);
		UNIT_TEXT(run.err, rows[i].err);
		CU_ASSERT(run.code == rows[i].code && run.signal == rows[i].number && !run.late &&
			  !run.flooded);
	}
}

static void starts_that_fail(void)
{
	static const struct {
		const char *path, *folder, *text;
	} rows[] = {
		{"/nowhere/x", NULL, "cannot start /nowhere/x: No such file or directory"},
		{"/etc/passwd", NULL, "cannot start /etc/passwd: Permission denied"},
		{"/bin/true", "/nowhere", "cannot enter the folder /nowhere: No such file or directory"},
	};
	size_t files = open_files();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *const argv[] = {rows[i].path, NULL};
		struct skymon_program program = {.argv = argv, .folder = rows[i].folder};
		struct skymon_spawn_run run;
		struct skymon_fault fault;
		CU_ASSERT_FALSE(run_program(&program, NULL, 5000, &run, &fault));
		UNIT_TEXT(fault.text, rows[i].text);
		CU_ASSERT_EQUAL(fault.status, SKYMON_UNKNOWN);
	}
	CU_ASSERT_EQUAL(open_files(), files);
	CU_ASSERT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static void deadlines(void)
{
	struct skymon_spawn_run run = run_shell("echo begun; sleep 1000", NULL, 300);
	CU_ASSERT(run.late && run.signal == SIGTERM);
	UNIT_TEXT(run.out, "begun\n");
	/* time for the shell to come to its trap, on a busy machine too */
	run = run_shell("trap '' TERM; echo $$; while :; do sleep 1000; done", NULL, 2000);
	CU_ASSERT(run.late && run.signal == SIGKILL);
	CU_ASSERT(is_gone(atoi(out)));
	/* a busy machine may not let it run in the time that it has between SIGTERM and SIGKILL */
	for (int i = 0; i < 20 && !(run.late && run.code == 9); i++)
		run = run_shell("trap 'exit 9' TERM; sleep 1000 & wait", NULL, 500);
	CU_ASSERT(run.late && run.code == 9);
}

static void floods(void)
{
	struct skymon_spawn_run run = run_shell("yes", NULL, 20000);
	CU_ASSERT(run.flooded && !run.late && run.out_size == sizeof(out) - 1);
	run = run_shell("yes >&2", NULL, 20000);
	CU_ASSERT(run.flooded && !run.late && run.err_size == sizeof(err) - 1);
	run = run_shell("head -c 5000 /dev/zero >&2; echo fine", NULL, 20000);
	CU_ASSERT(!run.flooded && run.code == 0 && run.err_size == sizeof(err) - 1);
	UNIT_TEXT(run.out, "fine\n");
	/* what a program has left behind holds its output, and does not keep the run */
	run = run_shell("(trap '' TERM; exec yes) & exit 0", NULL, 20000);
	CU_ASSERT(run.code == 0 || run.flooded);
	run = run_shell("sleep 1000 & echo $!", NULL, 20000);
	CU_ASSERT(run.code == 0 && !run.late);
	CU_ASSERT(is_gone(atoi(out)));
}

static void limits(void)
{
	const char *const argv[] = {"/bin/sh", "-c", "ulimit -n; ulimit -d; ulimit -t; pwd; echo $A", NULL};
	const char *const env[] = {"A=b c", NULL};
	struct skymon_program program = {.argv = argv,
					 .env = env,
					 .folder = "/usr",
					 .memory = 64 << 20,
					 .cpu_seconds = 7,
					 .files = 20};
	struct skymon_spawn_run run;
	struct skymon_fault fault;
	CU_ASSERT(run_program(&program, NULL, 20000, &run, &fault));
	UNIT_TEXT(out, "20\n65536\n7\n/usr\nb c\n");
	const char *const spin[] = {"/bin/sh", "-c", "while :; do :; done", NULL};
	program = (struct skymon_program){.argv = spin, .cpu_seconds = 1};
	CU_ASSERT(run_program(&program, NULL, 60000, &run, &fault));
	CU_ASSERT(run.signal == SIGXCPU && !run.late);
}

/* ---- Processes that leave their group ---- */

/* Prints its number once the process has left, which the program that started it waits for. */
#define LEAVE "echo $(setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &)"

static void detached(void)
{
	struct skymon_spawn_run run = run_shell(LEAVE, NULL, 20000);
	CU_ASSERT(run.code == 0 && is_gone(atoi(out)));
	run = run_shell(
		"echo $(setsid sh -c 'setsid sleep 1000 >/dev/null 2>&1 & echo $!; exec >&- 2>&-; wait' &)",
		NULL, 20000);
	CU_ASSERT(run.code == 0 && is_gone(atoi(out)));
}

/* Runs until the file is gone; the program makes it. */
static void *run_while_there(void *file)
{
	const char *const argv[] = {"/bin/sh", "-c", ": >\"$0\"; while [ -e \"$0\" ]; do sleep 0.05; done",
				    file, NULL};
	struct skymon_program program = {.argv = argv};
	char text[100], errors[100];
	struct skymon_spawn_run run = {
		.out = text, .err = errors, .out_room = sizeof(text), .err_room = sizeof(errors)};
	struct skymon_fault fault;
	deadline = now_ms() + 60000;
	(void)skymon_spawn(&component, &program, &run, &fault);
	return NULL;
}

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* It may belong to either of two runs: it is left alone until both have ended. */
static void detached_beside_another(void)
{
	pthread_t thread;
	char folder[] = "/tmp/test_lib_spawn.XXXXXX", file[sizeof(folder) + sizeof("/runs")];
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/runs", folder);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_while_there, file), 0);
	while (access(file, F_OK) != 0)
		wait_ms(1);
	wait_ms(50); /* its start must have an earlier tick */
	(void)run_shell(LEAVE, NULL, 20000);
	pid_t pid = atoi(out);
	CU_ASSERT(pid > 1 && is_alive(pid));
	CU_ASSERT_EQUAL(unlink(file), 0);
	pthread_join(thread, NULL);
	CU_ASSERT(is_gone(pid));
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void nothing_is_left(void)
{
	(void)run_shell("exit 0", NULL, 20000);
	size_t files = open_files();
	for (int i = 0; i < 300; i++)
		(void)run_shell("exit 0", i % 2 == 0 ? "x" : NULL, 20000);
	CU_ASSERT_EQUAL(open_files(), files);
	CU_ASSERT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

/* ---- Programs that go on ---- */

static void children(void)
{
	const char *const argv[] = {"/bin/cat", NULL};
	struct skymon_program program = {.argv = argv};
	struct skymon_child child;
	struct skymon_fault fault;
	size_t files = open_files();
	char line[20] = "";
	CU_ASSERT_FATAL(skymon_spawn_start(&program, &child, &fault));
	CU_ASSERT_EQUAL(read(child.out, line, sizeof(line)), -1);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	CU_ASSERT_EQUAL(write(child.in, "hi\n", 3), 3);
	struct pollfd ready = {.fd = child.out, .events = POLLIN};
	CU_ASSERT_EQUAL(poll(&ready, 1, 20000), 1);
	CU_ASSERT_EQUAL(read(child.out, line, sizeof(line)), 3);
	pid_t pid = child.pid;
	int status = skymon_spawn_end(&child, 20000);
	CU_ASSERT(WIFSIGNALED(status) || WIFEXITED(status));
	CU_ASSERT(!is_alive(pid) && child.pid == 0);
	CU_ASSERT_EQUAL(open_files(), files);
	CU_ASSERT_EQUAL(skymon_spawn_end(&child, 0), 0);
}

int main(void)
{
	pid_t own = fork();
	if (own > 0) {
		int status;
		return waitpid(own, &status, 0) == own && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
	}
	if (own < 0 || !keeper_begin())
		return 2;
	signal(SIGPIPE, SIG_IGN);
	return unit_run("spawn",
			(const struct unit_test[]){{"ends", ends},
						   {"starts that fail", starts_that_fail},
						   {"deadlines", deadlines},
						   {"floods", floods},
						   {"limits", limits},
						   {"detached", detached},
						   {"detached beside another", detached_beside_another},
						   {"nothing is left", nothing_is_left},
						   {"children", children},
						   {0}});
}
