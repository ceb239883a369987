/* SPDX-License-Identifier: Apache-2.0 */
/* process: checks a service's processes, found by pid file, systemd unit or listening port: memory, CPU,
 * threads, open files, TCP connections. Called by the worker, on the component's thread; owns the last CPU
 * reading.
 *
 * Numbers that need a privilege which the worker lacks are absent, and the detail `limited` says so. Nothing
 * blocks: it reads /proc. CPU use is a difference, and so absent in the first check after a start or after a
 * restart of the service. */
#include <skymon/plugin.h>

#include "procfs.h"
#include "process_find.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHORTEST_SECONDS 0.1 /* between two readings of CPU time, which ticks at 100 Hz */

struct process {
	const char *pid_file, *unit, *cgroup_root;
	int64_t port;
	bool children;
	/* The main process: that of the pid file, else the oldest. */
	uint64_t main_pid, main_start;
	uint64_t ticks;      /* of all processes at the last reading */
	double read_seconds; /* time of the last reading, monotonic; 0 before the first */
	double cpu_seconds;  /* accumulated from differences, so that it never decreases */
	uint64_t restarts;
};

/* Sums of one check. */
struct total {
	uint64_t main_pid, main_start, processes, ticks, threads, pages, open_files;
	double files_used; /* of the fullest process */
	char name[64];
	struct process_set sockets;
	uint64_t denied_pid; /* the first whose open files cannot be read; 0 if there is none */
	int denied_error;
};

struct connections {
	const struct process_set *own; /* inodes; NULL if they are not known */
	struct process_set ports;      /* that the processes listen on */
	uint64_t states[PROCESS_TCP_STATES],
		established; /* states: on those ports; established: all of its own */
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct process, pid_file, NULL,
		   "file whose first line is the process id; or give unit or port",
		   .flags = SKYMON_PATH_READ),
	SKYMON_OPT(struct process, unit, NULL,
		   "systemd unit, such as nginx.service (its control group's processes)"),
	SKYMON_OPT(struct process, port, NULL,
		   "listening TCP port; finding its process takes the same user, or root's privileges",
		   .min = 1, .max = 65535),
	SKYMON_OPT(struct process, children, "true",
		   "with pid_file and port: also what these processes have started"),
	SKYMON_OPT(struct process, cgroup_root, "/sys/fs/cgroup", "where the control groups are mounted"),
	{0}};

static const struct skymon_number numbers[] = {
	{"memory_usage_mb", "MB", "resident memory in 10^6 bytes, shared pages counted in each process"},
	{"memory", "bytes", "resident memory, shared pages counted in each process"},
	{"cpu_usage_percent", "%", "CPU since the last check, in percent of one core; absent in the first"},
	{"active_connections", "", "established TCP connections on the ports that it listens on"},
	{"connections", "", "established TCP connections, also those that it opened"},
	{"threads", "", "threads"},
	{"processes", "", "processes"},
	{"open_files", "", "open file descriptors"},
	{"files_used", "ratio",
	 "open file descriptors of what it may have (RLIMIT_NOFILE), of the fullest process"},
	{"uptime", "s", "time since the main process started"},
	{0}};

static double seconds(clockid_t clock)
{
	struct timespec now;
	return clock_gettime(clock, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec / 1e9 : 0;
}

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void validate(struct skymon *sm, const void *state)
{
	const struct process *process = state;
	bool pid_file = is_set(process->pid_file), unit = is_set(process->unit), port = process->port != 0;
	if (!pid_file && !unit && !port)
		skymon_invalid(sm, "pid_file", "is missing: one of pid_file, unit and port must be given");
	if (pid_file + unit + port > 1)
		skymon_invalid(sm, port ? "port" : "unit", "excludes %s: give one of them",
			       pid_file ? "pid_file" : "unit");
	char name[256];
	if (unit && !process_unit_name(process->unit, name, sizeof(name)))
		skymon_invalid(sm, "unit", "must be the name of a systemd unit, such as nginx.service");
}

/* ---- Adding up ---- */

static void add_files(uint64_t pid, struct total *total)
{
	uint64_t count = 0;
	errno = 0;
	if (!process_open_files(pid, &total->sockets, &count)) {
		if (errno != ENOENT && errno != ESRCH && total->denied_pid == 0) {
			total->denied_pid = pid;
			total->denied_error = errno;
		}
		return;
	}
	total->open_files += count;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/limits", pid);
	char text[4096];
	uint64_t limit;
	if (procfs_read(path, text, sizeof(text)) > 0 && process_parse_files_limit(text, &limit) &&
	    (double)count / (double)limit > total->files_used)
		total->files_used = (double)count / (double)limit;
}

/* main_pid is that of the pid file; 0 if the oldest is the main process. */
static void add_process(uint64_t pid, uint64_t main_pid, struct total *total)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
	char text[1024];
	struct process_stat stat;
	if (procfs_read(path, text, sizeof(text)) < 0 || !process_parse_stat(text, &stat) ||
	    stat.state == 'Z')
		return; /* it has ended meanwhile */
	bool oldest = total->main_pid == 0 || stat.start_ticks < total->main_start ||
		      (stat.start_ticks == total->main_start && pid < total->main_pid);
	if (main_pid != 0 ? pid == main_pid : oldest) {
		total->main_pid = pid;
		total->main_start = stat.start_ticks;
		memcpy(total->name, stat.name, sizeof(total->name));
	}
	total->processes++;
	total->ticks += stat.ticks;
	total->threads += stat.threads;
	total->pages += stat.pages;
	add_files(pid, total);
}

