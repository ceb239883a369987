/* SPDX-License-Identifier: Apache-2.0 */
/* verdict: each rule on values in "Meaning of a status", as rows of tables. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "board/verdict.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { U = SKYMON_UNKNOWN, H = SKYMON_HEALTHY, D = SKYMON_DEGRADED, B = SKYMON_UNHEALTHY }; /* B for bad */

/* ---- Thresholds ---- */

static void limits_parse(void)
{
	static const struct {
		const char *text, *unit;
		bool ok;
		enum verdict_side side;
		double low, high;
	} rows[] = {
		{"200ms", "s", true, VERDICT_ABOVE, 0, 0.2},
		{" 80%", "ratio", true, VERDICT_ABOVE, 0, 0.8},
		{"12", "", true, VERDICT_ABOVE, 0, 12},
		{"<10%", "ratio", true, VERDICT_BELOW, 0.1, 0},
		{"< 10%", "ratio", true, VERDICT_BELOW, 0.1, 0},
		{"1..5", "", true, VERDICT_OUTSIDE, 1, 5},
		{"100ms .. 2s", "s", true, VERDICT_OUTSIDE, 0.1, 2},
		{"5..5", "", true, VERDICT_OUTSIDE, 5, 5},
		{"5..1", "", false, 0, 0, 0},
		{">5", "", false, 0, 0, 0},
		{"", "", false, 0, 0, 0},
		{"<", "", false, 0, 0, 0},
		{"..5", "", false, 0, 0, 0},
		{"1..", "", false, 0, 0, 0},
		{"1..2..3", "", false, 0, 0, 0},
		{"much", "s", false, 0, 0, 0},
		/* limits that no value of the number, or every value, exceeds */
		{"<10", "ratio", false, 0, 0, 0},
		{"80", "ratio", false, 0, 0, 0},
		{"120%", "ratio", false, 0, 0, 0},
		{"<-1%", "ratio", false, 0, 0, 0},
		{"0.1..5", "ratio", false, 0, 0, 0},
		{"-5", "s", false, 0, 0, 0},
		{"<-1", "bytes", false, 0, 0, 0},
		{"-1..5", "%", false, 0, 0, 0},
		{"100%", "ratio", true, VERDICT_ABOVE, 0, 1},
		{"<0", "ratio", true, VERDICT_BELOW, 0, 0},
		{"250", "%", true, VERDICT_ABOVE, 0, 250},
		{"-5..5", "", true, VERDICT_OUTSIDE, -5, 5},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict_limit limit = {0};
		struct err err = {""};
		bool ok = verdict_limit_parse(rows[i].text, rows[i].unit, &limit, &err);
		if (ok != rows[i].ok)
			fprintf(stderr, "\nlimit '%s': %s\n", rows[i].text, err.text);
		CU_ASSERT_EQUAL(ok, rows[i].ok);
		CU_ASSERT_EQUAL(err.text[0] == '\0', ok);
		if (!ok || !rows[i].ok)
			continue;
		CU_ASSERT_EQUAL(limit.side, rows[i].side);
		CU_ASSERT_DOUBLE_EQUAL(limit.low, rows[i].low, 1e-12);
		CU_ASSERT_DOUBLE_EQUAL(limit.high, rows[i].high, 1e-12);
	}
}

