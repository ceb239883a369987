/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_user: the user that a daemon started as root becomes. */
#ifndef DAEMON_USER_H
#define DAEMON_USER_H

#include "config/settings.h"

/* If started as root, becomes the user of the config or the owner of state_dir; otherwise does nothing.
 * listens: keep the capabilities for opening ports and socket files, between daemon_user_powers(true) and
 * (false). */
bool daemon_become_user(const struct settings *settings, bool listens, struct err *err) MUST_CHECK;
void daemon_user_powers(bool on);

#endif
