/* SPDX-License-Identifier: Apache-2.0 */
/* process_find: finds the processes of a pid file, unit or port in /proc and the control groups. Called by
 * the check `process`, on its thread. Owns nothing. See process_find.h. */
#include "process_find.h"
#include "procfs.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FOLDERS_MAX 20000 /* control groups that a search reads at most */

/* ---- Sets ---- */

void process_set_add(struct process_set *set, uint64_t item)
{
	if (set->count == set->space) {
		size_t space = set->space > 0 ? 2 * set->space : 64;
		uint64_t *items = reallocarray(set->items, space, sizeof(*items));
		if (items == NULL)
			abort(); /* as everywhere: out of memory ends the worker, which is named and restarted
				  */
		set->items = items;
		set->space = space;
	}
	set->items[set->count++] = item;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

void process_set_sort(struct process_set *set)
{
	size_t kept = 0;
	if (set->count > 0)
		qsort(set->items, set->count, sizeof(*set->items), compare);
	for (size_t i = 0; i < set->count; i++)
		if (kept == 0 || set->items[i] != set->items[kept - 1])
			set->items[kept++] = set->items[i];
	set->count = kept;
}

bool process_set_has(const struct process_set *set, uint64_t item)
{
	return set->count > 0 && bsearch(&item, set->items, set->count, sizeof(item), compare) != NULL;
}

void process_set_free(struct process_set *set)
{
	free(set->items);
	*set = (struct process_set){0};
}

/* ---- Reading /proc ---- */

static bool read_stat(uint64_t pid, struct process_stat *stat)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
	char text[1024];
	if (procfs_read(path, text, sizeof(text)) < 0)
		return false;
	errno = 0;
	return process_parse_stat(text, stat);
}

bool process_open_files(uint64_t pid, struct process_set *sockets, uint64_t *count)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/fd", pid);
	DIR *folder = opendir(path);
	if (folder == NULL)
		return false;
	char link[64];
	uint64_t inode;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		++*count;
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);
		if (length < 0 && errno != ENOENT) {
			int error = errno;
			closedir(folder);
			errno = error;
			return false;
		}
		link[length > 0 ? length : 0] = '\0';
		if (process_parse_link(link, &inode))
			process_set_add(sockets, inode);
	}
	closedir(folder);
	return true;
}

bool process_sockets(const char *pid, bool listening, process_each_socket *each, void *arg)
{
	static const char *const names[] = {"tcp", "tcp6"};
	char path[64], line[512], buffer[4096]; /* as much as the kernel gives at once */
	struct process_socket socket;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/%s/net/%s", pid, names[i]);
		FILE *file = fopen(path, "re");
		if (file == NULL && i == 0)
			return false;
		if (file == NULL) /* IPv6 is off */
			break;
		setvbuf(file, buffer, _IOFBF, sizeof(buffer));
		while (fgets(line, sizeof(line), file) != NULL) {
			if (!process_parse_socket(line, &socket))
				continue;
			if (listening && socket.state != PROCESS_LISTEN)
				break;
			each(arg, &socket);
		}
		fclose(file);
	}
	return true;
}

static bool list_processes(struct process_set *pids)
{
	DIR *folder = opendir("/proc");
	if (folder == NULL)
		return false;
	for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
		const char *at = entry->d_name;
		uint64_t pid;
		if (procfs_number(&at, &pid) && *at == '\0')
			process_set_add(pids, pid);
	}
	closedir(folder);
	return true;
}

/* Adds the descendants. Each pass finds at least one generation; processes that start or end meanwhile do not
 * matter. */
static void add_children(struct skymon *sm, struct process_set *pids)
{
	struct process_set all = {0};
	skymon_step(sm, "looking for child processes");
	list_processes(&all);
	uint64_t *parents = calloc(all.count + 1, sizeof(*parents));
	if (parents == NULL)
		abort();
	struct process_stat stat;
	for (size_t i = 0; i < all.count && skymon_ms_left(sm) > 0; i++)
		if (read_stat(all.items[i], &stat))
			parents[i] = (uint64_t)stat.parent;
	for (size_t before = 0; before != pids->count;) {
		process_set_sort(pids);
		before = pids->count;
		size_t known = pids->count;
		for (size_t i = 0; i < all.count; i++) {
			struct process_set seen = {pids->items, known, known};
			if (process_set_has(&seen, parents[i]) && !process_set_has(&seen, all.items[i]))
				process_set_add(pids, all.items[i]);
		}
	}
	free(parents);
	process_set_free(&all);
}

