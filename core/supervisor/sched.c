/* SPDX-License-Identifier: Apache-2.0 */
/* sched: owns the checks (the schedule's part of each component), their timers and the pool. Called by the
 * daemon, the loop's timers and the pool's callbacks, on the loop's thread. A run goes from due through
 * admission to its result, or past its deadline and then its grace. Free permits are given out by a timer and
 * never from within a callback: a worker's death ends many runs, and all must have ended before one begins.
 */
#include "sched_admission.h"
#include "timeouts.h"
#include "sched.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MAX 100

enum check_state {                /* what a check waits for */
		   CHECK_IDLE,    /* its time */
		   CHECK_BLOCKED, /* its component: its time has come, and it could not run */
		   CHECK_QUEUED,  /* admission */
		   CHECK_RUNNING, /* its result, within its timeout; holds a permit */
		   CHECK_OVERDUE, /* its result, past the timeout, which was published */
};

/* The schedule's part of a component; it owns the spec. */
struct check {
	struct sched *sched;
	struct component_spec *spec;
	struct board_item *item;
	struct component *component; /* NULL when it is not configured, or its plugin cannot be used */
	enum check_state state;
	struct timer due, deadline, stale; /* deadline: of the run; once it is overdue, of its grace */
	struct permit permit;
	int64_t run_began_ms;
	char step[STEP_MAX]; /* of the run, as its worker last reported it */
	bool series_cut;     /* the last result had more series than allowed, and that was logged */
};

struct sched {
	struct loop *loop;
	struct board *board;
	struct pool *pool;
	struct admission *admission;
	struct timer admit;
	uint32_t series_max;
	sched_lag *lag;
	void *lag_arg;
	sched_recall *recall; /* for the first sched_apply; then NULL */
	void *recall_arg;
	struct check **checks; /* in config order */
	size_t count, next_old;
};

int64_t sched_next_due(const char *name, int64_t interval_ms, int64_t now_ms)
{
	uint64_t hash = hash_add(HASH_START, name, strlen(name));
	/* a last mix: names often differ in the last digit alone */
	hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
	hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53u;
	int64_t offset = (int64_t)((hash ^ hash >> 33) % (uint64_t)interval_ms);
	/* Thousands of checks share wake-ups: those of a two-hundredth of the interval are due together. */
	int64_t grain_ms = interval_ms / 200 > 100 ? 100 : interval_ms / 200;
	offset -= grain_ms > 1 ? offset % grain_ms : 0;
	return now_ms + interval_ms - (now_ms - offset + interval_ms) % interval_ms;
}

/* ---- Publishing ---- */

/* Logs once that a limit is on a number which the check does not report. */
static void report_unmeasured(struct check *check, const struct skymon_result *result)
{
	const struct component_spec *spec = check->spec;
	for (size_t i = 0; i < spec->limit_count; i++) {
		struct verdict_limit *limit = &spec->limits[i];
		double value;
		if (verdict_limit_value(limit, result, &value))
			limit->reported_unmeasured = false;
		if (limit->reported_unmeasured || !verdict_limit_unmeasured(limit, result))
			continue;
		limit->reported_unmeasured = true;
		log_line(LOG_LEVEL_WARN, (const char *[]){"component", spec->name, NULL},
			 "its limit %s of %s watches nothing: the check does not report that number",
			 limit->text, limit->name);
	}
}

static void publish(struct check *check, struct result *result, bool counted)
{
	struct sched *sched = check->sched;
	const struct component_spec *spec = check->spec;
	verdict_apply_limits(spec->limits, spec->limit_count, result);
	report_unmeasured(check, &result->view);
	board_publish(sched->board, check->item, result, counted);
	loop_set_timer(sched->loop, &check->stale,
		       loop_now_ms(sched->loop) +
			       verdict_stale_after_ms(spec->interval_ms, spec->timeout_ms));
}

