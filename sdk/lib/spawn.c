/* SPDX-License-Identifier: Apache-2.0 */
/* spawn: see skymon/spawn.h. Called by checks on the threads of their components. Owns the list of runs that are out, under a lock.
 *
 * The program is started by clone() as vfork does it: the parent's memory is borrowed until execve, so that the cost does not grow
 * with the worker. posix_spawn would do the same, but sets no limits and no folder on all systems.
 *
 * A process that has left its group (setsid) and whose parent has ended becomes a child of the worker's keeper, which is the
 * subreaper. It can only belong to a run that was out when it was started; so once all of those have ended it is ended too. */
#include <skymon/spawn.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PIDFD_OPEN 434 /* the same number on all architectures */
#define PIDFD_SEND_SIGNAL 424
#define CLOSE_RANGE 436
#define CHILD_STACK (16 * 1024)
#define LOOK_MS                                                                                              \
	100 /* how often the deadline is asked for again: a stop of the component takes the time away */
#define TERM_PATIENCE_MS                                                                                     \
	50 /* between SIGTERM and SIGKILL at the deadline; less than the margin that the host keeps */
#define SWEEP_MS                                                                                             \
	500 /* for the end of processes that were left over; they die at once, but on a busy machine */

extern char **environ;

/* ---- Starting ---- */

struct start {
	const struct skymon_program *program;
	int in, out, err; /* of the child */
	volatile int error;
};

static void set_limit(int what, int64_t value)
{
	struct rlimit limit;
	if (value <= 0 || getrlimit(what, &limit) != 0)
		return;
	if (limit.rlim_max == RLIM_INFINITY || (rlim_t)value < limit.rlim_max)
		limit.rlim_max = (rlim_t)value;
	limit.rlim_cur = limit.rlim_max;
	if (what == RLIMIT_CPU && limit.rlim_max == (rlim_t)value)
		limit.rlim_max++; /* so that SIGXCPU comes first, which names the cause */
	(void)setrlimit(what, &limit);
}

/* Between clone and execve, in the parent's memory: async-signal-safe calls only, nothing of the parent is changed. */
__attribute__((no_sanitize("address", "thread"))) static int run_child(void *arg)
{
	struct start *start = arg;
	const struct skymon_program *program = start->program;
	const struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t none;
	setpgid(0, 0);
	for (int number = 1; number < NSIG; number++)
		(void)sigaction(number, &by_default,
				NULL); /* the worker ignores SIGPIPE, which programs would inherit */
	if ((start->in >= 0 && dup2(start->in, 0) < 0) || dup2(start->out, 1) < 0 || dup2(start->err, 2) < 0)
		goto failed;
	(void)syscall(CLOSE_RANGE, 3u, ~0u, 0u);
	set_limit(RLIMIT_DATA, program->memory);
	set_limit(RLIMIT_CPU, program->cpu_seconds);
	set_limit(RLIMIT_NOFILE, program->files);
	if (program->folder != NULL && chdir(program->folder) != 0)
		goto failed;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* execve takes pointers to non-const for historical reasons */
	execve(program->argv[0], (char *const *)(uintptr_t)program->argv,
	       program->env != NULL ? (char *const *)(uintptr_t)program->env : environ);
failed:
	start->error = errno;
	_exit(127);
}

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Reports why a program could not be started. */
static bool report_start(const struct skymon_program *program, int error, struct skymon_fault *fault)
{
	bool folder = program->folder != NULL && access(program->folder, X_OK) != 0;
	bool scarce = error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN;
	enum skymon_reason reason = scarce                              ? SKYMON_RESOURCE
				    : error == ENOENT                   ? SKYMON_MISSING
				    : error == EACCES || error == EPERM ? SKYMON_DENIED
									: SKYMON_OTHER;
	if (folder)
		skymon_fault_set(fault, SKYMON_UNKNOWN, reason, "cannot enter the folder %.200s: %s",
				 program->folder, strerror(errno));
	else
		skymon_fault_set(fault, SKYMON_UNKNOWN, reason, "cannot start %.200s: %s%s", program->argv[0],
				 strerror(error),
				 error == ENOENT && access(program->argv[0], F_OK) == 0
					 ? " (the interpreter that it names)"
					 : "");
	return false;
}

/* The ends of the three pipes: 0, 2, 4 are to be read from. */
static bool open_pipes(int pipes[6], bool with_in)
{
	for (int i = with_in ? 0 : 2; i < 6; i += 2) {
		int mine = i == 0 ? 1 : i;
		if (pipe2(pipes + i, O_CLOEXEC) != 0 || fcntl(pipes[mine], F_SETFL, O_NONBLOCK) != 0)
			return false;
	}
	return true;
}

