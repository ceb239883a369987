/* SPDX-License-Identifier: Apache-2.0 */
/* grafana_rule: alert rules as callers post them: translated, validated, and matched with the existing data
 * sources. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#include "../../plugins/grafana/grafana_rule.h"

#define RANGE "\"relativeTimeRange\":{\"from\":600,\"to\":0},"
#define QUERY(ref, source)                                                                                   \
	"{\"refId\":\"" ref "\"," RANGE "\"datasourceUid\":\"" source "\",\"model\":{\"expr\":\"up\"}}"
#define EXPRESSION(ref, model) "{\"refId\":\"" ref "\",\"datasourceUid\":\"__expr__\",\"model\":{" model "}}"
#define REDUCE(ref, of) EXPRESSION(ref, "\"type\":\"reduce\",\"expression\":\"" of "\",\"reducer\":\"mean\"")
#define MATH(ref, text) EXPRESSION(ref, "\"type\":\"math\",\"expression\":\"" text "\"")
#define RESAMPLE(ref, more)                                                                                  \
	"{\"refId\":\"" ref "\"," RANGE                                                                      \
	"\"datasourceUid\":\"__expr__\",\"model\":{\"type\":\"resample\",\"expression\":\"A\"" more "}}"
#define SAMPLERS(window, down, up)                                                                           \
	",\"window\":\"" window "\",\"downsampler\":\"" down "\",\"upsampler\":\"" up "\""
#define CLASSIC(ref, conditions)                                                                             \
	EXPRESSION(ref, "\"type\":\"classic_conditions\",\"conditions\":[" conditions "]")
#define ONE(ref, evaluator, reducer, more)                                                                   \
	"{\"query\":{\"params\":[\"" ref "\"]},\"evaluator\":{\"type\":" evaluator                           \
	"},\"reducer\":{\"type\":\"" reducer "\"}" more "}"
#define OR ",\"operator\":{\"type\":\"or\"}"
#define ABOVE(evaluator) "\"conditions\":[{\"evaluator\":" evaluator "}]"
#define THRESHOLD(ref, of)                                                                                   \
	EXPRESSION(ref, "\"type\":\"threshold\",\"expression\":\"" of                                        \
			"\"," ABOVE("{\"type\":\"gt\",\"params\":[5]}"))
#define RULE(more, data) "{\"title\":\"High\",\"condition\":\"C\"," more "\"data\":[" data "]}"
#define DATA QUERY("A", "prometheus") "," REDUCE("B", "A") "," THRESHOLD("C", "B")

/* Reads a rule, and prints the fault as "POINTER: the detail". */
static json_t *read_rule(const char *text, char *why, size_t size)
{
	struct grafana_fault fault = {0};
	json_error_t error;
	json_t *sent = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (sent == NULL)
		fprintf(stderr, "\n%s: %s\n", error.text, text);
	CU_ASSERT_FATAL(sent != NULL);
	json_t *rule = grafana_rule_read(sent, &fault);
	snprintf(why, size, "%s", rule != NULL ? "" : fault.detail);
	CU_ASSERT(rule != NULL || fault.code == 422);
	CU_ASSERT(rule != NULL || strncmp(fault.detail, fault.pointer, strlen(fault.pointer)) == 0);
	grafana_forget(&fault);
	json_decref(sent);
	return rule;
}

static void takes(const char *text, const char *expected)
{
	char why[700];
	json_t *rule = read_rule(text, why, sizeof(why));
	UNIT_TEXT(why, "");
	if (rule == NULL)
		return;
	json_object_del(rule, "data");
	char *printed = json_dumps(rule, JSON_COMPACT | JSON_SORT_KEYS);
	if (expected != NULL)
		UNIT_TEXT(printed, expected);
	free(printed);
	json_decref(rule);
}