/* ---- CPU ---- */

static void report_cpu(struct skymon *sm, struct process *process, const struct total *total)
{
	double hertz = (double)sysconf(_SC_CLK_TCK), now = seconds(CLOCK_MONOTONIC);
	bool same = process->main_pid == total->main_pid && process->main_start == total->main_start;
	double passed = now - process->read_seconds;
	if (!same && process->main_pid != 0) {
		process->restarts++;
		skymon_info(sm, "restarted: its main process was %" PRIu64 " and is %" PRIu64,
			    process->main_pid, total->main_pid);
	}
	if (!same) {
		process->cpu_seconds = (double)total->ticks / hertz;
	} else if (passed >= SHORTEST_SECONDS && total->ticks >= process->ticks) {
		/* Negative if a child has ended whose time no parent inherits: the use is unknown then. */
		double used = (double)(total->ticks - process->ticks) / hertz;
		process->cpu_seconds += used;
		skymon_number(sm, "cpu_usage_percent", 100 * used / passed);
		skymon_detail(sm, "cpu_usage", "%.1f %% of one core", 100 * used / passed);
	}
	if (!same || passed >= SHORTEST_SECONDS) {
		process->ticks = total->ticks;
		process->read_seconds = now;
	}
	process->main_pid = total->main_pid;
	process->main_start = total->main_start;
	skymon_counter(sm, "skymon_process_cpu_seconds_total",
		       "CPU time of the processes and the children that they waited for",
		       process->cpu_seconds);
	skymon_counter(sm, "skymon_process_restarts_total",
		       "Times that another main process was found since the check began",
		       (double)process->restarts);
}

/* ---- Connections ---- */

static void take_port(void *arg, const struct process_socket *socket)
{
	struct connections *found = arg;
	if (process_set_has(found->own, socket->inode))
		process_set_add(&found->ports, socket->port);
}

static void count_socket(void *arg, const struct process_socket *socket)
{
	struct connections *found = arg;
	if (socket->state <= 0 || socket->state >= PROCESS_TCP_STATES || socket->state == PROCESS_LISTEN)
		return;
	if (process_set_has(&found->ports, socket->port))
		found->states[socket->state]++;
	if (found->own != NULL && socket->state == PROCESS_ESTABLISHED &&
	    process_set_has(found->own, socket->inode))
		found->established++;
}

static void report_connections(struct skymon *sm, const struct connections *found)
{
	static const char *const names[PROCESS_TCP_STATES] = {
		[PROCESS_ESTABLISHED] = "established", [PROCESS_SYN_RECV] = "syn_recv",
		[PROCESS_FIN_WAIT1] = "fin_wait1",     [PROCESS_FIN_WAIT2] = "fin_wait2",
		[PROCESS_TIME_WAIT] = "time_wait",     [PROCESS_CLOSE_WAIT] = "close_wait",
		[PROCESS_LAST_ACK] = "last_ack",       [PROCESS_CLOSING] = "closing"};
	skymon_number(sm, "active_connections", (double)found->states[PROCESS_ESTABLISHED]);
	skymon_detail_number(sm, "active_connections", (double)found->states[PROCESS_ESTABLISHED]);
	for (size_t i = 0; i < PROCESS_TCP_STATES; i++)
		if (names[i] != NULL)
			skymon_metric(sm, SKYMON_GAUGE, "skymon_process_connections",
				      "TCP connections on the ports that the processes listen on",
				      (double)found->states[i], &(struct skymon_label){"state", names[i]}, 1);
	if (found->own != NULL) {
		skymon_number(sm, "connections", (double)found->established);
		skymon_detail_number(sm, "connections", (double)found->established);
	}
}

/* The connections of a configured port can be counted without privileges; otherwise ports and network
 * namespace come from the processes' own sockets. own is NULL if not all of their open files can be read. */
static void check_connections(struct skymon *sm, const struct process *process, const struct process_set *own,
			      uint64_t main_pid)
{
	struct connections found = {.own = own};
	char pid[24] = "self";
	skymon_step(sm, "counting TCP connections");
	if (process->port != 0)
		process_set_add(&found.ports, (uint64_t)process->port);
	else if (own == NULL)
		return;
	else
		snprintf(pid, sizeof(pid), "%" PRIu64, main_pid);
	if (process->port != 0 || process_sockets(pid, true, take_port, &found)) {
		process_set_sort(&found.ports);
		if (process_sockets(pid, false, count_socket, &found))
			report_connections(sm, &found);
	}
	process_set_free(&found.ports);
}

