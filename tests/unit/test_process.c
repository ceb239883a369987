/* SPDX-License-Identifier: Apache-2.0 */
/* process: recorded texts of /proc, and real runs on children of this test. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/process/process.c"
#include "../../plugins/process/process_find.c"
#include "../../plugins/process/process_parse.c"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- Texts ---- */

static void stat_text(void)
{
	struct process_stat stat;
	CU_ASSERT(process_parse_stat(
		"42 (a) b (c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0 98765 1000000 250 "
		"18446744073709551615 1 1 0 0 0\n",
		&stat));
	UNIT_TEXT(stat.name, "a) b (c");
	CU_ASSERT(stat.state == 'S' && stat.parent == 7 && stat.ticks == 110 && stat.threads == 5);
	CU_ASSERT(stat.start_ticks == 98765 && stat.pages == 250);
	/* The children's time is signed and was negative on some kernels: only this value is dropped. */
	CU_ASSERT(process_parse_stat(
		"42 (a) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 -33 44 20 0 5 0 98765 1000000 250 1\n",
		&stat));
	CU_ASSERT(stat.ticks == 33 && stat.threads == 5 && stat.pages == 250);
	CU_ASSERT(process_parse_stat(
		"42 (a) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 0 -1 20 -20 5 0 98765 1000000 250 1\n",
		&stat));
	CU_ASSERT(stat.ticks == 33);
	/* A process name is any 15 bytes. */
	static const char *const names[] = {"", " ", ")", "(", "a\nb", ") S 1", "\xff\t", "0 (x) R 1 2 3"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char text[200];
		snprintf(text, sizeof(text),
			 "42 (%s) Z 7 42 42 0 -1 4194560 100 200 0 0 1 2 3 4 20 0 5 0 98765 1000000 250 1\n",
			 names[i]);
		CU_ASSERT(process_parse_stat(text, &stat));
		UNIT_TEXT(stat.name, names[i]);
		CU_ASSERT(stat.state == 'Z' && stat.parent == 7 && stat.ticks == 10);
	}
	/* Counters as large as the kernel's types; larger or negative ones are invalid. */
	CU_ASSERT(process_parse_stat(
		"42 (a) S 2147483647 4 4 0 -1 1 1 2 0 0 9223372036854775807 1 0 0 20 0 "
		"2147483647 0 9223372036854775807 18446744073709551615 4503599627370495 1\n",
		&stat));
	CU_ASSERT(stat.parent == INT_MAX && stat.ticks == 9223372036854775808ULL && stat.threads == INT_MAX);
	CU_ASSERT(stat.start_ticks == INT64_MAX && stat.pages == 4503599627370495ULL);
	static const char *const odd[] = {"42 (a) S 2147483648 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 9 1 2 1",
					  "42 (a) S -7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 9 1 2 1",
					  "42 (a) S 7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 -5 0 9 1 2 1",
					  "42 (a) S 7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 -9 1 2 1",
					  "42 (a) S 7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 9 1 -2 1",
					  "42 (a) S 7 4 4 0 -1 1 1 2 0 0 x 2 3 4 20 0 5 0 9 1 2 1",
					  "42 (a)S 7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 9 1 2 1",
					  "42 (a) ",
					  "42 a S 7 4 4 0 -1 1 1 2 0 0 1 2 3 4 20 0 5 0 9 1 2 1"};
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		CU_ASSERT_FALSE(process_parse_stat(odd[i], &stat));
	CU_ASSERT_FALSE(process_parse_stat("", &stat));
	CU_ASSERT_FALSE(process_parse_stat("42 (a", &stat));
	CU_ASSERT_FALSE(process_parse_stat("42 )a( S 1", &stat));
	CU_ASSERT_FALSE(process_parse_stat("42 (a) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0\n",
					   &stat));
}

static void limits_text(void)
{
	uint64_t limit;
	CU_ASSERT(process_parse_files_limit(
		"Limit                     Soft Limit           Hard Limit           Units\n"
		"Max processes             95000                95000                processes\n"
		"Max open files            1024                 524288               files\n",
		&limit));
	CU_ASSERT_EQUAL(limit, 1024);
	CU_ASSERT_FALSE(process_parse_files_limit(
		"Max open files            unlimited            unlimited\n", &limit));
	CU_ASSERT_FALSE(process_parse_files_limit("", &limit));
}

static void pid_text(void)
{
	static const struct {
		const char *text;
		int pid;
	} rows[] = {{"123\n", 123},    {"  123  \r\n", 123},
		    {"7", 7},          {"55\n/var/lib/postgresql\n", 55},
		    {"", 0},           {"\n", 0},
		    {"0\n", 0},        {"-5\n", 0},
		    {"12x\n", 0},      {"2147483647", 2147483647},
		    {"2147483648", 0}, {"99999999999999999999", 0},
		    {"12 13\n", 0}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int pid = 0;
		bool good = process_parse_pid(rows[i].text, &pid);
		CU_ASSERT_EQUAL(good, rows[i].pid != 0);
		CU_ASSERT_EQUAL(good ? pid : 0, rows[i].pid);
	}
}

