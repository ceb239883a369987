/* SPDX-License-Identifier: Apache-2.0 */
/* series: makes a check's numbers of labelled series. Called by the plugins scrape and statsd, on one thread
 * at a time for each component. Owns the tallies of a check, and the values of the last one, from which a
 * counter's increase is computed. Pure but for its memory. */
#include "series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_SIZE 48

enum fold { FOLD_SUM, FOLD_MIN, FOLD_MAX, FOLD_MEAN, FOLD_COUNT };
static const char *const fold_words[] = {"sum", "min", "max", "mean", "count", NULL};

const struct skymon_option series_options[] = {
	SKYMON_OPT(struct series_number, name, NULL,
		   "one of the eight of service.metrics (total_requests, memory_usage_mb, ...), which is the "
		   "number's name then; or another word, and the number is value_NAME",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct series_number, metric, NULL, "name of the series to read",
		   .flags = SKYMON_REQUIRED),
	SKYMON_OPT(struct series_number, over, NULL, "name of the series that the value is divided by"),
	SKYMON_OPT(struct series_number, labels, NULL,
		   "labels that the series of `metric` must have; \"5*\" stands for all that begin with 5"),
	SKYMON_OPT(struct series_number, over_labels, NULL, "the same for the series of `over`"),
	SKYMON_OPT(struct series_number, fold, "sum", "what several series become", .words = fold_words),
	SKYMON_OPT(struct series_number, change, "false",
		   "of counters: what was added since the last check, for `metric` and `over`"),
	SKYMON_OPT(struct series_number, scale, "1", "factor, as in 1000 to make milliseconds of seconds"),
	{0}};

static const struct skymon_number seed_numbers[] = {SERIES_NUMBERS}; /* and value_ */
#define SEED_NUMBERS (sizeof(seed_numbers) / sizeof(seed_numbers[0]) - 1)

struct selector {
	const char *metric; /* "" for none */
	const struct skymon_map *labels;
};

struct tally {
	bool named;       /* a sample of this name was there, with any labels */
	uint64_t samples; /* that matched and are numbers */
	uint64_t nan;
	double sum, min, max; /* of `samples`; 0 without any */
};

/* The value of a counter in the last check. */
struct before {
	bool known;
	double value;
};

/* Of item i: 2 * i is of its metric, 2 * i + 1 of its `over`. */
struct series {
	const struct skymon_list *numbers;
	bool escaped;
	size_t count;
	struct selector *selectors;
	struct tally *tallies;
	struct before *before;
};

/* ---- Names ---- */

static bool is_letter(char c, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
}

static size_t name_size(const char *text, bool colon)
{
	size_t size = 0;
	while (is_letter(text[size], colon) || (size > 0 && text[size] >= '0' && text[size] <= '9'))
		size++;
	return size;
}

size_t series_metric_size(const char *text)
{
	return name_size(text, true);
}

size_t series_label_size(const char *text)
{
	return name_size(text, false);
}

static bool is_seed_number(const char *name)
{
	for (size_t i = 0; i < SEED_NUMBERS; i++)
		if (strcmp(name, seed_numbers[i].name) == 0)
			return true;
	return false;
}

static bool has_text(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* ---- Validation ---- */

static bool is_metric(const char *text)
{
	size_t size = series_metric_size(text);
	return size > 0 && text[size] == '\0';
}

static void validate_labels(struct skymon *sm, size_t nth, const char *option,
			    const struct skymon_map *labels)
{
	char place[60];
	snprintf(place, sizeof(place), "numbers[%zu].%s", nth, option);
	for (size_t i = 0; i < labels->count; i++) {
		size_t size = series_label_size(labels->items[i].name);
		if (size == 0 || labels->items[i].name[size] != '\0')
			skymon_invalid(sm, place, "has `%s`, which is not the name of a label",
				       labels->items[i].name);
	}
}

static void validate_name(struct skymon *sm, const struct series_number *items, size_t nth)
{
	char place[60];
	const char *name = items[nth].name;
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	snprintf(place, sizeof(place), "numbers[%zu].name", nth);
	if (size == 0 || size > NAME_MAX_SIZE || name[size] != '\0')
		skymon_invalid(sm, place, "must consist of at most %d of a-z, 0-9 and _", NAME_MAX_SIZE);
	for (size_t i = 0; i < nth; i++)
		if (strcmp(items[i].name, name) == 0)
			skymon_invalid(sm, place, "is `%s`, which is used twice", name);
}

void series_validate(struct skymon *sm, const struct skymon_list *numbers)
{
	const struct series_number *items = numbers->items;
	if (numbers->count > SERIES_NUMBERS_MAX)
		skymon_invalid(sm, "numbers", "has %zu items; at most %d are allowed", numbers->count,
			       SERIES_NUMBERS_MAX);
	for (size_t i = 0; i < numbers->count; i++) {
		char place[60];
		validate_name(sm, items, i);
		snprintf(place, sizeof(place), "numbers[%zu].metric", i);
		if (!is_metric(items[i].metric))
			skymon_invalid(sm, place,
				       "must be the name of a metric, and its labels go into `labels`");
		snprintf(place, sizeof(place), "numbers[%zu].over", i);
		if (has_text(items[i].over) && !is_metric(items[i].over))
			skymon_invalid(sm, place,
				       "must be the name of a metric, and its labels go into `over_labels`");
		if (!has_text(items[i].over) && items[i].over_labels.count > 0)
			skymon_invalid(sm, place, "is missing, and `over_labels` has labels for it");
		validate_labels(sm, i, "labels", &items[i].labels);
		validate_labels(sm, i, "over_labels", &items[i].over_labels);
	}
}

/* ---- Tallies ---- */

struct series *series_new(const struct skymon_list *numbers, bool escaped)
{
	const struct series_number *items = numbers->items;
	struct series *series = calloc(1, sizeof(*series));
	if (series == NULL)
		return NULL;
	*series = (struct series){.numbers = numbers, .escaped = escaped, .count = 2 * numbers->count};
	series->selectors = calloc(series->count + 1, sizeof(*series->selectors));
	series->tallies = calloc(series->count + 1, sizeof(*series->tallies));
	series->before = calloc(series->count + 1, sizeof(*series->before));
	if (series->selectors == NULL || series->tallies == NULL || series->before == NULL) {
		series_free(series);
		return NULL;
	}
	for (size_t i = 0; i < numbers->count; i++) {
		series->selectors[2 * i] = (struct selector){items[i].metric, &items[i].labels};
		series->selectors[2 * i + 1] = (struct selector){has_text(items[i].over) ? items[i].over : "",
								 &items[i].over_labels};
	}
	return series;
}

void series_free(struct series *series)
{
	if (series == NULL)
		return;
	free(series->selectors);
	free(series->tallies);
	free(series->before);
	free(series);
}

void series_begin(struct series *series)
{
	for (size_t i = 0; i < series->count; i++)
		series->tallies[i] = (struct tally){0};
}

/* Compares, with the escapes of an exposition undone: \\ \" and \n. */
static bool has_value(const struct series_label *label, const char *wanted, bool escaped)
{
	const char *at = label->value, *end = at + label->value_size;
	for (; at < end; at++, wanted++) {
		char c = *at;
		if (wanted[0] == '*' && wanted[1] == '\0')
			return true;
		if (escaped && c == '\\' && at + 1 < end) {
			at++;
			c = *at == 'n' ? '\n' : *at;
		}
		if (*wanted != c)
			return false;
	}
	return *wanted == '\0' || strcmp(wanted, "*") == 0;
}

/* A label that the sample lacks has the empty value, as in Prometheus. */
static bool has_label(const struct series_label *labels, size_t count, const struct skymon_label *wanted,
		      bool escaped)
{
	size_t size = strlen(wanted->name);
	for (size_t i = 0; i < count; i++)
		if (labels[i].name_size == size && memcmp(labels[i].name, wanted->name, size) == 0)
			return has_value(&labels[i], wanted->value, escaped);
	return wanted->value[0] == '\0';
}

static bool has_labels(const struct series_label *labels, size_t count, const struct skymon_map *wanted,
		       bool escaped)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (!has_label(labels, count, &wanted->items[i], escaped))
			return false;
	return true;
}

