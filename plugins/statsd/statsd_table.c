/* SPDX-License-Identifier: Apache-2.0 */
/* statsd_table: the series of a component: a hash table by type, name and tags, with room for a fixed number. Called by
 * statsd.c on the worker's main thread; owns the series. A counter lives as long as the component's worker. */
#include "statsd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

struct entry {
	struct entry *next; /* of its slot */
	uint64_t hash;
	enum statsd_type type;
	double value;   /* a counter's total, a gauge's value, a timer's sum (ms) or a histogram's */
	double samples; /* of a timer or histogram */
	struct quantile *quantiles; /* of a timer or histogram, since the last report */
	char *metric;               /* prefix and name, made a metric's name */
	struct skymon_label labels[STATSD_TAGS_MAX];
	size_t label_count;
	size_t key_size;
	char key[]; /* name and tags as sent, each ended by a byte that they cannot hold */
};

struct statsd_table {
	size_t most, count, slots;
	const char *prefix;
	struct entry **entries;
};

struct statsd_table *statsd_table_new(size_t series_max, const char *prefix)
{
	struct statsd_table *table = calloc(1, sizeof(*table));
	if (table == NULL)
		return NULL;
	*table = (struct statsd_table){.most = series_max, .slots = 64, .prefix = prefix};
	while (table->slots < series_max)
		table->slots *= 2;
	table->entries = calloc(table->slots, sizeof(struct entry *));
	if (table->entries == NULL) {
		free(table);
		return NULL;
	}
	return table;
}

static void free_entry(struct entry *entry)
{
	for (size_t i = 0; i < entry->label_count; i++)
		free((char *)(uintptr_t)entry->labels[i].name); /* its value is in the same block */
	free(entry->quantiles);
	free(entry->metric);
	free(entry);
}

void statsd_table_free(struct statsd_table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->slots; i++)
		for (struct entry *entry = table->entries[i], *next; entry != NULL; entry = next) {
			next = entry->next;
			free_entry(entry);
		}
	free(table->entries);
	free(table);
}

size_t statsd_table_count(const struct statsd_table *table)
{
	return table->count;
}

/* ---- Keys and names ---- */

#define KEY_MAX ((STATSD_NAME_MAX + 1) * (1 + 2 * STATSD_TAGS_MAX))

static size_t add_part(char *key, size_t at, const char *text, size_t size)
{
	memcpy(key + at, text, size);
	key[at + size] = '\n'; /* ends a line, so no part holds one */
	return at + size + 1;
}

static size_t make_key(const struct statsd_line *line, char key[KEY_MAX])
{
	size_t size = add_part(key, 0, line->name, line->name_size);
	for (size_t i = 0; i < line->tag_count; i++) {
		size = add_part(key, size, line->tags[i].name, line->tags[i].name_size);
		size = add_part(key, size, line->tags[i].value, line->tags[i].value_size);
	}
	return size;
}

static void copy_name(char *out, const char *text, size_t size, bool colon)
{
	for (size_t i = 0; i < size; i++) {
		char c = text[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (colon && c == ':');
		out[i] = good ? c : '_';
	}
	out[size] = '\0';
}

/* Names that the daemon or Prometheus sets itself. */
static bool is_reserved(const char *name)
{
	static const char *const reserved[] = {"component", "job", "instance", "le", "quantile", "service"};
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(name, reserved[i]) == 0)
			return true;
	return strncmp(name, "__", 2) == 0;
}

/* A name and a value in one block: NAME '\0' VALUE '\0', the name made a label's. */
static bool make_label(struct skymon_label *label, const struct series_label *tag)
{
	char name[STATSD_NAME_MAX + 8] = "tag_";
	copy_name(name + 4, tag->name, tag->name_size, false);
	bool plain = !is_reserved(name + 4) && !(name[4] >= '0' && name[4] <= '9');
	const char *chosen = plain ? name + 4 : name;
	size_t size = strlen(chosen);
	char *block = malloc(size + tag->value_size + 2);
	if (block == NULL)
		return false;
	memcpy(block, chosen, size + 1);
	memcpy(block + size + 1, tag->value, tag->value_size);
	block[size + 1 + tag->value_size] = '\0';
	*label = (struct skymon_label){block, block + size + 1};
	return true;
}

static struct entry *new_entry(const struct statsd_table *table, const struct statsd_line *line,
			       const char *key, size_t key_size, uint64_t hash)
{
	bool timed = line->type == STATSD_TIMER || line->type == STATSD_HISTOGRAM;
	size_t prefix = strlen(table->prefix);
	struct entry *entry = calloc(1, sizeof(*entry) + key_size);
	if (entry == NULL)
		return NULL;
	entry->type = line->type;
	entry->hash = hash;
	entry->key_size = key_size;
	memcpy(entry->key, key, key_size);
	entry->quantiles = timed ? calloc(1, sizeof(struct quantile)) : NULL;
	entry->metric = malloc(prefix + line->name_size + 2);
	if (entry->metric == NULL || (timed && entry->quantiles == NULL)) {
		free_entry(entry);
		return NULL;
	}
	memcpy(entry->metric, table->prefix, prefix);
	copy_name(entry->metric + prefix, line->name, line->name_size, true);
	if (entry->metric[0] >= '0' && entry->metric[0] <= '9') {
		memmove(entry->metric + 1, entry->metric, prefix + line->name_size + 1);
		entry->metric[0] = '_';
	}
	for (size_t i = 0; i < line->tag_count; i++) {
		if (!make_label(&entry->labels[i], &line->tags[i])) {
			free_entry(entry);
			return NULL;
		}
		entry->label_count++;
	}
	return entry;
}

