/* SPDX-License-Identifier: Apache-2.0 */
/* http_metrics: counts of answered requests: rows by route, method and code, a histogram by route, and sums
 * over the last 60 seconds. http_request.c adds each request; the API reads them through http.h; all on the
 * loop's thread. Owns the rows. Adding a request is a few additions, and allocates only a new row. */
#include <stdlib.h>
#include <string.h>

#include "http_metrics.h"

#define WINDOW_S 60

const double http_bucket_seconds[HTTP_BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
						  0.01,   0.025,   0.1,    0.5,   1,      5};

struct count_route {
	struct skymon_http_time time;
	uint64_t buckets[HTTP_BUCKETS];
	struct skymon_http_count **rows[HTTP_METHODS];
	size_t row_count[HTTP_METHODS];
	char template[];
};

struct slot {
	uint64_t count, errors, timed; /* timed: requests that count for the average */
	int64_t ns;
};

struct counts {
	struct count_route **routes;
	const struct skymon_http_count **rows;
	const struct skymon_http_time **times;
	size_t route_count, route_capacity, row_count, row_capacity, time_count, time_capacity;
	uint64_t total;
	struct slot slots[WINDOW_S], sum; /* sum: of all slots */
	int64_t newest;                   /* the second of the newest slot */
};

struct counts *counts_new(void)
{
	return x_alloc(sizeof(struct counts));
}

void counts_free(struct counts *counts)
{
	for (size_t i = 0; i < counts->route_count; i++) {
		for (size_t m = 0; m < HTTP_METHODS; m++) {
			for (size_t r = 0; r < counts->routes[i]->row_count[m]; r++)
				free(counts->routes[i]->rows[m][r]);
			free(counts->routes[i]->rows[m]);
		}
		free(counts->routes[i]);
	}
	free(counts->routes);
	free(counts->rows);
	free(counts->times);
	free(counts);
}

struct count_route *counts_route(struct counts *counts, const char *template)
{
	for (size_t i = 0; i < counts->route_count; i++)
		if (strcmp(counts->routes[i]->template, template) == 0)
			return counts->routes[i];
	size_t size = strlen(template) + 1;
	struct count_route *route = x_alloc(sizeof(*route) + size);
	memcpy(route->template, template, size);
	route->time.size = sizeof(route->time);
	route->time.route = route->template;
	route->time.buckets = route->buckets;
	counts->routes =
		x_grow(counts->routes, &counts->route_capacity, counts->route_count + 1, sizeof(route));
	counts->routes[counts->route_count++] = route;
	return route;
}

static struct skymon_http_count *new_row(struct counts *counts, struct count_route *route,
					 enum http_method method, int code)
{
	struct skymon_http_count *row = x_alloc(sizeof(*row));
	row->size = sizeof(*row);
	row->route = route->template;
	row->method = http_method_words[method];
	row->code = code;
	size_t count = route->row_count[method]++;
	route->rows[method] = x_realloc(route->rows[method], (count + 1) * sizeof(row));
	route->rows[method][count] = row;
	counts->rows = x_grow(counts->rows, &counts->row_capacity, counts->row_count + 1, sizeof(row));
	counts->rows[counts->row_count++] = row;
	return row;
}

/* Drops slots that have become too old, so that the newest is this second's. After a step back of the clock,
 * requests count for the newest slot. */
static void advance(struct counts *counts, int64_t second)
{
	int64_t from = counts->newest + 1;
	if (second - from >= WINDOW_S)
		from = second - WINDOW_S + 1;
	for (; from <= second; from++) {
		struct slot *slot = &counts->slots[from % WINDOW_S];
		counts->sum.count -= slot->count;
		counts->sum.errors -= slot->errors;
		counts->sum.timed -= slot->timed;
		counts->sum.ns -= slot->ns;
		*slot = (struct slot){0};
		counts->newest = from;
	}
}

static void count_time(struct counts *counts, struct count_route *route, int64_t duration_ns)
{
	if (route->time.count++ == 0) {
		counts->times = x_grow(counts->times, &counts->time_capacity, counts->time_count + 1,
				       sizeof(*counts->times));
		counts->times[counts->time_count++] = &route->time;
	}
	double seconds = (double)duration_ns / 1e9;
	route->time.sum_seconds += seconds;
	for (size_t i = 0; i < HTTP_BUCKETS; i++)
		if (seconds <= http_bucket_seconds[i]) {
			route->buckets[i]++;
			return;
		}
}

/* A forwarded request may call another server: its 502, 503 and 504, and its time, are that server's and tell
 * nothing about this service. */
void counts_add(struct counts *counts, struct count_route *route, enum http_method method, int code,
		bool problem, bool forwarded, int64_t duration_ns, int64_t now_ms)
{
	bool error = problem && code >= 500 && !(forwarded && code >= 502 && code <= 504);
	struct skymon_http_count *row = NULL;
	for (size_t i = 0; i < route->row_count[method] && row == NULL; i++)
		if (route->rows[method][i]->code == code)
			row = route->rows[method][i];
	if (row == NULL)
		row = new_row(counts, route, method, code);
	row->requests++;
	counts->total++;
	count_time(counts, route, duration_ns);
	advance(counts, now_ms / 1000);
	struct slot *slot = &counts->slots[counts->newest % WINDOW_S];
	slot->count++;
	counts->sum.count++;
	slot->errors += error;
	counts->sum.errors += error;
	if (forwarded)
		return;
	slot->timed++;
	counts->sum.timed++;
	slot->ns += duration_ns;
	counts->sum.ns += duration_ns;
}

uint64_t counts_total(const struct counts *counts)
{
	return counts->total;
}

struct http_window counts_window(struct counts *counts, int64_t now_ms)
{
	advance(counts, now_ms / 1000);
	const struct slot *sum = &counts->sum;
	struct http_window window = {0, 0};
	if (sum->count > 0)
		window.error_percent = 100.0 * (double)sum->errors / (double)sum->count;
	if (sum->timed > 0)
		window.average_ms = (double)sum->ns / 1e6 / (double)sum->timed;
	return window;
}

const struct skymon_http_count *const *counts_rows(const struct counts *counts, size_t *count)
{
	*count = counts->row_count;
	return counts->rows;
}

const struct skymon_http_time *const *counts_times(const struct counts *counts, size_t *count)
{
	*count = counts->time_count;
	return counts->times;
}
