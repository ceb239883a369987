/* SPDX-License-Identifier: Apache-2.0 */
/* text: UTF-8, and lines of other programs for messages. Pure. Private to our own plugins. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>

/* Returns the length of the UTF-8 character at the front of `size` bytes (RFC 3629: neither overlong nor a
 * surrogate); 0 if it is not valid or not whole. A text that ends with '\0' needs no size: SIZE_MAX. */
size_t text_character(const char *text, size_t size);
/* Copies one line of untrusted text: without control characters, as valid UTF-8, without a full stop at its
 * end, and with "***" for each text in `hide` (NULL: none). */
void text_copy_line(char *to, size_t room, const char *from, const char *const *hide, size_t hidden);

#endif
