/* SPDX-License-Identifier: Apache-2.0 */
/* Declared options: tables, binding, the wire, storing, printing, secrets, quantities. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/option.h"
#include "unit.h"

struct point {
	const char *name;
	int64_t x;
	struct skymon_secret key;
};

struct state {
	const char *url, *note;
	bool flag;
	int64_t count;
	double factor;
	struct skymon_duration wait;
	struct skymon_bytes room;
	struct skymon_ratio share;
	struct skymon_choice mode;
	struct skymon_secret password;
	struct skymon_texts hosts;
	struct skymon_map headers;
	struct skymon_list points;
	struct skymon_tls tls;
};

static const char *const modes[] = {"fast", "slow", "exact", NULL};
static const struct skymon_option point_table[] = {
	SKYMON_OPT(struct point, name, NULL, "its name", .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct point, x, "7", "where", .min = 0, .max = 10),
	SKYMON_OPT(struct point, key, NULL, "its key"),
	{0}};
static const struct skymon_option table[] = {
	SKYMON_OPT(struct state, url, "${APP_URL:-}", "what to watch", .flags = SKYMON_TARGET),
	SKYMON_OPT(struct state, note, "", "any text"),
	SKYMON_OPT(struct state, flag, "true", "yes or no"),
	SKYMON_OPT(struct state, count, "3", "how many", .min = -5, .max = 100),
	SKYMON_OPT(struct state, factor, NULL, "times"),
	SKYMON_OPT(struct state, wait, "30s", "time", .min = 1000, .max = 3600000),
	SKYMON_OPT(struct state, room, "64KiB", "space", .min = 1, .max = 1073741824),
	SKYMON_OPT(struct state, share, "80%", "part", .min = 0, .max = 1),
	SKYMON_OPT(struct state, mode, "slow", "how", .words = modes),
	SKYMON_OPT(struct state, password, "{vault: \"${KEY_PATH:-app/key}#key\"}", "secret"),
	SKYMON_OPT(struct state, hosts, NULL, "names"),
	SKYMON_OPT(struct state, headers, NULL, "sent along"),
	SKYMON_OPT(struct state, points, NULL, "list", .item = point_table,
		   .item_size = sizeof(struct point)),
	SKYMON_OPT(struct state, tls, NULL, "tls"),
	{0}};

static const char *lookup(const char *variable)
{
	return strcmp(variable, "SECRET") == 0 ? "s3cret" : strcmp(variable, "ON") == 0 ? "true" : NULL;
}

struct bound {
	struct config config, weaker;
	struct option_values *values;
	char *errors;
};

static struct bound bind(const char *text, const char *defaults)
{
	static const char *const also[] = {"plugin", NULL};
	struct bound bound = {0};
	struct err_list errs = {0};
	CU_ASSERT(config_parse("f", text, strlen(text), lookup, &bound.config, &errs));
	if (defaults != NULL)
		CU_ASSERT(config_parse("d", defaults, strlen(defaults), lookup, &bound.weaker, &errs));
	bound.values = option_bind(&(struct option_binding){.table = table,
							    .section = bound.config.root,
							    .defaults = bound.weaker.root,
							    .also = also,
							    .what = "component c",
							    .lookup = lookup},
				   &errs);
	struct buf all = {0};
	buf_text(&all, "");
	for (size_t i = 0; i < errs.count; i++)
		buf_printf(&all, "%s%s", i > 0 ? "\n" : "", errs.texts[i]);
	CU_ASSERT_EQUAL(bound.values == NULL, errs.count > 0);
	err_list_free(&errs);
	bound.errors = all.data;
	return bound;
}

static void drop(struct bound *bound)
{
	option_values_free(bound->values);
	config_free(&bound->config);
	config_free(&bound->weaker);
	free(bound->errors);
}

static void refuses(void)
{
	static const struct {
		const char *text, *errors;
	} cases[] = {
		{"plugin: x\nadress: 1", "f:2:1: unknown option `adress` of component c"},
		{"hots: a", "f:1:1: unknown option `hots` of component c (did you mean `hosts`?)"},
		{"url: [a]", "f:1:6: option `url` of component c must be a text, not a list"},
		{"note: {a: b}", "f:1:7: option `note` of component c must be a text, not a map"},
		{"flag: yes",
		 "f:1:7: option `flag` of component c must be true or false, not `yes`: write true"},
		{"flag: off",
		 "f:1:7: option `flag` of component c must be true or false, not `off`: write false"},
		{"flag: 'true'", "f:1:7: option `flag` of component c must be true or false without quotes"},
		{"flag: maybe", "f:1:7: option `flag` of component c must be true or false, not `maybe`"},
		{"flag: []", "f:1:7: option `flag` of component c must be true or false, not a list"},
		{"count: 1.5", "f:1:8: option `count` of component c must be a whole number, not `1.5`"},
		{"count: 0x10", "f:1:8: option `count` of component c must be a whole number, not `0x10`"},
		{"count: 101", "f:1:8: option `count` of component c must be -5 to 100, not 101"},
		{"count: -6", "f:1:8: option `count` of component c must be -5 to 100, not -6"},
		{"count: 99999999999999999999",
		 "f:1:8: option `count` of component c is too large: `99999999999999999999`"},
		{"count: []", "f:1:8: option `count` of component c must be a whole number, not a list"},
		{"factor: abc", "f:1:9: option `factor` of component c is wrong: `abc` is not a number"},
		{"factor: nan", "f:1:9: option `factor` of component c is wrong: `nan` is not a number"},
		{"factor: 1e999", "f:1:9: option `factor` of component c is wrong: `1e999` is not a number"},
		{"wait: 30",
		 "f:1:7: option `wait` of component c is wrong: `30` has no unit: write 30s, 30m or 30ms"},
		{"wait: 5x",
		 "f:1:7: option `wait` of component c is wrong: `5x` is not a duration such as 30s, "
		 "5m, 1h30m or 250ms"},
		{"wait: 2h", "f:1:7: option `wait` of component c must be 1s to 1h, not 2h"},
		{"room: 0", "f:1:7: option `room` of component c must be 1 to 1GiB, not 0"},
		{"room: 1XB", "f:1:7: option `room` of component c is wrong: `1XB` is not a size such as "
			      "64KiB, 10MB or 512"},
		{"share: 120%", "f:1:8: option `share` of component c must be 0% to 100%, not 120%"},
		{"share: 1.5", "f:1:8: option `share` of component c must be 0% to 100%, not 1.5"},
		{"share: half",
		 "f:1:8: option `share` of component c is wrong: `half` is not a ratio such as 80% or 0.8"},
		{"mode: exakt", "f:1:7: option `mode` of component c must be fast, slow or exact, not "
				"`exakt` (did you mean `exact`?)"},
		{"password: [a]", "f:1:11: option `password` of component c must be a secret: a text, {env: "
				  "NAME}, {file: PATH} or "
				  "{COMPONENT: \"path#field\"}, not a list"},
		{"password: {env: A, file: b}",
		 "f:1:11: option `password` of component c must have exactly one key: env, file, or the "
		 "name of a component that keeps secrets"},
		{"password: {}", "f:1:11: option `password` of component c must have exactly one key: env, "
				 "file, or the name of a "
				 "component that keeps secrets"},
		{"password: {file: }", "f:1:11: option `password` of component c needs a text after `file:`"},
		{"password: {env: \"A B\"}",
		 "f:1:11: option `password` of component c needs the name of a variable after `env:`"},
		{"password: {vault: path}",
		 "f:1:11: option `password` of component c needs \"path#field\" after `vault:`"},
		{"password: {Vault: \"a#b\"}",
		 "f:1:11: option `password` of component c has the key `Vault`: it must be env, file, or the "
		 "name of a component that keeps secrets"},
		{"hosts: {a: b}", "f:1:8: option `hosts` of component c must be a list of texts, not a map"},
		{"hosts: [a, [b], c, {}]",
		 "f:1:12: option `hosts` of component c must be a list of texts: entry 2 is a list\n"
		 "f:1:20: option `hosts` of component c must be a list of texts: entry 4 is a map"},
		{"headers: [a]",
		 "f:1:10: option `headers` of component c must be a map of texts, not a list"},
		{"headers: {a: b, c: [d]}",
		 "f:1:20: option `headers` of component c must be a map of texts: `c` is a list"},
		{"points: a", "f:1:9: option `points` of component c must be a list of maps, not a text"},
		{"points: [{x: 11}, 5]",
		 "f:1:10: component c needs the option `points[1].name`\n"
		 "f:1:14: option `points[1].x` of component c must be 0 to 10, not 11\n"
		 "f:1:19: option `points[2]` of component c must be a map, not a text"},
		{"points: [{name: a, nam: b}]",
		 "f:1:20: unknown option `nam` of `points[1]` of component c (did you mean `name`?)"},
		{"tls: true", "f:1:6: option `tls` of component c must be a map of ca_file, cert_file, "
			      "key_file, server_name, insecure, "
			      "not a text"},
		{"tls: {ca: x, insecure: 1}",
		 "f:1:7: unknown option `ca` of `tls` of component c\n"
		 "f:1:24: option `tls.insecure` of component c must be true or false, not `1`: write true"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bound bound = bind(cases[i].text, NULL);
		UNIT_TEXT(bound.errors, cases[i].errors);
		drop(&bound);
	}
}

static struct option_values *over_the_wire(const struct option_values *values)
{
	struct buf body = {0};
	struct err err = {{0}};
	size_t count = 0;
	const struct option_secret *secrets = option_secrets(values, &count);
	struct option_bytes bytes[8] = {{0}};
	char *taken[8] = {0};
	for (size_t i = 0; i < count && i < 8; i++)
		if (option_secret_read(&secrets[i], lookup, &taken[i], &bytes[i].size, &err))
			bytes[i].bytes = taken[i];
	option_values_encode(values, bytes, &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct option_values *copy = option_values_decode(&in, &err);
	CU_ASSERT(wire_end(&in));
	/* refused if cut at any point, and never read beyond */
	for (size_t size = 0; size < body.size; size++) {
		char *part = x_alloc(size);
		memcpy(part, body.data, size);
		struct wire_reader cut = wire_reader(part, size);
		struct option_values *none = option_values_decode(&cut, &err);
		CU_ASSERT_PTR_NULL(none);
		option_values_free(none);
		free(part);
	}
	for (size_t i = 0; i < 8; i++)
		free(taken[i]);
	buf_free(&body);
	return copy;
}

