/* SPDX-License-Identifier: Apache-2.0 */
/* host: checks the machine: disks, memory, load, CPU, file descriptors, pressure. Called by the worker, each
 * component on its own thread; owns the last CPU reading and the list of mounts. Reads /proc and calls
 * statvfs(); needs no privilege.
 *
 * A disk that cannot be read is unhealthy; how full is too full is a limit of the config. Values that the
 * kernel lacks are absent. statvfs() blocks for ever on a dead NFS server: network file systems are measured
 * only if `disks` names them, the step names the one being measured, and only this component's thread blocks.
 */
#include <skymon/plugin.h>

#include "host_parse.h"
#include "procfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

struct host {
	struct skymon_texts disks;
	struct host_mounts
		mounts; /* in the state, because a step's text must outlive the check that set it */
	struct host_cpu last;
	bool has_last;
};

struct disk {
	const char *path;
	double size, free, inodes, inodes_free; /* free: for users other than root. inodes: 0 if
						   the file system has no limit */
	double share; /* free, of what users other than root can have: the complement of df's Use% */
	bool read_only;
};

/* Collects the check's message: at most one sentence. */
struct summary {
	char text[400], broken[256];
	size_t used;
	double least_free, least_inodes;
	const char *fullest;
	bool measured;
};

static const struct skymon_option options[] = {
	SKYMON_OPT(struct host, disks, NULL,
		   "folders whose file systems are watched; left empty: every local file system. A network "
		   "file system must be named"),
	{0}};

static const struct skymon_number numbers[] = {
	{"disk_free", "ratio", "free share of the fullest watched file system"},
	{"disk_used", "ratio", "used share of the fullest watched file system, as df shows it"},
	{"inodes_free", "ratio", "free share of inodes, of the file system that has the least"},
	{"memory_available", "ratio", "share of memory that programs can still get without swapping"},
	{"memory_used", "ratio", "share of memory that programs cannot get any more"},
	{"memory_usage_mb", "MB", "memory in use (size minus available), in 10^6 bytes"},
	{"swap_used", "ratio", "used share of swap; absent without swap"},
	{"load1", "", "load average of the last minute"},
	{"load5", "", "load average of the last 5 minutes"},
	{"load15", "", "load average of the last 15 minutes"},
	{"load_per_cpu", "", "load average of the last 5 minutes, for each CPU"},
	{"cpu_used", "ratio", "busy share of all CPUs since the last check; absent in the first"},
	{"cpu_usage_percent", "%",
	 "busy CPU since the last check in percent of one core: 100 for each busy CPU"},
	{"cpu_pressure", "ratio", "share of the last 10 s in which a task waited for a CPU (PSI)"},
	{"memory_pressure", "ratio", "share of the last 10 s in which a task waited for memory (PSI)"},
	{"io_pressure", "ratio", "share of the last 10 s in which a task waited for a disk (PSI)"},
	{"files_used", "ratio", "open files, of what the kernel allows (fs.file-max)"},
	{"uptime", "s", "time since the machine booted"},
	{0}};

__attribute__((format(printf, 2, 3))) static void sum_up(struct summary *sum, const char *format, ...)
{
	sum->measured = true;
	if (sum->used > 0 && sum->used + 2 < sizeof(sum->text))
		sum->used += (size_t)sprintf(sum->text + sum->used, ", ");
	va_list list;
	va_start(list, format);
	int length = vsnprintf(sum->text + sum->used, sizeof(sum->text) - sum->used, format, list);
	va_end(list);
	if (length > 0)
		sum->used += (size_t)length;
	if (sum->used >= sizeof(sum->text))
		sum->used = sizeof(sum->text) - 1;
}

/* ---- Disks ---- */

static void report_disk(struct skymon *sm, const struct disk *disk)
{
	const struct skymon_label path = {"path", disk->path};
	skymon_metric(sm, SKYMON_GAUGE, "skymon_host_disk_size_bytes", "Size of the file system", disk->size,
		      &path, 1);
	skymon_metric(sm, SKYMON_GAUGE, "skymon_host_disk_free_bytes",
		      "Free space of the file system for users other than root", disk->free, &path, 1);
	skymon_metric(sm, SKYMON_GAUGE, "skymon_host_disk_read_only",
		      "1 when the file system is mounted read-only", disk->read_only, &path, 1);
	if (disk->inodes <= 0)
		return;
	skymon_metric(sm, SKYMON_GAUGE, "skymon_host_disk_inodes", "Inodes that the file system can have",
		      disk->inodes, &path, 1);
	skymon_metric(sm, SKYMON_GAUGE, "skymon_host_disk_inodes_free",
		      "Free inodes of the file system for users other than root", disk->inodes_free, &path,
		      1);
}

