/* SPDX-License-Identifier: Apache-2.0 */
/* plugin: loading, validation and description of plugins, and the functions of their host. */
#include "plugin/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/names.h"
#include "unit.h"

/* The folder of the tests' plugins. */
static const char *folder(void)
{
	const char *given = getenv("SKYMON_TEST_PLUGINS");
	return given != NULL ? given : "tests/plugins";
}

static bool open_plugin(const char *name, struct skymon_plugin *out, struct err *err)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s.so", folder(), name);
	return plugin_open(path, -1, out, err);
}

static void good_ones_are_opened(void)
{
	struct skymon_plugin plugin;
	struct err err = {""};
	CU_ASSERT_FATAL(open_plugin("t_ok", &plugin, &err));
	UNIT_TEXT(plugin.name, "t_ok");
	CU_ASSERT(plugin.check != NULL && plugin.size == sizeof(plugin));
	CU_ASSERT(plugin.options != NULL && plugin.options[0].name == NULL); /* never NULL for callers */
	CU_ASSERT(plugin.numbers != NULL && plugin.numbers[0].name == NULL);
	CU_ASSERT(plugin.routes != NULL && plugin.routes[0] == NULL);
	plugin_close(&plugin);
	CU_ASSERT_FATAL(open_plugin("t_all_options", &plugin, &err));
	CU_ASSERT(option_table_size(plugin.options, plugin.option_size) == 13);
	plugin_close(&plugin);
	CU_ASSERT_FATAL(open_plugin("t_numbers", &plugin, &err));
	UNIT_TEXT(plugin.numbers[1].unit, "ratio");
	plugin_close(&plugin);
	CU_ASSERT_FATAL(open_plugin("t_duplicate_route", &plugin, &err));
	UNIT_TEXT(plugin.routes[0]->path, "/api/v1/health");
	UNIT_TEXT(plugin.routes[1]->name, "other");
	CU_ASSERT(plugin.routes[2] == NULL && plugin.flags == SKYMON_IN_DAEMON);
	plugin_close(&plugin);
	CU_ASSERT_FATAL(open_plugin("t_routes", &plugin, &err));
	CU_ASSERT(plugin.flags == 0 && plugin.check != NULL);
	CU_ASSERT(plugin.routes[0]->handle == NULL && (plugin.routes[0]->flags & SKYMON_ROUTE_HEALTH) != 0);
	CU_ASSERT(plugin.routes[1]->handle != NULL && plugin.routes[1]->flags == SKYMON_ROUTE_GUARDED);
	plugin_close(&plugin);
	CU_ASSERT_FATAL(open_plugin("t_writes", &plugin, &err));
	for (size_t i = 0; i < 5; i++) { /* routes that write, unless open */
		bool guarded = (plugin.routes[i]->flags & SKYMON_ROUTE_GUARDED) != 0;
		CU_ASSERT_EQUAL(guarded, i >= 1 && i <= 3);
	}
	plugin_close(&plugin);
}

