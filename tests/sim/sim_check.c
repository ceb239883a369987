/* SPDX-License-Identifier: Apache-2.0 */
/* The model: what each component in force must look like from outside, kept without a look into the core, and
 * the invariants. The linker gives what the schedule publishes on the board to the functions here first
 * (--wrap). */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW = 8 }; /* results that rise and fall wait for */

struct life {
	bool there, unusable, same; /* same: the reload that is applied did not change its options */
	struct want want;
	unsigned generation; /* of its plugin's file */
	uint32_t variable;   /* when its options were bound */
	struct board_item *item;
	/* its status, as its results make it */
	int status, row[ROW];
	size_t row_count;
	bool starting, fresh; /* fresh: the next result gives the status at once */
	uint64_t news, counted, counted_before;
	int64_t news_ms;     /* of sim_useful_ms: the last result */
	int64_t stale_ms;    /* from when it may be called stale */
	int64_t stale_by_ms; /* of sim_useful_ms: when it must be; 0: it is, or has no result */
	/* its last run; open: no result of it was published */
	uint64_t run;
	unsigned run_worker;
	bool open, run_lost;
	int64_t run_ms, run_useful_ms, run_timeout_ms;
	uint32_t variable_started;   /* … when it was started */
	int64_t asked_ms;            /* its secrets may be in memory for some time from then */
	int64_t failed_ms, retry_ms; /* when its start failed, and how long it must wait then */
	unsigned failed_worker;
	uint64_t ask;     /* the last one to the store for its secret */
	int64_t lease_ms; /* of sim_useful_ms: when that secret ends; 0: never */
	/* before a reload */
	uint32_t instance, variable_before;
	unsigned worker;
	struct skymon_component view;
};

static struct life lives[NAMES];
static uint32_t per_plugin, per_address;
static bool dirty, applying;
static uint64_t steps;
static int64_t calm_ms, store_up_ms;

/* ---- The board, from outside ---- */

static int severity(int status)
{
	static const int order[] = {
		[SKYMON_HEALTHY] = 0, [SKYMON_DEGRADED] = 1, [SKYMON_UNKNOWN] = 2, [SKYMON_UNHEALTHY] = 3};
	return order[status];
}

/* As product.md has it: the whole is the worst that its components contribute. */
static int naive_overall(void)
{
	bool unhealthy = false, unknown = false, degraded = false;
	for (int i = 0; i < NAMES; i++) {
		const struct life *life = &lives[i];
		if (!life->there || !life->want.configured || life->want.impact == SKYMON_IMPACT_NONE ||
		    board_item_view(life->item)->maintenance != NULL)
			continue;
		if (life->want.impact == SKYMON_IMPACT_DEGRADED) {
			degraded |= !life->starting && life->status != SKYMON_HEALTHY;
			continue;
		}
		unknown |= life->starting;
		if (life->starting)
			continue;
		bool lost = life->status == SKYMON_UNKNOWN;
		unhealthy |= life->status == SKYMON_UNHEALTHY || (lost && life->want.unknown_is_unhealthy);
		degraded |= life->status == SKYMON_DEGRADED || (lost && !life->want.unknown_is_unhealthy);
	}
	return unhealthy  ? SKYMON_UNHEALTHY
	       : unknown  ? SKYMON_UNKNOWN
	       : degraded ? SKYMON_DEGRADED
			  : SKYMON_HEALTHY;
}

static void compare_item(int name)
{
	const struct life *life = &lives[name];
	const struct skymon_component *view = board_item_view(life->item);
	if (view->status != life->status || view->starting != life->starting ||
	    view->checks_total != life->counted)
		sim_fail("%s is %s after %llu checks; its results make it %s after %llu", sim_names[name],
			 skymon_status_word(view->status), (unsigned long long)view->checks_total,
			 skymon_status_word(life->status), (unsigned long long)life->counted);
}

