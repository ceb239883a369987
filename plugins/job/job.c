/* SPDX-License-Identifier: Apache-2.0 */
/* job: whether a job (a backup, a nightly import) runs when it should. The job itself reports its start and its
 * end by POST /api/v1/jobs/{name}; the check compares what is known with `every`, `grace` and `max_runtime`. The
 * worker calls start, check and stop on the component's thread, and the handler on threads of requests. Owns the
 * state of a job, under a lock; an event is answered once it is stored. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <skymon/routes.h>

#include "job.h"

#define TOKEN_MIN 16  /* bytes; a shorter token can be guessed */
#define BODY_MAX 4096 /* bytes of a message */
#define BURST 10      /* events at once; then one a second */
#define DAY_MS (24.0 * 3600 * 1000)

struct job {
	struct skymon_duration every, grace, max_runtime;
	struct skymon_secret token;
	pthread_mutex_t lock;
	struct job_state known;
	struct job_mark mark; /* of the file that it was read from or written to */
	const char *folder;   /* "" without state_dir */
	double allowance;     /* events that are allowed now */
	int64_t allowed_ms;   /* boot clock */
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct job, every, NULL, "a success is due once in so long", .flags = SKYMON_REQUIRED,
		   .min = 1000, .max = 400 * DAY_MS),
	SKYMON_OPT(struct job, grace, "1h", "how much later than `every` is too old", .min = 0,
		   .max = 400 * DAY_MS),
	SKYMON_OPT(struct job, max_runtime, "0s", "a run that has not ended in so long is too old; 0: any",
		   .min = 0, .max = 400 * DAY_MS),
	SKYMON_OPT(struct job, token, NULL, "the job's own token, which it sends as Authorization: Bearer",
		   .flags = SKYMON_REQUIRED),
	{0}};

static const struct skymon_number numbers[] = {
	{"age", "s", "time since the last success; absent before the first"},
	{"duration", "s", "how long the last run took; absent if it is not known"},
	{"exit_code", "", "of the last run; absent if it was not reported"},
	{"running", "", "runs that have started and not ended"},
	{0}};

/* ---- Time ---- */

static int64_t clock_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct job_moment this_moment(void)
{
	return (struct job_moment){clock_ms(CLOCK_REALTIME), clock_ms(CLOCK_BOOTTIME), true};
}

/* ---- Once per process ---- */

/* Held while an event is taken: after a reload a request may still end in the state of before, and both write the
 * same file. */
struct job_shared {
	pthread_mutex_t lock;
};

static bool load(struct skymon *sm, void *shared)
{
	(void)sm;
	return pthread_mutex_init(&((struct job_shared *)shared)->lock, NULL) == 0;
}

static void unload(struct skymon *sm, void *shared)
{
	(void)sm;
	pthread_mutex_destroy(&((struct job_shared *)shared)->lock);
}

/* ---- Start, stop, check ---- */

static bool start(struct skymon *sm, void *state)
{
	struct job *job = state;
	job->folder = skymon_state_dir(sm);
	if (job->token.size < TOKEN_MIN) {
		(void)skymon_unknown(
			sm,
			"token is shorter than %d bytes: use a longer one, such as from `openssl rand -hex 32`",
			TOKEN_MIN);
		return false;
	}
	enum job_found found =
		job->folder[0] != '\0' ? job_load(job->folder, &job->known, &job->mark) : JOB_NONE;
	if (found == JOB_UNREADABLE) {
		(void)skymon_unknown(sm, "cannot read %s/state: %s", job->folder, strerror(errno));
		return false;
	}
	if (found == JOB_DAMAGED)
		skymon_warn(
			sm,
			"%s/state is damaged, and was put aside as state.bad: what was known of earlier runs is lost",
			job->folder);
	if (found != JOB_FOUND) {
		job_state_init(&job->known, this_moment());
		if (job->folder[0] != '\0' && !job_save(job->folder, &job->known, &job->mark))
			skymon_warn(sm, "cannot write %s/state: %s", job->folder, strerror(errno));
	}
	job->allowance = BURST;
	job->allowed_ms = clock_ms(CLOCK_BOOTTIME);
	return pthread_mutex_init(&job->lock, NULL) == 0;
}

static void stop(struct skymon *sm, void *state)
{
	struct job *job = state;
	(void)sm;
	pthread_mutex_destroy(&job->lock);
}