static void rules_are_translated(void)
{
	/* the seed's names, and the fields that it leaves out */
	takes(RULE("\"no_data_state\":\"NoData\",\"exec_err_state\":\"Error\",\"for_duration\":\"5m\",",
		   DATA),
	      "{\"condition\":\"C\",\"execErrState\":\"Error\",\"folderUID\":\"sky-genesis\",\"for\":\"5m\","
	      "\"noDataState\":\"NoData\",\"ruleGroup\":\"sky-genesis\",\"title\":\"High\"}");
	takes(RULE("\"no_data_state\":null,\"folder_uid\":\"\",", DATA),
	      "{\"condition\":\"C\",\"execErrState\":\"Error\",\"folderUID\":\"sky-genesis\",\"for\":\"5m\","
	      "\"noDataState\":\"NoData\",\"ruleGroup\":\"sky-genesis\",\"title\":\"High\"}");
	/* Grafana's names, and unknown fields */
	takes(RULE("\"noDataState\":\"OK\",\"execErrState\":\"KeepLast\",\"for\":\"1h30m\",\"folderUID\":"
		   "\"ops\","
		   "\"ruleGroup\":\"a "
		   "b\",\"orgID\":1,\"isPaused\":true,\"labels\":{\"a\":\"b\"},\"new\":[1.5],",
		   DATA),
	      "{\"condition\":\"C\",\"execErrState\":\"KeepLast\",\"folderUID\":\"ops\",\"for\":\"1h30m\","
	      "\"isPaused\":true,"
	      "\"labels\":{\"a\":\"b\"},\"new\":[1.5],\"noDataState\":\"OK\",\"orgID\":1,\"ruleGroup\":\"a "
	      "b\","
	      "\"title\":\"High\"}");
	takes(RULE("\"folderUid\":\"ops\",\"org_id\":1,\"rule_group\":\"g\",\"is_paused\":false,\"for\":"
		   "\"0\",",
		   DATA),
	      "{\"condition\":\"C\",\"execErrState\":\"Error\",\"folderUID\":\"ops\",\"for\":\"0\","
	      "\"isPaused\":false,"
	      "\"noDataState\":\"NoData\",\"orgID\":1,\"ruleGroup\":\"g\",\"title\":\"High\"}");
}

