/* SPDX-License-Identifier: Apache-2.0 */
/* admission: how many checks may be out at once, for each plugin and for each address; the others wait, first
 * come first served among those that a limit holds back. Knows no clock. Owns its keys; a permit belongs to
 * the component that it is embedded in. */
#ifndef ADMISSION_H
#define ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct admission;
struct admission_key;

struct permit { /* zeroed = has not entered */
	enum { PERMIT_NONE, PERMIT_WAITING, PERMIT_HELD } state;
	struct admission_key *plugin, *address; /* address: NULL when it has none */
	struct permit *previous, *next;         /* of those that wait */
};

struct admission *admission_new(void);
void admission_free(struct admission *admission); /* all permits have left */
void admission_configure(struct admission *admission, uint32_t per_plugin, uint32_t per_address);

/* address: NULL when it has none. Before any other call with this permit; admission_leave at its end. */
void admission_enter(struct admission *admission, struct permit *permit, const char *plugin,
		     const char *address);
void admission_leave(struct admission *admission, struct permit *permit);

/* Queues it, unless it waits or is held already. */
void admission_request(struct admission *admission, struct permit *permit);
/* The first in the queue that no limit holds back: held from now on. NULL when there is none. */
struct permit *admission_next(struct admission *admission);
/* Gives a held one back, or takes a waiting one out of the queue; else no-op. */
void admission_release(struct admission *admission, struct permit *permit);

/* `host:port` of a URL or of an address as an option gives it, in lower case, without user info; a text that
 * is neither as a whole. malloc'd. NULL for an empty one. */
char *admission_address(const char *target);

#endif
