/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin on the worker's loop, for its tests: `does` selects how a run goes. */
#include <errno.h>
#include <fcntl.h>
#include <skymon/loop.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum does {
	NOW,       /* done in begin */
	LATER,     /* done by a timer */
	NEVER,     /* cancel reports */
	TWICE,     /* done again, in begin and by a timer */
	PIPE,      /* done by a watch, after a byte was written by a timer */
	HANG_UP,   /* done by a watch, whose other end was closed */
	REGULAR,   /* watches what cannot be watched */
	RESOLVE,   /* done with the addresses of `host` */
	IN_CANCEL, /* done in cancel */
	CRASH,     /* in ready */
	BLOCK,     /* in ready */
	BLOCK_BEGIN,
	SHARED, /* a callback of the load's handle */
	SHARED_CRASH
};

struct loop {
	struct skymon_choice does;
	const char *host, *file;
	struct skymon_secret password;
	struct skymon_duration after;
	int ends[2];
	int runs;
};

struct shared {
	struct skymon *sm; /* of the load's handle */
	struct skymon *component;
	bool crash;
};

static const char *const words[] = {"now",     "later",       "never",   "twice",        "pipe",
				    "hang_up", "regular",     "resolve", "in_cancel",    "crash",
				    "block",   "block_begin", "shared",  "shared_crash", NULL};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct loop, does, "now", "how a run goes", .words = words),
	SKYMON_OPT(struct loop, host, "localhost", "name to resolve"),
	SKYMON_OPT(struct loop, file, "", "when set, misbehaves only while that file exists"),
	SKYMON_OPT(struct loop, password, NULL, "shown in the message, if it is not masked"),
	SKYMON_OPT(struct loop, after, "50ms", "time until it is done"),
	{0}};

static const struct skymon_number numbers[] = {{"runs", "", "Runs so far"}, {0}};

static bool load(struct skymon *sm, void *memory)
{
	struct shared *shared = memory;
	shared->sm = sm;
	return true;
}

static bool start(struct skymon *sm, void *state)
{
	struct loop *loop = state;
	loop->ends[0] = loop->ends[1] = -1;
	(void)sm;
	return true;
}

static void close_ends(struct skymon *sm, struct loop *loop)
{
	if (loop->ends[0] >= 0)
		skymon_watch(sm, loop->ends[0], 0, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		if (loop->ends[i] >= 0)
			close(loop->ends[i]);
		loop->ends[i] = -1;
	}
}

static void stop(struct skymon *sm, void *state)
{
	close_ends(sm, state);
	skymon_info(sm, "stopped %s", skymon_name(sm));
}

static void finish(struct skymon *sm, struct loop *loop, const char *text)
{
	skymon_number(sm, "runs", ++loop->runs);
	skymon_done(sm, skymon_healthy(sm, "%s%s%s", text, loop->password.size > 0 ? " with " : "",
				       loop->password.size > 0 ? loop->password.bytes : ""));
}

static void due(struct skymon *sm, void *argument)
{
	struct loop *loop = argument;
	if (loop->does.index == TWICE) {
		skymon_done(sm, skymon_unhealthy(sm, "the second one"));
		return;
	}
	finish(sm, loop, "done later");
}

static void write_byte(struct skymon *sm, void *argument)
{
	struct loop *loop = argument;
	skymon_step(sm, "writing");
	if (loop->does.index == HANG_UP) {
		close(loop->ends[1]);
		loop->ends[1] = -1;
	} else if (write(loop->ends[1], "x", 1) != 1) {
		abort();
	}
}

static bool misbehaves(const struct loop *loop)
{
	return loop->file[0] == '\0' || access(loop->file, F_OK) == 0;
}

static void block(struct skymon *sm)
{
	skymon_step(sm, "waiting for nothing");
	for (;;)
		pause();
}

