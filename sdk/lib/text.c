/* SPDX-License-Identifier: Apache-2.0 */
/* text: UTF-8, and lines of other programs for messages. Called by plugins on the threads of their checks;
 * owns nothing. */
#include "text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

size_t text_character(const char *text, size_t size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t length = p[0] < 0x80   ? 1
			: p[0] < 0xC2 ? 0
			: p[0] < 0xE0 ? 2
			: p[0] < 0xF0 ? 3
			: p[0] < 0xF5 ? 4
				      : 0;
	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	bool outside = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90) || /* overlong */
		       (p[0] == 0xED && p[1] >= 0xA0) ||                                 /* a surrogate */
		       (p[0] == 0xF4 && p[1] >= 0x90);                                   /* beyond Unicode */
	return outside ? 0 : length;
}

void text_copy_line(char *to, size_t room, const char *from, const char *const *hide, size_t hidden)
{
	size_t used = 0;
	while (*from != '\0' && *from != '\n' && used + 5 < room) {
		size_t size = text_character(from, SIZE_MAX), secret = 0;
		for (size_t i = 0; i < hidden; i++) {
			size_t length = hide[i] != NULL ? strlen(hide[i]) : 0;
			if (length > secret && strncmp(from, hide[i], length) == 0)
				secret = length;
		}
		if (secret > 0) {
			memcpy(to + used, "***", 3);
			used += 3;
			from += secret;
		} else if (size == 0 || (size == 1 && iscntrl((unsigned char)*from))) {
			to[used++] = '?';
			from++;
		} else {
			memcpy(to + used, from, size);
			used += size;
			from += size;
		}
	}
	while (used > 0 && (to[used - 1] == ' ' || to[used - 1] == '.'))
		used--;
	to[used] = '\0';
}
