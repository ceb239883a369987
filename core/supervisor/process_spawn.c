/* SPDX-License-Identifier: Apache-2.0 */
/* process_spawn: starts skymon-worker processes, with their descriptors, environment and arguments. Called by
 * process.c. Owns nothing. */
#include "process_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/* Do not pass on variables that client libraries read implicitly, such as VAULT_TOKEN, PG* or DATABASE_URL.
 * GLIBC_TUNABLES is of the allocator: tool_run.c sets it to count memory. */
static char **make_environment(void)
{
	static const char *const passed[] = {
		"PATH",
		"TZ",
		"GLIBC_TUNABLES",
		"SSL_CERT_FILE",
		"SSL_CERT_DIR",
		"http_proxy",
		"https_proxy",
		"HTTP_PROXY",
		"HTTPS_PROXY",
		"all_proxy",
		"ALL_PROXY",
		"no_proxy",
		"NO_PROXY",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SKYMON_SANITIZE)
		"ASAN_OPTIONS",
		"UBSAN_OPTIONS",
		"TSAN_OPTIONS",
		"LSAN_OPTIONS",
#endif
	};
	size_t count = 0;
	char **environment = x_alloc((sizeof(passed) / sizeof(*passed) + 3) * sizeof(*environment));
	environment[count++] = x_strdup("LANG=C");
	environment[count++] = x_strdup("RES_OPTIONS=timeout:1 attempts:2");
	for (size_t i = 0; i < sizeof(passed) / sizeof(*passed); i++) {
		const char *value = config_environment(passed[i]);
		if (value != NULL)
			environment[count++] = x_printf("%s=%s", passed[i], value);
	}
	return environment;
}

bool process_spawn(const struct process_arguments *arguments, int wire, int print, pid_t *pid,
		   struct err *err)
{
	/* opened here, so that its error is not taken for one of the program's */
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0)
		return err_set(err, "cannot start a worker: /dev/null: %s", strerror(errno));
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, null, 0);
	posix_spawn_file_actions_adddup2(&actions, print, 1);
	posix_spawn_file_actions_adddup2(&actions, print, 2);
	posix_spawn_file_actions_adddup2(&actions, wire, 3);
	posix_spawn_file_actions_adddup2(&actions, arguments->copy, 4);
	posix_spawn_file_actions_addclosefrom_np(&actions, 5); /* what the daemon itself inherited */
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes,
				 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	char limit[32];
	snprintf(limit, sizeof(limit), "%lld", (long long)arguments->memory_limit);
	char *path = x_strdup(arguments->plugin_path), *name = x_strdup(arguments->name);
	char *argv[] = {"skymon-worker", path, limit, name, NULL};
	char **environment = make_environment();
	int failed = posix_spawn(pid, arguments->program, &actions, &attributes, argv, environment);
	close(null);
	for (char **entry = environment; *entry != NULL; entry++)
		free(*entry);
	free(environment);
	free(path);
	free(name);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return failed == 0 || err_set(err, "cannot start %s: %s", arguments->program, strerror(failed));
}
