/* SPDX-License-Identifier: Apache-2.0 */
/* board: the states of a component (first result, rise and fall, stale, reload), and immutable snapshots. */
#include "board_fixture.h"

static void before_the_first_result(void)
{
	struct board_traits absent = traits("a");
	absent.not_configured = "set VAULT_ADDR, or `address` of the component";
	struct fixture f;
	set_up(&f, &absent);
	const struct skymon_component *v = board_item_view(f.items[1]);
	EXPECT_STATUS(v, "unknown", "starting", "not checked yet");
	CU_ASSERT(v->starting && v->configured && !v->stale);
	CU_ASSERT_PTR_NULL(v->shown);
	CU_ASSERT_PTR_NULL(v->latest);
	CU_ASSERT(v->since_ms == 0 && v->last_success_ms == 0 && v->checks_total == 0);
	CU_ASSERT_EQUAL(v->interval_ms, 30000);
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "unknown", "not_configured", absent.not_configured);
	CU_ASSERT(!v->starting && !v->configured);
	CU_ASSERT_PTR_NULL(v->shown);
	UNIT_TEXT(f.told.text, "");
	tear_down(&f);
}

static void first_results(void)
{
	struct fixture f;
	set_up(&f, NULL);
	publish(&f, 0, SKYMON_HEALTHY, 2000, "fine");
	UNIT_TEXT(f.told.text, "");
	publish(&f, 1, SKYMON_UNKNOWN, 2100, "no idea");
	publish(&f, 2, SKYMON_UNHEALTHY, 2200, "refused");
	UNIT_TEXT(f.told.text, "b:-1->unknown/other c:-1->unhealthy/other ");
	const struct skymon_component *v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "fine");
	CU_ASSERT(!v->starting && v->since_ms == 2000 && v->last_success_ms == 2000);
	CU_ASSERT_PTR_EQUAL(v->shown, v->latest);
	v = board_item_view(f.items[1]);
	CU_ASSERT(!v->starting && v->since_ms == 2100 && v->last_success_ms == 0 &&
		  v->consecutive_failures == 1);
	tear_down(&f);
}

static void counts(void)
{
	struct fixture f;
	set_up(&f, NULL);
	static const struct {
		enum skymon_status status;
		bool counted;
		uint32_t failures;
		uint64_t checks_total, failures_total;
		int64_t last_success_ms;
	} rows[] = {
		{SKYMON_UNKNOWN, false, 0, 0, 0, 0}, /* a failed start does not count as a run */
		{SKYMON_UNHEALTHY, true, 1, 1, 1, 0},  {SKYMON_UNKNOWN, true, 2, 2, 2, 0},
		{SKYMON_DEGRADED, true, 0, 3, 2, 13},  {SKYMON_HEALTHY, true, 0, 4, 2, 14},
		{SKYMON_UNHEALTHY, true, 1, 5, 3, 14},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct result *result =
			result_new(rows[i].status, SKYMON_NONE, (int64_t)(10 + i), 1, "run %zu", i);
		board_publish(f.board, f.items[0], result, rows[i].counted);
		const struct skymon_component *v = board_item_view(f.items[0]);
		CU_ASSERT_EQUAL(v->consecutive_failures, rows[i].failures);
		CU_ASSERT_EQUAL(v->checks_total, rows[i].checks_total);
		CU_ASSERT_EQUAL(v->failures_total, rows[i].failures_total);
		CU_ASSERT_EQUAL(v->last_success_ms, rows[i].last_success_ms);
	}
	tear_down(&f);
}

static void waits_for_fall_and_rise(void)
{
	struct board_traits slow = traits("a");
	slow.rise = 2;
	slow.fall = 3;
	struct fixture f;
	set_up(&f, &slow);
	publish(&f, 0, SKYMON_HEALTHY, 1, "one");
	publish(&f, 0, SKYMON_UNHEALTHY, 2, "two");
	const struct skymon_component *v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "one");
	UNIT_TEXT(v->shown->message, "one");
	UNIT_TEXT(v->latest->message, "two");
	CU_ASSERT(v->consecutive_failures == 1 && v->since_ms == 1);
	publish(&f, 0, SKYMON_HEALTHY, 3, "three"); /* the same status: shown again, `since` unchanged */
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "three");
	CU_ASSERT(v->shown == v->latest && v->since_ms == 1);
	publish(&f, 0, SKYMON_UNHEALTHY, 4, "four");
	publish(&f, 0, SKYMON_DEGRADED, 5, "five");
	publish(&f, 0, SKYMON_UNHEALTHY, 6, "six");
	v = board_item_view(f.items[0]); /* the best of them; the status changes now */
	EXPECT_STATUS(v, "degraded", "other", "five");
	UNIT_TEXT(v->latest->message, "six");
	CU_ASSERT_EQUAL(v->since_ms, 6);
	publish(&f, 0, SKYMON_HEALTHY, 7, "seven");
	publish(&f, 0, SKYMON_HEALTHY, 8, "eight");
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "eight");
	char expected[64];
	snprintf(expected, sizeof(expected), "a:%d->degraded/other a:%d->healthy/ok ", SKYMON_HEALTHY,
		 SKYMON_DEGRADED);
	UNIT_TEXT(f.told.text, expected);
	tear_down(&f);
}