static void socket_text(void)
{
	struct process_socket found;
	CU_ASSERT_FALSE(process_parse_socket(
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n", &found));
	CU_ASSERT(process_parse_socket(
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 "
		"98765 1 0000000020dab727 100 0 0 10 0\n",
		&found));
	CU_ASSERT(found.port == 8080 && found.state == PROCESS_LISTEN && found.inode == 98765);
	CU_ASSERT(process_parse_socket(
		"  12: 00000000000000000000000001000000:FFFF 0000000000000000FFFF00000100007F:D431 01 "
		"00000000:00000000 02:000A7D8C 00000000     0        0 4294967297 2 0000 20 4 30 10 -1\n",
		&found));
	CU_ASSERT(found.port == 65535 && found.state == PROCESS_ESTABLISHED && found.inode == 4294967297ULL);
	uint64_t inode;
	CU_ASSERT(process_parse_link("socket:[4711]", &inode) && inode == 4711);
	CU_ASSERT_FALSE(process_parse_link("pipe:[4711]", &inode));
	CU_ASSERT_FALSE(process_parse_link("socket:[]", &inode));
	CU_ASSERT_FALSE(process_parse_link("socket:[12", &inode));
}

static void unit_name(void)
{
	char name[32];
	CU_ASSERT(process_unit_name("nginx", name, sizeof(name)));
	UNIT_TEXT(name, "nginx.service");
	CU_ASSERT(process_unit_name("user@1000.service", name, sizeof(name)));
	UNIT_TEXT(name, "user@1000.service");
	CU_ASSERT(process_unit_name("php8.2-fpm", name, sizeof(name)));
	UNIT_TEXT(name, "php8.2-fpm.service");
	CU_ASSERT_FALSE(process_unit_name("../../etc", name, sizeof(name)));
	CU_ASSERT_FALSE(process_unit_name("..", name, sizeof(name)));
	CU_ASSERT_FALSE(process_unit_name("", name, sizeof(name)));
	CU_ASSERT_FALSE(process_unit_name("much-too-long-for-this-small-buffer", name, sizeof(name)));
}

static void sets(void)
{
	struct process_set set = {0};
	CU_ASSERT_FALSE(process_set_has(&set, 1));
	for (uint64_t i = 1000; i > 0; i--)
		process_set_add(&set, i / 2);
	process_set_sort(&set);
	CU_ASSERT_EQUAL(set.count, 501);
	CU_ASSERT(process_set_has(&set, 0) && process_set_has(&set, 500) && !process_set_has(&set, 501));
	process_set_free(&set);
}

/* ---- Real processes ---- */

static char folder[] = "/tmp/skymon-process-XXXXXX";

static void write_file(const char *path, const char *format, long value)
{
	FILE *file = fopen(path, "w");
	CU_ASSERT_FATAL(file != NULL);
	fprintf(file, format, value);
	fclose(file);
}

/* A child with a child of its own, both listening on the returned port; the grandchild's pid arrives by pipe.
 */
static pid_t start_service(uint16_t *port, pid_t *grandchild)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	CU_ASSERT_FATAL(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
			listen(listener, 8) == 0);
	int ready[2];
	CU_ASSERT_FATAL(getsockname(listener, (struct sockaddr *)&address, &size) == 0 && pipe(ready) == 0);
	*port = ntohs(address.sin_port);
	pid_t child = fork();
	if (child == 0) {
		pid_t second = fork();
		if (second != 0 && write(ready[1], &second, sizeof(second)) != (ssize_t)sizeof(second))
			_exit(1);
		for (;;)
			pause();
	}
	CU_ASSERT_FATAL(child > 0 &&
			read(ready[0], grandchild, sizeof(*grandchild)) == (ssize_t)sizeof(*grandchild));
	close(listener);
	close(ready[0]);
	close(ready[1]);
	return child;
}

/* This test adopts orphans (main), so that both have exited when it returns. */
static void end_service(pid_t child, pid_t grandchild)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	kill(grandchild, SIGKILL);
	waitpid(grandchild, NULL, 0);
}

