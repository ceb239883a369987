/* SPDX-License-Identifier: Apache-2.0 */
/* scrape_text and series: expositions of both formats, odd and broken lines, selectors. */
#include "unit.h"

#include <math.h>

#include "../../plugins/scrape/scrape_text.c"
#include "../../sdk/lib/series.c"

static struct scrape_facts facts;
static struct tally tally;

/* Reads the text with one selector. */
static void read_text(const char *text, const char *metric, struct skymon_label *labels, size_t count)
{
	const struct series_number item = {.name = "x", .metric = metric, .labels = {labels, count}};
	const struct skymon_list numbers = {&item, 1};
	struct series *series = series_new(&numbers, true);
	CU_ASSERT_FATAL(series != NULL);
	series_begin(series);
	scrape_text_read(text, strlen(text), series, &facts);
	tally = series->tallies[0];
	series_free(series);
}

/* Each line alone: is it a sample, and of which value? */
static void lines(void)
{
	static const struct {
		const char *line;
		bool is_sample;
		double value;
	} rows[] = {
		{"a 1", true, 1},
		{"a 1\n", true, 1},
		{"a 1\r\n", true, 1},
		{"  a\t 1.5e3  ", true, 1500},
		{"a 1 1700000000000", true, 1},
		{"a 1 1700000000.123", true, 1},
		{"a 1 1700000000 # {trace_id=\"x\"} 0.5 1700000000", true, 1},
		{"a{} 2", true, 2},
		{"a{x=\"1\"} 2", true, 2},
		{"a {x=\"1\"} 2", true, 2},
		{"a{x=\"1\",} 2", true, 2},
		{"a{ x = \"1\" , y=\"2\" }2", true, 2},
		{"a{x=\"} # \\\\ \\\" \\n\"} 2", true, 2},
		{"a{x=\"\xc3\xa4\"} 2", true, 2},
		{"a -Inf", true, -INFINITY},
		{"a +Inf", true, INFINITY},
		{"a -0", true, 0},
		{"a", false, 0},
		{"a ", false, 0},
		{"a1", false, 0},
		{"1a 1", false, 0},
		{"a-b 1", false, 0},
		{"a 1 2 3", false, 0},
		{"a 1 x", false, 0},
		{"a one", false, 0},
		{"a 0x10", false, 0},
		{"a 1,5", false, 0},
		{"a nan(1)", false, 0},
		{"a{x=1} 2", false, 0},
		{"a{x=\"1\" y=\"2\"} 2", false, 0},
		{"a{,} 2", false, 0},
		{"a{x=\"1\"", false, 0},
		{"a{x=\"1", false, 0},
		{"a{x=\"1\n\"} 2", false, 0},
		{"a{x=\"\\", false, 0},
		{"a{\"x\"=\"1\"} 2", false, 0},
		{"a{x:y=\"1\"} 2", false, 0},
		{"<html>", false, 0},
		{"a 11111111111111111111111111111111111111111111111111111111111111111", false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_text(rows[i].line, "a", NULL, 0);
		CU_ASSERT_EQUAL(facts.samples, rows[i].is_sample);
		CU_ASSERT_EQUAL(facts.malformed > 0, !rows[i].is_sample);
		CU_ASSERT(tally.sum == rows[i].value);
		if (facts.samples != rows[i].is_sample || tally.sum != rows[i].value)
			fprintf(stderr, "%s\n", rows[i].line);
	}
}

/* Comments and empty lines are none of both; a malformed one costs itself only. */
static void siblings(void)
{
	read_text("# HELP a A.\n# TYPE a gauge\n#\n\n  \r\na 1\nb{ 2\n\na 3 4 5 6\na 2\n# EOF\n", "a", NULL,
		  0);
	CU_ASSERT(facts.samples == 2 && facts.malformed == 2 && facts.first_malformed == 7);
	CU_ASSERT(tally.sum == 3 && tally.samples == 2 && tally.min == 1 && tally.max == 2);
	read_text("", "a", NULL, 0);
	CU_ASSERT(facts.samples == 0 && facts.malformed == 0 && !tally.named);
	read_text("a NaN\na 1\na nan\n", "a", NULL, 0);
	CU_ASSERT(tally.samples == 1 && tally.nan == 2 && tally.sum == 1);
	read_text("ab 1\na_ 1\nb 1\n", "a", NULL, 0);
	CU_ASSERT(facts.samples == 3 && !tally.named);
}

static void selectors(void)
{
	static const char text[] =
		"r{code=\"200\",path=\"/\"} 1\nr{path=\"/a\\\"b\\\\c\\nd\",code=\"204\"} 2\n"
		"r{code=\"500\"} 4\nr{code=\"\"} 8\nr 16\n";
	static struct {
		struct skymon_label labels[2];
		size_t count;
		double sum;
	} rows[] = {
		{{{"", ""}}, 0, 31},
		{{{"code", "200"}}, 1, 1},
		{{{"code", "2*"}}, 1, 3},
		{{{"code", "20*"}, {"path", "/"}}, 2, 1},
		{{{"path", "/a\"b\\c\nd"}}, 1, 2},
		{{{"path", "/a\"b\\c\nd*"}}, 1, 2},
		{{{"path", "/a\"*"}}, 1, 2},
		{{{"code", "50"}}, 1, 0},
		{{{"code", "5000"}}, 1, 0},
		{{{"code", "500*"}}, 1, 4},
		{{{"code", ""}}, 1, 24},
		{{{"cod", "200"}}, 1, 0},
		{{{"other", ""}}, 1, 31},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_text(text, "r", rows[i].labels, rows[i].count);
		CU_ASSERT(tally.named && tally.sum == rows[i].sum);
	}
}

static void many_labels(void)
{
	char text[4096] = "a{";
	for (int i = 0; i < LABELS_MAX; i++)
		sprintf(text + strlen(text), "l%d=\"\",", i);
	strcat(text, "} 1\n");
	read_text(text, "a", NULL, 0);
	CU_ASSERT(facts.samples == 1);
	memmove(text + 2 + 7, text + 2, strlen(text + 2) + 1);
	memcpy(text + 2, "more=\"\",", 7);
	text[8] = ',';
	read_text(text, "a", NULL, 0);
	CU_ASSERT(facts.samples == 0 && facts.malformed == 1);
}

/* The increase since the last check. */
static void changes(void)
{
	static const struct {
		double now, added;
	} rows[] = {{10, NAN}, {12, 2}, {12, 0}, {3, 3}, {NAN, NAN}, {5, NAN}, {6, 1}};
	struct before before = {0};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double added = take_change(rows[i].now, &before);
		CU_ASSERT(isnan(rows[i].added) ? isnan(added) : added == rows[i].added);
	}
}

/* Of several series, and of none. */
static void folds(void)
{
	static const struct {
		struct tally tally;
		double sum, min, mean, count;
	} rows[] = {
		{{.named = true, .samples = 2, .sum = 8, .min = 3, .max = 5}, 8, 3, 4, 2},
		{{.named = true}, 0, NAN, NAN, 0},
		{{.named = true, .nan = 1}, NAN, NAN, NAN, NAN},
		{{.named = false}, NAN, NAN, NAN, NAN},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const double expected[] = {rows[i].sum, rows[i].min, rows[i].mean, rows[i].count};
		const enum fold folds[] = {FOLD_SUM, FOLD_MIN, FOLD_MEAN, FOLD_COUNT};
		for (int k = 0; k < 4; k++) {
			double found = fold(&rows[i].tally, folds[k]);
			CU_ASSERT(isnan(expected[k]) ? isnan(found) : found == expected[k]);
		}
	}
}

int main(void)
{
	return unit_run("scrape", (const struct unit_test[]){{"lines", lines},
							     {"siblings", siblings},
							     {"selectors", selectors},
							     {"many labels", many_labels},
							     {"changes", changes},
							     {"folds", folds},
							     {0}});
}