static void grows_stale(void)
{
	struct board_traits slow = traits("a");
	slow.rise = slow.fall = 3;
	struct fixture f;
	set_up(&f, &slow);
	board_set_stale(f.board, f.items[0], 500); /* no result to become stale */
	EXPECT_STATUS(board_item_view(f.items[0]), "unknown", "starting", "not checked yet");
	publish(&f, 0, SKYMON_HEALTHY, 1000, "fine");
	publish(&f, 0, SKYMON_DEGRADED, 2000, "slow");
	board_set_stale(f.board, f.items[0], 98500);
	const struct skymon_component *v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "unknown", "stale", "the last result is 96 s old; it was degraded (slow)");
	CU_ASSERT(v->stale && v->configured && !v->starting && v->since_ms == 98500);
	UNIT_TEXT(v->shown->message, "slow");
	CU_ASSERT_EQUAL(v->shown->time_ms, 2000);
	CU_ASSERT_EQUAL(v->latest->reason, SKYMON_STALE);
	CU_ASSERT(v->latest->family_count == 0 && v->latest->number_count == 0);
	CU_ASSERT(v->checks_total == 2 && v->consecutive_failures == 0 && v->last_success_ms == 2000);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_UNKNOWN); /* b and c still start */
	uint64_t id = v->latest->id;
	board_set_stale(f.board, f.items[0], 200000); /* once */
	v = board_item_view(f.items[0]);
	CU_ASSERT(v->latest->id == id && v->since_ms == 98500);
	publish(&f, 0, SKYMON_HEALTHY, 100000, "fine"); /* at once, independent of `rise` */
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "fine");
	CU_ASSERT(!v->stale && v->since_ms == 100000);
	char expected[64];
	snprintf(expected, sizeof(expected), "a:%d->unknown/stale a:%d->healthy/ok ", SKYMON_HEALTHY,
		 SKYMON_UNKNOWN);
	UNIT_TEXT(f.told.text, expected);
	tear_down(&f);
}

static void reload(void)
{
	struct board_traits now = traits("a");
	now.fall = 5;
	struct fixture f;
	set_up(&f, &now);
	publish(&f, 0, SKYMON_HEALTHY, 1000, "fine");
	now.labels = "team=\"x\"";
	now.interval_ms = 1000;
	board_item_configure(f.board, f.items[0], &now, false, 2000); /* the plugin's options are unchanged */
	const struct skymon_component *v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "healthy", "ok", "fine");
	CU_ASSERT(v->checks_total == 1 && v->since_ms == 1000 && v->interval_ms == 1000);
	UNIT_TEXT(v->labels, "team=\"x\"");
	publish(&f, 0, SKYMON_UNHEALTHY, 3000, "no"); /* fall still holds */
	EXPECT_STATUS(board_item_view(f.items[0]), "healthy", "ok", "fine");
	board_item_configure(f.board, f.items[0], &now, true, 4000);
	v = board_item_view(f.items[0]); /* the last status, until the first new result */
	EXPECT_STATUS(v, "healthy", "ok", "fine");
	CU_ASSERT(!v->starting && v->checks_total == 2);
	publish(&f, 0, SKYMON_UNHEALTHY, 5000, "no");
	EXPECT_STATUS(board_item_view(f.items[0]), "unhealthy", "other", "no");

	now.not_configured = "set X";
	board_item_configure(f.board, f.items[0], &now, true, 6000);
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "unknown", "not_configured", "set X");
	CU_ASSERT(!v->configured && v->shown == NULL && v->latest == NULL && v->since_ms == 6000);
	publish(&f, 0, SKYMON_HEALTHY, 6500, "late");
	EXPECT_STATUS(board_item_view(f.items[0]), "unknown", "not_configured", "set X");
	now.not_configured = NULL;
	board_item_configure(f.board, f.items[0], &now, true, 7000);
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "unknown", "starting", "not checked yet");
	CU_ASSERT(v->starting && v->configured && v->checks_total == 3);
	char expected[96];
	snprintf(expected, sizeof(expected), "a:%d->unhealthy/other a:%d->unknown/not_configured ",
		 SKYMON_HEALTHY, SKYMON_UNHEALTHY);
	UNIT_TEXT(f.told.text, expected);
	tear_down(&f);
}

