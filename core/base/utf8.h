/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: validates UTF-8 as RFC 3629 has it: shortest forms, no surrogates, nothing above U+10FFFF. Pure. */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>

/* Returns the length of the sequence at text, of which size bytes may be read (at least 1); 0 if it is not
 * valid. A text that ends with '\0' needs no size: SIZE_MAX will do. */
size_t utf8_length(const void *text, size_t size);
/* Returns how many bytes from the start are valid and not '\0'. */
size_t utf8_valid(const void *text, size_t size);

#endif
