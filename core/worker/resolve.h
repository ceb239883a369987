/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: host names to addresses with a deadline. The system's resolver cannot be given one, so it runs in
 * helper threads; a call that does not return in time is left alone (its thread is used again when it does
 * return). All who ask for a name at the same time share one lookup, so that names that hang do not take all
 * threads from the others. A name server that answers for one address family and is silent about the other
 * costs 0.3 s, not its silence. At most RESOLVE_THREADS in a process; further askers wait for one, or until
 * their deadline. Any thread may ask. The pool is the process's: the only state. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <skymon/plugin.h>

#include "base/err.h"

#define RESOLVE_THREADS 32
#define RESOLVE_ADDRESSES 8

/* Numeric addresses, joined by commas, into addresses[size]; a numeric host is copied. deadline_us: of
 * CLOCK_MONOTONIC. false: err is a sentence and *reason SKYMON_DNS or SKYMON_TIMEOUT. */
bool resolve_host(const char *host, int64_t deadline_us, char *addresses, size_t size,
		  enum skymon_reason *reason, struct err *err) MUST_CHECK;

#endif