static void wrong_ones_are_refused(void)
{
	static const struct {
		const char *name, *says;
	} rows[] = {
		{"t_nowhere", "cannot open"},
		{"t_no_symbol", "exports no symbol skymon_plugin"},
		{"t_small_symbol", "has 4 bytes"},
		{"t_other_major", "was built for ABI 7.0, this skymon has 0.4: build it again"},
		{"t_newer_minor", "this skymon has 0.4: build it again"},
		{"t_short_struct", "needs at least"},
		{"t_long_struct", "needs"},
		{"t_wrong_name", "names itself \"t_other_name\""},
		{"t_option_flags", "option `given` has flags that this skymon does not know: 0x4000"},
		{"t_route_flags", "route /t/wrong has flags that this skymon does not know: 0x4000"},
		{"t_route_open", "route /t/wrong is SKYMON_ROUTE_OPEN, so it must write"},
		{"t_route_both", "route /t/wrong is SKYMON_ROUTE_OPEN, so it must write and not be GUARDED"},
		{"t_route_component",
		 "route /t/wrong is SKYMON_ROUTE_COMPONENT, so it needs a {name} and a handle"},
		{"t_loop_roles", "it has begin, so it may have neither a check nor routes nor secret"},
		{"t_number_reserved", "number process_threads has a reserved name"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct skymon_plugin plugin;
		struct err err = {""};
		CU_ASSERT(!open_plugin(rows[i].name, &plugin, &err));
		if (strstr(err.text, rows[i].says) == NULL)
			fprintf(stderr, "\n%s: %s\n", rows[i].name, err.text);
		CU_ASSERT(strstr(err.text, rows[i].says) != NULL && strstr(err.text, rows[i].name) != NULL);
	}
}

static void infos_cross(void)
{
	static const char *const names[] = {"t_ok", "t_all_options", "t_numbers", "t_duplicate_route",
					    "t_routes"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct skymon_plugin plugin;
		struct err err = {""};
		struct buf body = {0};
		CU_ASSERT_FATAL(open_plugin(names[i], &plugin, &err));
		plugin_info_encode(&plugin, "build-1", &body);
		struct wire_reader in = wire_reader(body.data, body.size);
		struct plugin_info *info = plugin_info_decode(&in, &err);
		CU_ASSERT_PTR_NOT_NULL_FATAL(info);
		UNIT_TEXT(info->name, names[i]);
		UNIT_TEXT(info->build_id, "build-1");
		CU_ASSERT(info->abi_major == SKYMON_ABI_MAJOR && info->abi_minor == SKYMON_ABI_MINOR);
		CU_ASSERT(info->has_check == (plugin.check != NULL) && !info->has_secret);
		CU_ASSERT(info->flags == plugin.flags);
		CU_ASSERT(option_table_size(info->options, sizeof(*info->options)) ==
			  option_table_size(plugin.options, plugin.option_size));
		for (size_t n = 0; n < info->number_count; n++)
			UNIT_TEXT(info->numbers[n].name, plugin.numbers[n].name);
		for (size_t r = 0; r < info->route_count; r++) {
			UNIT_TEXT(info->routes[r].path, plugin.routes[r]->path);
			CU_ASSERT(info->routes[r].flags == plugin.routes[r]->flags);
			CU_ASSERT_PTR_NULL(info->routes[r].handle); /* runs in the worker */
		}
		plugin_info_free(info);
		plugin_close(&plugin);
		buf_free(&body);
	}
}

/* A description with any byte changed, or cut at any point, is refused or harmless (under ASan). */
static void hostile_infos_do_no_harm(void)
{
	struct skymon_plugin plugin;
	struct err err = {""};
	struct buf body = {0};
	size_t refused = 0;
	CU_ASSERT_FATAL(open_plugin("t_all_options", &plugin, &err));
	plugin_info_encode(&plugin, "b", &body);
	for (size_t at = 0; at < body.size; at++) {
		static const unsigned char bytes[] = {0, 1, 0x7F, 0xFF};
		for (size_t i = 0; i <= sizeof(bytes); i++) {
			size_t size = i < sizeof(bytes) ? body.size : at;
			char *copy = malloc(size > 0 ? size : 1);
			memcpy(copy, body.data, size);
			if (i < sizeof(bytes))
				copy[at] = (char)bytes[i];
			struct wire_reader in = wire_reader(copy, size);
			struct plugin_info *info = plugin_info_decode(&in, &err);
			CU_ASSERT(i < sizeof(bytes) || info == NULL);
			refused += info == NULL;
			plugin_info_free(info);
			free(copy);
		}
	}
	CU_ASSERT(refused > body.size);
	plugin_close(&plugin);
	buf_free(&body);
}

static void put_file(const char *where, const char *name, mode_t mode)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", where, name);
	FILE *file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs("not a shared object", file);
	fclose(file);
	chmod(path, mode);
}

static bool file_ok(const char *path, struct err *err)
{
	struct plugin_mark mark;
	int copy = plugin_file_open(path, &mark, err);
	if (copy < 0)
		return false;
	CU_ASSERT(plugin_file_same(path, &mark));
	CU_ASSERT(write(copy, "x", 1) < 0 && ftruncate(copy, 0) < 0);
	close(copy);
	return true;
}