/* One thread each, but a sanitizer adds its own. */
static unsigned tasks_of(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	CU_ASSERT_FATAL(tasks != NULL);
	for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(tasks);
	CU_ASSERT(count > 0);
	return count;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

static void by_port(void)
{
	uint16_t port;
	pid_t grandchild, child = start_service(&port, &grandchild);
	struct process process = {.port = port, .cgroup_root = "/sys/fs/cgroup"};
	CU_ASSERT(fake_start(&skymon_plugin, fake_new_run(), &process));
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(process.main_pid, (uint64_t)child);
	CU_ASSERT_EQUAL(fake_number("processes"), 2);
	CU_ASSERT_EQUAL(fake_number("threads"), tasks_of(child) + tasks_of(grandchild));
	CU_ASSERT_EQUAL(fake_number("active_connections"), 0);
	CU_ASSERT_EQUAL(fake_number("cpu_usage_percent"), -1);
	CU_ASSERT(fake_number("memory_usage_mb") > 0.01);
	CU_ASSERT_DOUBLE_EQUAL(fake_number("memory"), fake_number("memory_usage_mb") * 1e6, 1);
	CU_ASSERT(fake_numbers_declared(numbers));

	int first = connect_to(port), second = connect_to(port);
	usleep(150000); /* CPU needs two readings with time between them */
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("active_connections"), 2);
	UNIT_TEXT(fake_find("metric", "skymon_process_connections{state=\"established\"}"), "2");
	CU_ASSERT(fake_number("cpu_usage_percent") >= 0);
	CU_ASSERT(fake_number("uptime") >= 0 && fake_number("uptime") < 60);
	close(first);
	close(second);

	end_service(child, grandchild);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNHEALTHY);
	CU_ASSERT_EQUAL(fake.reason, SKYMON_REFUSED);
	CU_ASSERT(strstr(fake.message, "nothing listens on port") != NULL);
	CU_ASSERT_EQUAL(fake_number("memory"), -1);
}

static void by_pid_file(void)
{
	uint16_t port;
	char path[64];
	pid_t grandchild, child = start_service(&port, &grandchild);
	struct process process = {.pid_file = path, .children = true};
	snprintf(path, sizeof(path), "%s/pid", folder);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(fake.message, "is missing") != NULL);
	write_file(path, "%ld\n", child);
	int connection = connect_to(port);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(process.main_pid, (uint64_t)child);
	CU_ASSERT_EQUAL(fake_number("processes"), 2);
	CU_ASSERT_EQUAL(fake_number("active_connections"), 1);
	CU_ASSERT_EQUAL(fake_number("connections"), 0); /* not accepted yet: no process has its socket */
	CU_ASSERT(fake_number("open_files") >= 8);
	close(connection);
	process.children = false;
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("processes"), 1);

	kill(child, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNHEALTHY); /* a zombie still has its pid */
	CU_ASSERT(strstr(fake.message, "has ended") != NULL);
	end_service(child, grandchild);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNHEALTHY);
	CU_ASSERT(strstr(fake.message, "is not running") != NULL);
	write_file(path, "nonsense%ld\n", 1);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNKNOWN);
	unlink(path);
}

static void a_restart_is_seen(void)
{
	uint16_t port;
	char path[64];
	pid_t grandchild, child = start_service(&port, &grandchild), old = child;
	struct process process = {.pid_file = path};
	snprintf(path, sizeof(path), "%s/pid", folder);
	write_file(path, "%ld\n", child);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	UNIT_TEXT(fake_find("metric", "skymon_process_restarts_total"), "0");
	end_service(child, grandchild);
	child = start_service(&port, &grandchild);
	write_file(path, "%ld\n", child);
	usleep(150000);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	UNIT_TEXT(fake_find("metric", "skymon_process_restarts_total"), "1");
	CU_ASSERT_EQUAL(fake_number("cpu_usage_percent"),
			-1); /* the old process's time must not be compared with */
	CU_ASSERT_NOT_EQUAL(process.main_pid, (uint64_t)old);
	end_service(child, grandchild);
	unlink(path);
}

static void by_unit(void)
{
	uint16_t port;
	char root[64];
	pid_t grandchild, child = start_service(&port, &grandchild);
	struct process process = {.unit = "web", .cgroup_root = root};
	snprintf(root, sizeof(root), "%s/cgroup", folder);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process),
			SKYMON_UNKNOWN); /* no such folder: the check cannot examine it */
	static const char *const folders[] = {"", "/unified", "/unified/system.slice",
					      "/unified/system.slice/web.service",
					      "/unified/system.slice/web.service/payload"};
	char path[128];
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		CU_ASSERT_EQUAL(mkdir(path, 0755), 0);
		CU_ASSERT_EQUAL(check(fake_new_run(), &process), i < 3 ? SKYMON_UNHEALTHY : SKYMON_UNKNOWN);
	}
	snprintf(path, sizeof(path), "%s/unified/system.slice/web.service/cgroup.procs", root);
	write_file(path, "%ld\n", child);
	snprintf(path, sizeof(path), "%s/unified/system.slice/web.service/payload/cgroup.procs", root);
	write_file(path, "%ld\n", grandchild);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("processes"), 2);
	CU_ASSERT_EQUAL(fake_number("active_connections"), 0);
	write_file(path, "%ld\n", 0); /* one that the kernel does not name */
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("processes"), -1);
	CU_ASSERT(fake_find("detail", "limited") != NULL);
	write_file(path, "%ld\n", grandchild);
	end_service(child, grandchild);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_UNHEALTHY);
	UNIT_TEXT(fake.message, "unit web.service is not running: it has no process");
}

