/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus_http: the families about answered requests, by route: counts and a histogram. Called by the table of
 * prometheus_own.c, on the HTTP thread. Owns nothing. */
#include "prometheus.h"

#include <string.h>

void own_print_requests(struct text *out, const char *name, const struct live *live)
{
	for (size_t i = 0; i < live->self->http_count_count; i++) {
		const struct skymon_http_count *row = live->self->http_counts[i];
		text_put(out, name);
		text_put(out, "{code=\"");
		text_unsigned(out, row->code > 0 ? (uint64_t)row->code : 0);
		text_label(out, "\",method=\"", row->method);
		text_label(out, ",route=\"", row->route);
		text_put(out, "} ");
		text_unsigned(out, row->requests);
		text_put(out, "\n");
	}
}

static void put_bucket(struct text *out, const char *name, const char *route, const char *le, uint64_t count)
{
	text_put(out, name);
	text_label(out, "_bucket{route=\"", route);
	text_put(out, ",le=\"");
	text_put(out, le);
	text_put(out, "\"} ");
	text_unsigned(out, count);
	text_put(out, "\n");
}

#define BUCKETS_MAX 32u
#define LE_MAX 36

/* Prints upper bounds as floats, which OpenMetrics requires; the same in both formats, since other spellings
 * would be other series. */
static void print_bounds(const struct live *live, char les[][LE_MAX], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *le = les[i];
		size_t size = skymon_print(live->sm, live->self->bucket_seconds[i], le, LE_MAX - 2);
		if (strpbrk(le, ".eIN") == NULL)
			memcpy(le + size, ".0", sizeof(".0"));
	}
}

static void put_histogram(struct text *out, const char *name, const struct live *live,
			  const struct skymon_http_time *row, char les[][LE_MAX], size_t bounds)
{
	uint64_t count = 0;
	for (size_t i = 0; i < bounds; i++) {
		count += row->buckets[i];
		put_bucket(out, name, row->route, les[i], count);
	}
	put_bucket(out, name, row->route, "+Inf", row->count);
	text_put(out, name);
	text_label(out, "_sum{route=\"", row->route);
	text_put(out, "} ");
	text_number(out, live->sm, row->sum_seconds);
	text_put(out, "\n");
	text_put(out, name);
	text_label(out, "_count{route=\"", row->route);
	text_put(out, "} ");
	text_unsigned(out, row->count);
	text_put(out, "\n");
}

void own_print_durations(struct text *out, const char *name, const struct live *live)
{
	char les[BUCKETS_MAX][LE_MAX];
	size_t bounds = live->self->bucket_count < BUCKETS_MAX ? live->self->bucket_count : BUCKETS_MAX;
	print_bounds(live, les, bounds);
	for (size_t i = 0; i < live->self->http_time_count; i++)
		put_histogram(out, name, live, live->self->http_times[i], les, bounds);
}
