/* SPDX-License-Identifier: Apache-2.0 */
/* skymon/fault.h - why a step of a check failed, as http.h and net.h return it and as a check reports it.
 *
 * Of the helper library (`pkg-config skymon-lib`), which a plugin links statically. It is outside of the ABI's promise: a
 * plugin keeps the library that it was built with, and a newer skymon may change it. */
#ifndef SKYMON_FAULT_H
#define SKYMON_FAULT_H

#include <skymon/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct skymon_fault {
	enum skymon_status status;  /* unhealthy; unknown if the fault is on this side and the server was not tried */
	enum skymon_reason reason;
	bool reported;              /* the host has set the check's message and reason already (a name that does not resolve) */
	bool sent;                  /* http.h: the request, or a part of it, may have reached the server */
	bool lost;                  /* the peer ended a connection that had been established: a new one may work */
	char text[320];             /* "host:port: connection refused": no user info, path, header or body */
};

/* Sets *fault to this and nothing else. Any thread. */
void skymon_fault_set(struct skymon_fault *fault, enum skymon_status status, enum skymon_reason reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Sets the check's reason, and its message to "WHAT: TEXT" (what may be NULL), and returns the status: `return skymon_report(…)`. */
enum skymon_status skymon_report(struct skymon *sm, const char *what, const struct skymon_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
