/* SPDX-License-Identifier: Apache-2.0 */
/* board: applies results to components, rolls them up and makes snapshots. Called by the schedule (results),
 * by routes (snapshots) and by the daemon; owns the items, their views and the snapshots. On the loop's
 * thread. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "board_private.h"

/* ---- Changes ---- */

static void snapshot_unref(struct snapshot *snapshot)
{
	if (snapshot == NULL || --snapshot->references > 0)
		return;
	for (size_t i = 0; i < snapshot->view.count; i++)
		board_view_unref((struct view *)snapshot->components[i]);
	free(snapshot->groups);
	free(snapshot->group_list);
	free(snapshot);
}

static void touch_board(struct board *board)
{
	board->generation++;
	board->overall_known = false;
	snapshot_unref(board->snapshot);
	board->snapshot = NULL;
	if (board->touched != NULL)
		board->touched(board->touched_arg);
}

static void touch(struct board *board, struct board_item *item)
{
	board_drop_view(item);
	if (board == NULL)
		return;
	touch_board(board);
	int seen = item->status * 4 + item->starting * 2 + (item->traits.not_configured == NULL);
	if (board->ordered_count > 0 && item->seen != seen)
		board_find_causes(board);
	item->seen = seen;
}

static void set_status(struct board_item *item, int status, int reason, const char *message)
{
	char *old = item->message;
	item->status = status;
	item->reason = reason;
	item->message = x_strdup(message);
	free(old);
}

static void set_result(struct result **place, struct result *result)
{
	struct result *old = *place;
	*place = result != NULL ? result_ref(result) : NULL;
	result_unref(old);
}

/* Hashes the reason, and the message without its digits: times and counts do not make another kind. */
static uint64_t kind_of(const struct board_item *item)
{
	uint64_t kind = hash_add(HASH_START, &item->reason, sizeof(item->reason));
	for (const char *at = item->message; *at != '\0'; at++)
		if (*at < '0' || *at > '9')
			kind = hash_add(kind, at, 1);
	return kind;
}

/* Is it a kind of message that was not reported since the status changed? */
static bool is_new_kind(struct board_item *item)
{
	uint64_t kind = kind_of(item);
	for (size_t i = 0; i < item->reported_count; i++)
		if (item->reported[i] == kind)
			return false;
	if (item->reported_count == REPORTED_MAX)
		return false;
	item->reported[item->reported_count++] = kind;
	return true;
}

/* from: the status before; -1 for the first. */
static void report(struct board *board, struct board_item *item, int from)
{
	bool turned = from != item->status;
	if (turned)
		item->reported_count = 0;
	bool news = is_new_kind(item) && item->status != SKYMON_HEALTHY;
	if ((turned ? from >= 0 || item->status != SKYMON_HEALTHY : news) && board->changed != NULL)
		board->changed(board->arg, board_item_view(item), from);
}

static void count_run(struct board_item *item, const struct skymon_result *result)
{
	bool good = result->status == SKYMON_HEALTHY || result->status == SKYMON_DEGRADED;
	item->checks_total++;
	if (good) {
		item->consecutive_failures = 0;
		item->last_success_ms = result->time_ms;
	} else {
		item->consecutive_failures++;
		item->failures_total++;
	}
}

void board_publish(struct board *board, struct board_item *item, struct result *result, bool counted)
{
	if (item->traits.not_configured != NULL) { /* a late result, from before a reload */
		result_unref(result);
		return;
	}
	int before = item->status;
	bool first = item->starting && !item->restored;
	if (item->restored)
		item->starting = item->restored = false;
	if (counted)
		count_run(item, &result->view);
	item->series_dropped_total += result->dropped;
	struct result *gives =
		verdict_step(&item->streak, item->status, result, item->traits.rise, item->traits.fall);
	if (gives == NULL && verdict_severity(result->view.status) == verdict_severity(item->status))
		gives = result; /* it agrees with the status, and is newer */
	set_result(&item->latest, result);
	if (gives != NULL) {
		set_result(&item->shown, gives);
		set_status(item, gives->view.status, gives->view.reason, gives->view.message);
		item->stale = item->starting = false;
		if (first || item->status != before)
			item->since_ms = result->view.time_ms;
	}
	result_unref(result);
	touch(board, item);
	if (gives != NULL)
		report(board, item, first ? -1 : before);
}

