/* SPDX-License-Identifier: Apache-2.0 */
/* fault: why something that a check tried did not work, as fetch and dial return it and as a check reports
 * it. */
#ifndef FAULT_H
#define FAULT_H

#include <skymon/plugin.h>

struct skymon_fault {
	enum skymon_status
		status; /* unhealthy; unknown if the fault is on this side and the server was not tried */
	enum skymon_reason reason;
	bool reported;  /* the host has set the check's message and reason already (a name that does not
			   resolve) */
	bool sent;      /* fetch: the request, or a part of it, may have reached the server */
	bool lost;      /* the peer ended a connection that had been established: a new one may work */
	char text[320]; /* "host:port: connection refused": no user info, path, header or body */
};

/* Sets *fault to this and nothing else. */
void skymon_fault_set(struct skymon_fault *fault, enum skymon_status status, enum skymon_reason reason,
		      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Sets the check's reason, and its message to "WHAT: TEXT" (what may be NULL), and returns the status. */
enum skymon_status skymon_report(struct skymon *sm, const char *what, const struct skymon_fault *fault);

#endif
