/* SPDX-License-Identifier: Apache-2.0 */
/* host: recorded texts of /proc, and one real run on this machine. */
#include "fake_host.h"
#include "unit.h"

#include "../../plugins/host/host.c"
#include "../../plugins/host/host_parse.c"

static void meminfo(void)
{
	struct host_memory memory;
	CU_ASSERT(host_parse_meminfo(
		"MemTotal:       16384000 kB\nMemFree:          200000 kB\nMemAvailable:    4096000 kB\n"
		"SwapCached:            0 kB\nSwapTotal:       2000000 kB\nSwapFree:        1500000 kB\n",
		&memory));
	CU_ASSERT(memory.size == 16384000LL * 1024);
	CU_ASSERT(memory.available == 4096000LL * 1024);
	CU_ASSERT(memory.swap_size == 2000000LL * 1024 && memory.swap_free == 1500000LL * 1024);
	/* An old kernel has no MemAvailable: the value is unknown, not 0 and not MemFree. */
	CU_ASSERT(host_parse_meminfo("MemTotal: 1000 kB\nMemFree: 500 kB\n", &memory));
	CU_ASSERT(memory.available == -1 && memory.swap_size == -1);
	CU_ASSERT_FALSE(host_parse_meminfo("", &memory));
	CU_ASSERT_FALSE(host_parse_meminfo("MemTotal: 0 kB\n", &memory));
	CU_ASSERT_FALSE(host_parse_meminfo("MemTotal: kB\n", &memory));
	CU_ASSERT_FALSE(host_parse_meminfo("MemTotal: 99999999999999999999999 kB\n", &memory));
}

/* One invalid pair affects neither the other pair nor the message. */
static void odd_meminfo(void)
{
	static const struct {
		const char *text;
		int64_t size, available, swap_size, swap_free; /* kB; -1 if missing */
	} rows[] = {
		{"MemTotal: 1000 kB\nMemAvailable: 2000 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n", -1, -1, 10,
		 4},
		{"MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 10 kB\nSwapFree: 40 kB\n", 1000, 600,
		 -1, -1},
		{"MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapFree: 40 kB\n", 1000, 600, -1, -1},
		{"MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 40 kB\n", 1000, 600, 40, -1},
		{"MemTotal: 1000 kB\nMemAvailable: -6 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n", 1000, -1, 0, 0},
		{"MemTotal: 0 kB\nMemAvailable: 0 kB\nSwapTotal: 10 kB\nSwapFree: 10 kB\n", -1, -1, 10, 10},
		{"MemTotal:\nMemAvailable: 1 kB\nSwapTotal: 10 kB\nSwapFree: 10 kB\n", -1, -1, 10, 10},
		{"garbage\nMemTotal: 1000 kB\n\nMemAvailable: 1000 kB", 1000, 1000, -1, -1},
		{"MemTotal: 1000\nMemAvailable: 1\n", 1000, 1, -1, -1},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const int64_t expected[] = {rows[i].size, rows[i].available, rows[i].swap_size,
					    rows[i].swap_free};
		struct host_memory memory;
		CU_ASSERT(host_parse_meminfo(rows[i].text, &memory));
		const int64_t found[] = {memory.size, memory.available, memory.swap_size, memory.swap_free};
		for (int k = 0; k < 4; k++)
			CU_ASSERT_EQUAL(found[k], expected[k] < 0 ? -1 : expected[k] * 1024);
	}
}

static void odd_stat(void)
{
	struct host_cpu cpu;
	/* four modes, as old kernels and some containers have; more lines than are known; no newline at the
	 * end */
	CU_ASSERT(host_parse_stat("cpu  1 2 3 4\ncpu0 1 2 3 4", &cpu));
	CU_ASSERT(cpu.ticks[HOST_IDLE] == 4 && cpu.ticks[HOST_STEAL] == 0 && cpu.cpus == 1);
	CU_ASSERT(host_parse_stat("cpu  1 2 3 4 5 -6 7\ncpu0 1\nodd 1\ncpu3 1\n", &cpu));
	CU_ASSERT(cpu.ticks[HOST_IOWAIT] == 5 && cpu.ticks[HOST_IRQ] == 0 && cpu.cpus == 2);
	CU_ASSERT_FALSE(host_parse_stat("cpu  1 2 x 4\ncpu0 1\n", &cpu));
	CU_ASSERT_FALSE(host_parse_stat("cpu  1 2 3\ncpu0 1\n", &cpu));
}

