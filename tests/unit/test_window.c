/* SPDX-License-Identifier: Apache-2.0 */
/* windows of maintenance: how they are written, and when they are, by the clocks of real zones. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/window.h"
#include "unit.h"

static int64_t moment(const char *text)
{
	struct tm tm = {0};
	CU_ASSERT_PTR_NOT_NULL_FATAL(strptime(text, "%Y-%m-%d %H:%M", &tm));
	return timegm(&tm);
}

static const char *text_of(int64_t at_s)
{
	static char text[2][20];
	static int next;
	time_t at = (time_t)at_s;
	struct tm tm;
	next = !next;
	strftime(text[next], sizeof(text[next]), "%Y-%m-%d %H:%M", gmtime_r(&at, &tm));
	return text[next];
}

static void found(void)
{
	static const struct {
		const char *zone, *every;
		int minutes;
		const char *now, *begin, *end; /* UTC */
	} rows[] = {
		{"UTC", "day 00:00", 60, "2026-11-28 00:30", "2026-11-28 00:00", "2026-11-28 01:00"},
		{"UTC", "day 00:00", 60, "2026-11-28 01:00", "2026-11-29 00:00", "2026-11-29 01:00"},
		{"Europe/Berlin", "sun 02:00", 120, "2026-11-28 03:00", "2026-11-29 01:00",
		 "2026-11-29 03:00"},
		{"Europe/Berlin", "sun 02:00", 120, "2026-07-05 00:00", "2026-07-05 00:00",
		 "2026-07-05 02:00"},
		{"Europe/Berlin", "mon-fri 22:30", 30, "2026-11-27 21:30", "2026-11-27 21:30",
		 "2026-11-27 22:00"},
		{"Europe/Berlin", "mon-fri 22:30", 30, "2026-11-27 22:00", "2026-11-30 21:30",
		 "2026-11-30 22:00"},
		{"Europe/Berlin", "fri-mon 01:00", 60, "2026-12-01 12:00", "2026-12-04 00:00",
		 "2026-12-04 01:00"},
		{"Asia/Kathmandu", "mon 00:10", 60, "2026-05-31 12:00", "2026-05-31 18:25",
		 "2026-05-31 19:25"},
		/* over midnight, and over the ends of a week, a year and a leap day */
		{"America/New_York", "sat 23:00", 180, "2026-01-11 05:00", "2026-01-11 04:00",
		 "2026-01-11 07:00"},
		{"Europe/Berlin", "thu 22:00", 240, "2027-01-01 00:30", "2026-12-31 21:00",
		 "2027-01-01 01:00"},
		{"UTC", "tue 23:30", 60, "2028-02-29 23:45", "2028-02-29 23:30", "2028-03-01 00:30"},
		{"UTC", "fri 12:00", 8000, "2026-12-02 00:00", "2026-11-27 12:00", "2026-12-03 01:20"},
		/* the hour that does not exist: when the clock has jumped over it */
		{"Europe/Berlin", "sun 02:30", 120, "2026-03-29 00:00", "2026-03-29 01:00",
		 "2026-03-29 03:00"},
		{"Europe/Berlin", "sun 02:00", 60, "2026-03-29 00:00", "2026-03-29 01:00",
		 "2026-03-29 02:00"},
		{"America/New_York", "sun 02:59", 60, "2026-03-08 00:00", "2026-03-08 07:00",
		 "2026-03-08 08:00"},
		{"Australia/Lord_Howe", "sun 02:15", 60, "2026-10-03 12:00", "2026-10-03 15:30",
		 "2026-10-03 16:30"},
		/* a day that does not exist */
		{"Pacific/Apia", "fri 12:00", 60, "2011-12-29 20:00", "2011-12-30 10:00", "2011-12-30 11:00"},
		/* the hour that comes twice: the first of the two, once */
		{"Europe/Berlin", "sun 02:30", 120, "2026-10-25 00:00", "2026-10-25 00:30",
		 "2026-10-25 02:30"},
		{"Europe/Berlin", "sun 02:30", 120, "2026-10-25 01:45", "2026-10-25 00:30",
		 "2026-10-25 02:30"},
		{"Europe/Berlin", "sun 02:30", 30, "2026-10-25 01:15", "2026-11-01 01:30",
		 "2026-11-01 02:00"},
		{"America/New_York", "sun 01:30", 60, "2026-11-01 00:00", "2026-11-01 05:30",
		 "2026-11-01 06:30"},
		/* across a change: as time passes, not as clocks show it */
		{"Europe/Berlin", "sat 23:00", 360, "2026-03-29 03:30", "2026-03-28 22:00",
		 "2026-03-29 04:00"},
		{"Europe/Berlin", "sat 23:00", 360, "2026-10-25 02:30", "2026-10-24 21:00",
		 "2026-10-25 03:00"},
		{"Europe/Berlin", "day 03:00", 60, "2026-03-28 03:00", "2026-03-29 01:00",
		 "2026-03-29 02:00"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct window window = {.zone = rows[i].zone, .length_s = rows[i].minutes * 60};
		struct err err;
		int64_t begin, end;
		if (!window_zone_exists(rows[i].zone, &err)) {
			fprintf(stderr, "%s\n", err.text); /* install tzdata (and tzdata-legacy) */
			CU_FAIL("a zone is missing");
			continue;
		}
		CU_ASSERT_FATAL(window_parse(rows[i].every, &window, &err));
		window_find(&window, moment(rows[i].now), &begin, &end);
		UNIT_TEXT(text_of(begin), rows[i].begin);
		UNIT_TEXT(text_of(end), rows[i].end);
	}
}

