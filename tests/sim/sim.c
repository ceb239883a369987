/* SPDX-License-Identifier: Apache-2.0 */
/* Plays schedules: sim COUNT SEED [JOBS]. Each is played in the part that faults trouble, mostly then in one
 * without (in which all must become well), and ends with a shutdown. A seed that breaks an invariant is
 * played again with its trace. */
#include "sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUESTS_MAX = 256, SETTLE_MS = 260000, WATCH_MS = 90000 };

struct request { /* that was given to the pool; answered must be called once */
	uint64_t number;
	int64_t asked_ms;
	bool answered, withdrawn;
};
static struct request requests[REQUESTS_MAX];
static size_t request_count;

/* ---- Requests ---- */

static void answered(void *arg, const struct http_message_reply *reply, int code, const char *why)
{
	struct request *request = arg;
	if (request->answered || request->withdrawn)
		sim_fail("a request is answered %s", request->answered ? "twice" : "that was withdrawn");
	if (reply == NULL && (code < 400 || why == NULL))
		sim_fail("a request is answered with neither reply nor reason");
	sim_trace("request %td is answered: %d %s", request - requests, reply != NULL ? reply->code : code,
		  reply != NULL ? "" : why);
	request->answered = true;
}

static void ask(void)
{
	if (request_count == REQUESTS_MAX)
		return;
	struct request *request = &requests[request_count++];
	*request = (struct request){.asked_ms = sim_useful_ms()};
	struct http_message_request asked = {
		.method = "GET", .query = "", .address = "", .user = "", .why_not_local = "", .login = ""};
	sim_trace("request %td", request - requests);
	request->number =
		pool_request(sched_pool(sim.sched), sim_names[sim_draw(NAMES)], &asked, answered, request);
	if (request->number == 0 && !request->answered)
		sim_fail("a request has no number and no answer");
}

static void withdraw(void)
{
	for (size_t i = 0; i < request_count; i++)
		if (!requests[i].answered && !requests[i].withdrawn && sim_draw(2) == 0) {
			sim_trace("request %zu is withdrawn", i);
			requests[i].withdrawn = true;
			pool_withdraw(sched_pool(sim.sched), requests[i].number);
			return;
		}
}

static void check_requests(void)
{
	for (size_t i = 0; i < request_count; i++)
		if (!requests[i].answered && !requests[i].withdrawn &&
		    (sim.stopping || sim_useful_ms() - requests[i].asked_ms > HTTP_MESSAGE_MS + 10))
			sim_fail("request %zu has no answer", i);
}

/* ---- What happens from outside ---- */

static void suspend(void)
{
	int64_t slept_ms = sim_draw(2) == 0 ? sim_between(1000, 60000) : sim_between(60000, 86400000);
	sim_trace("the machine sleeps for %lld ms", (long long)slept_ms);
	sim.now_ms += slept_ms;
	sim.lost_ms += slept_ms;
}

static void act(const struct event *event)
{
	if (sim.stopping || !sim.troubled)
		return;
	switch (sim_draw(16)) {
	case 0:
	case 1:
	case 2:
		plan_change();
		break;
	case 3:
		plan_repeat();
		break;
	case 4:
		worker_rotate((int)sim_draw(NAMES));
		break;
	case 5:
		plan_change_variable((int)sim_draw(NAMES));
		break;
	case 6:
		suspend();
		break;
	case 7:
		sim.wall_ms += sim_between(-4000000, 4000000);
		sim_trace("the wall clock jumps");
		break;
	case 8:
		withdraw();
		break;
	case 9:
		silences_change();
		break;
	default:
		ask();
	}
	sim_add_event((struct event){
		.at_ms = sim.now_ms + sim_between(1, event->more), .fire = act, .more = event->more});
}

static void look(const struct event *event)
{
	if (sim.stopping)
		return;
	check_requests();
	if (!sim.troubled && !plan_is_in_force())
		plan_repeat();
	sim_add_event((struct event){.at_ms = sim.now_ms + 5000, .fire = event->fire});
}

/* ---- A schedule ---- */

static void note_lag(void *arg, double seconds)
{
	(void)arg;
	if (seconds < 0)
		sim_fail("a check began %f s before it was due", -seconds);
}

static void stopped(void *arg)
{
	(void)arg;
	sim.stopped = true;
}

/* Schedules in which little but one thing goes wrong: what the simulation has found, by its name. Not seeds,
 * whose meaning would change with the simulation. */
static const struct story {
	const char *name;
	unsigned rates[FAULTS];
} stories[] = {
	{"the back-off of a worker that dies before its hello grows, also when the one before was up",
	 {[HELLO_DIES] = 600}},
	{"a worker that leaves already has no longer than the shutdown", {[LEAVE_HANGS] = 500}},
	{"a reload keeps since when a component is not configured", {[FILE_BROKEN] = 0}},
	{"a status that stays over a reload turns stale in its time",
	 {[START_SLOW] = 500, [HELLO_NEVER] = 300}},
	{"a lease that ends during a start is renewed", {[START_SLOW] = 700, [ASK_LEASE] = 700}},
	{"a removed component's second result costs its worker", {[RUN_TWICE] = 500, [RUN_LATE] = 500}},
};
enum { STORIES = sizeof(stories) / sizeof(*stories), STORY_SCHEDULES = 500 };

/* Some kinds of fault, each at a rate of its own; the others do not happen. */
static void draw_rates(void)
{
	unsigned kinds = (unsigned)sim_draw(4);
	for (int i = 0; i < FAULTS; i++)
		if (kinds > 0 && sim_draw(4) < kinds)
			sim.rates[i] = (unsigned)sim_between(1, sim_draw(3) == 0 ? 300 : 60);
	sim.rates[OUTBOX_BREAKS] /= 8;
	sim.rates[TURN_SLOW] /= 8;
	sim.rates[SPAWN_FAILS] *= 2;
}

