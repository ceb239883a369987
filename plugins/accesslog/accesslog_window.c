/* SPDX-License-Identifier: Apache-2.0 */
/* accesslog_window: counts and times of the last minute or another window, in slots that are reused in turn. Percentiles
 * are exact within 3 % (sdk/lib/quantile). Pure: the time is given. */
#include "accesslog.h"

#include <string.h>

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
	quantile_add(&slot->times, line->seconds, 1);
}

void accesslog_window_sum(const struct accesslog_window *window, int64_t now_ms, struct accesslog_sums *sums)
{
	struct quantile times = {0};
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
		if (slot->timed > 0)
			quantile_merge(&times, &slot->times);
	}
	if (sums->timed == 0)
		return;
	sums->p50 = quantile_at(&times, 0.5);
	sums->p95 = quantile_at(&times, 0.95);
	sums->p99 = quantile_at(&times, 0.99);
}