static bool start_child(const struct skymon_program *program, bool with_in, struct skymon_child *child,
			struct skymon_fault *fault)
{
	_Alignas(16) char stack[CHILD_STACK];
	int pipes[6] = {-1, -1, -1, -1, -1, -1};
	sigset_t all, before;
	*child = (struct skymon_child){.ended = -1, .in = -1, .out = -1, .err = -1};
	if (!open_pipes(pipes, with_in)) {
		int error = errno;
		close_all(pipes, 6);
		return report_start(program, error, fault);
	}
	struct start start = {.program = program, .in = pipes[0], .out = pipes[3], .err = pipes[5]};
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* a handler must not run in the child, on this memory */
	pid_t pid = clone(run_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
	int error = pid < 0 ? errno : start.error;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	int ended = error == 0 ? (int)syscall(PIDFD_OPEN, pid, 0u) : -1;
	if (ended < 0) {
		error = error != 0 ? error : errno;
		if (pid > 0) {
			kill(-pid, SIGKILL);
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
		}
		close_all(pipes, 6);
		return report_start(program, error, fault);
	}
	*child = (struct skymon_child){pid, ended, pipes[1], pipes[2], pipes[4]};
	close_all((int[]){pipes[0], pipes[3], pipes[5]}, 3);
	return true;
}

/* ---- Processes that have detached themselves ---- */

struct out {
	struct out *next;
	uint64_t begun_ticks;
};

static struct {
	pthread_mutex_t lock;
	struct out *first;
} runs = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void begin_run(struct out *run)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
	run->begun_ticks = (uint64_t)now.tv_sec * hertz + (uint64_t)now.tv_nsec * hertz / 1000000000u;
	pthread_mutex_lock(&runs.lock);
	run->next = runs.first;
	runs.first = run;
	pthread_mutex_unlock(&runs.lock);
}

/* Returns when the oldest of the other runs was begun. */
static uint64_t end_run(struct out *run)
{
	uint64_t oldest = UINT64_MAX;
	pthread_mutex_lock(&runs.lock);
	for (struct out **at = &runs.first; *at != NULL;) {
		if (*at == run) {
			*at = run->next;
			continue;
		}
		oldest = (*at)->begun_ticks < oldest ? (*at)->begun_ticks : oldest;
		at = &(*at)->next;
	}
	pthread_mutex_unlock(&runs.lock);
	return oldest;
}

/* Reads a small file of /proc. */
static bool read_proc(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (got < 0)
		return false;
	text[got] = '\0';
	return true;
}

/* Returns whether the process lives, is the keeper's child and was started before `oldest`. */
static bool is_left_over(pid_t pid, pid_t keeper, uint64_t oldest)
{
	char path[64], text[1024], state;
	unsigned long long started;
	int parent;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_proc(path, text, sizeof(text)))
		return false;
	const char *fields = strrchr(text, ')'); /* the name may contain blanks */
	return fields != NULL &&
	       sscanf(fields,
		      ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		      &state, &parent, &started) == 3 &&
	       state != 'Z' && parent == keeper && started < oldest;
}

static int64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ends one process, and waits for that: until then its children are not the keeper's. Its number cannot become
 * another's between the look and the signal. */
static bool end_left_over(pid_t pid, pid_t keeper, uint64_t oldest, int64_t until_ms)
{
	struct pollfd dead = {.fd = (int)syscall(PIDFD_OPEN, pid, 0u), .events = POLLIN};
	int fd = dead.fd;
	bool ended = fd >= 0 && is_left_over(pid, keeper, oldest) &&
		     syscall(PIDFD_SEND_SIGNAL, fd, SIGKILL, NULL, 0u) == 0;
	int64_t left_ms = until_ms - clock_ms();
	if (ended && left_ms > 0)
		(void)poll(&dead, 1, (int)left_ms);
	if (fd >= 0)
		close(fd);
	return ended;
}

/* The children of one that was ended become the keeper's in turn, so the list is read until it has nothing more. The keeper reaps. */
static void sweep(uint64_t oldest)
{
	char path[64], text[4096];
	pid_t keeper = getppid();
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)keeper);
	if (!read_proc(path, text, sizeof(text)) || strcmp(text, "keeper\n") != 0)
		return; /* not a worker */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)keeper, (int)keeper);
	int64_t until_ms = clock_ms() + SWEEP_MS;
	for (bool any = true; any && clock_ms() < until_ms && read_proc(path, text, sizeof(text));) {
		any = false;
		char *end;
		for (char *at = text; (at[0] != '\0'); at = end) {
			pid_t pid = (pid_t)strtol(at, &end, 10);
			if (end == at)
				break;
			any = (pid != getpid() && end_left_over(pid, keeper, oldest, until_ms)) || any;
		}
	}
}

