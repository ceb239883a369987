/* SPDX-License-Identifier: Apache-2.0 */
/* history and state_file: what survives a restart, and what damage to the file does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/state_file.h"
#include "daemon/history.h"
#include "unit.h"

/* ---- The contents ---- */

static struct component_spec spec = {.name = "database", .identity = 0x0123456789abcdef};
static const struct skymon_result result = {
	.status = SKYMON_DEGRADED,
	.time_ms = 1700000000123,
	.duration_us = 4321,
	.message = "slow",
	.details = "{\"a\":[1,\"ü\"]}",
};
static const struct skymon_component view = {
	.status = SKYMON_DEGRADED,
	.reason = SKYMON_THRESHOLD_WARN,
	.message = "slow",
	.consecutive_failures = 3,
	.since_ms = 1600000000000,
	.last_success_ms = 1699999999999,
	.checks_total = 1ull << 40,
	.failures_total = 77,
	.series_dropped_total = 5,
	.shown = &result,
	.latest = &result,
};

static void fill(struct buf *body)
{
	struct skymon_component new = {.message = "", .checks_total = 2};
	struct component_spec second = {.name = "cache", .identity = 2};
	history_put(body, &spec, &view);
	history_put(body, &second, &new);
}

static void what_is_put_is_got(void)
{
	struct buf body = {0};
	struct history_entry entry;
	fill(&body);
	struct wire_reader in = wire_reader(body.data, body.size);
	CU_ASSERT_FATAL(history_get(&in, &entry));
	UNIT_TEXT(entry.name, "database");
	CU_ASSERT_EQUAL(entry.identity, spec.identity);
	const struct board_record *record = &entry.record;
	CU_ASSERT(record->status == view.status && record->reason == view.reason);
	CU_ASSERT(record->checks_total == view.checks_total && record->failures_total == 77);
	CU_ASSERT(record->series_dropped_total == 5 && record->consecutive_failures == 3);
	CU_ASSERT(record->since_ms == view.since_ms && record->last_success_ms == view.last_success_ms);
	CU_ASSERT(record->time_ms == result.time_ms && record->looked_ms == result.time_ms);
	CU_ASSERT_EQUAL(record->duration_us, 4321);
	UNIT_TEXT(record->message, "slow");
	UNIT_TEXT(record->details, result.details);
	CU_ASSERT_FATAL(history_get(&in, &entry));
	UNIT_TEXT(entry.name, "cache");
	CU_ASSERT(entry.record.looked_ms == 0 && entry.record.checks_total == 2);
	CU_ASSERT(!history_get(&in, &entry) && !in.bad);
	buf_free(&body);
}

static void long_texts_are_bounded(void)
{
	struct buf body = {0};
	char *long_text = x_alloc(100001);
	memset(long_text, 'x', 100000);
	struct skymon_result large = result;
	struct skymon_component big = view;
	large.details = big.message = long_text;
	big.shown = big.latest = &large;
	history_put(&body, &spec, &big);
	CU_ASSERT(body.size < 2000);
	buf_free(&body);
	free(long_text);
}