void board_set_stale(struct board *board, struct board_item *item, int64_t now_ms)
{
	if (item->latest == NULL || item->stale)
		return;
	const struct skymon_result *last = &item->latest->view;
	int before = item->status;
	int64_t age_ms = now_ms > last->time_ms ? now_ms - last->time_ms : 0;
	struct result *result = result_new(
		SKYMON_UNKNOWN, SKYMON_STALE, now_ms, -1, "the last result is %lld s old; it was %s (%s)",
		(long long)(age_ms / 1000), skymon_status_word(last->status), last->message);
	verdict_streak_reset(&item->streak);
	set_result(&item->shown, item->latest);
	set_result(&item->latest, result);
	set_status(item, SKYMON_UNKNOWN, SKYMON_STALE, result->view.message);
	result_unref(result);
	item->stale = true;
	if (before != SKYMON_UNKNOWN)
		item->since_ms = now_ms;
	touch(board, item);
	report(board, item, before);
}

void board_set_next_check(struct board *board, struct board_item *item, int64_t time_ms)
{
	if (item->next_check_ms == time_ms)
		return;
	item->next_check_ms = time_ms;
	bool known = board->overall_known;
	touch(board, item);
	board->overall_known = known; /* no status depends on it */
}

/* ---- Items ---- */

static void free_limits(struct board_item *item)
{
	for (size_t i = 0; i < item->limit_count; i++) {
		free(item->limits[i].name);
		free(item->limits[i].text);
	}
	free(item->limits);
}

static void set_traits(struct board_item *item, const struct board_traits *traits)
{
	char *texts[ITEM_TEXTS] = {x_strdup(traits->name), x_strdup(traits->plugin), x_strdup(traits->labels),
				   x_strdup(traits->not_configured), x_strdup(traits->group)};
	for (size_t i = 0; i < ITEM_TEXTS; i++)
		free(item->texts[i]);
	memcpy(item->texts, texts, sizeof(texts));
	item->traits = *traits;
	item->traits.name = texts[0];
	item->traits.plugin = texts[1];
	item->traits.labels = texts[2];
	item->traits.not_configured = texts[3];
	item->traits.group = texts[4];
	free_limits(item);
	item->limits = x_alloc((traits->limit_count + 1) * sizeof(*item->limits));
	for (size_t i = 0; i < traits->limit_count; i++) {
		item->limits[i] = traits->limits[i];
		item->limits[i].name = x_strdup(traits->limits[i].name);
		item->limits[i].text = x_strdup(traits->limits[i].text);
		item->limits[i].unit = NULL;
	}
	item->limit_count = traits->limit_count;
	item->traits.limits = NULL; /* the caller's */
	board_free_parents(item);
	board_copy_parents(item, traits);
}

/* Forgets results and status, but not the counters. */
static void forget(struct board_item *item)
{
	verdict_streak_reset(&item->streak);
	set_result(&item->shown, NULL);
	set_result(&item->latest, NULL);
	item->stale = item->restored = false;
	item->since_ms = 0;
	item->starting = item->traits.not_configured == NULL;
	if (item->starting)
		set_status(item, SKYMON_UNKNOWN, SKYMON_STARTING, "not checked yet");
	else
		set_status(item, SKYMON_UNKNOWN, SKYMON_NOT_CONFIGURED, item->traits.not_configured);
}

struct board_item *board_item_new(const struct board_traits *traits)
{
	struct board_item *item = x_alloc(sizeof(*item));
	set_traits(item, traits);
	forget(item);
	return item;
}

void board_item_restore(struct board_item *item, const struct board_record *record, bool believed)
{
	item->checks_total = record->checks_total;
	item->failures_total = record->failures_total;
	item->series_dropped_total = record->series_dropped_total;
	item->consecutive_failures = record->consecutive_failures;
	item->last_success_ms = record->last_success_ms;
	if (!believed)
		return;
	struct result *result =
		result_new((enum skymon_status)record->status, (enum skymon_reason)record->reason,
			   record->time_ms, record->duration_us, "%s", record->message);
	result_set_details(result, record->details);
	set_result(&item->shown, result);
	set_result(&item->latest, result);
	result_unref(result);
	set_status(item, record->status, record->reason, record->message);
	item->since_ms = record->since_ms;
	item->streak.first_seen = true; /* rise and fall count from this status */
	item->restored = true;
}