__attribute__((format(printf, 4, 5))) static void found(struct process_finding *out,
							enum skymon_status status, enum skymon_reason reason,
							const char *format, ...)
{
	out->status = status;
	out->reason = reason;
	va_list list;
	va_start(list, format);
	vsnprintf(out->message, sizeof(out->message), format, list);
	va_end(list);
}

/* ---- By pid file ---- */

static void find_pid(struct skymon *sm, const char *path, int pid, bool children, struct process_finding *out)
{
	struct process_stat stat;
	if (!read_stat((uint64_t)pid, &stat)) {
		if (kill(pid, 0) != 0 && errno == ESRCH) {
			found(out, SKYMON_UNHEALTHY, SKYMON_NONE, "process %d of %.200s is not running", pid,
			      path);
			return;
		}
		found(out, SKYMON_HEALTHY, SKYMON_NONE, "process %d is running; /proc hides the rest", pid);
		snprintf(out->limited, sizeof(out->limited),
			 "/proc does not show process %d to this user (hidepid): it is not measured", pid);
		return;
	}
	if (stat.state == 'Z' || stat.state == 'X') {
		found(out, SKYMON_UNHEALTHY, SKYMON_NONE,
		      "process %d (%s) of %.200s has ended; its parent has not noticed", pid, stat.name,
		      path);
		return;
	}
	out->status = SKYMON_HEALTHY;
	out->main_pid = (uint64_t)pid;
	process_set_add(&out->pids, (uint64_t)pid);
	if (children)
		add_children(sm, &out->pids);
}

void process_find_pid_file(struct skymon *sm, const char *path, bool children, struct process_finding *out)
{
	skymon_step(sm, "reading the pid file");
	char text[64];
	if (procfs_read(path, text, sizeof(text)) < 0) {
		bool missing = errno == ENOENT || errno == ENOTDIR;
		found(out, missing ? SKYMON_UNHEALTHY : SKYMON_UNKNOWN, SKYMON_NONE,
		      missing ? "pid file %.200s is missing (%s): nothing that writes it is running"
			      : "pid file %.200s: %s",
		      path, strerror(errno));
		return;
	}
	int pid;
	if (!process_parse_pid(text, &pid)) {
		found(out, SKYMON_UNKNOWN, SKYMON_NONE, "pid file %.200s does not begin with a process id",
		      path);
		return;
	}
	find_pid(sm, path, pid, children, out);
}

/* ---- By systemd unit ---- */

static bool is_folder(const char *path)
{
	struct stat stat_;
	return stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode);
}

/* Units are in slices, a user's units in the user's service; cgroup v1 has a folder for each controller above
 * them. */
static bool holds_units(const char *name, int depth)
{
	const char *suffix = strrchr(name, '.');
	if (name[0] == '.')
		return false;
	return depth == 0 ||
	       (suffix != NULL && (strcmp(suffix, ".slice") == 0 || strncmp(name, "user@", 5) == 0));
}

/* Searches for the folder named `unit` below path, which it extends in place, shallow folders first. */
static bool find_folder(struct skymon *sm, char *path, size_t size, const char *unit, int depth, int *looked)
{
	size_t length = strlen(path);
	if ((size_t)snprintf(path + length, size - length, "/%s", unit) < size - length && is_folder(path))
		return true;
	path[length] = '\0';
	DIR *folder = depth < 8 ? opendir(path) : NULL;
	bool there = false;
	for (struct dirent *entry; folder != NULL && !there && (entry = readdir(folder)) != NULL;) {
		if (!holds_units(entry->d_name, depth) || ++*looked > FOLDERS_MAX || skymon_ms_left(sm) == 0)
			continue;
		if ((size_t)snprintf(path + length, size - length, "/%s", entry->d_name) < size - length &&
		    is_folder(path))
			there = find_folder(sm, path, size, unit, depth + 1, looked);
		if (!there)
			path[length] = '\0';
	}
	if (folder != NULL)
		closedir(folder);
	return there;
}

/* Adds the processes of a control group and of those below it. *hidden is set if some are outside of this pid
 * namespace (the kernel lists them as 0). */
