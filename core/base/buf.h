/* SPDX-License-Identifier: Apache-2.0 */
/* buf: a text or byte buffer that grows, and how JSON's texts, times and numbers are printed into it.
 * The owner of the struct owns `data`; a zeroed struct is an empty buffer. `data` is ended by '\0' once
 * anything was added. */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct buf {
	char *data;
	size_t size, capacity;
};

void buf_add(struct buf *buf, const void *bytes, size_t size);
void buf_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF(2);
char *buf_room(struct buf *buf,
	       size_t size); /* returns where size more bytes fit; add them with buf->size += n */
void buf_free(struct buf *buf);

/* Adds a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. NULL prints null. */
void buf_json(struct buf *buf, const char *text);
/* "2026-11-22T15:07:00.123Z" with quotes; null for 0. */
void buf_json_time(struct buf *buf, int64_t ms);
/* Adds a JSON number, the shortest that reads back the same; null for NaN and infinities. */
void buf_json_number(struct buf *buf, double value);

/* Prints the time alone, without quotes. */
void time_print(int64_t ms, char text[25]);
/* Prints the shortest text that reads back as the same number; "NaN", "+Inf", "-Inf". Returns its length;
 * size >= 32. */
size_t number_print(double value, char *text, size_t size);

#endif
