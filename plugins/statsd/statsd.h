/* SPDX-License-Identifier: Apache-2.0 */
/* statsd: shared by the plugin's files. statsd_parse.c reads a packet's lines (pure), statsd_table.c keeps the series and
 * reports them, statsd.c has the options and the sockets. All on the worker's main thread. */
#ifndef STATSD_H
#define STATSD_H

#include "quantile.h"
#include "series.h"

#define STATSD_NAME_MAX 200 /* bytes of a name, and of a tag's name or value */
#define STATSD_TAGS_MAX 16

enum statsd_type { STATSD_COUNTER, STATSD_GAUGE, STATSD_TIMER /* ms */, STATSD_HISTOGRAM /* h, d */ };

struct statsd_line { /* NAME:VALUE|TYPE[|@RATE][|#TAG:VALUE,...]; points into the packet */
	enum statsd_type type;
	const char *name;
	size_t name_size;
	double value;
	bool relative;                             /* a gauge's "+1" or "-1" */
	double rate;                               /* in (0, 1]; the share of events that are sent */
	struct series_label tags[STATSD_TAGS_MAX]; /* in the order of their names */
	size_t tag_count;
};
/* Reads one line. Returns false if it is malformed. */
bool statsd_parse(const char *text, size_t size, struct statsd_line *line);

struct statsd_table;
struct statsd_table *statsd_table_new(size_t series_max, const char *prefix); /* NULL if out of memory */
void statsd_table_free(struct statsd_table *table);
/* Returns false if the series is new and all places are taken. */
bool statsd_table_add(struct statsd_table *table, const struct statsd_line *line);
size_t statsd_table_count(const struct statsd_table *table);
/* Reports each series as a metric, and adds it to `numbers`; begins the next interval of the quantiles. */
void statsd_table_report(struct skymon *sm, struct statsd_table *table, struct series *numbers);

#endif
