/* SPDX-License-Identifier: Apache-2.0 */
/* helper: see helper.h. Called by http_gzip.c and http_users.c on the loop's thread; state_file.c starts a thread of
 * its own by thread_start(). Owns the thread, the queue and the list of finished jobs, which come back through an
 * eventfd. */
#include "helper.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct helper {
	struct loop *loop;
	struct watch watch;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* guards the members below */
	pthread_cond_t wake;
	struct helper_job *queue, **queue_end, *done, **done_end;
	bool stop;
};

int thread_start(pthread_t *thread, size_t stack_size, void *(*run)(void *arg), void *arg)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	if (stack_size > 0)
		pthread_attr_setstacksize(&attributes, stack_size);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(thread, &attributes, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return error;
}

static void *run_thread(void *arg)
{
	struct helper *helper = arg;
	pthread_mutex_lock(&helper->lock);
	while (!helper->stop) {
		struct helper_job *job = helper->queue;
		if (job == NULL) {
			pthread_cond_wait(&helper->wake, &helper->lock);
			continue;
		}
		helper->queue = job->next;
		if (helper->queue == NULL)
			helper->queue_end = &helper->queue;
		pthread_mutex_unlock(&helper->lock);
		job->run(job);
		pthread_mutex_lock(&helper->lock);
		job->next = NULL;
		*helper->done_end = job;
		helper->done_end = &job->next;
		if (eventfd_write(helper->watch.fd, 1) < 0)
			break; /* impossible: the counter cannot overflow */
	}
	pthread_mutex_unlock(&helper->lock);
	return NULL;
}

static void finish_done(struct helper *helper)
{
	pthread_mutex_lock(&helper->lock);
	struct helper_job *job = helper->done;
	helper->done = NULL;
	helper->done_end = &helper->done;
	pthread_mutex_unlock(&helper->lock);
	while (job != NULL) {
		struct helper_job *next = job->next;
		job->finished(job);
		job = next;
	}
}

static void take_done(struct watch *watch, uint32_t events)
{
	(void)events;
	eventfd_t value;
	if (eventfd_read(watch->fd, &value) == 0)
		finish_done(container_of(watch, struct helper, watch));
}

struct helper *helper_new(struct loop *loop)
{
	struct helper *helper = x_alloc(sizeof(*helper));
	helper->loop = loop;
	helper->watch.ready = take_done;
	helper->watch.fd = -1;
	helper->queue_end = &helper->queue;
	helper->done_end = &helper->done;
	pthread_mutex_init(&helper->lock, NULL);
	pthread_cond_init(&helper->wake, NULL);
	return helper;
}

bool helper_start(struct helper *helper, struct helper_job *job)
{
	job->next = NULL;
	if (helper->watch.fd < 0) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0)
			return false;
		loop_add(helper->loop, &helper->watch, fd, EPOLLIN);
	}
	if (!helper->has_thread)
		helper->has_thread = thread_start(&helper->thread, 0, run_thread, helper) == 0;
	if (!helper->has_thread)
		return false;
	pthread_mutex_lock(&helper->lock);
	*helper->queue_end = job;
	helper->queue_end = &job->next;
	pthread_cond_signal(&helper->wake);
	pthread_mutex_unlock(&helper->lock);
	return true;
}

void helper_free(struct helper *helper)
{
	if (helper == NULL)
		return;
	if (helper->has_thread) {
		pthread_mutex_lock(&helper->lock);
		helper->stop = true;
		pthread_cond_signal(&helper->wake);
		pthread_mutex_unlock(&helper->lock);
		pthread_join(helper->thread, NULL);
	}
	*helper->done_end = helper->queue; /* jobs that had not begun */
	finish_done(helper);
	int fd = helper->watch.fd;
	loop_remove(helper->loop, &helper->watch);
	if (fd >= 0)
		close(fd);
	pthread_cond_destroy(&helper->wake);
	pthread_mutex_destroy(&helper->lock);
	free(helper);
}