/* Reads the file again if the state of before a reload has written it. */
static void refresh(struct job *job)
{
	struct job_mark mark;
	struct job_state read;
	if (job->folder[0] == '\0')
		return;
	job_look(job->folder, &mark);
	if (mark.inode == 0 || (mark.inode == job->mark.inode && mark.changed_ns == job->mark.changed_ns))
		return;
	if (job_load(job->folder, &read, &mark) != JOB_FOUND)
		return;
	job->known = read;
	job->mark = mark;
}

static void copy_known(struct job *job, struct job_state *known)
{
	pthread_mutex_lock(&job->lock);
	refresh(job);
	*known = job->known;
	pthread_mutex_unlock(&job->lock);
}

static struct job_rules rules_of(const struct job *job)
{
	return (struct job_rules){job->every.ms, job->grace.ms, job->max_runtime.ms};
}

static void report_numbers(struct skymon *sm, const struct job_state *known, struct job_moment now)
{
	const struct skymon_label good = {"result", "ok"}, bad = {"result", "fail"};
	if (known->good.wall_ms != 0) {
		skymon_number(sm, "age", (double)job_age_ms(known->good, now) / 1000);
		skymon_gauge(sm, "skymon_job_last_success_timestamp_seconds",
			     "When a run of the job last succeeded, as Unix time",
			     (double)known->good.wall_ms / 1000);
	}
	if (known->duration >= 0)
		skymon_number(sm, "duration", known->duration);
	if (known->exit_code >= 0)
		skymon_number(sm, "exit_code", known->exit_code);
	skymon_number(sm, "running", (double)known->run_count);
	skymon_metric(sm, SKYMON_COUNTER, "skymon_job_runs_total", "Runs of the job that ended, by result",
		      (double)known->succeeded, &good, 1);
	skymon_metric(sm, SKYMON_COUNTER, "skymon_job_runs_total", "Runs of the job that ended, by result",
		      (double)known->failed, &bad, 1);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct job *job = state;
	struct job_state known;
	struct job_rules rules = rules_of(job);
	struct job_moment now = this_moment();
	enum skymon_reason reason;
	char text[JOB_TEXT_SIZE];
	copy_known(job, &known);
	report_numbers(sm, &known, now);
	skymon_detail_boolean(sm, "survives_restart", job->folder[0] != '\0');
	if (known.message[0] != '\0')
		skymon_detail(sm, "last_message", "%s", known.message);
	enum skymon_status status = job_evaluate(&known, &rules, now, &reason, text);
	skymon_reason(sm, reason);
	return status == SKYMON_HEALTHY     ? skymon_healthy(sm, "%s", text)
	       : status == SKYMON_UNHEALTHY ? skymon_unhealthy(sm, "%s", text)
					    : skymon_unknown(sm, "%s", text);
}

/* ---- The route ---- */

/* Takes as long wherever the token differs. */
static bool is_token(const struct job *job, const char *given)
{
	size_t size = strlen(given);
	volatile unsigned char differs = size != job->token.size;
	for (size_t i = 0; i < size; i++)
		differs |= (unsigned char)given[i] ^ (unsigned char)job->token.bytes[i % job->token.size];
	return differs == 0;
}

static bool authorize(struct skymon *sm, const struct job *job, struct skymon_request *rq)
{
	const char *given = skymon_header(sm, rq, "Authorization");
	bool bearer = given != NULL && strncasecmp(given, "Bearer ", 7) == 0;
	if (bearer && is_token(job, given + 7 + strspn(given + 7, " ")))
		return true;
	skymon_reply_header(sm, rq, "WWW-Authenticate", "Bearer");
	skymon_problem(
		sm, rq, 401,
		bearer ? "the token is not that of this job"
		       : "this route needs the header \"Authorization: Bearer TOKEN\" with the job's token");
	return false;
}

static bool parse_number(const char *text, double max, double *value)
{
	char *end;
	*value = strtod(text, &end);
	return end != text && *end == '\0' && isfinite(*value) && *value >= 0 && *value <= max;
}

static bool is_id(const char *text)
{
	return strlen(text) < JOB_ID_SIZE &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-")] ==
		       '\0';
}

