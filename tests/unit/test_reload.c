/* SPDX-License-Identifier: Apache-2.0 */
/* daemon/reload.c with the real plan and config, a pool that the test plays, and a virtual clock: the steps
 * from a file to a plan, all mistakes at once in the order of the file, and retries of plugins that cannot be
 * used. */
#include "daemon/reload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"
#include "virtual_loop.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- The pool ---- */

static struct {
	struct loop *loop;
	struct reload *reload;
	struct buf seen, logged; /* what was called; the daemon's log */
	struct plan *in_force;
	const char *broken; /* a plugin that cannot be used */
	pool_done *opened, *validated;
	pool_mistake *mistake;
	void *arg;
	struct component_spec *const *specs;
	struct plugin_info *infos[2];
	char path[64];
} world;

static const char *const names[2] = {"p", "q"};

void pool_prepare(struct pool *pool, char *const *wanted, size_t count, const char *const *folders,
		  size_t folder_count, pool_done *done, void *arg)
{
	(void)pool, (void)folders, (void)folder_count;
	buf_text(&world.seen, "open");
	for (size_t i = 0; i < count; i++)
		buf_printf(&world.seen, " %s", wanted[i]);
	buf_text(&world.seen, ";");
	world.opened = done;
	world.arg = arg;
}

const struct plugin_info *pool_info(const struct pool *pool, const char *name, const char **why)
{
	(void)pool;
	*why = "no such file";
	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(name, names[i]) == 0 && (world.broken == NULL || strcmp(name, world.broken) != 0))
			return world.infos[i];
	return NULL;
}

const char *pool_plugin_path(const struct pool *pool, const char *name, int *copy)
{
	(void)pool, (void)name;
	*copy = -1;
	return "/none";
}

void pool_validate(struct pool *pool, struct component_spec *const *specs, size_t count,
		   pool_mistake *mistake, pool_done *done, void *arg)
{
	(void)pool, (void)arg;
	buf_printf(&world.seen, "validate %zu;", count);
	world.specs = specs;
	world.mistake = mistake;
	world.validated = done;
}

void pool_tidy(struct pool *pool, bool taken)
{
	(void)pool;
	buf_printf(&world.seen, "tidy %d;", taken);
}

/* Plugins in the daemon, and with them HTTP, are left out. */
struct served *served_plan(const struct settings *settings, const struct served_lookup *plugins,
			   config_lookup *lookup, struct err_list *errs)
{
	(void)settings, (void)plugins, (void)lookup, (void)errs;
	return NULL;
}

void served_print(const struct served *served, struct buf *out)
{
	(void)served, (void)out;
}

void served_free(struct served *served)
{
	(void)served;
}

void __wrap_log_line(enum log_level level, const char *const *fields, const char *format, ...) PRINTF(3);
void __wrap_log_line(enum log_level level, const char *const *fields, const char *format, ...)
{
	(void)level, (void)fields;
	char text[500];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	char *name = strstr(text, world.path); /* the folder's name differs from run to run */
	buf_printf(&world.logged, "%s\n", name == text ? text + strlen(world.path) : text);
}

/* ---- What reload reports ---- */

static void on_read(void *arg, const struct settings *settings)
{
	(void)arg, (void)settings;
	buf_text(&world.seen, "read;");
}

static void on_good(void *arg, struct plan *plan, bool again)
{
	(void)arg;
	buf_printf(&world.seen, "good %zu%s;", plan->spec_count - plan->unusable, again ? " again" : "");
	reload_in_force(world.reload, plan);
	plan_free(world.in_force);
	world.in_force = plan;
}

static void on_bad(void *arg, const struct err_list *errors)
{
	(void)arg;
	buf_printf(&world.seen, "bad %zu;", errors->count);
}

static const struct reload_events events = {on_read, on_good, on_bad};

/* ---- A test's frame ---- */

struct state {
	const char *url;
	int64_t size;
};

static enum skymon_status check(struct skymon *sm, void *state)
{
	(void)sm, (void)state;
	return SKYMON_HEALTHY;
}

static struct plugin_info *declare(const char *name)
{
	static const struct skymon_option options[] = {SKYMON_OPT(struct state, url, NULL, "an address"),
						       SKYMON_OPT(struct state, size, "1", "a number"),
						       {0}};
	static const struct skymon_number numbers[] = {{0}};
	static const struct skymon_route *const routes[] = {NULL};
	const struct skymon_plugin plugin = {.abi_major = SKYMON_ABI_MAJOR,
					     .abi_minor = SKYMON_ABI_MINOR,
					     .size = sizeof(plugin),
					     .option_size = sizeof(struct skymon_option),
					     .number_size = sizeof(struct skymon_number),
					     .state_size = sizeof(struct state),
					     .name = name,
					     .version = "1.0",
					     .summary = "a test",
					     .options = options,
					     .numbers = numbers,
					     .routes = routes,
					     .check = check};
	struct buf body = {0};
	plugin_info_encode(&plugin, "build", &body);
	struct wire_reader in = wire_reader(body.data, body.size);
	struct err err = {""};
	struct plugin_info *info = plugin_info_decode(&in, &err);
	UNIT_TEXT(err.text, "");
	buf_free(&body);
	CU_ASSERT_PTR_NOT_NULL_FATAL(info);
	return info;
}

