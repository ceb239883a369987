/* SPDX-License-Identifier: Apache-2.0 */
/* scrape_text: reads an exposition. Called by scrape.c on the check's thread; pure, owns nothing.
 *
 * The format: prometheus.io/docs/instrumenting/exposition_formats, and OpenMetrics 1.0. A line that is not a
 * sample costs itself only: it is counted, and its siblings are read. */
#include "scrape_text.h"

#include <stdlib.h>
#include <string.h>

#define LABELS_MAX 64 /* of one sample; more and the line is malformed */

struct sample {
	const char *name;
	size_t name_size, label_count;
	struct series_label labels[LABELS_MAX];
	double value;
};

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Takes `name="value"`; returns what follows, or NULL. */
static const char *take_label(const char *at, struct series_label *label)
{
	*label = (struct series_label){.name = at, .name_size = series_label_size(at)};
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
	sample->name_size = series_metric_size(at);
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

void scrape_text_read(const char *text, size_t size, struct series *series, struct scrape_facts *facts)
{
	struct sample sample;
	*facts = (struct scrape_facts){0};
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
			series_add(series, sample.name, sample.name_size, sample.labels, sample.label_count,
				   sample.value);
			continue;
		}
		if (facts->malformed++ == 0)
			facts->first_malformed = line;
	}
}