static void stores(void)
{
	struct bound bound = bind("plugin: x\nurl: http://h\ncount: '42'\nfactor: -1.5e3\nwait: 1m30s\nroom: "
				  "1.5MiB\nshare: 0.25\nmode: exact\n"
				  "password: {env: SECRET}\nhosts: [a, 5, true]\nheaders: {X-A: b, n: 5, e: "
				  "}\ntls: {ca_file: /ca, insecure: true}\n"
				  "points: [{name: p, key: lit}, {name: q, x: 9}]\nflag: \"${ON}\"\n",
				  "note: from defaults\ncount: 1\n");
	UNIT_TEXT(bound.errors, "");
	CU_ASSERT_PTR_NULL(option_not_configured(bound.values));
	struct option_values *values = over_the_wire(bound.values);
	struct state state = {0};
	struct err err = {{0}};
	CU_ASSERT_PTR_NOT_NULL_FATAL(values);
	CU_ASSERT(option_store(values, table, sizeof(*table), &state, &err));
	UNIT_TEXT(err.text, "");
	UNIT_TEXT(state.url, "http://h");
	UNIT_TEXT(state.note, "from defaults");
	CU_ASSERT_EQUAL(state.flag, true);
	CU_ASSERT_EQUAL(state.count, 42);
	CU_ASSERT_EQUAL(state.factor, -1500);
	CU_ASSERT_EQUAL(state.wait.ms, 90000);
	CU_ASSERT_EQUAL(state.room.count, 1572864);
	CU_ASSERT_EQUAL(state.share.of_one, 0.25);
	CU_ASSERT_EQUAL(state.mode.index, 2);
	UNIT_TEXT(state.password.bytes, "s3cret");
	CU_ASSERT_EQUAL(state.password.size, 6);
	CU_ASSERT_EQUAL_FATAL(state.hosts.count, 3);
	UNIT_TEXT(state.hosts.items[2], "true");
	CU_ASSERT_EQUAL_FATAL(state.headers.count, 3);
	UNIT_TEXT(state.headers.items[1].name, "n");
	UNIT_TEXT(state.headers.items[2].value, "");
	CU_ASSERT_EQUAL_FATAL(state.points.count, 2);
	const struct point *points = state.points.items;
	UNIT_TEXT(points[0].name, "p");
	CU_ASSERT_EQUAL(points[0].x, 7);
	UNIT_TEXT(points[0].key.bytes, "lit");
	CU_ASSERT_EQUAL(points[1].x, 9);
	CU_ASSERT_PTR_NULL(points[1].key.bytes);
	UNIT_TEXT(state.tls.ca_file, "/ca");
	CU_ASSERT_PTR_NULL(state.tls.key_file);
	CU_ASSERT(state.tls.insecure);
	option_values_free(values);
	drop(&bound);
}