static void publish_timeout(struct check *check, bool counted)
{
	int64_t out_ms = loop_now_ms(check->sched->loop) - check->run_began_ms;
	publish(check,
		result_new(SKYMON_UNHEALTHY, SKYMON_TIMEOUT, wall_clock_ms(), out_ms * 1000,
			   "no answer within %lld ms%s%s",
			   (long long)(counted ? check->spec->timeout_ms : out_ms),
			   check->step[0] != '\0' ? " while " : "", check->step),
		counted);
}

/* A component whose worker was killed because it hung goes on timing out, until a run returns. counted: a run
 * ended with it. */
static void publish_failure(struct check *check, const struct pool_failure *failure, bool counted)
{
	if (failure->hung)
		publish_timeout(check, counted);
	else
		publish(check,
			result_new(SKYMON_UNKNOWN, failure->reason, wall_clock_ms(), -1, "%s", failure->text),
			counted);
}

static void publish_unusable(struct check *check)
{
	publish(check,
		result_new(SKYMON_UNKNOWN, SKYMON_OTHER, wall_clock_ms(), -1, "%s", check->spec->unusable),
		false);
}

/* ---- Runs ---- */

static void begin_run(struct check *check, int64_t now_ms)
{
	check->state = CHECK_RUNNING;
	check->step[0] = '\0';
	check->run_began_ms = now_ms;
	loop_set_timer(check->sched->loop, &check->deadline, now_ms + check->spec->timeout_ms);
	pool_run(check->component, check->spec->timeout_ms);
}

/* Leaves the permit, or the queue for one, to others. */
static void release(struct check *check)
{
	struct sched *sched = check->sched;
	admission_release(sched->admission, &check->permit);
	loop_set_timer(sched->loop, &sched->admit, loop_now_ms(sched->loop));
}

/* From any state to one that waits for no run. */
static void end_run(struct check *check, enum check_state state)
{
	check->state = state;
	loop_clear_timer(check->sched->loop, &check->deadline);
	release(check);
}

static void admit(struct sched *sched, int64_t now_ms)
{
	struct permit *permit;
	while ((permit = admission_next(sched->admission)) != NULL) {
		struct check *check = container_of(permit, struct check, permit);
		if (pool_is_up(check->component)) {
			begin_run(check, now_ms);
		} else { /* its worker died while it waited */
			check->state = CHECK_BLOCKED;
			admission_release(sched->admission, permit);
		}
	}
}

static void on_admit(struct timer *timer, int64_t now_ms)
{
	admit(container_of(timer, struct sched, admit), now_ms);
}

static void request_run(struct check *check)
{
	struct sched *sched = check->sched;
	check->state = CHECK_QUEUED;
	admission_request(sched->admission, &check->permit);
	admit(sched, loop_now_ms(sched->loop));
}

static void on_due(struct timer *timer, int64_t now_ms)
{
	struct check *check = container_of(timer, struct check, due);
	struct sched *sched = check->sched;
	int64_t late_ms = now_ms - timer->due_ms;
	int64_t next_ms = sched_next_due(check->spec->name, check->spec->interval_ms, now_ms);
	loop_set_timer(sched->loop, &check->due, next_ms);
	board_set_next_check(sched->board, check->item, wall_clock_ms() + next_ms - now_ms);
	if (check->state == CHECK_RUNNING)
		return;
	/* A check that cannot run repeats why, so that an honest status does not turn stale. */
	if (check->state == CHECK_OVERDUE) {
		publish_timeout(check, false);
	} else if (check->component == NULL) {
		publish_unusable(check);
	} else if (pool_is_up(check->component)) {
		sched->lag(sched->lag_arg, (double)late_ms / 1000);
		request_run(check);
	} else {
		const struct pool_failure *failure = pool_failure(check->component);
		end_run(check, CHECK_BLOCKED);
		if (failure->text[0] != '\0')
			publish_failure(check, failure, false);
	}
}

/* From the beginning of a run to the death of its worker, when it has not returned. */
static int64_t grace_ms(const struct component_spec *spec)
{
	int64_t grace = GRACE_TIMEOUTS * spec->timeout_ms;
	return grace > GRACE_MIN_MS ? grace : GRACE_MIN_MS;
}