/* Returns false with errno. */
static bool measure_disk(const char *path, struct disk *disk)
{
	struct statvfs fs;
	if (statvfs(path, &fs) != 0)
		return false;
	if (fs.f_blocks == 0) { /* a pseudo file system such as /proc has no size */
		errno = ENODEV;
		return false;
	}
	double unit = (double)fs.f_frsize, used = (double)(fs.f_blocks - fs.f_bfree) * unit;
	*disk = (struct disk){.path = path,
			      .size = (double)fs.f_blocks * unit,
			      .free = (double)fs.f_bavail * unit,
			      .inodes = (double)fs.f_files,
			      .inodes_free = (double)fs.f_favail,
			      .read_only = (fs.f_flag & ST_RDONLY) != 0};
	disk->share = used + disk->free > 0 ? disk->free / (used + disk->free) : 0;
	return true;
}

/* Writes one element of the detail `disks`. json has room for 6 bytes for each byte of the path. */
static void write_disk(FILE *out, const char *path, const struct disk *disk, const char *error)
{
	char *name = malloc(6 * strlen(path) + 3);
	if (name == NULL)
		return;
	host_json_text(path, name);
	fprintf(out, "%s{\"path\":%s", ftell(out) > 1 ? "," : "", name);
	if (error != NULL) {
		fprintf(out, ",\"error\":\"%s\"}", error);
	} else {
		fprintf(out, ",\"size_bytes\":%.0f,\"free_bytes\":%.0f,\"free_percent\":%.1f", disk->size,
			disk->free, 100 * disk->share);
		if (disk->inodes > 0)
			fprintf(out, ",\"inodes_free_percent\":%.1f", 100 * disk->inodes_free / disk->inodes);
		fprintf(out, ",\"read_only\":%s}", disk->read_only ? "true" : "false");
	}
	free(name);
}

static void check_disk(struct skymon *sm, const char *path, FILE *details, struct summary *sum)
{
	skymon_step(sm, path);
	struct disk disk;
	if (!measure_disk(path, &disk)) {
		char error[128];
		snprintf(error, sizeof(error), "%s",
			 errno == ENODEV ? "not a file system that has a size" : strerror(errno));
		write_disk(details, path, NULL, error);
		if (sum->broken[0] == '\0')
			snprintf(sum->broken, sizeof(sum->broken), "disk %.150s cannot be read: %.80s", path,
				 error);
		return;
	}
	report_disk(sm, &disk);
	write_disk(details, path, &disk, NULL);
	if (sum->fullest == NULL || disk.share < sum->least_free) {
		sum->fullest = path;
		sum->least_free = disk.share;
	}
	if (disk.inodes > 0 && disk.inodes_free / disk.inodes < sum->least_inodes)
		sum->least_inodes = disk.inodes_free / disk.inodes;
}

/* Returns false if the list of mounts cannot be read. */
static bool find_disks(struct skymon *sm, struct host_mounts *mounts)
{
	char *line = NULL;
	size_t size = 0;
	skymon_step(sm, "reading /proc/self/mountinfo");
	*mounts = (struct host_mounts){0};
	FILE *file = fopen("/proc/self/mountinfo", "re");
	if (file == NULL)
		return false;
	while (getline(&line, &size, file) > 0)
		host_mounts_add(mounts, line);
	free(line);
	fclose(file);
	if (mounts->count == 0) { /* in a plain chroot the root is not a mount point */
		snprintf(mounts->items[0].path, sizeof(mounts->items[0].path), "/");
		mounts->count = 1;
	}
	return true;
}

