/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities: numbers with units, as people write them, and back. Called by the options, and by the board for
 * thresholds, on the daemon's thread; pure. */
#include "option.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option_private.h"

struct unit {
	const char *name;
	double factor;
};

/* in the order of printing: the largest first */
static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
					{"s", 1000},     {"ms", 1},      {0}};
static const struct unit sizes[] = {{"TiB", 1099511627776},
				    {"GiB", 1073741824},
				    {"MiB", 1048576},
				    {"KiB", 1024},
				    {"TB", 1e12},
				    {"GB", 1e9},
				    {"MB", 1e6},
				    {"KB", 1e3},
				    {"kB", 1e3},
				    {"B", 1},
				    {0}};

/* A decimal number at *at: digits, one point, perhaps an exponent; no hex, no inf, no blanks. */
static bool number_at(const char **at, bool exponent, double *value)
{
	const char *from = *at, *end = from;
	if (*end == '-' || *end == '+')
		end++;
	size_t digits = strspn(end, "0123456789");
	end += digits;
	if (*end == '.') {
		size_t more = strspn(end + 1, "0123456789");
		if (more > 0)
			end += 1 + more;
		digits += more;
	}
	if (digits == 0)
		return false;
	if (exponent && (*end == 'e' || *end == 'E')) {
		const char *power = end + 1 + (end[1] == '-' || end[1] == '+');
		size_t more = strspn(power, "0123456789");
		if (more > 0)
			end = power + more;
	}
	if (end - from > 60)
		return false;
	char text[64] = {0};
	memcpy(text, from, (size_t)(end - from));
	*value = strtod(text, NULL);
	*at = end;
	return isfinite(*value);
}

static const struct unit *unit_at(const char **at, const struct unit *units)
{
	size_t length = 0;
	while (isalpha((unsigned char)(*at)[length]))
		length++;
	for (; units->name != NULL; units++)
		if (strlen(units->name) == length && strncmp(units->name, *at, length) == 0) {
			*at += length;
			return units;
		}
	return NULL;
}

bool option_number(const char *text, double *value)
{
	return number_at(&text, true, value) && *text == '\0';
}

bool option_parse_duration(const char *text, int64_t *ms, struct err *err)
{
	const char *at = text;
	double total = 0, part = 0;
	double last = INFINITY;
	while (*at != '\0' && *at != '-' && *at != '+' && number_at(&at, false, &part)) {
		if (*at == '\0' && at != text && total == 0 && part == 0 && last == INFINITY) {
			*ms = 0;
			return true;
		}
		if (*at == '\0' && last == INFINITY)
			return err_set(err, "`%.40s` has no unit: write %.40ss, %.40sm or %.40sms", text,
				       text, text, text);
		const struct unit *unit = unit_at(&at, durations);
		if (unit == NULL || unit->factor >= last)
			break;
		last = unit->factor;
		total += part * unit->factor;
		if (*at == '\0') {
			if (total >= 9e15)
				return err_set(err, "`%.40s` is too long a time", text);
			*ms = (int64_t)llround(total);
			return true;
		}
	}
	return err_set(err, "`%.40s` is not a duration such as 30s, 5m, 1h30m or 250ms", text);
}

bool option_parse_bytes(const char *text, int64_t *count, struct err *err)
{
	const char *at = text;
	double number = 0;
	if (*at != '-' && *at != '+' && number_at(&at, false, &number)) {
		at += *at == ' ';
		const struct unit *unit = *at == '\0' ? &(const struct unit){"B", 1} : unit_at(&at, sizes);
		if (unit != NULL && *at == '\0') {
			double bytes = number * unit->factor;
			if (bytes >= 9e15)
				return err_set(err, "`%.40s` is too large a size", text);
			if (unit->factor == 1 && bytes != floor(bytes))
				return err_set(err, "`%.40s`: a size is a whole number of bytes", text);
			*count = (int64_t)llround(bytes);
			return true;
		}
	}
	return err_set(err, "`%.40s` is not a size such as 64KiB, 10MB or 512", text);
}

bool option_parse_ratio(const char *text, double *of_one, struct err *err)
{
	const char *at = text;
	double number = 0;
	if (number_at(&at, true, &number)) {
		if (strcmp(at, "%") == 0 || strcmp(at, " %") == 0) {
			*of_one = number / 100;
			return true;
		}
		if (*at == '\0') {
			*of_one = number;
			return true;
		}
	}
	return err_set(err, "`%.40s` is not a ratio such as 80%% or 0.8", text);
}