static void rules_are_validated(void)
{
	static const struct {
		const char *text, *begins; /* of the detail; "" if valid */
	} rows[] = {
		{"{}", "/title is missing"},
		{"{\"title\":\" \"}", "/title must not be empty"},
		{"{\"title\":1}", "/title must be a text"},
		{"{\"title\":\"a\"}", "/data is missing"},
		{"{\"title\":\"a\",\"data\":[]}", "/data must not be empty"},
		{"{\"title\":\"a\",\"data\":{}}", "/data must be a list"},
		{"{\"title\":\"a\",\"data\":[1]}", "/data/0 must be an object"},
		{"{\"title\":\"a\",\"data\":[{}]}", "/data/0/refId is missing"},
		{"{\"title\":\"a\",\"data\":[{\"ref_id\":\"\"}]}", "/data/0/ref_id must not be empty"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\"}]}", "/data/0/datasourceUid is missing"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasource_uid\":7}]}",
		 "/data/0/datasource_uid must be a text"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\"}]}",
		 "/data/0/model is missing"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\",\"model\":[]}]}",
		 "/data/0/model must be an object"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\",\"model\":{}}]}",
		 "/data/0/relativeTimeRange is missing"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"ref_id\":\"B\",\"datasourceUid\":\"p\","
		 "\"model\":{}}]}",
		 "/data/0/ref_id is given twice"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\",\"model\":{},"
		 "\"relativeTimeRange\":{}}]}",
		 "/data/0/relativeTimeRange/from must be more"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\",\"model\":{},"
		 "\"relative_time_range\":"
		 "{\"from\":\"now\"}}]}",
		 "/data/0/relative_time_range/from must be a whole number"},
		{"{\"title\":\"a\",\"data\":[{\"refId\":\"A\",\"datasourceUid\":\"p\",\"model\":{},"
		 "\"relativeTimeRange\":"
		 "{\"from\":5,\"to\":-1}}]}",
		 "/data/0/relativeTimeRange/to must be 0 or more"},
		{RULE("", QUERY("C", "p") "," QUERY("C", "p")), "/data/1/refId is the same"},
		{RULE("", QUERY("A", "p")), "/condition is not a refId of `data`: C"},
		{"{\"title\":\"a\",\"data\":[" QUERY("A", "p") "]}", "/condition is missing"},
		{RULE("\"no_data_state\":\"nodata\",", DATA),
		 "/no_data_state must be NoData, Alerting, OK or KeepLast"},
		{RULE("\"noDataState\":\"Error\",", DATA), "/noDataState must be"},
		{RULE("\"exec_err_state\":\"NoData\",", DATA),
		 "/exec_err_state must be Error, Alerting, OK or KeepLast"},
		{RULE("\"exec_err_state\":5,", DATA), "/exec_err_state must be a text"},
		{RULE("\"execErrState\":\"\",", DATA), "/execErrState must be"},
		{RULE("\"for_duration\":\"abc\",", DATA), "/for_duration is not a duration"},
		{RULE("\"for\":300,", DATA), "/for must be a text"},
		{RULE("\"for\":\"\",", DATA), "/for is not a duration"},
		{RULE("\"for\":\"5m\",\"for_duration\":\"6m\",", DATA), "/for_duration is given twice"},
		{RULE("\"folder_uid\":\"a b\",", DATA), "/folder_uid has a character"},
		{RULE("\"folderUID\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",", DATA),
		 "/folderUID is longer than 40"},
		{RULE("\"uid\":\"a/b\",", DATA), "/uid has a character"},
		{RULE("\"rule_group\":\"a/b\",", DATA), "/rule_group must have no slash"},
		{RULE("\"orgID\":\"1\",", DATA), "/orgID must be a whole number"},
		{RULE("\"labels\":{\"a/b~\":1},", DATA), "/labels/a~1b~0 must be a text"},
		{RULE("\"annotations\":[],", DATA), "/annotations must be an object"},
		{RULE("\"isPaused\":\"yes\",", DATA), "/isPaused must be true or false"},
	};
	char why[700];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *rule = read_rule(rows[i].text, why, sizeof(why));
		if (rule != NULL || strncmp(why, rows[i].begins, strlen(rows[i].begins)) != 0) {
			fprintf(stderr, "\n%s\n  got      %s\n  expected %s\n", rows[i].text, why,
				rows[i].begins);
			CU_FAIL();
		}
		json_decref(rule);
	}
}