static void compare_board(void)
{
	int overall = naive_overall();
	if (board_overall(sim.board) != overall)
		sim_fail("the whole is %s; its components make it %s",
			 skymon_status_word(board_overall(sim.board)), skymon_status_word(overall));
	int ready = overall == SKYMON_UNHEALTHY ? SKYMON_OTHER
		    : overall == SKYMON_UNKNOWN ? SKYMON_STARTING
						: SKYMON_OK;
	if (board_ready_reason(sim.board) != ready)
		sim_fail("ready is %d and not %d", board_ready_reason(sim.board), ready);
	if (sim_draw(16) > 0)
		return;
	const struct skymon_snapshot *snapshot = board_snapshot(sim.board);
	size_t count = 0;
	for (int i = 0; i < NAMES; i++)
		if (lives[i].there && (count >= snapshot->count ||
				       strcmp(snapshot->components[count++]->name, sim_names[i]) != 0))
			sim_fail("the board lacks %s, or its order is not the config's", sim_names[i]);
	if (count != snapshot->count || snapshot->status != overall)
		sim_fail("the snapshot has %zu components, the config %zu", snapshot->count, count);
	board_release(sim.board, snapshot);
}

static void give_status(struct life *life, int status)
{
	int now = severity(status), before = severity(life->status);
	life->starting = life->starting && !life->fresh && now != before;
	if (life->fresh || now == before) {
		life->status = status;
		life->row_count = 0;
		life->fresh = false;
		return;
	}
	if (life->row_count > 0 && (severity(life->row[0]) > before) != (now > before))
		life->row_count = 0;
	life->row[life->row_count++ % ROW] = status;
	uint32_t needed = now > before ? life->want.fall : life->want.rise;
	if (life->row_count < needed)
		return;
	for (size_t i = 0; i < life->row_count; i++) /* the best of worse ones, the worst of better ones */
		if (now > before ? severity(life->row[i]) < severity(status)
				 : severity(life->row[i]) > severity(status))
			status = life->row[i];
	life->status = status;
	life->row_count = 0;
	life->starting = false;
}

void __real_board_publish(struct board *board, struct board_item *item, struct result *result, bool counted);
void __wrap_board_publish(struct board *board, struct board_item *item, struct result *result, bool counted);
void __real_board_set_stale(struct board *board, struct board_item *item, int64_t now_ms);
void __wrap_board_set_stale(struct board *board, struct board_item *item, int64_t now_ms);
struct board_item *__real_board_item_new(const struct board_traits *traits);
struct board_item *__wrap_board_item_new(const struct board_traits *traits);
void __real_board_item_free(struct board_item *item);
void __wrap_board_item_free(struct board_item *item);

static int name_of(const struct board_item *item)
{
	int name = 0;
	while (name < NAMES && (!lives[name].there || lives[name].item != item))
		name++;
	if (name == NAMES || item == NULL)
		sim_fail("something is published for a component that is gone");
	if (!lives[name].want.configured)
		sim_fail("something is published for %s, which is not configured", sim_names[name]);
	return name;
}

static void check_result(int name, const struct result *result, bool counted)
{
	struct life *life = &lives[name];
	const struct skymon_result *view = &result->view;
	unsigned long long run;
	unsigned version;
	if (sscanf(view->message, "run %llx of version %u", &run, &version) == 2) {
		if (version != life->want.version)
			sim_fail("%s: a result of version %u is published, which version %u replaced",
				 sim_names[name], version, life->want.version);
		if (run != life->run || !life->open || !counted)
			sim_fail("%s: the result of a run that has ended is published", sim_names[name]);
	} else if (view->reason == SKYMON_NONE || view->reason == SKYMON_OK || view->reason == SKYMON_STALE) {
		sim_fail("%s: a failure without a name is published: %s", sim_names[name], view->message);
	} else if (counted && view->reason == SKYMON_TIMEOUT &&
		   sim.now_ms - life->run_ms < life->run_timeout_ms) {
		sim_fail("%s: a timeout is published before the deadline", sim_names[name]);
	}
	if (counted && !life->open)
		sim_fail("%s: a second result of one run is counted: %s", sim_names[name], view->message);
	sim_check_text(view->message);
}

void __wrap_board_publish(struct board *board, struct board_item *item, struct result *result, bool counted)
{
	int name = name_of(item);
	struct life *life = &lives[name];
	check_result(name, result, counted);
	sim_trace("%s: published %s: %s", sim_names[name], skymon_status_word(result->view.status),
		  result->view.message);
	life->open = life->open && !counted;
	life->news++;
	life->counted += counted;
	life->news_ms = sim_useful_ms();
	life->stale_ms = sim.now_ms + 3 * life->want.interval_ms + life->want.timeout_ms;
	life->stale_by_ms = life->stale_ms - sim.lost_ms;
	give_status(life, result->view.status);
	__real_board_publish(board, item, result, counted);
	compare_item(name);
	dirty = true;
}