static void on_deadline(struct timer *timer, int64_t now_ms)
{
	struct check *check = container_of(timer, struct check, deadline);
	if (check->state == CHECK_OVERDUE) {
		char text[256];
		snprintf(text, sizeof(text), "ended: the check did not return within %lld ms%s%s",
			 (long long)(now_ms - check->run_began_ms), check->step[0] != '\0' ? " while " : "",
			 check->step);
		pool_kill(check->component, text);
		return;
	}
	check->state = CHECK_OVERDUE;
	release(check);
	publish_timeout(check, true);
	loop_set_timer(check->sched->loop, timer, check->run_began_ms + grace_ms(check->spec));
}

static void on_stale(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct check *check = container_of(timer, struct check, stale);
	board_set_stale(check->sched->board, check->item, wall_clock_ms());
}

/* ---- Reports of the pool ---- */

static void sched_on_able(struct check *check)
{
	if (check->state == CHECK_BLOCKED)
		request_run(check);
}

static void sched_on_unable(struct check *check, const struct pool_failure *failure)
{
	bool counted = check->state == CHECK_RUNNING; /* an overdue run was counted as a timeout */
	end_run(check, CHECK_BLOCKED);
	publish_failure(check, failure, counted);
}

static void sched_on_cut_off(struct check *check)
{
	end_run(check, CHECK_BLOCKED);
}

/* limits.series: one line when a component begins to report more. */
static void limit_series(struct check *check, struct result *result)
{
	uint32_t most = check->sched->series_max;
	result_limit_series(result, most);
	if (result->dropped > 0 && !check->series_cut)
		log_line(LOG_LEVEL_WARN, (const char *[]){"component", check->spec->name, NULL},
			 "reports more series than limits.series (%u) allows: %u of them are dropped, of "
			 "metric %s "
			 "first; a label with too many values?",
			 most, result->dropped, result->dropped_name);
	check->series_cut = result->dropped > 0;
}

static void sched_on_result(struct check *check, struct result *result)
{
	bool late = check->state == CHECK_OVERDUE;
	end_run(check, CHECK_IDLE);
	if (late) {
		result_unref(result);
		return;
	}
	limit_series(check, result);
	publish(check, result, true);
}

static void sched_on_step(struct check *check, const char *text)
{
	snprintf(check->step, sizeof(check->step), "%s", text);
}

static const struct pool_callbacks callbacks = {
	.able = sched_on_able,
	.unable = sched_on_unable,
	.cut_off = sched_on_cut_off,
	.result = sched_on_result,
	.step = sched_on_step,
};

/* ---- Components ---- */

static struct board_traits traits_of(const struct component_spec *spec)
{
	return (struct board_traits){
		.name = spec->name,
		.plugin = spec->plugin,
		.labels = spec->labels,
		.group = spec->group,
		.parents = (const char *const *)spec->parents,
		.parent_count = spec->parent_count,
		.impact = spec->impact,
		.unknown_is_unhealthy = spec->unknown_is_unhealthy,
		.rise = spec->rise,
		.fall = spec->fall,
		.interval_ms = spec->interval_ms,
		.timeout_ms = spec->timeout_ms,
		.not_configured = option_not_configured(spec->values),
		.limits = spec->limits,
		.limit_count = spec->limit_count,
	};
}

static struct check *new_check(struct sched *sched, struct component_spec *spec, struct board_item *item)
{
	struct check *check = x_alloc(sizeof(*check));
	char *address = admission_address(spec->target);
	const char *why;
	const struct plugin_info *info = pool_info(sched->pool, spec->plugin, &why);
	bool on_loop = info != NULL && info->on_loop; /* its runs take no threads, so any number may be out */
	*check = (struct check){
		.sched = sched,
		.spec = spec,
		.item = item,
		.due.fire = on_due,
		.deadline.fire = on_deadline,
		.stale.fire = on_stale,
	};
	admission_enter(sched->admission, &check->permit, on_loop ? NULL : spec->plugin, address);
	free(address);
	return check;
}

