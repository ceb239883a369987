/* SPDX-License-Identifier: Apache-2.0 */
/* scrape_text: reads an exposition. Called by scrape.c on the check's thread; pure, owns nothing.
 *
 * The format: prometheus.io/docs/instrumenting/exposition_formats, and OpenMetrics 1.0. A line that is not a
 * sample costs itself only: it is counted, and its siblings are read. */
#include "scrape_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64 /* of one sample; more and the line is malformed */

struct label { /* as it stands in the text: value with its escapes */
	const char *name, *value;
	size_t name_size, value_size;
};

struct sample {
	const char *name;
	size_t name_size, label_count;
	struct label labels[LABELS_MAX];
	double value;
};

static bool is_letter(char c, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':');
}

static bool is_name_part(char c, bool colon)
{
	return is_letter(c, colon) || (c >= '0' && c <= '9');
}

static size_t name_size(const char *at, bool colon)
{
	size_t size = 0;
	if (!is_letter(*at, colon))
		return 0;
	while (is_name_part(at[size], colon))
		size++;
	return size;
}

bool scrape_text_is_metric(const char *name)
{
	size_t size = name_size(name, true);
	return size > 0 && name[size] == '\0';
}

bool scrape_text_is_label(const char *name)
{
	size_t size = name_size(name, false);
	return size > 0 && name[size] == '\0';
}

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Takes `name="value"`; returns what follows, or NULL. */
static const char *take_label(const char *at, struct label *label)
{
	*label = (struct label){.name = at, .name_size = name_size(at, false)};
	at = skip_blanks(at + label->name_size);
	if (label->name_size == 0 || *at != '=')
		return NULL;
	at = skip_blanks(at + 1);
	if (*at != '"')
		return NULL;
	label->value = ++at;
	for (; *at != '"'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		if (*at == '\n' || *at == '\0')
			return NULL;
	}
	label->value_size = (size_t)(at - label->value);
	return at + 1;
}

static const char *take_labels(const char *at, struct sample *sample)
{
	at = skip_blanks(at);
	while (*at != '}') {
		if (sample->label_count == LABELS_MAX)
			return NULL;
		at = take_label(at, &sample->labels[sample->label_count++]);
		if (at == NULL)
			return NULL;
		at = skip_blanks(at);
		if (*at == ',')
			at = skip_blanks(at + 1);
		else if (*at != '}')
			return NULL;
	}
	return at + 1;
}

/* A number as both formats have it: no hexadecimal, no "infinity" or "nan(...)" of strtod's own. */
static const char *take_value(const char *at, double *value)
{
	size_t size = strcspn(at, " \t\r\n");
	char *end;
	if (size == 0 || size > 64 || memchr(at, 'x', size) != NULL || memchr(at, '(', size) != NULL)
		return NULL;
	*value = strtod(at, &end);
	return end == at + size ? end : NULL;
}

/* Returns whether the rest of the line is one that a sample may have: a time, an exemplar. */
static bool is_rest(const char *at)
{
	double time;
	at = skip_blanks(at);
	if (*at != '\n' && *at != '\r' && *at != '\0' && *at != '#') {
		at = take_value(at, &time);
		if (at == NULL)
			return false;
		at = skip_blanks(at);
	}
	if (*at == '\r')
		at++;
	return *at == '\n' || *at == '\0' || (at[0] == '#' && at[1] == ' ');
}

static bool read_sample(const char *at, struct sample *sample)
{
	sample->label_count = 0;
	sample->name = at;
	sample->name_size = name_size(at, true);
	if (sample->name_size == 0)
		return false;
	at = skip_blanks(at + sample->name_size);
	if (*at == '{') {
		at = take_labels(at + 1, sample);
		if (at == NULL)
			return false;
	} else if (at == sample->name + sample->name_size) {
		return false; /* nothing between name and value */
	}
	at = take_value(skip_blanks(at), &sample->value);
	return at != NULL && is_rest(at);
}

/* Compares with the value's escapes undone: \\ \" and \n. */
static bool has_value(const struct label *label, const char *wanted)
{
	const char *at = label->value, *end = at + label->value_size;
	for (; at < end; at++, wanted++) {
		char c = *at;
		if (wanted[0] == '*' && wanted[1] == '\0')
			return true;
		if (c == '\\' && at + 1 < end) {
			at++;
			c = *at;
			if (c == 'n')
				c = '\n';
		}
		if (*wanted != c)
			return false;
	}
	return *wanted == '\0' || strcmp(wanted, "*") == 0;
}

/* A label that the sample lacks has the empty value, as in Prometheus. */
static bool has_label(const struct sample *sample, const struct skymon_label *wanted)
{
	size_t size = strlen(wanted->name);
	for (size_t i = 0; i < sample->label_count; i++)
		if (sample->labels[i].name_size == size &&
		    memcmp(sample->labels[i].name, wanted->name, size) == 0)
			return has_value(&sample->labels[i], wanted->value);
	return wanted->value[0] == '\0';
}

static bool is_selected(const struct sample *sample, const struct scrape_selector *selector)
{
	for (size_t i = 0; i < selector->label_count; i++)
		if (!has_label(sample, &selector->labels[i]))
			return false;
	return true;
}

static void add(struct scrape_tally *tally, double value)
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

static void tally_sample(const struct sample *sample, const struct scrape_selector *selectors,
			 struct scrape_tally *tallies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strncmp(selectors[i].metric, sample->name, sample->name_size) != 0 ||
		    selectors[i].metric[sample->name_size] != '\0')
			continue;
		tallies[i].named = true;
		if (is_selected(sample, &selectors[i]))
			add(&tallies[i], sample->value);
	}
}

void scrape_text_read(const char *text, size_t size, const struct scrape_selector *selectors,
		      struct scrape_tally *tallies, size_t count, struct scrape_facts *facts)
{
	struct sample sample;
	*facts = (struct scrape_facts){0};
	for (size_t i = 0; i < count; i++)
		tallies[i] = (struct scrape_tally){0};
	uint64_t line = 0;
	for (const char *at = text, *next; at < text + size; at = next) {
		const char *end = memchr(at, '\n', (size_t)(text + size - at));
		next = end != NULL ? end + 1 : text + size;
		line++;
		at = skip_blanks(at);
		if (at >= next || *at == '#' || *at == '\n' || (at[0] == '\r' && at[1] == '\n'))
			continue;
		if (read_sample(at, &sample)) {
			facts->samples++;
			tally_sample(&sample, selectors, tallies, count);
			continue;
		}
		if (facts->malformed++ == 0)
			facts->first_malformed = line;
	}
}