static bool play_until(int64_t until_ms)
{
	while (sim.now_ms < until_ms && !sim.stopped) {
		if (!sim_step())
			return false;
		model_check_step();
	}
	return true;
}

static void calm_down(void)
{
	sim_trace("no more faults");
	sim.troubled = false;
	plan_mend();
	play_until(sim.now_ms + SETTLE_MS);
	model_new_calm();
	play_until(sim.now_ms + WATCH_MS);
	model_check_calm();
	check_requests();
}

static void shut_down(void)
{
	int64_t patience_ms = sim_between(200, 10000), began_ms = sim_useful_ms();
	sim_trace("shutdown, within %lld ms", (long long)patience_ms);
	sim.stopping = true;
	sched_end(sim.sched, patience_ms, stopped, NULL);
	check_requests();
	while (!sim.stopped && sim_useful_ms() - began_ms < patience_ms + 500)
		if (!sim_step())
			break;
	if (!sim.stopped && sim.rates[KILL_SLOW] == 0)
		sim_fail("the shutdown has not ended %lld ms after its time",
			 (long long)(sim_useful_ms() - began_ms - patience_ms));
	plan_forget();
	silences_forget();
	sched_free(sim.sched);
	if (workers_count() > 0)
		sim_fail("%zu workers are left", workers_count());
	if (sim_files_open() != 0)
		sim_fail("%d plugins' files are left open", sim_files_open());
	if (sim_timers() > 0)
		sim_fail("%zu timers are left", sim_timers());
	board_free(sim.board);
	loop_free(sim.loop);
	if (sim_blocks() > 0)
		sim_fail("%zu blocks of memory are left", sim_blocks());
}

static void play(uint64_t seed, const struct story *story)
{
	sim_begin_clock(seed);
	request_count = 0;
	sim.troubled = true;
	if (story != NULL)
		memcpy(sim.rates, story->rates, sizeof(sim.rates));
	else
		draw_rates();
	model_begin();
	workers_begin();
	sim.loop = loop_new();
	sim.board = board_new(model_changed, NULL);
	sim.sched = sched_new(sim.loop, sim.board, "skymon-worker", note_lag, NULL);
	pool_configure(sched_pool(sim.sched), "", 0, 1000, plan_lookup);
	silences_begin();
	sim_add_event(
		(struct event){.at_ms = sim.now_ms + 100, .fire = act, .more = sim_between(500, 30000)});
	sim_add_event((struct event){.at_ms = sim.now_ms + 100, .fire = look});
	plan_begin_schedule();
	play_until(sim.now_ms + sim_between(10, sim_draw(4) == 0 ? 400000 : 120000));
	if (sim_draw(2) == 0)
		calm_down();
	shut_down();
}

/* ---- The program ---- */

struct shared { /* between the program and its jobs */
	uint64_t played, seed;
};

/* Plays every jobs-th seed; returns whether it went well. */
static bool run_job(struct shared *shared, uint64_t seed, uint64_t count, uint64_t first, uint64_t jobs)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid > 0;
	for (uint64_t i = first; i < count; i += jobs) {
		shared->seed = seed + i;
		play(seed + i, NULL);
		shared->played++;
	}
	_exit(0);
}

static void play_stories(void)
{
	for (size_t i = 0; i < STORIES; i++) {
		for (uint64_t seed = 1; seed <= STORY_SCHEDULES; seed++)
			play(seed, &stories[i]);
		printf("ok: %s\n", stories[i].name);
	}
	for (uint64_t seed = 1; seed <= STORY_SCHEDULES; seed++) {
		play(seed, NULL);
		uint64_t random = sim.random;
		play(seed, NULL);
		if (sim.random != random)
			sim_fail("the same seed has played another schedule");
	}
	printf("ok: a seed plays the same schedule again\n");
}

static void play_again(uint64_t seed)
{
	fprintf(stderr, "seed %llu failed; once more, with its last steps:\n", (unsigned long long)seed);
	pid_t pid = fork();
	if (pid == 0) {
		sim.tracing = true;
		play(seed, NULL);
		_exit(0);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	if (status == 0)
		fprintf(stderr, "this time it did not fail: the simulation is not deterministic\n");
}

/* A sanitizer has its own handler, and prints the place. */
static void die(int signal_number)
{
	sim_print_trace();
	fprintf(stderr, "seed %llu: signal %d\n", (unsigned long long)sim.seed, signal_number);
	_exit(1);
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000,
		 seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t jobs = argc > 3 ? strtoull(argv[3], NULL, 10) : 1, played = 0, failed = 0;
	struct shared *shared = mmap(NULL, sizeof(*shared) * (jobs + 1), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	signal(SIGABRT, die);
	signal(SIGSEGV, die);
	if (argc > 1 && strcmp(argv[1], "cases") == 0) {
		play_stories();
		return 0;
	}
	if (count == 1) {
		sim.tracing = sim.printing = true;
		play(seed, NULL);
		return 0;
	}
	for (uint64_t i = 0; i < jobs; i++)
		if (!run_job(&shared[i], seed, count, i, jobs))
			return 2;
	for (uint64_t i = 0; i < jobs; i++) {
		int status;
		wait(&status);
		failed += status != 0;
	}
	for (uint64_t i = 0; i < jobs; i++) {
		uint64_t expected = (count - i + jobs - 1) / jobs;
		played += shared[i].played;
		if (shared[i].played < expected)
			play_again(shared[i].seed);
	}
	printf("%llu schedules played, %llu failed\n", (unsigned long long)played,
	       (unsigned long long)failed);
	return failed > 0;
}
