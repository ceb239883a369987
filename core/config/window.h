/* SPDX-License-Identifier: Apache-2.0 */
/* window: times that come back on days of the week, by the clock of a time zone. */
#ifndef WINDOW_H
#define WINDOW_H

#include "base/err.h"

#include <stdint.h>

struct window {
	uint8_t days;     /* bit 0 is Sunday */
	int minute;       /* of the day */
	int64_t length_s; /* as it passes, and not as clocks show it */
	const char *zone; /* of the system's time zones */
};

/* Parses "sun 02:00", "mon-fri 22:30", "sat,sun 01:00", "day 03:00" into days and minute. */
bool window_parse(const char *text, struct window *window, struct err *err) MUST_CHECK;
/* Returns the shortest time from the beginning of one window to the next, in days. */
int window_period_days(uint8_t days);
bool window_zone_exists(const char *zone, struct err *err) MUST_CHECK;
/* Finds the window that is open at now_s (Unix time), or else the next one: the first that ends after it.
 *
 * A window begins at the first moment at which the zone's clock shows its time or a later one of that day: a time
 * that does not exist begins when the clock has jumped over it, and of a time that comes twice the first counts.
 * Changes the process's TZ for the duration of the call: on the loop's thread alone. */
void window_find(const struct window *window, int64_t now_s, int64_t *begin_s, int64_t *end_s);

#endif