static void files_are_found_and_validated(void)
{
	char first[] = "/tmp/skymon-plugin-XXXXXX", second[] = "/tmp/skymon-plugin-XXXXXX";
	struct err err = {""};
	CU_ASSERT_FATAL(mkdtemp(first) != NULL && mkdtemp(second) != NULL);
	const char *folders[] = {first, second};
	put_file(first, "b.so", 0644);
	put_file(second, "b.so", 0644);
	put_file(second, "a-1.so", 0646);
	put_file(second, "Wrong.so", 0644);
	put_file(second, "text.txt", 0644);
	size_t count;
	char **names = plugin_list(folders, 2, &count);
	CU_ASSERT_EQUAL_FATAL(count, 2);
	UNIT_TEXT(names[0], "a-1");
	UNIT_TEXT(names[1], "b");
	free(names[0]);
	free(names[1]);
	free(names);
	char path[4096];
	snprintf(path, sizeof(path), "%s/b.so", first);
	char *found = plugin_find("b", folders, 2, &err);
	UNIT_TEXT(found, path);
	CU_ASSERT(file_ok(found, &err));
	struct skymon_plugin plugin;
	CU_ASSERT(!plugin_open(found, -1, &plugin, &err)); /* not an ELF file */
	free(found);
	CU_ASSERT_PTR_NULL(plugin_find("c", folders, 2, &err));
	CU_ASSERT(strstr(err.text, first) != NULL && strstr(err.text, second) != NULL);
	CU_ASSERT_PTR_NULL(plugin_find("../b", folders, 2, &err));
	CU_ASSERT_PTR_NULL(plugin_find("", folders, 2, &err));
	snprintf(path, sizeof(path), "%s/a-1.so", second);
	CU_ASSERT(!file_ok(path, &err) && strstr(err.text, "written by others") != NULL);
	chmod(path, 0644);
	CU_ASSERT(file_ok(path, &err));
	chmod(second, 0777);
	CU_ASSERT(!file_ok(path, &err) && strstr(err.text, second) != NULL);
	CU_ASSERT(!file_ok(first, &err) && !file_ok("/nowhere/x.so", &err));
	char command[4096];
	snprintf(command, sizeof(command), "rm -r %s %s", first, second);
	CU_ASSERT_EQUAL(system(command), 0);
}

/* The host's table lacks a check's functions in the daemon, and the daemon's in a worker. */
static void what_the_host_lacks_does_nothing(void)
{
	static const struct skymon_host table = {.size = sizeof(table)};
	struct skymon sm = {.host = &table};
	struct skymon_request *rq = NULL;
	size_t size = 1;
	skymon_reason(&sm, SKYMON_DNS);
	skymon_detail(&sm, "a", "%d", 1);
	skymon_detail_number(&sm, "a", 1);
	skymon_detail_boolean(&sm, "a", true);
	skymon_detail_json(&sm, "a", "1");
	skymon_number(&sm, "a", 1);
	skymon_gauge(&sm, "a", "help", 1);
	skymon_counter(&sm, "a_total", "help", 1);
	skymon_metric(&sm, SKYMON_GAUGE, "a", "help", 1, NULL, 0);
	skymon_step(&sm, "a");
	skymon_secret_refused(&sm);
	skymon_invalid(&sm, "a", "is wrong");
	skymon_release(&sm, NULL);
	char addresses[8];
	CU_ASSERT(skymon_ms_left(&sm) == 0 && !skymon_resolve(&sm, "a", addresses, sizeof(addresses)));
	CU_ASSERT_FALSE(skymon_resolve_within(&sm, "a", 1, addresses, sizeof(addresses)));
	CU_ASSERT(skymon_shared(&sm) == NULL && skymon_snapshot(&sm) == NULL && skymon_self(&sm) == NULL);
	CU_ASSERT(skymon_config_public(&sm) == NULL && skymon_routes(&sm) == NULL);
	CU_ASSERT(skymon_render(&sm, rq, "metrics", &size) == NULL && size == 0 && !skymon_again(&sm, rq));
}

