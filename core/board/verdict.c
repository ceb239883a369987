/* SPDX-License-Identifier: Apache-2.0 */
/* verdict: parses and applies limits, counts rise and fall, rolls statuses up. Called by the board, the
 * schedule and component.c; owns nothing but a streak's pick. Any thread. */
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "verdict.h"

/* ---- Thresholds ---- */

static const char *skip_blanks(const char *text)
{
	return text + strspn(text, " \t");
}

static bool parse_range(const char *text, const char *dots, const char *unit, struct verdict_limit *out,
			struct err *err)
{
	size_t length = (size_t)(dots - text);
	while (length > 0 && strchr(" \t", text[length - 1]) != NULL)
		length--;
	char *low = x_strndup(text, length);
	const char *high = skip_blanks(dots + 2);
	bool ok = option_parse_quantity(low, unit, &out->low, err) &&
		  option_parse_quantity(high, unit, &out->high, err);
	if (ok && !(out->low <= out->high))
		ok = err_set(err, "the range %s begins above its end: write %s..%s", text, high, low);
	out->side = VERDICT_OUTSIDE;
	free(low);
	return ok;
}

static bool parse_sides(const char *text, const char *unit, struct verdict_limit *out, struct err *err)
{
	const char *dots = strstr(text, "..");
	if (*text == '>')
		return err_set(err, "write the limit %s without `>`: a bare value means above", text);
	if (*text == '<') {
		out->side = VERDICT_BELOW;
		return option_parse_quantity(skip_blanks(text + 1), unit, &out->low, err);
	}
	if (dots != NULL)
		return parse_range(text, dots, unit, out, err);
	out->side = VERDICT_ABOVE;
	return option_parse_quantity(text, unit, &out->high, err);
}

/* Refuses a limit that no value of the number can pass, or that every value passes. */
static bool is_possible(double bound, const char *unit, struct err *err)
{
	bool ratio = strcmp(unit, "ratio") == 0;
	bool positive = ratio || strcmp(unit, "s") == 0 || strcmp(unit, "bytes") == 0 ||
			strcmp(unit, "MB") == 0 || strcmp(unit, "%") == 0;
	char text[64];
	option_print_quantity(bound, unit, text, sizeof(text));
	if (positive && bound < 0)
		return err_set(err, "%s: this number is never negative", text);
	if (ratio && bound > 1)
		return err_set(err, "%s: this number is never above 100 %% (write %.15g%% if that is meant)",
			       text, bound);
	return true;
}

bool verdict_limit_parse(const char *text, const char *unit, struct verdict_limit *out, struct err *err)
{
	out->low = out->high = 0;
	return parse_sides(skip_blanks(text), unit, out, err) &&
	       (out->side == VERDICT_ABOVE || is_possible(out->low, unit, err)) &&
	       (out->side == VERDICT_BELOW || is_possible(out->high, unit, err));
}

bool verdict_limit_value(const struct verdict_limit *limit, const struct skymon_result *result, double *value)
{
	if (strcmp(limit->name, "response_time") == 0) {
		/* a check that failed has no response to time */
		if (result->duration_us < 0 || result->status == SKYMON_UNKNOWN)
			return false;
		*value = (double)result->duration_us / 1e6;
		return true;
	}
	const struct skymon_value *number = result_number(result, limit->name);
	if (number != NULL)
		*value = number->number;
	return number != NULL;
}

bool verdict_limit_unmeasured(const struct verdict_limit *limit, const struct skymon_result *result)
{
	double value;
	bool looked = result->duration_us >= 0 &&
		      (result->status == SKYMON_HEALTHY || result->status == SKYMON_DEGRADED);
	return looked && !verdict_limit_value(limit, result, &value);
}

static bool is_passed(const struct verdict_limit *limit, const struct skymon_result *result, double *value)
{
	if (!verdict_limit_value(limit, result, value))
		return false;
	/* NaN passes no limit: each comparison with it is false. */
	bool above = *value > limit->high, below = *value < limit->low;
	return limit->side == VERDICT_ABOVE ? above : limit->side == VERDICT_BELOW ? below : above || below;
}