void board_item_configure(struct board *board, struct board_item *item, const struct board_traits *traits,
			  bool restarted, int64_t now_ms)
{
	bool was_configured = item->traits.not_configured == NULL;
	bool is_configured = traits->not_configured == NULL;
	int before = item->status;
	set_traits(item, traits);
	if (is_configured != was_configured)
		forget(item);
	else if (!is_configured) /* since when stays; the sentence may be another */
		set_status(item, SKYMON_UNKNOWN, SKYMON_NOT_CONFIGURED, traits->not_configured);
	else if (restarted)
		verdict_streak_reset(&item->streak);
	bool turned = item->status != before;
	if (turned)
		item->since_ms = now_ms;
	touch(board, item);
	if (turned)
		report(board, item, before);
}

void board_item_free(struct board_item *item)
{
	if (item == NULL)
		return;
	struct board *board = item->board;
	if (board != NULL) {
		size_t kept = 0;
		for (size_t i = 0; i < board->count; i++)
			if (board->items[i] != item)
				board->items[kept++] = board->items[i];
		board->count = kept;
		board_relate(board);
		touch_board(board);
	}
	forget(item);
	board_view_unref(item->view);
	for (size_t i = 0; i < ITEM_TEXTS; i++)
		free(item->texts[i]);
	free_limits(item);
	board_free_parents(item);
	(void)board_copy_maintenance(item, &(struct skymon_maintenance){0});
	free(item->message);
	free(item);
}

/* ---- The board ---- */

struct board *board_new(board_changed *changed, void *arg)
{
	struct board *board = x_alloc(sizeof(*board));
	board->changed = changed;
	board->arg = arg;
	board->generation = 1;
	return board;
}

void board_set_touched(struct board *board, void (*touched)(void *arg), void *arg)
{
	board->touched = touched;
	board->touched_arg = arg;
}

void board_free(struct board *board)
{
	if (board == NULL)
		return;
	board_set_items(board, NULL, 0);
	snapshot_unref(board->snapshot);
	free(board->items);
	free(board->ordered);
	free(board);
}

void board_set_items(struct board *board, struct board_item *const *items, size_t count)
{
	struct board_item **copy = x_alloc((count + 1) * sizeof(struct board_item *));
	for (size_t i = 0; i < board->count; i++)
		board->items[i]->board = NULL;
	for (size_t i = 0; i < count; i++) {
		copy[i] = items[i];
		copy[i]->board = board;
	}
	free(board->items);
	board->items = copy;
	board->count = count;
	board_relate(board);
	touch_board(board);
}

int board_overall(struct board *board)
{
	if (board->overall_known)
		return board->overall;
	board->overall = SKYMON_HEALTHY;
	for (size_t i = 0; i < board->count; i++) {
		int status = board_contribution(board->items[i]);
		if (verdict_severity(status) > verdict_severity(board->overall))
			board->overall = status;
	}
	board->overall_known = true;
	return board->overall;
}

int board_ready_reason(struct board *board)
{
	return board_reason_of(board_overall(board));
}

void board_set_maintenance(struct board *board, board_silenced *find, void *arg)
{
	for (size_t i = 0; i < board->count; i++) {
		struct board_item *item = board->items[i];
		struct skymon_maintenance now = {0};
		if (find(arg, item->traits.name, item->traits.group != NULL ? item->traits.group : "", &now))
			now.size = sizeof(now);
		if (board_copy_maintenance(item, &now))
			touch(board, item);
	}
}

const struct skymon_snapshot *board_snapshot(struct board *board)
{
	struct snapshot *snapshot = board->snapshot;
	if (snapshot == NULL) {
		snapshot = x_alloc(sizeof(*snapshot) + board->count * sizeof(snapshot->components[0]));
		for (size_t i = 0; i < board->count; i++) {
			snapshot->components[i] = board_item_view(board->items[i]);
			board->items[i]->view->references++;
		}
		snapshot->view = (struct skymon_snapshot){
			.size = sizeof(snapshot->view),
			.status = board_overall(board),
			.ready_reason = board_ready_reason(board),
			.generation = board->generation,
			.components = snapshot->components,
			.count = board->count,
		};
		board_roll_groups(board, snapshot);
		snapshot->references = 1; /* the board's own */
		board->snapshot = snapshot;
	}
	snapshot->references++;
	return &snapshot->view;
}

void board_release(struct board *board, const struct skymon_snapshot *snapshot)
{
	(void)board;
	snapshot_unref((struct snapshot *)snapshot);
}