static void clear_timers(struct check *check)
{
	loop_clear_timer(check->sched->loop, &check->due);
	loop_clear_timer(check->sched->loop, &check->deadline);
	loop_clear_timer(check->sched->loop, &check->stale);
}

/* Not its spec. */
static void free_check(struct check *check)
{
	clear_timers(check);
	admission_leave(check->sched->admission, &check->permit);
	free(check);
}

static void schedule(struct check *check, bool isolated, int64_t due_ms)
{
	struct sched *sched = check->sched;
	if (option_not_configured(check->spec->values) != NULL)
		return;
	loop_set_timer(sched->loop, &check->due, due_ms);
	board_set_next_check(sched->board, check->item, wall_clock_ms() + due_ms - loop_now_ms(sched->loop));
	if (check->spec->unusable != NULL)
		publish_unusable(check);
	else
		check->component = pool_add(sched->pool, check->spec, isolated, check);
}

/* Takes a check off the schedule. The pool frees the component once nothing of it runs any more. */
static void dismiss(struct check *check)
{
	struct sched *sched = check->sched;
	int64_t now_ms = loop_now_ms(sched->loop);
	if (check->component != NULL)
		pool_remove(check->component, check->spec,
			    check->run_began_ms + grace_ms(check->spec) - now_ms);
	else
		component_spec_free(check->spec);
	free_check(check);
	loop_set_timer(sched->loop, &sched->admit, now_ms); /* its permit may be another's now */
}

/* The same component on the board, started again in its worker. */
static struct check *replace(struct check *old, struct component_spec *spec, int64_t due_ms)
{
	struct sched *sched = old->sched;
	struct board_traits traits = traits_of(spec);
	struct check *check = new_check(sched, spec, old->item);
	bool isolated = old->component != NULL && pool_is_isolated(old->component);
	board_item_configure(sched->board, check->item, &traits, true, wall_clock_ms());
	/* Its status stays until the first result, and is as old as before. */
	if (old->stale.slot != 0 && option_not_configured(spec->values) == NULL)
		loop_set_timer(sched->loop, &check->stale, old->stale.due_ms);
	dismiss(old);
	schedule(check, isolated, due_ms);
	return check;
}

/* Interval, thresholds, impact and their like: the component keeps running. */
static void adjust(struct check *check, struct component_spec *spec)
{
	struct sched *sched = check->sched;
	struct board_traits traits = traits_of(spec);
	struct component_spec *old = check->spec;
	int64_t now_ms = loop_now_ms(sched->loop);
	check->spec = spec;
	board_item_configure(sched->board, check->item, &traits, false, wall_clock_ms());
	if (check->component != NULL)
		pool_adjust(check->component, spec);
	component_spec_free(old);
	if (check->due.slot != 0 && check->due.due_ms > now_ms + spec->interval_ms)
		loop_set_timer(sched->loop, &check->due,
			       sched_next_due(spec->name, spec->interval_ms, now_ms));
}

/* Continues what was kept over a restart; a status that is too old is dropped. */
static void inherit(struct check *check)
{
	struct sched *sched = check->sched;
	const struct component_spec *spec = check->spec;
	struct board_record record;
	if (sched->recall == NULL || spec->unusable != NULL || option_not_configured(spec->values) != NULL ||
	    !sched->recall(sched->recall_arg, spec, &record))
		return;
	int64_t age_ms = wall_clock_ms() - record.looked_ms;
	int64_t left_ms = verdict_stale_after_ms(spec->interval_ms, spec->timeout_ms) - age_ms;
	bool believed = record.looked_ms != 0 && record.reason != SKYMON_STALE && age_ms >= 0 && left_ms > 0;
	board_item_restore(check->item, &record, believed);
	if (believed)
		loop_set_timer(sched->loop, &check->stale, loop_now_ms(sched->loop) + left_ms);
}

