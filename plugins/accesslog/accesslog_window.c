/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog_window: counts and times of the last minute or another window, in slots that are reused in turn. Times are counted in
 * buckets, so that the percentiles of any number of requests take the same memory; they are exact within 3 %. Pure: the time is given. */
#include "accesslog.h"

#include <math.h>
#include <string.h>

#define LEAST 0.0001
#define WIDER 1.05

static size_t bucket_of(double seconds)
{
	double number = seconds <= LEAST ? 0 : log(seconds / LEAST) / log(WIDER) + 1;
	return number >= ACCESSLOG_BUCKETS ? ACCESSLOG_BUCKETS - 1 : (size_t)number;
}

static double value_of(size_t bucket)
{
	return bucket == 0 ? LEAST / 2 : LEAST * pow(WIDER, (double)bucket - 0.5);
}

void accesslog_window_add(struct accesslog_window *window, int64_t now_ms, const struct accesslog_line *line)
{
	int64_t number = now_ms / window->slot_ms;
	struct accesslog_slot *slot = &window->slots[number % ACCESSLOG_SLOTS];
	if (slot->number != number) {
		memset(slot, 0, sizeof(*slot));
		slot->number = number;
	}
	slot->requests++;
	slot->errors += line->status >= 500;
	if (line->seconds < 0)
		return;
	slot->timed++;
	slot->seconds += line->seconds;
	slot->buckets[bucket_of(line->seconds)]++;
}

static double percentile(const uint64_t *buckets, uint64_t count, double share)
{
	uint64_t wanted = (uint64_t)ceil(share * (double)count), seen = 0;
	size_t i = 0;
	for (; i < ACCESSLOG_BUCKETS - 1; i++) {
		seen += buckets[i];
		if (seen >= wanted)
			break;
	}
	return value_of(i);
}

void accesslog_window_sum(const struct accesslog_window *window, int64_t now_ms, struct accesslog_sums *sums)
{
	uint64_t buckets[ACCESSLOG_BUCKETS] = {0};
	int64_t number = now_ms / window->slot_ms;
	*sums = (struct accesslog_sums){0};
	for (size_t i = 0; i < ACCESSLOG_SLOTS; i++) {
		const struct accesslog_slot *slot = &window->slots[i];
		if (slot->number <= number - ACCESSLOG_SLOTS || slot->number > number)
			continue;
		sums->requests += slot->requests;
		sums->errors += slot->errors;
		sums->timed += slot->timed;
		sums->seconds += slot->seconds;
		for (size_t j = 0; slot->timed > 0 && j < ACCESSLOG_BUCKETS; j++)
			buckets[j] += slot->buckets[j];
	}
	if (sums->timed == 0)
		return;
	sums->p50 = percentile(buckets, sums->timed, 0.5);
	sums->p95 = percentile(buckets, sums->timed, 0.95);
	sums->p99 = percentile(buckets, sums->timed, 0.99);
}
