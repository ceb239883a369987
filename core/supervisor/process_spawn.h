/* SPDX-License-Identifier: Apache-2.0 */
/* process_spawn: starts skymon-worker processes. */
#ifndef PROCESS_SPAWN_H
#define PROCESS_SPAWN_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

struct process_arguments {
	const char *program, *name,
		*plugin_path; /* skymon-worker; the plugin's name and file, for messages */
	int copy;             /* of the plugin's file (plugin_file_open) */
	int64_t memory_limit;
};

/* wire, print: the worker's ends; print is its output and its errors. */
bool process_spawn(const struct process_arguments *arguments, int wire, int print, pid_t *pid,
		   struct err *err) MUST_CHECK;

#endif
