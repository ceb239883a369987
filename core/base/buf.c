/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that grow, and the printers of JSON, times and numbers: printf and strftime take longer than all
 * the rest of an answer. Called everywhere; owns nothing. */
#include "buf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

char *buf_room(struct buf *buf, size_t size)
{
	buf->data = x_grow(buf->data, &buf->capacity, buf->size + size + 1, 1);
	return buf->data + buf->size;
}

void buf_add(struct buf *buf, const void *bytes, size_t size)
{
	char *room = buf_room(buf, size);
	if (size > 0)
		memcpy(room, bytes, size);
	buf->size += size;
	buf->data[buf->size] = '\0';
}

void buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list list, again;
	va_start(list, format);
	va_copy(again, list);
	char *room = buf_room(buf, 127);
	int length = vsnprintf(room, 128, format, list);
	if (length > 127)
		vsnprintf(buf_room(buf, (size_t)length), (size_t)length + 1, format, again);
	if (length > 0)
		buf->size += (size_t)length;
	va_end(again);
	va_end(list);
}

void buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}

static size_t escape(struct buf *buf, const unsigned char *at)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *found = strchr(from, *at);
	if (found != NULL) {
		char pair[2] = {'\\', to[found - from]};
		buf_add(buf, pair, 2);
		return 1;
	}
	if (*at < 0x20 || *at == 0x7F) {
		buf_printf(buf, "\\u%04x", *at);
		return 1;
	}
	size_t size = utf8_length(at, SIZE_MAX);
	if (size == 0)
		buf_add(buf, "\xEF\xBF\xBD", 3);
	else
		buf_add(buf, at, size);
	return size > 0 ? size : 1;
}

void buf_json(struct buf *buf, const char *text)
{
	if (text == NULL) {
		buf_add(buf, "null", 4);
		return;
	}
	buf_add(buf, "\"", 1);
	const unsigned char *at = (const unsigned char *)text;
	while (*at != '\0') {
		size_t plain = 0;
		while (at[plain] >= 0x20 && at[plain] < 0x7F && at[plain] != '"' && at[plain] != '\\')
			plain++;
		buf_add(buf, at, plain);
		at += plain;
		if (*at != '\0')
			at += escape(buf, at);
	}
	buf_add(buf, "\"", 1);
}

static char *print_digits(char *at, unsigned value, int digits, char after)
{
	for (int i = digits; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	at[digits] = after;
	return at + digits + 1;
}

/* The calendar by arithmetic (days are counted from 1 March of year 0, so that a leap day is a year's last):
 * gmtime and strftime take as long as all the rest of an answer to a probe. */
void time_print(int64_t ms, char text[25])
{
	const int64_t day_ms = 86400000, least = -62167219200000,
		      most = 253402300799999; /* years 0 to 9999 */
	ms = ms < least ? least : ms > most ? most : ms;
	int64_t day = ms / day_ms - (ms % day_ms < 0);
	unsigned rest = (unsigned)(ms - day * day_ms), days = (unsigned)(day + 719468 + 146097);
	unsigned era = days / 146097, of_era = days % 146097;
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	year += 400 * era - 400 + (month >= 10);
	text = print_digits(text, year, 4, '-');
	text = print_digits(text, month < 10 ? month + 3 : month - 9, 2, '-');
	text = print_digits(text, of_year - (153 * month + 2) / 5 + 1, 2, 'T');
	text = print_digits(text, rest / 3600000, 2, ':');
	text = print_digits(text, rest / 60000 % 60, 2, ':');
	text = print_digits(text, rest / 1000 % 60, 2, '.');
	text = print_digits(text, rest % 1000, 3, 'Z');
	*text = '\0';
}

void buf_json_time(struct buf *buf, int64_t ms)
{
	if (ms == 0) {
		buf_add(buf, "null", 4);
		return;
	}
	char text[25];
	time_print(ms, text);
	buf_add(buf, "\"", 1);
	buf_text(buf, text);
	buf_add(buf, "\"", 1);
}

void buf_json_number(struct buf *buf, double value)
{
	char text[32] = "null";
	if (isfinite(value))
		number_print(value, text, sizeof(text));
	buf_text(buf, text);
}

static size_t print_integer(int64_t value, char *text)
{
	char digits[24];
	size_t count = 0, length = 0;
	uint64_t rest = value < 0 ? (uint64_t)-value : (uint64_t)value;
	do
		digits[count++] = (char)('0' + rest % 10);
	while ((rest /= 10) > 0);
	if (value < 0)
		text[length++] = '-';
	while (count > 0)
		text[length++] = digits[--count];
	text[length] = '\0';
	return length;
}

size_t number_print(double value, char *text, size_t size)
{
	if (isnan(value))
		return (size_t)snprintf(text, size, "NaN");
	if (isinf(value))
		return (size_t)snprintf(text, size, value > 0 ? "+Inf" : "-Inf");
	/* every integer below 2^53 is exact; a negative zero reads back as 0, which is the same number */
	if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value)
		return print_integer((int64_t)value, text);
	int length = 0;
	for (int digits = 15; digits <= 17; digits++) {
		length = snprintf(text, size, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	return (size_t)length;
}
