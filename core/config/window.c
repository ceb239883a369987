/* SPDX-License-Identifier: Apache-2.0 */
/* window: parses and finds windows of maintenance. Called by settings_maintenance.c and by the daemon's
 * maintenance.c on the loop's thread; owns nothing.
 *
 * glibc knows the rules of zones, and has no function that takes one: TZ is set, and set back before the call
 * returns. The daemon's other threads write and compress bytes; they read neither TZ nor the environment. */
#include "window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "config.h"

#define DAY_S 86400
#define ALL_DAYS 0x7F
#define ZONES "/usr/share/zoneinfo"

/* ---- "mon-fri 22:30" ---- */

static int parse_day(const char *text, size_t size)
{
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	for (int day = 0; day < 7; day++)
		if (size == 3 && strncasecmp(text, names[day], 3) == 0)
			return day;
	return -1;
}

/* One entry: a day, a range, which may lead over Saturday, or `day` for all. */
static bool parse_days(const char *text, size_t size, uint8_t *days)
{
	const char *dash = memchr(text, '-', size);
	if (size == 3 && strncasecmp(text, "day", 3) == 0) {
		*days |= ALL_DAYS;
		return true;
	}
	int from = parse_day(text, dash != NULL ? (size_t)(dash - text) : size);
	int to = dash != NULL ? parse_day(dash + 1, size - (size_t)(dash + 1 - text)) : from;
	if (from < 0 || to < 0)
		return false;
	for (int day = from;; day = (day + 1) % 7) {
		*days = (uint8_t)(*days | 1u << day);
		if (day == to)
			return true;
	}
}

static bool parse_time(const char *text, int *minute)
{
	if (strlen(text) != 5 || strspn(text, "0123456789") != 2 || text[2] != ':' ||
	    strspn(text + 3, "0123456789") != 2)
		return false;
	int hours = (text[0] - '0') * 10 + text[1] - '0', minutes = (text[3] - '0') * 10 + text[4] - '0';
	*minute = hours * 60 + minutes;
	return hours < 24 && minutes < 60;
}

bool window_parse(const char *text, struct window *window, struct err *err)
{
	const char *space = strchr(text, ' ');
	bool ok = space != NULL && space > text && parse_time(space + strspn(space, " "), &window->minute);
	window->days = 0;
	for (const char *at = text; ok; at++) {
		size_t size = strcspn(at, ", ");
		ok = parse_days(at, size, &window->days);
		at += size;
		if (*at != ',')
			break;
	}
	return ok || err_set(err,
			     "`%.60s` is not a time that comes back: write \"sun 02:00\", \"mon-fri 22:30\", "
			     "\"sat,sun 01:00\" or \"day 03:00\"",
			     text);
}

int window_period_days(uint8_t days)
{
	int shortest = 7, last = -1, first = -1;
	for (int day = 0; day < 7; day++) {
		if ((days >> day & 1) == 0)
			continue;
		if (last >= 0 && day - last < shortest)
			shortest = day - last;
		first = first < 0 ? day : first;
		last = day;
	}
	return first >= 0 && first + 7 - last < shortest ? first + 7 - last : shortest;
}

/* ---- Zones ---- */

bool window_zone_exists(const char *zone, struct err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	const char *folder = config_environment("TZDIR");
	char path[512], magic[4] = "";
	if (strcmp(zone, "UTC") == 0)
		return true; /* where no zones are installed, too */
	size_t size = strspn(zone, letters);
	if (size == 0 || zone[size] != '\0' || zone[0] == '/' || size > 100)
		return err_set(err, "`%.60s` is not a time zone: write a name such as Europe/Berlin", zone);
	snprintf(path, sizeof(path), "%.300s/%s", folder != NULL && folder[0] != '\0' ? folder : ZONES, zone);
	FILE *file = fopen(path, "re");
	bool ok = file != NULL && fread(magic, 1, sizeof(magic), file) == sizeof(magic) &&
		  memcmp(magic, "TZif", sizeof(magic)) == 0;
	if (file != NULL)
		fclose(file);
	return ok ||
	       err_set(err, "no time zone `%.60s` on this machine: %s has none of that name", zone, path);
}

/* Returns what TZ was, for leave_zone. */
static char *enter_zone(const char *zone)
{
	const char *before = config_environment("TZ");
	char *kept = before != NULL ? strdup(before) : NULL;
	setenv("TZ", zone, 1);
	tzset();
	return kept;
}

static void leave_zone(char *before)
{
	if (before != NULL)
		setenv("TZ", before, 1);
	else
		unsetenv("TZ");
	tzset();
	free(before);
}

/* Returns what the zone's clock shows, as seconds since 1970 by that clock. */
static int64_t shown_at(int64_t at_s)
{
	time_t at = (time_t)at_s;
	struct tm tm;
	localtime_r(&at, &tm);
	return at_s + tm.tm_gmtoff;
}

/* Returns the first moment at which the clock shows `wanted` or more. Between two changes of the clock that is
 * wanted minus the offset; around one it lies between those of both offsets. */
static int64_t first_moment(int64_t wanted)
{
	int64_t before = wanted - 2 * DAY_S, after = wanted + 2 * DAY_S;
	int64_t one = wanted - (shown_at(before) - before), other = wanted - (shown_at(after) - after);
	int64_t low = one < other ? one : other, high = one < other ? other : one;
	if (shown_at(low) >= wanted) /* also of a time that comes twice, where the search would not hold */
		return low;
	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		if (shown_at(middle) >= wanted)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void window_find(const struct window *window, int64_t now_s, int64_t *begin_s, int64_t *end_s)
{
	char *before = enter_zone(window->zone);
	int64_t today = shown_at(now_s) / DAY_S;
	/* 1970 began on a Thursday. One more than a week ahead: a day may be missing from a zone's calendar. */
	for (int64_t day = today - window->length_s / DAY_S - 2; day <= today + 9; day++) {
		if ((window->days >> ((day + 4) % 7) & 1) == 0)
			continue;
		*begin_s = first_moment(day * DAY_S + window->minute * 60);
		*end_s = *begin_s + window->length_s;
		if (*end_s > now_s)
			break;
	}
	leave_zone(before);
}