static bool read_group(struct skymon *sm, char *path, size_t size, int depth, struct process_set *pids,
		       bool *hidden)
{
	size_t length = strlen(path);
	bool read_some = false;
	snprintf(path + length, size - length, "/cgroup.procs");
	FILE *file = fopen(path, "re");
	path[length] = '\0';
	char line[64];
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		const char *at = line;
		uint64_t pid;
		if (!procfs_number(&at, &pid))
			continue;
		if (pid == 0)
			*hidden = true;
		else
			process_set_add(pids, pid);
	}
	if (file != NULL) {
		read_some = true;
		fclose(file);
	}
	DIR *folder = depth < 8 ? opendir(path) : NULL;
	for (struct dirent *entry;
	     folder != NULL && (entry = readdir(folder)) != NULL && skymon_ms_left(sm) > 0;) {
		if (entry->d_name[0] != '.' &&
		    (size_t)snprintf(path + length, size - length, "/%s", entry->d_name) < size - length &&
		    is_folder(path))
			read_some |= read_group(sm, path, size, depth + 1, pids, hidden);
		path[length] = '\0';
	}
	if (folder != NULL)
		closedir(folder);
	return read_some;
}

/* Drops zombies, which stay listed in their group. *hidden is set if /proc does not show some processes
 * (hidepid). */
static void drop_ended(struct process_set *pids, bool *hidden)
{
	struct process_stat stat;
	size_t kept = 0;
	for (size_t i = 0; i < pids->count; i++) {
		if (!read_stat(pids->items[i], &stat))
			*hidden |= kill((pid_t)pids->items[i], 0) == 0 || errno == EPERM;
		else if (stat.state != 'Z' && stat.state != 'X')
			pids->items[kept++] = pids->items[i];
	}
	pids->count = kept;
}

void process_find_unit(struct skymon *sm, const char *cgroup_root, const char *unit,
		       struct process_finding *out)
{
	int looked = 0;
	bool hidden = false;
	skymon_step(sm, "looking for the unit's control group");
	char name[256];
	if (!process_unit_name(unit, name, sizeof(name))) {
		found(out, SKYMON_UNKNOWN, SKYMON_NONE, "`%.200s` is not the name of a unit", unit);
		return;
	}
	if (!is_folder(cgroup_root)) {
		found(out, SKYMON_UNKNOWN, SKYMON_NONE, "no control groups at %.200s; set cgroup_root",
		      cgroup_root);
		return;
	}
	char path[4096];
	snprintf(path, sizeof(path), "%s/system.slice/%s", cgroup_root, name);
	if (!is_folder(path)) {
		snprintf(path, sizeof(path), "%s", cgroup_root);
		if (!find_folder(sm, path, sizeof(path), name, 0, &looked)) {
			found(out, SKYMON_UNHEALTHY, SKYMON_NONE,
			      "unit %.200s is not running: it has no control group", name);
			return;
		}
	}
	skymon_step(sm, "reading the unit's processes");
	if (!read_group(sm, path, sizeof(path), 0, &out->pids, &hidden)) {
		found(out, SKYMON_UNKNOWN, SKYMON_NONE, "the processes of unit %.200s cannot be read: %s",
		      name, strerror(errno));
		return;
	}
	process_set_sort(&out->pids);
	drop_ended(&out->pids, &hidden);
	if (hidden) { /* a sum over the others would be taken for the whole */
		out->pids.count = 0;
		snprintf(out->limited, sizeof(out->limited),
			 "some processes of the unit are hidden (hidepid, or another pid namespace): nothing "
			 "is measured");
	}
	if (out->pids.count == 0 && !hidden)
		found(out, SKYMON_UNHEALTHY, SKYMON_NONE, "unit %.200s is not running: it has no process",
		      name);
	else
		found(out, SKYMON_HEALTHY, SKYMON_NONE,
		      "unit %.200s is running; its processes cannot be seen", name);
}

/* ---- By port ---- */

struct listeners {
	uint16_t port;
	struct process_set inodes;
};

static void take_listener(void *arg, const struct process_socket *socket)
{
	struct listeners *listeners = arg;
	if (socket->port == listeners->port)
		process_set_add(&listeners->inodes, socket->inode);
}

/* systemd holds the sockets of socket-activated services; it is not the service, and every process is its
 * descendant. */
static bool is_init(uint64_t pid)
{
	struct process_stat stat;
	return pid == 1 && read_stat(pid, &stat) &&
	       (strcmp(stat.name, "systemd") == 0 || strcmp(stat.name, "init") == 0);
}

