/* SPDX-License-Identifier: Apache-2.0 */
/* reload_request: `skymond --reload PID`, which asks a running skymond to reload and waits for the outcome, and
 * the other end in that skymond. It needs no listener, token or file, so it works with any configuration, and
 * `systemctl reload` can fail when a configuration is refused. Owns nothing. */
#ifndef RELOAD_REQUEST_H
#define RELOAD_REQUEST_H

#include <sys/signalfd.h>
#include <sys/types.h>

#include "base/err.h"

/* Asks process `text` to reload. Returns true if it did; otherwise err says why not. */
bool reload_request(const char *text, struct err *err) MUST_CHECK;

/* The requester that waits: the value and sender of its signal; pid 0 if none. */
struct reload_requester {
	pid_t pid;
	uint32_t value;
};
/* Returns the requester of a SIGHUP, or none if kill(1) sent it. */
struct reload_requester reload_requester_of(const struct signalfd_siginfo *info);
/* Sends the outcome to a requester, and forgets it. sentence: NULL if the reload succeeded. */
void reload_answer(struct reload_requester *requester, const char *sentence);

#endif
