/* SPDX-License-Identifier: Apache-2.0 */
/* result: results as a worker encodes them and the daemon decodes them, also hostile ones. */
#include "wire/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

static void say(struct result_builder *b, const char *format, ...) PRINTF(2);
static void say(struct result_builder *b, const char *format, ...)
{
	char text[SKYMON_TEXT_MAX + 2];
	va_list list;
	va_start(list, format);
	skymon_format(text, format, list);
	va_end(list);
	result_say(b, text);
}

/* Encodes and decodes, as the wire does, with the body in memory of exactly its size. */
static struct result *cross(struct result_builder *b, int status, struct err *err)
{
	struct buf body = {0};
	result_encode(b, (enum skymon_status)status, 1500, &body);
	char *copy = malloc(body.size);
	memcpy(copy, body.data, body.size);
	struct result *result = result_decode(copy, wire_reader(copy, body.size), 77, err);
	buf_free(&body);
	return result;
}

static void fill(struct result_builder *b)
{
	struct err err = {0};
	say(b, "%d of %d", 3, 4);
	result_reason(b, SKYMON_STANDBY);
	CU_ASSERT(result_detail(b, "realm", "\"main\"", &err));
	CU_ASSERT(result_detail(b, "list", " [1, {\"a\": null}] ", &err));
	CU_ASSERT(result_detail(b, "realm", "\"other\"", &err));
	CU_ASSERT(result_set_number(b, "used", 0.5, &err));
	CU_ASSERT(result_set_number(b, "count", 12, &err));
	CU_ASSERT(result_set_number(b, "used", 0.75, &err));
	struct skymon_label two[] = {{"state", "idle"}, {"db", "a\"b\\c\nd"}};
	CU_ASSERT(result_metric(b, SKYMON_GAUGE, "pg_connections", "Connections", 4, two, 2, &err));
	CU_ASSERT(result_metric(b, SKYMON_GAUGE, "pg_connections", "Connections", 0.25, NULL, 0, &err));
	CU_ASSERT(result_metric(b, SKYMON_COUNTER, "pg_commits_total", NULL, 1e15, NULL, 0, &err));
}

