/* SPDX-License-Identifier: Apache-2.0 */
/* skymon plugins: prints the declarations of plugins. Each is opened in a worker process, so that a bad one
 * does no harm here. */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/sandbox.h"
#include "supervisor/process_spawn.h"
#include "wire/message.h"

#define HELLO_MS 5000

/* ---- One plugin's hello ---- */

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The next message; false: none within the time, or the worker is gone. */
static bool next_message(struct wire_inbox *inbox, int wire, int64_t until_ms, struct wire_message *out,
			 struct err *err)
{
	for (;;) {
		enum wire_got got = wire_receive(inbox, wire, out, err);
		if (got == WIRE_MESSAGE)
			return true;
		if (got == WIRE_CLOSED)
			return err_set(err, "its process ended while it was opened");
		if (got == WIRE_BAD)
			return false;
		int64_t left = until_ms - now_ms();
		if (left <= 0)
			return err_set(err, "it did not answer within %d s of being opened", HELLO_MS / 1000);
		struct pollfd ready = {.fd = wire, .events = POLLIN};
		(void)poll(&ready, 1, (int)left);
	}
}

static void tell_crash(struct wire_reader *in, struct err *err)
{
	struct message_crash crash;
	message_get_crash(in, &crash);
	const char *name = sigabbrev_np(crash.number);
	if (crash.cause == WIRE_CRASH_EXIT)
		err_set(err, "it called exit(%d) while %s", crash.number, crash.step);
	else
		err_set(err, "it crashed with SIG%s while %s", name != NULL ? name : "?", crash.step);
}

static struct plugin_info *wait_for_hello(int wire, struct err *err)
{
	struct wire_inbox inbox = {0};
	struct plugin_info *info = NULL;
	struct wire_message message = {0};
	int64_t until = now_ms() + HELLO_MS;
	bool done = false;
	while (!done && next_message(&inbox, wire, until, &message, err)) {
		struct wire_reader in = wire_reader(message.body, message.size);
		if (message.type == WIRE_CRASH) {
			tell_crash(&in, err);
			done = true;
		} else if (message.type == WIRE_HELLO) {
			const char *why;
			if (message_get_hello(&in, &why) && why == NULL)
				info = plugin_info_decode(&in, err);
			else
				err_set(err, "%s", why != NULL ? why : "its hello is broken");
			done = true;
		}
		free(message.body);
	}
	wire_inbox_free(&inbox);
	if (info == NULL || option_defaults_check(info->options, err))
		return info;
	plugin_info_free(info);
	return NULL;
}

/* Reads what the plugin declares, in a process of its own. Returns NULL with the error if it cannot be
 * opened, dies or does not answer within 5 s. */
static struct plugin_info *ask_plugin(const char *path, const char *name, struct err *err)
{
	int wire[2];
	pid_t pid;
	struct plugin_mark mark;
	struct process_arguments arguments = {.program = SKYMON_LIBEXECDIR "/skymon-worker",
					      .name = name,
					      .plugin_path = path,
					      .copy = plugin_file_open(path, &mark, err)};
	if (arguments.copy < 0)
		return NULL;
	if (!wire_pair(wire, err)) {
		close(arguments.copy);
		return NULL;
	}
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool started = process_spawn(&arguments, wire[1], nowhere, &pid, err);
	close(nowhere);
	close(arguments.copy);
	close(wire[1]);
	struct sandbox sandbox = {0};
	struct buf body = {0};
	sandbox_encode(&sandbox, &body);
	started = started && (wire_send(wire[0], WIRE_SANDBOX, 0, body.data, body.size) ||
			      err_set(err, "its process ended while it was opened"));
	buf_free(&body);
	struct plugin_info *info = started ? wait_for_hello(wire[0], err) : NULL;
	close(wire[0]);
	if (started) {
		kill(-pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return info;
}

/* ---- Printing ---- */

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

static int list_all(const struct tool_folders *folders)
{
	size_t count, broken = 0;
	char **names = plugin_list(folders->items, folders->count, &count);
	if (count > 0)
		printf("%-20s %-10s %-6s %s\n", "NAME", "VERSION", "ABI", "SUMMARY");
	for (size_t i = 0; i < count; i++) {
		struct err err = {""};
		char *path = plugin_find(names[i], folders->items, folders->count, &err);
		struct plugin_info *info = path != NULL ? ask_plugin(path, names[i], &err) : NULL;
		if (info != NULL) {
			printf("%-20s %-10s %u.%-4u ", info->name, info->version, info->abi_major,
			       info->abi_minor);
			tool_print(info->summary);
			printf("\n");
		} else {
			fflush(stdout);
			tool_fail("plugin %s cannot be used: %s", names[i], err.text);
			broken++;
		}
		plugin_info_free(info);
		free(path);
		free(names[i]);
	}
	free(names);
	if (count == 0)
		return tool_fail("no plugins in %s", folders->items[0]);
	return broken > 0 ? TOOL_DEGRADED : TOOL_HEALTHY;
}

int tool_plugins(int argc, char **argv)
{
	static const struct option longs[] = {{"plugin-path", required_argument, NULL, 'p'}, {0}};
	struct tool_folders folders = {0};
	struct err err = {""};
	int code = TOOL_UNKNOWN;
	for (int option; (option = getopt_long(argc, argv, "p:", longs, NULL)) != -1;) {
		if (option != 'p')
			return TOOL_UNKNOWN;
		tool_folders_add(&folders, optarg);
	}
	tool_folders_add(&folders, SKYMON_PLUGINDIR);
	if (optind + 1 < argc) {
		tool_fail("plugins takes one name");
	} else if (optind == argc) {
		code = list_all(&folders);
	} else {
		char *path = tool_find_plugin(&folders, argv[optind], &err);
		struct plugin_info *info = path != NULL ? ask_plugin(path, argv[optind], &err) : NULL;
		if (info != NULL) {
			print_one(info);
			code = 0;
		} else {
			tool_fail("%s%s%s", path != NULL ? argv[optind] : "", path != NULL ? ": " : "",
				  err.text);
		}
		plugin_info_free(info);
		free(path);
	}
	free(folders.items);
	return code;
}