static void describe(const struct verdict_limit *limit, double value, struct buf *out)
{
	static const char *const words[] = {"above the limit of", "below the limit of", "outside the limits"};
	char text[64];
	option_print_quantity(value, limit->unit, text, sizeof(text));
	const char *written = skip_blanks(limit->text);
	if (limit->side == VERDICT_BELOW)
		written = skip_blanks(written + (*written == '<'));
	buf_printf(out, "%s%s is %s, %s %s", out->size > 0 ? "; " : "", limit->name, text, words[limit->side],
		   written);
}

void verdict_apply_limits(const struct verdict_limit *limits, size_t count, struct result *result)
{
	struct buf text = {0};
	bool critical = false;
	double value;
	for (size_t i = 0; i < count && !critical; i++)
		critical = limits[i].critical && is_passed(&limits[i], &result->view, &value);
	for (size_t i = 0; i < count; i++)
		if (limits[i].critical == critical && is_passed(&limits[i], &result->view, &value))
			describe(&limits[i], value, &text);
	int status = critical ? SKYMON_UNHEALTHY : SKYMON_DEGRADED;
	if (text.size > 0 && verdict_severity(status) > verdict_severity(result->view.status))
		result_worsen(result, (enum skymon_status)status,
			      critical ? SKYMON_THRESHOLD_CRIT : SKYMON_THRESHOLD_WARN, "%s", text.data);
	buf_free(&text);
}

/* ---- Rise and fall ---- */

static void end_row(struct verdict_streak *streak)
{
	streak->direction = 0;
	streak->length = 0;
}

static void set_pick(struct verdict_streak *streak, struct result *result)
{
	struct result *old = streak->pick;
	streak->pick = result != NULL ? result_ref(result) : NULL;
	result_unref(old);
}

void verdict_streak_reset(struct verdict_streak *streak)
{
	set_pick(streak, NULL);
	end_row(streak);
	streak->first_seen = false;
}

struct result *verdict_step(struct verdict_streak *streak, int status, struct result *result, uint32_t rise,
			    uint32_t fall)
{
	int now = verdict_severity(result->view.status), difference = now - verdict_severity(status);
	if (!streak->first_seen || difference == 0) {
		bool first = !streak->first_seen;
		set_pick(streak, NULL);
		end_row(streak);
		streak->first_seen = true;
		return first ? result : NULL;
	}
	int direction = difference < 0 ? 1 : -1;
	if (streak->direction != direction) {
		end_row(streak);
		streak->direction = direction;
		set_pick(streak, result);
	} else {
		int picked = verdict_severity(streak->pick->view.status);
		if (direction < 0 ? now <= picked : now >= picked)
			set_pick(streak, result);
	}
	streak->length++;
	if (streak->length < (direction > 0 ? rise : fall))
		return NULL;
	end_row(streak); /* the pick stays until the next call: the caller borrows it */
	return streak->pick;
}

/* ---- Age and roll-up ---- */

int64_t verdict_stale_after_ms(int64_t interval_ms, int64_t timeout_ms)
{
	return 3 * interval_ms + timeout_ms;
}

int verdict_severity(int status)
{
	switch (status) {
	case SKYMON_HEALTHY:
		return 0;
	case SKYMON_DEGRADED:
		return 1;
	case SKYMON_UNHEALTHY:
		return 3;
	default:
		return 2;
	}
}

bool verdict_contribution(const struct verdict_part *part, int *status)
{
	if (!part->configured || part->impact == SKYMON_IMPACT_NONE)
		return false;
	bool unknown = verdict_severity(part->status) == verdict_severity(SKYMON_UNKNOWN);
	if (part->impact == SKYMON_IMPACT_DEGRADED) {
		*status = part->status == SKYMON_HEALTHY ? SKYMON_HEALTHY : SKYMON_DEGRADED;
		return !part->starting;
	}
	if (part->starting)
		*status = SKYMON_UNKNOWN;
	else if (unknown)
		*status = part->unknown_is_unhealthy ? SKYMON_UNHEALTHY : SKYMON_DEGRADED;
	else
		*status = part->status;
	return true;
}

int verdict_overall(const struct verdict_part *parts, size_t count)
{
	int overall = SKYMON_HEALTHY, status;
	for (size_t i = 0; i < count; i++)
		if (verdict_contribution(&parts[i], &status) &&
		    verdict_severity(status) > verdict_severity(overall))
			overall = status;
	return overall;
}
