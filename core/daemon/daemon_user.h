/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_user: whom a daemon that was started as root becomes. */
#ifndef DAEMON_USER_H
#define DAEMON_USER_H

#include "config/settings.h"

/* Becomes the user of the config, or the owner of state_dir, when started as root; else stays what it is.
 * listens: it will open ports and socket files as root may, between daemon_user_powers(true) and (false). */
bool daemon_become_user(const struct settings *settings, bool listens, struct err *err) MUST_CHECK;
void daemon_user_powers(bool on);

#endif
