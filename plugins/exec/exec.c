/* SPDX-License-Identifier: Apache-2.0 */
/* exec: any program is a check: by the protocol of Nagios plugins, by one JSON object, or by a stream of lines. Called by the worker,
 * each component on its own thread; owns the arguments, the environment and, of a stream, the program. man skymon-exec has the
 * protocols.
 *
 * The program is started without a shell, in a process group of its own, with the deadline of the check (skymon/spawn.h). Its file may
 * be changed by root and skymon's user alone, as with plugins: it runs as skymon's user. */
#include "exec.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const protocols[] = {"nagios", "json", "stream", NULL};

static const struct skymon_option secret_options[] = {
	SKYMON_OPT(struct exec_secret, name, NULL, "variable of the program's environment",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct exec_secret, value, NULL, "its value", .flags = SKYMON_REQUIRED),
	{0}};

static const struct skymon_option options[] = {
	SKYMON_OPT(
		struct exec, command, NULL,
		"the program and its arguments, a list, without a shell; a name without / is looked for in "
		"/usr/lib/nagios/plugins, /usr/bin and their like",
		.flags = SKYMON_REQUIRED),
	SKYMON_OPT(
		struct exec, protocol, "nagios",
		"nagios: exit code, text and performance data; json: one JSON object; stream: a program that stays, a line of "
		"JSON for each run",
		.words = protocols),
	SKYMON_OPT(struct exec, env, NULL,
		   "variables of the program's environment, besides those of the worker"),
	SKYMON_OPT(struct exec, secret_env, NULL, "variables of its environment that are secrets",
		   .item = secret_options, .item_size = sizeof(struct exec_secret)),
	SKYMON_OPT(struct exec, options, NULL, "stream: given to the program with each run"),
	SKYMON_OPT(struct exec, folder, "/",
		   "working directory; what the program reads there is named by read"),
	SKYMON_OPT(
		struct exec, read, NULL,
		"files and folders that the program reads, besides software, system settings, /proc and files that command and "
		"env name",
		.flags = SKYMON_PATH_READ),
	SKYMON_OPT(
		struct exec, write, NULL,
		"files and folders that the program writes, besides $TMPDIR, a folder of this plugin's under state_dir",
		.flags = SKYMON_PATH_WRITE),
	SKYMON_OPT(struct exec, memory, NULL,
		   "most memory of each of its processes (RLIMIT_DATA); left out: twice limits.worker_memory",
		   .min = 1 << 20, .max = 0x1p50),
	SKYMON_OPT(struct exec, cpu, NULL, "most CPU time of each of its processes, rounded up to seconds",
		   .min = 1000, .max = 366.0 * 86400 * 1000),
	SKYMON_OPT(struct exec, files, NULL, "most open files of each of its processes; left out: 4096",
		   .min = 3, .max = 4096),
	{0}};

static const struct skymon_number numbers[] = {
	{"seconds_", "s",
	 "performance data in seconds, by label: seconds_time; in json and stream any such number"},
	{"bytes_", "bytes", "the same in bytes"},
	{"ratio_", "ratio", "the same in percent"},
	{"count_", "", "the same of counters (unit c)"},
	{"value_", "", "the same in any other unit, or in none"},
	{"perfdata_skipped", "",
	 "items of performance data that are malformed, there twice, or beyond the first 256"},
	{"active_connections", "", "json and stream: for service.metrics, as the next ones"},
	{"total_requests", "", "json and stream"},
	{"error_rate_percent", "%", "json and stream"},
	{"average_response_time_ms", "ms", "json and stream"},
	{"memory_usage_mb", "MB", "json and stream"},
	{"cpu_usage_percent", "%", "json and stream"},
	{"database_connections", "", "json and stream"},
	{"cache_hit_rate_percent", "%", "json and stream"},
	{0}};

/* ---- The options ---- */

static bool is_variable(const char *name)
{
	for (const char *at = name; *at != '\0'; at++)
		if (*at != '_' && !isalpha((unsigned char)*at) &&
		    (at == name || !isdigit((unsigned char)*at)))
			return false;
	return name[0] != '\0';
}

static void validate_secrets(struct skymon *sm, const struct exec *exec)
{
	const struct exec_secret *secrets = exec->secret_env.items;
	char option[40];
	for (size_t i = 0; i < exec->secret_env.count; i++) {
		snprintf(option, sizeof(option), "secret_env[%zu].name", i);
		if (!is_variable(secrets[i].name))
			skymon_invalid(sm, option, "must be the name of a variable: letters, digits and _");
		for (size_t j = 0; j < exec->env.count; j++)
			if (strcmp(exec->env.items[j].name, secrets[i].name) == 0)
				skymon_invalid(sm, option, "is in env too: give it once");
		for (size_t j = 0; j < i; j++)
			if (strcmp(secrets[j].name, secrets[i].name) == 0)
				skymon_invalid(sm, option, "is used twice");
	}
}

