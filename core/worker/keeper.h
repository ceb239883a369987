/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SKYMON_WORKER_KEEPER_H
#define SKYMON_WORKER_KEEPER_H

#include <stdbool.h>

/* Returns in a child process, the worker proper; the caller's own process stays behind as its keeper and does
 * not return. false if no process can be had. Call it before any thread is started. */
bool keeper_begin(void);

#endif
