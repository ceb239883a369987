/* SPDX-License-Identifier: Apache-2.0 */
/* notify: reports ready, reloading, stopping and the watchdog to the service manager (sd_notify(3)). Does
 * nothing without $NOTIFY_SOCKET. libsystemd would add more to the daemon's memory than all of its code. Owns
 * the socket. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

#include "base/err.h"

void notify_open(const char *socket_path); /* $NOTIFY_SOCKET or NULL; "@…" is abstract */
void notify_ready(void);
void notify_reloading(
	void); /* with MONOTONIC_USEC, as Type=notify-reload requires; call notify_ready() afterwards */
void notify_stopping(void);
void notify_watchdog(void);

#endif
