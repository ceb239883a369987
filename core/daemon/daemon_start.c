/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_start: steps of the start that keep nothing but a lock: what the modes print, and what the system allows. Called by
 * daemon.c on the loop's thread. */
#include "daemon_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"
#include "base/log.h"
#include "sandbox/sandbox.h"

#define OWN_DESCRIPTORS 384 /* reserved for workers, listeners, files, closing connections */

void daemon_print_plan(const struct plan *plan)
{
	struct buf out = {0};
	plan_print(plan, &out);
	fwrite(out.data, 1, out.size, stdout);
	buf_free(&out);
}

int daemon_print_routes(struct plan *plan, struct plugin_api *api)
{
	struct err err;
	if (!served_start(plan->served, NULL, api, false, &err)) {
		log_error("%s", err.text);
		return DAEMON_FAILED;
	}
	const struct route_table *routes = served_routes(plan->served);
	for (size_t i = 0; i < route_count(routes); i++) {
		const struct route_entry *entry = route_at(routes, i);
		printf("%-6s %-45s %-10s %s\n", entry->route->method, entry->route->path, entry->plugin,
		       entry->route->summary);
	}
	return DAEMON_OK;
}

void daemon_warn_of_isolation(void)
{
	static const char *const lacks[3] = {"Landlock", "Landlock's scopes (Linux 6.12)", "seccomp filters"};
	struct buf list = {0};
	for (size_t i = 0; i < 3; i++)
		if ((sandbox_missing() >> i & 1) != 0)
			buf_printf(&list, "%s%s", list.size > 0 ? ", no " : "no ", lacks[i]);
	if (list.size > 0)
		log_warn("this kernel has %s: workers run without; `isolation: strict` makes that an error",
			 list.data);
	buf_free(&list);
}

uint32_t daemon_fit_descriptors(const struct settings *settings)
{
	uint32_t connections = (uint32_t)settings->limits.connections;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return connections;
	rlim_t wanted = connections + OWN_DESCRIPTORS;
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= wanted)
		return connections;
	uint32_t fits = limit.rlim_cur > 2 * OWN_DESCRIPTORS ? (uint32_t)limit.rlim_cur - OWN_DESCRIPTORS
							     : (uint32_t)limit.rlim_cur / 2;
	log_warn("limits.connections is %u, but the system allows %llu descriptors: %u connections are "
		 "accepted "
		 "at once",
		 connections, (unsigned long long)limit.rlim_cur, fits);
	return fits;
}

/* fcntl's lock, because F_GETLK names its owner. The descriptor stays open, and workers do not inherit it. */
bool daemon_take_state_dir(const char *folder, struct err *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (folder[0] == '\0')
		return true;
	if (mkdir(folder, 0750) < 0 && errno != EEXIST)
		log_warn("cannot make the state folder %s: %s", folder, strerror(errno));
	char *path = x_printf("%s/skymond.lock", folder);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	if (fd < 0)
		return true; /* a folder that this user cannot write to */
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES) {
		char owner[32] = "";
		if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0)
			snprintf(owner, sizeof(owner), " (process %d)", (int)lock.l_pid);
		(void)err_set(err,
			      "another skymond%s uses the state folder %s: stop it, or give each a "
			      "`state_dir` of its own",
			      owner, folder);
		close(fd);
		return false;
	}
	log_warn("cannot lock the state folder %s, so that a second skymond would not be noticed: %s", folder,
		 strerror(errno));
	close(fd);
	return true;
}
