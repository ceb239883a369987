/* SPDX-License-Identifier: Apache-2.0 */
/* A run's life: due -> (admission) -> begun -> ended, or past its deadline and then past its grace. All on
 * the loop's thread: timers and the pool's events. Permits that come free are given out by a timer of their
 * own and never from within an event: a worker's death ends many runs, and none may begin before all are
 * ended. */
#include "sched.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CHECKS_MS 1000 /* all first checks are due within this */
#define GRACE_MIN_MS 30000
#define REFUSED_MIN_MS 5000 /* a refused secret is read again at most once in this time */

struct sched {
	struct loop *loop;
	struct board *board;
	struct pool *pool;
	struct admission *admission;
	struct timer admit;
	uint32_t series_max;
	sched_lag *lag;
	void *lag_arg;
	struct component **components; /* in config order */
	size_t count;
};

int64_t sched_next_due(const char *name, int64_t interval_ms, int64_t now_ms)
{
	uint64_t hash = hash_add(HASH_START, name, strlen(name));
	/* a last mix: names often differ in the last digit alone */
	hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
	hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53u;
	int64_t offset = (int64_t)((hash ^ hash >> 33) % (uint64_t)interval_ms);
	return now_ms + interval_ms - (now_ms - offset + interval_ms) % interval_ms;
}

static int64_t grace_ms(const struct component_spec *spec)
{
	int64_t grace = 3 * spec->timeout_ms;
	return grace > GRACE_MIN_MS ? grace : GRACE_MIN_MS;
}

/* ---- Publishing ---- */