static void loadavg(void)
{
	double load[3];
	CU_ASSERT(host_parse_loadavg("0.52 1.25 12.00 3/456 789\n", load));
	CU_ASSERT(load[0] == 0.52 && load[1] == 1.25 && load[2] == 12);
	CU_ASSERT_FALSE(host_parse_loadavg("0.52 1.25", load));
	CU_ASSERT_FALSE(host_parse_loadavg("", load));
	CU_ASSERT_FALSE(host_parse_loadavg("-1 0 0", load));
	CU_ASSERT_FALSE(host_parse_loadavg("nan nan nan", load));
	CU_ASSERT_FALSE(host_parse_loadavg("1 inf 1 1/2 3", load));
	CU_ASSERT_FALSE(host_parse_loadavg("1 1e999 1 1/2 3", load));
}

static void files(void)
{
	int64_t open, limit;
	CU_ASSERT(host_parse_files("2048\t48\t9223372036854775807\n", &open, &limit));
	CU_ASSERT(open == 2000 && limit == INT64_MAX);
	CU_ASSERT_FALSE(host_parse_files("2048\t48\t9223372036854775808\n", &open, &limit));
	CU_ASSERT_FALSE(host_parse_files("1\t2\t3\n", &open, &limit));
	CU_ASSERT_FALSE(host_parse_files("1\t0\t0\n", &open, &limit));
	CU_ASSERT_FALSE(host_parse_files("1\t0\n", &open, &limit));
}

static void cpu(void)
{
	struct host_cpu before;
	CU_ASSERT(host_parse_stat("cpu  100 10 50 800 40 0 0 0 0 0\ncpu0 50 5 25 400 20 0 0 0 0 0\n"
				  "cpu1 50 5 25 400 20 0 0 0 0 0\nintr 12345 1 2\nctxt 9\n",
				  &before));
	CU_ASSERT(before.cpus == 2 && before.ticks[HOST_USER] == 100 && before.ticks[HOST_IOWAIT] == 40);
	struct host_cpu now = before;
	double used;
	CU_ASSERT_FALSE(host_cpu_used(&before, &now, &used)); /* no time has passed */
	now.ticks[HOST_USER] += 30;
	now.ticks[HOST_SYSTEM] += 20;
	now.ticks[HOST_IDLE] += 140;
	now.ticks[HOST_IOWAIT] += 10;
	CU_ASSERT(host_cpu_used(&before, &now, &used));
	CU_ASSERT_DOUBLE_EQUAL(used, 50.0 / 200, 1e-12);
	now = before;
	now.ticks[HOST_IOWAIT] -= 5; /* decreases on some kernels */
	now.ticks[HOST_USER] += 100;
	CU_ASSERT(host_cpu_used(&before, &now, &used));
	CU_ASSERT_DOUBLE_EQUAL(used, 1, 1e-12);
	CU_ASSERT_FALSE(host_parse_stat("cpu0 1 2 3 4 5 6 7 8\n", &now));
	CU_ASSERT_FALSE(host_parse_stat("cpu  1 2 3\n", &now));
	CU_ASSERT_FALSE(host_parse_stat("", &now));
}

