/* SPDX-License-Identifier: Apache-2.0 */
/* series: makes a check's numbers of labelled series, by the option `numbers` that plugins share which read
 * another program's metrics. Private to our own plugins. Threads: one at a time for a struct series. */
#ifndef SERIES_H
#define SERIES_H

#include <skymon/plugin.h>

#define SERIES_NUMBERS_MAX 100 /* items of `numbers` */

/* One of the option `numbers`. */
struct series_number {
	const char *name, *metric, *over;
	struct skymon_map labels, over_labels;
	struct skymon_choice fold;
	bool change;
	double scale;
};
extern const struct skymon_option series_options[]; /* the table of such an item */
#define SERIES_OPTION(T, member, help_)                                                                      \
	SKYMON_OPT(T, member, NULL, help_, .item = series_options, .item_size = sizeof(struct series_number))

/* The numbers that such a plugin declares. */
/* clang-format off */
#define SERIES_NUMBERS                                                                                       \
	{"active_connections", "", "as `numbers` maps it, for service.metrics"},                             \
	{"total_requests", "", "as `numbers` maps it, for service.metrics; a counter's value"},              \
	{"error_rate_percent", "", "as `numbers` maps it, for service.metrics"},                             \
	{"average_response_time_ms", "ms", "as `numbers` maps it, for service.metrics"},                     \
	{"memory_usage_mb", "MB", "as `numbers` maps it, for service.metrics"},                              \
	{"cpu_usage_percent", "", "as `numbers` maps it, for service.metrics"},                              \
	{"database_connections", "", "as `numbers` maps it, for service.metrics"},                           \
	{"cache_hit_rate_percent", "", "as `numbers` maps it, for service.metrics"},                         \
	{"value_", "", "value_NAME: the number NAME of `numbers`"}
/* clang-format on */

/* Reports what is wrong with the option `numbers`. */
void series_validate(struct skymon *sm, const struct skymon_list *numbers);

struct series;
/* NULL if out of memory. numbers must live as long. escaped: values of labels have the escapes of an
 * exposition. */
struct series *series_new(const struct skymon_list *numbers, bool escaped);
void series_free(struct series *series);

struct series_label { /* not ended by '\0' */
	const char *name, *value;
	size_t name_size, value_size;
};

/* For one check: begin, add each sample, report. */
void series_begin(struct series *series);
void series_add(struct series *series, const char *name, size_t name_size, const struct series_label *labels,
		size_t label_count, double value);
/* Reports the numbers that are known. Returns the first metric of the option that had no sample, NULL if all
 * had. */
const char *series_report(struct skymon *sm, struct series *series);

/* Return whether the text is a metric's name, or a label's: the length of the longest prefix that is one. */
size_t series_metric_size(const char *text);
size_t series_label_size(const char *text);

#endif