/* A limit on a number that the check does not report watches nothing: in the log, once. */
static void report_unmeasured(struct component *component, const struct skymon_result *result)
{
	const struct component_spec *spec = component->spec;
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

static void publish(struct component *component, struct result *result, bool counted)
{
	struct sched *sched = component->sched;
	const struct component_spec *spec = component->spec;
	verdict_apply_limits(spec->limits, spec->limit_count, result);
	report_unmeasured(component, &result->view);
	board_publish(sched->board, component->item, result, counted);
	loop_set_timer(sched->loop, &component->stale,
		       loop_now_ms(sched->loop) +
			       verdict_stale_after_ms(spec->interval_ms, spec->timeout_ms));
}

static void publish_timeout(struct component *component, bool counted)
{
	int64_t out_ms = loop_now_ms(component->sched->loop) - component->run_began_ms;
	publish(component,
		result_new(SKYMON_UNHEALTHY, SKYMON_TIMEOUT, wall_clock_ms(), out_ms * 1000,
			   "no answer within %lld ms%s%s",
			   (long long)(counted ? component->spec->timeout_ms : out_ms),
			   component->step[0] != '\0' ? " while " : "", component->step),
		counted);
}

/* Why it cannot run. One whose worker was ended because it hung: that it hangs, until a run says otherwise.
 * counted: a run ended with it. */
static void publish_failure(struct component *component, bool counted)
{
	if (component->hangs > 0 && component->failure_reason == SKYMON_KILLED) {
		publish_timeout(component, counted);
		return;
	}
	publish(component,
		result_new(SKYMON_UNKNOWN, component->failure_reason, wall_clock_ms(), -1, "%s",
			   component->failure),
		counted);
}

/* ---- Runs ---- */

static void begin_run(struct component *component, int64_t now_ms)
{
	struct sched *sched = component->sched;
	component->wanted = false;
	component->expired = false;
	component->step[0] = '\0';
	component->run = pool_number();
	component->run_began_ms = now_ms;
	loop_set_timer(sched->loop, &component->deadline, now_ms + component->spec->timeout_ms);
	pool_run(sched->pool, component, component->run, component->spec->timeout_ms);
}

/* It holds nobody back any more. */
static void release(struct component *component)
{
	struct sched *sched = component->sched;
	admission_release(sched->admission, &component->permit);
	loop_set_timer(sched->loop, &sched->admit, loop_now_ms(sched->loop));
}

static void end_run(struct component *component)
{
	component->run = 0;
	component->expired = false;
	loop_clear_timer(component->sched->loop, &component->deadline);
	release(component);
}

/* Begins the runs that may begin. */
static void admit(struct sched *sched, int64_t now_ms)
{
	struct permit *permit;
	while ((permit = admission_next(sched->admission)) != NULL) {
		struct component *component = container_of(permit, struct component, permit);
		if (component->state == COMPONENT_UP && component->run == 0 && !component->gone) {
			begin_run(component, now_ms);
		} else { /* its worker went while it waited */
			admission_release(sched->admission, permit);
			component->wanted = true;
		}
	}
}

static void admit_due(struct timer *timer, int64_t now_ms)
{
	admit(container_of(timer, struct sched, admit), now_ms);
}

static void ask_to_run(struct component *component)
{
	struct sched *sched = component->sched;
	admission_request(sched->admission, &component->permit);
	admit(sched, loop_now_ms(sched->loop));
}

/* A check is due. One that cannot run says so again, so that an honest status does not turn stale for want of
 * news. */
static void fall_due(struct timer *timer, int64_t now_ms)
{
	struct component *component = container_of(timer, struct component, due);
	struct sched *sched = component->sched;
	int64_t late_ms = now_ms - timer->due_ms;
	int64_t next_ms = sched_next_due(component->spec->name, component->spec->interval_ms, now_ms);
	loop_set_timer(sched->loop, &component->due, next_ms);
	board_set_next_check(sched->board, component->item, wall_clock_ms() + next_ms - now_ms);
	if (component->run != 0) {
		if (component->expired)
			publish_timeout(component, false);
	} else if (component->state == COMPONENT_UP) {
		sched->lag(sched->lag_arg, (double)late_ms / 1000);
		ask_to_run(component);
	} else {
		component->wanted = true;
		if (component->failure[0] != '\0')
			publish_failure(component, false);
	}
}

/* The deadline, and later the grace, of the run that is out. */
static void pass_deadline(struct timer *timer, int64_t now_ms)
{
	struct component *component = container_of(timer, struct component, deadline);
	if (component->expired || component->gone) {
		component->hangs++;
		pool_kill(component->sched->pool, component);
		return;
	}
	component->expired = true;
	release(component);
	publish_timeout(component, true);
	loop_set_timer(component->sched->loop, timer,
		       now_ms + grace_ms(component->spec) - component->spec->timeout_ms);
}

static void turn_stale(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	struct component *component = container_of(timer, struct component, stale);
	board_set_stale(component->sched->board, component->item, wall_clock_ms());
}

/* ---- What the pool tells ---- */

static void able(void *arg, struct component *component)
{
	(void)arg;
	component->failure[0] = '\0';
	if (component->wanted && component->run == 0 && !component->gone)
		ask_to_run(component);
}

static void unable(void *arg, struct component *component, enum skymon_reason reason, const char *text)
{
	(void)arg;
	bool ran = component->run != 0 && !component->expired;
	if (!component->expired) /* it did not hang: this is something else */
		component->hangs = 0;
	end_run(component);
	component->refresh = component->refused = false; /* its secrets are read when it is started anew */
	if (component->gone)
		return;
	component->wanted = true;
	component->failure_reason = reason;
	snprintf(component->failure, sizeof(component->failure), "%s", text);
	publish_failure(component, ran);
}

static void cut_off(void *arg, struct component *component)
{
	(void)arg;
	end_run(component);
	component->refresh = component->refused = false;
	component->wanted = true;
}

/* limits.series: one line when a component begins to report more. */
static void limit_series(struct component *component, struct result *result)
{
	uint32_t most = component->sched->series_max;
	result_limit_series(result, most);
	if (result->dropped > 0 && !component->series_cut)
		log_line(LOG_LEVEL_WARN, (const char *[]){"component", component->spec->name, NULL},
			 "reports more series than limits.series (%u) allows: %u of them are dropped, of "
			 "metric %s "
			 "first; a label with too many values?",
			 most, result->dropped, result->dropped_name);
	component->series_cut = result->dropped > 0;
}

static void take_result(void *arg, struct component *component, uint64_t run, struct result *result)
{
	(void)arg;
	if (run == 0 || component->run != run) {
		result_unref(result); /* of a run that a worker invented */
		return;
	}
	if (component->gone) { /* its stop is next, and has a time limit of its own */
		result_unref(result);
		end_run(component);
		return;
	}
	bool late = component->expired;
	component->hangs = 0;
	end_run(component);
	if (late) {
		result_unref(result);
	} else {
		limit_series(component, result);
		if (result->view.reason == SKYMON_AUTH_FAILED && component->blank_secret[0] != '\0')
			result_worsen(
				result, (enum skymon_status)result->view.status, SKYMON_AUTH_FAILED,
				"%s (the secret of `%s` ends with a line break or a blank: is that meant?)",
				result->view.message, component->blank_secret);
		publish(component, result, true);
	}
	bool refresh = component->refresh, fresh = component->refused;
	component->refresh = component->refused = false;
	if (refresh)
		pool_refresh(component->sched->pool, component, fresh);
}

static void take_step(void *arg, struct component *component, uint64_t run, const char *text)
{
	(void)arg;
	if (run != 0 && component->run == run)
		snprintf(component->step, sizeof(component->step), "%s", text);
}

/* Its server refused its secret. When the file or variable holds another one by now, it is started with that,
 * once its run has ended. */
static int64_t refused(void *arg, struct component *component)
{
	struct sched *sched = arg;
	int64_t now_ms = loop_now_ms(sched->loop);
	if (component->refused) /* it will be, when its run has ended */
		return 0;
	if (component->refused_ms != 0 && now_ms - component->refused_ms < REFUSED_MIN_MS)
		return component->refused_ms + REFUSED_MIN_MS - now_ms;
	component->refused_ms = now_ms;
	if (component->run != 0)
		component->refresh = component->refused = true;
	else
		pool_refresh(sched->pool, component, true);
	return 0;
}

static void free_component(struct component *component)
{
	struct loop *loop = component->sched->loop;
	loop_clear_timer(loop, &component->due);
	loop_clear_timer(loop, &component->deadline);
	loop_clear_timer(loop, &component->stale);
	loop_clear_timer(loop, &component->retry);
	loop_clear_timer(loop, &component->lease);
	loop_clear_timer(loop, &component->again);
	admission_leave(component->sched->admission, &component->permit);
	component_spec_free(component->spec);
	free(component);
}

static void left(void *arg, struct component *component)
{
	(void)arg;
	free_component(component);
}

static const struct pool_events pool_events = {
	.able = able,
	.unable = unable,
	.cut_off = cut_off,
	.result = take_result,
	.step = take_step,
	.refused = refused,
	.left = left,
};

/* ---- Components ---- */

static bool is_configured(const struct component_spec *spec)
{
	return option_not_configured(spec->values) == NULL;
}

static struct component *new_component(struct sched *sched, struct component_spec *spec,
				       struct board_item *item)
{
	struct component *component = x_alloc(sizeof(*component));
	component->sched = sched;
	component->spec = spec;
	component->item = item;
	component->due.fire = fall_due;
	component->deadline.fire = pass_deadline;
	component->stale.fire = turn_stale;
	admission_enter(sched->admission, &component->permit, spec->plugin, spec->address);
	return component;
}

static void schedule(struct component *component, int64_t due_ms)
{
	struct sched *sched = component->sched;
	loop_set_timer(sched->loop, &component->due, due_ms);
	board_set_next_check(sched->board, component->item,
			     wall_clock_ms() + due_ms - loop_now_ms(sched->loop));
	if (component->spec->unusable == NULL) {
		pool_add(sched->pool, component);
		return;
	}
	component->failure_reason = SKYMON_OTHER;
	snprintf(component->failure, sizeof(component->failure), "%s", component->spec->unusable);
	publish_failure(component, false);
}

/* Out of the schedule; what is still out of it is waited for, within its grace, and then it is freed. */
static void dismiss(struct component *component)
{
	struct sched *sched = component->sched;
	loop_clear_timer(sched->loop, &component->due);
	loop_clear_timer(sched->loop, &component->stale);
	component->item = NULL;
	release(component); /* what replaces it is not held back by its last run */
	if (component->run != 0 && !component->expired)
		loop_set_timer(sched->loop, &component->deadline,
			       component->run_began_ms + grace_ms(component->spec));
	pool_remove(sched->pool, component);
}

/* The same component on the board, anew in its worker. */
static struct component *replace(struct component *old, struct component_spec *spec, int64_t due_ms)
{
	struct sched *sched = old->sched;
	struct board_traits traits = component_traits(spec);
	struct component *component = new_component(sched, spec, old->item);
	component->isolated = old->isolated;
	board_item_configure(sched->board, component->item, &traits, true, wall_clock_ms());
	dismiss(old);
	if (is_configured(spec))
		schedule(component, due_ms);
	return component;
}

/* Interval, thresholds, impact and their like: it goes on running as it does. */
static void adjust(struct component *component, struct component_spec *spec)
{
	struct sched *sched = component->sched;
	struct board_traits traits = component_traits(spec);
	int64_t now_ms = loop_now_ms(sched->loop);
	component_spec_free(component->spec);
	component->spec = spec;
	board_item_configure(sched->board, component->item, &traits, false, wall_clock_ms());
	/* A secret that was replaced in its store is read now, not when a server refuses the old one. */
	component->refused_ms = 0;
	refused(sched, component);
	component->refused_ms = 0;
	if (component->due.slot != 0 && component->due.due_ms > now_ms + spec->interval_ms)
		loop_set_timer(sched->loop, &component->due,
			       sched_next_due(spec->name, spec->interval_ms, now_ms));
}

static struct component *take_old(struct sched *sched, const char *name)
{
	for (size_t i = 0; i < sched->count; i++) {
		struct component *component = sched->components[i];
		if (component == NULL || strcmp(component->spec->name, name) != 0)
			continue;
		sched->components[i] = NULL;
		return component;
	}
	return NULL;
}

static struct component *apply(struct sched *sched, struct component_spec *spec, int64_t due_ms)
{
	struct component *old = take_old(sched, spec->name);
	if (old != NULL && component_same_options(old->spec, spec)) {
		adjust(old, spec);
		return old;
	}
	if (old != NULL)
		return replace(old, spec, due_ms);
	struct board_traits traits = component_traits(spec);
	struct component *component = new_component(sched, spec, board_item_new(&traits, wall_clock_ms()));
	if (is_configured(spec))
		schedule(component, due_ms);
	return component;
}

void sched_apply(struct sched *sched, struct component_spec *const *specs, size_t count)
{
	struct component **components = x_alloc((count + 1) * sizeof(*components));
	struct board_item **items = x_alloc((count + 1) * sizeof(*items));
	int64_t now_ms = loop_now_ms(sched->loop);
	for (size_t i = 0; i < count; i++) {
		int64_t spread =
			specs[i]->interval_ms < FIRST_CHECKS_MS ? specs[i]->interval_ms : FIRST_CHECKS_MS;
		components[i] = apply(sched, specs[i], now_ms + spread * (int64_t)i / (int64_t)count);
		items[i] = components[i]->item;
	}
	board_set_items(sched->board, items, count);
	free(items);
	for (size_t i = 0; i < sched->count; i++) {
		if (sched->components[i] == NULL)
			continue;
		struct board_item *item = sched->components[i]->item;
		dismiss(sched->components[i]);
		board_item_free(item);
	}
	free(sched->components);
	sched->components = components;
	sched->count = count;
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
	sched->admit.fire = admit_due;
	sched->pool = pool_new(loop, worker_program, &pool_events, sched);
	return sched;
}

void sched_configure(struct sched *sched, const struct settings *settings)
{
	admission_configure(sched->admission, settings->checks_at_once, settings->checks_per_address);
	sched->series_max = settings->series;
}

struct pool *sched_crew(struct sched *sched)
{
	return sched->pool;
}

void sched_end(struct sched *sched, int64_t patience_ms, pool_prepared *done, void *arg)
{
	loop_clear_timer(sched->loop, &sched->admit);
	for (size_t i = 0; i < sched->count; i++) {
		loop_clear_timer(sched->loop, &sched->components[i]->due);
		loop_clear_timer(sched->loop, &sched->components[i]->deadline);
		loop_clear_timer(sched->loop, &sched->components[i]->stale);
		loop_clear_timer(sched->loop, &sched->components[i]->retry);
		loop_clear_timer(sched->loop, &sched->components[i]->again);
	}
	pool_end(sched->pool, patience_ms, done, arg);
}

void sched_free(struct sched *sched)
{
	pool_free(sched->pool); /* first: it lets go of the components */
	for (size_t i = 0; i < sched->count; i++) {
		board_item_free(sched->components[i]->item);
		free_component(sched->components[i]);
	}
	loop_clear_timer(sched->loop, &sched->admit);
	admission_free(sched->admission);
	free(sched->components);
	free(sched);
}