static void rolls_up(void)
{
	struct board_traits soft = traits("a");
	soft.impact = SKYMON_IMPACT_DEGRADED;
	struct fixture f;
	set_up(&f, &soft);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_UNKNOWN);
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_STARTING);
	publish(&f, 1, SKYMON_HEALTHY, 1, "fine");
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_STARTING);
	publish(&f, 2, SKYMON_UNKNOWN, 1, "crashed"); /* a failure to get a result ends the start too */
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_DEGRADED);
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_OK);
	publish(&f, 2, SKYMON_HEALTHY, 2, "fine");
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_HEALTHY);
	publish(&f, 0, SKYMON_UNHEALTHY, 3, "sealed");
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_DEGRADED);
	publish(&f, 1, SKYMON_UNHEALTHY, 3, "refused");
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_UNHEALTHY);
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_OTHER);
	struct board_traits strict = traits("b");
	strict.unknown_is_unhealthy = true;
	board_item_configure(f.board, f.items[1], &strict, false, 4);
	publish(&f, 1, SKYMON_UNKNOWN, 5, "lost");
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_UNHEALTHY);
	struct board_item *rest[] = {f.items[0], f.items[2]};
	board_set_items(f.board, rest, 2);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_DEGRADED);
	board_set_items(f.board, NULL, 0);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_HEALTHY); /* nothing contributes */
	tear_down(&f);
}

static void snapshots_do_not_change(void)
{
	struct fixture f;
	set_up(&f, NULL);
	publish(&f, 0, SKYMON_HEALTHY, 1, "fine");
	const struct skymon_snapshot *before = board_snapshot(f.board), *again = board_snapshot(f.board);
	CU_ASSERT_PTR_EQUAL(before, again); /* nothing changed */
	CU_ASSERT_EQUAL(before->count, 3);
	publish(&f, 0, SKYMON_UNHEALTHY, 2, "refused");
	const struct skymon_snapshot *after = board_snapshot(f.board);
	CU_ASSERT(after->generation > before->generation);
	EXPECT_STATUS(before->components[0], "healthy", "ok", "fine");
	UNIT_TEXT(before->components[0]->shown->message, "fine");
	EXPECT_STATUS(after->components[0], "unhealthy", "other", "refused");
	CU_ASSERT_PTR_EQUAL(before->components[1],
			    after->components[1]); /* only changed components are re-created */
	CU_ASSERT(before->status == SKYMON_UNKNOWN && after->status == SKYMON_UNHEALTHY);
	CU_ASSERT(before->ready_reason == SKYMON_STARTING && after->ready_reason == SKYMON_OTHER);
	board_set_next_check(f.board, f.items[0], 77);
	board_set_next_check(f.board, f.items[0], 77);
	const struct skymon_snapshot *third = board_snapshot(f.board);
	CU_ASSERT_EQUAL(third->generation, after->generation + 1);
	CU_ASSERT_EQUAL(third->components[0]->next_check_ms, 77);
	board_release(f.board, third);
	board_release(f.board, again);
	board_item_free(f.items[0]);
	f.items[0] = NULL;
	const struct skymon_snapshot *rest = board_snapshot(f.board);
	CU_ASSERT_EQUAL(rest->count, 2);
	UNIT_TEXT(rest->components[0]->name, "b");
	tear_down(&f); /* snapshots outlive the board and its items */
	UNIT_TEXT(rest->components[1]->name, "c");
	EXPECT_STATUS(before->components[0], "healthy", "ok", "fine");
	EXPECT_STATUS(after->components[0], "unhealthy", "other", "refused");
	board_release(NULL, before);
	board_release(NULL, after);
	board_release(NULL, rest);
}