static void pressure(void)
{
	struct host_pressure found;
	CU_ASSERT(host_parse_pressure("some avg10=12.50 avg60=1.01 avg300=0.28 total=6045718\n"
				      "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
				      &found));
	CU_ASSERT_DOUBLE_EQUAL(found.some, 0.125, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(found.waited_seconds, 6.045718, 1e-9);
	CU_ASSERT_FALSE(host_parse_pressure("", &found));
	CU_ASSERT_FALSE(host_parse_pressure("some avg10=x", &found));
}

static void mounts(void)
{
	static const char *const lines[] = {
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n",
		"26 1 0:40 / / rw,relatime - overlay overlay rw,lowerdir=/a\n",
		"27 26 8:1 /var/lib/x/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n",
		"28 26 8:1 / /data rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw\n",
		"29 26 8:1 /sub /mnt/bind rw - ext4 /dev/sda1 rw\n",
		"30 26 7:1 / /snap/core/1 ro,nodev - squashfs /dev/loop1 ro\n",
		"31 26 0:50 / /mnt/nfs rw - nfs4 server:/export rw\n",
		"32 26 0:51 /@ /mnt/a rw - btrfs /dev/sdb rw\n",
		"33 26 0:52 /@home /mnt/b rw - btrfs /dev/sdb rw\n",
		"34 26 8:3 / /mnt/with\\040blank rw - xfs /dev/sdc rw\n",
		"35 26 0:53 / /tank rw - zfs tank rw\n",
		"36 26 0:54 / /run/user rw - tmpfs tmpfs rw\n",
		"37 26 8:4 / /hidden rw - ext4 /dev/sdd rw\n",
		"38 37 0:55 / /hidden rw - tmpfs tmpfs rw\n",
		"39 26 0:56 / /mnt/fuse rw - fuse.sshfs /dev/fuse rw\n",
		"garbage\n",
		"1 2 3 4 5 6 7 8 9\n",
		"",
	};
	static const char *const expected[] = {"/", "/data", "/mnt/a", "/mnt/with blank", "/tank"};
	struct host_mounts *found = calloc(1, sizeof(*found));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		host_mounts_add(found, lines[i]);
	CU_ASSERT_EQUAL(found->count, 5);
	for (size_t i = 0; i < 5 && i < found->count; i++)
		UNIT_TEXT(found->items[i].path, expected[i]);
	CU_ASSERT_FALSE(found->cut);
	for (int i = 0; i < 2 * HOST_MOUNTS_MAX; i++) {
		char line[200];
		snprintf(line, sizeof(line), "40 26 9:%d / /many/%d rw - ext4 /dev/sdz%d rw\n", i, i, i);
		host_mounts_add(found, line);
	}
	CU_ASSERT(found->cut && found->count == HOST_MOUNTS_MAX);
	free(found);
}

static void json(void)
{
	char out[200];
	host_json_text("a\"b\\c\n\x7f", out);
	UNIT_TEXT(out, "\"a\\\"b\\\\c\\u000a\\u007f\"");
	host_json_text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", out);
	UNIT_TEXT(out, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
	host_json_text("\xff\xc3x\xed\xa0\x80", out);
	UNIT_TEXT(out, "\"??x???\"");
}

/* The machine that runs the test: the numbers agree with statvfs() at the same time. */
static void real_run(void)
{
	static struct host host;
	const char *const paths[] = {"/"};
	struct skymon *sm = fake_new_run();
	host.disks = (struct skymon_texts){paths, 1};
	CU_ASSERT_EQUAL(check(sm, &host), SKYMON_HEALTHY);
	CU_ASSERT(strstr(fake.message, "disk / ") != NULL && strstr(fake.message, "load ") != NULL);
	struct statvfs fs;
	CU_ASSERT_EQUAL(statvfs("/", &fs), 0);
	double used = (double)(fs.f_blocks - fs.f_bfree), free = (double)fs.f_bavail;
	CU_ASSERT_DOUBLE_EQUAL(fake_number("disk_free"), free / (used + free), 0.02);
	CU_ASSERT_DOUBLE_EQUAL(fake_number("disk_free") + fake_number("disk_used"), 1, 1e-12);
	CU_ASSERT(fake_number("memory_available") > 0 && fake_number("memory_available") < 1);
	CU_ASSERT(fake_number("memory_usage_mb") > 1);
	CU_ASSERT(fake_number("load1") >= 0 && fake_number("uptime") > 0 && fake_number("files_used") > 0);
	CU_ASSERT_EQUAL(fake_number("cpu_usage_percent"), -1); /* nothing to compare with yet */
	CU_ASSERT(fake_numbers_declared(numbers));
	CU_ASSERT(fake_find("metric", "skymon_host_disk_free_bytes{path=\"/\"}") != NULL);

	host.last.ticks[HOST_IDLE] -= 1000; /* as if read a while ago */
	sm = fake_new_run();
	CU_ASSERT_EQUAL(check(sm, &host), SKYMON_HEALTHY);
	CU_ASSERT(fake_number("cpu_usage_percent") >= 0);
}

static void finds_the_root(void)
{
	static struct host host;
	CU_ASSERT_EQUAL(check(fake_new_run(), &host), SKYMON_HEALTHY);
	CU_ASSERT(fake_find("metric", "skymon_host_disk_size_bytes{path=\"/\"}") != NULL);
}

static void missing_disk(void)
{
	static struct host host;
	const char *const paths[] = {"/no/such/folder", "/", "/proc"};
	host.disks = (struct skymon_texts){paths, 3};
	CU_ASSERT_EQUAL(check(fake_new_run(), &host), SKYMON_UNHEALTHY);
	UNIT_TEXT(fake.message, "disk /no/such/folder cannot be read: No such file or directory");
	CU_ASSERT(fake_number("disk_free") > 0); /* the other disk, and everything else, is still reported */
	CU_ASSERT(fake_number("memory_available") > 0);
	const char *disks = fake_find("detail", "disks");
	CU_ASSERT(disks != NULL &&
		  strstr(disks, "{\"path\":\"/proc\",\"error\":\"not a file system that has a size\"}") !=
			  NULL);
}

int main(void)
{
	return unit_run("host", (const struct unit_test[]){{"meminfo", meminfo},
							   {"odd meminfo", odd_meminfo},
							   {"odd stat", odd_stat},
							   {"loadavg", loadavg},
							   {"file-nr", files},
							   {"cpu", cpu},
							   {"pressure", pressure},
							   {"mounts", mounts},
							   {"json", json},
							   {"real run", real_run},
							   {"finds the root", finds_the_root},
							   {"missing disk", missing_disk},
							   {0}});
}
