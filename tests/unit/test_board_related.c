/* SPDX-License-Identifier: Apache-2.0 */
/* board: what components are to each other: groups, causes, and maintenance. */
#include "board_fixture.h"

/* A group is the worst of what its components contribute, as the whole is; a component without one is in none. */
static void groups(void)
{
	struct board_traits all[3] = {traits("a"), traits("b"), traits("c")};
	struct fixture f;
	set_up(&f, NULL);
	const struct skymon_snapshot *now = board_snapshot(f.board);
	CU_ASSERT_EQUAL(now->group_count, 0);
	UNIT_TEXT(now->components[0]->group, "");
	board_release(f.board, now);
	all[0].group = all[2].group = "one";
	all[1].group = "two";
	for (size_t i = 0; i < 3; i++)
		board_item_configure(f.board, f.items[i], &all[i], false, 1);
	board_set_items(f.board, f.items, 3);
	publish(&f, 0, SKYMON_DEGRADED, 2, "slow");
	publish(&f, 1, SKYMON_UNHEALTHY, 2, "refused");
	now = board_snapshot(f.board);
	CU_ASSERT_EQUAL_FATAL(now->group_count, 2);
	UNIT_TEXT(now->groups[0]->name, "one");
	UNIT_TEXT(now->groups[1]->name, "two");
	CU_ASSERT(now->groups[0]->status == SKYMON_UNKNOWN &&
		  now->groups[0]->ready_reason == SKYMON_STARTING);
	CU_ASSERT(now->groups[1]->status == SKYMON_UNHEALTHY && now->groups[1]->ready_reason == SKYMON_OTHER);
	CU_ASSERT_EQUAL(now->status, SKYMON_UNHEALTHY);
	publish(&f, 2, SKYMON_HEALTHY, 3, "fine");
	const struct skymon_snapshot *next = board_snapshot(f.board);
	CU_ASSERT(next->groups[0]->status == SKYMON_DEGRADED && next->groups[0]->ready_reason == SKYMON_OK);
	CU_ASSERT_EQUAL(now->groups[0]->status, SKYMON_UNKNOWN);
	board_release(f.board, next);
	board_item_free(f.items[1]);
	f.items[1] = NULL;
	next = board_snapshot(f.board);
	CU_ASSERT_EQUAL(next->group_count, 1);
	board_release(f.board, next);
	tear_down(&f);
	UNIT_TEXT(now->groups[1]->name, "two"); /* as long as the snapshot */
	board_release(NULL, now);
}

/* because_of along depends_on: d on c, c on b and a, b on a. It names the root; never a healthy, starting or
 * unconfigured component; and it changes no status. */
static void causes(void)
{
	static const char *const on_a[] = {"a"}, *const on_b_a[] = {"b", "a"},
				 *const on_c[] = {"missing", "c"};
	struct board_traits all[4] = {traits("d"), traits("c"), traits("b"), traits("a")};
	struct board_item *items[4];
	struct board *board = board_new(NULL, NULL);
	all[0].parents = on_c;
	all[0].parent_count = 2;
	all[1].parents = on_b_a;
	all[1].parent_count = 2;
	all[2].parents = on_a;
	all[2].parent_count = 1;
	for (size_t i = 0; i < 4; i++)
		items[i] = board_item_new(&all[i]);
	board_set_items(board, items, 4);
	static const struct {
		size_t item;
		int status;
		const char *causes[4]; /* of d, c, b, a */
	} rows[] = {
		{3, SKYMON_UNHEALTHY, {"", "", "", ""}}, /* the others are starting */
		{0, SKYMON_UNHEALTHY, {"a", "", "", ""}},   {1, SKYMON_DEGRADED, {"a", "a", "", ""}},
		{2, SKYMON_UNHEALTHY, {"a", "a", "a", ""}}, {3, SKYMON_DEGRADED, {"b", "b", "", ""}},
		{2, SKYMON_HEALTHY, {"", "", "", ""}},      {1, SKYMON_UNHEALTHY, {"c", "", "", ""}},
		{3, SKYMON_UNHEALTHY, {"a", "a", "", ""}}, /* through b, which is healthy */
		{0, SKYMON_UNKNOWN, {"a", "a", "", ""}},    {0, SKYMON_HEALTHY, {"", "a", "", ""}},
		{0, SKYMON_UNHEALTHY, {"a", "a", "", ""}},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		board_publish(board, items[rows[i].item],
			      result_new((enum skymon_status)rows[i].status, SKYMON_OTHER, 1000 + (int64_t)i,
					 10, "x"),
			      true);
		for (size_t n = 0; n < 4; n++)
			UNIT_TEXT(board_item_view(items[n])->because_of, rows[i].causes[n]);
	}
	CU_ASSERT_EQUAL(board_item_view(items[0])->status, SKYMON_UNHEALTHY);
	/* a reload in which d depends on nothing, and a is not configured */
	const struct skymon_snapshot *before = board_snapshot(board);
	all[0].parent_count = 0;
	all[3].not_configured = "set X";
	for (size_t i = 0; i < 4; i++)
		board_item_configure(board, items[i], &all[i], false, 5000);
	board_set_items(board, items, 4);
	for (size_t n = 0; n < 4; n++)
		UNIT_TEXT(board_item_view(items[n])->because_of, "");
	UNIT_TEXT(before->components[0]->because_of, "a");
	/* one that is removed is the cause of none */
	all[3].not_configured = NULL;
	board_item_configure(board, items[3], &all[3], false, 6000);
	board_publish(board, items[3], result_new(SKYMON_UNHEALTHY, SKYMON_OTHER, 6001, 10, "x"), true);
	UNIT_TEXT(board_item_view(items[1])->because_of, "a");
	board_item_free(items[3]);
	UNIT_TEXT(board_item_view(items[1])->because_of, "");
	for (size_t i = 0; i < 3; i++)
		board_item_free(items[i]);
	board_free(board);
	board_release(NULL, before);
}