void __wrap_board_set_stale(struct board *board, struct board_item *item, int64_t now_ms)
{
	int name = name_of(item);
	struct life *life = &lives[name];
	if (sim.now_ms < life->stale_ms)
		sim_fail("%s is called stale %lld ms too early", sim_names[name],
			 (long long)(life->stale_ms - sim.now_ms));
	sim_trace("%s: stale", sim_names[name]);
	life->status = SKYMON_UNKNOWN;
	life->row_count = 0;
	life->fresh = true;
	life->stale_by_ms = 0;
	__real_board_set_stale(board, item, now_ms);
	compare_item(name);
	dirty = true;
}

struct board_item *__wrap_board_item_new(const struct board_traits *traits)
{
	struct board_item *item = __real_board_item_new(traits);
	int name = 0;
	while (strcmp(sim_names[name], traits->name) != 0)
		name++;
	lives[name].item = item;
	return item;
}

void __wrap_board_item_free(struct board_item *item)
{
	for (int i = 0; i < NAMES; i++)
		if (lives[i].item == item) {
			if (lives[i].there && !sim.stopping)
				sim_fail("%s, which is in force, is taken off the board", sim_names[i]);
			lives[i].item = NULL;
		}
	__real_board_item_free(item);
}

void model_changed(void *arg, const struct skymon_component *now, int from)
{
	(void)arg;
	(void)from;
	if (now->status == SKYMON_HEALTHY && now->reason != SKYMON_OK)
		sim_fail("%s is healthy, and says %s", now->name, now->message);
}

/* ---- Runs, starts, secrets: called by sim_worker.c ---- */

const struct want *model_want(int name)
{
	return lives[name].there ? &lives[name].want : NULL;
}

/* After a start that failed the next one waits for 1 s doubling to 30 s, unless the store has come up
 * meanwhile. */
static void check_retry(const struct life *life, int name, unsigned worker)
{
	bool store_came = life->want.store && store_up_ms >= life->failed_ms;
	if (life->failed_ms != 0 && life->failed_worker == worker && !store_came &&
	    sim.now_ms - life->failed_ms < life->retry_ms)
		sim_fail("%s is started again %lld ms after it failed, and not after %lld ms",
			 sim_names[name], (long long)(sim.now_ms - life->failed_ms),
			 (long long)life->retry_ms);
}

void model_start(int name, unsigned version, unsigned generation, const uint32_t secrets[2], unsigned worker)
{
	struct life *life = &lives[name];
	life->variable_started = secrets[0];
	if (!life->there || !life->want.configured || life->unusable)
		sim_fail("%s is started, and is not in force", sim_names[name]);
	if (version != life->want.version || generation != life->generation)
		sim_fail("%s is started with version %u of code %u, not %u of %u", sim_names[name], version,
			 generation, life->want.version, life->generation);
	if ((secrets[0] != 0) != life->want.env || (secrets[1] != 0) != life->want.store)
		sim_fail("%s is started without its secrets, or with one that it does not ask for",
			 sim_names[name]);
	check_retry(life, name, worker);
	unsigned number;
	if (worker_instance(name, &number) != 0)
		sim_fail("%s is started while it runs in worker %u", sim_names[name], number);
}

/* A run that died with a neighbour's worker is made up for as soon as the limits allow it. */
void model_started(int name, bool ok, unsigned worker)
{
	struct life *life = &lives[name];
	if (!ok) {
		life->failed_ms = sim.now_ms;
		life->failed_worker = worker;
		life->retry_ms = life->retry_ms == 0 ? 1000 : 2 * life->retry_ms;
		life->retry_ms = life->retry_ms > 30000 ? 30000 : life->retry_ms;
		return;
	}
	life->failed_ms = life->retry_ms = 0;
	if (name == STORE)
		store_up_ms = sim.now_ms;
	if (life->there && life->open && life->run_lost && workers_out(life->want.plugin, -1) < per_plugin &&
	    workers_out(-1, life->want.host) < per_address)
		sim_fail("%s is up again, and the run that it lost is not made up for", sim_names[name]);
}

uint64_t model_news(int name)
{
	return lives[name].news;
}

