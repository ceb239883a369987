/* SPDX-License-Identifier: Apache-2.0 */
/* verdict: the rules of statuses: thresholds, rise and fall, staleness, roll-up. Pure functions and one small
 * state; no clock, no I/O. */
#ifndef VERDICT_H
#define VERDICT_H

#include "wire/result.h"

/* ---- Thresholds: "200ms" above, "<10%" below, "1..5" outside ---- */
enum verdict_side { VERDICT_ABOVE, VERDICT_BELOW, VERDICT_OUTSIDE };
struct verdict_limit {
	char *name, *unit, *text; /* the number, its unit, the limit as written */
	enum verdict_side side;
	double low, high;         /* ABOVE: high; BELOW: low */
	bool critical;            /* crit: makes unhealthy; warn: degraded */
	bool reported_unmeasured; /* the log has it, and the number is still missing */
};
/* Parses one limit into side, low and high. */
bool verdict_limit_parse(const char *text, const char *unit, struct verdict_limit *out,
			 struct err *err) MUST_CHECK;
/* Worsens the result when a number passes a limit: unhealthy/threshold_crit or degraded/threshold_warn, with
 * number, value and limit in the message. `response_time` is the result's duration in seconds; an unknown
 * result has none. A number that is absent passes no limit. */
void verdict_apply_limits(const struct verdict_limit *limits, size_t count, struct result *result);

/* Returns false when the result does not have the number. */
bool verdict_limit_value(const struct verdict_limit *limit, const struct skymon_result *result,
			 double *value);
/* Did the check work (healthy, degraded) without reporting the number, so that the limit has no effect? */
bool verdict_limit_unmeasured(const struct verdict_limit *limit, const struct skymon_result *result);

/* ---- Rise and fall ---- */
struct verdict_streak { /* zeroed before the first result */
	bool first_seen;
	int direction; /* of the results in a row: 1 better than the status, -1 worse, 0 none */
	uint32_t length;
	struct result *pick; /* the row's closest to the status, the newest among equals; a reference */
};
/* Adds a result to the row. Returns the result that sets the status from now on (`result` itself or the pick,
 * borrowed until the next call), or NULL when the status stays. healthy < degraded < unknown < unhealthy. */
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
/* Sets the status that a component contributes; returns false when it contributes none. */
bool verdict_contribution(const struct verdict_part *part, int *status);
/* Returns the worst contribution; healthy when there is none. */
int verdict_overall(const struct verdict_part *parts, size_t count);

#endif