static void expressions_are_validated(void)
{
	static const struct {
		const char *data, *begins; /* of the detail; "" if valid. `A` is a query, `C` the condition */
	} rows[] = {
		{REDUCE("C", "A"), ""},
		{REDUCE("C", "$A"), ""},
		{REDUCE("C", "B"), "/data/1/model/expression refers to a query that is not in `data`: B"},
		{REDUCE("C", ""), "/data/1/model/expression must not be empty"},
		{REDUCE("C", "C"), "/data/1/model refers to itself"},
		{REDUCE("B", "C") "," REDUCE("C", "B"), "/data/2/model refers to itself"},
		{REDUCE("C", "B") "," REDUCE("B", "A"), ""},
		{EXPRESSION("C", "\"type\":\"reduce\",\"expression\":\"A\""),
		 "/data/1/model/reducer is missing"},
		{EXPRESSION("C", "\"type\":\"reduce\",\"expression\":\"A\",\"reducer\":\"avg\""),
		 "/data/1/model/reducer must be"},
		{EXPRESSION("C", ""), "/data/1/model/type is missing"},
		{EXPRESSION("C", "\"type\":\"nonsense\",\"expression\":\"A\""),
		 "/data/1/model/type must be math"},
		{EXPRESSION("C", "\"type\":\"math\""), "/data/1/model/expression is missing"},
		{MATH("C", "$A > 5"), ""},
		{MATH("C", "${A} > 5 && $A < 7"), ""},
		{MATH("C", "1 > 0"), ""},
		{MATH("C", "$AB > 5"),
		 "/data/1/model/expression refers to a query that is not in `data`: AB"},
		{MATH("C", "${A B} > 5"),
		 "/data/1/model/expression refers to a query that is not in `data`: A B"},
		{MATH("C", "$A + $C"), "/data/1/model refers to itself"},
		{RESAMPLE("C", SAMPLERS("10s", "mean", "fillna")), ""},
		{RESAMPLE("C", SAMPLERS("1m30s", "last", "pad")), ""},
		{RESAMPLE("C", SAMPLERS("1.5m", "last", "backfilling")), ""},
		{RESAMPLE("C", SAMPLERS("10m", "last", "pad")), ""},
		{RESAMPLE("C", ""), "/data/1/model/window is missing"},
		{RESAMPLE("C", SAMPLERS("", "mean", "pad")), "/data/1/model/window must not be empty"},
		{RESAMPLE("C", SAMPLERS("10", "mean", "pad")), "/data/1/model/window is not a duration"},
		{RESAMPLE("C", SAMPLERS("0s", "mean", "pad")), "/data/1/model/window is not a duration"},
		{RESAMPLE("C", SAMPLERS("-5s", "mean", "pad")), "/data/1/model/window is not a duration"},
		{RESAMPLE("C", SAMPLERS("soon", "mean", "pad")), "/data/1/model/window is not a duration"},
		{RESAMPLE("C", SAMPLERS("1.2.3s", "mean", "pad")), "/data/1/model/window is not a duration"},
		{RESAMPLE("C", SAMPLERS("601s", "mean", "pad")), "/data/1/model/window is longer than"},
		{RESAMPLE("C", SAMPLERS("1d", "mean", "pad")), "/data/1/model/window is longer than"},
		{RESAMPLE("C", SAMPLERS("10s", "avg", "pad")), "/data/1/model/downsampler must be sum"},
		{RESAMPLE("C", SAMPLERS("10s", "mean", "")), "/data/1/model/upsampler must not be empty"},
		{RESAMPLE("C", SAMPLERS("10s", "mean", "zero")), "/data/1/model/upsampler must be pad"},
		{EXPRESSION("C", "\"type\":\"resample\",\"expression\":\"A\"" SAMPLERS("10s", "mean", "pad")),
		 "/data/1/relativeTimeRange is missing"},
		{EXPRESSION("C", "\"type\":\"sql\",\"expression\":\"SELECT * FROM A\""), ""},
		{THRESHOLD("C", "A"), ""},
		{THRESHOLD("C", "B"), "/data/1/model/expression refers to"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\""),
		 "/data/1/model/conditions is missing"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\"," ABOVE("{}")),
		 "/data/1/model/conditions/0/evaluator/type is missing"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\"," ABOVE(
					 "{\"type\":\"above\",\"params\":[1]}")),
		 "/data/1/model/conditions/0/evaluator/type must be gt"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\"," ABOVE(
					 "{\"type\":\"gt\",\"params\":[\"1\"]}")),
		 "/data/1/model/conditions/0/evaluator/params must have 1 number"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\"," ABOVE(
					 "{\"type\":\"within_range\",\"params\":[1]}")),
		 "/data/1/model/conditions/0/evaluator/params must have 2 numbers"},
		{EXPRESSION("C", "\"type\":\"threshold\",\"expression\":\"A\",\"conditions\":[{\"evaluator\":"
				 "{\"type\":\"gt\",\"params\":[1]}},{}]"),
		 "/data/1/model/conditions must have exactly one"},
		{CLASSIC("C", ONE("A", "\"gt\",\"params\":[1]", "avg", "")), ""},
		{CLASSIC("C", ONE("A", "\"no_value\"", "count_non_null",
				  "") "," ONE("A", "\"within_range\",\"params\":[1,2]", "last", OR)),
		 ""},
		{CLASSIC("C", "{\"query\":{\"params\":[\"A\"]}}"),
		 "/data/1/model/conditions/0/reducer/type is missing"},
		{CLASSIC("C", ONE("A", "\"gt\",\"params\":[1]", "mean", "")),
		 "/data/1/model/conditions/0/reducer/type must be avg"},
		{CLASSIC("C", ONE("A", "\"above\",\"params\":[1]", "avg", "")),
		 "/data/1/model/conditions/0/evaluator/type must be gt"},
		{CLASSIC("C", ONE("A", "\"gt\"", "avg", "")),
		 "/data/1/model/conditions/0/evaluator/params is missing"},
		{CLASSIC("C", ONE("A", "\"outside_range\",\"params\":[1]", "avg", "")),
		 "/data/1/model/conditions/0/evaluator/params must have 2"},
		{CLASSIC("C", ONE("A", "\"no_value\"", "avg", "") "," ONE("A", "\"no_value\"", "avg", "")),
		 "/data/1/model/conditions/1/operator/type is missing"},
		{CLASSIC("C", ONE("A", "\"no_value\"", "avg", "") ",{}"),
		 "/data/1/model/conditions/1/query/params/0 refers to a query"},
		{REDUCE("B", "A") "," CLASSIC("C", ONE("B", "\"no_value\"", "avg", "")),
		 "/data/2/model has classic conditions, whose inputs must be queries"},
		{CLASSIC("B", ONE("A", "\"no_value\"", "avg", "")) "," MATH("C", "$B"),
		 "/data/2/model refers to classic conditions"},
		{EXPRESSION("C", "\"type\":\"classic_conditions\""), "/data/1/model/conditions is missing"},
	};
	char why[700], text[3000];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *begins = rows[i].begins;
		snprintf(text, sizeof(text), RULE("", "%s,%s"), QUERY("A", "prometheus"), rows[i].data);
		json_t *rule = read_rule(text, why, sizeof(why));
		if ((rule != NULL) != (begins[0] == '\0') || strncmp(why, begins, strlen(begins)) != 0) {
			fprintf(stderr, "\n%s\n  got      %s\n  expected %s\n", rows[i].data, why, begins);
			CU_FAIL();
		}
		json_decref(rule);
	}
}