static void ready(struct skymon *sm, void *argument, int fd, unsigned events)
{
	struct loop *loop = argument;
	char byte;
	if (fd != loop->ends[0] || (events & SKYMON_READ) == 0)
		abort();
	if (loop->does.index == CRASH && misbehaves(loop)) {
		skymon_step(sm, "crashing");
		abort();
	}
	if (loop->does.index == BLOCK && misbehaves(loop))
		block(sm);
	ssize_t got = read(fd, &byte, 1);
	close_ends(sm, loop);
	finish(sm, loop, got == 1 ? "read a byte" : got == 0 ? "hung up" : strerror(errno));
}

static void resolved(struct skymon *sm, void *argument, const char *addresses)
{
	if (addresses == NULL)
		skymon_done(sm, SKYMON_UNHEALTHY);
	else
		finish(sm, argument, addresses);
}

static void shared_due(struct skymon *sm, void *argument)
{
	struct shared *shared = argument;
	if (sm != shared->sm)
		abort();
	skymon_step(shared->component, "in the shared callback");
	if (shared->crash)
		abort();
	skymon_done(shared->component, skymon_healthy(shared->component, "done by the load's handle"));
}

static void watch_regular(struct skymon *sm, struct loop *loop)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	bool file = fd >= 0 && skymon_watch(sm, fd, SKYMON_READ, ready, loop);
	bool closed = skymon_watch(sm, 300, SKYMON_READ, ready, loop) ||
		      skymon_watch(sm, -1, SKYMON_READ, ready, loop);
	if (fd >= 0)
		close(fd);
	finish(sm, loop, file || closed ? "watches anything" : "refused both");
}

static void begin(struct skymon *sm, void *state)
{
	struct loop *loop = state;
	struct shared *shared = skymon_shared(sm);
	switch ((enum does)loop->does.index) {
	case NOW:
		finish(sm, loop, "done at once");
		break;
	case TWICE:
		finish(sm, loop, "done at once");
		skymon_done(sm, skymon_unhealthy(sm, "twice"));
		skymon_timer(sm, 1, due, loop);
		break;
	case LATER:
		skymon_step(sm, "waiting");
		skymon_timer(sm, loop->after.ms, due, loop);
		break;
	case NEVER:
	case IN_CANCEL:
		skymon_step(sm, "doing nothing");
		skymon_info(sm, "begun %s", skymon_name(sm));
		skymon_number(sm, "runs", ++loop->runs);
		break;
	case PIPE:
	case HANG_UP:
	case CRASH:
	case BLOCK:
		if (pipe2(loop->ends, O_CLOEXEC | O_NONBLOCK) != 0 ||
		    !skymon_watch(sm, loop->ends[0], SKYMON_READ, ready, loop))
			abort();
		skymon_timer(sm, loop->after.ms, write_byte, loop);
		break;
	case REGULAR:
		watch_regular(sm, loop);
		break;
	case RESOLVE:
		skymon_resolve_later(sm, loop->host, resolved, loop);
		break;
	case BLOCK_BEGIN:
		if (misbehaves(loop))
			block(sm);
		finish(sm, loop, "did not block");
		break;
	case SHARED:
	case SHARED_CRASH:
		shared->component = sm;
		shared->crash = loop->does.index == SHARED_CRASH && misbehaves(loop);
		skymon_timer(shared->sm, loop->after.ms, shared_due, shared);
		break;
	}
}

static enum skymon_status cancel(struct skymon *sm, void *state)
{
	struct loop *loop = state;
	close_ends(sm, loop);
	skymon_timer(sm, -1, NULL, NULL);
	skymon_info(sm, "cancelled %s with %lld ms left", skymon_name(sm), (long long)skymon_ms_left(sm));
	if (loop->does.index == IN_CANCEL)
		skymon_done(sm, skymon_healthy(sm, "done in cancel"));
	skymon_reason(sm, SKYMON_TIMEOUT);
	return skymon_unhealthy(sm, "not done in time");
}

SKYMON_PLUGIN(t_loop, "1.0", "Runs on the worker's loop", .state_size = sizeof(struct loop),
	      .shared_size = sizeof(struct shared), .options = options, .numbers = numbers, .load = load,
	      .start = start, .stop = stop, .begin = begin, .cancel = cancel);
