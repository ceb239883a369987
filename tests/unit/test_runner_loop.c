/* SPDX-License-Identifier: Apache-2.0 */
/* runner_loop: runs that end later, their deadlines, watches and timers, with a plugin in this program. */
#include <pthread.h>
#include <skymon/loop.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/runner_private.h"
#include "unit.h"

/* ---- A plugin in this program: `at` the component, what it does next is set by the test ---- */

struct state {
	struct skymon *sm;
	unsigned begun, cancelled, stopped, due, ready;
	int ends[2];
};

static struct state *states[4]; /* by id, of the current runner */
static struct skymon *loaded;
static void (*on_begin)(struct skymon *, struct state *);

static bool load(struct skymon *sm, void *shared)
{
	(void)shared;
	loaded = sm;
	return true;
}

static bool start(struct skymon *sm, void *memory)
{
	struct state *state = memory;
	state->sm = sm;
	states[atoi(skymon_name(sm))] = state;
	CU_ASSERT_FATAL(pipe(state->ends) == 0);
	return true;
}

static void stop(struct skymon *sm, void *memory)
{
	struct state *state = memory;
	(void)sm;
	close(state->ends[0]);
	close(state->ends[1]);
	states[atoi(skymon_name(sm))] = NULL;
}

static void begin(struct skymon *sm, void *memory)
{
	struct state *state = memory;
	state->begun++;
	if (on_begin != NULL)
		on_begin(sm, state);
}

static enum skymon_status cancel(struct skymon *sm, void *memory)
{
	struct state *state = memory;
	state->cancelled++;
	CU_ASSERT_EQUAL(skymon_ms_left(sm), 0);
	return skymon_degraded(sm, "cancelled");
}

static const struct skymon_option options[] = {{0}};
static const struct skymon_number numbers[] = {{"used", "ratio", "A share"}, {0}};
static const struct skymon_route *const no_routes[] = {NULL};
static const struct skymon_plugin plugin = {.size = sizeof(plugin),
					    .name = "unit",
					    .version = "1",
					    .summary = "",
					    .option_size = sizeof(struct skymon_option),
					    .number_size = sizeof(struct skymon_number),
					    .state_size = sizeof(struct state),
					    .options = options,
					    .numbers = numbers,
					    .load = load,
					    .start = start,
					    .stop = stop,
					    .begin = begin,
					    .cancel = cancel,
					    .routes = no_routes};

/* ---- The runner and its loop ---- */

static struct {
	struct loop *loop;
	struct runner *runner;
	struct result *last[4]; /* by id */
	uint64_t runs[4];
	unsigned ended, stopped, until_ended;
	struct buf log;
	struct timer end;
	pthread_mutex_t lock; /* of blocked */
	unsigned blocked;
	char step[80];
	int wakes[2];
	struct watch wake;
} unit;