/* Reads the parameters. Returns what is wrong, or NULL. */
static const char *read_event(struct skymon *sm, struct skymon_request *rq, struct job_event *event)
{
	const char *kind = skymon_query(sm, rq, "event"), *id = skymon_query(sm, rq, "run"),
		   *code = skymon_query(sm, rq, "exit_code"), *duration = skymon_query(sm, rq, "duration");
	double number = -1;
	*event = (struct job_event){
		.kind = JOB_OK, .id = id != NULL ? id : "", .exit_code = -1, .duration = -1};
	if (!is_id(event->id))
		return "run is at most 64 letters, digits and . _ : -";
	if (code != NULL && (!parse_number(code, 255, &number) || number != floor(number)))
		return "exit_code is a whole number from 0 to 255";
	event->exit_code = code != NULL ? (int)number : -1;
	if (duration != NULL && !parse_number(duration, 1e9, &event->duration))
		return "duration is a number of seconds";
	if (kind == NULL)
		event->kind = event->exit_code > 0 ? JOB_FAIL : JOB_OK;
	else if (strcmp(kind, "start") == 0)
		event->kind = JOB_START;
	else if (strcmp(kind, "fail") == 0)
		event->kind = JOB_FAIL;
	else if (strcmp(kind, "ok") != 0)
		return "event is start, ok or fail";
	else if (event->exit_code > 0)
		return "event is ok, and exit_code is not 0";
	event->message = skymon_body(sm, rq, &event->message_size);
	return NULL;
}

/* Each event is written to the disk. */
static bool is_allowed(struct job *job, int64_t now_ms)
{
	job->allowance = fmin(BURST, job->allowance + (double)(now_ms - job->allowed_ms) / 1000);
	job->allowed_ms = now_ms;
	if (job->allowance < 1)
		return false;
	job->allowance--;
	return true;
}

/* Stores the event, then takes it. Returns the code to answer with. */
static int take_event(struct job *job, struct job_shared *shared, const struct job_event *event)
{
	struct job_moment now = this_moment();
	struct job_rules rules = rules_of(job);
	int code = 200;
	pthread_mutex_lock(&shared->lock);
	pthread_mutex_lock(&job->lock);
	refresh(job);
	struct job_state next = job->known;
	job_apply(&next, &rules, event, now);
	if (!is_allowed(job, now.boot_ms))
		code = 429;
	else if (job->folder[0] != '\0' && !job_save(job->folder, &next, &job->mark))
		code = 500;
	if (code == 200)
		job->known = next;
	pthread_mutex_unlock(&job->lock);
	pthread_mutex_unlock(&shared->lock);
	return code;
}

static void handle_event(struct skymon *sm, void *state, struct skymon_request *rq)
{
	struct job *job = state;
	struct job_event event;
	if (!authorize(sm, job, rq))
		return;
	const char *wrong = read_event(sm, rq, &event);
	if (wrong != NULL) {
		skymon_problem(sm, rq, 422, "%s", wrong);
		return;
	}
	if (event.message_size > BODY_MAX) {
		skymon_problem(sm, rq, 413, "a message has at most %d bytes", BODY_MAX);
		return;
	}
	int code = take_event(job, skymon_shared(sm), &event);
	if (code == 200) {
		static const char *const words[] = {"start", "ok", "fail"};
		char body[64];
		int size = snprintf(body, sizeof(body), "{\"event\":\"%s\"}", words[event.kind]);
		skymon_reply(sm, rq, 200, "application/json", body, (size_t)size);
	} else if (code == 429) {
		skymon_reply_header(sm, rq, "Retry-After", "1");
		skymon_problem(sm, rq, 429, "this job reports more than one event a second");
	} else {
		skymon_error(sm, "cannot write %s/state: %s", job->folder, strerror(errno));
		skymon_problem(sm, rq, 500,
			       "the event cannot be stored, and does not count; the log says why");
	}
}

static const struct skymon_route report = {
	.size = sizeof(struct skymon_route),
	.method = "POST",
	.path = "/api/v1/jobs/{name}",
	.name = "jobs",
	.summary = "a job reports its start or its end",
	.handle = handle_event,
	.flags = SKYMON_ROUTE_PRIVATE | SKYMON_ROUTE_ANY_BODY | SKYMON_ROUTE_OPEN | SKYMON_ROUTE_COMPONENT,
};
static const struct skymon_route *const routes[] = {&report, NULL};

SKYMON_PLUGIN(job, "1.0", "Jobs that report their start and end: late, failed, too long",
	      .interval_ms = 10000, .state_size = sizeof(struct job),
	      .shared_size = sizeof(struct job_shared), .load = load, .unload = unload, .options = options,
	      .numbers = numbers, .start = start, .stop = stop, .check = check, .routes = routes);