static void write_config(const char *text)
{
	FILE *file = fopen(world.path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs("state_dir: /tmp\n", file);
	fputs(text, file);
	fclose(file);
}

static void begin(const char *config)
{
	memset(&world, 0, sizeof(world));
	strcpy(world.path, "/tmp/test_reload.XXXXXX");
	close(mkstemp(world.path));
	write_config(config);
	world.loop = loop_new();
	for (size_t i = 0; i < COUNT(names); i++)
		world.infos[i] = declare(names[i]);
	world.reload = reload_new(world.loop, NULL, world.path, &events, NULL);
}

/* Compares what was called since the last time. */
static void expect(const char *seen)
{
	buf_text(&world.seen, "");
	UNIT_TEXT(world.seen.data, seen);
	world.seen.size = 0;
}

static void expect_log(const char *logged)
{
	buf_text(&world.logged, "");
	UNIT_TEXT(world.logged.data, logged);
	world.logged.size = 0;
}

static void finish(void)
{
	reload_free(world.reload);
	plan_free(world.in_force);
	CU_ASSERT_EQUAL(world.loop->timer_count, 0);
	loop_free(world.loop);
	for (size_t i = 0; i < COUNT(names); i++)
		plugin_info_free(world.infos[i]);
	buf_free(&world.seen);
	buf_free(&world.logged);
	unlink(world.path);
}

#define TWO "components:\n  a: {plugin: p, url: x}\n  b: {plugin: q, url: y}\n"

/* The whole way of a config whose plugins find nothing wrong. */
static void carry_through(bool lenient)
{
	reload_begin(world.reload, lenient);
	world.opened(world.arg);
	world.validated(world.arg);
}

/* ---- Tests ---- */

static void steps(void)
{
	begin(TWO);
	reload_begin(world.reload, false);
	expect("read;open p q;");
	CU_ASSERT(reload_is_busy(world.reload));
	world.opened(world.arg);
	expect("validate 2;");
	world.validated(world.arg);
	expect("good 2;");
	expect_log("");
	CU_ASSERT_FALSE(reload_is_busy(world.reload));
	loop_pass(world.loop, 1000000);
	expect(""); /* all can be used: nothing is retried */
	finish();
}

/* Those of the file, of the binding and of the plugins are logged at once, in the order of the lines. */
static void mistakes(void)
{
	begin("components:\n  a: {plugin: p, url: x}\n  b: {plugin: q, url: y, size: large}\nlog: {level: loud}\n");
	reload_begin(world.reload, false);
	world.opened(world.arg);
	expect("read;open p q;validate 1;"); /* b cannot be bound */
	world.mistake(world.arg, world.specs[0], "url", "is not an address");
	world.validated(world.arg);
	expect("tidy 0;bad 3;");
	char *at = world.logged.data;
	static const char *const lines[] = {":3:", ":4:", ":5:"};
	for (size_t i = 0; i < COUNT(lines); i++) {
		CU_ASSERT(strncmp(at, lines[i], 3) == 0);
		at = strchr(at, '\n') + 1;
	}
	CU_ASSERT_EQUAL(*at, '\0');
	CU_ASSERT(strstr(world.logged.data, "option `url` of component a is not an address\n") != NULL);
	finish();
}

static void no_file(void)
{
	begin(TWO);
	unlink(world.path);
	carry_through(false);
	expect("read;open;validate 0;tidy 0;bad 1;");
	CU_ASSERT(strncmp(world.logged.data, "cannot open ", 12) == 0);
	CU_ASSERT_FALSE(reload_is_busy(world.reload));
	finish();
}

/* A signal while a reload is in progress: another one follows it, one for all of them. */
static void signals(void)
{
	begin(TWO);
	reload_begin(world.reload, false);
	reload_begin(world.reload, false);
	world.opened(world.arg);
	reload_begin(world.reload, false);
	expect("read;open p q;validate 2;");
	write_config("components:\n  a: {plugin: p, url: x}\n");
	world.validated(world.arg);
	expect("good 2;read;open p;");
	world.opened(world.arg);
	world.validated(world.arg);
	expect("validate 1;good 1;");
	CU_ASSERT_FALSE(reload_is_busy(world.reload));
	finish();
}

static void drops_all(void)
{
	begin(TWO);
	carry_through(false);
	write_config("plugins:\n  p: {url: x}\n");
	expect("read;open p q;validate 2;good 2;");
	carry_through(false);
	expect("read;open p;validate 0;tidy 0;bad 1;");
	CU_ASSERT(strstr(world.logged.data, "would drop all 2 components") != NULL);
	finish();
}

/* A plugin that cannot be used refuses a reload, but not a start. */
static void unusable(void)
{
	begin(TWO);
	world.broken = "q";
	carry_through(false);
	expect("read;open p q;validate 2;tidy 0;bad 1;");
	expect_log(":4:15: component b: plugin q cannot be used: no such file\n");
	carry_through(true);
	expect("read;open p q;validate 2;good 1;");
	finish();
}

/* The broken one alone is opened, after 1 s doubling to 60 s, until it can be used. */
static void retries(void)
{
	static const int64_t waits_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
	begin(TWO);
	world.broken = "q";
	carry_through(true);
	expect("read;open p q;validate 2;good 1;");
	world.logged.size = 0;
	for (size_t i = 0; i < COUNT(waits_ms); i++) {
		loop_pass(world.loop, waits_ms[i] - 1);
		expect("");
		loop_pass(world.loop, 1);
		world.opened(world.arg);
		world.validated(world.arg);
		expect("open q;validate 2;tidy 0;");
		expect_log("");
	}
	loop_pass(world.loop, 60000);
	world.broken = NULL;
	world.opened(world.arg);
	world.validated(world.arg);
	expect("open q;validate 2;good 2 again;");
	loop_pass(world.loop, 1000000);
	expect("");
	finish();
}

/* A retry whose options turn out to be wrong changes nothing, and says so once. A config that is put in force
 * begins from 1 s again. */
static void retries_with_mistakes(void)
{
	begin(TWO);
	world.broken = "q";
	carry_through(true);
	world.logged.size = 0;
	for (int i = 0; i < 3; i++) {
		world.broken = "q";
		loop_pass(world.loop, 1000 << i);
		world.broken = NULL;
		world.opened(world.arg);
		world.mistake(world.arg, world.specs[1], "url", "is wrong");
		world.validated(world.arg);
		if (i == 0)
			expect_log(":4:23: option `url` of component b is wrong\n");
		else
			expect_log("");
	}
	world.seen.size = 0;
	world.broken = "q";
	carry_through(true);
	expect("read;open p q;validate 2;good 1;");
	loop_pass(world.loop, 1000);
	expect("open q;");
	reload_begin(world.reload, true); /* waits for the retry */
	expect("");
	world.opened(world.arg);
	world.validated(world.arg);
	expect("validate 2;tidy 0;read;open p q;");
	finish();
}

/* A reload that is refused leaves the retries of the config in force. */
static void retries_after_refusal(void)
{
	begin(TWO);
	world.broken = "q";
	carry_through(true);
	unlink(world.path);
	carry_through(false);
	expect("read;open p q;validate 2;good 1;read;open;validate 0;tidy 0;bad 1;");
	loop_pass(world.loop, 2000);
	expect("open q;");
	world.opened(world.arg);
	world.validated(world.arg);
	finish();
}

static void describes(void)
{
	static const struct {
		const char *config, *changes;
	} rows[] = {
		{TWO, "no component changed"},
		{"components:\n  a: {plugin: p, url: x}\n", "1 removed (b)"},
		{"components:\n  a: {plugin: p, url: z}\n  b: {plugin: q, url: y, interval: 7s}\n  c: {plugin: p}\n",
		 "1 added (c), 2 changed (a, b)"},
		{"components:\n  b: {plugin: p, url: y}\n  a1: {plugin: p}\n  a2: {plugin: p}\n  a3: {plugin: p}\n"
		 "  a4: {plugin: p}\n  a5: {plugin: p}\n  a6: {plugin: p}\n  a7: {plugin: p}\n  a8: {plugin: p}\n"
		 "  a9: {plugin: p}\n  a10: {plugin: p}\n  a11: {plugin: p}\n  a12: {plugin: p}\n",
		 "12 added (a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, …), 1 removed (a), 1 changed (b)"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		begin(TWO);
		carry_through(false);
		struct plan *old = world.in_force;
		world.in_force = NULL;
		write_config(rows[i].config);
		carry_through(false);
		struct buf text = {0};
		struct reload_changes changes = {0};
		reload_compare(old, world.in_force, &changes);
		reload_changes_print(&changes, &text);
		reload_changes_free(&changes);
		UNIT_TEXT(text.data, rows[i].changes);
		buf_free(&text);
		plan_free(old);
		finish();
	}
}

int main(void)
{
	return unit_run("reload", (const struct unit_test[]){{"steps", steps},
							     {"mistakes", mistakes},
							     {"no_file", no_file},
							     {"signals", signals},
							     {"drops_all", drops_all},
							     {"unusable", unusable},
							     {"retries", retries},
							     {"retries_with_mistakes", retries_with_mistakes},
							     {"retries_after_refusal", retries_after_refusal},
							     {"describes", describes},
							     {0}});
}
