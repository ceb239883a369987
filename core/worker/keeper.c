/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper of a worker that runs programs: the process that the daemon started stays as the parent of the
 * worker proper and the subreaper of its descendants, and runs no code of the plugin. When the
 * worker ends, or the daemon dies (by SIGKILL too), it ends all of them. Without it, a program that has
 * detached itself would go on after the daemon, which could have found it. One thread. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper.h"

static bool end_children(void)
{
	FILE *children = fopen("/proc/thread-self/children", "re");
	long pid;
	bool any = false;
	while (children != NULL && fscanf(children, "%ld", &pid) == 1)
		any = kill((pid_t)pid, SIGKILL) == 0 || any;
	if (children != NULL)
		fclose(children);
	return any;
}

/* Children of those that have ended become the keeper's in turn. All that have ended are reaped before the list
 * is read again: of processes that move on all the time it would otherwise grow faster than it is read. */
static void end_all(void)
{
	while (end_children()) {
		while (waitpid(-1, NULL, 0) < 0 && errno == EINTR)
			;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

static __attribute__((noreturn)) void keep(pid_t worker, const sigset_t *signals)
{
	int status = 0;
	for (int next = SIGCHLD; next == SIGCHLD; next = sigwaitinfo(signals, NULL)) {
		pid_t ended;
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0 && ended != worker)
			;
		if (ended == worker)
			break;
	}
	end_all();
	if (WIFSIGNALED(status)) { /* so that the daemon sees the same end */
		sigset_t none;
		sigemptyset(&none);
		signal(WTERMSIG(status), SIG_DFL);
		sigprocmask(SIG_SETMASK, &none, NULL);
		raise(WTERMSIG(status));
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

bool keeper_begin(void)
{
	sigset_t signals, before;
	pid_t daemon = getppid();
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid_t worker = fork();
	if (worker < 0)
		return false;
	if (worker == 0) {
		pid_t keeper = getppid();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != keeper)
			_exit(0);
		sigprocmask(SIG_SETMASK, &before, NULL);
		return true;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_NAME, "keeper");
	/* Processes that move on all the time are new to the scheduler each time, which lets the keeper wait on a busy
	 * machine. Without the right (root's) this has no effect, and the unit's TasksMax bounds them. */
	(void)setpriority(PRIO_PROCESS, 0, -20);
	close_range(0, ~0u, 0); /* the wire and the pipe are the worker's */
	if (getppid() != daemon)
		raise(SIGTERM);
	keep(worker, &signals);
}
