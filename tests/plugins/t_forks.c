/* SPDX-License-Identifier: Apache-2.0 */
/* Starts a program that detaches itself as a daemon does (two forks, a session of its own), once, and reports
 * its process id; `end` ends the worker by itself afterwards; with `hang` it does so in its start, which does
 * not return. `movers` starts processes that are hard to end by number, and that all hold one connection to
 * `port`. */
#include <arpa/inet.h>
#include <skymon/plugin.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct forks {
	const char *program;
	bool end, hang;
	int64_t movers, port;
	pid_t detached;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct forks, program, "/bin/sleep", "what to run, with the argument 1000"),
	SKYMON_OPT(struct forks, end, "false", "the worker ends in the second check"),
	SKYMON_OPT(struct forks, movers, "0", "processes that go on in a child of their own all the time"),
	SKYMON_OPT(struct forks, port, "0", "what they hold a connection to"),
	SKYMON_OPT(struct forks, hang, "false", "hangs in its start"),
	{0},
};

static pid_t detach(const char *program)
{
	int tell[2];
	pid_t found = -1;
	if (pipe(tell) != 0)
		return -1;
	pid_t first = fork();
	if (first == 0) {
		setsid();
		pid_t second = fork();
		if (second == 0) {
			close(tell[0]);
			close(tell[1]);
			execl(program, program, "1000", (char *)NULL);
			_exit(127);
		}
		(void)!write(tell[1], &second, sizeof(second));
		_exit(0);
	}
	if (first > 0)
		waitpid(first, NULL, 0);
	close(tell[1]);
	if (first < 0 || read(tell[0], &found, sizeof(found)) != (ssize_t)sizeof(found))
		found = -1;
	close(tell[0]);
	return found;
}

static bool start(struct skymon *sm, void *state)
{
	struct forks *forks = state;
	(void)sm;
	if (forks->hang)
		(void)detach(forks->program);
	while (forks->hang)
		pause();
	return true;
}

static void start_movers(const struct forks *forks)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)forks->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	time_t end = time(NULL) + 30; /* in case that nothing else ends them */
	int held = socket(AF_INET, SOCK_STREAM, 0);
	(void)!connect(held, (struct sockaddr *)&to, sizeof(to));
	for (int64_t i = 0; i < forks->movers; i++)
		if (fork() == 0) {
			while (time(NULL) < end) {
				if (fork() > 0)
					_exit(0);
				setsid();
				usleep(100); /* without it they may take all process numbers of a busy machine */
			}
			_exit(0);
		}
	close(held);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct forks *forks = state;
	if (forks->detached > 0 && forks->end)
		abort();
	if (forks->detached == 0) {
		forks->detached = detach(forks->program);
		start_movers(forks);
	}
	skymon_detail_number(sm, "detached", (double)forks->detached);
	return skymon_verdict(sm, forks->detached > 0, "detached a program");
}

SKYMON_PLUGIN(t_forks, "1.0", "Leaves a program behind", .state_size = sizeof(struct forks),
	      .options = options, .start = start, .check = check, .flags = SKYMON_NEEDS_EXEC);
