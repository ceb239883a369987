/* SPDX-License-Identifier: Apache-2.0 */
/* timeouts: how long the supervisor waits, how soon it tries again and how much it takes from a worker. Each
 * constant limits one thing. */
#ifndef TIMEOUTS_H
#define TIMEOUTS_H

#include "wire/wire.h"

/* Workers */
#define HELLO_TIMEOUT_MS 5000 /* from spawning a worker to its hello */
#define EXIT_TIMEOUT_MS 10000 /* of a worker that was asked to exit; at shutdown the config's instead */
#define BROKEN_EXIT_MS 2000   /* of a worker whose wire is closed or broken */
#define KILLED_TIMEOUT_MS                                                                                    \
	1000                 /* of one that was killed at shutdown, which a debugger or the kernel may hold */
#define BACK_OFF_MIN_MS 1000 /* before the first retry of a worker's or a component's start, … */
#define BACK_OFF_MAX_MS 30000    /* … doubling up to this */
#define STABLE_MS 30000          /* a worker that was up for longer starts its back-off from zero */
#define STALE_MIN_MS 500         /* from its hello, before which a worker may not ask to be restarted */
#define VALIDATE_TIMEOUT_MS 5000 /* for all options of a plan */

/* Components */
#define START_TIMEOUT_MS 10000 /* a start opens no network */
#define STOP_TIMEOUT_MS 10000  /* the same for a stop, once its runs and requests have returned */

/* Secrets */
#define SECRET_TIMEOUT_MS 10000 /* for the reply of a store; sent with the question */
#define SECRET_WIRE_MS 1000     /* on top of that, for the way there and back */
#define LEASE_MIN_MS 500        /* a shorter lease is renewed only then */
#define LEASE_MAX_MS 2592000000 /* 30 days: a longer lease is renewed then all the same */
#define LEASE_RETRY_MS 30000    /* after a renewal that failed */
#define STORE_LOOK_MS 200       /* between two looks whether a store that is starting is up, … */
#define STORE_LOOKS_MAX 15      /* … after which the start of its consumer fails */
#define REFUSED_MIN_MS 5000     /* between two reads of a secret that a server refuses */

/* Runs */
#define FIRST_CHECKS_MS                                                                                      \
	600 /* within which the first checks of new components are due: all within 1 s of the start */
#define GRACE_MIN_MS 30000 /* after which a run that has not returned costs its worker, or after … */
#define GRACE_TIMEOUTS 3   /* … so many timeouts if that is longer */

/* Messages of one worker */
#define PACKETS_PER_TURN 64               /* before the others and HTTP have their turn */
#define LAST_PACKETS 4096                 /* once it is dead: more than the kernel keeps of one wire */
#define BACKLOG_MAX (WIRE_OUTBOX_MAX / 2) /* of requests to it; the rest is for what must go through */
#define OUTPUT_WINDOW_MS 10000            /* in which it may log or print so much: */
#define LOG_LINES_MAX 200
#define PRINT_LINES_MAX 20
#define PRINT_LINE_MAX 1000 /* a longer line is cut there */

#endif
