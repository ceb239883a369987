/* SPDX-License-Identifier: Apache-2.0 */
/* skymon plugins: prints the declarations of plugins. Each is opened in a worker, so that a bad one does no
 * harm here. Called by main; owns the pool with these workers. On the loop's thread. */
#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "supervisor/pool.h"

static void print_needs(uint32_t flags)
{
	if ((flags & SKYMON_NEEDS_EXEC) != 0)
		printf("\nneeds: to start programs\n");
	if ((flags & SKYMON_NEEDS_PROC) != 0)
		printf("\nneeds: to read /proc and /sys\n");
	if ((flags & SKYMON_NEEDS_PROCESSES) != 0)
		printf("\nneeds: to look into other processes, so the files that it reads are not limited\n");
}

static void print_one(const struct plugin_info *info)
{
	struct buf options = {0};
	printf("%s %s (ABI %u.%u): ", info->name, info->version, info->abi_major, info->abi_minor);
	tool_print(info->summary);
	printf("\n");
	if (info->has_check)
		printf("\nruns every %g s, for at most %g s, unless the config says otherwise\n",
		       info->interval_ms > 0 ? info->interval_ms / 1000.0 : 30,
		       info->timeout_ms > 0 ? info->timeout_ms / 1000.0 : 5);
	print_needs(info->flags);
	option_table_print(info->options, &options);
	if (options.size > 0)
		printf("\noptions:\n%s", options.data);
	buf_free(&options);
	if (info->number_count > 0)
		printf("\nnumbers, for warn, crit and service.metrics:\n");
	for (size_t i = 0; i < info->number_count; i++) {
		const struct skymon_number *number = &info->numbers[i];
		printf("  %s%s%s\n      ", number->name, number->unit[0] != '\0' ? ", " : "", number->unit);
		tool_print(number->help);
		printf("\n");
	}
	if (info->route_count > 0)
		printf("\nroutes:\n");
	for (size_t i = 0; i < info->route_count; i++) {
		printf("  %s %s\n      ", info->routes[i].method, info->routes[i].path);
		tool_print(info->routes[i].summary);
		printf("\n");
	}
}

static int print_all(const struct pool *pool, char *const *names, size_t count)
{
	size_t broken = 0;
	printf("%-20s %-10s %-6s %s\n", "NAME", "VERSION", "ABI", "SUMMARY");
	for (size_t i = 0; i < count; i++) {
		const char *why;
		const struct plugin_info *info = pool_info(pool, names[i], &why);
		if (info != NULL) {
			printf("%-20s %-10s %u.%-4u ", info->name, info->version, info->abi_major,
			       info->abi_minor);
			tool_print(info->summary);
			printf("\n");
		} else {
			fflush(stdout);
			tool_fail("plugin %s cannot be used: %s", names[i], why);
			broken++;
		}
	}
	return broken > 0 ? TOOL_DEGRADED : TOOL_HEALTHY;
}

static int print_named(const struct pool *pool, const char *name)
{
	const char *why;
	const struct plugin_info *info = pool_info(pool, name, &why);
	if (info == NULL)
		return tool_fail("%s: %s", name, why);
	print_one(info);
	return TOOL_HEALTHY;
}

static void on_opened(void *arg)
{
	loop_stop(arg);
}

/* Opens the plugins and prints the one of that name, or, if name is NULL, a list of all. */
static int print_plugins(const struct tool_folders *folders, char *const *names, size_t count,
			 const char *name)
{
	struct loop *loop = loop_new();
	if (loop == NULL)
		return tool_fail("cannot make an event loop");
	struct pool *pool = pool_new(loop, TOOL_WORKER, NULL);
	pool_prepare(pool, names, count, folders->items, folders->count, on_opened, loop);
	loop_run(loop);
	int code = name != NULL ? print_named(pool, name) : print_all(pool, names, count);
	pool_free(pool);
	loop_free(loop);
	return code;
}

int tool_plugins(int argc, char **argv)
{
	static const struct option longs[] = {{"plugin-path", required_argument, NULL, 'p'}, {0}};
	struct tool_folders folders = {0};
	int code;
	for (int option; (option = getopt_long(argc, argv, "p:", longs, NULL)) != -1;) {
		if (option != 'p')
			return TOOL_UNKNOWN;
		tool_folders_add(&folders, optarg);
	}
	const char *name = tool_folders_end(&folders, argv[optind]);
	if (optind + 1 < argc) {
		code = tool_fail("plugins takes one name");
	} else if (name != NULL) {
		code = print_plugins(&folders, (char *const *)&name, 1, name);
	} else {
		size_t count;
		char **names = plugin_list(folders.items, folders.count, &count);
		code = count > 0 ? print_plugins(&folders, names, count, NULL)
				 : tool_fail("no plugins in %s", folders.items[0]);
		for (size_t i = 0; i < count; i++)
			free(names[i]);
		free(names);
	}
	free(folders.items);
	return code;
}
