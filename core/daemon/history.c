/* SPDX-License-Identifier: Apache-2.0 */
/* history: keeps the board over a restart. Called by the daemon, at its start, its end and for each change of the
 * board, on the loop's thread; owns what was read until the first components have it, and the state file. See
 * history.h. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "base/state_file.h"

#define DETAILS_MAX 4096          /* of one component; longer ones are left out … */
#define DETAILS_TOTAL (4u << 20)  /* … and all of them in a file of that size */
#define ENTRIES_TOTAL (15u << 20) /* later components are left out */
#define MESSAGE_MAX 1000

struct history {
	struct sched *sched;
	struct board *board;
	struct state_file *file;
	struct buf body; /* as read */
	struct history_entry *entries;
	size_t count, next; /* next: where the coming one is looked for first */
	size_t continued;
};

/* ---- The contents ---- */

static void put_result(struct buf *body, const struct skymon_component *view)
{
	const struct skymon_result *shown = view->shown;
	bool keep = strlen(shown->details) <= DETAILS_MAX && body->size < DETAILS_TOTAL;
	char *message = x_strndup(view->message, MESSAGE_MAX);
	wire_put_u8(body, (uint8_t)view->status);
	wire_put_u8(body, (uint8_t)view->reason);
	wire_put_u64(body, (uint64_t)view->since_ms);
	wire_put_u64(body, (uint64_t)shown->time_ms);
	wire_put_u64(body, (uint64_t)shown->duration_us);
	wire_put_u64(body, (uint64_t)view->latest->time_ms);
	wire_put_text(body, message);
	wire_put_text(body, keep ? shown->details : "{}");
	free(message);
}

void history_put(struct buf *body, const struct component_spec *spec, const struct skymon_component *view)
{
	wire_put_text(body, spec->name);
	wire_put_u64(body, spec->identity);
	wire_put_u64(body, view->checks_total);
	wire_put_u64(body, view->failures_total);
	wire_put_u64(body, view->series_dropped_total);
	wire_put_u32(body, view->consecutive_failures);
	wire_put_u64(body, (uint64_t)view->last_success_ms);
	wire_put_u8(body, view->shown != NULL);
	if (view->shown != NULL)
		put_result(body, view);
}

static void get_result(struct wire_reader *in, struct board_record *record)
{
	record->status = wire_get_u8(in);
	record->reason = wire_get_u8(in);
	record->since_ms = (int64_t)wire_get_u64(in);
	record->time_ms = (int64_t)wire_get_u64(in);
	record->duration_us = (int64_t)wire_get_u64(in);
	record->looked_ms = (int64_t)wire_get_u64(in);
	record->message = wire_get_text_or_empty(in);
	record->details = wire_get_text_or_empty(in);
	if (record->status > SKYMON_UNHEALTHY || record->reason >= SKYMON_REASON_COUNT)
		in->bad = true;
}

bool history_get(struct wire_reader *in, struct history_entry *entry)
{
	if (in->bad || in->at == in->end)
		return false;
	struct board_record *record = &entry->record;
	*entry = (struct history_entry){.name = wire_get_text_or_empty(in)};
	entry->identity = wire_get_u64(in);
	record->checks_total = wire_get_u64(in);
	record->failures_total = wire_get_u64(in);
	record->series_dropped_total = wire_get_u64(in);
	record->consecutive_failures = wire_get_u32(in);
	record->last_success_ms = (int64_t)wire_get_u64(in);
	if (wire_get_u8(in) != 0)
		get_result(in, record);
	return !in->bad;
}

/* ---- Reading ---- */

static void read_entries(struct history *history)
{
	struct wire_reader in = wire_reader(history->body.data, history->body.size);
	struct history_entry entry;
	size_t room = 0;
	while (history_get(&in, &entry)) {
		if (history->count == room) {
			room = room > 0 ? 2 * room : 64;
			history->entries = x_realloc(history->entries, room * sizeof(entry));
		}
		history->entries[history->count++] = entry;
	}
	if (!in.bad)
		return;
	history->count = 0;
	state_file_reject(history->file, "its contents are not those of a board");
}

/* Components mostly come in the order of the file. */
static bool recall(void *arg, const struct component_spec *spec, struct board_record *record)
{
	struct history *history = arg;
	for (size_t i = 0; i < history->count; i++) {
		size_t at = (history->next + i) % history->count;
		const struct history_entry *entry = &history->entries[at];
		if (strcmp(entry->name, spec->name) != 0)
			continue;
		history->next = at + 1;
		history->continued += entry->identity == spec->identity;
		*record = entry->record;
		return entry->identity == spec->identity;
	}
	return false;
}

static void forget_entries(struct history *history)
{
	free(history->entries);
	buf_free(&history->body);
	history->entries = NULL;
	history->count = 0;
}

/* ---- Writing ---- */

static void add_component(void *arg, const struct component_spec *spec, const struct skymon_component *view)
{
	struct buf *body = arg;
	if (view->configured && spec->unusable == NULL && body->size < ENTRIES_TOTAL)
		history_put(body, spec, view);
}

static void make(void *arg, struct buf *body)
{
	struct history *history = arg;
	sched_each(history->sched, add_component, body);
}

static void touched(void *arg)
{
	struct history *history = arg;
	state_file_touch(history->file);
}

/* ---- Life ---- */

struct history *history_new(struct loop *loop, const char *state_dir, struct sched *sched,
			    struct board *board)
{
	struct history *history = x_alloc(sizeof(*history));
	*history = (struct history){.sched = sched, .board = board};
	history->file = state_file_new(loop, state_dir, "board", HISTORY_VERSION, make, history);
	if (history->file != NULL && state_file_load(history->file, &history->body))
		read_entries(history);
	sched_set_recall(sched, recall, history);
	return history;
}

void history_begin(struct history *history)
{
	if (history->continued > 0)
		log_info("%zu component%s continue%s with counters and status of before the restart",
			 history->continued, history->continued == 1 ? "" : "s",
			 history->continued == 1 ? "s" : "");
	forget_entries(history);
	if (history->file == NULL)
		return;
	board_set_touched(history->board, touched, history);
	state_file_touch(history->file);
}

void history_free(struct history *history)
{
	if (history == NULL)
		return;
	board_set_touched(history->board, NULL, NULL);
	state_file_free(history->file);
	forget_entries(history);
	free(history);
}
