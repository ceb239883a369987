/* SPDX-License-Identifier: Apache-2.0 */
/* verdict: the rules of statuses, as pure functions and one small state. No clock, no I/O.
 * Thresholds, rise and fall, what is stale, and how components roll up to the whole. */
#ifndef VERDICT_H
#define VERDICT_H

#include "wire/result.h"

/* ---- Thresholds: "200ms" above, "<10%" below, "1..5" outside ---- */
enum verdict_side { VERDICT_ABOVE, VERDICT_BELOW, VERDICT_OUTSIDE };
struct verdict_limit {
	char *name, *unit, *text; /* the number, its unit, and the limit as it was written */
	enum verdict_side side;
	double low, high;         /* ABOVE: high; BELOW: low */
	bool critical;            /* crit: unhealthy; else degraded */
	bool reported_unmeasured; /* … in the log, for results like the newest */
};
/* Parses one limit; fills side, low and high (the texts are the caller's). */
bool verdict_limit_parse(const char *text, const char *unit, struct verdict_limit *out,
			 struct err *err) MUST_CHECK;
/* Makes the result worse where a number passes a limit: unhealthy/threshold_crit or degraded/threshold_warn
 * with number, value and limit in the message. `response_time` is the result's duration in seconds (an
 * unknown result has none: nothing responded); a number that is absent passes nothing. Never makes it better.
 */
void verdict_apply_limits(const struct verdict_limit *limits, size_t count, struct result *result);

/* The value that a limit is about; false: the result does not have it. */
bool verdict_limit_value(const struct verdict_limit *limit, const struct skymon_result *result,
			 double *value);
/* The check could look (healthy, degraded), and did not report the number: nothing watches it. */
bool verdict_limit_unmeasured(const struct verdict_limit *limit, const struct skymon_result *result);

/* ---- Rise and fall ---- */
struct verdict_streak { /* zeroed = no result yet */
	bool first_seen;
	int direction; /* +1: a row of better results, -1: of worse, 0: none */
	uint32_t length;
	struct result *
		pick; /* counted: of worse ones the best, of better ones the worst; the newest among equals */
};
/* status: the present one. Returns the result that gives the status from now on (not counted; `result`
 * itself, or the streak's pick: take a reference before the next call), or NULL while the status stays.
 * healthy < degraded < unknown < unhealthy. */
struct result *verdict_step(struct verdict_streak *streak, int status, struct result *result, uint32_t rise,
			    uint32_t fall);
void verdict_streak_reset(struct verdict_streak *streak);

/* ---- Age and roll-up ---- */
int64_t verdict_stale_after_ms(int64_t interval_ms, int64_t timeout_ms); /* 3 x interval + timeout */
int verdict_severity(int status); /* 0 healthy, 1 degraded, 2 unknown, 3 unhealthy */

struct verdict_part {
	int status;
	enum skymon_impact impact;
	bool configured, starting, unknown_is_unhealthy;
};
/* What one component passes on; false: nothing. */
bool verdict_contribution(const struct verdict_part *part, int *status);
/* The whole: the worst contribution; healthy when nothing contributes. */
int verdict_overall(const struct verdict_part *parts, size_t count);

#endif