static void validate_paths(struct skymon *sm, const char *option, const struct skymon_texts *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		if (paths->items[i][0] != '/')
			skymon_invalid(sm, option, "must hold absolute paths");
}

static void validate(struct skymon *sm, const void *state)
{
	const struct exec *exec = state;
	const char *program = exec->command.count > 0 ? exec->command.items[0] : "";
	if (program[0] == '\0')
		skymon_invalid(sm, "command", "must begin with a program");
	else if (program[0] != '/' && strchr(program, '/') != NULL)
		skymon_invalid(sm, "command", "must begin with an absolute path, or a name without /");
	else if (strpbrk(program, " \t") != NULL && exec->command.count == 1)
		skymon_invalid(
			sm, "command",
			"is a list, such as [check_load, -w, \"5,5,5\"]; for a shell: [/bin/sh, -c, \"…\"]");
	for (size_t i = 0; i < exec->env.count; i++)
		if (!is_variable(exec->env.items[i].name))
			skymon_invalid(sm, "env",
				       "has a name that is not a variable's: letters, digits and _");
	validate_secrets(sm, exec);
	if (exec->folder != NULL && exec->folder[0] != '/')
		skymon_invalid(sm, "folder", "must be an absolute path");
	validate_paths(sm, "read", &exec->read);
	validate_paths(sm, "write", &exec->write);
	if (exec->options.count > 0 && exec->protocol.index != EXEC_STREAM)
		skymon_invalid(sm, "options", "are given to a stream only");
}

/* ---- The check ---- */

static bool start(struct skymon *sm, void *state)
{
	struct exec *exec = state;
	if (exec_make_command(exec) && (exec->protocol.index != EXEC_STREAM || exec_stream_init(exec)))
		return true;
	exec_free_command(exec);
	(void)skymon_unknown(sm, "out of memory");
	return false;
}

static void stop(struct skymon *sm, void *state)
{
	(void)sm;
	exec_stream_end(state);
	exec_free_command(state);
}

/* Reports an end that says nothing of what was checked. */
static enum skymon_status report_ended(struct skymon *sm, struct exec *exec,
				       const struct skymon_spawn_run *run)
{
	char line[EXEC_MESSAGE_MAX];
	if (run->flooded) {
		skymon_reason(sm, SKYMON_PROTOCOL);
		return skymon_unknown(sm, "the program was ended: it wrote more than %s",
				      run->out_size + 1 >= run->out_room ? "256 KiB"
									 : "1 MiB on its standard error");
	}
	exec_first_line(run->err_size > 0 ? run->err : run->out, line, sizeof(line));
	skymon_reason(sm, SKYMON_TIMEOUT);
	return skymon_unhealthy(sm, "%s was ended at the deadline%s%.300s", exec->command.items[0],
				line[0] != '\0' ? "; it had printed: " : "", line);
}

static enum skymon_status run_once(struct skymon *sm, struct exec *exec)
{
	char errors[EXEC_ERRORS_MAX];
	struct skymon_fault fault;
	struct skymon_program program = exec_program(exec);
	struct skymon_spawn_run run = {.out = malloc(EXEC_OUTPUT_MAX),
				       .err = errors,
				       .out_room = EXEC_OUTPUT_MAX,
				       .err_room = sizeof(errors)};
	enum skymon_status status;
	if (run.out == NULL)
		return skymon_unknown(sm, "out of memory");
	if (!skymon_spawn(sm, &program, &run, &fault)) {
		status = skymon_report(sm, NULL, &fault);
	} else if (run.late || run.flooded) {
		exec_clean(run.err, run.err_size);
		exec_clean(run.out, run.out_size);
		status = report_ended(sm, exec, &run);
	} else {
		exec_clean(run.err, run.err_size);
		status = exec->protocol.index == EXEC_JSON ? exec_json_run(sm, &run)
							   : exec_nagios_report(sm, &run);
	}
	free(run.out);
	return status;
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct exec *exec = state;
	struct skymon_fault fault;
	if (!exec_find(exec, &fault))
		return skymon_report(sm, NULL, &fault);
	if (exec->protocol.index == EXEC_STREAM)
		return exec_stream_check(sm, exec);
	skymon_step(sm, "running the program");
	return run_once(sm, exec);
}

SKYMON_PLUGIN(exec, "1.0", "Any program as a check: Nagios plugins, JSON, or a stream of lines",
	      .state_size = sizeof(struct exec), .options = options, .numbers = numbers, .start = start,
	      .stop = stop, .check = check, .validate = validate,
	      .flags = SKYMON_NEEDS_EXEC | SKYMON_NEEDS_PROC);