/* Builds a result with numbers as a worker does: results exist only in the wire's form. */
static struct result *result_with(int status, int64_t duration_us, const char *name, double value)
{
	struct result_builder *builder = result_builder_new();
	struct buf body = {0};
	if (name != NULL)
		(void)result_set_number(builder, name, value, NULL);
	result_encode(builder, (enum skymon_status)status, duration_us, &body);
	result_builder_free(builder);
	struct wire_reader reader = wire_reader(body.data, body.size);
	struct err err;
	struct result *result = result_decode(body.data, reader, 1000, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	return result;
}

struct limit_row {
	const char *name, *unit, *text;
	bool critical;
};

static void apply(const struct limit_row *rows, size_t count, struct result *result)
{
	struct verdict_limit limits[4] = {0};
	struct err err;
	for (size_t i = 0; i < count; i++) {
		CU_ASSERT_FATAL(verdict_limit_parse(rows[i].text, rows[i].unit, &limits[i], &err));
		limits[i].name = (char *)rows[i].name;
		limits[i].unit = (char *)rows[i].unit;
		limits[i].text = (char *)rows[i].text;
		limits[i].critical = rows[i].critical;
	}
	verdict_apply_limits(limits, count, result);
}

static void limits_apply(void)
{
	const struct limit_row warn = {"used", "ratio", "80%", false}, crit = {"used", "ratio", "95%", true};
	const struct limit_row below = {"used", "ratio", "<10%", false};
	const struct limit_row outside = {"used", "ratio", "20%..80%", true};
	static const char *const warned = "used is 85 %, above the limit of 80%";
	const struct {
		struct limit_row first, second;
		int before;
		double value;
		int after, reason;
		const char *message; /* NULL if the result's own stays */
	} rows[] = {
		{warn, crit, H, 0.5, H, SKYMON_OK, NULL},
		{warn, crit, H, 0.8, H, SKYMON_OK, NULL}, /* a limit itself does not exceed it */
		{warn, crit, H, 0.85, D, SKYMON_THRESHOLD_WARN, warned},
		{crit, warn, H, 0.85, D, SKYMON_THRESHOLD_WARN, warned},
		{warn, crit, H, 0.97, B, SKYMON_THRESHOLD_CRIT, "used is 97 %, above the limit of 95%"},
		{crit, warn, H, 0.97, B, SKYMON_THRESHOLD_CRIT, "used is 97 %, above the limit of 95%"},
		{warn, crit, D, 0.97, B, SKYMON_THRESHOLD_CRIT, "used is 97 %, above the limit of 95%"},
		/* A threshold never improves a status, and an equally bad result keeps its message. */
		{warn, crit, D, 0.85, D, SKYMON_OTHER, NULL},
		{warn, crit, B, 0.97, B, SKYMON_OTHER, NULL},
		{warn, crit, B, 0.5, B, SKYMON_OTHER, NULL},
		/* degraded is better than unknown; unhealthy is worse */
		{warn, crit, U, 0.85, U, SKYMON_OTHER, NULL},
		{warn, crit, U, 0.97, B, SKYMON_THRESHOLD_CRIT, "used is 97 %, above the limit of 95%"},
		{below, crit, H, 0.05, D, SKYMON_THRESHOLD_WARN, "used is 5 %, below the limit of 10%"},
		{below, crit, H, 0.1, H, SKYMON_OK, NULL},
		{outside, warn, H, 0.1, B, SKYMON_THRESHOLD_CRIT,
		 "used is 10 %, outside the limits 20%..80%"},
		{outside, below, H, 0.8, H, SKYMON_OK, NULL},
		{outside, warn, H, (double)NAN, H, SKYMON_OK, NULL},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result *result = result_with(rows[i].before, 1000, "used", rows[i].value);
		char *own = x_strdup(result->view.message);
		apply((struct limit_row[]){rows[i].first, rows[i].second}, 2, result);
		CU_ASSERT_EQUAL(result->view.status, rows[i].after);
		CU_ASSERT_EQUAL(result->view.reason, rows[i].reason);
		UNIT_TEXT(result->view.message, rows[i].message != NULL ? rows[i].message : own);
		free(own);
		result_unref(result);
	}
}

static void limits_of_several_numbers(void)
{
	const struct limit_row rows[] = {{"response_time", "s", "200ms", false},
					 {"used", "ratio", "80%", false},
					 {"absent", "", "<5", true}};
	struct result *result = result_with(H, 350000, "used", 0.9);
	apply(rows, COUNT(rows), result);
	CU_ASSERT_EQUAL(result->view.status, D);
	UNIT_TEXT(result->view.message,
		  "response_time is 350 ms, above the limit of 200ms; used is 90 %, above the limit of 80%");
	result_unref(result);
}

static void limits_of_the_response_time(void)
{
	const struct limit_row rows[] = {{"response_time", "s", "200ms", true}};
	static const struct {
		int before;
		int64_t duration_us;
		int after;
	} cases[] = {
		{H, 200000, H}, {H, 200001, B}, {D, 300000, B}, {U, 300000, U}, /* no response */
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct result *result = result_with(cases[i].before, cases[i].duration_us, NULL, 0);
		apply(rows, 1, result);
		CU_ASSERT_EQUAL(result->view.status, cases[i].after);
		result_unref(result);
	}
	struct result *none = result_new(SKYMON_HEALTHY, SKYMON_OK, 1000, -1, "no run");
	apply((const struct limit_row[]){{"response_time", "s", "<1s", true}}, 1, none);
	CU_ASSERT_EQUAL(none->view.status, H);
	result_unref(none);
}

/* ---- Rise and fall ---- */

/* Results by letter (h d u b), and after each the letter of the current status. */
static void check_row(uint32_t rise, uint32_t fall, const char *results, const char *expected)
{
	static const char letters[] = "uhdb"; /* by enum skymon_status */
	struct verdict_streak streak = {0};
	int status = SKYMON_UNKNOWN;
	char got[32] = "";
	for (size_t i = 0; results[i] != '\0'; i++) {
		int next = (int)(strchr(letters, results[i]) - letters);
		struct result *result =
			result_new((enum skymon_status)next, SKYMON_NONE, (int64_t)i, 1, "run %zu", i);
		struct result *gives = verdict_step(&streak, status, result, rise, fall);
		if (gives != NULL)
			status = gives->view.status;
		got[i] = letters[status];
		result_unref(result);
	}
	verdict_streak_reset(&streak);
	UNIT_TEXT(got, expected);
}

static void rise_and_fall(void)
{
	check_row(1, 1, "hbhudb", "hbhudb"); /* the default: each result at once */
	check_row(3, 3, "b", "b");           /* the first at once */
	check_row(2, 2, "hbb", "hhb");
	check_row(2, 3, "hbbb", "hhhb");
	check_row(2, 3, "hbbhbbb", "hhhhhhb"); /* in a row: an agreeing result ends it */
	check_row(1, 3, "hbdb", "hhhd");       /* the best of them */
	check_row(1, 3, "hbubu", "hhhuu");
	check_row(1, 2, "hdbbb", "hhddb");
	check_row(3, 1, "bhhh", "bbbh");
	check_row(3, 1, "bhdh", "bbbd"); /* the worst of them */
	check_row(2, 1, "bhuhh", "bbuuh");
	check_row(2, 2, "dbhbh", "ddddd"); /* a better result ends a row of worse ones, and vice versa */
	check_row(2, 2, "dbhbb", "ddddb");
	check_row(2, 2, "ubb", "uub");
	check_row(2, 2, "udd", "uud");
	check_row(1, 2, "buu", "buu"); /* unknown is better than unhealthy */
	check_row(2, 2, "hbbhh", "hhbbh");
}

static void the_pick_is_the_newest_among_equals(void)
{
	struct verdict_streak streak = {0};
	struct result *results[5];
	static const int statuses[] = {H, B, D, D, B};
	for (size_t i = 0; i < 5; i++)
		results[i] = result_new((enum skymon_status)statuses[i], SKYMON_NONE, 0, 1, "run %zu", i);
	CU_ASSERT_PTR_EQUAL(verdict_step(&streak, U, results[0], 1, 4), results[0]);
	for (size_t i = 1; i < 4; i++)
		CU_ASSERT_PTR_NULL(verdict_step(&streak, H, results[i], 1, 4));
	CU_ASSERT_PTR_EQUAL(verdict_step(&streak, H, results[4], 1, 4), results[3]);
	CU_ASSERT_EQUAL(results[3]->references, 2);
	verdict_streak_reset(&streak);
	for (size_t i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(results[i]->references, 1);
		result_unref(results[i]);
	}
}

static void after_a_reset_the_next_sets_at_once(void)
{
	struct verdict_streak streak = {0};
	struct result *good = result_new(SKYMON_HEALTHY, SKYMON_OK, 0, 1, "good");
	struct result *bad = result_new(SKYMON_UNHEALTHY, SKYMON_OTHER, 0, 1, "bad");
	CU_ASSERT_PTR_EQUAL(verdict_step(&streak, U, good, 5, 5), good);
	CU_ASSERT_PTR_NULL(verdict_step(&streak, H, bad, 5, 5));
	verdict_streak_reset(&streak);
	CU_ASSERT_PTR_EQUAL(verdict_step(&streak, H, bad, 5, 5), bad);
	verdict_streak_reset(&streak);
	result_unref(good);
	result_unref(bad);
}

/* ---- Age and roll-up ---- */

static void ages(void)
{
	CU_ASSERT_EQUAL(verdict_stale_after_ms(30000, 5000), 95000);
	CU_ASSERT_EQUAL(verdict_stale_after_ms(1000, 10000), 13000);
}

static void severities(void)
{
	CU_ASSERT(verdict_severity(H) < verdict_severity(D));
	CU_ASSERT(verdict_severity(D) < verdict_severity(U));
	CU_ASSERT(verdict_severity(U) < verdict_severity(B));
}

static void contributions(void)
{
	static const enum skymon_impact PASS = SKYMON_IMPACT_UNHEALTHY, SOFT = SKYMON_IMPACT_DEGRADED,
					NONE = SKYMON_IMPACT_NONE;
	const struct {
		struct verdict_part part; /* status, impact, configured, starting, unknown_is_unhealthy */
		int expected;             /* -1 for nothing */
	} rows[] = {
		{{H, PASS, true, false, false}, H},
		{{D, PASS, true, false, false}, D},
		{{B, PASS, true, false, false}, B},
		{{U, PASS, true, true, false}, U},
		{{U, PASS, true, true, true}, U},
		{{U, PASS, true, false, false}, D},
		{{U, PASS, true, false, true}, B},
		{{H, SOFT, true, false, false}, H},
		{{D, SOFT, true, false, false}, D},
		{{B, SOFT, true, false, false}, D},
		{{U, SOFT, true, false, false}, D},
		{{U, SOFT, true, false, true}, D}, /* the impact limits the status */
		{{U, SOFT, true, true, false}, -1},
		{{B, NONE, true, false, false}, -1},
		{{U, NONE, true, true, true}, -1},
		{{H, NONE, true, false, false}, -1},
		{{U, PASS, false, false, false}, -1},
		{{U, PASS, false, false, true}, -1},
		{{U, SOFT, false, false, false}, -1},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		int status = -1;
		bool any = verdict_contribution(&rows[i].part, &status);
		if ((any ? status : -1) != rows[i].expected)
			fprintf(stderr, "\ncontribution row %zu: %d, not %d\n", i, status, rows[i].expected);
		CU_ASSERT_EQUAL(any ? status : -1, rows[i].expected);
	}
}

static void overall(void)
{
	const struct verdict_part good = {H, SKYMON_IMPACT_UNHEALTHY, true, false, false},
				  weak = {D, SKYMON_IMPACT_UNHEALTHY, true, false, false},
				  bad = {B, SKYMON_IMPACT_UNHEALTHY, true, false, false},
				  starting = {U, SKYMON_IMPACT_UNHEALTHY, true, true, false},
				  lost = {U, SKYMON_IMPACT_UNHEALTHY, true, false, false},
				  soft = {B, SKYMON_IMPACT_DEGRADED, true, false, false},
				  ignored = {B, SKYMON_IMPACT_NONE, true, false, false},
				  empty = {U, SKYMON_IMPACT_UNHEALTHY, false, false, false};
	const struct {
		struct verdict_part parts[3];
		size_t count;
		int expected;
	} rows[] = {
		{{good}, 0, H}, /* healthy when nothing contributes */
		{{ignored, empty}, 2, H},
		{{good, good, empty}, 3, H},
		{{good, weak, good}, 3, D},
		{{good, soft, ignored}, 3, D},
		{{good, lost, good}, 3, D},
		{{weak, starting, good}, 3, U},
		{{starting, bad, weak}, 3, B},
		{{bad, good, starting}, 3, B},
	};
	for (size_t i = 0; i < COUNT(rows); i++)
		CU_ASSERT_EQUAL(verdict_overall(rows[i].parts, rows[i].count), rows[i].expected);
}

int main(void)
{
	return unit_run("verdict",
			(const struct unit_test[]){
				{"limits parse", limits_parse},
				{"limits apply", limits_apply},
				{"limits of several numbers", limits_of_several_numbers},
				{"limits of the response time", limits_of_the_response_time},
				{"rise and fall", rise_and_fall},
				{"the pick is the newest among equals", the_pick_is_the_newest_among_equals},
				{"after a reset the next sets at once", after_a_reset_the_next_sets_at_once},
				{"ages", ages},
				{"severities", severities},
				{"contributions", contributions},
				{"overall", overall},
				{NULL, NULL},
			});
}