static void mismatch(void)
{
	static const struct skymon_option other[] = {
		SKYMON_OPT_NAMED(struct state, url, "count", NULL, "a text here"), {0}};
	struct bound bound = bind("count: 1\n", NULL);
	struct state state = {0};
	struct err err;
	CU_ASSERT_FALSE(option_store(bound.values, other, sizeof(*other), &state, &err));
	UNIT_TEXT(err.text, "option `url` is not declared");
	drop(&bound);
}

static void empty_values(void)
{
	static const struct {
		const char *text, *not_configured;
	} cases[] = {
		{"", "set APP_URL, or the option `url`"},
		{"url:", "set APP_URL, or the option `url`"},
		{"url: ''", "set the option `url`"},
		{"url: \"${MY_URL:-}\"", "set MY_URL, or the option `url`"},
		{"url: x", NULL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bound bound = bind(cases[i].text, NULL);
		UNIT_TEXT(bound.errors, "");
		UNIT_TEXT(option_not_configured(bound.values), cases[i].not_configured);
		drop(&bound);
	}
	/* empty through a variable: as if missing */
	struct bound bound = bind("count: \"${N:-}\"\nwait: ${N:-}\npassword: ${N:-}\nmode:\n", NULL);
	UNIT_TEXT(bound.errors, "");
	struct state state = {0};
	CU_ASSERT(option_store(bound.values, table, sizeof(*table), &state, NULL));
	CU_ASSERT_EQUAL(state.count, 3);
	CU_ASSERT_EQUAL(state.wait.ms, 30000);
	CU_ASSERT_EQUAL(state.mode.index, 1);
	size_t count = 9;
	CU_ASSERT_PTR_NULL(option_secrets(bound.values, &count));
	CU_ASSERT_EQUAL(count, 0);
	drop(&bound);
}

static void prints(void)
{
	struct bound bound = bind("url: \"postgresql://ann:pa$word@db/x?sslpassword=q\"\nnote: 'a: \"b\" $$ "
				  "{'\npassword: literal\n"
				  "hosts: ['yes', b]\nheaders: {a: '5'}\npoints: [{name: p, key: {file: "
				  "/k}}]\ntls: {insecure: true}\n"
				  "wait: 1h\nshare: 7%\nroom: 1000\n",
				  NULL);
	UNIT_TEXT(bound.errors, "");
	struct buf out = {0};
	option_values_print(bound.values, 2, &out);
	UNIT_TEXT(
		out.data,
		"  url: \"postgresql://********@db/x?sslpassword=********\"\n  note: \"a: \\\"b\\\" $$ {\"\n "
		" flag: true\n"
		"  count: 3\n  wait: 1h\n  room: 1000\n  share: 7%\n  mode: slow\n  password: \"********\"\n"
		"  hosts: [\"yes\", b]\n  headers: {a: \"5\"}\n  points: [{name: p, x: 7, key: {file: /k}}]\n"
		"  tls: {insecure: true}\n");
	buf_free(&out);
	drop(&bound);
	/* what is printed reads back as the same */
	bound = bind("url: x\nnote: \"\\t$${A} \\u00e9\"\npassword: {vault: 'a/b#c'}\nwait: 61001ms\nshare: "
		     "0.1234567890123456\n",
		     NULL);
	option_values_print(bound.values, 0, &out);
	struct bound again = bind(out.data, NULL);
	UNIT_TEXT(again.errors, "");
	CU_ASSERT(again.values != NULL && option_values_equal(bound.values, again.values));
	struct bound different = bind("url: x\n", NULL);
	CU_ASSERT_FALSE(option_values_equal(bound.values, different.values));
	drop(&different);
	drop(&again);
	drop(&bound);
	buf_free(&out);
}

static void masks(void)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"http://host/path", "\"http://host/path\""},
		{"http://u:p@host/", "\"http://********@host/\""},
		{"http://u@host:80/a@b", "\"http://********@host:80/a@b\""},
		{"http://u:p@q@host", "\"http://********@host\""},
		{"postgres://u:p/w@host/db", "\"postgres://********@host/db\""},
		{"http://host:80/a@b", "\"http://host:80/a@b\""},
		{"http://[::1]:80/a@b", "\"http://[::1]:80/a@b\""},
		{"host=db password=top user=x", "\"host=db password=******** user=x\""},
		{"a://x:1@b c://y:2@d", "\"a://********@b c://********@d\""},
		{"host=db password='a b' user=x", "\"host=db password=******** user=x\""},
		{"word", "word"},
		{"5", "\"5\""},
		{"true", "\"true\""},
		{"", "\"\""},
		{"a$b", "\"a$$b\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = {0};
		option_text_print(cases[i].text, &out);
		UNIT_TEXT(out.data, cases[i].shown);
		buf_free(&out);
	}
}