static bool holds_one(const struct process_set *sockets, const struct process_set *inodes)
{
	for (size_t i = 0; i < sockets->count; i++)
		if (process_set_has(inodes, sockets->items[i]))
			return true;
	return false;
}

/* Finds the processes that hold one of the sockets. denied gets those whose open files this user may not
 * read. */
static void find_owners(struct skymon *sm, const struct process_set *inodes, struct process_set *owners,
			struct process_set *denied)
{
	struct process_set all = {0};
	skymon_step(sm, "looking for the port's process");
	list_processes(&all);
	for (size_t i = 0; i < all.count && skymon_ms_left(sm) > 0; i++) {
		struct process_set sockets = {0};
		uint64_t count = 0;
		errno = 0;
		if (!process_open_files(all.items[i], &sockets, &count) &&
		    (errno == EACCES || errno == EPERM))
			process_set_add(denied, all.items[i]);
		if (holds_one(&sockets, inodes) && !is_init(all.items[i]))
			process_set_add(owners, all.items[i]);
		process_set_free(&sockets);
	}
	process_set_free(&all);
}

static bool same_program(uint64_t pid, const char *name, struct process_stat *stat)
{
	return read_stat(pid, stat) && strcmp(stat->name, name) == 0;
}

/* Listening sockets are inherited: other holders run the same program, as parent of an owner or with the same
 * parent (nginx's master and workers; a supervisor is another program). Returns the first whose open files
 * this user may not read, 0 if there is none. */
static uint64_t find_relative(const struct process_set *owners, const struct process_set *denied)
{
	struct process_set parents = {0};
	struct process_stat owner = {0};
	uint64_t relative = 0;
	for (size_t i = 0; i < owners->count; i++)
		if (read_stat(owners->items[i], &owner) && owner.parent > 1)
			process_set_add(&parents, (uint64_t)owner.parent);
	process_set_sort(&parents);
	struct process_stat stat;
	for (size_t i = 0; i < denied->count && relative == 0; i++)
		if (same_program(denied->items[i], owner.name, &stat) &&
		    (process_set_has(&parents, denied->items[i]) ||
		     process_set_has(&parents, (uint64_t)stat.parent)))
			relative = denied->items[i];
	process_set_free(&parents);
	return relative;
}

static void report_owners(const struct process_set *denied, struct process_finding *out)
{
	if (out->pids.count > 0) {
		uint64_t relative = find_relative(&out->pids, denied);
		if (relative == 0)
			return;
		out->pids.count = 0; /* a sum over the others would be taken for the whole */
		snprintf(out->limited, sizeof(out->limited),
			 "cannot read open files of process %" PRIu64
			 ", which may hold the port too: permission denied",
			 relative);
	} else if (denied->count > 0) {
		snprintf(out->limited, sizeof(out->limited),
			 "the port's process cannot be found: permission denied for the open files of %zu "
			 "other "
			 "processes; run as the "
			 "same user, or with CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
			 denied->count);
	} else {
		snprintf(out->limited, sizeof(out->limited),
			 "no process here holds the port: systemd keeps it for a service that is not started "
			 "yet, or it is the "
			 "kernel's, or of another pid namespace");
	}
}

void process_find_port(struct skymon *sm, uint16_t port, bool children, struct process_finding *out)
{
	struct listeners listeners = {.port = port};
	struct process_set denied = {0};
	skymon_step(sm, "looking for the listening port");
	if (!process_sockets("self", true, take_listener, &listeners)) {
		found(out, SKYMON_UNKNOWN, SKYMON_NONE, "/proc/net/tcp cannot be read: %s", strerror(errno));
		return;
	}
	if (listeners.inodes.count == 0) {
		found(out, SKYMON_UNHEALTHY, SKYMON_REFUSED, "nothing listens on port %u", port);
		return;
	}
	process_set_sort(&listeners.inodes);
	find_owners(sm, &listeners.inodes, &out->pids, &denied);
	process_set_free(&listeners.inodes);
	found(out, SKYMON_HEALTHY, SKYMON_NONE, "port %u is listening; its process cannot be seen", port);
	report_owners(&denied, out);
	process_set_free(&denied);
	if (children && out->pids.count > 0)
		add_children(sm, &out->pids);
	process_set_sort(&out->pids);
}