void model_run(int name, uint64_t run, unsigned worker)
{
	struct life *life = &lives[name];
	if (!life->there)
		sim_fail("%s is run, and is not in force", sim_names[name]);
	if (life->open && !life->run_lost)
		sim_fail("%s is run again, and nothing was published of its last run", sim_names[name]);
	if (workers_out(life->want.plugin, -1) >= per_plugin)
		sim_fail("%s is run beside %u checks of its plugin, the limit", sim_names[name], per_plugin);
	if (workers_out(-1, life->want.host) >= per_address)
		sim_fail("%s is run beside %u checks of its address, the limit", sim_names[name],
			 per_address);
	life->run = run;
	life->run_worker = worker;
	life->open = true;
	life->run_lost = false;
	life->run_ms = sim.now_ms;
	life->run_useful_ms = sim_useful_ms();
	life->run_timeout_ms = life->want.timeout_ms;
}

bool model_holds_permit(int name, uint64_t run)
{
	return lives[name].there && lives[name].run == run && lives[name].open && !lives[name].run_lost;
}

/* Of a component that stays, when its secrets have changed: never with a run out. */
void model_stop(int name, unsigned version, bool running)
{
	const struct life *life = &lives[name];
	if (life->there && life->want.version == version && running && !applying && life->same)
		sim_fail("%s is stopped while it runs", sim_names[name]);
}

void model_worker_ended(unsigned number)
{
	for (int i = 0; i < NAMES; i++)
		if (lives[i].run_worker == number)
			lives[i].run_lost = true;
}

void model_asked(int name, uint64_t number)
{
	lives[name].asked_ms = sim.now_ms;
	lives[name].ask = number;
	lives[name].lease_ms = 0;
}

/* An answer that comes too late is not used. */
void model_answered(int name, uint64_t number, int64_t lease_ms)
{
	struct life *life = &lives[name];
	if (life->ask != number)
		return;
	life->ask = 0;
	if (lease_ms > 0 && sim.now_ms - life->asked_ms < 10000)
		life->lease_ms = sim_useful_ms() + lease_ms;
}

void model_secret_held(int name)
{
	const struct life *life = &lives[name];
	if (!life->there)
		sim_fail("a secret of %s is held, which is gone", sim_names[name]);
	if (life->asked_ms == 0 || sim.now_ms - life->asked_ms > 11000 + 300 + sim.lost_ms)
		sim_fail("a secret of %s is held, which waits for none", sim_names[name]);
}

/* ---- Reloads ---- */

static bool same_options(const struct life *life, const struct want *want, unsigned generation,
			 uint32_t variable)
{
	const struct want *old = &life->want;
	return life->there && !life->unusable && old->plugin == want->plugin &&
	       old->version == want->version && old->host == want->host &&
	       old->configured == want->configured && old->env == want->env && old->store == want->store &&
	       old->file == want->file && old->own == want->own && life->generation == generation &&
	       (!want->env || !want->configured || life->variable == variable);
}

static void forget_status(struct life *life)
{
	life->status = SKYMON_UNKNOWN;
	life->starting = life->want.configured;
	life->fresh = true;
	life->row_count = 0;
}

void model_apply(const struct plan *plan)
{
	const struct want *wants = plan->wants;
	per_plugin = plan->per_plugin;
	per_address = plan->per_address;
	applying = true;
	for (int i = 0; i < NAMES; i++) {
		struct life *life = &lives[i];
		unsigned generation = plan->generations[wants[i].plugin];
		bool was_there = life->there, was_configured = life->want.configured || life->unusable;
		if (was_there)
			life->view = *board_item_view(life->item);
		life->instance = worker_instance(i, &life->worker);
		life->variable_before = life->variable_started;
		life->same = wants[i].there && !plan->unusable[i] &&
			     same_options(life, &wants[i], generation, plan->variables[i]);
		if (!was_there)
			*life = (struct life){.item = NULL, .news_ms = sim_useful_ms()};
		life->there = wants[i].there;
		life->want = wants[i];
		if (plan->unusable[i])
			life->want.configured = true; /* nothing of it is bound, its target neither */
		life->unusable = plan->unusable[i];
		life->generation = generation;
		life->variable = plan->variables[i];
		if (!life->there || life->same)
			continue;
		if (!was_there || !was_configured || !life->want.configured) {
			forget_status(life);
			life->stale_ms = life->stale_by_ms = 0;
		} /* else the status that stays turns stale when it would have without the reload */
		life->fresh = true;
		life->row_count = 0;
		life->run = 0;
		life->open = false;
		life->news_ms = sim_useful_ms();
		life->asked_ms = life->lease_ms = 0;
		life->failed_ms = life->retry_ms = 0;
	}
	dirty = true;
}