/* While a component is not healthy, a new reason or kind of message is reported once. */
static void kinds_of_failure_are_reported(void)
{
	static const struct {
		enum skymon_status status;
		enum skymon_reason reason;
		const char *message;
		bool told;
	} rows[] = {
		{SKYMON_HEALTHY, SKYMON_OK, "fine in 3 ms", false},
		{SKYMON_HEALTHY, SKYMON_OK, "fine, and a replica", false},
		{SKYMON_UNHEALTHY, SKYMON_REFUSED, "connection refused", true}, /* the status changes */
		{SKYMON_UNHEALTHY, SKYMON_REFUSED, "connection refused", false},
		{SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "no answer within 5000 ms", true},
		{SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "no answer within 30011 ms", false},
		{SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "no answer within 5000 ms while reading", true},
		{SKYMON_UNHEALTHY, SKYMON_REFUSED, "connection refused", false}, /* reported before */
		{SKYMON_UNHEALTHY, SKYMON_OTHER, "connection refused", true},
		{SKYMON_DEGRADED, SKYMON_STANDBY, "a standby, 3 s behind", true}, /* the status changes */
		{SKYMON_DEGRADED, SKYMON_STANDBY, "a standby, 17 s behind", false},
		{SKYMON_DEGRADED, SKYMON_STANDBY, "a standby, and its primary is gone", true},
		{SKYMON_UNHEALTHY, SKYMON_REFUSED, "connection refused",
		 true}, /* the status changes, so all is new */
		{SKYMON_UNHEALTHY, SKYMON_TIMEOUT, "no answer within 5000 ms", true},
		{SKYMON_HEALTHY, SKYMON_OK, "fine", true},
	};
	struct fixture f;
	set_up(&f, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		f.told.text[0] = '\0';
		board_publish(f.board, f.items[0],
			      result_new(rows[i].status, rows[i].reason, 1000 + (int64_t)i, 10, "%s",
					 rows[i].message),
			      true);
		if ((f.told.text[0] != '\0') != rows[i].told)
			fprintf(stderr, "\nrow %zu: %s\n", i, f.told.text);
		CU_ASSERT_EQUAL(f.told.text[0] != '\0', rows[i].told);
	}
	/* a message that always differs does not log a line for each check */
	unsigned lines = 0;
	for (int i = 0; i < 100; i++) {
		f.told.text[0] = '\0';
		char name[4] = {(char)('a' + i % 26), (char)('a' + i / 26), '\0'};
		publish(&f, 1, SKYMON_UNHEALTHY, 5000 + i, name);
		lines += f.told.text[0] != '\0';
	}
	CU_ASSERT_EQUAL(lines, 8);
	/* stale while unknown: another reason */
	publish(&f, 2, SKYMON_UNKNOWN, 6000, "no idea");
	f.told.text[0] = '\0';
	board_set_stale(f.board, f.items[2], 9000);
	UNIT_TEXT(f.told.text, "c:0->unknown/stale ");
	tear_down(&f);
}

/* A restored status counts in the whole until the first result, which goes on from it. */
static void goes_on_after_a_restart(void)
{
	struct fixture f;
	set_up(&f, NULL);
	publish(&f, 1, SKYMON_HEALTHY, 2000, "fine");
	publish(&f, 2, SKYMON_HEALTHY, 2000, "fine");
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_STARTING);
	struct board_record record = {.checks_total = 7,
				      .failures_total = 2,
				      .last_success_ms = 1500,
				      .status = SKYMON_DEGRADED,
				      .reason = SKYMON_THRESHOLD_WARN,
				      .since_ms = 900,
				      .time_ms = 1500,
				      .looked_ms = 1500,
				      .duration_us = 10,
				      .message = "slow",
				      .details = "{\"a\":1}"};
	struct board_traits a = traits("a");
	board_item_free(f.items[0]);
	f.items[0] = board_item_new(&a);
	board_item_restore(f.items[0], &record, true);
	board_set_items(f.board, f.items, 3);
	const struct skymon_component *v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "degraded", "threshold_warn", "slow");
	CU_ASSERT(v->starting && v->since_ms == 900 && v->checks_total == 7 && v->failures_total == 2);
	UNIT_TEXT(v->shown->details, record.details);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_DEGRADED);
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_OK);
	f.told.text[0] = '\0';
	publish(&f, 0, SKYMON_DEGRADED, 3000, "slow");
	v = board_item_view(f.items[0]);
	CU_ASSERT(!v->starting && v->since_ms == 900 && v->checks_total == 8);
	publish(&f, 0, SKYMON_UNHEALTHY, 4000, "down");
	CU_ASSERT_EQUAL(board_item_view(f.items[0])->since_ms, 4000);
	/* the counters alone */
	board_item_free(f.items[0]);
	f.items[0] = board_item_new(&a);
	record.details = "[]";
	board_item_restore(f.items[0], &record, false);
	board_set_items(f.board, f.items, 3);
	v = board_item_view(f.items[0]);
	EXPECT_STATUS(v, "unknown", "starting", "not checked yet");
	CU_ASSERT(v->since_ms == 0 && v->checks_total == 7 && v->last_success_ms == 1500);
	CU_ASSERT_EQUAL(board_ready_reason(f.board), SKYMON_STARTING);
	tear_down(&f);
}

int main(void)
{
	return unit_run("board", (const struct unit_test[]){
					 {"before the first result", before_the_first_result},
					 {"first results", first_results},
					 {"counts", counts},
					 {"waits for fall and rise", waits_for_fall_and_rise},
					 {"grows stale", grows_stale},
					 {"kinds of failure are reported", kinds_of_failure_are_reported},
					 {"reload", reload},
					 {"goes on after a restart", goes_on_after_a_restart},
					 {"rolls up", rolls_up},
					 {"snapshots do not change", snapshots_do_not_change},
					 {NULL, NULL},
				 });
}