static void check_disks(struct skymon *sm, struct host *host, struct summary *sum)
{
	char *json = NULL;
	size_t size = 0, count = host->disks.count;
	if (count == 0 && find_disks(sm, &host->mounts)) {
		count = host->mounts.count;
		if (host->mounts.cut)
			skymon_detail(sm, "limited",
				      "only the first %d file systems are watched; name those that matter in "
				      "`disks`",
				      HOST_MOUNTS_MAX);
	}
	FILE *details = open_memstream(&json, &size);
	if (details == NULL)
		return;
	fputc('[', details);
	sum->least_inodes = 2;
	for (size_t i = 0; i < count && skymon_ms_left(sm) > 0; i++)
		check_disk(sm, host->disks.count > 0 ? host->disks.items[i] : host->mounts.items[i].path,
			   details, sum);
	fputc(']', details);
	if (fclose(details) == 0)
		skymon_detail_json(sm, "disks", json);
	free(json);
	if (sum->fullest == NULL)
		return;
	skymon_number(sm, "disk_free", sum->least_free);
	skymon_number(sm, "disk_used", 1 - sum->least_free);
	skymon_detail(sm, "fullest_disk", "%s", sum->fullest);
	if (sum->least_inodes <= 1)
		skymon_number(sm, "inodes_free", sum->least_inodes);
	sum_up(sum, "disk %.100s %.0f %% free", sum->fullest, 100 * sum->least_free);
}

/* ---- Memory, load, CPU, files, pressure ---- */

static bool read_proc(struct skymon *sm, const char *path, char *text, size_t size)
{
	skymon_step(sm, path);
	return procfs_read(path, text, size) >= 0;
}

static void check_memory(struct skymon *sm, struct summary *sum)
{
	char text[8192];
	struct host_memory memory;
	if (!read_proc(sm, "/proc/meminfo", text, sizeof(text)) || !host_parse_meminfo(text, &memory))
		return;
	double size = (double)memory.size, available = (double)memory.available;
	if (memory.size > 0) {
		skymon_gauge(sm, "skymon_host_memory_size_bytes", "Memory of the machine", size);
		skymon_detail_number(sm, "memory_size_bytes", size);
	}
	if (memory.available >= 0) {
		skymon_gauge(sm, "skymon_host_memory_available_bytes",
			     "Memory that programs can get without swapping", available);
		skymon_detail_number(sm, "memory_available_bytes", available);
		skymon_number(sm, "memory_available", available / size);
		skymon_number(sm, "memory_used", 1 - available / size);
		skymon_number(sm, "memory_usage_mb", (size - available) / 1e6);
		sum_up(sum, "memory %.0f %% available", 100 * available / size);
	}
	if (memory.swap_size < 0 || memory.swap_free < 0)
		return;
	double swap = (double)memory.swap_size, swap_free = (double)memory.swap_free;
	skymon_gauge(sm, "skymon_host_swap_size_bytes", "Swap space of the machine", swap);
	skymon_gauge(sm, "skymon_host_swap_free_bytes", "Free swap space", swap_free);
	if (swap > 0)
		skymon_number(sm, "swap_used", 1 - swap_free / swap);
}

static void report_cpu(struct skymon *sm, struct host *host, const struct host_cpu *now)
{
	static const char *const modes[HOST_MODES] = {"user",   "nice", "system",  "idle",
						      "iowait", "irq",  "softirq", "steal"};
	double hertz = (double)sysconf(_SC_CLK_TCK);
	for (int i = 0; i < HOST_MODES; i++)
		skymon_metric(sm, SKYMON_COUNTER, "skymon_host_cpu_seconds_total",
			      "Time that the CPUs together spent in each mode since boot",
			      (double)now->ticks[i] / hertz, &(struct skymon_label){"mode", modes[i]}, 1);
	skymon_gauge(sm, "skymon_host_cpus", "CPUs that are online", now->cpus);
	skymon_detail_number(sm, "cpus", now->cpus);
	double used;
	if (!host->has_last) {
		host->last = *now;
		host->has_last = true;
	} else if (host_cpu_used(&host->last, now, &used)) {
		host->last = *now;
		skymon_number(sm, "cpu_used", used);
		skymon_number(sm, "cpu_usage_percent", 100 * used * now->cpus);
		skymon_detail(sm, "cpu_used", "%.1f %% of all CPUs", 100 * used);
	}
}

