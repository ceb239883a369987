/* SPDX-License-Identifier: Apache-2.0 */
/* A thread beside the loop, for work of milliseconds: its jobs run one after the other, and finish on the loop's
 * thread. It starts with the first job. */
#ifndef HELPER_H
#define HELPER_H

#include <pthread.h>
#include <stddef.h>

#include "err.h"
#include "loop.h"

struct helper;

struct helper_job {
	struct helper_job *next;             /* in the queue, or in the list of finished jobs */
	void (*run)(struct helper_job *job); /* on the helper's thread: touches the job and nothing else */
	void (*finished)(struct helper_job *job); /* on the loop's thread */
};

struct helper *helper_new(struct loop *loop);
/* Waits for the running job. Every job has finished when this returns; those that had not begun without run.
 * NULL is allowed. */
void helper_free(struct helper *helper);
/* Returns false when the thread cannot be started; neither function is called then. */
bool helper_start(struct helper *helper, struct helper_job *job) MUST_CHECK;

/* Starts a thread that blocks all signals, which are the main thread's. stack_size: 0 for the system's. Returns 0, or
 * an errno. */
int thread_start(pthread_t *thread, size_t stack_size, void *(*run)(void *arg), void *arg) MUST_CHECK;

#endif
