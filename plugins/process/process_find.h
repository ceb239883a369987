/* SPDX-License-Identifier: Apache-2.0 */
/* process_find: finds the process ids of a service from a pid file, a systemd unit's control group or a
 * listening port. */
#ifndef PROCESS_FIND_H
#define PROCESS_FIND_H

#include <skymon/plugin.h>

#include "process_parse.h"

/* A growing set of numbers (pids, inodes), sorted by process_set_sort before process_set_has. Zero is empty.
 */
struct process_set {
	uint64_t *items;
	size_t count, space;
};
void process_set_add(struct process_set *set, uint64_t item);
void process_set_sort(struct process_set *set);
bool process_set_has(const struct process_set *set, uint64_t item);
void process_set_free(struct process_set *set);

/* healthy if the service runs; pids may still be empty, with the reason in `limited`, if this user may not
 * see its processes. Otherwise message has the reason. */
struct process_finding {
	enum skymon_status status;
	enum skymon_reason reason;
	char message[400], limited[300];
	uint64_t main_pid;       /* that of the pid file; 0 if the oldest is the main one */
	struct process_set pids; /* freed by the caller */
};

/* children: include all descendants. The deadline ends a search early; the daemon has published the timeout
 * by then. */
void process_find_pid_file(struct skymon *sm, const char *path, bool children, struct process_finding *out);
void process_find_unit(struct skymon *sm, const char *cgroup_root, const char *unit,
		       struct process_finding *out);
void process_find_port(struct skymon *sm, uint16_t port, bool children, struct process_finding *out);

/* Adds the inodes of the sockets that a process has open; counts its open files. Returns false with errno. */
bool process_open_files(uint64_t pid, struct process_set *sockets, uint64_t *count);

/* Calls `each` for every TCP socket of the network namespace of a process ("self" for this one), or for those that
 * listen: /proc has them first. Returns false with errno. */
typedef void process_each_socket(void *arg, const struct process_socket *socket);
bool process_sockets(const char *pid, bool listening, process_each_socket *each, void *arg);

#endif
