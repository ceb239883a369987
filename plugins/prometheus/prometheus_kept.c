/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_kept: the texts of each component, printed only when its result or view is new. Called by
 * prometheus.c, on the HTTP thread. Owns records and chunks. */
#include "prometheus.h"

#include <stdlib.h>
#include <string.h>

/* ---- Chunks: the families of one result ---- */

void chunk_unref(struct chunk *chunk)
{
	if (chunk == NULL || --chunk->references > 0)
		return;
	free(chunk->families);
	free(chunk->names);
	free(chunk->text);
	free(chunk);
}

/* Prints what precedes a series' own labels: `name{component="x",team="y"`. */
static void put_prefix(struct text *out, const char *name, const struct record *record, const char *labels)
{
	text_put(out, name);
	text_put(out, "{component=\"");
	text_escaped(out, record->name);
	text_put(out, "\"");
	if (*labels != '\0') {
		text_put(out, ",");
		text_put(out, labels);
	}
}

/* Finds the next `name="value"` of a list of labels. Returns false at its end. The host has checked that the
 * list is well-formed. */
static bool next_label(const char **at, const char *end, const char **label, size_t *name_size, size_t *size)
{
	if (*at >= end)
		return false;
	const char *from = *at, *equals = memchr(from, '=', (size_t)(end - from));
	if (equals == NULL)
		return false;
	const char *quote = equals + 2;
	while (quote < end && *quote != '"')
		quote += *quote == '\\' ? 2 : 1;
	if (quote >= end)
		return false;
	*label = from;
	*name_size = (size_t)(equals - from);
	*size = (size_t)(quote + 1 - from);
	*at = quote + 1 < end && quote[1] == ',' ? quote + 2 : quote + 1;
	return true;
}

static bool has_label(const char *labels, size_t labels_size, const char *name, size_t name_size)
{
	const char *label, *end = labels + labels_size;
	size_t size, label_size;
	while (next_label(&labels, end, &label, &size, &label_size))
		if (size == name_size && memcmp(label, name, size) == 0)
			return true;
	return false;
}

/* Prints the component's labels except those that the series has itself: a label may occur once. */
static void put_other_labels(struct text *out, const char *labels, const struct skymon_series *series)
{
	const char *label, *end = labels + strlen(labels);
	size_t name_size, size;
	while (next_label(&labels, end, &label, &name_size, &size)) {
		if (has_label(series->labels, series->labels_size, label, name_size))
			continue;
		text_put(out, ",");
		text_add(out, label, size);
	}
}

static void put_series(struct text *out, const struct text *prefix, const struct skymon_series *series)
{
	size_t labels = series->labels_size, value = series->value_size;
	out->data = grow(out->data, &out->room, out->size + prefix->size + labels + value + 4, 1);
	char *at = out->data + out->size;
	at = (char *)memcpy(at, prefix->data, prefix->size) + prefix->size;
	if (labels > 0) {
		*at++ = ',';
		at = (char *)memcpy(at, series->labels, labels) + labels;
	}
	*at++ = '}';
	*at++ = ' ';
	at = (char *)memcpy(at, series->value, value) + value;
	*at++ = '\n';
	out->size = (size_t)(at - out->data);
}

static void compose_family(struct text *out, const struct record *record, const struct skymon_family *family)
{
	struct text prefix = {0}, special = {0};
	size_t at = 0;
	put_prefix(&prefix, family->name, record, record->labels);
	struct skymon_series series;
	while (skymon_series_next(family, &at, &series)) {
		if (*record->labels == '\0') {
			put_series(out, &prefix, &series);
			continue;
		}
		special.size = 0;
		put_prefix(&special, family->name, record, "");
		put_other_labels(&special, record->labels, &series);
		put_series(out, &special, &series);
	}
	free(prefix.data);
	free(special.data);
}

/* Returns an upper bound, so that the text is allocated once. */
static size_t text_room(const struct record *record, const struct skymon_result *result)
{
	size_t room = 0,
	       prefix = strlen("{component=\"\",,} \n") + 2 * strlen(record->name) + strlen(record->labels);
	for (size_t i = 0; i < result->family_count; i++) {
		const struct skymon_family *family = result->families[i];
		room += family->series_size + family->series_count * (prefix + strlen(family->name));
	}
	return room;
}

static char *copy_names(struct chunk *chunk, const struct skymon_result *result)
{
	size_t room = 0;
	for (size_t i = 0; i < result->family_count; i++)
		room += strlen(result->families[i]->name) + strlen(result->families[i]->help) + 2;
	char *names = make(room), *at = names;
	for (size_t i = 0; i < result->family_count; i++) {
		chunk->families[i].name = at;
		at = stpcpy(at, result->families[i]->name) + 1;
		chunk->families[i].help = at;
		at = stpcpy(at, result->families[i]->help) + 1;
	}
	return names;
}