static void tally_add(struct tally *tally, double value)
{
	if (isnan(value)) {
		tally->nan++;
		return;
	}
	tally->min = tally->samples == 0 ? value : fmin(tally->min, value);
	tally->max = tally->samples == 0 ? value : fmax(tally->max, value);
	tally->sum += value;
	tally->samples++;
}

void series_add(struct series *series, const char *name, size_t size, const struct series_label *labels,
		size_t label_count, double value)
{
	for (size_t i = 0; i < series->count; i++) {
		const struct selector *selector = &series->selectors[i];
		if (strncmp(selector->metric, name, size) != 0 || selector->metric[size] != '\0')
			continue;
		series->tallies[i].named = true;
		if (has_labels(labels, label_count, selector->labels, series->escaped))
			tally_add(&series->tallies[i], value);
	}
}

/* ---- Numbers ---- */

/* NaN if the value cannot be known. Of no matching series the sum is 0 if the metric is there with other
 * labels: a counter of errors appears with the first error. */
static double fold(const struct tally *tally, enum fold how)
{
	if (!tally->named || (tally->samples == 0 && tally->nan > 0))
		return NAN;
	switch (how) {
	case FOLD_COUNT:
		return (double)tally->samples;
	case FOLD_SUM:
		return tally->sum;
	case FOLD_MIN:
		return tally->samples > 0 ? tally->min : NAN;
	case FOLD_MAX:
		return tally->samples > 0 ? tally->max : NAN;
	case FOLD_MEAN:
		return tally->samples > 0 ? tally->sum / (double)tally->samples : NAN;
	}
	return NAN;
}

/* Returns the increase of a counter; one that became smaller began again at 0. NaN in the first check. */
static double take_change(double now, struct before *before)
{
	double added = !before->known || isnan(now) ? NAN : now >= before->value ? now - before->value : now;
	*before = (struct before){.known = !isnan(now), .value = now};
	return added;
}

static double side_value(const struct series *series, size_t nth, const struct series_number *item)
{
	double value = fold(&series->tallies[nth], (enum fold)item->fold.index);
	return item->change ? take_change(value, &series->before[nth]) : value;
}

static double value_of(const struct series *series, size_t nth, const struct series_number *item)
{
	double value = side_value(series, 2 * nth, item);
	if (!has_text(item->over))
		return item->scale * value;
	double over = side_value(series, 2 * nth + 1, item);
	if (over == 0) /* nothing happened in this interval, so none of it was an error */
		return item->change && value == 0 ? 0 : NAN;
	return item->scale * value / over;
}

const char *series_report(struct skymon *sm, struct series *series)
{
	const struct series_number *items = series->numbers->items;
	for (size_t i = 0; i < series->numbers->count; i++) {
		char name[NAME_MAX_SIZE + 16];
		double value = value_of(series, i, &items[i]);
		if (!isfinite(value))
			continue;
		snprintf(name, sizeof(name), "%s%s", is_seed_number(items[i].name) ? "" : "value_",
			 items[i].name);
		skymon_number(sm, name, value);
	}
	for (size_t i = 0; i < series->count; i++)
		if (series->selectors[i].metric[0] != '\0' && !series->tallies[i].named)
			return series->selectors[i].metric;
	return NULL;
}
