/* SPDX-License-Identifier: Apache-2.0 */
/* vectors_procfs: the fixtures of Prometheus' procfs: those that `host` and `process` read give the right
 * numbers, and every parser refuses all others, so that an unrelated text never becomes numbers. */
#include "vectors.h"

#include "../../plugins/host/host_parse.c"
#include "../../plugins/process/process_parse.c"

#define PROC "fixtures/proc/"

static json_t *fixtures;

static const char *text_of(const char *path)
{
	const char *text = json_string_value(json_object_get(fixtures, path));
	if (text == NULL)
		fprintf(stderr, "\nno fixture %s\n", path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	return text;
}

static void load(void)
{
	fixtures = vectors_load("procfs");
}

/* A name with blanks and parentheses, invalid children's times, further lines. */
static void stats(void)
{
	static const struct {
		const char *path;
		struct process_stat is;
	} rows[] = {
		{PROC "26231/stat", {"vim", 'R', 5392, 1677 + 44 + 158 + 99, 1, 82375, 1981}},
		{PROC "26232/stat", {"ata_sff", 'S', 2, 0, 1, 5, 0}},
		{PROC "584/stat", {"(a b ) ( c d) ", 'R', 28378, 0, 1, 10839175, 155}},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct process_stat stat;
		CU_ASSERT(process_parse_stat(text_of(rows[i].path), &stat));
		UNIT_TEXT(stat.name, rows[i].is.name);
		CU_ASSERT(stat.state == rows[i].is.state && stat.parent == rows[i].is.parent);
		CU_ASSERT(stat.ticks == rows[i].is.ticks && stat.threads == rows[i].is.threads);
		CU_ASSERT(stat.start_ticks == rows[i].is.start_ticks && stat.pages == rows[i].is.pages);
	}
}

static void limits(void)
{
	uint64_t limit;
	CU_ASSERT(process_parse_files_limit(text_of(PROC "26231/limits"), &limit) && limit == 2048);
	CU_ASSERT(process_parse_files_limit(text_of(PROC "26232/limits"), &limit) && limit == 1024);
}

static void sockets(void)
{
	static const struct {
		const char *path;
		size_t count;
		struct process_socket last;
	} rows[] = {
		{PROC "net/tcp", 3, {22, PROCESS_LISTEN, 2740}},
		{PROC "net/tcp6", 2, {51073, PROCESS_CLOSE, 11337031}},
		{PROC "net/udp", 3, {22, PROCESS_LISTEN, 2740}},
		{PROC "net/udp6", 2, {51073, PROCESS_CLOSE, 11337031}},
		{PROC "net/udp_broken", 0, {0}},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct process_socket found, last = {0};
		size_t count = 0;
		for (const char *line = text_of(rows[i].path); line != NULL; line = strchr(line, '\n')) {
			line += *line == '\n';
			if (process_parse_socket(line, &found)) {
				last = found;
				count++;
			}
		}
		CU_ASSERT_EQUAL(count, rows[i].count);
		CU_ASSERT(last.port == rows[i].last.port && last.state == rows[i].last.state);
		CU_ASSERT(last.inode == rows[i].last.inode);
	}
}

static void machine(void)
{
	struct host_memory memory;
	CU_ASSERT(
		host_parse_meminfo(text_of(PROC "meminfo"), &memory)); /* of a kernel without MemAvailable */
	CU_ASSERT(memory.size == 15666184LL * 1024 && memory.available == -1);
	CU_ASSERT(memory.swap_size == 0 && memory.swap_free == 0);
	double load[3];
	CU_ASSERT(host_parse_loadavg(text_of(PROC "loadavg"), load));
	CU_ASSERT(load[0] == 0.02 && load[1] == 0.04 && load[2] == 0.05);
	struct host_cpu cpu;
	CU_ASSERT(host_parse_stat(text_of(PROC "stat"), &cpu) && cpu.cpus == 8);
	CU_ASSERT(cpu.ticks[HOST_USER] == 301854 && cpu.ticks[HOST_NICE] == 612 &&
		  cpu.ticks[HOST_SYSTEM] == 111922 && cpu.ticks[HOST_IDLE] == 8979004 &&
		  cpu.ticks[HOST_IOWAIT] == 3552 && cpu.ticks[HOST_IRQ] == 2 &&
		  cpu.ticks[HOST_SOFTIRQ] == 3944 && cpu.ticks[HOST_STEAL] == 0);
	struct host_pressure pressure;
	for (size_t i = 0; i < 3; i++) {
		static const char *const paths[] = {PROC "pressure/cpu", PROC "pressure/io",
						    PROC "pressure/memory"};
		CU_ASSERT(host_parse_pressure(text_of(paths[i]), &pressure));
		CU_ASSERT_DOUBLE_EQUAL(pressure.some, 0.001, 1e-9);
		CU_ASSERT_DOUBLE_EQUAL(pressure.waited_seconds, 15e-6, 1e-12);
	}
}

/* ---- Each fixture, to each parser ---- */

static bool is_process_stat(const char *text)
{
	struct process_stat stat;
	return process_parse_stat(text, &stat);
}

static bool is_limits(const char *text)
{
	uint64_t limit;
	return process_parse_files_limit(text, &limit);
}

static bool is_socket(const char *text)
{
	struct process_socket found;
	return process_parse_socket(text, &found);
}

static bool is_meminfo(const char *text)
{
	struct host_memory memory;
	return host_parse_meminfo(text, &memory);
}

static bool is_stat(const char *text)
{
	struct host_cpu cpu;
	return host_parse_stat(text, &cpu);
}

static bool is_pressure(const char *text)
{
	struct host_pressure pressure;
	return host_parse_pressure(text, &pressure);
}

/* Number lists, paths and mounts may look alike: these must only not crash. */
static void read_as_the_rest(const char *text)
{
	struct host_mounts mounts = {0};
	double load[3];
	(void)host_parse_loadavg(text, load);
	int64_t open, limit;
	(void)host_parse_files(text, &open, &limit);
	int pid;
	(void)process_parse_pid(text, &pid);
	uint64_t inode;
	CU_ASSERT_FALSE(process_parse_link(text, &inode));
	host_mounts_add(&mounts, text);
	CU_ASSERT_EQUAL(mounts.count, 0);
	char *json = malloc(6 * strlen(text) + 3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	host_json_text(text, json);
	json_t *back = json_loads(json, JSON_DECODE_ANY, NULL);
	CU_ASSERT_PTR_NOT_NULL(back);
	json_decref(back);
	free(json);
}

static void others(void)
{
	static const struct {
		bool (*is)(const char *text);
		const char *paths[4];
	} parsers[] = {
		{is_process_stat, {PROC "26231/stat", PROC "26232/stat", PROC "584/stat"}},
		{is_limits, {PROC "26231/limits", PROC "26232/limits"}},
		{is_socket, {NULL}}, /* tables begin with their heading */
		{is_meminfo, {PROC "meminfo"}},
		{is_stat, {PROC "stat"}},
		{is_pressure, {PROC "pressure/cpu", PROC "pressure/io", PROC "pressure/memory"}},
	};
	const char *path;
	json_t *value;
	json_object_foreach(fixtures, path, value) {
		const char *text = json_string_value(value);
		for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
			bool expected = false, taken = parsers[i].is(text);
			for (size_t n = 0; n < 4 && parsers[i].paths[n] != NULL; n++)
				expected = expected || strcmp(parsers[i].paths[n], path) == 0;
			if (taken != expected)
				fprintf(stderr, "\n%s: %s by parser %zu\n", path, taken ? "taken" : "refused",
					i);
			CU_ASSERT_EQUAL(taken, expected);
		}
		read_as_the_rest(text);
	}
	printf("%zu fixtures ", json_object_size(fixtures));
	CU_ASSERT(json_object_size(fixtures) > 800);
}

int main(void)
{
	if (!vectors_are_there("procfs"))
		return VECTORS_SKIPPED;
	int failed = unit_run("vectors_procfs", (const struct unit_test[]){{"fixtures", load},
									   {"stat", stats},
									   {"limits", limits},
									   {"sockets", sockets},
									   {"machine", machine},
									   {"each to each parser", others},
									   {0}});
	json_decref(fixtures);
	return failed;
}
