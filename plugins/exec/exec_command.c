/* SPDX-License-Identifier: Apache-2.0 */
/* exec_command: the file of a command, which users may change it, its arguments and its environment. Called by exec.c on the
 * component's thread, and by its start and stop. */
#include "exec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel */

extern char **environ;

/* ---- Which users may change it ---- */

/* The rule for plugins and secrets (core/base/file_trust.c). sticky: a folder like /tmp, where users replace only what is theirs. */
static bool is_safe(const char *path, bool folder, char why[EXEC_WHY])
{
	struct stat about;
	if (stat(path, &about) != 0) {
		snprintf(why, EXEC_WHY, "cannot look at %.120s: %s", path, strerror(errno));
		return false;
	}
	bool ours = about.st_uid == 0 || about.st_uid == geteuid();
	bool group = (about.st_mode & S_IWGRP) != 0 && about.st_gid != 0 && about.st_gid != getegid();
	bool sticky = folder && (about.st_mode & S_ISVTX) != 0;
	bool others = (group || (about.st_mode & S_IWOTH) != 0) && !sticky;
	if (!folder && !S_ISREG(about.st_mode)) {
		snprintf(why, EXEC_WHY, "%.150s is not a file", path);
		return false;
	}
	if (!ours)
		snprintf(why, EXEC_WHY,
			 "%.100s belongs to user %lu: it must belong to root or to skymon's user", path,
			 (unsigned long)about.st_uid);
	else if (others)
		snprintf(why, EXEC_WHY, "%.80s may be written by others: chmod go-w %.80s", path, path);
	return ours && !others;
}

/* Resolves the path as the kernel does, a component at a time, and checks each folder on the way, those of links too: a user that may
 * replace a link or a folder chooses the program. `left` is what has not been resolved. */
bool exec_is_trusted(const char *path, char why[EXEC_WHY])
{
	char done[PATH_MAX] = "", left[2 * PATH_MAX], target[PATH_MAX];
	int links = 0;
	if (path[0] != '/' || strlen(path) >= PATH_MAX)
		return snprintf(why, EXEC_WHY, "%.100s is not an absolute path", path) < 0;
	snprintf(left, sizeof(left), "%s", path);
	for (;;) {
		char *name = left + strspn(left, "/");
		size_t length = strcspn(name, "/"), before = strlen(done);
		if (length == 0)
			return is_safe(done[0] != '\0' ? done : "/", false, why);
		if (before + 1 + length >= sizeof(done) || links > LINKS_MAX)
			return snprintf(why, EXEC_WHY, "%.100s: too many links, or too long a path", path) <
			       0;
		if (!is_safe(done[0] != '\0' ? done : "/", true, why))
			return false;
		if (length > 1 || *name != '.')
			snprintf(done + before, sizeof(done) - before, "/%.*s", (int)length, name);
		memmove(left, name + length, strlen(name + length) + 1);
		ssize_t got = readlink(done, target, sizeof(target) - 1);
		if (got < 0)
			continue;
		links++;
		target[got] = '\0';
		done[target[0] == '/' ? 0 : before] = '\0';
		size_t rest = strlen(left);
		if ((size_t)got + 1 + rest >= sizeof(left))
			return snprintf(why, EXEC_WHY, "%.100s: too many links, or too long a path", path) <
			       0;
		memmove(left + got + 1, left, rest + 1);
		memcpy(left, target, (size_t)got);
		left[got] = '/';
	}
}

/* ---- Where it is ---- */

/* A name without a slash is looked for in these folders. PATH would be the daemon's, which differs from machine to machine. */
static const char *const folders[] = {"/usr/local/lib/nagios/plugins",
				      "/usr/lib/nagios/plugins",
				      "/usr/lib64/nagios/plugins",
				      "/usr/local/bin",
				      "/usr/bin",
				      "/bin",
				      "/usr/local/sbin",
				      "/usr/sbin",
				      "/sbin"};

bool exec_find(struct exec *exec, struct skymon_fault *fault)
{
	const char *name = exec->command.items[0];
	char path[PATH_MAX], why[EXEC_WHY];
	snprintf(path, sizeof(path), "%s", name);
	for (size_t i = 0; name[0] != '/' && i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		if (access(path, X_OK) == 0)
			break;
	}
	if (access(path, F_OK) != 0) {
		int error = errno;
		if (name[0] == '/')
			skymon_fault_set(fault, SKYMON_UNKNOWN,
					 error == ENOENT ? SKYMON_MISSING : SKYMON_DENIED, "%.200s: %s", name,
					 strerror(error));
		else
			skymon_fault_set(
				fault, SKYMON_UNKNOWN, SKYMON_MISSING,
				"no program %.100s in /usr/lib/nagios/plugins, /usr/bin and their like: give its path",
				name);
		return false;
	}
	if (!exec_is_trusted(path, why)) {
		skymon_fault_set(fault, SKYMON_UNKNOWN, SKYMON_DENIED, "%s", why);
		return false;
	}
	if (exec->path == NULL || strcmp(exec->path, path) != 0) {
		free(exec->path);
		exec->path = strdup(path);
	}
	exec->argv[0] = exec->path;
	return exec->path != NULL;
}

/* ---- Arguments and environment ---- */

static bool add_variable(char **envp, size_t *count, const char *name, const char *value)
{
	size_t length = strlen(name), i = 0;
	while (i < *count && (strncmp(envp[i], name, length) != 0 || envp[i][length] != '='))
		i++;
	size_t size = length + 1 + strlen(value) + 1;
	char *text = malloc(size);
	if (text == NULL)
		return false;
	snprintf(text, size, "%s=%s", name, value);
	if (i < *count)
		free(envp[i]);
	else
		(*count)++;
	envp[i] = text;
	return true;
}

bool exec_make_command(struct exec *exec)
{
	size_t given = 0, count = 0, arguments = exec->command.count;
	while (environ[given] != NULL)
		given++;
	exec->argv = calloc(arguments + 1, sizeof(*exec->argv));
	exec->envp = calloc(given + exec->env.count + exec->secret_env.count + 2, sizeof(*exec->envp));
	if (exec->argv == NULL || exec->envp == NULL)
		return false;
	for (size_t i = 0; i < arguments; i++)
		exec->argv[i] = exec->command.items[i];
	for (; count < given; count++)
		if ((exec->envp[count] = strdup(environ[count])) == NULL)
			return false;
	bool ok = true;
	for (size_t i = 0; ok && i < exec->env.count; i++)
		ok = add_variable(exec->envp, &count, exec->env.items[i].name, exec->env.items[i].value);
	const struct exec_secret *secrets = exec->secret_env.items;
	for (size_t i = 0; ok && i < exec->secret_env.count; i++)
		ok = add_variable(exec->envp, &count, secrets[i].name, secrets[i].value.bytes);
	return ok;
}

void exec_free_command(struct exec *exec)
{
	for (size_t i = 0; exec->envp != NULL && exec->envp[i] != NULL; i++) {
		explicit_bzero(exec->envp[i], strlen(exec->envp[i]));
		free(exec->envp[i]);
	}
	free(exec->envp);
	free(exec->argv);
	free(exec->path);
	exec->envp = NULL;
	exec->argv = NULL;
	exec->path = NULL;
}

struct skymon_program exec_program(const struct exec *exec)
{
	return (struct skymon_program){.argv = exec->argv,
				       .env = (const char *const *)exec->envp,
				       .folder = exec->folder,
				       .memory = exec->memory.count,
				       .cpu_seconds = (exec->cpu.ms + 999) / 1000,
				       .files = exec->files};
}