static void plugins_fit_by_their_abi(void)
{
	static const struct {
		unsigned major, minor, our_major, our_minor;
		bool fits;
	} cases[] = {
		{0, 4, 0, 4, true},  {0, 3, 0, 4, false}, {0, 5, 0, 4, false}, {1, 4, 0, 4, false},
		{1, 0, 1, 0, true},  {1, 0, 1, 7, true},  {1, 7, 1, 7, true},  {1, 8, 1, 7, false},
		{0, 4, 1, 7, false}, {2, 0, 1, 7, false}, {1, 7, 2, 0, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_EQUAL(plugin_abi_fits(cases[i].major, cases[i].minor, cases[i].our_major,
						cases[i].our_minor),
				cases[i].fits);
}

static size_t print(char *text, const char *format, ...) PRINTF(2);
static size_t print(char *text, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	size_t size = skymon_format(text, format, list);
	va_end(list);
	return size;
}

/* A wrapper cuts a long sentence at the end of a character. */
static void sentences_are_cut_between_characters(void)
{
	static const char *const characters[] = {"a", "\u00e4", "\u20ac", "\U0001F600"};
	char text[SKYMON_TEXT_MAX + 2], all[SKYMON_TEXT_MAX + 16] = "";
	CU_ASSERT_EQUAL(print(text, "%s", ""), 0);
	CU_ASSERT_EQUAL(print(text, "%d of %s", 3, "x"), 6);
	for (size_t i = 0; i < 4; i++) {
		size_t size = strlen(characters[i]);
		for (int before = -5; before <= 1;
		     before++) { /* where the character begins, from the limit */
			size_t at = (size_t)((int)SKYMON_TEXT_MAX + before);
			memset(all, 'x', sizeof(all) - 1);
			memcpy(all + at, characters[i], size);
			bool split = at < SKYMON_TEXT_MAX && at + size > SKYMON_TEXT_MAX;
			CU_ASSERT_EQUAL(print(text, "%s", all), split ? at : SKYMON_TEXT_MAX);
			CU_ASSERT_EQUAL(memcmp(text, all, split ? at : SKYMON_TEXT_MAX), 0);
		}
	}
	memset(all, 'x', sizeof(all) - 1);
	all[SKYMON_TEXT_MAX] = '\0';
	CU_ASSERT_EQUAL(print(text, "%s", all), SKYMON_TEXT_MAX);
}

static int64_t never(struct skymon *sm)
{
	(void)sm;
	CU_FAIL("a function beyond the end of an older core's table was called");
	return 1;
}

static void an_older_core_lacks_functions(void)
{
	static const struct skymon_host older = {.size = offsetof(struct skymon_host, interval_ms),
						 .interval_ms = never};
	struct skymon sm = {.host = &older};
	CU_ASSERT_EQUAL(skymon_interval_ms(&sm), 0);
}

/* One rule for plugins, routes and components, and for the components that secrets name. */
static void names_are_checked(void)
{
	char most[65] = {0};
	memset(most, 'a', 63);
	static const struct {
		const char *name;
		bool plugin, component;
	} cases[] = {
		{"a", true, true},  {"0-b_c", true, true}, {"-a", true, false},   {"a_", true, false},
		{"", false, false}, {"A", false, false},   {"a.b", false, false}, {"../b", false, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CU_ASSERT_EQUAL(name_is_plugin(cases[i].name), cases[i].plugin);
		CU_ASSERT_EQUAL(name_is_component(cases[i].name), cases[i].component);
	}
	CU_ASSERT(name_is_plugin(most) && name_is_component(most));
	most[63] = 'a';
	CU_ASSERT(!name_is_plugin(most) && !name_is_component(most));
}

int main(void)
{
	return unit_run(
		"plugin",
		(const struct unit_test[]){
			{"good ones are opened", good_ones_are_opened},
			{"wrong ones are refused", wrong_ones_are_refused},
			{"infos cross", infos_cross},
			{"hostile infos do no harm", hostile_infos_do_no_harm},
			{"files are found and validated", files_are_found_and_validated},
			{"what the host lacks does nothing", what_the_host_lacks_does_nothing},
			{"an older core lacks functions", an_older_core_lacks_functions},
			{"plugins fit by their ABI", plugins_fit_by_their_abi},
			{"sentences are cut between characters", sentences_are_cut_between_characters},
			{"names are checked", names_are_checked},
			{0}});
}
