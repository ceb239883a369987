/* SPDX-License-Identifier: Apache-2.0 */
/* statsd_parse: reads a line of a StatsD packet, with Datadog's tags. Called by statsd.c for each line; pure.
 * The format: github.com/statsd/statsd, docs/metric_types.md; docs.datadoghq.com, DogStatsD datagram format. */
#include "statsd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number alone. The packet is not ended by '\0', so the digits are copied. */
static bool take_number(const char *text, size_t size, double *value)
{
	char digits[40], *end;
	if (size == 0 || size >= sizeof(digits))
		return false;
	memcpy(digits, text, size);
	digits[size] = '\0';
	if (digits[strspn(digits, "0123456789+-.eE")] != '\0')
		return false;
	*value = strtod(digits, &end);
	return *end == '\0' && isfinite(*value);
}

static bool take_type(const char *text, size_t size, enum statsd_type *type)
{
	static const struct {
		const char *word;
		enum statsd_type type;
	} types[] = {{"c", STATSD_COUNTER},
		     {"g", STATSD_GAUGE},
		     {"ms", STATSD_TIMER},
		     {"h", STATSD_HISTOGRAM},
		     {"d", STATSD_HISTOGRAM}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strlen(types[i].word) == size && memcmp(types[i].word, text, size) == 0) {
			*type = types[i].type;
			return true;
		}
	return false;
}

static int compare_names(const struct series_label *a, const struct series_label *b)
{
	size_t size = a->name_size < b->name_size ? a->name_size : b->name_size;
	int order = memcmp(a->name, b->name, size);
	return order != 0 ? order : (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

/* Keeps the tags in the order of their names, so that one series has one key. A tag that is there twice is malformed. */
static bool insert_tag(struct statsd_line *line, const struct series_label *tag)
{
	size_t at = line->tag_count;
	if (at == STATSD_TAGS_MAX)
		return false;
	while (at > 0 && compare_names(&line->tags[at - 1], tag) > 0) {
		line->tags[at] = line->tags[at - 1];
		at--;
	}
	if (at > 0 && compare_names(&line->tags[at - 1], tag) == 0)
		return false;
	line->tags[at] = *tag;
	line->tag_count++;
	return true;
}

/* NAME:VALUE,NAME,...; a tag without a value has the empty one. */
static bool take_tags(const char *text, size_t size, struct statsd_line *line)
{
	const char *end = text + size;
	while (text < end) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		const char *stop = comma != NULL ? comma : end;
		const char *colon = memchr(text, ':', (size_t)(stop - text));
		const char *name_end = colon != NULL ? colon : stop,
			   *value = colon != NULL ? colon + 1 : stop;
		struct series_label tag = {.name = text,
					   .name_size = (size_t)(name_end - text),
					   .value = value,
					   .value_size = (size_t)(stop - value)};
		if (tag.name_size == 0 || tag.name_size > STATSD_NAME_MAX ||
		    tag.value_size > STATSD_NAME_MAX || !insert_tag(line, &tag))
			return false;
		text = stop + 1;
	}
	return true;
}

/* Takes what follows the type: |@RATE and |#TAGS, in any order, each once at most; others (|c: a container, |T: a
 * time) are Datadog's and do not matter here. */
static bool take_rest(const char *text, const char *end, struct statsd_line *line)
{
	bool rated = false, tagged = false;
	do {
		const char *bar = memchr(text, '|', (size_t)(end - text));
		const char *stop = bar != NULL ? bar : end;
		size_t size = (size_t)(stop - text);
		if (size == 0)
			return false;
		if (text[0] == '@') {
			if (rated || !take_number(text + 1, size - 1, &line->rate) || line->rate <= 0 ||
			    line->rate > 1)
				return false;
			rated = true;
		} else if (text[0] == '#') {
			if (tagged || !take_tags(text + 1, size - 1, line))
				return false;
			tagged = true;
		} else if (text[0] != 'c' && text[0] != 'T' && text[0] != 'e') {
			return false;
		}
		text = stop + 1;
	} while (text <= end);
	return true;
}

bool statsd_parse(const char *text, size_t size, struct statsd_line *line)
{
	const char *end = text + size;
	const char *colon = memchr(text, ':', size);
	const char *bar = colon != NULL ? memchr(colon, '|', (size_t)(end - colon)) : NULL;
	if (bar == NULL || colon == text || colon - text > STATSD_NAME_MAX)
		return false;
	*line = (struct statsd_line){.name = text, .name_size = (size_t)(colon - text), .rate = 1};
	const char *type = bar + 1, *next = memchr(type, '|', (size_t)(end - type));
	const char *type_end = next != NULL ? next : end;
	if (!take_type(type, (size_t)(type_end - type), &line->type) ||
	    !take_number(colon + 1, (size_t)(bar - colon - 1), &line->value))
		return false;
	line->relative = line->type == STATSD_GAUGE && (colon[1] == '+' || colon[1] == '-');
	if (line->type != STATSD_GAUGE && line->value < 0)
		return false; /* a counter only grows, a time is not negative */
	return next == NULL || take_rest(next + 1, end, line);
}
