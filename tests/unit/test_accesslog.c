/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog: formats and lines as tables, percentiles against exact ones, and a file that is rotated, copied, truncated and followed by a
 * process that restarts. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/accesslog/accesslog.c"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static void formats(void)
{
	static const struct {
		const char *format, *why;
	} rows[] = {
		{"combined", ""},
		{"common", ""},
		{"timed", ""},
		{"json", ""},
		{"$status", ""},
		{"[$time] $status $request_time_us", ""},
		{"nginx", "must be common, combined, timed, json, or a template with $status"},
		{"", "must be common, combined, timed, json, or a template with $status"},
		{"$time $request_time", "must be common, combined, timed, json, or a template with $status"},
		{"$status$time", "has two fields without a text between them"},
		{"$status $", "has a $ without a name"},
		{"$status %D $Time", "has a $ without a name"},
	};
	const struct skymon_map none = {0};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct accesslog_format format;
		char why[ACCESSLOG_WHY] = "";
		CU_ASSERT_EQUAL(accesslog_format_parse(rows[i].format, &none, &format, why),
				rows[i].why[0] == '\0');
		UNIT_TEXT(why, rows[i].why);
	}
}

static void lines(void)
{
	static const struct skymon_label keys[] = {{"status", "code"}, {"request_time_ms", "took"}};
	static const struct {
		const char *format, *line;
		bool named; /* with keys of JSON */
		int status; /* 0: malformed */
		double seconds;
	} rows[] = {
		{"combined", "::1 - - [27/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl\"",
		 false, 200, -1},
		{"combined", "::1 - - [x] \"GET / HTTP/1.1\" 502 5 \"-\" \"curl\" 0.123", false, 502, -1},
		{"combined", "h - u v [x] \"GET /\\\" 200 HTTP/1.1\" 404 5 \"-\" \"a \\\" b\"", false, 404,
		 -1},
		{"combined", "h - - [x] \"\" 400 0 \"-\" \"-\"", false, 400, -1},
		{"combined", "h - - [x] \"GET /\" 2000 5 \"-\" \"-\"", false, 0, 0},
		{"combined", "h - - [x] \"GET /\" 600 5 \"-\" \"-\"", false, 0, 0},
		{"combined", "h - - [x] \"GET /\" - 5 \"-\" \"-\"", false, 0, 0},
		{"combined", "rubbish", false, 0, 0},
		{"combined", "", false, 0, 0},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\" 0.250", false, 200, 0.25},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\" 0.250 extra", false, 200, 0.25},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\" -", false, 200, -1},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\" fast", false, 0, 0},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\" 1e3", false, 0, 0},
		{"timed", "h - - [x] \"GET /\" 200 5 \"-\" \"-\"", false, 0, 0},
		{"common", "h - - [x] \"GET /\" 200 5\r", false, 200, -1},
		{"$request_time_us|$status", "1500|200", false, 200, 0.0015},
		{"$status $request_time_ms", "200 15", false, 200, 0.015},
		{"json", "{\"status\": 200, \"request_time\": 0.5}", false, 200, 0.5},
		{"json", "{\"status\": \"503\", \"request_time\": \"0.5\", \"more\": {\"a\": []}}", false,
		 503, 0.5},
		{"json", "{\"status\": 200}", false, 200, -1},
		{"json", "{\"code\": 200, \"took\": 12}", true, 200, 0.012},
		{"json", "{\"status\": true}", false, 0, 0},
		{"json", "{\"request_time\": 1}", false, 0, 0},
		{"json", "{\"status\": 200", false, 0, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct skymon_map map = {keys, rows[i].named ? 2 : 0};
		struct accesslog_format format;
		struct accesslog_line line;
		char why[ACCESSLOG_WHY];
		CU_ASSERT_FATAL(accesslog_format_parse(rows[i].format, &map, &format, why));
		bool good = accesslog_line_parse(&format, rows[i].line, strlen(rows[i].line), &line);
		bool same = good == (rows[i].status != 0) &&
			    (!good ||
			     (line.status == rows[i].status && fabs(line.seconds - rows[i].seconds) < 1e-9));
		if (!same)
			fprintf(stderr, "\n%s: %s: %d %d %g\n", rows[i].format, rows[i].line, good,
				line.status, line.seconds);
		CU_ASSERT(same);
	}
}

