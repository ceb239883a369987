/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: the files, processes and system calls that a worker may reach, decided by the daemon before the
 * plugin is opened.
 *
 * Two guards, which can only be narrowed: Landlock (files; signals and abstract sockets of others) and a
 * seccomp filter (system calls that no check needs). The daemon describes the sandbox from the plugin's flags
 * and the paths that its components' options name, and sends it as the first message; the worker enters it
 * before any code of the plugin runs. Neither can be widened later, so a component that names further paths
 * costs the worker its process. Pure but for sandbox_enter, sandbox_stale (worker) and sandbox_missing
 * (daemon). */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/wire.h"

/* The guards that a kernel may lack. */
enum sandbox_guard { SANDBOX_FILES = 1, SANDBOX_SIGNALS = 2, SANDBOX_CALLS = 4, SANDBOX_ALL = 7 };
extern const char *const sandbox_guard_words[3]; /* in the order of the bits */
/* Returns the guards that this kernel does not offer. */
unsigned sandbox_missing(void);

/* WRITE includes the folder of the path (a database writes its journal there). */
enum sandbox_access { SANDBOX_READ_FILE /* guessed */, SANDBOX_READ /* a folder too */, SANDBOX_WRITE };
struct sandbox_path {
	char *path;
	enum sandbox_access access;
};
struct sandbox {
	uint32_t needs;  /* SKYMON_NEEDS_… of the plugin */
	bool strict;     /* a guard that is missing is an error */
	char *state_dir; /* of the plugin's own; "" if there is none */
	struct sandbox_path *paths;
	size_t count, capacity;
};
/* A path that is in the sandbox already gets the wider access. */
void sandbox_add(struct sandbox *sandbox, const char *path, enum sandbox_access access);
/* Returns whether sandbox allows all that wanted does. */
bool sandbox_covers(const struct sandbox *sandbox, const struct sandbox *wanted);
void sandbox_free(struct sandbox *sandbox);
void sandbox_encode(const struct sandbox *sandbox, struct buf *body);
bool sandbox_decode(struct wire_reader *in, struct sandbox *sandbox) MUST_CHECK;

/* Enters the sandbox, for good, before any other thread is started. *missing: guards that could not be set;
 * false if strict then. */
bool sandbox_enter(const struct sandbox *sandbox, unsigned *missing, struct err *err) MUST_CHECK;
/* Returns whether a file that the check may have opened was replaced by one that is out of reach. healthy:
 * the result of the check, which files that were only guessed cannot have spoiled then. Any thread. */
bool sandbox_stale(bool healthy);

/* sandbox_filter.c: the system calls. false: errno says why. */
bool sandbox_filter(uint32_t needs);

#endif