/* Begins behind the last one that was found: most reloads keep the order, and components may be thousands. */
static struct check *take_old(struct sched *sched, const char *name)
{
	for (size_t tried = 0; tried < sched->count; tried++) {
		size_t i = (sched->next_old + tried) % sched->count;
		struct check *check = sched->checks[i];
		if (check == NULL || strcmp(check->spec->name, name) != 0)
			continue;
		sched->checks[i] = NULL;
		sched->next_old = i + 1;
		return check;
	}
	return NULL;
}

static struct check *apply(struct sched *sched, struct component_spec *spec, int64_t due_ms)
{
	struct check *old = take_old(sched, spec->name);
	if (old != NULL && component_same_options(old->spec, spec)) {
		adjust(old, spec);
		return old;
	}
	if (old != NULL)
		return replace(old, spec, due_ms);
	struct board_traits traits = traits_of(spec);
	struct check *check = new_check(sched, spec, board_item_new(&traits));
	inherit(check);
	schedule(check, false, due_ms);
	return check;
}

void sched_apply(struct sched *sched, struct component_spec *const *specs, size_t count)
{
	struct check **checks = x_alloc((count + 1) * sizeof(*checks));
	struct board_item **items = x_alloc((count + 1) * sizeof(*items));
	int64_t now_ms = loop_now_ms(sched->loop);
	for (size_t i = 0; i < count; i++) {
		int64_t spread =
			specs[i]->interval_ms < FIRST_CHECKS_MS ? specs[i]->interval_ms : FIRST_CHECKS_MS;
		checks[i] = apply(sched, specs[i], now_ms + spread * (int64_t)i / (int64_t)count);
		items[i] = checks[i]->item;
	}
	board_set_items(sched->board, items, count);
	free(items);
	for (size_t i = 0; i < sched->count; i++) {
		if (sched->checks[i] == NULL)
			continue;
		struct board_item *item = sched->checks[i]->item;
		dismiss(sched->checks[i]);
		board_item_free(item);
	}
	free(sched->checks);
	sched->checks = checks;
	sched->count = count;
	sched->recall = NULL;
}

void sched_set_recall(struct sched *sched, sched_recall *recall, void *arg)
{
	sched->recall = recall;
	sched->recall_arg = arg;
}

void sched_each(struct sched *sched, sched_visit *visit, void *arg)
{
	for (size_t i = 0; i < sched->count; i++)
		visit(arg, sched->checks[i]->spec, board_item_view(sched->checks[i]->item));
}

struct sched *sched_new(struct loop *loop, struct board *board, const char *worker_program, sched_lag *lag,
			void *arg)
{
	struct sched *sched = x_alloc(sizeof(*sched));
	sched->loop = loop;
	sched->board = board;
	sched->lag = lag;
	sched->lag_arg = arg;
	sched->admission = admission_new();
	sched->admit.fire = on_admit;
	sched->pool = pool_new(loop, worker_program, &callbacks);
	return sched;
}

void sched_configure(struct sched *sched, const struct settings *settings)
{
	admission_configure(sched->admission, (uint32_t)settings->limits.checks_at_once,
			    (uint32_t)settings->limits.checks_per_address);
	sched->series_max = (uint32_t)settings->limits.series;
}

struct pool *sched_pool(struct sched *sched)
{
	return sched->pool;
}

void sched_end(struct sched *sched, int64_t timeout_ms, pool_done *done, void *arg)
{
	loop_clear_timer(sched->loop, &sched->admit);
	for (size_t i = 0; i < sched->count; i++) {
		clear_timers(sched->checks[i]);
		sched->checks[i]->component = NULL;
	}
	pool_end(sched->pool, timeout_ms, done, arg);
}

void sched_free(struct sched *sched)
{
	pool_free(sched->pool); /* first: its components use the specs */
	for (size_t i = 0; i < sched->count; i++) {
		board_item_free(sched->checks[i]->item);
		component_spec_free(sched->checks[i]->spec);
		free_check(sched->checks[i]);
	}
	loop_clear_timer(sched->loop, &sched->admit);
	admission_free(sched->admission);
	free(sched->checks);
	free(sched);
}