static void window(void)
{
	static struct accesslog_window sliding = {.slot_ms = 1000};
	struct accesslog_sums sums;
	for (int i = 1; i <= 1000; i++) /* 1 ms to 1 s, over 50 s */
		accesslog_window_add(&sliding, 1000000 + i * 50,
				     &(struct accesslog_line){i % 100 == 0 ? 503 : 200, i / 1000.0});
	accesslog_window_sum(&sliding, 1050000, &sums);
	CU_ASSERT(sums.requests == 1000 && sums.errors == 10 && sums.timed == 1000);
	CU_ASSERT_DOUBLE_EQUAL(sums.seconds, 500.5, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(sums.p50, 0.5, 0.5 * 0.03);
	CU_ASSERT_DOUBLE_EQUAL(sums.p95, 0.95, 0.95 * 0.03);
	CU_ASSERT_DOUBLE_EQUAL(sums.p99, 0.99, 0.99 * 0.03);
	accesslog_window_sum(&sliding, 1080000, &sums); /* what is older than 60 s does not count */
	CU_ASSERT(sums.requests > 560 && sums.requests < 620);
	accesslog_window_sum(&sliding, 1200000, &sums);
	CU_ASSERT(sums.requests == 0 && sums.p99 == 0);
}

/* ---- A file that is followed ---- */

static char folder[] = "/tmp/skymon-accesslog-XXXXXX", path[100];
static struct accesslog *followed;
static uint64_t written;

static void append(const char *to, int count)
{
	FILE *out = fopen(to, "a");
	for (int i = 0; i < count; i++)
		fprintf(out, "request %llu 200\n", (unsigned long long)++written);
	fclose(out);
}

static const char *beside(const char *suffix)
{
	static char text[4][120];
	static unsigned turn;
	char *name = text[turn++ % 4];
	snprintf(name, sizeof(text[0]), "%s%s", path, suffix);
	return name;
}

static void begin(void)
{
	struct skymon *sm = fake_new_run();
	followed = calloc(1, sizeof(*followed));
	followed->path = path;
	followed->format = "request $number $status";
	followed->window.ms = 60000;
	CU_ASSERT_FATAL(start(sm, followed));
	free(followed->follow.state);
	followed->follow.state = strdup(beside(".position"));
}

static void end(void)
{
	stop(NULL, followed);
	free(followed);
}

/* Runs a check and compares what was counted with what was written. */
static void expect(const char *deed, uint64_t gaps)
{
	struct skymon *sm = fake_new_run();
	CU_ASSERT_EQUAL(check(sm, followed), SKYMON_HEALTHY);
	const struct accesslog_totals *totals = &followed->follow.totals;
	if (totals->classes[2] != written || totals->gaps != gaps || totals->malformed != 0)
		fprintf(stderr, "\n%s: %llu of %llu, %llu gaps, %llu malformed\n", deed,
			(unsigned long long)totals->classes[2], (unsigned long long)written,
			(unsigned long long)totals->gaps, (unsigned long long)totals->malformed);
	CU_ASSERT(totals->classes[2] == written && totals->gaps == gaps && totals->malformed == 0);
}

static void copy(const char *from, const char *to)
{
	char command[400];
	snprintf(command, sizeof(command), "cp %s %s", from, to);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void follows(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/access.log", folder);
	append(path, 5);
	written = 0; /* what was there before the first check does not count */
	begin();
	expect("first", 0);
	append(path, 3);
	expect("appended", 0);
	FILE *out = fopen(path, "a");
	fputs("request 1 ", out);
	fflush(out);
	expect("half a line", 0);
	fputs("200\n", out);
	fclose(out);
	written++;
	expect("its other half", 0);
	end();
	append(path, 10000);
	begin();
	expect("restarted", 0);
	/* renamed and re-created; the writer goes on in the old one for a while */
	append(path, 2);
	CU_ASSERT_EQUAL(rename(path, beside(".1")), 0);
	append(beside(".1"), 3);
	expect("renamed, not created", 0);
	append(path, 4);
	append(beside(".1"), 5);
	expect("created", 0);
	append(beside(".1"), 1);
	append(path, 1);
	expect("both written", 0);
	end();
	append(path, 1);
	append(beside(".1"), 1);
	begin();
	expect("restarted amid a rotation", 0);
	end();
	/* two rotations between two checks */
	begin();
	expect("before two rotations", 0);
	append(path, 2);
	CU_ASSERT_EQUAL(rename(beside(".1"), beside(".3")), 0);
	usleep(20000);
	CU_ASSERT_EQUAL(rename(path, beside(".2")), 0);
	append(path, 3);
	usleep(20000);
	CU_ASSERT_EQUAL(rename(path, beside(".1")), 0);
	append(path, 4);
	expect("two rotations between two checks", 0);
	end();
	/* two rotations while nothing follows */
	append(path, 7);
	CU_ASSERT_EQUAL(rename(beside(".2"), beside(".4")), 0);
	CU_ASSERT_EQUAL(rename(beside(".1"), beside(".2")), 0);
	CU_ASSERT_EQUAL(rename(path, beside(".1")), 0);
	usleep(20000);
	append(path, 8);
	CU_ASSERT_EQUAL(rename(beside(".1"), beside("-20261126")), 0);
	CU_ASSERT_EQUAL(rename(path, beside("-20261127")), 0);
	usleep(20000);
	append(path, 9);
	append(beside(".error"), 100);
	written -= 100; /* no rotated file of ours */
	begin();
	expect("restarted after two rotations", 0);
	/* copied and truncated */
	append(path, 6);
	copy(path, beside(".1"));
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	append(path, 2);
	expect("copied and truncated", 0);
	copy(path, beside(".1"));
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	append(path, 5000);
	expect("truncated and longer than before", 0);
	end();
	append(path, 3);
	copy(path, beside(".1"));
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	append(path, 4);
	begin();
	expect("copied and truncated while nothing follows", 0);
	CU_ASSERT_EQUAL(unlink(beside(".1")), 0);
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	append(path, 2);
	expect("truncated", 1); /* what had not been read is gone: counted */
	end();
	append(path, 2);
	CU_ASSERT_EQUAL(unlink(path), 0);
	append(path, 3);
	written -= 2;
	begin();
	expect("replaced while nothing follows", 2);
	end();
}

static void faults(void)
{
	struct skymon *sm = fake_new_run();
	begin();
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(check(sm, followed), SKYMON_UNKNOWN);
	CU_ASSERT_EQUAL(fake.reason, SKYMON_MISSING);
	append(path, 1);
	sm = fake_new_run();
	CU_ASSERT_EQUAL(check(sm, followed), SKYMON_HEALTHY);
	FILE *out = fopen(path, "a");
	for (int i = 0; i < 3 * ACCESSLOG_LINE_MAX; i++)
		fputc('x', out);
	fputs("\nrequest 1 200\n", out);
	fclose(out);
	sm = fake_new_run();
	uint64_t before = followed->follow.totals.classes[2];
	(void)check(sm, followed);
	CU_ASSERT(followed->follow.totals.malformed >= 3 && followed->follow.totals.classes[2] == before + 1);
	out = fopen(path, "a");
	fputs("rubbish\n", out);
	fclose(out);
	sm = fake_new_run();
	CU_ASSERT_EQUAL(check(sm, followed), SKYMON_UNKNOWN);
	CU_ASSERT_EQUAL(fake.reason, SKYMON_PROTOCOL);
	end();
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CU_ASSERT_EQUAL(system(command), 0);
}

int main(void)
{
	return unit_run("accesslog", (const struct unit_test[]){{"formats", formats},
								{"lines", lines},
								{"window", window},
								{"follows", follows},
								{"faults", faults},
								{0}});
}
