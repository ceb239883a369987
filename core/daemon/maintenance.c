/* SPDX-License-Identifier: Apache-2.0 */
/* maintenance: silences and windows. Called by the daemon (start, reload), by maintenance_routes.c and by its timer
 * on the loop's thread; owns the silences, the times of windows and the state file. See maintenance.h.
 *
 * Ends are times of the wall clock, which may jump: the timer looks at least once in LOOK_MS. */
#include "maintenance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/state_file.h"
#include "wire/wire.h"

#define VERSION 1u
#define LOOK_MS 15000

struct span {
	int64_t begin_ms, end_ms;
};

struct maintenance {
	struct loop *loop;
	struct board *board;
	const struct settings *settings; /* NULL before the first maintenance_configure */
	struct state_file *file;
	struct silence silences[SILENCES_MAX];
	size_t count;
	uint32_t last_id;
	struct span *spans; /* of each window: the one that is open, or the next */
	int64_t now_ms;     /* of the last look */
	struct timer look;
};

/* ---- Silences ---- */

void names_free(char **names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free(names[i]);
	free(names);
}

static void free_silence(struct silence *silence)
{
	names_free(silence->components);
	names_free(silence->groups);
	free(silence->why);
	free(silence->by);
}

static void remove_silence(struct maintenance *m, size_t index)
{
	free_silence(&m->silences[index]);
	m->count--;
	memmove(&m->silences[index], &m->silences[index + 1], (m->count - index) * sizeof(m->silences[0]));
}