bool option_parse_quantity(const char *text, const char *unit, double *value, struct err *err)
{
	if (option_number(text, value))
		return true;
	if (unit != NULL && strcmp(unit, "s") == 0) {
		int64_t ms = 0;
		bool ok = option_parse_duration(text, &ms, err);
		*value = (double)ms / 1000;
		return ok;
	}
	if (unit != NULL && strcmp(unit, "bytes") == 0) {
		int64_t count = 0;
		bool ok = option_parse_bytes(text, &count, err);
		*value = (double)count;
		return ok;
	}
	if (unit != NULL && strcmp(unit, "ratio") == 0)
		return option_parse_ratio(text, value, err);
	const char *rest = text;
	return err_set(err, "`%.40s` is not a number%s", text,
		       number_at(&rest, true, value) ? ": write it without a unit" : "");
}

/* Three digits are enough for people. */
static void print_scaled(double value, const char *unit, char *text, size_t size)
{
	double shown = fabs(value) >= 100 ? round(value) : value;
	snprintf(text, size, "%.*g%s%s", fabs(value) >= 100 ? 15 : 3, shown, *unit != '\0' ? " " : "", unit);
}

void option_print_quantity(double value, const char *unit, char *text, size_t size)
{
	if (!isfinite(value) || unit == NULL)
		unit = "";
	double amount = fabs(value);
	if (strcmp(unit, "s") == 0) {
		if (value != 0 && amount < 1)
			print_scaled(value * 1000, "ms", text, size);
		else if (amount < 120)
			print_scaled(value, "s", text, size);
		else if (amount < 7200)
			print_scaled(value / 60, "min", text, size);
		else if (amount < 172800)
			print_scaled(value / 3600, "h", text, size);
		else
			print_scaled(value / 86400, "d", text, size);
	} else if (strcmp(unit, "bytes") == 0) {
		static const char *const words[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
		size_t step = 0;
		for (; fabs(value) >= 1024 && step < 5; step++)
			value /= 1024;
		print_scaled(value, words[step], text, size);
	} else if (strcmp(unit, "ratio") == 0) {
		print_scaled(value * 100, "%", text, size);
	} else {
		/* Four decimals are enough, unless they hide on which side of a whole number the value is. */
		double shown = isfinite(value) ? round(value * 1e4) / 1e4 : value;
		char number[32];
		number_print(shown == round(shown) ? value : shown, number, sizeof(number));
		snprintf(text, size, "%s%s%s", number, *unit != '\0' ? " " : "", unit);
	}
}

/* ---- As in the config file ---- */

static void duration_text(int64_t ms, char text[64])
{
	size_t length = 0;
	if (ms <= 0)
		snprintf(text, 64, "0s");
	for (const struct unit *unit = durations; ms > 0 && unit->name != NULL; unit++) {
		int64_t factor = (int64_t)unit->factor, count = ms / factor;
		ms %= factor;
		if (count > 0)
			length += (size_t)snprintf(text + length, 64 - length, "%lld%s", (long long)count,
						   unit->name);
	}
}

static void bytes_text(int64_t count, char text[64])
{
	for (const struct unit *unit = sizes; count > 0 && unit->factor >= 1024; unit++) {
		int64_t factor = (int64_t)unit->factor;
		if (factor % 1024 == 0 && count % factor == 0) {
			snprintf(text, 64, "%lld%s", (long long)(count / factor), unit->name);
			return;
		}
	}
	snprintf(text, 64, "%lld", (long long)count);
}

static void ratio_text(double of_one, char text[64])
{
	double back = 0;
	snprintf(text, 64, "%.15g%%", of_one * 100);
	if (!option_parse_ratio(text, &back, NULL) || back != of_one)
		number_print(of_one, text, 64);
}

void option_number_text(int32_t type, double value, char text[64])
{
	if (type == SKYMON_DURATION)
		duration_text((int64_t)value, text);
	else if (type == SKYMON_BYTES)
		bytes_text((int64_t)value, text);
	else if (type == SKYMON_RATIO)
		ratio_text(value, text);
	else
		number_print(value, text, 64);
}

void option_range_text(const struct skymon_option *option, char *text, size_t size)
{
	char low[64], high[64];
	text[0] = '\0';
	if (option->min == 0 && option->max == 0)
		return;
	option_number_text(option->type, option->min, low);
	option_number_text(option->type, option->max, high);
	if (option_min_only(option))
		snprintf(text, size, "at least %s", low);
	else
		snprintf(text, size, "%s to %s", low, high);
}
