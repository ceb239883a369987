/* SPDX-License-Identifier: Apache-2.0 */
/* runner: components, checks on threads, deadlines, steps and logs, with a plugin in this program. */
#include "worker/runner_private.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/resolve.h"
#include "unit.h"

/* ---- A plugin in this program: its option `does` selects what its check does ---- */

struct state {
	const char *does;
	struct skymon_secret password;
	int64_t count;
};

struct shared {
	atomic_int loaded, started, stopped, checks;
	atomic_bool gate;  /* waiting checks wait for it */
	atomic_bool reads; /* the checks have reached another step */
};
static struct shared *shared; /* of the current runner */

static const struct skymon_option options[] = {SKYMON_OPT(struct state, does, "ok", "what the check does"),
					       SKYMON_OPT(struct state, password, NULL, "a secret"),
					       SKYMON_OPT(struct state, count, "0", "how many"),
					       {0}};
static const struct skymon_number numbers[] = {{"used", "ratio", "A share"}, {0}};
static const struct skymon_route *const no_routes[] = {NULL};

static bool load(struct skymon *sm, void *memory)
{
	shared = memory;
	CU_ASSERT(skymon_shared(sm) == memory);
	atomic_fetch_add(&shared->loaded, 1);
	return true;
}

static bool start(struct skymon *sm, void *memory)
{
	const struct state *state = memory;
	atomic_fetch_add(&shared->started, 1);
	if (strcmp(state->does, "no start") != 0)
		return true;
	skymon_reason(sm, SKYMON_RESOURCE);
	skymon_unknown(sm, "no start with %s", state->password.bytes);
	return false;
}

static void stop(struct skymon *sm, void *memory)
{
	(void)memory;
	CU_ASSERT_STRING_NOT_EQUAL(skymon_name(sm), "");
	atomic_fetch_add(&shared->stopped, 1);
}

static enum skymon_status tell_all(struct skymon *sm, const struct state *state)
{
	struct skymon_label own = {"team", "x"}, component = {"component", "x"}, fine = {"kind", "hunter2"};
	skymon_number(sm, "used", 0.5);
	skymon_number(sm, "undeclared", 1);
	skymon_number(sm, "response_time", 1);
	skymon_gauge(sm, "gauge", "of hunter2", 1);
	skymon_metric(sm, SKYMON_GAUGE, "gauge", "help", 2, &own, 1);
	skymon_metric(sm, SKYMON_GAUGE, "gauge", "help", 2, &component, 1);
	skymon_metric(sm, SKYMON_GAUGE, "gauge", "help", 2, &fine, 1);
	skymon_detail(sm, "text", "password %s", state->password.bytes);
	skymon_detail_json(sm, "json", "{\"k hunter2 x\":[\"hunter2\",1.5,true]}");
	skymon_detail_json(sm, "plain", "[1.10]");
	skymon_detail_json(sm, "broken", "{");
	skymon_detail_number(sm, "nan", NAN);
	skymon_detail_boolean(sm, "yes", true);
	skymon_info(sm, "logged %s\nand more", state->password.bytes);
	for (int cut = 0; cut <= 7; cut++) /* the wrapper cuts the secret */
		skymon_debug(sm, "%*s", (int)SKYMON_TEXT_MAX + cut, "with hunter2");
	sm->host->sample(sm, &(struct skymon_sample){.size = 8, .type = SKYMON_GAUGE, .name = "s"});
	return skymon_degraded(sm, "cannot log in with hunter2, nor with hunter22");
}