/* Accepts exactly what Grafana's parser accepts. */
static void math_is_read(void)
{
	static const struct {
		const char *text, *why; /* "" if valid; else in the detail, after the common part */
	} rows[] = {
		{"1", ""},
		{"  1 > 0\\t", ""},
		{".5 + 1. - 1.5e-3 * 0x1F / 1E5 % 2 ** 3", ""},
		{"!$A || -$A <= 5 && (($A)) != 0", ""},
		{"abs($A) + log( ${A} ) > round(ceil(floor(-1)))", ""},
		{"is_nan($A) || is_inf($A) || is_null($A) || is_number($A)", ""},
		{"nan ( ) + inf()\xc2\xa0+ infn() + null()", ""},
		{"! ! $A - -1", ""},
		{"$Gr\xc3\xb6\xc3\x9f"
		 "e > $\xe6\xb8\xa9_2 + ${ a b }",
		 ""},
		{"$A >", "a value is missing at its end"},
		{"> 5", "a value is missing at: > 5"},
		{"$A > > 5", "a value is missing at: > 5"},
		{"$A 5", "an operator is missing at: 5"},
		{"$A $A", "an operator is missing at: $A"},
		{"5 (6)", "an operator is missing at: (6)"},
		{"($A) ($A)", "an operator is missing at: ($A)"},
		{"($A > 5", "a ) is missing at its end"},
		{"$A > 5)", "a ) without ( at: )"},
		{"()", "a value is missing at: )"},
		{"(1 +) 2", "a value is missing at: ) 2"},
		{"$A >-5", "unknown operator (put a space between two) at: >-5"},
		{"$A = 5", "unknown operator (put a space between two) at: = 5"},
		{"$A ! 5", "unknown operator (put a space between two) at: ! 5"},
		{"--1", "unknown operator (put a space between two) at: --1"},
		{"$A & 5", "unknown operator (put a space between two) at: & 5"},
		{"A > 5", "unknown function (a query is named with $ before it) at: A > 5"},
		{"avg($A)", "unknown function (a query is named with $ before it) at: avg($A)"},
		{"abs $A", "a function without ( at: abs $A"},
		{"abs()", "a value is missing at: )"},
		{"abs($A, 1)", "an operator is missing at: , 1)"},
		{"abs($A 1)", "an operator is missing at: 1)"},
		{"nan(1)", "this function takes no value at: 1)"},
		{"\\\"a\\\"", "unknown character at: \"a\""},
		{"$A > 5;", "an operator is missing at: ;"},
		{"$A > #", "unknown character at: #"},
		{"$A > 1e", "unknown character at: 1e"},
		{"$A > 0x", "unknown character at: 0x"},
		{"1.2.3", "an operator is missing at: .3"},
		{"$A + $", "a $ without the refId of a query at: $"},
		{"$A + $ A", "a $ without the refId of a query at: $ A"},
		{"${}", "a ${ without a refId and } at: ${}"},
		{"$A + ${no such", "a ${ without a refId and } at: ${no such"},
		{"${a-b}", "a ${ without a refId and } at: ${a-b}"},
	};
	static const char begins[] = "/data/4/model/expression is not math that Grafana can compute: ";
	char text[2000], why[700], expected[300];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text),
			 RULE("", QUERY("A", "p") "," QUERY(
					  "Gr\xc3\xb6\xc3\x9f"
					  "e",
					  "p") "," QUERY("\xe6\xb8\xa9_2",
							 "p") "," QUERY(" a b ", "p") "," MATH("C", "%s")),
			 rows[i].text);
		json_t *rule = read_rule(text, why, sizeof(why));
		snprintf(expected, sizeof(expected), "%s%s", rows[i].why[0] != '\0' ? begins : "",
			 rows[i].why);
		UNIT_TEXT(why, expected);
		json_decref(rule);
	}
}