/* ---- One run ---- */

/* Reads what is there; what does not fit is counted in *total only. Returns false at the end. */
static bool read_some(int fd, char *bytes, size_t room, size_t *size, size_t *total)
{
	char rest[16 * 1024];
	for (;;) {
		bool fits = *size < room - 1;
		ssize_t got = fits ? read(fd, bytes + *size, room - 1 - *size) : read(fd, rest, sizeof(rest));
		if (got < 0)
			return errno == EAGAIN || errno == EINTR;
		if (got == 0)
			return false;
		*size += fits ? (size_t)got : 0;
		*total += (size_t)got;
		if (*total > SKYMON_SPAWN_FLOOD && *total >= room)
			return true;
	}
}

static void feed(struct skymon_child *child, const struct skymon_spawn_run *run, size_t *fed)
{
	const char *bytes = run->in;
	ssize_t put = write(child->in, bytes + *fed, run->in_size - *fed);
	*fed += put > 0 ? (size_t)put : 0;
	if (*fed < run->in_size && (put >= 0 || errno == EAGAIN || errno == EINTR))
		return;
	close(child->in); /* all is written, or the program does not read */
	child->in = -1;
}

static void read_both(struct skymon_child *child, struct skymon_spawn_run *run, size_t *out_total,
		      size_t *err_total)
{
	if (child->out >= 0 && !read_some(child->out, run->out, run->out_room, &run->out_size, out_total))
		close_all(&child->out, 1);
	if (child->err >= 0 && !read_some(child->err, run->err, run->err_room, &run->err_size, err_total))
		close_all(&child->err, 1);
	run->flooded = *out_total >= run->out_room || *err_total > SKYMON_SPAWN_FLOOD;
}

/* Exchanges bytes until the program has ended, wrote too much, or the time is over. */
static void converse(struct skymon *sm, struct skymon_child *child, struct skymon_spawn_run *run)
{
	size_t fed = 0, out_total = 0, err_total = 0;
	for (;;) {
		int64_t left = skymon_ms_left(sm);
		run->late = left <= 0;
		if (run->late || run->flooded)
			return;
		struct pollfd ready[4] = {{.fd = child->ended, .events = POLLIN},
					  {.fd = child->out, .events = POLLIN},
					  {.fd = child->err, .events = POLLIN},
					  {.fd = child->in, .events = POLLOUT}};
		if (poll(ready, 4, (int)(left < LOOK_MS ? left : LOOK_MS)) < 0)
			continue;
		bool ended = ready[0].revents != 0;
		if (ended)
			kill(-child->pid,
			     SIGKILL); /* what it has left behind in its group must not go on writing */
		if (ready[3].revents != 0)
			feed(child, run, &fed);
		read_both(child, run, &out_total, &err_total);
		if (ended)
			return;
	}
}

bool skymon_spawn(struct skymon *sm, const struct skymon_program *program, struct skymon_spawn_run *run,
		  struct skymon_fault *fault)
{
	struct skymon_child child;
	struct out out;
	run->out_size = run->err_size = 0;
	run->late = run->flooded = false;
	run->out[0] = run->err[0] = '\0';
	begin_run(&out);
	if (!start_child(program, run->in_size > 0, &child, fault)) {
		(void)end_run(&out);
		return false;
	}
	converse(sm, &child, run);
	int status = skymon_spawn_end(&child, run->late ? TERM_PATIENCE_MS : 0);
	run->out[run->out_size] = run->err[run->err_size] = '\0';
	run->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	run->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	sweep(end_run(&out));
	return true;
}

/* ---- Programs that go on ---- */

bool skymon_spawn_start(const struct skymon_program *program, struct skymon_child *child,
			struct skymon_fault *fault)
{
	return start_child(program, true, child, fault);
}

/* The program is reaped last: until then its number is its group's, and no other process can get it. */
int skymon_spawn_end(struct skymon_child *child, int64_t patience_ms)
{
	int status = 0;
	if (child->pid <= 0)
		return 0;
	close_all(&child->in, 1);
	if (patience_ms > 0) {
		struct pollfd ended = {.fd = child->ended, .events = POLLIN};
		kill(-child->pid, SIGTERM);
		while (poll(&ended, 1, (int)patience_ms) < 0 && errno == EINTR)
			;
	}
	kill(-child->pid, SIGKILL);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	close_all((int[]){child->out, child->err, child->ended}, 3);
	*child = (struct skymon_child){.ended = -1, .in = -1, .out = -1, .err = -1};
	return status;
}
