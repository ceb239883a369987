/* SPDX-License-Identifier: Apache-2.0 */
/* starttls: asks a server that speaks a protocol in clear to begin TLS. Pure: the caller sends and receives, blocking or on a loop,
 * and feeds what came. One struct is one dialog. */
#ifndef STARTTLS_H
#define STARTTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum skymon_starttls_protocol {
	SKYMON_STARTTLS_NONE, /* TLS from the first byte */
	SKYMON_STARTTLS_SMTP,
	SKYMON_STARTTLS_IMAP,
	SKYMON_STARTTLS_POP3,
	SKYMON_STARTTLS_LDAP,
	SKYMON_STARTTLS_POSTGRESQL,
	SKYMON_STARTTLS_PROTOCOLS
};
extern const char *const
	skymon_starttls_words[SKYMON_STARTTLS_PROTOCOLS + 1]; /* ends with NULL: for an option's .words */
uint16_t skymon_starttls_port(enum skymon_starttls_protocol protocol); /* its usual port; 443 for none */

enum skymon_starttls_state {
	SKYMON_STARTTLS_WAITS, /* for more bytes */
	SKYMON_STARTTLS_READY, /* TLS begins */
	SKYMON_STARTTLS_FAILED /* `why` says so, as in "host:25: %s" */
};

struct skymon_starttls {
	enum skymon_starttls_protocol protocol;
	int phase;
	bool offered;       /* SMTP: the server named STARTTLS */
	size_t size, total; /* of the line; of all that came */
	char line[600];     /* the line that is being received, cut to this */
	const char *send;   /* to be sent now, if send_size > 0 */
	size_t send_size;
	const char *why;
};

/* Both set send, send_size and why. After READY, bytes that came with the last reply are a fault: nothing may follow it in clear. */
enum skymon_starttls_state skymon_starttls_begin(struct skymon_starttls *dialog,
						 enum skymon_starttls_protocol protocol);
enum skymon_starttls_state skymon_starttls_feed(struct skymon_starttls *dialog, const char *bytes,
						size_t size);

#endif
