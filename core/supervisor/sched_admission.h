/* SPDX-License-Identifier: Apache-2.0 */
/* sched_admission: limits how many checks run at once, for each plugin and for each address. Checks that a
 * limit holds back wait in a queue. Knows no clock; permits are the caller's. */
#ifndef SCHED_ADMISSION_H
#define SCHED_ADMISSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct admission;
struct admission_key;

struct permit { /* zeroed until admission_enter */
	enum { PERMIT_NONE, PERMIT_WAITING, PERMIT_HELD } state;
	struct admission_key *plugin, *address; /* NULL: not limited by it */
	struct permit *previous, *next;         /* in the queue */
};

struct admission *admission_new(void);
void admission_free(struct admission *admission); /* after admission_leave of all permits */
void admission_configure(struct admission *admission, uint32_t per_plugin, uint32_t per_address);

/* The first call for a permit; admission_leave is the last. plugin: NULL if any number of its checks may run
 * at once; address: NULL for a component without one. */
void admission_enter(struct admission *admission, struct permit *permit, const char *plugin,
		     const char *address);
void admission_leave(struct admission *admission, struct permit *permit);

/* Queues a permit, unless it waits or is held already. */
void admission_request(struct admission *admission, struct permit *permit);
/* Takes from the queue the first permit that no limit holds back, and returns it as held; else NULL. */
struct permit *admission_next(struct admission *admission);
/* Gives a held permit back, or takes a waiting one out of the queue. */
void admission_release(struct admission *admission, struct permit *permit);

/* Returns the `host:port` of a URL, in lower case and without user info; the whole text in lower case if it
 * is not a URL; NULL for an empty one. malloc'd. */
char *admission_address(const char *target);

#endif