static enum skymon_status check(struct skymon *sm, void *memory)
{
	struct state *state = memory;
	skymon_step(sm, "at hunter2");
	uint32_t id;
	const char *step;
	CU_ASSERT(runner_current(&id, &step) && (step[3] == '*') == (state->password.size > 0));
	CU_ASSERT(skymon_snapshot(sm) == NULL && skymon_self(sm) == NULL && skymon_routes(sm) == NULL &&
		  skymon_config_public(sm) == NULL);
	if (strcmp(state->does, "tell") == 0)
		return tell_all(sm, state);
	if (strcmp(state->does, "flood") == 0)
		for (int64_t i = 0; i < state->count; i++)
			skymon_info(sm, "line %lld", (long long)i);
	if (strcmp(state->does, "refuse") == 0)
		skymon_secret_refused(sm);
	if (strcmp(state->does, "resolve") == 0) {
		char addresses[400];
		return skymon_resolve(sm, "no-such-host.invalid", addresses, sizeof(addresses))
			       ? skymon_healthy(sm, "%s", addresses)
			       : SKYMON_UNHEALTHY;
	}
	for (bool read = false; strcmp(state->does, "wait") == 0 && !atomic_load(&shared->gate); usleep(1000))
		if (!read && atomic_load(&shared->reads)) {
			read = true;
			skymon_step(sm, "reading");
		}
	if (strcmp(state->does, "obey") == 0) { /* every wait is limited by skymon_ms_left */
		skymon_step(sm, "obeying");
		while (skymon_ms_left(sm) > 0)
			usleep(1000);
	}
	atomic_fetch_add(&shared->checks, 1);
	return skymon_healthy(sm, "%lld ms left", (long long)skymon_ms_left(sm));
}

static const struct skymon_plugin plugin = {.size = sizeof(plugin),
					    .name = "unit",
					    .version = "1",
					    .summary = "",
					    .option_size = sizeof(struct skymon_option),
					    .number_size = sizeof(struct skymon_number),
					    .state_size = sizeof(struct state),
					    .shared_size = sizeof(struct shared),
					    .options = options,
					    .numbers = numbers,
					    .load = load,
					    .start = start,
					    .stop = stop,
					    .check = check,
					    .routes = no_routes};

/* ---- Reports of the runner ---- */

struct seen {
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct buf results[4]; /* by id */
	uint64_t runs[4];
	unsigned ended, logs, refused, woken, stopped;
	struct buf log;
	unsigned steps;
	char step[100];
};

static void ended(void *arg, uint32_t id, const struct buf *body)
{
	struct seen *seen = arg;
	struct wire_reader in = wire_reader(body->data, body->size);
	pthread_mutex_lock(&seen->lock);
	id %= 4;
	seen->results[id].size = 0;
	message_get_result(&in, &seen->runs[id]);
	buf_add(&seen->results[id], in.at, (size_t)(in.end - in.at));
	seen->ended++;
	pthread_cond_broadcast(&seen->change);
	pthread_mutex_unlock(&seen->lock);
}

static void logged(void *arg, uint32_t id, enum log_level level, const char *text)
{
	struct seen *seen = arg;
	pthread_mutex_lock(&seen->lock);
	buf_printf(&seen->log, "%u %d %s\n", id, (int)level, text);
	seen->logs++;
	pthread_mutex_unlock(&seen->lock);
}

static void refused(void *arg, uint32_t id)
{
	struct seen *seen = arg;
	CU_ASSERT_EQUAL(id, 1);
	pthread_mutex_lock(&seen->lock);
	seen->refused++;
	pthread_mutex_unlock(&seen->lock);
}

static void excess(void *arg, uint32_t id, bool files, const char *text)
{
	(void)arg;
	(void)id;
	(void)files;
	(void)text;
	CU_FAIL("no limit expected");
}

static void note_step(void *arg, uint32_t id, uint64_t run, const char *text)
{
	struct seen *seen = arg;
	(void)id;
	(void)run;
	seen->steps++;
	snprintf(seen->step, sizeof(seen->step), "%s", text);
}

static void wake(void *arg)
{
	struct seen *seen = arg;
	pthread_mutex_lock(&seen->lock);
	seen->woken++;
	pthread_cond_broadcast(&seen->change);
	pthread_mutex_unlock(&seen->lock);
}

