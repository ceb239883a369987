/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SKYMON_WORKER_KEEPER_H
#define SKYMON_WORKER_KEEPER_H

#include <stdbool.h>

/* Returns in a child process, the worker proper; the caller's own stays behind as its keeper and does not
 * return. false: there is no process to be had. Before any thread is there. */
bool keeper_begin(void);

#endif
