/* SPDX-License-Identifier: Apache-2.0 */
/* job: ages over clock jumps and restarts of the machine, events, verdicts, and the file's text. */
#include <string.h>

#include "job.h"
#include "unit.h"

#define H 3600000ll

static const struct job_rules rules = {24 * H, H, 2 * H};

static void ages(void)
{
	static const struct {
		const char *what;
		struct job_moment then, now;
		int64_t age;
	} rows[] = {
		{"of this process", {1000 * H, 5 * H, true}, {1003 * H, 8 * H, true}, 3 * H},
		{"the clock was set forward a year", {1000 * H, 5 * H, true}, {9760 * H, 8 * H, true}, 3 * H},
		{"the clock was set back a year", {10000 * H, 5 * H, true}, {1240 * H, 8 * H, true}, 3 * H},
		{"read, same start of the machine", {1000 * H, 5 * H, false}, {1003 * H, 8 * H, true}, 3 * H},
		{"read, and the clock was set back", {1000 * H, 5 * H, false}, {900 * H, 8 * H, true}, 3 * H},
		{"read, after a restart of the machine",
		 {1000 * H, 500 * H, false},
		 {1030 * H, H, true},
		 30 * H},
		{"read, the machine is up longer now",
		 {1000 * H, 5 * H, false},
		 {1030 * H, 20 * H, true},
		 30 * H},
		{"read, restarted and the clock is behind",
		 {1000 * H, 500 * H, false},
		 {900 * H, H, true},
		 0},
		{"the boot clock seems to go back", {1000 * H, 5 * H, true}, {1000 * H, 4 * H, true}, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT(job_age_ms(rows[i].then, rows[i].now) == rows[i].age);
}

static struct job_moment at(int64_t hours)
{
	return (struct job_moment){(1000 + hours) * H, (10 + hours) * H, true};
}

static void apply(struct job_state *state, int64_t hours, enum job_kind kind, const char *id, int code)
{
	const struct job_event event = {.kind = kind,
					.id = id,
					.exit_code = code,
					.duration = -1,
					.message = "m\nn",
					.message_size = 3};
	job_apply(state, &rules, &event, at(hours));
}

static enum skymon_reason reason_of(const struct job_state *state, int64_t hours, enum skymon_status expected)
{
	enum skymon_reason reason;
	char text[JOB_TEXT_SIZE];
	CU_ASSERT(job_evaluate(state, &rules, at(hours), &reason, text) == expected);
	CU_ASSERT(text[0] != '\0');
	return reason;
}

static void a_life(void)
{
	struct job_state state;
	job_state_init(&state, at(0));
	CU_ASSERT(reason_of(&state, 25, SKYMON_UNKNOWN) == SKYMON_MISSING);
	CU_ASSERT(reason_of(&state, 26, SKYMON_UNHEALTHY) == SKYMON_TOO_OLD);
	apply(&state, 26, JOB_START, "a", -1);
	CU_ASSERT(reason_of(&state, 28, SKYMON_UNKNOWN) ==
		  SKYMON_MISSING); /* late, but it runs within its limit */
	CU_ASSERT(reason_of(&state, 29, SKYMON_UNHEALTHY) == SKYMON_TOO_OLD);
	apply(&state, 29, JOB_OK, "a", 0);
	CU_ASSERT(state.duration == 3 * 3600 && state.run_count == 0 && state.exit_code == 0);
	UNIT_TEXT(state.message, "m n");
	CU_ASSERT(reason_of(&state, 29 + 25, SKYMON_HEALTHY) == SKYMON_OK);
	CU_ASSERT(reason_of(&state, 29 + 26, SKYMON_UNHEALTHY) == SKYMON_TOO_OLD);
	apply(&state, 30, JOB_START, "b", -1); /* its wrapper is killed: it never ends */
	apply(&state, 31, JOB_START, "c", -1);
	apply(&state, 32, JOB_FAIL, "c", 2);
	apply(&state, 32, JOB_FAIL, "c", 2); /* repeated */
	CU_ASSERT(state.failed == 1 && state.run_count == 1);
	CU_ASSERT(reason_of(&state, 33, SKYMON_UNHEALTHY) == SKYMON_FAILED);
	apply(&state, 34, JOB_START, "d", -1);
	apply(&state, 35, JOB_OK, "d", 0);
	CU_ASSERT(state.run_count == 0); /* b is over its limit, and a later run succeeded */
	CU_ASSERT(reason_of(&state, 35, SKYMON_HEALTHY) == SKYMON_OK);
}

static void many_runs(void)
{
	struct job_state state, read;
	char id[4] = "r0", text[JOB_FILE_MAX];
	job_state_init(&state, at(0));
	for (int i = 0; i < 2 * JOB_RUNS_MAX; i++) {
		id[1] = (char)('A' + i);
		apply(&state, 1, JOB_START, id, -1);
	}
	CU_ASSERT(state.run_count == JOB_RUNS_MAX);
	UNIT_TEXT(state.runs[JOB_RUNS_MAX - 1].id, id);
	apply(&state, 1, JOB_START, id, -1);
	CU_ASSERT(state.run_count == JOB_RUNS_MAX);
	size_t size = job_print(&state, text);
	CU_ASSERT(size == strlen(text) && size < JOB_FILE_MAX - 1);
	CU_ASSERT(job_parse(text, &read) && read.run_count == JOB_RUNS_MAX && read.started == state.started);
}

/* Each cut of the text is refused, as is each that is longer. */
static void the_file(void)
{
	struct job_state state, read;
	char text[JOB_FILE_MAX], cut[JOB_FILE_MAX + 8], again[JOB_FILE_MAX];
	job_state_init(&state, at(0));
	apply(&state, 1, JOB_START, "a", -1);
	apply(&state, 2, JOB_START, "", -1);
	apply(&state, 3, JOB_FAIL, "a", 9);
	memset(state.message, 'x', sizeof(state.message) - 1);
	size_t size = job_print(&state, text);
	CU_ASSERT(job_parse(text, &read));
	job_print(&read, again);
	UNIT_TEXT(again, text);
	for (size_t i = 0; i < size; i++) {
		memcpy(cut, text, i);
		cut[i] = '\0';
		CU_ASSERT(!job_parse(cut, &read));
	}
	snprintf(cut, sizeof(cut), "%smore\n", text);
	CU_ASSERT(!job_parse(cut, &read));
	CU_ASSERT(!job_parse("skymon-job 2\n", &read));
}

int main(void)
{
	return unit_run("job", (const struct unit_test[]){{"ages", ages},
							  {"a life", a_life},
							  {"many runs", many_runs},
							  {"the file", the_file},
							  {0}});
}
