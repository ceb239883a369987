/* SPDX-License-Identifier: Apache-2.0 */
/* notify: tells the service manager (sd_notify(3)) that we are ready, reload, stop, and live. No-op without
 * $NOTIFY_SOCKET. Own lines in place of libsystemd, which would add more to the daemon's memory than all of
 * its code. Owns the socket. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

#include "base/err.h"

void notify_open(const char *socket_path); /* $NOTIFY_SOCKET or NULL; "@…" is abstract */
void notify_ready(void);
void notify_reloading(
	void); /* with MONOTONIC_USEC, as Type=notify-reload demands; then notify_ready when done */
void notify_stopping(void);
void notify_watchdog(void);

#endif
