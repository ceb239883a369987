/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: what a worker may reach, decided by the daemon before the plugin is opened.
 *
 * Two guards that only ever narrow: Landlock (files; signals and abstract sockets of others) and a seccomp
 * filter (system calls that no check needs). The daemon describes the sandbox from the plugin's flags and the
 * paths that its components' options name, and sends it as the first message; the worker enters it before any
 * code of the plugin runs. Neither can be widened later, so a component that names further paths costs the
 * worker its process. Pure but for sandbox_enter, sandbox_stale (worker) and sandbox_missing (daemon). */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/wire.h"

/* The parts of it that a kernel may lack. */
enum sandbox_guard { SANDBOX_FILES = 1, SANDBOX_SIGNALS = 2, SANDBOX_CALLS = 4, SANDBOX_ALL = 7 };
extern const char *const sandbox_guard_words[3]; /* in the order of the bits */
/* The guards that this kernel does not offer. */
unsigned sandbox_missing(void);

/* WRITE: also the folder that the path is in (a database makes files beside). */
enum sandbox_access { SANDBOX_READ_FILE /* guessed */, SANDBOX_READ /* a folder too */, SANDBOX_WRITE };
struct sandbox_path {
	char *path;
	enum sandbox_access access;
};
struct sandbox {
	uint32_t needs;  /* SKYMON_NEEDS_… of the plugin */
	bool strict;     /* a guard that is missing is an error */
	char *state_dir; /* of the plugin's own; "" : none */
	struct sandbox_path *paths;
	size_t count, capacity;
};
/* A path that is there already gets the wider access. */
void sandbox_add(struct sandbox *sandbox, const char *path, enum sandbox_access access);
/* Is all that is wanted within what there is? */
bool sandbox_covers(const struct sandbox *sandbox, const struct sandbox *wanted);
void sandbox_free(struct sandbox *sandbox);
void sandbox_encode(const struct sandbox *sandbox, struct buf *body);
bool sandbox_decode(struct wire_reader *in, struct sandbox *sandbox) MUST_CHECK;

/* Enters it, for good. Before any other thread is there. *missing: guards that could not be set; when strict,
 * false. */
bool sandbox_enter(const struct sandbox *sandbox, unsigned *missing, struct err *err) MUST_CHECK;
/* Was a file that the check may have opened replaced by one that is out of reach? healthy: the check's
 * result, which files that were only guessed then cannot have spoiled. Any thread. */
bool sandbox_stale(bool healthy);

/* sandbox_filter.c: the system calls. false: errno says why. */
bool sandbox_filter(uint32_t needs);

#endif