/* Asked each half hour of a year: the windows follow one another, and none is missing. */
static void each_hour_of_a_year(void)
{
	struct window window = {.zone = "Europe/Berlin", .length_s = 5400};
	struct err err;
	CU_ASSERT_FATAL(window_parse("sat,sun 02:30", &window, &err));
	int64_t last_begin = 0, at = moment("2026-01-01 00:00");
	unsigned windows = 0;
	for (; at < moment("2027-01-01 00:00"); at += 1800) {
		int64_t begin, end;
		window_find(&window, at, &begin, &end);
		CU_ASSERT(end > at && end - begin == 5400 && begin >= last_begin && begin - at < 7 * 86400);
		windows += begin != last_begin;
		last_begin = begin;
	}
	CU_ASSERT_EQUAL(windows, 105); /* 52 Saturdays, 52 Sundays, and the first of 2027 */
}

static void the_process_keeps_its_zone(void)
{
	struct window window = {.zone = "Europe/Berlin", .length_s = 60, .days = 1};
	int64_t begin, end;
	time_t at = 0;
	struct tm tm;
	setenv("TZ", "America/Lima", 1);
	tzset();
	window_find(&window, 0, &begin, &end);
	UNIT_TEXT(getenv("TZ"), "America/Lima");
	CU_ASSERT_EQUAL(localtime_r(&at, &tm)->tm_gmtoff, -5 * 3600);
	unsetenv("TZ");
	tzset();
	window_find(&window, 0, &begin, &end);
	CU_ASSERT_PTR_NULL(getenv("TZ"));
}

static void parsed(void)
{
	static const struct {
		const char *text;
		int days, minute, period; /* days -1: refused */
	} rows[] = {
		{"sun 02:00", 0x01, 120, 7},
		{"SUN 2:00", -1, 0, 0},
		{"day 23:59", 0x7F, 1439, 1},
		{"mon-fri 00:00", 0x3E, 0, 1},
		{"sat-mon 01:00", 0x43, 60, 1},
		{"sat,wed 01:00", 0x48, 60, 3},
		{"Mon 10:00", 0x02, 600, 7},
		{"sun  02:00", 0x01, 120, 7},
		{"", -1, 0, 0},
		{"sun", -1, 0, 0},
		{"02:00", -1, 0, 0},
		{"sun 24:00", -1, 0, 0},
		{"sun 12:60", -1, 0, 0},
		{"sunday 02:00", -1, 0, 0},
		{"sun, 02:00", -1, 0, 0},
		{",sun 02:00", -1, 0, 0},
		{"sun-x 02:00", -1, 0, 0},
		{"sun 02:00 UTC", -1, 0, 0},
		{"sun 02:00:00", -1, 0, 0},
		{"- 02:00", -1, 0, 0},
		{"sun 0200", -1, 0, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct window window;
		struct err err = {""};
		bool ok = window_parse(rows[i].text, &window, &err);
		if (ok != (rows[i].days >= 0))
			fprintf(stderr, "\n\"%s\": %s\n", rows[i].text, err.text);
		CU_ASSERT_EQUAL(ok, rows[i].days >= 0);
		if (!ok || rows[i].days < 0)
			continue;
		CU_ASSERT_EQUAL(window.days, rows[i].days);
		CU_ASSERT_EQUAL(window.minute, rows[i].minute);
		CU_ASSERT_EQUAL(window_period_days(window.days), rows[i].period);
	}
}

static void zones(void)
{
	struct err err;
	static const char *const bad[] = {"",        "Europe/Berlim", "/etc/localtime", "../zoneinfo/UTC",
					  "Europe",  ":UTC",          "CET-1CEST",      "Europe/Berlin ",
					  "zone.tab"};
	CU_ASSERT(window_zone_exists("UTC", &err) && window_zone_exists("Europe/Berlin", &err) &&
		  window_zone_exists("America/Argentina/Buenos_Aires", &err));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CU_ASSERT_FALSE(window_zone_exists(bad[i], &err));
}

int main(void)
{
	return unit_run("window",
			(const struct unit_test[]){{"parsed", parsed},
						   {"zones", zones},
						   {"found", found},
						   {"each hour of a year", each_hour_of_a_year},
						   {"the process keeps its zone", the_process_keeps_its_zone},
						   {NULL, NULL}});
}