static void ended(void *arg, uint32_t id, const struct buf *body)
{
	struct wire_reader in = wire_reader(body->data, body->size);
	struct err err = {""};
	(void)arg;
	message_get_result(&in, &unit.runs[id]);
	size_t size = (size_t)(in.end - in.at);
	char *copy = malloc(size + 1);
	memcpy(copy, in.at, size);
	if (unit.last[id] != NULL)
		result_unref(unit.last[id]);
	unit.last[id] = result_decode(copy, wire_reader(copy, size), 0, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(unit.last[id]);
	if (++unit.ended == unit.until_ended)
		loop_stop(unit.loop);
}

static void logged(void *arg, uint32_t id, enum log_level level, const char *text)
{
	(void)arg;
	buf_printf(&unit.log, "%u %d %s\n", id, (int)level, text);
}

static void stopped(void *arg, uint32_t id)
{
	(void)arg;
	(void)id;
	unit.stopped++;
}

static void blocked(void *arg, uint32_t id, int seconds, const char *step)
{
	(void)arg;
	pthread_mutex_lock(&unit.lock);
	unit.blocked = id;
	CU_ASSERT(seconds > 0);
	snprintf(unit.step, sizeof(unit.step), "%s", step);
	pthread_mutex_unlock(&unit.lock);
}

static void wake(void *arg)
{
	(void)arg;
	CU_ASSERT(write(unit.wakes[1], "x", 1) == 1);
}

static void wake_ready(struct watch *watch, uint32_t ready)
{
	char byte;
	(void)ready;
	CU_ASSERT(read(watch->fd, &byte, 1) == 1);
	runner_tend(unit.runner);
}

static const struct runner_events events = {
	.ended = ended, .log = logged, .blocked = blocked, .wake = wake, .stopped = stopped};

static void on_end(struct timer *timer, int64_t now_ms)
{
	(void)timer;
	(void)now_ms;
	loop_stop(unit.loop);
}

static void open_runner(void)
{
	struct err err = {""};
	memset(&unit, 0, sizeof(unit));
	pthread_mutex_init(&unit.lock, NULL);
	on_begin = NULL;
	unit.loop = loop_new();
	unit.end.fire = on_end;
	CU_ASSERT_FATAL(pipe(unit.wakes) == 0);
	unit.wake.ready = wake_ready;
	loop_add(unit.loop, &unit.wake, unit.wakes[0], 1 /* EPOLLIN */);
	unit.runner = runner_new(&plugin, unit.loop, 0, &events, NULL, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(unit.runner);
}

static void add(uint32_t id)
{
	char name[2] = {(char)('0' + id), '\0'};
	struct runner_spec spec = {.id = id, .start = {.name = name, .state_dir = "", .labels = ""}};
	enum skymon_reason reason;
	struct err err = {""};
	CU_ASSERT_FATAL(runner_start(unit.runner, &spec, &reason, &err));
}

/* Turns the loop until so many results have come, or for so long. */
static void turn(unsigned results, int64_t ms)
{
	unit.until_ended = unit.ended + results;
	loop_set_timer(unit.loop, &unit.end, loop_clock_ms() + ms);
	loop_run(unit.loop);
	loop_clear_timer(unit.loop, &unit.end);
	CU_ASSERT(results == 0 || unit.ended == unit.until_ended);
}

static void close_runner(void)
{
	CU_ASSERT(runner_free(unit.runner, 10000));
	loop_remove(unit.loop, &unit.wake);
	close(unit.wakes[0]);
	close(unit.wakes[1]);
	loop_free(unit.loop);
	for (size_t i = 0; i < 4; i++)
		if (unit.last[i] != NULL)
			result_unref(unit.last[i]);
	buf_free(&unit.log);
	pthread_mutex_destroy(&unit.lock);
}

/* ---- What a run does ---- */

static void done_now(struct skymon *sm, struct state *state)
{
	(void)state;
	CU_ASSERT(skymon_ms_left(sm) > 0);
	skymon_number(sm, "used", 0.5);
	skymon_done(sm, skymon_healthy(sm, "now"));
	CU_ASSERT(skymon_ms_left(sm) == 0);
	skymon_number(sm, "used", 0.75);
	skymon_done(sm, skymon_unhealthy(sm, "twice"));
}

static void due(struct skymon *sm, void *argument)
{
	struct state *state = argument;
	state->due++;
	uint32_t id = 0;
	const char *step = "";
	CU_ASSERT(runner_current(&id, &step) && (int)id == atoi(skymon_name(sm)));
	skymon_done(sm, skymon_healthy(sm, "due"));
}

static void done_later(struct skymon *sm, struct state *state)
{
	skymon_timer(sm, 0, NULL, NULL);
	skymon_timer(sm, 60000, due, NULL);
	skymon_timer(sm, 20, due, state); /* replaces the other one */
}

static void ready(struct skymon *sm, void *argument, int fd, unsigned what)
{
	struct state *state = argument;
	char byte;
	CU_ASSERT(fd == state->ends[0] && (what & SKYMON_READ) != 0);
	CU_ASSERT(read(fd, &byte, 1) == 1);
	state->ready++;
	skymon_done(sm, skymon_healthy(sm, "ready"));
}

static void done_by_pipe(struct skymon *sm, struct state *state)
{
	CU_ASSERT(skymon_watch(sm, state->ends[0], SKYMON_READ, ready, state));
	CU_ASSERT(write(state->ends[1], "x", 1) == 1);
}

/* ---- Tests ---- */

static void run(uint32_t id, uint64_t number, int64_t timeout_ms)
{
	CU_ASSERT(runner_run(unit.runner, id, number, timeout_ms));
}

static void a_run_ends_once(void)
{
	open_runner();
	add(1);
	on_begin = done_now;
	for (uint64_t i = 1; i <= 3; i++) {
		run(1, i, 1000);
		CU_ASSERT_EQUAL(unit.ended, i); /* within begin */
		CU_ASSERT(unit.runs[1] == i && unit.last[1]->view.status == SKYMON_HEALTHY);
		UNIT_TEXT(unit.last[1]->view.message, "now");
		CU_ASSERT(skymon_ms_left(states[1]->sm) == 0);
	}
	CU_ASSERT(strstr(unit.log.data, "skymon_done was called outside a run") != NULL);
	CU_ASSERT(states[1]->begun == 3 && states[1]->cancelled == 0);
	close_runner();
}

static void a_run_ends_later(void)
{
	open_runner();
	add(1);
	add(2);
	on_begin = done_later;
	run(1, 1, 60000);
	CU_ASSERT(!runner_run(unit.runner, 1, 2, 1000)); /* it has not ended */
	run(2, 7, 60000);
	turn(2, 20000);
	CU_ASSERT(unit.runs[1] == 1 && unit.runs[2] == 7 && states[1]->due == 1 && states[2]->due == 1);
	CU_ASSERT(unit.last[1]->view.duration_us >= 20000);
	on_begin = done_by_pipe;
	run(1, 2, 60000);
	turn(1, 20000);
	UNIT_TEXT(unit.last[1]->view.message, "ready");
	CU_ASSERT(write(states[1]->ends[1], "x", 1) == 1); /* the watch outlives the run */
	turn(0, 50);
	CU_ASSERT(states[1]->ready == 2);
	CU_ASSERT(skymon_watch(states[1]->sm, states[1]->ends[0], 0, NULL, NULL));
	CU_ASSERT(write(states[1]->ends[1], "x", 1) == 1);
	turn(0, 50);
	CU_ASSERT(states[1]->ready == 2);
	close_runner();
}

static void the_deadline_cancels(void)
{
	open_runner();
	add(1);
	int64_t began_us = runner_clock_us();
	run(1, 1, 100);
	turn(1, 20000);
	CU_ASSERT(runner_clock_us() - began_us >= 89000);
	CU_ASSERT(states[1]->cancelled == 1 && unit.last[1]->view.status == SKYMON_DEGRADED);
	UNIT_TEXT(unit.last[1]->view.message, "cancelled");
	run(1, 2, 60000);
	runner_stop(unit.runner, 1); /* at once: cancelled, and gone */
	CU_ASSERT(unit.ended == 2 && unit.stopped == 1 && states[1] == NULL);
	add(2);
	run(2, 1, 60000);
	close_runner();
	CU_ASSERT(states[2] == NULL);
}

/* A watch and a timer of a component that was stopped are not called any more. */
static void a_stop_ends_watches(void)
{
	open_runner();
	add(1);
	int copy = dup(states[1]->ends[1]), other = dup(states[1]->ends[0]);
	CU_ASSERT(skymon_watch(states[1]->sm, states[1]->ends[0], SKYMON_READ, ready, states[1]));
	skymon_timer(states[1]->sm, 10, due, states[1]);
	runner_stop(unit.runner, 1); /* closes the ends */
	CU_ASSERT(write(copy, "x", 1) == 1);
	turn(0, 50);
	close(copy);
	close(other);
	/* the load's handle keeps its own */
	int ends[2];
	struct state own = {.ends = {-1, -1}};
	CU_ASSERT_FATAL(pipe(ends) == 0);
	own.ends[0] = ends[0];
	CU_ASSERT(skymon_watch(loaded, ends[0], SKYMON_READ, ready, &own));
	CU_ASSERT(write(ends[1], "x", 1) == 1);
	turn(0, 50);
	CU_ASSERT(own.ready == 1);
	close_runner();
	close(ends[0]);
	close(ends[1]);
}

static void *call_elsewhere(void *arg)
{
	struct skymon *sm = arg;
	skymon_done(sm, SKYMON_HEALTHY);
	skymon_timer(sm, 0, due, NULL);
	CU_ASSERT(!skymon_watch(sm, 0, SKYMON_READ, ready, NULL));
	return NULL;
}

static void another_thread_is_refused(void)
{
	pthread_t thread;
	open_runner();
	add(1);
	run(1, 1, 60000);
	CU_ASSERT(pthread_create(&thread, NULL, call_elsewhere, states[1]->sm) == 0);
	pthread_join(thread, NULL);
	CU_ASSERT(unit.ended == 0 &&
		  strstr(unit.log.data, "skymon_done was called on another thread") != NULL);
	turn(0, 20);
	close_runner();
}

static void resolved(struct skymon *sm, void *argument, const char *addresses)
{
	(void)argument;
	if (addresses != NULL)
		skymon_done(sm, skymon_healthy(sm, "%s", addresses));
	else
		skymon_done(sm, SKYMON_UNHEALTHY);
}

static const char *host;

static void look_up(struct skymon *sm, struct state *state)
{
	skymon_resolve_later(sm, "no-such-host-either.invalid", resolved, state);
	skymon_resolve_later(sm, host, resolved, state); /* replaces the other one */
}

static void names_are_looked_up(void)
{
	open_runner();
	for (uint32_t id = 1; id <= 3; id++)
		add(id);
	on_begin = look_up;
	host = "192.0.2.1";
	run(1, 1, 60000);
	UNIT_TEXT(unit.last[1]->view.message, "192.0.2.1"); /* at once */
	host = "localhost";
	run(1, 2, 60000);
	run(2, 2, 60000);
	turn(2, 20000);
	CU_ASSERT(strstr(unit.last[1]->view.message, "127.0.0.1") != NULL);
	UNIT_TEXT(unit.last[2]->view.message, unit.last[1]->view.message);
	host = "no-such-host.invalid";
	run(3, 3, 5000);
	turn(1, 20000);
	CU_ASSERT(unit.last[3]->view.status == SKYMON_UNHEALTHY &&
		  strncmp(unit.last[3]->view.message, "cannot resolve no-such-host.invalid", 35) == 0);
	host = "";
	run(1, 4, 5000);
	CU_ASSERT(unit.last[1]->view.reason == SKYMON_DNS);
	host = "localhost"; /* runs that end before their names are resolved */
	run(1, 5, 60000);
	skymon_done(states[1]->sm, SKYMON_HEALTHY);
	run(2, 5, 60000);
	runner_stop(unit.runner, 2);
	turn(0, 200);
	CU_ASSERT(unit.runs[1] == 5 && unit.last[1]->view.status == SKYMON_HEALTHY);
	close_runner();
}

static void block(struct skymon *sm, struct state *state)
{
	(void)state;
	skymon_step(sm, "blocking");
	for (unsigned id = 0, tries = 0; id == 0 && tries < 20000; tries++) {
		usleep(1000);
		pthread_mutex_lock(&unit.lock);
		id = unit.blocked;
		pthread_mutex_unlock(&unit.lock);
	}
	skymon_done(sm, SKYMON_HEALTHY);
}

static void a_callback_that_waits_is_noticed(void)
{
	open_runner();
	add(1);
	add(2);
	on_begin = done_now;
	for (uint64_t i = 1; i < 100; i++)
		run(1, i, 1000);
	on_begin = block;
	run(2, 100, 60000);
	CU_ASSERT_EQUAL(unit.blocked, 2);
	UNIT_TEXT(unit.step, "blocking");
	close_runner();
}

int main(void)
{
	return unit_run("runner_loop",
			(const struct unit_test[]){
				{"a run ends once", a_run_ends_once},
				{"a run ends later", a_run_ends_later},
				{"the deadline cancels", the_deadline_cancels},
				{"a stop ends watches", a_stop_ends_watches},
				{"another thread is refused", another_thread_is_refused},
				{"names are looked up", names_are_looked_up},
				{"a callback that waits is noticed", a_callback_that_waits_is_noticed},
				{0},
			});
}