static void stopped(void *arg, uint32_t id)
{
	struct seen *seen = arg;
	(void)id;
	seen->stopped++;
}

static const struct runner_events events = {.ended = ended,
					    .log = logged,
					    .refused = refused,
					    .excess = excess,
					    .step = note_step,
					    .wake = wake,
					    .stopped = stopped};

static void wait_count(struct seen *seen, const unsigned *count, unsigned least)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&seen->lock);
	while (*count < least && pthread_cond_timedwait(&seen->change, &seen->lock, &until) == 0)
		;
	CU_ASSERT(*count >= least);
	pthread_mutex_unlock(&seen->lock);
}

static struct runner *open_runner(struct seen *seen)
{
	struct err err = {""};
	memset(seen, 0, sizeof(*seen));
	pthread_mutex_init(&seen->lock, NULL);
	pthread_cond_init(&seen->change, NULL);
	struct runner *runner = runner_new(&plugin, NULL, 0, &events, seen, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(runner);
	return runner;
}

static void close_runner(struct runner *runner, struct seen *seen)
{
	CU_ASSERT(runner_free(runner, 10000));
	for (size_t i = 0; i < 4; i++)
		buf_free(&seen->results[i]);
	buf_free(&seen->log);
	pthread_mutex_destroy(&seen->lock);
	pthread_cond_destroy(&seen->change);
}

static const char *no_variable(const char *name)
{
	(void)name;
	return NULL;
}

/* Encodes options from YAML, as they arrive over the wire. */
static struct option_values *values_of(const char *yaml)
{
	struct config config;
	struct err_list errs = {0};
	struct err err = {""};
	CU_ASSERT_FATAL(config_parse("test", yaml, strlen(yaml), no_variable, &config, &errs));
	struct option_binding binding = {
		.table = options, .section = config.root, .what = "component", .lookup = no_variable};
	struct option_values *bound = option_bind(&binding, &errs);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bound);
	struct buf body = {0};
	struct option_bytes secret = {"hunter2", 7};
	size_t count;
	(void)option_secrets(bound, &count);
	option_values_encode(bound, count > 0 ? &secret : NULL, &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct option_values *values = option_values_decode(&in, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(values);
	buf_free(&body);
	option_values_free(bound);
	config_free(&config);
	err_list_free(&errs);
	return values;
}

static bool add(struct runner *runner, uint32_t id, const char *yaml, struct err *err)
{
	struct runner_spec spec = {.id = id,
				   .start = {.name = "component-with-a-long-name",
					     .state_dir = "/state",
					     .labels = "team=\"a\\\"b\",zone=\"z\""},
				   .values = values_of(yaml)};
	enum skymon_reason reason;
	bool ok = runner_start(runner, &spec, &reason, err);
	CU_ASSERT(ok || reason != SKYMON_OK);
	return ok;
}

static struct result *result_of(struct seen *seen, uint32_t id)
{
	struct err err = {""};
	pthread_mutex_lock(&seen->lock);
	char *copy = malloc(seen->results[id].size + 1);
	memcpy(copy, seen->results[id].data, seen->results[id].size);
	struct result *result = result_decode(copy, wire_reader(copy, seen->results[id].size), 0, &err);
	pthread_mutex_unlock(&seen->lock);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	return result;
}

/* ---- Tests ---- */

static void a_run_reports(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	CU_ASSERT(shared->loaded == 1 && !runner_run(runner, 1, 7, 1000));
	CU_ASSERT_FATAL(add(runner, 1, "{does: ok}", &err));
	CU_ASSERT(!add(runner, 1, "{does: ok}", &err)); /* the id is in use */
	CU_ASSERT(runner_run(runner, 1, 7, 60000));
	wait_count(&seen, &seen.ended, 1);
	struct result *result = result_of(&seen, 1);
	CU_ASSERT(seen.runs[1] == 7 && result->view.status == SKYMON_HEALTHY &&
		  result->view.reason == SKYMON_OK);
	CU_ASSERT(atoi(result->view.message) > 20000 && atoi(result->view.message) <= 60000);
	CU_ASSERT(result->view.duration_us >= 0 && result->view.duration_us < 20000000);
	result_unref(result);
	struct shared *before = shared;
	CU_ASSERT(before->started == 1 && before->stopped == 0);
	runner_stop(runner, 1);
	for (int i = 0; i < 10000 && seen.stopped == 0; i++) { /* its thread may still be exiting */
		usleep(1000);
		runner_tend(runner);
	}
	CU_ASSERT(before->stopped == 1 && seen.stopped == 1);
	CU_ASSERT(!runner_run(runner, 1, 8, 1000));
	close_runner(runner, &seen);
}

static void what_is_wrong_is_dropped_and_secrets_are_masked(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	CU_ASSERT_FATAL(add(runner, 1, "{does: tell, password: hunter2}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 60000));
	wait_count(&seen, &seen.ended, 1);
	struct result *result = result_of(&seen, 1);
	UNIT_TEXT(result->view.message, "cannot log in with ********, nor with ********2");
	UNIT_TEXT(result->view.details,
		  "{\"text\":\"password ********\",\"json\":{\"k ******** x\":[\"********\",1.5,"
		  "true]},\"plain\":[1.10],\"nan\":null,\"yes\":true}");
	CU_ASSERT(result->view.number_count == 1 && result_number(&result->view, "used") != NULL);
	CU_ASSERT_FATAL(result->view.family_count == 1 && result->view.families[0]->series_count == 2);
	CU_ASSERT(memmem(seen.results[1].data, seen.results[1].size, "hunter2", 7) == NULL);
	result_unref(result);
	CU_ASSERT(strstr(seen.log.data, "hunt") == NULL && strstr(seen.log.data, "with hun\n") != NULL);
	const char *log = seen.log.data;
	CU_ASSERT(strstr(log, "1 2 logged ******** and more\n") && strstr(log, "a sample's size is 8"));
	CU_ASSERT(strstr(log, "number undeclared is not declared") != NULL);
	CU_ASSERT(strstr(log, "label team") && strstr(log, "label component"));
	CU_ASSERT(strstr(log, "detail broken is not a JSON value") != NULL);
	close_runner(runner, &seen);
}

static void floods_are_cut(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	CU_ASSERT_FATAL(add(runner, 1, "{does: flood, count: 1000}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 60000));
	wait_count(&seen, &seen.ended, 1);
	CU_ASSERT(seen.logs >= 20 && seen.logs <= 60);
	close_runner(runner, &seen);
}

static void a_start_that_fails_says_why(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	struct runner_spec spec = {.id = 1,
				   .start = {.name = "x", .state_dir = "", .labels = ""},
				   .values = values_of("{does: no start, password: hunter2}")};
	enum skymon_reason reason;
	CU_ASSERT(!runner_start(runner, &spec, &reason, &err));
	UNIT_TEXT(err.text, "no start with ********");
	CU_ASSERT(reason == SKYMON_RESOURCE && shared->stopped == 0 && !runner_run(runner, 1, 1, 1000));
	CU_ASSERT(add(runner, 1, "{does: refuse}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 1000));
	wait_count(&seen, &seen.ended, 1);
	CU_ASSERT_EQUAL(seen.refused, 1);
	close_runner(runner, &seen);
}

/* A waiting check delays no other, is not run twice, and its component is stopped once it has ended. */
static void runs_stand_side_by_side(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	struct shared *now = shared;
	CU_ASSERT_FATAL(add(runner, 1, "{does: wait}", &err) && add(runner, 2, "{does: ok}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 1000));
	CU_ASSERT(!runner_run(runner, 1, 2, 1000));
	for (unsigned i = 1; i <= 50; i++) {
		CU_ASSERT(runner_run(runner, 2, i, 1000)); /* at once after the last result */
		wait_count(&seen, &seen.ended, i);
	}
	CU_ASSERT(seen.runs[2] == 50 && seen.runs[1] == 0);
	runner_stop(runner, 1);
	CU_ASSERT(now->stopped == 0 && seen.stopped == 0 && !runner_run(runner, 1, 3, 1000));
	atomic_store(&now->gate, true);
	wait_count(&seen, &seen.woken, 1);
	runner_tend(runner);
	CU_ASSERT(now->stopped == 1 && seen.stopped == 1);
	CU_ASSERT(add(runner, 1, "{does: ok}", &err)); /* the id is free again */
	close_runner(runner, &seen);
}

static void a_hundred_at_once(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	for (uint32_t id = 1; id <= 100; id++) {
		CU_ASSERT_FATAL(add(runner, id, "{does: wait}", &err));
		CU_ASSERT(runner_run(runner, id, id, 1000));
	}
	atomic_store(&shared->gate, true);
	wait_count(&seen, &seen.ended, 100);
	CU_ASSERT_EQUAL(shared->checks, 100);
	close_runner(runner, &seen);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void names_are_resolved(void)
{
	char addresses[256] = "";
	enum skymon_reason reason;
	struct err err = {""};
	int64_t soon = now_us() + 10000000;
	CU_ASSERT(resolve_host("192.0.2.7", soon, addresses, sizeof(addresses), &reason, &err));
	UNIT_TEXT(addresses, "192.0.2.7");
	CU_ASSERT(resolve_host("2001:db8::1", soon, addresses, sizeof(addresses), &reason, &err));
	UNIT_TEXT(addresses, "2001:db8::1");
	CU_ASSERT(!resolve_host("2001:db8::1", soon, addresses, 5, &reason, &err));
	CU_ASSERT(resolve_host("localhost", soon, addresses, sizeof(addresses), &reason, &err));
	CU_ASSERT(strstr(addresses, "127.0.0.1") != NULL || strstr(addresses, "::1") != NULL);
	CU_ASSERT(!resolve_host("", soon, addresses, sizeof(addresses), &reason, &err));
	/* the deadline has passed: no result can be in time */
	CU_ASSERT(!resolve_host("late.invalid", now_us() - 1, addresses, sizeof(addresses), &reason, &err));
	CU_ASSERT(reason == SKYMON_TIMEOUT && strstr(err.text, "late.invalid") != NULL);
	struct seen seen;
	struct runner *runner = open_runner(&seen);
	CU_ASSERT_FATAL(add(runner, 1, "{does: resolve}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 8000));
	wait_count(&seen, &seen.ended, 1);
	struct result *result = result_of(&seen, 1);
	CU_ASSERT_EQUAL(result->view.status, SKYMON_UNHEALTHY);
	CU_ASSERT(result->view.reason == SKYMON_DNS || result->view.reason == SKYMON_TIMEOUT);
	CU_ASSERT(strstr(result->view.message, "cannot resolve no-such-host.invalid: ") ==
		  result->view.message);
	result_unref(result);
	close_runner(runner, &seen);
}

/* A check that obeys skymon_ms_left ends before the daemon's deadline, in time for its own message. */
static void the_margin(void)
{
	static const int64_t timeouts[] = {20, 300, 1000, 3000};
	for (size_t i = 0; i < 4; i++) {
		struct seen seen;
		struct err err = {""};
		struct runner *runner = open_runner(&seen);
		CU_ASSERT_FATAL(add(runner, 1, "{does: obey}", &err));
		CU_ASSERT(runner_run(runner, 1, 1, timeouts[i]));
		wait_count(&seen, &seen.ended, 1);
		struct result *result = result_of(&seen, 1);
		CU_ASSERT(result->view.duration_us >= timeouts[i] * 850); /* and not much earlier */
		UNIT_TEXT(result->view.message, "0 ms left");
		result_unref(result);
		close_runner(runner, &seen);
	}
}

static void wait_step(struct runner *runner, const struct seen *seen, const char *step)
{
	int ms = 0, waited = 0;
	for (; strcmp(seen->step, step) != 0 && waited < 20000; waited += ms) {
		ms = runner_watch(runner);
		CU_ASSERT_FATAL(ms > 0 && ms <= 1001);
		usleep((unsigned)ms * 1000);
	}
	CU_ASSERT(waited < 20000);
}

/* The step of a late run is reported once, and again when it has changed. */
static void a_late_step_is_reported(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	CU_ASSERT_EQUAL(runner_watch(runner), -1);
	CU_ASSERT_FATAL(add(runner, 1, "{does: wait}", &err));
	CU_ASSERT_FATAL(add(runner, 2, "{does: wait}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 100000));
	CU_ASSERT(runner_watch(runner) > 0 && seen.steps == 0);
	CU_ASSERT(runner_run(runner, 2, 2, 50));
	wait_step(runner, &seen, "at hunter2");
	CU_ASSERT_EQUAL(seen.steps, 1); /* of the second only */
	atomic_store(&shared->reads, true);
	wait_step(runner, &seen, "reading");
	CU_ASSERT_EQUAL(seen.steps, 2);
	atomic_store(&shared->gate, true);
	wait_count(&seen, &seen.ended, 2);
	close_runner(runner, &seen);
}

static int count_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	int count = -2;
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

/* The threads of a burst end after being idle for a while, even while one check runs. */
static void threads_are_given_back(void)
{
	struct seen seen;
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	int before = count_threads();
	for (uint32_t id = 1; id <= 60; id++) {
		CU_ASSERT_FATAL(add(runner, id, "{does: wait}", &err));
		CU_ASSERT(runner_run(runner, id, id, 1000));
	}
	CU_ASSERT(count_threads() > 60);
	atomic_store(&shared->gate, true);
	wait_count(&seen, &seen.ended, 60);
	unsigned runs = 60;
	for (int i = 0; i < 3000 && count_threads() > before + 2; i++) {
		runs += runner_run(runner, 1 + runs % 60, runs, 1000);
		wait_count(&seen, &seen.ended, runs);
		usleep(10000);
	}
	CU_ASSERT(count_threads() <= before + 2);
	close_runner(runner, &seen);
}

/* Late runs are abandoned: the caller exits. This test comes last, since its thread remains. */
static void what_never_ends_is_left(void)
{
	static struct seen seen; /* its thread may still use it */
	struct err err = {""};
	struct runner *runner = open_runner(&seen);
	struct shared *now = shared;
	CU_ASSERT_FATAL(add(runner, 1, "{does: wait}", &err));
	CU_ASSERT(runner_run(runner, 1, 1, 1000) && !runner_free(runner, 20));
	atomic_store(&now->gate, true);
	wait_count(&seen, &seen.ended, 1);
	CU_ASSERT(runner_free(runner, 10000));
	buf_free(&seen.results[1]);
}

int main(void)
{
	return unit_run("runner", (const struct unit_test[]){
					  {"a run reports", a_run_reports},
					  {"what is wrong is dropped, secrets are masked",
					   what_is_wrong_is_dropped_and_secrets_are_masked},
					  {"floods are cut", floods_are_cut},
					  {"a start that fails says why", a_start_that_fails_says_why},
					  {"runs stand side by side", runs_stand_side_by_side},
					  {"a hundred at once", a_hundred_at_once},
					  {"names are resolved", names_are_resolved},
					  {"the margin", the_margin},
					  {"a late step is reported", a_late_step_is_reported},
					  {"threads are given back", threads_are_given_back},
					  {"what never ends is left", what_never_ends_is_left},
					  {0}});
}
