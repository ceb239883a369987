/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of answered requests. */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "http.h"

struct counts;
struct count_route; /* one route's numbers; lives as long as the counts */

struct counts *counts_new(void);
void counts_free(struct counts *counts);
/* Finds or adds the row of a path template. Methods of one path share it, and it survives reloads. */
struct count_route *counts_route(struct counts *counts, const char *template);
void counts_add(struct counts *counts, struct count_route *route, enum http_method method, int code,
		bool problem, bool forwarded, int64_t duration_ns, int64_t now_ms);
uint64_t counts_total(const struct counts *counts);
struct http_window counts_window(struct counts *counts, int64_t now_ms);
const struct skymon_http_count *const *counts_rows(const struct counts *counts, size_t *count);
const struct skymon_http_time *const *counts_times(const struct counts *counts, size_t *count);

#endif
