/* SPDX-License-Identifier: Apache-2.0 */
/* orphan: the daemon's children that it did not start. The daemon is a subreaper (and may be PID 1), so
 * processes whose parent has died become its children: those that a worker left are killed, others are only
 * reaped. */
#ifndef ORPHAN_H
#define ORPHAN_H

#include <stdbool.h>
#include <sys/types.h>

void orphan_begin(void);
/* To be called at SIGCHLD. Workers (is_worker) are reaped by process.c. */
void orphan_tend(bool (*is_worker)(void *arg, pid_t pid), void *arg);

#endif
