/* SPDX-License-Identifier: Apache-2.0 */
/* exec: performance data and results as tables, which users may change a program, and what is reported of outputs. Programs
 * themselves: test_lib_spawn.c and tests/live/test_exec.py. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/exec/exec.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Performance data ---- */

/* Writes all items as "label|value|unit|warn|crit|min|max", "!" for a malformed one. */
static void write_items(const char *text, char *out, size_t room)
{
	struct exec_perfdata item;
	enum exec_parsed parsed;
	size_t used = 0;
	out[0] = '\0';
	while ((parsed = exec_perfdata_next(&text, &item)) != EXEC_END && used < room) {
		if (parsed == EXEC_MALFORMED)
			used += (size_t)snprintf(out + used, room - used, "! ");
		else if (!item.known)
			used += (size_t)snprintf(out + used, room - used, "%s=U ", item.label);
		else
			used += (size_t)snprintf(out + used, room - used, "%s=%.9g@%d,%s,%s,%s,%s ",
						 item.label, item.value, (int)item.kind, item.warn, item.crit,
						 item.min, item.max);
	}
}

static void perfdata(void)
{
	static const struct {
		const char *text, *items;
	} rows[] = {
		{"", ""},
		{" \t\n ", ""},
		{"a=1", "a=1@0,,,, "},
		{"a=1;2;3;0;10", "a=1@0,2,3,0,10 "},
		{"a=1;;;0", "a=1@0,,,0, "},
		{"a=1;2;3;0;10;", "a=1@0,2,3,0,10 "},
		{"a=-1.5 b=+2 c=.5 d=5.", "a=-1.5@0,,,, b=2@0,,,, c=0.5@0,,,, d=5@0,,,, "},
		{"t=5ms u=5us n=5ns s=5s", "t=0.005@1,,,, u=5e-06@1,,,, n=5e-09@1,,,, s=5@1,,,, "},
		{"p=50% c=7c", "p=0.5@3,,,, c=7@4,,,, "},
		{"b=1B k=1KB K=1kB m=1MB g=1GB t=1TB",
		 "b=1@2,,,, k=1000@2,,,, K=1000@2,,,, m=1000000@2,,,, g=1e+09@2,,,, t=1e+12@2,,,, "},
		{"k=1KiB m=1MiB g=1GiB", "k=1024@2,,,, m=1048576@2,,,, g=1.07374182e+09@2,,,, "},
		{"v=3V", "v=3@0,,,, "},
		{"e=1e-05 E=2E3", "e=1e-05@0,,,, E=2000@0,,,, "},
		{"w=1;10:20;@5:~", "w=1@0,10:20,@5:~,, "},
		{"w=1;~:10;:5", "w=1@0,~:10,:5,, "},
		{"'a b'=1 'it''s'=2", "a b=1@0,,,, it's=2@0,,,, "},
		{"'x=y'=1", "x=y=1@0,,,, "},
		{"/=10MB /var/log=1B", "/=10000000@2,,,, /var/log=1@2,,,, "},
		{"ä=1", "ä=1@0,,,, "},
		{"u=U v=U;1;2 w=1", "u=U v=U w=1@0,,,, "},
		{"a=1\nb=2", "a=1@0,,,, b=2@0,,,, "},
		/* malformed: skipped alone, with the next one intact */
		{"a= b=2", "! b=2@0,,,, "},
		{"=1 b=2", "! b=2@0,,,, "},
		{"a=1,5s b=2", "! b=2@0,,,, "},
		{"a=one b=2", "! b=2@0,,,, "},
		{"a=0x10 b=2", "! b=2@0,,,, "},
		{"a=inf b=nan c=2", "! ! c=2@0,,,, "},
		{"a=1;two b=2", "! b=2@0,,,, "},
		{"a=1;1;2;3;4;5 b=2", "! b=2@0,,,, "},
		{"a=1;;;~ b=2", "! b=2@0,,,, "},
		{"a=1s/5 b=2", "! b=2@0,,,, "},
		{"a=UU b=2", "! b=2@0,,,, "},
		{"a=--1 b=2", "! b=2@0,,,, "},
		{"a=1.2.3 b=2", "! b=2@0,,,, "},
		/* an unquoted label with a blank: its end must not pass for a label */
		{"disk usage=5 b=2", "! b=2@0,,,, "},
		{"a=1 rubbish", "a=1@0,,,, ! "},
		{"'open=1 b=2", "! "},
		{"it's=1 b=2", "! b=2@0,,,, "},
		{"'a'b=1 c=2", "! c=2@0,,,, "},
		{"''=1 b=2", "! b=2@0,,,, "},
	};
	char items[1000];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		write_items(rows[i].text, items, sizeof(items));
		UNIT_TEXT(items, rows[i].items);
	}
	char label[200];
	memset(label, 'x', sizeof(label));
	memcpy(label + sizeof(label) - 3, "=1", 3);
	write_items(label, items, sizeof(items));
	UNIT_TEXT(items, "! ");
}

