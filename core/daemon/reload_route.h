/* SPDX-License-Identifier: Apache-2.0 */
/* reload_route: POST /-/reload: requests that wait for a reload, and the outcome of the newest one. */
#ifndef RELOAD_ROUTE_H
#define RELOAD_ROUTE_H

#include "reload.h"
#include "wire/http_message.h"

struct reload_outcome {
	struct reload_changes changes;
	struct err_list restart; /* keys that need a restart */
	struct err_list errors;  /* of a reload that was refused */
};
void reload_outcome_free(struct reload_outcome *outcome);

struct reload_waiter; /* a request */
struct reload_route { /* zeroed: nothing waits */
	struct reload_waiter *waiters;
	uint64_t last; /* number that a waiter was given */
};

/* Answers a request that may not reload, and returns 0. Otherwise returns its number: it waits for the reload of
 * that turn. has_token: `access` has one. */
uint64_t reload_route_add(struct reload_route *route, struct skymon_request *rq,
			  const struct http_message_request *asked, bool has_token, uint64_t turn);
bool reload_route_waits(const struct reload_route *route, uint64_t number);
/* The client has left. Returns false if no such request waits. */
bool reload_route_withdraw(struct reload_route *route, uint64_t number);
/* Answers the requests that have waited for this turn or an earlier one. */
void reload_route_answer(struct reload_route *route, uint64_t turn, const struct reload_outcome *outcome);
/* Answers all, because skymond stops. */
void reload_route_end(struct reload_route *route);

#endif
