/* SPDX-License-Identifier: Apache-2.0 */
/* job_state: what is known of a job, how an event changes it, and what it means. Called by job.c under its lock.
 * Pure: the time is an argument. */
#include <stdio.h>
#include <string.h>

#include "job.h"

void job_state_init(struct job_state *state, struct job_moment now)
{
	*state = (struct job_state){.born = now, .exit_code = -1, .duration = -1};
}

/* A moment of this process is measured by the boot clock, which no correction of the time changes. One that was
 * read from the file may be of an earlier start of the machine: of the same start the wall clock has advanced by
 * less than the machine has been up. */
int64_t job_age_ms(struct job_moment then, struct job_moment now)
{
	int64_t wall = now.wall_ms - then.wall_ms, boot = now.boot_ms - then.boot_ms;
	if (then.here)
		return boot > 0 ? boot : 0;
	if (boot >= 0 && wall < now.boot_ms)
		return boot;
	return wall > 0 ? wall : 0;
}

/* ---- Events ---- */

static void forget_run(struct job_state *state, size_t at)
{
	state->run_count--;
	memmove(&state->runs[at], &state->runs[at + 1], (state->run_count - at) * sizeof(state->runs[0]));
}

static bool find_run(const struct job_state *state, const char *id, size_t *at)
{
	for (*at = 0; *at < state->run_count; ++*at)
		if (strcmp(state->runs[*at].id, id) == 0)
			return true;
	return false;
}

static void copy_id(char to[JOB_ID_SIZE], const char *id)
{
	snprintf(to, JOB_ID_SIZE, "%s", id);
}

/* Keeps one line of printable text. */
static void copy_message(char to[JOB_MESSAGE_SIZE], const char *text, size_t size)
{
	size_t at = 0;
	while (size > 0 && (unsigned char)text[size - 1] <= ' ')
		size--;
	for (size_t i = 0; i < size && at + 1 < JOB_MESSAGE_SIZE; i++)
		to[at++] = (unsigned char)text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i];
	/* do not cut a character of UTF-8 in two */
	while (at + 1 == JOB_MESSAGE_SIZE && at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80 &&
	       ((unsigned char)to[at - 1] & 0x80) != 0)
		at--;
	to[at] = '\0';
}

static void start_run(struct job_state *state, const struct job_event *event, struct job_moment now)
{
	size_t at;
	if (find_run(state, event->id, &at))
		forget_run(state, at);
	if (state->run_count == JOB_RUNS_MAX)
		forget_run(state, 0);
	struct job_run *run = &state->runs[state->run_count++];
	copy_id(run->id, event->id);
	run->started = now;
	state->started++;
}

/* A run that was killed with its wrapper, or whose machine went down, never ends. A later success shows that the
 * job runs again. */
static void forget_dead_runs(struct job_state *state, const struct job_rules *rules, struct job_moment now)
{
	int64_t limit_ms = rules->max_runtime_ms > 0 ? rules->max_runtime_ms : rules->every_ms;
	while (state->run_count > 0 && job_age_ms(state->runs[0].started, now) > limit_ms)
		forget_run(state, 0);
}

void job_apply(struct job_state *state, const struct job_rules *rules, const struct job_event *event,
	       struct job_moment now)
{
	size_t at;
	if (event->kind == JOB_START) {
		start_run(state, event, now);
		return;
	}
	bool known = find_run(state, event->id, &at);
	if (!known && event->id[0] != '\0' && strcmp(event->id, state->last_id) == 0)
		return; /* the client repeats it, because it missed the answer */
	state->duration = event->duration;
	if (known && state->duration < 0)
		state->duration = (double)job_age_ms(state->runs[at].started, now) / 1000;
	if (known)
		forget_run(state, at);
	state->last_failed = event->kind == JOB_FAIL;
	state->exit_code = event->exit_code;
	state->ended = now;
	copy_id(state->last_id, event->id);
	copy_message(state->message, event->message, event->message_size);
	if (state->last_failed) {
		state->failed++;
		return;
	}
	state->succeeded++;
	state->good = now;
	forget_dead_runs(state, rules, now);
}

/* ---- The verdict ---- */

/* "3 days", "2 h 5 min", "40 s" */
static const char *print_time(char text[40], int64_t ms)
{
	long long minutes = ms / 60000;
	if (ms < 120000)
		snprintf(text, 40, "%lld s", (long long)(ms / 1000));
	else if (minutes < 120)
		snprintf(text, 40, "%lld min", minutes);
	else if (minutes < 48 * 60)
		snprintf(text, 40, "%lld h %lld min", minutes / 60, minutes % 60);
	else
		snprintf(text, 40, "%lld days", minutes / (24 * 60));
	return text;
}

static enum skymon_status explain_failure(const struct job_state *state, struct job_moment now,
					  char text[JOB_TEXT_SIZE])
{
	char ago[40], code[40] = "";
	if (state->exit_code >= 0)
		snprintf(code, sizeof(code), " with exit code %d", state->exit_code);
	snprintf(text, JOB_TEXT_SIZE, "the last run failed %s ago%s%s%s",
		 print_time(ago, job_age_ms(state->ended, now)), code, state->message[0] != '\0' ? ": " : "",
		 state->message);
	return SKYMON_UNHEALTHY;
}

enum skymon_status job_evaluate(const struct job_state *state, const struct job_rules *rules,
				struct job_moment now, enum skymon_reason *reason, char text[JOB_TEXT_SIZE])
{
	bool ran = state->good.wall_ms != 0, running = state->run_count > 0;
	int64_t age_ms = job_age_ms(ran ? state->good : state->born, now);
	int64_t runs_ms = running ? job_age_ms(state->runs[0].started, now) : 0;
	bool overtime = rules->max_runtime_ms > 0 && runs_ms > rules->max_runtime_ms;
	char ago[40], limit[40];
	print_time(ago, running && overtime ? runs_ms : age_ms);
	*reason = SKYMON_FAILED;
	if (state->last_failed)
		return explain_failure(state, now, text);
	*reason = SKYMON_TOO_OLD;
	if (overtime) {
		snprintf(text, JOB_TEXT_SIZE, "a run that started %s ago has not ended; max_runtime is %s",
			 ago, print_time(limit, rules->max_runtime_ms));
		return SKYMON_UNHEALTHY;
	}
	/* a run that is within its own limit is not late yet */
	if (age_ms > rules->every_ms + rules->grace_ms && !(running && rules->max_runtime_ms > 0)) {
		snprintf(text, JOB_TEXT_SIZE,
			 ran ? "the last success was %s ago, and one is due each %s"
			     : "no run succeeded in %s, and one is due each %s",
			 ago, print_time(limit, rules->every_ms));
		return SKYMON_UNHEALTHY;
	}
	*reason = ran ? SKYMON_OK : SKYMON_MISSING;
	if (!ran) {
		snprintf(text, JOB_TEXT_SIZE,
			 running ? "the first run has not ended yet" : "it has not run yet");
		return SKYMON_UNKNOWN;
	}
	snprintf(text, JOB_TEXT_SIZE, "the last success was %s ago%s%s%s", ago,
		 running ? "; a run is going on" : "", state->message[0] != '\0' ? ": " : "", state->message);
	return SKYMON_HEALTHY;
}
