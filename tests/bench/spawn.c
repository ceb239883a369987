/* SPDX-License-Identifier: Apache-2.0 */
/* spawn: what a run of a program costs beside posix_spawn's own cost, in one process.
 *	spawn spawn|posix COUNT -> microseconds of wall time and of CPU for each run
 * posix: posix_spawn and waitpid alone; spawn: skymon_spawn, with its pipes, its deadline and its end. Run by exec.py. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include <skymon/spawn.h>

static int64_t ms_left(struct skymon *sm)
{
	(void)sm;
	return 5000;
}

static double cpu_seconds(int whose)
{
	struct rusage usage;
	getrusage(whose, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static bool run_posix(char *const *argv)
{
	pid_t pid;
	return posix_spawn(&pid, argv[0], NULL, NULL, argv, NULL) == 0 && waitpid(pid, NULL, 0) == pid;
}

static bool run_ours(char *const *argv)
{
	static const struct skymon_host host = {.size = sizeof(host), .ms_left = ms_left};
	struct skymon sm = {&host};
	struct skymon_fault fault;
	static char out[4096], err[4096];
	const char *const env[] = {NULL};
	struct skymon_program program = {.argv = (const char *const *)(uintptr_t)argv, .env = env};
	struct skymon_spawn_run run = {
		.out = out, .err = err, .out_room = sizeof(out), .err_room = sizeof(err)};
	return skymon_spawn(&sm, &program, &run, &fault) && run.code == 0;
}

int main(int argc, char **argv)
{
	char *const program[] = {"/bin/true", NULL};
	if (argc != 3)
		return 2;
	bool ours = strcmp(argv[1], "spawn") == 0;
	int count = atoi(argv[2]);
	struct timespec begun, now;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	for (int i = 0; i < count; i++)
		if (!(ours ? run_ours(program) : run_posix(program)))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double wall = (double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
	printf("%.2f %.2f\n", wall * 1e6 / count,
	       (cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN)) * 1e6 / count);
	return 0;
}