static void add_value(struct entry *entry, const struct statsd_line *line)
{
	double weight = 1 / line->rate;
	double value = line->value;
	switch (line->type) {
	case STATSD_COUNTER:
		entry->value += value * weight;
		return;
	case STATSD_GAUGE:
		entry->value = line->relative ? entry->value + value : value;
		return;
	case STATSD_TIMER:
	case STATSD_HISTOGRAM:
		entry->value += value * weight;
		entry->samples += weight;
		quantile_add(entry->quantiles, line->type == STATSD_TIMER ? value / 1000 : value, weight);
		return;
	}
}

bool statsd_table_add(struct statsd_table *table, const struct statsd_line *line)
{
	char key[KEY_MAX];
	size_t size = make_key(line, key);
	uint64_t hash = hash_add(HASH_START ^ (uint64_t)line->type, key, size);
	struct entry **slot = &table->entries[hash & (table->slots - 1)], *entry = *slot;
	while (entry != NULL && (entry->hash != hash || entry->type != line->type ||
				 entry->key_size != size || memcmp(entry->key, key, size) != 0))
		entry = entry->next;
	if (entry == NULL) {
		if (table->count == table->most)
			return false;
		entry = new_entry(table, line, key, size, hash);
		if (entry == NULL)
			return false;
		entry->next = *slot;
		*slot = entry;
		table->count++;
	}
	add_value(entry, line);
	return true;
}

/* ---- Reports ---- */

struct report {
	struct skymon *sm;
	struct series *numbers;
};

static void report_one(const struct report *report, const struct entry *entry, const char *suffix,
		       enum skymon_metric_type type, const char *help, double value)
{
	char name[2 * STATSD_NAME_MAX + 40];
	struct series_label labels[STATSD_TAGS_MAX];
	int size = snprintf(name, sizeof(name), "%s%s", entry->metric, suffix);
	skymon_metric(report->sm, type, name, help, value, entry->labels, entry->label_count);
	for (size_t i = 0; i < entry->label_count; i++)
		labels[i] = (struct series_label){.name = entry->labels[i].name,
						  .name_size = strlen(entry->labels[i].name),
						  .value = entry->labels[i].value,
						  .value_size = strlen(entry->labels[i].value)};
	series_add(report->numbers, name, (size_t)size, labels, entry->label_count, value);
}

static void report_quantiles(const struct report *report, struct entry *entry, const char *unit)
{
	static const struct {
		const char *name;
		double share;
	} quantiles[] = {{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}};
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]) && entry->quantiles->total > 0; i++) {
		char suffix[24];
		snprintf(suffix, sizeof(suffix), "_%s%s", quantiles[i].name, unit);
		report_one(report, entry, suffix, SKYMON_GAUGE,
			   "Quantile of the values since the last check, at most 3 % off",
			   quantile_at(entry->quantiles, quantiles[i].share));
	}
	quantile_clear(entry->quantiles);
}

static void report_entry(const struct report *report, struct entry *entry)
{
	switch (entry->type) {
	case STATSD_COUNTER:
		report_one(report, entry, "_total", SKYMON_COUNTER, "StatsD counter", entry->value);
		return;
	case STATSD_GAUGE:
		report_one(report, entry, "", SKYMON_GAUGE, "StatsD gauge", entry->value);
		return;
	case STATSD_TIMER:
		report_one(report, entry, "_samples_total", SKYMON_COUNTER, "Values of a StatsD timer",
			   entry->samples);
		report_one(report, entry, "_seconds_total", SKYMON_COUNTER, "Sum of a StatsD timer's values",
			   entry->value / 1000);
		report_quantiles(report, entry, "_seconds");
		return;
	case STATSD_HISTOGRAM:
		report_one(report, entry, "_samples_total", SKYMON_COUNTER, "Values of a StatsD histogram",
			   entry->samples);
		report_one(report, entry, "_sum_total", SKYMON_COUNTER, "Sum of a StatsD histogram's values",
			   entry->value);
		report_quantiles(report, entry, "");
		return;
	}
}

void statsd_table_report(struct skymon *sm, struct statsd_table *table, struct series *numbers)
{
	const struct report report = {sm, numbers};
	for (size_t i = 0; i < table->slots; i++)
		for (struct entry *entry = table->entries[i]; entry != NULL; entry = entry->next)
			report_entry(&report, entry);
}
