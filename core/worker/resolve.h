/* SPDX-License-Identifier: Apache-2.0 */
/* resolve: host names to addresses, with a deadline. The system's resolver takes none, so it runs in helper
 * threads; a call that does not return in time is abandoned (its thread is used again when it does return).
 * Callers that ask for a name at the same time share one lookup, so that names that hang do not take all
 * threads from the others. A name server that answers for one address family and is silent about the other
 * costs 0.3 s, not its time-out. A process has at most RESOLVE_THREADS; further callers wait for one, or
 * until their deadline. Any thread may call. */
#ifndef RESOLVE_H
#define RESOLVE_H

#include <skymon/plugin.h>

#include "base/err.h"

#define RESOLVE_THREADS 32
#define RESOLVE_ADDRESSES 8

/* Writes numeric addresses, joined by commas; a numeric host is copied. deadline_us is of CLOCK_MONOTONIC. On
 * false, err is a sentence and *reason SKYMON_DNS or SKYMON_TIMEOUT. */
bool resolve_host(const char *host, int64_t deadline_us, char *addresses, size_t size,
		  enum skymon_reason *reason, struct err *err) MUST_CHECK;

/* The same for a thread that does not wait. wake is called on another thread whenever resolve_poll may have
 * news; it is one function for the whole process. */
struct resolve_query;
struct resolve_query *resolve_begin(const char *host, void (*wake)(void *), void *arg);
enum resolve_state { RESOLVE_WAITS, RESOLVE_FOUND, RESOLVE_FAILED };
/* As resolve_host does; while the query waits, *again_us is when to look again even without a wake. */
enum resolve_state resolve_poll(struct resolve_query *query, int64_t deadline_us, char *addresses,
				size_t size, int64_t *again_us, enum skymon_reason *reason,
				struct err *err) MUST_CHECK;
void resolve_end(struct resolve_query *query); /* at any time */

#endif