/* A name that did not resolve, and the plugin's result: the reason `dns` is kept for failures only. */
static void names_that_do_not_resolve(void)
{
	static const struct {
		const char *says; /* afterwards; NULL for nothing */
		int reason, status, expected;
		const char *message;
	} rows[] = {
		{NULL, 0, SKYMON_UNHEALTHY, SKYMON_DNS, "cannot resolve a"},
		{NULL, 0, SKYMON_UNKNOWN, SKYMON_DNS, "cannot resolve a"},
		{"no host", 0, SKYMON_UNHEALTHY, SKYMON_DNS, "no host"},
		{"no login", SKYMON_AUTH_FAILED, SKYMON_UNHEALTHY, SKYMON_AUTH_FAILED, "no login"},
		{"b answers", 0, SKYMON_HEALTHY, SKYMON_OK, "b answers"},
		{"b answers", SKYMON_STANDBY, SKYMON_HEALTHY, SKYMON_STANDBY, "b answers"},
		{"b answers", SKYMON_DNS, SKYMON_HEALTHY, SKYMON_OK, "b answers"},
		{NULL, 0, SKYMON_HEALTHY, SKYMON_OK, "ok"},
		{"b is slow", 0, SKYMON_DEGRADED, SKYMON_OTHER, "b is slow"},
		{NULL, 0, SKYMON_DEGRADED, SKYMON_OTHER, "other"},
		{"b is slow", SKYMON_DNS, SKYMON_DEGRADED, SKYMON_DNS, "b is slow"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result_builder *b = result_builder_new();
		struct err err = {0};
		result_reason(b, SKYMON_DNS);
		say(b, "cannot resolve a");
		result_unresolved(b);
		if (rows[i].reason != 0)
			result_reason(b, rows[i].reason);
		if (rows[i].says != NULL)
			say(b, "%s", rows[i].says);
		struct result *result = cross(b, rows[i].status, &err);
		CU_ASSERT_PTR_NOT_NULL_FATAL(result);
		CU_ASSERT_EQUAL(result->view.reason, rows[i].expected);
		UNIT_TEXT(result->view.message, rows[i].message);
		result_unref(result);
		result_builder_free(b);
	}
	/* a worker that claims it on the wire */
	struct result_builder *b = result_builder_new();
	struct err err = {0};
	struct buf body = {0};
	result_encode(b, SKYMON_HEALTHY, 1500, &body);
	body.data[1] = SKYMON_DNS;
	char *copy = malloc(body.size);
	memcpy(copy, body.data, body.size);
	struct result *result = result_decode(copy, wire_reader(copy, body.size), 77, &err);
	CU_ASSERT(result != NULL && result->view.reason == SKYMON_OK);
	result_unref(result);
	buf_free(&body);
	result_builder_free(b);
}

static void crosses_whole(void)
{
	struct result_builder *b = result_builder_new();
	struct err err = {0};
	fill(b);
	struct result *result = cross(b, SKYMON_DEGRADED, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	const struct skymon_result *v = &result->view;
	CU_ASSERT(v->status == SKYMON_DEGRADED && v->reason == SKYMON_STANDBY);
	CU_ASSERT(v->time_ms == 77 && v->duration_us == 1500 && v->size == sizeof(*v));
	UNIT_TEXT(v->message, "3 of 4");
	UNIT_TEXT(v->details, "{\"realm\":\"other\",\"list\": [1, {\"a\": null}] }");
	CU_ASSERT_EQUAL_FATAL(v->number_count, 2);
	UNIT_TEXT(v->numbers[0]->name, "used");
	UNIT_TEXT(result_number(v, "used")->text, "0.75");
	CU_ASSERT(result_number(v, "count")->number == 12 && result_number(v, "other") == NULL);
	CU_ASSERT_EQUAL_FATAL(v->family_count, 2);
	const struct skymon_family *family = v->families[0];
	UNIT_TEXT(family->name, "pg_connections");
	UNIT_TEXT(family->help, "Connections");
	CU_ASSERT(family->type == SKYMON_GAUGE && family->series_count == 2);
	size_t at = 0;
	struct skymon_series series = {0};
	CU_ASSERT_FATAL(skymon_series_next(family, &at, &series));
	const char *labels = "db=\"a\\\"b\\\\c\\nd\",state=\"idle\"";
	CU_ASSERT(series.labels_size == strlen(labels) && memcmp(series.labels, labels, strlen(labels)) == 0);
	CU_ASSERT(series.value_size == 1 && series.value[0] == '4');
	CU_ASSERT_FATAL(skymon_series_next(family, &at, &series));
	CU_ASSERT(series.labels_size == 0 && series.value_size == 4 && memcmp(series.value, "0.25", 4) == 0);
	CU_ASSERT(!skymon_series_next(family, &at, &series));
	CU_ASSERT_EQUAL(v->families[1]->type, SKYMON_COUNTER);
	uint64_t id = v->id;
	result_unref(result);
	result_builder_reset(b);
	result = cross(b, SKYMON_HEALTHY, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	UNIT_TEXT(result->view.message, "ok");
	UNIT_TEXT(result->view.details, "{}");
	CU_ASSERT(result->view.reason == SKYMON_OK && result->view.id > id && result->view.number_count == 0);
	result_unref(result);
	result_builder_free(b);
}

static void messages_are_one_line(void)
{
	static const struct {
		const char *said, *kept;
	} rows[] = {{"a\nb\tc\r\n", "a b c"}, {"bad \xFF byte", "bad \xEF\xBF\xBD byte"}, {"  ", "other"}};
	struct result_builder *b = result_builder_new();
	struct err err = {0};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		result_builder_reset(b);
		say(b, "%s", rows[i].said);
		struct result *result = cross(b, SKYMON_UNHEALTHY, &err);
		UNIT_TEXT(result != NULL ? result->view.message : NULL, rows[i].kept);
		result_unref(result);
	}
	char longer[3000];
	memset(longer, 'x', 499);
	for (size_t i = 499; i + 2 < sizeof(longer); i += 2)
		memcpy(longer + i, "\xC3\xA9", 3);
	say(b, "%s", longer);
	CU_ASSERT_EQUAL(strlen(result_builder_message(b)), 499); /* cut before the letter that does not fit */
	struct result *result = cross(b, 99, &err);
	CU_ASSERT(result != NULL && result->view.status == SKYMON_UNKNOWN);
	result_unref(result);
	result_builder_free(b);
}

static void details_are_validated(void)
{
	static const char *const wrong[] = {"",         "{",   "1,2",   "1],[2",  "{\"a\":1,\"a\":2}", "nan",
					    "\"\xFF\"", "'x'", "1e999", "\"\n\"", "\"\\u0000\""};
	struct result_builder *b = result_builder_new();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct err err = {0};
		CU_ASSERT(!result_detail(b, "key", wrong[i], &err));
		CU_ASSERT(strstr(err.text, "key") != NULL);
	}
	struct err err = {0};
	CU_ASSERT(!result_detail(b, "", "1", &err));
	CU_ASSERT(!result_detail(b, "\xFF", "1", &err));
	/* as deep as the reader allows: the daemon accepts what the builder accepts */
	char deep[5000];
	bool taken = false;
	for (size_t depth = 2040; depth < 2056; depth++) {
		memset(deep, '[', depth);
		memset(deep + depth, ']', depth);
		deep[2 * depth] = '\0';
		bool ok = result_detail(b, "deep", deep, &err);
		taken = taken || ok;
		struct result *result = cross(b, SKYMON_HEALTHY, &err);
		CU_ASSERT_PTR_NOT_NULL(result);
		result_unref(result);
	}
	CU_ASSERT(taken);
	char *large = malloc(RESULT_DETAILS_MAX);
	memset(large, '1', RESULT_DETAILS_MAX - 1);
	large[0] = large[RESULT_DETAILS_MAX - 2] = '"';
	large[RESULT_DETAILS_MAX - 1] = '\0';
	CU_ASSERT(!result_detail(b, "large", large, &err));
	free(large);
	result_builder_free(b);
}

static void wrong_metrics_are_refused(void)
{
	static char long_name[202];
	memset(long_name, 'x', sizeof(long_name) - 1);
	static const struct skymon_label component[] = {{"component", "x"}},
					 twice[] = {{"a", "1"}, {"b", "2"}, {"a", "3"}},
					 hidden[] = {{"__name__", "x"}}, digit[] = {{"1a", "x"}},
					 none[] = {{NULL, "x"}}, ab[] = {{"a", "1"}, {"b", "2"}},
					 ba[] = {{"b", "2"}, {"a", "1"}}, empty[] = {{"a", ""}},
					 job[] = {{"a", "1"}, {"job", "x"}}, instance[] = {{"instance", "x"}},
					 le[] = {{"le", "1"}}, quantile[] = {{"quantile", "0.5"}},
					 near[] = {{"job_name", "x"}, {"lease", "x"}};
	static const struct {
		int type;
		const char *name;
		double value;
		const struct skymon_label *labels;
		size_t count;
		const char *why; /* NULL if accepted */
	} rows[] = {
		{SKYMON_GAUGE, "ok", 1, NULL, 0, NULL},
		{SKYMON_GAUGE, "ok", 1, NULL, 0, "twice"},
		{SKYMON_GAUGE, "ok", 1, empty, 1, "twice"}, /* an empty label is dropped */
		{SKYMON_GAUGE, "ok", 1, ab, 2, NULL},
		{SKYMON_GAUGE, "ok", 1, ba, 2, "twice"}, /* the same labels in another order */
		{SKYMON_COUNTER, "ok", 1, ab, 1, "at once"},
		{SKYMON_COUNTER, "ok_count", 1, ab, 1, "ok_count_total"},
		{SKYMON_COUNTER, "n_total", 1, NULL, 0, NULL},
		{SKYMON_GAUGE, "n_total", 1, ab, 1, "at once"},
		{SKYMON_COUNTER, "n_total", -1, ab, 1, "negative"},
		{SKYMON_COUNTER, "n_total", NAN, ab, 1, "negative"},
		{SKYMON_GAUGE, "nan", NAN, NULL, 0, NULL},
		{SKYMON_GAUGE, "inf", -INFINITY, NULL, 0, NULL},
		{7, "x", 1, NULL, 0, "neither"},
		{SKYMON_GAUGE, "with space", 1, NULL, 0, "name"},
		{SKYMON_GAUGE, "", 1, NULL, 0, "name"},
		{SKYMON_GAUGE, NULL, 1, NULL, 0, "name"},
		{SKYMON_GAUGE, "9lives", 1, NULL, 0, "name"},
		{SKYMON_GAUGE, long_name, 1, NULL, 0, "longer than 200 bytes"},
		{SKYMON_GAUGE, "x", 1, component, 1, "component"},
		{SKYMON_GAUGE, "x", 1, twice, 3, "twice"},
		{SKYMON_GAUGE, "x", 1, hidden, 1, "wrong name"},
		{SKYMON_GAUGE, "x", 1, digit, 1, "wrong name"},
		{SKYMON_GAUGE, "x", 1, none, 1, "wrong name"},
		{SKYMON_GAUGE, "up", 1, NULL, 0, "reserved name"},
		{SKYMON_GAUGE, "scrape_duration_seconds", 1, NULL, 0, "reserved name"},
		{SKYMON_COUNTER, "process_cpu_seconds_total", 1, NULL, 0, "reserved name"},
		{SKYMON_GAUGE, "__name__", 1, NULL, 0, "reserved name"},
		{SKYMON_GAUGE, "x", 1, job, 2, "the label job, which is reserved"},
		{SKYMON_GAUGE, "x", 1, instance, 1, "the label instance, which is reserved"},
		{SKYMON_GAUGE, "x", 1, le, 1, "the label le, which is reserved"},
		{SKYMON_GAUGE, "x", 1, quantile, 1, "the label quantile, which is reserved"},
		{SKYMON_GAUGE, "upper", 1, near, 2, NULL},
	};
	struct result_builder *b = result_builder_new();
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct err err = {0};
		bool ok = result_metric(b, rows[i].type, rows[i].name, "help", rows[i].value, rows[i].labels,
					rows[i].count, &err);
		CU_ASSERT_EQUAL(ok, rows[i].why == NULL);
		if (rows[i].why != NULL && strstr(err.text, rows[i].why) == NULL)
			fprintf(stderr, "\nrow %zu says: %s\n", i, err.text);
		CU_ASSERT(rows[i].why == NULL || strstr(err.text, rows[i].why) != NULL);
	}
	struct err err = {0};
	struct result *result = cross(b, SKYMON_HEALTHY, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	CU_ASSERT_EQUAL(result->view.family_count, 5);
	result_unref(result);
	result_builder_free(b);
}

static void many_series_cross(void)
{
	struct result_builder *b = result_builder_new();
	struct err err = {0};
	char text[16];
	for (int i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		struct skymon_label label = {"n", text};
		CU_ASSERT(result_metric(b, SKYMON_GAUGE, i % 2 ? "odd" : "even", "h", i + 0.1, &label, 1,
					&err));
	}
	struct result *result = cross(b, SKYMON_HEALTHY, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(result);
	CU_ASSERT(result->view.families[0]->series_count == 10000 &&
		  result->view.families[1]->series_count == 10000);
	result_unref(result);
	result_builder_free(b);
}

/* Limits of the worker and of the daemon: the first series are kept, the rest counted, and the first dropped
 * one named. */
static void series_are_limited(void)
{
	static const struct {
		uint32_t worker, daemon, even, odd, dropped;
		const char *name;
	} rows[] = {
		{0, 100, 30, 20, 0, ""},     {50, 50, 30, 20, 0, ""},     {49, 50, 30, 19, 1, "odd"},
		{50, 49, 30, 19, 1, "odd"},  {30, 50, 30, 0, 20, "odd"},  {50, 30, 30, 0, 20, "odd"},
		{10, 50, 10, 0, 40, "even"}, {50, 10, 10, 0, 40, "even"}, {20, 10, 10, 0, 40, "even"},
		{50, 1, 1, 0, 49, "even"},
	};
	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		struct result_builder *b = result_builder_new();
		struct err err = {0};
		result_builder_limit(b, rows[row].worker);
		for (int twice = 0; twice < 2; twice++) { /* the limit survives a reset */
			result_builder_reset(b);
			for (int i = 0; i < 50; i++) {
				char text[16];
				snprintf(text, sizeof(text), "%d", i);
				struct skymon_label label = {"n", text};
				CU_ASSERT(result_metric(b, SKYMON_GAUGE, i < 30 ? "even" : "odd", "h",
							i + 0.1, &label, 1, &err));
			}
		}
		struct result *result = cross(b, SKYMON_HEALTHY, &err);
		CU_ASSERT_PTR_NOT_NULL_FATAL(result);
		result_limit_series(result, rows[row].daemon);
		uint32_t counts[2] = {0, 0};
		for (size_t i = 0; i < result->view.family_count; i++) {
			const struct skymon_family *family = result->view.families[i];
			struct skymon_series series;
			size_t at = 0;
			while (skymon_series_next(family, &at, &series))
				counts[i]++;
			CU_ASSERT(at == family->series_size && counts[i] == family->series_count);
		}
		CU_ASSERT(counts[0] == rows[row].even && counts[1] == rows[row].odd);
		CU_ASSERT_EQUAL(result->dropped, rows[row].dropped);
		UNIT_TEXT(rows[row].dropped > 0 ? result->dropped_name : "", rows[row].name);
		result_unref(result);
		result_builder_free(b);
	}
}

/* A result with any byte changed, or cut at any point, is refused or valid, without a wrong read (under
 * ASan). */
static void hostile_results_do_no_harm(void)
{
	struct result_builder *b = result_builder_new();
	struct buf body = {0};
	size_t refused = 0, taken = 0;
	fill(b);
	result_encode(b, SKYMON_HEALTHY, 1, &body);
	for (size_t at = 0; at < body.size; at++) {
		static const unsigned char bytes[] = {0, 1, 2, 0x22, 0x7F, 0x80, 0xFF, '\\'};
		for (size_t i = 0; i <= sizeof(bytes); i++) {
			size_t size = i < sizeof(bytes) ? body.size : at;
			char *copy = malloc(size > 0 ? size : 1);
			memcpy(copy, body.data, size);
			if (i < sizeof(bytes))
				copy[at] = (char)bytes[i];
			struct err err = {0};
			struct result *result = result_decode(copy, wire_reader(copy, size), 0, &err);
			CU_ASSERT(i < sizeof(bytes) || result == NULL);
			CU_ASSERT(result != NULL || err.text[0] != '\0');
			refused += result == NULL;
			taken += result != NULL;
			result_unref(result);
		}
	}
	CU_ASSERT(refused > taken && taken > 0);
	buf_free(&body);
	result_builder_free(b);
}

/* One series, written by hand. */
static bool series_taken(int type, const char *labels, const char *value)
{
	struct buf body = {0};
	wire_put_u8(&body, SKYMON_HEALTHY);
	wire_put_u8(&body, SKYMON_OK);
	wire_put_u64(&body, 0);
	wire_put_text(&body, "message");
	wire_put_text(&body, "{}");
	wire_put_u32(&body, 0);
	wire_put_u32(&body, 1);
	wire_put_u8(&body, (uint8_t)type);
	wire_put_text(&body, "name");
	wire_put_text(&body, "help");
	wire_put_u32(&body, 1);
	struct buf series = {0};
	unsigned char head[3] = {(unsigned char)strlen(labels), 0, (unsigned char)strlen(value)};
	buf_add(&series, head, 3);
	buf_text(&series, labels);
	buf_text(&series, value);
	wire_put_bytes(&body, series.data, series.size);
	wire_put_u32(&body, 0);
	wire_put_text(&body, "");
	struct result *result = result_decode(body.data, wire_reader(body.data, body.size), 0, NULL);
	bool taken = result != NULL;
	result_unref(result);
	buf_free(&series);
	return taken;
}

static void series_are_validated(void)
{
	static const struct {
		const char *labels, *value;
		int type;
		bool ok;
	} rows[] = {
		{"", "1", 1, true},
		{"a=\"x\"", "1.5", 1, true},
		{"a=\"x\",b=\"\\\\\\n\\\"\"", "-1e-05", 1, true},
		{"a=\"\"", "+Inf", 1, true},
		{"", "-Inf", 1, true},
		{"", "NaN", 1, true},
		{"", "NaN", 2, false},
		{"", "-1", 2, false},
		{"", "-Inf", 2, false},
		{"", "+Inf", 2, true},
		{"", "1", 3, false},
		{"", "", 1, false},
		{"", "Inf", 1, false},
		{"", "1.", 1, false},
		{"", ".5", 1, false},
		{"", "1e", 1, false},
		{"", "0x10", 1, false},
		{"", "1 2", 1, false},
		{"", "1\n", 1, false},
		{"a", "1", 1, false},
		{"a=", "1", 1, false},
		{"a=\"", "1", 1, false},
		{"a=\"x", "1", 1, false},
		{"a=\"x\",", "1", 1, false},
		{"a=\"x\" ", "1", 1, false},
		{"a=\"x\\", "1", 1, false},
		{"a=\"x\\\"", "1", 1, false},
		{"a=\"\\t\"", "1", 1, false},
		{"a=\"\n\"", "1", 1, false},
		{"a=\"\xFF\"", "1", 1, false},
		{"1a=\"x\"", "1", 1, false},
		{"__a=\"x\"", "1", 1, false},
		{",a=\"x\"", "1", 1, false},
		{"a=\"x\"} 1\nb{", "1", 1, false},
		/* each label once, in order, and not the one that skymon adds */
		{"a=\"x\",aa=\"x\",b=\"x\"", "1", 1, true},
		{"a=\"x\",a=\"y\"", "1", 1, false},
		{"b=\"x\",a=\"y\"", "1", 1, false},
		{"aa=\"x\",a=\"y\"", "1", 1, false},
		{"component=\"x\"", "1", 1, false},
		{"a=\"x\",component=\"x\"", "1", 1, false},
		{"components=\"x\"", "1", 1, true},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool ok = series_taken(rows[i].type, rows[i].labels, rows[i].value);
		if (ok != rows[i].ok)
			fprintf(stderr, "\n%s %s: %d\n", rows[i].labels, rows[i].value, ok);
		CU_ASSERT_EQUAL(ok, rows[i].ok);
	}
}

static void worsens_and_counts(void)
{
	struct result *result = result_new(SKYMON_HEALTHY, SKYMON_OK, 5, -1, "fine for %d days", 3);
	CU_ASSERT(result->references == 1 && result->view.duration_us == -1);
	UNIT_TEXT(result->view.details, "{}");
	result_worsen(result, SKYMON_UNHEALTHY, SKYMON_THRESHOLD_CRIT, "%s, but", result->view.message);
	UNIT_TEXT(result->view.message, "fine for 3 days, but");
	CU_ASSERT(result->view.status == SKYMON_UNHEALTHY && result->view.reason == SKYMON_THRESHOLD_CRIT);
	CU_ASSERT_PTR_EQUAL(result_ref(result), result);
	result_unref(result);
	UNIT_TEXT(result->view.message, "fine for 3 days, but");
	result_unref(result);
	result_unref(NULL);
	UNIT_TEXT(skymon_status_word(SKYMON_DEGRADED), "degraded");
	UNIT_TEXT(skymon_status_word(-1), "unknown");
	UNIT_TEXT(skymon_reason_word(SKYMON_TLS_UNTRUSTED), "tls_untrusted");
	UNIT_TEXT(skymon_reason_word(SKYMON_REASON_COUNT), "other");
	for (int i = 0; i < SKYMON_REASON_COUNT; i++)
		CU_ASSERT_PTR_NOT_NULL(skymon_reason_word(i));
}

/* A plugin may report a reason, except those of the core; the same in a failed start (test_runner). */
static void claims_of_the_core_s_reasons(void)
{
	static const int own[] = {
		SKYMON_CRASHED,        SKYMON_KILLED,         SKYMON_STALE,          SKYMON_STARTING,
		SKYMON_THRESHOLD_WARN, SKYMON_THRESHOLD_CRIT, SKYMON_NOT_CONFIGURED, SKYMON_OK};
	static const int theirs[] = {SKYMON_TIMEOUT, SKYMON_DNS, SKYMON_REFUSED, SKYMON_SEALED,
				     SKYMON_RESOURCE};
	for (int status = SKYMON_UNKNOWN; status <= SKYMON_UNHEALTHY; status++) {
		for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
			struct result_builder *b = result_builder_new();
			struct buf body = {0};
			struct err err = {0};
			bool healthy = status == SKYMON_HEALTHY;
			result_reason(b, own[i]);
			struct result *result = cross(b, status, &err);
			CU_ASSERT(result != NULL &&
				  result->view.reason == (healthy ? SKYMON_OK : SKYMON_OTHER));
			result_unref(result);
			result_encode(b, (enum skymon_status)status, 1, &body);
			body.data[1] = (char)own[i]; /* a worker that claims it on the wire */
			char *copy = malloc(body.size);
			memcpy(copy, body.data, body.size);
			result = result_decode(copy, wire_reader(copy, body.size), 77, &err);
			CU_ASSERT(result != NULL &&
				  result->view.reason == (healthy ? SKYMON_OK : SKYMON_OTHER));
			result_unref(result);
			buf_free(&body);
			result_builder_free(b);
		}
		for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++)
			CU_ASSERT_EQUAL(result_claim(status, theirs[i]),
					status == SKYMON_HEALTHY ? (int)SKYMON_OK : theirs[i]);
	}
}

int main(void)
{
	return unit_run("result", (const struct unit_test[]){
					  {"crosses whole", crosses_whole},
					  {"names that do not resolve", names_that_do_not_resolve},
					  {"claims of the core's reasons", claims_of_the_core_s_reasons},
					  {"messages are one line", messages_are_one_line},
					  {"details are validated", details_are_validated},
					  {"wrong metrics are refused", wrong_metrics_are_refused},
					  {"many series cross", many_series_cross},
					  {"series are limited", series_are_limited},
					  {"hostile results do no harm", hostile_results_do_no_harm},
					  {"series are validated", series_are_validated},
					  {"worsens and counts", worsens_and_counts},
					  {0}});
}