static struct chunk *chunk_new(const struct record *record, const struct skymon_result *result)
{
	struct chunk *chunk = make(sizeof(*chunk));
	chunk->references = 1;
	chunk->result_id = result->id;
	chunk->family_count = result->family_count;
	chunk->families = make(result->family_count * sizeof(*chunk->families));
	chunk->names = copy_names(chunk, result);
	struct text text = {.room = text_room(record, result)};
	text.data = make(text.room);
	for (size_t i = 0; i < result->family_count; i++) {
		struct chunk_family *family = &chunk->families[i];
		family->type = result->families[i]->type;
		family->offset = text.size;
		compose_family(&text, record, result->families[i]);
		family->size = text.size - family->offset;
	}
	chunk->text = text.data;
	return chunk;
}

/* Families whose conflict has been logged are not logged again. */
static void inherit(struct chunk *chunk, const struct chunk *old)
{
	for (size_t i = 0; i < old->family_count; i++)
		for (size_t j = 0; old->families[i].reported && j < chunk->family_count; j++)
			if (strcmp(chunk->families[j].name, old->families[i].name) == 0)
				chunk->families[j].reported = true;
}

static void update_chunk(struct record *record, const struct skymon_result *latest, bool labels_changed)
{
	struct chunk *old = record->chunk;
	bool any = latest != NULL && latest->family_count > 0;
	if (old != NULL && any && old->result_id == latest->id && !labels_changed)
		return;
	if (old != NULL && old->references == 1) { /* no reply uses it: free it before allocating */
		free(old->text);
		old->text = NULL;
	}
	record->chunk = any ? chunk_new(record, latest) : NULL;
	if (old != NULL && any)
		inherit(record->chunk, old);
	chunk_unref(old);
}

/* ---- Records ---- */

static void record_free(struct record *record)
{
	chunk_unref(record->chunk);
	free(record->own.data);
	free(record->name);
	free(record->labels);
	free(record->plugin);
	free(record->group);
	free(record->because_of);
	free(record);
}

static uint64_t id_of(const struct skymon_result *result)
{
	return result != NULL ? result->id : 0;
}

static bool own_is_current(const struct record *record, const struct skymon_component *now)
{
	const struct skymon_component *last = &record->last;
	return record->own.size > 0 && last->status == now->status && last->reason == now->reason &&
	       last->configured == now->configured &&
	       (last->maintenance != NULL) == (now->maintenance != NULL) &&
	       last->limit_count == now->limit_count && last->since_ms == now->since_ms &&
	       last->last_success_ms == now->last_success_ms && last->checks_total == now->checks_total &&
	       last->failures_total == now->failures_total && record->last_latest_id == id_of(now->latest) &&
	       record->last_shown_id == id_of(now->shown);
}

/* texts_changed: of those that own families have as labels, and that `last` does not keep. */
static void update_own(struct record *record, const struct skymon_component *now, bool texts_changed)
{
	if (!texts_changed && own_is_current(record, now))
		return;
	record->own.size = 0;
	for (size_t i = 0, n = 0; i < own_count; i++) {
		if (own_families[i].print_component == NULL)
			continue;
		own_families[i].print_component(&record->own, own_families[i].name, now);
		record->own_end[n++] = record->own.size;
	}
	record->last = *now; /* only its numbers: its pointers may be dangling */
	record->last_latest_id = id_of(now->latest);
	record->last_shown_id = id_of(now->shown);
}

static bool replace(char **old, const char *text)
{
	if (*old != NULL && strcmp(*old, text) == 0)
		return false;
	free(*old);
	*old = copy(text);
	return true;
}

static void update_record(struct record *record, const struct skymon_component *now)
{
	bool labels_changed = replace(&record->labels, now->labels);
	bool texts_changed = replace(&record->plugin, now->plugin);
	texts_changed |= replace(&record->group, now->group);
	texts_changed |= replace(&record->because_of, now->because_of);
	update_own(record, now, texts_changed);
	update_chunk(record, now->latest, labels_changed);
}

static struct record *find_record(const struct records *records, const char *name, size_t likely)
{
	if (likely < records->count && strcmp(records->list[likely]->name, name) == 0)
		return records->list[likely];
	for (size_t i = 0; i < records->count; i++)
		if (strcmp(records->list[i]->name, name) == 0)
			return records->list[i];
	return NULL;
}

void records_update(struct records *records, const struct skymon_snapshot *snapshot)
{
	struct records now = {0};
	now.list = grow(NULL, &now.room, snapshot->count, sizeof(*now.list));
	for (size_t i = 0; i < snapshot->count; i++) {
		struct record *record = find_record(records, snapshot->components[i]->name, i);
		if (record == NULL) {
			record = make(sizeof(*record));
			record->name = copy(snapshot->components[i]->name);
		}
		record->seen = true;
		now.list[now.count++] = record;
	}
	for (size_t i = 0; i < records->count; i++)
		if (!records->list[i]->seen)
			record_free(records->list[i]);
	free(records->list);
	*records = now;
	for (size_t i = 0; i < now.count; i++) {
		now.list[i]->seen = false;
		update_record(now.list[i], snapshot->components[i]);
	}
}

void records_free(struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		record_free(records->list[i]);
	free(records->list);
	*records = (struct records){0};
}