/* ---- Tables ---- */

static void tables(void)
{
	struct err err = {{0}};
	CU_ASSERT(option_table_check(table, sizeof(*table), sizeof(struct state), &err));
	UNIT_TEXT(err.text, "");
	CU_ASSERT_FALSE(option_table_check(table, sizeof(*table), sizeof(struct state) - 1, &err));
	struct buf body = {0}, one = {0}, two = {0};
	option_table_encode(table, sizeof(*table), &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct skymon_option *copy = option_table_decode(&in, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	option_table_print(table, &one);
	option_table_print(copy, &two);
	UNIT_TEXT(two.data, one.data);
	CU_ASSERT_PTR_NOT_NULL(strstr(one.data, "  wait: duration, 1s to 1h, default 30s\n      time\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(one.data, "  mode: choice of fast | slow | exact, default slow\n"));
	option_table_free(copy);
	for (size_t size = 0; size < body.size; size++) {
		struct wire_reader cut = wire_reader(body.data, size);
		copy = option_table_decode(&cut, &err);
		CU_ASSERT_PTR_NULL(copy);
		option_table_free(copy);
	}
	buf_free(&body);
	buf_free(&one);
	buf_free(&two);
}

/* ---- Secrets ---- */

static void write_file(const char *path, const void *bytes, size_t size, mode_t mode)
{
	FILE *file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_EQUAL(fwrite(bytes, 1, size, file), size);
	fclose(file);
	CU_ASSERT_EQUAL(chmod(path, mode), 0);
}

static void expect_secret(const char *path, const char *bytes, const char *expected)
{
	struct option_secret secret = {.kind = OPTION_SECRET_FILE, .option = "password", .text = path};
	struct err err = {{0}};
	char *got = NULL;
	size_t size = 0;
	bool ok = option_secret_read(&secret, lookup, &got, &size, &err);
	CU_ASSERT_EQUAL(ok, bytes != NULL);
	UNIT_TEXT(got, bytes);
	if (!ok)
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, expected));
	free(got);
}

static void secrets(void)
{
	char folder[] = "/tmp/test_option_XXXXXX";
	static char big[65537];
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	char path[64];
	snprintf(path, sizeof(path), "%s/secret", folder);
	char link[64];
	snprintf(link, sizeof(link), "%s/link", folder);
	char fifo[64];
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	write_file(path, "top\n\n", 5, 0600);
	expect_secret(path, "top\n", NULL);
	CU_ASSERT_EQUAL(symlink("secret", link), 0);
	expect_secret(link, "top\n", NULL);
	write_file(path, "top", 3, 0602);
	expect_secret(path, NULL, "may be written by others: chmod go-w");
	write_file(path, "\n", 1, 0600);
	expect_secret(path, NULL, "is empty");
	memset(big, 'x', sizeof(big));
	write_file(path, big, sizeof(big), 0600);
	expect_secret(path, NULL, "is larger than 64 KiB");
	CU_ASSERT_EQUAL(mkfifo(fifo, 0600), 0);
	expect_secret(fifo, NULL, "is not a regular file");
	expect_secret(folder, NULL, "is not a regular file");
	CU_ASSERT_EQUAL(unlink(path), 0);
	expect_secret(path, NULL, "cannot open the secret file");
	unlink(link);
	unlink(fifo);
	rmdir(folder);
	struct option_secret unset = {.kind = OPTION_SECRET_ENV, .option = "password", .text = "NOPE"};
	struct err err;
	char *bytes = NULL;
	size_t size = 0;
	CU_ASSERT_FALSE(option_secret_read(&unset, lookup, &bytes, &size, &err));
	UNIT_TEXT(err.text, "the variable NOPE of the secret `password` is not set");
}

/* ---- Quantities ---- */

static void quantities(void)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1 if refused */
	} durations[] = {{"0", 0},           {"0s", 0},        {"250ms", 250},    {"0.5s", 500},
			 {"1h30m", 5400000}, {"1d", 86400000}, {"1m0.5s", 60500}, {"5", -1},
			 {"", -1},           {"-5s", -1},      {"1s1s", -1},      {"1s1h", -1},
			 {"s", -1},          {"1 s", -1},      {"1h5", -1},       {"9999999999d", -1},
			 {"1.s", -1},        {"0x5s", -1}};
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		int64_t ms = -1;
		CU_ASSERT_EQUAL(option_parse_duration(durations[i].text, &ms, NULL), durations[i].ms >= 0);
		CU_ASSERT_EQUAL(ms, durations[i].ms);
	}
	static const struct {
		const char *text;
		int64_t count;
	} sizes[] = {{"512", 512},
		     {"0", 0},
		     {"1KB", 1000},
		     {"1KiB", 1024},
		     {"1.5GiB", 1610612736},
		     {"2TiB", 2199023255552},
		     {"10 MB", 10000000},
		     {"5B", 5},
		     {"1.5", -1},
		     {"1kib", -1},
		     {"-1", -1},
		     {"", -1},
		     {"99999999TiB", -1}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int64_t count = -1;
		CU_ASSERT_EQUAL(option_parse_bytes(sizes[i].text, &count, NULL), sizes[i].count >= 0);
		CU_ASSERT_EQUAL(count, sizes[i].count);
	}
	static const struct {
		const char *text, *unit;
		double value;
	} any[] = {{"200ms", "s", 0.2},     {"3", "s", 3},      {"80%", "ratio", 0.8}, {"0.5", "ratio", 0.5},
		   {"1KiB", "bytes", 1024}, {"-7", "", -7},     {"5", NULL, 5},        {"5s", "", NAN},
		   {"80%", "s", NAN},       {"x", "ratio", NAN}};
	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
		double value = NAN;
		bool ok = option_parse_quantity(any[i].text, any[i].unit, &value, NULL);
		CU_ASSERT_EQUAL(ok, !isnan(any[i].value));
		if (ok)
			CU_ASSERT_DOUBLE_EQUAL(value, any[i].value, 1e-12);
	}
	static const struct {
		double value;
		const char *unit, *text;
	} shown[] = {{0.25, "s", "250 ms"},
		     {0, "s", "0 s"},
		     {5400, "s", "90 min"},
		     {1610612736, "bytes", "1.5 GiB"},
		     {512, "bytes", "512 B"},
		     {0.8, "ratio", "80 %"},
		     {12, "", "12"},
		     {1234567, "", "1234567"},
		     {1.5, "MB", "1.5 MB"},
		     {29.9996875, "", "29.9997"},
		     {-0.12345, "", "-0.1235"},
		     {29.999999, "", "29.999999"}};
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		char text[64];
		option_print_quantity(shown[i].value, shown[i].unit, text, sizeof(text));
		UNIT_TEXT(text, shown[i].text);
	}
}

int main(void)
{
	return unit_run("option", (const struct unit_test[]){{"refuses", refuses},
							     {"stores", stores},
							     {"mismatch", mismatch},
							     {"empty values", empty_values},
							     {"prints", prints},
							     {"masks", masks},
							     {"tables", tables},
							     {"secrets", secrets},
							     {"quantities", quantities},
							     {0}});
}