static void durations(void)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {{"5m", 300000},
		    {"1h30m", 5400000},
		    {"90m", 5400000},
		    {"0", 0},
		    {"0s", 0},
		    {"1y2w3d4h5m6s7ms", 33019506007},
		    {"007s", 7000},
		    {"292y", 9208512000000},
		    {"", -1},
		    {"5", -1},
		    {"m", -1},
		    {"5 m", -1},
		    {"1m1h", -1},
		    {"5m5m", -1},
		    {"1.5h", -1},
		    {"-5m", -1},
		    {"5M", -1},
		    {"5ms5s", -1},
		    {"5mm", -1},
		    {"1h30", -1},
		    {"300y", -1},
		    {"292y53w", -1},
		    {"99999999999999999s", -1},
		    {"5µs", -1}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (grafana_rule_duration(rows[i].text) != rows[i].ms) {
			fprintf(stderr, "\n%s: %lld\n", rows[i].text,
				(long long)grafana_rule_duration(rows[i].text));
			CU_FAIL();
		}
}

#define SOURCE(uid, type, name) "{\"uid\":\"" uid "\",\"type\":\"" type "\",\"name\":\"" name "\"}"

/* The seed's "prometheus" is resolved to a data source. */
static void sources_are_matched(void)
{
	static const struct {
		const char *wanted, *sources, *uid, *why; /* uid NULL means 422, with `why` in its detail */
	} rows[] = {
		{"prometheus", "[" SOURCE("prometheus", "prometheus", "P") "]", "prometheus", NULL},
		{"prometheus", "[" SOURCE("x1", "prometheus", "P") "]", "x1", NULL},
		{"P", "[" SOURCE("x1", "prometheus", "P") "," SOURCE("x2", "prometheus", "Q") "]", "x1",
		 NULL},
		{"prometheus", "[" SOURCE("x1", "loki", "prometheus") "]", "x1", NULL},
		/* the uid itself wins, in any position */
		{"b", "[" SOURCE("x1", "b", "b") "," SOURCE("b", "loki", "L") "]", "b", NULL},
		{"prometheus", "[" SOURCE("x1", "prometheus", "P") "," SOURCE("x2", "prometheus", "Q") "]",
		 NULL, "fits 2 data sources (prometheus): use the uid of one of them: x1, x2"},
		{"prometheus", "[" SOURCE("x1", "prometheus", "P") "," SOURCE("x2", "loki", "prometheus") "]",
		 NULL, "fits 2"},
		{"prometheus", "[]", NULL, "is not the uid, type or name of a data source: prometheus"},
		{"Prometheus", "[" SOURCE("x1", "prometheus", "P") "]", NULL, "of a data source"},
		{"prometheus", "[{\"type\":\"prometheus\"},7,null]", NULL, "of a data source"},
		{"prometheus", "{}", NULL, "of a data source"},
	};
	char text[1000], why[700];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_fault fault = {0};
		json_t *sources = json_loads(rows[i].sources, 0, NULL);
		snprintf(text, sizeof(text),
			 RULE("", "%s,{\"refId\":\"Q\",%s\"datasource_uid\":\"%s\",\"model\":{\"datasource\":"
				  "{\"uid\":\"%s\"}}}"),
			 REDUCE("C", "Q"), RANGE, rows[i].wanted, rows[i].wanted);
		json_t *rule = read_rule(text, why, sizeof(why));
		CU_ASSERT_FATAL(rule != NULL && sources != NULL);
		CU_ASSERT(grafana_rule_has_query(rule));
		json_t *sent = json_loads(text, 0, NULL);
		bool good = grafana_rule_match(rule, sent, sources, &fault);
		CU_ASSERT_EQUAL(good, rows[i].uid != NULL);
		const char *uid = json_string_value(
			json_object_get(json_array_get(json_object_get(rule, "data"), 1), "datasourceUid"));
		if (good) {
			const json_t *query = json_array_get(json_object_get(rule, "data"), 1);
			UNIT_TEXT(uid, rows[i].uid);
			UNIT_TEXT(json_string_value(json_object_get(
					  json_object_get(json_object_get(query, "model"), "datasource"),
					  "uid")),
				  rows[i].uid);
		} else {
			UNIT_TEXT(fault.pointer, "/data/1/datasource_uid");
			CU_ASSERT(rows[i].why != NULL && strstr(fault.detail, rows[i].why) != NULL);
			if (rows[i].why == NULL || strstr(fault.detail, rows[i].why) == NULL)
				fprintf(stderr, "\n%s\n", fault.detail);
		}
		/* the caller's text is unchanged */
		UNIT_TEXT(json_string_value(json_object_get(json_array_get(json_object_get(sent, "data"), 1),
							    "datasource_uid")),
			  rows[i].wanted);
		grafana_forget(&fault);
		json_decref(sources);
		json_decref(sent);
		json_decref(rule);
	}
}