static void check_load(struct skymon *sm, struct host *host, struct summary *sum)
{
	static const char *const names[] = {"load1", "load5", "load15"};
	static const char *const metrics[] = {"skymon_host_load1", "skymon_host_load5", "skymon_host_load15"};
	static const char *const help[] = {"Load average of the last minute",
					   "Load average of the last 5 minutes",
					   "Load average of the last 15 minutes"};
	char text[4096]; /* the cpu lines of about 60 CPUs; behind them the number of CPUs is queried below
			  */
	struct host_cpu cpu = {0};
	if (read_proc(sm, "/proc/stat", text, sizeof(text)) && host_parse_stat(text, &cpu)) {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		if (online > 0)
			cpu.cpus = (unsigned)online;
		report_cpu(sm, host, &cpu);
	}
	double load[3];
	if (!read_proc(sm, "/proc/loadavg", text, sizeof(text)) || !host_parse_loadavg(text, load))
		return;
	for (int i = 0; i < 3; i++) {
		skymon_number(sm, names[i], load[i]);
		skymon_gauge(sm, metrics[i], help[i], load[i]);
		skymon_detail_number(sm, names[i], load[i]);
	}
	if (cpu.cpus > 0)
		skymon_number(sm, "load_per_cpu", load[1] / cpu.cpus);
	if (cpu.cpus > 0)
		sum_up(sum, "load %.2f on %u CPU%s", load[0], cpu.cpus, cpu.cpus == 1 ? "" : "s");
	else
		sum_up(sum, "load %.2f", load[0]);
}

static void check_files(struct skymon *sm)
{
	char text[256];
	int64_t open, limit;
	if (!read_proc(sm, "/proc/sys/fs/file-nr", text, sizeof(text)) ||
	    !host_parse_files(text, &open, &limit))
		return;
	skymon_gauge(sm, "skymon_host_files_open", "Open files of the whole machine", (double)open);
	skymon_gauge(sm, "skymon_host_files_limit", "Open files that the kernel allows (fs.file-max)",
		     (double)limit);
	skymon_detail_number(sm, "open_files", (double)open);
	skymon_number(sm, "files_used", (double)open / (double)limit);
}

/* Kernels without PSI, or started with psi=0, lack these files: the numbers are absent then. */
static void check_pressure(struct skymon *sm)
{
	static const struct {
		const char *path, *number, *resource;
	} sources[] = {{"/proc/pressure/cpu", "cpu_pressure", "cpu"},
		       {"/proc/pressure/memory", "memory_pressure", "memory"},
		       {"/proc/pressure/io", "io_pressure", "io"}};
	char text[512];
	struct host_pressure pressure;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (!read_proc(sm, sources[i].path, text, sizeof(text)) ||
		    !host_parse_pressure(text, &pressure))
			continue;
		skymon_number(sm, sources[i].number, pressure.some);
		skymon_metric(sm, SKYMON_COUNTER, "skymon_host_pressure_seconds_total",
			      "Time in which at least one task waited for the resource (PSI)",
			      pressure.waited_seconds,
			      &(struct skymon_label){"resource", sources[i].resource}, 1);
	}
}

static void check_uptime(struct skymon *sm)
{
	struct timespec boot, now;
	if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
		return;
	skymon_number(sm, "uptime", (double)boot.tv_sec);
	skymon_gauge(sm, "skymon_host_boot_time_seconds", "When the machine booted, as Unix time",
		     (double)(now.tv_sec - boot.tv_sec));
}

static enum skymon_status check(struct skymon *sm, void *state)
{
	struct host *host = state;
	struct summary sum = {0};
	check_memory(sm, &sum);
	check_load(sm, host, &sum);
	check_files(sm);
	check_pressure(sm);
	check_uptime(sm);
	check_disks(sm, host, &sum); /* last: if statvfs() hangs, the other numbers are reported already */
	if (sum.broken[0] != '\0')
		return skymon_unhealthy(sm, "%s", sum.broken);
	if (!sum.measured)
		return skymon_unknown(sm, "/proc cannot be read; is it mounted?");
	return skymon_healthy(sm, "%s", sum.text);
}

static void validate(struct skymon *sm, const void *state)
{
	const struct host *host = state;
	for (size_t i = 0; i < host->disks.count; i++) {
		char option[32];
		snprintf(option, sizeof(option), "disks[%zu]", i + 1);
		if (host->disks.items[i] == NULL || host->disks.items[i][0] != '/')
			skymon_invalid(sm, option, "must be the absolute path of a folder");
	}
}

SKYMON_PLUGIN(host, "1.0", "The machine: disks, memory, load, CPU, file descriptors, pressure",
	      .state_size = sizeof(struct host), .options = options, .numbers = numbers, .check = check,
	      .validate = validate, .flags = SKYMON_NEEDS_PROC);