void model_applied(void)
{
	applying = false;
	sim_search_memory();
	for (int i = 0; i < NAMES; i++) {
		struct life *life = &lives[i];
		if (!life->there)
			continue;
		compare_item(i);
		if (!life->same)
			continue;
		unsigned worker;
		uint32_t instance = worker_instance(i, &worker);
		const struct skymon_component *now = board_item_view(life->item);
		/* one whose variable has changed since is started with its new value */
		if ((instance != life->instance || worker != life->worker) &&
		    life->variable_started == life->variable_before)
			sim_fail("%s, which the reload did not change, was in worker %u and is in %u",
				 sim_names[i], life->worker, worker);
		if (now->status != life->view.status || now->reason != life->view.reason ||
		    now->checks_total != life->view.checks_total || now->since_ms != life->view.since_ms ||
		    now->consecutive_failures != life->view.consecutive_failures)
			sim_fail("the reload changed %s from %s (%s), %llu checks to %s (%s), %llu",
				 sim_names[i], skymon_status_word(life->view.status),
				 skymon_reason_word(life->view.reason),
				 (unsigned long long)life->view.checks_total, skymon_status_word(now->status),
				 skymon_reason_word(now->reason), (unsigned long long)now->checks_total);
	}
}

/* ---- After each step ---- */

static void check_time(int name)
{
	const struct life *life = &lives[name];
	int64_t now_ms = sim_useful_ms(), run_ms = now_ms - life->run_useful_ms;
	if (!life->there || !life->want.configured)
		return;
	if (life->open && !life->run_lost && run_ms > life->run_timeout_ms + 10)
		sim_fail("%s: %lld ms after its run began nothing is published of it", sim_names[name],
			 (long long)run_ms);
	if (life->stale_by_ms != 0 && now_ms > life->stale_by_ms + 10)
		sim_fail("%s is not called stale", sim_names[name]);
	int64_t most_ms = life->unusable ? life->want.interval_ms + 1000
					 : 2 * life->want.interval_ms + life->want.timeout_ms + 120000;
	if (now_ms - life->news_ms > most_ms)
		sim_fail("%s: nothing was published for %lld ms, its interval is %lld ms", sim_names[name],
			 (long long)(now_ms - life->news_ms), (long long)life->want.interval_ms);
}

void model_check_step(void)
{
	silences_pass();
	for (int i = 0; i < NAMES; i++)
		if (lives[i].there && silences_check(i, board_item_view(lives[i].item)->maintenance != NULL))
			dirty = true;
	if (dirty)
		compare_board();
	dirty = false;
	for (int i = 0; i < NAMES && !sim.stopping; i++)
		check_time(i);
	if (++steps % 32 == 0)
		sim_search_memory();
}

void model_begin(void)
{
	memset(lives, 0, sizeof(lives));
	dirty = applying = false;
	steps = 0;
	store_up_ms = 0;
}

/* ---- A part without faults ---- */

void model_new_calm(void)
{
	calm_ms = sim.now_ms;
	for (int i = 0; i < NAMES; i++)
		lives[i].counted_before = lives[i].counted;
}

/* All that was hung has been ended by now: each component is healthy, and was checked once in each interval.
 */
void model_check_calm(void)
{
	int64_t calm = sim.now_ms - calm_ms;
	if (workers_idle() > 0)
		sim_fail("%zu workers have no component", workers_idle());
	for (int i = 0; i < NAMES; i++) {
		const struct life *life = &lives[i];
		if (!life->there || !life->want.configured)
			continue;
		int64_t checks = (int64_t)(life->counted - life->counted_before),
			least = calm / life->want.interval_ms - 1;
		unsigned worker;
		if (life->unusable || life->status != SKYMON_HEALTHY || worker_instance(i, &worker) == 0)
			sim_fail("%s is %s long after the last fault", sim_names[i],
				 skymon_status_word(life->status));
		if (life->want.store && life->lease_ms != 0 && sim_useful_ms() - life->lease_ms > 60000)
			sim_fail("the secret of %s has ended, and is not read again", sim_names[i]);
		if (checks < least || checks > least + 4)
			sim_fail("%s was checked %lld times in %lld ms, its interval is %lld ms",
				 sim_names[i], (long long)checks, (long long)calm,
				 (long long)life->want.interval_ms);
	}
}