static bool in_group_or_a(void *arg, const char *name, const char *group, struct skymon_maintenance *out)
{
	*out = (struct skymon_maintenance){
		.why = "disks", .by = "root", .since_ms = 10, .until_ms = *(int64_t *)arg};
	return out->until_ms != 0 && (strcmp(name, "a") == 0 || strcmp(group, "night") == 0);
}

/* A component in maintenance is shown as it is, contributes nothing, to its group too, and stays the cause of others. */
static void maintenance(void)
{
	static const char *const on_a[] = {"a"};
	struct board_traits second = traits("b"), third = traits("c");
	struct fixture f;
	int64_t until_ms = 5000;
	set_up(&f, NULL);
	second.group = "night";
	third.parents = on_a;
	third.parent_count = 1;
	board_item_configure(f.board, f.items[1], &second, false, 1);
	board_item_configure(f.board, f.items[2], &third, false, 1);
	board_set_items(f.board, f.items, 3);
	publish(&f, 0, SKYMON_UNHEALTHY, 2, "refused");
	publish(&f, 1, SKYMON_UNHEALTHY, 2, "refused");
	publish(&f, 2, SKYMON_DEGRADED, 2, "slow");
	const struct skymon_snapshot *before = board_snapshot(f.board);
	CU_ASSERT(before->status == SKYMON_UNHEALTHY && before->components[0]->maintenance == NULL);
	board_set_maintenance(f.board, in_group_or_a, &until_ms);
	const struct skymon_snapshot *now = board_snapshot(f.board);
	CU_ASSERT(now->status == SKYMON_DEGRADED && now->ready_reason == SKYMON_OK);
	CU_ASSERT(now->groups[0]->status == SKYMON_HEALTHY);
	EXPECT_STATUS(now->components[0], "unhealthy", "other", "refused");
	CU_ASSERT_PTR_NOT_NULL_FATAL(now->components[0]->maintenance);
	UNIT_TEXT(now->components[0]->maintenance->why, "disks");
	UNIT_TEXT(now->components[0]->maintenance->by, "root");
	CU_ASSERT(now->components[0]->maintenance->until_ms == 5000 &&
		  now->components[1]->maintenance != NULL && now->components[2]->maintenance == NULL);
	UNIT_TEXT(now->components[2]->because_of, "a");
	uint64_t generation = now->generation;
	board_set_maintenance(f.board, in_group_or_a, &until_ms); /* the same changes nothing */
	const struct skymon_snapshot *same = board_snapshot(f.board);
	CU_ASSERT_EQUAL(same->generation, generation);
	board_release(f.board, same);
	publish(&f, 0, SKYMON_UNHEALTHY, 3, "still");
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_DEGRADED);
	until_ms = 0;
	board_set_maintenance(f.board, in_group_or_a, &until_ms);
	CU_ASSERT_EQUAL(board_overall(f.board), SKYMON_UNHEALTHY);
	CU_ASSERT_PTR_NULL(board_item_view(f.items[0])->maintenance);
	tear_down(&f);
	UNIT_TEXT(now->components[0]->maintenance->why, "disks"); /* as long as the snapshot */
	board_release(NULL, before);
	board_release(NULL, now);
}

int main(void)
{
	return unit_run("board_related", (const struct unit_test[]){{"groups", groups},
								    {"causes", causes},
								    {"maintenance", maintenance},
								    {NULL, NULL}});
}