static bool has_name(char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static size_t names_count(char *const *names)
{
	size_t count = 0;
	while (names[count] != NULL)
		count++;
	return count;
}

/* ---- The state file ---- */

static void put_names(struct buf *body, char *const *names)
{
	uint32_t count = (uint32_t)names_count(names);
	wire_put_u32(body, count);
	for (uint32_t i = 0; i < count; i++)
		wire_put_text(body, names[i]);
}

static char **get_names(struct wire_reader *in)
{
	uint32_t count = wire_get_u32(in);
	if (count > SILENCE_NAMES_MAX)
		in->bad = true;
	char **names = x_alloc(((in->bad ? 0 : count) + 1) * sizeof(*names));
	for (uint32_t i = 0; !in->bad && i < count; i++)
		names[i] = x_strdup(wire_get_text_or_empty(in));
	return names;
}

static void make(void *arg, struct buf *body)
{
	const struct maintenance *m = arg;
	wire_put_u32(body, m->last_id);
	for (size_t i = 0; i < m->count; i++) {
		const struct silence *silence = &m->silences[i];
		wire_put_text(body, silence->id);
		put_names(body, silence->components);
		put_names(body, silence->groups);
		wire_put_text(body, silence->why);
		wire_put_text(body, silence->by);
		wire_put_u64(body, (uint64_t)silence->since_ms);
		wire_put_u64(body, (uint64_t)silence->until_ms);
	}
}

static void keep(struct maintenance *m)
{
	if (m->file != NULL)
		state_file_touch(m->file);
}

static void read_silences(struct maintenance *m, const struct buf *body)
{
	struct wire_reader in = wire_reader(body->data, body->size);
	m->last_id = wire_get_u32(&in);
	while (!in.bad && in.at != in.end && m->count < SILENCES_MAX) {
		struct silence *silence = &m->silences[m->count++];
		snprintf(silence->id, sizeof(silence->id), "%s", wire_get_text_or_empty(&in));
		silence->components = get_names(&in);
		silence->groups = get_names(&in);
		silence->why = x_strdup(wire_get_text_or_empty(&in));
		silence->by = x_strdup(wire_get_text_or_empty(&in));
		silence->since_ms = (int64_t)wire_get_u64(&in);
		silence->until_ms = (int64_t)wire_get_u64(&in);
	}
	if (!in.bad)
		return;
	while (m->count > 0)
		remove_silence(m, m->count - 1);
	state_file_reject(m->file, "its contents are not silences");
}

/* ---- What is silenced now ---- */

static void find_spans(struct maintenance *m)
{
	for (size_t i = 0; m->settings != NULL && i < m->settings->window_count; i++) {
		struct span *span = &m->spans[i];
		window_find(&m->settings->windows[i].window, m->now_ms / 1000, &span->begin_ms,
			    &span->end_ms);
		span->begin_ms *= 1000;
		span->end_ms *= 1000;
	}
}

static bool is_open(const struct maintenance *m, const struct span *span)
{
	return m->now_ms >= span->begin_ms && m->now_ms < span->end_ms;
}

static bool texts_have(const struct skymon_texts *texts, const char *name)
{
	for (size_t i = 0; i < texts->count; i++)
		if (strcmp(texts->items[i], name) == 0)
			return true;
	return false;
}

static void take_later(struct skymon_maintenance *out, const struct skymon_maintenance *one)
{
	if (one->until_ms > out->until_ms)
		*out = *one;
}

/* Of several the one that ends last is shown. */
static bool silenced(void *arg, const char *name, const char *group, struct skymon_maintenance *out)
{
	const struct maintenance *m = arg;
	for (size_t i = 0; i < m->count; i++) {
		const struct silence *one = &m->silences[i];
		if (has_name(one->components, name) || (group[0] != '\0' && has_name(one->groups, group)))
			take_later(out, &(struct skymon_maintenance){.why = one->why,
								     .by = one->by,
								     .since_ms = one->since_ms,
								     .until_ms = one->until_ms});
	}
	for (size_t i = 0; i < m->settings->window_count; i++) {
		const struct settings_window_options *options = &m->settings->windows[i].options;
		const struct span *span = &m->spans[i];
		if (is_open(m, span) && (texts_have(&options->components, name) ||
					 (group[0] != '\0' && texts_have(&options->groups, group))))
			take_later(out, &(struct skymon_maintenance){.why = options->why,
								     .by = "config",
								     .since_ms = span->begin_ms,
								     .until_ms = span->end_ms});
	}
	return out->until_ms != 0;
}

static int64_t next_change(const struct maintenance *m)
{
	int64_t next = m->now_ms + LOOK_MS;
	for (size_t i = 0; i < m->count; i++)
		next = m->silences[i].until_ms < next ? m->silences[i].until_ms : next;
	for (size_t i = 0; i < m->settings->window_count; i++) {
		const struct span *span = &m->spans[i];
		int64_t change = m->now_ms < span->begin_ms ? span->begin_ms : span->end_ms;
		next = change < next ? change : next;
	}
	return next;
}

static void refresh(struct maintenance *m)
{
	m->now_ms = wall_clock_ms();
	for (size_t i = m->count; i > 0; i--) {
		const struct silence *one = &m->silences[i - 1];
		if (one->until_ms > m->now_ms)
			continue;
		log_info("the silence %s has ended: %s", one->id, one->why);
		remove_silence(m, i - 1);
		keep(m);
	}
	if (m->settings == NULL)
		return;
	find_spans(m);
	board_set_maintenance(m->board, silenced, m);
	if (m->count + m->settings->window_count > 0)
		loop_set_timer(m->loop, &m->look, loop_now_ms(m->loop) + next_change(m) - m->now_ms + 1);
	else
		loop_clear_timer(m->loop, &m->look);
}

static void on_look(struct timer *timer, int64_t now_ms)
{
	(void)now_ms;
	refresh(container_of(timer, struct maintenance, look));
}

/* ---- For the daemon ---- */

struct maintenance *maintenance_new(struct loop *loop, const char *state_dir, struct board *board)
{
	struct maintenance *m = x_alloc(sizeof(*m));
	struct buf body = {0};
	m->loop = loop;
	m->board = board;
	m->look.fire = on_look;
	if (state_dir != NULL)
		m->file = state_file_new(loop, state_dir, "maintenance", VERSION, make, m);
	if (m->file != NULL && state_file_load(m->file, &body))
		read_silences(m, &body);
	buf_free(&body);
	return m;
}

void maintenance_free(struct maintenance *m)
{
	if (m == NULL)
		return;
	loop_clear_timer(m->loop, &m->look);
	state_file_free(m->file);
	while (m->count > 0)
		remove_silence(m, m->count - 1);
	free(m->spans);
	free(m);
}

void maintenance_configure(struct maintenance *m, const struct settings *settings)
{
	m->settings = settings;
	free(m->spans);
	m->spans = x_alloc((settings->window_count + 1) * sizeof(*m->spans));
	refresh(m);
}

/* ---- For the API ---- */

bool maintenance_knows(const struct maintenance *m, const char *name, bool group)
{
	const struct skymon_snapshot *snapshot = board_snapshot(m->board);
	bool found = false;
	for (size_t i = 0; i < snapshot->count && !found; i++)
		found = strcmp(group ? snapshot->components[i]->group : snapshot->components[i]->name,
			       name) == 0;
	board_release(m->board, snapshot);
	return found;
}

const struct silence *maintenance_add(struct maintenance *m, char **components, char **groups,
				      int64_t length_ms, const char *why, const char *by)
{
	if (m->count == SILENCES_MAX)
		return NULL;
	struct silence *silence = &m->silences[m->count++];
	*silence = (struct silence){.components = components,
				    .groups = groups,
				    .why = x_strdup(why),
				    .by = x_strdup(by),
				    .since_ms = wall_clock_ms()};
	silence->until_ms = silence->since_ms + length_ms;
	snprintf(silence->id, sizeof(silence->id), "s%u", ++m->last_id % 1000000);
	keep(m);
	refresh(m);
	return silence;
}

bool maintenance_end(struct maintenance *m, const char *id)
{
	for (size_t i = 0; i < m->count; i++) {
		if (strcmp(m->silences[i].id, id) != 0)
			continue;
		remove_silence(m, i);
		keep(m);
		refresh(m);
		return true;
	}
	return false;
}

static void add_names(struct buf *out, const char *key, const char *const *names, size_t count)
{
	buf_printf(out, "\"%s\":[", key);
	for (size_t i = 0; i < count; i++) {
		buf_text(out, i > 0 ? "," : "");
		buf_json(out, names[i]);
	}
	buf_text(out, "],");
}

static void add_rest(struct buf *out, const char *why, int64_t since_ms, int64_t until_ms)
{
	buf_text(out, "\"since\":");
	buf_json_time(out, since_ms);
	buf_text(out, ",\"until\":");
	buf_json_time(out, until_ms);
	buf_text(out, ",\"why\":");
	buf_json(out, why);
}

void silence_json(const struct silence *silence, struct buf *out)
{
	buf_printf(out, "{\"id\":\"%s\",", silence->id);
	add_names(out, "components", (const char *const *)silence->components,
		  names_count(silence->components));
	add_names(out, "groups", (const char *const *)silence->groups, names_count(silence->groups));
	add_rest(out, silence->why, silence->since_ms, silence->until_ms);
	buf_text(out, ",\"by\":");
	buf_json(out, silence->by);
	buf_text(out, "}");
}

void maintenance_json(const struct maintenance *m, struct buf *out)
{
	buf_text(out, "{\"silences\":[");
	for (size_t i = 0; i < m->count; i++) {
		buf_text(out, i > 0 ? "," : "");
		silence_json(&m->silences[i], out);
	}
	buf_text(out, "],\"windows\":[");
	for (size_t i = 0; i < m->settings->window_count; i++) {
		const struct settings_window_options *options = &m->settings->windows[i].options;
		const struct span *span = &m->spans[i];
		buf_text(out, i > 0 ? ",{" : "{");
		add_names(out, "components", options->components.items, options->components.count);
		add_names(out, "groups", options->groups.items, options->groups.count);
		add_rest(out, options->why, span->begin_ms, span->end_ms);
		buf_text(out, ",\"every\":");
		buf_json(out, options->every);
		buf_text(out, ",\"zone\":");
		buf_json(out, options->zone);
		buf_printf(out, ",\"open\":%s}", is_open(m, span) ? "true" : "false");
	}
	buf_text(out, "]}");
}
