/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/spawn.h - programs that a check starts: in a process group of their own, with a deadline, limits and bounded output.
 *
 * Needs      SKYMON_NEEDS_EXEC in the plugin's flags. With SKYMON_NEEDS_PROC too, processes that have detached themselves from a run
 *            (setsid, two forks) are found and ended with it; without it they live until the worker ends.
 * Threads    Any; several programs at once. A call blocks its thread, within the check's time (skymon_ms_left).
 * The end    When a program ends, the rest of its group gets SIGKILL; at the deadline the whole group gets SIGTERM, then SIGKILL.
 *            Nothing is left: no zombie, no descriptor. What a worker has started does not outlive the worker, also if that is killed.
 * Files      Programs are in the worker's sandbox: they read software, system settings and the files that options name.
 *
 * Of the helper library (libskymon-lib.a, `pkg-config skymon-lib`), which a plugin links statically. It is outside of the ABI's promise:
 * a plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_SPAWN_H
#define SKYMON_SPAWN_H

#include <skymon/fault.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skymon_program {
	const char *const *argv; /* the first is the path of the file; ends with NULL */
	const char *const *env;  /* "NAME=value"; ends with NULL; NULL: the worker's environment */
	const char *folder;      /* working directory; NULL: the worker's */
	/* Limits of each of its processes; 0: those of the worker. memory: writable private memory (RLIMIT_DATA). */
	int64_t memory, cpu_seconds, files;
};

/* One run from start to end. The caller sets the first part and owns the buffers. */
struct skymon_spawn_run {
	const void *in; /* its standard input, which ends then; NULL: empty */
	size_t in_size;
	char *out, *err; /* receive its standard output and standard error, ended by '\0' */
	size_t out_room, err_room;
	/* Results. */
	size_t out_size, err_size;
	bool late;    /* was ended at the deadline */
	bool flooded; /* was ended because it wrote more than out_room, or SKYMON_SPAWN_FLOOD to its standard error;
	               * what does not fit into err_room is dropped */
	int code;     /* exit code; -1 if a signal ended it */
	int signal;   /* that signal, else 0 */
};
#define SKYMON_SPAWN_FLOOD (1u << 20)

/* Runs a program to its end. Returns false, with *fault set, if it cannot be started. */
bool skymon_spawn(struct skymon *sm, const struct skymon_program *program, struct skymon_spawn_run *run,
		  struct skymon_fault *fault);

/* A program that goes on after the call. The descriptors are the caller's to read and write; they do not block. */
struct skymon_child {
	pid_t pid;             /* and process group; 0: none */
	int ended;             /* pidfd: readable once it has ended */
	int in, out, err;
};
bool skymon_spawn_start(const struct skymon_program *program, struct skymon_child *child, struct skymon_fault *fault);
/* Ends the program's group: closes its standard input, sends SIGTERM, and SIGKILL after patience_ms. Returns its wait status, and sets
 * *child to none. */
int skymon_spawn_end(struct skymon_child *child, int64_t patience_ms);

#ifdef __cplusplus
}
#endif

#endif