static void splitting(void)
{
	static const struct {
		const char *text, *message, *more, *perfdata, *more_perfdata;
	} rows[] = {
		{"", "", "", "", ""},
		{"OK", "OK", "", "", ""},
		{"OK | a=1", "OK ", "", " a=1", ""},
		{"OK | a=1\nmore\nlines | b=2\nc=3", "OK ", "more\nlines ", " a=1", " b=2\nc=3"},
		{"OK\nmore | b=2", "OK", "more ", "", " b=2"},
		{"|a=1", "", "", "a=1", ""},
		{"OK | a=1 | b=2", "OK ", "", " a=1 | b=2", ""},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[200];
		snprintf(text, sizeof(text), "%s", rows[i].text);
		struct exec_output output = exec_split(text);
		UNIT_TEXT(output.message, rows[i].message);
		UNIT_TEXT(output.more, rows[i].more);
		UNIT_TEXT(output.perfdata, rows[i].perfdata);
		UNIT_TEXT(output.more_perfdata, rows[i].more_perfdata);
	}
}

/* ---- Texts ---- */

static void cleaning(void)
{
	static const struct {
		const char *from;
		size_t size;
		const char *to;
	} rows[] = {
		{"a\tb\nc", 5, "a\tb\nc"},
		{"a\0b\x01\x7f", 5, "a?b??"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc3", 1, "?"},
		{"\xc0\xaf", 2, "??"},
		{"\xed\xa0\x80", 3, "???"},
		{"\xf4\x90\x80\x80", 4, "????"},
		{"\xff\xfe", 2, "??"},
		{"\xc2\x80x", 3, "??x"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[20] = "";
		memcpy(text, rows[i].from, rows[i].size);
		exec_clean(text, rows[i].size);
		UNIT_TEXT(text, rows[i].to);
	}
	char line[6];
	exec_first_line("  ab \r\nc", line, sizeof(line));
	UNIT_TEXT(line, "ab");
	exec_first_line("abcd\xc3\xa4", line, sizeof(line));
	UNIT_TEXT(line, "abcd");
	char name[16];
	CU_ASSERT(exec_number_name("bytes_", "/Var/L-1", name, sizeof(name)));
	UNIT_TEXT(name, "bytes__var_l_1");
	CU_ASSERT_FALSE(exec_number_name("bytes_", "0123456789", name, sizeof(name)));
}

/* ---- Reports ---- */

static enum skymon_status nagios(struct skymon *sm, const char *out, const char *err, int code, int number)
{
	static char bytes[4096], errors[EXEC_ERRORS_MAX];
	snprintf(bytes, sizeof(bytes), "%s", out);
	snprintf(errors, sizeof(errors), "%s", err);
	struct skymon_spawn_run run = {
		.out = bytes, .out_size = strlen(bytes), .err = errors, .code = code, .signal = number};
	return exec_nagios_report(sm, &run);
}

static void statuses(void)
{
	static const struct {
		const char *out, *err;
		int code, number;
		enum skymon_status status;
		const char *message;
	} rows[] = {
		{"DISK OK | a=1\n", "", 0, 0, SKYMON_HEALTHY, "DISK OK"},
		{"slow", "", 1, 0, SKYMON_DEGRADED, "slow"},
		{"gone", "", 2, 0, SKYMON_UNHEALTHY, "gone"},
		{"no idea", "", 3, 0, SKYMON_UNKNOWN, "no idea"},
		{"x", "", 4, 0, SKYMON_UNKNOWN, "the program ended with exit code 4: x"},
		{"", "", 127, 0, SKYMON_UNKNOWN, "the program ended with exit code 127"},
		{"", "no module\nmore", 2, 0, SKYMON_UNHEALTHY, "no module"},
		{"", "", 0, 0, SKYMON_HEALTHY, "the program ended with exit code 0 and printed nothing"},
		{"x", "", -1, 11, SKYMON_UNKNOWN,
		 "the program was ended by signal 11 (Segmentation fault): x"},
		{"a\001b\xff", "", 0, 0, SKYMON_HEALTHY, "a?b?"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		CU_ASSERT_EQUAL(nagios(sm, rows[i].out, rows[i].err, rows[i].code, rows[i].number),
				rows[i].status);
		UNIT_TEXT(fake.message, rows[i].message);
	}
}

static void values(void)
{
	struct skymon *sm = fake_new_run();
	CU_ASSERT_EQUAL(
		nagios(sm, "OK | time=5ms;10;20 /=1KB bad pct=5% n=3c neg=-1c t=20C time=1 u=U", "", 0, 0),
		SKYMON_HEALTHY);
	UNIT_TEXT(fake_find("number", "seconds_time"), "0.0050000000000000001");
	UNIT_TEXT(fake_find("number", "bytes__"), "1000");
	UNIT_TEXT(fake_find("number", "count_n"), "3");
	UNIT_TEXT(fake_find("number", "value_t"), "20");
	UNIT_TEXT(fake_find("number", "perfdata_skipped"),
		  "2"); /* `bad pct=5%`, which is one, and the second time= */
	CU_ASSERT_PTR_NULL(fake_find("number", "ratio_pct"));
	CU_ASSERT_PTR_NULL(fake_find("number", "value_u"));
	CU_ASSERT_PTR_NOT_NULL(strstr(
		fake.text, "metric skymon_exec_perfdata_seconds{label=\"time\"} 0.0050000000000000001\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(fake.text, "metric skymon_exec_perfdata_total{label=\"n\"} 3\n"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(fake.text, "metric skymon_exec_perfdata_value{label=\"t\",unit=\"C\"} 20\n"));
	CU_ASSERT_PTR_NULL(strstr(fake.text, "label=\"neg\"")); /* a counter is never negative */
	CU_ASSERT_PTR_NOT_NULL(
		strstr(fake.text,
		       "\"time\": {\"value\": 5.0, \"unit\": \"ms\", \"warn\": \"10\", \"crit\": \"20\"}"));
}

static void results(void)
{
	static const struct {
		const char *json;
		enum skymon_status status;
		const char *message;
	} rows[] = {
		{"{\"status\":\"healthy\",\"message\":\"fine\"}", SKYMON_HEALTHY, "fine"},
		{"{\"status\":\"degraded\",\"message\":\"a\\nb\",\"reason\":\"standby\"}", SKYMON_DEGRADED,
		 "a"},
		{"{\"status\":\"unhealthy\",\"message\":\"\",\"numbers\":{\"value_x\":1,\"total_requests\":5}}",
		 SKYMON_UNHEALTHY, ""},
		{"{\"status\":\"unknown\",\"message\":\"x\",\"details\":{\"a\":[1]},\"metrics\":[{\"name\":\"t_x\",\"type\":\"gauge\","
		 "\"value\":1,\"labels\":{\"l\":\"v\"}}]}",
		 SKYMON_UNKNOWN, "x"},
		{"[]", SKYMON_UNKNOWN, "the program's answer: the result is not a JSON object"},
		{"{}", SKYMON_UNKNOWN,
		 "the program's answer: `status` must be healthy, degraded, unhealthy or unknown"},
		{"{\"status\":\"OK\",\"message\":\"\"}", SKYMON_UNKNOWN,
		 "the program's answer: `status` must be healthy, degraded, unhealthy or unknown"},
		{"{\"status\":\"healthy\"}", SKYMON_UNKNOWN,
		 "the program's answer: `message` must be a text"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"mesage\":1}", SKYMON_UNKNOWN,
		 "the program's answer: unknown key `mesage`"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"id\":1}", SKYMON_UNKNOWN,
		 "the program's answer: unknown key `id`"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"reason\":\"stale\"}", SKYMON_UNKNOWN,
		 "the program's answer: `reason` is not a reason that a check may give"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"reason\":5}", SKYMON_UNKNOWN,
		 "the program's answer: `reason` is not a reason that a check may give"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"numbers\":{\"x\":1}}", SKYMON_UNKNOWN,
		 "the program's answer: number `x` must begin with seconds_, bytes_, ratio_, count_ or value_, in [a-z0-9_]"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"numbers\":{\"value_x\":\"1\"}}", SKYMON_UNKNOWN,
		 "the program's answer: number `value_x` is not a number"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"numbers\":[]}", SKYMON_UNKNOWN,
		 "the program's answer: `numbers` must be an object"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"metrics\":[1]}", SKYMON_UNKNOWN,
		 "the program's answer: a metric is not an object with a `name`"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"metrics\":[{\"name\":\"a\",\"value\":1}]}",
		 SKYMON_UNKNOWN, "the program's answer: metric `a`: `type` must be gauge or counter"},
		{"{\"status\":\"healthy\",\"message\":\"\",\"metrics\":[{\"name\":\"a\",\"type\":\"gauge\",\"value\":1,\"labels\":{\"l\":1}}]}",
		 SKYMON_UNKNOWN, "the program's answer: metric `a`: label `l` must be a text"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct skymon *sm = fake_new_run();
		json_t *json = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
		CU_ASSERT_EQUAL(exec_json_report(sm, json, false), rows[i].status);
		UNIT_TEXT(fake.message, rows[i].message);
		bool bad = strstr(rows[i].message, "the program's answer") != NULL;
		CU_ASSERT_EQUAL(fake.reason == SKYMON_PROTOCOL, bad);
		CU_ASSERT(!bad ||
			  strstr(fake.text, "number") == NULL); /* nothing of a wrong answer is reported */
		json_decref(json);
	}
}

/* ---- Which users may change a program ---- */

static void touch(const char *folder, const char *name, mode_t mode, char *path, size_t room)
{
	snprintf(path, room, "%s/%s", folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CU_ASSERT(fd >= 0 && fchmod(fd, mode) == 0);
	close(fd);
}

static void trusted(void)
{
	char folder[] = "/tmp/skymon-exec-XXXXXX", good[200], loose[200], link[200], open_folder[200],
	     inside[300], why[EXEC_WHY];
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	touch(folder, "good", 0755, good, sizeof(good));
	touch(folder, "loose", 0757, loose, sizeof(loose));
	snprintf(open_folder, sizeof(open_folder), "%s/open", folder);
	CU_ASSERT(mkdir(open_folder, 0700) == 0 && chmod(open_folder, 0777) == 0);
	touch(open_folder, "file", 0755, inside, sizeof(inside));
	CU_ASSERT(exec_is_trusted(good, why));
	CU_ASSERT_FALSE(exec_is_trusted(loose, why));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "may be written by others: chmod go-w"));
	CU_ASSERT_FALSE(exec_is_trusted(inside, why)); /* the folder may be written by others */
	snprintf(link, sizeof(link), "%s/./open/./file", folder);
	CU_ASSERT_FALSE(exec_is_trusted(link, why));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "/open may be written by others: chmod go-w"));
	CU_ASSERT_FALSE(exec_is_trusted(folder, why));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "is not a file"));
	CU_ASSERT_FALSE(exec_is_trusted("bin/true", why));
	snprintf(link, sizeof(link), "%s/link", folder);
	CU_ASSERT(symlink("good", link) == 0);
	CU_ASSERT(exec_is_trusted(link, why));
	unlink(link);
	CU_ASSERT(symlink(good, link) == 0);
	CU_ASSERT(exec_is_trusted(link, why));
	unlink(link);
	/* a link on the way, in a folder that others may write, chooses the program */
	char inner[300];
	snprintf(inner, sizeof(inner), "%s/next", open_folder);
	CU_ASSERT(symlink(good, inner) == 0 && symlink(inner, link) == 0);
	CU_ASSERT_FALSE(exec_is_trusted(link, why));
	unlink(link);
	CU_ASSERT(symlink("link", link) == 0);
	CU_ASSERT_FALSE(exec_is_trusted(link, why));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "too many links"));
	CU_ASSERT(exec_is_trusted("/bin/true", why));
	CU_ASSERT(exec_is_trusted("/usr/../bin//true", why));
	if (geteuid() == 0) {
		CU_ASSERT(chown(good, 12345, 0) == 0);
		CU_ASSERT_FALSE(exec_is_trusted(good, why));
		CU_ASSERT_PTR_NOT_NULL(strstr(why, "belongs to user 12345"));
	}
	char command[100];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	CU_ASSERT(system(command) == 0);
}

int main(void)
{
	return unit_run("exec", (const struct unit_test[]){{"perfdata", perfdata},
							   {"splitting", splitting},
							   {"cleaning", cleaning},
							   {"statuses", statuses},
							   {"values", values},
							   {"results", results},
							   {"trusted", trusted},
							   {0}});
}