/* ---- The check ---- */

static void report_limited(struct skymon *sm, const struct process_finding *finding,
			   const struct total *total)
{
	if (total->denied_pid != 0)
		skymon_detail(sm, "limited",
			      "cannot read open files of process %" PRIu64
			      ": %s; run as the same user, or with "
			      "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE%s%s",
			      total->denied_pid, strerror(total->denied_error),
			      finding->limited[0] != '\0' ? "; " : "", finding->limited);
	else if (finding->limited[0] != '\0')
		skymon_detail(sm, "limited", "%s", finding->limited);
}

static void report_files(struct skymon *sm, const struct total *total)
{
	if (total->denied_pid != 0)
		return;
	skymon_number(sm, "open_files", (double)total->open_files);
	skymon_detail_number(sm, "open_files", (double)total->open_files);
	skymon_gauge(sm, "skymon_process_open_fds", "Open file descriptors", (double)total->open_files);
	if (total->files_used > 0)
		skymon_number(sm, "files_used", total->files_used);
}

static void report(struct skymon *sm, const struct total *total)
{
	double hertz = (double)sysconf(_SC_CLK_TCK),
	       memory = (double)total->pages * (double)sysconf(_SC_PAGESIZE);
	double uptime = seconds(CLOCK_BOOTTIME) - (double)total->main_start / hertz;
	skymon_detail_number(sm, "pid", (double)total->main_pid);
	skymon_detail(sm, "name", "%s", total->name);
	skymon_detail_number(sm, "processes", (double)total->processes);
	skymon_detail_number(sm, "threads", (double)total->threads);
	skymon_detail_number(sm, "memory_bytes", memory);
	skymon_number(sm, "processes", (double)total->processes);
	skymon_number(sm, "threads", (double)total->threads);
	skymon_number(sm, "memory", memory);
	skymon_number(sm, "memory_usage_mb", memory / 1e6);
	skymon_gauge(sm, "skymon_process_processes", "Processes", (double)total->processes);
	skymon_gauge(sm, "skymon_process_threads", "Threads", (double)total->threads);
	skymon_gauge(sm, "skymon_process_resident_memory_bytes",
		     "Resident memory, shared pages counted in each process", memory);
	if (uptime < 0)
		uptime = 0;
	skymon_number(sm, "uptime", uptime);
	skymon_detail_number(sm, "uptime_seconds", (double)(int64_t)uptime);
	skymon_gauge(sm, "skymon_process_start_time_seconds", "When the main process started, as Unix time",
		     seconds(CLOCK_REALTIME) - seconds(CLOCK_BOOTTIME) + (double)total->main_start / hertz);
	report_files(sm, total);
}

static enum skymon_status measure(struct skymon *sm, struct process *process,
				  const struct process_finding *finding)
{
	struct total total = {0};
	skymon_step(sm, "reading the processes");
	for (size_t i = 0; i < finding->pids.count && skymon_ms_left(sm) > 0; i++)
		add_process(finding->pids.items[i], finding->main_pid, &total);
	process_set_sort(&total.sockets);
	bool whole = finding->pids.count > 0 && total.denied_pid == 0;
	check_connections(sm, process, whole ? &total.sockets : NULL, total.main_pid);
	process_set_free(&total.sockets);
	report_limited(sm, finding, &total);
	if (finding->pids.count == 0)
		return skymon_healthy(sm, "%s", finding->message);
	if (total.main_pid == 0)
		return skymon_unhealthy(sm, "it ended during the check");
	report_cpu(sm, process, &total);
	report(sm, &total);
	return skymon_healthy(sm, "%s is running: pid %" PRIu64 ", %" PRIu64 " process%s, %.1f MB",
			      total.name, total.main_pid, total.processes, total.processes == 1 ? "" : "es",
			      (double)total.pages * (double)sysconf(_SC_PAGESIZE) / 1e6);
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct process *process = state;
	struct process_finding finding = {.status = SKYMON_UNKNOWN};
	if (is_set(process->pid_file))
		process_find_pid_file(sm, process->pid_file, process->children, &finding);
	else if (is_set(process->unit))
		process_find_unit(sm, process->cgroup_root, process->unit, &finding);
	else
		process_find_port(sm, (uint16_t)process->port, process->children, &finding);
	enum skymon_status status;
	if (finding.status == SKYMON_HEALTHY) {
		status = measure(sm, process, &finding);
	} else {
		skymon_reason(sm, finding.reason);
		status = finding.status == SKYMON_UNHEALTHY ? skymon_unhealthy(sm, "%s", finding.message)
							    : skymon_unknown(sm, "%s", finding.message);
	}
	process_set_free(&finding.pids);
	return status;
}

SKYMON_PLUGIN(process, "1.0", "A service's processes: memory, CPU, threads, files, connections",
	      .state_size = sizeof(struct process), .options = options, .numbers = numbers,
	      .validate = validate, .check = check, .flags = SKYMON_NEEDS_PROCESSES);