#define ASKS(ref, source, model)                                                                             \
	"{\"refId\":\"" ref "\"," RANGE "\"datasourceUid\":\"" source "\",\"model\":{" model "}}"
#define EXPR "\"expr\":\"up\""
#define INSTANT EXPR ",\"instant\":true,\"range\":false"

/* The kind of each query, and whether the condition `C` is a value: `p` is a Prometheus, `l` a Loki, `m`
 * another data source, and `n` does not exist. */
static void queries_are_validated(void)
{
	static const struct {
		const char *data, *why; /* begins the detail; "" if valid */
	} rows[] = {
		{ASKS("A", "p", EXPR) "," REDUCE("B", "A") "," THRESHOLD("C", "B"), ""},
		{ASKS("A", "p", INSTANT) "," THRESHOLD("C", "A"), ""},
		{ASKS("C", "p", INSTANT), ""},
		{ASKS("C", "p", EXPR ",\"instant\":true,\"range\":true"), ""}, /* both kinds: unknown */
		{ASKS("C", "l", EXPR ",\"queryType\":\"instant\""), ""},
		{ASKS("C", "l", EXPR ",\"instant\":true"), ""},
		{ASKS("C", "m", "\"rawSql\":\"select 1\""), ""},
		{ASKS("A", "m", "") "," MATH("C", "$A > 1"), ""},
		{ASKS("C", "n", ""), ""},
		{ASKS("A", "p", EXPR) "," CLASSIC("C", ONE("A", "\"no_value\"", "avg", "")), ""},
		{ASKS("A", "p", EXPR) "," ASKS("D", "p", "") "," REDUCE("C", "A"),
		 "/data/1/model/expr is missing"},
		{ASKS("C", "p", "\"expr\":\" \",\"instant\":true"), "/data/0/model/expr must not be empty"},
		{ASKS("C", "p", "\"expr\":7"), "/data/0/model/expr must be a text"},
		{ASKS("C", "l", "\"instant\":true"), "/data/0/model/expr is missing"},
		{ASKS("C", "p", EXPR), "/condition comes from the time series of C,"},
		{ASKS("C", "p", EXPR ",\"range\":true,\"instant\":false"),
		 "/condition comes from the time series of C,"},
		{ASKS("C", "l", EXPR), "/condition comes from the time series of C,"},
		{ASKS("C", "l", EXPR ",\"queryType\":\"range\""),
		 "/condition comes from the time series of C,"},
		{ASKS("A", "p", EXPR) "," MATH("C", "$A > 1"), "/condition comes from the time series of A,"},
		{ASKS("A", "p", EXPR) "," THRESHOLD("B", "A") "," MATH("C", "1 + $B"),
		 "/condition comes from the time series of A,"},
		{ASKS("A", "p", INSTANT) "," ASKS("B", "p",
						  EXPR) "," REDUCE("D", "B") "," MATH("C", "$A + $D + $B"),
		 "/condition comes from the time series of B,"},
		{ASKS("A", "p", EXPR) "," REDUCE("B", "A") "," MATH("C", "$B + $B"), ""},
		{ASKS("A", "m", "") "," RESAMPLE("C", SAMPLERS("10s", "mean", "pad")),
		 "/condition comes from the time series of C,"},
	};
	json_t *sources = json_loads("[{\"uid\":\"p\",\"type\":\"prometheus\"},{\"uid\":\"l\",\"type\":"
				     "\"loki\"},{\"uid\":\"m\",\"type\":\"mysql\"},7]",
				     0, NULL);
	char text[3000], why[700];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct grafana_fault fault = {0};
		const char *begins = rows[i].why;
		snprintf(text, sizeof(text), RULE("", "%s"), rows[i].data);
		json_t *rule = read_rule(text, why, sizeof(why));
		UNIT_TEXT(why, "");
		bool good = rule != NULL && grafana_rule_validate_queries(rule, sources, &fault);
		if (good != (begins[0] == '\0') || strncmp(fault.detail, begins, strlen(begins)) != 0) {
			fprintf(stderr, "\n%s\n  got      %s\n  expected %s\n", rows[i].data, fault.detail,
				begins);
			CU_FAIL();
		}
		grafana_forget(&fault);
		json_decref(rule);
	}
	json_decref(sources);
}

/* Grafana's own expressions are never looked up, under their new and old name. */
static void expressions_have_no_source(void)
{
	char why[700];
	struct grafana_fault fault = {0};
	json_t *none = json_array(), *sent = json_object();
	json_t *rule = read_rule(RULE("", "{\"refId\":\"C\",\"datasourceUid\":\"-100\",\"model\":{\"type\":"
					  "\"math\",\"expression\":"
					  "\"1\"}}," MATH("D", "$C")),
				 why, sizeof(why));
	CU_ASSERT_FATAL(rule != NULL);
	CU_ASSERT_FALSE(grafana_rule_has_query(rule));
	CU_ASSERT(grafana_rule_match(rule, sent, none, &fault));
	json_decref(rule);
	json_decref(none);
	json_decref(sent);
}

int main(void)
{
	return unit_run("grafana_rule",
			(const struct unit_test[]){{"rules are translated", rules_are_translated},
						   {"rules are validated", rules_are_validated},
						   {"expressions are validated", expressions_are_validated},
						   {"math is read", math_is_read},
						   {"durations", durations},
						   {"queries are validated", queries_are_validated},
						   {"sources are matched", sources_are_matched},
						   {"expressions have no source", expressions_have_no_source},
						   {0}});
}
