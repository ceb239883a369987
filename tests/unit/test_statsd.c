/* SPDX-License-Identifier: Apache-2.0 */
/* statsd: lines, the table of series, and the quantiles that it keeps. */
#include "fake_host.h"
#include "unit.h"

#include <math.h>

#include "../../plugins/statsd/statsd_parse.c"
#include "../../plugins/statsd/statsd_table.c"
#include "../../sdk/lib/quantile.c"
#include "../../sdk/lib/series.c"

static bool parse(const char *text, struct statsd_line *line)
{
	return statsd_parse(text, strlen(text), line);
}

static void lines(void)
{
	static const struct {
		const char *text;
		enum statsd_type type;
		double value, rate;
		bool relative;
		size_t tags;
	} good[] = {
		{"a:1|c", STATSD_COUNTER, 1, 1, false, 0},
		{"a.b-c/d:1.5e1|c|@0.25", STATSD_COUNTER, 15, 0.25, false, 0},
		{"a:-3|g", STATSD_GAUGE, -3, 1, true, 0},
		{"a:+3|g", STATSD_GAUGE, 3, 1, true, 0},
		{"a:3|g", STATSD_GAUGE, 3, 1, false, 0},
		{"a:320|ms|#x:1,y,z:a:b", STATSD_TIMER, 320, 1, false, 3},
		{"a:2|d|#x:1|@0.5|c:12|T17", STATSD_HISTOGRAM, 2, 0.5, false, 1},
		{"a:2|h|e:it", STATSD_HISTOGRAM, 2, 1, false, 0},
	};
	static const char *const bad[] = {
		"",           "a",         "a:",       "a:1",        "a:1|",
		":1|c",       "a:|c",      "a:1|C",    "a:1|c|",     "a:1|c||",
		"a:1|x",      "a:1|c|@",   "a:1|c|@0", "a:1|c|@1.1", "a:1|c|@0.1|@0.1",
		"a:-1|c",     "a:-1|ms",   "a:1 |c",   "a: 1|c",     "a:inf|g",
		"a:0x1|g",    "a:1e999|g", "a:1|c|#:", "a:1|c|#a,a", "a:1|c|q",
		"a:1|c|#a|#b"};
	struct statsd_line line;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CU_ASSERT_FATAL(parse(good[i].text, &line));
		CU_ASSERT(line.type == good[i].type && line.value == good[i].value &&
			  line.rate == good[i].rate && line.relative == good[i].relative &&
			  line.tag_count == good[i].tags);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_FALSE(parse(bad[i], &line));
		if (parse(bad[i], &line))
			fprintf(stderr, "%s\n", bad[i]);
	}
}

/* The order of tags is not part of a series' name. */
static void table(void)
{
	static const struct series_number item = {.name = "x", .metric = "p_a_total", .scale = 1};
	const struct skymon_list numbers = {&item, 1};
	struct series *series = series_new(&numbers, false);
	struct statsd_table *table = statsd_table_new(3, "p_");
	struct skymon *sm = fake_new_run();
	struct statsd_line line;
	static const char *const texts[] = {"a:1|c|#x:1,y:2", "a:2|c|#y:2,x:1", "a:4|c|@0.5",
					    "a:8|g",          "a:1|c|#y:2,x:1", "a:1|ms"};
	static const bool taken[] = {true, true, true, true, true, false};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CU_ASSERT_FATAL(parse(texts[i], &line));
		CU_ASSERT_EQUAL(statsd_table_add(table, &line), taken[i]);
	}
	CU_ASSERT_EQUAL(statsd_table_count(table), 3);
	series_begin(series);
	statsd_table_report(sm, table, series);
	CU_ASSERT(series_report(sm, series) == NULL);
	CU_ASSERT(strstr(fake.text, "metric p_a_total{x=\"1\",y=\"2\"} 4\n") != NULL);
	CU_ASSERT(strstr(fake.text, "metric p_a_total 8\n") != NULL &&
		  strstr(fake.text, "metric p_a 8\n") != NULL);
	CU_ASSERT(strstr(fake.text, "number value_x 12\n") != NULL);
	statsd_table_free(table);
	series_free(series);
}

/* At most 3 % off, for each distribution. */
static void quantiles(void)
{
	struct quantile quantile;
	quantile_clear(&quantile);
	CU_ASSERT(isnan(quantile_at(&quantile, 0.5)));
	for (int i = 1; i <= 1000; i++)
		quantile_add(&quantile, i / 1000.0, 1);
	static const double shares[] = {0.01, 0.25, 0.5, 0.95, 0.99, 1};
	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		CU_ASSERT_DOUBLE_EQUAL(quantile_at(&quantile, shares[i]), shares[i],
				       0.03 * shares[i] + 0.001);
	quantile_clear(&quantile);
	quantile_add(&quantile, 0, 1);
	quantile_add(&quantile, 1e300, 3);
	CU_ASSERT(quantile_at(&quantile, 0.2) < 1e-6 && quantile_at(&quantile, 0.9) > 1e7 &&
		  quantile_at(&quantile, 1) > 1e7);
	CU_ASSERT_EQUAL(quantile_at(&quantile, 0), 0);
	quantile_clear(&quantile);
	quantile_add(&quantile, 5, 10); /* of a sample rate of 0.1 */
	quantile_add(&quantile, 50, 1);
	CU_ASSERT_DOUBLE_EQUAL(quantile_at(&quantile, 0.9), 5, 0.15);
	CU_ASSERT_DOUBLE_EQUAL(quantile_at(&quantile, 0.99), 50, 1.5);
}

int main(void)
{
	return unit_run("statsd", (const struct unit_test[]){
					  {"lines", lines}, {"table", table}, {"quantiles", quantiles}, {0}});
}
