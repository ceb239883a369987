/* SPDX-License-Identifier: Apache-2.0 */
/* notify: reports ready, reloading, stopping, the watchdog and a sentence about the components to the service
 * manager (sd_notify(3)). Does nothing without $NOTIFY_SOCKET. libsystemd would add more to the daemon's
 * memory than all of its code. Owns the socket and the timers. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include "base/loop.h"
#include "board/board.h"

/* Takes $NOTIFY_SOCKET ("@…" is abstract) and $WATCHDOG_USEC. */
void notify_open(struct loop *loop, struct board *board);
void notify_close(void);
/* A configuration is in force from now_ms on (wall clock), and nothing is being reloaded any more. */
void notify_ready(int64_t now_ms);
void notify_reloading(void);
void notify_refused(void); /* the reload was, and the configuration before it stays in force */
void notify_stopping(void);

/* Appends "3 of 4 healthy; database: refused". */
void notify_describe(const struct skymon_snapshot *snapshot, struct buf *out);

#endif
