/* SPDX-License-Identifier: Apache-2.0 */
/* orphan: the daemon's children that it did not start. It is a subreaper (and may be PID 1), so processes
 * whose parent has died become its own: those that a worker left behind are ended, others are only reaped. */
#ifndef ORPHAN_H
#define ORPHAN_H

#include <stdbool.h>
#include <sys/types.h>

void orphan_begin(void);
/* Reaps and ends what there is; to be called at SIGCHLD. is_worker: workers are reaped elsewhere. */
void orphan_tend(bool (*is_worker)(void *arg, pid_t pid), void *arg);

#endif