/* Each prefix of the contents ends at an entry or is bad; other bytes never crash the reader. */
static void foreign_contents_are_harmless(void)
{
	struct buf body = {0};
	fill(&body);
	size_t whole = 0;
	for (size_t size = 0; size < body.size; size++) {
		char *part = x_alloc(size + 1); /* so that a sanitizer sees a read behind it */
		memcpy(part, body.data, size);
		struct wire_reader in = wire_reader(part, size);
		struct history_entry entry;
		while (history_get(&in, &entry))
			;
		whole += !in.bad;
		free(part);
	}
	CU_ASSERT_EQUAL(whole, 2); /* none, and the first */
	for (size_t bit = 0; bit < 8 * body.size; bit++) {
		body.data[bit / 8] ^= (char)(1 << bit % 8);
		struct wire_reader in = wire_reader(body.data, body.size);
		struct history_entry entry;
		while (history_get(&in, &entry)) {
			CU_ASSERT(entry.record.status <= SKYMON_UNHEALTHY);
			CU_ASSERT(entry.record.reason < SKYMON_REASON_COUNT);
		}
		body.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_free(&body);
}

/* ---- The file's bytes ---- */

static bool unpacks(const char *kind, uint32_t version, const char *data, size_t size)
{
	struct buf bytes = {0};
	size_t at;
	struct err err;
	buf_add(&bytes, data, size);
	bool good = state_file_unpack(kind, version, &bytes, &at, &err);
	buf_free(&bytes);
	return good;
}

static void every_damage_is_found(void)
{
	struct buf body = {0}, packed = {0}, empty = {0};
	fill(&body);
	state_file_pack("board", 1, &body, &packed);
	CU_ASSERT_TRUE(unpacks("board", 1, packed.data, packed.size));
	CU_ASSERT_FALSE(unpacks("board", 2, packed.data, packed.size));
	CU_ASSERT_FALSE(unpacks("boards", 1, packed.data, packed.size));
	CU_ASSERT_FALSE(unpacks("silences", 1, packed.data, packed.size));
	for (size_t size = 0; size < packed.size; size++)
		CU_ASSERT_FALSE(unpacks("board", 1, packed.data, size));
	for (size_t bit = 0; bit < 8 * packed.size; bit++) {
		packed.data[bit / 8] ^= (char)(1 << bit % 8);
		CU_ASSERT_FALSE(unpacks("board", 1, packed.data, packed.size));
		packed.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	buf_add(&packed, "x", 1);
	CU_ASSERT_FALSE(unpacks("board", 1, packed.data, packed.size));
	packed.size = 0;
	state_file_pack("board", 1, &empty, &packed);
	CU_ASSERT_TRUE(unpacks("board", 1, packed.data, packed.size));
	buf_free(&packed);
	buf_free(&body);
}

/* ---- The file ---- */

struct owner {
	const char *text;
	int made;
};

static void make(void *arg, struct buf *body)
{
	struct owner *owner = arg;
	owner->made++;
	buf_text(body, owner->text);
}

static struct state_file *open_file(struct loop *loop, const char *folder, uint32_t version,
				    struct owner *owner)
{
	struct state_file *file = state_file_new(loop, folder, "board", version, make, owner);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	return file;
}

static void store(struct loop *loop, const char *folder, struct owner *owner)
{
	struct state_file *file = open_file(loop, folder, 1, owner);
	state_file_touch(file);
	state_file_free(file);
}

/* Returns what a new process would read; "" for nothing. */
static const char *load(struct loop *loop, const char *folder, uint32_t version)
{
	static char text[64];
	struct owner owner = {.text = ""};
	struct buf body = {0};
	struct state_file *file = open_file(loop, folder, version, &owner);
	snprintf(text, sizeof(text), "%s", state_file_load(file, &body) ? body.data : "");
	buf_free(&body);
	state_file_free(file);
	CU_ASSERT_EQUAL(owner.made, 0); /* nothing has changed */
	return text;
}

static bool is_there(const char *folder, const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return access(path, F_OK) == 0;
}

static void put_file(const char *folder, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fputs(text, file);
	fclose(file);
}

static void written_and_read(void)
{
	struct loop *loop = loop_new();
	char folder[64];
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(folder, "/tmp/test_history_XXXXXX")));
	UNIT_TEXT(load(loop, folder, 1), "");
	struct owner owner = {.text = "first"};
	put_file(folder, "board.state.new", "half of a write that a crash ended");
	store(loop, folder, &owner);
	CU_ASSERT_EQUAL(owner.made, 1);
	CU_ASSERT_FALSE(is_there(folder, "board.state.new"));
	UNIT_TEXT(load(loop, folder, 1), "first");
	CU_ASSERT_FALSE(is_there(folder, "board.state.bad"));
	UNIT_TEXT(load(loop, folder, 2), "");
	CU_ASSERT_TRUE(is_there(folder, "board.state.bad"));
	CU_ASSERT_FALSE(is_there(folder, "board.state"));
	put_file(folder, "board.state", "skymon-state board 1 ");
	UNIT_TEXT(load(loop, folder, 1), "");
	CU_ASSERT_FALSE(is_there(folder, "board.state"));
	put_file(folder, "board.state", "");
	UNIT_TEXT(load(loop, folder, 1), "");
	owner.text = "second";
	store(loop, folder, &owner);
	UNIT_TEXT(load(loop, folder, 1), "second");
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", folder);
	store(loop, "/proc", &owner); /* cannot be written: one line, and no wait */
	CU_ASSERT_EQUAL(system(command), 0);
	store(loop, folder, &owner); /* the folder is gone */
	CU_ASSERT_FALSE(is_there(folder, "board.state"));
	loop_free(loop);
}

static void stop_loop(struct timer *timer, int64_t now_ms)
{
	struct {
		struct timer timer;
		struct loop *loop;
	} *stop = (void *)timer;
	(void)now_ms;
	loop_stop(stop->loop);
}

/* Changes in one second are one write, and none if the contents are the same. */
static void changes_are_gathered(void)
{
	struct loop *loop = loop_new();
	struct {
		struct timer timer;
		struct loop *loop;
	} stop = {{.fire = stop_loop}, loop};
	char folder[64];
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(strcpy(folder, "/tmp/test_history_XXXXXX")));
	struct owner owner = {.text = "one"};
	struct state_file *file = open_file(loop, folder, 1, &owner);
	int64_t began_ms = loop_clock_ms();
	while (owner.made < 3 && loop_clock_ms() - began_ms < 60000) {
		state_file_touch(file);
		owner.text = owner.made == 0 ? "one" : "two";
		loop_set_timer(loop, &stop.timer, loop_clock_ms() + 5);
		loop_run(loop);
	}
	CU_ASSERT_EQUAL(owner.made, 3);
	CU_ASSERT(loop_clock_ms() - began_ms >= 1000); /* the first at once, the next a second later */
	state_file_free(file);
	UNIT_TEXT(load(loop, folder, 1), "two");
	char command[128];
	snprintf(command, sizeof(command), "rm -r %s", folder);
	CU_ASSERT_EQUAL(system(command), 0);
	loop_free(loop);
}

int main(void)
{
	return unit_run("history", (const struct unit_test[]){
					   {"what is put is got", what_is_put_is_got},
					   {"long texts are bounded", long_texts_are_bounded},
					   {"foreign contents are harmless", foreign_contents_are_harmless},
					   {"every damage is found", every_damage_is_found},
					   {"written and read", written_and_read},
					   {"changes are gathered", changes_are_gathered},
					   {NULL, NULL},
				   });
}