static void exactly_one(void)
{
	struct process none = {.pid_file = "", .unit = NULL}, two = {.pid_file = "/x", .port = 1},
		       one = {.unit = "x"};
	CU_ASSERT_FALSE(fake_start(&skymon_plugin, fake_new_run(), &none));
	UNIT_TEXT(fake.message, "pid_file is missing: one of pid_file, unit and port must be given");
	CU_ASSERT_FALSE(fake_start(&skymon_plugin, fake_new_run(), &two));
	UNIT_TEXT(fake.message, "port excludes pid_file: give one of them");
	CU_ASSERT(fake_start(&skymon_plugin, fake_new_run(), &one));
}

/* As an unprivileged user, with a process of root: its files are absent, not 0, and the details report that.
 */
static void unprivileged(void)
{
	char path[64];
	struct process by_pid = {.pid_file = path}, by_number = {0};
	if (geteuid() != 0) {
		puts("needs root");
		return;
	}
	uint16_t port;
	pid_t grandchild;
	pid_t child = start_service(&port, &grandchild);
	by_number.port = port;
	snprintf(path, sizeof(path), "%s/pid", folder);
	write_file(path, "%ld\n", child);
	CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
	int connection = connect_to(port);
	CU_ASSERT_EQUAL(seteuid(65534), 0);
	CU_ASSERT_EQUAL(check(fake_new_run(), &by_pid), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("open_files"), -1);
	CU_ASSERT_EQUAL(fake_number("active_connections"), -1);
	CU_ASSERT(fake_number("memory") > 0);
	const char *limited = fake_find("detail", "limited");
	CU_ASSERT(limited != NULL && strstr(limited, "cannot read open files of process ") == limited);
	CU_ASSERT_EQUAL(check(fake_new_run(), &by_number), SKYMON_HEALTHY);
	CU_ASSERT_EQUAL(fake_number("memory"), -1);
	CU_ASSERT_EQUAL(fake_number("active_connections"),
			1); /* counting a port's connections needs no privilege */
	CU_ASSERT(fake_find("detail", "limited") != NULL);
	CU_ASSERT_EQUAL(seteuid(0), 0);
	close(connection);
	end_service(child, grandchild);
	unlink(path);
}

/* A service with a parent of root and an unprivileged child, like nginx: the unprivileged user sees only the
 * child, so the numbers are incomplete. */
static void half_of_a_service(void)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	if (geteuid() != 0) {
		puts("needs root");
		return;
	}
	int ready[2];
	CU_ASSERT_FATAL(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 8) == 0 &&
			pipe(ready) == 0);
	CU_ASSERT_FATAL(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
	uint16_t port = ntohs(address.sin_port);
	pid_t child = fork();
	if (child == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0 || prctl(PR_SET_DUMPABLE, 1) != 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	char byte;
	CU_ASSERT_FATAL(child > 0 && read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	struct process process = {.port = port};
	/* This test is the parent and may always read its own files, so an unprivileged process between the
	 * two runs the check. */
	pid_t asker = fork();
	if (asker == 0) {
		close(listener);
		bool good = setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0 &&
			    check(fake_new_run(), &process) == SKYMON_HEALTHY &&
			    fake_number("memory") == -1 && fake_find("detail", "limited") != NULL &&
			    strstr(fake_find("detail", "limited"), "which may hold the port too") != NULL;
		_exit(good ? 0 : 1);
	}
	int ended;
	CU_ASSERT(waitpid(asker, &ended, 0) == asker && ended == 0);
	CU_ASSERT_EQUAL(check(fake_new_run(), &process), SKYMON_HEALTHY); /* root sees both */
	CU_ASSERT_EQUAL(fake_number("processes"), 2);
	close(listener);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
	if (mkdtemp(folder) == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		return 2;
	int failed = unit_run("process", (const struct unit_test[]){{"stat", stat_text},
								    {"limits", limits_text},
								    {"pid", pid_text},
								    {"socket", socket_text},
								    {"unit name", unit_name},
								    {"sets", sets},
								    {"by port", by_port},
								    {"by pid file", by_pid_file},
								    {"a restart is seen", a_restart_is_seen},
								    {"by unit", by_unit},
								    {"exactly one", exactly_one},
								    {"unprivileged", unprivileged},
								    {"half of a service", half_of_a_service},
								    {0}});
	char command[64];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? failed : 2;
}
